"""How far confidence is from the fraction of right answers."""

from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt


NUM_BINS = 15
NORMAL_QUANTILE = 1.959963984540054
"""Of the standard normal distribution at 97.5 %: the ends of 95 % intervals."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Bins of equal mass, least confident first; arrays of shape `(bins,)`."""

    count: npt.NDArray[np.int64]
    confidence: Floats
    """Mean confidence in the predicted label."""
    accuracy: Floats
    """Fraction of right predictions."""


def bin_edges(num_rows: int) -> npt.NDArray[np.int64]:
    """Where the bins begin and end among rows sorted by confidence: equal mass, no empty bin."""
    bins = min(NUM_BINS, num_rows)
    return np.round(np.linspace(0, num_rows, bins + 1)).astype(np.int64)


def reliability(stated: Floats, is_so: npt.NDArray[Any]) -> Reliability:
    """Group probabilities into bins of equal mass.

    Args:
        stated: probabilities that each row states, of shape `(n, statements)`.
        is_so: 1 where the statement is true, of the same shape.
    """
    confidence = stated.ravel()
    order = np.argsort(confidence, kind="stable")
    correct = is_so.ravel()[order].astype(np.float64)
    edges = bin_edges(len(confidence))
    count = np.diff(edges)
    return Reliability(
        count=count,
        confidence=np.add.reduceat(confidence[order], edges[:-1]) / count,
        accuracy=np.add.reduceat(correct, edges[:-1]) / count,
    )


_LEAST_VARIANCE = 1e-15


@dataclass(frozen=True)
class _Gaps:
    """Gaps |confidence - accuracy| of bins, and their variance by chance; arrays of shape `(bins,)`.

    `correlation`, of shape `(bins, bins)`, is that of the gaps, with signs that make each gap positive. It is for
    labels of a row that depend on each other; None where a row is in one bin only.
    """

    gap: Floats
    variance: Floats
    weight: Floats
    correlation: Floats | None = None

    @classmethod
    def of(cls, stated: Floats, is_so: npt.NDArray[Any]) -> "_Gaps":
        bins = reliability(stated, is_so)
        # A bin without a wrong answer varies by chance too: then the variance follows from the confidence.
        spread = np.maximum(bins.accuracy * (1 - bins.accuracy), bins.confidence * (1 - bins.confidence))
        variance = np.maximum(spread / bins.count, _LEAST_VARIANCE)
        gap, weight = np.abs(bins.confidence - bins.accuracy), bins.count / bins.count.sum()
        if stated.shape[1] == 1:
            return cls(gap, variance, weight)
        covariance = _covariance_over_rows(stated, is_so, bins)
        seen = np.sqrt(np.maximum(np.diag(covariance), _LEAST_VARIANCE))
        signs = np.where(bins.confidence >= bins.accuracy, 1.0, -1.0)
        correlation = covariance / np.outer(seen, seen) * np.outer(signs, signs)
        return cls(gap, np.maximum(variance, seen**2), weight, np.clip(correlation, -1.0, 1.0))

    def excess(self, true_gap: Floats, deviations: float = 0.0) -> float:
        """The observed error less its mean under true gaps, less a number of standard deviations.

        A bin whose true gap is t shows |N(t, s)|; see "folded normal distribution" for its moments.
        """
        from scipy.special import erf  # noqa: PLC0415  (takes a while)

        s = np.sqrt(self.variance)
        apart = erf(true_gap / (s * sqrt(2)))  # from 0 where the sign is chance to 1 where it is sure
        mean = s * sqrt(2 / pi) * np.exp(-(true_gap**2) / (2 * self.variance)) + true_gap * apart
        variance = np.maximum(true_gap**2 + self.variance - mean**2, 0.0)
        if self.correlation is None:
            deviation = np.sqrt((self.weight**2 * variance).sum())
        else:
            # Folding a normal variable keeps a correlation where its sign is sure, and gives about its square where
            # the mean is 0.
            sure = np.outer(apart, apart)
            folded = sure * self.correlation + (1 - sure) * self.correlation**2
            np.fill_diagonal(folded, 1.0)
            parts = self.weight * np.sqrt(variance)
            deviation = np.sqrt(max(float(parts @ folded @ parts), 0.0))
        return float((self.weight * (self.gap - mean)).sum() - deviations * deviation)

    def estimate(self) -> float:
        """The error of gaps, all shrunk by one factor, whose mean with chance is the observed error."""
        from scipy.optimize import brentq  # noqa: PLC0415

        seen = float((self.weight * self.gap).sum())
        if self.excess(np.zeros_like(self.gap)) <= 0:
            return 0.0
        if self.excess(self.gap) >= 0:  # (no chance in any bin)
            return seen
        return float(brentq(lambda factor: self.excess(factor * self.gap), 0.0, 1.0, xtol=1e-9)) * seen

    def bound(self, deviations: float) -> float:
        """The error of gaps under which the observed error lies a number of deviations above the mean.

        The gaps are the observed ones, with a multiple of each bin's variance subtracted from (or added to) their
        squares. The observed error counts at least as much as the mean by chance alone, because a few rows that happen
        to fit do not prove that there is no error.
        """
        from scipy.optimize import brentq  # noqa: PLC0415

        def shifted(amount: float) -> Floats:
            gaps: Floats = np.sqrt(np.clip(self.gap**2 - amount * self.variance, 0.0, 1.0))
            return gaps

        lacking = max(0.0, -self.excess(np.zeros_like(self.gap)))

        def excess(amount: float) -> float:
            return self.excess(shifted(amount), deviations) + lacking

        most = float((self.gap**2 / self.variance).max())
        if excess(most) <= 0:
            return 0.0
        least = -1.0
        while excess(least) > 0 and least > -1 / _LEAST_VARIANCE:
            least *= 4
        if excess(least) > 0:
            return 1.0
        return float((self.weight * shifted(brentq(excess, least, most, xtol=1e-9))).sum())


