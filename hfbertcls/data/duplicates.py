"""Equal texts: within a split, across splits (which makes figures too good), and with different labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.dataset import TextDataset, TextSplit


@dataclass(frozen=True)
class Duplicates:
    """How often texts are repeated; capitals, blanks and Unicode forms make no difference between two texts.

    Without a split in which it happens, a mapping has no entry for it.
    """

    overlap: Mapping[str, int] = field(default_factory=dict)
    """Rows of the second split whose text is in the first one too, by `"train/test"`."""
    duplicate_rows: Mapping[str, int] = field(default_factory=dict)
    """Rows that repeat the text of an earlier row, by split."""
    conflicting_texts: Mapping[str, int] = field(default_factory=dict)
    """Texts that have different labels in different rows, by split."""

    def sentences(self, sizes: Mapping[str, int]) -> Iterator[str]:
        """What was found, in words; `sizes` are the rows of each split."""
        for pair, count in self.overlap.items():
            first, second = pair.split("/")
            if first == "train":
                points = 100 * count / sizes[second]
                yield (
                    f"{count:,} of the {sizes[second]:,} {second} texts are in train too: up to {points:.1f} points of "
                    f"the {second} accuracy may be memory"
                )
        for name, count in self.conflicting_texts.items():
            yield f"{_texts(count)} in {name} with different labels in different rows"
        for name, count in self.duplicate_rows.items():
            yield f"{count:,} of the {sizes[name]:,} rows of {name} repeat an earlier one"


def _texts(count: int) -> str:
    return "1 text stands" if count == 1 else f"{count:,} texts stand"


def find_duplicates(data: TextDataset) -> Duplicates:
    """Count equal texts (pairs of texts, for data sets of pairs) and what their labels say."""
    codes = text_codes(data)
    labels = _codes(data, ["label"])
    order = [name for name in ("train", "validation", "test") if name in data.splits]
    overlap, repeated, conflicting = {}, {}, {}
    for position, second in enumerate(order):
        for first in order[:position]:
            overlap[f"{first}/{second}"] = int(np.isin(codes[second], codes[first]).sum())
        width = int(labels[second].max(initial=0)) + 1
        pairs = np.unique(codes[second] * width + labels[second])
        repeated[second] = len(codes[second]) - len(np.unique(codes[second]))
        conflicting[second] = int((np.unique(pairs // width, return_counts=True)[1] > 1).sum())
    return Duplicates(_without_zeros(overlap), _without_zeros(repeated), _without_zeros(conflicting))


def _without_zeros(counts: dict[str, int]) -> dict[str, int]:
    return {key: count for key, count in counts.items() if count}


def first_occurrences(split: TextSplit) -> npt.NDArray[np.int64]:
    """For each row, the position of the first row with the same text (or pair of texts), of shape `(rows,)`."""
    columns = [folded(split.table.column(name)) for name in ("text", "text_pair") if name in split.table.column_names]
    _, first, inverse = np.unique(_numbered(columns), return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)


def text_codes(data: TextDataset) -> dict[str, npt.NDArray[np.int64]]:
    """A number for each row of each split, the same for equal texts (pairs of texts, for data sets of pairs)."""
    return _codes(data, [name for name in ("text", "text_pair") if name == "text" or data.text_pair_column])


def folded(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts in Unicode form NFKC, in small letters, with one blank for each run of blanks."""
    small = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))
    return pc.utf8_trim(pc.replace_substring_regex(small, r"[\s\p{Z}]+", " "), " ")


def _codes(data: TextDataset, columns: list[str]) -> dict[str, npt.NDArray[np.int64]]:
    """A number for each row of each split, equal for equal values of the columns."""
    sizes = np.cumsum([0, *(len(split) for split in data.splits.values())])
    code = _numbered(
        [
            pa.chunked_array([_comparable(split.table.column(name), name) for split in data.splits.values()])
            for name in columns
        ]
    )
    return {name: code[start:end] for name, (start, end) in zip(data.splits, pairwise(sizes), strict=True)}


def _numbered(columns: list[pa.ChunkedArray]) -> npt.NDArray[np.int64]:
    """A number for each row, equal for rows that are equal in all columns."""
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        encoded = pc.dictionary_encode(column.combine_chunks())
        code = code * (len(encoded.dictionary) + 1) + np.asarray(encoded.indices)
        code = np.unique(code, return_inverse=True)[1].astype(np.int64)
    return code


def _comparable(column: pa.ChunkedArray, name: str) -> pa.Array:
    """Texts folded, lists of labels as one string each: pyarrow encodes no lists."""
    values = (folded(column) if name.startswith("text") else column).combine_chunks()
    if not pa.types.is_list(values.type):
        return values
    return pa.array(["\0".join(sorted(labels)) for labels in values.to_pylist()], pa.string())
