"""A transformers pipeline that answers a list as `predict` does: sorted by length, as many tokens a batch as fit."""

import itertools
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from transformers import TextClassificationPipeline

from hfbertcls.data.long_text import LongText
from hfbertcls.data.texts import TextPair
from hfbertcls.data.tokenization import encode
from hfbertcls.errors import ConfigurationError
from hfbertcls.inference.abstention import check_threshold
from hfbertcls.inference.scorer import NOT_FINITE, reasons_against
from hfbertcls.modeling.engine import batches_by_length
from hfbertcls.modeling.predictions import finite_rows
from hfbertcls.modeling.text_fields import reads_pairs
from hfbertcls.tasks.known import task_of_config


class SortedTextClassificationPipeline(TextClassificationPipeline):
    """`TextClassificationPipeline` with the same answers, in the order of the input; only lists are answered faster.

    Single texts, generators, data sets, and lists with a `batch_size` are computed as in transformers.

    Two answers differ. Without `top_k`, a multi-label classifier answers with the list of the labels whose score
    reaches their decision threshold. Where there is no answer (an empty text, no text, no finite logits, a score below
    `threshold`), the label is None and `reason` says why.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.answering_task = task_of_config(kwargs["model"].config)  # (which the parent's initialization asks for)
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.reads_pairs = reads_pairs(cast(Any, self).model.config)
        self.long_text = LongText.of_config(cast(Any, self).model.config)

    @property
    def _lists(self) -> bool:
        return self.answering_task is not None and self.answering_task.answers_are_lists

    def _sanitize_parameters(self, threshold: float | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """As the parent, with `threshold` among the arguments of `postprocess`."""
        before, forward, after = cast(Any, super())._sanitize_parameters(**kwargs)
        if threshold is not None:
            check_threshold(threshold)
            if self.answering_task is not None and not self.answering_task.states_probabilities:
                raise ConfigurationError(
                    "threshold has no meaning for a model that predicts numbers, which have no score. Leave it out"
                )
            after["threshold"] = threshold
        return before, forward, after

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The answers of `TextClassificationPipeline`; a multi-label classifier answers one text with one list.

        Raises:
            ConfigurationError: if a classifier of pairs gets a single text.
        """
        if self.reads_pairs:
            _refuse_single_text(inputs)
        in_lists = self._lists or "top_k" in {**cast(Any, self)._postprocess_params, **kwargs}
        if isinstance(inputs, list):
            reasons = [_reason_against(one) for one in inputs]
            texts = [one for one, reason in zip(inputs, reasons, strict=True) if reason is None]
            answers = iter(super().__call__(texts, *args, **kwargs) if texts else ())
            return [next(answers) if reason is None else _no_answer(reason, in_list=in_lists) for reason in reasons]
        if (reason := _reason_against(inputs)) is not None and (inputs is None or isinstance(inputs, str | dict)):
            return _no_answer(reason, in_list=in_lists or not isinstance(inputs, dict))
        answer: Any = super().__call__(inputs, *args, **kwargs)
        has_top_k = "top_k" in kwargs or "top_k" in cast(Any, self)._postprocess_params
        if not self._lists or has_top_k or not isinstance(inputs, str):
            return answer
        return answer[0]  # (transformers puts the answer to a single text into a list)

    def preprocess(self, inputs: Any, **tokenizer_kwargs: Any) -> Any:  # type: ignore[override]
        """As the parent; a long text is read as the model was trained to read it."""
        own: Any = self
        if self.long_text.mode == "truncate" or not isinstance(inputs, str):
            return cast(Any, super()).preprocess(inputs, **tokenizer_kwargs)
        columns, _ = encode([[inputs]], own.tokenizer, own.tokenizer.model_max_length, self.long_text)
        return own.tokenizer.pad(columns, return_tensors="pt")

    def postprocess(  # type: ignore[override]  # (`Pipeline.postprocess`)
        self, model_outputs: Any, threshold: float | None = None, **postprocess_parameters: Any
    ) -> Any:
        """The answer to one text, as in transformers; multi-label without `top_k`: the predicted labels."""
        answer = cast(Any, super()).postprocess
        logits = model_outputs["logits"].float().numpy()
        has_top_k = "top_k" in postprocess_parameters
        if not finite_rows(logits)[0]:
            return _no_answer(NOT_FINITE, in_list=has_top_k or self._lists)
        if has_top_k:
            return answer(model_outputs, **postprocess_parameters)
        if self.answering_task is None or not self._lists:
            likeliest = answer(model_outputs, **postprocess_parameters)
            if threshold is not None and likeliest["score"] < threshold:
                return {"label": None, "score": likeliest["score"], "reason": f"the score is below {threshold:g}"}
            return likeliest
        every_label = answer(model_outputs, top_k=None, **postprocess_parameters)  # (in the order of their ids)
        task = self.answering_task if threshold is None else self.answering_task.with_threshold(threshold)
        return sorted(itertools.compress(every_label, task.decide(logits)[0]), key=lambda label: -label["score"])

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Iterator[Any]:
        """The answers to a list, computed in batches by length; other inputs as in transformers."""
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


def _reason_against(one: Any) -> str | None:
    """Why an input gets no answer, as in `predict`; None for a text, or a pair in a dict or a list."""
    if isinstance(one, dict) and one.keys() == set(TextPair._fields):
        return reasons_against([TextPair(**one)])[0]
    return None if isinstance(one, dict | list | tuple) else reasons_against([one])[0]


def _refuse_single_text(inputs: Any) -> None:
    single = next((one for one in (inputs if isinstance(inputs, list) else [inputs]) if isinstance(one, str)), None)
    if single is not None:
        raise ConfigurationError(
            'the model reads pairs of texts, and got a single one. Pass {"text": ..., "text_pair": ...}, or a list of these'
        )


def _no_answer(reason: str, *, in_list: bool) -> Any:
    answer = {"label": None, "score": None, "reason": reason}
    return [answer] if in_list else answer
