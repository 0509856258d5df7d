"""checks.py - how an exercise is asked, and how an answer is judged (no part of the paper).

An exercise asks a student's function a few questions (`Probe`). Each has the right answer, from a
closed form or a transcription in plain NumPy that shares no code with ours, and the answers that
known mistakes give. An answer that is wrong in a known way is told the hint for that very mistake.
tests/mutants.py proves that each hint comes when its mistake is made.

The numbers of the questions are drawn anew in each run (`rand`, `randn`, `numpy_rng`), so that a
table of answers does not pass. runner.py hands in a function whose calls happen in a process of
its own (worker.py); here, where answers are compared, a student's code never runs.

In:  an Exercise and a function. Out: a Verdict. Read next: questions/field.py, the exercises.
"""
from __future__ import annotations

import functools
import secrets
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from classroom.handed import arrays_in, outline

CODE_SHOWN = 60  # characters of a line of code or of an error that a report repeats
run_seed = secrets.randbits(30)  # of this run's random questions


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


IN_PLACE = ("it changes an argument in place, and the program goes on using what it handed in: "
            "work on a copy")


class NoAnswer(Exception):
    """What a function returned cannot be judged; the text tells the student why."""


class StudentError(Exception):
    """An error in the student's process. Its text is the error's.

    kinds: names of its class and of the classes above it; at: (number, text) of the line of the
    student's file that it passed last, or None.
    """

    def __init__(self, text: str, kinds: list[str], at: tuple[int, str] | None = None):
        super().__init__(text)
        self.kinds, self.at = kinds, at


def exercise(name: str, rating: str, title: str, task: str, hint: str, mistakes: dict[str, str]):
    """Turns the generator of probes below it into an Exercise."""
    return lambda probes: Exercise(name, rating, title, task, hint, mistakes, probes)


# ------------------------------------------------------------------------------------------ judging

def diagnose(task: Exercise, function: Callable) -> Verdict:
    """Ask all questions, then report the first failure, or first one that a known mistake explains.

    A mistake explains the failures when the answer is its answer wherever it is listed.
    """
    failures, explained, refuted = [], {}, set()
    for probe in task.probes(watched(function)):
        try:
            torch.manual_seed(run_seed)
            got = as_array(probe.call())
        except (Exception, SystemExit) as error:  # a student's function can raise anything
            kinds = kinds_of(error)
            if "NotImplementedError" in kinds and str(error) == task.name:
                return Verdict(task.name, "not started")
            if "Borrowed" in kinds:
                return Verdict(task.name, "not started", str(error))
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


def kinds_of(error: BaseException) -> list[str]:
    """Names of an error's class and of the classes above it, here or in the student's process."""
    return getattr(error, "kinds", None) or [kind.__name__ for kind in type(error).__mro__]


def watched(function: Callable) -> Callable:
    """The function; a call that changes one of its arguments in place raises NoAnswer.

    The program goes on using what it handed in: the frame of a loss is the frame of the next one.
    """
    @functools.wraps(function, assigned=("__name__", "__doc__"), updated=())
    def call(*given, **named):
        arrays = list(arrays_in([given, named]))
        before = [np.array(as_numpy(a)) for a in arrays]
        handed = copied([given, named])  # lists and dictionaries of its own, with the same arrays
        answer = function(*handed[0], **handed[1])
        changed = [(as_numpy(a), old) for a, old in zip(arrays, before)
                   if not np.array_equal(as_numpy(a), old, equal_nan=old.dtype.kind == "f")]
        for now, old in changed:
            now[...] = old  # for the questions that come
        if changed or outline(handed) != outline([given, named]):
            raise NoAnswer(IN_PLACE)
        return answer
    return call


def copied(value: object) -> object:
    """The same with new lists and dictionaries."""
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    return type(value)(map(copied, value)) if type(value) in (list, tuple) else value


def as_numpy(value: np.ndarray | torch.Tensor) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value


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
    text = shortened((str(error).strip().splitlines() or ["no text"])[0], 2 * CODE_SHOWN)
    if "modified by an inplace operation" in str(error):
        text = "it changes in place what autograd still needs for the gradient: work on a copy"
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    at = error.at if isinstance(error, StudentError) else last_line(error, file)
    if not at:
        return text
    return f"{kinds_of(error)[0]} in line {at[0]}, `{shortened(at[1])}`: {text}"


def last_line(error: BaseException, file: str | None) -> tuple[int, str] | None:
    """Number and text of the last line of `file` that an error passed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return (frames[-1].lineno, frames[-1].line or "") if frames else None


def shortened(text: str, length: int = CODE_SHOWN) -> str:
    return text if len(text) <= length else text[:length - 3] + "..."


# -------------------------------------------------------------------------------- for the exercises

def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers, float64; in one run the same for the same seed, in the next one others."""
    generator = torch.Generator().manual_seed(run_seed + seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    """Uniform numbers in [0, 1), float64; drawn as those of randn."""
    generator = torch.Generator().manual_seed(run_seed + seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def numpy_rng(seed: int = 0) -> np.random.Generator:
    """A generator of NumPy, drawn as the numbers of randn are."""
    return np.random.default_rng([run_seed, seed])


def gradient(answer: torch.Tensor, *inputs: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
    """d sum(answer) / d input, of several inputs laid end to end.

    named: inputs by the name of the student's argument. Raises NoAnswer, and says of which, where
    no gradient arrives.
    """
    if not (isinstance(answer, torch.Tensor) and answer.requires_grad):
        raise NoAnswer("the result carries no gradient; "
                       "keep to torch, without .item(), .detach() or NumPy")
    wanted = [*inputs, *named.values()]
    found = torch.autograd.grad(answer.sum(), wanted, allow_unused=True)
    for name, g in zip([""] * len(inputs) + list(named), found):
        if g is None:
            what = f"`{name}`" if name else "an argument that it should depend on"
            raise NoAnswer(f"no gradient reaches {what}: is it detached, or not used?")
    return found[0] if len(found) == 1 else torch.cat([g.flatten() for g in found])


def raises(kind: str, call: Callable[[], object]) -> float:
    """1 where the call raises an error of that class, such as "ValueError", 0 where it returns."""
    try:
        call()
    except Exception as error:
        if kind in kinds_of(error):
            return 1.0
        raise
    return 0.0
