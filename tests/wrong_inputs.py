"""wrong_inputs.py - answers to the exercises on pose, light, sound and pairs, written from the stubs alone.

    WRONG: (exercise, function, known mistake whose hint it must get, or None where numbers say enough)
    RIGHT: (exercise, function): right in another way than ours

They are written as students write: loops, detours, own derivations. test_exercises.py goes through both lists.
"""
import math

import numpy as np
import torch
from scipy.linalg import polar
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from synthetic.light import SH_CONSTANTS, sh_basis

FLIP = np.diag([1.0, -1.0, -1.0])
STEP = 0.02
SKULL = [0, 16, *range(27, 36), 36, 39, 42, 45]
WRONG, RIGHT = [], []


def wrong(exercise, mistake=None):
    def keep(function):
        WRONG.append((exercise, function, mistake))
        return function
    return keep


def right(exercise):
    def keep(function):
        RIGHT.append((exercise, function))
        return function
    return keep


# ------------------------------------------------------------------------------------------------------ camera

def head_to_camera(pose, flip=FLIP, turn=True):
    """[flip R | flip p], one frame at a time."""
    out = []
    for row in pose:
        P = np.eye(4)
        P[:3, :3] = flip @ Rotation.from_rotvec(row[:3]).as_matrix()
        P[:3, 3] = flip @ row[3:] if turn else row[3:]
        out.append(P)
    return np.array(out)


@right("camera")
def camera_by_inverse(pose):
    return np.linalg.inv(head_to_camera(pose))


@right("camera")
def camera_by_negative_vectors(pose):
    out = []
    for row in pose:
        back = Rotation.from_rotvec(-row[:3])
        A = back.apply(FLIP).T  # rows of FLIP are its columns
        out.append(np.vstack([np.column_stack([A, -back.apply(row[3:])]), [0, 0, 0, 1]]))
    return out


@right("camera")
def camera_in_torch_float32(pose):
    pose = torch.tensor(pose)
    out = torch.zeros(len(pose), 4, 4, dtype=torch.float64)
    for row, P in zip(pose, out):
        x, y, z = row[:3]
        zero = torch.zeros(())
        cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).view(3, 3)
        R = torch.linalg.matrix_exp(cross)
        P[:3, :3] = R.T * torch.tensor([1.0, -1, -1])
        P[:3, 3] = -(row[3:] @ R)
        P[3, 3] = 1
    return out.float()


@right("camera")
def camera_of_two_points(pose):
    """Columns of A are where the camera's axes point to, seen from the head."""
    to_head = lambda x: np.einsum("tji,tj->ti", Rotation.from_rotvec(pose[:, :3]).as_matrix(), x @ FLIP - pose[:, 3:])
    zero = to_head(np.zeros((1, 3)))
    columns = [to_head(np.eye(3)[[i]]) - zero for i in range(3)] + [zero]
    top = np.stack(columns, 2)
    return np.concatenate([top, np.tile([[[0, 0, 0, 1.0]]], (len(pose), 1, 1))], 1)


@wrong("camera", "axes not flipped")
def inverse_without_flip(pose):
    return np.linalg.inv(head_to_camera(pose, np.eye(3)))


@wrong("camera", "head to camera")
def not_inverted(pose):
    return head_to_camera(pose)


@wrong("camera", "pose for camera")
def the_pose_itself(pose):
    return head_to_camera(pose, np.eye(3))


@wrong("camera", "flip on the position")
def flip_of_the_rotation_only(pose):
    return np.linalg.inv(head_to_camera(pose, turn=False))


@wrong("camera", "flip of the whole inverse")
def flip_after_all(pose):
    return np.diag([1.0, -1, -1, 1]) @ np.linalg.inv(head_to_camera(pose, np.eye(3)))


def blocks(A, t):
    P = np.zeros((len(A), 4, 4))
    P[:, :3, :3], P[:, :3, 3], P[:, 3, 3] = A, t, 1
    return P


def rotations(pose):
    return Rotation.from_rotvec(pose[:, :3]).as_matrix()


@wrong("camera", "position not turned")
def minus_position(pose):
    return blocks(rotations(pose).swapaxes(1, 2) @ FLIP, -pose[:, 3:])


@wrong("camera", "position turned forwards")
def wrong_einsum(pose):
    R = rotations(pose)
    return blocks(np.einsum("tji,jk->tik", R, FLIP), -np.einsum("tij,tj->ti", R, pose[:, 3:]))


@wrong("camera", "position with the wrong sign")
def plus_turned_position(pose):
    R = rotations(pose)
    return blocks(np.einsum("tji,jk->tik", R, FLIP), np.einsum("tji,tj->ti", R, pose[:, 3:]))


@wrong("camera", "rotation not inverted")
def forwards(pose):
    R = rotations(pose)
    return blocks(R @ FLIP, -np.einsum("tij,tj->ti", R, pose[:, 3:]))


@wrong("camera", "axes not inverted")
def axes_forwards(pose):
    R = rotations(pose)
    return blocks(R @ FLIP, -np.einsum("tji,tj->ti", R, pose[:, 3:]))


@wrong("camera", "flip on the wrong side")
def flip_left(pose):
    R = rotations(pose).swapaxes(1, 2)
    return blocks(FLIP @ R, -np.einsum("tij,tj->ti", R, pose[:, 3:]))


@wrong("camera", "all three axes reversed")
def dot_t(pose):
    R = rotations(pose).T
    return blocks(R @ FLIP, -np.einsum("tij,tj->ti", R, pose[:, 3:]))


@wrong("camera", "Euler angles")
def euler(pose):
    R = Rotation.from_euler("xyz", pose[:, :3]).as_matrix().swapaxes(1, 2)
    return blocks(R @ FLIP, -np.einsum("tij,tj->ti", R, pose[:, 3:]))


@wrong("camera", "position first")
def position_comes_first(pose):
    return camera_by_inverse(np.c_[pose[:, 3:], pose[:, :3]])


@wrong("camera", "first pose for all")
def only_one_camera(pose):
    return np.stack([camera_by_inverse(pose)[0] for _ in pose])


@wrong("camera", "last row of zeros")
def zeros_below(pose):
    P = camera_by_inverse(pose)
    P[:, 3, 3] = 0
    return P


@wrong("camera", "no last row")
def three_by_four(pose):
    return np.concatenate([camera_by_inverse(pose)[:, :3, :3], camera_by_inverse(pose)[:, :3, 3:]], 2)


