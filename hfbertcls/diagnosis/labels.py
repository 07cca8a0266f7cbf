"""Findings about the labels: few rows, rows in one split only, names, imbalance."""

from collections.abc import Iterator, Mapping, Sequence, Sized

from hfbertcls.data.checks import differences, number_of_rows, similar_labels
from hfbertcls.data.dataset import TextDataset
from hfbertcls.diagnosis.findings import Finding, percent
from hfbertcls.errors import listing
from hfbertcls.tasks.cells import positions_without_names
from hfbertcls.tasks.task import Task


FEW_ROWS = 10
_IMBALANCE = 10  # ratio of the most to the least frequent label from which on there is a finding
_LABELS_NAMED = 8
_MISSING_VALUES = frozenset({"na", "n/a", "nan", "nat", "null", "\\n"})
"""How programs write a missing value, without brackets and case; `None` besides, as Python writes it. `none` and `NONE`
are words: many data sets have them as a label."""
_NO_LABEL = (
    "remove these rows, or leave their labels empty if none of the labels applies",
    "leave the label of these rows empty, and they are left out",
)
_FOR_RARE_LABELS = (
    "If rare labels matter as much as frequent ones, try --class-weights balanced or --prior uniform",
    "If rare labels matter as much as frequent ones, try --class-weights balanced",
)
Counts = Mapping[str, Mapping[str, int]]


def label_findings(data: TextDataset, task: Task, counts: Counts) -> Iterator[Finding]:
    """The findings about the labels, apart from those of `checks.refusals`.

    Args:
        data: with a train split.
        task: of its labels.
        counts: rows of each label by split.
    """
    yield from _like_missing_values(data, task, counts)
    groups = similar_labels(task.labels)
    spelled: dict[str, str] = {}
    if not data.labels_are_declared:
        spelled = commonest_spellings(counts["train"], groups)
        counts = {name: _merged(split, spelled) for name, split in counts.items()}
    train = counts["train"]

    def spellings(name: str) -> str:
        return " in all its spellings" if name in spelled else ""

    if groups and data.labels_are_declared:
        shown = "; ".join(listing(group) for group in groups)
        yield Finding(
            "similar_labels", "info", f"labels that differ only in {differences(groups)} are kept apart: {shown}"
        )
    few = {name: count for name, count in train.items() if 0 < count < FEW_ROWS}
    if few:
        named = ", ".join(
            f"{name!r} ({count:,}{spellings(name)})" for name, count in list(few.items())[:_LABELS_NAMED]
        )
        more = f" and {len(few) - _LABELS_NAMED:,} more" if len(few) > _LABELS_NAMED else ""
        rarest = min(few, key=lambda name: few[name])
        yield Finding(
            "rare_labels",
            "warning",
            f"{_counted(few)} under {FEW_ROWS} rows in train: {named}{more}; the first row of {rarest!r} is "
            f"{data.splits['train'].place(data.splits['train'].first_row_of(rarest))}",
            "Add rows, or join rare labels to others",
        )
    for name, split in counts.items():
        if name == "train":
            continue
        absent = [label for label, count in split.items() if not count and train[label]]
        if absent:
            yield Finding(
                "labels_not_in_split",
                "info",
                f"{_counted(absent)} no row in {name}, so there is no metric for {'it' if len(absent) == 1 else 'them'}: "
                f"{listing(absent, _LABELS_NAMED)}",
            )
    nowhere = [label for label in train if not any(split[label] for split in counts.values())]
    if nowhere:
        yield Finding("unused_labels", "info", f"{_counted(nowhere)} no row at all: {listing(nowhere, _LABELS_NAMED)}")
    present = {name: count for name, count in train.items() if count}
    most, least = max(present, key=lambda name: present[name]), min(present, key=lambda name: present[name])
    if present[most] >= _IMBALANCE * present[least]:
        of_rows = percent(present[most], len(data.splits["train"]))
        meaning = (
            f"always predicting {most!r} is right in" if task.is_one_label else f"{most!r} is among the labels of"
        )
        yield Finding(
            "imbalance",
            "info",
            f"{most!r} has {present[most]:,} rows{spellings(most)} in train, {least!r} has {present[least]:,}{spellings(least)}: "
            f"{meaning} {of_rows}",
            f"Look at macro F1 and the metrics of each label, not at accuracy. {_FOR_RARE_LABELS[bool(task.why_no_prior)]}",
        )
    yield from _forms(task.labels)
    for name, rows in data.splits.items():
        empty = positions_without_names(rows.label_cells)
        if len(empty):
            yield Finding(
                "no_label",
                "info",
                f"{len(empty):,} of the {len(rows):,} rows of {name} have none of the labels; "
                f"the first is in {rows.place(int(rows.rows[empty[0]]))}",
            )


def _like_missing_values(data: TextDataset, task: Task, counts: Counts) -> Iterator[Finding]:
    """Labels such as NA and null, unless the labels are declared: they may be an export's mark for "no label"."""
    if data.labels_are_declared:
        return
    found = [name for name in task.labels if name == "None" or name.strip(" #<>()").casefold() in _MISSING_VALUES]
    if not found:
        return
    shown = ", ".join(
        f"{name!r} ({number_of_rows(sum(split[name] for split in counts.values()))})" for name in found[:_LABELS_NAMED]
    )
    more = f" and {len(found) - _LABELS_NAMED:,} more" if len(found) > _LABELS_NAMED else ""
    splits = " in all splits together" if len(counts) > 1 else ""
    split = next(split for name, split in data.splits.items() if counts[name][found[0]])
    yield Finding(
        "labels_like_missing_values",
        "warning",
        f"{'1 label looks like a missing value' if len(found) == 1 else f'{len(found):,} labels look like missing values'}: {shown}{more}{splits}; the "
        f"first row of {found[0]!r} is {split.place(split.first_row_of(found[0]))}",
        f"If so, {_NO_LABEL[task.is_one_label]}. If they are labels, keep them and name all labels with --labels",
    )


def commonest_spellings(counts: Mapping[str, int], groups: Sequence[Sequence[str]]) -> dict[str, str]:
    """The commonest spelling of each label that has several, which training refuses."""
    return {name: max(group, key=lambda one: counts[one]) for group in groups for name in group}


def _merged(counts: Mapping[str, int], spelled: Mapping[str, str]) -> dict[str, int]:
    """The rows of each label once its spellings are one."""
    merged: dict[str, int] = {}
    for name, count in counts.items():
        merged[spelled.get(name, name)] = merged.get(spelled.get(name, name), 0) + count
    return merged


def _forms(labels: Sequence[str]) -> Iterator[Finding]:
    """Findings about labels that are numbers."""
    names = [name.removeprefix("-") for name in labels]
    if all(name.isascii() and name.isdigit() for name in names):
        numbers = sorted(int(name) for name in labels)
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            yield Finding(
                "numbers_with_gaps",
                "info",
                f"the labels are whole numbers with gaps ({listing(labels)}): their ids will be 0 to "
                f"{len(names) - 1}, their names stay as they are",
            )
    elif all(name.isascii() and name.replace(".", "", 1).isdigit() and "." in name for name in names):
        yield Finding(
            "decimal_labels",
            "info",
            f"the labels are written as decimal numbers ({listing(labels)}) and stay so, as names",
            "If the file was made from whole numbers, write them without decimals",
        )


def _counted(labels: Sized) -> str:
    count = len(labels)
    return "1 label has" if count == 1 else f"{count:,} labels have"
