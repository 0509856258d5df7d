"""data.py - what everything trains on (Sec. 3.1, 4.1): takes, i.e. one person speaking one stretch of sound.

In:  a folder in VOCASET's layout (real, or written by toyset.py), or a clip NAME.mp4 with NAME.landmarks.npy.
Out: list[Take]: frames (T, H, W, 3), masks, 68 landmarks, camera (P_cam), expression (F_exp), sound, by frame id.
Next: takes.py (what a take holds), meshes.py (folders), tracking.py (cameras of clips), audio.py (F_A).
"""

import hashlib
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

import tracking
import vocaset
from landmarks import load_landmarks
from media import InputError, check_audio_length, read_audio, read_frames, video_info
from meshes import load_meshes
from takes import Take, cache_paths, check_disk, have, write_pair

MAX_FPS = 35          # above this a source is halved
HELD_OUT = 1 / 11     # of a clip, at its end, as AD-NeRF splits its videos


def load(path: str | Path, size: int, cache_dir: str | Path, subjects: list[str] | int | None = None,
         sentences: list[str] | int | None = None, seed: int = 0) -> list[Take]:
    """Takes of a VOCASET folder or of one clip, images size x size, kept as memory-mapped files in cache_dir.

    subjects, sentences: names, or how many (the first ones; at most). None: VOCA's training subjects where the folder
    has any of VOCASET's, else all; all sentences. seed draws the colours, light and head motion of meshes.
    Raises InputError, one line, for anything missing, damaged or unknown. Never stands in other data.
    """
    path = Path(path)
    check_source(path)
    if path.is_dir():
        return load_meshes(path, size, Path(cache_dir), subjects, sentences, seed)
    return [_load_clip(path, size, Path(cache_dir))]


def check_source(path: str | Path) -> None:
    """Raise InputError now, before anything is written, when load() could not begin: no such source, parts missing."""
    path = Path(path)
    if path.is_dir():
        vocaset.check_parts(path)
    elif path.is_file():
        load_landmarks(path, video_info(path).frames)
    else:
        raise InputError(f"{path}: no such file or folder; {vocaset.ACCEPTED}")


def chosen(text: str | None) -> list[str] | int | None:
    """What the user wrote for subjects or sentences: "3" -> 3, "toy01,toy02" -> those names, None -> None."""
    if text is None or text.strip() == "":
        return None
    return int(text) if text.strip().isdigit() else [name.strip() for name in text.split(",") if name.strip()]


def split(takes: list[Take]) -> tuple[list[tuple[int, np.ndarray]], list[tuple[int, np.ndarray]]]:
    """(training, held out), each a list of (index of the take, its rows).

    Held out: of meshes the last sentence of every subject that has two or more; otherwise the last 1/11 of the frames.
    """
    train, held = [], []
    for i, take in enumerate(takes):
        rows = np.arange(len(take.frame_ids))
        same = [j for j, other in enumerate(takes) if other.subject == take.subject]
        if take.kind == "mesh" and len(same) > 1:
            (held if i == same[-1] else train).append((i, rows))
        else:
            cut = len(rows) - max(1, round(len(rows) * HELD_OUT))
            train.append((i, rows[:cut]))
            held.append((i, rows[cut:]))
    return train, held


# ---------------------------------------------------------------------------------------------- a clip

def crop_box(landmarks: Float[np.ndarray, "T 68 2"], width: int, height: int) -> tuple[int, int, int]:
    """One square (left, top, side) in whole pixels around the head in all frames, inside the image.

    The landmarks end at the brows; forehead and most of the hair lie above. A wider square would spend the few rays
    of a small image on the background.
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


def move_camera(K: Float[np.ndarray, "3 3"], box: tuple[int, int, int], size: int) -> Float[np.ndarray, "3 3"]:
    """K after cropping to box and scaling to size x size: u' = (u - left) size / side; pixel centres are at +0.5."""
    left, top, side = box
    scale = size / side
    return np.diag([scale, scale, 1.0]) @ np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]]) @ K


def clip_background(frames: UInt8[np.ndarray, "T H W 3"], landmarks: Float[np.ndarray, "T 68 2"]
                    ) -> UInt8[np.ndarray, "H W 3"]:
    """What stands behind the head: the median over time of the pixels outside it; inpainted where it never moves away.

    The head's outline is generous: the landmark hull, grown, and raised to cover forehead and hair.
    """
    size = frames.shape[1]
    some = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), 60)).astype(int))
    heads = np.zeros((len(some), size, size), np.uint8)
    for head, t in zip(heads, some):
        points = landmarks[t]
        face = np.ptp(points[:, 1])
        raised = points[17:27] - [0, 0.75 * face]  # brows, lifted over the hair
        cv2.fillConvexPoly(head, cv2.convexHull(np.concatenate([points, raised]).astype(np.float32)).astype(int), 1)
        cv2.dilate(head, np.ones((3, 3), np.uint8), head, iterations=max(1, round(0.2 * face)))
    hidden = heads.astype(bool)
    stack = np.ma.masked_array(frames[some], np.broadcast_to(hidden[..., None], (*hidden.shape, 3)))
    median = np.ma.median(stack, axis=0).filled(0).astype(np.uint8)
    return cv2.inpaint(median, hidden.all(0).astype(np.uint8), 3, cv2.INPAINT_TELEA)


