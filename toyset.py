"""toyset.py - stand-in talking heads in VOCASET's layout, so that everything runs with no download and no licence.

In place of Sec. 4.1's data. A head is a linear morphable model made by hand: a mean shape, displacement fields of
identity (SHAPE) and of expression (EXPRESSION); vertex colours (albedo) and light are drawn apart from both. A
sentence is a phoneme string that speaks (formant synthesiser) and moves the mouth by the paper's own prior (Sec. 3.4:
lips shut just before and at b, p, m; open on a, o, i). All true factors are stored: evaluate.py renders any
recombination as ground truth.

In:  a folder name and a seed. Out: the folder (write_toyset), heads (head_vertices), landmark_model for tracking.py.
Axes as everywhere: x image right (the person's left), y up, z out of the face; dm, in files metres.
Read next: data.py.
"""

import functools
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter
from scipy.spatial import Delaunay

import mesh

SPREAD = 0.72  # dm of surface a radian, roughly
FPS, SAMPLE_RATE = 60, 22000  # as in VOCASET
EXPRESSION = ("jaw", "width", "pucker", "press", "tuck", "brow", "blink", "smile")  # each about 0 .. 1, width -1 .. 1
SHAPE = ("width", "face length", "jaw width", "chin", "nose length", "nose protrusion", "nose width", "eye spacing",
         "brow height", "brow ridge", "mouth width", "lip fullness", "cheeks", "forehead", "ear size",
         "hair volume", "hair length")  # each about N(0, 1), except hair length 0 (short) .. 1 (long)

# Horizontal sections of the head, eye line at y = 0: v runs along the surface from under the chin to the crown.
PROFILE = np.array([  # v, y, half-width, z of the widest point, z in front, z at the back
    (-1.32, -1.12, 0.00, 0.30, 0.30, 0.30), (-1.22, -1.17, 0.20, 0.36, 0.57, 0.26), (-1.12, -1.13, 0.29, 0.32, 0.70, 0.14),
    (-1.00, -1.00, 0.39, 0.22, 0.76, -0.06), (-0.80, -0.80, 0.54, 0.10, 0.755, -0.40), (-0.55, -0.55, 0.64, 0.00, 0.77, -0.72),
    (-0.30, -0.30, 0.69, -0.05, 0.75, -0.90), (0.00, 0.00, 0.725, -0.07, 0.74, -1.02), (0.25, 0.25, 0.75, -0.09, 0.775, -1.07),
    (0.55, 0.55, 0.75, -0.12, 0.73, -1.05), (0.85, 0.85, 0.65, -0.15, 0.54, -0.88), (1.10, 1.03, 0.45, -0.17, 0.28, -0.64),
    (1.30, 1.12, 0.22, -0.18, 0.04, -0.40), (1.50, 1.15, 0.00, -0.18, -0.18, -0.18)])
EYE, EYE_RADIUS, LID = np.array([0.31, 0.0, 0.515]), 0.17, 1.04  # centre of the eye at image right; LID: lid sphere / eye
MOUTH_Y, MOUTH_WIDTH = -0.74, 0.26
JAW_HINGE = np.array([0.0, -0.12, 0.0])
JAW_ANGLE = np.radians(15)  # at jaw = 1
JAW_LINE = [(-85, 0.0), (-84, -0.17), (-82, -0.34), (-79, -0.50), (-73, -0.66), (-63, -0.80), (-49, -0.94), (-27, -1.07),
            (0, -1.12)]  # landmarks 0-8: degrees from the front, v
BROW = [(0.11, 0.215), (0.22, 0.262), (0.34, 0.278), (0.46, 0.245), (0.555, 0.17)]  # from the nose outwards
NOSE = [(0, 0.03), (0, -0.12), (0, -0.27), (0, -0.41), (-0.15, -0.515), (-0.075, -0.535), (0, -0.55), (0.075, -0.535),
        (0.15, -0.515)]  # landmarks 27-35


def _smoothstep(t):
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _bell(x, centre, width):
    return np.exp(-(((x - centre) / width) ** 2))


# ---- the mean head: points ---------------------------------------------------------------------------------------

_profile = PchipInterpolator(PROFILE[:, 0], PROFILE[:, 1:])


def _skull(theta, v):
    """Points (N, 3) of the smooth head without nose, sockets or lips, at angle theta from the front and height v."""
    y, half_width, z_mid, z_front, z_back = np.moveaxis(_profile(v), -1, 0)
    cosine = np.cos(theta)
    z = z_mid + np.where(cosine > 0, z_front - z_mid, z_mid - z_back) * cosine
    return np.stack([half_width * np.sin(theta), y, z], axis=-1)


