"""`verify`: a changed value in the card, the report or the predictions is reported with its place."""

import json
import re
import shutil
from collections import defaultdict
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from hfbertcls import ModelError
from hfbertcls.cli import main
from hfbertcls.evaluation.splits import evaluate_split
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.repository import verify_metrics
from hfbertcls.repository.card import Fence, split_card
from hfbertcls.repository.verify import verify_directory
from hfbertcls.tasks.known import task_of_report


NUMERAL = re.compile(r"\d+(?:[.,]\d+)*")


def other(numeral: str) -> str:
    """The numeral with its last digit changed."""
    return numeral[:-1] + str((int(numeral[-1]) + 1) % 10)


def test_an_untouched_directory_verifies(finished_run, capsys):
    verification = verify_directory(finished_run)
    assert verification.holds
    assert (verification.differences, verification.missing, verification.unchecked, verification.notes) == (
        (),
        (),
        (),
        (),
    )
    assert main(["verify", str(finished_run)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"Checked: \d{3,} values derived again, 12 files by their SHA-256, the card line by line\.", out)
    assert "All of it holds." in out
    assert (
        "Not checked, stated by the author alone: how and how fast the model was trained; which data it was trained on"
        in out
    )
    assert "This shows that the files belong together." in out


@pytest.fixture
def metrics_once(monkeypatch):
    """The metrics of the same predictions are derived once and copied, because they take most of the time."""
    cache = {}

    def derived(predictions, digest, *others):
        key = digest, predictions.to_parquet(), repr(others)
        if key not in cache:
            cache[key] = evaluate_split(predictions, digest, *others)
        return cache[key]

    monkeypatch.setattr(verify_metrics, "evaluate_split", derived)


def test_every_numeral_of_the_generated_part_of_the_card_is_watched(model_dir, metrics_once):
    card = (model_dir / "README.md").read_text()
    body = Fence.find(split_card(card)[1]).body
    start = card.index(body)
    by_line = defaultdict(list)
    for numeral in NUMERAL.finditer(body):
        by_line[body.count("\n", 0, numeral.start())].append(numeral)
    assert sum(map(len, by_line.values())) > 100
    apart = 6  # lines between those that are changed together, so that each is a difference of its own
    for first, place in product(range(apart), range(max(map(len, by_line.values())))):
        chosen = [of[place] for line, of in by_line.items() if line % apart == first and place < len(of)]
        changed = body
        for numeral in reversed(chosen):
            changed = f"{changed[: numeral.start()]}{other(numeral[0])}{changed[numeral.end() :]}"
        (model_dir / "README.md").write_text(card.replace(body, changed))
        differences = verify_directory(model_dir).differences if chosen else ()
        for numeral in chosen:
            line = card[: start + numeral.start()].count("\n") + 1
            assert any(f"README.md, line {line}: states" in difference for difference in differences), numeral


def one_more(value, path, found):
    """A value of the report with 1 added to every number in it; their paths are appended to `found`."""
    if isinstance(value, dict):
        return {key: one_more(part, f"{path}.{key}", found) for key, part in value.items()}
    if isinstance(value, list):
        return [one_more(part, f"{path}[{index}]", found) for index, part in enumerate(value)]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    found.append(path)
    return value + 1


def test_every_number_of_the_evaluation_is_derived_again(model_dir):
    report, paths = json.loads((model_dir / "report.json").read_text()), []
    report["evaluation"] = one_more(report["evaluation"], "evaluation", paths)
    (model_dir / "report.json").write_text(json.dumps(report))
    differences = verify_directory(model_dir).differences
    assert len(paths) > 150
    unseen = {path for path in paths if not any(f"report.json: {path} states" in one for one in differences)}
    assert {path.rpartition(".")[2] for path in unseen} == {
        "train_rows",
        "temperature",
    }  # (the author's; of config.json)
    for split in ("validation", "test"):
        assert (
            f"config.json: its hfbertcls_temperature is not the one that report.json states for the {split} split"
            in (differences)
        )


def test_a_report_that_was_changed_anywhere_is_not_the_one_of_the_card(model_dir):
    text = (model_dir / "report.json").read_text()
    report = json.loads(text)
    report["training"]["seconds"] += 0.001
    (model_dir / "report.json").write_text(json.dumps(report))
    assert any("report.json: its SHA-256 is" in difference for difference in verify_directory(model_dir).differences)
    (model_dir / "report.json").write_text(json.dumps(report | {"schema_version": report["schema_version"] + 1}))
    with pytest.raises(ModelError, match="report"):
        verify_directory(model_dir)


def test_metrics_that_can_be_derived_are_named_by_their_path(model_dir):
    report = json.loads((model_dir / "report.json").read_text())
    report["evaluation"]["test"]["per_label"]["negative"]["recall"] += 0.01
    report["evaluation"]["validation"]["confusion_matrix"][1][0] += 1
    report["data"]["splits"]["test"]["label_counts"]["positive"] += 1
    (model_dir / "report.json").write_text(json.dumps(report))
    differences = "\n".join(verify_directory(model_dir).differences)
    assert "report.json: evaluation.test.per_label.negative.recall states" in differences
    assert "report.json: evaluation.validation.confusion_matrix[1][0] states" in differences
    assert "report.json: data.splits.test.label_counts.positive states" in differences


def test_every_value_of_the_predictions_is_watched(model_dir):
    path = model_dir / "predictions" / "test.parquet"
    task = task_of_report(json.loads((model_dir / "report.json").read_text())["task"])
    original = Predictions.from_parquet(path.read_bytes(), task)
    for row in range(len(original)):
        for change in ("row", "gold", "logit"):
            rows, gold, logits = original.rows.copy(), original.gold.copy(), original.logits.copy()
            if change == "row":
                rows[row] += 1_000
            elif change == "gold":
                gold[row] = 1 - gold[row]
            else:
                logits[row, 0] = np.nextafter(logits[row, 0], np.float32(np.inf))
            path.write_bytes(replace(original, rows=rows, gold=gold, logits=logits).to_parquet())
            differences = verify_directory(model_dir).differences
            assert any(difference.startswith("predictions/test.parquet: its SHA-256") for difference in differences)
            assert change != "gold" or any("per_label" in difference for difference in differences)


@pytest.mark.parametrize("position", [0, 100, -1])
def test_one_flipped_bit_of_the_weights_is_detected(model_dir, position):
    path = model_dir / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))
    assert [text[:17] for text in verify_directory(model_dir).differences] == ["model.safetensors"]


