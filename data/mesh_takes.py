"""mesh_takes.py - takes from a folder in VOCASET's layout (Sec. 4.1): plan each one, render it, describe it.

In:  what voca.py and look.py read: meshes at 60 fps, sound, colours, lights. Out: list[Take].
VOCASET's training files hold no pictures, so its meshes are rendered here with our own colours, light and head
motion: a substitution. Next: synthetic/rasteriser.py, tracking.py (the basis of expressions).
"""

import contextlib
import functools
import multiprocessing
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

import tracking
from data.look import PALETTES, Look, open_look, paint_head
from data.take import Take, cache_paths, check_disk, have, write_pair
from data.voca import Voca, choose, open_folder
from synthetic import rasteriser
from synthetic.cameras import camera_of_motion, default_camera, head_motion, project
from tools.errors import InputError
from tools.media import to_mono_16k

MESH_FPS = 60         # VOCASET's scanner; every second frame is kept
EXPRESSIONS = 16      # directions of the expression basis
BLOCK = 8             # frames rendered at a time, in one process
POOL_FROM = 2e7       # pixels: from about half a minute on one core, every core renders


@dataclass
class _Plan:
    """A take of meshes before it is rendered."""
    subject: str
    sentence: str
    rows: np.ndarray            # (T,) into data_verts
    ids: np.ndarray             # (T,)
    wave: np.ndarray
    origin: np.ndarray          # (3,) metres
    template: np.ndarray        # (V, 3) head frame, dm
    head_to_world: np.ndarray   # (T, 4, 4)
    labels: dict

    @property
    def name(self) -> str:
        return f"{self.subject}/{self.sentence}"


def _wave_of(voca: Voca, subject: str, sentence: str) -> np.ndarray | None:
    """The sentence's sound at 16 kHz, None where there is none that lasts a frame."""
    entry = voca.audio.get(subject, {}).get(sentence)
    if not entry or len(np.asarray(entry["audio"])) < entry["sample_rate"] / MESH_FPS * 2:
        return None
    try:
        return to_mono_16k(np.asarray(entry["audio"]), int(entry["sample_rate"]))
    except ValueError as error:
        raise InputError(f"{voca.folder / 'raw_audio_fixed.pkl'}: {subject} {sentence}: {error}; "
                         "get the file from its publisher again") from error


def _template(voca: Voca, subject: str) -> np.ndarray:
    """Neutral vertices (V, 3) of a subject, metres."""
    template = np.asarray(voca.templates.get(subject, ()), dtype=float)
    if template.shape != voca.verts.shape[1:]:
        found = f"is {template.shape}, want {voca.verts.shape[1:]}" if template.size else "is missing"
        raise InputError(f"{voca.folder / 'templates.pkl'}: the template of {subject} {found}; "
                         "take it from the same download as data_verts.npy")
    return template


def _plan(voca: Voca, look: Look, subject: str, sentence: str, everyone: list[str],
          seed: int) -> _Plan | None:
    frames = {int(f): int(row) for f, row in voca.index[subject][sentence].items() if int(f) % 2 == 0}
    wave = _wave_of(voca, subject, sentence)
    if wave is None or not frames:
        print(f"skipped {subject}/{sentence}: it has no {'sound' if wave is None else 'frames'}")
        return None
    template = _template(voca, subject)
    origin = template[voca.marks[[0, 16]]].mean(0)
    rng = np.random.default_rng([seed, zlib.crc32(f"{subject}/{sentence}".encode())])
    drawn = {"albedo": int(rng.integers(len(PALETTES if look.albedo is None else look.albedo))),
             "light": int(rng.integers(len(look.lights)))}
    ids = np.array(sorted(frames)) // 2
    motion = head_motion(int(ids[-1]) + 1, MESH_FPS / 2, rng)[ids]
    chosen = look.factors.get(subject, {}).get(sentence, drawn)
    labels = {"id": everyone.index(subject), "albedo": int(chosen["albedo"]), "light": int(chosen["light"])}
    return _Plan(subject, sentence, np.array([frames[f] for f in sorted(frames)]), ids, wave, origin,
                 (template - origin) * 10, motion, labels)


def _marks_of(voca: Voca, plan: _Plan) -> np.ndarray:
    """3D landmarks (T, 68, 3) of every frame, head frame, dm; row by row, so that little of the big file is read."""
    return (np.stack([voca.verts[row, voca.marks] for row in plan.rows]).astype(float) - plan.origin) * 10


