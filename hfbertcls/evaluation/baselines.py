"""What costs nothing: the most frequent label, and word counts with logistic regression.

Labels are ids of shape `(n,)`; where a text can have several labels, of shape `(n, num_labels)`, 1 for each that it has.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hfbertcls.evaluation.scores import Ids
from hfbertcls.evaluation.thresholds import fit_thresholds
from hfbertcls.modeling.predictions import Thresholds, predict_labels
from hfbertcls.progress import work


MAX_TRAIN_ROWS = 100_000
_MAX_ANSWERS = 3_000_000  # rows x labels, where each label has a regression of its own
_LEAST_PROBABILITY = 1e-6


def majority_label(train_labels: Ids) -> Ids:
    """The most frequent label (or set of labels) of the training rows; of equally frequent ones, the first.

    Returns:
        An id of shape `()`; of a multi-label task 0 or 1 for each label, of shape `(num_labels,)`.
    """
    if train_labels.ndim == 2:
        sets, counts = np.unique(train_labels, axis=0, return_counts=True)
        return np.asarray(sets[counts.argmax()])
    return np.asarray(np.bincount(train_labels).argmax())


class TfidfBaseline:
    """Logistic regression on TF-IDF weights of words and word pairs, by scikit-learn, fitted on the training rows.

    Texts in scripts that put no blanks between words, and texts without words, are counted by runs of one to three
    characters instead. Of more than 100,000 training rows, 100,000 are drawn (seeded). Where a text can have several labels,
    each label has a regression of its own, and a threshold that is fitted on a fifth of the rows, which the regressions do
    not see; of more rows, as many are drawn as make 3,000,000 answers to learn.

    Args:
        texts: the training texts.
        labels: their labels.
        seed: of the drawing.
    """

    def __init__(self, texts: Sequence[str], labels: Ids, seed: int = 0) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415  (takes a second)
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415

        generator = np.random.default_rng(seed)
        self._several = labels.ndim == 2
        most = min(MAX_TRAIN_ROWS, _MAX_ANSWERS // labels.shape[1]) if self._several else MAX_TRAIN_ROWS
        if len(texts) > most:
            drawn = np.sort(generator.choice(len(texts), most, replace=False))
            texts, labels = [texts[position] for position in drawn], labels[drawn]
        self.train_rows = len(texts)
        by_characters = _has_few_words(texts)
        self.analyzer = "char" if by_characters else "word"
        vectorizer = TfidfVectorizer(
            analyzer=self.analyzer,
            ngram_range=(1, 3) if by_characters else (1, 2),
            sublinear_tf=True,
            token_pattern=None if by_characters else r"(?u)\b\w+\b",
        )
        self._model: Any = make_pipeline(vectorizer, _regression(labels))
        self.thresholds: Thresholds | None = None
        """Where a text can have several labels, the scores from which each is given."""
        if self._several:
            order = generator.permutation(len(texts))
            held_out, rest = np.split(order, [max(1, len(order) // 5)])
            rest = rest if len(rest) else held_out
            with warnings.catch_warnings():
                # A label that no row has, or every row, is answered so for every text: that is right, and no news.
                warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
                self._model.fit([texts[position] for position in rest], labels[rest])
            seen = self.logits([texts[position] for position in held_out], labels.shape[1])
            self.thresholds = fit_thresholds(labels[held_out], seen)
        else:
            self._model.fit(texts, labels)

    def logits(self, texts: Sequence[str], num_labels: int) -> npt.NDArray[np.float32]:
        """Logits of the probabilities, of shape `(len(texts), num_labels)`: their logarithms where a text has one label.

        A label that the training rows lack gets one millionth.
        """
        if self._several:
            found = np.clip(self._model.predict_proba(texts), _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
            odds: npt.NDArray[np.float64] = found / (1 - found)
            return np.log(odds).astype(np.float32)
        found = np.full((len(texts), num_labels), np.log(_LEAST_PROBABILITY), dtype=np.float32)
        found[:, self._model.classes_] = np.maximum(self._model.predict_log_proba(texts), np.log(_LEAST_PROBABILITY))
        return found

    @property
    def num_parameters(self) -> int:
        """Weights and intercepts."""
        regressions = getattr(self._model[-1], "estimators_", [self._model[-1]])
        return sum(int(one.coef_.size + one.intercept_.size) for one in regressions if hasattr(one, "coef_"))

    def predict(self, texts: Sequence[str], num_labels: int) -> Ids:
        """The predicted labels: ids of shape `(len(texts),)`, of a multi-label task 0 or 1 of shape `(len(texts), num_labels)`."""
        if self._several:
            return predict_labels(self.logits(texts, num_labels), self.thresholds)
        return np.asarray(self._model.predict(texts))


def _regression(labels: Ids) -> Any:
    from sklearn.dummy import DummyClassifier  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.multiclass import OneVsRestClassifier  # noqa: PLC0415

    if labels.ndim == 1 and len(np.unique(labels)) == 1:
        return DummyClassifier()  # (rows of one label, from which no regression can be fitted)
    if labels.ndim == 2:
        return OneVsRestClassifier(LogisticRegression(C=10.0, solver="liblinear"))
    return LogisticRegression(C=10.0, max_iter=1_000)


class Baselines:
    """Both baselines, from the training rows.

    Args:
        texts: the training texts.
        labels: their labels.
    """

    @work("Fitting the baselines")
    def __init__(self, texts: Sequence[str], labels: Ids) -> None:
        self._majority = majority_label(labels)
        self._tfidf = TfidfBaseline(texts, labels)
        self.facts: dict[str, dict[str, int | str]] = {
            "majority": {},
            "tfidf_logreg": {"train_rows": self._tfidf.train_rows, "analyzer": self._tfidf.analyzer},
        }
        """What each was fitted on, for the `baselines` of a report."""

    def predict(self, texts: Sequence[str], num_labels: int) -> dict[str, Ids]:
        """What each baseline predicts, by its name."""
        majority = np.broadcast_to(self._majority, (len(texts), *self._majority.shape))
        return {"majority": majority, "tfidf_logreg": self._tfidf.predict(texts, num_labels)}


def _has_few_words(texts: Sequence[str]) -> bool:
    sample = "".join(texts[:1_000])
    if not any(letter.isalnum() for letter in sample):
        return True
    return sum(letter.isspace() for letter in sample) < 0.04 * len(sample)
