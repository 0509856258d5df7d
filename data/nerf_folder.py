"""nerf_folder.py - Sec. 3.1: a talking head as AD-NeRF or RAD-NeRF prepare it, in a folder.

Their descendants ER-NeRF, GeneFace and SyncTalk keep this layout. What they made of it is left
unread (transforms_*.json, aud*.npy, head_imgs/, torso_imgs/): tracking.py finds poses and audio.py
features, as of every clip.

In:  a folder with ori_imgs/0.jpg, 1.jpg ... at 25 a second; the sound in aud.wav, or in NAME.wav or
     NAME.mp4 where NAME is the folder's; and where they are there, ori_imgs/0.lms ... (68 lines
     x y), parsing/0.png ... and bc.jpg.
Out: Footage.
Read next: clip.py, which makes a take of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from data.form import Footage
from data.voca import PARTS
from tools.errors import InputError, first_line, in_one_line
from tools.landmarks import check_pixels, read_lms, without_empty_rows
from tools.media import SAMPLE_RATE, VideoInfo, read_audio

FPS = 25.0                        # what both scripts ask of a video, or convert it to
OTHER_FPS = (30.0, 50.0, 60.0)    # what a video may have had all the same
PICTURES = (".jpg", ".jpeg", ".png")


def is_folder(path: Path) -> bool:
    """Whether path is a prepared folder: it has ori_imgs/, and nothing of VOCASET's."""
    return (path / "ori_imgs").is_dir() and not any((path / part).is_file() for part in PARTS)


def open_folder(path: Path) -> Footage:
    """The footage of a prepared folder. It reads the sizes of all pictures, and no picture whole.

    InputError: no pictures or no sound; names without a number; sizes that differ; parsing/ lacks
    pictures. What is damaged inside a file is found when the file is read.
    """
    pictures = _numbered(path / "ori_imgs")
    if not pictures:
        raise InputError(f"{path / 'ori_imgs'}: holds no pictures; give a folder with ori_imgs/"
                         "0.jpg, 1.jpg and so on")
    numbers, files = list(pictures), list(pictures.values())
    # The scripts count from 0. A first picture of number 1 was counted by FFmpeg, whose habit it
    # is; a later one stands where it stands, as the ones before it were taken out.
    ids = [number - 1 for number in numbers] if numbers[0] == 1 else numbers
    sound = _sound_file(path)
    marks = [file.with_suffix(".lms") for file in files]
    parsing = _parsing_files(path / "parsing", pictures)
    empty = [path / "bc.jpg"] if (path / "bc.jpg").is_file() else []
    info = VideoInfo(FPS, len(files), *_common_size([*files, *parsing, *empty]), True, tuple(ids))
    return Footage(
        path, info, lambda: map(_read, files), lambda: _read_sound(sound, ids[-1] + 1),
        (lambda: _read_landmarks(marks, info)) if any(mark.is_file() for mark in marks) else None,
        (lambda: _read_people(parsing)) if parsing else None,
        (lambda: _read(empty[0])) if empty else None)


# ---- what is there -------------------------------------------------------------------------------

def _numbered(folder: Path, named: bool = True) -> dict[int, Path]:
    """{number: its picture} of a folder, in the order of the numbers; hidden files are none.

    named: InputError on a picture whose name is no number; otherwise it is passed over.
    """
    with in_one_line(folder):
        files = sorted(folder.iterdir())
    found = {}
    for file in files:
        if file.name.startswith(".") or file.suffix.lower() not in PICTURES:
            continue
        if not (file.stem.isascii() and file.stem.isdigit()):
            if named:
                raise InputError(f"{file}: its name is no number, so its time is unknown; name "
                                 "pictures by their frame, 0.jpg first, or move it elsewhere")
        elif (twin := found.setdefault(int(file.stem), file)) is not file:
            raise InputError(f"{file}: has the number of {twin.name}; remove one of them")
    return dict(sorted(found.items()))


