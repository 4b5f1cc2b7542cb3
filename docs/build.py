"""Build the site: `make site`, or `python docs/build.py`. It opens from disk, with no server and no network.

The notebooks and the pages are copied to a temporary folder, because Sphinx needs a single root. The build runs no
notebook and changes nothing in the repository.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs"


def lay_out(source: Path) -> None:
    """Collect Sphinx's sources: pages, the README that they include, notebooks, and the explorers' script and style.

    Args:
        source: an empty folder that becomes Sphinx's root.
    """
    from dpo_teach.widgets.js_bundle import bundle, stylesheet
    from tools.playground import write_playground

    shutil.copytree(PAGES, source, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "slides"))
    shutil.copy(ROOT / "README.md", source)
    (source / "notebooks").mkdir()
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        shutil.copy(notebook, source / "notebooks")
    script = f"{bundle('site')}\n$site.hydrate();\n"
    (source / "static" / "explorers.js").write_text(script, encoding="utf-8")
    (source / "static" / "explorers.css").write_text(stylesheet(), encoding="utf-8")
    write_playground(source / "extra" / "dpo_teach_playground.html")


def build(output: Path) -> int:
    """Build the whole site from scratch.

    Args:
        output: the folder to write; its previous contents are removed.

    Returns:
        Sphinx's exit status; warnings count as errors.
    """
    from sphinx.cmd.build import build_main

    shutil.rmtree(output, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        source, pages, doctrees = (Path(folder) / name for name in ("source", "pages", "doctrees"))
        lay_out(source)
        status = build_main(["-q", "-W", "--keep-going", "-b", "html", "-d", str(doctrees), str(source), str(pages)])
        if status == 0:
            shutil.move(pages, output)  # leaves behind the folder that MyST-NB creates next to the pages
        return status


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build the site.")
    parser.add_argument("output", nargs="?", default="build/site", type=Path, help="the folder to write")
    output = parser.parse_args().output
    status = build(output)
    if status == 0:
        print(output / "index.html")
    return status


if __name__ == "__main__":
    sys.exit(main())
