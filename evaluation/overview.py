"""overview.py - Sec. 3.1, 3.2: what was understood of the data, shown before training begins.

In:  takes. Out: prepared.png of the run folder, and a few printed lines: frames used and left out,
     the square, landmarks, mask, poses, and the mouth's opening beside the sound's loudness.
Whoever looks at it knows whether training is worth its time.
Read next: report.py, what is shown afterwards.
"""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure, FigureBase

import tracking
from data.take import Take
from evaluation import measures
from inference.pictures import caption
from tools.errors import replacing
from tools.media import SAMPLE_RATE
from tools.sound import speech_power

SHOWN_TAKES, SHOWN_FRAMES = 4, 8
SIDE = 192       # px of a picture in the sheet
SECONDS = 20.0   # of the curves that are drawn
SMALL_FACE = 14  # px between the outer corners of the eyes: fewer, and lips are a blur


def write(takes: list[Take], path: Path) -> None:
    """The sheet of the first SHOWN_TAKES takes; the lines of these are printed, too."""
    shown = takes[:SHOWN_TAKES]
    figure = Figure(figsize=(16, 7.5 * len(shown)))
    grid = figure.subfigures(len(shown), 1, squeeze=False)[:, 0]
    for take, part in zip(shown, grid):
        lines = describe(take)
        print("\n".join(lines))
        draw(take, part, lines)
    if len(takes) > len(shown):
        print(f"and {len(takes) - len(shown)} more takes")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=80)
    print(f"look at {path} before you wait for the training")


def describe(take: Take) -> list[str]:
    """What was understood of a take, in a few lines; those that begin with ! are doubts."""
    size, kept = take.frames.shape[1], len(take.frame_ids)
    lines, story = [f"{take.name}: {kept} frames at {take.fps:g} a second"], take.story
    if story is not None:
        left = ", ".join(f"{count} {reason}" for reason, count in story.dropped.items())
        lines[0] = (f"{story.source}: {kept} of {story.frames} frames used"
                    + (f", left out: {left}" if left else "")
                    + f"; {story.fps:g} a second in the file, {take.fps:g} used")
        (left, top, side), (width, height) = story.box, story.picture
        lines.append(f"  square of {side} px from ({left}, {top}) of {width} x {height}, shown at "
                     f"{size} px; landmarks: {story.landmarks}; mask: {story.mask}")
        moved = f"moved by {1000 * take.av_offset:.0f} ms" if take.av_offset else "left as it is"
        lines.append(f"  sound: {len(take.wave) / SAMPLE_RATE:.1f} s, {moved}")
    ranges = [f"{name} {low:.0f} to {high:.0f}" for name, low, high in zip(
        ("yaw", "pitch", "roll"), *np.percentile(tracking.head_pose(take.cam_to_head), [2, 98], 0))]
    lines.append(f"  head pose: {', '.join(ranges)} degrees; loudness and mouth's opening: "
                 f"r {related(take):.2f} (-0.1 to 0.3 as a rule)")
    return lines + [f"  ! {doubt}" for doubt in doubts(take)]


def doubts(take: Take) -> list[str]:
    """What makes it doubtful that training is worth its time."""
    found, eyes = [], float(np.median(tracking.eye_distance(take.landmarks)))
    if eyes < SMALL_FACE:
        found.append(f"the face is small, {eyes:.0f} px between the eyes' outer corners; a larger "
                     "--size, or a clip in which the head fills more of its square, shows more")
    if take.story is not None:
        left, top, side = take.story.box
        width, height = take.story.picture
        if min(left, top) < 0 or left + side > width or top + side > height:
            found.append("the head leaves the picture; what is beyond repeats the picture's edge")
        if 2 * len(take.frame_ids) < take.story.frames * take.fps / take.story.fps:
            found.append("more than half of the frames are left out")
        if not take.whole:
            found.append("without a matte hair and neck are told from the background by guess; "
                         "pip install -r requirements-landmarks.txt finds it")
    return found


def loudness(take: Take) -> Float[np.ndarray, " T"]:
    """Of each frame: 10 log10 of the mean square about its time, dB, at least -60."""
    power, _ = speech_power(take.wave)
    at = np.round(take.frame_ids / take.fps * SAMPLE_RATE).astype(int)
    return 10 * np.log10(np.maximum(power[np.clip(at, 0, len(power) - 1)], 1e-6))


def related(take: Take) -> float:
    """Correlation of loudness and the mouth's opening; 0 where one of them does not change."""
    one, other = loudness(take), measures.mouth_opening(take.landmarks)
    if min(one.std(), other.std()) < 1e-9:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


# ---- the sheet -----------------------------------------------------------------------------------

def draw(take: Take, figure: FigureBase, lines: list[str]) -> None:
    """Eight frames with landmarks, the same under their masks, the background, and curves."""
    some = np.linspace(0, len(take.frame_ids) - 1, SHOWN_FRAMES).round().astype(int)
    marked = np.concatenate([with_landmarks(take, t) for t in some], 1)
    masked = np.concatenate([under_mask(take, t) for t in some], 1)
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=9, family="monospace")
    axes = figure.subplot_mosaic([["pictures"] * 4, ["behind", "pose", "sound", "sound"]],
                                 height_ratios=[2.2, 1])
    figure.subplots_adjust(0.03, 0.06, 0.99, 0.82, hspace=0.12)
    axes["pictures"].imshow(np.concatenate([marked, masked]))
    axes["pictures"].set_title("landmarks; below, what the mask keeps", fontsize=8)
    axes["behind"].imshow(take.background)
    axes["behind"].set_title("background", fontsize=8)
    for name in ("pictures", "behind"):
        axes[name].axis("off")
    seconds = take.frame_ids / take.fps
    for name, angle in zip(("yaw", "pitch", "roll"), tracking.head_pose(take.cam_to_head).T):
        axes["pose"].plot(seconds, angle, label=name, linewidth=0.8)
    axes["pose"].set_title("head pose, degrees over s", fontsize=8)
    early = seconds <= seconds[0] + SECONDS
    for values, name in ((loudness(take), "loudness"),
                         (measures.mouth_opening(take.landmarks), "mouth's opening")):
        unit = (values - values.mean()) / (values.std() + 1e-9)
        axes["sound"].plot(seconds[early], unit[early], label=name, linewidth=0.8)
    axes["sound"].set_title("loudness and mouth's opening, standard deviations over s", fontsize=8)
    for name in ("pose", "sound"):
        axes[name].legend(fontsize=7)
        axes[name].tick_params(labelsize=7)


def with_landmarks(take: Take, t: int | np.integer) -> UInt8[np.ndarray, "h w 3"]:
    """Frame t, enlarged or reduced to SIDE, with its landmarks."""
    picture = cv2.resize(np.asarray(take.frames[t]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    scale = SIDE / take.frames.shape[1]
    for x, y in np.floor(take.landmarks[t] * scale).astype(int):
        cv2.circle(picture, (int(x), int(y)), 1, (0, 255, 0), -1)
    return caption(picture, f"{take.frame_ids[t] / take.fps:.2f} s")


def under_mask(take: Take, t: int | np.integer) -> UInt8[np.ndarray, "h w 3"]:
    """Frame t where the mask is, a flat colour where it is not."""
    mask = take.masks[t][..., None] / 255
    picture = mask * take.frames[t] + (1 - mask) * np.array([255, 0, 160])
    return cv2.resize(picture.round().astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
