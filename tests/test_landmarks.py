"""The landmark files of a clip (Sec. 3.2), the points taken of MediaPipe's mesh, and whose face they are."""
import builtins
import errno
import sys
from pathlib import Path
from types import SimpleNamespace as Namespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import tracking
from tools import landmarks
from tools.errors import InputError
from tools.media import VideoInfo, write_video

W, H = 640, 480


def info(frames=4, width=W, height=H):
    return VideoInfo(25.0, frames, width, height, True, tuple(range(frames)))


# Pairs of mesh points, right and left, from MediaPipe's outlines (oval, brows, eyes, lips), nose.
MIRROR = dict([
    (162, 389), (234, 454), (93, 323), (58, 288), (172, 397), (136, 365), (149, 378), (148, 377),
    (71, 301), (63, 293), (105, 334), (66, 296), (107, 336), (75, 305), (97, 326), (33, 263),
    (160, 387), (158, 385), (133, 362), (153, 380), (144, 373), (61, 291), (39, 269), (37, 267),
    (84, 314), (181, 405), (78, 308), (82, 312), (87, 317)])
MIDLINE = {152, 168, 197, 5, 4, 2, 0, 17, 13, 14}
IBUG_MIRROR = np.r_[16:-1:-1, 26:16:-1, 27:31, 35:30:-1, 45:41:-1, 47, 46, 39:35:-1, 41, 40,
                    54:47:-1, 59:54:-1, 64:59:-1, 67:64:-1]


# ---- files ---------------------------------------------------------------------------------------
def plausible(frames=4, tilt=0.0, yaw=0.0, centre=(300, 250), size=160.0, seed=0):
    """Faces (frames, 68, 2) px of the stand-in's mean shape, turned and projected in parallel.

    tilt and yaw in degrees; size: px per decimetre and a half or so; each frame has noise of 1 px.
    """
    shape = tracking.generic_model().mean  # (68, 3) dm, x to the image's right, y up
    R = Rotation.from_euler("ZY", [tilt, yaw], degrees=True).as_matrix()
    flat = (shape - shape.mean(0)) @ R.T
    points = np.array(centre) + size / 1.5 * flat[:, :2] * [1, -1]
    noise = np.random.default_rng(seed).normal(0, 1, (frames, 68, 2))
    return (points + noise).astype(np.float32)


def test_landmarks_are_read_from_npy_and_from_lms(tmp_path):
    wanted = plausible()
    assert not landmarks.has_landmarks(tmp_path / "a.mp4")
    np.save(tmp_path / "a.landmarks.npy", wanted)
    assert landmarks.has_landmarks(tmp_path / "a.mp4")
    assert np.array_equal(landmarks.load_landmarks(tmp_path / "a.mp4", info()), wanted)
    (tmp_path / "b.lms").mkdir()
    assert landmarks.has_landmarks(tmp_path / "b.mp4")
    texts = {i: "\n".join(f"{x} {y}" for x, y in wanted[i]) for i in (0, 1, 2)}
    (tmp_path / "b.lms/0.lms").write_text(texts[0])
    (tmp_path / "b.lms/00001.lms").write_bytes(b"\xef\xbb\xbf" + texts[1].encode())  # Notepad's mark
    (tmp_path / "b.lms/2.lms").write_bytes(texts[2].encode("utf-16"))  # what > of PowerShell writes
    (tmp_path / "b.lms/notes.txt").write_text("not landmarks")
    got = landmarks.load_landmarks(tmp_path / "b.mp4", info())
    assert np.allclose(got[:3], wanted[:3]) and np.isnan(got[3]).all()
    assert len(landmarks.load_landmarks(tmp_path / "b.mp4")) == 3  # no clip: as many as there are


