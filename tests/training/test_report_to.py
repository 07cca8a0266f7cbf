"""Trackers of others: passed through, with the traps closed."""

from hfbertcls import TrainingOptions
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.workflows.options import training_arguments
from hfbertcls.workflows.train import train_and_evaluate


def test_trackio_never_publishes_a_space_of_its_own(tmp_path):
    args = training_arguments(OutputDirectory(tmp_path), TrainingOptions(report_to=["trackio"]))
    assert args.report_to == ["trackio"]
    assert args.trackio_static_space_id is False
    assert args.project == "hfbertcls"


def test_nothing_is_reported_unless_asked(tmp_path):
    assert training_arguments(OutputDirectory(tmp_path), TrainingOptions()).report_to == []


def test_tensorboard_gets_the_events(tmp_path, monkeypatch, tiny_model_dir, reviews_dir):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "boards"))
    options = TrainingOptions(report_to=["tensorboard"], max_steps=2, command="hfbertcls train")
    train_and_evaluate(str(tiny_model_dir), str(reviews_dir), tmp_path / "model", options)
    assert list((tmp_path / "boards").rglob("events.out.tfevents.*"))
