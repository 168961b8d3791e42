"""Fits of two processes beside those of one.

The processes are real ones, and do the cases of `in_job.py` one after the other. Each job has a
time limit, so that no test can hang.
"""

import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
import zlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import in_job
import sklearn_kmfeat
from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat._deep_cluster.batch_norm import SynchronizedBatchNorm, statistics_of_all
from sklearn_kmfeat._deep_cluster.joined import joined
from sklearn_kmfeat._deep_cluster.parameters import check_parameters
from sklearn_kmfeat._deep_cluster.ranks import Ranks
from sklearn_kmfeat._utils.fingerprint import joined_checksums

SCRIPT = Path(in_job.__file__)
# The longest job takes 35 s on two cores of its own, and many times that on busy ones.
_SECONDS = 560


def environment(**of_job):
    """Of a process that imports this copy of the package."""
    root = str(Path(sklearn_kmfeat.__file__).parents[1])
    return os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"} | of_job


def free_port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def run_job(folder, *cases):
    """Results of the cases in each of two processes; None where one left none."""
    job = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    command = [sys.executable, "-W", "error", SCRIPT, folder, *cases]
    files = [folder / f"stderr.{i}" for i in range(2)]
    end, processes = time.monotonic() + _SECONDS, []
    try:
        for i, file in enumerate(files):
            # A file takes any number of lines; a pipe that nobody reads would hold up its process.
            with file.open("wb") as errors:
                of_process = environment(RANK=str(i), **job)
                processes.append(subprocess.Popen(command, env=of_process, stderr=errors))
        for each in processes:
            each.wait(timeout=max(0, end - time.monotonic()))
    finally:
        for each in processes:
            each.kill()
            each.wait()
    errors = [file.read_text() for file in files]
    assert all(each.returncode in (0, -signal.SIGKILL) for each in processes), "\n".join(errors)
    return {
        case: [
            pickle.loads(file.read_bytes()) if file.exists() else None
            for file in (folder / f"{case}.{i}" for i in range(2))
        ]
        for case in cases
    }


@pytest.fixture(scope="module")
def of_job(tmp_path_factory):
    """Results of all cases, by name and process; one job for all processes of a test run."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "job"
    done = folder / "done"
    try:
        folder.mkdir()
    except FileExistsError:  # another process of the tests runs it
        end = time.monotonic() + _SECONDS
        while not done.exists() and time.monotonic() < end:
            time.sleep(0.2)
        results = pickle.loads(done.read_bytes())
        assert results is not None, "the job failed in another process of the tests"
        return results
    results = None
    try:
        in_job.checkpoint(folder / "single", 1)
        cases = [case for case in in_job.CASES if case != "killed"]
        results = run_job(folder, *cases, "killed") | {"folder": folder}
        return results
    finally:
        (folder / "written").write_bytes(pickle.dumps(results))
        (folder / "written").rename(done)


def weights(pickled):
    return pickle.loads(pickled).net_.module_.state_dict()


def assert_equal(a, b, **tolerance):
    """Tensors in any nesting are equal, or close."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        a, b = a.values(), b.values()
    if isinstance(a, torch.Tensor):
        torch.testing.assert_close(a, b, **({"rtol": 0, "atol": 0} | tolerance))
        return
    for each, other in zip(a, b, strict=True):
        assert_equal(each, other, **tolerance)


@pytest.mark.parametrize("head", ["reset", "prototypes"])
def test_first_step(head, of_job):
    """As in one process: pseudo-labels, the loss, and the gradient of divided batches."""
    first, second = (each[head] for each in of_job["gradients"])
    labels, gradients, loss = in_job.first_gradient(head)
    assert torch.equal(first[0], labels)
    assert torch.equal(second[0], labels)
    assert_equal(first[1], second[1])
    assert gradients.keys() == first[1].keys()
    for name, gradient in gradients.items():
        size = gradient.abs().max()
        torch.testing.assert_close(first[1][name], gradient, rtol=0, atol=float(1e-4 * size + 1e-7))
    assert first[2] == second[2] == pytest.approx(loss, rel=0.05)


