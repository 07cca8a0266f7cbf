"""Quotation marks in delimited files: every row is read as it was written, or the file is refused with the line."""

import csv
import gzip
import io
import json
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hfbertcls.cli import main
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.readers.layout import Layout
from hfbertcls.data.readers.streaming import chunks, survey
from hfbertcls.errors import ConfigurationError, DatasetError, HfBertClsError


QUOTES = Path(__file__).parent / "trials" / "quotes2.tsv"
few = settings(max_examples=150, deadline=None, derandomize=True)
SPEECH = ['"Stop', 'he said "no"', 'the end"', '"Stop" he said', "plain", '"Twice" and "twice"', 'a "', "Ünïcode"]


def loaded(path, **options):
    return load_text_dataset(str(path), make_splits=False, **options)


def streamed(path, quoting="auto"):
    return [text for part in chunks(survey(path, Layout(quoting)), "text", []) for text in part.texts]


def by_hand(texts, labels):
    return "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in zip(texts, labels, strict=True))


def test_a_text_that_begins_with_a_quotation_mark_swallows_no_rows():
    data = loaded(QUOTES)
    lines = QUOTES.read_text(encoding="utf-8").splitlines()[1:]
    assert data.splits["test"].texts == [line.split("\t")[0] for line in lines]
    assert data.splits["test"].rows_read == 200
    assert data.notes == (
        "quotes2.tsv: quotation marks are read as letters of the texts, because the one that begins line 42 would swallow the "
        "rows up to line 62. Pass --quoting standard if they enclose fields",
    )
    assert streamed(QUOTES) == data.splits["test"].texts


def test_what_was_read_otherwise_is_noted_on_the_terminal_and_by_the_doctor(capsys):
    main(["doctor", str(QUOTES), "--json"])
    findings = [finding["message"] for finding in json.loads(capsys.readouterr().out)["findings"]]
    assert any("quotation marks are read as letters of the texts" in message for message in findings)


