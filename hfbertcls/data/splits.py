"""Splitting what came without splits: seeded, stratified by label, or keeping groups together."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.dataset import TextSplit
from hfbertcls.data.duplicates import first_occurrences
from hfbertcls.errors import ConfigurationError, DatasetError, did_you_mean
from hfbertcls.tasks.cells import holds_lists, names_in


VALIDATION_FRACTION = 0.1
TEST_FRACTION = 0.1
CROSS_VALIDATED_BELOW = 300
"""Training rows from which on validation rows are held out; fewer are cross-validated."""
_OF_A_LABEL = 5
"""Rows of a label, on average, from which on validation rows are held out: with fewer, a tenth of them has no row of most
labels, and cannot choose a checkpoint."""
TEST_FROM = 100
"""Training rows from which on test rows are held out of data that are cross-validated."""
FOLDS = 5
MODES = ("auto", "on", "off")
"""Of cross-validation: instead of a validation split where there are few rows, always, or never."""


def are_few(rows: int, num_labels: int) -> bool:
    """Whether training rows without a validation split are cross-validated.

    ```python
    >>> are_few(300, num_labels=2), are_few(300, num_labels=77)
    (False, True)
    ```

    Args:
        rows: how many there are.
        num_labels: how many labels they have; 0 for numbers.
    """
    return rows < max(CROSS_VALIDATED_BELOW, _OF_A_LABEL * num_labels)


def complete_splits(
    splits: Mapping[str, TextSplit], seed: int, split_by: str | None = None, cross_validation: str = "auto"
) -> tuple[dict[str, TextSplit], str]:
    """Hold missing splits out of train by a seeded, stratified split; splits of the source stay as they are.

    Strata are the labels. A row with more than one label counts for the rarest of them. Numbers have five strata, divided
    at their quintiles.

    Train alone becomes 80 % train, 10 % validation and 10 % test. Of train and test, 10 % of train become validation,
    so that the test split is never used for model selection. Train and validation stay as they are, without test
    metrics.

    Fewer than 300 training rows, or fewer than five of a label on average, are cross-validated if there is no validation
    split, so they get none. Of 100 and more of them, 10 % become test where there is no test split.

    Args:
        splits (`Mapping[str, TextSplit]`): with a `train` split.
        seed (`int`): the same seed gives the same splits of the same rows.
        split_by (`str`, *optional*): a column; rows with the same value there stay in the same split.
        cross_validation (`str`): `off` holds validation rows out of few rows too; `on` is as `auto`, but an error for
            data that are not cross-validated.

    Returns:
        The splits, and a description of how they were made.

    Raises:
        DatasetError: if the train split is too small.
        ConfigurationError: if `split_by` is set, but no split is missing; if there is no such `cross_validation`, or
            it is `on`, and the data have a validation split or too many training rows.
    """
    if cross_validation not in MODES:
        raise ConfigurationError(
            f"--cross-validation {cross_validation} is an invalid value{did_you_mean(cross_validation, MODES)}. Expected "
            "auto, on or off"
        )
    train = splits["train"]
    labels = train.label_cells
    num_labels = 0 if pa.types.is_floating(labels.type) else len(pc.unique(names_in(labels)))
    is_few = "validation" not in splits and are_few(len(train), num_labels)
    if cross_validation == "on" and not is_few:
        what = "have a validation split" if "validation" in splits else f"have {len(train):,} training rows"
        raise ConfigurationError(
            f"--cross-validation on is for fewer than {CROSS_VALIDATED_BELOW} training rows, or fewer than {_OF_A_LABEL} of a label on "
            f"average, without a validation split; these data {what}. Leave it out"
        )
    if "validation" in splits:
        if split_by:
            raise ConfigurationError(
                f"--split-by {split_by} has nothing to do: the data set has its own train and validation splits"
            )
        return dict(splits), "as in the source"
    held_out = {} if "test" in splits else {"test": TEST_FRACTION}
    is_cross_validated = is_few and cross_validation != "off"
    if is_cross_validated:
        assign_folds(train, seed, split_by)  # (an error before any model is loaded)
        if len(train) < TEST_FROM or not held_out:
            return dict(splits), "as in the source" if "test" in splits else "none, every row is a training row"
    else:
        held_out["validation"] = VALIDATION_FRACTION
    fractions = list(held_out.values())
    cut = (
        _hold_out_groups(train, fractions, seed, split_by)
        if split_by
        else _hold_out_stratified(train, fractions, seed)
    )
    parts = dict(zip(held_out, cut[1:], strict=True))
    result = {"train": train.take("train", cut[0], train.dropped)}
    for name in ("validation", "test"):
        if name in parts or name in splits:
            result[name] = train.take(name, parts[name]) if name in parts else splits[name]
    if is_cross_validated:
        assign_folds(result["train"], seed, split_by)
    if split_by:
        how = f"no {split_by!r} in two splits"
    else:
        how = "by the rarest label of each row" if holds_lists(labels) else "stratified by label"
        how = "stratified by quintile" if pa.types.is_floating(labels.type) else how
        how += ", duplicates together"
    return result, f"{' and '.join(sorted(held_out, reverse=True))} held out of train ({how}, seed {seed})"


def assign_folds(split: TextSplit, seed: int, split_by: str | None = None) -> npt.NDArray[np.int64]:
    """Deal the rows of a split to five folds, stratified by label; duplicates go to the same fold.

    There are fewer folds where there are fewer different texts, or fewer values of `split_by`.

    Args:
        split: the rows.
        seed: the same seed gives the same folds of the same rows.
        split_by: a column; rows with the same value there go to the same fold.

    Returns:
        The fold of each row, from 0, of shape `(len(split),)`.

    Raises:
        DatasetError: if fewer than two labels have two different texts, or `split_by` has one value.
    """
    codes, names = strata(split)
    first = first_occurrences(split)
    texts = np.bincount(codes[first == np.arange(len(split))], minlength=len(names))
    if len(names) > 1 and (texts > 1).sum() < 2:
        raise DatasetError(
            f"the train split has too few usable rows for cross-validation: {len(split):,}, with {len(names):,} different "
            "labels. At least two labels need two different texts each. Add rows, or add validation and test files of "
            "your own"
        )
    if not split_by:
        return _stratified_folds(first, codes, names, seed)
    folds = _folds_of_groups(split, codes, seed, split_by)
    if len(names) > 1 and any(len(np.unique(codes[folds != fold])) < 2 for fold in np.unique(folds)):
        raise DatasetError(
            f"with all rows of a value of {split_by!r} in one fold, the rows outside of some fold have one label only. "
            "Choose another column, or add rows"
        )
    return folds


def _stratified_folds(
    first: npt.NDArray[np.int64], codes: npt.NDArray[np.int64], names: list[str], seed: int
) -> npt.NDArray[np.int64]:
    """Deal the shuffled texts label by label, one fold after the other; `first` has their first occurrences."""
    generator = np.random.default_rng(seed)
    distinct = np.flatnonzero(first == np.arange(len(first)))
    dealt = [
        generator.permutation(distinct[codes[distinct] == code])
        for code in sorted(range(len(names)), key=names.__getitem__)
    ]
    order = np.concatenate(dealt)
    folds = np.zeros(len(first), dtype=np.int64)
    folds[order] = np.arange(len(order)) % FOLDS
    return np.asarray(folds[first])


def _folds_of_groups(split: TextSplit, codes: npt.NDArray[np.int64], seed: int, column: str) -> npt.NDArray[np.int64]:
    """Like `_stratified_folds`, with rows of the same value of `column` together."""
    from sklearn.model_selection import StratifiedGroupKFold  # noqa: PLC0415  (takes a second)

    groups = _groups(split, column)
    count = min(FOLDS, len(np.unique(groups)))
    if count < 2:
        raise DatasetError(
            f"the column {column!r} has one value, so --split-by {column} leaves no row to train on beside a fold. Choose "
            "another column"
        )
    codes = codes.copy()
    counts = np.bincount(codes)
    codes[counts[codes] < count] = counts.argmax()  # (as in `_hold_out_groups`)
    folds = np.zeros(len(split), dtype=np.int64)
    splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(codes, codes, groups)):
        folds[held_out] = fold
    return np.unique(folds, return_inverse=True)[1].astype(np.int64)  # (a fold may have got no group)


def _groups(split: TextSplit, column: str) -> npt.NDArray[np.int64]:
    """A number for each value of a column."""
    cells = split.table.column(column).combine_chunks()
    return np.asarray(pc.dictionary_encode(cells, null_encoding="encode").indices)


def _hold_out_stratified(split: TextSplit, fractions: list[float], seed: int) -> list[npt.NDArray[np.int64]]:
    """Deal the shuffled rows of each label to the parts; the rest stays in train, so a label with one row does too.

    Duplicates go to the same part.

    Returns:
        Sorted positions: of train, then one array for each fraction.
    """
    generator = np.random.default_rng(seed)
    codes, names = strata(split)
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
            f"the train split has too few usable rows to hold out rows for validation or test: {len(split):,}, with "
            f"{len(names):,} different labels (each part takes at most one of {len(fractions) + 1} different texts of a "
            "label). "
            "Add rows, or add validation and test files of your own"
        )
    return cut


def quintiles(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The stratum of each number, from 0, of shape `(n,)`: divided at the quintiles, or fewer where they are equal.

    >>> quintiles(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 5.0]))
    array([0, 1, 2, 3, 4, 4])
    """
    if not len(numbers):
        return np.zeros(0, dtype=np.int64)
    ends = np.unique(np.quantile(numbers, [0.2, 0.4, 0.6, 0.8], method="lower"))
    return np.unique(np.searchsorted(ends, numbers), return_inverse=True)[1].astype(np.int64)


