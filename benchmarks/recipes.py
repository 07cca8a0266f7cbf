"""What to do with few rows: the measurements behind the defaults, on rows of the train split alone.

    python benchmarks/recipes.py --data DIR --model MODEL_DIR --out recipes.jsonl --sizes 8 100
    python benchmarks/recipes.py ... --recipes frozen frozen:c=1 contrast:steps=30 contrast:rate=1e-4:tau=0.5
    python benchmarks/recipes.py --show recipes.jsonl

DIR is that of `sizes.py`. Draws and the 1,000 rows that measure come out of at most 10,000 rows of train, so no test
row chooses anything. `frozen` is the linear model on the frozen encoder; `contrast` comes after the contrastive phase.
Keys: `c` (inverse regularization), `steps` (`auto`: as many as the defaults take), `rate`, `tau` (temperature of the
loss), `batch`, `freeze` (lower layers that are not trained, and have no dropout). A run is one JSON line, and is not
repeated.
"""

import argparse
import json
import statistics
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from sizes import Run, draw_rows, rows_of


SETS = ("sst2", "cr", "mr", "subj", "tweeteval_emotion")
MEASURED_ROWS = 1_000


class Encoder:
    """An encoder that is read by the mean of its tokens, and fresh copies of it."""

    def __init__(self, model):
        from hfbertcls.modeling.loading import ModelSource, load_tokenizer

        self.source = ModelSource(model)
        self.tokenizer = load_tokenizer(self.source)

    def classifier(self, task):
        """A classifier before training."""
        from hfbertcls.modeling.loading import load_for_training
        from hfbertcls.modeling.pooling import append_mean_pooling

        model = load_for_training(self.source, task, seed=0).model
        append_mean_pooling(model)
        model.train(False)
        return model

    def tokenized(self, texts, ids, task):
        """Rows as token ids with labels."""
        from hfbertcls.data.loading import load_text_dataset
        from hfbertcls.data.tokenization import tokenize_split

        labels = task.decode(ids)
        data = load_text_dataset((texts, labels), labels=task.labels, task=task.name, make_splits=False)
        return tokenize_split(data.splits["test"], self.tokenizer, 128, task)


def accuracy_of(recipe, encoder, task, rows, measured, frozen):
    """Accuracy of a recipe on the measured rows, and the seconds of its phase."""
    from hfbertcls.evaluation import baselines
    from hfbertcls.modeling.engine import head_inputs
    from hfbertcls.training import contrastive
    from hfbertcls.training.precision import cpu_has_bf16

    kind, _, rest = recipe.partition(":")
    values = dict(pair.split("=") for pair in rest.split(":") if pair)
    baselines.C_ON_VECTORS = float(values.get("c", 3.0))
    contrastive.TEMPERATURE = float(values.get("tau", 0.2))
    contrastive.ROWS_PER_BATCH = int(values.get("batch", 24))
    seconds = 0.0
    if kind == "contrast":
        model = encoder.classifier(task)
        rate = float(values.get("rate", 5e-5))
        if values.get("steps") == "auto":
            amount = contrastive.choose_contrast(model, rows, rate / contrastive._RATE_FACTOR)
        else:
            amount = contrastive.PhaseRecipe(int(values.get("steps", 60)), rate)
        freeze_lower(model, int(values.get("freeze", 0)))
        seconds = contrastive.contrast(
            model, encoder.tokenizer, rows, amount, 0, lambda _: None, in_bf16=cpu_has_bf16()
        )
        vectors = [head_inputs(model, encoder.tokenizer, one) for one in (rows, measured)]
    else:
        vectors = [head_inputs(frozen["model"], encoder.tokenizer, rows), frozen["measured"]]
    answers = baselines.FrozenBaseline(task, vectors[0], rows.gold).predict(vectors[1])
    return float((answers == measured.gold).mean()), seconds


def freeze_lower(model, count):
    """Leave the lower layers as they are, without dropout."""
    from torch.nn import Dropout

    from hfbertcls.modeling.layer_parts import layers_of

    if not count:
        return
    for module in (model.base_model.embeddings, *layers_of(model)[:count]):
        module.requires_grad_(False)
        for part in module.modules():
            if isinstance(part, Dropout):
                part.p = 0.0


def measure(options):
    """Run what is not in the file yet."""
    import torch

    from hfbertcls.modeling.engine import head_inputs
    from hfbertcls.tasks.single_label import SingleLabel

    torch.set_num_threads(1)
    out = Path(options.out)
    done = {tuple(line["key"]) for line in map(json.loads, out.read_text().splitlines())} if out.exists() else set()
    encoder = Encoder(options.model)
    with out.open("a") as file:
        for name in options.sets:
            rows = rows_of(Path(options.data) / name, 1)
            task, (texts, ids) = SingleLabel(rows.labels), rows.pool
            order = np.random.default_rng(1).permutation(len(ids))
            held, rest = order[:MEASURED_ROWS], np.sort(order[MEASURED_ROWS:])
            measured = encoder.tokenized([texts[row] for row in held], ids[held], task)
            model = encoder.classifier(task)
            frozen = {"model": model, "measured": head_inputs(model, encoder.tokenizer, measured)}
            for size in options.sizes:
                for draw in range(options.draws):
                    chosen = rest[draw_rows(ids[rest], Run(name, size, draw, "recipe"))]
                    drawn = encoder.tokenized([texts[row] for row in chosen], ids[chosen], task)
                    for recipe in options.recipes:
                        key = (name, size, draw, recipe)
                        if key in done:
                            continue
                        began = time.perf_counter()
                        accuracy, seconds = accuracy_of(recipe, encoder, task, drawn, measured, frozen)
                        line = {"key": key, "accuracy": accuracy, "phase_seconds": round(seconds, 2)}
                        file.write(json.dumps(line | {"seconds": round(time.perf_counter() - began, 2)}) + "\n")
                        file.flush()


def show(path):
    """A table of means over the draws."""
    cells, seconds = defaultdict(lambda: defaultdict(list)), defaultdict(list)
    for line in map(json.loads, Path(path).read_text().splitlines()):
        name, size, _, recipe = line["key"]
        cells[size, recipe][name].append(line["accuracy"])
        seconds[size, recipe].append(line["phase_seconds"])
    sets = list(dict.fromkeys(name for row in cells.values() for name in row))
    print(f"| size | recipe | {' | '.join(sets)} | mean | seconds | draws |\n|:--|:--|{'--:|' * (len(sets) + 3)}")
    for (size, recipe), row in cells.items():
        means = [statistics.mean(row[name]) if row[name] else float("nan") for name in sets]
        shown = " | ".join(f"{mean:.3f}" for mean in [*means, statistics.mean(means)])
        draws = min(len(row[name]) for name in sets)
        print(f"| {size} | {recipe} | {shown} | {statistics.median(seconds[size, recipe]):.1f} | {draws} |")


def main():
    """Measure, or show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show")
    parser.add_argument("--data")
    parser.add_argument("--model")
    parser.add_argument("--out")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--sizes", nargs="+", default=("8",))
    parser.add_argument("--recipes", nargs="+", default=("frozen", "contrast"))
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.show:
        show(options.show)
    else:
        measure(options)


if __name__ == "__main__":
    main()
