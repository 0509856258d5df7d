"""mine.py - Sec. 4.2: training with functions that a student wrote in place of ours (--mine my/).

`python exercises.py check my/` says which functions of the folder pass. Those then stand wherever
ours stood, in every module that uses them: the pass, its gradients and all of training go through
the student's own lines. What did not pass stays ours, and the printed lines say so.

In:  a folder of answers to the exercises. Out: a program that uses them. Next: exercises.py.
"""
from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
in_use: dict[str, Path] = {}  # function of ours -> file of the student's that stands for it


def use(folder: str | Path | None) -> list[str]:
    """Put the functions of `folder` that pass in place of ours; None: do nothing.

    Returns the names of ours that were replaced, such as "losses.info_nce". Raises InputError where
    the folder is none, or no function in it passes.
    """
    if folder is None:
        return []
    folder = Path(folder)
    rows = checked(folder)
    passed = [row for row in rows if row["status"] == "passed"]
    if not passed:
        raise InputError(f"{folder}: no function in it passes yet, so there is nothing to train "
                         f"with; see python exercises.py check {folder}")
    take_over({row["function"]: (folder / f"{row['exercise']}.py").resolve() for row in passed})
    others = [row["function"] for row in rows if row["status"] != "passed"]
    print(f"yours, from {folder}: {', '.join(row['function'] for row in passed)}")
    print(f"ours: {', '.join(others) if others else 'none of the exercises'}")
    return [row["function"] for row in passed]


def take_over(files: dict[str, Path]) -> None:
    """{function of ours: file of the student's}: from now on theirs.

    A process that draws heads beside this one is told the same, see data/mesh_takes.py.
    """
    in_use.update(files)
    for folder in {str(file.parent) for file in files.values()}:
        sys.path.append(folder)  # a module of the student's own may lie beside
    theirs = {function: load(file, function) for function, file in files.items()}
    for function, of_student in theirs.items():
        replace(function, of_student)


def checked(folder: Path) -> list[dict]:
    """The verdict on each exercise; its lines are printed as they come."""
    with tempfile.TemporaryDirectory() as work:
        report = Path(work) / "verdicts.json"
        command = [sys.executable, str(ROOT / "exercises.py"), "check", str(folder),
                   "--json", str(report)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode not in (0, 1):
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise InputError(said[-1].removeprefix("error: "))
        return json.loads(report.read_text())["exercises"]


def load(file: Path, function: str):
    """The student's function that stands for "module.name" of ours."""
    name = function.rpartition(".")[2]
    spec = importlib.util.spec_from_file_location(f"mine_{file.stem}", file)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # `replace` looks there
    spec.loader.exec_module(module)
    return getattr(module, name)


def replace(function: str, theirs) -> None:
    """Put `theirs` wherever a module has "module.name" of ours, under whatever name."""
    module, _, name = function.rpartition(".")
    ours = getattr(importlib.import_module(module), name)
    for loaded in list(sys.modules.values()):
        names = getattr(loaded, "__dict__", {})
        for key in [key for key, value in list(names.items()) if value is ours]:
            names[key] = theirs
