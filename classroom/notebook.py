"""notebook.py - tutorial.ipynb, made from tutorial.md.

    python -m classroom.notebook        writes tutorial.ipynb anew

Equal text gives equal bytes: cells are numbered, and there is no date, no output and no version of
anything. Each ```python block is a cell; what stands between two of them is a cell of text. The
pictures of the page are left out of the text, for the blocks show them.

In:  tutorial.md. Out: tutorial.ipynb. Read next: tests/test_tutorial.py, which runs it.
"""
from __future__ import annotations

import re

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from classroom.registry import ROOT
from tools.errors import replacing, run_cli

PAGE, NOTEBOOK = ROOT / "tutorial.md", ROOT / "tutorial.ipynb"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
PICTURE = re.compile(r"^!\[(.*)\]\(figures/tut_\w+\.png\)$", re.M)
BADGE = re.compile(r"^\[!\[.*\n\n", re.M)  # it opens this very notebook
FIRST = "*Made from tutorial.md by `python -m classroom.notebook`: change the page, not this file.*"
SET_UP = '''\
# This notebook needs the repository around it: a clone, or its folder unpacked. In a browser that
# has the notebook alone, such as Colab, write the address of the repository here and run the cell.
ADDRESS = ""

import importlib.util, subprocess, sys

if importlib.util.find_spec("dhnerf") is None:
    if not ADDRESS:
        raise RuntimeError("no dhnerf.py here: start Jupyter in the repository, or fill in ADDRESS")
    subprocess.run(["git", "clone", ADDRESS, "dhnerf"], check=True)
    %cd dhnerf
if importlib.util.find_spec("jaxtyping") is None:  # a machine without the requirements
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-r", "requirements.txt"],
                   check=True)
get_ipython().ast_node_interactivity = "all"  # the value of every line is shown, not the last alone
'''


def cells(page: str) -> list[tuple[str, str]]:
    """("markdown" or "code", source) of every cell, in order."""
    found, at = [("markdown", FIRST), ("code", SET_UP)], 0
    for block in [*BLOCK.finditer(page), None]:
        text = page[at:block.start() if block else len(page)]
        text = PICTURE.sub(r"*\1.*", BADGE.sub("", text)).strip()
        if text:
            found.append(("markdown", text))
        if block:
            found.append(("code", block[1]))
            at = block.end()
    return found


def notebook_of(page: str) -> str:
    """The notebook, as text, of a page of Markdown."""
    kinds = {"markdown": new_markdown_cell, "code": new_code_cell}
    made = [kinds[kind](source.strip(), id=f"cell-{number:03}")
            for number, (kind, source) in enumerate(cells(page))]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook = new_notebook(cells=made, metadata=metadata, nbformat_minor=5)
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def main() -> int:
    """Write the notebook anew."""
    text = notebook_of(PAGE.read_text())
    with replacing(NOTEBOOK) as temporary:
        temporary.write_text(text)
    print(f"{NOTEBOOK.name}: {len(cells(PAGE.read_text()))} cells")
    return 0


if __name__ == "__main__":
    run_cli(main)
