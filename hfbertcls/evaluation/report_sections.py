"""What the other sections of `report.json` hold, as types: the task, the model, the data, the card."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hfbertcls.data.long_text import TRUNCATE, LongText
from hfbertcls.data.readers.layout import Quoting
from hfbertcls.evaluation.json_form import Count, Rows, Section, Sha256, optional, optional_mapping
from hfbertcls.evaluation.report_evaluation import Metric


@dataclass(frozen=True, kw_only=True)
class TaskFacts(Section):
    """What an answer is, and how texts and answers stand in the data; `extra` holds the decision of the task."""

    type: str
    labels: tuple[str, ...]
    text_column: str | None
    text_pair_column: str | None
    label_column: str | tuple[str, ...] | None
    slice_column: str | None = optional()
    max_length: Count
    long_text: "LongTextFacts | None" = optional()
    truncation_side: Literal["right", "left"] = optional("right")
    label_separator: str | None = optional()
    quoting: Quoting = optional("auto")
    header: bool = optional(default=True)

    @property
    def reading(self) -> LongText:
        """How texts of more than `max_length` tokens are read."""
        one = self.long_text
        return TRUNCATE if one is None else LongText(one.mode, one.window, one.max_windows, one.overlap)

    @property
    def reads(self) -> str:
        """What is read of a text, as a part of a sentence: `the first 128 tokens`."""
        return self.reading.in_words(self.max_length, on_the_left=self.truncation_side == "left")


@dataclass(frozen=True, kw_only=True)
class LongTextFacts(Section):
    """How texts of more than `max_length` tokens are read; None in its place: they are truncated."""

    mode: Literal["head-tail", "windows"]
    window: Count
    max_windows: Count
    overlap: Count

    @classmethod
    def of(cls, long_text: LongText) -> "LongTextFacts | None":
        """The facts on a way to read; None for truncation."""
        if long_text.mode == "truncate":
            return None
        one = long_text
        return cls(mode=long_text.mode, window=one.window, max_windows=one.max_windows, overlap=one.overlap)


@dataclass(frozen=True, kw_only=True)
class ModelFacts(Section):
    """What was trained, and the SHA-256 of the files that decide an answer."""

    base_model: str
    base_model_is_hub_id: bool
    base_revision: str | None
    base_weights_sha256: Sha256 | None = optional()
    architecture: str | None = optional()
    pooling: Literal["first", "mean"] | None = optional()
    """Which vector the head reads: that of the first token, or the mean of all tokens."""
    num_parameters: Count
    weights_sha256: Sha256 | None
    files_sha256: Mapping[str, Sha256] = optional_mapping()
    exports: tuple["ExportFacts", ...] = optional(())


@dataclass(frozen=True, kw_only=True)
class ExportFacts(Section):
    """A file for another run-time, and how its answers compare with those of the weights."""

    file: str
    precision: str
    bytes: Count
    original_bytes: Count | None
    sha256: Sha256
    agreement: "AgreementFacts"


@dataclass(frozen=True, kw_only=True)
class AgreementFacts(Section):
    """How an export compares with the weights on the same rows."""

    split: str | None
    rows: Count
    same_label: float | None = optional()
    largest_difference: float | None = optional()
    accuracy: float | None = optional()
    original_accuracy: float | None = optional()
    accuracy_difference: Metric | None = optional()
    f1_macro: float | None = optional()
    original_f1_macro: float | None = optional()
    texts_per_second: float | None = optional()
    original_texts_per_second: float | None = optional()
    metrics: Mapping[str, float] = optional_mapping()
    original_metrics: Mapping[str, float] = optional_mapping()
    changes: Mapping[str, float] = optional_mapping()
    """The largest and the mean difference of numbers, in their unit, and its root mean square in their standard deviations."""


@dataclass(frozen=True, kw_only=True)
class SplitFacts(Section):
    """The rows of a split: how many were read, dropped and used, and which they are."""

    rows: Rows
    rows_read: Count
    dropped: Mapping[str, Count]
    sha256: str | None
    rows_sha256: str | None = optional()
    label_counts: Mapping[str, Count]
    truncated_rows: Count | None
    longest_tokens: Count | None = optional()
    unknown_token_share: float | None


@dataclass(frozen=True, kw_only=True)
class FindingFacts(Section):
    """One finding of the doctor."""

    code: str
    severity: str
    message: str = optional("")
    fact: str


@dataclass(frozen=True, kw_only=True)
class DoctorFacts(Section):
    """The findings of the doctor."""

    findings: tuple[FindingFacts, ...] = optional(())


@dataclass(frozen=True, kw_only=True)
class DataFacts(Section):
    """Where the rows come from, how they were split, and duplicates in them."""

    source: str
    is_hub_id: bool
    config: str | None
    revision: str | None
    split_method: str
    split_seed: Count | None = optional()
    split_by: str | None = optional()
    notes: tuple[str, ...]
    overlap: Mapping[str, Count] = optional_mapping()
    duplicate_rows: Mapping[str, Count] = optional_mapping()
    conflicting_texts: Mapping[str, Count] = optional_mapping()
    splits: Mapping[str, SplitFacts]
    doctor: DoctorFacts = optional(DoctorFacts())


@dataclass(frozen=True, kw_only=True)
class Example(Section):
    """A row with its text, published because its author asked for it."""

    row: Count
    text: str
    text_pair: str | None = optional()
    label: str
    prediction: str


@dataclass(frozen=True, kw_only=True)
class CardFacts(Section):
    """Facts from the author, the ids of the model and its Space, and the output of the call on the card."""

    title: str | None = optional()
    license: str | None = optional()
    language: str | tuple[str, ...] | None = optional()
    base_model: str | None = optional()
    """The encoder's id on the Hub, where it was read from a directory."""
    intended_use: str | None = optional()
    limitations: str | None = optional()
    contact: str | None = optional()
    citation: str | None = optional()
    widget: tuple[str, ...] | None = optional()
    renderer: str | None = optional()
    repo_id: str | None = optional()
    space_id: str | None = optional()
    usage_model: str | None = optional()
    usage_revision: str | None = optional()
    usage_text: str | None = optional()
    usage_text_pair: str | None = optional()
    """The second text, where the model reads pairs."""
    usage_output: tuple[Any, ...] = optional(())
    examples: tuple[Example, ...] = optional(())