def _angle(xy):
    """theta of a point of the face given in front view (x, y)."""
    return np.arcsin(np.clip(xy[:, 0] / _profile(xy[:, 1])[:, 1], -1, 1))


def _relief(x, y):
    """What nose, sockets, brows, cheeks, lips and chin add to z, in front view (dm)."""
    ax = np.abs(x)
    ridge_y = [-0.62, -0.56, -0.52, -0.48, -0.43, -0.37, -0.28, -0.16, -0.05, 0.05, 0.16]
    ridge = PchipInterpolator(ridge_y, [0, 0.02, 0.09, 0.18, 0.245, 0.235, 0.175, 0.105, 0.06, 0.03, 0], extrapolate=False)
    width = np.interp(y, [-0.5, -0.42, -0.3, -0.1, 0.1], [0.115, 0.105, 0.075, 0.06, 0.075])
    nose = np.nan_to_num(ridge(y)) * np.exp(-((ax / width) ** 2.2))
    nose += 0.11 * _bell(ax, 0.135, 0.055) * _bell(y, -0.46, 0.06)
    socket = -0.085 * _bell(ax, 0.19, 0.09) * _bell(y, 0.03, 0.11) - 0.05 * _bell(ax, 0.32, 0.17) * _bell(y, 0.02, 0.12)
    brow = 0.035 * _bell(ax, 0.28, 0.2) * _bell(y, 0.24, 0.08)
    cheek = 0.03 * _bell(ax, 0.42, 0.15) * _bell(y, -0.28, 0.16) - 0.03 * _bell(ax, 0.3, 0.06) * _bell(y, -0.6, 0.12)
    chin = 0.05 * _bell(x, 0, 0.16) * _bell(y, -1.02, 0.09) - 0.035 * _bell(x, 0, 0.2) * _bell(y, -0.9, 0.05)
    mouth = 0.045 * _bell(x, 0, 0.22) * _bell(y, MOUTH_Y, 0.16) - 0.015 * _bell(x, 0, 0.03) * _bell(y, -0.62, 0.05)
    return nose + socket + brow + cheek + chin + mouth


def _ring(half_width, up, down, n, power=1.0):
    """A closed lens of 2n - 2 points (x, y): from the left corner over the top to the right one and back below."""
    x = -np.cos(np.pi * np.arange(n) / (n - 1))
    bulge = (1 - x**2) ** power
    top = np.stack([half_width * x, up * bulge], axis=1)
    bottom = np.stack([half_width * x, -down * bulge], axis=1)[-2:0:-1]
    return np.concatenate([top, bottom])


N_LIP, N_LID = 17, 13  # points from corner to corner
LIP_RINGS = [(0.235, 0.02, 0.02), (0.25, 0.055, 0.062), (0.26, 0.088, 0.105), (0.29, 0.115, 0.135), (0.34, 0.16, 0.18)]
LID_RINGS = [(0.148, 0.058, 0.046), (0.158, 0.075, 0.058), (0.172, 0.10, 0.075), (0.195, 0.135, 0.10), (0.225, 0.17, 0.135)]


def _lip_points():
    """Rings of the lips (5, 32, 2), open by 0.02 for the triangulation; ring 0 inner edge, ring 2 outer edge."""
    rings = np.stack([_ring(*ring, N_LIP, 0.8) for ring in LIP_RINGS])
    upper = np.arange(2 * N_LIP - 2) < N_LIP
    bow = upper * (_bell(np.abs(rings[..., 0]), 0.07, 0.05) - 1.6 * _bell(rings[..., 0], 0, 0.04))
    rings[..., 1] += MOUTH_Y + 0.012 * bow * np.array([0, 0.4, 1, 0.6, 0.2])[:, None]
    return rings


def _lid_points():
    """Rings of the lids of the eye at image right (5, 24, 2); ring 0 is the lid margin."""
    rings = np.stack([_ring(*ring, N_LID, 0.75) for ring in LID_RINGS])
    return rings + EYE[:2] + np.stack([0 * rings[..., 0], 0.07 * rings[..., 0]], axis=-1)  # outer corner a little higher


