"""How much a file from elsewhere may hold when it is unpacked: far more than texts ever do, far less than memory."""

from hfbertcls.errors import DatasetError


LARGEST_RATIO = 100
"""The largest ratio of unpacked to stored bytes. Text shrinks to a third or a tenth, repeated lines to a fiftieth."""
ALWAYS_ALLOWED = 1 << 26
"""Bytes that any file may hold."""
MOST_COLUMNS = 100_000


def most_bytes(stored: int) -> int:
    """How many bytes a file may hold that has `stored` on the disk."""
    return max(ALWAYS_ALLOWED, LARGEST_RATIO * stored)


def refuse_bomb(unpacked: int, stored: int, name: str) -> None:
    """Refuse a file that holds far more than its size suggests.

    Args:
        unpacked: bytes that it holds, at least.
        stored: bytes that it has on the disk.
        name: of the file, for the message.

    Raises:
        DatasetError: if it does.
    """
    if unpacked > most_bytes(stored):
        raise DatasetError(
            f"{name} has {stored:,} bytes, but holds more than {most_bytes(stored):,} when it is unpacked. Data do "
            "not pack that well, so it looks damaged, or made to fill the memory. If it is right, unpack it into a CSV file"
        )


def refuse_many_columns(count: int, name: str) -> None:
    """Refuse a table that is wider than any table of texts.

    Raises:
        DatasetError: naming the number of columns.
    """
    if count > MOST_COLUMNS:
        raise DatasetError(
            f"{name} has {count:,} columns; at most {MOST_COLUMNS:,} are read. Keep those with texts and labels"
        )