def test_a_damaged_predictions_file_is_a_difference(model_dir):
    (model_dir / "predictions" / "test.parquet").write_bytes(b"PAR1")
    assert "predictions/test.parquet: it cannot be read" in "\n".join(verify_directory(model_dir).differences)


def test_other_labels_in_the_configuration_are_a_difference(model_dir):
    config = json.loads((model_dir / "config.json").read_text())
    config["id2label"] = {"0": "positive", "1": "negative"}
    (model_dir / "config.json").write_text(json.dumps(config))
    assert "config.json: its labels are not those of report.json" in verify_directory(model_dir).differences


def test_what_people_write_may_change(model_dir):
    card = (model_dir / "README.md").read_text()
    card = card.replace(
        "tags:\n- hfbertcls\n", "tags:\n- films\n- hfbertcls\nlicense: mit\nlanguage: en\nthumbnail: 7.png\n", 1
    )
    card = card.replace("<!-- hfbertcls:begin", "Above: 12 metrics.\n\n<!-- hfbertcls:begin", 1) + "\nBelow: 0.99.\n"
    (model_dir / "README.md").write_text(card)
    assert verify_directory(model_dir).differences == ()


@pytest.mark.parametrize(
    "key", ["pipeline_tag: text-classification", "library_name: transformers", "- hfbertcls\n", "- accuracy\n"]
)
def test_our_keys_of_the_front_matter_are_watched(model_dir, key):
    card = (model_dir / "README.md").read_text()
    assert key in card
    (model_dir / "README.md").write_text(card.replace(key, key.replace("a", "e").replace("hf", "fh"), 1))
    assert "README.md: front matter" in "\n".join(verify_directory(model_dir).differences)


def test_numbers_that_people_wrote_are_counted_and_the_first_is_named(model_dir, capsys):
    card = (model_dir / "README.md").read_text()
    card = card.replace("<!-- hfbertcls:begin", "It reaches 0.999 on 12 sets.\n\n<!-- hfbertcls:begin", 1)
    (model_dir / "README.md").write_text(card)
    assert main(["verify", str(model_dir)]) == 0
    out = capsys.readouterr().out
    line = card[: card.index("0.999")].count("\n") + 1
    assert f"README.md, line {line}: '0.999' stands outside of the generated part" in out
    assert "is not derived from the report and 1 more" in out
    assert "All of it holds" not in out


def test_unstated_files_are_counted_and_the_verdict_is_not_all(model_dir, capsys):
    (model_dir / "photo.png").write_bytes(b"mine")
    (model_dir / "onnx").mkdir()
    (model_dir / "onnx" / "model.onnx").write_bytes(b"mine")
    assert main(["verify", str(model_dir)]) == 0
    out = capsys.readouterr().out
    assert "Not checked: 2 files that report.json does not state ('onnx/model.onnx', 'photo.png')" in out
    assert "What report.json states holds, as far as these files can show" in out
    assert "All of it holds" not in out


