"""voca_fixture.py - a folder with VOCASET's layout, topology counts and pickles, and no data of it.

make_voca(folder) writes talking ellipsoids: 5023 vertices and 9976 triangles, eyeballs and 68
landmarks at FLAME's vertex numbers, pickles as Python 2 wrote them (protocol 2, byte strings), and
sound at 22,000 Hz. The jaw opens with the loudness of the sound. It is not a face model: it exists
so that the reading of real VOCASET can be tested without it.
"""

import struct
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from data.voca import FLAME_LANDMARKS

FPS, RATE = 60, 22000
RADII = np.array([0.76, 1.2, 0.98])  # of the skull, dm
COLUMNS, ROWS, SKIN, LIP_Y = 62, 63, 3931, -0.532
EYES = ((-0.3, 0.12), (0.3, 0.12))
LANDMARKS_XY = [  # iBUG 68 in front view, dm
    (-0.74, 0.05), (-0.73, -0.12), (-0.70, -0.30), (-0.65, -0.48), (-0.57, -0.64), (-0.46, -0.77),
    (-0.32, -0.87), (-0.16, -0.93), (0.0, -0.95), (0.16, -0.93), (0.32, -0.87), (0.46, -0.77),
    (0.57, -0.64), (0.65, -0.48), (0.70, -0.30), (0.73, -0.12), (0.74, 0.05), (-0.55, 0.32),
    (-0.45, 0.38), (-0.34, 0.39), (-0.23, 0.37), (-0.12, 0.33), (0.12, 0.33), (0.23, 0.37),
    (0.34, 0.39), (0.45, 0.38), (0.55, 0.32), (0.0, 0.15), (0.0, 0.03), (0.0, -0.09), (0.0, -0.2),
    (-0.13, -0.28), (-0.07, -0.3), (0.0, -0.31), (0.07, -0.3), (0.13, -0.28), (-0.44, 0.12),
    (-0.36, 0.19), (-0.25, 0.19), (-0.17, 0.11), (-0.25, 0.06), (-0.36, 0.06), (0.17, 0.11),
    (0.25, 0.19), (0.36, 0.19), (0.44, 0.12), (0.36, 0.06), (0.25, 0.06), (-0.26, -0.532),
    (-0.17, -0.482), (-0.07, -0.452), (0.0, -0.467), (0.07, -0.452), (0.17, -0.482), (0.26, -0.532),
    (0.17, -0.592), (0.08, -0.627), (0.0, -0.632), (-0.08, -0.627), (-0.17, -0.592),
    (-0.22, -0.532), (-0.09, -0.519), (0.0, -0.522), (0.09, -0.519), (0.22, -0.532), (0.09, -0.545),
    (0.0, -0.542), (-0.09, -0.545)]


