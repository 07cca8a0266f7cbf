"""The trainer: transformers' own, without the traps that every subclass inherits."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import HfApi
from torch import nn
from torch.utils.data import RandomSampler
from transformers import EvalPrediction, TrainingArguments
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import IntervalStrategy
from transformers.utils import logging

from hfbertcls import processes
from hfbertcls.environment import directory_name
from hfbertcls.errors import TrainingError
from hfbertcls.evaluation.report_training import TrainingFacts
from hfbertcls.hub.push import PushRequest, check_destination, push_directory
from hfbertcls.modeling.flops import measured_peak, peak_memory, training_flops
from hfbertcls.modeling.label_matching import take_names
from hfbertcls.modeling.padding_free import is_padding_free
from hfbertcls.repository.output_directory import follow_umask
from hfbertcls.repository.script_report import write_repository
from hfbertcls.tasks.known import task_of_config
from hfbertcls.training.arguments import AUTO, TextClassificationTrainingArguments
from hfbertcls.training.callbacks.console import ConsoleCallback
from hfbertcls.training.callbacks.page_release import PageReleaseCallback
from hfbertcls.training.callbacks.throughput import ThroughputCallback
from hfbertcls.training.facts import training_facts
from hfbertcls.training.recipe import choose_recipe
from hfbertcls.training.trainer.accumulating import AccumulatingTrainer
from hfbertcls.training.trainer.dealing import DealingTrainer, is_filler
from hfbertcls.training.trainer.embedding_rows import RowGradientTrainer
from hfbertcls.training.trainer.measuring import MeasuringTrainer, Metrics, task_metrics
from hfbertcls.training.trainer.padding_free import PaddingFreeTrainer
from hfbertcls.training.trainer.resuming import ResumableTrainer
from hfbertcls.training.trainer.sampling import LengthGroupedSampler, ShuffledSampler
from hfbertcls.training.trainer.searching import SearchingTrainer
from hfbertcls.training.trainer.sharding import ShardingTrainer
from hfbertcls.training.trainer.splitting import SplittingTrainer


logger = logging.get_logger(__name__)

_END_OF_TRAINING = "End of training"  # (transformers' default, which is not informative)


class TextClassificationTrainer(
    SearchingTrainer,
    SplittingTrainer,
    AccumulatingTrainer,
    DealingTrainer,
    ShardingTrainer,
    ResumableTrainer,
    MeasuringTrainer,
    RowGradientTrainer,
    PaddingFreeTrainer,
):
    """`Trainer` for text classifiers; takes what its parent takes.

    The differences to the parent:

    - Accumulated batches give the same update as one large batch (`AccumulatingTrainer`).
    - Evaluation computes in fp32, whatever the precision of training.
    - `training_args.bin`, a pickle with local paths, is never kept, and checkpoints hold no path.
    - A learning rate or a number of epochs of 0 is chosen automatically.
    - Metrics are computed without `compute_metrics`, and beside it.
    - Padding is left out (`PaddingFreeTrainer`).
    - A batch that does not fit into memory is computed in parts (`SplittingTrainer`).
    - A search for hyperparameters optimizes the metric of the best checkpoint (`SearchingTrainer`).
    - Several processes make the updates of one, and need no common disk (`DealingTrainer`).
    - FSDP2 trains to the same weights, and saves them whole (`ShardingTrainer`).
    - A killed run resumes from its last complete checkpoint, with the same weights at the end (`ResumableTrainer`).

    ```python
    >>> args = TextClassificationTrainingArguments(output_dir="results", num_train_epochs=1)
    >>> trainer = TextClassificationTrainer(model, args, train_dataset=rows, eval_dataset=others)  # doctest: +SKIP
    >>> trainer.train().global_step  # doctest: +SKIP
    12
    ```
    """

    def __init__(
        self,
        model: Any = None,
        args: TrainingArguments | None = None,
        data_collator: Any = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        model_init: Callable[..., Any] | None = None,
        compute_loss_func: Callable[..., Any] | None = None,
        compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
        callbacks: list[Any] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        **kwargs: Any,
    ) -> None:
        arguments = args if args is not None else TextClassificationTrainingArguments(output_dir="trainer_output")
        if eval_dataset is None and isinstance(arguments, TextClassificationTrainingArguments):
            _switch_evaluation_off(arguments)
        if "tokenizer" in kwargs:
            warnings.warn("tokenizer is now called processing_class; it is translated", FutureWarning, stacklevel=2)
            processing_class = kwargs.pop("tokenizer") if processing_class is None else processing_class
        super().__init__(
            model=model,
            args=arguments,
            data_collator=data_collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            model_init=model_init,
            compute_loss_func=compute_loss_func,
            compute_metrics=_with_ours(compute_metrics, model, kwargs),
            callbacks=callbacks,
            optimizers=optimizers,
            **kwargs,
        )
        if (config := getattr(self.model, "config", None)) is not None and (
            names := take_names(config, train_dataset)
        ):
            logger.info(f"label names, from the data set: {', '.join(names)}")
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.add_callback(ConsoleCallback)
        self.add_callback(ThroughputCallback)
        self.add_callback(PageReleaseCallback)
        if isinstance(self.args, TextClassificationTrainingArguments):
            self._resolve_recipe(self.args)

    @property
    def throughput(self) -> ThroughputCallback:
        """How fast training went."""
        return next(one for one in self.callback_handler.callbacks if isinstance(one, ThroughputCallback))

    def _resolve_recipe(self, args: TextClassificationTrainingArguments) -> None:
        """Fill in the learning rate and the number of epochs that were left open, and log them."""
        if args.learning_rate != AUTO and args.num_train_epochs != AUTO:
            return
        model: Any = self.model
        rows: Any = self.train_dataset
        recipe = choose_recipe(
            sum(parameter.numel() for parameter in model.parameters()),
            len(rows) if hasattr(rows, "__len__") else 0,
            model.config.num_labels,
            args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
            1.0 if self._task is None else self._task.learning_rate_factor,
        )
        if args.learning_rate == AUTO:
            args.learning_rate = recipe.learning_rate
        if args.num_train_epochs == AUTO:
            args.num_train_epochs = recipe.num_train_epochs
        logger.info(f"learning rate {args.learning_rate:g}, {args.num_train_epochs:g} epochs")

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Our length grouping if there are lengths; the parent's random order in less memory; else as the parent."""
        # The parent passes the data set without the columns that the model does not take, so without the lengths.
        whole: Any = self.train_dataset
        column = self.args.length_column_name
        if self.args.train_sampling_strategy == "group_by_length" and column in getattr(whole, "column_names", ()):
            seed = self.args.data_seed if self.args.data_seed is not None else self.args.seed
            batch_size = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
            return LengthGroupedSampler(whole[column], batch_size, seed)
        sampler = super()._get_train_sampler(train_dataset)
        # (accelerate replaces any RandomSampler by a seeded one, whose order ours has)
        if type(sampler) is RandomSampler and self.args.accelerator_config.use_seedable_sampler:  # type: ignore[union-attr]
            seed = (
                self.args.data_seed if self.args.data_seed is not None else processes.broadcast(torch.initial_seed())
            )
            return ShuffledSampler(len(cast(Any, sampler.data_source)), seed)
        return sampler

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """As the parent; counts what it sees."""
        if "input_ids" in inputs and not is_filler(inputs):
            is_free = is_padding_free(cast(nn.Module, self.model))
            self.throughput.count(inputs, self.computed_positions if is_free else None)
        return super().training_step(model, inputs, num_items_in_batch)

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """As the parent, but in fp32: the metrics for model selection are those of the report."""
        with _without_autocast(cast(nn.Module, self.model)), _counting_alone(self.args):
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As the parent, with the speed since training began; a loss that is no number ends the run.

        Raises:
            TrainingError: with the step at which it was noticed, and remedies.
        """
        if "loss" in logs:
            self.throughput.sum_up()
            logs |= self.speed()
        super().log(logs, start_time)
        loss = logs.get("loss")
        if loss is not None and not isfinite(loss):
            raise TrainingError(
                f"the training loss is {loss} at step {self.state.global_step:,}: the weights are lost from here on. "
                f"Try a lower --learning-rate (it was {self.args.learning_rate:g}), --precision fp32, or a smaller "
                "--max-grad-norm"
            )

    def _before_saving(self) -> None:
        self.throughput.sum_up()

    def speed(self) -> dict[str, float]:
        """How fast the optimization steps went until now, in the units of the report.

        Several processes are counted together, as they stood when the loss was last logged.

        `flop_utilisation` is the arithmetic on real tokens as a fraction (0 to 1) of the device's matrix-product peak,
        measured in the same precision (`modeling/flops.py`).
        """
        seen, device = self.throughput, self.args.device.type
        if not seen.all_["seconds_"]:
            return {}
        dtype = torch.bfloat16 if self.args.bf16 else torch.float16 if self.args.fp16 else torch.float32
        peak = measured_peak(device, dtype) * processes.count()
        flops = training_flops(cast(nn.Module, self.model), seen.all_["tokens_"], seen.all_["squares_"])
        memory, seconds = peak_memory(device), seen.all_["seconds_"]
        return {
            "examples_per_second": seen.all_["rows_"] / seconds,
            "tokens_per_second": seen.all_["tokens_"] / seconds,
            "padding_fraction": seen.padding_fraction,
            "flop_utilisation": flops / seconds / peak,
            "peak_flops_per_second": peak,
            **({} if memory is None else {"peak_memory_bytes": memory}),
        }

    def facts(self, wall_seconds: float | None = None) -> TrainingFacts:
        """The `training` of a report; `wall_seconds` is the time of the run, by default that of the steps."""
        seconds = self.throughput.seconds_
        wall = seconds if wall_seconds is None else wall_seconds
        return training_facts(cast(Any, self.args), self.state, seconds, self.speed(), wall)

    hub_model_id: Any

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Check whether a push can succeed; unlike the parent, create no repository before there is a model.

        Raises:
            SharingError, ConfigurationError: if it cannot.
        """
        if self.args.should_save:
            self.hub_model_id = check_destination(self._push_request(), HfApi(token=token)).repo_id

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Do nothing: a push is the chosen model in one commit, not the state of training."""

    def _push_request(self, revision: str | None = None) -> PushRequest:
        name = self.args.hub_model_id or directory_name(Path(str(self.args.output_dir)))
        return PushRequest(name, public=self.args.hub_private_repo is False, revision=revision)

    def push_to_hub(
        self,
        commit_message: str | None = _END_OF_TRAINING,
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Write a complete model repository into the output directory, and push it as one commit.

        The card states the metrics of `eval_dataset`, computed from the saved weights. The repository is private
        unless `hub_private_repo=False`.

        Args:
            commit_message: of the commit; the default names the directory.
            blocking: False uploads in the background, once the repository is complete here.
            token: of the Hub; None takes that of the login.
            revision: a branch.
            private: False makes a new repository public; None asks `hub_private_repo`.
            **kwargs: facts for the card: `license`, `language`, `model_name` or `title`, `dataset` (a Hub id),
                `intended_use`, `limitations`, `contact`, `citation`.

        Returns:
            `Pushed`: with the address of the commit; a `Future` of it if `blocking` is False.

        Raises:
            SharingError, ConfigurationError: if it cannot be pushed; the directory is complete then.
        """
        directory = write_repository(self, kwargs)
        if not self.is_world_process_zero():
            return None
        request = self._push_request(revision)
        if private is not None:
            request = replace(request, public=not private)
        if commit_message != _END_OF_TRAINING:
            request = replace(request, message=commit_message)
        api = HfApi(token=token)
        if not blocking:
            return api.run_as_future(push_directory, directory.path, request, logger.info, api)
        return push_directory(directory.path, request, logger.info, api)

    def create_model_card(
        self,
        language: str | None = None,
        license: str | None = None,
        tags: str | list[str] | None = None,
        model_name: str | None = None,
        finetuned_from: str | None = None,
        tasks: str | list[str] | None = None,
        dataset_tags: str | list[str] | None = None,
        dataset: str | list[str] | None = None,
        dataset_args: str | list[str] | None = None,
    ) -> None:
        """Write a complete model repository into the output directory, as `push_to_hub` does, and push nothing.

        Args:
            language: of the texts, as a code such as `en`.
            license: as the Hub calls it.
            tags: not used; those of the card follow from the model.
            model_name: the title of the card; None takes the name of the directory.
            finetuned_from: not used; the configuration of the model says it.
            tasks: not used.
            dataset_tags: not used.
            dataset: the name of the data, or its Hub id.
            dataset_args: not used.

        Raises:
            ConfigurationError: if the trainer has no evaluation data or no tokenizer.
        """
        facts = {"language": language, "license": license, "model_name": model_name, "dataset": dataset}
        write_repository(self, {key: value for key, value in facts.items() if value is not None})

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Save model and tokenizer, and the arguments as sanitised JSON instead of a pickle."""
        super()._save(output_dir, state_dict)
        if not self.args.should_save:
            return
        directory = Path(output_dir if output_dir is not None else str(self.args.output_dir))
        (directory / TRAINING_ARGS_NAME).unlink(missing_ok=True)
        follow_umask(directory)
        if isinstance(self.args, TextClassificationTrainingArguments):
            (directory / "training_args.json").write_text(self.args.to_sanitised_json(), encoding="utf-8")


def _with_ours(metrics: Metrics | None, model: Any, options: Mapping[str, Any]) -> Metrics:
    """The user's metrics beside ours, which choose the checkpoint; alone where ours need logits that are missing."""
    config = getattr(model, "config", None)
    task = None if config is None else task_of_config(config)
    if metrics is None:
        return partial(task_metrics, task=task)
    if (config is not None and task is None) or options.get("preprocess_logits_for_metrics") is not None:
        return metrics
    return partial(task_metrics, task=task, more=metrics)


def _switch_evaluation_off(args: TextClassificationTrainingArguments) -> None:
    """Without validation data there is no model selection: our defaults are turned off, with a warning."""
    if args.eval_strategy == IntervalStrategy.NO:
        return
    logger.warning("no eval_dataset: evaluation is off, and the last weights are kept, not the best")
    args.eval_strategy = IntervalStrategy.NO
    args.do_eval = False
    args.load_best_model_at_end = False


@contextlib.contextmanager
def _counting_alone(args: TrainingArguments) -> Iterator[None]:
    """Count the rows of a batch without the other processes, one of which may compute it in parts."""
    together, args.average_tokens_across_devices = args.average_tokens_across_devices, False
    try:
        yield
    finally:
        args.average_tokens_across_devices = together


@contextlib.contextmanager
def _without_autocast(model: nn.Module) -> Iterator[None]:
    """Run a model that accelerate prepared for mixed precision in the precision of its weights.

    accelerate sets a `forward` on the instance that enters autocast; without it, the class's own forward runs.
    """
    prepared = model.__dict__.pop("forward", None) if "_original_forward" in model.__dict__ else None
    try:
        yield
    finally:
        if prepared is not None:
            model.forward = prepared
