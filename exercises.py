"""exercises.py - write the paper's equations yourself: stubs, and a check that says what is wrong.

    python exercises.py list                     what there is, by session
    python exercises.py start my/                a folder of stubs; never writes over a file that is there
    python exercises.py check my/ --only eq8     one line an exercise; --json for a grader

`check` ends with 0 when all passed, 1 when not, 2 when the folder, NAME or FILE cannot be used.

A stub is made from our own source: signature and docstring as they stand there, its equation from registry.py; the
body raises the exercise's name. A check runs in a process of its own, so that a loop without end or a crash costs one
line. The questions that it asks, and the hints, are in tests/exercises_field.py, exercises_losses.py and
exercises_inputs.py. Read next: the stub of the first exercise.
"""
from __future__ import annotations

import argparse
import ast
import importlib.util
import inspect
import io
import json
import multiprocessing
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from dataclasses import asdict
from pathlib import Path

from media import InputError, replacing, run_cli
from registry import Link, link_of

ROOT = Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT / "tests")]  # the questions stand beside the tests; a student's file may import our modules

import exercises_field  # noqa: E402
import exercises_inputs  # noqa: E402
import exercises_losses  # noqa: E402
from exercise_checks import Exercise, NoAnswer, Verdict, diagnose, shortened  # noqa: E402

SESSIONS = {  # a course of six meetings, each with its exercises in order
    "What the field sees (Sec. 3.2)": "eq1_encoding eq1_conditioning eq1_rays",
    "Volume rendering (Sec. 3.2)": "eq1_weights eq1_sampling",
    "Comparing images (Sec. 3.3)": "eq2 eq3 eq5 eq4",
    "Codes, motion and light (Sec. 3.3, 4.1)": "eq6 eq7 light",
    "The head's pose (Sec. 3.2)": "camera pose light_turned",
    "Sound and lips (Sec. 3.1, 3.4, 4.3)": "alignment eq9 eq8 sync"}
MODULES = exercises_field, exercises_losses, exercises_inputs
FOUND = {e.name: e for module in MODULES for e in vars(module).values() if isinstance(e, Exercise)}
EXERCISES = {name: FOUND[name] for names in SESSIONS.values() for name in names.split()}
LIMIT = 20.0  # seconds that one exercise may take
TOOLS = {"math", "np", "torch", "F"}  # imported by a stub where our module does so, used or not
WIDTH = max(map(len, EXERCISES))  # of the column of names
PRINTED = 10  # lines that a student's function printed, shown above its line


def choose(only: str | None) -> list[str]:
    """Names of the exercises: all, one, or all of an equation (eq1: eq1_rays, ...). Raises InputError.

    "EQ8" and "eq8.py" are eq8.
    """
    wanted = only and only.lower().removesuffix(".py")
    if wanted in EXERCISES:
        return [wanted]
    names = [n for n in EXERCISES if only is None or n.startswith(f"{wanted}_")]
    if not names:
        raise InputError(f"--only {only}: no such exercise; there are {', '.join(EXERCISES)}")
    return names


# ------------------------------------------------------------------------------------------------------ stubs

def function_node(link: Link) -> tuple[ast.Module, ast.FunctionDef, list[str]]:
    """Syntax tree of the module, the function in it, and the module's lines."""
    module, name = link.function.split(".")
    text = (ROOT / f"{module}.py").read_text()
    tree = ast.parse(text)
    return tree, next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name), text.splitlines()


def imports_for(link: Link, tree: ast.Module, function: ast.FunctionDef) -> list[str]:
    """Import lines for TOOLS and for every name that the function takes from its module or from outside."""
    used = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)} - {a.arg for a in function.args.args} | TOOLS
    lines, own = [], []
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)) and getattr(node, "module", None) != "__future__":
            node.names = [a for a in node.names if (a.asname or a.name.split(".")[0]) in used]
            lines += [ast.unparse(node)] if node.names else []
        targets = node.targets if isinstance(node, ast.Assign) else [node]
        names = [getattr(t, "name", None) or getattr(t, "id", None) for t in targets]
        own += [name for name in names if name in used and name != function.name]
    return lines + (["", f"from {link.function.split('.')[0]} import {', '.join(own)}"] if own else [])


