"""Labels are strings from end to end, even if they look like YAML, Markdown, HTML, Jinja, a formula or a path."""

import csv
import json

import pyarrow.parquet as pq
import pytest

from hfbertcls.cli import main
from hfbertcls.repository.card_text import escape


LABELS = [
    "no", "null", "NA", "true", "01", "1.0", "1e3", "=SUM(A1)", "a|b", "<script>alert(1)</script>", "{{ x }}", "{% raw %}",
    "../../etc/passwd", "a/b", "*bold* `code`", "😀", "مرحبا بالعالم", "e\u0301", "two\nlines", "LABEL_0", "---", "- item",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model_dir, vocabulary):
    folder = tmp_path_factory.mktemp("odd")
    with (folder / "texts.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(20):
            for index, label in enumerate(LABELS):
                writer.writerow([f"{vocabulary[index]} {vocabulary[index]} {vocabulary[-1 - number]} {number}", label])
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(folder / "texts.csv"), "--max-steps", "30"]
    assert main([*words, "--learning-rate", "0.01", "--output-dir", str(folder / "model")]) == 0
    return folder


def test_configuration_and_report_hold_them_unchanged(trained):
    config = json.loads((trained / "model" / "config.json").read_text(encoding="utf-8"))
    report = json.loads((trained / "model" / "report.json").read_text(encoding="utf-8"))
    assert [config["id2label"][str(index)] for index in range(len(LABELS))] == sorted(LABELS)
    assert config["label2id"] == {label: index for index, label in enumerate(sorted(LABELS))}
    assert report["task"]["labels"] == sorted(LABELS)
    for split in report["evaluation"].values():
        assert set(split["per_label"]) == set(LABELS)
    for facts in report["data"]["splits"].values():
        assert set(facts["label_counts"]) == set(LABELS)


def test_the_predictions_hold_them_unchanged(trained):
    for split in ("validation", "test"):
        table = pq.read_table(trained / "model" / "predictions" / f"{split}.parquet")
        assert set(table["label"].to_pylist()) == set(LABELS)
        assert set(table["prediction"].to_pylist()) <= set(LABELS)


def test_pipeline_answers_with_them(trained):
    from transformers import pipeline

    answers = pipeline("text-classification", model=str(trained / "model"))("the film", top_k=None)
    assert {answer["label"] for answer in answers} == set(LABELS)


def test_evaluate_reads_them_again(trained, capsys):
    words = ["evaluate", str(trained / "model"), "--dataset", str(trained / "texts.csv"), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["task"]["labels"] == sorted(LABELS)


def test_the_tables_of_the_card_show_each_of_them_literally(trained):
    card = (trained / "model" / "README.md").read_text(encoding="utf-8")
    for label in LABELS:
        assert card.count(f"| {escape(label)} |") >= 2, label
    assert "<script>" not in card
    for line in card.splitlines():
        assert not line.startswith("lines |")
