"""Imbalanced labels: class weights, focal loss and other class priors, from the file to the card."""

import csv
import json
import re
import shutil

import numpy as np
import pytest

from hfbertcls import ConfigurationError, DatasetError, TextClassifier, verify
from hfbertcls.cli import main
from hfbertcls.evaluation.report import Report
from hfbertcls.modeling.heads import undo_calibration
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.repository.model_repository import rewrite_report
from hfbertcls.tasks.known import task_of_report
from hfbertcls.training.options import TrainingOptions
from hfbertcls.workflows.train import train_and_evaluate


COUNTS = {"train": (300, 60, 12), "validation": (60, 15, 6), "test": (60, 15, 6)}
LABELS = ("common", "rare", "seldom")


def remarks(counts, seed, vocabulary):
    """Sentences of neutral words; one in three has a word that tells its label."""
    generator = np.random.default_rng(seed)
    telling = dict(zip(LABELS, vocabulary[-3:], strict=True))
    rows = [label for label, count in zip(LABELS, counts, strict=True) for _ in range(count)]
    for label in generator.permutation(rows).tolist():
        words = generator.choice(vocabulary[:19], generator.integers(3, 8)).tolist()
        yield " ".join([*words, telling[label] if generator.random() < 0.5 else vocabulary[-4]]), label


def write_rows(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.fixture(scope="module")
def skewed_dir(tmp_path_factory, vocabulary):
    directory = tmp_path_factory.mktemp("data") / "skewed"
    directory.mkdir()
    for seed, (name, counts) in enumerate(COUNTS.items()):
        write_rows(directory / f"{name}.csv", remarks(counts, seed, vocabulary))
    return directory


@pytest.fixture(scope="module")
def train(tmp_path_factory, tiny_model_dir, skewed_dir):
    """Runs that differ in their further words alone."""

    def run(*more, data=skewed_dir, place=None, steps="20"):
        place = place or tmp_path_factory.mktemp("runs") / "model"
        words = [
            "train",
            "--model",
            tiny_model_dir,
            "--dataset",
            data,
            "--output-dir",
            place,
            "--allow-leakage",
            *more,
        ]
        words += ["--max-steps", steps, "--learning-rate", "0.003", "--eval-every", "10"] if steps else []
        assert main([str(word) for word in words]) == 0
        return place

    return run


@pytest.fixture(scope="module")
def plain(train):
    return train()


@pytest.fixture(scope="module")
def adjusted(train):
    return train("--prior", "uniform")


def report_in(place) -> Report:
    return Report.from_json((place / "report.json").read_text(encoding="utf-8"))


def predictions_in(place, split="test") -> Predictions:
    task = task_of_report(report_in(place).task.to_dict())
    return Predictions.from_parquet((place / "predictions" / f"{split}.parquet").read_bytes(), task)


def test_the_report_of_adjusted_weights_has_the_metrics_of_the_run_without_adjustment(plain, adjusted):
    for split in ("validation", "test"):
        adjustment, metrics = report_in(adjusted).evaluation[split].adjustment, report_in(plain).evaluation[split]
        assert adjustment.before == pytest.approx(
            {name: metrics.metrics[name].value for name in ("accuracy", "f1_macro", "log_loss", "ece")}, abs=2e-4
        )
        assert adjustment.recall_before == {label: row.recall for label, row in metrics.per_label.items()}
        assert adjustment.temperature_before == pytest.approx(metrics.calibration.temperature, rel=1e-3)
    assert report_in(plain).test.adjustment is None


def test_the_shift_is_the_target_prior_over_the_prior_of_the_training_rows(plain, adjusted):
    counts = np.array(COUNTS["train"])
    shift = np.log(1 / 3) - np.log(counts / counts.sum())
    entry = report_in(adjusted).test
    np.testing.assert_allclose(list(entry.adjustment.shift.values()), shift)
    before = predictions_in(plain).logits * report_in(plain).test.calibration.temperature
    np.testing.assert_allclose(
        predictions_in(adjusted).logits * entry.calibration.temperature, before + shift, atol=2e-3
    )
    assert entry.per_label["seldom"].recall >= entry.adjustment.recall_before["seldom"]
    assert json.loads((adjusted / "config.json").read_text())["hfbertcls_logit_shift"] == pytest.approx(shift.tolist())


def test_plain_pipeline_gives_the_adjusted_scores(adjusted, skewed_dir):
    from transformers import pipeline

    with (skewed_dir / "test.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    answers = pipeline("text-classification", model=str(adjusted), top_k=None)(texts)
    scores = [[{one["label"]: one["score"] for one in row}[label] for label in LABELS] for row in answers]
    predictions = predictions_in(adjusted)
    np.testing.assert_allclose(scores, predictions.task.probabilities(predictions.logits), atol=1e-5)


def test_the_card_shows_the_metrics_without_and_with(adjusted):
    card, entry = (adjusted / "README.md").read_text(encoding="utf-8"), report_in(adjusted).test
    assert "The scores of these weights are those for uniform class priors" in card
    assert f"| Macro F1 | {entry.adjustment.before['f1_macro']:.3f} | {entry.f1_macro.value:.3f} |" in card
    recalls = f"{entry.adjustment.recall_before['seldom']:.3f} | {entry.per_label['seldom'].recall:.3f}"
    assert f"| Recall of seldom (12 training rows, 6 here) | {recalls} |" in card
    assert "| Prior | uniform | prior |" in card


def changed(entry, **changes):
    values = entry.to_dict()
    values["adjustment"] |= changes
    return values


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"before": {"accuracy": 0.1, "f1_macro": 0.1, "log_loss": 2.0, "ece": 0.5}}, r"adjustment\.before\.f1_macro"),
        ({"recall_before": {"common": 0.0, "rare": 0.0, "seldom": 0.9}}, r"adjustment\.recall_before\.seldom"),
        ({"shift": {"common": 0.0, "rare": 1.0, "seldom": 9.0}}, r"adjustment\.shift"),
        ({"temperature_before": 7.0}, r"adjustment\.temperature_before"),
    ],
)
def test_verify_holds_and_sees_what_was_changed(adjusted, tmp_path, changes, expected):
    assert verify(adjusted).holds
    copy = tmp_path / "copy"
    shutil.copytree(adjusted, copy)
    values = report_in(copy).to_dict()
    for split, entry in report_in(copy).evaluation.items():
        values["evaluation"][split] = changed(entry, **changes)
    rewrite_report(copy, Report.from_json(json.dumps(values)))
    verification = verify(copy)
    assert not verification.holds
    assert any(re.search(expected, line) for line in verification.differences)


