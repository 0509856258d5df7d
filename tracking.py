"""tracking.py - Sec. 3.2: head pose P, its inverse P_cam, and expression F_exp, from 68 landmarks.

The paper tracks with Face2Face [38], analysis by synthesis: identity, expression, albedo, light and
pose of a morphable model are fitted until its rendering equals the frame. We keep the landmark term
of that energy and drop the photometric one: a bundle adjustment over one clip.
  In:   landmarks (T, 68, 2) px, image size (W, H), frames per second, LandmarkModel (mean, bases)
  Out:  Track: K (3, 3), cam_to_head (T, 4, 4), f_exp (T, E), refined face (68, 3), residual, valid
The unknowns are one neutral shape per clip (mean + identity basis + a small free offset per point)
and, per frame, a pose and expression coefficients. They are found in two passes:
  1. `adjust_shape`: shape, poses and expressions together, on at most 300 frames. The frames are
     eliminated (Schur complement): each step solves for the shape's 204 numbers, then for theirs.
  2. `fit_frames`: poses and expressions of all frames, shape fixed, with a prior on smooth motion.
     It looks at both neighbours alike, so nothing lags; each step is one banded solve.
`soft_face_mask` gives the paper's m(.) of Eq. 5.
Commands: `python tracking.py clip.mp4` (overlay video, report); with --detect: landmarks.detect.
Read next: data/clip.py (turns a clip into a Take), then dhnerf.py (uses P_cam and F_exp).
"""
import argparse
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.linalg import block_diag, solveh_banded
from scipy.sparse import bsr_matrix, csr_matrix, diags, kron
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation
from scipy.special import erfc

from synthetic import cameras
from synthetic.shape import EXPRESSION, landmark_samples
from tools.errors import run_cli
from tools.landmarks import detect, load_landmarks
from tools.media import VideoInfo, read_audio, read_frames, video_info, write_video

N_LANDMARKS = 68
EYE_DISTANCE = 0.9  # dm between landmarks 36 and 45 at rest: the scale, which no image shows
# Focal length / image width, fixed. A face is so flat that the fit hardly depends on it: on a real
# clip the error is least at 2 to 3, and 1 % more at 1.5 or 5. The shape's depth makes up for it.
FOCAL_IN_WIDTHS = 2.0
FLIP = np.diag([1.0, -1.0, -1.0])  # y up, z to the viewer <-> OpenCV's y down, z forward
FREE_SHAPE = 0.08  # dm, expected offset of this person from the linear face
SIZE_SPRING = 1e8  # holds the size of the mean face: see shape_precision
SHAPE_DAMPING = 400.0  # 1/dm^2, in pass 1: see adjust_shape
POSE_ACCELERATION = np.array([6.0] * 3 + [3.0] * 3)  # rad/s^2, dm/s^2: 1 sigma of a talking head
EXPRESSION_ACCELERATION = 200.0  # 1/s^2, of a coefficient: a blink takes 0.1 s
LONGEST_ADJUSTMENT = 300  # frames in pass 1
FOREHEAD = 0.67  # height above the brows / height from nose base to brows


@dataclass(frozen=True)
class LandmarkModel:
    """A linear face of 68 points: mean + id @ id_basis + f_exp @ exp_basis, head frame, dm.

    Each direction of a basis is scaled so that a coefficient of 1 is one standard deviation.
    """
    mean: Float[np.ndarray, "68 3"]
    id_basis: Float[np.ndarray, "I 68 3"]
    exp_basis: Float[np.ndarray, "E 68 3"]


@dataclass(frozen=True)
class Track:
    """What Sec. 3.2 needs to know about T frames; head frame and dm, see LandmarkModel."""
    K: Float[np.ndarray, "3 3"]  # px
    cam_to_head: Float[np.ndarray, "T 4 4"]  # the paper's P_cam: X_head = R X_cam + t
    f_exp: Float[np.ndarray, "T E"]  # the paper's F_exp
    shape: Float[np.ndarray, "68 3"]  # refined neutral landmarks
    exp_basis: Float[np.ndarray, "E 68 3"]  # as used: f_exp multiplies these
    residual: Float[np.ndarray, "T"]  # px, mean reprojection error per frame; NaN where not valid
    valid: Bool[np.ndarray, "T"]  # False: no landmarks; pose and f_exp are then interpolated


