import torch

from sklearn_kmfeat._core.preparation import Preparation
from windows_machine import Machine, every_dtype, every_preparation, every_shape


@every_shape
@every_preparation
@every_dtype
def test_folded_filters_respond_as_to_prepared_patches(shape, eps, whitening, dtype):
    machine = Machine(shape, eps, whitening, dtype)
    preparation = Preparation(eps, machine.whitening)
    raw = torch.tensor(machine.raw(), dtype=dtype).flatten(0, 1)
    spread = torch.ones(len(raw), 1, dtype=dtype)
    if eps is not None:
        spread = (raw.var(1, keepdim=True) + eps).sqrt()
    matrix = preparation.fold(machine.centers())
    assert matrix.dtype == dtype
    found = torch.cat([raw, spread], 1) @ matrix.T / spread
    machine.close(found, preparation.apply_(raw) @ machine.centers().T)
    machine.close(found, machine.rows().reshape(len(raw), -1) @ machine.filters.T)


@every_preparation
def test_preparing_in_place(eps, whitening):
    machine = Machine(eps=eps, whitening=whitening)
    rows = torch.rand(9, 27, dtype=torch.float64)
    expected = Preparation(eps, machine.whitening).apply_(rows.clone())
    assert Preparation(eps, machine.whitening).apply_(rows) is rows
    assert torch.equal(rows, expected)


@every_preparation
def test_sums_of_prepared_patches_and_back(eps, whitening):
    machine = Machine(eps=eps, whitening=whitening)
    preparation = Preparation(eps, machine.whitening)
    normalized = torch.tensor(machine.raw()).flatten(0, 1)
    Preparation(eps).apply_(normalized)
    prepared = preparation.apply_(torch.tensor(machine.raw()).flatten(0, 1))
    weights = torch.rand(2, len(prepared), generator=torch.manual_seed(0), dtype=torch.float64)
    sums, totals = weights @ prepared, weights.sum(1)
    machine.close(preparation.undo_sums(sums, totals), weights @ normalized)
    machine.close(preparation.apply_to_sums(weights @ normalized, totals), sums)
