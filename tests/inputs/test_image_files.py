"""The lazy sequence of files: what it finds, how it is cut, what it says."""

import os
import pickle
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline

from pictures import folder_of_photos, mixed_photos, saved, scene
from sklearn_kmfeat import ImageFiles, KMeansFilterLearner
from sklearn_kmfeat._inputs import image_files as module


@pytest.fixture
def folder(tmp_path):
    """12 photographs in two subfolders, and what is no image."""
    folder_of_photos(tmp_path)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._000.png").write_bytes(b"what a Mac leaves there")
    (tmp_path / ".thumbnails").mkdir()
    saved(tmp_path / ".thumbnails" / "a.png", scene())
    return tmp_path


@pytest.fixture
def no_decoding(monkeypatch):
    """Decoding is an error."""

    def refuse(*args):
        raise AssertionError("decoded")

    monkeypatch.setattr(module, "decoded", refuse)


def test_a_folder(folder):
    files = ImageFiles.from_folder(folder)
    names = [os.path.relpath(path, folder) for path in files.paths]
    expected = [f"cats{os.sep}{i:03d}.png" for i in range(6)]
    expected += [f"dogs{os.sep}{i:03d}.png" for i in range(6, 12)]
    assert names == expected
    assert files.labels.tolist() == ["cats"] * 6 + ["dogs"] * 6
    assert files.sizes.tolist() == [[24, 30]] * 12
    assert files.skipped == {}
    np.testing.assert_array_equal(np.asarray(files), folder_of_photos(folder))
    np.testing.assert_array_equal(np.stack(list(files)), np.asarray(files))


def test_sorted_by_parts_and_every_kind_is_found(tmp_path):
    for name in ("b/1.png", "b.png", "a/z/9.JPG", "a/2.jpeg", "a/10.TIFF", "c.webp", "d.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(scene()).save(tmp_path / name)
    files = ImageFiles.from_folder(str(tmp_path))
    names = [Path(path).relative_to(tmp_path).as_posix() for path in files.paths]
    assert names == ["a/10.TIFF", "a/2.jpeg", "a/z/9.JPG", "b/1.png", "b.png", "c.webp", "d.gif"]
    assert files.labels.tolist() == ["a", "a", "a", "b", "", "", ""]
    assert ImageFiles(files.paths).labels[2] == "z"


def test_links_to_folders(folder):
    elsewhere = folder.parent / "elsewhere"
    folder_of_photos(elsewhere, 2)
    (folder / "birds").symlink_to(elsewhere, target_is_directory=True)
    (folder / "cats" / "round").symlink_to(folder, target_is_directory=True)
    files = ImageFiles.from_folder(folder)
    assert len(files) == 14
    assert sorted(set(files.labels)) == ["birds", "cats", "dogs"]


def test_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert len(ImageFiles.from_folder("~/cats")) == 6


def test_folders_without_images(tmp_path):
    with pytest.raises(ValueError, match=r"There is no image file in .* the folders in it\.$"):
        ImageFiles.from_folder(tmp_path)
    for name in ("a.heic", "b.HEIC", "c.txt"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"other endings: 2 of '\.heic', 1 of '\.txt'"):
        ImageFiles.from_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="is no folder"):
        ImageFiles.from_folder(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match="is no folder"):
        ImageFiles.from_folder(tmp_path / "c.txt")


@pytest.mark.parametrize("make", [list, tuple, np.array, pd.Series, pl.Series, iter])
def test_paths(folder, make):
    paths = ImageFiles.from_folder(folder).paths
    assert ImageFiles(make(paths)).paths == paths
    assert ImageFiles([Path(path) for path in paths]).paths == paths
    assert ImageFiles(pd.DataFrame({"file": paths})).paths == paths


def test_cut_without_decoding(folder, no_decoding):
    files = ImageFiles.from_folder(folder, size=7)
    for index, expected in [
        (slice(2, 9, 3), [2, 5, 8]),
        ([3, 1, 1], [3, 1, 1]),
        (np.array([11, 0]), [11, 0]),
        (np.arange(12) > 9, [10, 11]),
        ((np.array([4]), ...), [4]),
        ([], []),
    ]:
        part = files[index]
        assert isinstance(part, ImageFiles)
        assert part.paths == [files.paths[i] for i in expected]
        assert len(part) == len(expected)
        assert part.labels.tolist() == [files.labels[i] for i in expected]
    assert files[2:5].sizes.tolist() == [[6, 7]] * 3
    a, b, y, _ = train_test_split(files, files.labels, random_state=0, stratify=files.labels)
    assert (len(a), len(b)) == (9, 3)
    assert a.labels.tolist() == y.tolist()
    for train, test in KFold(3, shuffle=True, random_state=0).split(files):
        assert (len(files[train]), len(files[test])) == (8, 4)


