"""voca.py - Sec. 4.1: reads a folder in VOCASET's layout, the real one or synthetic/dataset.py's.

In:  data_verts.npy (N, V, 3) metres, 60 fps; templates.pkl {subject: (V, 3)}; a .ply with faces;
     subj_seq_to_idx.pkl {subject: {sentence: {frame: row of data_verts}}};
     raw_audio_fixed.pkl {subject: {sentence: {"audio", "sample_rate"}}}.
Out: Voca: all of it, checked, vertices memory-mapped.
Read next: look.py (its colours and lights), mesh_takes.py (renders takes from both).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int
from plyfile import PlyData, PlyParseError

from data.safe_pickle import safe_pickle
from tools.errors import InputError

FLAME_VERTICES, FLAME_EYES = 5023, (slice(3931, 4477), slice(4477, 5023))
FLAME_LANDMARKS = [  # vertices of the 68 iBUG landmarks in FLAME's topology
    2210, 1963, 3056, 3424, 3423, 3421, 3419, 3416, 3414, 3635, 3643, 3646, 3650, 3652, 2004, 568,
    728, 2567, 337, 338, 3154, 3712, 3868, 2135, 27, 18, 1430, 3560, 3561, 3501, 3564, 2751, 2793,
    3556, 1676, 1623, 2428, 2453, 2494, 3631, 2278, 2359, 3832, 1343, 1218, 1154, 995, 829, 2820,
    2864, 2774, 3543, 1657, 1749, 1703, 1774, 1802, 3503, 2905, 2881, 2845, 2787, 3531, 1670, 1730,
    1804, 3504, 2907]
VOCA_SPLIT = {  # by subject, as published in VOCA's README
    "train": ["FaceTalk_170728_03272_TA", "FaceTalk_170904_00128_TA", "FaceTalk_170725_00137_TA",
              "FaceTalk_170915_00223_TA", "FaceTalk_170811_03274_TA", "FaceTalk_170913_03279_TA",
              "FaceTalk_170904_03276_TA", "FaceTalk_170912_03278_TA"],
    "val": ["FaceTalk_170811_03275_TA", "FaceTalk_170908_03277_TA"],
    "test": ["FaceTalk_170809_00138_TA", "FaceTalk_170731_00024_TA"]}
PARTS = ("data_verts.npy", "subj_seq_to_idx.pkl", "raw_audio_fixed.pkl", "templates.pkl")
ACCEPTED = ("give a folder with data_verts.npy, subj_seq_to_idx.pkl, raw_audio_fixed.pkl, "
            "templates.pkl and a .ply with the faces (VOCASET: register at voca.is.tue.mpg.de; or "
            "leave --data out for stand-in heads), a clip NAME.mp4 with NAME.landmarks.npy beside "
            "it, or a folder of such clips")


@dataclass
class Voca:
    """A checked folder; `row` in the index is a row of verts."""
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
        fault = f"is damaged or cut short ({error}); get the file again"
        raise InputError(f"{path}: {fault}") from error
    if verts.ndim != 3 or verts.shape[2] != 3 or verts.dtype.kind != "f":
        found = f"is {verts.shape} {verts.dtype}, want (N, V, 3) floats"
        raise InputError(f"{path}: {found}; get the file again")
    return verts


PLY_FAULTS = PlyParseError, ValueError, LookupError, MemoryError  # of damaged files; huge counts


def read_ply(path: Path) -> tuple[int, np.ndarray]:
    """(number of vertices, triangles (F, 3)) of a .ply, text or binary. Raises PLY_FAULTS."""
    ply = PlyData.read(path)
    n_verts, face = len(ply["vertex"]), ply["face"]
    lists = [p.name for p in face.properties if p.name in ("vertex_indices", "vertex_index")]
    faces = np.stack(face[lists[0]])  # lists of unlike length raise a ValueError
    if faces.shape[1:] != (3,) or faces.min() < 0 or faces.max() >= n_verts:
        raise ValueError("want triangles of the vertices listed")
    return n_verts, faces.astype(np.int64)


def _find_faces(folder: Path, n_verts: int) -> np.ndarray:
    """Faces of the first .ply in the folder or its templates/ that has n_verts vertices."""
    paths = sorted(folder.glob("*.ply")) + sorted(folder.glob("templates/*.ply"))
    for path in paths:
        try:
            count, faces = read_ply(path)
        except PLY_FAULTS as error:
            raise InputError(f"{path}: is not a .ply of triangles ({error}); put FLAME_sample.ply "
                             "of VOCA's repository in its place") from error
        if count == n_verts:
            return faces
    raise InputError(f"{folder}: no .ply with {n_verts} vertices here or in templates/ "
                     f"({len(paths)} .ply looked at); the faces come from one: VOCASET's templates "
                     "download, or FLAME_sample.ply of VOCA's repository")


def _find_marks(folder: Path, n_verts: int) -> np.ndarray:
    path = folder / "landmarks68.txt"
    if not path.is_file() and n_verts != FLAME_VERTICES:
        raise InputError(f"{path}: no such file, and {n_verts} vertices are not FLAME's "
                         f"{FLAME_VERTICES}; list the vertices of the 68 iBUG landmarks in it")
    try:
        listed = path.read_text().split() if path.is_file() else FLAME_LANDMARKS
        marks = np.array(listed, dtype=np.int64)
    except ValueError:
        marks = np.empty(0, np.int64)
    if marks.shape != (68,) or marks.min() < 0 or marks.max() >= n_verts:
        raise InputError(f"{path}: want 68 whole numbers from 0 to {n_verts - 1}; "
                         "write the landmark vertices there")
    return marks


def check_parts(folder: Path) -> None:
    """Raise InputError when a file of the layout is missing."""
    missing = [name for name in PARTS if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder}: has no {', '.join(missing)}; {ACCEPTED}")


def _nested(tree, depth: int) -> bool:
    """Whether tree is dicts in dicts, this deep."""
    if not isinstance(tree, dict):
        return False
    return depth == 1 or all(_nested(branch, depth - 1) for branch in tree.values())


def open_folder(folder: Path) -> Voca:
    """All of a folder in VOCASET's layout (Sec. 4.1). Raises InputError on any fault of it."""
    verts = _open_verts(folder / "data_verts.npy")
    names, depths = ("subj_seq_to_idx", "raw_audio_fixed", "templates"), (3, 3, 1)
    index, audio, templates = (safe_pickle(folder / f"{name}.pkl") for name in names)
    for name, tree, depth in zip(names, (index, audio, templates), depths):
        if not tree or not _nested(tree, depth):
            raise InputError(f"{folder / name}.pkl: is not laid out as VOCASET's; "
                             "get it from its publisher again")
    rows = [int(row) for seqs in index.values() for frames in seqs.values()
            for row in frames.values()]
    if rows and not 0 <= min(rows) <= max(rows) < len(verts):
        fault = f"speaks of rows {min(rows)} to {max(rows)}, data_verts.npy has {len(verts)}"
        raise InputError(f"{folder}: subj_seq_to_idx.pkl {fault}; take both from the same download")
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
    return pick_pairs(voca.index, subjects, sentences, voca.folder)


def pick_pairs(index: dict, subjects: list[str] | int | None, sentences: list[str] | int | None,
               folder: Path) -> list[tuple[str, str]]:
    """Those (subject, sentence) pairs of {subject: {sentence: ...}} wanted, in a fixed order.

    Names, how many (the first ones; of sentences, per subject) or None for all. InputError: unknown
    names, with those that exist.
    """
    subjects = _pick(subjects, sorted(index), "subjects", folder)
    known = sorted({seq for s in subjects for seq in index[s]})
    if not isinstance(sentences, int):
        names = _pick(sentences, known, "sentences", folder)
        return [(s, seq) for s in subjects for seq in names if seq in index[s]]
    return [(s, seq) for s in subjects
            for seq in _pick(sentences, sorted(index[s]), "sentences", folder)]
