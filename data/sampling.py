"""sampling.py - Sec. 3.3, Eq. 7, 8: what a training step sees of a corpus.

Which frames are drawn, and where patches are cut out of them; positives and negatives of the
contrast, which share what they can but the factor in question; frames with the same upper face and
other lips. In: Corpus. Out: indices of its frames. Next: train.py.
"""
from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.corpus import LABELS, Corpus
from dhnerf import CODES

FACE = slice(17, 68)  # landmarks of brows, nose, eyes and mouth
# Sizes of draws, in frames, among which the best are taken: to look at all frames for each anchor
# would cost more than training.
SIMILAR_POOL = 64  # of these the nearest in expression is the positive
SHARED_POOL = 8  # all share the label; of these the positive is the one that shares least else
NEGATIVE_POOL = 4  # times the negatives wanted; of these the hardest or the farthest are kept
FAR_POOL = 2  # times the negatives wanted: so many of the farthest, to draw the negatives from
LOOKALIKE_POOL = 256  # of one person; of these the nearest are a frame's lookalikes


def probabilities(corpus: Corpus, rare: float) -> np.ndarray:
    """Probability (n,) of drawing each frame: even, but for a share `rare` for the unusual.

    That share goes by how far a frame's upper face is from the person's mean, squared. A blink
    fills one frame in twenty; drawn evenly it is hardly learnt.
    """
    away = np.empty(len(corpus))
    for person in np.unique(corpus.label["id"]):
        own = corpus.label["id"] == person
        away[own] = np.square(corpus.upper[own]).sum(1) + 1e-12
        away[own] *= own.sum() / away[own].sum()  # each person as often as evenly drawn
    return ((1 - rare) + rare * away) / len(corpus)


