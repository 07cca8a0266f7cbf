"""`TextClassifier`: what a person types on the first day, from a file to the Hub and back."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from transformers import pipeline

from hfbertcls import (
    ConfigurationError,
    DatasetError,
    ModelError,
    OutputDirectoryError,
    Report,
    TextClassifier,
    load_text_dataset,
)
from hfbertcls.option_names import command_line


FEW = {"max_steps": 4, "learning_rate": 0.003, "eval_every": 2}
TEXTS = ["a lovely film", "so dull", "the music was really great and the ending superb"]


@pytest.fixture(autouse=True)
def in_python(flags_in_messages):
    with command_line(flags=False):
        yield


@pytest.fixture
def directory(tmp_path, trained_run):
    return Path(shutil.copytree(trained_run, tmp_path / "my-model"))


@pytest.fixture
def classifier(directory):
    return TextClassifier.from_pretrained(directory)


def frame_of(reviews_dir, name="train"):
    return pd.read_csv(reviews_dir / f"{name}.csv")


def test_a_call_answers_as_the_pipeline_of_transformers_does(classifier, directory):
    plain = pipeline("text-classification", model=str(directory))
    for asked in (TEXTS[0], TEXTS, TEXTS[:1]):
        answers, expected = classifier(asked), plain(asked)
        assert [one["label"] for one in answers] == [one["label"] for one in expected]
        assert [one["score"] for one in answers] == pytest.approx([one["score"] for one in expected], abs=1e-5)
    assert [one["label"] for one in classifier(TEXTS)] == ["positive", "negative", "positive"]
    assert {one["label"] for one in classifier(TEXTS, top_k=None)[0]} == {"negative", "positive"}
    assert classifier(pd.Series(TEXTS)) == classifier(TEXTS)
    (long,) = classifier("great " * 10_000)
    assert long["label"] == "positive"


def test_predict_gives_a_row_for_each_text_with_the_score_of_each_label(classifier):
    frame = classifier.predict(pd.Series(TEXTS, index=["x", "y", "z"]))
    assert list(frame.columns) == ["prediction", "score", "negative", "positive"]
    assert list(frame.index) == ["x", "y", "z"]
    assert list(frame.prediction) == ["positive", "negative", "positive"]
    assert np.allclose(frame.score, frame[["negative", "positive"]].max(axis=1))
    assert np.allclose(frame.score, [one["score"] for one in classifier(TEXTS)], atol=1e-5)
    assert classifier.predict(np.array(TEXTS)).equals(classifier.predict(TEXTS))
    assert list(classifier.predict([]).columns) == list(frame.columns)


def test_texts_without_an_answer_keep_their_row_and_say_why(classifier):
    frame = classifier.predict(["", TEXTS[0], None, float("nan"), pd.NA])
    assert frame.prediction.notna().tolist() == [False, True, False, False, False]
    assert frame.positive.notna().tolist() == [False, True, False, False, False]
    assert frame.reason[0] == "the text is empty"
    assert frame.reason[3] == "not a text (float)"
    assert pd.isna(frame.reason[1])


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ("reviews.csv", "one text or path.*for a file call predict_file"),
        (Path("reviews.csv"), "one text or path"),
        (pd.DataFrame({"text": TEXTS}), r"a table.*Pass \[text\], or table\['text'\]"),
        ({"text": TEXTS}, "a table"),
    ],
)
def test_predict_takes_texts_only(classifier, texts, told):
    with pytest.raises(ConfigurationError, match=rf"^predict\(\) got {told}"):
        classifier.predict(texts)


def test_a_multi_label_classifier_gives_lists(multi_label_dir):
    classifier = TextClassifier.from_pretrained(multi_label_dir)
    texts = ["the film great music", "the film"]
    frame = classifier.predict(texts)
    assert list(frame.columns) == ["prediction", "praise", "blame", "music"]
    assert list(frame.prediction) == [[one["label"] for one in answer] for answer in classifier(texts)]
    over = [
        [name for name, least in (("praise", 0.6), ("blame", 0.5), ("music", 0.3)) if row[name] >= least]
        for _, row in frame.iterrows()
    ]
    assert [sorted(labels) for labels in frame.prediction] == [sorted(labels) for labels in over]
    assert len(over[0]) > 1
    assert classifier.report is None
    assert repr(classifier) == "TextClassifier('topics', multi-label, labels: praise, blame, music)"


def test_a_label_with_the_name_of_a_column_keeps_its_score(tmp_path, directory):
    config = json.loads((directory / "config.json").read_text())
    config |= {"id2label": {"0": "score", "1": "reason"}, "label2id": {"score": 0, "reason": 1}}
    (directory / "config.json").write_text(json.dumps(config))
    frame = TextClassifier.from_pretrained(directory).predict([TEXTS[0], ""])
    assert list(frame.columns) == ["prediction", "score", "label score", "label reason", "reason"]
    assert frame.prediction[0] == "reason"


def test_what_it_was_trained_with_is_in_the_report(trained_run, classifier):
    report = classifier.report
    assert isinstance(report, Report)
    assert report.training.steps == 60
    assert report.training.hyperparameters["learning_rate"] == 0.003
    assert report.command.startswith(
        "TextClassifier.train('tiny-bert', 'reviews', output_dir='my-model', max_steps=60"
    )
    assert report.command in (trained_run / "README.md").read_text()
    assert str(trained_run.parent) not in (trained_run / "README.md").read_text()
    assert classifier.verify().holds


@pytest.mark.parametrize("form", ["csv", "frame", "lists", "read"])
def test_it_trains_on_a_file_a_frame_and_lists(form, tmp_path, tiny_model_dir, reviews_dir):
    frame = frame_of(reviews_dir).rename(columns={"text": "review"})
    frame.to_csv(tmp_path / "reviews.csv", index=False)
    data = {
        "csv": str(tmp_path / "reviews.csv"),
        "frame": frame,
        "lists": (list(frame.review), list(frame.label)),
        "read": load_text_dataset(frame, text_column="review", seed=3),
    }[form]
    reading = {"text_column": "review"} if form in ("csv", "frame") else {}
    options = {"epochs": 0.5, "batch_size": 8, "metric": "accuracy", "seed": 3, "early_stopping": 2, "max_length": 16}
    classifier = TextClassifier.train(
        str(tiny_model_dir), data, tmp_path / "out", **options, **reading, eval_every=0.5, weight_decay=0.05
    )
    hyperparameters = classifier.report.training.hyperparameters
    assert hyperparameters["per_device_train_batch_size"] == 8
    assert hyperparameters["num_train_epochs"] == 0.5
    assert hyperparameters["weight_decay"] == 0.05
    assert classifier.report.training.selection_metric == "accuracy"
    assert classifier.report.training.seed == 3
    assert classifier.report.training.options["early_stopping"] == 2
    assert classifier.report.task.max_length == 16
    assert classifier.report.data.splits["train"].rows == 384
    told = "TextClassifier.train('tiny-bert', " + ("'reviews.csv'" if form == "csv" else "data")
    assert classifier.report.command.startswith(told)
    assert ("# data: " in classifier.report.command) == (form != "csv")


def test_an_option_that_is_none_is_named_with_what_was_meant(tmp_path, tiny_model_dir, reviews_dir):
    def train(**options):
        TextClassifier.train(str(tiny_model_dir), reviews_dir, tmp_path / "out", **options)

    with pytest.raises(ConfigurationError, match=r"takes no 'epoch'.*\(did you mean 'epochs'\?\)"):
        train(epoch=3)
    with pytest.raises(ConfigurationError, match=r"takes no 'text_colum'.*did you mean 'text_column'"):
        train(text_colum="x")
    with pytest.raises(ConfigurationError, match=r"takes no 'seeds'\. Call train_with_seeds\(\)"):
        train(seeds=3)
    with pytest.raises(ConfigurationError, match=r"^metric acuracy is an invalid value \(did you mean 'accuracy'\?\)"):
        train(metric="acuracy")
    assert not (tmp_path / "out").exists()


def test_options_of_reading_are_refused_for_data_that_were_read(tmp_path, classifier, tiny_model_dir, reviews_dir):
    data = load_text_dataset(reviews_dir)
    told = r"read already, so 'text_column' would change nothing. Pass it to load_text_dataset\(\)"
    with pytest.raises(ConfigurationError, match=told):
        TextClassifier.train(str(tiny_model_dir), data, tmp_path / "out", text_column="text")
    with pytest.raises(ConfigurationError, match=told):
        classifier.evaluate(data, text_column="text")
    with pytest.raises(ConfigurationError, match=r"no option 'text_colum' \(did you mean 'text_column'\?\)"):
        classifier.evaluate(reviews_dir, text_colum="text")


def test_messages_name_keyword_arguments(tmp_path, directory, tiny_model_dir, reviews_dir):
    with pytest.raises(OutputDirectoryError, match="overwrite=True"):
        TextClassifier.train(str(tiny_model_dir), reviews_dir, directory, **FEW)
    frame = frame_of(reviews_dir).rename(columns={"text": "words", "label": "kind"})
    with pytest.raises(DatasetError, match="text_column='words', label_column='kind'"):
        TextClassifier.train(str(tiny_model_dir), frame, tmp_path / "out", **FEW)


def test_progress_is_seen_and_can_be_silenced(tmp_path, tiny_model_dir, reviews_dir, capfd):
    import datasets
    from transformers.utils import logging

    lines: list[str] = []
    TextClassifier.train(str(tiny_model_dir), reviews_dir, tmp_path / "a", **FEW)
    shown = capfd.readouterr()
    assert "Data: reviews" in shown.err
    assert "step 4 of 4" in shown.err
    assert "Loading weights" not in shown.err
    assert shown.out == ""
    TextClassifier.train(str(tiny_model_dir), reviews_dir, tmp_path / "b", **FEW, log=lines.append)
    assert any("step 4 of 4" in line for line in lines)
    assert any(line.startswith("Results ") for line in lines)
    assert f"{TextClassifier.from_pretrained(tmp_path / 'b', log=None).report.shown.verdict.sentence}." in lines
    silent = TextClassifier.train(str(tiny_model_dir), reviews_dir, tmp_path / "c", **FEW, log=None)
    silent.predict(TEXTS, log=None)
    silent.evaluate(reviews_dir, log=None)
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")
    assert logging.is_progress_bar_enabled()
    assert not datasets.are_progress_bars_disabled()


def test_it_is_measured_on_other_text(classifier, reviews_dir, tmp_path):
    frame = frame_of(reviews_dir, "validation").rename(columns={"text": "review", "label": "kind"})
    report = classifier.evaluate(frame, text_column="review", label_column="kind", output_dir=tmp_path / "e")
    assert report.test.rows == 64
    assert report.test.accuracy.value > 0.9
    assert report.command.startswith("TextClassifier.from_pretrained('my-model').evaluate(data, text_column='review'")
    assert Report.from_json((tmp_path / "e" / "report.json").read_text()) == report
    by_split = classifier.evaluate(reviews_dir, "validation")
    metrics = [one.evaluation[name].metrics for one, name in ((by_split, "validation"), (report, "test"))]
    assert metrics[0] == metrics[1]


def test_it_is_compared_with_words_counted_and_with_a_classifier(classifier, finished_run, reviews_dir):
    comparison = classifier.compare("tfidf", reviews_dir)
    assert (comparison.a.name, comparison.b.name[:6]) == ("my-model", "TF-IDF")
    assert comparison.split == "test"
    rival = TextClassifier.from_pretrained(finished_run)
    by_value, by_name = classifier.compare(rival, reviews_dir), classifier.compare(str(finished_run), reviews_dir)
    assert by_value.comparison == by_name.comparison
    assert by_value.comparison.verdict.startswith("A is better by ")


def test_what_is_printed_is_short_and_says_what_it_is(classifier, reviews_dir):
    assert repr(classifier).startswith(
        "TextClassifier('my-model', single-label, labels: negative, positive; test: accuracy "
    )
    data = load_text_dataset(reviews_dir)
    assert repr(data) == (
        "TextDataset('reviews', single-label, labels: negative, positive; rows: train 480, validation 64, test 64)"
    )
    assert repr(data.splits["train"]) == "TextSplit('train', 480 rows)"
    comparison = repr(classifier.compare("tfidf", data))
    assert comparison.startswith(
        "ModelComparison(A: 'my-model', B: 'TF-IDF + logistic regression, fitted on 480 rows'; 64 rows of test of "
    )
    assert comparison.count("\n") == 1
    assert repr(classifier.verify()).startswith("Verification(holds=True; ")


def test_a_verification_that_fails_prints_what_differs(classifier, directory):
    (directory / "config.json").write_text((directory / "config.json").read_text() + " ")
    printed = repr(classifier.verify())
    assert printed.startswith("Verification(holds=False, differences: 1; ")
    assert "\ndiffers: config.json" in printed


def test_dir_shows_what_can_be_done():
    public = {name for name in dir(TextClassifier) if not name.startswith("_")}
    assert public == {
        "compare", "evaluate", "from_pretrained", "labels", "predict", "push_to_hub", "report", "train", "verify",
    }  # fmt: skip


def test_an_encoder_is_no_classifier(tiny_model_dir):
    with pytest.raises(ModelError, match="is no trained classifier"):
        TextClassifier.from_pretrained(tiny_model_dir)


def test_it_is_pushed_and_loaded_from_the_hub(classifier, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    lines: list[str] = []
    pushed = classifier.push_to_hub("alice/reviews", private=True, commit_message="First", log=lines.append)
    assert pushed.repo_id == "alice/reviews"
    assert pushed.private
    assert any("private repository alice/reviews" in line for line in lines)
    loaded = TextClassifier.from_pretrained("alice/reviews", revision=pushed.oid)
    assert loaded(TEXTS) == classifier(TEXTS)
    assert loaded.predict(TEXTS).equals(classifier.predict(TEXTS))
    assert loaded.report.card.repo_id == classifier.report.card.repo_id == "alice/reviews"
    assert repr(loaded).startswith("TextClassifier('alice/reviews', single-label")
    assert loaded.verify().holds
    with pytest.raises(ConfigurationError, match=r"was loaded from the Hub.*snapshot_download\(\)"):
        loaded.push_to_hub("alice/other")
    with pytest.raises(ConfigurationError, match="is private; private=False does not change that"):
        classifier.push_to_hub("alice/reviews", private=False)


def test_cross_validation_means_what_the_flag_means(tiny_model_dir, reviews, tmp_path, short_contrastive_phase):
    rows = tuple(map(list, zip(*reviews(64, 7), strict=True)))
    classifier = TextClassifier.train(str(tiny_model_dir), rows, output_dir=tmp_path / "off", cross_validation="off")
    assert "cross_validation" not in classifier.report.evaluation
    with pytest.raises(
        ConfigurationError, match="cross.validation.*holds no validation rows out, which .*epochs.* needs"
    ):
        TextClassifier.train(str(tiny_model_dir), rows, output_dir=tmp_path / "on", cross_validation="on", epochs=2)
