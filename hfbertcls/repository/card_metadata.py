"""The front matter of a card: the generated keys, what the Hub accepts, and merging with the author's keys."""

import re
from collections.abc import Mapping
from typing import Any, cast

import yaml
from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # it is exported lazily

from hfbertcls.errors import ConfigurationError, did_you_mean
from hfbertcls.evaluation.report import Report


OWNED_KEYS = (
    "base_model",
    "base_model_relation",
    "datasets",
    "library_name",
    "metrics",
    "model-index",
    "pipeline_tag",
)
"""Keys that every push generates again, beside the tag `hfbertcls`. Every other key belongs to the author."""

TAG = "hfbertcls"
_BLOCK = re.compile(r"\A\s*---[ \t]*\r?\n(?P<yaml>.*?)(?:\r?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_HUB_METRICS = {
    "accuracy": "accuracy",
    "f1_macro": "f1",
    "mcc": "matthews_correlation",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "mae": "mae",
    "rmse": "rmse",
    "r2": "r_squared",
}
"""The Hub's names of our metrics."""
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*|multilingual|code")

# The identifiers of the Hub's list (its documentation, "Licenses").
LICENSES = frozenset(
    [
        "apache-2.0",
        "mit",
        "openrail",
        "bigscience-openrail-m",
        "creativeml-openrail-m",
        "bigscience-bloom-rail-1.0",
        "bigcode-openrail-m",
        "afl-3.0",
        "artistic-2.0",
        "bsl-1.0",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "c-uda",
        "cc",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nd-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "cdla-sharing-1.0",
        "cdla-permissive-1.0",
        "cdla-permissive-2.0",
        "wtfpl",
        "ecl-2.0",
        "epl-1.0",
        "epl-2.0",
        "etalab-2.0",
        "eupl-1.1",
        "eupl-1.2",
        "agpl-3.0",
        "gfdl",
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl",
        "lgpl-2.1",
        "lgpl-3.0",
        "isc",
        "h-research",
        "intel-research",
        "lppl-1.3c",
        "ms-pl",
        "apple-ascl",
        "mpl-2.0",
        "odc-by",
        "odbl",
        "openmdw-1.0",
        "openrail++",
        "osl-3.0",
        "postgresql",
        "ofl-1.1",
        "ncsa",
        "unlicense",
        "zlib",
        "pddl",
        "lgpl-lr",
        "deepfloyd-if-license",
        "fair-noncommercial-research-license",
        "llama2",
        "llama3",
        "llama3.1",
        "llama3.2",
        "llama3.3",
        "llama4",
        "grok2-community",
        "gemma",
        "unknown",
        "other",
    ]
)


class TextClassificationCardData(ModelCardData):
    """`ModelCardData` of a text classifier, filled from a report without placeholders."""

    @classmethod
    def from_report(cls, report: Report) -> "TextClassificationCardData":
        """The front matter of a report."""
        card, values = report.card, dict[str, Any]()
        if card.language:
            values["language"] = card.language if isinstance(card.language, str) else list(card.language)
        if card.license:
            values["license"] = card.license
        if card.widget:
            values["widget"] = [{"text": text} for text in card.widget]
        base_model = report.model.base_model if report.model.base_model_is_hub_id else card.base_model
        if base_model:
            values |= {"base_model": base_model, "base_model_relation": "finetune"}
        if report.data.is_hub_id:
            values["datasets"] = [report.data.source]
            if results := _eval_results(report):  # (without any, the Hub's client would write an empty model-index)
                values |= {"eval_results": results, "model_name": card.title}
        return cls(
            library_name="transformers",
            pipeline_tag="text-classification",
            tags=[TAG],
            metrics=list(
                dict.fromkeys(_HUB_METRICS[name] for name in report.resolved_task.key_metrics if name in _HUB_METRICS)
            ),
            **values,
        )

    def to_front_matter(self) -> str:
        """The YAML between the two lines of dashes."""
        return dump(cast(dict[str, Any], self.to_dict()))  # type: ignore[no-untyped-call]  # the hub leaves it untyped


def _eval_results(report: Report) -> list[EvalResult]:
    """Of the test split alone: a split that was used for model selection gives no result."""
    test = report.evaluation.get("test")
    if test is None:
        return []
    return [
        EvalResult(
            task_type="text-classification",
            task_name="Text Classification",
            dataset_type=report.data.source,
            dataset_name=report.data.source,
            dataset_config=report.data.config or "default",
            dataset_split="test",
            dataset_revision=report.data.revision,
            metric_type=kind,
            metric_name=report.resolved_task.metric_names[name],
            metric_value=round(value, 6),
        )
        for name, kind in _HUB_METRICS.items()
        if name in test.metrics and (value := test.metrics[name].value) is not None
    ]


def dump(values: Mapping[str, Any]) -> str:
    """Portable YAML: quoted where needed, in a fixed order, without Python objects."""
    return str(yaml.safe_dump(dict(values), sort_keys=True, allow_unicode=True, default_flow_style=False))


