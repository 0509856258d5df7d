"""matte.py - Sec. 3.1: where the person is in each frame of a clip: the user's files, or found.

The paper says nothing of how head and background are told apart. A matte does: 255 is the person,
hair and shoulders included, 0 the background, between them lies a soft edge. MediaPipe's selfie
segmentation finds one (requirements-landmarks.txt); its network sees 256 x 256 px, whatever the
size of the picture.

In:  CLIP.matte.mp4 (.mov, .mkv), or the folder CLIP.matte/ of pictures; for the segmenter, the
     frames.
Out: (H, W) uint8 for each frame, of the size of the clip's picture.
Read next: tracking.py.
"""
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from tools.errors import InputError, first_line, in_one_line
from tools.landmarks import open_task
from tools.media import VideoInfo, read_frames, video_info

VIDEOS = (".mp4", ".mov", ".mkv")
PICTURES = (".png", ".jpg", ".jpeg")
SLACK = 2  # px: a smaller matte's sides may be rounded to even numbers


# ---- matte files ---------------------------------------------------------------------------------
def has_matte(clip: str | Path) -> bool:
    """Whether CLIP.matte.mp4 (.mov, .mkv) or the folder CLIP.matte/ lies beside CLIP.mp4."""
    with in_one_line():
        return _place(Path(clip)) is not None


def _place(clip: Path) -> Path | None:
    videos = [clip.with_name(f"{clip.stem}.matte{suffix}") for suffix in VIDEOS]
    folder = clip.with_name(f"{clip.stem}.matte")
    return next((p for p in videos if p.is_file()), folder if folder.is_dir() else None)


def read_mattes(clip: str | Path, info: VideoInfo) -> Iterator[UInt8[np.ndarray, "H W"]]:
    """The user's mattes of CLIP.mp4, frame by frame; info is the clip's.

    A video of as many frames; or pictures, named by the number of the frame (from 0, or from 1 as
    FFmpeg does), or with other names in the order of these, one per frame. A matte is the picture's
    grey, or its alpha where it is transparent. Other sizes of the same aspect are scaled. Raises
    InputError: nothing there, locked, damaged, another number or aspect; at the end, no person.
    """
    clip = Path(clip)
    with in_one_line():
        path = _place(clip)
    if path is None:
        raise InputError(f"{clip.with_name(clip.stem + '.matte.mp4')}: no such matte; make it, or "
                         "a folder of pictures of the same name without .mp4")
    if path.is_dir():
        files = _in_order(path, info.frames)
        found = ((file, _read_picture(file)) for file in files)
    else:
        _check_number(path, video_info(path).frames, info.frames)
        found = ((path, _grey(frame)) for frame in read_frames(path))
    return _checked(path, found, info)


def _checked(path: Path, found: Iterable[tuple[Path, UInt8[np.ndarray, "h w"]]], info: VideoInfo
             ) -> Iterator[UInt8[np.ndarray, "H W"]]:
    """Mattes of the clip's size; InputError on another aspect and, at the end, on no person."""
    brightest = 0
    for file, matte in found:
        brightest = max(brightest, int(matte.max()))
        yield _fitted(file, matte, info)
    if brightest < 128:
        raise InputError(f"{path}: its brightest value is {brightest}, so nobody is there; "
                         "make the person white (255), the background black (0)")


def _check_number(path: Path, found: int, wanted: int) -> None:
    if found != wanted:
        raise InputError(f"{path}: has {found} frames, the clip {wanted} frames; make one matte "
                         "per frame of the clip, or move it elsewhere to go without")


def _fitted(file: Path, matte: UInt8[np.ndarray, "h w"], info: VideoInfo
            ) -> UInt8[np.ndarray, "{info.height} {info.width}"]:
    import cv2  # here: it is slow to load
    height, width = matte.shape
    sides = [width * info.height, height * info.width]
    if abs(sides[0] - sides[1]) > SLACK * max(info.width, info.height):
        raise InputError(f"{file}: is {width} x {height} px, the clip {info.width} x {info.height} "
                         "px; make mattes of the whole picture, as it is displayed")
    if matte.shape == (info.height, info.width):
        return matte
    way = cv2.INTER_AREA if width > info.width else cv2.INTER_LINEAR
    return cv2.resize(matte, (info.width, info.height), interpolation=way)


