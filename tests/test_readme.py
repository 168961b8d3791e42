"""The examples of README and front page run as they stand."""

import re
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from pictures import mixed_photos

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
FRONT_PAGE = ROOT / "docs" / "index.rst"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.S)


def run(block):
    names = {}
    exec(compile(block, str(README), "exec"), names)
    return names


def replaced(block, changes):
    """With settings that take less time."""
    for said, now in changes.items():
        assert said in block
        block = block.replace(said, now)
    return block


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of 40 photographs, and a file that is none."""
    monkeypatch.chdir(tmp_path)
    mixed_photos(tmp_path / "photos", 40)
    (tmp_path / "photos" / "cut off.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    return tmp_path


def test_the_examples_are_here():
    assert len(BLOCKS) == 3


def test_the_front_page_has_the_same_code():
    """But for the features of labelled images."""
    page = FRONT_PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", page)
    found = [textwrap.dedent(block).strip() for block in blocks]
    assert found == [BLOCKS[0].strip(), BLOCKS[2].strip()]


def test_photographs_to_clusters(photos, capsys):
    block = replaced(BLOCKS[0], {"size=64": "size=24", "(6, ": "(6, n_runs=1, "})
    with pytest.warns(UserWarning, match="1 of 41 files cannot be read"):
        run(block)
    plt.close("all")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 40
    assert {line.split()[0] for line in lines} == set("012345")
    assert (photos / "clusters.png").stat().st_size > 10_000


def test_features_for_a_classifier(capsys):
    run(BLOCKS[1])
    accuracy = float(capsys.readouterr().out)
    assert 0.3 < accuracy < 1.0


def test_a_pretrained_network(photos):
    """With weights that are on no server, on small images."""
    smaller = {'weights="DEFAULT"': "weights=None", "input_size=224": "input_size=32"}
    block = replaced(BLOCKS[2], smaller)
    with pytest.warns(UserWarning, match="1 of 41 files cannot be read"):
        names = run(block)
    assert names["clusters"].shape == (40,)
    assert names["embeddings"].shape == (40, 512)
