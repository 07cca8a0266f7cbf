"""Long texts from file to card: read in windows, or by their beginning and end."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForSequenceClassification, pipeline

from hfbertcls import TextClassifier, load_pipeline
from hfbertcls.cli import main
from hfbertcls.repository.verify import verify_directory


SIZES = {"train": 320, "validation": 64, "test": 64}


@pytest.fixture(scope="module")
def stories_dir(tmp_path_factory):
    """Texts of 3 to 80 words; the last two words say what they are about."""
    folder = tmp_path_factory.mktemp("data") / "stories"
    folder.mkdir()
    generator = np.random.default_rng(5)
    filler = ["the", "film", "was", "and", "plot", "a", "of", "with"]
    for name, rows in SIZES.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            for row in range(rows):
                label = ("bad", "good")[row % 2]
                words = generator.choice(filler, generator.integers(1, 78)).tolist()
                writer.writerow([" ".join([*words, {"bad": "dull poor", "good": "great good"}[label]]), label])
    return folder


def train(tiny_model_dir, stories_dir, directory, mode, *more):
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(stories_dir), "--output-dir", str(directory)]
    words += ["--max-length", "16", "--long-text", mode, "--max-steps", "40", "--learning-rate", "0.003"]
    assert main([*words, *more]) == 0
    return directory


@pytest.fixture(scope="module", params=["windows", "head-tail"])
def run(request, tmp_path_factory, tiny_model_dir, stories_dir):
    directory = tmp_path_factory.mktemp("long") / "stories"
    return train(tiny_model_dir, stories_dir, directory, request.param)


def mode_of(run):
    return json.loads((run / "config.json").read_text())["hfbertcls_long_text"]["mode"]


def test_it_learns_what_the_beginning_does_not_say_and_the_card_tells_the_difference(run):
    report = json.loads((run / "report.json").read_text())
    test = report["evaluation"]["test"]
    accuracy, truncated = test["metrics"]["accuracy"]["value"], test["truncated"]
    assert accuracy > truncated["accuracy"] + 0.1
    assert truncated["difference"]["value"] == pytest.approx(accuracy - truncated["accuracy"])
    table = pq.read_table(run / "predictions" / "test.parquet").to_pydict()
    same = np.mean([gold == one for gold, one in zip(table["label"], table["prediction_truncated"], strict=True)])
    assert same == pytest.approx(truncated["accuracy"])
    card = (run / "README.md").read_text()
    assert f"its accuracy is {truncated['accuracy']:.3f} then, {accuracy:.3f} with `load_pipeline`" in card
    assert "prediction_truncated" not in pq.read_schema(run / "predictions" / "validation.parquet").names
    assert report["training"]["options"]["long_text"] == mode_of(run)


def test_the_stated_accuracy_of_plain_pipeline_is_that_of_plain_pipeline(run, stories_dir):
    with (stories_dir / "test.csv").open() as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    table = pq.read_table(run / "predictions" / "test.parquet").to_pydict()
    plain = pipeline("text-classification", model=str(run), truncation=True)
    assert [one["label"] for one in plain(texts)] == table["prediction_truncated"]
    assert [one["label"] for one in load_pipeline(str(run))(texts)] == table["prediction"]
    assert [one["label"] for one in map(load_pipeline(str(run)), texts[:8]) for one in one] == table["prediction"][:8]


def test_verify_and_rescore_hold(run, stories_dir, capsys):
    found = verify_directory(str(run))
    assert not found.differences
    assert "the predictions where long texts are truncated" in found.unproven
    assert main(["verify", str(run), "--rescore", "--dataset", str(stories_dir)]) == 0
    assert "where long texts are truncated" not in capsys.readouterr().out


def test_another_way_to_read_in_config_json_is_found(run, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("checkpoints"))
    config = json.loads((copy / "config.json").read_text())
    del config["hfbertcls_long_text"]
    (copy / "config.json").write_text(json.dumps(config))
    differences = "\n".join(verify_directory(str(copy)).differences)
    assert "config.json: its hfbertcls_long_text is not how report.json says that long texts are read" in differences


def test_predict_evaluate_and_compare_read_as_training_did(run, stories_dir, tmp_path, capsys):
    table = pq.read_table(run / "predictions" / "test.parquet").to_pydict()
    assert (
        main(["predict", str(run), "--input", str(stories_dir / "test.csv"), "--output", str(tmp_path / "p.csv")]) == 0
    )
    with (tmp_path / "p.csv").open() as file:
        assert [row["prediction"] for row in csv.DictReader(file)] == table["prediction"]
    assert main(["evaluate", str(run), "--dataset", str(stories_dir), "--output-dir", str(tmp_path / "e")]) == 0
    again = pq.read_table(tmp_path / "e" / "predictions" / "test.parquet")
    assert np.abs(np.array(again["logits"].to_pylist()) - np.array(table["logits"])).max() < 1e-4
    capsys.readouterr()
    assert main(["compare", str(run), "tfidf", "--dataset", str(stories_dir), "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    right = [gold == one for gold, one in zip(table["label"], table["prediction"], strict=True)]
    assert compared["metrics"]["accuracy"]["a"] == pytest.approx(np.mean(right))


def test_an_export_of_windows_is_refused_with_the_reason(run, stories_dir, capsys):
    code = main(["export", str(run), "--dataset", str(stories_dir)])
    if mode_of(run) == "windows":
        assert code == 2
        assert "an ONNX graph answers one window" in capsys.readouterr().err
    else:
        assert code == 0


def test_training_that_goes_on_keeps_the_way_to_read(run, stories_dir, tmp_path):
    more = TextClassifier.train(str(run), str(stories_dir), output_dir=tmp_path / "more", max_steps=2, max_length=16)
    assert more.report.task.long_text.mode == mode_of(run)
    other = TextClassifier.train(
        str(run), str(stories_dir), output_dir=tmp_path / "other", max_steps=2, max_length=16, long_text="truncate"
    )
    assert other.report.task.long_text is None
    assert not hasattr(
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "other").config, "hfbertcls_long_text"
    )


def test_few_rows_and_multi_label_rows_are_read_in_windows_too(tiny_model_dir, tmp_path, short_contrastive_phase):
    words = ["the", "film", "was", "great", "and", "plot", "dull", "a"]
    long = [" ".join(np.random.default_rng(row).choice(words, 30)) for row in range(60)]
    texts = [f"{text} {('good', 'bad')[row % 2]}" for row, text in enumerate(long)]
    labels = [[("x", "y")[row % 2]] if row % 3 else [] for row in range(60)]
    classifier = TextClassifier.train(
        str(tiny_model_dir),
        (texts, labels),
        output_dir=tmp_path / "few",
        max_length=16,
        long_text="windows",
        max_windows=4,
    )
    assert classifier.report.evaluation["cross_validation"].kind == "out_of_fold"
    assert not verify_directory(str(tmp_path / "few")).differences


def test_options_that_do_not_fit_are_refused_before_training(tiny_model_dir, stories_dir, tmp_path, capsys):
    words = [
        "train",
        "--model",
        str(tiny_model_dir),
        "--dataset",
        str(stories_dir),
        "--output-dir",
        str(tmp_path / "x"),
    ]
    for more, message in (
        (["--max-windows", "3"], "--max-windows and --window-overlap go with --long-text windows"),
        (["--long-text", "middle"], "--long-text middle is an invalid value"),
        (["--max-length", "16", "--long-text", "windows", "--window-overlap", "9"], "windows have 16 tokens"),
    ):
        assert main([*words, *more]) == 2
        assert message in capsys.readouterr().err


def test_many_truncated_texts_suggest_the_option(tiny_model_dir, stories_dir, tmp_path, capsys):
    words = [
        "train",
        "--model",
        str(tiny_model_dir),
        "--dataset",
        str(stories_dir),
        "--output-dir",
        str(tmp_path / "x"),
    ]
    assert main([*words, "--max-length", "16", "--max-steps", "1"]) == 0
    assert "note: --long-text windows reads long texts further" in capsys.readouterr().err
    assert main(["doctor", str(stories_dir), "--model", str(tiny_model_dir), "--max-length", "16"]) == 0
    assert "--long-text windows reads them further" in capsys.readouterr().out
