"""Files of all kinds that nobody thought of: never a traceback, never a row that is lost without a word."""

import csv
import io
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hfbertcls.cli.doctor import summary
from hfbertcls.data.checks import require_trainable
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.diagnosis.doctor import diagnose
from hfbertcls.diagnosis.page import render_page
from hfbertcls.errors import DatasetError


sixty_examples = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
letters = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
texts = st.one_of(
    st.text(letters, max_size=40),
    st.sampled_from(
        [
            "",
            " ",
            "\u200b",
            "12,5",
            "ORD-12345-X",
            "https://a.b/c",
            "<br>x",
            "cafÃ©",
            "?!",
            "a\nb",
            "=1+1",
            "это",
            "好",
            "a fine film",
        ]
    ),
    st.text("ab ", min_size=30, max_size=60),
)
labels = st.one_of(
    st.sampled_from(["a", "b"]),
    st.sampled_from(["pos", "Pos", "pos ", "POS", "neg"]),
    st.sampled_from(["1", "2", "7", "01", "1.0"]),
    st.sampled_from(["", " ", "null", "ü", "ü", "{{ x }}", "$x^2$", "<b>", "\u202eb"]),
    st.floats(0, 5).map(str),
    st.text(letters, max_size=6),
)
names = st.text(st.characters(categories=["L", "N"], max_codepoint=0x2FF), min_size=1, max_size=8)


