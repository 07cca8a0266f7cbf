"""What `--dataset` may name: a file, a folder of files, or a data set on the Hub."""

import hashlib
import itertools
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from hfbertcls.commands import log_in
from hfbertcls.data.dataset import SPLIT_STEMS
from hfbertcls.data.hashing import parquet_sha256
from hfbertcls.data.on_disk import TableWriter, in_parts
from hfbertcls.data.readers.label_folders import has_label_folders, read_label_folders
from hfbertcls.data.readers.layout import AS_SEEN, Layout
from hfbertcls.data.readers.memory import class_names_of, name_of, tables_in_memory
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.data.readers.tables import is_table_file, read_table
from hfbertcls.environment import local_path
from hfbertcls.errors import DatasetError, MissingAssetError, listing, shorten, similar_neighbour
from hfbertcls.offline import unreachable_hub


_SHARD = re.compile(r"-(\d{5})-of-(\d{5})$")
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


Data = Any
"""What `open_source` takes."""


def open_source(dataset: Data, layout: Layout = AS_SEEN) -> Source:
    """Read everything that `dataset` names, or holds.

    Args:
        dataset: a file, a folder with one file for each split or one folder for each label (`str` or `os.PathLike`),
            or a Hub id (`user/name`, `user/name:config`, either with `@revision`). Or data in memory: a DataFrame of
            pandas or polars, a `datasets.Dataset` or `DatasetDict`, an Arrow table, a list of dicts, `(texts,
            labels)`, a dict of columns, or a mapping of splits to any of these. Or a `Source`, which is returned.
        layout (`Layout`): how delimited files are to be read.

    Raises:
        DatasetError: if there is no such thing, or it cannot be read.
    """
    if isinstance(dataset, Source):
        return dataset
    if not isinstance(dataset, str | os.PathLike):
        tables, notes = tables_in_memory(dataset)
        return Source(name_of(dataset), tables, notes=notes)
    is_path, dataset = not isinstance(dataset, str), os.fspath(dataset)
    if not dataset.strip():
        raise DatasetError("--dataset is empty. Expected a file, a folder or a Hub id such as 'user/name'")
    try:
        path = local_path(dataset)
        if path.is_dir():
            return _open_folder(path, layout)
        if path.is_file():
            return Source(path.name, {None: read_table(path, layout)})
        is_special = path.is_symlink() or path.exists()
    except MissingAssetError:  # (is an OSError, too)
        raise
    except (OSError, RuntimeError) as err:
        raise DatasetError(f"--dataset {shorten(Path(dataset).name)} cannot be read: {_reason(err)}") from err
    if is_special:
        raise DatasetError(
            f"{path.name!r} is neither a file nor a folder (a broken link, a pipe or a device). Name a file"
        )
    match = _HUB_ID.fullmatch(dataset)
    if match is None or is_path or is_table_file(path) or dataset.startswith((".", "/", "~")):
        raise DatasetError(
            f"there is no file or folder {path.name!r}{similar_neighbour(path)} "
            f"in {repr(path.parent.name) if path.parent.name else 'the current directory'}. "
            "Expected a file, a folder with train/validation/test files, or a Hub id such as 'user/name'"
        )
    return _open_hub(match["id"], match["config"], match["revision"])


def source_name(dataset: Data) -> str:
    """The name of a data set in reports and messages: the base name of a path, or the Hub id."""
    if isinstance(dataset, Source):
        return dataset.name
    if not isinstance(dataset, str | os.PathLike):
        return name_of(dataset)
    words = os.fspath(dataset)
    is_hub_id = isinstance(dataset, str) and words.count("/") == 1 and not words.startswith((".", "/", "~"))
    return words if is_hub_id else words.rpartition("/")[2]


