"""Every bad file through `doctor` and `train`: a fact with count and place, or a refusal with the way out."""

import json
import re
import shutil
from pathlib import Path

import pytest

from hfbertcls.cli import main


pytestmark = pytest.mark.usefixtures("short_contrastive_phase")
MESSY = Path(__file__).resolve().parent.parent / "data" / "messy"

# The message of both commands about a file that no classifier can be trained on as it stands.
REFUSED = {
    "04_mixed_encoding.csv": r"04_mixed_encoding\.csv, line 12: byte 0xe8 is not UTF-8, and other lines are.*Save the file again",
    "06_unclosed_quote.csv": r"06_unclosed_quote\.csv, line 12: the row that begins here.*not closed.*Correct the line",
    "07_no_label_column.csv": r"columns 'text', 'source', but a label column.*was expected.*--label-column NAME",
    "08_other_column_names.csv": r'Name them: --text-column "Review Text" --label-column Sentiment',
    "12_continuous_labels.csv": r"look like regression targets.*pass --task regression.*pass --task single_label",
    "13_label_space_case.csv": r"differ only in capitals.*'NEGATIVE' \(8 rows\).*Merge them in the data, or.*--labels",
    "14_one_class.csv": r"only the label 'positive' \(30 rows\).*Check --label-column, or add rows",
    "18_one_row.csv": r"only the label 'positive' \(1 row\).*or add rows with another label",
    "19_empty.csv": r"19_empty\.csv is empty\. Expected a header line and one line for each text",
    "20_header_only.csv": r"20_header_only\.csv has a header \('text', 'label'\) but no row\. Expected one line",
    "22_nul_bytes.csv": r"22_nul_bytes\.csv, line 6: a NUL byte.*Save it again as UTF-8, or remove the byte",
}
# The fact that both commands name of a file that can be used.
NAMED = {
    "00_clean_test.csv": r"24 cross-validated rows are",
    "00_clean_train.csv": r"60 cross-validated rows are",
    "01_bom_utf8.csv": r"01_bom_utf8\.csv: read as UTF-8 with a byte order mark",
    "02_utf16_excel.csv": r"02_utf16_excel\.csv: read as UTF-16",
    "03_cp1252.csv": r"03_cp1252\.csv: not UTF-8 \(first at line 2\), read as Windows-1252",
    "05_quotes_newlines.csv": r"\d+ of the 30 texts of train \([\d.]+ %\).* hold line breaks.*the first is in 05_quotes_newlines\.csv, line \d+",
    "09_empty_texts.csv": r"5 .*(?:no text|empty text).*first: 09_empty_texts\.csv, line 5",
    "10_missing_labels.csv": r"6 .*(?:no label|missing label).*first: 10_missing_labels\.csv, line 7",
    "11_float_int_labels.csv": r"labels are written as decimal numbers \('0\.0', '1\.0'\) and stay so",
    "15_singleton_class.csv": r"1 label has under 10 rows in train: 'neutral' \(1\); the first row of 'neutral' is 15_singleton_class\.csv, line 60",
    "16_eval_unseen_label.csv": r"3 labels have under 10 rows in train: 'negative' \(8\), 'neutral' \(4\), 'positive' \(8\)",
    "16_train.csv": r"40 cross-validated rows are",
    "17_leak_test.csv": r"20 cross-validated rows are",
    "17_leak_train.csv": r"\d+ of the 40 rows of train \([\d.]+ %\) are near-duplicates of an earlier one",
    "23_int_label_gaps.csv": r"whole numbers with gaps \('1', '3', '7'\): their ids will be 0 to 2",
}


def doctor(capsys, *words) -> tuple[int, str]:
    code = main(["doctor", *map(str, words)])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    return code, captured.out


def train(capsys, tmp_path, model, dataset, *words) -> tuple[int, str]:
    options = ["--model", str(model), "--dataset", str(dataset), "--output-dir", str(tmp_path / "out")]
    code = main(["train", *options, *words])
    output = capsys.readouterr().err
    assert "Traceback" not in output
    return code, output


