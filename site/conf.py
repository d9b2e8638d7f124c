"""Sphinx's settings; `build.py` calls it and says where the results are."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "extensions")]

project = "eqflow"
author = "The eqflow founders"
copyright = "the eqflow founders. Code: MIT. Prose and figures: CC BY 4.0"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_codeautolink",
    "sphinxcontrib.bibtex",
    "eqflow_site",
]
templates_path = ["_templates"]
exclude_patterns = []

# Pages and notebooks: nothing is executed here.
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"
nb_number_source_lines = False
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "fieldlist", "attrs_inline"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type"]
eqflow_figures = os.environ.get("EQFLOW_SITE_FIGURES", "")
eqflow_results = os.environ.get("EQFLOW_SITE_RESULTS", "")
eqflow_made_by = os.environ.get("EQFLOW_SITE_MADE_BY", "")

# Docstrings, and links from the notebooks' code to them.
sys.path.insert(0, str(HERE.parent))
default_role = "py:obj"
add_module_names = False
toc_object_entries = False
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints = "none"  # the signature has them
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Source"]
codeautolink_concat_default = True
codeautolink_autodoc_inject = False
codeautolink_search_css_classes = ["highlight-ipython3", "highlight-python", "highlight-pycon"]

# One file of references.
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

# Look: everything local.
html_theme = "sphinx_book_theme"
html_title = "eqflow"
html_math_renderer = "katex"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_show_sourcelink = False
html_last_updated_fmt = None
# Light or dark as the reader's system; left to the theme it is an error in the console.
html_context = {"default_mode": "auto"}
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "show_navbar_depth": 1,
    "navbar_persistent": [],  # the search field stands in the side bar
    "navigation_with_keys": True,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
if repository := os.environ.get("EQFLOW_SITE_REPOSITORY"):
    html_theme_options["repository_url"] = f"https://github.com/{repository}"
    html_theme_options["use_repository_button"] = True
