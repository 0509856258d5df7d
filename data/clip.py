"""clip.py - Sec. 3.1, 3.2: a take from a talking-head clip.

In:  Footage (a video with its sound, and perhaps landmarks and matte beside it); by how much its
     picture leads its sound, or "auto".
Out: a Take: square frames about the head with its hair, masks m(.), P_cam and F_exp from
     tracking.py, and the sound, moved to where the lips are.
Read next: people.py, which reads a folder of clips, and prepare.py, which treats clips and meshes
alike.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from tqdm import tqdm

import tracking
from data import framing
from data.footage import Footage, open_footage
from data.found import Detectors, check_landmarks, landmarks_of, mattes_of
from data.offset import estimate_offset, shifted
from data.take import Story, Take, cache_paths, check_disk, have, write_pair
from synthetic import cameras
from tools.errors import InputError
from tools.media import SAMPLE_RATE, check_audio_length, check_sounding

MAX_FPS = 35          # above this a source is halved
LEAD = 0.045          # s by which clips in sync measure: lips move ahead of the sound they make
IN_SYNC = (-0.045, 0.095)  # s; an estimate from here to there is not told from a clip in sync
OUTLAST = 0.2         # s
OUTLINED = 60         # frames that are looked at for the square and for the background
FARTHEST = 2.0        # s that the sound can be moved by: more is a slip of the keyboard


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

    A recording's last frames may outlast its sound by OUTLAST: its last vector then repeats.
    """
    if move == 0:
        return times <= seconds + OUTLAST
    return (times >= -move - 1e-6) & (times <= seconds - move + 1e-6)


# ---- the take ------------------------------------------------------------------------------------

def check_clip(path: Path, detectors: Detectors) -> None:
    """InputError where load_clip would find too little; it detects nothing and writes nothing."""
    footage = open_footage(path)
    if not footage.info.has_audio:
        raise InputError(f"{path}: has no sound; give a clip in which the person can be heard")
    check_landmarks(footage, detectors.landmark_model)
    if footage.landmarks is not None:
        footage.landmarks()


def load_clip(path: Path, size: int, cache_dir: Path, detectors: Detectors, av_offset: str = "auto"
              ) -> Take:
    """The take of a clip, its frames cropped once and kept in cache_dir, or InputError.

    av_offset: milliseconds by which its picture leads its sound, or "auto": see sound_move.
    """
    check_clip(path, detectors)
    footage = open_footage(path)
    info, wave = footage.info, footage.sound()
    check_audio_length(wave, info.fps, path)
    check_sounding(wave, path)
    landmarks, source = landmarks_of(footage, detectors)
    ids, dropped = np.array(info.ids), {}
    seen = np.isfinite(landmarks).all((1, 2))
    good = framing.trusted(landmarks, ids)
    track, rows = track_on_time(landmarks, ids, good, footage), ids - ids[0]
    move = sound_move(path, landmarks[good], ids[good] / info.fps, wave, av_offset)
    sounds = heard(ids / info.fps, len(wave) / SAMPLE_RATE, move)
    step = 2 if info.fps > MAX_FPS else 1
    kept = good & sounds & (ids % step == 0)
    for reason, left in (("no face found", ~seen), ("not this face", seen & ~good),
                         ("beyond the sound", good & ~sounds),
                         ("every second one", good & sounds & ~kept)):
        dropped |= {reason: int(left.sum())} if left.any() else {}
    if kept.sum() < 2:  # one to train on, one held out
        raise InputError(f"{path}: {kept.sum()} frames have both landmarks and sound; "
                         "give a longer clip, or another --av-offset")
    kept = np.flatnonzero(kept)
    mattes, mask = mattes_of(footage, detectors)
    outlines = None if mattes is None else _outlines(path, mattes(), landmarks, kept)
    box = framing.crop_box(landmarks[kept], (info.width, info.height), outlines)
    story = Story(str(path), info.fps, info.frames, (info.width, info.height), box, dropped, source,
                  mask)
    marks = (landmarks[kept] - box[:2]) * (size / box[2])  # (T, 68, 2)
    pair = _cached(footage, mattes, kept, marks, story, size, cache_dir)
    frames, masks = (np.load(p, mmap_mode="r") for p in pair)
    poses = track.cam_to_head[rows[kept]]
    return Take(path.stem + "/all", path.stem, info.fps / step, ids[kept] // step, marks,
                framing.move_camera(track.K, box, size), poses, track.f_exp[rows[kept]],
                track.exp_basis, shifted(wave, move), {"id": 0, "al": 0, "ill": 0}, frames, masks,
                _background(footage, frames, masks, marks, story), "clip", move,
                whole=mattes is not None, rest=cameras.mean_pose(poses), story=story)


