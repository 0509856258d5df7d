"""runner.py - checks a folder of answers, each in a process of its own (no part of the paper).

So a loop without end or a crash costs one line. The questions, and the hints, are in questions/.

In:  a folder of students' files. Out: verdicts, and one printed line per exercise.
Read next: checks.py.
"""
from __future__ import annotations

import importlib.util
import inspect
import io
import json
import multiprocessing
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from pathlib import Path

from classroom.checks import NoAnswer, Verdict, diagnose, shortened
from classroom.registry import is_ours, link_of
from classroom.stubs import EXERCISES
from tools.errors import InputError

LIMIT = 20.0  # seconds that one exercise may take
WIDTH = max(map(len, EXERCISES))  # of the column of names
PRINTED = 10  # lines that a student's function printed, shown above its line


# ------------------------------------------------------------------------------------------- checks

def student_function(file: Path, name: str):
    """The function `name` of a student's file. Raises what the file raises, NoAnswer without it."""
    spec = importlib.util.spec_from_file_location(f"student_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, name, None)):
        raise NoAnswer(f"{file.name} has no function {name}; was it renamed?")
    return getattr(module, name)


def borrowed_from(function, file: Path) -> str | None:
    """The module of ours from which a student's function was imported, if it was."""
    code = getattr(inspect.unwrap(function), "__code__", None)  # a callable object has none
    home = Path(code.co_filename).resolve() if code else file.resolve()
    return home.name if is_ours(home) and home != file.resolve() else None


def judge(name: str, folder: Path) -> Verdict:
    """Check one exercise in this process."""
    file, function = folder / f"{name}.py", link_of(name).name
    if not file.is_file():
        return Verdict(name, "not started", f"there is no {file.name}; `start` writes it")
    try:
        answer = student_function(file, function)
    except NoAnswer as error:
        return Verdict(name, "crashed", str(error))
    except SyntaxError as error:
        where = Path(error.filename or file)
        imported = where.resolve() != file.resolve()  # the error is in another module
        where = f"{where.name}, " if imported else ""
        line = f"line {error.lineno}" if error.lineno else "it"
        code = f", `{shortened(error.text.strip())}`," if (error.text or "").strip() else ""
        return Verdict(name, "crashed", f"{where}{line}{code} is not Python: {error.msg}")
    except (Exception, SystemExit) as error:
        fault = f"{type(error).__name__}: {error}".split("\n")[0]
        return Verdict(name, "crashed", f"{file.name} cannot be loaded: {fault}")
    if ours := borrowed_from(answer, file):
        hint = f"{function} is imported from {ours}, our own; write yours"
        return Verdict(name, "not started", hint)
    return diagnose(EXERCISES[name], answer)


def work(pipe, folder: Path, names: list[str]) -> None:
    """In a process of its own: judge the exercises; send each verdict and what was printed."""
    warnings.simplefilter("ignore")  # they would stand between the lines of the report
    pipe.send("ready")
    for name in names:
        printed = io.StringIO()
        with redirect_stdout(printed), redirect_stderr(printed):
            verdict = judge(name, folder)
        pipe.send((verdict, printed.getvalue()))


def check(folder: Path, names: list[str], limit: float) -> Iterator[tuple[Verdict, str]]:
    """Verdict and printed text of each exercise; after a crash or a stop a new process goes on."""
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
                    fault = f"no answer after {limit:g} s; a loop without end?"
                    yield Verdict(waiting.pop(0), "stopped", fault), ""
                    break
                answer = pipe.recv()
                waiting.pop(0)
                yield answer
        except EOFError:
            process.join()
            fault = f"it ended Python itself (exit code {process.exitcode})"
            yield Verdict(waiting.pop(0), "crashed", fault), ""
        finally:
            process.kill()
            process.join()
            pipe.close()


def report(results: Iterator[tuple[Verdict, str]], count: int) -> list[Verdict]:
    """Print one line per exercise as it comes, below what its function printed, then a sum."""
    verdicts = []
    for verdict, printed in results:
        lines = printed.splitlines()
        if len(lines) > PRINTED:
            lines = lines[:PRINTED] + [f"... {len(lines) - PRINTED} lines more"]
        for line in lines:
            print(f"    | {line}")
        message = f": {verdict.message}" if verdict.message else ""
        print(f"{verdict.exercise:{WIDTH}} {verdict.status}{message}", flush=True)
        verdicts.append(verdict)
    passed = sum(v.status == "passed" for v in verdicts)
    next_one = next((v.exercise for v in verdicts if v.status != "passed"), None)
    after = f"; next: {next_one} ({EXERCISES[next_one].rating})" if next_one else ""
    print(f"{passed} of {count} passed{after}")
    return verdicts


def need_folder(folder: Path) -> None:
    """Raises InputError where `folder` is none."""
    if folder.is_file():
        only = f" --only {folder.stem}" if folder.stem in EXERCISES else ""
        raise InputError(f"{folder}: is a file; give its folder: check {folder.parent}/{only}")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; "
                         f"make it with python exercises.py start {folder}")


def write_json(path: Path, verdicts: list[Verdict]) -> None:
    """For a grader: each verdict with the rating, and how many passed."""
    graded = [asdict(v) | {"rating": EXERCISES[v.exercise].rating} for v in verdicts]
    passed = sum(v.status == "passed" for v in verdicts)
    summary = {"passed": passed, "of": len(verdicts), "exercises": graded}
    path.write_text(json.dumps(summary, indent=1) + "\n")
