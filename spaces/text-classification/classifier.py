"""The classifier: its predictions for a text, and the words that mattered."""

import math
import os
import sys
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple


try:  # on ZeroGPU hardware this comes before torch; elsewhere there is no such package, or a folder of that name
    import spaces

    gpu = spaces.GPU
except (ImportError, AttributeError):

    def gpu(function: Callable[..., Any]) -> Callable[..., Any]:
        """Run the function where everything runs."""
        return function


import gradio as gr
import torch
from huggingface_hub import metadata_load, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from transformers import AutoModelForSequenceClassification, AutoTokenizer


MAX_CHARACTERS = 100_000  # of one text
_TOKENS_A_BATCH = 4_096 if torch.cuda.is_available() else 1_024  # (other requests wait for one of them)
_NO_LIMIT = 1_000_000  # tokens; tokenizers without a limit of their own state more
_POSITIONS_AFTER_PADDING = {"camembert", "data2vec-text", "longformer", "roberta", "xlm-roberta", "xlm-roberta-xl"}


def find_model() -> tuple[str, Path]:
    """The model's name, and the directory that its files lie in."""
    readme = Path(__file__).resolve().parent / "README.md"
    listed = ((metadata_load(readme) or {}).get("models") or []) if readme.is_file() else []
    name = os.environ.get("MODEL_ID") or (listed[0] if listed else "")
    if not name:
        sys.exit("There is no model. Set the variable MODEL_ID to a repository on the Hub or to a directory")
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser().resolve().name, Path(name).expanduser()
    try:
        files = ["*.json", "*.safetensors", "*.txt", "*.model", "README.md"]
        return name, Path(snapshot_download(name, allow_patterns=files))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as err:
        sys.exit(
            f"The model {name} cannot be read: {type(err).__name__}. Is the name right? A private model needs the secret "
            "HF_TOKEN, with a token that may read it"
        )