def sphere(columns: int, rows: np.ndarray, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere (columns * rows + 2, 3) and its outward triangles; rows: heights from top to
    bottom."""
    ring = np.sqrt(1 - rows[:, None] ** 2)
    grid = np.stack([ring * np.sin(angles), np.broadcast_to(rows[:, None], (len(rows), columns)),
                     ring * np.cos(angles)], -1).reshape(-1, 3)
    a = np.arange(len(rows) * columns).reshape(len(rows), columns)
    b = np.roll(a, -1, axis=1)
    quads = [(a[:-1], a[1:], b[1:]), (a[:-1], b[1:], b[:-1])]
    top, bottom = np.full(columns, len(grid)), np.full(columns, len(grid) + 1)
    faces = [np.stack(q, -1).reshape(-1, 3) for q in quads]
    faces += [np.stack([top, a[0], b[0]], 1), np.stack([bottom, b[-1], a[-1]], 1)]
    return np.concatenate([grid, [[0, 1, 0], [0, -1, 0]]]), np.concatenate(faces)


def bell(x, y, cx, cy, wx, wy):
    return np.exp(-(((x - cx) / wx) ** 2) - ((y - cy) / wy) ** 2)


def relief(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What nose, eye sockets and lips add to z of the skull's front."""
    nose = 0.22 * bell(x, y, 0, -0.18, 0.09, 0.1) + 0.12 * bell(x, y, 0, 0, 0.06, 0.14)
    sockets = sum(-0.14 * bell(x, y, ex, ey, 0.13, 0.075) for ex, ey in EYES)
    return nose + sockets + 0.06 * bell(x, y, 0, LIP_Y, 0.2, 0.1)


def on_skull(xy: np.ndarray) -> np.ndarray:
    """Points (N, 3) of the front of the head at x, y (N, 2)."""
    x, y = xy.T
    z = RADII[2] * np.sqrt(np.clip(1 - (x / RADII[0]) ** 2 - (y / RADII[1]) ** 2, 0, 1))
    return np.stack([x, y, z + relief(x, y)], 1)


def head() -> tuple[np.ndarray, np.ndarray]:
    """(5023, 3) dm and (9976, 3): skin with a slit at the mouth, then two eyeballs."""
    s = np.linspace(-1, 1, COLUMNS, endpoint=False)
    angles = np.pi * s - 0.5 * np.sin(np.pi * s)  # denser in front
    heights = np.sort(np.concatenate([np.linspace(-0.985, 0.985, ROWS - 2),
                                      [LIP_Y / 1.2 - 4e-3, LIP_Y / 1.2 + 4e-3]]))
    points, faces = sphere(COLUMNS, heights[::-1], angles)
    points = points * RADII
    points[:, 2] += relief(points[:, 0], points[:, 1]) * (points[:, 2] > 0)
    points, faces = snap_landmarks(points, slit(points, faces))
    while len(points) < SKIN:  # the rest of FLAME's count: split triangles at the back of the head
        split = np.argmin(points[faces].mean(1)[:, 2])
        a, b, c = faces[split]
        points = np.concatenate([points, points[[a, b, c]].mean(0, keepdims=True)])
        n = len(points) - 1
        faces = np.concatenate([np.delete(faces, split, 0), [[a, b, n], [b, c, n], [c, a, n]]])
    # open below, as at the neck
    faces = faces[np.sort(np.argsort(points[faces].mean(1)[:, 1])[len(faces) - 7800:])]
    ball, ball_faces = sphere(34, np.cos(np.linspace(0.1, np.pi - 0.1, 16)),
                              np.linspace(0, 2 * np.pi, 34, False))
    ball = ball[:, [0, 2, 1]] * [1, 1, -1]  # poles forward, so that the iris is round
    centres = on_skull(np.array(EYES)) - [0, 0, 0.05]
    parts = [points] + [ball * 0.13 + c for c in centres]
    return np.concatenate(parts), np.concatenate([faces, ball_faces + SKIN,
                                                  ball_faces + SKIN + len(ball)])


def slit(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Take out the thin strip between the two rows at the lip line, as wide as the mouth."""
    middle = points[faces].mean(1)
    thin = np.ptp(points[faces][..., 1], axis=1) < 0.03
    return faces[~(thin & (np.abs(middle[:, 1] - LIP_Y) < 0.01) & (np.abs(middle[:, 0]) < 0.235)
                   & (middle[:, 2] > 0))]


def snap_landmarks(points: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move the nearest vertices onto the landmarks and renumber so that they have FLAME's numbers
    (below 3931)."""
    wanted = on_skull(np.array(LANDMARKS_XY))
    cost = np.linalg.norm(points[:, None] - wanted, axis=2)  # (V, 68)
    upper = wanted[:, 1] > LIP_Y + 1e-9
    near_lip = np.abs(wanted[:, 1] - LIP_Y) < 0.12
    # keep each lip's points on it
    cost += np.where(near_lip & ((points[:, None, 1] > LIP_Y) != upper), 1.0, 0.0)
    chosen, mark = linear_sum_assignment(cost)
    points = points.copy()
    points[chosen] = wanted[mark]
    order = np.full(SKIN, -1)
    order[np.array(FLAME_LANDMARKS)[mark]] = chosen
    others = np.setdiff1d(np.arange(len(points)), chosen)
    free = np.flatnonzero(order < 0)
    order[free[:len(others)]] = others
    number = np.empty(len(points), int)
    kept = order[order >= 0]
    if max(FLAME_LANDMARKS) >= len(points):
        raise ValueError("too few skin vertices for FLAME's numbers")
    number[kept] = np.arange(len(kept))
    return points[kept], number[faces]


def open_jaw(points: np.ndarray, amount: float) -> np.ndarray:
    """Lower lip and chin go down by up to 0.22 dm; upper lip and eyes stay."""
    x, y, z = points.T
    below = (y < LIP_Y - 1e-9) & (z > 0)
    side = np.exp(-((x / (0.24 + 0.5 * np.clip(LIP_Y - y, 0, 1))) ** 4))
    moved = points.copy()
    moved[:, 1] -= 0.22 * amount * below * side
    return moved


def py2_pickle(tree) -> bytes:
    """Protocol 2 as Python 2 wrote it: str as byte strings, arrays through
    numpy.core.multiarray."""
    return b"\x80\x02" + _opcodes(tree) + b"."


def _opcodes(node) -> bytes:
    if isinstance(node, dict):
        return b"}(" + b"".join(_opcodes(k) + _opcodes(v) for k, v in node.items()) + b"u"
    if isinstance(node, tuple):
        return b"(" + b"".join(map(_opcodes, node)) + b"t"
    if isinstance(node, str):
        return b"U" + bytes([len(node)]) + node.encode("latin1")
    if isinstance(node, bytes):
        return b"T" + struct.pack("<I", len(node)) + node
    if node is None or isinstance(node, bool):
        return {None: b"N", False: b"\x89", True: b"\x88"}[node]
    if isinstance(node, np.ndarray):
        dtype = b"cnumpy\ndtype\n" + _opcodes((node.dtype.str[1:], 0, 1)) + b"R"
        dtype += _opcodes((3, "<", None, None, None, -1, -1, 0)) + b"b"
        make = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
        make += _opcodes((0,)) + b"U\x01btR"
        state = b"(" + _opcodes(1) + _opcodes(node.shape) + dtype + _opcodes(False)
        state += _opcodes(node.tobytes()) + b"t"
        return make + state + b"b"
    return b"J" + struct.pack("<i", node)


def write_ply(path: Path, n_vertices: int, faces: np.ndarray) -> None:
    """Binary little-endian, as the .ply of VOCA's templates."""
    header = (f"ply\nformat binary_little_endian 1.0\nelement vertex {n_vertices}\n"
              "property float x\nproperty float y\nproperty float z\n"
              f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n")
    rows = np.zeros(len(faces), [("n", "u1"), ("v", "<i4", 3)])
    rows["n"], rows["v"] = 3, faces
    path.write_bytes(header.encode() + np.zeros((n_vertices, 3), "<f4").tobytes() + rows.tobytes())


def speech(seconds: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mouth opening (60 a second) in 0..1, and int16 sound at 22,000 Hz as loud as the mouth is
    open."""
    syllables = rng.uniform(0.5, 1, int(seconds * 4) + 2)
    time = np.arange(round(seconds * RATE)) / RATE
    opening = np.interp(time, np.arange(len(syllables)) / 4,
                        syllables) * np.sin(np.pi * 4 * time) ** 2
    tone = sum(np.sin(2 * np.pi * 120 * h * time) / h for h in range(1, 12))
    frames = opening[(np.arange(int(seconds * FPS)) * RATE / FPS).astype(int)]
    return frames, np.round(opening * tone * 9000).astype(np.int16)


def make_voca(folder: Path, subjects: int = 2, sentences: int = 2, seconds: float = 1.0,
              seed: int = 0) -> dict:
    """Write the folder. Returns {subject: {sentence: opening (T,) at 60 fps}}."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    base, faces = head()
    rows, index, sound, templates, openings = [], {}, {}, {}, {}
    for s in range(subjects):
        name = f"FaceTalk_fixture_{s + 1:02d}_TA"
        width = rng.uniform(0.92, 1.08, 3) / 10  # and dm to metres
        templates[name] = base * width + [0.002, -0.01, -0.03]
        index[name], sound[name], openings[name] = {}, {}, {}
        for k in range(sentences):
            key = f"sentence{k + 1:02d}"
            opening, wave = speech(seconds, rng)
            index[name][key] = {f: len(rows) + f for f in range(len(opening))}
            rows += [open_jaw(base, o) * width + [0.002, -0.01, -0.03] for o in opening]
            sound[name][key], openings[name][key] = {"audio": wave, "sample_rate": RATE}, opening
    np.save(folder / "data_verts.npy", np.array(rows, np.float32))
    for file, tree in (("subj_seq_to_idx", index), ("raw_audio_fixed", sound),
                       ("templates", templates)):
        (folder / f"{file}.pkl").write_bytes(py2_pickle(tree))
    write_ply(folder / "FLAME_sample.ply", len(base), faces)
    return openings
