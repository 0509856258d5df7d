"""vocaset.py - reading a folder in VOCASET's layout (Sec. 4.1), the real one or one that toyset.py wrote.

In:  data_verts.npy (N, V, 3) metres, 60 fps; subj_seq_to_idx.pkl {subject: {sentence: {frame: row}}};
     raw_audio_fixed.pkl {subject: {sentence: {"audio", "sample_rate"}}}; templates.pkl {subject: (V, 3)}; a .ply.
Out: Voca (all of it, checked, vertices memory-mapped) and Look (colours and lights: the folder's own or painted here).
The pickles are a stranger's: they are read without running anything that they name.
Next: data.py, which renders takes from these.
"""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int

import mesh
from media import InputError

FLAME_VERTICES, FLAME_EYES = 5023, (slice(3931, 4477), slice(4477, 5023))
FLAME_LANDMARKS = [  # vertices of the 68 iBUG landmarks in FLAME's topology
    2210, 1963, 3056, 3424, 3423, 3421, 3419, 3416, 3414, 3635, 3643, 3646, 3650, 3652, 2004, 568, 728, 2567, 337, 338,
    3154, 3712, 3868, 2135, 27, 18, 1430, 3560, 3561, 3501, 3564, 2751, 2793, 3556, 1676, 1623, 2428, 2453, 2494, 3631,
    2278, 2359, 3832, 1343, 1218, 1154, 995, 829, 2820, 2864, 2774, 3543, 1657, 1749, 1703, 1774, 1802, 3503, 2905,
    2881, 2845, 2787, 3531, 1670, 1730, 1804, 3504, 2907]
VOCA_SPLIT = {  # by subject, as published in VOCA's README
    "train": ["FaceTalk_170728_03272_TA", "FaceTalk_170904_00128_TA", "FaceTalk_170725_00137_TA",
              "FaceTalk_170915_00223_TA", "FaceTalk_170811_03274_TA", "FaceTalk_170913_03279_TA",
              "FaceTalk_170904_03276_TA", "FaceTalk_170912_03278_TA"],
    "val": ["FaceTalk_170811_03275_TA", "FaceTalk_170908_03277_TA"],
    "test": ["FaceTalk_170809_00138_TA", "FaceTalk_170731_00024_TA"]}
PARTS = ("data_verts.npy", "subj_seq_to_idx.pkl", "raw_audio_fixed.pkl", "templates.pkl")
ACCEPTED = ("give a folder with data_verts.npy, subj_seq_to_idx.pkl, raw_audio_fixed.pkl, templates.pkl and a .ply "
            "with the faces (VOCASET: register at voca.is.tue.mpg.de; or write stand-in heads with toyset.py), "
            "or a clip NAME.mp4 with NAME.landmarks.npy beside it")


# ---------------------------------------------------------------------------------------------- pickles of strangers

class _Plain:
    """Rebuilds NumPy's pickled dtypes and arrays of plain numbers from their state, without NumPy's own hooks."""

    def __init__(self, *args):
        self.args, self.value = args, None

    def __setstate__(self, state):
        if self.args and isinstance(self.args[0], str):      # a dtype: args ("i2", ...), state (version, "<", ...)
            self.args = (state[1].strip("=|") + self.args[0].lstrip("<>=|"),)
        else:                                                # an array: (version, shape, dtype, is_fortran, bytes)
            _, shape, dtype, fortran, raw = state
            raw = raw.encode("latin1") if isinstance(raw, str) else raw
            self.value = np.frombuffer(raw, dtype.numbers()).reshape(shape, order="F" if fortran else "C")

    def numbers(self) -> np.dtype:
        dtype = np.dtype(self.args[0])
        if dtype.kind not in "biuf":
            raise pickle.UnpicklingError(f"holds an array of {dtype}, not of numbers")
        return dtype


def _scalar(dtype: _Plain, raw):
    return np.frombuffer(raw.encode("latin1") if isinstance(raw, str) else raw, dtype.numbers())[0].item()


def _frombuffer(raw, dtype: _Plain, shape: tuple, order: str) -> np.ndarray:
    return np.frombuffer(raw, dtype.numbers()).reshape(shape, order=order)


def _encode(text: str, codec: str = "latin1") -> bytes:
    return text.encode({"latin1": "latin1"}[codec])


ADMITTED = {("numpy.core.multiarray", "_reconstruct"): _Plain, ("numpy.core.multiarray", "scalar"): _scalar,
            ("numpy.core.numeric", "_frombuffer"): _frombuffer, ("_codecs", "encode"): _encode,
            ("numpy", "ndarray"): _Plain, ("numpy", "dtype"): _Plain}


