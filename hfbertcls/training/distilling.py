"""A distillation for pairs: what an encoder knows of each text alone is taught to it for reading both together.

An encoder of sentences measures how similar two texts are by the cosine of their vectors. It was never trained to read
two texts at once, as a classifier of pairs does, and a few thousand labels do not teach it to compare them. The cosine
does, without any label, and on as many pairs as can be made of the training texts. The other way round it is known as
Augmented SBERT (Thakur et al., 2021). benchmarks/RECIPES.md has what it gains. With cross-validation it comes once before
all folds, so it sees the texts of each fold, but no label.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hfbertcls.data.dataset import TextSplit
from hfbertcls.data.texts import Text, TextPair, fields_of
from hfbertcls.data.tokenization import TokenizedSplit, tokenize_texts
from hfbertcls.evaluation.baselines import LinearProbe, Vectors
from hfbertcls.modeling.engine import head_inputs
from hfbertcls.tasks.probabilities import Answers, Floats
from hfbertcls.tasks.regression import Regression
from hfbertcls.training.frozen_start import FrozenStart, drawn, loss_of_probe, rows_of_probe
from hfbertcls.training.phases import PhaseRecipe, Positions, affordable, train_vectors


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


_STEPS = 600
_ROWS_PER_BATCH = 32
_OF_THE_DATA, _OF_NEIGHBOURS = 1 / 3, 0.8
"""Fractions: of all pairs, those of the data; of the others, those of two similar texts."""
_NEIGHBOURS = 20
_MOST_TEXTS = 4_000
_MOST_TO_FIT = 1_000


def choose_distillation(
    model: "PreTrainedModel", frozen: FrozenStart, train: TokenizedSplit, learning_rate: float
) -> PhaseRecipe | None:
    """The recipe for pairs; None for other texts, and where the encoder reads two texts together better than each alone.

    That is asked by cross-validation of two linear models on at most 1,000 training rows. The phase has 600 updates, or
    fewer where they would take more than 1e14 floating-point operations.

    Args:
        model: to be trained.
        frozen: the linear models on its vectors.
        train: the training rows.
        learning_rate: of fine-tuning a model of this size.
    """
    if frozen.separate is None:
        return None
    gold = train.gold[rows_of_probe(train)]
    few = drawn(len(gold), _MOST_TO_FIT)
    together, apart = (
        loss_of_probe(train.labelled_task, vectors[few], gold[few])
        for vectors in (frozen.vectors, frozen.separate.vectors)
    )
    if together <= apart:
        return None
    return PhaseRecipe(affordable(model, train, _STEPS, _ROWS_PER_BATCH), learning_rate)


def distill(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    train: TokenizedSplit,
    split: TextSplit,
    frozen: FrozenStart,
    recipe: PhaseRecipe,
    seed: int,
    advance: Callable[[int], None],
    *,
    in_bf16: bool,
) -> float:
    """Train a classifier of pairs as `train_vectors` does; returns the seconds of the steps. No label is used.

    Args:
        model: changed in place, on its device.
        tokenizer: of the model.
        train: the training rows.
        split: the same, as texts.
        frozen: with vectors of each text.
        recipe: how long and how fast.
        seed: of the pairs, the batches and dropout.
        advance: called with the number of finished steps.
        in_bf16: whether to compute in bf16.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    if frozen.separate is None:
        raise ValueError("the texts are no pairs")
    rows = rows_of_probe(train)
    first, second = vectors_of_features(frozen.separate.vectors)
    generator = np.random.default_rng(seed)
    texts = fields_of(split.take(split.name, rows).texts)
    pairs, cosines = recombined(texts, first, second, recipe.steps * _ROWS_PER_BATCH, generator)
    targets = (cosines - cosines.mean()) / max(float(cosines.std()), 1e-6)
    tokens = tokenize_texts(pairs, tokenizer, train.max_length, train.long_text)
    few = np.arange(min(_MOST_TO_FIT, len(pairs)))
    probe = LinearProbe(Regression(()), head_inputs(model, tokenizer, tokens.take(few)), targets[few])
    layer = torch.nn.Linear(probe.weights.shape[1], 1, device=model.device)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(probe.weights))
        layer.bias.copy_(torch.from_numpy(probe.biases))
    batches = np.array_split(generator.permutation(len(pairs)), recipe.steps)

    def loss(vectors: "torch.Tensor", positions: Positions) -> "torch.Tensor":
        wanted = torch.from_numpy(targets[positions].astype(np.float32)).to(vectors.device)
        return torch.nn.functional.mse_loss(layer(vectors)[:, 0], wanted)

    return train_vectors(
        model, tokenizer, tokens, batches, loss, recipe, seed, advance, in_bf16=in_bf16, further=layer.parameters()
    )


def recombined(
    texts: list[list[str]], first: Vectors, second: Vectors, count: int, generator: np.random.Generator
) -> tuple[list[Text], Answers]:
    """Pairs of texts and their cosines: a third are pairs of the data, most others are of two similar texts.

    Args:
        texts: the first and the second texts of the data.
        first: vectors of length 1 of the first texts, of shape `(n, width)`.
        second: those of the second texts.
        count: how many pairs.
        generator: of the draws.
    """
    number = round(_OF_THE_DATA * count)
    own = np.resize(generator.permutation(len(first)), number)
    pairs: list[Text] = [TextPair(texts[0][row], texts[1][row]) for row in own]
    cosines = [(first[own] * second[own]).sum(axis=1)]
    alone, vectors = [*texts[0], *texts[1]], np.concatenate([first, second])
    kept = np.sort(generator.permutation(len(alone))[:_MOST_TEXTS])
    alone, vectors = [alone[row] for row in kept], vectors[kept]
    for anchors in np.array_split(generator.integers(len(alone), size=count - number), -(-count // 1_000)):
        similarity: Floats = vectors[anchors] @ vectors.T
        similarity[np.arange(len(anchors)), anchors] = -np.inf  # (itself)
        nearest = min(_NEIGHBOURS, len(alone) - 1)
        among = np.argpartition(-similarity, nearest - 1, axis=1)[:, :nearest]
        others = among[np.arange(len(anchors)), generator.integers(nearest, size=len(anchors))]
        anywhere = generator.integers(len(alone), size=len(anchors))
        others = np.where(generator.random(len(anchors)) < _OF_NEIGHBOURS, others, anywhere)
        pairs += [TextPair(alone[a], alone[b]) for a, b in zip(anchors, others, strict=True)]
        cosines.append((vectors[anchors] * vectors[others]).sum(axis=1))
    return pairs, np.concatenate(cosines).astype(np.float64)


def vectors_of_features(features: Vectors) -> tuple[Vectors, Vectors]:
    """The two vectors of length 1 in what `pair_features` returns."""
    width = (features.shape[1] - 1) // 4
    return features[:, :width], features[:, width : 2 * width]