@pytest.mark.parametrize("value", [0, -1, 7.5, np.nan, np.inf])
def test_rows_of_one_value_say_that_there_is_no_face(tmp_path, value):
    wanted = plausible()
    wanted[1] = value
    wanted[2, 5] = np.nan  # one point that is not known
    np.save(tmp_path / "a.landmarks.npy", wanted)
    got = landmarks.load_landmarks(tmp_path / "a.mp4", info())
    assert np.isnan(got[[1, 2]]).all() and np.array_equal(got[[0, 3]], wanted[[0, 3]])
    wanted[0, :, 0] = 7.5  # a line is odd, but it does not say that there is no face
    assert np.isfinite(landmarks.without_empty_rows(wanted)[0]).all()
    np.save(tmp_path / "a.landmarks.npy", np.full((4, 68, 2), value))
    assert "no frame has landmarks" in refused(tmp_path / "a.mp4")


def refused(clip, about=None):
    with pytest.raises(InputError) as caught:
        landmarks.load_landmarks(clip, about or info())
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
    file.write_bytes(b"PK\x03\x04 the start of an archive")
    assert "not a .npy" in refused(clip)
    np.save(file, np.array([None, plausible(1)[0]], dtype=object), allow_pickle=True)
    assert "Python objects" in refused(clip) and "truncated" not in refused(clip)
    with file.open("wb") as archive:
        np.savez(archive, plausible())
    assert ".npz" in refused(clip)
    for wrong in (np.zeros((4, 67, 2)), np.zeros((4, 68, 3)), np.zeros((68, 2)),
                  np.full((4, 68, 2), "x")):
        np.save(file, wrong)
        assert "(frames, 68, 2)" in refused(clip)
    np.save(file, plausible(5))
    assert "5 frames" in refused(clip) and "4 frames" in refused(clip)


def test_what_is_wrong_with_lms_files_is_said_in_one_line(tmp_path):
    clip, folder = tmp_path / "a.mp4", tmp_path / "a.lms"
    folder.mkdir()
    assert "NUMBER.lms" in refused(clip)
    (folder / "0.lms").write_text("1 2\n3 4\n")
    assert "68 lines" in refused(clip)
    (folder / "0.lms").write_bytes(b"\x80\xff" * 68)
    assert "68 lines" in refused(clip)
    (folder / "0.lms").write_text("1 2\n" * 68)
    (folder / "9.lms").write_text("1 2\n" * 68)
    assert "no frame 9" in refused(clip)


def locked(monkeypatch, name):
    """Nothing of that name can be opened or listed; tests may run as root, whom no mode stops."""
    for where, what in ((builtins, "open"), (Path, "read_bytes"), (Path, "iterdir")):
        def denied(path, *args, real=getattr(where, what), **options):
            if Path(str(path)).name == name:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path, *args, **options)
        monkeypatch.setattr(where, what, denied)


def test_a_locked_file_is_not_to_be_made_again(tmp_path, monkeypatch):
    clip = tmp_path / "a.mp4"
    np.save(tmp_path / "a.landmarks.npy", plausible())
    (tmp_path / "b.lms").mkdir()
    (tmp_path / "b.lms/0.lms").write_text("1 2\n" * 68)
    for name, where in (("a.landmarks.npy", clip), ("0.lms", tmp_path / "b.mp4"), ("b.lms", tmp_path / "b.mp4")):
        with monkeypatch.context() as patch:
            locked(patch, name)
            said = refused(where)
            assert "permission" in said and name in said and "--force" not in said and "again" not in said
    assert landmarks.load_landmarks(clip, info()).shape == (4, 68, 2)  # unlocked, it is read


# ---- pixels, x then y, of the clip's picture -----------------------------------------------------
@pytest.mark.parametrize("tilt", [-60, -30, 0, 45, 60])
@pytest.mark.parametrize("yaw", [-50, 0, 50])
def test_an_upright_face_passes_tilted_and_turned(tmp_path, tilt, yaw):
    np.save(tmp_path / "a.landmarks.npy", plausible(tilt=tilt, yaw=yaw))
    assert np.isfinite(landmarks.load_landmarks(tmp_path / "a.mp4", info())).all()


