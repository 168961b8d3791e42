"""The linear classifier of the accuracy benchmarks: closed-form ridge on one-vs-rest targets."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.preprocessing import StandardScaler

PENALTIES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000)


def ridge_accuracy(train, test, penalties=PENALTIES, held_out=0.2, dtype=np.float64):
    """Standardise, choose the penalty on a held-out part of the training set, refit, score.

    Parameters
    ----------
    train, test : tuples (X, y)
        float32 features, which are overwritten, and labels.
    penalties : sequence of float
        Candidates, for standardised features and sums of squares.
    held_out : float
        Share of the training rows, the last ones, that chooses.
    dtype : numpy dtype
        Of the products of features: float32 halves time and memory where there are many, which is
        enough for penalties that are not small.

    Returns
    -------
    accuracy : float
        On the test set.
    penalty : float
    """
    (X, y), (X_test, y_test) = train, test
    scaler = StandardScaler(copy=False)
    X, X_test = scaler.fit_transform(X), scaler.transform(X_test)
    classes, codes = np.unique(y, return_inverse=True)
    targets = np.where(codes[:, None] == np.arange(len(classes)), 1.0, -1.0)
    bias = targets.mean(0)

    cut = round(len(X) * (1 - held_out))
    fitted, chooser = slice(cut), slice(cut, None)
    gram, moment = _moments(X[fitted], targets[fitted] - bias, dtype)
    scores = []
    for penalty in penalties:
        guess = X[chooser] @ _solve(gram, moment, penalty) + bias
        scores.append(np.mean(guess.argmax(1) == codes[chooser]))
    penalty = penalties[int(np.argmax(scores))]

    more_gram, more_moment = _moments(X[chooser], targets[chooser] - bias, dtype)
    gram += more_gram
    del more_gram
    weights = _solve(gram, moment + more_moment, penalty)
    predicted = classes[(X_test @ weights + bias).argmax(1)]
    return float(np.mean(predicted == y_test)), penalty


def _moments(X, targets, dtype, chunk=5000):
    """X'X and X'targets: float32 products of chunks, summed in a dtype."""
    gram = np.zeros((X.shape[1], X.shape[1]), dtype)
    moment = np.zeros((X.shape[1], targets.shape[1]), dtype)
    for start in range(0, len(X), chunk):
        rows = X[start : start + chunk]
        gram += rows.T @ rows
        moment += rows.T @ targets[start : start + chunk].astype(X.dtype)
    return gram, moment


def _solve(gram, moment, penalty):
    matrix = gram.copy()
    matrix.flat[:: len(matrix) + 1] += penalty
    factor = cho_factor(matrix, overwrite_a=True, check_finite=False)
    return cho_solve(factor, moment, check_finite=False).astype(np.float32)
