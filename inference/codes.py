"""codes.py - Sec. 3.2: codes for Eq. 1: a person's, a take's, a frame's, mixtures, sweeps.

    --identity toy03                     the code of a subject (of its first take)
    --albedo toy03/sentence02            ... of a take
    --expression toy03/sentence02@12     ... of one frame, held still
    --light toy01:0.3,toy02:0.7          a mixture

In:  a Run, whose checkpoint names its takes, and what the user wrote.
Out: {"id", "ex", "al", "ill"} -> (T, d), or (1, d) for a code that stays.
Read next: animate.py, which renders them.
"""
from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from dhnerf import CODES
from inference.rendering import back_and_forth
from inference.run import Run
from tools.errors import InputError

OPTIONS = {"identity": "id", "expression": "ex", "albedo": "al", "light": "ill"}  # option -> code


def find(run: Run, name: str, option: str) -> tuple[dict, int | None]:
    """The take called `name` (a subject: its first take), the frame behind an @; or InputError."""
    wanted, _, frame = name.partition("@")
    take = run.take(wanted, option)
    if not frame and "@" not in name:
        return take, None
    if not frame.isdigit() or int(frame) >= len(take["cam_to_head"]):
        last = len(take["cam_to_head"]) - 1
        raise InputError(f"--{option} {name}: {take['name']} has frames 0 to {last}")
    return take, int(frame)


def code_of(run: Run, name: str, option: str, shown: Int[np.ndarray, "T"]) -> Float[Tensor, "n d"]:
    """One trained code by name: (1, d); an expression without @ replays its take: (T, d).

    shown (T,): which frames of an endless replay, back and forth, of that take.
    """
    take, frame = find(run, name, option)
    factor = OPTIONS[option]
    if factor != "ex":
        index = torch.tensor([take["codes"][factor]])
    elif frame is not None:
        index = torch.tensor([take["first"] + frame])
    else:
        replay = back_and_forth(len(take["cam_to_head"]), int(shown.max()) + 1)
        index = torch.from_numpy(take["first"] + replay[shown])
    return run.codes.tables[factor](index.to(run.device)).detach()


def weights_of(text: str, option: str) -> list[tuple[str, float]]:
    """"A:0.3,B:0.7" -> [("A", 0.3), ("B", 0.7)], scaled to add up to 1; or InputError."""
    parts = []
    for part in text.split(","):
        name, colon, number = part.strip().rpartition(":")
        try:
            parts.append((name, float(number)) if colon else (number, 1.0))
        except ValueError:
            raise InputError(f"--{option} {text}: {number!r} is no number; "
                             "write NAME or NAME:0.3,NAME:0.7") from None
    values = np.array([weight for _, weight in parts])
    if not np.isfinite(values).all() or values.min() < 0 or values.sum() == 0:
        raise InputError(f"--{option} {text}: weights must be 0 or more, and not all 0")
    return [(name, float(weight / values.sum())) for name, weight in parts]


def chosen_code(run: Run, text: str, option: str, shown: Int[np.ndarray, "T"]
                ) -> Float[Tensor, "n d"]:
    """What the user asked for: a code, or a mixture as long as its parts on (weighted) average.

    Codes lie near the unit sphere, and a mean of several is shorter than they are. A take whose own
    name has a comma or a colon is found by its whole name.
    """
    whole = any(text in (take["subject"], take["name"]) for take in run.takes)
    wanted = [(text, 1.0)] if whole else weights_of(text, option)
    parts = [(code_of(run, name, option, shown), weight) for name, weight in wanted]
    parts = [(code, weight) for code, weight in parts if weight > 0]
    mixed = sum(weight * code for code, weight in parts)
    length = sum(weight * code.norm(dim=-1, keepdim=True) for code, weight in parts)
    return parts[0][0] if len(parts) == 1 else F.normalize(mixed, dim=-1) * length


def chosen_codes(run: Run, subject: str, shown: Int[np.ndarray, "T"], choices: dict[str, str]
                 ) -> dict[str, Tensor]:
    """All four codes: `subject`'s, but for the options in `choices` {option: the user's text}."""
    codes = {}
    for option, factor in OPTIONS.items():
        codes[factor] = chosen_code(run, choices.get(option) or subject, option, shown)
    return {factor: codes[factor] for factor in CODES}


def sweep_values(run: Run, option: str, subject: str) -> list[str]:
    """Names that show every value of a code in the run; of expressions, six of `subject`."""
    factor = OPTIONS[option]
    if factor == "ex":
        take, _ = find(run, subject, option)
        first, count = take["first"], len(take["cam_to_head"])
        codes = run.codes.tables["ex"].weight[first:first + count].detach()
        return [f"{take['name']}@{frame}" for frame in spread_out(codes.cpu(), 6)]
    names = {}
    for take in run.takes:
        names.setdefault(take["codes"][factor], take["subject"] if factor == "id" else take["name"])
    return list(names.values())


def spread_out(codes: Float[Tensor, "n d"], wanted: int) -> list[int]:
    """Numbers of codes far apart: the first, then always the farthest from those chosen; sorted."""
    chosen = [0]
    while len(chosen) < min(wanted, len(codes)):
        nearest = torch.cdist(codes, codes[chosen]).min(1).values
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
    return sorted(chosen)