class _SafeUnpickler(pickle.Unpickler):
    """Admits plain containers and arrays of numbers. A pickle can name any function of Python; the rest is refused."""

    def find_class(self, module, name):
        place = (module.replace("numpy._core", "numpy.core"), name)  # NumPy 2 renamed it
        if place in ADMITTED:
            return ADMITTED[place]
        raise pickle.UnpicklingError(f"names {module}.{name}, which data never needs")


def _unwrap(tree):
    """Nested containers with _Plain leaves -> the same with NumPy arrays."""
    if isinstance(tree, dict):
        return {_unwrap(k): _unwrap(v) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_unwrap(v) for v in tree)
    return tree.value if isinstance(tree, _Plain) else tree


def safe_pickle(path: str | Path) -> dict:
    """Load a pickle of nested containers, numbers, text and numeric arrays, also one written by Python 2 (latin1).

    Raises InputError on a damaged file and on any name outside that list, without running it.
    """
    try:
        with open(path, "rb") as file:
            return _unwrap(_SafeUnpickler(file, encoding="latin1").load())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {ACCEPTED}") from None
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: refused, it {error}; get the file from its publisher again") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"{path}: is damaged ({type(error).__name__}); "
                         "get the file from its publisher again") from error


# ---------------------------------------------------------------------------------------------- the VOCASET folder

@dataclass
class Voca:
    folder: Path
    verts: np.ndarray                  # (N, V, 3) metres, memory-mapped: 7 GB in the real set
    index: dict                        # {subject: {sentence: {frame: row}}}
    audio: dict                        # {subject: {sentence: {"audio", "sample_rate"}}}
    templates: dict                    # {subject: (V, 3)} metres
    faces: Int[np.ndarray, "F 3"]
    marks: Int[np.ndarray, " 68"]      # landmark vertices
    key: list                          # names, sizes and times of the files, for the cache


def _open_verts(path: Path) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"{path}: no such file; {ACCEPTED}")
    try:
        verts = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: is damaged or cut short ({error}); get the file again") from error
    if verts.ndim != 3 or verts.shape[2] != 3 or verts.dtype.kind != "f":
        raise InputError(f"{path}: is {verts.shape} {verts.dtype}, want (N, V, 3) floats; get the file again")
    return verts


def _ply_header(data: bytes) -> tuple[str, list, int]:
    """(format, [(element, count, [property words])], where the body starts)."""
    end = data.index(b"end_header\n") + len(b"end_header\n")
    kind, elements = "", []
    for words in (line.split() for line in data[:end].decode("ascii").splitlines()):
        if words[0] == "format":
            kind = words[1]
        elif words[0] == "element":
            elements.append((words[1], int(words[2]), []))
        elif words[0] == "property":
            elements[-1][2].append(words[1:])
    return kind, elements, end


PLY_TYPES = {"char": "i1", "uchar": "u1", "short": "<i2", "ushort": "<u2", "int": "<i4", "uint": "<u4", "float": "<f4",
             "double": "<f8", "int8": "i1", "uint8": "u1", "int16": "<i2", "uint16": "<u2", "int32": "<i4",
             "uint32": "<u4", "float32": "<f4", "float64": "<f8"}


def _ply_faces(path: Path) -> tuple[int, np.ndarray]:
    """(number of vertices, triangles (F, 3)) of an ascii or binary little-endian .ply whose second element is face."""
    data = path.read_bytes().replace(b"end_header\r\n", b"end_header\n", 1)
    kind, elements, start = _ply_header(data)
    (first, n_verts, v_props), (second, n_faces, f_props) = elements[:2]
    if (first, second) != ("vertex", "face") or len(f_props) != 1 or f_props[0][0] != "list":
        raise ValueError("want vertices, then faces with one list of indices")
    if kind == "ascii":
        lines = data[start:].decode("ascii").split("\n")[n_verts:n_verts + n_faces]
        table = np.array([line.split() for line in lines], dtype=np.int64).reshape(n_faces, 4)  # unequal rows raise
        return n_verts, _triangles(table[:, 0], table[:, 1:], n_verts)
    if kind != "binary_little_endian":
        raise ValueError(f"format {kind} is not read")
    start += n_verts * sum(np.dtype(PLY_TYPES[p[0]]).itemsize for p in v_props)
    row = np.dtype([("n", PLY_TYPES[f_props[0][1]]), ("v", PLY_TYPES[f_props[0][2]], 3)])
    table = np.frombuffer(data, row, n_faces, start)
    return n_verts, _triangles(table["n"], table["v"], n_verts)


