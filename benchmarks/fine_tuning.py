"""What else could be done while an encoder is fine-tuned: each variant beside the defaults, paired by set and seed.

    python benchmarks/fine_tuning.py --data DIR --model MODEL_DIR --out fine_tuning.jsonl
    python benchmarks/fine_tuning.py ... --sets sst2:4000 trec6:3000 --seeds 0 1 --variants base rdrop=1 layers=0.9
    python benchmarks/fine_tuning.py ... --with-validation --choose 300 --measure 976 --sets mrpc:2800 --variants base both
    python benchmarks/fine_tuning.py --show fine_tuning.jsonl

DIR is that of `sizes.py`. A set is NAME:ROWS, or NAME:ROWS:regression for numbers, which are measured by Pearson's
correlation instead of accuracy. Sets with a column `text_pair` are pairs. The rows that train, those that choose the
checkpoint and those that measure come out of the train split, drawn by the seed, so no test row chooses a default;
with --with-validation, out of the validation split too. A variant is one or more of these, joined by `+`:

    base        the defaults
    epochs=N    so many epochs
    rate=R      this learning rate
    rdrop=A     R-Drop (Liang et al., 2021): each row twice, A times the symmetric divergence of the two answers
    noise=A     noise on the embeddings (NEFTune, Jain et al., 2023) of this strength
    layers=F    the learning rate of a layer is F times that of the layer above it
    average=F   weights are averaged over the last fraction F of the steps; validation chooses between the average and
                the best checkpoint
    dropout=P   probability of dropout everywhere
    warmup=F    the learning rate rises over this fraction of the steps
    batch=N     rows in an update
    types       the second text of a pair begins with the token type embedding of the first one
    both        each pair trains in both orders (so an epoch is twice as long)

A run is one line of JSON, and is not repeated. It has the metric of the weights after the last step, too, so that `--show` says what
choosing the best checkpoint gains.
"""

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np


SETS = ("sst2:4000", "trec6:3000", "banking77:2000")
VARIANTS = ("base", "rdrop=1", "average=0.3", "layers=0.9", "noise=5", "epochs=6", "dropout=0")
CHOOSE, MEASURE = 500, 1_500
KEYWORDS = {
    "noise": "neftune_noise_alpha",
    "epochs": "epochs",
    "rate": "learning_rate",
    "warmup": "warmup_steps",
    "batch": "batch_size",
}


def make_trainer(values, last):
    """A subclass of the trainer with the variant, which puts the weights after the last step into `last`."""
    import torch
    from torch.nn import functional
    from transformers import TrainerCallback

    from hfbertcls import TextClassificationTrainer

    class Averaging(TrainerCallback):
        """The mean of the weights over the last steps."""

        def __init__(self, fraction):
            self.fraction, self.count_, self.mean_ = fraction, 0, {}

        def on_step_end(self, args, state, control, model=None, **kwargs):  # noqa: ARG002  (the interface)
            if state.global_step <= (1 - self.fraction) * state.max_steps:
                return
            self.count_ += 1
            with torch.no_grad():
                for name, value in model.named_parameters():
                    if name in self.mean_:
                        self.mean_[name].lerp_(value, 1 / self.count_)
                    else:
                        self.mean_[name] = value.clone()

    class LastWeights(TrainerCallback):
        """Copies the weights after the last step, before those of the best checkpoint are loaded."""

        def on_step_end(self, args, state, control, model=None, **kwargs):  # noqa: ARG002  (the interface)
            if state.global_step == state.max_steps:
                last.update({name: value.detach().clone() for name, value in model.state_dict().items()})

    class VariantTrainer(TextClassificationTrainer):
        """The trainer with R-Drop, layer-wise rates, an average or another dropout."""

        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            self.add_callback(LastWeights())
            self.averaging = Averaging(values["average"]) if "average" in values else None
            if self.averaging:
                self.add_callback(self.averaging)
            if "dropout" in values:
                self._set_dropout(values["dropout"])

        def _set_dropout(self, probability):
            for module in self.model.modules():
                for name in ("p", "dropout_prob"):
                    if "ropout" in type(module).__name__ and hasattr(module, name):
                        setattr(module, name, probability)

        def create_optimizer(self, *arguments, **keywords):
            optimizer = super().create_optimizer(*arguments, **keywords)
            if "layers" not in values:
                return optimizer
            names = {id(one): name for name, one in self.model.named_parameters()}
            last = self.model.config.num_hidden_layers
            groups = defaultdict(list)
            for group in optimizer.param_groups:
                for one in group["params"]:
                    parts = names[id(one)].split(".")
                    depth = int(parts[parts.index("layer") + 1]) + 1 if "layer" in parts else None
                    depth = 0 if "embeddings" in parts else last if depth is None else depth
                    groups[group["weight_decay"], depth].append(one)
            optimizer.param_groups.clear()
            for (decay, depth), parameters in groups.items():
                rate = self.args.learning_rate * values["layers"] ** (last - depth)
                optimizer.add_param_group({"params": parameters, "weight_decay": decay, "lr": rate})
            return optimizer

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            if "rdrop" not in values or not model.training:
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            twice = {name: torch.cat([value, value]) for name, value in inputs.items()}
            loss, outputs = super().compute_loss(model, twice, True, num_items_in_batch)
            first, second = functional.log_softmax(outputs["logits"].float(), dim=-1).chunk(2)
            apart = functional.kl_div(first, second, log_target=True, reduction="sum")
            apart = apart + functional.kl_div(second, first, log_target=True, reduction="sum")
            return loss / 2 + values["rdrop"] * apart / 4 / num_items_in_batch

        def train(self, *arguments, **keywords):
            output = super().train(*arguments, **keywords)
            if self.averaging and self.averaging.mean_:
                best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
                self.model.load_state_dict(self.averaging.mean_, strict=False)
                metrics = self.evaluate()
                if metrics["eval_" + self.args.metric_for_best_model.removeprefix("eval_")] <= self.state.best_metric:
                    self.model.load_state_dict(best)
                else:
                    self.state.best_metric = metrics["eval_" + self.args.metric_for_best_model.removeprefix("eval_")]
            return output

    return VariantTrainer


