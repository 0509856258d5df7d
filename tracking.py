"""tracking.py - Sec. 3.2: the head pose P, its inverse P_cam, and the expression F_exp, from 68 landmarks.

The paper tracks with Face2Face [38]: analysis by synthesis, where identity, expression, albedo, light and pose
of a morphable model are fitted until its rendering equals the frame. We keep the landmark term of that energy and
drop the photometric one: a bundle adjustment over one clip.
  In:   landmarks (T, 68, 2) px, image size (W, H), frames a second, LandmarkModel (mean face and its bases)
  Out:  Track: K (3, 3), cam_to_head (T, 4, 4), f_exp (T, E), refined face shape (68, 3), residual, valid
The unknowns are one neutral shape a clip (mean + identity basis + a small free offset a point), and a pose and
expression coefficients a frame. They are found in two passes:
  1. `adjust_shape`: shape, poses and expressions together on at most 300 frames. Each frame's unknowns are eliminated
     (Schur complement), so one step solves a 204 x 204 system however many frames there are.
  2. `fit_frames`: poses and expressions of all frames, shape fixed, with a smoothness prior in time. The prior looks
     at both neighbours alike, so the result does not lag; one step is one banded solve, linear in T.
soft_face_mask gives the paper's m(.) of Eq. 5.
Commands: `python tracking.py clip.mp4` (overlay video and report), `python tracking.py clip.mp4 --detect` (landmarks).
Read next: data.py (turns a clip into a Take), then dhnerf.py (uses P_cam and F_exp).
"""
import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation
from scipy.special import erfc

from media import InputError, read_frames, replacing, run_cli, video_info, write_video

EYE_DISTANCE = 0.9           # dm between landmarks 36 and 45 of the neutral face: fixes the scale, which no image shows
FOCAL_IN_WIDTHS = 2.0        # focal length / image width
FLIP = np.diag([1.0, -1.0, -1.0])   # head axes (y up, z to the viewer) to OpenCV axes (y down, z forward)


@dataclass(frozen=True)
class LandmarkModel:
    """A linear face of 68 points: mean + id @ id_basis + f_exp @ exp_basis, head frame, dm.

    Each basis row is scaled so that a coefficient of 1 is one standard deviation.
    """
    mean: Float[np.ndarray, "68 3"]
    id_basis: Float[np.ndarray, "I 68 3"]
    exp_basis: Float[np.ndarray, "E 68 3"]


@dataclass(frozen=True)
class Track:
    """What Sec. 3.2 needs to know about T frames; head frame and dm, see LandmarkModel."""
    K: Float[np.ndarray, "3 3"]                # px
    cam_to_head: Float[np.ndarray, "T 4 4"]    # the paper's P_cam: X_head = R X_cam + t
    f_exp: Float[np.ndarray, "T E"]            # the paper's F_exp
    shape: Float[np.ndarray, "68 3"]           # refined neutral landmarks
    exp_basis: Float[np.ndarray, "E 68 3"]     # as used: f_exp multiplies these
    residual: Float[np.ndarray, "T"]           # px, mean reprojection error of the frame; NaN where not valid
    valid: Bool[np.ndarray, "T"]               # False: no landmarks; pose and f_exp are then interpolated


# ---- the linear face --------------------------------------------------------------------------------------------
def principal_directions(rows, n):
    """The n leading principal directions of rows (N, 68, 3) about 0, each scaled to one standard deviation."""
    _, s, vt = np.linalg.svd(rows.reshape(len(rows), -1), full_matrices=False)
    n = min(n, int((s > 1e-9 * max(s[0], 1e-30)).sum()))
    return (vt[:n] * s[:n, None] / np.sqrt(len(rows))).reshape(n, 68, 3)


def pca_model(templates68: Float[np.ndarray, "S 68 3"], offsets68: Float[np.ndarray, "N 68 3"],
              n_exp: int) -> LandmarkModel:
    """The morphable model that the licence-free data give: PCA of neutral faces and of expression offsets.

    templates68: neutral landmarks of S subjects, head frame, dm. offsets68: moving minus neutral landmarks of N frames.
    The identity basis keeps every direction (at most S - 1); the expression basis keeps at most n_exp.
    Expression offsets are not centred: f_exp = 0 stays the neutral face. Sec. 3.2.
    """
    mean = templates68.mean(0).astype(np.float64)
    id_basis = principal_directions(templates68 - mean, len(templates68) - 1)
    return LandmarkModel(mean, id_basis, principal_directions(offsets68.astype(np.float64), n_exp))


