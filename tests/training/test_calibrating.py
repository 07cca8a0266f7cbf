"""A head that is not what it looks like is left alone."""

import numpy as np
import torch

from hfbertcls.data.tokenization import TokenizedSplit, tokenize_texts
from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_for_training, load_tokenizer
from hfbertcls.tasks.single_label import SingleLabel
from hfbertcls.training.calibrating import calibrate


def staged(tmp_path, tiny_model_dir):
    """A saved classifier and forty rows for it."""
    source, task = ModelSource(str(tiny_model_dir)), SingleLabel(("bad", "good"))
    tokenizer = load_tokenizer(source)
    load_for_training(source, task, seed=1).model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    texts = [f"{word} film" for word in ("good", "bad", "dull", "fine") for _ in range(10)]
    tokenized = tokenize_texts(texts, tokenizer, 32)
    with_labels = tokenized.dataset.add_column("labels", np.arange(40) % 2)
    return TokenizedSplit(with_labels, task, tokenized.num_tokens, 32, 0)


def without_head(source):
    model = load_for_inference(source)
    model.classifier = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Bilinear(32, 1, 2))
    model.classifier.forward = lambda hidden: hidden[:, :2]
    return model


def test_a_model_without_a_last_linear_layer_keeps_its_weights(tmp_path, tiny_model_dir, monkeypatch):
    validation = staged(tmp_path, tiny_model_dir)
    before = (tmp_path / "model.safetensors").read_bytes()
    log_lines = []
    monkeypatch.setattr("hfbertcls.training.calibrating.load_for_inference", without_head)
    calibrate(tmp_path, validation, "cpu", log_lines.append)
    assert (
        "not calibrated: BertForSequenceClassification has no linear layer with 2 outputs at its end" in log_lines[0]
    )
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_a_layer_that_does_not_give_the_logits_is_noticed(tmp_path, tiny_model_dir, monkeypatch):
    validation = staged(tmp_path, tiny_model_dir)
    before = (tmp_path / "model.safetensors").read_bytes()
    monkeypatch.setattr("hfbertcls.modeling.heads.output_layer", lambda model: torch.nn.Linear(2, 2))
    log_lines = []
    calibrate(tmp_path, validation, "cpu", log_lines.append)
    assert "not calibrated: the last linear layer of this model does not give its logits" in log_lines[0]
    assert (tmp_path / "model.safetensors").read_bytes() == before
