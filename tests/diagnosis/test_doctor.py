"""The output of the doctor: as JSON, in words and as a page."""

import csv
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from hfbertcls.cli import main
from hfbertcls.diagnosis.doctor import diagnose, examine, smallest_difference
from hfbertcls.diagnosis.page import render_page
from hfbertcls.modeling.loading import ModelSource


def write(folder: Path, **splits) -> str:
    """CSV files of (text, label) rows; further columns by a header of their own as the first row."""
    folder.mkdir(exist_ok=True)
    for name, rows in splits.items():
        header = rows[0] if rows[0][0] == "text" else ("text", "label")
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *(row for row in rows if row is not header)])
    return str(folder)


def sentences(number: int, seed: int = 0) -> list[str]:
    """Sentences of words made at random, of which no two are alike."""
    generator = np.random.default_rng(seed)
    words = ["".join(generator.choice(list("abcdefghiklmnoprstu"), 5)) for _ in range(4_000)]
    return [" ".join(generator.choice(words, 10)) for _ in range(number)]


def rows(number: int, seed: int = 0) -> list[tuple[str, str]]:
    return [(text, "ab"[position % 2]) for position, text in enumerate(sentences(number, seed))]


def severity_by_code(diagnosis) -> dict[str, str]:
    return {finding.code: finding.severity for finding in diagnosis.findings}


@pytest.fixture
def folder(tmp_path):
    train, validation, test = rows(60), rows(40, 1), rows(50, 2)
    train[3] = (train[0][0].upper(), "a")  # repeats row 0
    train[5] = (train[2][0] + " ", "b")  # repeats row 2 with another label
    test[7] = train[9]
    test[8] = ("   ", "a")
    test[9] = ("some text", "")
    validation[4] = (train[11][0] + "s!", "a")
    return write(tmp_path / "set", train=train, validation=validation, test=test)


