"""Loading encoders and tokenizers, with checks of what a checkpoint brings along."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfbertcls.data.long_text import LongText
from hfbertcls.environment import directory_name, local_path
from hfbertcls.errors import ModelError, cut, listing, no_directory
from hfbertcls.modeling.heads import begin_with, describe_task, output_layer, output_layer_name, rescale_outputs
from hfbertcls.modeling.label_matching import HeadMatch, nameless
from hfbertcls.offline import unreachable_hub
from hfbertcls.processes import cuda_device
from hfbertcls.progress import work
from hfbertcls.tasks.known import task_of_config
from hfbertcls.tasks.single_label import SingleLabel


if TYPE_CHECKING:
    import numpy.typing as npt
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from hfbertcls.tasks.task import Task


@dataclass(frozen=True)
class ModelSource:
    """Which model to load, and what its repository may do."""

    name: str
    """A Hub id or a local directory."""
    revision: str | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False
    known_as: str | None = None
    """What to call a local model whose directory has no telling name."""

    @property
    def path(self) -> Path:
        """Where the model lies if it is a directory here."""
        return local_path(self.name)

    @property
    def is_local(self) -> bool:
        """Whether the model is a directory here."""
        try:
            return self.path.is_dir()
        except OSError:  # (a name too long for any file)
            return False

    @property
    def public_name(self) -> str:
        """The Hub id, or the base name of the directory: nothing that tells where it lies."""
        if self.known_as is not None:
            return self.known_as
        return directory_name(self.path) if self.is_local else self.name

    @property
    def resolved(self) -> str:
        """What transformers is asked for."""
        return str(self.path) if self.is_local else self.name


def reason_of(err: BaseException, source: ModelSource) -> str:
    """The reason in one line, without the place where the model lies."""
    text = " ".join(str(err).split()).replace(str(source.path), source.public_name)
    return f"{cut(text, 200).rstrip('.') or type(err).__name__}."


def refuse_with_remedy(err: BaseException, source: ModelSource) -> None:
    """Raise an error with a remedy if the Hub was not reached, or the model's code was not allowed to run.

    Raises:
        ModelError: in these cases.
    """
    absent = "" if source.is_local else no_directory(source.path)
    message = unreachable_hub(err, f"the model {source.public_name!r}", absent)
    if message is not None:
        raise ModelError(message) from err
    if "trust_remote_code" in str(err):
        raise ModelError(
            f"the model {source.public_name!r} brings its own code, which would run on this machine. "
            "Read that code, then pass --trust-remote-code"
        ) from err


def load_config(source: ModelSource) -> "PreTrainedConfig":
    """Load the configuration of a model.

    Raises:
        ModelError: if there is no such model, or it needs code from its repository that was not allowed to run.
    """
    from transformers import AutoConfig  # noqa: PLC0415  (takes seconds)

    path = source.path
    if source.is_local and source.revision is not None:
        raise ModelError(
            f"--revision {source.revision} has no meaning for the local directory {path.name!r}. Leave it out"
        )
    if path.is_file():
        raise ModelError(f"--model {path.name} is a file. Expected a directory with config.json, or a Hub id")
    if source.is_local and not (path / "config.json").is_file():
        raise ModelError(
            f"the directory {path.name!r} is no model: it has no config.json. It holds "
            f"{listing(sorted(entry.name for entry in path.iterdir())) or 'nothing'}"
        )
    if not source.is_local and (
        path.is_absolute() or source.name.startswith((".", "~")) or source.name.count("/") > 1
    ):
        raise ModelError(
            f"{no_directory(path)}. Expected a directory with config.json, or a Hub id such as 'google-bert/bert-base-uncased'"
        )
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            source.resolved, revision=source.revision, trust_remote_code=source.trust_remote_code
        )
    except Exception as err:
        refuse_with_remedy(err, source)
        raise ModelError(
            f"the model {source.public_name!r} cannot be loaded: {reason_of(err, source)} "
            "Expected a directory with config.json, or a Hub id such as 'google-bert/bert-base-uncased'"
        ) from err
    return config


def load_tokenizer(source: ModelSource) -> "PreTrainedTokenizerBase":
    """Load the tokenizer of a model, free of any truncation or padding that its file carries.

    Raises:
        ModelError: if there is none, or it has no padding token.
    """
    from transformers import AutoTokenizer  # noqa: PLC0415  (takes seconds)

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            source.resolved, revision=source.revision, trust_remote_code=source.trust_remote_code
        )
    except Exception as err:
        refuse_with_remedy(err, source)
        raise ModelError(
            f"the tokenizer of {source.public_name!r} cannot be loaded: {reason_of(err, source)} "
            "Check tokenizer.json and tokenizer_config.json"
        ) from err
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise ModelError(
            f"the tokenizer of {source.public_name!r} knows no words: its files (tokenizer.json, or vocab.txt) are missing. "
            "Copy them into the directory of the model"
        )
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"the tokenizer of {source.public_name!r} has no padding token, without which texts cannot be batched. "
            "Set tokenizer.pad_token, save the tokenizer into the model's directory and try again"
        )
    forget_truncation_and_padding(tokenizer)
    return tokenizer


def forget_truncation_and_padding(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Remove the truncation and padding state that a fast tokenizer keeps, and would save, in `tokenizer.json`."""
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()


