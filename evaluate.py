"""evaluate.py - Sec. 4.3, 4.6: measure a run, or train and measure many.

    python evaluate.py runs/heads                 evaluation.md, .csv: held-out frames (Table 1)
    python evaluate.py runs/heads --disentangle   disentangle.md, .csv, swaps.png: separate codes?
    python evaluate.py runs/heads --drive other.mp4   drive.md, .csv, .png: another clip's speech
    python evaluate.py --table2                   trains and scores the rows of Table 2
    python evaluate.py --choices                  the same for single choices of training
    python evaluate.py --controls                 the same for other readings of the paper

In: run folders of train.py. Out: tables. What they hold: evaluation/heldout.py, disentangle.py,
drive.py and ablation.py. Next: exercises.py.
"""
from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

import train
from config import PRESETS, Config
from evaluation import measures, syncnet
from evaluation.ablation import STUDIES, run_study, with_vgg
from evaluation.disentangle import disentangle
from evaluation.drive import FINDERS, drive
from evaluation.heldout import prepare_again, table
from evaluation.judges import make_judges
from evaluation.tables import markdown, write_table
from inference.run import load_run, pick_device
from tools.errors import InputError, run_cli


def evaluate(folder: Path, device: torch.device, fid: str = "random",
             weights: Path | None = None) -> str:
    """Score the run in `folder` and write evaluation.md and evaluation.csv there.

    fid: "random", or Inception's file (measures.load_features); weights: SyncNet's file. Returns
    the Markdown. Raises InputError for files that cannot be used, before anything is computed.
    """
    run = load_run(folder, device)
    features = measures.load_features(fid, device)
    net = None if weights is None else syncnet.load_syncnet(weights)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".evaluate-") as work:
        train_set, heldout_set = prepare_again(run, Path(work))
        judges = make_judges(run.cfg, train_set, heldout_set, Path(work), device, features, net,
                             folder / "sync_expert.pt")
        rows = table(run, train_set, heldout_set, judges)
    shown = [name for name in rows[0] if name != "row"]
    cells = ([row[name] for name in shown] for row in rows)
    text = f"{markdown(shown, cells)}\n\n{note_on(run.cfg, rows, judges.note())}\n"
    write_table(folder, "evaluation", rows, text)
    return text


def note_on(cfg: Config, rows: list[dict], judged: str) -> str:
    """What stands below the table: how its scores were measured."""
    return (
        f"{rows[0]['frames']} held-out frames of {cfg.size} x {cfg.size} pixels, preset "
        f"{cfg.preset}, {cfg.iters} iterations, seed {cfg.seed}. PSNR head is inside the mask, "
        "PSNR and SSIM are of the whole image; the PSNR of equal images is inf. LMD and mouth r "
        "(correlation of mouth opening at lag 0, mean over takes) use a landmark regressor trained "
        "on the training frames; its own error is the first row. It draws a mouth even where there "
        f"is none: look at preview.png too. {judged} The confidence is the median less the least "
        "of the mean distances at all offsets; offset and lag are in frames, positive where the "
        "picture is late, and say nothing where the confidence is near that of another sentence's "
        "sound.")


def add_drive_options(parser: argparse.ArgumentParser) -> None:
    """--drive, and what goes with it."""
    group = parser.add_argument_group("a run's head under other people's speech")
    group.add_argument("--drive", type=Path, nargs="+", metavar="CLIP",
                       help="clips with landmarks beside them: does the head's mouth move as that "
                            "of the speaker whose sound it gets?")
    group.add_argument("--finder", choices=FINDERS, default="auto",
                       help="what finds landmarks in renders: MediaPipe, or a regressor trained on "
                            "the training frames (default: MediaPipe where it is installed)")
    group.add_argument("--av-offset", default="auto", metavar="MS",
                       help="milliseconds by which the pictures of these clips lead their sound, "
                            "auto (default) or 0")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line: a run to score, or a table of many and what belongs to it."""
    parser = argparse.ArgumentParser(
        description="Score a run on held-out frames (Sec. 4.3), or make a table of many runs "
                    "(Sec. 4.6).")
    parser.add_argument("run", type=Path, nargs="?", help="run folder written by train.py")
    parser.add_argument("--fid-features", default="random", metavar="FILE",
                        help="Inception's TorchScript file for FID (default: random, see the note "
                             "of the table)")
    parser.add_argument("--syncnet", type=Path, metavar="FILE",
                        help="SyncNet's published weights (default: an expert trained on the spot "
                             "stands in)")
    parser.add_argument("--disentangle", action="store_true",
                        help="of a run on stand-in heads: recombination, leakage, audio swap, and "
                             "a picture in which codes are exchanged")
    add_drive_options(parser)
    study = parser.add_argument_group("tables of many runs, trained and scored on stand-in heads")
    which = study.add_mutually_exclusive_group()
    which.add_argument("--table2", dest="study", action="store_const", const="table2",
                       help="the rows of Table 2")
    which.add_argument("--choices", dest="study", action="store_const", const="choices",
                       help="other choices of training, one at a time")
    which.add_argument("--controls", dest="study", action="store_const", const="controls",
                       help="other readings of the paper: mask, weights, L_per, joint training")
    study.add_argument("--vgg", default="random", metavar="FILE",
                       help="with --controls: VGG16's published weights (default: random filters)")
    study.add_argument("--out", type=Path,
                       help="where the runs go (default: runs/ and the name of the table)")
    study.add_argument("--seeds",
                       help="comma separated (default: 0,1,2; for the choices 0)")
    study.add_argument("--iters", type=int, help="iterations of the field stage")
    study.add_argument("--preset", choices=PRESETS, default="small", help="default: small")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    args = parser.parse_args(argv)
    of_run = args.disentangle or args.drive
    if (args.study is None) == (args.run is None) or of_run and args.run is None:
        parser.error("give a run folder, or --table2, --choices or --controls without one")
    if args.disentangle and args.drive:
        parser.error("--disentangle and --drive: give one of them")
    return args


def measure_run(args: argparse.Namespace, device: torch.device) -> str:
    """What the options ask of one run, as Markdown."""
    if args.disentangle:
        return disentangle(args.run, device)
    if args.drive:
        return drive(args.run, args.drive, device, args.finder, args.av_offset)
    return evaluate(args.run, device, args.fid_features, args.syncnet)


def main(argv: list[str] | None = None) -> None:
    """Evaluate from the command line. Raises InputError for whatever the user can put right."""
    args = parse(argv)
    device = pick_device(args.device)
    if args.run is not None:
        print(measure_run(args, device))
        return
    study = with_vgg(STUDIES[args.study], args.vgg)
    seeds = (args.seeds or ",".join(map(str, study.seeds))).split(",")
    if not all(seed.strip().isdigit() for seed in seeds):
        raise InputError(f"--seeds {args.seeds}: want whole numbers from 0 on, such as 0,1,2")
    cfg = PRESETS[args.preset]
    cfg = cfg if args.iters is None else replace(cfg, iters=args.iters)
    out = args.out or Path("runs") / args.study
    print(run_study(study, cfg, [int(seed) for seed in seeds], out, device, train.run_stages))


if __name__ == "__main__":
    run_cli(main)
