"""Giving no answer where the score is low, and finding that score on the validation split."""

import json

import pyarrow.parquet as pq
import pytest

from hfbertcls import Predictions, predict_file
from hfbertcls.cli import main
from hfbertcls.errors import ConfigurationError, ModelError
from hfbertcls.evaluation.abstaining import threshold_for_accuracy
from hfbertcls.evaluation.intervals import wilson_interval
from hfbertcls.inference.abstention import threshold_of
from hfbertcls.inference.bulk import BulkOptions
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.tasks.known import task_of_report


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text(
        "text\n" + "".join(f"the film number {n} was {w}\n" for n in range(20) for w in ("good", "bad", "so"))
    )
    return path


def rows_of(path):
    return pq.read_table(path).to_pylist()


def test_rows_below_the_score_have_no_answer_and_say_so(finished_run, texts, tmp_path):
    everything = predict_file(str(finished_run), texts, tmp_path / "all.parquet")
    scores = sorted(row["score"] for row in rows_of(tmp_path / "all.parquet"))
    least = (scores[len(scores) // 2] + scores[len(scores) // 2 - 1]) / 2
    some = predict_file(str(finished_run), texts, tmp_path / "some.parquet", BulkOptions(abstain_below=least))
    assert everything.unanswered == 0
    for before, after in zip(rows_of(tmp_path / "all.parquet"), rows_of(tmp_path / "some.parquet"), strict=True):
        assert (after["score"], after["scores"], after["row"]) == (before["score"], before["scores"], before["row"])
        assert after["abstained"] == (before["score"] < least)
        assert after["prediction"] == (None if after["abstained"] else before["prediction"])
        assert after["reason"] is None
    assert some.unanswered == sum(row["abstained"] for row in rows_of(tmp_path / "some.parquet")) > 0


def test_the_score_for_an_accuracy_is_that_of_the_validation_split(finished_run):
    task = task_of_report(json.loads((finished_run / "report.json").read_text())["task"])
    stored = (finished_run / "predictions" / "validation.parquet").read_bytes()
    predictions = Predictions.from_parquet(stored, task)
    expected = threshold_for_accuracy(task, predictions.gold, predictions.logits, 0.5)
    assert threshold_of(ModelSource(str(finished_run)), 0.5) == expected
    assert expected.rows == round(expected.coverage * len(predictions.gold))
    assert expected.interval == wilson_interval(round(expected.accuracy * expected.rows), expected.rows)


def test_the_command_finds_the_score_and_says_what_it_buys(finished_run, texts, tmp_path, capsys):
    words = ["predict", str(finished_run), "--input", str(texts), "--output", str(tmp_path / "o.parquet")]
    assert main([*words, "--target-accuracy", "0.5"]) == 0
    printed = capsys.readouterr().err
    assert "such answers to held-out rows" in printed
    assert "(95 % interval " in printed
    least = threshold_of(ModelSource(str(finished_run)), 0.5).score
    for row in rows_of(tmp_path / "o.parquet"):
        assert row["abstained"] == (row["score"] < least)


def test_a_model_on_the_hub_brings_its_validation_split_along(hub, model_dir, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    assert main(["push", str(model_dir), "alice/films"]) == 0
    assert threshold_of(ModelSource("alice/films"), 0.5) == threshold_of(ModelSource(str(model_dir)), 0.5)
    assert main(["push", str(model_dir), "alice/without", "--no-predictions"]) == 0
    with pytest.raises(ModelError, match="has no report.json with predictions/validation.parquet"):
        threshold_of(ModelSource("alice/without"), 0.5)


@pytest.mark.parametrize("option", ["--abstain-below", "--target-accuracy"])
def test_of_multi_label_models_there_is_no_one_score_to_go_by(multi_label_dir, texts, tmp_path, capsys, option):
    words = ["predict", str(multi_label_dir), "--input", str(texts), "--output", str(tmp_path / "o.csv")]
    assert main([*words, option, "0.5"]) == 2
    stderr = capsys.readouterr().err
    assert f"{option} has no meaning for 'topics', which is multi-label" in stderr
    assert "rows in texts.csv" not in stderr
    assert {path.name for path in tmp_path.iterdir()} == {"texts.csv"}


def test_what_cannot_be_reached_is_refused(finished_run, tiny_model_dir, reviews_dir, texts, tmp_path):
    with pytest.raises(ConfigurationError, match="--target-accuracy 2 is an invalid value"):
        threshold_of(ModelSource(str(finished_run)), 2)
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--output-dir"]
    assert main([*words, str(tmp_path / "weak"), "--recipe", "plain", "--max-steps", "2"]) == 0
    with pytest.raises(ModelError, match="no score of .* reaches an accuracy of 1 on at least 30 rows"):
        threshold_of(ModelSource(str(tmp_path / "weak")), 1.0)
    with pytest.raises(ConfigurationError, match="--abstain-below 1.5 is an invalid value"):
        predict_file(str(finished_run), texts, tmp_path / "o.csv", BulkOptions(abstain_below=1.5))
