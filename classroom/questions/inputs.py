"""inputs.py - exercises on what comes into the field: pose, light and sound (Sec. 3.1, 3.2, 4.1).

Oracles: Rodrigues' formula, a scaled orthographic camera, light as a polynomial of the normal,
numpy.interp. checks.py says what a Probe and an exercise are. Read next: the stubs that they judge,
../stubs.py.
"""
import math

import numpy as np
from scipy.spatial.transform import Rotation

from classroom.checks import Probe, exercise

FLIP = np.diag([1.0, -1.0, -1.0])


def rodrigues(w):
    """Rotation matrices (T, 3, 3) of rotation vectors w (T, 3).

    R v = v cos a + (n x v) sin a + n (n.v) (1 - cos a).
    """
    out = []
    for row in w:
        a = np.linalg.norm(row)
        n = row / max(a, 1e-12)
        cross = np.array([[0, -n[2], n[1]], [n[2], 0, -n[0]], [-n[1], n[0], 0]])
        out.append(math.cos(a) * np.eye(3) + math.sin(a) * cross
                   + (1 - math.cos(a)) * np.outer(n, n))
    return np.array(out)


def some_poses():
    """Rotation vectors and positions of three heads: turned, nodding, tilted.

    x, y up, z to the viewer.
    """
    w = np.array([[0.1, 0.5, -0.2], [-0.4, 0.1, 0.05], [0.05, -0.3, 0.4]])
    return w, np.array([[0.2, -0.1, -6.0], [-0.3, 0.4, -7.0], [0.1, 0.2, -5.0]])


# ---------------------------------------------------------------------------------- pose, Sec. 3.2

def cameras(R, t):
    out = np.tile(np.eye(4), (len(R), 1, 1))
    out[:, :3, :3], out[:, :3, 3] = R, t
    return out


@exercise(
    "camera", "medium", "P_cam, the inverse of the head pose",
    task="pose: [rotation vector w (3), position p (3)] of each frame. R(w) is its rotation matrix "
         "(scipy: Rotation.from_rotvec(w).as_matrix()). FLIP turns y up, z to the viewer into "
         "OpenCV's y down, z forward; it is its own inverse. The result is (T, 4, 4), last row "
         "0 0 0 1: X_head = A X_cam + t, A its upper left 3 x 3 block and t its fourth column.",
    hint="Solve X_cam = FLIP (R(w) X_head + p) for X_head; a rotation's inverse is its transpose.",
    mistakes={
        "rotation not inverted": "P_cam takes the camera's points to the head: invert R(w).",
        "position not turned": "The position has to be turned too: t = -R^T p, not -p.",
        "position with the wrong sign": "The camera is where the head is not: t = -R^T p.",
        "axes not flipped": "Camera axes are OpenCV's, y down and z forward: FLIP is missing.",
        "flip on the wrong side": "FLIP acts on X_cam first, so it stands to the right of R^T."})
def camera(camera_to_head):
    frontal = np.array([[0, 0, 0, 0.2, -0.1, -6.0]])
    p = frontal[0, 3:]
    yield Probe("a frontal head at (0.2, -0.1, -6)", lambda: camera_to_head(frontal.copy()),
                cameras([FLIP], [-p]),
                {"position with the wrong sign": cameras([FLIP], [p]),
                 "axes not flipped": cameras([np.eye(3)], [-p])})
    w, u = some_poses()
    R = rodrigues(w)
    R_T = R.transpose(0, 2, 1)
    t = -np.einsum("tij,tj->ti", R_T, u)
    yield Probe("three turned heads", lambda: camera_to_head(np.c_[w, u]), cameras(R_T @ FLIP, t),
                {"rotation not inverted": cameras(R @ FLIP, -np.einsum("tij,tj->ti", R, u)),
                 "position not turned": cameras(R_T @ FLIP, -u),
                 "position with the wrong sign": cameras(R_T @ FLIP, -t),
                 "axes not flipped": cameras(R_T, t),
                 "flip on the wrong side": cameras(FLIP @ R_T, t)})


RIGID = np.r_[0, 16, 27:36, 36, 39, 42, 45]
K = np.array([[900.0, 0, 250], [0, 900, 260], [0, 0, 1]])


def orthographic(points, w, u):
    """Landmarks (T, N, 2) px of head points (N, 3) or (T, N, 3): one scale -1 / u_z per frame."""
    turned = points @ rodrigues(w).transpose(0, 2, 1)  # (T, N, 3)
    xy = (turned + u[:, None])[..., :2] / -u[:, None, 2:]
    return np.stack([K[0, 2] + 900 * xy[..., 0], K[1, 2] - 900 * xy[..., 1]], -1)


