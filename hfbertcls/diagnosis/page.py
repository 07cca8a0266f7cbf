"""A diagnosis as a page: one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hfbertcls.diagnosis.doctor import Diagnosis


_MARK = '<meta name="generator" content="hfbertcls doctor">'
_WIDTH, _HEIGHT = 640, 150
_MOST_LABELS = 100


def render_page(diagnosis: Diagnosis) -> str:
    """Render the page: findings, splits, labels with bars, token lengths as histograms. Pure; the same every time."""
    environment = Environment(
        loader=PackageLoader("hfbertcls.diagnosis", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=True,
    )
    environment.filters["count"] = lambda value: f"{value:,}" if value is not None else "-"
    counts = {name: facts["label_counts"] for name, facts in diagnosis.splits.items()}
    labels = sorted(next(iter(counts.values()), {}), key=lambda label: -sum(split[label] for split in counts.values()))
    lengths = diagnosis.token_lengths
    return environment.get_template("page.html.jinja").render(
        diagnosis=diagnosis,
        severities=(("error", "Errors"), ("warning", "Warnings"), ("info", "Info")),
        counts=counts,
        labels=labels[:_MOST_LABELS],
        labels_left_out=len(labels) - len(labels[:_MOST_LABELS]),
        largest={name: max(split.values(), default=0) or 1 for name, split in counts.items()},
        lengths=lengths,
        histograms=_histograms(lengths) if lengths else {},
        width=_WIDTH,
        height=_HEIGHT,
    )


def is_page(path: Path) -> bool:
    """Whether a file is a page of the doctor, which may be replaced by another one."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return _MARK in file.read(1_000)
    except OSError:
        return False


def _histograms(lengths: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Bars of each split in the units of the drawing, and where the limits lie."""
    edges = lengths["histogram_edges"]
    return {
        name: {
            "bars": _bars(facts["histogram"], edges),
            "limit": _x(lengths["max_length"], edges),
            "suggested": _x(lengths["suggested_max_length"], edges),
            "ticks": [(_x(edge, edges), edge) for edge in _round_ticks(edges[-1])],
            "is_cut": facts["max"] > edges[-1],
        }
        for name, facts in lengths["splits"].items()
    }


def _x(tokens: float, edges: Sequence[int]) -> float | None:
    """Where a number of tokens lies; None beyond the right end."""
    return round(_WIDTH * (tokens - edges[0]) / (edges[-1] - edges[0]), 1) if tokens <= edges[-1] else None


def _bars(counts: Sequence[int], edges: Sequence[int]) -> list[dict[str, Any]]:
    # Bars are as high as the rows per token, so that bins of unequal width do not mislead.
    heights = [count / (edges[index + 1] - edges[index]) for index, count in enumerate(counts)]
    highest = max(heights) or 1
    return [
        {
            "x": _x(edges[index], edges),
            "width": round(_WIDTH * (edges[index + 1] - edges[index]) / (edges[-1] - edges[0]) - 1, 1),
            "height": round(_HEIGHT * heights[index] / highest, 1),
            "title": f"{edges[index]:,} to {edges[index + 1] - (index < len(counts) - 1):,} tokens: {count:,} rows",
        }
        for index, count in enumerate(counts)
    ]


def _round_ticks(largest: int) -> list[int]:
    """At most eight round numbers from 0 to the largest."""
    step = next(size * 10**power for power in range(9) for size in (1, 2, 5) if largest <= 7 * size * 10**power)
    return list(range(0, largest + 1, step))