def expression_coefficients(exp_basis: Float[np.ndarray, "E 68 3"],
                            offsets68: Float[np.ndarray, "N 68 3"]) -> Float[np.ndarray, "N E"]:
    """F_exp of known 3D offsets (mesh data): least squares on the basis, nothing to track. Sec. 3.2."""
    basis = exp_basis.reshape(len(exp_basis), -1)                                           # (E, 204)
    return np.linalg.lstsq(basis.T, offsets68.reshape(len(offsets68), -1).T, rcond=None)[0].T


# ---- the camera and its derivatives -----------------------------------------------------------------------------
# A frame's unknowns are one row q = [rotation vector w (3), position u (3), f_exp (E)]. A head point X lies at
# P = R(w) X + u in camera axes turned to y up, z to the viewer, so w = 0 looks into the camera and u = (0, 0, -d).
def project(P, K):
    """P (..., 3) dm to pixels (..., 2)."""
    uv = P[..., :2] / -P[..., 2:]
    return np.stack([K[0, 2] + K[0, 0] * uv[..., 0], K[1, 2] - K[1, 1] * uv[..., 1]], -1)


def left_jacobian(w):
    """dR(w) = [J_l(w) dw]_x R(w): turns a change of the rotation vector w (T, 3) into a rotation. (T, 3, 3)"""
    a = np.linalg.norm(w, axis=1)[:, None, None] + 1e-9
    cross = np.cross(w[:, None], -np.eye(3))                      # (T, 3, 3), cross[t] @ v = w_t x v
    return np.eye(3) + (1 - np.cos(a)) / a ** 2 * cross + (a - np.sin(a)) / a ** 3 * cross @ cross


def linearise(q, shape, basis, K):
    """Projected points (T, 68, 2), and their derivatives by q (T, 68, 2, 6+E) and by each shape point (T, 68, 2, 3)."""
    R = Rotation.from_rotvec(q[:, :3]).as_matrix()                                          # (T, 3, 3)
    turned = (shape + np.tensordot(q[:, 6:], basis, 1)) @ R.transpose(0, 2, 1)              # (T, 68, 3)
    P = turned + q[:, None, 3:6]
    scale = K[0, 0] / -P[..., 2]                                                            # px per dm, (T, 68)
    d_P = np.zeros(P.shape[:2] + (2, 3))
    d_P[..., 0, 0], d_P[..., 1, 1] = scale, -scale
    d_P[..., 2] = (project(P, K) - K[:2, 2]) / -P[..., 2:]
    d_w = np.cross(left_jacobian(q[:, :3]).transpose(0, 2, 1)[:, None], turned[:, :, None])  # (T, 68, 3: which w, 3)
    d_e = np.einsum("tij,epj->tpie", R, basis)                                              # (T, 68, 3, E)
    d_q = np.concatenate([d_P @ d_w.swapaxes(-1, -2), d_P, d_P @ d_e], -1)
    return project(P, K), d_q, d_P @ R[:, None]


# ---- the two passes ---------------------------------------------------------------------------------------------
def point_sigma():
    """Expected landmark error (68,), as a fraction of the outer-eye distance.

    Points that the skull carries (eye corners, nose) decide the pose; lips, lids and brows move by themselves, and a
    detector's jaw points slide along the contour when the head turns.
    """
    sigma = np.full(68, 0.03)
    sigma[0:17], sigma[17:27] = 0.06, 0.04                        # jaw; brows
    sigma[27:36] = sigma[[36, 39, 42, 45]] = 0.01                 # nose; eye corners
    return sigma


def robust_weights(error, sigma):
    """(T, 68) weights of Cauchy's loss for errors (T, 68, 2) px, sigma (68,) px: an outlier's pull goes to 0."""
    r2 = (error ** 2).sum(-1) / sigma ** 2
    return 1 / (sigma ** 2 * (1 + r2 / 9))                        # half weight at 3 sigma


def initial_pose(landmarks, mean, K):
    """(T, 6) poses by scaled orthographic projection: an affine fit of the rigid points, made a rotation."""
    rigid = np.r_[0, 16, 27:36, 36, 39, 42, 45]
    design = np.c_[mean[rigid], np.ones(len(rigid))]                                        # (N, 4)
    target = (landmarks[:, rigid] - K[:2, 2]) / [K[0, 0], -K[1, 1]]                         # (T, N, 2), y up
    rows = np.einsum("kn,tnc->tck", np.linalg.pinv(design), target)                         # (T, 2, 4)
    x, y = rows[:, 0, :3], rows[:, 1, :3]
    scale = (np.linalg.norm(x, axis=1) + np.linalg.norm(y, axis=1)) / 2                     # 1 / depth
    U, _, Vt = np.linalg.svd(np.stack([x, y, np.cross(x, y) / scale[:, None]], 1))
    w = Rotation.from_matrix(U @ Vt).as_rotvec()
    return np.c_[w, rows[:, :, 3] / scale[:, None], -1 / scale]