def _open_folder(folder: Path, layout: Layout) -> Source:
    if (folder / "dataset_dict.json").is_file():
        return _open_saved(folder)
    files: dict[str, list[Path]] = {}
    unread: list[Path] = []
    for path in sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".")):
        split = _split_of(path)
        if split is not None and is_table_file(path) and path.is_file():
            files.setdefault(split, []).append(path)
        else:
            unread.append(path)
    if not files and (texts := _label_folders(folder)):
        return Source(folder.name, texts)
    if not files:
        raise DatasetError(
            f"the folder {folder.name!r} has no file called train, validation or test with a known ending "
            f"(csv, tsv, json, jsonl, parquet, arrow, xlsx, txt); it holds {listing(path.name for path in unread) or 'nothing'}. "
            "Rename the files, name one file, or put the texts of each label into a folder of its name"
        )
    for path in unread:
        if (split := _split_of(path)) is not None and split not in files:
            raise DatasetError(
                f"{path.name!r} in {folder.name!r} is the {split} split by its name, but it is no file that can be read "
                f"({'a folder' if path.is_dir() else 'its ending, or a broken link'}). Convert it to CSV or Parquet, or "
                "move it away if it is not to be used"
            )
    tables: dict[str | None, RawTable] = {split: _read_shards(split, paths, layout) for split, paths in files.items()}
    ignored = [path.name for path in unread if is_table_file(path) or _split_of(path) is not None]
    notes = (f"not read: {listing(ignored)}",) if ignored else ()
    return Source(folder.name, tables, notes=notes)


def _label_folders(folder: Path) -> dict[str | None, RawTable]:
    """The splits of a folder of label folders (one split is named `None`); empty if it is no such folder."""
    folders: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and (split := _split_of(path)) is not None and has_label_folders(path):
            folders.setdefault(split, []).append(path)
    for split, paths in folders.items():
        if len(paths) > 1:
            raise DatasetError(
                f"more than one folder could be the {split} split: {listing(path.name for path in paths)}. Keep one of them"
            )
    if folders:
        return {split: read_label_folders(paths[0]) for split, paths in folders.items()}
    return {None: read_label_folders(folder)} if has_label_folders(folder) else {}


def _split_of(path: Path) -> str | None:
    """The split that a file holds by its name."""
    return SPLIT_STEMS.get(_SHARD.sub("", path.name.split(".")[0]).lower())


def _read_shards(split: str, paths: list[Path], layout: Layout) -> RawTable:
    _require_all_shards(split, paths)
    if len(paths) == 1:
        return read_table(paths[0], layout)
    first = read_table(paths[0], layout)
    written = TableWriter(first.table.schema)
    digest = hashlib.sha256()
    notes: list[str] = []
    shards: list[tuple[int, RawTable]] = []
    rows = 0
    for shard in itertools.chain([first], (read_table(path, layout) for path in paths[1:])):
        if shard.class_names != first.class_names:
            raise DatasetError(
                f"the shards of the {split} split declare different labels, or in another order. Write them again"
            )
        try:
            joined = pa.concat_tables([first.table.slice(0, 0), shard.table])
        except pa.ArrowInvalid as err:
            raise DatasetError(
                f"the shards of the {split} split differ in their columns or types: {shorten(str(err), 160)}. Write them again"
            ) from err
        for part in in_parts(joined):
            written.write(part)
        digest.update(shard.sha256.encode())
        notes += shard.notes
        shards.append((rows, shard.without_rows()))
        rows += shard.table.num_rows
    name = f"{split} ({len(paths)} shards)"
    return replace(
        first, table=written.table(), name=name, sha256=digest.hexdigest(), notes=tuple(notes), shards=shards
    )


def _require_all_shards(split: str, paths: list[Path]) -> None:
    """Refuse shards that are missing, or there twice."""
    folders = [_SHARD.search(path.name.split(".")[0]) for path in paths]
    numbers = [(int(match[1]), int(match[2])) for match in folders if match]
    if not numbers and len(paths) == 1:
        return
    if len(numbers) < len(paths) or len(set(numbers)) < len(numbers) or len({total for _, total in numbers}) > 1:
        raise DatasetError(
            f"more than one file could be the {split} split: {listing(path.name for path in paths)}. Keep one of them, or one "
            "set of shards"
        )
    total = numbers[0][1]
    missing = sorted(set(range(total)) - {number for number, _ in numbers})
    if missing or len(numbers) != total:
        raise DatasetError(
            f"the {split} split has {len(numbers)} of {total} shards; missing are those with the numbers "
            f"{', '.join(map(str, missing[:10]))} (counted from 0). Fetch them"
        )


