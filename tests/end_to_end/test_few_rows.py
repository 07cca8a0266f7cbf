"""Few rows: all of them train the model, and cross-validation measures it."""

import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from hfbertcls import TextClassifier, load_text_dataset, verify
from hfbertcls.cli import main
from hfbertcls.data.splits import assign_folds
from hfbertcls.errors import ConfigurationError, DatasetError
from hfbertcls.evaluation.baselines import Baselines, FrozenBaseline
from hfbertcls.evaluation.report import Report
from hfbertcls.tasks.single_label import SingleLabel
from hfbertcls.training.options import TrainingOptions
from hfbertcls.workflows import few_rows
from hfbertcls.workflows.train import train_and_evaluate


pytestmark = pytest.mark.usefixtures("short_contrastive_phase")


def write_rows(path, rows, header=("text", "label")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def run(*words):
    return main([str(word) for word in words])


def train(model, data, place, *more):
    return run("train", "--model", model, "--dataset", data, "--output-dir", place, *more)


@pytest.fixture(scope="module")
def few(tmp_path_factory, reviews):
    """A file of 64 rows."""
    return write_rows(tmp_path_factory.mktemp("few") / "few.csv", reviews(64, 7))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model_dir, few, short_contrastive_phase):
    """What came of it."""
    place = tmp_path_factory.mktemp("trained") / "model"
    assert train(tiny_model_dir, few, place, "--pooling", "mean") == 0
    return place


def report_in(place) -> Report:
    return Report.from_json((place / "report.json").read_text(encoding="utf-8"))


def columns_of(place, name="cross_validation"):
    return pq.read_table(place / "predictions" / f"{name}.parquet").to_pydict()


def test_every_row_trains_and_every_row_is_answered_out_of_fold(trained, few):
    report, columns = report_in(trained), columns_of(trained)
    assert list(report.evaluation) == ["cross_validation"]
    assert list(report.data.splits) == ["train"]
    assert report.data.splits["train"].rows == 64
    assert columns["row"] == list(range(64))
    measured = report.cross_validation
    assert (measured.kind, measured.folds, measured.rows) == ("out_of_fold", 5, 64)
    assert sorted(set(columns["fold"])) == [0, 1, 2, 3, 4]
    assert report.training.steps == 0
    assert next(phase.name for phase in report.training.phases) == "cross_validation"
    assert report.data.split_method == "none, every row is a training row"
    with pytest.raises(AttributeError, match="the report has no 'test'; it has metrics of cross_validation"):
        _ = report.test


def test_the_baselines_are_out_of_fold_too(trained, few):
    """Fitted again on the rows of the other folds, they give the stored predictions."""
    columns = columns_of(trained)
    folds = np.array(columns["fold"])
    data = load_text_dataset(few, make_splits=False).splits["test"]
    task = SingleLabel(("negative", "positive"))
    gold, texts = task.encode(data.label_cells), data.texts
    for fold in range(5):
        inside, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        answers = Baselines(task, [texts[row] for row in inside], gold[inside]).predict(
            [texts[row] for row in held_out]
        )
        for name in ("majority", "tfidf_logreg"):
            stored = [columns[f"baseline_{name}"][row] for row in held_out]
            assert stored == task.decode(answers[name])


def test_the_frozen_baseline_is_out_of_fold_too(trained, few, tiny_model_dir):
    from hfbertcls.modeling.embedding import embed
    from hfbertcls.modeling.loading import ModelSource

    report, columns = report_in(trained), columns_of(trained)
    assert report.cross_validation.baselines["frozen_logreg"].train_rows in (51, 52)
    assert set(columns["baseline_frozen_logreg"]) <= {"negative", "positive"}
    data = load_text_dataset(few, make_splits=False).splits["test"]
    task = SingleLabel(("negative", "positive"))
    vectors, gold, folds = (
        embed(ModelSource(str(tiny_model_dir)), data, task),
        task.encode(data.label_cells),
        np.array(columns["fold"]),
    )
    right = 0
    for fold in range(5):
        inside, held_out = folds != fold, np.flatnonzero(folds == fold)
        answers = task.decode(FrozenBaseline(task, vectors[inside], gold[inside]).predict(vectors[held_out]))
        right += sum(
            columns["baseline_frozen_logreg"][row] == answer for row, answer in zip(held_out, answers, strict=True)
        )
    assert right >= 60


