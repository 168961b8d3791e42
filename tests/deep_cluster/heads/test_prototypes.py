import torch
import torch.nn.functional as F

from sklearn_kmfeat._deep_cluster.heads.prototypes import PrototypesHead


def embeddings(n=8, d=5):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


def test_prototypes_are_centroids():
    head = PrototypesHead(5, (4, 3), 8, relu=True, n_projected=6)
    head(embeddings(), torch.arange(8))
    torch.testing.assert_close(head.memory.norm(dim=1), torch.ones(8))
    labels = torch.tensor([[0, 0, 1, 1, 2, 2, 2, 2], [0, 1, 2, 0, 1, 2, 0, 1]])
    head.renew(labels)
    expected = F.normalize(head.memory[4:].mean(0), dim=0)
    torch.testing.assert_close(head.prototypes0[2], expected)
    assert not head.prototypes0[3].any()
    torch.testing.assert_close(head.prototypes1.norm(dim=1), torch.ones(3))


def test_logits_are_cosines_and_the_memory_is_written():
    head = PrototypesHead(5, (4, 3), 8, relu=True, n_projected=6, temperature=0.1)
    head.prototypes0.copy_(F.normalize(torch.randn(4, 6)))
    rows, index = embeddings(), torch.tensor([3, 1, 0, 7])
    first, second = head(rows[:4], index)
    projected = head.memory[index]
    torch.testing.assert_close(projected, head.projected(rows[:4]))
    torch.testing.assert_close(projected.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(first, projected @ head.prototypes0.T / 0.1)
    assert second.shape == (4, 3)
    assert not head.memory[[2, 4, 5, 6]].any()


def test_prototypes_are_not_learned():
    head = PrototypesHead(5, (4,), 8, relu=True)
    learned = {id(p) for _, p in head.learned_parameters()}
    assert learned == {id(p) for p in head.parameters()}
    assert head.fresh_parameters() == []
    loss = head(embeddings(), torch.arange(8))[0].logsumexp(1).sum()
    loss.backward()
    assert not head.memory.requires_grad
    assert "prototypes0" in head.state_dict()
