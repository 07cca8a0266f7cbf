"""Embeddings of texts by a frozen encoder."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hfbertcls import processes
from hfbertcls.data.dataset import TextSplit
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.modeling.engine import batches_by_length, pace_of
from hfbertcls.modeling.lengths import find_max_length
from hfbertcls.modeling.loading import ModelSource, load_for_training, load_tokenizer
from hfbertcls.modeling.predictions import require_finite
from hfbertcls.tasks.task import Task


if TYPE_CHECKING:
    from collections.abc import Callable


MAX_LENGTH = 256
"""Tokens of a text that its vector stands for: enough to tell what it is about, and quick."""


def embed(
    source: ModelSource, split: TextSplit, task: Task, on_progress: "Callable[[int], None] | None" = None
) -> npt.NDArray[np.float32]:
    """The mean of the last hidden states of each text, of length 1.

    Args:
        source: the encoder; a classification head of it is not used.
        split: with the texts; a pair has one vector, of both texts together.
        task: of its labels.
        on_progress: called with the number of rows after each batch.

    Returns:
        float32 of shape `(rows, hidden)`, in the order of the rows.
    """
    import torch  # noqa: PLC0415  (takes seconds)
    from transformers import DataCollatorWithPadding  # noqa: PLC0415

    tokenizer = load_tokenizer(source)
    classifier: Any = load_for_training(source, task, seed=0).model
    encoder: Any = classifier.base_model
    encoder.train(False)
    encoder.to(processes.cuda_device() or "cpu")
    limit = min(MAX_LENGTH, find_max_length(tokenizer, classifier.config))
    tokenized = tokenize_split(split, tokenizer, limit)
    inputs = tokenized.dataset.remove_columns("length")
    collate = DataCollatorWithPadding(tokenizer)
    vectors = np.zeros((len(split), int(classifier.config.hidden_size)), dtype=np.float32)
    with torch.inference_mode():
        pace, lengths = pace_of(encoder.device), np.asarray(tokenized.dataset["length"], dtype=np.int64)
        for positions in batches_by_length(lengths, pace.tokens, rows_per_batch=pace.rows):
            batch: Any = collate([inputs[int(position)] for position in positions])
            batch = batch.to(encoder.device)
            states = encoder(**batch).last_hidden_state
            weights = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
            mean = (states * weights).sum(dim=1) / weights.sum(dim=1)
            vectors[positions] = torch.nn.functional.normalize(mean, dim=1).float().cpu().numpy()
            if on_progress is not None:
                on_progress(len(positions))
    require_finite(vectors, split.name, split.rows, "vectors")
    return vectors
