"""disentangle.py - are the codes separate (Sec. 3.3), and do the lips follow the sound (Sec. 3.4)? Measured.

    python evaluate.py runs/heads --disentangle       writes disentangle.md, disentangle.csv and swaps.png into the run folder

The paper shows pictures. The stand-in heads have known factors, so here are numbers:
- recombination: person, albedo and light that were never seen together, with an expression, sound and pose of another
  person, against the true picture of that combination;
- leakage: one code moves between two values; a reader (factors.py) says how much every true factor moved;
- audio swap: codes and pose of sentence A, sound of sentence B; whose mouth is it?
In: a run on stand-in heads. Out: the figures, and a picture in which codes are exchanged one at a time.
"""
from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from tqdm import tqdm

from data.corpus import LABELS, Corpus
from dhnerf import CODES
from evaluation import factors, landmark_regressor, measures, tables
from evaluation.factors import FactorReader, World, head_poses
from evaluation.heldout import prepare_again, render_heldout
from evaluation.landmark_regressor import trained_landmarker
from inference.pictures import caption, enlarge, write_image
from inference.rendering import lip_features, render_frames
from inference.run import Run, load_run
from tools.errors import InputError

FRAMES = 6  # poses over which a change is averaged; frames a recombination
PAIRS = 2  # changes of one code a person
MOVED = (*CODES, "lips")  # what the leakage matrix moves: the four codes, and F_lip


@dataclass
class Bench:
    """What all three tests need: the run, its training frames and held-out frames, the true factors."""
    run: Run
    train: Corpus
    heldout: Corpus
    world: World

    def take_of(self, person: str, corpus: Corpus, last: bool = False) -> int:
        """Number of the first (or last) take of a person in `corpus`."""
        numbers = [n for n, take in enumerate(corpus.takes) if take.subject == person]
        return numbers[-1 if last else 0]


# ---------------------------------------------------------------------------------------------------------------------
# A scene: every input of Eq. 1 by itself, so that one of them can be exchanged


@dataclass(frozen=True)
class Scene:
    """Which value each input of Eq. 1 has: label rows `id`, `al`, `ill`; training frames `ex` and `lips` (corpus
    indices) from which C_ex and F_lip are taken; pose (T, 4, 4), head_to_world."""
    id: int
    al: int
    ill: int
    ex: np.ndarray
    lips: np.ndarray
    pose: np.ndarray

    def but(self, **changes) -> "Scene":
        return Scene(**{**self.__dict__, **changes})


def scene_of(bench: Bench, index: np.ndarray) -> Scene:
    """The scene that training frames `index` (T,) of one take show."""
    train = bench.train
    take = train.takes[train.take[index[0]]]
    return Scene(*(int(train.label[f][index[0]]) for f in LABELS), index, index,
                 head_poses(take, bench.world.size)[train.row[index]])


def rendered(bench: Bench, scene: Scene, f_a: np.ndarray | None = None) -> UInt8[np.ndarray, "T H W 3"]:
    """The model's pictures of a scene; f_a (T, w, d): sound features other than those of the frames `lips`."""
    run, take = bench.run, bench.train.takes[0]  # all takes have one camera and one background
    put = lambda rows: torch.from_numpy(np.atleast_1d(rows)).to(run.device)
    codes = {name: run.codes.tables[name](put(getattr(scene, name))).detach() for name in CODES}
    f_lip = lip_features(run, np.array(bench.train.f_a[scene.lips]) if f_a is None else f_a)
    camera = np.linalg.inv(scene.pose) @ factors.camera_to_world(bench.world.size)
    frames = render_frames(run, codes, f_lip, torch.from_numpy(take.K), torch.from_numpy(camera),
                           torch.from_numpy(take.background))
    return np.stack(list(frames))


def true_expression(bench: Bench, index: np.ndarray) -> Float[np.ndarray, "T E"]:
    """The true expression of training frames `index` (T,)."""
    train = bench.train
    return np.stack([bench.world.expression[train.takes[train.take[i]].name][train.row[i]] for i in index])


def truth(bench: Bench, scene: Scene) -> tuple[UInt8[np.ndarray, "T H W 3"], UInt8[np.ndarray, "T H W"]]:
    """What a scene looks like: upper face of frames `ex`, mouth of frames `lips`. Frames and masks."""
    names = bench.train.names
    weights = bench.world.pick(int(names["id"][scene.id]), int(names["al"][scene.al]), int(names["ill"][scene.ill]))
    expression = factors.with_mouth_of(true_expression(bench, scene.ex), true_expression(bench, scene.lips))
    return bench.world.blend(weights, expression, scene.pose)


