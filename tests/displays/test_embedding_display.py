from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_kmfeat import BagOfPatches, ClusterClassifier, KMeansFilterLearner
from sklearn_kmfeat.datasets import load_cifar10_sample
from sklearn_kmfeat.displays import EmbeddingDisplay
from sklearn_kmfeat.displays._label_colors import NEUTRAL

TAB10 = np.array([[31, 119, 180], [255, 127, 14]]) / 255


@pytest.fixture(scope="module")
def photos():
    return load_cifar10_sample().images[:60]


@pytest.fixture
def corners():
    """Four images in one colour each, one to a corner."""
    colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]
    images = np.tile(np.uint8(colours)[:, np.newaxis, np.newaxis], (1, 4, 4, 1))
    return images, np.array([[0.0, 0], [1, 0], [0, 9], [1, 9]])


class TestPicture:
    def test_images_are_at_their_places(self, corners):
        images, positions = corners
        display = EmbeddingDisplay.from_predictions(images, positions)
        assert display.shown_.tolist() == [0, 1, 2, 3]
        picture = display.im_.get_array()
        left, right, bottom, top = display.im_.get_extent()
        for image, (x, y) in zip(images, positions, strict=True):
            row = int((y - top) / (bottom - top) * picture.shape[0])
            column = int((x - left) / (right - left) * picture.shape[1])
            assert picture[row, column].tolist() == [*image[0, 0], 255]
        assert picture[picture.shape[0] // 2, picture.shape[1] // 2, 3] == 0
        assert display.ax_.get_xlim() == (left, right)
        assert display.ax_.get_ylim() == (bottom, top)
        np.testing.assert_array_equal(display.scatter_.get_offsets(), positions)
        np.testing.assert_array_equal(display.positions_, positions)

    def test_frames_points_and_legend_have_the_colour_of_the_label(self, corners):
        images, positions = corners
        labels = ["cat", "dog", "dog", None]
        display = EmbeddingDisplay.from_predictions(images, positions, labels=labels)
        expected = np.array([TAB10[0], TAB10[1], TAB10[1], NEUTRAL])
        np.testing.assert_allclose(display.scatter_.get_facecolors()[:, :3], expected)
        picture = display.im_.get_array()
        at_corners = picture[[-1, -1, 0, 0], [0, -1, 0, -1], :3]
        np.testing.assert_array_equal(at_corners, np.rint(expected * 255))
        legend = display.ax_.get_legend()
        assert [text.get_text() for text in legend.get_texts()] == ["cat", "dog"]
        assert legend.legend_handles[1].get_color() == tuple(TAB10[1])
        for many, wanted in [(labels, False), (np.arange(4), True)]:
            again = EmbeddingDisplay.from_predictions(
                images, positions, labels=many, legend=wanted, ax=display.ax_.figure.add_subplot()
            )
            assert (again.ax_.get_legend() is not None) is wanted

    def test_no_legend_of_many_labels(self):
        rng = np.random.RandomState(0)
        display = EmbeddingDisplay(rng.rand(40, 3, 3), rng.rand(40, 2), labels=np.arange(40))
        assert display.plot().ax_.get_legend() is None

    @pytest.mark.parametrize("n_images", [1, 50, 2000])
    def test_many_images(self, n_images):
        rng = np.random.RandomState(0)
        positions = rng.randn(n_images, 2)
        display = EmbeddingDisplay.from_predictions(rng.rand(n_images, 6, 6), positions)
        assert len(display.scatter_.get_offsets()) == n_images
        assert len(display.ax_.images) == 1
        assert len(display.ax_.collections) == 1
        assert min(n_images, 15) <= len(display.shown_) <= 400

    def test_outliers_are_drawn_at_the_edge(self):
        rng = np.random.RandomState(0)
        positions = rng.rand(50, 2)
        positions[7] = [1000, 0.5]
        display = EmbeddingDisplay.from_predictions(rng.rand(50, 3, 3), positions)
        assert display.positions_[7].tolist() == [1000, 0.5]
        assert display.ax_.get_xlim()[1] < 1.5
        assert 1 < display.scatter_.get_offsets()[7, 0] < 1.5
        assert 7 in display.shown_
        assert display.ax_.get_xlabel() == "1 lies farther out, drawn at the edge"
        calm = EmbeddingDisplay.from_predictions(rng.rand(50, 3, 3), rng.rand(50, 2))
        assert calm.ax_.get_xlabel() == ""

    def test_size_distance_and_number_of_thumbnails(self):
        rng = np.random.RandomState(0)
        images, positions = np.ones((300, 8, 4)), rng.rand(300, 2)
        display = EmbeddingDisplay(images, positions)
        usual = len(display.plot().shown_)
        assert len(display.plot(thumbnail_size=60).shown_) < usual
        assert len(display.plot(min_distance=2).shown_) < usual
        assert len(display.plot(n_images=5).shown_) == 5
        # 36 points are 100 pixels of the picture, and with frames of 3 pixels 106 x 56.
        opaque = display.plot(thumbnail_size=36, n_images=1).im_.get_array()[..., 3] > 0
        assert opaque.any(axis=1).sum() == 106
        assert opaque.any(axis=0).sum() == 56
        nothing = display.plot(n_images=0)
        assert nothing.im_ is None
        assert len(nothing.shown_) == 0

    def test_grey_bands_and_keywords(self):
        images = np.zeros((1, 4, 4, 8))
        images[..., 3], images[..., 1] = 1, 0.2

        def middle(**plot_params):
            display = EmbeddingDisplay(images, [[0, 0]]).plot(**plot_params)
            picture = display.im_.get_array()
            return picture[picture.shape[0] // 2, picture.shape[1] // 2, :3].tolist(), display

        assert middle()[0] == [38, 38, 38]
        assert middle(bands=(7, 3, 1))[0] == [0, 255, 51]
        assert middle(bands=1)[0] == [51, 51, 51]
        assert middle(bands=3, cmap="Reds")[0] == [103, 0, 13]
        _, display = middle(imshow_kw={"alpha": 0.5}, scatter_kw={"s": 7, "c": "red"})
        assert display.im_.get_alpha() == 0.5
        assert display.scatter_.get_sizes().tolist() == [7]
        np.testing.assert_array_equal(display.scatter_.get_facecolors(), [[1, 0, 0, 1]])

    @pytest.mark.parametrize("colours", [(), (3,)])
    def test_frames_are_close_to_images_of_different_sizes(self, colours):
        images = [np.full((4, 8), 0.5), np.full((8, 4, *colours), 0.5)]
        display = EmbeddingDisplay.from_predictions(images, [[0, 0], [1, 1]], thumbnail_size=36)
        opaque = display.im_.get_array()[..., 3] > 0
        half = opaque[: len(opaque) // 2], opaque[len(opaque) // 2 :]
        shapes = [(part.any(axis=1).sum(), part.any(axis=0).sum()) for part in half]
        assert shapes == [(106, 56), (56, 106)]

    def test_axes_of_another_shape(self, corners):
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=(8, 3))
        display = EmbeddingDisplay.from_predictions(*corners, ax=ax)
        height, width = display.im_.get_array().shape[:2]
        assert width > 2 * height
        assert display.ax_.get_box_aspect() == pytest.approx(height / width)


class TestFromEstimator:
    def test_two_features_are_places(self, photos):
        def brightness(X):
            return X.reshape(len(X), -1, 3)[:, :, :2].mean(axis=1)

        display = EmbeddingDisplay.from_estimator(FunctionTransformer(brightness), photos)
        np.testing.assert_array_equal(display.positions_, brightness(photos))
        assert display.labels is None

    @pytest.mark.parametrize("sparse", [False, True])
    def test_principal_components(self, photos, sparse):
        learner = KMeansFilterLearner(8, n_patches=500, max_iter=2, random_state=0).fit(photos)
        features = learner.transform(photos)
        estimator = SimpleNamespace(transform=lambda X: csr_array(features) if sparse else features)
        display = EmbeddingDisplay.from_estimator(estimator, photos)
        expected = PCA(2, random_state=0).fit_transform(features)
        np.testing.assert_allclose(display.positions_, expected, rtol=1e-3, atol=1e-3)

    def test_words_for_every_location_are_no_labels(self, photos):
        learner = KMeansFilterLearner(8, n_patches=500, max_iter=2, random_state=0).fit(photos)
        assert EmbeddingDisplay.from_estimator(learner, photos).labels is None

    def test_colours(self, fitted, images):
        X = images.reshape(12, 16)
        display = EmbeddingDisplay.from_estimator(fitted, X, image_shape=(4, 4))
        np.testing.assert_array_equal(display.positions_, fitted.transform(X))
        np.testing.assert_array_equal(display.labels, fitted.predict(X))
        y = np.arange(12)
        display = EmbeddingDisplay.from_estimator(fitted, X, y=y, image_shape=(4, 4))
        assert display.labels is y

    def test_pipeline_whose_last_step_has_no_transform(self, images):
        X, y = images.reshape(12, 16), np.repeat([0, 1], [8, 4])
        first_two = FunctionTransformer(lambda X: X[:, :2])
        pipe = make_pipeline(StandardScaler(), first_two, LogisticRegression()).fit(X, y)
        display = EmbeddingDisplay.from_estimator(pipe, X, image_shape=(4, 4))
        np.testing.assert_array_equal(display.positions_, pipe[:2].transform(X))
        np.testing.assert_array_equal(display.labels, pipe.predict(X))

    def test_cluster_classifier(self, images):
        X, y = images.reshape(12, 16), np.repeat(["dark", "light"], [8, 4])
        classifier = ClusterClassifier(KMeans(2, n_init=1, random_state=0)).fit(X, y)
        display = EmbeddingDisplay.from_estimator(classifier, X, image_shape=(4, 4))
        np.testing.assert_array_equal(display.positions_, classifier.clusterer_.transform(X))
        assert display.labels.tolist() == y.tolist()

    def test_reducer_is_cloned(self, images):
        X = images.reshape(12, 16) + np.random.RandomState(0).rand(12, 16) / 10
        reducer = TSNE(perplexity=3, max_iter=250, random_state=0)
        scaler = StandardScaler().fit(X)
        display = EmbeddingDisplay.from_estimator(scaler, X, reducer=reducer, image_shape=(4, 4))
        assert not hasattr(reducer, "embedding_")
        expected = reducer.fit_transform(scaler.transform(X))
        np.testing.assert_allclose(display.positions_, expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(("n_images", "n_features"), [(5, 1), (1, 4), (1, 1)])
    def test_fewer_than_two_dimensions(self, n_images, n_features):
        features = np.random.RandomState(0).rand(n_images, n_features)
        estimator = SimpleNamespace(transform=lambda X: torch.from_numpy(features))
        display = EmbeddingDisplay.from_estimator(estimator, np.ones((n_images, 3, 3)))
        assert display.positions_.shape == (n_images, 2)
        np.testing.assert_array_equal(display.positions_[:, 1], 0)

    def test_errors(self, photos, images):
        X, y = images.reshape(12, 16), np.arange(12) % 2
        with pytest.raises(TypeError, match="LogisticRegression has no transform"):
            EmbeddingDisplay.from_estimator(LogisticRegression().fit(X, y), X)
        alone = make_pipeline(LogisticRegression()).fit(X, y)
        with pytest.raises(TypeError, match="Pipeline has no transform"):
            EmbeddingDisplay.from_estimator(alone, X)
        scaler = StandardScaler().fit(X)
        with pytest.raises(ValueError, match=r"PCA returned an array of shape \(12, 3\)"):
            EmbeddingDisplay.from_estimator(scaler, X, reducer=PCA(3), image_shape=(4, 4))
        maps = BagOfPatches(4, n_patches=50, random_state=0).fit(photos)
        estimator = SimpleNamespace(transform=maps.predict)
        with pytest.raises(ValueError, match=r"A row of features for each image is needed"):
            EmbeddingDisplay.from_estimator(estimator, photos)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"positions": np.zeros((4, 3))}, r"must have two columns, got shape \(4, 3\)"),
        ({"positions": np.full((4, 2), np.nan)}, "Input positions contains NaN"),
        ({"positions": np.zeros((5, 2))}, "inconsistent numbers of samples"),
        ({"labels": [1, 2, 3]}, "inconsistent numbers of samples"),
        ({"min_distance": 0.5}, "min_distance must be at least 1"),
        ({"thumbnail_size": "large"}, "thumbnail_size must be 'auto' or a positive number"),
        ({"thumbnail_size": 0}, "thumbnail_size must be 'auto' or a positive number"),
        ({"bands": 3}, "as the images have 3 channels; got 3"),
    ],
)
def test_errors(corners, changed, message):
    images, positions = corners
    arguments = {"X": images, "positions": positions} | changed
    with pytest.raises(ValueError, match=message):
        EmbeddingDisplay.from_predictions(**arguments)