def _background_points(features):
    """(theta, v) of the rest of the surface: fine on nose and face, coarse elsewhere, clear of the points so far."""
    points, gaps = features, np.full(len(features), 0.035)
    for step, theta_max, v_low, v_high in ((0.04, 0.38, -0.62, 0.1), (0.065, 1.35, -1.2, 0.62), (0.13, 4, -2, 2)):
        rows = np.linspace(PROFILE[0, 0], PROFILE[-1, 0], int(2.82 / step) + 1)
        columns = np.linspace(-np.pi, np.pi, 2 * int(np.pi * 0.72 / step) + 1)
        grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        inside = (np.abs(grid[:, 0]) < theta_max) & (grid[:, 1] > v_low) & (grid[:, 1] < v_high)
        apart = np.linalg.norm((grid[inside][:, None] - points) * [SPREAD, 1], axis=-1)  # dm along the surface
        new = grid[inside][(apart > np.minimum(gaps, 0.75 * step)).all(axis=1)]
        points, gaps = np.concatenate([points, new]), np.concatenate([gaps, np.full(len(new), 0.75 * step)])
    return points[len(features):]


# ---- the mean head: parts ----------------------------------------------------------------------------------------

@dataclass
class Part:
    """A piece of the head: points (N, 3), faces (F, 3), and what moves and colours it."""
    name: str
    points: np.ndarray
    faces: np.ndarray
    jaw: np.ndarray | float = 0.0  # (N,) share of the jaw's motion
    lip: np.ndarray | float = 0.0  # (N,) 1 on the lips, fading over the skin around
    depth: np.ndarray | float = 0.0  # (N,) a running number of the part's rings, for its colours


def _strips(rings, closed):
    """Faces (F, 3) between consecutive rows of point indices rings (R, n); closed joins each row's ends."""
    ahead = np.roll(rings, -1, axis=1)
    a, a2, b, b2 = rings[:-1], ahead[:-1], rings[1:], ahead[1:]
    faces = np.stack([np.stack([a, b, a2], -1), np.stack([a2, b, b2], -1)], axis=2)  # (R-1, n, 2, 3)
    return (faces if closed else faces[:, :-1]).reshape(-1, 3)


def _shell(name, rings, closed=True, facing=None, jaw=0.0):
    """A part from rows of points (R, n, 3), its normals away from its middle, or along `facing`."""
    points = rings.reshape(-1, 3)
    faces = _strips(np.arange(len(points)).reshape(rings.shape[:2]), closed)
    a, b, c = (points[faces[:, k]] for k in range(3))
    away = (a + b + c) / 3 - points.mean(axis=0) if facing is None else facing
    if (np.cross(b - a, c - a) * away).sum() < 0:
        faces = faces[:, [0, 2, 1]]
    return Part(name, points, faces, jaw, 0.0, np.repeat(np.arange(len(rings)), rings.shape[1]))


def _mirrored(name, part):
    return Part(name, part.points * [-1, 1, 1], part.faces[:, [0, 2, 1]], part.jaw, part.lip, part.depth)


def _skin_points():
    """The features of the skin as (theta, v): lips 5 x 32, lids 2 x 5 x 24, brows 2 x 3 x 9, nose 9, jaw line 17."""
    lids = _lid_points().reshape(-1, 2)
    along = np.linspace(BROW[0][0], BROW[-1][0], 9)
    brow = np.stack([np.stack([along, PchipInterpolator(*np.transpose(BROW))(along) + dy], axis=1)
                     for dy in (-0.035, 0, 0.035)]).reshape(-1, 2)
    xy = np.concatenate([_lip_points().reshape(-1, 2), lids, lids * [-1, 1], brow, brow * [-1, 1], np.array(NOSE)])
    half = np.array(JAW_LINE) * [np.pi / 180, 1]
    jaw = np.concatenate([half, half[-2::-1] * [-1, 1]])
    return np.concatenate([np.stack([_angle(xy), xy[:, 1]], axis=1), jaw])


LIPS, LIDS_LEFT, BROWS, NOSE_AT, JAW_AT = 0, 160, 400, 454, 463  # first vertex of each; "left": the person's left
LIDS_RIGHT, BROW_RIGHT = LIDS_LEFT + 120, BROWS + 27


def landmark_indices() -> Int[np.ndarray, "68"]:
    """The 68 vertices of the iBUG landmarks: jaw 0-16 from image left, brows 17-26, nose, eyes, lips 48-67."""
    jaw = JAW_AT + np.arange(17)
    brows = [BROW_RIGHT + 9 + k for k in (8, 6, 4, 2, 0)] + [BROWS + 9 + k for k in (0, 2, 4, 6, 8)]
    nose = NOSE_AT + np.arange(9)
    eyes = [LIDS_RIGHT + k for k in (12, 8, 4, 0, 20, 16)] + [LIDS_LEFT + k for k in (0, 4, 8, 12, 16, 20)]
    outer = [LIPS + 64 + k for k in (0, 4, 6, 8, 10, 12, 16, 20, 22, 24, 26, 28)]
    inner = [LIPS + k for k in (0, 5, 8, 11, 16, 21, 24, 27)]
    return np.concatenate([jaw, brows, nose, eyes, outer, inner]).astype(np.int64)


