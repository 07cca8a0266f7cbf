"""`load_pipeline`: the answers of the plain pipeline, in its order, whatever the form of the input."""

import json
import shutil

import numpy as np
import pytest
from transformers import TextClassificationPipeline, pipeline

from hfbertcls import ConfigurationError, ModelError, load_pipeline
from hfbertcls.modeling import engine
from hfbertcls.modeling.heads import write_config_values
from hfbertcls.modeling.padding_free import is_padding_free
from hfbertcls.tasks.known import task_of_config
from hfbertcls.tasks.multi_label import MultiLabel


@pytest.fixture(scope="module")
def pair(finished_run):
    return load_pipeline(str(finished_run)), pipeline("text-classification", str(finished_run), truncation=True)


@pytest.fixture(scope="module")
def texts(vocabulary):
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(vocabulary, count)) for count in generator.integers(1, 60, 40)]


def same(actual, expected):
    if isinstance(expected, list):
        assert isinstance(actual, list)
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            same(one, other)
        return
    assert actual["label"] == expected["label"]
    assert actual["score"] == pytest.approx(expected["score"], rel=3e-6, abs=1e-6)  # (logits are not below 1)


def test_it_is_a_pipeline_of_transformers_without_padding(pair):
    assert isinstance(pair[0], TextClassificationPipeline)
    assert is_padding_free(pair[0].model)


@pytest.mark.parametrize(
    "options", [{}, {"top_k": None}, {"top_k": 1}, {"function_to_apply": "none"}, {"batch_size": 3}]
)
def test_a_list_is_answered_in_its_order(pair, texts, options):
    same(pair[0](texts, **options), pair[1](texts, **options))
    same(pair[0]([{"text": text} for text in texts], **options), pair[1](texts, **options))


def test_other_forms_are_answered_as_ever(pair, texts):
    same(pair[0](texts[0]), pair[1](texts[0]))
    same(pair[0](texts[0], top_k=None), pair[1](texts[0], top_k=None))
    same(pair[0]({"text": texts[0], "text_pair": texts[1]}), pair[1]({"text": texts[0], "text_pair": texts[1]}))
    same(list(pair[0](text for text in texts)), pair[1](texts))


def test_a_list_is_computed_in_batches_by_length(pair, texts, monkeypatch):
    monkeypatch.setattr(engine.batches_by_length, "__defaults__", (100,))
    seen, forward = [], pair[0].forward
    monkeypatch.setattr(pair[0], "forward", lambda batch: seen.append(batch["input_ids"].shape) or forward(batch))
    same(pair[0](texts), pair[1](texts))
    assert sum(rows for rows, _ in seen) == 40
    assert [length for _, length in seen] == sorted((length for _, length in seen), reverse=True)
    assert all(rows * length <= 100 for rows, length in seen)


MULTI_LABEL_TEXTS = [
    "great music but dull",
    "a story of the film",
    "the film was great",
    "the dull film music " * 9,
    "music",
]


@pytest.fixture(scope="module")
def multi_label(multi_label_dir):
    return load_pipeline(str(multi_label_dir))


def labels_above_threshold(multi_label, text):
    """The labels above their thresholds, of all those that transformers returns."""
    model = multi_label.model
    every_label = pipeline(
        "text-classification", model=model, tokenizer=multi_label.tokenizer, truncation=True, top_k=None
    )
    least = dict(zip(model.config.id2label.values(), task_of_config(model.config).thresholds, strict=True))
    return [one for one in every_label([text])[0] if one["score"] >= least[one["label"]]]


def test_of_multi_label_models_the_labels_above_their_thresholds_are_the_answer_in_every_form(multi_label):
    expected = [labels_above_threshold(multi_label, text) for text in MULTI_LABEL_TEXTS]
    assert [len(one) for one in expected[:4]] == [3, 0, 1, 2]
    assert [one["label"] for one in expected[0]] == ["music", "praise", "blame"]
    same(multi_label(MULTI_LABEL_TEXTS), expected)
    same(multi_label(MULTI_LABEL_TEXTS, batch_size=2), expected)
    same(multi_label([{"text": text} for text in MULTI_LABEL_TEXTS]), expected)
    same(list(multi_label(text for text in MULTI_LABEL_TEXTS)), expected)
    for text, answer in zip(MULTI_LABEL_TEXTS, expected, strict=True):
        same(multi_label(text), answer)
        same(multi_label({"text": text}), answer)
        same(multi_label([text]), [answer])
    assert multi_label("a story of the film") == []
    assert multi_label(["a story of the film"]) == [[]]


