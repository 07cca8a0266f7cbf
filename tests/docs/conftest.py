"""A place where the pages of the documentation can be followed: a Hub with the models that they name, and their files."""

import contextlib
import io
import shlex
import shutil
import sys
from pathlib import Path

import pytest


ENCODERS = ("google-bert/bert-base-uncased", "sentence-transformers/all-MiniLM-L6-v2")
WORDS = [
    "the",
    "a",
    "film",
    "plot",
    "acting",
    "lamp",
    "box",
    "order",
    "came",
    "late",
    "early",
    "broken",
    "lovely",
    "dull",
    "great",
    "poor",
    "was",
    "is",
    "and",
    "but",
    "what",
    "again",
    "to",
    "in",
    "of",
    "it",
    "works",
    "does",
    "not",
    "my",
    "i",
    "forgot",
    "reset",
    "password",
    "how",
    "do",
]


@pytest.fixture(scope="session")
def reader_encoder(tmp_path_factory):
    """A BERT of 2 layers x 32 with random weights that reads 512 tokens."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    directory = tmp_path_factory.mktemp("models") / "encoder"
    BertModel(config).save_pretrained(directory)
    vocabulary = {token: index for index, token in enumerate(tokens)}
    BertTokenizer(vocab=vocabulary, model_max_length=512).save_pretrained(directory)
    return directory


def texts(number, seed, good=("lovely", "great", "early"), bad=("dull", "poor", "broken")):
    """Texts of the words that the encoder knows, half of them with a good one, each different."""
    import numpy as np

    generator = np.random.default_rng(seed)
    rows = {}
    while len(rows) < number:
        is_good = len(rows) % 2
        words = list(generator.choice(WORDS[:12], 7))
        words.insert(3, str(generator.choice(good if is_good else bad)))
        rows.setdefault(" ".join(words), is_good)
    return list(rows.items())


@pytest.fixture
def reader(hub, reader_encoder, tmp_path, monkeypatch):
    """An empty directory with the files that the pages name; logged in as `me` at a Hub that has the encoders."""
    import pandas as pd
    from huggingface_hub import HfApi

    hub.store.add_account("me", "hf_me")
    for name in ENCODERS:
        owner = name.partition("/")[0]
        hub.store.add_account(owner, f"hf_{owner}")
        api = HfApi(token=f"hf_{owner}")
        api.create_repo(name)
        api.upload_folder(folder_path=str(reader_encoder), repo_id=name)
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    rows = texts(360, 0)
    names = ("negative", "positive")
    reviews = pd.DataFrame({"text": [text for text, _ in rows], "label": [names[good] for _, good in rows]})
    reviews.assign(stars=[1 + 3 * good + number % 2 for number, (_, good) in enumerate(rows)]).to_csv(
        "reviews.csv", index=False
    )
    more = texts(120, 1)
    pd.DataFrame({"text": [text for text, _ in more], "label": [names[good] for _, good in more]}).to_csv(
        "other_reviews.csv", index=False
    )
    reviews[["text"]].head(40).to_csv("texts.csv", index=False)
    few = reviews.head(64)
    few.to_csv("few.csv", index=False)
    pairs = pd.DataFrame(
        {
            "question1": [text for text, _ in rows],
            "question2": [text if good else f"how do i {text}" for text, good in rows],
            "label": [("different", "same")[good] for _, good in rows],
        }
    )
    pairs.to_csv("questions.csv", index=False)
    topics = [
        ["quality"] if good else ["delivery", "quality"][: 1 + number % 2] for number, (_, good) in enumerate(rows)
    ]
    reviews.assign(label=[";".join(one) for one in topics]).to_csv("topics.csv", index=False)
    rare = [("bug", "outage")[number % 12 == 0] for number in range(len(rows))]
    reviews.assign(label=rare).to_csv("tickets.csv", index=False)
    Path("config.yaml").write_text(
        "model: google-bert/bert-base-uncased\ndataset: reviews.csv\noutput_dir: from-config\nepochs: 1\n"
        "card:\n  license: mit\n  language: en\n",
        encoding="utf-8",
    )
    return Reader(tmp_path)


class Reader:
    """Somebody who types what a page says, from its first block to its last one."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.names: dict[str, object] = {"__name__": "__page__"}

    def run(self, language: str, code: str) -> str:
        """Do what a block says; returns what it printed on standard output.

        Raises:
            AssertionError: if a command fails.
        """
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if language == "python":
                exec(compile(code, "block", "exec"), self.names)
            else:
                for line in code.replace("\\\n", " ").splitlines():
                    self._command(shlex.split(line, comments=True))
        return printed.getvalue()

    def _command(self, words: list[str]) -> None:
        from hfbertcls.cli import main

        if not words or words[0] in ("pip", "make", "python", "python3", "hf"):
            return
        if words[0] == "cp":
            shutil.copy(*words[1:])
            return
        if words[0] == "ls":
            assert all(Path(word).exists() for word in words[1:]), words
            return
        assert words[0] == "hfbertcls", f"a page runs {words[0]}"
        code = main([*words[1:], "--debug"])
        assert code == 0, f"exit code {code} of {shlex.join(words)}"


@pytest.fixture(autouse=True)
def tidy_modules():
    """What pages import stays out of other tests."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name in ("app", "stopping"):
            del sys.modules[name]
