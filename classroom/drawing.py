"""drawing.py - the pictures of tutorial.md: sheets of labelled pictures, plots, small files.

In:  arrays and tensors, or figures of matplotlib.
Out: figures/NAME.png below the working directory; in a notebook also the picture below its cell.
Read next: tutorial.md, whose blocks call it.
"""
from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from tools.errors import replacing

FOLDER = Path("figures")
WIDTH, GAP, LETTERS = 700, 4, 15  # px, of a sheet: its width, between its pictures, its letters
DPI, COLOURS = 100, 128  # of a plot of 7 inches: 700 px; colours of a file: few, so that it is small


def figure(height: float) -> Figure:
    """An empty figure of matplotlib, 7 inches wide, `height` inches high."""
    return Figure(figsize=(WIDTH / DPI, height), dpi=DPI, layout="constrained")


def plot(name: str, drawn: Figure) -> None:
    """Write and show a figure of matplotlib."""
    data = io.BytesIO()
    drawn.savefig(data, format="png")
    _keep(name, Image.open(data).convert("RGB"))


def sheet(name: str, rows: list, top: Sequence = (), left: Sequence[str] = ()) -> None:
    """Write and show rows of pictures of one size, enlarged to WIDTH in all, with labels.

    A picture: uint8 (H, W, 3), or in [0, 1]: (3, H, W) in colour, (H, W) as a heat map, black 0.
    top: a label per column, or a list of such labels per row; left: a label per row.
    """
    rows = [[_pixels(one) for one in row] for row in rows]
    columns = max(map(len, rows))
    font = ImageFont.load_default(LETTERS)
    words = [line for text in left for line in text.split("\n")]
    margin = max([round(font.getlength(word)) + 8 for word in words], default=0)
    heads = top if top and not isinstance(top[0], str) else [top]
    head = LETTERS + 8 if top else 0
    width = (WIDTH - margin) // columns - GAP
    height = round(width * rows[0][0].shape[0] / rows[0][0].shape[1])
    size = WIDTH, len(heads) * head + len(rows) * (height + GAP)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for r, texts in enumerate(heads):
        for c, text in enumerate(texts):
            at = margin + c * (width + GAP) + width // 2, 2 + r * (head + height + GAP)
            draw.text(at, text, "black", font, anchor="ma")
    for r, row in enumerate(rows):
        at = head * min(r + 1, len(heads)) + r * (height + GAP)
        if left:
            draw.text((2, at + height // 2), left[r], "black", font, anchor="lm")
        for c, one in enumerate(row):
            enlarged = Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC)
            canvas.paste(enlarged, (margin + c * (width + GAP), at))
    _keep(name, canvas)


def _pixels(picture) -> np.ndarray:
    """A picture as uint8 (H, W, 3)."""
    array = np.asarray(picture.detach() if hasattr(picture, "detach") else picture)
    if array.dtype == np.uint8:
        return array
    array = np.clip(array, 0, 1)
    array = colormaps["magma"](array)[..., :3] if array.ndim == 2 else array.transpose(1, 2, 0)
    return np.round(array * 255).astype(np.uint8)


def _keep(name: str, picture: Image.Image) -> None:
    """Write the picture with few colours, and show it where the program runs in a notebook."""
    path = FOLDER / name
    with replacing(path) as temporary:
        picture.quantize(COLOURS).save(temporary, format="PNG", optimize=True)
    if "IPython" in sys.modules:
        from IPython import display, get_ipython
        if get_ipython() is not None:
            display.display(display.Image(data=path.read_bytes()))
