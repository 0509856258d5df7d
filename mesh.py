"""mesh.py - Sec. 4.1. A small triangle rasteriser: coloured meshes to images of known camera and light.

The paper trains on photographs of VOCASET's speakers; the public VOCASET holds meshes and sound only. So
frames are rendered here, from its meshes (5023 vertices) or from the stand-in heads of toyset.py, and every
factor of the paper's code C = {C_id, C_ex, C_al, C_ill} is known exactly: shape, albedo (a colour a vertex)
and light (Eq. 1).

In:  vertices (V, 3) in the head frame (dm; x image right, y up, z out of the face), faces (F, 3),
     albedo (V, 3), light (9, 3) spherical-harmonic coefficients, K (3, 3), cam_to_head (4, 4).
Out: image (H, W, 3) and coverage alpha (H, W), float32 in [0, 1]. Pixel column j covers [j, j + 1).
Read next: toyset.py (where the stand-in heads come from), then data.py.
"""

import numpy as np
from jaxtyping import Float, Int

SH_CONSTANTS = np.array([0.28209479, 0.48860251, 0.48860251, 0.48860251, 1.09254843, 1.09254843, 0.31539157,
                         1.09254843, 0.54627422])  # sqrt of 1/4pi, 3/4pi, 15/4pi, 5/16pi, 15/16pi
INSIDE_SHADE = 0.12  # little light reaches the inside of a shell (FLAME's mouth is a hole into the head)
NEAR = 0.05  # dm; a triangle with a corner nearer than this to the camera plane is not drawn
SHININESS = 40.0  # exponent of the highlight; skin and hair have gloss near 0, eyes near 1
HEAD_HEIGHT = 2.55  # dm, chin to crown, hair included
CAMERA_DISTANCE = 12.0  # dm, five head heights: weak perspective, as in a portrait


