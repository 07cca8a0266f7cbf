"""How a text with more tokens than a model takes in one pass is read."""

from dataclasses import asdict, dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from hfbertcls.errors import ConfigurationError, ModelError, did_you_mean


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Mode = Literal["truncate", "head-tail", "windows"]
MODES: tuple[Mode, ...] = get_args(Mode)
LONG_TEXT = "hfbertcls_long_text"
"""The key of `config.json` that says how long texts are read; absent where they are truncated."""
HEAD = 0.25
"""The fraction of the tokens that head-tail takes from the beginning (128 of 510 in Sun et al., "How to Fine-Tune BERT
for Text Classification?", 2019)."""
MAX_WINDOWS = 8
MANY = 0.05
"""The fraction of truncated texts from which on the other ways to read are proposed."""
OVERLAP = 0.25
"""The fraction of a window that the next one has too, by default."""


@dataclass(frozen=True)
class LongText:
    """What is done with a text of more tokens than `max_length`.

    `truncate` reads its beginning, or its end if the tokenizer truncates on the left. `head-tail` reads its first
    quarter of `max_length` tokens and its last three quarters. `windows` reads it in overlapping passes of
    `max_length` tokens each, and the logits of the text are the mean of theirs.

    ```python
    >>> LongText("windows", window=128, max_windows=4, overlap=32).most_tokens(128, special=2)
    410
    ```

    Args:
        mode: one of these.
        window: tokens in one pass; 0 where there are no windows.
        max_windows: passes for a text at most.
        overlap: tokens that two neighbouring windows have in common.
    """

    mode: Mode = "truncate"
    window: int = 0
    max_windows: int = 1
    overlap: int = 0

    @classmethod
    def of(cls, mode: str, max_length: int, max_windows: int = MAX_WINDOWS, overlap: int | None = None) -> "LongText":
        """Check what a user asked for.

        Args:
            mode: the name.
            max_length: tokens in one pass.
            max_windows: only for windows.
            overlap: only for windows; None: a quarter of `max_length`.

        Raises:
            ConfigurationError: for an unknown mode, and for windows that overlap by half of a window or more.
        """
        if mode not in MODES:
            raise ConfigurationError(
                f"--long-text {mode} is an invalid value{did_you_mean(mode, MODES)}. Choose one of {', '.join(MODES)}"
            )
        if mode != "windows":
            return cls(mode)
        chosen = int(OVERLAP * max_length) if overlap is None else overlap
        if not 0 <= chosen <= max_length // 2:
            raise ConfigurationError(
                f"--window-overlap {chosen} is an invalid value: windows have {max_length:,} tokens. Choose a number from 0 to "
                f"{max_length // 2:,}"
            )
        return cls("windows", max_length, max_windows, chosen)

    @classmethod
    def of_config(cls, config: Any) -> "LongText":
        """As `config.json` of a model says.

        Raises:
            ModelError: if it is damaged.
        """
        stated = getattr(config, LONG_TEXT, None)
        if stated is None:
            return TRUNCATE
        try:
            read = cls(**stated)
        except TypeError:
            read = TRUNCATE
        if read.mode not in MODES[1:] or not read._is_possible:
            raise ModelError(
                f"{LONG_TEXT} in config.json is {stated!r}. Expected a mode ({' or '.join(MODES[1:])}); for windows also window, "
                "max_windows and overlap. Fetch the model again"
            )
        return read

    @property
    def _is_possible(self) -> bool:
        numbers = (self.window, self.max_windows, self.overlap)
        if not all(type(one) is int and one >= 0 for one in numbers):
            return False
        return self.mode != "windows" or (
            self.max_windows >= 1 and 0 <= self.overlap <= self.window // 2 and self.window > 0
        )

    @property
    def as_config(self) -> dict[str, Any] | None:
        """The value in `config.json`; None for truncation."""
        if self.mode == "truncate":
            return None
        return {"mode": self.mode} if self.mode != "windows" else asdict(self)

    def describe(self, config: Any) -> None:
        """Let the configuration of a model say this."""
        if self.as_config is not None:
            setattr(config, LONG_TEXT, self.as_config)
        elif hasattr(config, LONG_TEXT):
            delattr(config, LONG_TEXT)

    def most_tokens(self, max_length: int, special: int) -> int:
        """How many tokens of a text are read at most, special tokens counted once.

        Args:
            max_length: tokens in one pass.
            special: how many of them are special tokens.
        """
        return max_length + (self.max_windows - 1) * (max_length - special - self.overlap)

    def in_words(self, max_length: int, *, on_the_left: bool = False) -> str:
        """What is read of a text, as a part of a sentence.

        >>> LongText("head-tail").in_words(128)
        'the first 32 and the last 96 tokens'

        Args:
            max_length: tokens in one pass.
            on_the_left: whether the tokenizer truncates the beginning.
        """
        if self.mode == "windows":
            which = "last" if on_the_left else "first"
            return f"the {which} {self.max_windows:,} windows of {self.window:,} tokens, which overlap by {self.overlap:,},"
        if self.mode == "head-tail":
            head = self._head(max_length)
            return f"the first {head:,} and the last {max_length - head:,} tokens"
        return f"the {'last' if on_the_left else 'first'} {max_length:,} tokens"

    @staticmethod
    def _head(max_length: int) -> int:
        return max(1, int(HEAD * max_length))

    def read(
        self, tokenizer: "PreTrainedTokenizerBase", texts: list[Any], max_length: int
    ) -> dict[str, list[list[Any]]]:
        """The tokens that are read of long texts, by column of the tokenizer.

        The windows of a text stand in a row, one behind the other: all but the last one have `max_length` tokens.

        Args:
            tokenizer: of the model.
            texts: with more tokens than `max_length`.
            max_length: tokens in one pass.
        """
        call: Any = tokenizer
        if self.mode == "truncate":
            return dict(call(texts, truncation=True, max_length=max_length, padding=False))
        if self.mode == "head-tail":
            head = self._head(max_length)
            whole = call(texts, truncation=False, padding=False, verbose=False)
            return {
                name: [[*row[:head], *row[len(row) - max_length + head :]] for row in rows]
                for name, rows in whole.items()
            }
        windows = dict(
            call(
                texts,
                truncation=True,
                max_length=max_length,
                stride=self.overlap,
                return_overflowing_tokens=True,
                padding=False,
            )
        )
        owners = np.asarray(windows.pop("overflow_to_sample_mapping"))
        starts = np.searchsorted(owners, np.arange(len(texts)))
        ends = np.minimum(np.append(starts[1:], len(owners)), starts + self.max_windows)
        return {
            name: [list(chain.from_iterable(rows[start:end])) for start, end in zip(starts, ends, strict=True)]
            for name, rows in windows.items()
        }


TRUNCATE = LongText()


def require_windows(tokenizer: "PreTrainedTokenizerBase", long_text: LongText) -> None:
    """Check that a tokenizer can make windows.

    Raises:
        ConfigurationError: if it pads on the left, or is one without windows.
    """
    if long_text.mode != "windows":
        return
    if not tokenizer.is_fast or tokenizer.padding_side != "right":
        reason = (
            "it pads on the left"
            if tokenizer.is_fast
            else "it is not a fast tokenizer, which tokenizer.json would make"
        )
        raise ConfigurationError(
            f"--long-text windows does not work with this model's tokenizer: {reason}. Choose --long-text head-tail"
        )
