"""The rooms of the package, and the arrows between them, as CONTRIBUTING.md draws them."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sklearn_kmfeat"
CONTRIBUTING = PACKAGE.parent / "CONTRIBUTING.md"

#: What a room may import, besides itself.
ARROWS = {
    "_utils": set(),
    "_core": {"_utils"},
    "_inputs": {"_core", "_utils"},
    "metrics": {"_utils"},
    "datasets": set(),
    "_dictionary": {"_inputs", "_core", "_utils"},
    "_deep_cluster": {"_inputs", "_core", "_utils", "metrics"},
    "_cluster_classifier": {"metrics", "_utils"},
    "_neighbor_averager": {"_utils"},
    "_consensus": {
        "_cluster_classifier",
        "_core",
        "_dictionary",
        "_inputs",
        "_neighbor_averager",
        "_utils",
    },
    "_to_torch": {"_dictionary", "_deep_cluster", "_cluster_classifier", "_core", "_utils"},
    "displays": {"_cluster_classifier", "metrics", "_inputs", "_utils"},
    "dask": {"_dictionary", "_deep_cluster", "_inputs", "_core", "_utils"},
    "": {
        "_cluster_classifier",
        "_consensus",
        "_deep_cluster",
        "_dictionary",
        "_inputs",
        "_neighbor_averager",
        "_to_torch",
        "displays",
        "metrics",
    },
}
LONGEST_FILE = 450
MOST_METHODS = 20


def modules():
    """Dotted name, without the package's, to file."""
    files = PACKAGE.rglob("*.py")
    names = (file.relative_to(PACKAGE).with_suffix("").parts for file in files)
    return {
        ".".join(part for part in name if part != "__init__"): PACKAGE.joinpath(*name)
        for name in names
    }


MODULES = {name: file.with_suffix(".py") for name, file in modules().items()}


def room_of(module):
    return module.partition(".")[0]


def tree_of(module):
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imports_of(module):
    """The modules of the package that a module imports, wherever in the file."""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "sklearn_kmfeat":
                    yield alias.name.removeprefix("sklearn_kmfeat").removeprefix(".")
        elif isinstance(node, ast.ImportFrom):
            yield from imported_from(node, package)


def imported_from(node, package):
    if node.level:
        parts = package.split(".") if package else []
        base = parts[: len(parts) - node.level + 1]
        source = ".".join([*base, *([node.module] if node.module else [])])
    elif (node.module or "").split(".")[0] == "sklearn_kmfeat":
        source = node.module.removeprefix("sklearn_kmfeat").removeprefix(".")
    else:
        return
    for alias in node.names:
        name = f"{source}.{alias.name}".removeprefix(".")
        yield name if name in MODULES else source


def test_every_room_is_drawn():
    assert {room_of(module) for module in MODULES} == set(ARROWS)
    drawn = CONTRIBUTING.read_text(encoding="utf-8")
    assert [room for room in ARROWS if room not in drawn] == []


@pytest.mark.parametrize("module", MODULES)
def test_arrows_go_one_way(module):
    rooms = {room_of(name) for name in imports_of(module)} - {room_of(module)}
    assert rooms - ARROWS[room_of(module)] == set()


def test_no_module_imports_itself_in_a_circle():
    # A package imports its modules, which is no circle: it is what lies below that counts.
    graph = {module: {name for name in imports_of(module) if name != module} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' -> '.join(error.args[1])}")


def test_rooms_are_free_of_circles():
    TopologicalSorter(ARROWS).prepare()


@pytest.mark.parametrize("module", MODULES)
def test_small_modules_and_classes(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ClassDef):
            methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
            assert len(methods) <= MOST_METHODS, node.name


def test_the_reader_of_imports_sees_them():
    """The tests above would pass without a word if nothing was found."""
    assert "_core.pooling" in set(imports_of("_core.encode"))
    assert "_core.patches" in set(imports_of("_inputs.sampling"))
    assert "displays._mosaic" in set(imports_of("displays._filter_display"))
    assert {"_dictionary.conv_kmeans", "metrics"} <= set(imports_of(""))


def test_every_toy_that_contributing_names_is_there():
    drawn = CONTRIBUTING.read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", drawn))
    assert len(named) > 5
    assert [path for path in sorted(named) if not (CONTRIBUTING.parent / path).is_file()] == []
