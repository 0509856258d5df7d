"""prepare.py - Sec. 3.1, 4.1: from what the user has to training frames and held-out frames.

In: a folder in VOCASET's layout (real, or written by synthetic/dataset.py), a clip NAME.mp4 with
NAME.landmarks.npy, or nothing: stand-in heads. Out: two Corpora, with images, masks, P_cam, F_exp,
crops and F_A of every frame. Next: train.py.
"""

from pathlib import Path

import numpy as np
import torch

from audio import feature_extractor
from config import Config
from data.clip import load_clip
from data.corpus import Corpus
from data.mesh_takes import load_meshes
from data.take import Take
from data.voca import ACCEPTED, check_parts
from synthetic import dataset
from tools.errors import InputError
from tools.landmarks import load_landmarks
from tools.media import video_info

HELD_OUT = 1 / 11  # of a clip, at its end, as AD-NeRF splits its videos


def load(path: str | Path, size: int, cache_dir: str | Path,
         subjects: list[str] | int | None = None, sentences: list[str] | int | None = None,
         seed: int = 0) -> list[Take]:
    """Takes of a VOCASET folder or of one clip, images size x size, memory-mapped in `cache_dir`.

    subjects, sentences: names, or how many (the first ones; at most). None: VOCA's training
    subjects where the folder has any of VOCASET's, else all; all sentences. seed draws the colours,
    light and head motion of meshes. Raises InputError, one line, for anything missing, damaged or
    unknown. Never stands in other data.
    """
    path = Path(path)
    check_source(path)
    if path.is_dir():
        return load_meshes(path, size, Path(cache_dir), subjects, sentences, seed)
    return [load_clip(path, size, Path(cache_dir))]


def check_source(path: str | Path) -> None:
    """Raise InputError, before anything is written, where load() would find too little."""
    path = Path(path)
    if path.is_dir():
        check_parts(path)
    elif path.is_file():
        load_landmarks(path, video_info(path).frames)
    else:
        raise InputError(f"{path}: no such file or folder; {ACCEPTED}")


def chosen(text: str | None) -> list[str] | int | None:
    """What the user asks for: "3" -> 3, "toy01,toy02" -> those names, None or "" -> None."""
    if text is None or text.strip() == "":
        return None
    if text.strip().isdigit():
        return int(text)
    return [name.strip() for name in text.split(",") if name.strip()]


def split(takes: list[Take]) -> tuple[list[tuple[int, np.ndarray]], list[tuple[int, np.ndarray]]]:
    """(training, held out), each a list of (index of the take, numbers of its frames).

    Held out: of meshes the last sentence of every subject that has two or more; otherwise the last
    1/11 of the frames.
    """
    train, held = [], []
    for i, take in enumerate(takes):
        numbers = np.arange(len(take.frame_ids))
        same = [j for j, other in enumerate(takes) if other.subject == take.subject]
        if take.kind == "mesh" and len(same) > 1:
            (held if i == same[-1] else train).append((i, numbers))
        else:
            cut = len(numbers) - max(1, round(len(numbers) * HELD_OUT))
            train.append((i, numbers[:cut]))
            held.append((i, numbers[cut:]))
    return train, held


def prepare(cfg: Config, out: Path, device: torch.device) -> tuple[Corpus, Corpus]:
    """Read or render every frame, track, align the sound: training frames and held-out frames."""
    cache, source = out / "prepared", cfg.data
    # First, so that a wrong name fails at once.
    features = feature_extractor(cfg.audio_features, cfg.audio_window, device)
    if source is None:
        source = cache / "heads"
        if not (source / "data_verts.npy").is_file():
            print("no --data given: writing stand-in heads (not real people)")
            dataset.write_toyset(source, seed=cfg.seed)
    takes = load(source, cfg.size, cache, chosen(cfg.subjects), chosen(cfg.sentences), cfg.seed)
    corpora = []
    for name, part in zip(("train", "heldout"), split(takes)):
        corpora.append(Corpus([takes[i] for i, _ in part], [numbers for _, numbers in part]))
        corpora[-1].prepare(cache / name, cfg.crop, features, cfg.blank_mouth)
    if len(corpora[0].pair_starts) == 0:
        raise InputError(f"{source}: no two consecutive frames with landmarks and sound to train "
                         "on; give a longer clip")
    return corpora[0], corpora[1]
