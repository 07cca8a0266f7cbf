"""What the pages of the documentation say can be typed, from the first block of a page to the last one."""

import re
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md"))
FENCE = re.compile(r"^( *)```([^\n]+)\n(.*?)^\1```$", flags=re.MULTILINE | re.DOTALL)
SHOWN = {"text", "json", "yaml", "mermaid", "csv", "html", "javascript", "toml"}
"""Languages of blocks that are looked at: output, files."""
TRAINED_WELL = {"export", "serve"}
"""Pages that need a model with clear answers: int8 is refused where labels change."""


def blocks(path):
    """The fenced blocks of a page: what stands after the fence (a language, perhaps the name of a file), and the code."""
    for indent, language, code in FENCE.findall(path.read_text(encoding="utf-8")):
        yield language, re.sub(f"^{indent}", "", code, flags=re.MULTILINE)


def runnable(path):
    """What a reader does: types commands and Python, and saves the blocks that have the name of a file."""
    return [
        (language, code) for language, code in blocks(path) if language in ("bash", "python") or "title=" in language
    ]


@pytest.fixture
def short_training(monkeypatch):
    """Eight steps: a page does not say `--max-steps` only so that this test is short."""
    from hfbertcls import TextClassificationTrainingArguments

    prepare = TextClassificationTrainingArguments.__post_init__

    def shortened(arguments):
        arguments.max_steps = 8 if arguments.max_steps <= 0 else arguments.max_steps
        prepare(arguments)

    monkeypatch.setattr(TextClassificationTrainingArguments, "__post_init__", shortened)


@pytest.mark.parametrize(
    "path", [path for path in PAGES if runnable(path)], ids=lambda path: str(path.relative_to(DOCS))
)
def test_a_page_can_be_followed(path, reader, request, short_contrastive_phase):
    if path.stem not in TRAINED_WELL:
        request.getfixturevalue("short_training")
    for language, code in runnable(path):
        if title := re.search('title="([^"]+)"', language):
            Path(title[1]).write_text(code, encoding="utf-8")
        else:
            reader.run(language, code)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_a_block_is_run_or_is_output(path):
    others = {language for language, _ in blocks(path) if "title=" not in language} - {"bash", "python", *SHOWN}
    assert others <= {"{.bash .not-run}", "{.python .not-run}"}, others


def test_what_is_not_run_is_known():
    """Commands that need a server of others, a GPU or an account: each is named here with its page."""
    found = [(path.stem, code) for path in PAGES for language, code in blocks(path) if ".not-run" in language]
    assert {page for page, _ in found} <= {
        "serve",
        "processes",
        "quickstart",
        "share",
        "space",
        "plugins",
        "export",
        "migrate",
    }, found


def test_there_are_enough_pages():
    from_code = (DOCS / "generate.py").read_text(encoding="utf-8").count('"reference/')
    assert len(PAGES) + from_code + len(list(DOCS.rglob("*.ipynb"))) >= 20
