"""Draws the pictures of README and docs: python tools/make_pictures.py."""

import runpy
import warnings
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]


def photos():
    """The first picture of the example of a folder of photographs: its groups."""
    runpy.run_path(str(ROOT / "examples" / "plot_photo_folder.py"))
    plt.figure(1).savefig(ROOT / "docs" / "images" / "photos.png", dpi=100)


if __name__ == "__main__":
    matplotlib.use("agg")
    warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
    photos()
