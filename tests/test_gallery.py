"""The pages of the gallery: titles, code that fits a narrow column, and the stored run."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
PAGES = sorted(EXAMPLES.glob("plot_*.py"))
WIDEST_CODE, WIDEST_FIGURE = 72, 7


def code_lines(source):
    """The lines of a page that are shown as code."""
    after = source[source.index('"""', 3) + 3 :]
    return [line for line in after.splitlines() if not line.startswith("#")]


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def page(request):
    return request.param.read_text(encoding="utf-8")


def test_title_and_summary(page):
    """A title of one line, and some sentences below it that stand beside the thumbnail."""
    title, underline, blank, first, *_ = ast.get_docstring(ast.parse(page)).splitlines()
    assert 15 <= len(title) <= 60
    assert underline == "=" * len(title)
    assert blank == ""
    assert len(first) > 40


def test_code_fits_its_column(page):
    assert [line for line in code_lines(page) if len(line) > WIDEST_CODE] == []


def test_figures_can_be_read_on_a_phone(page):
    widths = re.findall(r"figsize=\(([\d.]+),", page)
    assert [width for width in widths if float(width) > WIDEST_FIGURE] == []


def test_every_page_is_in_the_header():
    header = (EXAMPLES / "GALLERY_HEADER.rst").read_text(encoding="utf-8")
    named = re.findall(r"sphx_glr_auto_examples_(plot_\w+)\.py", header)
    assert sorted(named) == [path.stem for path in PAGES]  # each once


def test_settings_of_the_stored_run():
    """The page of cats and dogs shows the settings that its file was made with."""
    page = (EXAMPLES / "plot_deepcluster_cats_and_dogs.py").read_text(encoding="utf-8")
    [shown] = [
        ast.literal_eval(node.value)
        for node in ast.parse(page).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "settings"
    ]
    with np.load(EXAMPLES / "data" / "cats_and_dogs.npz") as run:
        stored = json.loads(str(run["settings"]))
        assert len(run["is_dog"]) == len(run["clusters_2"]) == 10_000
    assert json.loads(json.dumps(shown)) == stored