def stub(name: str, folder: Path) -> str:
    """The file that a student begins with, as it will lie in `folder`."""
    task, link = EXERCISES[name], link_of(name)
    tree, function, lines = function_node(link)
    head = "\n".join(lines[function.lineno - 1:function.body[0].end_lineno])  # to the end of the docstring
    paragraph = lambda text: "\n".join(textwrap.wrap(text, 115))
    session = [name in names.split() for names in SESSIONS.values()].index(True) + 1
    where = f"{link.paper}. Tutorial: \"{link.section}\". Session {session}, {task.rating}."
    return "\n".join([
        f'"""{name}: {task.title}.', "", where, "", f"    {link.formula}", "", paragraph(f"Task: {task.task}"), "",
        paragraph(f"Hint: {task.hint}"), "", f"Check: python exercises.py check {folder.as_posix()} --only {name}",
        f"Ours, for afterwards: {link.function}", '"""', "from __future__ import annotations", "",
        *imports_for(link, tree, function), "", "", head, f'    raise NotImplementedError("{name}")', ""])


def start(folder: Path, names: list[str]) -> None:
    """Write the stubs that are not there yet. Raises InputError when the folder cannot be made or is the program's."""
    if folder.resolve() in (ROOT, ROOT / "tests"):
        raise InputError(f"{folder}: holds the program itself; give a folder of its own, for example my/")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
    new = [name for name in names if not (folder / f"{name}.py").exists()]
    for name in new:
        with replacing(folder / f"{name}.py") as temporary:
            temporary.write_text(stub(name, folder))
    kept = len(names) - len(new)
    print(f"{folder}: {len(new)} of {len(names)} stubs written" +
          (f", {kept} were there already and stay as they are" if kept else "") +
          (f"; begin with {new[0]}.py" if new else "; delete a file to begin it anew"))


# ----------------------------------------------------------------------------------------------------- checks

