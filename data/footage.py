"""footage.py - Sec. 3.1: a talking head as the user has it, whatever form it is in.

In:  a video with what lies beside it, or a prepared folder of AD-NeRF or RAD-NeRF.
Out: Footage, the form that form.py describes.
Read next: nerf_folder.py, then clip.py, which makes a take of it.
"""

from pathlib import Path

from data import nerf_folder
from data.form import Footage
from tools import matte
from tools.landmarks import has_landmarks, load_landmarks
from tools.media import read_audio, read_frames, video_info


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
