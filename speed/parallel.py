"""parallel.py - Sec. 4.2: several processes, each a part of every batch: `torchrun ... train.py`.

In: a batch that all processes draw alike, from the same seed. Each takes its pairs of frames of it;
the losses of Eq. 2 are means over the batch, so the mean of the processes' gradients is that of the
whole batch, and N processes learn what one would with the same batch, up to rounding. Noise is
drawn for the whole batch, too, and every process takes its frames' share.

The first process prepares the data, trains extractor and sync module, writes and reports; the
others wait and then read what is in the run folder, so all need the same file system. Without
torchrun there is one process, and nothing here does anything. Next: precision.py.
"""
from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from tools.errors import InputError, first_line

PATIENCE = 3.0  # s until a process ends for another's sake
LONGEST = timedelta(days=7)  # that the others wait for the first, which may have to prepare


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process; 0 writes and speaks."""
    return dist.get_rank() if size() > 1 else 0


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """In the block the processes that torchrun has started know one another. Yields the device.

    Each has a GPU of its own. Raises InputError where there are fewer GPUs than processes.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield device
        return
    if device.type == "cuda":
        number, there = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
        if number >= there:
            raise InputError(f"torchrun: process {number + 1} has no GPU, there are {there}; "
                             f"give --nproc-per-node {there}")
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
    of_gpu = {"backend": "nccl", "device_id": device} if device.type == "cuda" else {}
    dist.init_process_group(**({"backend": "gloo"} | of_gpu), timeout=LONGEST)
    try:
        yield device
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """In the block the processes talk. Where one has ended, the first says so, in an InputError.

    The others leave the word to those who know why: torchrun ends all when it sees one end.
    """
    try:
        yield
    except RuntimeError as error:  # gloo and nccl have no class of their own for it
        if rank():
            time.sleep(PATIENCE)
            sys.exit(1)
        raise InputError(f"torchrun: another process has ended ({first_line(error)}); "
                         "its own message says why") from error


def check_pairs(pairs: int) -> None:
    """Raise InputError where the pairs of frames of a step cannot be split evenly."""
    if pairs % size():
        fitting = ", ".join(str(n) for n in range(1, pairs + 1) if pairs % n == 0)
        raise InputError(f"torchrun: {size()} processes cannot share {pairs} frame pairs per step "
                         f"evenly; give --nproc-per-node {fitting}, or --pairs {size()}")


def wait() -> None:
    """Until all processes have come here."""
    if size() > 1:
        with _together():
            dist.barrier()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """In the block all processes but the first print nothing: they do what it did."""
    with contextlib.ExitStack() as stack:
        if rank():
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        yield


# ---- a process's part ----------------------------------------------------------------------------

def rows(frames: int) -> np.ndarray:
    """Which rows of a batch of `frames` are this process's: first frames of pairs, then second."""
    return np.arange(frames).reshape(2, size(), -1)[:, rank()].ravel()


def normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """torch.randn for the whole batch, of it this process's rows: `shape`, frames first."""
    return _own(torch.randn, shape, generator)


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """torch.rand, likewise."""
    return _own(torch.rand, shape, generator)


def _own(draw, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if size() == 1:
        return draw(shape, generator=generator)
    whole = draw((shape[0] * size(), *shape[1:]), generator=generator)
    return whole[torch.from_numpy(rows(len(whole)))]


# ---- what all of them know -----------------------------------------------------------------------

def share(tensors: Iterable[Tensor]) -> None:
    """Give all processes the first one's values."""
    if size() > 1:
        with _together():
            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)


def mean(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each scalar's mean over the processes."""
    if size() == 1:
        return terms
    values = torch.stack([term.detach().to(terms["loss"].device) for term in terms.values()])
    with _together():
        dist.all_reduce(values)
    return dict(zip(terms, values / size()))


def average(parameters: list[torch.nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes; dense ones travel in one piece."""
    if size() == 1:
        return
    used = [p for p in parameters if p.grad is not None]
    dense = [p.grad for p in used if not p.grad.is_sparse]
    with _together():
        packed = torch.cat([grad.flatten() for grad in dense])
        dist.all_reduce(packed)
        for grad, values in zip(dense, packed.split([grad.numel() for grad in dense])):
            grad.copy_(values.view_as(grad) / size())
        for p in used:
            if p.grad.is_sparse:
                p.grad = _gathered(p.grad)


def _gathered(grad: Tensor) -> Tensor:
    """The mean of sparse gradients. Each process has as many entries: one for each of its frames.

    They are not coalesced before, for then a frame that is drawn twice would be one entry.
    """
    parts = []
    for one in (grad._indices(), grad._values()):
        every = [torch.empty_like(one) for _ in range(size())]
        dist.all_gather(every, one.contiguous())
        parts.append(every)
    indices, values = torch.cat(parts[0], 1), torch.cat(parts[1]) / size()
    return torch.sparse_coo_tensor(indices, values, grad.shape, check_invariants=False)
