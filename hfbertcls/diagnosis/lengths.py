"""How long the texts are in tokens: counted by a tokenizer, or estimated without one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.data.long_text import MANY
from hfbertcls.data.on_disk import in_parts
from hfbertcls.diagnosis.findings import Finding, percent


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Counts = npt.NDArray[np.int64]
DEFAULT_MAX_LENGTH = 512
_COVERED = 0.99  # fraction of the training texts that the suggested length reads to their end
_TEXTS_PER_BATCH = 1_000
# A token for each seven letters begun of a word, for each sign of a script without blanks, and for each mark.
# Against BERT's English WordPiece, the mean of 2,000 texts was off by -8 to +6 % on nine sets of labelled text, one
# of them Chinese.
_TOKEN = (
    r"\p{Han}|\p{Hiragana}|\p{Katakana}|\p{Hangul}|[\p{Latin}\p{Cyrillic}\p{Greek}\p{N}\p{M}]{1,7}|\p{L}"
    r"|[^\s\p{L}\p{N}\p{M}\p{Z}]"
)
_BINS = 40


@dataclass(frozen=True)
class TokenLengths:
    """The tokens of each text, special tokens included, before anything is cut."""

    counts: Mapping[str, Counts]
    """By split, of shape `(rows,)`."""
    max_length: int
    """Where the model truncates."""
    counted_by: str
    """The tokenizer or the estimate, in words."""

    @property
    def suggested(self) -> int:
        """The smallest multiple of 8 that reads 99 % of the training texts to their end, at most `max_length`."""
        enough = float(np.quantile(self.counts["train"], _COVERED))
        return min(self.max_length, 8 * max(1, int(np.ceil(enough / 8))))

    def truncated_rows(self, name: str) -> int:
        """How many texts of a split are longer than `max_length`."""
        return int((self.counts[name] > self.max_length).sum())

    def to_dict(self) -> dict[str, Any]:
        """Quantiles and a histogram of each split, as in `doctor --json`."""
        longest = max(int(counts.max(initial=1)) for counts in self.counts.values())
        shown = min(longest, 2 * self.max_length)
        edges = np.unique(np.linspace(0, shown, _BINS + 1).round().astype(np.int64))
        return {
            "counted_by": self.counted_by,
            "max_length": self.max_length,
            "suggested_max_length": self.suggested,
            "splits": {
                name: {
                    "mean": round(float(counts.mean()), 1),
                    **{
                        key: int(np.quantile(counts, level, method="higher"))
                        for key, level in (("median", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
                    },
                    "histogram": np.histogram(np.minimum(counts, shown), edges)[0].tolist(),
                }
                for name, counts in self.counts.items()
            },
            "histogram_edges": edges.tolist(),
        }

    def findings(self, data: TextDataset) -> Iterator[Finding]:
        """The findings about long texts."""
        for name, counts in self.counts.items():
            cut = self.truncated_rows(name)
            if cut:
                longest = int(counts.argmax())
                verb = "is" if cut == 1 else "are"
                yield Finding(
                    "truncated",
                    "warning" if cut > MANY * len(counts) else "info",
                    f"{cut:,} of the {len(counts):,} texts of {name} ({percent(cut, len(counts))}) {verb} longer than "
                    f"{self.max_length:,} tokens and {verb} cut there; the longest has {int(counts[longest]):,} "
                    f"({data.splits[name].place(int(data.splits[name].rows[longest]))})",
                    "--long-text windows reads them further, --long-text head-tail their beginning and their end"
                    if cut > MANY * len(counts)
                    else "",
                )
        if self.suggested <= self.max_length // 2:
            yield Finding(
                "max_length",
                "info",
                f"a limit of {self.suggested:,} tokens is enough for at least 99 % of the training texts",
                f"--max-length {self.suggested} saves memory",
            )


def estimate_lengths(data: TextDataset, max_length: int | None = None) -> TokenLengths:
    """Estimate the tokens of each text by its letters, without a tokenizer."""
    counts = {}
    for name, split in data.splits.items():
        counts[name] = np.full(len(split), 2, dtype=np.int64)
        for column in split.text_fields:
            parts = in_parts(split.table.select([column]))
            pieces = [np.asarray(pc.count_substring_regex(part.column(0), _TOKEN)) for part in parts]
            counts[name] += np.concatenate(pieces) + (column == "text_pair")
    how = "an estimate without a tokenizer; --model counts them"
    return TokenLengths(counts, max_length or DEFAULT_MAX_LENGTH, how)


def count_lengths(
    data: TextDataset, tokenizer: "PreTrainedTokenizerBase", max_length: int, name_of_model: str
) -> TokenLengths:
    """Count the tokens of each text (or pair of texts) by a model's tokenizer."""
    return TokenLengths(
        {name: _count(split, tokenizer) for name, split in data.splits.items()},
        max_length,
        f"the tokenizer of {name_of_model}",
    )


def _count(split: TextSplit, tokenizer: "PreTrainedTokenizerBase") -> Counts:
    counts: list[int] = []
    for part in in_parts(split.table.select(split.text_fields), _TEXTS_PER_BATCH):
        texts = [column.to_pylist() for column in part.columns]
        encoded: Any = tokenizer(*texts, truncation=False, padding=False, verbose=False)
        counts += [len(ids) for ids in encoded["input_ids"]]
    return np.array(counts, dtype=np.int64)
