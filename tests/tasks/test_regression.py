"""Numbers as answers: reading them, their scale in training, their metrics and the influence of each row."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from hfbertcls import load_text_dataset
from hfbertcls.data.checks import require_trainable
from hfbertcls.errors import DatasetError, ModelError
from hfbertcls.evaluation.intervals import answer_intervals, mean_interval
from hfbertcls.modeling.heads import finish_standardized, standardize
from hfbertcls.tasks.known import task_of_config
from hfbertcls.tasks.regression import TARGET_SCALE, Regression
from hfbertcls.tasks.ridge import CrossValidatedRidge
from hfbertcls.tasks.single_label import SingleLabel


TASK = Regression(())


def small_model():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=1
    )
    TASK.configure(config)
    return BertForSequenceClassification(config).train(False)


def outputs(model):
    with torch.inference_mode():
        return model(input_ids=torch.arange(40).reshape(8, 5)).logits.numpy()


def test_a_model_is_standardized_and_finished_without_a_trace():
    model, gold = small_model(), np.array([1e3, 3e3, 5e3])
    before = outputs(model)
    trained = standardize(model, TASK, gold)
    assert (trained.mean, trained.scale) == (3000.0, pytest.approx(1632.99, rel=1e-5))
    assert task_of_config(model.config) == trained, "the configuration of a checkpoint says what its logits mean"
    np.testing.assert_allclose(trained.decide(outputs(model)), before[:, 0], atol=1e-3)
    finish_standardized(model)
    np.testing.assert_allclose(outputs(model), before, atol=1e-3)
    assert TARGET_SCALE not in vars(model.config)
    assert task_of_config(model.config) == TASK


def test_without_a_bias_the_targets_are_only_scaled():
    model = small_model()
    model.classifier.bias = None
    before = outputs(model)
    trained = standardize(model, TASK, np.array([3.0, 4.0, 5.0]))
    assert trained.mean == 0
    finish_standardized(model)
    np.testing.assert_allclose(outputs(model), before, rtol=1e-5)


def test_the_loss_is_that_of_standardized_numbers():
    task = Regression((), 100.0, 10.0)
    logits, labels = torch.tensor([[0.5], [-1.0]]), torch.tensor([110.0, 90.0])
    assert task.loss(logits, labels).item() == pytest.approx(0.125)
    assert task.row_losses(labels.double().numpy(), logits.numpy()).tolist() == pytest.approx([0.25, 0.0])


@pytest.mark.parametrize("value", [[1.0], [0.0, 0.0], "1", [float("nan"), 1.0]])
def test_a_damaged_scale_is_refused(value):
    model = small_model()
    setattr(model.config, TARGET_SCALE, value)
    with pytest.raises(ModelError, match=r"hfbertcls_target_mean_and_scale in config\.json is .*Expected a number"):
        task_of_config(model.config)


def test_several_numbers_a_text_are_no_task_of_ours():
    config = BertConfig(num_labels=3, problem_type="regression")
    assert task_of_config(config) is None


def write(path, cells):
    path.write_text("text,score\n" + "".join(f"text {row},{cell}\n" for row, cell in enumerate(cells)))
    return str(path)


def read(path, **options):
    return load_text_dataset(path, label_column="score", task="regression", make_splits=False, **options)


@pytest.mark.parametrize("cells", [["1", "2", "4"], ["1.0", "2", "4e0"], ["1", " 2 ", "4"]])
def test_integers_and_decimals_are_numbers(tmp_path, cells):
    data = read(write(tmp_path / "a.csv", cells))
    assert data.task == TASK
    assert data.splits["test"].labels == [1.0, 2.0, 4.0]


def test_missing_numbers_are_left_out_and_counted(tmp_path):
    data = read(write(tmp_path / "a.csv", ["1", "", "nan", "2.5", " "]))
    assert data.splits["test"].labels == [1.0, 2.5]
    assert data.splits["test"].dropped == {"missing_label": 3}


def test_numbers_in_memory_are_read_too():
    data = load_text_dataset((["a", "b", "c"], [1, 2.5, None]), task="regression", make_splits=False)
    assert data.splits["test"].labels == [1.0, 2.5]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1", "good", "2"], r"--task regression does not fit.*numbers only: 'good' \(a\.csv, line 3\)"),
        (["1", "3;5"], r"numbers only: '3;5' .*a decimal point"),
        (["1", "inf"], r"a\.csv, line 3: the label in 'score' is infinite. Correct or remove the row"),
        (["1.5", "inf"], r"a\.csv, line 3: the label in 'score' is infinite"),
    ],
)
def test_what_is_no_number_is_refused_with_its_line(tmp_path, cells, message):
    with pytest.raises(DatasetError, match=message):
        read(write(tmp_path / "a.csv", cells))


def test_a_constant_is_refused(tmp_path):
    path = write(tmp_path / "a.csv", ["3"] * 400)
    data = load_text_dataset(path, label_column="score", task="regression")
    with pytest.raises(
        DatasetError, match="every row of the train split has the number 3 in 'score'.*nothing to learn"
    ):
        require_trainable(data)


def test_without_a_request_numbers_are_refused_and_both_ways_out_named(tmp_path):
    path = write(tmp_path / "a.csv", [f"{row / 7:.3f}" for row in range(400)])
    with pytest.raises(DatasetError, match=r"pass --task regression.*pass --task single_label"):
        require_trainable(load_text_dataset(path, label_column="score"))


def test_integers_without_a_request_stay_labels(tmp_path):
    path = write(tmp_path / "a.csv", [str(row % 5) for row in range(400)])
    assert isinstance(load_text_dataset(path, label_column="score").task, SingleLabel)


def test_the_influence_of_each_row_is_what_leaving_it_out_changes():
    generator = np.random.default_rng(0)
    gold = generator.integers(1, 6, 400).astype(np.float64)
    predicted = gold + generator.standard_normal(400)
    influences, whole = TASK.influences(gold, predicted), TASK.answer_metrics(gold, predicted)
    assert set(influences) == set(TASK.metric_names)
    for name, influence in influences.items():
        assert influence.mean() == pytest.approx(0, abs=1e-9)
        changes = []
        for row in range(0, 400, 40):
            rest = np.arange(400) != row
            changes.append(399 * (whole[name] - TASK.answer_metrics(gold[rest], predicted[rest])[name]))
        np.testing.assert_allclose(influence[::40], changes, atol=0.05 * influence.std() + 1e-6, rtol=0.05)


@pytest.mark.parametrize("rows", [4, 30])
def test_metrics_without_each_row_are_those_of_the_others(rows):
    generator = np.random.default_rng(3)
    gold = 1_000 + generator.standard_normal(rows)
    predicted = gold + generator.standard_normal(rows)
    without = TASK.without_each_row(gold, predicted)
    assert set(without) == {"pearson", "r2"}
    for row in range(rows):
        rest = np.arange(rows) != row
        expected = TASK.answer_metrics(gold[rest], predicted[rest])
        for name, values in without.items():
            assert values[row] == pytest.approx(expected[name], rel=1e-6)


def test_a_number_that_one_row_alone_has_leaves_no_correlation_without_it():
    gold, predicted = np.array([1.0, 1, 1, 1, 1, 2]), np.array([1.1, 0.9, 1.2, 0.8, 1.0, 1.8])
    without = TASK.without_each_row(gold, predicted)
    assert np.isnan(without["pearson"][-1])
    assert np.isfinite(without["pearson"][:-1]).all()
    values = TASK.answer_metrics(gold, predicted)
    low, high = answer_intervals(TASK, values, gold, predicted)["pearson"]
    assert -1 <= low < values["pearson"] < high <= 1


def test_intervals_of_thirty_rows_with_uneven_errors_cover():
    """86 and 87 of 100 by influences alone; a standard error here is 1.3."""
    generator = np.random.default_rng(0)

    def drawn(rows):
        predicted = generator.standard_normal(rows)
        return predicted + generator.standard_normal(rows) * (0.3 + np.abs(predicted)), predicted

    truth = TASK.answer_metrics(*drawn(1_000_000))
    covered = dict.fromkeys(("pearson", "r2"), 0)
    for _ in range(500):
        rows = drawn(30)
        bounds = answer_intervals(TASK, TASK.answer_metrics(*rows), *rows)
        for name in covered:
            covered[name] += bounds[name][0] <= truth[name] <= bounds[name][1]
    assert covered["pearson"] >= 0.90 * 500
    assert covered["r2"] >= 0.885 * 500


def test_the_interval_of_rmse_is_wider_with_few_rows():
    generator = np.random.default_rng(0)
    for rows, least, most in ((10, 1.1, 2.0), (1_000, 1.0, 1.01)):
        gold, predicted = generator.standard_normal((2, rows))
        values = TASK.answer_metrics(gold, predicted)
        low, high = answer_intervals(TASK, values, gold, predicted)["rmse"]
        normal = mean_interval((gold - predicted) ** 2)
        assert least <= (high**2 - low**2) / (normal[1] - normal[0]) <= most


def test_intervals_are_ordered_and_within_their_range():
    generator = np.random.default_rng(1)
    gold = generator.standard_normal(50)
    for predicted in (gold + 0.1 * generator.standard_normal(50), -gold, gold, generator.standard_normal(50)):
        values = TASK.answer_metrics(gold, predicted)
        for name, (low, high) in answer_intervals(TASK, values, gold, predicted).items():
            assert low <= values[name] + 1e-12
            assert high >= values[name] - 1e-12
            if name in ("pearson", "spearman"):
                assert -1 <= low <= high <= 1


def test_a_constant_prediction_has_no_correlation():
    gold = np.array([1.0, 2.0, 3.0])
    metrics = TASK.compute_metrics(gold, np.full((3, 1), 2.0, dtype=np.float32))
    assert (metrics["pearson"], metrics["spearman"]) == (None, None)
    assert (metrics["r2"], metrics["mae"]) == (pytest.approx(0.0), pytest.approx(2 / 3))


def test_one_row_has_an_interval():
    gold, predicted = np.array([1.0]), np.array([2.0])
    values = TASK.answer_metrics(gold, predicted)
    assert answer_intervals(TASK, values, gold, predicted) == {"mae": (1.0, 1.0), "rmse": (1.0, 1.0)}


@pytest.mark.parametrize("features", [20, 200])
def test_ridge_solves_the_same_equations_with_fewer_rows_than_features(features):
    from sklearn.linear_model import Ridge

    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((60, features))
    targets = inputs[:, :3].sum(axis=1) + 7 + 0.1 * generator.standard_normal(60)
    model = CrossValidatedRidge().fit(inputs, targets)
    expected = Ridge(model.alpha_).fit(inputs, targets)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-8)
    assert model.intercept_ == pytest.approx(expected.intercept_)


def test_ridge_finds_its_penalty_on_dense_and_sparse_inputs():
    from scipy.sparse import csr_array

    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((200, 20)) / np.sqrt(20)
    weights = generator.standard_normal(20)
    targets = 5 + inputs @ weights + 0.05 * generator.standard_normal(200)
    for form in (inputs, csr_array(inputs)):
        model = CrossValidatedRidge().fit(form, targets)
        assert model.alpha_ <= 0.1
        np.testing.assert_allclose(model.coef_, weights, atol=0.15)
        assert np.corrcoef(model.predict(form), targets)[0, 1] > 0.99
    noise = CrossValidatedRidge().fit(inputs, generator.standard_normal(200))
    assert noise.alpha_ >= 10
    assert CrossValidatedRidge().fit(inputs[:1], targets[:1]).predict(inputs[:1]) == pytest.approx(targets[:1])


def test_bf16_agrees_within_a_twentieth_of_a_standard_deviation():
    numbers = np.array([100.0, 120.0])
    assert TASK.is_about_same(numbers, numbers + 0.4).all()
    assert not TASK.is_about_same(numbers, numbers + 1.0).any()
    assert TASK.shown(numbers) == ["100", "120"]
    assert TASK.encode(pa.chunked_array([pa.array([1.5])])).tolist() == [1.5]
