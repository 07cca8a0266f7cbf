"""A mistyped option is an error of two lines with a suggestion, by meaning and then by spelling."""

import pytest

from hfbertcls.cli import main, make_parser
from hfbertcls.cli.other_tools import OPTIONS, VERBS


PARSERS = make_parser().verbs


def refused(capsys, *words) -> list[str]:
    assert main(words) == 2
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("trian", "there is no command 'trian' (did you mean 'train'?)"),
        ("fine-tune", "there is no command 'fine-tune'. Use train"),
        ("eval m", "there is no command 'eval'. Use evaluate"),
        ("zzz", "there is no command 'zzz'"),
        ("train --lr 3e-5", "there is no option --lr. Use --learning-rate"),
        ("train --model_name_or_path x", "there is no option --model_name_or_path. Use --model"),
        ("train --train_file x.csv", "there is no option --train_file. Use --dataset"),
        ("train --text_field x", "there is no option --text_field. Use --text-column"),
        ("train --max_seq_length=8", "there is no option --max_seq_length. Use --max-length"),
        ("train --hub_model_id a/b", "there is no option --hub_model_id. Use --push-to-hub"),
        ("train --datset x.csv", "there is no option --datset (did you mean '--dataset'?)"),
        ("predict m --dataset x.csv", "there is no option --dataset. Use --input"),
        ("predict m --output-dir x", "there is no option --output-dir. Use --output"),
        ("evaluate --model m", "there is no option --model. Its value stands without a flag: hfbertcls evaluate M"),
        ("push --repo-id a/b", "there is no option --repo-id. Its value stands without a flag: hfbertcls push USER/NAME"),
        ("evaluate m --datset x", "there is no option --datset (did you mean '--dataset'?)"),
        ("verify m --tune", "there is no option --tune"),
        ("evaluate m", "missing: --dataset"),
        ("doctor a.csv b.csv", "'b.csv' belongs to no option"),
        ("predict m --precision fp8 --input a --output b", "--precision: invalid choice: 'fp8' (choose from 'fp32', 'bf16')"),
    ],
)  # fmt: skip
def test_a_mistake_is_an_error_of_two_lines_with_a_suggestion(typed, expected, capsys):
    first, second = refused(capsys, *typed.split())
    assert first == f"hfbertcls: error: {expected}"
    verb = typed.split()[0]
    assert second.startswith("See: ")
    assert second.endswith(f"hfbertcls {verb} --help" if verb in PARSERS else "hfbertcls --help")


def test_an_option_of_training_that_there_is_not_gets_no_far_fetched_suggestion(capsys, tiny_model_dir, reviews_dir):
    words = ["train", "--model", str(tiny_model_dir), "--dataset", str(reviews_dir), "--output-dir", "o"]
    assert refused(capsys, *words, "--tune", "3")[0] == "hfbertcls: error: there is no option --tune"
    assert "--weight-decay" in refused(capsys, *words, "--wieght_decay", "3")[0]


def test_underscores_are_taken_for_dashes():
    words = ["train", "--model=m", "--dataset", "d", "--output_dir", "a_b", "--text_column=c_d", "--no_calibration"]
    options, rest = make_parser().parse_known_args(words)
    assert (options.output_dir, options.text_column, options.calibration, rest) == ("a_b", "c_d", False, [])


def test_what_is_suggested_exists_and_what_exists_is_not_suggested_away():
    flags = {flag for parser in PARSERS.values() for flag in parser.flags}
    assert {option for options in OPTIONS.values() for option in options} <= flags
    assert set(VERBS.values()) <= set(PARSERS)
    assert not set(VERBS) & set(PARSERS)
