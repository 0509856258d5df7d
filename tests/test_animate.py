"""test_animate.py - synthesis (inference/): head turns, motions from files, replays, the sound that drives them,
the label, and what animate.py refuses before it renders."""
import math
import os

import numpy as np
import pytest
import torch

import animate
import tracking
from evaluation import report
from inference.pictures import caption, enlarge, label
from inference.rendering import about_mean, back_and_forth, driven_poses, load_poses, turn_head
from inference.run import Run
from synthetic.cameras import camera_of_motion, default_camera, frontal_camera, head_motion
from tools.errors import InputError


@pytest.mark.parametrize("n, length, expected", [
    (4, 10, [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]), (2, 5, [0, 1, 0, 1, 0]), (1, 3, [0, 0, 0]),
    (5, 3, [0, 1, 2])])
def test_replay_goes_back_and_forth_without_repeating_its_ends(n, length, expected):
    assert back_and_forth(n, length).tolist() == expected


def nose_pixel(cam_to_head, K):
    """Where a point 1 dm in front of the head's centre lands, by scalar projection through the
    inverse pose."""
    R, t = cam_to_head[:3, :3], cam_to_head[:3, 3]
    # R^T (X - t)
    x, y, z = (sum(R[j][i] * ([0, 0, 1][j] - t[j]) for j in range(3)) for i in range(3))
    return K[0][0] * x / z + K[0][2], K[1][1] * y / z + K[1][2]


@pytest.mark.parametrize("yaw, pitch, dx, dy", [
    (20.0, 0.0, 1, 0), (-20.0, 0.0, -1, 0), (0.0, 20.0, 0, -1), (0.0, -20.0, 0, 1)])
def test_turning_moves_the_nose_the_way_the_option_says(yaw, pitch, dx, dy):
    """Positive yaw: towards the image's right; positive pitch: up, that is to smaller y."""
    K, distance = default_camera(64)
    frontal = frontal_camera(distance)
    u, v = nose_pixel(turn_head(frontal[None], np.array([yaw]), np.array([pitch]))[0], K)
    assert math.copysign(1, round(u - 32, 6) or 0) * (abs(u - 32) > 1) == dx
    assert math.copysign(1, round(v - 32, 6) or 0) * (abs(v - 32) > 1) == dy
    depth = distance - math.cos(math.radians(20))  # of the turned point, along the camera's axis
    assert max(abs(u - 32), abs(v - 32)) == pytest.approx(K[0][0] * math.sin(math.radians(20))
                                                          / depth, rel=1e-6)


def test_turning_by_nothing_changes_nothing_and_turning_keeps_the_distance():
    rng = np.random.default_rng(0)
    pose = camera_of_motion(head_motion(5, 30.0, rng), 12.0)
    still = turn_head(pose, np.zeros(5), np.zeros(5))
    np.testing.assert_allclose(still, pose, atol=1e-12)
    turned = turn_head(pose, np.full(5, 15.0), np.full(5, -7.0))
    np.testing.assert_allclose(np.linalg.norm(turned[:, :3, 3], axis=1),
                               np.linalg.norm(pose[:, :3, 3], axis=1))
    np.testing.assert_allclose(turned[:, :3, :3] @ turned[:, :3, :3].transpose(0, 2, 1),
                               np.tile(np.eye(3), (5, 1, 1)), atol=1e-12)


def test_preview_sound_starts_with_its_frames_and_is_padded_at_the_end():
    wave = np.arange(16000, dtype=np.float32) / 16000
    cut = report.sound_of(wave, 10, 5, 25.0)  # frames 10 .. 14 are shown from 0.4 s to 0.6 s
    assert len(cut) == 3200 and cut[0] == pytest.approx(0.4)
    late = report.sound_of(wave, 20, 10, 25.0)  # 0.8 s to 1.2 s; the recording ends at 1 s
    assert len(late) == 6400 and late[3199] > 0.99 and not late[3200:].any()


def test_small_frames_are_enlarged_by_whole_factors_and_large_ones_left_alone():
    assert enlarge(np.zeros((64, 64, 3), np.uint8)).shape == (256, 256, 3)
    assert enlarge(np.zeros((96, 96, 3), np.uint8)).shape == (288, 288, 3)
    assert enlarge(np.zeros((512, 512, 3), np.uint8)).shape == (512, 512, 3)


# ---- another motion ------------------------------------------------------------------------------

def pixel(point, cam_to_head, K):
    """Where a point of the head frame lands: the inverse of the pose by numpy.linalg, then pinhole."""
    x, y, z, _ = np.linalg.inv(cam_to_head) @ [*point, 1.0]
    return np.array([K[0][0] * x / z + K[0][2], K[1][1] * y / z + K[1][2]])


