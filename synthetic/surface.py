"""surface.py - Sec. 4.1: the surfaces of the mean stand-in head, in place of scans of people.

The skin is one sheet over a skull given by horizontal sections, plus a relief for nose, sockets and
lips. Mouth and eyes are holes in it with rings of points around them, so that lips and lids can
close exactly; the 68 iBUG landmarks (Sec. 3.2) are vertices of it.

In:  nothing. Out: parts with points (N, 3) and faces (F, 3); landmark_indices (68,).
     Axes as everywhere: x image right (the person's left), y up, z out of the face; dm.
Read next: hair.py, then shape.py, which joins the parts and moves them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from scipy.interpolate import PchipInterpolator
from scipy.spatial import Delaunay

SPREAD = 0.72  # dm of surface per radian, roughly

# Horizontal sections of the head, eyes at y = 0: v runs along the surface from chin to crown.
PROFILE = np.array([  # v, y, half-width, z of the widest point, z in front, z at the back
    (-1.32, -1.16, 0.00, 0.30, 0.30, 0.30), (-1.22, -1.21, 0.23, 0.34, 0.57, 0.24),
    (-1.12, -1.15, 0.35, 0.28, 0.71, 0.10), (-1.00, -1.00, 0.47, 0.18, 0.765, -0.08),
    (-0.80, -0.80, 0.60, 0.06, 0.76, -0.40), (-0.55, -0.55, 0.68, -0.03, 0.77, -0.72),
    (-0.30, -0.30, 0.715, -0.06, 0.75, -0.90), (0.00, 0.00, 0.735, -0.07, 0.74, -1.02),
    (0.25, 0.25, 0.75, -0.09, 0.775, -1.07), (0.55, 0.55, 0.75, -0.12, 0.73, -1.05),
    (0.85, 0.85, 0.65, -0.15, 0.54, -0.88), (1.10, 1.03, 0.45, -0.17, 0.28, -0.64),
    (1.30, 1.12, 0.22, -0.18, 0.04, -0.40), (1.50, 1.15, 0.00, -0.18, -0.18, -0.18)])
EYE, EYE_RADIUS = np.array([0.31, 0.0, 0.515]), 0.17  # centre of the eye at image right
LID = 1.05  # radius of the sphere on which the lids move, against the eye's
MOUTH_Y, MOUTH_WIDTH = -0.74, 0.26
JAW_HINGE = np.array([0.0, -0.12, 0.0])
JAW_ANGLE = np.radians(17)  # at jaw = 1
JAW_LINE = [(-86, 0.07), (-86, -0.13), (-85, -0.31), (-83, -0.48), (-78, -0.65), (-68, -0.81),
            (-52, -0.96), (-29, -1.09), (0, -1.14)]  # landmarks 0-8: degrees from the front, v
BROW = [(0.11, 0.215), (0.22, 0.262), (0.34, 0.278), (0.46, 0.245), (0.555, 0.17)]  # outwards
NOSE = [(0, 0.03), (0, -0.12), (0, -0.27), (0, -0.41), (-0.15, -0.515), (-0.075, -0.535),
        (0, -0.55), (0.075, -0.535), (0.15, -0.515)]  # landmarks 27-35


def smoothstep(t):
    """0 up to t = 0, 1 from t = 1, and a smooth cubic between."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def bell(x, centre, width):
    """A bell curve of height 1 at `centre`."""
    return np.exp(-(((x - centre) / width) ** 2))


# ---- the mean head: points -----------------------------------------------------------------------

_profile = PchipInterpolator(PROFILE[:, 0], PROFILE[:, 1:])


