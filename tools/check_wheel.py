"""Run tools/smoke.py with a wheel and nothing but what it requires.

    python tools/check_wheel.py dist/sklearn_kmfeat-*.whl

The folder of packages that Python then sees holds the wheel and links to its requirements, taken
from the environment that runs this: that shows in seconds whether one is not declared. Installing
them anew would show the same and take minutes, most of them for PyTorch; the workflow on the
project's host does that.
"""

import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

SMOKE = Path(__file__).with_name("smoke.py")


def needed(requires):
    """The installed distributions that are required, and those that they require."""
    waiting, found = [(Requirement(line), ("",)) for line in requires], {}
    while waiting:
        requirement, asked_for = waiting.pop()
        marker = requirement.marker
        key = (requirement.name, *sorted(requirement.extras))
        applies = marker is None or any(marker.evaluate({"extra": each}) for each in asked_for)
        if not applies or key in found:
            continue
        found[key] = distribution(requirement.name)
        extras = ("", *requirement.extras)
        waiting += [(Requirement(line), extras) for line in found[key].requires or []]
    return found.values()


def link(package, site):
    """Links to all that a distribution has at the top of its folder of packages."""
    for file in package.files:
        top = file.parts[0]
        target = site / top
        if top not in ("..", "__pycache__") and not target.exists():
            target.symlink_to(Path(package.locate_file(top)).resolve())


def main():
    """Read the command line."""
    (wheel,) = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
        (info,) = site.glob("*.dist-info")
        for package in needed(Distribution.at(info).requires):
            link(package, site)
        run = f"import sys, runpy; sys.path.append({folder!r}); "
        run += f"runpy.run_path({str(SMOKE)!r}, run_name='__main__')"
        # Neither the variables of the environment nor its own folder of packages count.
        subprocess.run([sys.executable, "-I", "-S", "-B", "-c", run], cwd=folder, check=True)


if __name__ == "__main__":
    main()