def _covariance_over_rows(stated: Floats, is_so: npt.NDArray[Any], bins: Reliability) -> Floats:
    """Covariance of the gaps, of shape `(bins, bins)`; rows are independent, probabilities of a row are not."""
    num_bins, (num_rows, num_labels) = len(bins.count), stated.shape
    order = np.argsort(stated.ravel(), kind="stable")  # (as `reliability` sorts them)
    bin_of = np.empty(len(order), dtype=np.int64)
    bin_of[order] = np.repeat(np.arange(num_bins), bins.count)
    beside_the_gap = stated.ravel() - is_so.ravel() - (bins.confidence - bins.accuracy)[bin_of]
    cells = np.repeat(np.arange(num_rows) * num_bins, num_labels) + bin_of
    of_rows = np.bincount(cells, weights=beside_the_gap, minlength=num_rows * num_bins).reshape(num_rows, num_bins)
    covariance: Floats = of_rows.T @ of_rows / np.outer(bins.count, bins.count)
    return covariance


def expected_calibration_error(stated: Floats, is_so: npt.NDArray[Any]) -> float:
    """Expected calibration error of probabilities, from 0 to 1: over 15 bins of equal mass, debiased.

    Each bin's gap |confidence - accuracy| is too large on average, because accuracy is measured on few rows. The gaps
    are shrunk by one factor, so that with chance they are on average as large as observed. Where chance alone explains
    the observed gaps, the error is 0.

    Args:
        stated: probabilities that each row states, of shape `(n, statements)`.
        is_so: 1 where the statement is true, of the same shape.
    """
    return _Gaps.of(stated, is_so).estimate()


def calibration_error_interval(stated: Floats, is_so: npt.NDArray[Any]) -> tuple[float, float]:
    """The ends of a 95 % interval of the calibration error, by inverting a test.

    The test takes each bin's gap as normal with its binomial variance, and the weighted sum of the gaps as normal. In
    a multi-label task the variance is at least the observed one. `benchmarks/RESULTS.md` has its coverage.
    """
    gaps = _Gaps.of(stated, is_so)
    value = gaps.estimate()
    return min(value, gaps.bound(NORMAL_QUANTILE)), max(value, gaps.bound(-NORMAL_QUANTILE))
