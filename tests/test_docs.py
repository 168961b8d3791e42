"""Pages and pictures: what they name is there, and has a script."""

import doctest
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PICTURES = sorted(path for path in (DOCS / "images").iterdir())
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


def script_of(picture):
    """`docs/pictures/NAME.py` draws NAME, benchmarks some others; with what the script says."""
    if picture.stem.startswith("bench_"):
        chart = picture.stem.removeprefix("bench_")
        return ROOT / "benchmarks" / "charts.py", f'    "{chart}": (\n        draw_{chart},'
    if picture.name == "growth.png":
        return ROOT / "benchmarks" / "scale.py", f'/ "{picture.name}"'
    return DOCS / "pictures" / f"{picture.stem}.py", f"pictures/{picture.stem}.py"


def code_of(page):
    """What a page marks as Python."""
    text = page_text(page)
    for block in re.findall(r"code-block:: python\n\n((?:[ ]{3}.*\n|\n)+)", text):
        yield re.sub("^   ", "", block, flags=re.M)
    if page.suffix == ".md":
        yield from re.findall(r"^```(?:python|\{code-block\} python)\n(.*?)^```", text, re.M | re.S)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_has_a_script_and_a_page(picture):
    script, words = script_of(picture)
    assert words in page_text(script)
    settings = page_text(DOCS / "conf.py")
    assert any(picture.name in text for text in [settings, *map(page_text, PAGES)])


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_code_of_a_page_compiles(page):
    """Doctests are run; what cannot run here is at least Python."""
    for code in code_of(page):
        plain = doctest.script_from_examples(code) if ">>> " in code else code
        compile(plain, page.name, "exec")


def test_code_is_found_on_pages_of_both_kinds():
    assert {page.suffix for page in PAGES if list(code_of(page))} == {".md", ".rst"}


def drawing(name):
    """The script docs/pictures/NAME.py as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "pictures" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_decision_picture_is_what_its_script_draws():
    assert drawing("choosing").picture() == page_text(DOCS / "images" / "choosing.svg")


def test_curve_of_few_labels_can_be_drawn(tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    drawing("few_labels").draw(tmp_path / "few_labels.png")
    pyplot.close("all")
    assert (tmp_path / "few_labels.png").stat().st_size > 10_000


def test_logo_can_be_drawn():
    logo = drawing("logo")
    picture = logo.mosaic(logo.filters())
    assert picture.width == picture.height == 3 * logo.TILE + 2 * logo.GAP
    assert picture.getextrema()[3] == (0, 255)


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
