"""Text files in the encodings that people save them in: UTF-8, UTF-16, Windows-1252; anything else is refused."""

import io
import re
from collections.abc import Callable
from typing import BinaryIO

from hfbertcls.errors import DatasetError


Opened = Callable[[], BinaryIO]
"""Opens a file at its beginning, each time."""
_BLOCK = 1 << 20
_NON_ASCII_RUN = re.compile(rb"[\x80-\xff]+")
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig", "UTF-8 with a byte order mark"),
    (b"\xff\xfe", "utf-16", "UTF-16"),
    (b"\xfe\xff", "utf-16", "UTF-16"),
)


def find_encoding(opened: Opened, name: str, guessed_up_to: int | None = None) -> tuple[str, tuple[str, ...]]:
    """Read a text file once, in blocks, to find its encoding; see `decode` for the choice.

    Args:
        opened: the file.
        name: its base name, for messages.
        guessed_up_to: bytes; a larger file that is not UTF-8 is refused, a smaller one is read whole to detect its
            encoding.

    Returns:
        A name for Python's codecs, and notes about it.

    Raises:
        DatasetError: as `decode`.
    """
    with opened() as stream:
        beginning = stream.read(4)
    marked = next((mark for mark in _MARKS if beginning.startswith(mark[0])), None)
    encoding = marked[1] if marked else "utf-8"
    notes: tuple[str, ...] = (f"{name}: read as {marked[2]}",) if marked else ()
    try:
        with opened() as stream, io.TextIOWrapper(stream, encoding, newline="") as text:
            while (block := text.read(_BLOCK)) and "\0" not in block:
                pass
        if not block:
            return encoding, notes
    except UnicodeDecodeError as err:
        with opened() as stream:
            if guessed_up_to is not None and len(stream.read(guessed_up_to + 1)) > guessed_up_to:
                raise DatasetError(
                    f"{name} is not UTF-8 ({err.reason}). Save the file again as UTF-8 (iconv -f ENCODING -t UTF-8)"
                ) from err
    with opened() as stream:
        _, notes = decode(stream.read(), name)
    return "cp1252", notes


def decode(data: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    """Decode the bytes of a text file: UTF-8 or UTF-16 with a byte order mark, UTF-8, else Windows-1252 (with a note).

    Raises:
        DatasetError: for NUL bytes, for encodings mixed in one file, and for what is neither of those encodings.
    """
    for mark, encoding, kind in _MARKS:
        if data.startswith(mark):
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError as err:
                raise DatasetError(
                    f"{name} begins like {encoding.upper()} but is not valid at byte {err.start:,}: {err.reason}. "
                    "Save the file again as UTF-8"
                ) from err
            _refuse_nul(text.encode(), name)
            return text, (f"{name}: read as {kind}",)
    _refuse_nul(data, name)
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError as err:
        line = data.count(b"\n", 0, err.start) + 1
        if err.reason == "unexpected end of data" and len(data) - err.start > 1:
            raise DatasetError(
                f"{name}, line {line:,}: the file ends in the middle of a letter, so it was cut off. Fetch or save it again"
            ) from err
        reason = _why_not_windows_1252(data)
        if reason is not None:
            raise DatasetError(
                f"{name}, line {line:,}: byte 0x{data[err.start]:02x} is not UTF-8, and {reason}. Save the file again "
                "as UTF-8 (a spreadsheet offers 'CSV UTF-8'; on a command line: iconv -f ENCODING -t UTF-8)"
            ) from err
    note = f"{name}: not UTF-8 (first at line {line:,}), read as Windows-1252; save it as UTF-8 if letters look wrong"
    return data.decode("cp1252"), (note,)


def _refuse_nul(data: bytes, name: str) -> None:
    if b"\x00" in data:
        line = data.count(b"\n", 0, data.index(b"\x00")) + 1
        raise DatasetError(
            f"{name}, line {line:,}: a NUL byte, which no text has: the file is damaged, or UTF-16 without its mark. "
            "Save it again as UTF-8, or remove the byte"
        )


def _why_not_windows_1252(data: bytes) -> str | None:
    """Why bytes that are not UTF-8 are not Windows-1252 either; None if they may be."""
    runs = _NON_ASCII_RUN.findall(data)
    if any(_is_utf8(run) for run in runs):
        return "other lines are: two encodings are mixed in one file"
    if any(byte in run for run in runs for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D)):
        return "it is no Windows-1252 either"
    high = sum(map(len, runs))
    letters = sum(data.count(byte) for byte in (*range(0x41, 0x5B), *range(0x61, 0x7B)))
    if high > letters:
        return "most of its letters would be accented in Windows-1252, so it is probably another alphabet"
    return None


def _is_utf8(run: bytes) -> bool:
    try:
        run.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
