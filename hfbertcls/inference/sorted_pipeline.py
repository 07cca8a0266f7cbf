"""A transformers pipeline that answers a list as `predict` does: sorted by length, as many tokens a batch as fit."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from transformers import TextClassificationPipeline

from hfbertcls.modeling.engine import batches_by_length


class SortedTextClassificationPipeline(TextClassificationPipeline):
    """`TextClassificationPipeline` with the same answers, in the order of the input; only lists are answered faster.

    Single texts, generators and data sets take their usual way (they are answered as they come), and so does a list with a
    `batch_size` of its own.
    """

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
