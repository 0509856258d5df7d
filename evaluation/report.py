"""report.py - what a run leaves to look at: loss.png, preview.png, preview.mp4 and heldout.json.

In: a trained run and its corpora. Everything here shows held-out frames, which training did not see.
"""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from data.corpus import Corpus
from evaluation.heldout import evenly, render_heldout, score_heldout
from inference.pictures import caption, enlarge, write_image
from inference.run import Run
from tools.errors import replacing
from tools.media import SAMPLE_RATE, write_video

PREVIEW_SECONDS = 12.0


def write(run: Run, out: Path, train: Corpus, heldout: Corpus) -> None:
    """Write all four files into the run folder and print the held-out figures."""
    plot_losses(out / "log.csv", out / "loss.png")
    scores = score_heldout(run, train, heldout)
    with replacing(out / "heldout.json") as temporary:
        temporary.write_text(json.dumps(scores, indent=1))
    print("\nHeld-out frames, PSNR inside the face mask:")
    for row in scores.values():
        print(f"  {row['psnr']:6.2f} dB  {row['what']} ({row['frames']} frames)")
    contact_sheet(run, train, heldout, out / "preview.png")
    preview_video(run, train, heldout, out / "preview.mp4")


def plot_losses(log: Path, path: Path) -> None:
    """One panel a stage: each logged loss over its iterations, on a log scale."""
    table = np.atleast_1d(np.genfromtxt(log, delimiter=",", names=True, dtype=None, encoding="utf-8"))
    stages = list(dict.fromkeys(table["stage"]))
    figure = Figure(figsize=(5 * len(stages), 4))
    axes = figure.subplots(1, len(stages), squeeze=False)
    for axis, stage in zip(axes[0], stages):
        rows = table[table["stage"] == stage]
        for column in table.dtype.names[2:-1]:
            if np.isfinite(rows[column].astype(float)).any() and (rows[column] > 0).any():
                axis.plot(rows["iteration"], rows[column], label=column, linewidth=0.8)
        axis.set(title=stage, xlabel="iteration", yscale="log")
        axis.legend(fontsize=7)
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def contact_sheet(run: Run, train: Corpus, heldout: Corpus, path: Path, columns: int = 8) -> None:
    """preview.png: held-out frames over time; top truth, then audio and pose only, then C_ex read by the extractor."""
    strips = []
    for number, take in list(enumerate(heldout.takes))[:4]:
        wanted = np.resize(evenly(len(heldout.rows[number]), columns), columns)
        lines = [take.frames[heldout.rows[number][wanted]],
                 *(list(render_heldout(run, train, heldout, number, name, wanted)) for name in ("audio_pose", "extractor"))]
        for line, text in zip(lines, ("truth", "audio and pose", "audio, pose, C_ex read")):
            strips.append(caption(np.concatenate([enlarge(f, 128) for f in line], 1), f"{take.name}: {text}"))
    write_image(path, np.concatenate(strips))


def preview_video(run: Run, train: Corpus, heldout: Corpus, path: Path) -> None:
    """preview.mp4: truth beside render (audio and pose only) with the sound, up to PREVIEW_SECONDS."""
    fps = heldout.takes[0].fps
    frames, waves, room = [], [], int(PREVIEW_SECONDS * fps)
    for number, take in enumerate(heldout.takes):
        if room <= 0 or take.fps != fps:
            break
        rows = heldout.rows[number][:room]
        render = render_heldout(run, train, heldout, number, "audio_pose", np.arange(len(rows)))
        pairs = [caption(np.concatenate([enlarge(take.frames[row]), enlarge(image)], 1), "truth | render")
                 for row, image in zip(rows, render)]
        ids = take.frame_ids[rows]
        shown = np.searchsorted(ids, np.arange(ids[0], ids[-1] + 1), side="right") - 1  # a missing frame: hold the last
        frames += [pairs[i] for i in shown]
        waves.append(sound_of(take.wave, int(ids[0]), len(shown), fps))
        room -= len(shown)
    write_video(path, frames, fps, np.concatenate(waves))


def sound_of(wave: np.ndarray, first: int, n: int, fps: float) -> np.ndarray:
    """The sound under n frames from frame id `first` on; silence where the recording has ended."""
    start, stop = round(first / fps * SAMPLE_RATE), round((first + n) / fps * SAMPLE_RATE)
    cut = wave[start:stop]
    return np.pad(cut, (0, stop - start - len(cut)))
