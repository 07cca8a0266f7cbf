"""Accuracy from eight rows a label to all rows: ours beside the simple things that somebody could do instead.

    python benchmarks/sizes.py --data DIR --model MODEL_DIR --out runs.jsonl
    python benchmarks/sizes.py ... --sets sst2 cr --sizes 8 100 --contenders tfidf frozen plain --draws 1
    python benchmarks/sizes.py ... --setfit-python ENV/bin/python

DIR holds one folder for each set, with train.parquet and test.parquet (else validation.parquet) and the columns text
and label. A size below 50 counts rows of each label, a larger one counts rows. All contenders get the same draws
and the same test rows. The pool that draws come from are at most 10,000 rows of the train split; `all` is the pool.

`tfidf` and `frozen` run in the process of a worker. `plain` and `auto` are the command `hfbertcls train`, so their
seconds hold everything: imports, checks, baselines, plots. Where `auto` cross-validates, its line has the out-of-fold
accuracy too. `auto` needs the option `--recipe`. `setfit` runs `setfit_run.py` in an environment of its own, with 8 rows
a label, on five sets. The seconds of `frozen` hold the vectors of its own rows and of the test rows, by their proportion.

One line of JSON is written when a run ends. Runs that are in the file are not repeated, failed ones are.
`sizes_report.py` makes tables and a picture of the file. The network is not used.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zlib
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np


SETS = ("sst2", "cr", "mr", "subj", "tweeteval_emotion", "ag_news", "trec6", "banking77", "financial_phrasebank",
        "sms_spam")  # fmt: skip
SIZES = ("8", "16", "100", "300", "1000", "all")
CONTENDERS = ("tfidf", "frozen", "plain", "auto", "setfit")
SETFIT_SETS, SETFIT_SIZES = ("sst2", "cr", "ag_news", "tweeteval_emotion", "trec6"), ("8",)
FEW_DRAWS = ("plain", "setfit")
"""Contenders with three draws at every size."""
POOL_ROWS = 10_000
REGULARISATION = (0.1, 1.0, 10.0, 100.0, 1_000.0)
"""The values of C that cross-validation chooses from."""


@dataclass(frozen=True)
class Run:
    """One line of the file."""

    set: str
    size: str
    draw: int
    contender: str

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What tells runs apart."""
        return self.set, self.size, self.draw, self.contender


@dataclass(frozen=True)
class Settings:
    """What all runs have in common."""

    data: Path
    model: str
    vectors: Path
    test_rows: int
    setfit_python: str | None
    has_recipe: bool


@dataclass(frozen=True)
class Rows:
    """Texts and label ids of the pool and of the test rows, and the labels in the order of the ids."""

    labels: tuple[str, ...]
    pool: tuple[list[str], np.ndarray]
    test: tuple[list[str], np.ndarray]


@cache
def rows_of(folder: Path, test_rows: int) -> Rows:
    """The pool and the test rows of a set, the same in every process."""
    import pyarrow.parquet as pq

    test = folder / "test.parquet"
    tables = [
        pq.read_table(path, columns=["text", "label"])
        for path in (folder / "train.parquet", test if test.exists() else folder / "validation.parquet")
    ]
    labels = tuple(sorted({label for table in tables for label in table["label"].to_pylist()}))
    parts = []
    for table, most in zip(tables, (POOL_ROWS, test_rows), strict=True):
        chosen = np.sort(np.random.default_rng(0).permutation(len(table))[:most])
        ids = np.array([labels.index(label) for label in table["label"].to_pylist()], dtype=np.int64)
        parts.append((table["text"].take(chosen).to_pylist(), ids[chosen]))
    return Rows(labels, *parts)


