import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.displays import (
    ClusterGalleryDisplay,
    ContingencyDisplay,
    FilterDisplay,
    HistoryDisplay,
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def images():
    """Twelve 4x4 images: eight of brightness 0..0.07, four of brightness 0.9..0.93."""
    levels = np.concatenate([np.arange(8) / 100, 0.9 + np.arange(4) / 100])
    return np.tile(levels[:, np.newaxis, np.newaxis], (1, 4, 4))


@pytest.fixture
def fitted(images):
    return KMeans(n_clusters=2, n_init=3, random_state=0).fit(images.reshape(12, 16))


def tile(mosaic, row, col, size=4, gap=1):
    top, left = row * (size + gap), col * (size + gap)
    return np.asarray(mosaic)[top : top + size, left : left + size]


def all_displays(ax=None):
    rng = np.random.RandomState(0)
    labels = np.arange(12) % 3
    return [
        FilterDisplay(rng.rand(5, 4, 4)).plot(ax=ax),
        ContingencyDisplay.from_predictions(labels, labels, ax=ax),
        ClusterGalleryDisplay.from_predictions(rng.rand(12, 4, 4), labels, ax=ax),
        HistoryDisplay([{"loss": 1.0}, {"loss": 0.5}]).plot(ax=ax),
    ]


def test_displays_make_a_figure_or_use_the_given_axes():
    for display in all_displays():
        assert display.ax_.figure is display.figure_
        display.figure_.canvas.draw()
    figure, ax = plt.subplots()
    for display in all_displays(ax):
        assert display.ax_ is ax
        assert display.figure_ is figure
    figure.canvas.draw()


def test_drawing_without_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"sklearn-kmfeat\[plot\]"):
        FilterDisplay(np.ones((1, 2, 2))).plot()


class TestFilterDisplay:
    def test_each_filter_is_stretched(self):
        filters = np.arange(48.0).reshape(3, 4, 4) * np.array([1, 10, -1])[:, None, None]
        mosaic = FilterDisplay(filters).plot(n_cols=2).im_.get_array()
        assert mosaic.shape == (9, 9)
        ramp = np.arange(16).reshape(4, 4) / 15
        np.testing.assert_allclose(tile(mosaic, 0, 0), ramp)
        np.testing.assert_allclose(tile(mosaic, 0, 1), ramp)
        np.testing.assert_allclose(tile(mosaic, 1, 0), 1 - ramp)
        assert np.ma.getmaskarray(mosaic)[4].all()
        assert tile(np.ma.getmaskarray(mosaic), 1, 1).all()

    @pytest.mark.parametrize(
        ("normalize", "expected"),
        [
            ("each", [[0, 1], [0, 1]]),
            ("symmetric", [[0.25, 1], [0, 1]]),
            ("all", [[3 / 8, 6 / 8], [0, 1]]),
            (None, [[0, 1], [0, 1]]),
        ],
    )
    def test_normalize(self, normalize, expected):
        filters = np.array([[-1.0, 2.0], [-4.0, 4.0]]).reshape(2, 1, 2)
        mosaic = FilterDisplay(filters).plot(n_cols=1, normalize=normalize).im_.get_array()
        np.testing.assert_allclose(mosaic[[0, 2]], expected)

    @pytest.mark.parametrize("normalize", ["each", "symmetric", "all"])
    def test_constant_filters_are_grey(self, normalize):
        display = FilterDisplay(np.zeros((1, 2, 2))).plot(normalize=normalize)
        np.testing.assert_array_equal(display.im_.get_array(), 0.5)

    @pytest.mark.parametrize("channels", [1, 2, 3, 8])
    def test_channels(self, channels):
        filters = np.random.RandomState(0).rand(4, 5, 5, channels)
        mosaic = FilterDisplay(filters).plot(normalize=None).im_.get_array()
        if channels == 3:
            assert mosaic.shape == (11, 11, 3)
            np.testing.assert_array_equal(mosaic[5], 1.0)
            np.testing.assert_array_equal(tile(mosaic, 1, 0, size=5), filters[2])
        else:
            assert mosaic.shape == (11, 11)
            np.testing.assert_allclose(tile(mosaic, 1, 0, size=5), filters[2].mean(axis=-1))

    def test_from_estimator_with_filters(self):
        filters = np.random.RandomState(0).rand(3, 4, 4, 1)
        learner = SimpleNamespace(filters_=filters, counts_=np.array([3, 9, 5]))
        as_is = FilterDisplay.from_estimator(learner)
        np.testing.assert_array_equal(as_is.filters, filters)
        by_counts = FilterDisplay.from_estimator(learner, sort="counts", n_cols=3)
        np.testing.assert_array_equal(by_counts.filters, filters[[1, 2, 0]])

    def test_from_estimator_with_centers(self, fitted):
        display = FilterDisplay.from_estimator(fitted, image_shape=(4, 4))
        np.testing.assert_array_equal(display.filters, fitted.cluster_centers_.reshape(2, 4, 4))

    def test_errors(self, fitted):
        with pytest.raises(ValueError, match="need an image_shape"):
            FilterDisplay.from_estimator(fitted)
        with pytest.raises(ValueError, match=r"need an image_shape .* got \(5, 4\)"):
            FilterDisplay.from_estimator(fitted, image_shape=(5, 4))
        with pytest.raises(ValueError, match="is it fitted"):
            FilterDisplay.from_estimator(KMeans())
        with pytest.raises(ValueError, match="sort must be"):
            FilterDisplay.from_estimator(fitted, image_shape=(4, 4), sort="size")
        with pytest.raises(ValueError, match="normalize must be"):
            FilterDisplay(np.ones((1, 2, 2))).plot(normalize="some")
        with pytest.raises(ValueError, match="Images of shape"):
            FilterDisplay(np.ones((2, 2))).plot()


