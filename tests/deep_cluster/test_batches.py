import torch

from sklearn_kmfeat._deep_cluster.batches import Batches


def test_batches_are_even():
    batches = list(Batches(lambda: torch.arange(33), 33, 16))
    assert [len(b) for b in batches] == [11, 11, 11]
    assert torch.equal(torch.cat(batches), torch.arange(33))
    assert len(Batches(None, 33, 16)) == 3


def test_batches_that_are_divided():
    batches = list(Batches(lambda: torch.arange(9), 9, 5, lambda batch: batch[1::2]))
    assert [batch.tolist() for batch in batches] == [[1, 3], [6, 8]]
