"""page.py - Sec. 3.2: one HTML file in which the codes are sliders, over pictures rendered ahead.

    python animate.py runs/heads --page explore.html

In:  a Run. Of each of six inputs of Eq. 1 (C_id, C_ex, C_al, C_ill, P_cam, F_lip) a few values are
     taken, and every combination of them is rendered: what the sliders show was never interpolated.
Out: the file. It holds its pictures and its sound, and asks nothing of any network.
Read next: page.html, the template with the text and the script; data/examples.py, whose frames the
     expressions and the mouths are.
"""
from __future__ import annotations

import base64
import io
import json
import math
import wave as wavefile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from data.examples import EXPRESSIONS, OPENINGS
from inference.codes import OPTIONS, spread_out, sweep_values
from inference.rendering import about_mean, render_frames, sound_to_lips
from inference.run import Run
from tools.errors import InputError, replacing
from tools.media import SAMPLE_RATE, SYNTHETIC_TAG
from tracking import head_pose

TEMPLATE = Path(__file__).with_name("page.html")
MARK = f'<meta name="generator" content="{SYNTHETIC_TAG}">'  # in the head of every page of ours
GOES_IN = '"what page.py writes"'  # where the data go in the template
SIDE = 128  # px of a picture, at most
LARGEST = 3_000_000  # bytes of the file
QUALITIES = (85, 80, 70, 60, 50, 40, 30)  # of WebP; the first that makes the file small enough
# Positions of the sliders; the last one changes fastest from picture to picture. Where a run has
# one person, one albedo and one light, as of a clip, what is left moves in finer steps.
STEPS = {"identity": 3, "expression": 3, "albedo": 3, "light": 3, "yaw": 5, "mouth": 3}
FINER = {"yaw": 9, "mouth": 5}
LOOKED_AT = 12  # values of a code that are rendered to see which are least alike, at most
STEEPEST, LEAST = 30.0, 5.0  # degrees that the slider turns the head to each side, most and least
SPOKEN = 15.0  # pictures a second of the sentence, at most
SPOKEN_SECONDS = 6.0  # of the sentence, at most


@dataclass
class Axis:
    """One slider: what its positions put into Eq. 1 (n, ...), and what they are called.

    start: where the slider stands at first; why: why there is but one position.
    """
    values: Tensor
    labels: list[str]
    start: int = 0
    why: str = ""


# ---- what the sliders choose from ----------------------------------------------------------------

def axes_of(run: Run, take: dict) -> dict[str, Axis]:
    """The six sliders, in the order of STEPS."""
    labelled = ("identity", "albedo", "light")
    single = all(len(run.codes.tables[OPTIONS[name]].weight) == 1 for name in labelled)
    steps = STEPS | FINER if single else STEPS
    axes = {"expression": expression_axis(run, take), "yaw": yaw_axis(run, take, steps["yaw"]),
            "mouth": mouth_axis(run, steps["mouth"])}
    base = {name: Axis(axis.values[[axis.start]], [""]) for name, axis in axes.items()}
    own = {name: own_code(run, take, name) for name in labelled}
    for name in labelled:
        axes[name] = label_axis(run, take, name, steps[name], base | own)
    return {name: axes[name] for name in STEPS}


def own_code(run: Run, take: dict, name: str) -> Axis:
    """The identity, albedo or light of the take, as a slider with one position."""
    factor = OPTIONS[name]
    return Axis(run.codes.tables[factor].weight[[take["codes"][factor]]].detach(), [take["name"]])


def label_axis(run: Run, take: dict, name: str, steps: int, base: dict[str, Axis]) -> Axis:
    """The take's own identity, albedo or light, and those that look least like it and each other.

    The identity begins with the take's own; albedos and lights go from dark to bright.
    """
    factor = OPTIONS[name]
    table = run.codes.tables[factor].weight.detach()
    own = take["codes"][factor]
    others = [number for number in range(len(table)) if number != own]
    numbers = [own, *others[:LOOKED_AT - 1]]
    seen = base | {name: Axis(table[numbers], [""] * len(numbers))}
    shown = np.stack(list(pictures(run, {key: seen[key] for key in STEPS}, take)))
    apart = torch.from_numpy(shown.reshape(len(shown), -1) / 255).float()
    chosen = spread_out(apart, steps)  # 0, the take's own, is the first of them
    if name != "identity":
        chosen.sort(key=lambda i: float(apart[i].mean()))
    start = 0 if name == "identity" else len(chosen) // 2
    why = "" if len(chosen) > 1 else (f"This run was trained on one {name}, so it has one "
                                      f"C_{factor}, and there is nothing to slide.")
    names = label_names(run, name)
    return Axis(table[[numbers[i] for i in chosen]], [names[numbers[i]] for i in chosen], start,
                why)


