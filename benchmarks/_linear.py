"""The linear classifier of the accuracy benchmarks: closed-form ridge on one-vs-rest targets."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from sklearn.preprocessing import StandardScaler

PENALTIES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000)


def ridge_accuracy(train, test, penalties=PENALTIES, held_out=0.2, dtype=np.float64, scale=True):
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
    scale : bool
        Whether to standardise.

    Returns
    -------
    accuracy : float
        On the test set.
    penalty : float
    """
    (X, y), (X_test, y_test) = train, test
    if scale:
        X, X_test = standardised(X, X_test)
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

    moment += _moments(X[chooser], targets[chooser] - bias, dtype, gram)[1]
    weights = _solve(gram, moment, penalty)
    predicted = classes[(X_test @ weights + bias).argmax(1)]
    return float(np.mean(predicted == y_test)), penalty


def standardised(X, X_test):
    """Features in place, with the means and deviations of the training set."""
    scaler = StandardScaler(copy=False)
    return scaler.fit_transform(X), scaler.transform(X_test)


class Nystroem:
    """Nyström features of a Gaussian kernel on features that come in blocks of columns.

    Those of `sklearn.kernel_approximation.Nystroem`, up to a rotation, without the singular value
    decomposition, in float32, and with one block in memory at a time. The first rows of the
    training set are the landmarks.

    Parameters
    ----------
    n_landmarks : int
    width : float
        Of the kernel: it is exp(-d / width^2) for a mean d of squared differences, which is about
        2 for standardised features.
    """

    def __init__(self, n_landmarks, width=4.5):
        self.n_landmarks = n_landmarks
        self.width = width
        self.products = self.squares = None
        self.n_columns = 0

    def add(self, X, X_test, chunk=5000):
        """Take in a block of standardised float32 features of training and test set."""
        if self.products is None:
            lengths = [len(rows) for rows in (X, X_test)]
            self.products = [np.zeros((n, self.n_landmarks), np.float32) for n in lengths]
            self.squares = [np.zeros(n, np.float32) for n in lengths]
        landmarks = X[: self.n_landmarks].T
        for rows, products, squares in zip((X, X_test), self.products, self.squares, strict=True):
            squares += np.einsum("ij,ij->i", rows, rows)
            for start in range(0, len(rows), chunk):
                some = slice(start, start + chunk)
                products[some] += rows[some] @ landmarks
        self.n_columns += X.shape[1]

    def features(self, chunk=5000):
        """Two float32 arrays (n, n_landmarks), of training and test set; ends the work."""
        of_landmarks = self.squares[0][: self.n_landmarks].copy()
        for products, squares in zip(self.products, self.squares, strict=True):
            products *= 2
            products -= of_landmarks
            products -= squares[:, None]
            np.minimum(products, 0, out=products)
            products /= self.n_columns * self.width**2
            np.exp(products, out=products)
        factor = self.products[0][: self.n_landmarks].astype(np.float64)
        factor.flat[:: self.n_landmarks + 1] += 1e-4  # above what float32 gets wrong
        factor = cholesky(factor, lower=True, overwrite_a=True, check_finite=False)
        factor = factor.astype(np.float32)
        for products in self.products:
            for start in range(0, len(products), chunk):
                some = products[start : start + chunk]
                some[:] = solve_triangular(factor, some.T, lower=True, check_finite=False).T
        return self.products


def _moments(X, targets, dtype, gram=None, chunk=5000):
    """X'X, added to `gram` where given, and X'targets: float32 products of chunks, summed."""
    gram = np.zeros((X.shape[1], X.shape[1]), dtype) if gram is None else gram
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
