"""mesh_takes.py - Sec. 4.1: takes from a folder in VOCASET's layout: planned, rendered, described.

VOCASET's training files hold no pictures, so its meshes are rendered here with our own colours,
light and head motion: a substitution.

In:  what voca.py and look.py read: meshes at 60 fps, sound, colours, lights. Out: list[Take].
Read next: synthetic/rasteriser.py, tracking.py (the basis of expressions).
"""

import contextlib
import functools
import multiprocessing
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy as np
from tqdm import tqdm

import tracking
from data.look import PALETTES, Look, open_look, paint_head
from data.take import Take, cache_paths, check_disk, have, write_pair
from data.voca import Voca, choose, fault_of, fault_of_head, open_folder
from synthetic import rasteriser
from synthetic.cameras import camera_of_motion, default_camera, head_motion, project
from tools import mine
from tools.errors import InputError, first_line
from tools.media import SAMPLE_RATE, to_mono_16k

MESH_FPS = 60         # VOCASET's scanner; every second frame is kept
RATES = 4000, 400000  # of sound, samples a second
MOST_CHANNELS = 8
EXPRESSIONS = 16      # directions of the expression basis
BLOCK = 8             # frames rendered at a time, in one process
POOL_FROM = 2e7       # pixels: from about half a minute on one core, every core renders
BLAS_THREADS = "OPENBLAS_NUM_THREADS"  # read when a process loads NumPy


@dataclass
class _Plan:
    """A take of meshes before it is rendered."""
    subject: str
    sentence: str
    rows: np.ndarray            # (T,) of data_verts
    ids: np.ndarray             # (T,)
    wave: np.ndarray
    origin: np.ndarray          # (3,) metres
    template: np.ndarray        # (V, 3) head frame, dm
    head_to_world: np.ndarray   # (T, 4, 4)
    labels: dict

    @property
    def name(self) -> str:
        return f"{self.subject}/{self.sentence}"


def _shown(value) -> str:
    """A wrong value in an error message."""
    return " ".join(repr(value).split())[:40]


def _wave_of(voca: Voca, subject: str, sentence: str) -> np.ndarray | None:
    """The sentence's sound at 16 kHz, None where there is none that lasts two frames."""
    entry = voca.audio.get(subject, {}).get(sentence, {})
    if entry.get("audio") is None:
        return None
    fault = functools.partial(fault_of, voca, "raw_audio_fixed.pkl", subject, sentence)
    rate = entry.get("sample_rate")
    rate = rate.item() if isinstance(rate, np.ndarray) and rate.size == 1 else rate
    if not isinstance(rate, Real) or not RATES[0] <= rate <= RATES[1]:
        raise fault(f"its sample_rate is {_shown(rate)}, want {RATES[0]} to {RATES[1]} samples a "
                    "second")
    try:
        samples = np.asarray(entry["audio"])
        beside = samples.ndim == 2 and samples.shape[1] > MOST_CHANNELS
        if samples.dtype.kind not in "iuf" or beside:
            raise ValueError(f"sound of shape {samples.shape} and type {samples.dtype}")
        wave = to_mono_16k(samples, int(rate)) if samples.size else np.zeros(0)
    except (ValueError, TypeError) as error:
        raise fault(f"its audio cannot be used: {first_line(error)}") from error
    return wave if len(wave) >= SAMPLE_RATE / MESH_FPS * 2 else None


def _rows_of(voca: Voca, subject: str, sentence: str) -> dict[int, int]:
    """{frame at 60 fps: row of data_verts}; a frame whose row is None is none."""
    fault = functools.partial(fault_of, voca, "subj_seq_to_idx.pkl", subject, sentence)
    rows = {frame: row for frame, row in voca.index[subject][sentence].items() if row is not None}
    for frame, row in rows.items():
        if not all(isinstance(number, Real) and 0 <= number == number // 1
                   for number in (frame, row)):
            raise fault(f"frame {_shown(frame)} is row {_shown(row)}, want whole numbers from 0 on")
        if row >= len(voca.verts):
            raise fault(f"frame {frame} is row {row}, data_verts.npy has {len(voca.verts)} rows")
    return {int(frame): int(row) for frame, row in rows.items()}


