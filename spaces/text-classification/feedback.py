"""Feedback of visitors: rows of a data set on the Hub, if the variable FEEDBACK_DATASET names one."""

import datetime
import json
import math
import os
import shutil
import sys
import tempfile
import uuid
from pathlib import Path

from huggingface_hub import CommitScheduler, HfApi, get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from about import plain
from answers import Shown, digest_of
from classifier import LABELS, MULTI, NAME, NUMBER, PAIRS, REVISION, Texts, check_pair, check_text, refusal


MAX_ROWS, MAX_BYTES = 10_000, 100_000_000  # that one process takes
NONE_OF_THEM = "(none of these)"  # a choice for multi-label models
_MINUTES = 5  # between two pushes
_TEXT_COLUMNS = ("text", "text_pair")
_Right = str | list[str] | None


class Feedback:
    """The rows of this process: a JSON Lines file, which is pushed to the data set every few minutes.

    Args:
        dataset: on the Hub; it is made, private, if it is not there.

    Raises:
        Exception: whatever the client raises if the data set cannot be made or written to.
    """

    def __init__(self, dataset: str) -> None:
        api = HfApi()
        api.create_repo(dataset, repo_type="dataset", private=True, exist_ok=True)
        api.auth_check(dataset, repo_type="dataset", write=True)
        self.dataset = dataset
        self.is_private = bool(api.dataset_info(dataset).private)
        self.folder = Path(tempfile.mkdtemp(prefix="feedback-"))
        self.file = self.folder / f"{uuid.uuid4()}.jsonl"
        self.num_rows = self.num_bytes = 0
        self.last = b""
        self.scheduler = CommitScheduler(
            repo_id=dataset, repo_type="dataset", folder_path=self.folder, path_in_repo="feedback", every=_MINUTES
        )

    def what_is_stored(self) -> str:
        """What is stored and where, in Markdown."""
        texts = "both texts" if PAIRS else "the text"
        prediction = "the prediction by the model's own thresholds" if MULTI else "the prediction"
        right = "the right number" if NUMBER else "the right labels" if MULTI else "the right label"
        where = f"the private data set {plain(self.dataset)}"
        where = where if self.is_private else f"the data set {plain(self.dataset)}, which anyone can read"
        return (
            f"Send stores {texts}, {prediction}, {right}, the model with its revision, and the date. They go to {where}, on "
            "the Hugging Face Hub. Nothing about you is stored."
        )

    def store(self, shown: Shown | None, texts: Texts, right: _Right) -> str:
        """Store what the page shows and what would be right.

        Args:
            shown: the answer that this page was given.
            texts: on the page.
            right: the label, the labels or the number, as it was typed, that would be right.

        Returns:
            What came of it.
        """
        texts = check_pair(*texts) if PAIRS else (check_text(*texts),)
        if shown is None or shown.digest != digest_of(texts):
            raise refusal("The page shows no answer to this text. Ask for one first.")
        row = dict(zip(_TEXT_COLUMNS, texts, strict=False)) | {"label": checked(right), "prediction": shown.prediction}
        if not NUMBER:
            row["score"] = shown.score
        row |= {"model": NAME, "revision": REVISION, "date": datetime.datetime.now(datetime.UTC).date().isoformat()}
        line = f"{json.dumps(row, ensure_ascii=False)}\n".encode()
        with self.scheduler.lock:
            if line == self.last:
                return "This was stored already."
            if self.num_rows >= MAX_ROWS or self.num_bytes + len(line) > MAX_BYTES:
                raise refusal("No more feedback is taken: this page has stored as much as it may.")
            with self.file.open("ab") as file:
                file.write(line)
            self.num_rows, self.num_bytes, self.last = self.num_rows + 1, self.num_bytes + len(line), line
        return "Stored. Thank you."

    def close(self) -> None:
        """Push what was not pushed yet; rows that the Hub does not take stay on the disk."""
        try:
            self.scheduler.trigger().result()
        except Exception as err:  # noqa: BLE001  (whatever the client or its transport raise)
            sys.stderr.write(f"Feedback was not sent: {type(err).__name__}. It lies in {self.file}\n")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.scheduler.stop()


def checked(right: _Right) -> str | list[str] | float:
    """The label, the labels or the number, if the model could give it."""
    if NUMBER:
        try:
            number = float(right)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise refusal("There is no right number. Enter one, such as 3.5.")
        return number
    if not right:
        raise refusal("There is no right label. Choose one.")
    if not MULTI:
        if right not in LABELS:
            raise refusal("The model has no such label. Choose one of its labels.")
        return right
    if right == [NONE_OF_THEM] and NONE_OF_THEM not in LABELS:
        return []
    if not isinstance(right, list) or not set(right) <= set(LABELS):
        raise refusal(f"Choose labels of the model, or {NONE_OF_THEM} alone.")
    return [label for label in LABELS if label in right]


def open_feedback() -> Feedback | None:
    """The place for feedback, if one is configured and can be written to; else the log says why there is none."""
    dataset = os.environ.get("FEEDBACK_DATASET")
    if not dataset:
        return None
    if not is_dataset_name(dataset):
        return without(f"FEEDBACK_DATASET is {dataset!r}. Expected USER/NAME of a data set on the Hub")
    if get_token() is None:
        return without(f"there is no token. Put one that may write to the data set {dataset} into the secret HF_TOKEN")
    try:
        return Feedback(dataset)
    except Exception as err:  # noqa: BLE001  (whatever the client or its transport raise: the demo goes on)
        status = getattr(getattr(err, "response", None), "status_code", None)
        reason = f"the Hub answered {status}" if status else type(err).__name__
        return without(
            f"the data set {dataset} cannot be written to ({reason}). Does the secret HF_TOKEN hold a token that may?"
        )


def is_dataset_name(name: str) -> bool:
    """Whether the Hub accepts a name, and it has its namespace."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1


def without(reason: str) -> None:
    """Say in the log why no feedback is taken."""
    sys.stderr.write(f"No feedback is taken: {reason}\n")
