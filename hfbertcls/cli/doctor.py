"""`hfbertcls doctor`: find the errors of a data set before training."""

import argparse
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfbertcls.cli.options import add_columns, add_model_options, columns_of, model_source, refuse_unknown
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.process import log
from hfbertcls.commands import command
from hfbertcls.environment import local_path
from hfbertcls.errors import DatasetError, OutputDirectoryError, listing, printable
from hfbertcls.seeding import DEFAULT_SEED


if TYPE_CHECKING:
    from hfbertcls.diagnosis.doctor import Diagnosis


_ALSO_OF_TRAIN = ("revision", "trust_remote_code", "allow_pickle", "split_by", "seed", "max_length")
"""Further options that `train` takes as well."""
_LABELS_SHOWN = 12
_TITLES = {"error": "Errors", "warning": "Warnings", "info": "Info"}


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "doctor",
        allow_abbrev=False,
        help="check a data set for problems",
        description="Check a data set for problems before training. Exit code 1 if there is one that stops training.",
    )
    parser.add_argument("dataset", metavar="D", help="what train takes as --dataset: a file, a folder or a Hub id")
    parser.add_argument("--model", metavar="M", help="count tokens with its tokenizer (default: estimate them)")
    add_model_options(parser)
    add_columns(parser)
    parser.add_argument("--split-by", metavar="NAME", help="keep rows with the same value of this column in one split")
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, help=f"of the splits that are made (default: {DEFAULT_SEED})"
    )
    parser.add_argument("--max-length", type=int, metavar="N", help="maximum tokens of a text (default: at most 512)")
    parser.add_argument(
        "--suspects",
        type=Path,
        metavar="OUT.csv",
        help="write the rows of train with likely label errors, the likeliest first",
    )
    parser.add_argument("--page", type=Path, metavar="FILE.html", help="write the full report, with plots, as a page")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace OUT.csv and FILE.html (an earlier page of the doctor is replaced without it)",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Examine."""
    refuse_unknown(options)

    from hfbertcls.data.readers.layout import Layout
    from hfbertcls.data.sources import Source, open_source
    from hfbertcls.diagnosis.doctor import diagnose
    from hfbertcls.diagnosis.page import is_page, render_page

    if options.suspects is not None:
        _check_place(local_path(options.suspects), options.dataset, overwrite=options.overwrite)
    if options.page is not None:  # (an earlier page is replaced)
        page = local_path(options.page)
        _check_place(page, options.dataset, overwrite=options.overwrite or is_page(page))
    model = model_source(options) if options.model is not None else None
    dataset: str | Source = options.dataset
    if options.suspects is not None:
        with contextlib.suppress(DatasetError):  # (the doctor reports what cannot be read)
            dataset = open_source(options.dataset, Layout(options.quoting, options.header))
    reading = columns_of(options)
    diagnosis = diagnose(
        dataset,
        model,
        split_by=options.split_by,
        max_length=options.max_length,
        seed=options.seed,
        **reading,
    )
    suspects = None
    if options.suspects is not None and diagnosis.splits:
        from hfbertcls.data.loading import load_text_dataset
        from hfbertcls.diagnosis.suspects import find_suspects

        suspects = find_suspects(load_text_dataset(dataset, make_splits=False, **reading), model, log)
        write(options.suspects, suspects.to_csv())
        log(f"Written to {options.suspects.name}")
    if options.page is not None:
        write(options.page, render_page(diagnosis))
        log(f"Written to {options.page.name}")
    if options.json:
        facts = diagnosis.to_dict() | ({"suspects": suspects.to_dict()} if suspects is not None else {})
        print(json.dumps(facts, ensure_ascii=False, allow_nan=False))
    else:
        print(summary(diagnosis))
        if not diagnosis.refusals:
            print(f"Next: {_train_command(options)}")
            if options.model is None:
                print("ENCODER stands for a model of the Hub, or a directory")
            if options.suspects is None and diagnosis.task == "single_label":
                print(
                    "--suspects OUT.csv lists rows whose label may be wrong; with --model ENCODER it finds more of them"
                )
        if suspects is not None:
            print(
                f"About {suspects.noise_rate:.1%} of the labels of {suspects.rows_examined:,} rows may be wrong (between "
                f"{suspects.noise.low:.1%} and {suspects.noise.high:.1%}, by an estimate that is too high with few rows). Look at "
                f"the first {suspects.expected_errors:,} of the {len(suspects.rows):,} rows in {options.suspects.name}; its column place "
                "says where each row stands"
            )
    return 1 if diagnosis.refusals else 0


