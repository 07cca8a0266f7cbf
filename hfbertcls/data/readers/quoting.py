"""Whether quotation marks enclose the fields of a delimited file, or belong to its texts."""

import contextlib
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from hfbertcls.data.readers.encodings import Opened
from hfbertcls.data.readers.layout import Layout
from hfbertcls.errors import DatasetError


_BLOCK = 1 << 20
_EITHER = "Pass --quoting none if quotation marks are letters of the texts, --quoting standard if they enclose fields"


def find_quoting(
    opened: Opened, name: str, encoding: str, separator: str, layout: Layout
) -> tuple[bool, tuple[str, ...]]:
    """Detect from the whole file whether quotation marks enclose fields.

    Args:
        opened: the file.
        name: its base name, for messages.
        encoding: a name for Python's codecs.
        separator: of its fields.
        layout: as the user set it.

    Returns:
        Whether they do, and notes.

    Raises:
        DatasetError: if both readings are possible, or neither is; the message names the line.
    """
    if layout.quoting != "auto":
        return layout.quoting == "standard", ()
    if not _begins_a_field(opened, encoding, separator):
        return True, ()  # (both readings are the same)
    limit = csv.field_size_limit(2**31 - 1)
    try:
        with opened() as stream, io.TextIOWrapper(stream, encoding, newline="") as lines:
            if separator != "\t":
                width, swallowed = _swallowing_fields(lines, separator)
            else:
                seen = _Lines(lines, separator)
                standard_error = seen.read()
    finally:
        csv.field_size_limit(limit)
    if separator != "\t":
        if swallowed and _are_rows(opened, encoding, separator, width, swallowed):
            raise DatasetError(_doubt(name, swallowed[0]))
        return True, ()
    if seen.header_is_quoted:
        return True, ()
    if standard_error is not None:
        reason = standard_error
    elif seen.swallowed:
        if seen.first_other is not None:
            raise DatasetError(_doubt(name, seen.swallowed[0]))
        begins, ends = seen.swallowed[0]
        reason = f"the one that begins line {begins:,} would swallow the rows up to line {ends:,}"
    elif seen.first_other is None and (seen.stray is not None or seen.needless is not None):
        reason = f"line {seen.stray or seen.needless:,} has some that enclose no field"
    else:
        return True, ()
    if seen.first_other is not None:
        number, fields = seen.first_other
        raise DatasetError(
            f"{name}: {reason}. Without quoting, line {number:,} cannot be read: {fields} fields, but the header has "
            f"{seen.width}. Write the file with quoting, as pandas' to_csv(sep='\\t') does, or take tabs and line breaks out of the "
            "texts and pass --quoting none"
        )
    return False, (
        f"{name}: quotation marks are read as letters of the texts, because {reason}. "
        "Pass --quoting standard if they enclose fields",
    )


def _begins_a_field(opened: Opened, encoding: str, separator: str) -> bool:
    """Whether a quotation mark stands where a field begins."""
    with opened() as stream, io.TextIOWrapper(stream, encoding, newline="") as text:
        before = "\n"
        while block := text.read(_BLOCK):
            whole = before + block
            if any(f'{mark}"' in whole for mark in ("\n", "\r", separator)):
                return True
            before = block[-1]
    return False


def _doubt(name: str, swallowed: tuple[int, int]) -> str:
    """A message that asks for the reading."""
    begins, ends = swallowed
    return (
        f"{name}, line {begins:,}: the quotation mark that begins a field here is closed on line {ends:,}, but the lines between "
        f"look like rows of their own. {_EITHER}"
    )


def _swallowing_fields(lines: Iterable[str], separator: str) -> tuple[int, list[tuple[int, int]]]:
    """The number of fields of the header, and the lines of multi-line rows most of whose lines look like rows."""
    pieces: list[str] = []

    def watched() -> Iterator[str]:
        for line in lines:
            pieces.append(line)
            yield line

    reader = csv.reader(watched(), delimiter=separator, strict=True)
    width, swallowed = 0, []
    with contextlib.suppress(csv.Error):  # (reading the rows raises it)
        for fields in reader:
            if len(pieces) > 1:
                fits = [piece.count(separator) + 1 == width for piece in pieces if piece.strip("\r\n")]
                if width > 1 and _look_like_rows(fits):
                    swallowed.append((reader.line_num - len(pieces) + 1, reader.line_num))
            width = width or len(fields)
            pieces.clear()
    return width, swallowed