@wrong("camera", "position in the last row")
def for_row_vectors(pose):
    return camera_by_inverse(pose).swapaxes(1, 2)


@wrong("camera", "no rotation, no axis")
def rodrigues_without_guard(pose):
    out = []
    with np.errstate(invalid="ignore"):
        for row in pose:
            a = np.linalg.norm(row[:3])
            x, y, z = row[:3] / a
            k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
            R = np.eye(3) + np.sin(a) * k + (1 - np.cos(a)) * k @ k
            out.append(blocks((R.T @ FLIP)[None], -R.T @ row[3:])[0])
    return np.array(out)


@wrong("camera")
def small_angles(pose):
    P = camera_by_inverse(pose)
    for row, one in zip(pose, P):
        x, y, z = row[:3]
        R = np.array([[1, -z, y], [z, 1, -x], [-y, x, 1]])
        one[:3] = np.c_[R.T @ FLIP, -R.T @ row[3:]]
    return P


@wrong("camera")
def x_and_y_flipped(pose):
    return np.linalg.inv(head_to_camera(pose, np.diag([-1.0, -1, 1])))


@wrong("camera")
def changes_the_pose(pose):
    pose[:, 3:] *= -1
    return camera_by_inverse(pose * [1, 1, 1, -1, -1, -1])


@wrong("camera")
def sign_of_a_frame_lost(pose):
    P = camera_by_inverse(pose)
    P[1:, :3, 3] = np.abs(P[1:, :3, 3])
    return P


# -------------------------------------------------------------------------------------------------------- pose

def affine(landmarks, mean, K, points=SKULL, sign=-1):
    """Rows x, y (T, 2, 4) by normal equations."""
    X = np.hstack([mean[points], np.ones((len(points), 1))])
    u = (landmarks[:, points, 0] - K[0, 2]) / K[0, 0]
    v = (landmarks[:, points, 1] - K[1, 2]) / (sign * K[1, 1])
    solve = np.linalg.solve(X.T @ X, X.T)
    return np.stack([u @ solve.T, v @ solve.T], 1)


def from_rows(rows, up=np.linalg.norm):
    out = []
    for x, y in rows:
        s = (up(x[:3]) + up(y[:3])) / 2
        U, _, Vt = np.linalg.svd(np.vstack([x[:3], y[:3], np.cross(x[:3], y[:3]) / s]))
        out.append([*Rotation.from_matrix(U @ Vt).as_rotvec(), x[3] / s, y[3] / s, -1 / s])
    return np.array(out)


@right("pose")
def pose_by_normal_equations(landmarks, mean, K):
    return from_rows(affine(landmarks, mean, K))


@right("pose")
def pose_by_polar(landmarks, mean, K):
    middle, out = mean[SKULL].mean(0), []
    for frame in landmarks:
        seen = np.c_[(frame[SKULL, 0] - K[0, 2]) / K[0, 0], (K[1, 2] - frame[SKULL, 1]) / K[1, 1]]
        rows = np.linalg.lstsq(mean[SKULL] - middle, seen - seen.mean(0), rcond=None)[0].T  # (2, 3)
        s = np.linalg.norm(rows, axis=1).mean()
        R, _ = polar(np.r_[rows, np.cross(*rows)[None] / s])
        p = seen.mean(0) / s - (R @ middle)[:2]
        w = Rotation.from_matrix(R).as_rotvec()
        exact = seen.mean(0) - rows @ middle  # the fit's own constant
        out.append(np.r_[w, exact / s, -1 / s] if np.isfinite(p).all() else np.nan)
    return np.array(out)


@right("pose")
def pose_in_torch(landmarks, mean, K):
    X = torch.tensor(np.c_[mean[SKULL], np.ones(len(SKULL))])
    target = torch.tensor((landmarks[:, SKULL] - K[:2, 2]) / np.array([K[0, 0], -K[1, 1]]))
    B = torch.linalg.lstsq(X.expand(len(target), -1, -1), target).solution.mT  # (T, 2, 4)
    lengths = B[..., :3].norm(dim=-1)
    s = lengths.mean(1)
    rows = torch.cat([B[..., :3], torch.linalg.cross(B[:, 0, :3], B[:, 1, :3])[:, None]], 1)
    U, _, Vh = torch.linalg.svd(rows)
    w = Rotation.from_matrix((U @ Vh).numpy()).as_rotvec()
    return torch.cat([torch.tensor(w), B[..., 3] / s[:, None], -1 / s[:, None]], 1)


@wrong("pose", "y down")
def image_axes(landmarks, mean, K):
    return from_rows(affine(landmarks, mean, K, sign=1))


@wrong("pose", "all points used")
def all_landmarks(landmarks, mean, K):
    return from_rows(affine(landmarks, mean, K, list(range(68))))


@wrong("pose", "landmark 35 left out")
def range_ends_early(landmarks, mean, K):
    return from_rows(affine(landmarks, mean, K, [0, 16, *range(27, 35), 36, 39, 42, 45]))


@wrong("pose", "landmarks counted from 1")
def one_based(landmarks, mean, K):
    return from_rows(affine(landmarks, mean, K, [i - 1 for i in SKULL]))


@wrong("pose", "rotation transposed")
def columns(landmarks, mean, K):
    good = pose_by_normal_equations(landmarks, mean, K)
    R = Rotation.from_rotvec(good[:, :3]).as_matrix().swapaxes(1, 2)
    return np.c_[Rotation.from_matrix(R).as_rotvec(), good[:, 3:]]


@wrong("pose", "position not divided by the scale")
def constant_as_position(landmarks, mean, K):
    good = pose_by_normal_equations(landmarks, mean, K)
    return np.c_[good[:, :3], affine(landmarks, mean, K)[:, :, 3], good[:, 5]]


@wrong("pose", "head behind the camera")
def positive_depth(landmarks, mean, K):
    return pose_by_normal_equations(landmarks, mean, K) * [1, 1, 1, 1, 1, -1]


@wrong("pose", "scale for depth")
def scale_as_depth(landmarks, mean, K):
    good = pose_by_normal_equations(landmarks, mean, K)
    return np.c_[good[:, :5], 1 / good[:, 5]]


@wrong("pose", "principal point forgotten")
def no_centre(landmarks, mean, K):
    centred = K.copy()
    centred[:2, 2] = 0
    return pose_by_normal_equations(landmarks, mean, centred)


@wrong("pose", "fx for both")
def one_focal(landmarks, mean, K):
    return pose_by_normal_equations(landmarks, mean, np.array([[K[0, 0], 0, K[0, 2]], [0, K[0, 0], K[1, 2]]]))


