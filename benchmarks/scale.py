"""A million images on paper, and how time and memory grow on this machine.

    python benchmarks/scale.py                     all parts
    python benchmarks/scale.py rates images        some; what the others measured stays

Tables and a picture for `docs/guide/scale.md` are written from what was measured so far. With a
CUDA device the rates of products are measured there.
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
PARTS = ("rates", *growth.GROWTH, "many")


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
    found = parts_of(RESULTS, suffix)
    for part in options.parts or PARTS:
        print(f"{part} ...", flush=True)
        if part == "rates":
            device = "cuda" if torch.cuda.is_available() else "cpu"
            found[part] = measured_rates(options.quick, device)
        elif part == "many":
            found[part] = growth.memory_of_many(options.quick)
        else:
            found[part] = growth.measured(part, options.quick)
    picture = PICTURE if not options.quick else RESULTS / "growth_quick.png"
    write(found, suffix, RESULTS, picture)


def parts_of(folder, suffix):
    """What the parts measured before."""
    found = {}
    for name in ("rates", "growth"):
        path = folder / f"scale_{name}{suffix}.json"
        found |= json.loads(path.read_text())["parts"] if path.exists() else {}
    return found


def write(found, suffix, folder, picture):
    """Tables of what was measured, and the picture."""
    tables = []
    grown = {part: found[part] for part in growth.GROWTH if part in found}
    if grown:
        rows = [row for part in grown.values() for row in part]
        grown |= {"many": found["many"]} if "many" in found else {}
        remarks, more = growth_remarks(rows, found.get("many", [])), {"parts": grown}
        tables.append(("growth", "How time and memory grow", rows, remarks, more))
        draw(rows, picture)
    if "rates" in found:
        rates, many = found["rates"], "A million images of 224 pixels"
        more = {"parts": {"rates": rates}}
        tables += [
            ("rates", "Rates of this machine", stages.rate_rows(rates), [], more),
            ("sizes", f"{many}: bytes", stages.sizes(rates), [], None),
            ("stages", f"{many}: time", stages.table(rates), stages.remarks(rates), None),
        ]
    for name, title, rows, remarks, more in tables:
        report(f"scale_{name}{suffix}", title, rows, remarks, folder=folder, more=more)


def growth_remarks(rows, many):
    """How fast each column grows, and what many images take."""
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
            f"Seconds grow as a power of the number of {size}; its exponents between the largest "
            f"three sizes are: {', '.join(slopes)}."
        )
    if many:
        found = ", ".join(f"{row['fit (MiB)']} MiB for {row['images']:,}" for row in many)
        sentences.append(f"A fit on images of {growth.SMALL_SIDE} pixels, one thread: {found}.")
    return [
        *sentences,
        f"KMeansFilterLearner(n_patches={growth.N_PATCHES:,}, stride={growth.STRIDE}, "
        f"max_iter={growth.MAX_ITER}), 2x2 sums; 1,000 images of 32 pixels have only "
        f"{1000 * ((32 - 6) // growth.STRIDE + 1) ** 2:,} patches. uint8 images from zarr, in "
        f"chunks of {growth.CHUNK_BYTES // 2**20} MiB. MiB: the peak memory of the process "
        "during the call, less its memory before the call and that of the features.",
    ]


if __name__ == "__main__":
    main()
