"""worker.py - the process in which a student's function runs (no part of the paper).

runner.py starts it and asks; it answers with what the function returned, and judges nothing: right
answers are where no student's code runs. Each exercise has a process of its own (a fork, where the
system has one), so what one file changes about the program is gone for the next. There our own
function of the exercise is one that raises Borrowed, under every name that a module has for it,
and its file, the questions and the tests cannot be opened.

In:  requests on the standard input, pickled by runner.py. Out: replies on the standard output, in
JSON, which runs nothing where it is read. Read next: runner.py.
"""
from __future__ import annotations

import base64
import importlib
import importlib.util
import io
import json
import linecache
import os
import pickle
import struct
import sys
import traceback
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # where Python has put this file's folder

import numpy as np
import scipy.spatial.transform  # noqa: F401  loaded before the guard, as students' files want it
import torch

import classroom.props  # noqa: F401  of what some arguments are made
from classroom.handed import arrays_in, outline
from tools import mine

PRINTED = 20_000  # characters of a function's output that are sent on
LARGEST = 2**26  # bytes of an answer
REFUSED = frozenset(
    f"os.{name}" for name in
    "chmod chown exec fork forkpty kill killpg link mkdir posix_spawn remove rename rmdir spawn "
    "symlink system truncate utime".split()) | {
    "ctypes.dlopen", "ctypes.dlsym", "gc.get_objects", "gc.get_referents", "gc.get_referrers",
    "socket.connect", "subprocess.Popen"}  # audit events
# What does such things without an event, by module. No sandbox: torch's native functions have more
# ways to a file (torch._C._VariableFunctions, which cannot be changed), and so has /proc.
UNHEARD = {"_posixsubprocess": ["fork_exec"], "subprocess": ["_fork_exec"],
           "os": ["mkfifo", "mknod"], "torch": ["from_file", "save"],
           "torch._C": ["PyTorchFileWriter", "PyTorchFileReader"],
           "torch.UntypedStorage": ["from_file"], "torch.serialization": ["save"]}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC


class Borrowed(Exception):
    """The student's function hands its work to ours. The text says so to the student."""


class Refused(Exception):
    """What no exercise needs: other programs, files that are written."""


# ---------------------------------------------------------------------------------------- messages

def read(pipe: int) -> bytes | None:
    """The next message, or None at the end; nothing of the one after it."""
    head = exactly(pipe, 4)
    return head and exactly(pipe, struct.unpack("<I", head)[0])


def exactly(pipe: int, count: int) -> bytes | None:
    parts = b""
    while len(parts) < count:
        part = os.read(pipe, count - len(parts))
        if not part:
            return None
        parts += part
    return parts


def write(pipe: int, message: bytes) -> None:
    message = struct.pack("<I", len(message)) + message
    while message:
        message = message[os.write(pipe, message):]


def encoded(value: object, outputs: list[torch.Tensor]) -> dict:
    """A returned value as JSON has it. Tensors with a gradient are also added to `outputs`."""
    if value is None or isinstance(value, (bool, int, float)) and type(value) in (bool, int, float):
        return {"kind": "plain", "value": value}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {"kind": kind, "parts": [encoded(part, outputs) for part in value]}
    if isinstance(value, dict):
        return {"kind": "dict", "keys": [str(key) for key in value],
                "parts": [encoded(part, outputs) for part in value.values()]}
    if isinstance(value, torch.Tensor):
        found = packed(value.detach().cpu().numpy()) | {"kind": "tensor"}
        if value.requires_grad:
            found["output"] = len(outputs)
            outputs.append(value)
        return found
    if isinstance(value, (np.ndarray, np.generic)):
        return packed(np.asarray(value)) | {"kind": "array"}
    return {"kind": "other", "name": type(value).__name__}


def packed(array: np.ndarray) -> dict:
    """An array of numbers, in text."""
    if array.dtype.kind not in "biuf":
        return {"kind": "other", "name": f"{array.dtype} array"}
    if array.nbytes > LARGEST:
        raise ValueError(f"the result has {array.size} numbers, far more than asked for")
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


# ------------------------------------------------------------------------------------------- guard

def replace_ours(module: str, name: str) -> None:
    """Put a function that raises Borrowed where ours stands, in every module that has it."""
    said = f"{name} is imported from {module.split('.')[-1]}.py, our own; write yours"

    def borrowed(*_, **__):
        raise Borrowed(said)

    mine.replace(f"{module}.{name}", borrowed)


def guard(module: str, folder: Path) -> None:
    """From now on refuse to open the answer, to write files and to start programs."""
    source = ROOT / f"{module.replace('.', '/')}.py"
    closed = [source, *source.parent.glob(f"__pycache__/{source.stem}.*")]
    for room in ("classroom", "tests"):
        closed += (ROOT / room).rglob("*.py*")
    # Bound here, since a student's file can put other functions where these stand.
    stat, resolve, decode, relative, last, join = (
        os.stat, os.path.realpath, os.fsdecode, os.path.relpath, os.path.basename, os.path.join)
    secret = frozenset((s.st_dev, s.st_ino) for s in map(stat, closed))
    kept = tuple(join(place, "") for place in (str(ROOT), str(folder.resolve())))
    hidden = join(str(ROOT), ".git", "")
    paths, refused, writing = (str, bytes, os.PathLike), REFUSED, WRITING

    def hook(event: str, args: tuple) -> None:
        if event in refused:
            raise Refused(f"it asks for {event}, which no exercise needs")
        if event != "open" or not isinstance(args[0], paths):
            return
        path = decode(args[0])
        real = resolve(path)
        if (args[2] or 0) & writing and real.startswith(kept):
            raise Refused(f"it writes the file {last(real)}; print instead")
        if real.startswith("/proc/") and real.endswith("/mem") or real.startswith(hidden):
            raise Refused(f"it reads {path}, which no exercise needs")
        try:
            found = stat(path)
        except OSError:
            return
        if (found.st_dev, found.st_ino) in secret:
            raise Borrowed(f"it reads {relative(real, ROOT)}, where the answer stands; write yours")

    for place, names in UNHEARD.items():
        for key in names:
            silence(place, key)
    sys.addaudithook(hook)


