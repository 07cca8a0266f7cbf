"""`hfbertcls compare`: is one classifier better than another?"""

import argparse
from typing import TYPE_CHECKING, Any

from hfbertcls.cli.options import add_data_options, add_permissions, columns_of, refuse_unknown
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.process import log
from hfbertcls.errors import printable


if TYPE_CHECKING:
    from hfbertcls.evaluation.compare import Comparison
    from hfbertcls.workflows.compare import ModelComparison


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "compare",
        allow_abbrev=False,
        help="compare two classifiers on the same text, with a significance test",
        description="Compare two classifiers on the same labelled text: differences with 95 % intervals, McNemar's exact test, "
        "the rows where they disagree, and a verdict.",
    )
    what = "a directory, a Hub id (user/name or user/name@revision), or tfidf (fitted on the train split)"
    parser.add_argument("a", metavar="A", help=what)
    parser.add_argument("b", metavar="B", help="the same")
    add_permissions(parser)
    add_data_options(parser)
    parser.add_argument("--split", metavar="S", help="default: test, else validation, else the only one")
    parser.add_argument("--output-dir", metavar="E", help="write comparison.json and disagreements.csv there")
    return parser


def run(options: argparse.Namespace) -> int:
    """Compare."""
    refuse_unknown(options)

    from dataclasses import replace

    from hfbertcls.inference.remembered import read_as_trained_on
    from hfbertcls.workflows.compare import TFIDF, compare_models, source_of

    allowed = {"trust_remote_code": options.trust_remote_code, "allow_pickle": options.allow_pickle}
    a, b = (spec if spec == TFIDF else replace(source_of(spec), **allowed) for spec in (options.a, options.b))
    data = read_as_trained_on([one for one in (a, b) if one != TFIDF], options.dataset, **columns_of(options))
    result = compare_models(a, b, data, options.split, options.output_dir, log)
    print(result.to_json() if options.json else _summary(result), end="" if options.json else "\n")
    if options.output_dir and not options.json:
        print(f"Written to {options.output_dir}: comparison.json, disagreements.csv")
    return 0


def _calibration_errors(comparison: "Comparison") -> list[float | None]:
    """Of both; none where the task has none."""
    row = comparison.metrics.get("ece")
    return [] if row is None else [row.a, row.b]


def _summary(result: "ModelComparison") -> str:
    from hfbertcls.repository.card_text import format_number
    from hfbertcls.tasks.known import metric_names

    comparison = result.comparison
    lines = [
        f"{letter}: {one.name}{'@' + one.revision if one.revision else ''} ({one.num_parameters:,} parameters, "
        f"{one.rows_per_second:,.0f} texts a second here)"
        for letter, one in (("A", result.a), ("B", result.b))
    ]
    lines.append(f"On the {result.split} split of {result.source} ({comparison.rows:,} rows):")
    lines.append(f"  {'':<28} {'A':>7} {'B':>7} {'B - A':>8}   95 % interval")
    for name, row in comparison.metrics.items():
        gap = "-" if row.difference is None else f"{row.difference:+.3f}"
        interval = "" if row.low is None or row.high is None else f"{row.low:+.3f} to {row.high:+.3f}"
        values = f"{format_number(row.a):>7} {format_number(row.b):>7} {gap:>8}"
        lines.append(f"  {metric_names(comparison.metrics)[name]:<28} {values}   {interval}".rstrip())
    if any(value == 0 for value in _calibration_errors(comparison)):
        lines.append("  (a calibration error of 0.000 is one that these rows cannot tell from 0)")
    lines.append(comparison.wins)
    labels = [(label, scores) for label, scores in comparison.per_label.items() if scores["p_value"] < 0.05]
    for label, scores in sorted(labels, key=lambda item: -abs(item[1]["difference"]))[:5]:
        lines.append(
            f"  {printable(label)}: F1 {scores['f1_a']:.3f} and {scores['f1_b']:.3f} ({scores['support']:,} rows, p = {scores['p_value']:.2g})"
        )
    lines.append(f"Verdict: {comparison.verdict}")
    lines += [
        f"Caution: {one.trained_on:,} of these {comparison.rows:,} rows were in the training data of {letter}. Its metrics are too good, "
        "and the verdict is not one on new texts"
        for letter, one in (("A", result.a), ("B", result.b))
        if one.trained_on
    ]
    if result.training:
        lines.append(f"Training: {result.training}")
    return "\n".join(lines)
