"""Sec. 3.2: pose, camera and F_exp from landmarks; the mask of Eq. 5.

Oracle of the geometry: a face made here, projected point by point with scalar arithmetic
(`camera_sees`).
"""
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.spatial.transform import Rotation

import tracking
from tools.landmarks import load_landmarks
from tools.media import read_frames, video_info, write_video

REPOSITORY = Path(__file__).parent.parent
CLIP = REPOSITORY / "../shared/data/real_clip.mp4"
SIZE, FOCAL = 512, 1024.0
IBUG_MIRROR = np.r_[16:-1:-1, 26:16:-1, 27:31, 35:30:-1, 45:41:-1, 47, 46, 39:35:-1, 41, 40,
                    54:47:-1, 59:54:-1, 64:59:-1, 67:64:-1]


# ---- a synthetic face and its projection ---------------------------------------------------------
def half_and_mirror(half):
    return np.concatenate([half, half[::-1] * [-1, 1, 1]])


def neutral_face():
    """A plausible face, head frame, dm: origin between the jaw ends, outer eye corners 0.9 off."""
    a = np.linspace(-np.pi / 2, np.pi / 2, 17)
    jaw = np.c_[0.72 * np.sin(a), -1.25 * np.cos(a), 0.8 * np.cos(a)]
    brow = [[-.62, .2, .55], [-.5, .27, .66], [-.4, .28, .7], [-.27, .26, .75], [-.13, .23, .78]]
    brows = half_and_mirror(np.array(brow))
    bridge = np.c_[np.zeros(4), [0, -.13, -.26, -.4], [.78, .86, .95, 1.02]]
    base = np.array([[-.15, -.5, .84], [-.08, -.52, .88], [0, -.53, .91]])
    base = half_and_mirror(base)[[0, 1, 2, 4, 5]]
    eye = np.array([[-.45, -.05, .6], [-.36, -.01, .66], [-.25, -.01, .68],
                    [-.16, -.06, .65], [-.25, -.09, .67], [-.36, -.09, .65]])
    other_eye = (eye * [-1, 1, 1])[[3, 2, 1, 0, 5, 4]]
    b = np.linspace(np.pi, -np.pi, 13)[:12]
    lips = np.c_[.26 * np.cos(b), -.8 + .1 * np.sin(b), .84 - .15 * np.cos(b) ** 2]
    c = np.linspace(np.pi, -np.pi, 9)[:8]
    inner = np.c_[.21 * np.cos(c), -.8 + .02 * np.sin(c), .83 - .12 * np.cos(c) ** 2]
    face = np.concatenate([jaw, brows, bridge, base, eye, other_eye, lips, inner])
    return face - (face[0] + face[16]) / 2


def face_model():
    """The face, four expressions (jaw, lip width, brows, lids), three directions of identity."""
    mean = neutral_face()
    exp = np.zeros((4, 68, 3))
    exp[0, np.r_[5:12, 55:60, 65:68]] = [0, -.12, -.03]
    exp[1, 48:, 0] = mean[48:, 0] * 0.2
    exp[2, 17:27, 1] = 0.06
    exp[3, [37, 38, 43, 44], 1] = -0.05
    identity = np.stack([mean * axis * 0.06 for axis in np.eye(3)])
    return tracking.LandmarkModel(mean, identity, exp)


def camera_sees(point, yaw, pitch, roll, position):
    """Scalar projection of one head point, px. Radians; position: right, up, away (dm)."""
    x, y, z = point
    x, y = x * math.cos(roll) - y * math.sin(roll), x * math.sin(roll) + y * math.cos(roll)
    y, z = y * math.cos(pitch) - z * math.sin(pitch), y * math.sin(pitch) + z * math.cos(pitch)
    x, z = x * math.cos(yaw) + z * math.sin(yaw), -x * math.sin(yaw) + z * math.cos(yaw)
    right, up, away = x + position[0], y + position[1], position[2] - z
    return [SIZE / 2 + FOCAL * right / away, SIZE / 2 - FOCAL * up / away]


