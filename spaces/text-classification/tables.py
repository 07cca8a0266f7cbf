"""A file with texts, and the same with a label for each row."""

import collections
import csv
import io
import itertools
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import gradio as gr

from about import text_columns
from classifier import (
    LIMIT,
    MAX_CHARACTERS,
    MULTI,
    NUMBER,
    PAIRS,
    PARTS,
    Texts,
    encode,
    is_blank,
    is_finite,
    logits_of,
    predicted_labels,
    probabilities,
    refusal,
    tokens_read,
    too_long,
    which_read,
)


MAX_FILE, MAX_ROWS = "5mb", 20_000
SHOWN_ROWS = 100
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # (the last four are wide)
_MAX_COLUMNS, _MAX_NAME = 1_000, 200  # columns, and characters of the name of one
_KEPT = 600  # seconds that our copy of a result lies on the disk; gradio serves its own
_NO_TEXT = "no text"
_NO_SCORE = "the model computed NaN or infinity"
_NO_LABEL = "no label reaches its threshold"
_CHUNK = 512  # rows between two steps of the progress bar
csv.field_size_limit(10_000_000)  # (of this process; a file is smaller)


class Answer(NamedTuple):
    """The answer to a row: its label; multi-label: all predicted labels, the likeliest first; a number is a score."""

    labels: list[str]
    scores: list[float]
    note: str
    was_cut: bool = False
    was_refused: bool = False

    def cells(self) -> list[str]:
        """Label, score and note, as in the file; multi-label answers are joined. A number, and the note."""
        if NUMBER:
            return ["".join(f"{number:.7g}" for number in self.scores), self.note]
        return ["; ".join(self.labels), "; ".join(f"{score:.6f}" for score in self.scores), self.note]


def read_table(path: object) -> tuple[list[str], list[list[str]], str]:
    """Header, rows and delimiter of a CSV or TSV file, every cell as it is written."""
    if not isinstance(path, str):
        raise refusal("There is no file. Choose a CSV or TSV file.")
    try:
        content = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise refusal(
            f"The file is no text in UTF-8 (byte {err.start:,}). In a spreadsheet, save it as 'CSV UTF-8'."
        ) from None
    if "\0" in content:
        raise refusal("The file holds bytes that are no text (NUL). Save it as 'CSV UTF-8'.")
    content = content.replace("\r\n", "\n").replace("\r", "\n")
    first = re.sub(r'"[^"]*"', "", content.partition("\n")[0])
    delimiter = "\t" if path.lower().endswith(".tsv") else max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(content.rstrip("\n")), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        check_header(header)
        rows = list(itertools.islice(reader, MAX_ROWS))
        count = len(rows) + sum(1 for _ in reader)
    except csv.Error as err:
        raise refusal(f"The file is no well-formed CSV: {err}.") from None
    if not any(header) or not rows:
        raise refusal("The file has no rows below its header.")
    if count > MAX_ROWS:
        raise refusal(f"The file has {count:,} rows; at most {MAX_ROWS:,} are accepted.")
    rows = [row or [""] * len(header) for row in rows]  # (an empty line is an empty text)
    ragged = next((number for number, row in enumerate(rows, 1) if len(row) != len(header)), None)
    if ragged is not None:
        raise refusal(f"Row {ragged:,} has {len(rows[ragged - 1])} cells where the header has {len(header)}.")
    return header, rows, delimiter


def check_header(header: list[str]) -> None:
    """Raise an error for names that no page can show."""
    if len(header) > _MAX_COLUMNS:
        raise refusal(f"The file has {len(header):,} columns; at most {_MAX_COLUMNS:,} are accepted.")
    for number, name in enumerate(header, 1):
        if len(name) > _MAX_NAME:
            raise refusal(
                f"The name of column {number:,} has {len(name):,} characters; at most {_MAX_NAME:,} are accepted. "
                "Is the first line of the file a header?"
            )


def likely_columns(header: list[str], rows: list[list[str]]) -> list[str]:
    """The columns that the model was trained on (one, or two for pairs); in a file without them, the longest texts.

    Of a file with one column both texts of a pair would be that column.
    """
    count = 2 if PAIRS else 1
    trained_on = text_columns()
    if len(trained_on) == count and set(trained_on) <= set(header):
        return trained_on
    longest = sorted(range(len(header)), key=lambda index: -sum(len(row[index]) for row in rows))[:count]
    return [header[index] for index in sorted(longest)] + [header[0]] * (count - len(longest))


