"""A classifier as ONNX: it agrees with the original, the card states how far, and a push includes it."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from hfbertcls import ConfigurationError, MissingAssetError, ModelError, OutputDirectoryError, export_onnx
from hfbertcls.cli import main
from hfbertcls.modeling import onnx_graph
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.repository.model_repository import repository_files
from hfbertcls.tasks.known import task_of_report
from hfbertcls.tasks.probabilities import softmax
from hfbertcls.workflows import export as exporting


ort = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def exported_run(tmp_path_factory, finished_run, reviews_dir):
    """A finished run with both exports, and what the command printed."""
    import shutil

    directory = shutil.copytree(finished_run, tmp_path_factory.mktemp("exported") / "film-reviews")
    assert main(["export", str(directory), "--dataset", str(reviews_dir), "--quantize", "int8"]) == 0
    return directory


def run_as_the_readme_says(directory: Path, texts: list[str], name: str = "model.onnx") -> np.ndarray:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    session = ort.InferenceSession(directory / "onnx" / name, providers=["CPUExecutionProvider"])
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
    feed = {node.name: batch[node.name] for node in session.get_inputs()}
    return session.run(["logits"], feed)[0]


def test_the_graph_gives_the_calibrated_scores_of_pipeline(exported_run, reviews_dir):
    with (reviews_dir / "test.csv").open(newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    report = json.loads((exported_run / "report.json").read_text())
    assert report["evaluation"]["test"]["calibration"]["temperature"] != 1
    predictions = Predictions.from_parquet(
        (exported_run / "predictions" / "test.parquet").read_bytes(), task_of_report(report["task"])
    )
    logits = run_as_the_readme_says(exported_run, texts)
    np.testing.assert_allclose(softmax(logits), softmax(predictions.logits), atol=1e-5)
    alone = np.concatenate([run_as_the_readme_says(exported_run, [text]) for text in texts[:5]])
    np.testing.assert_allclose(alone, logits[:5], atol=1e-5)


def test_report_and_card_state_what_was_measured(exported_run):
    report = json.loads((exported_run / "report.json").read_text())
    fp32, int8 = report["model"]["exports"]
    accuracy = report["evaluation"]["test"]["metrics"]["accuracy"]["value"]
    assert fp32["file"] == "onnx/model.onnx"
    assert fp32["agreement"]["split"] == "test"
    assert fp32["agreement"]["rows"] == 64
    assert fp32["agreement"]["same_label"] == 1.0
    assert fp32["agreement"]["accuracy"] == fp32["agreement"]["original_accuracy"] == accuracy
    assert fp32["agreement"]["accuracy_difference"] == {
        "value": 0.0,
        "low": pytest.approx(-0.0420, abs=1e-4),  # no disagreement in 64 rows does not prove that there is none
        "high": pytest.approx(0.0420, abs=1e-4),
    }
    change = int8["agreement"]["accuracy_difference"]
    assert change["low"] <= int8["agreement"]["accuracy"] - accuracy <= change["high"]
    assert 0 < fp32["agreement"]["largest_difference"] < 1e-4 < int8["agreement"]["largest_difference"]
    card = (exported_run / "README.md").read_text()
    assert "| `onnx/model.onnx` | ONNX, fp32 |" in card
    assert "100.00 % of 64 rows of test" in card
    assert "| `onnx/model_quantized.onnx` | ONNX, int8 |" in card
    assert f"({accuracy:.4f}; difference -0.0420 to 0.0420)" in card


def test_verify_and_push_know_the_files(exported_run, tmp_path, hub, monkeypatch, capsys):
    import shutil

    directory = shutil.copytree(exported_run, tmp_path / "film-reviews")
    assert main(["verify", str(directory)]) == 0
    (directory / "onnx" / "other.onnx").write_bytes(b"not listed")
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    assert main(["push", str(directory), "alice/film-reviews"]) == 0
    names = set(hub.store.repositories["models", "alice/film-reviews"].head.files)
    assert {"onnx/model.onnx", "onnx/model_quantized.onnx"} <= names
    assert "onnx/other.onnx" not in names
    assert main(["verify", "alice/film-reviews"]) == 0
    with (directory / "onnx" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    capsys.readouterr()
    assert main(["verify", str(directory)]) == 1
    assert "onnx/model.onnx: its SHA-256 is not the one that report.json states" in "".join(capsys.readouterr())
    (directory / "onnx" / "model.onnx").unlink()
    assert main(["verify", str(directory)]) == 1
    assert "onnx/model.onnx: it is not there" in "".join(capsys.readouterr())


def test_elsewhere_it_is_complete_and_the_model_stays_as_it_is(model_dir, tmp_path, reviews_dir, capsys):
    before = {path: path.read_bytes() for path in sorted(model_dir.rglob("*")) if path.is_file()}
    words = ["export", str(model_dir), "--output-dir", str(tmp_path / "o"), "--json", "--dataset", str(reviews_dir)]
    assert main([*words, "--split", "validation"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "o" / "export.json").read_text())["files"] == [printed]
    assert printed["agreement"]["split"] == "validation"
    assert run_as_the_readme_says(tmp_path / "o", ["the film was good"]).shape == (1, 2)
    assert before == {path: path.read_bytes() for path in sorted(model_dir.rglob("*")) if path.is_file()}
    assert not list((tmp_path / "o").glob(".hfbertcls*"))


def test_without_data_it_says_what_was_not_measured(model_dir, capsys):
    assert main(["export", str(model_dir), "--output-dir", str(model_dir)]) == 0  # (which is no other place)
    assert "note: random token ids were compared: pass --dataset" in capsys.readouterr().out
    card = (model_dir / "README.md").read_text()
    assert "| not measured | - | - |" in card
    assert not (model_dir / "export.json").exists()
    assert main(["verify", str(model_dir)]) == 0


def test_a_second_export_needs_a_word(exported_run, reviews_dir):
    with pytest.raises(OutputDirectoryError, match=r"holds an export already \(onnx/\). Pass --overwrite"):
        export_onnx(str(exported_run))


def test_a_model_of_others_needs_a_place(tiny_model_dir):
    with pytest.raises(ConfigurationError, match="is no directory that hfbertcls wrote.*--output-dir"):
        export_onnx(str(tiny_model_dir))


def contents(directory):
    """Every file and its bytes."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def graph_of_noise(monkeypatch):
    """Graphs that give every text another label than the model does."""
    score = onnx_graph.OnnxClassifier.score
    monkeypatch.setattr(onnx_graph.OnnxClassifier, "score", lambda self, *args: -score(self, *args))


