import pytest
import torch

from sklearn_kmfeat._utils.generators import (
    deterministic_cudnn,
    preserved_generators,
    seed_generators,
)

CPU = torch.device("cpu")


def test_generators_are_put_back():
    before = torch.get_rng_state()
    with preserved_generators(CPU):
        seed_generators(3, CPU)
        first = torch.rand(2)
        seed_generators(3, CPU)
        assert torch.equal(torch.rand(2), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_generators_are_put_back_after_an_error():
    before = torch.get_rng_state()

    def fail():
        with preserved_generators(CPU):
            torch.rand(2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_generator_of_a_device_is_put_back():
    cuda = torch.device("cuda")
    before = torch.cuda.get_rng_state(cuda)
    with preserved_generators(cuda):
        seed_generators(3, cuda)
        first = torch.rand(2, device=cuda)
        seed_generators(3, cuda)
        assert torch.equal(torch.rand(2, device=cuda), first)
    assert torch.equal(torch.cuda.get_rng_state(cuda), before)


@pytest.mark.parametrize("before", [False, True])
def test_cudnn_is_put_back(before, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", before)

    def fail():
        with deterministic_cudnn():
            assert torch.backends.cudnn.deterministic
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.backends.cudnn.deterministic is before
