"""`verify` against forgers: some change a file, some adapt report, card and hashes to the change."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbertcls import ModelError, Report
from hfbertcls.cli import main
from hfbertcls.evaluation.splits import evaluate_split
from hfbertcls.files import hashes_of
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.repository.card import Fence, join_card, render_model_card, sha256_of_text, split_card
from hfbertcls.repository.stated_files import stated_files
from hfbertcls.repository.verify import verify_directory
from hfbertcls.tasks.known import task_of_report


class Forger:
    """A model repository of a forger who knows how it is made."""

    def __init__(self, folder: Path, other: Path, data: Path) -> None:
        self.folder, self.other, self.data = folder, other, data

    @property
    def report(self) -> dict:
        return json.loads((self.folder / "report.json").read_text())

    def path(self, name: str) -> Path:
        return self.folder / name

    def edit_json(self, name: str, **changes) -> None:
        values = json.loads(self.path(name).read_text())
        self.path(name).write_text(json.dumps(values | changes))

    def card(self, change) -> None:
        self.path("README.md").write_text(change(self.path("README.md").read_text()))

    def above(self, text: str) -> None:
        self.card(lambda card: card.replace("<!-- hfbertcls:begin", f"{text}\n\n<!-- hfbertcls:begin", 1))

    def below(self, text: str) -> None:
        self.card(lambda card: f"{card}\n{text}\n")

    def predictions(self, name: str = "test") -> Predictions:
        data = self.path(f"predictions/{name}.parquet").read_bytes()
        return Predictions.from_parquet(data, task_of_report(self.report["task"]))

    def write_predictions(self, predictions: Predictions, name: str = "test") -> None:
        """Write a predictions file, and derive all metrics of the split from it."""
        self.path(f"predictions/{name}.parquet").write_bytes(predictions.to_parquet())
        report = self.report
        evaluation = report["evaluation"][name]
        facts = {
            key: {fact: one[fact] for fact in ("train_rows", "analyzer") if fact in one}
            for key, one in (evaluation["baselines"] or {}).items()
        }
        temperature = (evaluation["calibration"] or {}).get("temperature")
        derived = evaluate_split(predictions, "0" * 64, facts, temperature).to_dict()
        report["evaluation"][name] |= derived
        counts = {label: row["support"] for label, row in derived["per_label"].items()}
        report["data"]["splits"][name] |= {
            "rows": len(predictions),
            "rows_read": len(predictions),
            "label_counts": counts,
        }
        self.seal(report)

    def seal(self, report: dict, *, hashes: bool = True) -> None:
        """Write a report and the card that follows from it, and let all hashes fit."""
        if hashes:
            digests = hashes_of(self.folder, stated_files(Report.from_json(json.dumps(report))))
            for key in ("files_sha256",):
                report[key] = {name: digests.get(name, digest) for name, digest in report[key].items()}
                inner = report["model"][key]
                report["model"][key] = {name: digests.get(name, digest) for name, digest in inner.items()}
            report["model"]["weights_sha256"] = digests.get("model.safetensors", report["model"]["weights_sha256"])
            for name, entry in report["evaluation"].items():
                path = f"predictions/{name}.parquet"
                entry["predictions_sha256"] = digests.get(path, entry["predictions_sha256"])
        made = Report.from_json(json.dumps(report))
        self.path("report.json").write_text(made.to_json())
        card, _ = join_card(render_model_card(made), self.path("README.md").read_text())
        self.path("README.md").write_text(card)

    def change(self, change) -> None:
        """Change the report, and let everything else follow."""
        report = self.report
        change(report)
        self.seal(report)


@pytest.fixture(scope="session")
def other_run(tmp_path_factory, tiny_model_dir, reviews_dir) -> Path:
    """Another honest repository: the same base and data, another seed, and rows on its card."""
    directory = tmp_path_factory.mktemp("other") / "film-reviews"
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--output-dir", str(directory)]
    words += ["--max-steps", "20", "--learning-rate", "0.003", "--eval-every", "10"]
    assert main([*words, "--seed", "7", "--publish-examples", "3"]) == 0
    return directory


@pytest.fixture
def forger(model_dir, other_run, reviews_dir):
    return Forger(model_dir, other_run, reviews_dir)


def differences_in(folder: Path) -> str:
    try:
        verification = verify_directory(folder)
    except ModelError as err:
        return str(err)
    assert not verification.holds or not verification.differences
    return "\n".join((*verification.differences, *verification.missing))


def better(predictions: Predictions) -> Predictions:
    """Logits by which every row is right."""
    logits = np.full_like(predictions.logits, -3.0)
    logits[np.arange(len(logits)), predictions.gold] = 3.0
    return replace(predictions, logits=logits)


def kept(predictions: Predictions, which) -> Predictions:
    return replace(
        predictions,
        rows=predictions.rows[which],
        gold=predictions.gold[which],
        logits=predictions.logits[which],
        tokens=predictions.tokens[which],
        baselines={name: answers[which] for name, answers in predictions.baselines.items()},
    )


def an_old_renderer(forger):
    forger.change(lambda report: report["card"].update(renderer="0"))
    fence = Fence.find(split_card(forger.path("README.md").read_text())[1])
    value = f"**{forger.report['evaluation']['test']['metrics']['accuracy']['value']:.3f}**"
    body = fence.body.replace(value, "**0.999**")
    forger.card(lambda card: card.replace(fence.body, body).replace(fence.body_sha256, sha256_of_text(body)))


def no_hash_of_the_weights(forger):
    forger.path("model.safetensors").write_bytes((forger.other / "model.safetensors").read_bytes())
    report = forger.report
    report["model"]["weights_sha256"] = None
    forger.seal(report, hashes=False)


def weights_in_parts_that_no_hash_covers(forger):
    shutil.copy(forger.other / "model.safetensors", forger.path("model-00001-of-00001.safetensors"))
    index = {"metadata": {}, "weight_map": {"classifier.bias": "model-00001-of-00001.safetensors"}}
    forger.path("model.safetensors.index.json").write_text(json.dumps(index))
    forger.path("model.safetensors").unlink()
    report = forger.report
    report["model"]["weights_sha256"] = None
    forger.seal(report, hashes=False)


def perfect_without_predictions(forger):
    forger.write_predictions(better(forger.predictions()))
    shutil.rmtree(forger.path("predictions"))


def only_the_right_rows_in_the_file(forger):
    predictions = forger.predictions()
    chosen = kept(predictions, predictions.predicted == predictions.gold)
    forger.path("predictions/test.parquet").write_bytes(chosen.to_parquet())


def rows_twenty_times(forger):
    predictions = forger.predictions()
    many = np.tile(np.flatnonzero(predictions.predicted == predictions.gold), 20)
    forger.write_predictions(kept(predictions, many))


def one_layer(forger):
    forger.edit_json("config.json", num_hidden_layers=1)


def two_words_swapped(forger):
    tokenizer = json.loads(forger.path("tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["good"], vocabulary["bad"] = vocabulary["bad"], vocabulary["good"]
    forger.path("tokenizer.json").write_text(json.dumps(tokenizer))


def weak_baselines(forger):
    def change(report):
        for entry in report["evaluation"].values():
            for one in entry["baselines"].values():
                one |= {"accuracy": 0.01, "f1_macro": 0.01}

    forger.change(change)


def baselines_without_predictions(forger):
    report = forger.report
    data = forger.path("predictions/test.parquet").read_bytes()
    table = pq.read_table(io.BytesIO(data)).drop_columns(
        ["baseline_majority", "baseline_tfidf_logreg", "baseline_frozen_logreg"]
    )
    pq.write_table(table, forger.path("predictions/test.parquet"))
    forger.seal(report)


def an_earlier_fence(forger):
    fence = Fence.find(split_card(forger.path("README.md").read_text())[1])
    forger.above(fence.text.replace("0.", "0.9"))


def a_later_fence(forger):
    forger.below("<!-- HFBERTCLS:BEGIN -->\naccuracy 0.999\n<!-- HFBERTCLS:END -->")


def a_split_called_by_a_path(forger):
    report = forger.report
    name = str(forger.other / "predictions" / "test")
    for part in (report["evaluation"], report["data"]["splits"]):
        part[name] = part.pop("test")
    forger.path("report.json").write_text(json.dumps(report))


def predictions_exchanged(forger):
    one, two = forger.path("predictions/test.parquet"), forger.path("predictions/validation.parquet")
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def of_the_other_run(*names):
    def forge(forger):
        for name in names:
            shutil.copy(forger.other / name, forger.path(name))

    forge.__name__ = f"{'_and_'.join(names)}_of_another_run"
    return forge


def planted(name, content):
    def forge(forger):
        forger.path(name).write_text(content)

    forge.__name__ = f"planted_{name}"
    return forge


def around(place, text, name):
    def forge(forger):
        getattr(forger, place)(text)

    forge.__name__ = name
    return forge


def another_temperature(forger):
    forger.edit_json("config.json", hfbertcls_temperature=1.5)
    forger.seal(forger.report)


def another_length(forger):
    forger.edit_json("tokenizer_config.json", model_max_length=8)
    forger.seal(forger.report)


def another_kind_of_task(forger):
    forger.edit_json("config.json", problem_type="multi_label_classification")
    forger.seal(forger.report)


def another_pooling(forger):
    other = {"first": "mean", "mean": "first"}[forger.report["model"]["pooling"]]
    forger.change(lambda report: report["model"].update(pooling=other))


def another_architecture(forger):
    forger.edit_json("config.json", architectures=["BertForMaskedLM"])
    forger.seal(forger.report)


def no_hash_of_the_configuration(forger):
    report = forger.report
    del report["model"]["files_sha256"]["config.json"]
    forger.edit_json("config.json", num_hidden_layers=1)
    forger.seal(report)


def no_number_is_a_number(forger):
    data = forger.path("predictions/test.parquet").read_bytes()
    table = pq.read_table(io.BytesIO(data))
    logits = pa.array([[float("nan"), 1.0]] * len(table), pa.list_(pa.float32()))
    table = table.set_column(table.column_names.index("logits"), "logits", logits)
    pq.write_table(table, forger.path("predictions/test.parquet"))
    forger.seal(forger.report)


def predictions_that_do_not_follow(forger):
    data = forger.path("predictions/test.parquet").read_bytes()
    table = pq.read_table(io.BytesIO(data))
    table = table.set_column(table.column_names.index("prediction"), "prediction", table.column("label"))
    pq.write_table(table, forger.path("predictions/test.parquet"))
    forger.seal(forger.report)


def fewer_rows_than_the_split(forger):
    forger.change(lambda report: report["data"]["splits"]["test"].update(rows=6_400, rows_read=6_400))


def a_row_of_two_splits(forger):
    def change(report):
        for facts in report["data"]["splits"].values():
            facts["sha256"] = "a" * 64

    forger.change(change)


def another_picture(forger):
    shutil.copy(forger.path("plots/learning_curves.png"), forger.path("plots/reliability.png"))


def a_key_stated_twice(forger):
    forger.card(lambda card: card.replace("---\n", "---\nlicense: mit\nlicense: mit\n", 1))


def front_matter_that_is_no_list_of_keys(forger):
    forger.card(lambda card: "---\n- a\n---\n" + split_card(card)[1])


def rows_on_the_card_answered_otherwise(forger):
    shutil.rmtree(forger.folder)
    shutil.copytree(forger.other, forger.folder)

    def change(report):
        one = report["card"]["examples"][0]
        one["label"] = one["prediction"] = "positive" if one["label"] == "negative" else "negative"

    forger.change(change)


def rows_on_the_card_that_are_nowhere(forger):
    shutil.rmtree(forger.folder)
    shutil.copytree(forger.other, forger.folder)
    forger.change(lambda report: report["card"]["examples"][0].update(row=9_999))


SEEN = [
    (an_old_renderer, "report.json: card.renderer is \"'0'\", this release renders '2'"),
    (no_hash_of_the_weights, "it states no SHA-256 of model.safetensors, nor of all its parts"),
    (weights_in_parts_that_no_hash_covers, "it states no SHA-256 of model.safetensors, nor of all its parts"),
    (perfect_without_predictions, "the metrics of test: predictions/test.parquet is not there"),
    (only_the_right_rows_in_the_file, "predictions/test.parquet: it has"),
    (rows_twenty_times, "has rows twice"),
    (one_layer, "config.json: its SHA-256 is not the one"),
    (two_words_swapped, "tokenizer.json: its SHA-256 is not the one"),
    (weak_baselines, "evaluation.test.baselines.majority.accuracy states '0.01'"),
    (baselines_without_predictions, "evaluation.test.baselines states"),
    (an_earlier_fence, "there is a second generated part"),
    (a_later_fence, "there is a second generated part"),
    (a_split_called_by_a_path, "expected the name of a split"),
    (predictions_exchanged, "predictions/test.parquet: its SHA-256"),
    (of_the_other_run("model.safetensors"), "model.safetensors: its SHA-256"),
    (of_the_other_run("README.md"), "report.json: its SHA-256"),
    (of_the_other_run("README.md", "report.json"), "model.safetensors: its SHA-256"),
    (of_the_other_run("README.md", "report.json", "model.safetensors"), "predictions/test.parquet: its SHA-256"),
    (of_the_other_run("config.json"), "config.json: its SHA-256"),
    (planted("adapter_config.json", "{}"), "adapter_config.json: report.json does not state it, and it can change"),
    (planted("added_tokens.json", "{}"), "added_tokens.json: report.json does not state it"),
    (planted("vocab.txt", "[PAD]"), "vocab.txt: report.json does not state it"),
    (planted("tokenizer.4.0.0.json", "{}"), "tokenizer.4.0.0.json: report.json does not state it"),
    (around("above", "<div hidden>", "hidden"), "is inside of <div>, which was opened above it"),
    (around("above", "<details><summary>Old</summary>", "folded"), "is inside of <details>"),
    (around("above", "Text <span style='font-size: 0'>", "tiny"), "is inside of <span>"),
    (around("above", "<textarea>", "a_box_of_text"), "changes how it is shown"),
    (around("above", "<!-- ", "a_comment"), "changes how it is shown"),
    (around("above", "```", "a_block_of_code"), "changes how it is shown"),
    (around("above", "<div>\ntext\n</div>\n<!-- x -->\n<pre>", "an_open_block"), "is inside of <pre>"),
    (around("below", "<style>h1 {display: none}</style>", "a_style"), "<style> outside of the generated part"),
    (around("below", "<div style='position: fixed; inset: 0'>0.999</div>", "a_cover"), "the style of <div> outside"),
    (around("above", "<script>document.body.remove()</script>", "a_script"), "<script> outside"),
    (another_temperature, "config.json: its hfbertcls_temperature is not the one"),
    (another_length, "tokenizer_config.json: its model_max_length is 8, report.json states 32"),
    (another_kind_of_task, "config.json: its problem_type does not fit the task single_label"),
    (another_pooling, "config.json: its pooling is not"),
    (another_architecture, "config.json: its architectures are not BertForSequenceClassification"),
    (no_hash_of_the_configuration, "model.files_sha256 does not state config.json and the tokenizer"),
    (no_number_is_a_number, "must have 2 finite logits a row"),
    (predictions_that_do_not_follow, "its predictions do not follow from its logits"),
    (fewer_rows_than_the_split, "it has 64 rows, the test split has 6,400"),
    (a_row_of_two_splits, "rows of one source are in both"),
    (another_picture, "plots/reliability.png: its SHA-256"),
    (a_key_stated_twice, "the key 'license' stands there twice"),
    (front_matter_that_is_no_list_of_keys, "the front matter cannot be read"),
    (rows_on_the_card_answered_otherwise, "report.json: card.examples[0].label states"),
    (rows_on_the_card_that_are_nowhere, "report.json: card.examples[0] is no row of predictions/test.parquet"),
]


@pytest.mark.parametrize(("forge", "difference"), [pytest.param(*case, id=case[0].__name__) for case in SEEN])
def test_a_forgery_is_detected_from_the_files(forger, forge, difference, capsys):
    forge(forger)
    assert difference in differences_in(forger.folder)
    assert main(["verify", str(forger.folder)]) == 1
    out, err = capsys.readouterr()
    assert "All of it holds" not in out
    assert "Traceback" not in err


def all_right(forger):
    forger.write_predictions(better(forger.predictions()))


def only_the_right_rows_everywhere(forger):
    predictions = forger.predictions()
    forger.write_predictions(kept(predictions, predictions.predicted == predictions.gold))


def gold_labels_that_please(forger):
    predictions = forger.predictions()
    forger.write_predictions(replace(predictions, gold=predictions.predicted))


def rows_that_nobody_has(forger):
    predictions = better(forger.predictions())
    forger.write_predictions(replace(predictions, rows=predictions.rows + 1_000))


def baselines_that_please(forger):
    predictions = forger.predictions()
    wrong = dict.fromkeys(predictions.baselines, 1 - predictions.gold)
    forger.write_predictions(replace(predictions, baselines=wrong))


def an_example_that_pleases(forger):
    forger.change(lambda report: report["card"].update(usage_output=[{"label": "positive", "score": 0.9999}]))


def a_larger_model(forger):
    forger.change(lambda report: report["model"].update(num_parameters=110_000_000))


def fewer_cut_rows(forger):
    forger.change(lambda report: report["data"]["splits"]["test"].update(truncated_rows=40))


def other_weights_everywhere(forger):
    shutil.copy(forger.other / "model.safetensors", forger.path("model.safetensors"))
    forger.seal(forger.report)


SEEN_BY_THE_DATA = [
    (all_right, "the model gives other logits"),
    (only_the_right_rows_everywhere, "it leaves out"),
    (gold_labels_that_please, "gold labels are not those of reviews"),
    (rows_that_nobody_has, "reviews does not have 64 of these rows"),
    (baselines_that_please, "baseline_tfidf_logreg: fitted again, it predicts"),
    (an_example_that_pleases, "card.usage_output is not what the model answers"),
    (a_larger_model, "model.num_parameters states '110000000'"),
    (fewer_cut_rows, "data.splits.test.truncated_rows states '40'"),
    (other_weights_everywhere, "the model gives other logits"),
]


@pytest.mark.parametrize(
    ("forge", "difference"), [pytest.param(*case, id=case[0].__name__) for case in SEEN_BY_THE_DATA]
)
def test_a_consistent_forgery_is_detected_with_the_data(forger, forge, difference, capsys):
    forge(forger)
    assert main(["verify", str(forger.folder), "--rescore", "--dataset", str(forger.data)]) == 1
    assert difference in capsys.readouterr().out


def test_other_data_than_those_of_the_training_are_a_difference(forger, tmp_path, capsys):
    shutil.copytree(forger.data, tmp_path / "reviews")
    lines = (tmp_path / "reviews" / "train.csv").read_text().splitlines(keepends=True)
    (tmp_path / "reviews" / "train.csv").write_text("".join(lines[:200]))
    assert main(["verify", str(forger.folder), "--rescore", "--dataset", str(tmp_path / "reviews")]) == 1
    out = capsys.readouterr().out
    assert "missing: what follows from the train split: the data are not those that the report states" in out
    assert "NOT verified" in out


@pytest.mark.parametrize(
    "change",
    [
        "A card of mine, with a <b>word</b> and a\n\n- list\n- of things",
        "<details><summary>More</summary>\n\nText.\n\n</details>",
        "<p align='center'><img src='logo.png'></p>",
        "Use `<div hidden>` and:\n\n```html\n<div hidden>\n```",
        "> a quotation\n\n    code",
    ],
)
def test_what_people_write_honestly_is_no_forgery(forger, change):
    forger.above(change)
    forger.below(change)
    assert verify_directory(forger.folder).differences == ()


VALUES = [None, {}, [], "x", -1, 1e308, True, [[]], {"": None}]


def nodes(value, path=()):
    """The paths of all parts of a report; of a list only the first entry's."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from nodes(entry, (*path, key))
    elif isinstance(value, list) and value:
        yield from nodes(value[0], (*path, 0))


def test_no_damaged_report_ends_in_a_traceback(forger, monkeypatch):
    """Each part of a report is removed or replaced: the error names its key, or it is reported as a difference."""
    from hfbertcls.repository import verify_card, verify_metrics

    monkeypatch.setattr(verify_card, "_surroundings", lambda fence: ())  # (the card stays as it is)
    honest = Report.from_json(forger.path("report.json").read_text()).evaluation
    monkeypatch.setattr(
        verify_metrics,
        "evaluate_split",
        lambda predictions, digest, *_: honest[
            "test" if digest == honest["test"].predictions_sha256 else "validation"
        ],
    )
    text = forger.path("report.json").read_text()
    paths = list(nodes(json.loads(text)))
    assert len(paths) > 250
    for number, path in enumerate(paths):
        for value in (..., VALUES[number % len(VALUES)]):
            report = json.loads(text)
            place = report
            for key in path[:-1]:
                place = place[key]
            if value is ...:
                del place[path[-1]]
            elif place[path[-1]] == value and type(place[path[-1]]) is type(value):
                continue
            else:
                place[path[-1]] = value
            forger.path("report.json").write_text(json.dumps(report))
            assert differences_in(forger.folder), (path, value)
