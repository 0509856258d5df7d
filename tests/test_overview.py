"""test_overview.py - what is said and drawn of the data before training; LPIPS of packages that may be there."""
import sys
import types

import cv2
import numpy as np
import pytest
import torch

from data.take import Story, Take
from evaluation import overview, perceptual
from synthetic.cameras import default_camera, frontal_camera, project
from tracking import generic_model

N, SIZE, FPS = 20, 48, 25.0


def make_take(story=None, whole=True):
    K, distance = default_camera(SIZE)
    cameras = np.tile(frontal_camera(distance), (N, 1, 1))
    marks = project(np.tile(generic_model().mean, (N, 1, 1)), K, cameras)
    marks[:, 65:68, 1] += np.linspace(0, 3, N)[:, None]  # the mouth opens steadily
    time = np.arange(int(N / FPS * 16000)) / 16000
    wave = (np.sin(2 * np.pi * 400 * time) * 10 ** (time / time[-1] - 1)).astype(np.float32)  # 20 dB louder
    masks = np.zeros((N, SIZE, SIZE), np.uint8)
    masks[:, 8:40, 12:36] = 255
    frames = np.full((N, SIZE, SIZE, 3), 90, np.uint8)
    return Take("ann/all", "ann", FPS, np.arange(N), marks, K, cameras, np.zeros((N, 2)), np.zeros((2, 68, 3)),
                wave, {"id": 0, "al": 0, "ill": 0}, frames, masks, frames[0], "clip", 0.08, whole, np.eye(4), story)


STORY = Story("talk.mp4", 50.0, 60, (640, 360), (100, 20, 300), {"no face found": 12, "every second one": 28},
              "MediaPipe", "matte, MediaPipe")


def test_the_lines_say_what_was_used_and_what_was_not():
    text = "\n".join(overview.describe(make_take(STORY)))
    for words in ("talk.mp4: 20 of 60 frames used, left out: 12 no face found, 28 every second one; 50 a second",
                  "square of 300 px from (100, 20) of 640 x 360, shown at 48 px; landmarks: MediaPipe; mask: matte",
                  "sound: 0.8 s, moved by 80 ms", "yaw 0 to 0, pitch 0 to 0, roll 0 to 0"):
        assert words in text, text
    assert "!" not in text.replace("!=", ""), "nothing to doubt"


def test_doubts():
    beyond = Story("talk.mp4", 25.0, 90, (640, 360), (-5, 20, 300), {}, "given", "face alone")
    said = " ".join(overview.doubts(make_take(beyond, whole=False)))
    assert "leaves the picture" in said and "more than half" in said and "without a matte" in said
    small = make_take(STORY)
    small.landmarks = small.landmarks * 0.3
    assert "face is small" in " ".join(overview.doubts(small))


def test_loudness_is_decibels_about_each_frame_and_related_to_the_mouth():
    take = make_take(STORY)
    level = overview.loudness(take)
    time = take.frame_ids / FPS
    want = 20 * (time / (N / FPS) - 1) + 10 * np.log10(0.5)
    np.testing.assert_allclose(level[1:-1], want[1:-1], atol=0.3)
    assert overview.related(take) > 0.99
    take.landmarks[:, 65:68] = take.landmarks[:1, 65:68]
    assert overview.related(take) == 0, "a still mouth"


def test_the_sheet_shows_frames_landmarks_and_mask(tmp_path):
    take = make_take(STORY)
    overview.write([take] * 6, tmp_path / "prepared.png")
    assert cv2.imread(str(tmp_path / "prepared.png")).shape[0] > 1200, "four of six takes, one below the other"
    marked = overview.with_landmarks(take, 3)
    x, y = np.floor(take.landmarks[3, 8] * overview.SIDE / SIZE).astype(int)
    strip = len(marked) - overview.SIDE
    assert marked[strip + y, x].tolist() == [0, 255, 0], "the chin"
    masked = overview.under_mask(take, 3)
    assert masked[96, 96].tolist() == [90, 90, 90] and masked[4, 4].tolist() == [255, 0, 160]


# ---- LPIPS

class Mean(torch.nn.Module):
    def forward(self, a, b):
        return (a - b).abs().mean().view(1, 1, 1, 1)


@pytest.fixture()
def packages(monkeypatch):
    """packages(lpips=..., stlpips=...): what `import` finds; None: nothing."""
    def put(lpips=None, stlpips=None):
        monkeypatch.setitem(sys.modules, "lpips", lpips and types.SimpleNamespace(LPIPS=lpips))
        inner = stlpips and types.SimpleNamespace(LPIPS=stlpips)
        monkeypatch.setitem(sys.modules, "stlpips_pytorch", stlpips and types.SimpleNamespace(stlpips=inner))
    return put


def test_the_first_package_that_works_measures_in_its_own_range(packages):
    packages(lpips=lambda net, verbose: Mean())
    found = perceptual.load_lpips()
    black, grey = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 51, np.uint8)
    assert found.name == "lpips" and found.distance(black, black) == 0
    assert found.distance(black, grey) == pytest.approx(51 / 127.5)


def test_without_a_package_there_is_none_and_a_broken_one_is_said(packages, capsys):
    packages()
    assert perceptual.load_lpips() is None and capsys.readouterr().out == ""

    def no_weights(net, verbose):
        raise OSError("no network")

    packages(lpips=no_weights, stlpips=lambda net, variant, verbose: Mean())
    assert perceptual.load_lpips().name == "stlpips_pytorch"
    assert "lpips is left out: no network" in capsys.readouterr().out