def safe_cell(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if not cell.lstrip("\x00\ufeff\u00a0 ").startswith(_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def parts(rows: list[Texts]) -> Iterator[list[Texts]]:
    """The texts in order, in parts that are quick to encode and fit into memory."""
    part: list[Texts] = []
    characters = 0
    for texts in rows:
        size = sum(map(len, texts))
        if part and (len(part) == _CHUNK or characters + size > MAX_CHARACTERS):
            yield part
            part, characters = [], 0
        part.append(texts)
        characters += size
    yield part


def classify_file(file: str, column: str, progress: gr.Progress = gr.Progress()) -> tuple[str, list[list[str]], str]:  # noqa: B008
    """Classify each row of a CSV or TSV file (with a header, UTF-8).

    Returns the file with the columns predicted_label, predicted_score and note added, the first rows, and a summary.
    A text that is empty, too long, or without a finite score gets no label; the note states why. A multi-label model
    has all predicted labels in predicted_label, joined by "; ", and their scores in predicted_score likewise. A model
    of numbers adds predicted_number and note.
    """
    return classify_table(file, [column], progress)


def classify_file_of_pairs(
    file: str,
    column: str,
    column_pair: str,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[str, list[list[str]], str]:
    """Classify each row of a CSV or TSV file (with a header, UTF-8): the pair of texts in two columns.

    Returns the file with the columns predicted_label, predicted_score and note added, the first rows, and a summary.
    A pair with a text that is empty or too long, or without a finite score gets no label; the note states why. A
    multi-label model has all predicted labels in predicted_label, joined by "; ", and their scores in predicted_score
    likewise.
    """
    return classify_table(file, [column, column_pair], progress)


def classify_table(file: str, columns: list[str | None], progress: gr.Progress) -> tuple[str, list[list[str]], str]:
    """Classify the texts in one column of a file, or the pairs in two; None: the likely column."""
    header, rows, delimiter = read_table(file)
    places = []
    for column, likely in zip(columns, likely_columns(header, rows), strict=True):
        if column is not None and not isinstance(column, str):
            raise refusal(f"Expected the name of a column, not {type(column).__name__}.")
        name = likely if column is None else column
        if header.count(name) != 1:
            raise refusal(
                f"The file has {header.count(name) or 'no'} column{'s' * (header.count(name) > 1)} {name[:_MAX_NAME]!r}. "
                f"Its columns: {', '.join(header[:20])}{', …' if len(header) > 20 else ''}."
            )
        places.append(header.index(name))
    if len(set(places)) < len(places):
        raise refusal("Both texts of the pairs would be the same column. Name two columns.")
    texts: list[Texts] = [tuple(row[place] for place in places) for row in rows]
    answers: list[Answer] = []
    for part in parts(texts):
        progress((len(answers), len(texts)), desc=f"{len(texts):,} rows", unit="rows")
        answers += classify_rows(part)
    ours = ("predicted_number", "note") if NUMBER else ("predicted_label", "predicted_score", "note")
    titles = [*header, *(f"{name} (new)" if name in header else name for name in ours)]
    table = [titles, *([*row, *answer.cells()] for row, answer in zip(rows, answers, strict=True))]
    shown = [
        [*(text[:200] for text in row), *answer.cells()]
        for row, answer in zip(texts[:SHOWN_ROWS], answers, strict=False)
    ]
    return write_table(table, "," if delimiter == "\t" else delimiter), shown, summarise(answers)


def reason_against(texts: Texts) -> str:
    """Why a text, or a pair, is not answered; empty if it is."""
    return _NO_TEXT if any(map(is_blank, texts)) else next((reason for reason in map(too_long, texts) if reason), "")


def classify_rows(rows: list[Texts]) -> list[Answer]:
    """The answer to each text, or pair."""
    refused = list(map(reason_against, rows))
    seen = encode([texts for texts, reason in zip(rows, refused, strict=True) if not reason])
    read = zip(seen, logits_of(seen), strict=True)
    answers = []
    for reason in refused:
        if reason:
            answers.append(Answer([], [], reason, was_refused=True))
            continue
        row, logits = next(read)
        if not is_finite(logits):
            answers.append(Answer([], [], _NO_SCORE, was_refused=True))
            continue
        scores = {} if NUMBER else probabilities(logits)
        labels = [] if NUMBER else predicted_labels(scores)
        seen_tokens = tokens_read(row.ids)
        which = f"{seen_tokens:,}" if PAIRS else which_read(row.ids)
        cut = [f"{which} of {row.total:,} tokens read"] if row.total > seen_tokens else []
        note = "; ".join([*([] if labels or NUMBER else [_NO_LABEL]), *cut])
        values = logits if NUMBER else [scores[label] for label in labels]
        answers.append(Answer(labels, values, note, bool(cut)))
    return answers


def summarise(answers: list[Answer]) -> str:
    """The number of rows by label, and what was not read."""
    counts = collections.Counter(label for answer in answers for label in answer.labels)
    empty = sum(answer.note == _NO_TEXT for answer in answers)
    cut = sum(answer.was_cut for answer in answers)
    refused = sum(answer.was_refused for answer in answers)
    damaged = sum(answer.note == _NO_SCORE for answer in answers)
    by_label = ", ".join(f"{label}: {count:,}" for label, count in counts.most_common(10))
    rows = f"{len(answers):,} row{'s' * (len(answers) != 1)}"
    summary = f"{rows}{by_label and f' ({by_label})'}."
    if MULTI:
        unlabelled = sum(not answer.labels for answer in answers) - refused
        summary = f"{rows} got {counts.total():,} labels{by_label and f' ({by_label})'}."
        summary += f" {unlabelled:,} got none: no label reaches its threshold." if unlabelled else ""
    summary += f" {empty:,} had no text." if empty else ""
    summary += f" {refused - empty - damaged:,} had too long a text." if refused > empty + damaged else ""
    summary += f" {damaged:,} got no {'number' if NUMBER else 'label'}: {_NO_SCORE}." if damaged else ""
    which = f"{LIMIT:,} tokens" if PAIRS else PARTS
    return summary + (f" Of {cut:,} only {which} were read." if cut else "")


def write_table(table: list[list[str]], delimiter: str) -> str:
    """Write a CSV file that is safe to open in a spreadsheet; returns its path."""
    folder = tempfile.TemporaryDirectory()
    end = threading.Timer(_KEPT, folder.cleanup)
    end.daemon = True
    end.start()
    target = Path(folder.name) / "classified.csv"
    with target.open("w", newline="", encoding="utf-8-sig") as out:
        csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(
            [safe_cell(cell) for cell in row] for row in table
        )
    return str(target)
