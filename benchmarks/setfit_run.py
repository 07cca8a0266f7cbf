"""One run of SetFit for `sizes.py`, by an interpreter that has setfit; nothing of hfbertcls is imported.

    python setfit_run.py MODEL_DIR ROWS.json

ROWS.json has the keys train, ids, test and seed. The steps are those of the paper of SetFit: 40 pairs for each row, in
batches of 16; everything else is the default of setfit. Training stops after 240 s of the processor, so that a run
takes at most 300 s on a core of its own; neighbours change nothing. The answer states the steps that were made and
whether time cut them.
"""

import json
import os
import sys
import tempfile
import time
from importlib.metadata import version


BATCH, PAIRS_PER_ROW, MOST_SECONDS = 16, 40, 240


def run(path, content):
    """Train, predict, and say how."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Counts steps, and stops when the time is over."""

        began, steps, cut = time.process_time(), 0, False

        def on_step_end(self, args, state, control, **kwargs):  # noqa: ARG002  (the signature is transformers')
            """Stop if it is late."""
            self.steps = state.global_step
            if time.process_time() - self.began > MOST_SECONDS and state.global_step < state.max_steps:
                self.cut = control.should_training_stop = True

    model = SetFitModel.from_pretrained(path, device="cpu")
    most = max(1, round(PAIRS_PER_ROW * len(content["train"]) / BATCH))
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(output_dir=folder, batch_size=BATCH, max_steps=most, seed=content["seed"],
                                 save_strategy="no", report_to="none", show_progress_bar=False)  # fmt: skip
        rows = Dataset.from_dict({"text": content["train"], "label": content["ids"]})
        clock = Clock()
        began = time.perf_counter()
        Trainer(model=model, args=args, train_dataset=rows, callbacks=[clock]).train()
        seconds = time.perf_counter() - began
    predictions = [int(label) for label in model.predict(content["test"], show_progress_bar=False)]
    versions = {name: version(name) for name in ("setfit", "sentence-transformers", "transformers", "torch")}
    return {"predictions": predictions, "training_seconds": round(seconds, 2), "max_steps": most, "steps": clock.steps,
            "cut_by_time": clock.cut, "versions": versions}  # fmt: skip


def main() -> None:
    """Answer with one line of JSON; what libraries print goes to stderr."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        with open(sys.argv[2], encoding="utf-8") as file:  # noqa: PTH123
            content = json.load(file)
        print(json.dumps(run(sys.argv[1], content)), file=answers, flush=True)


if __name__ == "__main__":
    main()
