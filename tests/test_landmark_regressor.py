"""test_landmark_regressor.py - the regressor: its geometry exactly, its training on drawn faces."""
import math

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from evaluation import measures
from evaluation.landmark_regressor import (blurred, cut, degrade, mouth_square, predict, to_frame,
                                           to_square, train_landmarker, whole_square)

# ---- Squares -------------------------------------------------------------------------------------


def squares(*rows):
    return torch.tensor(rows, dtype=torch.float32)


def test_cutting_the_whole_frame_gives_the_frame():
    frames = torch.rand(2, 3, 24, 24)
    assert torch.allclose(cut(frames, whole_square(2, 24, 24), 24), frames, atol=1e-5)


def test_cutting_an_upright_square_on_the_grid_is_a_slice():
    """Pixel centres at +0.5: the square from x = 6, y = 3 to 14, 11 is frames[:, :, 3:11, 6:14]."""
    frames = torch.rand(1, 3, 20, 30)
    got = cut(frames, squares([10, 7, 8, 0]), 8)
    assert torch.allclose(got, frames[:, :, 3:11, 6:14], atol=1e-5)


def test_cutting_a_quarter_turn():
    """The square's right is the frame's down, its down the frame's left: [i, j] is [j, 15 - i]."""
    frames = torch.rand(1, 3, 16, 16)
    turned = cut(frames, squares([8, 8, 16, math.pi / 2]), 16)
    assert torch.allclose(turned, torch.rot90(frames, 1, (2, 3)), atol=1e-4)
    corner = to_frame(squares([8, 8, 16, math.pi / 2]), torch.tensor([[[0.5, 0.0]]]))
    want = torch.tensor([[[8.0, 16.0]]])
    assert torch.allclose(corner, want, atol=1e-5), "right of the square, 16 px wide, is down"


def test_a_reduced_cut_averages_whole_blocks():
    frames = torch.rand(1, 3, 32, 32)
    small = cut(frames, whole_square(1, 32, 32), 8)
    blocks = frames.unflatten(2, (8, 4)).unflatten(4, (8, 4))
    assert torch.allclose(small, blocks.mean((3, 5)), atol=1e-5)


def test_points_and_pixels_move_together():
    """A dot in the frame is found in the square where to_square says, and to_frame leads back."""
    square = squares([20, 14, 12, 0.5])
    frame = np.zeros((32, 40), np.float32)
    frame[16, 22] = 1  # centre at (22.5, 16.5)
    frame = gaussian_filter(frame, 1)
    image = cut(torch.from_numpy(frame).expand(1, 3, 32, 40), square, 48)[0, 0].numpy()
    y, x = np.mgrid[:48, :48] + 0.5
    found = np.array([(image * x).sum(), (image * y).sum()]) / image.sum() / 48 - 0.5
    point = torch.tensor([[[22.5, 16.5]]])
    assert np.allclose(to_square(square, point)[0, 0].numpy(), found, atol=0.01)
    assert torch.allclose(to_frame(square, to_square(square, point)), point, atol=1e-4)


def test_mouth_square_by_hand():
    marks = torch.zeros(1, 68, 2)
    marks[0, 36] = torch.tensor([10.0, 20.0])
    marks[0, 45] = torch.tensor([40.0, 60.0])  # 50 px from the other eye
    marks[0, 48:58], marks[0, 58:] = torch.tensor([30.0, 70.0]), torch.tensor([20.0, 90.0])
    assert torch.allclose(mouth_square(marks), squares([25, 80, 50, math.atan2(40, 30)]))


# ---- Blur, colours, noise ------------------------------------------------------------------------


def test_each_image_has_its_own_blur():
    images = torch.rand(3, 3, 20, 20, dtype=torch.float64)
    got = blurred(images.float(), torch.tensor([0.0, 0.8, 2.0]))
    for i, sigma in enumerate((0.0, 0.8, 2.0)):
        want = gaussian_filter(images[i].numpy(), (0, sigma, sigma), mode="nearest", radius=6)
        assert np.allclose(got[i].numpy(), want, atol=1e-5), f"sigma {sigma}"


def test_degraded_images_differ_and_half_of_them_stay_sharp():
    images = torch.rand(200, 3, 16, 16)
    out = degrade(images, 2.0, torch.Generator().manual_seed(0))
    contrast = (out.std((2, 3)) / images.std((2, 3))).mean(1)
    assert 70 < (contrast > 0.8).sum() < 135 and (contrast < 0.5).sum() > 30
    again = degrade(images, 2.0, torch.Generator().manual_seed(0))
    assert torch.equal(out, again)


# ---- Training on drawn faces ---------------------------------------------------------------------

SIZE = 48


