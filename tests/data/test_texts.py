"""Pairs of texts: hashed, split, cut and counted as pairs."""

import numpy as np
import pytest

from hfbertcls.data.duplicates import find_duplicates, first_occurrences
from hfbertcls.data.fingerprints import known_texts, write_fingerprints
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.texts import TextPair
from hfbertcls.data.tokenization import tokenize_split, tokenize_texts
from hfbertcls.errors import ConfigurationError
from hfbertcls.modeling.lengths import find_max_length


ROWS = [("a", "x"), ("a", "y"), ("A ", "X"), ("x", "a"), ("ax", " "), (None, "y")]


def loaded(rows, **options):
    table = {
        "text": [row[0] for row in rows],
        "text_pair": [row[1] for row in rows],
        "label": ["m", "n"] * (len(rows) // 2),
    }
    return load_text_dataset(table, make_splits=False, **options)


def test_rows_need_both_texts_and_are_equal_if_both_are(tmp_path):
    split = loaded(ROWS).splits["test"]
    assert split.texts == [TextPair(*row) for row in ROWS[:4]]
    assert split.dropped == {"empty_text": 2}
    assert first_occurrences(split).tolist() == [0, 1, 0, 3]
    assert find_duplicates(loaded(ROWS)).duplicate_rows == {"test": 1}
    write_fingerprints(tmp_path / "f", split)
    assert known_texts(tmp_path / "f", loaded([("a", "x"), ("y", "a")]).splits["test"]) == 1


def test_equal_pairs_stay_in_one_split():
    rows = [(f"the first text {n % 150}", f"and the second {n % 150}") for n in range(600)]
    data = load_text_dataset(
        {"text": [a for a, _ in rows], "text_pair": [b for _, b in rows], "label": ["m", "n"] * 300}
    )
    texts = [set(split.texts) for split in data.splits.values()]
    assert sum(map(len, texts)) == len(set.union(*texts)) == 150


def test_memory_and_file_have_the_same_hash(tmp_path):
    (tmp_path / "a.csv").write_text("text,text_pair,label\n" + "".join(f"{a},{b},m\n" for a, b in ROWS[:4]))
    rows = [{"text": a, "text_pair": b, "label": "m"} for a, b in ROWS[:4]]
    first, second = (
        load_text_dataset(one, make_splits=False).splits["test"] for one in (str(tmp_path / "a.csv"), rows)
    )
    assert first.rows_sha256 == second.rows_sha256
    swapped = load_text_dataset(rows, text_column="text_pair", text_pair_column="text", make_splits=False)
    assert swapped.splits["test"].rows_sha256 != first.rows_sha256


def test_both_texts_are_counted_and_the_longer_one_is_cut_first(tiny_tokenizer):
    pairs = [TextPair("the film " * 10, "dull"), TextPair("good", "bad " * 15), TextPair("the", "plot")]
    tokenized = tokenize_texts(pairs, tiny_tokenizer, 12)
    assert tokenized.num_tokens.tolist() == [24, 19, 5]
    assert (tokenized.truncated_rows, tokenized.special_tokens) == (2, 3)
    rows = tokenized.dataset["input_ids"]
    assert tiny_tokenizer.decode(rows[0]).split()[-2:] == ["dull", "[SEP]"]
    assert tiny_tokenizer.decode(rows[1]).split()[:3] == ["[CLS]", "good", "[SEP]"]
    assert tokenized.dataset["token_type_ids"][2] == [0, 0, 0, 1, 1]
    split = load_text_dataset([{"text": a, "text_pair": b, "label": "m"} for a, b in pairs], make_splits=False).splits[
        "test"
    ]
    assert tokenize_split(split, tiny_tokenizer, 12).dataset["input_ids"] == rows
    assert np.array_equal(tokenize_split(split, tiny_tokenizer, 12).num_tokens, tokenized.num_tokens)


def test_a_pair_needs_room_for_a_word_of_each(tiny_tokenizer):
    from transformers import BertConfig

    config = BertConfig(max_position_embeddings=32)
    assert find_max_length(tiny_tokenizer, config, 5, texts=2) == 5
    with pytest.raises(
        ConfigurationError, match="--max-length 4 is an invalid value: the model reads 5 to 32 tokens, of which 3"
    ):
        find_max_length(tiny_tokenizer, config, 4, texts=2)


def test_pairs_in_memory_are_tuples_of_two_texts_or_rows_of_three():
    pairs, labels = [("a", "x"), ("b", "y")], ["m", "n"]
    rows = [(*pair, label) for pair, label in zip(pairs, labels, strict=True)]
    splits = [load_text_dataset(data, make_splits=False).splits["test"] for data in ((pairs, labels), rows)]
    assert [split.texts for split in splits] == [[TextPair(*pair) for pair in pairs]] * 2
    assert splits[0].sha256 == splits[1].sha256