def skull(theta, v):
    """Points (N, 3) of the smooth head without nose, sockets or lips: theta from the front, v."""
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
    ridge_z = [0, 0.02, 0.09, 0.18, 0.245, 0.235, 0.175, 0.105, 0.06, 0.03, 0]
    ridge = PchipInterpolator(ridge_y, ridge_z, extrapolate=False)
    width = np.interp(y, [-0.5, -0.42, -0.3, -0.1, 0.1], [0.115, 0.105, 0.075, 0.06, 0.075])
    nose = np.nan_to_num(ridge(y)) * np.exp(-((ax / width) ** 2.2))
    nose += 0.11 * bell(ax, 0.135, 0.055) * bell(y, -0.46, 0.06)
    socket = -0.085 * bell(ax, 0.19, 0.09) * bell(y, 0.03, 0.11)
    socket -= 0.05 * bell(ax, 0.32, 0.17) * bell(y, 0.02, 0.12)
    brow = 0.035 * bell(ax, 0.28, 0.2) * bell(y, 0.24, 0.08)
    cheek = 0.03 * bell(ax, 0.42, 0.15) * bell(y, -0.28, 0.16)
    cheek -= 0.03 * bell(ax, 0.3, 0.06) * bell(y, -0.6, 0.12)
    chin = 0.05 * bell(x, 0, 0.16) * bell(y, -1.02, 0.09)
    chin -= 0.035 * bell(x, 0, 0.2) * bell(y, -0.9, 0.05)
    mouth = 0.045 * bell(x, 0, 0.22) * bell(y, MOUTH_Y, 0.16)
    mouth -= 0.015 * bell(x, 0, 0.03) * bell(y, -0.62, 0.05)
    return nose + socket + brow + cheek + chin + mouth


def _ring(half_width, up, down, n, power=1.0):
    """A closed lens of 2n - 2 points (x, y): from the left corner over the top and back below."""
    x = -np.cos(np.pi * np.arange(n) / (n - 1))
    bulge = (1 - x**2) ** power
    top = np.stack([half_width * x, up * bulge], axis=1)
    bottom = np.stack([half_width * x, -down * bulge], axis=1)[-2:0:-1]
    return np.concatenate([top, bottom])


N_LIP, N_LID = 17, 13  # points from corner to corner
LIP_RINGS = [(0.235, 0.02, 0.02), (0.25, 0.055, 0.062), (0.26, 0.088, 0.105), (0.29, 0.115, 0.135),
             (0.34, 0.16, 0.18)]  # half-width, height above and below, from the inner edge outwards
LID_RINGS = [(0.142, 0.046, 0.058), (0.154, 0.062, 0.068), (0.172, 0.09, 0.08),
             (0.195, 0.13, 0.103), (0.225, 0.17, 0.135)]


def _lip_points():
    """Rings of the lips (5, 32, 2), 0 the inner edge, 2 the outer; a little open to triangulate."""
    rings = np.stack([_ring(*ring, N_LIP, 0.8) for ring in LIP_RINGS])
    upper = np.arange(2 * N_LIP - 2) < N_LIP
    bow = upper * (bell(np.abs(rings[..., 0]), 0.07, 0.05) - 1.6 * bell(rings[..., 0], 0, 0.04))
    rings[..., 1] += MOUTH_Y + 0.012 * bow * np.array([0, 0.4, 1, 0.6, 0.2])[:, None]
    return rings


def _lid_points():
    """Rings of the lids of the eye at image right (5, 24, 2); ring 0 is the lid margin."""
    rings = np.stack([_ring(*ring, N_LID, 0.75) for ring in LID_RINGS])
    rings[..., 1] += 0.07 * rings[..., 0]  # the outer corner a little higher
    return rings + EYE[:2]


def _in_eye(points):
    """Whether (theta, v) lies between the lids, where the skin is open."""
    place = skull(points[:, 0], points[:, 1])
    across = (np.abs(place[:, 0]) - EYE[0]) / LID_RINGS[0][0]
    up = (place[:, 1] - EYE[1]) / LID_RINGS[0][1]
    return (np.hypot(across, up) < 1.1) & (place[:, 2] > 0)


GRIDS = ((0.04, 0.38, -0.62, 0.1), (0.065, 1.35, -1.2, 0.62), (0.13, 4, -2, 2))  # nose, face, all


