"""Equal and nearly equal texts: within a split, across splits, and with different labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbertcls.data.dataset import SPLIT_NAMES, TextDataset, TextSplit
from hfbertcls.data.duplicates import Duplicates, folded, text_codes
from hfbertcls.diagnosis.findings import Finding, place, share
from hfbertcls.diagnosis.near_duplicates import near_matches, signatures


LEAKAGE_LIMIT = 0.05
"""Share of the validation or test texts that may be in train too; with more, training is refused.

An accuracy can be too good by as many points. Of 26 public sets, 25 have at most 2 %, and one 28 %."""
MOST_ROWS = 200_000
"""Training looks for nearly equal texts in at most so many rows; `doctor` in any number."""
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NearDuplicates:
    """How often a text is nearly, but not quite, another one; splits without any have no entry."""

    overlap: Mapping[str, int] = field(default_factory=dict)
    """Rows of the second split that are nearly equal to a row of the first, by `"train/test"`."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Rows that are nearly equal to an earlier row, by split."""
    conflicts: Mapping[str, int] = field(default_factory=dict)
    """Of these, those with another label than that row, by split."""
    examples: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The first pair of row numbers, by `"train/test"` or `"train"`, and by `"train conflict"`."""


def find_near_duplicates(data: TextDataset) -> NearDuplicates:
    """Find texts that are equal but for marks, and texts of high similarity (see `near_duplicates`).

    Pairs of texts are compared as one text. A row that is quite equal to one of the other split is not counted again.
    """
    names = [name for name in SPLIT_NAMES if name in data.splits]
    codes = text_codes(data)
    letters = pa.chunked_array([_letters(data.splits[name]) for name in names])
    encoded = pc.dictionary_encode(letters.combine_chunks())
    texts: list[str] = encoded.dictionary.to_pylist()
    sizes = np.cumsum([0, *(len(data.splits[name]) for name in names)])
    every = np.asarray(encoded.indices).astype(np.int64)
    text_of = {name: every[start:end] for name, start, end in zip(names, sizes[:-1], sizes[1:], strict=True)}
    sketches = signatures(texts)
    overlap, rows, conflicts, examples = {}, {}, {}, {}
    for first, second in combinations_with_replacement(names, 2):
        within = first == second
        # The rows to look at: the first of each text, as rows that are quite equal are counted elsewhere.
        query_rows = _first_of_each(codes[second])
        if not within:
            query_rows = query_rows[~np.isin(codes[second][query_rows], codes[first])]
        target_rows = query_rows if within else _first_of_each(codes[first])
        partner = _partners(texts, sketches, text_of[second][query_rows], text_of[first][target_rows], within=within)
        found = np.flatnonzero(partner >= 0)
        if len(found) == 0:
            continue
        mine, theirs = query_rows[found], target_rows[partner[found]]
        key = first if within else f"{first}/{second}"
        pair = (int(data.splits[first].rows[theirs[0]]), int(data.splits[second].rows[mine[0]]))
        examples[key] = pair
        if not within:
            overlap[key] = int(np.isin(codes[second], codes[second][mine]).sum())
            continue
        rows[key] = len(found)
        differing = _labels_differ(data.splits[first], theirs, mine)
        if differing.any():
            conflicts[key] = int(differing.sum())
            where = int(differing.argmax())
            examples[f"{key} conflict"] = (
                int(data.splits[first].rows[theirs[where]]),
                int(data.splits[first].rows[mine[where]]),
            )
    return NearDuplicates(overlap, rows, conflicts, examples)


def _letters(split: TextSplit) -> pa.Array:
    """Of each text (both texts of a pair) only its letters and digits, in small letters, words parted by blanks."""
    columns = [
        pc.utf8_trim(pc.replace_substring_regex(folded(split.table.column(name)), r"[^\p{L}\p{N}\p{M}]+", " "), " ")
        for name in ("text", "text_pair")
        if name in split.table.column_names
    ]
    joined = (
        columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, pa.scalar(" / ", columns[0].type))
    )
    return joined.combine_chunks().cast(pa.large_string())


def _first_of_each(codes: Ids) -> Ids:
    return np.sort(np.unique(codes, return_index=True)[1]).astype(np.int64)


def _partners(texts: list[str], sketches: npt.NDArray[np.uint32], queries: Ids, targets: Ids, *, within: bool) -> Ids:
    """For each query the position of a target that is nearly equal, else -1; within a split only earlier ones."""
    position_of = {text: position for position, text in reversed(list(enumerate(targets.tolist())))}
    distinct = np.array(list(dict.fromkeys(queries.tolist())), dtype=np.int64)
    among = None if within else np.array(list(position_of), dtype=np.int64)
    if among is not None:
        distinct = distinct[~np.isin(distinct, among)]
    matches = near_matches(texts, sketches, distinct, among)
    partner = np.full(len(queries), -1, dtype=np.int64)
    for position, text in enumerate(queries.tolist()):
        if texts[text] == "":  # (only marks: nothing to compare)
            continue
        same = position_of.get(text, -1)
        if same >= 0 and not (within and same >= position):
            partner[position] = same
        elif text in matches:
            partner[position] = position_of[matches[text]]
    return partner


def _labels_differ(split: TextSplit, first: Ids, second: Ids) -> npt.NDArray[np.bool_]:
    labels = split.table.column("label").to_pylist()

    def label(position: int) -> object:
        return sorted(labels[position]) if isinstance(labels[position], list) else labels[position]

    return np.array([label(one) != label(other) for one, other in zip(first.tolist(), second.tolist(), strict=True)])


def repeat_findings(
    data: TextDataset, equal: Duplicates, near: NearDuplicates | None, *, allow_leakage: bool
) -> Iterator[Finding]:
    """What to say of equal and nearly equal texts."""
    sizes = {name: len(split) for name, split in data.splits.items()}
    codes = text_codes(data)
    for pair, count in equal.overlap.items():
        first, second = pair.split("/")
        fact = (
            f"{count:,} of the {sizes[second]:,} {second} texts ({share(count, sizes[second])}) {_is(count)} in {first} too; "
            f"the first is in {_first_shared(data, codes, first, second)}"
        )
        if first != "train":
            yield Finding("overlap", "note", fact)
        elif count <= LEAKAGE_LIMIT * sizes[second]:
            yield Finding("overlap", "warning", fact, f"Up to as many points of the {second} accuracy may be memory")
        else:
            yield Finding(
                "leakage",
                "warning" if allow_leakage else "refuses",
                f"{fact}: up to {100 * count / sizes[second]:.1f} points of the {second} accuracy may be memory "
                f"({100 * LEAKAGE_LIMIT:.0f} % is tolerated)",
                "Remove these rows from one of the two, or pass --allow-leakage to train nevertheless",
            )
    for name, count in equal.conflicting_texts.items():
        first = _first_conflict(data.splits[name], codes[name])
        yield Finding(
            "conflicting_texts",
            "warning",
            f"{count:,} {'text stands' if count == 1 else 'texts stand'} in {name} with different labels in different rows; the "
            f"first is in {first}",
            "Decide on one label for each",
        )
    for name, count in equal.duplicate_rows.items():
        repeated = int(np.setdiff1d(np.arange(sizes[name]), _first_of_each(codes[name]))[0])
        yield Finding(
            "duplicate_rows",
            "warning" if count > LEAKAGE_LIMIT * sizes[name] else "note",
            f"{count:,} of the {sizes[name]:,} rows of {name} ({share(count, sizes[name])}) "
            f"{'repeats' if count == 1 else 'repeat'} the text of an earlier one; the first is {place(int(data.splits[name].rows[repeated]), name)}",
        )
    if near is None:
        yield Finding(
            "near_search_left_out",
            "note",
            f"nearly equal texts were not looked for in more than {MOST_ROWS:,} rows",
            "hfbertcls doctor does so for any number",
        )
        return
    for pair, count in near.overlap.items():
        first, second = pair.split("/")
        is_leakage = first == "train" and count > LEAKAGE_LIMIT * sizes[second]
        one, other = near.examples[pair]
        yield Finding(
            "near_overlap",
            "warning" if is_leakage else "note",
            f"{count:,} of the {sizes[second]:,} {second} texts ({share(count, sizes[second])}) {_is(count)} nearly, not quite, equal "
            f"to one in {first}, such as {place(other, second)} to row {one:,} of {first}",
        )
    for name, count in near.rows.items():
        one, other = near.examples[name]
        yield Finding(
            "near_duplicate_rows",
            "note",
            f"{count:,} of the {sizes[name]:,} rows of {name} ({share(count, sizes[name])}) {_is(count)} nearly, not quite, equal to "
            f"an earlier one, such as {place(other, name)} to row {one:,}",
        )
    for name, count in near.conflicts.items():
        one, other = near.examples[f"{name} conflict"]
        yield Finding(
            "near_conflicts",
            "note",
            f"{count:,} of the nearly equal rows of {name} {'has' if count == 1 else 'have'} another label than the row that "
            f"{'it resembles' if count == 1 else 'they resemble'}, such as {place(other, name)} than row {one:,}",
        )


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _first_shared(data: TextDataset, codes: Mapping[str, Ids], first: str, second: str) -> str:
    position = int(np.isin(codes[second], codes[first]).argmax())
    return place(int(data.splits[second].rows[position]), second)


def _first_conflict(split: TextSplit, codes: Ids) -> str:
    labels = split.table.column("label").to_pylist()
    seen: dict[int, object] = {}
    for position, (code, label) in enumerate(zip(codes.tolist(), labels, strict=True)):
        value = tuple(sorted(label)) if isinstance(label, list) else label
        if seen.setdefault(code, value) != value:
            return place(int(split.rows[position]), split.name)
    raise ValueError("no text has two labels")
