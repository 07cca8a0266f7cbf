"""The model card: a function of the report alone."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps

from hfbertcls.errors import ConfigurationError
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_evaluation import (
    CROSS_VALIDATION,
    Slices,
    decided_on,
    evaluation_name,
    within,
)
from hfbertcls.evaluation.report_sections import CardFacts
from hfbertcls.repository.card_limits import FEW_ROWS, findings_of, limits_of, not_stated
from hfbertcls.repository.card_metadata import TextClassificationCardData, join_front_matter, split_card
from hfbertcls.repository.card_text import escape, format_metric, format_number, percent
from hfbertcls.repository.card_training import hyperparameter_rows
from hfbertcls.resources import resource_dir
from hfbertcls.tasks.task import Task
from hfbertcls.tasks.thresholds import FEWEST_OF_A_LABEL


RENDERER = "2"
CARD_FACTS = (
    "title",
    "license",
    "language",
    "base_model",
    "intended_use",
    "limitations",
    "contact",
    "citation",
    "widget",
)
"""Facts that the author may state."""
_TEMPLATE = "text-classification.md.jinja"
_MOST_LABELS = 12
"""Labels that stand open on the card; the rows of more are folded."""
_RAREST = 5
"""Labels whose recall without and with other class priors is shown."""
_SERVED_BY_TEI = tuple(
    f"{name}ForSequenceClassification" for name in ("Bert", "Camembert", "DebertaV2", "Roberta", "XLMRoberta")
)
"""Classifiers that text-embeddings-inference computes. Of ModernBERT it reads keys of `config.json` that transformers 5 does not
write; tests/docs/test_serving.py fails when that changes."""


def render_model_card(report: Report) -> str:
    """Render README.md.

    Args:
        report (`Report`): the only source of what the card states.

    Raises:
        jinja2.UndefinedError: if the template names something that the report lacks.
    """
    body = (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            report=report,
            task=report.resolved_task,
            evaluations=sorted(report.evaluation.items(), key=lambda item: (item[0] == CROSS_VALIDATION, item[0])),
            decided_on=decided_on(report.evaluation),
            fewest_of_a_label=FEWEST_OF_A_LABEL,
            few_rows=FEW_ROWS,
            most_labels=_MOST_LABELS,
            rarest=_rarest(report),
            is_served_by_tei=_is_served_by_tei(report),
            prior_text=_prior_text(report),
            limits=limits_of(report),
            notes=[finding.fact for finding in findings_of(report) if finding.severity == "info"],
            not_stated=not_stated(report),
        )
    )
    front_matter = TextClassificationCardData.from_report(report).to_front_matter()
    return f"---\n{front_matter}---\n\n{Fence.around(body, report).text}"


@cache
def _environment() -> Environment:
    """With the templates, which are compiled once."""
    environment = Environment(
        loader=FileSystemLoader(resource_dir("model_card_templates")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML: each name goes through the filter `cell`
    )
    environment.filters |= {
        "cell": escape,
        "number": format_number,
        "metric": format_metric,
        "count": _count,
        "percent": percent,
    }
    environment.filters |= {
        "evaluation": evaluation_name,
        "heading": partial(evaluation_name, article=""),
        "within": within,
    }
    environment.filters |= {"usage": _usage, "code": _code, "difference": difference_of, "extreme": extreme_of}
    environment.filters |= {"sentence": _sentence, "rows": hyperparameter_rows}
    return environment


@dataclass(frozen=True)
class Fence:
    """The generated part of a card, between two comments with the hashes of the report and of the part."""

    body: str
    report_sha256: str
    body_sha256: str
    before: str = ""
    after: str = ""

    @classmethod
    def around(cls, body: str, report: Report) -> "Fence":
        """Fence a body that was rendered from a report."""
        return cls(body, sha256_of_text(report.to_json()), sha256_of_text(body))

    @classmethod
    def find(cls, text: str) -> "Fence | None":
        """The generated part of a card's body, with the text before and after it."""
        match = _FENCE.search(text)
        if match is None:
            return None
        before, after = text[: match.start()], text[match.end() :]
        return cls(match["body"], match["report"], match["own"], before, after)

    @property
    def text(self) -> str:
        """The part with its comments."""
        return (
            f"<!-- hfbertcls:begin report_sha256={self.report_sha256} body_sha256={self.body_sha256} -->\n"
            f"<!-- Generated from report.json up to hfbertcls:end. Write above or below: that is kept. -->\n{self.body}"
            "<!-- hfbertcls:end -->\n"
        )