def draw_rows(ids: np.ndarray, run: Run) -> np.ndarray:
    """The positions of a draw, the same for each contender: so many of each label, or in the proportions of the labels."""
    if run.size == "all":
        return np.arange(len(ids))
    generator = np.random.default_rng(zlib.crc32(f"{run.set} {run.size} {run.draw}".encode()))
    size, (present, counts) = int(run.size), np.unique(ids, return_counts=True)
    if is_by_label(run.size):
        quotas = np.full(len(present), size)
    else:
        exact = counts * min(size, len(ids)) / len(ids)
        quotas = np.floor(exact).astype(int)
        if size >= len(present):
            quotas = np.maximum(quotas, 1)
        missing = min(size, len(ids)) - quotas.sum()
        quotas[np.argsort(quotas - exact, kind="stable")[: max(missing, 0)]] += 1
        while quotas.sum() > size:  # (each label got a row: the most frequent ones pay for it)
            quotas[np.argmax(quotas)] -= 1
    parts = [generator.permutation(np.flatnonzero(ids == label))[:quota]
             for label, quota in zip(present, quotas, strict=True)]  # fmt: skip
    return generator.permutation(np.concatenate(parts))


def is_by_label(size: str) -> bool:
    """Whether a size counts rows of each label."""
    return size != "all" and int(size) < 50


def draws_of(contender: str, size: str) -> int:
    """How many draws a contender has at a size."""
    if size == "all":
        return 1
    return 3 if contender in FEW_DRAWS or int(size) >= 300 else 5


def planned(options, contenders) -> list[Run]:
    """All runs; a file that is cut short has all sizes but `all` of the first draw first."""
    runs = [
        Run(name, size, draw, contender)
        for size in options.sizes
        for contender in contenders
        for draw in range(min(draws_of(contender, size), options.draws or 5))
        for name in options.sets
        if contender != "setfit" or (name in SETFIT_SETS and size in SETFIT_SIZES)
    ]
    return sorted(runs, key=lambda run: (run.size == "all", run.draw))


def finished(path: Path) -> set[tuple[str, str, int, str]]:
    """The runs in the file; a line that a kill has cut is none, and gets an end so that the next one stands alone."""
    if not path.exists():
        return set()
    content = path.read_text(encoding="utf-8")
    if content and not content.endswith("\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")
    keys = set()
    for line in content.splitlines():
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "error" not in values:
            keys.add(Run(values["set"], values["size"], values["draw"], values["contender"]).key)
    return keys


def write_vectors(settings: Settings, name: str) -> float:
    """Compute the vectors of the pool and of the test rows if they are not there; returns the seconds."""
    import pyarrow as pa

    from hfbertcls.data.dataset import TextSplit
    from hfbertcls.modeling.embedding import embed
    from hfbertcls.modeling.loading import ModelSource
    from hfbertcls.tasks.single_label import SingleLabel

    rows, path = rows_of(settings.data / name, settings.test_rows), settings.vectors / f"{name}.npz"
    digest = hashlib.sha256((Path(settings.model) / "model.safetensors").read_bytes())
    digest.update(json.dumps([rows.pool[0], rows.test[0]]).encode())
    if path.exists() and str(np.load(path)["digest"]) == digest.hexdigest():
        return 0.0
    began = time.perf_counter()
    task, vectors = SingleLabel(rows.labels), {}
    for split, (texts, ids) in (("pool", rows.pool), ("test", rows.test)):
        cells = [rows.labels[label] for label in ids]
        table = pa.table({"row": range(len(texts)), "text": texts, "label": cells})
        vectors[split] = embed(ModelSource(settings.model), TextSplit("train", table, len(texts)), task)
    seconds = time.perf_counter() - began
    settings.vectors.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez(part, digest=digest.hexdigest(), seconds=seconds, **vectors)
    part.replace(path)
    return seconds


def tfidf(run: Run, rows: Rows, chosen: np.ndarray, _: Settings) -> dict:
    """The baseline of every report."""
    from hfbertcls.evaluation.baselines import TfidfBaseline
    from hfbertcls.tasks.single_label import SingleLabel

    began = time.perf_counter()
    texts = [rows.pool[0][position] for position in chosen]
    baseline = TfidfBaseline(SingleLabel(rows.labels), texts, rows.pool[1][chosen], run.draw)
    return {"predictions": baseline.predict(rows.test[0]), "seconds": time.perf_counter() - began}