def landmarks_of(rng, opening):
    """A face of 68 points in a frame of SIZE px: outer eyes 20 px apart, mouth 12 px wide."""
    marks = np.zeros((68, 2))
    angle = np.linspace(0, math.pi, 17)
    marks[:17] = np.stack([-15 * np.cos(angle), 20 * np.sin(angle)], -1)
    for first, x, y, rx, ry in ((36, -7, -4, 3, 1.5), (42, 7, -4, 3, 1.5)):
        turn = np.radians([180, 240, 300, 0, 60, 120])
        marks[first:first + 6] = np.stack([x + rx * np.cos(turn), y + ry * np.sin(turn)], -1)
    marks[17:27] = np.stack([np.linspace(-11, 11, 10), np.full(10, -8)], -1)
    marks[27:31, 1] = np.linspace(-4, 3, 4)
    marks[31:36] = np.stack([np.linspace(-3, 3, 5), np.full(5, 4)], -1)
    outer, inner = np.radians(180 + 30 * np.arange(12)), np.radians(180 + 45 * np.arange(8))
    marks[48:60] = np.stack([6 * np.cos(outer), 11 + (2 + opening / 2) * np.sin(outer)], -1)
    marks[60:] = np.stack([5 * np.cos(inner), 11 + opening / 2 * np.sin(inner)], -1)
    turn = rng.normal(0, 0.05)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return marks @ spin.T + SIZE / 2 + rng.normal(0, 1.5, 2)


def draw(marks, rng):
    image = np.full((SIZE * 4, SIZE * 4, 3), rng.uniform(120, 220), np.uint8)
    skin = rng.uniform(60, 100)
    parts = ((0, 17, (skin + 60, skin + 20, skin)), (36, 42, (250, 250, 250)),
             (42, 48, (250, 250, 250)), (48, 60, (170, 40, 50)), (60, 68, (10, 0, 0)))
    for first, last, color in parts:
        points = np.round(marks[first:last] * 4 * 16).astype(np.int32)
        cv2.fillConvexPoly(image, points, color, cv2.LINE_AA, 4)
    for point in marks[[30, 19, 24]]:
        cv2.circle(image, tuple(np.round(point * 4).astype(int).tolist()), 5, (20, 20, 20), -1)
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def drawn_take(seed, frames=120):
    """(T, SIZE, SIZE, 3) frames, (T, 68, 2) landmarks."""
    rng = np.random.default_rng(seed)
    opening = 2.5 + 2.5 * np.sin(np.cumsum(rng.uniform(0, 0.6, frames)))
    marks = np.stack([landmarks_of(rng, o) for o in opening])
    return np.stack([draw(m, rng) for m in marks]), marks


@pytest.fixture(scope="module")
def trained():
    takes = [drawn_take(seed) for seed in range(3)]
    frames, marks = zip(*takes)
    return train_landmarker(frames, marks, seed=0, iters=110, batch=24)


def off_by(model, frames, marks):
    """Mean distance in px of all 68 and of the mouth's 20; correlation of opening with truth."""
    found = predict(model, frames)
    distance = np.linalg.norm(found - marks, axis=-1)
    opening = [measures.mouth_opening(points) for points in (found, marks)]
    return distance.mean(), distance[:, 48:].mean(), np.corrcoef(*opening)[0, 1]


def test_landmarks_of_unseen_faces(trained):
    frames, marks = drawn_take(9, 60)
    px, mouth_px, opening_r = off_by(trained, frames, marks)
    assert px < 1.2 and mouth_px < 0.8 and opening_r > 0.97
    assert measures.lmd(predict(trained, frames), marks)[0] < 0.7


def test_blurred_faces_are_measured_too(trained):
    frames, marks = drawn_take(10, 60)
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in frames])
    assert off_by(trained, soft, marks)[2] > 0.95


def test_the_mouth_is_read_from_the_mouth(trained):
    """The upper face and jaw of one frame with the mouth of another: the opening is the mouth's."""
    rng = np.random.default_rng(0)
    shut, opened = landmarks_of(rng, 0.2), landmarks_of(rng, 5.0)
    opened[48:] += shut[48:].mean(0) - opened[48:].mean(0)
    mixed = shut.copy()
    mixed[48:] = opened[48:]
    frames = np.stack([draw(marks, rng) for marks in (shut, mixed)])
    found = measures.mouth_opening(predict(trained, frames))
    assert found[0] < 0.05 and found[1] > 0.12, found


def test_any_frame_size_and_each_frame_on_its_own(trained):
    frames, _ = drawn_take(11, 70)
    found = predict(trained, frames)
    assert found.shape == (70, 68, 2) and found.dtype == np.float32
    alone = predict(trained, frames[66:])
    assert np.allclose(found[66:], alone, atol=1e-3), "frames influence each other"
    side = (2 * SIZE, 2 * SIZE)
    larger = np.stack([cv2.resize(f, side, interpolation=cv2.INTER_LINEAR) for f in frames[:8]])
    assert np.abs(predict(trained, larger) / 2 - found[:8]).mean() < 0.4


def test_predicting_does_not_write_into_the_frames(trained):
    frames, _ = drawn_take(12, 3)
    frames.setflags(write=False)
    assert np.isfinite(predict(trained, frames)).all()


def test_equal_seeds_give_equal_networks_and_the_global_generator_stays():
    frames, marks = drawn_take(0, 20)
    state = torch.get_rng_state()
    nets = [train_landmarker([frames], [marks], seed, iters=2, batch=4) for seed in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), state)
    a, b, c = ([p.clone() for p in net.parameters()] for net in nets)
    assert all(map(torch.equal, a, b)) and not all(map(torch.equal, a, c))
    assert not nets[0].training


def test_nothing_to_learn_from_is_an_error():
    with pytest.raises(ValueError, match="no frames"):
        train_landmarker([], [], seed=0)