def _skin_faces(points):
    """Delaunay triangles in the unrolled plane, without mouth and eye openings, closed at the back and the poles."""
    faces = Delaunay(points * [SPREAD, 1]).simplices
    a, b, c = (points[faces[:, k]] for k in range(3))
    (ux, uy), (wx, wy) = (b - a).T, (c - a).T
    faces = np.where((ux * wy - uy * wx > 0)[:, None], faces, faces[:, [0, 2, 1]])
    for first, count in ((LIPS, 32), (LIDS_LEFT, 24), (LIDS_RIGHT, 24)):
        faces = faces[~((faces >= first) & (faces < first + count)).all(axis=1)]
    place = _skull(points[:, 0], points[:, 1])
    edge = (np.abs(points[:, 0]) > np.pi - 1e-9) | np.isin(points[:, 1], PROFILE[[0, -1], 0])
    same = np.arange(len(points))
    same[edge] = np.array([np.flatnonzero(edge)[np.linalg.norm(place[edge] - p, axis=1).argmin()] for p in place[edge]])
    faces = same[faces]
    return faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])]


def _skin():
    """Face, scalp and ears' ground: the one sheet that carries all landmarks."""
    flat = np.concatenate([_skin_points(), _background_points(_skin_points())])  # (N, 2) theta, v
    rest = flat.copy()
    rest[LIPS:LIPS + 32, 1] = MOUTH_Y  # the inner edges of both lips meet
    points = _skull(rest[:, 0], rest[:, 1])
    x, y = points[:, 0], points[:, 1]
    points[:, 2] += _relief(x, y) * _smoothstep(4 * np.cos(rest[:, 0]))
    points[LIPS:LIPS + 96, 2] += np.repeat([-0.005, 0.05, 0.015], 32)
    lid_z = EYE[2] + np.sqrt(np.maximum((LID * EYE_RADIUS) ** 2 - (np.abs(x) - EYE[0]) ** 2 - (y - EYE[1]) ** 2, 0))
    near = (lid_z > EYE[2]) & (points[:, 2] > 0)
    points[near, 2] = np.logaddexp(points[near, 2] / 0.015, lid_z[near] / 0.015) * 0.015  # a soft maximum
    for margin in (LIDS_LEFT, LIDS_RIGHT):
        points[margin:margin + 24, 2] = lid_z[margin:margin + 24]
    lip = np.zeros(len(flat))
    lip[LIPS:LIPS + 160] = np.repeat([1, 1, 1, 0.5, 0.15], 32)
    return Part("skin", points, _skin_faces(flat), _jaw_share(points[:, 0], flat[:, 1], points[:, 2]), lip)


def _jaw_share(x, v, z):
    """How much of the jaw's rotation a point of the skin takes: a sharp step between the lips, soft in the cheeks."""
    half_band = 0.02 + 0.3 * np.minimum(np.abs(x) / MOUTH_WIDTH, 1.1) ** 4
    return _smoothstep(0.5 + 0.5 * (MOUTH_Y - v) / half_band) * _smoothstep((z + 0.3) / 0.5)


def _mouth(skin):
    """The dark bag behind the lips (its first row repeats the lips' inner edge), and two rows of teeth."""
    edge = skin.points[LIPS:LIPS + 32]
    up = np.r_[0, np.ones(N_LIP - 2), 0, -np.ones(N_LIP - 2)]
    rows = [edge + np.stack([0 * up, dy * up, 0 * up + dz], axis=1)
            for dy, dz in ((0, 0), (0, -0.03), (0.06, -0.09), (0.16, -0.16), (0.16, -0.4), (0, -0.5))]
    bag = _shell("bag", np.stack(rows), jaw=np.tile(skin.jaw[LIPS:LIPS + 32], 6))
    bag.faces = _strips(np.arange(192).reshape(6, 32), closed=True)  # seen from within
    bag.lip = (bag.depth < 2) * 1.0
    x = np.linspace(-0.22, 0.22, 17)
    teeth = []
    for name, top, bottom, dz, jaw in (("upper teeth", 0.09, -0.025, 0, 0.0), ("lower teeth", -0.035, -0.13, -0.03, 1.0)):
        row = np.stack([x, 0 * x, edge[8, 2] - 0.075 + dz - 1.9 * x**2], axis=1)
        heights = np.linspace(top, bottom, 3)[:, None, None] * [0, 1, 0] + [0, MOUTH_Y, 0]
        teeth.append(_shell(name, row + heights, closed=False, facing=np.array([0, 0, 1.0]), jaw=jaw))
    return [bag, *teeth]


