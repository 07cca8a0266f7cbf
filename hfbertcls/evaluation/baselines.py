"""Baselines: the most frequent label, and TF-IDF with logistic regression."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from hfbertcls.progress import work
from hfbertcls.tasks.probabilities import Answers, Logits
from hfbertcls.tasks.task import Task


MAX_TRAIN_ROWS = 100_000
_MAX_ANSWERS = 3_000_000
"""Rows x labels, where each label has a regression of its own."""


class TfidfBaseline:
    """Logistic regression on TF-IDF weights of words and word pairs, by scikit-learn, fitted on the training rows.

    Scripts that put no blanks between words, and texts without words, are counted by character n-grams of length one
    to three instead. At most 100,000 training rows are used, drawn with a seed.

    In a multi-label task each label has its own regression and its own decision threshold. The thresholds are fitted
    on a fifth of the rows, which is held out from the regressions. Rows x labels is at most 3,000,000.

    Args:
        task: of the answers.
        texts: the training texts.
        answers: their gold answers.
        seed: of the drawing.
    """

    def __init__(self, task: Task, texts: Sequence[str], answers: Answers, seed: int = 0) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415  (takes a second)
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415

        generator = np.random.default_rng(seed)
        most = min(MAX_TRAIN_ROWS, _MAX_ANSWERS // answers[:1].size)
        if len(texts) > most:
            drawn = np.sort(generator.choice(len(texts), most, replace=False))
            texts, answers = [texts[position] for position in drawn], answers[drawn]
        self.train_rows = len(texts)
        by_characters = _has_few_words(texts)
        self.analyzer = "char" if by_characters else "word"
        vectorizer = TfidfVectorizer(
            analyzer=self.analyzer,
            ngram_range=(1, 3) if by_characters else (1, 2),
            sublinear_tf=True,
            token_pattern=None if by_characters else r"(?u)\b\w+\b",
        )
        self._model: Any = make_pipeline(vectorizer, task.linear_model(answers))
        self.task = task
        """The task with its fitted decision thresholds."""
        held_out, rest = np.zeros(0, dtype=np.int64), np.arange(len(texts))
        if task.fits_decision:
            held_out, rest = np.split(generator.permutation(len(texts)), [max(1, len(texts) // 5)])
            rest = rest if len(rest) else held_out
        with warnings.catch_warnings():
            # A label that no row has, or that every row has, gets a constant answer. That is right, so no warning.
            warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
            self._model.fit([texts[position] for position in rest.tolist()], answers[rest])
        if task.fits_decision:
            seen = self.logits([texts[position] for position in held_out.tolist()])
            self.task = task.fit_decision(answers[held_out], seen)

    def logits(self, texts: Sequence[str]) -> Logits:
        """Logits of the probabilities, of shape `(len(texts), num_outputs)`, as `Task.linear_logits` returns them.

        A label that the training rows lack gets one millionth.
        """
        return self.task.linear_logits(self._model, texts)

    @property
    def num_parameters(self) -> int:
        """Weights and intercepts."""
        regressions = getattr(self._model[-1], "estimators_", [self._model[-1]])
        return sum(int(one.coef_.size + one.intercept_.size) for one in regressions if hasattr(one, "coef_"))

    def predict(self, texts: Sequence[str]) -> Answers:
        """The predicted answers."""
        return self.task.decide(self.logits(texts))


class Baselines:
    """Both baselines, from the training rows.

    Args:
        task: of the answers.
        texts: the training texts.
        answers: their gold answers.
    """

    @work("Fitting the baselines")
    def __init__(self, task: Task, texts: Sequence[str], answers: Answers) -> None:
        self._names = list(task.baseline_names)
        self._constant = task.constant_baseline(answers)
        self._linear = TfidfBaseline(task, texts, answers)
        fitted_on: dict[str, int | str] = {"train_rows": self._linear.train_rows, "analyzer": self._linear.analyzer}
        self.fitted_on: dict[str, dict[str, int | str]] = dict(zip(self._names, ({}, fitted_on), strict=True))
        """What each was fitted on, for the `baselines` of a report."""

    def predict(self, texts: Sequence[str]) -> dict[str, Answers]:
        """What each baseline predicts, by its name."""
        constant = np.broadcast_to(self._constant, (len(texts), *self._constant.shape))
        return dict(zip(self._names, (constant, self._linear.predict(texts)), strict=True))


def _has_few_words(texts: Sequence[str]) -> bool:
    sample = "".join(texts[:1_000])
    if not any(letter.isalnum() for letter in sample):
        return True
    return sum(letter.isspace() for letter in sample) < 0.04 * len(sample)
