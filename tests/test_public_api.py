"""What the package shows: complete, sorted, importable and in the API page."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import sklearn_kmfeat

PUBLIC_MODULES = [
    "sklearn_kmfeat",
    "sklearn_kmfeat.dask",
    "sklearn_kmfeat.datasets",
    "sklearn_kmfeat.displays",
    "sklearn_kmfeat.metrics",
]
API_PAGE = Path(__file__).parents[1] / "docs" / "api.rst"


def public_objects(module_name):
    """Name to object: the classes and functions in a module's `__all__`."""
    module = importlib.import_module(module_name)
    objects = {name: getattr(module, name) for name in module.__all__}
    return {k: v for k, v in objects.items() if inspect.isclass(v) or inspect.isfunction(v)}


def estimators():
    """Name to class: every public estimator that a module of the package defines."""
    infos = pkgutil.walk_packages(sklearn_kmfeat.__path__, "sklearn_kmfeat.")
    return {
        name: obj
        for module in [importlib.import_module(info.name) for info in infos]
        for name, obj in inspect.getmembers(module, inspect.isclass)
        if obj.__module__ == module.__name__ and issubclass(obj, BaseEstimator)
        if not name.startswith("_") and not is_abstract(obj)
    }


def is_abstract(cls):
    """Whether a method is left to subclasses."""
    return any(getattr(value, "__isabstractmethod__", False) for value in vars(cls).values())


@pytest.mark.parametrize("module_name", PUBLIC_MODULES)
def test_all_is_sorted_and_importable(module_name):
    module = importlib.import_module(module_name)
    assert list(module.__all__) == sorted(set(module.__all__))
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_completion_shows_public_names_only():
    modules = {name.rpartition(".")[2] for name in PUBLIC_MODULES[1:]}
    shown = {name for name in dir(sklearn_kmfeat) if not name.startswith("_")}
    assert shown - modules == set(sklearn_kmfeat.__all__)
    shown = {name for name in dir(sklearn_kmfeat.displays) if not name.startswith("_")}
    assert shown == set(sklearn_kmfeat.displays.__all__)


def test_other_modules_are_private():
    infos = pkgutil.walk_packages(sklearn_kmfeat.__path__, "sklearn_kmfeat.")
    public = {info.name for info in infos if "._" not in info.name}
    assert public == set(PUBLIC_MODULES[1:])


def test_types_are_announced():
    assert (Path(sklearn_kmfeat.__file__).parent / "py.typed").is_file()


def test_every_estimator_is_exported():
    found = estimators()
    assert len(found) >= 6
    assert set(found) - set(sklearn_kmfeat.__all__) == set()
    assert all(getattr(sklearn_kmfeat, name) is cls for name, cls in found.items())


@pytest.mark.parametrize("module_name", PUBLIC_MODULES)
def test_every_public_object_is_in_the_api_page(module_name):
    words = set(re.findall(r"\w+", API_PAGE.read_text(encoding="utf-8")))
    assert public_objects(module_name).keys() - words == set()


def test_version_is_said():
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?(dev|rc)\d+)?", sklearn_kmfeat.__version__)