def load_model() -> tuple[Any, Any]:
    """Tokenizer and classifier, without remote code."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(FOLDER, trust_remote_code=False)
        model, info = AutoModelForSequenceClassification.from_pretrained(
            FOLDER, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
    except (OSError, ValueError) as err:
        sys.exit(f"The model {NAME} cannot be loaded: {err}")
    if info["missing_keys"] or len(tokenizer) <= len(tokenizer.all_special_ids):
        sys.exit(f"The model {NAME} is no finished classifier: its head or its tokenizer is missing")
    if model.config.num_labels == 1 and model.config.problem_type in (None, "regression"):
        return tokenizer, model.eval()
    if model.config.num_labels < 2 or len(set(model.config.id2label.values())) != model.config.num_labels:
        sys.exit(
            f"The model {NAME} is no classifier of at least two labels with different names: it has {model.config.num_labels}"
        )
    return tokenizer, model.eval()


def reading_limit() -> int:
    """How many tokens of a text the model reads: what its tokenizer states, as far as there are positions for them."""
    positions = getattr(model.config, "max_position_embeddings", None) or _NO_LIMIT
    if model.config.model_type in _POSITIONS_AFTER_PADDING:  # (these count from behind the id of the padding token)
        positions -= (model.config.pad_token_id or 0) + 1
    positions -= 2 if model.config.model_type == "mpnet" else 0
    own_limit = tokenizer.model_max_length
    return int(min(own_limit if 0 < own_limit < _NO_LIMIT else 512, positions))


def label_thresholds() -> list[float]:
    """The decision thresholds of a multi-label model; 0.5 where the configuration has none."""
    thresholds = getattr(model.config, "hfbertcls_thresholds", None)
    fits = isinstance(thresholds, list) and len(thresholds) == len(LABELS)
    if fits and all(isinstance(one, int | float) and 0 <= one <= 1 for one in thresholds):
        return [float(one) for one in thresholds]
    return [0.5] * len(LABELS)


def way_to_read() -> tuple[str, int, int]:
    """How long texts are read (truncate, head-tail or windows), at most so many windows, and their common tokens."""
    stated = getattr(model.config, "hfbertcls_long_text", None) or {"mode": "truncate"}
    try:
        mode, numbers = stated["mode"], [stated.get(key, 1) for key in ("max_windows", "overlap")]
        if mode not in ("truncate", "head-tail", "windows") or not all(
            type(one) is int and one >= 0 for one in numbers
        ):
            raise ValueError(mode)
    except (AttributeError, KeyError, TypeError, ValueError):
        sys.exit(
            f"The model {NAME} does not say how it reads long texts: hfbertcls_long_text in config.json is {stated!r}"
        )
    if mode == "windows" and not tokenizer.is_fast:
        sys.exit(f"The model {NAME} reads long texts in windows, which needs its tokenizer.json")
    return mode, max(1, numbers[0]), numbers[1]


NAME, FOLDER = find_model()
tokenizer, model = load_model()
if torch.cuda.is_available():
    model.to("cuda")
LABELS = [str(model.config.id2label[index]) for index in range(model.config.num_labels)]
MULTI = model.config.problem_type == "multi_label_classification"
NUMBER = len(LABELS) == 1
"""Whether the model predicts a number, which is its only logit."""
REVISION = FOLDER.name if FOLDER.parent.name == "snapshots" else ""
"""The commit of a model that was fetched from the Hub; empty for one in a directory."""
THRESHOLDS = dict(zip(LABELS, label_thresholds(), strict=True))
PAIRS = getattr(model.config, "hfbertcls_text_fields", None) == ["text", "text_pair"]
"""Whether the model reads pairs of texts."""
ORDER = "ordered " if getattr(model.config, "hfbertcls_ordered_labels", None) is True else ""
WHAT_IT_DOES = (
    f"Predicts a number from a {'pair of texts' if PAIRS else 'text'}"
    if NUMBER
    else f"Gives a {'pair of texts' if PAIRS else 'text'} any of {len(LABELS):,} labels, or none"
    if MULTI
    else f"Sorts {'pairs of texts' if PAIRS else 'texts'} into {len(LABELS):,} {ORDER}labels"
)
LIMIT = reading_limit()
MODE, MAX_WINDOWS, OVERLAP = way_to_read()
HEAD = max(1, LIMIT // 4)
"""Tokens from the beginning of a longer text in the mode head-tail."""
END = "last" if tokenizer.truncation_side == "left" else "first"
"""Which end of a longer text is read."""
PARTS = {
    "truncate": f"the {END} {LIMIT:,} tokens",
    "head-tail": f"the first {HEAD:,} and the last {LIMIT - HEAD:,} tokens",
    "windows": f"the {END} {MAX_WINDOWS:,} windows of {LIMIT:,} tokens",
}[MODE]
"""What is read of a longer text."""


# Requests run in parallel, but tokenizers and models are not thread-safe: a call without truncation changes the
# tokenizer for a parallel one. So texts are encoded one call at a time, and batches take turns in order of arrival. A
# short text waits for one batch of a long explanation, never for all of it.
_one_call = threading.Lock()
_turns = ThreadPoolExecutor(max_workers=1)

Texts = tuple[str, ...]
"""The text of a row, or both texts of a pair."""


class Row(NamedTuple):
    """What the model sees of a row; where each token stands: in which text, from where to where; tokens in all."""

    ids: list[int]
    types: list[int]
    places: list[tuple[int, int, int]]
    total: int

    def window(self, start: int) -> "Row":
        """The tokens of one pass."""
        return self._replace(ids=self.ids[start : start + LIMIT], types=self.types[start : start + LIMIT])

    def hiding(self, positions: Collection[int], mask: int) -> "Row":
        """The same with some tokens hidden from the model."""
        return self._replace(ids=[mask if index in positions else token for index, token in enumerate(self.ids)])


@gpu
def run_model(batches: list[list[Row]]) -> list[list[float]]:
    """Logits of each row, in fp32."""
    return [row for batch in batches for row in _turns.submit(run_batch, batch).result()]


def run_batch(batch: list[Row]) -> list[list[float]]:
    """Logits of rows that fit into one forward pass: of each row, the mean over its windows."""
    windows = [[row.window(start) for start in range(0, max(1, len(row.ids)), LIMIT)] for row in batch]
    logits = iter(run_windows([one for row in windows for one in row]))
    return [[sum(values) / len(row) for values in zip(*(next(logits) for _ in row), strict=True)] for row in windows]


def run_windows(batch: list[Row]) -> list[list[float]]:
    """Logits of rows of at most as many tokens as the model takes."""
    lengths = [len(row.ids) for row in batch]
    longest = max(lengths)
    padding = [tokenizer.pad_token_id or 0] * longest
    inputs = {"input_ids": torch.tensor([(row.ids + padding)[:longest] for row in batch])}
    if min(lengths) < longest:
        inputs["attention_mask"] = torch.tensor([[1] * length + [0] * (longest - length) for length in lengths])
    if PAIRS and all(row.types for row in batch):
        inputs["token_type_ids"] = torch.tensor([(row.types + [0] * longest)[:longest] for row in batch])
    with torch.inference_mode():
        return model(**{key: value.to(model.device) for key, value in inputs.items()}).logits.tolist()


def logits_of(rows: list[Row]) -> list[list[float]]:
    """Logits of rows of any length, in their order; rows of similar length go into one batch."""
    order = sorted(range(len(rows)), key=lambda position: len(rows[position].ids))
    batches: list[list[Row]] = []
    for position in order:
        if not batches or (len(batches[-1]) + 1) * len(rows[position].ids) > _TOKENS_A_BATCH:
            batches.append([])
        batches[-1].append(rows[position])
    by_position = dict(zip(order, run_model(batches), strict=True))
    return [by_position[position] for position in range(len(rows))]


def probabilities(logits: list[float]) -> dict[str, float]:
    """The probability of each label, the likeliest first."""
    values = torch.tensor(logits).double()
    values = values.sigmoid() if MULTI else values.softmax(0)
    return dict(sorted(zip(LABELS, values.tolist(), strict=True), key=lambda pair: -pair[1]))


def predicted_labels(scores: dict[str, float], thresholds: dict[str, float] = THRESHOLDS) -> list[str]:
    """The likeliest label; of a multi-label model those at or above their decision threshold, maybe none."""
    return [label for label, score in scores.items() if score >= thresholds[label]] if MULTI else [next(iter(scores))]


def refusal(message: str) -> gr.Error:
    """The error that the page and the API show."""
    return gr.Error(message, print_exception=False)


def is_blank(text: str) -> bool:
    """Whether there is nothing to be read in a text."""
    return not text.strip(" \t\r\n\f\v\u00a0\u200b\u200c\u200d\u2060\ufeff") or not text.strip()


def check_text(text: object, what: str = "text") -> str:
    """The text, if it is one that can be answered."""
    if not isinstance(text, str):
        raise refusal(f"Expected a {what} (a JSON string), not {type(text).__name__}.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise refusal(f"The {what} holds half a character (a lone surrogate).") from None
    if is_blank(text):
        raise refusal(f"There is no {what}. Enter one.")
    if len(text) > MAX_CHARACTERS:
        raise refusal(f"The {what} has {too_long(text)}.")
    return text


def check_pair(text: object, text_pair: object) -> Texts:
    """Both texts of a pair, if they are ones that can be answered."""
    return check_text(text, "first text"), check_text(text_pair, "second text")


def too_long(text: str) -> str:
    """The reason why a text is too long; empty if it is not."""
    return f"{len(text):,} characters; at most {MAX_CHARACTERS:,} are accepted" if len(text) > MAX_CHARACTERS else ""


def encode(rows: list[Texts]) -> list[Row]:
    """Texts, or pairs, as the model sees them; of a pair the longer text is truncated first."""
    if not rows:
        return []
    columns = [list(column) for column in zip(*rows, strict=True)]
    with _one_call:
        whole = tokenizer(*columns, verbose=False, return_offsets_mapping=tokenizer.is_fast)
        seen = [row_of(whole, position) for position in range(len(rows))]
        return [read_of(texts, row) if row.total > LIMIT else row for texts, row in zip(rows, seen, strict=True)]


def read_of(texts: Texts, row: Row) -> Row:
    """What the model reads of a text, or of a pair, that has more tokens than it takes at once."""
    if PAIRS:
        cut = tokenizer(
            *([text] for text in texts),
            truncation="longest_first",
            max_length=LIMIT,
            return_offsets_mapping=tokenizer.is_fast,
        )
        return row_of(cut, 0)._replace(total=row.total)
    if MODE == "head-tail":
        ids, places = ([*one[:HEAD], *one[HEAD - LIMIT :]] for one in (row.ids, row.places))
    else:
        ids, offsets = encode_windows(texts[0])
        places = [(0, *offset) for offset in offsets]
    return Row(ids, [], places, row.total)


def row_of(seen: Any, position: int) -> Row:
    """A row of what a tokenizer gave."""
    ids = seen["input_ids"][position]
    types = seen["token_type_ids"][position] if "token_type_ids" in seen else []
    return Row(ids, types, places_of(seen, position) if tokenizer.is_fast else [], len(ids))


def places_of(seen: Any, position: int) -> list[tuple[int, int, int]]:
    """Where each token of a row stands: in which text, from where to where; special tokens from 0 to 0."""
    texts = seen.sequence_ids(position)
    offsets = seen["offset_mapping"][position]
    return [(text, *offset) if text is not None else (0, 0, 0) for text, offset in zip(texts, offsets, strict=True)]


def encode_windows(text: str) -> list[list]:
    """Token ids and places of a long text: all windows that are read, one behind the other; one if it is truncated."""
    more = {"return_overflowing_tokens": True, "stride": OVERLAP} if MODE == "windows" else {}
    seen = tokenizer([text], truncation=True, max_length=LIMIT, return_offsets_mapping=tokenizer.is_fast, **more)
    parts = [seen["input_ids"], seen.get("offset_mapping") or []]
    return [[token for window in part[:MAX_WINDOWS] for token in window] for part in parts]


def tokens_read(row: list[int]) -> int:
    """How many tokens of a text were read; those that two windows share count once."""
    windows = -(-len(row) // LIMIT)
    return len(row) - max(0, windows - 1) * (OVERLAP + tokenizer.num_special_tokens_to_add())


def which_read(row: list[int]) -> str:
    """Which tokens of a longer text were read, in words."""
    seen = tokens_read(row)
    return f"first {HEAD:,} and last {seen - HEAD:,}" if MODE == "head-tail" else f"{END} {seen:,}"


def reading(row: list[int], total: int) -> str:
    """What was read, in words."""
    if total <= tokens_read(row):
        return f"All {total:,} tokens were read."
    which = f"Only {tokens_read(row):,}" if PAIRS else f"The {which_read(row)}"
    return f"{which} of {total:,} tokens were read; the rest was not."


def is_finite(logits: list[float]) -> bool:
    """Whether logits give an answer; NaN and infinity do not, and JSON has neither."""
    return all(map(math.isfinite, logits))


def check_logits(rows: list[list[float]]) -> list[list[float]]:
    """The logits, if they are finite."""
    if not all(map(is_finite, rows)):
        raise refusal(
            "The model computed NaN or infinity for this text, so there is no answer. Its weights may be damaged."
        )
    return rows


def classify(text: str) -> dict:
    """Classify a text.

    Returns label, scores (a probability for each label), logits, tokens_read, and note, which states what was not
    read. A multi-label model returns two more: labels, those at or above their decision threshold, the likeliest
    first, maybe none; and thresholds, one for each label. Its label is the likeliest one. A model of numbers returns
    number, tokens_read and note.
    """
    return classify_row((check_text(text),))


def classify_pair(text: str, text_pair: str) -> dict:
    """Classify a pair of texts.

    Returns label, scores (a probability for each label), logits, tokens_read, and note, which states what was not
    read. A multi-label model returns two more: labels, those at or above their decision threshold, the likeliest
    first, maybe none; and thresholds, one for each label. Its label is the likeliest one. A model of numbers returns
    number, tokens_read and note.
    """
    return classify_row(check_pair(text, text_pair))


def classify_row(texts: Texts) -> dict:
    """Classify a text, or a pair."""
    (row,) = encode([texts])
    (logits,) = check_logits(logits_of([row]))
    if NUMBER:
        return {"number": logits[0], "tokens_read": tokens_read(row.ids), "note": reading(row.ids, row.total)}
    scores = probabilities(logits)
    answer = {
        "label": next(iter(scores)),
        "scores": scores,
        "logits": dict(zip(LABELS, logits, strict=True)),
        "tokens_read": tokens_read(row.ids),
        "note": reading(row.ids, row.total),
    }
    return answer | ({"labels": predicted_labels(scores), "thresholds": dict(THRESHOLDS)} if MULTI else {})
