"""Charts, sentences and tables of the benchmarks are those of the stored results."""

import importlib
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture(scope="module")
def modules():
    """The scripts charts, tables and _tables."""
    before = set(sys.modules)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield {name: importlib.import_module(name) for name in ("charts", "tables", "_tables")}
    sys.path.remove(str(ROOT / "benchmarks"))
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).parent == ROOT / "benchmarks":
            del sys.modules[name]


def test_all_charts_are_drawn_from_the_stored_results(modules, tmp_path):
    charts = modules["charts"]
    charts.draw_all(charts.read(RESULTS), tmp_path)
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert drawn == sorted(f"bench_{name}.png" for name in charts.CHARTS)
    assert all(10_000 < path.stat().st_size < 150_000 for path in tmp_path.iterdir())
    assert all((ROOT / "docs" / "images" / name).exists() for name in drawn)


def test_sentences_are_those_of_the_stored_results(modules):
    charts = modules["charts"]
    text = (RESULTS / "headlines.md").read_text(encoding="utf-8")
    assert text == charts.headlines(charts.read(RESULTS))
    assert all(f"/images/bench_{name}.png" in text for name in charts.CHARTS)


def test_what_the_sentence_on_accuracy_claims(modules):
    charts = modules["charts"]
    *recipes, best = charts.accuracies(charts.read(RESULTS))
    assert best[1] == charts.BEST
    assert all(ours > published - 0.005 for _, _, ours, published in recipes)


def test_a_row_of_a_table_is_one(modules):
    results = modules["charts"].read(RESULTS)
    assert results.row("clusters", set="letters")["classes"] == 10
    with pytest.raises(ValueError, match="not one"):
        results.row("speed", work="k-means")


def test_tables_are_those_of_the_stored_results(modules):
    tables = modules["tables"]
    assert tables.stale() == []
    for name, content in modules["charts"].read(RESULTS).items():
        assert tables.refreshed(name, content) == content


def test_tables_have_no_internal_goals():
    for path in RESULTS.glob("*.md"):
        assert "| to reach" not in path.read_text(encoding="utf-8").lower(), path.name


def test_every_section_of_speed_is_on_the_page(modules):
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    sections = re.findall("^## .*", (RESULTS / "speed.md").read_text(encoding="utf-8"), re.M)
    assert re.findall('start-after: "(.*)"', page) == sections
    assert re.findall('end-before: "(.*)"', page) == sections[1:]


def test_folds_have_the_titles_of_their_tables(modules):
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    results = modules["charts"].read(RESULTS)
    folds = re.findall(r"\{dropdown\} (.*)\n```\{include\} \S*/(\w+)\.md\n:start-line", page)
    assert folds
    assert [title for title, _ in folds] == [results[name]["title"] for _, name in folds]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.002269, "2.27 ms"), (0.9996, "1 s"), (11.03, "11 s"), (119, "119 s"), (1634, "27.2 min")],
)
def test_times_of_the_tables(modules, seconds, words):
    assert modules["_tables"].duration(seconds) == words
