"""evaluate.py - Sec. 4.3: what the measures are, and how a run does on frames it was not trained on.

    python evaluate.py runs/heads       writes evaluation.md and evaluation.csv into the run folder
    python evaluate.py --table2         trains and scores the rows of Table 2: see table2.py
    python evaluate.py --choices        the same for single choices of training: see choices.py

In: a run (animate.Run) and the held-out frames of its data. Out: rows of figures, and the frames behind them.
train.py calls score_heldout at the end of training; those figures go into heldout.json of the run folder.
scores.py turns frames into the figures of a row.
"""
from __future__ import annotations

import argparse
import csv
import io
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch.nn import functional as F
from tqdm import tqdm

import measures
import syncnet
from animate import Run, back_and_forth, lip_features, load_run, pick_device, render_frames
from config import PRESETS
from corpus import LABELS, Corpus
from dhnerf import CODES
from media import InputError, replacing, run_cli
from scores import Judges, Row, make_judges

NAMES = {"audio_pose": "audio and pose only (C_ex replays the training frames)",
         "audio_pose_mean": "audio and pose only (C_ex stays at its mean)",
         "extractor": "audio, pose, and C_ex read from the held-out frame by the extractor",
         "mean_face": "mean training frame (baseline)"}


def mean_frame(corpus: Corpus, index: np.ndarray) -> UInt8[np.ndarray, "H W 3"]:
    """Pixelwise mean of the frames `index`, one pass, bounded memory."""
    total = sum(corpus.takes[corpus.take[i]].frames[corpus.row[i]].astype(np.float64) for i in index)
    return (total / len(index)).round().astype(np.uint8)


@torch.no_grad()
def heldout_codes(run: Run, train: Corpus, take, crops: torch.Tensor, expression: str) -> dict[str, torch.Tensor]:
    """Codes for T held-out frames of `take`: {"id": (1, d), ..., "ex": (T, d) or (1, d)}.

    C_id, C_al and C_ill: the trained code of the same person, albedo and light; where training had none of that label,
    what the extractor reads in these frames. C_ex by `expression`: "audio_pose" replays the person's training frames
    backwards from the last, "audio_pose_mean" is their mean, "extractor" is read from the held-out frames
    (crops (T, 3, s, s), mouth blanked).
    """
    blocks = [run.extractor(block.to(run.device)) for block in crops.split(256)]
    read = {name: torch.cat([b[name] for b in blocks]) for name in CODES}
    codes = {"ex": read["ex"]}
    for factor, key in LABELS.items():
        row = np.flatnonzero(train.names[factor] == take.labels[key])
        codes[factor] = run.codes.tables[factor].weight[row] if len(row) else \
            F.normalize(read[factor].mean(0, keepdim=True), dim=-1)
    if expression != "extractor":
        trained = run.codes.tables["ex"].weight[same_person(train, take)]  # (n, d)
        codes["ex"] = trained.flip(0)[back_and_forth(len(trained), len(crops))] if expression == "audio_pose" else \
            F.normalize(trained.mean(0, keepdim=True), dim=-1)
    return codes


def same_person(train: Corpus, take) -> np.ndarray:
    """Indices of the training frames of the person in a held-out take; of all frames if there are none."""
    same = train.names["id"][train.label["id"]] == take.labels["id"]
    return np.flatnonzero(same) if same.any() else np.arange(len(train))


def render_heldout(run: Run, train: Corpus, heldout: Corpus, number: int, expression: str,
                   only: Int[np.ndarray, "n"] | None = None, f_a: Float[np.ndarray, "T w d"] | None = None):
    """Iterator over rendered frames (H, W, 3) uint8 of held-out take `number`; of its frames `only` (n,), or of all T.

    f_a (T, w, d): other sound features than the take's own.
    """
    take, part = heldout.takes[number], slice(heldout.first[number], heldout.first[number + 1])
    index = np.arange(part.start, part.stop)
    only = np.arange(len(index)) if only is None else only
    codes = heldout_codes(run, train, take, heldout.head_crops(index), expression)
    codes = {name: c[torch.from_numpy(only)] if len(c) > 1 else c for name, c in codes.items()}
    poses = torch.from_numpy(take.cam_to_head[heldout.row[index[only]]])
    f_a = np.array(heldout.f_a[index]) if f_a is None else f_a
    return render_frames(run, codes, lip_features(run, f_a[only]), torch.from_numpy(take.K), poses,
                         torch.from_numpy(take.background))