def _triangles(counts: np.ndarray, faces: np.ndarray, n_verts: int) -> np.ndarray:
    if (counts != 3).any() or faces.min(initial=0) < 0 or faces.max(initial=0) >= n_verts:
        raise ValueError("want triangles of the vertices listed")
    return faces.astype(np.int64)


def _find_faces(folder: Path, n_verts: int) -> np.ndarray:
    """Faces of the first .ply in the folder or its templates/ that has n_verts vertices."""
    paths = sorted(folder.glob("*.ply")) + sorted(folder.glob("templates/*.ply"))
    for path in paths:
        try:
            count, faces = _ply_faces(path)
        except (ValueError, KeyError, IndexError) as error:
            raise InputError(f"{path}: is not a triangle .ply, ascii or binary little-endian ({error}); "
                             "put FLAME_sample.ply of VOCA's repository in its place") from error
        if count == n_verts:
            return faces
    raise InputError(f"{folder}: no .ply with {n_verts} vertices here or in templates/ ({len(paths)} .ply looked at); "
                     "the faces come from one: VOCASET's templates download, or FLAME_sample.ply of VOCA's repository")


def _find_marks(folder: Path, n_verts: int) -> np.ndarray:
    path = folder / "landmarks68.txt"
    if not path.is_file() and n_verts != FLAME_VERTICES:
        raise InputError(f"{path}: no such file, and {n_verts} vertices are not FLAME's {FLAME_VERTICES}; "
                         "list the vertices of the 68 iBUG landmarks in it")
    try:
        marks = np.array(path.read_text().split() if path.is_file() else FLAME_LANDMARKS, dtype=np.int64)
    except ValueError:
        marks = np.empty(0, np.int64)
    if marks.shape != (68,) or marks.min() < 0 or marks.max() >= n_verts:
        raise InputError(f"{path}: want 68 whole numbers from 0 to {n_verts - 1}; write the landmark vertices there")
    return marks


def check_parts(folder: Path) -> None:
    """Raise InputError when a file of the layout is missing."""
    missing = [name for name in PARTS if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder}: has no {', '.join(missing)}; {ACCEPTED}")


def _nested(tree, depth: int) -> bool:
    """Whether tree is dicts in dicts, this deep."""
    return isinstance(tree, dict) and (depth == 1 or all(_nested(branch, depth - 1) for branch in tree.values()))


def open_folder(folder: Path) -> Voca:
    """Everything of a VOCASET-layout folder (Sec. 4.1), vertices memory-mapped. InputError on any fault of it."""
    verts = _open_verts(folder / "data_verts.npy")
    index, audio, templates = (safe_pickle(folder / f"{name}.pkl")
                               for name in ("subj_seq_to_idx", "raw_audio_fixed", "templates"))
    depths = (("subj_seq_to_idx", index, 3), ("raw_audio_fixed", audio, 3), ("templates", templates, 1))
    for name, tree, depth in depths:
        if not tree or not _nested(tree, depth):
            raise InputError(f"{folder / name}.pkl: is not laid out as VOCASET's; get it from its publisher again")
    rows = [int(row) for seqs in index.values() for frames in seqs.values() for row in frames.values()]
    if rows and not 0 <= min(rows) <= max(rows) < len(verts):
        raise InputError(f"{folder}: subj_seq_to_idx.pkl speaks of rows {min(rows)} to {max(rows)}, "
                         f"data_verts.npy has {len(verts)}; take both from the same download")
    files = sorted(p for p in folder.iterdir() if p.is_file())
    key = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return Voca(folder, verts, index, audio, templates, _find_faces(folder, verts.shape[1]),
                 _find_marks(folder, verts.shape[1]), key)


def _pick(wanted: list[str] | int | None, names: list[str], what: str, folder: Path) -> list[str]:
    """The names wanted, out of those that exist."""
    if wanted is None:
        return names
    if isinstance(wanted, int):
        if wanted < 1:
            raise InputError(f"{folder}: {wanted} {what} asked for; ask for 1 or more")
        return names[:wanted]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise InputError(f"{folder}: no {what} {', '.join(unknown)}; there are {', '.join(names)}")
    return list(wanted)


