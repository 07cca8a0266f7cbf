"""`load_text_dataset()`: everything that `--dataset` promises, checked before any model is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.columns import Columns, choose_columns, columns_without_header, left_out_texts
from hfbertcls.data.dataset import SPLIT_NAMES, TextDataset, TextSplit, order_labels
from hfbertcls.data.hashing import rows_sha256
from hfbertcls.data.readers.indicators import name_of, with_joined_labels
from hfbertcls.data.readers.layout import Layout, Quoting
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.data.reading import read_split, with_cells
from hfbertcls.data.sources import Data, Source, open_source
from hfbertcls.data.splits import complete_splits
from hfbertcls.errors import ConfigurationError, DatasetError, listing, shorten
from hfbertcls.progress import work
from hfbertcls.seeding import DEFAULT_SEED
from hfbertcls.tasks.cells import names_in
from hfbertcls.tasks.known import TASKS, kind_of_data
from hfbertcls.tasks.multi_label import MultiLabel
from hfbertcls.tasks.task import Task


MOST_LABELS = 1_000
MOST_SLICES = 50


@work("Reading the data")
def load_text_dataset(
    dataset: Data,
    *,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    label_separator: str | None = None,
    task: str | None = None,
    labels: Sequence[str] | None = None,
    split_by: str | None = None,
    slice_by: str | None = None,
    quoting: Quoting = "auto",
    header: bool = True,
    make_splits: bool = True,
    cross_validation: str = "auto",
    seed: int = DEFAULT_SEED,
) -> TextDataset:
    """Read labelled text from a file, a folder, the Hub, or memory.

    ```python
    >>> load_text_dataset("reviews.csv")
    TextDataset('reviews.csv', single-label, labels: negative, positive; rows: train ..., validation ..., test ...)
    >>> load_text_dataset((["good", "bad"], ["a", "b"]), make_splits=False).splits["test"].labels
    ['a', 'b']
    ```

    Args:
        dataset: a path (`str` or `os.PathLike`) of a file (csv, tsv, json, jsonl, parquet, arrow, xlsx, txt in
            fastText form; each also gzipped), of a folder with train/validation/test files or with a folder for each
            label; or a Hub id (`user/name[:config][@revision]`). Data in memory: a DataFrame of pandas or polars, a
            `datasets.Dataset` or `DatasetDict`, a list of dicts, `(texts, labels)`, a mapping of splits to any of
            these. Or what `open_source` made.
        text_column (`str`, *optional*): the column of the texts (default: `text`, or another usual name).
        text_pair_column (`str`, *optional*): the column of the second texts. Without it, rows are pairs if two columns
            have usual names (`text` and `text_pair`, `premise` and `hypothesis`, ...), unless `text_column` is named.
        label_column (`str` or `Sequence[str]`, *optional*): the column of the labels (default: `label`, or `labels` if
            it holds lists). Of several columns, each holds 0 or 1 for one label: multi-label, or single-label if every
            row has exactly one 1 (this is noted).
        label_separator (`str`, *optional*): the separator between the labels of a cell, such as `";"`; a blank cell
            then means "none of the labels".
        task (*optional*): overrides the task that the labels suggest.
        labels (`Sequence[str]`, *optional*): all label names, in the order of their ids.
        split_by (`str`, *optional*): a column; rows with the same value stay in one split when rows are held out.
        slice_by (`str`, *optional*): a column whose values (at most 50) are the slices of the metrics.
        quoting (`str`): of csv and tsv files: `standard` takes quotation marks for the ends of a field, `none` for
            letters of the text; `auto` is `standard`, except for tab-separated files whose quotation marks enclose no
            field (this is noted).
        header (`bool`): whether the first line of csv and tsv names the columns; without, they are called `column_1`,
            `column_2` and so on, and a txt file is read as lines of fields that are separated by tabs.
        make_splits (`bool`): hold missing splits out of train. Otherwise the splits stay as they are, and a single
            file is the `test` split.
        cross_validation (`str`): with `auto`, no validation rows are held out of fewer than 300 training rows, or
            fewer than five of a label on average, because training cross-validates them; with `off` they are; `on` is as `auto`, but an error for other data.
        seed (`int`): of the held-out splits.

    Raises:
        DatasetError: if the data cannot be used as they are; the message names the file, line or column.
        ConfigurationError: if an argument names something that does not exist.
    """
    source = open_source(dataset, Layout(quoting, header))
    tables = {name or ("train" if make_splits else "test"): raw for name, raw in source.tables.items()}
    notes: list[str] = list(source.notes)
    label_columns = (label_column,) if isinstance(label_column, str) else tuple(label_column or ())
    if len(label_columns) > 1:
        lists = None if task is None else task == MultiLabel.name
        tables, note = with_joined_labels(tables, label_columns, lists=lists)
        notes.append(note)
        label_column, labels = name_of(label_columns), labels or label_columns
    else:
        label_column = next(iter(label_columns), None)
    first = next(tables[name] for name in SPLIT_NAMES if name in tables)
    if (
        not header
        and text_column is None
        and label_column is None
        and (unnamed_columns := columns_without_header(first))
    ):
        text_column, label_column = unnamed_columns
    columns = choose_columns(first, text_column, text_pair_column, label_column, label_separator)
    columns = replace(
        columns,
        names=tuple(labels or ()),
        is_one_label=task in TASKS and TASKS[task].is_one_label,
        number_task=task if task in TASKS and pa.types.is_floating(TASKS[task].cells) else None,
    )
    by = {"--split-by": split_by, "--slice-by": slice_by}
    extra = list(dict.fromkeys(column for column in by.values() if column is not None))
    for flag, column in by.items():
        if column is not None and column not in first.table.column_names:
            raise ConfigurationError(
                f"{first.name} has no column {column!r}, which {flag} names. "
                f"Its columns are {listing(first.table.column_names)}"
            )
    splits = {name: read_split(tables[name], name, columns, extra) for name in SPLIT_NAMES if name in tables}
    notes += [note for raw in tables.values() for note in raw.notes]
    notes += _unused_separator(tables, columns)
    notes += left_out_texts(first, columns)
    splits, unlabelled = _without_unlabelled(splits)
    kind = kind_of_data({name: split.label_cells for name, split in splits.items()}, task, columns.label)
    splits = {name: _hashed(with_cells(split, kind)) for name, split in splits.items()}
    if slice_by is not None:
        _check_slices(splits, slice_by, source)
    declared = tuple(labels) if labels else first.class_names.get(columns.label)
    resolved_task = (
        None if kind is None else kind.from_labels(_labels(splits, declared, source, kind) if kind.has_labels else ())
    )
    data = TextDataset(
        splits=splits,
        task=resolved_task,
        labels_are_declared=declared is not None,
        source=source.name,
        text_column=columns.text,
        label_column=columns.label,
        label_separator=columns.label_separator,
        text_pair_column=columns.text_pair,
        quoting=quoting,
        config=source.config,
        revision=source.revision,
        label_columns=label_columns if len(label_columns) > 1 else (),
        header=header,
        notes=(*notes, *unlabelled),
        is_from_hub=source.is_from_hub,
        slice_column=slice_by,
        is_one_table=None in source.tables,
    )
    return _with_held_out_splits(data, seed, split_by, cross_validation) if make_splits else data


def data_to_train(dataset: Data, seed: int, cross_validation: str = "auto") -> TextDataset:
    """Data with all the splits that training needs: what `load_text_dataset` takes, or its result.

    Args:
        dataset: what `load_text_dataset` takes, or its result. Where its splits were held out of train, and
            `cross_validation` calls for others, they are joined and held out again.
        seed: of the splits.
        cross_validation: as `load_text_dataset` takes it.

    Raises:
        DatasetError: if they cannot be used as they are.
        ConfigurationError: as `load_text_dataset`.
    """
    if not isinstance(dataset, TextDataset):
        return load_text_dataset(dataset, seed=seed, cross_validation=cross_validation)
    if dataset.whole is not None and dataset.splits is dataset.cut_splits:
        if cross_validation == "auto" or ("validation" in dataset.splits) == (cross_validation == "off"):
            return dataset
        seed = seed if dataset.split_seed is None else dataset.split_seed
        return _with_held_out_splits(_as_train(dataset.whole), seed, dataset.split_by, cross_validation)
    if {"train", "validation"} <= dataset.splits.keys() and cross_validation != "on":
        return dataset
    return _with_held_out_splits(_as_train(dataset), seed, dataset.split_by, cross_validation)


def _as_train(data: TextDataset) -> TextDataset:
    """Data of one table as a train split."""
    if not data.is_one_table or "train" in data.splits:
        return data
    only = next(iter(data.splits.values()))
    return replace(data, splits={"train": replace(only, name="train")})


def data_to_measure(dataset: Data, split: str | None = None) -> TextDataset:
    """Data with the splits of their source.

    Args:
        dataset: what `load_text_dataset` takes, or its result. Splits that were held out for training are joined
            again.
        split: the requested one; if it was held out of train, the splits stay.
    """
    if not isinstance(dataset, TextDataset):
        return load_text_dataset(dataset, make_splits=False)
    whole = dataset.whole if dataset.splits is dataset.cut_splits else None
    return dataset if whole is None or (split is not None and split not in whole.splits) else whole


def _with_held_out_splits(
    data: TextDataset, seed: int, split_by: str | None, cross_validation: str = "auto"
) -> TextDataset:
    if "train" not in data.splits:
        raise DatasetError(f"{data.source} has no train split; it has {listing(data.splits)}. Add a train file")
    splits, method = complete_splits(data.splits, seed, split_by, cross_validation)
    whole = data
    if data.is_one_table:
        whole = replace(data, splits={"test": replace(data.splits["train"], name="test")})
    was_cut = splits.keys() != data.splits.keys()
    return replace(
        data,
        splits=splits,
        split_method=method,
        split_seed=seed if was_cut else None,
        split_by=split_by,
        whole=whole,
        cut_splits=splits,
    )


def _hashed(split: TextSplit) -> TextSplit:
    return replace(split, rows_sha256=rows_sha256(split.table))


def _unused_separator(tables: Mapping[str, RawTable], columns: Columns) -> tuple[str, ...]:
    """A note if no cell holds the separator of the labels."""
    mark = columns.label_separator
    if mark is None or any(
        pc.any(pc.match_substring(raw.table.column(columns.label).cast(pa.string()), mark)).as_py()
        for raw in tables.values()
    ):
        return ()
    return (f"no cell of {columns.label!r} holds {mark!r}, so every row has at most one label",)


def _check_slices(splits: dict[str, TextSplit], column: str, source: Source) -> None:
    values = {value for split in splits.values() for value in split.values(column)}
    if len(values) > MOST_SLICES:
        raise ConfigurationError(
            f"the column {column!r} of {source.name} has {len(values):,} different values; --slice-by takes a column with at "
            f"most {MOST_SLICES}. Name another one, or group its values in the data"
        )


def _without_unlabelled(splits: dict[str, TextSplit]) -> tuple[dict[str, TextSplit], tuple[str, ...]]:
    """Leave out test splits without labels (benchmarks withhold them); refuse any other split without usable rows."""
    notes = []
    for name, split in list(splits.items()):
        if len(split):
            continue
        reasons = ", ".join(f"{count:,} with {reason.replace('_', ' ')}" for reason, count in split.dropped.items())
        if name != "test" or len(splits) == 1 or "missing_label" not in split.dropped:
            raise DatasetError(
                f"the {name} split has no usable row: {split.rows_read:,} read, {reasons or 'none left out'}. "
                "Check --text-column and --label-column"
            )
        notes.append(f"the test split has no labels ({split.rows_read:,} rows) and is not used")
        del splits[name]
    return splits, tuple(notes)


def _labels(
    splits: dict[str, TextSplit], declared: tuple[str, ...] | None, source: Source, kind: type[Task]
) -> tuple[str, ...]:
    """The labels in the order of their ids."""
    present = {label for split in splits.values() for label in _distinct_labels(split)}
    if declared is not None:
        unknown = sorted(present - set(declared))
        if unknown:
            raise DatasetError(
                f"{source.name} has labels that were not declared: {listing(unknown)}. "
                f"The declared labels are {listing(declared)}. Correct --labels or the data"
            )
        if len(set(declared)) != len(declared):
            raise ConfigurationError(f"a label is declared twice in {listing(declared)}. Correct --labels or the data")
        return declared
    rows = sum(len(split) for split in splits.values())
    if len(present) > MOST_LABELS:
        raise DatasetError(
            f"{source.name} has {len(present):,} different labels, more than the {MOST_LABELS:,} that can be reported on. "
            "Check --label-column, or merge rare labels"
        )
    if len(present) > max(20, rows // 2):
        raise DatasetError(
            f"the label column has {len(present):,} different values in {rows:,} rows (such as "
            f"{shorten(min(present))}), so it looks like free text or row ids, not labels. "
            "Name another one with --label-column"
        )
    return kind.ordered(present) or order_labels(present)


def _distinct_labels(split: TextSplit) -> set[str]:
    column = split.table.column("label")
    return set(pc.unique(names_in(column)).to_pylist())
