"""The baselines of a task: the best constant answer, and linear models."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from hfbertcls.tasks.probabilities import Answers, Floats, Logits


class Baselined(ABC):
    """What a task decides about its baselines; answers are in the form of the task."""

    name: ClassVar[str]
    baseline_names: ClassVar[Mapping[str, str]] = {
        "majority": "always predicting the most frequent label",
        "tfidf_logreg": "TF-IDF + logistic regression",
        "frozen_logreg": "frozen encoder + logistic regression",
    }
    """By its key in a report, what a sentence calls it: the constant one, the linear model on TF-IDF and, where there is a
    third, the linear model on vectors of the encoder before training."""

    @property
    def second_text_baseline(self) -> tuple[str, str]:
        """Key and name of the baseline that pairs have beside these: the linear model on TF-IDF of the second text."""
        key, name = list(self.baseline_names.items())[1]
        return f"{key}_second_text", f"{name}, second text alone"

    @property
    def separate_texts_baseline(self) -> tuple[str, str]:
        """Key and name of the baseline of pairs that encodes each text alone: a linear model on what sets them apart.

        Only a task with a third baseline has it.
        """
        key, name = list(self.baseline_names.items())[2]
        return f"{key}_separate_texts", f"{name}, each text encoded alone"

    @property
    def names_of_baselines(self) -> Mapping[str, str]:
        """The key and name of every baseline that a report can have."""
        of_pairs = [self.second_text_baseline]
        if len(self.baseline_names) > 2:
            of_pairs.append(self.separate_texts_baseline)
        return {**self.baseline_names, **dict(of_pairs)}

    @abstractmethod
    def constant_baseline(self, gold: Answers) -> Answers:
        """The best constant answer: an array of the shape of one row's answer."""

    @abstractmethod
    def linear_model(self, gold: Answers, c: float = 10.0) -> Any:
        """A linear model of scikit-learn, to be fitted to these answers; `c` is its inverse regularization."""

    def weighted_linear_model(self, gold: Answers, c: float, weights: Floats) -> Any:
        """As `linear_model`, with class weights as `balanced_weights` returns them."""
        raise NotImplementedError(f"{self.name} has no class weights")

    @abstractmethod
    def linear_logits(self, model: Any, features: Any) -> Logits:
        """The logits of a fitted `linear_model`."""

    def linear_weights(self, model: Any) -> tuple[Floats, Floats]:
        """Weights of shape `(num_outputs, features)` and biases of shape `(num_outputs,)` of a fitted `linear_model`.

        Only a task with a third baseline has them.
        """
        raise NotImplementedError(f"{self.name} has no linear model on vectors of an encoder")

    def total_loss(self, gold: Answers, logits: Logits) -> tuple[float, Floats]:
        """The loss of all rows and outputs together, and its gradient by the logits.

        Only a task with a third baseline has it.
        """
        raise NotImplementedError(f"{self.name} has no rows of a head that are fitted alone")
