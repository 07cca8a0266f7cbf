"""`hfbertcls predict`: score a file of any size."""

import argparse
import json
import sys
import time
from dataclasses import asdict
from typing import Any

from hfbertcls import processes
from hfbertcls.cli.launching import add_process_option
from hfbertcls.cli.options import add_layout, add_model_options, model_source, refuse_unknown
from hfbertcls.cli.parser import Parser
from hfbertcls.cli.process import log
from hfbertcls.progress import shown


_SECONDS_BETWEEN_LINES = 10.0


def add_parser(verbs: Any) -> Parser:
    """Declare the verb."""
    parser: Parser = verbs.add_parser(
        "predict",
        allow_abbrev=False,
        help="score a file of any size, one output row for each input row",
        description="Score a file of any size in bounded memory: one output row for each input row, in order. Repeat the "
        "command to resume after a kill.",
    )
    parser.add_argument("model", metavar="M", help="Hub id or directory of a classifier")
    add_model_options(parser)
    parser.add_argument(
        "--input", required=True, metavar="F", help="csv, tsv, jsonl (each also .gz) or parquet, of any size"
    )
    parser.add_argument("--output", required=True, metavar="G", help="where to write; its ending chooses the format")
    parser.add_argument("--text-column", metavar="NAME", help="column of the texts (default: that of training)")
    parser.add_argument(
        "--text-pair-column", metavar="NAME", help="column of the second texts, for models that read pairs"
    )
    add_layout(parser)
    parser.add_argument("--keep-columns", action="store_true", help="pass the columns of the input on")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it is there")
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        default="fp32",
        help="of the matrix products (default: fp32); with bf16, the proportion of changed answers is measured",
    )
    add_process_option(parser)
    sure = parser.add_mutually_exclusive_group()
    sure.add_argument(
        "--abstain-below",
        type=float,
        default=0.0,
        metavar="P",
        help="abstain where the score is below P (single-label models)",
    )
    sure.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="decision threshold: as --abstain-below; for multi-label models, that of every label "
        "(default: the thresholds of the model)",
    )
    sure.add_argument(
        "--target-accuracy",
        type=float,
        metavar="A",
        help="give no answer where the score is below that which reached this accuracy on held-out rows (of models that "
        "give one label a text)",
    )
    return parser


class _Progress:
    """A bar on a terminal; elsewhere a line now and then."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.began = self.last_line = time.monotonic()
        self.first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = self.bar or tqdm(total=total, unit=" rows", unit_scale=True)
            self.bar.update(done - self.bar.n)
            return
        now = time.monotonic()
        if self.first is None:
            self.first, self.began = done, now
        elif now - self.last_line >= _SECONDS_BETWEEN_LINES and done > self.first:
            rate = (done - self.first) / (now - self.began)
            log(f"{done:,} of {total:,} rows, {rate:,.0f} a second, {(total - done) / rate:,.0f} s left")
            self.last_line = now

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def run(options: argparse.Namespace) -> int:
    """Score a file."""
    refuse_unknown(options)

    from hfbertcls.inference.bulk import BulkOptions, predict_file

    source = model_source(options)
    least = options.abstain_below
    if options.target_accuracy is not None:
        from hfbertcls.inference.abstention import threshold_of

        threshold = threshold_of(source, options.target_accuracy)
        least, (low, high) = threshold.score, threshold.interval
        log(
            f"Answers from a score of {least:.4f} on: of {threshold.rows:,} such answers to held-out rows, {threshold.accuracy:.1%} "
            f"were right (95 % interval {low:.1%} to {high:.1%}), and {threshold.coverage:.0%} of the texts were answered. The score "
            "was chosen on these rows, so other texts may have fewer right answers"
        )
    bulk = BulkOptions(
        text_column=options.text_column,
        text_pair_column=options.text_pair_column,
        keep_columns=options.keep_columns,
        bf16=options.precision == "bf16",
        overwrite=options.overwrite,
        abstain_below=least,
        quoting=options.quoting,
        header=options.header,
        threshold=options.threshold,
    )
    progress = _Progress() if processes.is_first() else None
    try:
        with shown(None):  # (progress is that of the whole file, not of each part)
            result = predict_file(source, options.input, options.output, bulk, log, progress)
    finally:
        if progress is not None:
            progress.close()
    if not processes.is_first():
        return 0
    if options.json:
        print(json.dumps(asdict(result)))
        return 0
    if result.bf16_agreement is not None:
        from hfbertcls.inference.abstention import bf16_agreement_of

        held_out_agreement = bf16_agreement_of(source)
        suffix = (
            ""
            if held_out_agreement is None
            else f"; for {held_out_agreement:.1%} of held-out texts, by the model's report"
        )
        log(f"bf16 gives the answer of fp32 for {result.bf16_agreement:.1%} of the first texts{suffix}")
    rate = f", {result.scored / result.seconds:,.0f} a second" if result.scored else ""
    print(f"Written to {options.output}: {result.rows:,} rows, {result.unanswered:,} without an answer{rate}")
    return 0
