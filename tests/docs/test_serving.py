"""The servers of docs/how-to/serve.md and of the card give the answers of the model."""

import csv
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from filelock import FileLock
from transformers import AutoTokenizer

from hfbertcls import load_pipeline
from hfbertcls.cli import main
from hfbertcls.modeling.predictions import Predictions
from hfbertcls.tasks.known import task_of_report
from hfbertcls.tasks.probabilities import sigmoid, softmax


NODE = Path(__file__).resolve().parent / "node"
PAGE = (NODE.parent.parent.parent / "docs" / "how-to" / "serve.md").read_text(encoding="utf-8")
TOLERANCE = {"fp32": 1e-4, "q8": 0.002}
"""Of a score: fp32 from those of the report, q8 from those of ONNX Runtime in Python on this processor."""


def blocks(text, language, *words):
    """The fenced blocks of a language that contain all of some words."""
    found = re.findall(rf"```{language}[^\n]*\n(.*?)```", text, flags=re.DOTALL)
    return [block for block in found if all(word in block for word in words)]


@pytest.fixture(scope="session")
def node_modules():
    """The packages of tests/docs/node/package-lock.json, which npm installs once for each lock file."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    lock = (NODE / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "hfbertcls-tests" / hashlib.sha256(lock).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock"):  # (several processes run tests)
        if not (place / "complete").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(NODE / name, place / name)
            environment = {name: value for name, value in os.environ.items() if name != "NO_PROXY"}
            # Without their scripts: those of onnxruntime-node fetch libraries for GPUs from another host than the registry.
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(
                command, cwd=place, env=environment, capture_output=True, text=True, timeout=900, check=False
            )
            if done.returncode:
                pytest.fail(f"npm could not install transformers.js from its registry: {done.stderr[-2000:]}")
            (place / "complete").touch()
    return place / "node_modules"


@pytest.fixture
def run_javascript(node_modules, tmp_path):
    """A function that runs a module in `tmp_path`, and returns the value of an expression at its end."""

    def run(code, expression):
        if not (tmp_path / "node_modules").exists():
            (tmp_path / "node_modules").symlink_to(node_modules)
        (tmp_path / "module.mjs").write_text(f"{code}\nconsole.log(JSON.stringify({expression}));\n", encoding="utf-8")
        command = ["node", "module.mjs"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def reviews_model(tmp_path_factory, trained_run, reviews_dir):
    """A trained classifier with both graphs."""
    directory = shutil.copytree(trained_run, tmp_path_factory.mktemp("served") / "reviews-model")
    assert main(["export", str(directory), "--dataset", str(reviews_dir), "--quantize", "int8"]) == 0
    return directory


@pytest.fixture(scope="session")
def topics_model(tmp_path_factory, multi_label_dir):
    """A multi-label classifier with both graphs."""
    directory = tmp_path_factory.mktemp("served") / "topics-model"
    assert main(["export", str(multi_label_dir), "--output-dir", str(directory), "--quantize", "int8"]) == 0
    return directory


@pytest.fixture(scope="session")
def test_texts(reviews_dir):
    with (reviews_dir / "test.csv").open(newline="", encoding="utf-8") as file:
        return [row["text"] for row in csv.DictReader(file)]


def topic_texts():
    """Texts with each set of the words that have a topic."""
    sets = itertools.product((False, True), repeat=3)
    return ["the film " + " ".join(itertools.compress(("great", "dull", "music"), one)) for one in sets]


def first_script():
    """The first lines of JavaScript on the page: they load a model and answer."""
    script, *_ = blocks(PAGE, "javascript", "const answers")
    return script


def of(script, model="reviews-model", dtype="fp32", texts=()):
    """A script of the page for another model, graph and texts."""
    changed = script.replace('"reviews-model"', json.dumps(model)).replace('"fp32"', json.dumps(dtype))
    return re.sub(r"const texts = .*;", f"const texts = {json.dumps(list(texts))};", changed)


def quantized_logits(model, texts):
    """Logits of the 8-bit graph by ONNX Runtime in Python, all texts in one batch as transformers.js reads them."""
    session = onnxruntime.InferenceSession(model / "onnx" / "model_quantized.onnx")
    batch = AutoTokenizer.from_pretrained(model)(list(texts), padding=True, truncation=True, return_tensors="np")
    return session.run(["logits"], {one.name: batch[one.name] for one in session.get_inputs()})[0]


def scores_of(answers, labels):
    """The scores of transformers.js as a matrix."""
    rows = [{one["label"]: one["score"] for one in answer} for answer in answers]
    return np.array([[row[label] for label in labels] for row in rows])


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_transformers_js_gives_the_stated_predictions(dtype, reviews_model, test_texts, tmp_path, run_javascript):
    (tmp_path / "reviews-model").symlink_to(reviews_model)
    answers = run_javascript(of(first_script(), dtype=dtype, texts=test_texts), "answers")
    report = json.loads((reviews_model / "report.json").read_text(encoding="utf-8"))
    task = task_of_report(report["task"])
    stated = Predictions.from_parquet((reviews_model / "predictions" / "test.parquet").read_bytes(), task)
    logits = stated.logits if dtype == "fp32" else quantized_logits(reviews_model, test_texts)
    scores, predicted = softmax(logits), logits.argmax(axis=1)
    np.testing.assert_allclose(scores_of(answers, task.labels), scores, atol=TOLERANCE[dtype])
    sure = [row for row, best in enumerate(scores.max(axis=1)) if best > 0.5 + TOLERANCE[dtype]]
    assert len(sure) > 50
    assert len({task.labels[predicted[row]] for row in sure}) == 2
    assert [answers[row][0]["label"] for row in sure] == [task.labels[predicted[row]] for row in sure]


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_transformers_js_applies_a_sigmoid_and_the_page_thresholds(
    dtype, topics_model, multi_label_dir, tmp_path, run_javascript
):
    (tmp_path / "topics-model").symlink_to(topics_model)
    (filtering,) = blocks(PAGE, "javascript", "hfbertcls_thresholds")
    script = of(first_script(), "topics-model", dtype, topic_texts()) + filtering
    answers, predictions = run_javascript(script, "[answers, predictions]")
    labels, ours = ("praise", "blame", "music"), load_pipeline(str(multi_label_dir))
    expected = scores_of(ours(topic_texts(), top_k=None), labels)
    if dtype == "q8":
        scores = sigmoid(quantized_logits(topics_model, topic_texts()))
        expected = scores[:, [list(ours.model.config.id2label.values()).index(label) for label in labels]]
    assert expected.sum(axis=1).max() > 2  # (no softmax)
    np.testing.assert_allclose(scores_of(answers, labels), expected, atol=TOLERANCE[dtype])
    thresholds = json.loads((multi_label_dir / "config.json").read_text(encoding="utf-8"))["hfbertcls_thresholds"]
    reached = scores_of(answers, labels) >= np.array(thresholds)
    assert labels_of(predictions) == [sorted(itertools.compress(labels, row)) for row in reached]
    if dtype == "fp32":
        assert labels_of(predictions) == labels_of(ours(topic_texts()))
    assert len(set(map(tuple, labels_of(predictions)))) > 3


def labels_of(answers):
    return [sorted(one["label"] for one in answer) for answer in answers]


@pytest.fixture
def lamps_model(tmp_path, tiny_model_dir, tiny_tokenizer):
    """A model that predicts numbers, with its graph, below `tmp_path`."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(1)
    model = BertForSequenceClassification.from_pretrained(tiny_model_dir, num_labels=1, problem_type="regression")
    with torch.no_grad():
        model.classifier.weight *= 50  # (the texts of a random model are nearly alike)
    model.save_pretrained(tmp_path / "numbers")
    tiny_tokenizer.save_pretrained(tmp_path / "numbers")
    assert main(["export", str(tmp_path / "numbers"), "--output-dir", str(tmp_path / "lamps-model")]) == 0
    return tmp_path / "numbers"


