"""test_paste.py - animate.py --into (inference/paste.py): a head back into the full frames of its clip.

The clips are made here, frame by frame, and a "render" is what the take would show of them: pictures whose right
place and value are known in closed form.
"""
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import animate
from data import framing
from data.footage import open_footage
from data.form import Footage
from inference import paste as pasting
from inference.paste import frame_numbers, paste, ramp, source_frames, walk
from inference.run import Run
from tools.errors import InputError
from tools.media import VideoInfo, read_frames, write_video

W, H = 80, 64


def slope(x, y, by_x=3, by_y=0):
    """Grey levels of a linear picture at x, y in px of the frame, pixel centres at +0.5: (len(y), len(x), 3)."""
    grey = by_x * (np.asarray(x) - 0.5)[None, :] + by_y * (np.asarray(y) - 0.5)[:, None]
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, 2)


def centres(start, side, n):
    """Where the n pixels of a render are, in px of the frame, along one axis."""
    return start + (np.arange(n) + 0.5) * side / n


def outside(box):
    """Pixels of the frame (H, W) that the box does not cover."""
    left, top, side = box
    covered = np.zeros((H, W), bool)
    covered[max(top, 0):max(top + side, 0), max(left, 0):max(left + side, 0)] = True
    return ~covered


@pytest.mark.parametrize("box", [(10, 2, 60), (0, 0, 60), (-20, 10, 60), (35, -5, 60), (-5, -10, 90)])
@pytest.mark.parametrize("by_x, by_y", [(3, 0), (0, 3)])
@pytest.mark.parametrize("n", [12, 60, 180])  # an enlargement by 5, none, a reduction by 3
def test_a_true_crop_pasted_back_gives_the_frame(box, by_x, by_y, n):
    """Slopes of 3 levels a px: a shift by half a pixel of the frame would be 1.5 of them, half a pixel of the
    render up to 11. Beyond the picture's edge the take repeats the edge, as clips do."""
    left, top, side = box
    frame = slope(np.arange(W) + 0.5, np.arange(H) + 0.5, by_x, by_y)
    x, y = (np.clip(centres(start, side, n), 0.5, length - 0.5)
            for start, length in ((left, W), (top, H)))
    result = paste(frame, slope(x, y, by_x, by_y), box)
    off = np.abs(result.astype(int) - frame)
    border = 2 * side // n if side > n else 0  # px: there the cubic sees what is repeated
    inner = off[border:H - border, border:W - border]
    assert inner.max() <= 1
    assert not off[outside(box)].any()


@pytest.mark.parametrize("box", [(10, 2, 60), (-20, 10, 60), (35, -5, 60)])
def test_what_a_clip_is_cut_to_goes_back_to_where_it_was_cut(box):
    """data.framing and paste share one idea of where pixels are, on a picture of slow waves."""
    y, x = np.mgrid[:H, :W]
    frame = np.stack([128 + 100 * np.sin(x / 11 + c) * np.cos(y / 13) for c in range(3)], -1).astype(np.uint8)
    back = paste(frame, framing.cut(frame, box, 30), box).astype(int)
    assert np.abs(back - frame)[3:-3, 3:-3].max() <= 2
    shifted = np.roll(frame, 1, 1)
    assert np.abs(back - shifted)[3:-3, 3:-3].max() > 6, "a shift by one pixel would not be seen"


def test_noise_pasted_back_at_its_own_size_is_the_frame_to_the_bit():
    frame = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
    kept = frame.copy()
    assert np.array_equal(paste(frame, frame[2:62, 10:70], (10, 2, 60)), frame)
    paste(frame, np.zeros((60, 60, 3), np.uint8), (10, 2, 60))
    assert np.array_equal(frame, kept), "the frame that was given has changed"


def test_a_render_larger_than_its_square_is_averaged():
    """Stripes of one pixel at twice the size are grey; sampled, they would be black or white."""
    stripes = np.zeros((120, 120, 3), np.uint8)
    stripes[:, ::2] = 200
    result = paste(np.full((H, W, 3), 100, np.uint8), stripes, (10, 2, 60))
    assert (result == 100).all()


def test_another_head_fills_the_square_and_fades_at_its_edges_alone():
    """White into black: a ramp of 8 % of the side, half way up in its middle, without a step."""
    frame, box = np.zeros((200, 300, 3), np.uint8), (50, 40, 100)
    result = paste(frame, np.full((32, 32, 3), 255, np.uint8), box)[..., 0].astype(int)
    assert (result[48:132, 58:142] == 255).all(), "inside the ramps"
    assert result.sum() == result[40:140, 50:150].sum(), "outside the square"
    row = result[90, 50:150]
    assert row[0] <= 4 and row[3] < 127.5 < row[4] and abs(row[3] + row[4] - 255) <= 1
    assert np.abs(np.diff(result[90])).max() < 255 * 0.19 and (np.diff(row[:50]) >= 0).all()
    assert np.array_equal(result[40:140, 50:150], result[40:140, 50:150][::-1, ::-1]), "edges alike"
    assert np.array_equal(result[40:140, 50:150], result[40:140, 50:150].T), "axes alike"


