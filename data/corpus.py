"""corpus.py - all frames of the chosen takes behind one index, with what the encoders see of each.

In: Takes (take.py), the function of audio.py that makes F_A. Out: ground truth, crops, F_A and
labels of any frames. They stay in memory-mapped files, so memory does not grow with the data. Next:
sampling.py, which draws what a training step sees.
"""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from data.crops import lip_shapes, mouth_crop, stable_crop, to_image, without_mouth
from data.take import Take
from tools.errors import in_one_line, new_array

LABELS = ("id", "al", "ill")  # what all frames of a take share; C_ex is a frame's own
BROWS, EYES = slice(17, 27), slice(36, 48)  # the "expression": the lips belong to F_lip
BLOCK = 256  # frames cropped at a time: they may be large


class Corpus:
    """Frames of each take, numbered 0 .. n - 1 in the order given.

    numbers: per take, which of its frames are here; take (n,), frame (n,): where frame i comes
    from, the take and its number in it; first: index of each take's first frame; time (n,) s from
    the start of the take's sound; label {"id", "al", "ill"} -> (n,) int, entries of the code
    tables, `names` lists what they stand for; upper (n, 66): what brows and eyes do, see `evened`;
    lips (n, 40): the shape of the lips that E_lip sees, see `per_person`;
    pair_starts: frames whose successor in time has the next index (Eq. 7).
    """

    def __init__(self, takes: list[Take], numbers: list[np.ndarray]):
        self.takes, self.numbers = takes, numbers
        self.take = np.concatenate([np.full(len(some), i) for i, some in enumerate(numbers)])
        self.frame = np.concatenate(numbers)
        self.first = np.cumsum([0] + [len(some) for some in numbers])
        ids = np.concatenate([take.frame_ids[some] for take, some in zip(takes, numbers)])
        self.time = ids / np.array([take.fps for take in takes])[self.take]
        self.label, self.names = {}, {}
        for name in LABELS:
            labels = [takes[i].labels[name] for i in self.take]
            self.names[name], self.label[name] = np.unique(labels, return_inverse=True)
        upper = np.concatenate([upper_face(take)[some] for take, some in zip(takes, numbers)])
        self.upper = evened(upper, self.label["id"])
        lips = np.concatenate([lip_shapes(take.landmarks[some])
                               for take, some in zip(takes, numbers)])
        self.lips = per_person(lips, self.label["id"])
        self.pair_starts = np.flatnonzero((np.diff(self.take) == 0) & (np.diff(ids) == 1))

    def __len__(self) -> int:
        return len(self.take)

    def prepare(self, folder: Path, crop: int,
                features: Callable[[np.ndarray, np.ndarray], np.ndarray],
                blank_mouth: bool = True) -> None:
        """Head crops, mouth crops and F_A of every frame, in memory-mapped files under `folder`."""
        folder.mkdir(parents=True, exist_ok=True)

        def open_file(name: str, shape: tuple[int, ...], kind) -> np.ndarray:
            with in_one_line(folder / name):
                return new_array(folder / name, kind, (len(self), *shape))

        self.heads = open_file("heads.npy", (crop, crop, 3), np.uint8)
        self.mouths = open_file("mouths.npy", (crop, crop, 3), np.uint8)
        self.f_a = None
        for i, take in enumerate(tqdm(self.takes, "crops and sound features", unit="take")):
            numbers, first = self.numbers[i], self.first[i]
            for start in range(0, len(numbers), BLOCK):
                some = numbers[start:start + BLOCK]
                at = slice(first + start, first + start + len(some))
                images, marks = take.frames[some], take.landmarks[some]
                heads = stable_crop(images, marks, crop)
                self.heads[at] = without_mouth(heads) if blank_mouth else heads
                self.mouths[at] = mouth_crop(images, marks, crop, take.landmarks)
            f_a = features(take.wave, take.frame_ids[numbers] / take.fps)  # (T, w, d)
            if self.f_a is None:
                self.f_a = open_file("f_a.npy", f_a.shape[1:], np.float32)
            self.f_a[first:self.first[i + 1]] = f_a

    def entries(self, index: np.ndarray, per_frame: bool = False) -> dict[str, Tensor]:
        """Entries (B,) of the four code tables for frames (B,): C_ex per frame, others per label.

        per_frame: all four per frame.
        """
        entries = dict.fromkeys((*LABELS, "ex"), torch.from_numpy(index))
        if not per_frame:
            entries |= {name: torch.from_numpy(self.label[name][index]) for name in LABELS}
        return entries

    def head_crops(self, index: np.ndarray) -> Tensor:
        """(B,) -> (B, 3, s, s) in [0, 1]: the aligned heads that the extractor sees."""
        return to_image(self.heads[index])

    def mouth_crops(self, index: np.ndarray) -> Tensor:
        """(B,) -> (B, 3, s, s) in [0, 1]: what the sync expert sees (Sec. 4.3)."""
        return to_image(self.mouths[index])

    def ground_truth(self, index: np.ndarray, corner: Tensor | None = None, side: int | None = None
                     ) -> dict[str, Tensor]:
        """What frames `index` (B,) should look like, and from where.

        corner (B, 2): row and column, px; of each picture only the square of side x side px that
        begins there is read. None: whole pictures.
        Returns image, mask, known, background (B, ., H, W), K (B, 3, 3), cam_to_head and rest (B,
        4, 4). Where a clip has no matte its mask is the face; around it hair and background are not
        told apart, so there the opacity is not known. A matte is known as far as it is sure.
        """
        takes, numbers = [self.takes[t] for t in self.take[index]], self.frame[index]
        places = [(0, 0)] * len(index) if corner is None else corner.tolist()
        each = list(zip(takes, numbers, (_square(*place, side) for place in places)))
        masks = np.stack([take.masks[k][square] for take, k, square in each])
        mask = torch.from_numpy(masks)[:, None].float() / 255
        known = torch.stack([_known(one, take) for one, take in zip(mask, takes)])
        poses = np.stack([take.cam_to_head[k] for take, k, _ in each])
        rest = np.stack([np.eye(4) if take.rest is None else take.rest for take in takes])
        images = np.stack([take.frames[k][square] for take, k, square in each])
        backgrounds = np.stack([take.background[square] for take, _, square in each])
        return {"image": to_image(images), "mask": mask, "known": known,
                "background": to_image(backgrounds),
                "K": torch.from_numpy(np.stack([take.K for take in takes])).float(),
                "cam_to_head": torch.from_numpy(poses).float(),
                "rest": torch.from_numpy(rest).float()}


