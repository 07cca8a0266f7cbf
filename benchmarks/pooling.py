"""What the layer costs that lets a classifier read the mean of all tokens: texts a second with and without it.

    python benchmarks/pooling.py sentence-transformers/all-MiniLM-L6-v2 google-bert/bert-base-uncased --rounds 5

Shapes, random weights, texts and batches are those of `encoders.py`. The two models of an encoder take turns; medians of the
ratios of a round, with the smallest and the largest.
"""

import argparse
import statistics

import numpy as np
from encoders import batches_of, classified, model_of, trained


def main() -> None:
    """Measure and print a table in Markdown."""
    from hfbertcls import enable_padding_free
    from hfbertcls.modeling.pooling import append_mean_pooling
    from hfbertcls.training.precision import cpu_has_bf16

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["sentence-transformers/all-MiniLM-L6-v2"])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    batches = {size: list(batches_of(np.sort(generator.poisson(size - 3, 256) + 3), 32)) for size in (13, 50)}
    print("| encoder | tokens | classified, times without the layer | trained, times without the layer |")
    print("|:--|--:|--:|--:|")
    for name in options.names:
        plain, pooled = model_of(name), model_of(name)
        if reason := append_mean_pooling(pooled):
            raise SystemExit(f"{name}: {reason}")
        for model in (plain, pooled):
            enable_padding_free(model)
        for size, rows in batches.items():
            ratios: dict[str, list[float]] = {"classified": [], "trained": []}
            for _ in range(options.rounds):
                rates = {}
                for key, model in (("without", plain), ("with", pooled)):
                    scored = classified(model.eval(), rows, options.seconds)
                    rates[key] = (scored, trained(model.train(), rows, options.seconds, cpu_has_bf16()))
                for index, what in enumerate(ratios):
                    ratios[what].append(rates["with"][index] / rates["without"][index])
            cells = [f"{statistics.median(one):.2f} ({min(one):.2f} to {max(one):.2f})" for one in ratios.values()]
            print(f"| `{name}` | {size} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
