"""Classifiers of the accuracy benchmarks: closed-form ridge, linear and of a Gaussian kernel."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
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


class GaussianKernelRidge:
    """Ridge regression with a Gaussian kernel of features that come in blocks of columns.

    `sklearn.kernel_ridge.KernelRidge(kernel="rbf")` on one-vs-rest targets, in float32. The kernel
    of 50,000 images takes 10 GB, of which a triangle is computed; features come and go.

    Parameters
    ----------
    width : float
        The kernel is exp(-d / width^2) for a mean d of squared differences, which is about 2 for
        standardised features.
    """

    def __init__(self, width=4.5):
        self.width = width
        self.kernel = self.squares = None
        self.n_columns = 0

    def add(self, X, X_test, chunk=1000):
        """Take in a block of standardised float32 features of training and test set."""
        if self.kernel is None:
            self.kernel = [np.zeros((len(part), len(X)), np.float32) for part in (X, X_test)]
            self.squares = [np.zeros(len(part), np.float32) for part in (X, X_test)]
        for part, kernel, squares in zip((X, X_test), self.kernel, self.squares, strict=True):
            squares += np.einsum("ij,ij->i", part, part)
            for some, stop in self._chunks(part is X, len(part), chunk):
                kernel[some, :stop] += part[some] @ X[:stop].T
        self.n_columns += X.shape[1]

    def accuracy(self, y, y_test, penalties, chunk=1000):
        """Choose the penalty, fit, score; ends the work.

        The penalty is chosen on a tenth of the training set, by a fit on three others: a fit of all
        takes minutes.

        Returns
        -------
        accuracy : float
            On the test set.
        penalty : float
        """
        self._exponentials(chunk)
        kernel, cross = self.kernel
        classes, codes = np.unique(y, return_inverse=True)
        targets = np.where(codes[:, None] == np.arange(len(classes)), 1.0, -1.0)
        targets, bias = (targets - targets.mean(0)).astype(np.float32), targets.mean(0)
        fitted, stop = round(0.3 * len(y)), round(0.4 * len(y))
        scores = []
        for penalty in penalties:
            dual = _dual(kernel[:fitted, :fitted].copy(), targets[:fitted], penalty)
            guess = kernel[fitted:stop, :fitted] @ dual + bias
            scores.append(np.mean(guess.argmax(1) == codes[fitted:stop]))
        penalty = penalties[int(np.argmax(scores))]
        guess = cross @ _dual(kernel, targets, penalty) + bias
        return float(np.mean(classes[guess.argmax(1)] == y_test)), penalty

    def _exponentials(self, chunk):
        of_training = self.squares[0]
        for kernel, squares in zip(self.kernel, self.squares, strict=True):
            for some, stop in self._chunks(kernel is self.kernel[0], len(kernel), chunk):
                values = kernel[some, :stop]
                values *= 2
                values -= of_training[:stop]
                values -= squares[some, None]
                np.minimum(values, 0, out=values)
                values /= self.n_columns * self.width**2
                np.exp(values, out=values)

    @staticmethod
    def _chunks(triangle, n, chunk):
        """Slices of rows, and the column before which they are needed: None is the last."""
        for start in range(0, n, chunk):
            stop = min(start + chunk, n)
            yield slice(start, stop), stop if triangle else None


def _dual(kernel, targets, penalty, block=2000):
    """Coefficients of kernel ridge; the lower triangle of the kernel is overwritten.

    Cholesky's decomposition block by block: LAPACK fails where there are more than 46,340 rows,
    whose square is beyond its integers.
    """
    kernel.flat[:: len(kernel) + 1] += penalty
    blocks = [slice(i, min(i + block, len(kernel))) for i in range(0, len(kernel), block)]
    for i, some in enumerate(blocks):
        before = kernel[some, : some.start]
        kernel[some, some] -= before @ before.T
        kernel[some, some] = cholesky(kernel[some, some], lower=True, check_finite=False)
        for others in blocks[i + 1 :]:
            rest = kernel[others, some] - kernel[others, : some.start] @ before.T
            kernel[others, some] = _solved(kernel[some, some], rest.T).T
    solution = targets.copy()
    for some in blocks:
        solution[some] -= kernel[some, : some.start] @ solution[: some.start]
        solution[some] = _solved(kernel[some, some], solution[some])
    for some in reversed(blocks):
        solution[some] -= kernel[some.stop :, some].T @ solution[some.stop :]
        solution[some] = _solved(kernel[some, some], solution[some], trans=1)
    return solution


def _solved(triangle, right, **options):
    return solve_triangular(triangle, right, lower=True, check_finite=False, **options)


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
