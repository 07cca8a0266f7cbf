"""Where training begins: the encoder as it is, with a linear model in the last layer of its head."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hfbertcls.data.dataset import TextSplit
from hfbertcls.data.texts import fields_of
from hfbertcls.data.tokenization import TokenizedSplit, tokenize_texts
from hfbertcls.evaluation.baselines import FrozenBaseline, LinearProbe, Vectors, pair_features
from hfbertcls.modeling.engine import head_inputs
from hfbertcls.modeling.heads import output_layer, output_layer_name
from hfbertcls.modeling.loading import LoadedClassifier
from hfbertcls.modeling.pooling import Pooling, append_mean_pooling, pooling_of
from hfbertcls.modeling.predictions import finite_rows
from hfbertcls.progress import work
from hfbertcls.tasks.probabilities import Answers, Logits
from hfbertcls.tasks.task import Task


if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


MOST_ROWS = 10_000
"""Training rows on which the linear model is fitted."""
_MOST_PROBED = 1_000
_FOLDS = 5
_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FrozenProbe:
    """A baseline: a linear model on vectors of the encoder before training.

    Args:
        key: of the baseline in a report.
        pooling: how the vectors are read.
        baseline: the linear model.
        vectors: on which it was fitted, float32 of shape `(rows, width)`.
        logits: what it gives for each split but train, float32 of shape `(rows, num_outputs)`.
    """

    key: str
    pooling: Pooling
    baseline: FrozenBaseline
    vectors: Vectors
    logits: Mapping[str, Logits]

    def answers(self, split: str) -> Answers:
        """What the baseline predicts for the rows of a split."""
        return self.baseline.task.decide(self.logits[split])

    def fit_again(self, rows: npt.NDArray[np.int64], gold: Answers) -> FrozenBaseline:
        """The linear model of some of the rows, whose gold answers are `gold`."""
        return FrozenBaseline(self.baseline.task, self.vectors[rows], gold)

    @property
    def fitted_on(self) -> dict[str, int | str]:
        """For the `baselines` of a report."""
        return {"train_rows": self.baseline.train_rows, "pooling": self.pooling}


@dataclass(frozen=True)
class FrozenStart(FrozenProbe):
    """A linear model with which training can begin.

    Args:
        new_parameters: of the head through which the vectors are read, where they were newly initialized.
        note: for a person; empty if there is nothing to note.
        separate: of pairs, the baseline for which each text is encoded alone.
        weighted: with class weights, the linear model that the head is to be; else None, and it is the baseline.
    """

    new_parameters: Mapping[str, "torch.Tensor"]
    note: str = ""
    separate: FrozenProbe | None = None
    weighted: LinearProbe | None = None

    @property
    def baselines(self) -> dict[str, FrozenProbe]:
        """The baselines of the encoder, by their keys in a report."""
        return {one.key: one for one in (self, self.separate) if one is not None}


def frozen_start(
    loaded: LoadedClassifier,
    tokenizer: "PreTrainedTokenizerBase",
    tokenized: Mapping[str, TokenizedSplit],
    splits: Mapping[str, TextSplit],
    pooling: Pooling | None,
    device: "torch.device",
) -> FrozenStart | None:
    """Fit a linear model on vectors of the encoder; None where its vectors cannot be read.

    Args:
        loaded: a classifier before training. It is used up.
        tokenizer: of the model.
        tokenized: the splits; at most 10,000 rows of train are used, drawn with a seed.
        splits: the same, as texts.
        pooling: how to read the vectors; None: as cross-validation on at most 1,000 training rows finds better.
        device: where to compute.
    """
    train = tokenized["train"]
    keys = list(train.labelled_task.baseline_names)
    if len(keys) < 3 or output_layer_name(loaded.model) is None:
        return None
    reader: Any = loaded.model
    reader.train(False)
    reader.to(device)
    reader, note = _reader(reader, tokenizer, train, pooling)
    rows = rows_of_probe(train)
    jointly = _fit(
        train, rows, tokenized, lambda name, rows: head_inputs(reader, tokenizer, tokenized[name].take(rows))
    )
    if jointly is None:
        return None
    separate, read_as = None, pooling_of(reader.config)
    if len(splits["train"].text_fields) > 1:
        apart = _fit(
            train, rows, tokenized, lambda name, rows: _apart(reader, tokenizer, tokenized[name], splits[name], rows)
        )
        key = train.labelled_task.separate_texts_baseline[0]
        separate = None if apart is None else FrozenProbe(key, read_as, *apart)
    parameters = {name: value.detach().cpu() for name, value in reader.named_parameters()}
    new = {name: parameters[name] for name in loaded.new_parameters if name in parameters}
    return FrozenStart(keys[2], read_as, *jointly, new, note, separate)


def _fit(
    train: TokenizedSplit,
    rows: _Rows,
    tokenized: Mapping[str, TokenizedSplit],
    encode: Callable[[str, _Rows], Vectors],
) -> tuple[FrozenBaseline, Vectors, dict[str, Logits]] | None:
    """A linear model of some training rows, their vectors, and its logits of the other splits.

    Args:
        train: the train split.
        rows: of it, to fit the model.
        tokenized: all splits.
        encode: returns the vectors of some rows of a split.

    Returns:
        None if a vector is not finite.
    """
    vectors = encode("train", rows)
    if not finite_rows(vectors).all():
        return None
    with work("Fitting the linear probe"):
        baseline = FrozenBaseline(train.labelled_task, vectors, train.gold[rows])
    others = {name: np.arange(len(split.num_tokens)) for name, split in tokenized.items() if name != "train"}
    return baseline, vectors, {name: baseline.logits(encode(name, rows)) for name, rows in others.items()}


def _apart(
    reader: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    tokens: TokenizedSplit,
    split: TextSplit,
    rows: _Rows,
) -> Vectors:
    """Features of pairs whose texts are encoded alone; a text that occurs again is encoded once."""
    fields = fields_of(split.take(split.name, rows).texts)
    position_of = {text: position for position, text in enumerate(dict.fromkeys(chain(*fields)))}
    alone = tokenize_texts(list(position_of), tokenizer, tokens.max_length, tokens.long_text)
    vectors = head_inputs(reader, tokenizer, alone)
    first, second = (vectors[[position_of[text] for text in field]] for field in fields)
    return pair_features(first, second)


def begin_from(model: "PreTrainedModel", start: FrozenStart, seed: int) -> None:
    """Let a classifier answer as a linear model on vectors of its encoder does.

    Args:
        model: with a new head, changed in place.
        start: of this encoder.
        seed: of the random values in the layer that reads the mean.
    """
    import torch  # noqa: PLC0415  (takes seconds)
    from transformers import set_seed  # noqa: PLC0415

    if start.pooling == "mean":
        set_seed(seed)
        append_mean_pooling(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in start.new_parameters:
                parameter.copy_(start.new_parameters[name])
    fill_head(model, start.baseline if start.weighted is None else start.weighted)


def fill_head(model: "PreTrainedModel", probe: LinearProbe) -> None:
    """Let the last layer of a classifier be a linear model on the vectors that it receives."""
    import torch  # noqa: PLC0415  (takes seconds)

    layer: Any = output_layer(model)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(probe.weights))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(probe.biases))


def _reader(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", train: TokenizedSplit, pooling: Pooling | None
) -> "tuple[PreTrainedModel, str]":
    """The model that gives the vectors, and a note."""
    if pooling == "first" or pooling_of(model.config) == "mean":
        return model, ""
    mean = copy.deepcopy(model) if pooling is None else model
    obstacle = append_mean_pooling(mean)
    if obstacle is not None:
        return model, f"first-token pooling instead of mean pooling: {obstacle}"
    if pooling == "mean":
        return model, ""
    rows = drawn(len(train.num_tokens), _MOST_PROBED)
    few, gold = train.take(rows), train.gold[rows]
    losses = [loss_of_probe(train.labelled_task, head_inputs(one, tokenizer, few), gold) for one in (model, mean)]
    return (model if losses[0] < losses[1] else mean), ""


def loss_of_probe(task: Task, vectors: Vectors, gold: Answers) -> float:
    """The mean loss of the linear model in cross-validation."""
    if not finite_rows(vectors).all():
        return float("inf")
    folds = np.random.default_rng(0).permutation(len(gold)) % min(_FOLDS, len(gold))
    losses = [
        task.row_losses(gold[fold], LinearProbe(task, vectors[~fold], gold[~fold]).logits(vectors[fold]))
        for fold in (folds == number for number in range(folds.max() + 1))
    ]
    return float(np.concatenate(losses).mean())


def rows_of_probe(train: TokenizedSplit) -> _Rows:
    """The training rows on which the linear model is fitted: at most 10,000."""
    return drawn(len(train.num_tokens), MOST_ROWS)


def drawn(rows: int, most: int) -> npt.NDArray[np.int64]:
    """At most so many rows, in order, drawn with a seed."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
