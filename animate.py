"""animate.py - Sec. 3.1 at synthesis: new speech in, a talking-head video with sound out.

    python animate.py runs/clip --audio speech.wav --out talk.mp4 [--yaw 10] [--pitch 5] [--orbit] [--subject NAME]
    python animate.py runs/heads --audio speech.wav --identity toy03 --light toy01:0.5,toy02:0.5
    python animate.py runs/heads --sweep identity,albedo --out grid.png

In: a run folder of train.py (its checkpoint is all that is needed) and any sound file. Out: an .mp4 as long as the
sound. Who moves what: F_lip, the lips, comes from the new speech; C_ex (blinks, brows, talking style) and the head
pose replay the source forwards and backwards; C_id, C_al and C_ill are those of the chosen take, or what the options
ask for (controls.py). Next: evaluate.py.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

import controls
import mesh
from audio import AudioEncoder, feature_extractor
from config import Config
from dhnerf import CODES, DHNeRF, LatentCodes, LatentExtractor
from media import SAMPLE_RATE, InputError, check_audio_length, read_audio, run_cli, write_image, write_video

FORMAT = 2  # of checkpoint.pt; raised when old files can no longer be read
ORBIT_DEGREES, ORBIT_SECONDS = 15.0, 4.0


@dataclass
class Run:
    """A trained run, ready to render.

    `takes`: name, subject, fps, K (3, 3), cam_to_head (T, 4, 4), background (number), codes (row of "id", "al", "ill"),
    first (row of C_ex of its first frame; the others follow).
    """
    cfg: Config
    model: DHNeRF
    codes: LatentCodes
    extractor: LatentExtractor
    e_audio: AudioEncoder | None
    takes: list[dict]
    backgrounds: Tensor  # (n, H, W, 3) uint8
    device: torch.device

    def take_number(self, subject: str | None = None) -> int:
        """The first take of `subject` (a subject's name, or subject/sentence); the first of all for None."""
        if subject is None:
            return 0
        for number, take in enumerate(self.takes):
            if subject in (take["subject"], take["name"]):
                return number
        names = ", ".join(sorted({take["subject"] for take in self.takes}))
        raise InputError(f"--subject {subject}: not in this run; it knows {names}")


def pick_device(name: str) -> torch.device:
    """`--device`: auto takes CUDA where there is one."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: this PyTorch sees no CUDA device; use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def read_checkpoint(folder: str | Path) -> dict:
    """checkpoint.pt of a run folder, tensors and plain containers only. Raises InputError when it cannot be used."""
    path = Path(folder) / "checkpoint.pt"
    if not path.is_file():
        raise InputError(f"{path}: no such file; train first (python train.py --out {folder})")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        version = state["format"]
    except Exception as error:  # zip, pickle and key errors all mean the same to the user
        raise InputError(f"{path}: not a checkpoint of this program or damaged ({str(error).splitlines()[0][:120]}); "
                         "train again") from error
    if version != FORMAT:
        raise InputError(f"{path}: written in format {version}, this program reads {FORMAT}; train again")
    return state


def load_run(folder: str | Path, device: torch.device = torch.device("cpu")) -> Run:
    """Rebuild the networks of a run folder. Raises InputError when training has not reached the field stage."""
    state = read_checkpoint(folder)
    if "model" not in state:
        raise InputError(f"{folder}/checkpoint.pt: training stopped before the field; go on with "
                         f"python train.py --resume --out {folder}")
    try:
        return _build_run(state, device)
    except (RuntimeError, KeyError, TypeError) as error:
        raise InputError(f"{folder}/checkpoint.pt: its weights do not fit its configuration "
                         f"({str(error).splitlines()[0][:120]}); train again") from error


def _build_run(state: dict, device: torch.device) -> Run:
    cfg = Config.from_dict(state["config"])
    model, extractor = DHNeRF(cfg), LatentExtractor(cfg)
    model.load_state_dict(state["model"])
    extractor.load_state_dict(state["extractor"])
    codes = LatentCodes({name: state["codes"][f"ref_{name}"] for name in CODES})
    codes.load_state_dict(state["codes"])
    if cfg.code_per_frame:
        codes = codes.of_frames(middle_frames(state["takes"]))
    e_audio = None
    if cfg.sync:
        e_audio = AudioEncoder(state["d_audio"], cfg.audio_window, cfg.d_lip)
        e_audio.load_state_dict(state["e_audio"])
        e_audio.eval().to(device)
    return Run(cfg, model.eval().to(device), codes.to(device), extractor.eval().to(device), e_audio,
               state["takes"], state["backgrounds"], device)


def middle_frames(takes: list[dict]) -> dict[str, Tensor]:
    """For each label a training frame that stands for it, {"id": (labels,), ...}: the middle one of its first take."""
    found: dict[str, dict[int, int]] = {"id": {}, "al": {}, "ill": {}}
    for take in takes:
        for factor, frames in found.items():
            frames.setdefault(take["codes"][factor], take["first"] + len(take["cam_to_head"]) // 2)
    return {factor: torch.tensor([frames[label] for label in sorted(frames)]) for factor, frames in found.items()}


# ---------------------------------------------------------------------------------------------------------------------


def back_and_forth(n: int, length: int) -> np.ndarray:
    """Indices (length,) that walk 0 .. n-1 .. 0 .. n-1 without repeating the ends: a replay without a jump."""
    if n == 1:
        return np.zeros(length, dtype=np.int64)
    phase = np.arange(length) % (2 * n - 2)
    return np.where(phase < n, phase, 2 * n - 2 - phase)


def turn_head(cam_to_head: Float[np.ndarray, "T 4 4"], yaw: Float[np.ndarray, "T"], pitch: Float[np.ndarray, "T"]
              ) -> Float[np.ndarray, "T 4 4"]:
    """Turn the head by yaw (degrees, positive: towards the image's right) and pitch (positive: up), on top of its pose.

    The head is fixed and the camera moves, so the camera turns the other way about the head's centre.
    """
    rotation = mesh.turn(np.radians(yaw), np.radians(-pitch), np.zeros_like(yaw))  # (T, 3, 3); there, positive is down
    inverse = rotation.transpose(0, 2, 1)
    turned = cam_to_head.copy()
    turned[:, :3] = inverse @ cam_to_head[:, :3]
    return turned


def lip_features(run: Run, f_a: Float[np.ndarray, "T w d"]) -> Tensor | None:
    """F_al = E_audio(F_A), (T, d_lip): the F_lip that drives the field. None for a run without the sync module."""
    if run.e_audio is None:
        return None
    with torch.no_grad():
        blocks = torch.from_numpy(f_a).split(512)
        return torch.cat([run.e_audio(block.to(run.device)) for block in blocks])


@torch.no_grad()
def render_frames(run: Run, codes: dict[str, Tensor], f_lip: Tensor | None, K: Float[Tensor, "3 3"],
                  cam_to_head: Float[Tensor, "T 4 4"], background: Tensor) -> Iterator[np.ndarray]:
    """Render T frames, one at a time: (H, W, 3) uint8.

    codes: {"id", "ex", "al", "ill"} -> (T, d), or (1, d) for a code that stays. background (H, W, 3) uint8.
    """
    put = lambda x: x.float().to(run.device)
    back = put(background).permute(2, 0, 1)[None] / 255
    for t in range(len(cam_to_head)):
        now = {name: c[[t if len(c) > 1 else 0]] for name, c in codes.items()}
        out = run.model(now, None if f_lip is None else f_lip[[t]], put(K)[None], put(cam_to_head[t])[None], back)
        yield (out["image"][0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def sound_to_lips(run: Run, wave: Float[np.ndarray, "N"], time: Float[np.ndarray, "T"]) -> Tensor | None:
    """F_lip of speech (N,) at 16 kHz at the times (T,) in seconds. None for a run without the sync module."""
    if run.e_audio is None:
        return None
    return lip_features(run, feature_extractor(run.cfg.audio_features, run.cfg.audio_window, run.device)(wave, time))


def animate(run: Run, wave: Float[np.ndarray, "N"], subject: str | None = None, yaw: float = 0.0, pitch: float = 0.0,
            orbit: bool = False, choices: dict[str, str] | None = None) -> tuple[Iterator[np.ndarray], int, float]:
    """Drive the head of `subject` by speech (N,) at 16 kHz. Returns (frames, their number, frames a second).

    The video lasts as long as the sound, to the nearest frame. choices: codes from elsewhere, see controls.py.
    """
    take = run.takes[run.take_number(subject)]
    length = max(1, round(len(wave) / SAMPLE_RATE * take["fps"]))
    time = np.arange(length) / take["fps"]
    rows = back_and_forth(len(take["cam_to_head"]), length)
    sway = ORBIT_DEGREES * np.sin(2 * np.pi * time / ORBIT_SECONDS) if orbit else np.zeros(length)
    poses = turn_head(take["cam_to_head"].numpy()[rows], yaw + sway, np.full(length, pitch))
    codes = controls.chosen_codes(run, take["name"], rows, choices or {})
    frames = render_frames(run, codes, sound_to_lips(run, wave, time), take["K"], torch.from_numpy(poses),
                           run.backgrounds[take["background"]])
    return frames, length, take["fps"]


def sweep(run: Run, swept: str, wave: Float[np.ndarray, "N"] | None = None, subject: str | None = None,
          choices: dict[str, str] | None = None, columns: int = 5) -> UInt8[np.ndarray, "H W 3"]:
    """A grid of pictures in which one code changes from row to row, and a second one, or time, from column to column.

    swept: "identity", or two options such as "identity,albedo". Over time head pose and, where there is sound, lips
    change; without it they are those of silence. Raises InputError for other options.
    """
    take = run.takes[run.take_number(subject)]
    options = [option.strip() for option in swept.split(",")]
    if len(options) > 2 or not set(options) <= set(controls.OPTIONS):
        raise InputError(f"--sweep {swept}: want one or two of {', '.join(controls.OPTIONS)}")
    wave = np.zeros(SAMPLE_RATE, np.float32) if wave is None else wave
    steps = columns if len(options) == 1 else 1
    time = (np.arange(steps) + 0.5) / steps * len(wave) / SAMPLE_RATE
    rows = ((np.arange(steps) + 0.5) / steps * len(take["cam_to_head"])).astype(np.int64)
    f_lip = sound_to_lips(run, wave, time)
    across = controls.sweep_values(run, options[1], take["name"]) if len(options) == 2 else [None]
    lines = []
    for down in controls.sweep_values(run, options[0], take["name"]):
        cells = []
        for right in across:
            codes = controls.chosen_codes(run, take["name"], rows, (choices or {}) | {options[0]: down} |
                                          ({} if right is None else {options[1]: right}))
            frames = render_frames(run, codes, f_lip, take["K"], take["cam_to_head"][rows],
                                   run.backgrounds[take["background"]])
            cells += [caption(enlarge(frame, 128), down if right is None else f"{down} | {right}") for frame in frames]
        lines.append(np.concatenate(cells, 1))
    return np.concatenate(lines)


def caption(frame: UInt8[np.ndarray, "H W 3"], text: str) -> UInt8[np.ndarray, "h W 3"]:
    """The frame (H, W, 3) with a line of text above it, as large as fits."""
    strip = np.full((22, frame.shape[1], 3), 255, np.uint8)
    wide = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)[0][0]
    size = min(0.42, (frame.shape[1] - 8) / max(wide, 1))
    cv2.putText(strip, text, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([strip, frame])


def enlarge(frame: np.ndarray, at_least: int = 256) -> np.ndarray:
    """Whole-number cubic enlargement of a small render, so that a video player shows it at a useful size."""
    factor = max(1, -(-at_least // frame.shape[0]))
    return frame if factor == 1 else cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Animate a trained head with new speech (Sec. 3.1).")
    parser.add_argument("run", help="run folder written by train.py")
    parser.add_argument("--audio", help="speech: .wav or any file with sound; a --sweep can do without")
    parser.add_argument("--out", help="file to write (default: talk.mp4, or sweep.png with --sweep)")
    parser.add_argument("--subject", help="whose head and pose, where the run has several: a subject, or subject/sentence")
    for option in controls.OPTIONS:
        parser.add_argument(f"--{option}", metavar="WHOSE", help=f"{option} of another subject, subject/sentence, its "
                            "frame (toy01/sentence02@12), or a mixture (toy01:0.3,toy02:0.7)")
    parser.add_argument("--sweep", metavar="WHAT", help="write a grid of pictures over all values of one of these four "
                        "(identity), or of two (identity,albedo)")
    parser.add_argument("--yaw", type=float, default=0.0, help="turn the head, degrees, positive to the image's right")
    parser.add_argument("--pitch", type=float, default=0.0, help="tilt the head, degrees, positive upwards")
    parser.add_argument("--orbit", action="store_true", help=f"swing {ORBIT_DEGREES:.0f} degrees to each side")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    args = parser.parse_args(argv)
    if args.audio is None and args.sweep is None:
        parser.error("give --audio for a video, or --sweep for a grid of pictures")
    return args


def main(argv: list[str] | None = None) -> None:
    """Write a talking-head video from the command line. Raises InputError for whatever the user can put right."""
    args = parse(argv)
    run = load_run(args.run, pick_device(args.device))
    choices = {option: getattr(args, option) for option in controls.OPTIONS if getattr(args, option)}
    wave = None if args.audio is None else read_audio(args.audio)
    if args.sweep:
        out = args.out or "sweep.png"
        write_image(out, sweep(run, args.sweep, wave, args.subject, choices))
        print(f"wrote {out}")
        return
    out = args.out or "talk.mp4"
    check_audio_length(wave, run.takes[run.take_number(args.subject)]["fps"], args.audio)
    frames, length, fps = animate(run, wave, args.subject, args.yaw, args.pitch, args.orbit, choices)
    with tqdm(frames, "rendering", length, unit="frame") as bar:
        write_video(out, (enlarge(frame) for frame in bar), fps, wave)
    print(f"wrote {out}: {length} frames at {fps:g} a second, {length / fps:.2f} s")


if __name__ == "__main__":
    run_cli(main)