NOSE, CROWN, CENTRE = (0, 0, 1), (0, 1, 0), (0, 0, 0)
S, C = math.sin(math.radians(20)), math.cos(math.radians(20))


@pytest.mark.parametrize("motion, point, right, up, nearer", [  # where it is then, dm from the centre's old place
    ([20, 0, 0], NOSE, S, 0, C), ([-20, 0, 0], NOSE, -S, 0, C), ([0, 20, 0], NOSE, 0, S, C),
    ([0, 0, 20], CROWN, -S, C, 0), ([0, 0, -20], CROWN, S, C, 0), ([20, 0, 0], CROWN, 0, 1, 0),
    ([0, 0, 0, 0.5, 0, 0], CENTRE, 0.5, 0, 0), ([0, 0, 0, 0, 0.5, 0], CENTRE, 0, 0.5, 0),
    ([0, 0, 0, 0.3, 0.2, 2.0], CENTRE, 0.3, 0.2, 2.0), ([20, 0, 0, 0.5, -0.5, 1], NOSE, 0.5 + S, -0.5, 1 + C)])
def test_a_motion_goes_where_its_signs_say(motion, point, right, up, nearer):
    """About a head that faces the camera: closed form in pixels."""
    K, distance = default_camera(64)
    pose = about_mean(frontal_camera(distance)[None], np.array([motion], dtype=float))[0]
    depth = distance - nearer
    np.testing.assert_allclose(pixel(point, pose, K),
                               [32 + K[0][0] * right / depth, 32 - K[1][1] * up / depth], atol=1e-9)


def test_a_motion_is_about_the_mean_pose_of_the_take_and_in_the_room():
    """The take swings from 10 to 50 degrees of yaw, 30 on average, at two places; the crown of a head that is
    turned so still tilts in the picture by just the roll."""
    K, distance = default_camera(64)
    world = np.tile(np.eye(4), (2, 1, 1))
    for matrix, degrees, x in zip(world, (10, 50), (0.2, 0.6)):
        s, c = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
        matrix[:3, :3], matrix[0, 3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]], x
    take = camera_of_motion(world, distance)
    still, rolled = about_mean(take, np.array([[0.0, 0, 0], [0, 0, 20]]))
    s30, c30 = 0.5, math.sqrt(0.75)
    nose = K[0][0] * (0.4 + s30) / (distance - c30) + 32
    np.testing.assert_allclose(pixel(NOSE, still, K), [nose, 32], atol=1e-9)
    f = K[0][0] / distance
    np.testing.assert_allclose(pixel(CROWN, rolled, K), [32 + f * (0.4 - S), 32 - f * C], atol=1e-9)


def test_poses_that_a_clip_shows_can_be_played_to_another():
    """tracking.head_pose reads from a motion what was asked for; it counts pitch downwards."""
    rng = np.random.default_rng(3)
    asked = rng.uniform(-25, 25, (7, 3))
    poses = about_mean(frontal_camera(12.0)[None].astype(np.float32), asked)
    np.testing.assert_allclose(tracking.head_pose(poses) * [1, -1, 1], asked, atol=1e-9)


def test_poses_shorter_than_the_sound_walk_back_and_matrices_are_used_as_they_are():
    poses = camera_of_motion(head_motion(3, 25.0, np.random.default_rng(0)), 12.0)
    own = frontal_camera(10.0)[None]
    assert np.array_equal(driven_poses(own, poses, 6), poses[[0, 1, 2, 1, 0, 1]])
    angles = np.array([[0.0, 0, 0], [10, 0, 0]])
    np.testing.assert_allclose(driven_poses(own, angles, 3)[[0, 2]], own[[0, 0]], atol=1e-12)
    assert len(driven_poses(own, poses, 2)) == 2


@pytest.mark.parametrize("motion, row", [
    ([[0.0] * 6, [0, 0, 0, 0, 0, 9]], 1), ([[0, 0, 0, 0, 0, 40.0]], 0)])
def test_a_motion_that_takes_the_head_to_the_camera_or_behind_it_is_refused(motion, row):
    with pytest.raises(InputError, match=f"^--poses: row {row} puts the head"):
        driven_poses(frontal_camera(10.0)[None], np.array(motion), 3)


def rigid(change):
    matrix = frontal_camera(12.0)
    change(matrix)
    return np.stack([frontal_camera(12.0), matrix])


