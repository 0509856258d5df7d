"""outline.py - Eq. 1: by how much a code moves the opacity of the picture, and its outline.

C_al and C_ill do not reach the field's density. But the 2D renderer refines the composited opacity
from the feature map M, which both have coloured, so light and albedo can move the outline after
all. Here is by how much. In: a run folder, or none for untrained `small` models. Out: a table.

    python -m evaluation.outline [runs/heads]
"""
from __future__ import annotations

import sys

import numpy as np
import torch
from jaxtyping import Float
from torch.nn.functional import normalize

from audio import LipEncoder
from config import SMALL
from dhnerf import CODES, DHNeRF
from inference.run import Checkpoint, load_run
from synthetic.cameras import default_camera, frontal_camera
from tools.errors import run_cli

SEEDS = range(6)  # untrained models


def outline(alpha: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H 2"]:
    """Column, in px, at which each row first rises above one half and last falls below it.

    Linear between pixel centres at +0.5; NaN for a row that never rises, or begins or ends above.
    """
    found = np.full((len(alpha), 2), np.nan)
    for row, a in enumerate(alpha):
        inside = np.flatnonzero(a > 0.5)
        if len(inside) and inside[0] > 0 and inside[-1] < len(a) - 1:
            i, j = inside[0], inside[-1]
            found[row] = (i + 0.5 - (a[i] - 0.5) / (a[i] - a[i - 1]),
                          j + 0.5 + (a[j] - 0.5) / (a[j] - a[j + 1]))
    return found


def moved(one: Float[np.ndarray, "B H W"], other: Float[np.ndarray, "B H W"]) -> dict[str, float]:
    """How far two opacities of B pictures are apart: at most, and their outlines in px."""
    away = np.abs(np.stack([outline(b) - outline(a) for a, b in zip(one, other)]))
    known = away[np.isfinite(away)]
    px = {"outline, mean (px)": float(known.mean()),
          "outline, 99 % (px)": float(np.quantile(known, 0.99))} if len(known) else {}
    change = np.abs(one - other)
    return {"opacity, mean": float(change.mean()), "opacity, at most": float(change.max()), **px}


@torch.no_grad()
def of_run(folder: str, frames: int = 12) -> dict[str, dict[str, float]]:
    """Each code of so many training frames replaced by up to five others of its table.

    F_lip is that of the mean shape of the lips; each frame's own would have to be prepared anew.
    """
    run, rows, f_lip = load_run(folder), {name: [] for name in CODES}, None
    if run.cfg.sync:
        e_lip = LipEncoder(run.cfg.d_lip)
        e_lip.load_state_dict(Checkpoint.read(folder).e_lip)
        f_lip = e_lip.eval()(torch.zeros(1, 40))
    for take in run.takes[::max(1, len(run.takes) // frames)][:frames]:
        k = len(take["cam_to_head"]) // 2
        entries = {**take["codes"], "ex": take["first"] + k}
        codes = {name: run.codes.tables[name].weight[entries[name]][None] for name in CODES}
        back = run.backgrounds[take["background"]].permute(2, 0, 1)[None] / 255
        rest = take["rest"][None] if "rest" in take else None

        def opacity(codes):
            return run.model(codes, f_lip, take["K"][None], take["cam_to_head"][k][None], back,
                             rest=rest)["opacity"][0].numpy()

        own = opacity(codes)
        for name in CODES:
            table = run.codes.tables[name].weight
            others = [i for i in range(len(table)) if i != entries[name]]
            for i in others[::max(1, len(others) // 5)][:5]:
                rows[name].append((own, opacity(codes | {name: table[i][None]})))
    return {name: moved(*map(np.concatenate, zip(*pairs))) for name, pairs in rows.items() if pairs}


@torch.no_grad()
def of_untrained(seed: int) -> dict[str, dict[str, float]]:
    """Each code of an untrained `small` model replaced by another unit vector."""
    torch.manual_seed(seed)
    model = DHNeRF(SMALL).eval()
    unit = lambda d: normalize(torch.randn(1, d), dim=-1)
    codes, f_lip = {name: unit(SMALL.code_size(name)) for name in CODES}, unit(SMALL.d_lip)
    K, distance = default_camera(SMALL.size)
    put = lambda x: torch.from_numpy(np.asarray(x)).float()[None]
    grey = torch.full((1, 3, SMALL.size, SMALL.size), 0.5)
    alpha = lambda codes: model(codes, f_lip, put(K), put(frontal_camera(distance)), grey)[
        "opacity"][0].numpy()
    own = alpha(codes)
    return {name: moved(own, alpha(codes | {name: unit(SMALL.code_size(name))})) for name in CODES}


def main(arguments: list[str] | None = None) -> None:
    """Print the table of a run, or of untrained models."""
    arguments = sys.argv[1:] if arguments is None else arguments
    tables = {arguments[0]: of_run(arguments[0])} if arguments else \
        {f"untrained, seed {seed}": of_untrained(seed) for seed in SEEDS}
    for title, table in tables.items():
        for name, values in table.items():
            shown = ", ".join(f"{what} {value:.4f}" for what, value in values.items())
            print(f"{title}, another C_{name}: {shown}")


if __name__ == "__main__":
    run_cli(main)