def fitted_pose(landmarks, mean, points):
    """What a least-squares fit through `points` finds, one frame at a time."""
    out, design = [], np.c_[mean[points], np.ones(len(points))]
    for frame in landmarks:
        target = (frame[points] - K[:2, 2]) / [900, -900]
        x, y = np.linalg.lstsq(design, target, rcond=None)[0].T  # (4,) each
        s = (np.linalg.norm(x[:3]) + np.linalg.norm(y[:3])) / 2
        U, _, Vt = np.linalg.svd(np.stack([x[:3], y[:3], np.cross(x[:3], y[:3]) / s]))
        out.append(np.r_[Rotation.from_matrix(U @ Vt).as_rotvec(), x[3] / s, y[3] / s, -1 / s])
    return np.array(out)


def pose_mistakes(w, u):
    """Poses (T, 6) that the known mistakes lead to."""
    s, flipped = -1 / u[:, 2:], Rotation.from_matrix(FLIP @ rodrigues(w)).as_rotvec()
    centre = K[:2, 2] / 900 * [1, -1] / s
    return {"rotation transposed": np.c_[-w, u], "y down": np.c_[flipped, u * [1, -1, 1]],
            "position not divided by the scale": np.c_[w, u[:, :2] * s, u[:, 2]],
            "scale for depth": np.c_[w, u[:, :2], -s],
            "head behind the camera": np.c_[w, u[:, :2], -u[:, 2]],
            "principal point forgotten": np.c_[w, u[:, :2] + centre, u[:, 2]]}


@exercise(
    "pose", "hard", "head pose from 68 landmarks",
    task="A first guess of the pose, without iterations. mean: the neutral face, y up, z to the "
         "viewer. A landmark is (u, v); c_x = K[0, 2] and f = K[0, 0] belong to u, c_y = K[1, 2] "
         "and f = K[1, 1] to v. The result is [rotation vector w (3), position p (3)] of each "
         "frame, so that a head point X lies at R(w) X + p, and p_z = -1 / s. A head is shallow "
         "against its distance, so all its points share one scale s. Fit (u - c_x) / f and "
         "(c_y - v) / f by least squares as linear in (X, 1), per frame. Two rows of length s "
         "should come out; landmarks are not exact, so take the mean of their two lengths for s "
         "and the nearest rotation for R. Fit through what the skull carries and speech does not "
         "move: landmarks 0, 16, 27, 28, ..., 35, 36, 39, 42, 45.",
    hint="The fit gives a 2 x 4 matrix: three columns are s times the first two rows of R, the "
         "fourth is s p_xy. The third row of R is the cross product of the first two (give all "
         "three rows the length s). The nearest rotation to a matrix U S V^T (its SVD) is U V^T; "
         "Rotation.from_matrix(...).as_rotvec() gives w.",
    mistakes={
        "rotation transposed": "The rows that were fitted are rows of R, not columns.",
        "y down": "Pixels count downwards, the head's y goes up: (c_y - v) / f.",
        "position not divided by the scale": "The fit's constant is s p_xy: divide by s.",
        "scale for depth": "Far away is small: the depth is 1 / s.",
        "head behind the camera": "The camera looks along -z: the head is at negative z.",
        "cross product in the other order": "The third row is the first cross the second; in the "
                                            "other order the three are a mirror image.",
        "principal point forgotten": "Pixels are measured from the principal point (c_x, c_y).",
        "all points used": "An opening mouth turns this head: fit through what the skull carries.",
        "landmark 35 left out": "27 to 35 includes 35, range(27, 35) does not: range(27, 36)."})
def pose(initial_pose):
    mean = np.random.default_rng(0).normal(size=(68, 3)) * [0.5, 0.6, 0.4]
    w, u = some_poses()
    zero, ahead = np.array([[0.0, 0.02, 0]]), np.array([[0.3, -0.2, -8.0]])
    mirrored = {"cross product in the other order": "determinant"}  # scipy refuses a mirror image

    def answer(landmarks):
        return lambda: initial_pose(landmarks.copy(), mean, K)

    known = pose_mistakes(zero, ahead)
    del known["y down"]
    yield Probe("a nearly frontal head, 8 dm away", answer(orthographic(mean, zero, ahead)),
                np.c_[zero, ahead], known, mirrored)
    yield Probe("three turned heads", answer(orthographic(mean, w, u)), np.c_[w, u],
                pose_mistakes(w, u), mirrored)
    talking = np.tile(mean, (3, 1, 1))
    soft = np.setdiff1d(np.arange(68), RIGID)
    talking[:, soft] += np.array([0.0, -0.2, 0.1])
    seen = orthographic(talking, w, u)
    yield Probe("the same heads, all soft points moved down by 0.2 dm", answer(seen), np.c_[w, u],
                {"all points used": fitted_pose(seen, mean, np.arange(68)),
                 "landmark 35 left out": np.c_[w, u]})
    seen = seen + np.random.default_rng(1).normal(size=seen.shape)
    seen[:, 35] += [30, -20]
    yield Probe("the same, each landmark off by about 1 px and 35 by 36 px", answer(seen),
                fitted_pose(seen, mean, RIGID),
                {"landmark 35 left out": fitted_pose(seen, mean, RIGID[RIGID != 35])},
                tolerance=1e-4)