@pytest.mark.parametrize("name, change, reason", [
    ("normalised", lambda p: p / [W, H], "normalised"),
    ("normalised, some beyond", lambda p: p / [W, H] + [0.6, 0.5], "normalised"),
    ("normalised to -1..1", lambda p: 2 * p / [W, H] - 1, "normalised"),
    ("normalised and swapped", lambda p: p[..., ::-1] / [H, W], "normalised"),
    ("swapped", lambda p: p[..., ::-1], "x and y are exchanged"),
    ("mirrored", lambda p: [W, 0] + p * [-1, 1], "left and right are exchanged"),
    ("other order", lambda p: p[:, IBUG_MIRROR], "left and right are exchanged"),
    ("y up", lambda p: [0, H] + p * [1, -1], "y runs upwards"),
    ("y up from the top", lambda p: p * [1, -1], "y runs upwards"),
    ("transposed backwards", lambda p: [H, W] - p[..., ::-1], "x and y are exchanged, and y"),
    ("upside down", lambda p: [W, H] - p, "turned by 1[5-8]"),
    ("a rotation tag not obeyed", lambda p: p[..., ::-1] * [1, -1] + [0, W], "turned by (8|9|11)"),
    ("of four times the resolution", lambda p: p * 4, "another resolution"),
    ("left of the picture", lambda p: p - [330, 0], "outside the picture")])
@pytest.mark.parametrize("tilt", [0, 25])
def test_what_is_not_pixels_is_refused_with_its_reason(tmp_path, name, change, reason, tilt):
    wrong = change(plausible(9, tilt=tilt).astype(float))
    wrong[3] = -1  # no face
    if tilt == 0:
        wrong[0] = plausible(1)  # one good frame among them, the first
    np.save(tmp_path / "a.landmarks.npy", wrong)
    said = refused(tmp_path / "a.mp4", info(9))
    assert "a.landmarks.npy" in said and f"pixels, x then y, of a {W} x {H} picture" in said
    with pytest.raises(InputError, match=reason):
        landmarks.load_landmarks(tmp_path / "a.mp4", info(9))
    assert landmarks.load_landmarks(tmp_path / "a.mp4").shape == (9, 68, 2)  # without a clip, no word


def test_lms_files_are_checked_too_and_odd_frames_pass(tmp_path):
    (tmp_path / "a.lms").mkdir()
    for i, points in enumerate(plausible()[..., ::-1]):
        np.savetxt(tmp_path / f"a.lms/{i}.lms", points)
    assert "a.lms: x and y are exchanged" in refused(tmp_path / "a.mp4")
    odd = plausible(9)
    odd[0] += [500, 0]            # a false detection, outside
    odd[1] = odd[1, :, ::-1]      # nonsense in another
    odd[2] -= [250, 0]            # half outside
    np.save(tmp_path / "b.landmarks.npy", odd)
    assert np.array_equal(landmarks.load_landmarks(tmp_path / "b.mp4", info(9)), odd)
    edge = plausible(centre=(10, 470))  # the face is cut by the picture's corner: most points outside
    np.save(tmp_path / "c.landmarks.npy", edge)
    assert "outside the picture" in refused(tmp_path / "c.mp4")
    near = plausible(centre=(40, 300))  # a third of it is outside
    assert 0.1 < (near[..., 0] < 0).mean() < 0.45
    np.save(tmp_path / "d.landmarks.npy", near)
    assert landmarks.load_landmarks(tmp_path / "d.mp4", info()).shape == (4, 68, 2)


# ---- MediaPipe's points --------------------------------------------------------------------------
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


