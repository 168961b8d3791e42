from itertools import product

from sklearn_kmfeat._deep_cluster.recipe import Purpose, Recipe, seed_of_run


def recipe(seed):
    return Recipe(seed, *([None] * (len(Recipe._fields) - 1)))


def test_seeds_differ_by_purpose_and_epoch():
    keys = [(seed, purpose, epoch) for seed, purpose, epoch in product((0, 1), Purpose, (1, 2))]
    seeds = [recipe(seed).derived_seed(purpose, epoch) for seed, purpose, epoch in keys]
    assert len(set(seeds)) == len(keys)
    assert recipe(0).derived_seed(Purpose.EPOCH, 1) == seeds[keys.index((0, Purpose.EPOCH, 1))]
    assert recipe(0).derived_seed(Purpose.EMBEDDING) not in seeds


def test_runs_have_seeds_of_their_own():
    seeds = [seed_of_run(seed, run) for seed, run in product((0, 1), range(4))]
    assert len(set(seeds)) == len(seeds)
    assert seed_of_run(7, 0) == 7
