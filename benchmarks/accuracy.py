"""Accuracy on real images: `accuracy.py` runs all studies, `accuracy.py cifar mnist` those named.

Each study is a module beside this one, `_NAME.py`, with a `TITLE`, a function `run(quick)` that
returns the rows of its table and, if it wants, a function `remarks(rows)`. The full sets are read
with `fetch_cifar10` and `fetch_mnist` (from the folder named by SKLEARN_KMFEAT_DATA); `--quick`
runs on the samples in the package. Tables are written to `results/`.
"""

import argparse
import importlib

from _report import report

STUDIES = ("cifar", "mnist", "deep")


def run(name, quick=False):
    """Run one study and report it."""
    study = importlib.import_module(f"_{name}")
    rows = study.run(quick)
    remarks = study.remarks(rows) if hasattr(study, "remarks") else []
    suffix, note = ("_quick", " (quick: the shipped sample)") if quick else ("", "")
    report(name + suffix, study.TITLE + note, rows, remarks)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"of {', '.join(STUDIES)}")
    parser.add_argument("--quick", action="store_true", help="on the shipped samples")
    options = parser.parse_args()
    unknown = set(options.studies) - set(STUDIES)
    if unknown:
        parser.error(f"unknown study {', '.join(sorted(unknown))}; there are {', '.join(STUDIES)}")
    for name in options.studies or STUDIES:
        run(name, options.quick)


if __name__ == "__main__":
    main()