def _load_clip(path: Path, size: int, cache_dir: Path) -> Take:
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
    stat = [path.stat().st_size, path.stat().st_mtime_ns]
    pair = cache_paths(cache_dir, path.stem, stat, size, box, step, hashlib.sha256(landmarks.tobytes()).hexdigest())
    if not have(pair):
        check_disk(cache_dir, len(ids), size)
        write_pair(pair, len(ids), size, lambda frames, masks: _cut_clip(path, ids, box, marks, frames, masks))
    frames, masks = (np.load(p, mmap_mode="r") for p in pair)
    return Take(path.stem + "/all", path.stem, info.fps / step, ids // step, marks, move_camera(track.K, box, size),
                track.cam_to_head[ids], track.f_exp[ids], track.exp_basis, wave, {"id": 0, "albedo": 0, "light": 0},
                frames, masks, clip_background(frames, marks), "clip")


def _cut_clip(path: Path, ids: np.ndarray, box: tuple[int, int, int], marks: np.ndarray, frames, masks) -> None:
    """Crop and scale the frames ids of the video into frames, and draw their face masks."""
    row = {int(i): t for t, i in enumerate(ids)}
    for i, image in enumerate(tqdm(read_frames(path), unit="frame", desc="cropping", mininterval=0.5)):
        if i in row:
            frames[row[i]] = _shrink(image, box, frames.shape[1])
            masks[row[i]] = np.round(255 * tracking.soft_face_mask(marks[row[i]], frames.shape[1]))


# ---------------------------------------------------------------------------------------------- crops

STABLE = [36, 39, 42, 45, 27, 28, 29, 30, 33]  # eye corners, nose bridge and base: speech does not move them
CANONICAL = np.array([[0.27, 0.38], [0.42, 0.38], [0.58, 0.38], [0.73, 0.38], [0.5, 0.38], [0.5, 0.435], [0.5, 0.49],
                      [0.5, 0.545], [0.5, 0.61]])  # where they go in the unit square of a whole-face crop
MOUTH_SIDE = 0.42     # of that square: the mouth crop
MOUTH_TOP = 0.64      # of that square's height: the mouth is below, nose and eyes are above


def similarity(source: Float[np.ndarray, "T P 2"], target: Float[np.ndarray, "P 2"]) -> Float[np.ndarray, "T 2 3"]:
    """Least-squares similarity (rotation, one scale, shift; no mirror) from source (T, P, 2) to target, as (T, 2, 3).

    With points as complex numbers it is z -> a z + b (Umeyama 1991, in two dimensions).
    """
    z, w = source[..., 0] + 1j * source[..., 1], target[:, 0] + 1j * target[:, 1]
    z0, w0 = z.mean(1, keepdims=True), w.mean()
    a = ((z - z0).conj() * (w - w0)).sum(1) / (np.abs(z - z0) ** 2).sum(1)  # (T,)
    b = w0 - a * z0[:, 0]
    return np.stack([np.stack([a.real, -a.imag, b.real], -1), np.stack([a.imag, a.real, b.imag], -1)], 1)


def _warp(frame: np.ndarray, M: np.ndarray, out: int) -> np.ndarray:
    """Warp by M (2, 3) in px with centres at +0.5. A strong reduction first shrinks the frame, against aliasing."""
    factor = max(1, int(1 / np.hypot(M[0, 0], M[1, 0])))
    height, width = frame.shape[:2]
    small = cv2.resize(frame, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_AREA)
    A = M[:, :2] * [width / small.shape[1], height / small.shape[0]]
    shift = M[:, 2] + A @ [0.5, 0.5] - 0.5  # OpenCV counts pixel centres at whole numbers
    return cv2.warpAffine(small, np.column_stack([A, shift]), (out, out), flags=cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_REPLICATE)


def stable_crop(frames: UInt8[np.ndarray, "T H W 3"], landmarks: Float[np.ndarray, "T 68 2"],
                out: int) -> UInt8[np.ndarray, "T {out} {out} 3"]:
    """Whole faces, each frame turned, scaled and shifted so that eyes and nose stay in place: pose gone, lips move."""
    moves = similarity(landmarks[:, STABLE], CANONICAL * out)
    return np.stack([_warp(frame, M, out) for frame, M in zip(frames, moves)])


def mouth_crop(frames: UInt8[np.ndarray, "T H W 3"], landmarks: Float[np.ndarray, "T 68 2"], out: int,
               whole: Float[np.ndarray, "N 68 2"] | None = None) -> UInt8[np.ndarray, "T {out} {out} 3"]:
    """As stable_crop, a square around the clip's mean mouth: for E_lip (Eq. 8). One square a clip, so lip motion stays.

    Where the frames are only a part of the clip, `whole` has the landmarks of all of it, so that every part gets one
    square.
    """
    target = CANONICAL * (out / MOUTH_SIDE)
    whole = landmarks if whole is None else whole
    all_moves, moves = similarity(whole[:, STABLE], target), similarity(landmarks[:, STABLE], target)
    lips = np.einsum("tij,tpj->tpi", all_moves[:, :, :2], whole[:, 48:]) + all_moves[:, None, :, 2]
    moves[:, :, 2] += out / 2 - lips.mean((0, 1))
    return np.stack([_warp(frame, M, out) for frame, M in zip(frames, moves)])
