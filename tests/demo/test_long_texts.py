"""The app of models that read more of a long text than its beginning."""

import pytest
from gradio_client import Client, handle_file

from hfbertcls import load_pipeline
from hfbertcls.cli import main
from tests.demo.conftest import running


LONG = "the film was great and the plot was dull , " * 12 + "a bad film"
READ = {"windows": "first 86 of 125", "head-tail": "first 4 and last 12 of 125"}


@pytest.fixture(scope="module", params=["windows", "head-tail"])
def app(request, tmp_path_factory, tiny_model_dir, reviews_dir):
    folder = tmp_path_factory.mktemp("long")
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--max-steps", "3"]
    words += ["--max-length", "16", "--long-text", request.param, "--output-dir", str(folder / "model")]
    assert main(words) == 0
    for one in running(folder / "model", folder):
        yield request.param, one


def test_the_page_answers_as_load_pipeline(app, tmp_path):
    mode, app = app
    client = Client(app.url, verbose=False, download_files=str(tmp_path))
    loaded = load_pipeline(str(app.model), top_k=None)
    for text in (LONG, "a good film", "the film was great and the plot was dull , a bad film with a good plot"):
        expected = {one["label"]: one["score"] for one in loaded([text])[0]}
        assert client.predict(text, api_name="/classify")["scores"] == pytest.approx(expected, abs=1e-5)
    assert client.predict(LONG, api_name="/classify")["note"] == (
        f"The {READ[mode]} tokens were read; the rest was not."
    )
    explained = client.predict(LONG, api_name="/explain")
    ends = [one["end"] for one in explained["words"]]
    assert (max(ends) == len(LONG)) == (mode == "head-tail")  # (its last words are read)
    table = tmp_path / "texts.csv"
    table.write_text(f'text\n"{LONG}"\na good film\n')
    _, shown, summary = client.predict(handle_file(table), "text", api_name="/classify_file")
    assert "Of 1 only" in summary
    assert [row[1] for row in shown["data"]] == [one[0]["label"] for one in loaded([LONG, "a good film"])]
    assert [row[3] for row in shown["data"]] == [f"{READ[mode]} tokens read", ""]
