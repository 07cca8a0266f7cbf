"""`trainer.push_to_hub()` in anybody's script: a complete repository, with metrics that can be recomputed."""

import os

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value, load_dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER

from hfbertcls import (
    ConfigurationError,
    Report,
    SharingError,
    TextClassificationTrainer,
    TextClassificationTrainingArguments,
    load_text_dataset,
)
from hfbertcls.data.tokenization import tokenize_split
from hfbertcls.hub.verify import verify_repository
from hfbertcls.modeling.loading import ModelSource, load_for_training, load_tokenizer
from hfbertcls.repository.verify import verify_directory
from hfbertcls.tasks.multi_label import MultiLabel


@pytest.fixture
def make(tmp_path, tiny_model_dir, reviews_dir, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    data = load_text_dataset(str(reviews_dir))
    source = ModelSource(str(tiny_model_dir))
    tokenizer = load_tokenizer(source)
    tokens = {name: tokenize_split(split, tokenizer, 32, data.task).dataset for name, split in data.splits.items()}

    def build(*, eval_dataset="validation", **changes):
        args = TextClassificationTrainingArguments(
            output_dir=str(tmp_path / "films"), max_steps=6, learning_rate=0.003, eval_every="3", precision="fp32",
            logging_steps=2, **changes,
        )  # fmt: skip
        model = load_for_training(source, data.task, seed=42).model
        return TextClassificationTrainer(
            model, args, None, tokens["train"], tokens.get(eval_dataset), processing_class=tokenizer
        )

    return build


def test_a_script_pushes_a_complete_model(hub, make, tmp_path):
    trainer = make(push_to_hub=True)
    assert not hub.requests("POST|PUT"), "nothing is made before there is a model"
    trainer.train()
    pushed = trainer.push_to_hub(license="mit", dataset="alice/reviews", model_name="Films")
    repo = hub.store.repositories["models", "alice/films"]
    assert repo.private
    assert [commit.oid for commit in repo.history("main")][:-1] == [pushed.oid]
    assert not [
        name for name in repo.head.files if name.startswith("checkpoint") or name.endswith((".bin", ".pt", ".pth"))
    ]
    assert verify_directory(tmp_path / "films").differences == ()
    assert verify_repository("alice/films").differences == ()
    card = repo.content(repo.head.files["README.md"]).decode()
    assert "# Films" in card
    assert "license: mit" in card
    assert "- alice/reviews" in card
    assert "There is no test split" in card
    answers = pipeline("text-classification", model="alice/films", truncation=True)("a superb film")
    assert answers[0]["label"] in ("negative", "positive")


def push_as_scripts_do(folder, model_dir, tokenizer, rows):
    """Train on what `map` returned with a model of two labels, and push it."""
    data = rows.train_test_split(0.25, seed=0)
    args = TextClassificationTrainingArguments(str(folder), max_steps=2, precision="fp32")
    model = AutoModelForSequenceClassification.from_pretrained(model_dir, num_labels=2)
    trainer = TextClassificationTrainer(model, args, None, data["train"], data["test"], processing_class=tokenizer)
    trainer.train()
    trainer.push_to_hub()


def test_the_usual_script_pushes(hub, tmp_path, tiny_model_dir, reviews_dir, monkeypatch):
    """Columns with texts and ids that `map` keeps, labels without names, a tokenizer that states no limit."""
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    tokenizer.model_max_length = VERY_LARGE_INTEGER
    rows = pd.read_csv(reviews_dir / "train.csv").reset_index(names="id")
    rows["labels"] = rows.pop("label").map(["negative", "positive"].index)
    data = Dataset.from_pandas(rows).map(lambda row: tokenizer(row["text"], truncation=True, max_length=32))
    push_as_scripts_do(tmp_path / "usual", tiny_model_dir, tokenizer, data)
    assert verify_repository("alice/usual").differences == ()
    (answer,) = pipeline("text-classification", model="alice/usual", truncation=True)("a superb film " * 500)
    assert answer["label"].startswith("LABEL_")


def test_label_names_come_from_the_data_set(hub, tmp_path, tiny_model_dir, reviews_dir, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    data = load_dataset("csv", data_files=str(reviews_dir / "train.csv"), split="train")
    data = data.class_encode_column("label").map(lambda row: tokenizer(row["text"], truncation=True, max_length=32))
    push_as_scripts_do(tmp_path / "named", tiny_model_dir, tokenizer, data)
    assert verify_repository("alice/named").differences == ()
    (answer,) = pipeline("text-classification", model="alice/named")("a superb film")
    assert answer["label"] in ("negative", "positive")


def test_a_card_is_written_without_a_push(hub, make, tmp_path):
    trainer = make(eval_strategy="epoch", save_strategy="epoch")
    trainer.train()
    trainer.create_model_card(license="mit", model_name="Films")
    assert verify_directory(tmp_path / "films").differences == ()
    card = (tmp_path / "films" / "README.md").read_text(encoding="utf-8")
    assert "# Films" in card
    assert "license: mit" in card
    assert "| Evaluated every | epoch |" in card
    assert "rows, which chose the checkpoint)" in card
    assert "Made by a script of its author, with TextClassificationTrainer." in card
    assert "| Always predicting the most frequent label | accuracy " in card
    assert "TF-IDF" not in card  # (it needs texts)
    assert not hub.requests("POST|PUT")


def test_names_of_the_model_stay(tmp_path, tiny_model_dir):
    features = Features({"input_ids": List(Value("int64")), "labels": ClassLabel(names=["no", "yes"])})
    data = Dataset.from_dict({"input_ids": [[2, 3]], "labels": [0]}, features=features)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_model_dir, id2label={0: "bad", 1: "good"})
    args = TextClassificationTrainingArguments(str(tmp_path), max_steps=2)
    TextClassificationTrainer(model, args, None, data, data)
    assert model.config.id2label == {0: "bad", 1: "good"}


def test_a_script_pushes_a_multi_label_model(hub, tmp_path, tiny_model_dir, reviews_dir, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    source, data = ModelSource(str(tiny_model_dir)), load_text_dataset(str(reviews_dir))
    tokenizer, task = load_tokenizer(source), MultiLabel(("film", *data.task.labels))
    tokens = {}
    for name in ("train", "validation"):
        ids = tokenize_split(data.splits[name], tokenizer, 32).dataset
        labels = [[1.0, float(label == "negative"), float(label == "positive")] for label in data.splits[name].labels]
        tokens[name] = ids.add_column("labels", labels)
    args = TextClassificationTrainingArguments(
        output_dir=str(tmp_path / "films"), max_steps=6, learning_rate=0.003, eval_every="3", precision="fp32"
    )
    model = load_for_training(source, task, seed=42).model
    trainer = TextClassificationTrainer(
        model, args, None, tokens["train"], tokens["validation"], processing_class=tokenizer
    )
    trainer.train()
    trainer.push_to_hub()
    assert verify_repository("alice/films").differences == ()
    report = Report.from_json((tmp_path / "films" / "report.json").read_text())
    assert report.task.type == "multi_label"
    assert len(report.task.extra["thresholds"]) == 3
    assert report.data.splits["train"].label_counts["film"] == 480
    assert report.validation.per_label["film"].recall == 1.0


def test_a_repository_is_named_and_made_public_as_with_the_parent(hub, make):
    trainer = make(hub_model_id="acme/films", hub_private_repo=False)
    trainer.train()
    trainer.push_to_hub()
    assert not hub.store.repositories["models", "acme/films"].private


def test_without_rights_it_is_an_error_before_training(hub, make):
    with pytest.raises(SharingError, match="alice has no write access to 'museum'"):
        make(push_to_hub=True, hub_model_id="museum/films")


def test_without_evaluation_data_there_is_nothing_to_report(hub, make):
    trainer = make(eval_dataset="none")
    trainer.train()
    with pytest.raises(ConfigurationError, match="a push needs metrics, and metrics need a validation data set"):
        trainer.push_to_hub()
    assert not hub.requests("POST|PUT")


def test_a_licence_that_the_hub_does_not_know_is_an_error(hub, make):
    trainer = make()
    with pytest.raises(ConfigurationError, match=r"no licence 'MIT' \(did you mean 'mit'\?\)"):
        trainer.push_to_hub(license="MIT")


def test_a_message_and_a_push_in_the_background(hub, make, tmp_path):
    trainer = make()
    trainer.train()
    waiting = trainer.push_to_hub(commit_message="After cleaning the labels", blocking=False)
    pushed = waiting.result(timeout=120)
    head = hub.store.repositories["models", "alice/films"].head
    assert (head.oid, head.title) == (pushed.oid, "After cleaning the labels")


def test_all_files_of_a_run_have_the_mode_that_the_umask_gives(make, tmp_path):
    trainer = make()
    before = os.umask(0o027)
    try:
        trainer.train()
        trainer.save_model(str(tmp_path / "saved"))
    finally:
        os.umask(before)
    for folder in ("saved", "films"):
        modes = {path.stat().st_mode & 0o777 for path in (tmp_path / folder).rglob("*") if path.is_file()}
        assert modes == {0o640}


def test_a_card_without_a_test_split_has_no_model_index(hub, make, tmp_path):
    trainer = make()
    trainer.train()
    trainer.evaluate()
    trainer.push_to_hub(dataset="alice/reviews")
    card = (tmp_path / "films" / "README.md").read_text()
    assert "- alice/reviews" in card
    assert "model-index" not in card
