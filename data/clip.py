"""clip.py - Sec. 3.1, 3.2: a take from a talking-head clip, NAME.mp4 beside NAME.landmarks.npy.

In:  the clip's path; by how much its picture leads its sound, or "auto".
Out: a Take: square frames about the head, face masks m(.), P_cam and F_exp from tracking.py, and
     the sound, moved to where the lips are.
Read next: people.py, which reads a folder of clips, and prepare.py, which treats clips and meshes
alike.
"""

import functools
import hashlib
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from tqdm import tqdm

import tracking
from data.offset import estimate_offset, shifted
from data.take import Take, cache_paths, check_disk, have, write_pair
from tools.errors import InputError
from tools.landmarks import load_landmarks
from tools.media import (SAMPLE_RATE, VideoInfo, check_audio_length, read_audio, read_frames,
                         video_info)

MAX_FPS = 35          # above this a source is halved
LEAD = 0.045          # s by which clips in sync measure: lips move ahead of the sound they make
IN_SYNC = (-0.045, 0.095)  # s; an estimate from here to there is not told from a clip in sync
FARTHEST = 2.0        # s that the sound can be moved by: more is a slip of the keyboard


def crop_box(landmarks: Float[np.ndarray, "T 68 2"], width: int, height: int
             ) -> tuple[int, int, int]:
    """One square (left, top, side) in whole pixels around the head in all frames, inside the image.

    The landmarks end at the brows; forehead and most of the hair lie above. A wider square would
    spend the few rays of a small image on the background.
    """
    face = np.nanmax(np.ptp(landmarks[..., 1], axis=1))  # brows to chin, px
    low = np.nanmin(landmarks, axis=(0, 1)) - face * np.array([0.2, 0.4])
    high = np.nanmax(landmarks, axis=(0, 1)) + face * np.array([0.2, 0.12])
    side = int(min(np.ceil((high - low).max()), width, height))
    left, top = np.round((low + high) / 2 - side / 2).astype(int)
    return int(np.clip(left, 0, width - side)), int(np.clip(top, 0, height - side)), side


def _shrink(image: np.ndarray, box: tuple[int, int, int], size: int) -> np.ndarray:
    left, top, side = box
    how = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
    return cv2.resize(image[top:top + side, left:left + side], (size, size), interpolation=how)


def move_camera(K: Float[np.ndarray, "3 3"], box: tuple[int, int, int], size: int
                ) -> Float[np.ndarray, "3 3"]:
    """K after cropping to box and scaling: u' = (u - left) size / side, pixel centres at +0.5."""
    left, top, side = box
    scale = size / side
    return np.diag([scale, scale, 1.0]) @ np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]]) @ K


def clip_background(frames: UInt8[np.ndarray, "T H W 3"], landmarks: Float[np.ndarray, "T 68 2"]
                    ) -> UInt8[np.ndarray, "H W 3"]:
    """What stands behind the head: the median over time outside it, inpainted where it stays.

    The head's outline is generous: the landmark hull, grown, and raised to cover forehead and hair.
    """
    size = frames.shape[1]
    some = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), 60)).astype(int))
    heads = np.zeros((len(some), size, size), np.uint8)
    for head, t in zip(heads, some):
        points = landmarks[t]
        face = np.ptp(points[:, 1])
        raised = points[17:27] - [0, 0.75 * face]  # brows, lifted over the hair
        hull = cv2.convexHull(np.concatenate([points, raised]).astype(np.float32))
        cv2.fillConvexPoly(head, hull.astype(int), 1)
        cv2.dilate(head, np.ones((3, 3), np.uint8), head, iterations=max(1, round(0.2 * face)))
    hidden = heads.astype(bool)
    stack = np.ma.masked_array(frames[some], np.broadcast_to(hidden[..., None], (*hidden.shape, 3)))
    median = np.ma.median(stack, axis=0).filled(0).astype(np.uint8)
    return cv2.inpaint(median, hidden.all(0).astype(np.uint8), 3, cv2.INPAINT_TELEA)


# ---- picture and sound ---------------------------------------------------------------------------

def asked_offset(text: str, option: str = "--av-offset") -> float | None:
    """What the user asks for: milliseconds -> s by which the picture leads its sound; auto -> None.

    Raises InputError, beginning with `option`, on anything else.
    """
    if text.strip().lower() == "auto":
        return None
    try:
        seconds = float(text) / 1000
    except ValueError:
        seconds = np.nan
    if not abs(seconds) <= FARTHEST:  # nan too
        raise InputError(f"{option} {text}: want milliseconds, auto or 0; "
                         f"at most {1000 * FARTHEST:.0f} either way")
    return seconds


