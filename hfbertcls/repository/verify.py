"""Deriving a model repository again: metrics from predictions, card from report, hashes from bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hfbertcls.environment import local_path
from hfbertcls.errors import ModelError, OutputDirectoryError, listing
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_evaluation import CROSS_VALIDATION
from hfbertcls.progress import work
from hfbertcls.repository.card import Fence
from hfbertcls.repository.card_metadata import split_card
from hfbertcls.repository.stated_files import CARD, read_report, stated_files
from hfbertcls.repository.verify_card import card_differences, numbers_outside
from hfbertcls.repository.verify_files import (
    configuration_differences,
    hash_differences,
    names_in,
    unstated,
)
from hfbertcls.repository.verify_metrics import derive_metrics


TRUNCATED_PREDICTIONS = "the predictions where long texts are truncated"
FROZEN_BASELINE = "the predictions of the frozen-encoder baseline"
"""A claim: the files of a model do not hold its encoder before training."""


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    Args:
        differences: what differs from the report or the card.
        missing: what could not be derived because a file is missing.
        unchecked: files that the report does not state.
        notes: further remarks.
        values: how many values were derived again.
        files: how many files were checked by their SHA-256.
        unproven: what the author states without proof.
        rescored: which splits the model was run on again.
    """

    differences: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    values: int = 0
    files: int = 0
    unproven: tuple[str, ...] = ()
    rescored: tuple[str, ...] = ()

    def __repr__(self) -> str:
        counts = {name: len(getattr(self, name)) for name in ("differences", "missing", "unchecked")}
        lines = [f"differs: {line}" for line in self.differences[:5]] + [
            f"missing: {line}" for line in self.missing[:5]
        ]
        summary = "".join(f", {name}: {count:,}" for name, count in counts.items() if count)
        head = f"{type(self).__name__}(holds={self.holds}{summary}; {self.values:,} values and {self.files:,} files checked)"
        return "\n".join([head, *lines])

    @property
    def holds(self) -> bool:
        """Whether nothing differs and nothing that is stated was missing."""
        return not self.differences and not self.missing

    @property
    def verdict(self) -> str:
        """What was checked, the result, and what was not checked, one sentence each."""
        checked = f"{self.values:,} values derived again, {self.files:,} files by their SHA-256, the card line by line"
        lines = [f"Checked: {checked}."]
        if self.differences:
            lines.append(f"NOT verified: {len(self.differences):,} of the things that were checked differ.")
        elif self.missing:
            lines.append("NOT verified: what was checked holds, but what is missing above could not be derived.")
        elif self.unchecked or self.notes:
            lines.append("What report.json states holds, as far as these files can show.")
        else:
            lines.append("All of it holds.")
        if self.unchecked:
            count = len(self.unchecked)
            lines.append(
                f"Not checked: {count:,} {'file that' if count == 1 else 'files that'} report.json does not state "
                f"({listing(self.unchecked)})."
            )
        if self.unproven:
            lines.append(f"Not checked, stated by the author alone: {'; '.join(self.unproven)}.")
        lines.append("This shows that the files belong together. It does not show who made them.")
        return "\n".join(lines)


@work("Deriving the metrics again")
def verify_directory(
    directory: str | Path, *, predictions: bool = True, names: Sequence[str] | None = None
) -> Verification:
    """Derive report and card of a model repository again, and compare all hashes. Nothing is run, nothing is fetched.

    It proves that the files belong together, not who made them.

    Args:
        directory: a model repository that hfbertcls wrote.
        predictions: False accepts missing predictions.
        names: the files of the repository, if the directory has others too; None takes all.

    Raises:
        ModelError: if it has no report or no card of hfbertcls, or its report is damaged.
    """
    folder = local_path(directory)
    return verified(folder, folder.resolve().name, names or names_in(folder), predictions=predictions)


def verified(folder: Path, name: str, names: Sequence[str], *, predictions: bool) -> Verification:
    """`verify_directory` of a folder that messages call `name` and that holds `names`."""
    report, card = read_stated(folder, name)
    fence = Fence.find(split_card(card)[1])
    if fence is None:
        raise ModelError(f"README.md of {name!r} has no part that hfbertcls generated: nothing to verify")
    derived = derive_metrics(folder, report)
    differences = [
        *hash_differences(folder, report, fence.report_sha256, names),
        *configuration_differences(folder, report),
        *derived.differences,
        *card_differences(card, fence, report),
    ]
    outside = numbers_outside(card, fence)
    left_out = tuple(derived.missing)
    return Verification(
        differences=tuple(dict.fromkeys(differences)),
        missing=left_out if predictions else (),
        unchecked=tuple(unstated(report, names)),
        notes=(
            *([] if outside is None else [outside]),
            *([] if predictions else [f"not asked for: {line}" for line in left_out]),
        ),
        values=derived.values,
        files=sum((folder / file).is_file() for file in stated_files(report)) + 1,
        unproven=tuple(_unproven(report)),
    )


def _unproven(report: Report) -> list[str]:
    """Statements of a report that no file can prove."""
    training = report.training
    claims = ["how and how fast the model was trained", "which data it was trained on"]
    baselines = [one for entry in report.evaluation.values() for one in (entry.baselines or {}).values()]
    if any(one.pooling is not None for one in baselines):
        claims.append(FROZEN_BASELINE)
    if any(entry.truncated is not None for entry in report.evaluation.values()):
        claims.append(TRUNCATED_PREDICTIONS)
    if CROSS_VALIDATION in report.evaluation:
        claims.append("the predictions of cross-validation")
    if training is not None and training.seeds is not None:
        claims.append("the metrics of the runs that are not shipped")
    if training is not None and training.learning_curve is not None:
        claims.append("the runs on fewer rows")
    if report.model.exports:
        claims.append("how far the exports agree")
    if any(entry.bf16_agreement is not None for entry in report.evaluation.values()):
        claims.append("how often bf16 agrees")
    return claims


def read_stated(folder: Path, name: str) -> tuple[Report, str]:
    """Report and card of a folder that messages call `name`.

    Raises:
        ModelError: if one of them is not there, or damaged.
    """
    try:
        report = read_report(folder)
        return report, (folder / CARD).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, OutputDirectoryError) as err:
        cause = err.__cause__ if isinstance(err, OutputDirectoryError) and err.__cause__ is not None else err
        reason = str(cause) if isinstance(cause, ValueError) else type(cause).__name__
        raise ModelError(
            f"{name!r} is no model repository of hfbertcls: report.json and README.md are needed ({reason})"
        ) from err
