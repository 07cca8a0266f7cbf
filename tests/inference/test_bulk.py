"""`predict`: one output row for each input row, in every format, and none twice whatever happens."""

import csv
import errno
import gzip
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoConfig, pipeline

from hfbertcls import load_pipeline, predict_file
from hfbertcls.cli import main
from hfbertcls.data.readers import streaming
from hfbertcls.errors import ConfigurationError, ModelError, OutputDirectoryError
from hfbertcls.inference import bulk, scorer
from hfbertcls.inference.answer_file import write_answers
from hfbertcls.inference.bulk import BulkOptions
from hfbertcls.inference.scorer import Scorer
from hfbertcls.modeling.heads import write_config_values
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.tasks.known import task_of_config
from hfbertcls.tasks.multi_label import MultiLabel


TEXTS = ["the film was good", "", "so dull and weak", None, "a warm story " * 30, "\u200b", "great"]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(streaming, "ROWS_PER_CHUNK", 3)


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.jsonl"
    rows = [{"text": text, "id": i, "tag": None if i % 2 else f"t{i}"} for i, text in enumerate([*TEXTS, 7])]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_plain(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
    if ".jsonl" in path.name:
        return [json.loads(line) for line in text.splitlines()]
    return list(csv.DictReader(io.StringIO(text), delimiter="\t" if ".tsv" in path.name else ","))


def read(path):
    rows = read_plain(path)
    if ".csv" not in path.name and ".tsv" not in path.name:
        return rows
    for row in rows:
        row["row"] = int(row["row"])
        row["prediction"] = row["prediction"] or None
        row["reason"] = row["reason"] or None
        row["scores"] = json.loads(row["scores"] or "null")
        row["abstained"] = row["abstained"] == "true"
        row["score"] = float(row["score"]) if row["score"] else None
    return rows


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".tsv", ".jsonl", ".csv.gz", ".jsonl.gz"])
def test_each_row_has_its_answer_in_order(finished_run, texts, tmp_path, ending):
    output = tmp_path / f"answers{ending}"
    result = predict_file(str(finished_run), texts, output)
    rows = read(output)
    assert list(rows[0]) == ["row", "prediction", "score", "scores", "abstained", "reason"]
    assert [row["row"] for row in rows] == list(range(8))
    assert (result.rows, result.unanswered, result.scored) == (8, 4, 8)
    answer = load_pipeline(str(finished_run), top_k=None)
    for row, text in zip(rows, [*TEXTS, 7], strict=True):
        assert row["abstained"] is False
        if row["row"] in (1, 3, 5, 7):
            assert (row["prediction"], row["score"], row["scores"]) == (None, None, None)
            assert row["reason"] == ("not a text (int)" if text == 7 else "the text is empty")
            continue
        expected = {one["label"]: one["score"] for one in answer([text])[0]}
        assert row["reason"] is None
        assert row["prediction"] == max(expected, key=expected.get)
        np.testing.assert_allclose(row["scores"], [expected["negative"], expected["positive"]], atol=1e-5)
        assert row["score"] == pytest.approx(max(row["scores"]))
    assert {path.name for path in tmp_path.iterdir()} == {"texts.jsonl", output.name}


def test_columns_are_kept_as_they_were(finished_run, texts, tmp_path):
    options = BulkOptions(keep_columns=True)
    predict_file(str(finished_run), texts, tmp_path / "a.jsonl", options)
    rows = read(tmp_path / "a.jsonl")
    assert [row["id"] for row in rows] == list(range(8))
    assert [row["text"] for row in rows] == [*TEXTS, 7]
    assert [row["tag"] for row in rows][:3] == ["t0", None, "t2"]
    predict_file(str(finished_run), texts, tmp_path / "a.csv", options)
    assert [row["tag"] for row in read(tmp_path / "a.csv")][:3] == ["t0", "", "t2"]
    table = pa.table({"text": ["good"] * 5, "when": pa.array([1, 2, 3, 4, 5], pa.timestamp("ms"))})
    pq.write_table(table, tmp_path / "in.parquet")
    predict_file(str(finished_run), tmp_path / "in.parquet", tmp_path / "b.parquet", options)
    assert (
        pq.read_table(tmp_path / "b.parquet").column("when").combine_chunks() == table.column("when").combine_chunks()
    )


