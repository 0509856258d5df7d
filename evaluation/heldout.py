"""heldout.py - Sec. 4.3: how a run does on frames it was not trained on: the rows of the table.

In: a Run and the held-out frames of its data. Out: the frames of each of ROWS, and their scores.
report.py calls score_heldout at the end of training, for heldout.json of the run folder.
judges.py turns frames into the scores of a row. Next: evaluate.py.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from data.corpus import LABELS, Corpus
from data.prepare import prepare
from dhnerf import CODES
from evaluation import measures
from evaluation.judges import Judges, RowScores
from inference.rendering import back_and_forth, lip_features, render_frames
from inference.folder import FOUND
from inference.run import Run, check_data, check_takes


def indices(corpus: Corpus, number: int) -> Int[np.ndarray, "T"]:
    """Corpus indices of the frames of take `number`."""
    return np.arange(corpus.first[number], corpus.first[number + 1])


@dataclass
class HeldoutTake:
    """Held-out take `number` of T frames, with the run and the frames whose codes it borrows."""
    run: Run
    train_set: Corpus
    heldout_set: Corpus
    number: int

    def __post_init__(self):
        self.take = self.heldout_set.takes[self.number]
        self.index = indices(self.heldout_set, self.number)  # (T,)

    @cached_property
    def read(self) -> dict[str, Float[Tensor, "T d"]]:
        """The four codes that the extractor reads in each of the T frames (mouth blanked)."""
        crops = self.heldout_set.head_crops(self.index)
        with torch.no_grad():
            blocks = [self.run.extractor(block.to(self.run.device)) for block in crops.split(256)]
        return {name: torch.cat([block[name] for block in blocks]) for name in CODES}

    def labelled(self, factor: str) -> Float[Tensor, "1 d"]:
        """The trained code of the same person, albedo or light; read where training had none."""
        same = self.train_set.names[factor] == self.take.labels[factor]
        if same.any():
            return self.run.codes.tables[factor].weight[np.flatnonzero(same)]
        return F.normalize(self.read[factor].mean(0, keepdim=True), dim=-1)

    @property
    def rest(self) -> Float[Tensor, "4 4"] | None:
        """The mean pose of the take, where there is a body."""
        return None if self.take.rest is None else torch.from_numpy(self.take.rest)

    def training_frames(self) -> Int[np.ndarray, "n"]:
        """Indices of the training frames of the same person; of all frames if there are none."""
        same = self.train_set.names["id"][self.train_set.label["id"]] == self.take.labels["id"]
        return np.flatnonzero(same) if same.any() else np.arange(len(same))

    def trained_ex(self) -> Float[Tensor, "n d"]:
        """C_ex of `training_frames`."""
        return self.run.codes.tables["ex"].weight[self.training_frames()]

    def render(self, ex: Float[Tensor, "_ k"], only: Int[np.ndarray, "n"],
               f_a: Float[np.ndarray, "T w d"] | None = None, f_lip: Tensor | None = None
               ) -> Iterable[np.ndarray]:
        """Iterator over the rendered frames `only` (n,), (H, W, 3) uint8 each.

        ex: C_ex of all T frames, or one that stays (1, d); f_a: sound features, if not the take's;
        f_lip (n, d_lip): what moves the lips, if not the sound.
        """
        codes = {factor: self.labelled(factor) for factor in LABELS}
        codes["ex"] = ex[torch.from_numpy(only)] if len(ex) > 1 else ex
        poses = torch.from_numpy(self.take.cam_to_head[self.heldout_set.frame[self.index[only]]])
        f_a = self.heldout_set.f_a[self.index] if f_a is None else f_a
        f_lip = lip_features(self.run, f_a[only]) if f_lip is None else f_lip
        return render_frames(self.run, codes, f_lip,
                             torch.from_numpy(self.take.K), poses,
                             torch.from_numpy(self.take.background), self.rest)


# ---- the rows of the table: each function gives the frames `only` (n,) of a held-out take --------

def truth(held: HeldoutTake, only: np.ndarray):
    return (held.take.frames[frame] for frame in held.heldout_set.numbers[held.number][only])


def audio_pose(held: HeldoutTake, only: np.ndarray, f_a: np.ndarray | None = None):
    ex = held.trained_ex().flip(0)  # backwards from the last frame of training, then to and fro
    return held.render(ex[back_and_forth(len(ex), len(held.index))], only, f_a)


def lips_pose(held: HeldoutTake, only: np.ndarray):
    if held.run.e_lip is None:  # a run without F_lip: neither sound nor lips drive it
        return audio_pose(held, only)
    lips = torch.from_numpy(held.heldout_set.lips[held.index[only]]).to(held.run.device)
    with torch.no_grad():
        f_lip = held.run.e_lip(lips)
    ex = held.trained_ex().flip(0)
    return held.render(ex[back_and_forth(len(ex), len(held.index))], only, f_lip=f_lip)


def audio_pose_mean(held: HeldoutTake, only: np.ndarray):
    return held.render(F.normalize(held.trained_ex().mean(0, keepdim=True), dim=-1), only)


def extractor_reads(held: HeldoutTake, only: np.ndarray):
    return held.render(held.read["ex"], only)


def mean_face(held: HeldoutTake, only: np.ndarray):
    return [mean_frame(held.train_set, held.training_frames())] * len(only)


def audio_shuffled(held: HeldoutTake, only: np.ndarray):
    return audio_pose(held, only, other_sound(held.heldout_set, held.number))


ROWS = {
    "truth": ("true frames against themselves (the landmark regressor's own error)", truth),
    "audio_pose": ("audio and pose only (C_ex replays the training frames)", audio_pose),
    "lips_pose": ("true lips and pose (F_lip of E_lip in place of F_al of the sound)", lips_pose),
    "audio_pose_mean": ("audio and pose only (C_ex stays at its mean)", audio_pose_mean),
    "extractor": ("audio, pose, and C_ex read from the held-out frame by the extractor",
                  extractor_reads),
    "mean_face": ("mean training frame (baseline)", mean_face),
    "audio_shuffled": ("pose as in the take, sound of another sentence (lips should not fit)",
                       audio_shuffled)}
# Those that report.py scores at the end of training.
REPORTED = ("audio_pose", "audio_pose_mean", "extractor", "mean_face")


def mean_frame(corpus: Corpus, index: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "H W 3"]:
    """Pixelwise mean of the frames `index`, in one pass, with bounded memory."""
    total = 0
    for i in index:
        total = total + corpus.takes[corpus.take[i]].frames[corpus.frame[i]].astype(np.float64)
    return (total / len(index)).round().astype(np.uint8)


def other_sound(heldout_set: Corpus, number: int) -> Float[np.ndarray, "T w d"]:
    """F_A of the next take, turned round by half its length: sentences share the silent ends."""
    f_a = heldout_set.f_a[indices(heldout_set, (number + 1) % len(heldout_set.takes))]
    f_a = np.roll(f_a, len(f_a) // 2, axis=0)
    return np.resize(f_a, (len(heldout_set.numbers[number]), *f_a.shape[1:]))


# ---- scores --------------------------------------------------------------------------------------

def evenly(n: int, wanted: int) -> Int[np.ndarray, "n"]:
    """At most `wanted` of the numbers 0 .. n - 1, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, wanted)).round().astype(np.int64))