def split_card(text: str) -> tuple[str, str]:
    """The front matter without its lines of dashes, empty if there is none, and the body of a card."""
    match = _BLOCK.match(text)
    return (match["yaml"], text[match.end() :]) if match else ("", text)


class PlainLoader(yaml.SafeLoader):
    """Reads YAML without aliases, which can expand to more values than fit into memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As the parent, for what is no alias."""
        refuse_alias(self)
        return super().compose_node(parent, index)


def refuse_alias(loader: Any) -> None:
    """Raise an error if the next event is an alias (`*name`).

    Raises:
        yaml.YAMLError: naming its place.
    """
    if loader.check_event(yaml.AliasEvent):
        mark = loader.peek_event().start_mark
        raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read; write the value out", mark)


def parse_front_matter(text: str) -> dict[str, Any]:
    """The keys of a front matter.

    Raises:
        ConfigurationError: if it is no valid YAML, or no list of keys.
    """
    try:
        values = yaml.load(text, PlainLoader) if text.strip() else {}
    except RecursionError as err:
        raise ConfigurationError("the front matter of the card is nested too deeply. Correct README.md") from err
    except yaml.YAMLError as err:
        raise ConfigurationError(f"the front matter of the card is not valid YAML: {err}. Correct README.md") from err
    if not isinstance(values, dict):
        raise ConfigurationError("the front matter of the card holds no keys. Correct README.md")
    return values


def of_people(text: str, rendered: str) -> dict[str, Any]:
    """The keys of a front matter that people wrote: they are not generated, or have another value than the generated one.

    Args:
        text: the front matter.
        rendered: as it was generated; empty if it never was.
    """
    ours = parse_front_matter(rendered)
    return {
        key: value
        for key, value in parse_front_matter(text).items()
        if key not in OWNED_KEYS and key != "tags" and not (key in ours and ours[key] == value)
    }


def facts_of_author(text: str, report: Report) -> dict[str, Any]:
    """Licence, language and base model as the front matter states them, for the report, from which the text of a card follows.

    Args:
        text: the front matter.
        report: of the same model. It knows the base model itself where that was read from the Hub.
    """
    values = parse_front_matter(text)
    facts: dict[str, Any] = {}
    if values.get("license") and isinstance(values["license"], str):
        facts["license"] = values["license"]
    languages = values.get("language") or []
    if languages and all(isinstance(one, str) for one in languages):
        facts["language"] = languages if isinstance(languages, str) else tuple(languages)
    if not report.model.base_model_is_hub_id and isinstance(values.get("base_model"), str):
        facts["base_model"] = values["base_model"]
    return facts


def join_front_matter(
    ours: str, theirs: str, base: str = "", mine: Mapping[str, Any] | None = None
) -> tuple[str, list[str]]:
    """The generated keys and those that people wrote, and notes on differences.

    Args:
        ours: front matter that was rendered.
        theirs: front matter of the existing card.
        base: as that was once rendered; empty if it never was.
        mine: keys of another copy of the card, which come before those of `theirs`. Tags are joined.
    """
    rendered, existing = parse_front_matter(ours), parse_front_matter(theirs)
    mine = dict(mine or {})
    people = {key: value for key, value in of_people(theirs, base).items() if key not in mine}
    notes = [
        f"the card has {key}: {value}, this run has {rendered[key]}; the value of the card is kept"
        for key, value in people.items()
        if key in rendered and rendered[key] != value
    ]
    tags = list(dict.fromkeys([*_listed(existing.get("tags")), *_listed(mine.pop("tags", None))]))
    joined = rendered | people | mine | {"tags": tags if TAG in tags else [TAG, *tags]}
    return (theirs.rstrip("\n") + "\n" if joined == existing else dump(joined)), notes


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def check_metadata(values: Mapping[str, Any]) -> None:
    """Check values that the Hub would reject, before anything is trained or sent.

    Raises:
        ConfigurationError: naming the key.
    """
    license_id = values.get("license")
    if license_id is not None and license_id not in LICENSES:
        raise ConfigurationError(
            f"the Hub knows no licence {license_id!r}{did_you_mean(str(license_id), LICENSES)}. Use an identifier such as "
            "apache-2.0, mit or cc-by-4.0, or 'other'"
        )
    languages = values.get("language") or []
    for language in languages if isinstance(languages, list) else [languages]:
        if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
            raise ConfigurationError(
                f"{language!r} is no language code. Use two or three letters (en, de, fil), 'multilingual' or 'code'"
            )
    if isinstance(base_model := values.get("base_model"), str):
        try:
            validate_repo_id(base_model)
        except HFValidationError as err:
            raise ConfigurationError(
                f"base_model {base_model!r} is no name of a model on the Hub. Expected USER/NAME"
            ) from err
    for key in values:
        if "." in key or "$" in key:
            raise ConfigurationError(f"the Hub accepts no key with '.' or '$' in the front matter: {key!r}")
