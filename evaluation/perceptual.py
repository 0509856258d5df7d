"""perceptual.py - Sec. 4.3, beside it: LPIPS, how unlike two pictures look to a network.

PSNR forgives blur; LPIPS does not. The network is not ours: `lpips` (its own weights, AlexNet's are
fetched by torchvision) or, where that is not installed, `stlpips_pytorch`, which forgives a shift
by a pixel and brings all its weights. Their figures do not compare with each other.
In: pictures (H, W, 3) uint8. Out: a number, 0 for equal pictures; none where neither is installed.
Next: judges.py.
"""
from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8

from tools.errors import first_line


@dataclass(frozen=True)
class Lpips:
    """A perceptual distance, and whose it is. It maps two pictures to a number of 0 or more."""
    name: str
    distance: Callable[[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W 3"]], float]


def load_lpips(device: torch.device = torch.device("cpu")) -> Lpips | None:
    """The first of the two packages that works here. A line says why one that is there does not."""
    for name, load in (("lpips", _lpips), ("stlpips_pytorch", _shift_tolerant)):
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # they greet
                network = load().eval().to(device)
        except ModuleNotFoundError as error:
            if error.name not in ("lpips", "stlpips_pytorch"):
                print(f"LPIPS by {name} is left out: it wants the package {error.name}")
        except Exception as error:  # a download, a file of weights: each fails in its own way
            print(f"LPIPS by {name} is left out: {first_line(error)}")
        else:
            return Lpips(name, _distance(network, device))
    return None


def _lpips() -> torch.nn.Module:
    import lpips
    return lpips.LPIPS(net="alex", verbose=False)


def _shift_tolerant() -> torch.nn.Module:
    from stlpips_pytorch import stlpips
    return stlpips.LPIPS(net="alex", variant="shift_tolerant", verbose=False)


def _distance(network: torch.nn.Module, device: torch.device):
    """Both networks take two batches (1, 3, H, W) in [-1, 1]."""
    def put(image: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device)
        return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1

    @torch.no_grad()
    def distance(image: np.ndarray, truth: np.ndarray) -> float:
        return float(network(put(image), put(truth)))
    return distance
