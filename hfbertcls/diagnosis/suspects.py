"""Likely label errors: labels with a low probability under models that were not trained on the row."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hfbertcls.data.checks import similar_labels
from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.data.duplicates import first_occurrences
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.sources import Data
from hfbertcls.data.texts import TEXT_FIELDS, Text, fields_of
from hfbertcls.diagnosis.labels import commonest_spellings
from hfbertcls.errors import DatasetError, listing
from hfbertcls.evaluation.baselines import TfidfBaseline
from hfbertcls.evaluation.intervals import wilson_interval
from hfbertcls.evaluation.report_evaluation import Metric
from hfbertcls.modeling.embedding import embed
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.progress import Log, silent
from hfbertcls.tasks.task import Task


FOLDS = 5
FEWEST_ROWS = 50
_NEIGHBOURS, _WIDTH = 60, 0.1
_LEAST = 1e-3  # a floor for each probability, so that no model decides alone
_ROWS_AT_A_TIME = 1_000
_CLEAR = 0.5  # fraction of the most confident rows in which a disagreement is taken for a wrong label
_CLEAREST = (0.1, 0.2, 0.3)  # the same, where models are hardly ever wrong
_WEAK = 0.3  # fraction of all rows with a disagreement from which on the models are too weak
Ids = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Suspects:
    """Rows with a likely label error, the most likely first."""

    split: str
    rows_examined: int
    rows: Ids
    """Positions in the source, counted from 0, of shape `(suspects,)`."""
    labels: tuple[str, ...]
    """As they are written in the source."""
    likely_labels: tuple[str, ...]
    confidences: npt.NDArray[np.float64]
    """Probability of the likely label."""
    label_probabilities: npt.NDArray[np.float64]
    """Probability of the row's own label; rows are sorted by it."""
    noise: Metric
    """Estimated proportion of wrong labels, 0 to 1, with the ends between which it lies by `estimate_noise`."""
    texts: tuple[Text, ...] = ()
    """The texts of the rows: strings, or for pairs a `TextPair` each."""
    places: tuple[str, ...] = ()
    """Where the rows stand, in words: `"reviews.csv, line 12"`."""

    @property
    def noise_rate(self) -> float:
        """Estimated proportion of wrong labels, 0 to 1."""
        return self.noise.value or 0.0

    @property
    def expected_errors(self) -> int:
        """The estimated number of wrong labels: look at so many of the first rows before all others."""
        return min(len(self.rows), round(self.noise_rate * self.rows_examined))

    def to_csv(self) -> str:
        """A line for each row; `look_first` is yes for the `expected_errors` first ones."""
        sink = io.StringIO()
        writer = csv.writer(sink, lineterminator="\n")
        fields = fields_of(self.texts)
        writer.writerow(
            ["row", "place", *TEXT_FIELDS[:len(fields)], "label", "likely_label", "likely_label_probability", "label_probability", "look_first"]
        )  # fmt: skip
        texts = zip(*fields, strict=True)
        columns = (self.rows, self.places, texts, self.labels, self.likely_labels, self.confidences)
        for rank, (row, place, text, label, likely, confidence) in enumerate(zip(*columns, strict=True)):
            is_expected = "yes" if rank < self.expected_errors else "no"
            probabilities = (f"{confidence:.4f}", f"{self.label_probabilities[rank]:.4f}")
            writer.writerow([int(row), place, *text, label, likely, *probabilities, is_expected])
        return sink.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """As in `doctor --json`."""
        return {
            "split": self.split,
            "rows": self.rows_examined,
            "listed": len(self.rows),
            "noise_rate": round(self.noise_rate, 4),
            "noise_rate_low": round(self.noise.low or 0.0, 4),
            "noise_rate_high": round(self.noise.high or 0.0, 4),
            "expected_errors": self.expected_errors,
        }


