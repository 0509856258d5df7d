"""animate.py - Sec. 3.1 at synthesis: new speech in, a talking-head video with sound out.

    python animate.py runs/clip --audio speech.wav --out talk.mp4 [--yaw 10] [--pitch 5] [--orbit]
    python animate.py runs/clip --audio speech.wav --into clip.mp4 --out full.mp4
    python animate.py runs/clip --audio speech.wav --poses poses.npy --label
    python animate.py runs/heads --audio speech.wav --identity toy03 --light toy01:0.5,toy02:0.5
    python animate.py runs/heads --sweep identity,albedo --out grid.png
    python animate.py runs/heads --page explore.html [--audio speech.wav]

In: a run folder of train.py (its checkpoint is all that is needed) and any sound file. Out: an .mp4
as long as the sound; with --page a page of sliders for a browser (inference/page.py). Who moves
what: F_lip, the lips, comes from the new speech; C_ex (blinks, brows, talking style) and the head
pose replay the source forwards and backwards; C_id, C_al and C_ill are those of the chosen take, or
what the options ask for (inference/codes.py).
--poses moves the head otherwise (rendering.about_mean); --yaw, --pitch and --orbit add to either.
--into pastes the head into the full frames of its clip, which are replayed as C_ex is
(inference/paste.py). --label writes "synthetic" into every picture. Next: evaluate.py.
"""
from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from tqdm import tqdm

from inference.codes import OPTIONS, chosen_codes, sweep_values
from inference.page import check_page, write_page
from inference.paste import into_frames, source_frames
from inference.pictures import PICTURES, caption, enlarge, label, write_image
from inference.rendering import (back_and_forth, driven_poses, load_poses, render_frames,
                                 sound_to_lips, turn_head)
from inference.run import Run, load_run, pick_device
from tools.errors import InputError, run_cli
from tools.media import SAMPLE_RATE, check_audio_length, check_target, read_audio, write_video

ORBIT_DEGREES, ORBIT_SECONDS = 15.0, 4.0
FARTHEST_TURN = 60.0  # degrees that --yaw and --pitch may ask for


def animate(run: Run, wave: Float[np.ndarray, "N"], subject: str | None = None, yaw: float = 0.0,
            pitch: float = 0.0, orbit: bool = False, choices: dict[str, str] | None = None, *,
            poses: Float[np.ndarray, "P *pose"] | None = None, into: str | Path | None = None
            ) -> tuple[Iterator[np.ndarray], int, float]:
    """Drive the head of `subject` by speech (N,) at 16 kHz.

    Returns (frames, their number, frames per second). The video lasts as long as the sound, to the
    nearest frame. choices: codes from elsewhere, option -> whose, see inference/codes.py. poses: as
    rendering.load_poses gives them, at the take's rate, in place of the take's own. into: the clip
    of the take; the frames are then as large as its pictures. Raises InputError at once, before the
    first frame is asked for.
    """
    take = run.take(subject)
    length = max(1, round(len(wave) / SAMPLE_RATE * take["fps"]))
    time = np.arange(length) / take["fps"]
    own = take["cam_to_head"].numpy()
    numbers = back_and_forth(len(own), length)
    sway = ORBIT_DEGREES * np.sin(2 * np.pi * time / ORBIT_SECONDS) if orbit else np.zeros(length)
    moving = own[numbers] if poses is None else driven_poses(own, poses, length)
    sources = None if into is None else source_frames(take, into, numbers)
    turned = turn_head(moving, yaw + sway, np.full(length, pitch))
    codes = chosen_codes(run, take["name"], numbers, choices or {})
    frames = render_frames(run, codes, sound_to_lips(run, wave, time), take["K"],
                           torch.from_numpy(turned), run.backgrounds[take["background"]],
                           take.get("rest"))
    if sources is not None:
        frames = into_frames(sources, frames, take["box"])
    return frames, length, take["fps"]


