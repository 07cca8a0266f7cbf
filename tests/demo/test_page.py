"""The app as a person sees it: a real browser, light and dark, a phone, nothing asked of any other host."""

import csv
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe


TEXT = "the film was great but the plot was dull"
DESKTOP, PHONE = {"width": 1280, "height": 1000}, {"width": 390, "height": 844}


class Visit:
    """A page, and what went on in it."""

    def __init__(self, browser, app, *, scheme="light", size=DESKTOP):
        self.context = browser.new_context(color_scheme=scheme, viewport=size, accept_downloads=True)
        self.page = self.context.new_page()
        self.requests, self.said = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append((message.type, message.text)))
        self.page.on("pageerror", lambda error: self.said.append(("error", str(error))))
        self.url = app.url
        self.page.goto(app.url)
        self.page.get_by_role("tab", name="Classify").wait_for()

    def classify(self, text: str) -> None:
        self.page.get_by_label("Text", exact=True).fill(text)
        self.page.get_by_role("button", name="Classify", exact=True).click()
        self.page.wait_for_function("document.querySelector('#label').innerText.includes('%')")

    def explain(self, word: str) -> None:
        self.page.get_by_role("button", name="Which words mattered?").click()
        self.page.wait_for_function(f"document.querySelector('#words').innerText.includes({word!r})")

    def classify_file(self, path: Path) -> None:
        self.page.get_by_role("tab", name="A file").click()
        self.page.set_input_files("#upload input[type=file]", str(path))
        self.page.wait_for_function("document.querySelector('#column input').value == 'text'")
        self.page.get_by_role("button", name="Classify the file").click()
        self.page.wait_for_function(
            "(document.querySelector('#summary textarea, #summary input') || {}).value?.includes(' rows ')",
            timeout=120_000,
        )

    def about(self) -> None:
        self.page.get_by_role("tab", name="About").click()
        self.page.locator("#about table").first.wait_for()

    def violations(self) -> list[str]:
        # An old answer is pale, and the new one fades in: what is checked is what stands there afterwards.
        self.page.wait_for_function(
            """() => !document.querySelector('.pending')
            && !document.getAnimations().some(one => one instanceof CSSTransition)"""
        )
        found = Axe().run(self.page).response["violations"]
        return [
            f"{entry['id']}: {entry['nodes'][0]['html'][:200]}"
            for entry in found
            if entry["impact"] in ("serious", "critical")
        ]

    def foreign(self) -> list[str]:
        return [url for url in self.requests if not url.startswith((self.url, "data:", "blob:"))]

    def errors(self) -> list[str]:
        return [text for kind, text in self.said if kind == "error"]


@pytest.fixture
def visit(browser):
    visits = []

    def begin(app, **how):
        visits.append(Visit(browser, app, **how))
        return visits[-1]

    yield begin
    for one in visits:
        one.context.close()


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text("id,text\n1,a great film\n2,\n3,=1+1 dull\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE), ("dark", PHONE)]
)
def test_the_whole_visit(visit, app, texts, tmp_path, scheme, size):
    seen = visit(app, scheme=scheme, size=size)
    page = seen.page
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) == (scheme == "dark")
    seen.classify(TEXT)
    assert page.locator("#label h2").inner_text() in ("negative", "positive")
    assert "All 11 tokens were read" in page.locator("#note").inner_text()
    seen.explain("dull")
    assert page.locator("#coloured .textfield").evaluate("one => getComputedStyle(one).wordBreak") == "normal"
    assert len(page.locator("#words [role=gridcell], #words td").all()) >= 2 * len(TEXT.split())
    assert seen.violations() == []
    seen.classify_file(texts)
    assert "1 had no text" in page.locator("#summary textarea, #summary input").input_value()
    with page.expect_download() as download:
        page.locator("#download a").first.click()
    download.value.save_as(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.reader(file))
    assert [row[1] for row in table] == ["text", "a great film", "", "'=1+1 dull"]
    assert [row[4] for row in table] == ["note", "", "no text", ""]
    assert seen.violations() == []
    seen.about()
    assert "95 % interval" in page.locator("#about").inner_text()
    assert seen.violations() == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    picture = page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert len(picture) > 10_000
    assert seen.foreign() == []
    assert seen.errors() == []
    assert app.asked.read_text() == ""


