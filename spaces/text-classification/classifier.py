"""The classifier: its predictions for a text, and the words that mattered."""

import math
import os
import re
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


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
MAX_WORDS = 200  # that are explained; each costs a forward pass
_TOKENS_A_BATCH = 4_096 if torch.cuda.is_available() else 1_024  # (other requests wait for one of them)
_NO_LIMIT = 1_000_000  # tokens; tokenizers without a limit of their own state more
_MARKS = "".join(chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M")
_IN_WORD = rf"[\w{_MARKS}\u200b-\u200d]"  # with accents and joiners that stand by themselves
_WORD = re.compile(
    rf"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|{_IN_WORD}+(?:['\u2019\-]{_IN_WORD}+)*|[^\w\s](?:[\u200d\ufe0f]+[^\w\s]?)*"
)
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
THRESHOLDS = dict(zip(LABELS, label_thresholds(), strict=True))
WHAT_IT_DOES = (
    "Predicts a number from a text"
    if NUMBER
    else f"Gives a text any of {len(LABELS)} labels, or none"
    if MULTI
    else f"Sorts texts into {len(LABELS)} labels"
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


@gpu
def run_model(batches: list[list[list[int]]]) -> list[list[float]]:
    """Logits of each row of token ids, in fp32."""
    return [row for batch in batches for row in _turns.submit(run_batch, batch).result()]


def run_batch(batch: list[list[int]]) -> list[list[float]]:
    """Logits of rows that fit into one forward pass: of each row, the mean over its windows."""
    windows = [[row[start : start + LIMIT] for start in range(0, max(1, len(row)), LIMIT)] for row in batch]
    logits = iter(run_windows([one for row in windows for one in row]))
    return [[sum(values) / len(row) for values in zip(*(next(logits) for _ in row), strict=True)] for row in windows]


def run_windows(batch: list[list[int]]) -> list[list[float]]:
    """Logits of rows of at most as many tokens as the model takes."""
    longest = max(map(len, batch))
    ids = torch.tensor([row + [tokenizer.pad_token_id or 0] * (longest - len(row)) for row in batch])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in batch])
    full = all(len(row) == longest for row in batch)
    inputs = {"input_ids": ids} if full else {"input_ids": ids, "attention_mask": mask}
    with torch.inference_mode():
        return model(**{key: value.to(model.device) for key, value in inputs.items()}).logits.tolist()


def logits_of(rows: list[list[int]]) -> list[list[float]]:
    """Logits of rows of any length, in their order; rows of similar length go into one batch."""
    order = sorted(range(len(rows)), key=lambda position: len(rows[position]))
    batches: list[list[list[int]]] = []
    for position in order:
        if not batches or (len(batches[-1]) + 1) * len(rows[position]) > _TOKENS_A_BATCH:
            batches.append([])
        batches[-1].append(rows[position])
    by_position = dict(zip(order, run_model(batches), strict=True))
    return [by_position[position] for position in range(len(rows))]


def probabilities(logits: list[float]) -> dict[str, float]:
    """The probability of each label, the likeliest first."""
    values = torch.tensor(logits).double()
    values = values.sigmoid() if MULTI else values.softmax(0)
    return dict(sorted(zip(LABELS, values.tolist(), strict=True), key=lambda pair: -pair[1]))


def predicted_labels(scores: dict[str, float]) -> list[str]:
    """The likeliest label; of a multi-label model those at or above their decision threshold, maybe none."""
    return [label for label, score in scores.items() if score >= THRESHOLDS[label]] if MULTI else [next(iter(scores))]


def refusal(message: str) -> gr.Error:
    """The error that the page and the API show."""
    return gr.Error(message, print_exception=False)


def is_blank(text: str) -> bool:
    """Whether there is nothing to be read in a text."""
    return not text.strip(" \t\r\n\f\v\u00a0\u200b\u200c\u200d\u2060\ufeff") or not text.strip()


