"""disentangle.py - are the codes separate (Sec. 3.3), do the lips follow the sound (Sec. 3.4)?

    python evaluate.py runs/heads --disentangle

writes disentangle.md, disentangle.csv and swaps.png into the run folder. The paper shows pictures.
The stand-in heads have known factors, so here are numbers:
- recombination: person, albedo and light that were never seen together, with an expression, sound
  and pose of another person, against the true picture of that combination;
- leakage: one code moves between two values; a reader (factors.py) says how far each factor moved;
- audio swap: codes and pose of sentence A, sound of sentence B; whose mouth is it?
In: a run on stand-in heads. Out: the scores, and a picture in which codes are exchanged one by one.
"""
from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from tqdm import tqdm

from data.corpus import LABELS, Corpus
from dhnerf import CODES
from evaluation import factors, landmark_regressor, measures, tables
from evaluation.factors import FactorReader, World, head_poses
from evaluation.heldout import HeldoutTake, extractor_reads, indices, prepare_again
from evaluation.landmark_regressor import trained_landmarker
from inference.pictures import caption, enlarge, write_image
from inference.rendering import lip_features, render_frames
from inference.run import Run, load_run
from tools.errors import InputError

FRAMES = 6  # poses over which a change is averaged; frames per recombination
PAIRS = 2  # changes of one code per person
MOVED = (*CODES, "lips")  # what the leakage matrix moves: the four codes, and F_lip


@dataclass
class Bench:
    """What all tests need: the run, its training and held-out frames, the true factors."""
    run: Run
    train: Corpus
    heldout: Corpus
    world: World

    def take_of(self, person: str, corpus: Corpus, last: bool = False) -> int:
        """Number of the first (or last) take of a person in `corpus`."""
        numbers = [n for n, take in enumerate(corpus.takes) if take.subject == person]
        return numbers[-1 if last else 0]


# ---- a scene: every input of Eq. 1 by itself, so that one of them can be exchanged ---------------

@dataclass(frozen=True)
class Scene:
    """Which value each input of Eq. 1 has.

    `id`, `al`, `ill`: their numbers in the code tables; `ex` and `lips` (T,): training frames
    (corpus indices) from which C_ex and F_lip are taken; `pose` (T, 4, 4): head_to_world.
    """
    id: int
    al: int
    ill: int
    ex: np.ndarray
    lips: np.ndarray
    pose: np.ndarray

    def but(self, **changes) -> "Scene":
        return replace(self, **changes)


def scene_of(bench: Bench, index: np.ndarray) -> Scene:
    """The scene that training frames `index` (T,) of one take show."""
    train_set = bench.train
    labels = {factor: int(train_set.label[factor][index[0]]) for factor in LABELS}
    take = train_set.takes[train_set.take[index[0]]]
    pose = head_poses(take, bench.world.size)[train_set.frame[index]]
    return Scene(**labels, ex=index, lips=index, pose=pose)


def rendered(bench: Bench, scene: Scene, f_a: np.ndarray | None = None
             ) -> UInt8[np.ndarray, "T H W 3"]:
    """The model's pictures of a scene; f_a (T, w, d): sound features, if not of frames `lips`."""
    run, take = bench.run, bench.train.takes[0]  # all takes have one camera and one background
    codes = {}
    for name in CODES:
        which = torch.from_numpy(np.atleast_1d(getattr(scene, name))).to(run.device)
        codes[name] = run.codes.tables[name](which).detach()
    f_lip = lip_features(run, bench.train.f_a[scene.lips] if f_a is None else f_a)
    camera = np.linalg.inv(scene.pose) @ factors.camera_to_world(bench.world.size)
    frames = render_frames(run, codes, f_lip, torch.from_numpy(take.K), torch.from_numpy(camera),
                           torch.from_numpy(take.background))
    return np.stack(list(frames))


def true_expression(bench: Bench, index: np.ndarray) -> Float[np.ndarray, "T E"]:
    """The true expression of training frames `index` (T,)."""
    train_set, found = bench.train, []
    for i in index:
        take = train_set.takes[train_set.take[i]]
        found.append(bench.world.expression[take.name][train_set.frame[i]])
    return np.stack(found)


def truth(bench: Bench, scene: Scene
          ) -> tuple[UInt8[np.ndarray, "T H W 3"], UInt8[np.ndarray, "T H W"]]:
    """What a scene looks like: upper face of frames `ex`, mouth of frames `lips`; and its masks."""
    labels = [int(bench.train.names[factor][getattr(scene, factor)]) for factor in LABELS]
    upper, mouth = true_expression(bench, scene.ex), true_expression(bench, scene.lips)
    expression = factors.with_mouth_of(upper, mouth)
    return bench.world.blend(bench.world.pick(*labels), expression, scene.pose)


