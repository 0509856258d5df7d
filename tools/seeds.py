"""seeds.py - where chance comes from: every draw of an iteration from (seed, stage, iteration).

So `--resume` goes on exactly where a run was, and two runs of one seed agree to the last digit.
"""
from __future__ import annotations

import numpy as np
import torch

STAGES = {"extractor": 1, "sync": 2, "field": 3}


def seed_weights(seed: int, stage: str) -> None:
    """Set torch's global state for the initial weights of a stage."""
    generators(seed, stage, -1)


def generators(seed: int, stage: str, iteration: int
               ) -> tuple[np.random.Generator, torch.Generator]:
    """NumPy's and torch's source of chance for one iteration (-1: for the initial weights).

    Sets torch's global state too, from which layers draw.
    """
    state = _state(seed, stage, iteration)
    torch.manual_seed(state)
    return np.random.default_rng(state), torch.Generator().manual_seed(state)


def numpy_generator(seed: int, stage: str, iteration: int) -> np.random.Generator:
    """NumPy's alone, as `generators` gives it. It sets nothing, so any thread may ask for it."""
    return np.random.default_rng(_state(seed, stage, iteration))


def _state(seed: int, stage: str, iteration: int) -> int:
    return int(np.random.SeedSequence([seed, STAGES[stage], iteration + 1]).generate_state(1)[0])
