"""The pages of the reference that follow from the code: command line, Python API, report.json, configuration, errors.

Each function returns the Markdown of one page. `docs/hooks.py` puts them into the site, and tests look for what is
missing in them.
"""

import json
import re
from pathlib import Path
from typing import Any

import hfbertcls
from hfbertcls.cli import make_parser
from hfbertcls.cli.reference import cell, command_line, errors_and_exit_codes
from hfbertcls.evaluation.report_sections import CardFacts
from hfbertcls.training.declaring import options_of
from hfbertcls.training.options import TrainingOptions


ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "hfbertcls" / "evaluation" / "report.schema.json"
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
API = {
    "From text to a shared classifier": ["TextClassifier", "Report"],
    "Data": ["load_text_dataset", "TextDataset", "diagnose", "find_suspects"],
    "Training": [
        "TextClassificationTrainer",
        "TextClassificationTrainingArguments",
        "TrainingOptions",
        "train_with_seeds",
        "MetricEarlyStoppingCallback",
        "MetricLoggingCallback",
        "enable_padding_free",
    ],
    "Using a classifier": [
        "load_pipeline",
        "predict_file",
        "compare_models",
        "export_onnx",
        "verify",
        "Predictions",
        "threshold_for_accuracy",
        "undo_calibration",
    ],
    "Plugging in": ["register", "CALLBACKS", "TRAINERS"],
}
"""The public names by what they are for; the errors have a page of their own."""


def python_api() -> str:
    """Each public name with its docstring."""
    lines = ["# Python API", "", "Every name is imported from `hfbertcls`.", ""]
    for title, names in API.items():
        lines += [f"## {title}", ""]
        for name in names:
            lines += [f"::: {hfbertcls._HOMES[name]}.{name}", "    options:", "      heading_level: 3", ""]
    return "\n".join(lines)


def report_json() -> str:
    """Each section of report.json with its keys and types."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    sections = schema["$defs"]
    lines = [
        "# report.json",
        "",
        "Every metric and fact on the card stands in `report.json`. This page is made from its JSON schema, which ships as "
        "`hfbertcls/evaluation/report.schema.json`. Keys are only added, so `schema_version` stays 1.",
        "",
    ]
    for name in ["Report", *(name for name in sections if name != "Report")]:
        section = sections[name]
        lines += [
            f"## {name}",
            "",
            section.get("description", ""),
            "",
            "| key | type | always there |",
            "|:--|:--|:--|",
        ]
        required = section.get("required", [])
        for key, value in section.get("properties", {}).items():
            lines.append(f"| `{key}` | {_type(value)} | {'yes' if key in required else 'no'} |")
        lines.append("")
    return "\n".join(lines)


def configuration() -> str:
    """The keys of a configuration file."""
    lines = [
        "# Configuration file",
        "",
        "`--config FILE.yaml` gives defaults for the options of any command. A key is the name of a flag without its dashes; "
        "`-` and `_` are the same. A flag on the command line wins. An unknown key is an error with a suggestion.",
        "",
        "```yaml",
        "model: google-bert/bert-base-uncased",
        "dataset: reviews.csv",
        "output_dir: my-model",
        "epochs: 3",
        "calibration: false        # the flag is --no-calibration",
        "weight_decay: 0.05        # any field of transformers' TrainingArguments",
        "card:",
        "  license: mit",
        "  language: en",
        "  intended_use: Sorting customer reviews.",
        "  widget: [The lamp broke after a day.]",
        "```",
        "",
        "## Options of a training run",
        "",
        "These keys are also the keyword arguments of `TextClassifier.train` and `TrainingOptions`. "
        "The [command line](cli.md#hfbertcls-train) has the options about data, model and push, which are keys, too.",
        "",
        "| key | default | meaning |",
        "|:--|:--|:--|",
    ]
    for one in options_of(TrainingOptions):
        default = "" if one.default in (None, ()) else f"`{json.dumps(one.default)}`"
        lines.append(f"| `{one.name}` | {default} | {cell(one.help)} |")
    lines += [
        "",
        "## The card block",
        "",
        "Facts that only you know go into `card:`.",
        "",
        "| key | type |",
        "|:--|:--|",
    ]
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]["CardFacts"]["properties"]
    lines += [
        f"| `{key}` | {_type(schema[key], 'report.md')} |" for key in CardFacts.__dataclass_fields__ if key in schema
    ]
    return "\n".join([*lines, ""])


_RESULTS = re.compile(r"<!-- results: (.+?) \| (table|list) (\d+) -->\n.*?<!-- end of results -->", re.DOTALL)


def with_results(markdown: str) -> str:
    """A page with the tables and lists of `benchmarks/RESULTS.md` and `RECIPES.md` that it names, as they are today.

    They stand between `<!-- results: SECTION | table 1 -->`, for the first table of that section (`list 1` for its first list),
    and `<!-- end of results -->`, so that the page can be read without building the site. `python docs/generate.py` writes them.

    Raises:
        LookupError: if there is no such section, table or list.
    """
    return _RESULTS.sub(
        lambda found: f"{found[0].partition('-->')[0]}-->\n\n{_result(*found.groups())}\n\n<!-- end of results -->",
        markdown,
    )


PAGES = {
    "reference/cli.md": lambda: command_line(make_parser()),
    "reference/api.md": python_api,
    "reference/report.md": report_json,
    "reference/configuration.md": configuration,
    "reference/errors.md": errors_and_exit_codes,
}
"""The generated pages by their paths in the site."""


def _result(section: str, kind: str, number: str) -> str:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (RESULTS, RESULTS.with_name("RECIPES.md")))
    parts = re.split(rf"^#+ {re.escape(section)}$", text, flags=re.MULTILINE)
    if len(parts) != 2:
        raise LookupError(f"RESULTS.md and RECIPES.md have no section {section!r}, or several")
    body = re.split(r"^#+ ", parts[1], flags=re.MULTILINE)[0]
    mark = "|" if kind == "table" else "- "
    blocks = [block for block in re.split(r"\n\n+", body.strip()) if block.startswith(mark)]
    if len(blocks) < int(number):
        raise LookupError(f"{section!r} in RESULTS.md has no {kind} {number}")
    return blocks[int(number) - 1]


def _type(schema: dict[str, Any], page: str = "") -> str:
    """A JSON schema in words, with links to the sections that it refers to, on a page."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}]({page}#{name.lower()})"
    if union := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_type(one, page) for one in union))
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(one)}`" for one in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema['items'], page)}" if "items" in schema else "list"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"object of {_type(values, page)}" if isinstance(values, dict) and values else "object"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


if __name__ == "__main__":
    for path in Path(__file__).parent.rglob("*.md"):
        path.write_text(with_results(path.read_text(encoding="utf-8")), encoding="utf-8")