def label_names(run: Run, name: str) -> dict[int, str]:
    """{number of a label: a person's name, or the take that shows this albedo or light}."""
    takes = {}
    for take in run.takes:
        shown = take["subject"] if name == "identity" else f"that of {take['name']}"
        takes.setdefault(take["codes"][OPTIONS[name]], shown)
    return takes


def expression_axis(run: Run, take: dict) -> Axis:
    """C_ex of the frames of data/examples.py; of old checkpoints that of the middle frame."""
    table = run.codes.tables["ex"].weight.detach()
    if run.examples is None:
        middle = take["first"] + len(take["cam_to_head"]) // 2
        return Axis(table[[middle]], ["of one training frame"], why=OLD)
    numbers = run.examples["ex"].tolist()
    return Axis(table[numbers], list(EXPRESSIONS), start=EXPRESSIONS.index("at rest"))


OLD = ("This run was trained by an earlier version, whose checkpoint does not say which frames "
       "show what. Train again to slide here.")
MUTE = ("This run was trained by an earlier version, whose checkpoint keeps no sentence. Train again "
        "to hear one.")


def yaw_axis(run: Run, take: dict, steps: int) -> Axis:
    """P_cam at the person's mean pose, but turned: as far to each side as the person's frames."""
    own = np.concatenate([one["cam_to_head"].numpy() for one in run.takes
                          if one["subject"] == take["subject"]]).astype(np.float64)
    low, high = np.percentile(head_pose(own)[:, 0], [2, 98])
    middle = 0.0 if low < 0 < high else (low + high) / 2
    farthest = np.clip(max(high - middle, middle - low), LEAST, STEEPEST)
    degrees = np.linspace(middle - farthest, middle + farthest, steps)
    mean = about_mean(own, np.zeros((1, 3)))
    turns = degrees - head_pose(mean)[0, 0]
    poses = about_mean(own, np.stack([turns, *np.zeros((2, steps))], 1))
    labels = [f"{abs(angle):.0f} degrees to the {'left' if angle < 0 else 'right'}"
              if round(angle) else "straight ahead" for angle in degrees]
    return Axis(torch.from_numpy(poses).float(), labels, start=steps // 2)


def mouth_axis(run: Run, steps: int) -> Axis:
    """F_lip, by E_lip, of lips from shut to open; one position where the run has no F_lip.

    Of the shapes those are taken that part the way of F_lip most evenly: it has unit length, so it
    tells open from shut better than wide open from open.
    """
    if run.e_lip is None:
        return Axis(torch.zeros(1, 0), ["that of C_ex"],
                    why="This run was trained without the sync module, so it has no F_lip.")
    if run.examples is None:
        return Axis(sound_to_lips(run, np.zeros(SAMPLE_RATE, np.float32), np.array([0.5])),
                    ["that of silence"], why=OLD)
    with torch.no_grad():
        f_lip = run.e_lip(run.examples["lips"].to(run.device))
    whole = f_lip[-1] - f_lip[0]
    along = ((f_lip - f_lip[0]) @ whole / (whole @ whole)).cpu().numpy()  # 0 at shut, 1 at open
    chosen = np.abs(along[:, None] - np.linspace(0, 1, steps)).argmin(0)
    percent = [round(100 * number / (OPENINGS - 1)) for number in chosen.tolist()]
    words = {0: "shut", 100: "open"}
    return Axis(f_lip[chosen], [words.get(number, f"{number} % open") for number in percent])


# ---- rendering -----------------------------------------------------------------------------------

def pictures(run: Run, axes: dict[str, Axis], take: dict) -> Iterator[np.ndarray]:
    """Every combination of the axes' values, (S, S, 3) uint8, the last axis fastest."""
    lengths = [len(axis.labels) for axis in axes.values()]
    places = np.unravel_index(np.arange(math.prod(lengths)), lengths)
    chosen = {name: axis.values[torch.from_numpy(place).to(axis.values.device)]
              for (name, axis), place in zip(axes.items(), places)}
    codes = {factor: chosen[name] for name, factor in OPTIONS.items()}
    return rendered(run, take, codes, chosen["mouth"], chosen["yaw"])


def rendered(run: Run, take: dict, codes: dict[str, Tensor], f_lip: Tensor, poses: Tensor
             ) -> Iterator[np.ndarray]:
    """render_frames in the take's camera, before its background, S = SIDE px high or less."""
    frames = render_frames(run, codes, None if run.e_lip is None else f_lip, take["K"], poses,
                           run.backgrounds[take["background"]], take.get("rest"))
    side = min(SIDE, run.cfg.size)
    return (cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in frames)


def spoken_times(wave: Float[np.ndarray, "N"], fps: float) -> np.ndarray:
    """Times in s of the pictures that go with a sound at 16 kHz, SPOKEN a second or fewer."""
    rate = fps / math.ceil(fps / SPOKEN)
    return np.arange(max(1, round(len(wave) / SAMPLE_RATE * rate))) / rate


def speaking(run: Run, axes: dict[str, Axis], take: dict, wave: Float[np.ndarray, "N"],
             times: Float[np.ndarray, "T"]) -> Iterator[np.ndarray]:
    """The take's head speaks: F_al of the sound alone changes, codes and pose are as at first."""
    start = {name: axis.values[[axis.start]] for name, axis in axes.items()}
    codes = {factor: start[name] for name, factor in OPTIONS.items()}
    f_lip = sound_to_lips(run, wave, times)
    return rendered(run, take, codes, f_lip, start["yaw"].expand(len(times), 4, 4))


# ---- the file ------------------------------------------------------------------------------------

def sheets_of(frames: UInt8[np.ndarray, "n S S 3"], columns: int, rows: int) -> list[np.ndarray]:
    """The pictures, a row after another, on sheets of columns x rows; the last may be shorter."""
    sheets = []
    for start in range(0, len(frames), columns * rows):
        some = frames[start:start + columns * rows]
        blank = np.zeros((-len(some) % columns, *some.shape[1:]), np.uint8)
        grid = np.concatenate([some, blank])
        grid = grid.reshape(-1, columns, *some.shape[1:])  # (rows, columns, S, S, 3)
        sheets.append(grid.transpose(0, 2, 1, 3, 4).reshape(-1, columns * some.shape[2], 3))
    return sheets


def webp(image: np.ndarray, quality: int) -> bytes:
    """A picture, compressed."""
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, "WEBP", quality=quality, method=4)
    return packed.getvalue()