class TestContingencyDisplay:
    labels_true = np.repeat(["a", "b", "c"], [5, 3, 4])
    labels_pred = np.array([7, 7, 2, 2, 2, 0, 0, 7, 5, 5, 5, 0])

    def test_sorted_to_a_diagonal(self):
        display = ContingencyDisplay.from_predictions(self.labels_true, self.labels_pred)
        assert display.classes.tolist() == ["a", "b", "c"]
        assert display.clusters.tolist() == [2, 7, 0, 5]
        expected = [[3, 2, 0, 0], [0, 1, 2, 0], [0, 0, 1, 3]]
        np.testing.assert_array_equal(display.contingency, expected)
        np.testing.assert_array_equal(display.im_.get_array(), expected)

    def test_unsorted(self):
        display = ContingencyDisplay.from_predictions(
            self.labels_true, self.labels_pred, sort=False
        )
        assert display.clusters.tolist() == [0, 2, 5, 7]

    def test_counts_and_names_are_written(self):
        display = ContingencyDisplay.from_predictions(self.labels_true, self.labels_pred)
        written = [[text and text.get_text() for text in row] for row in display.text_]
        assert written == [
            ["3", "2", None, None],
            [None, "1", "2", None],
            [None, None, "1", "3"],
        ]
        assert display.text_[0, 0].get_color() != display.text_[1, 1].get_color()
        assert [t.get_text() for t in display.ax_.get_xticklabels()] == ["2", "7", "0", "5"]
        assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["a", "b", "c"]

    def test_from_a_table(self):
        display = ContingencyDisplay([[1, 0], [0, 2]]).plot(include_values=False, colorbar=True)
        assert (display.text_ == None).all()  # noqa: E711
        assert len(display.figure_.axes) == 2

    def test_counts_of_many_clusters_fit_into_their_cells(self):
        rng = np.random.RandomState(0)
        table = rng.randint(1000, 9999, size=(10, 50))
        display = ContingencyDisplay(table).plot()
        display.figure_.canvas.draw()
        cell = display.ax_.get_window_extent().width / 50
        widths = [text.get_window_extent().width for text in display.text_[0]]
        assert max(widths) < cell
        assert display.text_[0, 0].get_fontsize() >= 6

    def test_from_estimator(self, fitted, images):
        y = np.repeat(["dark", "light"], [8, 4])
        display = ContingencyDisplay.from_estimator(fitted, images.reshape(12, 16), y)
        np.testing.assert_array_equal(display.contingency, [[8, 0], [0, 4]])


