"""tracking.py - Sec. 3.2: the head pose P, its inverse P_cam, and the expression F_exp, from 68 landmarks.

The paper tracks with Face2Face [38]: analysis by synthesis, where identity, expression, albedo, light and
pose of a morphable model are fitted until its rendering equals the frame. We keep the landmark term of that
energy and drop the photometric one: a bundle adjustment over one clip.
  In:   landmarks (T, 68, 2) px (landmarks.py), image size (W, H), frames a second, LandmarkModel (mean face
        and its bases)
  Out:  Track: K (3, 3), cam_to_head (T, 4, 4), f_exp (T, E), refined face shape (68, 3), residual, valid
The unknowns are one neutral shape a clip (mean + identity basis + a small free offset a point), and a pose
and expression coefficients a frame. They are found in two passes:
  1. `adjust_shape`: shape, poses and expressions together on at most 300 frames. Each frame's unknowns are
     eliminated (Schur complement), so one step solves a 204 x 204 system however many frames there are.
  2. `fit_frames`: poses and expressions of all frames, shape fixed, with a smoothness prior in time. The
     prior looks at both neighbours alike, so the result does not lag; one step is one banded solve.
soft_face_mask gives the paper's m(.) of Eq. 5.
Commands: `python tracking.py clip.mp4` (overlay video, report); with --detect: landmarks.detect.
Read next: data.py (turns a clip into a Take), then dhnerf.py (uses P_cam and F_exp).
"""
import argparse
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation
from scipy.special import erfc

from synthetic.shape import EXPRESSION, landmark_samples
from tools.errors import run_cli
from tools.landmarks import detect, load_landmarks
from tools.media import VideoInfo, read_audio, read_frames, video_info, write_video

EYE_DISTANCE = 0.9     # dm between landmarks 36 and 45 of the neutral face: the scale, which no image shows
# Focal length / image width, fixed: a face is so flat that the error of fit hardly depends on it (on a real
# clip it is least at 2 to 3, and 1 % more at 1.5 or 5), and what is wrong in it the shape's depth takes up.
FOCAL_IN_WIDTHS = 2.0
FLIP = np.diag([1.0, -1.0, -1.0])                     # y up, z to the viewer <-> OpenCV's y down, z forward
FREE_SHAPE = 0.08                                    # dm, expected offset of this person from the linear face
POSE_ACCELERATION = np.array([6.0] * 3 + [3.0] * 3)   # rad/s^2, dm/s^2: 1 sigma of a talking head
EXPRESSION_ACCELERATION = 200.0                       # 1/s^2, of a coefficient: a blink takes 0.1 s
LONGEST_ADJUSTMENT = 300                              # frames in pass 1
FOREHEAD = 0.67                                      # height above the brows / height from nose base to brows


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


# ---- the linear face ---------------------------------------------------------------------------------------
def principal_directions(rows, n):
    """The n leading principal directions of rows (N, 68, 3) about 0, one standard deviation long each."""
    _, s, vt = np.linalg.svd(rows.reshape(len(rows), -1), full_matrices=False)
    n = min(n, int((s > 1e-9 * max(s[0], 1e-30)).sum()))
    return (vt[:n] * s[:n, None] / np.sqrt(len(rows))).reshape(n, 68, 3)


def pca_model(templates68: Float[np.ndarray, "S 68 3"], offsets68: Float[np.ndarray, "N 68 3"],
              n_exp: int) -> LandmarkModel:
    """The morphable model that the licence-free data give: PCA of neutral faces and of expression offsets.

    templates68: neutral landmarks of S subjects; offsets68: moving minus neutral, N frames; head frame, dm.
    The identity basis keeps every direction (at most S - 1); the expression basis keeps at most n_exp.
    Expression offsets are not centred: f_exp = 0 stays the neutral face. Sec. 3.2.
    """
    mean = templates68.mean(0).astype(np.float64)
    id_basis = principal_directions(templates68 - mean, len(templates68) - 1)
    return LandmarkModel(mean, id_basis, principal_directions(offsets68.astype(np.float64), n_exp))


@functools.lru_cache(maxsize=1)
def generic_model() -> LandmarkModel:
    """The face of people in general that is fitted to a clip: 12 directions of identity, one for each expression.

    PCA of landmarks that the stand-in heads give, at rest and in random expressions; the clip refines its shape.
    """
    people, offsets = landmark_samples()
    fitted = pca_model(people, offsets, len(EXPRESSION))
    return LandmarkModel(fitted.mean, fitted.id_basis[:12], fitted.exp_basis)


