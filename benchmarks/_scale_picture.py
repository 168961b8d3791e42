"""The picture of `_scale_growth.py`: seconds and memory against images, filters and pixels."""

import matplotlib as mpl

mpl.use("agg")
import numpy as np
from _scale_growth import GROWTH, N_PATCHES, STANDARD, THREADS
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, NullLocator

TITLES = {"images": "images", "filters": "filters", "side": "side of an image (pixels)"}
COLOURS = {"fit": "#c4561b", "transform": "#1b6ac4"}
STYLES = {1: {"marker": "o", "linestyle": "-"}, 2: {"marker": "s", "linestyle": ":"}}


def draw(rows, path):
    """Draw the rows of the table."""
    grown = [what for what in GROWTH if any(row["growing"] == what for row in rows)]
    figure, axes = plt.subplots(
        2,
        len(grown),
        figsize=(3.6 * len(grown), 6),
        layout="constrained",
        sharey="row",
        squeeze=False,
    )
    for what, (time, memory) in zip(grown, axes.T, strict=True):
        chosen = [row for row in rows if row["growing"] == what]
        for name in COLOURS:
            for n in THREADS:
                line = [row for row in chosen if row["threads"] == n]
                sizes = [row[what] for row in line]
                look = {"color": COLOURS[name], "markersize": 4, "linewidth": 1.4, **STYLES[n]}
                threads = f"{name}, {n} thread{'s' * (n > 1)}"
                time.loglog(sizes, [row[f"{name} (s)"] for row in line], label=threads, **look)
                memory.semilogx(sizes, [row[f"{name} (MiB)"] for row in line], **look)
        one = [row for row in chosen if row["threads"] == 1]
        sizes = np.array([row[what] for row in one], float)
        slope = (sizes / sizes[-1]) ** (2 if what == "side" else 1)
        time.loglog(sizes, one[-1]["transform (s)"] * slope, color="0.6", linewidth=6, alpha=0.4,
                    label="linear", zorder=0)  # fmt: skip
        for axis in (time, memory):
            axis.set_xticks(sizes, [f"{size:,.0f}" for size in sizes], fontsize=8)
            axis.xaxis.set_minor_locator(NullLocator())
            axis.grid(alpha=0.25)
            axis.spines[["top", "right"]].set_visible(False)
        others = ", ".join(
            f"side {n}" if name == "side" else f"{n:,} {name}" for name, n in STANDARD[what].items()
        )
        time.set_title(others, fontsize=9)
        memory.set_xlabel(TITLES[what])
        memory.set_ylim(bottom=0)
    axes[0, 0].set_ylabel("seconds")
    axes[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes[1, 0].set_ylabel("MiB beside model and features")
    axes[0, 0].legend(fontsize=8, frameon=False)
    figure.suptitle(
        f"KMeansFilterLearner: fit on {N_PATCHES:,} patches, and transform", fontsize=11
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)
