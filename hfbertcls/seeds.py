"""The same training several times from other seeds: how much of a figure is luck, and which run to share."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.description import Say, silent
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.errors import ConfigurationError
from hfbertcls.evaluation.repeats import summary_of_runs
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.scores import LOWER_IS_BETTER
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.run import train_and_evaluate
from hfbertcls.sharing.model_repository import repository_files, write_report
from hfbertcls.sharing.output_directory import OutputDirectory
from hfbertcls.training.options import TrainingOptions, seed_of


def train_with_seeds(
    model: str | ModelSource,
    dataset: str | TextDataset,
    output_dir: str | Path,
    count: int,
    options: TrainingOptions | None = None,
    say: Say = silent,
) -> Report:
    """Train `count` times, write the run that is best on validation, and report mean and deviation of all.

    The seeds are that of the options and those after it; they decide on head, data order and dropout, while all runs
    have the same rows. The runs lie complete in `seeds/` of the directory.

    Args:
        model: a Hub id, a directory, or a `ModelSource`.
        dataset: what `load_text_dataset` takes, or its result.
        output_dir: where to write.
        count: how many runs, at least two.
        options: of each run.
        say: gets each line of what is done, for a person.

    Raises:
        ConfigurationError: if there are fewer than two seeds, or checkpoints shall be sent to a branch.
        DatasetError, ModelError, OutputDirectoryError: as by `train_and_evaluate`.
    """
    options = options or TrainingOptions()
    check_seeds(count, backup=options.backup is not None)
    first = seed_of(options)
    directory = OutputDirectory(Path(output_dir))
    directory.check(overwrite=options.overwrite, resume=options.resume)
    data = dataset if isinstance(dataset, TextDataset) else load_text_dataset(dataset, seed=first)
    with directory.claimed():
        if not options.resume:
            directory.clear()
        reports: dict[int, Report] = {}
        if directory.holds_a_model:
            return _complete(directory, range(first, first + count), say)
        for seed in range(first, first + count):
            say(f"Run {len(reports) + 1} of {count}: seed {seed}")
            place = directory.seeds / f"seed-{seed}"
            own = replace(options, arguments={**options.arguments, "seed": seed}, resume=place.exists())
            reports[seed] = train_and_evaluate(model, data, place, own, say)
            _forget_checkpoints(place)
        metric = _selection_metric(options)
        chosen = best_seed(reports, metric)
        say(f"Seed {chosen} is the best by {metric} on validation")
        report = _with_seeds(reports, chosen, metric, directory.path.resolve().name)
        place = directory.seeds / f"seed-{chosen}"
        for name in repository_files(place):
            target = directory.staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place / name, target)
        write_report(directory.staging, report)
        shutil.copyfile(place / "metrics.jsonl", directory.path / "metrics.jsonl")
        directory.publish()
    return report


def check_seeds(count: int, *, backup: bool) -> None:
    """Find what is wrong with the number of seeds before anything is read.

    Raises:
        ConfigurationError: if there are fewer than two, or checkpoints shall be sent to a branch.
    """
    if count < 2:
        raise ConfigurationError(
            f"--seeds {count} is not possible. Expected a number from 2; leave it out for one run"
        )
    if backup:
        raise ConfigurationError("--push-every-save sends the checkpoints of one run. Leave out --seeds or it")


def _complete(directory: OutputDirectory, seeds: range, say: Say) -> Report:
    """The report of runs that have ended.

    Raises:
        ConfigurationError: if they were other runs.
    """
    report = Report.from_json((directory.path / "report.json").read_text(encoding="utf-8"))
    runs = ((report.training or {}).get("seeds") or {}).get("runs", [])
    found = [run["seed"] for run in runs]
    if found != list(seeds):
        raise ConfigurationError(
            f"--resume goes on with the runs in {directory.path.name!r}, but they have the seeds {found or 'of one run'}, not "
            f"{list(seeds)}. Repeat the command of those runs, or begin anew with --overwrite"
        )
    say(f"The runs in {directory.path.name!r} are complete: there is nothing to go on with")
    return report


def _selection_metric(options: TrainingOptions) -> str:
    name = str(options.arguments.get("metric_for_best_model", "f1_macro")).removeprefix("eval_")
    return "log_loss" if name == "loss" else name


def best_seed(reports: Mapping[int, Report], metric: str) -> int:
    """The seed whose shipped weights are best on the validation split; of equal ones the first."""
    sign = -1 if metric in LOWER_IS_BETTER else 1
    values = {seed: _value(report, "validation", metric) for seed, report in reports.items()}
    return max(values, key=lambda seed: -np.inf if (value := values[seed]) is None else sign * value)


def _value(report: Report, split: str, metric: str) -> float | None:
    value: float | None = report.evaluation[split]["metrics"][metric]["value"]
    return value


def _with_seeds(reports: Mapping[int, Report], chosen: int, metric: str, name: str) -> Report:
    """The report of the chosen run, with what all runs have scored."""
    report = reports[chosen]
    splits = list(report.evaluation)
    metrics = [key for key in report.evaluation[splits[0]]["metrics"] if key != "ece"]
    runs = [
        {
            "seed": seed,
            "best_step": (one.training or {}).get("best_step"),
            **{split: {key: _value(one, split, key) for key in metrics} for split in splits},
        }
        for seed, one in reports.items()
    ]
    seeds = {"chosen": chosen, "metric": metric, "runs": runs, "summary": summary_of_runs(runs, splits, metrics)}
    card = {**report.card, "title": name, "usage_model": name}
    return replace(report, training={**(report.training or {}), "seeds": seeds}, card=card)


def _forget_checkpoints(place: Path) -> None:
    """Remove what only resuming needs: the run is complete, and `run.json` still says which one it is."""
    for checkpoint in (place / "checkpoints").glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