class TestClusterGalleryDisplay:
    def test_most_and_least_typical(self, images):
        labels = np.repeat([4, 9], [8, 4])
        distances = np.array([5, 3, 1, 0, 2, 4, 6, 7, 3, 2, 1, 0])
        display = ClusterGalleryDisplay(images, labels, distances).plot(n_images=3)
        mosaic = display.im_.get_array()
        gap, first, second = 2, 2, 9  # of half a tile; rows where the images begin
        for top, near, far in [(first, [3, 2, 4], [0, 6, 7]), (second, [11, 10], [9, 8])]:
            columns = [5 * i for i in range(3)]
            right = [14 + gap + 5 * i for i in range(3)]
            lefts = columns[: len(near)] + right[: len(far)]
            for left, index in zip(lefts, near + far, strict=True):
                drawn = mosaic[top : top + 4, left : left + 4]
                np.testing.assert_array_equal(drawn, images[index])
        assert np.ma.getmaskarray(mosaic)[second:, 10:14].all()

    def test_titles(self, images):
        labels = np.repeat([0, 1], [8, 4])
        y = np.array(["cat"] * 6 + ["dog"] * 6)
        display = ClusterGalleryDisplay.from_predictions(images, labels, y=y)
        assert [text.get_text() for text in display.text_] == [
            "cluster 0 · 8 images · cat (75%)",
            "cluster 1 · 4 images · dog (100%)",
        ]
        display = ClusterGalleryDisplay.from_predictions(images, labels)
        assert display.text_[1].get_text() == "cluster 1 · 4 images"
        display = ClusterGalleryDisplay.from_predictions(list(images[:1]), [3])
        assert display.text_[0].get_text() == "cluster 3 · 1 image"

    def test_from_kmeans_uses_its_distances(self, fitted, images):
        X = images.reshape(12, 16)
        display = ClusterGalleryDisplay.from_estimator(fitted, X, image_shape=(4, 4))
        expected = fitted.transform(X).min(axis=1)
        np.testing.assert_array_equal(display.distances, expected)
        assert display.images.shape == (12, 4, 4)

    def test_from_an_embedding_with_centers(self, fitted, images):
        X = images.reshape(12, 16)
        embedding = SimpleNamespace(
            predict=fitted.predict,
            transform=lambda X: X,
            cluster_centers_=fitted.cluster_centers_,
        )
        display = ClusterGalleryDisplay.from_estimator(embedding, X, image_shape=(4, 4))
        np.testing.assert_allclose(display.distances, fitted.transform(X).min(axis=1))

    def test_without_transform_the_mean_image_is_the_centre(self, images):
        X = images.reshape(12, 16) + np.random.RandomState(0).rand(12, 16) / 100
        mixture = GaussianMixture(2, covariance_type="spherical", random_state=0).fit(X)
        display = ClusterGalleryDisplay.from_estimator(mixture, X, image_shape=(4, 4), n_images=1)
        assert display.distances is None
        dark = X[:8]
        nearest = np.linalg.norm(dark - dark.mean(axis=0), axis=1).argmin()
        row = int(mixture.predict(X)[0])
        drawn = display.im_.get_array()[2 + 7 * row : 6 + 7 * row, :4]
        np.testing.assert_allclose(drawn, dark[nearest].reshape(4, 4))

    def test_uint8_int_and_float_look_alike(self, images):
        labels = np.repeat([0, 1], [8, 4])
        levels = np.round(images * 255)
        levels[0], levels[11] = 0, 255
        drawn = [
            ClusterGalleryDisplay.from_predictions(X, labels).im_.get_array()
            for X in (levels.astype(np.uint8), levels.astype(int), levels, levels / 255)
        ]
        for other in drawn[1:]:
            np.testing.assert_allclose(other, drawn[0])

    def test_colour_and_unchanged_images(self):
        images = np.random.RandomState(0).randint(0, 256, (6, 4, 5, 3)).astype(np.uint8)
        images.flags.writeable = False
        display = ClusterGalleryDisplay.from_predictions(images, [0] * 6, n_images=3)
        assert display.images is images
        mosaic = display.im_.get_array()
        assert mosaic.shape == (2 + 4, 3 * 6 - 1 + 2 + 3 * 6 - 1, 3)
        np.testing.assert_array_equal(mosaic[:2], 1.0)

    @pytest.mark.parametrize(("n_clusters", "n_columns"), [(10, 1), (50, 2), (100, 3)])
    def test_many_clusters_are_laid_out_in_columns(self, n_clusters, n_columns):
        labels = np.arange(2 * n_clusters) % n_clusters
        images = np.random.RandomState(0).rand(2 * n_clusters, 4, 4)
        display = ClusterGalleryDisplay.from_predictions(images, labels, n_images=1)
        assert len(display.text_) == n_clusters
        assert len({text.get_position()[0] for text in display.text_}) == n_columns
        height, width = display.im_.get_array().shape
        for text in display.text_:
            x, y = text.get_position()
            assert 0 <= x < width
            assert 0 <= y < height

    def test_errors(self, images, fitted):
        with pytest.raises(ValueError, match="need an image_shape"):
            ClusterGalleryDisplay.from_predictions(images.reshape(12, 16), np.zeros(12))
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            ClusterGalleryDisplay.from_predictions(images, np.zeros(5))
        with pytest.raises(ValueError, match="images of one size"):
            ClusterGalleryDisplay.from_predictions([np.ones((4, 4)), np.ones((5, 4))], [0, 1])
        many = SimpleNamespace(predict=lambda X: np.zeros((12, 2, 2)))
        with pytest.raises(ValueError, match="One cluster for each sample"):
            ClusterGalleryDisplay.from_estimator(many, images)