def measured(model, data, place):
    """The evaluation of a model on the test split of the data, and the report of it."""
    assert main(["evaluate", str(model), "--dataset", str(data), "--output-dir", str(place)]) == 0
    return report_in(place).test


def test_evaluate_says_which_priors_the_scores_are_for_and_what_the_weights_give_without(
    plain, adjusted, skewed_dir, tmp_path, capsys
):
    found, trained = measured(adjusted, skewed_dir, tmp_path / "e").adjustment, report_in(adjusted).test.adjustment
    assert found.before == pytest.approx(trained.before, abs=1e-5)
    assert found.recall_before == trained.recall_before
    assert found.temperature_before == trained.temperature_before
    assert found.prior == pytest.approx(dict.fromkeys(LABELS, 1 / 3))
    before = f"accuracy {trained.before['accuracy']:.3f}, macro F1 {trained.before['f1_macro']:.3f}"
    printed = capsys.readouterr().out
    assert f"The scores are for uniform class priors. Without this adjustment: {before}" in printed
    measured(plain, skewed_dir, tmp_path / "plain")
    assert "class priors" not in capsys.readouterr().out


def test_train_and_evaluate_name_the_priors_of_a_file(train, skewed_dir, tmp_path, capsys):
    (tmp_path / "prior.json").write_text(json.dumps({"seldom": 0.2, "common": 0.5, "rare": 0.3}))
    place = train("--prior", str(tmp_path / "prior.json"))
    line = "The scores are for the class priors {}. Without this adjustment: accuracy "
    assert line.format("seldom 0.2, common 0.5, rare 0.3") in capsys.readouterr().out
    found = measured(place, skewed_dir, tmp_path / "e").adjustment
    assert found.prior == pytest.approx({"common": 0.5, "rare": 0.3, "seldom": 0.2})
    assert line.format("common 0.5, rare 0.3, seldom 0.2") in capsys.readouterr().out


