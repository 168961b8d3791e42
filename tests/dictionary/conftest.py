import pytest
import sklearn


@pytest.fixture
def rows(rng):
    return 100 * rng.rand(60, 12)


@pytest.fixture
def correlated(rng):
    return rng.randn(300, 8) @ rng.randn(8, 8) + 10 * rng.randn(8)


@pytest.fixture
def ragged(rng):
    return [100 * rng.rand(*size) for size in [(4, 5), (3, 3), (4, 5), (6, 2)]]


@pytest.fixture(params=["one batch", "one row a batch"])
def batches(request):
    memory = 1e-6 if request.param == "one row a batch" else None
    with sklearn.config_context(working_memory=memory):
        yield
