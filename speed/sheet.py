"""sheet.py - what bench.py measures, and how much of it: the plan, and the records so far.

In: calls to be timed beside one another. Out: their times; records for bench.csv; cells for tables.
Read next: bench.py.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from tqdm import tqdm

from speed.measure import Times, Work, interleaved, peaks

MB, GIGA = 2**20, 1e9


@dataclass(frozen=True)
class Plan:
    """How much is measured."""
    budget: float  # s for each comparison, after which no round begins
    least: int  # rounds, and as many more as the budget allows, up to `most`
    most: int
    patience: float  # s: a preset whose frame takes longer is not trained with here
    sizes: tuple[int, ...]  # px, of the presets
    headnerf: int = 256  # px
    literal: int = 64  # px
    # The axes of growth, from `small` at 64 px: px (rays grow with their square), coarse samples,
    # width, frames of data, seconds of sound.
    rays: tuple[int, ...] = (32, 64, 128, 256)
    samples: tuple[int, ...] = (8, 16, 32, 64)
    width: tuple[int, ...] = (32, 64, 128, 256)
    frames: tuple[int, ...] = (256, 1024, 4096, 16384)
    sound: tuple[int, ...] = (1, 10, 60, 600)


class Bench:
    """What was measured so far: records for bench.csv, text for bench.md."""

    def __init__(self, plan: Plan, device: torch.device, bar: tqdm):
        self.plan, self.device, self.bar = plan, device, bar
        self.records: list[dict] = []
        self.text: list[str] = []
        self.peaks = peaks(device)

    def time(self, what: str, calls: dict[str, Callable], warm_up: bool = True
             ) -> dict[str, Times]:
        """Measure calls in turn, and keep a record of each."""
        self.bar.set_postfix_str(what)
        plan = self.plan
        found = interleaved(calls, plan.budget, plan.least, plan.most, warm_up, self.device)
        for name, times in found.items():
            low, high = times.spread
            self.record(what, name, median_s=times.median, p10_s=low, p90_s=high,
                        runs=len(times.seconds))
        self.bar.update()
        return found

    def record(self, what: str, name: str, **values) -> None:
        """One line of bench.csv; what is not given stays empty."""
        columns = ("median_s", "p10_s", "p90_s", "runs", "gflop", "gigabytes", "memory_mb",
                   "difference")
        self.records.append({"what": what, "name": name} | dict.fromkeys(columns, "") | values)

    def about(self, where: str, seconds: float) -> str:
        """Where it was measured, and what that machine can do."""
        products = ", ".join(f"{rate / GIGA:.0f} GFLOP/s in {kind}"
                             for kind, rate in self.peaks.products.items())
        return (f"Measured on {where}, in {seconds:.0f} s. Peak, of one large product: {products}; "
                f"of one large copy: {self.peaks.traffic / GIGA:.1f} GB/s.")

    def rates(self, times: Times, work: Work, memory: float) -> list[str]:
        """Four cells: times a second, GFLOP, share of the peaks, memory; added to the record."""
        self.records[-1] |= {"gflop": work.flops / GIGA, "gigabytes": work.bytes / GIGA,
                             "memory_mb": memory / MB}
        low, high = times.spread
        return [f"{1 / times.median:.3g} ({1 / high:.3g} to {1 / low:.3g})",
                f"{work.flops / GIGA:.3g}", self.share(work, times.median),
                f"{memory / MB:.0f} MB"]

    def share(self, work: Work, seconds: float) -> str:
        """Products a second as a share of the float32 peak / bytes a second of a copy's."""
        products = work.flops / seconds / self.peaks.products["float32"]
        return f"{products:.0%} / {work.bytes / seconds / self.peaks.traffic:.0%}"