def expression_coefficients(exp_basis: Float[np.ndarray, "E 68 3"],
                            offsets68: Float[np.ndarray, "N 68 3"]) -> Float[np.ndarray, "N E"]:
    """F_exp of known 3D offsets (mesh data): least squares on the basis, nothing to track. Sec. 3.2."""
    basis = exp_basis.reshape(len(exp_basis), -1)                                           # (E, 204)
    return np.linalg.lstsq(basis.T, offsets68.reshape(len(offsets68), -1).T, rcond=None)[0].T


# ---- the camera and its derivatives ------------------------------------------------------------------------
# A frame's unknowns are one row q = [rotation vector w (3), position p (3), f_exp (E)]. A head point X lies
# at P = R(w) X + p in camera axes turned to y up, z to the viewer: frontal is w = 0, p = (0, 0, -d).
def project(P, K):
    """P (..., 3) dm to pixels (..., 2)."""
    uv = P[..., :2] / -P[..., 2:]
    return np.stack([K[0, 2] + K[0, 0] * uv[..., 0], K[1, 2] - K[1, 1] * uv[..., 1]], -1)


def left_jacobian(w):
    """J_l (T, 3, 3) of rotation vectors w (T, 3): a change dw turns R(w) by the rotation vector J_l dw."""
    a = np.linalg.norm(w, axis=1)[:, None, None] + 1e-9
    cross = np.cross(w[:, None], -np.eye(3))                      # (T, 3, 3), cross[t] @ v = w_t x v
    return np.eye(3) + (1 - np.cos(a)) / a ** 2 * cross + (a - np.sin(a)) / a ** 3 * cross @ cross


def linearise(q, shape, basis, K):
    """Projected points (T, 68, 2); derivatives by q (T, 68, 2, 6+E) and the shape's points (T, 68, 2, 3)."""
    R = Rotation.from_rotvec(q[:, :3]).as_matrix()                                          # (T, 3, 3)
    turned = (shape + np.tensordot(q[:, 6:], basis, 1)) @ R.transpose(0, 2, 1)              # (T, 68, 3)
    P = turned + q[:, None, 3:6]
    scale = K[0, 0] / -P[..., 2]                                                          # px per dm, (T, 68)
    d_P = np.zeros(P.shape[:2] + (2, 3))
    d_P[..., 0, 0], d_P[..., 1, 1] = scale, -scale
    d_P[..., 2] = (project(P, K) - K[:2, 2]) / -P[..., 2:]
    turns = left_jacobian(q[:, :3]).transpose(0, 2, 1)                                      # row k: of w_k
    d_w = np.cross(turns[:, None], turned[:, :, None])                                      # (T, 68, k, 3)
    d_e = np.einsum("tij,epj->tpie", R, basis)                                              # (T, 68, 3, E)
    d_q = np.concatenate([d_P @ d_w.swapaxes(-1, -2), d_P, d_P @ d_e], -1)
    return project(P, K), d_q, d_P @ R[:, None]


# ---- the two passes ----------------------------------------------------------------------------------------
def point_sigma():
    """Expected landmark error (68,), as a fraction of the outer-eye distance.

    Points that the skull carries (nose bridge, eye corners, then the ends of the jaw line) decide the pose.
    Chin and lower lip count least: what the basis cannot say about an opening mouth must not nod the head.
    """
    sigma = np.full(68, 0.03)                                     # ends of the jaw line, brows, upper lip
    sigma[4:13] = 0.12                                            # chin
    sigma[29:36], sigma[36:48] = 0.02, 0.015                      # lower nose, which a smile widens; lids
    sigma[[27, 28, 36, 39, 42, 45]] = 0.01                        # nose bridge, eye corners
    sigma[np.r_[55:60, 65:68]] = 0.06                             # lower lip
    return sigma


def robust_weights(error, sigma):
    """Cauchy's weights (T, 68) of errors (T, 68, 2) px, sigma (68,) px: the pull of an outlier goes to 0."""
    r2 = (error ** 2).sum(-1) / sigma ** 2
    return 1 / (sigma ** 2 * (1 + r2 / 9))                         # half weight at 3 sigma


def initial_pose(landmarks, mean, K):
    """(T, 6) poses by scaled orthographic projection: an affine fit of the rigid points, made a rotation.

    landmarks (T, 68, 2) of T frames and K (3, 3) in px, mean (68, 3) in dm. A row is [rotation vector w, position p].
    """
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

    Of the frames H_qq (T, n, n) and g_q (T, n), between frames and shape H_qs (T, n, 204), of the shape
    H_ss (204, 204) and g_s (204,).
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
    H_qq, g_q = rows @ d_q.reshape(T, 136, n), (rows @ error.reshape(T, 136, 1))[..., 0]
    return H_qq, g_q, H_qs, H_ss.reshape(204, 204), g_s


