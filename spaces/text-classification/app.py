"""Try a text classifier: a text, the words that mattered, a file, and how good the model is.

The folder stands alone: gradio, transformers and torch are all it needs. The variable MODEL_ID names the model, a
repository on the Hub or a directory; without it the first one under `models:` in README.md is taken. `examples.txt`,
if there is one, holds an example a line.
"""

import json
import os
import signal
import tempfile
from pathlib import Path


_files = tempfile.TemporaryDirectory(
    prefix="space-"
)  # what is uploaded and made; gradio's own folder is common to all users
os.environ.setdefault("GRADIO_TEMP_DIR", _files.name)
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio and the Hub's client are imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
if os.environ.get("MODEL_ID") and Path(os.environ["MODEL_ID"]).is_dir() and not os.environ.get("FEEDBACK_DATASET"):
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr
from starlette.middleware import Middleware

from about import about_text, plain
from answers import SLIDERS, Shown, position_of, show_classification, show_decisions, show_explanation
from bodies import BodyLimit
from classifier import (
    LABELS,
    MAX_CHARACTERS,
    MULTI,
    NAME,
    NUMBER,
    PAIRS,
    THRESHOLDS,
    WHAT_IT_DOES,
    classify,
    classify_pair,
)
from explanation import explain, explain_pair
from feedback import NONE_OF_THEM, open_feedback
from tables import (
    MAX_FILE,
    MAX_ROWS,
    SHOWN_ROWS,
    classify_file,
    classify_file_of_pairs,
    likely_columns,
    read_table,
)


_WAITING = 512  # requests; further ones get an error that the queue is full


def show_columns(file: str | None) -> gr.Dropdown | list[gr.Dropdown]:
    """The columns of a file that was chosen, with those that are likely to hold the texts."""
    if file is None:
        chosen = [gr.Dropdown(choices=[], value=None) for _ in columns]
    else:
        header, rows, _ = read_table(file)
        chosen = [gr.Dropdown(choices=header, value=name) for name in likely_columns(header, rows)]
    return chosen if PAIRS else chosen[0]


def examples() -> list[list[str]]:
    """The examples in examples.txt; the two texts of a pair are separated by a tab."""
    path = Path(__file__).resolve().parent / "examples.txt"
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    rows = [line.split("\t") if PAIRS else [line] for line in lines if line.strip()]
    return [row for row in rows if len(row) == len(boxes)]


def feedback_fields() -> tuple[gr.components.Component, gr.Markdown, gr.Button]:
    """What asks a visitor for the right answer: its field, what came of it, and the button that sends it."""
    gr.Markdown(f"**Is this right?** {collector.what_is_stored()}", elem_id="feedback", latex_delimiters=[])
    with gr.Row(equal_height=True):
        if NUMBER:
            right = gr.Textbox(label="Right number", elem_id="right", scale=3)  # (an empty gr.Number is shown as 0)
        else:
            right = gr.Dropdown(
                [*LABELS, *([NONE_OF_THEM] if MULTI and NONE_OF_THEM not in LABELS else [])],
                label="Right labels" if MULTI else "Right label",
                value=None,
                multiselect=MULTI,
                elem_id="right",
                scale=3,
            )
        send_button = gr.Button("Send", min_width=120)
    return right, gr.Markdown(elem_id="thanks"), send_button


def send_feedback(state: Shown | None, right: str | list[str] | None, *texts: str) -> str:
    """Store what a visitor takes for right."""
    return collector.store(state, texts, right)


collector = open_feedback()
theme = gr.themes.Default(primary_hue="indigo", neutral_hue="slate").set(
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_dark="*primary_600",
    button_primary_text_color="white",
)
EXACT = ["Label", *(["Predicted", "Probability", "Threshold"] if MULTI else ["Probability"]), "Logit"]
EXACT = ["Number"] if NUMBER else EXACT
WORDS = [*(["Text"] if PAIRS else []), "Word", "Effect on the number" if NUMBER else "Effect in logits"]
PREVIEW = [
    *(["First text", "Second text"] if PAIRS else ["Text"]),
    *(["Number"] if NUMBER else ["Label", "Probability"]),
    "Note",
]
VERB = "Predict" if NUMBER else "Classify"
ABOUT_SLIDERS = (
    "The sliders decide on this page only. Files and the API keep the thresholds of the model."
    if SLIDERS
    else f"The model has {len(LABELS):,} labels, too many for a slider each. Its own thresholds decide."
)


