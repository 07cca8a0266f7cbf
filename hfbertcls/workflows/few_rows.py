"""Training on few rows: all of them train the model, and cross-validation measures how well that works.

No row is held out for choices. Each fold has a model of its own, which is trained on the rows of the other folds in the
same way as the model that is written, and answers the rows of its fold. These out-of-fold predictions give the metrics,
the temperature and the decision thresholds. They also decide between the two things that can be done with few rows: a
linear probe on the frozen encoder, or a contrastive phase before the probe.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hfbertcls import processes
from hfbertcls.data.splits import assign_folds
from hfbertcls.data.texts import Text
from hfbertcls.data.tokenization import TokenizedSplit
from hfbertcls.errors import ModelError, TrainingInterruptedError
from hfbertcls.evaluation.baselines import Baselines, LinearProbe, Vectors
from hfbertcls.evaluation.report_training import Phase, TrainingFacts
from hfbertcls.modeling.engine import head_inputs
from hfbertcls.progress import Log, work
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.tasks.label_numbers import LabelNumbers
from hfbertcls.tasks.probabilities import Answers, Logits
from hfbertcls.training.contrastive import choose_contrast
from hfbertcls.training.frozen_start import FrozenStart
from hfbertcls.training.losses import class_weights
from hfbertcls.training.options import TrainingOptions
from hfbertcls.training.phases import PhaseRecipe
from hfbertcls.training.recipe import choose_learning_rate
from hfbertcls.workflows.procedure import OutOfFold, Procedure
from hfbertcls.workflows.saved_folds import Fold, SavedFolds
from hfbertcls.workflows.starting import Contrasted, begin, contrasted, distilled


if TYPE_CHECKING:
    import torch

    from hfbertcls.evaluation.against_baselines import FittedOn
    from hfbertcls.training.arguments import TextClassificationTrainingArguments
    from hfbertcls.workflows.reporting import RunInput


class FewRows(Procedure):
    """A linear probe, on the encoder after a contrastive phase if cross-validation does not prefer the frozen encoder.

    Args:
        inputs: without a validation split.
        directory: where `metrics.jsonl` is written.
        arguments: of the run.
        options: of the run.
        log: called with each line of progress, for a person.

    Raises:
        DatasetError: if the rows are too few for folds.
        ModelError: if the vectors of the encoder are no numbers.
    """

    def __init__(
        self,
        inputs: "RunInput",
        directory: OutputDirectory,
        arguments: "TextClassificationTrainingArguments",
        options: TrainingOptions,
        log: Log,
    ) -> None:
        self.arguments = arguments
        self._options = options
        self._inputs, self._directory = inputs, directory
        self._saved = SavedFolds(directory.checkpoints)
        self._folds = assign_folds(inputs.data.splits["train"], options.seed, inputs.data.split_by)
        model, self._notes, frozen = begin(inputs, options, arguments, log)
        if frozen is None:
            raise ModelError(
                f"the vectors of {inputs.source.public_name} are no numbers, so no linear probe fits them. Pass "
                "--cross-validation off, or use another encoder"
            )
        self._model: Any = model
        self._frozen, self._start = frozen, frozen.vectors
        self._phases: tuple[Phase, ...] = ()

    def space(self) -> tuple[int, int]:
        """The model alone: there are no checkpoints."""
        weights = sum(4 * parameter.numel() for parameter in self._model.parameters())
        return weights, weights

    def run(self, checkpoint: Path | None, log: Log) -> None:  # noqa: ARG002  (there is none)
        """Train a model for each fold that was not saved, then the one that is written.

        Raises:
            TrainingInterruptedError: on Ctrl-C, with what was saved.
        """
        try:
            self._run(log)
        except KeyboardInterrupt as err:
            raise TrainingInterruptedError(
                "stopped. The finished folds are saved: to resume after them, repeat the command with --resume"
                if self._saved
                else "stopped before a fold was finished, so nothing is saved. To start over, repeat the command with "
                "--resume"
            ) from err

    def _run(self, log: Log) -> None:
        arguments, options = self.arguments, self._options
        if (done := distilled(self._model, self._inputs, self._frozen, arguments, options, log)) is not None:
            phase, self._start = done
            self._model.to("cpu")  # (copies of it are sent to other processes)
            self._phases = (phase,)
        recipe = self._recipe(self._train)
        parts = [np.flatnonzero(self._folds != fold) for fold in range(int(self._folds.max()) + 1)]
        recipes = [None if recipe is None else self._recipe(self._train.take(rows)) for rows in parts]
        steps = sum(one.steps for one in (*recipes, recipe) if one is not None)
        how = f"{steps:,} contrastive steps in all" if steps else "linear probes"
        if processes.count() > 1:
            how += f"; the folds are spread over {processes.count()} processes"
        log(
            f"Cross-validation: {len(parts)} folds of {len(self._folds):,} training rows, then one model of all; {how}"
        )
        fold_rows = self._fold_rows
        saved = {number: fold for number in range(len(parts)) if (fold := self._saved.read(number)) is not None}
        if saved:
            log(f"Resuming: {len(saved)} of {len(parts)} folds were saved")
        items = [item for number, item in enumerate(zip(parts, recipes, strict=True)) if number not in saved]
        mine = sum(one.steps for _, one in processes.my_share(items) if one is not None)
        mine += 0 if recipe is None else recipe.steps
        with work("Cross-validation and training", mine or None, "steps") as advance:
            began = time.perf_counter()
            folds = list(saved.values()) + processes.spread(
                answer_fold, fold_rows, items, here=lambda item: self._save(answer_fold(fold_rows, item, advance))
            )
            folds.sort(key=lambda one: self._folds[one.rows[0]])
            phases = [Phase(
                name="cross_validation",
                steps=sum(one.steps for one in recipes if one is not None),
                learning_rate=0.0 if recipe is None else recipe.learning_rate,
                seconds=time.perf_counter() - began,
            )]  # fmt: skip
            self._write_events(folds)
            has_contrast = recipe is not None and self._is_worth_it(folds, log)
            if recipe is not None and has_contrast:
                one = fold_rows.contrasted(self._train, recipe, advance)
                self._model.load_state_dict(one.model.state_dict())
                phases.append(one.phase)
        self._phases += tuple(phases)
        self.out_of_fold = _joined(self._folds, folds, self._fitted_on(folds), has_contrast=has_contrast)

    def _save(self, fold: Fold) -> Fold:
        """Save a fold, and return it."""
        self._saved.save(int(self._folds[fold.rows[0]]), fold)
        return fold

    def save(self, folder: Path) -> None:
        """Model and tokenizer as transformers saves them, and the arguments as the trainer does."""
        folder.mkdir(parents=True, exist_ok=True)
        self._model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)
        (folder / "training_args.json").write_text(self.arguments.to_sanitised_json(), encoding="utf-8")

    def finish(self) -> None:
        """Remove the saved folds."""
        self._saved.remove()

    def facts(self, wall_seconds: float) -> TrainingFacts:
        """No step of fine-tuning, and the phases."""
        return TrainingFacts(
            best_step=0,
            steps=0,
            epochs=None,
            seconds=0.0,
            wall_seconds=wall_seconds,
            seed=self.arguments.seed,
            selection_metric=None,
            selection_value=None,
            hyperparameters={
                "folds": int(self._folds.max()) + 1,
                **{
                    f"contrastive_{key}": getattr(phase, key)
                    for phase in self._phases
                    if phase.name == "contrastive"
                    for key in ("steps", "learning_rate")
                },
                "seed": self.arguments.seed,
                "precision": "bf16" if self.arguments.bf16 else "fp32",
            },
            arguments={},
            notes=self._notes,
            phases=self._phases,
        )

    @property
    def _train(self) -> TokenizedSplit:
        return self._inputs.tokenized["train"]

    @property
    def _tokenizer(self) -> Any:
        return self._inputs.tokenizer

    @cached_property
    def _texts(self) -> list[Text]:
        return self._inputs.data.splits["train"].texts

    def _recipe(self, rows: TokenizedSplit) -> PhaseRecipe | None:
        return choose_contrast(self._model, rows, choose_learning_rate(self._model.num_parameters()))

    @property
    def _fold_rows(self) -> "FoldRows":
        args: Any = self.arguments
        of_run = (self._options.class_weights, args.seed, args.device)
        return FoldRows(
            self._model,
            self._tokenizer,
            self._train,
            self._texts,
            self._frozen,
            self._start,
            *of_run,
            in_bf16=args.bf16,
        )

    def _is_worth_it(self, folds: list[Fold], log: Log) -> bool:
        """Whether the contrastive phase is kept: unless the frozen encoder is better by more than a standard error."""
        gold = np.concatenate([one.gold for one in folds])
        after = self._right(gold, np.concatenate([one.logits for one in folds]))
        before = self._right(gold, np.concatenate([one.frozen for one in folds]))
        won, lost = int((after & ~before).sum()), int((before & ~after).sum())
        is_kept = lost - won <= sqrt(lost + won)
        log(
            f"Right out-of-fold answers: {after.sum():,} of {len(after):,} after a contrastive phase, {before.sum():,} "
            f"without. The phase is {'kept' if is_kept else 'left out'}"
        )
        if not is_kept:
            note = "no contrastive phase, because cross-validation found the frozen encoder better without it"
            self._notes = (*self._notes, note)
        return is_kept

    def _right(self, gold: Answers, logits: Logits) -> npt.NDArray[np.bool_]:
        """Which rows are right, with the decision fitted on them."""
        task = self._inputs.task.fit_decision(gold, logits)
        return task.is_right(gold, task.decide(logits))

    def _fitted_on(self, folds: list[Fold]) -> "Mapping[str, FittedOn]":
        """What each baseline was fitted on: the fewest rows of a fold."""
        return max(folds, key=lambda one: len(one.rows)).fitted_on

    def _write_events(self, folds: list[Fold]) -> None:
        """One line of `metrics.jsonl` for each fold."""
        from hfbertcls.training.callbacks.metric_logging import FILE_NAME, write_events

        events = [
            {
                "step": 0,
                "epoch": None,
                "seconds": 0.0,
                "split": "cross_validation",
                "values": {"fold": number, **values},
            }
            for number, one in enumerate(folds)
            for values in [self._inputs.task.compute_metrics(one.gold, one.logits)]
        ]
        write_events(self._directory.path / FILE_NAME, events)


@dataclass(frozen=True)
class FoldRows:
    """What the models of all folds have in common; it can be pickled.

    Args:
        model: to begin with.
        tokenizer: of the model.
        train: all training rows.
        texts: of these rows.
        frozen: the linear probe on the frozen encoder.
        vectors: of the encoder to begin with, which is the frozen one but after a distillation.
        class_weights: the option.
        seed: of the run.
        device: of the first process.
        in_bf16: whether to compute in bf16.
    """

    model: Any
    tokenizer: Any
    train: TokenizedSplit
    texts: list[Text]
    frozen: FrozenStart
    vectors: Vectors
    class_weights: LabelNumbers
    seed: int
    device: "torch.device"
    in_bf16: bool = field(kw_only=True)

    def contrasted(self, rows: TokenizedSplit, recipe: PhaseRecipe, advance: Callable[[int], None]) -> Contrasted:
        """A copy of the model after the contrastive phase on some rows."""
        return contrasted(
            self.model,
            self.tokenizer,
            rows,
            recipe,
            self.seed,
            advance,
            self.class_weights,
            device=processes.device_like(self.device),
            in_bf16=self.in_bf16,
        )


def answer_fold(
    common: FoldRows,
    item: tuple[npt.NDArray[np.int64], PhaseRecipe | None],
    advance: Callable[[int], None] = lambda _: None,
) -> Fold:
    """What models of some rows answer to the other ones.

    Args:
        common: of all folds.
        item: the positions of the rows to train on, and the recipe of their contrastive phase.
        advance: called with the number of finished steps.
    """
    (rows, recipe), train, frozen = item, common.train, common.frozen
    held_out = np.setdiff1d(np.arange(len(train.num_tokens)), rows)
    task, gold, vectors = train.labelled_task, train.gold, common.vectors
    probes = {key: one.fit_again(rows, gold[rows]) for key, one in frozen.baselines.items()}
    simple = Baselines(task, [common.texts[row] for row in rows], gold[rows])
    answers: dict[str, Answers] = simple.predict([common.texts[row] for row in held_out])
    answers |= {key: probes[key].predict(one.vectors[held_out]) for key, one in frozen.baselines.items()}
    weights = class_weights(common.class_weights, task, gold[rows])
    probe = LinearProbe(task, vectors[rows], gold[rows], weights)
    before = probe.logits(vectors[held_out])
    logits = before
    if recipe is not None:
        one = common.contrasted(train.take(rows), recipe, advance)
        logits = one.probe.logits(head_inputs(one.model, common.tokenizer, train.take(held_out)))
    of_encoder = {key: {**one.fitted_on, "train_rows": len(rows)} for key, one in frozen.baselines.items()}
    fitted_on = simple.fitted_on | of_encoder
    return Fold(held_out, gold[held_out], before, logits, answers, fitted_on)


def _joined(
    folds: npt.NDArray[np.int64], parts: list[Fold], fitted_on: "Mapping[str, FittedOn]", *, has_contrast: bool
) -> OutOfFold:
    """The answers of all folds, in the order of the rows."""
    order = np.argsort(np.concatenate([one.rows for one in parts]))
    logits = np.concatenate([one.logits if has_contrast else one.frozen for one in parts])[order]
    baselines = {name: np.concatenate([one.baselines[name] for one in parts])[order] for name in parts[0].baselines}
    return OutOfFold(folds, logits, baselines, fitted_on)