def test_wrong_cuts(folder):
    files = ImageFiles.from_folder(folder)
    np.testing.assert_array_equal(files[-1], files[11])
    np.testing.assert_array_equal(files[np.int64(3)], files[3])
    with pytest.raises(IndexError, match="There are 12 files, and none at 12"):
        files[12]
    with pytest.raises(IndexError):
        files[[3, 12]]
    with pytest.raises(IndexError, match="along one axis"):
        files[np.array([[0, 1]])]
    with pytest.raises(IndexError):
        files["cats"]


def test_no_files_are_left(folder):
    with pytest.raises(ValueError, match="X holds no image files"):
        KMeansFilterLearner(2).fit(ImageFiles.from_folder(folder)[:0])


def test_headers_are_read_once(folder, monkeypatch):
    files = ImageFiles.from_folder(folder)
    before = files.sizes
    part = files[3:6]
    monkeypatch.setattr(module, "_header", lambda path: 1 / 0)
    np.testing.assert_array_equal(files.sizes, before)
    assert part.sizes.shape == (3, 2)
    assert part[1:].sizes.shape == (2, 2)


def test_parts_are_read_as_the_whole(tmp_path):
    files = ImageFiles.from_folder(mixed_photos(tmp_path, 10, (8, 14)))
    assert files.format == ("RGB", "uint16")
    for part in (files[2:3], pickle.loads(pickle.dumps(files[[2]]))):
        assert part[0].shape[2] == 3
        np.testing.assert_array_equal(part[0], files[2])


def test_pickled_as_paths(folder):
    files = ImageFiles.from_folder(folder, size=(8, 9), mode="L")
    restored = pickle.loads(pickle.dumps(files))
    assert restored.paths == files.paths
    assert restored.labels.tolist() == files.labels.tolist()
    np.testing.assert_array_equal(restored[5], files[5])
    assert len(pickle.dumps(files)) < 60 * len(files) + 100 * sum(map(len, files.paths)) / 12


