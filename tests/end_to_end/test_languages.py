"""Thai, Amharic, Chinese and Arabic: doctor, baselines, training, verification, and the explanation of the Space."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hfbertcls import verify
from hfbertcls.cli import main


SPACE = Path(__file__).resolve().parents[2] / "spaces" / "text-classification"
# Words of each language: neutral ones, one that says "good", one that says "bad". Thai and Chinese have no blanks.
LANGUAGES = {
    "thai": (["ห้อง", "อาหาร", "บริการ", "โรงแรม", "ที่นี่", "พนักงาน", "มาก", "วันนี้"], "อร่อย", "สกปรก", "", "Thai"),
    "amharic": (["ምግቡ", "ክፍሉ", "አገልግሎቱ", "ሆቴሉ", "ዛሬ", "በጣም", "ነበር", "እዚህ"], "ጥሩ", "መጥፎ", " ", "Ethiopic"),
    "chinese": (
        ["房间", "早餐", "服务", "酒店", "今天", "这里", "非常", "前台"],
        "干净",
        "糟糕",
        "",
        "Chinese or Japanese",
    ),
    "arabic": (["الغرفة", "الطعام", "الخدمة", "الفندق", "اليوم", "جدا", "كان", "هنا"], "رائع", "سيئ", " ", "Arabic"),
}
ANALYZERS = {"thai": "char", "amharic": "word", "chinese": "char", "arabic": "word"}


def reviews_of(language, count, seed):
    neutral, good, bad, blank, _ = LANGUAGES[language]
    generator = np.random.default_rng(seed)
    for number in range(count):
        words = [*generator.choice(neutral, generator.integers(4, 8)).tolist(), good if number % 2 else bad]
        text = blank.join(generator.permutation(words))
        yield (
            (f"{text[: len(text) // 2]} {text[len(text) // 2 :]}" if language == "thai" and number % 3 else text),
            ("good" if number % 2 else "bad"),
        )


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A tiny BERT that knows each letter of the four languages as a token, and the words of Amharic and Arabic."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    words = [word for neutral, good, bad, _, _ in LANGUAGES.values() for word in (*neutral, good, bad)]
    letters = sorted({letter for word in words for letter in word})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = BertTokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, model_max_length=96, strip_accents=False
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=96,
    )  # fmt: skip
    directory = tmp_path_factory.mktemp("encoder") / "tiny-multilingual"
    BertModel(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module", params=list(LANGUAGES))
def trained(request, tmp_path_factory, encoder):
    """Language, data and model."""
    folder = tmp_path_factory.mktemp(request.param)
    data = folder / "data"
    data.mkdir()
    for seed, (name, count) in enumerate({"train": 320, "validation": 60, "test": 60}.items()):
        with (data / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *reviews_of(request.param, count, seed)])
    words = ["train", "--model", str(encoder), "--dataset", str(data), "--output-dir", str(folder / "model")]
    words += ["--max-steps", "4", "--eval-every", "2", "--allow-leakage", "--recipe", "plain"]
    assert main(words) == 0
    return request.param, data, folder / "model"


def test_the_baseline_counts_what_tells_the_label_and_verify_derives_it(trained):
    language, _, model = trained
    baselines = json.loads((model / "report.json").read_text())["evaluation"]["test"]["baselines"]
    assert baselines["tfidf_logreg"]["analyzer"] == ANALYZERS[language]
    assert baselines["tfidf_logreg"]["accuracy"] == 1
    assert verify(model).holds


def test_rescoring_fits_the_same_baseline_again(trained):
    _, data, model = trained
    assert main(["verify", str(model), "--rescore", "--dataset", str(data)]) == 0


def test_the_doctor_makes_sense_of_the_texts(trained, capsys):
    language, data, _ = trained
    capsys.readouterr()
    assert main(["doctor", str(data), "--json"]) in (0, 1)
    findings = {one["code"]: one["message"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert not {"no_letters", "ids", "garbled", "numbers", "scripts", "other_script", "giveaway_word"} & set(findings)
    script = LANGUAGES[language][-1]
    with (data / "train.csv").open("a", encoding="utf-8") as file:
        file.write("an English text among the others,good\n")
    main(["doctor", str(data), "--json"])
    findings = {one["code"]: one["message"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert f"is in another script than {script}; the first" in findings["other_script"]


def test_a_first_word_that_tells_the_label_is_found_without_blanks_too(tmp_path, capsys):
    rows = [
        ((f"好{text}" if label == "good" else f"坏{text}"), label) for text, label in reviews_of("chinese", 120, 5)
    ]
    with (tmp_path / "train.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    main(["doctor", str(tmp_path / "train.csv"), "--json"])
    findings = {one["code"]: one["message"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert "the first word of a text tells its label in 100 % of the training rows" in findings["giveaway_word"]


def test_the_space_explains_words_and_where_there_are_no_blanks_parts_of_them(trained):
    pytest.importorskip("gradio")
    language, data, model = trained
    with (data / "test.csv").open(encoding="utf-8") as file:
        text = next(csv.DictReader(file))["text"]
    script = "import json, sys, explanation; print(json.dumps(explanation.explain(sys.argv[1])))"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", script, text], cwd=SPACE, env=kept | {"MODEL_ID": str(model), "HF_HUB_OFFLINE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1_000:]
    words = json.loads(done.stdout.splitlines()[-1])["words"]
    shown = [word["word"] for word in words]
    assert all(text[word["start"] : word["end"]] == word["word"] for word in words)
    assert "".join(shown) == re.sub(r"\s", "", text)
    if language in ("amharic", "arabic"):
        assert shown == text.split()
    else:
        assert len(shown) > 10
        assert not any(re.match(r"[\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]", word) for word in shown)
