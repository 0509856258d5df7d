"""test_layout.py - the house: what stands on the ground floor, and that imports go one way, without a circle.

Read from the source, imports inside functions too: an import that is hidden in a function still goes up.
"""
import ast
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from data.crops import similarity
from evaluation.measures import lmd
from synthetic.light import sh_basis

ROOT = Path(__file__).resolve().parent.parent
PAPER = {"dhnerf", "render", "losses", "audio", "tracking", "train"}
COMMANDS = {"animate", "bench", "evaluate", "exercises"}
FLOORS = (  # from below; a file imports files of its own floor or of floors below it
    {"config", "tools"}, {"synthetic"}, (PAPER - {"train"}) | {"speed"}, {"data"}, {"inference"}, {"evaluation"},
    {"train"},
    COMMANDS - {"exercises"})
# The classroom stands beside the house: nothing in it imports the classroom but its own command.
BESIDE = {"classroom": {"classroom", "tools"}, "exercises": {"classroom", "tools"}}


def sources(root=ROOT):
    """{"render": its path, "data.crops": ...}: every file of the program, tests left out."""
    files = [*root.glob("*.py"), *root.glob("*/**/*.py")]
    places = {path: path.relative_to(root).with_suffix("").parts for path in files}
    known = {room for floor in FLOORS for room in floor} | set(BESIDE)
    return {".".join(parts): path for path, parts in places.items()
            if parts[-1] != "__init__" and (len(parts) == 1 or parts[0] in known)}


def imports(path, modules):
    """Modules of ours that a file imports anywhere in it, `from room import module` included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{name}" for name in names)]
        found |= {name for name in names if name in modules}
    return found


def floor_of(module):
    room = module.split(".")[0]
    return next(number for number, floor in enumerate(FLOORS) if room in floor)


def faults_of_direction(graph):
    """What is wrong with {module: modules that it imports}, one sentence each."""
    faults = []
    for module, targets in graph.items():
        for target in targets:
            room, other = module.split(".")[0], target.split(".")[0]
            if room in BESIDE or other in BESIDE:
                if room not in BESIDE or other not in BESIDE[room]:
                    faults.append(f"{module} imports {target}: the classroom stands beside the program")
            elif floor_of(target) > floor_of(module):
                faults.append(f"{module} imports {target}, which lies above it")
    return faults


def circle_in(graph):
    """A circle of imports as a list of modules, or None."""
    done, path = set(), []

    def visit(module):
        if module in path:
            return path[path.index(module):] + [module]
        if module in done:
            return None
        path.append(module)
        for target in sorted(graph.get(module, ())):
            if found := visit(target):
                return found
        done.add(path.pop())
        return None

    return next((found for module in sorted(graph) if (found := visit(module))), None)


@pytest.fixture(scope="module")
def graph():
    modules = sources()
    return {name: imports(path, modules) for name, path in modules.items()}


def test_the_ground_floor_holds_the_paper_and_the_commands_only():
    assert {path.stem for path in ROOT.glob("*.py")} == PAPER | COMMANDS | {"config"}, \
        "a new file at the root: it belongs into a room (design: the paper's files and the commands stand there)"
    assert sum(len((ROOT / f"{name}.py").read_text().splitlines()) for name in PAPER) < 1800


def test_every_room_is_on_a_floor():
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rooms == {name for name in set.union(*FLOORS, set(BESIDE)) if (ROOT / name).is_dir()}
    assert all(path.read_text() == "" for path in ROOT.glob("*/__init__.py")), "an __init__.py that does something"


def test_imports_go_one_way(graph):
    assert len(graph) > 40
    assert not (faults := faults_of_direction(graph)), "\n".join(faults)


def test_there_is_no_circle(graph):
    assert (found := circle_in(graph)) is None, " -> ".join(found)


def test_the_equations_know_nothing_of_the_program(graph):
    assert graph["render"] == set() and graph["losses"] <= {"tools.errors"}


@pytest.mark.parametrize("where, line, complaint", [
    ("tools/media.py", "import config\nimport train", "tools.media imports train, which lies above it"),
    ("audio.py", "def f():\n    from data import crops", "audio imports data.crops, which lies above it"),
    ("evaluation/report.py", "from train import train", "evaluation.report imports train, which lies above it"),
    ("data/crops.py", "from classroom import registry", "the classroom stands beside the program")])
def test_an_import_that_goes_up_is_seen(tmp_path, where, line, complaint):
    for name in ("train.py", "config.py", "data/crops.py", "classroom/registry.py", where):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / where).write_text(line)
    modules = sources(tmp_path)
    faults = faults_of_direction({name: imports(path, modules) for name, path in modules.items()})
    assert len(faults) == 1 and complaint in faults[0]


def test_a_circle_on_one_floor_is_seen():
    assert circle_in({"data.take": {"data.clip"}, "data.clip": {"data.crops"}, "data.crops": {"data.take"}}) == \
        ["data.clip", "data.crops", "data.take", "data.clip"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


@pytest.mark.parametrize("function, given", [
    (sh_basis, [np.zeros((4, 2))]), (similarity, [np.zeros((5, 9, 3)), np.zeros((9, 2))]),
    (lmd, [np.zeros((3, 68, 2)), np.zeros((4, 68, 2))])])
def test_shapes_are_checked_in_the_rooms_too(function, given):
    """conftest.py switches the check on for every room: without it these would run, or fail elsewhere."""
    with pytest.raises(TypeCheckError):
        function(*given)