def frozen(run: Run, rows: Rows, chosen: np.ndarray, settings: Settings) -> dict:
    """Logistic regression on the means of the tokens, of length 1, with C by cross-validation on accuracy."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    stored = np.load(settings.vectors / f"{run.set}.npz")
    vectors, ids = stored["pool"][chosen], rows.pool[1][chosen]
    began = time.perf_counter()
    best = 1.0
    folds = min(5, int(np.bincount(ids).max()))
    regression = LogisticRegression(max_iter=2_000)
    if folds > 1:
        splits = StratifiedKFold(folds, shuffle=True, random_state=run.draw)
        search = GridSearchCV(regression, {"C": REGULARISATION}, cv=splits, refit=False)
        with warnings.catch_warnings():
            # Labels with fewer rows than folds are missing in some fits; that costs them accuracy in each C alike.
            warnings.filterwarnings("ignore", message="The least populated class")
            search.fit(vectors, ids)
        best = search.best_params_["C"]
    predictions = regression.set_params(C=best).fit(vectors, ids).predict(stored["test"])
    seconds = time.perf_counter() - began
    proportion = (len(chosen) + len(stored["test"])) / (len(stored["pool"]) + len(stored["test"]))
    return {"predictions": predictions, "seconds": seconds + proportion * float(stored["seconds"]), "C": best}


def ours(run: Run, rows: Rows, chosen: np.ndarray, settings: Settings) -> dict:
    """`hfbertcls train` on a train and a test file, with the defaults."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as folder:
        data, output = Path(folder) / "data", Path(folder) / "model"
        data.mkdir()
        train = ([rows.pool[0][position] for position in chosen], rows.pool[1][chosen])
        for split, (texts, ids) in (("train", train), ("test", rows.test)):
            table = pa.table({"text": texts, "label": [rows.labels[label] for label in ids]})
            pq.write_table(table, data / f"{split}.parquet")
        command = [sys.executable, "-m", "hfbertcls", "train", "--model", settings.model, "--dataset", str(data)]
        command += ["--output-dir", str(output), "--seed", str(run.draw), "--allow-leakage", "--json"]
        command += ["--recipe", run.contender] if settings.has_recipe else []
        report, seconds = call(command)
        table = pq.read_table(output / "predictions" / "test.parquet", columns=["row", "prediction"])
    predictions = np.full(len(rows.test[0]), -1)
    for row, label in zip(table["row"].to_pylist(), table["prediction"].to_pylist(), strict=True):
        predictions[row] = rows.labels.index(label)
    training = report["training"]
    facts = {"steps": training["steps"], "training_seconds": round(training["seconds"], 2)}
    if "cross_validation" in report["evaluation"]:
        facts["cross_validation"] = report["evaluation"]["cross_validation"]["metrics"]["accuracy"]["value"]
    return {"predictions": predictions, "seconds": seconds, **facts}


def setfit(run: Run, rows: Rows, chosen: np.ndarray, settings: Settings) -> dict:
    """SetFit in an environment of its own."""
    texts = [rows.pool[0][position] for position in chosen]
    content = {"train": texts, "ids": rows.pool[1][chosen].tolist(), "test": rows.test[0], "seed": run.draw}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        script = str(Path(__file__).with_name("setfit_run.py"))
        answer, seconds = call([settings.setfit_python, script, settings.model, str(path)])
    return {**answer, "predictions": np.array(answer["predictions"]), "seconds": seconds}


_children: list[subprocess.Popen] = []