def test_relative_paths_mean_the_same_later(folder, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(folder)
    files = ImageFiles.from_folder("cats")
    assert files.paths[0] == f"cats{os.sep}000.png"
    expected = np.asarray(files)
    pickled = pickle.dumps(ImageFiles(files.paths))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    for later in (files, files[:], pickle.loads(pickled), pickle.loads(pickled)[:]):
        np.testing.assert_array_equal(np.asarray(later), expected)
        assert later.sizes.shape == (6, 2)


def test_what_was_read_does_not_change_the_hash(folder):
    files = ImageFiles.from_folder(folder)
    before = joblib.hash(files)
    assert len(files.sizes) == 12
    assert joblib.hash(files) == before


def test_other_images_are_told(folder):
    (folder / "cats" / "a.heic").touch()
    (folder / "b.HEIC").touch()
    with pytest.warns(UserWarning, match=r"left out: 2 of '\.heic' in"):
        files = ImageFiles.from_folder(folder)
    assert len(files) == 12


def test_searches(folder):
    files = ImageFiles.from_folder(folder)
    array, y = np.asarray(files), files.labels
    learner = KMeansFilterLearner(4, n_patches=200, max_iter=2, random_state=0)
    model = make_pipeline(learner, RidgeClassifier())
    expected = cross_val_score(model, array, y, cv=3)
    np.testing.assert_array_equal(cross_val_score(model, files, y, cv=3), expected)
    grid = {"kmeansfilterlearner__n_filters": [3, 5]}
    found = [
        GridSearchCV(model, grid, cv=2, n_jobs=n_jobs).fit(X, y).cv_results_["mean_test_score"]
        for X, n_jobs in [(array, None), (files, 2), (files.paths, None)]
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


# What cannot be read


def damaged(folder):
    """One file of each kind of damage; the good ones are what `folder` had before."""
    whole = saved(folder / "cut.jpg", np.kron(scene(30, 40), np.ones((4, 4, 1), np.uint8)))
    whole.write_bytes(whole.read_bytes()[:1500])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("This is no image.")
    header = (folder / "cats" / "000.png").read_bytes()
    (folder / "header.png").write_bytes(header[:60])
    return {"cut.jpg", "empty.png", "text.png", "header.png"}


def test_files_that_cannot_be_read_are_named(folder):
    bad = damaged(folder)
    for name in bad:
        files = ImageFiles([folder / "cats" / "000.png", folder / name])
        with pytest.raises(ValueError, match=rf"{name} cannot be read as an image.*on_error"):
            files[1]
        with pytest.raises(ValueError, match=rf"{name} cannot be read as an image"):
            KMeansFilterLearner(2, n_patches=50).fit(files)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        ImageFiles([folder / "nowhere.png"])[0]
    with pytest.raises(ValueError, match=r"cats is a folder: ImageFiles\.from_folder"):
        ImageFiles([folder / "cats"])[0]


def test_files_that_cannot_be_read_are_left_out(folder):
    bad = damaged(folder)
    with pytest.warns(UserWarning, match=r"4 of 16 files cannot be read and are left out") as log:
        files = ImageFiles.from_folder(folder, on_error="skip")
    assert all(name in str(log[0].message) for name in bad)
    assert len(files) == 12
    assert {Path(path).name for path in files.skipped} == bad
    assert all("cannot be read" in reason for reason in files.skipped.values())
    assert not any("on_error" in reason for reason in files.skipped.values())
    KMeansFilterLearner(2, n_patches=50).fit(files)
    with pytest.raises(ValueError, match="None of the files can be read"):
        ImageFiles([folder / name for name in bad], on_error="skip")


def test_many_files_that_cannot_be_read_are_a_short_message(tmp_path):
    saved(tmp_path / "good.png", scene())
    for i in range(30):
        (tmp_path / f"bad{i:02d}.png").touch()
    with pytest.warns(UserWarning, match="30 of 31 files .*; and 25 more") as log:
        ImageFiles.from_folder(tmp_path, on_error="skip")
    assert len(str(log[0].message)) < 1500


def test_a_file_that_changed(folder):
    files = ImageFiles.from_folder(folder)
    assert len(files.sizes) == 12
    saved(Path(files.paths[4]), scene(5, 5))
    with pytest.raises(ValueError, match=r"004\.png has the size \(5, 5\), and had \(24, 30\)"):
        KMeansFilterLearner(2, n_patches=50).fit(files)


def test_arguments(folder):
    path = str(folder / "cats" / "000.png")
    with pytest.raises(TypeError, match=r"use ImageFiles\(\['.*000\.png'\]\)"):
        ImageFiles(path)
    with pytest.raises(TypeError, match=r"use from_folder\('.*cats'\)"):
        ImageFiles(folder / "cats")
    with pytest.raises(TypeError, match="got int at 1"):
        ImageFiles([path, 3])
    with pytest.raises(ValueError, match="no paths"):
        ImageFiles([])
    for options, message in [
        ({"mode": "grey"}, "mode must be one of 'auto', 'L', 'RGB', got 'grey'"),
        ({"dtype": "float32"}, "dtype must be one of None, 'uint8', 'uint16'"),
        ({"on_error": "warn"}, "on_error must be one of"),
        ({"size": 0}, "size must be None, a positive int"),
        ({"size": (3, 4, 5)}, "size must be"),
        ({"size": 2.5}, "size must be"),
        ({"size": True}, "size must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            ImageFiles([path], **options)


def test_as_an_array(folder, tmp_path):
    files = ImageFiles.from_folder(folder)
    assert np.asarray(files, dtype=float).dtype == float
    assert ImageFiles(files.paths, dtype=np.uint16)[0].dtype == np.uint16
    with pytest.raises(ValueError, match="copy=False is not possible"):
        np.asarray(files, copy=False)
    files = ImageFiles([*files.paths, saved(tmp_path / "z.png", scene(3, 4))])
    with pytest.raises(ValueError, match=r"differ in size .*size=\(height, width\)"):
        np.asarray(files)
    assert np.asarray(files.in_size((5, 6))).shape == (13, 5, 6, 3)


def test_repr(folder):
    files = ImageFiles.from_folder(folder, size=64)
    assert repr(files) == "ImageFiles(12 files, mode='auto', size=64, dtype=None)"
    assert repr(files[:1]).startswith("ImageFiles(1 file,")


def test_a_file_that_needs_another_program_is_not_read(tmp_path):
    """Whatever its name: Pillow would start Ghostscript for the content of this one."""
    path = tmp_path / "image.jpg"
    Image.new("L", (4, 4)).save(path, format="EPS")
    with pytest.raises(ValueError, match="cannot be read as an image"):
        ImageFiles([path]).headers  # noqa: B018