def spoken_motion(T, fps=25.0):
    """Angles (T, 3) in degrees, positions (T, 3) in dm, f_exp (T, 4) of a smooth, varied clip."""
    t = np.arange(T) / fps
    angles = np.c_[15 * np.sin(2 * t), 8 * np.sin(1.3 * t + 1), 5 * np.sin(1.7 * t + 2)]
    positions = np.c_[0.2 * np.sin(t), 0.1 * np.cos(1.2 * t), 6.4 + 0.2 * np.sin(0.9 * t)]
    blinks = (np.sin(3 * t) > 0.97) * 1.0
    f_exp = np.c_[np.sin(9 * t) ** 2 * 1.5, np.sin(6 * t + 1), 0.5 * np.sin(2 * t), blinks]
    return angles, positions, f_exp


def landmarks_of(shape, model, angles, positions, f_exp, noise=0.0, seed=0):
    moved = shape + np.tensordot(f_exp, model.exp_basis, 1)  # (T, 68, 3)
    seen = [[camera_sees(p, *np.radians(a), position) for p in frame]
            for frame, a, position in zip(moved, angles, positions)]
    return np.array(seen) + noise * np.random.default_rng(seed).normal(size=(len(seen), 68, 2))


def run(landmarks, model, fps=25.0):
    return tracking.track(landmarks, (SIZE, SIZE), fps, model)


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


# ---- pose, shape, expression ---------------------------------------------------------------------
@pytest.mark.parametrize("expressive", [False, True])
def test_known_pose_shape_and_expression_are_recovered_from_noisy_landmarks(expressive):
    model = face_model()
    angles, positions, f_exp = spoken_motion(150)
    f_exp *= expressive
    found = run(landmarks_of(model.mean, model, angles, positions, f_exp, noise=0.7), model)
    assert rms(tracking.head_pose(found.cam_to_head) - angles) < 0.5  # degrees
    distance = np.linalg.norm(found.cam_to_head[:, :3, 3], axis=1)
    assert rms(distance / np.linalg.norm(positions, axis=1) - 1) < 0.02
    off = np.linalg.norm(found.shape - model.mean, axis=1).mean()
    assert off < 0.02 * 2.4  # 2 % of the head's height
    if expressive:
        for k in (0, 1):
            assert np.corrcoef(found.f_exp[:, k], f_exp[:, k])[0, 1] > 0.98
    else:
        assert rms(found.f_exp) < 0.15


def test_another_persons_shape_is_refined_and_the_scale_is_the_eye_distance():
    model = face_model()
    rng = np.random.default_rng(3)
    person = model.mean + np.tensordot([1, -1, 1], model.id_basis, 1)
    person += 0.03 * rng.normal(size=(68, 3))
    person -= (person[0] + person[16]) / 2
    person *= 0.9 / np.linalg.norm(person[36] - person[45])
    angles, positions, f_exp = spoken_motion(150)
    found = run(landmarks_of(person, model, angles, positions, f_exp, noise=0.5), model)
    assert np.linalg.norm(found.shape[36] - found.shape[45]) == pytest.approx(0.9)
    assert np.allclose(found.shape[0] + found.shape[16], 0, atol=1e-9)
    before = np.linalg.norm(model.mean - person, axis=1).mean()
    after = np.linalg.norm(found.shape - person, axis=1).mean()
    assert after < 0.6 * before, f"mean 3D error {before:.3f} dm before, {after:.3f} after"
    move = tracking.head_pose(found.cam_to_head) - angles
    assert rms(move - move.mean(0)) < 0.6  # up to a constant turn


