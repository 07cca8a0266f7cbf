"""Tables and a picture of the runs of `sizes.py`.

    python benchmarks/sizes_report.py runs.jsonl --picture sizes.png

A mean over sets takes the mean over the draws of each set first. A paired difference is ours minus another contender,
on the same draws of the same sets. Its 95 % interval resamples sets, and draws within each. Where one set and size is
looked at, draws and test rows are resampled. With three draws, and more so with one, such an interval is too narrow.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np


NAMES = {
    "tfidf": "TF-IDF + LR",
    "frozen": "frozen encoder + LR",
    "setfit": "SetFit",
    "plain": "fine-tuning, `--recipe plain`",
    "auto": "hfbertcls, the defaults",
}
COLOURS = {"tfidf": "#9aa3ab", "frozen": "#4c78a8", "setfit": "#b279a2", "plain": "#e0a458", "auto": "#1f6f54"}
RESAMPLES = 4_000


class Runs:
    """Runs by contender, size, set and draw; the last line of a run counts.

    Args:
        lines: of the files.
    """

    def __init__(self, lines):
        self._runs = defaultdict(dict)
        for line in lines:
            try:
                run = json.loads(line)
            except json.JSONDecodeError:  # (cut by a kill)
                continue
            if "error" not in run:
                self._runs[run["contender"], run["size"], run["set"]][run["draw"]] = run
        self.contenders = [name for name in NAMES if any(key[0] == name for key in self._runs)]
        sizes = {key[1] for key in self._runs}
        self.sizes = sorted(sizes, key=lambda size: float("inf") if size == "all" else int(size))

    def sets(self, contender, size=None):
        """The sets that a contender has, at one size or at any."""
        return {key[2] for key in self._runs if key[0] == contender and size in (None, key[1])}

    def draws(self, contender, size, name):
        """The runs of a set and size by their draw."""
        return self._runs.get((contender, size, name), {})

    def accuracy(self, contender, size, name):
        """The mean over draws."""
        return float(np.mean([run["accuracy"] for run in self.draws(contender, size, name).values()]))

    def rows(self, size, sets):
        """The geometric mean of the training rows."""
        rows = [run["rows"] for (_, other, name), draws in self._runs.items() if other == size and name in sets
                for run in draws.values()]  # fmt: skip
        return float(np.exp(np.mean(np.log(rows))))

    def differences(self, ours, other, size):
        """Ours minus another contender, by set: one value for each draw that both have."""
        pairs = {}
        for name in sorted(self.sets(ours, size) & self.sets(other, size)):
            one, two = self.draws(ours, size, name), self.draws(other, size, name)
            if common := sorted(one.keys() & two.keys()):
                pairs[name] = np.array([one[draw]["accuracy"] - two[draw]["accuracy"] for draw in common])
        return pairs

    def by_row(self, ours, other, size, name):
        """1 where only ours is right, -1 where only the other is: of shape `(draws, test rows)`."""
        one, two = self.draws(ours, size, name), self.draws(other, size, name)
        return np.array([right(one[draw]) - right(two[draw]) for draw in sorted(one.keys() & two.keys())])

    def groups(self):
        """Collections of sets, and the contenders that have all of each: a mean over other sets is another mean."""
        collections = {frozenset(self.sets(name)) for name in self.contenders}
        for sets in sorted(collections, key=len, reverse=True):
            yield sets, [name for name in self.contenders if self.sets(name) >= sets]

    def mean(self, contender, size, sets):
        """The mean over sets, or None unless the contender has them all at this size."""
        if not self.sets(contender, size) >= sets:
            return None
        return float(np.mean([self.accuracy(contender, size, name) for name in sets]))


def right(run):
    """Which test rows a run has right, as integers."""
    return np.array([int(one == two) for one, two in zip(run["predictions"], run["gold"], strict=True)])


def interval_over_sets(differences):
    """Mean and 95 % interval, from values of draws by set."""
    generator, count = np.random.default_rng(0), len(differences)
    drawn = np.stack(
        [generator.choice(values, (RESAMPLES, count, len(values))).mean(axis=2) for values in differences.values()]
    )  # (set, resample, place): each place of a resample has draws of its own
    chosen = generator.integers(count, size=(RESAMPLES, count))
    means = drawn[chosen, np.arange(RESAMPLES)[:, None], np.arange(count)].mean(axis=1)
    return float(np.mean([values.mean() for values in differences.values()])), *np.quantile(means, (0.025, 0.975))


def interval_over_rows(differences):
    """Mean and 95 % interval, from values of shape `(draws, test rows)`."""
    generator, (draws, rows) = np.random.default_rng(0), differences.shape
    of_draws = generator.multinomial(draws, np.full(draws, 1 / draws), RESAMPLES) / draws
    of_rows = generator.multinomial(rows, np.full(rows, 1 / rows), RESAMPLES) / rows
    means = ((of_draws @ differences) * of_rows).sum(axis=1)
    return float(differences.mean()), *np.quantile(means, (0.025, 0.975))


def shown(values):
    """A difference and its interval in points."""
    mean, low, high = (100 * value for value in values)
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def table(head, rows):
    """Markdown; the first column is text."""
    lines = [f"| {' | '.join(head)} |", f"|:--|{'--:|' * (len(head) - 1)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def title(size):
    """How a size is called."""
    return size if size == "all" else f"{size} a label" if int(size) < 50 else f"{int(size):,} rows"


def means_table(runs, sets, contenders):
    """Mean accuracy over the same sets, by size and contender; the best one is bold."""
    rows = []
    for size in runs.sizes:
        means = [runs.mean(contender, size, sets) for contender in contenders]
        best = max((mean for mean in means if mean is not None), default=None)
        if best is not None:
            cells = ["-" if mean is None else f"**{mean:.3f}**" if mean == best else f"{mean:.3f}" for mean in means]
            rows.append([title(size), f"{runs.rows(size, sets):,.0f}", *cells])
    return table(["size", "rows, geometric mean", *(NAMES[name] for name in contenders)], rows)


def best_others(runs, ours, size):
    """For each set the contender that is best on the draws that it has in common with ours."""
    best = {}
    for other in runs.contenders:
        for name, values in runs.differences(ours, other, size).items() if other != ours else ():
            if name not in best or values.mean() < best[name][1].mean():
                best[name] = other, values
    return best


def paired_table(runs, ours):
    """Ours minus each other contender, and minus the best one of each set, by size."""
    others = [name for name in runs.contenders if name != ours]
    rows = []
    for size in runs.sizes:
        columns = [runs.differences(ours, other, size) for other in others]
        columns.append({name: values for name, (_, values) in best_others(runs, ours, size).items()})
        cells = [f"{shown(interval_over_sets(pairs))}, {len(pairs)} sets" if pairs else "-" for pairs in columns]
        rows.append([title(size), *cells])
    return table(["size", *(NAMES[name] for name in others), "the best of them on each set"], rows)


def sets_table(runs):
    """Accuracy by set and size, the mean over draws, and in brackets its standard deviation."""
    rows = []
    for name in sorted({name for contender in runs.contenders for name in runs.sets(contender)}):
        for size in runs.sizes:
            cells = []
            for contender in runs.contenders:
                values = [run["accuracy"] for run in runs.draws(contender, size, name).values()]
                spread = f" ({np.std(values, ddof=1):.3f})" if len(values) > 1 else ""
                cells.append(f"{np.mean(values):.3f}{spread}" if values else "-")
            if set(cells) != {"-"}:
                rows.append([name, title(size), *cells])
    return table(["set", "size", *(NAMES[name] for name in runs.contenders)], rows)


def seconds_table(runs):
    """The median seconds of a run, and the longest."""
    rows = []
    for size in runs.sizes:
        cells = []
        for contender in runs.contenders:
            seconds = [run["seconds"] for name in runs.sets(contender, size)
                       for run in runs.draws(contender, size, name).values()]  # fmt: skip
            cells.append(f"{np.median(seconds):,.1f} ({max(seconds):,.1f})" if seconds else "-")
        rows.append([title(size), *cells])
    return table(["size", *(NAMES[name] for name in runs.contenders)], rows)


def losses(runs, ours):
    """Each set and size where ours is more than a point below the best of the others, and the interval is below 0."""
    lines = []
    for size in runs.sizes:
        for name, (other, _) in sorted(best_others(runs, ours, size).items()):
            values = interval_over_rows(runs.by_row(ours, other, size, name))
            if values[0] < -0.01 and values[2] < 0:
                lines.append(f"- {name}, {title(size)}: {shown(values)} points against {NAMES[other]}")
    return "\n".join(lines) or "None."


def out_of_fold_table(runs, ours):
    """Out-of-fold accuracy minus that on the test rows, by size: points with intervals over sets and draws."""
    rows = []
    for size in runs.sizes:
        gaps = {}
        for name in sorted(runs.sets(ours, size)):
            values = [run["cross_validation"] - run["accuracy"] for run in runs.draws(ours, size, name).values()
                      if "cross_validation" in run]  # fmt: skip
            if values:
                gaps[name] = np.array(values)
        if gaps:
            count = sum(map(len, gaps.values()))
            rows.append([title(size), f"{len(gaps)} sets, {count} runs", shown(interval_over_sets(gaps))])
    return table(["size", "of", "points"], rows) if rows else "No run was cross-validated."


def draw_picture(runs, path):
    """Accuracy over rows, a panel for each collection of sets and a line for each contender."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    groups = list(runs.groups())
    figure, panels = plt.subplots(
        1, len(groups), figsize=(6.4 * len(groups), 4.4), layout="constrained", squeeze=False
    )
    for axes, (sets, contenders) in zip(panels[0], groups, strict=True):
        for contender in contenders:
            points = sorted(
                (runs.rows(size, sets), mean)
                for size in runs.sizes
                if (mean := runs.mean(contender, size, sets)) is not None
            )
            if points:
                label = NAMES[contender].replace("`", "")
                axes.plot(*zip(*points, strict=True), "o-", markersize=4, color=COLOURS[contender], label=label)
        axes.set_xscale("log")
        axes.set_xlabel("training rows (geometric mean over the sets)")
        axes.set_ylabel("accuracy, mean over the sets")
        axes.set_title(f"{len(sets)} sets" if len(sets) > 3 else ", ".join(sorted(sets)), loc="left", fontsize=10)
        axes.grid(color="#dde1e5")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print the tables, and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--ours", choices=NAMES, help="default: auto if it has runs, else plain")
    parser.add_argument("--picture", type=Path, help="a PNG")
    options = parser.parse_args()
    runs = Runs(line for file in options.files for line in file.read_text(encoding="utf-8").splitlines())
    ours = options.ours or ("auto" if "auto" in runs.contenders else "plain")
    print("Mean accuracy\n")
    for sets, contenders in runs.groups():
        print(f"{len(sets)} sets: {', '.join(sorted(sets))}\n\n{means_table(runs, sets, contenders)}\n")
    print(f"Points of {NAMES[ours]} minus the others, paired, with 95 % intervals\n\n{paired_table(runs, ours)}\n")
    print(f"More than a point below the best of the others, with the interval below 0\n\n{losses(runs, ours)}\n")
    print(f"Out-of-fold accuracy minus that on the test rows\n\n{out_of_fold_table(runs, ours)}\n")
    print(f"Accuracy by set (standard deviation over draws)\n\n{sets_table(runs)}\n")
    print(f"Seconds of a run, median (longest)\n\n{seconds_table(runs)}")
    if options.picture:
        draw_picture(runs, options.picture)


if __name__ == "__main__":
    main()
