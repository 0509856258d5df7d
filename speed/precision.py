"""precision.py - Sec. 4.2: what a training step computes in bfloat16, and what it must not.

In: Config.precision, the device. Out: a context for the step's forward pass, in which products of
layers run in bfloat16, and `exact`, for the parts whose numbers need all of float32.

bfloat16 has float32's range and 8 bits of its 24: enough for what a layer hands on, since weights,
gradients of weights and Adam's moments stay float32. Not enough for a position: 1/256 of it is a
whole period of the sine at 2^9 pi. So rays, points, encodings, sigma, compositing and losses stay
float32, and so does the last convolution, whose output is the image. Next: memory.py.
"""
from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable

import torch
from torch import Tensor

AMPERE = 8, 0  # the first NVIDIA GPUs that multiply bfloat16
CHOICES = ("auto", "float32", "bfloat16")


def chosen(precision: str, device: torch.device) -> str:
    """"float32" or "bfloat16" for a Config.precision: "auto" is bfloat16 on a GPU that has it."""
    if precision != "auto":
        return precision
    has = device.type == "cuda" and torch.cuda.get_device_capability(device) >= AMPERE
    return "bfloat16" if has else "float32"


def of_layers(precision: str, device: torch.device) -> torch.autocast:
    """The context of a step's forward pass: layers in bfloat16 where `chosen` says so."""
    lowered = chosen(precision, device) == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=lowered)


def allow_tf32(device: torch.device) -> None:
    """Products of float32 on a GPU with 11 bits of their 24, as PyTorch's convolutions have it."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")


def exact(function: Callable) -> Callable:
    """The function with its products in whole float32, whatever context it is called in.

    Tensors that a layer has left in bfloat16 are brought back first.
    """
    @functools.wraps(function)
    def whole(*args, **kwargs):
        device = next(a.device.type for a in args if isinstance(a, Tensor))
        products = torch.get_float32_matmul_precision()
        lowered = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        if products == "highest" and not lowered:
            return function(*args, **kwargs)
        args = [a.float() if _is_lowered(a) else a for a in args]
        torch.set_float32_matmul_precision("highest")
        try:
            with torch.autocast(device, enabled=False) if lowered else contextlib.nullcontext():
                return function(*args, **kwargs)
        finally:
            torch.set_float32_matmul_precision(products)

    return whole


def _is_lowered(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.bfloat16