def find_suspects(data: Data | TextDataset, model: str | ModelSource | None = None, log: Log = silent) -> Suspects:
    """Examine the labels of the train split (or of the only one).

    Labels that differ only in their spelling, for which training is refused, count as one label. Its name is the
    commonest spelling.

    ```python
    >>> suspects = find_suspects("reviews.csv")
    >>> suspects.rows_examined, suspects.noise_rate
    (..., 0.0)
    ```

    Args:
        data: what `load_text_dataset` takes, or its result, with one label a row; pairs too.
        model: a Hub id, a directory or a `ModelSource` of an encoder whose embeddings are used, too; None uses the
            words alone.
        log: called with each line of progress, for a person.

    Raises:
        DatasetError: if the data are not single-label, are too few, or have only one label.
    """
    model = ModelSource(model) if isinstance(model, str) else model
    data = data if isinstance(data, TextDataset) else load_text_dataset(data, make_splits=False)
    task = data.task
    if task is None or not task.is_one_label:
        raise DatasetError(
            f"--suspects needs one label in each row, and {data.source} has {'numbers' if task is None else task.column_kind}. "
            "Leave it out"
        )
    split = data.splits["train"] if "train" in data.splits else next(iter(data.splits.values()))
    spellings = () if data.labels_are_declared else similar_labels(task.labels)
    counts = split.label_counts(task.labels)
    spelled = commonest_spellings(counts, spellings)
    present = len({spelled.get(name, name) for name, count in counts.items() if count})
    if len(split) < FEWEST_ROWS or present < 2:
        raise DatasetError(
            f"--suspects needs at least {FEWEST_ROWS} rows and two labels, and {split.name} of {data.source} has {len(split):,} "
            f"and {present}. Leave it out"
        )
    id_of = {name: index for index, name in enumerate(task.labels)}
    ids = np.array([id_of[spelled.get(name, name)] for name in task.labels])[task.encode(split.label_cells)]
    if spellings:
        log(f"These spellings count as one label: {'; '.join(map(listing, spellings))}")
    folds = assign_folds(ids, first_occurrences(split))
    log(
        f"Likely label errors: TF-IDF with logistic regression, cross-validated in {FOLDS} folds of {len(split):,} rows"
    )
    opinions = [word_probabilities(task, split.texts, ids, folds)]
    if model is not None:
        log(f"The same with the vectors of {model.public_name} (frozen), and with the labels of the nearest vectors")
        vectors = embed(model, split, task)
        opinions.append(vector_probabilities(vectors, ids, folds, task.num_outputs))
        opinions.append(neighbour_probabilities(vectors, ids, folds, task.num_outputs))
    return judge(split, task.labels, ids, joint_opinion(opinions))


def judge(split: TextSplit, names: Sequence[str], ids: Ids, probabilities: Probabilities) -> Suspects:
    """Find the rows whose likely label is not their own, the least probable label first.

    Args:
        split: the rows.
        names: of the labels, in the order of their ids.
        ids: of the rows' own labels, of shape `(rows,)`; of the commonest spelling, where a label has several.
        probabilities: of each label, by models that were not trained on the row, of shape `(rows, labels)`.
    """
    likely = probabilities.argmax(axis=1)
    own = probabilities[np.arange(len(ids)), ids]
    order = np.argsort(own, kind="stable")
    suspects = order[likely[order] != ids[order]]
    taken = split.take(split.name, suspects)
    return Suspects(
        split=split.name,
        rows_examined=len(split),
        rows=split.rows[suspects],
        labels=tuple(taken.labels),
        likely_labels=tuple(names[index] for index in likely[suspects]),
        confidences=probabilities[suspects, likely[suspects]],
        label_probabilities=own[suspects],
        noise=estimate_noise(ids, probabilities),
        texts=tuple(taken.texts),
        places=tuple(split.place(int(row)) for row in split.rows[suspects]),
    )


def estimate_noise(ids: Ids, probabilities: Probabilities) -> Metric:
    """Estimate the proportion of wrong labels.

    It is the proportion of rows with another label than the likely one, in the half with the most confident
    predictions. The models were not trained on the row, so its own label does not decide which half it falls into; and
    where texts are clear, the models are hardly ever wrong. The idea is that of anchor points (Liu and Tao
    2016, "Classification with Noisy Labels by Importance Reweighting"; Patrini et al. 2017, "Making Deep Neural
    Networks Robust to Label Noise"). Confident learning (Northcutt et al. 2021), which counts over all rows, takes
    unclear texts for wrong labels: benchmarks/RESULTS.md has both beside planted rates.

    With few rows, or weak models, the estimate is too high. The interval therefore begins at the smallest lower Wilson
    bound for the most confident tenth, fifth and three tenths, and at 0 if the models disagree with more than 30 % of
    all rows. It ends at the upper Wilson bound for the most confident half.

    Errors that are more frequent in unclear texts are underestimated.
    """
    confidence = probabilities.max(axis=1)
    surest = np.argsort(-confidence, kind="stable")
    differs = probabilities[surest].argmax(axis=1) != ids[surest]

    def ends(part: float) -> tuple[float, float, float]:
        rows = max(1, round(part * len(ids)))
        hits = int(differs[:rows].sum())
        return hits / rows, *wilson_interval(hits, rows)

    value, _, high = ends(_CLEAR)
    low = 0.0 if differs.mean() > _WEAK else min(value, *(ends(part)[1] for part in _CLEAREST))
    return Metric(value, low, high)


