from pathlib import Path

import pytest

from hfbertcls.data.checks import require_trainable
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.errors import DatasetError


MESSY = Path(__file__).parent / "messy"
POLAR = ("negative", "positive")

REFUSED = {
    "04_mixed_encoding.csv": r"line 12: byte 0xe8 is not UTF-8, and other lines are: two encodings.*Save the file again",
    "06_unclosed_quote.csv": r"line 12: the row that begins here.*not closed.*Correct the line",
    "07_no_label_column.csv": r"columns 'text', 'source', but a label column.*was expected.*--label-column NAME",
    "08_other_column_names.csv": r'Name them: --text-column "Review Text" --label-column Sentiment',
    "12_continuous_labels.csv": r"\('label'\) look like regression targets.*pass --task regression.*--task single_label",
    "13_label_space_case.csv": r"differ only in capitals, blanks.*'NEGATIVE' \(8 rows\).*Merge them.*--labels",
    "14_one_class.csv": r"only the label 'positive' \(30 rows\).*at least two\. Check --label-column",
    "18_one_row.csv": r"only the label 'positive' \(1 row\).*or add rows with another label",
    "19_empty.csv": r"19_empty\.csv is empty\. Expected a header line",
    "20_header_only.csv": r"has a header \('text', 'label'\) but no row\. Expected one line for each text",
    "22_nul_bytes.csv": r"line 6: a NUL byte.*Save it again as UTF-8, or remove the byte",
}

READ = {
    "00_clean_test.csv": (24, {}, POLAR, ()),
    "00_clean_train.csv": (60, {}, POLAR, ()),
    "01_bom_utf8.csv": (60, {}, POLAR, ("read as UTF-8 with a byte order mark",)),
    "02_utf16_excel.csv": (30, {}, POLAR, ("read as UTF-16", "columns are separated by tabs")),
    "03_cp1252.csv": (40, {}, POLAR, ("not UTF-8 (first at line 2), read as Windows-1252",)),
    "05_quotes_newlines.csv": (30, {}, POLAR, ()),
    "09_empty_texts.csv": (35, {"empty_text": 5}, POLAR, ()),
    "10_missing_labels.csv": (36, {"missing_label": 6}, POLAR, ()),
    "11_float_int_labels.csv": (40, {}, ("0.0", "1.0"), ()),
    "15_singleton_class.csv": (59, {}, ("negative", "neutral", "positive"), ()),
    "16_eval_unseen_label.csv": (20, {}, ("negative", "neutral", "positive"), ()),
    "16_train.csv": (40, {}, POLAR, ()),
    "17_leak_test.csv": (20, {}, POLAR, ()),
    "17_leak_train.csv": (40, {}, POLAR, ()),
    "23_int_label_gaps.csv": (45, {}, ("1", "3", "7"), ()),
}


def test_every_messy_file_has_an_expectation():
    assert {path.name for path in MESSY.iterdir()} == REFUSED.keys() | READ.keys()


@pytest.mark.parametrize("name", REFUSED)
def test_bad_file_is_refused_before_any_model_is_loaded(name):
    with pytest.raises(DatasetError, match=REFUSED[name]):
        require_trainable(load_text_dataset(str(MESSY / name)))


@pytest.mark.parametrize("name", READ)
def test_usable_file_is_read_with_counts_and_notes(name):
    used, dropped, labels, notes = READ[name]
    dataset = load_text_dataset(str(MESSY / name))
    assert require_trainable(dataset).labels == labels
    assert sum(map(len, dataset.splits.values())) == used
    assert dict(dataset.splits["train"].dropped) == dropped
    assert sum(split.rows_read for split in dataset.splits.values()) == used + sum(dropped.values())
    assert len(dataset.notes) == len(notes)
    assert all(expected in note for expected, note in zip(notes, dataset.notes, strict=True))


def test_a_label_that_only_the_test_file_has_is_refused(tmp_path):
    (tmp_path / "train.csv").write_bytes((MESSY / "16_train.csv").read_bytes())
    (tmp_path / "test.csv").write_bytes((MESSY / "16_eval_unseen_label.csv").read_bytes())
    with pytest.raises(
        DatasetError, match=r"the test split has labels.*'neutral'.*the first: test.csv, line \d+.*Add rows"
    ):
        require_trainable(load_text_dataset(str(tmp_path)))


def test_a_cell_of_millions_of_letters_is_read(tmp_path):
    lines = "".join(f"text {number},{'ab'[number % 2]}\n" for number in range(20))
    (tmp_path / "21_huge_cell.csv").write_text(f'text,label\n"{"word, " * 400_000}",a\n{lines}')
    dataset = load_text_dataset(str(tmp_path / "21_huge_cell.csv"), make_splits=False)
    assert max(map(len, dataset.splits["test"].texts)) == 2_400_000
    assert len(dataset.splits["test"]) == 21
