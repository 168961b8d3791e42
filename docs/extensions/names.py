"""Single backticks: `KMeansFilterLearner` and `torch.nn.Module` are links, `n_init` is code.

Links are the public names of this package, their methods (`BagOfPatches.transform`), and what the
lists in docs/inventories hold of other projects: by full name, classes also by the last part of it
(`GridSearchCV`) where only one has that.
"""

import importlib
import inspect
import re
from collections import Counter
from pathlib import Path

import outside
from docutils import nodes
from numpydoc.docscrape import NumpyDocString
from sphinx.domains.python import PyXRefRole

# Where a name without a dot is looked for. Not in `sklearn_kmfeat.dask`: `fit` is a common name.
MODULES = (".metrics", ".displays", ".datasets", "")


def public_names():
    """The full name of each public class and function, by its short name."""
    found = {}
    for module in (importlib.import_module(f"sklearn_kmfeat{name}") for name in reversed(MODULES)):
        for name in module.__all__:
            if callable(getattr(module, name)):
                found[name] = f"{module.__name__}.{name}"
    return found


_NAMES = public_names()
_OUTSIDE = outside.names(Path(__file__).parents[1] / "inventories")


def short_names(full_names):
    """The full name of each class, by its last part; none of functions, nor of what is ambiguous.

    Words in code that are no classes, such as parameters, begin with a small letter.
    """
    found = {name.rpartition(".")[2]: name for name in full_names}
    n_each = Counter(name.rpartition(".")[2] for name in full_names)
    return {
        short: name
        for short, name in found.items()
        if n_each[short] == 1 and "." in name and short[0].isupper() and len(short) > 1
    }


_SHORT = short_names(_OUTSIDE)


def documented_properties():
    """For each public class the properties that its docstring lists: they get details."""
    found = {}
    for full_name in _NAMES.values():
        module, _, name = full_name.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
        if inspect.isclass(kind):
            listed = NumpyDocString(inspect.getdoc(kind))["Attributes"]
            found[full_name] = [
                each.name
                for each in listed
                if isinstance(inspect.getattr_static(kind, each.name, None), property)
            ]
    return found


def plain_signature(app, what, name, obj, options, signature, return_annotation):
    """A default that is a class is its name; `index` and `count` have text that is no Python."""
    plain = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", signature or "")
    if getattr(obj, "__module__", "") == "collections.abc":
        return signature, ""
    return (plain, return_annotation) if plain != (signature or "") else None


def target(text):
    """The full name to link to, or None."""
    plain = text.removesuffix("()")
    if plain in _OUTSIDE:
        return plain
    for module in MODULES:
        plain = plain.removeprefix(f"sklearn_kmfeat{module}.")
    first, _, method = plain.partition(".")
    if first in _NAMES:
        return f"{_NAMES[first]}.{method}" if method else _NAMES[first]
    return _SHORT.get(text.removesuffix("()"))


def name_role(role, rawtext, text, lineno, inliner, options=None, content=()):
    full_name = target(text)
    if full_name is None:
        return [nodes.literal(rawtext, text)], []
    titled = f"{text} <{full_name}>"
    return PyXRefRole()("py:obj", rawtext, titled, lineno, inliner)


def known_by_short_name(app, env, node, contnode):
    """`ConvKMeans` from the page of another module, and what can be imported from two places."""
    short = node["reftarget"].removeprefix("sklearn_kmfeat.")
    first, _, method = short.partition(".")
    if node.get("refdomain") != "py" or first not in _NAMES:
        return None
    full_name = f"{_NAMES[first]}.{method}" if method else _NAMES[first]
    if full_name == node["reftarget"]:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", full_name, node, contnode)


def setup(app):
    app.connect("missing-reference", known_by_short_name)
    app.add_role("name", name_role)
    app.connect("autodoc-process-signature", plain_signature, priority=400)  # before numpydoc
    return {"parallel_read_safe": True, "parallel_write_safe": True}