def test_transformers_js_predicts_numbers_by_the_model_alone(lamps_model, test_texts, run_javascript):
    texts = test_texts[:8]
    (script,) = blocks(PAGE, "javascript", "logits.tolist()")
    together = of(first_script(), "lamps-model", texts=texts) + of(script, "lamps-model")
    answers, rows = run_javascript(together, "[answers, rows]")
    numbers = [one["score"] for one in load_pipeline(str(lamps_model))(texts, function_to_apply="none")]
    assert np.ptp(numbers) > 1e-3
    np.testing.assert_allclose(np.array(rows)[:, 0], numbers, atol=1e-5)
    assert {one["score"] for answer in answers for one in answer} == {1.0}


def test_transformers_js_drops_the_last_special_token_of_a_long_text(reviews_model, tmp_path, run_javascript):
    from transformers import AutoTokenizer

    (tmp_path / "reviews-model").symlink_to(reviews_model)
    text = "the film was great and so dull " * 10
    (script,) = blocks(PAGE, "javascript", "logits.tolist()")
    code = of(first_script(), texts=[text]) + of(script)
    ids = run_javascript(code, "tokenizer(texts, { truncation: true }).input_ids.tolist()[0].map(Number)")
    ours = AutoTokenizer.from_pretrained(reviews_model)([text], truncation=True)["input_ids"][0]
    assert len(ids) == len(ours) == 32
    assert ids[:-1] == ours[:-1]
    assert ids[-1] != ours[-1]


