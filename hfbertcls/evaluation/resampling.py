"""Bootstrap of metrics that follow from a table of counts: a resample of the rows is a draw of the table."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from hfbertcls.tasks.probabilities import Answers, Floats
from hfbertcls.tasks.task import Task


NUM_RESAMPLES = 2_000
_CELLS_PER_CHUNK = 2_000_000  # counts held at a time: keeps memory flat
Counts = npt.NDArray[np.int64]
Bounds = dict[str, tuple[float, float]]


def resampled_tables(counts: Counts, width: int, seed: int) -> Iterator[Counts]:
    """Yield tables of shape `(some, kinds)` of resamples of the rows, NUM_RESAMPLES in all.

    Args:
        counts: rows of each kind, of shape `(kinds,)`.
        width: values that are computed of each table, so that few tables are held at a time where it is large.
        seed: of the drawing.
    """
    generator = np.random.default_rng(seed)
    num_rows = counts.sum()
    for start, stop in _chunks(NUM_RESAMPLES, max(width, len(counts))):
        yield generator.multinomial(num_rows, counts / num_rows, size=stop - start)


def tables_without_one_row(counts: Counts, width: int) -> Iterator[Counts]:
    """Yield tables of shape `(some, kinds)` that lack one row of each kind in turn."""
    for start, stop in _chunks(len(counts), max(width, len(counts))):
        tables: Counts = np.tile(counts, (stop - start, 1))
        tables[np.arange(stop - start), np.arange(start, stop)] -= 1
        yield tables


def _chunks(tables: int, width: int) -> Iterator[tuple[int, int]]:
    chunk = max(1, _CELLS_PER_CHUNK // width)
    return ((start, min(start + chunk, tables)) for start in range(0, tables, chunk))


def joined(parts: Iterable[dict[str, Floats]]) -> dict[str, Floats]:
    """Concatenate the metrics of batches of tables."""
    batches = list(parts)
    return {name: np.concatenate([part[name] for part in batches]) for name in batches[0]}


def count_intervals(task: Task, gold: Answers, predicted: Answers, level: float, seed: int) -> Bounds:
    """Ends of the BCa interval of each metric that follows from counts (Efron, J. Am. Stat. Assoc. 82, 1987).

    Args:
        task: of the answers.
        gold: the gold answers.
        predicted: the predicted answers.
        level: of confidence, such as 0.95.
        seed: of the resampling.
    """
    (rows,) = task.count(gold, predicted)
    values = {name: float(value[0]) for name, value in rows.metrics_of(rows.counts[None]).items()}
    if len(gold) == 1:
        return {name: (value, value) for name, value in values.items()}
    draws = joined(map(rows.metrics_of, resampled_tables(rows.counts, task.num_outputs, seed)))
    left_out = joined(map(rows.metrics_of, tables_without_one_row(rows.counts, task.num_outputs)))
    return {name: bca(value, draws[name], left_out[name], rows.counts, level) for name, value in values.items()}


def bca(value: float, draws: Floats, left_out: Floats, weights: Counts, level: float) -> tuple[float, float]:
    """Quantiles of resampled values at levels that correct for their bias and for a spread that grows with the value.

    Args:
        value: of the rows as they are.
        draws: values of resamples, of shape `(resamples,)`.
        left_out: values without one row, of shape `(kinds,)`.
        weights: how many rows are of each kind.
        level: of confidence.
    """
    from scipy.special import ndtr, ndtri  # noqa: PLC0415  (takes a while)

    below = float(((draws < value) + 0.5 * (draws == value)).mean())
    bias = float(ndtri(np.clip(below, 1 / len(draws), 1 - 1 / len(draws))))
    influence = np.average(left_out, weights=weights) - left_out
    spread = float((weights * influence**2).sum()) ** 1.5
    acceleration = float((weights * influence**3).sum()) / (6 * spread) if spread > 0 else 0.0
    ends = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(draws, ndtr(bias + ends / (1 - acceleration * ends)))
    return min(value, float(low)), max(value, float(high))
