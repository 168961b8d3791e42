import pytest
import torch
from torch import nn

from sklearn_kmfeat._deep_cluster.heads.reset import ResetHead


def embeddings(n=8, d=5):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


def test_reset_head_starts_anew():
    head = ResetHead(400, (300,), 8, relu=True)
    nn.init.ones_(head.classifiers[0].weight)
    head.renew(None)
    weight, bias = head.classifiers[0].weight, head.classifiers[0].bias
    assert weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert weight.mean().abs() < 1e-3
    assert not bias.any()


def test_reset_head_has_the_last_relu():
    rows = embeddings()
    head = ResetHead(5, (3, 4), 8, relu=True)
    first, second = head(rows, torch.arange(8))
    assert first.shape == (8, 3)
    assert second.shape == (8, 4)
    torch.testing.assert_close(first, head.classifiers[0](rows.relu()))
    bare = ResetHead(5, (3,), 8, relu=False)
    torch.testing.assert_close(bare(rows, None)[0], bare.classifiers[0](rows))
    assert len(list(head.fresh_parameters())) == 4
    assert head.learned_parameters() == []