@pytest.mark.parametrize("report", ["none", "of another shift", "of other labels"])
def test_without_the_report_of_the_weights_evaluate_leaves_out_what_a_temperature_changes(
    train, plain, adjusted, skewed_dir, tmp_path, capsys, report
):
    model = tmp_path / "model"
    shutil.copytree(adjusted, model)
    (model / "report.json").unlink()
    if report == "of another shift":
        values = report_in(adjusted).to_dict()
        for entry in values["evaluation"].values():
            entry["adjustment"]["shift"] = {label: one + 1 for label, one in entry["adjustment"]["shift"].items()}
        (model / "report.json").write_text(json.dumps(values))
    elif report == "of other labels":
        two = tmp_path / "two"
        two.mkdir()
        for path in skewed_dir.glob("*.csv"):
            rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
            (two / path.name).write_text("".join(row for row in rows if "seldom" not in row), encoding="utf-8")
        shutil.copy(train("--prior", "uniform", data=two) / "report.json", model)
        capsys.readouterr()
    found, trained = measured(model, skewed_dir, tmp_path / "e").adjustment, report_in(adjusted).test.adjustment
    assert (found.temperature_before, found.prior) == (None, None)
    assert found.before == {name: trained.before[name] for name in ("accuracy", "f1_macro")}
    assert found.recall_before == trained.recall_before
    assert "other class priors than those of the training rows (no report of the model says" in capsys.readouterr().out


