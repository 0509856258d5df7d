"""form.py - Sec. 3.1: the form in which a talking head enters, whatever it is kept in.

In:  nothing; footage.py and nerf_folder.py fill it in.
Out: Footage: its frames one by one, their times, sound, and where they are there, landmarks, matte
     and the empty background. One frame is one picture that the decoder gives.
Read next: footage.py, which finds out what lies at a path.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from tools.media import VideoInfo


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

    def stamp(self) -> str:
        """Words that change with the footage's files: of a folder, with any of them."""
        files = sorted(self.path.rglob("*")) if self.path.is_dir() else [self.path]
        told = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files if f.is_file()]
        return hashlib.sha256(json.dumps([told, str(self.info)]).encode()).hexdigest()[:12]