@wrong("pose", "focal lengths swapped")
def focals_by_row_and_column(landmarks, mean, K):
    return pose_by_normal_equations(landmarks, mean, np.array([[K[1, 1], 0, K[0, 2]], [0, K[0, 0], K[1, 2]]]))


@wrong("pose", "principal point swapped")
def height_first(landmarks, mean, K):
    return pose_by_normal_equations(landmarks, mean, np.array([[K[0, 0], 0, K[1, 2]], [0, K[1, 1], K[0, 2]]]))


@wrong("pose", "position of the points' middle")
def centred(landmarks, mean, K):
    return pose_by_normal_equations(landmarks, mean - mean[SKULL].mean(0), K)


@wrong("pose", "Gram-Schmidt")
def gram_schmidt(landmarks, mean, K):
    good = pose_by_normal_equations(landmarks, mean, K)
    for row, (x, y) in zip(good, affine(landmarks, mean, K)[..., :3]):
        a = x / np.linalg.norm(x)
        c = np.cross(x, y)
        c = c / np.linalg.norm(c)
        row[:3] = Rotation.from_matrix([a, np.cross(c, a), c]).as_rotvec()
    return good


@wrong("pose", "unit rows")
def unit_rows(landmarks, mean, K):
    good = pose_by_normal_equations(landmarks, mean, K)
    for row, xy in zip(good, affine(landmarks, mean, K)[..., :3]):
        a, b = xy / np.linalg.norm(xy, axis=1, keepdims=True)
        row[:3] = Rotation.from_matrix(polar(np.array([a, b, np.cross(a, b)]))[0]).as_rotvec()
    return good


@right("pose")
def pose_by_aligned_vectors(landmarks, mean, K):
    good = pose_by_normal_equations(landmarks, mean, K)
    for row, (x, y) in zip(good, affine(landmarks, mean, K)[..., :3]):
        seen = np.array([x, y, np.cross(x, y) / np.linalg.norm(x)])
        row[:3] = Rotation.align_vectors(seen.T, np.eye(3))[0].as_rotvec()
    return good


@wrong("pose", "product of the lengths")
def geometric_mean(landmarks, mean, K):
    good, rows = pose_by_normal_equations(landmarks, mean, K), affine(landmarks, mean, K)
    s = np.prod(np.linalg.norm(rows[..., :3], axis=-1), axis=1) ** 0.5
    return np.c_[good[:, :3], rows[:, :, 3] / s[:, None], -1 / s]


@wrong("pose", "length of one row")
def length_of_x(landmarks, mean, K):
    good, rows = pose_by_normal_equations(landmarks, mean, K), affine(landmarks, mean, K)
    s = np.linalg.norm(rows[:, 0, :3], axis=-1)
    return np.c_[good[:, :3], rows[:, :, 3] / s[:, None], -1 / s]


@wrong("pose", "cross product in the other order")
def mirrored(landmarks, mean, K):
    good = pose_by_normal_equations(landmarks, mean, K)
    for row, (x, y) in zip(good, affine(landmarks, mean, K)[..., :3]):
        row[:3] = Rotation.from_matrix(polar(np.array([x, y, np.cross(y, x)]))[0]).as_rotvec()
    return good


@wrong("pose", "quaternion for the rotation vector")
def quaternion(landmarks, mean, K):
    good = pose_by_normal_equations(landmarks, mean, K)
    return np.c_[Rotation.from_rotvec(good[:, :3]).as_quat(), good[:, 3:]]


@wrong("pose", "w after p")
def position_then_rotation(landmarks, mean, K):
    return np.roll(pose_by_normal_equations(landmarks, mean, K), 3, axis=1)


@wrong("pose", "first frame for all frames")
def first_frame(landmarks, mean, K):
    return np.tile(pose_by_normal_equations(landmarks[:1], mean, K), (len(landmarks), 1))


@wrong("pose")
def no_constant_in_the_fit(landmarks, mean, K):
    X = np.hstack([mean[SKULL], np.zeros((len(SKULL), 1))])
    target = (landmarks[:, SKULL] - K[:2, 2]) / [K[0, 0], -K[1, 1]]
    return from_rows(np.einsum("kn,tnc->tck", np.linalg.pinv(X), target))


@wrong("pose")
def mean_of_all_frames(landmarks, mean, K):
    return pose_by_normal_equations(np.broadcast_to(landmarks.mean(0), landmarks.shape), mean, K)


# ------------------------------------------------------------------------------------------------------- light

@right("light")
def light_by_loops(normals):
    out = np.empty((*normals.shape[:-1], 9), normals.dtype)
    for at in np.ndindex(normals.shape[:-1]):
        x, y, z = normals[at]
        for k, value in enumerate([1, y, z, x, x * y, y * z, 2 * z * z - x * x - y * y, x * z, x * x - y * y]):
            out[(*at, k)] = value * SH_CONSTANTS[k]
    return out


@right("light")
def light_in_torch(normals):
    x, y, z = torch.as_tensor(normals).unbind(-1)
    Y = torch.stack([x * 0 + 1, y, z, x, x * y, y * z, 3 * z**2 - 1, x * z, x**2 - y**2], -1)
    return (Y * torch.as_tensor(SH_CONSTANTS)).to(Y.dtype).numpy()


@right("light")
def light_by_quadratic_forms(normals):
    """Degree 2 as n^T M n."""
    M = np.zeros((5, 3, 3))
    M[0, 0, 1] = M[1, 1, 2] = M[3, 0, 2] = M[4, 0, 0] = 1
    M[2], M[4, 1, 1] = np.diag([-1.0, -1, 2]), -1
    second = np.einsum("...i,kij,...j->...k", normals, M, normals)
    first = np.concatenate([np.ones_like(normals[..., :1]), normals[..., [1, 2, 0]]], -1)
    return (np.concatenate([first, second], -1) * SH_CONSTANTS).astype(normals.dtype)


def stacked(pick, constants=SH_CONSTANTS, axis=-1):
    def answer(normals):
        x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
        return (np.stack(pick(np.ones_like(x), x, y, z), -1) * constants).astype(normals.dtype)
    return answer


def light_variant(mistake, pick, constants=SH_CONSTANTS):
    WRONG.append(("light", stacked(pick, constants), mistake))