def score_heldout(run: Run, train_set: Corpus, heldout_set: Corpus, per_take: int = 20
                  ) -> dict[str, dict]:
    """REPORTED rows -> {"what", "psnr" in the mask, "frames"}; of each take `per_take` frames."""
    psnr: dict[str, list[float]] = {name: [] for name in REPORTED}
    for number, take in enumerate(heldout_set.takes):
        held = HeldoutTake(run, train_set, heldout_set, number)
        only = evenly(len(held.index), per_take)
        for name, found in psnr.items():
            _, images_of = ROWS[name]
            for image, frame in zip(images_of(held, only), heldout_set.numbers[number][only]):
                found.append(measures.psnr(image, take.frames[frame], take.masks[frame]))
    return {name: {"what": ROWS[name][0], "psnr": float(np.mean(found)), "frames": len(found)}
            for name, found in psnr.items()}


def table(run: Run, train_set: Corpus, heldout_set: Corpus, judges: Judges,
          names: Iterable[str] = tuple(ROWS)) -> list[dict]:
    """One dictionary per row of ROWS that `names` lists: row, what, frames, and its RowScores."""
    lines = []
    for name in tqdm(names, "scoring", unit="row"):
        what, images_of = ROWS[name]
        found = RowScores()
        for number, take in enumerate(heldout_set.takes):
            held = HeldoutTake(run, train_set, heldout_set, number)
            images = np.stack(list(images_of(held, np.arange(len(held.index)))))
            f_a = heldout_set.f_a[held.index]
            found.add(judges, images, take, heldout_set.numbers[number], f_a)
        lines.append({"row": name, "what": what, "frames": len(found.psnr), **found.scores()})
    return lines


def prepare_again(run: Run, work: Path) -> tuple[Corpus, Corpus]:
    """The training frames and the held-out frames of a trained run, prepared under `work`."""
    check_data(run.cfg)
    found = None if run.folder is None else run.folder / FOUND
    train_set, heldout_set = prepare(run.cfg, work, run.device, found)
    check_takes(run.cfg, run.takes, train_set)
    return train_set, heldout_set
