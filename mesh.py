"""mesh.py - Sec. 4.1. A small triangle rasteriser: coloured meshes to images with known camera, light and motion.

The paper trains on photographs of VOCASET's speakers; the public VOCASET holds meshes and sound only. So frames are
rendered here, from its meshes (5023 vertices) or from the stand-in heads of toyset.py, and every factor of the paper's
code C = {C_id, C_ex, C_al, C_ill} is known exactly: shape, albedo (a colour a vertex) and light (Eq. 1).

In:  vertices (V, 3) in the head frame (dm; x image right, y up, z out of the face), faces (F, 3), albedo (V, 3),
     light (9, 3) spherical-harmonic coefficients, K (3, 3), cam_to_head (4, 4).
Out: image (H, W, 3) and coverage alpha (H, W), float32 in [0, 1]. Pixel column j covers [j, j + 1).
Read next: toyset.py (where the stand-in heads come from), then data.py.
"""

import numpy as np
from jaxtyping import Float, Int

SH_CONSTANTS = np.array([0.28209479, 0.48860251, 0.48860251, 0.48860251, 1.09254843, 1.09254843, 0.31539157,
                         1.09254843, 0.54627422])  # sqrt(1/4pi), sqrt(3/4pi), sqrt(15/4pi), sqrt(5/16pi), sqrt(15/16pi)
INSIDE_SHADE = 0.12  # little light reaches the inside of a shell (FLAME's mouth is a hole into the head)
NEAR = 0.05  # dm; a triangle with a corner nearer than this to the camera plane is not drawn
SHININESS = 40.0  # exponent of the highlight; skin and hair have gloss near 0, eyes near 1
HEAD_HEIGHT = 2.4  # dm, chin to crown
CAMERA_DISTANCE = 12.0  # dm, five head heights: weak perspective, as in a portrait