light_variant("order x, y, z", lambda o, x, y, z: [o, x, y, z, x*y, y*z, 3*z*z - 1, x*z, x*x - y*y])
light_variant("xz before 3z^2 - 1", lambda o, x, y, z: [o, y, z, x, x*y, y*z, x*z, 3*z*z - 1, x*x - y*y])
light_variant("3z^2 - 1 last", lambda o, x, y, z: [o, y, z, x, x*y, y*z, x*z, x*x - y*y, 3*z*z - 1])
light_variant("3z^2 without -1", lambda o, x, y, z: [o, y, z, x, x*y, y*z, 3*z*z, x*z, x*x - y*y])
light_variant("z^2 - 1", lambda o, x, y, z: [o, y, z, x, x*y, y*z, z*z - 1, x*z, x*x - y*y])
light_variant("y^2 - x^2", lambda o, x, y, z: [o, y, z, x, x*y, y*z, 3*z*z - 1, x*z, y*y - x*x])
light_variant("signs of physics", lambda o, x, y, z: [o, -y, z, -x, x*y, -y*z, 3*z*z - 1, -x*z, x*x - y*y])
light_variant("y and z swapped", lambda o, x, y, z: [o, z, y, x, x*z, y*z, 3*y*y - 1, x*y, x*x - z*z])
light_variant("degree 2 left out", lambda o, x, y, z: [o, y, z, x], SH_CONSTANTS[:4])
light_variant("without the constant light", lambda o, x, y, z: [y, z, x, x*y, y*z, 3*z*z - 1, x*z, x*x - y*y],
              SH_CONSTANTS[1:])
light_variant("without the constants", lambda o, x, y, z: [o, y, z, x, x*y, y*z, 3*z*z - 1, x*z, x*x - y*y], 1.0)
light_variant("divided by the constants", lambda o, x, y, z: [o, y, z, x, x*y, y*z, 3*z*z - 1, x*z, x*x - y*y],
              1 / SH_CONSTANTS)
light_variant("one constant for each degree", lambda o, x, y, z: [o, y, z, x, x*y, y*z, 3*z*z - 1, x*z, x*x - y*y],
              np.sqrt(np.array([1, 3, 3, 3, 15, 15, 15, 15, 15]) / [4, 4, 4, 4, 4, 4, 4, 4, 4] / np.pi))
light_variant(None, lambda o, x, y, z: [o, y, z, x, x*y, x*z, 3*z*z - 1, y*z, x*x - y*y])
light_variant(None, lambda o, x, y, z: [0*o, y, z, x, x*y, y*z, 3*z*z - 1, x*z, x*x - y*y])
light_variant(None, lambda o, x, y, z: [o, y, z, x, 2*x*y, y*z, 3*z*z - 1, x*z, x*x - y*y])


@wrong("light", "coordinates from the first axis")
def unpacks_the_first_axis(normals):
    x, y, z = normals
    return np.stack([np.ones_like(x), y, z, x, x*y, y*z, 3*z*z - 1, x*z, x*x - y*y], -1) * SH_CONSTANTS


@wrong("light", "harmonics along the first axis")
def first_axis_stack(normals):
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    Y = np.array([np.ones_like(x), y, z, x, x*y, y*z, 3*z*z - 1, x*z, x*x - y*y])
    return Y * SH_CONSTANTS.reshape(9, *[1] * x.ndim)


@wrong("light", "1 without a shape")
def bare_one(normals):
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    return np.stack([1, y, z, x, x*y, y*z, 3*z*z - 1, x*z, x*x - y*y], -1) * SH_CONSTANTS


@wrong("light", "not float32")
def keeps_float64(normals):
    x, y, z = np.asarray(normals, float).T
    return (np.array([x**0, y, z, x, x*y, y*z, 3*z*z - 1, x*z, x*x - y*y]).T * SH_CONSTANTS
            if normals.ndim < 3 else light_by_loops(normals.astype(float)))


@wrong("light", "always float32")
def single_precision(normals):
    return light_by_loops(np.float32(normals))


@wrong("light", "negative values cut off")
def no_negative_light(normals):
    return light_by_loops(normals).clip(min=0)


# ------------------------------------------------------------------------------------------------ light, turned

@right("light_turned")
def turned_by_nine_directions(sh, rotation):
    n = np.random.default_rng(7).normal(size=(9, 3))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    return np.linalg.solve(sh_basis(n), sh_basis((rotation.astype(float) @ n.T).T) @ sh)


def sphere():
    """Directions and weights of a quadrature that is exact here: Gauss in z, even steps about it."""
    z, weight = np.polynomial.legendre.leggauss(6)
    phi = np.arange(12) * np.pi / 6
    r = np.sqrt(1 - z**2)[:, None]
    n = np.stack([r * np.cos(phi), r * np.sin(phi), z[:, None] + 0 * phi], -1).reshape(-1, 3)
    return n, np.repeat(weight * np.pi / 6, 12)


def projected(shade):
    n, weight = sphere()
    return sh_basis(n).T @ (weight[:, None] * shade(n))


@right("light_turned")
def turned_by_projection(sh, rotation):
    return projected(lambda n: sh_basis(n @ rotation.T.astype(float)) @ sh).astype(np.float32)


@right("light_turned")
def turned_by_matrices(sh, rotation):
    """Degree 1 is a vector, degree 2 a symmetric matrix."""
    c, R = sh * SH_CONSTANTS[:, None], rotation.astype(float)
    out = np.zeros((9, 3))
    out[0] = c[0]
    for i in range(3):
        _, y, z, x, xy, yz, zz, xz, xxyy = c[:, i]
        a, b, d = R.T @ [x, y, z]
        M = R.T @ [[xxyy - zz, xy / 2, xz / 2], [xy / 2, -xxyy - zz, yz / 2], [xz / 2, yz / 2, 2 * zz]] @ R
        out[1:, i] = [b, d, a, 2 * M[0, 1], 2 * M[1, 2], M[2, 2] / 2, 2 * M[0, 2], (M[0, 0] - M[1, 1]) / 2]
    return out / SH_CONSTANTS[:, None]


def turned_variant(mistake, change):
    WRONG.append(("light_turned", change, mistake))


good_turn = turned_by_projection
turned_variant("rotation transposed", lambda sh, R: projected(lambda n: sh_basis(n @ R.astype(float)) @ sh))
turned_variant("not turned", lambda sh, R: projected(lambda n: sh_basis(n) @ sh))
turned_variant("turned twice", lambda sh, R: good_turn(good_turn(sh, R), R))
turned_variant("only degree 1, as x, y, z", lambda sh, R: np.concatenate([sh[:1], R.T @ sh[1:4], sh[4:]]))
turned_variant("degree 2 left as it was", lambda sh, R: np.concatenate([good_turn(sh, R)[:4], sh[4:]]))
turned_variant("degree 2 left as it was", lambda sh, R: np.concatenate(
    [sh[:1], (R.T @ sh[[3, 1, 2]])[[1, 2, 0]], sh[4:]]))
