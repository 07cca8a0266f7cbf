"""The value that decides everything that depends on the kind of answer."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbertcls.tasks.baselined import Baselined
from hfbertcls.tasks.cells import Column
from hfbertcls.tasks.compared import Compared
from hfbertcls.tasks.counted import Counted
from hfbertcls.tasks.probabilities import Answers, Floats, Logits


if TYPE_CHECKING:
    import torch

Temperature = float | list[float]
"""One for all labels; one for each, in label order, where labels do not exclude each other."""


@dataclass(frozen=True)
class Task(Compared, Baselined):
    """What an answer to a text is.

    Gold and predicted answers of `n` rows are one array, in the form of the task. `logits` have the shape
    `(n, num_outputs)`.

    Args:
        labels: in the order of their ids; empty where an answer is no label.
    """

    name: ClassVar[str]
    """As `task.type` of a report and `--task` call it."""
    problem_type: ClassVar[str]
    """As `config.json` calls it; it decides which loss transformers computes."""
    kind: ClassVar[str]
    """For messages: what a model of this task predicts for a text."""
    column_kind: ClassVar[str]
    """For messages: what a row of the label column holds."""
    is_requested: ClassVar[bool] = False
    """Whether data are of this kind only if it is requested (`--task`), because they could be of another one too."""
    has_labels: ClassVar[bool] = True
    """Whether an answer consists of labels."""
    cells: ClassVar[pa.DataType]
    """Of the columns `label` and `prediction`."""
    learning_rate_factor: ClassVar[float] = 1.0
    smooths_labels: ClassVar[bool] = True
    """Whether label smoothing has a meaning."""
    weighs_labels: ClassVar[bool] = False
    """Whether class weights and the focal loss have a meaning, so that it has `balanced_weights` and `label_losses`."""
    why_no_prior: ClassVar[str] = "an answer is no label"
    """Why its logits cannot be adjusted to other class priors; empty where they can."""
    headline: ClassVar[str] = "f1_macro"
    """The metric on validation by which the best checkpoint is chosen."""
    curve_metric: ClassVar[str] = "accuracy"
    """The metric that `--learning-curve` draws over the number of rows: the accuracy, or an error with an interval."""
    judged_by: ClassVar[str] = "accuracy"
    """The metric whose paired difference decides whether one model is better than another."""
    metric_names: ClassVar[Mapping[str, str]]
    """The display name of each metric, in display order."""
    lower_is_better: ClassVar[frozenset[str]] = frozenset({"log_loss", "ece"})
    """The metrics for which lower is better."""
    judged_in_points: ClassVar[bool] = True
    """Whether that metric is shown in points (hundredths); else as it is."""
    key_metrics: ClassVar[tuple[str, ...]] = ("accuracy", "f1_macro")
    """The metrics that every split and baseline has, shown first."""
    states_probabilities: ClassVar[bool] = True
    """Whether an answer states probabilities, which can be calibrated."""
    slice_metrics: ClassVar[tuple[str, ...]] = ()
    """The metrics of slices; the first one, a proportion of rows or one with `influences`, ranks the slices."""
    fits_decision: ClassVar[bool] = False
    """Whether `fit_decision` has anything to fit."""
    is_one_label: ClassVar[bool] = False
    """Whether an answer is exactly one label."""
    abstains: ClassVar[bool] = False
    """Whether an answer has a score, so that the classifier can abstain below a threshold."""
    activation: ClassVar[str] = ""
    """The function from logits to probabilities, for the card."""
    answers_are_lists: ClassVar[bool] = False
    """Whether a pipeline answers a text with a list."""

    labels: tuple[str, ...]

    # The labels of a data set, the configuration of a model, the report

    @classmethod
    @abstractmethod
    def fits(cls, columns: Sequence[Column]) -> bool:
        """Whether this is the default task for such labels; `columns` are those of the splits."""

    @classmethod
    @abstractmethod
    def accepts(cls, columns: Sequence[Column]) -> bool:
        """Whether such labels can be of this task, if it is requested."""

    @classmethod
    def as_cells(cls, column: Column) -> Column:
        """A column that is accepted, with the type of the cells."""
        return column.cast(cls.cells)

    @classmethod
    def ordered(cls, names: Iterable[str]) -> tuple[str, ...] | None:
        """Labels whose order nobody declared, in the order of their ids; None: integers by value, else by name.

        Raises:
            ConfigurationError: if the order must be declared.
        """
        return None

    @classmethod
    def from_labels(cls, labels: Sequence[str]) -> Self:
        """The task of data with these labels."""
        return cls(tuple(labels))

    @classmethod
    @abstractmethod
    def from_config(cls, labels: Sequence[str], config: Any) -> Self:
        """The task of a model of this kind; see `task_of_config`.

        Raises:
            ModelError: if a value of the configuration does not fit.
        """

    @classmethod
    def from_report(cls, section: Mapping[str, Any]) -> Self:
        """The task of this kind that the section `task` of a report describes; see `task_of_report`."""
        return cls(tuple(section["labels"]))

    @classmethod
    def fault_in_report(cls, section: Mapping[str, Any]) -> str | None:
        """What is wrong with the section `task` of a report, beyond its shape; None if nothing is."""
        return "task.thresholds must be null: no label has one" if section.get("thresholds") is not None else None

    def configure(self, config: Any) -> None:
        """Make a configuration that of an uncalibrated model of this task."""
        config.id2label = dict(enumerate(self.output_names))
        config.label2id = {name: index for index, name in enumerate(self.output_names)}
        config.problem_type = self.problem_type

    def uncalibrated(self, temperature: Temperature) -> Self:
        """The task with the same answers when logits are multiplied by a temperature."""
        return self

    @classmethod
    def is_of_config(cls, problem_type: str | None, config: Mapping[str, Any]) -> bool:
        """Whether a configuration is one of a model of this kind; of several such kinds the last registered one is it.

        Args:
            problem_type: of the model; None where its configuration has none.
            config: all values of the configuration.
        """
        return problem_type == cls.problem_type

    config_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that `config_values` may have."""

    @property
    def config_values(self) -> dict[str, Any]:
        """Further values of `config.json` of a trained model."""
        return {}

    @property
    def report_values(self) -> dict[str, Any]:
        """Further values of `task` of a report."""
        return {}

    def in_order(self, ids: Sequence[int]) -> Self:
        """The task whose first label has the first of these ids, and so on."""
        return replace(self, labels=tuple(self.labels[index] for index in ids))

    def summary(self, *, are_pairs: bool = False) -> str:
        """What a model of this task does with texts, or with pairs of texts, in at most 60 characters."""
        return f"Sorts {'pairs of texts' if are_pairs else 'texts'} into {len(self.labels):,} labels"

    @property
    def num_outputs(self) -> int:
        """How many logits a row has."""
        return len(self.labels)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The name of each output in `config.json`: the labels, or `LABEL_0` and so on where an answer is no label."""
        return self.labels or tuple(f"LABEL_{index}" for index in range(self.num_outputs))

    # The column `label` of a split

    @abstractmethod
    def encode(self, column: Column) -> Answers:
        """The answers of a column of cells.

        Raises:
            DatasetError: if a cell names no label of the task.
        """

    @abstractmethod
    def decode(self, answers: Answers) -> list[Any]:
        """The cells of answers: what `encode` takes."""

    @abstractmethod
    def shown(self, answers: Answers) -> list[str]:
        """One short text for each answer."""

    @abstractmethod
    def loss_labels(self, answers: Answers) -> pa.Array:
        """The column `labels` of a tokenized split, as the loss takes it."""

    @abstractmethod
    def from_loss_labels(self, labels: Any) -> Answers:
        """The inverse of `loss_labels`, from a column or an array."""

    def support(self, answers: Answers) -> npt.NDArray[np.int64]:
        """Rows with each label, of shape `(num_labels,)`."""
        return np.array([int(self.has(answers, label).sum()) for label in range(len(self.labels))], dtype=np.int64)

    def has(self, answers: Answers, label: int) -> npt.NDArray[np.bool_]:
        """Which answers contain a label, of shape `(n,)`."""
        raise NotImplementedError(f"an answer of {self.name} contains no label")

    def similarity(self, answers: Answers) -> Floats:
        """How much two answers have in common, of shape `(n, n)`: shared labels / labels of either (Jaccard).

        1 for the same answer, also where both have no label; 0 where no label is shared.
        """
        has = np.stack([self.has(answers, label) for label in range(len(self.labels))], axis=1).astype(np.float64)
        shared = has @ has.T
        either = has.sum(axis=1)[:, None] + has.sum(axis=1) - shared
        return np.where(either == 0, 1.0, shared / np.maximum(either, 1.0))

    # Logits to answers

    @abstractmethod
    def probabilities(self, logits: Logits) -> Floats:
        """The probability or value of each output, of the shape of the logits."""

    @abstractmethod
    def decide(self, logits: Logits) -> Answers:
        """The predicted answers."""

    def fit_decision(self, gold: Answers, logits: Logits) -> Self:
        """The task with its decision fitted on these rows; itself where there is nothing to fit."""
        return self

    def with_threshold(self, threshold: float) -> Self:
        """The task with one decision threshold for every label."""
        return self

    def fit_temperature(self, gold: Answers, logits: Logits) -> Temperature | None:
        """The temperature with the smallest loss on these rows; None where none can be fitted."""
        return None

    def while_trained_on(self, gold: Answers, *, has_bias: bool = True) -> Self:
        """The task of a model while it is trained on these answers, whose logits may be standardized.

        Args:
            gold: the answers of the training rows.
            has_bias: whether the last layer of the model has a bias, so that logits can be centred.
        """
        return self

    @property
    def output_scale(self) -> tuple[float, float]:
        """By what the logits are multiplied, and what is added then, for those of a finished model."""
        return 1.0, 0.0

    def initial_probabilities(self, support: npt.NDArray[np.int64], rows: int) -> Floats | None:
        """The class priors that initialize a new head, from the rows of each label; None: as in transformers."""
        return None

    def loss(self, logits: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor | None":
        """The mean loss of a batch in training; None for the one that transformers computes for the `problem_type`.

        Args:
            logits: of shape `(batch, num_outputs)`.
            labels: as `loss_labels` returns them, of shape `(batch,)` or `(batch, num_outputs)`.
        """
        return None

    def balanced_weights(self, gold: Answers) -> Floats:
        """The class weights that let labels weigh the same, of shape `(num_labels,)` (`weighting.py`)."""
        raise NotImplementedError(f"{self.name} has no class weights")

    def label_losses(
        self,
        logits: "torch.Tensor",
        labels: "torch.Tensor",
        weights: "torch.Tensor | None",
        gamma: float,
        smooth: float,
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """The weighted training loss of each row and the weight of each row, both of shape `(n,)` (`weighting.py`)."""
        raise NotImplementedError(f"{self.name} has no class weights")

    @abstractmethod
    def row_losses(self, gold: Answers, logits: Logits) -> Floats:
        """The loss of each row, of shape `(n,)`."""

    # Metrics

    @property
    def in_brief(self) -> str:
        """The kind of task and its first labels, for a `repr`: `"single-label, labels: negative, positive"`."""
        labels = ", ".join(self.labels[:8]) + (f" and {len(self.labels) - 8:,} more" if len(self.labels) > 8 else "")
        return self.name.replace("_", "-") + (f", labels: {labels}" if labels else "")

    @property
    def metric_keys(self) -> tuple[str, ...]:
        """The keys of the metrics of these labels, in display order."""
        return tuple(self.metric_names)

    def metric_in_sentence(self, metric: str) -> str:
        """The name of a metric inside a sentence: `macro F1`, but `RMSE`."""
        name = self.metric_names[metric]
        return name if name[1:2].isupper() else f"{name[:1].lower()}{name[1:]}"

    @abstractmethod
    def answer_metrics(self, gold: Answers, predicted: Answers) -> dict[str, float]:
        """The metrics that follow from the answers alone."""

    def compute_metrics(self, gold: Answers, logits: Logits) -> dict[str, float | None]:
        """All metrics; None where one is undefined for these rows.

        Raises:
            ValueError: if there is no row.
        """
        if len(gold) == 0:
            raise ValueError("no rows: metrics of nothing are not defined. Pass at least one row")
        return self._compute_metrics(gold, logits)

    @abstractmethod
    def _compute_metrics(self, gold: Answers, logits: Logits) -> dict[str, float | None]:
        """`compute_metrics` of at least one row."""

    interval_methods: ClassVar[Mapping[str, str]] = {}
    """The method of a metric's interval, if not the bootstrap: `wilson`, `mean`, `calibration` or `ranking`; for a task
    with `influences`: `fisher`, `errors`, `root` or `unexplained`."""

    def count(self, gold: Answers, *predicted: Answers) -> Sequence[Counted]:
        """Rows counted by gold and all predicted answers: one value for each of `predicted`, with the same kinds."""
        raise NotImplementedError(f"the metrics of {self.name} do not follow from counts")

    def per_label(self, gold: Answers, predicted: Answers) -> list[dict[str, Any]]:
        """Precision, recall, F1 and support of each label, in label order."""
        return []

    def confusion_matrix(self, gold: Answers, predicted: Answers) -> list[list[int]] | None:
        """Rows by gold (first) and predicted label; None where an answer is not one label."""
        return None

    def statements(self, gold: Answers, probabilities: Floats) -> tuple[Floats, Answers]:
        """Probabilities of statements on a row, and 1 where a statement is true, both of shape `(n, statements)`."""
        raise NotImplementedError(f"the answers of {self.name} state no probabilities")

    def confidence(self, logits: Logits) -> Floats:
        """The confidence in each answer, from 0 to 1, of shape `(n,)`; for tasks that abstain."""
        raise NotImplementedError(f"an answer of {self.name} has no score")

    def constant_answer(self, answer: Any) -> str:
        """A sentence that every text gets the same answer, `answer` being a cell."""
        return f"Every text gets the answer {answer}"

    # Answers of a pipeline and of `predict`

    answer_columns: ClassVar[tuple[str, ...]]
    """Names of the columns of `answer_table`, in order."""

    @abstractmethod
    def answer_table(self, logits: Logits, abstain_below: float) -> dict[str, pa.Array]:
        """The columns of the output of `predict`, of shape `(n,)` each."""
