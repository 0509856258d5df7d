"""paste.py - Sec. 3.1 at synthesis: the rendered head back in the full frames of its clip.

A take of a clip is a square of it, `box`. Its renders hold the background and the shoulders, too,
so the whole square goes back, over a ramp at its edges: sources and renders differ little there.

In:  renders (H, H, 3) uint8; the take of the checkpoint that they show, the clip it was made of,
     and which of its training frames each output frame replays.
Out: frames of the clip (h, w, 3) uint8 with the render in them, one by one.
Read next: animate.py.
"""
from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from data.footage import open_footage
from data.form import Footage
from tools.errors import InputError

RAMP = 0.08            # of the square's side: how wide its edges are blended
JPEG_QUALITY = 95      # of frames that wait for the walk to come back: 1 grey level on average
IN_MEMORY = 256 << 20  # bytes of such frames; more of them wait in a temporary file


def ramp(start: int, side: int, length: int) -> Float[np.ndarray, "{side}"]:
    """How much a render counts at each of its `side` pixels along one axis, 0 to 1.

    start: of the square, in a picture of `length` px. It rises from each edge over RAMP of the
    side, but for an edge that lies at the picture's border or beyond it: nothing is seen there.
    """
    centre, width = np.arange(side) + 0.5, RAMP * side
    rise = np.ones(side) if start <= 0 else np.clip(centre / width, 0, 1)
    fall = np.ones(side) if start + side >= length else np.clip((side - centre) / width, 0, 1)
    straight = np.minimum(rise, fall)
    return straight ** 2 * (3 - 2 * straight)  # level at both ends, so that no edge is seen


def paste(frame: UInt8[np.ndarray, "h w 3"], render: UInt8[np.ndarray, "H H 3"],
          box: tuple[int, int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """A copy of the frame with the render, scaled to the box's side, blended in at its place.

    box: left, top, side in px of the frame; it may reach beyond it. Pixels outside stay as they
    are.
    """
    left, top, side = box
    height, width = frame.shape[:2]
    how = cv2.INTER_CUBIC if side > len(render) else cv2.INTER_AREA
    scaled = cv2.resize(render, (side, side), interpolation=how)  # pixel centres at +0.5
    down, right = _seen(top, side, height), _seen(left, side, width)
    alpha = np.outer(ramp(top, side, height)[down], ramp(left, side, width)[right])[..., None]
    pasted = frame.copy()
    under = pasted[top + down.start:top + down.stop, left + right.start:left + right.stop]  # a view
    under[:] = np.rint((1 - alpha) * under + alpha * scaled[down, right])
    return pasted


def _seen(start: int, side: int, length: int) -> slice:
    """Which of the square's pixels along one axis lie in a picture of `length` px."""
    return slice(max(-start, 0), min(side, length - start))


def walk(frames: Iterable[UInt8[np.ndarray, "h w 3"]], wanted: Int[np.ndarray, "T"]
         ) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The frames numbered wanted[0], wanted[1], ..., which may go backwards, decoded once.

    A frame that the walk comes back to waits as JPEG, in at most IN_MEMORY bytes of memory.
    """
    last = {number: t for t, number in enumerate(wanted.tolist())}  # where each is needed last
    source, place, number = iter(frames), {}, -1
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as waiting:
        for t, want in enumerate(wanted.tolist()):
            while number < want:
                number, image = number + 1, next(source)
                if last.get(number, -1) > t:
                    place[number] = _put(waiting, image)
            yield image if number == want else _get(waiting, *place[want])


def _put(file, image: np.ndarray) -> tuple[int, int]:
    """Append an image to the file; returns where it is and how long."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    data = cv2.imencode(".jpg", image[..., ::-1], options)[1].tobytes()
    start = file.seek(0, 2)
    file.write(data)
    return start, len(data)


def _get(file, start: int, length: int) -> np.ndarray:
    file.seek(start)
    data = np.frombuffer(file.read(length), np.uint8)
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def frame_numbers(take: dict, clip: Footage) -> Int[np.ndarray, "N"]:
    """Which frame of the clip each of the N training frames of its take is, by their times.

    Raises InputError where the clip shows none at such a time: it is another clip, or cut.
    """
    seconds = take["frame_ids"].numpy() / take["fps"]
    times = np.asarray(clip.info.ids) / clip.info.fps
    after = np.searchsorted(times, seconds).clip(0, len(times) - 1)
    before = (after - 1).clip(0)
    nearest = np.where(seconds - times[before] < times[after] - seconds, before, after)
    far = np.abs(times[nearest] - seconds) > 0.5 / clip.info.fps
    if far.any():
        raise InputError(f"{clip.path}: has no picture at {seconds[far][0]:.2f} s, where this run "
                         f"was trained on one; give the clip it was trained on, {take['source']}")
    return nearest


def source_frames(take: dict, path: str | Path, numbers: Int[np.ndarray, "T"]
                  ) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The full frames of the clip at `path` that the training frames numbers[t] were cut from.

    take: of the checkpoint, with box (left, top, side) and picture (W, H) in px, frame_ids (N,),
    shown at frame_ids / fps s, and source. Raises InputError at once where the run was not trained
    on a clip, or on another one than `path`.
    """
    if take.get("box") is None:
        raise InputError(f"--into {path}: this run was not trained on a clip, so there is none to "
                         "paste its head into; leave --into out")
    clip = open_footage(Path(path))
    size, trained = (clip.info.width, clip.info.height), tuple(take["picture"])
    if size != trained:
        raise InputError(f"{path}: its pictures have {size[0]} x {size[1]} px, those of the "
                         f"training {trained[0]} x {trained[1]}; give the clip that the run was "
                         f"trained on, {take['source']}")
    return walk(clip.frames(), frame_numbers(take, clip)[numbers])


def into_frames(frames: Iterator[UInt8[np.ndarray, "h w 3"]],
                renders: Iterator[UInt8[np.ndarray, "H H 3"]], box: tuple[int, int, int]
                ) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Each render pasted into its frame, see paste."""
    for frame, render in zip(frames, renders):
        yield paste(frame, render, box)
