"""The app of a model that reads pairs of texts: its API, files with two columns, words of both texts."""

import csv
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from hfbertcls import load_pipeline


FIRST, SECOND = "the film was great", "a dull plot, so the ending was dull"


@pytest.fixture(scope="module")
def client(pairs_app):
    return Client(pairs_app.url, verbose=False)


def test_the_answer_is_that_of_the_pipeline(client, pairs_model):
    said = client.predict(FIRST, SECOND, api_name="/classify")
    expected = load_pipeline(str(pairs_model))({"text": FIRST, "text_pair": SECOND})
    assert said["label"] == expected["label"]
    assert said["scores"][said["label"]] == pytest.approx(expected["score"], abs=1e-5)
    assert said["scores"] != pytest.approx(client.predict(SECOND, FIRST, api_name="/classify")["scores"], abs=1e-3)


def test_words_of_both_texts_are_explained(client):
    said = client.predict(FIRST, SECOND, api_name="/explain")
    texts = (FIRST, SECOND)
    assert {word["text"] for word in said["words"]} == {0, 1}
    assert all(texts[word["text"]][word["start"] : word["end"]] == word["word"] for word in said["words"])
    without = client.predict(FIRST, SECOND.replace("plot", "[MASK]"), api_name="/classify")["logits"]
    other = next(label for label in without if label != said["label"])
    (value,) = (word["value"] for word in said["words"] if word["word"] == "plot")
    assert said["lead"] - (without[said["label"]] - without[other]) == pytest.approx(value, abs=1e-4)


def test_a_file_has_two_columns_of_texts(client, tmp_path):
    rows = [[FIRST, SECOND, "1"], [FIRST, " ", "2"], ["the film " * 30, SECOND, "3"]]
    with (tmp_path / "in.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["one", "other", "id"], *rows])
    path, shown, _ = client.predict(handle_file(tmp_path / "in.csv"), "one", "other", api_name="/classify_file")
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.reader(file))
    assert table[0] == ["one", "other", "id", "predicted_label", "predicted_score", "note"]
    assert [row[5] for row in table[1:]] == ["", "no text", "32 of 72 tokens read"]
    assert table[1][3] == client.predict(FIRST, SECOND, api_name="/classify")["label"]
    assert shown["data"][0][:2] == [FIRST, SECOND]
    with pytest.raises(AppError, match="Both texts of the pairs would be the same column. Name two columns"):
        client.predict(handle_file(tmp_path / "in.csv"), "one", "one", api_name="/classify_file")


@pytest.mark.parametrize(
    ("texts", "message"),
    [((FIRST, ""), "There is no second text"), (("", SECOND), "There is no first text")],
)
def test_half_a_pair_is_an_error(client, texts, message):
    for name in ("/classify", "/explain"):
        with pytest.raises(AppError, match=message):
            client.predict(*texts, api_name=name)
