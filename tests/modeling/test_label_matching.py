"""Which rows of a trained head serve which labels."""

import pytest

from hfbertcls.modeling.label_matching import HeadMatch


@pytest.mark.parametrize(
    ("earlier", "labels", "rows"),
    [
        (("a", "b"), ("a", "b"), (0, 1)),
        (("b", "a"), ("a", "b"), (1, 0)),
        (("NEGATIVE", "POSITIVE"), ("positive", "negative"), (1, 0)),
        (("a", "b"), ("a", "b", "c"), (0, 1, None)),
        (("a", "b", "c"), ("a", "c"), (0, 2)),
        (("a", "b"), ("ham", "spam"), (None, None)),
        (("LABEL_0", "LABEL_1"), ("ham", "spam"), (0, 1)),
        (("LABEL_0", "LABEL_1"), ("LABEL_1", "LABEL_0"), (1, 0)),
        (("LABEL_0", "LABEL_1", "LABEL_2"), ("ham", "spam"), (None, None)),
        (("LABEL_0", "LABEL_1"), ("LABEL_0", "LABEL_1", "LABEL_2"), (0, 1, None)),
        (("Pos", "pos"), ("POS", "neg"), (None, None)),
        (("pos", "neg"), ("Pos", "POS"), (None, None)),
        (("Pos", "pos"), ("pos", "neg"), (1, None)),
        (("Pos", "pos"), ("pos", "POS"), (1, None)),
        (("a", "a"), ("a", "b"), (None, None)),
        (("straße", "weg"), ("STRASSE", "WEG"), (0, 1)),
    ],
)
def test_names_match_exactly_or_else_without_case_and_nothing_is_guessed(earlier, labels, rows):
    assert HeadMatch.of(earlier, labels).rows == rows


@pytest.mark.parametrize(
    ("earlier", "labels", "note"),
    [
        (("a", "b"), ("a", "b"), "the trained head of base is kept: it has the same labels"),
        (
            ("b", "a", "x"),
            ("a", "B", "c"),
            "the trained head of base is matched with the labels by name: 'a', 'B' kept; 'c' new; 'x' left out",
        ),
        (
            ("a", "b"),
            ("ham", "spam"),
            "the trained head of base is replaced: it knows 'a', 'b', and none of 'ham', 'spam'",
        ),
        (
            ("LABEL_0", "LABEL_1"),
            ("ham", "spam"),
            "the trained head of base does not name its labels: its rows are taken in their order, as 'ham', 'spam'",
        ),
        (
            ("LABEL_0", "LABEL_1", "LABEL_2"),
            ("ham", "spam"),
            "the trained head of base has no label names, and rows for 3 instead of 2 labels: it is replaced",
        ),
        (
            ("Pos", "pos"),
            ("POS", "neg"),
            "the trained head of base is replaced: it knows 'Pos', 'pos', and none of 'POS', 'neg'. Some names differ only in "
            "case, so 'POS' cannot be matched",
        ),
    ],
)
def test_a_note_states_what_happens_to_the_head(earlier, labels, note):
    assert HeadMatch.of(earlier, labels).note("base") == note
