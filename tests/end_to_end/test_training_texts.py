"""Every evaluation reports how many of its texts were in the training data, if the directory can tell."""

import csv
import json
import random
import shutil

import pytest

from hfbertcls.cli import main


@pytest.fixture
def shuffled(tmp_path, reviews_dir):
    """Some training texts among others, in another order, form and file, with ids of their own."""
    with (reviews_dir / "train.csv").open(newline="") as file:
        trained = [(f"  {text.upper()} ", label) for text, label in list(csv.reader(file))[1:41]]
    others = [(f"something else {number}", "positive" if number % 2 else "negative") for number in range(60)]
    rows = trained + others
    random.Random(5).shuffle(rows)
    path = tmp_path / "export.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label"])
        writer.writerows((number, *row) for number, row in enumerate(rows, 9_000))
    return path


def expected(shuffled, reviews_dir):
    """Rows of the export whose folded text is in the training data, counted here by hand."""
    with (reviews_dir / "train.csv").open(newline="") as file:
        training_texts = {" ".join(text.lower().split()) for text, _ in list(csv.reader(file))[1:]}
    with shuffled.open(newline="") as file:
        return sum(" ".join(text.lower().split()) in training_texts for _, text, _ in list(csv.reader(file))[1:])


def test_evaluate_and_compare_name_how_many(finished_run, reviews_dir, shuffled, capsys):
    count = expected(shuffled, reviews_dir)
    assert 40 <= count < 100
    line = f"{count} of the 100 measured texts ({count / 100:.1%}) were in the training data of film-reviews"
    assert main(["evaluate", str(finished_run), "--dataset", str(shuffled), "--json"]) == 0
    out, err = capsys.readouterr()
    assert line in err
    assert json.loads(out)["evaluation"]["test"]["trained_on"] == count
    assert main(["compare", str(finished_run), str(finished_run), "--dataset", str(shuffled), "--json"]) == 0
    out, err = capsys.readouterr()
    assert line in err
    assert json.loads(out)["a"]["trained_on"] == count
    assert main(["compare", str(finished_run), str(finished_run), "--dataset", str(shuffled)]) == 0
    out = capsys.readouterr().out
    for letter in "AB":
        assert (
            f"Caution: {count} of these 100 rows were in the training data of {letter}. Its metrics are too good"
            in out
        )


def test_new_texts_are_reported_as_new(finished_run, tmp_path, capsys):
    path = tmp_path / "new.csv"
    path.write_text(
        "text,label\n" + "".join(f"new {number},{('negative', 'positive')[number % 2]}\n" for number in range(40))
    )
    assert main(["evaluate", str(finished_run), "--dataset", str(path)]) == 0
    assert "none of the 40 measured texts was in the training data of film-reviews" in capsys.readouterr().err


def test_without_fingerprints_it_is_unknown(model_dir, shuffled, capsys):
    shutil.rmtree(model_dir / "checkpoints")
    assert main(["evaluate", str(model_dir), "--dataset", str(shuffled), "--json"]) == 0
    out, err = capsys.readouterr()
    assert "whether film-reviews was trained on any of these texts cannot be told" in err
    assert json.loads(out)["evaluation"]["test"].get("trained_on") is None


def test_fingerprints_are_salted_private_and_tell_no_text(finished_run):
    path = finished_run / "checkpoints" / "training_texts.bin"
    assert path.stat().st_mode & 0o077 == 0
    assert (path.stat().st_size - 16) % 8 == 0
    assert not list((finished_run / "checkpoints").glob("checkpoint-*/training_texts.bin"))


def test_fingerprints_are_in_no_upload(hub, tmp_path, tiny_model_dir, reviews_dir, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    words = ["--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--max-steps", "4", "--eval-every", "2"]
    words += ["--output-dir", str(tmp_path / "m"), "--push-to-hub", "alice/m", "--push-every-save"]
    assert main(["train", *words]) == 0
    assert (tmp_path / "m" / "checkpoints" / "training_texts.bin").is_file()
    repository = hub.store.repositories["models", "alice/m"]
    names = {name for commit in repository.commits.values() for name in commit.files}
    assert "checkpoints/run.json" in names
    assert not [name for name in names if "training_texts" in name]


def test_runs_of_seeds_have_them_too(tmp_path, tiny_model_dir, reviews_dir, shuffled, capsys):
    words = ["--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--max-steps", "2", "--eval-every", "no"]
    assert main(["train", *words, "--output-dir", str(tmp_path / "m"), "--seeds", "2"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "m"), "--dataset", str(shuffled)]) == 0
    assert "were in the training data of m" in capsys.readouterr().err


def test_training_from_a_classifier_names_the_test_rows_that_it_has_seen(finished_run, reviews_dir, tmp_path, capsys):
    path, known = tmp_path / "all.csv", (reviews_dir / "train.csv").read_text()
    path.write_text(known + "".join(f"text {n},{('negative', 'positive')[n % 2]}\n" for n in range(120)))
    words = ["train", "--model", str(finished_run), "--dataset", str(path), "--output-dir", str(tmp_path / "m")]
    assert main([*words, "--max-steps", "2"]) == 0
    evaluation, (out, err) = (
        json.loads((tmp_path / "m" / "report.json").read_text())["evaluation"],
        capsys.readouterr(),
    )
    for name in ("validation", "test"):
        seen = evaluation[name]["trained_on"]
        assert 30 < seen < 60
        assert (
            f"warning: {seen} of the 60 {name} rows were in the training data of film-reviews. Metrics on them" in err
        )
    assert (
        f"The model that training began with was trained on {seen} of these 60 rows: the metrics are too good" in out
    )
    card = (tmp_path / "m" / "README.md").read_text()
    assert f"was trained on {seen} of these 60 rows: **the metrics are too good**" in card
    assert main(["verify", str(tmp_path / "m")]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "m"), "--dataset", str(reviews_dir / "train.csv"), "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["evaluation"].values()
    assert entry["trained_on"] == 480
