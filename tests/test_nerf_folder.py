"""test_nerf_folder.py - the prepared folders of AD-NeRF and RAD-NeRF as --data (data/nerf_folder.py).

The folders are written as those scripts write them: pictures and parsing with OpenCV, landmarks as text.
"""
import errno
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from data.nerf_folder import is_folder, open_folder
from synthetic import dataset, shape
from synthetic.cameras import camera_of_motion, default_camera, head_motion, project
from synthetic.surface import landmark_indices
from tools.errors import InputError
from tools.media import SAMPLE_RATE, write_video

SIZE, COUNT = 64, 12
CLICKED = 10  # the picture that is bright while the sound clicks
HEAD, NECK, TORSO = (255, 0, 0), (0, 255, 0), (0, 0, 255)  # as the scripts hand them to cv2.imwrite: BGR


@pytest.fixture(scope="module")
def heads():
    """COUNT frames (T, H, W, 3) of a stand-in head, its masks and its landmarks (T, 68, 2) px."""
    who = dataset.identity(0, 0)
    expression = dataset.recording(0, "toy01", 0, 1.0)[0][:COUNT]
    motion = head_motion(COUNT, 25.0, np.random.default_rng(0))
    frames, masks = dataset.render_truth(who, expression, 0, dataset.lights(0)[0], motion, SIZE)
    points = shape.head_vertices(who, expression)[:, landmark_indices()].astype(float)
    K, distance = default_camera(SIZE)
    return frames, masks, project(points, K, camera_of_motion(motion, distance))


def painted(mask):
    """A parsing picture (H, W, 3) BGR: the head, a neck and a torso below it, white elsewhere."""
    parsing = np.full((*mask.shape, 3), 255, np.uint8)
    parsing[-8:], parsing[-14:-8, 24:40] = TORSO, NECK
    parsing[mask > 127] = HEAD
    return parsing


@pytest.fixture(scope="module")
def made(heads, tmp_path_factory):
    """The folder obama/ of RAD-NeRF, with all that this program reads and some that it does not."""
    folder = tmp_path_factory.mktemp("data") / "obama"
    for part in ("ori_imgs", "parsing", "gt_imgs"):
        (folder / part).mkdir(parents=True)
    for i, (frame, mask, marks) in enumerate(zip(*heads)):
        frame = frame.copy()
        frame[:8, :8] = 255 if i == CLICKED else 20 * i
        cv2.imwrite(str(folder / f"ori_imgs/{i}.jpg"), frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
        np.savetxt(folder / f"ori_imgs/{i}.lms", marks, "%f")
        cv2.imwrite(str(folder / f"parsing/{i}.png"), painted(mask))
        cv2.imwrite(str(folder / f"parsing/{i}_face.png"), painted(mask) // 2)  # SyncTalk's
    empty = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (SIZE, SIZE, 3), np.uint8), (9, 9), 0)
    cv2.imwrite(str(folder / "bc.jpg"), empty, [cv2.IMWRITE_JPEG_QUALITY, 98])
    wavfile.write(folder / "aud.wav", SAMPLE_RATE, clicking(CLICKED / 25))
    (folder / "transforms_train.json").write_text("{}")
    return folder


def clicking(at, seconds=COUNT / 25):
    """int16 sound with one loud sample at `at` seconds."""
    wave = np.random.default_rng(0).integers(-200, 200, round(seconds * SAMPLE_RATE)).astype(np.int16)
    wave[round(at * SAMPLE_RATE)] = 30000
    return wave


