"""A transformers pipeline that answers a list as `predict` does: sorted by length, as many tokens a batch as fit."""

import itertools
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from transformers import TextClassificationPipeline

from hfbertcls.modeling.engine import batches_by_length
from hfbertcls.modeling.heads import thresholds_of
from hfbertcls.modeling.predictions import predict_labels


class SortedTextClassificationPipeline(TextClassificationPipeline):
    """`TextClassificationPipeline` with the same answers, in the order of the input; only lists are answered faster.

    Single texts, generators and data sets take their usual way (they are answered as they come), and so does a list with a
    `batch_size` of its own. Only a classifier that can give several labels to a text answers otherwise, where no `top_k` is
    asked for: with the list of the labels whose score reaches their threshold, where transformers gives the likeliest one.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.thresholds = thresholds_of(cast(Any, self).model.config)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The answers of `TextClassificationPipeline`; of a single text with several labels, one list of them."""
        answer: Any = super().__call__(inputs, *args, **kwargs)
        asked = "top_k" in kwargs or "top_k" in cast(Any, self)._postprocess_params
        if self.thresholds is None or asked or not isinstance(inputs, str):
            return answer
        return answer[0]  # (transformers puts the answer to a single text into a list)

    def postprocess(self, model_outputs: Any, **postprocess_parameters: Any) -> Any:  # type: ignore[override]  # (that of Pipeline)
        """The answer to one text, as transformers gives it; without a `top_k`, of several labels those that are given."""
        answer = cast(Any, super()).postprocess
        if self.thresholds is None or "top_k" in postprocess_parameters:
            return answer(model_outputs, **postprocess_parameters)
        every_label = answer(model_outputs, top_k=None, **postprocess_parameters)  # (in the order of their ids)
        given = predict_labels(model_outputs["logits"].float().numpy(), self.thresholds)[0]
        return sorted(itertools.compress(every_label, given), key=lambda label: -label["score"])

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Iterator[Any]:
        """The answers of a list, made in batches by length; whatever else, as transformers makes them."""
        own: Any = self  # (transformers leaves most of it untyped)
        if not isinstance(inputs, list) or batch_size != 1 or own.tokenizer.pad_token is None:
            usual: Iterator[Any] = super().get_iterator(
                inputs, num_workers, batch_size, preprocess_params, forward_params, postprocess_params
            )
            return usual
        encoded = [own.preprocess(one, **preprocess_params) for one in inputs]
        answers: list[Any] = [None] * len(encoded)
        for positions in batches_by_length(np.array([one["input_ids"].shape[1] for one in encoded])):
            rows = [{name: values[0] for name, values in encoded[position].items()} for position in positions]
            logits = own.forward(own.tokenizer.pad(rows, return_tensors="pt"), **forward_params)["logits"]
            for position, row in zip(positions, logits, strict=True):
                answers[position] = own.postprocess({"logits": row[None]}, **postprocess_params)
        return iter(answers)
