"""hair.py - the hair of a stand-in head (Sec. 4.1's data): a sheet, a bun, and styles as fields.

The sheet runs from the crown along the outside to the hair's edge and back on its inside, so that
long hair has an inner wall. Every style has the same points, so identities mix styles by adding
displacements, as they do with any other shape.

In:  a style's numbers (Style). Out: points (RINGS, COLUMNS, 3) in dm, style_fields.
Read next: shape.py, which joins them with the head.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from synthetic.surface import bell, shell, skull, smoothstep

STYLES = ("hair volume", "hair length", "receding", "fringe", "curls", "bun")  # entries of SHAPE
OUTER, INNER, COLUMNS = 17, 4, 60
RINGS = OUTER + INNER
DEGREES = [0, 20, 40, 54, 66, 76, 84, 100, 112, 140, 180]  # from the front
SHORT = [.70, .71, .70, .60, .42, .14, .0, .20, -.1, -.5, -.6]  # height v of the hair's edge there
LONG = [.70, .71, .68, .54, .24, -.5, -1.05, -1.3, -1.3, -1.35, -1.35]
RECEDING = [.98, 1.04, 1.02, .76, .40, .14, .0, .20, -.1, -.5, -.6]
FRINGE = [.36, .35, .37, .40, .36, .14, .0, .20, -.1, -.5, -.6]


@dataclass(frozen=True)
class Style:
    """volume: dm above the skull; the others, 0 .. 1: how far from short hair to that style."""
    volume: float = 0.13
    long: float = 0.0
    receding: float = 0.0
    fringe: float = 0.0
    curls: float = 0.0


def waves(angle: Float[np.ndarray, "*n"], *terms: tuple[int, float]) -> Float[np.ndarray, "*n"]:
    """A curve of period 2 pi within -1 .. 1 that looks random: mean of sines (frequency, phase)."""
    return sum(np.sin(frequency * angle + phase) for frequency, phase in terms) / len(terms)


def strands(theta: Float[np.ndarray, "*n"], t: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Where in a lock a point lies, -1 (groove) .. 1 (ridge); t: 0 at the crown, 1 at the edge."""
    swept = theta + 0.35 * t  # combed to one side
    return waves(swept, (9, 0.3), (16, 2.0), (27, 4.1))


def _grid():
    theta = np.linspace(-np.pi, np.pi, COLUMNS, endpoint=False)
    outer, inner = np.linspace(0, 1, OUTER), np.linspace(0.97, 0.72, INNER)
    return np.meshgrid(np.r_[outer, inner], theta, indexing="ij")  # t, theta: (RINGS, COLUMNS)


def rings(style: Style) -> Float[np.ndarray, "R C 3"]:
    """Points (RINGS, COLUMNS, 3) of the sheet: first its outside, OUTER rings, then its inside."""
    t, theta = _grid()
    turned = np.degrees(np.abs(theta))
    short = edge = np.interp(turned, DEGREES, SHORT)
    for amount, other in ((style.long, LONG), (style.receding, RECEDING), (style.fringe, FRINGE)):
        edge = edge + amount * (np.interp(turned, DEGREES, other) - short)
    ragged = 0.045 * waves(theta, (11, 1.0), (19, 0.0), (29, 2.0)) * (turned < 60)
    edge = edge + ragged * (1 - 0.6 * style.fringe)
    v = 1.5 + (edge - 1.5) * t**0.9
    floor = -0.6 + 0.55 * style.long  # where hair leaves the skull: ears if long, else nape
    drop = np.minimum(v - floor, 0)
    points = skull(theta, np.maximum(v, floor))
    points[..., 1] += drop
    points[..., 0] *= 1 + 0.05 * drop  # long hair hangs a little inwards
    away = points - [0, 0.15, -0.2]
    away[..., 1] *= v > floor  # below the skull it hangs straight
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    over_ears = 0.1 * style.long * bell(turned, 95, 28) * bell(v, -0.1, 0.35)
    return points + away * (_thickness(style, theta, t, drop) + over_ears)[..., None]


