"""From labelled text to a trustworthy BERT-family classifier.

Importing this package loads nothing heavy; each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any


__version__ = "0.1.0"

if TYPE_CHECKING:
    from hfbertcls.data.dataset import TextDataset, TextSplit
    from hfbertcls.data.loading import load_text_dataset
    from hfbertcls.data.tokenization import tokenize_split
    from hfbertcls.errors import (
        ConfigurationError,
        DatasetError,
        HfBertClsError,
        MissingAssetError,
        ModelError,
        OutputDirectoryError,
        RegistryError,
        SharingError,
        TrainingError,
        TrainingInterruptedError,
    )
    from hfbertcls.evaluation.abstaining import threshold_for_accuracy
    from hfbertcls.evaluation.report import Report
    from hfbertcls.hub.push import Pushed, PushRequest, push_directory
    from hfbertcls.hub.space.deployment import DeployedSpace, deploy_space
    from hfbertcls.hub.space.destination import SpaceRequest
    from hfbertcls.hub.space.render import SpaceFacts, render_space
    from hfbertcls.hub.verify import verify_repository
    from hfbertcls.inference.bulk import BulkOptions, BulkResult, predict_file
    from hfbertcls.inference.pipelines import load_pipeline
    from hfbertcls.modeling.heads import undo_calibration
    from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_for_training, load_tokenizer
    from hfbertcls.modeling.packing import enable_packing
    from hfbertcls.modeling.predictions import Predictions
    from hfbertcls.registry import CALLBACKS, TRAINERS, register
    from hfbertcls.repository.card import render_model_card
    from hfbertcls.repository.card_metadata import TextClassificationCardData
    from hfbertcls.repository.verify import Verification, verify_directory
    from hfbertcls.tasks.thresholds import fit_thresholds
    from hfbertcls.trainer import TextClassificationTrainer
    from hfbertcls.training.arguments import TextClassificationTrainingArguments
    from hfbertcls.training.callbacks.early_stopping import MetricEarlyStoppingCallback
    from hfbertcls.training.callbacks.metric_logging import MetricLoggingCallback
    from hfbertcls.training.options import TrainingOptions
    from hfbertcls.workflows.compare import compare_models
    from hfbertcls.workflows.evaluate import evaluate_model
    from hfbertcls.workflows.export import Exported, export_onnx
    from hfbertcls.workflows.learning_curve import add_learning_curve
    from hfbertcls.workflows.seeds import train_with_seeds
    from hfbertcls.workflows.train import train_and_evaluate

_HOMES = {
    "BulkOptions": "hfbertcls.inference.bulk",
    "BulkResult": "hfbertcls.inference.bulk",
    "CALLBACKS": "hfbertcls.registry",
    "ConfigurationError": "hfbertcls.errors",
    "DatasetError": "hfbertcls.errors",
    "Exported": "hfbertcls.workflows.export",
    "HfBertClsError": "hfbertcls.errors",
    "MetricEarlyStoppingCallback": "hfbertcls.training.callbacks.early_stopping",
    "MetricLoggingCallback": "hfbertcls.training.callbacks.metric_logging",
    "MissingAssetError": "hfbertcls.errors",
    "ModelError": "hfbertcls.errors",
    "ModelSource": "hfbertcls.modeling.loading",
    "OutputDirectoryError": "hfbertcls.errors",
    "Predictions": "hfbertcls.modeling.predictions",
    "RegistryError": "hfbertcls.errors",
    "SharingError": "hfbertcls.errors",
    "Report": "hfbertcls.evaluation.report",
    "TRAINERS": "hfbertcls.registry",
    "TextClassificationCardData": "hfbertcls.repository.card_metadata",
    "TextClassificationTrainer": "hfbertcls.trainer",
    "TextClassificationTrainingArguments": "hfbertcls.training.arguments",
    "TextDataset": "hfbertcls.data.dataset",
    "TextSplit": "hfbertcls.data.dataset",
    "TrainingError": "hfbertcls.errors",
    "TrainingInterruptedError": "hfbertcls.errors",
    "TrainingOptions": "hfbertcls.training.options",
    "add_learning_curve": "hfbertcls.workflows.learning_curve",
    "compare_models": "hfbertcls.workflows.compare",
    "enable_packing": "hfbertcls.modeling.packing",
    "evaluate_model": "hfbertcls.workflows.evaluate",
    "export_onnx": "hfbertcls.workflows.export",
    "fit_thresholds": "hfbertcls.tasks.thresholds",
    "load_for_inference": "hfbertcls.modeling.loading",
    "load_for_training": "hfbertcls.modeling.loading",
    "load_pipeline": "hfbertcls.inference.pipelines",
    "load_text_dataset": "hfbertcls.data.loading",
    "load_tokenizer": "hfbertcls.modeling.loading",
    "register": "hfbertcls.registry",
    "PushRequest": "hfbertcls.hub.push",
    "Pushed": "hfbertcls.hub.push",
    "predict_file": "hfbertcls.inference.bulk",
    "push_directory": "hfbertcls.hub.push",
    "DeployedSpace": "hfbertcls.hub.space.deployment",
    "SpaceFacts": "hfbertcls.hub.space.render",
    "render_space": "hfbertcls.hub.space.render",
    "SpaceRequest": "hfbertcls.hub.space.destination",
    "deploy_space": "hfbertcls.hub.space.deployment",
    "Verification": "hfbertcls.repository.verify",
    "verify_directory": "hfbertcls.repository.verify",
    "verify_repository": "hfbertcls.hub.verify",
    "render_model_card": "hfbertcls.repository.card",
    "threshold_for_accuracy": "hfbertcls.evaluation.abstaining",
    "tokenize_split": "hfbertcls.data.tokenization",
    "train_and_evaluate": "hfbertcls.workflows.train",
    "train_with_seeds": "hfbertcls.workflows.seeds",
    "undo_calibration": "hfbertcls.modeling.heads",
}

__all__ = [
    "CALLBACKS",
    "TRAINERS",
    "BulkOptions",
    "BulkResult",
    "ConfigurationError",
    "DatasetError",
    "DeployedSpace",
    "Exported",
    "HfBertClsError",
    "MetricEarlyStoppingCallback",
    "MetricLoggingCallback",
    "MissingAssetError",
    "ModelError",
    "ModelSource",
    "OutputDirectoryError",
    "Predictions",
    "PushRequest",
    "Pushed",
    "RegistryError",
    "Report",
    "SharingError",
    "SpaceFacts",
    "SpaceRequest",
    "TextClassificationCardData",
    "TextClassificationTrainer",
    "TextClassificationTrainingArguments",
    "TextDataset",
    "TextSplit",
    "TrainingError",
    "TrainingInterruptedError",
    "TrainingOptions",
    "Verification",
    "add_learning_curve",
    "compare_models",
    "deploy_space",
    "enable_packing",
    "evaluate_model",
    "export_onnx",
    "fit_thresholds",
    "load_for_inference",
    "load_for_training",
    "load_pipeline",
    "load_text_dataset",
    "load_tokenizer",
    "predict_file",
    "push_directory",
    "register",
    "render_model_card",
    "render_space",
    "threshold_for_accuracy",
    "tokenize_split",
    "train_and_evaluate",
    "train_with_seeds",
    "undo_calibration",
    "verify_directory",
    "verify_repository",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hfbertcls' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