def test_every_messy_file_has_an_expectation():
    assert {path.name for path in MESSY.iterdir()} == REFUSED.keys() | NAMED.keys()


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_used_is_refused_by_both_with_the_way_out(name, capsys, tmp_path, tiny_model_dir):
    code, output = doctor(capsys, MESSY / name)
    assert code == 1
    assert "Training would be refused" in output
    assert re.search(REFUSED[name], output)
    code, output = train(capsys, tmp_path, tiny_model_dir, MESSY / name)
    assert code == 1
    assert re.search(REFUSED[name], output)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", NAMED)
def test_the_fact_about_a_file_that_can_be_used_is_named_by_both(name, capsys, tmp_path, tiny_model_dir):
    code, output = doctor(capsys, MESSY / name)
    assert code == 0
    assert "Nothing would refuse training" in output
    assert re.search(NAMED[name], output)
    code, output = train(capsys, tmp_path, tiny_model_dir, MESSY / name)
    assert code == 0
    assert re.search(NAMED[name], output)


def test_a_huge_cell_is_read_counted_and_cut(capsys, tmp_path, tiny_model_dir):
    lines = "".join(f"film {'very ' * number}good,{'ab'[number % 2]}\n" for number in range(40))
    path = tmp_path / "21_huge_cell.csv"
    path.write_text(f'text,label\n"{"word, " * 400_000}",a\n{lines}')
    expected = r"1 of the \d+ texts of (train|validation|test) .* is longer than 512 tokens and is cut there; the longest has 800,002 \(.*line 2\)"
    code, output = doctor(capsys, path)
    assert (code, bool(re.search(expected, output))) == (0, True)
    code, output = train(capsys, tmp_path, tiny_model_dir, path)
    assert code == 0
    assert "texts are cut at 32 tokens" in output


@pytest.fixture
def leaking(tmp_path) -> Path:
    folder = tmp_path / "leaking"
    folder.mkdir()
    for name in ("train", "test"):
        shutil.copy(MESSY / f"17_leak_{name}.csv", folder / f"{name}.csv")
    return folder


def test_leakage_refuses_training_unless_it_is_allowed_and_then_stands_on_the_card(
    leaking, capsys, tmp_path, tiny_model_dir
):
    expected = (
        "12 of the 20 test texts (60.0 %) are in train too; the first is in test.csv, line 2: up to 60.0 points "
        "of the test accuracy may come from memorisation (5 % of the rows is tolerated). Remove these rows from one of the two, or pass --allow-leakage"
    )
    code, output = doctor(capsys, leaking)
    assert (code, expected in output) == (1, True)
    code, output = train(capsys, tmp_path, tiny_model_dir, leaking)
    assert (code, expected in output) == (1, True)
    assert not (tmp_path / "out").exists()
    code, output = train(capsys, tmp_path, tiny_model_dir, leaking, "--allow-leakage")
    assert (code, "warning: 12 of the 20 test texts" in output) == (0, True)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    codes = {finding["code"]: finding["severity"] for finding in report["data"]["doctor"]["findings"]}
    assert codes["leakage"] == "warning"
    card = (tmp_path / "out" / "README.md").read_text()
    assert "- 12 of the 20 texts of the test split are in the train split too: up to 60.0 points" in card
    assert "20 test rows are few" in card.partition("## Limits")[2]


def test_a_label_that_only_the_test_file_has_is_refused_by_both(capsys, tmp_path, tiny_model_dir):
    folder = tmp_path / "unseen"
    folder.mkdir()
    shutil.copy(MESSY / "16_train.csv", folder / "train.csv")
    shutil.copy(MESSY / "16_eval_unseen_label.csv", folder / "test.csv")
    expected = r"the test split has labels that do not occur in the train split: 'neutral' \(4 rows\); the first: test.csv, line \d+"
    for code, output in (doctor(capsys, folder), train(capsys, tmp_path, tiny_model_dir, folder)):
        assert code == 1
        assert re.search(expected, output)
    _, output = doctor(capsys, folder, "--json")
    assert json.loads(output)["labels_not_in_train"] == {"test": ["neutral"]}
