"""`hfbertcls export`: an ONNX file beside the weights, what it costs on real text, on the card and in the push."""

import builtins
import json
import shutil

import numpy as np
import pytest

import hfbertcls.export as exporting
from hfbertcls import ConfigurationError, ModelError, ModelSource, OutputDirectoryError, export_onnx
from hfbertcls.cli import main
from hfbertcls.evaluation.scores import softmax
from hfbertcls.modeling.onnx_graph import OnnxClassifier
from hfbertcls.sharing.model_repository import repository_files, sha256_of
from hfbertcls.sharing.verify import verify_directory


BOTH = ["onnx/model.onnx", "onnx/model_quantized.onnx"]


@pytest.fixture(scope="module")
def exported_run(tmp_path_factory, finished_run, reviews_dir):
    """A finished run with both files; copy it before changing anything."""
    directory = tmp_path_factory.mktemp("exported") / "film-reviews"
    shutil.copytree(finished_run, directory)
    words = ["export", str(directory), "--format", "onnx", "--quantize", "int8", "--dataset", str(reviews_dir)]
    assert main(words) == 0
    return directory


@pytest.fixture
def exported_dir(tmp_path, exported_run):
    return shutil.copytree(exported_run, tmp_path / "exported")


def contents(directory):
    """Every file and its bytes."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def graph_of_noise(monkeypatch):
    """Graphs that give every text another label than the model does."""
    score = OnnxClassifier.score
    monkeypatch.setattr(OnnxClassifier, "score", lambda self, *given: -score(self, *given))


def test_the_report_and_the_card_state_what_the_export_costs(exported_run, reviews_dir):
    report = json.loads((exported_run / "report.json").read_text())
    fp32, int8 = report["model"]["exports"]
    assert [fp32["file"], int8["file"]] == BOTH
    for one in (fp32, int8):
        assert one["sha256"] == sha256_of(exported_run / one["file"])
        assert one["bytes"] == (exported_run / one["file"]).stat().st_size
        assert one["agreement"]["split"] == "test"
        assert one["agreement"]["rows"] == 64
        shown = report["evaluation"]["test"]["metrics"]["accuracy"]["value"]
        assert one["agreement"]["original_accuracy"] == pytest.approx(shown)
        assert one["agreement"]["texts_per_second"] > 0
    assert fp32["agreement"]["same_label"] == 1.0
    assert fp32["agreement"]["largest_difference"] < 1e-4
    assert int8["bytes"] < fp32["bytes"]
    card = (exported_run / "README.md").read_text()
    assert "## Other run-times" in card
    assert "| `onnx/model.onnx` | ONNX, fp32 |" in card
    assert "100.00 % of 64 rows of test" in card
    assert verify_directory(exported_run).differences == ()


def test_softmax_of_its_logits_gives_the_calibrated_scores(exported_run):
    from transformers import AutoTokenizer, pipeline

    from hfbertcls.data.tokenization import tokenize_texts

    assert json.loads((exported_run / "config.json").read_text())["hfbertcls_temperature"] != 1.0
    texts = ["the film was superb", "awful plot", "so so"]
    tokenizer = AutoTokenizer.from_pretrained(exported_run)
    logits = OnnxClassifier(exported_run / BOTH[0]).score(tokenizer, tokenize_texts(texts, tokenizer, 32))
    answers = pipeline("text-classification", model=str(exported_run), top_k=None)(texts)
    expected = [[{one["label"]: one["score"] for one in row}[name] for name in ("negative", "positive")] for row in answers]
    np.testing.assert_allclose(softmax(logits), expected, atol=1e-5)


def test_a_push_takes_the_files_along_and_the_hub_verifies(exported_dir, hub, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    assert main(["push", str(exported_dir), "alice/film-reviews"]) == 0
    assert main(["verify", "alice/film-reviews"]) == 0
    assert set(BOTH) <= set(repository_files(exported_dir))


def test_a_report_cannot_name_other_files_of_this_machine(exported_dir):
    (exported_dir / "onnx" / "notes.onnx").write_text("mine")
    (exported_dir.parent / "secret").write_text("mine")
    report = json.loads((exported_dir / "report.json").read_text())
    report["model"]["exports"][0]["file"] = "../secret"
    (exported_dir / "report.json").write_text(json.dumps(report))
    names = repository_files(exported_dir)
    assert [name for name in names if "onnx" in name or "secret" in name] == [BOTH[1]]


def test_a_changed_or_missing_file_is_found_out(exported_dir):
    with (exported_dir / BOTH[0]).open("ab") as file:
        file.write(b"\0")
    (exported_dir / BOTH[1]).unlink()
    found = verify_directory(exported_dir).differences
    assert f"{BOTH[0]}: its SHA-256 is not the one that report.json states" in found
    assert f"{BOTH[1]}: it is not there" in found


def test_another_directory_holds_all_that_a_run_time_needs(model_dir, reviews_dir, tmp_path, capsys):
    before = contents(model_dir)
    words = ["export", str(model_dir), "--dataset", str(reviews_dir), "--split", "validation"]
    assert main([*words, "--output-dir", str(tmp_path / "o"), "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one["agreement"]["split"] == "validation"
    stated = json.loads((tmp_path / "o" / "export.json").read_text())
    assert stated == {"schema_version": 1, "files": [one]}
    names = sorted(contents(tmp_path / "o"))
    assert names == ["config.json", "export.json", "onnx/model.onnx", "tokenizer.json", "tokenizer_config.json"]
    assert contents(model_dir) == before


def test_without_data_the_agreement_on_text_is_not_claimed(model_dir, capsys):
    assert main(["export", str(model_dir), "--output-dir", str(model_dir)]) == 0  # (M itself is no other place)
    assert "random token ids were compared: pass --dataset" in capsys.readouterr().out
    assert "| ONNX, fp32 | 0 MB | not measured | - | - |" in (model_dir / "README.md").read_text()
    assert not (model_dir / "export.json").exists()
    assert verify_directory(model_dir).differences == ()


def test_an_export_is_replaced_only_when_asked(exported_dir, capsys):
    with pytest.raises(OutputDirectoryError, match=r"holds an export already \(onnx/\). Pass --overwrite"):
        export_onnx(str(exported_dir))
    assert main(["export", str(exported_dir), "--overwrite"]) == 0
    assert not (exported_dir / BOTH[1]).exists()  # what the report no longer states
    assert verify_directory(exported_dir).differences == ()


def test_a_graph_that_disagrees_is_not_written(graph_of_noise, model_dir, reviews_dir, tmp_path, capsys):
    before = contents(model_dir)
    for words in ([], ["--dataset", str(reviews_dir)], ["--output-dir", str(tmp_path / "o")]):
        assert main(["export", str(model_dir), *words]) == 1
        assert "logits that differ from the original's by up to" in capsys.readouterr().err
    assert contents(model_dir) == before
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("precision", "remedy"), [("fp32", "another version of torch"), ("int8", "without --quantize")])
def test_labels_that_change_are_counted(precision, remedy):
    few = exporting.Agreement("test", 1_000, 0.94, 1e-3, 0.9, 0.9, 0.9, 0.9, 1.0, 1.0)
    with pytest.raises(ModelError, match=rf"the {precision} graph gives the label .* on 94.0% of the 1,000 rows.*{remedy}"):
        exporting._require_agreement(few, precision)


def test_a_doubt_is_said():
    found = exporting.Agreement("test", 1_000, 0.98, 0.1, 0.9, 0.9, 0.9, 0.9, 1.0, 1.0)
    one = exporting.Exported(BOTH[1], "int8", 1, 4, "", found)
    assert exporting.doubts_of(one) == "2.0% of the predictions change with int8: look whether that is worth it"


def test_a_place_is_needed_for_a_model_of_somebody_else(model_dir, capsys):
    (model_dir / "report.json").unlink()
    with pytest.raises(ConfigurationError, match=r"is no directory that hfbertcls wrote.*Pass --output-dir"):
        export_onnx(ModelSource(str(model_dir)))
    assert main(["export", str(model_dir)]) == 2


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
        with pytest.raises(SystemExit, match="2"):
            main(["export", str(model_dir), *words])


def test_what_is_not_installed_is_named(model_dir, monkeypatch, capsys):
    real = builtins.__import__

    def without(missing):
        def imported(name, *rest):
            if name == missing:
                raise ImportError(f"No module named {name!r}", name=name)
            return real(name, *rest)

        return imported

    monkeypatch.setattr(builtins, "__import__", without("onnxruntime"))
    assert main(["export", str(model_dir)]) == 1
    assert "needs onnxruntime, which is not installed. Run: pip install 'hfbertcls[onnx]'" in capsys.readouterr().err
    monkeypatch.setattr(builtins, "__import__", without("transformers.exporters"))
    assert main(["export", str(model_dir)]) == 1
    assert "needs a transformers with exporters" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing(model_dir, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = contents(model_dir)
    monkeypatch.setattr(exporting, "save_graph", full)
    assert main(["export", str(model_dir)]) == 1
    assert "is full" in (message := capsys.readouterr().err)
    assert "--resume" not in message
    assert contents(model_dir) == before