def patch_corners(corpus: Corpus, index: np.ndarray, side: int, step: int,
                  rng: np.random.Generator) -> Tensor:
    """Corner (B, 2) of a patch of each frame: row, column, in feature pixels of `step` pixels.

    Half of the patches of `side` feature pixels lie about a landmark of brows, nose, eyes or mouth,
    the others anywhere: what moves is small, and an even draw would mostly show cheeks, hair and
    background.
    """
    corners = []
    for number, k in zip(corpus.take[index], corpus.frame[index]):
        take = corpus.takes[number]
        height = take.frames.shape[1]
        if rng.random() < 0.5:
            about = take.landmarks[k, rng.integers(FACE.start, FACE.stop)]
        else:
            about = rng.uniform(0, height, 2)
        corner = about[::-1] / step - side / 2 + rng.uniform(-1.5, 1.5, 2)
        corners.append(np.clip(corner.round(), 0, height // step - side))
    return torch.from_numpy(np.stack(corners)).long()


# ---- Contrast (Sec. 3.3) -------------------------------------------------------------------------
# Positives share the factor and little else; negatives as much as they can, but not the factor.

def contrasted(corpus: Corpus) -> list[str]:
    """Codes that vary, and so can be contrasted; of a clip of one person and light only "ex"."""
    return [name for name in CODES if name == "ex" or len(np.unique(corpus.label[name])) > 1]


def suitability(corpus: Corpus, name: str, anchors: Int[np.ndarray, "A"],
                frames: Int[np.ndarray, "A m"]
                ) -> tuple[Float[np.ndarray, "A m"], Float[np.ndarray, "A m"]]:
    """How well frames suit as the positive, and how well as a negative, of their anchor (Eq. 8).

    Row i of `frames` has the candidates of frame anchors[i], by their numbers in the corpus. Two
    tables (A, m): the largest is the best, -inf stands where a frame may not be one. Frames differ
    by d, the Euclidean distance of their corpus.upper, what brows and eyes do.

    name "ex" (expression): the positive is another person's, the nearer the better, so its entry is
    -d. If all frames of a row show the anchor's person, its other frames may be the positive. A
    negative is the same person's, the farther the better: d. The anchor may be neither.

    name "id", "al", "ill": count how many of the other two labels agree (0, 1 or 2), and add what
    is shared of the expression, exp(-d / the row's mean d), 1 where all d are 0. The positive has
    the anchor's label and shares little: minus that sum. A negative has another label and shares
    much: the sum. The anchor shares most with itself, and so comes last by itself.
    """
    away = np.linalg.norm(corpus.upper[frames] - corpus.upper[anchors, None], axis=-1)  # (A, m)
    alike = {label: corpus.label[label][frames] == corpus.label[label][anchors, None]
             for label in LABELS}
    if name == "ex":
        own = alike["id"] & (frames != anchors[:, None])
        alone = alike["id"].all(1, keepdims=True)  # nobody else is there
        positive = np.where(alone, own, ~alike["id"])
        return np.where(positive, -away, -np.inf), np.where(own, away, -np.inf)
    shared = np.exp(-away / (away.mean(1, keepdims=True) + 1e-9))
    for other in LABELS:
        if other != name:
            shared += alike[other]
    return np.where(alike[name], -shared, -np.inf), np.where(alike[name], -np.inf, shared)


def contrast(corpus: Corpus, name: str, anchors: Int[np.ndarray, "A"], n: int,
             rng: np.random.Generator, among: Int[np.ndarray, "M"] | None = None
             ) -> tuple[Int[np.ndarray, "A"], Int[np.ndarray, "A {n}"]]:
    """For a code, a positive and n negatives of each anchor frame, among frames (None: all).

    The best of a random draw of those that may be one; of the expression's negatives n random ones
    of the better half.
    """
    among = np.arange(len(corpus)) if among is None else among
    everyone = np.broadcast_to(among, (len(anchors), len(among)))
    may_be = [table > -np.inf for table in suitability(corpus, name, anchors, everyone)]
    wanted = SIMILAR_POOL if name == "ex" else SHARED_POOL
    pool = _drawn(among, may_be[0], wanted, anchors, rng)
    positives = _best(pool, suitability(corpus, name, anchors, pool)[0], 1)[:, 0]
    pool = _drawn(among, may_be[1], NEGATIVE_POOL * n, anchors, rng)
    score = suitability(corpus, name, anchors, pool)[1]
    if name != "ex":
        return positives, _best(pool, score, n)
    return positives, rng.permuted(_best(pool, score, FAR_POOL * n), axis=1)[:, :n]


def _drawn(among: np.ndarray, allowed: np.ndarray, k: int, anchors: np.ndarray,
           rng: np.random.Generator) -> np.ndarray:
    """k draws (A, k) for each anchor from those of the frames that are `allowed` (A, M).

    Where none is, the anchor itself.
    """
    first = np.argsort(~allowed, axis=1, kind="stable")  # places of the allowed ones come first
    count = allowed.sum(1, keepdims=True)
    place = (rng.random((len(anchors), k)) * count).astype(np.int64)
    return np.where(count > 0, among[np.take_along_axis(first, place, 1)], anchors[:, None])


def _best(pool: np.ndarray, score: np.ndarray, k: int) -> np.ndarray:
    """Of the frames (A, m) those k with the highest score (A, m), best first."""
    return np.take_along_axis(pool, np.argsort(-score, axis=1, kind="stable")[:, :k], 1)


def lookalikes(corpus: Corpus, apart: float, seed: int, k: int = 4) -> np.ndarray:
    """For each frame k others (n, k) of the person with the most similar upper face.

    They lie at least `apart` s away, so they show the same expression (nearest in F_exp) while the
    mouth is at another sound. Chosen among LOOKALIKE_POOL random frames of the person, so that the
    cost grows with n only.
    """
    rng, found = np.random.default_rng(seed), np.empty((len(corpus), k), np.int64)
    label = corpus.label["id"]
    own = {person: np.flatnonzero(label == person) for person in np.unique(label)}
    for i in range(len(corpus)):
        frames = own[label[i]]
        if len(frames) > LOOKALIKE_POOL:
            frames = rng.choice(frames, LOOKALIKE_POOL, replace=False)
        distant = np.abs(corpus.time[frames] - corpus.time[i]) >= apart
        away = (corpus.take[frames] != corpus.take[i]) | distant
        frames = frames[away] if away.any() else np.array([i])  # a very short clip: the frame again
        away = np.linalg.norm(corpus.upper[frames] - corpus.upper[i], axis=1)
        nearest = np.argsort(away, kind="stable")[:k]
        found[i] = np.resize(frames[nearest], k)
    return found