def spread(frames: np.ndarray, n: int) -> np.ndarray:
    """n of these frames, evenly spread."""
    return frames[np.linspace(0, len(frames) - 1, n).round().astype(int)]


# ---------------------------------------------------------------------------------------------------------------------
# Recombination


def recombinations(bench: Bench, unseen: list[dict]) -> Iterator[tuple[Scene, Scene]]:
    """(a scene of the next person's training frames, the same frames with a new person, albedo and light)."""
    row = {factor: {int(v): i for i, v in enumerate(bench.train.names[factor])} for factor in LABELS}
    people = bench.world.names
    for number, one in enumerate(unseen):
        person = people.index(one["identity"])
        donor = bench.take_of(people[(person + 1 + number % (len(people) - 1)) % len(people)], bench.train)
        scene = scene_of(bench, spread(np.arange(bench.train.first[donor], bench.train.first[donor + 1]), FRAMES))
        yield scene, scene.but(id=row["id"][person], al=row["al"][one["albedo"]], ill=row["ill"][one["light"]])


def recombination(bench: Bench, unseen: list[dict]) -> dict[str, float]:
    """Mean PSNR in dB, in the mask and of the whole image, of scenes as trained and of their recombinations."""
    out: dict[str, list[float]] = {}
    for pair in tqdm(list(recombinations(bench, unseen)), "recombinations", leave=False):
        for name, scene in zip(("trained", "recombined"), pair):
            frames, masks = truth(bench, scene)
            for image, frame, mask in zip(rendered(bench, scene), frames, masks):
                out.setdefault(f"{name}, head", []).append(measures.psnr(image, frame, mask))
                out.setdefault(f"{name}, image", []).append(measures.psnr(image, frame))
    return {name: float(np.mean(values)) for name, values in out.items()}


def reconstruction(bench: Bench) -> dict[str, float]:
    """Mean PSNR in dB of held-out sentences: new speech, but each person in a known albedo and light; C_ex is read."""
    out: dict[str, list[float]] = {}
    for number, take in enumerate(bench.heldout.takes):
        rows = spread(np.arange(len(bench.heldout.rows[number])), FRAMES)
        for image, row in zip(render_heldout(bench.run, bench.train, bench.heldout, number, "extractor", rows),
                              bench.heldout.rows[number][rows]):
            out.setdefault("held out, head", []).append(measures.psnr(image, take.frames[row], np.asarray(take.masks[row])))
            out.setdefault("held out, image", []).append(measures.psnr(image, take.frames[row]))
    return {name: float(np.mean(values)) for name, values in out.items()}


# ---------------------------------------------------------------------------------------------------------------------
# Leakage


def moves(bench: Bench, moved: str, rng: np.random.Generator) -> Iterator[tuple[Scene, Scene]]:
    """Pairs of scenes that differ in one input only: PAIRS for every person."""
    train = bench.train
    for person in bench.world.names:
        take = bench.take_of(person, train)
        own = np.flatnonzero(train.label["id"] == train.label["id"][train.first[take]])
        for _ in range(PAIRS):
            scene = scene_of(bench, np.sort(rng.choice(own[train.take[own] == take], FRAMES, replace=False)))
            if moved in LABELS:
                others = [v for v in range(len(train.names[moved])) if v != getattr(scene, moved)]
                yield scene, scene.but(**{moved: int(rng.choice(others))})
            else:
                first, second = far_apart(bench, own, moved, rng)
                hold = lambda i: np.full(FRAMES, i)
                yield scene.but(**{moved: hold(first)}), scene.but(**{moved: hold(second)})


def far_apart(bench: Bench, frames: np.ndarray, moved: str, rng: np.random.Generator) -> tuple[int, int]:
    """Two of the frames with very different upper faces ("ex") or mouths ("lips"), of 40 drawn the farthest pair."""
    pool = rng.choice(frames, min(40, len(frames)), replace=False)
    wanted = factors.columns(factors.UPPER if moved == "ex" else factors.LIPS)
    scaled = true_expression(bench, pool)[:, wanted] / bench.world.scale[wanted]
    distance = np.linalg.norm(scaled[:, None] - scaled[None], axis=-1)
    a, b = np.unravel_index(distance.argmax(), distance.shape)
    return int(pool[a]), int(pool[b])