def test_depth_is_not_inflated_when_the_head_hardly_moves():
    """A person unlike the mean, turns of 1.5 degrees: the prior gives what the images do not show.

    Without its spring and its damping the adjustment shrinks the face and keeps its depth: then the
    error is 0.26 dm.
    """
    model, rng = face_model(), np.random.default_rng(0)
    person = model.mean + 0.2 * rng.normal(size=(68, 3))
    person = (person + person[IBUG_MIRROR] * [-1, 1, 1]) / 2
    person -= (person[0] + person[16]) / 2
    person *= 0.9 / np.linalg.norm(person[36] - person[45])
    angles, positions, f_exp = spoken_motion(120)
    found = run(landmarks_of(person, model, 0.1 * angles, positions, f_exp, noise=0.5), model)
    assert np.linalg.norm(found.shape - person, axis=1).mean() < 0.21  # dm; the mean face: 0.43


def test_a_frontal_head_is_the_camera_of_the_conventions():
    model = face_model()
    still = np.zeros((12, 3)), np.tile([0.0, 0, 7], (12, 1)), np.zeros((12, 4))
    found = run(landmarks_of(model.mean, model, *still), model)
    assert np.allclose(found.cam_to_head[:, :3, :3], np.diag([1, -1, -1]), atol=2e-3)
    assert np.allclose(found.cam_to_head[:, :3, 3], [0, 0, 7], atol=0.05)


def test_cam_to_head_is_the_inverse_of_the_head_pose():
    """The paper's P_cam: the inverse is written out, and projects the fitted face by scalars."""
    model = face_model()
    found = run(landmarks_of(model.mean, model, *spoken_motion(30)), model)
    for t in (0, 17, 29):
        R, at = found.cam_to_head[t, :3, :3], found.cam_to_head[t, :3, 3]
        assert np.allclose(R @ R.T, np.eye(3), atol=1e-9) and np.linalg.det(R) == pytest.approx(1)
        head = found.shape + sum(f * b for f, b in zip(found.f_exp[t], found.exp_basis))
        fitted = []
        for X in head:
            x, y, z = (sum(R[i, k] * (X[i] - at[i]) for i in range(3)) for k in range(3))
            fitted.append([FOCAL * x / z + SIZE / 2, FOCAL * y / z + SIZE / 2])  # of R^T (X - t)
        seen = landmarks_of(model.mean, model, *(x[t:t + 1] for x in spoken_motion(30)))[0]
        error = np.linalg.norm(np.array(fitted) - seen, axis=1).mean()
        assert error < 1.0 and error == pytest.approx(found.residual[t], abs=1e-6)  # px


def test_an_opening_mouth_that_the_basis_does_not_know_hardly_turns_the_head():
    model = face_model()
    strange = model.exp_basis.copy()
    strange[0, np.r_[6:11, 56:59, 65:68]] = [0, -.2, .05]
    T = 100
    still = np.zeros((T, 3)), np.tile([0.0, 0, 6.4], (T, 1))
    f_exp = np.zeros((T, 4))
    f_exp[:, 0] = np.sin(np.arange(T) * 0.4) ** 2
    stranger = tracking.LandmarkModel(model.mean, model.id_basis, strange)
    talking = landmarks_of(model.mean, stranger, *still, f_exp)
    pose = tracking.head_pose(run(talking, model).cam_to_head)
    assert np.ptp(pose, axis=0).max() < 0.5  # degrees


def test_smoothing_does_not_lag():
    """A nod of 1 Hz in noise: the track's phase at 1 Hz is the truth's, its size nearly."""
    model = face_model()
    t = np.arange(100) / 25
    angles = np.c_[0 * t, 6 * np.sin(2 * np.pi * t), 0 * t]
    place = np.tile([0.0, 0, 6.4], (100, 1))
    seen = landmarks_of(model.mean, model, angles, place, np.zeros((100, 4)), noise=1.0)
    pitch = tracking.head_pose(run(seen, model).cam_to_head)[:, 1]
    ratio = np.sum(pitch * np.exp(-2j * np.pi * t)) / np.sum(angles[:, 1] * np.exp(-2j * np.pi * t))
    lag = -np.angle(ratio) / (2 * np.pi)  # seconds
    assert abs(lag) < 0.002, f"lags {1000 * lag:.1f} ms"
    assert 0.93 < abs(ratio) < 1.07


