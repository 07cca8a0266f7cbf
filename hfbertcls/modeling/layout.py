"""Where the texts of a padding-free batch lie, known to the host, so that no step waits for the device."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch


LENGTHS = "text_lengths"
"""The key of a batch with the tokens of each text, a tuple of numbers. `enable_padding_free` takes it out again."""


@dataclass(frozen=True)
class TextLayout:
    """Texts that lie end to end.

    ```python
    >>> layout = TextLayout((2, 3))
    >>> layout.tokens, layout.longest
    (5, 3)
    >>> layout.places(4, torch.device("cpu")).tolist()
    [0, 1, 4, 5, 6]
    ```

    Args:
        lengths: tokens of each text.
    """

    lengths: tuple[int, ...]
    _cache: dict[Any, torch.Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def tokens(self) -> int:
        """Of all texts."""
        return sum(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest text."""
        return max(self.lengths)

    def boundaries(self, device: torch.device) -> torch.Tensor:
        """Where each text begins, and the end, int32 of shape `(texts + 1,)`; `layout_of` finds this layout again."""
        boundaries = self._cache.get(device)
        if boundaries is None:
            ends = np.cumsum((0, *self.lengths), dtype=np.int32)
            boundaries = self._cache[device] = sent(torch.from_numpy(ends), device)
            boundaries.text_layout = self  # type: ignore[attr-defined]
        return boundaries

    def places(self, width: int, device: torch.device) -> torch.Tensor:
        """Where the tokens lie if each text is padded to a width, int64 of shape `(tokens,)`."""
        places = self._cache.get((width, device))
        if places is None:
            sizes = np.asarray(self.lengths, dtype=np.int64)
            starts = np.arange(len(sizes)) * width - (np.cumsum(sizes) - sizes)
            numbers = np.repeat(starts, sizes) + np.arange(int(sizes.sum()))
            places = self._cache[width, device] = sent(torch.from_numpy(numbers), device)
        return places

    def sources(self, device: torch.device) -> torch.Tensor:
        """The token at each place if all texts are padded to the longest, int64 of shape `(texts * longest,)`.

        Behind the end of a text it is its last token, which `seen` hides.
        """
        sources = self._cache.get(("sources", device))
        if sources is None:
            sizes = np.asarray(self.lengths, dtype=np.int64)
            within = np.minimum(np.arange(self.longest), sizes[:, None] - 1)
            numbers = (np.cumsum(sizes) - sizes)[:, None] + within
            sources = self._cache["sources", device] = sent(torch.from_numpy(numbers.ravel()), device)
        return sources

    def seen(self, window: int | None, device: torch.device) -> torch.Tensor:
        """Which places a place sees if all texts are padded to the longest.

        Args:
            window: how far it sees in either direction; None: the whole text.
            device: of the result.

        Returns:
            bool of shape `(texts, 1, 1, longest)`; with a window `(texts, 1, longest, longest)`, where places behind
            the end of a text see all of it, so that no row is empty.
        """
        seen = self._cache.get(("seen", window, device))
        if seen is None:
            is_real = np.arange(self.longest) < np.asarray(self.lengths)[:, None]
            real = sent(torch.from_numpy(is_real), device)
            seen = real[:, None, None, :]
            if window is not None:
                places = torch.arange(self.longest, device=device)
                seen = seen & ((places[:, None] - places).abs() <= window) | ~real[:, None, :, None]
            self._cache["seen", window, device] = seen
        return seen


def layout_of(boundaries: torch.Tensor) -> TextLayout:
    """The layout whose `boundaries` these are; the host waits for the device if they are none of a layout."""
    layout: TextLayout | None = getattr(boundaries, "text_layout", None)
    return layout if layout is not None else TextLayout(tuple(boundaries.diff().tolist()))


def layout_of_batch(mask: torch.Tensor, lengths: tuple[int, ...] | None) -> TextLayout | None:
    """The layout of a padded batch; None if it is not padded on the right alone.

    Args:
        mask: 1 for real tokens, of shape `(rows, width)`.
        lengths: tokens of each row, where the host knows them; else it waits for the device.
    """
    if lengths is not None:
        return TextLayout(lengths)
    real = mask.bool()
    sizes = real.sum(dim=1)
    is_right = (real == (torch.arange(mask.shape[1], device=mask.device) < sizes[:, None])).all() & (sizes > 0).all()
    *counts, holds = torch.cat([sizes, is_right[None].to(sizes.dtype)]).tolist()
    return TextLayout(tuple(counts)) if holds else None


class WithLengths:
    """A collator that tells the lengths of the texts, which the host knows before a batch is on the device.

    Args:
        collate: makes a padded batch of rows.
    """

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, rows: list[Any]) -> Any:
        """The batch, with `text_lengths` if it is padded on the right."""
        batch = self.collate(rows)
        mask = batch.get("attention_mask") if hasattr(batch, "get") else None
        layout = None if mask is None else layout_of_batch(mask, None)
        return batch if layout is None else {**batch, LENGTHS: layout.lengths}


def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Values of the host, on a device; the host does not wait."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)