IRIS = np.array([0, 0.10, 0.145, 0.165, 0.26, 0.355, 0.385, 0.45, 0.65, 0.9, 1.2, 1.6, 2.2, np.pi])  # ring angles


def _eye():
    around = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ring = np.stack([np.cos(around), np.sin(around), 0 * around], axis=1)
    rings = np.sin(IRIS)[:, None, None] * ring + np.cos(IRIS)[:, None, None] * [0, 0, 1]
    return _shell("left eye", EYE + EYE_RADIUS * rings)


def _ear():
    """A flat shell with a raised rim, turned a little outwards and back."""
    lat, lon = np.meshgrid(np.linspace(0, np.pi, 11), np.linspace(0, 2 * np.pi, 16, endpoint=False), indexing="ij")
    up, back, out = np.cos(lat), np.sin(lat) * np.cos(lon), np.sin(lat) * np.sin(lon)
    back = back * (1 + 0.35 * up)  # wider above than at the lobe
    dent = np.maximum(out, 0) * 1.5 * _bell(np.hypot(1.1 * up - 0.1, 1.3 * back + 0.25), 0, 0.55)
    local = np.stack([0.055 * (out - dent), 0.30 * up, -0.17 * back - 0.05 * up], axis=-1)
    flare, centre = np.radians(28), np.array([0.765, -0.07, -0.13])
    turn = np.array([[np.cos(flare), 0, -np.sin(flare)], [0, 1, 0], [np.sin(flare), 0, np.cos(flare)]])
    return _shell("left ear", local @ turn.T + centre)


def _neck():
    y = np.array([-0.45, -0.7, -0.95, -1.2, -1.45, -1.7, -1.95, -2.15])
    around = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    half_width = np.interp(y, [-1.5, -0.9], [0.55, 0.5])
    half_depth = np.interp(y, [-1.5, -0.9], [0.48, 0.44])
    middle = np.interp(y, [-1.5, -0.5], [-0.42, -0.34])
    rings = [np.stack([w * np.sin(around), 0 * around + h, m + d * np.cos(around)], axis=1)
             for w, h, m, d in zip(half_width, y, middle, half_depth)]
    return _shell("neck", np.stack(rings))


def _hair_rings(long, volume):
    """Hair as a cap (22, 48, 3) over the skull: from the crown to the hairline, or down to the shoulders."""
    theta = np.linspace(-np.pi, np.pi, 48, endpoint=False)
    t = np.linspace(0, 1, 22)[:, None]
    angle = np.degrees(np.abs(theta))
    short = np.interp(angle, [0, 30, 52, 66, 76, 84, 100, 112, 140, 180], [.66, .68, .62, .40, .12, .0, .22, -.1, -.5, -.6])
    length = np.interp(angle, [0, 30, 52, 66, 76, 84, 100, 180], [.66, .68, .60, .30, -.6, -1.25, -1.4, -1.4])
    edge = length if long else short
    v = 1.5 + (edge - 1.5) * t**0.9  # (22, 48)
    points = _skull(np.broadcast_to(theta, v.shape), np.maximum(v, -0.05))
    points[..., 1] += np.minimum(v + 0.05, 0)
    outward = mesh._unit(points - [0, 0.15, -0.2])
    return points + outward * volume * _smoothstep(1.02 - t**6)[..., None] - outward * 0.03 * t[..., None] ** 8


# ---- the morphable model -----------------------------------------------------------------------------------------

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
    """The mean head and its fields of identity. Built once; every head of every toy set has this topology."""
    skin, eye, ear = _skin(), _eye(), _ear()
    hair = _shell("hair", _hair_rings(False, 0.12))
    parts = [skin, *_mouth(skin), eye, _mirrored("right eye", eye), ear, _mirrored("right ear", ear), _neck(), hair]
    starts = np.cumsum([0] + [len(p.points) for p in parts])

    def column(name):
        return np.concatenate([np.broadcast_to(getattr(p, name), len(p.points)) for p in parts])

    mean = np.concatenate([p.points for p in parts])
    faces = np.concatenate([p.faces + start for p, start in zip(parts, starts)])
    out = Model(mean, faces, column("name"), column("jaw"), column("lip"), column("depth"), np.empty(0))
    out.shape = _shape_fields(out)
    return out


