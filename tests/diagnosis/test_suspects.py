"""Wrong labels that were planted are found, and how many there are is estimated."""

import csv
import json

import numpy as np
import pytest

from hfbertcls.cli import main
from hfbertcls.data import sources
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.readers.tables import read_table
from hfbertcls.diagnosis.suspects import (
    FOLDS,
    assign_folds,
    estimate_noise,
    find_suspects,
    joint_opinion,
    judge,
    neighbour_probabilities,
    vector_probabilities,
)
from hfbertcls.errors import DatasetError
from hfbertcls.modeling.loading import ModelSource


TOPICS = {"music": "tune song choir drum", "food": "bread soup apple rice", "sport": "goal race ball team"}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A file of 600 sentences of three topics, with 60 wrong labels; and the rows of these."""
    generator = np.random.default_rng(0)
    names = list(TOPICS)
    topics = generator.integers(3, size=600)
    wrong = np.sort(generator.choice(600, 60, replace=False))
    path = tmp_path_factory.mktemp("planted") / "topics.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for row, topic in enumerate(topics):
            words = [
                *generator.choice(TOPICS[names[topic]].split(), 3),
                *generator.choice(["the", "a", "of", "was"], 4),
            ]
            label = names[(topic + (1 + row % 2 if row in wrong else 0)) % 3]
            writer.writerow([" ".join(generator.permutation(words)) + f" {row}", label])
    return path, wrong, [names[topic] for topic in topics]


def test_planted_errors_come_first_with_their_true_label_and_the_rate_is_estimated(
    planted, tmp_path, capsys, monkeypatch
):
    path, wrong, topics = planted
    out = tmp_path / "suspects.csv"
    read: list[str] = []
    monkeypatch.setattr(sources, "read_table", lambda path, *more: read.append(path.name) or read_table(path, *more))
    assert main(["doctor", str(path), "--suspects", str(out), "--json"]) == 0
    assert read == [path.name]
    summary = json.loads(capsys.readouterr().out)["suspects"]
    assert summary["rows"] == 600
    assert summary["noise_rate"] == pytest.approx(0.1, abs=0.03)
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "row", "place", "text", "label", "likely_label", "likely_label_probability", "label_probability", "look_first",
    ]  # fmt: skip
    assert summary["noise_rate_low"] <= 0.1 <= summary["noise_rate_high"]
    texts = load_text_dataset(str(path), make_splits=False).splits["test"].texts
    assert all(row["text"] == texts[int(row["row"])] for row in rows)
    assert all(row["place"] == f"{path.name}, line {int(row['row']) + 2}" for row in rows)
    first = rows[:60]
    assert sum(int(row["row"]) in wrong for row in first) >= 57
    assert sum(row["likely_label"] == topics[int(row["row"])] for row in first) >= 57
    assert (
        sum(row["look_first"] == "yes" for row in rows)
        == summary["expected_errors"]
        == round(summary["noise_rate"] * 600)
    )
    probabilities = [float(row["label_probability"]) for row in rows]
    assert probabilities == sorted(probabilities)
    assert all(row["label"] != row["likely_label"] for row in rows)


def test_spellings_of_a_label_are_one_label_and_no_error(planted, tmp_path):
    path, wrong, _ = planted
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    merged = find_suspects(rows)
    for number, row in enumerate(rows):
        if number % 6 == 0:
            row["label"] = row["label"].upper()
    lines: list[str] = []
    suspects = find_suspects(rows, log=lines.append)
    assert lines[0] == ("These spellings count as one label: 'FOOD', 'food'; 'MUSIC', 'music'; 'SPORT', 'sport'")
    assert suspects.noise_rate == pytest.approx(merged.noise_rate, abs=0.01)
    assert np.isin(suspects.rows[:60], wrong).sum() >= 57
    assert suspects.labels == tuple(rows[row]["label"] for row in suspects.rows)
    assert set(suspects.likely_labels) == set(TOPICS)
    assert not {(own.lower(), likely) for own, likely in zip(suspects.labels, suspects.likely_labels, strict=True)} & {
        (name, name) for name in TOPICS
    }
    declared = find_suspects(load_text_dataset(rows, labels=sorted({row["label"] for row in rows}), make_splits=False))
    assert "FOOD" in declared.labels
    assert declared.noise_rate > suspects.noise_rate


def test_two_spellings_of_one_label_are_one_label(planted):
    rows = [{"text": f"text {number}", "label": ["yes", "Yes"][number % 2]} for number in range(80)]
    with pytest.raises(DatasetError, match="needs at least 50 rows and two labels, and .* has 80 and 1. Leave it out"):
        find_suspects(rows)


def test_the_summary_says_where_to_look(planted, tmp_path, capsys):
    path, _, _ = planted
    assert main(["doctor", str(path), "--suspects", str(tmp_path / "suspects.csv")]) == 0
    assert "rows may be wrong (between " in capsys.readouterr().out


def test_the_vectors_of_a_model_are_used_beside_the_words(planted, tiny_model_dir):
    path, wrong, _ = planted
    lines = []
    data = load_text_dataset(str(path), make_splits=False)
    with_vectors = find_suspects(data, ModelSource(str(tiny_model_dir)), lines.append)
    alone = find_suspects(data)
    assert "vectors of tiny-bert" in lines[-1]
    assert not np.array_equal(with_vectors.label_probabilities, alone.label_probabilities)
    assert np.isin(with_vectors.rows[:60], wrong).mean() > 0.9  # (the vectors of a random encoder tell little)
    again = find_suspects(data, ModelSource(str(tiny_model_dir)))
    assert with_vectors.to_csv() == again.to_csv()


def test_equal_texts_are_in_one_fold_and_each_label_is_in_all_folds():
    ids = np.array([0, 1] * 50)
    first_of = np.arange(100)
    first_of[90:] = np.arange(10)
    folds = assign_folds(ids, first_of)
    assert np.array_equal(folds[90:], folds[:10])
    for label in (0, 1):
        assert np.bincount(folds[:90][ids[:90] == label]).min() >= 7
    assert folds.max() == FOLDS - 1


def test_a_row_is_judged_by_models_that_did_not_see_it():
    """With labels that follow from nothing, models that had seen the rows would be right about them."""
    generator = np.random.default_rng(1)
    vectors = generator.normal(size=(200, 150)).astype(np.float32)
    ids = generator.integers(2, size=200)
    probabilities = vector_probabilities(vectors, ids, assign_folds(ids, np.arange(200)), 2)
    assert (probabilities.argmax(axis=1) == ids).mean() < 0.62
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_neighbours_are_rows_of_other_folds():
    angles = np.linspace(0, 1.2, 300)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    ids = (np.arange(300) >= 150).astype(np.int64)
    probabilities = neighbour_probabilities(vectors, ids, assign_folds(ids, np.arange(300)), 2)
    assert (probabilities.argmax(axis=1) == ids).mean() > 0.98
    assert np.allclose(probabilities.sum(axis=1), 1)
    alone = neighbour_probabilities(vectors, ids, ids, 2)  # each label is a fold: all neighbours have the other one
    assert (alone.argmax(axis=1) != ids).all()


def test_a_label_is_likely_if_no_model_holds_it_for_unlikely():
    joint = joint_opinion([np.array([[0.98, 0.02, 0.0]]), np.array([[0.05, 0.35, 0.6]])])
    assert joint.argmax() == 0
    assert joint.sum() == pytest.approx(1)
    assert joint_opinion([np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])]) == pytest.approx(0.5)


def test_a_label_that_is_in_one_fold_only_has_no_probability_there():
    ids = np.array([0, 1] * 20 + [2])
    vectors = np.random.default_rng(0).normal(size=(41, 3)).astype(np.float32)
    probabilities = vector_probabilities(vectors, ids, assign_folds(ids, np.arange(41)), 3)
    assert probabilities[-1, 2] == 0


def test_the_rate_is_that_of_the_half_that_the_models_are_surest_of():
    probabilities = np.array([[0.95, 0.05]] * 10 + [[0.55, 0.45]] * 10)
    ids = np.array([1] + [0] * 9 + [1] * 10)
    assert estimate_noise(ids, probabilities).value == pytest.approx(0.1)


def test_rows_are_those_of_the_source(planted):
    path, _, _ = planted
    split = load_text_dataset(str(path), make_splits=False).splits["test"].take("train", np.array([4, 7, 9]))
    suspects = judge(split, ("a", "b"), np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]))
    assert suspects.rows.tolist() == [7, 9]
    assert suspects.labels == tuple(split.labels[1:])
    assert suspects.likely_labels == ("b", "a")
    assert suspects.confidences.tolist() == [0.8, 0.7]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["text,label"] + [f"t{n},{'ab'[n % 2]}" for n in range(20)],
            "at least 50 rows and two labels.*has 20 and 2. Leave it out",
        ),
        (["text,label"] + [f"t{n},a" for n in range(80)], "has 80 and 1"),
        (["text,label"] + [f"t{n},{n / 7}" for n in range(80)], "has numbers"),
    ],
)
def test_what_has_no_labels_to_doubt_is_refused(tmp_path, lines, expected):
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(DatasetError, match=expected):
        find_suspects(load_text_dataset(str(tmp_path / "a.csv"), make_splits=False))


def test_lists_of_labels_have_no_suspects(tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": f"t{n}", "labels": ["a"]}) for n in range(80)))
    with pytest.raises(DatasetError, match="has lists of labels"):
        find_suspects(load_text_dataset(str(tmp_path / "a.jsonl"), make_splits=False))
