"""Measure the search for nearly equal texts on planted edits, and the time that the doctor takes.

    python benchmarks/doctor.py --data DIR [--rows 100000] ag_news trec6 tweeteval_emotion chnsenticorp

DIR holds one folder for each name, with a train file. 400 texts of train (of at least 30 letters) are edited in each of several
ways and put into a test split beside 2,000 other rows of train, which are taken out there. Recall: share of the edited texts
that are found to be nearly equal to a text in train. False alarms: the same share of texts that are made of halves of two
texts, and of the 2,000 untouched rows (of which some are truly nearly equal).
"""

import argparse
import random
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from hfbertcls.data.dataset import TextDataset, TextSplit
from hfbertcls.data.duplicates import find_duplicates
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.diagnosis.doctor import examine
from hfbertcls.diagnosis.lengths import estimate_lengths
from hfbertcls.diagnosis.repeats import find_near_duplicates
from hfbertcls.tasks.single_label import SingleLabel


EDITED, UNTOUCHED = 400, 2_000


def words_of(text: str) -> tuple[list[str], str]:
    """The parts of a text, and what joins them: letters where there are few blanks."""
    return (text.split(), " ") if text.count(" ") > len(text) / 20 else (list(text), "")


def typos(text: str, draw: random.Random, count: int) -> str:
    """Swap neighbouring letters."""
    for _ in range(count):
        place = draw.randrange(len(text) - 1)
        text = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    return text


def half_of_each(text: str, other: str) -> str:
    """The first half of one text and the second half of another."""
    (mine, joint), (theirs, _) = words_of(text), words_of(other)
    return joint.join(mine[: len(mine) // 2] + theirs[len(theirs) // 2 :])


EDITS = (
    "capitals and marks", "one typo", "three typos", "a word replaced", "a word left out", "words added", "a tenth cut off",
)  # fmt: skip
HALVES = "halves of two texts"


def edited(edit: str, text: str, other: str, draw: random.Random) -> str:
    """A text in another form."""
    parts, joint = words_of(text)
    place = draw.randrange(len(parts))
    forms = {
        "capitals and marks": text.upper().replace(".", " ").replace(",", ";") + " !!",
        "one typo": typos(text, draw, 1),
        "three typos": typos(text, draw, 3),
        "a word replaced": joint.join([*parts[:place], draw.choice(words_of(other)[0]), *parts[place + 1 :]]),
        "a word left out": joint.join([*parts[:place], *parts[place + 1 :]]),
        "words added": f"RT {text} #now",
        "a tenth cut off": text[: len(text) - len(text) // 10],
        HALVES: half_of_each(text, other),
    }
    return forms[edit]


def planted(data: TextDataset, edit: str | None, seed: int) -> TextDataset:
    """Train without 2,000 rows, and a test split of edited texts of train, or of the rows that were taken out."""
    draw, generator = random.Random(seed), np.random.default_rng(seed)
    rows = np.concatenate([split.table.column("text").to_numpy() for split in data.splits.values()])
    rows = generator.permutation(np.array(list(dict.fromkeys(rows.tolist())), dtype=object))
    held_out, train = rows[:UNTOUCHED], rows[UNTOUCHED:]
    texts = held_out.tolist()
    if edit is not None:
        long = [text for text in train.tolist() if sum(map(str.isalnum, text)) >= 30]
        texts = [edited(edit, text, draw.choice(long), draw) for text in long[:EDITED]]
    splits = {"train": split_of("train", train.tolist()), "test": split_of("test", texts)}
    return TextDataset(splits, SingleLabel(("a",)), data.source, "text", "label")


def split_of(name: str, texts: list[str]) -> TextSplit:
    """A split with one label."""
    columns = {"row": np.arange(len(texts)), "text": pa.array(texts, pa.large_string()), "label": ["a"] * len(texts)}
    return TextSplit(name, pa.table(columns), len(texts))


def share_found(data: TextDataset) -> float:
    """Share of the test rows that are equal or nearly equal to one in train."""
    near = find_near_duplicates(data)
    count = find_duplicates(data).overlap.get("train/test", 0) + near.overlap.get("train/test", 0)
    return count / len(data.splits["test"])


def time_of(data: TextDataset, rows: int) -> tuple[float, float]:
    """Seconds that the doctor takes for so many distinct rows (texts are repeated with a number where there are fewer)."""
    texts = [text for split in data.splits.values() for text in split.texts]
    many = [text if n < len(texts) else mixed(texts, n) for n, text in enumerate(texts * (rows // len(texts) + 1))]
    split = split_of("train", many[:rows])
    large = TextDataset({"train": split}, SingleLabel(("a",)), data.source, "text", "label")
    began = time.perf_counter()
    examine(large, estimate_lengths(large))
    return time.perf_counter() - began, float(np.mean([len(text) for text in split.texts]))


def mixed(texts: list[str], number: int) -> str:
    """A text of about the usual length that is none of the others."""
    draw = random.Random(number)
    return half_of_each(draw.choice(texts), draw.choice(texts))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    sets = {name: load_text_dataset(str(options.data / name)) for name in options.names}
    print(f"| edit | {' | '.join(sets)} |\n|:--|{'--:|' * len(sets)}")
    for edit in (*EDITS, HALVES, None):
        shares = [share_found(planted(data, edit, seed=1)) for data in sets.values()]
        print(f"| {edit or 'untouched rows'} | {' | '.join(f'{share:.3f}' for share in shares)} |", flush=True)
    print("\n| set | rows | letters on average | seconds |\n|:--|--:|--:|--:|")
    for name, data in sets.items():
        seconds, letters = time_of(data, options.rows)
        print(f"| {name} | {options.rows:,} | {letters:.0f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