def sound_move(path: Path, landmarks: Float[np.ndarray, "T 68 2"], times: Float[np.ndarray, " T"],
               wave: Float[np.ndarray, " N"], av_offset: str = "auto") -> float:
    """Seconds to move a clip's sound by: what was heard there is then heard at 0.

    landmarks (T, 68, 2) px, shown at times (T,) s; wave (N,) at 16 kHz; av_offset as the user gives
    it. One printed line says what was found, and what is done. InputError: see asked_offset.
    """
    move = asked_offset(av_offset)
    if move is not None:
        how = "lags behind" if move < 0 else "leads"
        said = f"the picture {how} the sound by {abs(move) * 1000:.0f} ms, as asked"
        print(f"{path.name}: {said if move else 'picture and sound left as they are, as asked'}")
        return move
    found = estimate_offset(landmarks, times, wave)
    ms = f"{found.seconds * 1000:.0f} ms"
    if not found.sure:
        move, said = 0.0, ("too short to tell by how much picture and sound differ (perhaps "
                           f"{ms}); left as it is, --av-offset MS sets it")
    elif IN_SYNC[0] <= found.seconds <= IN_SYNC[1]:
        move, said = 0.0, f"picture and sound are in sync ({ms})"
    else:
        move, how = found.seconds - LEAD, "lags" if found.seconds < 0 else "leads"
        said = f"picture {how} by {ms.lstrip('-')}, sound moved by {move * 1000:.0f} ms"
    print(f"{path.name}: {said}")
    return move


def heard(times: Float[np.ndarray, " T"], seconds: float, move: float) -> Bool[np.ndarray, " T"]:
    """Which frames, shown from times (T,) s on, have sound once `seconds` of it are moved.

    A clip whose sound stays keeps all frames: a recording's last ones may outlast its sound.
    """
    if move == 0:
        return np.ones(len(times), bool)
    return (times >= -move - 1e-6) & (times <= seconds - move + 1e-6)


# ---- the take ------------------------------------------------------------------------------------

def open_clip(path: Path) -> tuple[VideoInfo, Float[np.ndarray, "T 68 2"]]:
    """Rate and size of a clip and its landmarks; InputError where load_clip would find too little.

    It does not read all of the video, so it is quick.
    """
    info = video_info(path)
    if not info.has_audio:
        raise InputError(f"{path}: has no sound; give a clip in which the person can be heard")
    return info, load_landmarks(path, info.frames)


def load_clip(path: Path, size: int, cache_dir: Path, av_offset: str = "auto") -> Take:
    """The take of a clip, its frames cropped once and kept in cache_dir, or InputError.

    av_offset: milliseconds by which its picture leads its sound, or "auto": see sound_move.
    """
    info, landmarks = open_clip(path)
    wave = read_audio(path)
    check_audio_length(wave, info.fps, path)
    track = tracking.track(landmarks, (info.width, info.height), info.fps)
    ids = np.flatnonzero(np.isfinite(landmarks).all((1, 2)))
    move = sound_move(path, landmarks[ids], ids / info.fps, wave, av_offset)
    step = 2 if info.fps > MAX_FPS else 1
    ids = ids[heard(ids / info.fps, len(wave) / SAMPLE_RATE, move) & (ids % step == 0)]
    if len(ids) < 2:  # one to train on, one held out
        raise InputError(f"{path}: {len(ids)} frames have both landmarks and sound; "
                         "give a longer clip, or another --av-offset")
    box = crop_box(landmarks[ids], info.width, info.height)
    marks = (landmarks[ids] - box[:2]) * (size / box[2])  # (T, 68, 2)
    stat, digest = path.stat(), hashlib.sha256(landmarks.tobytes() + ids.tobytes())
    key = [stat.st_size, stat.st_mtime_ns], size, box, step, digest.hexdigest()
    pair = cache_paths(cache_dir, path.stem, *key)
    if not have(pair):
        check_disk(cache_dir, len(ids), size)
        write_pair(pair, len(ids), size, functools.partial(_cut_clip, path, ids, box, marks))
    frames, masks = (np.load(p, mmap_mode="r") for p in pair)
    return Take(path.stem + "/all", path.stem, info.fps / step, ids // step, marks,
                move_camera(track.K, box, size), track.cam_to_head[ids], track.f_exp[ids],
                track.exp_basis, shifted(wave, move), {"id": 0, "al": 0, "ill": 0},
                frames, masks, clip_background(frames, marks), "clip", move)


def _cut_clip(path: Path, ids: np.ndarray, box: tuple[int, int, int], marks: np.ndarray,
              frames: np.ndarray, masks: np.ndarray) -> None:
    """Crop and scale the frames ids of the video into frames, and draw their face masks."""
    place, size = {int(i): t for t, i in enumerate(ids)}, frames.shape[1]
    images = tqdm(read_frames(path), unit="frame", desc="cropping", mininterval=0.5)
    for i, image in enumerate(images):
        if i in place:
            t = place[i]
            frames[t] = _shrink(image, box, size)
            masks[t] = np.round(255 * tracking.soft_face_mask(marks[t], size))