def test_smoothing_takes_noise_away(monkeypatch):
    model = face_model()
    still = np.zeros((100, 3)), np.tile([0.0, 0, 6.4], (100, 1)), np.zeros((100, 4))
    seen = landmarks_of(model.mean, model, *still, noise=1.5)

    def shake():
        cameras = run(seen, model).cam_to_head
        angles, depth = tracking.head_pose(cameras), cameras[:, 2, 3]
        return np.array([rms(np.diff(angles, n=2, axis=0)), rms(np.diff(depth, n=2))])
    smooth = shake()
    monkeypatch.setattr(tracking, "POSE_ACCELERATION", np.full(6, 1e6))
    assert (smooth < shake() / [4, 10]).all()


def test_missing_frames_are_not_valid_and_bridged():
    model = face_model()
    angles, positions, f_exp = spoken_motion(120)
    seen = landmarks_of(model.mean, model, angles, positions, f_exp, noise=0.3)
    gone = np.r_[0, 40:44, 119]
    seen[gone] = np.nan
    seen[80, 5, 0] = np.nan  # one number is enough
    found = run(seen, model)
    assert np.flatnonzero(~found.valid).tolist() == [0, 40, 41, 42, 43, 80, 119]
    assert np.array_equal(np.isfinite(found.residual), found.valid)
    assert np.isnan(found.residual[~found.valid]).all()
    assert np.isfinite(found.cam_to_head).all() and np.isfinite(found.f_exp).all()
    assert np.abs(tracking.head_pose(found.cam_to_head) - angles).max() < 2.0


def test_a_long_gap_at_the_end_keeps_the_head_where_it_was():
    model = face_model()
    seen = landmarks_of(model.mean, model, *spoken_motion(150))
    seen[30:] = np.nan
    pose = tracking.head_pose(run(seen, model).cam_to_head)
    assert np.abs(pose[30:] - pose[29]).max() < 15


def test_outlier_landmarks_do_not_turn_the_head():
    model = face_model()
    angles, positions, f_exp = spoken_motion(80)
    seen = landmarks_of(model.mean, model, angles, positions, f_exp, noise=0.3)
    rng = np.random.default_rng(1)
    for t in range(0, 80, 5):
        seen[t, rng.choice(68, 6, replace=False)] += rng.normal(0, 60, (6, 2))
    assert np.abs(tracking.head_pose(run(seen, model).cam_to_head) - angles).max() < 2.0


@pytest.mark.parametrize("T", [1, 2, 3])
def test_very_short_clips(T):
    model = face_model()
    angles, positions, f_exp = spoken_motion(T)
    found = run(landmarks_of(model.mean, model, angles, positions, 0 * f_exp), model)
    assert found.cam_to_head.shape == (T, 4, 4)
    assert np.abs(tracking.head_pose(found.cam_to_head) - angles).max() < 4


def test_track_without_any_face_is_an_error():
    with pytest.raises(ValueError, match="no frame"):
        run(np.full((4, 68, 2), np.nan), face_model())


def test_derivatives_agree_with_finite_differences():
    model, rng = face_model(), np.random.default_rng(0)
    K = np.array([[FOCAL, 0, 256], [0, FOCAL, 256], [0, 0, 1.0]])
    unknowns = np.array([[0.3, -0.5, 0.2, 0.1, -0.2, -6.0, 0.5, -0.3, 0.2, 0.1]])
    at, by_unknowns, by_shape = tracking.linearise(unknowns, model.mean, model.exp_basis, K)
    step = 1e-6 * rng.normal(size=unknowns.shape)
    moved = tracking.linearise(unknowns + step, model.mean, model.exp_basis, K)[0]
    assert np.allclose((moved - at)[0], by_unknowns[0] @ step[0], rtol=1e-3, atol=1e-8)
    nudge = 1e-6 * rng.normal(size=(68, 3))
    moved = tracking.linearise(unknowns, model.mean + nudge, model.exp_basis, K)[0]
    want = np.einsum("pij,pj->pi", by_shape[0], nudge)
    assert np.allclose((moved - at)[0], want, rtol=1e-3, atol=1e-8)


