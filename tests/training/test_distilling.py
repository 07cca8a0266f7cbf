"""A distillation for pairs: an encoder learns to compare two texts that it reads together."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from hfbertcls.cli import main
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.evaluation.baselines import pair_features
from hfbertcls.modeling.loading import ModelSource, load_for_training
from hfbertcls.training.distilling import choose_distillation, distill, recombined
from hfbertcls.training.frozen_start import begin_from, frozen_start
from hfbertcls.training.phases import PhaseRecipe


CPU = torch.device("cpu")
WORDS = ["film", "plot", "acting", "great", "dull", "poor", "was", "and"]


def write_pairs(path, count, seed):
    """Two texts of four words; `same` if they have at least three words in common."""
    generator = np.random.default_rng(seed)
    lines = ["text,text_pair,label"]
    for _ in range(count):
        one, other = (generator.choice(WORDS, 4, replace=False) for _ in range(2))
        other = one if generator.random() < 0.5 else other
        other = generator.permutation(other)
        lines.append(f"{' '.join(one)},{' '.join(other)},{'same' if len(set(one) & set(other)) > 2 else 'other'}")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def pairs_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "alike"
    folder.mkdir()
    for seed, (name, count) in enumerate({"train": 320, "validation": 60, "test": 60}.items()):
        write_pairs(folder / f"{name}.csv", count, seed)
    return folder


@pytest.fixture(scope="module")
def start(pairs_dir, tiny_model_dir, tiny_tokenizer):
    """A classifier that begins as a linear probe, its rows, and the probes."""
    data, source = load_text_dataset(pairs_dir), ModelSource(str(tiny_model_dir))
    tokens = {name: tokenize_split(split, tiny_tokenizer, 32, data.task) for name, split in data.splits.items()}
    frozen = frozen_start(load_for_training(source, data.task, 0), tiny_tokenizer, tokens, data.splits, "mean", CPU)
    model = load_for_training(source, data.task, 0).model
    begin_from(model, frozen, 0)
    return model.train(False), tokens, data.splits, frozen


def test_pairs_are_made_of_those_of_the_data_of_neighbours_and_of_any_texts():
    generator = np.random.default_rng(0)
    first, second = (
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in generator.normal(size=(2, 50, 8))
    )
    texts = [[f"{side} {row}" for row in range(50)] for side in "ab"]
    vector_of = dict(zip([*texts[0], *texts[1]], np.concatenate([first, second]), strict=True))
    pairs, cosines = recombined(texts, first, second, 600, np.random.default_rng(1))
    assert len(pairs) == len(cosines) == 600
    for pair, cosine in zip(pairs, cosines, strict=True):
        assert cosine == pytest.approx(vector_of[pair.text] @ vector_of[pair.text_pair])
    own = [f"a {row}" == pair.text and f"b {row}" == pair.text_pair for pair in pairs for row in [pair.text[2:]]]
    assert sum(own[:200]) == 200
    assert cosines[200:].mean() > 0.3 > abs(cosines[:200].mean()) + 0.1
    again = recombined(texts, first, second, 600, np.random.default_rng(1))
    assert again[0] == pairs
    np.testing.assert_array_equal(again[1], cosines)


def test_it_is_for_pairs_whose_texts_are_compared_better_alone(start, reviews_dir, tiny_model_dir, tiny_tokenizer):
    model, tokens, _, frozen = start
    assert choose_distillation(model, frozen, tokens["train"], 1e-4) == PhaseRecipe(600, 1e-4)
    assert PhaseRecipe(600, 1e-4).at_most(-1).steps == 600
    assert PhaseRecipe(600, 1e-4).at_most(7).steps == 7
    data = load_text_dataset(reviews_dir)
    single = {name: tokenize_split(split, tiny_tokenizer, 32, data.task) for name, split in data.splits.items()}
    loaded = load_for_training(ModelSource(str(tiny_model_dir)), data.task, 0)
    probe = frozen_start(loaded, tiny_tokenizer, single, data.splits, "mean", CPU)
    assert probe.separate is None
    assert choose_distillation(model, probe, single["train"], 1e-4) is None


def test_the_loss_of_the_cosine_falls(tiny_model_dir, tiny_tokenizer, tmp_path, monkeypatch):
    """Of 36 pairs of six texts, whose vectors are random ones here, so that nothing but memory helps."""
    texts = [" ".join(np.random.default_rng(seed).permutation(WORDS)[:4]) for seed in range(6)]
    rows = [(texts[row % 6], texts[row // 6]) for row in range(36)] * 2
    lines = [f"{one},{other},{('same', 'other')[row % 2]}" for row, (one, other) in enumerate(rows)]
    (tmp_path / "train.csv").write_text("\n".join(["text,text_pair,label", *lines]) + "\n")
    data = load_text_dataset(tmp_path, make_splits=False)
    split = next(iter(data.splits.values()))
    tokens = tokenize_split(split, tiny_tokenizer, 32, data.task)
    source = ModelSource(str(tiny_model_dir))
    loaded = load_for_training(source, data.task, 0)
    frozen = frozen_start(loaded, tiny_tokenizer, {"train": tokens}, {"train": split}, "mean", CPU)
    model = load_for_training(source, data.task, 0).model.train(False)
    begin_from(model, frozen, 0)
    vectors = dict(zip(texts, np.random.default_rng(9).normal(size=(6, 8)).astype(np.float32), strict=True))
    features = pair_features(*(np.stack([vectors[text] for text in field]) for field in zip(*rows, strict=True)))
    frozen = replace(frozen, separate=replace(frozen.separate, vectors=features))
    losses, mse_loss = [], torch.nn.functional.mse_loss

    def recorded(*arguments):
        losses.append(mse_loss(*arguments))
        return losses[-1]

    monkeypatch.setattr(torch.nn.functional, "mse_loss", recorded)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    distill(model, tiny_tokenizer, tokens, split, frozen, PhaseRecipe(100, 3e-3), 0, lambda _: None, in_bf16=False)
    of_steps = np.array([loss.item() for loss in losses])
    assert of_steps[-20:].mean() < 0.75 * of_steps[:20].mean()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not changed & {"classifier.weight", "classifier.bias", "bert.embeddings.word_embeddings.weight"}
    assert "bert.encoder.layer.0.attention.self.query.weight" in changed


@pytest.mark.parametrize("more", [[], ["--task", "regression"]])
def test_report_card_and_log_state_it(tmp_path, tiny_model_dir, pairs_dir, capsys, more):
    data = pairs_dir
    if more:
        data = tmp_path / "numbers"
        data.mkdir()
        for name in ("train", "validation", "test"):
            text = (pairs_dir / f"{name}.csv").read_text()
            (data / f"{name}.csv").write_text(text.replace(",same", ",4.5").replace(",other", ",1.25"))
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(data), "--output-dir", str(tmp_path / "out")]
    assert main([*words, "--max-steps", "8", *more]) == 0
    assert "Distillation: 8 steps on pairs of the training texts" in capsys.readouterr().err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [(one["name"], one["steps"]) for one in report["training"]["phases"]] == [("distillation", 8)]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Fine-tuning came after a distillation of 8 steps" in card
    assert main(["verify", str(tmp_path / "out")]) == 0


def test_few_pairs_begin_with_it_once_for_all_folds(tmp_path, tiny_model_dir, short_contrastive_phase, capsys):
    write_pairs(tmp_path / "few.csv", 80, 5)
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(tmp_path / "few.csv")]
    assert main([*words, "--output-dir", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [one["name"] for one in report["training"]["phases"]][:2] == ["distillation", "cross_validation"]
    assert "First, a distillation of 10 steps" in (tmp_path / "out" / "README.md").read_text()
    assert main(["verify", str(tmp_path / "out")]) == 0


def test_a_plain_recipe_has_none(tmp_path, tiny_model_dir, pairs_dir):
    words = [
        "train",
        "--model",
        str(tiny_model_dir),
        "--dataset",
        str(pairs_dir),
        "--output-dir",
        str(tmp_path / "out"),
    ]
    assert main([*words, "--max-steps", "2", "--recipe", "plain"]) == 0
    assert "phases" not in json.loads((tmp_path / "out" / "report.json").read_text())["training"]
