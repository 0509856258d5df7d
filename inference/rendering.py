"""rendering.py - Sec. 3.1 at synthesis: a run, codes, lips and poses in, frames out.

In:  Run; F_A or sound, codes {"id", "ex", "al", "ill"}, cam_to_head (T, 4, 4), or a file of poses.
Out: frames (H, W, 3) uint8, one by one.
Read next: codes.py (whose codes), animate.py.
"""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from data.prepare import features_of
from inference.run import Run
from speed import memory
from synthetic.cameras import frontal_camera, in_camera, turn
from tools.errors import InputError, first_line, in_one_line

BLOCK = 2048  # frames whose F_A is held at once: an hour's would fill half a gigabyte
RAYS = 4096  # rendered together: of small pictures several frames
NEAREST = 2.0  # dm from the camera to the head's centre: nearer, the head would be around it


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


# ---- another motion ------------------------------------------------------------------------------

def load_poses(path: str | Path) -> Float[np.ndarray, "T *pose"]:
    """Poses of a .npy file: (T, 3) or (T, 6) about a mean pose, see about_mean; or (T, 4, 4).

    The last are cam_to_head. Raises InputError: no such file or not one of numbers, another shape,
    numbers that are not finite, a matrix that does not turn and move alone.
    """
    try:
        with in_one_line(path):
            poses = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)})") from error
    except (ValueError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: is no .npy file of numbers, or a damaged one; write it with "
                         "numpy.save, without objects") from error
    want = ("want (T, 3), degrees yaw, pitch, roll; (T, 6), with x, y, z in dm appended; "
            "or (T, 4, 4), cam_to_head")
    if not isinstance(poses, np.ndarray):
        raise InputError(f"{path}: is an archive of arrays; {want}")
    fits = poses.size > 0 and poses.shape[1:] in ((3,), (6,), (4, 4))
    if not fits or poses.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds {poses.dtype} of shape {poses.shape}; {want}")
    poses = poses.astype(np.float64)
    finite = np.isfinite(poses.reshape(len(poses), -1)).all(1)
    if not finite.all():
        raise InputError(f"{path}: row {int(finite.argmin())} is not finite; give a pose for every "
                         "frame")
    if poses.ndim == 3:
        _check_rigid(poses, path)
    return poses


def _check_rigid(poses: np.ndarray, path: str | Path) -> None:
    R = poses[:, :3, :3]
    off = np.abs(R @ R.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
    off = np.maximum(off, np.abs(poses[:, 3] - [0, 0, 0, 1]).max(1))
    wrong = (off > 1e-3) | (np.linalg.det(R) < 0)
    if wrong.any():
        raise InputError(f"{path}: matrix {int(wrong.argmax())} is not a rotation and a shift; "
                         "want cam_to_head: X_head = R X_cam + t, dm, last row 0 0 0 1")


def about_mean(cam_to_head: Float[np.ndarray, "N 4 4"], motion: Float[np.ndarray, "T c"]
               ) -> Float[np.ndarray, "T 4 4"]:
    """cam_to_head of a head that moves by `motion` about the mean pose of a take's N.

    motion: yaw, pitch, roll in degrees, and with c = 6 also x, y, z in dm, all along the axes of
    the room, as the camera sees it: yaw > 0 turns the head to the image's right, pitch > 0 upwards
    (tracking.head_pose counts it downwards), roll > 0 anticlockwise; x image right, y up, z towards
    the camera. The rotation is turn(yaw, -pitch, roll), applied after the mean one.
    """
    to_room = frontal_camera(0.0)  # camera's axes <-> y up, z to the viewer
    head_to_room = to_room @ np.linalg.inv(cam_to_head.astype(np.float64))
    mean = Rotation.from_matrix(head_to_room[:, :3, :3]).mean().as_matrix()
    yaw, pitch, roll = np.radians(motion[:, :3].T)
    moved = np.tile(np.eye(4), (len(motion), 1, 1))
    moved[:, :3, :3] = turn(yaw, -pitch, roll) @ mean
    moved[:, :3, 3] = head_to_room[:, :3, 3].mean(0)
    if motion.shape[1] == 6:
        moved[:, :3, 3] += motion[:, 3:]
    return np.linalg.inv(to_room @ moved)


def driven_poses(cam_to_head: Float[np.ndarray, "N 4 4"], poses: Float[np.ndarray, "P *pose"],
                 length: int) -> Float[np.ndarray, "{length} 4 4"]:
    """cam_to_head of `length` frames from poses as load_poses gives them, walked back and forth.

    Raises InputError where they take the head behind the camera, or around it.
    """
    driven = poses if poses.ndim == 3 else about_mean(cam_to_head, poses)
    depth = in_camera(np.zeros((len(driven), 1, 3)), driven)[:, 0, 2]  # of its centre
    if depth.min() < NEAREST:
        row = int(depth.argmin())
        raise InputError(f"--poses: row {row} puts the head {depth[row]:.1f} dm in front of the "
                         f"camera; want {NEAREST:g} or more")
    return driven[back_and_forth(len(driven), length)]


# ---- rendering -----------------------------------------------------------------------------------

def lip_features(run: Run, f_a: Float[np.ndarray, "T w d"]) -> Tensor | None:
    """F_al = E_audio(F_A), (T, d_lip), which drives the field; None without the sync module."""
    if run.e_audio is None:
        return None
    with torch.no_grad():
        blocks = torch.from_numpy(f_a).split(512)
        return torch.cat([run.e_audio(block.to(run.device)) for block in blocks])


@torch.no_grad()
def render_frames(run: Run, codes: dict[str, Tensor], f_lip: Tensor | None, K: Float[Tensor, "3 3"],
                  cam_to_head: Float[Tensor, "T 4 4"], background: Tensor,
                  rest: Float[Tensor, "4 4"] | None = None) -> Iterator[np.ndarray]:
    """Render T frames, given one by one: (H, W, 3) uint8.

    codes: {"id", "ex", "al", "ill"} -> (T, d), or (1, d) for a code that stays.
    background: (H, W, 3) uint8. rest: of the take, where the run has a body (DHNeRF.forward).
    """
    def put(x):
        return x.float().to(run.device)

    cfg, model = run.cfg, run.model
    model.rays_at_once = memory.rays_for_frame(cfg, memory.free_bytes(run.device))
    pass_of = 1 if model.rays_at_once else max(1, RAYS // (cfg.size // cfg.upsample) ** 2)
    back = put(background).permute(2, 0, 1) / 255
    for some in torch.arange(len(cam_to_head)).split(pass_of):
        now = {name: c[some if len(c) > 1 else torch.zeros_like(some)] for name, c in codes.items()}
        lip = None if f_lip is None else f_lip[some]
        each = [put(x).expand(len(some), *x.shape) for x in (K, rest) if x is not None]
        out = model(now, lip, each[0], put(cam_to_head[some]), back.expand(len(some), *back.shape),
                    rest=None if rest is None else each[1])
        yield from (out["image"].clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def sound_to_lips(run: Run, wave: Float[np.ndarray, "N"], time: Float[np.ndarray, "T"]
                  ) -> Tensor | None:
    """F_lip of speech (N,) at 16 kHz at the times (T,) in s; None without the sync module."""
    if run.e_audio is None:
        return None
    f_a = features_of(run.cfg, run.device).hear(wave)
    blocks = [time[at:at + BLOCK] for at in range(0, max(len(time), 1), BLOCK)]
    return torch.cat([lip_features(run, f_a(block)) for block in blocks])
