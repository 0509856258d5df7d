"""flipping.py - runs tests of a copy of the repository in which one choice is changed to another.

A process of its own, which test_ledger.py starts. It imports what is large and not ours once, and does each job
in a fork of itself: files of the copy are changed, the named tests run, and the files are put back.

In:  lines of JSON, {"edits": [[file, old text, new text], ...], "tests": ["tests/test_x.py::test_y", ...]}.
Out: lines of JSON, {"failed": {test: how}, "passed": [test, ...]}; how: "assertion" or the name of another error.
"""
import importlib
import json
import os
import sys
import traceback
from pathlib import Path

# No operation may run before the fork: threads of OpenMP do not outlive it.
LARGE = ("torch", "torch.nn.functional", "torch.distributed", "numpy", "scipy.linalg", "scipy.ndimage", "scipy.optimize",
         "scipy.signal", "scipy.sparse", "scipy.spatial", "scipy.spatial.transform", "scipy.special", "scipy.stats",
         "cv2", "PIL.Image", "tqdm", "hypothesis", "hypothesis.strategies", "pytest", "jaxtyping", "beartype",
         "torch.optim", "torch.utils.checkpoint", "torch._dynamo", "concurrent.futures.process")


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


def tests_of(root, tests):
    """What the tests do, in this process."""
    import pytest
    os.chdir(root)
    sys.path[:0] = [str(root), str(root / "tests")]
    recorder = Recorder()
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--rootdir", str(root), *tests], plugins=[recorder])
    if code not in (0, 1) and not recorder.failed:
        recorder.failed = {"pytest": f"ended with {int(code)}: is there such a test?"}
    return {"failed": recorder.failed, "passed": recorder.passed}


def in_a_fork(root, tests, log, changed):
    """tests_of in a fork; what it prints goes into the file `log`. changed: keep no compiled code."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            sys.dont_write_bytecode = changed
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1), os.dup2(out, 2)
            answer = tests_of(root, tests)
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
        return in_a_fork(root, job["tests"], root / "log.txt", bool(kept))
    finally:
        for path, (text, stat) in kept.items():
            path.write_text(text)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def main():
    root = Path(sys.argv[1])
    sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).resolve().parent]
    for name in LARGE:
        importlib.import_module(name)
    for number, line in enumerate(sys.stdin, 1):
        print(json.dumps(done(root, json.loads(line), number)), flush=True)


if __name__ == "__main__":
    main()
