"""pictures.py - Sec. 4.5: frames as a person looks at them: enlarged, captioned, labelled, written.

In and out: (H, W, 3) uint8 RGB. Read next: animate.py.
"""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from tools.errors import InputError, replacing

LABEL = "synthetic"
LABEL_SIZE = 1 / 28   # of a frame's height: height of the label's letters
LEGIBLE = 12          # px, the least
PICTURES = (".png", ".jpg", ".jpeg")


def caption(frame: UInt8[np.ndarray, "H W 3"], text: str) -> UInt8[np.ndarray, "h W 3"]:
    """The frame (H, W, 3) with a line of text above it, as large as fits."""
    strip = np.full((22, frame.shape[1], 3), 255, np.uint8)
    wide = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)[0][0]
    size = min(0.42, (frame.shape[1] - 8) / max(wide, 1))
    cv2.putText(strip, text, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([strip, frame])


def enlarge(frame: np.ndarray, at_least: int = 256) -> np.ndarray:
    """Whole-number cubic enlargement, so that a player shows a small render at a useful size."""
    factor = max(1, -(-at_least // frame.shape[0]))
    if factor == 1:
        return frame
    return cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def label(frame: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """A copy with "synthetic" in its lower right corner, for eyes that see no metadata.

    White letters with a black outline show on any background. They are LABEL_SIZE of the height,
    at least LEGIBLE px, and smaller only where the frame is too narrow for them.
    """
    height, width = frame.shape[:2]
    font, size = cv2.FONT_HERSHEY_SIMPLEX, max(LEGIBLE, height * LABEL_SIZE)
    (wide, tall), below = cv2.getTextSize(LABEL, font, 1.0, 1)
    scale = min(size / tall, width / (wide + 2 * tall))
    stroke = max(1, round(1.5 * scale))
    outline, margin = 3 * stroke, scale * tall / 2 + stroke
    place = round(width - margin - scale * wide), round(height - margin - scale * below)
    labelled = np.ascontiguousarray(frame).copy()
    for colour, thickness in (((0, 0, 0), outline), ((255, 255, 255), stroke)):
        cv2.putText(labelled, LABEL, place, font, scale, colour, thickness, cv2.LINE_AA)
    return labelled


def write_image(path: str | Path, image: UInt8[np.ndarray, "H W 3"]) -> None:
    """Write an RGB picture by its ending, .png or .jpg. Raises InputError where it cannot."""
    ending = Path(path).suffix.lower()
    if ending not in PICTURES:
        raise InputError(f"{path}: pictures are written as .png or .jpg; choose another --out")
    data = cv2.imencode(ending, np.ascontiguousarray(image[..., ::-1]))[1]
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())
