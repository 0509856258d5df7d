"""test_tutorial.py - the tutorial does what it says: its blocks run, its numbers are right, its names exist.

All ```python blocks of tutorial.md run top to bottom in one namespace, in a temporary folder that has an empty
figures/; the first block sets FIGURES = Path("figures"), so nothing is written elsewhere. A line that ends in
`# -> value` is one expression; its value is compared with what is written:
  - numbers to the digits written (2.398 stands for 2.3975 to 2.3985), in tuples and lists entry by entry;
  - True, False, None and strings exactly; tensors and arrays as the lists that they hold.
The pictures of the repository are compared with those that the blocks made, pixel by pixel, with room for another
matplotlib or font. `python tests/test_tutorial.py` runs the blocks in the repository and so makes figures/tut_*.png anew.
"""
import ast
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT / "tutorial.md"
ARROW = "# -> "
PLOTS = {"tut_sound.png", "tut_weights.png"}  # by matplotlib, whose version and fonts shift a line or a letter


def blocks(text):
    """(line of the file, source) of each ```python block."""
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S)
    return [(text[:m.start(1)].count("\n") + 1, m[1]) for m in found]


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


def run(source, first_line, names):
    """Run one block in `names`; a list of the lines whose value is not what is written."""
    lines, faults, checked = source.splitlines(), [], set()
    for node in ast.parse(source).body:
        line, comment = lines[node.end_lineno - 1], None
        if ARROW in line:
            checked.add(node.end_lineno)
            comment = line.split(ARROW)[1]
        where = f"tutorial.md:{first_line + node.lineno - 1}"
        code = ast.get_source_segment(source, node)
        if comment is None:
            exec(compile("\n" * (first_line + node.lineno - 2) + code, str(TUTORIAL), "exec"), names)
        elif not isinstance(node, ast.Expr):
            faults.append(f"{where}: '{ARROW}' stands behind something that has no value")
        elif not same(value := eval(code, names), ast.literal_eval(comment), comment):
            faults.append(f"{where}: {code} gives {value}, the tutorial says {comment}")
    lost = [k + 1 for k, line in enumerate(lines) if ARROW in line and k + 1 not in checked]
    return faults + [f"tutorial.md:{first_line + k - 1}: this '{ARROW}' is never compared" for k in lost]


def run_all():
    names, faults = {"__name__": "tutorial"}, []
    for first_line, source in blocks(TUTORIAL.read_text()):
        faults += run(source, first_line, names)
    return faults


def picture_fault(kept, made):
    """What is wrong with a picture of the repository beside the one that the blocks made, or None."""
    a, b = (np.asarray(Image.open(path).convert("RGB"), float) for path in (kept, made))
    if a.shape != b.shape:
        return f"{kept.name}: {a.shape[1::-1]} in the repository, the blocks make {b.shape[1::-1]}"
    difference, limit = np.abs(a - b).mean(), 12 if kept.name in PLOTS else 2
    if difference > limit:
        return f"{kept.name} is old: {difference:.1f} of 255 from what the blocks make; run python tests/test_tutorial.py"


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """What the blocks left behind: (faults, folder that they ran in)."""
    folder, before = tmp_path_factory.mktemp("tutorial"), os.getcwd()
    (folder / "figures").mkdir()
    os.chdir(folder)
    try:
        return run_all(), folder
    finally:
        os.chdir(before)


def test_blocks_run_and_their_numbers_are_right(played):
    assert not played[0], "\n".join(played[0])


def test_figures_are_those_that_the_blocks_make(played):
    made = {path.name for path in (played[1] / "figures").iterdir()}
    shown = set(re.findall(r"\]\(figures/(tut_\w+\.png)\)", TUTORIAL.read_text()))
    kept = {path.name for path in (ROOT / "figures").glob("tut_*")}
    assert made == shown == kept, f"made {made}, shown {shown}, in the repository {kept}"
    faults = [fault for name in sorted(kept) if (fault := picture_fault(ROOT / "figures" / name, played[1] / "figures" / name))]
    assert not faults, "\n".join(faults)
    assert sum((ROOT / "figures" / name).stat().st_size for name in kept) < 1e6
    assert [p.name for p in played[1].iterdir()] == ["figures"], "a block wrote outside figures/"


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
    faults = run(line + "\n", 7, {})
    assert (not faults) if complaint is None else (len(faults) == 1 and complaint in faults[0] and ":7:" in faults[0])


def test_an_old_picture_is_seen(tmp_path):
    heads, plot = (ROOT / "figures" / name for name in ("tut_heads.png", "tut_sound.png"))
    assert picture_fault(heads, heads) is None and picture_fault(plot, plot) is None
    assert "tut_heads.png: (512, 256) in the repository" in picture_fault(heads, plot)
    other = tmp_path / "other.png"
    for path in (heads, plot):
        picture = np.asarray(Image.open(path).convert("RGB"))
        Image.fromarray(picture[::-1]).save(other)  # the same colours in other places
        assert f"{path.name} is old" in picture_fault(path, other)
    picture = np.asarray(Image.open(heads).convert("RGB"))
    Image.fromarray((picture * 0.96).astype(np.uint8)).save(other)  # a light a little darker
    assert "is old" in picture_fault(heads, other)


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT)]
    os.chdir(ROOT)
    print("\n".join(run_all()) or "every block runs, every number is right; figures/tut_*.png are new")
