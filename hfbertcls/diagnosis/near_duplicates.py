"""Near-duplicates by MinHash: texts that differ in a few letters, words or marks."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hfbertcls.progress import work


SIMILARITY = 0.8
"""Jaccard similarity of runs of four letters that makes two texts near-duplicates. For a typo it is 0.6: a difference
in one place of at most three letters, and of at most one letter in fifteen."""
_SIMILAR_BUT_FOR_A_TYPO = 0.6
_LETTERS_OF_A_TYPO, _LETTERS_PER_LETTER = 3, 15
SHORTEST = 20
"""Shorter texts are near-duplicates only if all letters and digits are equal: one letter makes another word."""
BETWEEN_TEXTS = " / "
"""Stands between the texts of a pair; a text of letters and digits does not hold it."""
_RUN = 4
_BANDS, _ROWS = 20, 6
_LONGEST = 20_000  # letters of a text that are looked at
_FACTORS = np.array([0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F], dtype=np.uint32)
Signatures = npt.NDArray[np.uint16]


def signatures(texts: Sequence[str]) -> Signatures:
    """MinHash signatures (by datasketch) of the sets of runs of four letters, of shape `(len(texts), 120)`.

    The similarity of two sets is the expected fraction of places in which their signatures agree (Broder 1997, "On the
    resemblance and containment of documents"). Of each place 16 bits are kept: places that differ agree in them by
    chance in one of 65,536 cases.

    Args:
        texts: of which only letters and digits were kept.
    """
    from datasketch import MinHash  # noqa: PLC0415  (takes a second)

    result = np.empty((len(texts), _BANDS * _ROWS), dtype=np.uint16)
    runs = (_runs(text).tolist() for text in texts)
    sketches = MinHash.generator(runs, num_perm=_BANDS * _ROWS, seed=1, hashfunc=int, scheme="affine32")
    with work("Looking for near-duplicates", len(texts), "texts") as advance:
        for position, sketch in enumerate(sketches):
            result[position] = sketch.hashvalues & 0xFFFF
            advance(1)
    return result


def near_matches(
    texts: Sequence[str],
    sketches: Signatures,
    queries: npt.NDArray[np.int64],
    among: npt.NDArray[np.int64] | None = None,
) -> dict[int, int]:
    """A near-duplicate for each text that has one.

    Candidates agree in at least one of 20 bands of six places of the signature (Leskovec, Rajaraman and Ullman,
    "Mining of Massive Datasets", section 3.4: a pair of similarity s is one with probability 1 - (1 - s^6)^20, 0.998
    for 0.8); of those in the same bucket, the first and the nearest before are looked at, so the time does not grow
    with the square of the rows. Each is then compared by the exact similarity, so there are no false matches.

    Args:
        texts: distinct, of which only letters and digits were kept.
        sketches: their `signatures`.
        queries: positions of the texts to find a match for.
        among: positions of the texts to find it in; None looks in those of `queries` that come earlier.

    Returns:
        The position of the matching text by that of the query.
    """
    candidates = _candidates(sketches, queries, among)
    if len(candidates) == 0:
        return {}
    agreeing = np.concatenate(
        [(sketches[part[:, 0]] == sketches[part[:, 1]]).mean(axis=1) for part in _parts(candidates)]
    )
    candidates = candidates[agreeing >= _SIMILAR_BUT_FOR_A_TYPO - 0.15]
    matches: dict[int, int] = {}
    for query, other in candidates.tolist():
        if query not in matches and _are_near_duplicates(texts[query], texts[other]):
            matches[query] = other
    return matches


def _candidates(
    sketches: Signatures, queries: npt.NDArray[np.int64], among: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.int64]:
    """Distinct pairs (query, other) of shape `(pairs, 2)` in the same bucket."""
    rows = queries if among is None else np.concatenate([among, queries])
    is_query = np.arange(len(rows)) >= (0 if among is None else len(among))
    pairs = np.zeros(0, dtype=np.int64)  # (each as query * number of texts + other)
    for start in range(0, _BANDS * _ROWS, _ROWS):
        band = sketches[rows, start : start + _ROWS].astype(np.uint64)
        key = np.zeros(len(rows), dtype=np.uint64)
        for place in range(_ROWS):
            key = (key ^ band[:, place]) * np.uint64(0x9E3779B97F4A7C15)
        order = np.argsort(key, kind="stable")  # within a bucket: first those to find, in order, then the queries
        begins = np.flatnonzero(np.diff(key[order], prepend=~key[order[:1]]))
        bucket = np.repeat(begins, np.diff(begins, append=len(order)))
        place_of = np.arange(len(order))
        before = place_of if among is None else np.where(is_query[order], -1, place_of)
        nearest = np.maximum.accumulate(before) - (among is None)
        for other in (nearest, bucket):
            fits = is_query[order] & (other >= bucket) & (other < place_of)
            if among is not None:
                fits &= ~is_query[order[other]]
            pairs = np.union1d(pairs, rows[order[fits]] * len(sketches) + rows[order[other[fits]]])
    return np.stack(np.divmod(pairs, len(sketches)), axis=1)


def _parts(pairs: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    return np.array_split(pairs, len(pairs) // 50_000 + 1)


def _runs(text: str) -> npt.NDArray[np.uint32]:
    """The distinct runs of four letters of a text, as hashes."""
    letters = np.frombuffer(text[:_LONGEST].encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    count = max(1, len(letters) - _RUN + 1)
    hashes = np.zeros(count, dtype=np.uint32)
    for place, factor in enumerate(_FACTORS):
        part = letters[place : place + count]
        hashes[: len(part)] = (hashes[: len(part)] ^ part) * factor
        hashes ^= hashes >> np.uint32(15)
    return np.unique(hashes)


def _are_near_duplicates(first: str, second: str) -> bool:
    """Whether texts are near-duplicates; pairs are where each text is, or is equal."""
    texts = zip(first.split(BETWEEN_TEXTS), second.split(BETWEEN_TEXTS), strict=True)
    return all(one == other or _are_alike(one, other) for one, other in texts)


def _are_alike(first: str, second: str) -> bool:
    if min(len(first), len(second)) < SHORTEST:
        return False
    needed = _SIMILAR_BUT_FOR_A_TYPO if _differ_by_a_typo(first, second) else SIMILARITY
    return _similarity(first, second) >= needed


def _differ_by_a_typo(first: str, second: str) -> bool:
    """Whether all letters but a few in one place are the same."""
    begin = _common_beginning(first, second)
    end = _common_beginning(first[begin:][::-1], second[begin:][::-1])
    length = max(len(first), len(second))
    return length - begin - end <= min(_LETTERS_OF_A_TYPO, length // _LETTERS_PER_LETTER)


def _common_beginning(first: str, second: str) -> int:
    shorter = min(len(first), len(second))
    pairs = zip(first, second, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), shorter)


def _similarity(first: str, second: str) -> float:
    """Jaccard similarity of the sets of runs: 0 to 1."""
    one, other = _runs(first), _runs(second)
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)
