import numpy as np
import pyarrow as pa
import pytest

from hfbertcls.data.dataset import TextSplit
from hfbertcls.data.splits import complete_splits
from hfbertcls.errors import ConfigurationError, DatasetError


def split(labels, name="train", **columns):
    size = len(labels)
    table = pa.table({"row": np.arange(size) * 2, "text": [f"t{n}" for n in range(size)], "label": labels, **columns})
    return TextSplit(name, table, size + 3, {"empty_text": 3}, "hash")


LABELS = ["a"] * 600 + ["b"] * 300 + ["c"] * 100


def rows_of(splits):
    return {name: part.rows.tolist() for name, part in splits.items()}


def test_the_same_seed_gives_the_same_cut_and_another_seed_another():
    first, how = complete_splits({"train": split(LABELS)}, 7)
    again, _ = complete_splits({"train": split(LABELS)}, 7)
    other, _ = complete_splits({"train": split(LABELS)}, 8)
    assert rows_of(first) == rows_of(again) != rows_of(other)
    assert how == "validation and test held out of train (stratified by label, duplicates together, seed 7)"


def test_cut_splits_are_disjoint_complete_and_in_order():
    cut, _ = complete_splits({"train": split(LABELS)}, 0)
    rows = [part.rows for part in cut.values()]
    assert list(cut) == ["train", "validation", "test"]
    assert sorted(np.concatenate(rows)) == [2 * n for n in range(1000)]
    assert all((np.diff(part) > 0).all() for part in rows)
    assert [len(part) for part in cut.values()] == [800, 100, 100]


def test_left_out_rows_are_counted_once():
    cut, _ = complete_splits({"train": split(LABELS)}, 0)
    assert sum(part.rows_read for part in cut.values()) == 1003
    assert [dict(part.dropped) for part in cut.values()] == [{"empty_text": 3}, {}, {}]


def test_each_part_has_its_share_of_each_label():
    cut, _ = complete_splits({"train": split(LABELS)}, 0)
    for name in ("validation", "test"):
        assert {label: cut[name].labels.count(label) for label in "abc"} == {"a": 60, "b": 30, "c": 10}


def test_a_label_of_one_row_stays_in_train():
    cut, _ = complete_splits({"train": split([*LABELS, "rare"])}, 0)
    assert "rare" in cut["train"].labels
    assert "rare" not in cut["validation"].labels + cut["test"].labels


def test_a_given_test_split_is_kept_and_only_validation_cut():
    test = split(["a", "b"], "test")
    cut, how = complete_splits({"train": split(LABELS), "test": test}, 0)
    assert cut["test"] is test
    assert [len(cut["train"]), len(cut["validation"])] == [900, 100]
    assert how.startswith("validation held out of train")


def test_train_and_validation_of_the_source_stay_as_they_are():
    splits = {"train": split(["a", "b"]), "validation": split(["a"], "validation")}
    assert complete_splits(splits, 0) == (splits, "as in the source")


def test_split_by_keeps_groups_together():
    groups = [f"g{n // 4}" if n % 50 else None for n in range(1000)]
    cut, how = complete_splits({"train": split(LABELS, user=groups)}, 0, "user")
    seen = [set(part.table["user"].to_pylist()) for part in cut.values()]
    assert len(set.union(*seen)) == sum(map(len, seen))
    assert sum(map(len, cut.values())) == 1000
    assert how == "validation and test held out of train (no 'user' in two splits, seed 0)"


def test_split_by_works_with_a_rare_label():
    cut, _ = complete_splits({"train": split([*LABELS, "rare"], user=[str(n) for n in range(1001)])}, 0, "user")
    assert sum(map(len, cut.values())) == 1001


@pytest.mark.parametrize(
    "labels",
    [pa.array(np.linspace(0, 1, 100)), pa.array([["a"], ["a", "b"], []] * 33 + [["b"]])],
    ids=["numbers", "lists"],
)
@pytest.mark.parametrize("split_by", [None, "user"])
def test_numbers_and_lists_are_cut_too(labels, split_by):
    cut, how = complete_splits({"train": split(labels, user=[str(n) for n in range(100)])}, 0, split_by, "off")
    assert [len(part) for part in cut.values()] == [80, 10, 10]
    expected = "stratified by quintile" if pa.types.is_floating(labels.type) else "by the rarest label of each row"
    assert (expected in how) == (split_by is None)


def test_each_part_gets_its_share_of_a_rare_label_beside_a_frequent_one():
    labels = pa.array([["often"]] * 560 + [["often", "rarely"]] * 40)
    cut, _ = complete_splits({"train": split(labels)}, 0)
    counts = {name: sum("rarely" in names for names in part.labels) for name, part in cut.items()}
    assert counts == {"train": 32, "validation": 4, "test": 4}


@pytest.mark.parametrize(("labels", "counts"), [(["a"], "1, with 1"), (["a", "b", "c", "d"], "4, with 4")])
def test_too_few_rows_to_hold_out_are_an_error(labels, counts):
    with pytest.raises(DatasetError, match=f"too few usable rows .* {counts} different labels .*files of your own"):
        complete_splits({"train": split(labels)}, 0, cross_validation="off")


def test_too_few_rows_for_folds_are_an_error():
    with pytest.raises(DatasetError, match=r"for cross-validation: 4, with 4 different labels.*files of your own"):
        complete_splits({"train": split(["a", "b", "c", "d"])}, 0)


@pytest.mark.parametrize(
    ("labels", "has_validation"),
    [
        ([str(n % 80) for n in range(399)], False),  # (fewer than five of a label)
        ([str(n % 80) for n in range(400)], True),
        (["a", "b"] * 149, False),
        (["a", "b"] * 150, True),
        ([float(n) for n in range(299)], False),
        ([float(n) for n in range(300)], True),
        ([[str(n % 80), str(n % 7)] for n in range(399)], False),
    ],
    ids=["399 of 80", "400 of 80", "298 of 2", "300 of 2", "299 numbers", "300 numbers", "399 lists of 80"],
)
def test_few_rows_of_a_label_are_cross_validated_too(labels, has_validation):
    cut, _ = complete_splits({"train": split(labels), "test": split(labels[:20])}, 7)
    assert ("validation" in cut) == has_validation


def test_too_few_groups_are_refused():
    with pytest.raises(DatasetError, match=r"'user' has only 2 different values, .* at least 10. Choose a column"):
        complete_splits({"train": split(LABELS, user=["x", "y"] * 500)}, 0, "user")


def test_a_group_that_would_leave_little_to_train_on_is_refused():
    users = ["busy"] * 991 + [str(n) for n in range(9)]
    labels = ["a"] * 991 + ["b"] * 9
    with pytest.raises(DatasetError, match=r"only \d of 1,000 rows .*'user' has so many.* Choose another column"):
        complete_splits({"train": split(labels, user=users)}, 7, "user")


def test_split_by_works_where_every_label_is_rare():
    cut, _ = complete_splits(
        {"train": split(list("aabbccddeeff"), user=[str(n) for n in range(12)])}, 0, "user", "off"
    )
    assert sorted(map(len, cut.values())) == [2, 2, 8]


def test_split_by_without_anything_to_cut_is_refused():
    splits = {"train": split(["a", "b"]), "validation": split(["a"], "validation")}
    with pytest.raises(ConfigurationError, match="--split-by user has nothing to do"):
        complete_splits(splits, 0, "user")
