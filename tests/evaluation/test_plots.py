import json

import numpy as np
import pytest

from hfbertcls.repository.plots import _plain_text, confusion_matrix_plot, learning_curves_plot, reliability_plot
from hfbertcls.tasks.calibration_error import reliability
from hfbertcls.tasks.single_label import SingleLabel


PNG = b"\x89PNG\r\n\x1a\n"
ODD = ["$x$", "😀 smile", "\U0001fae0 melt", "a|b", "中文", "\\alpha$", "tab\there", "", "x" * 80, "\u0301", "$"]


def matrix(size):
    return np.random.default_rng(0).integers(0, 30, (size, size)).tolist()


@pytest.mark.parametrize("labels", [["no", "yes"], ODD, [f"l{n}" for n in range(30)], [f"l{n}" for n in range(77)]])
def test_confusion_matrix_of_any_labels_is_the_same_png_twice(labels):
    first = confusion_matrix_plot(matrix(len(labels)), labels)
    assert first.startswith(PNG)
    assert confusion_matrix_plot(matrix(len(labels)), labels) == first


def test_confusion_matrix_with_an_absent_label_is_drawn():
    assert confusion_matrix_plot([[0, 0], [3, 4]], ["a", "b"]).startswith(PNG)


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("plain é ж", "plain é ж"),
        ("$x$", r"\$x\$"),
        ("a\nb", "a b"),
        ("x" * 30, "x" * 23 + "…"),
        ("中文", "□□ (7)"),
        ("good \U0001fae0", "good □ (7)"),
        ("中文$", r"□□\$ (7)"),
    ],
)
def test_labels_are_shown_as_the_font_allows(label, shown):
    assert _plain_text(label, 7) == shown


@pytest.mark.parametrize("rows", [1, 7, 500])
def test_reliability_is_the_same_png_twice(rows):
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([1, 1, 1], rows)
    bins = reliability(*SingleLabel(("a", "b", "c")).statements(generator.integers(0, 3, rows), probabilities))
    first = reliability_plot(bins)
    assert first.startswith(PNG)
    assert reliability_plot(bins) == first


@pytest.mark.parametrize("best_step", [None, 20])
def test_learning_curves_are_the_same_png_twice(best_step):
    events = [{"step": step, "split": "train", "values": {"loss": 1 / step}} for step in (10, 20, 30)]
    events += [
        {"step": step, "split": "validation", "values": {"loss": 2 / step, "f1_macro": step / 40, "roc_auc": None}}
        for step in (20, 30)
    ]
    events = json.loads(json.dumps(events))
    for metric in ("f1_macro", "roc_auc"):
        first = learning_curves_plot(events, metric, best_step)
        assert first.startswith(PNG)
        assert learning_curves_plot(events, metric, best_step) == first