def _thickness(style, theta, t, drop):
    """Height (RINGS, COLUMNS) in dm of the sheet's points over the skull; below 0 it hides them."""
    front = smoothstep(2.5 * np.cos(theta))
    body = style.volume * (1 + 0.22 * strands(theta, t)) * (0.75 + 0.25 * smoothstep(t / 0.25))
    parting = bell(theta, 0.42, 0.09) * smoothstep(t / 0.2) * front
    body = body * (1 - 0.45 * parting + 0.22 * front * np.tanh((0.42 - theta) / 0.25))
    body = body + (0.05 + 0.02 * np.sin(7 * drop + 2 * theta)) * smoothstep(-drop / 0.3)
    lumps = waves(theta, (14, 0.0)) * np.sin(26 * t)
    lumps = lumps + 0.5 * waves(theta, (9, 1.0)) * np.sin(17 * t + 1)
    body = body + style.curls * (0.13 + 0.045 * lumps * smoothstep(t / 0.15))
    loose = np.clip(0.4 * style.fringe * front + 0.25 * style.curls + smoothstep(-drop / 0.2), 0, 1)
    thinning = 1 - smoothstep((t - 0.55) / 0.45) ** 1.3  # towards the forehead
    outside = body * np.maximum(thinning, 0.6 * loose)
    clear_of_brow = smoothstep((t - 0.3) / 0.5)
    outside = outside + 0.06 * style.fringe * front * clear_of_brow
    outside = outside - 0.02 * t**8 * (1 - loose)
    inside = np.where(drop < 0, 0.02, -0.05) + 0 * t
    return np.where(np.arange(RINGS)[:, None] < OUTER, outside, inside)


def _bun(centre, size):
    """A knot of hair (8, 12, 3) on the crown."""
    latitude = np.linspace(0, np.pi, 8)[:, None]
    longitude = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ball = np.stack([np.sin(latitude) * np.sin(longitude), np.cos(latitude) + 0 * longitude,
                     np.sin(latitude) * np.cos(longitude)], axis=-1)
    groove = 1 + 0.08 * np.sin(4 * longitude + 5 * latitude)[..., None]
    return np.asarray(centre) + np.asarray(size) * ball * groove


HIDDEN_BUN = ((0.0, 0.8, -0.3), (0.05, 0.05, 0.05))  # deep in the skull
SHOWN_BUN = ((0.0, 1.22, -0.36), (0.26, 0.2, 0.24))


def hair_parts():
    """The parts "hair" and "bun" of short hair; the bun is out of sight."""
    return [shell("hair", rings(Style())), shell("bun", _bun(*HIDDEN_BUN))]


def style_fields() -> tuple[Float[np.ndarray, "K H 3"], Float[np.ndarray, "K B 3"]]:
    """What a unit of each of STYLES adds to the points of "hair" (K, H, 3), of "bun" (K, B, 3)."""
    short = Style()
    units = (rings(replace(short, volume=short.volume + 0.025)),
             rings(replace(short, long=1.0, volume=0.17)),
             rings(replace(short, receding=1.0, volume=0.07)),
             rings(replace(short, fringe=1.0, volume=0.16)),
             rings(replace(short, curls=1.0)), rings(replace(short, volume=0.07)))
    bun = np.zeros((len(STYLES), *_bun(*HIDDEN_BUN).reshape(-1, 3).shape))
    bun[STYLES.index("bun")] = (_bun(*SHOWN_BUN) - _bun(*HIDDEN_BUN)).reshape(-1, 3)
    return np.stack([(unit - rings(short)).reshape(-1, 3) for unit in units]), bun


def random_style(rng: np.random.Generator, chosen: int | None = None) -> Float[np.ndarray, "K"]:
    """Coefficients (K,) of STYLES: a volume and a style, 0 short, 1 .. 5 as in STYLES, or drawn."""
    style = np.zeros(len(STYLES))
    style[0] = np.clip(rng.normal(), -1.5, 1.5)
    drawn, strength = int(rng.integers(len(STYLES))), rng.uniform(0.75, 1.0)
    chosen = drawn if chosen is None else chosen
    if chosen > 0:
        style[chosen] = strength
    return style
