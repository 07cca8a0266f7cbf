"""The tutorials run from the first cell to the last one, on real text and real weights.

`pytest tests/docs/test_notebooks.py --update-golden` writes what they print into the notebooks of `docs/tutorials`.
"""

import os
from pathlib import Path

import nbformat
import pytest
from huggingface_hub import HfApi
from nbclient import NotebookClient


TUTORIALS = Path(__file__).resolve().parent.parent.parent / "docs" / "tutorials"
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture
def account(hub, monkeypatch):
    """Logged in as `me` at a Hub that has the real encoder."""
    from hfbertcls.workflows.quickstart import model_directory

    hub.store.add_account("me", "hf_me")
    hub.store.add_account("sentence-transformers", "hf_st")
    api = HfApi(token="hf_st")
    api.create_repo(ENCODER)
    patterns = ["*.json", "*.txt", "*.safetensors"]
    api.upload_folder(folder_path=str(model_directory()), repo_id=ENCODER, allow_patterns=patterns)
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    return hub


@pytest.mark.real
@pytest.mark.parametrize("path", sorted(TUTORIALS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_tutorial_runs(path, account, tmp_path, monkeypatch, request):
    monkeypatch.setenv("PATH", f"{Path(os.sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=1_800, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    if request.config.getoption("--update-golden"):
        for cell in notebook.cells:
            _make_reproducible(cell, account.url, str(tmp_path))
        nbformat.write(notebook, path)


def _make_reproducible(cell, hub: str, place: str) -> None:
    """Remove what differs from run to run and means nothing to a reader: times, places, progress."""
    if cell.cell_type != "code":
        return
    cell.metadata.pop("execution", None)
    printed = "".join(one.text for one in cell.outputs if one.get("name") == "stdout").replace("\r\n", "\n")
    lines = [line for line in printed.splitlines() if line.strip() and "\r" not in line and "\x1b" not in line]
    others = [one for one in cell.outputs if one.output_type != "stream"]
    text = "".join(f"{line}\n" for line in lines).replace(hub, "https://huggingface.co").replace(place, ".")
    cell.outputs = [*([nbformat.v4.new_output("stream", text=text)] if text else []), *others]


def test_the_tutorials_show_what_they_print():
    for path in TUTORIALS.glob("*.ipynb"):
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert any(cell.outputs for cell in cells), f"{path.name} has no output: run this file with --update-golden"
        assert not any(one.output_type == "error" for cell in cells for one in cell.outputs)
