"""From labelled text to a trustworthy BERT-family classifier.

Importing this package loads nothing heavy; each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any


__version__ = "0.2.0"

if TYPE_CHECKING:  # (what type checkers and editors see; tests/test_public_api.py compares it with `_HOMES`)
    from hfbertcls.classifier import TextClassifier as TextClassifier
    from hfbertcls.data.dataset import TextDataset as TextDataset
    from hfbertcls.data.loading import load_text_dataset as load_text_dataset
    from hfbertcls.diagnosis.doctor import diagnose as diagnose
    from hfbertcls.diagnosis.suspects import find_suspects as find_suspects
    from hfbertcls.errors import ConfigurationError as ConfigurationError
    from hfbertcls.errors import DatasetError as DatasetError
    from hfbertcls.errors import HfBertClsError as HfBertClsError
    from hfbertcls.errors import MissingAssetError as MissingAssetError
    from hfbertcls.errors import ModelError as ModelError
    from hfbertcls.errors import OutputDirectoryError as OutputDirectoryError
    from hfbertcls.errors import RegistryError as RegistryError
    from hfbertcls.errors import SharingError as SharingError
    from hfbertcls.errors import TrainingError as TrainingError
    from hfbertcls.errors import TrainingInterruptedError as TrainingInterruptedError
    from hfbertcls.evaluation.abstaining import threshold_for_accuracy as threshold_for_accuracy
    from hfbertcls.evaluation.report import Report as Report
    from hfbertcls.inference.bulk import predict_file as predict_file
    from hfbertcls.inference.pipelines import load_pipeline as load_pipeline
    from hfbertcls.modeling.heads import undo_calibration as undo_calibration
    from hfbertcls.modeling.padding_free import enable_padding_free as enable_padding_free
    from hfbertcls.modeling.predictions import Predictions as Predictions
    from hfbertcls.registry import CALLBACKS as CALLBACKS
    from hfbertcls.registry import TRAINERS as TRAINERS
    from hfbertcls.registry import register as register
    from hfbertcls.trainer import TextClassificationTrainer as TextClassificationTrainer
    from hfbertcls.training.arguments import TextClassificationTrainingArguments as TextClassificationTrainingArguments
    from hfbertcls.training.callbacks.early_stopping import MetricEarlyStoppingCallback as MetricEarlyStoppingCallback
    from hfbertcls.training.callbacks.metric_logging import MetricLoggingCallback as MetricLoggingCallback
    from hfbertcls.training.options import TrainingOptions as TrainingOptions
    from hfbertcls.workflows.compare import compare_models as compare_models
    from hfbertcls.workflows.export import export_onnx as export_onnx
    from hfbertcls.workflows.seeds import train_with_seeds as train_with_seeds
    from hfbertcls.workflows.verify import verify as verify

_HOMES = {
    "CALLBACKS": "hfbertcls.registry",
    "ConfigurationError": "hfbertcls.errors",
    "DatasetError": "hfbertcls.errors",
    "HfBertClsError": "hfbertcls.errors",
    "MetricEarlyStoppingCallback": "hfbertcls.training.callbacks.early_stopping",
    "MetricLoggingCallback": "hfbertcls.training.callbacks.metric_logging",
    "MissingAssetError": "hfbertcls.errors",
    "ModelError": "hfbertcls.errors",
    "OutputDirectoryError": "hfbertcls.errors",
    "Predictions": "hfbertcls.modeling.predictions",
    "RegistryError": "hfbertcls.errors",
    "Report": "hfbertcls.evaluation.report",
    "SharingError": "hfbertcls.errors",
    "TRAINERS": "hfbertcls.registry",
    "TextClassificationTrainer": "hfbertcls.trainer",
    "TextClassificationTrainingArguments": "hfbertcls.training.arguments",
    "TextClassifier": "hfbertcls.classifier",
    "TextDataset": "hfbertcls.data.dataset",
    "TrainingError": "hfbertcls.errors",
    "TrainingInterruptedError": "hfbertcls.errors",
    "TrainingOptions": "hfbertcls.training.options",
    "compare_models": "hfbertcls.workflows.compare",
    "diagnose": "hfbertcls.diagnosis.doctor",
    "enable_padding_free": "hfbertcls.modeling.padding_free",
    "export_onnx": "hfbertcls.workflows.export",
    "find_suspects": "hfbertcls.diagnosis.suspects",
    "load_pipeline": "hfbertcls.inference.pipelines",
    "load_text_dataset": "hfbertcls.data.loading",
    "predict_file": "hfbertcls.inference.bulk",
    "register": "hfbertcls.registry",
    "threshold_for_accuracy": "hfbertcls.evaluation.abstaining",
    "train_with_seeds": "hfbertcls.workflows.seeds",
    "undo_calibration": "hfbertcls.modeling.heads",
    "verify": "hfbertcls.workflows.verify",
}
"""The public names, each with the module that it is imported from when it is first used: the one list of them."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hfbertcls' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*_HOMES, *(name for name in globals() if name.startswith("__"))])