# ---- the linear face -----------------------------------------------------------------------------
def principal_directions(faces: Float[np.ndarray, "N 68 3"], n: int) -> Float[np.ndarray, "k 68 3"]:
    """The k <= n leading principal directions about 0, each one standard deviation long."""
    _, s, Vt = np.linalg.svd(faces.reshape(len(faces), -1), full_matrices=False)
    k = min(n, int((s > 1e-9 * max(s[0], 1e-30)).sum()))
    return (Vt[:k] * s[:k, None] / np.sqrt(len(faces))).reshape(k, N_LANDMARKS, 3)


def pca_model(templates68: Float[np.ndarray, "S 68 3"], offsets68: Float[np.ndarray, "N 68 3"],
              n_exp: int) -> LandmarkModel:
    """The morphable model of licence-free data: PCA of neutral faces and of expression offsets.

    templates68: neutral landmarks of S subjects; offsets68: moving minus neutral, N frames; head
    frame, dm. The identity basis keeps every direction (at most S - 1), the expression basis at
    most n_exp. Expression offsets are not centred: f_exp = 0 stays the neutral face. Sec. 3.2.
    """
    mean = templates68.mean(0).astype(np.float64)
    id_basis = principal_directions(templates68 - mean, len(templates68) - 1)
    return LandmarkModel(mean, id_basis, principal_directions(offsets68.astype(np.float64), n_exp))


@functools.lru_cache(maxsize=1)
def generic_model() -> LandmarkModel:
    """The face of people in general: PCA of stand-in heads' landmarks, at rest and in expressions.

    12 directions of identity, one for each expression. The clip that it is fitted to refines it.
    """
    people, offsets = landmark_samples()
    fitted = pca_model(people, offsets, len(EXPRESSION))
    return LandmarkModel(fitted.mean, fitted.id_basis[:12], fitted.exp_basis)


def expression_coefficients(exp_basis: Float[np.ndarray, "E 68 3"],
                            offsets68: Float[np.ndarray, "N 68 3"]) -> Float[np.ndarray, "N E"]:
    """F_exp of known 3D offsets (mesh data): least squares, nothing to track. Sec. 3.2."""
    basis = exp_basis.reshape(len(exp_basis), -1)  # (E, 204)
    return np.linalg.lstsq(basis.T, offsets68.reshape(len(offsets68), -1).T, rcond=None)[0].T


