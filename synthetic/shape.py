"""shape.py - Sec. 4.1: a morphable head made by hand, in place of VOCASET's people.

A head is a mean shape plus displacement fields: of identity (SHAPE), linear, and of expression
(EXPRESSION), with squares for jaw and lids. Vertex colours (colours.py) are drawn apart from both,
so C_id, C_ex and C_al of Eq. 1 are independent by construction. All heads share one topology.

In:  identity (I,), expression (T, E).
Out: vertices (T, V, 3), faces (F, 3); landmark_samples(), of which Sec. 3.2's tracker makes a face.
Read next: colours.py (their colours), speech.py (what moves them).
"""

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from synthetic.hair import STYLES, hair_parts, random_style, style_fields
from synthetic.surface import (EYE, JAW_ANGLE, JAW_HINGE, LIDS_LEFT, LIDS_RIGHT, MOUTH_Y, N_LID,
                               bell, ear_part, eye_part, landmark_indices, mirrored, mouth_parts,
                               neck_part, skin_part, smoothstep)

EXPRESSION = ("jaw", "width", "pucker", "press", "tuck", "brow", "blink", "smile")  # width -1 .. 1
FORM = ("width", "face length", "jaw width", "chin", "nose length", "nose protrusion", "nose width",
        "eye spacing", "brow height", "brow ridge", "mouth width", "lip fullness", "cheeks",
        "forehead", "ear size")
SHAPE = (*FORM, *STYLES)  # FORM: uniform with variance 1; STYLES: hair.random_style


# ---- identity ------------------------------------------------------------------------------------

@dataclass
class Model:
    """mean (V, 3) dm, faces (F, 3), part names (V,), weights (V,), shape fields (I, V, 3)."""
    mean: np.ndarray
    faces: np.ndarray
    part: np.ndarray
    jaw: np.ndarray
    lip: np.ndarray
    depth: np.ndarray
    shape: np.ndarray


@functools.lru_cache(maxsize=1)
def model() -> Model:
    """The mean head and its fields of identity, built once: all heads have this topology."""
    skin, eye, ear = skin_part(), eye_part(), ear_part()
    eyes, ears = [eye, mirrored("right eye", eye)], [ear, mirrored("right ear", ear)]
    parts = [skin, *mouth_parts(skin), *eyes, *ears, neck_part(), *hair_parts()]
    starts = np.cumsum([0] + [len(p.points) for p in parts])

    def column(name):
        return np.concatenate([np.broadcast_to(getattr(p, name), len(p.points)) for p in parts])

    mean = np.concatenate([p.points for p in parts])
    faces = np.concatenate([p.faces + start for p, start in zip(parts, starts)])
    columns = [column(name) for name in ("name", "jaw", "lip", "depth")]
    out = Model(mean, faces, *columns, np.empty(0))
    out.shape = _shape_fields(out)
    return out


def _shape_fields(head):
    """Displacement (I, V, 3) in dm of a unit of each SHAPE parameter; hair and ears follow."""
    x, y, z = head.mean.T
    ax, side, zero = np.abs(x), np.tanh(x / 0.1), np.zeros_like(x)
    front, face = smoothstep(z / 0.4), ~np.isin(head.part, ["neck", "hair", "bun"])
    low = smoothstep((-0.2 - y) / 0.5) * face
    mouth = bell(y, MOUTH_Y, 0.2) * bell(x, 0, 0.45) * front
    eye = front * smoothstep((0.5 - np.hypot(ax - EYE[0], y)) / 0.25)
    tip = front * bell(x, 0, 0.22)
    fields = {
        "width": (0.05 * x, zero, zero),
        "face length": (zero, 0.085 * np.minimum(y + 0.1, 0), zero),
        "jaw width": (0.085 * x * low, zero, zero),
        "chin": (zero, -0.04 * smoothstep((-0.8 - y) / 0.3) * low,
                 0.055 * bell(y, -1.05, 0.16) * front),
        "nose length": (zero, -0.04 * tip * bell(y, -0.48, 0.14), zero),
        "nose protrusion": (zero, zero,
                            tip * (0.055 * bell(y, -0.42, 0.14) + 0.02 * bell(y, -0.12, 0.12))),
        "nose width": (0.2 * x * tip * bell(y, -0.47, 0.13), zero, zero),
        "eye spacing": (0.022 * side * eye, zero, zero),
        "brow height": (zero, 0.028 * front * bell(y, 0.26, 0.1), zero),
        "brow ridge": (zero, zero, 0.03 * front * bell(y, 0.22, 0.085)),
        "mouth width": (0.12 * x * mouth, zero, zero),
        "lip fullness": (zero, 0.28 * (y - MOUTH_Y) * head.lip, 0.012 * head.lip),
        "cheeks": (0.035 * side * bell(ax, 0.55, 0.25) * bell(y, -0.5, 0.25), zero,
                   0.04 * front * bell(ax, 0.42, 0.18) * bell(y, -0.45, 0.22)),
        "forehead": (zero, 0.08 * np.maximum(y - 0.4, 0), 0.035 * front * bell(y, 0.6, 0.25)),
    }
    stacked = [np.stack(fields[name], axis=-1) for name in FORM[:len(fields)]]
    return np.stack([*stacked, _ear_size(head), *_hair_fields(head)])


