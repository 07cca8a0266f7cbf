import pyarrow as pa
import pytest

from hfbertcls.data.columns import Columns, choose_columns, left_out_texts
from hfbertcls.data.readers.raw import RawTable
from hfbertcls.errors import ConfigurationError, DatasetError


def choose(columns, text=None, text_pair=None, label=None):
    table = pa.table(columns) if isinstance(columns, dict) else pa.table({name: ["a"] for name in columns})
    return choose_columns(RawTable(table, "x.csv", ""), text, text_pair, label)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["text", "label"], Columns("text", "label")),
        (["id", "sentence", "label"], Columns("sentence", "label")),
        (["Text ", "LABEL"], Columns("Text ", "LABEL")),
        (["text", "text_pair", "label"], Columns("text", "label", "text_pair")),
        (["TEXT", "text", "label"], Columns("text", "label")),
    ],
)
def test_obvious_columns_are_taken(names, expected):
    assert choose(names) == expected


def test_named_columns_win():
    assert choose(["text", "body", "label", "kind"], text="body", label="kind") == Columns("body", "kind")


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ({"text": ["a"], "labels": [["x", "y"]]}, "labels"),
        ({"text": ["a"], "label": ["x, y"], "labels": [["x", "y"]]}, "labels"),
        ({"text": ["a"], "label": ["z"], "labels": [["x", "y"]]}, "label"),
        ({"text": ["a"], "label": ["z"], "labels": ["x"]}, "label"),
    ],
)
def test_a_column_of_label_lists_is_taken_where_label_says_no_more(columns, label):
    assert choose(columns).label == label


@pytest.mark.parametrize(("option", "value"), [("text", "Sentense"), ("text_pair", "Sentense"), ("label", "Sentense")])
def test_an_unknown_column_gets_a_proposal_and_the_list(option, value):
    flag = "--" + option.replace("_", "-") + "-column"
    with pytest.raises(
        ConfigurationError,
        match=rf"no column 'Sentense' \(did you mean 'sentence'\?\), which {flag} names\. Its columns are 'sentence'",
    ):
        choose(["sentence", "kind"], **{option: value})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("text", "text_pair"), ("sentence", "text_pair"), ("sentence1", "sentence2"), ("premise", "hypothesis"),
        ("question1", "question2"), ("question", "sentence"), ("question", "answer"), ("text_a", "text_b"),
        ("Premise", "Hypothesis "),
    ],
)  # fmt: skip
def test_pairs_are_read_by_their_usual_names_and_the_first_text_alone_where_it_is_named(first, second):
    assert choose([first, second, "label"]) == Columns(first, "label", second)
    assert choose([second, "label", first], text_pair=second) == Columns(first, "label", second)
    assert choose([first, second, "label"], text=first, text_pair=second) == Columns(first, "label", second)
    assert choose([first, second, "label"], text=first) == Columns(first, "label")


def test_the_label_is_no_text_and_an_odd_pair_is_named():
    assert choose(["text", "question", "answer"], label="answer") == Columns("text", "answer")
    assert choose(["text", "reply", "label"], text_pair="reply") == Columns("text", "label", "reply")
    assert choose(["body", "reply", "label"], text="body", text_pair="reply") == Columns("body", "label", "reply")


@pytest.mark.parametrize(
    ("columns", "chosen", "note"),
    [
        (
            ["sentence1", "sentence2", "label"],
            Columns("sentence1", "label"),
            "the column 'sentence2' is not read. To classify",
        ),
        (["text", "premise", "hypothesis", "label"], Columns("text", "label"), "--text-pair-column 'hypothesis'"),
        (["text", "label"], Columns("text", "label"), None),
        (["text", "text_pair", "label"], Columns("text", "label", "text_pair"), None),
    ],
)
def test_a_second_text_that_is_not_read_is_noted(columns, chosen, note):
    raw = RawTable(pa.table({name: ["a"] for name in columns}), "x.csv", "")
    notes = left_out_texts(raw, chosen)
    assert [note in one for one in notes] == ([] if note is None else [True])


def test_columns_without_obvious_names_are_proposed():
    columns = {
        "Review ID": ["1", "2"] * 4,
        "Review Text": [f"long words {n}" for n in range(8)],
        "Mood": ["a", "b"] * 4,
    }
    with pytest.raises(DatasetError, match='--text-column "Review Text" --label-column'):
        choose(columns)


def test_no_candidate_for_the_label_gives_a_placeholder():
    with pytest.raises(DatasetError, match=r"a label column \('label'\) was expected.*--label-column NAME"):
        choose({"text": ["a", "b"], "empty": pa.nulls(2)})


def test_a_header_that_is_a_row_is_recognised():
    for text, label in (("x" * 61, "positive"), ("I saw it and it was good", "positive"), ("so good", "a")):
        table = pa.table({text: ["a"], label: ["a"]})
        with pytest.raises(DatasetError, match="first line of x.csv looks like data, not like a header.*--no-header"):
            choose_columns(RawTable(table, "x.csv", "", has_header=True), None, None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": "text", "text_pair": "text"}, "both name 'text'; name two columns"),
        ({"text": "label"}, "'label' cannot be both a text and the label. Correct --label-column"),
        ({"text_pair": "label"}, "'label' cannot be both a text and the label. Correct --label-column"),
    ],
)
def test_one_column_for_two_purposes_is_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        choose(["text", "label"], **options)