VariantTrainer = None


def rows_of(options, name):
    """The table that the rows are drawn from."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    splits = ("train", "validation") if options.with_validation else ("train",)
    tables = [pq.read_table(Path(options.data) / name / f"{split}.parquet") for split in splits]
    columns = [one for one in ("text", "text_pair", "label") if one in tables[0].column_names]
    return pa.concat_tables([table.select(columns) for table in tables])


def in_both_orders(table):
    """The rows, then the same pairs with the second text first."""
    import pyarrow as pa

    swapped = table.select(["text_pair", "text", "label"]).rename_columns(["text", "text_pair", "label"])
    return pa.concat_tables([table, swapped])


def with_equal_types(model, folder):
    """A copy of an encoder with the token type embedding of the first text for the second one too."""
    from transformers import AutoModel, AutoTokenizer

    encoder = AutoModel.from_pretrained(model)
    types = encoder.embeddings.token_type_embeddings.weight.data
    types[1] = types[0]
    encoder.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return str(folder)


def run(options, one, seed, variant):
    """Train once; the headline metric on the rows that measure, and which of them are right."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from hfbertcls import TextClassifier
    from hfbertcls.registry import TRAINERS

    name, rows, *task = one.split(":")
    parts = [part.partition("=") for part in variant.split("+")]
    words = {key for key, _, value in parts if not value}
    values = {key: float(value) for key, _, value in parts if value}
    global VariantTrainer  # (the registry finds it here)
    last = {}
    VariantTrainer = make_trainer(values, last)
    TRAINERS.add("variant", "__main__:VariantTrainer")
    table = rows_of(options, name)
    order = np.random.default_rng(seed).permutation(len(table))
    ends = [options.measure, options.measure + options.choose, options.measure + options.choose + int(rows)]
    keywords = {KEYWORDS[key]: value for key, value in values.items() if key in KEYWORDS}
    keywords |= {"batch_size": int(values["batch"])} if "batch" in values else {}
    keywords |= {"task": task[0]} if task else {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        for split, positions in zip(("test", "validation", "train"), np.split(order, ends)[:3], strict=True):
            part = table.take(pa.array(np.sort(positions)))
            part = in_both_orders(part) if split == "train" and "both" in words else part
            pq.write_table(part, data / f"{split}.parquet")
        model = with_equal_types(options.model, Path(folder) / "model") if "types" in words else options.model
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            out = Path(folder) / "out"
            report = TextClassifier.train(model, data, output_dir=out, seed=seed, trainer="variant", **keywords).report
        answers = pq.read_table(out / "predictions" / "test.parquet", columns=["row", "label", "prediction"])
        pairs = zip(*(answers[key].to_pylist() for key in ("label", "prediction")), strict=True)
        right = [] if task else [gold == answer for gold, answer in pairs]
        of_last = last_metric(out, last, pq.read_table(data / "test.parquet").take(answers["row"]), task)
    metrics = report.test.metrics
    return {
        "metric": metrics["pearson" if task else "accuracy"].value,
        "last": of_last,
        **{key: metric.value for key, metric in metrics.items()},
        "validation": {key: metric.value for key, metric in report.evaluation["validation"].metrics.items()},
        "best_step": report.training.best_step,
        "steps": report.training.steps,
        "train_seconds": round(report.training.seconds, 1),
        "seconds": round(time.perf_counter() - began, 1),
        "right": "".join("01"[one] for one in right),
    }


def last_metric(out, last, table, task):
    """The metric of a finished run if it had the weights after the last step."""
    from hfbertcls import TextClassifier

    classifier = TextClassifier.from_pretrained(out)
    classifier.pipeline.model.load_state_dict(last)
    texts = table["text"].to_pylist()
    if "text_pair" in table.column_names:
        texts = list(zip(texts, table["text_pair"].to_pylist(), strict=True))
    answers = classifier.predict(texts, log=None).prediction.to_numpy()
    gold = table["label"].to_numpy()
    return float(np.corrcoef(gold, answers)[0, 1] if task else (gold == answers).mean())


def measure(options):
    """Run what is not in the file yet: all variants of a set and seed, then the next."""
    import torch

    torch.set_num_threads(1)
    out = Path(options.out)
    done = {tuple(line["key"]) for line in map(json.loads, out.read_text().splitlines())} if out.exists() else set()
    for seed in options.seeds:
        for one in options.sets:
            for variant in options.variants:
                key = (one, seed, variant)
                if key in done:
                    continue
                line = {"key": key, **run(options, one, seed, variant)}
                with out.open("a") as file:
                    file.write(json.dumps(line) + "\n")


def metric_of(line):
    """The headline metric of a run; the first runs were written when all had an accuracy."""
    return line.get("metric", line.get("accuracy"))


def show(path):
    """Differences in accuracy (or Pearson) from the defaults, in points, with a 95 % interval over runs (Student's t)."""
    from scipy import stats

    lines = {tuple(line["key"]): line for line in map(json.loads, Path(path).read_text().splitlines())}
    sets = list(dict.fromkeys(key[0] for key in lines))
    print(f"| variant | {' | '.join(sets)} | all | time of the steps | runs |\n|:--|{'--:|' * (len(sets) + 3)}")
    for variant in dict.fromkeys(key[2] for key in lines):
        cells, everything, times = [], [], []
        for one in sets:
            pairs = [
                (line, lines[key[0], key[1], "base"])
                for key, line in lines.items()
                if key[0] == one and key[2] == variant and (key[0], key[1], "base") in lines
            ]
            points = [100 * (metric_of(line) - metric_of(base)) for line, base in pairs]
            shown = (
                statistics.mean(100 * metric_of(line) for line, _ in pairs) if variant == "base" and pairs else None
            )
            cells.append(f"{shown:.1f}" if shown is not None else f"{statistics.mean(points):+.2f}" if points else "-")
            everything += points
            times += [line["train_seconds"] / base["train_seconds"] for line, base in pairs]
        if variant != "base" and len(everything) > 1:
            low, high = stats.t.interval(0.95, len(everything) - 1, np.mean(everything), stats.sem(everything))
            cells.append(f"{np.mean(everything):+.2f} ({low:+.2f} to {high:+.2f})")
        else:
            cells.append("")
        print(
            f"| {variant} | {' | '.join(cells)} | {statistics.median(times) if times else 1:.2f} | {len(everything)} |"
        )
    gains = [
        100 * (line["metric"] - line["last"]) for key, line in lines.items() if key[2] == "base" and "last" in line
    ]
    if gains:
        print(
            f"\nThe best checkpoint less the last step, in points: mean {statistics.mean(gains):+.2f} over {len(gains)} runs of the defaults"
        )


def main():
    """Measure, or show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show")
    parser.add_argument("--data")
    parser.add_argument("--model")
    parser.add_argument("--out")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--with-validation", action="store_true")
    parser.add_argument("--choose", type=int, default=CHOOSE)
    parser.add_argument("--measure", type=int, default=MEASURE)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.show:
        show(options.show)
    else:
        measure(options)


if __name__ == "__main__":
    main()