def _train_command(options: argparse.Namespace) -> str:
    """The command that trains on what was examined, with the same options."""
    model = ("--model", options.model or "ENCODER")
    same = options.parser.words_of(options, [*columns_of(options), *_ALSO_OF_TRAIN])
    return command("train", *model, "--dataset", options.dataset, *same, "--output-dir", "my-model")


def _check_place(path: Path, dataset: str, *, overwrite: bool) -> None:
    """Check that no data and no existing file would be overwritten.

    Raises:
        OutputDirectoryError: before anything is examined.
    """
    source = local_path(dataset)
    if path.exists() and source.exists() and (path.samefile(source) or source in path.absolute().parents):
        raise OutputDirectoryError(f"{path.name} is part of the data that are examined. Name another file")
    if path.exists() and not overwrite:
        raise OutputDirectoryError(
            f"{path.name} is already there. Pass --overwrite to replace it, or name another file"
        )


def write(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        OutputDirectoryError: if it cannot be written there.
    """
    try:
        local_path(path).write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
    except OSError as err:
        raise OutputDirectoryError(
            f"{path.name} cannot be written: {err.strerror}. Name a file in a folder that is there"
        ) from err


def summary(diagnosis: "Diagnosis") -> str:
    """Splits, labels, lengths and findings, for a person."""
    lines = [
        f"{printable(diagnosis.source)} ({diagnosis.task or 'not read'}; splits {diagnosis.split_method or 'unknown'})"
    ]
    for name, facts in diagnosis.splits.items():
        left_out = facts["empty_texts"] + facts["missing_labels"]
        lines.append(
            f"  {name:<10} {facts['rows']:>9,} rows used, {left_out:,} left out, {facts['duplicate_rows']:,} repeated, "
            f"{facts['conflicting_texts']:,} labelled in two ways"
        )
    if diagnosis.columns:
        text, label = listing(diagnosis.columns["text"]), printable(str(diagnosis.columns["label"]))
        lines.append(f"  texts from the column {text}, labels from {label!r}")
    counts = diagnosis.splits["train"]["label_counts"] if diagnosis.splits else {}
    if counts:
        ordered = sorted(counts.items(), key=lambda one: -one[1])
        named = ", ".join(f"{listing([name])} {count:,}" for name, count in ordered[:_LABELS_SHOWN])
        further = len(counts) - _LABELS_SHOWN
        more = f" and {further:,} more label{'s' * (further != 1)}" if further > 0 else ""
        lines.append(f"  rows of each label in train: {named}{more}")
    if diagnosis.overlap:
        pairs = ", ".join(f"{pair} {count:,}" for pair, count in diagnosis.overlap.items())
        lines.append(f"  texts in two splits: {pairs}")
    lengths = diagnosis.token_lengths
    if lengths is not None:
        train = lengths["splits"]["train"]
        lines.append(
            f"  tokens of the training texts: median {train['median']:,}, 95 % up to {train['p95']:,}, longest "
            f"{train['max']:,} ({lengths['counted_by']})"
        )
    for severity, title in _TITLES.items():
        findings = [finding for finding in diagnosis.findings if finding.severity == severity]
        if findings:
            lines.append(f"{title}:")
            lines += [f"  - {printable(finding.message, 2_000)}" for finding in findings]
    refusals = len(diagnosis.refusals)
    if refusals:
        lines.append(f"Training would be refused ({refusals} {'reason' if refusals == 1 else 'reasons'} above)")
    else:
        lines.append("Nothing would refuse training")
    return "\n".join(lines)
