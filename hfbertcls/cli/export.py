"""`hfbertcls export`: a classifier for other runtimes."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from hfbertcls.cli.options import add_data_options, add_model_options, columns_of, model_source, refuse_unknown
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.process import log


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "export",
        allow_abbrev=False,
        help="write a classifier as ONNX, with the accuracy it costs",
        description="Write a classifier as ONNX, and measure its agreement with the original and its speed on your text. "
        "A directory that hfbertcls wrote gets a folder onnx/, which its card states and a push includes.",
    )
    parser.add_argument("model", metavar="M", help="Hub id or directory of a classifier")
    add_model_options(parser)
    add_data_options(parser, required=False)
    parser.add_argument("--split", metavar="S", help="default: test, else validation, else the only one")
    parser.add_argument("--format", choices=("onnx",), default="onnx", help="default: onnx")
    parser.add_argument("--quantize", choices=("int8",), help="also write a graph with 8-bit weights")
    parser.add_argument("--output-dir", metavar="O", help="write there instead of into M")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    return parser


def run(options: argparse.Namespace) -> int:
    """Export."""
    refuse_unknown(options)

    from hfbertcls.inference.remembered import read_as_trained_on
    from hfbertcls.workflows.export import Exported, doubts_of, export_onnx

    data = None
    if options.dataset is not None:
        data = read_as_trained_on([model_source(options)], options.dataset, **columns_of(options))
    exported = export_onnx(
        model_source(options),
        options.output_dir,
        dataset=data,
        split=options.split,
        int8=options.quantize == "int8",
        overwrite=options.overwrite,
        log=log,
    )
    if options.json:
        print(json.dumps([asdict(one) for one in exported]))
        return 0

    def described(one: Exported) -> str:
        agreement = one.agreement
        where = (
            f"{agreement.rows:,} rows of {agreement.split}" if agreement.split else f"{agreement.rows:,} random texts"
        )
        lines = [
            f"{one.file} ({one.bytes / 1e6:,.0f} MB"
            + (f", original {one.original_bytes / 1e6:,.0f} MB)" if one.original_bytes else ")"),
            f"  numbers differ from the original's by up to {agreement.changes['largest']:.3g}, by {agreement.changes['mean']:.3g} on "
            f"average, on {where}"
            if agreement.changes
            else f"  same answer as the original on {agreement.same_label:.2%} of {where}; logits differ by up to {agreement.largest_difference:.2g}",
        ]
        shown = {"pearson": "Pearson correlation", "rmse": "RMSE", "mae": "mean absolute error"}
        of_numbers = [
            f"{name} {agreement.metrics[key]:.4f} (original {agreement.original_metrics[key]:.4f})"
            for key, name in shown.items()
            if key in agreement.metrics and key in agreement.original_metrics
        ]
        lines += [f"  {', '.join(of_numbers)}"] if of_numbers else []
        if agreement.accuracy is not None and (difference := agreement.accuracy_difference) is not None:
            lines.append(
                f"  accuracy {agreement.accuracy:.4f} (original {agreement.original_accuracy:.4f}; the difference lies between "
                f"{difference['low']:+.4f} and {difference['high']:+.4f}), macro F1 {agreement.f1_macro:.4f} "
                f"({agreement.original_f1_macro:.4f})"
            )
        lines.append(
            f"  {agreement.texts_per_second:,.0f} texts a second here (original {agreement.original_texts_per_second:,.0f}, without padding)"
        )
        doubt = doubts_of(one)
        return "\n".join([*lines, *([f"  note: {doubt}"] if doubt else [])])

    print("\n".join(described(one) for one in exported))
    return 0
