"""How much each row moves a correlation: by its influence function, to first order, or by leaving it out."""

import numpy as np

from hfbertcls.tasks.probabilities import Answers, Floats


def influence_of_pearson(x: Answers, y: Answers) -> Floats:
    """The influence of each row on Pearson's correlation, of shape `(n,)`, with a mean of 0.

    Devlin, Gnanadesikan and Kettenring, Biometrika 62 (1975) 531-545.

    Args:
        x: numbers of shape `(n,)`, not all equal.
        y: others.
    """
    u, v = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    return np.asarray(u * v - (u * v).mean() / 2 * (u**2 + v**2))


def pearson_and_variance_without_each(x: Answers, y: Answers) -> tuple[Floats, Floats]:
    """Pearson's correlation and the variance of `x` without each row, of shape `(n,)` each.

    No number where the other rows are equal, but for rounding.

    Args:
        x: numbers of shape `(n,)`.
        y: others.
    """
    rest = len(x) - 1
    x, y = x - x.mean(), y - y.mean()

    def covariance(a: Floats, b: Floats) -> Floats:
        return np.asarray(((a * b).sum() - a * b) / rest - a * b / rest**2)

    with np.errstate(divide="ignore", invalid="ignore"):
        spreads = [
            np.where(of > 1e-12 * (one**2).mean(), of, np.nan)
            for one, of in ((x, covariance(x, x)), (y, covariance(y, y)))
        ]
        return np.asarray(covariance(x, y) / np.sqrt(spreads[0] * spreads[1])), spreads[0]


def influence_of_spearman(x: Answers, y: Answers) -> Floats:
    """The influence of each row on Spearman's correlation, of shape `(n,)`, with a mean of 0.

    A row acts twice: by its own ranks, and by raising the ranks of the rows above it. Rows of the same value raise
    each other by half a rank.

    Args:
        x: numbers of shape `(n,)`, not all equal.
        y: others.
    """
    from scipy.stats import rankdata  # noqa: PLC0415  (takes a second)

    u, v = (rankdata(numbers) / len(x) for numbers in (x, y))
    u, v = u - u.mean(), v - v.mean()

    def covariance(a: Floats, b: Floats) -> tuple[float, Floats]:
        value = float((a * b).mean())
        return value, a * b + _raised(a, b) + _raised(b, a) - 3 * value

    (joint, of_joint), (of_x, of_u), (of_y, of_v) = (covariance(a, b) for a, b in ((u, v), (u, u), (v, v)))
    deviation = (of_x * of_y) ** 0.5
    return np.asarray(of_joint / deviation - joint / deviation / 2 * (of_u / of_x + of_v / of_y))


def _raised(ranks: Floats, others: Floats) -> Floats:
    """The mean of `others` over all rows, those above a row counted whole and those beside it by half."""
    values, place = np.unique(ranks, return_inverse=True)
    sums = np.bincount(place, weights=others, minlength=len(values))
    above = sums[::-1].cumsum()[::-1] - sums
    return np.asarray((above + sums / 2)[place] / len(ranks))