def evenly(n: int, wanted: int) -> Int[np.ndarray, "n"]:
    """At most `wanted` of the numbers 0 .. n - 1, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, wanted)).round().astype(np.int64))


def score_heldout(run: Run, train: Corpus, heldout: Corpus, per_take: int = 20) -> dict[str, dict]:
    """Rows of NAMES -> {"psnr": mean over frames inside the mask, "frames": n}; `per_take` frames of each take."""
    scores: dict[str, list[float]] = {name: [] for name in NAMES}
    for number, take in enumerate(heldout.takes):
        only = evenly(len(heldout.rows[number]), per_take)
        baseline = mean_frame(train, same_person(train, take))
        for name in NAMES:
            frames = [baseline] * len(only) if name == "mean_face" else \
                render_heldout(run, train, heldout, number, name, only)
            scores[name] += [measures.psnr(image, take.frames[row], take.masks[row])
                             for image, row in zip(frames, heldout.rows[number][only])]
    return {name: {"what": NAMES[name], "psnr": float(np.mean(values)), "frames": len(values)}
            for name, values in scores.items()}


# ---------------------------------------------------------------------------------------------------------------------
# The table

SHUFFLED = "audio_shuffled"
ROWS = {"truth": "true frames against themselves (the landmark regressor's own error)", **NAMES,
        SHUFFLED: "pose as in the take, sound of another sentence (lips should not fit)"}


def other_sound(heldout: Corpus, number: int) -> Float[np.ndarray, "T w d"]:
    """F_A of the next held-out take, turned round by half its length: sentences share the silence at both ends."""
    other = (number + 1) % len(heldout.takes)
    f_a = np.array(heldout.f_a[heldout.first[other]:heldout.first[other + 1]])
    return np.resize(np.roll(f_a, len(f_a) // 2, axis=0), (len(heldout.rows[number]), *f_a.shape[1:]))


def frames_of(run: Run, train: Corpus, heldout: Corpus, number: int, row: str) -> Iterable[np.ndarray]:
    """The frames (H, W, 3) that row `row` of the table scores for held-out take `number`."""
    take, rows = heldout.takes[number], heldout.rows[number]
    if row == "truth":
        return (take.frames[r] for r in rows)
    if row == "mean_face":
        return [mean_frame(train, same_person(train, take))] * len(rows)
    if row == SHUFFLED:
        return render_heldout(run, train, heldout, number, "audio_pose", f_a=other_sound(heldout, number))
    return render_heldout(run, train, heldout, number, row)


def table(run: Run, train: Corpus, heldout: Corpus, judges: Judges, names: Iterable[str] = tuple(ROWS)) -> list[dict]:
    """One dictionary a row of ROWS that `names` lists: row, what, frames, and scores.Row's figures."""
    out = []
    for name in tqdm(names, "scoring", unit="row"):
        row = Row()
        for number, take in enumerate(heldout.takes):
            frames = np.stack(list(frames_of(run, train, heldout, number, name)))
            f_a = np.array(heldout.f_a[heldout.first[number]:heldout.first[number + 1]])
            row.add(judges, frames, take, heldout.rows[number], f_a)
        out.append({"row": name, "what": ROWS[name], "frames": len(row.psnr), **row.figures()})
    return out