def diagnosis_of(data: bytes, name: str):
    """The diagnosis of a file; whatever is in it, it can be printed and drawn, and `train` agrees."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        diagnosis = diagnose(str(path))
        assert folder not in json.dumps(diagnosis.to_dict(), allow_nan=False)
        assert summary(diagnosis).endswith(("Nothing would refuse training", "above)"))
        assert "</html>" in render_page(diagnosis)
        assert all(finding.fact for finding in diagnosis.findings)
        refusals = [finding.message for finding in diagnosis.refusals]
        assert refused_by_train(str(path)) in (refusals or [None])
    return diagnosis


def refused_by_train(path: str) -> str | None:
    try:
        require_trainable(load_text_dataset(path))
    except DatasetError as err:
        return str(err)
    return None


def require_all_rows(diagnosis, written: int) -> None:
    """Every row is used or counted as left out, or the refusal explains why there is none."""
    if not diagnosis.splits:
        assert [finding.code for finding in diagnosis.refusals] == ["unusable"]
        return
    facts = diagnosis.splits.values()
    assert sum(split["rows"] + split["empty_texts"] + split["missing_labels"] for split in facts) == written
    facts_by_code = {finding.code: finding.fact for finding in diagnosis.findings}
    for code in ("empty_texts", "missing_labels"):
        count = sum(split[code] for split in facts)
        assert not count or facts_by_code[code].startswith(f"{count:,} of the {written:,} rows")


@sixty_examples
@given(
    rows=st.lists(st.tuples(texts, labels), min_size=1, max_size=40),
    separator=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    headers=st.sampled_from([("text", "label"), ("Text", "Label"), ("sentence", "label"), ("review", "stars")]),
    extra=st.lists(names, max_size=3, unique=True),
)
@example([("a", "b")] * 30, ",", "\n", "utf-8", ("text", "label"), [])
@example([(f"text {n}", "ab"[n % 2]) for n in range(40)], ";", "\n", "cp1252", ("text", "label"), ["number"])
def test_delimited_files(rows, separator, line_end, encoding, headers, extra):
    taken = {"text", "label", "labels", "sentence", "review", "stars", "text_pair", *headers}
    columns = [name for name in extra if name.casefold() not in taken]
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, delimiter=separator, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerow([*headers, *columns])
    writer.writerows([text, label, *[str(number)] * len(columns)] for number, (text, label) in enumerate(rows))
    data = sink.getvalue().encode(encoding, errors="replace")
    require_all_rows(diagnosis_of(data, "a.csv"), len(rows))


@sixty_examples
@given(
    rows=st.lists(
        st.tuples(
            texts,
            st.one_of(
                labels, st.none(), st.lists(labels, max_size=3), st.integers(-3, 9), st.booleans(), st.floats(0, 1)
            ),
        ),
        min_size=1,
        max_size=30,
    ),
    same_kind=st.booleans(),
    ending=st.sampled_from(["jsonl", "json"]),
    pair=st.booleans(),
)
def test_json_files(rows, same_kind, ending, pair):
    kind = type(rows[0][1])
    records = [
        {"text": text, "label": label if not same_kind or isinstance(label, kind) else rows[0][1]}
        | ({"text_pair": "b"} if pair else {})
        for text, label in rows
    ]
    text = json.dumps(records) if ending == "json" else "\n".join(map(json.dumps, records))
    require_all_rows(diagnosis_of(text.encode(), f"a.{ending}"), len(rows))


@sixty_examples
@given(
    rows=st.lists(
        st.tuples(texts, labels, st.integers(0, 3), st.one_of(st.none(), st.floats())), min_size=1, max_size=40
    ),
    lists=st.booleans(),
)
@example(rows=[(f"text {n}", "neg" if n == 3 else "pos", n % 3, 0.5) for n in range(12)], lists=True)
@example(rows=[("", "a", 0, None)], lists=False)
def test_parquet_files_with_further_columns(rows, lists):
    sink = io.BytesIO()
    table = {
        "text": pa.array([row[0] for row in rows]),
        "label": pa.array([[row[1]] * row[2] for row in rows] if lists else [row[1] for row in rows]),
        "count": pa.array([row[2] for row in rows]),
        "score": pa.array([row[3] for row in rows], pa.float64()),
        "nested": pa.array([{"x": row[2]} for row in rows]),
        "when": pa.array([row[2] for row in rows], pa.timestamp("s")),
    }
    pq.write_table(pa.table(table), sink)
    require_all_rows(diagnosis_of(sink.getvalue(), "a.parquet"), len(rows))


@sixty_examples
@given(
    data=st.binary(max_size=300),
    name=st.sampled_from(["a.csv", "a.tsv", "a.json", "a.jsonl", "a.txt", "a.arrow", "a.csv.gz"]),
)
@example(data=b"0", name="a.json")
def test_bytes_of_any_kind(data, name):
    diagnosis = diagnosis_of(data, name)
    assert diagnosis.splits or diagnosis.refusals


words = st.lists(st.sampled_from(["Good", "good", "film", "FILM", "\uff26ilm", "bad"]), min_size=1, max_size=3)
joints = st.sampled_from([" ", "  ", "\u00a0", "\t"])
few_texts = st.tuples(words, joints).map(lambda drawn: drawn[1].join(drawn[0]))
few_rows = st.lists(st.tuples(few_texts, st.sampled_from("ab")), min_size=1, max_size=12)


@sixty_examples
@given(train=few_rows, validation=few_rows, test=few_rows)
def test_overlaps_repeats_and_conflicts_are_those_of_a_plain_count(train, validation, test):
    splits = {"train": train, "validation": validation, "test": test}
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in splits.items():
            with (Path(folder) / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
        diagnosis = diagnose(folder)
        refusals = [finding.message for finding in diagnosis.refusals if finding.code != "leakage"]
        assert refused_by_train(folder) in (refusals or [None])
    plain = {
        name: [" ".join(text.lower().replace("\uff46", "f").split()) for text, _ in rows]
        for name, rows in splits.items()
    }
    for pair, count in diagnosis.overlap.items():
        first, second = pair.split("/")
        assert count == sum(text in plain[first] for text in plain[second])
    for name, facts in diagnosis.splits.items():
        labels = {(text, label) for text, (_, label) in zip(plain[name], splits[name], strict=True)}
        assert facts["duplicate_rows"] == len(plain[name]) - len(set(plain[name]))
        assert facts["conflicting_texts"] == len(labels) - len(set(plain[name]))
    leaking = [finding.fact for finding in diagnosis.refusals if finding.code == "leakage"]
    assert len(leaking) == sum(
        20 * diagnosis.overlap[f"train/{name}"] > len(splits[name]) for name in ("validation", "test")
    )