@pytest.mark.parametrize("content, says", [
    (np.zeros((5, 4)), r"shape \(5, 4\); want \(T, 3\)"), (np.zeros(3), "shape"), (np.zeros((0, 3)), "shape"),
    (np.float64(1), "shape"), (np.zeros((5, 3, 3)), "shape"), (np.zeros((2, 3), complex), "complex128"),
    (np.array([["a", "b", "c"]]), "<U1"), (np.array([[0, 1, 2], [0, np.nan, 0]]), "row 1 is not finite"),
    (np.array([[0, np.inf, 0]]), "row 0 is not finite"), (np.array([[None] * 3]), "no .npy file of numbers"),
    (rigid(lambda m: np.multiply(m[:3, :3], 1.1, out=m[:3, :3])), "matrix 1 is not a rotation"),
    (rigid(lambda m: np.multiply(m[:1, :3], -1, out=m[:1, :3])), "matrix 1 is not a rotation"),  # a mirror
    (rigid(lambda m: m.__setitem__((3, 0), 0.5)), "matrix 1"), (b"", "no .npy"), (b"0.1 0.2 0.3", "no .npy"),
    (b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (9, 3), }", "no .npy"),
    (b"PK\x03\x04 cut", "no .npy"), (None, "no such file"), ("folder", "cannot be read")])
