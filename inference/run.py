"""run.py - a trained run: what checkpoint.pt holds, how it is written and read, and the networks rebuilt from it.

In: a run folder of train.py. Out: Run, ready to render (Sec. 3.1). Next: rendering.py.
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio import AudioEncoder
from config import Config
from data.corpus import Corpus
from dhnerf import CODES, DHNeRF, LatentCodes, LatentExtractor
from tools.errors import InputError, first_line, replacing

FORMAT = 2  # of checkpoint.pt; raised when old files can no longer be read
LISTED = 8  # takes in an error message


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

    def take(self, name: str | None = None, option: str = "subject") -> dict:
        """The take called `name`; the first one of a subject of that name; the first of all for None.

        Raises InputError, naming the command line's option, for a name that this run does not know.
        """
        for take in self.takes:
            if name in (None, take["subject"], take["name"]):
                return take
        raise InputError(f"--{option} {name}: not in this run; it knows the takes {self.known()}, and their subjects")

    def known(self) -> str:
        """The names of the takes, for error messages: the first LISTED of them."""
        names = [take["name"] for take in self.takes]
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        return ", ".join(names[:LISTED]) + more


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
        raise InputError(f"{path}: not a checkpoint of this program or damaged ({first_line(error)}); "
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
                         f"({first_line(error)}); train again") from error


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


def check_takes(cfg: Config, records: list[dict], train_set: Corpus) -> None:
    """Codes belong to frames. Raises InputError where the data hold other frames than when a run was trained."""
    then = [(record["name"], len(record["cam_to_head"])) for record in records]
    if then != [(take.name, len(rows)) for take, rows in zip(train_set.takes, train_set.rows)]:
        raise InputError(f"{cfg.data or 'stand-in heads'}: the data have changed since this run was trained (other takes, "
                         "or other frames in them); train again in another --out")


def take_records(train: Corpus) -> tuple[list[dict], Tensor]:
    """What animate.py needs of each training take, as tensors and plain values, and the distinct backgrounds."""
    records, backgrounds = [], {}
    for take, rows, first in zip(train.takes, train.rows, train.first):
        codes = {factor: int(train.label[factor][first]) for factor in train.label}
        number = backgrounds.setdefault(take.background.tobytes(), (len(backgrounds), take.background))[0]
        records.append({"name": take.name, "subject": take.subject, "fps": float(take.fps), "first": int(first),
                        "background": number, "K": torch.from_numpy(take.K).float(),
                        "cam_to_head": torch.from_numpy(take.cam_to_head[rows]).float(),
                        "codes": codes})
    return records, torch.from_numpy(np.stack([b for _, b in backgrounds.values()]))


def save(path: Path, state: dict) -> None:
    with replacing(path) as temporary:
        torch.save(state, temporary)
