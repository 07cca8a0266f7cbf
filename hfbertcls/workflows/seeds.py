"""The same training with N seeds: the spread of each metric, and the choice of the weights."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hfbertcls import processes
from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.fingerprints import fingerprints_of, write_fingerprints
from hfbertcls.data.loading import data_to_train
from hfbertcls.data.sources import Data
from hfbertcls.environment import directory_name
from hfbertcls.errors import ConfigurationError, did_you_mean
from hfbertcls.evaluation.repeats import AVERAGES, best_seed, compare_average, summary_of_runs
from hfbertcls.evaluation.report import Report
from hfbertcls.evaluation.report_training import Average, SeedRun, Seeds
from hfbertcls.inference.training_texts import recorded_texts
from hfbertcls.modeling.averaging import average_models
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.own_process import in_own_process
from hfbertcls.progress import Log, silent
from hfbertcls.repository.card_text import format_number
from hfbertcls.repository.model_repository import repository_files, write_report
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.repository.stated_files import TOKENIZER_FILES, read_report
from hfbertcls.tasks.task import Task
from hfbertcls.training.checkpoint_files import remove_checkpoint
from hfbertcls.training.options import TrainingOptions
from hfbertcls.workflows.options import cross_validation_of, selection_metric, training_arguments
from hfbertcls.workflows.train import finish, prepare, train_prepared


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
    """Train `count` times, write the best run on validation, and report mean and standard deviation.

    The seeds begin with that of the options. They determine head, data order and dropout; all runs have the same rows.
    The runs lie complete in `seeds/` of the directory.

    ```python
    >>> report = train_with_seeds("encoder", "reviews.csv", "film-reviews", 3)  # doctest: +SKIP
    >>> report.training["seeds"]["chosen"]  # doctest: +SKIP
    43
    ```

    Args:
        model: a Hub id, a directory, or a `ModelSource`.
        dataset: what `load_text_dataset` takes, or its result.
        output_dir: where to write.
        count: how many runs, at least two.
        options: of each run.
        log: called with each line of progress, for a person.
        average: `"uniform"` averages the weights of all runs, `"greedy"` those of the runs that do not lower the score
            on validation. If the best run alone is better on validation, it is written instead.

    Raises:
        ConfigurationError: for fewer than two seeds, a checkpoint branch, or an unknown average.
        DatasetError, ModelError, OutputDirectoryError: as by `train_and_evaluate`.
    """
    options = options or TrainingOptions()
    check_seeds(count, backup=options.backup is not None, average=average)
    from hfbertcls.training.arguments import asks_for_fsdp

    source = model if isinstance(model, ModelSource) else ModelSource(model)
    first = options.seed
    directory = OutputDirectory(Path(output_dir))
    directory.check(overwrite=options.overwrite, resume=options.resume)
    data = data_to_train(dataset, first, cross_validation_of(options, ("--seeds",)))
    with directory.claimed():
        if options.resume and directory.holds_a_model:
            return _complete(directory, range(first, first + count), average, log)
        arguments = training_arguments(directory, options)
        inputs = prepare(source, data, options, arguments.device, log)
        if not options.resume:
            directory.start_over(log)
        with_seeds = [replace(options, seed=first + index) for index in range(count)]
        are_spread = processes.count() > 1 and processes.are_of_one_machine() and not asks_for_fsdp(arguments)
        reports = (_spread_reports if are_spread else _reports)(inputs, directory.seeds, with_seeds, log)
        runs = _Runs(directory, reports, _compared_metric(options, inputs.task))
        log(f"Seed {runs.best} is the best by {runs.metric} on validation")
        shutil.copyfile(runs.place(runs.best) / "metrics.jsonl", directory.path / "metrics.jsonl")
        report, compared = reports[runs.best], None
        if average is not None:
            averaged, compared = _average(average, runs, inputs, options, log)
            report = averaged or report
        if compared is None or not compared.shipped:
            directory.stage(runs.place(runs.best), repository_files(runs.place(runs.best)))
        report = _with_seeds(report, runs, compared, options.card.get("title"))
        report = write_report(directory.staging, report)
        write_fingerprints(fingerprints_of(directory.staging), data.splits["train"], recorded_texts(source))
        directory.replace(log)
    return report


def check_seeds(count: int, *, backup: bool, average: str | None = None) -> None:
    """Check the number of seeds and the kind of average before anything is read.

    Raises:
        ConfigurationError: for fewer than two seeds, a checkpoint branch, or an unknown average.
    """
    if count < 2:
        raise ConfigurationError(
            f"--seeds {count} is an invalid value. Expected a number from 2; leave it out for one run"
        )
    if backup:
        raise ConfigurationError("--push-every-save sends the checkpoints of one run. Leave out --seeds or it")
    if average is not None and average not in AVERAGES:
        raise ConfigurationError(
            f"--average {average} is an invalid value{did_you_mean(average, AVERAGES)}. Choose one of {', '.join(AVERAGES)}"
        )


def _reports(inputs: "RunInput", seeds: Path, runs: Sequence[TrainingOptions], log: Log) -> dict[int, Report]:
    """Train with each seed. Data are read, examined and tokenized once for all runs."""
    reports = {}
    for index, run in enumerate(runs, 1):
        log(f"Run {index} of {len(runs)}: seed {run.seed}")
        reports[run.seed] = _run(inputs, seeds, run, log)
    return reports


def _spread_reports(inputs: "RunInput", seeds: Path, runs: Sequence[TrainingOptions], log: Log) -> dict[int, Report]:
    """As `_reports`, where each process of this machine has some runs, and trains them alone."""
    mine = " and ".join(str(run.seed) for run in processes.my_share(runs))
    log(f"The {len(runs)} runs are spread over {processes.count()} processes. These lines are of seed {mine}")
    _ = inputs.frozen  # (computed once, and sent to all)
    reports = processes.spread(
        _run_apart, (inputs, seeds), runs, here=lambda run: _run_apart((inputs, seeds), run, speaks=True)
    )
    return {run.seed: report for run, report in zip(runs, reports, strict=True)}


def _run_apart(common: "tuple[RunInput, Path]", options: TrainingOptions, *, speaks: bool = False) -> Report:
    """One of the runs, in a process that trains alone."""
    return in_own_process(_run, *common, options, speaks=speaks)


def _run(inputs: "RunInput", seeds: Path, options: TrainingOptions, log: Log) -> Report:
    """One of the runs, with the seed of its options; one that was begun is resumed."""
    began = time.perf_counter()
    directory = OutputDirectory(_place(seeds, options.seed))
    options = replace(options, resume=directory.path.exists())
    directory.check(overwrite=options.overwrite, resume=options.resume)
    report = train_prepared(inputs, directory, training_arguments(directory, options), options, log, began)
    for checkpoint in directory.checkpoints.glob("checkpoint-*"):
        remove_checkpoint(checkpoint)  # (only a resume needs it; `run.json` stays and identifies the complete run)
    return report


@dataclass(frozen=True)
class _Runs:
    """Finished runs, and the metric that compares them."""

    directory: OutputDirectory
    reports: Mapping[int, Report]
    metric: str

    def place(self, seed: int) -> Path:
        return _place(self.directory.seeds, seed)

    @property
    def splits(self) -> list[str]:
        return list(next(iter(self.reports.values())).evaluation)

    @property
    def metrics(self) -> list[str]:
        """The calibration error, the noisiest metric, is included only if it compares the runs."""
        metrics = next(iter(self.reports.values())).evaluation["validation"].metrics
        return [name for name in metrics if name != "ece" or self.metric == "ece"]

    @property
    def scored(self) -> list[SeedRun]:
        """The metrics of each run."""
        return [
            SeedRun(
                seed=seed,
                best_step=None if report.training is None else report.training.best_step,
                evaluation={
                    split: {name: report.evaluation[split].metrics[name].value for name in self.metrics}
                    for split in self.splits
                },
            )
            for seed, report in self.reports.items()
        ]

    @property
    def best(self) -> int:
        return best_seed(self.scored, self.metric)


def _place(seeds: Path, seed: int) -> Path:
    return seeds / f"seed-{seed}"


def _complete(directory: OutputDirectory, seeds: range, average: str | None, log: Log) -> Report:
    """The report of finished runs.

    Raises:
        ConfigurationError: if they are other runs, or have another average.
    """
    report = read_report(directory.path)
    earlier = None if report.training is None else report.training.seeds
    earlier_seeds = [] if earlier is None else [run.seed for run in earlier.runs]
    if earlier_seeds != list(seeds):
        raise ConfigurationError(
            f"--resume continues the runs in {directory.path.name!r}, but they have the seeds {earlier_seeds or 'of one run'}, not "
            f"{list(seeds)}. Repeat the command of those runs, or restart with --overwrite"
        )
    method = None if earlier is None or earlier.average is None else earlier.average.method
    if method != average:
        raise ConfigurationError(
            f"--resume continues the runs in {directory.path.name!r}, but they ended with {_option(method)}, not with "
            f"{_option(average)}. Repeat the command of those runs, or restart with --overwrite"
        )
    log(f"The runs in {directory.path.name!r} are complete: there is nothing to resume")
    return report


def _option(average: str | None) -> str:
    return "no --average" if average is None else f"--average {average}"


def _compared_metric(options: TrainingOptions, task: Task) -> str:
    name = selection_metric(options, task)
    return "log_loss" if name == "loss" else name


def _average(
    method: str, runs: _Runs, inputs: "RunInput", options: TrainingOptions, log: Log
) -> tuple[Report | None, Average]:
    """Stage the average of the runs, unless the best run is better on validation.

    Returns:
        Its report, None if it is not staged; and the facts about the average in any case.
    """
    from hfbertcls.training import averaging

    directory, metric, scored = runs.directory, runs.metric, runs.scored
    best_run = runs.reports[runs.best]
    device = training_arguments(directory, options).device
    calibrated = best_run.evaluation["validation"].calibration is not None

    def value_of(seeds: Sequence[int]) -> float | None:
        places = [runs.place(seed) for seed in seeds]
        return averaging.value_of_average(
            places, inputs.tokenized["validation"], device, metric, calibrated=calibrated
        )

    values = {run.seed: run.evaluation["validation"][metric] for run in scored}
    members = list(values) if method == "uniform" else averaging.greedy_members(values, metric, value_of)
    if len(members) == 1:
        log(f"No other run can be averaged with that of seed {runs.best} without loss on validation")
        return None, compare_average(method, members, metric, scored, values[runs.best])
    member_list = ", ".join(map(str, members))
    log(f"Averaging the weights of the seeds {member_list}")
    average_models([ModelSource(str(runs.place(seed))) for seed in members]).save_pretrained(directory.staging)
    directory.stage(runs.place(runs.best), [*TOKENIZER_FILES, "training_args.json"])
    if best_run.training is None:
        raise ValueError("a trained run has the facts of its training")
    facts = averaging.facts_of_average(best_run.training)
    report = finish(inputs, directory, options, device, lambda: facts, log)
    compared = compare_average(method, members, metric, scored, report.evaluation["validation"].metrics[metric].value)
    name = inputs.task.metric_names.get(metric, metric)
    log(
        f"{name} on validation: {format_number(compared.validation, 4)} averaged over the seeds {member_list}, "
        f"{format_number(compared.best_run, 4)} by seed {runs.best} alone; "
        f"{'the average' if compared.shipped else f'the run of seed {runs.best}'} is written"
    )
    if compared.shipped:
        return report, compared
    shutil.rmtree(directory.staging)
    return None, compared


def _with_seeds(report: Report, runs: _Runs, average: Average | None, title: str | None) -> Report:
    """The report of the written model, with the metrics of all runs."""
    seeds = Seeds(
        chosen=None if average is not None and average.shipped else runs.best,
        metric=runs.metric,
        runs=tuple(runs.scored),
        summary=summary_of_runs(runs.scored, runs.splits, runs.metrics),
        average=average,
    )
    name = directory_name(runs.directory.path)
    card = replace(report.card, title=title or name, usage_model=name)
    return replace(
        report, training=None if report.training is None else replace(report.training, seeds=seeds), card=card
    )