def test_the_json_of_the_contract(folder, capsys):
    assert main(["doctor", folder, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["splits"]["train"] == {
        "rows": 60, "rows_read": 60, "empty_texts": 0, "missing_labels": 0, "duplicate_rows": 2, "near_duplicate_rows": 0,
        "conflicting_texts": 1, "truncated_rows": 0, "label_counts": {"a": 31, "b": 29},
    }  # fmt: skip
    assert (report["splits"]["test"]["empty_texts"], report["splits"]["test"]["missing_labels"]) == (1, 1)
    assert report["overlap"] == {"train/validation": 0, "train/test": 1, "validation/test": 0}
    assert report["near_overlap"] == {"train/validation": 1, "train/test": 0, "validation/test": 0}
    assert report["labels_not_in_train"] == {"validation": [], "test": []}
    assert report["similar_labels"] == []
    assert {"code", "severity", "message"} <= report["findings"][0].keys()
    severities = [finding["severity"] for finding in report["findings"]]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)


def test_places_are_rows_of_the_source(folder):
    by_code = {finding.code: finding.message for finding in diagnose(folder).findings}
    assert "the first is train.csv, line 5" in by_code["duplicate_rows"]
    assert "the first is in train.csv, line 7" in by_code["conflicting_texts"]
    assert "the first is in test.csv, line 9" in by_code["overlap"]
    assert "validation.csv, line 6 to train.csv, line 13" in by_code["near_overlap"]
    assert (
        by_code["empty_texts"]
        == "1 of the 50 rows read for test has no text and is left out; the first: test.csv, line 10"
    )
    assert by_code["missing_labels"].endswith("the first: test.csv, line 11")


def test_a_clean_set_raises_no_alarm(tmp_path):
    diagnosis = diagnose(write(tmp_path / "set", train=rows(60), validation=rows(40, 1), test=rows(200, 2)))
    assert {finding.severity for finding in diagnosis.findings} == {"info"}
    assert set(diagnosis.overlap.values()) == set(diagnosis.near_overlap.values()) == {0}
    assert all(facts["duplicate_rows"] == facts["near_duplicate_rows"] == 0 for facts in diagnosis.splits.values())


@pytest.mark.parametrize(("overlap", "severity"), [(5, "warning"), (6, "error")])
def test_more_than_five_percent_of_a_split_in_train_is_an_error(tmp_path, overlap, severity):
    train = rows(200)
    diagnosis = diagnose(
        write(tmp_path / "set", train=train, validation=rows(60, 1), test=rows(100 - overlap, 2) + train[:overlap])
    )
    assert severity_by_code(diagnosis)["leakage" if severity == "error" else "overlap"] == severity
    assert bool(diagnosis.refusals) == (severity == "error")


def test_pairs_lists_of_labels_and_numbers_are_examined_too(tmp_path):
    first, second = sentences(60), sentences(60, 1)
    pairs = tmp_path / "pairs.csv"
    lines = [f"{one},{other},{'xy'[n % 2]}\n" for n, (one, other) in enumerate(zip(first, second, strict=True))]
    pairs.write_text("text,text_pair,label\n" + "".join([*lines, lines[0].upper().replace("X", "x")]))
    diagnosis = diagnose(str(pairs))
    assert not diagnosis.refusals
    assert sum(facts["duplicate_rows"] for facts in diagnosis.splits.values()) == 1
    assert diagnosis.token_lengths["splits"]["train"]["median"] > 20

    lists = tmp_path / "lists.jsonl"
    texts = [{"text": text, "labels": ["a", "A", "b"][: n % 4]} for n, text in enumerate(first)]
    lists.write_text("\n".join(map(json.dumps, texts)))
    diagnosis = diagnose(str(lists))
    assert diagnosis.task == "multi_label"
    assert diagnosis.similar_labels == [["A", "a"]]
    assert {"similar_labels", "no_label"} <= severity_by_code(diagnosis).keys()
    assert "not_supported" not in severity_by_code(diagnosis)
    assert sum(facts["label_counts"]["a"] for facts in diagnosis.splits.values()) == 45

    numbers = tmp_path / "numbers.csv"
    numbers.write_text("text,label\n" + "".join(f"{text},{n / 7:.3f}\n" for n, text in enumerate(first)))
    diagnosis = diagnose(str(numbers))
    assert (diagnosis.task, diagnosis.splits["train"]["label_counts"]) == ("regression", {})


def test_labels_that_differ_in_form_refuse_training_until_they_are_declared(tmp_path):
    path = write(
        tmp_path / "set", train=[(text, ["spam", "Spam", "ham"][n % 3]) for n, text in enumerate(sentences(90))]
    )
    assert severity_by_code(diagnose(path))["similar_labels"] == "error"
    assert severity_by_code(diagnose(path, labels=["ham", "spam", "Spam"]))["similar_labels"] == "info"


def test_labels_that_look_like_missing_values_are_a_warning_and_stay_labels(tmp_path, capsys):
    names = ["NA", "null", "None", "nan", ""]
    train = [(text, names[n // 10 % 5] if n % 10 == 0 else "ab"[n % 2]) for n, text in enumerate(sentences(100))]
    path = write(tmp_path / "set", train=train, test=[*rows(60, 1), ("one more", "NA")])
    diagnosis = diagnose(path)
    (finding,) = (one for one in diagnosis.findings if one.code == "labels_like_missing_values")
    assert (finding.severity, finding.fact) == (
        "warning",
        "4 labels look like missing values: 'NA' (3 rows), 'None' (2 rows), 'nan' (2 rows), 'null' (2 rows) in all splits "
        "together; the first row of 'NA' is train.csv, line 2",
    )
    assert finding.advice == (
        "If so, leave the label of these rows empty, and they are left out. If they are labels, keep them and name all labels with "
        "--labels"
    )
    assert sum(facts["label_counts"]["null"] for facts in diagnosis.splits.values()) == 2
    assert sum(facts["missing_labels"] for facts in diagnosis.splits.values()) == 2
    assert main(["doctor", path]) == 0
    assert "4 labels look like missing values" in capsys.readouterr().out
    declared = diagnose(path, labels=["a", "b", "NA", "None", "nan", "null"])
    assert "labels_like_missing_values" not in severity_by_code(declared)


@pytest.mark.parametrize("name", ["N/A", "NaN", "NULL", "#N/A", "<NA>", "(null)", "\\N", "None"])
def test_one_mark_of_a_missing_value_is_enough(tmp_path, name):
    train = [(text, [name, "a", "b"][n % 3]) for n, text in enumerate(sentences(60))]
    messages = {finding.code: finding.message for finding in diagnose(write(tmp_path / "set", train=train)).findings}
    assert messages["labels_like_missing_values"].startswith(f"1 label looks like a missing value: {name!r} (20 rows)")


def test_none_and_names_with_such_letters_are_ordinary_labels(tmp_path):
    names = ["none", "NONE of these", "nand", "NAS", "missing", "unknown", "-"]
    train = [(text, names[n % 7]) for n, text in enumerate(sentences(140))]
    assert "labels_like_missing_values" not in severity_by_code(diagnose(write(tmp_path / "set", train=train)))


def test_in_lists_of_labels_a_mark_of_a_missing_value_is_reported_too(tmp_path):
    lists = tmp_path / "lists.jsonl"
    texts = [{"text": text, "labels": ["a", "b", "NA"][: n % 4]} for n, text in enumerate(sentences(60))]
    lists.write_text("\n".join(map(json.dumps, texts)))
    (finding,) = (one for one in diagnose(str(lists)).findings if one.code == "labels_like_missing_values")
    assert finding.fact.startswith("1 label looks like a missing value: 'NA' (15 rows)")
    assert "remove these rows, or leave their labels empty if none of the labels applies" in finding.advice


def test_each_number_of_rows_says_which_rows_and_spellings_it_counts(tmp_path, capsys):
    spelled = [*["plot"] * 91, *["Film", "film", "film", "FILM"], *"abcdefghijk"]
    path = write(
        tmp_path / "set",
        train=list(zip(sentences(106), spelled, strict=True)),
        test=[("one", "film"), ("two", "plot")],
    )
    messages = {finding.code: finding.message for finding in diagnose(path).findings}
    assert (
        "differ only in capitals, blanks, invisible marks or Unicode form: 'FILM' (1 row), 'Film' (1 row), "
        "'film' (3 rows) in all splits together. They"
    ) in messages["similar_labels"]
    assert ", 'film' (4 in all its spellings), 'h'" not in messages["rare_labels"]
    assert "'film' (4 in all its spellings)" in messages["rare_labels"]
    assert "'plot' has 91 rows in train, 'a' has 1: always" in messages["imbalance"]
    assert main(["doctor", path]) == 1
    assert re.search(
        r"rows of each label in train: 'plot' 91, 'film' 2, .* and 3 more labels\n", capsys.readouterr().out
    )


def test_a_spelling_of_a_label_is_not_a_rare_label(tmp_path):
    spelled = ["spam" if n % 2 else "ham" for n in range(90)]
    spelled[:4] = ["Spam", "Spam", "SPAM", "ham"]
    path = write(tmp_path / "set", train=list(zip(sentences(90), spelled, strict=True)))
    assert not {"rare_labels", "imbalance"} & severity_by_code(diagnose(path)).keys()
    declared = diagnose(path, labels=["ham", "spam", "Spam", "SPAM"])
    assert {"rare_labels", "imbalance"} <= severity_by_code(declared).keys()


def test_rare_absent_and_unbalanced_labels_are_reported(tmp_path):
    train = [(text, "common" if n < 100 else "rare") for n, text in enumerate(sentences(107))]
    diagnosis = diagnose(write(tmp_path / "set", train=train, validation=train[:1] * 2, test=train[1:2] * 30))
    messages = {finding.code: finding.message for finding in diagnosis.findings}
    assert (
        "1 label has under 10 rows in train: 'rare' (7); the first row of 'rare' is train.csv, line 102"
        in messages["rare_labels"]
    )
    assert "1 label has no row in test" in messages["labels_not_in_split"]
    assert "always predicting 'common' is right in 93.5 %" in messages["imbalance"]


ODD = {
    "numbers": ("12,345.60 €", "consists of numbers only"),
    "ids": ("ORD-2024-99812", "looks like an id (one word of letters and digits)"),
    "links": ("https://example.org/a?b=c", "consists of a link only"),
    "no_letters": ("?! 🙂", "has neither a letter nor a digit"),
    "html": ("a fine film<br />really &amp; truly", "holds HTML"),
    "garbled": ("the cafÃ© was fine", "holds letters that were garbled by a wrong encoding (such as Ã©)"),
    "line_breaks": ("one line\nanother", "holds line breaks (read as part of the text)"),
    "other_script": ("это хороший фильм", "is in another script than Latin"),
}


@pytest.mark.parametrize("code", ODD)
def test_texts_that_are_no_plain_texts_are_counted_with_their_place(tmp_path, code):
    texts = rows(80)
    text, what = ODD[code]
    texts[17] = (text, "a")
    diagnosis = diagnose(write(tmp_path / "set", train=texts, validation=rows(40, 1), test=rows(90, 2)))
    odd = [finding for finding in diagnosis.findings if finding.code in ODD]
    assert [finding.code for finding in odd] == [code]
    assert odd[0].fact == f"1 of the 80 texts of train (1.2 %) {what}; the first is in train.csv, line 19"
    texts[20] = (f"{text} ", "b")
    (odd,) = (one for one in diagnose(write(tmp_path / "set", train=texts)).findings if one.code == code)
    assert re.match(r"2 of the 80 texts of train \(2\.5 %\) (are|look like|consist of|have|hold) ", odd.fact)


def test_scripts_are_listed_with_their_proportions(tmp_path):
    texts = [
        (text if n % 3 else "это хороший фильм номер " + "я" * n, "ab"[n % 2]) for n, text in enumerate(sentences(90))
    ]
    assert "the texts are in more than one script: Latin 66.7 %, Cyrillic 33.3 %" in " ".join(
        finding.fact for finding in diagnose(write(tmp_path / "set", train=texts, validation=texts[:3])).findings
    )


def test_target_leakage_is_reported(tmp_path):
    header = ("text", "label", "stars", "sorted", "author", "number")
    train = [
        (
            f"{'pro' if n < 100 else 'con'}: {text}",
            "ab"[n >= 100],
            5 if n < 100 else 1,
            n,
            f"author {n % 7}",
            n * 37 % 199,
        )
        for n, text in enumerate(sentences(200))
    ]
    facts = [
        finding.fact
        for finding in diagnose(write(tmp_path / "set", train=[header, *train])).findings
        if "giveaway" in finding.code
    ]
    assert facts == [
        "the first word of a text tells its label in 100 % of the training rows",
        "the value of the column 'stars' tells the label in 100 % of the training rows (it is not read)",
        "the order of the column 'sorted' tells the label in 99 % of the training rows (it is not read)",
    ]


def test_ordinary_columns_and_row_numbers_are_no_target_leakage(tmp_path):
    header = ("text", "label", "number", "page", "empty")
    train = [(text, label, n, n // 9, "") for n, (text, label) in enumerate(rows(200))]
    assert not [
        code
        for code in severity_by_code(diagnose(write(tmp_path / "set", train=[header, *train])))
        if "giveaway" in code
    ]


def test_tokens_are_those_of_the_model_or_an_estimate_that_is_called_one(tmp_path, tiny_model_dir, capsys):
    texts = [("good film " * (n + 1), "ab"[n % 2]) for n in range(40)]
    path = write(tmp_path / "set", train=texts, validation=texts[:4], test=texts[:4])
    counted = diagnose(path, ModelSource(str(tiny_model_dir)))
    assert counted.token_lengths["counted_by"] == "the tokenizer of tiny-bert"
    assert counted.token_lengths["max_length"] == 32
    assert counted.token_lengths["splits"]["train"]["max"] == 2 * 40 + 2
    assert counted.splits["train"]["truncated_rows"] == sum(2 * (n + 1) + 2 > 32 for n in range(40))
    estimated = diagnose(path, max_length=16)
    assert "estimate" in estimated.token_lengths["counted_by"]
    assert estimated.token_lengths["splits"]["train"]["max"] == 2 * 40 + 2
    assert estimated.splits["train"]["truncated_rows"] == sum(2 * (n + 1) + 2 > 16 for n in range(40))
    assert main(["doctor", path, "--model", str(tiny_model_dir), "--max-length", "99"]) == 2
    assert "--max-length 99 is an invalid value: the model reads 3 to 32 tokens" in capsys.readouterr().err


def test_the_suggested_length_reads_99_percent_of_the_training_texts(tmp_path):
    texts = [("word " * (100 if n == 0 else 20), "ab"[n % 2]) for n in range(200)]
    lengths = diagnose(write(tmp_path / "set", train=texts, validation=texts[:4])).token_lengths
    assert lengths["suggested_max_length"] == 24
    assert sum(lengths["splits"]["train"]["histogram"]) == 200


def test_the_smallest_difference_is_that_of_two_independent_accuracies():
    half_width = 1.96 * math.sqrt(0.9 * 0.1 / 1_000)
    assert smallest_difference(1_000) == pytest.approx(math.sqrt(2) * half_width)
    generator = np.random.default_rng(0)
    gaps = generator.binomial(1_000, 0.9, 20_000) / 1_000 - generator.binomial(1_000, 0.9, 20_000) / 1_000
    assert (np.abs(gaps) > smallest_difference(1_000)).mean() == pytest.approx(0.05, abs=0.01)
    assert smallest_difference(1) == pytest.approx(0.832, abs=0.001)
    assert smallest_difference(1, accuracy=0.5) == 1.0


def test_larger_sets_are_trained_on_without_the_search_for_near_duplicates(folder):
    from hfbertcls.data.loading import load_text_dataset

    diagnosis = examine(load_text_dataset(folder), most_rows=100)
    assert diagnosis.near_overlap is None
    assert "not looked for" in " ".join(finding.fact for finding in diagnosis.findings)


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_holds_findings_counts_and_plots_and_no_code_of_the_data(tmp_path, capsys):
    label = "<script>alert(1)</script>"
    texts = [(text, label if n % 2 else "b") for n, text in enumerate(sentences(60))]
    path = write(tmp_path / "set", train=texts, validation=texts[:3], test=texts[3:9])
    page = tmp_path / "doctor.html"
    assert main(["doctor", path, "--page", str(page)]) == 1
    assert "Written to doctor.html" in capsys.readouterr().err
    parsed = Page()
    parsed.feed(page.read_text(encoding="utf-8"))
    assert "script" not in parsed.tags
    assert label in parsed.text
    assert parsed.tags.count("svg") == 3
    assert "Training would be refused: 2 findings call for it." in parsed.text
    assert not re.search(r'(src|href)="', page.read_text(encoding="utf-8"))
    assert str(tmp_path) not in page.read_text(encoding="utf-8")


def test_the_page_is_a_function_of_the_diagnosis(folder):
    assert render_page(diagnose(folder)) == render_page(diagnose(folder))


def test_the_page_of_an_unreadable_file_says_why(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n")
    assert "no row. Expected one line for each text" in render_page(diagnose(str(tmp_path / "a.csv")))


@pytest.mark.parametrize("option", ["--page", "--suspects"])
def test_no_file_that_is_there_is_written_over(tmp_path, option, capsys):
    data, other = tmp_path / "reviews.csv", tmp_path / "mine.html"
    data.write_text("text,label\n" + "".join(f"text {number},{'ab'[number % 2]}\n" for number in range(60)))
    other.write_text("mine")
    before = data.read_bytes()
    assert main(["doctor", str(data), option, str(data), "--overwrite"]) == 1
    assert "reviews.csv is part of the data that are examined. Name another file" in capsys.readouterr().err
    assert main(["doctor", str(data), option, str(other)]) == 1
    assert "mine.html is already there. Pass --overwrite to replace it" in capsys.readouterr().err
    assert (data.read_bytes(), other.read_text()) == (before, "mine")
    main(["doctor", str(data), option, str(other), "--overwrite"])
    assert other.read_text() != "mine"


def test_a_table_does_not_replace_a_page(tmp_path, capsys):
    data, page = tmp_path / "reviews.csv", tmp_path / "page.html"
    data.write_text("text,label\n" + "".join(f"text {number},{'ab'[number % 2]}\n" for number in range(60)))
    main(["doctor", str(data), "--page", str(page)])
    before = page.read_text()
    capsys.readouterr()
    assert main(["doctor", str(data), "--suspects", str(page)]) == 1
    assert "page.html is already there. Pass --overwrite to replace it" in capsys.readouterr().err
    assert page.read_text() == before


def test_after_each_correction_the_page_is_written_anew(tmp_path):
    data, page = tmp_path / "reviews.csv", tmp_path / "page.html"
    data.write_text("text,label\nonly one,a\n")
    assert main(["doctor", str(data), "--page", str(page)]) == 1
    data.write_text("text,label\n" + "".join(f"text {number},{'ab'[number % 2]}\n" for number in range(60)))
    assert main(["doctor", str(data), "--page", str(page)]) == 0
    assert "Training would be refused" not in page.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_reported(folder, tmp_path, capsys):
    assert main(["doctor", folder, "--page", str(tmp_path / "no" / "where.html")]) == 1
    assert (
        "where.html cannot be written: No such file or directory. Name a file in a folder that is there"
        in capsys.readouterr().err
    )


def test_a_column_that_is_not_there_is_wrong_usage(folder, capsys):
    assert main(["doctor", folder, "--text-column", "txt"]) == 2
    assert "no column 'txt' (did you mean 'text'?)" in capsys.readouterr().err


def test_a_data_set_that_is_not_there_is_a_finding_without_a_path(tmp_path, capsys):
    assert main(["doctor", str(tmp_path / "nothing.csv"), "--json"]) == 1
    report = capsys.readouterr().out
    assert "there is no file or folder 'nothing.csv'" in json.loads(report)["findings"][0]["message"]
    assert str(tmp_path.parent) not in report


def test_labels_that_are_joined_in_a_cell_are_examined_one_by_one(tmp_path, capsys):
    lines = (f"{text},{';'.join(['a', 'b', 'c'][: n % 4])}\n" for n, text in enumerate(sentences(80)))
    (tmp_path / "joined.csv").write_text("text,labels\n" + "".join(lines))
    assert main(["doctor", str(tmp_path / "joined.csv"), "--label-separator", ";", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["task"] == "multi_label"
    assert sum(facts["label_counts"]["c"] for facts in report["splits"].values()) == 20