def sweep(run: Run, swept: str, wave: Float[np.ndarray, "N"] | None = None,
          subject: str | None = None, choices: dict[str, str] | None = None, columns: int = 5,
          labelled: bool = False) -> UInt8[np.ndarray, "H W 3"]:
    """A grid of pictures: one code changes from row to row, a second one, or time, along a row.

    swept: "identity", or two options such as "identity,albedo". Over time head pose and, where
    there is sound, lips change; without it they are those of silence. labelled: every picture says
    that it is synthetic. Raises InputError for other options.
    """
    take = run.take(subject)
    options = [option.strip() for option in swept.split(",")]
    if len(options) > 2 or not set(options) <= set(OPTIONS):
        raise InputError(f"--sweep {swept}: want one or two of {', '.join(OPTIONS)}")
    wave = np.zeros(SAMPLE_RATE, np.float32) if wave is None else wave
    steps = columns if len(options) == 1 else 1
    along = (np.arange(steps) + 0.5) / steps
    numbers = (along * len(take["cam_to_head"])).astype(np.int64)
    f_lip = sound_to_lips(run, wave, along * len(wave) / SAMPLE_RATE)
    values = [sweep_values(run, option, take["name"]) for option in options]
    rows = []
    for first in values[0]:
        cells = []
        for others in itertools.product(*values[1:]):
            whose = (first, *others)
            asked = (choices or {}) | dict(zip(options, whose))
            codes = chosen_codes(run, take["name"], numbers, asked)
            frames = render_frames(run, codes, f_lip, take["K"], take["cam_to_head"][numbers],
                                   run.backgrounds[take["background"]], take.get("rest"))
            cells += [caption(picture, " | ".join(whose))
                      for picture in finished(frames, 128, labelled)]
        rows.append(np.concatenate(cells, 1))
    return np.concatenate(rows)


def finished(frames: Iterator[np.ndarray], at_least: int, labelled: bool) -> Iterator[np.ndarray]:
    """The frames as they are written: at_least px high, and labelled where that is asked for."""
    for frame in frames:
        picture = enlarge(frame, at_least)
        yield label(picture) if labelled else picture


# ---- the command line ----------------------------------------------------------------------------

def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Animate a trained head with new speech (Sec. 3.1).")
    add = parser.add_argument
    add("run", help="run folder written by train.py")
    add("--audio", help="speech: .wav or any file with sound; --sweep and --page can do without")
    add("--out", help="file to write: .mp4 (default: talk.mp4); with --sweep .png or .jpg "
        "(default: sweep.png)")
    add("--subject", help="whose head and pose, where the run has several: a subject, or "
        "subject/sentence")
    for option in OPTIONS:
        add(f"--{option}", metavar="WHOSE", help=f"{option} of another subject, subject/sentence, "
            "its frame (toy01/sentence02@12), or a mixture (toy01:0.3,toy02:0.7)")
    add("--sweep", metavar="WHAT", help="write a grid of pictures over all values of one of these "
        "four (identity), or of two (identity,albedo)")
    add("--page", metavar="FILE.html", help="write a page with sliders for identity, expression, "
        "albedo, light, yaw and mouth, and a sentence (--audio, or a held-out one of the run)")
    add("--into", metavar="CLIP", help="paste the head into the full frames of the clip that the "
        "run was trained on, which are replayed forwards and backwards")
    add("--poses", metavar="FILE.npy", help="another motion of the head, a pose for every frame, "
        "replayed forwards and backwards. (T, 3): degrees about the mean pose of the source, as "
        "the camera sees it: yaw, positive to the image's right; pitch, positive upwards; roll, "
        "positive anticlockwise. (T, 6): then x to the right, y up, z to the camera, dm. "
        "(T, 4, 4): cam_to_head, used as it is")
    add("--yaw", type=float, default=0.0, help="turn the head, on top of its motion: degrees, "
        f"positive to the image's right, at most {FARTHEST_TURN:.0f} either way")
    add("--pitch", type=float, default=0.0, help="tilt the head, on top of its motion: degrees, "
        f"positive upwards, at most {FARTHEST_TURN:.0f} either way")
    add("--orbit", action="store_true", help=f"swing {ORBIT_DEGREES:.0f} degrees to each side")
    add("--label", action="store_true", help="write \"synthetic\" into the lower right corner of "
        "every picture")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    args = parser.parse_args(argv)
    if args.audio is None and args.sweep is None and args.page is None:
        parser.error("give --audio for a video, --sweep for a grid of pictures, or --page for a "
                     "page with sliders")
    if args.page is not None:
        return args
    args.out = args.out or ("talk.mp4" if args.sweep is None else "sweep.png")
    return args


