"""Accuracy on real images: `accuracy.py` runs all studies, `accuracy.py cifar mnist` those named.

Each study has one table or several. A table is a module beside this one, `_TABLE.py`, with a
`TITLE`, a function `run(quick)` that returns the rows and, if it wants, a function `remarks(rows)`.
A table may also be run by its own name. The full sets are read
with `fetch_cifar10` and `fetch_mnist` (from the folder named by SKLEARN_KMFEAT_DATA), Fashion-MNIST
where torchvision keeps it in the same folder; `--quick` runs on the samples in the package. Tables
are written to `results/`.
"""

import argparse
import importlib

from _report import report

STUDIES = {
    "cifar": ("cifar",),
    "best": ("iterations", "best_choices", "best_cifar", "photographs"),
    "mnist": ("mnist",),
    "conv": ("conv_filters", "conv_layers", "conv_labels"),
    "deep": ("deep_clusters", "deep_probes"),
    "scale": ("number_of_patches",),
    "clusters": ("clusters", "number_of_clusters", "deep_runs", "few_labels", "planted"),
}
TABLES = {table: (table,) for tables in STUDIES.values() for table in tables}


def run(table, quick=False):
    """Make one table and report it."""
    module = importlib.import_module(f"_{table}")
    rows = module.run(quick)
    remarks = module.remarks(rows) if hasattr(module, "remarks") else []
    suffix, note = ("_quick", " (quick: the shipped sample)") if quick else ("", "")
    report(table + suffix, module.TITLE + note, rows, remarks)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"of {', '.join(STUDIES)}")
    parser.add_argument("--quick", action="store_true", help="on the shipped samples")
    options = parser.parse_args()
    known = TABLES | STUDIES
    unknown = set(options.studies) - set(known)
    if unknown:
        parser.error(f"unknown study {', '.join(sorted(unknown))}; there are {', '.join(STUDIES)}")
    for name in options.studies or STUDIES:
        for table in known[name]:
            run(table, options.quick)


if __name__ == "__main__":
    main()