def assign_folds(ids: Ids, first_of: Ids, seed: int = 0) -> Ids:
    """Deal the shuffled rows of each label to five folds; duplicates fall into the same one.

    Args:
        ids: of the labels, of shape `(rows,)`.
        first_of: for each row the position of the first row with the same text, of shape `(rows,)`.
        seed: of the shuffling.
    """
    shuffled = np.random.default_rng(seed).permutation(len(ids))
    folds = np.empty(len(ids), dtype=np.int64)
    for label in np.unique(ids):
        rows = shuffled[ids[shuffled] == label]
        folds[rows] = np.arange(len(rows)) % FOLDS
    return folds[first_of]


def word_probabilities(task: Task, texts: Sequence[Text], ids: Ids, folds: Ids) -> Probabilities:
    """Of each label by TF-IDF with logistic regression on the other folds, of shape `(rows, labels)`."""
    probabilities = np.zeros((len(ids), task.num_outputs))
    for fold in range(FOLDS):
        rest, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        learned = TfidfBaseline(task, [texts[int(position)] for position in rest], ids[rest])
        probabilities[held_out] = np.exp(learned.logits([texts[int(position)] for position in held_out]))
    return probabilities


def joint_opinion(opinions: Sequence[Probabilities]) -> Probabilities:
    """The geometric mean, scaled to a sum of 1: a label is likely if no model finds it unlikely."""
    mean = np.exp(sum(np.log(opinion + _LEAST) for opinion in opinions) / len(opinions))
    joint: Probabilities = mean / mean.sum(axis=1, keepdims=True)
    return joint


def vector_probabilities(vectors: npt.NDArray[np.float32], ids: Ids, folds: Ids, num_labels: int) -> Probabilities:
    """Of each label by logistic regression on the vectors of the other folds, of shape `(rows, labels)`."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  (takes a second)

    probabilities = np.zeros((len(ids), num_labels))
    for fold in range(FOLDS):
        rest, held_out = folds != fold, folds == fold
        learned = LogisticRegression(C=10.0, max_iter=1_000).fit(vectors[rest], ids[rest])
        probabilities[np.ix_(held_out, learned.classes_)] = learned.predict_proba(vectors[held_out])
    return probabilities


def neighbour_probabilities(vectors: npt.NDArray[np.float32], ids: Ids, folds: Ids, num_labels: int) -> Probabilities:
    """Of each label by its proportion among the 60 nearest rows of the other folds, of shape `(rows, labels)`.

    Nearer rows weigh more, by exp(cosine / 0.1). The time grows with the square of the rows.

    Args:
        vectors: of length 1, of shape `(rows, hidden)`.
        ids: of the rows' own labels, of shape `(rows,)`.
        folds: of `assign_folds`.
        num_labels: how many labels there are.
    """
    probabilities = np.zeros((len(ids), num_labels))
    prior = np.bincount(ids, minlength=num_labels) / len(ids)
    for start in range(0, len(ids), _ROWS_AT_A_TIME):
        rows = np.arange(start, min(start + _ROWS_AT_A_TIME, len(ids)))
        similarity = vectors[rows] @ vectors.T
        similarity[folds[rows, None] == folds[None, :]] = -np.inf
        nearest = np.argpartition(-similarity, min(_NEIGHBOURS, len(ids) - 1), axis=1)[:, :_NEIGHBOURS]
        cosine = np.take_along_axis(similarity, nearest, axis=1)
        weight = np.exp((cosine - cosine.max(axis=1, keepdims=True)) / _WIDTH)
        np.add.at(probabilities, (rows[:, None], ids[nearest]), weight)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return (_NEIGHBOURS * probabilities + 0.5 * prior) / (_NEIGHBOURS + 0.5)