def student_function(file: Path, name: str):
    """The function `name` of a student's file, run as a module. Raises what the file raises, NoAnswer without it."""
    spec = importlib.util.spec_from_file_location(f"student_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, name, None)):
        raise NoAnswer(f"{file.name} has no function {name}; was it renamed?")
    return getattr(module, name)


def borrowed_from(function, file: Path) -> str | None:
    """The module of ours in which a student's function stands, where it was imported and not written in `file`."""
    code = getattr(inspect.unwrap(function), "__code__", None)  # an object that can be called has none
    home = Path(code.co_filename).resolve() if code else file.resolve()
    return home.name if home.parent == ROOT and home != file.resolve() else None


def judge(name: str, folder: Path) -> Verdict:
    """Check one exercise in this process."""
    file, function = folder / f"{name}.py", link_of(name).function.split(".")[1]
    if not file.is_file():
        return Verdict(name, "not started", f"there is no {file.name}; `start` writes it")
    try:
        answer = student_function(file, function)
    except NoAnswer as error:
        return Verdict(name, "crashed", str(error))
    except SyntaxError as error:
        where = Path(error.filename or file)
        where = "" if where.resolve() == file.resolve() else f"{where.name}, "  # a module that the file imports
        line = f"line {error.lineno}" if error.lineno else "it"
        code = f", `{shortened(error.text.strip())}`," if (error.text or "").strip() else ""
        return Verdict(name, "crashed", f"{where}{line}{code} is not Python: {error.msg}")
    except (Exception, SystemExit) as error:
        return Verdict(name, "crashed", f"{file.name} cannot be loaded: {type(error).__name__}: {error}".split("\n")[0])
    if ours := borrowed_from(answer, file):
        return Verdict(name, "not started", f"{function} is imported from {ours}, our own; write yours")
    return diagnose(EXERCISES[name], answer)


def work(pipe, folder: Path, names: list[str]) -> None:
    """In a process of its own: judge one exercise after the other; send each verdict and what was printed."""
    warnings.simplefilter("ignore")  # they would stand between the lines of the report
    pipe.send("ready")
    for name in names:
        printed = io.StringIO()
        with redirect_stdout(printed), redirect_stderr(printed):
            verdict = judge(name, folder)
        pipe.send((verdict, printed.getvalue()))


def check(folder: Path, names: list[str], limit: float) -> Iterator[tuple[Verdict, str]]:
    """Verdict and printed text of each exercise; after one that crashed or took too long a new process goes on."""
    context, waiting = multiprocessing.get_context("spawn"), list(names)
    while waiting:
        pipe, far_end = context.Pipe()
        process = context.Process(target=work, args=(far_end, folder, waiting), daemon=True)
        process.start()
        far_end.close()
        try:
            pipe.recv()  # Python and torch are loaded: the time of the first exercise begins
            while waiting:
                if not pipe.poll(limit):
                    yield Verdict(waiting.pop(0), "stopped", f"no answer after {limit:g} s; a loop without end?"), ""
                    break
                answer = pipe.recv()
                waiting.pop(0)
                yield answer
        except EOFError:
            process.join()
            yield Verdict(waiting.pop(0), "crashed", f"it ended Python itself (exit code {process.exitcode})"), ""
        finally:
            process.kill()
            process.join()
            pipe.close()


def report(results: Iterator[tuple[Verdict, str]], count: int) -> list[Verdict]:
    """Print one line an exercise as it comes, below what its function printed, and a sum at the end."""
    verdicts = []
    for verdict, printed in results:
        lines = printed.splitlines()
        for line in lines[:PRINTED] + [f"... {len(lines) - PRINTED} lines more"] * (len(lines) > PRINTED):
            print(f"    | {line}")
        message = f": {verdict.message}" if verdict.message else ""
        print(f"{verdict.exercise:{WIDTH}} {verdict.status}{message}", flush=True)
        verdicts.append(verdict)
    passed = sum(v.status == "passed" for v in verdicts)
    next_one = next((v.exercise for v in verdicts if v.status != "passed"), None)
    print(f"{passed} of {count} passed" + (f"; next: {next_one} ({EXERCISES[next_one].rating})" if next_one else ""))
    return verdicts


def need_folder(folder: Path) -> None:
    """Raises InputError where `folder` is none."""
    if folder.is_file():
        only = f" --only {folder.stem}" if folder.stem in EXERCISES else ""
        raise InputError(f"{folder}: is a file; give its folder: check {folder.parent}/{only}")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; make it with python exercises.py start {folder}")


def write_json(path: Path, verdicts: list[Verdict]) -> None:
    """For a grader: each verdict with the rating, and how many passed."""
    rows = [asdict(v) | {"rating": EXERCISES[v.exercise].rating} for v in verdicts]
    passed = sum(v.status == "passed" for v in verdicts)
    path.write_text(json.dumps({"passed": passed, "of": len(verdicts), "exercises": rows}, indent=1) + "\n")


def show_list(names: list[str]) -> None:
    """The exercises by session."""
    for number, (title, members) in enumerate(SESSIONS.items(), 1):
        here = [EXERCISES[n] for n in members.split() if n in names]
        if here:
            print(f"Session {number}: {title}")
        for e in here:
            print(f"  {e.name:{WIDTH}} {e.rating:7} {e.title} ({link_of(e.name).paper}, {link_of(e.name).function})")


def main(arguments: list[str] | None = None) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description="Exercises: write the paper's equations yourself.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("list", "what there is, by session"), ("start", "write stubs into a folder"),
                       ("check", "check the functions in a folder; exit code 0 when all passed, 1 when not, 2 when "
                                 "the folder, NAME or FILE cannot be used")):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--only", metavar="NAME", help="one exercise, or all of an equation, for example eq1")
        if name != "list":
            command.add_argument("folder", type=Path, help="your folder, for example my/")
    command.add_argument("--json", type=Path, metavar="FILE", help="also write the results for a grader")
    args = parser.parse_args(arguments)
    names = choose(args.only)
    if args.command == "list":
        show_list(names)
    elif args.command == "start":
        start(args.folder, names)
    else:
        need_folder(args.folder)
        with replacing(args.json) if args.json else nullcontext() as file:  # a wrong FILE is told before the checks
            verdicts = report(check(args.folder, names, LIMIT), len(names))
            if file:
                write_json(file, verdicts)
        return int(any(v.status != "passed" for v in verdicts))
    return 0


if __name__ == "__main__":
    run_cli(main)