def test_columns_with_the_names_of_ours_are_not_overwritten(finished_run, tmp_path):
    (tmp_path / "in.csv").write_text("text,score\ngood,1\n")
    with pytest.raises(ConfigurationError, match="--keep-columns cannot keep 'score'"):
        predict_file(str(finished_run), tmp_path / "in.csv", tmp_path / "a.csv", BulkOptions(keep_columns=True))


class StoppedError(Exception):
    pass


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_bytes(finished_run, texts, tmp_path, monkeypatch):
    predict_file(str(finished_run), texts, tmp_path / "whole.csv")
    scored = []

    def counted(self, chunk, answers=Scorer.answers):
        if len(scored) == 1:
            scored.append(None)
            raise StoppedError
        scored.append(chunk.number)
        return answers(self, chunk)

    monkeypatch.setattr(Scorer, "answers", counted)
    output, log_lines = tmp_path / "answers.csv", []
    with pytest.raises(StoppedError):
        predict_file(str(finished_run), texts, output)
    assert not output.exists()
    with pytest.raises(OutputDirectoryError, match="holds the answers of a run that did not end"):
        predict_file(str(finished_run), texts, output, BulkOptions(keep_columns=True))
    result = predict_file(str(finished_run), texts, output, log=log_lines.append)
    assert scored == [0, None, 1, 2]
    assert result.scored == 5
    assert "Resuming: 3 rows were scored before" in log_lines
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    with pytest.raises(OutputDirectoryError, match="already there. Pass --overwrite"):
        predict_file(str(finished_run), texts, output)
    predict_file(str(finished_run), texts, output, BulkOptions(overwrite=True, keep_columns=True))
    assert "tag" in read(output)[0]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_two_processes_share_the_work(finished_run, texts, tmp_path):
    predict_file(str(finished_run), texts, tmp_path / "whole.jsonl")
    words = [sys.executable, "-m", "hfbertcls", "predict", str(finished_run), "--input", str(texts)]
    words += ["--output", str(tmp_path / "answers.jsonl")]
    script = "import sys; from hfbertcls.data.readers import streaming; streaming.ROWS_PER_CHUNK = 3; from hfbertcls.cli import main; sys.exit(main(sys.argv[1:]))"
    words[1:3] = ["-c", script]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    environments = [os.environ | place | {"RANK": rank, "LOCAL_RANK": rank} for rank in ("1", "0")]
    running = [subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) for environment in environments]
    outputs = [process.communicate(timeout=300)[0].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert outputs[0] == ""
    assert "8 rows" in outputs[1]
    assert (tmp_path / "answers.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_missing_parts_are_never_passed_over(tmp_path):
    pq.write_table(pa.table({"row": [0, 1], "prediction": ["a", None]}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"row": [4, 5], "prediction": ["a", "b"]}), tmp_path / "1.parquet")
    parts = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    with pytest.raises(OutputDirectoryError, match="1.parquet does not follow the part before it"):
        write_answers(parts, tmp_path / "out.csv", 4)
    with pytest.raises(OutputDirectoryError, match="there are 2 answers for 3 rows"):
        write_answers(parts[:1], tmp_path / "out.csv", 3)
    assert not (tmp_path / "out.csv").exists()


def test_what_cannot_be_done_is_refused(finished_run, tiny_model_dir, texts, tmp_path):
    with pytest.raises(ConfigurationError, match="--output a.xlsx has an ending that cannot be written"):
        predict_file(str(finished_run), texts, tmp_path / "a.xlsx")
    with pytest.raises(ModelError, match="is no trained classifier"):
        predict_file(str(tiny_model_dir), texts, tmp_path / "a.csv")


def test_a_model_of_numbers_is_refused(model_dir, texts, tmp_path):
    config = json.loads((model_dir / "config.json").read_text())
    (model_dir / "config.json").write_text(json.dumps(config | {"problem_type": "regression"}))
    with pytest.raises(ModelError, match=r"'film-reviews' does not give labels \(regression\)"):
        predict_file(str(model_dir), texts, tmp_path / "a.csv")


def _with_one_output(directory, tiny_model_dir, problem_type):
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(tiny_model_dir, num_labels=1)
    model.config.problem_type = problem_type
    (directory / "config.json").unlink()
    model.save_pretrained(directory)


def test_a_model_with_one_output_is_refused(multi_label_copy, tiny_model_dir, texts, tmp_path):
    _with_one_output(multi_label_copy, tiny_model_dir, "multi_label_classification")
    with pytest.raises(ModelError, match=r"'topics' does not give labels \(one output\)"):
        predict_file(str(multi_label_copy), texts, tmp_path / "a.csv")


def test_a_model_with_one_output_that_says_nothing_predicts_numbers(multi_label_copy, tiny_model_dir, texts, tmp_path):
    _with_one_output(multi_label_copy, tiny_model_dir, None)
    predict_file(str(multi_label_copy), texts, tmp_path / "a.parquet")
    answers = pq.read_table(tmp_path / "a.parquet")
    assert answers.column_names == ["row", "prediction", "reason"]
    assert answers.schema.field("prediction").type == pa.float64()


def test_two_runs_on_one_output_exclude_each_other(finished_run, texts, tmp_path):
    from filelock import FileLock

    with FileLock(tmp_path / ".a.csv.0.lock"), pytest.raises(OutputDirectoryError, match="another process is writing"):
        predict_file(str(finished_run), texts, tmp_path / "a.csv")


def test_the_command_says_what_it_did_and_how_bf16_agrees(finished_run, texts, tmp_path, capsys):
    words = ["predict", str(finished_run), "--input", str(texts), "--output", str(tmp_path / "a.csv")]
    assert main([*words, "--precision", "bf16"]) == 0
    out, err = capsys.readouterr()
    assert "8 rows, 4 without an answer" in out
    assert "bf16 gives the answer of fp32 for 100.0% of the first texts" in err
    assert main([*words, "--overwrite", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["rows"], result["unanswered"], result["bf16_agreement"]) == (8, 4, None)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_cannot_be_written_is_said(finished_run, texts, tmp_path, monkeypatch, error):
    output = tmp_path / "answers.csv"

    def fail(*_, **__):
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patched:
        patched.setattr(pq, "write_table", fail)
        with pytest.raises(
            OutputDirectoryError, match=rf"answers\.csv cannot be written: {os.strerror(error)}\..*repeat"
        ):
            predict_file(str(finished_run), texts, output)
    assert not output.exists()
    assert predict_file(str(finished_run), texts, output).rows == len(read(output))


def test_the_input_is_never_the_output(finished_run, texts):
    before = texts.read_bytes()
    with pytest.raises(ConfigurationError, match=r"texts\.jsonl is the input, which would be lost"):
        predict_file(str(finished_run), texts, texts.parent / "." / texts.name, BulkOptions(overwrite=True))
    assert texts.read_bytes() == before


MULTI_LABEL_TEXTS = [
    "great music but dull",
    "",
    "a story of the film",
    None,
    "the film was great",
    "the dull film music",
    "music",
]


@pytest.fixture
def multi_label_copy(multi_label_dir, tmp_path):
    return Path(shutil.copytree(multi_label_dir, tmp_path / "model" / "topics"))


@pytest.fixture
def multi_label_texts(tmp_path):
    path = tmp_path / "multi_label.jsonl"
    rows = [{"text": text, "score": 0.5, "abstained": "no"} for text in [*MULTI_LABEL_TEXTS, 7]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_multi_label(path):
    rows = list(read_plain(path))
    if path.suffix in (".csv", ".tsv"):
        for row in rows:
            row["row"], row["reason"] = int(row["row"]), row["reason"] or None
            row["prediction"], row["scores"] = (json.loads(row[name] or "null") for name in ("prediction", "scores"))
    return rows


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".tsv", ".jsonl"])
def test_of_multi_label_models_each_row_has_its_list_highest_score_first(
    multi_label_dir, multi_label_texts, tmp_path, ending
):
    output = tmp_path / f"answers{ending}"
    result = predict_file(str(multi_label_dir), multi_label_texts, output)
    rows = read_multi_label(output)
    assert list(rows[0]) == ["row", "prediction", "scores", "reason"]
    assert [row["row"] for row in rows] == list(range(8))
    assert (result.rows, result.unanswered, result.scored, result.bf16_agreement) == (8, 3, 8, None)
    thresholds = task_of_config(AutoConfig.from_pretrained(multi_label_dir)).thresholds
    every_label = pipeline("text-classification", str(multi_label_dir), top_k=None)
    names = list(every_label.model.config.id2label.values())
    for row, text in zip(rows, [*MULTI_LABEL_TEXTS, 7], strict=True):
        if text in ("", None, 7):
            assert (row["prediction"], row["scores"]) == (None, None)
            assert row["reason"] == ("not a text (int)" if text == 7 else "the text is empty")
            continue
        expected = every_label([text])[0]
        of_label = {one["label"]: one["score"] for one in expected}
        np.testing.assert_allclose(row["scores"], [of_label[name] for name in names], atol=1e-5)
        least = dict(zip(names, thresholds, strict=True))
        assert row["prediction"] == [one["label"] for one in expected if one["score"] >= least[one["label"]]]
        assert row["reason"] is None
    assert [row["prediction"] and set(row["prediction"]) for row in rows[:6]] == [
        {"praise", "blame", "music"}, None, [], None, {"praise"}, {"blame", "music"},
    ]  # fmt: skip


def test_lists_are_lists_in_parquet_and_json_lines(multi_label_dir, multi_label_texts, tmp_path):
    predict_file(str(multi_label_dir), multi_label_texts, tmp_path / "a.parquet")
    predict_file(str(multi_label_dir), multi_label_texts, tmp_path / "a.jsonl")
    predict_file(str(multi_label_dir), multi_label_texts, tmp_path / "a.csv")
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.field("prediction").type.equals(pa.list_(pa.field("element", pa.string())))
    assert table.column("prediction").to_pylist()[:4] == [["music", "praise", "blame"], None, [], None]
    assert json.loads((tmp_path / "a.jsonl").read_text().splitlines()[2])["prediction"] == []
    assert [row["prediction"] for row in read_plain(tmp_path / "a.csv")[:3]] == [
        '["music", "praise", "blame"]',
        "",
        "[]",
    ]


def test_the_thresholds_of_the_model_decide(multi_label_copy, multi_label_texts, tmp_path):
    for number, (thresholds, least) in enumerate([(None, [0.5] * 3), ([0, 0, 0], [0] * 3), ([1, 1, 1], [1] * 3)]):
        config = json.loads((multi_label_copy / "config.json").read_text())
        config.pop("hfbertcls_thresholds", None)
        config |= {} if thresholds is None else {"hfbertcls_thresholds": thresholds}
        (multi_label_copy / "config.json").write_text(json.dumps(config))
        output = tmp_path / f"{number}.jsonl"
        predict_file(str(multi_label_copy), multi_label_texts, output)
        for row in read_multi_label(output):
            if row["reason"] is None:
                assert len(row["prediction"]) == sum(np.array(row["scores"]) >= least)
    (multi_label_copy / "config.json").write_text(json.dumps(config | {"hfbertcls_thresholds": [0.5, 2, 0]}))
    with pytest.raises(ModelError, match="Expected a list of 3 numbers from 0 to 1"):
        predict_file(str(multi_label_copy), multi_label_texts, tmp_path / "no.jsonl")


def test_only_columns_that_are_written_are_in_the_way(multi_label_dir, multi_label_texts, tmp_path):
    predict_file(str(multi_label_dir), multi_label_texts, tmp_path / "a.jsonl", BulkOptions(keep_columns=True))
    row = read_multi_label(tmp_path / "a.jsonl")[2]
    assert list(row) == ["row", "prediction", "scores", "reason", "text", "score", "abstained"]
    assert (row["score"], row["abstained"]) == (0.5, "no")
    (tmp_path / "in.csv").write_text("text,prediction\ngood,1\n")
    with pytest.raises(ConfigurationError, match="--keep-columns cannot keep 'prediction'"):
        predict_file(str(multi_label_dir), tmp_path / "in.csv", tmp_path / "b.csv", BulkOptions(keep_columns=True))


def test_a_run_goes_on_with_the_same_thresholds_only(multi_label_copy, multi_label_texts, tmp_path, monkeypatch):
    predict_file(str(multi_label_copy), multi_label_texts, tmp_path / "whole.parquet")
    done, answers = [], Scorer.answers

    def stopped(self, chunk):
        if done:
            raise StoppedError
        done.append(chunk.number)
        return answers(self, chunk)

    output = tmp_path / "answers.parquet"
    with monkeypatch.context() as patched:
        patched.setattr(Scorer, "answers", stopped)
        with pytest.raises(StoppedError):
            predict_file(str(multi_label_copy), multi_label_texts, output)
    before = (multi_label_copy / "config.json").read_bytes()
    write_config_values(multi_label_copy, MultiLabel((), (0.5, 0.5, 0.5)).config_values)
    with pytest.raises(OutputDirectoryError, match="with another input, model or option"):
        predict_file(str(multi_label_copy), multi_label_texts, output)
    (multi_label_copy / "config.json").write_bytes(before)
    assert predict_file(str(multi_label_copy), multi_label_texts, output).scored == 5
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_thresholds_are_part_of_what_a_run_of_a_model_on_the_hub_is(multi_label_texts):
    file, source, options = streaming.survey(multi_label_texts), ModelSource("alice/topics"), BulkOptions()
    tasks = [MultiLabel(("a", "b"), (0.5, least)) for least in (0.4, 0.5, 0.5)]
    ids = [bulk._identity(file, source, "text", options, task) for task in tasks]
    assert ids[0] != ids[1] == ids[2]


def test_the_command_counts_texts_without_a_label_as_answered(multi_label_dir, multi_label_texts, tmp_path, capsys):
    words = ["predict", str(multi_label_dir), "--input", str(multi_label_texts), "--output", str(tmp_path / "a.csv")]
    assert main([*words, "--precision", "bf16"]) == 0
    out, err = capsys.readouterr()
    assert "8 rows, 3 without an answer" in out
    assert "bf16 gives the answer of fp32 for 100.0% of the first texts" in err


def test_bf16_agrees_where_the_whole_set_of_labels_is_the_same(
    multi_label_dir, multi_label_texts, tmp_path, monkeypatch
):
    real = scorer.score

    def other_music(model, tokenizer, tokenized):
        logits = real(model, tokenizer, tokenized)
        if next(model.parameters()).dtype == torch.bfloat16:
            logits[0, 2] = -9.0  # (of the first text of a chunk, which has three labels)
        return logits

    monkeypatch.setattr(streaming, "ROWS_PER_CHUNK", 8)
    monkeypatch.setattr(scorer, "score", other_music)
    result = predict_file(str(multi_label_dir), multi_label_texts, tmp_path / "a.csv", BulkOptions(bf16=True))
    assert result.bf16_agreement == pytest.approx(4 / 5)


def test_a_threshold_is_that_of_abstaining_or_of_every_label(
    finished_run, multi_label_dir, texts, multi_label_texts, tmp_path, capsys
):
    words = ["predict", str(finished_run), "--input", str(texts), "--output"]
    assert main([*words, str(tmp_path / "a.csv"), "--threshold", "0.7"]) == 0
    assert main([*words, str(tmp_path / "b.csv"), "--abstain-below", "0.7"]) == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    predict_file(str(multi_label_dir), multi_label_texts, tmp_path / "c.jsonl", BulkOptions(threshold=0.2))
    for row in read(tmp_path / "c.jsonl"):
        if row["scores"] is not None:
            assert len(row["prediction"]) == sum(score >= 0.2 for score in row["scores"])
    with pytest.raises(ConfigurationError, match="threshold 2 is an invalid value. Expected a score from 0 to 1"):
        predict_file(str(finished_run), texts, tmp_path / "d.csv", BulkOptions(threshold=2))
    with pytest.raises(ConfigurationError, match="--threshold and --abstain-below exclude each other. Leave one out"):
        predict_file(str(finished_run), texts, tmp_path / "d.csv", BulkOptions(threshold=0.2, abstain_below=0.2))
