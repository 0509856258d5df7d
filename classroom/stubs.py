"""stubs.py - the list of exercises, and the file with which a student begins each one.

A stub is made from our own source: signature and docstring as they stand there, its equation (its
place in the paper) from registry.py; the body raises the exercise's name.

In:  a folder and names of exercises. Out: the stubs. Read next: runner.py.
"""
from __future__ import annotations

import ast
import textwrap
from pathlib import Path

from classroom.checks import Exercise
from classroom.questions import (field, illumination, inputs, losses, pairs, rendering, sound,
                                 whole_ray)
from classroom.registry import ROOMS, ROOT, Link, link_of
from tools.errors import InputError, replacing

SESSIONS = {  # a course of six meetings, each with its exercises in order
    "What the field sees (Sec. 3.2)": "eq1_encoding eq1_conditioning eq1_rays",
    "Volume rendering (Sec. 3.2)": "eq1_weights eq1_sampling eq1_render",
    "Comparing images (Sec. 3.3)": "eq2 eq3 eq5 eq4",
    "Codes, motion and light (Sec. 3.3, 4.1)": "eq6 contrast eq7 light",
    "The head's pose (Sec. 3.2)": "camera pose light_turned",
    "Sound and lips (Sec. 3.1, 3.4, 4.3)": "alignment eq9 eq8 sync"}
MODULES = field, rendering, whole_ray, losses, pairs, illumination, inputs, sound
FOUND = {e.name: e for module in MODULES for e in vars(module).values() if isinstance(e, Exercise)}
EXERCISES = {name: FOUND[name] for names in SESSIONS.values() for name in names.split()}


def choose(only: str | None) -> list[str]:
    """Names of the exercises: all, one ("EQ8", "eq8.py" too), or all of an equation: "eq1".

    Raises InputError on a name that is none of these.
    """
    wanted = only and only.lower().removesuffix(".py")
    if wanted in EXERCISES:
        return [wanted]
    names = [n for n in EXERCISES if only is None or n.startswith(f"{wanted}_")]
    if not names:
        raise InputError(f"--only {only}: no such exercise; there are {', '.join(EXERCISES)}")
    return names


# -------------------------------------------------------------------------------------------- stubs

def function_node(link: Link) -> tuple[ast.Module, ast.FunctionDef, list[str]]:
    """Syntax tree of the module, the function in it, and the module's lines."""
    text = (ROOT / link.file).read_text()
    tree = ast.parse(text)
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == link.name)
    return tree, function, text.splitlines()


def imports_for(link: Link, tree: ast.Module, function: ast.FunctionDef) -> list[str]:
    """Import lines for every name that the function takes from around it.

    And for torch, or where it works on arrays NumPy: its author may not need it, a student will.
    """
    mentioned = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
    used = mentioned - {a.arg for a in function.args.args}
    used |= {"torch"} if "Tensor" in mentioned else {"np"}
    lines, own = [], []
    for node in tree.body:
        imports = isinstance(node, (ast.Import, ast.ImportFrom))
        if imports and getattr(node, "module", None) != "__future__":
            node.names = [a for a in node.names if (a.asname or a.name.split(".")[0]) in used]
            lines += [ast.unparse(node)] if node.names else []
        targets = node.targets if isinstance(node, ast.Assign) else [node]
        names = [getattr(t, "name", None) or getattr(t, "id", None) for t in targets]
        own += [name for name in names if name in used and name != function.name
                and not name.startswith("_")]
    line = f"from {link.module} import {', '.join(own)}"
    if len(line) > 100:
        begin = f"from {link.module} import ("
        line = textwrap.fill(f"{begin}{', '.join(own)})", 100, subsequent_indent=" " * len(begin))
    return lines + (["", line] if own else [])


def stub(name: str, folder: Path) -> str:
    """The file that a student begins with, as it will lie in `folder`."""
    task, link = EXERCISES[name], link_of(name)
    tree, function, lines = function_node(link)
    docstring = function.body[0]
    head = "\n".join(lines[function.lineno - 1:docstring.end_lineno])
    session = [name in names.split() for names in SESSIONS.values()].index(True) + 1
    where = f"{link.paper}. Tutorial: \"{link.section}\". Session {session}, {task.rating}."
    asked, hint = textwrap.fill(f"Task: {task.task}", 100), textwrap.fill(f"Hint: {task.hint}", 100)
    check = f"Check: python exercises.py check {folder.as_posix()} --only {name}"
    return "\n".join([
        f'"""{name}: {task.title}.', "", where, "", f"    {link.formula}", "", asked, "", hint, "",
        check, f"Ours, for afterwards: {link.function}", '"""',
        "from __future__ import annotations", "", *imports_for(link, tree, function), "", "", head,
        f'    raise NotImplementedError("{name}")', ""])


def start(folder: Path, names: list[str]) -> None:
    """Write the stubs that are missing. InputError: the folder cannot be made or is ours."""
    if folder.resolve() in (ROOT, *(ROOT / room for room in ROOMS)):
        raise InputError(f"{folder}: holds the program itself; "
                         "give a folder of its own, for example my/")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fault = f"cannot be made ({error.strerror}); choose another folder"
        raise InputError(f"{folder}: {fault}") from error
    new = [name for name in names if not (folder / f"{name}.py").exists()]
    for name in new:
        with replacing(folder / f"{name}.py") as temporary:
            temporary.write_text(stub(name, folder))
    kept = len(names) - len(new)
    print(f"{folder}: {len(new)} of {len(names)} stubs written" +
          (f", {kept} were there already and stay as they are" if kept else "") +
          (f"; begin with {new[0]}.py" if new else "; delete a file to begin it anew"))
