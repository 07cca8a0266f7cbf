"""An input that becomes another one while `predict` reads it never gives an output of both."""

import gzip
import hashlib
import io
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbertcls import DatasetError, load_text_dataset, predict_file
from hfbertcls.cli import main
from hfbertcls.data.readers import streaming, tables
from hfbertcls.inference.scorer import Scorer


ENDINGS = (".csv", ".jsonl", ".parquet", ".csv.gz")
ROWS = 3_000


def contents(ending, word):
    """A file of random numbers of the same length whatever the word, too large for a buffer."""
    texts = [f"the film was {word} {hashlib.sha256(f'{word} {row}'.encode()).hexdigest()}" for row in range(ROWS)]
    if ending == ".parquet":
        sink = io.BytesIO()
        pq.write_table(pa.table({"text": texts}), sink, compression="none", use_dictionary=False, row_group_size=500)
        return sink.getvalue()
    lines = [json.dumps({"text": text}) for text in texts] if "jsonl" in ending else ["text", *texts]
    data = "".join(line + "\n" for line in lines).encode()
    return gzip.compress(data, mtime=0) if ending.endswith(".gz") else data


def written_over(path, old, new):
    with path.open("r+b") as file:
        file.write(new)


def replaced(path, old, new):
    other = path.with_name("other")
    other.write_bytes(new)
    other.replace(path)


def cut(path, old, new):
    os.truncate(path, len(old) * 2 // 3)


def grown(path, old, new):
    with path.open("ab") as file:
        file.write(new)


@pytest.fixture
def quick(monkeypatch):
    """Answers without a model, and a change of the input when the first of them is asked for."""
    monkeypatch.setattr(streaming, "ROWS_PER_CHUNK", 500)

    def answers(self, chunk):
        if change := changes.pop() if changes else None:
            change()
        numbers = range(chunk.first_row, chunk.first_row + len(chunk.texts))
        return pa.table({"row": pa.array(numbers, pa.int64()), "prediction": pa.array(chunk.texts, pa.string())})

    changes = []
    monkeypatch.setattr(Scorer, "answers", answers)
    return changes.append


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("happens", [written_over, replaced, cut, grown])
def test_the_output_is_of_one_version_or_there_is_none(finished_run, tmp_path, quick, ending, happens):
    path, output = tmp_path / f"in{ending}", tmp_path / "out.jsonl"
    old, new = contents(ending, "good"), contents(ending, "dull")
    path.write_bytes(old)
    quick(lambda: happens(path, old, new))
    if happens is replaced:  # (the file that was opened is still read to its end)
        predict_file(str(finished_run), path, output)
        answers = [json.loads(line)["prediction"] for line in output.read_text().splitlines()]
        assert len(answers) == ROWS
        assert all(" good " in answer for answer in answers)
        return
    with pytest.raises(DatasetError, match=r"^in\S+ changed while it was read, so nothing is written"):
        predict_file(str(finished_run), path, output)
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name}


def test_the_command_ends_with_1_and_the_next_one_has_the_new_version(finished_run, tmp_path, quick, capsys):
    path, output = tmp_path / "in.csv", tmp_path / "out.jsonl"
    path.write_bytes(contents(".csv", "good"))
    quick(lambda: written_over(path, b"", contents(".csv", "dull")))
    words = ["predict", str(finished_run), "--input", str(path), "--output", str(output)]
    assert main(words) == 1
    assert capsys.readouterr().err.count("hfbertcls: error: in.csv changed while it was read") == 1
    assert main(words) == 0
    assert output.read_text().count(" dull ") == ROWS


class StoppedError(Exception):
    pass


def test_answers_to_another_version_are_not_gone_on_with(finished_run, tmp_path, quick):
    path, output = tmp_path / "in.csv", tmp_path / "out.jsonl"
    old, new = contents(".csv", "good"), contents(".csv", "dull")
    path.write_bytes(old)

    def stop():
        raise StoppedError

    # The second chunk is one of the new version; then the run is killed, and the file is as it was again.
    quick(stop)
    quick(lambda: None)
    quick(lambda: written_over(path, b"", new))
    quick(lambda: None)
    with pytest.raises(StoppedError):
        predict_file(str(finished_run), path, output)
    path.write_bytes(old)
    predict_file(str(finished_run), path, output)
    assert output.read_text().count(" good ") == ROWS


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet", ".csv.gz", ".json"])
def test_training_data_that_change_while_they_are_read_are_refused(tmp_path, monkeypatch, ending):
    path = tmp_path / f"in{ending}"
    rows = [{"text": f"film {row}", "label": "good" if row % 2 else "bad"} for row in range(40)]
    texts = "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows)
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif "json" in ending:
        path.write_text(json.dumps(rows) if ending == ".json" else "".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_bytes(gzip.compress(texts.encode()) if ending.endswith(".gz") else texts.encode())
    assert len(load_text_dataset(str(path), make_splits=False).splits["test"]) == 40
    data = path.read_bytes()
    check = tables.refuse_wrong_content

    def change(*arguments):
        check(*arguments)
        half = data[: len(data) // 2]
        path.write_bytes(
            half[: half.rindex(b"\n") + 1]
            if ending in (".csv", ".jsonl")
            else data + (b"\0" if ending.endswith(".gz") else b" ")
        )

    monkeypatch.setattr(tables, "refuse_wrong_content", change)
    with pytest.raises(DatasetError, match=r"in\.\S+ (changed while it was read|cannot be read|is )"):
        load_text_dataset(str(path), make_splits=False)
