import csv
import io
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.reading import not_blank
from hfbertcls.errors import HfBertClsError


few = settings(max_examples=60, deadline=None, derandomize=True)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)


def load(data: bytes, name: str):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return load_text_dataset(str(path), make_splits=False)


def refusal(data: bytes, name: str) -> str | None:
    try:
        load(data, name)
    except HfBertClsError as err:
        return str(err)
    return None


@few
@given(
    rows=st.lists(st.tuples(texts, st.sampled_from(["a", "b", " c", "", "ü,;\t|"])), min_size=1, max_size=12),
    separator=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_written_rows_are_read_back_unchanged_or_counted(rows, separator, line_end, encoding):
    sink = io.StringIO(newline="")
    # csv.writer of Python 3.11 leaves a lone carriage return bare, which no reader can tell from the end of a line.
    quoting = csv.QUOTE_ALL if any("\r" in text for text, _ in rows) else csv.QUOTE_MINIMAL
    writer = csv.writer(sink, delimiter=separator, lineterminator=line_end, quoting=quoting)
    writer.writerows([("text", "label"), *rows])
    data = sink.getvalue().encode(encoding)
    if not any(text.strip() and label for text, label in rows):
        assert "no usable row" in refusal(data, "a.csv")
        return
    split = load(data, "a.csv").splits["test"]
    assert split.rows_read == len(rows)
    assert len(split) + sum(split.dropped.values()) == len(rows)
    assert [(text, label) for text, label in zip(split.texts, split.labels, strict=True)] == [
        rows[position] for position in split.rows
    ]


@few
@given(data=st.binary(max_size=200), name=st.sampled_from(["a.csv", "a.tsv", "a.json", "a.jsonl", "a.txt", "a.arrow"]))
@example(data=b"text,label\n\r\n", name="a.csv")
@example(data=b"\r", name="a.csv")
@example(data=b"\x1c", name="a.csv")
@example(data=b'""', name="a.csv")
@example(data=b"PAR1PAR1", name="a.parquet")
@example(data=b'[{"text": "a", "label": 123456789012345678901234567890}]', name="a.json")
def test_random_bytes_are_read_or_refused(data, name):
    assert refusal(data, name) != ""


@few
@given(cells=st.text(st.sampled_from('text,label\n\r"; |\ta\x85\u2028\x0b\x1c'), max_size=60))
def test_random_cells_are_read_or_refused(cells):
    assert refusal(f"text,label\n{cells}".encode(), "a.csv") != ""


names = st.text(st.characters(categories=["L", "N"], max_codepoint=0x2FF), min_size=1, max_size=8)


@few
@given(
    extra=st.lists(names, max_size=4, unique=True),
    rows=st.lists(
        st.tuples(texts, st.sampled_from(["no", "null", "01", "1.0", "=A1", "{{ x }}", " a", "b"])), min_size=1
    ),
    place=st.integers(0, 4),
    ending=st.sampled_from(["csv", "tsv", "jsonl", "json", "parquet"]),
    missing=st.sets(st.integers(0, 20), max_size=3),
)
def test_rows_among_other_columns_in_any_format_are_read_back_or_counted(extra, rows, place, ending, missing):
    taken = {
        "text",
        "label",
        "labels",
        "sentence",
        "review",
        "text_pair",
        "target",
        "class",
        "category",
        "tweet",
        "content",
    }
    columns = [name for name in extra if name.lower() not in taken]
    columns[min(place, len(columns)) : 0] = ["text", "label"]
    records = [
        {name: {"text": text, "label": None if number in missing else label}.get(name, "x") for name in columns}
        for number, (text, label) in enumerate(rows)
    ]
    expected = [(record["text"], record["label"]) for record in records]
    data, name = serialise(records, columns, ending)
    usable = [pair for pair in expected if pair[1] is not None and is_visible(pair[0])]
    if not usable:
        assert refusal(data, name) is not None
        return
    split = load(data, name).splits["test"]
    assert split.rows_read == len(expected)
    assert len(split) + sum(split.dropped.values()) == len(expected)
    read = list(zip(split.texts, split.labels, strict=True))
    assert read == [expected[position] for position in split.rows]
    assert read == usable


def is_visible(text: str) -> bool:
    return bool(pc.all(not_blank(pa.chunked_array([[text]], pa.large_string()))).as_py())


def serialise(records, columns, ending):
    """The bytes of a file that holds the records, and its name."""
    if ending == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.table({name: pa.array([r[name] for r in records], pa.string()) for name in columns}), sink)
        return sink.getvalue(), "a.parquet"
    if ending in ("json", "jsonl"):
        lines = [json.dumps(record, ensure_ascii=False) for record in records]
        text = "[" + ",\n".join(lines) + "]" if ending == "json" else "\n".join(lines)
        return text.encode(), f"a.{ending}"
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, delimiter="," if ending == "csv" else "\t", quoting=csv.QUOTE_ALL)
    writer.writerows([columns, *([record[name] or "" for name in columns] for record in records)])
    return sink.getvalue().encode(), f"a.{ending}"