def _background_points(features):
    """(theta, v) of the rest of the surface: finer grids on nose and face, clear of `features`."""
    points, gaps = features, np.full(len(features), 0.035)
    for step, theta_max, low, high in GRIDS:
        heights = np.linspace(PROFILE[0, 0], PROFILE[-1, 0], int(2.82 / step) + 1)
        angles = np.linspace(-np.pi, np.pi, 2 * int(np.pi * 0.72 / step) + 1)
        grid = np.stack(np.meshgrid(angles, heights), axis=-1).reshape(-1, 2)
        theta, v = grid.T
        grid = grid[(np.abs(theta) < theta_max) & (v > low) & (v < high) & ~_in_eye(grid)]
        apart = np.linalg.norm((grid[:, None] - points) * [SPREAD, 1], axis=-1)  # dm on the surface
        new = grid[(apart > np.minimum(gaps, 0.75 * step)).all(axis=1)]
        points = np.concatenate([points, new])
        gaps = np.concatenate([gaps, np.full(len(new), 0.75 * step)])
    return points[len(features):]


# ---- the mean head: parts ------------------------------------------------------------------------

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
    """Faces (F, 3) between consecutive rings (R, n) of point numbers; closed joins their ends."""
    ahead = np.roll(rings, -1, axis=1)
    a, a2, b, b2 = rings[:-1], ahead[:-1], rings[1:], ahead[1:]
    faces = np.stack([np.stack([a, b, a2], -1), np.stack([a2, b, b2], -1)], axis=2)  # R-1 n 2 3
    return (faces if closed else faces[:, :-1]).reshape(-1, 3)


def shell(name, rings, closed=True, facing=None, jaw=0.0):
    """A part from rings of points (R, n, 3), its normals away from its middle or along `facing`."""
    points = rings.reshape(-1, 3)
    faces = _strips(np.arange(len(points)).reshape(rings.shape[:2]), closed)
    a, b, c = (points[faces[:, k]] for k in range(3))
    away = (a + b + c) / 3 - points.mean(axis=0) if facing is None else facing
    if (np.cross(b - a, c - a) * away).sum() < 0:
        faces = faces[:, [0, 2, 1]]
    return Part(name, points, faces, jaw, 0.0, np.repeat(np.arange(len(rings)), rings.shape[1]))


def mirrored(name, part):
    points, faces = part.points * [-1, 1, 1], part.faces[:, [0, 2, 1]]
    return Part(name, points, faces, part.jaw, part.lip, part.depth)


def _skin_points():
    """Features (theta, v): lips 5 x 32, lids 2 x 5 x 24, brows 2 x 5 x 11, nose 9, jaw line 17."""
    lids = _lid_points().reshape(-1, 2)
    inner, outer = BROW[0][0], BROW[-1][0]
    along = np.r_[inner - 0.03, np.linspace(inner, outer, 9), outer + 0.03]  # ends: bare skin
    taper = np.interp(along, [0.11, 0.2, 0.4, 0.555], [0.8, 1.0, 0.8, 0.6])
    arch = PchipInterpolator(*np.transpose(BROW))(np.clip(along, inner, outer))
    arch -= 0.8 * np.maximum(along - outer, 0)
    lines = ((0, 0), (-0.025, 0), (0.025, 0), (-0.025, -0.025), (0.025, 0.025))
    brow = np.concatenate([np.stack([along, arch + dy * taper + bare], 1) for dy, bare in lines])
    lips, mirror = _lip_points().reshape(-1, 2), [-1, 1]
    xy = np.concatenate([lips, lids, lids * mirror, brow, brow * mirror, NOSE])
    half = np.array(JAW_LINE) * [np.pi / 180, 1]
    jaw = np.concatenate([half, half[-2::-1] * [-1, 1]])
    return np.concatenate([np.stack([_angle(xy), xy[:, 1]], axis=1), jaw])


LIPS, LIDS_LEFT, BROWS, NOSE_AT, JAW_AT = 0, 160, 400, 510, 519  # first vertices; person's left
LIDS_RIGHT, BROW_RIGHT = LIDS_LEFT + 120, BROWS + 55


