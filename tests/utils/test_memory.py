import pytest
import torch
from sklearn import config_context

from sklearn_kmfeat._utils.memory import read_bytes, scratch_bytes


@pytest.mark.parametrize("megabytes", [1, 8, 64, 1024])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_memory_stays_below_the_working_memory(megabytes, device):
    with config_context(working_memory=megabytes):
        sizes = scratch_bytes(torch.device(device))
    assert all(size > 0 for size in sizes)
    assert sum(sizes) <= megabytes * 2**20
    if device == "cuda" or megabytes == 1:
        assert sum(sizes) == megabytes * 2**20


def test_less_is_read_at_once_where_memory_is_short():
    assert read_bytes() == 64 * 2**20
    with config_context(working_memory=4):
        assert read_bytes() == 2 * 2**20
