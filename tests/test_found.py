"""test_found.py - landmarks and mattes that a clip lacks: found once, kept beside the run, and the take
that comes of them; Footage of a video with what lies beside it.
"""
import cv2
import numpy as np
import pytest

from data import clip, found
from data.footage import open_footage
from data.found import Detectors
from synthetic.cameras import frontal_camera, project
from tools import landmarks, matte, media
from tools.errors import InputError
from tracking import generic_model

N, SIDE = 30, 120
FACE = project(generic_model().mean, np.array([[300.0, 0, 60], [0, 300, 50], [0, 0, 1]]),
               frontal_camera(10.0))


def places():
    return FACE + np.stack([np.linspace(-8, 8, N), np.zeros(N)], 1)[:, None]


@pytest.fixture()
def talk(tmp_path):
    """A still wall, and in front of it a red head in black hair that moves to the right."""
    y, x = np.mgrid[:SIDE, :SIDE]
    wall = np.stack([60 + x, 200 - y, 90 + 0 * x], -1).astype(np.uint8)
    pictures, mattes = [], []
    for marks in places():
        picture, cover = wall.copy(), np.zeros((SIDE, SIDE), np.uint8)
        middle = tuple(int(v) for v in marks.mean(0))
        cv2.ellipse(cover, middle, (34, 46), 0, 0, 360, 255, -1)
        picture[cover > 0] = 20
        cv2.ellipse(picture, middle, (22, 30), 0, 0, 360, (220, 60, 60), -1)
        pictures.append(picture)
        mattes.append(cover)
    time = np.arange(int(N / 25 * 16000)) / 16000
    wave = (0.3 * np.sin(2 * np.pi * 220 * time) * (1 + np.sin(2 * np.pi * 3 * time)) / 2)
    media.write_video(tmp_path / "talk.mp4", pictures, 25, wave.astype(np.float32))
    return tmp_path / "talk.mp4", np.array(pictures), np.array(mattes), wall


@pytest.fixture()
def detectors(tmp_path, monkeypatch, talk):
    """A stand-in for MediaPipe that knows the answers, and counts how often it is asked."""
    asked = []

    def find_faces(frames, total=None, model=None):
        asked.append("faces")
        return np.stack([marks for marks, _ in zip(places(), frames)]).astype(np.float32)

    def find_mattes(frames, total=None, model=None):
        asked.append("mattes")
        return (cover for cover, _ in zip(talk[2], frames))

    monkeypatch.setattr(landmarks, "have_detector", lambda model=None: True)
    monkeypatch.setattr(landmarks, "find_faces", find_faces)
    monkeypatch.setattr(matte, "have_segmenter", lambda model=None: True)
    monkeypatch.setattr(matte, "find_mattes", find_mattes)
    return Detectors(tmp_path / "run" / "found"), asked


def test_a_clip_alone_is_enough_and_what_is_found_is_kept_beside_the_run(talk, detectors, tmp_path):
    path, pictures, mattes, wall = talk
    kept, asked = detectors
    before = sorted(tmp_path.iterdir())
    take = clip.load_clip(path, 64, tmp_path / "cache", kept, "0")
    assert asked == ["faces", "mattes"] and take.whole
    assert take.story.landmarks == "MediaPipe" and take.story.mask == "matte, MediaPipe"
    left, top, side = take.story.box
    np.testing.assert_allclose(take.landmarks, (places() - [left, top]) * 64 / side, atol=1e-3)
    want = [cv2.resize(m[top:top + side, left:left + side], (64, 64), interpolation=cv2.INTER_AREA)
            for m in mattes]
    assert np.abs(take.masks.astype(float) - want).mean() < 6, "the matte, cut as the frames are"
    hair = (np.array(want) > 250) & (take.frames.max(-1) < 60)
    assert hair.mean() > 0.05 and take.masks[hair].min() > 128, "hair is inside the mask"
    seen = cv2.resize(wall[top:top + side, left:left + side], (64, 64)).astype(int)
    hidden = (take.masks > 0).all(0)
    grown = cv2.dilate(hidden.astype(np.uint8), np.ones((9, 9))) > 0
    assert np.abs(take.background - seen)[~grown].max() < 12, "the wall, where it is ever seen"
    after = set(tmp_path.iterdir()) - set(before)
    assert {p.name for p in after} == {"cache", "run"}, "nothing beside the user's file"
    again = clip.load_clip(path, 64, tmp_path / "elsewhere", kept, "0")
    assert asked == ["faces", "mattes"], "found once"
    np.testing.assert_array_equal(again.frames, take.frames)
    np.testing.assert_array_equal(again.masks, take.masks)
    np.testing.assert_array_equal(again.landmarks, take.landmarks)


