"""The command line: one file for each verb.

Nothing heavy is imported before a verb runs, so `--help` answers at once.
"""

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

import hfbertcls
from hfbertcls import processes
from hfbertcls.cli import (
    compare,
    completion,
    doctor,
    env,
    evaluate,
    export,
    extension,
    predict,
    push,
    quickstart,
    skill,
    space,
    train,
    verify,
)
from hfbertcls.cli.configuration import expand_config
from hfbertcls.cli.launching import is_to_be_launched, launch
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.process import (
    end_soon_when_told,
    keep_freed_memory,
    log,
    readers_may_leave,
    stopping_when_told,
    write_any_letter,
    write_error,
)
from hfbertcls.commands import command
from hfbertcls.errors import HfBertClsError, TrainingInterruptedError, shorten, trouble_with_the_disk
from hfbertcls.option_names import command_line
from hfbertcls.progress import shown


_VERBS = (
    quickstart,
    doctor,
    train,
    evaluate,
    compare,
    predict,
    export,
    push,
    verify,
    space,
    extension,
    skill,
    completion,
    env,
)
_SHARED = {"train", "predict"}
"""The verbs whose work is divided among the processes of a launcher; the first process does the others alone."""
_LOADS_LIBRARIES = {"quickstart", "doctor", "train", "evaluate", "compare", "predict", "export", "verify"}
_STORY = """\
from labelled text to a classifier:
  hfbertcls quickstart                                          end-to-end demo on real text, offline
  hfbertcls doctor D                                            check a data set for problems
  hfbertcls train --model M --dataset D --output-dir O          fine-tune an encoder on it
  hfbertcls evaluate O --dataset D                              evaluate it on other labelled text
  hfbertcls compare O tfidf --dataset D                         test whether one classifier is better than another
  hfbertcls predict O --input F --output G                      classify the rows of a file of any size
  hfbertcls export O --dataset D                                export to ONNX, with the accuracy it costs
  hfbertcls push O USER/NAME                                    push it to the Hub, in one commit
  hfbertcls verify O                                            recompute every metric on the card
  hfbertcls space USER/NAME                                     make a Gradio Space of it (on this machine: --launch)
"""


def make_parser() -> Parser:
    """The parser of all verbs."""
    parser = Parser(
        prog="hfbertcls",
        description="Fine-tune a text classifier whose every reported metric can be recomputed.",
        epilog=_STORY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hfbertcls {hfbertcls.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    for module in _VERBS:
        verb = module.add_parser(verbs)
        verb.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
        verb.add_argument("--json", action="store_true", help="print the result as one JSON object on standard output")
        verb.set_defaults(run=module.run, parser=verb, program=parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 2 wrong usage, 1 anything else."""
    words = list(sys.argv[1:] if argv is None else argv)
    with command_line(), shown(log), readers_may_leave(), stopping_when_told():
        try:
            parser = make_parser()
            options, rest = parser.parse_known_args(expand_config(words, parser.switches_of(words)))
            options.rest = rest
            options.words = words
            if is_to_be_launched(options):
                return launch(options.num_processes, words)
            prepare_process()
            if options.verb not in _SHARED:
                if not processes.is_first():
                    return 0
                processes.work_alone()
            elif processes.count() > 1:
                end_soon_when_told()
            elif (note := processes.note_on_launcher()) is not None:
                log(f"note: {note}")
            if options.verb in _LOADS_LIBRARIES and "torch" not in sys.modules:
                log("Loading the libraries ...")
            exit_code: int = options.run(options)
        except KeyboardInterrupt:
            log("hfbertcls: stopped")
            return 1
        except BrokenPipeError:
            raise
        except TrainingInterruptedError as err:
            if "--debug" in words:
                traceback.print_exception(err)
            log(f"hfbertcls: {err}")
            same = [word for word in words if word not in ("--overwrite", "--resume")]
            launcher = "" if processes.count() == 1 or "--num-processes" in words else "  (with the same launcher)"
            log(f"Resume: {command(*same, '--resume')}{launcher}")
            return err.exit_code
        except Exception as err:  # noqa: BLE001  (an unforeseen error: one line, and how to see the traceback)
            return _fail(err, debug="--debug" in words)
    return exit_code


def _fail(err: Exception, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(err)
    if processes.lost_another(err):
        err = processes.error_of_lost_process()
    message = str(err)
    if not isinstance(err, HfBertClsError):
        message = trouble_with_the_disk(err) or (
            f"{type(err).__name__}: {shorten(str(err), 300)}. hfbertcls did not expect this: repeat the command with --debug "
            "to see where it comes from, and please report it"
        )
    if processes.speaks_first():
        write_error(f"hfbertcls: error: {message}")
    return err.exit_code if isinstance(err, HfBertClsError) else 1


def prepare_process() -> None:
    """Keep freed memory, and silence the warnings and progress bars of libraries: our own lines replace them."""
    keep_freed_memory()
    write_any_letter()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", module=r"(torch|transformers|accelerate|datasets|sklearn)(\.|$)")