def test_verify_derives_the_metrics_and_sees_a_change(trained, tmp_path):
    assert verify(trained).holds
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    report = json.loads((copy / "report.json").read_text(encoding="utf-8"))
    report["evaluation"]["cross_validation"]["folds"] = 4
    (copy / "report.json").write_text(json.dumps(report), encoding="utf-8")
    assert any(
        "evaluation.cross_validation.folds states '4', the files give '5'" in line for line in verify(copy).differences
    )


def test_the_temperature_comes_from_out_of_fold_logits(trained):
    measured = report_in(trained).cross_validation
    assert measured.calibration.fitted_on == "cross_validation"
    config = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    assert config["hfbertcls_temperature"] == measured.calibration.temperature
    assert measured.calibration.log_loss_after <= measured.calibration.log_loss_before


def test_the_card_and_the_terminal_say_what_the_metrics_are(trained, capsys, tiny_model_dir, few, tmp_path):
    card = (trained / "README.md").read_text(encoding="utf-8")
    assert "### Cross-validation, 64 rows in 5 folds" in card
    assert "They are not those of the shipped weights" in card
    assert "The logits of these models were divided by the temperature that was fitted on them." in card
    assert "There is no test split. The metrics above come from cross-validation" in card
    assert "learning_curves.png" not in card
    assert not (trained / "plots" / "learning_curves.png").exists()
    from hfbertcls.repository.summary import summary

    text = summary(report_in(trained))
    assert "Results of cross-validation (64 rows in 5 folds)" in text
    assert "not the written weights" in text


def test_the_saved_model_loads_and_answers(trained):
    classifier = TextClassifier.from_pretrained(str(trained), log=None)
    frame = classifier.predict(["a lovely film", "so dull"], log=None)
    assert len(frame) == 2
    assert set(frame.prediction) <= {"negative", "positive"}
    assert "cross-validation" in repr(classifier)


def test_rescore_says_what_it_cannot_check(trained, few, capsys):
    assert run("verify", trained, "--rescore", "--dataset", few) == 0
    out = capsys.readouterr()
    assert "its predictions cannot be computed again" in out.out + out.err
    assert "the predictions of cross-validation" in out.out


def test_a_measured_training_file_is_said_to_be_one(trained, few, capsys):
    assert run("evaluate", trained, "--dataset", few) == 0
    assert "was trained on these rows" in capsys.readouterr().err


def test_nothing_is_left_to_compare_with_tfidf_on(trained, few, capsys):
    assert run("compare", trained, "tfidf", "--dataset", few) == 1
    assert "every row of few.csv trained model, so none is left to compare it with tfidf on" in capsys.readouterr().err


