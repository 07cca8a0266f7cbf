"""A classifier as ONNX: it agrees with the original, the card says how far, a push takes it along."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hfbertcls import ConfigurationError, MissingAssetError, ModelError, OutputDirectoryError, export_onnx
from hfbertcls import export as exporting
from hfbertcls.cli import main
from hfbertcls.data.tokenization import tokenize_texts
from hfbertcls.evaluation.scores import softmax
from hfbertcls.modeling import onnx_graph
from hfbertcls.modeling.predictions import Predictions


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
    feed = {given.name: batch[given.name] for given in session.get_inputs()}
    return session.run(["logits"], feed)[0]


def test_the_graph_gives_the_calibrated_scores_of_pipeline(exported_run, reviews_dir):
    with (reviews_dir / "test.csv").open(newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    report = json.loads((exported_run / "report.json").read_text())
    assert report["evaluation"]["test"]["calibration"]["temperature"] != 1
    predictions = Predictions.from_parquet(
        (exported_run / "predictions" / "test.parquet").read_bytes(), report["task"]["labels"]
    )
    found = run_as_the_readme_says(exported_run, texts)
    np.testing.assert_allclose(softmax(found), softmax(predictions.logits), atol=1e-5)
    alone = np.concatenate([run_as_the_readme_says(exported_run, [text]) for text in texts[:5]])
    np.testing.assert_allclose(alone, found[:5], atol=1e-5)


def test_report_and_card_state_what_was_measured(exported_run):
    report = json.loads((exported_run / "report.json").read_text())
    fp32, int8 = report["model"]["exports"]
    accuracy = report["evaluation"]["test"]["metrics"]["accuracy"]["value"]
    assert fp32["file"] == "onnx/model.onnx"
    assert fp32["agreement"]["split"] == "test"
    assert fp32["agreement"]["rows"] == 64
    assert fp32["agreement"]["same_label"] == 1.0
    assert fp32["agreement"]["accuracy"] == fp32["agreement"]["original_accuracy"] == accuracy
    assert 0 < fp32["agreement"]["largest_difference"] < 1e-4 < int8["agreement"]["largest_difference"]
    card = (exported_run / "README.md").read_text()
    assert "| `onnx/model.onnx` | ONNX, fp32 |" in card
    assert "100.00 % of 64 rows of test" in card
    assert "| `onnx/model_quantized.onnx` | ONNX, int8 |" in card


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
    assert main(["export", str(model_dir)]) == 0
    assert "note: random token ids were compared: pass --dataset" in capsys.readouterr().out
    card = (model_dir / "README.md").read_text()
    assert "| not measured | - | - |" in card
    assert main(["verify", str(model_dir)]) == 0


def test_a_second_export_needs_a_word(exported_run, reviews_dir):
    with pytest.raises(OutputDirectoryError, match=r"holds an export already \(onnx/\). Pass --overwrite"):
        export_onnx(str(exported_run))


def test_a_model_of_others_needs_a_place(tiny_model_dir):
    with pytest.raises(ConfigurationError, match="is no directory that hfbertcls wrote.*--output-dir"):
        export_onnx(str(tiny_model_dir))


def test_a_graph_that_does_not_agree_is_not_left(model_dir, monkeypatch):
    monkeypatch.setattr(exporting, "LEAST_AGREEMENT", 1.1)
    with pytest.raises(ModelError, match="on 100.0% of 256 texts.*Nothing was written"):
        export_onnx(str(model_dir))
    assert not (model_dir / "onnx").exists()
    assert not list(model_dir.glob(".hfbertcls*"))
    assert "exports" not in json.loads((model_dir / "report.json").read_text())["model"]


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
        ("onnxruntime", r"needs onnxruntime, which is not installed. Run: pip install 'hfbertcls\[onnx\]'"),
        ("onnxscript", "needs onnxscript"),
        ("transformers.exporters", "needs a transformers with exporters"),
    ],
)
def test_what_is_missing_is_said_first(package, message, monkeypatch, model_dir):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingAssetError, match=message):
        export_onnx(str(model_dir))


def test_training_anew_removes_the_export(exported_run, tmp_path, tiny_model_dir, reviews_dir):
    import shutil

    directory = shutil.copytree(exported_run, tmp_path / "film-reviews")
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--output-dir", str(directory)]
    assert main([*words, "--max-steps", "2", "--eval-every", "no", "--overwrite"]) == 0
    assert not (directory / "onnx").exists()


def classifiers():
    from transformers import (
        DebertaV2Config,
        DebertaV2ForSequenceClassification,
        DistilBertConfig,
        DistilBertForSequenceClassification,
        ElectraConfig,
        ElectraForSequenceClassification,
        ModernBertConfig,
        ModernBertForSequenceClassification,
        MPNetConfig,
        MPNetForSequenceClassification,
        RobertaConfig,
        RobertaForSequenceClassification,
    )

    sizes = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "num_labels": 3,
        "max_position_embeddings": 40,
    }  # fmt: skip
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    relative = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8}
    distil = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "num_labels": 3, "max_position_embeddings": 40}
    return {
        "deberta-v2": lambda v: DebertaV2ForSequenceClassification(DebertaV2Config(vocab_size=v, **sizes, **relative)),
        "distilbert": lambda v: DistilBertForSequenceClassification(DistilBertConfig(vocab_size=v, **distil)),
        "electra": lambda v: ElectraForSequenceClassification(ElectraConfig(vocab_size=v, embedding_size=16, **sizes)),
        "modernbert": lambda v: ModernBertForSequenceClassification(
            ModernBertConfig(vocab_size=v, **sizes, **special)
        ),
        "mpnet": lambda v: MPNetForSequenceClassification(MPNetConfig(vocab_size=v, **sizes, pad_token_id=0)),
        "roberta": lambda v: RobertaForSequenceClassification(RobertaConfig(vocab_size=v, **sizes, pad_token_id=0)),
    }


@pytest.mark.parametrize("kind", list(classifiers()))
def test_every_architecture_agrees_at_any_size(kind, tiny_tokenizer, tmp_path):
    from hfbertcls.modeling.engine import score

    torch.manual_seed(0)
    model = classifiers()[kind](len(tiny_tokenizer))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.train(False)
    onnx_graph.save_graph(onnx_graph.to_onnx(model, tiny_tokenizer), tmp_path / "model.onnx")
    words = ["the", "film", "was", "very", "good", "and", "the", "plot", "is", "bad"]
    texts = [" ".join(words[:count] * repeats) for count in range(1, 10) for repeats in (1, 3)]
    graph = onnx_graph.OnnxClassifier(tmp_path / "model.onnx")
    for chosen in (texts, texts[:1], texts[-1:] * 70):
        tokenized = tokenize_texts(chosen, tiny_tokenizer, 32)
        np.testing.assert_allclose(
            graph.score(tiny_tokenizer, tokenized), score(model, tiny_tokenizer, tokenized), atol=2e-5
        )


def test_the_script_of_the_readme_runs(exported_run, tmp_path, monkeypatch):
    import re
    import shutil

    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    (script,) = [block for block in re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL) if "session" in block]
    shutil.copytree(exported_run, tmp_path / "reviews-model")
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(compile(script, "README.md", "exec"), found)
    expected = run_as_the_readme_says(exported_run, ["a film worth seeing"])
    np.testing.assert_allclose(found["logits"], expected, atol=1e-6)
