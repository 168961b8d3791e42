import numpy as np

from sklearn_kmfeat.displays import (
    ContingencyDisplay,
)


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
