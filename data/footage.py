"""footage.py - Sec. 3.1: a talking head as the user has it, whatever form it is in.

In:  a video with what lies beside it, or a prepared folder of AD-NeRF or RAD-NeRF.
Out: Footage: its frames one by one, their times, sound, and where they are there, landmarks, matte
     and the empty background. One frame is one picture that the decoder gives.
Read next: clip.py, which makes a take of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from data import nerf_folder
from tools import matte
from tools.landmarks import has_landmarks, load_landmarks
from tools.media import VideoInfo, read_audio, read_frames, video_info


@dataclass(frozen=True)
class Footage:
    """N frames of W x H px as displayed. Every function raises InputError, one line.

    info: their rate, number, size, and info.ids (N,): frame k is shown at ids[k] / fps seconds of
    the sound. landmarks, mattes, background: None where the user has none.
    """
    path: Path
    info: VideoInfo
    frames: Callable[[], Iterator[UInt8[np.ndarray, "H W 3"]]]
    sound: Callable[[], Float[np.ndarray, " S"]]                      # mono, 16 kHz
    landmarks: Callable[[], Float[np.ndarray, "N 68 2"]] | None       # px; NaN: no face
    mattes: Callable[[], Iterator[UInt8[np.ndarray, "H W"]]] | None   # 255 = the person
    background: Callable[[], UInt8[np.ndarray, "H W 3"]] | None


def open_footage(path: Path) -> Footage:
    """What lies at path; InputError where it is not to be used. It decodes the video once."""
    return nerf_folder.open_folder(path) if nerf_folder.is_folder(path) else of_video(path)


def of_video(path: Path) -> Footage:
    """A video; beside it perhaps NAME.landmarks.npy or NAME.lms/, NAME.matte.mp4 or NAME.matte/."""
    info = video_info(path)
    landmarks = (lambda: load_landmarks(path, info)) if has_landmarks(path) else None
    mattes = (lambda: matte.read_mattes(path, info)) if matte.has_matte(path) else None
    return Footage(path, info, lambda: read_frames(path), lambda: read_audio(path), landmarks,
                   mattes, None)
