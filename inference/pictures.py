"""pictures.py - Sec. 4.5: frames as a person looks at them: enlarged, captioned, labelled, written.

In and out: (H, W, 3) uint8 RGB. Read next: animate.py.
"""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from tools.errors import InputError, replacing

LABEL = "synthetic"
LABEL_SIZE = 1 / 28   # of a frame's height: height of the label's letters
LEGIBLE = 12          # px, the least
FONT_FILLED = 0.75    # of a font's size, the height of its letters
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
    image = Image.fromarray(np.ascontiguousarray(frame))
    draw, letters = ImageDraw.Draw(image), max(LEGIBLE, height * LABEL_SIZE)
    for size in (letters / FONT_FILLED, 0.8 * width / len(LABEL)):  # the second: a narrow frame
        font, stroke = ImageFont.load_default(size), max(1, round(size / 12))
        left, top, right, bottom = draw.textbbox((0, 0), LABEL, font, stroke_width=stroke)
        margin = letters / 2
        if right - left + 2 * margin <= width:
            break
    place = round(width - margin - right), round(height - margin - bottom)
    draw.text(place, LABEL, "white", font, stroke_width=stroke, stroke_fill="black")
    return np.array(image)


def write_image(path: str | Path, image: UInt8[np.ndarray, "H W 3"]) -> None:
    """Write an RGB picture by its ending, .png or .jpg. Raises InputError where it cannot."""
    ending = Path(path).suffix.lower()
    if ending not in PICTURES:
        raise InputError(f"{path}: pictures are written as .png or .jpg; choose another --out")
    data = cv2.imencode(ending, np.ascontiguousarray(image[..., ::-1]))[1]
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())