def sh_basis(normals: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 9"]:
    """The 9 real spherical harmonics of degree <= 2 at unit normals (..., 3), orthonormal over the sphere.

    Order: 1, y, z, x, xy, yz, 3z^2 - 1, xz, x^2 - y^2, that is (l, m) = (0,0) (1,-1) (1,0) (1,1) (2,-2) ...
    (2,2). A light of shading 1 in all directions is sh[0] = 1 / SH_CONSTANTS[0], the others 0.
    """
    x, y, z = np.moveaxis(normals, -1, 0)
    polynomials = (np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y)
    return np.stack(polynomials, axis=-1) * SH_CONSTANTS.astype(normals.dtype)


def _unit(v: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.einsum("...i,...i->...", v, v))[..., None]  # several times faster than np.linalg.norm
    return v / np.maximum(length, 1e-12)


def vertex_normals(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
                   ) -> Float[np.ndarray, "V 3"]:
    """Unit normals (V, 3): the sum of the normals of the adjoining triangles, weighted by their area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    face_normals = np.cross(b - a, c - a)  # length = twice the area
    sums = [np.bincount(faces.ravel(), np.repeat(face_normals[:, k], 3), len(vertices)) for k in range(3)]
    return _unit(np.stack(sums, axis=-1)).astype(vertices.dtype)


def _project(vertices, K, cam_to_head, supersample):
    """Head-frame points (V, 3) to sample positions (V, 2) in the supersampled image and camera depth (V,)."""
    camera = (vertices - cam_to_head[:3, 3]) @ cam_to_head[:3, :3]  # X_cam = R^T (X_head - t)
    depth = camera[:, 2]
    uvw = camera @ K.T
    return uvw[:, :2] / np.maximum(depth, NEAR)[:, None] * supersample, depth


def _screen_planes(uv, faces):
    """Barycentrics are linear over the image: b_k = across_k x + down_k y + constant_k.

    Returns across, down, constant (F, 3) each, and twice the signed area (F,).
    """
    p0, p1, p2 = (uv[faces[:, k]] for k in range(3))
    e1, e2 = p1 - p0, p2 - p0
    area2 = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
    safe = np.where(np.abs(area2) < 1e-12, 1.0, area2)
    across1, down1, across2, down2 = e2[:, 1] / safe, -e2[:, 0] / safe, -e1[:, 1] / safe, e1[:, 0] / safe
    across = np.stack([-across1 - across2, across1, across2], axis=1)
    down = np.stack([-down1 - down2, down1, down2], axis=1)
    return across, down, [1, 0, 0] - across * p0[:, :1] - down * p0[:, 1:], area2


def _repeat(count):
    """Owner and running number of each element when owner i has count[i] of them, laid end to end."""
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)


def _rows(uv, faces, visible, n):
    """The sample rows that each triangle's height covers: triangle (R,), row (R,)."""
    a, b, c = (uv[faces[:, k], 1] for k in range(3))
    low = np.maximum(np.ceil(np.minimum(np.minimum(a, b), c) - 0.5), 0)
    high = np.minimum(np.floor(np.maximum(np.maximum(a, b), c) - 0.5), n - 1)
    owner, step = _repeat(np.where(visible, np.maximum(high - low + 1, 0), 0).astype(np.int64))
    return owner, low[owner].astype(np.int64) + step


def _fragments(uv, depth, faces, n):
    """All (triangle, sample) pairs where the sample centre lies in the triangle: scan conversion, all rows at
    once.

    Returns triangle (M,), sample index (M,) into n * n, 3 barycentrics (M,) in the image plane, front-facing
    (F,). A row's covered samples are those where all three barycentrics are positive; np.repeat lays the rows
    end to end.
    """
    across, down, constant, area2 = _screen_planes(uv, faces)
    near = depth < NEAR
    visible = ~(near[faces[:, 0]] | near[faces[:, 1]] | near[faces[:, 2]]) & (np.abs(area2) > 1e-12)
    triangle, row = _rows(uv, faces, visible, n)
    left, right = np.zeros(len(row)), np.full(len(row), n - 1.0)
    for k in range(3):
        slope = across[triangle, k]
        level = slope * 0.5 + down[triangle, k] * (row + 0.5) + constant[triangle, k]  # b_k at column 0
        zero = -level / np.where(slope == 0, 1e-30, slope)  # the column where b_k = 0
        left = np.where(slope > 0, np.maximum(left, zero - 1e-6), left)
        right = np.where(slope < 0, np.minimum(right, zero + 1e-6), right)
        right = np.where((slope == 0) & (level < 0), -1, right)
    first = np.ceil(left).astype(np.int64)
    span, step = _repeat(np.maximum(np.floor(right).astype(np.int64) - first + 1, 0))
    column = first[span] + step
    triangle, sample = triangle[span], row[span] * n + column
    x, y = column + 0.5, row[span] + 0.5
    b1, b2 = ((across[triangle, k] * x + (down[triangle, k] * y + constant[triangle, k])).astype(np.float32)
              for k in (1, 2))
    return triangle, sample, (1 - b1 - b2, b1, b2), area2 < 0


def _nearest(sample, inv_depth, n):
    """For each covered sample, the fragment nearest to the camera: an index array into the fragments."""
    best = np.zeros(n * n, np.float32)
    np.maximum.at(best, sample, inv_depth)
    winner = np.full(n * n, -1)
    front = np.flatnonzero(inv_depth == best[sample])
    winner[sample[front]] = front  # of exact ties (shared edges) any one will do
    return winner[winner >= 0]


def _highlight(normals, to_camera, sh):
    """Blinn's highlight (M, 1) of the light's main direction: its degree-1 part, (x, y, z) = sh[3, 1, 2]."""
    direction = sh[[3, 1, 2]].mean(axis=1)
    strength = np.linalg.norm(direction)
    if strength < 1e-6:  # the same light from everywhere has no highlight
        return np.zeros((len(normals), 1), np.float32)
    half = _unit(direction / strength + to_camera)
    cosine = np.clip(np.einsum("mk,mk->m", normals, half), 0, 1)[:, None]
    return min(strength, 1.0) * cosine**SHININESS


def _shade(normals, to_camera, albedo, gloss, sh):
    """Colour (M, 3) of the visible samples: albedo times shading, plus gloss (M, 1) times highlight."""
    color = albedo * np.maximum(sh_basis(normals) @ sh, 0)
    shiny = np.flatnonzero(gloss[:, 0] > 0)
    color[shiny] += gloss[shiny] * _highlight(normals[shiny], to_camera[shiny], sh)
    return color


def render_mesh(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"],
                colors: Float[np.ndarray, "V 3"], sh: Float[np.ndarray, "9 3"], K: Float[np.ndarray, "3 3"],
                cam_to_head: Float[np.ndarray, "4 4"], size: int,
                background: Float[np.ndarray, "3"] | Float[np.ndarray, "{size} {size} 3"],
                supersample: int = 2, gloss: Float[np.ndarray, "V"] | None = None,
                ) -> tuple[Float[np.ndarray, "{size} {size} 3"], Float[np.ndarray, "{size} {size}"]]:
    """Render a triangle mesh (Sec. 4.1, our substitution): image (size, size, 3), alpha (size, size), in [0,
    1].

    vertices (V, 3) dm in the head frame; colors (V, 3) albedo; sh (9, 3) light in the head frame's axes (to
    light the scene while the head turns, rotate it: rotate_light); K in pixels; gloss (V,) strength of
    highlights or None. Each output pixel is the mean of supersample^2 samples. Both sides of a triangle are
    drawn, because FLAME's mesh is open at mouth and neck; a side seen from within (clockwise corners) gets
    INSIDE_SHADE of its albedo.
    """
    n = size * supersample
    uv, depth = _project(vertices.astype(np.float64), K, cam_to_head, supersample)
    triangle, sample, bary, front_face = _fragments(uv, depth, faces, n)
    inverse = (1 / np.maximum(depth, NEAR)).astype(np.float32)  # 1/z is linear over the image, z is not
    corners = faces[triangle]  # (M, 3)
    weights = [b * inverse[corners[:, k]] for k, b in enumerate(bary)]
    nearness = weights[0] + weights[1] + weights[2]
    keep = _nearest(sample, nearness, n)
    triangle, sample, corners = triangle[keep], sample[keep], corners[keep]
    weights = [w[keep, None] / nearness[keep, None] for w in weights]  # perspective-correct

    shine = np.zeros(len(vertices)) if gloss is None else gloss
    attributes = np.concatenate([vertex_normals(vertices, faces), vertices, colors, shine[:, None]], axis=1)
    attributes = attributes.astype(np.float32)  # (V, 10)
    pixels = sum(w * attributes[corners[:, k]] for k, w in enumerate(weights))  # (M, 10)
    outward = front_face[triangle][:, None]
    normals = _unit(pixels[:, :3]) * np.where(outward, 1, -1).astype(np.float32)
    albedo = pixels[:, 6:9] * np.where(outward, 1, INSIDE_SHADE).astype(np.float32)
    to_camera = _unit(cam_to_head[:3, 3].astype(np.float32) - pixels[:, 3:6])
    shaded = _shade(normals, to_camera, albedo, pixels[:, 9:], sh.astype(np.float32))
    return _resolve(shaded, sample, size, supersample, background)


def _resolve(shaded, sample, size, supersample, background):
    """Average supersample^2 samples a pixel and lay the result over the background."""
    canvas = np.zeros((size * supersample * size * supersample, 4), np.float32)
    canvas[sample, :3] = np.minimum(shaded, 1)
    canvas[sample, 3] = 1
    blocks = canvas.reshape(size, supersample, size, supersample, 4)
    total = sum(blocks[:, i, :, j] for i in range(supersample) for j in range(supersample))
    pixels = total / supersample**2  # (size, size, 4), colour already times coverage
    alpha = pixels[..., 3]
    image = pixels[..., :3] + (1 - alpha[..., None]) * np.asarray(background, np.float32)
    return np.clip(image, 0, 1), alpha


def random_light(rng: np.random.Generator) -> Float[np.ndarray, "9 3"]:
    """A plausible room: even light plus one soft key light from the front half, slightly tinted. Shading 0.2
    .. 1.3.

    The key is a Lambertian cosine lobe cut to degree 2: max(n.l, 0) = 1/4 P0 + 1/2 P1 + 5/16 P2 of n.l, and
    P_l(n.l) = 4 pi / (2 l + 1) sum_m Y_lm(n) Y_lm(l).
    """
    azimuth, height = np.radians(rng.uniform(-75, 75)), np.radians(rng.uniform(-5, 50))
    direction = np.array([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)])
    peak, key_share = rng.uniform(1.0, 1.18), rng.uniform(0.35, 0.65)
    degree = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2])
    lobe = np.array([1 / 4, 1 / 2, 5 / 16])[degree] * 4 * np.pi / (2 * degree + 1) * sh_basis(direction)
    light = key_share * lobe
    light[0] += (1 - key_share) / SH_CONSTANTS[0]
    tint = 1 + rng.uniform(-0.08, 0.08) * np.array([1.0, 0.1, -1.0])  # warm .. cold
    return (peak * light[:, None] * tint).astype(np.float32)


