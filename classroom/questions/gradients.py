"""gradients.py - what the exercises on Eq. 2 to 9 have in common: gradients by every input.

A loss with the right value and a gradient that is cut, or NaN, trains nothing. So each loss is
also asked for its gradient by each of its inputs, and is compared with central differences of the
transcription in NumPy.

In:  a student's function. Out: Probes; checks.py says what they are. Read next: losses.py.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from classroom.checks import NoAnswer, Probe, as_array, gradient

DETACH_NOTHING = "Detach nothing: whoever calls the function decides what is trained."  # in a task
HINTS = {  # mistakes that every loss shares
    "no gradient": "Without a gradient the optimiser cannot lower this loss.",
    "NumPy on the way": "NumPy knows no gradients: write it in torch, and do not detach.",
    "an input cut off": "Detach nothing here: whoever calls the function decides what is trained.",
    "fixed dtype": "The inputs may be float32 or float64: give a new tensor dtype=x.dtype."}
DTYPE = {"fixed dtype": "same dtype"}  # words of torch's errors about it
NEVER = np.zeros((0, 7, 3))  # stands for a mistake that this student did not make


def tensors(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(v, dtype=torch.float64) for v in values]


def answers(mistaken: dict[str, Callable], *inputs, **named) -> dict[str, object]:
    """The answer that each known mistake gives to these inputs."""
    with np.errstate(all="ignore"):
        return {name: f(*inputs, **named) for name, f in mistaken.items()}


def central_differences(f: Callable, inputs: dict[str, np.ndarray], name: str) -> np.ndarray:
    """d sum(f(*inputs)) / d inputs[name], up to about 1e-9."""
    at, step = np.array(inputs[name], dtype=np.float64), 1e-6
    result = np.empty_like(at)
    for i in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[i] += step
        down[i] -= step
        rise = np.sum(f(*(inputs | {name: up}).values())) - np.sum(
            f(*(inputs | {name: down}).values()))
        result[i] = rise / (2 * step)
    return result


def slope_of(answer: object, **named: torch.Tensor) -> torch.Tensor:
    """checks.gradient; an answer that is no number at all is told so first."""
    if isinstance(answer, (list, tuple)):
        raise NoAnswer(f"the function returns a {type(answer).__name__}, not a tensor")
    number = as_array(answer)
    return gradient(answer if isinstance(answer, torch.Tensor) else torch.tensor(number), **named)


def gradient_probes(ask: Callable, f: Callable, inputs: dict[str, torch.Tensor], situation: str,
                    cut: dict[str, str] | None = None,
                    mistaken: dict[str, Callable] | None = None,
                    right_here: Iterable[str] = (), scale: float = 1.0) -> Iterator[Probe]:
    """The value of ask(*inputs) in float32; then a question per input: the gradient by it.

    The right answers are those of f, in NumPy.

    cut: input -> the mistake of cutting it off, where this has a hint of its own. mistaken: as for
    `answers`, functions whose gradient is that of a mistake. right_here: mistakes whose gradient is
    right at these inputs. scale: keeps the numbers near 1, where the tolerance means something.
    """
    cut, mistaken = cut or {}, mistaken or {}
    numbers = {name: value.numpy() for name, value in inputs.items()}
    yield Probe(f"{situation}, in float32", lambda: ask(*(x.float() for x in inputs.values())),
                f(*numbers.values()), errors=DTYPE, tolerance=1e-4)
    for name in inputs:
        def call(name=name):
            leaves = {n: value.clone().requires_grad_() for n, value in inputs.items()}
            return scale * slope_of(ask(*leaves.values()), **{name: leaves[name]})

        slope = lambda g, name=name: scale * central_differences(g, numbers, name)
        want = slope(f)
        times = f", times {scale:g}" if scale != 1 else ""
        yield Probe(f"gradient by {name}{times}, {situation}", call, want,
                    {mistake: slope(g) for mistake, g in mistaken.items()}
                    | dict.fromkeys(right_here, want),
                    DTYPE | {"no gradient": "carries no gradient",
                             "NumPy on the way": "call numpy()",
                             cut.get(name, "an input cut off"): f"`{name}`"})


def whatever(call: Callable, mistaken: dict, mistake: str, fits: Callable) -> Callable:
    """`call` for a Probe; an answer that `fits` is the mistake's, whatever its size.

    For mistakes such as an epsilon, whose size is the student's choice. mistaken: of that Probe.
    """
    def ask():
        answer = as_array(call())
        mistaken[mistake] = answer if fits(answer) else NEVER
        return answer
    return ask