HIDDEN = gr.update(visible=False)


def empty(*values: object) -> str:
    """JavaScript that empties components; a list stands for a table with these headers."""
    tables = [
        {"headers": value, "data": [], "metadata": None} if isinstance(value, list) else value for value in values
    ]
    return f"() => {json.dumps(tables)}"


# Each line of a text has the direction of its first letter, as with dir="auto", which gradio cannot set. Coloured words are a
# row of boxes in gradio, which keep their order from left to right; as a block they are a text.
css = """
textarea, #coloured .textfield, .gallery-item, #note p, #words td, #preview td { unicode-bidi: plaintext; text-align: start }
#coloured .textfield { display: block; word-break: normal; overflow-wrap: anywhere }
footer, footer a, footer button { color: var(--body-text-color) !important; opacity: 1 !important }
footer .divider { display: none !important }
button[role=tab].selected { color: var(--primary-600) !important }
.dark button[role=tab].selected { color: var(--primary-300) !important }
#about th, #about td { word-break: normal; overflow-wrap: normal }
#about td:first-child { overflow-wrap: anywhere }
@media (max-width: 640px) { #about th, #about td { padding: 4px 6px; font-size: 85% } }
"""

with gr.Blocks(title=NAME, analytics_enabled=False, delete_cache=(3600, 3600)) as demo:
    gr.Markdown(f"# {plain(NAME.rpartition('/')[2])}\n{WHAT_IT_DOES}.")
    with gr.Tabs() as tabs:
        with gr.Tab(VERB, id="try"):
            titles = {"text": "First text", "text_pair": "Second text"} if PAIRS else {"text": "Text"}
            boxes = [
                gr.Textbox(label=title, lines=4 // len(titles), max_length=MAX_CHARACTERS, elem_id=name)
                for name, title in titles.items()
            ]
            with gr.Row():
                classify_button = gr.Button(VERB, variant="primary")
                explain_button = gr.Button("Which words mattered?")
            if examples():
                gr.Examples(examples(), inputs=boxes, cache_examples=False)
            sliders = []
            if MULTI:
                with gr.Accordion("Decision thresholds", open=False, elem_id="thresholds"):
                    gr.Markdown(ABOUT_SLIDERS)
                    with gr.Row():
                        sliders = [
                            gr.Slider(
                                0,
                                1,
                                position_of(THRESHOLDS[label]),
                                step=0.01,
                                label=label,
                                min_width=240,
                                buttons=["reset"],
                            )
                            for label in SLIDERS
                        ]
            note = gr.Markdown(elem_id="note", latex_delimiters=[])
            with gr.Row():
                top = gr.Label(
                    label="Number" if NUMBER else "Probabilities",
                    num_top_classes=5,
                    show_heading=not MULTI,
                    scale=2,
                    elem_id="label",
                )
                exact = gr.Dataframe(
                    headers=EXACT,
                    label="Exact values",
                    interactive=False,
                    scale=3 if MULTI else 2,
                    elem_id="exact",
                )
            with gr.Column(visible=False) as below:
                with gr.Row():
                    good = gr.Markdown(elem_id="good", latex_delimiters=[])
                    more_button = gr.Button("How good is it?", size="sm", scale=0, min_width=160)
                asked = feedback_fields() if collector is not None else ()
            coloured = gr.HighlightedText(
                label="Words that mattered "
                + (
                    "(red raises the number, purple lowers it)"
                    if NUMBER
                    else "(red speaks for the label, purple against it)"
                ),
                elem_id="coloured",
            )
            words = gr.Dataframe(
                headers=WORDS,
                label=f"How far the {'number' if NUMBER else 'lead of the label'} {'over its threshold ' if MULTI else ''}falls when the "
                "word is hidden from the model",
                interactive=False,
                elem_id="words",
            )
        with gr.Tab("A file"):
            gr.Markdown(
                f"A CSV or TSV file in UTF-8 with a header, of at most {MAX_FILE.upper()} and {MAX_ROWS:,} rows. What was "
                "uploaded and what came of it are deleted within two hours."
            )
            upload = gr.File(label="CSV or TSV file", file_types=[".csv", ".tsv"], elem_id="upload")
            titles = {"column": "Column with the first texts", "column_pair": "Column with the second texts"}
            columns = [
                gr.Dropdown(label=title, choices=[], allow_custom_value=True, elem_id=name)
                for name, title in (titles if PAIRS else {"column": "Column with the texts"}).items()
            ]
            file_button = gr.Button("Predict for the file" if NUMBER else "Classify the file", variant="primary")
            summary = gr.Textbox(label="Result", interactive=False, elem_id="summary")
            download = gr.File(
                label="File with numbers" if NUMBER else "Classified file", interactive=False, elem_id="download"
            )
            preview = gr.Dataframe(
                headers=PREVIEW,
                label=f"The first {SHOWN_ROWS} rows",
                interactive=False,
                wrap=True,
                elem_id="preview",
            )
        with gr.Tab("About", id="about"):
            gr.Markdown(about_text(), elem_id="about", latex_delimiters=[])

    answer, result = [top, exact, coloured, words, note, good, below], [download, preview, summary]
    shown = gr.State()
    classifying = gr.on(
        [classify_button.click, *(box.submit for box in boxes)],
        show_classification, [*boxes, *sliders], [*answer, shown],
        concurrency_id="classify", concurrency_limit=4, api_visibility="private",
    )  # fmt: skip
    explaining = explain_button.click(
        show_explanation, [*boxes, *sliders], [*answer, shown], concurrency_id="explain", api_visibility="private"
    )
    running = [classifying, explaining]
    if sliders:
        deciding = gr.on(
            [slider.change for slider in sliders],
            show_decisions,
            [shown, *boxes, *sliders],
            [exact, note, good],
            trigger_mode="always_last",
            show_progress="hidden",
            api_visibility="private",
        )
        running.append(deciding)
    # Another text, file or column: results on the page and in the queue are those of the earlier one.
    gr.on(
        [box.change for box in boxes],
        js=empty({}, EXACT, None, WORDS, "", "", HIDDEN, *(("" if NUMBER else None, "") if asked else ())),
        outputs=[*answer, *asked[:2]],
        cancels=running,
        api_visibility="private",
    )
    if asked:
        right, thanks, send_button = asked
        send_button.click(send_feedback, [shown, right, *boxes], thanks, api_visibility="private")
    more_button.click(lambda: gr.Tabs(selected="about"), None, tabs, api_visibility="private")
    upload.change(show_columns, upload, columns, api_visibility="private")
    gr.api(classify_pair if PAIRS else classify, api_name="classify", concurrency_id="classify", concurrency_limit=4)
    gr.api(explain_pair if PAIRS else explain, api_name="explain", concurrency_id="explain")
    filing = file_button.click(
        classify_file_of_pairs if PAIRS else classify_file, [upload, *columns], result, api_name="classify_file"
    )
    gr.on(
        [upload.change, *(column.input for column in columns)],
        js=empty(None, PREVIEW, ""),
        outputs=result,
        cancels=filing,
        api_visibility="private",
    )

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # gradio then ends in order, and files are removed
    try:
        demo.queue(max_size=_WAITING).launch(
            theme=theme, css=css, max_file_size=MAX_FILE, footer_links=["api"], run_history=False, ssr_mode=False,
            enable_monitoring=False, app_kwargs={"middleware": [Middleware(BodyLimit)]},
            _frontend=False,  # (else gradio gives up where its page takes 3 s, as on a busy machine)
        )  # fmt: skip
    finally:
        if collector is not None:
            collector.close()
