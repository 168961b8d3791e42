"""A million images on paper, and how time and memory grow on this machine.

    python benchmarks/scale.py                     all parts
    python benchmarks/scale.py rates images        some; what the others measured stays

Tables and a picture for `docs/scale.md` are written from what was measured so far. With a CUDA
device the rates of products are measured there.
"""

import argparse
import json

import _scale_growth as growth
import _scale_stages as stages
import numpy as np
import torch
from _report import RESULTS, report
from _scale_picture import draw
from _scale_rates import measured as measured_rates

PICTURE = RESULTS.parents[1] / "docs" / "images" / "growth.png"
PARTS = ("rates", *growth.GROWTH)


def main():
    """Read the command line, measure, write what there is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes: tries the script")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    suffix = "_quick" if options.quick else ""
    kept = RESULTS / f"scale_growth{suffix}.json"
    found = json.loads(kept.read_text())["parts"] if kept.exists() else {}
    for part in options.parts or PARTS:
        print(f"{part} ...", flush=True)
        if part == "rates":
            device = "cuda" if torch.cuda.is_available() else "cpu"
            found[part] = measured_rates(options.quick, device)
        else:
            found[part] = growth.measured(part, options.quick)
    write(found, suffix)


def write(found, suffix, folder=RESULTS, picture=PICTURE):
    """Tables of what was measured, and the picture."""
    rows = [row for part in growth.GROWTH for row in found.get(part, [])]
    folders = {"folder": folder}
    title, more = "How time and memory grow", {"parts": found}
    report(f"scale_growth{suffix}", title, rows, growth_remarks(rows), more=more, **folders)
    if rows and not suffix:
        draw(rows, picture)
    if "rates" in found:
        rates = found["rates"]
        a_million = "A million images of 224 pixels"
        times = stages.table(rates), stages.remarks(rates)
        report(f"scale_rates{suffix}", "Rates of this machine", stages.rate_rows(rates), **folders)
        report(f"scale_sizes{suffix}", f"{a_million}: bytes", stages.sizes(rates), **folders)
        report(f"scale_stages{suffix}", f"{a_million}: time", *times, **folders)


def growth_remarks(rows):
    """How fast each column grows."""
    sentences = []
    for what in growth.GROWTH:
        if not any(row["growing"] == what for row in rows):
            continue
        size = "pixels" if what == "side" else what
        slopes = [
            f"{name} {np.mean(growth.exponents(rows, what, f'{name} (s)', n)[-2:]):.2f} "
            f"({n} thread{'s' * (n > 1)})"
            for name in ("fit", "transform")
            for n in growth.THREADS
        ]
        sentences.append(
            f"Seconds grow with the number of {size} to the power of: {', '.join(slopes)}, between "
            "the largest three sizes."
        )
    return [
        *sentences,
        f"KMeansFilterLearner(n_patches={growth.N_PATCHES:,}, stride={growth.STRIDE}, "
        f"max_iter={growth.MAX_ITER}), 2x2 sums; uint8 images from zarr, in chunks of "
        f"{growth.CHUNK_BYTES // 2**20} MiB. MiB: the largest memory of the process during the "
        "call beyond that before it and the features.",
    ]


if __name__ == "__main__":
    main()
