"""Ordinal classification: exactly one label a text, and the labels have an order, such as 1 to 5 stars."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

import numpy as np

from hfbertcls.errors import ConfigurationError, listing
from hfbertcls.tasks.cells import Column
from hfbertcls.tasks.counted import CountedRows, Counts, count_rows
from hfbertcls.tasks.probabilities import Answers, Floats
from hfbertcls.tasks.single_label import SingleLabel


ORDERED = "hfbertcls_ordered_labels"
"""The key of `config.json` that is true where the ids of the labels are their order."""
_OF_RANKS = {
    "quadratic_kappa": "Quadratic kappa",
    "rank_mae": "Mean absolute error in ranks",
    "off_by_one": "Off-by-one accuracy",
}
_RANKING = 2  # metrics at the end of `SingleLabel.metric_names` that only two labels have


class Ordinal(SingleLabel):
    """Exactly one label a text. The order of the labels is that of their ids, which are their ranks.

    The decision is the likeliest label, as for a single-label task, so plain `pipeline()` gives the same answers. The
    order counts in the metrics: quadratic kappa, the mean distance of the ranks, and the fraction of answers that are
    at most one rank away.
    """

    name = "ordinal"
    kind = column_kind = "one of ordered labels"
    is_requested = True
    headline = judged_by = "quadratic_kappa"
    judged_in_points = False
    key_metrics = ("accuracy", "f1_macro", "quadratic_kappa")
    metric_names: ClassVar = {
        **dict(list(SingleLabel.metric_names.items())[:-_RANKING]),
        **_OF_RANKS,
        **dict(list(SingleLabel.metric_names.items())[-_RANKING:]),
    }
    lower_is_better = SingleLabel.lower_is_better | {"rank_mae"}
    config_keys = (ORDERED,)

    @classmethod
    def fits(cls, columns: Sequence[Column]) -> bool:
        """Never: the order must be requested."""
        return False

    @classmethod
    def ordered(cls, names: Iterable[str]) -> tuple[str, ...]:
        """Labels that are numbers by their value.

        Raises:
            ConfigurationError: if they are no numbers, so that their order must be declared.
        """
        numbers = {name: _number(name) for name in names}
        words = sorted(name for name, number in numbers.items() if number is None)
        if words:
            raise ConfigurationError(
                f"--task ordinal needs the order of the labels, and {listing(words)} is no number. Name all labels with "
                "--labels, the lowest first"
            )
        return tuple(sorted(numbers, key=lambda name: (numbers[name] or 0.0, name)))

    @classmethod
    def is_of_config(cls, problem_type: str | None, config: Mapping[str, Any]) -> bool:
        return super().is_of_config(problem_type, config) and config.get(ORDERED) is True

    def configure(self, config: Any) -> None:
        super().configure(config)
        vars(config).update(self.config_values)

    @property
    def config_values(self) -> dict[str, Any]:
        return {ORDERED: True}

    def summary(self, *, are_pairs: bool = False) -> str:
        return f"Sorts {'pairs of texts' if are_pairs else 'texts'} into {len(self.labels):,} ordered labels"

    def answer_metrics(self, gold: Answers, predicted: Answers) -> dict[str, float]:
        rows = self.count(gold, predicted)[0]
        of_ranks = {name: float(value[0]) for name, value in rows.of_ranks(rows.counts[None]).items()}
        return {**super().answer_metrics(gold, predicted), **of_ranks}

    def count(self, gold: Answers, *predicted: Answers) -> Sequence["CountedRanks"]:
        return [
            CountedRanks(one.counts, one.gold, one.predicted, one.num_labels)
            for one in count_rows(len(self.labels), gold, *predicted)
        ]


@dataclass(frozen=True)
class CountedRanks(CountedRows):
    """`CountedRows` of labels with an order."""

    def metrics_of(self, tables: Counts) -> dict[str, Floats]:
        """With the metrics of the ranks."""
        return {**super().metrics_of(tables), **self.of_ranks(tables)}

    def of_ranks(self, tables: Counts) -> dict[str, Floats]:
        """Quadratic kappa (Cohen, Psychol. Bull. 70, 1968; 0 where all ranks are equal), mean distance, and near answers."""
        gold, predicted = self.gold.astype(np.float64), self.predicted.astype(np.float64)
        apart = np.abs(gold - predicted)
        rows = tables.sum(axis=1)
        columns = np.stack([gold, predicted, gold**2, predicted**2, apart**2, apart, apart <= 1], axis=1)
        mean_gold, mean_predicted, squares_gold, squares_predicted, squared, distance, near = (
            tables @ columns / rows[:, None]
        ).T
        by_chance = squares_gold - 2 * mean_gold * mean_predicted + squares_predicted
        quotient = np.divide(squared, by_chance, out=np.ones_like(squared), where=by_chance > 1e-12)
        kappa = np.where(np.abs(1 - quotient) < 1e-12, 0.0, 1 - quotient)
        return {"quadratic_kappa": kappa, "rank_mae": distance, "off_by_one": near}


def _number(name: str) -> float | None:
    """The value of a label that is written as a number."""
    try:
        value = float(name)
    except ValueError:
        return None
    return value if isfinite(value) else None
