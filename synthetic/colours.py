"""colours.py - Sec. 3.2, C_al of Eq. 1: albedo and gloss of a stand-in head's vertices.

A palette holds no shape and the paint knows no person, so any of the colours fits any identity.

In:  a palette. Out: albedo (V, 3) in [0, 1], gloss (V,). Read next: speech.py.
"""

import numpy as np
from jaxtyping import Float

from synthetic.hair import COLUMNS, OUTER, RINGS, strands
from synthetic.shape import model
from synthetic.surface import (BROW_RIGHT, BROWS, EYE, IRIS, LIDS_LEFT, LIDS_RIGHT, LIPS, N_LID,
                               bell, smoothstep)

PALETTES = [  # skin, lips, hair, iris, brows' strength, beard's strength
    ((0.86, 0.66, 0.55), (0.74, 0.42, 0.40), (0.30, 0.18, 0.10), (0.35, 0.22, 0.12), 0.8, 0.0),
    ((0.93, 0.76, 0.67), (0.82, 0.48, 0.47), (0.80, 0.62, 0.34), (0.25, 0.45, 0.65), 0.6, 0.0),
    ((0.45, 0.29, 0.21), (0.43, 0.22, 0.20), (0.09, 0.075, 0.07), (0.18, 0.10, 0.06), 0.9, 0.0),
    ((0.72, 0.51, 0.38), (0.62, 0.34, 0.30), (0.12, 0.09, 0.075), (0.20, 0.12, 0.07), 0.9, 0.85),
    ((0.90, 0.70, 0.60), (0.77, 0.45, 0.42), (0.58, 0.24, 0.11), (0.30, 0.50, 0.35), 0.7, 0.75),
    ((0.84, 0.63, 0.54), (0.70, 0.43, 0.40), (0.66, 0.64, 0.62), (0.40, 0.48, 0.52), 0.7, 0.0)]


def albedo(palette: tuple) -> Float[np.ndarray, "V 3"]:
    """Vertex colours (V, 3) in [0, 1] of the mean head's topology, which all heads share."""
    skin, lips, hair, iris, brow, beard = (np.array(entry) for entry in palette)
    head = model()
    color = np.broadcast_to(skin, head.mean.shape).copy()

    def paint(where, paint_color, strength=1.0):
        weight = np.clip(strength * np.asarray(where, float), 0, 1)[:, None]
        color[:] = color * (1 - weight) + weight * np.asarray(paint_color)

    _paint_skin(paint, head, skin, lips, hair, brow, beard)
    _paint_mouth_and_eyes(paint, head, lips, iris)
    on_hair = head.part == "hair"
    paint(head.part == "bun", hair * 0.9)
    color[on_hair] = _hair_colors(hair, skin)
    return np.clip(color, 0, 1).astype(np.float32)


def _hair_colors(hair, skin):
    """Colours (H, 3) of the part "hair": strands, a dark inside, skin between the last hairs."""
    ring, column = np.divmod(np.arange(RINGS * COLUMNS), COLUMNS)
    theta, t = 2 * np.pi * column / COLUMNS - np.pi, np.minimum(ring / (OUTER - 1), 1.0)
    fine = np.random.default_rng(5).uniform(-1, 1, COLUMNS)[column]  # one strand beside the other
    shade = 1 + 0.22 * strands(theta, t) + 0.1 * fine + 0.1 * bell(t, 0.45, 0.2)
    shade = np.where(ring < OUTER, shade, np.where(np.cos(theta) > 0.4, 0.8, 0.5))
    edge = np.select([ring == OUTER - k for k in (1, 2, 3)], [0.6, 0.35, 0.15], 0.0)
    edge = edge * smoothstep(4 * np.cos(theta) - 1.8)
    hair = hair + 0.025 * shade[:, None]  # black hair shows its strands, too
    return shade[:, None] * hair * (1 - edge[:, None]) + edge[:, None] * skin


