"""Sliders for the decision thresholds: what they change on the page, and what they leave alone."""

import json

import pytest
from gradio_client import Client, handle_file


TEXT = "great music but dull"
EXACT = [0.604321, 0.504321, 0.304321]


def test_only_the_answer_that_the_page_shows_is_decided_again(sliders_app, said_by_the_app):
    code = f"""
import json
from answers import *
from classifier import THRESHOLDS, classify
at_rest = [position_of(THRESHOLDS[label]) for label in SLIDERS]
for positions in ([], at_rest, [0.7, None, 0.3], [0.6, 0.50000001, 0.0]):
    print(json.dumps(list(chosen_thresholds(positions).values())))
*_, note, _, _, shown = show_classification({TEXT!r}, *at_rest)
*_, explained, _, _, _ = show_explanation({TEXT!r}, 1.0, 1.0, 1.0)
table, decided, _ = show_decisions(shown, {TEXT!r}, 1.0, 1.0, 0.0)
print(json.dumps([note, explained, decided, [row[1] for row in table if row[3] == "1.0000"]]))
answers = classify({TEXT!r})
for threshold in (0.01, 0.999):
    print(what_is_explained(answers, dict.fromkeys(answers["scores"], threshold)))
for state, text in ((None, {TEXT!r}), (shown, "another text"), (shown, chr(0xd800))):
    print(show_decisions(state, text, 1.0, 1.0, 1.0) == (gr.skip(),) * 3)
"""
    *chosen, notes, low, high, none, other, odd = said_by_the_app(sliders_app, code).splitlines()
    assert (none, other, odd) == ("True", "True", "True")
    assert list(map(json.loads, chosen)) == [EXACT, EXACT, [0.7, *EXACT[1:]], [*EXACT[:2], 0.0]]
    note, explained, decided, above = json.loads(notes)
    assert note.startswith("Labels: ")
    assert note.count("All 6 tokens were read.") == 1
    assert "below its threshold, so it is not predicted." in explained
    assert decided == "Labels: =cmd\\|' /C calc'\\!A0. All 6 tokens were read."
    assert above == ["no", "no"]
    assert low.endswith("logits above its threshold.")
    assert high.endswith("logits below its threshold, so it is not predicted.")


def test_more_labels_than_sliders_is_one_sentence(
    tiny_model_dir, tiny_tokenizer, multi_label_app, said_by_the_app, tmp_path
):
    from transformers import BertForSequenceClassification

    names = {
        "id2label": {index: f"label {index}" for index in range(31)},
        "problem_type": "multi_label_classification",
    }
    BertForSequenceClassification.from_pretrained(tiny_model_dir, **names).save_pretrained(tmp_path / "model")
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    code = """
import app
print(app.ABOUT_SLIDERS, app.sliders)
*_, note, shown = app.show_classification("the film")
print(shown.answers)
"""
    said = said_by_the_app(multi_label_app, code, tmp_path / "model").splitlines()
    assert said[0] == "The model has 31 labels, too many for a slider each. Its own thresholds decide. []"
    assert said[1] == "{}"


def test_models_of_another_kind_have_no_sliders(app, said_by_the_app):
    assert said_by_the_app(app, "import answers; print(answers.SLIDERS)") == "[]\n"


@pytest.fixture
def page(browser, sliders_app):
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.goto(sliders_app.url)
    page.get_by_label("Text", exact=True).fill(TEXT)
    yield page
    context.close()


def thresholds_on(page) -> list[tuple[str, str]]:
    """The decisions and thresholds in the table, in the order of the labels of the model."""
    rows = page.locator("#exact [role=row], #exact tr").all()
    cells = [[cell.inner_text().strip() for cell in row.locator("[role=gridcell], td").all()][-5:] for row in rows]
    by_label = {row[0]: (row[1], row[3]) for row in cells if len(row) == 5 and row[0]}
    return [by_label[label] for label in sorted(by_label, key=lambda label: "<[=".index(label[0]))]


def waits_for(page, text: str) -> None:
    page.wait_for_function(f"document.querySelector('#exact').innerText.includes({text!r})")


def test_moving_a_slider_decides_again_and_its_reset_brings_the_model_back(page, sliders_app, tmp_path):
    title = page.title()
    page.get_by_text("Decision thresholds").click()
    page.locator("#thresholds input[type=number]").first.wait_for()
    page.get_by_role("button", name="Classify", exact=True).click()
    waits_for(page, "0.6043")
    assert thresholds_on(page) == [("yes", "0.6043"), ("yes", "0.5043"), ("yes", "0.3043")]
    numbers, resets = page.locator("#thresholds input[type=number]"), page.locator("#thresholds button.reset-button")
    assert [one.input_value() for one in numbers.all()] == ["0.6", "0.5", "0.3"]
    numbers.nth(0).fill("1")
    waits_for(page, "1.0000")
    assert thresholds_on(page) == [("no", "1.0000"), ("yes", "0.5043"), ("yes", "0.3043")]
    page.get_by_role("button", name="Which words mattered?").click()  # (by the sliders too)
    page.wait_for_function("document.querySelector('#words').innerText.includes('dull')")
    assert thresholds_on(page)[0] == ("no", "1.0000")
    resets.nth(0).click()
    waits_for(page, "0.6043")
    assert thresholds_on(page)[0] == ("yes", "0.6043")
    page.locator("#thresholds input[type=range]").nth(2).press("ArrowLeft")
    waits_for(page, "0.2900")
    note = page.locator("#note").inner_text()
    assert note.startswith("Labels: ")
    assert "<img" in note
    assert page.locator("#thresholds img, #thresholds a").count() == 0
    assert page.title() == title
    assert page.get_by_text("Files and the API keep the thresholds of the model.").is_visible()

    client = Client(sliders_app.url, verbose=False)
    assert list(client.predict(TEXT, api_name="/classify")["thresholds"].values()) == EXACT
    (tmp_path / "in.csv").write_text(f"text\n{TEXT}\n")
    _, shown, _ = client.predict(handle_file(tmp_path / "in.csv"), "text", api_name="/classify_file")
    assert shown["data"][0][1].count("; ") == 2

    page.get_by_label("Text", exact=True).fill("another text")
    page.wait_for_function("!document.querySelector('#exact').innerText.includes('0.2900')")
    numbers.nth(0).fill("0.9")
    page.wait_for_timeout(1_000)
    assert thresholds_on(page) == []  # (the answer to the other text does not come back)


def test_nothing_went_wrong_unseen(sliders_app):
    assert sliders_app.asked.read_text() == ""
    assert [line for line in sliders_app.log.read_text().splitlines() if "/space/" in line] == []
