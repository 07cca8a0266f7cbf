"""Duplicates and near-duplicates: within a split, across splits, and with different labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from hfbertcls.data.dataset import SPLIT_NAMES, TextDataset, TextSplit
from hfbertcls.data.duplicates import Duplicates, conflicting, first_equal, folded, memorised, row_codes, text_codes
from hfbertcls.data.on_disk import in_parts
from hfbertcls.diagnosis.findings import Finding, percent
from hfbertcls.diagnosis.near_duplicates import BETWEEN_TEXTS, Signatures, near_matches, signatures


LEAKAGE_LIMIT = 0.05
"""Fraction of the validation or test texts that may be in train too; with more, training is refused.

An accuracy can be too good by as many points. Of 26 public sets, 25 have at most 2 %, and one 28 %."""
MOST_ROWS = 100_000
"""Training looks for near-duplicates in at most so many rows; `doctor` in any number."""
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NearDuplicates:
    """How many near-duplicates there are, exact duplicates left out; splits without any have no entry."""

    overlap: Mapping[str, int] = field(default_factory=dict)
    """Rows of the second split that are near-duplicates of a row of the first, by `"train/test"`."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Rows that are near-duplicates of an earlier row, by split."""
    conflicts: Mapping[str, int] = field(default_factory=dict)
    """Of these, those with another label than that row, by split."""
    examples: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The first pair of row numbers, by `"train/test"` or `"train"`, and by `"train conflict"`."""


def find_near_duplicates(data: TextDataset) -> NearDuplicates:
    """Find texts that differ in marks only, and texts of high similarity (see `near_duplicates`).

    Pairs are near-duplicates if both their texts are equal or near-duplicates. Exact duplicates are not counted.
    """
    names = [name for name in SPLIT_NAMES if name in data.splits]
    codes = text_codes(data)
    position_of: dict[str, int] = {}
    text_of = {name: _numbered_letters(data.splits[name], position_of) for name in names}
    texts = list(position_of)
    del position_of
    sketches = signatures(texts)
    overlap, rows, conflicts, examples = {}, {}, {}, {}
    for first, second in combinations_with_replacement(names, 2):
        within = first == second
        # The first row of each text: exact duplicates are counted elsewhere.
        query_rows = _first_of_each(codes[second])
        if not within:
            query_rows = query_rows[~np.isin(codes[second][query_rows], codes[first])]
        target_rows = query_rows if within else _first_of_each(codes[first])
        partner = _partners(texts, sketches, text_of[second][query_rows], text_of[first][target_rows], within=within)
        matched = np.flatnonzero(partner >= 0)
        if len(matched) == 0:
            continue
        mine, theirs = query_rows[matched], target_rows[partner[matched]]
        key = first if within else f"{first}/{second}"
        pair = (int(data.splits[first].rows[theirs[0]]), int(data.splits[second].rows[mine[0]]))
        examples[key] = pair
        if not within:
            overlap[key] = int(np.isin(codes[second], codes[second][mine]).sum())
            continue
        rows[key] = len(matched)
        differing = _labels_differ(data.splits[first], theirs, mine)
        if differing.any():
            conflicts[key] = int(differing.sum())
            where = int(differing.argmax())
            examples[f"{key} conflict"] = (
                int(data.splits[first].rows[theirs[where]]),
                int(data.splits[first].rows[mine[where]]),
            )
    return NearDuplicates(overlap, rows, conflicts, examples)


def _numbered_letters(split: TextSplit, position_of: dict[str, int]) -> Ids:
    """A number for each text (or pair): the same if letters and digits are the same, in any case.

    Args:
        split: the rows.
        position_of: the numbers so far; new ones are added.
    """
    numbers = np.empty(len(split), dtype=np.int64)
    begin = 0
    for part in in_parts(split.table.select(split.text_fields)):
        columns = [
            pc.utf8_trim(pc.replace_substring_regex(folded(column), r"[^\p{L}\p{N}\p{M}]+", " "), " ").to_pylist()
            for column in part.columns
        ]
        for position, texts in enumerate(zip(*columns, strict=True), start=begin):
            numbers[position] = position_of.setdefault(BETWEEN_TEXTS.join(texts), len(position_of))
        begin += len(part)
    return numbers


def _first_of_each(codes: Ids) -> Ids:
    return np.sort(np.unique(codes, return_index=True)[1]).astype(np.int64)


def _partners(texts: list[str], sketches: Signatures, queries: Ids, targets: Ids, *, within: bool) -> Ids:
    """For each query the position of a near-duplicate among the targets, else -1; within a split only earlier ones."""
    distinct_targets, position_of = np.unique(targets, return_index=True)
    distinct = queries[_first_of_each(queries)]
    among = None if within else targets[np.sort(position_of)]
    if among is not None:
        distinct = distinct[~np.isin(distinct, among)]
    match_of = np.full(len(texts), -1, dtype=np.int64)
    for text, match in near_matches(texts, sketches, distinct, among).items():
        match_of[text] = match
    is_target = np.isin(queries, distinct_targets)
    partner = np.full(len(queries), -1, dtype=np.int64)
    partner[is_target] = position_of[np.searchsorted(distinct_targets, queries[is_target])]
    if within:
        partner[partner >= np.arange(len(queries))] = -1
    nearly = (partner < 0) & (match_of[queries] >= 0)
    partner[nearly] = position_of[np.searchsorted(distinct_targets, match_of[queries[nearly]])]
    if "" in texts:  # (only marks: nothing to compare)
        partner[queries == texts.index("")] = -1
    return partner


def _labels_differ(split: TextSplit, first: Ids, second: Ids) -> npt.NDArray[np.bool_]:
    labels = row_codes(split, ["label"])
    return np.asarray(labels[first] != labels[second])


def repeat_findings(
    data: TextDataset, equal: Duplicates, near: NearDuplicates | None, *, allow_leakage: bool
) -> Iterator[Finding]:
    """The findings about duplicates and near-duplicates."""
    sizes = {name: len(split) for name, split in data.splits.items()}
    codes = text_codes(data)
    for pair, count in equal.overlap.items():
        first, second = pair.split("/")
        fact = (
            f"{count:,} of the {sizes[second]:,} {second} {data.noun}s ({percent(count, sizes[second])}) {_is(count)} in {first} too; "
            f"the first is in {_first_in_both(data, codes, first, second)}"
        )
        harm = memorised(f"the {second}", count, sizes[second], data.answer_noun)
        if first != "train":
            yield Finding("overlap", "info", fact)
        elif count <= LEAKAGE_LIMIT * sizes[second]:
            yield Finding("overlap", "warning", fact, harm[:1].upper() + harm[1:])
        else:
            yield Finding(
                "leakage",
                "warning" if allow_leakage else "error",
                f"{fact}: {harm} ({100 * LEAKAGE_LIMIT:.0f} % of the rows is tolerated)",
                "Remove these rows from one of the two, or pass --allow-leakage to train nevertheless",
            )
    for name, count in equal.conflicting_texts.items():
        first = _first_conflict(data.splits[name], codes[name])
        yield Finding(
            "conflicting_texts",
            "warning",
            f"{conflicting(data, name, count)}; the first is in {first}",
            f"Decide on one {data.answer_noun} for each",
        )
    for name, count in equal.duplicate_rows.items():
        repeated = int(np.setdiff1d(np.arange(sizes[name]), _first_of_each(codes[name]))[0])
        yield Finding(
            "duplicate_rows",
            "warning" if count > LEAKAGE_LIMIT * sizes[name] else "info",
            f"{count:,} of the {sizes[name]:,} rows of {name} ({percent(count, sizes[name])}) "
            f"{'repeats' if count == 1 else 'repeat'} the {data.noun} of an earlier one; the first is {data.splits[name].place(int(data.splits[name].rows[repeated]))}",
        )
    if near is None:
        yield Finding(
            "near_search_left_out",
            "info",
            f"near-duplicates were not looked for in more than {MOST_ROWS:,} rows",
            "hfbertcls doctor does so for any number",
        )
        return
    for pair, count in near.overlap.items():
        first, second = pair.split("/")
        is_leakage = first == "train" and count > LEAKAGE_LIMIT * sizes[second]
        one, other = near.examples[pair]
        yield Finding(
            "near_overlap",
            "warning" if is_leakage else "info",
            f"{count:,} of the {sizes[second]:,} {second} {data.noun}s ({percent(count, sizes[second])}) {_near(count)} of "
            f"one in {first}, such as {data.splits[second].place(other)} to {data.splits[first].place(one)}",
        )
    for name, count in near.rows.items():
        one, other = near.examples[name]
        yield Finding(
            "near_duplicate_rows",
            "info",
            f"{count:,} of the {sizes[name]:,} rows of {name} ({percent(count, sizes[name])}) {_near(count)} of "
            f"an earlier one, such as {data.splits[name].place(other)} to {data.splits[name].place(one)}",
        )
    for name, count in near.conflicts.items():
        one, other = near.examples[f"{name} conflict"]
        yield Finding(
            "near_conflicts",
            "info",
            f"{count:,} near-duplicate{'s' * (count != 1)} in {name} {'has' if count == 1 else 'have'} another {data.answer_noun} than the earlier "
            f"row; for example {data.splits[name].place(other)} and {data.splits[name].place(one)}",
        )


def _near(count: int) -> str:
    return "is a near-duplicate" if count == 1 else "are near-duplicates"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _first_in_both(data: TextDataset, codes: Mapping[str, Ids], first: str, second: str) -> str:
    position = int(np.isin(codes[second], codes[first]).argmax())
    return data.splits[second].place(int(data.splits[second].rows[position]))


def _first_conflict(split: TextSplit, codes: Ids) -> str:
    labels = row_codes(split, ["label"])
    return split.place(int(split.rows[int((labels != labels[first_equal(codes)]).argmax())]))
