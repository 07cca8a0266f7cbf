"""The default learning rate and number of epochs, by the size of the model and the data."""

from dataclasses import dataclass
from math import ceil


# Parameters (millions, upper end) -> learning rate. Small encoders need larger steps: for MiniLM, 2e-4 and more did
# worse than 8e-5 and 1e-4 (benchmarks/RESULTS.md). The others are the published fine-tuning rates of base models (2e-5
# to 5e-5) and large models (1e-5 to 2e-5).
_LEARNING_RATES = ((40, 8e-5), (90, 5e-5), (200, 3e-5))
_LEARNING_RATE_LARGE = 1.5e-5
_MIN_UPDATES = 150
_UPDATES_PER_LABEL = 25
_MIN_EPOCHS, _MAX_EPOCHS = 3, 10


@dataclass(frozen=True)
class Recipe:
    """What was chosen."""

    learning_rate: float
    num_train_epochs: float


def choose_recipe(
    num_parameters: int, num_rows: int, num_labels: int, batch_size: int, rate_factor: float = 1.0
) -> Recipe:
    """Choose by the size of the model and of the data.

    The learning rate falls with the number of parameters. The epochs give 150 updates, or 25 for each
    label if that is more; at least 3, at most 10.

    Args:
        num_parameters: of the whole model.
        num_rows: of the train split.
        num_labels: of the classification head.
        batch_size: rows in each update, accumulation and devices included.
        rate_factor: of the task on the learning rate (`Task.learning_rate_factor`).
    """
    updates_per_epoch = max(1, ceil(num_rows / batch_size))
    updates = max(_MIN_UPDATES, _UPDATES_PER_LABEL * num_labels)
    epochs = min(max(ceil(updates / updates_per_epoch), _MIN_EPOCHS), _MAX_EPOCHS)
    return Recipe(choose_learning_rate(num_parameters) * rate_factor, float(epochs))


def choose_learning_rate(num_parameters: int) -> float:
    """The peak learning rate of a single-label classifier with so many parameters."""
    millions = num_parameters / 1e6
    return next((rate for limit, rate in _LEARNING_RATES if millions <= limit), _LEARNING_RATE_LARGE)
