"""How stored results look as Markdown: which columns people read, their headings and their units.

The JSON of a table has everything that was measured; its Markdown has what a reader needs. Of a
table without an entry in `LAYOUTS` all columns are written, but for internal goals ("to reach").
"""

import re
from collections.abc import Callable
from typing import NamedTuple

INTERNAL = ("to reach",)


def duration(seconds):
    """A time in words, with three digits at most."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    if seconds >= 0.9995:
        return f"{seconds:.0f} s" if seconds >= 99.5 else f"{seconds:.3g} s"
    return f"{1000 * seconds:.3g} ms"


def percent(share):
    """A share as a number of percent, without the sign: it stands in the heading."""
    return f"{100 * share:.1f}"


def hundredths(share):
    """The same with a digit more, for small errors."""
    return f"{100 * share:.2f}"


def percents(text):
    """The same for all shares of a text, without what stands in brackets."""
    return re.sub(r"0\.\d+", lambda m: percent(float(m[0])), re.sub(r" \(.*\)", "", text))


def many_percents(text):
    """The same, with a digit more."""
    return re.sub(r"0\.\d+", lambda m: hundredths(float(m[0])), re.sub(r" \(.*\)", "", text))


def count(number):
    """A whole number with commas."""
    return f"{number:,}"


def times(ratio):
    """A ratio, with two digits after the point where it is small."""
    return f"{ratio:.0f}" if ratio >= 20 else f"{ratio:.1f}" if ratio >= 2 else f"{ratio:.2f}"


def plain(value):
    """Text as it is, a number with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Column(NamedTuple):
    """A column: its heading, the key of its value, and how the value is written."""

    heading: str
    key: str
    write: Callable = plain

    def cell(self, row):
        """The text of a cell; None is empty."""
        value = row.get(self.key)
        return "" if value is None else self.write(value)


class Part(NamedTuple):
    """A table of its own: its columns, which rows it has, and a title above it."""

    columns: list
    rows: Callable = lambda row: True
    title: str | None = None


SPEED = [
    Column("work", "work"),
    Column("compared with", "beside"),
    Column("times as fast", "ratio", times),
    Column("this library", "ours (s)", duration),
    Column("the other", "theirs (s)", duration),
]
BUSY = [
    Column("work", "work"),
    Column("compared with", "beside"),
    Column("slowdown of the other / of this library", "ratio", times),
    Column("this library", "ours (s)", duration),
    Column("the other", "theirs (s)", duration),
]
MEMORY = [
    Column("work", "work"),
    Column("measured against", "beside"),
    Column("memory", "ratio", lambda found: found if "iB" in found else f"{found} times"),
    Column("time", "ours (s)", duration),
]
#: Sections of the page of speed: the benchmarks of each, and its columns.
SECTIONS = {
    "K-means": (("lloyd", "wide", "inertia", "centers"), SPEED),
    "Features of images": (("encoding",), SPEED),
    "Beside busy processes": (("busy",), BUSY),
    "Grid search": (("search",), SPEED),
    "Convolutional k-means": (("conv",), SPEED),
    "Bags of patches": (("bag", "vocabulary"), SPEED),
    "Deep clustering": (("deep",), SPEED),
    "Dask": (("cluster",), SPEED),
    "Memory": (("memory",), MEMORY),
    "Files": (("files",), SPEED),
}


def _deep(name):
    return [
        Column("images", "of"),
        Column(name, "by"),
        Column("measure", "measure"),
        Column("mean (%)", "result", percent),
        Column("seeds (%)", "over seeds", percents),
        Column("published (%)", "published", percent),
        Column("NMI of epochs", "nmi"),
        Column("processor time", "cpu", duration),
    ]


def _few_labels():
    columns = [
        Column("method", "by"),
        *(Column(f"{n} labels (%)", n, percent) for n in ("10", "100", "500", "1000")),
        Column("spread (points)", "spread", percent),
        Column("processor time", "cpu", duration),
    ]
    names = {"digits": "Digits (MNIST)", "clothes": "Clothes (Fashion-MNIST)"}
    names["photographs"] = "Photographs (CIFAR-10)"
    return [Part(columns, lambda row, of=of: row["of"] == of, t) for of, t in names.items()]


