"""The figures of a report: opaque PNG files for light and dark pages.

Each function takes numbers and returns the bytes of a PNG; the same numbers give the same bytes.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hfbertcls.evaluation.report_evaluation import Metric
from hfbertcls.evaluation.report_training import LearningCurve
from hfbertcls.tasks.calibration_error import NORMAL_QUANTILE, Reliability


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_BLUE = "#2563eb"
_GREY = "#6b7280"
_MAX_LABELS_WITH_COUNTS = 12
_MAX_LABELS_WITH_NAMES = 40
_MOST_POINTS = 5_000


def _figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    """An empty figure without a display or global state."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (takes half a second)

    figure = Figure(figsize=(width, height), dpi=144, facecolor="white", layout="constrained")
    return figure, figure.add_subplot()


def _png(figure: "Figure") -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (takes half a second)

    sink = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(sink, metadata={"Software": None})  # (savefig lays it out twice, for the same bytes)
    return sink.getvalue()


def _plain_text(name: str, index: int, limit: int = 24) -> str:
    """A label as matplotlib may show it: no formulas ($), no control characters, not too long.

    Letters that the font lacks (it comes with matplotlib and has no emoji and no Chinese) become boxes, and the
    label's id follows, so that such labels can be distinguished.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font  # noqa: PLC0415  (takes half a second)

    font = get_font(findfont(FontProperties()))
    printable = "".join(letter if letter.isprintable() else " " for letter in name)
    short = printable if len(printable) <= limit else printable[: limit - 1] + "…"
    shown = "".join(letter if font.get_char_index(ord(letter)) else "□" for letter in short)
    return (shown if shown == short else f"{shown} ({index})").replace("$", r"\$")


def confusion_matrix_plot(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> bytes:
    """Fraction of each gold label's rows by predicted label, with the counts written in up to 12 labels."""
    counts = np.asarray(matrix, dtype=np.float64)
    rows = counts.sum(axis=1, keepdims=True)
    fractions = np.divide(counts, rows, out=np.zeros_like(counts), where=rows > 0)
    size = len(labels)
    side = min(10.0, max(3.6, 1.8 + 0.45 * size)) if size <= _MAX_LABELS_WITH_NAMES else 8.0
    figure, axes = _figure(side + 0.8, side)
    image = axes.imshow(fractions, cmap="cividis", vmin=0.0, vmax=1.0)
    if size <= _MAX_LABELS_WITH_NAMES:
        names = [_plain_text(label, index) for index, label in enumerate(labels)]
        axes.set_xticks(range(size), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
        axes.set_yticks(range(size), names, fontsize=9)
    if size <= _MAX_LABELS_WITH_COUNTS:
        for row in range(size):
            for column in range(size):
                ink = "black" if fractions[row, column] > 0.55 else "white"
                text = f"{int(counts[row, column]):,}"
                axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)
    axes.set_xlabel("predicted")
    axes.set_ylabel("gold")
    figure.colorbar(image, ax=axes, label="fraction of the gold label's rows", shrink=0.8)
    return _png(figure)


def reliability_plot(bins: Reliability, *, of_each_label: bool = False) -> bytes:
    """Accuracy against confidence, with 95 % binomial bars; the dashed line is perfect calibration.

    Args:
        bins: what is shown.
        of_each_label: they are of the score of every label in every row, not of the predicted label.
    """
    score_name, fraction_name = (
        ("score of a label", "fraction of rows with it") if of_each_label else ("confidence", "accuracy")
    )
    figure, axes = _figure(5.2, 4.2)
    deviation = NORMAL_QUANTILE * np.sqrt(bins.accuracy * (1 - bins.accuracy) / bins.count)
    low = np.minimum(deviation, bins.accuracy)
    high = np.minimum(deviation, 1 - bins.accuracy)
    axes.plot([0, 1], [0, 1], linestyle="--", color=_GREY, linewidth=1, label=f"{score_name} = {fraction_name}")
    axes.errorbar(
        bins.confidence, bins.accuracy, yerr=[low, high], fmt="o", color=_BLUE, ecolor=_BLUE, elinewidth=1,
        capsize=2, markersize=5, label=f"{len(bins.count)} bins of about {int(np.median(bins.count)):,} {'scores' if of_each_label else 'rows'}",
    )  # fmt: skip
    least = max(0.0, min(float(bins.confidence.min()), float(bins.accuracy.min())) - 0.1)
    axes.set_xlim(least, 1.01)
    axes.set_ylim(least, 1.01)
    axes.set_xlabel(score_name if of_each_label else "confidence in the predicted label")
    axes.set_ylabel(fraction_name)
    axes.grid(color="#e5e7eb", linewidth=0.6)
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    return _png(figure)


