"""rendering.py - Sec. 3.1 at synthesis: a run, codes, lips and poses in, frames out.

In:  Run; F_A or sound, codes {"id", "ex", "al", "ill"}, cam_to_head (T, 4, 4).
Out: frames (H, W, 3) uint8, one by one.
Read next: codes.py (whose codes), animate.py.
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from data.prepare import features_of
from inference.run import Run
from synthetic.cameras import turn


def back_and_forth(n: int, length: int) -> np.ndarray:
    """Indices (length,) that walk 0 .. n-1 .. 0 .. without repeating the ends: without a jump."""
    if n == 1:
        return np.zeros(length, dtype=np.int64)
    phase = np.arange(length) % (2 * n - 2)
    return np.where(phase < n, phase, 2 * n - 2 - phase)


def turn_head(cam_to_head: Float[np.ndarray, "T 4 4"], yaw: Float[np.ndarray, "T"],
              pitch: Float[np.ndarray, "T"]) -> Float[np.ndarray, "T 4 4"]:
    """Turn the head, on top of its pose, by yaw and pitch in degrees, positive: image right, up.

    The head is fixed, so the camera turns the other way, about the head's centre.
    """
    down = np.radians(-pitch)  # positive in turn()
    rotation = turn(np.radians(yaw), down, np.zeros_like(yaw))  # (T, 3, 3)
    inverse = rotation.transpose(0, 2, 1)
    turned = cam_to_head.copy()
    turned[:, :3] = inverse @ cam_to_head[:, :3]
    return turned


def lip_features(run: Run, f_a: Float[np.ndarray, "T w d"]) -> Tensor | None:
    """F_al = E_audio(F_A), (T, d_lip), which drives the field; None without the sync module."""
    if run.e_audio is None:
        return None
    with torch.no_grad():
        blocks = torch.from_numpy(f_a).split(512)
        return torch.cat([run.e_audio(block.to(run.device)) for block in blocks])


@torch.no_grad()
def render_frames(run: Run, codes: dict[str, Tensor], f_lip: Tensor | None, K: Float[Tensor, "3 3"],
                  cam_to_head: Float[Tensor, "T 4 4"], background: Tensor) -> Iterator[np.ndarray]:
    """Render T frames, one at a time: (H, W, 3) uint8.

    codes: {"id", "ex", "al", "ill"} -> (T, d), or (1, d) for a code that stays.
    background: (H, W, 3) uint8.
    """
    def put(x):
        return x.float().to(run.device)

    back = put(background).permute(2, 0, 1)[None] / 255
    for t in range(len(cam_to_head)):
        now = {name: c[[t if len(c) > 1 else 0]] for name, c in codes.items()}
        lip = None if f_lip is None else f_lip[[t]]
        out = run.model(now, lip, put(K)[None], put(cam_to_head[t])[None], back)
        yield (out["image"][0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def sound_to_lips(run: Run, wave: Float[np.ndarray, "N"], time: Float[np.ndarray, "T"]
                  ) -> Tensor | None:
    """F_lip of speech (N,) at 16 kHz at the times (T,) in s; None without the sync module."""
    if run.e_audio is None:
        return None
    features = features_of(run.cfg, run.device)
    return lip_features(run, features(wave, time))
