"""The same training on an eighth, a quarter and half of the rows: would more data help?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.data.loading import data_to_train
from hfbertcls.data.sources import Data
from hfbertcls.data.splits import strata
from hfbertcls.environment import local_path
from hfbertcls.errors import DatasetError
from hfbertcls.evaluation.power_law import fit_learning_curve, point_of
from hfbertcls.evaluation.report import Report
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.progress import Log, silent
from hfbertcls.repository.model_repository import rewrite_report
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.repository.plots import data_curve_plot
from hfbertcls.training.options import TrainingOptions
from hfbertcls.workflows.train import train_and_evaluate


FRACTIONS = (1 / 8, 1 / 4, 1 / 2)
FOLDER = "learning-curve"
_PLOT = "plots/data_curve.png"


def add_learning_curve(
    model: str | ModelSource,
    data: Data | TextDataset,
    output_dir: str | Path,
    report: Report,
    options: TrainingOptions | None = None,
    log: Log = silent,
) -> Report:
    """Train on parts of the rows, and write the curve into report and card of the training on all of them.

    The parts are nested and are stratified by label, numbers by quintile. Their runs lie complete in `learning-curve/` of the
    directory; finished runs are not repeated.

    Args:
        model: the base model of the run in `output_dir`.
        data: its training data.
        output_dir: its directory.
        report: of that run.
        options: of that run.
        log: called with each line of progress, for a person.

    Raises:
        DatasetError: if an eighth of the rows lacks a label, or has one number alone.
    """
    options = options or TrainingOptions()
    data = data_to_train(data, options.seed, "off")
    directory = local_path(output_dir)
    split, task = report.shown_split, report.resolved_task
    rows = len(data.splits["train"])
    points = []
    for part in parts_of(data.splits["train"], options.seed):
        log(f"Learning curve: training on {len(part):,} of {rows:,} rows")
        place = directory / FOLDER / f"rows-{len(part)}"
        own = replace(options, overwrite=False, resume=place.exists(), backup=None)
        splits = {**data.splits, "train": part}
        run = train_and_evaluate(model, replace(data, splits=splits), place, own, log)
        points.append(point_of(len(part), run.evaluation[split], task.curve_metric))
    points.append(point_of(rows, report.evaluation[split], task.curve_metric))
    curve = fit_learning_curve(split, points, task.curve_metric)
    changed = replace(
        report, training=None if report.training is None else replace(report.training, learning_curve=curve)
    )
    output = OutputDirectory(directory)
    with output.claimed():
        (output.staging / "plots").mkdir(parents=True)
        (output.staging / _PLOT).write_bytes(data_curve_plot(curve, task.metric_in_sentence(task.curve_metric)))
        output.publish(log)
        return rewrite_report(directory, changed, added=[_PLOT])


def parts_of(train: TextSplit, seed: int) -> list[TextSplit]:
    """An eighth, a quarter and half of the training rows, each part of the next.

    Raises:
        DatasetError: if an eighth of the rows lacks a label, or has one number alone.
    """
    codes, names = strata(train)
    order = nested_order([names[code] for code in codes], seed)
    parts = [train.take("train", np.sort(order[: round(fraction * len(train))])) for fraction in FRACTIONS]
    if pa.types.is_floating(train.label_cells.type):
        if pc.count_distinct(parts[0].label_cells).as_py() < 2:
            raise DatasetError(
                f"--learning-curve trains on {len(parts[0]):,} of {len(train):,} rows too, and these have fewer than two "
                "different numbers. Add rows, or leave out --learning-curve"
            )
        return parts
    missing = sorted(train.present_labels - parts[0].present_labels)
    if missing:
        raise DatasetError(
            f"--learning-curve trains on {len(parts[0]):,} of {len(train):,} rows too, and among these the label {missing[0]!r} "
            "has none. Add rows with it, or leave out --learning-curve"
        )
    return parts


def nested_order(labels: list[str], seed: int) -> npt.NDArray[np.int64]:
    """An order of the rows in which every prefix has about the same proportions of the labels.

    Args:
        labels: of the rows; for multi-label rows the rarest, for numbers their quintile.
        seed: of the order within each label.
    """
    generator = np.random.default_rng(seed)
    place = np.empty(len(labels))
    names = np.asarray(labels)
    for name in sorted(set(labels)):
        rows = np.flatnonzero(names == name)
        place[generator.permutation(rows)] = (np.arange(len(rows)) + generator.random()) / len(rows)
    return np.argsort(place, kind="stable").astype(np.int64)