def _ear_size(head):
    field = np.zeros_like(head.mean)
    for name in ("left ear", "right ear"):
        ear = head.part == name
        field[ear] = 0.1 * (head.mean[ear] - head.mean[ear].mean(axis=0))
    return field


def _hair_fields(head):
    fields = np.zeros((len(STYLES), *head.mean.shape))
    fields[:, head.part == "hair"], fields[:, head.part == "bun"] = style_fields()
    return fields


def random_identity(rng: np.random.Generator, hair: int | None = None) -> Float[np.ndarray, "I"]:
    """One person's SHAPE parameters: FORM uniform in -sqrt(3) .. sqrt(3), variance 1, and a style.

    hair: which of the six styles of hair.random_style, drawn when None. FORM is uniform because six
    normal draws are mostly near the mean, and then the people look alike.
    """
    return np.concatenate([rng.uniform(-3**0.5, 3**0.5, len(FORM)), random_style(rng, hair)])


def neutral_head(identity: Float[np.ndarray, "I"]) -> Float[np.ndarray, "V 3"]:
    """Vertices (V, 3) in dm of a person at rest, origin midway between landmarks 0 and 16."""
    vertices = model().mean + np.tensordot(identity, model().shape, 1)
    return vertices - vertices[landmark_indices()[[0, 16]]].mean(axis=0)


def _muscles():
    """{expression: displacement (V, 3) in dm at full strength}, where points move in lines."""
    head = model()
    x, y, z = head.mean.T
    zero, front, soft = np.zeros_like(x), smoothstep(z / 0.4), np.isin(head.part, ["skin", "bag"])
    mouth = soft * front * bell(x, 0, 0.42) * bell(y, MOUTH_Y, 0.2)
    lip, lower_lip = head.lip * soft, head.lip * np.maximum(2 * head.jaw - 1, 0)
    corner = mouth * bell(np.abs(x), 0.27, 0.17)
    cheek = soft * front * bell(np.abs(x), 0.45, 0.14) * bell(y, -0.36, 0.16)
    moves = {
        "width": (0.16 * x * mouth, zero, -0.5 * x**2 * mouth),
        "pucker": (-0.46 * x * mouth, 0.15 * (y - MOUTH_Y) * lip,
                   (0.05 * bell(x, 0, 0.25) + 0.025) * mouth),
        "press": (zero, -0.55 * (y - MOUTH_Y) * lip, -0.03 * lip),
        "tuck": (zero, 0.06 * lower_lip, -0.05 * lower_lip),
        "brow": (zero, 0.08 * front * bell(y, 0.3, 0.13) * (head.part == "skin"), zero),
        "smile": (0.07 * np.sign(x) * corner, 0.08 * corner + 0.03 * cheek,
                  0.03 * cheek - 0.04 * corner)}
    return {name: np.stack(move, axis=-1) for name, move in moves.items()}


def eye_centre(vertices: Float[np.ndarray, "V 3"], name: str) -> Float[np.ndarray, "3"]:
    """The middle (3,) of "left eye" or "right eye"; no mean, as vertices crowd at the iris."""
    ball = vertices[model().part == name]
    return (ball.min(axis=0) + ball.max(axis=0)) / 2


