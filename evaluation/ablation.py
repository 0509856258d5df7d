"""ablation.py - Sec. 4.6: Table 2 of the paper, and what single choices of training do.

    python evaluate.py --table2 --out runs/table2    (--seeds 0,1,2   --iters N   --preset small)
    python evaluate.py --choices --out runs/choices  the default model, one thing changed at a time
    python evaluate.py --controls                    what a sceptic asks for (--vgg FILE)

In: nothing but the stand-in heads. Each seed has heads, sentences and weights of its own; its rows
share data, judges and budget, and where they can, the extractor and the sync module. Out: a run
folder for each row, NAME.md and NAME.csv with the mean and the spread over seeds. What is finished
is kept: the command goes on where it was stopped, and seeds may be trained side by side (--seeds 0
here, --seeds 1 there) and put together at the end. With one --out for both tables, the rows that
both have are trained once. Next: tables.py.
"""
from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from config import Config, readers_of_change, shortened
from evaluation import disentangle, factors, tables
from evaluation.heldout import ROWS, table
from evaluation.judges import make_judges
from inference.run import Checkpoint, Run, load_run
from tools.errors import replacing

# train.run_stages, which is handed in, because evaluation does not import train.
Train = Callable[[Checkpoint, Path, torch.device, Path], None]


@dataclass(frozen=True)
class Variant:
    """A row: how the table names it, and what it changes in the configuration."""
    name: str
    change: dict = field(default_factory=dict)
    of: str | None = None  # the row whose run this one shares, scored in another way
    scored: str = "audio_pose"  # which of heldout.ROWS gives PSNR, LMD and mouth r


@dataclass(frozen=True)
class Study:
    """A table of runs: its rows, its columns, what stands below it, the seeds it is made with."""
    name: str
    variants: dict[str, Variant]
    shown: tuple[str, ...]
    note: str
    seeds: tuple[int, ...]


PUBLISHED = """FID (fixed random features) and Sync (an expert trained on other sentences)
rank these rows and compare with nothing published. Minutes: training of a row; the first row of a
seed also trains the extractor and the sync module that the others share.

| published (their videos, SyncNet, Inception) | PSNR | SSIM | FID | Sync score | LMD |
|---|---|---|---|---|---|
| Ours | 30.16 | 0.937 | 30.294 | 5.236 | 3.559 |
| Ours w/o sync module | 29.58 | 0.916 | 34.562 | 4.593 | 4.245 |
| Ours w/o disentangling | 29.31 | 0.904 | 35.732 | 4.682 | 3.958 |
"""
TABLE2 = Study("table2", {
    "full": Variant("Ours"), "no_sync": Variant("without the sync module", {"sync": False}),
    "no_dis": Variant("without the disentangling loss", {"lambda_dis": 0.0})},
    ("PSNR (dB)", "SSIM", "FID", "Sync confidence", "LMD (px)", "mouth r", "audio swap r_B",
     "recombined PSNR (dB)", "recombination drop (dB)", "worst leak", "minutes"),
    PUBLISHED, (0, 1, 2))

# SINGLE changes what the paper leaves open or what is ours. SEPARATION asks what keeps the codes
# apart: one code per label, or one per frame; started at the extractor's, or at random; with L_dis,
# or without. A C_ex is drawn about ten times in a run of `small`. Where codes should be able to
# leave their start, their rate is ten times the usual.
FREE = {"lr_codes": 0.05}
SINGLE = {
    "full": Variant("as it is"),
    "lip_dropout": Variant("F_lip left out of one frame in five", {"lip_dropout": 0.2}),
    "no_exchange": Variant("C_ex always the frame's own", {"ex_swap": 0.0}),
    "mouth_seen": Variant("the extractor sees the mouth", {"blank_mouth": False}),
    "mouth_seen_no_exchange": Variant("both: C_ex the frame's own, mouth seen",
                                      {"blank_mouth": False, "ex_swap": 0.0}),
    "free": Variant("codes free to move, no L_dis", FREE | {"lambda_dis": 0.0}),
    "free_both": Variant("codes free to move, no L_dis, both",
                         FREE | {"lambda_dis": 0.0, "blank_mouth": False, "ex_swap": 0.0}),
    "codes_8": Variant("codes of 8 values", {"d_id": 8, "d_ex": 8, "d_al": 8, "d_ill": 8}),
    "codes_48": Variant("codes of 48 values", {"d_id": 48, "d_ex": 48, "d_al": 48, "d_ill": 48}),
}
FRAME = FREE | {"code_per_frame": True}
SEPARATION = {
    "no_dis": Variant("a code a label, without L_dis", {"lambda_dis": 0.0}),
    "random_no_dis": Variant("a code a label, random start, without L_dis",
                             {"random_codes": True, "lambda_dis": 0.0}),
    "frame": Variant("codes a frame, with L_dis", FRAME),
    "frame_no_dis": Variant("codes a frame, without L_dis", FRAME | {"lambda_dis": 0.0}),
    "frame_random": Variant("codes a frame, random start, with L_dis",
                            FRAME | {"random_codes": True}),
    "frame_random_no_dis": Variant("codes a frame, random start, without L_dis",
                                   FRAME | {"random_codes": True, "lambda_dis": 0.0}),
}
NOTE = """Audio swap r_A, B removed: what the mouth shares with sentence A, whose codes and pose it
has, beyond what A shares with B, whose sound it has. Trained: frames of training, with their own
C_ex. C_ex is a frame's own in every row; where the other codes are, too, those of one frame stand
for a person, an albedo or a light.
"""
CHOICES = Study("choices", SINGLE | SEPARATION,
                ("PSNR (dB)", "LMD (px)", "mouth r", "audio swap r_B", "audio swap r_A, B removed",
                 "trained PSNR (dB)", "recombined PSNR (dB)", "recombination drop (dB)",
                 "worst leak"), NOTE, (0,))