def test_a_graph_that_disagrees_is_not_written(graph_of_noise, model_dir, reviews_dir, tmp_path, capsys):
    before = contents(model_dir)
    for words in ([], ["--dataset", str(reviews_dir)], ["--output-dir", str(tmp_path / "o")]):
        assert main(["export", str(model_dir), *words]) == 1
        assert "logits that differ from the original's by up to" in capsys.readouterr().err
    assert contents(model_dir) == before
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("precision", "remedy"), [("fp32", "another version of torch"), ("int8", "without --quantize")]
)
def test_labels_that_change_are_counted(precision, remedy):
    few = exporting.Agreement("test", 1_000, 0.94, 1e-3, 0.9, 0.9, 0.9, 0.9, None, 1.0, 1.0)
    with pytest.raises(
        ModelError, match=rf"the {precision} graph gives the answer .* on 94.0% of the 1,000 rows.*{remedy}"
    ):
        exporting._require_agreement(few, precision)


def test_a_doubt_is_a_warning():
    agreement = exporting.Agreement("test", 1_000, 0.98, 0.1, 0.9, 0.9, 0.9, 0.9, None, 1.0, 1.0)
    one = exporting.Exported("onnx/model_quantized.onnx", "int8", 1, 4, "", agreement)
    assert exporting.doubts_of(one) == "2.0% of the predictions change with int8: look whether that is worth it"


def test_a_report_cannot_name_other_files_of_this_machine(exported_run, tmp_path):
    import shutil

    exported_dir = shutil.copytree(exported_run, tmp_path / "film-reviews")
    (exported_dir / "onnx" / "notes.onnx").write_text("mine")
    (exported_dir.parent / "secret").write_text("mine")
    report = json.loads((exported_dir / "report.json").read_text())
    report["model"]["exports"][0]["file"] = "../secret"
    (exported_dir / "report.json").write_text(json.dumps(report))
    names = repository_files(exported_dir)
    assert [name for name in names if "onnx" in name or "secret" in name] == [
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
    ]


