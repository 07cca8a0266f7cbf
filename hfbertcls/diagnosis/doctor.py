"""The doctor: every problem of a data set, before anyone trains on it."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hfbertcls.data.checks import refusals, similar_labels, unseen_labels
from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.duplicates import find_duplicates
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.readers.layout import Layout, Quoting
from hfbertcls.data.sources import Data, open_source, source_name
from hfbertcls.diagnosis.findings import Finding
from hfbertcls.diagnosis.giveaways import giveaways
from hfbertcls.diagnosis.labels import label_findings
from hfbertcls.diagnosis.lengths import TokenLengths, count_lengths, estimate_lengths
from hfbertcls.diagnosis.odd_texts import odd_texts
from hfbertcls.diagnosis.pairs import pair_findings, second_text_findings
from hfbertcls.diagnosis.repeats import find_near_duplicates, repeat_findings
from hfbertcls.errors import DatasetError, cut
from hfbertcls.evaluation.report_sections import DoctorFacts, FindingFacts
from hfbertcls.modeling.lengths import find_max_length
from hfbertcls.modeling.loading import ModelSource, load_config, load_tokenizer
from hfbertcls.progress import work
from hfbertcls.seeding import DEFAULT_SEED


ASSUMED_ACCURACY = 0.9
ALREADY_SAID = frozenset(
    {"reading", "empty_texts", "missing_labels", "overlap", "duplicate_rows", "conflicting_texts"}
)
"""Codes of findings that `describe_dataset` logs in its own words."""
_SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True)
class Diagnosis:
    """The findings about a data set, and the facts behind them; `to_dict` is `doctor --json`."""

    source: str
    """A Hub id, or the base name of a local file or folder."""
    task: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    """The names of the columns that were read: `{"text": [...], "label": ...}`."""
    splits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    split_method: str = ""
    overlap: Mapping[str, int] = field(default_factory=dict)
    """Rows of the second split whose text is in the first one, by `"train/test"`, zeros included."""
    near_overlap: Mapping[str, int] | None = None
    """Further rows that are near-duplicates of one of the first split; None if there was no search."""
    labels_not_in_train: Mapping[str, Sequence[str]] = field(default_factory=dict)
    similar_labels: Sequence[Sequence[str]] = ()
    token_lengths: Mapping[str, Any] | None = None
    smallest_difference: Mapping[str, Any] | None = None
    """`{"split", "rows", "accuracy", "points"}`, see the function of that name."""
    findings: tuple[Finding, ...] = ()
    """Errors first, then warnings, then infos."""

    def __repr__(self) -> str:
        rows = ", ".join(f"{name} {facts['rows']:,}" for name, facts in self.splits.items())
        kind = "not read" if self.task is None else self.task.replace("_", "-")
        head = f"{type(self).__name__}({self.source!r}, {kind}{f'; rows: {rows}' if rows else ''}; {len(self.findings):,} findings)"
        lines = [f"{one.severity}: {cut(one.message, 160)}" for one in self.findings[:10]]
        more = len(self.findings) - len(lines)
        return "\n".join([head, *lines, *([f"and {more:,} more in .findings"] if more else [])])

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """The errors, for which training is refused."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def require_trainable(self) -> None:
        """Refuse training if there is an error.

        Raises:
            DatasetError: with the message of the first one.
        """
        for finding in self.refusals:
            raise DatasetError(finding.message)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, in the order of the fields."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["findings"] = [finding.to_dict() for finding in self.findings]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @property
    def facts(self) -> DoctorFacts:
        """The facts that the report of a run does not hold elsewhere."""
        findings = tuple(FindingFacts.from_dict(finding.to_dict()) for finding in self.findings)
        further = {"near_overlap": self.near_overlap, "smallest_difference": self.smallest_difference}
        return DoctorFacts(findings=findings, extra=further)


