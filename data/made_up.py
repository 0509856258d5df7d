"""made_up.py - frames of noise in memory: data for measuring how long a training step takes.

In: how many, how large. Out: a Corpus that train.FieldTrainer takes, without disk, rendering or
sound. Nothing can be learnt from it. Read next: bench.py.
"""
from __future__ import annotations

import numpy as np

from data.corpus import Corpus
from data.take import Take
from synthetic.cameras import camera_of_motion, default_camera, head_motion

FPS, PER_TAKE = 30.0, 512


def made_up_corpus(frames: int, size: int, seed: int = 0) -> Corpus:
    """A corpus of so many frames of size x size, one person, in takes of at most PER_TAKE."""
    rng = np.random.default_rng(seed)
    counts = [min(PER_TAKE, frames - start) for start in range(0, frames, PER_TAKE)]
    takes = [_take(i, count, size, rng) for i, count in enumerate(counts)]
    return Corpus(takes, [np.arange(count) for count in counts])


def _take(number: int, n: int, size: int, rng: np.random.Generator) -> Take:
    """Noise of n frames; landmarks tremble about places of their own, the mask is a disc."""
    K, distance = default_camera(size)
    face = rng.uniform(0.3, 0.7, (68, 2)) * size
    rows = np.hypot(*(np.mgrid[:size, :size] + 0.5 - size / 2))
    disc = np.where(rows < 0.4 * size, 255, 0).astype(np.uint8)
    return Take(
        name=f"made up/{number}", subject="made up", fps=FPS, frame_ids=np.arange(n),
        landmarks=face + rng.normal(0, 0.01 * size, (n, 68, 2)), K=K,
        cam_to_head=camera_of_motion(head_motion(n, FPS, rng), distance),
        f_exp=rng.normal(size=(n, 4)), exp_basis=rng.normal(0, 0.1, (4, 68, 3)),
        wave=np.zeros(1, np.float32), labels={"id": 0, "al": 0, "ill": 0},
        frames=rng.integers(0, 256, (n, size, size, 3), np.uint8), masks=np.tile(disc, (n, 1, 1)),
        background=rng.integers(0, 256, (size, size, 3), np.uint8), kind="mesh")
