"""Links to the source, also for methods that a class inherits: sphinx.ext.viewcode has none there.

Only this package's source gets pages; scikit-learn's methods lead nowhere.
"""

import importlib
import inspect

from sphinx.pycode import ModuleAnalyzer

_NO_SOURCE = "builtins"  # a module that viewcode finds no source of


def module_of(app, modname, attribute):
    """The module that defines `attribute`, or one without a source."""
    try:
        value = importlib.import_module(modname)
        for name in attribute.split("."):
            value = getattr(value, name)
    except (AttributeError, ImportError):
        return _NO_SOURCE
    defined = getattr(inspect.unwrap(getattr(value, "__func__", value)), "__module__", None) or ""
    return defined if defined.split(".")[0] == "sklearn_kmfeat" else _NO_SOURCE


def source_of(app, modname):
    """The text of a module and where its names are, those of subclasses included."""
    if modname.split(".")[0] != "sklearn_kmfeat":
        return None
    analyzer = ModuleAnalyzer.for_module(modname)
    tags = dict(analyzer.find_tags())
    module = importlib.import_module(modname)
    for name, kind in list(inspect.getmembers(module, inspect.isclass)):
        if kind.__module__ != modname:
            continue
        for subclass in _subclasses(kind):
            for tag, place in analyzer.tags.items():
                if tag.startswith(f"{name}."):
                    method = tag.removeprefix(f"{name}.")
                    tags.setdefault(f"{subclass.__name__}.{method}", place)
    return analyzer.code, tags


def _subclasses(kind):
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def leave_out(app):
    """No entry in the list of modules for what has no source."""
    getattr(app.env, "_viewcode_modules", {}).pop(_NO_SOURCE, None)
    return []


def setup(app):
    app.connect("html-collect-pages", leave_out, priority=400)  # before viewcode
    app.connect("viewcode-follow-imported", module_of)
    app.connect("viewcode-find-source", source_of)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
