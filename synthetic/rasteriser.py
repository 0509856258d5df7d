"""rasteriser.py - Sec. 4.1: coloured triangle meshes to images of known camera and light.

The paper trains on photographs of VOCASET's speakers; the public VOCASET holds meshes and sound
only. So frames are rendered here, from its meshes (5023 vertices) or from the stand-in heads of
dataset.py, and every factor of the code C = {C_id, C_ex, C_al, C_ill} is known exactly: shape,
albedo (a colour per vertex) and light (Eq. 1).

In:  vertices (V, 3) in the head frame (dm; x image right, y up, z out of the face), faces (F, 3),
     albedo (V, 3), light (9, 3) spherical-harmonic coefficients, K (3, 3), cam_to_head (4, 4).
Out: image (H, W, 3) and coverage alpha (H, W), float32 in [0, 1]. Pixel column j covers [j, j + 1).
Read next: dataset.py (where the stand-in heads come from).
"""

import functools

import numpy as np
from jaxtyping import Float, Int, UInt8

from synthetic.cameras import camera_of_motion, default_camera, in_camera
from synthetic.light import rotate_light, sh_basis, unit

INSIDE_SHADE = 0.12  # little light reaches the inside of a shell (FLAME's mouth is a hole)
ON_EDGE = 1e-5  # a barycentric above minus this is inside: rounding leaves no crack along edges
TILE = 8  # samples; see _may_show
SIZES = np.array([  # of _boxes, in samples
    2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192])
CHUNK = 2**20  # samples tried at once, to bound the memory
NEAR = 0.05  # dm; a triangle with a corner nearer than this to the camera plane is not drawn
SHININESS = 40.0  # exponent of the highlight; skin and hair have gloss near 0, eyes near 1
BACKDROP = (0.76, 0.80, 0.84)  # behind the heads: lighter and bluer than any skin


def vertex_normals(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
                   ) -> Float[np.ndarray, "V 3"]:
    """Unit normals (V, 3): those of the adjoining triangles, added up weighted by area."""
    corners = np.take(vertices.T, faces.T, axis=1)  # (3 coordinates, 3 corners, F)
    (ux, uy, uz), (wx, wy, wz) = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    face_normals = (uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx)  # length = 2 areas
    at = faces.T.ravel()
    sums = [np.bincount(at, np.tile(component, 3), len(vertices)) for component in face_normals]
    return unit(np.stack(sums, axis=-1)).astype(vertices.dtype)


# ---- which triangle is seen where ----------------------------------------------------------------

def _project(vertices, K, cam_to_head, supersample):
    """Head-frame points (V, 3) to positions (V, 2) in the supersampled image and depth (V,).

    As cameras.project, but points behind the camera keep a finite place: they are not drawn.
    """
    camera = in_camera(vertices, cam_to_head)
    return (camera @ K.T)[:, :2] / np.maximum(camera[:, 2:], NEAR) * supersample, camera[:, 2]


def _boxes(corners, n):
    """The square box of samples around each triangle with corners (2, 3, F): its first column and
    row (2, F), and its size (F,), one of SIZES, or 0 where the triangle holds no sample."""
    first = np.maximum(np.ceil(corners.min(axis=1) - 0.5), 0)
    span = np.minimum(np.floor(corners.max(axis=1) - 0.5), n - 1) - first + 1
    size = np.minimum(SIZES[np.searchsorted(SIZES, span.max(axis=0))], n) * (span.min(axis=0) > 0)
    return np.minimum(first, n - size).astype(np.int64), size  # boxes end inside the image


