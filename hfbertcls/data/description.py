"""The log of what was read."""

from collections.abc import Mapping

from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.duplicates import find_duplicates
from hfbertcls.data.long_text import MANY
from hfbertcls.data.tokenization import TokenizedSplit
from hfbertcls.errors import printable
from hfbertcls.option_names import as_callers_type_it
from hfbertcls.progress import Log


def describe_dataset(data: TextDataset, log: Log) -> None:
    """Log what was read, what was left out, and the labels."""
    log(
        f"Data: {data.source} (text: {' + '.join(data.text_columns)}, label: {data.label_column}; splits {data.split_method})"
    )
    for note in data.notes:
        log(as_callers_type_it(f"  note: {note}"))
    for name, split in data.splits.items():
        left_out = ", ".join(
            f"{count:,} with {reason.replace('_', ' ')} (the first: {split.first_dropped[reason]})"
            for reason, count in split.dropped.items()
        )
        log(
            f"  {name:<10} {len(split):>9,} {'row' if len(split) == 1 else 'rows'} used of {split.rows_read:,} read; left out: {left_out or 'none'}"
        )
    for sentence in find_duplicates(data).sentences(data):
        log(f"  note: {sentence}")
    labels = data.task.labels if data.task is not None else ()
    if not labels:
        return
    counts = {name: split.label_counts(labels) for name, split in data.splits.items()}
    log(f"  {len(labels)} labels ({', '.join(counts)}):")
    for label in labels[:20]:
        log(f"    {printable(label)}: {', '.join(f'{split[label]:,}' for split in counts.values())}")
    if len(labels) > 20:
        log(f"    ... and {len(labels) - 20} more")


def describe_tokens(tokenized: Mapping[str, TokenizedSplit], log: Log) -> None:
    """Log how long the texts are, and how many are cut."""
    for name, split in tokenized.items():
        if split.long_text.mode == "truncate":
            cut = f"{split.truncated_rows:,} {'text is' if split.truncated_rows == 1 else 'texts are'} cut at {split.max_length:,} tokens"
        else:
            longer = int((split.num_tokens > split.max_length).sum())
            cut = (
                f"{longer:,} {'text is' if longer == 1 else 'texts are'} longer than {split.max_length:,} tokens "
                f"({split.long_text.mode}); of these, {split.truncated_rows:,} {'is' if split.truncated_rows == 1 else 'are'} not read as a whole"
            )
        unknown = f"; {split.unknown_share:.1%} of the words are unknown to the model" if split.unknown_tokens else ""
        log(f"  {name:<10} {split.num_tokens.mean():.0f} tokens on average; {cut}{unknown}")
        if (
            name == "train"
            and split.long_text.mode == "truncate"
            and split.truncated_rows > MANY * len(split.num_tokens)
        ):
            log(
                as_callers_type_it(
                    "  note: --long-text windows reads long texts further, --long-text head-tail their beginning and their end"
                )
            )
        if split.unknown_share >= 0.1:
            log(
                f"  note: the model reads {split.unknown_share:.0%} of {name} as unknown words. Is it made for this language?"
            )
