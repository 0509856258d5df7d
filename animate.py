"""animate.py - Sec. 3.1 at synthesis: new speech in, a talking-head video with sound out.

    python animate.py runs/clip --audio speech.wav --out talk.mp4 [--yaw 10] [--pitch 5] [--orbit]
    python animate.py runs/heads --audio speech.wav --identity toy03 --light toy01:0.5,toy02:0.5
    python animate.py runs/heads --sweep identity,albedo --out grid.png

In: a run folder of train.py (its checkpoint is all that is needed) and any sound file. Out: an .mp4
as long as the sound. Who moves what: F_lip, the lips, comes from the new speech; C_ex (blinks,
brows, talking style) and the head pose replay the source forwards and backwards; C_id, C_al and
C_ill are those of the chosen take, or what the options ask for (inference/codes.py).
Next: evaluate.py.
"""
from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, UInt8
from tqdm import tqdm

from inference.codes import OPTIONS, chosen_codes, sweep_values
from inference.pictures import caption, enlarge, write_image
from inference.rendering import back_and_forth, render_frames, sound_to_lips, turn_head
from inference.run import Run, load_run, pick_device
from tools.errors import InputError, run_cli
from tools.media import SAMPLE_RATE, check_audio_length, read_audio, write_video

ORBIT_DEGREES, ORBIT_SECONDS = 15.0, 4.0


def animate(run: Run, wave: Float[np.ndarray, "N"], subject: str | None = None, yaw: float = 0.0,
            pitch: float = 0.0, orbit: bool = False, choices: dict[str, str] | None = None
            ) -> tuple[Iterator[np.ndarray], int, float]:
    """Drive the head of `subject` by speech (N,) at 16 kHz.

    Returns (frames, their number, frames per second). The video lasts as long as the sound, to the
    nearest frame. choices: codes from elsewhere, option -> whose, see inference/codes.py.
    """
    take = run.take(subject)
    length = max(1, round(len(wave) / SAMPLE_RATE * take["fps"]))
    time = np.arange(length) / take["fps"]
    numbers = back_and_forth(len(take["cam_to_head"]), length)
    sway = ORBIT_DEGREES * np.sin(2 * np.pi * time / ORBIT_SECONDS) if orbit else np.zeros(length)
    poses = turn_head(take["cam_to_head"].numpy()[numbers], yaw + sway, np.full(length, pitch))
    codes = chosen_codes(run, take["name"], numbers, choices or {})
    frames = render_frames(run, codes, sound_to_lips(run, wave, time), take["K"],
                           torch.from_numpy(poses), run.backgrounds[take["background"]])
    return frames, length, take["fps"]


def sweep(run: Run, swept: str, wave: Float[np.ndarray, "N"] | None = None,
          subject: str | None = None, choices: dict[str, str] | None = None, columns: int = 5
          ) -> UInt8[np.ndarray, "H W 3"]:
    """A grid of pictures: one code changes from row to row, a second one, or time, along a row.

    swept: "identity", or two options such as "identity,albedo". Over time head pose and, where
    there is sound, lips change; without it they are those of silence. Raises InputError for other
    options.
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
                                   run.backgrounds[take["background"]])
            cells += [caption(enlarge(frame, 128), " | ".join(whose)) for frame in frames]
        rows.append(np.concatenate(cells, 1))
    return np.concatenate(rows)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Animate a trained head with new speech (Sec. 3.1).")
    add = parser.add_argument
    add("run", help="run folder written by train.py")
    add("--audio", help="speech: .wav or any file with sound; a --sweep can do without")
    add("--out", help="file to write (default: talk.mp4, or sweep.png with --sweep)")
    add("--subject", help="whose head and pose, where the run has several: a subject, or "
        "subject/sentence")
    for option in OPTIONS:
        add(f"--{option}", metavar="WHOSE", help=f"{option} of another subject, subject/sentence, "
            "its frame (toy01/sentence02@12), or a mixture (toy01:0.3,toy02:0.7)")
    add("--sweep", metavar="WHAT", help="write a grid of pictures over all values of one of these "
        "four (identity), or of two (identity,albedo)")
    add("--yaw", type=float, default=0.0,
        help="turn the head, degrees, positive to the image's right")
    add("--pitch", type=float, default=0.0, help="tilt the head, degrees, positive upwards")
    add("--orbit", action="store_true", help=f"swing {ORBIT_DEGREES:.0f} degrees to each side")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    args = parser.parse_args(argv)
    if args.audio is None and args.sweep is None:
        parser.error("give --audio for a video, or --sweep for a grid of pictures")
    return args


def main(argv: list[str] | None = None) -> None:
    """Write a talking-head video from the command line.

    Raises InputError for whatever the user can put right.
    """
    args = parse(argv)
    run = load_run(args.run, pick_device(args.device))
    choices = {option: getattr(args, option) for option in OPTIONS if getattr(args, option)}
    wave = None if args.audio is None else read_audio(args.audio)
    if args.sweep:
        out = args.out or "sweep.png"
        write_image(out, sweep(run, args.sweep, wave, args.subject, choices))
        print(f"wrote {out}")
        return
    out = args.out or "talk.mp4"
    check_audio_length(wave, run.take(args.subject)["fps"], args.audio)
    frames, length, fps = animate(run, wave, args.subject, args.yaw, args.pitch, args.orbit,
                                  choices)
    with tqdm(frames, "rendering", length, unit="frame") as bar:
        write_video(out, (enlarge(frame) for frame in bar), fps, wave)
    print(f"wrote {out}: {length} frames at {fps:g} a second, {length / fps:.2f} s")


if __name__ == "__main__":
    run_cli(main)
