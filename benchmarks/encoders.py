"""Size and speed of the encoders that people take, with random weights: texts a second, trained and classified.

    python benchmarks/encoders.py --seconds 8

The shapes are those of the published configurations, so nothing is downloaded; what a model answers is worth nothing
here. Texts are random token ids with the lengths of SST-2's sentences (13 tokens on average) and of news (50). They are
classified in fp32, and trained in batches of 32 in the precision that `hfbertcls train` takes on this processor: bf16
where it has units for it, fp32 otherwise. The encoders take turns for so many seconds each; the fastest of three rounds
counts.
"""

import argparse
import itertools
import time

import numpy as np


BERT = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
SMALL = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 1536}
MODERN = {"num_hidden_layers": 22, "hidden_size": 768, "intermediate_size": 1152, "num_attention_heads": 12}
ENCODERS = {
    "google/bert_uncased_L-4_H-256_A-4": (
        "bert",
        {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024},
    ),
    "sentence-transformers/all-MiniLM-L6-v2": ("bert", {**SMALL, "num_hidden_layers": 6}),
    "distilbert/distilbert-base-uncased": ("distilbert", {}),
    "google-bert/bert-base-uncased": ("bert", BERT),
    "FacebookAI/roberta-base": ("roberta", {**BERT, "vocab_size": 50265}),
    "answerdotai/ModernBERT-base": ("modernbert", {**MODERN, "vocab_size": 50368}),
    "google-bert/bert-large-uncased": ("bert", LARGE),
    "intfloat/multilingual-e5-small": ("bert", {**SMALL, "vocab_size": 250037}),
    "FacebookAI/xlm-roberta-base": ("xlm-roberta", {**BERT, "vocab_size": 250002}),
}


def model_of(name: str):
    """The encoder with a head for two labels, random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    kind, shape = ENCODERS[name]
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, **shape, num_labels=2))


def batches_of(lengths, size: int):
    """Random token ids, padded, for texts sorted by length."""
    import torch

    generator = torch.Generator().manual_seed(0)
    for start in range(0, len(lengths), size):
        rows = lengths[start : start + size]
        ids = torch.randint(5, 1_000, (len(rows), int(max(rows))), generator=generator)
        mask = torch.arange(ids.shape[1])[None] < torch.tensor(rows)[:, None]
        yield {"input_ids": ids.masked_fill(~mask, 0), "attention_mask": mask.long()}


def classified(model, batches, seconds: float) -> float:
    """Texts a second."""
    import torch

    began, done = time.perf_counter(), 0
    with torch.inference_mode():
        for batch in itertools.cycle(batches):
            model(**batch)
            done += len(batch["input_ids"])
            if time.perf_counter() - began > seconds:
                return done / (time.perf_counter() - began)
    raise AssertionError


def trained(model, batches, seconds: float, bf16: bool) -> float:
    """Texts a second, forwards, backwards and the step of AdamW."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    began, done = time.perf_counter(), 0
    for batch in itertools.cycle(batches):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(**batch, labels=torch.zeros(len(batch["input_ids"]), dtype=torch.long)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        done += len(batch["input_ids"])
        if time.perf_counter() - began > seconds:
            return done / (time.perf_counter() - began)
    raise AssertionError


def main() -> None:
    """Measure and print a table in Markdown."""
    from hfbertcls import enable_padding_free
    from hfbertcls.training.precision import cpu_has_bf16

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(ENCODERS))
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    lengths = {size: np.sort(generator.poisson(size - 3, 256) + 3) for size in (13, 50)}
    rates: dict[str, dict[str, float]] = {name: {} for name in options.names}
    for name in options.names * options.rounds:
        model = model_of(name)
        enable_padding_free(model)
        batches = {size: list(batches_of(lengths[size], 32)) for size in lengths}
        model.eval()
        new = {f"classified {size}": classified(model, batches[size], options.seconds) for size in batches}
        model.train()
        new |= {f"trained {size}": trained(model, batches[size], options.seconds, cpu_has_bf16()) for size in batches}
        parameters = sum(one.numel() for one in model.parameters())
        rates[name] = {key: max(value, rates[name].get(key, 0)) for key, value in new.items()} | {"size": parameters}
    print(f"Trained in {'bf16' if cpu_has_bf16() else 'fp32'}; texts a second.\n")
    print("| encoder | parameters | classified, 13 tokens | 50 tokens | trained, 13 tokens | 50 tokens |")
    print("|:--|--:|--:|--:|--:|--:|")
    for name, one in rates.items():
        cells = [f"{one[key]:,.3g}" for key in ("classified 13", "classified 50", "trained 13", "trained 50")]
        print(f"| {name} | {one['size'] / 1e6:.0f} million | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
