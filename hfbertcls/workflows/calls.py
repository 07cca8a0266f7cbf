"""Keyword arguments of a Python call as options of the workflows, and the call for the report."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.sources import Data, source_name
from hfbertcls.environment import public_word
from hfbertcls.errors import ConfigurationError, did_you_mean, listing, shorten
from hfbertcls.inference.remembered import read_as_trained_on
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.training.arguments import TextClassificationTrainingArguments
from hfbertcls.training.options import TrainingOptions


_ELSEWHERE = {
    "seeds": "Call train_with_seeds(), and load what it wrote with TextClassifier.from_pretrained()",
    "average": "Call train_with_seeds(average=...), and load what it wrote with TextClassifier.from_pretrained()",
    "learning_curve": "Call hfbertcls.workflows.learning_curve.add_learning_curve() after training",
    "push_to_hub": "Call classifier.push_to_hub() after training",
    "dataset": "Pass it as data",
}
"""The options of `hfbertcls train` that `TextClassifier.train` lacks, with the alternative."""
READING = frozenset(inspect.signature(load_text_dataset).parameters) - {
    "dataset",
    "make_splits",
    "seed",
    "cross_validation",
}
"""The options of reading; `seed` and `cross_validation` are those of the run."""


def training_options(options: Mapping[str, Any], command: str) -> TrainingOptions:
    """Keyword arguments by the names of the flags of `hfbertcls train`, without those of `READING`.

    Args:
        options: the keyword arguments.
        command: what the report states.

    Raises:
        ConfigurationError: for the first name that is no option.
    """
    own = {one.name for one in fields(TrainingOptions)} - {"arguments", "command", "backup"}
    further = {one.name for one in fields(TextClassificationTrainingArguments)} - {"output_dir", "hub_token"}
    flags = {name: value for name, value in options.items() if name not in READING}
    for name in flags:
        if name not in own | further:
            names = [*READING, *own, *further]
            advice = _ELSEWHERE.get(name) or (
                f"Options have the names of the flags of `hfbertcls train`{did_you_mean(name, names)}"
            )
            raise ConfigurationError(f"TextClassifier.train() takes no {name!r}. {advice}")
    return TrainingOptions.of(**flags, command=command)


def data_to_train_on(data: Data | TextDataset, options: Mapping[str, Any], seed: int) -> TextDataset:
    """Read data by the options of `READING`.

    Raises:
        ConfigurationError: for options of reading if the data were read already.
        DatasetError: if the data cannot be used as they are.
    """
    reading = {name: value for name, value in options.items() if name in READING}
    if isinstance(data, TextDataset):
        _refuse_reading(reading)
        return data
    return load_text_dataset(data, **reading, seed=seed)


def data_to_measure_on(
    sources: Sequence[ModelSource], data: Data | TextDataset, reading: Mapping[str, Any]
) -> TextDataset:
    """Read data by the options of the first model's training; the options of `READING` win.

    Raises:
        ConfigurationError: if there is no such option, or the data were read already.
        DatasetError: if the data cannot be used as they are.
    """
    unknown = [name for name in reading if name not in READING]
    if unknown:
        raise ConfigurationError(
            f"there is no option {listing(unknown)}{did_you_mean(unknown[0], READING)}. Options of reading are "
            f"{', '.join(sorted(READING))}"
        )
    if isinstance(data, TextDataset):
        _refuse_reading(reading)
        return data
    return read_as_trained_on(sources, data, **reading)


def _refuse_reading(reading: Mapping[str, Any]) -> None:
    """Check that data that were read already come without options of reading."""
    if reading:
        raise ConfigurationError(
            f"the data were read already, so {listing(reading)} would change nothing. Pass {'it' if len(reading) == 1 else 'them'} "
            "to load_text_dataset()"
        )


def as_call(verb: str, source: ModelSource, data: Data | TextDataset, options: Mapping[str, Any]) -> str:
    """The call as the report states it: with the base name of each path, and a description of data in memory."""
    name = data.source if isinstance(data, TextDataset) else source_name(data)
    in_memory = not isinstance(data, str | Path)
    values = {key: public_word(value) if isinstance(value, str) else value for key, value in options.items()}
    keywords = "".join(
        f", {key}={value!r}"
        for key, value in values.items()
        if value is not None and key != "card" and isinstance(value, str | int | float | list | tuple)
    )
    model = repr(source.public_name)
    revision = "" if source.revision is None else f", revision={source.revision!r}"
    shown = "data" if in_memory else repr(name)
    if verb == "train":
        call = f"TextClassifier.train({model}, {shown}{keywords}{revision})"
    else:
        call = f"TextClassifier.from_pretrained({model}{revision}).{verb}({shown}{keywords})"
    return f"{call}  # data: {shorten(name)}" if in_memory else call