turned_variant("degree 1 left as it was", lambda sh, R: np.concatenate([sh[:4], good_turn(sh, R)[4:]]))
turned_variant("degree 2 lost", lambda sh, R: np.concatenate([good_turn(sh, R)[:4], np.zeros((5, 3))]))
turned_variant("constant light lost", lambda sh, R: good_turn(sh * (np.arange(9) > 0)[:, None], R))
turned_variant("one colour for all", lambda sh, R: good_turn(np.repeat(sh[:, :1], 3, 1), R))
turned_variant("mean colour for all", lambda sh, R: good_turn(np.repeat(sh.mean(1)[:, None], 3, 1), R))
turned_variant("transposed result", lambda sh, R: good_turn(sh, R).T)
turned_variant("constants twice", lambda sh, R: good_turn(sh, R) * SH_CONSTANTS[:, None])
turned_variant(None, lambda sh, R: projected(lambda n: np.maximum(sh_basis(n @ R.T) @ sh, 0)))
turned_variant(None, lambda sh, R: 4 * np.pi * projected(lambda n: sh_basis(n @ R.T) @ sh))
turned_variant(None, lambda sh, R: np.concatenate([sh[:1], good_turn(sh, R)[[3, 1, 2]], good_turn(sh, R)[4:]]))
turned_variant(None, lambda sh, R: sh @ R)


@wrong("light_turned")
def monte_carlo(sh, rotation):
    n = np.random.default_rng(0).normal(size=(500, 3))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    return 4 * np.pi / 500 * sh_basis(n).T @ (sh_basis(n @ rotation.T) @ sh)


@wrong("light_turned")
def too_few_directions(sh, rotation):
    n = np.random.default_rng(0).normal(size=(6, 3))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    return np.linalg.lstsq(sh_basis(n), sh_basis(n @ rotation.T) @ sh, rcond=None)[0]


# --------------------------------------------------------------------------------------------------- alignment

def interp(features, times, at):
    return np.array([[[np.interp(t, times, column) for column in features.T] for t in row] for row in at], np.float32)


def around(frame_times, window, middle=None):
    middle = (window - 1) / 2 if middle is None else middle
    return np.array([[t + (k - middle) * STEP for k in range(window)] for t in frame_times])


@right("alignment")
def aligned_by_loops(features, times, frame_times, window):
    return interp(features, times, around(frame_times, window))


@right("alignment")
def aligned_by_hats(features, times, frame_times, window):
    """Each vector's weight is a hat about its time; made with the weights of the unit vectors."""
    at = around(frame_times, window)
    hats = np.stack([np.interp(at, times, one) for one in np.eye(len(times))], -1)  # (T, w, n)
    return np.matmul(hats, features).astype("float32")


@right("alignment")
def aligned_in_torch(features, times, frame_times, window):
    f, t = torch.tensor(features), torch.tensor(times)
    offsets = (torch.arange(window) - (window - 1) / 2).double() * STEP
    at = torch.tensor(frame_times)[:, None] + offsets
    i = torch.searchsorted(t, at.contiguous()).clamp(1, max(len(t) - 1, 1))
    if len(t) == 1:
        return f.expand(len(at), window, -1).float().numpy()
    share = ((at - t[i - 1]) / (t[i] - t[i - 1])).clamp(0, 1)[..., None]
    return torch.lerp(f[i - 1], f[i], share).float().numpy()


@wrong("alignment", "paired by index")
def one_vector_a_frame(features, times, frame_times, window):
    return interp(features, times, around(times[:len(frame_times)], window))


@wrong("alignment", "window starts at the frame")
def from_the_frame_on(features, times, frame_times, window):
    return interp(features, times, around(frame_times, window, 0))


@wrong("alignment", "window ends at the frame")
def up_to_the_frame(features, times, frame_times, window):
    return interp(features, times, around(frame_times, window, window - 1))


@wrong("alignment", "half a step off")
def half_window(features, times, frame_times, window):
    return interp(features, times, around(frame_times, window, window / 2))