def leakage(bench: Bench, reader: FactorReader, seed: int) -> tuple[Float[np.ndarray, "5 5"], Float[np.ndarray, "5 5"]]:
    """How far each factor moves (column) when one input does (row), order MOVED: on renders and on true pictures.

    A change is averaged over FRAMES poses, its length taken, and averaged over pairs. Columns are in units of the
    change that true pictures show when that factor itself moves, so the diagonal of the second matrix is 1, and its
    other entries are the reader's own confusion.
    """
    render, true = np.zeros((2, len(MOVED), len(MOVED)))
    for row, moved in enumerate(tqdm(MOVED, "leakage", leave=False)):
        pairs = list(moves(bench, moved, np.random.default_rng([seed, row])))
        for before, after in pairs:
            for matrix, look in ((render, lambda s: rendered(bench, s)), (true, lambda s: truth(bench, s)[0])):
                change = factors.read(reader, look(after), after.pose) - factors.read(reader, look(before), before.pose)
                change = change.mean(0)
                matrix[row] += [np.linalg.norm(change[bench.world.groups[name]]) / len(pairs) for name in MOVED]
    unit = true.diagonal().copy()
    return render / unit, true / unit


# ---------------------------------------------------------------------------------------------------------------------
# Audio swap


def audio_swap(bench: Bench, model: landmark_regressor.Landmarker) -> dict[str, float]:
    """Codes and pose of a training sentence A, sound of the person's held-out sentence B; all people joined.

    "r_B": correlation of the render's mouth opening with B's; "r_A_given_B": with A's beyond what A and B share
    (partial correlation); "r_A", "r_AB": plain correlations with A and of A with B.
    """
    joined: dict[str, list[np.ndarray]] = {"render": [], "A": [], "B": []}
    for person in tqdm(bench.world.names, "audio swap", leave=False):
        first, second = bench.take_of(person, bench.train), bench.take_of(person, bench.heldout)
        n = min(len(bench.train.rows[first]), len(bench.heldout.rows[second]))
        index = np.arange(bench.train.first[first], bench.train.first[first] + n)
        sound = slice(bench.heldout.first[second], bench.heldout.first[second] + n)
        frames = rendered(bench, scene_of(bench, index), np.array(bench.heldout.f_a[sound]))
        marks_a = bench.train.takes[first].landmarks[bench.train.rows[first][:n]]
        marks_b = bench.heldout.takes[second].landmarks[bench.heldout.rows[second][:n]]
        for name, marks in (("render", landmark_regressor.predict(model, frames)), ("A", marks_a), ("B", marks_b)):
            opening = measures.mouth_opening(marks)
            joined[name].append((opening - opening.mean()) / (opening.std() + 1e-9))
    render, a, b = (np.concatenate(joined[name]) for name in ("render", "A", "B"))
    return {"r_B": measures.correlation(render, b), "r_A_given_B": measures.partial_correlation(render, a, b),
            "r_A": measures.correlation(render, a), "r_AB": measures.correlation(a, b)}


# ---------------------------------------------------------------------------------------------------------------------
# The picture, and the report


def swaps(bench: Bench, seed: int, people: int = 4) -> UInt8[np.ndarray, "H W 3"]:
    """Each pair of rows: a person; then one input at a time taken from the next person; then all. Truth and render."""
    rng, strips = np.random.default_rng(seed), []
    names = bench.world.names[:people]
    scenes = [scene_of(bench, np.array([rng.choice(np.arange(*bench.train.first[[n, n + 1]]))]))
              for n in (bench.take_of(person, bench.train, last=True) for person in names)]
    for scene, other in zip(scenes, scenes[1:] + scenes[:1]):
        columns = [scene, *(scene.but(**{name: getattr(other, name)}) for name in MOVED), other.but(pose=scene.pose)]
        titles = ["own", *(f"other's {name}" for name in MOVED), "other, own pose"]
        for look, kind in ((lambda s: truth(bench, s)[0][0], "truth"), (lambda s: rendered(bench, s)[0], "render")):
            strips.append(np.concatenate([caption(enlarge(look(column), 128), f"{kind}: {title}")
                                          for column, title in zip(columns, titles)], 1))
    return np.concatenate(strips)


def measure(bench: Bench, reader: FactorReader, model: landmark_regressor.Landmarker, unseen: list[dict], seed: int) -> dict:
    """All figures of this file: {"recombination": {...}, "leakage": (5, 5), "leakage_truth": (5, 5), "swap": {...}}."""
    render, true = leakage(bench, reader, seed)
    return {"recombination": recombination(bench, unseen) | reconstruction(bench), "leakage": render, "leakage_truth": true,
            "swap": audio_swap(bench, model)}


