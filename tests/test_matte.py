"""The matte of a clip (Sec. 3.1): the user's own files, and what MediaPipe's segmentation gives of the person."""
import builtins
import errno
import sys
from pathlib import Path
from types import SimpleNamespace as Namespace

import numpy as np
import pytest
from PIL import Image

from tools import matte
from tools.errors import InputError
from tools.media import VideoInfo, write_video

W, H, N = 64, 48, 12


def info(frames=N, width=W, height=H):
    return VideoInfo(25.0, frames, width, height, True, tuple(range(frames)))


def person(k, width=W, height=H):
    """A bright disc on black, at another place in each frame k: (height, width) uint8."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.where(np.hypot(x - width * (0.2 + 0.05 * k), y - height / 2) < height / 4, 255, 0).astype(np.uint8)


def grey(one):
    return np.repeat(one[..., None], 3, -1)


def folder_of(tmp_path, names, mattes=None):
    folder = tmp_path / "a.matte"
    folder.mkdir(exist_ok=True)
    for k, name in enumerate(names):
        Image.fromarray(person(k) if mattes is None else mattes[k]).save(folder / name)
    return tmp_path / "a.mp4"


def refused(clip, match, about=None):
    with pytest.raises(InputError, match=match) as caught:
        list(matte.read_mattes(clip, about or info()))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(got, wanted):
    return len(got) == len(wanted) and all(np.array_equal(a, b) for a, b in zip(got, wanted))


# ---- videos --------------------------------------------------------------------------------------
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_matte_video_is_read_frame_by_frame(tmp_path, suffix):
    clip = tmp_path / "a.mp4"
    assert not matte.has_matte(clip)
    write_video(tmp_path / "made.mp4", [grey(person(k)) for k in range(N)], 25.0)
    (tmp_path / "made.mp4").rename(tmp_path / f"a.matte{suffix}")
    assert matte.has_matte(clip)
    got = list(matte.read_mattes(clip, info()))
    assert len(got) == N and all(one.shape == (H, W) and one.dtype == np.uint8 for one in got)
    apart = [np.abs(one.astype(int) - person(k)).mean() for k, one in enumerate(got)]
    assert max(apart) < 6 and np.abs(got[0].astype(int) - person(1)).mean() > 12  # the disc has moved


def test_a_smaller_matte_of_the_same_aspect_is_scaled(tmp_path):
    write_video(tmp_path / "a.matte.mp4", [grey(person(k)) for k in range(N)], 25.0)
    got = list(matte.read_mattes(tmp_path / "a.mp4", info(width=256, height=192)))
    wanted = [person(k, 256, 192) for k in range(N)]
    assert all(one.shape == (192, 256) for one in got)
    assert max(np.mean((a > 127) != (b > 127)) for a, b in zip(got, wanted)) < 0.03
    odd = list(matte.read_mattes(tmp_path / "a.mp4", info(width=257, height=193)))  # rounded to even
    assert odd[0].shape == (193, 257)


@pytest.mark.parametrize("width, height", [(H, W), (W, 36), (W, W)])
def test_another_aspect_is_refused(tmp_path, width, height):
    write_video(tmp_path / "a.matte.mp4", [grey(person(k)) for k in range(N)], 25.0)
    said = refused(tmp_path / "a.mp4", "a.matte.mp4: is 64 x 48 px", info(width=width, height=height))
    assert f"{width} x {height}" in said and "whole picture" in said


def test_another_number_of_frames_is_refused_before_any_is_read(tmp_path):
    write_video(tmp_path / "a.matte.mp4", [grey(person(k)) for k in range(N)], 25.0)
    with pytest.raises(InputError, match="a.matte.mp4: has 12 frames, the clip 13 frames; make one"):
        matte.read_mattes(tmp_path / "a.mp4", info(13))
    folder_of(tmp_path, [f"{k}.png" for k in range(N)])
    (tmp_path / "a.matte.mp4").unlink()
    with pytest.raises(InputError, match="a.matte: has 12 frames, the clip 11 frames"):
        matte.read_mattes(tmp_path / "a.mp4", info(11))


# ---- pictures ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["{}.png", "{:05}.PNG", "frame_{}.png", "person {:03} alpha.png"])
@pytest.mark.parametrize("first", [0, 1])
def test_pictures_are_read_in_the_order_of_their_numbers(tmp_path, name, first):
    clip = folder_of(tmp_path, [name.format(k + first) for k in range(N)])
    (tmp_path / "a.matte/._0.png").write_bytes(b"what a Mac leaves")
    (tmp_path / "a.matte/notes.txt").write_text("none")
    assert matte.has_matte(clip) and same(list(matte.read_mattes(clip, info())), [person(k) for k in range(N)])


def test_pictures_are_missing_or_too_many(tmp_path):
    clip = folder_of(tmp_path, [])
    refused(clip, "a.matte: holds no pictures")
    folder_of(tmp_path, [f"{k}.png" for k in range(N)])
    (tmp_path / "a.matte/5.png").unlink()
    refused(clip, "lacks 1 of 12 pictures, that of frame 5 first")
    folder_of(tmp_path, [f"{k}.png" for k in range(N)])
    (tmp_path / "a.matte/0.png").unlink()
    refused(clip, "lacks 1 of 12 pictures, that of frame 0 first")
    folder_of(tmp_path, ["0.png", "00.png"])
    refused(clip, "has 13 frames, the clip 12 frames")


@pytest.mark.parametrize("kind", ["16 bit", "colour", "cut out", "opaque", "one bit", "palette"])
def test_every_kind_of_picture_is_taken_for_what_it_shows(tmp_path, kind):
    soft = np.linspace(0, 255, W).round().astype(np.uint8)[None].repeat(H, 0)
    wanted = np.where(soft > 127, 255, 0).astype(np.uint8) if kind == "one bit" else soft
    cut_out = np.dstack([np.full((H, W, 3), 90, np.uint8), soft])
    image = {"16 bit": Image.fromarray(soft.astype(np.uint16) * 257), "colour": Image.fromarray(grey(soft)),
             "cut out": Image.fromarray(cut_out), "one bit": Image.fromarray(soft > 127),
             "opaque": Image.fromarray(np.dstack([grey(soft), np.full((H, W), 255, np.uint8)])),
             "palette": Image.fromarray(grey(soft)).quantize(256)}[kind]
    (tmp_path / "a.matte").mkdir()
    for k in range(2):
        image.save(tmp_path / f"a.matte/{k}.png")
    got = list(matte.read_mattes(tmp_path / "a.mp4", info(2)))
    assert np.abs(got[1].astype(int) - wanted).max() <= (4 if kind == "palette" else 1)


def test_damaged_locked_and_empty_mattes_are_said_in_one_line(tmp_path, monkeypatch):
    refused(tmp_path / "a.mp4", "a.matte.mp4: no such matte")
    clip = folder_of(tmp_path, [f"{k}.png" for k in range(N)], [np.full((H, W), 20, np.uint8)] * N)
    refused(clip, "brightest value is 20, so nobody is there")
    (tmp_path / "a.matte/3.png").write_bytes(b"no picture")
    refused(clip, "3.png: is damaged or no picture")
    whole = tmp_path / "a.matte/2.png"
    whole.write_bytes(whole.read_bytes()[:-30])
    refused(clip, "2.png: is damaged or no picture")
    for where, what, name in ((builtins, "open", "1.png"), (Path, "iterdir", "a.matte")):
        def denied(path, *args, real=getattr(where, what), name=name, **options):
            if Path(str(path)).name == name:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path, *args, **options)
        with monkeypatch.context() as patch:  # tests may run as root, whom no mode stops
            patch.setattr(where, what, denied)
            said = refused(clip, "no permission")
            assert name in said and "again" not in said


# ---- the segmenter -------------------------------------------------------------------------------
def test_a_flicker_of_one_frame_is_gone_and_a_moving_edge_stays_sharp():
    still = [np.full((2, 3), 200, np.uint8) for _ in range(7)]
    still[3][0] = 0      # a hole for one frame
    still[5][1] = 255    # a spot for one frame
    assert same(list(matte.steadied(still)), [np.full((2, 3), 200, np.uint8)] * 7)
    moving = [np.where(np.arange(40) < 5 + 3 * t, 255, 0).astype(np.uint8)[None] for t in range(9)]
    assert same(list(matte.steadied(moving)), moving)
    assert list(matte.steadied([])) == [] and same(list(matte.steadied(moving[:1])), moving[:1])
    values = np.random.default_rng(0).integers(0, 256, (6, 4, 5)).astype(np.uint8)
    got = np.array(list(matte.steadied(values)))
    assert np.array_equal(got[1:-1], np.median([values[:-2], values[1:-1], values[2:]], 0))


def test_without_mediapipe_there_is_no_segmenter(monkeypatch):
    for name in ("mediapipe.python.solutions.selfie_segmentation", "mediapipe.python", "mediapipe"):
        monkeypatch.setitem(sys.modules, name, None)
    assert not matte.have_segmenter() and not matte.have_segmenter(Path("no.tflite"))


def test_mattes_of_the_solutions_are_soft_bytes(monkeypatch, capsys):
    class SelfieSegmentation:
        def __init__(self, model_selection):
            assert model_selection == 0

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def process(self, frame):
            return Namespace(segmentation_mask=frame[..., 0].astype(np.float32) / 255)

    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.selfie_segmentation",
                        Namespace(SelfieSegmentation=SelfieSegmentation))
    assert matte.have_segmenter()
    ramp = np.arange(W * 3, dtype=np.uint8).reshape(3, W)
    got = list(matte.find_mattes([grey(ramp)] * 4, 4))
    assert same(got, [ramp] * 4) and got[0].dtype == np.uint8
    assert "finding the person" in capsys.readouterr().err


@pytest.mark.parametrize("masks", [1, 6])
@pytest.mark.parametrize("extra_axis", [False, True])  # MediaPipe 1 has one more than 0.10
def test_a_named_model_gives_the_person(tmp_path, monkeypatch, masks, extra_axis):
    """Of one mask, that of the person; of several (hair, skin, clothes ...), all but the background."""
    class ImageSegmenter:
        @classmethod
        def create_from_options(cls, options):
            assert options.running_mode == "video" and options.base_options == b"a model"
            return cls()

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def segment_for_video(self, image, time):
            bright = image.data[..., 0].astype(np.float32) / 255
            shares = [bright] if masks == 1 else [1 - bright, *[bright / (masks - 1)] * (masks - 1)]
            return Namespace(confidence_masks=[
                Namespace(numpy_view=lambda one=one: one[..., None] if extra_axis else one) for one in shares])

    vision = Namespace(RunningMode=Namespace(VIDEO="video"), ImageSegmenter=ImageSegmenter,
                       ImageSegmenterOptions=lambda **named: Namespace(**named))
    monkeypatch.setitem(sys.modules, "mediapipe", Namespace(
        Image=lambda image_format, data: Namespace(data=data), ImageFormat=Namespace(SRGB="srgb")))
    monkeypatch.setitem(sys.modules, "mediapipe.tasks", Namespace())
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python", Namespace(
        BaseOptions=lambda model_asset_buffer: model_asset_buffer, vision=vision))
    model = tmp_path / "selfie.tflite"
    with pytest.raises(InputError, match="selfie.tflite: no such model file.*selfie_segmenter.tflite"):
        matte.have_segmenter(model)
    model.write_bytes(b"a model")
    assert matte.have_segmenter(model)
    assert same(list(matte.find_mattes([grey(person(3))] * 3, 3, model)), [person(3)] * 3)


def test_mediapipe_itself_gives_a_matte_of_the_pictures_size():
    pytest.importorskip("mediapipe.python.solutions.selfie_segmentation", reason="MediaPipe 0.10 is not installed")
    picture = np.random.default_rng(0).integers(0, 256, (40, 70, 3)).astype(np.uint8)
    got = list(matte.find_mattes([picture] * 2))
    assert len(got) == 2 and got[0].shape == (40, 70) and got[0].dtype == np.uint8