def landmark_indices() -> Int[np.ndarray, "68"]:
    """The 68 vertices of the iBUG landmarks: jaw from image left, brows, nose, eyes, lips."""
    jaw = JAW_AT + np.arange(17)
    brows = [BROW_RIGHT + k for k in (9, 7, 5, 3, 1)] + [BROWS + k for k in (1, 3, 5, 7, 9)]
    nose = NOSE_AT + np.arange(9)
    eyes = [LIDS_RIGHT + k for k in (12, 8, 4, 0, 20, 16)]
    eyes += [LIDS_LEFT + k for k in (0, 4, 8, 12, 16, 20)]
    outer = [LIPS + 64 + k for k in (0, 4, 6, 8, 10, 12, 16, 20, 22, 24, 26, 28)]
    inner = [LIPS + k for k in (0, 5, 8, 11, 16, 21, 24, 27)]
    return np.concatenate([jaw, brows, nose, eyes, outer, inner]).astype(np.int64)


def _skin_faces(points):
    """Delaunay triangles of the unrolled sheet: open at mouth and eyes, closed at back, poles."""
    faces = Delaunay(points * [SPREAD, 1]).simplices
    a, b, c = (points[faces[:, k]] for k in range(3))
    (ux, uy), (wx, wy) = (b - a).T, (c - a).T
    faces = np.where((ux * wy - uy * wx > 0)[:, None], faces, faces[:, [0, 2, 1]])
    for first, count in ((LIPS, 32), (LIDS_LEFT, 24), (LIDS_RIGHT, 24)):
        faces = faces[~((faces >= first) & (faces < first + count)).all(axis=1)]
    place = skull(points[:, 0], points[:, 1])
    edge = (np.abs(points[:, 0]) > np.pi - 1e-9) | np.isin(points[:, 1], PROFILE[[0, -1], 0])
    same = np.arange(len(points))
    gaps = np.linalg.norm(place[edge][:, None] - place[edge], axis=-1)  # 0: one place
    same[edge] = np.flatnonzero(edge)[(gaps < 1e-9).argmax(axis=1)]
    faces = same[faces]
    a, b, c = faces.T
    return faces[(a != b) & (b != c) & (a != c)]


def skin_part():
    """Face, scalp and ears' ground: the one sheet that carries all landmarks."""
    flat = np.concatenate([_skin_points(), _background_points(_skin_points())])  # (N, 2) theta, v
    rest = flat.copy()
    shut = _lip_points()[0] * [1, 0] + [0, MOUTH_Y]  # the inner edges of both lips meet
    rest[LIPS:LIPS + 32] = np.stack([_angle(shut), shut[:, 1]], axis=1)
    points = skull(rest[:, 0], rest[:, 1])
    x, y = points[:, 0], points[:, 1]
    points[:, 2] += _relief(x, y) * smoothstep(4 * np.cos(rest[:, 0]))
    points[LIPS:LIPS + 96, 2] += np.repeat([-0.025, 0.03, 0.01], 32)
    beside = (np.abs(x) - EYE[0]) ** 2 + (y - EYE[1]) ** 2
    lid_z = EYE[2] + np.sqrt(np.maximum((LID * EYE_RADIUS) ** 2 - beside, 0))
    near = (lid_z > EYE[2]) & (points[:, 2] > 0)
    points[near, 2] = np.logaddexp(points[near, 2] / 0.015, lid_z[near] / 0.015) * 0.015  # soft
    for margin in (LIDS_LEFT, LIDS_RIGHT):
        points[margin:margin + 24, 2] = lid_z[margin:margin + 24]
    lip = np.zeros(len(flat))
    lip[LIPS:LIPS + 160] = np.repeat([1, 1, 1, 0.5, 0.15], 32)
    jaw = _jaw_share(points[:, 0], flat[:, 1], points[:, 2])
    return Part("skin", points, _skin_faces(flat), jaw, lip)


