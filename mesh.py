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

import functools

import numpy as np
from jaxtyping import Float, Int, UInt8

SH_CONSTANTS = np.array([0.28209479, 0.48860251, 0.48860251, 0.48860251, 1.09254843, 1.09254843, 0.31539157,
                         1.09254843, 0.54627422])  # sqrt of 1/4pi, 3/4pi, 15/4pi, 5/16pi, 15/16pi
INSIDE_SHADE = 0.12  # little light reaches the inside of a shell (FLAME's mouth is a hole into the head)
ON_EDGE = 1e-5  # a barycentric above minus this is inside, so that rounding leaves no crack along shared edges
TILE = 8  # samples; see _may_show
SIZES = np.array([2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192])  # of _boxes, samples
CHUNK = 2**20  # samples tried at once, to bound the memory
NEAR = 0.05  # dm; a triangle with a corner nearer than this to the camera plane is not drawn
SHININESS = 40.0  # exponent of the highlight; skin and hair have gloss near 0, eyes near 1
BACKDROP = (0.76, 0.80, 0.84)  # behind the heads: lighter and bluer than any skin
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
    corners = np.take(vertices.T, faces.T, axis=1)  # (3 coordinates, 3 corners, F)
    (ux, uy, uz), (wx, wy, wz) = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    face_normals = (uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx)  # length = twice the area
    at = faces.T.ravel()
    sums = [np.bincount(at, np.tile(component, 3), len(vertices)) for component in face_normals]
    return _unit(np.stack(sums, axis=-1)).astype(vertices.dtype)


# ---- which triangle is seen where --------------------------------------------------------------------------

def _project(vertices, K, cam_to_head, supersample):
    """Head-frame points (V, 3) to sample positions (V, 2) in the supersampled image and camera depth (V,)."""
    camera = (vertices - cam_to_head[:3, 3]) @ cam_to_head[:3, :3]  # X_cam = R^T (X_head - t)
    depth = camera[:, 2]
    uvw = camera @ K.T
    return uvw[:, :2] / np.maximum(depth, NEAR)[:, None] * supersample, depth


def _boxes(corners, n):
    """The square box of samples around each triangle with corners (2, 3, F): its first column and row (2, F), and
    its size (F,), one of SIZES, or 0 where the triangle holds no sample."""
    first = np.maximum(np.ceil(corners.min(axis=1) - 0.5), 0)
    span = np.minimum(np.floor(corners.max(axis=1) - 0.5), n - 1) - first + 1
    size = np.minimum(SIZES[np.searchsorted(SIZES, span.max(axis=0))], n) * (span.min(axis=0) > 0)
    return np.minimum(first, n - size).astype(np.int64), size  # boxes end inside the image


def _planes(corners, first):
    """Barycentrics are linear over the image: b_k = planes[k - 1] . (column, row, 1), counted from the box's
    first sample; planes (2, F, 3)."""
    p0, e1, e2 = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area2 = e1[0] * e2[1] - e1[1] * e2[0]
    slopes = np.stack([e2[1], -e2[0], -e1[1], e1[0]]) / area2  # to the right and down, of b1 and of b2
    x, y = first + 0.5 - p0
    return np.stack([[right, down, right * x + down * y] for right, down in (slopes[:2], slopes[2:])]
                    ).transpose(0, 2, 1).astype(np.float32)


@functools.lru_cache
def _cells(size):
    """Columns, rows and ones (3, size^2) of a box's samples."""
    rows, columns = np.divmod(np.arange(size * size), size)
    return np.stack([columns, rows, np.ones(size * size)]).astype(np.float32)


@functools.lru_cache
def _offsets(size, n):
    """How far (size^2,) a box's samples are from its first one in an n x n image."""
    return (np.arange(size)[:, None] * n + np.arange(size)).ravel()


