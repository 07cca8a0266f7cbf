"""Feedback of visitors: what is stored, where, and what is refused; the Hub is the one on the loopback interface."""

import json
import os
import signal
from pathlib import Path

import pytest
from gradio_client import Client
from huggingface_hub import HfApi
from warm import WarmPython

from hfbertcls import load_text_dataset
from hfbertcls.hub.space.render import app_directory


DATASET = "alice/films-feedback"
_BEGIN = f"""
import json, os, sys
sys.path.insert(0, {str(app_directory())!r})
import feedback
from answers import show_classification
from app import gr

def told(function, *values):
    try:
        return function(*values)
    except gr.Error as err:
        return str(err).strip("'")

def answered(*texts):
    return show_classification(*texts)[-1]
"""


@pytest.fixture(scope="module")
def python(app):
    """Runs programs that may ask the Hub."""
    python = WarmPython({**app.environment, "HF_ENDPOINT": os.environ["HF_ENDPOINT"]})
    yield python
    python.end()


@pytest.fixture
def run(app, hub, python, tmp_path):
    """Run Python code beside an app, with a token for the Hub; its output and what it logged."""
    (tmp_path / "temporary").mkdir()

    def run(code: str, model: Path = app.model, **variables: str) -> tuple[list, str]:
        ours = {
            "MODEL_ID": str(model),
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": "hf_alice",
            "TMPDIR": str(tmp_path / "temporary"),
        }
        environment = {**app.environment, **ours, **variables}
        done = python.run(_BEGIN + code, environment=environment)
        assert done.returncode == 0, done.stderr
        return [
            json.loads(line) for line in done.stdout.splitlines() if line.startswith(("[", "{", '"', "false"))
        ], done.stderr

    return run


def labels_that_are_read():
    """The labels of the data set, as its owner trains on it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HF_TOKEN", "hf_alice")
        return load_text_dataset(DATASET).task.labels


def rows_of(hub) -> dict[str, list[dict]]:
    """The rows in the data set, by file."""
    repository = hub.store.repositories["datasets", DATASET]
    files = {path: file for path, file in repository.head.files.items() if path.endswith(".jsonl")}
    return {
        path: list(map(json.loads, repository.content(file).decode().splitlines())) for path, file in files.items()
    }


STORE_TWO = f"""
box = feedback.Feedback({DATASET!r})
for text, label in (
    ("the film was great", "positive"), ("a dull plot\\n\\u00e9", "negative"), ("music", "positive"), ("a scene", "negative"),
):
    print(json.dumps(box.store(answered(text), (text,), label)))
print(json.dumps(box.what_is_stored()))
box.close()
print(json.dumps(box.folder.exists()))
"""


def test_rows_of_two_processes_arrive_and_can_be_trained_on(run, hub, app):
    for _ in range(2):
        said, _ = run(STORE_TWO)
        assert said[:4] == ["Stored. Thank you."] * 4
        assert (
            "Send stores the text, the prediction, the right label, the model with its revision, and the date."
            in said[4]
        )
        assert (
            "the private data set alice/films-feedback, on the Hugging Face Hub. Nothing about you is stored."
            in said[4]
        )
        assert said[5] is False
    assert hub.store.repositories["datasets", DATASET].private
    files = rows_of(hub)
    assert len(files) == 2
    assert all(path.startswith("feedback/") for path in files)
    expected = Client(app.url, verbose=False).predict("the film was great", api_name="/classify")
    for rows in files.values():
        assert [set(row) for row in rows] == [
            {"text", "label", "prediction", "score", "model", "revision", "date"}
        ] * 4
        assert [(row["text"], row["label"]) for row in rows[:2]] == [
            ("the film was great", "positive"),
            ("a dull plot\né", "negative"),
        ]
        assert rows[0]["prediction"] == expected["label"]
        assert rows[0]["score"] == pytest.approx(expected["scores"][expected["label"]], abs=1e-5)
        assert rows[0]["model"] == app.model.name
        assert len(rows[0]["date"]) == 10
    assert labels_that_are_read() == ("negative", "positive")


REFUSALS = f"""
feedback.MAX_ROWS = 2
box = feedback.Feedback({DATASET!r})
text = ("the film was great",)
shown = answered(*text)
for state, texts, label in (
    (shown, text, None), (shown, text, "neutral"), (shown, text, ["positive"]), (None, text, "positive"),
    (shown, ("another text",), "positive"), (shown, (" ",), "positive"), (shown, ("x" * 100_001,), "positive"),
    (shown, text, "positive"), (shown, text, "positive"), (shown, text, "negative"), (shown, text, "positive"),
):
    print(json.dumps(told(box.store, state, texts, label)))