# ---------------------------------------------------------------------------------- light, Sec. 4.1

FACTORS = np.array([math.sqrt(v / math.pi)
                    for v in (1/4, 3/4, 3/4, 3/4, 15/4, 15/4, 5/16, 15/4, 15/16)])


def harmonics(x, y, z):
    return [1, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]


def some_directions():
    n = np.random.default_rng(3).normal(size=(2, 4, 3))
    return n / np.linalg.norm(n, axis=-1, keepdims=True)


@exercise(
    "light", "easy", "spherical-harmonic light",
    task="A light is 9 numbers a colour, the code C_ill of the ground truth: the shading at a "
         "normal n is the sum of the 9 harmonics at n, each times its number. SH_CONSTANTS has the "
         "9 factors in the order of the docstring.",
    hint="Write the nine polynomials down in order, stack them along a new last axis.",
    mistakes={
        "order x, y, z": "The order of degree 1 is y, z, x (m = -1, 0, 1).",
        "without the constants": "Each polynomial has its factor, so that the harmonics are "
                                 "orthonormal.",
        "3z^2 without -1": "The seventh is 3z^2 - 1; otherwise it also holds a part of the "
                           "constant light.",
        "y^2 - x^2": "The last one is x^2 - y^2."})
def light(sh_basis):
    up, directions = np.array([0.0, 1.0, 0.0]), some_directions()
    want = np.array([[harmonics(*n) for n in row] for row in directions])
    each = {"order x, y, z": want[..., [0, 3, 1, 2, 4, 5, 6, 7, 8]] * FACTORS,
            "without the constants": want,
            "3z^2 without -1": (want + np.eye(9)[6]) * FACTORS,
            "y^2 - x^2": want * (1 - 2 * np.eye(9)[8]) * FACTORS}
    a, b, c, d = FACTORS[[0, 1, 6, 8]]
    yield Probe("the direction straight up", lambda: sh_basis(up.copy()),
                [a, b, 0, 0, 0, 0, -c, 0, -d],
                {"order x, y, z": [a, 0, b, 0, 0, 0, -c, 0, -d],
                 "without the constants": [1, 1, 0, 0, 0, 0, -1, 0, -1],
                 "3z^2 without -1": [a, b, 0, 0, 0, 0, 0, 0, -d],
                 "y^2 - x^2": [a, b, 0, 0, 0, 0, -c, 0, d]})
    yield Probe("2 x 4 directions", lambda: sh_basis(directions.copy()), want * FACTORS, each)


def turned_light(sh, R, vector=True, quadric=True):
    """Degree 1 is a vector v, degree 2 a symmetric matrix M: light(n) = c + n.v + n.Mn.

    Turned: R^T v and R^T M R.
    """
    f, out = FACTORS, sh.copy()
    for channel in range(3):
        c = sh[:, channel] * f
        v = R.T @ c[[3, 1, 2]]
        M = np.array([[c[8] - c[6], c[4] / 2, c[7] / 2], [c[4] / 2, -c[8] - c[6], c[5] / 2],
                      [c[7] / 2, c[5] / 2, 2 * c[6]]])
        M = R.T @ M @ R
        if vector:
            out[[3, 1, 2], channel] = v / f[1]
        if quadric:
            out[4:, channel] = np.array([2 * M[0, 1], 2 * M[1, 2], M[2, 2] / 2, 2 * M[0, 2],
                                         (M[0, 0] - M[1, 1]) / 2]) / f[4:]
    return out