@wrong("alignment", "half a step off where w is even")
def integer_half_window(features, times, frame_times, window):
    return interp(features, times, around(frame_times, window, window // 2))


@wrong("alignment", "-w // 2")
def minus_binds_first(features, times, frame_times, window):
    offsets = np.arange(-window // 2, -window // 2 + window) * STEP
    return interp(features, times, frame_times[:, None] + offsets)


@wrong("alignment", "half a step late where w is even")
def lower_half_window(features, times, frame_times, window):
    return interp(features, times, around(frame_times, window, (window - 1) // 2))


@wrong("alignment", "window too wide")
def linspace(features, times, frame_times, window):
    offsets = np.linspace(-window / 2 * STEP, window / 2 * STEP, window)
    return interp(features, times, frame_times[:, None] + offsets)


@wrong("alignment", "frames' own step")
def step_of_the_frames(features, times, frame_times, window):
    step = frame_times[1] - frame_times[0]
    return interp(features, times, frame_times[:, None] + (np.arange(window) - (window - 1) / 2) * step)


@wrong("alignment", "window backwards")
def backwards(features, times, frame_times, window):
    return interp(features, times, around(frame_times, window)[:, ::-1])


@wrong("alignment", "nearest vector")
def rounded(features, times, frame_times, window):
    at = around(frame_times, window)
    return features[np.abs(np.clip(at, times[0], times[-1])[..., None] - times).argmin(-1)].astype(np.float32)


@wrong("alignment", "vector before")
def floor(features, times, frame_times, window):
    at = np.clip(around(frame_times, window), times[0], times[-1])
    return features[np.searchsorted(times, at, side="right") - 1].astype(np.float32)


@wrong("alignment", "vectors' own step")
def step_of_the_features(features, times, frame_times, window):
    step = np.diff(times).mean() if len(times) > 1 else STEP
    at = frame_times[:, None] + (np.arange(window) - (window - 1) / 2) * step
    return interp(features, times, at)


@wrong("alignment", "20 ms between the vectors")
def index_by_division(features, times, frame_times, window):
    place = (around(frame_times, window) - times[0]) / STEP
    return interp(features, np.arange(len(times)), place)


@wrong("alignment", "first vector at 0 s")
def fifty_a_second(features, times, frame_times, window):
    return interp(features, times - times[0], around(frame_times, window))


@wrong("alignment", "zeros beyond the ends")
def silence_outside(features, times, frame_times, window):
    at = around(frame_times, window)
    columns = [np.interp(at, times, column, left=0, right=0) for column in features.T]
    return np.stack(columns, -1).astype(np.float32)


@wrong("alignment", "NaN beyond the ends")
def nan_outside(features, times, frame_times, window):
    at = around(frame_times, window)
    columns = [np.interp(at, times, column, left=np.nan, right=np.nan) for column in features.T]
    return np.stack(columns, -1).astype(np.float32)


@wrong("alignment", "frames clipped, not the window")
def clipped_frames(features, times, frame_times, window):
    return interp(features, times, around(frame_times.clip(times[0], times[-1]), window))


@wrong("alignment", "window of vectors about the nearest")
def vectors_about_the_nearest(features, times, frame_times, window):
    out = []
    for t in frame_times:
        first = int(np.abs(times - t).argmin()) - window // 2
        out.append([features[min(max(i, 0), len(times) - 1)] for i in range(first, first + window)])
    return np.array(out, np.float32)


@wrong("alignment", "vectors before windows")
def channels_first(features, times, frame_times, window):
    return interp(features, times, around(frame_times, window)).swapaxes(1, 2)


@wrong("alignment", "windows before frames")
def one_interp_per_shift(features, times, frame_times, window):
    return interp(features, times, around(frame_times, window).T)


@wrong("alignment", "one row per window")
def flat(features, times, frame_times, window):
    return interp(features, times, around(frame_times, window)).reshape(len(frame_times), -1)


@wrong("alignment", "not float32")
def double(features, times, frame_times, window):
    return interp(features, times, around(frame_times, window)).astype(float)


@wrong("alignment", "no array")
def lists(features, times, frame_times, window):
    return interp(features, times, around(frame_times, window)).tolist()


@wrong("alignment")
def wraps_around(features, times, frame_times, window):
    at = around(frame_times, window)
    period = times[-1] - times[0] + STEP
    return np.stack([np.interp(at, times, column, period=period) for column in features.T], -1).astype(np.float32)


@wrong("alignment")
def first_row_of_times(features, times, frame_times, window):
    even = frame_times[0] + np.arange(len(frame_times)) / 25
    return interp(features, times, around(even, window))


@wrong("alignment")
def features_minus_mean(features, times, frame_times, window):
    return interp(features - features.mean(0), times, around(frame_times, window))


# --------------------------------------------------------------------------------------------------------- sync

def checked(distances, valid):
    if distances.shape[1] % 2 == 0:
        raise ValueError("an even number of shifts")
    if not valid.any(0).all():
        raise ValueError("a shift without a pair")


def column_means(distances, valid):
    return np.array([np.mean([d for d, v in zip(*column) if v]) for column in zip(distances.T, valid.T)])


@right("sync")
def sync_by_loops(distances, valid):
    checked(distances, valid)
    mean = column_means(distances, valid)
    order = sorted(mean)
    return order[len(order) // 2] - order[0], len(mean) // 2 - list(mean).index(order[0]), mean


@right("sync")
def sync_by_masked_arrays(distances, valid):
    checked(distances, valid)
    mean = np.ma.masked_array(distances, ~valid).mean(0).filled(np.nan)
    k = (distances.shape[1] - 1) // 2
    return float(np.quantile(mean, 0.5) - np.min(mean)), int(k - np.argmin(mean)), mean


@right("sync")
def sync_in_torch(distances, valid):
    checked(distances, valid)
    mean = torch.tensor(distances).nanmean(0)
    return mean.median() - mean.min(), len(mean) // 2 - mean.argmin(), mean


def sync_variant(mistake, answer):
    """answer(distances, valid, mean, k) -> the three results."""
    def function(distances, valid):
        checked(distances, valid)
        mean = column_means(distances, valid)
        return answer(distances, valid, mean, len(mean) // 2)
    WRONG.append(("sync", function, mistake))


def three(mean):
    return np.median(mean) - mean.min(), len(mean) // 2 - mean.argmin(), mean


sync_variant("mean for median", lambda d, v, m, k: (m.mean() - m.min(), k - m.argmin(), m))
sync_variant("largest for median", lambda d, v, m, k: (m.max() - m.min(), k - m.argmin(), m))
sync_variant("second best for median", lambda d, v, m, k: (np.sort(m)[1] - m.min(), k - m.argmin(), m))
sync_variant("middle column for median", lambda d, v, m, k: (m[k] - m.min(), k - m.argmin(), m))
sync_variant("least minus median", lambda d, v, m, k: (m.min() - np.median(m), k - m.argmin(), m))
sync_variant("median alone", lambda d, v, m, k: (np.median(m), k - m.argmin(), m))
sync_variant("ratio for difference", lambda d, v, m, k: (np.median(m) / m.min(), k - m.argmin(), m))
sync_variant("offset with the other sign", lambda d, v, m, k: (np.median(m) - m.min(), m.argmin() - k, m))
sync_variant("index for offset", lambda d, v, m, k: (np.median(m) - m.min(), m.argmin(), m))
sync_variant("offset of the largest", lambda d, v, m, k: (np.median(m) - m.min(), k - m.argmax(), m))
sync_variant("medians down the columns", lambda d, v, m, k: three(np.nanmedian(d, axis=0)))
sync_variant("medians down the columns", lambda d, v, m, k: three(
    np.array([np.median(c[w]) for c, w in zip(d.T, v.T)])))
sync_variant("missing pairs counted", lambda d, v, m, k: three(np.nan_to_num(d).mean(0)))
sync_variant("NaN spreads", lambda d, v, m, k: three(d.mean(0)))
sync_variant("NaN spreads", lambda d, v, m, k: (np.nanmedian(d.mean(0)) - np.nanmin(d.mean(0)), 0, d.mean(0)))
sync_variant("only frames with all pairs", lambda d, v, m, k: three(d[v.all(1)].mean(0)))
sync_variant("sums down the columns", lambda d, v, m, k: three(np.nansum(d, 0)))
sync_variant("a confidence for each frame", lambda d, v, m, k: (
    np.mean([np.median(r[w]) - r[w].min() for r, w in zip(d, v)]), k - m.argmin(), m))
sync_variant("median of the frames' confidences", lambda d, v, m, k: (
    np.median([np.median(r[w]) - r[w].min() for r, w in zip(d, v)]), k - m.argmin(), m))
sync_variant("vote of the frames", lambda d, v, m, k: (
    np.median(m) - m.min(), k - np.bincount(np.nanargmin(d, 1)).argmax(), m))
sync_variant("median of the whole table", lambda d, v, m, k: (np.nanmedian(d) - m.min(), k - m.argmin(), m))
sync_variant("least of the whole table", lambda d, v, m, k: (np.median(m) - np.nanmin(d), k - m.argmin(), m))
sync_variant("means of the frames", lambda d, v, m, k: (np.median(m) - m.min(), k - m.argmin(), np.nanmean(d, 1)))
sync_variant("offset first", lambda d, v, m, k: (k - m.argmin(), np.median(m) - m.min(), m))
sync_variant(None, lambda d, v, m, k: (np.median(np.delete(m, m.argmin())) - m.min(), k - m.argmin(), m))
sync_variant(None, lambda d, v, m, k: (np.median(m) - m.min(), k + 1 - m.argmin(), m))
sync_variant(None, lambda d, v, m, k: np.median(m) - m.min())
sync_variant(None, lambda d, v, m, k: (np.median(m) - m.min(), k - m.argmin(), m - m.min()))


@wrong("sync", "even number of columns")
def any_number_of_columns(distances, valid):
    if (valid.sum(0) == 0).any():
        raise ValueError("too short")
    return three(np.nanmean(distances, 0))


@wrong("sync", "column without a pair")
def no_pair_no_matter(distances, valid):
    if distances.shape[1] % 2 == 0:
        raise ValueError("even")
    mean = np.where(valid, distances, 0).sum(0) / np.maximum(valid.sum(0), 1)
    return three(mean)


# ----------------------------------------------------------------------------------------------------- contrast

@right("contrast")
def contrast_by_loops(corpus, name, anchors, frames):
    A, m = frames.shape
    positive, negative = np.full((A, m), -np.inf), np.full((A, m), -np.inf)
    for i in range(A):
        a, row = anchors[i], frames[i]
        d = [math.sqrt(((corpus.upper[f] - corpus.upper[a]) ** 2).sum()) for f in row]
        people = {int(corpus.label["id"][f]) for f in row} - {int(corpus.label["id"][a])}
        for j, f in enumerate(row):
            same_person = corpus.label["id"][f] == corpus.label["id"][a]
            if name == "ex":
                if f == a:
                    continue
                if not same_person or not people:
                    positive[i, j] = -d[j]
                if same_person:
                    negative[i, j] = d[j]
                continue
            shared = 1.0 if sum(d) == 0 else math.exp(-d[j] * m / sum(d))
            for other in {"id", "al", "ill"} - {name}:
                shared += float(corpus.label[other][f] == corpus.label[other][a])
            if corpus.label[name][f] == corpus.label[name][a]:
                positive[i, j] = -shared
            else:
                negative[i, j] = shared
    return positive, negative


@right("contrast")
def contrast_by_all_distances(corpus, name, anchors, frames):
    d = np.take_along_axis(cdist(corpus.upper[anchors], corpus.upper), frames, 1)
    L = np.stack([corpus.label[k][frames] == corpus.label[k][anchors][:, None] for k in ("id", "al", "ill")])
    if name == "ex":
        other = ~L[0]
        other[~other.any(1)] = True
        other &= frames != anchors[:, None]
        own = L[0] & (frames != anchors[:, None])
        return [np.where(other, -d, -np.inf), np.where(own, d, -np.inf)]
    which = ["id", "al", "ill"].index(name)
    mean = d.mean(1, keepdims=True)
    near = np.exp(-np.divide(d, mean, out=np.zeros_like(d), where=mean > 0))
    shared = L.sum(0) - L[which] + near
    positive, negative = -shared, shared.copy()
    positive[~L[which]], negative[L[which]] = -np.inf, -np.inf
    return [positive, negative]


@right("contrast")
def contrast_in_torch(corpus, name, anchors, frames):
    frames, anchors = torch.tensor(frames), torch.tensor(anchors)[:, None]
    upper = torch.tensor(corpus.upper).double()
    d = (upper[frames] - upper[anchors]).square().sum(-1).sqrt()
    alike = {k: torch.tensor(v)[frames] == torch.tensor(v)[anchors] for k, v in corpus.label.items()}
    if name == "ex":
        alone = alike["id"].all(1, keepdim=True)
        itself = frames == anchors
        positive, negative = (~alike["id"] | alone) & ~itself, alike["id"] & ~itself
        up, down = -d, d
    else:
        count = sum(v.double() for k, v in alike.items() if k != name)
        down = count + torch.exp(-torch.nan_to_num(d / d.mean(1, keepdim=True)))
        up, positive, negative = -down, alike[name], ~alike[name]
    return up.masked_fill(~positive, -torch.inf).numpy(), down.masked_fill(~negative, -torch.inf).numpy()


def pairs_variant(mistake, distance=None, own="not anchor", others="others or alone", shared=None, factor=None,
                  masks=None, ex=None, labels=None, never=-np.inf):
    """A student's own version in broadcasting; each argument replaces one of its lines."""
    def function(corpus, name, anchors, frames):
        a, label = anchors[:, None], corpus.label
        d = distance(corpus, frames, a) if distance else np.linalg.norm(corpus.upper[frames] - corpus.upper[a], axis=2)
        same = {k: label[k][frames] == label[k][a] for k in label}
        if name == "ex":
            me, person = frames == a, same["id"]
            alone = person.all(1)[:, None]
            may_p = {"others or alone": np.where(alone, person & ~me, ~person), "others": ~person,
                     "own": person & ~me, "all but me": ~me, "others or alone, me": ~person | alone}[others]
            may_n = {"not anchor": person & ~me, "person": person, "others": ~person, "all but me": ~me}[own]
            p, n = ex(d) if ex else (-d, d)
            return np.where(may_p, p, never), np.where(may_n, n, never)
        mean = d.mean(1, keepdims=True)
        near = np.exp(-d / np.where(mean > 0, mean, 1))
        rest = [same[k].astype(float) for k in same if k != name]
        s = shared(d, near, rest, same[name]) if shared else near + sum(rest)
        f = same[factor or name]
        may_p, may_n = masks(f, frames == a) if masks else (f, ~f)
        p, n = labels(s) if labels else (-s, s)
        return np.where(may_p, p, never), np.where(may_n, n, never)
    WRONG.append(("contrast", function, mistake))


norm = np.linalg.norm
pairs_variant("anchor both", own="person", others="others or alone, me")
pairs_variant("anchor its own negative", own="person")
pairs_variant("anchor its own positive", others="others or alone, me")
pairs_variant("positive of the same person", others="own")
pairs_variant("positive of anybody", others="all but me")
pairs_variant("negatives of other people", own="others")
pairs_variant("negatives of anybody", own="all but me")
pairs_variant("alone, no positive", others="others")
pairs_variant("farthest positive", ex=lambda d: (d, d))
pairs_variant("nearest negatives", ex=lambda d: (-d, -d))
pairs_variant("signs of the expression", ex=lambda d: (d, -d))
pairs_variant(None, ex=lambda d: (1 / (1 + d), d))
pairs_variant(None, ex=lambda d: (np.exp(-d), 1 - np.exp(-d)))
pairs_variant("easiest negatives", labels=lambda s: (-s, -s))
pairs_variant("positive that shares much", labels=lambda s: (s, s))
pairs_variant("signs of the labels", labels=lambda s: (s, -s))
pairs_variant("negatives share the factor", masks=lambda f, me: (f, f))
pairs_variant("positive of another label", masks=lambda f, me: (~f, ~f))
pairs_variant("labels swapped", masks=lambda f, me: (~f, f))
pairs_variant("every frame", masks=lambda f, me: (f | True, f | True))
pairs_variant("anchor left out of the labels", masks=lambda f, me: (f & ~me, ~f))
pairs_variant("person for the factor", factor="id")
pairs_variant("the factor counted too", shared=lambda d, near, rest, own: near + sum(rest) + own)
pairs_variant("labels not counted", shared=lambda d, near, rest, own: near)
pairs_variant("expression not counted", shared=lambda d, near, rest, own: sum(rest))
pairs_variant("distance not divided", shared=lambda d, near, rest, own: np.exp(-d) + sum(rest))
pairs_variant("raw distance", shared=lambda d, near, rest, own: sum(rest) - d)
pairs_variant("one mean for all rows", shared=lambda d, near, rest, own: np.exp(-d / (d.mean() + 1e-9)) + sum(rest))
pairs_variant("largest for mean", shared=lambda d, near, rest, own: np.exp(
    -d / (d.max(1, keepdims=True) + 1e-9)) + sum(rest))
pairs_variant(None, shared=lambda d, near, rest, own: (near + sum(rest)) / 3)
pairs_variant(None, shared=lambda d, near, rest, own: near * rest[0] * rest[1])
pairs_variant(None, shared=lambda d, near, rest, own: 1 - near + sum(rest))
pairs_variant("squared distance", lambda c, f, a: np.square(c.upper[f] - c.upper[a]).sum(-1))
pairs_variant("sum of differences", lambda c, f, a: np.abs(c.upper[f] - c.upper[a]).sum(-1))
pairs_variant("mean under the root", lambda c, f, a: np.sqrt(np.square(c.upper[f] - c.upper[a]).mean(-1)))
pairs_variant("whole face", lambda c, f, a: norm(np.c_[c.upper, c.lips][f] - np.c_[c.upper, c.lips][a], axis=-1))
pairs_variant("lips for the upper face", lambda c, f, a: norm(c.lips[f] - c.lips[a], axis=-1))
pairs_variant(None, lambda c, f, a: norm(c.upper[f] - c.upper[a], axis=-1) + norm(c.lips[f] - c.lips[a], axis=-1))
pairs_variant("0 for -inf", never=0.0)
pairs_variant("NaN for -inf", never=np.nan)
pairs_variant(None, never=-1e9)


@wrong("contrast", "tables swapped")
def negatives_first(corpus, name, anchors, frames):
    positive, negative = contrast_by_loops(corpus, name, anchors, frames)
    return negative, positive


@wrong("contrast", "place for number")
def places(corpus, name, anchors, frames):
    return contrast_by_loops(corpus, name, anchors, np.tile(np.arange(frames.shape[1]), (len(frames), 1)))


@wrong("contrast", "row for anchor")
def rows(corpus, name, anchors, frames):
    return contrast_by_loops(corpus, name, np.arange(len(anchors)), frames)


@wrong("contrast", "first anchor for all")
def one_anchor(corpus, name, anchors, frames):
    return contrast_by_loops(corpus, name, np.full(len(anchors), anchors[0]), frames)


@wrong("contrast", "0 / 0")
def no_guard(corpus, name, anchors, frames):
    positive, negative = contrast_by_loops(corpus, name, anchors, frames)
    still = (corpus.upper[frames] == corpus.upper[anchors][:, None]).all((1, 2))[:, None]
    nan = lambda table: np.where(still & np.isfinite(table), np.nan, table)
    return (positive, negative) if name == "ex" else (nan(positive), nan(negative))


@wrong("contrast")
def first_row_only(corpus, name, anchors, frames):
    positive, negative = contrast_by_loops(corpus, name, anchors[:1], frames[:1])
    return positive.repeat(len(anchors), 0), negative.repeat(len(anchors), 0)


@wrong("contrast")
def only_the_positive(corpus, name, anchors, frames):
    return contrast_by_loops(corpus, name, anchors, frames)[0]


# ----------------------------------------------------------------------------------- types, late times, still faces

@wrong("alignment", "times in float32")
def alignment_in_single_precision(features, times, frame_times, window):
    times, frame_times = times.astype(np.float32), frame_times.astype(np.float32)
    at = frame_times[:, None] + (np.arange(window, dtype=np.float32) - (window - 1) / 2) * np.float32(0.02)
    return np.stack([np.interp(at, times, column) for column in features.T], -1).astype(np.float32)


@wrong("contrast", "anchor known by its distance")
def contrast_by_distance(corpus, name, anchors, frames):
    d = np.linalg.norm(corpus.upper[frames] - corpus.upper[anchors][:, None], axis=-1)
    same = {k: v[frames] == v[anchors][:, None] for k, v in corpus.label.items()}
    if name == "ex":
        own = same["id"] & ~(d == 0)
        positive = np.where(same["id"].all(1)[:, None], own, ~same["id"])
        return np.where(positive, -d, -np.inf), np.where(own, d, -np.inf)
    mean = d.mean(1, keepdims=True)
    shared = np.exp(-d / np.where(mean > 0, mean, 1.0))
    shared = shared + sum(same[k] for k in ("id", "al", "ill") if k != name)
    return np.where(same[name], -shared, -np.inf), np.where(same[name], -np.inf, shared)
