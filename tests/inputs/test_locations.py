import numpy as np

from sklearn_kmfeat._inputs.locations import Locations


def test_parts_of_locations(rng):
    counts = np.array([3, 0, 2, 4, 0])
    locations = Locations(rng.permutation(9), counts)
    expected = np.split(locations.places, np.cumsum(counts)[:-1])
    for start, stop in [(0, 5), (0, 2), (1, 2), (2, 4), (4, 5), (0, 0), (5, 5)]:
        part = locations.part(start, stop)
        np.testing.assert_array_equal(part.counts, counts[start:stop])
        np.testing.assert_array_equal(part.places, np.concatenate([[], *expected[start:stop]]))
    assert locations.rows(np.array([0, 1, 3])).tolist() == [0, 1, 2, 5, 6, 7, 8]
    assert locations.rows(slice(1, 3)).tolist() == [3, 4]