def test_the_users_own_files_come_first(talk, detectors, tmp_path):
    path, _, mattes, _ = talk
    kept, asked = detectors
    np.save(tmp_path / "talk.landmarks.npy", places().astype(np.float32))
    media.write_video(tmp_path / "talk.matte.mp4", [np.repeat(m[..., None], 3, -1) for m in mattes],
                      25)
    take = clip.load_clip(path, 64, tmp_path / "cache", kept, "0")
    assert asked == [] and (take.story.landmarks, take.story.mask) == ("given", "matte, given")


def test_a_changed_clip_is_looked_at_again(talk, detectors, tmp_path):
    path, pictures, *_ = talk
    kept, asked = detectors
    found.landmarks_of(open_footage(path), kept)
    path.unlink()
    media.write_video(path, pictures[:20], 25, np.zeros(12800, np.float32))
    marks, _ = found.landmarks_of(open_footage(path), kept)
    assert len(marks) == 20 and asked == ["faces", "faces"]


def test_without_a_detector_one_line_says_what_to_install(talk, tmp_path, monkeypatch):
    monkeypatch.setattr(landmarks, "have_detector", lambda model=None: False)
    with pytest.raises(InputError, match="talk.mp4.*requirements-landmarks.txt.*landmarks.npy"):
        clip.load_clip(talk[0], 64, tmp_path / "cache", Detectors(tmp_path / "found"), "0")
    assert not (tmp_path / "found").exists() and not (tmp_path / "cache").exists()


def test_without_a_segmenter_the_face_is_the_mask(talk, detectors, tmp_path, monkeypatch):
    monkeypatch.setattr(matte, "have_segmenter", lambda model=None: False)
    take = clip.load_clip(talk[0], 64, tmp_path / "cache", detectors[0], "0")
    assert not take.whole and take.story.mask == "face alone"
    assert take.masks.mean() < 0.6 * (talk[2].mean() * (SIDE / take.story.box[2]) ** 2)


def test_frames_beyond_the_sound_are_left_out_and_counted(talk, detectors, tmp_path):
    path, pictures, *_ = talk
    path.unlink()
    tone = np.sin(np.arange(8000) / 5).astype(np.float32)  # half a second
    media.write_video(path, pictures, 25, tone)
    take = clip.load_clip(path, 64, tmp_path / "cache", detectors[0], "0")
    late = take.frame_ids[-1] / 25 - 0.5
    assert -0.041 < late <= clip.OUTLAST + 1e-6
    assert take.story.dropped == {"beyond the sound": N - len(take.frame_ids)}


def test_a_false_detection_is_left_out_and_counted(talk, detectors, tmp_path, monkeypatch):
    wrong = places()
    wrong[11] += [45, -30]
    monkeypatch.setattr(landmarks, "find_faces", lambda *_: wrong.astype(np.float32))
    take = clip.load_clip(talk[0], 64, tmp_path / "cache", detectors[0], "0")
    assert take.story.dropped == {"not this face": 1} and 11 not in take.frame_ids
    assert (take.landmarks > 0).all() and (take.landmarks < 64).all()


def test_a_matte_that_fails_in_a_frame_leaves_the_face_and_an_inverted_one_is_refused(talk, detectors, tmp_path):
    path, _, mattes, _ = talk
    np.save(tmp_path / "talk.landmarks.npy", places().astype(np.float32))
    write = lambda covers: media.write_video(tmp_path / "talk.matte.mp4",
                                             [np.repeat(m[..., None], 3, -1) for m in covers], 25)
    broken = mattes.copy()
    broken[7] = 0
    write(broken)
    take = clip.load_clip(path, 64, tmp_path / "cache", detectors[0], "0")
    x, y = take.landmarks[7, 30].astype(int)
    assert take.masks[7, y, x] == 255 and take.masks[7].mean() < take.masks[6].mean()
    write(255 - mattes)
    with pytest.raises(InputError, match="talk.mp4: its matte is dark where the face is"):
        clip.load_clip(path, 64, tmp_path / "cache", detectors[0], "0")
