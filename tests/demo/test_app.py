"""The app as a program talks to it: every endpoint, every error."""

import csv
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline


@pytest.fixture(scope="module")
def client(app):
    return Client(app.url, verbose=False)


csv.field_size_limit(10_000_000)  # (what comes back is as long as what was sent)


def table_of(path) -> list[list[str]]:
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


def write_table(path: Path, rows) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def test_hfbertcls_is_not_there_and_the_network_is_not(app, warm):
    for code, error in (
        ("import hfbertcls", "ModuleNotFoundError"),
        ("import socket; socket.getaddrinfo('a.example', 1)", "OSError"),
    ):
        done = warm.run(code, environment=app.environment)
        assert error in done.stderr
    app.asked.write_text("")


def test_only_the_three_endpoints_are_offered(client):
    offered = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert sorted(offered) == ["/classify", "/classify_file", "/explain"]


def test_classify_says_what_the_pipeline_says(client, app):
    text = "the film was great and the plot was not dull"
    said = client.predict(text, api_name="/classify")
    expected = pipeline("text-classification", model=str(app.model), truncation=True, top_k=None)([text])[0]
    assert said["scores"] == pytest.approx({entry["label"]: entry["score"] for entry in expected}, abs=1e-5)
    assert said["label"] == expected[0]["label"]
    assert said["note"] == f"All {said['tokens_read']} tokens were read."


def test_a_long_text_is_answered_and_the_cut_is_said(client):
    said = client.predict("the film was great " * 200, api_name="/classify")
    assert said["note"] == "The first 32 of 802 tokens were read; the rest was not."
    assert said["tokens_read"] == 32


def test_the_value_of_each_word_is_that_of_a_pass_without_it(client, app):
    text = "the film was great, but the plot was dull and the ending un-known 😀"
    said = client.predict(text, api_name="/explain")
    tokenizer = AutoTokenizer.from_pretrained(app.model)
    model = AutoModelForSequenceClassification.from_pretrained(app.model).eval()

    def lead(ids):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids])).logits[0].tolist()
        label = model.config.label2id[said["label"]]
        return logits[label] - max(value for index, value in enumerate(logits) if index != label)

    encoded = tokenizer(text, return_offsets_mapping=True)
    whole = lead(encoded["input_ids"])
    assert said["lead"] == pytest.approx(whole, abs=1e-5)
    assert [word["word"] for word in said["words"]] == [*text.replace(",", "").split()]
    for word in said["words"]:
        assert text[word["start"] : word["end"]] == word["word"]
        masked = [
            tokenizer.mask_token_id if start < word["end"] and end > word["start"] else token
            for token, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        ]
        assert word["value"] == pytest.approx(whole - lead(masked), abs=1e-5)
    assert max(abs(word["value"]) for word in said["words"]) > 1e-4


def test_words_beyond_what_is_read_or_explained_are_not_made_up(client):
    said = client.predict("great " * 500, api_name="/explain")
    assert len(said["words"]) == 30
    assert said["note"].startswith("The first 32 of 502 tokens were read")


@pytest.mark.parametrize("endpoint", ["/classify", "/explain"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "There is no text"),
        (" \n\t ", "There is no text"),
        (["a"], "Expected a text .*not list"),
        ({"a": 1}, "Expected a text .*not dict"),
        (3, "Expected a text .*not int"),
        (True, "Expected a text .*not bool"),
        (None, "Expected a text .*not NoneType"),
        ("x" * 100_001, "100,001 characters; at most 100,000"),
        ("\u200b\ufeff\u00a0", "There is no text"),
    ],
)
def test_what_is_no_text_gets_a_clear_error(client, endpoint, text, message):
    with pytest.raises(AppError, match=message):
        client.predict(text, api_name=endpoint)


def test_a_file_comes_back_with_a_label_for_each_row_in_order(client, tmp_path):
    rows = [["id", "text"], ["1", "a great film"], ["2", ""], ["3", "dull " * 100], ["4", "a dull film"]]
    path, shown, summary = client.predict(
        handle_file(write_table(tmp_path / "in.csv", rows)), "text", api_name="/classify_file"
    )
    table = table_of(path)
    assert table[0] == ["id", "text", "predicted_label", "predicted_score", "note"]
    assert [row[:2] for row in table[1:]] == rows[1:]
    assert [bool(row[2]) for row in table[1:]] == [True, False, True, True]
    assert [row[4] for row in table[1:]] == ["", "no text", "first 32 of 102 tokens read", ""]
    alone = client.predict("a dull film", api_name="/classify")
    assert table[4][2] == alone["label"]
    assert float(table[4][3]) == pytest.approx(alone["scores"][alone["label"]], abs=1e-5)
    assert "4 rows" in summary
    assert "1 had no text" in summary
    assert len(shown["data"]) == 4


