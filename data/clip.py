"""clip.py - Sec. 3.1, 3.2: a take from a talking-head clip, NAME.mp4 beside NAME.landmarks.npy.

In:  the clip's path.
Out: a Take: square frames about the head, face masks m(.), P_cam and F_exp from tracking.py.
Read next: prepare.py, which treats clips and meshes alike.
"""

import functools
import hashlib
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

import tracking
from data.take import Take, cache_paths, check_disk, have, write_pair
from tools.errors import InputError
from tools.landmarks import load_landmarks
from tools.media import check_audio_length, read_audio, read_frames, video_info

MAX_FPS = 35          # above this a source is halved


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


def load_clip(path: Path, size: int, cache_dir: Path) -> Take:
    """The take of a clip, its frames cropped once and kept in cache_dir, or InputError."""
    info = video_info(path)
    if not info.has_audio:
        raise InputError(f"{path}: has no sound; give a clip in which the person can be heard")
    landmarks = load_landmarks(path, info.frames)
    wave = read_audio(path)
    check_audio_length(wave, info.fps, path)
    track = tracking.track(landmarks, (info.width, info.height), info.fps)
    step = 2 if info.fps > MAX_FPS else 1
    ids = np.flatnonzero(np.isfinite(landmarks).all((1, 2)))
    ids = ids[ids % step == 0]
    box = crop_box(landmarks[ids], info.width, info.height)
    marks = (landmarks[ids] - box[:2]) * (size / box[2])  # (T, 68, 2)
    stat, digest = path.stat(), hashlib.sha256(landmarks.tobytes()).hexdigest()
    key = [stat.st_size, stat.st_mtime_ns], size, box, step, digest
    pair = cache_paths(cache_dir, path.stem, *key)
    if not have(pair):
        check_disk(cache_dir, len(ids), size)
        write_pair(pair, len(ids), size, functools.partial(_cut_clip, path, ids, box, marks))
    frames, masks = (np.load(p, mmap_mode="r") for p in pair)
    return Take(path.stem + "/all", path.stem, info.fps / step, ids // step, marks,
                move_camera(track.K, box, size), track.cam_to_head[ids], track.f_exp[ids],
                track.exp_basis, wave, {"id": 0, "al": 0, "ill": 0},
                frames, masks, clip_background(frames, marks), "clip")


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