@exercise(
    "light_turned", "hard", "the light of a room seen from a turning head",
    task="Given (`sh_basis`): the 9 harmonics at directions (..., 3). A rotation mixes the "
         "harmonics of one degree only, so the new light is a light of 9 numbers again, exactly.",
    hint="Shade many directions with the turned light, then find by least squares the 9 numbers "
         "that shade so unturned.",
    mistakes={
        "rotation transposed": "The result at n is the old light at R n; this is the old light at "
                               "R^T n.",
        "not turned": "The light comes out as it went in.",
        "degree 2 left as it was": "The last five numbers turn as well.",
        "degree 1 taken as x, y, z": "Numbers 1 to 3 belong to y, z, x: a rotation cannot be "
                                     "applied to them as they stand."})
def light_turned(rotate_light):
    sh = np.random.default_rng(5).normal(size=(9, 3)).astype(np.float32)
    R = rodrigues(np.array([[0.3, -0.8, 0.4]]))[0]
    right = np.zeros((9, 3), np.float32)
    right[3] = 1.0  # from +x
    quarter = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # about y, z to x
    from_z = right[[0, 1, 3, 2, *range(4, 9)]]
    yield Probe("a light from +x, the head turned by a quarter so that its z axis lies there",
                lambda: rotate_light(right.copy(), quarter), from_z,
                {"rotation transposed": -from_z, "not turned": right}, tolerance=1e-4)
    naive = turned_light(sh.astype(float), R)
    naive[1:4] = R.T @ sh[1:4]
    want = turned_light(sh.astype(float), R)
    yield Probe("a random light and turn", lambda: rotate_light(sh.copy(), R), want,
                {"rotation transposed": turned_light(sh.astype(float), R.T), "not turned": sh,
                 "degree 2 left as it was": turned_light(sh.astype(float), R, quadric=False),
                 "degree 1 taken as x, y, z": naive}, tolerance=1e-4)


# ---------------------------------------------------------------------------------- sound, Sec. 3.1

def read_at(features, times, at):
    """features (n, d) at times `at` (T, w): numpy.interp, column by column."""
    return np.stack([np.interp(at, times, column) for column in features.T], -1)


def alignment_mistakes(features, times, frame_times, window):
    """F_A (T, w, d) as the known mistakes make it, away from the ends of the sound."""
    step, k = 0.02, np.arange(window)
    at = frame_times[:, None] + (k - (window - 1) / 2) * step
    by_index = times[:len(frame_times), None] + (k - (window - 1) / 2) * step
    left = np.searchsorted(times, at, side="right") - 1
    share = ((at - times[left]) / step)[..., None]
    nearest = np.abs(times - at[..., None]).argmin(-1)
    shifted = lambda offsets: read_at(features, times, frame_times[:, None] + offsets)
    return {"paired by index": read_at(features, times, by_index),
            "nearest vector": features[nearest],
            "window starts at the frame": shifted(k * step),
            "half a step off": shifted((k - window / 2) * step),
            "window backwards": shifted(((window - 1) / 2 - k) * step),
            "step in ms": shifted((k - (window - 1) / 2) * 1000 * step),
            "neighbours swapped": share * features[left] + (1 - share) * features[left + 1],
            "first vector at 0 s": read_at(features, times - times[0], at)}


@exercise(
    "alignment", "medium", "sound features of each video frame, F_A",
    task="times (n,) are the times of the n vectors in seconds; take them as they are, HuBERT's "
         "first lies at 12.5 ms, not at 0. STEP = 0.02 s lies between the vectors of a window. "
         "Return float32.",
    hint="First the times (T, w) at which F_A is wanted, then one interpolation for all. "
         "numpy.interp does one column.",
    mistakes={
        "paired by index": "Vector i does not belong to frame i: there are 50 vectors a second and "
                           "24 to 60 frames. Pair by time stamps.",
        "window starts at the frame": "The window is centred on the frame: it sees the sound "
                                      "before and after it.",
        "half a step off": "The middle of vectors 0 ... w - 1 is (w - 1) / 2. With w / 2, or "
                           "w // 2 where w is even, the window lies half a step (10 ms) too early.",
        "window backwards": "Vector k lies (k - (w - 1)/2) 0.02 seconds after the frame; these run "
                            "back in time.",
        "step in ms": "Times are in seconds, and a step is 0.02 s: vector k lies "
                      "(k - (w - 1)/2) 0.02 seconds after the frame.",
        "nearest vector": "Interpolate between the two neighbours; the nearest vector makes the "
                          "lips jump.",
        "neighbours swapped": "The nearer neighbour has the larger weight.",
        "first vector at 0 s": "The first vector lies at times[0], which is not 0.",
        "beyond the ends": "Before the first and after the last vector, that vector is repeated, "
                           "nothing is extrapolated.",
        "zeros beyond the ends": "Before the first and after the last vector, that vector is "
                                 "repeated; zeros would be a sound of their own.",
        "no array": "Return a NumPy array.",
        "not float32": "Return float32: .astype(np.float32)."})