def choose(voca: Voca, subjects, sentences) -> list[tuple[str, str]]:
    """(subject, sentence) pairs to load, in a fixed order."""
    everyone = sorted(voca.index)
    default = [s for s in VOCA_SPLIT["train"] if s in everyone]
    if subjects is None or isinstance(subjects, int):
        subjects = _pick(subjects, default or everyone, "subjects", voca.folder)
    subjects = _pick(subjects, everyone, "subjects", voca.folder)
    known = sorted({seq for s in subjects for seq in voca.index[s]})
    if not isinstance(sentences, int):
        names = _pick(sentences, known, "sentences", voca.folder)
        return [(s, seq) for s in subjects for seq in names if seq in voca.index[s]]
    return [(s, seq) for s in subjects
            for seq in _pick(sentences, sorted(voca.index[s]), "sentences", voca.folder)]


# ---------------------------------------------------------------------------------------------- paint

PALETTES = [  # sRGB 0..1: skin, lips, hair and brows, iris
    ((0.87, 0.68, 0.57), (0.72, 0.36, 0.35), (0.30, 0.20, 0.13), (0.30, 0.45, 0.60)),
    ((0.55, 0.38, 0.28), (0.50, 0.24, 0.24), (0.08, 0.06, 0.06), (0.22, 0.13, 0.08)),
    ((0.80, 0.58, 0.43), (0.68, 0.30, 0.30), (0.12, 0.09, 0.08), (0.33, 0.22, 0.12)),
    ((0.93, 0.76, 0.68), (0.80, 0.42, 0.42), (0.66, 0.46, 0.22), (0.32, 0.50, 0.36))]
LIGHTS = 6            # rooms drawn from the seed for folders that bring none


def _inside(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Which of points (V, 2) lie in the polygon (P, 2)."""
    polygon = np.round(outline * 1000).astype(np.int32)  # OpenCV's exact test wants a contour; 0.001 dm = 0.1 mm
    return np.array([cv2.pointPolygonTest(polygon, (float(x), float(y)), False) >= 0 for x, y in points * 1000])


def _near_line(points: np.ndarray, line: np.ndarray, radius: float) -> np.ndarray:
    """Which of points (V, 3) lie within radius of the polyline (P, 3)."""
    start, step = line[:-1], np.diff(line, axis=0)
    along = np.einsum("vsc,sc->vs", points[:, None] - start, step) / np.maximum((step**2).sum(1), 1e-9)
    foot = start + np.clip(along, 0, 1)[..., None] * step  # (V, P - 1, 3)
    return np.linalg.norm(points[:, None] - foot, axis=2).min(1) < radius


def _is_hair(v: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Above a hair line from over the forehead, over the ears, down to the nape; v (V, 3), landmarks m (68, 3)."""
    brow, mouth, ear = m[17:27, 1].mean(), m[48:68, 1].mean(), m[[0, 16], 2].mean()
    face = brow - m[33, 1]  # brows to the base of the nose: the forehead is about as high
    at_z = [ear - 0.75, ear - 0.45, ear - 0.1, m[[17, 26], 2].mean(), m[27, 2]]
    return v[:, 1] > np.interp(v[:, 2], at_z, [mouth, mouth + 0.3 * face, brow + 0.1 * face, brow + 0.5 * face,
                                              brow + 0.85 * face])


def paint_head(template: Float[np.ndarray, "V 3"], marks: Int[np.ndarray, " 68"],
               palette: int = 0) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, " V"]]:
    """Colours (V, 3) in 0..1 and gloss (V,) for a head that has none: skin, lips, brows, hair, FLAME's eyeballs.

    template: neutral vertices, head frame, dm. marks: its landmark vertices. palette counts round PALETTES.
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


def open_look(folder: Path, seed: int) -> Look:
    """Albedos, gloss and lights (L, 9, 3): the folder's own files where it has them, else lights from the seed."""
    rng = np.random.default_rng([seed, 1])
    try:
        read = {name: np.load(folder / f"{name}.npy", allow_pickle=False)
                for name in ("albedo", "gloss", "lights") if (folder / f"{name}.npy").is_file()}
        path = folder / "factors.json"
        factors = json.loads(path.read_text()) if path.is_file() else {}
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{folder}: albedo.npy, gloss.npy, lights.npy or factors.json is damaged ({error}); "
                         "write the stand-in heads again with toyset.py") from error
    lights = read["lights"] if "lights" in read else mesh.light_set(LIGHTS, rng)
    return Look(read.get("albedo"), read.get("gloss"), lights, factors)
