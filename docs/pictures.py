"""Make the pictures of README and documentation from a classifier: its card, its demo, and both side by side.

    python docs/pictures.py MODEL_DIR "A text." --example "Another text." --chromium /usr/bin/chromium

MODEL_DIR is what `hfbertcls train` wrote. The card is shown as the Hub renders Markdown, the demo is the real app on this machine.
Written are docs/images/space.png and docs/images/card-and-demo.png.
"""

import argparse
import base64
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from playwright.sync_api import Page, sync_playwright

from hfbertcls.hub.space.render import SpaceFacts, render_space


IMAGES = Path(__file__).parent / "images"
_WIDTH, _HEIGHT = 1100, 1060
_STYLE = """
body { font: 15px/1.6 Helvetica, Arial, sans-serif; color: #1f2328; max-width: 46rem; margin: 0 auto; padding: 8px 24px; }
h1, h2 { border-bottom: 1px solid #d1d9e0; padding-bottom: .3em; margin: 1em 0 .6em; } h1 { font-size: 1.7em; }
table { border-collapse: collapse; } td, th { border: 1px solid #d1d9e0; padding: 5px 11px; }
code { background: #eff1f3; padding: .15em .35em; border-radius: 5px; font-size: 85%; } pre code { background: none; }
pre { background: #f6f8fa; padding: 12px; overflow: auto; border-radius: 6px; } img { max-width: 100%; }
"""
_BESIDE = """
<body style="margin: 0; background: #e8ecf4; display: flex; gap: 24px; padding: 24px; width: 1512px">
<div style="{box} width: 776px"><img src="data:image/png;base64,{card}" style="width: 100%"></div>
<div style="{box} width: 712px"><img src="data:image/png;base64,{demo}" style="width: 100%"></div>
</body>
"""
_BOX = "height: 690px; overflow: hidden; background: white; border-radius: 10px; box-shadow: 0 1px 6px #0002;"


def page_of(card: Path) -> str:
    """The card as a page: Markdown without the front matter."""
    text = card.read_text(encoding="utf-8").partition("---\n")[2].partition("---\n")[2]
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    return f"<!doctype html><meta charset='utf-8'><style>{_STYLE}</style><body>{body}</body>"


@contextlib.contextmanager
def demo(model: Path, examples: list[str], folder: Path) -> Iterator[str]:
    """The address of the app, while it runs."""
    for name, content in render_space(SpaceFacts(model.name, examples=tuple(examples))).items():
        (folder / name).write_bytes(content)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"MODEL_ID": str(model), "GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1"}
    app = subprocess.Popen([sys.executable, "app.py"], cwd=folder, env=os.environ | variables)
    try:
        while app.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5).close()
                break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        app.terminate()
        app.wait()


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("text")
    parser.add_argument("--example", action="append", default=[])
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args()
    model = options.model.resolve()
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])

        def shot(page: Page, path: Path) -> bytes:
            page.wait_for_function("!document.getAnimations().some(one => one instanceof CSSTransition)")
            return page.screenshot(path=path)

        card = browser.new_page(viewport={"width": 776, "height": 690}, device_scale_factor=2)
        (folder / "card.html").write_text(page_of(model / "README.md"), encoding="utf-8")
        if (model / "plots").is_dir():
            (folder / "plots").symlink_to(model / "plots")
        card.goto(f"file://{folder}/card.html")
        pictures = {"card": shot(card, folder / "card.png")}
        with demo(model, options.example, folder) as address:
            page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
            page.goto(address)
            page.get_by_label("Text", exact=True).fill(options.text)
            page.get_by_role("button", name="Which words mattered?").click()
            page.wait_for_function("document.querySelector('#words').innerText.length > 20")
            page.wait_for_function("!document.querySelector('.pending')")
            page.mouse.move(0, 0)
            pictures["demo"] = shot(page, IMAGES / "space.png")
        coded = {key: base64.b64encode(picture).decode() for key, picture in pictures.items()}
        beside = browser.new_page(viewport={"width": 1560, "height": 738})
        beside.set_content(_BESIDE.format(box=_BOX, **coded))
        beside.screenshot(path=IMAGES / "card-and-demo.png")
        browser.close()


if __name__ == "__main__":
    main()
