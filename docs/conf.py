"""How Sphinx builds the site; `make docs` runs it, without any network."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
sys.path.insert(0, str(HERE.parent))

from sklearn_sparsenet import __version__  # noqa: E402

project = "sklearn_sparsenet"
author = "the sklearn_sparsenet developers"
copyright = "the sklearn_sparsenet developers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "site_setup",
]
exclude_patterns = [
    "_ext",
    "gallery/*.ipynb",
    "gallery/*.py",
    "gallery/*.md5",
    "**sg_execution_times.rst",  # has scripts of other servers
]
templates_path = ["_templates"]

# Pages: Markdown that GitHub shows as well; headings have the anchors of GitHub.
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# API: numpydoc sections by napoleon. Types are text there, not references.
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
autodoc_typehints = "none"
autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autosummary_generate = True
python_maximum_signature_line_length = 80
default_role = "py:obj"

# `name` in a docstring is a link where there is such an object, else code. What an
# explicit role or a See Also names must exist, here or in a library of others.
nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", r".*"),
    ("py:.*", r"(sklearn|torch|numpy|scipy|matplotlib|pandas)\..*"),
    ("py:exc", r"[A-Z][A-Za-z]+(Error|Warning)"),
    ("py:class", r"(Optimizer|Tensor|Protocol|ValueError|UserWarning|BaseEstimator)"),
]

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_",
    "within_subsection_order": "site_setup.ExampleOrder",
    "abort_on_example_error": True,
    "reset_modules_order": "both",
    "reset_modules": ("matplotlib", "site_setup.strict_example"),
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1,
    "plot_gallery": "True",
    "remove_config_comments": True,
}

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"sklearn_sparsenet {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_theme_options = {
    "footer_icons": [],
    "light_css_variables": {"color-brand-primary": "#0b5394"},
    "dark_css_variables": {"color-brand-primary": "#7fb2e5"},
}