# What a sceptic asks for: would another reading of the paper have given the same?
CONTROLS = Study("controls", {
    "full": Variant("as it is"),
    "true_lips": Variant("F_lip of the true lips in place of F_al", of="full", scored="lips_pose"),
    "outside_0": Variant("m(.) 0 outside the mask", {"outside": 0.0}),
    "lambda_v": Variant("lambda_v by conversion, 10 / sqrt(3 H W)",
                        {"lambda_v": 10 / (3 * 64**2) ** 0.5}),
    "per": Variant("with L_per, weight 0.005", {"vgg": "random", "lambda_per": 0.005}),
    "joint": Variant("L_lips together with the field", {"sync_iters": 0, "lips_jointly": True})},
    ("PSNR head (dB)", "PSNR (dB)", "SSIM", "FID", "LMD (px)", "mouth r", "Sync confidence",
     "audio swap r_B", "recombination drop (dB)", "worst leak", "minutes"),
    """The second row is the run of the first, moved by the true lips: what lies between the two is
what the sound does not tell, or E_audio did not learn.
""", (0, 1, 2))
STUDIES = {study.name: study for study in (TABLE2, CHOICES, CONTROLS)}


def with_vgg(study: Study, source: str) -> Study:
    """The study with `source` (losses.load_vgg) in those of its rows that have L_per."""
    variants = {key: replace(v, change=v.change | ({"vgg": source} if "vgg" in v.change else {}))
                for key, v in study.variants.items()}
    return replace(study, variants=variants)


def shared(first: Checkpoint | None, cfg: Config) -> Checkpoint:
    """Where a row begins: with those networks of the seed's first row that its change leaves.

    first: None where this is the first row itself.
    """
    start = Checkpoint(cfg)
    if first is None:
        return start
    changed = readers_of_change(first.cfg, cfg)
    if cfg.sync and "sync" not in changed:
        start = replace(start, e_audio=first.e_audio, e_lip=first.e_lip,
                        d_audio=first.d_audio)
    if "extractor" not in changed:
        start = replace(start, extractor=first.extractor)
        if cfg.code_per_frame == first.cfg.code_per_frame:
            start = replace(start, references=first.references, takes=first.takes,
                            backgrounds=first.backgrounds)
    return start


def train_variant(cfg: Config, out: Path, first: Checkpoint | None, device: torch.device,
                  train: Train, work: Path) -> None:
    """Train one row into `out`, or go on with it.

    first: checkpoint of the seed's first row; work: where all rows find the prepared frames.
    """
    start = Checkpoint.read(out) if (out / "checkpoint.pt").is_file() else shared(first, cfg)
    if start.iteration == cfg.iters and (out / "minutes.json").is_file():
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / "scores.json").unlink(missing_ok=True)  # of a shorter training
    started = time.monotonic()
    train(replace(start, cfg=cfg), out, device, work)
    with replacing(out / "minutes.json") as temporary:
        temporary.write_text(json.dumps((time.monotonic() - started) / 60))


def train_seed(cfg: Config, folder: Path, variants: dict[str, Variant], device: torch.device,
               train: Train) -> None:
    """The rows of one seed, each in a run folder of its own."""
    first = None
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".frames-") as work:
        for key, variant in variants.items():
            if variant.of is not None:
                continue
            print(f"\nseed {cfg.seed}: {variant.name}")
            now = replace(cfg, **variant.change)
            frames = Path(work) / crops_of(now)
            train_variant(now, folder / key, first, device, train, frames)
            first = first or Checkpoint.read(folder / key)


def crops_of(cfg: Config) -> str:
    """What a row's prepared frames differ in from another's: the extractor's crops."""
    return "blanked" if cfg.blank_mouth else "whole"