@pytest.mark.parametrize("box, whole", [
    ((-20, 20, 60), np.s_[25:75, :35]), ((130, 20, 60), np.s_[25:75, 135:]),
    ((50, 70, 60), np.s_[75:, 55:105]), ((50, -30, 60), np.s_[:25, 55:105]),
    ((0, 0, 100), np.s_[:95, :92]), ((-10, -10, 200), np.s_[:, :])])
def test_an_edge_at_the_pictures_border_or_beyond_is_not_faded(box, whole):
    frame = np.zeros((100, 160, 3), np.uint8)
    result = paste(frame, np.full((32, 32, 3), 255, np.uint8), box)
    assert (result[whole] == 255).all()


def test_a_ramp_is_as_long_as_its_side_says():
    assert len(ramp(3, 50, 100)) == 50
    np.testing.assert_allclose(ramp(3, 50, 100)[4:46], 1)  # 8 % of 50 px are 4 px
    assert ramp(3, 50, 100)[3] < 1 and ramp(3, 50, 100)[46] < 1
    assert ramp(0, 50, 100)[0] == 1 and ramp(50, 50, 100)[-1] == 1 and ramp(50, 50, 100)[0] < 0.05


# ---- the walk ------------------------------------------------------------------------------------

def numbered(n, read=None):
    """n frames whose grey level tells their number: 10 k; `read` gets the numbers that were decoded."""
    for k in range(n):
        if read is not None:
            read.append(k)
        yield np.full((H, W, 3), 10 * k, np.uint8)


def numbers_of(frames):
    return [round(float(frame.mean()) / 10) for frame in frames]


@pytest.mark.parametrize("wanted", [
    [0, 1, 2, 3, 2, 1, 0, 1, 2, 3], [2, 5, 9, 5, 2, 5], [4, 4, 4], [7, 3, 7, 0, 9, 0], [0]])
@pytest.mark.parametrize("in_memory", [256 << 20, 100])
def test_walking_to_and_fro_gives_the_frames_asked_for_and_decodes_each_once(wanted, in_memory, monkeypatch):
    monkeypatch.setattr(pasting, "IN_MEMORY", in_memory)  # 100 bytes: all else goes to a file
    first_at = [t for t in range(len(wanted)) if all(k <= wanted[t] for k in wanted[:t])]
    read = []
    frames = list(walk(numbered(30, read), np.array(wanted)))
    assert numbers_of(frames) == wanted
    assert read == list(range(max(wanted) + 1)), "decoded once, and no further than needed"
    assert all(np.ptp(frames[t]) == 0 for t in first_at)


def test_frames_come_back_nearly_as_they_were_and_in_their_colours():
    y, x = np.mgrid[:H, :W]
    first = np.stack([x * 3, y * 3, 255 - x * 3], -1).astype(np.uint8)
    frames = list(walk([first, np.zeros_like(first)], np.array([0, 1, 0])))
    assert np.array_equal(frames[0], first), "a frame that is walked to forwards is not compressed"
    assert np.abs(frames[2].astype(int) - first).mean() < 1.5


# ---- clips and takes -----------------------------------------------------------------------------

def footage(frames, fps=25.0, ids=None, path="clip.mp4"):
    height, width = frames[0].shape[:2]
    ids = np.arange(len(frames)) if ids is None else np.array(ids)
    info = VideoInfo(fps, len(frames), width, height, True, ids)
    return Footage(Path(path), info, lambda: iter(frames), lambda: np.zeros(9, np.float32), None, None, None)


def take_of(frame_ids, fps=25.0, **other):
    return {"name": "me/all", "subject": "me", "fps": fps, "box": (10, 2, 60), "picture": (W, H),
            "frame_ids": torch.tensor(frame_ids), "source": "then/clip.mp4", "background": 0,
            "K": torch.eye(3), **other}


@pytest.mark.parametrize("clip_fps, clip_ids, take_fps, take_ids, want", [
    (25.0, range(8), 25.0, [0, 3, 7], [0, 3, 7]), (50.0, range(8), 25.0, [0, 1, 3], [0, 2, 6]),
    (25.0, [0, 1, 4, 5], 25.0, [1, 4, 5], [1, 2, 3]),  # the clip has a gap: ids, not places
    (30000 / 1001, range(900), 30000 / 1001, [0, 450, 899], [0, 450, 899]),
    (59.94, range(1800), 29.97, [899], [1798]), (25.0, [5], 25.0, [5], [0])])
def test_a_training_frame_is_found_by_its_time(clip_fps, clip_ids, take_fps, take_ids, want):
    blank = [np.zeros((H, W, 3), np.uint8)] * len(clip_ids)
    clip = footage(blank, clip_fps, clip_ids)
    assert frame_numbers(take_of(take_ids, take_fps), clip).tolist() == want


@pytest.mark.parametrize("change, says", [
    (dict(box=None), "--into other.mp4: this run was not trained on a clip"),
    (dict(picture=(W, H + 2)), "other.mp4: its pictures have 80 x 64 px, those of the training 80 x 66"),
    (dict(frame_ids=torch.tensor([0, 12])), "other.mp4: has no picture at 0.48 s")])