@pytest.mark.parametrize("top_k", [None, 1, 2])
def test_a_top_k_is_answered_as_by_transformers_wherever_it_is_asked_for(multi_label_dir, multi_label, top_k):
    plain = pipeline("text-classification", str(multi_label_dir), truncation=True)
    same(multi_label(MULTI_LABEL_TEXTS, top_k=top_k), plain(MULTI_LABEL_TEXTS, top_k=top_k))
    same(multi_label(MULTI_LABEL_TEXTS[0], top_k=top_k), plain(MULTI_LABEL_TEXTS[0], top_k=top_k))
    same(list(multi_label((text for text in MULTI_LABEL_TEXTS), top_k=top_k)), plain(MULTI_LABEL_TEXTS, top_k=top_k))
    ours = load_pipeline(str(multi_label_dir), top_k=top_k)
    theirs = pipeline("text-classification", str(multi_label_dir), truncation=True, top_k=top_k)
    same(ours(MULTI_LABEL_TEXTS), theirs(MULTI_LABEL_TEXTS))
    same(ours(MULTI_LABEL_TEXTS[0]), theirs(MULTI_LABEL_TEXTS[0]))
    same(ours({"text": MULTI_LABEL_TEXTS[0]}), theirs({"text": MULTI_LABEL_TEXTS[0]}))


def test_another_function_changes_the_scores_and_not_the_labels(multi_label):
    answer = multi_label(MULTI_LABEL_TEXTS[0], function_to_apply="none")
    assert [one["label"] for one in answer] == ["music", "praise", "blame"]
    assert answer[0]["score"] == pytest.approx(
        np.log(multi_label(MULTI_LABEL_TEXTS[0])[0]["score"] ** -1 - 1) * -1, abs=1e-4
    )


def test_thresholds_are_those_of_the_configuration(multi_label_dir, tmp_path):
    model = shutil.copytree(multi_label_dir, tmp_path / "model")
    write_config_values(model, MultiLabel((), (0.0, 0.0, 0.0)).config_values)
    assert len(load_pipeline(str(model))("a story of the film")) == 3
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"hfbertcls_thresholds": [0.5]}))
    with pytest.raises(ModelError, match="Expected a list of 3 numbers from 0 to 1"):
        load_pipeline(str(model))


EMPTY = {"label": None, "score": None, "reason": "the text is empty"}


def test_what_is_no_text_is_answered_as_predict_does(pair, multi_label, texts):
    answers = pair[0](["", None, texts[0], "\u200b ", 7])
    assert answers[0] == answers[1] == answers[3] == EMPTY
    assert answers[4] == {"label": None, "score": None, "reason": "not a text (int)"}
    same(answers[2], pair[1]([texts[0]])[0])
    assert pair[0]("") == pair[0](None) == [EMPTY]
    assert pair[0](["", None]) == [EMPTY, EMPTY]
    assert pair[0]([""], top_k=None) == [[EMPTY]]
    assert pair[0]([]) == []
    assert multi_label(["", None]) == [[EMPTY], [EMPTY]]
    assert multi_label("") == [EMPTY]


def test_a_threshold_leaves_answers_out_below_it(pair, finished_run, texts):
    scores = [one["score"] for one in pair[1](texts)]
    threshold = float(np.median(scores))
    classifier = load_pipeline(str(finished_run), threshold=threshold)
    for answers in (classifier(texts), pair[0](texts, threshold=threshold)):
        assert [one["label"] is None for one in answers] == [score < threshold for score in scores]
        low = next(one for one in answers if one["label"] is None)
        assert low["score"] < threshold
        assert low["reason"] == f"the score is below {threshold:g}"
    same(classifier(texts, threshold=0.0), pair[1](texts))
    same(classifier(texts, top_k=None), pair[1](texts, top_k=None))
    with pytest.raises(ConfigurationError, match=r"threshold 1\.5 is an invalid value. Expected a score from 0 to 1"):
        load_pipeline(str(finished_run), threshold=1.5)


def test_of_multi_label_models_a_threshold_is_that_of_each(multi_label_dir, multi_label):
    every_label = multi_label(MULTI_LABEL_TEXTS, top_k=None)
    answers = load_pipeline(str(multi_label_dir), threshold=0.9)(MULTI_LABEL_TEXTS)
    assert answers == multi_label(MULTI_LABEL_TEXTS, threshold=0.9)
    same(answers, [[one for one in row if one["score"] >= 0.9] for row in every_label])
    assert multi_label(MULTI_LABEL_TEXTS, threshold=0.0)[1] != multi_label(MULTI_LABEL_TEXTS)[1]