def rotate_light(sh: Float[np.ndarray, "9 3"], rotation: Float[np.ndarray, "3 3"]
                 ) -> Float[np.ndarray, "9 3"]:
    """The same light seen from turned axes: shading of the result at n equals that of sh at rotation @ n.

    With rotation = head_to_world[:3, :3] a room's light becomes the light in the head frame. Exact: a
    rotation mixes the harmonics of one degree only, so solving at more than 9 directions finds the
    coefficients.
    """
    directions = _unit(np.random.default_rng(0).normal(size=(32, 3)))
    turned = sh_basis(directions @ rotation.T.astype(np.float64)) @ sh
    return np.linalg.lstsq(sh_basis(directions), turned, rcond=None)[0].astype(np.float32)


def _sway(frames, fps, rng):
    """A smooth curve (T,) in [-1, 1]: three slow sines of random phase, the slower the stronger."""
    seconds = np.arange(frames) / fps
    weights = np.array([0.5, 0.3, 0.2])
    hertz = np.array([0.12, 0.3, 0.6]) * rng.uniform(0.75, 1.25, 3)
    return np.sin(2 * np.pi * (seconds[:, None] * hertz + rng.uniform(0, 1, 3))) @ weights


def head_motion(frames: int, fps: float, rng: np.random.Generator,
                degrees: tuple[float, float, float] = (18.0, 9.0, 5.0), shift: float = 0.08
                ) -> Float[np.ndarray, "{frames} 4 4"]:
    """head_to_world (T, 4, 4): smooth sway, never beyond degrees = (yaw, pitch, roll) and shift (dm) an axis.

    Positive yaw turns the nose to image right, positive pitch down, positive roll tilts the crown to image
    left.
    """
    yaw, pitch, roll = (np.radians(limit) * _sway(frames, fps, rng) for limit in degrees)
    motion = np.tile(np.eye(4), (frames, 1, 1))
    motion[:, :3, :3] = turn(yaw, pitch, roll)
    motion[:, :3, 3] = np.stack([shift * _sway(frames, fps, rng) for _ in range(3)], axis=1)
    return motion