def _growth():
    parts = []
    headings = {"images": "images", "filters": "filters", "side": "pixels a side"}
    for what, heading in headings.items():
        columns = [
            Column(heading, what, count),
            Column("threads", "threads"),
            Column("fit", "fit (s)", duration),
            Column("transform", "transform (s)", duration),
            Column("memory of fit (MiB)", "fit (MiB)"),
            Column("memory of transform (MiB)", "transform (MiB)"),
        ]
        title = {
            "images": "More images, 200 filters, 32 pixels a side",
            "filters": "More filters, 1,000 images, 32 pixels a side",
            "side": "Larger images, 1,000 of them, 200 filters",
        }[what]
        parts.append(Part(columns, lambda row, what=what: row["growing"] == what, title))
    return parts


LAYOUTS = {
    "cifar": [
        Part(
            [
                Column("filters", "n_filters", count),
                Column("features", "encoder"),
                Column("whitened", "whitened"),
                Column("accuracy (%)", "accuracy", percent),
                Column("published (%)", "published", percent),
                Column("time of fit", "fit (s)", duration),
                Column("of transform", "transform (s)", duration),
                Column("of the classifier", "classifier (s)", duration),
            ]
        )
    ],
    "iterations": [
        Part(
            [
                Column("start", "filters"),
                Column("iterations", "max_iter"),
                Column("inertia above the least", "inertia"),
                Column("accuracy (%)", "accuracy", percent),
                Column("time of fit", "fit (s)", duration),
            ]
        )
    ],
    "best_choices": [
        Part(
            [
                Column("choice", "choice"),
                Column("features", "features", count),
                Column("accuracy (%)", "accuracy", percent),
            ]
        )
    ],
    "best_cifar": [
        Part(
            [
                Column("filters of each patch size", "filters"),
                Column("classifier", "classifier"),
                Column("features", "features", count),
                Column("accuracy (%)", "accuracy", percent),
                Column("dictionaries", "fit (s)", duration),
                Column("features of 60,000 images", "transform (s)", duration),
                Column("classifier", "classifier (s)", duration),
                Column("minutes in all", "minutes"),
            ]
        )
    ],
    "photographs": [
        Part(
            [
                Column("features", "features"),
                Column("balanced accuracy (%)", "accuracy", percent),
                Column("standard error (points)", "standard error", percent),
            ]
        )
    ],
    "mnist": [
        Part(
            [
                Column("features", "of"),
                Column("clusters", "by"),
                Column("purity (%)", "result", percent),
                Column("seeds (%)", "over seeds", percents),
                Column("published (%)", "published", percent),
                Column("agreement of seeds", "agreement"),
                Column("time", "seconds", duration),
            ],
            lambda row: row["measure"] == "purity",
            "Clusters of 10,000 digits",
        ),
        Part(
            [
                Column("features", "of"),
                Column("classifier", "by"),
                Column("test error (%)", "result", hundredths),
                Column("time", "seconds", duration),
            ],
            lambda row: row["measure"] == "test error",
            "Linear classifiers of 60,000 digits",
        ),
    ],
    "conv_filters": [
        Part(
            [
                Column("filters", "n_filters"),
                Column("whitened", "whitened"),
                Column("k-means (%)", "k-means", percent),
                Column("convolutional (%)", "convolutional", percent),
                Column("difference (points)", "gain"),
                Column("redundancy, k-means", "redundancy of k-means", lambda v: f"{v:.2f}"),
                Column("redundancy, convolutional", "of convolutional", lambda v: f"{v:.2f}"),
            ]
        )
    ],
    "conv_layers": [
        Part(
            [
                Column("layers", "layers"),
                Column("features", "features", count),
                Column("accuracy (%)", "accuracy", percent),
                Column("seeds (%)", "over seeds", percents),
                Column("second layer alone (%)", "second layer alone", percent),
            ]
        )
    ],
    "conv_labels": [
        Part(
            [
                Column("dictionaries", "dictionaries"),
                Column("labels", "labels", count),
                Column("test error (%)", "error", hundredths),
                Column("draws (%)", "over draws", many_percents),
                Column("published (%)", "published", percent),
            ]
        )
    ],
    "deep_clusters": [Part(_deep("head and clusters"))],
    "deep_probes": [Part([c for c in _deep("classifier on") if c.key != "published"])],
    "deep_runs": [
        Part(
            [
                Column("images", "of"),
                Column("seeds", "seeds"),
                Column("kept (%)", "kept", percent),
                Column("vote (%)", "vote", percent),
                Column("mean (%)", "mean", percent),
                Column("least (%)", "least", percent),
                Column("best (%)", "best", percent),
                Column("agreement of the kept", "agreement", lambda v: f"{v:.2f}"),
                Column("of all", "of all", lambda v: f"{v:.2f}"),
            ]
        )
    ],
    "few_labels": _few_labels(),
    "clusters": [
        Part(
            [
                Column("set", "set"),
                Column("images", "images", count),
                Column("classes", "classes"),
                Column("pixels", "pixels", percent),
                Column("UMAP + GMM", "UMAP + GMM", percent),
                Column("filters", "filters", percent),
                Column("deep", "deep", percent),
                Column("best member", "best member", percent),
                Column("vote", "consensus", percent),
            ],
            title="Accuracy in %",
        ),
        Part(
            [
                Column("set", "set"),
                Column("vote (%)", "consensus", percent),
                Column("mean of members (%)", "members", percent),
                Column("members (%)", "of members", percents),
                Column("NMI of the vote", "NMI", lambda v: f"{v:.2f}"),
                Column("processor time", "cpu", duration),
            ],
            title="The vote and its members",
        ),
    ],
    "number_of_clusters": [
        Part(
            [
                Column("set", "set"),
                Column("images", "images", count),
                Column("classes", "classes"),
                Column("chosen number", "chosen"),
                Column("agreement there", "agreement", lambda v: f"{v:.2f}"),
                Column("at the number of classes", "at classes", lambda v: f"{v:.2f}"),
                Column("processor time", "cpu", duration),
            ]
        )
    ],
    "planted": [
        Part(
            [
                Column("noise", "noise"),
                Column("preparation", "preparation"),
                Column("filters are shifted", "filters are shifted"),
                Column("start", "init"),
                Column("found exactly", "all exactly"),
                Column("up to a shift", "up to a shift"),
                Column("iterations", "iterations", lambda v: f"{v:.0f}"),
                Column("time", "seconds", duration),
            ]
        )
    ],
    "number_of_patches": [
        Part(
            [
                Column("patches", "patches"),
                Column("for each filter", "of a filter", count),
                Column("error of new patches", "error of new patches", lambda v: f"{v:.3f}"),
                Column("accuracy (%)", "accuracy", percent),
                Column("of each seed (%)", "of each seed", percents),
            ]
        )
    ],
    "scale_growth": _growth(),
    "scale_rates": [Part([Column("stage", "stage"), Column("rate", "rate")])],
    "scale_sizes": [
        Part(
            [
                Column("what", "what"),
                Column("one image", "an image"),
                Column("a million", "all"),
                Column("where it is kept", "kept"),
            ]
        )
    ],
}


