"""runner.py - checks a folder of answers (no part of the paper).

Each function runs in a process of its own (worker.py) and gets its questions from here, where its
answers are compared. So a loop without end or a crash costs one line, and no file can change how
it, or another one, is judged. The questions, and the hints, are in questions/.

In:  a folder of students' files. Out: verdicts, and one printed line per exercise.
Read next: checks.py.
"""
from __future__ import annotations

import base64
import json
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from classroom import checks
from classroom.checks import IN_PLACE, NoAnswer, StudentError, Verdict, diagnose
from classroom.handed import arrays_in, outline
from classroom.registry import ROOT, link_of
from classroom.stubs import EXERCISES
from tools.errors import InputError

LIMIT = 20.0  # seconds that one exercise may take
STARTING = 120.0  # seconds in which Python and torch must be loaded
WIDTH = max(map(len, EXERCISES))  # of the column of names
PRINTED = 10  # lines that a student's function printed, shown above its line


class Ended(BaseException):
    """The student's process is gone, or was ended: the status and the text of its verdict.

    No Exception, since after those diagnose goes on with the next question.
    """


# ------------------------------------------------------------------------------------- the process

class Worker:
    """A running worker.py: one exercise at a time."""

    def __init__(self):
        self.process, self.deadline, self.limit, self.printed = None, 0.0, LIMIT, ""
        self.asked = 0  # requests so far; each reply says which it is to

    def begin(self, name: str, file: Path, limit: float) -> str | None:
        """Load a student's file in a process of its own; returns what is wrong with it.

        From then on the exercise has `limit` seconds in all.
        """
        link, self.printed, self.limit = link_of(name), "", limit
        if self.process is None or self.process.poll() is not None:
            self.start()
        self.deadline = time.monotonic() + limit
        job = {"module": link.module, "name": link.name, "file": str(file.resolve())}
        return self.ask(job).get("fault")

    def start(self) -> None:
        """A new process. What it sends is read by a thread, so that waiting for it can end."""
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-B", str(ROOT / "classroom" / "worker.py")], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True)
        self.replies: queue.SimpleQueue = queue.SimpleQueue()
        for pipe in (self.process.stdout, self.process.stderr):
            trusted = pipe is self.process.stderr  # the student's process does not have it
            threading.Thread(target=receive, args=(pipe, self.replies, trusted),
                             daemon=True).start()
        try:
            self.replies.get(timeout=STARTING)  # Python and torch are loaded
        except queue.Empty:
            self.close()
            raise Ended("stopped", f"Python did not start within {STARTING:g} s") from None

    def ask(self, request: dict | None) -> dict:
        """Send a request and wait for its reply. Raises Ended, StudentError."""
        self.asked += 1
        message = pickle.dumps(request and request | {"request": self.asked})
        try:
            self.process.stdin.write(struct.pack("<I", len(message)) + message)
            self.process.stdin.flush()
            reply, trusted = self.replies.get(timeout=max(0.0, self.deadline - time.monotonic()))
        except (BrokenPipeError, queue.Empty) as error:
            gone = isinstance(error, BrokenPipeError)
            self.close()
            if gone:
                raise Ended("crashed", "it ended Python itself") from None
            fault = f"no answer after {self.limit:g} s; a loop without end?"
            raise Ended("stopped", fault) from None
        if trusted:
            code = reply.get("ended")
            raise Ended("crashed", f"it ended Python itself (exit code {code})")
        if reply.get("to") != self.asked:
            raise self.disturbed()
        self.printed += str(reply.pop("printed", ""))
        if "error" in reply:
            raise self.error_of(reply["error"])
        return reply

    def error_of(self, error: dict) -> BaseException:
        """The error that a reply tells of."""
        try:
            at = error["at"] and (int(error["at"][0]), str(error["at"][1]))
            return StudentError(str(error["text"]), list(map(str, error["kinds"])), at)
        except (KeyError, TypeError, ValueError, IndexError):
            return self.disturbed()

    def disturbed(self) -> "Ended":
        """What is raised where a reply is not one that worker.py writes; the process is ended."""
        self.close()
        return Ended("crashed", "it writes into the pipe between itself and the checker")

    def finish(self) -> None:
        """End the exercise; the worker waits for the next one, and has nothing more to say."""
        self.deadline = time.monotonic() + LIMIT
        try:
            self.ask(None)
        except Ended as ended:
            more = not self.replies.empty()
            if self.process is not None and (more or ended.args[0] == "stopped"):
                self.close()

    def close(self) -> None:
        """End the process and all that it has started."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (AttributeError, ProcessLookupError, PermissionError):  # no groups; gone
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()
        self.process = None


def receive(pipe, replies: queue.SimpleQueue, trusted: bool) -> None:
    """Read messages until the process ends. JSON only: what comes from there is not to be run.

    trusted: of the worker itself, which tells when a student's process has ended.
    """
    try:
        while len(head := pipe.read(4)) == 4:
            message = json.loads(pipe.read(struct.unpack("<I", head)[0]))
            replies.put((message if isinstance(message, dict) else {}, trusted))
    except (ValueError, OSError, RecursionError, MemoryError):  # damaged, or closed
        if not trusted:
            replies.put(({}, False))
    if trusted:
        replies.put(({"ended": -9}, True))


def decoded(value: dict):
    """What the student's function returned, from worker.encoded."""
    kind = value["kind"]
    if kind == "plain":
        return value["value"]
    if kind in ("list", "tuple"):
        return (tuple if kind == "tuple" else list)(decoded(part) for part in value["parts"])
    if kind == "dict":
        return dict(zip(value["keys"], map(decoded, value["parts"])))
    if kind == "other":
        return type(value["name"], (), {})()
    data = np.frombuffer(base64.b64decode(value["data"]), np.dtype(value["dtype"]))
    array = data.reshape(value["shape"]).copy()
    return torch.from_numpy(array) if kind == "tensor" else array


