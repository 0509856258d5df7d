"""test_tutorial.py - the tutorial does what it says: its blocks run, its numbers are right, its names exist.

tutorial.ipynb is made from tutorial.md, byte for byte. It is executed once, cell by cell, by a kernel, in a temporary
folder with an empty figures/, shapes of public signatures checked (conftest.py). A line that ends in `# -> value` is one
expression; its value is compared with what is written:
  - numbers to the digits written (2.398 stands for 2.3975 to 2.3985), in tuples and lists entry by entry;
  - True, False, None and strings exactly; tensors and arrays as the lists that they hold.
The pictures of the repository are compared with those that the cells made, pixel by pixel, with room for another
matplotlib or font, and for a model that was trained on another processor. Sentences and lines have their lengths.
`python tests/test_tutorial.py` executes the notebook in the repository and so makes figures/tut_*.png anew.
"""
import ast
import json
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)] * (str(ROOT) not in sys.path)

from classroom import notebook  # noqa: E402

TUTORIAL = ROOT / "tutorial.md"
ARROW = "# -> "
# By matplotlib, whose version and fonts shift a line or a letter; and of a model that was trained here, whose
# rounding errors grow over hundreds of steps, on each processor otherwise.
PLOTS = {f"tut_{name}.png" for name in ("axes", "curve", "sound", "weights", "slice", "terms", "cosines", "training",
                                        "offsets", "leakage")}
TRAINED = {f"tut_{name}.png" for name in ("fit", "relight", "planes", "upsample", "poses", "swaps")}
LIMIT = {**dict.fromkeys(PLOTS, 12), **dict.fromkeys(TRAINED, 12)}  # of 255, mean over the pixels; others: 2
WORDS, COLUMNS = 30, 100


def same(value, written, text):
    """Whether a value is what is written; `text` holds the digits of `written`."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(written, (tuple, list)):
        digits = text.strip()[1:-1].rstrip(",").split(",") if written else []
        assert len(digits) == len(written), f"{text}: lists in lists are not compared"
        if not isinstance(value, (tuple, list)) or len(value) != len(written):
            return False
        return all(map(same, value, written, digits))
    if isinstance(written, (bool, str, type(None))) or isinstance(value, (bool, str, type(None))):
        return type(value) is type(written) and value == written
    decimals = len(text.strip().partition(".")[2])
    return not isinstance(value, (tuple, list)) and abs(value - written) <= 0.5000001 * 10**-decimals


def compared(source, values, first_line=1):
    """What is wrong in a cell, line by line; values: (line, value) of its expressions, in order."""
    lines, faults, checked = source.splitlines(), [], set()
    for node in ast.parse(source).body:
        is_expression, comment = isinstance(node, ast.Expr), lines[node.end_lineno - 1].partition(ARROW)[2]
        where = f"tutorial.md:{first_line + node.lineno - 1}"
        own = [value for line, value in values if node.lineno <= line <= node.end_lineno]
        if is_expression and not own:
            return [*faults, f"{where}: this line was never reached"]
        if not comment:
            continue
        checked.add(node.end_lineno)
        if not is_expression:
            faults.append(f"{where}: '{ARROW}' stands behind something that has no value")
        elif not same(own[0], ast.literal_eval(comment), comment):
            code = ast.get_source_segment(source, node)
            faults.append(f"{where}: {code} gives {own[0]}, the tutorial says {comment}")
    lost = [k for k, line in enumerate(lines, 1) if ARROW in line and k not in checked]
    return faults + [f"tutorial.md:{first_line + k - 1}: this '{ARROW}' is never compared" for k in lost]


def watch(shell):
    """In the kernel: compare the values of every cell's expressions; a list, to which the faults are added."""
    faults, values, shown, page = [], [], shell.display_trap.hook, TUTORIAL.read_text()

    def show(value):
        line = sys._getframe(1).f_lineno  # of the cell; lines of its loops come here, too
        values.append((line, value.clone() if hasattr(value, "clone") else value))
        shown(value)

    def after_cell(result):
        source = result.info.raw_cell
        if source in page:
            faults.extend(compared(source, values, page[:page.index(source)].count("\n") + 1))
        values.clear()

    shell.display_trap.hook = show
    shell.events.register("post_run_cell", after_cell)
    return faults


