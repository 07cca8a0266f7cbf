"""An option is declared in one place; everything else that shows it is derived from there."""

import json
from dataclasses import dataclass

import pytest

from hfbertcls import ConfigurationError, TextClassificationTrainingArguments, TrainingOptions
from hfbertcls.cli import main
from hfbertcls.option_names import command_line
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.seeding import DEFAULT_SEED
from hfbertcls.tasks.known import TASKS
from hfbertcls.training.declaring import option, options_of
from hfbertcls.workflows.options import training_arguments
from hfbertcls.workflows.train import train_and_evaluate


@dataclass(frozen=True, kw_only=True)
class Planted(TrainingOptions):
    """Three more options: nothing else in the package knows of them."""

    flavour: str = option(
        "vanilla", "what it tastes of (default: {default})", metavar="F", determines=True, row="flavour"
    )
    sugar: bool = option(True, "leave out the sugar", determines=True, row="sugar")
    decay: float | None = option(
        None, "of the weights", least=0, sets="weight_decay", determines=True, row="weight_decay"
    )


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setattr("hfbertcls.cli.train.TrainingOptions", Planted)


@pytest.fixture
def words(tmp_path, tiny_model_dir, reviews_dir):
    data = ["--model", str(tiny_model_dir), "--dataset", str(reviews_dir)]
    return ["train", *data, "--output-dir", str(tmp_path / "run"), "--max-steps", "2"]


def test_a_planted_option_is_in_the_help(planted, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--flavour F what it tastes of (default: vanilla)" in text
    assert "--no-sugar leave out the sugar" in text
    assert "--decay DECAY of the weights" in text


def test_a_planted_option_is_read_from_yaml_and_stands_in_identity_report_and_card(planted, words, tmp_path, capsys):
    (tmp_path / "run.yaml").write_text("flavour: mint\nsugar: false\ndecay: 0.25\n")
    words += ["--config", str(tmp_path / "run.yaml")]
    assert main(words) == 0
    identity = json.loads((tmp_path / "run" / "checkpoints" / "run.json").read_text())
    assert identity["options"]["flavour"] == "mint"
    assert identity["options"]["sugar"] is False
    assert identity["arguments"]["weight_decay"] == 0.25
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    options = report["training"]["options"]
    assert (options["flavour"], options["sugar"], options["decay"]) == ("mint", False, 0.25)
    card = (tmp_path / "run" / "README.md").read_text()
    for row in ("| Flavour | mint | flavour |", "| Sugar | False | sugar |", "| Weight decay | 0.25 | weight_decay |"):
        assert row in card.replace("\\_", "_"), row
    capsys.readouterr()
    assert main([*words, "--resume", "--flavour", "lemon"]) == 2
    assert "these settings differ: flavour (mint, now lemon)." in capsys.readouterr().err
    assert main([*words, "--resume", "--decay", "0.5"]) == 2
    assert "these settings differ: weight_decay (0.25, now 0.5)." in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0


def test_a_planted_option_is_a_keyword(tmp_path, tiny_model_dir, reviews_dir):
    options = Planted.of(flavour="mint", decay=0.25, max_steps=2, max_grad_norm=0.5)
    assert options == Planted(
        flavour="mint", decay=0.25, max_steps=2, arguments={"max_grad_norm": 0.5}, command=options.command
    )
    report = train_and_evaluate(str(tiny_model_dir), str(reviews_dir), tmp_path / "run", options)
    assert report.training.options["flavour"] == "mint"
    assert report.training.arguments["weight_decay"] == 0.25
    with pytest.raises(ConfigurationError, match=r"--decay -1 is an invalid value. Expected a number from 0"):
        Planted(decay=-1)


def test_what_was_left_open_is_reported_as_the_run_chose_it(tmp_path, tiny_model_dir, reviews_dir):
    asked = {"max_length": None, "epochs": None, "early_stopping": 3, "callbacks": ("early-stopping",)}
    options = TrainingOptions(**asked, batch_size="auto", eval_every=0.5)
    report = train_and_evaluate(str(tiny_model_dir), str(reviews_dir), tmp_path / "run", options)
    assert set(report.training.options) == {one.name for one in options_of(TrainingOptions) if one.determines}
    expected = {
        "max_length": 32, "epochs": report.training.hyperparameters["num_train_epochs"], "max_steps": None,
        "batch_size": 32, "learning_rate": 8e-5, "padding_free": True, "metric": "f1_macro", "eval_every": "0.5",
        "early_stopping": 3, "callbacks": ["early-stopping"], "trainer": "text-classification", "seed": DEFAULT_SEED,
    }  # fmt: skip
    assert expected.items() <= report.training.options.items()
    assert report.training.hyperparameters["early_stopping"] == 3
    assert "calibration" not in report.training.hyperparameters, "defaults without a field have no row"


def test_options_set_the_fields_of_the_arguments(tmp_path):
    options = TrainingOptions(
        seed=3, epochs=2, batch_size=8, learning_rate=1e-4, metric="log_loss", eval_every=10, padding_free=False
    )
    assert options.training_fields() == {
        "seed": 3, "num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 1e-4, "precision": "auto",
        "metric_for_best_model": "log_loss", "eval_every": "10", "padding_free": False,
    }  # fmt: skip
    args = training_arguments(OutputDirectory(tmp_path), options)
    assert (args.metric_for_best_model, args.greater_is_better, args.eval_steps) == ("log_loss", False, 10)
    args = training_arguments(OutputDirectory(tmp_path), TrainingOptions(batch_size="auto"))
    assert (args.try_longest_batch_first, args.per_device_train_batch_size) == (True, 32)


def test_every_field_that_an_option_sets_exists_and_defaults_are_the_same():
    fields = TextClassificationTrainingArguments.__dataclass_fields__
    for one in options_of(TrainingOptions):
        if one.sets is not None:
            assert one.sets in fields, one.name
            assert one.default in (None, fields[one.sets].default), one.name
        assert one.help, one.name


def test_the_help_of_the_metric_names_the_headline_of_the_tasks():
    text = next(one.help for one in options_of(TrainingOptions) if one.name == "metric")
    default = text.partition("(default: ")[2]
    assert all(kind.headline in default for kind in TASKS.values())
    assert set(default.replace(",", ";").split()) >= {"f1_macro;", "rmse", "quadratic_kappa"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "--epochs 0 is an invalid value. Expected a number above 0; leave it out to have it chosen"),
        ({"epochs": float("nan")}, "--epochs nan is an invalid value. Expected a number above 0"),
        ({"epochs": "three"}, "--epochs three is an invalid value. Expected a number above 0"),
        ({"max_steps": 2.5}, "--max-steps 2.5 is an invalid value. Expected a number above 0"),
        ({"early_stopping": 0}, "--early-stopping 0 is an invalid value. Expected a number from 1"),
        ({"early_stopping": True}, "--early-stopping True is an invalid value. Expected a number from 1"),
        ({"publish_examples": -1}, "--publish-examples -1 is an invalid value. Expected a number from 0"),
        ({"batch_size": "many"}, "--batch-size many is an invalid value. Expected a number from 1, or auto"),
        ({"batch_size": 0}, "--batch-size 0 is an invalid value. Expected a number from 1, or auto"),
        ({"seed": None}, "--seed None is an invalid value. Expected a whole number"),
        ({"calibration": "no"}, "--calibration no is an invalid value. Expected True or False"),
        ({"callbacks": "early-stopping"}, "--callbacks early-stopping is an invalid value. Expected a list of names"),
        ({"metric": 3}, "--metric 3 is an invalid value. Expected a name"),
        ({"arguments": {"num_train_epochs": 3}}, "the argument 'num_train_epochs' is an option of its own. Pass --epochs"),
        ({"early_stopping_threshold": 0.1}, "--early-stopping-min-steps go with --early-stopping. Add it, or leave"),
    ],
)  # fmt: skip
def test_invalid_values_are_errors_when_the_options_are_made(values, message):
    with pytest.raises(ConfigurationError) as caught:
        TrainingOptions(**values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"), [("epoch", "did you mean '--epochs'?"), ("wieght_decay", "did you mean '--weight-decay'?")]
)
def test_an_unknown_name_is_an_error_with_a_suggestion(tmp_path, name, hint):
    options = TrainingOptions.of(**{name: 1})
    with pytest.raises(ConfigurationError) as caught:
        training_arguments(OutputDirectory(tmp_path), options)
    assert hint in str(caught.value)
    with command_line(flags=False):
        assert f"there is no option {name} (did you mean '{hint.split(chr(39))[1][2:].replace('-', '_')}'?)" in str(
            caught.value
        )


