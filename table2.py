"""table2.py - Sec. 4.6, Table 2: the model, the model without the sync module, the model without L_dis.

    python evaluate.py --table2 --out runs/table2        (--seeds 0,1,2   --iters N   --preset small)

In: nothing but the stand-in heads. Each seed has heads, sentences and weights of its own; its three rows share data,
extractor and budget, and where they have one, the sync module. Out: a run folder for each, table2.md and table2.csv
with the mean and the spread over seeds. What is finished is kept: the command goes on where it was stopped, and seeds
may be trained side by side (--seeds 0 here, --seeds 1 there) and put together at the end.
"""
from __future__ import annotations

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import disentangle
import factors
import train
from animate import load_run, read_checkpoint
from config import Config
from evaluate import ROWS, table, write_table
from media import replacing
from scores import make_judges

MODELS = {"full": {}, "no_sync": {"sync": False}, "no_dis": {"lambda_dis": 0.0}}
NAMES = {"full": "Ours", "no_sync": "without the sync module", "no_dis": "without the disentangling loss"}
SHARED = ("extractor", "e_audio", "d_audio", "references", "takes", "backgrounds")  # of the first row's checkpoint
SHOWN = ("PSNR (dB)", "SSIM", "FID", "Sync confidence", "LMD (px)", "mouth r", "audio swap r_B", "recombined PSNR (dB)",
         "recombination drop (dB)", "worst leak", "minutes")
PUBLISHED = """| published (their videos, SyncNet, Inception) | PSNR | SSIM | FID | Sync score | LMD |
|---|---|---|---|---|---|
| Ours | 30.16 | 0.937 | 30.294 | 5.236 | 3.559 |
| Ours w/o sync module | 29.58 | 0.916 | 34.562 | 4.593 | 4.245 |
| Ours w/o disentangling | 29.31 | 0.904 | 35.732 | 4.682 | 3.958 |
"""


def train_model(cfg: Config, out: Path, first: dict, device: torch.device) -> None:
    """Train one row into `out`, or go on with it; `first` is the checkpoint of the seed's first row, or empty."""
    state = read_checkpoint(out) if (out / "checkpoint.pt").is_file() else {}
    if state.get("iteration") == cfg.iters and not (out / "prepared").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    if not state:
        wanted = [key for key in SHARED if key in first and (cfg.sync or key not in ("e_audio", "d_audio"))]
        state = {key: first[key] for key in wanted}
    started = time.monotonic()
    train.train(cfg, out, state, device)
    with replacing(out / "minutes.json") as temporary:
        temporary.write_text(json.dumps((time.monotonic() - started) / 60))


def train_seed(cfg: Config, folder: Path, device: torch.device) -> None:
    """The three rows of one seed."""
    first: dict = {}
    for name, change in MODELS.items():
        print(f"\nseed {cfg.seed}: {NAMES[name]}")
        train_model(replace(cfg, **change), folder / name, first, device)
        first = first or read_checkpoint(folder / name)


def score_seed(cfg: Config, folder: Path, device: torch.device) -> dict[str, dict[str, float]]:
    """{row: figures} of a trained seed, from scores.json where that is there. All rows have the same judges."""
    if (folder / "scores.json").is_file():
        return json.loads((folder / "scores.json").read_text())
    runs = {name: load_run(folder / name, device) for name in MODELS}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".score-") as work:
        bench, unseen = disentangle.open_bench(runs["full"], Path(work))
        judges = make_judges(cfg, bench.train, bench.heldout, Path(work), device)
        reader = factors.train_reader(bench.world, bench.train.takes + bench.heldout.takes, cfg.seed)
        found = {}
        for name, run in runs.items():
            figures = table(run, bench.train, bench.heldout, judges, ("audio_pose",))[0]
            now = replace(bench, run=run)
            apart = disentangle.measure(now, reader, judges.landmarks, unseen, cfg.seed)
            found[name] = {k: float(v) for k, v in figures.items() if k not in ("row", "what")} | summary(apart)
            found[name]["minutes"] = json.loads((folder / name / "minutes.json").read_text())
            with replacing(folder / name / "disentangle.md") as temporary:
                temporary.write_text(disentangle.markdown(apart, f"{NAMES[name]}, seed {cfg.seed}."))
    with replacing(folder / "scores.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1))
    return found


def summary(apart: dict) -> dict[str, float]:
    """The figures of disentangle.measure that the table shows."""
    images = apart["recombination"]
    return {"audio swap r_B": apart["swap"]["r_B"], "recombined PSNR (dB)": images["recombined, image"],
            "recombination drop (dB)": images["trained, image"] - images["recombined, image"],
            "worst leak": disentangle.worst_leak(apart["leakage"])}


def rows_of(found: dict[int, dict[str, dict[str, float]]]) -> list[dict]:
    """{seed: {row: figures}} -> one dictionary a row: name, then mean and spread (standard deviation) of each figure."""
    rows = []
    for name in MODELS:
        row: dict = {"model": NAMES[name], "seeds": len(found)}
        for figure in SHOWN:
            values = np.array([found[seed][name][figure] for seed in found])
            row[figure] = float(values.mean())
            row[f"{figure} +-"] = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        rows.append(row)
    return rows


def markdown(rows: list[dict], note: str) -> str:
    """The table with mean and spread in one cell, then the paper's own figures, apart."""
    lines = ["| | " + " | ".join(SHOWN) + " |", "|" + "---|" * (len(SHOWN) + 1)]
    for row in rows:
        cells = [f"{row[f]:.3f} ± {row[f + ' +-']:.3f}" for f in SHOWN]
        lines.append(f"| {row['model']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + f"\n\n{note}\n\n{PUBLISHED}"


def table2(cfg: Config, seeds: list[int], out: Path, device: torch.device) -> str:
    """Train and score the three rows for each seed; writes table2.md and table2.csv into `out`, returns the Markdown."""
    found = {}
    for seed in seeds:
        now = train.shortened(replace(cfg, seed=seed))
        train_seed(now, out / f"seed{seed}", device)
        found[seed] = score_seed(now, out / f"seed{seed}", device)
    note = (f"Mean ± standard deviation over seeds {', '.join(map(str, seeds))}; {cfg.size} x {cfg.size} pixels, preset "
            f"{cfg.preset}, {cfg.iters} iterations of the field. Rows: {ROWS['audio_pose']}, on held-out sentences. "
            "FID (fixed random features) and Sync (an expert trained on other sentences) rank these rows and compare "
            "with nothing published. Minutes: training of a row; the first row of a seed also trains the extractor and "
            "the sync module that the others share.")
    rows = rows_of(found)
    text = markdown(rows, note)
    write_table(out, "table2", rows, text)
    return text
