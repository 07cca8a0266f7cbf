"""With few rows, a contrastive phase comes before fine-tuning."""

import hashlib
import json

import numpy as np
import pytest
import torch

from hfbertcls.cli import main
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.modeling.engine import head_inputs
from hfbertcls.modeling.heads import output_layer
from hfbertcls.modeling.loading import ModelSource, load_for_training, load_tokenizer
from hfbertcls.modeling.pooling import append_mean_pooling
from hfbertcls.training import contrastive, phases
from hfbertcls.training.contrastive import (
    PhaseRecipe,
    choose_contrast,
    contrast,
    supervised_contrastive_loss,
)


@pytest.fixture
def few(tiny_model_dir, reviews_dir):
    """A model, its tokenizer and 40 tokenized rows."""
    source = ModelSource(str(tiny_model_dir))
    tokenizer, data = load_tokenizer(source), load_text_dataset(reviews_dir)
    rows = data.splits["train"].take("train", np.arange(40))
    model = load_for_training(source, data.task, seed=1).model
    model.train(False)
    return model, tokenizer, tokenize_split(rows, tokenizer, 32, data.task)


def test_the_loss_is_that_of_the_paper():
    torch.manual_seed(0)
    vectors, labels = torch.randn(7, 5), torch.tensor([0, 0, 1, 1, 1, 2, 0])
    centred = vectors - vectors.mean(dim=0)
    units = centred / centred.norm(dim=1, keepdim=True)
    losses = []
    for one in range(7):
        others = [row for row in range(7) if row != one]
        total = sum(torch.exp(units[one] @ units[row] / contrastive.TEMPERATURE) for row in others)
        same = [row for row in others if labels[row] == labels[one]]
        if same:
            terms = [torch.log(torch.exp(units[one] @ units[row] / contrastive.TEMPERATURE) / total) for row in same]
            losses.append(-sum(terms) / len(same))
    assert len(losses) == 6  # (the row of label 2 has no other one)
    assert supervised_contrastive_loss(vectors, (labels[:, None] == labels).float()).item() == pytest.approx(
        (sum(losses) / len(losses)).item(), rel=1e-5
    )


def test_texts_of_a_label_come_together_and_the_last_layer_stays(few):
    model, tokenizer, rows = few
    append_mean_pooling(model)  # (the pooler of a random encoder gives all texts nearly the same vector)

    def gap():
        vectors = head_inputs(model, tokenizer, rows)
        vectors = vectors - vectors.mean(axis=0)
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        same = rows.gold[:, None] == rows.gold
        similarities = vectors @ vectors.T
        return similarities[same].mean() - similarities[~same].mean()

    before, layer = gap(), output_layer(model).weight.clone()
    seconds = contrast(model, tokenizer, rows, PhaseRecipe(60, 3e-3), 0, lambda _: None, in_bf16=False)
    assert gap() > before + 0.3
    assert torch.equal(output_layer(model).weight, layer)
    assert not model.training
    assert seconds > 0


def test_a_batch_has_at_least_two_rows_of_each_of_its_labels():
    gold = np.repeat(np.arange(77), 5)
    of_labels = [np.flatnonzero(gold == label) for label in range(77)]
    positions = contrastive._balanced(of_labels, np.random.default_rng(0))
    counts = np.bincount(gold[positions])
    assert len(positions) == contrastive.ROWS_PER_BATCH
    assert set(counts) == {0, 2}
    assert len(set(positions.tolist())) == len(positions)


def test_the_phase_is_for_few_rows_of_two_labels_that_have_two_rows(few):
    model, _, rows = few
    assert choose_contrast(model, rows, 5e-5) == PhaseRecipe(40, 3e-5)
    assert choose_contrast(model, rows.take(np.arange(20)), 5e-5).steps == 25
    assert choose_contrast(model, rows.take(np.arange(100) % 40), 5e-5).steps == 60
    assert choose_contrast(model, rows.take(np.arange(250) % 40), 5e-5).steps == 100
    of_one_label = np.flatnonzero(rows.gold == 0)
    assert choose_contrast(model, rows.take(of_one_label), 5e-5) is None
    one_of_the_other = np.append(of_one_label, np.flatnonzero(rows.gold == 1)[0])
    assert choose_contrast(model, rows.take(one_of_the_other), 5e-5) is None
    assert choose_contrast(model, rows.take(np.arange(300) % 40), 5e-5) is None
    assert choose_contrast(model, rows.take(np.arange(299) % 40), 5e-5) is not None


def test_the_phase_is_shorter_where_a_step_takes_long(few, monkeypatch):
    model, _, rows = few
    monkeypatch.setattr(phases, "MOST_OPERATIONS", 1e9)
    assert 10 < choose_contrast(model, rows, 5e-5).steps < 40
    monkeypatch.setattr(phases, "MOST_OPERATIONS", 1.0)
    assert choose_contrast(model, rows, 5e-5).steps == 10


@pytest.fixture
def few_dir(tmp_path, reviews_dir):
    """A folder with 60 training rows."""
    folder = tmp_path / "few"
    folder.mkdir()
    for name, count in (("train", 60), ("validation", 64), ("test", 64)):
        lines = (reviews_dir / f"{name}.csv").read_text().splitlines()[: count + 1]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


def trained(tmp_path, model, data, name, *words):
    command = ["train", "--model", str(model), "--dataset", str(data), "--output-dir", str(tmp_path / name)]
    assert main([*command, "--max-steps", "2", *words]) == 0
    return json.loads((tmp_path / name / "report.json").read_text())


def test_report_and_card_state_the_phase_which_max_steps_bounds_and_it_is_repeatable(
    tmp_path, tiny_model_dir, few_dir, capsys
):
    report = trained(tmp_path, tiny_model_dir, few_dir, "one")
    (phase,) = report["training"]["phases"]
    assert (phase["name"], phase["steps"]) == ("contrastive", 2)
    assert phase["seconds"] > 0
    assert report["training"]["steps"] == 2
    assert "Contrastive phase: 2 steps" in capsys.readouterr().err
    assert "came after a contrastive phase of 2 steps" in (tmp_path / "one" / "README.md").read_text()
    assert main(["verify", str(tmp_path / "one")]) == 0
    trained(tmp_path, tiny_model_dir, few_dir, "two")
    one, two = (
        hashlib.sha256((tmp_path / name / "model.safetensors").read_bytes()).hexdigest() for name in ("one", "two")
    )
    assert one == two


def test_a_plain_recipe_has_no_such_phase(tmp_path, tiny_model_dir, few_dir):
    assert "phases" not in trained(tmp_path, tiny_model_dir, few_dir, "plain", "--recipe", "plain")["training"]