print(json.dumps(box.file.read_text().splitlines()))
box.close()
"""


def test_what_cannot_be_is_refused(run, hub):
    *said, lines = run(REFUSALS)[0]
    assert said == [
        "There is no right label. Choose one.",
        "The model has no such label. Choose one of its labels.",
        "The model has no such label. Choose one of its labels.",
        *["The page shows no answer to this text. Ask for one first."] * 2,
        "There is no text. Enter one.",
        "The text has 100,001 characters; at most 100,000 are accepted.",
        "Stored. Thank you.",
        "This was stored already.",
        "Stored. Thank you.",
        "No more feedback is taken: this page has stored as much as it may.",
    ]
    assert [json.loads(line)["label"] for line in lines] == ["positive", "negative"]


DOWN_AND_BACK = f"""
import time
feedback._MINUTES = 0.005
box = feedback.Feedback({DATASET!r})
for label in ("positive", "negative"):
    box.store(answered("the film was great"), ("the film was great",), label)
    time.sleep(1.5)
feedback._MINUTES = 60
print(json.dumps(str(box.file)))
"""


def test_while_the_hub_fails_no_row_is_lost(run, hub):
    failing = hub.fail(f"/api/datasets/{DATASET}/commit/", status=500, times=2)
    _, log = run(DOWN_AND_BACK + "box.close()")
    assert failing.seen > 2
    assert "Error while pushing to Hub" in log
    (rows,) = rows_of(hub).values()
    assert [row["label"] for row in rows] == ["positive", "negative"]


def test_rows_that_the_hub_does_not_take_stay_on_the_disk(run, hub):
    hub.fail(f"/api/datasets/{DATASET}/commit/", status=403, times=99)
    (path,), log = run(DOWN_AND_BACK + "box.close()")
    assert rows_of(hub) == {}
    assert f"Feedback was not sent: HfHubHTTPError. It lies in {path}" in log
    assert [json.loads(line)["label"] for line in Path(path).read_text().splitlines()] == ["positive", "negative"]


START = """
for dataset, token in (
    ("", "hf_alice"), ("feedback", "hf_alice"), ("alice/no..name", "hf_alice"), ("a/b/c", "hf_alice"),
    ("alice/films-feedback", ""), ("alice/films-feedback", "hf_rita"), ("bob/theirs", "hf_alice"),
):
    os.environ |= {"FEEDBACK_DATASET": dataset, "HF_TOKEN": token}
    print(f"--- {dataset} {token}", file=sys.stderr)
    print(json.dumps([feedback.open_feedback()]))
os.environ |= {"FEEDBACK_DATASET": "alice/open", "HF_TOKEN": "hf_alice"}
print(json.dumps(feedback.open_feedback().what_is_stored()))
"""


def test_what_cannot_take_feedback_is_one_line_in_the_log_and_the_demo_goes_on(run, hub):
    HfApi(token="hf_bob").create_repo("bob/theirs", repo_type="dataset")
    HfApi(token="hf_alice").create_repo("alice/open", repo_type="dataset", private=False)
    said, log = run(START)
    assert said[:-1] == [[None]] * 7
    assert "They go to the data set alice/open, which anyone can read, on the Hugging Face Hub." in said[-1]
    reasons = [part.strip().splitlines()[1:] for part in log.split("--- ")[1:]]
    start = "No feedback is taken: "
    assert reasons[0] == []
    assert reasons[1] == [f"{start}FEEDBACK_DATASET is 'feedback'. Expected USER/NAME of a data set on the Hub"]
    assert reasons[2] == [f"{start}FEEDBACK_DATASET is 'alice/no..name'. Expected USER/NAME of a data set on the Hub"]
    assert reasons[3] == [f"{start}FEEDBACK_DATASET is 'a/b/c'. Expected USER/NAME of a data set on the Hub"]
    assert reasons[4] == [
        f"{start}there is no token. Put one that may write to the data set {DATASET} into the secret HF_TOKEN"
    ]
    for lines, dataset in zip(reasons[5:7], (DATASET, "bob/theirs"), strict=True):
        assert len(lines) == 1
        assert lines[0].startswith(f"{start}the data set {dataset} cannot be written to (the Hub answered 40")
        assert "Does the secret HF_TOKEN hold a token that may?" in lines[0]


OTHER_KINDS = f"""
box = feedback.Feedback({DATASET!r})
texts = TEXTS
for right in RIGHT:
    print(json.dumps(told(box.store, answered(*texts), texts, right)))