def call(command: list[str]) -> tuple[dict, float]:
    """The JSON that a command prints, and the seconds that it took."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        _children[:] = [child]
        answer, noise = child.communicate()
    if child.returncode:
        raise RuntimeError(f"exit code {child.returncode}: {noise.strip()[-600:]}")
    return json.loads(answer), time.perf_counter() - began


def end_with_parent() -> None:
    """Let this worker and its command end if the benchmark is killed: a pool alone would wait for ever."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        for child in _children:
            child.kill()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def execute(run: Run, settings: Settings) -> dict:
    """The line of a run."""
    from sklearn.metrics import f1_score

    rows = rows_of(settings.data / run.set, settings.test_rows)
    chosen, gold = draw_rows(rows.pool[1], run), rows.test[1]
    function = {"tfidf": tfidf, "frozen": frozen, "plain": ours, "auto": ours, "setfit": setfit}[run.contender]
    answer = function(run, rows, chosen, settings)
    predictions, seconds = answer.pop("predictions"), answer.pop("seconds")
    every = range(len(rows.labels))
    f1 = f1_score(gold, predictions, labels=every, average="macro", zero_division=0)
    return {
        **vars(run),
        "accuracy": round(float(np.mean(predictions == gold)), 6),
        "f1_macro": round(float(f1), 6),
        "seconds": round(seconds, 2),
        "rows": len(chosen),
        "labels": len(rows.labels),
        **answer,
        "commit": commit(),
        "predictions": compact(predictions),
        "gold": compact(gold),
    }


def compact(ids: np.ndarray) -> str:
    """One character for each label id, `0` the first; a row without a prediction is `/`."""
    return "".join(chr(ord("0") + int(label)) for label in ids)


def commit() -> str:
    """The commit of the code at this moment, marked if the files differ from it."""
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=10",
        "--exclude=*",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Run what is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="below 50: of each label")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--draws", type=int, help="at most so many")
    parser.add_argument("--test-rows", type=int, default=1_000, help="at most so many of a set")
    parser.add_argument("--setfit-python", help="an interpreter that has setfit")
    parser.add_argument("--workers", type=int, default=2, help="processes, each with one thread")
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    usage = subprocess.run([sys.executable, "-m", "hfbertcls", "train", "--help"], capture_output=True, text=True)
    has_recipe = "--recipe" in usage.stdout
    contenders = list(options.contenders)
    for name, usable, reason in (
        ("auto", has_recipe, "`hfbertcls train` has no --recipe"),
        ("setfit", options.setfit_python, "--setfit-python is missing"),
    ):
        if name in contenders and not usable:
            contenders.remove(name)
            print(f"{name} is left out: {reason}", file=sys.stderr)
    settings = Settings(options.data, options.model, options.out.with_suffix(".vectors"), options.test_rows,
                        options.setfit_python, has_recipe)  # fmt: skip
    done = finished(options.out)
    runs = [run for run in planned(options, contenders) if run.key not in done]
    print(f"{len(runs)} runs; {len(done)} are in {options.out.name}", file=sys.stderr, flush=True)
    with (
        ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn"), end_with_parent) as pool,
        options.out.open("a", encoding="utf-8") as file,
    ):
        embedded = {name: pool.submit(write_vectors, settings, name)
                    for name in dict.fromkeys(run.set for run in runs if run.contender == "frozen")}  # fmt: skip
        for name, future in embedded.items():
            print(f"vectors of {name}: {future.result():.0f} s", file=sys.stderr, flush=True)
        futures = {pool.submit(execute, run, settings): run for run in runs}
        for number, future in enumerate(as_completed(futures), 1):
            run, error = futures[future], future.exception()
            if isinstance(error, BrokenProcessPool):
                raise error  # (a worker was killed: nothing is known of the runs that were left)
            line = {**vars(run), "error": str(error)} if error else future.result()
            file.write(json.dumps(line) + "\n")
            file.flush()
            shown = f"failed: {line['error']}" if error else f"{line['accuracy']:.3f} in {line['seconds']:.0f} s"
            print(f"{number} of {len(runs)}: {' '.join(map(str, run.key))}: {shown}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
