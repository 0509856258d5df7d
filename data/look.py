"""look.py - Sec. 4.1, C_al and C_ill: colours and lights of a folder of meshes.

Stand-in heads bring theirs. VOCASET's meshes have none, so skin, lips, brows, hair and eyes are
painted here by the landmarks, and lights are drawn.

In:  a folder, or neutral vertices (V, 3). Out: Look; colours (V, 3) and gloss (V,).
Read next: mesh_takes.py.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from matplotlib.path import Path as Outline

from data.voca import FLAME_EYES, FLAME_VERTICES, read_array
from synthetic.light import light_set
from tools.errors import InputError, first_line, in_one_line

PALETTES = [  # sRGB 0..1: skin, lips, hair and brows, iris
    ((0.87, 0.68, 0.57), (0.72, 0.36, 0.35), (0.30, 0.20, 0.13), (0.30, 0.45, 0.60)),
    ((0.55, 0.38, 0.28), (0.50, 0.24, 0.24), (0.08, 0.06, 0.06), (0.22, 0.13, 0.08)),
    ((0.80, 0.58, 0.43), (0.68, 0.30, 0.30), (0.12, 0.09, 0.08), (0.33, 0.22, 0.12)),
    ((0.93, 0.76, 0.68), (0.80, 0.42, 0.42), (0.66, 0.46, 0.22), (0.32, 0.50, 0.36))]
AGAIN = "write the stand-in heads again"
LIGHTS = 6            # rooms drawn from the seed for folders that bring none


def _inside(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Which of points (V, 2) lie in the polygon (P, 2) or on its edge; it runs clockwise, y up."""
    return Outline(outline).contains_points(points, radius=-1e-6)  # below 0: grows a clockwise one


def _near_line(points: np.ndarray, line: np.ndarray, radius: float) -> np.ndarray:
    """Which of points (V, 3) lie within radius of the polyline (P, 3)."""
    start, step = line[:-1], np.diff(line, axis=0)
    along = np.einsum("vsc,sc->vs", points[:, None] - start, step)
    along = along / np.maximum((step**2).sum(1), 1e-9)
    foot = start + np.clip(along, 0, 1)[..., None] * step  # (V, P - 1, 3)
    return np.linalg.norm(points[:, None] - foot, axis=2).min(1) < radius


def _is_hair(v: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Which of v (V, 3) lie above a line forehead - ears - nape, by the landmarks m (68, 3)."""
    brow, mouth, ear = m[17:27, 1].mean(), m[48:68, 1].mean(), m[[0, 16], 2].mean()
    face = brow - m[33, 1]  # brows to the base of the nose: the forehead is about as high
    at_z = [ear - 0.75, ear - 0.45, ear - 0.1, m[[17, 26], 2].mean(), m[27, 2]]
    heights = [mouth, mouth + 0.3 * face, brow + 0.1 * face, brow + 0.5 * face, brow + 0.85 * face]
    return v[:, 1] > np.interp(v[:, 2], at_z, heights)


def paint_head(template: Float[np.ndarray, "V 3"], marks: Int[np.ndarray, " 68"],
               palette: int = 0) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, " V"]]:
    """Colours (V, 3) in 0..1 and gloss (V,): skin, lips, brows, hair, FLAME's eyeballs.

    template: neutral vertices, head frame, dm; marks: their landmarks; palette: round PALETTES.
    """
    skin, lips, hair, iris = (np.array(c) for c in PALETTES[palette % len(PALETTES)])
    m = template[marks]  # (68, 3)
    colors, gloss = np.tile(skin, (len(template), 1)), np.full(len(template), 0.05)
    front = template[:, 2] > m[48:60, 2].min() - 0.15
    colors[_is_hair(template, m)] = hair
    for brow in (m[17:22], m[22:27]):
        colors[_near_line(template, brow, 0.07)] = hair
    colors[front & _inside(template[:, :2], m[48:60, :2])] = lips
    for ball in FLAME_EYES if len(template) == FLAME_VERTICES else ():
        out = template[ball] - (template[ball].min(0) + template[ball].max(0)) / 2
        facing = out[:, 2] / np.linalg.norm(out, axis=1)  # 1 = straight ahead
        colors[ball] = np.where(facing[:, None] < 0.86, 0.93, iris)
        colors[ball][facing > 0.97] = 0.04
        gloss[ball] = 0.6
    return colors, gloss


@dataclass
class Look:
    """Colours and lights of a folder: its own (stand-in heads) or ours."""
    albedo: np.ndarray | None   # (A, V, 3), None: paint_head
    gloss: np.ndarray | None    # (V,)
    lights: np.ndarray          # (n, 9, 3)
    factors: dict               # {subject: {sentence: {"albedo", "light"}}}, may be empty


def open_look(folder: Path, seed: int, n_verts: int) -> Look:
    """Albedos, gloss and lights (L, 9, 3): the folder's own; without them, lights by the seed.

    n_verts: of its meshes. Raises InputError on a file that is locked, damaged or does not fit.
    """
    albedo = _own(folder / "albedo.npy", (None, n_verts, 3))
    gloss = None if albedo is None else _own(folder / "gloss.npy", (n_verts,))
    if (albedo is None) != (gloss is None):
        raise InputError(f"{folder / 'gloss.npy'}: no such file beside albedo.npy; {AGAIN}")
    lights = _own(folder / "lights.npy", (None, 9, 3))
    if lights is None:
        lights = light_set(LIGHTS, np.random.default_rng([seed, 1]))
    counts = {"albedo": len(PALETTES if albedo is None else albedo), "light": len(lights)}
    return Look(albedo, gloss, lights, _factors(folder / "factors.json", counts))


def _own(path: Path, shape: tuple[int | None, ...]) -> np.ndarray | None:
    """An array of the folder, None where it has none. None in shape: any number but 0."""
    if not path.is_file():
        return None
    array = read_array(path)
    fits = array.ndim == len(shape) and array.size and all(
        want in (None, side) for want, side in zip(shape, array.shape))
    if not fits or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        want = ", ".join("n" if side is None else str(side) for side in shape)
        raise InputError(f"{path}: is {array.shape} {array.dtype}, want finite numbers ({want}); "
                         f"{AGAIN}")
    return array


def _factors(path: Path, counts: dict[str, int]) -> dict:
    """{subject: {sentence: {"albedo", "light"}}} of factors.json, {} without it.

    counts: how many albedos and lights there are.
    """
    if not path.is_file():
        return {}
    try:
        with in_one_line(path):
            factors = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is damaged ({first_line(error)}); {AGAIN}") from error
    if not isinstance(factors, dict):
        raise InputError(f"{path}: want {{subject: {{sentence: ...}}}}; {AGAIN}")
    for subject, sentences in factors.items():
        if not isinstance(sentences, dict):
            raise InputError(f"{path}: {subject}: want {{sentence: ...}}; {AGAIN}")
        for sentence, row in sentences.items():
            if not isinstance(row, dict) or not all(row.get(name) in range(count)
                                                    for name, count in counts.items()):
                want = " and ".join(f"{name} 0 to {count - 1}" for name, count in counts.items())
                raise InputError(f"{path}: {subject} {sentence}: want {want}; {AGAIN}")
    return factors