@pytest.fixture
def own(made, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(made, tmp_path / "obama")


def renumber(folder, number_of):
    """Give picture i, its landmarks and its parsing number_of(i); None removes them."""
    for i in range(COUNT):
        for file in (folder / f"ori_imgs/{i}.jpg", folder / f"ori_imgs/{i}.lms", folder / f"parsing/{i}.png"):
            number = number_of(i)
            file.unlink() if number is None else file.rename(file.with_name(f"new{number}{file.suffix}"))
    for file in [*folder.glob("*/new*")]:
        file.rename(file.with_name(file.name[3:]))


def refused(folder, *words, read=lambda footage: None):
    with pytest.raises(InputError) as caught:
        read(open_folder(folder))
    message = str(caught.value)
    assert "\n" not in message and ";" in message and str(folder) in message
    assert all(word in message for word in words), message


# ---- what it is ----------------------------------------------------------------------------------

def test_a_prepared_folder_is_known(made, tmp_path):
    assert is_folder(made)
    assert not is_folder(made / "bc.jpg") and not is_folder(made / "nothing") and not is_folder(tmp_path)
    (tmp_path / "ori_imgs").mkdir()
    assert is_folder(tmp_path)
    (tmp_path / "data_verts.npy").touch()
    assert not is_folder(tmp_path)  # VOCASET's, whatever else lies in it


# ---- pictures and their times --------------------------------------------------------------------

def test_frames_come_in_the_order_of_their_numbers_as_rgb(made, heads):
    footage = open_folder(made)
    frames = list(footage.frames())
    assert (footage.info.fps, footage.info.frames, footage.info.has_audio) == (25, COUNT, True)
    assert (footage.info.width, footage.info.height) == (SIZE, SIZE) and footage.path == made
    assert [round(frame[2:6, 2:6].mean() / 20) for frame in frames] == [*range(10), 13, 11]  # 2 before 10
    for frame, want in zip(frames, heads[0]):
        assert frame.dtype == np.uint8 and frame.flags.writeable
        assert np.abs(frame[12:].astype(int) - want[12:]).mean() < 4  # JPEG; blue for red differs by 20
    assert len(list(footage.frames())) == COUNT  # from the first one on, whenever called


@pytest.mark.parametrize("number_of, ids", [
    (lambda i: i, range(COUNT)),
    (lambda i: i + 1, range(COUNT)),                                     # FFmpeg counts from 1
    (lambda i: None if i in (4, 7) else i, [0, 1, 2, 3, 5, 6, 8, 9, 10, 11]),
    (lambda i: None if i < 3 else i, range(3, COUNT)),                   # cut: the others stay
    (lambda i: f"{i:06d}", range(COUNT))])
def test_the_bright_picture_is_shown_when_the_sound_clicks(own, number_of, ids):
    renumber(own, number_of)
    footage = open_folder(own)
    assert list(footage.info.ids) == list(ids) and footage.info.frames == len(ids)
    shown = np.array([frame[2:6, 2:6].mean() for frame in footage.frames()])
    click = np.argmax(np.abs(footage.sound())) / SAMPLE_RATE
    assert footage.info.ids[int(shown.argmax())] / 25 == pytest.approx(click, abs=1 / SAMPLE_RATE)
    assert footage.landmarks().shape == (len(ids), 68, 2) and len(list(footage.mattes())) == len(ids)


def test_pictures_may_be_png_and_a_mac_may_have_been_there(own, heads):
    for i in range(COUNT):
        (own / f"ori_imgs/{i}.jpg").unlink()
        cv2.imwrite(str(own / f"ori_imgs/{i}.png"), heads[0][i][..., ::-1])
        (own / f"ori_imgs/._{i}.png").write_bytes(b"\0\5\x16\7Mac OS X")
        (own / f"parsing/._{i}.png").write_bytes(b"\0\5\x16\7Mac OS X")
    (own / "ori_imgs/Thumbs.db").write_bytes(b"x")
    footage = open_folder(own)
    assert np.array_equal(np.stack([*footage.frames()]), heads[0])
    assert footage.landmarks is not None and footage.mattes is not None


# ---- landmarks, matte, background ----------------------------------------------------------------

def test_landmarks_stand_at_their_frames(own, heads):
    (own / "ori_imgs/4.jpg").unlink()
    (own / "ori_imgs/6.lms").unlink()
    got = open_folder(own).landmarks()
    numbers = [*range(4), *range(5, COUNT)]
    assert got.dtype == np.float32 and np.isnan(got[numbers.index(6)]).all()
    seen = [row for row, number in enumerate(numbers) if number != 6]
    assert np.allclose(got[seen], heads[2][np.array(numbers)[seen]], atol=1e-4)


def test_without_landmarks_there_are_none_and_with_wrong_ones_a_line(own, heads):
    def read(footage):
        footage.landmarks()
    (own / "ori_imgs/3.lms").write_text("1 2\n3 4\n")
    with pytest.raises(InputError, match=r"3\.lms: want 68 lines"):
        open_folder(own).landmarks()
    for wrong, word in ((np.ones((68, 2)), "no .lms"),                             # "no face", in every frame
                        (heads[2][0] / SIZE, "normalised"), (heads[2][0][:, ::-1], "exchanged")):
        for i in range(COUNT):
            np.savetxt(own / f"ori_imgs/{i}.lms", wrong, "%f")
        refused(own, "ori_imgs", word, read=read)
    for i in range(COUNT):
        (own / f"ori_imgs/{i}.lms").unlink()
    assert open_folder(own).landmarks is None


def test_head_neck_and_torso_are_the_person(made, heads):
    masks = list(open_folder(made).mattes())
    assert len(masks) == COUNT and masks[0].shape == (SIZE, SIZE) and masks[0].dtype == np.uint8
    for mask, head in zip(masks, heads[1]):
        assert set(np.unique(mask)) == {0, 255}
        assert (mask[-8:] == 255).all() and (mask[-14:-8, 24:40] == 255).all()  # torso, neck
        assert (mask[:-14][head[:-14] > 127] == 255).all() and (mask[:-14][head[:-14] <= 127] == 0).all()
        assert mask[0, 0] == 0 and mask[SIZE // 2, SIZE // 2] == 255
    assert not np.array_equal(masks[2], masks[10])


def test_a_parsing_picture_that_was_scaled_is_still_read(own, heads):
    for i in range(COUNT):
        large = cv2.resize(painted(heads[1][i]), (150, 150), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(own / f"parsing/{i}.png"), cv2.resize(large, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
    scaled, whole = next(open_folder(own).mattes()), painted(heads[1][0]).min(2) < 128
    assert np.mean((scaled > 127) != whole) < 0.02


def test_parsing_is_whole_and_of_these_colours_or_a_line(own, heads):
    def read(footage):
        list(footage.mattes())
    for other in (heads[1][5], (heads[1][5] > 127).astype(np.uint8) * 17):  # white on black; class numbers
        cv2.imwrite(str(own / "parsing/5.png"), other)
        refused(own, "5.png", "blue", read=read)
    (own / "parsing/5.png").unlink()
    refused(own, "parsing", "1 of 12", "5.png")
    for i in range(COUNT):
        cv2.imwrite(str(own / f"parsing/{i}.png"), np.full((SIZE, SIZE, 3), 255, np.uint8))
    refused(own, "parsing", "nobody", read=read)
    for file in (own / "parsing").iterdir():
        file.unlink()
    assert open_folder(own).mattes is None
    (own / "parsing").rmdir()
    assert open_folder(own).mattes is None


def test_the_background_is_that_of_the_folder(own):
    want = cv2.imread(str(own / "bc.jpg"))[..., ::-1]
    got = open_folder(own).background()
    assert got.shape == (SIZE, SIZE, 3) and np.abs(got.astype(int) - want).max() <= 2
    cv2.imwrite(str(own / "bc.jpg"), want[:60])
    refused(own, "bc.jpg", "64 x 60")
    (own / "bc.jpg").unlink()
    assert open_folder(own).background is None


# ---- sound ---------------------------------------------------------------------------------------

def test_sound_is_aud_or_has_the_name_of_the_folder(own, heads, monkeypatch):
    wave = clicking(CLICKED / 25)
    wavfile.write(own / "obama.wav", SAMPLE_RATE, wave // 2)
    assert np.abs(open_folder(own).sound()).max() > 0.9  # aud.wav first
    (own / "aud.wav").unlink()
    assert 0.4 < np.abs(open_folder(own).sound()).max() < 0.5
    (own / "obama.wav").unlink()
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE).astype(np.float32)
    write_video(own / "obama.mp4", heads[0], 25, tone)
    got = open_folder(own).sound()
    assert np.std(got[1000:7000]) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    monkeypatch.chdir(own)
    assert len(open_folder(own.relative_to(own)).sound()) == len(got)  # --data .
    (own / "obama.mp4").unlink()
    refused(own, "no sound", "aud.wav, obama.wav, obama.mp4")


@pytest.mark.parametrize("seconds", [0.1, 0.44, 0.52, 3.0])
def test_sound_may_be_longer_or_shorter(own, seconds):
    wavfile.write(own / "aud.wav", SAMPLE_RATE, clicking(0.05, seconds))
    assert len(open_folder(own).sound()) == round(seconds * SAMPLE_RATE)


@pytest.mark.parametrize("fps", [29.97, 30, 50, 60])
def test_pictures_of_another_rate_are_not_paired_with_the_sound(own, fps):
    wavfile.write(own / "aud.wav", SAMPLE_RATE, clicking(0.05, COUNT / fps))
    refused(own, "aud.wav", f"{fps:.0f} a second", read=lambda footage: footage.sound())


# ---- what is wrong with pictures -----------------------------------------------------------------

def test_no_pictures(own):
    for file in (own / "ori_imgs").glob("*.jpg"):
        file.unlink()
    refused(own, "ori_imgs", "no pictures")


@pytest.mark.parametrize("name", ["frame7.jpg", "7 (copy).jpg", "-1.jpg", "7².png", "07.jpg", "7.png"])
def test_every_picture_has_one_number(own, name):
    shutil.copy(own / "ori_imgs/7.jpg", own / "ori_imgs" / name)
    refused(own, "ori_imgs", "number")


@pytest.mark.parametrize("part", ["ori_imgs/7.jpg", "parsing/7.png"])
def test_pictures_have_one_size(own, part):
    cv2.imwrite(str(own / part), np.full((SIZE, SIZE + 2, 3), 255, np.uint8))
    refused(own, part, "66 x 64", "64 x 64")


@pytest.mark.parametrize("part", ["ori_imgs/7.jpg", "parsing/7.png"])
def test_a_damaged_picture_is_named(own, part):
    whole = (own / part).read_bytes()
    for left in (0, 5, 40, len(whole) // 2, len(whole) - 30):
        (own / part).write_bytes(whole[:left])
        refused(own, part, "damaged", read=lambda footage: [*footage.frames(), *footage.mattes()])
    (own / part).write_bytes(b"<html>404</html>")
    refused(own, part, "damaged")


def test_a_locked_picture_is_no_damaged_one(own, monkeypatch):
    def locked(file):
        raise PermissionError(errno.EACCES, "Permission denied", str(file))
    monkeypatch.setattr(Image, "open", locked)
    refused(own, "0.jpg", "permission")