def baselines_plot(metric: str, model: Metric, baselines: Mapping[str, float]) -> bytes:
    """The metric of the model with its 95 % interval, above those of the baselines on the same rows.

    Args:
        metric: its name, as the axis states it.
        model: of the model.
        baselines: the value of each baseline by its name.
    """
    figure, axes = _figure(6.4, 0.7 + 0.36 * (len(baselines) + 1))
    value = 0.0 if model.value is None else model.value
    ends = [value if end is None else end for end in (model.low, model.high)]
    axes.plot(ends, [0, 0], color=_BLUE, linewidth=1.5, marker="|", markersize=11)
    rows = {"This model": value, **baselines}
    for place, number in enumerate(rows.values()):
        axes.plot(number, place, "o", color=_GREY if place else _BLUE, markersize=6)
        axes.annotate(
            f"{number:.3f}", (number, place), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=8
        )
    axes.set_yticks(range(len(rows)), [f"{name[:1].upper()}{name[1:]}".replace(", ", ",\n") for name in rows])
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.margins(x=0.08)
    axes.set_xlabel(metric)
    axes.grid(axis="x", color="#e5e7eb", linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return _png(figure)


def residual_plot(gold: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]) -> bytes:
    """Predicted numbers against those of the data, and the error of each below; at most 5,000 rows, drawn with a seed.

    Args:
        gold: of shape `(n,)`.
        predicted: of the same shape.
    """
    figure, above = _figure(5.2, 6.4)
    above.remove()
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    rows = np.random.default_rng(0).permutation(len(gold))[:_MOST_POINTS]
    gold, predicted = gold[rows], predicted[rows]
    ends = [float(min(gold.min(), predicted.min())), float(max(gold.max(), predicted.max()))]
    style = {"s": 12, "color": _BLUE, "alpha": max(0.15, min(0.7, 100 / len(rows))), "linewidths": 0}
    above.scatter(gold, predicted, **style)
    above.plot(ends, ends, linestyle="--", color=_GREY, linewidth=1, label="predicted = gold")
    above.set_ylabel("predicted")
    above.legend(loc="upper left", frameon=False, fontsize=9)
    below.scatter(gold, predicted - gold, **style)
    below.axhline(0, linestyle="--", color=_GREY, linewidth=1)
    below.set_xlabel("gold")
    below.set_ylabel("predicted - gold")
    for axes in (above, below):
        axes.grid(color="#e5e7eb", linewidth=0.6)
    return _png(figure)


def learning_curves_plot(events: Sequence[Mapping[str, Any]], metric: str | None, best_step: int | None) -> bytes:
    """Training loss, validation loss and the selection metric over the steps, with the chosen step marked.

    Args:
        events: the lines of `metrics.jsonl`.
        metric: the metric by which the checkpoint was selected; None if there was no model selection.
        best_step: the step of the chosen checkpoint.
    """
    figure, left = _figure(5.6, 4.0)
    train = _series(events, "train", "loss")
    validation = _series(events, "validation", "loss")
    left.plot(*train, color=_GREY, linewidth=1.2, label="training loss")
    if validation[0]:
        left.plot(*validation, color="#d97706", marker="s", markersize=4, linewidth=1.2, label="validation loss")
    lines = [left]
    if metric is not None:
        right = left.twinx()
        chosen = _series(events, "validation", metric)
        right.plot(*chosen, color=_BLUE, marker="o", markersize=4, linewidth=1.4, label=f"validation {metric}")
        right.set_ylabel(metric)
        lines.append(right)
    if metric is not None and best_step is not None:
        left.axvline(best_step, color=_BLUE, linestyle=":", linewidth=1, label=f"chosen: step {best_step:,}")
    left.set_xlabel("step")
    left.set_ylabel("loss")
    left.set_ylim(bottom=0)
    entries = [entry for axes in lines for entry in zip(*axes.get_legend_handles_labels(), strict=True)]
    handles, names = zip(*entries, strict=True)
    figure.legend(handles, names, loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    left.grid(color="#e5e7eb", linewidth=0.6)
    return _png(figure)


def data_curve_plot(curve: LearningCurve, name: str) -> bytes:
    """Error against the number of training rows with 95 % intervals, the power law, and its value at twice the rows.

    Args:
        curve: the `learning_curve` of a report.
        name: of its metric: `accuracy`, or an error.
    """
    from matplotlib.ticker import NullFormatter, NullLocator  # noqa: PLC0415  (takes half a second)

    figure, axes = _figure(5.2, 4.0)
    law, twice = curve.fit, curve.twice
    rows = [point.rows for point in curve.points]
    shown = [point.shown.to_dict() for point in curve.points]
    least, errors, most = (np.array([one[key] for one in shown]) for key in ("low", "value", "high"))
    if curve.metric == "accuracy":
        least, errors, most = 1 - most, 1 - errors, 1 - least
    below, above = errors - least, most - errors
    line = np.geomspace(rows[0], twice.rows, 50)
    axes.plot(line, law.a * line**-law.b, linestyle="--", color=_GREY, linewidth=1, label="fitted power law")
    axes.errorbar(
        rows, errors, yerr=[below, above], fmt="o", color=_BLUE, ecolor=_BLUE, elinewidth=1, capsize=2, markersize=5,
        label=f"measured on the {curve.split} split",
    )  # fmt: skip
    expected = law.a * twice.rows**-law.b
    axes.plot([twice.rows], [expected], "o", mfc="white", mec=_BLUE, markersize=6, label="twice the rows")
    axes.set_xscale("log")
    axes.set_xticks([*rows, twice.rows], [f"{count:,}" for count in [*rows, twice.rows]], fontsize=9)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(bottom=0)
    axes.set_xlabel("training rows")
    axes.set_ylabel(f"error (1 - {name})" if curve.metric == "accuracy" else name)
    axes.grid(color="#e5e7eb", linewidth=0.6)
    axes.legend(frameon=False, fontsize=9)
    return _png(figure)


def _series(events: Sequence[Mapping[str, Any]], split: str, name: str) -> tuple[list[int], list[float]]:
    points = [
        (event["step"], event["values"][name])
        for event in events
        if event["split"] == split and event["values"].get(name) is not None
    ]
    return [step for step, _ in points], [value for _, value in points]