def test_another_clip_is_refused_in_one_line_at_once(change, says, monkeypatch):
    clip = footage(list(numbered(8)), path="other.mp4")
    monkeypatch.setattr(pasting, "open_footage", lambda path: clip)
    with pytest.raises(InputError) as error:
        source_frames(take_of([0, 1]) | change, "other.mp4", np.array([0, 1]))
    assert str(error.value).startswith(says) and "\n" not in str(error.value)


def test_a_run_of_stand_in_heads_has_no_clip():
    with pytest.raises(InputError, match="this run was not trained on a clip"):
        source_frames({"name": "toy01/s", "fps": 30.0}, "clip.mp4", np.array([0]))


# ---- all of it -----------------------------------------------------------------------------------

IDS = [2, 3, 5, 6]  # the training frames among the clip's


@pytest.fixture
def run_on_a_clip(monkeypatch):
    """(run, frames of its clip): smooth random pictures, and a field that shows at each of its poses the true
    crop of one of them: the number of that frame is the head's distance."""
    coarse = np.random.default_rng(1).integers(0, 256, (8, 4, 5, 3), dtype=np.uint8)
    frames = [cv2.resize(image, (W, H), interpolation=cv2.INTER_CUBIC) for image in coarse]
    poses = torch.diag(torch.tensor([1.0, -1, -1, 1])).repeat(len(IDS), 1, 1)
    poses[:, 2, 3] = torch.tensor(IDS)

    def render(run, codes, f_lip, K, cam_to_head, background, rest=None):
        for pose in cam_to_head:
            yield frames[round(float(pose[:3, 3].norm()))][2:62, 10:70]

    monkeypatch.setattr(pasting, "open_footage", lambda path: footage(frames))
    monkeypatch.setattr(animate, "render_frames", render)
    monkeypatch.setattr(animate, "sound_to_lips", lambda run, wave, time: None)
    monkeypatch.setattr(animate, "chosen_codes", lambda *args: {})
    run = object.__new__(Run)
    run.takes, run.backgrounds = [take_of(IDS, cam_to_head=poses)], torch.zeros(1, 60, 60, 3)
    return run, frames


@pytest.mark.parametrize("options", [{}, {"yaw": 20.0, "pitch": -10.0}, {"orbit": True}])
def test_head_and_picture_walk_together(run_on_a_clip, options):
    """The field shows the crop of the frame whose pose it gets, so what is pasted must vanish in its frame; two
    frames differ by some 85 levels."""
    run, frames = run_on_a_clip
    wave = np.zeros(16000 * 9 // 25, np.float32)
    made, length, fps = animate.animate(run, wave, **options, into="clip.mp4")
    made = list(made)
    assert (len(made), length, fps) == (9, 9, 25.0)
    for t, k in enumerate([2, 3, 5, 6, 5, 3, 2, 3, 5]):
        off = np.abs(made[t].astype(int) - frames[k])
        assert not off[8:56, 16:64].any(), "within the ramps the render alone is seen"
        assert off.max() == 0 if t < 4 else off.mean() < 1.5, "frames that come again were JPEG"


def test_poses_move_the_head_and_the_pictures_walk_on(run_on_a_clip):
    """Every pose asked for shows frame 6; the pictures about it are those of the take, one after the other."""
    run, frames = run_on_a_clip
    pose = np.diag([1.0, -1, -1, 1])
    pose[2, 3] = 6
    made, _, _ = animate.animate(run, np.zeros(16000 * 4 // 25, np.float32), poses=pose[None], into="clip.mp4")
    for image, k in zip(made, IDS):
        assert np.array_equal(image[8:56, 16:64], frames[6][8:56, 16:64])
        assert np.array_equal(image[outside((10, 2, 60))], frames[k][outside((10, 2, 60))])


def test_a_clip_and_nothing_else_becomes_a_video(tmp_path, run_on_a_clip, monkeypatch):
    """Through files: the clip is written, read and found again, and the full frames are as large as it is."""
    run, frames = run_on_a_clip
    wave = np.sin(np.arange(16000 // 25 * 8) / 10).astype(np.float32)
    write_video(tmp_path / "clip.mp4", iter(frames), 25, wave)
    write_video(tmp_path / "speech.mp4", iter(frames[:6]), 25, wave[:16000 // 25 * 6])
    monkeypatch.setattr(pasting, "open_footage", open_footage)
    monkeypatch.setattr(animate, "load_run", lambda folder, device: run)
    animate.main(["run", "--audio", str(tmp_path / "speech.mp4"), "--into", str(tmp_path / "clip.mp4"),
                  "--out", str(tmp_path / "full.mp4")])
    made = list(read_frames(tmp_path / "full.mp4"))
    assert len(made) == 6 and made[0].shape == (H, W, 3)
    for image, k in zip(made, [2, 3, 5, 6, 5, 3]):
        assert np.abs(image.astype(int) - frames[k]).mean() < 6  # H.264 twice
