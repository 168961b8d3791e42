import threading

import pytest
import torch

from sklearn_kmfeat._utils.device import (
    autocast,
    deterministic_cudnn,
    matmul_precision,
    resolve_device,
)

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
        assert [switch.fp32_precision for switch in SWITCHES] == [before[0], "tf32"]
        with matmul_precision("fast"):
            pass
        assert [switch.fp32_precision for switch in SWITCHES] == [before[0], "tf32"]
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


def precisions():
    return [switch.fp32_precision for switch in SWITCHES]


def test_exact_products_are_exact_whatever_others_have_set():
    before = precisions()
    try:
        for switch, fast in zip(SWITCHES, ("bf16", "tf32"), strict=True):
            switch.fp32_precision = fast
        with matmul_precision("exact"):
            assert precisions() == ["ieee", "ieee"]
        with matmul_precision("fast"):
            assert precisions() == ["ieee", "tf32"]
        assert precisions() == ["bf16", "tf32"]
    finally:
        for switch, value in zip(SWITCHES, before, strict=True):
            switch.fp32_precision = value


def test_an_inner_call_keeps_the_precision_of_the_outer_one():
    with matmul_precision("fast"):
        with matmul_precision("exact"):
            assert precisions()[1] == "tf32"
        assert precisions()[1] == "tf32"


def test_threads_that_need_different_precisions_do_not_mix():
    """Twenty rounds of eight threads, of which each sees its own precision all the time."""
    before, wrong = precisions(), []
    expected = {"fast": [before[0], "tf32"], "exact": before}

    def work(precision):
        for _ in range(20):
            with matmul_precision(precision):
                wrong.extend(now for _ in range(5) if (now := precisions()) != expected[precision])

    threads = [threading.Thread(target=work, args=(p,)) for p in ("fast", "exact") * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert precisions() == before


def test_a_call_waits_for_those_of_another_precision():
    order, inside, go = [], threading.Event(), threading.Event()

    def slow():
        with matmul_precision("fast"):
            inside.set()
            go.wait(10)
            order.append("fast")

    def exact():
        inside.wait(10)
        with matmul_precision("exact"):
            order.append("exact")

    threads = [threading.Thread(target=work) for work in (slow, exact)]
    for thread in threads:
        thread.start()
    inside.wait(10)
    go.set()
    for thread in threads:
        thread.join()
    assert order == ["fast", "exact"]


@pytest.mark.parametrize("before", [False, True])
def test_cudnn_is_put_back(before, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", before)

    def fail():
        with deterministic_cudnn(torch.device("cuda")):
            assert torch.backends.cudnn.deterministic
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with deterministic_cudnn(CPU):
        assert torch.backends.cudnn.deterministic is before
    assert torch.backends.cudnn.deterministic is before


def test_a_call_that_dies_in_its_end_stops_nobody():
    before = precisions()

    def die():
        held = matmul_precision("fast")
        held.__enter__()
        return precisions()

    assert die() == [before[0], "tf32"]
    with matmul_precision("exact"):
        assert precisions() == before
    assert precisions() == before


def test_fast_products_on_a_cpu_change_no_setting():
    before = torch.backends.cuda.matmul.fp32_precision
    with matmul_precision("fast", torch.device("cpu")):
        assert torch.backends.cuda.matmul.fp32_precision == before
        with matmul_precision("exact"):
            pass
    with matmul_precision("fast", torch.device("cuda")):
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    assert torch.backends.cuda.matmul.fp32_precision == before


def test_a_call_on_a_cpu_leaves_the_products_of_cuda_alone():
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        for precision in ("exact", "fast"):
            with matmul_precision(precision, torch.device("cpu")):
                assert torch.backends.cuda.matmul.fp32_precision == "tf32"
        with matmul_precision("exact", torch.device("cuda")):
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
