"""The card: rendered from a report alone, whatever the labels contain."""

import json
import re
from html import unescape
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from hfbertcls import Report
from hfbertcls.repository.card import render_model_card
from hfbertcls.repository.card_text import escape


HERE = Path(__file__).resolve().parent
ODD_LABELS = [
    "no",
    "null",
    "a|b",
    "<script>alert(1)</script>",
    "{{ x }}",
    "*bold* `code`",
    "مرحبا",
    "😀",
    "01",
    "=SUM(A1)",
]


def values() -> dict:
    return json.loads((HERE / "report.json").read_text(encoding="utf-8"))


def card_of(changed: dict) -> str:
    return render_model_card(Report.from_json(json.dumps(changed)))


def with_labels(labels: list[str]) -> dict:
    changed = values()
    rows = len(labels)
    changed["task"]["labels"] = labels
    for facts in changed["data"]["splits"].values():
        facts["label_counts"] = dict.fromkeys(labels, 5)
    for evaluation in changed["evaluation"].values():
        evaluation["per_label"] = {
            label: {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 5} for label in labels
        }
        evaluation["confusion_matrix"] = [[1] * rows for _ in range(rows)]
    return changed


def front_matter(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_the_card_states_the_metrics_of_the_report():
    card = card_of(values())
    metrics = values()["evaluation"]["test"]["metrics"]
    assert f"**{metrics['accuracy']['value']:.3f}**" in card
    assert f"{metrics['f1_macro']['low']:.3f} to {metrics['f1_macro']['high']:.3f}" in card


def averaged(**of_average) -> dict:
    """The golden report as that of an average of its two seeds, or of the best of them."""
    changed = values()
    average = {
        "method": "uniform",
        "seeds": [42, 43],
        "metric": "f1_macro",
        "validation": 0.84625,
        "best_run": 0.83,
        "best_seed": 42,
    }
    average |= of_average
    chosen = None if average["shipped"] else average["best_seed"]
    seeds = {**changed["training"]["seeds"], "chosen": chosen, "average": average}
    changed["training"] |= {"seeds": seeds, "best_step": None if average["shipped"] else 10}
    return changed


def test_an_average_has_no_step_of_its_own():
    changed = averaged(shipped=True)
    card = card_of(changed)
    assert "the uniform average of the seeds 42, 43, with f1_macro 0.8462 on the validation split, where" in card
    assert "where the best single run (seed 42) has 0.8300. All runs have the same rows" in card
    assert (
        "each at the step that is best by f1_macro on the validation split. Curves, time and arguments are those of"
        in card
    )
    assert "The checkpoints, and the runs to average, were chosen on the validation split (f1_macro)" in card
    assert "the chosen checkpoint" not in card
    changed["training"]["selection_metric"] = None
    card = card_of(changed)
    assert "![Training loss over the steps of the run of seed 42, the best of those that were averaged.]" in card
    assert "The weights are the mean over the runs that were averaged, each at its last step. Curves" in card


def test_the_card_states_that_the_best_run_is_better_than_the_average():
    card = card_of(averaged(shipped=False, validation=0.82))
    assert (
        "these weights are those of seed 42, the best by f1_macro on the validation split: the uniform average of the seeds 42, 43 "
        "has 0.8200 there, this run 0.8300. All runs"
    ) in card
    card = card_of(averaged(shipped=False, method="greedy", seeds=[42], validation=0.83))
    assert "on the validation split; greedy averaging found no run to add to it without loss. All runs" in card


def test_the_front_matter_has_no_other_keys():
    assert front_matter(card_of(values())) == {
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["hfbertcls"],
        "metrics": ["accuracy", "f1"],
    }


def test_hub_ids_are_linked_and_local_names_are_not():
    changed = values()
    changed["model"] |= {"base_model": "google-bert/bert-base-uncased", "base_model_is_hub_id": True}
    changed["data"] |= {"source": "nyu-mll/glue", "is_hub_id": True, "revision": "a" * 40}
    card = card_of(changed)
    assert front_matter(card)["base_model"] == "google-bert/bert-base-uncased"
    assert front_matter(card)["datasets"] == ["nyu-mll/glue"]
    assert "(https://huggingface.co/google-bert/bert-base-uncased)" in card


def test_odd_labels_stand_literally_in_every_table():
    card = card_of(with_labels(ODD_LABELS))
    front_matter(card)
    for label in ODD_LABELS:
        assert card.count(escape(label)) >= 3, label
    assert "<script>" not in card
    for line in card.splitlines():
        if line.startswith("| **"):
            unescaped = line.replace("\\|", "")
            assert unescaped.count("|") == len(ODD_LABELS) + 2, line


def test_many_labels_give_a_card_without_a_giant_matrix():
    card = card_of(with_labels([f"label {number}" for number in range(150)]))
    assert "All counts are in `report.json`" in card
    assert max(len(line) for line in card.splitlines()) < 400


@pytest.mark.parametrize(("count", "folded"), [(12, 0), (13, 2)])
def test_the_rows_of_many_labels_are_folded(count, folded):
    card = card_of(with_labels([f"label {number}" for number in range(count)]))
    assert card.count(f"<details><summary>All {count} labels</summary>") == folded
    assert f"| Labels | {'13, see [Labels](#labels)' if folded else 'label 0, label 1, '}" in card


@pytest.mark.parametrize("changed", [values(), with_labels(ODD_LABELS), with_labels([*"abcdefghijklm"])])
def test_every_fold_is_closed_and_what_it_holds_is_rendered(changed):
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(card_of(changed))
    folds = re.findall(r"<details><summary>[^<]+</summary>\n(.*?)</details>", html, re.DOTALL)
    assert len(folds) == html.count("<details>") == html.count("</details>") >= 5
    assert all("<table>" in fold or '<p><a href="https://' in fold for fold in folds)
    assert not re.search(r"^<p>\|", html, re.MULTILINE)


def test_a_probe_is_not_called_fine_tuned():
    changed = values()
    assert ". Fine-tuned from a local model" in card_of(changed)
    changed["training"]["best_step"] = 0
    card = card_of(changed)
    assert ". A linear probe on a local model" in card
    assert ", trained on rotten" in card
    phase = {"name": "contrastive", "steps": 9, "learning_rate": 1e-4, "seconds": 1.0}
    changed["training"]["phases"] = [phase]
    assert ". Fine-tuned from a local model" in card_of(changed)


def test_the_metrics_of_other_splits_are_folded():
    card = card_of(values())
    assert "### Test split, 1,389 rows" in card
    assert "<details><summary>Validation split, 1,390 rows</summary>" in card


def test_the_intended_use_stands_at_a_glance():
    changed = values()
    changed["card"]["intended_use"] = "Sorting mail | not people"
    card = card_of(changed)
    assert "| Intended use | Sorting mail \\| not people |" in card[: card.index("## How to use")]


def test_hyperparameters_have_the_names_that_people_look_for():
    changed = values()
    changed["training"]["hyperparameters"] |= {
        "warmup_steps": 100,
        "gradient_accumulation_steps": 2,
        "prior": "uniform",
    }
    card = card_of(changed)
    for row in (
        r"| Batch size | 16 | per\_device\_train\_batch\_size |",
        r"| Epochs | 2 | num\_train\_epochs |",
        r"| Warm-up | 100 steps | warmup\_steps |",
        r"| Batches an update | 2 | gradient\_accumulation\_steps |",
        "| Prior | uniform | prior |",
    ):
        assert row in card
    assert "| Warm-up | 6 % of the steps |" in card_of(values())
    assert "Batches an update" not in card_of(values())


def test_a_missing_test_split_is_a_limit():
    changed = values()
    del changed["evaluation"]["test"], changed["data"]["splits"]["test"]
    del changed["training"]["seeds"], changed["training"]["learning_curve"]
    assert "There is no test split: the checkpoint was chosen on the validation split" in card_of(changed)


def test_overlap_with_the_train_split_is_a_limit():
    changed = values()
    rows = changed["evaluation"]["test"]["rows"]
    changed["data"]["overlap"] = {"train/test": rows // 10, "validation/test": 3}
    sentence = "texts of the test split are in the train split too: up to 9.9 points of its accuracy may come from"
    assert sentence in card_of(changed)
    assert "in the train split too" not in card_of(values())


def test_contact_and_citation_are_on_the_card_if_they_are_set():
    assert "Contact and citation" not in card_of(values())
    changed = values()
    changed["card"] |= {"contact": "films@example.org", "citation": "@misc{films,\n  title = {{Films}},\n}"}
    card = card_of(changed)
    assert (
        "## Contact and citation\n\nfilms@example.org\n\n    @misc{films,\n      title = {{Films}},\n    }\n" in card
    )


def test_the_card_is_the_golden_one(request):
    golden = HERE / "card.md"
    card = card_of(values())
    if request.config.getoption("--update-golden"):
        golden.write_text(card, encoding="utf-8")
    assert card == golden.read_text(encoding="utf-8"), "look at the difference; pytest --update-golden takes it over"


def test_results_on_a_hub_data_set_stand_in_the_model_index():
    changed = values()
    changed["data"] |= {"source": "nyu-mll/glue", "is_hub_id": True, "config": "sst2", "revision": "a" * 40}
    front = front_matter(card_of(changed))
    entry = front["model-index"][0]["results"][0]
    assert entry["dataset"] == {
        "name": "nyu-mll/glue", "type": "nyu-mll/glue", "config": "sst2", "split": "test", "revision": "a" * 40,
    }  # fmt: skip
    metrics = changed["evaluation"]["test"]["metrics"]
    results = {metric["name"]: metric["value"] for metric in entry["metrics"]}
    assert results == {
        "Accuracy": round(metrics["accuracy"]["value"], 6),
        "Macro F1": round(metrics["f1_macro"]["value"], 6),
        "Matthews correlation": round(metrics["mcc"]["value"], 6),
    }
    assert "model-index" not in front_matter(card_of(values()))


@pytest.mark.parametrize("label", [*ODD_LABELS, "\u202eabc", "two\nlines"])
def test_the_front_matter_survives_any_label(label):
    changed = with_labels([label, "b", *(f"label {number}" for number in range(150))])
    changed["card"] |= {"title": label, "language": "no", "license": "mit"}
    changed["data"] |= {"source": "nyu-mll/glue", "is_hub_id": True}
    card = card_of(changed)
    text = card.split("---\n")[1]
    front = yaml.safe_load(text)
    assert "!!python" not in text
    assert ".nan" not in text.lower()
    assert set(front) <= {
        "library_name", "pipeline_tag", "tags", "metrics", "language", "license", "base_model", "base_model_relation",
        "datasets", "model-index",
    }  # fmt: skip
    assert front["language"] == "no"
    assert front["model-index"][0]["name"] == label


def test_truncated_texts_are_one_limit():
    assert "Longer texts: 116 of 4,000 in train (2.9 %), 43 of 1,390 in validation (3.1 %), 46 of" in card_of(values())


def test_a_metric_that_is_not_defined_is_a_dash():
    changed = values()
    changed["evaluation"]["test"]["metrics"]["roc_auc"] = {"value": None, "low": None, "high": None}
    assert "| ROC-AUC | - | - to - |" in card_of(changed)


def test_there_is_no_placeholder():
    card = card_of(values())
    for placeholder in ("More Information", "TODO", "None", "undefined", "nan"):
        assert placeholder not in card


def test_a_missing_fact_is_an_error_and_not_a_gap():
    changed = values()
    del changed["card"]["title"]
    with pytest.raises(ValueError, match="the report lacks something that the card states"):
        card_of(changed)


@pytest.mark.parametrize(("text", "shown"), [("a|b", "a\\|b"), ("a\nb", "a b"), ("<b>", "&lt;b&gt;"), ("", " ")])
def test_escape_keeps_text_literal(text, shown):
    assert escape(text) == shown


@pytest.mark.parametrize("second", [None, "هل كان <b>رائعا</b>؟"])
def test_each_text_of_the_examples_has_the_direction_of_its_first_letter(second):
    changed = values()
    changed["task"]["text_pair_column"] = None if second is None else "answer"
    example = {"row": 3, "text": "הסרט היה נהדר, 10/10!", "label": "praise", "prediction": "praise"}
    changed["card"]["examples"] = [example if second is None else {**example, "text_pair": second}]
    body = card_of(changed).partition("## Examples")[2].partition("\n## ")[0]
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    shown = [
        (kind, unescape(text)) for kind, text in re.findall(r'<td[^>]*><span dir="(\w+)">(.*?)</span></td>', html)
    ]
    assert shown == [("auto", text) for text in (example["text"], second) if text is not None]


def test_the_card_states_the_truncation_of_the_tokenizer():
    changed = values()
    changed["task"]["truncation_side"] = "left"
    changed["data"]["splits"]["test"]["truncated_rows"] = 3
    card = card_of(changed)
    assert "| Reads | the last 128 tokens of a text |" in card
    assert re.search(r"Only the last 128 tokens of a text are read. Longer texts: .*3 of [\d,]+ in test", card)
    assert "| Reads | the first 128 tokens of a text |" in card_of(values())


def test_longer_texts_than_those_measured_are_a_limit():
    changed = values()
    changed["data"]["splits"]["test"]["longest_tokens"] = 60
    assert "The longest text of the test split has 60 tokens. The metrics do not cover longer texts" in card_of(
        changed
    )
    changed["data"]["splits"]["test"]["longest_tokens"] = 128
    assert "The longest text of the test split" not in card_of(changed)


def test_a_calibration_error_of_0_states_its_upper_end():
    changed = values()
    changed["evaluation"]["test"]["metrics"]["ece"] = {"value": 0.0, "low": 0.0, "high": 0.041}
    assert "the expected calibration error may be up to 0.041" in card_of(changed)


def test_a_calibration_error_of_0_is_shown_as_its_upper_end():
    changed = values()
    changed["evaluation"]["test"]["metrics"]["ece"] = {"value": 0.0, "low": 0.0, "high": 0.041}
    changed["evaluation"]["test"]["calibration"]["ece_after"] = 0.0
    card = card_of(changed)
    assert "| Expected calibration error (lower is better) | &lt; 0.041 | 0.000 to 0.041 |" in card
    assert "the expected calibration error 0.166 before and not measurably above 0 after." in card


def test_a_slice_that_lacks_a_label_has_no_macro_f1():
    changed = values()
    changed["evaluation"]["test"]["slices"]["by_length"]["slices"][0]["f1_macro"] = None
    assert "| a label is missing | - |" in card_of(changed)


@pytest.mark.parametrize(
    "sentence",
    ["Better than TF-IDF by 2.0 points", "Every text gets the label '<b>|x'. Worse than TF-IDF by 2.0 points"],
)
def test_the_verdict_against_the_baselines_stands_at_a_glance(sentence):
    changed = values()
    changed["evaluation"]["test"]["verdict"] = {"code": "better", "sentence": sentence}
    card = card_of(changed)
    assert f"{escape(sentence)}." in card[: card.index("## How to use")]


def exported(**of_card) -> dict:
    """The golden report with an ONNX graph."""
    changed = values()
    agreement = {"split": None, "rows": 256, "same_label": 1.0, "largest_difference": 0.0, "accuracy": None}
    agreement |= {"original_accuracy": None, "f1_macro": None, "original_f1_macro": None, "accuracy_difference": None}
    agreement |= {"texts_per_second": 9.0, "original_texts_per_second": 9.0}
    graph = {"file": "onnx/model.onnx", "precision": "fp32", "bytes": 9, "original_bytes": 9, "sha256": "0" * 64}
    changed["model"]["exports"] = [{**graph, "agreement": agreement}]
    changed["card"] |= of_card
    return changed


def test_the_calls_of_other_run_times_name_the_repository_and_its_revision():
    card = card_of(exported(repo_id="me/qs", usage_model="me/qs", usage_revision="v1"))
    assert 'AutoTokenizer.from_pretrained("me/qs", revision="v1")' in card
    assert 'hf_hub_download("me/qs", "onnx/model.onnx", revision="v1")' in card
    assert 'await pipeline("text-classification", "me/qs", { dtype: "fp32", revision: "v1" })' in card
    assert "env." not in card
    assert '"q8"' not in card
    card = card_of(exported())
    assert 'onnxruntime.InferenceSession("qs/onnx/model.onnx")' in card
    assert 'env.localModelPath = ".";' in card
    assert "onnxruntime" not in card_of(values())


def test_the_call_of_javascript_for_pairs_names_the_revision_of_tokenizer_and_model():
    changed = exported(repo_id="me/qs", usage_model="me/qs", usage_revision="v1", usage_text_pair="</details>'")
    changed["task"]["text_pair_column"] = "other"
    card = card_of(changed)
    assert 'AutoTokenizer.from_pretrained("me/qs", { revision: "v1" })' in card
    assert 'from_pretrained("me/qs", { dtype: "fp32", revision: "v1" })' in card
    assert card.count("</details>") == card.count("<details>")


TEI = "(https://github.com/huggingface/text-embeddings-inference)"


@pytest.mark.parametrize(
    ("section", "facts"),
    [
        ("model", {"architecture": "DistilBertForSequenceClassification"}),
        ("model", {"architecture": "ModernBertForSequenceClassification"}),
        ("task", {"text_pair_column": "other"}),
        ("task", {"truncation_side": "left"}),
        ("task", {"long_text": {"mode": "head-tail", "window": 128, "max_windows": 8, "overlap": 32}}),
    ],
)
def test_text_embeddings_inference_is_named_where_it_reads_as_the_model_does(section, facts):
    changed = values()
    assert TEI in card_of(changed)
    changed[section] |= facts
    changed["card"] |= {"usage_text_pair": "b"} if "text_pair_column" in facts else {}
    assert TEI not in card_of(changed)
