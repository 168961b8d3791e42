import pytest
import torch

from sklearn_kmfeat._utils.device import autocast, matmul_precision, resolve_device

CPU = torch.device("cpu")
SWITCHES = (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul)


@pytest.fixture
def hardware(monkeypatch):
    """Pretends that the machine has other hardware than it has."""

    def pretend(n_cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n_cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n_cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize("device", [None, "cpu", CPU, "auto"])
def test_the_processor(device, hardware):
    hardware()
    assert resolve_device(device) == CPU


def test_none_is_the_processor_whatever_there_is(hardware):
    hardware(n_cuda=1, mps=True)
    assert resolve_device(None) == CPU


@pytest.mark.parametrize(
    ("n_cuda", "mps", "expected"), [(2, True, "cuda"), (2, False, "cuda"), (0, True, "mps")]
)
def test_auto_takes_the_first_that_is_there(n_cuda, mps, expected, hardware):
    hardware(n_cuda, mps)
    assert resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda:0"), "mps"])
def test_what_is_there(device, hardware):
    hardware(n_cuda=2, mps=True)
    assert resolve_device(device) == torch.device(device)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps", "meta", torch.device("cuda")])
def test_what_is_not_there(device, hardware):
    hardware()
    with pytest.raises(ValueError, match="was asked for, but this machine has none"):
        resolve_device(device)


def test_too_high_a_number(hardware):
    hardware(n_cuda=2)
    with pytest.raises(ValueError, match="but CUDA devices here are 0 to 1"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x", 1.5])
def test_no_device_at_all(device):
    with pytest.raises(ValueError, match="device must be None, 'auto', or a torch device"):
        resolve_device(device)


def test_fast_products_are_put_back():
    before = [switch.fp32_precision for switch in SWITCHES]
    with matmul_precision("fast"):
        assert [switch.fp32_precision for switch in SWITCHES] == ["bf16", "tf32"]
        with matmul_precision("fast"):
            pass
        assert [switch.fp32_precision for switch in SWITCHES] == ["bf16", "tf32"]
    assert [switch.fp32_precision for switch in SWITCHES] == before


def test_fast_products_are_put_back_after_an_error():
    before = [switch.fp32_precision for switch in SWITCHES]
    with pytest.raises(KeyError), matmul_precision("fast"):
        raise KeyError
    assert [switch.fp32_precision for switch in SWITCHES] == before


def test_exact_products_change_nothing():
    before = [switch.fp32_precision for switch in SWITCHES]
    with matmul_precision("exact"):
        assert [switch.fp32_precision for switch in SWITCHES] == before


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"amx_bf16": True}, torch.bfloat16), ({"avx512_bf16": False}, torch.float32), ({}, None)],
)
def test_networks_are_fast_where_the_processor_is(capabilities, expected, monkeypatch):
    if expected is None:  # as in old releases
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
        expected = torch.float32
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    rows = torch.ones(2, 2)
    with autocast("exact", CPU):
        assert (rows @ rows).dtype == torch.float32
    with autocast("fast", CPU):
        assert (rows @ rows).dtype == expected
