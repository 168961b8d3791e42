"""The lowest versions that pyproject.toml declares, one `name==version` a line.

    python tools/minimum_versions.py [EXTRA ...] > minimum.txt
    pip install -c minimum.txt -e '.[EXTRA ...]'

They are those of the dependencies and of the extras, and of the extras that these take in.
`make test-minimum` runs the tests with exactly them. Needs nothing but Python.
"""

import argparse
import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
# name[extra,extra]>=version, or ~=; the project's own extras stand without a version
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[(?P<extras>[\w,]+)\])?([>~]=(?P<version>[\d.]+))?")


def requirements(project, extras):
    """(name, lowest version) of the dependencies, the extras and what these take in."""
    lines, waiting, seen = list(project["dependencies"]), list(extras), set()
    found = set()
    while lines or waiting:
        if not lines:
            extra = waiting.pop()
            if extra not in seen:
                seen.add(extra)
                lines += project["optional-dependencies"][extra]
            continue
        line = lines.pop()
        parts = REQUIREMENT.fullmatch(line)
        if parts and parts["name"] == project["name"]:
            waiting += parts["extras"].split(",")
        elif parts and parts["version"]:
            found.add((parts["name"], parts["version"]))
        else:
            raise ValueError(f"{line!r} in {PYPROJECT.name} should be name>=version.")
    return sorted(found)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("extras", nargs="*", metavar="EXTRA")
    extras = parser.parse_args().extras
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    for name, version in requirements(project, extras):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