def score_seed(cfg: Config, folder: Path, variants: dict[str, Variant], device: torch.device
               ) -> dict[str, dict[str, float]]:
    """{row: scores} of a trained seed, from each row's scores.json where it is there.

    All rows have the same judges.
    """
    wanting = [key for key in variants if not (folder / key / "scores.json").is_file()]
    if wanting:
        runs = {key: load_run(folder / (variants[key].of or key), device) for key in wanting}
        with tempfile.TemporaryDirectory(dir=folder, prefix=".score-") as work:
            for key, scores in scored(cfg, runs, variants, folder, Path(work), device):
                with replacing(folder / key / "scores.json") as temporary:
                    temporary.write_text(json.dumps(scores, indent=1))
    return {key: json.loads((folder / key / "scores.json").read_text()) for key in variants}


def scored(cfg: Config, runs: dict[str, Run], variants: dict[str, Variant], folder: Path,
           work: Path, device: torch.device) -> Iterator[tuple[str, dict[str, float]]]:
    """(row, scores) of each of a seed's runs; also writes the disentangle.md of each.

    A row that shares another's run has no scores of its own for what is measured of the run.
    """
    benches, judges = {}, None
    for key, run in runs.items():
        crops = crops_of(run.cfg)
        if crops not in benches:
            benches[crops], unseen = disentangle.open_bench(run, work / crops)
        bench = replace(benches[crops], run=run)
        if judges is None:
            judges = make_judges(cfg, bench.train, bench.heldout, work, device)
            takes = bench.train.takes + bench.heldout.takes
            reader = factors.train_reader(bench.world, takes, cfg.seed)
        shown = variants[key].scored
        row = table(run, bench.train, bench.heldout, judges, (shown,))[0]
        scores = {name: float(score) for name, score in row.items() if name not in ("row", "what")}
        (folder / key).mkdir(exist_ok=True)
        if variants[key].of is not None:
            yield key, scores
            continue
        apart = disentangle.measure(bench, reader, judges.landmarks, unseen, cfg.seed)
        text = disentangle.markdown(apart, f"{variants[key].name}, seed {cfg.seed}.")
        with replacing(folder / key / "disentangle.md") as temporary:
            temporary.write_text(text)
        minutes = json.loads((folder / key / "minutes.json").read_text())
        yield key, scores | summary(apart) | {"minutes": minutes}


def summary(apart: dict) -> dict[str, float]:
    """The scores of disentangle.measure that the tables show."""
    images, swap = apart["recombination"], apart["swap"]
    trained, recombined = images["trained, image"], images["recombined, image"]
    return {"audio swap r_B": swap["r_B"], "audio swap r_A, B removed": swap["r_A_given_B"],
            "trained PSNR (dB)": trained, "recombined PSNR (dB)": recombined,
            "recombination drop (dB)": trained - recombined,
            "worst leak": disentangle.worst_leak(apart["leakage"])}


def rows_of(found: dict[int, dict[str, dict[str, float]]], variants: dict[str, Variant],
            shown: tuple[str, ...]) -> list[dict]:
    """{seed: {row: scores}} -> one dictionary per row: name, then mean and spread of each score.

    The spread is the standard deviation over the seeds.
    """
    rows = []
    for key, variant in variants.items():
        row: dict = {"model": variant.name, "seeds": len(found)}
        for score in shown:
            values = np.array([found[seed][key].get(score, np.nan) for seed in found])
            row[score] = float(values.mean())
            row[f"{score} +-"] = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        rows.append(row)
    return rows


def markdown(rows: list[dict], shown: tuple[str, ...]) -> str:
    """The table: mean and, where there are several seeds, spread in one cell."""
    lines = []
    for row in rows:
        cells = ["-" if np.isnan(row[score]) else f"{row[score]:.3f}" for score in shown]
        if row["seeds"] > 1:
            cells = [cell if cell == "-" else f"{cell} ± {row[f'{score} +-']:.3f}"
                     for cell, score in zip(cells, shown)]
        lines.append([row["model"], *cells])
    return tables.markdown(["", *shown], lines)


def run_study(study: Study, cfg: Config, seeds: list[int], out: Path, device: torch.device,
              train: Train) -> str:
    """Train and score the rows of a study for each seed; return the Markdown.

    Writes it as NAME.md into `out`, and NAME.csv beside it.
    """
    found = {}
    for seed in seeds:
        now = shortened(replace(cfg, seed=seed))
        train_seed(now, out / f"seed{seed}", study.variants, device, train)
        found[seed] = score_seed(now, out / f"seed{seed}", study.variants, device)
    over = f"Seed {seeds[0]}"
    if len(seeds) > 1:
        over = f"Mean ± standard deviation over seeds {', '.join(map(str, seeds))}"
    note = (f"{over}; {cfg.size} x {cfg.size} pixels, preset {cfg.preset}, {cfg.iters} iterations "
            f"of the field. PSNR, LMD and mouth r: {ROWS['audio_pose'][0]}, on held-out sentences.")
    rows = rows_of(found, study.variants, study.shown)
    text = f"{markdown(rows, study.shown)}\n\n{note} {study.note}"
    tables.write_table(out, study.name, rows, text)
    return text
