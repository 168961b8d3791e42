"""What the charts of `charts.py` share: colours, sizes, and an axis of rows with words."""

from matplotlib import pyplot as plt
from matplotlib.offsetbox import AnnotationBbox, HPacker, TextArea

#: Blue and orange differ for all kinds of colour vision, and in lightness.
BLUE, ORANGE, GREY, DARK = "#1b6ac4", "#d9731a", "#b4b9c0", "#30343a"
#: Inches; at 360 pixels a point is still a pixel.
WIDTH, ROW = 5.0, 0.44
FONT = {"font.size": 9, "text.color": DARK}
TITLE = {"fontsize": 10.5, "fontweight": "bold", "x": 0.01, "ha": "left"}


def rows_axis(n, title, row=ROW):
    """An axis for so many rows, each with words above its bar."""
    figure, axis = plt.subplots(figsize=(WIDTH, 0.75 + row * n), layout="constrained")
    axis.set_ylim(n - 0.55, -0.75)
    axis.set_yticks([])
    axis.spines[["top", "right", "left"]].set_visible(False)
    figure.suptitle(title, **TITLE)
    return figure, axis


def words(axis, y, first, second, lift=0.22):
    """Words above the bar of a row, the first of them bold."""
    texts = [
        TextArea(first, textprops={"fontweight": "bold", "fontsize": 9}),
        TextArea(second, textprops={"fontsize": 9, "color": "#5a6069"}),
    ]
    box = HPacker(children=texts, pad=0, sep=5)
    place = {"xycoords": axis.get_yaxis_transform(), "box_alignment": (0, 0)}
    axis.add_artist(AnnotationBbox(box, (0, y - lift), frameon=False, pad=0, **place))
