import errno
import types
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import transforms
from torchvision.transforms import v2

from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat._deep_cluster import checkpoint
from sklearn_kmfeat._deep_cluster.checkpoint import (
    read_checkpoint,
    run_fingerprint,
    write_checkpoint,
)
from sklearn_kmfeat._deep_cluster.sources import ImageBatches, image_batches
from sklearn_kmfeat._inputs.arrays import ArraySource
from sklearn_kmfeat._inputs.check import check_images

RUN = {"n_images": 12, "shape": (8, 8, 1), "lr": 0.05, "head": "reset", "nothing": None}
CPU = torch.device("cpu")


@pytest.fixture
def state():
    return {"weights": {"a": torch.arange(4.0)}, "records": [{"loss": 1.5, "epoch": 1}], "n": 3}


def test_round_trip(tmp_path, state):
    path = tmp_path / "run.pt"
    assert read_checkpoint(path, RUN) is None
    write_checkpoint(path, RUN, state)
    got = read_checkpoint(path, RUN)
    assert torch.equal(got["weights"]["a"], state["weights"]["a"])
    assert got["records"] == state["records"]
    assert torch.load(path, weights_only=True)["fingerprint"] == RUN
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_a_failed_write_leaves_the_last_one(tmp_path, state, monkeypatch):
    path = tmp_path / "run.pt"
    write_checkpoint(path, RUN, state)
    before = path.read_bytes()

    def fail(content, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(path, RUN, state)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "text", "weight"])