def test_names_of_transformers_are_options_too_and_the_option_goes_first():
    made = TrainingOptions.of(num_train_epochs=2.0, per_device_train_batch_size=8, weight_decay=0.1)
    assert (made.epochs, made.batch_size, made.arguments) == (2.0, 8, {"weight_decay": 0.1})
    assert TrainingOptions.of(num_train_epochs=2.0, epochs=3.0).epochs == 3.0


def test_words_of_transformers_and_switches_of_yaml_reach_the_run(words, tmp_path, monkeypatch):
    asked = []

    def train(model, data, output_dir, options, log):
        asked.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("hfbertcls.workflows.train.train_and_evaluate", train)
    (tmp_path / "run.yaml").write_text(
        "calibration: false\nno_padding_free: true\nnum_train_epochs: 2\nearly_stopping: 2\nearly_stopping_threshold: 0.01\n"
    )
    assert main([*words, "--config", str(tmp_path / "run.yaml"), "--per_device_train_batch_size", "4"]) == 1
    (run_options,) = asked
    assert (run_options.calibration, run_options.padding_free, run_options.epochs, run_options.batch_size) == (
        False,
        False,
        2.0,
        4,
    )
    assert (run_options.early_stopping, run_options.early_stopping_threshold, run_options.seed) == (
        2,
        0.01,
        DEFAULT_SEED,
    )


def test_the_threshold_of_early_stopping_reaches_the_run(words, tmp_path):
    """No gain is large enough: the run stops after the first evaluations, but not before the least number of steps."""
    words = [*words[:-1], "12", "--eval-every", "2", "--early-stopping", "1", "--early-stopping-threshold", "5"]
    assert main([*words, "--early-stopping-min-steps", "6"]) == 0
    training = json.loads((tmp_path / "run" / "report.json").read_text())["training"]
    assert training["steps"] == 6
    assert (training["options"]["early_stopping_threshold"], training["options"]["early_stopping_min_steps"]) == (5, 6)
