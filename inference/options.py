"""options.py - Sec. 4.2: from what the user asks of train.py to the configuration of a run.

In:  the command line of train.py; with --resume, the run folder. Out: a Config, or the Checkpoint
     that training goes on from.
Read next: run.py.
"""
from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import torch

from config import PRESETS, Config, for_data, shortened
from data.clip import asked_offset
from data.prepare import check_source, is_clips, sound_of_clips
from inference.folder import open_folder
from inference.run import Checkpoint
from speed.measure import has_bfloat16
from speed import precision
from tools.errors import InputError, replacing


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line. What is not given stays None: so --resume can tell what was asked for."""
    parser = argparse.ArgumentParser(description="Train a disentangling head NeRF (see README.md).")
    add = parser.add_argument
    add("--data", help="clip.mp4; folder of clips, VOCASET, AD-NeRF; default: stand-in heads")
    add("--av-offset", help="ms by which a clip's picture leads its sound, auto (default), or 0")
    add("--out", type=Path, help="run folder (default: runs/NAME of the data)")
    add("--preset", choices=PRESETS, help="default: paper on a CUDA device, else small")
    add("--size", type=int, help="side of the image, px (default: 512, in medium 256, small 128)")
    add("--subjects", help="names, comma separated, or how many")
    add("--sentences", help="names, comma separated, or how many per subject")
    add("--pairs", type=int, help="frame pairs per step; of several processes (torchrun) together")
    add("--iters", type=int, help="iterations of the field stage")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--seed", type=int)
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--precision", choices=precision.CHOICES, help="of the layers while the field is trained "
        "(default: auto, bfloat16 on a CUDA device that has it, else float32)")
    add("--audio-features", help="logmel, phones, hubert, or a HuBERT model's name or folder")
    add("--landmark-model", help="MediaPipe's face_landmarker.task, for versions that bring none")
    add("--matte-model", help="MediaPipe's selfie segmentation model, likewise")
    add("--mine", metavar="FOLDER", help="use its functions that pass python exercises.py check")
    add("--vgg", help="weights of Eq. 4: none, random, download, or a file")
    add("--no-sync", dest="sync", action="store_const", const=False, help="without F_lip (Table 2)")
    add("--no-dis", action="store_true", help="without L_dis (Table 2)")
    add("--no-vel", action="store_true", help="without L_v")
    return parser.parse_args(argv)


def chosen_values(args: argparse.Namespace) -> dict:
    """The configuration fields that the command line sets itself."""
    names = ("data av_offset size subjects sentences iters seed audio_features vgg sync preset "
             "precision pairs landmark_model matte_model mine")
    values = {n: getattr(args, n) for n in names.split() if getattr(args, n) is not None}
    for name in ("data", "landmark_model", "matte_model", "mine"):  # to be found from anywhere
        values |= {name: os.path.abspath(values[name])} if name in values else {}
    values |= {"lambda_dis": 0.0} if args.no_dis else {}
    return values | ({"lambda_v": 0.0} if args.no_vel else {})


def new_config(args: argparse.Namespace, device: torch.device) -> Config:
    """Preset plus command line. Raises InputError on values that cannot work."""
    preset = PRESETS[args.preset or ("paper" if device.type == "cuda" else "small")]
    cfg = replace(preset, **chosen_values(args))
    asked_offset(cfg.av_offset)
    clips = cfg.data is not None and is_clips(cfg.data)
    cfg = for_data(cfg, clips, args.size, args.iters)
    if clips and args.audio_features is None and preset.audio_features == "logmel":
        cfg = replace(cfg, audio_features=sound_of_clips())
    if cfg.size < 32 or cfg.size % max(cfg.upsample, 16):
        raise InputError(f"--size {cfg.size}: want a multiple of 16 of at least 32")
    if cfg.iters < 1:
        raise InputError(f"--iters {cfg.iters}: want at least 1")
    if cfg.pairs < 1:
        raise InputError(f"--pairs {cfg.pairs}: want at least 1")
    if cfg.seed < 0:
        raise InputError(f"--seed {cfg.seed}: want 0 or more")
    if cfg.precision == "bfloat16" and not has_bfloat16(device):
        print("this processor has no products of bfloat16: they are emulated, far slower than "
              "float32; leave --precision out")
    return shortened(cfg)


def begun(out: Path, args: argparse.Namespace, device: torch.device) -> Checkpoint:
    """A new run in `out`, of which there is a configuration only. Raises InputError."""
    if args.data is not None:
        check_source(args.data)  # before anything is written or said
    checkpoint = Checkpoint(new_config(args, device))
    open_folder(out)
    write(checkpoint.cfg, out)  # now: preparation can be interrupted, too
    return checkpoint


def write(cfg: Config, out: Path) -> None:
    """config.json of the run folder."""
    with replacing(out / "config.json") as temporary:
        temporary.write_text(json.dumps(cfg.to_dict(), indent=1))


def resumed(out: Path, args: argparse.Namespace) -> Checkpoint:
    """Checkpoint of the run in `out`, or its configuration alone; only --iters may be another."""
    path = out / "config.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; nothing to resume here, leave out --resume")
    try:
        checkpoint = Checkpoint.read(out) if (out / "checkpoint.pt").is_file() else \
            Checkpoint(Config.from_dict(json.loads(path.read_text())))
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged ({error}); start again in another --out") from error
    cfg, given = checkpoint.cfg, chosen_values(args)
    for name, value in given.items():
        if name != "iters" and getattr(cfg, name) != value:
            raise InputError(f"{out}: was trained with {name} = {getattr(cfg, name)}, not {value}; "
                             "resume without that option, or start another run with another --out")
    return replace(checkpoint, cfg=replace(cfg, iters=given.get("iters", cfg.iters)))