def spread(frames: np.ndarray, n: int) -> np.ndarray:
    """n of these frames, evenly spread."""
    return frames[np.linspace(0, len(frames) - 1, n).round().astype(int)]


# ---- recombination -------------------------------------------------------------------------------

def recombinations(bench: Bench, unseen: list[dict]) -> Iterator[tuple[Scene, Scene]]:
    """(a scene as trained of another person, the same with a new person, albedo and light).

    unseen: {"identity": name, "albedo": number, "light": number} of each new combination.
    """
    people, names = bench.world.names, bench.train.names
    for number, one in enumerate(unseen):
        person = people.index(one["identity"])
        other = people[(person + 1 + number % (len(people) - 1)) % len(people)]
        frames = indices(bench.train, bench.take_of(other, bench.train))
        labels = {"id": person, "al": one["albedo"], "ill": one["light"]}
        new = {factor: names[factor].tolist().index(label) for factor, label in labels.items()}
        scene = scene_of(bench, spread(frames, FRAMES))
        yield scene, scene.but(**new)


def psnr_of(name: str, triples: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]
            ) -> dict[str, float]:
    """Mean PSNR in dB of (image, truth, mask): inside the mask ("NAME, head") and of all pixels."""
    head, whole = [], []
    for image, true, mask in triples:
        head.append(measures.psnr(image, true, mask))
        whole.append(measures.psnr(image, true))
    return {f"{name}, head": float(np.mean(head)), f"{name}, image": float(np.mean(whole))}


def recombination(bench: Bench, unseen: list[dict]) -> dict[str, float]:
    """Mean PSNR of scenes as trained and of their recombinations."""
    found = {"trained": [], "recombined": []}
    for pair in tqdm(list(recombinations(bench, unseen)), "recombinations", leave=False):
        for triples, scene in zip(found.values(), pair):
            triples += zip(rendered(bench, scene), *truth(bench, scene))
    return psnr_of("trained", found["trained"]) | psnr_of("recombined", found["recombined"])


def reconstruction(bench: Bench) -> dict[str, float]:
    """Mean PSNR of held-out sentences of people in a known albedo and light; C_ex is read."""
    found = []
    for number, take in enumerate(bench.heldout.takes):
        held = HeldoutTake(bench.run, bench.train, bench.heldout, number)
        only = spread(np.arange(len(held.index)), FRAMES)
        shown = bench.heldout.numbers[number][only]
        found += zip(extractor_reads(held, only), take.frames[shown], take.masks[shown])
    return psnr_of("held out", found)


# ---- leakage -------------------------------------------------------------------------------------

def moves(bench: Bench, moved: str, rng: np.random.Generator) -> Iterator[tuple[Scene, Scene]]:
    """Pairs of scenes that differ in one input only: PAIRS for every person."""
    train_set = bench.train
    for person in bench.world.names:
        frames = indices(train_set, bench.take_of(person, train_set))
        own = np.flatnonzero(train_set.label["id"] == train_set.label["id"][frames[0]])
        for _ in range(PAIRS):
            scene = scene_of(bench, np.sort(rng.choice(frames, FRAMES, replace=False)))
            if moved in LABELS:
                others = np.delete(np.arange(len(train_set.names[moved])), getattr(scene, moved))
                yield scene, scene.but(**{moved: int(rng.choice(others))})
            else:
                one, other = far_apart(bench, own, moved, rng)
                yield (scene.but(**{moved: np.full(FRAMES, one)}),
                       scene.but(**{moved: np.full(FRAMES, other)}))


def far_apart(bench: Bench, frames: np.ndarray, moved: str, rng: np.random.Generator
              ) -> tuple[int, int]:
    """Of 40 frames drawn, the two whose upper faces ("ex") or mouths ("lips") differ most."""
    pool = rng.choice(frames, min(40, len(frames)), replace=False)
    wanted = factors.columns(factors.UPPER if moved == "ex" else factors.LIPS)
    scaled = true_expression(bench, pool)[:, wanted] / bench.world.scale[wanted]
    distance = np.linalg.norm(scaled[:, None] - scaled[None], axis=-1)
    a, b = np.unravel_index(distance.argmax(), distance.shape)
    return int(pool[a]), int(pool[b])


def change(bench: Bench, reader: FactorReader, before: np.ndarray, after: np.ndarray,
           pose: np.ndarray) -> Float[np.ndarray, "5"]:
    """How far each factor moves, order MOVED, between two clips (T, H, W, 3) at equal poses."""
    mean = (factors.read(reader, after, pose) - factors.read(reader, before, pose)).mean(0)
    return np.array([np.linalg.norm(mean[bench.world.groups[name]]) for name in MOVED])


