from dataclasses import replace

import pytest

from hfbertcls.data.checks import require_labelled_texts, require_trainable, similar_labels
from hfbertcls.data.loading import load_text_dataset
from hfbertcls.errors import DatasetError


def folder(tmp_path, train, **others):
    for name, labels in {"train": train, **others}.items():
        lines = "".join(f'"{name} {number}","{label}"\n' for number, label in enumerate(labels))
        (tmp_path / f"{name}.csv").write_text("text,label\n" + lines)
    return str(tmp_path)


def test_a_sound_data_set_gives_its_schema(tmp_path):
    dataset = load_text_dataset(folder(tmp_path, ["b", "a"], validation=["a"]))
    assert require_trainable(dataset).labels == ("a", "b")


def test_one_label_is_refused(tmp_path):
    dataset = load_text_dataset(folder(tmp_path, ["a", "a"], validation=["a"]))
    with pytest.raises(DatasetError, match=r"only the label 'a' \(2 rows\).* at least two\. Check --label-column"):
        require_trainable(dataset)


@pytest.mark.parametrize("name", ["validation", "test"])
def test_labels_that_train_lacks_are_refused_with_split_and_row(tmp_path, name):
    splits = {"validation": ["a"], name: ["a", "c", "c"]}
    dataset = load_text_dataset(folder(tmp_path, ["b", "a"], **splits))
    with pytest.raises(DatasetError, match=rf"the {name} split has .*'c' \(2 rows\).*{name}\.csv, line 3.*Add rows"):
        require_trainable(dataset)


def test_similar_labels_are_refused_with_counts_unless_they_are_declared(tmp_path):
    path = folder(tmp_path, ["Ja", "ja", "ja", "nein"], validation=["ja"])
    with pytest.raises(
        DatasetError,
        match=r"'Ja' \(1 row\), 'ja' \(3 rows\) in all splits together\. .*Merge them .* --labels Ja ja nein",
    ):
        require_trainable(load_text_dataset(path))
    declared = load_text_dataset(path, labels=["nein", "ja", "Ja"])
    assert require_trainable(declared).labels == ("nein", "ja", "Ja")


def test_similar_means_equal_but_for_capitals_blanks_and_unicode_form():
    names = (
        "1",
        "1.0",
        "01",
        "post",
        "po\u00adst",
        "pos",
        "pos\u200b",
        "\u202epos",
        "a",
        " A",
        "a\u00a0",
        "ﬁ",
        "fi",
        "e\u0301",
        "é",
        "straße",
        "STRASSE",
        "b",
        "c d",
        "c  d",
        "cd",
    )
    assert similar_labels(names) == [
        ["1", "1.0"],
        ["post", "po\u00adst"],
        ["pos", "pos\u200b", "\u202epos"],
        ["a", " A", "a\u00a0"],
        ["ﬁ", "fi"],
        ["e\u0301", "é"],
        ["straße", "STRASSE"],
        ["c d", "c  d"],
    ]


@pytest.mark.parametrize(
    ("labels", "ways"),
    [
        (["1", "1.0", "2"], "decimals"),
        (["a", "A", "2"], "capitals, blanks, invisible marks or Unicode form"),
        (["a", "A", "1", "1.0"], "capitals, blanks, invisible marks, Unicode form or decimals"),
        (["1", "1.0 "], "capitals, blanks, invisible marks, Unicode form or decimals"),
        (["1.0", "1.0 "], "capitals, blanks, invisible marks or Unicode form"),
    ],
)
def test_the_refusal_names_the_differences_that_there_are(tmp_path, labels, ways):
    data = load_text_dataset(folder(tmp_path, labels), make_splits=False)
    data = replace(data, splits={"train": replace(data.splits["train"], name="train")})
    with pytest.raises(DatasetError, match=rf"labels of .* differ only in {ways}: '.*\(1 row\)\. They would become"):
        require_trainable(data)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "text,label\n" + "".join(f"t,{n}.5\n" for n in range(30)),
            "look like regression targets.*--task regression.*--task single_label",
        ),
    ],
)
def test_numbers_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    dataset = load_text_dataset(str(tmp_path / name), make_splits=False)
    with pytest.raises(DatasetError, match=message):
        require_labelled_texts(dataset)
