"""What a release says of itself in several places is the same in all of them."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

import sklearn_kmfeat

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
SOURCE = "https://github.com/sklearn-kmfeat/sklearn-kmfeat"
PAGES = "https://sklearn-kmfeat.github.io/sklearn-kmfeat/"


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def minimum_versions():
    path = ROOT / "tools" / "minimum_versions.py"
    spec = importlib.util.spec_from_file_location("minimum_versions", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_version_and_one_date():
    version, date = re.search(r"^## (\S+) \((\S+)\)$", text("CHANGELOG.md"), re.M).groups()
    assert version == sklearn_kmfeat.__version__
    citation = text("CITATION.cff")
    assert f"\nversion: {version}\n" in citation
    assert f"\ndate-released: {date}\n" in citation
    minor = version.rpartition(".")[0]
    assert f"| {minor} | yes |" in text("SECURITY.md")


def test_one_address():
    assert all(url.startswith((SOURCE, PAGES)) for url in PROJECT["urls"].values())
    citation = text("CITATION.cff")
    assert f'repository-code: "{SOURCE}"' in citation
    assert f'url: "{PAGES}"' in citation


def test_python_versions():
    named = {
        each.rpartition(" ")[2] for each in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", each)
    }
    workflow = re.search(r"python: \[(.*)\]", text(".github/workflows/ci.yml"))[1]
    assert set(re.findall(r"3\.\d+", workflow)) == named
    lowest = min(named, key=lambda each: int(each[2:]))
    assert PROJECT["requires-python"] == f">={lowest}"


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_extra_declares_lowest_versions(extra):
    found = dict(minimum_versions().requirements(PROJECT, [extra]))
    own = [re.match(r"[\w.-]+", line)[0] for line in EXTRAS[extra]]
    assert found.keys() >= {"numpy", "torch", *own} - {PROJECT["name"]}
    assert PROJECT["name"] not in found
    # the same package has one lowest version, whichever extra names it
    assert len(found) == len(minimum_versions().requirements(PROJECT, [extra]))


def test_a_requirement_without_lowest_version_is_refused():
    project = {"name": "x", "dependencies": ["numpy<3"], "optional-dependencies": {}}
    with pytest.raises(ValueError, match="should be name>=version"):
        minimum_versions().requirements(project, [])