def wav(wave: Float[np.ndarray, "N"]) -> bytes:
    """A .wav file of 16 bits at 16 kHz."""
    packed = io.BytesIO()
    with wavefile.open(packed, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.round(np.clip(wave, -1, 1) * 32767).astype("<i2").tobytes())
    return packed.getvalue()


def data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def compressed(sheets: list[np.ndarray], room: int) -> list[str]:
    """The sheets as data URIs that together fill at most `room` bytes, as good as that allows.

    Raises InputError where they do not fit at the lowest quality.
    """
    area = sum(sheet.size for sheet in sheets)
    for quality in QUALITIES:
        guess = len(webp(sheets[0], quality)) * area / sheets[0].size * 4 / 3
        if guess > room:
            continue
        uris = [data_uri("image/webp", webp(sheet, quality)) for sheet in sheets]
        if sum(map(len, uris)) <= room:
            return uris
    raise InputError(f"--page: the pictures of this run fill more than {LARGEST / 1e6:g} MB; "
                     "give a shorter --audio")


def content(axes: dict[str, Axis], frames: UInt8[np.ndarray, "n S S 3"],
            spoken: UInt8[np.ndarray, "T S S 3"], wave: Float[np.ndarray, "N"] | None, fps: float,
            about: str, silent: str = "") -> dict:
    """What the script of page.html reads.

    frames: every combination of the axes; spoken: at fps a second, those under the sound; silent:
    why there is no sound.
    """
    lengths = [len(axis.labels) for axis in axes.values()]
    columns, rows = math.prod(lengths[4:]), math.prod(lengths[1:4])
    talk = sheets_of(spoken, 10, len(spoken)) if wave is not None else []
    sheets = sheets_of(frames, columns, rows)
    sound = None if wave is None else data_uri("audio/wav", wav(wave))
    room = LARGEST - len(TEMPLATE.read_bytes()) - len(sound or "") - 4000  # the last: labels
    uris = compressed(sheets + talk, room)
    return {"side": int(frames.shape[1]), "columns": columns, "rows": rows, "about": about,
            "axes": {name: {"labels": axis.labels, "start": axis.start, "why": axis.why}
                     for name, axis in axes.items()},
            "sheets": uris[:len(sheets)], "silent": silent,
            "talk": None if wave is None else {"sheet": uris[-1], "columns": 10, "fps": fps,
                                               "frames": len(spoken), "sound": sound}}