def test_the_same_rows_give_the_same_weights(trained, few, tiny_model_dir, tmp_path):
    assert train(tiny_model_dir, few, tmp_path / "again", "--pooling", "mean") == 0
    for name in ("model.safetensors", "predictions/cross_validation.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (trained / name).read_bytes()


def test_abstaining_uses_out_of_fold_predictions(trained, few, tmp_path, capsys):
    accuracy = report_in(trained).cross_validation.accuracy.value
    words = ("predict", trained, "--input", few, "--output", tmp_path / "out.csv")
    assert run(*words, "--target-accuracy", f"{accuracy - 0.01:.3f}") == 0
    printed = capsys.readouterr().err
    assert "such answers to held-out rows" in printed
    assert "(95 % interval " in printed


def test_a_given_test_split_is_used_as_it_is(few, tiny_model_dir, tmp_path, reviews):
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(few, folder / "train.csv")
    write_rows(folder / "test.csv", reviews(40, 8))
    report = train_and_evaluate(str(tiny_model_dir), folder, tmp_path / "model")
    assert list(report.evaluation) == ["cross_validation", "test"]
    assert report.shown_split == "cross_validation", "it has 64 rows, the test split 40"
    larger = replace(report.test, rows=64)
    assert replace(report, evaluation={**report.evaluation, "test": larger}).shown_split == "test"
    assert report.test.rows == 40
    assert report.data.splits["train"].rows == 64
    assert report.test.calibration.fitted_on == "cross_validation"
    assert report.data.split_method == "as in the source"
    assert verify(tmp_path / "model").holds
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "The test split was never used to choose anything." in card


@pytest.mark.parametrize(("rows", "splits"), [(99, {"train"}), (100, {"train", "test"}), (299, {"train", "test"}),
                                              (300, {"train", "validation", "test"})])  # fmt: skip
def test_which_splits_are_made(rows, splits, tmp_path, reviews):
    path = write_rows(tmp_path / "rows.csv", reviews(rows, 1))
    assert set(load_text_dataset(path).splits) == splits
    assert set(load_text_dataset(path, cross_validation="off").splits) == {"train", "validation", "test"}


@pytest.mark.parametrize("option", ["--early-stopping 2", "--eval-every epoch", "--metric accuracy", "--max-steps 2",
                                    "--recipe plain", "--weight-decay 0.1"])  # fmt: skip
def test_options_of_fine_tuning_hold_validation_rows_out(option, few, tiny_model_dir, tmp_path, capsys):
    steps = () if "steps" in option else ("--max-steps", "2")
    words = ("train", "--model", tiny_model_dir, "--dataset", few, "--output-dir", tmp_path / "model")
    assert run(*words, *option.split(), *steps) == 0
    assert set(report_in(tmp_path / "model").evaluation) == {"validation", "test"}
    err = capsys.readouterr().err
    assert f"{option.split()[0]}" in err
    assert "held out of the train split, which is then not cross-validated" in err


def test_seeds_hold_validation_rows_out(few, tiny_model_dir, tmp_path):
    words = ("train", "--model", tiny_model_dir, "--dataset", few, "--output-dir", tmp_path / "model")
    assert run(*words, "--seeds", "2", "--max-steps", "2") == 0
    assert "validation" in report_in(tmp_path / "model").evaluation


def test_cross_validation_off(few, tiny_model_dir, tmp_path):
    report = train_and_evaluate(
        str(tiny_model_dir), few, tmp_path / "model", TrainingOptions(cross_validation="off", max_steps=2)
    )
    assert set(report.evaluation) == {"validation", "test"}


def test_data_that_were_read_already_are_split_again(few, tiny_model_dir, tmp_path):
    data = load_text_dataset(few)
    assert set(data.splits) == {"train"}
    report = train_and_evaluate(str(tiny_model_dir), data, tmp_path / "model", TrainingOptions(max_steps=2))
    assert set(report.evaluation) == {"validation", "test"}


@pytest.mark.parametrize(("options", "message"), [
    ({"max_steps": 2}, "--cross-validation on holds no validation rows out, which --max-steps needs"),
    ({"max_steps": 2, "metric": "accuracy"}, "which --max-steps, --metric need. Leave one out"),
])  # fmt: skip
def test_on_excludes_options_of_fine_tuning(options, message, few, tiny_model_dir, tmp_path):
    with pytest.raises(ConfigurationError, match=message):
        train_and_evaluate(
            str(tiny_model_dir), few, tmp_path / "model", TrainingOptions(cross_validation="on", **options)
        )


def test_on_needs_few_rows_without_a_validation_split(reviews_dir, tmp_path, reviews):
    with pytest.raises(ConfigurationError, match="these data have a validation split. Leave it out"):
        load_text_dataset(reviews_dir, cross_validation="on")
    path = write_rows(tmp_path / "rows.csv", reviews(300, 1))
    with pytest.raises(ConfigurationError, match="these data have 300 training rows"):
        load_text_dataset(path, cross_validation="on")
    with pytest.raises(ConfigurationError, match="--cross-validation onn is an invalid value .did you mean 'on'"):
        load_text_dataset(path, cross_validation="onn")


def test_a_trained_head_is_not_cross_validated(trained, few, tmp_path, capsys):
    words = ("train", "--model", trained, "--dataset", few, "--output-dir", tmp_path / "model")
    assert run(*words) == 0
    assert "does not start from a linear probe" in capsys.readouterr().err
    assert set(report_in(tmp_path / "model").evaluation) == {"validation", "test"}
    assert run(*words, "--overwrite", "--cross-validation", "on") == 2


def test_a_stopped_run_begins_again_and_a_complete_one_does_not(trained, few, tiny_model_dir, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    words = (tiny_model_dir, few, copy, "--resume", "--pooling", "mean")
    assert train(*words) == 0
    assert "is complete: there is nothing to resume" in capsys.readouterr().err
    for name in ("report.json", "README.md", "model.safetensors", "config.json"):
        (copy / name).unlink()
    assert train(*words) == 0
    assert (copy / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_arguments_hold_no_path_and_no_secret(trained, tmp_path):
    text = (trained / "training_args.json").read_text(encoding="utf-8")
    assert str(trained.parent) not in text
    assert "token" not in json.loads(text)


def test_it_is_pushed_with_the_predictions_of_its_folds(trained, hub, monkeypatch):
    from huggingface_hub import HfApi

    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    assert run("push", trained, "alice/few") == 0
    files = HfApi(token="hf_alice").list_repo_files("alice/few")
    assert {"predictions/cross_validation.parquet", "model.safetensors", "README.md"} <= set(files)
    assert verify("alice/few").holds


def test_a_killed_run_leaves_no_model_and_can_be_repeated(few, tiny_model_dir, tmp_path, monkeypatch):
    from hfbertcls.workflows import few_rows

    def stop(*_, **__):
        raise KeyboardInterrupt

    words = ("train", "--model", tiny_model_dir, "--dataset", few, "--output-dir", tmp_path / "model")
    with monkeypatch.context() as patch:
        patch.setattr(few_rows, "_joined", stop)
        assert run(*words) != 0
    assert not (tmp_path / "model" / "model.safetensors").exists()
    assert run(*words, "--resume") == 0
    assert verify(tmp_path / "model").holds


# Folds


def split_of(rows, tmp_path, **options):
    return load_text_dataset(write_rows(tmp_path / "rows.csv", rows), make_splits=False, **options).splits["test"]


def test_folds_are_stratified_and_keep_duplicates_together(tmp_path):
    rows = [(f"text {number}", "ab"[number % 2]) for number in range(50)] + [("text 3", "b")] * 5
    folds = assign_folds(split_of(rows, tmp_path), seed=1)
    assert np.bincount(folds[:50]).tolist() == [10] * 5
    for label in (0, 1):
        assert np.bincount(folds[label:50:2]).tolist() == [5] * 5
    assert set(folds[50:]) == {folds[3]}
    assert (folds == assign_folds(split_of(rows, tmp_path), seed=1)).all()
    assert (folds != assign_folds(split_of(rows, tmp_path), seed=2)).any()


def test_folds_keep_groups_together(tmp_path):
    path = write_rows(
        tmp_path / "rows.csv",
        [(f"text {n}", "ab"[n % 2], f"group {n // 4}") for n in range(40)],
        ("text", "label", "who"),
    )
    data = load_text_dataset(path, split_by="who")
    folds = assign_folds(data.splits["train"], 1, data.split_by)
    assert all(len(set(folds[start : start + 4])) == 1 for start in range(0, 40, 4))
    assert folds.max() == 4
    assert data.split_by == "who"
    assert set(data.splits) == {"train"}


def test_one_group_makes_no_folds(tmp_path):
    path = write_rows(
        tmp_path / "rows.csv", [(f"text {n}", "ab"[n % 2], "me") for n in range(9)], ("text", "label", "who")
    )
    with pytest.raises(DatasetError, match="the column 'who' has one value"):
        load_text_dataset(path, split_by="who")


@pytest.mark.parametrize("count", [12, 120])
def test_groups_that_are_labels_make_no_folds(count, tmp_path):
    rows = [(f"text {n}", "ab"[n % 2], f"group {n % 2}") for n in range(count)]
    path = write_rows(tmp_path / "rows.csv", rows, ("text", "label", "who"))
    with pytest.raises(DatasetError, match="the rows outside of some fold have one label only"):
        load_text_dataset(path, split_by="who")


def test_too_few_rows_are_an_error_before_any_training(tmp_path, tiny_model_dir):
    path = write_rows(tmp_path / "rows.csv", [("one text", "a"), ("another", "b"), ("a third", "b")])
    with pytest.raises(DatasetError, match="too few usable rows for cross-validation: 3, with 2 different labels"):
        train_and_evaluate(str(tiny_model_dir), path, tmp_path / "model")
    assert not (tmp_path / "model" / "report.json").exists()


def test_labels_of_one_row_each_get_the_linear_probe(tmp_path, tiny_model_dir):
    rows = [("good film", "a"), ("lovely plot", "a"), ("bad film", "b"), ("dull plot", "b"), ("the story", "c")]
    path = write_rows(tmp_path / "rows.csv", rows)
    report = train_and_evaluate(str(tiny_model_dir), path, tmp_path / "model")
    assert report.cross_validation.rows == 5
    assert report.task.labels == ("a", "b", "c")
    assert verify(tmp_path / "model").holds


def test_multi_label_rows(tmp_path, tiny_model_dir, reviews):
    rows = [(text, label if number % 3 else f"{label};long") for number, (text, label) in
            enumerate(reviews(60, 3))]  # fmt: skip
    path = write_rows(tmp_path / "rows.csv", rows)
    assert run("train", "--model", tiny_model_dir, "--dataset", path, "--label-separator", ";",
               "--output-dir", tmp_path / "model") == 0  # fmt: skip
    report = report_in(tmp_path / "model")
    assert report.task.type == "multi_label"
    assert report.cross_validation.rows == 60
    assert verify(tmp_path / "model").holds
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "The threshold is the one with the highest F1 in cross-validation" in card


def stop_at(monkeypatch, call, error):
    """Raise an error in the call of this number to the contrastive phase."""
    original, calls = few_rows.contrasted, []

    def contrasted(*arguments, **keywords):
        calls.append(arguments)
        if len(calls) == call:
            raise error
        return original(*arguments, **keywords)

    monkeypatch.setattr(few_rows, "contrasted", contrasted)


def files_without_times(place):
    record = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    names = ("model.safetensors", "config.json", "predictions/cross_validation.parquet")
    return [(place / name).read_bytes() for name in names], [one["values"] for one in record]


def test_finished_folds_are_not_trained_again(trained, tiny_model_dir, few, tmp_path, monkeypatch, capsys):
    place, words = tmp_path / "model", ("--pooling", "mean")
    with monkeypatch.context() as patch:
        stop_at(patch, 3, KeyboardInterrupt())
        assert train(tiny_model_dir, few, place, *words) == 1
    err = capsys.readouterr().err
    assert "stopped. The finished folds are saved: to resume after them, repeat the command with --resume" in err
    assert re.search(rf"Resume: .*hfbertcls train --model {re.escape(str(tiny_model_dir))} .* --resume\n", err)
    assert train(tiny_model_dir, few, place, *words, "--resume", "--seed", "3") == 2
    assert "these settings differ" in capsys.readouterr().err
    (place / "checkpoints" / "folds" / "fold-1.npz").write_bytes(b"damaged")
    with monkeypatch.context() as patch:
        stop_at(patch, 6, AssertionError("a fold was trained again"))
        assert train(tiny_model_dir, few, place, *words, "--resume") == 0
    assert "Resuming: 1 of 5 folds were saved" in capsys.readouterr().err
    assert files_without_times(place) == files_without_times(trained)
    assert not (place / "checkpoints" / "folds").exists()
    assert run("verify", place) == 0


def test_before_a_fold_is_finished_a_stopped_run_says_that_nothing_is_saved(
    tiny_model_dir, few, tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as patch:
        stop_at(patch, 1, KeyboardInterrupt())
        assert train(tiny_model_dir, few, tmp_path / "model") == 1
    assert "stopped before a fold was finished, so nothing is saved" in capsys.readouterr().err
    assert train(tiny_model_dir, few, tmp_path / "model", "--resume") == 0