@contextlib.contextmanager
def _workers(pixels: int) -> Iterator[ProcessPoolExecutor | None]:
    """One process a core for a long rendering; None for a short one, which would be over before they have started."""
    if pixels < POOL_FROM or os.cpu_count() == 1:
        yield None
        return
    pool = ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _render(voca: Voca, look: Look, plan: _Plan, size: int, frames: np.ndarray, masks: np.ndarray,
            bar: tqdm, pool: ProcessPoolExecutor | None) -> None:
    """Render the take into frames (T, H, W, 3) and masks (T, H, W), BLOCK frames at a time."""
    colors, gloss = paint_head(plan.template, voca.marks, plan.labels["albedo"])
    if look.albedo is not None:
        colors, gloss = look.albedo[plan.labels["albedo"]], look.gloss
    portraits = functools.partial(rasteriser.portraits, faces=voca.faces, colors=colors, gloss=gloss,
                                  light=look.lights[plan.labels["light"]], size=size)
    blocks = [slice(k, k + BLOCK) for k in range(0, len(plan.rows), BLOCK)]
    vertices = ((voca.verts[plan.rows[block]] - plan.origin) * 10 for block in blocks)
    poses = (plan.head_to_world[block] for block in blocks)
    for block, (images, covers) in zip(blocks, (map if pool is None else pool.map)(portraits, vertices, poses)):
        frames[block], masks[block] = images, covers
        bar.update(len(images))


def load_meshes(folder: Path, size: int, cache_dir: Path, subjects: list[str] | int | None,
                sentences: list[str] | int | None, seed: int) -> list[Take]:
    """Takes of a folder, rendered once and kept in cache_dir; arguments and errors are those of data.load."""
    voca, look = open_folder(folder), open_look(folder, seed)
    pairs = choose(voca, subjects, sentences)
    everyone = sorted({subject for subject, _ in pairs})
    plans = [_plan(voca, look, *pair, everyone, seed) for pair in pairs]
    plans = [plan for plan in plans if plan is not None]
    if not plans:
        raise InputError(f"{folder}: none of the {len(pairs)} sentences chosen has frames and sound; choose others")
    voca.audio = {}  # several hundred MB in the real set
    paths = [cache_paths(cache_dir, plan.name, voca.key, size, seed) for plan in plans]
    todo = [i for i in range(len(plans)) if not have(paths[i])]
    if todo:
        total = sum(len(plans[i].rows) for i in todo)
        check_disk(cache_dir, total, size)
        with _workers(total * size * size) as pool, tqdm(total=total, unit="frame", desc="rendering",
                                                         mininterval=0.5) as bar:
            for i in todo:
                write_pair(paths[i], len(plans[i].rows), size,
                           lambda frames, masks: _render(voca, look, plans[i], size, frames, masks, bar, pool))
    return _mesh_takes(voca, plans, paths, size)


def _mesh_takes(voca: Voca, plans: list[_Plan], paths: list[tuple[Path, Path]], size: int) -> list[Take]:
    marks = [_marks_of(voca, plan) for plan in plans]  # each (T, 68, 3)
    offsets = [m - plan.template[voca.marks] for m, plan in zip(marks, plans)]
    neutral = {plan.subject: plan.template[voca.marks] for plan in plans}
    every = max(1, sum(map(len, offsets)) // 4000)  # enough frames for a basis of 16
    some = np.concatenate(offsets)[::every]
    basis = tracking.pca_model(np.stack(list(neutral.values())), some, EXPRESSIONS).exp_basis
    K, distance = default_camera(size)
    background = np.broadcast_to(np.round(np.array(rasteriser.BACKDROP) * 255).astype(np.uint8), (size, size, 3)).copy()
    takes = []
    for plan, points, offset, pair in zip(plans, marks, offsets, paths):
        cameras = camera_of_motion(plan.head_to_world, distance)
        frames, masks = (np.load(path, mmap_mode="r") for path in pair)
        takes.append(Take(plan.name, plan.subject, MESH_FPS / 2, plan.ids, project(points, K, cameras), K, cameras,
                          tracking.expression_coefficients(basis, offset), basis, plan.wave, plan.labels,
                          frames, masks, background, "mesh"))
    return takes