def _template(voca: Voca, subject: str) -> np.ndarray:
    """Neutral vertices (V, 3) of a subject, metres."""
    found, want = voca.templates.get(subject), voca.verts.shape[1:]
    try:
        template = np.asarray(() if found is None else found, dtype=float)
    except (ValueError, TypeError):
        template = np.full(want, np.nan)
    if template.shape == want:
        wrong = fault_of_head(template)
    else:
        wrong = f"is {template.shape}, want {want}" if template.size else "is missing"
    if wrong:
        raise InputError(f"{voca.folder / 'templates.pkl'}: the template of {subject} {wrong}; "
                         "take it from the same download as data_verts.npy, in metres")
    return template


def _plan(voca: Voca, look: Look, subject: str, sentence: str, everyone: list[str], seed: int
          ) -> _Plan | None:
    """How a take is going to look; None, said aloud, where it has no sound or no frames."""
    wave, index = _wave_of(voca, subject, sentence), _rows_of(voca, subject, sentence)
    if wave is None:
        print(f"skipped {subject}/{sentence}: it has no sound in raw_audio_fixed.pkl")
        return None
    even = sorted(frame for frame in index if frame % 2 == 0)
    kept = [frame for frame in even if frame / MESH_FPS <= len(wave) / SAMPLE_RATE]
    if len(kept) < 2:  # one to train on, one held out
        print(f"skipped {subject}/{sentence}: it has no frames with sound in subj_seq_to_idx.pkl, "
              "or one alone")
        return None
    if len(kept) < len(even):
        print(f"{subject}/{sentence}: left out {len(even) - len(kept)} of {len(even)} frames, "
              "which are beyond its sound")
    template = _template(voca, subject)
    origin = template[voca.marks[[0, 16]]].mean(0)
    rng = np.random.default_rng([seed, zlib.crc32(f"{subject}/{sentence}".encode())])
    drawn = {"albedo": int(rng.integers(len(PALETTES if look.albedo is None else look.albedo))),
             "light": int(rng.integers(len(look.lights)))}
    ids = np.array(kept) // 2
    motion = head_motion(int(ids[-1]) + 1, MESH_FPS / 2, rng)[ids]
    chosen = look.factors.get(subject, {}).get(sentence, drawn)
    labels = {"id": everyone.index(subject), "al": chosen["albedo"], "ill": chosen["light"]}
    labels = {name: int(label) for name, label in labels.items()}
    rows, template = np.array([index[frame] for frame in kept]), (template - origin) * 10
    return _Plan(subject, sentence, rows, ids, wave, origin, template, motion, labels)


def _marks_of(voca: Voca, plan: _Plan) -> np.ndarray:
    """3D landmarks (T, 68, 3) of every frame, head frame, dm."""
    marks = [voca.verts[row, voca.marks] for row in plan.rows]  # so little of the big file is read
    return (np.stack(marks).astype(float) - plan.origin) * 10


