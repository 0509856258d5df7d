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
from jaxtyping import Float, Int
from plyfile import PlyData, PlyParseError

from data.safe_pickle import safe_pickle
from tools.errors import InputError, first_line, in_one_line

FLAME_VERTICES, FLAME_EYES = 5023, (slice(3931, 4477), slice(4477, 5023))
FLAME_FACES = 9976
TALL = 0.1, 1         # m: no head, with its neck or the shoulders, is smaller or taller
UNITS = {"millimetres": 1e-3, "centimetres": 1e-2, "decimetres": 0.1}
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
            "leave --data out for stand-in heads), a clip NAME.mp4, if need be with "
            "NAME.landmarks.npy beside it, a folder of such clips, or a prepared folder of AD-NeRF "
            "or RAD-NeRF")


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


def read_array(path: Path, mmap_mode: str | None = None) -> np.ndarray:
    """A .npy file of numbers. Raises InputError where it is missing, locked or damaged."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; {ACCEPTED}")
    try:
        with in_one_line(path):
            array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive")
    except InputError:
        raise
    except Exception as error:  # a damaged header can raise anything
        fault = f"is damaged or cut short ({first_line(error)}); get the file again"
        raise InputError(f"{path}: {fault}") from error
    return array


def _open_verts(path: Path) -> np.ndarray:
    verts = read_array(path, mmap_mode="r")
    if verts.ndim != 3 or verts.shape[2] != 3 or verts.dtype.kind != "f":
        found = f"is {verts.shape} {verts.dtype}, want (N, V, 3) floats"
        raise InputError(f"{path}: {found}; get the file again")
    return verts


def fault_of_head(vertices: Float[np.ndarray, "V 3"]) -> str | None:
    """What tells that vertices are not those of a head in metres; None where they may be."""
    if not np.isfinite(vertices).all():
        return "holds a vertex that is no number (NaN or infinite)"
    tall = float(np.ptp(vertices.astype(float), axis=0).max())
    if TALL[0] <= tall <= TALL[1]:
        return None
    units = [f" (it seems to be in {unit})" for unit, metres in UNITS.items()
             if TALL[0] <= tall * metres <= TALL[1]]
    return f"is {tall:.4g} m tall, want {TALL[0]} to {TALL[1]} m{''.join(units[:1])}"


# ---- faces and landmarks -------------------------------------------------------------------------

PLY_FAULTS = PlyParseError, ValueError, LookupError, MemoryError  # of damaged files; huge counts


def read_ply(path: Path) -> tuple[int, np.ndarray]:
    """(number of vertices, triangles (F, 3)) of a .ply, text or binary. Raises PLY_FAULTS."""
    ply = PlyData.read(path)
    n_verts, face = len(ply["vertex"]), ply["face"]
    lists = [p.name for p in face.properties if p.name in ("vertex_indices", "vertex_index")]
    faces = np.stack(face[lists[0]])  # lists of unlike length raise a ValueError
    if (faces.shape[1:] != (3,) or faces.dtype.kind not in "iu" or faces.min() < 0
            or faces.max() >= n_verts):
        raise ValueError("want triangles of the vertices listed")
    return n_verts, faces.astype(np.int64)


def _find_faces(folder: Path, n_verts: int) -> np.ndarray:
    """Faces of a .ply in the folder or its templates/ that has n_verts vertices.

    Of several, of the first that has as many faces as FLAME, else of the first. Hidden files, which
    a Mac puts beside each one, are none.
    """
    paths = [path for pattern in ("*.ply", "templates/*.ply")
             for path in sorted(folder.glob(pattern)) if not path.name.startswith(".")]
    fitting, faults = [], []
    for path in paths:
        try:
            with in_one_line(path):
                count, faces = read_ply(path)
        except InputError as error:
            faults.append(error)
        except PLY_FAULTS as error:
            faults.append(InputError(f"{path}: is not a .ply of triangles ({first_line(error)}); "
                                     "put FLAME_sample.ply of VOCA's repository in its place"))
        else:
            fitting += [faces] if count == n_verts else []
            if fitting and (n_verts != FLAME_VERTICES or len(fitting[-1]) == FLAME_FACES):
                return fitting[-1]
    if fitting:
        return fitting[0]
    raise faults[0] if faults else InputError(
        f"{folder}: no .ply with {n_verts} vertices here or in templates/ ({len(paths)} .ply "
        "looked at); the faces come from one: VOCASET's templates download, or FLAME_sample.ply of "
        "VOCA's repository")


def _find_marks(folder: Path, n_verts: int) -> np.ndarray:
    path = folder / "landmarks68.txt"
    if not path.is_file() and n_verts != FLAME_VERTICES:
        raise InputError(f"{path}: no such file, and {n_verts} vertices are not FLAME's "
                         f"{FLAME_VERTICES}; list the vertices of the 68 iBUG landmarks in it")
    try:
        with in_one_line(path):
            listed = path.read_text().split() if path.is_file() else FLAME_LANDMARKS
        marks = np.array(listed, dtype=np.int64)
    except (ValueError, OverflowError):
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


# ---- the pickles ---------------------------------------------------------------------------------

def fault_of(voca: Voca, file: str, subject: str, sentence: str, what: str) -> InputError:
    """The error of a sentence that a file of the folder spoils."""
    return InputError(f"{voca.folder / file}: {subject} {sentence}: {what}; get the file from its "
                      "publisher again, or choose others with --subjects and --sentences")


def _by_subject(path: Path) -> dict:
    """A pickle of {subject: ...}. Raises InputError where it is none."""
    tree = safe_pickle(path)
    if not isinstance(tree, dict) or not tree or not all(isinstance(name, str) for name in tree):
        raise InputError(f"{path}: is not laid out as VOCASET's, by subject; "
                         "get it from its publisher again")
    return tree


def _by_sentence(path: Path) -> dict[str, dict[str, dict]]:
    """A pickle of {subject: {sentence: {...}}}; what is None in it is empty."""
    tree = {subject: {} if sentences is None else sentences
            for subject, sentences in _by_subject(path).items()}
    for subject, sentences in tree.items():
        named = isinstance(sentences, dict) and all(isinstance(name, str) for name in sentences)
        wrong = [] if not named else [name for name, entry in sentences.items()
                                      if entry is not None and not isinstance(entry, dict)]
        if not named or wrong:
            raise InputError(f"{path}: {' '.join([subject, *wrong[:1]])}: is not laid out as "
                             "VOCASET's; get the file from its publisher again")
        tree[subject] = {name: entry or {} for name, entry in sentences.items()}
    return tree


def open_folder(folder: Path) -> Voca:
    """All of a folder in VOCASET's layout (Sec. 4.1). Raises InputError on any fault of it.

    What single sentences hold is checked when they are read: see mesh_takes.py.
    """
    verts = _open_verts(folder / "data_verts.npy")
    index, audio = (_by_sentence(folder / f"{name}.pkl")
                    for name in ("subj_seq_to_idx", "raw_audio_fixed"))
    templates = _by_subject(folder / "templates.pkl")
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    key = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return Voca(folder, verts, index, audio, templates, _find_faces(folder, verts.shape[1]),
                _find_marks(folder, verts.shape[1]), key)


# ---- which of it ---------------------------------------------------------------------------------

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