@pytest.mark.parametrize("head", ["reset", "prototypes"])
def test_processes_end_alike(head, of_job):
    (first, given), (second, same) = (each[head] for each in of_job["fits"])
    assert_equal(weights(first), weights(second))
    first, second = pickle.loads(first), pickle.loads(second)
    assert first.net_.pseudo_labels_.shape == (2, 120)
    assert torch.equal(first.net_.pseudo_labels_, second.net_.pseudo_labels_)
    for name in ("labels_", "cluster_centers_", "inertia_", "agreement_", "filters_"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    losses = [[record["loss"] for record in each.history_] for each in (first, second)]
    assert losses[0] == losses[1]
    assert {"nmi_true", "purity_true"} <= first.history_[-1].keys()
    for a, b in zip(given, same, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("head", ["reset", "prototypes"])
def test_one_process_gives_the_same(head, of_job):
    """A fitted estimator is an ordinary one."""
    pickled, given = of_job["fits"][0][head]
    alone = pickle.loads(pickled).set_params(distributed=False)
    X, y = in_job.digits()
    labels, rows, one, of_layer, score = given
    np.testing.assert_array_equal(alone.predict(X[:101]), labels)
    np.testing.assert_array_equal(alone.predict(X), alone.labels_)
    np.testing.assert_allclose(alone.transform(X[:101]), rows, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(alone.transform(X[:1]), one, rtol=1e-4, atol=1e-5)
    assert alone.score(X, y) == pytest.approx(score)
    alone.set_params(layer="conv2")
    np.testing.assert_allclose(alone.transform(X[:11]), of_layer, rtol=1e-4, atol=1e-5)
    if head == "prototypes":
        assert_equal(alone.net_.module_.head.memory.norm(dim=1), torch.ones(120), atol=1e-5)


def test_a_fit_goes_on_from_a_checkpoint(of_job):
    """To the same end, if as many processes go on."""
    whole, parts, of_single = of_job["checkpoints"][0]
    assert_equal(weights(whole), weights(parts))
    assert_equal(weights(parts), weights(of_job["checkpoints"][1][1]))
    of_single = pickle.loads(of_single)
    assert of_single.n_iter_ == 2
    assert of_single.net_.module_.head.memory.shape[0] == 120
    losses = [record["loss"] for record in of_single.history_]
    alone = in_job.estimator(head="prototypes", max_epochs=1).fit(in_job.digits()[0])
    assert losses[0] == alone.history_[0]["loss"]


def test_another_number_of_processes_goes_on(of_job):
    folder = of_job["folder"]
    runs = torch.load(folder / "parts")["state"]["runs"]
    before = [[record["loss"] for record in state["records"]] for state in runs]
    fitted = pickle.loads(in_job.checkpoint(folder / "parts", 3, n_init=2))
    assert fitted.n_iter_ == 3
    assert fitted.agreement_.shape == (2, 2)
    assert [record["loss"] for record in fitted.history_[:2]] in before
    assert fitted.net_.module_.head.memory.shape[0] == 120


def test_warm_start_without_a_seed(of_job):
    first, second = of_job["warm"]
    assert pickle.loads(first).n_iter_ == 2
    assert_equal(weights(first), weights(second))


def test_callbacks_stop_all_processes(of_job):
    """With one warning, and where all have the same state."""
    (early, alone), (quiet_early, quiet_alone) = of_job["callbacks"]
    assert early[0] == quiet_early[0] < 5
    assert alone[0] == quiet_alone[0] == 2
    for n_epochs, caught in (early, alone):
        assert caught == [f"Interrupted: this is the state after {n_epochs} of 5 epochs."]
    assert quiet_early[1] == quiet_alone[1] == []


def test_the_first_process_writes(of_job):
    first, second = of_job["lines"]
    assert re.match(r"\[DeepClusterEstimator\] epoch 1/1 .* loss", first)
    assert second == ""


def test_workers_read(of_job):
    """Loaders have generators of their own, which differ where they should."""
    first, second = ([pickle.loads(each) for each in found] for found in of_job["workers"])
    assert_equal(first, second)


def test_errors_end_all_processes(of_job):
    (first, labels), (second, same) = of_job["failures"]
    np.testing.assert_array_equal(labels, same)
    views, interrupt, again, lengths, invalid, few, read = zip(first, second, strict=True)
    assert [each[0] for each in views] == ["RuntimeError", "ValueError"]
    assert views[0][1] == "Process 1 of 2 failed with ValueError: no such view"
    assert [each[0] for each in interrupt] == ["KeyboardInterrupt", "RuntimeError"]
    assert interrupt[1][1] == "Process 0 of 2 failed with KeyboardInterrupt"
    assert again[1][1] == "Process 0 of 2 failed with ValueError: no such view"
    assert all("different numbers of images: [100, 101]" in each[1] for each in lengths)
    assert all("NaN" in each[1] for each in invalid)
    assert [each[0] for each in few] == ["ValueError"] * 2
    assert [each[0] for each in read] == ["RuntimeError", "ValueError"]
    assert "no such file" in read[0][1]
    # Many times what it takes; the time limit of the job is longer still.
    assert all(seconds < 60 for *_, seconds in (*first, *second))


def test_a_killed_process_ends_the_others(of_job):
    first, second = of_job["killed"]
    assert second is None
    assert first[0] == "RuntimeError"
    assert "ended without a message" in first[1]
    assert re.search(r"The exchange ended with: .*\w", first[1])


def test_processes_that_were_given_something_different(of_job):
    first, second = of_job["different"]
    assert first == second
    numbers, *images, rates, states, drawing = first
    assert "different numbers of images: [100, 101]" in numbers
    assert all("different images, by the checksums" in each for each in images)
    assert "different values of lr: [0.1, 0.2]" in rates
    assert "(warm_start): [False, True]" in states
    assert drawing is None


def test_a_callback_uses_the_fitted_estimator(of_job):
    (found, labels, predicted), (nothing, same, _) = of_job["nested"]
    assert nothing is None
    np.testing.assert_array_equal(found, labels)
    np.testing.assert_array_equal(labels, same)
    np.testing.assert_array_equal(labels, predicted)


def test_the_store_of_messages_cannot_be_reached(of_job):
    ((first, seconds), labels), ((second, _), same) = of_job["unreachable"]
    assert "ended without a message" in first
    assert second == "no such store"
    assert seconds < 60
    np.testing.assert_array_equal(labels, same)


def test_gradients_that_a_process_lacks(of_job):
    for loss, (first, second, nowhere) in of_job["missing_gradients"]:
        assert loss == 6
        assert first.tolist() == second.tolist() == [1, 2]
        assert nowhere is None


def test_buffers_of_the_first_process(of_job):
    """Where they depend on the images; loaders have seeds of their process."""
    (first, labels, given, seeds), (second, *same, others) = of_job["buffers"]
    assert first["network.seen"].any()
    assert_equal(first, second)
    for each in (given, *same):
        np.testing.assert_array_equal(each, labels)
    assert seeds[0] == others[0] == 0
    assert len({seeds[1], others[1], 0}) == 3


@pytest.mark.parametrize(
    "given", [{"criterion__weight": torch.ones(9)}, {"criterion__reduction": "sum"}]
)
def test_losses_that_are_no_mean(given):
    X = in_job.digits()[0]
    fitted = in_job.estimator(max_epochs=1, net_params=given).fit(X)
    (name,) = given
    with pytest.raises(ValueError, match=name):
        check_parameters(fitted.set_params(distributed=True), len(X))
    check_parameters(fitted.set_params(net_params={"criterion__reduction": "mean"}), len(X))


def test_batches_that_are_too_small(of_job):
    assert of_job["small_batches"][0].tolist() == [0]
    assert of_job["small_batches"][1].tolist() == [1]


def test_a_process_group_of_the_user(of_job):
    first, second = of_job["with_group_of_the_user"]
    np.testing.assert_array_equal(first, second)


def test_rows_of_several_processes(of_job):
    first, second = of_job["clusterings"]
    assert_equal(first, second)
    alone = in_job.clusterings()
    assert len(first["none lost"]) == 12
    assert_equal(first, alone, rtol=1e-4, atol=1e-4)
    for exact in ("some", "starts", "labels", "spherical"):
        assert_equal(first[exact], alone[exact])


def test_batch_normalisation(of_job):
    """Of divided batches as of whole ones."""
    first, second = of_job["normalized"]
    for found, same, alone in zip(first, second, in_job.normalized(), strict=True):
        assert_equal(found[:-1], same[:-1])
        assert_equal(found[:-1], alone[:-1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_batch_normalisation_of_bfloat16(form):
    """Statistics in float32, as those of torch, where the mean is far from zero."""
    maps = (30 + 2 * torch.randn(7, 4, 5, 5, generator=torch.Generator().manual_seed(0))).bfloat16()
    values = maps.float().transpose(0, 1).flatten(1)
    count, mean, variance = statistics_of_all(maps.to(memory_format=form), Ranks())
    assert count == values.shape[1]
    torch.testing.assert_close(mean, values.mean(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(variance, values.var(1, correction=0), rtol=1e-5, atol=0)
    found = []
    for block in (SynchronizedBatchNorm(Ranks()), nullcontext()):
        layer = nn.BatchNorm2d(4)
        x = maps.to(memory_format=form, copy=True).requires_grad_()
        with block:
            y = layer(x)
        y.float().pow(3).sum().backward()
        grads = (each.grad for each in (x, *layer.parameters()))
        found.append([y.detach(), *grads, *layer.buffers()])
    assert_equal(*found, rtol=0.01, atol=0.1)


def test_purity_is_within_the_spread_of_seeds(of_job):
    """Of 2,000 digits, pseudo-labels after four epochs.

    Eight seeds in one process had 0.848 to 0.875, with a mean of 0.862 and a deviation of 0.009.
    """
    (first,), (second,) = of_job["purities"]
    assert first == second
    assert abs(first - 0.862) < 4 * 0.009


def test_no_job(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="torchrun --nproc_per_node=2"):
        DeepClusterEstimator(distributed=True).fit(in_job.digits()[0])


def test_a_job_of_one_process(monkeypatch, assert_same_fit):
    job = {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "localhost", "MASTER_PORT": free_port()}
    alone = in_job.estimator(max_epochs=1).fit(in_job.digits()[0])
    for name, value in job.items():
        monkeypatch.setenv(name, str(value))
    assert_same_fit(in_job.estimator(max_epochs=1).fit(in_job.digits()[0]), alone)
    assert not torch.distributed.is_initialized()


def test_torchrun(tmp_path):
    """The command of the guide; a process that fails ends the job."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*launch, SCRIPT, tmp_path, "small_batches"]
    ended = subprocess.run(command, env=environment(), capture_output=True, timeout=_SECONDS)
    assert ended.returncode == 0, ended.stderr.decode()
    assert pickle.loads((tmp_path / "small_batches.1").read_bytes()).tolist() == [1]


def test_checksums_of_parts():
    """As zlib, which reads all bytes."""
    data = np.random.RandomState(0).bytes(10_001)
    for cut in (0, 1, 7, 4096, 10_000, 10_001):
        parts = data[:cut], data[cut:]
        joined = joined_checksums(*map(zlib.crc32, parts), len(parts[1]))
        assert joined == zlib.crc32(data)


def test_alone():
    with joined(False, None) as ranks:
        assert ranks.share(7) == slice(0, 7)
        assert ranks.device == torch.device("cpu")
