"""Hooks of mkdocs: the generated pages of the reference, and `llms.txt` for programs that read documentation."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page


def _load_generator() -> Any:
    spec = importlib.util.spec_from_file_location("docs_generate", Path(__file__).with_name("generate.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_GENERATOR = _load_generator()
_ORDER: list[File] = []
"""The files of the pages, in the order of the navigation."""
_TEXTS: dict[str, tuple[str, str]] = {}
"""Title and Markdown of each page by the path of its source."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for path, page in _GENERATOR.PAGES.items():
        files.append(File.generated(config, path, content=page()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Note what the page says."""
    notebook = page.file.src_uri.endswith(".ipynb")
    _TEXTS[page.file.src_uri] = (str(page.title), _text_of(page.file.content_string) if notebook else markdown)
    return markdown


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> None:  # noqa: ARG001
    """Note the order of the pages."""
    _ORDER[:] = [page.file for page in nav.pages]


def on_post_build(config: MkDocsConfig) -> None:
    """Write the index of the pages, and all of them as one text."""
    site = Path(config.site_dir)
    pages = [(file.url, *_TEXTS[file.src_uri]) for file in _ORDER if file.src_uri in _TEXTS]
    index = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    index += [f"- [{title}]({url}): {_first_sentence(text)}" for url, title, text in pages]
    (site / "llms.txt").write_text("\n".join([*index, ""]), encoding="utf-8")
    (site / "llms-full.txt").write_text("\n\n".join(text for _, _, text in pages), encoding="utf-8")


def _text_of(notebook: str) -> str:
    """The text and the code of a notebook as Markdown."""
    cells = ((cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook)["cells"])
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in cells)


def _first_sentence(text: str) -> str:
    """The first sentence of prose of a page, in one line."""
    paragraphs = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL).split("\n\n")
    prose = next((one.strip() for one in paragraphs if re.match(r"\s*[\w*`\[]", one)), "")
    return re.split(r"(?<=[.?])\s", " ".join(prose.split()))[0].rstrip(".:")
