"""Scoring a file of any size: in parts that survive a kill, one output row for each input row."""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from hfbertcls import processes
from hfbertcls.data.readers.layout import Layout, Quoting
from hfbertcls.data.readers.streaming import Chunk, TextFile, chunks, survey, text_columns_of
from hfbertcls.environment import local_path
from hfbertcls.errors import ConfigurationError, DatasetError, OutputDirectoryError, listing
from hfbertcls.inference.abstention import check_threshold, refuse_without_one_score
from hfbertcls.inference.answer_file import format_of, write_answers
from hfbertcls.inference.remembered import text_columns_in, texts_read_by
from hfbertcls.inference.scorer import Scorer, task_of_classifier
from hfbertcls.modeling.loading import ModelSource, load_to_score, load_tokenizer
from hfbertcls.option_names import as_callers_type_it
from hfbertcls.progress import Log, silent
from hfbertcls.tasks.task import Task


@dataclass(frozen=True)
class BulkOptions:
    """How a file is to be scored.

    Args:
        text_column: with the texts; None takes that of training, else the obvious one.
        text_pair_column: the same of the second texts, where the model reads pairs.
        keep_columns: pass the input's columns on.
        bf16: compute the matrix products in bf16; the agreement with fp32 is measured and logged.
        overwrite: replace the output, and the parts of an unfinished run.
        abstain_below: the score (0 to 1) below which the model abstains; for single-label models only.
        quoting, header: of csv and tsv, as `load_text_dataset` takes them.
        threshold: the decision threshold (0 to 1). For single-label models it is `abstain_below`; for multi-label
            ones it replaces the thresholds of all labels.
    """

    text_column: str | None = None
    text_pair_column: str | None = None
    keep_columns: bool = False
    bf16: bool = False
    overwrite: bool = False
    abstain_below: float = 0.0
    quoting: Quoting = "auto"
    header: bool = True
    threshold: float | None = None


@dataclass(frozen=True)
class BulkResult:
    """The result of scoring a file.

    Args:
        rows: in the output, as many as in the input.
        unanswered: rows whose prediction is null: with a reason, or because the score was too low. In a multi-label
            task an empty list is an answer.
        seconds: of scoring, in this process.
        scored: rows that this process scored; an earlier run or other processes scored the others.
        bf16_agreement: fraction of texts on which bf16 and fp32 give the same answer; None if bf16 was not
            asked for.
    """

    rows: int
    unanswered: int
    seconds: float
    scored: int
    bf16_agreement: float | None


