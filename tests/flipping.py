"""flipping.py - runs tests of a copy of the repository in which one choice is changed to another.

A process of its own, which test_ledger.py starts. It imports once what the tests import and is not ours. Each job is
done in a fork of it: files of the copy are changed, the named tests run, and the files are put back.

In:  lines of JSON, {"edits": [[file, old text, new text], ...], "tests": ["tests/test_x.py::test_y", ...]}.
Out: lines of JSON, {"failed": {test: how}, "passed": [test, ...]}; how: "assertion" or the name of another error.

Shapes are not checked here: to build the checks takes two seconds a job, and no choice is a shape.
"""
import gc
import importlib
import json
import os
import sys
import traceback
from pathlib import Path

VALUES = "tests/test_values.py"  # reads nothing but config.py, and so is quick


class Recorder:
    """A plugin of pytest: which tests passed, and how the others failed."""

    def __init__(self):
        self.failed, self.passed = {}, []

    def pytest_exception_interact(self, node, call, report):
        kind = call.excinfo.type
        wanted = report.when == "call" and (issubclass(kind, AssertionError) or kind.__name__ == "Failed")
        self.failed[node.nodeid] = "assertion" if wanted else f"{kind.__name__}: {call.excinfo.value}"[:300]

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and report.passed:
            self.passed.append(report.nodeid)


def run(root, recorder, *asked):
    """pytest, its exit status; no plugins but the recorder and that of pytest.ini's options, no cache."""
    import pytest
    without = [part for name in ("cacheprovider", "unraisableexception", "threadexception") for part in ("-p", f"no:{name}")]
    return int(pytest.main(["-x", "-q", "-p", "xdist", "-n", "0", *without, "--rootdir", str(root), *asked], plugins=[recorder]))


def tests_of(root, tests):
    """What the tests do, in this process. File by file, until one fails."""
    recorder = Recorder()
    for file in dict.fromkeys(test.split("::")[0] for test in tests):
        code = run(root, recorder, *(test for test in tests if test.split("::")[0] == file))
        if code not in (0, 1) and not recorder.failed:
            recorder.failed = {file: f"pytest ended with {code}: is there such a test?"}
        if recorder.failed:
            break
    return {"failed": recorder.failed, "passed": recorder.passed}


def imported_by(root, tests):
    """Names of the modules that the tests import and that do not lie in the copy."""
    run(root, Recorder(), "--collect-only", *tests)
    ours = lambda module: str(getattr(module, "__file__", None) or "").startswith(str(root))
    return [name for name, module in list(sys.modules.items()) if not ours(module)]


def ordered(edits, tests):
    """The tests of a job: a change of config.py is seen by test_values.py if by any, other changes never."""
    of_values = [test for test in tests if test.startswith(VALUES)]
    others = [test for test in tests if test not in of_values]
    in_config = {edit[0] for edit in edits} == {"config.py"}
    return of_values + others if in_config or not edits else others


def in_a_fork(root, what, tests, changed):
    """what(root, tests) in a fork; its output goes into log.txt. changed: compiled code is not kept."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            sys.dont_write_bytecode = changed
            os.chdir(root)
            sys.path[:0] = [str(root), str(root / "tests")]
            out = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1), os.dup2(out, 2)
            answer = what(root, tests)
        except BaseException:
            answer = {"failed": {"flipping.py": traceback.format_exc()}, "passed": []}
        with os.fdopen(write, "w") as pipe:
            pipe.write(json.dumps(answer))
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else {"failed": {"flipping.py": "the process died"}, "passed": []}


def done(root, job, number):
    """The answer to a job, the copy as it was before."""
    kept = {}
    for name, old, new in job["edits"]:
        path = root / name
        text = path.read_text()
        if text.count(old) != 1:
            return {"failed": {name: f"has {old!r} {text.count(old)} times, not once"}, "passed": []}
        kept.setdefault(path, (text, path.stat()))
        path.write_text(text.replace(old, new))
        os.utime(path, (number, number))  # compiled code is known by the second of its source
    try:
        return in_a_fork(root, tests_of, ordered(job["edits"], job["tests"]), bool(kept))
    finally:
        for path, (text, stat) in kept.items():
            path.write_text(text)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def main():
    """flipping.py COPY TEST_FILE ...: the files are those whose tests will be asked for."""
    root, files = Path(sys.argv[1]), sys.argv[2:]
    here = Path(__file__).resolve().parent
    sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != here]
    import jaxtyping
    import pytest  # noqa: F401 - and all that it needs, before the first fork
    import torch._dynamo  # noqa: F401 - which Adam needs. No operation runs: its threads would not outlive a fork
    jaxtyping.install_import_hook = lambda *_: None
    for name in in_a_fork(root, imported_by, files, False):
        if name not in sys.modules and not name.startswith("_"):
            try:
                importlib.import_module(name)
            except Exception:  # a half of another module, which is not there alone; the fork imports it
                pass
    gc.freeze()
    for number, line in enumerate(sys.stdin, 1):
        print(json.dumps(done(root, json.loads(line), number)), flush=True)


if __name__ == "__main__":
    main()