def _sound_file(path: Path) -> Path:
    name = path.resolve().name
    files = [path / wanted for wanted in ("aud.wav", f"{name}.wav", f"{name}.mp4")]
    for file in files:
        if file.is_file():
            return file
    raise InputError(f"{path}: has no sound; put it there as aud.wav (looked for: "
                     f"{', '.join(file.name for file in files)})")


def _parsing_files(folder: Path, pictures: dict[int, Path]) -> list[Path]:
    """The parsing picture of each frame; none at all where the folder is missing or empty.

    SyncTalk keeps 0_face.png beside 0.png, the face alone: it is passed over.
    """
    parsing = _numbered(folder, named=False) if folder.is_dir() else {}
    missing = [number for number in pictures if number not in parsing]
    if parsing and missing:
        raise InputError(f"{folder}: lacks {len(missing)} of {len(pictures)} pictures, "
                         f"{missing[0]}.png first; make them, or move the folder elsewhere to go "
                         "without")
    return [parsing[number] for number in pictures] if parsing else []


def _common_size(files: list[Path]) -> tuple[int, int]:
    """(W, H) px of all of them, from the files' heads alone."""
    size = None
    for file in files:
        with _opened(file) as image:
            size = size or image.size
            if image.size != size:
                raise InputError(f"{file}: is {image.width} x {image.height} px, {files[0]} is "
                                 f"{size[0]} x {size[1]} px; give all pictures one size")
    return size


# ---- reading -------------------------------------------------------------------------------------

@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """Open a picture and turn every way it can be unreadable into one InputError."""
    try:
        with in_one_line(file), Image.open(file) as image:
            yield image
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # all of them are Pillow's
        raise InputError(f"{file}: is damaged or no picture ({first_line(error)}); "
                         "make it again") from error


def _read(file: Path) -> UInt8[np.ndarray, "H W 3"]:
    with _opened(file) as image:
        return np.array(image.convert("RGB"))


def _read_people(files: list[Path]) -> Iterator[UInt8[np.ndarray, "H W"]]:
    somebody = False
    for file in files:
        person = _read_person(file)
        somebody |= bool(person.any())
        yield person
    if not somebody:
        raise InputError(f"{files[0].parent}: all its pictures are white, so nobody is there; make "
                         "them again, or move the folder elsewhere to go without")


def _read_person(file: Path) -> UInt8[np.ndarray, "H W"]:
    """255 = the person: head (blue), neck (green) or torso (red), on white; no edge is soft."""
    bright = (_read(file) > 127).sum(axis=2)  # channels
    person = bright == 1
    if np.mean(person | (bright == 3)) < 0.95:  # some where colours meet, if it was scaled
        raise InputError(f"{file}: is not painted as AD-NeRF paints it (head blue, neck green, "
                         "torso red, the rest white); make it again, or move parsing/ elsewhere "
                         "to go without")
    return 255 * person.astype(np.uint8)


def _read_landmarks(marks: list[Path], info: VideoInfo) -> Float[np.ndarray, "N 68 2"]:
    """Landmarks px of every frame; NaN where its .lms is missing."""
    folder, files = marks[0].parent, {k: mark for k, mark in enumerate(marks) if mark.is_file()}
    landmarks = without_empty_rows(read_lms(files, len(marks)))
    if np.isnan(landmarks).all():
        raise InputError(f"{folder}: no .lms file there holds a face; make them again")
    check_pixels(landmarks, info, folder)
    return landmarks


def _read_sound(file: Path, frames: int) -> Float[np.ndarray, " S"]:
    """The sound; InputError where frames at 25 a second cannot be its pictures."""
    wave = read_audio(file)
    fps = frames * SAMPLE_RATE / max(len(wave), 1)
    for other in OTHER_FPS:
        if abs(fps / other - 1) < 0.005:
            raise InputError(f"{file}: {len(wave) / SAMPLE_RATE:.1f} s of sound to {frames} "
                             f"pictures are {other:.0f} a second, and a prepared folder has "
                             f"{FPS:.0f}; give the video itself")
    return wave
