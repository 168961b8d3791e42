import numpy as np
import pytest

from sklearn_kmfeat.displays._image_map import Canvas, limits


def canvas(low=(0, 0), high=(10, 20), size=(4, 6), shape=(100, 200), frame=1):
    return Canvas(shape, size, frame, np.array(low, float), np.array(high, float))


class TestLimits:
    def test_all_that_is_there(self):
        positions = np.random.RandomState(0).randn(2000, 2) * [1, 50]
        low, high = limits(positions)
        np.testing.assert_array_equal(low, positions.min(axis=0))
        np.testing.assert_array_equal(high, positions.max(axis=0))

    @pytest.mark.parametrize("n_images", [50, 500, 2000])
    def test_outliers_do_not_squash_the_rest(self, n_images):
        positions = np.random.RandomState(0).rand(n_images, 2)
        positions[3] = [1000, 0.5]
        positions[7] = [-500, 1e6]
        low, high = limits(positions)
        np.testing.assert_allclose(low, 0, atol=0.2)
        np.testing.assert_allclose(high, 1, atol=0.2)
        assert (high > np.delete(positions, [3, 7], axis=0).max(axis=0)).all()

    def test_a_cluster_far_away_is_no_outlier(self):
        positions = np.random.RandomState(0).rand(200, 2)
        positions[:10] += 100
        np.testing.assert_array_equal(limits(positions)[1], positions.max(axis=0))
        np.testing.assert_array_equal(limits(-positions)[0], -positions.max(axis=0))

    def test_few_images_and_equal_ones(self):
        low, high = limits(np.array([[0.0, 3], [1, 3], [99, 3]]))
        assert low.tolist() == [0, 2.5]
        assert high.tolist() == [99, 3.5]
        positions = np.zeros((40, 2))
        positions[0] = 1  # the quartiles are the same
        low, high = limits(positions)
        assert (low < high).all()


class TestCanvas:
    def test_corners_just_fit_in(self):
        corners = np.array([[0, 20], [10, 20], [0, 0], [10, 0]])
        expected = [[4, 3], [196, 3], [4, 97], [196, 97]]
        np.testing.assert_allclose(canvas().pixels(corners), expected)
        np.testing.assert_allclose(
            canvas().pixels(np.array([[-99, 10], [5, 99]])), [[4, 50], [100, 3]]
        )

    def test_extent(self):
        left, right, bottom, top = canvas().extent
        pixel = 10 / 192, 20 / 94
        np.testing.assert_allclose([left, right], [-4 * pixel[0], 10 + 4 * pixel[0]])
        np.testing.assert_allclose([bottom, top], [-3 * pixel[1], 20 + 3 * pixel[1]])

    @pytest.mark.parametrize("min_distance", [1, 1.5])
    @pytest.mark.parametrize("n_images", [50, 2000])
    def test_thumbnails_never_cover_each_other(self, n_images, min_distance):
        positions = np.random.RandomState(0).rand(n_images, 2) * [10, 20]
        board = canvas()
        chosen = board.with_room(positions, min_distance, None)
        assert np.array_equal(chosen, np.unique(chosen))
        centers = np.rint(board.pixels(positions))
        apart = np.abs(centers[chosen, np.newaxis] - centers[chosen]) / board.tile
        apart = apart.max(axis=2) + 10 * np.eye(len(chosen))
        assert apart.min() >= min_distance
        # And there is no room for any other.
        left = np.abs(centers[:, np.newaxis] - centers[chosen])
        near = (left < np.ceil(min_distance * board.tile)).all(axis=2)
        assert near.any(axis=1).all()

    def test_most_images(self):
        positions = np.random.RandomState(0).rand(500, 2) * [10, 20]
        board = canvas()
        every = board.with_room(positions, 1, None)
        few = board.with_room(positions, 1, 7)
        assert len(few) == 7
        assert set(few) < set(every)
        # Not all from one corner.
        assert np.ptp(positions[few], axis=0).min() > 5
        assert len(board.with_room(positions, 1, 0)) == 0
        np.testing.assert_array_equal(board.with_room(positions, 1, 9999), every)

    def test_picture(self):
        tiles = np.full((2, 4, 6, 3), 0.2)
        tiles[0, 1, 1] = np.nan
        tiles[1, :, [0, 5]] = np.nan  # letterboxed: four pixels wide
        positions, colors = np.array([[0.0, 20], [10, 0]]), np.array([[1.0, 0, 0], [0, 1, 0]])
        picture = canvas().picture(tiles, positions, colors)
        assert picture.shape == (100, 200, 4)
        assert picture.dtype == np.uint8
        first = np.full((6, 8, 4), 255)
        first[..., 1:3] = 0
        first[1:5, 1:7, :3] = 51
        first[2, 2] = 255
        np.testing.assert_array_equal(picture[:6, :8], first)
        second = np.full((6, 6, 4), 255)
        second[..., [0, 2]] = 0
        second[1:5, 1:5, :3] = 51
        np.testing.assert_array_equal(picture[94:, 193:199], second)
        assert picture[..., 3].sum() == 255 * (6 * 8 + 6 * 6)

    def test_blank_thumbnails_are_white(self):
        picture = canvas().picture(
            np.full((1, 4, 6, 3), np.nan), np.zeros((1, 2)), np.zeros((1, 3))
        )
        assert picture[..., 3].sum() == 255 * 6 * 8
        assert (picture[95:99, 1:7] == 255).all()
