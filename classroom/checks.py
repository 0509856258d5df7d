"""checks.py - how an exercise is asked, and how an answer is judged (no part of the paper).

An exercise asks a student's function a few questions (`Probe`). Each has the right answer, from a
closed form or a transcription in plain NumPy that shares no code with ours, and the answers that
known mistakes give. An answer that is wrong in a known way is told the hint for that very mistake.
tests/mutants.py proves that each hint comes when its mistake is made.

In:  an Exercise and a function. Out: a Verdict. Read next: questions/field.py, the exercises.
"""
from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

CODE_SHOWN = 60  # characters of a line of code or of an error that a report repeats


@dataclass(frozen=True)
class Probe:
    """One question to the student's function."""
    situation: str  # what is asked, in a few words
    call: Callable[[], object]  # asks it
    want: object  # the right answer, array or number
    mistaken: dict[str, object] = field(default_factory=dict)  # known mistake -> its answer
    errors: dict[str, str] = field(default_factory=dict)  # known mistake -> a word of its error
    meaning: str = ""  # of a single number that is wanted: "ln 11"
    tolerance: float = 1e-5


@dataclass(frozen=True)
class Exercise:
    """A function that a student writes; which one, and where it is in the paper: registry.py."""
    name: str
    rating: str  # easy, medium or hard
    title: str
    task: str  # what the docstring of our function does not say
    hint: str
    mistakes: dict[str, str]  # known mistake -> its hint
    probes: Callable[[Callable], Iterator[Probe]]


@dataclass(frozen=True)
class Verdict:
    """What a check found. status: "passed", "not started", "wrong", "crashed" or "stopped"."""
    exercise: str
    status: str
    message: str = ""
    mistake: str | None = None


class NoAnswer(Exception):
    """What a function returned cannot be judged; the text tells the student why."""


def exercise(name: str, rating: str, title: str, task: str, hint: str, mistakes: dict[str, str]):
    """Turns the generator of probes below it into an Exercise."""
    return lambda probes: Exercise(name, rating, title, task, hint, mistakes, probes)


# ------------------------------------------------------------------------------------------ judging

def diagnose(task: Exercise, function: Callable) -> Verdict:
    """Ask all questions, then report the first failure, or first one that a known mistake explains.

    A mistake explains the failures when the answer is its answer wherever it is listed.
    """
    failures, explained, refuted = [], {}, set()
    for probe in task.probes(function):
        try:
            torch.manual_seed(0)
            got = as_array(probe.call())
        except (Exception, SystemExit) as error:  # a student's function can raise anything
            if isinstance(error, NotImplementedError) and error.args == (task.name,):
                return Verdict(task.name, "not started")
            status = "wrong" if isinstance(error, NoAnswer) else "crashed"
            failures.append((status, f"{describe(error, function)} (asked: {probe.situation})"))
            for mistake, word in probe.errors.items():
                if word in str(error):
                    explained.setdefault(mistake, f"{failures[-1][1]}.")
            continue
        wrong = not equal(got, probe.want, probe.tolerance)
        if wrong:
            failures.append(("wrong", compare(got, probe)))
        for mistake, answer in probe.mistaken.items():
            if not equal(got, answer, probe.tolerance):
                refuted.add(mistake)
            elif wrong:
                explained.setdefault(mistake, failures[-1][1])
    for mistake, hint in task.mistakes.items():
        if mistake in explained and mistake not in refuted:
            return Verdict(task.name, "wrong", f"{explained[mistake]} {hint}", mistake)
    return Verdict(task.name, *failures[0]) if failures else Verdict(task.name, "passed")


def as_array(answer: object) -> np.ndarray:
    """Tensor, array or number -> float64 array. Raises NoAnswer on anything else."""
    if answer is None:
        raise NoAnswer("the function returns None; does it end with a return?")
    if isinstance(answer, torch.Tensor):
        answer = answer.detach().cpu().numpy()
    try:
        return np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError):
        kind = type(answer).__name__
        raise NoAnswer(f"the function returns a {kind}, not a tensor, array or number") from None


def equal(got: np.ndarray, want: object, tolerance: float) -> bool:
    """Same shape and, up to the tolerance, the same numbers; NaN equals NaN."""
    want = as_array(want)
    close = functools.partial(np.allclose, rtol=tolerance, atol=tolerance, equal_nan=True)
    return got.shape == want.shape and close(got, want)


def compare(got: np.ndarray, probe: Probe) -> str:
    """One sentence on a wrong answer: shapes where these differ, else the entry farthest off."""
    want, asked = as_array(probe.want), f"(asked: {probe.situation})."
    if got.shape != want.shape:
        return f"the result has {shape_of(got)}, want {shape_of(want)} {asked}"
    error = np.abs(np.nan_to_num(got, nan=np.inf) - want)
    at = tuple(int(i) for i in np.unravel_index(error.argmax(), error.shape))
    digits = 4 if f"{got[at]:.4g}" != f"{want[at]:.4g}" else 8
    entry = f" at {list(at)}" if at else ""
    meaning = f" = {probe.meaning}" if probe.meaning else ""
    return f"got {got[at]:.{digits}g}{entry}, want {want[at]:.{digits}g}{meaning} {asked}"


def shape_of(array: np.ndarray) -> str:
    return f"shape {array.shape}" if array.shape else "a single number"


def describe(error: BaseException, function: Callable) -> str:
    """Kind, line of the student's file and first line of the text of an error, in one line."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    text = shortened((str(error).strip().splitlines() or ["no text"])[0], 2 * CODE_SHOWN)
    if not frames:
        return text
    number, line = frames[-1].lineno, shortened(frames[-1].line or "")
    return f"{type(error).__name__} in line {number}, `{line}`: {text}"


def shortened(text: str, length: int = CODE_SHOWN) -> str:
    return text if len(text) <= length else text[:length - 3] + "..."


# -------------------------------------------------------------------------------- for the exercises

def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers, float64, the same for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    """Uniform numbers in [0, 1), float64, the same for the same seed."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient(loss: torch.Tensor, *inputs: torch.Tensor) -> torch.Tensor:
    """d loss / d input, of several inputs laid end to end. Raises NoAnswer where none arrives."""
    if not (isinstance(loss, torch.Tensor) and loss.requires_grad):
        raise NoAnswer("the result carries no gradient; "
                       "keep to torch, without .item(), .detach() or NumPy")
    found = torch.autograd.grad(loss, inputs, allow_unused=True)
    if any(g is None for g in found):
        raise NoAnswer("the loss does not depend on an argument that it should depend on, "
                       "or its gradient is cut off")
    return found[0] if len(found) == 1 else torch.cat([g.flatten() for g in found])
