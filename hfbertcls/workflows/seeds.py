"""The same training several times from other seeds: how much of a figure is luck, and which weights to share."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.fingerprints import FINGERPRINTS, write_fingerprints
from hfbertcls.data.loading import data_to_train
from hfbertcls.data.sources import Data
from hfbertcls.environment import directory_name
from hfbertcls.errors import ConfigurationError, did_you_mean
from hfbertcls.evaluation.repeats import AVERAGES, average_figures, best_seed, summary_of_runs
from hfbertcls.evaluation.report import Report
from hfbertcls.modeling.averaging import average_models
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.progress import Log, silent
from hfbertcls.repository.card import format_number
from hfbertcls.repository.model_repository import repository_files, write_report
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.repository.stated_files import TOKENIZER_FILES, read_report
from hfbertcls.training.checkpoint_files import remove_checkpoint
from hfbertcls.workflows.options import TrainingOptions, metric_of, seed_of, training_arguments
from hfbertcls.workflows.train import finish, prepare, train_and_evaluate


if TYPE_CHECKING:
    from hfbertcls.workflows.reporting import RunInput


def train_with_seeds(
    model: str | ModelSource,
    dataset: Data | TextDataset,
    output_dir: str | Path,
    count: int,
    options: TrainingOptions | None = None,
    log: Log = silent,
    *,
    average: str | None = None,
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
        log: called with each line of progress, for a person.
        average: `"uniform"` writes the mean of the weights of all runs, `"greedy"` that of those which do not make it
            worse on validation; the best run is written all the same if it is better there than the mean.

    Raises:
        ConfigurationError: if there are fewer than two seeds, checkpoints shall be sent to a branch, or there is no such
            average.
        DatasetError, ModelError, OutputDirectoryError: as by `train_and_evaluate`.
    """
    options = options or TrainingOptions()
    check_seeds(count, backup=options.backup is not None, average=average)
    source = model if isinstance(model, ModelSource) else ModelSource(model)
    first = seed_of(options)
    directory = OutputDirectory(Path(output_dir))
    directory.check(overwrite=options.overwrite, resume=options.resume)
    data = data_to_train(dataset, first)
    with directory.claimed():
        if options.resume and directory.holds_a_model:
            return _complete(directory, range(first, first + count), average, log)
        inputs = prepare(source, data, options)
        if not options.resume:
            directory.clear(log)
        reports: dict[int, Report] = {}
        for seed in range(first, first + count):
            log(f"Run {len(reports) + 1} of {count}: seed {seed}")
            place = _place(directory, seed)
            own = replace(options, arguments={**options.arguments, "seed": seed}, resume=place.exists())
            reports[seed] = train_and_evaluate(source, data, place, own, log)
            _forget_checkpoints(place)
        directory.checkpoints.mkdir(exist_ok=True)
        write_fingerprints(directory.checkpoints / FINGERPRINTS, data.splits["train"])
        runs = _Runs(directory, reports, _selection_metric(options))
        log(f"Seed {runs.best} is the best by {runs.metric} on validation")
        shutil.copyfile(runs.place(runs.best) / "metrics.jsonl", directory.path / "metrics.jsonl")
        report, figures = reports[runs.best], None
        if average is not None:
            averaged, figures = _average(average, runs, inputs, options, log)
            report = averaged or report
        if figures is None or not figures["shipped"]:
            directory.stage(runs.place(runs.best), repository_files(runs.place(runs.best)))
        report = _with_seeds(report, runs, figures, options.card.get("title"))
        report = write_report(directory.staging, report)
        directory.publish(log)
    return report


def check_seeds(count: int, *, backup: bool, average: str | None = None) -> None:
    """Find what is wrong with the number of seeds, and what is to be made of them, before anything is read.

    Raises:
        ConfigurationError: if there are fewer than two, checkpoints shall be sent to a branch, or there is no such average.
    """
    if count < 2:
        raise ConfigurationError(
            f"--seeds {count} is not possible. Expected a number from 2; leave it out for one run"
        )
    if backup:
        raise ConfigurationError("--push-every-save sends the checkpoints of one run. Leave out --seeds or it")
    if average is not None and average not in AVERAGES:
        raise ConfigurationError(
            f"--average {average} is not known{did_you_mean(average, AVERAGES)}. Choose one of {', '.join(AVERAGES)}"
        )


@dataclass(frozen=True)
class _Runs:
    """Runs that have ended, and the figure that compares them."""

    directory: OutputDirectory
    reports: Mapping[int, Report]
    metric: str

    def place(self, seed: int) -> Path:
        return _place(self.directory, seed)

    @property
    def splits(self) -> list[str]:
        return list(next(iter(self.reports.values())).evaluation)

    @property
    def metrics(self) -> list[str]:
        """The calibration error, an estimate that chance moves most, is among them only if it compares."""
        known = next(iter(self.reports.values())).evaluation["validation"]["metrics"]
        return [name for name in known if name != "ece" or self.metric == "ece"]

    @property
    def figures(self) -> list[dict[str, Any]]:
        """What each run has scored."""
        return [
            {
                "seed": seed,
                "best_step": (report.training or {}).get("best_step"),
                **{split: {name: _value(report, split, name) for name in self.metrics} for split in self.splits},
            }
            for seed, report in self.reports.items()
        ]

    @property
    def best(self) -> int:
        return best_seed(self.figures, self.metric)


