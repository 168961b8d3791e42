"""The chart of peak memory, and its sentence, for `charts.py`."""

import re

from _chart_axes import BLUE, GREY, rows_axis, words


def memory_rows(results):
    """Work, what would be there at once, its bytes, and those that are needed."""
    rows = []
    [encoding, *_] = (
        row for row in results["speed"]["rows"] if row["work"].startswith("peak memory of encoding")
    )
    n_images, n_filters = _numbers(encoding["work"], r"encoding ([\d,]+) images, K=(\d+)")
    places = (32 - 6 + 1) ** 2
    rows.append(
        (
            f"Features of {n_images:,} images",
            f"{n_filters:,} filters",
            4 * n_images * places * n_filters,
            _numbers(encoding["ratio"], r"(\d+) MiB")[0] * 2**20,
        )
    )
    grown = [r for r in results["scale_growth"]["rows"] if r["growing"] == "images"][-1]
    places = ((grown["side"] - 6) // 3 + 1) ** 2
    rows.append(
        (
            f"Features of {grown['images']:,} images",
            f"{grown['filters']} filters, stride 3",
            4 * grown["images"] * places * grown["filters"],
            grown["transform (MiB)"] * 2**20,
        )
    )
    conv = results.row("speed", work="peak memory of a convolutional fit")
    n_windows = _numbers(conv["work"], r"fit, ([\d,]+) windows")[0]
    rows.append(
        (
            "Convolutional k-means",
            f"{n_windows:,} windows, and all their patches",
            4 * n_windows * 7 * 7 * 108,
            float(conv["ratio"]) * 4 * n_windows * 12 * 12 * 3,
        )
    )
    return rows


def draw_memory(results):
    """A grey bar for all at once, and in it what is needed."""
    rows = memory_rows(results)
    figure, axis = rows_axis(len(rows), "Peak memory, and the size of all responses", row=0.62)
    axis.set_xlim(0, 1.27)
    axis.set_xticks([])
    axis.spines["bottom"].set_visible(False)
    for y, (work, size, naive, needed) in enumerate(rows):
        axis.barh(y, 1, height=0.4, color=GREY)
        axis.barh(y, max(needed / naive, 0.006), height=0.4, color=BLUE)
        words(axis, y, work, size, lift=0.26)
        place = {"va": "center", "fontweight": "bold"}
        axis.text(max(needed / naive, 0.006) + 0.015, y, f"{_bytes(needed)} here", **place)
        axis.text(1.015, y, _bytes(naive), va="center")
    return figure


def memory_sentence(results):
    """What the chart says."""
    (work, size, naive, needed), *_ = memory_rows(results)
    return (
        f"{work} with {size} need {_bytes(needed)} beside the images and the features, because "
        "images are cut, encoded and pooled a few at a time; the responses of all filters at all "
        f"positions would take {_bytes(naive)}."
    )


def _numbers(text, pattern):
    return [int(number.replace(",", "")) for number in re.search(pattern, text).groups()]


def _bytes(n):
    return f"{n / 2**30:.1f} GiB" if n >= 2**30 else f"{n / 2**20:.0f} MiB"
