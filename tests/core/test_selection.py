import numpy as np
import pytest
import torch

from sklearn_kmfeat._core.selection import dividing

DTYPES = [torch.float32, torch.float64]


def rows_of(kind, n, m, seed=0):
    """Rows (n, m) in float64 that are hard for one reason or another."""
    rng = np.random.RandomState(seed)
    normal = rng.randn(n, m)
    return {
        "normal": normal * rng.rand(n, 1) * 10 - 50,
        "skewed": -np.exp(3 * normal),
        "two groups": normal + 1000 * (rng.rand(n, m) < 0.4),
        "one far away": np.where(np.arange(m) == 0, 1e6, normal),
        "few values": rng.randint(3, size=(n, m)).astype(float),
        "two values": (rng.rand(n, m) < rng.rand(n, 1)).astype(float),
        "some ties": np.round(normal, 1),
        "constant": np.zeros((n, m)) + rng.randn(n, 1),
        "infinite": np.where(rng.rand(n, m) < 0.3, np.inf * np.sign(normal), normal),
        "all infinite": np.full((n, m), -np.inf),
        "sorted": np.sort(normal, 1),
        "huge": normal * 1e30,
        "close together": 1 + 1e-6 * normal,
    }[kind]


KINDS = [
    *("normal", "skewed", "two groups", "one far away", "few values", "two values", "some ties"),
    *("constant", "infinite", "all infinite", "sorted", "huge", "close together"),
]


def reached(values, k, few=1):
    return (values >= dividing(values, k, few)).numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("m", [1, 2, 64, 65, 300])
def test_the_largest_reach_it(kind, dtype, layout, m):
    values = torch.from_numpy(np.asarray(rows_of(kind, 40, m), order=layout)).to(dtype)
    before = values.clone()
    for k in sorted({1, max(1, m // 20), max(1, round(0.4 * m)), max(1, m - 1), m}):
        kth = np.sort(before.numpy(), 1)[:, m - k]
        for few in (1, 64):
            np.testing.assert_array_equal(reached(values, k, few), before.numpy() >= kth[:, None])
    assert torch.equal(values, before)


@pytest.mark.parametrize("seed", range(20))
def test_the_largest_of_random_rows(seed):
    rng = np.random.RandomState(seed)
    m = rng.randint(2, 700)
    values = np.concatenate([rows_of(kind, rng.randint(1, 9), m, seed) for kind in KINDS])
    values = torch.from_numpy(rng.permutation(values)).float()
    for k in rng.randint(1, m + 1, 5):
        expected = values >= values.topk(k, dim=1).values[:, -1:]
        np.testing.assert_array_equal(reached(values, int(k)), expected)


def test_no_rows():
    assert dividing(torch.empty(0, 100), 40).shape == (0, 1)


def test_a_literal_row():
    values = torch.zeros(1, 100)
    values[0, 7:10] = torch.tensor([3.0, 2.0, 2.0])
    assert reached(values, 1)[0].nonzero()[0].tolist() == [7]
    assert reached(values, 2)[0].nonzero()[0].tolist() == [7, 8, 9]  # the tie is admitted
    assert reached(values, 4).all()