_FENCE = re.compile(
    r"<!-- hfbertcls:begin report_sha256=(?P<report>\S*) body_sha256=(?P<own>\S*) -->\n<!-- [^\n]* -->\n"
    r"(?P<body>.*)<!-- hfbertcls:end -->\n?",
    re.DOTALL,
)


def sha256_of_text(text: str) -> str:
    """SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def join_card(
    rendered: str, existing: str, text_of: str | None = None, *, base: str = "", mine: Mapping[str, Any] | None = None
) -> tuple[str, list[str]]:
    """The rendered card with the text that people wrote into the existing one, and notes on differences.

    Args:
        rendered: by `render_model_card`.
        existing: the card that is there already, generated or not.
        text_of: a card whose text outside the generated part is used instead.
        base: front matter of the existing card as it was once rendered.
        mine: keys of another copy of the card, which come before those of the existing one.
    """
    ours, body = split_card(rendered)
    theirs, _ = split_card(existing)
    front_matter, notes = join_front_matter(ours, theirs, base, mine)
    before, after = written_by_people(text_of or existing)
    fence = Fence.find(body)
    if fence is None:
        raise ValueError("the first card is not one that render_model_card wrote")
    return f"---\n{front_matter}---\n{before or fence.before}{fence.text}{after}", notes


def written_by_people(card: str) -> tuple[str, str]:
    """The text above and below the generated part; all of a card without such a part counts as below.

    Raises:
        ConfigurationError: if the marks around the generated part are damaged.
    """
    _, body = split_card(card)
    fence = Fence.find(body)
    if fence is None and ("hfbertcls:begin" in body or "hfbertcls:end" in body):
        raise ConfigurationError(
            "the marks around the generated part of README.md (hfbertcls:begin and hfbertcls:end) were changed, so it cannot "
            "be distinguished from text of the author. Delete everything from the first mark to the last, and try again"
        )
    if fence is None:
        return "", f"\n{body.lstrip()}" if body.strip() else ""
    return fence.before, fence.after


def _code(text: str) -> str:
    """Lines of an indented block of code: nothing in them is markup."""
    return "\n    ".join(line.replace("-->", "-- >") for line in str(text).splitlines())


def _usage(card: CardFacts) -> str:
    """What the call on the card gets: a text, or a pair as transformers takes it."""
    text, text_pair = (htmlsafe_json_dumps(one) for one in (card.usage_text, card.usage_text_pair))
    return text if card.usage_text_pair is None else f'{{"text": {text}, "text_pair": {text_pair}}}'


def _sentence(text: str) -> str:
    """With a capital first letter."""
    return f"{text[:1].upper()}{text[1:]}"


def _count(value: int) -> str:
    return f"{int(value):,}"


def _rarest(report: Report) -> list[str]:
    """The labels with the fewest training rows that occur in the split that is shown."""
    counts = report.data.splits["train"].label_counts if "train" in report.data.splits else {}
    present = [label for label in counts if label in report.shown.per_label and report.shown.per_label[label].support]
    return sorted(present, key=lambda label: counts[label])[:_RAREST]


def _is_served_by_tei(report: Report) -> bool:
    """Whether text-embeddings-inference can answer as this model does: single texts, and their first tokens."""
    task = report.task
    reads_first_tokens = task.text_pair_column is None and task.long_text is None and task.truncation_side != "left"
    return len(task.labels) > 1 and reads_first_tokens and report.model.architecture in _SERVED_BY_TEI


def _prior_text(report: Report) -> str:
    prior = report.training.options.get("prior") if report.training is not None else None
    return ", ".join(f"{name}: {value:g}" for name, value in prior.items()) if isinstance(prior, Mapping) else ""


def extreme_of(task: Task) -> str:
    """How the metric of the weakest slice compares with those of the others."""
    return "Highest" if task.slice_metrics[0] in task.lower_is_better else "Lowest"


def difference_of(slices: Slices, task: Task) -> str:
    """Whether slices differ by more than chance by the test of a task, in words."""
    p_value = slices.p_value
    if p_value is None:
        raise ValueError("these slices were not compared")
    test = f"{task.slice_test}, p = {p_value:.2g}" if p_value >= 0.001 else f"{task.slice_test}, p < 0.001"
    return f"the slices differ by more than chance: {test}" if p_value < 0.05 else f"this may be chance: {test}"


def summary_rows(report: Report, split: str) -> list[tuple[str, str, str]]:
    """Metric, value and interval of a split, as text: for the terminal."""
    names, metrics = report.resolved_task.metric_names, report.evaluation[split].metrics
    return [
        (names[name], format_metric(one, name), f"{format_number(one.low)} to {format_number(one.high)}")
        for name, one in metrics.items()
        if one.value is not None
    ]