def _fragments(corners, first, size, n):
    """All (triangle, sample) pairs where the sample's centre lies in the triangle.

    Returns triangle (M,), sample index (M,) into n * n, barycentrics (3, M) in the image plane. Triangles with
    boxes of one size are tried together, on all samples of the box: two matrix products a size.
    """
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((3, 0), np.float32))]
    planes, start = _planes(corners, first), first[1] * n + first[0]
    for s in np.unique(size):
        group, many = np.flatnonzero(size == s), max(1, CHUNK // (s * s))
        for some in (group[k:k + many] for k in range(0, len(group), many)):
            b1, b2 = np.take(planes, some, axis=1) @ _cells(s)  # (f, s^2) each
            b0 = 1 - b1 - b2
            inside = np.flatnonzero(np.minimum(np.minimum(b0, b1), b2) > -ON_EDGE)
            owner, cell = np.divmod(inside, s * s)
            triangle = np.take(some, owner)
            sample = np.take(start, triangle) + np.take(_offsets(s, n), cell)
            found.append((triangle, sample, np.stack([np.take(b, inside) for b in (b0, b1, b2)])))
    return tuple(np.concatenate(parts, axis=-1) for parts in zip(*found))


def _nearest(sample, inv_depth, n):
    """For each covered sample, the fragment nearest to the camera: an index array into the fragments."""
    best = np.zeros(n * n, np.float32)
    np.maximum.at(best, sample, inv_depth)
    winner = np.full(n * n, -1)
    front = np.flatnonzero(inv_depth == best[sample])
    winner[sample[front]] = front  # of exact ties (shared edges) any one will do
    return winner[winner >= 0], best


def _may_show(first, size, nearness, best, n):
    """Which triangles are not certainly hidden: False where the triangle's nearest corner lies behind all that
    is drawn in the up to four tiles of TILE x TILE samples that its box touches."""
    tiles = np.zeros((-(-n // TILE) * TILE,) * 2, np.float32)
    tiles[:n, :n] = best.reshape(n, n)
    farthest = tiles.reshape(len(tiles) // TILE, TILE, -1, TILE).min(axis=(1, 3)).ravel()
    (c0, r0), (c1, r1) = first // TILE, (first + size - 1) // TILE
    r0, r1 = r0 * (len(tiles) // TILE), r1 * (len(tiles) // TILE)
    behind = np.take(farthest, np.stack([r0 + c0, r0 + c1, r1 + c0, r1 + c1])).min(axis=0)
    return (nearness >= behind) | (size > TILE)


def _visible(uv, depth, faces, n):
    """What each covered sample shows: triangle (M,), sample (M,) into n * n, the corners' weights (3, M), and
    whether its outer side is seen (M,).

    Outer sides first: most inner sides are then known to be hidden and need not be tried sample by sample.
    """
    corners = np.take(uv.T, faces.T, axis=1)  # (2, 3 corners, F)
    e1, e2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area2 = e1[0] * e2[1] - e1[1] * e2[0]  # twice the signed area; y points down, so outer sides are negative
    first, size = _boxes(corners, n)
    inverse = np.take((1 / np.maximum(depth, NEAR)).astype(np.float32), faces.T)  # (3, F); 1/z is linear, z is not
    drawn = (size > 0) & (inverse.max(axis=0) < 1 / NEAR) & (np.abs(area2) > 1e-12)

    def draw(these):
        owner, sample, bary = _fragments(corners[:, :, these], first[:, these], size[these], n)
        triangle = np.take(these, owner)
        weights = bary * np.take(inverse, triangle, axis=1)
        return triangle, sample, weights, weights.sum(axis=0)

    near = draw(np.flatnonzero(drawn & (area2 < 0)))
    _, best = _nearest(near[1], near[3], n)
    rest = np.flatnonzero(drawn & (area2 > 0))
    rest = rest[_may_show(first[:, rest], size[rest], inverse[:, rest].max(axis=0), best, n)]
    triangle, sample, weights, nearness = (np.concatenate(parts, axis=-1) for parts in zip(near, draw(rest)))
    keep, _ = _nearest(sample, nearness, n)
    triangle, weights = triangle[keep], np.take(weights, keep, axis=1) / nearness[keep]  # perspective-correct
    return triangle, sample[keep], weights, area2[triangle] < 0


# ---- what colour it has ------------------------------------------------------------------------------------

def _highlight(normals, to_camera, sh):
    """Blinn's highlight (M, 1) of the light's main direction: its degree-1 part, (x, y, z) = sh[3, 1, 2]."""
    direction = sh[[3, 1, 2]].mean(axis=1)
    strength = np.linalg.norm(direction)
    if strength < 1e-6:  # the same light from everywhere has no highlight
        return np.zeros((len(normals), 1), np.float32)
    half = _unit(direction / strength + to_camera).astype(np.float32)
    return min(strength, 1.0) * np.maximum(normals @ half, 0)[:, None] ** SHININESS


def _shade(normals, to_camera, albedo, gloss, sh):
    """Colour (M, 3) of the visible samples: albedo times shading, plus gloss (M, 1) times highlight."""
    color = albedo * np.maximum(sh_basis(normals) @ sh, 0)
    return color + gloss * _highlight(normals, to_camera, sh)


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
    INSIDE_SHADE of its albedo. Highlights are those of a distant viewer: one direction to the camera.
    """
    n = size * supersample
    uv, depth = _project(vertices.astype(np.float64), K, cam_to_head, supersample)
    triangle, sample, weights, outer = _visible(uv, depth, faces, n)
    shine = np.zeros(len(vertices)) if gloss is None else gloss
    attributes = np.concatenate([vertex_normals(vertices, faces), colors, shine[:, None]], axis=1, dtype=np.float32)
    seen = np.take(faces, triangle, axis=0)  # (M, 3)
    pixels = sum(w[:, None] * np.take(attributes, seen[:, k], axis=0) for k, w in enumerate(weights))  # (M, 7)
    outward = outer[:, None]
    normals = _unit(pixels[:, :3]) * np.where(outward, 1, -1).astype(np.float32)
    albedo = pixels[:, 3:6] * np.where(outward, 1, INSIDE_SHADE).astype(np.float32)
    to_camera = _unit(cam_to_head[:3, 3])
    shaded = _shade(normals, to_camera, albedo, pixels[:, 6:], sh.astype(np.float32))
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


def key_light(azimuth: float, height: float, share: float, warmth: float, peak: float) -> Float[np.ndarray, "9 3"]:
    """Even light plus one soft key light: shading `peak`, on average over the channels, where the surface faces the key.

    azimuth, height: degrees to image right and up, from the front; share: the key's part of the light, 0 .. 1; warmth:
    -1 (blue) .. 1 (orange), of the key only. The key is a Lambertian cosine lobe cut to degree 2:
    max(n.l, 0) = 1/4 P0 + 1/2 P1 + 5/16 P2 of n.l, and P_l(n.l) = 4 pi / (2 l + 1) sum_m Y_lm(n) Y_lm(l).
    """
    a, h = np.radians([azimuth, height])
    direction = np.array([np.sin(a) * np.cos(h), np.sin(h), np.cos(a) * np.cos(h)])
    degree = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2])
    lobe = np.array([1 / 4, 1 / 2, 5 / 16])[degree] * 4 * np.pi / (2 * degree + 1) * sh_basis(direction)
    tint = 1 + 0.2 * warmth * np.array([1.0, 0.1, -1.0])
    light = share * lobe[:, None] * tint
    light[0] += (1 - share) / SH_CONSTANTS[0]
    return (peak * light / (1 + share / 16)).astype(np.float32)  # the cut lobe is 17/16 at its peak


def _drawn_light(rng, azimuth, warmth):
    return key_light(azimuth, rng.uniform(0, 55), rng.uniform(0.66, 0.8), warmth, rng.uniform(1.1, 1.16))


def random_light(rng: np.random.Generator) -> Float[np.ndarray, "9 3"]:
    """A plausible room (key_light): the key from the front half, left or right, warm or cold. Shading 0.2 .. 1.25."""
    return _drawn_light(rng, rng.uniform(-80, 80), rng.uniform(-1, 1))


def light_set(count: int, rng: np.random.Generator) -> Float[np.ndarray, "{count} 9 3"]:
    """`count` rooms that are told apart at a glance: azimuths from -65 to 65 degrees, warmths from -1 to 1, and
    neighbours in azimuth far apart in warmth; the order of the set is shuffled."""
    azimuths = np.linspace(-65, 65, count) + rng.uniform(-5, 5, count)
    place = np.arange(count)
    warmth = np.linspace(1, -1, count)[np.argsort(place[np.argsort(place % 2, kind="stable")])]  # 0 3 1 4 2 5
    lights = np.stack([_drawn_light(rng, float(a), float(w)) for a, w in zip(azimuths, warmth)])
    return lights[rng.permutation(count)]


@functools.lru_cache(maxsize=1)
def _probes():
    """32 directions (32, 3), more than a light has coefficients, and what turns their shading into these (9, 32)."""
    directions = _unit(np.random.default_rng(0).normal(size=(32, 3)))
    return directions, np.linalg.pinv(sh_basis(directions))


def rotate_light(sh: Float[np.ndarray, "9 3"], rotation: Float[np.ndarray, "3 3"]
                 ) -> Float[np.ndarray, "9 3"]:
    """The same light seen from turned axes: shading of the result at n equals that of sh at rotation @ n.

    With rotation = head_to_world[:3, :3] a room's light becomes the light in the head frame. Exact: a
    rotation mixes the harmonics of one degree only, so least squares over the probes finds the coefficients.
    """
    directions, solve = _probes()
    turned = solve @ (sh_basis(directions @ rotation.T.astype(np.float64)) @ sh)  # (9, 3)
    return turned.astype(np.float32)


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


def portraits(vertices: Float[np.ndarray, "T V 3"], head_to_world: Float[np.ndarray, "T 4 4"],
              faces: Int[np.ndarray, "F 3"], colors: Float[np.ndarray, "V 3"], gloss: Float[np.ndarray, "V"],
              light: Float[np.ndarray, "9 3"], size: int
              ) -> tuple[UInt8[np.ndarray, "T {size} {size} 3"], UInt8[np.ndarray, "T {size} {size}"]]:
    """Frames as they are stored: images (T, H, W, 3) over BACKDROP and masks (T, H, W), 255 = head.

    vertices (T, V, 3) dm, head frame; the head stands in the room as head_to_world (T, 4, 4) says, while camera
    and light (9, 3) stay where they are. All frames of meshes are made here, those of meshes.py and those of
    toyset.render_truth.
    """
    K, distance = default_camera(size)
    images = np.empty((len(vertices), size, size, 3), np.uint8)
    masks = np.empty(images.shape[:3], np.uint8)
    for t, camera in enumerate(camera_of_motion(head_to_world, distance)):
        turned = rotate_light(light, head_to_world[t, :3, :3])
        image, alpha = render_mesh(vertices[t].astype(np.float32), faces, colors, turned, K, camera, size,
                                   np.array(BACKDROP), gloss=gloss)
        images[t], masks[t] = np.round(image * 255), np.round(alpha * 255)
    return images, masks
