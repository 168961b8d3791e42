"""The pretended device itself: as strict as a real one, with the numbers of the CPU."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pretended_device import another_machine, pretended


@pytest.fixture
def device():
    with pretended() as device:
        yield device


def there(*shape):
    return torch.arange(1.0, 1 + torch.Size(shape).numel(), device="cuda").view(*shape)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_tensors_claim_to_be_there(kind):
    with pretended(kind):
        made = [
            torch.ones(2, device=kind),
            torch.ones(2).to(f"{kind}:0"),
            torch.ones(2).to(torch.device(kind)),
            torch.ones(2, dtype=torch.int32).to(kind, torch.float32),
            torch.ones(2).to(torch.zeros(1, device=kind)),
            torch.tensor([1.0, 1.0], device=kind),
            torch.as_tensor(np.ones(2, "f4"), device=kind),
            torch.ones(2).new_ones(2, device=kind),
            torch.zeros(2, device=kind) + 1,
            torch.zeros(2, device=kind).add_(1),
        ]
        for tensor in made:
            assert tensor.device == torch.device(kind, 0)
            assert (tensor.is_cuda, tensor.is_mps) == (kind == "cuda", kind == "mps")
            assert tensor.tolist() == [1, 1]
            assert tensor.cpu().device.type == "cpu"
            np.testing.assert_array_equal(tensor.cpu().numpy(), np.ones(2))
    assert torch.ones(2).device.type == "cpu"


@pytest.mark.parametrize(
    "mix",
    [
        lambda a, b: a @ b,
        lambda a, b: a + b,
        lambda a, b: b.add_(a),
        lambda a, b: torch.cat([a, b]),
        lambda a, b: torch.mm(a, a, out=b),
        lambda a, b: torch.where(a > 0, a, b),
        lambda a, b: a[a > 0].put_(torch.tensor([0]), torch.tensor([1.0])),
        lambda a, b: b[a > 0],
        lambda a, b: F.linear(a, b),
        lambda a, b: torch.cat([a[0], torch.tensor(1.0)[None]]),
        lambda a, b: torch.tensor(1.0).add_(a[0, 0]),
        lambda a, b: a.index_add_(0, torch.tensor([0, 1]), a.clone()),
        lambda a, b: a.__setitem__(a > 2, torch.tensor([1.0, 2.0])),
    ],
)
def test_two_devices_do_not_mix(device, mix):
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        mix(there(2, 2), torch.ones(2, 2))


@pytest.mark.parametrize("convert", [lambda a: a.numpy(), np.asarray, np.array, np.flatnonzero])
def test_numpy_does_not_take_them(device, convert):
    with pytest.raises(TypeError, match=r"can't convert cuda:0 device type tensor to numpy"):
        convert(there(2))


def test_what_torch_allows(device):
    a = there(2, 2)
    assert (a + torch.tensor(1.0)).tolist() == [[2, 3], [4, 5]]
    assert torch.where(a > 2, a, torch.tensor(0.0)).tolist() == [[0, 0], [3, 4]]
    a[0] = torch.tensor([7.0, 8.0])
    a[a > 7] = 0.0
    a[1, 1] = 5
    assert a.tolist() == [[7, 0], [3, 5]]
    kept = torch.zeros(2, 2)
    assert kept.copy_(a) is kept
    assert kept.tolist() == a.tolist()
    assert device.hidden_copies == 0
    assert [float(a.sum()), int(a.argmax()), bool(a.any()), a[1, 0].item()] == [15, 0, True, 3]


@pytest.mark.parametrize("index", [[1], np.array([1]), torch.tensor([1])])
def test_an_index_on_the_cpu_is_allowed_and_counted(device, index):
    a = there(2, 2)
    assert a[index].tolist() == [[3, 4]]
    a[index] = 0.0
    assert a.tolist() == [[1, 2], [0, 0]]
    assert device.hidden_copies == 2
    a[torch.tensor([1], device="cuda")] = 1.0
    assert device.hidden_copies == 2


def test_views_and_writing_in_place(device):
    a = there(3, 2)
    a[1:].mul_(2)
    a.T[0] += 1
    out = torch.empty(3, device="cuda")
    assert torch.sum(a, 1, out=out) is out
    assert a.tolist() == [[2, 2], [7, 8], [11, 12]]
    assert out.tolist() == [4, 15, 23]
    assert a.unsqueeze_(0).shape == (1, 3, 2)
    assert [each.tolist() for each in a[0].split(2)] == [[[2, 2], [7, 8]], [[11, 12]]]


def step(kind):
    """Weights and loss after a step of a small network."""
    draw = torch.Generator().manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True)),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2)),
    )
    for parameter in net.parameters():
        nn.init.normal_(parameter, generator=draw)
    images = torch.randn(5, 1, 6, 6, generator=draw)
    before = list(net.parameters())
    net, images, y = net.to(kind), images.to(kind), torch.tensor([0, 1, 1, 0, 1]).to(kind)
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    assert all(p.device.type == kind and isinstance(p, nn.Parameter) for p in net.parameters())
    optimizer = torch.optim.Adam(net.parameters())
    loss = F.cross_entropy(net(images), y)
    loss.backward()
    assert next(net.parameters()).grad.device.type == kind
    optimizer.step()
    state = {name: value.cpu() for name, value in net.state_dict().items()}
    assert all(p.device.type == "cpu" for p in net.cpu().parameters())
    return [loss.detach().cpu(), *state.values()]


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_network_learns_there_what_it_learns_here(kind):
    expected = step("cpu")
    with pretended(kind):
        found = step(kind)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


def test_gradients_cross_over(device):
    weights = torch.ones(2, requires_grad=True)
    (there(2) * weights.to("cuda")).sum().backward()
    assert weights.grad.device.type == "cpu"
    assert weights.grad.tolist() == [1, 2]


def test_autocast_reduces_products_there(device):
    here, a = torch.ones(2, 2), there(2, 2)
    with torch.autocast("cuda", torch.bfloat16):
        assert (a @ a).dtype == nn.Linear(2, 2).to("cuda")(a).dtype == torch.bfloat16
        assert (here @ here).dtype == (a + a).dtype == torch.float32
        with torch.autocast("cuda", enabled=False):
            assert (a @ a).dtype == torch.float32


def test_generators_belong_to_a_device(device):
    generators = {kind: torch.Generator(kind) for kind in ("cpu", "cuda")}
    assert {kind: each.device.type for kind, each in generators.items()} == {
        "cpu": "cpu",
        "cuda": "cuda",
    }
    for kind, other in (("cpu", "cuda"), ("cuda", "cpu")):
        own, wrong = generators[kind], generators[other]
        drawn = [torch.rand(2, device=kind, generator=own.manual_seed(0)) for _ in range(2)]
        assert torch.equal(*drawn)
        for draw in (
            lambda g, kind=kind: torch.rand(2, device=kind, generator=g),
            lambda g, kind=kind: torch.ones(2, device=kind).normal_(generator=g),
            lambda g, kind=kind: nn.init.normal_(torch.ones(2, device=kind), generator=g),
        ):
            draw(own)
            with pytest.raises(RuntimeError, match=f"'{kind}' device type for generator"):
                draw(wrong)
    assert device.global_draws == 0
    there(2).uniform_()
    torch.rand(2, device="cuda")
    assert device.global_draws == 2


def test_mps_has_no_float64():
    with pretended("mps"):
        a = torch.ones(2, device="mps")
        for make in (
            lambda: a.double(),
            lambda: a.sum(dtype=torch.float64),
            lambda: torch.zeros(2, dtype=torch.float64, device="mps"),
            lambda: torch.zeros(2, dtype=torch.float64).to("mps"),
        ):
            with pytest.raises(TypeError, match="MPS framework doesn't support float64"):
                make()
        with pytest.raises(NotImplementedError, match="segment_reduce"):
            torch.segment_reduce(a, "sum", lengths=torch.tensor([2], device="mps"))


def test_copies_and_pickles(device):
    net = nn.Linear(2, 1).to("cuda")
    for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert again.weight.is_cuda
        assert isinstance(again.weight, nn.Parameter)
        assert again.weight.requires_grad
        assert again.weight.tolist() == net.weight.tolist()
        assert again.weight is not net.weight


def test_elsewhere_it_must_be_said_where_tensors_go(tmp_path):
    with pretended():
        torch.save({"a": there(2)}, tmp_path / "file")
        assert torch.load(tmp_path / "file")["a"].is_cuda
        on_cpu = torch.load(tmp_path / "file", map_location="cpu", weights_only=True)["a"]
        assert not on_cpu.is_cuda
    with another_machine():
        with pytest.raises(RuntimeError, match="Attempting to deserialize object on cuda"):
            torch.load(tmp_path / "file")
        assert torch.load(tmp_path / "file", map_location="cpu")["a"].tolist() == [1, 2]


def test_it_belongs_to_a_thread(device):
    a, errors = there(2), []

    def work():
        try:
            a + 1
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "in another thread" in errors[0]


def test_nothing_is_left():
    before = torch.cuda.is_available(), torch.Generator, torch.load
    with pretended():
        assert torch.cuda.is_available()
    with pytest.raises(KeyError), pretended():
        raise KeyError
    assert (torch.cuda.is_available(), torch.Generator, torch.load) == before
    assert torch.ones(2).to("cpu").numpy().tolist() == [1, 1]