def turn(yaw: Float[np.ndarray, "*t"], pitch: Float[np.ndarray, "*t"], roll: Float[np.ndarray, "*t"]
         ) -> Float[np.ndarray, "*t 3 3"]:
    """Rotation (..., 3, 3) = R_y(yaw) R_x(pitch) R_z(roll), radians, head frame to world."""
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (yaw, pitch, roll))
    zero, one = np.zeros_like(cy), np.ones_like(cy)

    def matrix(*entries):
        return np.stack(entries, axis=-1).reshape(*cy.shape, 3, 3)

    about_y = matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    about_x = matrix(one, zero, zero, zero, cp, -sp, zero, sp, cp)
    about_z = matrix(cr, -sr, zero, sr, cr, zero, zero, zero, one)
    return about_y @ about_x @ about_z


def default_camera(size: int) -> tuple[Float[np.ndarray, "3 3"], float]:
    """K (3, 3) for a square image and the camera's distance in dm: the head fills 85 % of the height."""
    focal = 0.85 * size * CAMERA_DISTANCE / HEAD_HEIGHT
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return K, CAMERA_DISTANCE


def frontal_camera(distance: float) -> Float[np.ndarray, "4 4"]:
    """cam_to_head (4, 4) of a camera on the z axis that looks straight into the face: R = diag(1, -1, -1)."""
    camera = np.diag([1.0, -1.0, -1.0, 1.0])
    camera[2, 3] = distance
    return camera


def camera_of_motion(head_to_world: Float[np.ndarray, "*t 4 4"], distance: float
                     ) -> Float[np.ndarray, "*t 4 4"]:
    """cam_to_head (..., 4, 4) of a fixed camera and a moving head: head_to_world^-1 cam_to_world (P_cam)."""
    return np.linalg.inv(head_to_world) @ frontal_camera(distance)