def check_text(text: object) -> str:
    """The text, if it is one that can be answered."""
    if not isinstance(text, str):
        raise refusal(f"Expected a text (a JSON string), not {type(text).__name__}.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise refusal("The text holds half a character (a lone surrogate).") from None
    if is_blank(text):
        raise refusal("There is no text. Enter one.")
    if len(text) > MAX_CHARACTERS:
        raise refusal(f"The text has {too_long(text)}.")
    return text


def too_long(text: str) -> str:
    """The reason why a text is too long; empty if it is not."""
    return f"{len(text):,} characters; at most {MAX_CHARACTERS:,} are accepted" if len(text) > MAX_CHARACTERS else ""


def encode(texts: list[str]) -> tuple[list[list[int]], list[list[tuple[int, int]]], list[int]]:
    """Of each text: the token ids that the model sees, where they stand in it, and how many tokens it has in all."""
    if not texts:
        return [], [], []
    with _one_call:
        whole = tokenizer(texts, verbose=False, return_offsets_mapping=tokenizer.is_fast)
        rows, places = list(whole["input_ids"]), list(whole.get("offset_mapping") or [[] for _ in texts])
        totals = [len(ids) for ids in rows]
        for position in [position for position, total in enumerate(totals) if total > LIMIT]:
            if MODE == "head-tail":
                read = [[*one[:HEAD], *one[HEAD - LIMIT :]] for one in (rows[position], places[position])]
            else:
                read = encode_windows(texts[position])
            rows[position], places[position] = read
    return rows, places, totals


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
    return f"The {which_read(row)} of {total:,} tokens were read; the rest was not."


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
    rows, _, (total,) = encode([check_text(text)])
    (logits,) = check_logits(logits_of(rows))
    if NUMBER:
        return {"number": logits[0], "tokens_read": tokens_read(rows[0]), "note": reading(rows[0], total)}
    scores = probabilities(logits)
    answer = {
        "label": next(iter(scores)),
        "scores": scores,
        "logits": dict(zip(LABELS, logits, strict=True)),
        "tokens_read": tokens_read(rows[0]),
        "note": reading(rows[0], total),
    }
    return answer | ({"labels": predicted_labels(scores), "thresholds": dict(THRESHOLDS)} if MULTI else {})


def lead(logits: list[float], label: int) -> float:
    """How far a label is ahead of the next one, in logits; multi-label: ahead of its decision threshold; or the number."""
    if NUMBER:
        return logits[label]
    if MULTI:
        # The logits of the scores 0 and 1 are infinite, which JSON lacks; eps is where the sigmoid becomes 1.
        threshold = torch.tensor(THRESHOLDS[LABELS[label]], dtype=torch.float64)
        return logits[label] - float(torch.logit(threshold, eps=2.0**-53))
    others = [value for index, value in enumerate(logits) if index != label]
    return logits[label] - max(others)


def explain(text: str) -> dict:
    """Hide one word after the other from the model, and see how far the lead of its label falls, in logits.

    Returns label, lead, note, and words: word, start, end and value of each. A value above 0 speaks for the label.
    Words that only matter together are not found like this. For a multi-label model the label is the likeliest one,
    and its lead is measured from the logit of its decision threshold: below 0, the label is not predicted. A model of
    numbers has number in place of label and lead; a value above 0 raises the number.
    """
    (ids,), (places,), (total,) = encode([check_text(text)])
    note = reading(ids, total)
    hidden = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.unk_token_id
    if hidden is None or not places:
        raise refusal("This model's tokenizer cannot tell where its tokens stand in the text.")
    words, rows = [], [ids]
    read = max(end for _, end in places)
    for match in _WORD.finditer(text, 0, read):
        if all(unicodedata.category(letter)[0] in "PMC" for letter in match[0]):
            continue
        inside = [i for i, (start, end) in enumerate(places) if start < match.end() and end > match.start()]
        if inside:
            words.append(match)
            rows.append([hidden if index in inside else token for index, token in enumerate(ids)])
    if len(words) > MAX_WORDS:
        note += f" The first {MAX_WORDS} of {len(words):,} words were explained."
        words, rows = words[:MAX_WORDS], rows[: MAX_WORDS + 1]
    logits = check_logits(logits_of(rows))
    label = max(range(len(LABELS)), key=lambda index: logits[0][index])
    whole = lead(logits[0], label)
    values = [whole - lead(row, label) for row in logits[1:]]
    return {
        **({"number": whole} if NUMBER else {"label": LABELS[label], "lead": whole}),
        "words": [
            {"word": word[0], "start": word.start(), "end": word.end(), "value": value}
            for word, value in zip(words, values, strict=True)
        ],
        "note": note,
    }