def rarest_labels(split: TextSplit) -> list[str]:
    """The rarest label of each row (the first by name among equally rare ones); `""` where a row has none."""
    lists = split.labels
    counts = Counter(name for names in lists for name in set(names))
    return [min(names, key=lambda name: (counts[name], name), default="") for names in lists]


def strata(split: TextSplit) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The stratum of each row, and the labels by stratum: the label, the rarest one, or the fifth of the numbers."""
    labels = split.table.column("label")
    if pa.types.is_floating(labels.type):
        codes = quintiles(labels.to_numpy())
        return codes, [str(code) for code in range(int(codes.max(initial=0)) + 1)]
    if holds_lists(labels):
        labels = pa.chunked_array([pa.array(rarest_labels(split), pa.string())])
    names = pc.unique(labels)
    return np.asarray(pc.index_in(labels, names)).astype(np.int64), names.to_pylist()


def _hold_out_groups(split: TextSplit, fractions: list[float], seed: int, column: str) -> list[npt.NDArray[np.int64]]:
    """Like `_hold_out_stratified`, with rows of the same value of `column` together; rare labels fall anywhere."""
    from sklearn.model_selection import StratifiedGroupKFold  # noqa: PLC0415  (takes a second)

    groups = _groups(split, column)
    folds = round(1 / fractions[0])
    if len(np.unique(groups)) < folds:
        raise DatasetError(
            f"the column {column!r} has only {len(np.unique(groups))} different values, but --split-by needs at least "
            f"{folds}. Choose a column with more values, or add splits of your own"
        )
    codes, _ = strata(split)
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
