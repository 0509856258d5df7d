"""on_gpu.py - Sec. 4.2: what to run once a GPU is at hand: every large preset, measured.

    python -m speed.on_gpu --clip clip.mp4 --minutes 15
    python -m speed.on_gpu --minutes 10 --presets paper --vgg random     the rest goes to train.py

In: a clip, and the stand-in heads. Out: a run folder for each preset and source, and gpu.md, a
table of iterations and frames a second, memory, held-out scores, and where to look. The commands
are called as a user calls them. What fails is a row, too: the others go on.
"""
from __future__ import annotations

import argparse
import csv
import re
import subprocess
import sys
import wave
from pathlib import Path

from config import PRESETS
from speed.forecast import WARM
from tools.errors import InputError, in_one_line, replacing, run_cli

ROOT = Path(__file__).resolve().parent.parent
LARGE, TRIAL = ("medium", "paper"), 40  # iterations that tell how many fit into the minutes
EACH = r"([\d.e-]+) s an iteration"  # in train.py's line
COLUMNS = ("preset", "data", "device", "iterations", "iterations/s", "frames/s", "memory (GB)",
           "PSNR head (dB)", "PSNR (dB)", "SSIM", "look at")


def run(*command: object) -> str:
    """Output of one of our commands, which is shown too. InputError with its last line."""
    print("$ python", *command, flush=True)
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    print(done.stdout, flush=True)
    if done.returncode:
        raise InputError((done.stdout.strip().splitlines() or ["ended without a word"])[-1])
    return done.stdout


def number(pattern: str, text: str) -> float:
    """The number in a pattern's group, where it comes last in the text; nan: nowhere."""
    return float((re.findall(pattern, text) or ["nan"])[-1])


def gigabytes(text: str) -> float:
    """Memory of train.py's lines: what was taken, and where it does not say it, the estimate."""
    size, unit = (re.findall(r"(?:at most|about) ([\d.]+) ([MG]B)", text) or [("nan", "GB")])[-1]
    return float(size) / {"GB": 1, "MB": 1024}[unit]


def frame_rate(text: str) -> float:
    """Frames a second of animate.py's bar, the writing of the video included."""
    slow = 1 / number(r"([\d.]+)s/frame", text)
    return slow if slow == slow else number(r"([\d.]+)frame/s", text)


def measure(train: list[object], minutes: float, out: Path, device: str) -> dict:
    """A row of the table: train for so many minutes, score, animate. InputError."""
    trial = run(*train, "--iters", TRIAL, "--out", out.with_name(out.name + "-trial"))
    each = number(EACH, trial)
    if not each > 0:
        raise InputError("train.py did not say how long an iteration takes")
    iterations = max(WARM + 1, int(60 * minutes / each))  # fewer are not timed
    said = run(*train, "--iters", iterations, "--out", out)
    run("evaluate.py", out, "--device", device)
    with (out / "evaluation.csv").open(encoding="utf-8") as file:
        scores = next(row for row in csv.DictReader(file) if row["row"] == "audio_pose")
    hum = out / "hum.wav"
    with replacing(hum) as temporary, wave.open(str(temporary), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(range(256)) * 500)  # 4 s
    drawn = run("animate.py", out, "--audio", hum, "--out", out / "hum.mp4", "--device", device)
    where = re.findall(r"field: ([^%\r\n]+?, b?float(?:16|32))", said)
    return {"device": where[-1], "iterations": iterations, "iterations/s": 1 / number(EACH, said),
            "frames/s": frame_rate(drawn), "memory (GB)": gigabytes(said), "look at":
            f"{out}/preview.png", **{n: float(scores[n]) for n in COLUMNS if n in scores}}


def table(rows: list[dict]) -> str:
    """Markdown."""
    cell = lambda value: f"{value:.4g}" if isinstance(value, float) else str(value)
    cells = ([cell(row.get(name, "")) for name in COLUMNS] for row in rows)
    lines = [COLUMNS, ["---"] * len(COLUMNS), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    """See the module's docstring. Raises InputError."""
    parser = argparse.ArgumentParser(description="Train and measure the large presets on a GPU; "
                                     "options that are not listed go to train.py.")
    add = parser.add_argument
    add("--clip", type=Path, help="a clip; without it the stand-in heads alone")
    add("--minutes", type=float, default=15, help="of the field, each (default: 15)")
    add("--presets", nargs="+", choices=PRESETS, default=[p for p in LARGE if p in PRESETS])
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--out", type=Path, default=Path("runs/gpu"))
    args, given = parser.parse_known_args(argv)
    if args.clip is not None and not args.clip.exists():
        raise InputError(f"{args.clip}: no such file; check the path")
    if not args.minutes > 0:
        raise InputError(f"--minutes {args.minutes:g}: want more than 0")
    clips = {args.clip.stem: ["--data", args.clip.resolve()]} if args.clip else {}
    out, rows = args.out.resolve(), []
    with in_one_line(out):
        out.mkdir(parents=True, exist_ok=True)
    for preset in args.presets:
        for name, source in ({"heads": []} | clips).items():
            row = {"preset": preset, "data": name}
            try:
                command = ["train.py", *source, "--preset", preset, "--device", args.device, *given]
                row |= measure(command, args.minutes, out / f"{preset}-{name}", args.device)
            except InputError as error:
                row["look at"] = str(error).replace("|", " ")
            rows.append(row)
            with replacing(out / "gpu.md") as temporary:  # after each: minutes of a GPU are dear
                temporary.write_text(table(rows), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    run_cli(main)
