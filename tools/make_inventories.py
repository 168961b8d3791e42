"""Writes docs/inventories: where the names of other projects that these pages use are explained.

    python tools/make_inventories.py              # from the projects' own lists; needs the network
    python tools/make_inventories.py --guess      # from the form that their addresses have
    python tools/make_inventories.py --file scikit-learn=objects.inv

Names are collected from the docs, the examples and the docstrings. A line of the lists is
NAME DOMAIN:KIND PRIORITY ADDRESS TITLE, as in a Sphinx inventory.
"""

import argparse
import inspect
import io
import pydoc
import re
import urllib.request
from pathlib import Path
from typing import NamedTuple

from sphinx.util.inventory import InventoryFile

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "inventories"


class Project(NamedTuple):
    address: str
    packages: tuple[str, ...]  # the first part of their names
    page: str  # of a class or a function: {name}, and {module}, which is what comes before it
    others: dict[str, str] = {}  # by the beginning of the name, where that form does not hold
    more: tuple[str, ...] = ()  # whole lines: labels and terms of docstrings that are inherited


_SKLEARN_LINES = (
    "df_output_transform std:label -1 modules/df_output_transform.html pandas and polars output",
    "meta-estimator std:term -1 glossary.html#term-meta-estimator -",
    "metadata_routing std:label -1 metadata_routing.html Metadata Routing",
    "sphx_glr_auto_examples_miscellaneous_plot_set_output.py std:label -1 "
    "auto_examples/miscellaneous/plot_set_output.html Introducing the set_output API",
)

PROJECTS = {
    "dask": Project(
        "https://docs.dask.org/en/stable/",
        ("dask",),
        "generated/{name}.html#{name}",
    ),
    "joblib": Project(
        "https://joblib.readthedocs.io/en/stable/",
        ("joblib",),
        "generated/{name}.html#{name}",
    ),
    "matplotlib": Project(
        "https://matplotlib.org/stable/",
        ("matplotlib",),
        "api/_as_gen/{name}.html#{name}",
        {
            "matplotlib.colors.": "api/_as_gen/{name}.html#{name}",
            "matplotlib.figure.": "api/_as_gen/{name}.html#{name}",
            "matplotlib.image.": "api/image_api.html#{name}",
        },
    ),
    "numpy": Project(
        "https://numpy.org/doc/stable/",
        ("numpy",),
        "reference/generated/{name}.html#{name}",
        {"numpy.random.RandomState": "reference/random/legacy.html#{name}"},
    ),
    "python": Project(
        "https://docs.python.org/3/",
        ("collections", "pathlib", "pickle"),
        "library/{module}.html#{name}",
    ),
    "scikit-learn": Project(
        "https://scikit-learn.org/stable/",
        ("sklearn",),
        "modules/generated/{name}.html#{name}",
        more=_SKLEARN_LINES,
    ),
    "scipy": Project(
        "https://docs.scipy.org/doc/scipy/",
        ("scipy",),
        "reference/generated/{name}.html#{name}",
    ),
    "skorch": Project(
        "https://skorch.readthedocs.io/en/stable/",
        ("skorch",),
        "{module}.html#{name}",
        {
            "skorch.NeuralNet": "net.html#skorch.net.NeuralNet",
            "skorch.callbacks.": "callbacks.html#{name}",
            "skorch.helper.": "helper.html#{name}",
        },
    ),
    "torch": Project(
        "https://docs.pytorch.org/docs/stable/",
        ("torch",),
        "generated/{name}.html#{name}",
        {
            "torch.Size": "size.html#{name}",
            "torch.Tensor": "tensors.html#{name}",
            "torch.device": "tensor_attributes.html#{name}",
            "torch.distributed.": "distributed.html#{name}",
            "torch.dtype": "tensor_attributes.html#{name}",
            "torch.export.": "export.html#{name}",
            "torch.onnx.": "onnx.html#{name}",
            "torch.utils.data.": "data.html#{name}",
        },
    ),
    "torchvision": Project(
        "https://docs.pytorch.org/vision/stable/",
        ("torchvision",),
        "generated/{name}.html#{name}",
        {"torchvision.models.": "models/generated/{name}.html#{name}"},
    ),
}

