"""What measures a model takes the columns that it was trained on, where the data have them."""

import csv
import json

import pytest

from hfbertcls.cli import main
from hfbertcls.inference.remembered import read_as_trained_on
from hfbertcls.modeling.loading import ModelSource


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model_dir, reviews_dir):
    """A model that was trained on one file, whose columns are called body and verdict; and that file."""
    folder = tmp_path_factory.mktemp("remembered")
    rows = list(csv.DictReader((reviews_dir / "train.csv").read_text(encoding="utf-8").splitlines()))[:240]
    with (folder / "mails.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "body", "verdict", "label"])
        writer.writerows([f"mail {index}", row["text"], row["label"], "x"] for index, row in enumerate(rows))
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(folder / "mails.csv"), "--max-steps", "2"]
    columns = ["--text-column", "body", "--label-column", "verdict"]
    assert main([*words, *columns, "--output-dir", str(folder / "m")]) == 0
    return folder / "m", folder / "mails.csv"


def test_evaluate_and_predict_need_no_columns(trained, tmp_path, capsys):
    model, _ = trained
    other = tmp_path / "other.csv"
    other.write_text("text,body,verdict,label\nx,the film was good,positive,x\ny,a dull plot,negative,x\n")
    assert main(["evaluate", str(model), "--dataset", str(other)]) == 0
    assert "(text: body, label: verdict;" in capsys.readouterr().err
    assert main(["predict", str(model), "--input", str(other), "--output", str(tmp_path / "o.csv")]) == 0
    assert "texts in the column 'body'" in capsys.readouterr().err
    assert main(["evaluate", str(model), "--dataset", str(other), "--text-column", "text"]) == 0
    assert "(text: text, label: verdict;" in capsys.readouterr().err


def test_data_without_these_columns_are_read_as_ever(trained, reviews_dir, capsys):
    assert main(["evaluate", str(trained[0]), "--dataset", str(reviews_dir)]) == 0
    assert "(text: text, label: label;" in capsys.readouterr().err


def test_tfidf_is_fitted_on_the_rows_that_the_model_was_trained_on(trained, tmp_path, capsys):
    model, mails = trained
    report = json.loads((model / "report.json").read_text())
    assert main(["compare", str(model), "tfidf", "--dataset", str(mails), "--json"]) == 0
    out = capsys.readouterr()
    splits = report["data"]["splits"]
    assert f"Fitting TF-IDF + logistic regression on {splits['train']['rows']:,} rows" in out.err
    comparison = json.loads(out.out)
    assert comparison["rows"] == splits["test"]["rows"]
    reported = report["evaluation"]["test"]["baselines"]["tfidf_logreg"]["accuracy"]
    assert comparison["metrics"]["accuracy"]["b"] == pytest.approx(reported)
    (tmp_path / "other.csv").write_text("body,verdict\nthe film was good,positive\na dull plot,negative\n")
    assert main(["compare", str(model), "tfidf", "--dataset", str(tmp_path / "other.csv")]) == 1
    assert "tfidf is fitted on the train split and compared on another one" in capsys.readouterr().err


def as_multi_label(report):
    """What a report of a multi-label task has and has not."""
    for entry in report["evaluation"].values():
        entry["confusion_matrix"] = None
        entry["metrics"]["f1_micro"] = entry["metrics"]["accuracy"]
        for baseline in entry["baselines"].values():
            baseline["f1_micro"] = baseline["accuracy"]


def test_the_separator_is_remembered_with_the_label_column(trained, tmp_path):
    model, _ = trained
    report = json.loads((model / "report.json").read_text())
    report["task"] |= {"label_separator": "|", "type": "multi_label"}
    as_multi_label(report)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "report.json").write_text(json.dumps(report))
    (tmp_path / "d.csv").write_text("body,verdict\nfine,positive|negative\npoor,negative\n")
    data = read_as_trained_on([ModelSource(str(tmp_path / "m"))], str(tmp_path / "d.csv"))
    assert (data.label_separator, data.task.labels) == ("|", ("negative", "positive"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("d.jsonl", '{"text": "fine", "verdict": [0, 1]}\n{"text": "so", "verdict": [1, 1]}\n'),
        ("d.csv", 'text,verdict\nfine,"[0, 1]"\nso,"[1, 1]"\n'),
    ],
)
def test_the_labels_of_vectors_are_remembered(trained, tmp_path, name, text):
    report = json.loads((trained[0] / "report.json").read_text())
    report["task"] |= {"type": "multi_label", "text_column": "text"}
    as_multi_label(report)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "report.json").write_text(json.dumps(report))
    (tmp_path / name).write_text(text)
    data = read_as_trained_on([ModelSource(str(tmp_path / "m"))], str(tmp_path / name))
    assert (data.task.name, data.task.labels) == ("multi_label", ("negative", "positive"))
    assert [sorted(labels) for labels in next(iter(data.splits.values())).labels] == [
        ["positive"],
        ["negative", "positive"],
    ]


def test_a_model_on_the_hub_is_known_as_well_as_one_in_a_directory(hub, trained, tmp_path, monkeypatch, capsys):
    model, mails = trained
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    assert main(["push", str(model), "alice/mails"]) == 0
    other = tmp_path / "other.csv"
    other.write_text("text,body,verdict,label\nx,the film was good,positive,x\ny,a dull plot,negative,x\n")
    capsys.readouterr()
    assert main(["evaluate", "alice/mails", "--dataset", str(other)]) == 0
    assert "(text: body, label: verdict;" in capsys.readouterr().err
    assert main(["predict", "alice/mails", "--input", str(other), "--output", str(tmp_path / "o.csv")]) == 0
    assert "texts in the column 'body'" in capsys.readouterr().err
    test_rows = json.loads((model / "report.json").read_text())["data"]["splits"]["test"]["rows"]
    assert main(["evaluate", "alice/mails", "--dataset", str(mails)]) == 0
    assert f"Only the {test_rows} rows of its test split are evaluated" in capsys.readouterr().err


def test_a_report_of_somebody_else_on_the_hub_says_nothing(hub, trained, tmp_path, monkeypatch):
    from huggingface_hub import HfApi

    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    api = HfApi()
    api.create_repo("alice/theirs")
    api.upload_folder(folder_path=str(trained[0]), repo_id="alice/theirs", allow_patterns=["*.json", "*.safetensors"])
    api.upload_file(path_or_fileobj=b'{"wer": 3}', path_in_repo="report.json", repo_id="alice/theirs")
    (tmp_path / "in.csv").write_text("text\nthe film was good\n")
    words = ["--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / "o.csv")]
    assert main(["predict", "alice/theirs", *words]) == 0