def check_options(args: argparse.Namespace) -> None:
    """Raise InputError on options that cannot be followed, before anything is loaded."""
    if args.page is not None:
        check_options_of_page(args)
        return
    for option in ("yaw", "pitch"):
        degrees = getattr(args, option)
        if not abs(degrees) <= FARTHEST_TURN:  # nan too
            raise InputError(f"--{option} {degrees:g}: want degrees from {-FARTHEST_TURN:.0f} to "
                             f"{FARTHEST_TURN:.0f}")
    for option in ("into", "poses"):
        value = getattr(args, option)
        if args.sweep is not None and value is not None:
            raise InputError(f"--{option} {value}: is for a video, and --sweep makes a grid of "
                             "pictures; leave one of the two out")
    check_out(Path(args.out), [args.audio, args.into, args.poses])
    if args.sweep is None:
        check_target(args.out)
    elif Path(args.out).suffix.lower() not in PICTURES:
        raise InputError(f"{args.out}: pictures are written as .png or .jpg; choose another --out")


def check_options_of_page(args: argparse.Namespace) -> None:
    """`check_options` for --page, whose sliders stand for most of the other options."""
    given = {option: getattr(args, option) for option in (
        "sweep", "out", "into", "poses", "orbit", "label", "yaw", "pitch", *OPTIONS)}
    for option, value in given.items():
        if value not in (None, False, 0.0):
            raise InputError(f"--{option}: goes with a video or a grid of pictures, not with "
                             "--page, which has sliders; leave one of the two out")
    check_out(Path(args.page), [args.audio])
    check_page(args.page)


def check_out(out: Path, inputs: list[str | None]) -> None:
    """Raise InputError where `out` cannot be written: it is better known before the rendering.

    inputs: files that are read and must not be replaced.
    """
    if out.is_dir():
        raise InputError(f"{out}: is a folder; give a file name")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK | os.X_OK):
        raise InputError(f"{out}: cannot write in this folder; choose a folder that exists and is "
                         "writable")
    for path in (Path(name) for name in inputs if name is not None):
        if out.exists() and path.exists() and out.samefile(path):
            raise InputError(f"{out}: would overwrite what is read; choose another --out")


def main(argv: list[str] | None = None) -> None:
    """Write a talking-head video, a grid or a page from the command line.

    Raises InputError for whatever the user can put right.
    """
    args = parse(argv)
    check_options(args)
    poses = None if args.poses is None else load_poses(args.poses)
    run = load_run(args.run, pick_device(args.device))
    choices = {option: getattr(args, option) for option in OPTIONS if getattr(args, option)}
    wave = None if args.audio is None else read_audio(args.audio)
    if args.page is not None:
        write_page(run, args.page, wave, args.subject)
        print(f"wrote {args.page}: open it in a browser")
        return
    if args.sweep is not None:
        grid = sweep(run, args.sweep, wave, args.subject, choices, labelled=args.label)
        write_image(args.out, grid)
        print(f"wrote {args.out}")
        return
    check_audio_length(wave, run.take(args.subject)["fps"], args.audio)
    frames, length, fps = animate(run, wave, args.subject, args.yaw, args.pitch, args.orbit,
                                  choices, poses=poses, into=args.into)
    smallest = 256 if args.into is None else 1  # px; full frames keep their size
    with tqdm(frames, "rendering", length, unit="frame") as bar:
        write_video(args.out, finished(iter(bar), smallest, args.label), fps, wave)
    print(f"wrote {args.out}: {length} frames at {fps:g} a second, {length / fps:.2f} s")


if __name__ == "__main__":
    run_cli(main)
