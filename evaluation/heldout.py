"""heldout.py - Sec. 4.3: how a run does on frames it was not trained on: the rows of the table, and what they render.

In: a Run and the held-out frames of its data. Out: rows of figures, and the frames behind them.
train.py calls score_heldout at its end; those figures go into heldout.json of the run folder. judges.py turns frames
into the figures of a row. Next: evaluate.py.
"""
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch.nn import functional as F
from tqdm import tqdm

from data.corpus import LABELS, Corpus
from data.prepare import prepare
from dhnerf import CODES
from evaluation import measures
from evaluation.judges import Judges, Row
from inference.rendering import back_and_forth, lip_features, render_frames
from inference.run import Run, check_takes

NAMES = {"audio_pose": "audio and pose only (C_ex replays the training frames)",
         "audio_pose_mean": "audio and pose only (C_ex stays at its mean)",
         "extractor": "audio, pose, and C_ex read from the held-out frame by the extractor",
         "mean_face": "mean training frame (baseline)"}


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


def render_heldout(run: Run, train: Corpus, heldout: Corpus, number: int, expression: str,
                   only: Int[np.ndarray, "n"] | None = None, f_a: Float[np.ndarray, "T w d"] | None = None):
    """Iterator over rendered frames (H, W, 3) uint8 of held-out take `number`; of its frames `only` (n,), or of all T.

    f_a (T, w, d): other sound features than the take's own.
    """
    take, part = heldout.takes[number], slice(heldout.first[number], heldout.first[number + 1])
    index = np.arange(part.start, part.stop)
    only = np.arange(len(index)) if only is None else only
    codes = heldout_codes(run, train, take, heldout.head_crops(index), expression)
    codes = {name: c[torch.from_numpy(only)] if len(c) > 1 else c for name, c in codes.items()}
    poses = torch.from_numpy(take.cam_to_head[heldout.row[index[only]]])
    f_a = np.array(heldout.f_a[index]) if f_a is None else f_a
    return render_frames(run, codes, lip_features(run, f_a[only]), torch.from_numpy(take.K), poses,
                         torch.from_numpy(take.background))


def evenly(n: int, wanted: int) -> Int[np.ndarray, "n"]:
    """At most `wanted` of the numbers 0 .. n - 1, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, wanted)).round().astype(np.int64))


def score_heldout(run: Run, train: Corpus, heldout: Corpus, per_take: int = 20) -> dict[str, dict]:
    """Rows of NAMES -> {"psnr": mean over frames inside the mask, "frames": n}; `per_take` frames of each take."""
    scores: dict[str, list[float]] = {name: [] for name in NAMES}
    for number, take in enumerate(heldout.takes):
        only = evenly(len(heldout.rows[number]), per_take)
        baseline = mean_frame(train, same_person(train, take))
        for name in NAMES:
            frames = [baseline] * len(only) if name == "mean_face" else \
                render_heldout(run, train, heldout, number, name, only)
            scores[name] += [measures.psnr(image, take.frames[row], take.masks[row])
                             for image, row in zip(frames, heldout.rows[number][only])]
    return {name: {"what": NAMES[name], "psnr": float(np.mean(values)), "frames": len(values)}
            for name, values in scores.items()}


# ---------------------------------------------------------------------------------------------------------------------
# The table

SHUFFLED = "audio_shuffled"
ROWS = {"truth": "true frames against themselves (the landmark regressor's own error)", **NAMES,
        SHUFFLED: "pose as in the take, sound of another sentence (lips should not fit)"}


def other_sound(heldout: Corpus, number: int) -> Float[np.ndarray, "T w d"]:
    """F_A of the next held-out take, turned round by half its length: sentences share the silence at both ends."""
    other = (number + 1) % len(heldout.takes)
    f_a = np.array(heldout.f_a[heldout.first[other]:heldout.first[other + 1]])
    return np.resize(np.roll(f_a, len(f_a) // 2, axis=0), (len(heldout.rows[number]), *f_a.shape[1:]))


def frames_of(run: Run, train: Corpus, heldout: Corpus, number: int, row: str) -> Iterable[np.ndarray]:
    """The frames (H, W, 3) that row `row` of the table scores for held-out take `number`."""
    take, rows = heldout.takes[number], heldout.rows[number]
    if row == "truth":
        return (take.frames[r] for r in rows)
    if row == "mean_face":
        return [mean_frame(train, same_person(train, take))] * len(rows)
    if row == SHUFFLED:
        return render_heldout(run, train, heldout, number, "audio_pose", f_a=other_sound(heldout, number))
    return render_heldout(run, train, heldout, number, row)


def table(run: Run, train: Corpus, heldout: Corpus, judges: Judges, names: Iterable[str] = tuple(ROWS)) -> list[dict]:
    """One dictionary a row of ROWS that `names` lists: row, what, frames, and scores.Row's figures."""
    out = []
    for name in tqdm(names, "scoring", unit="row"):
        row = Row()
        for number, take in enumerate(heldout.takes):
            frames = np.stack(list(frames_of(run, train, heldout, number, name)))
            f_a = np.array(heldout.f_a[heldout.first[number]:heldout.first[number + 1]])
            row.add(judges, frames, take, heldout.rows[number], f_a)
        out.append({"row": name, "what": ROWS[name], "frames": len(row.psnr), **row.figures()})
    return out


def prepare_again(run: Run, work: Path) -> tuple[Corpus, Corpus]:
    """The training frames and the held-out frames of a trained run, prepared under `work`."""
    train_set, heldout = prepare(run.cfg, work, run.device)
    check_takes(run.cfg, run.takes, train_set)
    return train_set, heldout
