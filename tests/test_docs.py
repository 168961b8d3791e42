"""Pages and pictures: what they name is there, and has a script."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PICTURES = sorted(path for path in (DOCS / "images").iterdir())
#: `docs/pictures/NAME.py` draws NAME; these come from the benchmarks.
CHARTS = {"bench_": "charts.py", "growth": "scale.py"}
PAGES = [
    *sorted(DOCS.glob("*.rst")),
    *sorted(DOCS.glob("*.md")),
    *sorted((DOCS / "guide").iterdir()),
    ROOT / "README.md",
    ROOT / "benchmarks" / "results" / "headlines.md",  # part of docs/benchmarks.md
]
REPOSITORY = "https://github.com/sklearn-kmfeat/sklearn-kmfeat/blob/main/"
RAW = "https://raw.githubusercontent.com/sklearn-kmfeat/sklearn-kmfeat/main/"
SITE = "https://sklearn-kmfeat.github.io/sklearn-kmfeat/"


def page_text(path):
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_has_a_script_and_a_page(picture):
    of_benchmarks = [script for name, script in CHARTS.items() if picture.stem.startswith(name)]
    own = DOCS / "pictures" / f"{picture.stem}.py"
    assert of_benchmarks or f"pictures/{own.name}" in page_text(own)
    settings = page_text(DOCS / "conf.py")
    assert any(picture.name in text for text in [settings, *map(page_text, PAGES)])


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_code_of_a_page_compiles(page):
    """Doctests are run; what cannot run here is at least Python."""
    text = page_text(page)
    for block in re.findall(r"code-block:: python\n\n((?:[ ]{3}.*\n|\n)+)", text):
        compile(re.sub("^   ", "", block, flags=re.M), page.name, "exec")


def test_readme_stands_alone():
    """In a package index it has no neighbours: links and pictures are absolute, and exist here."""
    links = re.findall(r"\]\((.*?)\)", page_text(ROOT / "README.md"))
    assert len(links) > 10
    for link in links:
        assert link.startswith(("https://", "http://"))
        for start in (REPOSITORY, RAW):
            if link.startswith(start):
                assert (ROOT / link.removeprefix(start)).is_file(), link
        if link.startswith(SITE):
            page = link.removeprefix(SITE).removesuffix(".html")
            if not page.startswith("auto_examples"):
                found = [DOCS / f"{page}{suffix}" for suffix in (".rst", ".md")]
                assert any(path.is_file() for path in found), link
