"""Writes docs/inventories: where the names of other projects that these pages use are explained.

    python tools/make_inventories.py                              # the projects' own lists
    python tools/make_inventories.py --file torch=objects.inv     # one that is already here

Names are those of the lists as they are and the dotted ones in the docs and in docstrings. A name
to link by its last part, `StandardScaler`, has to be in a list: add a line with its full name, and
run this. A line is NAME DOMAIN:KIND PRIORITY ADDRESS TITLE, as in a Sphinx inventory; the first one
is the address of the project. Names that a project does not list keep their line; lines of names
that are no longer used go by hand.
"""

import argparse
import io
import re
import urllib.request
from pathlib import Path

from sphinx.util.inventory import InventoryFile

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "inventories"
#: The first part of the names of a project, where it is not that of its list.
PACKAGES = {"scikit-learn": "sklearn"}


def used_text():
    """The pages, the docstrings without examples, and the text of the gallery."""
    pages = [*ROOT.glob("docs/*.[rm][sd]*"), *ROOT.glob("docs/guide/*"), *ROOT.glob("README.md")]
    for path in pages:
        yield path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("sklearn_kmfeat/**/*.py"), *ROOT.glob("examples/*.py")]:
        code = path.read_text(encoding="utf-8")
        for docstring in re.findall(r'"""(.*?)"""', code, re.S):
            yield re.sub(r"^\s*(>>>|\.\.\.).*$", "", docstring, flags=re.M)
        yield from re.findall(r"^# (.*)$", code, re.M)


def updated(lines, content, package, text):
    """The lines of a list from a project's own inventory, which is bytes."""
    inventory = InventoryFile.load(io.BytesIO(content), "", lambda base, address: address)
    old = {tuple(line.split(" ", 2)[:2]): line for line in lines}
    used = set(re.findall(rf"(?<![\w./]){package}(?:\.[A-Za-z]\w*)+", text))
    used |= {name for name, _ in old}
    for kind, by_name in getattr(inventory, "data", inventory).items():
        for name in used & by_name.keys():
            of_python = kind.startswith("py:") and kind != "py:module"
            if of_python or (name, kind) in old:
                item, priority = by_name[name], 1 if of_python else -1
                for other in [key for key in old if key[0] == name and of_python]:
                    del old[other]  # a line by hand may be of another kind
                old[name, kind] = f"{name} {kind} {priority} {item.uri} {item.display_name}"
    return sorted(old.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", metavar="PROJECT=PATH", help="only this one, without a network")
    options = parser.parse_args()
    only, _, file = (options.file or "").partition("=")
    text = "\n".join(used_text())
    for path in sorted(FOLDER.glob(f"{only or '*'}.txt")):
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        if file:
            content = Path(file).read_bytes()
        else:
            with urllib.request.urlopen(f"{head.removeprefix('# ')}objects.inv", timeout=60) as web:
                content = web.read()
        lines = updated(lines, content, PACKAGES.get(path.stem, path.stem), text)
        path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
        print(f"{path.stem}: {len(lines)} names")


if __name__ == "__main__":
    main()
