"""The charts of docs/benchmarks.md, and its sentences, from the stored results.

    python benchmarks/charts.py

draws docs/images/bench_*.png from `results/*.json`, measuring nothing, and writes
`results/headlines.md`, which the page includes, so that its figures are those of the results.
"""

import json
import re
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
from _chart_axes import BLUE, DARK, FONT, GREY, ORANGE, TITLE, WIDTH, rows_axis, words
from _memory_chart import draw_memory, memory_sentence
from _report import RESULTS
from _tables import duration
from matplotlib import pyplot as plt
from matplotlib.ticker import NullLocator

IMAGES = Path(__file__).parents[1] / "docs" / "images"
#: Row of the chart: the work, what it is compared with, and how the row of the table begins.
SPEED = [
    (
        "Convolutional k-means",
        "a loop in NumPy",
        ("convolutional k-means step", "a loop"),
    ),
    (
        "Encoding images",
        "extract_patches_2d and SciPy's cdist",
        ("triangle encoding of an image, K=1600", "extract"),
    ),
    ("Bags of patches", "a loop over images with cdist", ("bags of 10,000", "a loop")),
    (
        "k-means, 6,400 centers",
        "faiss, to within 2 % of Lloyd's inertia",
        ("k-means of 400,000 patches, K=6400", "faiss"),
    ),
    (
        "k-means, 6,400 centers",
        "superkmeans, inertia {} above Lloyd's",
        ("k-means of 400,000 patches, K=6400", "superkmeans, defaults"),
    ),
    (
        "k-means, 1,600 centers",
        "scikit-learn, to the same inertia",
        ("k-means of 400,000 patches, K=1600", "scikit-learn"),
    ),
    ("k-means, 50 centers", "scikit-learn, k-means++", ("vocabulary of 50 words", "scikit-learn")),
    ("k-means on dask, an iteration", "dask-ml", ("step of k-means on dask", "dask-ml")),
    (
        "One iteration, 1,600 centers",
        "scikit-learn",
        ("Lloyd step, 400,000 x 108, K=1600", "scikit-learn"),
    ),
    (
        "One iteration, 256 centers",
        "scikit-learn",
        ("Lloyd step, 60,000 digits", "scikit-learn"),
    ),
    (
        "k-means, 1,600 centers",
        "superkmeans, inertia {} higher",
        ("k-means of 400,000 patches, K=1600", "superkmeans, 23"),
    ),
    (
        "k-means, 1,600 centers",
        "superkmeans, inertia {} higher",
        ("k-means of 400,000 patches, K=1600", "superkmeans, defaults"),
    ),
]

#: Figures that no table has: accuracy on CIFAR-10 of a linear classifier on 64,000 whitened random
#: patches (Thiry et al., ICLR 2021), and of clusters of pretrained features (TURTLE, Gadetsky et
#: al., ICML 2024).
THIRY_64K, PRETRAINED = 0.869, 0.995
#: How the accuracies of the chart are reached, and who published the other ones.
CONV = "convolutional k-means; Dundar et al. 2015"
BEST = "our best, Gaussian kernel; best linear of Thiry et al. 2021"


def main():
    """Draw all charts, and write the sentences."""
    results = read(RESULTS)
    draw_all(results, IMAGES)
    (RESULTS / "headlines.md").write_text(headlines(results), encoding="utf-8")


class Results(dict):
    """Contents of the stored tables by their names."""

    def row(self, table, **where):
        """The one row of a table whose columns have these values, or begin with them."""
        found = [
            row
            for row in self[table]["rows"]
            if all(_matches(row[column], value) for column, value in where.items())
        ]
        if len(found) != 1:
            raise ValueError(f"{len(found)} rows of {table} have {where}, not one.")
        return found[0]


def _matches(found, value):
    return found.startswith(value) if isinstance(value, str) else found == value


def read(folder):
    """What is stored in `folder`, without trial runs."""
    paths = [path for path in sorted(folder.glob("*.json")) if "_quick" not in path.name]
    return Results({path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths})


