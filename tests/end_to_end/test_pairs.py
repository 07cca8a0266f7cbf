"""Pairs of texts, from the file to the Space: the label is whether both sentences have the same mood."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hfbertcls import TextClassifier, load_pipeline
from hfbertcls.cli import main
from hfbertcls.errors import ConfigurationError, DatasetError
from hfbertcls.hub.space.render import SpaceFacts, render_space
from hfbertcls.inference.model_files import report_of
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.repository.card import render_model_card
from hfbertcls.repository.summary import summary
from hfbertcls.workflows.evaluate import evaluate_model


PAIR = {"text": "the film was great", "text_pair": "a dull plot and poor acting"}


def write_pairs(path, count, seed, reviews, columns=("premise", "hypothesis", "label")):
    """Two sentences, each with a good or a bad word; `same` if both are good or both are bad."""
    rows = zip(reviews(count, 2 * seed), reviews(count, 2 * seed + 1), strict=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([one, other, "same" if mood == mood_of_other else "different"]
                         for (one, mood), (other, mood_of_other) in rows)  # fmt: skip
    return path


@pytest.fixture(scope="module")
def pairs_dir(tmp_path_factory, reviews):
    directory = tmp_path_factory.mktemp("data") / "moods"
    directory.mkdir()
    for seed, (name, count) in enumerate({"train": 400, "validation": 80, "test": 80}.items()):
        write_pairs(directory / f"{name}.csv", count, seed, reviews)
    return directory


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model_dir, pairs_dir):
    directory = tmp_path_factory.mktemp("runs") / "moods-model"
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(pairs_dir), "--output-dir", str(directory)]
    words += ["--max-steps", "20", "--learning-rate", "0.003", "--eval-every", "10", "--publish-examples", "2"]
    assert main(words) == 0
    return directory


def failed(words, capsys):
    assert main(words) != 0
    return capsys.readouterr().err


def test_the_report_states_both_columns_and_the_baseline_on_the_second_text(trained):
    report = json.loads((trained / "report.json").read_text())
    assert (report["task"]["text_column"], report["task"]["text_pair_column"]) == ("premise", "hypothesis")
    assert set(report["evaluation"]["test"]["baselines"]) == {
        "majority", "tfidf_logreg", "tfidf_logreg_second_text", "frozen_logreg",
        "frozen_logreg_separate_texts",
    }  # fmt: skip
    assert all(set(one) >= {"text", "text_pair"} for one in report["card"]["examples"])
    assert json.loads((trained / "config.json").read_text())["hfbertcls_text_fields"] == ["text", "text_pair"]


def test_it_verifies_and_the_data_give_the_same_again(trained, pairs_dir, capsys):
    assert main(["verify", str(trained), "--rescore", "--dataset", str(pairs_dir)]) == 0
    assert "test: 80 rows scored again" in capsys.readouterr().out


def test_a_changed_number_of_texts_is_found(trained, tmp_path, capsys):
    import shutil

    copy = shutil.copytree(trained, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    del config["hfbertcls_text_fields"]
    (copy / "config.json").write_text(json.dumps(config))
    assert main(["verify", str(copy)]) == 1
    assert "hfbertcls_text_fields are not the texts of a row" in capsys.readouterr().out


def test_the_call_on_the_card_runs_and_prints_what_the_card_states(trained, capsys):
    card = (trained / "README.md").read_text()
    assert "pairs of texts, up to 32 tokens in all; the longer text is truncated first" in card
    assert "| Row | Text | Second text | Label | Prediction |" in card
    code = card.partition("```python\n")[2].partition("```")[0]
    stated = card.partition("It printed:\n\n```\n")[2].partition("\n```")[0]
    exec(code.replace('model="moods-model"', f"model={str(trained)!r}"), {})
    printed = eval(capsys.readouterr().out.splitlines()[-1])
    assert printed["label"] == json.loads(stated)["label"]
    assert printed["score"] == pytest.approx(json.loads(stated)["score"], abs=2e-3)


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_predict_reads_both_columns_of_training(trained, pairs_dir, tmp_path, ending):
    output = tmp_path / f"answers.{ending}"
    words = ["predict", str(trained), "--input", str(pairs_dir / "test.csv"), "--output", str(output)]
    assert main([*words, "--keep-columns"]) == 0
    stored = pq.read_table(trained / "predictions" / "test.parquet").column("prediction").to_pylist()
    if ending == "parquet":
        table = pq.read_table(output)
        assert table.column("prediction").to_pylist() == stored
        assert table.column_names[-3:] == ["premise", "hypothesis", "label"]
    elif ending == "csv":
        with output.open(newline="", encoding="utf-8") as file:
            assert [row["prediction"] for row in csv.DictReader(file)] == stored
    else:
        assert [json.loads(line)["prediction"] for line in output.read_text().splitlines()] == stored


def test_predict_answers_odd_pairs_with_a_reason_and_takes_named_columns(trained, tmp_path, capsys):
    rows = [
        {"a": "the film was great", "b": "so dull"},
        {"a": "the film", "b": " "},
        {"a": None, "b": "dull"},
        {"a": 5, "b": "x"},
    ]
    (tmp_path / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["predict", str(trained), "--input", str(tmp_path / "odd.jsonl"), "--output", str(tmp_path / "out.jsonl")]
    assert "the model reads pairs of texts, and odd.jsonl has the columns 'a', 'b'. Name those" in failed(
        words, capsys
    )
    assert main([*words, "--text-column", "a", "--text-pair-column", "b"]) == 0
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [one["reason"] for one in answers] == [
        None, "the second text is empty", "the first text is empty", "the first text is not a text (int)",
    ]  # fmt: skip
    assert [one["prediction"] is None for one in answers] == [False, True, True, True]
    assert "both name 'a'. Name two columns" in failed(
        [*words, "--overwrite", "--text-column", "a", "--text-pair-column", "a"], capsys
    )


def test_single_texts_for_a_model_of_pairs_and_the_reverse_are_errors(
    trained, finished_run, pairs_dir, reviews_dir, tmp_path
):
    with pytest.raises(
        DatasetError, match=r"trained on pairs of texts \(the columns 'premise', 'hypothesis'\).*--text-pair-column"
    ):
        evaluate_model(str(trained), str(reviews_dir))
    with pytest.raises(DatasetError, match="reads one text a row, and the rows of moods are pairs"):
        evaluate_model(str(finished_run), str(pairs_dir))
    with pytest.raises(
        ConfigurationError, match="reads pairs of texts, and got a single text. Pass the second texts as text_pair="
    ):
        TextClassifier.from_pretrained(trained, log=None)("the film was great")
    with pytest.raises(ConfigurationError, match="reads single texts, and got a pair. Pass one text for each row"):
        TextClassifier.from_pretrained(finished_run, log=None).predict([("a", "b")], log=None)
    with pytest.raises(ConfigurationError, match="the model reads pairs of texts, and got a single one"):
        load_pipeline(str(trained))(["the film"])


def test_every_obvious_form_of_a_pair_gets_the_same_answer(trained):
    import pandas as pd

    classifier = TextClassifier.from_pretrained(trained, log=None)
    first, second = PAIR.values()
    (answer,) = classifier(first, text_pair=second)
    assert classifier(PAIR) == classifier((first, second)) == classifier([PAIR]) == [answer]
    assert classifier([first, "so dull"], text_pair=[second, "so good"])[0] == pytest.approx(answer)
    table = pd.DataFrame({"text": [first, "", "so dull"], "text_pair": [second, "x", "very cold"]}, index=[7, 8, 9])
    frame = classifier.predict(table["text"], table["text_pair"], log=None)
    assert (frame.prediction[7], frame.index.tolist()) == (answer["label"], [7, 8, 9])
    assert frame.reason.dropna().to_dict() == {8: "the first text is empty"}
    frame = classifier.predict([first, second], [second, pd.NA], log=None)
    assert frame.reason.dropna().to_dict() == {1: "the second text is empty"}
    assert classifier.predict([PAIR, (first, second)], log=None).score.tolist() == pytest.approx(
        [answer["score"]] * 2, abs=1e-5
    )
    for inputs, text_pair, message in (
        (["a"], ["b", "c"], "got 1 texts and 2 texts"),
        ("a", ["b"], "got one text and 1 texts"),
        ([("a", "b")], ["c"], "text_pair was passed beside pairs"),
        ([("a", "b"), "c"], None, "some of the texts are pairs"),
        ([("a", "b", "c")], None, "a pair has two texts, and got tuple with 3 entries"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            classifier(inputs, text_pair=text_pair)


def test_plain_pipeline_in_another_process_gives_the_answer_of_ours(trained):
    code = f"from transformers import pipeline; print(pipeline('text-classification', {str(trained)!r}, truncation=True)({PAIR!r}))"
    plain = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    ours = load_pipeline(str(trained))(PAIR)
    assert eval(plain.stdout) == {"label": ours["label"], "score": pytest.approx(ours["score"], abs=1e-5)}


def test_compare_with_tfidf_writes_both_texts_of_a_disagreement(trained, pairs_dir, tmp_path):
    words = ["compare", str(trained), "tfidf", "--dataset", str(pairs_dir), "--output-dir", str(tmp_path / "c")]
    assert main(words) == 0
    report = report_of(ModelSource(str(trained)))
    compared = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert compared["metrics"]["accuracy"]["b"] == report.test.baselines["tfidf_logreg"].metrics["accuracy"]
    with (tmp_path / "c" / "disagreements.csv").open(newline="") as file:
        assert next(csv.reader(file))[-2:] == ["text", "text_pair"]


def test_few_pairs_are_cross_validated(tiny_model_dir, tmp_path, reviews, short_contrastive_phase):
    write_pairs(tmp_path / "few.csv", 90, 5, reviews, ("question1", "question2", "label"))
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(tmp_path / "few.csv")]
    assert main([*words, "--output-dir", str(tmp_path / "o")]) == 0
    report = report_of(ModelSource(str(tmp_path / "o")))
    assert report.cross_validation.rows == 90
    assert "tfidf_logreg_second_text" in report.cross_validation.baselines
    assert main(["verify", str(tmp_path / "o")]) == 0


def write_same_or_other(path, count, seed):
    """Two texts of four words; `same` if they are the same text."""
    generator, words = np.random.default_rng(seed), ["film", "plot", "acting", "great", "dull", "poor", "was", "and"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "text_pair", "label"])
        for row in range(count):
            one, other = (" ".join(generator.choice(words, 4, replace=False)) for _ in range(2))
            writer.writerow([one, one if row % 2 else other, "same" if row % 2 else "other"])
    return path


def test_a_baseline_encodes_each_text_alone_and_sees_whether_they_are_the_same(
    tiny_model_dir, tmp_path, short_contrastive_phase
):
    data = tmp_path / "data"
    data.mkdir()
    write_same_or_other(data / "train.csv", 80, 0)
    write_same_or_other(data / "test.csv", 60, 1)
    classifier = TextClassifier.train(str(tiny_model_dir), data, output_dir=tmp_path / "out")
    report = classifier.report
    assert not classifier.verify().differences
    for evaluation in (report.cross_validation, report.test):
        apart = evaluation.baselines["frozen_logreg_separate_texts"]
        assert apart.metrics["accuracy"] >= 0.95 > evaluation.baselines["frozen_logreg"].metrics["accuracy"]
        assert "frozen encoder + logistic regression, each text encoded alone" in evaluation.verdict.sentence
    assert report.test.baselines["frozen_logreg_separate_texts"].train_rows == 80
    assert report.cross_validation.baselines["frozen_logreg_separate_texts"].train_rows == 64
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| Frozen encoder + logistic regression, each text encoded alone | " in card
    assert "To improve it: compare embeddings of the two texts" in summary(report)


def test_the_onnx_graph_gives_the_same_logits(trained, pairs_dir, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    assert main(["export", str(trained), "--output-dir", str(tmp_path / "e"), "--dataset", str(pairs_dir)]) == 0
    (exported,) = json.loads((tmp_path / "e" / "export.json").read_text())["files"]
    assert exported["agreement"]["same_label"] == 1
    assert exported["agreement"]["largest_difference"] < 1e-4
    assert json.loads((tmp_path / "e" / "config.json").read_text())["hfbertcls_text_fields"] == ["text", "text_pair"]


def test_the_space_gets_an_example_of_two_texts(trained):
    card = (trained / "README.md").read_text()
    facts = SpaceFacts.of("me/moods", report_of(ModelSource(str(trained))), card)
    assert len(render_space(facts)["examples.txt"].decode().strip().split("\t")) == 2


def test_the_order_of_the_texts_matters_to_hashes_and_duplicates(pairs_dir, tmp_path):
    from hfbertcls import load_text_dataset

    swapped = load_text_dataset(str(pairs_dir), text_column="hypothesis", text_pair_column="premise")
    data = load_text_dataset(str(pairs_dir))
    assert data.splits["test"].rows_sha256 != swapped.splits["test"].rows_sha256
    assert data.text_columns == ("premise", "hypothesis")
    codes = [np.array(sorted(one.splits["test"].texts)) for one in (data, swapped)]
    assert not np.array_equal(*codes)
    assert Path(pairs_dir).name == data.source


def test_evaluate_gives_the_metrics_of_the_report(trained, pairs_dir):
    report = report_of(ModelSource(str(trained)))
    assert evaluate_model(str(trained), str(pairs_dir)).test.metrics == report.test.metrics


def test_seeds_are_averaged_and_a_complete_run_is_not_repeated(tiny_model_dir, pairs_dir, tmp_path, capsys):
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(pairs_dir), "--output-dir", str(tmp_path / "o")]
    words += ["--max-steps", "4", "--eval-every", "2", "--recipe", "plain", "--seeds", "2", "--average", "uniform"]
    assert main(words) == 0
    assert json.loads((tmp_path / "o" / "config.json").read_text())["hfbertcls_text_fields"] == ["text", "text_pair"]
    assert main(["verify", str(tmp_path / "o")]) == 0
    assert main([*words, "--resume"]) == 0


def test_pairs_can_have_several_labels_in_memory(tiny_model_dir, pairs_dir, tmp_path):
    with (pairs_dir / "train.csv").open(newline="") as file:
        rows = [(row["premise"], row["hypothesis"], [row["label"], *(["good"] * ("good" in row["premise"]))])
                for row in csv.DictReader(file)]  # fmt: skip
    classifier = TextClassifier.train(str(tiny_model_dir), rows, tmp_path / "o", max_steps=4, recipe="plain", log=None)
    assert (classifier.task.name, classifier.report.task.text_pair_column) == ("multi_label", "text_pair")
    assert isinstance(classifier(PAIR), list)
    assert classifier.verify(log=None).holds
    card = (tmp_path / "o" / "README.md").read_text()
    assert 'print(classifier({"text": "This is an example.' in card


def test_it_is_pushed_and_its_space_is_called_with_two_texts(trained, hub, monkeypatch, tmp_path):
    import shutil

    from hfbertcls.repository.model_repository import address

    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    copy = shutil.copytree(trained, tmp_path / "moods")
    assert main(["push", str(copy), "alice/moods"]) == 0
    address(copy, space_id="alice/moods-demo")
    card = (copy / "README.md").read_text()
    assert '"And this is the second text of the pair.", api_name="/classify")' in card
    assert 'handle_file("pairs.csv"), "text", "text_pair", api_name="/classify_file")' in card
    assert main(["verify", str(copy)]) == 0


def test_a_token_type_that_the_model_lacks_is_an_error_before_training(tiny_tokenizer, pairs_dir, tmp_path, capsys):
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(tiny_tokenizer), type_vocab_size=1, **sizes)).save_pretrained(tmp_path / "m")
    tiny_tokenizer.save_pretrained(tmp_path / "m")
    words = ["train", "--model", str(tmp_path / "m"), "--dataset", str(pairs_dir), "--output-dir", str(tmp_path / "o")]
    message = (
        "second text of a pair token type 1, but the model knows only 1. Remove token_type_ids from model_input_names"
    )
    assert message in failed(words, capsys)


def test_the_card_warns_where_the_second_text_alone_tells_the_label(trained):
    report = report_of(ModelSource(str(trained)))
    key = "tfidf_logreg_second_text"
    second = report.test.baselines[key]
    telling = replace(second, metrics={**second.metrics, "accuracy": 0.99})
    test = replace(report.test, baselines={**report.test.baselines, key: telling})
    sentence = "TF-IDF on the second text alone reaches accuracy 0.990, so the labels can largely be guessed"
    assert sentence in render_model_card(replace(report, evaluation={**report.evaluation, "test": test}))
    assert "TF-IDF on the second text alone reaches" not in (trained / "README.md").read_text()


def test_other_ways_to_read_long_texts_are_an_error(tiny_model_dir, pairs_dir, tmp_path, capsys):
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(pairs_dir), "--output-dir", str(tmp_path / "o")]
    message = failed([*words, "--long-text", "windows"], capsys)
    assert (
        "--long-text windows is for single texts: of a pair that is too long, the longer text is truncated" in message
    )