def leakage(bench: Bench, reader: FactorReader, seed: int
            ) -> tuple[Float[np.ndarray, "5 5"], Float[np.ndarray, "5 5"]]:
    """How far each factor moves (column) when one input does (row): on renders, on true pictures.

    A change is averaged over FRAMES poses, its length taken, and averaged over pairs. Columns are
    in units of the change that true pictures show when that factor itself moves, so the diagonal of
    the second matrix is 1, and its other entries are the reader's own confusion.
    """
    render, true = np.zeros((2, len(MOVED), len(MOVED)))
    for row, moved in enumerate(tqdm(MOVED, "leakage", leave=False)):
        pairs = list(moves(bench, moved, np.random.default_rng([seed, row])))
        for before, after in pairs:
            made = rendered(bench, before), rendered(bench, after)
            real = truth(bench, before)[0], truth(bench, after)[0]
            render[row] += change(bench, reader, *made, after.pose) / len(pairs)
            true[row] += change(bench, reader, *real, after.pose) / len(pairs)
    unit = true.diagonal().copy()
    return render / unit, true / unit


# ---- audio swap ----------------------------------------------------------------------------------

def scaled_opening(landmarks: Float[np.ndarray, "T 68 2"]) -> Float[np.ndarray, "T"]:
    """Mouth opening with mean 0 and spread 1, so that people can be joined."""
    opening = measures.mouth_opening(landmarks)
    return (opening - opening.mean()) / (opening.std() + 1e-9)


def audio_swap(bench: Bench, model: landmark_regressor.Landmarker) -> dict[str, float]:
    """Codes and pose of a training sentence A, sound of the same person's held-out sentence B.

    "r_B": correlation of the render's mouth opening with B's; "r_A_given_B": with A's beyond what A
    and B share (partial correlation); "r_A", "r_AB": plain correlations with A and of A with B.
    """
    train_set, heldout_set = bench.train, bench.heldout
    joined = defaultdict(list)
    for person in tqdm(bench.world.names, "audio swap", leave=False):
        a, b = bench.take_of(person, train_set), bench.take_of(person, heldout_set)
        n = min(len(train_set.numbers[a]), len(heldout_set.numbers[b]))
        f_a = heldout_set.f_a[indices(heldout_set, b)[:n]]
        frames = rendered(bench, scene_of(bench, indices(train_set, a)[:n]), f_a)
        marks_a = train_set.takes[a].landmarks[train_set.numbers[a][:n]]
        marks_b = heldout_set.takes[b].landmarks[heldout_set.numbers[b][:n]]
        joined["render"].append(scaled_opening(landmark_regressor.predict(model, frames)))
        joined["A"].append(scaled_opening(marks_a))
        joined["B"].append(scaled_opening(marks_b))
    render, a, b = (np.concatenate(joined[name]) for name in ("render", "A", "B"))
    return {"r_B": measures.correlation(render, b),
            "r_A_given_B": measures.partial_correlation(render, a, b),
            "r_A": measures.correlation(render, a), "r_AB": measures.correlation(a, b)}


# ---- the picture, and the report -----------------------------------------------------------------

