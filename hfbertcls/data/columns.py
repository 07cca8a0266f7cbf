"""The columns of the text, its pair and the label: the named ones, else the obvious ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.readers.indicators import indicator_columns
from hfbertcls.data.readers.list_cells import holds_written_lists, is_string
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.errors import ConfigurationError, DatasetError, did_you_mean, listing
from hfbertcls.tasks.cells import holds_lists


_TEXT_NAMES = ("text", "sentence")
_LABEL_NAMES = ("label",)
_LABEL_LIST_NAME = "labels"
_TWO_TEXTS = (
    ("text", "text_pair"),
    ("sentence", "text_pair"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "answer"),
    ("text_a", "text_b"),
)
"""The usual names of the two texts of a pair."""


@dataclass(frozen=True)
class Columns:
    """The names of the columns to read."""

    text: str
    label: str
    text_pair: str | None = None
    label_separator: str | None = None
    """The separator between the labels of a cell; None where a cell holds one label, or a list."""
    names: tuple[str, ...] = ()
    """All labels, if the user named them."""
    is_one_label: bool = False
    """Whether each cell is read as the name of one label, whatever it looks like (`--task single_label`)."""
    number_task: str | None = None
    """The task that was requested, if it predicts numbers: each cell is read as a number."""


def choose_columns(
    raw: RawTable, text: str | None, text_pair: str | None, label: str | None, label_separator: str | None = None
) -> Columns:
    """Choose the columns of a table: the named ones, else those with an obvious name.

    Args:
        raw: the table.
        text, text_pair, label: the named ones. Where the first text alone is named, a row has one text.
        label_separator: between the labels of a cell; then `labels` is an obvious name, too.

    Raises:
        ConfigurationError: if a named column does not exist; the message lists the columns.
        DatasetError: if no column is obvious; the message proposes the options to pass.
    """
    names = raw.table.column_names
    for option, name in (("--text-column", text), ("--text-pair-column", text_pair), ("--label-column", label)):
        if name is not None and name not in names:
            raise ConfigurationError(
                f"{raw.name} has no column {name!r}{did_you_mean(name, names)}, which {option} names. "
                f"Its columns are {listing(names)}"
            )
    chosen_text, chosen_pair = text, text_pair
    if text is None:
        chosen_text, chosen_pair = obvious_texts([name for name in names if name != label], text_pair)
    chosen_label = label or _obvious_label(raw.table)
    if chosen_label is None and label_separator is not None:
        chosen_label = _obvious(names, (_LABEL_LIST_NAME,))
    if chosen_text is None or chosen_label is None:
        raise DatasetError(_nothing_obvious(raw, chosen_text, chosen_label))
    if chosen_pair == chosen_text:
        raise ConfigurationError(f"--text-column and --text-pair-column both name {chosen_text!r}; name two columns")
    if chosen_label in (chosen_text, chosen_pair):
        raise ConfigurationError(f"{chosen_label!r} cannot be both a text and the label. Correct --label-column")
    if label_separator is not None and not label_separator.strip():
        raise ConfigurationError(
            "--label-separator is blank. Name what stands between the labels of a row, such as ';'"
        )
    return Columns(chosen_text, chosen_label, chosen_pair, label_separator)


_MOST_COLUMNS_LOOKED_AT = 1_000


def _obvious(names: list[str], candidates: tuple[str, ...]) -> str | None:
    """The column with one of the candidate names; capitals and blanks do not matter if that leaves one column."""
    for candidate in candidates:
        if candidate in names:
            return candidate
        alike = [name for name in names if name.strip().casefold() == candidate]
        if len(alike) == 1:
            return alike[0]
    return None


def _obvious_label(table: pa.Table) -> str | None:
    """`label`, or `labels` if it holds lists and `label` is absent or holds the same, joined."""
    label = _obvious(table.column_names, _LABEL_NAMES)
    if _LABEL_LIST_NAME not in table.column_names:
        return label
    lists = table.column(_LABEL_LIST_NAME)
    if not holds_lists(lists):
        return _LABEL_LIST_NAME if label is None and is_string(lists.type) and holds_written_lists(lists) else label
    if label is None or holds_lists(table.column(label)):
        return label or _LABEL_LIST_NAME
    joined = table.column(label).to_pylist()
    same = all(
        values is not None and single is not None and _separators_removed(single) == "".join(map(str, values))
        for single, values in zip(joined, lists.to_pylist(), strict=True)
    )
    return _LABEL_LIST_NAME if same else label


def _separators_removed(joined: object) -> str:
    text = str(joined)
    for separator in (", ", ",", "|", ";"):
        text = text.replace(separator, "")
    return text


def obvious_texts(names: Sequence[str], text_pair: str | None = None) -> tuple[str | None, str | None]:
    """The columns of the text and of the second text that have usual names.

    >>> obvious_texts(["premise", "hypothesis", "label"]), obvious_texts(["text", "label"])
    (('premise', 'hypothesis'), ('text', None))

    Args:
        names: of the columns.
        text_pair: that of the second text, where it is known.
    """
    columns = list(names)
    for first, second in _TWO_TEXTS:
        one, other = _obvious(columns, (first,)), _obvious(columns, (second,))
        if one is not None and other is not None and one != text_pair and text_pair in (None, other):
            return one, other
    return _obvious([name for name in columns if name != text_pair], _TEXT_NAMES), text_pair


def left_out_texts(raw: RawTable, columns: Columns) -> tuple[str, ...]:
    """A note if a column is not read whose name says that it is a text of a pair."""
    taken = (columns.text, columns.text_pair, columns.label)
    others = [name for name in raw.table.column_names if name not in taken]
    for first, second in _TWO_TEXTS:
        one, other = (_obvious(raw.table.column_names, (name,)) for name in (first, second))
        if one is not None and other is not None and (one in others or other in others) and columns.text_pair is None:
            unread = listing([name for name in (one, other) if name in others])
            return (
                f"the column {unread} is not read. To classify pairs, pass --text-column {one!r} --text-pair-column {other!r}",
            )
    return ()


def _nothing_obvious(raw: RawTable, text: str | None, label: str | None) -> str:
    table = raw.table
    missing = [
        f"a {kind} column ({names})"
        for kind, column, names in (("text", text, "'text'"), ("label", label, "'label'"))
        if column is None
    ]
    if raw.has_header and _first_line_looks_like_data(table):
        return (
            f"the first line of {raw.name} looks like data, not like a header: {listing(table.column_names, 3)}. Add a header line such "
            "as 'text,label', or pass --no-header"
        )
    advice = []
    longest = text or _longest_text_column(table, other_than=label)
    if text is None:
        advice.append(f"--text-column {_quoted(longest)}" if longest else "--text-column NAME")
    if label is None:
        indicators = indicator_columns(table.select(table.column_names[:_MOST_COLUMNS_LOOKED_AT]), other_than=longest)
        fewest = _fewest_values_column(table, other_than=longest)
        proposed = " ".join(map(_quoted, indicators)) or (_quoted(fewest) if fewest else "NAME")
        advice.append(f"--label-column {proposed}")
        if indicators:
            advice.append("(one column of 0 and 1 for each label)")
    return (
        f"{raw.name} has the columns {listing(table.column_names)}, but {' and '.join(missing)} {'were' if len(missing) > 1 else 'was'} expected. "
        f"Name {'them' if len(missing) > 1 else 'it'}: {' '.join(advice)}"
    )


def looks_like_a_text(name: str) -> bool:
    """Whether the name of a column is longer than people call columns."""
    return len(name) > 60 or len(name.split()) > 5


def _first_line_looks_like_data(table: pa.Table) -> bool:
    """Whether a name of a column is also a value of it, or like a text."""
    return any(
        looks_like_a_text(name)
        or (is_string(table.column(name).type) and bool(pc.any(pc.equal(table.column(name), name)).as_py()))
        for name in table.column_names[:_MOST_COLUMNS_LOOKED_AT]
    )


def columns_without_header(raw: RawTable) -> tuple[str, str] | None:
    """Text and label of a table of two columns without names, if one has few values and the other longer ones."""
    if raw.table.num_columns != 2:
        return None
    text = _longest_text_column(raw.table, other_than=None)
    label = _fewest_values_column(raw.table, other_than=text)
    return None if text is None or label is None else (text, label)


def _quoted(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() else f'"{name}"'


def _longest_text_column(table: pa.Table, other_than: str | None) -> str | None:
    lengths = {
        name: pc.mean(pc.utf8_length(table.column(name))).as_py() or 0.0
        for name in table.column_names[:_MOST_COLUMNS_LOOKED_AT]
        if name != other_than and is_string(table.column(name).type)
    }
    return max(lengths, key=lambda name: lengths[name]) if lengths else None


def _fewest_values_column(table: pa.Table, other_than: str | None) -> str | None:
    counts = {
        name: pc.count_distinct(table.column(name)).as_py()
        for name in table.column_names[:_MOST_COLUMNS_LOOKED_AT]
        if name != other_than and _may_be_labels(table.column(name).type)
    }
    candidates = {name: count for name, count in counts.items() if 1 < count <= max(2, table.num_rows // 4)}
    return min(candidates, key=lambda name: candidates[name]) if candidates else None


def _may_be_labels(kind: pa.DataType) -> bool:
    return is_string(kind) or bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))