def server_of(directory, monkeypatch):
    """What the FastAPI example defines, with another model."""
    monkeypatch.chdir(directory.parent)
    (script,) = blocks(PAGE, "python", "FastAPI")
    names: dict = {"__name__": "app"}
    exec(compile(script.replace("reviews-model", directory.name), "app.py", "exec"), names)
    return names


def test_fastapi_answers_one_text_and_several(reviews_model, test_texts, monkeypatch):
    from starlette.testclient import TestClient

    names = server_of(reviews_model, monkeypatch)
    expected = load_pipeline(str(reviews_model))(test_texts[:5])
    with TestClient(names["app"]) as client:
        several = client.post("/classify", json={"inputs": test_texts[:5]}).json()
        assert [one["prediction"] for one in several] == [one["label"] for one in expected]
        np.testing.assert_allclose([one["score"] for one in several], [one["score"] for one in expected], atol=1e-5)
        assert several[0].keys() == {"prediction", "score", "negative", "positive"}
        assert client.post("/classify", json={"inputs": test_texts[0]}).json()[0]["prediction"] == expected[0]["label"]
        assert client.post("/classify", json={"inputs": []}).json() == []
        empty, full = client.post("/classify", json={"inputs": ["", test_texts[0]]}).json()
        assert (empty["prediction"], empty["score"], empty["reason"]) == (None, None, "the text is empty")
        assert full["prediction"] == expected[0]["label"]
        assert client.post("/classify", json={"inputs": 1}).status_code == 422


def test_fastapi_answers_with_the_labels_of_a_multi_label_model(multi_label_dir, monkeypatch):
    from starlette.testclient import TestClient

    names = server_of(multi_label_dir, monkeypatch)
    with TestClient(names["app"]) as client:
        answers = client.post("/classify", json={"inputs": topic_texts()}).json()
    expected = load_pipeline(str(multi_label_dir))(topic_texts())
    assert [one["prediction"] for one in answers] == [[one["label"] for one in answer] for answer in expected]
    assert answers[0].keys() == {"prediction", "praise", "blame", "music"}


def test_fastapi_computes_one_request_at_a_time(reviews_model, test_texts, monkeypatch):
    """All requests are there at once, and each gets its own answer."""
    from starlette.testclient import TestClient

    names = server_of(reviews_model, monkeypatch)
    alone = [one["label"] for one in load_pipeline(str(reviews_model))(test_texts)]
    classifier, inside, most = names["classifier"], [], []

    class Watched:
        def predict(self, texts, **kwargs):
            inside.append(threading.get_ident())
            most.append(len(inside))
            try:
                return classifier.predict(texts, **kwargs)
            finally:
                inside.remove(threading.get_ident())

    names["classifier"] = Watched()
    with TestClient(names["app"]) as client, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda text: client.post("/classify", json={"inputs": text}).json(), test_texts))
    assert [one[0]["prediction"] for one in answers] == alone
    assert len(most) == len(test_texts)
    assert max(most) == 1


def test_the_logits_of_a_multi_label_model_need_a_sigmoid_and_thresholds(multi_label_dir):
    """What text-embeddings-inference answers by default, and what the page makes of its raw scores."""
    config = json.loads((multi_label_dir / "config.json").read_text(encoding="utf-8"))
    labels = [config["id2label"][str(number)] for number in range(3)]
    raw = load_pipeline(str(multi_label_dir))(topic_texts(), top_k=None, function_to_apply="none")
    ours = labels_of(load_pipeline(str(multi_label_dir))(topic_texts()))
    (script,) = blocks(PAGE, "python", "predicted_labels")
    names: dict = {}
    exec(compile(script, "serve.md", "exec"), names)
    assert [sorted(names["predicted_labels"](answer, config)) for answer in raw] == ours

    by_softmax = softmax(scores_of(raw, labels))
    for thresholds in (np.array(config["hfbertcls_thresholds"]), np.full(3, 0.5)):
        decided = [sorted(itertools.compress(labels, row)) for row in by_softmax >= thresholds]
        assert sum(one != other for one, other in zip(decided, ours, strict=True)) >= 3
    assert max(map(len, ours)) == 3
    np.testing.assert_allclose(sigmoid(scores_of(raw, labels)).sum(axis=1).max(), 2.5, atol=0.5)