def execute(folder):
    """Run tutorial.ipynb in `folder`, which has a figures/; its faults, and its cells with what they showed."""
    before = (f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]\n"
              "import conftest, test_tutorial\nfaults_ = test_tutorial.watch(get_ipython())")
    book = nbformat.read(ROOT / "tutorial.ipynb", 4)
    extra = [nbformat.v4.new_code_cell(code) for code in (before, "import json; print(json.dumps(faults_))")]
    book.cells = [extra[0], *book.cells, extra[1]]
    NotebookClient(book, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return json.loads(book.cells[-1].outputs[0].text), book.cells[1:-1]


def picture_fault(kept, made):
    """What is wrong with a picture of the repository beside the one that the blocks made, or None."""
    a, b = (np.asarray(Image.open(path).convert("RGB"), float) for path in (kept, made))
    if a.shape != b.shape:
        return f"{kept.name}: {a.shape[1::-1]} in the repository, the blocks make {b.shape[1::-1]}"
    difference, limit = np.abs(a - b).mean(), LIMIT.get(kept.name, 2)
    if difference > limit:
        return f"{kept.name} is old: {difference:.1f} of 255 from what the blocks make; run python tests/test_tutorial.py"


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """What the notebook left behind: (faults, cells with their outputs, folder that it ran in)."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "figures").mkdir()
    return *execute(folder), folder


def test_notebook_is_what_the_page_makes():
    kept, made = (ROOT / "tutorial.ipynb").read_text(), notebook.notebook_of(TUTORIAL.read_text())
    assert kept == made, "tutorial.ipynb is old: run python -m classroom.notebook"


def test_cells_are_the_blocks_and_the_text_between_them():
    page = "# A\n\n[![b](b.svg)](n.ipynb)\n\nText.\n\n```python\nx = 1\n```\n\n![A head](figures/tut_a.png)\n\n```\nshell\n```\n"
    first, second, *rest = notebook.cells(page)
    assert first[0] == "markdown" and second[0] == "code" and "ADDRESS" in second[1]
    assert rest == [("markdown", "# A\n\nText."), ("code", "x = 1\n"), ("markdown", "*A head.*\n\n```\nshell\n```")]
    assert notebook.notebook_of(page) == notebook.notebook_of(page) != notebook.notebook_of(page + "more\n")


def test_blocks_run_and_their_numbers_are_right(played):
    assert not played[0], "\n".join(played[0])


def test_pictures_stand_below_the_cells_that_make_them(played):
    for cell in played[1]:
        made = re.findall(r'drawing\.(?:sheet|plot)\("tut_', cell.source) if cell.cell_type == "code" else []
        shown = [out for out in cell.get("outputs", ()) if "image/png" in out.get("data", {})]
        assert len(shown) == len(made), f"{len(shown)} pictures below\n{cell.source}"
    values = [out for cell in played[1] for out in cell.get("outputs", ()) if "text/plain" in out.get("data", {})]
    assert len(values) >= TUTORIAL.read_text().count(f"  {ARROW}"), "a line's value is not shown below its cell"


def test_figures_are_those_that_the_blocks_make(played):
    folder = played[2]
    made = {path.name for path in (folder / "figures").iterdir()}
    shown = set(re.findall(r"\]\(figures/(tut_\w+\.png)\)", TUTORIAL.read_text()))
    kept = {path.name for path in (ROOT / "figures").glob("tut_*")}
    assert made == shown == kept, f"made {made}, shown {shown}, in the repository {kept}"
    assert PLOTS | TRAINED < kept
    faults = [fault for name in sorted(kept) if (fault := picture_fault(ROOT / "figures" / name, folder / "figures" / name))]
    assert not faults, "\n".join(faults)
    assert sum((ROOT / "figures" / name).stat().st_size for name in kept) < 1.2e6
    assert [p.name for p in folder.iterdir()] == ["figures"], "a block wrote outside figures/"


# ---- language ------------------------------------------------------------------------------------------------

def prose(text):
    """The paragraphs and list entries of a page: without code, formulas, tables, headings, pictures."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    text = re.sub(r"^(\||#|!\[|\[!\[|    ).*$", "", text, flags=re.M)
    text = re.sub(r"^(?=- |\d+\. )", "\n", text, flags=re.M)
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]


def sentences(paragraph):
    """Sentences end in . ? or ! before a space or the end. A piece of `code`, however long, is one word."""
    paragraph = re.sub(r"`[^`]*`", "code", paragraph)
    paragraph = re.sub(r"\b(Sec|Eq|Fig)\. ", r"\1 ", re.sub(r"^\d+\. ", "", paragraph))
    return [s for s in re.split(r"(?<=[.?!])[*)\"]*\s+", paragraph) if s]


def test_no_sentence_is_long():
    long = [s for p in prose(TUTORIAL.read_text()) for s in sentences(p) if len(s.split()) > WORDS]
    assert not long, "\n".join(f"{len(s.split())} words: {s}" for s in long)


def test_no_line_is_wide():
    wide = [k for k, line in enumerate(TUTORIAL.read_text().splitlines(), 1) if len(line) > COLUMNS]
    assert not wide, f"tutorial.md: lines {wide} have more than {COLUMNS} columns"


def test_a_long_sentence_is_seen():
    page = "# A\n\nOne. Two `a b c` of Sec. 3.1? Yes.\n- an entry\n- another\n\n| a. b. |\n    f = 1. 2.\n\n```\nx. y.\n```\n"
    assert [sentences(p) for p in prose(page)] == [["One.", "Two code of Sec 3.1?", "Yes."], ["- an entry"], ["- another"]]
    assert len(sentences("a " * 31 + "b.")[0].split()) == 32


def test_the_page_asks_before_it_shows():
    text = TUTORIAL.read_text()
    asked = [m.start() for m in re.finditer(r"^\*\*Predict:\*\*", text, re.M)]
    assert len(asked) >= 10
    for at in asked:  # a question, then the block that answers it
        question, _, after = text[at:].partition("\n\n")
        assert "?" in question and after.startswith("```python"), f"no block answers: {question}"


# ---- names ---------------------------------------------------------------------------------------------------

def test_files_functions_and_exercises_that_the_text_names_exist():
    import importlib

    from classroom import stubs
    text = re.sub(r"^```.*?^```$", "", TUTORIAL.read_text(), flags=re.M | re.S)
    files = [path.relative_to(ROOT) for path in (*ROOT.glob("*.py"), *ROOT.glob("*/*.py"))]
    modules = {path.stem: ".".join(path.with_suffix("").parts) for path in files if path.parts[0] != "tests"}
    for module, name in re.findall(r"`(?:\w+\.)?(\w+)\.(\w+)(?:\.\w+)*(?:\([^`]*\))?`", text):
        if module in modules and name not in ("py", "json", "wav", "csv", "md", "png"):  # a file, such as `speech.wav`
            assert hasattr(importlib.import_module(modules[module]), name), f"tutorial.md names {module}.{name}"
    for name in re.findall(r"`((?:\w+/)?\w+\.py)`", text) + re.findall(r"^python (\w+\.py)", TUTORIAL.read_text(), re.M):
        assert any(str(path) == name or path.name == name for path in files), f"tutorial.md names {name}"
    only = set(re.findall(r"check my/ --only (\w+)", text))
    assert only == set(stubs.EXERCISES), f"exercises without a command: {set(stubs.EXERCISES) ^ only}"


# ---- the comparison itself can fail ------------------------------------------------------------------------

@pytest.mark.parametrize("line, complaint", [
    ("0.1682  # -> 0.168", None), ("0.1686  # -> 0.168", "gives 0.1686"), ("(1, 2.04)  # -> (1, 2.0)", None),
    ("(1, 2.06)  # -> (1, 2.0)", "gives (1, 2.06)"), ("[1]  # -> [1, 2]", "gives [1]"), ("True  # -> 1", "gives True"),
    ("'a'  # -> 'b'", "gives a"), ("-0.04  # -> -0.0", None), ("x = 1  # -> 1", "has no value"),
    ("# -> 1", "never compared")])
def test_a_wrong_number_is_seen(line, complaint):
    values = [(1, eval(ast.unparse(node))) for node in ast.parse(line).body if isinstance(node, ast.Expr)]
    faults = compared(line, values, 7)
    assert (not faults) if complaint is None else (len(faults) == 1 and complaint in faults[0] and ":7:" in faults[0])


def test_a_cell_that_shows_too_little_is_seen():
    assert "never reached" in compared("1  # -> 1\n2  # -> 2", [(1, 1)])[0]


def test_every_line_of_a_cell_is_watched(tmp_path, monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell
    cell = "for k in (1, 2):\n    k * 10\nsum(\n    [k])  # -> 2\nk  # -> 3"
    (tmp_path / "page.md").write_text(f"# A\n\n```python\n{cell}\n```\n")
    monkeypatch.setattr(sys.modules[__name__], "TUTORIAL", tmp_path / "page.md")
    shell = InteractiveShell()
    shell.ast_node_interactivity = "all"
    faults = watch(shell)
    shell.run_cell(cell)
    assert faults == ["tutorial.md:8: k gives 2, the tutorial says 3"]


def test_an_old_picture_is_seen(tmp_path):
    heads, plot = (ROOT / "figures" / name for name in ("tut_heads.png", "tut_sound.png"))
    assert picture_fault(heads, heads) is None and picture_fault(plot, plot) is None
    assert f"tut_heads.png: {Image.open(heads).size} in the repository" in picture_fault(heads, plot)
    other = tmp_path / "other.png"
    for path in (heads, plot):
        picture = np.asarray(Image.open(path).convert("RGB"))
        Image.fromarray(picture[::-1]).save(other)  # the same colours in other places
        assert f"{path.name} is old" in picture_fault(path, other)
    picture = np.asarray(Image.open(heads).convert("RGB"))
    Image.fromarray((picture * 0.96).astype(np.uint8)).save(other)  # a light a little darker
    assert "is old" in picture_fault(heads, other)


if __name__ == "__main__":
    print("\n".join(execute(ROOT)[0]) or "every cell runs, every number is right; figures/tut_*.png are new")