def test_weights_whose_calibration_was_undone_are_compared_without_a_temperature(adjusted, skewed_dir, tmp_path):
    from transformers import AutoModelForSequenceClassification

    model = tmp_path / "model"
    shutil.copytree(adjusted, model)
    weights = AutoModelForSequenceClassification.from_pretrained(model)
    undo_calibration(weights)
    weights.save_pretrained(model)
    found = measured(model, skewed_dir, tmp_path / "e")
    predictions = predictions_in(tmp_path / "e")
    logits = predictions.logits - np.array(list(found.adjustment.shift.values()))
    expected = predictions.task.row_losses(predictions.gold, logits.astype(np.float32)).mean()
    assert found.adjustment.temperature_before is None
    assert found.adjustment.before["log_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_report_whose_priors_lack_a_label_is_refused(adjusted):
    values = report_in(adjusted).to_dict()
    values["evaluation"]["test"] = changed(report_in(adjusted).test, prior={"common": 0.5, "rare": 0.5})
    with pytest.raises(DatasetError, match=r"evaluation\.test\.adjustment\.prior must have the keys of task\.labels"):
        Report.from_json(json.dumps(values))


def test_verify_sees_an_adjustment_that_was_left_out(adjusted, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(adjusted, copy)
    values = report_in(copy).to_dict()
    for entry in values["evaluation"].values():
        del entry["adjustment"]
    rewrite_report(copy, Report.from_json(json.dumps(values)))
    differences = "\n".join(verify(copy).differences)
    assert "adjustment is missing, though training.options states a prior" in differences
    assert "config.json: its hfbertcls_logit_shift is not the one that report.json states" in differences


def test_priors_and_weights_of_a_file_are_stated_by_their_numbers(train, tmp_path):
    (tmp_path / "prior.json").write_text(json.dumps({"common": 0.5, "rare": 0.3, "seldom": 0.2}))
    (tmp_path / "weights.csv").write_text("label,weight\ncommon,1\nrare,2\nseldom,10\n")
    files = ["--prior", str(tmp_path / "prior.json"), "--class-weights", str(tmp_path / "weights.csv")]
    place = train(*files)
    report = report_in(place)
    assert report.training.options["prior"] == {"common": 0.5, "rare": 0.3, "seldom": 0.2}
    assert report.training.options["class_weights"] == {"common": 1.0, "rare": 2.0, "seldom": 10.0}
    weighted = np.array(COUNTS["train"]) * [1, 2, 10]
    shift = np.log([0.5, 0.3, 0.2]) - np.log(weighted / weighted.sum())
    np.testing.assert_allclose(list(report.test.adjustment.shift.values()), shift)
    assert verify(place).holds
    card = (place / "README.md").read_text(encoding="utf-8")
    assert "| Class weights | common: 1, rare: 2, seldom: 10 | class\\_weights |" in card
    assert "other class priors (common: 0.5, rare: 0.3, seldom: 0.2)" in card
    assert "the training priors are those of the rows with their class weights" in card
    assert str(tmp_path) not in card + report.to_json()
    # What --resume compares are the numbers, not the name of the file.
    identity = json.loads((place / "checkpoints" / "run.json").read_text())
    assert identity["options"]["prior"] == {"common": 0.5, "rare": 0.3, "seldom": 0.2}


def test_balanced_weights_and_focal_loss_change_the_training_and_stand_on_the_card(train, plain):
    place = train("--class-weights", "balanced", "--loss", "focal")
    report, before = report_in(place), report_in(plain)
    assert verify(place).holds
    assert (report.training.options["class_weights"], report.training.options["loss"]) == ("balanced", "focal")
    assert report.test.log_loss.value != before.test.log_loss.value
    recalls = [one.test.per_label["seldom"].recall + one.test.per_label["rare"].recall for one in (report, before)]
    assert recalls[0] > recalls[1]
    card = (place / "README.md").read_text(encoding="utf-8")
    assert "Each training row counted by the class weight of its label, so that all labels weigh the same" in card
    assert "Fine-tuning had the focal loss with gamma = 2" in card
    assert "| Class weights | balanced | class\\_weights |" in card
    assert "| Loss | focal | loss |" in card


def test_an_average_of_adjusted_runs_is_adjusted_once(train):
    place = train("--prior", "uniform", "--seeds", "2", "--average", "uniform")
    report = report_in(place)
    counts = np.array(COUNTS["train"])
    shift = np.log(1 / 3) - np.log(counts / counts.sum())
    np.testing.assert_allclose(list(report.test.adjustment.shift.values()), shift)
    assert verify(place).holds


@pytest.fixture(scope="module")
def few(tmp_path_factory, vocabulary):
    return write_rows(tmp_path_factory.mktemp("few") / "few.csv", remarks((40, 15, 10), 9, vocabulary))


@pytest.mark.usefixtures("short_contrastive_phase")
def test_few_rows_are_weighted_and_adjusted_out_of_fold(train, few):
    options = ["--no-calibration", "--pooling", "first"]
    plain, adjusted, weighted = (
        train(*options, *more, data=few, steps=None)
        for more in ([], ["--prior", "uniform"], ["--class-weights", "balanced"])
    )
    shift = list(report_in(adjusted).cross_validation.adjustment.shift.values())
    logits = [predictions_in(place, "cross_validation").logits for place in (plain, adjusted, weighted)]
    np.testing.assert_allclose(logits[1], logits[0] + shift, atol=1e-5)
    assert not np.allclose(logits[2], logits[0], atol=0.1)
    predicted = [predictions_in(place, "cross_validation").predicted for place in (plain, weighted)]
    assert (predicted[1] == 0).sum() < (predicted[0] == 0).sum()
    assert verify(adjusted).holds
    assert verify(weighted).holds


@pytest.mark.usefixtures("short_contrastive_phase")
def test_the_focal_loss_needs_fine_tuning_so_few_rows_are_not_cross_validated(train, few, capsys):
    place = train("--loss", "focal", "--epochs", "1", data=few, steps=None)
    assert "note: --epochs, --loss need validation rows" in capsys.readouterr().err
    assert "validation" in report_in(place).evaluation


def test_cross_validation_and_the_focal_loss_exclude_each_other(few, tmp_path, capsys):
    words = ["train", "--model", "no-such-model", "--dataset", str(few), "--output-dir", str(tmp_path / "x")]
    assert main([*words, "--cross-validation", "on", "--loss", "focal"]) == 2
    assert "holds no validation rows out, which --loss needs. Leave one out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"prior": {"common": 0.5, "rare": 0.5}},
            r"--prior has no number for 'seldom'\. Expected one for each of the 3",
        ),
        (
            {"class_weights": {"common": 1, "rare": 1, "seldon": 2}},
            r"--class-weights has a number for 'seldon', which is no label of the data \(did you mean 'seldom'\?\)",
        ),
        (
            {"loss": "focal", "label_smoothing_factor": 0.1},
            "--loss focal and --label-smoothing-factor exclude each other",
        ),
    ],
)
def test_numbers_that_do_not_fit_the_labels_are_refused_before_a_model_is_loaded(
    skewed_dir, tmp_path, options, message
):
    with pytest.raises(ConfigurationError, match=message):
        TextClassifier.train("no-such-model", skewed_dir, tmp_path / "x", log=None, **options)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.json", '{"a": -1}', r"w\.json has -1 for the label 'a'\. Expected a number above 0"),
        ("w.json", '{"a": "x"}', r"w\.json has 'x' for the label 'a'\. Expected a number above 0"),
        ("w.json", '{"a": 1, "a": 2}', r"w\.json has the label 'a' twice\. Keep one of them"),
        (
            "w.json",
            "[1, 2]",
            r"w\.json does not hold one JSON object\. Expected none, balanced, or a JSON or CSV file",
        ),
        ("w.json", "{", r"w\.json is not valid JSON"),
        ("w.json", "{}", r"w\.json has no label at all"),
        ("w.csv", "a,1\nb\n", r"w\.csv, line 2, has 1 cells instead of a label and a number"),
        ("w.csv", "label,weight\na,none\n", r"w\.csv has 'none' for the label 'a'\. Expected a number above 0"),
        ("w.csv", b"\xff\xfe\x00", r"w\.csv cannot be read as text in UTF-8"),
    ],
)
def test_a_file_of_numbers_that_cannot_be_read_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError, match=message):
        TrainingOptions(class_weights=str(path))