def test_wrong_words_and_places(model_dir, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    for words, message in {
        (str(tmp_path / "nothing"), "--output-dir", str(tmp_path / "o")): "nothing",
        (str(model_dir), "--output-dir", str(tmp_path / "file")): "is a file. Name a directory",
        (str(model_dir), "--output-dir", str(tmp_path / "full")): "is not empty",
    }.items():
        assert main(["export", *words]) == 1
        assert message in capsys.readouterr().err
    for words in (["--format", "tflite"], ["--quantize", "int4"]):
        assert main(["export", str(model_dir), *words]) == 2
        assert f"{words[0]}: invalid choice: '{words[1]}'" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing(model_dir, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = contents(model_dir)
    monkeypatch.setattr(exporting, "save_graph", full)
    assert main(["export", str(model_dir)]) == 1
    assert "is full" in (message := capsys.readouterr().err)
    assert "--resume" not in message
    assert contents(model_dir) == before


def test_a_model_that_cannot_be_exported_is_named(model_dir, monkeypatch):
    from transformers.exporters.exporter_onnx import OnnxExporter

    def fail(*_, **__):
        raise RuntimeError("an operator is not known")

    monkeypatch.setattr(OnnxExporter, "export", fail)
    with pytest.raises(ModelError, match="BertForSequenceClassification cannot be exported to ONNX.*not known"):
        export_onnx(str(model_dir))


@pytest.mark.parametrize(
    ("package", "message"),
    [
        ("onnxruntime", r"needs onnxruntime, which is not installed. Run: .* -m pip install 'hfbertcls\[onnx\]'"),
        ("onnxscript", "needs onnxscript"),
        ("transformers.exporters", "needs a transformers with exporters"),
    ],
)
def test_a_missing_package_is_reported_first(package, message, monkeypatch, model_dir):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingAssetError, match=message):
        export_onnx(str(model_dir))


def test_training_again_removes_the_export(exported_run, tmp_path, tiny_model_dir, reviews_dir):
    import shutil

    directory = shutil.copytree(exported_run, tmp_path / "film-reviews")
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--output-dir", str(directory)]
    assert main([*words, "--max-steps", "2", "--eval-every", "no", "--overwrite"]) == 0
    assert not (directory / "onnx").exists()


def test_the_script_of_the_page_gives_the_logits_of_the_export(exported_run, tmp_path, monkeypatch):
    import re
    import shutil

    page = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "export.md").read_text(encoding="utf-8")
    (script,) = [block for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "session" in block]
    shutil.copytree(exported_run, tmp_path / "my-model")
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    exec(compile(script, "export.md", "exec"), namespace)
    expected = run_as_the_readme_says(exported_run, ["a lovely lamp"])
    np.testing.assert_allclose(namespace["logits"], expected, atol=1e-6)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_a_killed_export_left_is_no_hindrance(elsewhere, model_dir, tmp_path, reviews_dir):
    place = tmp_path / "o" if elsewhere else model_dir
    (place / ".hfbertcls-staging" / "onnx").mkdir(parents=True)
    (place / ".hfbertcls-staging" / "onnx" / "model.onnx").write_bytes(b"half")
    (place / ".hfbertcls.lock").touch()
    (one,) = export_onnx(str(model_dir), place if elsewhere else None, dataset=str(reviews_dir))
    assert (place / "onnx" / "model.onnx").stat().st_size == one.bytes
    assert not list(place.glob(".hfbertcls*"))


@pytest.mark.parametrize("exports", ["onnx/model.onnx", ["onnx"], [{"file": "../secret", "sha256": "0"}], {"a": 1}])
def test_a_report_with_odd_exports_is_verified_without_a_traceback(exports, model_dir, capsys):
    (model_dir.parent / "secret").write_text("0")
    report = json.loads((model_dir / "report.json").read_text())
    report["model"]["exports"] = exports
    (model_dir / "report.json").write_text(json.dumps(report))
    assert main(["verify", str(model_dir)]) == 1
    assert "Traceback" not in "".join(capsys.readouterr())
