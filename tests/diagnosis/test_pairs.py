"""What the doctor says of pairs: swapped ones, artefacts, near-duplicates of both texts, likely label errors."""

import csv
import io

import numpy as np
import pytest

from hfbertcls import diagnose, find_suspects, load_text_dataset


WORDS = [f"word{letter}{other}" for letter in "abcdefghij" for other in "klmnopqrst"]


def pairs(count, seed=0, tells=False):
    """Random pairs; the second text tells the label, or nothing does."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        first, second = (" ".join(generator.choice(WORDS, 6)) for _ in range(2))
        label = "yn"[number % 2]
        rows.append(
            {"text": first, "text_pair": f"{'never' if tells and label == 'n' else 'maybe'} {second}", "label": label}
        )
    return rows


def found(*splits):
    diagnosis = diagnose(dict(zip(("train", "validation", "test"), splits, strict=False)))
    return {finding.code: finding for finding in diagnosis.findings}


def swapped(row, label=None):
    return {"text": row["text_pair"], "text_pair": row["text"], "label": label or row["label"]}


def test_swapped_pairs_are_counted_within_and_across_splits():
    train = pairs(100)
    findings = found([*train, swapped(train[0], "n")], pairs(40, 1), pairs(40, 2))
    assert findings["swapped_pairs"].severity == "info"
    assert (
        "2 of the 101 rows of train (2.0 %) are in another row with the two texts in the other order"
        in findings["swapped_pairs"].fact
    )
    assert "2 of them with another label" in findings["swapped_pairs"].fact
    findings = found(train, pairs(40, 1), [*pairs(36, 2), *map(swapped, train[:4])])
    assert findings["swapped_pairs"].severity == "warning"
    assert (
        "4 of the 40 rows of test (10.0 %) are in train with the two texts in the other order"
        in findings["swapped_pairs"].fact
    )
    assert "swapped_pairs" not in found(train, pairs(40, 1), pairs(40, 2))


def test_pairs_of_two_equal_texts_are_no_swapped_pairs():
    train = pairs(100)
    train[7]["text_pair"] = train[7]["text"].upper()
    findings = found(train, pairs(40, 1), pairs(40, 2))
    assert "1 of the 100 rows of train (1.0 %) is a pair of two equal texts" in findings["equal_texts"].fact
    assert "swapped_pairs" not in findings


@pytest.mark.parametrize(("tells", "severity"), [(True, "warning"), (False, "info")])
def test_labels_that_the_second_text_alone_tells_are_artefacts(tells, severity):
    finding = found(pairs(300, 0, tells), pairs(100, 1, tells), pairs(100, 2, tells))["second_text_alone"]
    assert finding.severity == severity
    assert ("words of the second text alone tell the label of 100.0 % of 100 validation rows" in finding.fact) == tells
    assert ("may learn not to compare the two" in finding.advice) == tells


@pytest.mark.parametrize(
    ("rows", "measured"),
    [
        ((300, 49, 50), "50 test rows"),
        ((300, 50, 49), "50 validation rows"),
        ((250, 49, 49), "50 held-out rows"),
        ((330,), "53 held-out rows"),  # (264 of them are in train)
        ((247, 49, 49), None),
    ],
)
def test_the_second_text_is_measured_where_at_least_50_rows_are_held_out(rows, measured):
    findings = found(*(pairs(count, seed) for seed, count in enumerate(rows)))
    if measured is None:
        assert "second_text_alone" not in findings
    else:
        assert f" % of {measured} (TF-IDF" in findings["second_text_alone"].fact


def test_pairs_are_near_duplicates_only_if_both_texts_are():
    """The same long premise with another short hypothesis is another pair."""
    train = pairs(100)
    premise = " ".join(WORDS[:40])
    train[0] |= {"text": premise, "text_pair": "nobody has slept at all last night"}
    train[1] |= {"text": premise, "text_pair": "everybody was awake until morning"}
    assert "near_duplicate_rows" not in found(train, pairs(40, 1), pairs(40, 2))
    train[1] |= {"text": f"{premise}!", "text_pair": "Nobody has slept at all, last night"}
    train[2] |= {"text": premise.replace("wordak", "wordek"), "text_pair": "nobody has slept at all last night"}
    assert "near-duplicates" in found(train, pairs(40, 1), pairs(40, 2))["near_duplicate_rows"].fact


def test_likely_label_errors_of_pairs_are_listed_with_both_texts():
    rows = pairs(200, 0, tells=True)
    for number in (11, 60):
        rows[number]["label"] = "y" if rows[number]["label"] == "n" else "n"
    suspects = find_suspects(load_text_dataset(rows, make_splits=False))
    assert set(suspects.rows[:2].tolist()) == {11, 60}
    lines = list(csv.DictReader(io.StringIO(suspects.to_csv())))
    assert (lines[0]["text"], lines[0]["text_pair"]) == suspects.texts[0]
