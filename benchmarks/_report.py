"""Tables of benchmarks: on the terminal, and as JSON and Markdown in `results/`."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("sklearn-kmfeat", "scikit-learn", "numpy", "scipy", "torch")


def report(name, title, rows, remarks=(), folder=RESULTS, more=None):
    """Print a table and write it to `folder`, as NAME.json and NAME.md.

    Parameters
    ----------
    name : str
    title : str
    rows : list of dict
        The keys of the first row are the columns; None is an empty cell.
    remarks : sequence of str
        Sentences below the table.
    folder : Path
    more : dict or None, default=None
        What else the JSON holds.
    """
    remarks = [*remarks, _sentence(setting())]
    text = f"# {title}\n\n{markdown_table(rows)}\n" + "".join(f"- {line}\n" for line in remarks)
    print(f"\n{text}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    content = {"title": title, "rows": rows, "remarks": remarks, **setting(), **(more or {})}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def compared(work, beside, target, ours, theirs):
    """A row of the table: medians of the ratios and of the seconds."""
    return {
        "work": work,
        "beside": beside,
        "ratio": round(float(np.median(np.divide(theirs, ours))), 2),
        "to reach": target,
        "ours (s)": float(np.median(ours)),
        "theirs (s)": float(np.median(theirs)),
    }


def duration(seconds):
    """A time in words, with two or three digits."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    if seconds >= 0.9995:
        return f"{seconds:.0f} s" if seconds >= 99.5 else f"{seconds:.3g} s"
    return f"{1000 * seconds:.3g} ms"


def timed(call):
    """Seconds that a call takes, and what it returns."""
    start = perf_counter()
    result = call()
    return perf_counter() - start, result


def bare_product(tiles, matrix):
    """A function that multiplies each tile (at most as long as the first) with a matrix.

    Into the same memory, and nothing else.
    """
    result = matrix.new_empty(len(tiles[0]), matrix.shape[1])

    def product():
        for tile in tiles:
            torch.mm(tile, matrix, out=result[: len(tile)])

    return product


def markdown_table(rows):
    """Rows as a Markdown table with aligned columns."""
    columns = list(rows[0])
    cells = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "| " + " | ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "".join(f"{line}\n" for line in lines)


def setting():
    """The machine, and versions of the packages."""
    return {"machine": machine(), "versions": {p: version(p) for p in PACKAGES}}


def machine():
    """The machine in words."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
    return f"{n_cores} {platform.machine()} cores, {threads}, {platform.system()}"


def _cell(value):
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _sentence(found):
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return f"Measured on {found['machine']}; Python {platform.python_version()}, {versions}."