def sh_basis(normals: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 9"]:
    """The 9 real spherical harmonics of degree <= 2 at unit normals (..., 3), orthonormal over the sphere.

    Order: 1, y, z, x, xy, yz, 3z^2 - 1, xz, x^2 - y^2, that is (l, m) = (0,0) (1,-1) (1,0) (1,1) (2,-2) ... (2,2).
    A light of shading 1 in all directions is sh[0] = 1 / SH_CONSTANTS[0], the others 0.
    """
    x, y, z = np.moveaxis(normals, -1, 0)
    polynomials = (np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y)
    return np.stack(polynomials, axis=-1) * SH_CONSTANTS.astype(normals.dtype)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def vertex_normals(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "V 3"]:
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


def _screen_planes(uv, inv_depth, faces):
    """Each triangle's two barycentric coordinates and 1/z as planes over the image: value = v0 + du, dv slopes.

    Returns origin (F, 2) (the triangle's first corner), barycentric slopes (F, 2, 2), signed area (F,) times 2.
    """
    p0, p1, p2 = (uv[faces[:, k]] for k in range(3))
    e1, e2 = p1 - p0, p2 - p0
    area2 = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
    safe = np.where(np.abs(area2) < 1e-12, 1.0, area2)[:, None]
    slope1 = np.stack([e2[:, 1], -e2[:, 0]], axis=1) / safe  # barycentric of corner 1
    slope2 = np.stack([-e1[:, 1], e1[:, 0]], axis=1) / safe  # barycentric of corner 2
    return p0, np.stack([slope1, slope2], axis=1), area2


def _boxes(uv, faces, keep, n):
    """The samples whose centres fall in each triangle's bounding box: triangles (B,), low (B, 2), extent (B, 2)."""
    corners = uv[faces]  # (F, 3, 2)
    low = np.maximum(np.ceil(corners.min(axis=1) - 0.5), 0)
    high = np.minimum(np.floor(corners.max(axis=1) - 0.5), n - 1)
    extent = high - low + 1
    triangles = np.flatnonzero(keep & (extent > 0).all(axis=1))
    return triangles, low[triangles].astype(np.int64), extent[triangles].astype(np.int64)


def _fragments(uv, depth, faces, n):
    """All (triangle, sample) pairs where the sample centre lies in the triangle.

    Returns triangle (M,), sample index (M,) into n * n, barycentrics (M, 3) in the image plane, front-facing (F,).
    The bounding boxes are laid end to end with np.repeat, so that one NumPy pass serves triangles of any size.
    """
    origin, slopes, area2 = _screen_planes(uv, depth, faces)
    visible = (depth[faces] > NEAR).all(axis=1) & (np.abs(area2) > 1e-12)
    triangles, low, extent = _boxes(uv, faces, visible, n)
    count = extent[:, 0] * extent[:, 1]
    box = np.repeat(np.arange(len(triangles)), count)  # (M',) which box each candidate belongs to
    within = np.arange(len(box)) - np.repeat(np.cumsum(count) - count, count)
    dy, dx = np.divmod(within.astype(np.int32), extent[box, 0].astype(np.int32))
    start = low + 0.5 - origin[triangles]  # first sample centre, seen from corner 0
    slope = slopes[triangles]  # (B, 2, 2)
    first = np.einsum("bkc,bc->bk", slope, start).astype(np.float32)
    slope = slope.astype(np.float32)
    b1 = first[box, 0] + dx * slope[box, 0, 0] + dy * slope[box, 0, 1]
    b2 = first[box, 1] + dx * slope[box, 1, 0] + dy * slope[box, 1, 1]
    inside = np.flatnonzero((b1 >= -1e-6) & (b2 >= -1e-6) & (b1 + b2 <= 1 + 1e-6))
    box, b1, b2 = box[inside], b1[inside], b2[inside]
    sample = (low[box, 1] + dy[inside]) * n + low[box, 0] + dx[inside]
    return triangles[box], sample, np.stack([1 - b1 - b2, b1, b2], axis=1), area2 < 0


def _nearest(sample, inv_depth, n):
    """For each covered sample, the fragment nearest to the camera: an index array into the fragments."""
    best = np.zeros(n * n, np.float32)
    np.maximum.at(best, sample, inv_depth)
    winner = np.full(n * n, -1)
    front = np.flatnonzero(inv_depth == best[sample])
    winner[sample[front]] = front  # of exact ties (shared edges) any one will do
    return winner[winner >= 0]


def _highlight(normals, to_camera, sh, gloss):
    """Blinn's highlight (M, 1) for the light's main direction, which is its degree-1 part (x, y, z = sh[3, 1, 2])."""
    direction = sh[[3, 1, 2]].mean(axis=1)
    strength = np.linalg.norm(direction)
    if strength < 1e-6:  # the same light from everywhere has no highlight
        return np.zeros((len(normals), 1), np.float32)
    half = _unit(direction / strength + to_camera)
    cosine = np.clip((normals * half).sum(axis=1, keepdims=True), 0, 1)
    return min(strength, 1.0) * gloss[:, None] * cosine ** SHININESS


def _shade(normals, points, colors, gloss, sh, eye):
    """Colour (M, 3) of the visible samples: albedo times spherical-harmonic shading, plus the highlight."""
    shading = np.maximum(sh_basis(normals) @ sh, 0)  # (M, 3)
    color = colors * shading
    if gloss is not None:
        color = color + _highlight(normals, _unit(eye - points), sh, gloss)
    return color


def render_mesh(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], colors: Float[np.ndarray, "V 3"],
                sh: Float[np.ndarray, "9 3"], K: Float[np.ndarray, "3 3"], cam_to_head: Float[np.ndarray, "4 4"],
                size: int, background: Float[np.ndarray, "3"] | Float[np.ndarray, "{size} {size} 3"],
                supersample: int = 2, gloss: Float[np.ndarray, "V"] | None = None,
                ) -> tuple[Float[np.ndarray, "{size} {size} 3"], Float[np.ndarray, "{size} {size}"]]:
    """Render a triangle mesh (Sec. 4.1, our substitution): image (size, size, 3), alpha (size, size), in [0, 1].

    vertices (V, 3) dm in the head frame; colors (V, 3) albedo; sh (9, 3) light in the head frame's axes (to light
    the scene while the head turns, rotate it: rotate_light); K in pixels; gloss (V,) strength of highlights or None.
    Each output pixel is the mean of supersample^2 samples. Both sides of a triangle are drawn, because FLAME's mesh
    is open at mouth and neck; a side seen from within (clockwise corners) gets INSIDE_SHADE of its albedo.
    """
    n = size * supersample
    uv, depth = _project(vertices.astype(np.float64), K.astype(np.float64), cam_to_head.astype(np.float64), supersample)
    triangle, sample, bary, front_face = _fragments(uv, depth, faces, n)
    corner_inv = (1 / np.maximum(depth, NEAR)).astype(np.float32)[faces]  # (F, 3); 1/z is linear over the image
    weights = bary * corner_inv[triangle]  # (M, 3)
    keep = _nearest(sample, weights.sum(axis=1), n)
    triangle, sample, weights = triangle[keep], sample[keep], weights[keep]
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)  # perspective-correct

    def interpolate(values):  # (V, C) -> (M, C)
        corners = values.astype(np.float32)[faces[triangle]]  # (M, 3, C)
        return np.einsum("mk,mkc->mc", weights, corners)

    outward = front_face[triangle][:, None]
    normals = _unit(interpolate(vertex_normals(vertices, faces))) * np.where(outward, 1, -1).astype(np.float32)
    albedo = interpolate(colors) * np.where(outward, 1, INSIDE_SHADE).astype(np.float32)
    shine = None if gloss is None else interpolate(gloss[:, None])[:, 0]
    eye = cam_to_head[:3, 3].astype(np.float32)
    shaded = _shade(normals, interpolate(vertices), albedo, shine, sh.astype(np.float32), eye)
    return _resolve(shaded, sample, size, supersample, background)


