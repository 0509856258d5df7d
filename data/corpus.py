"""corpus.py - what a training step sees: all frames of the chosen takes behind one index.

In: Takes of data.py, features of audio.py. Out: batches of consecutive frame pairs (Eq. 7), and anchors with positives
and negatives for the contrastive losses (Eq. 8; Sec. 3.3 for the four codes).

Frames, crops and features stay in memory-mapped files, so memory does not grow with the data. Next: train.py.
"""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from audio import APART
from data.crops import mouth_crop, stable_crop, to_image, without_mouth
from data.sampling import FACE
from data.take import Take
from dhnerf import CODES

LABELS = {"id": "id", "al": "albedo", "ill": "light"}  # factor -> key of Take.labels
BROWS, EYES = slice(17, 27), slice(36, 48)  # what "expression" means here, as the lips belong to F_lip


class Corpus:
    """Frames `rows` of each take, numbered 0 .. n - 1 in the order given.

    take (n,), row (n,): where frame i comes from; time (n,) seconds from the start of its take's sound;
    label {"id", "al", "ill"} -> (n,) int, rows of the code tables: `names[factor]` lists what they stand for;
    upper (n, 66) what brows and eyes do, from F_exp, in units of their spread: see `upper_face` and `evened`.
    """

    def __init__(self, takes: list[Take], rows: list[np.ndarray]):
        self.takes, self.rows = takes, rows
        self.take = np.concatenate([np.full(len(r), i) for i, r in enumerate(rows)])
        self.row = np.concatenate(rows)
        self.first = np.cumsum([0] + [len(r) for r in rows])  # corpus index of each take's first frame
        ids = np.concatenate([t.frame_ids[r] for t, r in zip(takes, rows)])
        self.time = np.concatenate([t.frame_ids[r] / t.fps for t, r in zip(takes, rows)])
        self.label, self.names = {}, {}
        for factor, key in LABELS.items():
            labels = [takes[i].labels[key] for i in self.take]
            self.names[factor], self.label[factor] = np.unique(labels, return_inverse=True)
        self.upper = evened(np.concatenate([upper_face(t)[r] for t, r in zip(takes, rows)]), self.label["id"])
        follows = (np.diff(self.take) == 0) & (np.diff(ids) == 1)
        self.pair_starts = np.flatnonzero(follows)  # frames whose successor in time is the next index

    def __len__(self) -> int:
        return len(self.take)

    def code_rows(self, index: np.ndarray, per_frame: bool = False) -> dict[str, Tensor]:
        """Frames (B,) -> rows (B,) of the four code tables: C_ex a frame, the others by label, or a frame, too."""
        rows = dict.fromkeys((*LABELS, "ex"), torch.from_numpy(index))
        return rows if per_frame else rows | {f: torch.from_numpy(self.label[f][index]) for f in LABELS}

    def prepare(self, folder: Path, crop: int, features: Callable[[np.ndarray, np.ndarray], np.ndarray],
                blank_mouth: bool = True) -> None:
        """Compute head crops, mouth crops and F_A of every frame into memory-mapped files under `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        open_file = lambda name, shape, kind: np.lib.format.open_memmap(folder / name, "w+", kind, (len(self), *shape))
        self.heads = open_file("heads.npy", (crop, crop, 3), np.uint8)
        self.mouths = open_file("mouths.npy", (crop, crop, 3), np.uint8)
        self.f_a = None
        for i, (take, rows) in enumerate(zip(tqdm(self.takes, "crops and sound features", unit="take"), self.rows)):
            part = slice(self.first[i], self.first[i + 1])
            for start in range(0, len(rows), 256):  # a block at a time: frames may be large
                block = rows[start:start + 256]
                at = slice(part.start + start, part.start + start + len(block))
                heads = stable_crop(take.frames[block], take.landmarks[block], crop)
                self.heads[at] = without_mouth(heads) if blank_mouth else heads
                self.mouths[at] = mouth_crop(take.frames[block], take.landmarks[block], crop, take.landmarks)
            f_a = features(take.wave, take.frame_ids[rows] / take.fps)  # (T, w, d)
            if self.f_a is None:
                self.f_a = open_file("f_a.npy", f_a.shape[1:], np.float32)
            self.f_a[part] = f_a

    def draws(self, rare: float) -> np.ndarray:
        """Probability (n,) of drawing each frame: uniform, but for the share `rare`, which goes by how far a frame's upper
        face is from the person's mean, squared. A blink fills one frame in twenty; drawn evenly it is hardly learnt."""
        away = np.empty(len(self))
        for person in np.unique(self.label["id"]):
            own = self.label["id"] == person
            away[own] = np.square(self.upper[own]).sum(1) + 1e-12
            away[own] *= own.sum() / away[own].sum()  # each person as often as evenly drawn
        return ((1 - rare) + rare * away) / len(self)

    def head_crops(self, index: np.ndarray) -> Tensor:
        """(B,) -> (B, 3, s, s) in [0, 1]: the aligned heads that the extractor sees, mouth blanked as `prepare` was told."""
        return to_image(self.heads[index])

    def mouth_crops(self, index: np.ndarray) -> Tensor:
        """(B,) -> (B, 3, s, s) in [0, 1]: what E_lip sees."""
        return to_image(self.mouths[index])

    def frames(self, index: np.ndarray) -> dict[str, Tensor]:
        """Ground truth of frames `index` (B,): image, mask, known (B, ., H, W), K, cam_to_head, background."""
        takes = [self.takes[t] for t in self.take[index]]
        rows = self.row[index]
        mask = torch.from_numpy(np.stack([t.masks[r] for t, r in zip(takes, rows)]))[:, None].float() / 255
        # A clip's mask is the face; around it hair and background are not told apart, so opacity is known inside only.
        whole = torch.tensor([float(t.kind == "mesh") for t in takes]).view(-1, 1, 1, 1)
        return {
            "image": to_image(np.stack([t.frames[r] for t, r in zip(takes, rows)])), "mask": mask,
            "known": torch.maximum(mask, whole), "background": to_image(np.stack([t.background for t in takes])),
            "K": torch.from_numpy(np.stack([t.K for t in takes])).float(),
            "cam_to_head": torch.from_numpy(np.stack([t.cam_to_head[r] for t, r in zip(takes, rows)])).float()}

    def patch_corners(self, index: np.ndarray, side: int, step: int, rng: np.random.Generator) -> Tensor:
        """Where to cut a patch out of each frame: (B, 2) row and column, in feature pixels of `step` image pixels.

        Half of the patches of `side` feature pixels lie about a landmark of brows, nose, eyes or mouth, the others
        anywhere: what moves is small, and an even draw would mostly show cheeks, hair and background.
        """
        corners = []
        for take, row in zip(self.take[index], self.row[index]):
            take = self.takes[take]
            height = take.frames.shape[1]
            about = take.landmarks[row, rng.integers(FACE.start, FACE.stop)] if rng.random() < 0.5 else \
                rng.uniform(0, height, 2)
            corner = about[::-1] / step - side / 2 + rng.uniform(-1.5, 1.5, 2)
            corners.append(np.clip(corner.round(), 0, height // step - side))
        return torch.from_numpy(np.stack(corners)).long()

    # -----------------------------------------------------------------------------------------------------------------
    # Contrast (Sec. 3.3): positives share the factor and little else, negatives as much but the factor as a draw offers

    def contrasted(self) -> list[str]:
        """Factors that vary in this corpus. A clip has one identity, albedo and light: only "ex" can be contrasted."""
        return [f for f in CODES if f == "ex" or len(np.unique(self.label[f])) > 1]

    def contrast(self, factor: str, anchor: int | np.integer, n: int, rng: np.random.Generator,
                 among: np.ndarray | None = None) -> tuple[int | np.integer, np.ndarray]:
        """A positive and n negatives (n,) for one anchor frame and one factor, out of the frames `among` (None: all).

        Expression: of 64 random frames, the positive is the nearest in upper-face F_exp, of another person where there
        is one; negatives are the same person's, from the farther half. Others: by label, see `_rank`.
        """
        among = np.arange(len(self)) if among is None else among
        if factor == "ex":
            return self._contrast_expression(anchor, n, rng, among)
        same = self.label[factor][among] == self.label[factor][anchor]
        positives = rng.choice(among[same], 8) if same.any() else np.array([anchor])
        negatives = rng.choice(among[~same], 4 * n)
        return positives[self._rank(factor, anchor, positives).argmin()], \
            negatives[np.argsort(-self._rank(factor, anchor, negatives), kind="stable")[:n]]

    def _rank(self, factor: str, anchor: int | np.integer, frames: np.ndarray) -> np.ndarray:
        """How many other factors each frame (n,) shares with the anchor; expression counts by nearness, 0 to 1."""
        shared = sum((self.label[f][frames] == self.label[f][anchor]).astype(float) for f in LABELS if f != factor)
        distance = np.linalg.norm(self.upper[frames] - self.upper[anchor], axis=1)
        return shared + np.exp(-distance / (distance.mean() + 1e-9))

    def _contrast_expression(self, anchor: int | np.integer, n: int, rng: np.random.Generator, among: np.ndarray
                             ) -> tuple[int | np.integer, np.ndarray]:
        person = self.label["id"][among] == self.label["id"][anchor]
        others, own = among[~person], among[person & (among != anchor)]
        own = own if len(own) else np.array([anchor])
        pool = rng.choice(others if len(others) else own, 64)
        positive = pool[np.linalg.norm(self.upper[pool] - self.upper[anchor], axis=1).argmin()]
        pool = rng.choice(own, 4 * n)
        distance = np.linalg.norm(self.upper[pool] - self.upper[anchor], axis=1)
        return positive, pool[np.argsort(-distance, kind="stable")[:2 * n]][rng.permutation(2 * n)[:n]]

    def lookalikes(self, k: int = 4, pool: int = 256, seed: int = 0) -> np.ndarray:
        """For each frame k others (n, k) of the same person with the most similar upper face, at least APART s away.

        They are the same expression (nearest in F_exp) while the mouth is at another sound. Chosen among `pool` random
        frames of the person, so that the cost grows with n only.
        """
        rng, found = np.random.default_rng(seed), np.empty((len(self), k), np.int64)
        own = {person: np.flatnonzero(self.label["id"] == person) for person in np.unique(self.label["id"])}
        for i in range(len(self)):
            frames = own[self.label["id"][i]]
            frames = rng.choice(frames, pool, replace=False) if len(frames) > pool else frames
            away = (self.take[frames] != self.take[i]) | (np.abs(self.time[frames] - self.time[i]) >= APART)
            frames = frames[away] if away.any() else np.array([i])  # a very short clip: the frame itself
            nearest = np.argsort(np.linalg.norm(self.upper[frames] - self.upper[i], axis=1), kind="stable")[:k]
            found[i] = np.resize(frames[nearest], k)
        return found


def upper_face(take: Take) -> np.ndarray:
    """F_exp (T, E) as displacements of brows and eyes (T, 22 * 3), dm: the same units for every source."""
    basis = np.concatenate([take.exp_basis[:, BROWS], take.exp_basis[:, EYES]], 1).reshape(len(take.exp_basis), -1)
    return (take.f_exp @ basis).astype(np.float32)


def evened(upper: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Displacements (n, 22 * 3) from the mean of each person (n,), brows and eyes each in units of their own spread.

    Lids are small: in decimetres two frames that differ by a blink would be nearer than two with other brows.
    """
    upper = upper.copy()
    for who in np.unique(person):
        upper[person == who] -= upper[person == who].mean(0)
    brows = 3 * (BROWS.stop - BROWS.start)
    for part in (slice(0, brows), slice(brows, None)):
        upper[:, part] /= np.sqrt(np.square(upper[:, part]).sum(1).mean()) + 1e-9
    return upper