def shape_precision(model):
    """Inverse covariance (204, 204) of a person's neutral shape: identity basis plus a free offset a point.

    An image does not show the size of the face, and a small face has small deviations: left free, the prior
    would shrink it, and keep its depth. So the size of the mean is held, by a stiff spring.
    """
    id_rows = model.id_basis.reshape(-1, 204)
    size = (model.mean - model.mean.mean(0)).ravel()
    spring = np.outer(size, size) / (size @ size) * 1e8
    return np.linalg.inv(id_rows.T @ id_rows + FREE_SHAPE ** 2 * np.eye(204)) + spring


def adjust_shape(landmarks, q, model, K, sigma, steps=12):
    """Pass 1: neutral shape (68, 3) of the clip, with the frames' q (T, 6+E), each frame by itself.

    Priors: shape_precision, and f_exp ~ N(0, 1). Each Gauss-Newton step eliminates the frames. Its damping
    slows what the prior alone decides (turning face and camera together), where full steps may swing.
    """
    mean, basis, shape, precision = model.mean, model.exp_basis, model.mean, shape_precision(model)
    prior = np.r_[np.zeros(6), np.ones(q.shape[1] - 6)]
    for _ in range(steps):
        H_qq, g_q, H_qs, H_ss, g_s = normal_equations(landmarks, q, shape, basis, K, sigma)
        H_qq = H_qq + np.diag(prior)
        g_q = g_q - prior * q
        solved = np.linalg.solve(H_qq, np.concatenate([g_q[..., None], H_qs], -1))          # (T, n, 1 + 204)
        reduced = np.tensordot(H_qs, solved, ([0, 1], [0, 1]))                              # (204, 1 + 204)
        step = np.linalg.solve(H_ss + precision + 400 * np.eye(204) - reduced[:, 1:],
                               g_s - precision @ (shape - mean).ravel() - reduced[:, 0])
        q = q + solved[..., 0] - solved[..., 1:] @ step
        shape = shape + step.reshape(68, 3)
    return shape, q


