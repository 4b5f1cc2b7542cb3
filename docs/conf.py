"""Sphinx's settings for the site, which loads no font, script or style from other sites."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

MATHJAX = metadata.distribution("sphinx-mathjax-offline").locate_file(
    "sphinx-mathjax-offline/static/mathjax/tex-svg.js"
)

project = "dpo_teach"
author = "the dpo_teach contributors"
root_doc = "index"
exclude_patterns = ["README.md", "extra", "static", "extensions"]
extensions = [
    *("myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"),
    *("descriptions", "diagrams", "docstrings", "explorers", "folding", "papers", "readers"),
]

# The notebooks with their saved outputs
nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3

# The package's docstrings, which mark code as in Markdown
default_role = "code"
highlight_language = "none"  # a formula is not code
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True

# Looks
html_theme = "sphinx_book_theme"
html_use_index = html_domain_indices = False  # the package has its own page, and the site has a search
html_title = "dpo_teach"
html_copy_source = False  # each notebook's page has a download link
html_favicon = "static/favicon.svg"
html_static_path = ["static", str(MATHJAX)]
html_extra_path = ["extra"]
html_css_files = ["explorers.css", "site.css"]
html_js_files = ["search.js", "paper.js", ("explorers.js", {"defer": "defer"})]
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_persistent": [],
    "use_download_button": False,
    "use_fullscreen_button": False,
    "secondary_sidebar_items": {"notebooks/*": ["page-toc.html"], "api": ["page-toc.html"]},
    "footer_content_items": ["extra-footer.html"],
    "extra_footer": "MIT licence. This site needs no network: it opens from disk, too.",
    "show_toc_level": 1,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
mathjax_path = "tex-svg.js"