def html_of(data: dict) -> str:
    """The template with its data. In them "<" is escaped: a name cannot end the script."""
    text = json.dumps(data).replace("<", "\\u003c")
    template = TEMPLATE.read_text(encoding="utf-8")
    return template.replace(GOES_IN, text)


def check_page(path: str | Path) -> None:
    """Raise InputError unless a page may be written there: a name in .html, no file of others."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path}: a page is written as .html; choose a name that ends in .html")
    if path.is_file() and MARK.encode() not in path.read_bytes()[:2000]:
        raise InputError(f"{path}: exists and was not written by this program; "
                         "choose another name or remove it")


def write_page(run: Run, path: str | Path, wave: Float[np.ndarray, "N"] | None = None,
               subject: str | None = None) -> None:
    """Render all combinations and write the page.

    wave (N,): the sentence, at 16 kHz; None: the run's own held-out one. subject: whose head it
    begins with. Raises InputError where the place cannot be written (see check_page).
    """
    check_page(path)
    take = run.take(subject)
    axes = axes_of(run, take)
    wave, silent = sentence(run, wave)
    times = spoken_times(np.zeros(0, np.float32) if wave is None else wave, take["fps"])
    number = math.prod(len(axis.labels) for axis in axes.values())
    frames, spoken = [], []
    with tqdm(total=number + len(times) * (wave is not None), desc="pictures of the page") as bar:
        for frame in pictures(run, axes, take):
            frames.append(frame)
            bar.update()
        for frame in speaking(run, axes, take, wave, times) if wave is not None else ():
            spoken.append(frame)
            bar.update()
    fps = 1 / times[1] if len(times) > 1 else take["fps"]
    frames = np.stack(frames)
    spoken = np.array(spoken, np.uint8).reshape(-1, *frames.shape[1:])
    data = content(axes, frames, spoken, wave, fps, about(run), silent)
    with replacing(path) as temporary:
        temporary.write_text(html_of(data), encoding="utf-8")


def sentence(run: Run, wave: Float[np.ndarray, "N"] | None
             ) -> tuple[Float[np.ndarray, "N"] | None, str]:
    """(what is spoken, or None; then why there is nothing)."""
    if run.e_audio is None:
        return None, "This run was trained without the sync module, so no sound moves its lips."
    if wave is None and run.examples is None:
        return None, MUTE
    if wave is None:
        wave = run.examples["speech"].numpy() / np.float32(32767)
    return wave[:round(SPOKEN_SECONDS * SAMPLE_RATE)], ""


def about(run: Run) -> str:
    """One line on the run: which, and how far it was trained."""
    name = "a run" if run.folder is None else f"the run {run.folder.resolve().name}"
    what = "stand-in heads" if run.cfg.data is None else Path(run.cfg.data).name
    return (f"Model: {name}, trained on {what} at {run.cfg.size} x {run.cfg.size} pixels for "
            f"{run.cfg.iters} iterations.")
