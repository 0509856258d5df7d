"""forecast.py - Sec. 4.2: what the field's training will take, said in one line at its beginning.

In: a Config, the model, the device, how many iterations are to come. Out: rays at a time, set in
the model where memory wants it; a line with device, precision, memory, and time, which the first
iterations tell. Next: prefetch.py.
"""
from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

from config import Config
from speed import memory, parallel, precision

WARM, TIMED = 3, 20  # iterations: the clock runs from the first of these to the second,
ENOUGH = 20.0  # or for so many seconds


class Forecast:
    """Chooses how many rays go at a time, and says what is to be expected."""

    def __init__(self, cfg: Config, model: nn.Module, device: torch.device, iterations: int):
        """iterations: that are still to come."""
        self.device, self.iterations, self.done = device, iterations, 0
        self.began: float | None = None  # when the clock began to run
        self.said = False
        self.kind = precision.chosen(cfg.precision, device)
        weights = sum(p.numel() for p in model.parameters())
        step = cfg, weights, self.kind == "bfloat16"
        processes = parallel.size()
        rays = memory.rays_for_step(*step, memory.free_bytes(device), processes)
        model.rays_at_once = rays
        self.bytes = memory.step_bytes(*step, processes, rays)
        self.parts = "" if rays is None else f", {rays} rays at a time, computed twice"

    def after_step(self, say: Callable[[str], None]) -> None:
        """To be called after each iteration; says the line once, when the time is known.

        After the last one on a GPU also what was really taken.
        """
        self.done += 1
        if not self.said and self.done >= min(WARM, self.iterations):
            self._time(say)
        if self.done == self.iterations and self.device.type == "cuda":
            taken = torch.cuda.max_memory_allocated(self.device)
            say(f"field: took at most {in_units(taken)}")

    def _time(self, say: Callable[[str], None]) -> None:
        now = self._now()
        ran = 0.0 if self.began is None else now - self.began
        if ran > ENOUGH or self.done in (TIMED, self.iterations):
            say(self._line(ran))
            self.said = True
        elif self.began is None:
            self.began = now

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _line(self, ran: float) -> str:
        where = "cpu" if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)
        many = f"{parallel.size()} processes, each on " if parallel.size() > 1 else ""
        line = f"field: {many}{where}, {self.kind}{self.parts}, about {in_units(self.bytes)}"
        if not ran:  # over before there was anything to time
            return line
        each = ran / (self.done - WARM)
        left = duration(each * (self.iterations - self.done))
        return f"{line}; {each:.3g} s an iteration, {left} to go"


def in_units(size: float | int) -> str:
    """Bytes in MB or GB."""
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.0f} MB"


def duration(seconds: float | int) -> str:
    """Seconds in the unit that one plans with."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
