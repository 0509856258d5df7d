"""evaluate.py - Sec. 4.3: what the measures are, and how a run does on frames it was not trained on.

In: a run (animate.Run) and the held-out frames of its data. Out: rows of figures, and the frames behind them.
train.py calls this at the end of training; the figures go into heldout.json of the run folder.
"""
from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.nn import functional as F

from animate import Run, back_and_forth, lip_features, render_frames
from corpus import LABELS, Corpus
from dhnerf import CODES

NAMES = {"audio_pose": "audio and pose only (C_ex replays the training frames)",
         "audio_pose_mean": "audio and pose only (C_ex stays at its mean)",
         "extractor": "audio, pose, and C_ex read from the held-out frame by the extractor",
         "mean_face": "mean training frame (baseline)"}


def masked_psnr(image: UInt8[np.ndarray, "H W 3"], truth: UInt8[np.ndarray, "H W 3"],
                mask: UInt8[np.ndarray, "H W"]) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(1 / MSE), colours in [0, 1], over pixels weighted by mask / 255."""
    weight = mask[..., None].astype(np.float64) / 255
    error = (image.astype(np.float64) - truth) / 255
    mse = (weight * error**2).sum() / (3 * weight.sum())
    return float(10 * np.log10(1 / max(mse, 1e-10)))


def mean_frame(corpus: Corpus, index: np.ndarray) -> UInt8[np.ndarray, "H W 3"]:
    """Pixelwise mean of the frames `index`, one pass, bounded memory."""
    total = sum(corpus.takes[corpus.take[i]].frames[corpus.row[i]].astype(np.float64) for i in index)
    return (total / len(index)).round().astype(np.uint8)


@torch.no_grad()
def heldout_codes(run: Run, train: Corpus, take, crops: torch.Tensor, expression: str) -> dict[str, torch.Tensor]:
    """Codes for T held-out frames of `take`: {"id": (1, d), ..., "ex": (T, d) or (1, d)}.

    C_id, C_al and C_ill: the trained code of the same person, albedo and light; where training had none of that label,
    what the extractor reads in these frames. C_ex by `expression`: "audio_pose" replays the person's training frames
    backwards from the last, "audio_pose_mean" is their mean, "extractor" is read from the held-out frames
    (crops (T, 3, s, s), mouth blanked).
    """
    blocks = [run.extractor(block.to(run.device)) for block in crops.split(256)]
    read = {name: torch.cat([b[name] for b in blocks]) for name in CODES}
    codes = {"ex": read["ex"]}
    for factor, key in LABELS.items():
        row = np.flatnonzero(train.names[factor] == take.labels[key])
        codes[factor] = run.codes.tables[factor].weight[row] if len(row) else \
            F.normalize(read[factor].mean(0, keepdim=True), dim=-1)
    if expression != "extractor":
        trained = run.codes.tables["ex"].weight[same_person(train, take)]  # (n, d)
        codes["ex"] = trained.flip(0)[back_and_forth(len(trained), len(crops))] if expression == "audio_pose" else \
            F.normalize(trained.mean(0, keepdim=True), dim=-1)
    return codes


def same_person(train: Corpus, take) -> np.ndarray:
    """Indices of the training frames of the person in a held-out take; of all frames if there are none."""
    same = train.names["id"][train.label["id"]] == take.labels["id"]
    return np.flatnonzero(same) if same.any() else np.arange(len(train))


def render_heldout(run: Run, train: Corpus, heldout: Corpus, number: int, expression: str, limit: int | None = None):
    """Iterator over rendered frames (H, W, 3) uint8 of held-out take `number`, its first `limit` frames."""
    take, part = heldout.takes[number], slice(heldout.first[number], heldout.first[number + 1])
    index = np.arange(part.start, part.stop)[:limit]
    codes = heldout_codes(run, train, take, heldout.head_crops(index), expression)
    poses = torch.from_numpy(take.cam_to_head[heldout.row[index]])
    return render_frames(run, codes, lip_features(run, np.array(heldout.f_a[index])), torch.from_numpy(take.K), poses,
                         torch.from_numpy(take.background))


def score_heldout(run: Run, train: Corpus, heldout: Corpus, per_take: int = 60) -> dict[str, dict]:
    """Rows of NAMES -> {"psnr": mean over frames inside the mask, "frames": n}; at most `per_take` frames a take."""
    scores: dict[str, list[float]] = {name: [] for name in NAMES}
    for number, take in enumerate(heldout.takes):
        rows = heldout.rows[number][:per_take]
        baseline = mean_frame(train, same_person(train, take))
        for name in NAMES:
            frames = [baseline] * len(rows) if name == "mean_face" else \
                render_heldout(run, train, heldout, number, name, per_take)
            scores[name] += [masked_psnr(image, take.frames[row], take.masks[row]) for image, row in zip(frames, rows)]
    return {name: {"what": NAMES[name], "psnr": float(np.mean(values)), "frames": len(values)}
            for name, values in scores.items()}
