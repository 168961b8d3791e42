"""Writes all tables of `results/` again from their JSON, without measuring anything.

    python benchmarks/tables.py

After a change of a title, of remarks (in the module of a table) or of columns (`_tables.py`). The
charts follow with `python benchmarks/charts.py`.
"""

import importlib
import json

from _report import RESULTS, store
from _tables import markdown
from accuracy import TABLES


def main():
    """Write every table, the JSON with the remarks of today."""
    for path in sorted(RESULTS.glob("*.json")):
        if "_quick" not in path.name:
            content = json.loads(path.read_text(encoding="utf-8"))
            store(path.stem, refreshed(path.stem, content))
            print(path.stem)


def refreshed(name, content):
    """A stored table with the title and the remarks that its module gives its rows."""
    if name not in TABLES:
        return content
    module = importlib.import_module(f"_{name}")
    remarks = module.remarks(content["rows"]) if hasattr(module, "remarks") else []
    measured = [line for line in content["remarks"] if line.startswith("Measured on ")]
    # Notes were written by hand, on the run that is stored.
    remarks = [*remarks, *content.get("notes", []), measured[-1]]
    return content | {"title": module.TITLE, "remarks": remarks}


def stale(folder=RESULTS):
    """Names of tables whose Markdown is not that of their JSON."""
    paths = [path for path in sorted(folder.glob("*.json")) if "_quick" not in path.name]
    return [
        path.stem
        for path in paths
        if path.with_suffix(".md").read_text(encoding="utf-8")
        != markdown(path.stem, json.loads(path.read_text(encoding="utf-8")))
    ]


if __name__ == "__main__":
    main()
