"""Names of other projects: where their pages are, from the small lists in docs/inventories.

The lists are text, so that a change can be read; Sphinx gets them as `objects.inv` files. Nothing
is loaded from the network: tools/make_inventories.py, which writes the lists, may do that.
"""

import zlib
from pathlib import Path

from numpydoc.xref import DEFAULT_LINKS

# Types in the lists of parameters that are links. What everybody knows is none.
TYPES = {name: name for name in DEFAULT_LINKS} | {
    "ndarray": "numpy.ndarray",
    "RandomState": "numpy.random.RandomState",
    "Axes": "matplotlib.axes.Axes",
    "Figure": "matplotlib.figure.Figure",
    "AxesImage": "matplotlib.image.AxesImage",
    "Dataset": "torch.utils.data.Dataset",
    "torch.device": "torch.device",
    "torch.nn.Module": "torch.nn.Module",
    "nn.Module": "torch.nn.Module",
    "torch.optim.SGD": "torch.optim.SGD",
    "Bunch": "sklearn.utils.Bunch",
}


def mapping(folder: Path, built: Path) -> dict:
    """The setting `intersphinx_mapping`; writes the files that it names to the folder `built`."""
    found = {}
    built.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*.txt")):
        lines = path.read_text(encoding="utf-8").splitlines()
        address = lines[0].removeprefix("# ")
        entries = [line for line in lines if line and not line.startswith("#")]
        inventory = built / f"{path.stem}.inv"
        inventory.write_bytes(objects_inv(path.stem, entries))
        found[path.stem] = (address, str(inventory))
    return found


def names(folder: Path) -> set[str]:
    """All names in the lists."""
    lines = "\n".join(
        path.read_text(encoding="utf-8") for path in folder.glob("*.txt")
    ).splitlines()
    return {line.split(" ", 1)[0] for line in lines if line and not line.startswith("#")}


def objects_inv(name: str, entries: list[str]) -> bytes:
    """Entries `NAME DOMAIN:KIND PRIORITY ADDRESS TITLE`, in the form that Sphinx reads."""
    head = (
        "# Sphinx inventory version 2\n"
        f"# Project: {name}\n"
        "# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    return head.encode() + zlib.compress("".join(f"{entry}\n" for entry in entries).encode())