def test_of_multi_label_models_the_page_shows_which_are_given(visit, multi_label_app, tmp_path):
    seen = visit(multi_label_app)
    page = seen.page
    assert "Gives a text any of 3 labels, or none." in page.locator("body").inner_text()

    def table() -> list[list[str]]:
        rows = page.locator("#exact [role=row], #exact tr").all()
        cells = [[cell.inner_text().strip() for cell in row.locator("[role=gridcell], td").all()] for row in rows]
        return [row[-5:] for row in cells if len(row) >= 5 and any(row)]  # (an empty one measures the widths)

    seen.classify("the dull film music")
    page.wait_for_function("document.querySelector('#note').innerText.includes('Labels: ')")
    note = page.locator("#note").inner_text()
    assert sorted(note.partition("Labels: ")[2].partition(".")[0].split(", ")) == ["blame", "music"]
    given = {row[0]: (row[1], row[3]) for row in table()}
    assert given == {"praise": ("no", "0.6000"), "blame": ("yes", "0.5000"), "music": ("yes", "0.3000")}
    assert "Threshold" in page.locator("#exact").inner_text()
    assert page.locator("#label h2").count() == 0  # (no label stands out as if it were the only one)
    seen.explain("dull")
    assert "above its threshold" in page.locator("#note").inner_text()
    assert seen.violations() == []
    assert len(page.screenshot(path=tmp_path / "page.png", full_page=True)) > 10_000
    seen.classify("a story of the film")
    page.wait_for_function("document.querySelector('#note').innerText.includes('No label reaches its threshold.')")
    seen.explain("story")
    assert "below its threshold, so it is not predicted." in page.locator("#note").inner_text()
    texts = tmp_path / "texts.csv"
    texts.write_text("text\nthe dull film music\na story of the film\n", encoding="utf-8")
    seen.classify_file(texts)
    assert "2 rows got 2 labels" in page.locator("#summary textarea, #summary input").input_value()
    assert "; " in page.locator("#preview").inner_text()
    assert seen.foreign() == []
    assert seen.errors() == []


def test_an_example_and_the_keyboard_alone(visit, app):
    seen = visit(app)
    page = seen.page
    page.get_by_text("a dull plot and poor acting").first.click()
    page.wait_for_function("document.querySelector('#text textarea').value.startsWith('a dull plot')")
    page.get_by_label("Text", exact=True).focus()
    page.keyboard.press("Shift+Enter")
    page.wait_for_function("document.querySelector('#label').innerText.includes('%')")
    names = []
    for _ in range(40):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate("(document.activeElement.innerText || document.activeElement.ariaLabel || '').trim()")
        )
    assert "Classify" in names
    assert "Which words mattered?" in names
    page.get_by_role("button", name="Which words mattered?").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#words').innerText.includes('acting')")


def test_the_page_speaks_of_one_text(visit, app):
    seen = visit(app)
    page = seen.page
    box, words, coloured = page.get_by_label("Text", exact=True), page.locator("#words"), page.locator("#coloured")
    box.fill(TEXT)
    seen.explain("dull")
    page.wait_for_function("document.querySelector('#label').innerText.includes('%')")
    page.wait_for_function("document.querySelector('#exact').innerText.includes('0.')")
    page.wait_for_function(f"document.querySelector('#coloured').innerText.includes({TEXT.split()[-1]!r})")
    box.fill("a story of music")
    for name, gone in (("label", "%"), ("words", "dull"), ("coloured", "dull"), ("note", "tokens")):
        page.wait_for_function(f"!document.querySelector('#{name}').innerText.includes('{gone}')")
    assert "Effect in logits" in words.inner_text()
    seen.classify("a story of music")
    assert "dull" not in words.inner_text()
    box.fill("the dull film")
    page.get_by_role("button", name="Which words mattered?").click()
    box.fill("a great ending")  # (before the answer to the other text is there)
    seen.explain("ending")
    page.wait_for_timeout(1_000)
    assert "dull" not in words.inner_text() + coloured.inner_text()
    assert seen.errors() == []


