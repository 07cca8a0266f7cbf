import io

import pytest

from hfbertcls.data.readers.delimited import read_delimited
from hfbertcls.data.readers.encodings import decode
from hfbertcls.errors import DatasetError


def read(text: str | bytes, separator: str = ","):
    data = text.encode() if isinstance(text, str) else text
    return read_delimited(lambda: io.BytesIO(data), "x.csv", separator)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_unicode_encodings_give_the_same_text(encoding):
    text, _ = decode("text,label\nGrüße €,ja\n".encode(encoding), "x.csv")
    assert text == "text,label\nGrüße €,ja\n"


def test_utf16_and_a_utf8_mark_are_noted():
    assert decode("a".encode("utf-16"), "x.csv")[1] == ("x.csv: read as UTF-16",)
    assert decode("a".encode("utf-8-sig"), "x.csv") == ("a", ("x.csv: read as UTF-8 with a byte order mark",))


def test_windows_1252_is_read_with_a_note_that_names_the_line():
    text, notes = decode("text,label\nplain words\nthe café was naïve\n".encode("cp1252"), "x.csv")
    assert "café" in text
    assert len(notes) == 1
    assert "first at line 3" in notes[0]
    assert "Windows-1252" in notes[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"text\nGr\xc3\xbc\xc3\x9fe\ncaf\xe9\n", r"line 3: byte 0xe9 is not UTF-8, and other lines are.*as UTF-8"),
        (b"text\nabcdef\x81\n", r"line 2: byte 0x81.*no Windows-1252 either\. Save the file again"),
        (
            b"text\n\xf0\xd2\xc9\xd7\xc5\xd4 \xcd\xc9\xd2 \xdc\xd4\xcf\n",
            r"line 2: .*another alphabet\. Save the file again",
        ),
        (b"text\na\nb\x00c\n", r"line 3: a NUL byte.*Save it again as UTF-8"),
        (b"\xef\xbb\xbftext\nb\x00c\n", r"line 2: a NUL byte.*Save it again as UTF-8"),
        (b"\xef\xbb\xbftext\n\xff\n", r"begins like UTF-8-SIG but is not valid at byte \d+.*Save the file again"),
        (b"\xff\xfea", r"begins like UTF-16 but is not valid at byte \d+.*Save the file again"),
    ],
)
def test_bytes_of_no_one_encoding_are_refused(data, message):
    with pytest.raises(DatasetError, match=message):
        decode(data, "x.csv")


@pytest.mark.parametrize(("separator", "word"), [("\t", "tabs"), (";", "semicolons"), ("|", "vertical bars")])
def test_another_separator_than_promised_is_used_and_noted(separator, word):
    result = read(f"text{separator}label\na, b{separator}x\n")
    assert result.table.to_pylist() == [{"text": "a, b", "label": "x"}]
    assert result.notes == (f"x.csv: columns are separated by {word}",)


def test_the_promised_separator_is_not_noted():
    assert read("text\tlabel\na\tb\n", "\t").notes == ()


def test_separators_within_quoted_column_names_do_not_count():
    assert read('"text;a;b",label\nx,y\n').table.column_names == ["text;a;b", "label"]


def test_separator_is_found_with_old_mac_line_ends():
    result = read("text;label\ra, b, c;x\rd;y\r")
    assert result.table.column("label").to_pylist() == ["x", "y"]


def test_quoted_newlines_and_doubled_quotes_are_kept_and_lines_are_counted():
    result = read('text,label\n"one\n""two""",x\nthree,y\n')
    assert result.table.column("text").to_pylist() == ['one\n"two"', "three"]
    assert list(result.lines) == [2, 4]


def test_blank_lines_are_no_rows():
    result = read("text,label\n\na,x\n\nb,y\n\n")
    assert list(result.lines) == [3, 5]


def test_a_cell_may_be_longer_than_the_limit_of_csv():
    assert len(read(f"text,label\n{'a' * 200_000},x\n").table["text"][0].as_py()) == 200_000


def test_blanks_in_cells_are_kept():
    assert read("text,label\n a ,x \n").table.to_pylist() == [{"text": " a ", "label": "x "}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"x\.csv is empty\. Expected a header line"),
        (" \n\n", r"x\.csv is empty\. Expected a header line"),
        ("text,label\n", r"has a header \('text', 'label'\) but no row\. Expected one line for each text"),
        ("text,text\na,b\n", r"the header names 'text' more than once\. Give each column its own name"),
        ("text,label\na,b\nc,d,e\n", r"line 3: 3 fields, but the header has 2.*begins with 'c'.*quotation marks"),
        ("text,label\na\n", r"line 2: 1 fields, but the header has 2.*quotation marks"),
        ('text,label\na,x\n"b,y\nc,z\n', r"line 3: the row that begins here.*not closed.*Correct the line"),
        ('text,label\n"a"b,x\n', r"line 2: the row that begins here.*not doubled.*Correct the line"),
    ],
)
def test_broken_files_are_refused_with_the_line_and_the_remedy(text, message):
    with pytest.raises(DatasetError, match=f"(?s){message}"):
        read(text)


def test_a_quoted_name_with_a_line_break_does_not_hide_the_separator():
    result = read('"te\nxt";label\n"a, b";x\n')
    assert result.table.to_pylist() == [{"te\nxt": "a, b", "label": "x"}]
    assert result.notes == ("x.csv: columns are separated by semicolons",)


def test_blank_lines_may_stand_before_the_header():
    assert read("\r\n" * 70_000 + "text;label\na;x\n").table.to_pylist() == [{"text": "a", "label": "x"}]


def test_a_file_that_was_cut_off_within_a_letter_is_told_from_another_encoding():
    with pytest.raises(DatasetError, match="line 3: the file ends in the middle of a letter, so it was cut off"):
        read("text,label\na,x\n…".encode()[:-1])
