"""`hfbertcls evaluate`: how good is a classifier on some text?"""

import argparse
from typing import Any

from hfbertcls.cli.options import add_data_options, add_model_options, columns_of, model_source, refuse_unknown
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.process import log


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "evaluate",
        allow_abbrev=False,
        help="evaluate a classifier on labelled text",
        description="Evaluate any text classifier on labelled text, in fp32, with confidence intervals.",
    )
    parser.add_argument("model", metavar="M", help="Hub id or directory of a classifier")
    add_model_options(parser)
    add_data_options(parser)
    parser.add_argument("--slice-by", metavar="NAME", help="column of slices: metrics for each of its values")
    parser.add_argument("--split", metavar="S", help="default: test, else validation, else the only one")
    parser.add_argument("--output-dir", metavar="E", help="write report.json, predictions and plots there")
    return parser


def run(options: argparse.Namespace) -> int:
    """Evaluate."""
    refuse_unknown(options)

    from hfbertcls.environment import public_command
    from hfbertcls.inference.remembered import read_as_trained_on
    from hfbertcls.repository.summary import summary
    from hfbertcls.workflows.evaluate import evaluate_model

    source = model_source(options)
    data = read_as_trained_on([source], options.dataset, **columns_of(options), slice_by=options.slice_by)
    ids = {options.model if not source.is_local else "", options.dataset if data.is_from_hub else ""}
    command = public_command(options.words, ids)
    report = evaluate_model(source, data, options.split, options.output_dir, command, log)
    print(report.to_json() if options.json else summary(report), end="" if options.json else "\n")
    return 0