def alignment(align_to_frames):
    times = 0.0125 + 0.02 * np.arange(60)
    features = np.random.default_rng(1).normal(size=(60, 3))
    frame_times = 0.2 + np.arange(20) / 29.97  # 20 frames in the middle of the sound
    at = frame_times[:, None] + (np.arange(4) - 1.5) * 0.02
    clock = np.repeat(times[:, None], 2, 1)  # features that tell the time
    for what, values in (("features that are their own time", clock),
                         ("random features", features)):
        want = read_at(values, times, at)
        yield Probe(f"20 frames at 29.97 a second, windows of 4, {what}",
                    lambda: align_to_frames(values.copy(), times.copy(), frame_times.copy(), 4),
                    want,
                    alignment_mistakes(values, times, frame_times, 4)
                    | {"no array": want, "not float32": want}, tolerance=1e-4)
    ends = np.array([0.0, 1.3])
    outside = np.stack([features[0] + (features[1] - features[0]) * (0.0 - times[0]) / 0.02,
                        features[-1] + (features[-1] - features[-2]) * (1.3 - times[-1]) / 0.02])
    yield Probe("a frame before the first and one after the last vector",
                lambda: align_to_frames(features.copy(), times.copy(), ends.copy(), 1),
                features[[0, -1], None],
                {"beyond the ends": outside[:, None],
                 "zeros beyond the ends": np.zeros((2, 1, 3))}, tolerance=1e-4)
    ask = lambda: align_to_frames(features.copy(), times.copy(), frame_times.copy(), 4)
    yield Probe("is the result an np.ndarray: 1 if so, else 0",
                lambda: float(isinstance(ask(), np.ndarray)), 1.0, {"no array": 0.0})
    yield Probe("bytes that one number of the result takes", lambda: np.asarray(ask()).itemsize,
                4.0, {"not float32": 8.0}, meaning="float32")


# ----------------------------------------------------------------------------------- Sync, Sec. 4.3

@exercise(
    "sync", "medium", "SyncNet's confidence and offset",
    task="Given distances between the picture of each frame and the sounds around it: column j "
         "belongs to a sound that is j - k frames later, n = 2k + 1. distances is NaN where valid "
         "is False. Return (confidence, offset, mean distances (n,)): a float, an int, an array.",
    hint="Means down the columns over the valid entries first, everything else from these n "
         "numbers.",
    mistakes={
        "a confidence for each frame": "The means over the frames come first, then one median and "
                                       "one minimum. In a single frame the least distance is "
                                       "mostly luck.",
        "mean for median": "The median over the shifts, not their mean: a few near shifts would "
                           "pull a mean down.",
        "largest for median": "The median over the shifts, not the largest.",
        "offset with the other sign": "Positive where the picture is late: then it fits an earlier "
                                      "sound, j < k.",
        "index for offset": "The middle column k is offset 0.",
        "missing pairs counted": "Divide each column by the number of its valid entries, not by "
                                 "the number of frames."})
def sync(sync_confidence):
    table = np.array([[9.0, 8, 7, 4, 9], [8, 9, 8, 3, 8], [9, 3, 7, 2, 7], [2, 8, 6, 1, 8]])
    everything, some = np.ones((4, 5), bool), np.ones((4, 5), bool)
    some[0, :2] = some[3, 3:] = False  # no sound before the clip begins and after it ends
    for situation, valid in (("4 frames, 5 shifts", everything),
                             ("the same with pairs missing at the ends", some)):
        rows = np.where(valid, table, np.nan)
        mean = np.array([column[v].mean() for column, v in zip(table.T, valid.T)])
        short = np.where(valid, table, 0).sum(0) / 4
        confidence = lambda m: sorted(m)[2] - min(m)
        ask = lambda: sync_confidence(rows.copy(), valid.copy())
        known = {"a confidence for each frame": (np.nanmedian(rows, 1) - np.nanmin(rows, 1)).mean(),
                 "mean for median": mean.mean() - min(mean),
                 "largest for median": max(mean) - min(mean)}
        shown = {} if valid.all() else {"missing pairs counted": confidence(short)}
        yield Probe(f"confidence, {situation}", lambda: ask()[0], confidence(mean), known | shown)
        yield Probe(f"offset, {situation}", lambda: ask()[1], -1.0,
                    {"offset with the other sign": 1.0, "index for offset": 3.0})
        yield Probe(f"mean distances, {situation}", lambda: ask()[2], mean,
                    {"missing pairs counted": short} if shown else {})