def _place(directory: OutputDirectory, seed: int) -> Path:
    return directory.seeds / f"seed-{seed}"


def _complete(directory: OutputDirectory, seeds: range, average: str | None, log: Log) -> Report:
    """The report of runs that have ended.

    Raises:
        ConfigurationError: if they were other runs, or were averaged in another way.
    """
    report = read_report(directory.path)
    stated = (report.training or {}).get("seeds") or {}
    found = [run["seed"] for run in stated.get("runs", [])]
    if found != list(seeds):
        raise ConfigurationError(
            f"--resume goes on with the runs in {directory.path.name!r}, but they have the seeds {found or 'of one run'}, not "
            f"{list(seeds)}. Repeat the command of those runs, or begin anew with --overwrite"
        )
    method = (stated.get("average") or {}).get("method")
    if method != average:
        raise ConfigurationError(
            f"--resume goes on with the runs in {directory.path.name!r}, but they ended with {_option(method)}, not with "
            f"{_option(average)}. Repeat the command of those runs, or begin anew with --overwrite"
        )
    log(f"The runs in {directory.path.name!r} are complete: there is nothing to resume")
    return report


def _option(average: str | None) -> str:
    return "no --average" if average is None else f"--average {average}"


def _selection_metric(options: TrainingOptions) -> str:
    name = metric_of(options)
    return "log_loss" if name == "loss" else name


def _value(report: Report, split: str, metric: str) -> float | None:
    value: float | None = report.evaluation[split]["metrics"][metric]["value"]
    return value


def _average(
    method: str, runs: _Runs, inputs: "RunInput", options: TrainingOptions, log: Log
) -> tuple[Report | None, dict[str, Any]]:
    """Stage the average of the runs with all that is said of it, unless validation says that the best run is better.

    Returns:
        Its report, None if it is not staged; and what is said of it in any case.
    """
    from hfbertcls.training import averaging

    directory, metric, figures = runs.directory, runs.metric, runs.figures
    best_run = runs.reports[runs.best]
    device = training_arguments(directory, options).device
    calibrated = best_run.evaluation["validation"]["calibration"] is not None

    def value_of(seeds: Sequence[int]) -> float | None:
        places = [runs.place(seed) for seed in seeds]
        return averaging.value_of_average(
            places, inputs.tokenized["validation"], device, metric, calibrated=calibrated
        )

    values = {run["seed"]: run["validation"][metric] for run in figures}
    members = list(values) if method == "uniform" else averaging.greedy_members(values, metric, value_of)
    if len(members) == 1:
        log(f"No other run can be averaged with that of seed {runs.best} without loss on validation")
        return None, average_figures(method, members, metric, figures, values[runs.best])
    named = ", ".join(map(str, members))
    log(f"Averaging the weights of the seeds {named}")
    average_models([ModelSource(str(runs.place(seed))) for seed in members]).save_pretrained(directory.staging)
    directory.stage(runs.place(runs.best), [*TOKENIZER_FILES, "training_args.json"])
    facts = averaging.facts_of_average(best_run.training or {})
    report = finish(inputs, directory, options, device, lambda: facts, log)
    found = average_figures(method, members, metric, figures, _value(report, "validation", metric))
    name = inputs.task.metric_names.get(metric, metric)
    log(
        f"{name} on validation: {format_number(found['validation'], 4)} averaged over the seeds {named}, "
        f"{format_number(found['best_run'], 4)} by seed {runs.best} alone; "
        f"{'the average' if found['shipped'] else f'the run of seed {runs.best}'} is written"
    )
    if found["shipped"]:
        return report, found
    shutil.rmtree(directory.staging)
    return None, found


def _with_seeds(report: Report, runs: _Runs, average: Mapping[str, Any] | None, title: str | None) -> Report:
    """The report of what is shipped, with what all runs have scored."""
    figures = runs.figures
    seeds = {
        "chosen": None if average is not None and average["shipped"] else runs.best,
        "metric": runs.metric,
        "runs": figures,
        "summary": summary_of_runs(figures, runs.splits, runs.metrics),
        "average": average,
    }
    name = directory_name(runs.directory.path)
    card = {**report.card, "title": title or name, "usage_model": name}
    return replace(report, training={**(report.training or {}), "seeds": seeds}, card=card)


def _forget_checkpoints(place: Path) -> None:
    """Remove what only resuming needs: the run is complete, and `run.json` still says which one it is."""
    for checkpoint in (place / "checkpoints").glob("checkpoint-*"):
        remove_checkpoint(checkpoint)
