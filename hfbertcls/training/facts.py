"""The facts of the training for a report."""

from collections.abc import Mapping
from typing import Any

from transformers import TrainerState

from hfbertcls.evaluation.report_training import TrainingFacts
from hfbertcls.training.arguments import TextClassificationTrainingArguments


def training_facts(
    args: TextClassificationTrainingArguments,
    state: TrainerState,
    seconds: float,
    speed: Mapping[str, Any],
    wall_seconds: float,
) -> TrainingFacts:
    """The `training` of a report.

    Args:
        args: of the trainer.
        state: of the trainer, after training.
        seconds: that the optimization steps took.
        speed: the result of `TextClassificationTrainer.speed`.
        wall_seconds: from the beginning of the run.
    """
    names = (
        "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps",
        "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "label_smoothing_factor", "optim",
        "train_sampling_strategy", "precision", "eval_every", "seed",
    )  # fmt: skip
    values = args.sanitised()
    # (transformers ignores the epochs if there are steps, and writes -1 if there are none)
    unused = "num_train_epochs" if args.max_steps > 0 else "max_steps"
    return TrainingFacts(
        best_step=state.best_global_step or state.global_step,
        steps=state.global_step,
        planned_steps=state.max_steps,
        epochs=state.epoch,
        seconds=seconds,
        wall_seconds=wall_seconds,
        **speed,
        seed=args.seed,
        selection_metric=str(args.metric_for_best_model).removeprefix("eval_") if state.best_global_step else None,
        selection_value=state.best_metric,
        hyperparameters={name: values[name] for name in names if name in values and name != unused}
        | {"precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32"},
        arguments={
            name: value for name, value in sorted(values.items()) if name != unused and value not in (None, "", [], {})
        },
    )
