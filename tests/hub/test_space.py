"""The files of a Space: a function of the facts about the model."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from hfbertcls import ConfigurationError, Report
from hfbertcls.hub.space.render import (
    VERSIONS,
    ZERO_GPU,
    ZERO_GPU_TORCH,
    SpaceFacts,
    app_directory,
    render_space,
    widget_texts,
)
from hfbertcls.repository.card_metadata import split_card


REPORT = Report.from_json((Path(__file__).parent.parent / "repository" / "report.json").read_text(encoding="utf-8"))
CONSTRAINTS = (Path(__file__).resolve().parents[2] / "constraints.txt").read_text()


def front_matter(files) -> dict:
    return yaml.safe_load(split_card(files["README.md"].decode())[0])


def test_the_files_are_the_app_and_what_is_rendered():
    names = {
        "app.py",
        "about.py",
        "answers.py",
        "bodies.py",
        "classifier.py",
        "explanation.py",
        "feedback.py",
        "tables.py",
        "README.md",
        "requirements.txt",
    }
    assert set(render_space(SpaceFacts("films", "alice/films"))) == names
    assert set(render_space(SpaceFacts("films", "alice/films", examples=["a text"]))) == names | {"examples.txt"}


def test_the_front_matter_says_what_the_hub_needs():
    facts = SpaceFacts(
        "films", "alice/films", "Sorts texts into 3 labels", "apache-2.0", ["alice/texts"], hardware="t4-small"
    )
    assert front_matter(render_space(facts)) == {
        "title": "films",
        "emoji": "\U0001f3f7",
        "colorFrom": "indigo",
        "colorTo": "blue",
        "sdk": "gradio",
        "sdk_version": VERSIONS["gradio"],
        "python_version": "3.12",
        "app_file": "app.py",
        "license": "apache-2.0",
        "models": ["alice/films"],
        "datasets": ["alice/texts"],
        "tags": ["hfbertcls", "text-classification"],
        "short_description": "Sorts texts into 3 labels",
        "suggested_hardware": "t4-small",
    }


def test_of_multi_label_models_the_description_does_not_speak_of_sorting():
    report = replace(REPORT, task=replace(REPORT.task, type="multi_label"))
    files = render_space(SpaceFacts.of("alice/films", report, ""))
    assert front_matter(files)["short_description"] == "Gives a text any of 3 labels, or none"
    files = render_space(SpaceFacts.of("alice/films", REPORT, ""))
    assert front_matter(files)["short_description"] == "Sorts texts into 3 labels"


@pytest.mark.parametrize("are_pairs", [False, True])
@pytest.mark.parametrize(
    ("kind", "description"),
    [
        ("single_label", "Sorts {}s into 1,000 labels"),
        ("multi_label", "Gives a {} any of 1,000 labels, or none"),
        ("ordinal", "Sorts {}s into 1,000 ordered labels"),
        ("regression", "Predicts a number from a {}"),
    ],
)
def test_the_description_fits_every_task_and_pairs(kind, description, are_pairs):
    labels = () if kind == "regression" else tuple(map(str, range(1_000)))
    pair_column = "other" if are_pairs else None
    report = replace(
        REPORT, task=replace(REPORT.task, type=kind, labels=labels, text_pair_column=pair_column, extra={})
    )
    stated = front_matter(render_space(SpaceFacts.of("alice/films", report, "")))["short_description"]
    expected = description.format("pair of texts" if are_pairs else "text").replace("pair of textss", "pairs of texts")
    assert stated == expected
    assert len(stated) <= 60


def test_unknown_facts_are_left_out():
    keys = front_matter(render_space(SpaceFacts("films"))).keys()
    assert not {"license", "models", "datasets"} & keys


@pytest.mark.parametrize("title", ['a "quoted": title', "- # {x}", "日本語\u2028", "x" * 500, "no", "3.10"])
def test_any_title_is_a_text_in_the_front_matter(title):
    assert front_matter(render_space(SpaceFacts(title)))["title"] == title[:80]


def test_the_versions_are_those_that_are_tested():
    for name, version in VERSIONS.items():
        assert f"\n{name}=={version}\n" in CONSTRAINTS
    assert front_matter(render_space(SpaceFacts("films")))["sdk_version"] == VERSIONS["gradio"]


@pytest.mark.parametrize(
    ("hardware", "torch", "has_index", "suggested"),
    [
        (None, VERSIONS["torch"], True, "cpu-basic"),
        ("cpu-upgrade", VERSIONS["torch"], True, "cpu-upgrade"),
        ("t4-small", VERSIONS["torch"], False, "t4-small"),
        (ZERO_GPU, ZERO_GPU_TORCH, False, None),
    ],
)
def test_torch_is_the_one_that_the_hardware_offers(hardware, torch, has_index, suggested):
    files = render_space(SpaceFacts("films", hardware=hardware))
    requirements = files["requirements.txt"].decode()
    assert f"torch=={torch}\n" in requirements
    assert ("--extra-index-url" in requirements) == has_index
    assert front_matter(files).get("suggested_hardware") == suggested


def test_the_facts_are_those_of_report_and_card():
    card = "---\nlicense: mit\nwidget:\n- text: |\n    two\n    lines\n- text: another\n- src: a.png\n---\nbody"
    facts = SpaceFacts.of("alice/films", REPORT, card, is_public=True)
    assert facts.title == "films"
    assert facts.summary == f"Sorts texts into {len(REPORT.task.labels)} labels"
    assert facts.license == "mit"
    assert facts.examples == ["two lines", "another"]
    assert SpaceFacts.of("alice/films", REPORT, "").examples == [REPORT.card.usage_text]


def test_a_data_set_is_named_only_if_it_is_public_and_on_the_hub():
    hub = replace(REPORT, data=replace(REPORT.data, is_hub_id=True, source="alice/texts"))
    assert SpaceFacts.of("alice/films", hub, "", is_public=True).datasets == ["alice/texts"]
    assert SpaceFacts.of("alice/films", hub, "", is_public=False).datasets == []
    local = replace(REPORT, data=replace(REPORT.data, is_hub_id=False))
    assert SpaceFacts.of("alice/films", local, "", is_public=True).datasets == []


def test_a_model_without_report_and_card_has_a_space_too():
    facts = SpaceFacts.of("alice/films", None, "")
    assert facts == SpaceFacts("films", "alice/films", datasets=[], examples=[])
    assert front_matter(render_space(facts))["short_description"] == "A text classifier to try"


@pytest.mark.parametrize("widget", [None, "text", [], [3], [{"text": 3}], [{"text": "  "}], {"text": "a"}])
def test_a_widget_without_texts_gives_none(widget):
    assert widget_texts(widget) == []


def test_a_card_with_broken_front_matter_is_an_error():
    with pytest.raises(ConfigurationError, match="not valid YAML"):
        SpaceFacts.of("alice/films", None, "---\na: [\n---\n")


def test_the_app_imports_nothing_of_ours():
    for path in app_directory().glob("*.py"):
        assert not re.search(r"^\s*(import|from) hfbertcls", path.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_same_facts_give_the_same_bytes():
    facts = SpaceFacts("films", "alice/films", examples=["a"])
    assert render_space(facts) == render_space(facts)
