"""A training begins with a linear model on the frozen encoder, and ends there if no checkpoint is as good."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from sklearn.linear_model import LogisticRegression

from hfbertcls.cli import main
from hfbertcls.data.dataset import TextSplit
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.evaluation.baselines import FrozenBaseline
from hfbertcls.modeling.engine import head_inputs, score
from hfbertcls.modeling.heads import output_layer
from hfbertcls.modeling.loading import ModelSource, load_for_training, load_tokenizer
from hfbertcls.modeling.pooling import pooling_of
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.single_label import SingleLabel
from hfbertcls.training.frozen_start import begin_from, frozen_start


CPU = torch.device("cpu")
THREE = SingleLabel(("a", "b", "c"))


def clouds(rows=90, width=6, labels=3, seed=0):
    """Vectors around a centre for each label."""
    generator = np.random.default_rng(seed)
    gold = np.arange(rows) % labels
    centres = np.eye(labels, width) * 4 + 10
    return (centres[gold] + generator.normal(size=(rows, width))).astype(np.float32), gold


def test_the_linear_model_is_logistic_regression_on_centred_vectors_of_mean_length_one():
    vectors, gold = clouds()
    baseline = FrozenBaseline(THREE, vectors, gold)
    centred = vectors - vectors.mean(axis=0)
    scaled = centred / np.linalg.norm(centred, axis=1).mean()
    expected = LogisticRegression(C=3.0, max_iter=1_000).fit(scaled, gold)
    logits = baseline.logits(vectors)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(shifted / shifted.sum(axis=1, keepdims=True), expected.predict_proba(scaled), atol=1e-3)
    assert baseline.train_rows == 90


@pytest.mark.parametrize(("labels", "present"), [(("a", "b"), [0, 1]), (("a", "b", "c"), [0, 2]), (("a", "b"), [1])])
def test_a_label_without_training_rows_is_never_predicted(labels, present):
    vectors, gold = clouds(labels=len(present))
    gold = np.array(present)[gold]
    baseline = FrozenBaseline(SingleLabel(labels), vectors, gold)
    assert set(baseline.predict(vectors)) == set(present)
    assert (baseline.predict(vectors) == gold).mean() > 0.95


def test_each_label_of_a_multi_label_task_has_a_model_and_a_threshold_of_its_own():
    vectors, gold = clouds()
    answers = np.zeros((90, 4), dtype=np.int8)
    answers[np.arange(90), gold] = 1
    answers[:, 2] = 1
    answers[:, 3] = 0
    baseline = FrozenBaseline(MultiLabel(("a", "b", "always", "never")), vectors, answers)
    predicted = baseline.predict(vectors)
    assert predicted[:, 2].all()
    assert not predicted[:, 3].any()
    assert (predicted[:, 0] == answers[:, 0]).mean() > 0.95


ENCODERS = {
    "bert": ("BertConfig", {"max_position_embeddings": 32}),
    "roberta": ("RobertaConfig", {"max_position_embeddings": 33, "pad_token_id": 0}),
    "distilbert": ("DistilBertConfig", {"dim": 32, "n_heads": 2, "n_layers": 2, "hidden_dim": 64}),
    "albert": ("AlbertConfig", {"embedding_size": 16, "max_position_embeddings": 32}),
}
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.mark.parametrize("pooling", ["first", "mean", None])
@pytest.mark.parametrize("name", ENCODERS)
def test_the_start_answers_as_the_linear_model_whatever_the_seed_of_the_head(
    name, pooling, tmp_path, tiny_tokenizer, reviews_dir
):
    kind, values = ENCODERS[name]
    config = getattr(transformers, kind)(**{**SMALL, **values, "vocab_size": len(tiny_tokenizer)})
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    source = ModelSource(str(tmp_path))
    tokenizer = load_tokenizer(source)
    data = load_text_dataset(reviews_dir)
    tokenized = {key: tokenize_split(split, tokenizer, 32, data.task) for key, split in data.splits.items()}
    start = frozen_start(load_for_training(source, data.task, seed=0), tokenizer, tokenized, data.splits, pooling, CPU)
    assert start.fitted_on == {"train_rows": 480, "pooling": start.pooling}
    if name == "albert":
        assert start.pooling == "first"
        assert ("its layers share their weights" in start.note) == (pooling != "first")
    elif pooling is not None:
        assert start.pooling == pooling
    model = load_for_training(source, data.task, seed=7).model
    model.train(False)
    begin_from(model, start, 0)
    assert pooling_of(model.config) == start.pooling
    np.testing.assert_allclose(score(model, tokenizer, tokenized["test"]), start.logits["test"], atol=1e-3)


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before(tiny_model_dir, tiny_tokenizer, reviews_dir):
    source, data = ModelSource(str(tiny_model_dir)), load_text_dataset(reviews_dir)
    tokenized = {key: tokenize_split(split, tiny_tokenizer, 32, data.task) for key, split in data.splits.items()}
    start = frozen_start(
        load_for_training(source, data.task, seed=0), tiny_tokenizer, tokenized, data.splits, "mean", CPU
    )

    def weights(drawn):
        model = load_for_training(source, data.task, seed=7).model
        torch.rand(drawn)
        begin_from(model, start, 7)
        return model.state_dict()

    one, two = weights(0), weights(3)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_the_last_layer_receives_gives_the_logits(tiny_model_dir, reviews_dir):
    source = ModelSource(str(tiny_model_dir))
    tokenizer, data = load_tokenizer(source), load_text_dataset(reviews_dir)
    model = load_for_training(source, data.task, seed=1).model
    model.train(False)
    split: TextSplit = data.splits["test"]
    tokenized = tokenize_split(split, tokenizer, 32)
    layer = output_layer(model)
    vectors = head_inputs(model, tokenizer, tokenized)
    assert output_layer(model) is layer
    with torch.no_grad():
        expected = layer(torch.from_numpy(vectors)).numpy()
    np.testing.assert_allclose(score(model, tokenizer, tokenized), expected, atol=1e-5)


def trained(tmp_path, model, data, *words):
    command = ["train", "--model", str(model), "--dataset", str(data), "--output-dir", str(tmp_path / "out")]
    assert main([*command, "--max-steps", "4", "--eval-every", "2", *words]) == 0
    return json.loads((tmp_path / "out" / "report.json").read_text())


def test_a_training_that_loses_returns_to_the_start(tmp_path, tiny_model_dir, reviews_dir, capsys):
    report = trained(tmp_path, tiny_model_dir, reviews_dir, "--learning-rate", "0.5")
    assert report["training"]["best_step"] == 0
    assert report["training"]["steps"] == 4
    assert "No checkpoint beats the start on validation (f1_macro" in capsys.readouterr().err
    table = pq.read_table(tmp_path / "out" / "predictions" / "test.parquet")
    assert table["prediction"].to_pylist() == table["baseline_frozen_logreg"].to_pylist()
    assert report["evaluation"]["test"]["baselines"]["frozen_logreg"]["difference"]["value"] == 0
    value = report["training"]["selection_value"]
    assert value == pytest.approx(report["evaluation"]["validation"]["metrics"]["f1_macro"]["value"])
    card = (tmp_path / "out" / "README.md").read_text()
    assert (
        "No checkpoint beat the start of fine-tuning, a linear probe on the frozen encoder, on the validation split"
        in card
    )
    assert main(["verify", str(tmp_path / "out")]) == 0


def test_a_plain_recipe_starts_from_a_random_head_and_reads_the_first_token(
    tmp_path, tiny_model_dir, reviews_dir, capsys
):
    report = trained(tmp_path, tiny_model_dir, reviews_dir, "--recipe", "plain", "--learning-rate", "1e-6")
    assert report["model"]["pooling"] == "first"
    assert report["training"]["hyperparameters"]["recipe"] == "plain"
    test = report["evaluation"]["test"]
    assert test["metrics"]["accuracy"]["value"] < test["baselines"]["frozen_logreg"]["accuracy"]
    assert "Start: " not in capsys.readouterr().err


def test_the_pooling_is_that_of_the_option(tmp_path, tiny_model_dir, reviews_dir, capsys):
    report = trained(tmp_path, tiny_model_dir, reviews_dir, "--pooling", "mean")
    assert report["model"]["pooling"] == "mean"
    assert json.loads((tmp_path / "out" / "config.json").read_text())["num_hidden_layers"] == 3
    assert "linear probe on the frozen encoder (mean pooling)" in capsys.readouterr().err
    assert "The classification head uses mean pooling." in (tmp_path / "out" / "README.md").read_text()
    again = ["train", "--model", str(tmp_path / "out"), "--dataset", str(reviews_dir), "--max-steps", "2"]
    assert main([*again, "--output-dir", str(tmp_path / "again")]) == 0
    assert json.loads((tmp_path / "again" / "config.json").read_text())["num_hidden_layers"] == 3


def test_an_unknown_pooling_is_refused(tmp_path, tiny_model_dir, reviews_dir, capsys):
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--output-dir", str(tmp_path)]
    assert main([*words, "--pooling", "max"]) == 2
    assert "--pooling max is an invalid value. Expected auto, first or mean" in capsys.readouterr().err
