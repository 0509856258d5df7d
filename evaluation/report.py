"""report.py - what a run leaves to look at: curves, held-out frames, their scores, and a page.

In: a trained run and its corpora. Out: loss.png, preview.png, preview.mp4 and heldout.json, which
show frames that training did not see; of stand-in heads explore.html (inference/page.py).
"""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from data.corpus import Corpus
from evaluation.heldout import (HeldoutTake, audio_pose, evenly, extractor_reads, score_heldout,
                                truth)
from inference.page import write_page
from inference.pictures import caption, enlarge, write_image
from inference.run import Run, load_run
from tools.errors import replacing
from tools.media import SAMPLE_RATE, write_video

PREVIEW_SECONDS = 12.0


def write(run: Run, out: Path, train_set: Corpus, heldout_set: Corpus) -> None:
    """Write all four files into the run folder and print the held-out scores."""
    plot_losses(out / "log.csv", out / "loss.png")
    scores = score_heldout(run, train_set, heldout_set)
    with replacing(out / "heldout.json") as temporary:
        temporary.write_text(json.dumps(scores, indent=1))
    print("\nHeld-out frames, PSNR inside the mask:")
    for row in scores.values():
        print(f"  {row['psnr']:6.2f} dB  {row['what']} ({row['frames']} frames)")
    contact_sheet(run, train_set, heldout_set, out / "preview.png")
    preview_video(run, train_set, heldout_set, out / "preview.mp4")


def finish(out: Path, device: torch.device) -> None:
    """Of stand-in heads write explore.html; then print what to look at, and what to do next."""
    run, page = load_run(out, device), ""
    if run.cfg.data is None:
        write_page(run, out / "explore.html")
        page = f"Open {out}/explore.html in a browser: sliders for codes, pose and lips.\n"
    print(f"\nLook at {out}/preview.mp4 (truth beside render) and {out}/preview.png.\n{page}"
          f"Next: python animate.py {out} --audio speech.wav --out talk.mp4   your own speech\n"
          f"      python evaluate.py {out}            the table of its held-out scores\n"
          "      tutorial.md                               the paper, section by section, "
          "with code that runs\n"
          "      python exercises.py start my/             its equations as exercises")


def plot_losses(log: Path, path: Path) -> None:
    """One panel per stage: each logged loss over its iterations, on a log scale."""
    table = np.genfromtxt(log, delimiter=",", names=True, dtype=None, encoding="utf-8", ndmin=1)
    stages = list(dict.fromkeys(table["stage"]))
    figure = Figure(figsize=(5 * len(stages), 4))
    axes = figure.subplots(1, len(stages), squeeze=False)
    for axis, stage in zip(axes[0], stages):
        of_stage = table[table["stage"] == stage]
        for name in table.dtype.names[2:-1]:
            loss = of_stage[name]
            if np.isfinite(loss.astype(float)).any() and (loss > 0).any():
                axis.plot(of_stage["iteration"], loss, label=name, linewidth=0.8)
        axis.set(title=stage, xlabel="iteration", yscale="log")
        axis.legend(fontsize=7)
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def contact_sheet(run: Run, train_set: Corpus, heldout_set: Corpus, path: Path) -> None:
    """preview.png: eight held-out frames of up to four takes: truth, and two rows of the table."""
    strips = []
    for number, take in list(enumerate(heldout_set.takes))[:4]:
        held = HeldoutTake(run, train_set, heldout_set, number)
        only = np.resize(evenly(len(held.index), 8), 8)
        for text, images_of in (("truth", truth), ("audio and pose", audio_pose),
                                ("audio, pose, C_ex read", extractor_reads)):
            strip = np.concatenate([enlarge(image, 128) for image in images_of(held, only)], 1)
            strips.append(caption(strip, f"{take.name}: {text}"))
    write_image(path, np.concatenate(strips))


def preview_video(run: Run, train_set: Corpus, heldout_set: Corpus, path: Path) -> None:
    """preview.mp4: truth beside render (audio and pose) with the sound, up to PREVIEW_SECONDS."""
    fps = heldout_set.takes[0].fps
    frames, waves, room = [], [], int(PREVIEW_SECONDS * fps)
    for number, take in enumerate(heldout_set.takes):
        if room <= 0 or take.fps != fps:
            break
        held = HeldoutTake(run, train_set, heldout_set, number)
        only = np.arange(len(held.index))[:room]
        pairs = []
        for true, image in zip(truth(held, only), audio_pose(held, only)):
            pair = np.concatenate([enlarge(true), enlarge(image)], 1)
            pairs.append(caption(pair, "truth | render"))
        ids = take.frame_ids[heldout_set.numbers[number][only]]
        every = np.arange(ids[0], ids[-1] + 1)  # where a frame is missing, hold the last
        shown = np.searchsorted(ids, every, side="right") - 1
        frames += [pairs[i] for i in shown]
        waves.append(sound_of(take.wave, int(ids[0]), len(shown), fps))
        room -= len(shown)
    write_video(path, frames, fps, np.concatenate(waves))


def sound_of(wave: np.ndarray, first: int, n: int, fps: float) -> np.ndarray:
    """The sound under n frames from frame id `first` on; silence where the recording has ended."""
    start, stop = round(first / fps * SAMPLE_RATE), round((first + n) / fps * SAMPLE_RATE)
    cut = wave[start:stop]
    return np.pad(cut, (0, stop - start - len(cut)))
