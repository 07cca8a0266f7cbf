"""Finding tokens and keys in files that are about to be shared."""

import mmap
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


_PATTERNS: dict[str, bytes] = {
    "a Hugging Face token": rb"\b(?:hf|api_org)_[A-Za-z0-9]{30,}",
    "an AWS access key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a Google API key": rb"\bAIza[0-9A-Za-z_-]{35}",
    "a GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,})",
    "a GitLab token": rb"\bglpat-[A-Za-z0-9_-]{20}",
    "a Slack token": rb"\bxox[abeprs]-[A-Za-z0-9-]{10,}",
    "an OpenAI or Anthropic key": rb"\bsk-(?:ant-|proj-|svcacct-)?[A-Za-z0-9_-]{32,}",
    "an Azure storage key": rb"\bAccountKey=[A-Za-z0-9+/]{86}==",
    "a private key": rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY",
}
_SECRETS = re.compile(b"|".join(b"(%b)" % pattern for pattern in _PATTERNS.values()))


def find_secrets(path: Path) -> list[str]:
    """The kinds of secrets that a file holds, never the secrets; Parquet is searched value by value.

    Args:
        path: a file.
    """
    if path.stat().st_size == 0:
        return []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = secrets_in(data)
    if path.suffix == ".parquet":
        found += secrets_in("\n".join(_texts_of(pq.read_table(path))).encode())
    return [kind for kind in _PATTERNS if kind in found]


def secrets_in(data: "bytes | mmap.mmap") -> list[str]:
    """The kinds of secrets that bytes hold, never the secrets."""
    names = list(_PATTERNS)
    found = {names[(match.lastindex or 1) - 1] for match in _SECRETS.finditer(data)}
    return [kind for kind in names if kind in found]


def _texts_of(table: pa.Table) -> list[str]:
    """Each different text of the columns with texts, and what the schema says."""
    texts = [str(table.schema.metadata or "")]
    for column in table.columns:
        values = column.combine_chunks()
        if pa.types.is_list(values.type):
            values = values.flatten()
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            texts += [value for value in values.unique().to_pylist() if value is not None]
    return texts
