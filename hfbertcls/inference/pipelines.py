"""Loading a trained classifier for use."""

from typing import TYPE_CHECKING, Any

from hfbertcls.errors import HfBertClsError, ModelError
from hfbertcls.modeling.lengths import reading_length
from hfbertcls.modeling.loading import (
    ModelSource,
    load_config,
    load_for_inference,
    load_tokenizer,
    reason_of,
    refuse_with_remedy,
)


if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TextClassificationPipeline


def load_pipeline(model: str, *, revision: str | None = None, **kwargs: Any) -> "TextClassificationPipeline":
    """Load a classifier as a transformers pipeline that answers texts of any length.

    It is `pipeline("text-classification", ...)` with truncation at the length that the model was trained with, where
    the plain pipeline raises an error on a long text (huggingface/transformers#4501). It is padding-free where the
    model allows it. Lists are computed sorted by length, and answered in the order of the input.

    ```python
    >>> classifier = load_pipeline("my-model")
    >>> classifier("a lovely film")
    [{'label': 'positive', 'score': 0...}]
    ```

    A multi-label classifier answers each text with the list of the labels whose score reaches their decision
    threshold (`hfbertcls_thresholds` in `config.json`, else 0.5), highest first, and with an empty list if none does:

    ```python
    >>> classifier = load_pipeline("multi-label-model")  # doctest: +SKIP
    >>> classifier("Arrived late, but what a lovely lamp.")  # doctest: +SKIP
    [{'label': 'product', 'score': 0.97}, {'label': 'delivery', 'score': 0.81}]
    >>> classifier(["Arrived late.", "Hello."])  # doctest: +SKIP
    [[{'label': 'delivery', 'score': 0.93}], []]
    ```

    With `top_k`, here or in a call, it answers as transformers does, without thresholds: `top_k=None` returns every
    label.

    Empty texts, inputs that are no text, and texts without finite logits get the label None and a reason, in their
    place:

    ```python
    >>> classifier(["a lovely film", "", None])[1]
    {'label': None, 'score': None, 'reason': 'the text is empty'}
    ```

    A classifier of pairs takes `{"text": ..., "text_pair": ...}`, or a list of these, as in transformers.

    Args:
        model (`str`): a directory or a Hub id.
        revision (`str`, *optional*): a branch, tag or commit on the Hub.
        **kwargs: for `transformers.pipeline`, such as `device` or `top_k=None` (all labels); and `threshold`, the
            decision threshold (0 to 1), here or in a call. Below it a single-label classifier abstains: it answers
            with the label None, the score, and the reason. For a multi-label one it replaces the thresholds of all
            labels.

    Raises:
        ModelError: if there is no such model, if its thresholds are not a number from 0 to 1 for each label, or if it
            has no finite logits for any text.
        ConfigurationError: if `threshold` is not from 0 to 1.
    """
    source = ModelSource(model, revision, trust_remote_code=bool(kwargs.get("trust_remote_code")))
    load_config(source)
    try:
        loaded = _made(model=source.resolved, revision=revision, **kwargs)
    except HfBertClsError:
        raise
    except Exception as err:
        refuse_with_remedy(err, source)
        raise ModelError(f"the model {source.public_name!r} cannot be loaded: {reason_of(err, source)}") from err
    return _working(loaded)


def load_trained(source: ModelSource, **kwargs: Any) -> "TextClassificationPipeline":
    """`load_pipeline` of a trained classifier in fp32, with the permissions of `source`.

    Raises:
        ModelError: as `load_pipeline`, and if the classification head would be random.
    """
    model, tokenizer = load_for_inference(source), load_tokenizer(source)
    tokenizer.model_max_length = reading_length(tokenizer, model.config)
    return pipeline_of(model, tokenizer, **kwargs)


def pipeline_of(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", **kwargs: Any
) -> "TextClassificationPipeline":
    """The pipeline of `load_pipeline` for a classifier that is already loaded, on its device.

    Raises:
        ModelError: if it has no finite logits for any text.
    """
    return _working(_made(**{"model": model, "tokenizer": tokenizer, "device": model.device, **kwargs}))


def _made(**kwargs: Any) -> Any:
    from transformers import pipeline  # noqa: PLC0415  (takes seconds)

    from hfbertcls.inference.sorted_pipeline import SortedTextClassificationPipeline  # noqa: PLC0415

    arguments: dict[str, Any] = {"truncation": True, "pipeline_class": SortedTextClassificationPipeline, **kwargs}
    return pipeline("text-classification", **arguments)


def _working(loaded: Any) -> "TextClassificationPipeline":
    from transformers import TextClassificationPipeline  # noqa: PLC0415  (takes seconds)

    from hfbertcls.modeling.engine import require_working  # noqa: PLC0415
    from hfbertcls.modeling.padding_free import enable_padding_free  # noqa: PLC0415
    from hfbertcls.modeling.windows import read_long_texts  # noqa: PLC0415

    if not isinstance(loaded, TextClassificationPipeline):
        raise TypeError(f"transformers returned {type(loaded).__name__} for a text-classification pipeline")
    read_long_texts(loaded.model)
    require_working(loaded.model, loaded.tokenizer)  # type: ignore[arg-type]  # (that of a text classifier is never None)
    enable_padding_free(loaded.model)
    return loaded
