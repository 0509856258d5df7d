"""take.py - Sec. 3.1, 4.1: the unit of data, a take: one person speaking one stretch of sound.

In:  what mesh_takes.py or clip.py found out about a take, and its frames one by one.
Out: Take, with frames and masks in memory-mapped files, so that no set needs more memory than a few
     frames.
Read next: clip.py, which makes takes of clips, and mesh_takes.py, which makes them of meshes.
"""

import hashlib
import json
import math
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

from tools.errors import InputError, in_one_line, new_array, replacing

CACHE_VERSION = 2     # raise it when frames of the same source would come out differently
# Bytes on the disk beside frames and masks, at most. Of a frame: two crops of 64 px, F_A from a
# HuBERT of width 1024, codes with the state of their optimiser, landmarks and a matte that are
# found. Of a run: checkpoint.pt, twice while it is replaced, and the report.
BESIDE, OF_RUN = 2 * 64 * 64 * 3 + 16 * 1024 * 4 + 8192, 64 * 2**20


@dataclass(frozen=True)
class Story:
    """What was understood of a clip: prepared.png shows it, and animate.py --into pastes by it."""
    source: str                 # the clip's path
    fps: float                  # of its frames
    frames: int                 # so many of them
    picture: tuple[int, int]    # (W, H), px
    box: tuple[int, int, int]   # what a take shows of it: left, top, side; may reach beyond
    dropped: dict[str, int]     # reason: number of frames
    landmarks: str              # where they come from
    mask: str                   # where it comes from


@dataclass
class Take:
    """One person's speech, T frames. Arrays may be memory-mapped: index them, do not copy them."""
    name: str                                   # "subject/sentence"
    subject: str
    fps: float
    frame_ids: Int[np.ndarray, " T"]            # shown at id / fps s of the sound; may have gaps
    landmarks: Float[np.ndarray, "T 68 2"]      # px of the output image, pixel centres at +0.5
    K: Float[np.ndarray, "3 3"]                 # px of the output image
    cam_to_head: Float[np.ndarray, "T 4 4"]     # P_cam: X_head = R X_cam + t, decimetres
    f_exp: Float[np.ndarray, "T E"]             # F_exp
    exp_basis: Float[np.ndarray, "E 68 3"]      # what f_exp multiplies
    wave: Float[np.ndarray, " N"]               # mono 16 kHz
    labels: dict[str, int]                      # "id", "al", "ill": who, which albedo, which light
    frames: UInt8[np.ndarray, "T H W 3"]
    masks: UInt8[np.ndarray, "T H W"]           # 255 = head (mesh) or face (clip)
    background: UInt8[np.ndarray, "H W 3"]
    kind: str                                   # "mesh" | "clip"
    av_offset: float = 0.0                      # s that the sound was moved by, see clip.sound_move
    whole: bool = True                          # masks tell all of the head; False: the face alone
    rest: Float[np.ndarray, "4 4"] | None = None  # of a clip: its mean cam_to_head, see dhnerf.py
    story: Story | None = None                  # of a clip


# ---- where frames are kept -----------------------------------------------------------------------

def cache_paths(cache_dir: Path, name: str, *key) -> tuple[Path, Path]:
    """Where frames and masks of a take are kept; the names change with all they depend on."""
    source = json.dumps([CACHE_VERSION, name, *key], default=str)
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    stem = re.sub(r"[^\w.-]", "_", name)[:80]  # whatever a pickle or a phone calls it
    return cache_dir / f"{stem}-{digest}-frames.npy", cache_dir / f"{stem}-{digest}-masks.npy"


def check_disk(cache_dir: Path, n_frames: int, size: int, source: int = 0) -> None:
    """Make the folder and say how much a run writes, at most; InputError when it does not fit.

    n_frames: that are prepared now, size x size; source: bytes that were written for them already.
    """
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{cache_dir}: cannot be made ({error.strerror}); "
                         "choose another --out") from error
    need = (n_frames * (size * size * 4 + BESIDE) + 6 * size * size + OF_RUN) / 2**20
    free = shutil.disk_usage(cache_dir).free / 2**20
    print(f"preparing {n_frames} frames of {size} x {size}: the run takes up to "
          f"{math.ceil(need + source / 2**20)} MB of disk ({free:.0f} MB free in {cache_dir})")
    if need > free * 0.95:
        raise InputError(f"{cache_dir}: up to {need:.0f} MB are needed, {free:.0f} MB are free; "
                         "free some space, choose another --out, fewer sentences or smaller "
                         "images")


def write_pair(paths: tuple[Path, Path], n: int, size: int, fill) -> None:
    """Create files of n frames and n masks, which fill(frames, masks) writes, then name them.

    Raises InputError where the disk is full, before fill is called.
    """
    with replacing(paths[0]) as first, replacing(paths[1]) as second:
        frames = new_array(first, np.uint8, (n, size, size, 3))
        masks = new_array(second, np.uint8, (n, size, size))
        fill(frames, masks)
        frames.flush(), masks.flush()


def have(paths: tuple[Path, Path]) -> bool:
    """Whether frames and masks are there already, and whole."""
    try:
        with in_one_line():
            frames, masks = (np.load(path, mmap_mode="r") for path in paths)
        return frames.shape[:3] == masks.shape
    except (OSError, ValueError, EOFError):
        return False