def strip(kind: str, titles: Iterable[str], pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Pictures side by side, each with its caption."""
    return np.concatenate([caption(enlarge(picture, 128), f"{kind}: {title}")
                           for title, picture in zip(titles, pictures)], 1)


def swaps(bench: Bench, seed: int, people: int = 4) -> UInt8[np.ndarray, "H W 3"]:
    """Per person truth and render: own inputs; each one of the next person's in turn; all."""
    rng, scenes, strips = np.random.default_rng(seed), [], []
    for person in bench.world.names[:people]:
        frames = indices(bench.train, bench.take_of(person, bench.train, last=True))
        scenes.append(scene_of(bench, np.array([rng.choice(frames)])))
    for scene, other in zip(scenes, scenes[1:] + scenes[:1]):
        columns = {"own": scene}
        for name in MOVED:
            columns[f"other's {name}"] = scene.but(**{name: getattr(other, name)})
        columns["other, own pose"] = other.but(pose=scene.pose)
        true = [truth(bench, column)[0][0] for column in columns.values()]
        render = [rendered(bench, column)[0] for column in columns.values()]
        strips += [strip("truth", columns, true), strip("render", columns, render)]
    return np.concatenate(strips)


def measure(bench: Bench, reader: FactorReader, model: landmark_regressor.Landmarker,
            unseen: list[dict], seed: int) -> dict:
    """All scores: "recombination" and "swap" {name: number}, "leakage", "leakage_truth" (5, 5)."""
    render, true = leakage(bench, reader, seed)
    psnr = recombination(bench, unseen) | reconstruction(bench)
    return {"recombination": psnr, "leakage": render, "leakage_truth": true,
            "swap": audio_swap(bench, model)}


def worst_leak(matrix: Float[np.ndarray, "5 5"]) -> float:
    """The largest off-diagonal entry of the four codes' rows, as a share of its row's diagonal."""
    rows = matrix[:len(CODES)]
    share = rows / rows.diagonal()[:, None]
    return float(share[~np.eye(*rows.shape, dtype=bool)].max())


def records_of(scores: dict) -> list[dict]:
    """The scores as records of disentangle.csv, {"figure": name, "value": number}."""
    found = {f"recombination: {name} (PSNR, dB)": x for name, x in scores["recombination"].items()}
    found |= {f"audio swap: {name}": x for name, x in scores["swap"].items()}
    for kind in ("leakage", "leakage_truth"):
        for moved, row in zip(MOVED, scores[kind]):
            found |= {f"{kind}: {moved} -> {other}": float(x) for other, x in zip(MOVED, row)}
        found[f"{kind}: worst off-diagonal / diagonal"] = worst_leak(scores[kind])
    return [{"figure": name, "value": value} for name, value in found.items()]


def leakage_text(title: str, matrix: Float[np.ndarray, "5 5"]) -> str:
    """One matrix as Markdown, its worst entry below it."""
    rows = ([moved, *(f"{value:.2f}" for value in row)] for moved, row in zip(MOVED, matrix))
    table = tables.markdown([f"{title}: moved", *MOVED], rows)
    return (f"{table}\n\nWorst off-diagonal entry of the four codes' rows: "
            f"{worst_leak(matrix):.0%} of its row's diagonal.\n")


def markdown(scores: dict, note: str) -> str:
    """disentangle.md: what was measured, with what the numbers mean."""
    psnr, swap = scores["recombination"], scores["swap"]
    rows = ([name, f"{psnr[name + ', head']:.2f}", f"{psnr[name + ', image']:.2f}"]
            for name in ("trained", "held out", "recombined"))
    return f"""## Recombination

{tables.markdown(["PSNR (dB)", "inside the mask", "whole image"], rows)}

"Held out": sentences that training did not see, of people in an albedo and a light that it did.
"Recombined": person, albedo and light that no training take shows together, with expression, sound
and pose of another person.

## Leakage

{leakage_text("renders", scores["leakage"])}
{leakage_text("true pictures (what the reader itself confuses)", scores["leakage_truth"])}
Rows: the input that moves between two values, the others fixed. Columns: how far each true factor
moves, in units of its own true change.

## Audio swap

Codes and pose of sentence A, sound of sentence B. Mouth opening of the render correlates with B's
truth with r = {swap['r_B']:.2f}, with A's beyond what A and B share with r =
{swap['r_A_given_B']:.2f} (plain: {swap['r_A']:.2f}; A with B: {swap['r_AB']:.2f}).

{note}
"""


def open_bench(run: Run, work: Path) -> tuple[Bench, list[dict]]:
    """Prepare a run's data under `work` again; the bench, and the combinations never trained on."""
    train_set, heldout_set = prepare_again(run, work)
    folder = Path(run.cfg.data) if run.cfg.data else work / "heads"
    world = factors.open_world(folder, train_set.takes + heldout_set.takes, run.cfg.size)
    unseen = json.loads((folder / "recombinations.json").read_text())
    if not unseen:
        raise InputError(f"{folder}/recombinations.json: empty, so no combination of person, "
                         "albedo and light is left to be tried; train on a set of more people or "
                         "more sentences")
    return Bench(run, train_set, heldout_set, world), unseen


def disentangle(folder: Path, device: torch.device) -> str:
    """Measure the run in `folder`; disentangle.md, .csv and swaps.png go there."""
    run = load_run(folder, device)
    cfg = run.cfg
    with tempfile.TemporaryDirectory(dir=folder, prefix=".disentangle-") as work:
        bench, unseen = open_bench(run, Path(work))
        takes = bench.train.takes + bench.heldout.takes
        reader = factors.train_reader(bench.world, takes, cfg.seed)
        model = trained_landmarker(bench.train, cfg.seed, device)
        scores, picture = measure(bench, reader, model, unseen, cfg.seed), swaps(bench, cfg.seed)
    note = (f"{len(unseen)} recombinations of {FRAMES} frames; {PAIRS * len(bench.world.names)} "
            f"changes of each input, each over {FRAMES} poses; {cfg.size} x {cfg.size} pixels, "
            f"preset {cfg.preset}, {cfg.iters} iterations, seed {cfg.seed}.")
    text = markdown(scores, note)
    tables.write_table(folder, "disentangle", records_of(scores), text)
    write_image(folder / "swaps.png", picture)
    return text