def normal_equations(landmarks, q, shape, basis, K, sigma):
    """Gauss-Newton blocks of the landmark term, weights included.

    H_qq (T, n, n) and g_q (T, n) of the frames, H_qs (T, n, 204) between frames and shape, H_ss (204, 204), g_s (204,).
    """
    predicted, d_q, d_s = linearise(q, shape, basis, K)
    error = landmarks - predicted                                                           # (T, 68, 2)
    weight = robust_weights(error, sigma)[:, :, None, None]
    T, n = q.shape
    rows = (weight * d_q).reshape(T, 136, n).swapaxes(1, 2)                                 # (T, n, 136)
    H_qs = ((weight * d_q).swapaxes(-1, -2) @ d_s).transpose(0, 2, 1, 3).reshape(T, n, 204)
    blocks = ((weight * d_s).swapaxes(-1, -2) @ d_s).sum(0)                                 # (68, 3, 3)
    H_ss = np.zeros((68, 3, 68, 3))
    H_ss[np.arange(68), :, np.arange(68)] = blocks
    g_s = ((weight * d_s).swapaxes(-1, -2) @ error[..., None]).sum(0).reshape(204)
    return rows @ d_q.reshape(T, 136, n), (rows @ error.reshape(T, 136, 1))[..., 0], H_qs, H_ss.reshape(204, 204), g_s


def adjust_shape(landmarks, q, mean, shape, basis, shape_precision, K, sigma, steps=12):
    """Pass 1: neutral shape (68, 3) of the clip with the frames' q (T, 6+E), frames independent of each other.

    Prior: shape - mean ~ N(0, shape_precision^-1), f_exp ~ N(0, 1). Each step eliminates the frames.
    """
    prior = np.r_[np.zeros(6), np.ones(q.shape[1] - 6)]
    for _ in range(steps):
        H_qq, g_q, H_qs, H_ss, g_s = normal_equations(landmarks, q, shape, basis, K, sigma)
        H_qq = H_qq + np.diag(prior)
        g_q = g_q - prior * q
        solved = np.linalg.solve(H_qq, np.concatenate([g_q[..., None], H_qs], -1))          # (T, n, 1 + 204)
        reduced = np.tensordot(H_qs, solved, ([0, 1], [0, 1]))                              # (204, 1 + 204)
        step = np.linalg.solve(H_ss + shape_precision - reduced[:, 1:],
                               g_s - shape_precision @ (shape - mean).ravel() - reduced[:, 0])
        q = q + solved[..., 0] - solved[..., 1:] @ step
        shape = shape + step.reshape(68, 3)
    return shape, q


def second_difference(T):
    """Banded form of D'D, (3, T): diagonals 0, 1, 2 of the matrix that penalises squared second differences."""
    bands = np.zeros((3, T))
    for t in range(T - 2):
        for i, a in enumerate((1, -2, 1)):
            for j in range(i, 3):
                bands[j - i, t + i] += a * (1, -2, 1)[j]
    return bands


def apply_bands(bands, x):
    """Symmetric banded matrix in the form of second_difference times x (T, n)."""
    out = bands[0][:, None] * x
    for k in range(1, min(3, len(x))):
        out[:-k] += bands[k, :-k, None] * x[k:]
        out[k:] += bands[k, :-k, None] * x[:-k]
    return out


def fit_frames(landmarks, valid, q, shape, basis, K, sigma, smoothness, steps=6):
    """Pass 2: all frames, shape fixed. landmarks (T, 68, 2), q (T, n) -> q (T, n).

    smoothness (n,) is the precision of the second difference of each unknown from frame to frame. Frames that are
    not valid have no landmark term: the prior carries the motion across the gap.
    """
    T, n = q.shape
    bands = second_difference(T)
    prior = np.r_[np.full(6, 1e-9), np.ones(n - 6)]
    for _ in range(steps):
        H, g = np.zeros((T, n, n)), np.zeros((T, n))
        H[valid], g[valid] = normal_equations(landmarks[valid], q[valid], shape, basis, K, sigma)[:2]
        H += np.diag(prior)
        g -= prior * q + smoothness * apply_bands(bands, q)
        ab = np.zeros((2 * n + 1, T, n))                          # lower bands of the (T n, T n) system
        for k in range(n):
            ab[k, :, :n - k] = np.diagonal(H, k, 1, 2)
        for k in range(3):
            ab[k * n] += bands[k][:, None] * smoothness
        q = q + solveh_banded(ab.reshape(2 * n + 1, T * n), g.ravel(), lower=True).reshape(T, n)
    return q