def _shape_fields(head):
    """Displacement (I, V, 3) in dm of one unit of each SHAPE parameter. Hair and ears follow the head."""
    x, y, z = head.mean.T
    ax, side, zero = np.abs(x), np.tanh(x / 0.1), np.zeros_like(x)
    front, low = _smoothstep(z / 0.4), _smoothstep((-0.2 - y) / 0.5) * (head.part != "neck") * (head.part != "hair")
    mouth = _bell(y, MOUTH_Y, 0.2) * _bell(x, 0, 0.45) * front
    eye = front * _smoothstep((0.5 - np.hypot(ax - EYE[0], y)) / 0.25)
    tip = front * _bell(x, 0, 0.22)
    fields = {
        "width": (0.045 * x, zero, zero),
        "face length": (zero, 0.07 * np.minimum(y + 0.1, 0), zero),
        "jaw width": (0.09 * x * low, zero, zero),
        "chin": (zero, -0.03 * _smoothstep((-0.8 - y) / 0.3) * low, 0.045 * _bell(y, -1.05, 0.16) * front),
        "nose length": (zero, -0.035 * tip * _bell(y, -0.48, 0.14), zero),
        "nose protrusion": (zero, zero, tip * (0.04 * _bell(y, -0.42, 0.14) + 0.02 * _bell(y, -0.15, 0.15))),
        "nose width": (0.14 * x * tip * _bell(y, -0.47, 0.13), zero, zero),
        "eye spacing": (0.02 * side * eye, zero, zero),
        "brow height": (zero, 0.025 * front * _bell(y, 0.26, 0.1), zero),
        "brow ridge": (zero, zero, 0.03 * front * _bell(y, 0.2, 0.09)),
        "mouth width": (0.09 * x * mouth, zero, zero),
        "lip fullness": (zero, 0.28 * (y - MOUTH_Y) * head.lip, 0.012 * head.lip),
        "cheeks": (0.035 * side * _bell(ax, 0.55, 0.25) * _bell(y, -0.5, 0.25), zero,
                   0.03 * front * _bell(ax, 0.42, 0.18) * _bell(y, -0.45, 0.22)),
        "forehead": (zero, 0.06 * np.maximum(y - 0.4, 0), 0.03 * front * _bell(y, 0.6, 0.25)),
    }
    stacked = [np.stack(fields[name], axis=-1) for name in SHAPE[:len(fields)]]
    return np.stack([*stacked, _ear_size(head), *_hair_fields(head)])


def _ear_size(head):
    field = np.zeros_like(head.mean)
    for name in ("left ear", "right ear"):
        ear = head.part == name
        field[ear] = 0.1 * (head.mean[ear] - head.mean[ear].mean(axis=0))
    return field


def _hair_fields(head):
    fields = np.zeros((2, *head.mean.shape))
    hair = head.part == "hair"
    fields[0, hair] = 0.2 * (_hair_rings(False, 0.3) - _hair_rings(False, 0.1)).reshape(-1, 3)
    fields[1, hair] = (_hair_rings(True, 0.16) - _hair_rings(False, 0.12)).reshape(-1, 3)
    return fields


def random_identity(rng: np.random.Generator) -> Float[np.ndarray, "I"]:
    """One person's SHAPE parameters: N(0, 1) cut at 2; half of the people have hair below the ears."""
    identity = np.clip(rng.normal(size=len(SHAPE)), -2, 2)
    identity[-1] = rng.choice([0.0, rng.uniform(0.6, 1.0)])
    return identity


def neutral_head(identity: Float[np.ndarray, "I"]) -> Float[np.ndarray, "V 3"]:
    """Vertices (V, 3) in dm of a person at rest, origin at the midpoint of this person's landmarks 0 and 16."""
    vertices = model().mean + np.tensordot(identity, model().shape, 1)
    return vertices - vertices[landmark_indices()[[0, 16]]].mean(axis=0)


