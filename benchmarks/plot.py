"""Draw the first table of "Speed of a training step" in RESULTS.md, for the README.

python benchmarks/plot.py docs/images/speed.png
"""

import re
import sys
from pathlib import Path

import matplotlib as mpl


mpl.use("Agg")
from matplotlib import pyplot as plt


def rows_of(text: str) -> list[tuple[str, float]]:
    """Names and medians (ms) of the contenders; the limit is left out."""
    section = text.split("## Speed of a training step", 1)[1]
    table = section[section.index("| contender |") :].split("\n\n", 1)[0]
    found = re.findall(r"^\| ([^|]+) \| ([\d,.]+) \|", table, flags=re.MULTILINE)
    return [(name, float(value.replace(",", ""))) for name, value in found if "matrix products" not in name]


def main() -> None:
    """Draw."""
    rows = rows_of((Path(__file__).parent / "RESULTS.md").read_text(encoding="utf-8"))
    figure, axes = plt.subplots(figsize=(9, 2.9), layout="constrained")
    for place, (name, value) in enumerate(rows):
        ours = name.startswith("hfbertcls")
        # (points: on a logarithmic axis the length of a bar would mean nothing)
        axes.plot(value, place, "o", markersize=9, color="#1f6f54" if ours else "#7a858f")
        axes.annotate(f"{value:,.0f} ms", (value, place), xytext=(9, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(left=60, right=max(value for _, value in rows) * 2.5)
    axes.grid(axis="x", color="#dde1e5")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    figure.supxlabel(
        "milliseconds for a training step of 16 texts (SST-2, MiniLM-L6, two CPU cores; logarithmic)", fontsize=10
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(sys.argv[1], dpi=110)


if __name__ == "__main__":
    main()
