"""Sphinx settings: `make docs` builds the pages with warnings as errors."""

import inspect

import sklearn_kmfeat

project = "sklearn_kmfeat"
author = "The sklearn_kmfeat developers"
project_copyright = author
version = release = sklearn_kmfeat.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/GALLERY_HEADER.rst"]
templates_path = ["templates"]
default_role = "literal"
add_module_names = False
smartquotes = False  # {"sum", "mean"} is to be copied
toc_object_entries_show_parents = "hide"

numpydoc_show_class_members = False  # the class template lists them
autosummary_generate = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"^(?!plot_)",  # demo.py is no page
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
}

html_theme = "pydata_sphinx_theme"
html_title = f"sklearn_kmfeat {release}"
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {
    "**": ["sidebar-nav-bs"],
    "index": [],
    "changelog": [],
    "benchmarks": [],
}


def leave_out_foreign_methods(app, what, name, obj, skip, options):
    """Skip what scikit-learn adds to every estimator (`set_output`, `get_params`, ...)."""
    method = inspect.unwrap(getattr(obj, "__func__", obj))
    module = getattr(method, "__module__", None) or ""
    foreign = inspect.isroutine(obj) and not module.startswith("sklearn_kmfeat")
    return True if foreign else None  # None: as autodoc thinks best


def setup(app):
    app.connect("autodoc-skip-member", leave_out_foreign_methods)