def test_damaged(tmp_path, state, damage):
    path = tmp_path / "run.pt"
    write_checkpoint(path, RUN, state)
    content = path.read_bytes()
    broken = {
        "cut": content[: len(content) // 2],
        "empty": b"",
        "flipped": content[:200] + bytes(b ^ 255 for b in content[200:400]) + content[400:],
        "text": b"not a checkpoint at all",
        # The bytes of 3.0 become those of another number, and nothing else is wrong.
        "weight": content.replace(np.float32(3).tobytes(), np.float32(2.5).tobytes()),
    }[damage]
    assert broken != content
    path.write_bytes(broken)
    with pytest.raises(ValueError, match=r"checkpoint .*run\.pt' is damaged"):
        read_checkpoint(path, RUN)


def test_any_damage_is_told(tmp_path):
    """Cuts and changed bytes all over a file of the size of a real one."""
    path = tmp_path / "run.pt"
    state = {"weights": {"a": torch.rand(12_000), "b": torch.rand(30, 3)}, "n": 3}
    write_checkpoint(path, RUN, state)
    content = path.read_bytes()
    rng = np.random.RandomState(0)
    for share in (0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ValueError, match="is damaged"):
            read_checkpoint(path, RUN)
    told = 0
    for _ in range(300):
        place = rng.choice(
            [rng.randint(len(content)), rng.randint(len(content) - 3000, len(content))]
        )
        path.write_bytes(content[:place] + bytes([rng.randint(256)]) + content[place + 1 :])
        try:
            got = read_checkpoint(path, RUN)
        except ValueError as error:
            told += "damaged" in str(error) or "no checkpoint" in str(error)
        else:  # the byte says nothing
            assert torch.equal(got["weights"]["a"], state["weights"]["a"])
            assert torch.equal(got["weights"]["b"], state["weights"]["b"])
            assert got["n"] == 3
    assert told > 100


def test_of_another_version(tmp_path, state):
    path = tmp_path / "run.pt"
    write_checkpoint(path, RUN, state)
    torch.save(torch.load(path, weights_only=True) | {"version": 4}, path)
    with pytest.raises(ValueError, match=r"another version.*form 4, expected 5\. Choose another"):
        read_checkpoint(path, RUN)


def test_a_full_disk_names_the_file(tmp_path, state, monkeypatch):
    path = tmp_path / "run.pt"
    write_checkpoint(path, RUN, state)

    def full(content, file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    message = r"run\.pt' could not be written: No space left on device.*still holds the last whole"
    with pytest.raises(OSError, match=message) as caught:
        write_checkpoint(path, RUN, state)
    assert caught.value.errno == errno.ENOSPC
    assert torch.equal(read_checkpoint(path, RUN)["weights"]["a"], state["weights"]["a"])


@pytest.mark.parametrize("content", [{"some": "weights"}, [1, 2], {"format": "x", "version": 1}])
def test_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt' is no checkpoint"):
        read_checkpoint(tmp_path / "other.pt", RUN)


def test_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("code was run",))

    torch.save({"format": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(tmp_path / "evil.pt", RUN)


def test_of_another_run(tmp_path, state):
    write_checkpoint(tmp_path / "run.pt", RUN, state)
    with pytest.raises(ValueError, match=r"another run: its lr was 0\.05, now it is 0\.1"):
        read_checkpoint(tmp_path / "run.pt", RUN | {"lr": 0.1})


def warp(image):
    return image


def test_fingerprint():
    X = np.arange(5 * 16, dtype=np.uint8).reshape(5, 4, 4)

    def fingerprint(X=X, **params):
        params = {"lr_schedule": "constant"} | params
        params = DeepClusterEstimator(**params).get_params(deep=False)
        source = ImageBatches(ArraySource(X, (4, 4, 1)), CPU)
        return run_fingerprint(params, source, (4, 4, 1), (3,))

    same = fingerprint()
    assert same == fingerprint(max_epochs=99, verbose=1, n_clusters=3, device="cuda")
    assert same == fingerprint(random_state=np.random.RandomState(0))
    assert same["optimizer"] == "torch.optim.sgd.SGD"
    reading = {"module__width": 8, "iterator_train__num_workers": 2}
    assert fingerprint(net_params=reading) == fingerprint(net_params={"module__width": 8})
    assert fingerprint(module=nn.Linear(2, 3)) == fingerprint(module=nn.Linear(2, 3))
    assert fingerprint(module=nn.Linear(2, 3)) != fingerprint(module=nn.Linear(2, 4))
    fingerprint(module=nn.LazyLinear(2))
    for kind in (v2, transforms):
        turns = [fingerprint(augment=kind.Compose([kind.RandomRotation(d)])) for d in (5, 5, 180)]
        assert turns[0] == turns[1] != turns[2]
    addressed = fingerprint(augment=v2.Compose([v2.RandomRotation(5), warp]))
    with_another_address = types.FunctionType(warp.__code__, globals(), "warp")
    assert addressed == fingerprint(
        augment=v2.Compose([v2.RandomRotation(5), with_another_address])
    )
    for other in (
        fingerprint(lr=0.1),
        fingerprint(random_state=0),
        fingerprint(optimizer=torch.optim.Adam),
        fingerprint(net_params={"module__width": np.int64(8)}),
        fingerprint(lr_schedule="cosine"),
        fingerprint(module=nn.Linear(2, 3)),
        fingerprint(augment=v2.RandomRotation(5)),
        fingerprint(augment=partial(torch.mul, other=2)),
        fingerprint(augment=partial(torch.mul, other=torch.ones(2))),
        fingerprint(X=X + np.uint8(1)),
        fingerprint(X=X ^ (np.arange(5) == 2)[:, None, None]),
    ):
        assert other != same
        assert all(isinstance(name, str) for name in other)


def sum_of(X):
    """The checksum of any X."""
    batches, shape = image_batches(check_images(types.SimpleNamespace(), X), None, CPU)
    params = DeepClusterEstimator().get_params(deep=False)
    return run_fingerprint(params, batches, shape, (3,))["checksum of images"]


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3)])
def test_each_image_counts(shape):
    X = np.random.RandomState(0).randint(0, 255, (2_500, *shape)).astype(np.uint8)
    before = sum_of(X)
    for i in (0, 1, 2, 1_234, 2_498, 2_499):
        X[i, -1, -1] += 1
        assert sum_of(X) != before
        X[i, -1, -1] -= 1
    assert sum_of(X) == before
    assert sum_of(X[::-1]) != before
    X[[1_000, 1_001]] = X[[1_001, 1_000]]
    assert sum_of(X) != before


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3)])
def test_the_same_images_in_another_container(shape, tmp_path):
    X = np.random.RandomState(0).randint(0, 256, (70, *shape)).astype(np.uint8)
    np.save(tmp_path / "X.npy", X)
    frozen = X.copy()
    frozen.flags.writeable = False
    containers = [
        list(X),
        [image.copy() for image in X],
        np.load(tmp_path / "X.npy", mmap_mode="r"),
        np.asfortranarray(X),
        frozen,
        torch.from_numpy(X),
        X.astype(np.int16),
        X.astype(np.float32),
        X.astype(np.float64),
    ]
    assert {sum_of(each) for each in containers} == {sum_of(X)}
    assert sum_of(X / 255) == sum_of(list(X / 255)) != sum_of(X)


class Watched(ArraySource):
    """Tells how much is read at a time."""

    largest = 0

    def read(self, index, writable=False):
        block = super().read(index, writable)
        self.largest = max(self.largest, block.numel())
        return block


@pytest.mark.parametrize(("shape", "largest"), [((9, 9, 1), 2_000), ((50, 50, 1), 2_500)])
def test_images_are_read_a_few_at_a_time(shape, largest, monkeypatch):
    X = np.random.RandomState(0).randint(0, 256, (101, *shape)).astype(np.uint8)
    expected = sum_of(X)
    monkeypatch.setattr(checkpoint, "_VALUES_PER_READ", 2_000)
    source = Watched(X, shape)
    params = DeepClusterEstimator().get_params(deep=False)
    got = run_fingerprint(params, ImageBatches(source, CPU), shape, (3,))
    assert got["checksum of images"] == expected
    assert 0 < source.largest <= largest