def _posed(neutral, name, amount):
    """The neutral head (V, 3) with one EXPRESSION parameter at `amount`."""
    head = model()
    x, y, z = head.mean.T
    front, soft = _smoothstep(z / 0.4), np.isin(head.part, ["skin", "bag"])
    dx, dy, dz = np.zeros((3, len(x)))
    mouth = soft * front * _bell(x, 0, 0.42) * _bell(y, MOUTH_Y, 0.2)
    below = np.where(y - MOUTH_Y > 1e-9, 0, head.jaw)
    if name == "jaw":
        arm = neutral - JAW_HINGE
        c, s = np.cos(amount * JAW_ANGLE), np.sin(amount * JAW_ANGLE)
        dy = head.jaw * ((c - 1) * arm[:, 1] - s * arm[:, 2])
        dz = head.jaw * ((c - 1) * arm[:, 2] + s * arm[:, 1])
    elif name == "width":
        dx, dz = 0.16 * amount * x * mouth, -0.5 * amount * mouth * x**2
    elif name == "pucker":
        dx, dz = -0.42 * amount * x * mouth, amount * mouth * (0.1 * _bell(x, 0, 0.2) + 0.02)
    elif name == "press":
        dy, dz = -0.55 * amount * (y - MOUTH_Y) * head.lip * soft, -0.03 * amount * head.lip * soft
    elif name == "tuck":
        dy, dz = 0.06 * amount * head.lip * below, -0.05 * amount * head.lip * below
    elif name == "brow":
        dy = 0.08 * amount * front * _bell(y, 0.3, 0.13) * (head.part == "skin")
    elif name == "smile":
        corner = mouth * _bell(np.abs(x), 0.27, 0.17)
        cheek = soft * front * _bell(np.abs(x), 0.45, 0.14) * _bell(y, -0.36, 0.16)
        dx, dy, dz = amount * 0.07 * np.sign(x) * corner, amount * (0.08 * corner + 0.03 * cheek), amount * (
            0.03 * cheek - 0.04 * corner)
    elif name == "blink":
        return _blinked(neutral, amount)
    return neutral + np.stack([dx, dy, dz], axis=-1)


def _blinked(neutral, amount):
    """Turn the rings of the upper lids about the eye's horizontal axis, until their margins lie on the lower lids'."""
    out = neutral.copy()
    share = np.array([1.0, 0.8, 0.5, 0.2, 0.0])[:, None]
    upper, lower = np.arange(N_LID), np.r_[0, np.arange(2 * N_LID - 3, N_LID - 1, -1)[:N_LID - 2], N_LID - 1]
    for first, eyeball in ((LIDS_LEFT, "left eye"), (LIDS_RIGHT, "right eye")):
        centre = neutral[model().part == eyeball].mean(axis=0)
        ids = first + 24 * np.arange(5)[:, None] + upper  # (5, 13)
        rings, target = neutral[ids] - centre, neutral[first + lower] - centre
        angle = amount * share * (np.arctan2(rings[0, :, 1], rings[0, :, 2]) - np.arctan2(target[:, 1], target[:, 2]))
        c, s = np.cos(angle), np.sin(angle)  # turning the front of the lid downwards
        moved = np.stack([rings[..., 0], c * rings[..., 1] - s * rings[..., 2], s * rings[..., 1] + c * rings[..., 2]], -1)
        out[ids] = moved + centre
        turned = moved[0] if amount == 1 else None
        if turned is not None:
            out[ids[0]] = target + centre
    return out


def expression_fields(neutral: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "K V 3"]:
    """Fields (2E, V, 3): vertices = neutral + sum_k e_k F_k + e_k^2 F_{E+k}, through e = 0, 1/2 and 1 exactly.

    The squares keep jaw and lids on their arcs: a straight blink would cut through the eyeball.
    """
    half = np.stack([_posed(neutral, name, 0.5) - neutral for name in EXPRESSION])
    full = np.stack([_posed(neutral, name, 1.0) - neutral for name in EXPRESSION])
    return np.concatenate([4 * half - full, 2 * full - 4 * half])


def head_vertices(identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "T E"]) -> Float[np.ndarray, "T V 3"]:
    """The exact vertices (T, V, 3), dm, head frame, of any identity (SHAPE) with any expression (EXPRESSION).

    evaluate.py renders with it what was never recorded: person a with the expression of person b.
    """
    neutral = neutral_head(identity)
    fields = expression_fields(neutral)
    terms = np.concatenate([expression, expression**2], axis=1)  # (T, 2E)
    moved = terms.astype(np.float32) @ fields.reshape(len(fields), -1).astype(np.float32)
    return moved.reshape(-1, *neutral.shape) + neutral.astype(np.float32)


# ---- albedo ------------------------------------------------------------------------------------------------------

PALETTES = [  # skin, lips, hair, iris, brows' strength, beard's strength
    ((0.86, 0.66, 0.55), (0.72, 0.36, 0.36), (0.30, 0.18, 0.10), (0.35, 0.22, 0.12), 0.8, 0.0),
    ((0.93, 0.76, 0.67), (0.80, 0.42, 0.42), (0.78, 0.60, 0.32), (0.25, 0.45, 0.65), 0.6, 0.0),
    ((0.45, 0.29, 0.21), (0.42, 0.20, 0.18), (0.06, 0.05, 0.05), (0.18, 0.10, 0.06), 0.9, 0.0),
    ((0.72, 0.51, 0.38), (0.60, 0.30, 0.28), (0.09, 0.07, 0.06), (0.20, 0.12, 0.07), 0.9, 0.55),
    ((0.90, 0.70, 0.60), (0.74, 0.40, 0.38), (0.55, 0.22, 0.10), (0.30, 0.50, 0.35), 0.7, 0.5),
    ((0.84, 0.63, 0.54), (0.66, 0.38, 0.37), (0.62, 0.60, 0.58), (0.40, 0.48, 0.52), 0.7, 0.0)]


