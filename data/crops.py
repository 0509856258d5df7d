"""crops.py - Sec. 3.3, 3.4: what the encoders see: aligned heads, mouth blanked, and lips.

In:  frames (T, H, W, 3) and their landmarks (T, 68, 2) px.
Out: crops (T, s, s, 3) that no head motion moves; the shape of the lips (T, 40).
Read next: corpus.py, which keeps them.
"""
from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor


STABLE = [36, 39, 42, 45, 27, 28, 29, 30, 33]  # eye corners, nose bridge and base: still in speech
CANONICAL = np.array([  # where they go in the unit square of a whole-face crop
    [0.27, 0.38], [0.42, 0.38], [0.58, 0.38], [0.73, 0.38], [0.5, 0.38], [0.5, 0.435], [0.5, 0.49],
    [0.5, 0.545], [0.5, 0.61]])
MOUTH_SIDE = 0.42     # of that square: the mouth crop
MOUTH_TOP = 0.64      # of that square's height: the mouth is below, nose and eyes are above


def without_mouth(crops: np.ndarray) -> np.ndarray:
    """Aligned head crops (T, s, s, 3) with all below the nose grey, at one place in every frame.

    A mask that followed the mouth would itself show how far it is open.
    """
    crops = crops.copy()
    crops[:, int(MOUTH_TOP * crops.shape[1]):] = 128
    return crops


def to_image(frames: np.ndarray) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2).float() / 255


def similarity(source: Float[np.ndarray, "T P 2"], target: Float[np.ndarray, "P 2"]
               ) -> Float[np.ndarray, "T 2 3"]:
    """Least-squares similarity (rotation, one scale, shift; no mirror) from source to target.

    With points as complex numbers it is z -> a z + b (Umeyama 1991, in two dimensions).
    """
    z, w = source[..., 0] + 1j * source[..., 1], target[:, 0] + 1j * target[:, 1]
    z0, w0 = z.mean(1, keepdims=True), w.mean()
    a = ((z - z0).conj() * (w - w0)).sum(1) / (np.abs(z - z0) ** 2).sum(1)  # (T,)
    b = w0 - a * z0[:, 0]
    first, second = [a.real, -a.imag, b.real], [a.imag, a.real, b.imag]
    return np.stack([np.stack(first, -1), np.stack(second, -1)], 1)


def _warp(frame: np.ndarray, M: np.ndarray, out: int) -> np.ndarray:
    """Warp by M (2, 3) in px, centres at +0.5; a frame to be much reduced is shrunk first."""
    factor = max(1, int(1 / np.hypot(M[0, 0], M[1, 0])))
    height, width = frame.shape[:2]
    reduced = max(1, width // factor), max(1, height // factor)
    small = cv2.resize(frame, reduced, interpolation=cv2.INTER_AREA)  # against aliasing
    A = M[:, :2] * [width / small.shape[1], height / small.shape[0]]
    shift = M[:, 2] + A @ [0.5, 0.5] - 0.5  # OpenCV counts pixel centres at whole numbers
    return cv2.warpAffine(small, np.column_stack([A, shift]), (out, out), flags=cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_REPLICATE)


def stable_crop(frames: UInt8[np.ndarray, "T H W 3"], landmarks: Float[np.ndarray, "T 68 2"],
                out: int) -> UInt8[np.ndarray, "T {out} {out} 3"]:
    """Whole faces, turned, scaled and shifted so that eyes and nose stay: pose gone, lips move."""
    moves = similarity(landmarks[:, STABLE], CANONICAL * out)
    return np.stack([_warp(frame, M, out) for frame, M in zip(frames, moves)])


def lip_shapes(landmarks: Float[np.ndarray, "T 68 2"]) -> Float[np.ndarray, "T 40"]:
    """The 20 points of the lips about their own mean, turned and scaled so that eyes and nose stay.

    In sides of the whole-face crop: E_lip sees how wide and how open a mouth is, not where.
    """
    moves = similarity(landmarks[:, STABLE], CANONICAL)
    lips = np.einsum("tij,tpj->tpi", moves[:, :, :2], landmarks[:, 48:])
    return (lips - lips.mean(1, keepdims=True)).reshape(len(lips), 40)


def mouth_crop(frames: UInt8[np.ndarray, "T H W 3"], landmarks: Float[np.ndarray, "T 68 2"],
               out: int, whole: Float[np.ndarray, "N 68 2"] | None = None
               ) -> UInt8[np.ndarray, "T {out} {out} 3"]:
    """As stable_crop, a square around the clip's mean mouth: for the sync expert (Sec. 4.3).

    One square per clip, so lip motion stays. Where the frames are only a part of the clip, `whole`
    has the landmarks of all of it, so that every part gets one square.
    """
    target = CANONICAL * (out / MOUTH_SIDE)
    whole = landmarks if whole is None else whole
    all_moves, moves = (similarity(marks[:, STABLE], target) for marks in (whole, landmarks))
    lips = np.einsum("tij,tpj->tpi", all_moves[:, :, :2], whole[:, 48:]) + all_moves[:, None, :, 2]
    moves[:, :, 2] += out / 2 - lips.mean((0, 1))
    return np.stack([_warp(frame, M, out) for frame, M in zip(frames, moves)])