_A_LAYER = re.compile(r"(?:^|\.)(?:layers?|blocks?|h)\.\d+\.")


@dataclass(frozen=True)
class LoadedClassifier:
    """A model ready to be trained, and what was done to make it so."""

    model: "PreTrainedModel"
    notes: tuple[str, ...]
    new_parameters: frozenset[str]
    """Names of the parameters that were newly initialized; none if rows of a trained head are kept."""
    new_rows: tuple[int, ...] = ()
    """Labels that are new, by their ids, where other rows of a trained head are kept."""


def load_for_training(
    source: ModelSource,
    task: "Task",
    seed: int,
    priors: "npt.ArrayLike | None" = None,
    long_text: LongText | None = None,
) -> LoadedClassifier:
    """Load an encoder in fp32 with a classification head for a task.

    The random generators are seeded before the head is made, so the same seed gives the same head. If the base is
    already a classifier, the rows of its head are matched with the labels by name (`HeadMatch`). Matched rows are kept
    with their temperature; the others are newly initialized.

    Args:
        source: the encoder.
        task: what the head is to answer.
        seed: of the head.
        priors: class priors of a new head, of shape `(num_outputs,)`; None: as transformers initializes it. See
            `Task.initial_probabilities`.
        long_text: how it is to read long texts; None: as its configuration says.

    Raises:
        ModelError: if the model cannot be loaded, is no encoder that can classify, exists only as a pickle, or has a
            trained head for other labels whose rows cannot be matched.
    """
    from hfbertcls.modeling.windows import read_long_texts  # noqa: PLC0415  (loads PyTorch)

    config = load_config(source)
    if long_text is not None:
        long_text.describe(config)
    loaded = _with_head(source, config, task, seed, priors)
    read_long_texts(loaded.model)
    return loaded


def _with_head(
    source: ModelSource, config: "PreTrainedConfig", task: "Task", seed: int, priors: "npt.ArrayLike | None"
) -> LoadedClassifier:
    from transformers import set_seed  # noqa: PLC0415  (takes seconds)

    id2label: dict[Any, str] = {**(config.id2label or {})}
    earlier = tuple(str(id2label.get(index, "")) for index in range(len(id2label)))
    earlier_task = task_of_config(config)
    describe_task(config, task)
    set_seed(seed)
    model, info = _load(source, config=config, ignore_mismatched_sizes=True)
    new, replaced = _names(info["missing_keys"]), _names(info["mismatched_keys"])
    body = sorted(
        name
        for name in (new | replaced)
        if name.startswith(f"{model.base_model_prefix}.") and (name in replaced or "pooler" not in name)
    )
    unused = sorted(name for name in info["unexpected_keys"] if _A_LAYER.search(name))
    if body or unused:
        what = f"{len(body)} parts of the encoder are missing or of another size" if body else "some are left over"
        raise ModelError(
            f"the weights of {source.public_name!r} do not fit its configuration: {what} ({listing(body or unused, 3)}). "
            "Check config.json and the files of the model"
        )
    head = output_layer_name(model)
    if new | replaced if head is None else f"{head}.weight" in new:
        if priors is not None:
            begin_with(model, priors)
        return LoadedClassifier(model, (), frozenset(new | replaced))
    stored = {key: shape[0] for key, shape, _ in info["mismatched_keys"]}
    count = stored.get(f"{head}.weight", task.num_outputs)
    match = HeadMatch.of(earlier if count == len(earlier) else nameless(count), task.output_names)
    if not match.keeps_all or count != task.num_outputs:
        if head is None:
            raise ModelError(
                f"{source.public_name!r} is a classifier for {listing(earlier, 4)}, and its head has no linear layer at its end whose "
                f"rows could be matched with {listing(task.output_names, 4)}. Name an encoder without a head, or data with these labels"
            )
        model = _with_rows_of(source, model, match, seed, priors)
    notes = (match.note(source.public_name),)
    if match.keeps_none:
        return LoadedClassifier(model, notes, frozenset(replaced))
    if earlier_task is not None and head is not None:
        rescale_outputs(model, *earlier_task.output_scale)  # (of a checkpoint)
    return LoadedClassifier(model, notes, frozenset(), tuple(i for i, row in enumerate(match.rows) if row is None))


