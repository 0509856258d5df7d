"""The landmark files of a clip (Sec. 3.2) and the 68 points that are taken of MediaPipe's mesh."""
import sys
from types import SimpleNamespace as Namespace

import numpy as np
import pytest

import tracking
from tools import landmarks
from tools.errors import InputError
from tools.media import write_video


# ---- files ---------------------------------------------------------------------------------------
def test_landmarks_are_read_from_npy_and_from_lms(tmp_path):
    wanted = np.random.default_rng(0).uniform(0, 512, (4, 68, 2)).astype(np.float32)
    np.save(tmp_path / "a.landmarks.npy", wanted)
    assert np.array_equal(landmarks.load_landmarks(tmp_path / "a.mp4", 4), wanted)
    (tmp_path / "b.lms").mkdir()
    for i in (0, 1, 3):
        (tmp_path / f"b.lms/{i}.lms").write_text("\n".join(f"{x} {y}" for x, y in wanted[i]))
    got = landmarks.load_landmarks(tmp_path / "b.mp4", 4)
    assert np.allclose(got[[0, 1, 3]], wanted[[0, 1, 3]]) and np.isnan(got[2]).all()


def refused(clip, n_frames=4):
    with pytest.raises(InputError) as caught:
        landmarks.load_landmarks(clip, n_frames)
    message = str(caught.value)
    assert "\n" not in message and str(clip.parent) in message
    return message


def test_what_is_wrong_with_a_landmark_file_is_said_in_one_line(tmp_path):
    clip, file = tmp_path / "a.mp4", tmp_path / "a.landmarks.npy"
    assert f"python tracking.py {clip} --detect" in refused(clip)
    np.save(file, np.zeros((4, 68, 2), np.float32))
    file.write_bytes(file.read_bytes()[:-100])
    assert "truncated" in refused(clip)
    file.write_bytes(b"")
    assert "truncated" in refused(clip)
    file.write_bytes(b"not numpy at all")
    assert "not a .npy" in refused(clip)
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refused(clip)
    for wrong in (np.zeros((4, 67, 2)), np.zeros((4, 68, 3)), np.zeros((68, 2)),
                  np.full((4, 68, 2), "x")):
        np.save(file, wrong)
        assert "(frames, 68, 2)" in refused(clip)
    np.save(file, np.zeros((5, 68, 2)))
    assert "5 frames" in refused(clip) and "4 frames" in refused(clip)
    np.save(file, np.full((4, 68, 2), np.nan))
    assert "no frame has landmarks" in refused(clip)


def test_what_is_wrong_with_lms_files_is_said_in_one_line(tmp_path):
    clip, folder = tmp_path / "a.mp4", tmp_path / "a.lms"
    folder.mkdir()
    assert "NUMBER.lms" in refused(clip)
    (folder / "0.lms").write_text("1 2\n3 4\n")
    assert "68 lines" in refused(clip)
    (folder / "0.lms").write_text("1 2\n" * 68)
    (folder / "9.lms").write_text("1 2\n" * 68)
    assert "no frame 9" in refused(clip)


# ---- MediaPipe's points --------------------------------------------------------------------------
# Pairs of mesh points, right and left, from MediaPipe's outlines (oval, brows, eyes, lips), nose.
MIRROR = dict([
    (162, 389), (234, 454), (93, 323), (58, 288), (172, 397), (136, 365), (149, 378), (148, 377),
    (71, 301), (63, 293), (105, 334), (66, 296), (107, 336), (75, 305), (97, 326), (33, 263),
    (160, 387), (158, 385), (133, 362), (153, 380), (144, 373), (61, 291), (39, 269), (37, 267),
    (84, 314), (181, 405), (78, 308), (82, 312), (87, 317)])
MIDLINE = {152, 168, 197, 5, 4, 2, 0, 17, 13, 14}
IBUG_MIRROR = np.r_[16:-1:-1, 26:16:-1, 27:31, 35:30:-1, 45:41:-1, 47, 46, 39:35:-1, 41, 40,
                    54:47:-1, 59:54:-1, 64:59:-1, 67:64:-1]


def test_mediapipe_points_mirror_like_ibug_points():
    points = landmarks.MEDIAPIPE_68
    assert points.shape == (68,) and len(set(points.tolist())) == 68
    assert points.min() >= 0 and points.max() < 468
    both = MIRROR | {b: a for a, b in MIRROR.items()} | {m: m for m in MIDLINE}
    wrong = [i for i in range(68) if both[int(points[i])] != points[IBUG_MIRROR[i]]]
    assert wrong == []
    right = np.r_[0:8, 17:22, 31, 32, 36:42, 48:51, 58:62, 67]  # the left half of the image
    assert set(points[right].tolist()) == set(MIRROR)
    above = {37: 160, 38: 158, 43: 385, 44: 387, 51: 0, 62: 13, 27: 168}  # upper lids, lips, bridge
    below = {41: 144, 40: 153, 46: 373, 47: 380, 57: 17, 66: 14, 33: 2, 8: 152}
    for ibug, mesh in (above | below).items():
        assert points[ibug] == mesh, f"iBUG {ibug}"


def test_without_mediapipe_detect_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.face_mesh", None)
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(InputError, match="no such file"):
        landmarks.detect(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").write_bytes(b"a clip")
    with pytest.raises(InputError, match="requirements-landmarks.txt.*--detect"):
        landmarks.detect(tmp_path / "a.mp4")
    (tmp_path / "a.landmarks.npy").write_bytes(b"precious")
    with pytest.raises(InputError, match="--force"):
        landmarks.detect(tmp_path / "a.mp4")
    assert (tmp_path / "a.landmarks.npy").read_bytes() == b"precious"


def test_the_detect_command_writes_pixels_and_nan_rows(tmp_path, monkeypatch, capsys):
    """With a stand-in for MediaPipe: point i lies at (i / 1000, i / 2000) of the frame; no face in
    frame 1."""
    points = [Namespace(x=i / 1000, y=i / 2000) for i in range(478)]
    answers = iter([[Namespace(landmark=points)], None, [Namespace(landmark=points)]] * 2)

    class FaceMesh:
        def __init__(self, **options):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def process(self, frame):
            assert frame.shape == (32, 64, 3) and frame.dtype == np.uint8
            return Namespace(multi_face_landmarks=next(answers))

    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.face_mesh",
                        Namespace(FaceMesh=FaceMesh))
    clip = tmp_path / "a.mp4"
    write_video(clip, [np.full((32, 64, 3), 90, np.uint8)] * 3, 25.0)
    assert tracking.main([str(clip), "--detect"]) == 0
    assert "a face in 2 of 3 frames" in capsys.readouterr().out
    got = landmarks.load_landmarks(clip, 3)
    assert np.isnan(got[1]).all()
    assert np.allclose(got[[0, 2]], landmarks.MEDIAPIPE_68[:, None] * [64 / 1000, 32 / 2000],
                       atol=1e-5)
    with pytest.raises(InputError, match="--force"):
        tracking.main([str(clip), "--detect"])
    assert tracking.main([str(clip), "--detect", "--force"]) == 0