def diagnose(
    dataset: Data,
    model: str | ModelSource | None = None,
    *,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    label_separator: str | None = None,
    task: str | None = None,
    labels: Sequence[str] | None = None,
    split_by: str | None = None,
    quoting: Quoting = "auto",
    header: bool = True,
    max_length: int | None = None,
    seed: int = DEFAULT_SEED,
) -> Diagnosis:
    """Read a data set as `train` would and examine it; a data set that cannot be read has a finding, too.

    ```python
    >>> diagnosis = diagnose("reviews.csv")
    >>> len(diagnosis.refusals)
    0
    >>> diagnose((["good", "bad"] * 20, ["a", "a"] * 20)).refusals[0].message
    "the train split has only the label 'a' (40 rows)..."
    ```

    Args:
        dataset: what `load_text_dataset` takes, as are the column names, `label_separator`, `task`, `labels`,
            `split_by`, `quoting`, `header` and `seed`.
        model: a Hub id, a directory or a `ModelSource`, whose tokenizer counts tokens; None estimates them.
        max_length: in tokens; None takes the model's limit, at most 512.

    Raises:
        ConfigurationError: if an argument names something that does not exist.
        ModelError: if the tokenizer of the model cannot be loaded.
    """
    model = ModelSource(model) if isinstance(model, str) else model
    tokenizer, config = (load_tokenizer(model), load_config(model)) if model is not None else (None, None)
    if tokenizer is not None and config is not None:
        find_max_length(tokenizer, config, max_length)  # (an error before the data are read)
    reading: dict[str, Any] = {
        "text_column": text_column, "text_pair_column": text_pair_column, "label_column": label_column,
        "label_separator": label_separator, "task": task, "labels": labels,
        "header": header,
    }  # fmt: skip
    refused: list[Finding] = []
    try:
        source = open_source(dataset, Layout(quoting, header))
        try:
            data = load_text_dataset(source, split_by=split_by, seed=seed, **reading)
        except DatasetError as err:
            refused.append(Finding("unusable", "error", err.as_written))
            data = load_text_dataset(
                source, make_splits=False, **reading
            )  # (rows that cannot be split can be examined whole)
    except DatasetError as err:
        refused = refused or [Finding("unusable", "error", err.as_written)]
        return Diagnosis(source_name(dataset), findings=tuple(refused))
    if "train" not in data.splits:
        only = next(iter(data.splits.values()))
        data = replace(data, splits={"train": replace(only, name="train")})
    if model is not None and tokenizer is not None and config is not None:
        limit = find_max_length(tokenizer, config, max_length, texts=len(data.text_columns))
        lengths = count_lengths(data, tokenizer, limit, model.public_name)
    else:
        lengths = estimate_lengths(data, max_length)
    diagnosis = examine(data, lengths, further=[*giveaways(data, source.tables), *second_text_findings(data)])
    return replace(diagnosis, findings=_gravest_first([*refused, *diagnosis.findings]))