class Differentiable(torch.autograd.Function):
    """The outputs of a call, whose gradients the student's process gives."""

    @staticmethod
    def forward(ctx, backward: Callable, outputs: list[torch.Tensor], *leaves: torch.Tensor):
        ctx.backward_there = backward
        return tuple(output.clone() for output in outputs)

    @staticmethod
    def backward(ctx, *cotangents: torch.Tensor):
        return None, None, *ctx.backward_there(cotangents)


def over_there(worker: Worker) -> Callable:
    """The student's function: a call of it happens in the worker, its gradients too."""
    def function(*given, **named):
        arrays = list(arrays_in([given, named]))
        leaves = [i for i, a in enumerate(arrays) if getattr(a, "requires_grad", False)]
        plain = bare((given, named))
        reply = worker.ask({"do": "call", "given": plain[0], "named": plain[1], "leaves": leaves,
                            "seed": checks.run_seed})
        outputs: list[torch.Tensor] = []
        try:
            for array, now in zip(arrays, map(decoded, reply["after"])):
                take_over(array, now)
            answer = with_outputs(reply["answer"], outputs)
            same = reply["outline"] == json.loads(json.dumps(outline(plain)))
        except (KeyError, TypeError, ValueError, RecursionError, RuntimeError):
            raise worker.disturbed() from None
        if not same:
            raise NoAnswer(IN_PLACE)
        if not outputs:
            return answer(())

        def backward(cotangents: tuple[torch.Tensor, ...]) -> list[torch.Tensor | None]:
            request = {"do": "backward", "number": reply["number"],
                       "cotangents": [c.detach() for c in cotangents]}
            found = worker.ask(request)
            try:
                return [None if g is None else decoded(g) for g in found["gradients"]]
            except (KeyError, TypeError, ValueError):
                raise worker.disturbed() from None

        return answer(Differentiable.apply(backward, outputs, *(arrays[i] for i in leaves)))
    return function


