"""A script of a user whose weights are divided by FSDP2, and what came out of it.

    torchrun --nproc-per-node 2 sharded.py FOLDER [--push]

accelerate divides weights on several GPUs alone. `let_accelerate_shard` lets it do the same to processes of a CPU, whose
messages go over gloo. What this cannot show: NCCL, streams, offloading, and several machines.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import accelerate.state
import torch
from accelerate.utils import DistributedType
from several_processes import outcome, tokenizer, trainer_of, whole_weights
from torch.distributed.tensor import DTensor
from transformers import AutoModelForSequenceClassification

from hfbertcls import TextClassificationTrainer, processes
from hfbertcls.training.checkpoints import is_complete


CASES = ("an uneven end", "a process without rows at the end", "class weights")


def let_accelerate_shard() -> None:
    """Do for processes of a CPU what `AcceleratorState` does for those of GPUs (accelerate 1.15, `state.py`)."""
    made = accelerate.state.AcceleratorState.__init__

    def make(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        made(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is None or self.distributed_type != DistributedType.MULTI_CPU:
            return
        self.distributed_type = DistributedType.FSDP
        if self.mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self.mixed_precision)
        self.fsdp_plugin = fsdp_plugin
        accelerate.state.PartialState._shared_state["distributed_type"] = self.distributed_type

    accelerate.state.AcceleratorState.__init__ = make


def sharded(case: str, folder: Path, **changes: Any) -> TextClassificationTrainer:
    trainer = trainer_of(case, folder, fsdp=True, **changes)
    trainer.processing_class = tokenizer()
    return trainer


def what_training_came_to(case: str, folder: Path) -> dict[str, Any]:
    trainer = sharded(case, folder)
    found = outcome(trainer)
    own = sum(one.to_local().numel() for one in trainer.model.parameters() if isinstance(one, DTensor))
    found["own_fraction"] = own / sum(one.numel() for one in trainer.model.parameters())
    trainer.save_model(str(folder / "saved"))
    processes.wait_for_all()
    saved = AutoModelForSequenceClassification.from_pretrained(folder / "saved").state_dict()
    found["saved_are_those"] = all(torch.equal(saved[name], value) for name, value in whole_weights(trainer).items())
    return found


def a_resumed_run(folder: Path) -> dict[str, Any]:
    """A run with dropout, and one that goes on from its first checkpoint."""
    changes: dict[str, Any] = {"dropout": 0.1, "save_total_limit": 5}
    whole = sharded("an uneven end", folder, **changes)
    whole.train()
    first, last = sorted((folder / "out").glob("checkpoint-*"), key=lambda place: int(place.name.split("-")[1]))
    facts: dict[str, Any] = {"complete": [is_complete(place) for place in (first, last)]}
    processes.wait_for_all()
    if processes.is_first():
        shutil.rmtree(last)
        for name in ("optimizer.bin", "pytorch_model_fsdp.bin"):
            copied = shutil.copytree(first, folder / "spoilt" / name / first.name)
            with (copied / name).open("r+b") as file:
                file.truncate((copied / name).stat().st_size // 2)
            facts[name] = is_complete(copied)
    processes.wait_for_all()
    resumed = sharded("an uneven end", folder, **changes)
    resumed.train(resume_from_checkpoint=True)
    facts["log"] = [[one.get("loss") for one in trainer.state.log_history] for trainer in (whole, resumed)]
    pairs = zip(whole_weights(whole).values(), whole_weights(resumed).values(), strict=True)
    facts["same_bits"] = all(torch.equal(one, other) for one, other in pairs)
    return facts


def in_bf16(folder: Path) -> dict[str, Any]:
    """Logits of the divided model, and of the saved weights in fp32 and bf16."""
    trainer = sharded("whole batches", folder, precision="bf16")
    trainer.train()
    logits = torch.tensor(trainer.predict(trainer.eval_dataset).predictions)
    trainer.save_model(str(folder / "saved"))
    processes.wait_for_all()
    model = AutoModelForSequenceClassification.from_pretrained(folder / "saved").eval()
    rows = tokenizer().pad({"input_ids": trainer.eval_dataset["input_ids"][:]}, return_tensors="pt")
    with torch.no_grad():
        exact = model(rows["input_ids"], rows["attention_mask"]).logits
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(rows["input_ids"], rows["attention_mask"]).logits.float()
    return {
        "off_from_fp32": float((logits - exact).abs().max()),
        "bf16_off_from_fp32": float((rounded - exact).abs().max()),
        "weights_are_fp32": all(one.dtype == torch.float32 for one in model.parameters()),
    }


def a_push(folder: Path) -> dict[str, Any]:
    trainer = sharded("whole batches", folder)
    trainer.processing_class.model_max_length = 32
    config = trainer.model.config
    config.id2label, config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    trainer.train()
    trainer.args.hub_model_id = "alice/divided"
    pushed = trainer.push_to_hub()
    return {"repo_id": None if pushed is None else pushed.repo_id, "files": sorted(path.name for path in (folder / "out").iterdir())}  # fmt: skip


def main(folder: Path, *, pushes: bool) -> None:
    """Write `found.json` from the first process."""
    trainer_of("whole batches", folder / "ignored", fsdp=True)  # (says that accelerate ignores it)
    let_accelerate_shard()
    found: dict[str, Any] = {}
    if pushes:
        found["push"] = a_push(folder / "push")
    else:
        found = {case: what_training_came_to(case, folder / case.replace(" ", "-")) for case in CASES}
        found["resumed"] = a_resumed_run(folder / "resumed")
        found["bf16"] = in_bf16(folder / "bf16")
    if processes.is_first():
        (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), pushes="--push" in sys.argv)