def silence(place: str, name: str) -> None:
    """Put a function that raises Refused where module or class `place` has `name`."""
    def unheard(*_, **__):
        raise Refused(f"it asks for {place}.{name}, which no exercise needs")

    if place in sys.modules:
        owner = sys.modules[place]
    else:  # a class or another object of a module
        module, _, attribute = place.rpartition(".")
        owner = getattr(sys.modules.get(module), attribute, None)
    if hasattr(owner, name):  # not every version of Python and torch has all of them
        setattr(owner, name, unheard)


# ------------------------------------------------------------------------------------------- serve

def load(file: Path, name: str):
    """The function `name` of a student's file, or a text that says why there is none."""
    try:
        spec = importlib.util.spec_from_file_location(f"student_{file.stem}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except SyntaxError as error:
        where = Path(error.filename or file)
        where = f"{where.name}, " if where.resolve() != file.resolve() else ""  # one it imports
        line = f"line {error.lineno}" if error.lineno else "it"
        code = (error.text or "").strip()
        code = f", `{code[:60]}`," if code else ""
        return f"{where}{line}{code} is not Python: {error.msg}"
    except Borrowed:
        raise
    except (Exception, SystemExit) as error:
        return f"{file.name} cannot be loaded: {type(error).__name__}: {error}".split("\n")[0]
    if not callable(getattr(module, name, None)):
        return f"{file.name} has no function {name}; was it renamed?"
    return getattr(module, name)


def told(error: BaseException, file: Path) -> dict:
    """An error for runner.py: class names, text, and the last line of the student's file."""
    lines = [number for frame, number in traceback.walk_tb(error.__traceback__)
             if frame.f_code.co_filename == str(file)]
    at = [lines[-1], linecache.getline(str(file), lines[-1]).strip()] if lines else None
    return {"kinds": [kind.__name__ for kind in type(error).__mro__], "text": str(error)[:2000],
            "at": at}


class Served:
    """One exercise: the student's function, and the graphs of its calls."""

    def __init__(self, job: dict):
        self.file, self.calls = Path(job["file"]), []
        replace_ours(job["module"], job["name"])
        sys.path.append(str(self.file.parent))  # a module of one's own may lie beside
        guard(job["module"], self.file.parent)
        self.function = load(self.file, job["name"])

    def call(self, request: dict) -> dict:
        """Ask the function. The reply has what came out, and the arguments as they are now."""
        given, named = request["given"], request["named"]
        arrays = list(arrays_in([given, named]))
        leaves = [arrays[i].requires_grad_() for i in request["leaves"]]
        torch.manual_seed(request["seed"])
        outputs: list[torch.Tensor] = []
        answer = encoded(self.function(*given, **named), outputs)
        self.calls.append((outputs, leaves))
        after = [encoded(a.detach() if isinstance(a, torch.Tensor) else a, []) for a in arrays]
        return {"answer": answer, "after": after, "outline": outline([given, named]),
                "number": len(self.calls) - 1}

    def backward(self, request: dict) -> dict:
        """Gradients of the outputs of an earlier call by its leaves, None where none arrives."""
        outputs, leaves = self.calls[request["number"]]
        found = torch.autograd.grad(outputs, leaves, request["cotangents"], retain_graph=True,
                                    allow_unused=True)
        return {"gradients": [None if g is None else encoded(g.detach(), []) for g in found]}


def serve(job: dict, requests: int, replies: int) -> None:
    """Load a student's file, then answer until there is no request more."""
    warnings.simplefilter("ignore")  # they would stand between the lines of the report
    served, request = None, None
    while True:
        printed, asked = io.StringIO(), job if served is None else request
        try:
            with redirect_stdout(printed), redirect_stderr(printed):
                if served is None:
                    served = Served(job)
                    fault = served.function if isinstance(served.function, str) else None
                    reply = {"fault": fault}
                else:
                    reply = getattr(served, request["do"])(request)
        except (Exception, SystemExit) as error:
            reply = {"error": told(error, Path(job["file"]))}
        said = {"printed": printed.getvalue()[:PRINTED], "to": asked["request"]}
        write(replies, json.dumps(reply | said).encode())
        message = read(requests)
        request = message and pickle.loads(message)
        if not request:
            return


def main() -> None:
    """Serve one exercise after the other, each in a fork; without fork, one and no more.

    That a fork has ended is said on a pipe of its own, the standard error, which the fork has not.
    """
    requests, replies, ends = os.dup(0), os.dup(1), os.dup(2)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    sys.dont_write_bytecode = True
    torch.set_num_threads(1)  # a fork has no threads but its own
    write(ends, b'{"ready": true}')
    while message := read(requests):
        job = pickle.loads(message)
        importlib.import_module(job["module"])
        if not hasattr(os, "fork"):
            serve(job, requests, replies)
            return
        child = os.fork()
        if child == 0:
            os.close(ends)
            try:
                serve(job, requests, replies)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        write(ends, json.dumps({"ended": os.waitstatus_to_exitcode(status)}).encode())


if __name__ == "__main__":
    main()
