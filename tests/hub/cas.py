"""The content-addressed storage behind Xet transfers: xorbs (packed chunks) and shards (which chunks make which file).

Formats: the "Xet Protocol" specification in the documentation of the Hub.
"""

import struct
from dataclasses import dataclass, field

import lz4.frame


_ENTRY = 48
_END = b"\xff" * 32
_WITH_VERIFICATION = 1 << 31
_WITH_METADATA = 1 << 30


@dataclass(frozen=True)
class Term:
    """A run of chunks of one xorb."""

    xorb: str
    first: int
    end: int
    length: int


@dataclass
class Xorb:
    data: bytes
    offsets: list[int] = field(default_factory=list)
    """Where each chunk begins, header included; one more for the end."""


@dataclass
class ContentStore:
    xorbs: dict[str, Xorb] = field(default_factory=dict)
    files: dict[str, list[Term]] = field(default_factory=dict)
    """Terms by the file's Xet hash."""
    hash_of: dict[str, str] = field(default_factory=dict)
    """Xet hash by SHA-256."""

    def add_xorb(self, name: str, data: bytes) -> bool:
        is_new = name not in self.xorbs
        self.xorbs[name] = Xorb(data, list(_chunk_offsets(data)))
        return is_new

    def add_shard(self, data: bytes) -> list[str]:
        """Take in the files of a shard; returns their SHA-256."""
        position = _ENTRY
        added = []
        while data[position : position + 32] != _END:
            name = api_hash(data[position : position + 32])
            flags, count = struct.unpack_from("<II", data, position + 32)
            position += _ENTRY
            terms = []
            for _ in range(count):
                xorb = api_hash(data[position : position + 32])
                _, length, first, end = struct.unpack_from("<IIII", data, position + 32)
                terms.append(Term(xorb, first, end, length))
                position += _ENTRY
            if flags & _WITH_VERIFICATION:
                position += count * _ENTRY
            if flags & _WITH_METADATA:
                sha256 = api_hash(data[position : position + 32])
                self.hash_of[sha256] = name
                added.append(sha256)
                position += _ENTRY
            self.files[name] = terms
        return added

    def content(self, name: str) -> bytes:
        """The bytes of a file."""
        return b"".join(
            b"".join(chunk for chunk in _chunks(self.xorbs[term.xorb], term.first, term.end))
            for term in self.files[name]
        )

    def reconstruction(self, name: str, start: int, end: int, url: str) -> dict | None:
        """Which parts of which xorbs give the bytes from `start` to before `end`; None past the end of the file."""
        terms, fetch = [], {}
        position, skipped = 0, None
        for term in self.files[name]:
            xorb = self.xorbs[term.xorb]
            sizes = [len(chunk) for chunk in _chunks(xorb, term.first, term.end)]
            first, last = term.first, term.end
            chunk_start = position
            kept = []
            for offset, size in enumerate(sizes):
                if chunk_start < end and chunk_start + size > start:
                    kept.append((term.first + offset, chunk_start, size))
                chunk_start += size
            position = chunk_start
            if not kept:
                continue
            if skipped is None:
                skipped = start - kept[0][1]
            first, last = kept[0][0], kept[-1][0] + 1
            terms.append(
                {
                    "hash": term.xorb,
                    "unpacked_length": sum(size for *_, size in kept),
                    "range": {"start": first, "end": last},
                }
            )
            fetch.setdefault(term.xorb, []).append(
                {
                    "range": {"start": first, "end": last},
                    "url": f"{url}/{term.xorb}",
                    "url_range": {"start": xorb.offsets[first], "end": xorb.offsets[last] - 1},
                }
            )
        if skipped is None:
            return None
        return {"offset_into_first_range": skipped, "terms": terms, "fetch_info": fetch}


def api_hash(raw: bytes) -> str:
    """A hash as the API writes it: four little-endian words."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))


def _chunk_offsets(data: bytes):
    position = 0
    while position < len(data) and data[position : position + 7] != b"XETBLOB":
        yield position
        position += 8 + int.from_bytes(data[position + 1 : position + 4], "little")
    yield position


def _chunks(xorb: Xorb, first: int, end: int):
    for number in range(first, end):
        start = xorb.offsets[number]
        packed = int.from_bytes(xorb.data[start + 1 : start + 4], "little")
        scheme = xorb.data[start + 4]
        body = xorb.data[start + 8 : start + 8 + packed]
        if scheme == 0:
            yield body
        else:
            plain = lz4.frame.decompress(body)
            yield plain if scheme == 1 else _ungroup(plain)


def _ungroup(data: bytes) -> bytes:
    """Undo the grouping of every fourth byte."""
    count, rest = divmod(len(data), 4)
    plain = bytearray(len(data))
    position = 0
    for lane in range(4):
        size = count + (1 if lane < rest else 0)
        plain[lane::4] = data[position : position + size]
        position += size
    return bytes(plain)
