"""scores.py - Sec. 4.3: the figures of one row of a table: PSNR, SSIM, FID, Sync, LMD and mouth opening.

In: frames (T, H, W, 3) that claim to show some frames of a take, however they were made. Out: one dictionary a row,
{"PSNR (dB)": ..., ...}. The measures are in measures.py; three of them look through a network, which `Judges` holds:
the landmark regressor (landmarker.py), the features of FID, and SyncNet or the expert that stands in (syncnet.py).
Next: evaluate.py, which makes the rows.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

import landmarker
import measures
import syncnet
from config import Config
from corpus import Corpus, to_image
from data import mouth_crop
from media import InputError
from takes import Take

MAX_LAG = 8  # frames, of mouth opening
MAX_OFFSET = 10  # frames, of Sync
EXPERT_ITERS = 700


@dataclass
class Judges:
    """The networks that look at frames, and what to say of them below a table.

    `distances` maps (frames (T, H, W, 3), take, rows (T,), F_A (T, w, d) of the take's own sound) to Sync's distances
    and their mask. It cuts faces and mouths at the true landmarks, so that the regressor's errors do not enter.
    """
    landmarks: landmarker.Landmarker
    features: measures.Features
    distances: Callable[..., syncnet.Distances]
    sync: str

    def note(self) -> str:
        comparable = "" if self.features.comparable else ": it ranks rows and does not compare with published figures"
        return f"FID uses {self.features.name}{comparable}. Sync uses {self.sync}."


def make_judges(cfg: Config, train: Corpus, heldout: Corpus, work: Path, device: torch.device, fid: str = "random",
                weights: Path | None = None) -> Judges:
    """Landmark regressor from the training frames, FID's features by `fid`, SyncNet by its file of `weights`.

    Without weights a sync expert stands in, trained on sentences that the model was not trained on; only where there
    are no others (a clip, a real set) on the training frames. Raises InputError for files that cannot be used.
    """
    features = measures.load_features(fid, device)  # the files first: a wrong name fails at once
    net = None if weights is None else syncnet.load_syncnet(weights).to(device)
    marks = trained_landmarker(train, cfg.seed, device)
    shortest = min(len(rows) for rows in heldout.rows)
    if net is not None:
        return Judges(marks, features, _with_syncnet(net, heldout),
                      "SyncNet's published weights (15 offsets each way at 25 frames a second)")
    material, what = train, "the training frames, for want of others"
    if cfg.data is None:
        material, what = other_sentences(cfg, work, device), "other sentences of the same people"
    expert = syncnet.train_expert(material, cfg, EXPERT_ITERS, cfg.seed, device)
    reach = max(1, min(MAX_OFFSET, shortest // 3))

    def distances(frames, take, rows, f_a):
        crops = to_image(mouth_crop(frames, take.landmarks[rows], cfg.crop, take.landmarks))
        return syncnet.expert_distances(*expert, crops, f_a, reach, take.frame_ids[rows])

    return Judges(marks, features, distances, f"a sync expert trained on {what}: it does not compare with SyncNet")


def _with_syncnet(net: syncnet.SyncNet, heldout: Corpus):
    """SyncNet's distances; its offsets are cut to what the shortest held-out take has room for."""
    seconds = min(np.ptp(t.frame_ids[r]) / t.fps for t, r in zip(heldout.takes, heldout.rows))
    reach = min(15, int(seconds * syncnet.FPS - syncnet.WINDOW) // 2)
    if reach < 1:
        raise InputError(f"--syncnet: the held-out frames last {seconds:.2f} s, too short for SyncNet's windows of "
                         "0.2 s; leave --syncnet out")

    def distances(frames, take, rows, f_a):
        faces = syncnet.face_crops(frames, take.landmarks[rows])
        return syncnet.syncnet_distances(net, faces, take.wave, float(take.fps), take.frame_ids[rows], reach)

    return distances


def trained_landmarker(train: Corpus, seed: int, device: torch.device) -> landmarker.Landmarker:
    """The regressor of landmarker.py, on the frames and true landmarks of `train`."""
    pick = lambda what: [np.asarray(getattr(t, what)[r]) for t, r in zip(train.takes, train.rows)]
    return landmarker.train_landmarker(pick("frames"), pick("landmarks"), seed, device=device)


def other_sentences(cfg: Config, work: Path, device: torch.device) -> Corpus:
    """Sentences 7 to 12 of the stand-in heads' people, which no run is trained on: for the sync expert."""
    import toyset
    from train import prepare  # here: train.py imports evaluate.py for its report
    toyset.write_toyset(work / "others", sentences=12, seed=cfg.seed)
    names = ",".join(f"sentence{k:02d}" for k in range(7, 13))
    return prepare(replace(cfg, data=str(work / "others"), sentences=names), work / "expert", device)[0]


# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """What is collected take by take for one row of a table."""
    psnr_head: list[float] = field(default_factory=list)  # dB inside the head's mask, a frame
    psnr: list[float] = field(default_factory=list)  # dB of the whole image, a frame
    ssim: list[float] = field(default_factory=list)
    features: list[np.ndarray] = field(default_factory=list)  # (T, d) of FID, a take; and of the truth
    true_features: list[np.ndarray] = field(default_factory=list)
    lmd: list[tuple[float, float]] = field(default_factory=list)  # px, and percent of the eyes' distance; a take
    r: list[np.ndarray] = field(default_factory=list)  # (2 MAX_LAG + 1,) correlation of mouth opening, a take
    sync: list[syncnet.Distances] = field(default_factory=list)

    def add(self, judges: Judges, frames: UInt8[np.ndarray, "T H W 3"], take: Take, rows: Int[np.ndarray, "T"],
            f_a: Float[np.ndarray, "T w d"]) -> None:
        """Score frames against the rows (T,) of their take; f_a is F_A of the take's own sound."""
        truth = np.asarray(take.frames[rows])
        for image, true, mask in zip(frames, truth, take.masks[rows]):
            self.psnr_head.append(measures.psnr(image, true, np.asarray(mask)))
            self.psnr.append(measures.psnr(image, true))
            self.ssim.append(measures.ssim(image, true))
        self.features.append(judges.features.extract(frames))
        self.true_features.append(judges.features.extract(truth))
        marks = landmarker.predict(judges.landmarks, frames)  # (T, 68, 2)
        self.lmd.append(measures.lmd(marks, take.landmarks[rows]))
        opening = [measures.by_frame_id(measures.mouth_opening(m), take.frame_ids[rows])
                   for m in (marks, take.landmarks[rows])]
        self.r.append(measures.correlation_and_lag(*opening, min(MAX_LAG, len(opening[0]) // 3)).r)
        self.sync.append(judges.distances(frames, take, rows, f_a))

    def figures(self) -> dict[str, float]:
        """Means over frames (PSNR, SSIM) and takes (LMD, mouth r); FID and Sync of all frames together.

        The lag is where the mean correlation over takes peaks, in frames, positive where the render is late; nan where
        a mouth does not move.
        """
        r = np.mean(self.r, axis=0)
        lag = int(np.argmax(r)) - len(r) // 2 if np.isfinite(r).all() else float("nan")
        fid = measures.frechet_distance(*measures.feature_statistics(np.concatenate(self.features)),
                                        *measures.feature_statistics(np.concatenate(self.true_features)))
        distance, valid = (np.concatenate([one[k] for one in self.sync]) for k in (0, 1))
        confidence, offset, _ = measures.sync_confidence(distance, valid)
        lmd, lmd_percent = np.mean(self.lmd, axis=0)
        return {"PSNR head (dB)": float(np.mean(self.psnr_head)), "PSNR (dB)": float(np.mean(self.psnr)),
                "SSIM": float(np.mean(self.ssim)), "FID": fid, "Sync confidence": confidence, "Sync offset": offset,
                "LMD (px)": float(lmd), "LMD (% of eyes)": float(lmd_percent), "mouth r": float(r[len(r) // 2]),
                "lag (frames)": lag}