def _grey(frame: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W"]:
    import cv2
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def _in_order(folder: Path, n_frames: int) -> list[Path]:
    """The picture of each frame; InputError where it is not exactly one per frame."""
    with in_one_line(folder):
        files = [f for f in folder.iterdir()
                 if f.suffix.lower() in PICTURES and not f.name.startswith(".")]
    if not files:
        raise InputError(f"{folder}: holds no pictures; give one .png or .jpg per frame, numbered "
                         "from 0, or move it elsewhere to go without")
    # frame_2 before frame_10: numbers inside a name count as numbers
    files.sort(key=lambda f: [int(part) if part.isdecimal() else part
                              for part in re.split(r"(\d+)", f.stem)])
    if all(f.stem.isdecimal() for f in files):
        numbers = [int(f.stem) for f in files]
        first = 0 if numbers[0] == 0 or len(files) < n_frames else 1
        missing = sorted(set(range(first, first + n_frames)) - set(numbers))
        if missing:
            raise InputError(f"{folder}: lacks {len(missing)} of {n_frames} pictures, that of "
                             f"frame {missing[0]} first; make them, counted from 0, or move the "
                             "folder elsewhere to go without")
    _check_number(folder, len(files), n_frames)
    return files


def _read_picture(file: Path) -> UInt8[np.ndarray, "h w"]:
    from PIL import Image
    try:
        with in_one_line(file), Image.open(file) as image:
            if image.mode in ("I", "I;16", "I;16B"):  # 16 bits a pixel: to 8
                return (np.asarray(image) / 257).clip(0, 255).round().astype(np.uint8)
            if "A" in image.getbands() or "transparency" in image.info:
                alpha = np.asarray(image.convert("RGBA"))[..., 3]
                if alpha.min() < 255:  # a person cut out: the colours are not the matte
                    return alpha
            return np.asarray(image.convert("L"))
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # all of them are Pillow's
        raise InputError(f"{file}: is damaged or no picture ({first_line(error)}); "
                         "make it again") from error


# ---- the segmenter -------------------------------------------------------------------------------
def have_segmenter(model: Path | None = None) -> bool:
    """Whether the person can be found here.

    model: a model of MediaPipe's ImageSegmenter (selfie_segmenter.tflite), for versions that ship
    none (0.10.30 and later). Raises InputError where MediaPipe is there but the file is missing or
    unfit.
    """
    try:
        if model is None:
            from mediapipe.python.solutions.selfie_segmentation import (  # noqa: F401
                SelfieSegmentation)
        else:
            with _segmenter(model):
                pass
    except ImportError:
        return False
    return True


def find_mattes(frames: Iterable[UInt8[np.ndarray, "H W 3"]], total: int | None = None,
                model: Path | None = None) -> Iterator[UInt8[np.ndarray, "H W"]]:
    """MediaPipe's mattes of the frames of one video, in order, 0 to 255, steadied in time.

    total: number of frames, for the progress bar. model: see have_segmenter. Raises ImportError
    without MediaPipe, InputError on an unfit model.
    """
    with _segmenter(model) as segment:
        bar = tqdm(frames, "finding the person", total, unit="frame")
        yield from steadied((segment(frame) * 255).round().astype(np.uint8) for frame in bar)


def steadied(mattes: Iterable[UInt8[np.ndarray, "H W"]]) -> Iterator[UInt8[np.ndarray, "H W"]]:
    """Each value the median of its frame and both neighbours: a flicker of one frame is gone.

    An edge that moves on stays where it is and as sharp as it is, which a mean would not do.
    """
    mattes = iter(mattes)
    before = now = next(mattes, None)
    for after in mattes:
        yield np.maximum(np.minimum(before, now), np.minimum(np.maximum(before, now), after))
        before, now = now, after
    if now is not None:
        yield now


@contextmanager
def _segmenter(model: Path | None) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """Yield a function: frame (H, W, 3) -> (H, W) float32 in [0, 1], 1 = the person."""
    if model is None:
        from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation
        with SelfieSegmentation(model_selection=0) as segmentation:
            yield lambda frame: segmentation.process(frame).segmentation_mask
    else:
        with open_task("ImageSegmenter", model, "selfie_segmenter.tflite") as task:
            yield lambda frame: _person(task(frame).confidence_masks, frame.shape[:2])


def _person(masks: list, shape: tuple[int, int]) -> np.ndarray:
    """Of one mask, that of the person; of several, all but the first, which is the background."""
    first = masks[0].numpy_view().reshape(shape)
    return first if len(masks) == 1 else 1 - first