def _jaw_share(x, v, z):
    """A point's share of the jaw's rotation: a sharp step between the lips, a soft one beside."""
    half_band = 0.02 + 0.3 * np.minimum(np.abs(x) / MOUTH_WIDTH, 1.1) ** 7
    return smoothstep(0.5 + 0.5 * (MOUTH_Y - v) / half_band) * smoothstep((z + 0.3) / 0.5)


def mouth_parts(skin):
    """The dark bag behind the lips, from their inner edge inwards, and two rows of teeth."""
    edge = skin.points[LIPS:LIPS + 32]
    up = np.r_[0, np.ones(N_LIP - 2), 0, -np.ones(N_LIP - 2)]
    steps = ((0, 0), (0, -0.03), (0.06, -0.09), (0.16, -0.16), (0.16, -0.4), (0, -0.5))
    rings = [edge + np.stack([0 * up, dy * up, 0 * up + dz], axis=1) for dy, dz in steps]
    bag = shell("bag", np.stack(rings), jaw=np.tile(skin.jaw[LIPS:LIPS + 32], 6))
    bag.faces = _strips(np.arange(192).reshape(6, 32), closed=True)  # seen from within
    bag.lip = (bag.depth < 2) * 1.0
    upper = _teeth("upper teeth", edge[8, 2] - 0.055, 0.06, -0.045, jaw=0.0)
    return [bag, upper, _teeth("lower teeth", edge[8, 2] - 0.055 - 0.035, -0.02, -0.13, jaw=1.0)]


def _teeth(name, front, top, bottom, jaw):
    """A curved strip whose middle is at z = front, from top to bottom about the lips' line."""
    x = np.linspace(-0.17, 0.17, 17)
    arc = np.stack([x, 0 * x, front - 2.6 * x**2], axis=1)
    heights = np.linspace(top, bottom, 3)[:, None, None] * [0, 1, 0] + [0, MOUTH_Y, 0]
    return shell(name, arc + heights, closed=False, facing=np.array([0, 0, 1.0]), jaw=jaw)


IRIS = np.array([0, 0.10, 0.15, 0.175, 0.28, 0.38, 0.41, 0.48, 0.6, 0.85, 1.2, 1.6, np.pi])  # rad


def eye_part():
    around = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = np.stack([np.cos(around), np.sin(around), 0 * around], axis=1)
    rings = np.sin(IRIS)[:, None, None] * ring + np.cos(IRIS)[:, None, None] * [0, 0, 1]
    return shell("left eye", EYE + EYE_RADIUS * rings)


def ear_part():
    """A flat shell with a raised rim, turned a little outwards and back."""
    lat, lon = np.linspace(0, np.pi, 11)[:, None], np.linspace(0, 2 * np.pi, 16, endpoint=False)
    up, back, out = np.cos(lat), np.sin(lat) * np.cos(lon), np.sin(lat) * np.sin(lon)
    back = back * (1 + 0.35 * up)  # wider above than at the lobe
    dent = np.maximum(out, 0) * 1.5 * bell(np.hypot(1.1 * up - 0.1, 1.3 * back + 0.25), 0, 0.55)
    across = 0.055 * (out - dent)
    local = np.stack([across, 0.30 * up + 0 * across, -0.17 * back - 0.05 * up], axis=-1)
    flare, centre = np.radians(28), np.array([0.765, -0.07, -0.13])
    cosine, sine = np.cos(flare), np.sin(flare)
    turn = np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])
    return shell("left ear", local @ turn.T + centre)


def neck_part():
    y = np.array([-0.45, -0.8, -1.15, -1.5, -1.85, -2.15])
    around = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    half_width = np.interp(y, [-2.1, -1.4, -0.9], [0.75, 0.52, 0.47])
    half_depth = np.interp(y, [-1.5, -0.9], [0.48, 0.44])
    middle = np.interp(y, [-1.5, -0.5], [-0.42, -0.34])
    rings = [np.stack([w * np.sin(around), 0 * around + h, m + d * np.cos(around)], axis=1)
             for w, h, m, d in zip(half_width, y, middle, half_depth)]
    return shell("neck", np.stack(rings))
