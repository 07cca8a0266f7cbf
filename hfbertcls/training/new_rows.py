"""New labels beside known ones: their rows of the head are fitted, the rows of a trained head stay as they are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hfbertcls.data.tokenization import TokenizedSplit
from hfbertcls.evaluation.baselines import C_ON_VECTORS, Vectors, standardized
from hfbertcls.modeling.engine import head_inputs
from hfbertcls.modeling.heads import output_layer
from hfbertcls.modeling.predictions import finite_rows
from hfbertcls.tasks.probabilities import Answers, Floats
from hfbertcls.tasks.task import Task
from hfbertcls.training.frozen_start import MOST_ROWS, drawn


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def begin_new_rows(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    train: TokenizedSplit,
    rows: Sequence[int],
    device: "torch.device",
) -> bool:
    """Fit the rows of new labels in the last layer of a classifier; returns whether that was possible.

    Args:
        model: with a trained head, changed in place.
        tokenizer: of the model.
        train: the training rows, of which at most 10,000 are used, drawn with a seed.
        rows: the ids of the new labels.
        device: where to compute.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    reader: Any = model
    was_on = reader.device
    reader.train(False)
    reader.to(device)
    chosen = drawn(len(train.num_tokens), MOST_ROWS)
    vectors = head_inputs(model, tokenizer, train.take(chosen))
    reader.to(was_on)
    if not finite_rows(vectors).all():
        return False
    layer: Any = output_layer(model)
    weights = layer.weight.detach().numpy().astype(np.float64)
    biases = layer.bias.detach().numpy().astype(np.float64) if layer.bias is not None else np.zeros(len(weights))
    known = vectors @ weights.T + biases
    fitted, offsets = fit_rows(train.labelled_task, vectors, train.gold[chosen], known, rows)
    with torch.no_grad():
        layer.weight[list(rows)] = torch.from_numpy(fitted).float()
        if layer.bias is not None:
            layer.bias[list(rows)] = torch.from_numpy(offsets).float()
    return True


def fit_rows(
    task: Task, vectors: Vectors, gold: Answers, logits: Floats, rows: Sequence[int]
) -> tuple[Floats, Floats]:
    """Weights and biases of some outputs of a linear model whose other outputs are given, by logistic regression.

    The vectors are centred and scaled as by `LinearProbe`.

    Args:
        task: of the answers.
        vectors: of shape `(n, width)`.
        gold: the gold answers of the rows.
        logits: of the given outputs, of shape `(n, num_outputs)`; those of `rows` do not matter.
        rows: the outputs to fit.

    Returns:
        of shape `(len(rows), width)` and `(len(rows),)`.
    """
    from scipy.optimize import minimize  # noqa: PLC0415  (takes a while)

    inputs, centre, scale = standardized(vectors)
    inputs = np.hstack([inputs, np.ones((len(vectors), 1))])
    shape = (len(rows), inputs.shape[1])
    outputs: Any = np.array(logits, dtype=np.float64)

    def loss(values: Floats) -> tuple[float, Floats]:
        parameters = values.reshape(shape)
        outputs[:, list(rows)] = inputs @ parameters.T
        total, gradient = task.total_loss(gold, outputs)
        penalised = parameters.copy()
        penalised[:, -1] = 0.0
        value = C_ON_VECTORS * total + 0.5 * float((penalised**2).sum())
        return value, (C_ON_VECTORS * gradient[:, list(rows)].T @ inputs + penalised).ravel()

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    weights = found.reshape(shape)[:, :-1] / scale
    return weights, found.reshape(shape)[:, -1] - weights @ centre