def markdown(name, content):
    """The Markdown of a stored table.

    Parameters
    ----------
    name : str
        That of its file.
    content : dict
        What the JSON holds: title, rows, remarks, and parts of those whose page has sections.

    Returns
    -------
    str
    """
    name = name.removesuffix("_quick")
    if name == "speed" and "parts" in content:
        return _page_of_speed(content)
    parts = LAYOUTS.get(name) or [Part(_all_columns(content["rows"]))]
    text = [f"# {content['title']}\n"]
    for part in parts:
        rows = [row for row in content["rows"] if part.rows(row)]
        if rows:
            text += [f"**{part.title}**\n"] * bool(part.title) + [_table(part.columns, rows)]
    return "\n".join([*text, _list(content["remarks"])])


def _page_of_speed(content):
    """A section for each kind of work, each with its own remarks."""
    found = content["parts"]
    text = [f"# {content['title']}\n"]
    for heading, (names, columns) in SECTIONS.items():
        some = [found[name] for name in names if name in found]
        rows = [row for part in some for row in part["rows"]]
        if rows:
            remarks = [remark for part in some for remark in part["remarks"]]
            text += [f"## {heading}\n", _table(columns, rows), _list(remarks)]
    own = {remark for part in found.values() for remark in part["remarks"]}
    rest = [remark for remark in content["remarks"] if remark not in own]
    return "\n".join([*text, "## Machine and versions\n", _list(rest)])


def _all_columns(rows):
    return [Column(key, key) for key in rows[0] if key not in INTERNAL]


def _list(remarks):
    return "".join(f"- {remark}\n" for remark in remarks)


def _table(columns, rows):
    """Rows as a Markdown table with aligned columns."""
    cells = [[c.heading for c in columns], *([c.cell(row) for c in columns] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "| " + " | ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "".join(f"{line}\n" for line in lines)