def test_missing_files_fail_unless_they_are_optional(model_dir, capsys):
    shutil.rmtree(model_dir / "predictions")
    assert main(["verify", str(model_dir)]) == 1
    out = capsys.readouterr().out
    assert "missing: the metrics of test: predictions/test.parquet is not there" in out
    assert "NOT verified: what was checked holds, but what is missing above could not be derived" in out
    assert main(["verify", str(model_dir), "--without-predictions"]) == 0
    out = capsys.readouterr().out
    assert "not asked for: the metrics of test: predictions/test.parquet is not there" in out
    assert "All of it holds" not in out


def test_json_holds_the_whole_result(model_dir, capsys):
    (model_dir / "predictions" / "test.parquet").unlink()
    assert main(["verify", str(model_dir), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["holds"] is False
    assert result["missing"] == ["the metrics of test: predictions/test.parquet is not there"]
    assert result["differences"] == []
    assert result["files"] == 11


@pytest.mark.parametrize("name", ["report.json", "README.md"])
def test_a_directory_without_report_or_card_is_rejected(model_dir, name, capsys):
    (model_dir / name).unlink()
    assert main(["verify", str(model_dir)]) == 1
    assert "is no model repository of hfbertcls: report.json and README.md are needed" in capsys.readouterr().err


def test_the_model_is_run_again_on_the_texts(model_dir, reviews_dir, capsys):
    words = ["verify", str(model_dir), "--rescore", "--dataset", str(reviews_dir)]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "test: 64 rows scored again, logits within" in out
    assert "All of it holds." in out
    assert "which data it was trained on" not in out


def test_other_weights_give_other_logits(model_dir, reviews_dir, tiny_model_dir, tmp_path, capsys):
    from safetensors.numpy import load_file, save_file

    weights = load_file(model_dir / "model.safetensors")
    weights["classifier.bias"] = weights["classifier.bias"] + np.float32([0.01, 0])
    save_file(weights, model_dir / "model.safetensors", {"format": "pt"})
    assert main(["verify", str(model_dir), "--rescore", "--dataset", str(reviews_dir)]) == 1
    assert "the model gives other logits (up to 0.01 away; 0.001 is tolerated)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("good", "the model gives NaN or infinite logits for"),
        (None, "the model gives NaN or infinite logits whatever the text"),
    ],
    ids=["some rows", "all rows"],
)
def test_logits_that_are_not_finite_are_counted(model_dir, reviews_dir, tiny_tokenizer, word, expected, capsys):
    from safetensors.numpy import load_file, save_file

    weights = load_file(model_dir / "model.safetensors")
    embeddings = weights["bert.embeddings.word_embeddings.weight"] = weights[
        "bert.embeddings.word_embeddings.weight"
    ].copy()
    embeddings[slice(None) if word is None else tiny_tokenizer.convert_tokens_to_ids(word)] = np.nan
    save_file(weights, model_dir / "model.safetensors", {"format": "pt"})
    assert main(["verify", str(model_dir), "--rescore", "--dataset", str(reviews_dir)]) == 1
    output = capsys.readouterr()
    assert expected in output.out + output.err
    assert "nan away" not in output.out
    assert "Traceback" not in output.err


def test_held_out_splits_are_recovered_by_their_rows(tmp_path, tiny_model_dir, reviews_dir, capsys):
    shutil.copy(reviews_dir / "train.csv", tmp_path / "reviews.csv")
    words = [
        "--model",
        str(tiny_model_dir),
        "--dataset",
        str(tmp_path / "reviews.csv"),
        "--output-dir",
        str(tmp_path / "m"),
    ]
    assert main(["train", *words, "--max-steps", "2"]) == 0
    words = ["verify", str(tmp_path / "m"), "--rescore", "--dataset", str(tmp_path / "reviews.csv")]
    assert main(words) == 0
    (tmp_path / "reviews.csv").write_text((tmp_path / "reviews.csv").read_text().replace("positive", "negative", 300))
    assert main(words) == 1
    assert "NOT verified" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["--rescore"],
        ["--dataset", "x.csv"],
        ["--revision", "main"],
        ["--rescore", "--dataset", "x.csv", "--without-predictions"],
    ],
)
def test_options_without_effect_are_rejected(finished_run, words):
    assert main(["verify", str(finished_run), *words]) == 2