@pytest.mark.parametrize("ending", [".tsv", ".tsv.gz"])
@pytest.mark.parametrize("write", ["by hand", csv.QUOTE_NONE, csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_tab_separated_texts_are_read_as_they_were_written(tmp_path, write, ending):
    path = tmp_path / f"x{ending}"
    labels = [str(number % 2) for number in range(len(SPEECH))]
    if write == "by hand":
        data = by_hand(SPEECH, labels)
    else:
        data = pd.DataFrame({"text": SPEECH, "label": labels}).to_csv(sep="\t", index=False, quoting=write)
    path.write_bytes(gzip.compress(data.encode()) if ending.endswith(".gz") else data.encode())
    data = loaded(path)
    assert data.splits["test"].texts == SPEECH
    assert data.splits["test"].labels == labels
    assert streamed(path) == SPEECH
    assert len(data.notes) == (1 if write in ("by hand", csv.QUOTE_NONE) else 0)


def test_paragraphs_and_doubled_quotation_marks_of_a_tsv_stay_quoted(tmp_path):
    path = tmp_path / "x.tsv"
    texts = ['He said "hi".\n\nAnd left.', "one\ntwo", "with\ttab", '"', '""', "a, b"]
    pd.DataFrame({"text": texts, "label": list("ababab")}).to_csv(path, sep="\t", index=False)
    assert (loaded(path).splits["test"].texts, loaded(path).notes) == (texts, ())
    assert streamed(path) == texts


def test_all_cells_in_quotation_marks_are_quoted_cells(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text('text\tlabel\n"one"\ta\n"two"\tb\n')
    assert loaded(path).splits["test"].texts == ["one", "two"]
    path.write_text('text\tlabel\n"one"\ta\ntwo\tb\n')
    assert loaded(path).splits["test"].texts == ['"one"', "two"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'text\tlabel\n"a\tx\nb\tx\nc"\tx\nd\tx\n"e\nf"\tx\n',
            r"x\.tsv, line 2: the quotation mark that begins a field here is closed on line 4, but the lines between look "
            r"like rows.*--quoting none.*--quoting standard",
        ),
        (
            'text\tlabel\n"a" b\tx\nc\nd\tx\n',
            r"x\.tsv: with quoting, line 2 cannot be read.*Without quoting, line 3 cannot be read: 1 fields, but the header has "
            r"2\. Write the file with quoting",
        ),
        ("text\tlabel\na\nb\tx\n", r"line 2: 1 fields.*contains a line break must stand in quotation marks"),
    ],
)
def test_a_tsv_that_can_be_read_in_no_one_way_is_refused_with_the_line(tmp_path, text, message):
    path = tmp_path / "x.tsv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message):
        loaded(path)
    with pytest.raises(DatasetError, match=message):
        survey(path)


def test_a_csv_whose_quoted_field_swallows_rows_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('text,label\na,x\n"b,y\nc,x\nd",y\ne,y\n')
    message = r"x\.csv, line 3: .* closed on line 5, but the lines between look like rows.*--quoting none"
    with pytest.raises(DatasetError, match=message):
        loaded(path)
    with pytest.raises(DatasetError, match=message):
        survey(path)
    assert loaded(path, quoting="none").splits["test"].texts == ["a", '"b', "c", 'd"', "e"]
    assert loaded(path, quoting="standard").splits["test"].rows_read == 3


def test_lines_of_a_quoted_text_with_commas_are_no_rows(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('text,label\n"Hello,\nnice lamp",x\n"Hi, you\nbye",y\nplain,x\n')
    assert loaded(path).splits["test"].texts == ["Hello,\nnice lamp", "Hi, you\nbye", "plain"]


def test_the_option_says_how_to_read(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text('text\tlabel\n"one"\ta\n"two"\tb\n')
    for quoting, texts in (("standard", ["one", "two"]), ("none", ['"one"', '"two"'])):
        assert loaded(path, quoting=quoting).splits["test"].texts == texts
        assert streamed(path, quoting) == texts
    with pytest.raises(ConfigurationError, match="quoting 'minimal' is invalid. Expected 'auto', 'standard', 'none'"):
        loaded(path, quoting="minimal")


def test_without_quoting_no_field_holds_a_tab(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text('text\tlabel\n"a\tb"\tx\n')
    with pytest.raises(DatasetError, match=r"line 2: 3 fields.*Without quoting, no field can contain '\\t'"):
        loaded(path, quoting="none")


texts = st.text(st.sampled_from('ab "\t\n,;'), min_size=1, max_size=12)
rows = st.lists(st.tuples(texts, st.sampled_from(["x", "y"])), min_size=1, max_size=8)


def refusal(read):
    try:
        read()
    except HfBertClsError as err:
        return str(err)
    return None


def rows_of(data: str, name: str):
    """The texts and labels of a file, by training and by `predict`; or the refusal, which must be the same."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data.encode())
        refusals = [refusal(lambda: streamed(path)), refusal(lambda: loaded(path))]
        if refusals[0] is not None:
            assert refusals[0] == refusals[1]
            return refusals[0], ()
        streamed_texts = streamed(path)
        if refusals[1] is not None:
            assert "no usable row" in refusals[1]
            return [], ()
        split, notes = loaded(path).splits["test"], loaded(path).notes
    assert split.rows_read == len(streamed_texts)
    assert split.texts == [streamed_texts[row] for row in split.rows]
    return streamed_texts, notes


@few
@given(rows=rows)
@example(rows=[("a\tb\nc", "x")])
@example(rows=[('"', "x"), ("a\n", "y")])
def test_rows_that_a_csv_writer_wrote_are_read_back(rows):
    for separator, name in (("\t", "a.tsv"), (",", "a.csv")):
        sink = io.StringIO(newline="")
        csv.writer(sink, delimiter=separator, lineterminator="\n").writerows([("text", "label"), *rows])
        outcome, notes = rows_of(sink.getvalue(), name)
        if isinstance(outcome, str):
            assert "Pass --quoting" in outcome
        elif not notes:
            assert outcome == [] or outcome == [text for text, _ in rows]
        else:  # (a text whose every line has a tab cannot be told from rows)
            assert any("\t" in text and "\n" in text for text, _ in rows)


@few
@given(rows=rows)
@example(rows=[('"a', "x"), ('b"', "y")])
@example(rows=[('"a" b', "x"), ('"', "y")])
def test_rows_that_were_written_by_hand_are_read_back(rows):
    rows = [(text.replace("\t", " ").replace("\n", " "), label) for text, label in rows]
    read_texts, notes = rows_of(by_hand(*zip(*rows, strict=True)), "a.tsv")
    assert not isinstance(read_texts, str)
    if not read_texts:
        return
    assert len(read_texts) == len(rows)
    for read, (text, _) in zip(
        read_texts, rows, strict=True
    ):  # (without a note the bytes are those that a CSV writer makes)
        assert read == text or (not notes and read == next(csv.reader([text]))[0])


def test_predict_and_the_report_know_the_option(tmp_path, tiny_model_dir):
    rows = [(f'"{word} film {number}', word) for number in range(12) for word in ("good", "bad")]
    (tmp_path / "x.tsv").write_text(by_hand(*zip(*rows, strict=True)))
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(tmp_path / "x.tsv"), "--quoting", "none"]
    out = tmp_path / "out"
    assert main([*words, "--output-dir", str(out), "--max-steps", "2", "--eval-every", "2", "--allow-leakage"]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["task"]["quoting"] == "none"
    assert "--quoting none" in report["command"]
    words = ["predict", str(out), "--input", str(tmp_path / "x.tsv"), "--output", str(tmp_path / "y.csv")]
    assert main([*words, "--quoting", "none"]) == 0
    assert len((tmp_path / "y.csv").read_text().splitlines()) == 25
