"""Every public object has a docstring in numpydoc's form."""

import inspect

import pytest
from numpydoc.validate import ERROR_MSGS, validate

from test_public_api import PUBLIC_MODULES, public_objects

LEFT_OUT = {
    "ES01",  # one good sentence may be all there is to say
    "EX01",  # examples stand where they help, not at every method
    "SA01",  # the same for See Also
    "RT02",  # scikit-learn names what it returns: "X_new : ndarray of shape ..."
}


def documented_names():
    """Dotted names of the public functions, classes, and the methods written here."""
    for module_name in PUBLIC_MODULES:
        for name, obj in public_objects(module_name).items():
            yield f"{module_name}.{name}"
            if inspect.isclass(obj):
                members = inspect.getmembers_static(obj)
                own = [member for member, value in members if is_documented(member, value)]
                yield from (f"{module_name}.{name}.{member}" for member in own)


def is_documented(name, member):
    """Whether it is public and this package wrote it; scikit-learn adds methods of its own."""
    function = getattr(member, "fget", None) or getattr(member, "__func__", member)
    module = getattr(inspect.unwrap(function), "__module__", None) or ""
    public_method = inspect.isroutine(member) or isinstance(member, property)
    return public_method and not name.startswith("_") and module.startswith("sklearn_kmfeat")


@pytest.mark.parametrize("name", list(documented_names()))
def test_docstring(name):
    errors = [
        f"{code}: {message}"
        for code, message in validate(name)["errors"]
        if code in ERROR_MSGS.keys() - LEFT_OUT
    ]
    assert errors == []