@work("Examining the data")
def examine(
    data: TextDataset,
    lengths: TokenLengths | None = None,
    *,
    further: Iterable[Finding] = (),
    refused: Iterable[tuple[str, DatasetError]] | None = None,
    allow_leakage: bool = False,
    most_rows: int | None = None,
) -> Diagnosis:
    """Examine a data set that was read.

    Args:
        data: with a train split.
        lengths: of its texts; None leaves them out.
        further: findings from elsewhere.
        refused: the result of `checks.refusals`; None calls it. It is empty after `require_trainable`.
        allow_leakage: makes leakage between splits a warning instead of an error.
        most_rows: larger data sets are not searched for near-duplicates; None sets no limit.
    """
    equal = find_duplicates(data)
    rows = sum(len(split) for split in data.splits.values())
    near = find_near_duplicates(data) if most_rows is None or rows <= most_rows else None
    task = data.task
    counts = {name: split.label_counts(task.labels) if task else {} for name, split in data.splits.items()}
    others = [name for name in data.splits if name != "train"]
    pairs = [f"{first}/{second}" for second in data.splits for first in data.splits if _precedes(data, first, second)]
    measured = next((name for name in ("test", "validation", "train") if name in data.splits), "train")
    num_measured = len(data.splits[measured])
    difference = smallest_difference(num_measured) if task is None or task.has_labels else None
    findings = [
        *(
            Finding(code, "error", refusal.as_written)
            for code, refusal in (refusals(data) if refused is None else refused)
        ),
        *(Finding("reading", "info", note) for note in data.notes),
        *_left_out(data),
        *(label_findings(data, task, counts) if task and task.labels else ()),
        *repeat_findings(data, equal, near, allow_leakage=allow_leakage),
        *pair_findings(data),
        *odd_texts(data),
        *(lengths.findings(data) if lengths else ()),
        *further,
    ]
    if difference is not None:
        findings.append(_difference_finding(measured, num_measured, difference))
    return Diagnosis(
        source=data.source,
        task="regression" if task is None else task.name,
        columns={"text": list(data.text_columns), "label": data.label_column},
        splits={
            name: {
                "rows": len(split),
                "rows_read": split.rows_read,
                "empty_texts": split.dropped.get("empty_text", 0),
                "missing_labels": split.dropped.get("missing_label", 0),
                "duplicate_rows": equal.duplicate_rows.get(name, 0),
                "near_duplicate_rows": near.rows.get(name, 0) if near else None,
                "conflicting_texts": equal.conflicting_texts.get(name, 0),
                "truncated_rows": lengths.truncated_rows(name) if lengths else None,
                "label_counts": counts[name],
            }
            for name, split in data.splits.items()
        },
        split_method=data.split_method,
        overlap={pair: equal.overlap.get(pair, 0) for pair in pairs},
        near_overlap={pair: near.overlap.get(pair, 0) for pair in pairs} if near else None,
        labels_not_in_train={name: unseen_labels(data, task.labels, name) if task else [] for name in others},
        similar_labels=similar_labels(task.labels) if task else [],
        token_lengths=lengths.to_dict() if lengths else None,
        smallest_difference=None
        if difference is None
        else {
            "split": measured,
            "rows": num_measured,
            "accuracy": ASSUMED_ACCURACY,
            "points": round(100 * difference, 2),
        },
        findings=_gravest_first(findings),
    )


def smallest_difference(rows: int, accuracy: float = ASSUMED_ACCURACY) -> float:
    """The smallest difference of two accuracies on `rows` rows each whose 95 % interval excludes zero.

    From the normal interval of a difference of two proportions around `accuracy`, which leaves out zero from
    1.96 sqrt(2 p (1 - p) / n) on (Dietterich 1998, "Approximate Statistical Tests for Comparing Supervised
    Classification Learning Algorithms", section 3.2). It is the square root of 2 times the half-width of the interval
    of one accuracy. Two models whose errors mostly fall on the same rows can be distinguished with fewer rows, by a
    paired test.

    Returns:
        A proportion: 0.02 are two points. At most 1.
    """
    return min(1.0, 1.96 * math.sqrt(2 * accuracy * (1 - accuracy) / rows))


def _difference_finding(name: str, rows: int, difference: float) -> Finding:
    kind = "cross-validated" if name == "train" else name
    return Finding(
        "smallest_difference",
        "warning" if difference > 0.2 else "info",
        f"{rows:,} {kind} rows are {'very few' if difference > 0.2 else 'few' if difference > 0.05 else 'enough for rough comparisons'}: "
        f"a difference of two accuracies below {100 * difference:.1f} points may be chance (near an accuracy of "
        f"{ASSUMED_ACCURACY:.0%}); `compare` needs less, because it pairs the rows",
        f"Add {'' if name == 'train' else f'{name} '}rows" if difference > 0.2 else "",
    )


def _precedes(data: TextDataset, first: str, second: str) -> bool:
    names = list(data.splits)
    return names.index(first) < names.index(second)


def _left_out(data: TextDataset) -> Iterator[Finding]:
    reasons = {"empty_text": "no text", "missing_label": "no label"}
    for name, split in data.splits.items():
        same_source = [other for other in data.splits.values() if other is split or other.sha256 == split.sha256]
        read = sum(other.rows_read for other in same_source)
        for reason, count in split.dropped.items():
            yield Finding(
                "empty_texts" if reason == "empty_text" else "missing_labels",
                "warning",
                f"{count:,} of the {read:,} rows read for {name if len(same_source) == 1 else 'all splits'} "
                f"{'has' if count == 1 else 'have'} {reasons[reason]} and "
                f"{'is' if count == 1 else 'are'} left out; the first: {split.first_dropped[reason]}",
            )


def _gravest_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity)))
