"""run.py - a trained run: checkpoint.pt, written and read, and the networks rebuilt from it.

In: a run folder of train.py. Out: Checkpoint, what training goes on from; Run, ready to render
(Sec. 3.1). Next: rendering.py.
"""
from __future__ import annotations

import io
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio import AudioEncoder, LipEncoder
from config import Config
from data.corpus import Corpus
from data.examples import examples_of
from data.take import Take
from dhnerf import CODES, DHNeRF, LatentCodes, LatentExtractor
from tools.errors import InputError, first_line, in_one_line, replacing

FORMAT = 3  # of checkpoint.pt; raised when old files can no longer be read
LISTED = 8  # takes in an error message


@dataclass
class Checkpoint:
    """What checkpoint.pt holds: a configuration, and what the stages have made so far, else None.

    extractor, e_audio, e_lip, model, codes: weights; d_audio: width of F_A; references: the barred
    C of Eq. 6, by code; takes, backgrounds: see `describe`; examples: see data/examples.py, None in
    checkpoints that are older than they; adam, adam_codes: states of the optimisers; iteration: how
    many the field has had.
    """
    cfg: Config
    extractor: dict | None = None
    e_audio: dict | None = None
    e_lip: dict | None = None
    d_audio: int | None = None
    references: dict[str, Tensor] | None = None
    takes: list[dict] | None = None
    backgrounds: Tensor | None = None
    examples: dict[str, Tensor] | None = None
    model: dict | None = None
    codes: dict | None = None
    adam: dict | None = None
    adam_codes: dict | None = None
    iteration: int = 0

    def to_dict(self) -> dict:
        """Tensors, numbers, text and plain containers only: it loads with weights_only=True."""
        made = {f.name: getattr(self, f.name) for f in fields(self)[1:]}
        return {"format": FORMAT, "config": self.cfg.to_dict(),
                **{name: value for name, value in made.items() if value is not None}}

    @staticmethod
    def from_dict(values: dict) -> "Checkpoint":
        made = {f.name: values[f.name] for f in fields(Checkpoint)[1:] if f.name in values}
        return Checkpoint(Config.from_dict(values["config"]), **made)

    def write(self, folder: Path) -> None:
        """Replace checkpoint.pt. Where the disk is full, InputError, and the earlier one stays."""
        packed = io.BytesIO()  # torch.save hides the disk's own error
        torch.save(self.to_dict(), packed)
        with replacing(folder / "checkpoint.pt") as temporary:
            temporary.write_bytes(packed.getbuffer())

    @staticmethod
    def read(folder: str | Path) -> "Checkpoint":
        """checkpoint.pt of a run folder. Raises InputError when it cannot be used."""
        path = Path(folder) / "checkpoint.pt"
        with in_one_line(path):
            if not path.is_file():
                raise InputError(f"{path}: no such file; "
                                 f"train first (python train.py --out {folder})")
            packed = io.BytesIO(path.read_bytes())
        try:
            values = torch.load(packed, map_location="cpu", weights_only=True)
            version = values["format"]
            checkpoint = Checkpoint.from_dict(values) if version == FORMAT else None
        except Exception as error:  # zip, pickle and key errors all mean the same to the user
            raise InputError(f"{path}: not a checkpoint of this program or damaged "
                             f"({first_line(error)}); train again in another --out") from error
        if checkpoint is None:
            raise InputError(f"{path}: written in format {version}, this program reads {FORMAT}; "
                             "train again in another --out")
        return checkpoint

    def keep(self, parts: dict, iteration: int) -> None:
        """Keep what so many iterations have taught; parts: {name here: what has a state_dict}."""
        self.iteration = iteration
        for name, part in parts.items():
            setattr(self, name, part.state_dict())

    def give(self, parts: dict) -> None:
        """Bring the parts to where `keep` has found them, if it has."""
        for name, part in parts.items() if self.model is not None else ():
            part.load_state_dict(getattr(self, name))

    def describe(self, corpus: Corpus, heldout: Corpus) -> None:
        """Keep what animate.py needs of each training take, as plain values and tensors."""
        self.examples = examples_of(corpus, heldout)
        self.takes, places, pictures = [], {}, []  # a background that takes share is kept once
        for take, numbers, first in zip(corpus.takes, corpus.numbers, corpus.first):
            key = take.background.tobytes()
            if key not in places:
                places[key] = len(pictures)
                pictures.append(take.background)
            self.takes.append({
                "name": take.name, "subject": take.subject, "fps": float(take.fps),
                "first": int(first), "background": places[key],
                "K": torch.from_numpy(take.K).float(),
                "cam_to_head": torch.from_numpy(take.cam_to_head[numbers]).float(),
                **_of_clip(take, numbers),
                "codes": {name: int(label[first]) for name, label in corpus.label.items()}})
        self.backgrounds = torch.from_numpy(np.stack(pictures))


def _of_clip(take: Take, numbers: np.ndarray) -> dict:
    """What is kept of a clip alone: its body's pose, and where its frames are in its picture."""
    if take.story is None:
        return {}
    return {"rest": torch.from_numpy(take.rest).float(), "whole": take.whole,
            "box": take.story.box, "picture": take.story.picture, "source": take.story.source,
            "frame_ids": torch.from_numpy(take.frame_ids[numbers])}