def draw_all(results, folder):
    """Draw every chart into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (draw, _, _, _) in CHARTS.items():
        with mpl.rc_context(FONT):
            figure = draw(results)
            figure.savefig(folder / f"bench_{name}.png", dpi=160)
            plt.close(figure)


def headlines(results):
    """The sections of the page that have a chart, as Markdown."""
    parts = ["<!-- Written by benchmarks/charts.py: change it there. -->\n"]
    for name, (_, heading, alt, sentence) in CHARTS.items():
        parts.append(
            f"## {heading}\n\n```{{image}} /images/bench_{name}.png\n:alt: {alt}\n"
            f":width: 640px\n```\n\n{sentence(results)}\n"
        )
    parts.append(f"## Where others are ahead\n\n{behind(results)}\n")
    return "\n".join(parts).replace(" %", "\N{NO-BREAK SPACE}%")


# Speed


def speeds(results):
    """Work, what it is compared with, and how many times as fast it is; the largest first."""
    found = []
    for work, beside, (of, other) in SPEED:
        row = results.row("speed", work=of, beside=other)
        higher = re.search(r"\+([\d.]+ %)", row["beside"])
        found.append((work, beside.format(higher[1]) if higher else beside, row["ratio"]))
    return sorted(found, key=lambda row: -row[2])


def draw_speed(results):
    """Bars to the right where this library is faster, to the left where the other one is."""
    rows = speeds(results)
    figure, axis = rows_axis(len(rows), "How many times as fast as other programs")
    axis.set_xscale("log")
    axis.set_xlim(0.017, 230)
    axis.set_xticks([0.1, 1, 10, 100], ["0.1 ×", "equal", "10 ×", "100 ×"])
    axis.xaxis.set_minor_locator(NullLocator())
    for y, (work, beside, ratio) in enumerate(rows):
        faster = ratio >= 1
        axis.barh(y, ratio - 1, left=1, height=0.36, color=BLUE if faster else ORANGE)
        axis.plot([1, 1], [y - 0.2, y + 0.2], color=DARK, linewidth=1.2)
        words(axis, y, work, f"vs {beside}")
        place = {"ha": "left" if faster else "right", "va": "center", "fontweight": "bold"}
        text, offset = f"{_ratio(ratio)} ×", (4 if faster else -4, 0)
        axis.annotate(text, (ratio, y), offset, textcoords="offset points", **place)
    return figure


def _ratio(ratio):
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"


def speed_sentence(results):
    """What the chart says."""
    ratios = {(work, beside.split(",")[0]): ratio for work, beside, ratio in speeds(results)}
    encoding = ratios["Encoding images", "extract_patches_2d and SciPy's cdist"]
    return (
        f"Encoding images is {encoding:.0f} times as fast as the usual NumPy and SciPy code. "
        "K-means reaches the same inertia "
        f"{ratios['k-means, 1,600 centers', 'scikit-learn']:.1f} times as fast as scikit-learn "
        "(1,600 centers), and comes within 2 % of Lloyd's inertia "
        f"{ratios['k-means, 6,400 centers', 'faiss']:.1f} times as fast as faiss (6,400 centers). "
        "Orange bars show where the other program is faster; superkmeans stops at a higher "
        "inertia there. The loops over windows and over images are timed on fewer of them, and "
        "their times are scaled."
    )


# Accuracy


def accuracies(results):
    """Images, how they are classified, and the share that is right: ours and the published one."""
    found = []
    for encoder in ("hard", "triangle"):
        row = results.row("cifar", n_filters=1600, encoder=encoder, whitened="yes")
        how = f"1,600 filters, {encoder}; Coates et al. 2011"
        found.append(("CIFAR-10", how, row["accuracy"], row["published"]))
    for n_labels in (600, 3000, 60_000):
        row = results.row("conv_labels", dictionaries="convolutional k-means", labels=n_labels)
        how = f"{n_labels:,} labels, {CONV}"
        found.append(("MNIST", how, 1 - row["error"], 1 - row["published"]))
    best = best_of(results)["accuracy"]
    return [*found, ("CIFAR-10", BEST, best, THIRY_64K)]


def best_of(results):
    """The row of the most accurate classifier on CIFAR-10."""
    return max(results["best_cifar"]["rows"], key=lambda row: row["accuracy"])


def draw_accuracy(results):
    """Two bars for each row."""
    rows = accuracies(results)
    figure, axis = rows_axis(len(rows), "Test accuracy in %", row=0.56)
    axis.set_xlim(0, 113)
    axis.set_xticks([])
    axis.spines["bottom"].set_visible(False)
    for y, (of, how, ours, published) in enumerate(rows):
        bars = ((-0.11, ours, BLUE, "bold"), (0.13, published, GREY, "normal"))
        for shift, value, colour, weight in bars:
            axis.barh(y + shift, 100 * value, height=0.22, color=colour)
            name = ("this library " if colour == BLUE else "published ") if y == 0 else ""
            text = f"{100 * value:.1f} {name}"
            axis.text(100 * value + 1, y + shift, text, va="center", fontweight=weight)
        words(axis, y, of, how)
    return figure


def accuracy_sentence(results):
    """What the chart says."""
    found = {how: 100 * ours for _, how, ours, _ in accuracies(results)}
    published = {how: 100 * value for _, how, _, value in accuracies(results)}
    triangle, few = "1,600 filters, triangle; Coates et al. 2011", f"600 labels, {CONV}"
    return (
        "With the recipes of the papers, the figures come within half a point of the published "
        f"ones, or exceed them: {found[triangle]:.1f} % of the test images of CIFAR-10 are "
        f"classified correctly (published: {published[triangle]:.1f} %), and with convolutional "
        f"k-means and 600 labels {found[few]:.1f} % of those of MNIST (published: "
        f"{published[few]:.1f} %). The last pair compares different models: our most accurate "
        "one, which has a Gaussian kernel, with the best linear classifier of Thiry et al., on "
        "64,000 patches."
    )


# Clusters

MARKS = {
    "pixels": ("pixels", GREY, "o"),
    "UMAP + GMM": ("UMAP + Gaussian mixture", DARK, "|"),
    "best member": ("best member", ORANGE, "D"),
    "consensus": ("vote (ConsensusClusterer)", BLUE, "o"),
}
NAMES = {"clothes": "Fashion-MNIST", "textures_grey": "grey textures", "objects20": "objects"}


def held_out_sets(results):
    """The rows of the sets that nothing was chosen on, the best first, and their mean."""
    rows = results["clusters"]["rows"]
    *held_out, mean = rows[rows.index(results.row("clusters", set="clothes")) :]
    return sorted(held_out, key=lambda row: -row["consensus"]), mean


def draw_clusters(results):
    """A line of marks for each set."""
    rows, mean = held_out_sets(results)
    figure, axis = plt.subplots(figsize=(WIDTH, 3.9), layout="constrained")
    for y, row in enumerate([*rows, mean]):
        values = [100 * row[method] for method in MARKS]
        axis.plot([min(values), max(values)], [y, y], color="0.88", linewidth=3, zorder=0)
        for method, value in zip(MARKS, values, strict=True):
            name, colour, mark = MARKS[method]
            size = {"s": 90 if method == "consensus" else 45, "linewidth": 2.5}
            axis.scatter(value, y, color=colour, marker=mark, label=name if y == 0 else None,
                         zorder=3 if method == "consensus" else 2, **size)  # fmt: skip
        text = f"{values[-1]:.0f}"
        axis.annotate(text, (max(values), y), (8, 0), textcoords="offset points", va="center",
                      color=BLUE, fontweight="bold")  # fmt: skip
    names = [NAMES.get(row["set"], row["set"]) for row in rows]
    axis.set_yticks(range(len(rows) + 1), [*names, "mean"])
    axis.get_yticklabels()[-1].set_fontweight("bold")
    axis.axhline(len(rows) - 0.5, color=DARK, linewidth=0.6)
    axis.invert_yaxis()
    axis.set_xlim(25, 108)
    axis.set_xticks(range(40, 101, 20), [f"{share} %" for share in range(40, 101, 20)])
    axis.grid(axis="x", alpha=0.25)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(length=0)
    figure.suptitle("Images in the cluster of their class", **TITLE)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def clusters_sentence(results):
    """What the chart says."""
    rows, mean = held_out_sets(results)
    percent = {method: f"{100 * mean[method]:.0f} %" for method in MARKS}
    return (
        f"On {_in_words(len(rows))} sets of images that no setting was chosen on, the vote of "
        f"`ConsensusClusterer` puts {percent['consensus']} of the images into the cluster of their "
        f"class, where k-means of pixels reaches {percent['pixels']}, UMAP with a Gaussian mixture "
        f"{percent['UMAP + GMM']}, and the best single member of the vote, which nobody knows "
        f"without labels, {percent['best member']}."
    )


# Growth


def growth(results, threads=2):
    """Numbers of images, and seconds of fit and of transform."""
    rows = [row for row in results["scale_growth"]["rows"] if row["growing"] == "images"]
    rows = [row for row in rows if row["threads"] == threads]
    return tuple([row[key] for row in rows] for key in ("images", "fit (s)", "transform (s)"))


def draw_growth(results):
    """Two lines on logarithmic axes."""
    images, fit, transform = growth(results)
    figure, axis = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
    for seconds, name, colour in ((fit, "fit", ORANGE), (transform, "transform", BLUE)):
        axis.loglog(images, seconds, color=colour, marker="o", linewidth=2)
        for i, side in ((0, "right"), (-1, "left")):
            text = f"{'' if i == 0 else f'{name}: '}{seconds[i]:.2g} s"
            look = {"color": colour, "fontweight": "bold", "ha": side, "va": "center"}
            offset = (-6 if i == 0 else 6, 0)
            place = images[i], seconds[i]
            axis.annotate(text, place, offset, textcoords="offset points", **look)
    axis.set_xlim(330, 700_000)
    axis.set_xticks(images, [f"{n:,}" for n in images])
    axis.set_yticks([0.1, 1, 10], ["0.1 s", "1 s", "10 s"])
    for each in (axis.xaxis, axis.yaxis):
        each.set_minor_locator(NullLocator())
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("images")
    figure.suptitle("Time by number of images", **TITLE)
    return figure


def growth_sentence(results):
    """What the chart says."""
    images, fit, transform = growth(results)
    return (
        f"From {images[0]:,} to {images[-1]:,} images of 32 pixels, `transform` grows about "
        f"in proportion, from {transform[0]:.2g} to {transform[-1]:.2g} s, and `fit` only "
        f"from {fit[0]:.2g} to {fit[-1]:.2g} s, because it learns from a fixed number of "
        "patches. More about this: {doc}`/guide/scale`."
    )


# Where others are ahead


def behind(results):
    """What other programs do better."""
    step = results.row("speed", work="Lloyd step, 60,000 digits", beside="scikit-learn")
    least = results.row(
        "speed", work="k-means of 400,000 patches, K=1600", beside="superkmeans, defaults"
    )
    many = results.row(
        "speed", work="k-means of 400,000 patches, K=6400", beside="superkmeans, defaults"
    )
    higher, above = (re.search(r"\+([\d.]+ %)", row["beside"])[1] for row in (least, many))
    [own] = (text for text in results["speed"]["remarks"] if text.startswith("Many centers"))
    own = re.search(r"\+([\d.]+ %)", own)[1]
    best = best_of(results)
    photographs = results.row("clusters", set="CIFAR-10")
    return (
        "An iteration of k-means with few centers is faster in scikit-learn: with 256 centers for "
        f"60,000 digits it takes {duration(step['theirs (s)'])} there and "
        f"{duration(step['ours (s)'])} here. superkmeans with its defaults is "
        f"{least['ours (s)'] / least['theirs (s)']:.0f} times as fast for 1,600 centers, where "
        f"its inertia is {higher} higher, and {many['ours (s)'] / many['theirs (s)']:.1f} times "
        f"as fast for 6,400 centers, where its inertia is {above} above Lloyd's and ours {own}. "
        "Dictionaries of 64,000 patches, which need a "
        f"GPU, reach {100 * THIRY_64K:.1f} % on CIFAR-10 (Thiry et al. 2021); ours of "
        f"{best['features'] // 9:,} filters reach {100 * best['accuracy']:.1f} %, in "
        f"{best['minutes']:.0f} minutes on two cores. And on photographs, "
        "features of a large pretrained network are far ahead of anything that is learned from "
        f"your images alone: clusters of them have been published that are right for "
        f"{100 * PRETRAINED:.1f} % of CIFAR-10 (TURTLE, 2024), where our vote has "
        f"{100 * photographs['consensus']:.0f} %."
    )


def _in_words(n):
    return {5: "five", 6: "six", 7: "seven", 8: "eight"}.get(n, str(n))


CHARTS = {
    "speed": (
        draw_speed,
        "Speed beside other programs",
        "Bar chart: how many times as fast as other programs the library is",
        speed_sentence,
    ),
    "accuracy": (
        draw_accuracy,
        "Accuracy beside the literature",
        "Bar chart: test accuracy of this library and published test accuracy",
        accuracy_sentence,
    ),
    "clusters": (
        draw_clusters,
        "Clusters without labels",
        "Dot plot: clustering accuracy on seven sets for pixels, UMAP, best member and vote",
        clusters_sentence,
    ),
    "growth": (
        draw_growth,
        "Growth with the number of images",
        "Line chart: seconds of fit and of transform by the number of images",
        growth_sentence,
    ),
    "memory": (
        draw_memory,
        "Memory",
        "Bar chart: peak memory, and the memory that all responses would take",
        memory_sentence,
    ),
}


if __name__ == "__main__":
    main()
