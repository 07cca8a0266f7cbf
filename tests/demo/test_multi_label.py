"""The app of a model that can give a text several labels, or none: what it says to programs, in files and of itself."""

import csv
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from gradio_client import Client, handle_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hfbertcls import load_pipeline


THREE, TWO, ONE, NONE = "great music but dull", "the dull film music", "the film was great", "a story of the film"


@pytest.fixture(scope="module")
def client(multi_label_app):
    return Client(multi_label_app.url, verbose=False)


@pytest.mark.parametrize(("text", "count"), [(THREE, 3), (TWO, 2), (ONE, 1), (NONE, 0)])
def test_the_labels_are_those_of_the_pipeline_and_of_predict(client, multi_label_app, text, count):
    said = client.predict(text, api_name="/classify")
    expected = load_pipeline(str(multi_label_app.model))(text)
    assert said["labels"] == [one["label"] for one in expected]
    assert len(said["labels"]) == count
    assert [said["scores"][one["label"]] for one in expected] == pytest.approx([one["score"] for one in expected])
    assert said["thresholds"] == {"praise": 0.6, "blame": 0.5, "music": 0.3}
    assert said["label"] == max(said["scores"], key=said["scores"].get)
    assert said["note"] == f"All {said['tokens_read']} tokens were read."


def test_a_file_has_all_labels_of_a_row_and_says_where_there_are_none(client, tmp_path):
    texts = [THREE, "", NONE, TWO, "a story of the film " * 20, ONE]
    with (tmp_path / "in.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    path, shown, summary = client.predict(handle_file(tmp_path / "in.csv"), "text", api_name="/classify_file")
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.reader(file))
    assert table[0] == ["text", "predicted_label", "predicted_score", "note"]
    assert [row[3] for row in table[1:]] == [
        "",
        "no text",
        "no label reaches its threshold",
        "",
        "no label reaches its threshold; first 32 of 102 tokens read",
        "",
    ]
    for row in table[1:]:
        if row[0]:
            alone = client.predict(row[0], api_name="/classify")
            assert row[1] == "; ".join(alone["labels"])
            scores = [float(score) for score in row[2].split("; ") if score]
            assert scores == pytest.approx([alone["scores"][label] for label in alone["labels"]], abs=1e-5)
    assert (table[2][1], table[2][2], table[3][1], table[3][2]) == ("", "", "", "")
    assert [row[1:] for row in shown["data"]] == [row[1:] for row in table[1:]]
    assert summary == (
        "6 rows got 6 labels (music: 2, praise: 2, blame: 2). 2 got none: no label reaches its threshold. 1 had no text. "
        "Of 1 only the first 32 tokens were read."
    )


@pytest.mark.parametrize("text", [ONE, NONE])
def test_a_lead_counts_from_the_threshold_of_the_likeliest_label(client, multi_label_app, text):
    said = client.predict(text, api_name="/explain")
    tokenizer = AutoTokenizer.from_pretrained(multi_label_app.model)
    model = AutoModelForSequenceClassification.from_pretrained(multi_label_app.model).eval()
    alone = client.predict(text, api_name="/classify")
    assert said["label"] == alone["label"]
    label, least = model.config.label2id[said["label"]], alone["thresholds"][said["label"]]

    def lead(ids):
        with torch.inference_mode():
            return model(input_ids=torch.tensor([ids])).logits[0, label].item() - math.log(least / (1 - least))

    ids = tokenizer(text)["input_ids"]
    assert said["lead"] == pytest.approx(lead(ids), abs=1e-5)
    assert (said["lead"] >= 0) == (said["label"] in alone["labels"])
    assert [word["word"] for word in said["words"]] == text.split()
    for position, word in enumerate(said["words"], 1):
        masked = [*ids[:position], tokenizer.mask_token_id, *ids[position + 1 :]]
        assert word["value"] == pytest.approx(lead(ids) - lead(masked), abs=1e-5)


def test_a_threshold_that_lies_at_infinity_gives_a_finite_lead(multi_label_app, said_by_the_app):
    code = f"""
import classifier as c
from explanation import explain
for stated in (0.0, 1.0):
    c.THRESHOLDS.update(dict.fromkeys(c.LABELS, stated))
    said = explain({ONE!r})
    print(said["lead"], len(said["words"]))
"""
    (low, words), (high, _) = map(str.split, said_by_the_app(multi_label_app, code).splitlines())
    assert 20 < float(low) < 100
    assert -100 < float(high) < -20
    assert words == "4"


def test_without_a_valid_threshold_for_each_label_it_is_one_half(
    multi_label_app, multi_label_dir, said_by_the_app, tmp_path
):
    model = Path(shutil.copytree(multi_label_dir, tmp_path / "model"))
    config = json.loads((model / "config.json").read_text())
    del config["hfbertcls_thresholds"]
    (model / "config.json").write_text(json.dumps(config))
    code = """
import classifier as c
print(c.label_thresholds())
for stated in (None, 0.3, [0.3, 0.3], [0.3, 0.3, 1.5], [0.3, 0.3, float("nan")], [0.3, 0.3, "0.3"], {"praise": 0.3}):
    c.model.config.hfbertcls_thresholds = stated
    print(c.label_thresholds())
c.model.config.hfbertcls_thresholds = [0.3, 0, 1]
print(c.label_thresholds())
"""
    said = said_by_the_app(multi_label_app, code, model).splitlines()
    assert said == [*["[0.5, 0.5, 0.5]"] * 8, "[0.3, 0.0, 1.0]"]


def test_what_is_known_of_the_model_fits_a_multi_label_model(
    multi_label_app, multi_label_dir, app, said_by_the_app, tmp_path
):
    model = Path(shutil.copytree(multi_label_dir, tmp_path / "model"))
    report = json.loads((app.model / "report.json").read_text())
    figures = report["evaluation"]["test"]
    figures["confusion_matrix"] = None
    figures["metrics"] = {
        name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in ("accuracy", "f1_micro", "hamming_loss")
    }
    figures["per_label"] = dict.fromkeys(("praise", "blame", "music"), figures["per_label"]["positive"])
    report["task"] |= {"type": "multi_label", "labels": ["praise", "blame", "music"]}
    (model / "report.json").write_text(json.dumps(report))
    said = said_by_the_app(multi_label_app, "from about import about; print(about())", model)
    assert said.startswith("Gives a text any of 3 labels, or none; fine-tuned from ")
    assert "| Accuracy: exactly the right labels | 0.500 | 0.400 to 0.600 |" in said
    assert "| Micro F1 | 0.500 |" in said
    assert "Always the most frequent set of labels, accuracy" in said
    assert "### Per label" in said
    assert "onfusion" not in said


def test_nothing_went_wrong_unseen(multi_label_app):
    assert multi_label_app.asked.read_text() == ""
    assert [line for line in multi_label_app.log.read_text().splitlines() if "/space/" in line] == []
