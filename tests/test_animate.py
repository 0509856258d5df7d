"""test_animate.py - synthesis (inference/): head turns, replays, and the sound that drives them."""
import math

import numpy as np
import pytest

from evaluation import report
from inference.pictures import enlarge
from inference.rendering import back_and_forth, turn_head
from synthetic.cameras import camera_of_motion, default_camera, frontal_camera, head_motion


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