def _paint_skin(paint, head, skin, lips, hair, brow, beard):
    x, y, z = head.mean.T
    ax, on, front = np.abs(x), head.part == "skin", smoothstep(z / 0.3)
    ring = np.arange(len(x))
    paint(on * front * bell(ax, 0.42, 0.16) * bell(y, -0.32, 0.14), skin * [1.0, 0.74, 0.71], 0.4)
    paint(on * front * bell(x, 0, 0.13) * bell(y, -0.42, 0.09), skin * [1.0, 0.78, 0.75], 0.4)
    paint(on * front * bell(ax, 0.30, 0.16) * bell(y, 0.0, 0.09), skin * [0.78, 0.70, 0.70], 0.5)
    line = np.interp(ax, [0, 0.14, 0.24, 0.34, 0.5, 0.62, 0.75],
                     [-0.60, -0.60, -0.66, -0.72, -0.52, -0.32, 0.1])
    jaw_hair = smoothstep((line - y) / 0.08) * smoothstep((z + 0.2) / 0.15)
    jaw_hair = jaw_hair * smoothstep((y + 1.3) / 0.1)
    grain = np.random.default_rng(6).uniform(0.75, 1.1, len(x))[:, None]  # hairs, not a stain
    paint(on * jaw_hair, hair * grain, beard)
    for first, share in ((LIPS, 1.0), (LIPS + 32, 1.0), (LIPS + 64, 0.6)):  # a soft outer edge
        paint(on & (ring >= first) & (ring < first + 32), lips, share)
    paint(on * bell(ax, 0.07, 0.03) * bell(y, -0.548, 0.02) * front, skin * 0.4)
    for first in (BROWS, BROW_RIGHT):
        along = np.array([0, 0.5, 0.9, 1, 1, 1, 1, 0.9, 0.7, 0.4, 0])[(ring - first) % 11]
        paint((ring >= first) & (ring < first + 33), hair * 0.6, brow * along)
    for first in (LIDS_LEFT, LIDS_RIGHT):
        paint((ring >= first) & (ring < first + N_LID), hair * 0.25, 0.8)
        paint((ring >= first + N_LID) & (ring < first + 24), skin * [0.75, 0.55, 0.5])
    paint(head.part == "neck", skin * 0.85)
    paint(np.isin(head.part, ["left ear", "right ear"]), skin * [1.0, 0.88, 0.86])


def _paint_mouth_and_eyes(paint, head, lips, iris):
    bag = head.part == "bag"
    dark = [(0.08, 0.02, 0.02), (0.04, 0.01, 0.01), (0.02, 0, 0)]
    inside = [lips * 0.9, lips * 0.5, lips * 0.18, *dark]
    for ring, shade in enumerate(inside):
        paint(bag & (head.depth == ring), shade)
    paint(np.isin(head.part, ["upper teeth", "lower teeth"]), (0.88, 0.85, 0.79))
    eye = np.isin(head.part, ["left eye", "right eye"])
    angle = IRIS[np.minimum(head.depth.astype(int), len(IRIS) - 1)]
    paint(eye, (0.80, 0.77, 0.75))
    paint(eye & (angle < 0.40), iris * 0.55)
    paint(eye & (angle < 0.32), iris)
    paint(eye & (angle < 0.16), (0.02, 0.02, 0.02))
    corner = smoothstep((np.hypot(np.abs(head.mean[:, 0]) - EYE[0], head.mean[:, 1]) - 0.07) / 0.06)
    paint(eye * corner, (0.45, 0.30, 0.28), 0.35)
    lid_shadow = smoothstep((head.mean[:, 1] - EYE[1] - 0.01) / 0.05)
    paint(eye * lid_shadow, (0.10, 0.06, 0.05), 0.35)


def gloss() -> Float[np.ndarray, "V"]:
    """Highlight per vertex (V,): strong on eyes, some on hair, lips, teeth, little on skin."""
    part = model().part
    value = np.where(np.isin(part, ["left eye", "right eye"]), 0.9, 0.06)
    value = np.where(np.isin(part, ["hair", "bun"]), 0.18, value)
    value = value + 0.1 * model().lip * (part == "skin")
    return np.where(part == "bag", 0.0, value).astype(np.float32)
