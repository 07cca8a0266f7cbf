"""Duplicates: within a split, across splits (which inflates metrics), and with different labels."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.data.on_disk import in_parts
from hfbertcls.tasks.cells import holds_lists


@dataclass(frozen=True)
class Duplicates:
    """How many duplicates there are; capitals, blanks and Unicode forms make no difference.

    A mapping has no entry for a split without any.
    """

    overlap: Mapping[str, int] = field(default_factory=dict)
    """Rows of the second split whose text is in the first one too, by `"train/test"`."""
    duplicate_rows: Mapping[str, int] = field(default_factory=dict)
    """Rows that repeat the text of an earlier row, by split."""
    conflicting_texts: Mapping[str, int] = field(default_factory=dict)
    """Texts that have different labels in different rows, by split."""

    def sentences(self, data: TextDataset) -> Iterator[str]:
        """The sentences of the log."""
        for pair, count in self.overlap.items():
            first, second = pair.split("/")
            if first == "train":
                rows = len(data.splits[second])
                yield (
                    f"{count:,} of the {rows:,} {second} {data.noun}s {'is' if count == 1 else 'are'} in train too: "
                    f"{memorised(f'the {second}', count, rows, data.answer_noun)}"
                )
        for name, count in self.conflicting_texts.items():
            yield conflicting(data, name, count)
        for name, count in self.duplicate_rows.items():
            yield f"{count:,} of the {len(data.splits[name]):,} rows of {name} {'repeats' if count == 1 else 'repeat'} an earlier one"


def memorised(whose: str, count: int, rows: int, answer_noun: str) -> str:
    """What rows that are in train too do to the metrics of a split.

    Args:
        whose: metrics, in words.
        count: rows of the split that are in train too.
        rows: of the split.
        answer_noun: `label` or `number`.
    """
    if answer_noun == "number":
        return f"{whose} metrics may be too good, because the model may have memorised them"
    return f"up to {100 * count / rows:.1f} points of {whose} accuracy may come from memorisation"


def conflicting(data: TextDataset, split: str, count: int) -> str:
    """That texts have different labels."""
    standing = f"1 {data.noun} stands" if count == 1 else f"{count:,} {data.noun}s stand"
    return f"{standing} in {split} with different {data.answer_noun}s in different rows"


def find_duplicates(data: TextDataset) -> Duplicates:
    """Count duplicates, and those whose labels conflict; for data sets of pairs, duplicate pairs."""
    codes = text_codes(data)
    order = [name for name in ("train", "validation", "test") if name in data.splits]
    overlap, repeated, conflicting = {}, {}, {}
    for position, second in enumerate(order):
        for first in order[:position]:
            overlap[f"{first}/{second}"] = int(np.isin(codes[second], codes[first]).sum())
        repeated[second] = len(codes[second]) - len(np.unique(codes[second]))
        if repeated[second]:
            # One row for each text and label: a text that still occurs twice has two labels.
            with_label = codes[second] ^ row_codes(data.splits[second], ["label"])
            once = codes[second][np.unique(with_label, return_index=True)[1]]
            conflicting[second] = int((np.unique(once, return_counts=True)[1] > 1).sum())
    return Duplicates(_without_zeros(overlap), _without_zeros(repeated), _without_zeros(conflicting))


def _without_zeros(counts: dict[str, int]) -> dict[str, int]:
    return {key: count for key, count in counts.items() if count}


def first_occurrences(split: TextSplit) -> npt.NDArray[np.int64]:
    """For each row, the position of the first row with the same text (or pair of texts), of shape `(rows,)`."""
    return first_equal(row_codes(split, split.text_fields))


def first_equal(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each number, the position of the first that is equal to it, of the same shape."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)


def text_codes(data: TextDataset) -> dict[str, npt.NDArray[np.int64]]:
    """A number for each row of each split, the same for duplicates (of pairs, for data sets of pairs).

    The numbers are 64 bits of a hash: among a million different texts two have the same with a probability of 3e-8.
    """
    return {name: row_codes(split, split.text_fields) for name, split in data.splits.items()}


def folded(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Texts in Unicode form NFKC, in small letters, with one blank for each run of blanks."""
    small = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))
    return pc.utf8_trim(pc.replace_substring_regex(small, r"[\s\p{Z}]+", " "), " ")


def row_codes(split: TextSplit, columns: list[str]) -> npt.NDArray[np.int64]:
    """A number for each row, the same for rows with equal columns, of shape `(rows,)`; cached in the split."""
    cached = split.codes.get(tuple(columns))
    if cached is not None:
        return cached
    codes = np.empty(len(split), dtype=np.int64)
    begin = 0
    for part in in_parts(split.table.select(columns)):
        values = zip(*(_comparable(part.column(name), name) for name in columns), strict=True)
        codes[begin : begin + len(part)] = np.fromiter(map(_code, values), dtype=np.int64, count=len(part))
        begin += len(part)
    split.codes[tuple(columns)] = codes
    return codes


def _code(values: tuple[bytes, ...]) -> int:
    # (UTF-8 has no byte 0xff, so it separates the values)
    return int.from_bytes(hashlib.blake2b(b"\xff".join(values), digest_size=8).digest(), "little", signed=True)


def _comparable(column: pa.Array, name: str) -> list[bytes]:
    """Texts folded, lists of labels in their order by name; numbers as they are written."""
    if holds_lists(column):
        return ["\0".join(sorted(labels)).encode() for labels in column.to_pylist()]
    values = folded(column) if name.startswith("text") else column.cast(pa.string())
    return values.cast(pa.large_binary() if pa.types.is_large_string(values.type) else pa.binary()).to_pylist()  # type: ignore[no-any-return]
