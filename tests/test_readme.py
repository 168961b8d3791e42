"""The README's examples run as they stand."""

import csv
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from pictures import mixed_photos

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.S)


def run(block):
    exec(compile(block, str(README), "exec"), {})


def test_the_examples_are_here():
    assert len(BLOCKS) == 3


def test_an_example(capsys):
    run(BLOCKS[0])
    accuracy = float(capsys.readouterr().out)
    assert 0.3 < accuracy < 1.0


def test_a_folder_of_photographs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mixed_photos(tmp_path / "photos", 60)
    (tmp_path / "photos" / "cut off.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.warns(UserWarning, match="1 of 61 files cannot be read"):
        run(BLOCKS[1])
    plt.close("all")
    rows = list(csv.reader((tmp_path / "clusters.csv").read_text().splitlines()))
    assert rows[0] == ["file", "cluster"]
    assert len(rows) == 61
    assert {int(cluster) for _, cluster in rows[1:]} == set(range(10))
    assert (tmp_path / "clusters.png").stat().st_size > 10_000


def test_clusters_in_one_line(capsys):
    run(BLOCKS[2])
    assert len(capsys.readouterr().out.split("[")) == 3