def second_difference(T):
    """D'D in banded form (3, T), its diagonals 0, 1, 2: x'D'D x is the sum of squared second differences."""
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

    smoothness (n,) is the precision of the second difference of each unknown from frame to frame. Frames
    that are not valid have no landmark term: the prior carries the motion across the gap, and a light spring
    to the q given keeps it from running away where the gap is long or at an end of the clip.
    """
    T, n = q.shape
    bands, start = second_difference(T), q
    prior = np.r_[np.zeros(6), np.ones(n - 6)]
    spring = np.where(valid, 1e-9, 1e-4)[:, None] * smoothness                              # (T, n)
    for _ in range(steps):
        H, g = np.zeros((T, n, n)), np.zeros((T, n))
        H[valid], g[valid] = normal_equations(landmarks[valid], q[valid], shape, basis, K, sigma)[:2]
        H += np.eye(n) * (prior + spring)[:, None]
        g -= prior * q + spring * (q - start) + smoothness * apply_bands(bands, q)
        ab = np.zeros((2 * n + 1, T, n))                          # lower bands of the (T n, T n) system
        for k in range(n):
            ab[k, :, :n - k] = np.diagonal(H, k, 1, 2)
        for k in range(3):
            ab[k * n] += bands[k][:, None] * smoothness
        q = q + solveh_banded(ab.reshape(2 * n + 1, T * n), g.ravel(), lower=True).reshape(T, n)
    return q



def to_head_frame(shape, basis, q, mean):
    """Turn, scale and move shape and basis into the head frame, and q so that each projection stays.

    Origin between landmarks 0 and 16, outer eye corners EYE_DISTANCE apart, turned as the mean face.
    """
    still = np.r_[0, 16, 27:48]
    A = Rotation.align_vectors(mean[still] - mean[still].mean(0), shape[still] - shape[still].mean(0))[0]
    s, centre = EYE_DISTANCE / np.linalg.norm(shape[36] - shape[45]), (shape[0] + shape[16]) / 2
    R = Rotation.from_rotvec(q[:, :3])
    q = np.c_[(R * A.inv()).as_rotvec(), s * (R.apply(centre) + q[:, 3:6]), q[:, 6:]]
    turn = s * A.as_matrix().T
    return (shape - centre) @ turn, basis @ turn, q


def track(landmarks: Float[np.ndarray, "T 68 2"], image_size: tuple[int, int], fps: float,
          model: LandmarkModel | None = None) -> Track:
    """Sec. 3.2: head pose P, its inverse P_cam, and F_exp of one clip.

    landmarks: px, pixel centres at +0.5; a frame with a NaN has no face. image_size: (W, H) px. model: that
    of the stand-in heads by default. Raises ValueError when no frame has landmarks. About 2 ms a frame.
    """
    model = generic_model() if model is None else model
    width, height = image_size
    focal = FOCAL_IN_WIDTHS * width
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    landmarks, valid = landmarks.astype(np.float64), np.isfinite(landmarks).all((1, 2))
    rows = np.flatnonzero(valid)
    if len(rows) == 0:
        raise ValueError("track: no frame has landmarks")
    keys = rows[np.unique(np.linspace(0, len(rows) - 1, LONGEST_ADJUSTMENT).round().astype(int))]
    sigma = point_sigma() * np.nanmean(eye_distance(landmarks))
    q = np.c_[initial_pose(landmarks[keys], model.mean, K), np.zeros((len(keys), len(model.exp_basis)))]
    shape, q = adjust_shape(landmarks[keys], q, model, K, sigma)
    shape, basis, q = to_head_frame(shape, model.exp_basis, q, model.mean)
    q = np.stack([np.interp(np.arange(len(landmarks)), keys, column) for column in q.T], 1)  # (T, 6+E)
    acceleration = np.r_[POSE_ACCELERATION, np.full(len(basis), EXPRESSION_ACCELERATION)] / fps ** 2
    q = fit_frames(landmarks, valid, q, shape, basis, K, sigma, acceleration ** -2)
    residual = np.linalg.norm(linearise(q, shape, basis, K)[0] - landmarks, axis=-1).mean(1)
    return Track(K, camera_to_head(q), q[:, 6:], shape, basis, residual, valid)


def eye_distance(landmarks: Float[np.ndarray, "T 68 2"]) -> Float[np.ndarray, "T"]:
    """Px between the outer eye corners of each frame; NaN where it has no landmarks."""
    return np.linalg.norm(landmarks[:, 36] - landmarks[:, 45], axis=-1)


def camera_to_head(q):
    """P_cam (T, 4, 4) of T rows q = [w, p, ...]: the inverse of X_cam = FLIP (R(w) X_head + p), Sec. 3.2."""
    out = np.tile(np.eye(4), (len(q), 1, 1))
    R_inverse = Rotation.from_rotvec(q[:, :3]).as_matrix().transpose(0, 2, 1)
    out[:, :3, :3] = R_inverse @ FLIP
    out[:, :3, 3] = -(R_inverse @ q[:, 3:6, None])[..., 0]
    return out


# ---- face mask, m(.) of Eq. 5 ------------------------------------------------------------------------------
def face_outline(landmarks: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "N 2"]:
    """Corners (px) of the convex outline of the face: landmarks, and a forehead, which has none.

    By the drawing rule of equal thirds, hairline to brow is about brow to nose base; we stop at two thirds
    of that, below the hair.
    """
    brows = landmarks[17:27]
    lift = FOREHEAD * (brows.mean(0) - landmarks[33])                                     # nose base to brows
    arch = 0.6 + 0.4 * np.sin(np.linspace(0, np.pi, 10))[:, None]                      # highest in the middle
    points = np.concatenate([landmarks, brows + arch * lift])
    return points[ConvexHull(points).vertices]


def soft_face_mask(landmarks: Float[np.ndarray, "68 2"], size: int) -> Float[np.ndarray, "H W"]:
    """m(.) of Eq. 5: (size, size) float32, 1 in the face with the forehead, 0 outside, 0.5 on the outline.

    landmarks: px of that image, pixel centres at +0.5. The edge is a Gaussian step, sigma 1.5 % of the face
    height.
    """
    outline = face_outline(landmarks.astype(np.float64))
    edges = ConvexHull(outline).equations                         # (N, 3): outward unit normal, offset
    centres = np.arange(size) + 0.5
    outside = np.full((size, size), -np.inf)                      # signed distance to the outline, px
    for nx, ny, offset in edges:
        np.maximum(outside, nx * centres + ny * centres[:, None] + offset, out=outside)
    blur = 0.015 * np.ptp(outline[:, 1])
    return (0.5 * erfc(outside / (blur * np.sqrt(2)))).astype(np.float32)


# ---- overlay and report ------------------------------------------------------------------------------------
def head_pose(cam_to_head: Float[np.ndarray, "T 4 4"]) -> Float[np.ndarray, "T 3"]:
    """Yaw, pitch, roll of the head in degrees; 0 faces the camera.

    Yaw > 0 looks to the image's right, pitch > 0 down; roll > 0 tilts the head anticlockwise in the image.
    """
    R = (cam_to_head[:, :3, :3] @ FLIP).transpose(0, 2, 1)                              # head to camera, y up
    return Rotation.from_matrix(R).as_euler("YXZ", degrees=True)


def draw_line(image, a, b, color):
    """Draw from a to b, px (x, y), into image (H, W, 3) in place; what lies outside is left out."""
    n = int(np.ceil(np.abs(np.subtract(b, a)).max())) * 2 + 2
    x, y = np.floor(np.linspace(a, b, n)).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < image.shape[1]) & (y < image.shape[0])
    image[y[inside], x[inside]] = color


def overlay(frame, marks, track_: Track, t: int):
    """Frame t with landmarks as detected (red) and fitted (green crosses), the mask's outline, the axes."""
    image = frame.copy()
    if not track_.valid[t]:
        return image
    head_to_cam = np.linalg.inv(track_.cam_to_head[t])
    fitted = track_.shape + np.tensordot(track_.f_exp[t], track_.exp_basis, 1)              # (68, 3)
    axes = track_.shape[30] + np.concatenate([np.zeros((1, 3)), 0.6 * np.eye(3)])   # from the tip of the nose
    cam = np.concatenate([fitted, axes]) @ head_to_cam[:3, :3].T + head_to_cam[:3, 3]
    px = project(cam @ FLIP, track_.K)
    corners = face_outline(marks.astype(np.float64))
    for a, b in zip(corners, np.roll(corners, 1, axis=0)):
        draw_line(image, a, b, (255, 255, 0))
    for end, color in zip(px[69:], ((255, 0, 0), (0, 255, 0), (60, 120, 255))):             # x, y, z
        draw_line(image, px[68], end, color)
    for seen, fit in zip(marks, px[:68]):
        for arm in ((3, 0), (0, 3)):
            draw_line(image, fit - arm, fit + arm, (0, 255, 0))
        for row in (0, 1):  # 2 x 2 px: less is lost in the chroma of the video
            draw_line(image, seen + [0, row], seen + [1, row], (255, 0, 0))
    return image


