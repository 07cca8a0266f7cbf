"""What `--dataset` may name: a file, a folder of files, or a data set on the Hub."""

import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hfbertcls.data.tables import RawTable, is_table_file, read_table
from hfbertcls.errors import DatasetError, did_you_mean, listing


_SPLIT_STEMS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_HUB_ID = re.compile(r"(?P<id>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[\w.-]+))?(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class Source:
    """The tables of a data set, by split. A single file is one split under the name `None`."""

    name: str
    tables: dict[str | None, RawTable]
    config: str | None = None
    revision: str | None = None
    is_from_hub: bool = False
    notes: tuple[str, ...] = ()


def open_source(dataset: str) -> Source:
    """Read everything that `dataset` names.

    Args:
        dataset (`str`): a file, a folder with one file for each split, or a Hub id (`user/name`, `user/name:config`,
            either with `@revision`).

    Raises:
        DatasetError: if there is no such thing, or it cannot be read.
    """
    path = Path(dataset).expanduser()
    if path.is_dir():
        return _open_folder(path)
    if path.is_file():
        return Source(path.name, {None: read_table(path)})
    match = _HUB_ID.fullmatch(dataset)
    if match is None or is_table_file(path) or dataset.startswith((".", "/", "~")):
        neighbours = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DatasetError(
            f"there is no file or folder {path.name!r}{did_you_mean(path.name, neighbours)} "
            f"in {path.parent.name or 'the current directory'!r}. "
            "Expected a file, a folder with train/validation/test files, or a Hub id such as 'user/name'"
        )
    return _open_hub(match["id"], match["config"], match["revision"])


def _open_folder(folder: Path) -> Source:
    if (folder / "dataset_dict.json").is_file():
        return _open_saved(folder)
    files: dict[str, list[Path]] = {}
    others = []
    for path in sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith(".")):
        stem = _SHARD.sub("", path.name.split(".")[0]).lower()
        if stem in _SPLIT_STEMS and is_table_file(path):
            files.setdefault(_SPLIT_STEMS[stem], []).append(path)
        else:
            others.append(path.name)
    if not files:
        raise DatasetError(
            f"the folder {folder.name!r} has no file called train, validation or test with a known ending "
            f"(csv, tsv, json, jsonl, parquet, arrow, txt); it holds {listing(others) or 'nothing'}. "
            "Rename the files, or name one file"
        )
    tables: dict[str | None, RawTable] = {}
    for split, paths in files.items():
        tables[split] = _read_shards(split, paths)
    unread = [name for name in others if is_table_file(Path(name))]
    notes = (f"not read, because the name is not that of a split: {listing(unread)}",) if unread else ()
    return Source(folder.name, tables, notes=notes)


def _read_shards(split: str, paths: list[Path]) -> RawTable:
    if len(paths) == 1:
        return read_table(paths[0])
    if not all(_SHARD.search(path.name.split(".")[0]) for path in paths):
        raise DatasetError(
            f"several files could be the {split} split: {listing(path.name for path in paths)}. Keep one of them"
        )
    shards = [read_table(path) for path in paths]
    try:
        table = pa.concat_tables([shard.table for shard in shards])
    except pa.ArrowInvalid as err:
        raise DatasetError(f"the shards of the {split} split differ in their columns: {err}") from err
    digest = hashlib.sha256("".join(shard.sha256 for shard in shards).encode()).hexdigest()
    return RawTable(table, f"{split} ({len(shards)} shards)", digest, class_names=shards[0].class_names)


def _open_saved(folder: Path) -> Source:
    """A folder that `DatasetDict.save_to_disk` wrote."""
    import datasets  # noqa: PLC0415  (takes a second)

    splits = datasets.load_from_disk(str(folder))
    return Source(folder.name, _tables_of(splits))


def _open_hub(dataset_id: str, config: str | None, revision: str | None) -> Source:
    import datasets  # noqa: PLC0415  (takes a second)
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    try:
        splits = datasets.load_dataset(dataset_id, config, revision=revision)
    except (OSError, ValueError, HfHubHTTPError, datasets.exceptions.DatasetsError) as err:
        raise DatasetError(
            f"the data set {dataset_id!r}{f' (config {config!r})' if config else ''} cannot be loaded from the Hub: "
            f"{_first_line(err)}. It is not a file or folder here either. Check the name, the network and, for a "
            "private data set, `hf auth login`"
        ) from err
    tables = _tables_of(splits)
    checksums = next(iter(splits.values())).info.download_checksums or {}
    commits = {match[1] for url in checksums for match in [re.search(r"@([0-9a-f]{40})/", url)] if match}
    resolved = commits.pop() if len(commits) == 1 else revision
    ignored = [name for name in splits if name not in _SPLIT_STEMS]
    notes = (f"splits that are not used: {listing(ignored)}",) if ignored else ()
    return Source(dataset_id, tables, config, resolved, is_from_hub=True, notes=notes)


def _first_line(err: BaseException) -> str:
    return (str(err).strip() or type(err).__name__).splitlines()[0].rstrip(".")


def _tables_of(splits: Any) -> dict[str | None, RawTable]:
    """The splits with a known name, each with the hash of its canonical Parquet form."""
    import datasets  # noqa: PLC0415  (takes a second)

    tables: dict[str | None, RawTable] = {}
    for name, split in splits.items():
        if name not in _SPLIT_STEMS:
            continue
        classes = {
            column: tuple(feature.names)
            for column, feature in split.features.items()
            if isinstance(feature, datasets.ClassLabel)
        }
        table = split.with_format("arrow")[:]
        tables[_SPLIT_STEMS[name]] = RawTable(table, name, _parquet_sha256(table), class_names=classes)
    if not tables:
        raise DatasetError(f"the data set has the splits {listing(splits)}, but none is called train or test")
    return tables


def _parquet_sha256(table: pa.Table) -> str:
    """Hash of the canonical Parquet form: no compression, no metadata, one row group for 65,536 rows."""
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), sink, compression="none", row_group_size=65_536)
    return hashlib.sha256(sink.getvalue()).hexdigest()
