"""Names for trainers and callbacks: ours, and those that other packages add through entry points.

A registry holds dotted names and imports nothing until it is asked for one.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from hfbertcls.errors import RegistryError, did_you_mean


class Registry:
    """Names that lead to classes.

    ```python
    >>> CALLBACKS.names()
    ['early-stopping', 'metric-logging'...]
    >>> TRAINERS.get("text-classification").__name__
    'TextClassificationTrainer'
    ```

    Args:
        kind (`str`): what it holds, for messages (`"callback"`).
        group (`str`): the entry point group in which other packages announce theirs (`"hfbertcls.callbacks"`).
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._targets: dict[str, str] = {}

    def add(self, name: str, target: str) -> None:
        """Register the class at `target` (`"package.module:Class"`) under `name`."""
        self._targets[name] = target

    def names(self) -> list[str]:
        """All names, sorted: those added here and those of installed packages."""
        return sorted(self._all())

    def get(self, name: str) -> Any:
        """Import and return the class that is registered as `name`.

        Raises:
            RegistryError: if there is no such name, or what it points to cannot be imported.
        """
        targets = self._all()
        if name not in targets:
            raise RegistryError(
                f"no {self.kind} is called {name!r}{did_you_mean(name, targets)}. "
                f"Known names: {', '.join(sorted(targets))}. "
                f"A package adds its own through the entry point group {self.group!r}"
            )
        module_name, _, attribute = targets[name].partition(":")
        try:
            return getattr(import_module(module_name), attribute)
        except (ImportError, AttributeError) as err:
            raise RegistryError(
                f"the {self.kind} {name!r} is registered as {targets[name]!r}, which cannot be imported: {err}. "
                "Repair or uninstall the package that registers it"
            ) from err

    def _all(self) -> dict[str, str]:
        announced = {point.name: point.value for point in entry_points(group=self.group)}
        return announced | self._targets


TRAINERS = Registry("trainer", "hfbertcls.trainers")
DEFAULT_TRAINER = "text-classification"
TRAINERS.add(DEFAULT_TRAINER, "hfbertcls.trainer:TextClassificationTrainer")

CALLBACKS = Registry("callback", "hfbertcls.callbacks")
CALLBACKS.add("early-stopping", "hfbertcls.training.callbacks.early_stopping:MetricEarlyStoppingCallback")
CALLBACKS.add("metric-logging", "hfbertcls.training.callbacks.metric_logging:MetricLoggingCallback")


def register() -> None:
    """Register `report_to="hfbertcls"` in transformers, which writes `metrics.jsonl`. A second call has no effect.

    ```python
    >>> register()
    >>> args = TextClassificationTrainingArguments(output_dir="results", report_to="hfbertcls")
    >>> args.report_to
    ['hfbertcls']
    ```
    """
    module = import_module("transformers.integrations.integration_utils")
    table: dict[str, Callable[..., Any]] = module.INTEGRATION_TO_CALLBACK
    table["hfbertcls"] = CALLBACKS.get("metric-logging")
