"""Words of the command line that are fields of transformers' training arguments."""

from collections.abc import Sequence
from typing import Any, NoReturn

from hfbertcls.cli.parser import Parser
from hfbertcls.errors import ConfigurationError


_OURS_INSTEAD = {
    "output_dir": "--output-dir", "report_to": "--report-to", "bf16": "--precision", "fp16": "--precision",
    "bf16_full_eval": "--precision", "fp16_full_eval": "--precision", "tf32": "--precision",
    "eval_strategy": "--eval-every", "evaluation_strategy": "--eval-every", "save_strategy": "--eval-every",
    "eval_steps": "--eval-every", "save_steps": "--eval-every", "metric_for_best_model": "--metric",
    "greater_is_better": "--metric", "load_best_model_at_end": "--metric", "do_train": "hfbertcls train",
    "do_eval": "hfbertcls evaluate", "do_predict": "hfbertcls evaluate", "resume_from_checkpoint": "--resume",
    "auto_find_batch_size": "--batch-size auto", "overwrite_output_dir": "--overwrite", "warmup_ratio": "--warmup-steps",
    "no_cuda": "--use-cpu", "group_by_length": "--train-sampling-strategy", "adafactor": "--optim",
    "per_gpu_train_batch_size": "--batch-size", "per_gpu_eval_batch_size": "--per-device-eval-batch-size",
    "logging_dir": "the environment variable TENSORBOARD_LOGGING_DIR",
}  # fmt: skip
_NOT_SUPPORTED = {
    "label_names", "prediction_loss_only", "eval_do_concat_batches", "batch_eval_metrics", "include_for_metrics",
    "eval_on_start", "eval_delay", "eval_use_gather_object", "remove_unused_columns", "past_index", "deepspeed",
}  # fmt: skip


def training_fields(rest: Sequence[str], ours: Parser) -> dict[str, Any]:
    """Read the words that are no options of ours as fields of the training arguments."""
    from transformers import HfArgumentParser

    from hfbertcls.training.arguments import TextClassificationTrainingArguments

    class FieldParser(HfArgumentParser):
        def error(self, message: str) -> NoReturn:
            ours.error(message)

    kind: Any = TextClassificationTrainingArguments
    parser = FieldParser(kind, allow_abbrev=False)
    fields = {action.dest for action in parser._actions}
    names = []
    for word in rest:
        if not word.startswith("--"):
            continue
        name = word.removeprefix("--").partition("=")[0].replace("-", "_")
        if name == "hub_token":
            raise ConfigurationError(
                f"{word} is not allowed: a token on the command line ends up in files and process lists. Log in with `hf auth "
                "login`, or set HF_TOKEN"
            )
        if name.startswith("hub_"):
            raise ConfigurationError(
                f"{word} is set by hfbertcls. Use --push-to-hub USER/NAME and the options beside it"
            )
        if name in _NOT_SUPPORTED:
            raise ConfigurationError(f"{word} is not supported by hfbertcls train: the metrics of a run depend on it")
        if name in _OURS_INSTEAD:
            raise ConfigurationError(f"{word} is set by hfbertcls. Use {_OURS_INSTEAD[name]} instead")
        if name not in fields:
            ours.refuse_option(word, [f"--{field.replace('_', '-')}" for field in fields])
        names.append(name)
    if rest and not names:
        ours.error(f"{rest[0]!r} belongs to no option")
    values, extra = parser.parse_known_args([*rest, "--output_dir", "unused"])
    if extra:
        ours.error(f"{extra[0]!r} belongs to no option")
    return {name: getattr(values, name) for name in names}
