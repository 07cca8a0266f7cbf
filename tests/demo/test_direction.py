"""Arabic and Hebrew run from right to left in the boxes, the examples and the coloured words; other texts do not."""

import io

import numpy as np
import pytest


HEBREW, ARABIC, ENGLISH = "הסרט היה נהדר", "كان الفيلم رائعا", "a great film"
PLACES = """selector => {
    const texts = document.createTreeWalker(document.querySelector(selector), NodeFilter.SHOW_TEXT);
    const nodes = [];
    while (texts.nextNode()) if (texts.currentNode.data.trim()) nodes.push(texts.currentNode);
    const place = (node, start) => {
        const range = document.createRange();
        range.setStart(node, start);
        range.setEnd(node, start + 1);
        return range.getBoundingClientRect().x;
    };
    const last = nodes.at(-1);
    return [place(nodes[0], 0), place(last, last.data.trimEnd().length - 1)];
}"""
"""Where the first and the last letter of an element stand, from the left."""


@pytest.fixture
def page(browser, app):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(app.url)
    page.get_by_role("tab", name="Classify").wait_for()
    yield page
    context.close()


def ink(element) -> float:
    """Where the ink of a text stands in its box, on average: 0 at the left, 1 at the right."""
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("L")).astype(float)
    inside = pixels[6:-6, 10:-30]  # (neither the frame nor the handle that changes the size)
    dark = np.abs(inside - np.median(inside)).sum(axis=0)
    return float((dark * np.arange(len(dark))).sum() / dark.sum() / len(dark))


@pytest.mark.parametrize(
    ("text", "is_right_to_left"), [(HEBREW, True), (ARABIC, True), (ENGLISH, False), (f"BERT {HEBREW}", False)]
)
def test_a_text_has_the_direction_of_its_first_letter(page, text, is_right_to_left):
    box = page.locator("#text textarea")
    box.fill(text)
    page.mouse.click(5, 5)  # (the caret is ink too)
    page.evaluate("document.activeElement.blur()")
    assert (ink(box) > 0.5) == is_right_to_left
    page.get_by_role("button", name="Which words mattered?").click()
    page.wait_for_function(f"document.querySelector('#coloured').innerText.includes({text.split()[0]!r})")
    if not is_right_to_left:
        return
    first, last = page.evaluate(PLACES, "#coloured .textfield")
    assert first > last
    middle = page.evaluate("document.querySelector('#coloured').getBoundingClientRect().width / 2")
    left = page.locator("#coloured").bounding_box()["x"]
    assert first - left > middle


def test_each_line_has_a_direction_of_its_own(page):
    box = page.locator("#text textarea")
    box.fill(f"{HEBREW}\n{ENGLISH}")
    page.evaluate("document.activeElement.blur()")
    assert page.evaluate("getComputedStyle(document.querySelector('#text textarea')).unicodeBidi") == "plaintext"
    box.fill(f"{ENGLISH}\n\n{HEBREW} {HEBREW} {HEBREW} {HEBREW}")
    page.evaluate("document.activeElement.blur()")
    assert ink(box) > 0.5


def test_examples_and_tables_follow_the_text_too(page, tmp_path):
    def styles(selector):
        return page.evaluate(
            "selector => [...document.querySelectorAll(selector)].map(one => getComputedStyle(one).unicodeBidi)",
            selector,
        )

    page.locator(".gallery-item").first.wait_for()
    assert set(styles(".gallery-item")) == {"plaintext"}
    page.locator("#text textarea").fill(HEBREW)
    page.get_by_role("button", name="Which words mattered?").click()
    page.wait_for_function(f"document.querySelector('#words').innerText.includes({HEBREW.split()[0]!r})")
    assert set(styles("#words tbody td")) == {"plaintext"}
    (tmp_path / "texts.csv").write_text(f"text\n{ARABIC}\n", encoding="utf-8")
    page.get_by_role("tab", name="A file").click()
    page.set_input_files("#upload input[type=file]", str(tmp_path / "texts.csv"))
    page.wait_for_function("document.querySelector('#column input').value == 'text'")
    page.get_by_role("button", name="Classify the file").click()
    page.wait_for_function(f"document.querySelector('#preview').innerText.includes({ARABIC!r})")
    assert set(styles("#preview tbody td")) == {"plaintext"}