def test_cells_that_a_spreadsheet_would_run_come_back_escaped(client, tmp_path):
    cells = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1+1", "\uff1d1+1", "-3.5", "+7", "plain", "'quoted"]
    rows = [["=header", "text"], *([cell, cell] for cell in cells)]
    path, _, _ = client.predict(handle_file(write_table(tmp_path / "in.csv", rows)), "text", api_name="/classify_file")
    table = table_of(path)
    assert table[0][0] == "'=header"
    assert [row[0] for row in table[1:]] == [
        *(f"'{cell}" for cell in cells[:6]),
        *cells[6:],
    ]


def test_ten_thousand_rows_are_scored(client, tmp_path):
    rows = [["text"], *([f"the film {number} was {'great' if number % 2 else 'dull'}"] for number in range(10_000))]
    path, shown, summary = client.predict(
        handle_file(write_table(tmp_path / "in.csv", rows)), "text", api_name="/classify_file"
    )
    table = table_of(path)
    assert [row[0] for row in table] == [row[0] for row in rows]
    assert all(row[1] for row in table)
    assert len(shown["data"]) == 100
    assert summary.startswith("10,000 rows (")


def test_tsv_semicolons_blank_lines_and_a_byte_order_mark(client, tmp_path):
    (tmp_path / "a.tsv").write_text("id\ttext\n1\tgreat, really\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("\ufeffid;text\n1;great, really\n\n2;dull\n\n\n", encoding="utf-8")
    first, _, _ = client.predict(handle_file(tmp_path / "a.tsv"), "text", api_name="/classify_file")
    assert table_of(first)[1][:2] == ["1", "great, really"]
    second, _, _ = client.predict(handle_file(tmp_path / "b.csv"), None, api_name="/classify_file")
    lines = Path(second).read_text("utf-8-sig").splitlines()
    assert [line.split(";")[0] for line in lines] == ['"id"', '"1"', '""', '"2"']
    assert lines[2].endswith('"no text"')


def test_a_text_of_a_file_is_as_long_as_one_of_the_page_and_memory_stays(client, app, tmp_path):
    texts = ["a great film", "dull " * 960_000, "x" * 100_000, "great film " * 5_000]
    path = write_table(tmp_path / "in.csv", [["text"], *([text] for text in texts)])
    client.predict("warm", api_name="/classify")
    at_rest = app.megabytes("VmRSS")
    app.forget_peak()
    result, _, summary = client.predict(handle_file(path), "text", api_name="/classify_file")
    assert app.megabytes("VmHWM") < at_rest + 300
    assert [row[3] for row in table_of(result)[1:]] == [
        "",
        "4,800,000 characters; at most 100,000 are accepted",
        "",
        "first 32 of 10,002 tokens read",
    ]
    assert [bool(row[1]) for row in table_of(result)[1:]] == [True, False, True, True]
    assert "1 had too long a text." in summary


def test_a_file_of_nothing_that_can_be_read_has_notes_and_no_label(client, tmp_path):
    path = write_table(tmp_path / "in.csv", [["id", "text"], ["1", " "]])
    result, _, summary = client.predict(handle_file(path), "text", api_name="/classify_file")
    assert table_of(result)[1] == ["1", " ", "", "", "no text"]
    assert summary == "1 row. 1 had no text."


@pytest.mark.parametrize(
    ("header", "taken"),
    [(["ticket_id", "text", "body"], "text"), (["ticket_id", "subject", "body"], "body")],
)
def test_without_a_column_that_of_training_is_taken_else_the_longest_texts(client, tmp_path, header, taken):
    rows = [header, ["AB-123456789", "great", "a dull film with much music"], ["AB-2", "so-so", "a great film"]]
    path = write_table(tmp_path / "in.csv", rows)
    _, shown, _ = client.predict(handle_file(path), None, api_name="/classify_file")
    assert [row[0] for row in shown["data"]] == [row[header.index(taken)] for row in rows[1:]]


BAD_FILES = {
    "not UTF-8": ("bad.csv", b"text\ncaf\xe9\n", "no text in UTF-8 .byte 8"),
    "ragged": ("bad.csv", b"id,text\n1,a\n2,b,c\n", "Row 2 has 3 cells where the header has 2"),
    "open quote": ("bad.csv", b'text\n"a\n', "no well-formed CSV"),
    "empty": ("bad.csv", b"", "no rows below its header"),
    "header only": ("bad.csv", b"text\n", "no rows below its header"),
    "many rows": ("bad.csv", b"text\n" + b"a\n" * 20_001, "20,001 rows; at most 20,000"),
    "two columns of the name": ("bad.csv", b"text,text\na,b\n", "2 columns 'text'"),
    "no such column": ("bad.csv", b"body\na\n", "no column 'text'. Its columns: body"),
    "too many columns": (
        "bad.csv",
        b"," * 20_000 + b"text\n" + b"\n" * 1_000 + b"a\n",
        "20,001 columns; at most 1,000",
    ),
    "a million columns": ("bad.csv", b"," * 1_000_000 + b"text\na\n", "1,000,001 columns; at most 1,000"),
    "a text for a header": ("bad.csv", b"dull " * 50_000 + b"\na\n", "column 1 has 250,000 characters; at most 200"),
    "NUL": ("bad.csv", b"text\na\0b\n", "no text .NUL"),
    "another kind": ("bad.xlsx", b"text\na\n", "Invalid file type"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(client, tmp_path, kind):
    name, content, message = BAD_FILES[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AppError, match=message):
        client.predict(handle_file(tmp_path / name), "text", api_name="/classify_file")


def test_line_ends_of_old_macs_and_our_own_column_names(client, tmp_path):
    (tmp_path / "mac.csv").write_bytes(b"predicted_label,text\rold,great\rold,dull\r")
    path, _, _ = client.predict(handle_file(tmp_path / "mac.csv"), "text", api_name="/classify_file")
    assert table_of(path)[0] == ["predicted_label", "text", "predicted_label (new)", "predicted_score", "note"]
    assert [row[:2] for row in table_of(path)[1:]] == [["old", "great"], ["old", "dull"]]


@pytest.mark.parametrize("cell", ["\ufeff=1+1", "\u00a0=1+1", " =1+1"])
def test_what_stands_before_a_formula_does_not_hide_it(client, tmp_path, cell):
    rows = [["text", "x"], ["great", cell]]
    path, _, _ = client.predict(handle_file(write_table(tmp_path / "in.csv", rows)), "text", api_name="/classify_file")
    assert table_of(path)[1][1] == f"'{cell}"


def test_words_keep_their_accents_and_emoji_their_parts(client):
    said = client.predict(
        "e\u0301tat \u0939\u093f\u0928\u094d\u0926\u0940 \U0001f469\u200d\U0001f467 !", api_name="/explain"
    )
    assert [word["word"] for word in said["words"]] == [
        "e\u0301tat",
        "\u0939\u093f\u0928\u094d\u0926\u0940",
        "\U0001f469\u200d\U0001f467",
    ]


def test_a_file_that_is_too_large_is_refused(client, tmp_path):
    (tmp_path / "large.csv").write_bytes(b"text\n" + b"a" * 6_000_000)
    with pytest.raises((ValueError, AppError), match="(?i)size|large|413"):
        client.predict(handle_file(tmp_path / "large.csv"), "text", api_name="/classify_file")


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"[" * 1_900_000, 4), (b'{"data": ["' + b"a" * 2_000_000 + b'"]}', 413), (b"[[],[" + b"[]," * 600_000, 4)],
)
def test_a_request_made_to_fill_the_memory_is_refused(client, app, body, status):
    client.predict("warm", api_name="/classify")
    at_rest = app.megabytes("VmRSS")
    app.forget_peak()
    asked = urllib.request.Request(f"{app.url}/gradio_api/call/classify", body, {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError, match=f"HTTP Error {status}"):
        urllib.request.urlopen(asked, timeout=60)
    assert app.megabytes("VmHWM") < at_rest + 300
    assert client.predict("a great film", api_name="/classify")["label"]


def test_a_text_at_the_limit_is_answered_however_its_characters_are_written(client):
    said = client.predict("\U0001f600" * 100_000, api_name="/classify")
    assert said["note"]


@pytest.mark.parametrize("column", [["text"], {"a": 1}, 3])
def test_a_column_that_is_no_name_is_refused(client, tmp_path, column):
    path = write_table(tmp_path / "in.csv", [["text"], ["a"]])
    with pytest.raises(AppError, match="column"):
        client.predict(handle_file(path), column, api_name="/classify_file")


@pytest.mark.parametrize(
    "file", [None, "/etc/hostname", "app.py", "http://169.254.169.254/x.csv", {"path": "/etc/hostname"}, 3, ["a.csv"]]
)
def test_a_path_or_an_address_is_no_file(client, app, file):
    if isinstance(file, dict):
        file = {**file, "meta": {"_type": "gradio.FileData"}}
    with pytest.raises((AppError, ValueError)) as refused:
        client.predict(file, "text", api_name="/classify_file")
    assert "predicted" not in str(refused.value)
    assert app.asked.read_text() == ""


def test_the_uploads_of_others_are_not_served(app):
    for path in ("/etc/hostname", "app.py", str(app.model / "config.json")):
        with pytest.raises(urllib.error.HTTPError, match="403|404"):
            urllib.request.urlopen(f"{app.url}/gradio_api/file={path}")


def test_nothing_was_asked_of_another_host_and_nothing_went_wrong_unseen(app):
    assert app.asked.read_text() == ""
    ours = [line for line in app.log.read_text().splitlines() if "/space/" in line]
    assert ours == []  # no traceback leads through our files; gradio logs those of what it refuses itself
