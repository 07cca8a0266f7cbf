"""The files of a Space that shows a model: a function of the facts about the model alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import HfApi
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hfbertcls.errors import SharingError
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_sections import CardFacts
from hfbertcls.hub.account import asked
from hfbertcls.repository.card_metadata import parse_front_matter, split_card
from hfbertcls.resources import resource_dir


VERSIONS = {"gradio": "6.31.0", "transformers": "5.23.0", "torch": "2.13.0"}
"""The versions that the app was tested with, as in constraints.txt."""

ZERO_GPU = "zero-a10g"
ZERO_GPU_TORCH = "2.11.0"
"""The latest torch that ZeroGPU hardware offers (the Hub's documentation, August 2026)."""

_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_TITLE, _DESCRIPTION = 80, 60  # characters; the limit of the Hub for short_description


@dataclass(frozen=True)
class SpaceFacts:
    """What the files of a Space state.

    Args:
        title: of the model.
        model_id: on the Hub; None for a local model, which the variable MODEL_ID must name.
        summary: what the model does, in a few words.
        license: of the model, as the Hub calls it.
        datasets: public data sets on the Hub.
        examples: texts to try, of the author or made up; the two texts of a pair are separated by a tab.
        hardware: that the Space is to run on, as the Hub calls it; None leaves it to the Hub.
    """

    title: str
    model_id: str | None = None
    summary: str = "A text classifier to try"
    license: str | None = None
    datasets: Sequence[str] = ()
    examples: Sequence[str] = ()
    hardware: str | None = None

    @classmethod
    def of(
        cls,
        model_id: str | None,
        report: Report | None,
        card: str,
        *,
        is_public: bool = False,
        hardware: str | None = None,
    ) -> "SpaceFacts":
        """Take the facts from a model's report and card.

        Args:
            model_id: on the Hub.
            report: None for a model without one.
            card: README.md of the model; the texts of its `widget:` become the examples.
            is_public: whether the data set is public and may be named.
            hardware: that the Space is to run on.

        Raises:
            ConfigurationError: if the front matter of the card is no valid YAML.
        """
        front_matter = parse_front_matter(split_card(card)[0])
        facts = CardFacts() if report is None else report.card
        license_id = front_matter.get("license", facts.license)
        usage_texts = widget_texts([{"text": facts.usage_text}])
        if facts.usage_text_pair is not None:
            usage_texts = ["\t".join([*usage_texts, *widget_texts([{"text": facts.usage_text_pair}])])]
        may_be_shown = bool(report is not None and report.data.is_hub_id and is_public)
        return cls(
            title=model_id.rpartition("/")[2] if model_id else str(facts.title or "A text classifier"),
            model_id=model_id,
            license=license_id if isinstance(license_id, str) else None,
            datasets=[report.data.source] if report is not None and may_be_shown else [],
            examples=(facts.usage_text_pair is None and widget_texts(front_matter.get("widget"))) or usage_texts,
            hardware=hardware,
            **(
                {}
                if report is None
                else {"summary": report.resolved_task.summary(are_pairs=report.task.text_pair_column is not None)}
            ),
        )


def is_public_dataset(name: str) -> bool:
    """Whether a data set on the Hub is public; False if the Hub cannot be reached."""
    try:
        asked(lambda: HfApi(token=False).dataset_info(name), f"the data set {name} cannot be looked at")
    except SharingError:
        return False
    return True


def widget_texts(widget: object) -> list[str]:
    """The texts of a card's `widget:`, each on one line."""
    entries = widget if isinstance(widget, list) else []
    texts = [entry.get("text") for entry in entries if isinstance(entry, dict)]
    return [" ".join(text.split()) for text in texts if isinstance(text, str) and text.strip()]


def render_space(facts: SpaceFacts) -> dict[str, bytes]:
    """Render the files of a Space.

    Args:
        facts: the only source of what they state.

    Returns:
        Content by path.
    """
    folder = app_directory()
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # YAML and Markdown: each text goes through `quoted`, and a Hub id needs no escaping
    )
    environment.filters["quoted"] = _quoted
    on_zero_gpu = facts.hardware is not None and facts.hardware.startswith("zero")
    on_cpu = facts.hardware is None or facts.hardware.startswith("cpu")
    values = {
        "title": facts.title[:_TITLE],
        "model_id": facts.model_id,
        "license": facts.license,
        "datasets": list(facts.datasets),
        "short_description": facts.summary[:_DESCRIPTION],
        "suggested_hardware": None if on_zero_gpu else facts.hardware or "cpu-basic",
        "index": _CPU_INDEX if on_cpu else None,
        **VERSIONS,
        "torch": ZERO_GPU_TORCH if on_zero_gpu else VERSIONS["torch"],
    }
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.py"))}
    for template in sorted(folder.glob("*.jinja")):
        files[template.stem] = environment.get_template(template.name).render(values).encode()
    if facts.examples:
        files["examples.txt"] = "".join(f"{text}\n" for text in facts.examples).encode()
    return files


def _quoted(text: str) -> str:
    """A text, quoted for YAML."""
    dumped = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10_000)
    return str(dumped).strip()


def app_directory() -> Path:
    """Where the app lies, in the wheel or in a checkout."""
    return resource_dir("spaces") / "text-classification"
