"""measure.py - how long, how much, and how near to what the machine can do.

In: functions without arguments. Out: seconds of each, measured in turn (A, B, A, B, ...), so that
what else the machine does meets all of them; bytes of memory; products and bytes moved; the
machine's peaks. Read next: literal.py, what is compared with.
"""
from __future__ import annotations

import ctypes
import gc
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

STATUS, CLEAR, CPU_INFO = (Path("/proc", *parts) for parts in
                           (("self", "status"), ("self", "clear_refs"), ("cpuinfo",)))
SQUARE = {"cpu": 2048, "cuda": 8192}  # side of the matrices whose product tells the peak
COPIED = 2**26  # bytes, far beyond a cache
# Flags of /proc/cpuinfo: x86 with AVX-512 BF16 or AMX, ARM. Without one a product of bfloat16 is
# emulated, and a hundred times slower.
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}


# ---- Time ----------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Times:
    """Seconds of each run of one function."""
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def spread(self) -> tuple[float, float]:
        """10th and 90th percentile."""
        low, high = np.percentile(self.seconds, (10, 90))
        return float(low), float(high)

    def __str__(self) -> str:
        """Median and spread, in s or ms."""
        scale, unit = (1, "s") if self.median >= 1 else (1000, "ms")
        low, high = self.spread
        return f"{self.median * scale:.3g} {unit} ({low * scale:.3g} to {high * scale:.3g})"


def interleaved(calls: Mapping[str, Callable[[], object]], budget: float, least: int = 3,
                most: int = 30, warm_up: bool = True, device: torch.device = torch.device("cpu"),
                clock: Callable[[], float] = time.perf_counter) -> dict[str, Times]:
    """Seconds of each call, run in turn: each once to warm up, then rounds of one run of each.

    There are `least` rounds, and more while they begin within `budget` s, at most `most`. A warm-up
    that takes longer than the budget is the first round: of three the median leaves it out.
    warm_up: False where each has run already.
    """
    def measured(call) -> float:
        start = clock()
        call()
        if device.type == "cuda":  # its work is only queued until then
            torch.cuda.synchronize(device)
        return clock() - start

    def round_of_each() -> dict[str, float]:
        return {name: measured(call) for name, call in calls.items()}

    first, rounds = round_of_each() if warm_up else {}, []
    if sum(first.values()) > budget:
        rounds.append(first)
    begin = clock()
    while len(rounds) < least or (len(rounds) < most and clock() - begin < budget):
        rounds.append(round_of_each())
    return {name: Times(tuple(one[name] for one in rounds)) for name in calls}


# ---- Memory --------------------------------------------------------------------------------------

def memory_of(call: Callable[[], object], device: torch.device = torch.device("cpu")) -> float:
    """Bytes by which memory grows at most while `call` runs; nan where it cannot be told.

    CUDA: what torch allocated. CPU: the process's resident memory, on Linux; what was freed before
    goes back to the system first, so that nothing hides in it.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return float(torch.cuda.max_memory_allocated(device) - before)
    gc.collect()
    try:
        if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)
        CLEAR.write_text("5")  # the highest value so far becomes the present one
        before = _status("VmRSS")
    except (OSError, TypeError, StopIteration):  # TypeError: Windows has no CDLL of the program
        call()
        return float("nan")
    call()
    return float(_status("VmHWM") - before)


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


# ---- Work ----------------------------------------------------------------------------------------

class Counter(TorchDispatchMode):
    """Products and bytes of the operations in its block.

    Products are counted by PyTorch's own formulas; its FlopCounterMode also hooks into modules,
    which fails where a parameter is a module's input. Bytes: what operations read and write, each
    tensor in full, as if nothing stayed in a cache. Views cost nothing; what a fused kernel keeps
    to itself is not seen.
    """

    def __init__(self):
        super().__init__()
        self.flops = self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        products = flop_registry.get(func._overloadpacket)
        if products is None:  # under inference_mode operations come whole, with products in them
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        if products is not None:
            self.flops += products(*args, **kwargs, out_val=out)
        view = any(one.alias_info is not None and not one.alias_info.is_write
                   for one in func._schema.returns)
        if not view:
            self.bytes += sum(_sizes(args)) + sum(_sizes(out))
        return out


def _sizes(values) -> list[int]:
    """Bytes of every tensor in a tensor, list or tuple; an expanded one counts what it holds."""
    if isinstance(values, Tensor):
        if values.layout is not torch.strided:
            return []
        held = [n for n, stride in zip(values.shape, values.stride()) if stride]
        return [int(np.prod(held, initial=1)) * values.element_size() if values.numel() else 0]
    if isinstance(values, (list, tuple)):
        return [size for value in values for size in _sizes(value)]
    return []


@dataclass(frozen=True)
class Work:
    """What a call does: floating point operations in products, two for a multiply-add, and bytes
    that it moves."""
    flops: int
    bytes: int


def work_of(call: Callable[[], object]) -> Work:
    """Run `call` once and count."""
    with Counter() as counter:
        call()
    return Work(counter.flops, counter.bytes)


# ---- The machine ---------------------------------------------------------------------------------

def has_bfloat16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 itself."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    try:
        return bool(BFLOAT16 & set(CPU_INFO.read_text().split()))
    except OSError:  # not Linux
        return False


@dataclass(frozen=True)
class Peaks:
    """What the machine can do: products in FLOP/s by type of number, bytes/s read and written."""
    products: dict[str, float]
    traffic: float


def peaks(device: torch.device, rounds: int = 3, square: int | None = None) -> Peaks:
    """Measure them, the best of some rounds: one large product each, one large copy."""
    n = square or SQUARE[device.type]
    kinds = {"float32": torch.float32}
    if has_bfloat16(device):
        kinds["bfloat16"] = torch.bfloat16
    matrices = {name: torch.randn(n, n, device=device).to(kind) for name, kind in kinds.items()}
    source = torch.zeros(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    calls = {name: lambda a=a: a @ a for name, a in matrices.items()}
    calls["copy"] = lambda: target.copy_(source)
    best = {name: min(times.seconds)
            for name, times in interleaved(calls, 0.0, rounds, device=device).items()}
    return Peaks({name: 2 * n**3 / best[name] for name in kinds}, 2 * COPIED / best["copy"])


def processor() -> str:
    """The CPU's own name, as far as the system tells it."""
    try:
        names = [line.split(":", 1)[1].strip() for line in CPU_INFO.read_text().splitlines()
                 if line.startswith("model name")]
    except OSError:
        names = []
    return (names or [platform.processor() or platform.machine()])[0]


def machine(device: torch.device) -> str:
    """One line about where figures were measured: device, threads, versions, what else runs."""
    if device.type == "cuda":
        where = f"{torch.cuda.get_device_name(device)}, beside {processor()}"
    else:
        where = processor()
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (f"{where}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch "
            f"{torch.__version__}, Python {platform.python_version()}, {sys.platform}{load}")