def mediapipe_that_sees(monkeypatch, answers):
    """A stand-in for MediaPipe's face mesh: for each frame the meshes (478, 2) it sees, in shares."""
    answers = iter(answers)

    class FaceMesh:
        def __init__(self, **options):
            assert not options["static_image_mode"]

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def process(self, frame):
            assert frame.shape == (32, 64, 3) and frame.dtype == np.uint8
            faces = [Namespace(landmark=[Namespace(x=x, y=y) for x, y in mesh]) for mesh in next(answers)]
            return Namespace(multi_face_landmarks=faces or None)

    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.face_mesh", Namespace(FaceMesh=FaceMesh))


MESH = np.c_[np.arange(478) / 1000, np.arange(478) / 2000]
FRAME = np.full((32, 64, 3), 90, np.uint8)


def test_the_detect_command_writes_pixels_and_nan_rows(tmp_path, monkeypatch, capsys):
    mediapipe_that_sees(monkeypatch, [[MESH], [], [MESH]] * 2)
    clip = tmp_path / "a.mp4"
    write_video(clip, [FRAME] * 3, 25.0)
    assert tracking.main([str(clip), "--detect"]) is None
    said = capsys.readouterr()
    assert "a face in 2 of 3 frames" in said.out and "finding landmarks" in said.err and "3/3" in said.err
    got = landmarks.load_landmarks(clip)
    assert np.isnan(got[1]).all()
    assert np.allclose(got[[0, 2]], landmarks.MEDIAPIPE_68[:, None] * [64 / 1000, 32 / 2000],
                       atol=1e-5)
    with pytest.raises(InputError, match="--force"):
        tracking.main([str(clip), "--detect"])
    assert tracking.main([str(clip), "--detect", "--force"]) is None


# ---- whose face it is ----------------------------------------------------------------------------
def seen(monkeypatch, per_frame):
    """x in px of the mean of the face that is found in each frame of 64 x 32 px; NaN: none.

    per_frame: for each frame (x, size) of the faces there, px; in any order.
    """
    centre = MESH[landmarks.MEDIAPIPE_68].mean(0)
    width = np.ptp(MESH[landmarks.MEDIAPIPE_68, 0])
    meshes = [[(MESH - centre) * (size / 64 / width) + [x / 64, 0.5] for x, size in faces]
              for faces in per_frame]
    mediapipe_that_sees(monkeypatch, meshes)
    return landmarks.find_faces([FRAME] * len(per_frame))[..., 0].mean(1)


def test_the_larger_of_two_people_is_followed_and_never_the_other(monkeypatch):
    left = [(12 + 0.3 * t, 18) for t in range(20)]
    right = [(50 - 0.3 * t, 12) for t in range(20)]
    both = [[a, b] if t % 2 else [b, a] for t, (a, b) in enumerate(zip(left, right))]
    assert np.allclose(seen(monkeypatch, both), [x for x, _ in left], atol=1e-4)
    for t in range(8, 14):
        both[t] = [right[t]]  # the first person is hidden: nobody, not the other person
    got = seen(monkeypatch, both)
    assert np.isnan(got[8:14]).all() and np.allclose(got[14:], [x for x, _ in left[14:]], atol=1e-4)


def test_two_heads_side_by_side_are_not_mixed_up(monkeypatch):
    """They are nearer to each other than a head may move between frames."""
    frames = [[(20, 18), (34, 16)] if t % 2 else [(34, 16), (20, 18)] for t in range(20)]
    frames[5] = frames[6] = [(34, 16)]                # one alone is still the second
    frames[9] = [(20, 18), (34, 16), (26, 17)]        # a false third between them
    got = seen(monkeypatch, frames)
    assert np.isnan(got[5:7]).all() and np.allclose(np.delete(got, [5, 6]), 20, atol=1e-4)


def test_a_false_detection_at_the_start_or_between_is_not_followed(monkeypatch):
    frames = [[(50, 20)]] * 2 + [[(12, 16)]] * 20
    frames[10] = [(12, 16), (30, 60)]
    frames[11] = [(12, 60)]  # a face of four times the size at the same place is none
    got = seen(monkeypatch, frames)
    assert np.isnan(got[[0, 1, 11]]).all() and np.allclose(np.delete(got, [0, 1, 11]), 12, atol=1e-4)


