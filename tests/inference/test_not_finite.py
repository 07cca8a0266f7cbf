"""NaN or infinite logits are no answer: a row gets null and the reason, metrics are refused, a broken model too."""

import csv
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hfbertcls import ModelError, compare_models, load_pipeline, predict_file
from hfbertcls.cli import main
from hfbertcls.inference.scorer import NOT_FINITE
from hfbertcls.workflows.evaluate import evaluate_model


WORD = "music"


@pytest.fixture(scope="module", params=[np.nan, np.inf], ids=["nan", "inf"])
def some(request, tmp_path_factory, finished_run, tiny_tokenizer):
    """A model that has no answer to texts with one word."""
    return spoilt(
        tmp_path_factory.mktemp("some"), finished_run, tiny_tokenizer.convert_tokens_to_ids(WORD), request.param
    )


@pytest.fixture(scope="module")
def broken(tmp_path_factory, finished_run):
    """A model that has none to any."""
    return spoilt(tmp_path_factory.mktemp("all"), finished_run, slice(None), np.nan)


def spoilt(folder, finished_run, rows, value):
    directory = folder / "film-reviews"
    shutil.copytree(finished_run, directory)
    weights = load_file(directory / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"] = weights["bert.embeddings.word_embeddings.weight"].copy()
    weights["bert.embeddings.word_embeddings.weight"][rows] = value
    save_file(weights, directory / "model.safetensors", {"format": "pt"})
    return directory


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.csv"
    with path.open("w", newline="") as file:
        rows = [("the film was good", "positive"), (f"{WORD} so dull", "negative")] * 12
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def test_a_row_gets_null_and_the_reason(some, texts, tmp_path):
    result = predict_file(str(some), texts, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert result.unanswered == 12
    for row in rows:
        spoiled = bool(row["row"] % 2)
        assert (row["prediction"] is None) == (row["score"] is None) == (row["scores"] is None) == spoiled
        assert row["reason"] == (NOT_FINITE if spoiled else None)
        assert row["abstained"] is False


def test_of_a_single_text_too(some, tmp_path):
    (tmp_path / "in.csv").write_text(f"text\n{WORD}\n")
    assert predict_file(str(some), tmp_path / "in.csv", tmp_path / "out.csv").unanswered == 1


def test_load_pipeline_does_the_same(some):
    classifier = load_pipeline(str(some))
    none = {"label": None, "score": None, "reason": NOT_FINITE}
    good, bad = classifier(["good film", f"{WORD} film"])
    assert good["score"] > 0.5
    assert bad == none
    assert classifier(f"{WORD} film") == [none]
    assert classifier(f"{WORD} film", top_k=None) == [none]


def test_metrics_are_refused_with_the_rows(some, texts, finished_run):
    expected = r"NaN or infinite logits for 12 of the 24 rows of test: 1, 3, 5, 7, 9, 11, 13, 15, 17, 19 and 2 more, counted from 0"
    with pytest.raises(ModelError, match=expected):
        evaluate_model(str(some), str(texts))
    with pytest.raises(ModelError, match=expected):
        compare_models(str(finished_run), str(some), str(texts))


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "M", "--dataset", "D"],
        ["compare", "M", "GOOD", "--dataset", "D"],
        ["predict", "M", "--input", "D", "--output", "OUT"],
        ["export", "M", "--dataset", "D"],
    ],
    ids=lambda words: words[0],
)
def test_a_model_that_answers_nothing_is_refused_with_one_message(
    words, broken, texts, finished_run, tmp_path, capsys
):
    names = {"M": broken, "D": texts, "GOOD": finished_run, "OUT": tmp_path / "out.csv"}
    assert main([str(names.get(word, word)) for word in words]) == 1
    message = capsys.readouterr().err
    assert (
        message.count("hfbertcls: error: the model gives NaN or infinite logits whatever the text: its weights") == 1
    )
    assert not (tmp_path / "out.csv").exists()


def test_it_is_refused_as_a_pipeline_and_as_the_vectors_of_suspects(broken, reviews_dir, tmp_path, capsys):
    with pytest.raises(ModelError, match="the model gives NaN or infinite logits whatever the text"):
        load_pipeline(str(broken))
    words = ["doctor", str(reviews_dir), "--suspects", str(tmp_path / "s.csv"), "--model", str(broken)]
    assert main(words) == 1
    assert "the model gives NaN or infinite vectors for 480 of the 480 rows of train" in capsys.readouterr().err


def test_an_evaluation_during_training_says_it_instead_of_ending_in_a_value_error():
    from transformers import EvalPrediction

    from hfbertcls.training.trainer.measuring import task_metrics

    logits = np.array([[0.0, 1.0], [np.nan, 0.0]], dtype=np.float32)
    with pytest.raises(ModelError, match="for 1 of the 2 rows of the evaluation: 1, counted from 0"):
        task_metrics(EvalPrediction(logits, np.array([0, 1])))
