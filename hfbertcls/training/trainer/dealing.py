"""Several processes that train together: the rows of each update are dealt to them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate.data_loader import DataLoaderShard
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils import logging

from hfbertcls import processes


logger = logging.get_logger(__name__)

_SEED_OF_NEXT = 1_000_003  # (a prime: seeds that people choose do not meet)


class DealtBatches(Sampler[list[int]]):
    """The batches of one process, so that all processes make the updates of one process together.

    The rows of an update are those that one process would take for it. They are dealt by length: each process gets as
    many rows as the others, or one more, and about as many tokens. All processes have the same number of batches. At
    the end of an epoch, the batch of a process may be empty.

    ```python
    >>> [list(DealtBatches([0, 1, 2, 3, 4], [5, 9, 8, 4, 7], 2, 1, rank=rank, count=2)) for rank in (0, 1)]
    [[[1, 3], [4]], [[2, 0], []]]
    ```

    Args:
        sampler: the order of all rows.
        lengths: tokens of each row.
        batch_size: most rows of a batch of one process.
        accumulation: batches of one process in an update.
        rank: of the process.
        count: of processes.
        drop_last: leave out rows that do not fill a batch in each process.
    """

    def __init__(
        self,
        sampler: Sequence[int] | Sampler[int],
        lengths: Sequence[int],
        batch_size: int,
        accumulation: int,
        *,
        rank: int,
        count: int,
        drop_last: bool = False,
    ) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last
        self._lengths = np.asarray(lengths)
        self._accumulation, self._rank, self._count = accumulation, rank, count

    def __len__(self) -> int:
        of_all, rows = self.batch_size * self._count, len(self.sampler)  # type: ignore[arg-type]  # ours have a length
        return rows // of_all if self.drop_last else -(-rows // of_all)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.fromiter(self.sampler, dtype=np.int64)
        of_batch = self.batch_size * self._count
        if self.drop_last:
            order = order[: len(order) // of_batch * of_batch]
        for start in range(0, len(order), of_batch * self._accumulation):
            rows = order[start : start + of_batch * self._accumulation]
            mine = self._dealt(rows)
            for number in range(-(-len(rows) // of_batch)):
                yield mine[number * self.batch_size : (number + 1) * self.batch_size].tolist()

    def _dealt(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The rows of this process: longest first, dealt forth and back."""
        by_length = rows[np.argsort(-self._lengths[rows], kind="stable")]
        rounds = np.arange(len(rows)) // self._count
        places = np.arange(len(rows)) % self._count
        owners = np.where(rounds % 2, self._count - 1 - places, places)
        return np.asarray(by_length[owners == self._rank])


class WithFiller:
    """A collator that makes a batch without labels of an empty one: it is computed, and counts nothing.

    Args:
        collate: the collator of rows.
        filler: a row of the training set.
    """

    def __init__(self, collate: Callable[[list[Any]], dict[str, Any]], filler: Any) -> None:
        self._collate, self._filler = collate, filler

    def __call__(self, rows: list[Any]) -> dict[str, Any]:
        """A batch; that of no rows has one row, and `labels` of shape `(0, ...)`."""
        if rows:
            return self._collate(rows)
        batch = self._collate([self._filler])
        return {**batch, "labels": batch["labels"][:0]} if "labels" in batch else batch


def is_filler(inputs: Any) -> bool:
    """Whether a batch stands for no rows."""
    return "labels" in inputs and "input_ids" in inputs and len(inputs["labels"]) < len(inputs["input_ids"])


class DealingTrainer(Trainer):
    """`Trainer` of which several processes make the same updates as one with the same rows in an update.

    transformers fills the last update of an epoch with rows that were seen before, and gives all processes the same
    random numbers for dropout (seen in 5.23).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if processes.count() > 1:
            self.add_callback(_OwnRandomNumbers)
        elif (note := processes.note_on_launcher()) is not None:
            logger.warning_once(note)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """As the parent; of several processes, each gets the rows that are dealt to it."""
        prepared: Any = super().get_train_dataloader()
        whole: Any = self.train_dataset
        sampler = _sampler_in(prepared)
        if processes.count() == 1 or sampler is None or not hasattr(whole, "__getitem__"):
            return prepared  # type: ignore[no-any-return]
        column = self.args.length_column_name
        has_lengths = column in (getattr(whole, "column_names", None) or ())
        lengths = whole[column][:] if has_lengths else [1] * len(sampler)
        dealt = DealtBatches(
            sampler,
            lengths,
            self.args.train_batch_size,
            self.args.gradient_accumulation_steps,
            rank=processes.rank(),
            count=processes.count(),
            drop_last=self.args.dataloader_drop_last,
        )
        names = ("num_workers", "pin_memory", "worker_init_fn", "prefetch_factor", "persistent_workers",
                 "multiprocessing_context")  # fmt: skip
        filler = prepared.dataset[0]
        loader: Any = DataLoaderShard(
            prepared.dataset,
            device=prepared.device,
            batch_sampler=dealt,
            collate_fn=WithFiller(prepared.collate_fn, filler),
            **{name: getattr(prepared, name) for name in names},
        )
        known = self.accelerator._dataloaders
        known[:] = [loader if one is prepared else one for one in known]
        return loader  # type: ignore[no-any-return]

    def _prepare_for_training(
        self, max_steps: int, train_dataloader: DataLoader[Any], resume_from_checkpoint: str | None
    ) -> Any:
        """As the parent; DDP looks for weights without a gradient only where there are some."""
        handler, collate = self.accelerator.ddp_handler, train_dataloader.collate_fn
        is_open = self.args.ddp_find_unused_parameters is None
        if processes.count() > 1 and is_open and handler is not None and isinstance(collate, WithFiller):
            handler.find_unused_parameters = any(processes.gather(self._has_unused_weights(collate([]))))
        return super()._prepare_for_training(max_steps, train_dataloader, resume_from_checkpoint)  # type: ignore[no-untyped-call]

    def _has_unused_weights(self, batch: dict[str, Any]) -> bool:
        """Whether some weights have no gradient; the model and the random numbers stay as they are."""
        model: Any = self.model
        inputs = self._prepare_inputs({name: value for name, value in batch.items() if name != "labels"})
        with torch.random.fork_rng():
            model.train(True)
            torch.autograd.backward(model(**inputs)["logits"].float().sum())
        unused = any(one.requires_grad and one.grad is None for one in model.parameters())
        model.zero_grad()
        return unused


def _sampler_in(loader: Any) -> Any:
    """The order of the rows in a loader that accelerate has prepared; None if it has none with a length."""
    batches = getattr(loader, "batch_sampler", None)
    batches = getattr(batches, "batch_sampler", batches)
    sampler = getattr(batches, "sampler", None)
    return sampler if hasattr(sampler, "__len__") else None


class _OwnRandomNumbers(TrainerCallback):
    """Other random numbers in each process but the first, from the beginning of training on."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not processes.is_first():
            torch.manual_seed(args.seed + _SEED_OF_NEXT * processes.rank())
