"""No network, no token, no state of the user's: what every test starts from; and tiny models made in memory."""

import atexit
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path


# huggingface_hub and transformers read these when they are first imported, so they are set before any import. The only
# Hub that there is for the tests is the one in tests/hub.
sys.path.insert(0, str(Path(__file__).resolve().parent / "hub"))
from server import Hub


_HUB = Hub()
_HOME = tempfile.mkdtemp(prefix="hfbertcls-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
# What started the tests may ignore or block signals (`nohup make test &`, some CI). Processes that tests start inherit that,
# and could then not be stopped; where this process has a handler of its own, they have the default.
signal.pthread_sigmask(signal.SIG_SETMASK, ())
for _signal, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGTERM, signal.SIG_DFL),
    (signal.SIGCHLD, signal.SIG_DFL),
):
    if signal.getsignal(_signal) == signal.SIG_IGN:
        signal.signal(_signal, _handler)
if "PYTEST_XDIST_WORKER" in os.environ:  # each of several processes has a core; torch would take all for each
    os.environ["OMP_NUM_THREADS"] = "1"
os.environ.update(
    GRADIO_TEMP_DIR=f"{_HOME}/gradio",  # (its own is shared by all users of the machine)
    HF_ENDPOINT=_HUB.url,
    HF_HOME=_HOME,
    HF_HUB_DISABLE_TELEMETRY="1",
    MPLCONFIGDIR=_HOME,  # (a user may have no home directory)
    HF_XET_CLIENT_RETRY_BASE_DELAY="50ms",
    NO_PROXY="*",
    TOKENIZERS_PARALLELISM="false",
)
for _name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
    os.environ.pop(_name, None)

import pytest  # noqa: E402


LABELS = ("negative", "positive")
LONG_ONES = ("tests/docs/", "tests/end_to_end/", "tests/repository/", "tests/stress/")


@pytest.fixture
def outcome(record_property):
    """Note what came of a fault, for the table at the end of the output."""
    return lambda fault, result: record_property("outcome", (fault, result))


def pytest_terminal_summary(terminalreporter):
    noted = [
        value
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "outcome"
    ]
    if noted:
        terminalreporter.section("faults of the Hub during a push, and what came of them")
        for fault, result in sorted(noted):
            terminalreporter.write_line(f"{fault:<24} {result}")


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


def pytest_collection_modifyitems(items):
    """Start with the folders of long tests: with several processes, none then waits for another at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG_ONES))


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Fail a test that connects to anything but this machine."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            pytest.fail(f"a test tried to connect to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def flags_in_messages():
    """Let tests read errors as they are written, with flags; tests/test_option_names.py has what Python programs read."""
    from hfbertcls.option_names import command_line

    with command_line():
        yield


@pytest.fixture
def hub():
    """An empty Hub with the accounts alice (writes, in acme too), bob (writes) and rita (only reads)."""
    _HUB.reset()
    _HUB.store.add_account("alice", "hf_alice", orgs={"acme": "write", "museum": "read"})
    _HUB.store.add_account("bob", "hf_bob")
    _HUB.store.add_account("rita", "hf_rita", role="read")
    yield _HUB
    _HUB.reset()


@pytest.fixture(scope="session")
def vocabulary() -> list[str]:
    words = [
        "the",
        "a",
        "this",
        "that",
        "was",
        "is",
        "film",
        "plot",
        "acting",
        "very",
        "really",
        "not",
        "so",
        "of",
        "in",
        "and",
        "story",
        "scene",
        "ending",
        "music",
    ]
    good = ["good", "great", "lovely", "fine", "superb", "warm"]
    bad = ["bad", "awful", "dull", "poor", "weak", "cold"]
    return [*words, *good, *bad]


@pytest.fixture(scope="session")
def tiny_tokenizer(vocabulary):
    from transformers import BertTokenizer

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *vocabulary]
    return BertTokenizer(vocab={token: index for index, token in enumerate(tokens)}, model_max_length=32)


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory, tiny_tokenizer) -> Path:
    """A BERT of 2 layers x 32 with random weights, as a directory."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    directory = tmp_path_factory.mktemp("models") / "tiny-bert"
    BertModel(config).save_pretrained(directory)
    tiny_tokenizer.save_pretrained(directory)
    return directory