# ---- the prior on smooth motion ------------------------------------------------------------------
@pytest.mark.parametrize("T", [1, 2, 3, 4, 5, 12])
def test_the_second_difference_is_that_of_a_plain_double_loop(T):
    D = tracking.second_difference(T)
    want = np.zeros((max(T - 2, 0), T))
    for t in range(T - 2):
        for k, factor in enumerate((1, -2, 1)):
            want[t, t + k] = factor
    assert D.shape == want.shape and np.array_equal(D.toarray(), want)
    x = np.random.default_rng(T).normal(size=T)
    energy = sum((x[t] - 2 * x[t + 1] + x[t + 2]) ** 2 for t in range(T - 2))
    assert x @ (D.T @ D @ x) == pytest.approx(energy)


@pytest.mark.parametrize("size, width", [(1, 0), (1, 4), (3, 4), (12, 0), (12, 3)])
def test_a_banded_system_is_solved_as_the_full_one(size, width):
    rng = np.random.default_rng(size + width)
    full = np.zeros((size, size))
    for i in range(size):
        for j in range(max(0, i - width), i + 1):
            full[i, j] = full[j, i] = 20.0 if i == j else rng.normal()
    right = rng.normal(size=size)
    got = tracking.solve_in_bands(csr_matrix(full), right, width)
    assert np.allclose(got, np.linalg.solve(full, right), rtol=1e-12)


# ---- the linear face -----------------------------------------------------------------------------
def test_pca_model_reproduces_low_rank_data():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(3, 68, 3))
    offsets = np.tensordot(rng.normal(size=(200, 3)) * [3, 2, 1], directions, 1)
    people = np.tensordot(rng.normal(size=(5, 2)), rng.normal(size=(2, 68, 3)), 1)
    templates = neutral_face() + people
    model = tracking.pca_model(templates, offsets, n_exp=6)
    assert model.exp_basis.shape == (3, 68, 3) and model.id_basis.shape == (2, 68, 3)
    f_exp = tracking.expression_coefficients(model.exp_basis, offsets)
    assert np.allclose(np.tensordot(f_exp, model.exp_basis, 1), offsets, atol=1e-9)
    assert np.allclose((f_exp ** 2).mean(0), 1)  # one standard deviation
    assert np.allclose(model.mean, templates.mean(0))
    assert len(tracking.pca_model(templates, offsets, n_exp=2).exp_basis) == 2


# ---- the mask ------------------------------------------------------------------------------------
def frontal_marks():
    model, position = face_model(), np.array([[0, 0.4, 6.4]])
    return landmarks_of(model.mean, model, np.zeros((1, 3)), position, np.zeros((1, 4)))[0]


