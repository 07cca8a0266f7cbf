"""A new label beside known ones: its row of the head is fitted, the others stay."""

import csv
import shutil

import numpy as np
import pytest
import torch

from hfbertcls.cli import main
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.evaluation.baselines import LinearProbe
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.heads import output_layer
from hfbertcls.modeling.loading import ModelSource, load_for_training, load_tokenizer
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.single_label import SingleLabel
from hfbertcls.training.new_rows import begin_new_rows, fit_rows


@pytest.fixture
def texts_with_a_new_label(tmp_path, reviews):
    """320 rows, a third of them with the label `music`, which `finished_run` does not know."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, count, seed in (("train", 320, 1), ("validation", 60, 2)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            for number, (text, label) in enumerate(reviews(count, seed)):
                writer.writerow(["music music " * 3 + text, "music"] if number % 3 == 0 else [text, label])
    return folder


def accuracy_of(model, tokenizer, rows):
    return float((score(model, tokenizer, rows).argmax(axis=1) == rows.gold).mean())


def test_the_new_row_is_fitted_and_the_known_ones_stay(finished_run, texts_with_a_new_label):
    source, data = ModelSource(str(finished_run)), load_text_dataset(texts_with_a_new_label)
    tokenizer = load_tokenizer(source)
    train, validation = (
        tokenize_split(data.splits[name], tokenizer, 32, data.task) for name in ("train", "validation")
    )
    loaded = load_for_training(source, data.task, seed=1)
    new = data.task.labels.index("music")
    assert loaded.new_rows == (new,)
    known = [row for row in range(3) if row != new]
    layer = output_layer(loaded.model)
    before, earlier = layer.weight.detach().clone(), accuracy_of(loaded.model, tokenizer, validation)
    assert begin_new_rows(loaded.model, tokenizer, train, loaded.new_rows, torch.device("cpu"))
    assert torch.equal(layer.weight[known], before[known])
    assert not torch.equal(layer.weight[new], before[new])
    assert accuracy_of(loaded.model, tokenizer, validation) > earlier + 0.15


def test_training_says_so(finished_run, texts_with_a_new_label, tmp_path, capsys):
    shutil.copytree(finished_run, tmp_path / "base")
    words = ["train", "--model", str(tmp_path / "base"), "--dataset", str(texts_with_a_new_label), "--max-steps", "1"]
    assert main([*words, "--output-dir", str(tmp_path / "out")]) == 0
    assert "Start: the trained head, with a linear probe for the new labels 'music'" in capsys.readouterr().err
    assert main([*words, "--output-dir", str(tmp_path / "plain"), "--recipe", "plain"]) == 0
    assert "with a linear probe for the new labels" not in capsys.readouterr().err


def test_all_multi_label_outputs_fitted_together_are_the_linear_probe():
    """But for the biases, which its solver regularizes too."""
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(60, 5)).astype(np.float32)
    gold = (vectors[:, :3] + 0.5 * generator.normal(size=(60, 3)) > 0).astype(np.int64)
    task = MultiLabel(("a", "b", "c"))
    weights, biases = fit_rows(task, vectors, gold, np.zeros((60, 3)), [0, 1, 2])
    probe = LinearProbe(task, vectors, gold)
    np.testing.assert_allclose(weights, probe.weights, atol=0.02)
    np.testing.assert_allclose(biases, probe.biases, atol=0.02)


def test_one_of_two_labels_is_fitted_against_the_other():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(80, 4)).astype(np.float32)
    gold = (vectors[:, 0] > 0).astype(np.int64)
    logits = np.zeros((80, 2))
    logits[:, 0] = 3.0  # (the known label is sure of every text)
    weights, biases = fit_rows(SingleLabel(("a", "b")), vectors, gold, logits, [1])
    logits[:, 1] = vectors @ weights[0] + biases[0]
    assert (logits.argmax(axis=1) == gold).mean() > 0.95