def test_other_values_are_refused_with_what_is_expected():
    with pytest.raises(
        ConfigurationError, match=r"'balancd' is an invalid value \(did you mean 'balanced'\?\): there is"
    ):
        TrainingOptions(class_weights="balancd")
    with pytest.raises(
        ConfigurationError, match=r"the numbers of --prior sum to 0\.8\. Expected class priors, which sum"
    ):
        TrainingOptions(prior={"a": 0.5, "b": 0.3})
    with pytest.raises(ConfigurationError, match="loss focsl is an invalid value. Expected cross_entropy or focal"):
        TrainingOptions(loss="focsl")


def test_a_configuration_file_may_hold_the_numbers(tmp_path, skewed_dir, capsys):
    (tmp_path / "run.yaml").write_text("prior: {common: 0.5, rare: 0.25}\n")
    words = ["train", "--config", str(tmp_path / "run.yaml"), "--model", "no-such-model", "--dataset", str(skewed_dir)]
    assert main([*words, "--output-dir", str(tmp_path / "x")]) == 2
    assert "the numbers of --prior sum to 0.75" in capsys.readouterr().err


@pytest.fixture(scope="module")
def tagged(tmp_path_factory, vocabulary):
    directory = tmp_path_factory.mktemp("tags")
    for seed, (name, count) in enumerate({"train": 320, "validation": 60, "test": 60}.items()):
        generator = np.random.default_rng(seed)
        rows = []
        for _ in range(count):
            labels = [label for label, odds in (("often", 0.5), ("scarce", 0.08)) if generator.random() < odds]
            words = generator.choice(vocabulary[:19], 5).tolist()
            rows.append({"text": " ".join([*words, *(vocabulary[-len(one)] for one in labels)]), "labels": labels})
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def test_a_multi_label_task_has_weights_of_positive_rows_and_no_priors(train, tagged, tiny_model_dir, tmp_path):
    place = train("--class-weights", "balanced", "--loss", "focal", data=tagged)
    assert verify(place).holds
    card = (place / "README.md").read_text(encoding="utf-8")
    assert "the training rows that have it counted (rows without it) / (rows with it) times" in card
    with pytest.raises(ConfigurationError, match="the decision threshold of each label is fitted to its scores"):
        train_and_evaluate(str(tiny_model_dir), tagged, tmp_path / "x", TrainingOptions(prior="uniform"))


def test_the_doctor_names_the_options(skewed_dir, capsys):
    assert main(["doctor", str(skewed_dir), "--json"]) in (0, 1)
    findings = {one["code"]: one["message"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert "try --class-weights balanced or --prior uniform" in findings["imbalance"]