def report(landmarks, result: Track, info: VideoInfo) -> str:
    """A few lines on the quality of a track."""
    error, eye = np.nanmean(result.residual), np.nanmean(eye_distance(landmarks))
    missing = np.flatnonzero(~result.valid).tolist()
    which = f" ({str(missing[:10])[1:-1]}{', ...' if len(missing) > 10 else ''})" if missing else ""
    lines = [f"{len(landmarks)} frames at {info.fps:g} a second, {len(missing)} without landmarks{which}",
             f"reprojection error {error:.2f} px = {100 * error / eye:.2f} % of the outer-eye distance "
             f"({eye:.1f} px)",
             f"focal length {result.K[0, 0]:.0f} px (fixed at {FOCAL_IN_WIDTHS:g} image widths)"]
    for name, angle in zip(("yaw", "pitch", "roll"), head_pose(result.cam_to_head[result.valid]).T):
        lines.append(f"{name:5} {angle.min():6.1f} to {angle.max():5.1f} degrees")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description="Head pose and expression of a clip, Sec. 3.2.")
    parser.add_argument("clip", type=Path, help="video; CLIP.landmarks.npy or CLIP.lms/ lies beside it")
    parser.add_argument("--out", type=Path, help="overlay video to write (default: CLIP.tracking.mp4)")
    parser.add_argument("--detect", action="store_true", help="only make CLIP.landmarks.npy, with MediaPipe")
    parser.add_argument("--force", action="store_true", help="with --detect: replace an old file")
    args = parser.parse_args(arguments)
    if args.force and not args.detect or args.out and args.detect:
        parser.error("--force goes with --detect, --out without it")
    if args.detect:
        landmarks = detect(args.clip, args.force)
        found = np.isfinite(landmarks).all((1, 2)).sum()
        print(f"wrote {args.clip.stem}.landmarks.npy: a face in {found} of {len(landmarks)} frames")
        return 0
    info = video_info(args.clip)
    landmarks = load_landmarks(args.clip, info.frames)
    result = track(landmarks, (info.width, info.height), info.fps)
    print(report(landmarks, result, info))
    out = args.out or args.clip.with_name(args.clip.stem + ".tracking.mp4")
    frames = (overlay(frame, landmarks[t], result, t) for t, frame in enumerate(read_frames(args.clip)))
    write_video(out, frames, info.fps, read_audio(args.clip) if info.has_audio else None)
    print(f"wrote {out}")
    return 0


if __name__ == "__main__":
    run_cli(main)