def make_reviews(num_rows: int, seed: int, vocabulary: list[str]) -> list[tuple[str, str]]:
    """Sentences with one good or bad word among neutral ones, and their labels."""
    import numpy as np

    generator = np.random.default_rng(seed)
    neutral, good, bad = vocabulary[:19], vocabulary[19:25], vocabulary[25:]
    rows = []
    for _ in range(num_rows):
        is_good = bool(generator.integers(2))
        words = list(generator.choice(neutral, generator.integers(2, 12)))
        words.insert(int(generator.integers(len(words))), str(generator.choice(good if is_good else bad)))
        rows.append((" ".join(words), LABELS[is_good]))
    return rows


@pytest.fixture(scope="session")
def reviews(vocabulary):
    """`make_reviews` as a function of number of rows and seed."""
    return lambda num_rows, seed: make_reviews(num_rows, seed, vocabulary)


@pytest.fixture(scope="module")
def short_contrastive_phase():
    """Ten steps instead of 60, and of a distillation: for tests that look at other things."""
    from hfbertcls.training import phases

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases, "MOST_OPERATIONS", 1.0)
        yield


@pytest.fixture(scope="session")
def reviews_dir(tmp_path_factory, vocabulary) -> Path:
    """A folder with train, validation and test CSV files of two labels."""
    import csv

    directory = tmp_path_factory.mktemp("data") / "reviews"
    directory.mkdir()
    for seed, (name, num_rows) in enumerate({"train": 480, "validation": 64, "test": 64}.items()):
        with (directory / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows(make_reviews(num_rows, seed, vocabulary))
    return directory


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, tiny_model_dir, reviews_dir) -> Path:
    """A directory that `hfbertcls train` wrote; copy it before changing anything."""
    from hfbertcls.cli import main

    directory = tmp_path_factory.mktemp("finished") / "film-reviews"
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--output-dir", str(directory)]
    assert main([*words, "--max-steps", "20", "--learning-rate", "0.003", "--eval-every", "10"]) == 0
    return directory


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory, tiny_model_dir, reviews_dir) -> Path:
    """A directory that `TextClassifier.train` wrote, with a classifier that has learned its labels."""
    from hfbertcls import TextClassifier

    directory = tmp_path_factory.mktemp("trained") / "my-model"
    options = {"max_steps": 60, "learning_rate": 0.003, "eval_every": 30}
    TextClassifier.train(str(tiny_model_dir), reviews_dir, directory, **options, log=None)
    return directory


@pytest.fixture(scope="session")
def multi_label_dir(tmp_path_factory, tiny_model_dir, tiny_tokenizer) -> Path:
    """A classifier that gives a text "praise", "blame" and "music" for the words great, dull and music, or none of them."""
    import itertools

    import torch
    from transformers import BertForSequenceClassification

    from hfbertcls.modeling.heads import write_config_values
    from hfbertcls.tasks.multi_label import MultiLabel

    task = MultiLabel(("praise", "blame", "music"), thresholds=(0.6, 0.5, 0.3))
    torch.manual_seed(0)
    model = BertForSequenceClassification.from_pretrained(
        tiny_model_dir,
        id2label=dict(enumerate(task.labels)),
        label2id={name: index for index, name in enumerate(task.labels)},
        problem_type="multi_label_classification",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    truth = list(itertools.product((0.0, 1.0), repeat=3))
    said = ("great", "dull", "music")
    neutral = (["the", "film"], ["a", "story", "of", "the", "ending"], ["this", "scene", "was", "so"])
    texts = [
        " ".join([*words, *itertools.compress(said, row), *words[:repeats]])
        for words in neutral
        for repeats in (0, 2)
        for row in truth
    ]
    batch = tiny_tokenizer(texts, padding=True, return_tensors="pt")
    labels = torch.tensor(truth * 6)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(60):
        optimizer.zero_grad()
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
    directory = tmp_path_factory.mktemp("multi-label") / "topics"
    model.save_pretrained(directory)
    tiny_tokenizer.save_pretrained(directory)
    write_config_values(directory, task.config_values)
    return directory


@pytest.fixture
def model_dir(tmp_path, finished_run) -> Path:
    """A copy of a finished run."""
    import shutil

    return Path(shutil.copytree(finished_run, tmp_path / "film-reviews"))
