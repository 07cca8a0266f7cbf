"""`load_pipeline`: the answers of the plain pipeline, in its order, whatever the form of the input."""

import numpy as np
import pytest
from transformers import TextClassificationPipeline, pipeline

from hfbertcls import load_pipeline
from hfbertcls.modeling import engine
from hfbertcls.modeling.packing import is_packed


@pytest.fixture(scope="module")
def pair(finished_run):
    return load_pipeline(str(finished_run)), pipeline("text-classification", str(finished_run), truncation=True)


@pytest.fixture(scope="module")
def texts(vocabulary):
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(vocabulary, count)) for count in generator.integers(1, 60, 40)]


def same(found, expected):
    if isinstance(expected, list):
        assert isinstance(found, list)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
        return
    assert found["label"] == expected["label"]
    assert found["score"] == pytest.approx(expected["score"], abs=1e-6)


def test_it_is_a_pipeline_of_transformers_without_padding(pair):
    assert isinstance(pair[0], TextClassificationPipeline)
    assert is_packed(pair[0].model)


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