def _planes(corners, first):
    """Barycentrics are linear over the image: b_k = planes[k - 1] . (column, row, 1), counted from
    the box's first sample; planes (2, F, 3)."""
    p0, e1, e2 = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area2 = e1[0] * e2[1] - e1[1] * e2[0]
    slopes = np.stack([e2[1], -e2[0], -e1[1], e1[0]]) / area2  # right, down, of b1 and b2
    x, y = first + 0.5 - p0
    planes = [[right, down, right * x + down * y] for right, down in (slopes[:2], slopes[2:])]
    return np.stack(planes).transpose(0, 2, 1).astype(np.float32)


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

    Returns triangle (M,), sample index (M,) into n * n, barycentrics (3, M) in the image plane.
    Triangles with boxes of one size are tried together on all samples of the box: two products.
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
    """For each covered sample, the number of the fragment nearest to the camera; 1 / its depth."""
    best = np.zeros(n * n, np.float32)
    np.maximum.at(best, sample, inv_depth)
    winner = np.full(n * n, -1)
    front = np.flatnonzero(inv_depth == best[sample])
    winner[sample[front]] = front  # of exact ties (shared edges) any one will do
    return winner[winner >= 0], best


def _may_show(first, size, nearness, best, n):
    """Which triangles are not certainly hidden: False where the triangle's nearest corner lies
    behind all that is drawn in the up to four tiles of TILE x TILE samples that its box touches."""
    tiles = np.zeros((-(-n // TILE) * TILE,) * 2, np.float32)
    tiles[:n, :n] = best.reshape(n, n)
    farthest = tiles.reshape(len(tiles) // TILE, TILE, -1, TILE).min(axis=(1, 3)).ravel()
    (c0, r0), (c1, r1) = first // TILE, (first + size - 1) // TILE
    r0, r1 = r0 * (len(tiles) // TILE), r1 * (len(tiles) // TILE)
    behind = np.take(farthest, np.stack([r0 + c0, r0 + c1, r1 + c0, r1 + c1])).min(axis=0)
    return (nearness >= behind) | (size > TILE)


def _visible(uv, depth, faces, n):
    """What each covered sample shows: triangle (M,), sample (M,) into n * n, the corners' weights
    (3, M), and whether its outer side is seen (M,).

    Outer sides come first: most inner sides are then known to be hidden without trying samples.
    """
    corners = np.take(uv.T, faces.T, axis=1)  # (2, 3 corners, F)
    e1, e2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area2 = e1[0] * e2[1] - e1[1] * e2[0]  # twice the area; y points down: outer sides < 0
    first, size = _boxes(corners, n)
    inverse = np.take((1 / np.maximum(depth, NEAR)).astype(np.float32), faces.T)  # (3, F), linear
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
    triangle, sample, weights, nearness = (np.concatenate(parts, axis=-1)
                                           for parts in zip(near, draw(rest)))
    keep, _ = _nearest(sample, nearness, n)
    weights = np.take(weights, keep, axis=1) / nearness[keep]  # perspective-correct
    triangle = triangle[keep]
    return triangle, sample[keep], weights, area2[triangle] < 0


# ---- what colour it has --------------------------------------------------------------------------

def _highlight(normals, to_camera, sh):
    """Blinn's highlight (M, 1) of the light's main direction, its degree-1 part sh[3, 1, 2]."""
    direction = sh[[3, 1, 2]].mean(axis=1)
    strength = np.linalg.norm(direction)
    if strength < 1e-6:  # the same light from everywhere has no highlight
        return np.zeros((len(normals), 1), np.float32)
    half = unit(direction / strength + to_camera).astype(np.float32)
    return min(strength, 1.0) * np.maximum(normals @ half, 0)[:, None] ** SHININESS


def _shade(normals, to_camera, albedo, gloss, sh):
    """Colour (M, 3) of the visible samples: albedo times shading, plus gloss (M, 1) highlight."""
    color = albedo * np.maximum(sh_basis(normals) @ sh, 0)
    return color + gloss * _highlight(normals, to_camera, sh)


def render_mesh(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"],
                colors: Float[np.ndarray, "V 3"], sh: Float[np.ndarray, "9 3"],
                K: Float[np.ndarray, "3 3"], cam_to_head: Float[np.ndarray, "4 4"], size: int,
                background: Float[np.ndarray, "3"] | Float[np.ndarray, "{size} {size} 3"],
                supersample: int = 2, gloss: Float[np.ndarray, "V"] | None = None,
                ) -> tuple[Float[np.ndarray, "{size} {size} 3"],
                           Float[np.ndarray, "{size} {size}"]]:
    """Render a mesh (Sec. 4.1, our substitution): image (size, size, 3), alpha (size, size).

    vertices (V, 3) dm in the head frame; colors (V, 3) albedo; sh (9, 3) light in the head frame's
    axes (to light the scene while the head turns, rotate it: rotate_light); K in pixels; gloss (V,)
    strength of highlights or None. Each output pixel is the mean of supersample^2 samples. Both
    sides of a triangle are drawn, because FLAME's mesh is open at mouth and neck; a side seen from
    within (clockwise corners) gets INSIDE_SHADE of its albedo. Highlights are those of a distant
    viewer: one direction to the camera.
    """
    n = size * supersample
    uv, depth = _project(vertices.astype(np.float64), K, cam_to_head, supersample)
    triangle, sample, weights, outer = _visible(uv, depth, faces, n)
    shine = np.zeros(len(vertices)) if gloss is None else gloss
    normals = vertex_normals(vertices, faces)
    attributes = np.concatenate([normals, colors, shine[:, None]], axis=1, dtype=np.float32)
    seen = np.take(faces, triangle, axis=0)  # (M, 3)
    pixels = sum(w[:, None] * np.take(attributes, seen[:, k], axis=0)
                 for k, w in enumerate(weights))  # (M, 7)
    outward = outer[:, None]
    normals = unit(pixels[:, :3]) * np.where(outward, 1, -1).astype(np.float32)
    albedo = pixels[:, 3:6] * np.where(outward, 1, INSIDE_SHADE).astype(np.float32)
    to_camera = unit(cam_to_head[:3, 3])
    shaded = _shade(normals, to_camera, albedo, pixels[:, 6:], sh.astype(np.float32))
    return _resolve(shaded, sample, size, supersample, background)


def _resolve(shaded, sample, size, supersample, background):
    """Average supersample^2 samples per pixel and lay the result over the background."""
    canvas = np.zeros((size * supersample * size * supersample, 4), np.float32)
    canvas[sample, :3] = np.minimum(shaded, 1)
    canvas[sample, 3] = 1
    blocks = canvas.reshape(size, supersample, size, supersample, 4)
    total = sum(blocks[:, i, :, j] for i in range(supersample) for j in range(supersample))
    pixels = total / supersample**2  # (size, size, 4), colour already times coverage
    alpha = pixels[..., 3]
    image = pixels[..., :3] + (1 - alpha[..., None]) * np.asarray(background, np.float32)
    return np.clip(image, 0, 1), alpha


def portraits(vertices: Float[np.ndarray, "T V 3"], head_to_world: Float[np.ndarray, "T 4 4"],
              faces: Int[np.ndarray, "F 3"], colors: Float[np.ndarray, "V 3"],
              gloss: Float[np.ndarray, "V"], light: Float[np.ndarray, "9 3"], size: int
              ) -> tuple[UInt8[np.ndarray, "T {size} {size} 3"],
                         UInt8[np.ndarray, "T {size} {size}"]]:
    """Frames as they are stored: images (T, H, W, 3) over BACKDROP and masks (T, H, W), 255 = head.

    vertices (T, V, 3) dm, head frame; the head stands in the room as head_to_world (T, 4, 4) says,
    while camera and light (9, 3) stay where they are. All frames of meshes are made here, those of
    data/mesh_takes.py and those of dataset.render_truth.
    """
    K, distance = default_camera(size)
    images = np.empty((len(vertices), size, size, 3), np.uint8)
    masks = np.empty(images.shape[:3], np.uint8)
    for t, camera in enumerate(camera_of_motion(head_to_world, distance)):
        turned = rotate_light(light, head_to_world[t, :3, :3])
        image, alpha = render_mesh(vertices[t].astype(np.float32), faces, colors, turned, K, camera,
                                   size, np.array(BACKDROP), gloss=gloss)
        images[t], masks[t] = np.round(image * 255), np.round(alpha * 255)
    return images, masks
