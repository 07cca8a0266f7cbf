"""What costs nothing: the most frequent label, and word counts with logistic regression."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


MAX_TRAIN_ROWS = 100_000
Ids = npt.NDArray[np.int64]


def _figures(gold: Ids, predicted: Ids) -> dict[str, float]:
    from sklearn import metrics  # noqa: PLC0415  (takes a second)

    return {
        "accuracy": float(metrics.accuracy_score(gold, predicted)),
        "f1_macro": float(metrics.f1_score(gold, predicted, average="macro", zero_division=0)),
    }


def majority_baseline(train_labels: Ids, gold: Ids) -> dict[str, float]:
    """Always answer the most frequent label of the training rows (of equally frequent ones, the first)."""
    return _figures(gold, np.full_like(gold, np.bincount(train_labels).argmax()))


class TfidfBaseline:
    """Logistic regression on TF-IDF weights of words and word pairs, by scikit-learn, fitted on the training rows.

    Texts in scripts that put no blanks between words, and texts without words, are counted by runs of one to three
    characters instead. Of more than 100,000 training rows, 100,000 are drawn (seeded).

    Args:
        texts: the training texts.
        labels: their label ids, of shape `(len(texts),)`.
        seed: of the drawing.
    """

    def __init__(self, texts: Sequence[str], labels: Ids, seed: int = 0) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415  (takes a second)
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415

        if len(texts) > MAX_TRAIN_ROWS:
            drawn = np.sort(np.random.default_rng(seed).choice(len(texts), MAX_TRAIN_ROWS, replace=False))
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
        self._model: Any = make_pipeline(vectorizer, LogisticRegression(C=10.0, max_iter=1_000))
        self._model.fit(texts, labels)

    def logits(self, texts: Sequence[str], num_labels: int) -> npt.NDArray[np.float32]:
        """Logarithms of the probabilities, of shape `(len(texts), num_labels)`.

        A label that the training rows lack gets one millionth.
        """
        found = np.full((len(texts), num_labels), np.log(1e-6), dtype=np.float32)
        found[:, self._model.classes_] = np.maximum(self._model.predict_log_proba(texts), np.log(1e-6))
        return found

    @property
    def num_parameters(self) -> int:
        """Weights and intercepts."""
        regression = self._model[-1]
        return int(regression.coef_.size + regression.intercept_.size)

    def scores(self, texts: Sequence[str], gold: Ids) -> dict[str, float | int | str]:
        """Accuracy and macro F1 on other rows, and what the baseline was fitted on."""
        predicted = self._model.predict(texts)
        return {**_figures(gold, predicted), "train_rows": self.train_rows, "analyzer": self.analyzer}


class Baselines:
    """Both baselines, from the training rows; `scores` gives the `baselines` of a report.

    Args:
        texts: the training texts.
        labels: their label ids, of shape `(len(texts),)`.
    """

    def __init__(self, texts: Sequence[str], labels: Ids) -> None:
        self._labels = labels
        self._tfidf = TfidfBaseline(texts, labels)

    def scores(self, texts: Sequence[str], gold: Ids) -> dict[str, Mapping[str, float | int | str]]:
        """What each baseline scores on other rows."""
        return {"majority": majority_baseline(self._labels, gold), "tfidf_logreg": self._tfidf.scores(texts, gold)}


def _has_few_words(texts: Sequence[str]) -> bool:
    sample = "".join(texts[:1_000])
    if not any(letter.isalnum() for letter in sample):
        return True
    return sum(letter.isspace() for letter in sample) < 0.04 * len(sample)