print(json.dumps(box.what_is_stored()))
box.close()
"""


def test_of_several_labels_all_or_none_can_be_right(run, hub, multi_label_dir):
    right = [[], ["loud"], ["music", "(none of these)"], ["music", "praise"], ["music", "music"], ["(none of these)"]]
    more = """
for number, text in enumerate(("the film", "a plot", "a story", "the ending", "a scene", "the acting")):
    box.store(answered(text), (text,), ["music", "praise"][number % 2 :])
box.close()
"""
    code = OTHER_KINDS.replace("TEXTS", "('great music but dull',)").replace("RIGHT", repr(right))
    said, _ = run(code.replace("box.close()\n", more), multi_label_dir)
    assert said[0] == "There is no right label. Choose one."
    assert said[1] == said[2] == "Choose labels of the model, or (none of these) alone."
    assert said[3:6] == ["Stored. Thank you."] * 3
    assert "the prediction by the model's own thresholds, the right labels" in said[6]
    (rows,) = rows_of(hub).values()
    assert [row["label"] for row in rows[:3]] == [["praise", "music"], ["music"], []]
    assert sorted(rows[0]["prediction"]) == ["blame", "music", "praise"]
    assert len(rows[0]["score"]) == 3
    assert set(labels_that_are_read()) == {"music", "praise"}


def test_a_number_and_a_pair(run, hub, number_model, pairs_model):
    code = OTHER_KINDS.replace("TEXTS", "('the film',)").replace("RIGHT", "(None, '', 'nan', 'x', '1010', ' 0.5')")
    said, _ = run(code, number_model)
    assert said[:4] == ["There is no right number. Enter one, such as 3.5."] * 4
    assert "the right number, the model" in said[6]
    (rows,) = rows_of(hub).values()
    assert [row["label"] for row in rows] == [1010.0, 0.5]
    assert rows[0]["prediction"] > 900
    assert "score" not in rows[0]
    code = OTHER_KINDS.replace("TEXTS", "('the film', 'a plot')").replace("RIGHT", "('same',)")
    said, _ = run(code, pairs_model)
    assert said[0] == "Stored. Thank you."
    assert "stores both texts" in said[1]
    (row,) = next(rows for rows in rows_of(hub).values() if len(rows) == 1)
    assert (row["text"], row["text_pair"], row["label"]) == ("the film", "a plot", "same")


def test_a_visitor_sends_feedback_and_the_end_of_the_app_pushes_it(browser, start, hub, finished_run, tmp_path):
    variables = {"FEEDBACK_DATASET": DATASET, "HF_TOKEN": "hf_alice", "HF_ENDPOINT": hub.url}
    application, process = start(finished_run, tmp_path / "app", variables)
    offered = Client(application.url, verbose=False).view_api(return_format="dict", print_info=False)[
        "named_endpoints"
    ]
    assert sorted(offered) == ["/classify", "/classify_file", "/explain"]
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.goto(application.url)
    box, send = page.get_by_label("Text", exact=True), page.get_by_role("button", name="Send")
    box.fill("the film was great")
    assert not send.is_visible()
    page.get_by_role("button", name="Classify", exact=True).click()
    send.wait_for()
    assert "Nothing about you is stored." in page.locator("#feedback").inner_text()
    send.click()
    page.get_by_text("There is no right label. Choose one.").wait_for()
    page.locator("#right input").click()
    page.get_by_role("option", name="negative").click()
    send.click()
    page.get_by_text("Stored. Thank you.").wait_for()
    send.click()
    page.get_by_text("This was stored already.").wait_for()
    box.fill("another text")
    send.wait_for(state="hidden")
    page.get_by_role("button", name="Which words mattered?").click()
    send.wait_for()
    assert page.get_by_text("stored already").count() == 0
    assert page.locator("#right input").input_value() == ""
    context.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    ((row,),) = rows_of(hub).values()
    assert (row["text"], row["label"]) == ("the film was great", "negative")


def test_by_default_there_is_nothing_of_it(app, said_by_the_app):
    assert said_by_the_app(app, "import app; print(app.collector)") == "None\n"