def test_a_person_who_walks_across_the_picture_is_followed(monkeypatch):
    walk = np.linspace(5, 60, 30)
    assert np.allclose(seen(monkeypatch, [[(x, 12)] for x in walk]), walk, atol=1e-4)
    assert landmarks.find_faces([]).shape == (0, 68, 2)
    assert np.isnan(seen(monkeypatch, [[], []])).all()


# ---- a model file, for versions of MediaPipe that ship none --------------------------------------
@pytest.fixture
def tasks(monkeypatch):
    """A stand-in for MediaPipe's Tasks alone, without the solutions: fit models begin with 'fit'.

    It returns a list of what the tasks were given: (kind, options) and (frame, time in ms).
    """
    given = []

    def task(kind, way, result):
        class Task:
            @classmethod
            def create_from_options(cls, options):
                if not options.base_options.model_asset_buffer.startswith(b"fit"):
                    raise ValueError("Unable to open zip archive.\nand a stack trace")
                given.append((kind, options))
                return cls()

            def __enter__(self):
                return self

            def __exit__(self, *error):
                given.append("closed")

        def run(self, image, time):
            given.append((image.data, time))
            return result

        setattr(Task, way, run)
        return Task

    mesh = [Namespace(x=x, y=y) for x, y in MESH]
    vision = Namespace(
        RunningMode=Namespace(VIDEO="video"), FaceLandmarkerOptions=lambda **named: Namespace(**named),
        FaceLandmarker=task("FaceLandmarker", "detect_for_video", Namespace(face_landmarks=[mesh])))
    for name in ("mediapipe.python.solutions.face_mesh", "mediapipe.python.solutions", "mediapipe.python"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "mediapipe", Namespace(
        Image=lambda image_format, data: Namespace(data=data), ImageFormat=Namespace(SRGB="srgb")))
    monkeypatch.setitem(sys.modules, "mediapipe.tasks", Namespace())
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python", Namespace(
        BaseOptions=lambda model_asset_buffer: Namespace(model_asset_buffer=model_asset_buffer), vision=vision))
    return given


def test_a_named_model_finds_faces_where_mediapipe_ships_none(tasks, tmp_path):
    model = tmp_path / "face_landmarker.task"
    model.write_bytes(b"fit")
    assert not landmarks.have_detector() and landmarks.have_detector(model)
    assert tasks[-1] == "closed"
    tasks.clear()
    got = landmarks.find_faces([FRAME[:, ::-1]] * 3, 3, model)
    wanted = landmarks.MEDIAPIPE_68[:, None] * [64 / 1000, 32 / 2000]
    assert got.shape == (3, 68, 2) and np.allclose(got, wanted, atol=1e-5)
    (kind, options), *frames, closed = tasks
    assert kind == "FaceLandmarker" and options.running_mode == "video" and closed == "closed"
    times = [time for _, time in frames]
    assert times == sorted(set(times)) and all(frame.flags.c_contiguous for frame, _ in frames)


def test_a_model_that_is_missing_unfit_or_locked_is_said_in_one_line(tasks, tmp_path, monkeypatch):
    model = tmp_path / "my.task"
    with pytest.raises(InputError, match="my.task: no such model file.*face_landmarker.task"):
        landmarks.have_detector(model)
    model.write_bytes(b"something else")
    for use in (landmarks.have_detector, lambda model: landmarks.find_faces([FRAME], 1, model)):
        with pytest.raises(InputError, match="my.task: is no FaceLandmarker model .Unable") as caught:
            use(model)
        assert "\n" not in str(caught.value)
    locked(monkeypatch, "my.task")
    with pytest.raises(InputError, match="permission"):
        landmarks.have_detector(model)
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    assert not landmarks.have_detector(model)