def _about_x(points, angle):
    """Points (..., 3) turned about the x axis; a positive angle takes the front downwards."""
    c, s = np.cos(angle), np.sin(angle)
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([x, c * y - s * z, s * y + c * z], axis=-1)


def _jaw_opened(neutral, amount):
    arm = neutral - JAW_HINGE
    return neutral + model().jaw[:, None] * (_about_x(arm, amount * JAW_ANGLE) - arm)


def _blinked(neutral, amount):
    """Turn the upper lids about the eye's x axis; at amount 1 they lie on the lower lids."""
    out = neutral.copy()
    share = np.array([1.0, 0.8, 0.5, 0.2, 0.0])[:, None]  # of the five rings around the eye
    upper = np.arange(N_LID)
    lower = np.r_[0, np.arange(2 * N_LID - 3, N_LID - 1, -1), N_LID - 1]  # below each upper one
    for first, eyeball in ((LIDS_LEFT, "left eye"), (LIDS_RIGHT, "right eye")):
        centre = eye_centre(neutral, eyeball)
        ids = first + (2 * N_LID - 2) * np.arange(5)[:, None] + upper  # (5, 13)
        rings, goal = neutral[ids] - centre, neutral[first + lower] - centre
        way = np.arctan2(rings[0, :, 1], rings[0, :, 2]) - np.arctan2(goal[:, 1], goal[:, 2])
        miss = goal - _about_x(rings[0], way)  # 0 where a person's lids are still round
        out[ids] = _about_x(rings, amount * share * way) + amount * share[..., None] * miss + centre
    return out


def expression_fields(neutral: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "K V 3"]:
    """Fields (2E, V, 3): vertices = neutral + sum_k e_k F_k + e_k^2 F_{E+k}.

    Jaw and lids move on arcs (a straight blink would cut through the eyeball); the squares follow
    these arcs and meet them exactly at e = 0, 1/2 and 1. The other expressions have no squares.
    """
    linear, square = np.zeros((2, len(EXPRESSION), *neutral.shape))
    for name, field in _muscles().items():
        linear[EXPRESSION.index(name)] = field
    for name, pose in (("jaw", _jaw_opened), ("blink", _blinked)):
        half, full = pose(neutral, 0.5) - neutral, pose(neutral, 1.0) - neutral
        e = EXPRESSION.index(name)
        linear[e], square[e] = 4 * half - full, 2 * full - 4 * half
    return np.concatenate([linear, square])


def head_vertices(identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "T E"]
                  ) -> Float[np.ndarray, "T V 3"]:
    """The exact vertices (T, V, 3), dm, head frame, of any identity with any expression.

    evaluate.py renders with it what was never recorded: person a with the expression of person b.
    """
    neutral = neutral_head(identity)
    fields = expression_fields(neutral)
    terms = np.concatenate([expression, expression**2], axis=1)  # (T, 2E)
    moved = terms.astype(np.float32) @ fields.reshape(len(fields), -1).astype(np.float32)
    return moved.reshape(-1, *neutral.shape) + neutral.astype(np.float32)


# ---- samples for a generic landmark face ---------------------------------------------------------

def landmark_samples() -> tuple[Float[np.ndarray, "S 68 3"], Float[np.ndarray, "N 68 3"]]:
    """Landmarks of 400 random heads at rest, and what 400 random expressions add to the mean.

    Head frame, dm. tracking.generic_model makes a morphable face of them (Sec. 3.2).
    """
    rng, marks, n = np.random.default_rng(68), landmark_indices(), len(EXPRESSION)
    shapes = np.stack([random_identity(rng) for _ in range(400)])
    people = np.tensordot(shapes, model().shape[:, marks], 1) + model().mean[marks]  # (400, 68, 3)
    people = people - (people[:, :1] + people[:, 16:17]) / 2
    moves = expression_fields(neutral_head(np.zeros(len(SHAPE))))[:, marks]
    random = rng.uniform(size=(400, n)) * (rng.uniform(size=(400, n)) < 0.5)  # half of the muscles
    random[:, EXPRESSION.index("width")] *= rng.choice([-1, 1], 400)
    offsets = np.tensordot(np.concatenate([random, random**2], axis=1), moves, 1)
    return people, offsets