def _with_rows_of(
    source: ModelSource, model: Any, match: HeadMatch, seed: int, priors: "npt.ArrayLike | None"
) -> "PreTrainedModel":
    """A model with the encoder of `model` and a new head, with the stored rows that `match` keeps.

    The other rows are the mean of the stored ones; they are newly initialized if no row is kept or there are priors.
    """
    import torch  # noqa: PLC0415  (takes seconds)
    from transformers import set_seed  # noqa: PLC0415

    head, config = output_layer_name(model), model.config
    if len(match.earlier) != len(match.labels):
        own = load_config(source)
        describe_task(own, SingleLabel(match.earlier))
        model, _ = _load(source, config=own)
    stored = {name: value.detach().clone() for name, value in output_layer(model).named_parameters()}
    body = {name: value for name, value in model.state_dict().items() if not name.startswith(f"{head}.")}
    set_seed(seed)
    fresh: Any = type(model).from_pretrained(None, config=config, state_dict=body, dtype=torch.float32)
    fresh.config.name_or_path = fresh.name_or_path = source.resolved
    if priors is not None:
        begin_with(fresh, priors)
    kept = [(label, row) for label, row in enumerate(match.rows) if row is not None]
    with torch.no_grad():
        for name, value in output_layer(fresh).named_parameters():
            if kept and priors is None:
                # The mean of scores is never above the highest, so an untrained label is never predicted first.
                value[:] = stored[name].mean(dim=0)
            for label, row in kept:
                value[label] = stored[name][row]
    result: PreTrainedModel = fresh
    return result


def load_for_inference(source: ModelSource) -> "PreTrainedModel":
    """Load a trained classifier in fp32, in evaluation mode.

    Raises:
        ModelError: if it cannot be loaded, or has no trained classification head.
    """
    from hfbertcls.modeling.windows import read_long_texts  # noqa: PLC0415  (loads PyTorch)

    model: PreTrainedModel
    model, info = _load(source)
    new = sorted(_names(info["missing_keys"]) | _names(info["mismatched_keys"]))
    if new:
        raise ModelError(
            f"{source.public_name!r} is no trained classifier: {listing(new, 3)} would be random. "
            "Train it first with hfbertcls train, or name a trained model"
        )
    read_long_texts(model)
    model.train(False)
    return model


def load_to_score(source: ModelSource) -> "PreTrainedModel":
    """As `load_for_inference`, on the GPU of this process if there is one."""
    loaded: Any = load_for_inference(source)
    device = cuda_device()
    if device is not None:
        loaded.to(device)
    return loaded  # type: ignore[no-any-return]


def _names(keys: Any) -> set[str]:
    """Names of parameters; mismatched ones come with their shapes."""
    return {key if isinstance(key, str) else key[0] for key in keys}


@work("Loading the model")
def _load(source: ModelSource, **arguments: Any) -> tuple[Any, dict[str, Any]]:
    import torch  # noqa: PLC0415  (takes seconds)
    from transformers import AutoModelForSequenceClassification  # noqa: PLC0415

    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            source.resolved,
            revision=source.revision,
            trust_remote_code=source.trust_remote_code,
            use_safetensors=None if source.allow_pickle else True,
            dtype=torch.float32,  # a checkpoint stored in fp16 must not be trained in fp16
            output_loading_info=True,
            **arguments,
        )
    except Exception as err:
        refuse_with_remedy(err, source)
        if isinstance(err, OSError) and "safetensors" in str(err) and not source.allow_pickle:
            raise ModelError(
                f"{source.public_name!r} has no weights in safetensors form. Weights in a pickle can run any code "
                "when they are loaded: convert them, or pass --allow-pickle if you trust who made them"
            ) from err
        raise ModelError(
            f"the weights of {source.public_name!r} cannot be loaded: {reason_of(err, source)} Fetch or save the model again"
        ) from err
    return model, info