def predict_file(
    model: str | ModelSource,
    input_file: str | Path,
    output_file: str | Path,
    options: BulkOptions | None = None,
    log: Log = silent,
    on_progress: Callable[[int, int], None] | None = None,
) -> BulkResult:
    """Score every text of a file in bounded memory, and write one row for each, in order.

    ```python
    >>> predict_file("my-model", "other.csv", "answers.csv").rows
    64
    ```

    Answers are saved every few thousand rows in a folder beside the output. A run that was killed resumes from them
    when the command is repeated. The output appears when it is complete.

    A prediction of a multi-label model is the list of the labels whose score reaches their threshold, highest first.
    It may be empty; null stands only where there is a reason.

    Args:
        model: a Hub id, a directory, or a `ModelSource`.
        input_file: csv, tsv, jsonl (each also gzipped) or parquet.
        output_file: the same formats.
        options: everything else.
        log: called with each line of progress, for a person.
        on_progress: gets the number of rows that are done, and of all rows.

    Raises:
        DatasetError: if a row of the input cannot be read, before anything is scored; or if the input changed
            meanwhile.
        ModelError: if the model is no trained classifier of labels.
        ConfigurationError: if columns do not fit, or the model has no single score to abstain by.
        OutputDirectoryError: if the output exists, or another run has not finished it.
    """
    options = options or BulkOptions()
    source = model if isinstance(model, ModelSource) else ModelSource(model)
    output = local_path(output_file)
    format_of(output)
    if not 0 <= options.abstain_below <= 1:
        raise ConfigurationError(
            f"--abstain-below {options.abstain_below:g} is an invalid value. Expected a score from 0 to 1"
        )
    path = local_path(input_file)
    if output.exists() and path.exists() and output.samefile(path):
        raise ConfigurationError(f"{output.name} is the input, which would be lost. Name another file with --output")
    if output.exists() and not options.overwrite and processes.is_first():
        raise OutputDirectoryError(f"{output.name} is already there. Pass --overwrite to replace it")
    task = task_of_classifier(source)
    if options.threshold is not None:
        check_threshold(options.threshold)
        if options.abstain_below > 0:
            raise ConfigurationError("--threshold and --abstain-below exclude each other. Leave one out")
        if not task.states_probabilities:
            refuse_without_one_score(source, task, "--threshold")
        if not task.abstains:
            task = task.with_threshold(options.threshold)
        else:
            options = replace(options, threshold=None, abstain_below=options.threshold)
    if options.abstain_below > 0:
        refuse_without_one_score(source, task, "--abstain-below")
    file = survey(path, Layout(options.quoting, options.header))
    for note in file.notes:
        log(as_callers_type_it(f"  note: {note}"))
    text_columns = _text_columns(source, file, options)
    kept = list(file.columns) if options.keep_columns else []
    taken = [name for name in kept if name in ("row", *task.answer_columns, "reason")]
    if taken:
        raise ConfigurationError(
            f"--keep-columns cannot keep {listing(taken)}: the output has columns of that name. Rename them in the input"
        )
    processes.join()
    log(f"{file.rows:,} rows in {file.path.name}, {_named(text_columns)}")
    loaded = load_to_score(source)
    scorer = Scorer(loaded, load_tokenizer(source), task, bf16=options.bf16, abstain_below=options.abstain_below)
    identity = _identity(file, source, text_columns, options, task)
    with _disk_errors(output):
        folder = output.parent / f".{output.name}.parts"
        output.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(output.parent / f".{output.name}.{processes.rank()}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as err:
            raise OutputDirectoryError(f"another process is writing {output.name}. Wait for it to end") from err
        try:
            for is_its_turn in processes.first_then_other_machines():
                if is_its_turn:
                    _claim(folder, identity, overwrite=options.overwrite)
            seconds, scored, paths = _score_all(file, text_columns, kept, folder, scorer, log, on_progress)
            _collect(paths)
            unanswered = write_answers(paths, output, file.rows) if processes.is_first() else 0
            processes.wait_for_all()
            shutil.rmtree(folder, ignore_errors=True)
        except DatasetError:  # (the input changed: its answers are of no use to any run)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)
        return BulkResult(file.rows, unanswered, seconds, scored, scorer.agreement)


@contextlib.contextmanager
def _disk_errors(output: Path) -> Iterator[None]:
    """Explain a disk that is full or read-only, and what is kept."""
    try:
        yield
    except OSError as err:
        raise OutputDirectoryError(
            f"{output.name} cannot be written: {err.strerror or err}. What was scored is kept as far as it was written; make "
            "room, or name another place with --output, and repeat the command"
        ) from err


def _text_columns(source: ModelSource, file: TextFile, options: BulkOptions) -> tuple[str, str | None]:
    """The columns that are named, else those of training, else the obvious ones."""
    named = options.text_column, options.text_pair_column
    if named == (None, None):
        named = text_columns_in(source, file.columns)
    return text_columns_of(file, *named, texts_read_by(source))


def _named(text_columns: tuple[str, str | None]) -> str:
    text, text_pair = text_columns
    return f"texts in the column {text!r}" if text_pair is None else f"pairs in the columns {text!r} and {text_pair!r}"


def _identity(
    file: TextFile, source: ModelSource, text_columns: tuple[str, str | None], options: BulkOptions, task: Task
) -> str:
    """What must be the same to resume a run, as JSON."""
    weights = None
    if source.is_local:
        digest = hashlib.sha256()
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            if (source.path / name).is_file():
                digest.update((source.path / name).read_bytes())
        weights = digest.hexdigest()
    values = {
        "input": file.sha256,
        "model": [source.public_name, source.revision, weights],
        "task": task.config_values,
        "text_columns": list(text_columns),
        "options": {
            name: value
            for name, value in asdict(options).items()
            if name not in ("overwrite", "text_column", "text_pair_column", "threshold")  # (which `task` holds)
        },
    }
    return json.dumps(values, sort_keys=True)


def _claim(folder: Path, identity: str, *, overwrite: bool) -> None:
    path = folder / "run.json"
    if path.is_file() and path.read_text(encoding="utf-8") != identity:
        if not overwrite:
            raise OutputDirectoryError(
                f"{folder.name} holds the answers of a run that did not end, with another input, model or option. Repeat "
                "that command, or pass --overwrite to restart"
            )
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    _write_atomically(path, identity.encode())


def _collect(paths: list[Path]) -> None:
    """Wait until all processes have scored their parts, and fetch those that lie on other machines."""
    processes.wait_for_all()
    missing = set(processes.broadcast([path.name for path in paths if not path.is_file()]))
    if not missing:
        return
    mine = {path.name: path.read_bytes() for path in paths if path.name in missing and path.is_file()}
    for of_process in processes.gather(mine):
        for path in paths:
            if processes.is_first() and path.name in of_process:
                _write_atomically(path, of_process[path.name])


def _write_atomically(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def _part(folder: Path, chunk: Chunk) -> Path:
    """The file for the answers to a chunk; the hash in its name rules out answers to another version."""
    return folder / f"{chunk.number:08d}-{chunk.sha256[:16]}.parquet"


def _score_all(
    file: TextFile,
    text_columns: tuple[str, str | None],
    kept: Sequence[str],
    folder: Path,
    scorer: Scorer,
    log: Log,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[float, int, list[Path]]:
    """Score the missing chunks of this process; returns seconds, rows scored, and the parts of all processes."""
    seconds, scored, earlier = 0.0, 0, 0
    paths: list[Path] = []
    for chunk in chunks(file, text_columns[0], kept, text_columns[1]):
        path = _part(folder, chunk)
        paths.append(path)
        if path.is_file():
            earlier += len(chunk.texts)
        elif chunk.number % processes.count() == processes.rank():
            if earlier and not scored:
                log(f"Resuming: {earlier:,} rows were scored before")
            began = time.perf_counter()
            sink = pa.BufferOutputStream()
            pq.write_table(scorer.answers(chunk), sink, compression="zstd")
            _write_atomically(path, sink.getvalue().to_pybytes())
            seconds += time.perf_counter() - began
            scored += len(chunk.texts)
        if on_progress is not None:
            on_progress(chunk.first_row + len(chunk.texts), file.rows)
    return seconds, scored, paths
