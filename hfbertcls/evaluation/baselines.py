"""Baselines: the most frequent label, and linear models on TF-IDF and on vectors of the frozen encoder."""

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hfbertcls.data.texts import Text, TextPair, fields_of
from hfbertcls.data.words import analyzer_of, word_pattern
from hfbertcls.progress import work
from hfbertcls.tasks.probabilities import Answers, Floats, Logits
from hfbertcls.tasks.task import Task


Vectors = npt.NDArray[np.float32]
MAX_TRAIN_ROWS = 100_000
C_ON_VECTORS = 3.0
"""Inverse regularization of a linear model on `standardized` vectors."""
_WEIGHT_OF_COSINE = 8.0
_MAX_ANSWERS = 3_000_000
"""Rows x labels, where each label has a regression of its own."""


class TfidfBaseline:
    """Logistic regression on TF-IDF weights of words and word pairs, by scikit-learn, fitted on the training rows.

    Scripts that put no blanks between words, and texts without words, are counted by character n-grams of length one
    to three instead (`data.words.analyzer_of`). At most 100,000 training rows are used, drawn with a seed. Each text of
    a pair has weights of its own, so that it counts which of the two a word is in.

    In a multi-label task each label has its own regression and its own decision threshold. The thresholds are fitted
    on a fifth of the rows, which is held out from the regressions. Rows x labels is at most 3,000,000.

    Args:
        task: of the answers.
        texts: the training texts.
        answers: their gold answers.
        seed: of the drawing.
    """

    def __init__(self, task: Task, texts: Sequence[Text], answers: Answers, seed: int = 0) -> None:
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415  (takes a second)

        generator = np.random.default_rng(seed)
        most = min(MAX_TRAIN_ROWS, _MAX_ANSWERS // answers[:1].size)
        if len(texts) > most:
            drawn = np.sort(generator.choice(len(texts), most, replace=False))
            texts, answers = [texts[position] for position in drawn], answers[drawn]
        self.train_rows = len(texts)
        analyzers = [analyzer_of(field) for field in fields_of(texts)]
        self.analyzer = " and ".join(dict.fromkeys(analyzers))
        vectorizer = _vectorizer(analyzers)
        self._model: Any = make_pipeline(vectorizer, task.linear_model(answers))
        self.task = task
        """The task with its fitted decision thresholds."""
        held_out, rest = np.zeros(0, dtype=np.int64), np.arange(len(texts))
        if task.fits_decision:
            held_out, rest = _a_fifth_apart(len(texts), generator)
            rest = rest if len(rest) else held_out
        _fit(self._model, [texts[position] for position in rest.tolist()], answers[rest])
        if task.fits_decision:
            seen = self.logits([texts[position] for position in held_out.tolist()])
            self.task = task.fit_decision(answers[held_out], seen)

    def logits(self, texts: Sequence[Text]) -> Logits:
        """Logits of the probabilities, of shape `(len(texts), num_outputs)`, as `Task.linear_logits` returns them.

        A label that the training rows lack gets one millionth.
        """
        return self.task.linear_logits(self._model, texts)

    @property
    def num_parameters(self) -> int:
        """Weights and intercepts."""
        regressions = getattr(self._model[-1], "estimators_", [self._model[-1]])
        return sum(int(np.size(one.coef_) + np.size(one.intercept_)) for one in regressions if hasattr(one, "coef_"))

    def predict(self, texts: Sequence[Text]) -> Answers:
        """The predicted answers."""
        return self.task.decide(self.logits(texts))


def _vectorizer(analyzers: Sequence[str]) -> Any:
    """What makes TF-IDF weights of texts; those of the two texts of a pair stand side by side."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415  (takes a second)
    from sklearn.pipeline import make_pipeline, make_union  # noqa: PLC0415
    from sklearn.preprocessing import FunctionTransformer  # noqa: PLC0415

    weights = [
        TfidfVectorizer(
            analyzer="char" if analyzer == "char" else "word",
            ngram_range=(1, 3) if analyzer == "char" else (1, 2),
            sublinear_tf=True,
            token_pattern=word_pattern(analyzer),
        )
        for analyzer in analyzers
    ]
    if len(weights) == 1:
        return weights[0]
    fields = [FunctionTransformer(partial(_field, position)) for position in range(len(weights))]
    return make_union(*(make_pipeline(*steps) for steps in zip(fields, weights, strict=True)))


def _field(position: int, texts: Sequence[Text]) -> list[str]:
    """One of the texts of each pair."""
    return fields_of(texts)[position]


class LinearProbe:
    """A linear model on vectors of an encoder, by scikit-learn.

    The vectors are centred and scaled to a mean length of 1. There, an inverse regularization of 3 holds from 8 rows
    a label to 1,000 rows (benchmarks/RECIPES.md).

    Args:
        task: of the answers.
        vectors: of shape `(n, width)`.
        answers: the gold answers of the rows.
        class_weights: of shape `(num_labels,)`; None: each row counts the same.
    """

    def __init__(self, task: Task, vectors: Vectors, answers: Answers, class_weights: Floats | None = None) -> None:
        inputs, centre, scale = standardized(vectors)
        if class_weights is None:
            model = task.linear_model(answers, C_ON_VECTORS)
        else:
            model = task.weighted_linear_model(answers, C_ON_VECTORS, class_weights)
        _fit(model, inputs, answers)
        weights, biases = task.linear_weights(model)
        self.weights: Floats = weights / scale
        """Of shape `(num_outputs, width)`."""
        self.biases: Floats = biases - self.weights @ centre
        """Of shape `(num_outputs,)`."""

    def logits(self, vectors: Vectors) -> Logits:
        """Logits of shape `(n, num_outputs)`."""
        return np.asarray(vectors @ self.weights.T + self.biases, dtype=np.float32)


def standardized(vectors: Vectors) -> tuple[Floats, Floats, float]:
    """Vectors that are centred and scaled to a mean length of 1; and the centre and the mean length that they had.

    ```python
    >>> standardized(np.array([[1.0, 0.0], [5.0, 0.0]], dtype=np.float32))[1:]
    (array([3., 0.]), 2.0)
    ```
    """
    centre = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - centre
    scale = float(np.linalg.norm(centred, axis=1).mean()) or 1.0
    return centred / scale, centre, scale


def pair_features(first: Vectors, second: Vectors) -> Vectors:
    """What a linear model needs to compare two texts, each of which was encoded alone.

    These are both vectors, centred and of length 1, the size of their difference and their product in each dimension
    (as in Conneau et al., 2017, section 3.1), and their cosine. The cosine counts eight times, so that a regularized
    model of few rows uses it first, and the product counts as much as a difference (benchmarks/RECIPES.md).

    ```python
    >>> pair_features(np.array([[1.0, -1.0]]), np.array([[-2.0, 2.0]])).round(2)
    array([[ 0.71, -0.71, -0.71,  0.71,  1.41,  1.41, -0.71, -0.71, -8.  ]], dtype=float32)
    ```

    Args:
        first: vectors of shape `(n, width)`.
        second: those of the second texts.

    Returns:
        float32 of shape `(n, 4 * width + 1)`.
    """
    a, b = (_of_length_one(vectors) for vectors in (first, second))
    product = a * b
    cosine = product.sum(axis=1, keepdims=True)
    parts = [a, b, np.abs(a - b), product * np.sqrt(product.shape[1]), _WEIGHT_OF_COSINE * cosine]
    return np.hstack(parts).astype(np.float32)


def _of_length_one(vectors: Vectors) -> Floats:
    """Vectors less the mean of their values, of length 1."""
    centred: Floats = vectors - vectors.mean(axis=1, keepdims=True, dtype=np.float64)
    lengths: Floats = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.maximum(lengths, np.finfo(np.float32).tiny)


class FrozenBaseline(LinearProbe):
    """A linear probe on an encoder that was not trained, and its answers.

    Where a task has decision thresholds, they are fitted on a fifth of the rows, by a probe of the other rows.

    ```python
    >>> vectors = np.array([[0.0, 1.0], [0.1, 0.9], [1.0, 0.0], [0.9, 0.2]], dtype=np.float32)
    >>> FrozenBaseline(SingleLabel(("a", "b")), vectors, np.array([0, 0, 1, 1])).predict(vectors)
    array([0, 0, 1, 1])
    ```

    Args:
        task: of the answers.
        vectors: of shape `(n, width)`.
        answers: the gold answers of the rows.
        seed: of the rows for the thresholds.
    """

    def __init__(self, task: Task, vectors: Vectors, answers: Answers, seed: int = 0) -> None:
        super().__init__(task, vectors, answers)
        self.train_rows = len(vectors)
        self.task = task
        """The task with its fitted decision thresholds."""
        if task.fits_decision and len(vectors) > 1:
            held_out, rest = _a_fifth_apart(len(vectors), np.random.default_rng(seed))
            probe = LinearProbe(task, vectors[rest], answers[rest])
            self.task = task.fit_decision(answers[held_out], probe.logits(vectors[held_out]))

    def predict(self, vectors: Vectors) -> Answers:
        """The predicted answers."""
        return self.task.decide(self.logits(vectors))


def _a_fifth_apart(rows: int, generator: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """A fifth of the rows, at least one, for decision thresholds; and the others."""
    return np.split(generator.permutation(rows), [max(1, rows // 5)])


def _fit(model: Any, features: Any, answers: Answers) -> None:
    """Fit a model. A label that no row has, or that every row has, gets a constant answer; that is right, so no warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
        model.fit(features, answers)


class Baselines:
    """The baselines that follow from the training texts. Pairs have one more: the second text alone.

    Args:
        task: of the answers.
        texts: the training texts.
        answers: their gold answers.
    """

    @work("Fitting the baselines")
    def __init__(self, task: Task, texts: Sequence[Text], answers: Answers) -> None:
        self._names = list(task.baseline_names)[:2]
        self._constant = task.constant_baseline(answers)
        self._linear = TfidfBaseline(task, texts, answers)
        self._second: TfidfBaseline | None = None
        if isinstance(texts[0], TextPair):
            self._second = TfidfBaseline(task, second_texts(texts), answers)
            self._names.append(task.second_text_baseline[0])
        self.fitted_on: dict[str, dict[str, int | str]] = dict(
            zip(self._names, ({}, *map(_fitted_on, self._of_words)), strict=True)
        )
        """What each was fitted on, for the `baselines` of a report."""

    @property
    def _of_words(self) -> list[TfidfBaseline]:
        return [self._linear, *([] if self._second is None else [self._second])]

    def predict(self, texts: Sequence[Text]) -> dict[str, Answers]:
        """What each baseline predicts, by its name."""
        constant = np.broadcast_to(self._constant, (len(texts), *self._constant.shape))
        answers = [constant, self._linear.predict(texts)]
        if self._second is not None:
            answers.append(self._second.predict(second_texts(texts)))
        return dict(zip(self._names, answers, strict=True))


def second_texts(pairs: Sequence[Text]) -> list[str]:
    """The second text of each pair."""
    return fields_of(pairs)[1]


def _fitted_on(baseline: TfidfBaseline) -> dict[str, int | str]:
    return {"train_rows": baseline.train_rows, "analyzer": baseline.analyzer}