def test_mask_has_the_area_of_its_outline_and_a_soft_edge():
    marks = frontal_marks()
    mask = tracking.soft_face_mask(marks, SIZE)
    assert mask.dtype == np.float32 and mask.shape == (SIZE, SIZE)
    assert 0 <= mask.min() and mask.max() <= 1
    x, y = tracking.face_outline(marks).T
    shoelace = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    assert mask.sum() == pytest.approx(shoelace, rel=0.02)
    chin = marks[8]
    assert mask[int(chin[1]), int(chin[0])] == pytest.approx(0.5, abs=0.15)
    column = mask[:, int(chin[0])]
    lower = column[SIZE // 2:]
    width = np.count_nonzero((lower > 0.16) & (lower < 0.84))  # +-1 sigma of the step
    assert 0.02 * np.ptp(y) < width < 0.045 * np.ptp(y)
    assert np.abs(np.diff(column)).max() < 0.15


def test_mask_covers_the_landmarks_and_the_forehead_but_not_the_background():
    marks = frontal_marks()
    mask = tracking.soft_face_mask(marks, SIZE)
    for x, y in marks[27:]:
        assert mask[int(y), int(x)] > 0.99
    for x, y in marks[17:27]:
        assert mask[int(y), int(x)] > 0.6
    brow, nose = marks[17:27, 1].mean(), marks[33, 1]
    middle = int(marks[27, 0])
    assert mask[int(brow - 0.5 * (nose - brow)), middle] > 0.95
    assert mask[int(brow - 0.9 * (nose - brow)), middle] < 0.05
    assert mask[0].max() < 1e-6 and mask[:, 0].max() < 1e-6
    small = tracking.soft_face_mask(marks / 8, SIZE // 8)
    averaged = mask.reshape(64, 8, 64, 8).mean((1, 3))
    assert np.allclose(small, averaged, atol=0.05)  # the +0.5 convention


def test_importing_tracking_stays_light():
    """--detect runs in MediaPipe's environment, which has none of these."""
    heavy = ["torch", "cv2", "matplotlib", "transformers", "skimage"]
    code = f"import sys, tracking; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True,
                          text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


# ---- the command, and the real clip --------------------------------------------------------------
def test_command_writes_overlay_and_report(tmp_path, capsys):
    model = face_model()
    marks = landmarks_of(model.mean, model, *spoken_motion(12)).astype(np.float32)
    marks[5] = np.nan
    np.save(tmp_path / "tiny.landmarks.npy", marks)
    write_video(tmp_path / "tiny.mp4", [np.full((SIZE, SIZE, 3), 90, np.uint8)] * 12, 25.0)
    assert tracking.main([str(tmp_path / "tiny.mp4")]) is None
    said = capsys.readouterr().out
    assert "1 without landmarks (5)" in said and "% of the outer-eye distance" in said
    assert all(word in said for word in ("yaw", "pitch", "roll", "focal length 1024 px"))
    info = video_info(tmp_path / "tiny.tracking.mp4")
    assert (info.frames, info.width, info.height) == (12, SIZE, SIZE)
    frames = list(read_frames(tmp_path / "tiny.tracking.mp4"))
    drawn = [np.abs(f.astype(int) - 90).max(-1) > 40 for f in frames]
    assert drawn[0].sum() > 500 and drawn[5].sum() == 0
    x, y = marks[0, 8].astype(int)
    assert drawn[0][y - 4:y + 5, x - 4:x + 5].any()


@pytest.mark.skipif(not CLIP.exists(), reason="../shared/data/real_clip.mp4 is not here")
def test_real_clip_is_fitted_to_two_percent_and_moves_smoothly():
    marks = load_landmarks(CLIP)
    found = tracking.track(marks, (512, 512), 25.0, tracking.generic_model())
    eye = np.linalg.norm(marks[:, 36] - marks[:, 45], axis=1).mean()
    assert found.residual.mean() / eye < 0.02
    pose = tracking.head_pose(found.cam_to_head)
    assert np.abs(pose).max() < 35 and np.abs(pose.mean(0)).max() < 15
    assert rms(np.diff(pose, n=2, axis=0)) < 0.6  # degrees / frame^2
    depth = found.shape[30, 2] - found.shape[[36, 45], 2].mean()
    assert 0.3 < depth < 0.65  # dm, nose tip before the eyes


@pytest.mark.skipif(not CLIP.exists(), reason="../shared/data/real_clip.mp4 is not here")
def test_real_clip_halves_agree_on_the_shape():
    """Hold-out: two halves of the clip, fitted apart, see the same face and so the same turns."""
    marks, model = load_landmarks(CLIP), tracking.generic_model()
    whole, first = (tracking.track(marks[:n], (512, 512), 25.0, model) for n in (200, 100))
    last = tracking.track(marks[100:], (512, 512), 25.0, model)
    a, b = (x.shape[17:] - x.shape[17:].mean(0) for x in (first, last))
    difference = np.linalg.norm(Rotation.align_vectors(b, a)[0].apply(a) - b, axis=1).mean()
    assert difference < 0.05, f"{difference:.3f} dm"
    turn = tracking.head_pose(first.cam_to_head) - tracking.head_pose(whole.cam_to_head[:100])
    assert np.abs(turn.mean(0)).max() < 4 and rms(turn - turn.mean(0)) < 1.0
