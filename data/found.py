"""found.py - Sec. 3.1, 3.2: landmarks and matte of a clip: the user's own, or found and kept.

In:  Footage; a folder beside the run where what is found is kept, never over the user's files.
Out: landmarks (N, 68, 2) px; the person's matte, frame by frame; where each comes from.
Read next: clip.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from data.footage import Footage
from tools import landmarks, matte
from tools.errors import InputError, replacing
from tools.media import write_video

LONGEST_SIDE = 512  # px of a matte that is kept


@dataclass(frozen=True)
class Detectors:
    """What finds faces and people where the user's files do not say; what they find is in `folder`.

    models: files for MediaPipe versions that ship none, for landmarks and for the matte.
    """
    folder: Path
    landmark_model: Path | None = None
    matte_model: Path | None = None

    def kept(self, footage: Footage, ending: str) -> Path:
        """The file of a clip; another clip of the same name has another one."""
        return self.folder / f"{footage.path.stem}-{footage.stamp()}{ending}"


def check_landmarks(footage: Footage, model: Path | None = None) -> None:
    """InputError where a clip has no landmarks and nothing here finds them."""
    if footage.landmarks is None and not landmarks.have_detector(model):
        raise InputError(
            f"{footage.path}: has no landmarks beside it, and no detector is installed; "
            "pip install -r requirements-landmarks.txt (Python 3.10 to 3.12), or give "
            + (".lms files beside its pictures" if footage.path.is_dir() else
               f"{footage.path.stem}.landmarks.npy of shape (frames, 68, 2): in another "
               f"environment python tracking.py {footage.path} --detect makes it"))


def landmarks_of(footage: Footage, detectors: Detectors) -> tuple[Float[np.ndarray, "N 68 2"], str]:
    """Landmarks, NaN where there is no face, and where they are from. InputError: no face."""
    if footage.landmarks is not None:
        return footage.landmarks(), "given"
    check_landmarks(footage, detectors.landmark_model)
    path = detectors.kept(footage, ".landmarks.npy")
    if path.is_file():
        return np.load(path, allow_pickle=False), "MediaPipe, found before"
    found = landmarks.find_faces(footage.frames(), footage.info.frames, detectors.landmark_model)
    if not np.isfinite(found).any():
        raise InputError(f"{footage.path}: no face in {len(found)} frames; "
                         "give a clip of one upright, well-lit face")
    detectors.folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, found)
    return found, "MediaPipe"


def mattes_of(footage: Footage, detectors: Detectors
              ) -> tuple[Callable[[], Iterator[UInt8[np.ndarray, "H W"]]] | None, str]:
    """The person's mattes, from the first frame on whenever called, and where they are from.

    None where the user has none and nothing here finds the person.
    """
    if footage.mattes is not None:
        return footage.mattes, "matte, given"
    path = detectors.kept(footage, ".matte.mp4")
    if not path.is_file():
        if not matte.have_segmenter(detectors.matte_model):
            return None, "face alone"
        detectors.folder.mkdir(parents=True, exist_ok=True)
        found = matte.find_mattes(footage.frames(), footage.info.frames, detectors.matte_model)
        write_video(path, (_small(one) for one in found), 25)
    beside = detectors.kept(footage, ".mp4")
    return (lambda: matte.read_mattes(beside, footage.info)), "matte, MediaPipe"


def _small(one: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "h w 3"]:
    """A matte as it is kept: a grey picture of at most LONGEST_SIDE px, of an even size."""
    scale = min(1.0, LONGEST_SIDE / max(one.shape))
    height, width = (max(2, 2 * round(side * scale / 2)) for side in one.shape)
    return np.repeat(cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA)[..., None],
                     3, -1)
