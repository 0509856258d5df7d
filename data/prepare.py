"""prepare.py - Sec. 3.1, 4.1: from what the user has to training frames and held-out frames.

In: a folder in VOCASET's layout (real, or written by synthetic/dataset.py), a clip, a folder of
clips, a prepared folder of AD-NeRF or RAD-NeRF, or nothing: stand-in heads. Out: two Corpora, with
images, masks, P_cam, F_exp, crops and F_A of every frame. Next: train.py.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from audio import feature_extractor
from config import Config
from data import nerf_folder
from data.clip import check_clip, load_clip
from data.corpus import Corpus
from data.found import Detectors
from data.mesh_takes import load_meshes
from data.people import listed_clips, load_clips, videos_in
from data.take import Take
from data.voca import ACCEPTED, PARTS, check_parts
from data.voices import Speech, spoken_in, with_voices
from synthetic import dataset
from tools import phones
from tools.errors import InputError

HELD_OUT = 1 / 11  # of a clip, at its end, as AD-NeRF splits its videos


def load(path: str | Path, size: int, cache_dir: str | Path,
         subjects: list[str] | int | None = None, sentences: list[str] | int | None = None,
         seed: int = 0, av_offset: str = "auto", detectors: Detectors | None = None) -> list[Take]:
    """Takes of a VOCASET folder or of clips, images size x size, memory-mapped in `cache_dir`.

    subjects, sentences: names, or how many (the first ones; at most). None: VOCA's training
    subjects where the folder has any of VOCASET's, else all; all sentences. Of a folder of clips,
    subjects are its people and sentences its files. seed draws the colours, light and head motion
    of meshes; av_offset: milliseconds by which the pictures of clips lead their sound, or "auto";
    detectors: finds landmarks and mattes of clips that bring none, and keeps them.
    Raises InputError, one line, for anything missing, damaged or unknown. Never stands in other
    data.
    """
    path, cache_dir = Path(path), Path(cache_dir)
    detectors = detectors or Detectors(cache_dir / "found")
    check_source(path, detectors)
    if is_clip(path):
        return [load_clip(path, size, cache_dir, detectors, av_offset)]
    if is_clips(path):
        return load_clips(path, size, cache_dir, subjects, sentences, av_offset,
                          detectors=detectors)
    return load_meshes(path, size, cache_dir, subjects, sentences, seed)


def is_clip(path: str | Path) -> bool:
    """Whether load() would read one clip: of a file, or of a prepared folder of the field."""
    return not Path(path).is_dir() or nerf_folder.is_folder(Path(path))


def is_clips(path: str | Path) -> bool:
    """Whether load() would read clips: one, or a folder of videos without VOCASET's files."""
    path = Path(path)
    if is_clip(path):
        return True
    return bool(videos_in(path)) and not any((path / part).is_file() for part in PARTS)


def check_source(path: str | Path, detectors: Detectors | None = None) -> None:
    """Raise InputError, before anything is written, where load() would find too little."""
    path, detectors = Path(path), detectors or Detectors(Path())
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; {ACCEPTED}")
    if not is_clips(path):
        check_parts(path)
        return
    for one in [path] if is_clip(path) else [clip.path for clip in listed_clips(path)]:
        check_clip(one, detectors)


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


def features_of(cfg: Config, device: torch.device
                ) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """audio.feature_extractor as the configuration wants it."""
    return feature_extractor(cfg.audio_features, cfg.audio_window, device, cfg.sound_smooth)


def speech_of(corpus: Corpus, cfg: Config, device: torch.device) -> Speech:
    """What the sync module learns from: of one person alone, with stand-in voices beside it."""
    speech = spoken_in(corpus)
    if not cfg.voices or len(corpus.names["id"]) > 1:
        return speech
    return with_voices(speech, cfg.voices, features_of(cfg, device))


def sound_of_clips() -> str:
    """The features of the sound that `small` takes for clips; a printed line says which and why."""
    if phones.available():
        print("sound features: phones beside log-mel, which carry over from voice to voice "
              "(--audio-features hubert: the paper's, a download of 380 MB)")
        return "phones"
    print("sound features: log-mel alone, as the phone recogniser is missing (pip install "
          "hama==1.7.0; or --audio-features hubert: the paper's, a download of 380 MB)")
    return "logmel"


def detectors_of(cfg: Config, found: Path) -> Detectors:
    """Detectors with the models that the configuration names; they keep what they find in found."""
    return Detectors(found, *(Path(model) if model else None
                              for model in (cfg.landmark_model, cfg.matte_model)))


def prepare(cfg: Config, cache: Path, device: torch.device, found: Path | None = None
            ) -> tuple[Corpus, Corpus]:
    """Read or render every frame, track, align the sound: training frames and held-out frames.

    cache: folder for what is made of the data; found: for the landmarks and mattes of clips that
    bring none.
    """
    features = features_of(cfg, device)  # first, so that a wrong name fails at once
    corpora = frames_of(cfg, cache, found)
    for name, corpus in zip(("train", "heldout"), corpora):
        corpus.prepare(cache / name, cfg.crop, features, cfg.blank_mouth)
    if len(corpora[0].pair_starts) == 0:
        raise InputError(f"{cfg.data or 'stand-in heads'}: no two consecutive frames with landmarks "
                         "and sound to train on; give a longer clip")
    return corpora


def frames_of(cfg: Config, cache: Path, found: Path | None) -> tuple[Corpus, Corpus]:
    """`prepare` without crops and sound features: all that the field learns from (Eq. 2)."""
    source = cfg.data
    if source is None:
        source = cache / "heads"
        if not (source / "data_verts.npy").is_file():
            print("no --data given: writing stand-in heads (not real people)")
            dataset.write_toyset(source, seed=cfg.seed)
    takes = load(source, cfg.size, cache, chosen(cfg.subjects), chosen(cfg.sentences), cfg.seed,
                 cfg.av_offset, detectors_of(cfg, found or cache / "found"))
    train_set, heldout_set = (Corpus([takes[i] for i, _ in part], [frames for _, frames in part])
                              for part in split(takes))
    return train_set, heldout_set
