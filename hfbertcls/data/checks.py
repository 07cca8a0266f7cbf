"""What must hold before a classifier is trained; each refusal comes before any model is loaded."""

import re
import shlex
import unicodedata
from collections.abc import Iterator, Sequence

from hfbertcls.data.dataset import TextDataset
from hfbertcls.errors import DatasetError
from hfbertcls.tasks.task import Task


def require_trainable(dataset: TextDataset) -> Task:
    """Return the task of a data set that a model can be trained on.

    Raises:
        DatasetError: for numbers without a requested task, for a constant number, for fewer than two labels, for labels that
            differ only in form, such as case, blanks or decimals, and for labels that the validation or
            test split has but the train split has not.
    """
    for _, refusal in refusals(dataset):
        raise refusal
    return require_labelled_texts(dataset)


def refusals(dataset: TextDataset) -> Iterator[tuple[str, DatasetError]]:
    """Everything for which `require_trainable` refuses a data set with a train split, each with a short name."""
    try:
        require_labelled_texts(dataset)
    except DatasetError as err:
        yield "not_supported", err
    if dataset.task is not None and not dataset.task.has_labels and len(dataset.splits["train"].present_labels) < 2:
        value = min(dataset.splits["train"].present_labels)
        yield (
            "one_label",
            DatasetError(
                f"every row of the train split has the number {value:g} in {dataset.label_column!r}, so there is nothing to learn. "
                "Check --label-column, or add rows with other numbers"
            ),
        )
    labels = dataset.task.labels if dataset.task is not None else ()
    if not labels:
        return
    train_counts = dataset.splits["train"].label_counts(labels)
    present = [name for name, count in train_counts.items() if count]
    if len(present) < 2:
        yield (
            "one_label",
            DatasetError(
                f"the train split has {f'only the label {present[0]!r} ({number_of_rows(train_counts[present[0]])})' if present else 'no label'}, "
                "but a classifier needs at least two. Check --label-column, or add rows with another label"
            ),
        )
    if similar_labels(labels) and not dataset.labels_are_declared:
        yield "similar_labels", _similar_labels(labels, dataset)
    for name in dataset.splits:
        if unseen := unseen_labels(dataset, labels, name):
            yield "labels_not_in_train", _unseen_labels(dataset, labels, name, unseen)


def require_labelled_texts(dataset: TextDataset) -> Task:
    """Return the task of a data set of labelled texts.

    Raises:
        DatasetError: if the rows have numbers instead of labels.
    """
    if dataset.task is None:
        raise DatasetError(
            f"the labels of {dataset.source} ({dataset.label_column!r}) look like regression targets: many different numbers, "
            "some with decimals. To predict them as numbers, pass --task regression. If each number is a class of its own, "
            "pass --task single_label, or --task ordinal if their order counts"
        )
    return dataset.task


def similar_labels(labels: Sequence[str]) -> list[list[str]]:
    """Groups of label names that differ only in case, blanks, Unicode form, invisible marks, or as 1 and 1.0 do."""
    groups: dict[str, list[str]] = {}
    for name in labels:
        groups.setdefault(_without_decimals(_folded(name)), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def differences(groups: Sequence[Sequence[str]]) -> str:
    """In what the names of `similar_labels` differ, in words."""
    ways = []
    if any(len(set(map(_without_decimals, group))) > 1 for group in groups):
        ways += ["capitals", "blanks", "invisible marks", "Unicode form"]
    if any(len(set(map(_folded, group))) > 1 for group in groups):
        ways.append("decimals")
    return " or ".join(filter(None, [", ".join(ways[:-1]), ways[-1]]))


def _folded(name: str) -> str:
    visible = "".join(
        letter for letter in name if unicodedata.category(letter) not in ("Cf", "Cc") or letter.isspace()
    )
    return " ".join(unicodedata.normalize("NFKC", visible).casefold().split())


def _without_decimals(name: str) -> str:
    return re.sub(r"(?<=\d)\.0+$", "", name)


def number_of_rows(count: int) -> str:
    """A number of rows in words: `"1 row"`, `"1,200 rows"`."""
    return f"{count:,} row{'s' * (count != 1)}"


def unseen_labels(dataset: TextDataset, labels: Sequence[str], name: str) -> list[str]:
    """Labels that a split has and the train split has not."""
    train_counts = dataset.splits["train"].label_counts(labels)
    return [
        label
        for label, count in dataset.splits[name].label_counts(labels).items()
        if count and not train_counts[label]
    ]


def _similar_labels(labels: Sequence[str], dataset: TextDataset) -> DatasetError:
    groups = similar_labels(labels)
    counts = dict.fromkeys(labels, 0)
    for split in dataset.splits.values():
        for name, count in split.label_counts(labels).items():
            counts[name] += count
    shown = "; ".join(", ".join(f"{name!a} ({number_of_rows(counts[name])})" for name in group) for group in groups)
    splits = " in all splits together" if len(dataset.splits) > 1 else ""
    keep = shlex.join(labels)
    return DatasetError(
        f"labels of {dataset.source} differ only in {differences(groups)}: {shown}{splits}. They would become "
        f"different classes. Merge them in the data, or keep them apart with --labels {keep}"
    )


def _unseen_labels(dataset: TextDataset, labels: Sequence[str], name: str, unseen: list[str]) -> DatasetError:
    counts = dataset.splits[name].label_counts(labels)
    split = dataset.splits[name]
    first = split.first_row_of(unseen[0])
    return DatasetError(
        f"the {name} split has labels that do not occur in the train split: "
        + ", ".join(f"{label!r} ({number_of_rows(counts[label])})" for label in unseen[:8])
        + f"; the first: {split.place(first)}. No model can learn them. "
        "Add rows with these labels to train, or remove them from the other split"
    )