def test_a_directory_has_what_text_embeddings_inference_asks_for(trained_run):
    config = json.loads((trained_run / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert set(config["id2label"].values()) == set(config["label2id"]) == {"negative", "positive"}
    assert {"model.safetensors", "tokenizer.json"} <= {path.name for path in trained_run.iterdir()}


def test_modernbert_lacks_the_keys_that_text_embeddings_inference_reads():
    from transformers import ModernBertConfig

    assert not {"global_rope_theta", "local_rope_theta"} & ModernBertConfig().to_dict().keys()


def rows_of(kind, reviews):
    """A table whose texts and answers are of a kind."""
    import pandas as pd

    rows = pd.DataFrame(reviews(320, 5), columns=["text", "label"])
    if kind == "numbers":
        return rows.assign(label=[2.5 * text.count(" ") + len(text) / 7 for text in rows.text])
    if kind == "pairs":
        return rows.assign(text_pair=rows.text[::-1].to_numpy())
    if kind == "topics":
        topics = {"music": "m", "plot": "p", "film": "f"}
        lists = [[label for word, label in topics.items() if word in text.split()] for text in rows.text]
        return pd.DataFrame({"text": rows.text, "labels": lists})
    return rows


@pytest.mark.parametrize("kind", ["labels", "topics", "numbers", "pairs"])
def test_the_calls_on_the_card_run(kind, tiny_model_dir, reviews, tmp_path, monkeypatch, run_javascript):
    """The card's call of transformers is answered, within rounding, by its calls of ONNX Runtime and transformers.js."""
    from hfbertcls import TextClassifier

    monkeypatch.chdir(tmp_path)
    options = {"recipe": "plain", "max_steps": 30, "eval_every": 10, "learning_rate": 0.003}
    options |= {"task": "regression"} if kind == "numbers" else {}
    options |= {"text_pair_column": "text_pair"} if kind == "pairs" else {}
    TextClassifier.train(str(tiny_model_dir), rows_of(kind, reviews), "served", **options, log=None)
    assert main(["export", "served"]) == 0
    assert main(["verify", "served"]) == 0

    card = Path("served/README.md").read_text(encoding="utf-8")
    shown = json.loads(Path("served/report.json").read_text(encoding="utf-8"))["card"]
    names: dict = {}
    (script,) = blocks(card, "python", "onnxruntime")
    exec(compile(script, "README.md", "exec"), names)
    (module,) = blocks(card, "javascript")
    answers = run_javascript(module.replace("console.log(", "const shown = ("), "shown")

    inputs = (
        {"text": shown["usage_text"], "text_pair": shown["usage_text_pair"]}
        if kind == "pairs"
        else shown["usage_text"]
    )
    arguments = {} if kind == "labels" else {"function_to_apply": "none", "top_k": None}
    ours = load_pipeline("served")(inputs, **arguments)
    values = {one["label"]: one["score"] for one in ours}
    if kind == "labels":
        assert [one["label"] for one in answers] == list(values)
        assert answers[0]["score"] == pytest.approx(ours[0]["score"], abs=1e-5)
        assert softmax(names["logits"]).max() == pytest.approx(ours[0]["score"], abs=1e-5)
        return
    labels = list(json.loads(Path("served/config.json").read_text(encoding="utf-8"))["id2label"].values())
    expected = np.array([[values[label] for label in labels]])
    np.testing.assert_allclose(names["logits"], expected, atol=1e-4)
    if kind == "topics":
        np.testing.assert_allclose(scores_of([answers], labels), sigmoid(expected), atol=1e-5)
    else:
        np.testing.assert_allclose(answers, expected, atol=1e-4)


def test_the_card_of_a_directory_with_an_export_is_verified(reviews_model):
    assert main(["verify", str(reviews_model)]) == 0