def test_a_file_of_poses_that_is_none_is_one_line(tmp_path, content, says):
    path = tmp_path / "poses.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.mkdir()
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(InputError, match=says) as error:
        load_poses(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_an_archive_of_poses_is_refused(tmp_path):
    np.savez(tmp_path / "poses.npz", yaw=np.zeros(3))
    with pytest.raises(InputError, match="archive of arrays"):
        load_poses(tmp_path / "poses.npz")


@pytest.mark.parametrize("shape, kind", [((4, 3), np.int64), ((2, 6), np.float32)])
def test_poses_of_whole_numbers_and_of_single_precision_are_read(tmp_path, shape, kind):
    np.save(tmp_path / "poses.npy", np.arange(np.prod(shape)).reshape(shape).astype(kind))
    poses = load_poses(tmp_path / "poses.npy")
    assert poses.dtype == np.float64 and poses.shape == shape and poses.ravel()[-1] == np.prod(shape) - 1


def test_options_turn_the_head_on_top_of_the_poses(monkeypatch):
    """Poses of 10 degrees and --yaw 20 make 30; the replay of C_ex is the take's, whatever the poses."""
    seen = {}

    def render(run, codes, f_lip, K, cam_to_head, background, rest):
        seen.update(poses=cam_to_head.numpy(), codes=codes, rest=rest)
        return iter(())

    monkeypatch.setattr(animate, "render_frames", render)
    monkeypatch.setattr(animate, "sound_to_lips", lambda run, wave, time: None)
    monkeypatch.setattr(animate, "chosen_codes", lambda run, name, numbers, choices: {"ex": numbers})
    run = object.__new__(Run)
    take = torch.from_numpy(frontal_camera(12.0)).float().repeat(3, 1, 1)
    run.takes = [{"name": "a/b", "subject": "a", "fps": 25.0, "K": None, "cam_to_head": take, "background": 0}]
    run.backgrounds = [None]
    animate.animate(run, np.zeros(16000 // 5, np.float32), yaw=20.0, poses=np.array([[10.0, 0, 0], [0, 0, 0]]))
    np.testing.assert_allclose(tracking.head_pose(seen["poses"])[:, 0], [30, 20, 30, 20, 30], atol=1e-5)
    assert seen["codes"]["ex"].tolist() == [0, 1, 2, 1, 0] and seen["rest"] is None


# ---- the label -----------------------------------------------------------------------------------

@pytest.mark.parametrize("height, width", [(128, 128), (256, 256), (720, 1280), (1080, 608), (300, 70)])
@pytest.mark.parametrize("ground", [0, 255, 128, None])
def test_the_label_is_seen_on_any_ground_and_changes_its_corner_alone(height, width, ground):
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if ground is not None:
        frame[:] = ground
    kept = frame.copy()
    labelled = label(frame)
    assert np.array_equal(frame, kept) and labelled.shape == frame.shape
    changed = (labelled != frame).any(2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    letters = max(height / 28, 12)
    assert rows[0] >= height - 2.5 * letters, "it reaches above its corner"
    assert columns[0] >= width / 3 or width < 128, "it reaches to the left"
    assert rows[-1] < height - 1 and columns[-1] < width - 1, "it is cut off"
    assert width - columns[-1] < 2 * letters and height - rows[-1] < 2 * letters, "it is not in the corner"
    if width >= 128:
        tall = (labelled[..., 1] > 200) & (frame[..., 1] < 200) if ground != 255 else labelled[..., 1] < 60
        assert np.ptp(np.flatnonzero(tall.any(1))) >= 0.9 * letters, "too small to be read"
    box = labelled[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1, 1]
    if width >= 128:
        assert (box > 200).mean() > 0.05 and (box < 55).mean() > 0.1, "light and dark are both there"


def test_frames_are_labelled_as_they_are_written_and_not_without_the_option():
    frames = [np.zeros((64, 64, 3), np.uint8)] * 2
    plain, labelled = (list(animate.finished(iter(frames), 256, asked)) for asked in (False, True))
    assert np.array_equal(plain[0], enlarge(frames[0]))
    assert np.array_equal(labelled[1], label(enlarge(frames[0])))


def test_every_picture_of_a_grid_is_labelled(monkeypatch):
    run = object.__new__(Run)
    run.takes = [{"name": "a/b", "subject": "a", "fps": 25.0, "K": None, "cam_to_head": torch.eye(4).repeat(9, 1, 1),
                  "background": 0}]
    run.backgrounds = [None]
    frame = np.full((128, 128, 3), 90, np.uint8)
    monkeypatch.setattr(animate, "render_frames", lambda *args: iter([frame] * 3))
    monkeypatch.setattr(animate, "sound_to_lips", lambda *args: None)
    monkeypatch.setattr(animate, "chosen_codes", lambda *args: {})
    monkeypatch.setattr(animate, "sweep_values", lambda *args: ["a", "b"])
    grid, plain = (animate.sweep(run, "identity", columns=3, labelled=asked) for asked in (True, False))
    rows = [np.concatenate([caption(label(frame), name)] * 3, 1) for name in "ab"]
    assert np.array_equal(grid, np.concatenate(rows))
    assert (plain != grid).any() and plain.shape == grid.shape


# ---- what is refused before anything is loaded -----------------------------------------------------

@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """A folder with the user's files, where loading a run is a failure: it would have come too late."""
    monkeypatch.chdir(tmp_path)
    for name in ("speech.mp4", "clip.mp4", "poses.npy"):
        (tmp_path / name).write_bytes(b"the user's own")
    (tmp_path / "folder.mp4").mkdir()
    monkeypatch.setattr(animate, "load_run", lambda *args: pytest.fail("the run was loaded first"))
    yield tmp_path
    for name in ("speech.mp4", "clip.mp4", "poses.npy"):
        assert (tmp_path / name).read_bytes() == b"the user's own"


VIDEO = ["run", "--audio", "speech.mp4"]


@pytest.mark.parametrize("options, says", [
    ([*VIDEO, "--out", "x.gif"], "x.gif: videos are written as .mp4"), ([*VIDEO, "--out", "x"], "x: videos"),
    ([*VIDEO, "--out", "x.png"], "x.png: videos"), ([*VIDEO, "--out", "x.mp4.tmp"], "x.mp4.tmp: videos"),
    (["run", "--sweep", "light", "--out", "x.mp4"], "x.mp4: pictures are written as .png or .jpg"),
    ([*VIDEO, "--out", "clip.mp4"], "clip.mp4: exists and was not written by this program"),
    ([*VIDEO, "--out", "nowhere/x.mp4"], "nowhere/x.mp4: cannot write in this folder"),
    ([*VIDEO, "--out", "clip.mp4/x.mp4"], "clip.mp4/x.mp4: cannot write"),
    ([*VIDEO, "--out", "folder.mp4"], "folder.mp4: is a folder"),
    ([*VIDEO, "--out", "speech.mp4"], "speech.mp4: would overwrite what is read"),
    ([*VIDEO, "--out", "./folder.mp4/../speech.mp4"], "folder.mp4/../speech.mp4: would overwrite"),
    ([*VIDEO, "--into", "clip.mp4", "--out", "clip.mp4"], "clip.mp4: would overwrite"),
    ([*VIDEO, "--yaw", "nan"], "--yaw nan: want degrees from -60 to 60"), ([*VIDEO, "--yaw=-inf"], "--yaw -inf"),
    ([*VIDEO, "--pitch", "inf"], "--pitch inf"), ([*VIDEO, "--pitch", "-60.5"], "--pitch -60.5"),
    ([*VIDEO, "--yaw", "90"], "--yaw 90"), (["run", "--sweep", "light", "--into", "clip.mp4"], "--into clip.mp4"),
    (["run", "--sweep", "light", "--poses", "poses.npy"], "--poses poses.npy"),
    ([*VIDEO, "--poses", "poses.npy"], "poses.npy: is no .npy file")])
def test_what_cannot_be_is_refused_first(in_folder, options, says):
    with pytest.raises(InputError) as error:
        animate.main(options)
    assert str(error.value).startswith(says) and "\n" not in str(error.value)


def test_a_link_to_what_is_read_is_not_overwritten_either(in_folder):
    os.link(in_folder / "clip.mp4", in_folder / "other.mp4")
    with pytest.raises(InputError, match="other.mp4: would overwrite"):
        animate.main([*VIDEO, "--into", "clip.mp4", "--out", "other.mp4"])


def test_sixty_degrees_and_names_in_capitals_are_fine(in_folder):
    with pytest.raises(pytest.fail.Exception, match="the run was loaded first"):
        animate.main([*VIDEO, "--yaw", "60", "--pitch", "-60", "--out", "X.MP4"])