def worst_leak(matrix: Float[np.ndarray, "5 5"]) -> float:
    """The largest off-diagonal entry of the four codes' rows, as a share of the diagonal entry of its row."""
    rows = matrix[:len(CODES)]
    share = rows / rows.diagonal()[:, None]
    return float(share[~np.eye(*rows.shape, dtype=bool)].max())


def records_of(scores: dict) -> list[dict]:
    """The scores as records of disentangle.csv, {"figure": name, "value": number}."""
    found = {f"recombination: {name} (PSNR, dB)": value for name, value in scores["recombination"].items()}
    found |= {f"audio swap: {name}": value for name, value in scores["swap"].items()}
    for kind in ("leakage", "leakage_truth"):
        for moved, line in zip(MOVED, scores[kind]):
            found |= {f"{kind}: {moved} -> {other}": float(value) for other, value in zip(MOVED, line)}
        found[f"{kind}: worst off-diagonal / diagonal"] = worst_leak(scores[kind])
    return [{"figure": name, "value": value} for name, value in found.items()]


def leakage_text(title: str, matrix: Float[np.ndarray, "5 5"]) -> str:
    """One matrix as Markdown, its worst entry below it."""
    lines = ([moved, *(f"{value:.2f}" for value in line)] for moved, line in zip(MOVED, matrix))
    return (tables.markdown([f"{title}: moved", *MOVED], lines) + "\n\nWorst off-diagonal entry of the four codes' rows: "
            f"{worst_leak(matrix):.0%} of its row's diagonal.\n")


def markdown(scores: dict, note: str) -> str:
    """disentangle.md: what was measured, with what the numbers mean."""
    psnr, swap = scores["recombination"], scores["swap"]
    recombined = tables.markdown(
        ["PSNR (dB)", "inside the mask", "whole image"],
        ([name, f"{psnr[name + ', head']:.2f}", f"{psnr[name + ', image']:.2f}"]
         for name in ("trained", "held out", "recombined")))
    return f"""## Recombination

{recombined}

"Held out": sentences that training did not see, of people in an albedo and a light that it did. "Recombined": person,
albedo and light that no training take shows together, with expression, sound and pose of another person.

## Leakage

{leakage_text("renders", scores["leakage"])}
{leakage_text("true pictures (what the reader itself confuses)", scores["leakage_truth"])}
Rows: the input that moves between two values, the others fixed. Columns: how far each true factor moves, in units of its
own true change.

## Audio swap

Codes and pose of sentence A, sound of sentence B. Mouth opening of the render correlates with B's truth with r =
{swap['r_B']:.2f}, with A's beyond what A and B share with r = {swap['r_A_given_B']:.2f} (plain: {swap['r_A']:.2f}; A with B:
{swap['r_AB']:.2f}).

{note}
"""


def open_bench(run: Run, work: Path) -> tuple[Bench, list[dict]]:
    """Prepare a run's data under `work` again; the bench, and the combinations never trained on."""
    train, heldout = prepare_again(run, work)
    folder = Path(run.cfg.data) if run.cfg.data else work / "prepared" / "heads"
    world = factors.open_world(folder, train.takes + heldout.takes, run.cfg.size)
    unseen = json.loads((folder / "recombinations.json").read_text())
    if not unseen:
        raise InputError(f"{folder}/recombinations.json: empty, so no combination of person, albedo and light is left to be "
                         "tried; train on a set of more people or more sentences")
    return Bench(run, train, heldout, world), unseen


def disentangle(folder: Path, device: torch.device) -> str:
    """Measure the run in `folder`; writes disentangle.md, disentangle.csv and swaps.png there, returns the Markdown."""
    run = load_run(folder, device)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".disentangle-") as work:
        bench, unseen = open_bench(run, Path(work))
        takes = bench.train.takes + bench.heldout.takes
        reader = factors.train_reader(bench.world, takes, run.cfg.seed)
        model = trained_landmarker(bench.train, run.cfg.seed, device)
        scores, picture = measure(bench, reader, model, unseen, run.cfg.seed), swaps(bench, run.cfg.seed)
    note = (f"{len(unseen)} recombinations of {FRAMES} frames; {PAIRS * len(bench.world.names)} changes of each input, each "
            f"over {FRAMES} poses; {run.cfg.size} x {run.cfg.size} pixels, preset {run.cfg.preset}, {run.cfg.iters} "
            f"iterations, seed {run.cfg.seed}.")
    text = markdown(scores, note)
    tables.write_table(folder, "disentangle", records_of(scores), text)
    write_image(folder / "swaps.png", picture)
    return text