def _resolve(shaded, sample, size, supersample, background):
    """Average supersample^2 samples a pixel and lay the result over the background."""
    canvas = np.zeros((size * supersample * size * supersample, 4), np.float32)
    canvas[sample, :3] = np.minimum(shaded, 1)
    canvas[sample, 3] = 1
    blocks = canvas.reshape(size, supersample, size, supersample, 4)
    pixels = blocks.sum(axis=(1, 3)) / supersample**2  # (size, size, 4), colour already times coverage
    alpha = pixels[..., 3]
    image = pixels[..., :3] + (1 - alpha[..., None]) * np.asarray(background, np.float32)
    return np.clip(image, 0, 1), alpha


def random_light(rng: np.random.Generator) -> Float[np.ndarray, "9 3"]:
    """A plausible room: even light plus one soft key light from the front half, slightly tinted. Shading 0.2 .. 1.3.

    The key is a Lambertian cosine lobe cut to degree 2: max(n.l, 0) = 1/4 P0 + 1/2 P1 + 5/16 P2 of n.l, and
    P_l(n.l) = 4 pi / (2 l + 1) sum_m Y_lm(n) Y_lm(l).
    """
    azimuth, height = np.radians(rng.uniform(-75, 75)), np.radians(rng.uniform(-5, 50))
    direction = np.array([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)])
    peak, key_share = rng.uniform(0.95, 1.15), rng.uniform(0.4, 0.7)
    degree = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2])
    lobe = np.array([1 / 4, 1 / 2, 5 / 16])[degree] * 4 * np.pi / (2 * degree + 1) * sh_basis(direction)
    light = key_share * lobe
    light[0] += (1 - key_share) / SH_CONSTANTS[0]
    tint = 1 + rng.uniform(-0.08, 0.08) * np.array([1.0, 0.1, -1.0])  # warm .. cold
    return (peak * light[:, None] * tint).astype(np.float32)


def rotate_light(sh: Float[np.ndarray, "9 3"], rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "9 3"]:
    """The same light seen from turned axes: shading of the result at n equals that of sh at rotation @ n.

    With rotation = head_to_world[:3, :3] a room's light becomes the light in the head frame. Exact: a rotation
    mixes the harmonics of one degree only, so solving at more than 9 directions finds the coefficients.
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


def head_motion(frames: int, fps: float, rng: np.random.Generator, degrees: tuple[float, float, float] = (18, 9, 5),
                shift: float = 0.08) -> Float[np.ndarray, "{frames} 4 4"]:
    """head_to_world (T, 4, 4): smooth sway, never beyond degrees = (yaw, pitch, roll) and shift (dm) an axis.

    Positive yaw turns the nose to image right, positive pitch down, positive roll tilts the crown to image left.
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
    """K (3, 3) for a square image and the camera's distance in dm: the head fills about 85 % of the height."""
    focal = 0.85 * size * CAMERA_DISTANCE / HEAD_HEIGHT
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return K, CAMERA_DISTANCE


def frontal_camera(distance: float) -> Float[np.ndarray, "4 4"]:
    """cam_to_head (4, 4) of a camera on the z axis that looks straight into the face: R = diag(1, -1, -1)."""
    camera = np.diag([1.0, -1.0, -1.0, 1.0])
    camera[2, 3] = distance
    return camera


def camera_of_motion(head_to_world: Float[np.ndarray, "*t 4 4"], distance: float) -> Float[np.ndarray, "*t 4 4"]:
    """cam_to_head (..., 4, 4) for a fixed camera and a moving head: head_to_world^-1 cam_to_world (Eq. 1's P_cam)."""
    return np.linalg.inv(head_to_world) @ frontal_camera(distance)