@contextlib.contextmanager
def _workers(pixels: int) -> Iterator[ProcessPoolExecutor | None]:
    """One process per core for a long rendering; None for one shorter than their start."""
    if pixels < POOL_FROM or os.cpu_count() == 1:
        yield None
        return
    given = os.environ.get(BLAS_THREADS)
    os.environ[BLAS_THREADS] = "1"  # of each: more threads than cores wait for one another
    pool = ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"),
                               mine.take_over, (mine.in_use,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        del os.environ[BLAS_THREADS]
        os.environ |= {} if given is None else {BLAS_THREADS: given}


def _render(voca: Voca, look: Look, plan: _Plan, size: int, frames: np.ndarray, masks: np.ndarray,
            bar: tqdm, pool: ProcessPoolExecutor | None) -> None:
    """Render the take into frames (T, H, W, 3) and masks (T, H, W), BLOCK frames at a time."""
    colors, gloss = paint_head(plan.template, voca.marks, plan.labels["al"])
    if look.albedo is not None:
        colors, gloss = look.albedo[plan.labels["al"]], look.gloss
    portraits = functools.partial(rasteriser.portraits, faces=voca.faces, colors=colors,
                                  gloss=gloss, light=look.lights[plan.labels["ill"]], size=size)
    blocks = [slice(k, k + BLOCK) for k in range(0, len(plan.rows), BLOCK)]
    vertices = ((voca.verts[plan.rows[block]] - plan.origin) * 10 for block in blocks)
    poses = (plan.head_to_world[block] for block in blocks)
    pictures = (map if pool is None else pool.map)(portraits, vertices, poses)
    for block, (images, covers) in zip(blocks, pictures):
        if not covers.any((1, 2)).all():
            raise fault_of(voca, "data_verts.npy", plan.subject, plan.sentence,
                           "a frame does not show the head, which is not where its template is")
        frames[block], masks[block] = images, covers
        bar.update(len(images))


def load_meshes(folder: Path, size: int, cache_dir: Path, subjects: list[str] | int | None,
                sentences: list[str] | int | None, seed: int) -> list[Take]:
    """Takes of a folder, rendered once and kept in cache_dir; errors as in data.prepare.load."""
    voca = open_folder(folder)
    look = open_look(folder, seed, voca.verts.shape[1])
    pairs = choose(voca, subjects, sentences)
    if not pairs:
        raise InputError(f"{folder / 'subj_seq_to_idx.pkl'}: lists no sentence of the subjects "
                         "chosen; choose others, or get the file from its publisher again")
    everyone = sorted({subject for subject, _ in pairs})
    plans = [_plan(voca, look, *pair, everyone, seed) for pair in pairs]
    plans = [plan for plan in plans if plan is not None]
    if not plans:
        raise InputError(f"{folder}: none of the {len(pairs)} sentences chosen has frames and "
                         "sound; choose others")
    voca.audio = {}  # several hundred MB in the real set
    paths = [cache_paths(cache_dir, plan.name, voca.key, size, seed) for plan in plans]
    _render_missing(voca, look, plans, paths, size)
    return _mesh_takes(voca, plans, paths, size)


def _render_missing(voca: Voca, look: Look, plans: list[_Plan], paths: list[tuple[Path, Path]],
                    size: int) -> None:
    """Render the takes whose frames are not in the cache yet."""
    todo = [(plan, pair) for plan, pair in zip(plans, paths) if not have(pair)]
    if not todo:
        return
    _check_vertices(voca, [plan for plan, _ in todo])
    total, cache_dir = sum(len(plan.rows) for plan, _ in todo), paths[0][0].parent
    own = voca.folder.resolve().is_relative_to(cache_dir.resolve())  # stand-in heads of this run
    written = sum(p.stat().st_size for p in voca.folder.iterdir()) if own else 0
    check_disk(cache_dir, total, size, written)
    with (_workers(total * size * size) as pool,
          tqdm(total=total, unit="frame", desc="rendering", mininterval=0.5) as bar):
        for plan, pair in todo:
            fill = functools.partial(_render, voca, look, plan, size, bar=bar, pool=pool)
            write_pair(pair, len(plan.rows), size, fill)


def _check_vertices(voca: Voca, plans: list[_Plan]) -> None:
    """Raise InputError where a mesh that is going to be rendered is no head in metres."""
    every = [(plan, row) for plan in plans for row in plan.rows]
    for plan, row in tqdm(every, "checking meshes", unit="frame", mininterval=0.5, leave=False):
        if wrong := fault_of_head(voca.verts[row]):
            raise fault_of(voca, "data_verts.npy", plan.subject, plan.sentence,
                           f"row {row} {wrong}")


def _mesh_takes(voca: Voca, plans: list[_Plan], paths: list[tuple[Path, Path]], size: int
                ) -> list[Take]:
    """The takes, whose expressions share one basis."""
    marks = [_marks_of(voca, plan) for plan in plans]  # each (T, 68, 3)
    offsets = [m - plan.template[voca.marks] for m, plan in zip(marks, plans)]
    neutral = {plan.subject: plan.template[voca.marks] for plan in plans}
    every = max(1, sum(map(len, offsets)) // 4000)  # enough frames for a basis of 16
    some = np.concatenate(offsets)[::every]
    basis = tracking.pca_model(np.stack(list(neutral.values())), some, EXPRESSIONS).exp_basis
    K, distance = default_camera(size)
    backdrop = np.round(np.array(rasteriser.BACKDROP) * 255).astype(np.uint8)
    background = np.broadcast_to(backdrop, (size, size, 3)).copy()
    takes = []
    for plan, points, offset, pair in zip(plans, marks, offsets, paths):
        cameras = camera_of_motion(plan.head_to_world, distance)
        f_exp = tracking.expression_coefficients(basis, offset)
        frames, masks = (np.load(path, mmap_mode="r") for path in pair)
        takes.append(Take(plan.name, plan.subject, MESH_FPS / 2, plan.ids,
                          project(points, K, cameras), K, cameras, f_exp, basis, plan.wave,
                          plan.labels, frames, masks, background, "mesh"))
    return takes
