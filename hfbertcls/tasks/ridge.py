"""Ridge regression whose regularization cross-validation chooses, on TF-IDF weights or on vectors."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge

from hfbertcls.tasks.probabilities import Floats


PENALTIES = tuple(10.0**power for power in np.arange(-3.0, 3.5, 0.5))
"""Those that are tried on vectors of a mean length of 1."""
PENALTIES_OF_WORDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Those that are tried on TF-IDF weights."""
_MOST_ROWS = 5_000
_MANY_FEATURES, _MOST_ROWS_OF_MANY = 1_000, 2_000
_FOLDS = 5


class CrossValidatedRidge(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # (scikit-learn is untyped)
    """A ridge regression with the penalty that has the smallest squared error in five folds.

    The folds are of at most 5,000 rows, drawn with a seed, or of 2,000 if there are more than 1,000 features of vectors.
    The model is fitted on all rows.

    ```python
    >>> inputs = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> CrossValidatedRidge().fit(inputs, np.array([1.0, 3.0, 5.0, 7.0])).predict(np.array([[4.0]])).round(1)
    array([9.])
    ```
    """

    coef_: Floats
    """Of shape `(features,)`."""
    intercept_: float
    alpha_: float
    """The chosen penalty."""
    n_features_in_: int

    def fit(self, inputs: Any, targets: npt.NDArray[np.float64]) -> Self:
        """Choose the penalty and fit.

        Args:
            inputs: of shape `(n, features)`, dense or sparse.
            targets: of shape `(n,)`.
        """
        solve = _of_words if issparse(inputs) else _of_vectors
        penalties = PENALTIES_OF_WORDS if issparse(inputs) else PENALTIES
        self.n_features_in_ = int(inputs.shape[1])
        is_wide = not issparse(inputs) and self.n_features_in_ > _MANY_FEATURES
        most = _MOST_ROWS_OF_MANY if is_wide else _MOST_ROWS
        drawn = np.random.default_rng(0).permutation(int(inputs.shape[0]))[:most]
        folds = np.arange(len(drawn)) % min(_FOLDS, len(drawn))
        errors = np.zeros(len(penalties))
        for fold in range(folds.max() + 1 if len(drawn) > 1 else 0):
            fitted, held_out = drawn[folds != fold], drawn[folds == fold]
            solutions = solve(inputs[fitted], targets[fitted], penalties)
            errors += [
                float(((inputs[held_out] @ weights + intercept - targets[held_out]) ** 2).sum())
                for weights, intercept in solutions
            ]
        self.alpha_ = penalties[int(errors.argmin())]
        self.coef_, self.intercept_ = solve(inputs, targets, (self.alpha_,))[0]
        return self

    def predict(self, inputs: Any) -> Floats:
        """The predicted targets, of shape `(n,)`."""
        return np.asarray(inputs @ self.coef_ + self.intercept_)


_Solutions = list[tuple[Floats, float]]


def _of_vectors(inputs: Any, targets: Floats, penalties: tuple[float, ...]) -> _Solutions:
    """Weights and intercept for each penalty, by one eigendecomposition of whichever matrix is smaller.

    With fewer rows than features that is the matrix of the products of rows.
    """
    centre, mean = inputs.mean(axis=0), float(targets.mean())
    centred = np.asarray(inputs - centre, dtype=np.float64)
    rows, features = centred.shape
    values, directions = np.linalg.eigh(centred @ centred.T if rows < features else centred.T @ centred)
    values = np.maximum(values, 0.0)
    moments = directions.T @ ((targets - mean) if rows < features else centred.T @ (targets - mean))
    solutions = [directions @ (moments / (values + penalty)) for penalty in penalties]
    weights = [centred.T @ one for one in solutions] if rows < features else solutions
    return [(one, mean - float(centre @ one)) for one in weights]


def _of_words(inputs: Any, targets: Floats, penalties: tuple[float, ...]) -> _Solutions:
    """Weights and intercept for each penalty, by a solver that leaves sparse inputs sparse."""
    models = [Ridge(penalty, solver="lsqr", tol=1e-4).fit(inputs, targets) for penalty in penalties]
    return [(np.asarray(one.coef_, dtype=np.float64), float(one.intercept_)) for one in models]
