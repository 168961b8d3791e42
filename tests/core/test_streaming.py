import numpy as np
import pytest
import torch

from sklearn_kmfeat._core.gain_shape import GainStep
from sklearn_kmfeat._core.kmeans import Dictionary, RowStep
from sklearn_kmfeat._core.preparation import Preparation
from sklearn_kmfeat._core.streaming import RunningSums
from sklearn_kmfeat._core.whitening import Moments, Whitening, zca_matrices

KINDS = {"means": RowStep, "directions": GainStep}


@pytest.fixture
def patches():
    rng = np.random.RandomState(0)
    return torch.tensor(rng.randn(90, 4) @ rng.randn(4, 4) + 3)


def whitening_of(patches):
    moments = Moments.of(patches)
    matrices = zca_matrices(moments.covariance(), 0.1)
    return Preparation(whitening=Whitening(moments.mean, *matrices[:2]))


def unit(rows):
    return rows / rows.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_in_a_moving_whitening_read_in_the_last_one(patches, kind):
    """Each filter is what all its patches make of it, whitened as they are at the end."""
    batches, sums, assigned = patches.split(30), RunningSums.zero(3, 4), []
    centers = unit(torch.randn(3, 4, generator=torch.manual_seed(0), dtype=torch.float64))
    for i, batch in enumerate(batches):
        preparation = whitening_of(patches[: 30 * (i + 1)])
        rows = preparation.apply_(batch.clone())
        step = KINDS[kind](rows)(centers, exact=True)
        sums = sums + RunningSums.of(step, preparation)
        scores = rows @ centers.T
        if kind == "means":
            labels = (scores - centers.square().sum(1) / 2).argmax(1)
            gains = torch.ones(30, dtype=torch.float64)
        else:
            labels = scores.abs().argmax(1)
            gains = scores.gather(1, labels[:, None])[:, 0]
        assigned.append((labels, gains))
    labels, gains = (torch.cat(parts) for parts in zip(*assigned, strict=True))
    rows = preparation.apply_(patches.clone())
    weighted = [(rows * gains[:, None])[labels == k].sum(0) for k in range(3)]
    counts = torch.bincount(labels, minlength=3)
    expected = torch.stack(weighted)
    expected = unit(expected) if kind == "directions" else expected / counts[:, None]
    assert torch.equal(sums.counts, counts)
    torch.testing.assert_close(getattr(sums, kind)(preparation), expected)


def test_literal_sums():
    values = torch.tensor([[6.0, 8.0]]).double(), torch.tensor([2.0]).double()
    sums = RunningSums(*values, torch.tensor([2]))
    both = sums + sums
    assert both.means(Preparation()).tolist() == [[3, 4]]
    assert both.directions(Preparation()).tolist() == [[0.6, 0.8]]
    assert both.counts.tolist() == [4]


@pytest.mark.parametrize(
    ("make", "read"),
    [("of_means", "means"), ("of_patches", "means"), ("of_directions", "directions")],
)
def test_sums_of_a_fitted_dictionary_give_its_filters(patches, make, read):
    preparation = whitening_of(patches)
    centers = unit(torch.randn(3, 4, generator=torch.manual_seed(0), dtype=torch.float64))
    counts = torch.tensor([4, 1, 9])
    dictionary = Dictionary(centers, counts, 0.0, 1, weights=counts.double() * 0.3)
    sums = getattr(RunningSums, make)(dictionary, preparation)
    torch.testing.assert_close(getattr(sums, read)(preparation), centers)
    assert torch.equal(sums.counts, counts)


def test_no_patches():
    sums = RunningSums.zero(2, 3)
    assert sums.means(Preparation()).tolist() == np.zeros((2, 3)).tolist()
    assert sums.directions(Preparation()).isfinite().all()


@pytest.mark.parametrize("kind", ["of_means", "of_directions", "of_patches"])
def test_sums_of_a_dictionary_are_memory_of_their_own_on_the_cpu(kind):
    """Whatever the device of the dictionary: here it only shows that nothing is shared."""
    centers, counts = torch.eye(2), torch.tensor([3, 4])
    dictionary = Dictionary(centers, counts, 0.0, 1, weights=torch.tensor([2.0, 5.0]))
    sums = getattr(RunningSums, kind)(dictionary, Preparation())
    centers += 1
    counts += 1
    assert sums.counts.tolist() == [3, 4]
    expected = {"of_means": [[3, 0], [0, 4]], "of_directions": [[2, 0], [0, 5]]}
    assert sums.sums.tolist() == expected.get(kind, [[1, 0], [0, 1]])
    assert sums.sums.dtype == torch.float64
