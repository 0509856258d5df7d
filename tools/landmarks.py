"""landmarks.py - Sec. 3.2: the 68 landmarks of a clip, for tracking.py: files and a detector.

In the paper they come out of its tracker, Face2Face [38]. Here they are found first and lie beside
the clip, in the order of iBUG (300-W): 0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes, 48-67 mouth.
The detector is MediaPipe's face mesh. It wants an environment of its own
(requirements-landmarks.txt), so nothing here, nor in tracking.py, needs torch.

In:  CLIP.landmarks.npy, or the folder CLIP.lms/ of text files; for the detector, the frames.
Out: (T, 68, 2) float32 px, x right, y down, pixel centres at +0.5; NaN: no face in that frame.
Read next: tracking.py (pose and expression from these points).
"""
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from tools.errors import InputError, replacing
from tools.media import read_frames


# ---- landmark files ------------------------------------------------------------------------------
def load_landmarks(clip_path: str | Path, n_frames: int | None = None
                   ) -> Float[np.ndarray, "T 68 2"]:
    """Landmarks (T, 68, 2) px of CLIP.mp4, NaN: no face; from CLIP.landmarks.npy or CLIP.lms/.

    Raises InputError when there is neither, the file is damaged or of another shape, T is not
    n_frames (when given), or no frame has landmarks.
    """
    clip = Path(clip_path)
    path, folder = clip.with_name(clip.stem + ".landmarks.npy"), clip.with_name(clip.stem + ".lms")
    make = f"make it again: python tracking.py {clip} --detect --force"
    if path.is_file():
        landmarks = _read_npy(path, make)
    elif folder.is_dir():
        path, landmarks = folder, _read_lms(folder, n_frames)
    else:
        command = f"python tracking.py {clip} --detect"
        raise InputError(f"{path}: no such landmark file; make it: {command}")
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2) or landmarks.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds {landmarks.dtype} of shape {landmarks.shape}, "
                         f"want (frames, 68, 2) numbers; {make}")
    if n_frames is not None and len(landmarks) != n_frames:
        raise InputError(f"{path}: has {len(landmarks)} frames, the clip {n_frames} frames; {make}")
    landmarks = landmarks.astype(np.float32)
    landmarks[~np.isfinite(landmarks).all((1, 2))] = np.nan
    if np.isnan(landmarks).all():
        raise InputError(f"{path}: no frame has landmarks; {make}")
    return landmarks


def _read_npy(path, make):
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path}: truncated or not a .npy file; {make}") from error


def _read_lms(folder, n_frames):
    """NUMBER.lms files of 68 lines 'x y'; NUMBER is the frame, from 0; NaN without a file."""
    files = {int(f.stem): f for f in folder.glob("*.lms") if f.stem.isdigit()}
    if not files:
        raise InputError(f"{folder}: holds no NUMBER.lms file; give one per frame, numbered from 0")
    T = n_frames or max(files) + 1
    landmarks = np.full((T, 68, 2), np.nan)
    for number, file in files.items():
        try:
            points = np.array(file.read_text().split(), dtype=float).reshape(68, 2)
        except (ValueError, OSError) as error:
            raise InputError(f"{file}: want 68 lines of two numbers, x y") from error
        if number >= T:
            raise InputError(f"{file}: there is no frame {number} in a clip of {T} frames, "
                             "counted from 0")
        landmarks[number] = points
    return landmarks


# ---- the detector --------------------------------------------------------------------------------
# MediaPipe's face mesh has 478 points fixed to the skin. These lie at the 68 iBUG places, in order.
MEDIAPIPE_68 = np.array([
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose bridge, nose base
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # lids
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # lips, outside
    78, 82, 13, 312, 308, 317, 14, 87])  # lips, inside


def have_detector() -> bool:
    """Whether MediaPipe can be imported here."""
    try:
        from mediapipe.python.solutions.face_mesh import FaceMesh  # noqa: F401
    except ImportError:
        return False
    return True


def find_faces(frames: Iterable[UInt8[np.ndarray, "H W 3"]]) -> Float[np.ndarray, "T 68 2"]:
    """MediaPipe on the frames of one video, in order: (T, 68, 2) float32 px, NaN: no face.

    Raises ImportError without MediaPipe.
    """
    from mediapipe.python.solutions.face_mesh import FaceMesh
    found = []
    with FaceMesh(static_image_mode=False, max_num_faces=1, refine_landmarks=True) as mesh:
        for frame in frames:
            faces, points = mesh.process(frame).multi_face_landmarks, np.full((478, 2), np.nan)
            if faces:
                points = np.array([[p.x, p.y] for p in faces[0].landmark])
            found.append(points[MEDIAPIPE_68] * [frame.shape[1], frame.shape[0]])
    return np.array(found, np.float32).reshape(-1, 68, 2)


def detect(clip: str | Path, force: bool = False) -> Float[np.ndarray, "T 68 2"]:
    """Run MediaPipe on a clip; write CLIP.landmarks.npy: (T, 68, 2) float32 px, NaN: no face.

    Raises InputError: no clip, no MediaPipe, the file exists (without force), no face anywhere.
    """
    clip = Path(clip)
    target = clip.with_name(clip.stem + ".landmarks.npy")
    if target.exists() and not force:
        raise InputError(f"{target}: exists; add --force to replace it")
    if not clip.is_file():
        raise InputError(f"{clip}: no such file; check the path")
    if not have_detector():
        raise InputError(
            f"{clip}: detecting needs MediaPipe, in an environment of its own; make it: python3.11 "
            "-m venv mp && mp/bin/pip install -r requirements-landmarks.txt && mp/bin/python "
            f"tracking.py {clip} --detect")
    landmarks = find_faces(read_frames(clip))
    if not np.isfinite(landmarks).any():
        raise InputError(f"{clip}: no face in {len(landmarks)} frames; "
                         "give a clip of one upright, well-lit face")
    with replacing(target) as temporary, open(temporary, "wb") as file:
        np.save(file, landmarks)
    return landmarks
