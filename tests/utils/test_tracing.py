import pytest
import torch

from sklearn_kmfeat._utils.tracing import constant, is_traced, static_size

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.trace:FutureWarning")


class Watch(torch.nn.Module):
    """Notes what the helpers say while it runs."""

    def __init__(self):
        super().__init__()
        self.seen = None

    def forward(self, x):
        self.seen = is_traced(), type(static_size(x, 1)), static_size(x, -1)
        return x * constant([1, 2, 3], x)


@pytest.fixture
def x():
    return torch.ones(2, 4, 3, dtype=torch.float64)


def test_as_it_runs(x):
    watch = Watch()
    assert watch(x).tolist() == [[[1.0, 2.0, 3.0]] * 4] * 2
    assert watch.seen == (False, int, 3)


def test_jit(x):
    watch = Watch()
    traced = torch.jit.trace(watch, (x,), check_trace=False)  # a check would run it as it is
    assert watch.seen == (True, int, 3)
    assert traced(x[:1]).dtype == torch.float64
    assert not is_traced()


def test_export(x):
    watch = Watch()
    free = ({0: torch.export.Dim("n")},)
    program = torch.export.export(watch, (x,), dynamic_shapes=free)
    assert program.module()(x[:1]).tolist() == [[[1.0, 2.0, 3.0]] * 4]
    assert not is_traced()


def test_compile(x):
    compiled = torch.compile(Watch(), backend="eager", fullgraph=True)
    assert compiled(x).tolist() == [[[1.0, 2.0, 3.0]] * 4] * 2