def check_data(cfg: Config) -> None:
    """Raise InputError where the data that a run was trained on are no longer where they were."""
    if cfg.data is None:
        return
    with in_one_line():
        there = Path(cfg.data).exists()
    if not there:
        back = "put them back there, or a link to them" if Path(cfg.data).is_absolute() else \
            "run this in the folder in which train.py was run"
        raise InputError(f"{cfg.data}: the data that this run was trained on are not there; {back}")


def check_takes(cfg: Config, takes: list[dict], corpus: Corpus) -> None:
    """Raise InputError where the data hold other frames, or labels, than when a run was trained.

    Codes belong to frames and labels: with others, each would get the code of another.
    """
    now = [(take.name, len(numbers), {name: int(label[first])
                                      for name, label in corpus.label.items()})
           for take, numbers, first in zip(corpus.takes, corpus.numbers, corpus.first)]
    if [(take["name"], len(take["cam_to_head"]), take["codes"]) for take in takes] != now:
        raise InputError(f"{cfg.data or 'stand-in heads'}: the data have changed since this run "
                         "was trained (other takes, other frames in them, or another person, "
                         "albedo or light of one); train again in another --out")
    for kept, take in zip(takes, corpus.takes):
        if "box" in kept and (tuple(kept["box"]), kept["whole"]) != (take.story.box, take.whole):
            raise InputError(f"{take.story.source}: its landmarks or its matte differ from those "
                             "of training; put the folder found/ of the run back, or install "
                             "requirements-landmarks.txt as then")


@dataclass
class Run:
    """A trained run, ready to render.

    `takes`: name, subject, fps, K (3, 3), cam_to_head (T, 4, 4), background (number), codes (entry
    of "id", "al", "ill" in their tables), first (entry of C_ex of its first frame; the others
    follow). `examples`: of data/examples.py; None where the checkpoint is older than they.
    """
    cfg: Config
    model: DHNeRF
    codes: LatentCodes
    extractor: LatentExtractor
    e_audio: AudioEncoder | None
    takes: list[dict]
    backgrounds: Tensor  # (n, H, W, 3) uint8
    device: torch.device
    folder: Path | None = None  # where it was loaded from
    e_lip: LipEncoder | None = None
    examples: dict[str, Tensor] | None = None

    def take(self, name: str | None = None, option: str = "subject") -> dict:
        """The take called `name`; of a subject of that name, or for None of all, the first one.

        Raises InputError, naming the command line's option, for a name that this run does not know.
        """
        for take in self.takes:
            if name in (None, take["subject"], take["name"]):
                return take
        raise InputError(f"--{option} {name}: not in this run; it knows the takes {self.known()}, "
                         "and their subjects")

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


def load_run(folder: str | Path, device: torch.device = torch.device("cpu")) -> Run:
    """Rebuild the networks of a run folder. Raises InputError where the field is not begun yet."""
    checkpoint = Checkpoint.read(folder)
    if checkpoint.model is None:
        raise InputError(f"{folder}/checkpoint.pt: training stopped before the field; go on with "
                         f"python train.py --resume --out {folder}")
    try:
        return _build_run(checkpoint, device, Path(folder))
    except (RuntimeError, KeyError, TypeError) as error:
        raise InputError(f"{folder}/checkpoint.pt: its weights do not fit its configuration "
                         f"({first_line(error)}); train again in another --out") from error


def _build_run(checkpoint: Checkpoint, device: torch.device, folder: Path) -> Run:
    cfg = checkpoint.cfg
    model, extractor = DHNeRF(cfg), LatentExtractor(cfg)
    model.load_state_dict(checkpoint.model)
    extractor.load_state_dict(checkpoint.extractor)
    codes = LatentCodes({name: checkpoint.codes[f"ref_{name}"] for name in CODES})
    codes.load_state_dict(checkpoint.codes)
    if cfg.code_per_frame:
        codes = codes.of_frames(middle_frames(checkpoint.takes))
    e_audio = e_lip = None
    if cfg.sync:
        e_audio = AudioEncoder(checkpoint.d_audio, cfg.audio_window, cfg.d_lip, cfg.sound_layers)
        e_audio.load_state_dict(checkpoint.e_audio)
        e_audio.eval().to(device)
        e_lip = LipEncoder(cfg.d_lip)
        e_lip.load_state_dict(checkpoint.e_lip)
        e_lip.eval().to(device)
    return Run(cfg, model.eval().to(device), codes.to(device), extractor.eval().to(device), e_audio,
               checkpoint.takes, checkpoint.backgrounds, device, folder, e_lip, checkpoint.examples)


def middle_frames(takes: list[dict]) -> dict[str, Tensor]:
    """For each label a training frame that stands for it: the middle one of its first take.

    Returns {"id": (labels,), ...}.
    """
    found: dict[str, dict[int, int]] = {"id": {}, "al": {}, "ill": {}}
    for take in takes:
        for name, frames in found.items():
            frames.setdefault(take["codes"][name], take["first"] + len(take["cam_to_head"]) // 2)
    return {name: torch.tensor([frame for _, frame in sorted(frames.items())])
            for name, frames in found.items()}
