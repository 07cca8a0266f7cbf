"""`--seeds N --average HOW`: one model out of N runs, unless the best run alone is better on validation."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hfbertcls.cli import main
from hfbertcls.modeling.heads import undo_calibration
from hfbertcls.modeling.loading import ModelSource, load_for_inference
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.repository.verify import verify_directory
from hfbertcls.tasks.known import task_of_report


SEEDS = (7, 8, 9)


@pytest.fixture(scope="module")
def classifier_dir(tmp_path_factory, tiny_model_dir, reviews_dir):
    """A classifier with the same head for all runs: their weights can be averaged."""
    directory = tmp_path_factory.mktemp("average") / "reviewer"
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--output-dir", str(directory)]
    assert main([*words, "--eval-every", "no", "--max-steps", "40", "--learning-rate", "0.003"]) == 0
    return directory


def words_for(model, reviews_dir):
    words = ["train", "--model", str(model), "--dataset", str(reviews_dir), "--eval-every", "10", "--max-steps", "20"]
    return [*words, "--learning-rate", "0.003", "--seeds", "3", "--seed", "7"]


@pytest.fixture(scope="module")
def words(classifier_dir, reviews_dir):
    return words_for(classifier_dir, reviews_dir)


@pytest.fixture(scope="module")
def averaged_dir(tmp_path_factory, words):
    directory = tmp_path_factory.mktemp("average") / "uniform"
    assert main([*words, "--average", "uniform", "--output-dir", str(directory)]) == 0
    return directory


@pytest.fixture
def ended(tmp_path, averaged_dir):
    """The runs have ended, and the process was killed before anything was published."""
    directory = tmp_path / "uniform"
    shutil.copytree(averaged_dir, directory)
    for name in ("model.safetensors", "report.json", "README.md"):
        (directory / name).unlink()
    (directory / ".hfbertcls-staging").mkdir()
    (directory / ".hfbertcls-staging" / "model.safetensors").write_bytes(b"half of it")
    return directory


def report_of(directory):
    return json.loads((directory / "report.json").read_text())


def average_of(directory):
    return report_of(directory)["training"]["seeds"]["average"]


def run_of(directory, seed):
    return directory / "seeds" / f"seed-{seed}"


def spoil(directory, seed):
    """Turn the head of a run into its opposite, ten times as strong: averages with it are worse."""
    path = run_of(directory, seed) / "model.safetensors"
    state = load_file(path)
    save_file(
        state | {name: -10 * state[name] for name in state if name.startswith("classifier.")}, path, {"format": "pt"}
    )


def predictions_of(directory, split):
    data = (directory / "predictions" / f"{split}.parquet").read_bytes()
    return Predictions.from_parquet(data, task_of_report(report_of(directory)["task"]))


def test_every_weight_is_the_mean_of_the_runs_and_the_head_is_calibrated_again(averaged_dir):
    runs = [load_for_inference(ModelSource(str(run_of(averaged_dir, seed)))) for seed in SEEDS]
    for run in runs:
        undo_calibration(run)
    states = [run.state_dict() for run in runs]
    temperature = report_of(averaged_dir)["evaluation"]["test"]["calibration"]["temperature"]
    assert json.loads((averaged_dir / "config.json").read_text())["hfbertcls_temperature"] == temperature
    weights = load_file(averaged_dir / "model.safetensors")
    assert weights.keys() == states[0].keys()
    for name, value in weights.items():
        expected = torch.stack([state[name].double() for state in states]).mean(dim=0).float()
        if name.startswith("classifier."):
            expected = (expected.double() * (1 / temperature)).float()
        assert torch.equal(value, expected), name


def test_the_predictions_are_those_of_the_averaged_weights(averaged_dir, reviews_dir):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    texts = [line.rpartition(",")[0] for line in (reviews_dir / "test.csv").read_text().splitlines()[1:]]
    tokenizer = AutoTokenizer.from_pretrained(averaged_dir)
    model = AutoModelForSequenceClassification.from_pretrained(averaged_dir)
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**batch).logits.numpy()
        undo_calibration(model)
        without = model(**batch).logits.numpy()
    predictions = predictions_of(averaged_dir, "test")
    np.testing.assert_allclose(predictions.logits, logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(predictions.predicted, without.argmax(axis=1))
    for seed in SEEDS:
        assert not np.allclose(
            predictions.logits, predictions_of(run_of(averaged_dir, seed), "test").logits, atol=1e-3
        )


def test_the_report_claims_nothing_of_one_run_for_the_average(averaged_dir):
    training = report_of(averaged_dir)["training"]
    average, seeds = training["seeds"]["average"], training["seeds"]
    best = max(seeds["runs"], key=lambda run: run["validation"]["f1_macro"])
    value = report_of(averaged_dir)["evaluation"]["validation"]["metrics"]["f1_macro"]["value"]
    assert average == {
        "method": "uniform", "seeds": [7, 8, 9], "metric": "f1_macro", "validation": value,
        "best_run": best["validation"]["f1_macro"], "best_seed": best["seed"], "shipped": True,
    }  # fmt: skip
    assert [run["seed"] for run in seeds["runs"]] == [7, 8, 9]
    assert seeds["chosen"] is training["best_step"] is training["selection_value"] is training["seed"] is None
    assert "seed" not in training["hyperparameters"] | training["arguments"] | training["options"]
    assert (averaged_dir / "metrics.jsonl").read_bytes() == (
        run_of(averaged_dir, best["seed"]) / "metrics.jsonl"
    ).read_bytes()


def test_the_directory_has_what_that_of_one_run_has(averaged_dir):
    def files(directory):
        names = [path.relative_to(directory) for path in directory.rglob("*") if path.is_file()]
        return {str(name) for name in names if name.parts[0] not in ("seeds", "checkpoints")}

    assert files(averaged_dir) == files(run_of(averaged_dir, 7))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (averaged_dir / name).read_bytes() == (run_of(averaged_dir, 7) / name).read_bytes()


def test_the_card_says_what_was_averaged_and_what_one_run_scores(averaged_dir):
    average = average_of(averaged_dir)
    card = " ".join((averaged_dir / "README.md").read_text().split())
    assert (
        f"these weights are the uniform average of the seeds 7, 8, 9, with f1_macro {average['validation']:.4f} on the validation "
        f"split, where the best single run (seed {average['best_seed']}) has {average['best_run']:.4f}."
    ) in card
    assert (
        "The weights are the mean over the runs that were averaged, each at the step that is best by f1_macro" in card
    )
    assert "the chosen checkpoint" not in card
    assert "are those of step" not in card


def test_verify_derives_the_choice_again(averaged_dir, tmp_path, capsys):
    assert main(["verify", str(averaged_dir)]) == 0
    capsys.readouterr()
    changed = tmp_path / "uniform"
    shutil.copytree(averaged_dir, changed)
    report = report_of(changed)
    seeds = report["training"]["seeds"]
    seeds["average"] |= {"validation": 0.5, "best_seed": 99}
    seeds["chosen"] = 7
    (changed / "report.json").write_text(json.dumps(report))
    differences = "\n".join(verify_directory(changed).differences)
    for key in ("average.validation", "average.best_seed", "chosen"):
        assert f"report.json: training.seeds.{key} states" in differences
    seeds["runs"] = [{**run, "validation": {**run["validation"], "f1_macro": 1.5}} for run in seeds["runs"]]
    (changed / "report.json").write_text(json.dumps(report))
    assert "training.seeds.average.shipped states 'True', the files give 'False'" in "\n".join(
        verify_directory(changed).differences
    )


def test_runs_that_had_ended_are_averaged_again(ended, averaged_dir, words):
    assert main([*words, "--average", "uniform", "--output-dir", str(ended), "--resume"]) == 0
    for name in ("model.safetensors", "predictions/validation.parquet", "predictions/test.parquet", "config.json"):
        assert (ended / name).read_bytes() == (averaged_dir / name).read_bytes()
    assert verify_directory(ended).differences == ()
    assert not (ended / ".hfbertcls-staging").exists()


def test_a_greedy_average_leaves_out_the_run_that_spoils_it(ended, words, capsys):
    spoil(ended, 9)
    assert main([*words, "--average", "greedy", "--output-dir", str(ended), "--resume"]) == 0
    average = average_of(ended)
    assert average["seeds"] == [7, 8]
    assert average["shipped"] is True
    assert average["validation"] >= average["best_run"]
    assert "averaged over the seeds 7, 8," in capsys.readouterr().err
    assert verify_directory(ended).differences == ()
    state = load_file(ended / "model.safetensors")
    one, other = (load_file(run_of(ended, seed) / "model.safetensors") for seed in (7, 8))
    name = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(state[name], ((one[name].double() + other[name].double()) / 2).float())


def test_an_average_that_is_worse_is_not_shipped(ended, words, capsys):
    spoil(ended, 9)
    assert main([*words, "--average", "uniform", "--output-dir", str(ended), "--resume"]) == 0
    average = average_of(ended)
    best = average["best_seed"]
    assert average["seeds"] == [7, 8, 9]
    assert average["validation"] < average["best_run"]
    assert average["shipped"] is False
    for name in ("model.safetensors", "predictions/test.parquet", "config.json", "plots/learning_curves.png"):
        assert (ended / name).read_bytes() == (run_of(ended, best) / name).read_bytes()
    report = report_of(ended)
    assert report["training"]["seeds"]["chosen"] == report["training"]["seed"] == best
    assert report["training"]["best_step"] is not None
    values = f"{average['validation']:.4f}", f"{average['best_run']:.4f}"
    card = (ended / "README.md").read_text()
    assert f"the uniform average of the seeds 7, 8, 9 has {values[0]} there, this run {values[1]}. All runs" in card
    assert (
        f"Macro F1 on validation: {values[0]} averaged over the seeds 7, 8, 9, {values[1]} by seed {best} alone; "
        f"the run of seed {best} is written"
    ) in capsys.readouterr().err
    assert verify_directory(ended).differences == ()


def test_greedy_averaging_is_never_worse_than_the_best_run(tmp_path, tiny_model_dir, reviews_dir):
    """Runs with heads of their own, compared by their log loss: as hard as it gets."""
    directory = tmp_path / "greedy"
    words = [*words_for(tiny_model_dir, reviews_dir), "--metric", "log_loss", "--average", "greedy"]
    assert main([*words, "--output-dir", str(directory)]) == 0
    report = report_of(directory)
    average = average_of(directory)
    shipped = report["evaluation"]["validation"]["metrics"]["log_loss"]["value"]
    assert (
        shipped
        <= average["best_run"]
        == min(run["validation"]["log_loss"] for run in report["training"]["seeds"]["runs"])
    )
    assert average["shipped"] is (len(average["seeds"]) > 1)
    assert verify_directory(directory).differences == ()


def test_a_greedy_average_of_one_run_is_that_run(ended, words, capsys):
    spoil(ended, 8)
    spoil(ended, 9)
    assert main([*words, "--average", "greedy", "--output-dir", str(ended), "--resume"]) == 0
    average = average_of(ended)
    assert (average["seeds"], average["shipped"], average["validation"]) == ([7], False, average["best_run"])
    for name in ("model.safetensors", "predictions/test.parquet", "config.json"):
        assert (ended / name).read_bytes() == (run_of(ended, 7) / name).read_bytes()
    assert "No other run can be averaged with that of seed 7 without loss on validation" in capsys.readouterr().err
    assert "; greedy averaging found no run to add to it without loss. All runs" in (ended / "README.md").read_text()
    assert verify_directory(ended).differences == ()


def test_complete_runs_are_not_averaged_in_another_way(averaged_dir, words, capsys):
    again = [*words, "--output-dir", str(averaged_dir), "--resume"]
    assert main([*again, "--average", "uniform"]) == 0
    assert "are complete: there is nothing to resume" in capsys.readouterr().err
    assert main([*again, "--average", "greedy"]) == 2
    assert "but they ended with --average uniform, not with --average greedy." in capsys.readouterr().err
    assert main(again) == 2
    assert "but they ended with --average uniform, not with no --average." in capsys.readouterr().err


def test_an_average_needs_more_than_one_run(tiny_model_dir, reviews_dir, tmp_path, capsys):
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--average", "uniform"]
    assert main([*words, "--output-dir", str(tmp_path / "m")]) == 2
    expected = (
        "--average uniform averages the weights of more than one run, and without --seeds there is one. Add --seeds N"
    )
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