def albedo(palette: tuple) -> Float[np.ndarray, "V 3"]:
    """Vertex colours (V, 3) in [0, 1]; a palette holds no shape, so any face can wear any of them."""
    skin, lips, hair, iris, brow, beard = (np.array(entry) for entry in palette)
    head = model()
    color = np.broadcast_to(skin, head.mean.shape).copy()

    def paint(where, paint_color, strength=1.0):
        weight = np.clip(strength * np.asarray(where, float), 0, 1)[:, None]
        color[:] = color * (1 - weight) + weight * np.asarray(paint_color)

    _paint_skin(paint, head, skin, lips, hair, brow, beard)
    _paint_mouth_and_eyes(paint, head, lips, iris)
    strands = head.part == "hair"
    paint(strands, hair)
    color[strands] *= (1 + 0.12 * np.sin(np.arange(strands.sum()) * 2.4))[:, None]
    return np.clip(color, 0, 1).astype(np.float32)


def _paint_skin(paint, head, skin, lips, hair, brow, beard):
    x, y, z = head.mean.T
    ax, on, front = np.abs(x), head.part == "skin", _smoothstep(z / 0.3)
    ring = np.arange(len(x))
    paint(on * front * _bell(ax, 0.42, 0.16) * _bell(y, -0.32, 0.14), skin * [1.0, 0.72, 0.70], 0.5)
    paint(on * front * _bell(x, 0, 0.13) * _bell(y, -0.42, 0.09), skin * [1.0, 0.78, 0.75], 0.4)
    paint(on * front * _bell(ax, 0.30, 0.16) * _bell(y, 0.0, 0.09), skin * [0.78, 0.70, 0.70], 0.5)
    jaw_hair = _smoothstep((-0.42 - y) / 0.25) * (1 - _bell(ax, 0.28, 0.2) * _bell(y, -0.45, 0.15)) * _smoothstep((z + 0.1) / 0.2)
    paint(on * jaw_hair, hair, beard)
    paint(on & (ring >= LIPS) & (ring < LIPS + 96), lips)
    paint(on * _bell(ax, 0.07, 0.035) * _bell(y, -0.545, 0.022) * front, skin * 0.12)
    paint((ring >= BROWS) & (ring < NOSE_AT), hair * 0.7, brow)
    for first in (LIDS_LEFT, LIDS_RIGHT):
        paint((ring >= first) & (ring < first + N_LID), hair * 0.25, 0.9)
        paint((ring >= first + N_LID) & (ring < first + 24), skin * [0.75, 0.55, 0.5])
    covered = head.mean[:, 1] > np.interp(np.degrees(np.arctan2(ax, z)), [0, 52, 66, 84, 112, 180], [.70, .68, .5, .3, 0, -.5])
    paint(on & covered, hair)
    paint(head.part == "neck", skin * 0.88)
    paint(np.isin(head.part, ["left ear", "right ear"]), skin * [1.0, 0.88, 0.86])


def _paint_mouth_and_eyes(paint, head, lips, iris):
    bag = head.part == "bag"
    for row, shade in enumerate([lips * 0.9, lips * 0.5, lips * 0.18, (0.08, 0.02, 0.02), (0.04, 0.01, 0.01), (0.02, 0, 0)]):
        paint(bag & (head.depth == row), shade)
    paint(np.isin(head.part, ["upper teeth", "lower teeth"]), (0.93, 0.90, 0.84))
    eye, angle = np.isin(head.part, ["left eye", "right eye"]), IRIS[np.minimum(head.depth.astype(int), len(IRIS) - 1)]
    paint(eye, (0.93, 0.92, 0.90))
    paint(eye & (angle < 0.37), iris * 0.55)
    paint(eye & (angle < 0.30), iris)
    paint(eye & (angle < 0.15), (0.02, 0.02, 0.02))


def gloss() -> Float[np.ndarray, "V"]:
    """Strength of the highlight a vertex: eyes catch the light, lips and teeth a little, skin hardly."""
    part = model().part
    value = np.where(np.isin(part, ["left eye", "right eye"]), 0.9, 0.06) + 0.1 * model().lip * (part == "skin")
    return np.where(part == "bag", 0.0, value).astype(np.float32)