def _square(row: int, column: int, side: int | None) -> tuple[slice, slice]:
    """Where a square of `side` px lies in a picture; None: all to the lower right of the place."""
    end = (None, None) if side is None else (row + side, column + side)
    return slice(row, end[0]), slice(column, end[1])


def _known(mask: Tensor, take: Take) -> Tensor:
    """Where the opacity of a frame is known: everywhere, in the face, as far as a matte is sure."""
    if take.kind == "mesh":
        return torch.ones_like(mask)
    return (2 * mask - 1).abs() if take.whole else mask


def upper_face(take: Take) -> np.ndarray:
    """F_exp (T, E) as displacements of brows and eyes (T, 22 * 3), in dm for every source."""
    basis = np.concatenate([take.exp_basis[:, BROWS], take.exp_basis[:, EYES]], 1)
    return (take.f_exp @ basis.reshape(len(take.exp_basis), -1)).astype(np.float32)


def evened(upper: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Displacements (n, 22 * 3) from each person's mean, brows and eyes in units of their spread.

    person (n,): whose each frame is. Lids are small: in decimetres two frames that differ by a
    blink would be nearer than two with other brows.
    """
    upper = upper.copy()
    for who in np.unique(person):
        upper[person == who] -= upper[person == who].mean(0)
    brows = 3 * (BROWS.stop - BROWS.start)
    for part in (slice(0, brows), slice(brows, None)):
        upper[:, part] /= np.sqrt(np.square(upper[:, part]).sum(1).mean()) + 1e-9
    return upper


def per_person(lips: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Shapes (n, 40) less each person's mean, in units of the person's spread.

    person (n,): whose each frame is. Who has full lips, or opens the mouth less, says no other
    sounds.
    """
    lips = lips.astype(np.float32)
    for who in np.unique(person):
        own = person == who
        lips[own] -= lips[own].mean(0)
        lips[own] /= lips[own].std() + 1e-9
    return lips