def test_the_result_of_a_file_goes_when_another_file_or_column_is_chosen(visit, app, tmp_path):
    seen = visit(app)
    page = seen.page
    tickets = tmp_path / "tickets.csv"
    tickets.write_text("ticket_id,subject,body\nAB-1,hi,a great film with music\nAB-2,yo,a dull film\n", "utf-8")
    result = "(document.querySelector('#summary textarea, #summary input') || {}).value"
    page.get_by_role("tab", name="A file").click()
    page.set_input_files("#upload input[type=file]", str(tickets))
    page.wait_for_function("document.querySelector('#column input').value == 'body'")
    page.get_by_role("button", name="Classify the file").click()
    page.wait_for_function(f"{result}?.includes('2 rows')")
    assert "a great film with music" in page.locator("#preview").inner_text()
    page.locator("#column input").fill("subject")
    page.keyboard.press("Enter")
    page.wait_for_function(f"!{result}")
    assert "a great film" not in page.locator("#preview").inner_text()
    assert "classified.csv" not in page.locator("#download").inner_text()
    page.get_by_role("button", name="Classify the file").click()
    page.wait_for_function(f"{result}?.includes('2 rows')")
    page.locator("#upload button[aria-label*=lear], #upload button[aria-label*=emove]").first.click()
    page.wait_for_function(f"!{result}")
    assert seen.errors() == []


def test_an_error_is_announced_and_the_page_goes_on(visit, app):
    seen = visit(app)
    seen.page.get_by_role("button", name="Classify", exact=True).click()
    seen.page.get_by_text("There is no text. Enter one.").wait_for()
    seen.classify(TEXT)
    assert seen.foreign() == []


PAYLOADS = (
    "<img src=x onerror=\"document.title='broken-in'\">",
    "<script>document.title='broken-in'</script>",
    "<svg/onload=\"document.title='broken-in'\">",
    "![x](http://pictures.example/x.png) [a](javascript:document.title='broken-in')",
    '"><iframe src="javascript:parent.document.title=\'broken-in\'"></iframe>',
    "$$\\href{javascript:document.title='broken-in'}{x}$$",
)


def test_what_is_written_to_do_harm_is_only_text(visit, hostile_app, tmp_path):
    """Payloads in the text, in the labels (of the model itself) and in the cells and the header of a file."""
    seen = visit(hostile_app)
    page = seen.page
    title = page.title()
    path = tmp_path / "cells.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text", PAYLOADS[0]], *((payload, payload) for payload in PAYLOADS)])
    for payload in PAYLOADS:
        seen.classify(payload)
        page.get_by_role("button", name="Which words mattered?").click()
        page.wait_for_timeout(300)
    seen.classify_file(path)
    page.locator("#column input").click()  # the header, as choices
    page.wait_for_timeout(300)
    seen.about()
    page.wait_for_timeout(500)
    assert "<img" in page.locator("#about").inner_text()
    assert page.title() == title
    planted = page.locator("img[src=x], iframe, svg[onload], a[href^=javascript]")
    assert [one.evaluate("element => element.outerHTML") for one in planted.all()] == []
    assert seen.foreign() == []
    assert seen.errors() == []
    assert hostile_app.asked.read_text() == ""


def test_ten_thousand_rows_leave_the_page_usable(visit, app, tmp_path):
    path = tmp_path / "many.csv"
    path.write_text(
        "text\n" + "".join(f"the film {number} was great " * 6 + "\n" for number in range(10_000)), encoding="utf-8"
    )
    seen = visit(app)
    page = seen.page
    page.evaluate(
        """() => { window.longest = 0; let last = performance.now(); window.progress = new Set();
        setInterval(() => { const now = performance.now(); window.longest = Math.max(window.longest, now - last); last = now;
          for (const found of document.body.innerText.matchAll(/10,000 rows - [0-9.]+%/g)) window.progress.add(found[0]) }, 50) }"""
    )
    seen.classify_file(path)
    assert page.locator("#summary textarea, #summary input").input_value().startswith("10,000 rows")
    assert page.evaluate("window.progress.size") > 1, "no progress was shown"
    assert page.evaluate("window.longest") < 5_000, "the page stood still (milliseconds)"
    seen.page.get_by_role("tab", name="Classify").click()
    seen.classify(TEXT)
