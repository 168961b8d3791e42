"""Tables of benchmarks: on the terminal, and as JSON and Markdown in `results/`."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from _tables import markdown

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("sklearn-kmfeat", "scikit-learn", "numpy", "scipy", "torch")


def report(name, title, rows, remarks=(), folder=RESULTS, more=None):
    """Print a table and write it to `folder`, as NAME.json and NAME.md.

    Parameters
    ----------
    name : str
    title : str
    rows : list of dict
        The JSON has all of it, the Markdown the columns that `_tables.LAYOUTS` names; None is an
        empty cell.
    remarks : sequence of str
        Sentences below the table.
    folder : Path
    more : dict or None, default=None
        What else the JSON holds.
    """
    remarks = [*remarks, _sentence(setting())]
    content = {"title": title, "rows": rows, "remarks": remarks, **setting(), **(more or {})}
    print(f"\n{markdown(name, content)}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    store(name, content, folder)


def store(name, content, folder=RESULTS):
    """Write a table to `folder`, as NAME.json and NAME.md."""
    text = json.dumps(content, indent=2) + "\n"
    (folder / f"{name}.json").write_text(text, encoding="utf-8")
    (folder / f"{name}.md").write_text(markdown(name, content), encoding="utf-8")


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


def setting():
    """The machine, and versions of the packages."""
    return {"machine": machine(), "versions": {p: version(p) for p in PACKAGES}}


def machine():
    """The machine in words."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
    return f"{n_cores} {platform.machine()} cores, {threads}, {platform.system()}"


def _sentence(found):
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return f"Measured on {found['machine']}; Python {platform.python_version()}, {versions}."