def _look_like_rows(fits: Sequence[bool]) -> bool:
    """Whether lines are rows, by whether each has as many fields as the header."""
    return len(fits) > 1 and fits[0] and fits[-1] and 2 * sum(fits) >= len(fits)


@dataclass
class _Lines:
    """The lines of a file, and what their quotation marks look like under the standard reading."""

    lines: Iterable[str]
    separator: str
    width: int = 0
    """Fields of the header."""
    header_is_quoted: bool = False
    first_other: tuple[int, int] | None = None
    """The first line that, without quoting, has another number of fields than the header; and that number."""
    stray: int | None = None
    """The first line with a quotation mark in a field that does not begin with one: no program writes it so."""
    swallowed: list[tuple[int, int]] = field(default_factory=list)
    """First and last lines of multi-line fields most of whose lines look like rows."""
    _number: int = 0
    _fits: list[bool] = field(default_factory=list)
    _unneeded: dict[int, int] = field(default_factory=dict)
    _bare: set[int] = field(default_factory=set)

    @property
    def needless(self) -> int | None:
        """The first line with a quoted field that needs no quotation marks, in a column where not all have them."""
        return min((line for column, line in self._unneeded.items() if column in self._bare), default=None)

    def read(self) -> str | None:
        """Read all lines under the standard reading; returns why it fails, None if it does not."""
        reader = csv.reader(self._watched(), delimiter=self.separator, strict=True)
        error, header_is_read = None, False
        while error is None:
            begins = self._number + 1
            self._fits.clear()
            try:
                fields = next(reader)
            except StopIteration:
                return None
            except csv.Error as err:
                error = f"with quoting, line {begins:,} cannot be read ({err})"
                break
            if not fields:
                continue
            if not header_is_read:
                header_is_read, self.width = True, len(fields)
            if len(fields) != self.width:
                error = f"with quoting, line {begins:,} has {len(fields)} fields, but the header has {self.width}"
            elif self.width > 1 and _look_like_rows(self._fits):
                self.swallowed.append((begins, self._number))
        for _ in self._iterator:
            pass
        return error

    def _watched(self) -> Iterator[str]:
        self._iterator = self._counted()
        return self._iterator

    def _counted(self) -> Iterator[str]:
        """The lines, as they are asked for; each is looked at as if it were a row of its own."""
        for line in self.lines:
            self._number += 1
            bare = line.rstrip("\r\n")
            if bare:
                self._look_at(bare)
            yield line

    def _look_at(self, line: str) -> None:
        fields = line.count(self.separator) + 1
        if not self.width:
            self.width = fields
            self.header_is_quoted = '"' in line
            return
        fits = fields == self.width
        self._fits.append(fits)
        if not fits:
            self.first_other = self.first_other or (self._number, fields)
        elif '"' in line or len(self._bare) < self.width:
            for column, cell in enumerate(line.split(self.separator)):
                if not cell.startswith('"'):
                    if cell:
                        self._bare.add(column)
                    if '"' in cell:
                        self.stray = self.stray or self._number
                elif not ('"' in cell[1:-1] or "," in cell):
                    self._unneeded.setdefault(column, self._number)


def _are_rows(opened: Opened, encoding: str, separator: str, width: int, swallowed: Sequence[tuple[int, int]]) -> bool:
    """Whether the lines in a quoted field have a column whose values all occur in other rows, as labels do."""
    inside = set().union(*(range(first, last + 1) for first, last in swallowed))
    values: list[set[str]] = [set() for _ in range(width)]
    for _, cells in _cells(opened, encoding, separator, width, lambda number: number in inside):
        for seen, cell in zip(values, cells, strict=True):
            seen.add(cell)
    unknown = [set(cells) for cells in values]
    for _, cells in _cells(opened, encoding, separator, width, lambda number: number not in inside):
        for left, cell in zip(unknown, cells, strict=True):
            left.discard(cell)
    return any(cells and not left and "" not in cells for cells, left in zip(values, unknown, strict=True))


def _cells(
    opened: Opened, encoding: str, separator: str, width: int, is_read: Callable[[int], bool]
) -> Iterator[tuple[int, list[str]]]:
    """The fields, without quoting, of the lines that `is_read` selects and that have as many as the header."""
    with opened() as stream, io.TextIOWrapper(stream, encoding, newline="") as lines:
        for number, line in enumerate(lines, start=1):
            cells = line.rstrip("\r\n").split(separator)
            if is_read(number) and len(cells) == width:
                yield number, cells