# Types that docs/extensions/outside.py links, and what inherited docstrings name.
ALWAYS = {
    "matplotlib.axes.Axes",
    "matplotlib.figure.Figure",
    "matplotlib.image.AxesImage",
    "numpy.memmap",
    "numpy.ndarray",
    "numpy.random.RandomState",
    "sklearn.pipeline.Pipeline",
    "sklearn.set_config",
    "sklearn.utils.Bunch",
    "sklearn.utils.metadata_routing.MetadataRequest",
    "torch.device",
    "torch.nn.Module",
    "torch.utils.data.Dataset",
}


def used_names():
    """Every dotted name of these projects in the docs, the examples and the docstrings."""
    packages = "|".join(package for each in PROJECTS.values() for package in each.packages)
    pattern = re.compile(rf"(?<![\w./])(?:{packages})(?:\.[A-Za-z]\w*)+")
    found = set(ALWAYS)
    for folder, ends in [
        ("docs", (".rst", ".md")),
        ("examples", (".py",)),
        ("sklearn_kmfeat", (".py",)),
    ]:
        for path in (ROOT / folder).rglob("*"):
            inside = path.relative_to(ROOT).parts
            if path.suffix not in ends or {"_build", "auto_examples", "generated"} & set(inside):
                continue
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".py":  # what the code itself calls needs no page
                text = "\n".join(_texts(text))
            found.update(pattern.findall(text))
    return found


def _texts(code):
    """Docstrings without their examples, and the comments that are text of a gallery page."""
    for docstring in re.findall(r'"""(.*?)"""', code, re.S):
        yield re.sub(r"^\s*(>>>|\.\.\.).*$", "", docstring, flags=re.M)
    yield from re.findall(r"^# (.*)$", code, re.M)


def kind_of(name):
    """`py:class` and the like, of what can be imported; None for modules and for nothing."""
    value = pydoc.locate(name)
    if inspect.isclass(value):
        return "py:class"
    of_class = inspect.isclass(pydoc.locate(name.rpartition(".")[0]))
    return ("py:method" if of_class else "py:function") if callable(value) else None


def guessed(project, name):
    """A line from the form of the project's addresses, or None."""
    kind = kind_of(name)
    if kind is None or any(part.startswith("_") for part in name.split(".")):
        return None
    owner = name.rpartition(".")[0]
    beginnings = [each for each in project.others if name.startswith(each)]
    form = project.others[max(beginnings, key=len)] if beginnings else project.page
    page, _, anchor = form.partition("#")
    shown = owner if kind == "py:method" else name
    address = page.format(name=shown, module=shown.rpartition(".")[0])
    return f"{name} {kind} 1 {address}#{anchor.format(name=name)} -"


def read_inventory(content, project, names):
    """The lines of a full inventory for `names` and for the labels in `project.more`."""
    inventory = InventoryFile.load(io.BytesIO(content), "", lambda base, address: address)
    entries = getattr(inventory, "data", inventory)
    lines = []
    for kind, by_name in entries.items():
        for name in sorted(by_name.keys() & names):
            if kind.startswith("py:") and kind != "py:module":
                lines.append(f"{name} {kind} 1 {by_name[name].uri} {by_name[name].display_name}")
    labels = {tuple(line.split(" ", 2)[:2]): line for line in project.more}
    for (name, kind), line in labels.items():
        item = entries.get(kind, {}).get(name)
        lines.append(f"{name} {kind} -1 {item.uri} {item.display_name}" if item else line)
    return lines


def download(address):
    with urllib.request.urlopen(f"{address}objects.inv", timeout=60) as answer:
        return answer.read()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guess", action="store_true", help="load nothing")
    parser.add_argument(
        "--file", action="append", default=[], metavar="PROJECT=PATH", help="a list that is here"
    )
    options = parser.parse_args()
    files = dict(each.split("=", 1) for each in options.file)
    FOLDER.mkdir(parents=True, exist_ok=True)
    all_names = used_names()
    for key, project in PROJECTS.items():
        names = {name for name in all_names if name.split(".")[0] in project.packages}
        lines = list(project.more)
        if key in files:
            lines = read_inventory(Path(files[key]).read_bytes(), project, names)
        elif not options.guess:
            lines = read_inventory(download(project.address), project, names)
        known = {line.split(" ")[0] for line in lines}
        lines += filter(None, (guessed(project, name) for name in sorted(names - known)))
        path = FOLDER / f"{key}.txt"
        if lines:
            path.write_text("\n".join([f"# {project.address}", *sorted(lines)]) + "\n")
        else:
            path.unlink(missing_ok=True)
        print(f"{key}: {len(lines)} names, {len(lines) - len(known)} of them guessed")


if __name__ == "__main__":
    main()
