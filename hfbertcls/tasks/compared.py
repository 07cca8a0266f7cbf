"""How two sets of answers to the same rows are compared."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hfbertcls.tasks.probabilities import Answers, Floats


Rows = npt.NDArray[np.bool_]


class Compared(ABC):
    """What a task decides about comparing answers; of `n` rows, in the form of the task."""

    slice_test: ClassVar[str] = "chi-square test"
    """Of whether slices differ in the first of their metrics."""
    wins_in_words: ClassVar[str] = "Right: A alone on {:,} rows, B alone on {:,}; McNemar's exact test: p = {:.2g}"

    @abstractmethod
    def is_right(self, gold: Answers, predicted: Answers) -> Rows:
        """Whether each row got exactly its answer, of shape `(n,)`."""

    def is_about_same(self, one: Answers, other: Answers) -> Rows:
        """Whether two computations of each row, such as in bf16 and fp32, gave the same answer, of shape `(n,)`."""
        return self.is_right(one, other)

    def changes(self, before: Answers, after: Answers) -> Mapping[str, float]:  # noqa: ARG002
        """How far another computation moved numbers: `largest` and `mean` in their unit, and `relative`; empty for labels.

        `relative` is the root of the mean square, as a fraction of the standard deviation of the numbers before.
        """
        return {}

    def wins(self, gold: Answers, by_a: Answers, by_b: Answers) -> tuple[Rows, Rows]:
        """The rows on which A is better than B, and those on which B is, of shape `(n,)` each."""
        right_a, right_b = self.is_right(gold, by_a), self.is_right(gold, by_b)
        return right_a & ~right_b, right_b & ~right_a

    def influences(self, gold: Answers, predicted: Answers) -> Mapping[str, Floats]:  # noqa: ARG002
        """How much each row moves each of the `answer_metrics`, to first order, with a mean of 0, of shape `(n,)` each.

        A task that has them needs no `count`: its intervals follow from their spread.
        """
        return {}

    def without_each_row(self, gold: Answers, predicted: Answers) -> Mapping[str, Floats]:  # noqa: ARG002
        """Metrics of all rows but one, for each row, of shape `(n,)`; for those whose influences say too little.

        Their intervals are those of the jackknife. A value that is not defined is no number.
        """
        return {}

    too_narrow_below: ClassVar[Mapping[str, int]] = {}
    """Rows below which the interval of a metric is too narrow in `benchmarks/`."""
