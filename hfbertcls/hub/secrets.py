"""Finding tokens and keys in files that are about to be pushed."""

import base64
import binascii
import itertools
import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import get_token

from hfbertcls.tasks.cells import names_in


# Kind: the beginnings of its secrets, which are searched first because that is fast, and the whole pattern. The kinds
# are those of detect-secrets that have a form of their own, and the Hub's. IBM's are found by the name of their
# setting. Entropy and words such as "password" are no criteria: vocabularies and hashes are full of both.
# detect-secrets itself reads lines of text, neither weights nor Parquet.
_KINDS: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    "a Hugging Face token": (
        (b"hf_", b"api_org_"),
        rb"(?:hf|api_org)_(?:[A-Za-z0-9]{30,}|(?:oauth|jwt)_[A-Za-z0-9._-]{20,})",
    ),
    "an AWS access key": ((b"AKIA", b"ASIA", b"ABIA", b"ACCA"), rb"A(?:KIA|SIA|BIA|CCA)[0-9A-Z]{16}(?![0-9A-Za-z])"),
    "an AWS secret key": (
        (b"aws_secret", b"AWS_SECRET", b"secretAccessKey", b"SecretAccessKey"),
        rb"(?i:aws_secret(?:_access)?_key|secretaccesskey)[\"']?\s{0,4}[:=]{1,2}\s{0,4}[\"']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
    ),
    "a Google API key": ((b"AIza", b"ya29.", b"GOCSPX-"), rb"(?:AIza[\w-]{35}|ya29\.[\w-]{30,}|GOCSPX-[\w-]{28})"),
    "a GitHub token": (
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
        rb"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,}",
    ),
    "a GitLab token": ((b"glpat-", b"gldt-", b"glrt-", b"glcbt-", b"glptt-"), rb"gl(?:pat|dt|rt|cbt|ptt)-[\w-]{20,}"),
    "a Slack token": (
        (
            b"xoxa-",
            b"xoxb-",
            b"xoxe-",
            b"xoxp-",
            b"xoxr-",
            b"xoxs-",
            b"xoxc-",
            b"xoxd-",
            b"xapp-",
            b"hooks.slack.com/services/",
        ),
        rb"xox[abcdeprs]-[A-Za-z0-9%-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/T\w{6,}/B\w{6,}/\w{16,}",
    ),
    "an OpenAI or Anthropic key": (
        (b"sk-",),
        rb"sk-(?:(?:ant|proj|svcacct|admin|or)-|(?=[a-z_-]{0,60}[A-Z0-9]))[\w-]{32,}",
    ),
    "a Stripe key": (
        (b"sk_live_", b"rk_live_", b"sk_test_", b"rk_test_", b"whsec_"),
        rb"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{24,}",
    ),
    "an npm token": ((b"npm_", b"_authToken"), rb"npm_[A-Za-z0-9]{36}|_authToken\s{0,4}=\s{0,4}[A-Za-z0-9-]{20,}"),
    "a PyPI token": ((b"pypi-",), rb"pypi-AgE[\w-]{50,}"),
    "a SendGrid or Mailchimp key": (
        (b"SG.", b"-us"),
        rb"SG\.[\w-]{22}\.[\w-]{43}|(?<![0-9a-f])[0-9a-f]{32}-us[0-9]{1,2}(?![0-9])",
    ),
    "a Telegram token": ((b":AA",), rb"(?<!\d)\d{8,10}:AA[\w-]{33}(?!\w)"),
    "an Azure storage key": ((b"AccountKey=",), rb"AccountKey=[A-Za-z0-9+/]{86}=="),
    "a Square, Twilio or Artifactory key": (
        (b"sq0csp-", b"sq0atp-", b"SK", b"AC", b"AKC"),
        rb"sq0(?:csp-[\w-]{43}|atp-[\w-]{22})|(?<![A-Za-z0-9])(?:(?:SK|AC)[0-9a-f]{32}|AKC[A-Za-z0-9]{30,})(?![A-Za-z0-9])",
    ),
    "a Discord token": (  # (its first part is a number in base64)
        (b"MD", b"MT", b"Mj", b"Mz", b"ND", b"NT", b"Nj", b"Nz", b"OD", b"OT"),
        rb"(?<![\w-])[MNO][DTjz][\w-]{21,26}\.[\w-]{6}\.[\w-]{27,38}(?![\w-])",
    ),
    "an IBM key": (
        (b"ibm", b"IBM", b"cos_", b"COS_", b"softlayer", b"SOFTLAYER"),
        rb"(?i:(?:ibm|cos|softlayer)[\w.-]{0,40}(?:key|pwd|pass|password|secret))[\"']?\s{0,4}[:=]{1,2}\s{0,4}[\"']?[\w-]{40,}",
    ),
    "a JSON web token": ((b"eyJ",), rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "a password in an address": (
        (b"://",),
        rb"[a-z][a-z0-9+]{1,15}://[^\s:/?#@\"'<>\[\]{}()\\`|]{0,80}:[^\s:/?#@\"'<>\[\]{}()\\`|*$]{3,100}@[A-Za-z0-9]",
    ),
    "a private key": ((b"PRIVATE KEY",), rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY"),
}
_LIVE = "your own access token"
_PATTERNS = {kind: re.compile(pattern) for kind, (_, pattern) in _KINDS.items()}
_BEFORE, _AFTER = 120, 400  # bytes around the beginning that a pattern sees
_READ_CLOSELY = 16 * 2**20  # bytes in which escapes and base64 are resolved
_TEXT = re.compile(rb"[\t\n\r -~\0]{20,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{40,}")
_ESCAPE = re.compile(
    rb"\\u00([2-7][0-9A-Fa-f])|%([2-7][0-9A-Fa-f])|\\x([2-7][0-9A-Fa-f])|&#x([2-7][0-9A-Fa-f]);|\\+(?=[_.-])"
)


def find_secrets(path: Path) -> list[str]:
    """The kinds of secrets that a file holds, never the secrets; Parquet is searched value by value.

    Args:
        path: a file.
    """
    if path.stat().st_size == 0:
        return []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        kinds = secrets_in(data)
    if path.suffix == ".parquet":
        kinds += secrets_in("\n".join(_texts_of(pq.read_table(path))).encode())
    return [kind for kind in (*_KINDS, _LIVE) if kind in kinds]


def secrets_in(data: "bytes | mmap.mmap") -> list[str]:
    """The kinds of secrets that bytes hold, never the secrets; the token in use is looked for whatever its form.

    Text may be in UTF-8 or UTF-16, escaped as JSON, Markdown, HTML and addresses do it, or in base64.
    """
    if len(data) > _READ_CLOSELY:  # weights: one pass extracts the text, and the searches read only that
        data = b"\n".join(run[0] for run in _TEXT.finditer(data))
    start = data[:_READ_CLOSELY]
    kinds = _as_written(data)
    if (unescaped := _ESCAPE.sub(_character, start)) != start:
        kinds |= _as_written(unescaped)
    for text in _decoded(start):
        kinds |= _as_written(text)
    return [kind for kind in (*_KINDS, _LIVE) if kind in kinds]


def _as_written(data: "bytes | mmap.mmap") -> set[str]:
    """The kinds of secrets in bytes, as they are and as UTF-16."""
    kinds = {kind for kind, pattern in _PATTERNS.items() if any(map(pattern.search, _windows(data, _KINDS[kind][0])))}
    return kinds | ({_LIVE} if any(data.find(form) >= 0 for form in _forms_of_the_token()) else set())


def _windows(data: "bytes | mmap.mmap", beginnings: tuple[bytes, ...]) -> Iterator[bytes]:
    """The bytes around each possible beginning of a secret."""
    for beginning in beginnings:
        wide = beginning.decode("ascii").encode("utf-16-le")
        for form, width in ((beginning, 1), (wide, 2)):
            place = data.find(form)
            while place >= 0:
                window = data[max(0, place - width * _BEFORE) : place + width * _AFTER]
                yield window if width == 1 else window.replace(b"\0", b"")
                place = data.find(form, place + len(form))


def _character(match: re.Match[bytes]) -> bytes:
    """The character of an escape; none for a backslash before punctuation."""
    digits = next(filter(None, match.groups()), None)
    return bytes.fromhex(digits.decode()) if digits else b""


def _decoded(data: bytes) -> Iterator[bytes]:
    """Each run of base64, decoded from each possible beginning."""
    for run in _BASE64.finditer(data):
        text = run[0].translate(bytes.maketrans(b"-_", b"+/"))
        for offset in range(4):
            part = text[offset:]
            yield binascii.a2b_base64(part[:-1] if len(part) % 4 == 1 else part + b"A" * (-len(part) % 4))


def _forms_of_the_token() -> list[bytes]:
    """The token in use, in each form that a search can find."""
    tokens = {get_token(), os.environ.get("HF_TOKEN"), os.environ.get("HUGGING_FACE_HUB_TOKEN")}
    written = [token.strip().encode() for token in tokens if token and len(token.strip()) >= 8]
    wide = [token.decode().encode("utf-16-le") for token in written]
    encoded = [
        form for token, offset in itertools.product([*written, *wide], range(3)) for form in _in_base64(token, offset)
    ]
    return [*written, *wide, *encoded]


def _in_base64(token: bytes, offset: int) -> set[bytes]:
    """The characters of base64 that depend on the token alone, after so many bytes (modulo 3)."""
    filled = bytes(offset) + token
    kept = slice((0, 2, 3)[offset], len(filled) * 8 // 6)
    return {base64.b64encode(filled)[kept], base64.urlsafe_b64encode(filled)[kept]}


def _texts_of(table: pa.Table) -> list[str]:
    """Each different text of the text columns, and the schema."""
    texts = [str(table.schema.metadata or "")]
    for column in table.columns:
        values = names_in(column.combine_chunks())
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            texts += [value for value in values.unique().to_pylist() if value is not None]
    return texts
