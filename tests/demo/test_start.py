"""The app's start: which model it shows, which it refuses, and what it says of how good it is."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from safetensors.torch import load_file, save_file

from hfbertcls.cli import main
from hfbertcls.hub.space.render import SpaceFacts, app_directory, render_space


@pytest.fixture
def run_app(warm, tmp_path):
    """Run app.py in a folder of its own."""

    def run(environment: dict[str, str], typed: str = "") -> subprocess.CompletedProcess:
        for name, content in render_space(SpaceFacts("a model")).items():
            (tmp_path / name).write_bytes(content)
        return warm.run(script="app.py", cwd=tmp_path, environment=environment, typed=typed)

    return run


def test_without_a_model_it_says_which_variable_is_missing(app, run_app):
    environment = {key: value for key, value in app.environment.items() if key != "MODEL_ID"}
    done = run_app(environment)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("There is no model. Set the variable MODEL_ID")


def test_a_model_that_cannot_be_loaded_is_one_message(app, run_app, tmp_path):
    (tmp_path / "model").mkdir()
    done = run_app({**app.environment, "MODEL_ID": str(tmp_path / "model")})
    assert done.returncode == 1
    assert "The model model cannot be loaded: " in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_variable_the_model_of_the_readme_is_fetched_from_the_hub(
    hub, app, model_dir, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    assert main(["push", str(model_dir), "alice/films"]) == 0
    for name, content in render_space(SpaceFacts("films", "alice/films")).items():
        (tmp_path / name).write_bytes(content)
    environment = {key: value for key, value in app.environment.items() if key != "MODEL_ID"}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    command = [
        sys.executable,
        "-c",
        "import classifier; print(classifier.NAME, classifier.classify('great')['label'])",
    ]
    asked = {"cwd": tmp_path, "capture_output": True, "text": True}
    refused = subprocess.run(command, env=environment, **asked)
    assert refused.returncode == 1
    assert "The model alice/films cannot be read" in refused.stderr
    assert "A private model needs the secret HF_TOKEN" in refused.stderr
    answered = subprocess.run(command, env=environment | {"HF_TOKEN": "hf_alice"}, **asked)
    assert answered.stdout.split()[0] == "alice/films", answered.stderr
    assert answered.stdout.split()[1] in ("negative", "positive")


@pytest.mark.parametrize("state", ["absent", "an empty folder", "present"])
def test_the_guard_around_spaces_holds(app, warm, tmp_path, state):
    if state == "an empty folder":
        (tmp_path / "spaces").mkdir()
    if state == "present":
        (tmp_path / "spaces.py").write_text(
            "def GPU(function):\n    print('decorated', function.__name__)\n    return function\n"
        )
    source = app_directory() / "classifier.py"
    code = "import classifier; print(classifier.classify('a great film')['label'])"
    (tmp_path / "classifier.py").write_text(source.read_text())
    done = warm.run(code, cwd=tmp_path, environment=app.environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] in ("positive", "negative")
    assert ("decorated run_model" in done.stdout) == (state == "present")


def test_a_model_without_a_report_is_shown_without_figures(app, said_by_the_app, tmp_path):
    model = shutil.copytree(app.model, tmp_path / "model", ignore=shutil.ignore_patterns("report.json", "checkpoints"))
    assert "has no report.json" in said_by_the_app(app, "from about import about; print(about())", model)


@pytest.fixture
def about_of(app, said_by_the_app):
    """What the app says about a model."""
    return lambda model: said_by_the_app(app, "from about import about_text; print(about_text())", model)


def test_half_a_character_gets_a_message(app, warm):
    code = f"import sys; sys.path.insert(0, {str(app_directory())!r}); import classifier; classifier.classify(chr(0xD800))"
    done = warm.run(code, environment=app.environment)
    assert "half a character (a lone surrogate)" in done.stderr


@pytest.mark.parametrize(
    "report", ["[]", "{", "{}", "[" * 100_000, '{"evaluation": {}}', '{"evaluation": {"test": {"rows": null}}}']
)
def test_a_report_of_another_kind_does_not_keep_the_app_from_starting(about_of, model_dir, report):
    (model_dir / "report.json").write_text(report)
    assert "cannot be read here" in about_of(model_dir)


def test_the_limits_of_a_card_are_only_text(about_of, model_dir):
    card = "# x\n## Limits\n\n- Don't use it <img src=http://a.example/x.png> for ![x](http://b.example/y.png)\n- <b>bold</b>\n## y\n"
    (model_dir / "README.md").write_text(card)
    told = about_of(model_dir).partition("### Limits")[2]
    assert "- Don't use it &lt;img src=http:&#47;&#47;a.example/x.png&gt; for \\!\\[x\\]" in told
    assert "<b>" not in told


def test_code_that_a_model_brings_along_is_not_run(app, run_app, model_dir, tmp_path):
    config = json.loads((model_dir / "config.json").read_text())
    config |= {
        "model_type": "strange",
        "auto_map": {"AutoConfig": "evil.C", "AutoModelForSequenceClassification": "evil.M"},
    }
    (model_dir / "config.json").write_text(json.dumps(config))
    (model_dir / "evil.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')\n")
    done = run_app({**app.environment, "MODEL_ID": str(model_dir)}, typed="y\ny\n")
    assert done.returncode == 1
    assert not (tmp_path / "pwned").exists()
    assert "cannot be loaded" in done.stderr


def test_an_encoder_without_a_head_is_no_classifier(app, run_app, tiny_model_dir):
    done = run_app({**app.environment, "MODEL_ID": str(tiny_model_dir)})
    assert done.returncode == 1
    assert "is no finished classifier" in done.stderr


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("labels", [1, 2])
def test_of_logits_that_are_not_finite_no_label_is_made(app, said_by_the_app, model_dir, tmp_path, value, labels):
    weights = load_file(model_dir / "model.safetensors")
    weights["classifier.bias"][:labels] = value
    save_file(weights, model_dir / "model.safetensors", {"format": "pt"})
    (tmp_path / "texts.csv").write_text("text\ngreat\n\ndull\n")
    code = f"""