def markdown(rows: list[dict], note: str) -> str:
    """The table as Markdown, `note` below it."""
    names = [name for name in rows[0] if name != "row"]
    cell = lambda value: f"{value:.3f}" if isinstance(value, float) else str(value)
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(cell(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines) + f"\n\n{note}\n"


def evaluate(folder: Path, device: torch.device, fid: str = "random", weights: Path | None = None) -> str:
    """Score the run in `folder` and write evaluation.md and evaluation.csv there; returns the Markdown.

    fid: "random", or Inception's file (measures.load_features); weights: SyncNet's file. Raises InputError for files
    that cannot be used, before anything is computed.
    """
    from train import prepare_again  # here: train.py imports this file for its report
    run = load_run(folder, device)
    features = measures.load_features(fid, device)
    net = None if weights is None else syncnet.load_syncnet(weights)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".evaluate-") as work:
        train, heldout = prepare_again(run, Path(work))
        judges = make_judges(run.cfg, train, heldout, Path(work), device, features, net, folder / "sync_expert.pt")
        rows = table(run, train, heldout, judges)
    note = (f"{rows[0]['frames']} held-out frames of {run.cfg.size} x {run.cfg.size} pixels, preset {run.cfg.preset}, "
            f"{run.cfg.iters} iterations, seed {run.cfg.seed}. PSNR head is inside the mask, PSNR and SSIM are of the "
            "whole image; the PSNR of equal images is inf. LMD and mouth r (correlation of mouth opening at lag 0, "
            "mean over takes) use a landmark regressor trained on the training frames; its own error is the first row. "
            f"It draws a mouth even where there is none: look at preview.png too. {judges.note()} The confidence is "
            "the median less the least of the mean distances at all offsets; offset and lag are in frames, positive "
            "where the picture is late, and say nothing where the confidence is near that of another sentence's sound.")
    write_table(folder, "evaluation", rows, markdown(rows, note))
    return markdown(rows, note)


def write_table(folder: Path, name: str, rows: list[dict], text: str) -> None:
    """NAME.csv with the rows and NAME.md with the text, in `folder`."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0].keys())
    writer.writeheader(), writer.writerows(rows)
    for path, content in ((folder / f"{name}.md", text), (folder / f"{name}.csv", buffer.getvalue())):
        with replacing(path) as temporary:
            temporary.write_text(content)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line: a run to score, or --table2 or --choices and what belongs to them."""
    parser = argparse.ArgumentParser(
        description="Score a run on held-out frames (Sec. 4.3), or make a table of many runs (Sec. 4.6).")
    parser.add_argument("run", type=Path, nargs="?", help="run folder written by train.py")
    parser.add_argument("--fid-features", default="random", metavar="FILE",
                        help="Inception's TorchScript file for FID (default: random, see the note of the table)")
    parser.add_argument("--syncnet", type=Path, metavar="FILE",
                        help="SyncNet's published weights (default: an expert trained on the spot stands in)")
    study = parser.add_argument_group("tables of many runs, trained and scored on stand-in heads")
    which = study.add_mutually_exclusive_group()
    which.add_argument("--table2", dest="study", action="store_const", const="table2", help="the rows of Table 2")
    which.add_argument("--choices", dest="study", action="store_const", const="choices",
                       help="other choices of training, one at a time")
    study.add_argument("--out", type=Path, help="where the runs go (default: runs/table2 or runs/choices)")
    study.add_argument("--seeds", help="comma separated (default: 0,1,2 for Table 2, 0 for the choices)")
    study.add_argument("--iters", type=int, help="iterations of the field stage")
    study.add_argument("--preset", choices=PRESETS, default="small", help="default: small")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    args = parser.parse_args(argv)
    if (args.study is None) == (args.run is None):
        parser.error("give a run folder, or --table2 or --choices without one")
    return args


def main(argv: list[str] | None = None) -> None:
    """Evaluate from the command line. Raises InputError for whatever the user can put right."""
    args = parse(argv)
    device = pick_device(args.device)
    if args.study is None:
        print(evaluate(args.run, device, args.fid_features, args.syncnet))
        return
    import choices  # here: they build on this file
    import table2
    make, seeds = {"table2": (table2.table2, "0,1,2"), "choices": (choices.choices, "0")}[args.study]
    seeds = (args.seeds or seeds).split(",")
    if not all(seed.strip().isdigit() for seed in seeds):
        raise InputError(f"--seeds {args.seeds}: want whole numbers from 0 on, such as 0,1,2")
    cfg = PRESETS[args.preset]
    cfg = cfg if args.iters is None else replace(cfg, iters=args.iters)
    print(make(cfg, [int(seed) for seed in seeds], args.out or Path("runs") / args.study, device))


if __name__ == "__main__":
    run_cli(main)
