"""Splitting what came without splits: seeded, stratified by label, or keeping groups together."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.dataset import TextSplit
from hfbertcls.data.duplicates import first_occurrences
from hfbertcls.errors import ConfigurationError, DatasetError
from hfbertcls.tasks.cells import holds_lists


VALIDATION_FRACTION = 0.1
TEST_FRACTION = 0.1


def complete_splits(
    splits: Mapping[str, TextSplit], seed: int, split_by: str | None = None
) -> tuple[dict[str, TextSplit], str]:
    """Hold missing splits out of train by a seeded, stratified split; splits of the source stay as they are.

    Strata are the labels. A row with more than one label counts for the rarest of them, and numbers are one stratum.

    Train alone becomes 80 % train, 10 % validation and 10 % test. Of train and test, 10 % of train become validation,
    so that the test split is never used for model selection. Train and validation stay as they are, without test
    metrics.

    Args:
        splits (`Mapping[str, TextSplit]`): with a `train` split.
        seed (`int`): the same seed gives the same splits of the same rows.
        split_by (`str`, *optional*): a column; rows with the same value there stay in the same split.

    Returns:
        The splits, and a description of how they were made.

    Raises:
        DatasetError: if the train split is too small.
        ConfigurationError: if `split_by` is set, but no split is missing.
    """
    if "validation" in splits:
        if split_by:
            raise ConfigurationError(
                f"--split-by {split_by} has nothing to do: the data set has its own train and validation splits"
            )
        return dict(splits), "as in the source"
    train = splits["train"]
    fractions = [VALIDATION_FRACTION] if "test" in splits else [TEST_FRACTION, VALIDATION_FRACTION]
    cut = (
        _hold_out_groups(train, fractions, seed, split_by)
        if split_by
        else _hold_out_stratified(train, fractions, seed)
    )
    parts = dict(zip(["validation"] if len(fractions) == 1 else ["test", "validation"], cut[1:], strict=True))
    result = {"train": train.take("train", cut[0], train.dropped)}
    result["validation"] = train.take("validation", parts["validation"])
    result["test"] = splits["test"] if "test" in splits else train.take("test", parts["test"])
    if split_by:
        how = f"no {split_by!r} in two splits"
    else:
        labels = train.label_cells
        how = "by the rarest label of each row" if holds_lists(labels) else "stratified by label"
        how = "at random" if pa.types.is_floating(labels.type) else how
        how += ", duplicates together"
    names = "validation" if "test" in splits else "validation and test"
    return result, f"{names} held out of train ({how}, seed {seed})"


def _hold_out_stratified(split: TextSplit, fractions: list[float], seed: int) -> list[npt.NDArray[np.int64]]:
    """Deal the shuffled rows of each label to the parts; the rest stays in train, so a label with one row does too.

    Duplicates go to the same part.

    Returns:
        Sorted positions: of train, then one array for each fraction.
    """
    generator = np.random.default_rng(seed)
    codes, names = _strata(split)
    first = first_occurrences(split)
    distinct = np.flatnonzero(first == np.arange(len(split)))
    counts_by_code = np.bincount(codes[distinct], minlength=len(names))
    rows_by_code = np.split(distinct[np.argsort(codes[distinct], kind="stable")], np.cumsum(counts_by_code)[:-1])
    parts: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(len(fractions) + 1)]
    owed = np.zeros(
        len(fractions)
    )  # fractions carried from label to label keep the fractions right over many small labels
    for code in sorted(range(len(names)), key=names.__getitem__):
        rows = generator.permutation(rows_by_code[code])
        for index, fraction in enumerate(fractions):
            owed[index] += fraction * len(rows)
        counts = [min(round(value), len(rows) // (len(fractions) + 1)) for value in owed]
        owed -= counts
        for index, count in enumerate(counts, start=1):
            parts[index].append(rows[:count])
            rows = rows[count:]
        parts[0].append(rows)
    cut = [np.flatnonzero(np.isin(first, np.concatenate(part))) for part in parts]
    if any(len(part) == 0 for part in cut):
        raise DatasetError(
            f"the train split has too few usable rows to hold out validation and test rows: {len(split):,}, with "
            f"{len(names):,} different labels (each part takes at most one of {len(fractions) + 1} different texts of a "
            "label). "
            "Add rows, or add validation and test files of your own"
        )
    return cut


def rarest_labels(split: TextSplit) -> list[str]:
    """The rarest label of each row (the first by name among equally rare ones); `""` where a row has none."""
    lists = split.labels
    counts = Counter(name for names in lists for name in set(names))
    return [min(names, key=lambda name: (counts[name], name), default="") for names in lists]


def _strata(split: TextSplit) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The stratum of each row, and the labels by stratum: the label, or the rarest one; numbers are one stratum."""
    labels = split.table.column("label")
    if pa.types.is_floating(labels.type):
        return np.zeros(len(split), dtype=np.int64), [""]
    if holds_lists(labels):
        labels = pa.chunked_array([pa.array(rarest_labels(split), pa.string())])
    names = pc.unique(labels)
    return np.asarray(pc.index_in(labels, names)).astype(np.int64), names.to_pylist()


def _hold_out_groups(split: TextSplit, fractions: list[float], seed: int, column: str) -> list[npt.NDArray[np.int64]]:
    """Like `_hold_out_stratified`, with rows of the same value of `column` together; rare labels fall anywhere."""
    from sklearn.model_selection import StratifiedGroupKFold  # noqa: PLC0415  (takes a second)

    groups = np.asarray(
        pc.dictionary_encode(split.table.column(column).combine_chunks(), null_encoding="encode").indices
    )
    folds = round(1 / fractions[0])
    if len(np.unique(groups)) < folds:
        raise DatasetError(
            f"the column {column!r} has only {len(np.unique(groups))} different values, but --split-by needs at least "
            f"{folds}. Choose a column with more values, or add splits of your own"
        )
    codes, _ = _strata(split)
    counts = np.bincount(codes)
    codes[counts[codes] < folds] = counts.argmax()  # StratifiedGroupKFold balances no label of fewer rows than folds
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    held_out = [np.sort(part).astype(np.int64) for _, part in splitter.split(codes, codes, groups)][: len(fractions)]
    rest = np.setdiff1d(np.arange(len(split), dtype=np.int64), np.concatenate(held_out))
    if len(rest) < len(split) / 2:
        raise DatasetError(
            f"only {len(rest):,} of {len(split):,} rows would be left to train on: some value of {column!r} has so many "
            "rows that it fills a held-out split. Choose another column, or add splits of your own"
        )
    return [rest, *held_out]
