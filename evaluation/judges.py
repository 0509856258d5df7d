"""judges.py - Sec. 4.3: the scores of one row of a table: PSNR, SSIM, FID, Sync, LMD and mouth.

In: frames (T, H, W, 3) that claim to show some frames of a take, however they were made. Out: one
dictionary per row, {"PSNR (dB)": ..., ...}. The measures are in measures.py; some of them look
through a network, which `Judges` holds: the landmark regressor (landmark_regressor.py), the
features of FID, and SyncNet or the expert that stands in. Next: heldout.py, which makes the rows.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from config import Config
from data.corpus import Corpus
from data.crops import mouth_crop, to_image
from data.take import Take
from evaluation import landmark_regressor, measures, syncnet
from evaluation.landmark_regressor import trained_landmarker
from evaluation.perceptual import Lpips, load_lpips
from evaluation.sync_expert import expert_distances, sync_expert
from tools.errors import InputError

MAX_LAG = 8  # frames, of mouth opening
MAX_OFFSET = 10  # frames, of Sync
NAN = float("nan")


@dataclass
class Judges:
    """The networks that look at frames, and what to say of them below a table.

    `distances` maps (frames (T, H, W, 3), take, their numbers in it (T,), F_A (T, w, d) of the
    take's own sound) to Sync's distances and their mask. It cuts faces and mouths at the true
    landmarks, so that the regressor's errors do not enter.
    """
    landmarks: landmark_regressor.Landmarker
    features: measures.Features
    distances: Callable[..., syncnet.Distances]
    sync: str
    lpips: Lpips | None = None

    def note(self) -> str:
        rank = "; they rank rows and do not compare with published FIDs"
        comparable = "" if self.features.comparable else rank
        looks = f" LPIPS is that of {self.lpips.name}." if self.lpips else ""
        return f"FID uses {self.features.name}{comparable}. Sync uses {self.sync}.{looks}"


def make_judges(cfg: Config, train_set: Corpus, heldout_set: Corpus, work: Path,
                device: torch.device, features: measures.Features | None = None,
                net: syncnet.SyncNet | None = None, keep: Path | None = None) -> Judges:
    """Landmark regressor of the training frames, FID's features (None: random), SyncNet's weights.

    Without SyncNet (None) a sync expert stands in, see sync_expert; `keep`: the file in which it
    stays for the next time. `work`: a folder for data of passage. Raises InputError for a kept
    expert that cannot be read.
    """
    marks = trained_landmarker(train_set, cfg.seed, device)
    features = features or measures.load_features("random", device)
    if net is not None:
        distances, sync = _with_syncnet(net.to(device), heldout_set)
    else:
        expert = sync_expert(cfg, train_set, work, device, keep)
        distances, sync = _with_expert(expert, cfg, heldout_set)
    return Judges(marks, features, distances, sync, load_lpips(device))


def _with_syncnet(net: syncnet.SyncNet, heldout_set: Corpus):
    """SyncNet's distances, and what they are; the shortest held-out take bounds the offsets."""
    takes = zip(heldout_set.takes, heldout_set.numbers)
    seconds = min(np.ptp(take.frame_ids[shown]) / take.fps for take, shown in takes)
    reach = min(15, int(seconds * syncnet.FPS - syncnet.WINDOW + 1e-6) // 2)
    if reach < 1:
        raise InputError(f"--syncnet: the held-out frames last {seconds:.2f} s, too short for "
                         "SyncNet's windows of 0.2 s; leave --syncnet out")

    def distances(frames, take, shown, f_a):
        faces = syncnet.face_crops(frames, take.landmarks[shown])
        ids, fps = take.frame_ids[shown], float(take.fps)
        return syncnet.syncnet_distances(net, faces, take.wave, fps, ids, reach)

    return distances, f"SyncNet's published weights, {reach} offsets each way in frames of 1/25 s"


def _with_expert(expert: tuple, cfg: Config, heldout_set: Corpus):
    """Distances of a sync expert (E_lip, E_audio, what it was trained on), and what they are."""
    e_lip, e_audio, what = expert
    reach = min(MAX_OFFSET, min(map(len, heldout_set.numbers)) // 3)

    def distances(frames, take, shown, f_a):
        crops = to_image(mouth_crop(frames, take.landmarks[shown], cfg.crop, take.landmarks))
        return expert_distances(e_lip, e_audio, crops, f_a, reach, take.frame_ids[shown])

    return distances, (f"a sync expert trained on {what}, {reach} offsets each way in frames: "
                       "it does not compare with SyncNet")


@dataclass
class RowScores:
    """What is collected take by take for one row of a table."""
    psnr_head: list[float] = field(default_factory=list)  # per frame: dB inside the head's mask
    psnr: list[float] = field(default_factory=list)  # per frame: dB of the whole image
    ssim: list[float] = field(default_factory=list)  # per frame
    lpips: list[float] = field(default_factory=list)  # per frame, where a package has it
    features: list[np.ndarray] = field(default_factory=list)  # per take: FID's (T, d)
    true_features: list[np.ndarray] = field(default_factory=list)  # per take: the truth's
    lmd: list[tuple[float, float]] = field(default_factory=list)  # per take: px, % of the eyes
    opening: list[np.ndarray] = field(default_factory=list)  # per take: the mouth's (N,)
    true_opening: list[np.ndarray] = field(default_factory=list)  # per take: the truth's
    sync: list[syncnet.Distances] = field(default_factory=list)  # per take

    def add(self, judges: Judges, frames: UInt8[np.ndarray, "T H W 3"], take: Take,
            shown: Int[np.ndarray, "T"], f_a: Float[np.ndarray, "T w d"]) -> None:
        """Score frames against those numbered `shown` of their take; f_a: F_A of its own sound."""
        truth = np.asarray(take.frames[shown])
        for image, true, mask in zip(frames, truth, take.masks[shown]):
            self.psnr_head.append(measures.psnr(image, true, np.asarray(mask)))
            self.psnr.append(measures.psnr(image, true))
            self.ssim.append(measures.ssim(image, true))
            if judges.lpips is not None:
                self.lpips.append(judges.lpips.distance(image, true))
        self.features.append(judges.features.extract(frames))
        self.true_features.append(judges.features.extract(truth))
        marks = landmark_regressor.predict(judges.landmarks, frames)  # (T, 68, 2)
        true_marks, ids = take.landmarks[shown], take.frame_ids[shown]
        self.lmd.append(measures.lmd(marks, true_marks))
        self.opening.append(measures.by_frame_id(measures.mouth_opening(marks), ids))
        self.true_opening.append(measures.by_frame_id(measures.mouth_opening(true_marks), ids))
        self.sync.append(judges.distances(frames, take, shown, f_a))

    def scores(self) -> dict[str, float | int]:
        """Means over frames (PSNR, SSIM) and takes (LMD, mouth r); FID and Sync of all frames.

        Offset and lag are in frames, positive where the render is late. nan: not defined, because a
        mouth does not move or the held-out takes are too short.
        """
        r0, lag = self.mouth()
        confidence, offset = self.sync_scores()
        lmd, lmd_percent = np.mean(self.lmd, axis=0)
        looks = {"LPIPS": float(np.mean(self.lpips))} if self.lpips else {}
        return {"PSNR head (dB)": float(np.mean(self.psnr_head)),
                "PSNR (dB)": float(np.mean(self.psnr)), "SSIM": float(np.mean(self.ssim)), **looks,
                "FID": self.fid(), "Sync confidence": confidence, "Sync offset": offset,
                "LMD (px)": float(lmd), "LMD (% of eyes)": float(lmd_percent),
                "mouth r": r0, "lag (frames)": lag}

    def fid(self) -> float:
        """FID of all frames against all true frames; nan for one frame, which has no covariance."""
        features, truth = np.concatenate(self.features), np.concatenate(self.true_features)
        if len(features) < 2:
            return NAN
        mean, covariance = measures.feature_statistics(features)
        distance = measures.frechet_distance(mean, covariance, *measures.feature_statistics(truth))
        return max(0.0, distance)  # of equal features it is 0 up to rounding

    def mouth(self) -> tuple[float, float | int]:
        """Correlation of mouth opening at lag 0, mean over takes; and the lag of its peak."""
        most = min(MAX_LAG, min(map(len, self.opening)) // 3)  # one range for all takes
        takes = zip(self.opening, self.true_opening)
        r = np.mean([measures.lagged_correlations(*pair, most) for pair in takes], axis=0)
        defined = most > 0 and np.isfinite(r).all()
        return float(r[most]), int(np.argmax(r)) - most if defined else NAN

    def sync_scores(self) -> tuple[float, float | int]:
        """Sync's confidence and offset from the mean distance over all takes at each offset."""
        distance, valid = (np.concatenate(of_takes) for of_takes in zip(*self.sync))
        if valid.shape[1] == 1 or not valid.any(0).all():
            return NAN, NAN
        return measures.sync_confidence(distance, valid)[:2]