class TestHistoryDisplay:
    def test_losses_left_and_scores_right(self):
        history = [
            {"epoch": 1, "loss": 2.0, "nmi": None, "batches": [1, 2], "best": True},
            {"epoch": 2, "loss": 1.0, "nmi": 0.5, "batches": [1, 2], "best": False},
        ]
        display = HistoryDisplay(history).plot()
        assert list(display.lines_) == ["loss", "nmi"]
        assert display.lines_["loss"].axes is display.ax_
        assert display.lines_["nmi"].axes is display.right_ax_
        np.testing.assert_array_equal(display.lines_["loss"].get_xydata(), [[1, 2], [2, 1]])
        np.testing.assert_array_equal(display.lines_["nmi"].get_ydata(), [np.nan, 0.5])

    def test_dict_of_lists_and_keys(self):
        history = {"nmi": [0.1, 0.2, 0.3], "purity": [0.3, 0.4, 0.5]}
        display = HistoryDisplay(history).plot(keys=["purity"])
        assert list(display.lines_) == ["purity"]
        assert display.right_ax_ is None
        np.testing.assert_array_equal(display.lines_["purity"].get_xdata(), [1, 2, 3])

    def test_a_key_that_begins_later(self):
        display = HistoryDisplay([{"loss": 1.0}, {"loss": 0.5, "nmi": 0.2}]).plot()
        np.testing.assert_array_equal(display.lines_["nmi"].get_ydata(), [np.nan, 0.2])

    def test_from_estimator(self):
        display = HistoryDisplay.from_estimator(SimpleNamespace(history_={"loss": [3, 2]}))
        np.testing.assert_array_equal(display.lines_["loss"].get_ydata(), [3, 2])


def test_filters_of_whole_images():
    rows = np.random.RandomState(0).rand(20, 12)
    learner = KMeansFilterLearner(n_filters=3, contrast=None, whiten_eps=None, random_state=0)
    display = FilterDisplay.from_estimator(learner.fit(rows), image_shape=(3, 4))
    np.testing.assert_array_equal(display.filters.reshape(3, 12), learner.cluster_centers_)
