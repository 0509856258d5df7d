"""examples.py - Sec. 3.2: a few frames that stand for what faces and lips do, and a sentence.

In:  the training frames and the held-out frames of a run.
Out: frames with the eyes shut, at rest, with the brows high; shapes of lips from shut to open; the
     sound of a held-out sentence. A checkpoint keeps them, so that animate.py can show them without
     the data.
Read next: inference/run.py, which keeps them; inference/page.py, which renders them.
"""
from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from data.corpus import BROWS, Corpus
from tools.media import SAMPLE_RATE

EXPRESSIONS = ("eyes shut", "at rest", "brows high")
OPENINGS = 9  # shapes of lips, from shut to open
LOW, HIGH = 2, 98  # percentiles that count as extreme: beyond them a tracker may have slipped
SPEECH_SECONDS = 4.0  # of the held-out sentence, at most
# Rows of 12 landmarks of the eyes, and of 20 of the lips, counted from the first one of each.
UPPER_LIDS, LOWER_LIDS = [1, 2, 7, 8], [5, 4, 11, 10]
UPPER_LIP, LOWER_LIP, CORNERS = [13, 14, 15], [19, 18, 17], [0, 6]


def examples_of(train_set: Corpus, heldout_set: Corpus) -> dict[str, Tensor]:
    """What a checkpoint keeps of a run's data beside its takes.

    "ex" (3,): training frames that show EXPRESSIONS; "lips" (9, 40): shapes of lips of training
    frames, from shut to open, as E_lip sees them; "speech" (N,) int16 at 16 kHz: held-out sound.
    """
    lips = torch.from_numpy(train_set.lips[shut_to_open(train_set.lips)])
    return {"ex": torch.from_numpy(expressions(train_set.upper)), "lips": lips,
            "speech": torch.from_numpy(heldout_speech(heldout_set))}


def expressions(upper: Float[np.ndarray, "n 66"]) -> np.ndarray:
    """Frames (3,) of `Corpus.upper`: the lids low, all at rest, the brows high, and no more."""
    brows, eyes = np.split(upper.reshape(len(upper), -1, 3)[..., 1], [BROWS.stop - BROWS.start], 1)
    height = brows.mean(1)  # y points upwards
    open_by = (eyes[:, UPPER_LIDS] - eyes[:, LOWER_LIDS]).mean(1)
    rest = np.median(height), np.median(open_by)
    wanted = np.array([(rest[0], np.percentile(open_by, LOW)), rest,
                       (np.percentile(height, HIGH), rest[1])])
    return nearest(np.stack([height, open_by], 1), wanted)


def shut_to_open(lips: Float[np.ndarray, "n 40"]) -> np.ndarray:
    """Frames (9,) of `Corpus.lips` whose mouths open in equal steps, and are neither wide nor
    narrow.
    """
    points = lips.reshape(len(lips), 20, 2)  # y points downwards
    opening = (points[:, LOWER_LIP, 1] - points[:, UPPER_LIP, 1]).mean(1)
    width = points[:, CORNERS[1], 0] - points[:, CORNERS[0], 0]
    steps = np.linspace(*np.percentile(opening, [LOW, HIGH]), OPENINGS)
    wanted = np.stack([steps, np.full(OPENINGS, np.median(width))], 1)
    return nearest(np.stack([opening, width], 1), wanted)


def nearest(known: Float[np.ndarray, "n 2"], wanted: Float[np.ndarray, "k 2"]) -> np.ndarray:
    """Of `known` the numbers (k,) of those nearest to `wanted`, each column in its own spread."""
    spread = known.std(0) + 1e-9
    distance = np.linalg.norm((known[:, None] - wanted[None]) / spread, axis=-1)
    return distance.argmin(0)


def heldout_speech(corpus: Corpus) -> np.ndarray:
    """The sound (N,) under the held-out frames of the first take, at most SPEECH_SECONDS, int16."""
    take, numbers = corpus.takes[0], corpus.numbers[0]
    first, last = take.frame_ids[numbers[[0, -1]]] / take.fps
    seconds = min(SPEECH_SECONDS, last - first + 1 / take.fps)
    cut = take.wave[round(first * SAMPLE_RATE):round((first + seconds) * SAMPLE_RATE)]
    return np.round(np.clip(cut, -1, 1) * 32767).astype(np.int16)