import app, classifier, explanation, tables
for function in (classifier.classify, explanation.explain, app.show_classification, app.show_explanation):
    try:
        print(function("a great film"))
    except app.gr.Error as err:
        print(err)
path, shown, summary = tables.classify_file({str(tmp_path / "texts.csv")!r}, "text")
print(summary)
print([cells[1:] for cells in shown])
"""
    *said, summary, shown = said_by_the_app(app, code, model_dir).splitlines()
    assert len(said) == 4
    assert all("computed NaN or infinity for this text, so there is no answer" in line for line in said)
    assert summary == "3 rows. 1 had no text. 2 got no label: the model computed NaN or infinity."
    note = ["", "", "the model computed NaN or infinity"]
    assert shown == str([note, ["", "", "no text"], note])


def test_labels_that_are_not_told_apart_are_refused(app, run_app, model_dir):
    config = json.loads((model_dir / "config.json").read_text())
    config |= {"id2label": {"0": "same", "1": "same"}, "label2id": {"same": 0}}
    (model_dir / "config.json").write_text(json.dumps(config))
    done = run_app({**app.environment, "MODEL_ID": str(model_dir)})
    assert done.returncode == 1
    assert "is no classifier of at least two labels with different names" in done.stderr


def test_about_states_the_figures_of_the_report(app, said_by_the_app):
    said = said_by_the_app(app, "from about import about; print(about())")
    report = json.loads((app.model / "report.json").read_text())
    accuracy = report["evaluation"]["test"]["metrics"]["accuracy"]
    expected = f"| Accuracy | {accuracy['value']:.3f} | {accuracy['low']:.3f} to {accuracy['high']:.3f} |"
    assert expected in said
    for row in report["evaluation"]["test"]["confusion_matrix"]:
        assert " | ".join(f"{count:,}" for count in row) in said
    assert "The metrics hold for texts like those" in said


def test_about_gives_the_verdict_of_a_report_and_passes_over_what_it_does_not_know(about_of, model_dir):
    report = json.loads((model_dir / "report.json").read_text())
    test = report["evaluation"]["test"]
    test |= {"verdict": {"code": "better", "sentence": "Better than <b>TF-IDF</b> by 3.1 points"}, "new": [1]}
    test["metrics"]["new"] = {"value": 0.5}
    report["new"] = {"a": 1}
    (model_dir / "report.json").write_text(json.dumps(report))
    told = about_of(model_dir)
    assert "Better than &lt;b&gt;TF-IDF&lt;/b&gt; by 3.1 points.\n" in told
    test["verdict"] = None
    (model_dir / "report.json").write_text(json.dumps(report))
    assert "| Accuracy |" in about_of(model_dir)


def test_so_few_rows_that_no_calibration_error_shows_are_said_to_be_such(about_of, model_dir):
    report = json.loads((model_dir / "report.json").read_text())
    report["evaluation"]["test"]["metrics"]["ece"] = {"value": 0.0, "low": 0.0, "high": 0.0314}
    (model_dir / "report.json").write_text(json.dumps(report))
    assert "| Calibration error | &lt; 0.031 | 0.000 to 0.031 |" in about_of(model_dir)


def test_nothing_that_was_uploaded_stays_when_the_app_ends(start, finished_run, tmp_path):
    application, process = start(finished_run, tmp_path / "app")
    texts = tmp_path / "texts.csv"
    texts.write_text("text\nthe secret film was great\n")
    client = Client(application.url, verbose=False, download_files=str(tmp_path / "mine"))
    client.predict(handle_file(texts), "text", api_name="/classify_file")
    assert holders_of("secret", tmp_path / "app")
    process.terminate()
    process.wait(30)
    assert holders_of("secret", tmp_path / "app") == []


def holders_of(text: str, folder: Path) -> list[Path]:
    """The CSV files below a folder that hold a text."""
    return [path for path in folder.rglob("*.csv") if text in path.read_text(encoding="utf-8-sig")]


def test_a_tokenizer_that_cuts_on_the_left_reads_the_last_tokens(app, said_by_the_app, model_dir):
    path = model_dir / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"truncation_side": "left"}))
    code = """
import classifier, about
print(classifier.classify("film " * 100)["note"])
print(about.about_text())
"""
    said = said_by_the_app(app, code, model_dir)
    assert "The last 32 of 102 tokens were read; the rest was not." in said
    assert "It reads the last 32 tokens of a text." in said


def test_metrics_of_cross_validation_are_said_to_be_such(about_of, model_dir, tmp_path):
    model = tmp_path / "few"
    shutil.copytree(model_dir, model)
    report = json.loads((model / "report.json").read_text(encoding="utf-8"))
    measured = report["evaluation"].pop("test") | {"kind": "out_of_fold", "folds": 5}
    report["evaluation"] = {"cross_validation": measured}
    (model / "report.json").write_text(json.dumps(report), encoding="utf-8")
    text = about_of(model)
    assert "### How good it is (cross-validation, 64 rows)" in text
    assert "Each row was answered by a model that was trained on other rows." in text