def _open_saved(folder: Path) -> Source:
    """A folder that `DatasetDict.save_to_disk` wrote."""
    import datasets  # noqa: PLC0415  (takes a second)

    try:
        splits = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as err:
        raise DatasetError(
            f"the folder {folder.name!r} was written by save_to_disk, but cannot be read: {_reason(err)}. Save it again"
        ) from err
    tables, notes = _tables_of(splits)
    return Source(folder.name, tables, notes=notes)


def _open_hub(dataset_id: str, config: str | None, revision: str | None) -> Source:
    import datasets  # noqa: PLC0415  (takes a second)
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    try:
        resolved = _resolve_revision(dataset_id, revision)
        splits = datasets.load_dataset(dataset_id, config, revision=resolved)
    except Exception as err:  # (the client's transport is httpx or httpx2, by its version)
        problem = unreachable_hub(err, f"the data set {dataset_id!r}")
        if problem is not None:
            raise DatasetError(f"{problem}. It is not a file or folder here either") from err
        if isinstance(err, RuntimeError) and "scripts are no longer supported" in str(
            err
        ):  # (datasets 5 has no class for it)
            raise DatasetError(
                f"the data set {dataset_id!r} is a script ({_first_line(err).rpartition(' ')[2]}), and scripts from the Hub are not "
                "run. Use a copy of it in Parquet: another data set of that name on the Hub, or the branch "
                f"'refs/convert/parquet' ({dataset_id}@refs/convert/parquet)"
            ) from err
        if not isinstance(err, OSError | ValueError | HfHubHTTPError | datasets.exceptions.DatasetsError):
            raise
        raise DatasetError(
            f"the data set {dataset_id!r}{f' (config {config!r})' if config else ''} cannot be loaded from the Hub: "
            f"{_first_line(err)}. It is not a file or folder here either. Check the name, the network and, for a "
            f"private data set, `{log_in()}`"
        ) from err
    tables, notes = _tables_of(splits)
    return Source(dataset_id, tables, config, resolved, is_from_hub=True, notes=notes)


def _resolve_revision(dataset_id: str, revision: str | None) -> str | None:
    """The commit that a revision names now, so that what is read is what is reported; unchanged when offline."""
    from huggingface_hub import HfApi, constants  # noqa: PLC0415

    if constants.HF_HUB_OFFLINE:
        return revision
    return HfApi().dataset_info(dataset_id, revision=revision).sha


def _first_line(err: BaseException) -> str:
    return (str(err).strip() or type(err).__name__).splitlines()[0].rstrip(".")


def _reason(err: BaseException) -> str:
    return getattr(err, "strerror", None) or shorten(_first_line(err), 160)


def _tables_of(splits: Any) -> tuple[dict[str | None, RawTable], tuple[str, ...]]:
    """The splits with a known name, each with the hash of its canonical Parquet form; and a note on the others."""
    tables: dict[str | None, RawTable] = {}
    for name, split in splits.items():
        if name not in SPLIT_STEMS:
            continue
        classes = class_names_of(split)
        if SPLIT_STEMS[name] in tables:
            same = [other for other in splits if SPLIT_STEMS.get(other) == SPLIT_STEMS[name]]
            raise DatasetError(
                f"more than one split could be the {SPLIT_STEMS[name]} split: {listing(same)}. Keep one of them"
            )
        table = split.with_format("arrow")[:]
        tables[SPLIT_STEMS[name]] = RawTable(table, name, parquet_sha256(table), class_names=classes)
    if not tables:
        raise DatasetError(f"the data set has the splits {listing(splits)}, but none is called train or test")
    ignored = [name for name in splits if name not in SPLIT_STEMS]
    return tables, (f"splits that are not used: {listing(ignored)}",) if ignored else ()
