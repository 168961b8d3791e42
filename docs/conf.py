"""Sphinx settings: `make docs` builds the pages with warnings as errors, without a network."""

import sys
from pathlib import Path

import sklearn_kmfeat

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))
import names  # noqa: E402
import outside  # noqa: E402

project = "sklearn_kmfeat"
author = "The sklearn_kmfeat developers"
project_copyright = author
version = release = sklearn_kmfeat.__version__

REPOSITORY = "https://github.com/sklearn-kmfeat/sklearn-kmfeat"
DESCRIPTION = "Features and clusters of images, learned without labels, as scikit-learn estimators."

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "names",
    "sources",
]
exclude_patterns = ["_build", "auto_examples/GALLERY_HEADER.rst", "inventories"]
templates_path = ["templates"]
default_role = "name"  # of extensions/names.py: a link where it is a name, otherwise code
add_module_names = False
smartquotes = False  # {"sum", "mean"} is to be copied
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True

# A name that leads nowhere is an error.
nitpicky = True

autosummary_generate = True
autosummary_context = {"properties_of": names.documented_properties()}
autodoc_typehints = "none"  # the docstrings tell more
numpydoc_show_class_members = False  # the class template lists them
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # but for these:
numpydoc_xref_aliases = outside.TYPES | names.public_names()

intersphinx_mapping = outside.mapping(HERE / "inventories", HERE / "_build" / "inventories")
intersphinx_disabled_reftypes = ["std:doc"]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"^(?!plot_)",  # demo.py is no page
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "ignore_repr_types": r"Display|matplotlib",  # what they draw is on the page
    "write_computation_times": False,  # that page takes scripts from the network
    "backreferences_dir": "generated/examples_using",
    "doc_module": ("sklearn_kmfeat",),
    "inspect_global_variables": False,  # links and galleries only for what an example names
    "reference_url": {"sklearn_kmfeat": None},
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = f"sklearn_kmfeat {release}"
html_short_title = "sklearn_kmfeat"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_logo = "_static/logo.png"
html_favicon = "_static/favicon.png"
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "auto", "site_description": DESCRIPTION}
html_theme_options = {
    "logo": {"text": html_title, "alt_text": "sklearn_kmfeat: to the front page"},
    "icon_links": [{"name": "Source code", "url": REPOSITORY, "icon": "fa-brands fa-github"}],
    "show_toc_level": 2,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {
    "**": ["sidebar-nav-bs"],
    "index": [],
    "changelog": [],
    "benchmarks": [],
}