def bare(value: object):
    """The same without gradients, which a pickle cannot carry."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: bare(part) for key, part in value.items()}
    return type(value)(map(bare, value)) if type(value) in (list, tuple) else value


def take_over(array: np.ndarray | torch.Tensor, now: np.ndarray | torch.Tensor) -> None:
    """Change an argument as the student's function has changed its copy; checks.watched looks."""
    if isinstance(array, torch.Tensor):
        with torch.no_grad():
            if array.shape == now.shape and not torch.equal(array, now):
                array.copy_(now)
    elif not np.array_equal(array, now, equal_nan=array.dtype.kind == "f"):
        array[...] = now


def with_outputs(value: dict, outputs: list[torch.Tensor]) -> Callable:
    """Adds the tensors that have a gradient to `outputs`; gives the answer, once they are joined.

    The function that is returned takes those tensors as the graph of this process knows them.
    """
    if "parts" in value:
        parts = [with_outputs(part, outputs) for part in value["parts"]]
        return lambda joined: decoded_parts(value, [part(joined) for part in parts])
    found = decoded(value)
    if "output" not in value:
        return lambda joined: found
    outputs.append(found)
    return lambda joined: joined[value["output"]]


def decoded_parts(value: dict, parts: list):
    if value["kind"] == "dict":
        return dict(zip(value["keys"], parts))
    return tuple(parts) if value["kind"] == "tuple" else parts


# ------------------------------------------------------------------------------------------- checks

def judge(name: str, folder: Path, limit: float = LIMIT, worker: Worker | None = None) -> Verdict:
    """Check one exercise. worker: one that is running; else one that is ended afterwards."""
    file = folder / f"{name}.py"
    if not file.is_file():
        return Verdict(name, "not started", f"there is no {file.name}; `start` writes it")
    running = worker or Worker()
    try:
        try:
            fault = running.begin(name, file, limit)
            verdict = Verdict(name, "crashed", str(fault)) if fault else \
                diagnose(EXERCISES[name], over_there(running))
        except StudentError as error:  # while the file was loaded
            status = "not started" if "Borrowed" in error.kinds else "crashed"
            verdict = Verdict(name, status, str(error))
        running.finish()
        return verdict
    except Ended as error:
        return Verdict(name, *error.args)
    finally:
        if worker is None:
            running.close()


def check(folder: Path, names: list[str], limit: float) -> Iterator[tuple[Verdict, str]]:
    """Verdict and printed text of each exercise."""
    worker = Worker()
    try:
        for name in names:
            worker.printed = ""
            yield judge(name, folder, limit, worker), worker.printed
    finally:
        worker.close()


def report(results: Iterator[tuple[Verdict, str]], count: int) -> list[Verdict]:
    """Print one line per exercise as it comes, below what its function printed, then a sum."""
    verdicts = []
    for verdict, printed in results:
        lines = [readable(line) for line in printed.splitlines()]
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


def readable(line: str) -> str:
    """A printed line without what moves the cursor or changes colours."""
    return "".join(c if c.isprintable() or c == "\t" else "?" for c in line)


def need_folder(folder: Path) -> None:
    """Raises InputError where `folder` is none."""
    if folder.is_file():
        only = f" --only {folder.stem}" if folder.stem in EXERCISES else ""
        raise InputError(f"{folder}: is a file; give its folder: check {folder.parent}/{only}")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; "
                         f"make it with python exercises.py start {folder}")


def write_json(path: Path, verdicts: list[Verdict]) -> None:
    """For a grader, and for train.py --mine: each verdict, its rating, the function of ours."""
    graded = [asdict(v) | {"rating": EXERCISES[v.exercise].rating,
                           "function": link_of(v.exercise).function} for v in verdicts]
    passed = sum(v.status == "passed" for v in verdicts)
    summary = {"passed": passed, "of": len(verdicts), "exercises": graded}
    path.write_text(json.dumps(summary, indent=1) + "\n")
