"""The app of a model that predicts numbers: what it says to programs, in files and of itself."""

import csv
from pathlib import Path

import pytest
from gradio_client import Client, handle_file

from hfbertcls import load_pipeline


TEXTS = ["a story of the film", "", "the film was great", "a story of the film " * 20]


@pytest.fixture(scope="module")
def client(number_app):
    return Client(number_app.url, verbose=False)


def test_the_number_is_that_of_the_pipeline(client, number_model):
    said = client.predict(TEXTS[2], api_name="/classify")
    (expected,) = load_pipeline(str(number_model))(TEXTS[2])
    assert said["number"] == pytest.approx(expected["score"], rel=1e-5)
    assert set(said) == {"number", "tokens_read", "note"}


def test_words_raise_and_lower_the_number(client):
    said = client.predict(TEXTS[2], api_name="/explain")
    assert said["number"] > 900
    assert [word["word"] for word in said["words"]] == ["the", "film", "was", "great"]
    assert "label" not in said


def test_a_file_gets_a_number_for_each_text(client, tmp_path):
    with (tmp_path / "in.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text"], *([text] for text in TEXTS)])
    path, shown, summary = client.predict(handle_file(tmp_path / "in.csv"), "text", api_name="/classify_file")
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.reader(file))
    assert table[0] == ["text", "predicted_number", "note"]
    assert table[2][1:] == ["", "no text"]
    assert float(table[3][1]) > 900
    assert "tokens read" in table[4][2]
    assert summary.startswith("4 rows. 1 had no text.")
    assert shown["headers"] == ["Text", "Number", "Note"]


def test_the_page_states_metrics_of_numbers(number_app, said_by_the_app):
    said = said_by_the_app(number_app, "import about; print(about.about_text())")
    assert "Predicts a number from a text" in said
    for line in ("| RMSE |", "| Pearson correlation |", "| Always the mean, mean absolute error |"):
        assert line in said
    assert "Per label" not in said
    assert "Confusion" not in said
