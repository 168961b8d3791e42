import warnings

import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_kmfeat._deep_cluster.guard import CollapseGuard

GOOD = {"epoch": 1, "loss": 1.0, "largest": 0.2, "n_empty": 0, "spread": 0.5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"largest": 0.7}, "Epoch 1: one cluster holds 70% of the images.*n_pseudo_labels"),
        ({"n_empty": 4}, "4 of 10 clusters are empty.*fewer n_pseudo_labels"),
        ({"spread": 1e-7}, "embeddings hardly differ.*smaller lr"),
        ({"epoch": 10, "loss": 2.28}, r"Epoch 10: the loss, 2.28, is that of guessing \(2.30\)"),
    ],
)
def test_each_sign_is_warned_of_once(change, message):
    guard = CollapseGuard((10,))
    with pytest.warns(ConvergenceWarning, match=message):
        guard(GOOD | change)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guard(GOOD | change | {"epoch": 12})


def test_no_sign_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CollapseGuard((10,))(GOOD)
        CollapseGuard((10,))({"epoch": 2, "loss": 2.3})
        CollapseGuard((2,))(GOOD | {"largest": 0.62})
        CollapseGuard((1,))(GOOD | {"epoch": 10, "loss": 0.0, "largest": 1.0})
        CollapseGuard((10, 1000))(GOOD | {"epoch": 10, "loss": 4.4})
