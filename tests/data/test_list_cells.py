"""Lists of labels that a table holds as text are read as lists, or refused with the line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfbertcls.cli import main
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.data.readers.list_cells import read_list
from hfbertcls.errors import DatasetError


TRIALS = Path(__file__).parent / "trials"
NAMES = ["delivery", "quality", "price"]
few = settings(max_examples=100, deadline=None, derandomize=True)


def loaded(path, **options):
    return load_text_dataset(str(path), make_splits=False, **options)


def written(tmp_path, cells, name="x.csv", column="labels"):
    frame = pd.DataFrame({"text": [f"text {number}" for number in range(len(cells))], column: cells})
    path = tmp_path / name
    if name.endswith("csv"):
        frame.to_csv(path, index=False)
    elif name.endswith("parquet"):
        pq.write_table(pa.table({"text": list(frame["text"]), column: pa.array(cells, pa.string())}), path)
    else:
        path.write_text("\n".join(json.dumps(record) for record in frame.to_dict("records")))
    return path


def test_lists_that_pandas_wrote_as_text_are_those_of_the_json_lines():
    expected = loaded(TRIALS / "names.jsonl")
    actual = loaded(TRIALS / "liststr.csv")
    assert (actual.task.name, actual.task.labels) == ("multi_label", tuple(sorted(NAMES)))
    assert actual.splits["test"].labels == expected.splits["test"].labels
    assert actual.label_column == "labels"


@pytest.mark.parametrize("name", ["vec.jsonl", "vec_str.csv"])
def test_vectors_have_the_names_that_labels_gives_them(name):
    expected = loaded(TRIALS / "names.jsonl").splits["test"].labels
    actual = loaded(TRIALS / name, labels=NAMES)
    assert (actual.task.name, actual.task.labels) == ("multi_label", tuple(NAMES))
    assert [set(labels) for labels in actual.splits["test"].labels] == [set(labels) for labels in expected]
    with pytest.raises(
        DatasetError, match=r"one 0 or 1 for each of 3 labels.*in the order of the lists with --labels"
    ):
        loaded(TRIALS / name)
    with pytest.raises(DatasetError, match=r"the list in 'labels' has 3 values, but --labels names 2 labels"):
        loaded(TRIALS / name, labels=NAMES[:2])


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.jsonl"])
@pytest.mark.parametrize("column", ["label", "labels"])
def test_cells_with_lists_in_any_file_are_lists_of_labels(tmp_path, name, column):
    cells = ['["a", "b"]', "['b']", "[]", " ('a', 'b') ", "{'b', 'a'}", "[1, True]", "['it\\'s']"]
    actual = loaded(written(tmp_path, cells, name, column))
    expected = [["a", "b"], ["b"], [], ["a", "b"], ["a", "b"], ["1", "true"], ["it's"]]
    assert actual.splits["test"].labels == expected
    assert actual.task.name == "multi_label"


def test_a_blank_cell_among_lists_is_a_missing_label(tmp_path):
    split = loaded(written(tmp_path, ["['a']", "", "[]", None])).splits["test"]
    assert split.labels == [["a"], []]
    assert split.dropped == {"missing_label": 2}


@pytest.mark.parametrize(
    ("cells", "options", "message"),
    [
        (
            ["['a']", "b"],
            {},
            r"x\.csv, line 3: the cell 'b' in 'label' is not a list of labels, but .* is \(x\.csv, line 2\)",
        ),
        (
            ["[a, b]", "[b]"],
            {},
            r"x\.csv, line 2: the cell '\[a, b\]' in 'label' looks like a list.*Write each cell as a list",
        ),
        (
            [str(np.array(["a", "b"])), "['a']"],
            {},
            r"x\.csv, line 2: the cell .* is not a list of labels.*Write each cell",
        ),
        (["[['a']]", "['b']"], {}, r"line 2: .*lists in lists.*Flatten it"),
        (["['a', None]", "['b']"], {}, r"line 2: the list of labels in 'label' holds a null"),
        (["['a', ' ']", "['b']"], {}, r"line 2: the list of labels in 'label' holds a blank one"),
        (["['a']", "['b']"], {"label_separator": ","}, "which --label-separator cannot separate. Leave it out"),
    ],
)
def test_cells_that_are_no_lists_of_labels_are_refused_with_the_line(tmp_path, cells, options, message):
    with pytest.raises(DatasetError, match=message):
        loaded(written(tmp_path, cells, column="label"), **options)


def test_names_in_brackets_stay_names(tmp_path):
    path = written(tmp_path, ["[deleted]", "kept", "[other]", "kept"], column="label")
    assert loaded(path).task.labels == ("[deleted]", "[other]", "kept")
    path = written(tmp_path, ["[1]", "[2, 3]", "none"], column="label")
    assert loaded(path, task="single_label").task.labels == ("[1]", "[2, 3]", "none")


@few
@given(labels=st.lists(st.text(max_size=8), max_size=4))
def test_what_json_and_python_write_is_read_back(labels):
    assert read_list(json.dumps(labels)) == labels
    assert read_list(json.dumps(labels, ensure_ascii=False)) == labels
    assert read_list(repr(labels)) == labels


@few
@given(cell=st.text(st.sampled_from("[](){}'\",ab 1\\\n"), max_size=20))
def test_any_cell_is_a_list_or_none(cell):
    assert isinstance(read_list(cell), list | None)


def test_deep_and_endless_cells_are_no_lists():
    assert read_list("[" * 50_000 + "]" * 50_000) is None
    assert read_list("[" + "1," * 100_000 + "1]") is None


def test_the_doctor_reads_them_too(capsys):
    assert main(["doctor", str(TRIALS / "vec_str.csv"), "--labels", *NAMES, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["task"] == "multi_label"