def track_on_time(landmarks: Float[np.ndarray, "N 68 2"], ids: np.ndarray,
                  good: Bool[np.ndarray, " N"], footage: Footage) -> tracking.Track:
    """The track over the frames' own time: row ids[k] - ids[0] is frame k, holes are filled."""
    even = np.full((ids[-1] - ids[0] + 1, 68, 2), np.nan)
    even[ids[good] - ids[0]] = landmarks[good]
    if not good.any():
        raise InputError(f"{footage.path}: no frame has landmarks; "
                         "give a clip of one upright, well-lit face")
    return tracking.track(even, (footage.info.width, footage.info.height), footage.info.fps)


def _outlines(path: Path, mattes: Iterable[np.ndarray], landmarks: np.ndarray, kept: np.ndarray
              ) -> np.ndarray:
    """Outlines (n, 4) px of the head in some of the frames `kept`; InputError: matte inverted."""
    some = set(kept[np.unique(np.linspace(0, len(kept) - 1, OUTLINED).astype(int))].tolist())
    found, there = [], 0
    for k, matte in enumerate(mattes):
        if k in some:
            found.append(framing.head_outline(matte, landmarks[k]))
            there += framing.shows_face(matte, landmarks[k])
    if there < len(found) / 2:
        raise InputError(f"{path}: its matte is dark where the face is; make the person white "
                         "(255), the background black (0)")
    return np.stack(found)


def _cached(footage: Footage, mattes: Callable | None, kept: np.ndarray, marks: np.ndarray,
            story: Story, size: int, cache_dir: Path) -> tuple[Path, Path]:
    """The files of frames and masks, written where they are not there yet."""
    told = hashlib.sha256(marks.tobytes() + kept.tobytes()).hexdigest()
    key = footage.stamp(), size, story.box, story.mask, told
    pair = cache_paths(cache_dir, footage.path.stem, *key)
    if not have(pair):
        check_disk(cache_dir, len(kept), size)
        fill = functools.partial(_cut_clip, footage, mattes, kept, marks, story.box)
        write_pair(pair, len(kept), size, fill)
    return pair


def _cut_clip(footage: Footage, mattes: Callable | None, kept: np.ndarray, marks: np.ndarray,
              box: tuple[int, int, int], frames: np.ndarray, masks: np.ndarray) -> None:
    """Crop and scale the frames `kept` of the footage, and their mattes, joined with face masks.

    The face is the person's, whatever a matte says: one that fails in a frame leaves no empty mask.
    """
    place, size = {int(k): t for t, k in enumerate(kept)}, frames.shape[1]
    images = tqdm(footage.frames(), "cropping", footage.info.frames, unit="frame", mininterval=0.5)
    for k, image in enumerate(images):
        if k in place:
            frames[place[k]] = framing.cut(image, box, size)
    for t in range(len(kept)):
        masks[t] = np.round(255 * tracking.soft_face_mask(marks[t], size))
    for k, matte in enumerate(mattes() if mattes is not None else ()):
        if k in place:
            t = place[k]
            masks[t] = np.maximum(masks[t], framing.cut(matte, box, size))


def _background(footage: Footage, frames: np.ndarray, masks: np.ndarray, marks: np.ndarray,
                story: Story) -> np.ndarray:
    """The user's own picture of the empty place, else what the frames show of it."""
    size = frames.shape[1]
    if footage.background is not None:
        return framing.cut(footage.background(), story.box, size)
    some = np.unique(np.linspace(0, len(frames) - 1, OUTLINED).astype(int))
    face = story.mask == "face alone"
    hidden = framing.behind_face(marks[some], size) if face else framing.behind_matte(masks[some])
    return framing.background(frames[some], hidden)