# ---- the landmark term ---------------------------------------------------------------------------
# The n = 6 + E unknowns of a frame are [rotation vector w (3), position p (3), f_exp (E)]; w and p
# are the paper's P. They take a head point X to R(w) X + p, in dm along axes turned to y up, z to
# the viewer: a frontal head has w = 0, p = (0, 0, -distance). The shape has s = 3 * N_LANDMARKS
# = 204 unknowns. Gradients point downhill: a Gauss-Newton step solves hessian @ step = gradient.
def left_jacobian(w: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 3 3"]:
    """J_l of rotation vectors w: a change dw turns R(w) by the rotation vector J_l dw."""
    angle = np.linalg.norm(w, axis=1)[:, None, None] + 1e-9
    cross = np.cross(w[:, None], -np.eye(3))  # (T, 3, 3), cross[t] @ v = w_t x v
    return (np.eye(3) + (1 - np.cos(angle)) / angle ** 2 * cross
            + (angle - np.sin(angle)) / angle ** 3 * cross @ cross)


def linearise(unknowns: Float[np.ndarray, "T n"], shape: Float[np.ndarray, "68 3"],
              basis: Float[np.ndarray, "E 68 3"], K: Float[np.ndarray, "3 3"]
              ) -> tuple[Float[np.ndarray, "T 68 2"], Float[np.ndarray, "T 68 2 n"],
                         Float[np.ndarray, "T 68 2 3"]]:
    """Pixels of the landmarks, and their derivatives by the unknowns and by the points of shape."""
    R = Rotation.from_rotvec(unknowns[:, :3]).as_matrix()  # (T, 3, 3)
    turned = (shape + np.tensordot(unknowns[:, 6:], basis, 1)) @ R.transpose(0, 2, 1)  # (T, 68, 3)
    points = turned + unknowns[:, None, 3:6]
    scale = K[0, 0] / -points[..., 2]  # px per dm, along u and v alike
    offset = scale[..., None] * points[..., :2] * [1, -1]  # px from the principal point
    by_p = np.zeros((*scale.shape, 2, 3))  # p moves all points alike
    by_p[..., 0, 0], by_p[..., 1, 1] = scale, -scale
    by_p[..., 2] = offset / -points[..., 2:]
    turns = left_jacobian(unknowns[:, :3]).transpose(0, 2, 1)  # turns[t, k]: by a change dw_k
    by_w = by_p @ np.cross(turns[:, None], turned[:, :, None]).swapaxes(-1, -2)
    by_f_exp = by_p @ np.einsum("tij,epj->tpie", R, basis)
    return K[:2, 2] + offset, np.concatenate([by_w, by_p, by_f_exp], -1), by_p @ R[:, None]


def point_sigma() -> Float[np.ndarray, "68"]:
    """Expected landmark error, as a fraction of the outer-eye distance.

    Points that the skull carries decide the pose. Chin and lower lip count least: what the basis
    cannot say about an opening mouth must not nod the head.
    """
    sigma = np.full(N_LANDMARKS, 0.03)  # ends of the jaw line, brows, upper lip
    sigma[4:13] = 0.12  # chin
    sigma[29:36], sigma[36:48] = 0.02, 0.015  # lower nose, which a smile widens; lids
    sigma[[27, 28, 36, 39, 42, 45]] = 0.01  # nose bridge, eye corners
    sigma[np.r_[55:60, 65:68]] = 0.06  # lower lip
    return sigma


def robust_weights(error: Float[np.ndarray, "T 68 2"],
                   sigma: Float[np.ndarray, "68"]) -> Float[np.ndarray, "T 68"]:
    """Cauchy's weights of errors (px) that are expected to be sigma (px): outliers hardly pull."""
    return 1 / (sigma ** 2 + (error ** 2).sum(-1) / 9)  # half weight at 3 sigma


def normal_equations(J: Float[np.ndarray, "M N 2 n"], error: Float[np.ndarray, "M N 2"],
                     weight: Float[np.ndarray, "M N"]
                     ) -> tuple[Float[np.ndarray, "M n n"], Float[np.ndarray, "M n"]]:
    """Hessians J'WJ and gradients J'W error of M least-squares problems of N landmarks each."""
    m, n = len(J), J.shape[-1]
    weighted = (weight[..., None, None] * J).reshape(m, -1, n).swapaxes(1, 2)
    return weighted @ J.reshape(m, -1, n), (weighted @ error.reshape(m, -1, 1))[..., 0]


# ---- pass 1 --------------------------------------------------------------------------------------
def initial_pose(landmarks: Float[np.ndarray, "T 68 2"], mean: Float[np.ndarray, "68 3"],
                 K: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "T 6"]:
    """Poses [rotation vector w, position p] by scaled orthographic projection, Sec. 3.2.

    An affine fit of the rigid points, made a rotation. landmarks and K in px, mean in dm.
    """
    rigid = np.r_[0, 16, 27:36, 36, 39, 42, 45]
    design = np.c_[mean[rigid], np.ones(len(rigid))]  # (N, 4)
    target = (landmarks[:, rigid] - K[:2, 2]) / [K[0, 0], -K[1, 1]]  # (T, N, 2), y up
    affine = np.einsum("kn,tnc->tck", np.linalg.pinv(design), target)  # (T, 2, 4)
    x, y = affine[:, 0, :3], affine[:, 1, :3]
    scale = (np.linalg.norm(x, axis=1) + np.linalg.norm(y, axis=1)) / 2  # 1 / depth
    U, _, Vt = np.linalg.svd(np.stack([x, y, np.cross(x, y) / scale[:, None]], 1))
    w = Rotation.from_matrix(U @ Vt).as_rotvec()
    return np.c_[w, affine[:, :, 3] / scale[:, None], -1 / scale]


def shape_precision(model: LandmarkModel) -> Float[np.ndarray, "s s"]:
    """Inverse covariance of a person's neutral shape: identity basis plus a free offset per point.

    An image does not show the size of the face, and a small face has small deviations: left free,
    the prior would shrink it, and keep its depth. So a stiff spring holds the size of the mean.
    """
    identity = model.id_basis.reshape(len(model.id_basis), -1)  # (I, s)
    size = (model.mean - model.mean.mean(0)).ravel()
    spring = np.outer(size, size) / (size @ size) * SIZE_SPRING
    return np.linalg.inv(identity.T @ identity + FREE_SHAPE ** 2 * np.eye(len(size))) + spring


def adjust_shape(landmarks: Float[np.ndarray, "T 68 2"], unknowns: Float[np.ndarray, "T n"],
                 model: LandmarkModel, K: Float[np.ndarray, "3 3"],
                 sigma: Float[np.ndarray, "68"], steps: int = 12
                 ) -> tuple[Float[np.ndarray, "68 3"], Float[np.ndarray, "T n"]]:
    """Pass 1: neutral shape of the clip, and the unknowns of its frames, each frame by itself.

    Priors: shape_precision, and f_exp ~ N(0, 1). The damping slows what the prior alone decides
    (turning face and camera together), where full Gauss-Newton steps may swing.
    """
    (T, n), shape, precision = unknowns.shape, model.mean, shape_precision(model)
    prior = np.r_[np.zeros(6), np.ones(n - 6)]
    for _ in range(steps):
        pixels, by_unknowns, by_shape = linearise(unknowns, shape, model.exp_basis, K)
        error = landmarks - pixels
        weight = robust_weights(error, sigma)
        hessian, gradient = normal_equations(by_unknowns, error, weight)  # T frames; then 68 points
        hessian, gradient = hessian + np.diag(prior), gradient - prior * unknowns
        blocks, pulls = normal_equations(by_shape.swapaxes(0, 1), error.swapaxes(0, 1), weight.T)
        shape_hessian = block_diag(*blocks) + precision + SHAPE_DAMPING * np.eye(len(precision))
        shape_gradient = pulls.ravel() - precision @ (shape - model.mean).ravel()
        mixed = np.einsum("tpij,tpin->tnpj", weight[..., None, None] * by_shape, by_unknowns)
        mixed = mixed.reshape(T, n, 3 * N_LANDMARKS)
        # Schur complement: a frame's equations, hessian @ step + mixed @ shape_step = gradient,
        # give its step for any shape_step. Put into the shape's, they leave s equations.
        solved = np.linalg.solve(hessian, np.concatenate([gradient[..., None], mixed], -1))
        reduced = np.tensordot(mixed, solved, ([0, 1], [0, 1]))  # (s, 1 + s)
        shape_step = np.linalg.solve(shape_hessian - reduced[:, 1:], shape_gradient - reduced[:, 0])
        unknowns = unknowns + solved[..., 0] - solved[..., 1:] @ shape_step
        shape = shape + shape_step.reshape(N_LANDMARKS, 3)
    return shape, unknowns


# ---- pass 2 --------------------------------------------------------------------------------------
def second_difference(T: int) -> csr_matrix:
    """D of shape (T - 2, T): (D x)_t = x_t - 2 x_(t+1) + x_(t+2). It is empty where T < 3."""
    return diags([1.0, -2.0, 1.0], [0, 1, 2], shape=(max(T - 2, 0), max(T, 2))).tocsr()[:, :T]


def solve_in_bands(matrix: csr_matrix, right: Float[np.ndarray, "N"],
                   width: int) -> Float[np.ndarray, "N"]:
    """x of matrix @ x = right. The matrix is symmetric, with `width` bands beside its diagonal."""
    bands = np.zeros((width + 1, len(right)))  # bands[k, i] = matrix[i + k, i]
    for k in range(min(width + 1, len(right))):
        bands[k, :len(right) - k] = matrix.diagonal(-k)
    return solveh_banded(bands, right, lower=True)


def fit_frames(landmarks: Float[np.ndarray, "T 68 2"], valid: Bool[np.ndarray, "T"],
               start: Float[np.ndarray, "T n"], shape: Float[np.ndarray, "68 3"],
               basis: Float[np.ndarray, "E 68 3"], K: Float[np.ndarray, "3 3"],
               sigma: Float[np.ndarray, "68"], smoothness: Float[np.ndarray, "n"],
               steps: int = 6) -> Float[np.ndarray, "T n"]:
    """Pass 2: the unknowns of all frames, shape fixed, from those that pass 1 gave.

    smoothness: precision of each unknown's second difference in time. Frames that are not valid
    have no landmark term: the prior carries the motion across the gap, and a light spring to the
    start keeps it from running away where the gap is long or at an end of the clip.
    """
    (T, n), unknowns, D = start.shape, start, second_difference(len(start))
    spring = np.where(valid, 1e-9, 1e-4)[:, None] * smoothness  # (T, n)
    own = np.r_[np.zeros(6), np.ones(n - 6)] + spring  # of each unknown by itself; f_exp ~ N(0, 1)
    prior = kron(D.T @ D, diags(smoothness)) + diags(own.ravel())  # precision (T n, T n)
    for _ in range(steps):
        pixels, by_unknowns, _ = linearise(unknowns[valid], shape, basis, K)
        error = landmarks[valid] - pixels
        hessian, gradient = np.zeros((T, n, n)), np.zeros((T, n))
        weight = robust_weights(error, sigma)
        hessian[valid], gradient[valid] = normal_equations(by_unknowns, error, weight)
        gradient = (gradient + spring * start).ravel() - prior @ unknowns.ravel()
        blocks = bsr_matrix((hessian, np.arange(T), np.arange(T + 1)))  # frame t's at (t, t)
        step = solve_in_bands((blocks + prior).tocsr(), gradient, 2 * n)
        unknowns = unknowns + step.reshape(T, n)
    return unknowns


def to_head_frame(shape: Float[np.ndarray, "68 3"], basis: Float[np.ndarray, "E 68 3"],
                  unknowns: Float[np.ndarray, "T n"], mean: Float[np.ndarray, "68 3"]
                  ) -> tuple[Float[np.ndarray, "68 3"], Float[np.ndarray, "E 68 3"],
                             Float[np.ndarray, "T n"]]:
    """Turn, scale and move shape and basis into the head frame, and the poses, so that pixels stay.

    Origin between landmarks 0 and 16, outer eye corners EYE_DISTANCE apart, turned as the mean.
    """
    still = np.r_[0, 16, 27:48]
    a, b = (face[still] - face[still].mean(0) for face in (mean, shape))
    A = Rotation.align_vectors(a, b)[0]
    scale = EYE_DISTANCE / np.linalg.norm(shape[36] - shape[45])
    centre = (shape[0] + shape[16]) / 2
    R = Rotation.from_rotvec(unknowns[:, :3])
    position = scale * (R.apply(centre) + unknowns[:, 3:6])
    turn = scale * A.as_matrix().T
    return ((shape - centre) @ turn, basis @ turn,
            np.c_[(R * A.inv()).as_rotvec(), position, unknowns[:, 6:]])


def track(landmarks: Float[np.ndarray, "T 68 2"], image_size: tuple[int, int], fps: float,
          model: LandmarkModel | None = None) -> Track:
    """Sec. 3.2: head pose P, its inverse P_cam, and F_exp of one clip.

    landmarks: px, pixel centres at +0.5; a frame with a NaN has no face. image_size: (W, H) px.
    model: that of the stand-in heads by default. About 2 ms per frame. Raises ValueError when no
    frame has landmarks.
    """
    model = model or generic_model()
    focal = FOCAL_IN_WIDTHS * image_size[0]
    K = np.array([[focal, 0, image_size[0] / 2], [0, focal, image_size[1] / 2], [0, 0, 1]])
    landmarks, valid = landmarks.astype(np.float64), np.isfinite(landmarks).all((1, 2))
    faces = np.flatnonzero(valid)
    if len(faces) == 0:
        raise ValueError("track: no frame has landmarks")
    some = np.unique(np.linspace(0, len(faces) - 1, LONGEST_ADJUSTMENT).round().astype(int))
    keys = faces[some]  # the frames of pass 1
    sigma = point_sigma() * np.nanmean(eye_distance(landmarks))
    pose = initial_pose(landmarks[keys], model.mean, K)
    unknowns = np.c_[pose, np.zeros((len(keys), len(model.exp_basis)))]
    shape, unknowns = adjust_shape(landmarks[keys], unknowns, model, K, sigma)
    shape, basis, unknowns = to_head_frame(shape, model.exp_basis, unknowns, model.mean)
    start = np.stack([np.interp(np.arange(len(valid)), keys, column) for column in unknowns.T], 1)
    acceleration = np.r_[POSE_ACCELERATION, np.full(len(basis), EXPRESSION_ACCELERATION)] / fps ** 2
    unknowns = fit_frames(landmarks, valid, start, shape, basis, K, sigma, acceleration ** -2)
    residual = np.linalg.norm(linearise(unknowns, shape, basis, K)[0] - landmarks, axis=-1).mean(1)
    return Track(K, camera_to_head(unknowns[:, :6]), unknowns[:, 6:], shape, basis, residual, valid)


def eye_distance(landmarks: Float[np.ndarray, "T 68 2"]) -> Float[np.ndarray, "T"]:
    """Px between the outer eye corners of each frame; NaN where it has no landmarks."""
    return np.linalg.norm(landmarks[:, 36] - landmarks[:, 45], axis=-1)


def camera_to_head(pose: Float[np.ndarray, "T 6"]) -> Float[np.ndarray, "T 4 4"]:
    """P_cam of poses [w, p]: the inverse of X_cam = FLIP (R(w) X_head + p), Sec. 3.2."""
    P_cam = np.tile(np.eye(4), (len(pose), 1, 1))
    R_inverse = Rotation.from_rotvec(pose[:, :3]).as_matrix().transpose(0, 2, 1)
    P_cam[:, :3, :3] = R_inverse @ FLIP
    P_cam[:, :3, 3] = -(R_inverse @ pose[:, 3:, None])[..., 0]
    return P_cam


# ---- face mask, m(.) of Eq. 5 --------------------------------------------------------------------
def face_outline(landmarks: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "N 2"]:
    """Corners (px) of the convex outline of the face: landmarks, and a forehead, which has none.

    By the drawing rule of equal thirds, hairline to brow is about brow to nose base; we stop at two
    thirds of that, below the hair.
    """
    brows = landmarks[17:27]
    lift = FOREHEAD * (brows.mean(0) - landmarks[33])  # nose base to brows
    arch = 0.6 + 0.4 * np.sin(np.linspace(0, np.pi, 10))[:, None]  # highest in the middle
    points = np.concatenate([landmarks, brows + arch * lift])
    return points[ConvexHull(points).vertices]


def soft_face_mask(landmarks: Float[np.ndarray, "68 2"], size: int) -> Float[np.ndarray, "H W"]:
    """m(.) of Eq. 5: (size, size) float32, 1 in face and forehead, 0 outside, 0.5 on the outline.

    landmarks: px, pixel centres at +0.5. The edge is a Gaussian step: sigma 1.5 % of the height.
    """
    outline = face_outline(landmarks.astype(np.float64))
    edges = ConvexHull(outline).equations  # (N, 3): outward unit normal, offset
    centres = np.arange(size) + 0.5
    outside = np.full((size, size), -np.inf)  # signed distance to the outline, px
    for nx, ny, offset in edges:
        np.maximum(outside, nx * centres + ny * centres[:, None] + offset, out=outside)
    blur = 0.015 * np.ptp(outline[:, 1])
    return (0.5 * erfc(outside / (blur * np.sqrt(2)))).astype(np.float32)


# ---- overlay and report --------------------------------------------------------------------------
def head_pose(cam_to_head: Float[np.ndarray, "T 4 4"]) -> Float[np.ndarray, "T 3"]:
    """Yaw, pitch, roll of the head in degrees; 0 faces the camera.

    Yaw > 0 looks to the image's right, pitch > 0 down; roll > 0 tilts the head anticlockwise.
    """
    R = (cam_to_head[:, :3, :3] @ FLIP).transpose(0, 2, 1)  # head to camera, y up
    return Rotation.from_matrix(R).as_euler("YXZ", degrees=True)


def overlay(frame: UInt8[np.ndarray, "H W 3"], marks: Float[np.ndarray, "68 2"], result: Track,
            t: int) -> UInt8[np.ndarray, "H W 3"]:
    """Frame t with landmarks as detected (red) and fitted (green), the mask's outline, the axes."""
    import cv2  # here: the environment of --detect need not have it
    if not result.valid[t]:
        return frame
    image = frame.copy()
    fitted = result.shape + np.tensordot(result.f_exp[t], result.exp_basis, 1)  # (68, 3)
    axes = result.shape[30] + 0.6 * np.eye(4, 3, -1)  # the tip of the nose; x, y and z from it
    points = cameras.project(np.concatenate([fitted, axes]), result.K, result.cam_to_head[t])
    points, marks, mask = (np.floor(px).astype(int) for px in (points, marks, face_outline(marks)))
    cv2.polylines(image, [mask], isClosed=True, color=(255, 255, 0))
    for end, color in zip(points[69:], ((255, 0, 0), (0, 255, 0), (60, 120, 255))):
        cv2.line(image, points[68], end, color)
    for seen, fit in zip(marks, points):
        cv2.drawMarker(image, fit, (0, 255, 0), cv2.MARKER_CROSS, markerSize=6)
        cv2.rectangle(image, seen, seen + 1, (255, 0, 0))  # 2 x 2 px: less is lost in the chroma
    return image


def report(landmarks: Float[np.ndarray, "T 68 2"], result: Track, info: VideoInfo) -> str:
    """A few lines on the quality of a track."""
    error, eye = np.nanmean(result.residual), np.nanmean(eye_distance(landmarks))
    missing = np.flatnonzero(~result.valid).tolist()
    which = f" ({str(missing[:10])[1:-1]}{', ...' if len(missing) > 10 else ''})" if missing else ""
    frames = f"{len(landmarks)} frames at {info.fps:g} a second, {len(missing)} without landmarks"
    percent = f"{100 * error / eye:.2f} % of the outer-eye distance ({eye:.1f} px)"
    lines = [frames + which, f"reprojection error {error:.2f} px = {percent}",
             f"focal length {result.K[0, 0]:.0f} px (fixed at {FOCAL_IN_WIDTHS:g} image widths)"]
    for name, angle in zip(("yaw", "pitch", "roll"), head_pose(result.cam_to_head[result.valid]).T):
        lines.append(f"{name:5} {angle.min():6.1f} to {angle.max():5.1f} degrees")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description="Head pose and expression of a clip, Sec. 3.2.")
    parser.add_argument("clip", type=Path, help="video; beside it CLIP.landmarks.npy or CLIP.lms/")
    parser.add_argument("--out", type=Path, help="overlay to write (default: CLIP.tracking.mp4)")
    parser.add_argument("--detect", action="store_true", help="only make CLIP.landmarks.npy")
    parser.add_argument("--force", action="store_true", help="with --detect: replace an old file")
    args = parser.parse_args(arguments)
    if args.force and not args.detect or args.out and args.detect:
        parser.error("--force goes with --detect, --out without it")
    if args.detect:
        landmarks = detect(args.clip, args.force)
        found = np.isfinite(landmarks).all((1, 2)).sum()
        print(f"wrote {args.clip.stem}.landmarks.npy: a face in {found} of {len(landmarks)} frames")
        return
    info = video_info(args.clip)
    landmarks = load_landmarks(args.clip, info)
    result = track(landmarks, (info.width, info.height), info.fps)
    print(report(landmarks, result, info))
    out = args.out or args.clip.with_name(args.clip.stem + ".tracking.mp4")
    drawn = (overlay(f, landmarks[t], result, t) for t, f in enumerate(read_frames(args.clip)))
    write_video(out, drawn, info.fps, read_audio(args.clip) if info.has_audio else None)
    print(f"wrote {out}")


if __name__ == "__main__":
    run_cli(main)
