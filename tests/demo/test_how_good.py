"""The sentence on how good the model is for the label shown: it follows from the report, or is not there."""

import json
import shutil
from pathlib import Path

import pytest


LABEL = "<b>so-so</b> *x*"
ROW = {"precision": 0.912, "recall": 0.926, "f1": 0.9, "support": 412}
UNCERTAIN = " With so few rows this is uncertain."


def report(**more) -> dict:
    """A report of one label on a test split."""
    return {"evaluation": {"validation": {}, "test": {"rows": 800, "per_label": {LABEL: ROW | more}}}}


def of_split(name: str, **more) -> dict:
    return {"evaluation": {name: {"rows": 800, "per_label": {LABEL: ROW}, **more}}}


NAME = "&lt;b&gt;so-so&lt;/b&gt; \\*x\\*"
RATES = f"with the label {NAME}, 93 % were found; of the rows predicted as {NAME}, 91 % were right."
SENTENCES = [
    (report(), f"Of 412 test rows {RATES}"),
    (report(support=29), f"Of 29 test rows {RATES}{UNCERTAIN}"),
    (report(support=30), f"Of 30 test rows {RATES}"),
    (report(support=1, recall=0.0, precision=0.0), f"Of 1 test row with the label {NAME}, none was found.{UNCERTAIN}"),
    (report(support=0), f"No test row has the label {NAME}, so it is unknown how well it is found."),
    (of_split("validation"), f"Of 412 validation rows {RATES}"),
    (of_split("cross_validation", kind="out_of_fold"), f"In cross-validation, of 412 rows {RATES}"),
    (report(recall=0.9999, precision=0.001), "more than 99 % were found"),
    (report(recall=0.9999, precision=0.001), "less than 1 % were right"),
    (report(recall=1.0), "100 % were found"),
]
SILENT = [
    None, [], {}, {"evaluation": {}}, {"evaluation": {"test": None}}, {"evaluation": {"test": {"per_label": None}}},
    {"evaluation": {"test": {"per_label": {}}}}, report(support="many"), report(recall=None), report(support=None),
]  # fmt: skip


@pytest.fixture(scope="module")
def sentences_for(said_by_the_app):
    """The sentences that an app makes of reports."""

    def say(app, label, reports) -> list[str]:
        code = f"""
import json, about
for report in json.loads({json.dumps(json.dumps(reports))}):
    about.read_report = lambda: report
    print(json.dumps(about.how_good({label!r})))
"""
        return list(map(json.loads, said_by_the_app(app, code).splitlines()))

    return say


def test_the_sentence_follows_from_the_report(app, sentences_for):
    said = sentences_for(app, LABEL, [one for one, _ in SENTENCES] + SILENT)
    for (_, expected), sentence in zip(SENTENCES, said, strict=False):
        assert expected == sentence or (expected.startswith(("more", "less", "100")) and expected in sentence)
    assert said[len(SENTENCES) :] == [""] * len(SILENT)


def test_of_numbers_it_is_the_error_with_its_interval(number_app, sentences_for):
    def measured(rows, split="test", **more):
        return {
            "evaluation": {
                split: {"rows": rows, "metrics": {"mae": {"value": 0.31284, "low": 0.28, "high": 0.34}}} | more
            }
        }

    bare = measured(30)
    bare["evaluation"]["test"]["metrics"]["mae"] = {"value": 4.0}
    cases = [
        measured(412),
        measured(29),
        measured(90, "cross_validation", kind="out_of_fold"),
        bare,
        {"evaluation": {}},
    ]
    assert sentences_for(number_app, "points", cases) == [
        "The mean absolute error on 412 test rows is 0.3128 (95 % interval 0.28 to 0.34).",
        f"The mean absolute error on 29 test rows is 0.3128 (95 % interval 0.28 to 0.34).{UNCERTAIN}",
        "In cross-validation, the mean absolute error on 90 rows is 0.3128 (95 % interval 0.28 to 0.34).",
        "The mean absolute error on 30 test rows is 4.",
        "",
    ]


def test_of_several_labels_it_speaks_of_the_likeliest_that_is_predicted(multi_label_app, said_by_the_app):
    code = """
import answers
answers.how_good = lambda label: f"About {label}."
scores = {"praise": 0.55, "blame": 0.52, "music": 0.1}
for thresholds in ({}, {"blame": 0.51}, {"praise": 0.9, "blame": 0.9}):
    print(answers.goodness(scores, answers.THRESHOLDS | thresholds))
"""
    assert said_by_the_app(multi_label_app, code).splitlines() == [
        "About blame.",
        "About blame. This is by the model's own threshold.",
        "About praise. This is by the model's own threshold.",
    ]


@pytest.fixture
def page(browser, app):
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.goto(app.url)
    yield page
    context.close()


def test_the_page_says_it_and_leads_to_more(page, app):
    rows = json.loads((app.model / "report.json").read_text())["evaluation"]["test"]["per_label"]
    more = page.get_by_role("button", name="How good is it?")
    assert not more.is_visible()
    page.get_by_label("Text", exact=True).fill("the film was great")
    page.get_by_role("button", name="Classify", exact=True).click()
    page.locator("#good").wait_for()
    page.wait_for_function("document.querySelector('#good').innerText.includes('found')")
    label = page.locator("#label h2").inner_text()
    said = page.locator("#good").inner_text()
    assert said.startswith(f"Of {rows[label]['support']} test rows with the label {label}, ")
    page.get_by_label("Text", exact=True).fill("another text")
    more.wait_for(state="hidden")
    assert not page.locator("#good").is_visible()
    page.get_by_role("button", name="Which words mattered?").click()
    more.click()
    page.locator("#about table").first.wait_for()


def test_without_a_report_there_is_no_sentence(app, said_by_the_app, tmp_path):
    model = Path(shutil.copytree(app.model, tmp_path / "model", ignore=shutil.ignore_patterns("checkpoints")))
    (model / "report.json").unlink()
    assert said_by_the_app(app, "import about; print([about.how_good('positive')])", model) == "['']\n"
