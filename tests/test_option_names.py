"""Messages name what their reader can type: flags on the command line, keyword arguments in Python."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from hfbertcls import ConfigurationError, DatasetError, ModelError, load_pipeline, load_text_dataset
from hfbertcls.data.description import describe_dataset
from hfbertcls.diagnosis.doctor import diagnose
from hfbertcls.errors import HfBertClsError, cut, shorten
from hfbertcls.option_names import command_line


@pytest.fixture(autouse=True)
def in_python(flags_in_messages):
    with command_line(flags=False):
        yield


@pytest.mark.parametrize(
    ("flags", "keywords"),
    [
        ("Name it with --label-column NAME, or", "Name it with label_column='NAME', or"),
        ("Pass --text-column 'my text' or --text-column=\"x\"", "Pass text_column='my text' or text_column=\"x\""),
        ("Pass --text-column 'my text' --label-column NAME", "Pass text_column='my text', label_column='NAME'"),
        ("--max-length 999 is not possible: 3 to 32.", "max_length=999 is not possible: 3 to 32."),
        ("--learning-rate 0.5. Leave it out", "learning_rate=0.5. Leave it out"),
        ("--metric acuracy is not known", "metric acuracy is not known"),
        ("Pass --overwrite to replace it", "Pass overwrite=True to replace it"),
        ("Pass --no-calibration", "Pass calibration=False"),
        ("own, pass --task single_label; otherwise", "own, pass task='single_label'; otherwise"),
        ("or pass --eval-every no to save none", "or pass eval_every='no' to save none"),
        ("apart with --labels 'Not good' good", "apart with labels=['Not good', 'good']"),
        ("Name all labels with --labels", "Name all labels with labels"),
        ("Name them: --text-column words --label-column kind", "Name them: text_column='words', label_column='kind'"),
        ('--label-column a "b c" d (one for each label)', "label_column=['a', 'b c', 'd'] (one for each label)"),
        ("--text-column and --text-pair-column both name it", "text_column and text_pair_column both name it"),
        ("Pass --quoting none if marks are letters", "Pass quoting='none' if marks are letters"),
        ("Choose a smaller --batch-size than 32, or more --epochs", "Choose a smaller batch_size than 32, or more epochs"),
        ("or leave --public out", "or leave private=False out"),
        ("--create-pr and --hub-revision exclude each other", "create_pr=True and revision exclude each other"),
        ("Repeat: /x/hfbertcls push 'my m' a/b --public --tag v1", "Repeat: /x/hfbertcls push 'my m' a/b --public --tag v1"),
        ("one that hfbertcls train wrote, or pass --abstain-below P", "one that hfbertcls train wrote, or pass abstain_below='P'"),
        ("Run: python -m pip install --no-deps x", "Run: python -m pip install --no-deps x"),
        ("a--b and x --- y", "a--b and x --- y"),
    ],
)  # fmt: skip
def test_options_are_spelled_for_who_reads_them(flags, keywords):
    error = ConfigurationError(flags)
    assert str(error) == keywords
    assert str(ConfigurationError(str(error))) == keywords
    with command_line():
        assert str(error) == flags


def test_python_callers_read_what_they_can_type(tmp_path, tiny_model_dir, monkeypatch):
    (tmp_path / "a.csv").write_text("words,kind\nfine,a\npoor,b\n")
    with pytest.raises(DatasetError, match="label_column") as caught:
        load_text_dataset(str(tmp_path / "a.csv"))
    assert "--" not in str(caught.value)
    with pytest.raises(ModelError, match=r"^revision v1 has no meaning"):
        load_pipeline(str(tiny_model_dir), revision="v1")


def test_findings_of_the_doctor_are_spelled_for_who_reads_them_and_reports_are_the_same_for_all(tmp_path):
    rows = "text,label\n" + "".join(f"{word} {number},{word}\n" for number in range(40) for word in ("good", "bad"))
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text(rows)
    found = next(finding for finding in diagnose(tmp_path).findings if finding.severity == "error")
    assert "allow_leakage=True" in found.message
    assert "--allow-leakage" in found.to_dict()["message"]
    with command_line():
        assert "--allow-leakage" in found.message


def test_a_refusal_reads_as_its_reader_types_and_is_the_same_in_every_report(tmp_path):
    unreadable, one_label = tmp_path / "unreadable.csv", tmp_path / "one.csv"
    unreadable.write_text("words,kind\nfine,a\npoor,b\n")
    one_label.write_text("text,label\n" + "".join(f"words {number},a\n" for number in range(20)))
    for path in (unreadable, one_label):
        in_python = diagnose(path)
        with command_line():
            on_the_command_line = diagnose(path)
            spelled = [finding.message for finding in on_the_command_line.refusals]
        assert in_python.to_dict() == on_the_command_line.to_dict()
        assert [finding.to_dict()["message"] for finding in in_python.refusals] == spelled
        assert not any("--" in finding.message for finding in in_python.findings)
    assert "--label-column" in diagnose(unreadable).to_dict()["findings"][0]["message"]
    assert "label_column='kind'" in diagnose(unreadable).findings[0].message


def test_notes_of_the_data_read_as_their_reader_types(tmp_path, reviews_dir):
    path = tmp_path / "quotes.tsv"
    rows = "".join(f'"{word} number {number}\t{word}\n' for number in range(40) for word in ("good", "bad"))
    path.write_text("text\tlabel\n" + rows)
    lines: list[str] = []
    data = load_text_dataset(path)
    describe_dataset(data, lines.append)
    assert any("Pass quoting='standard'" in line for line in lines), lines
    with command_line():
        describe_dataset(data, lines.append)
    assert any("--quoting standard" in line for line in lines)


def test_threads_of_a_command_line_are_a_command_line():
    with command_line(), ThreadPoolExecutor() as pool:
        assert pool.submit(str, ConfigurationError("Pass --resume")).result() == "Pass --resume"


def test_all_our_errors_can_be_printed():
    def kinds(kind):
        return [kind, *(one for sub in kind.__subclasses__() for one in kinds(sub))]

    assert all(str(kind("Pass --resume")) == "Pass resume=True" for kind in kinds(HfBertClsError))


def test_what_libraries_say_is_cut_at_a_word():
    text = "could not load it, see 'https://huggingface.co/docs/transformers/installation#offline-mode' for more"
    assert cut(text, 60) == "could not load it, see…"
    assert cut("short", 60) == "short"
    assert cut("x" * 80, 60) == "x" * 59 + "…"
    assert shorten("a" * 40 + " " + "b" * 40, 60) == repr("a" * 40 + "…")
