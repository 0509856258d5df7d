"""sync_expert.py - Sec. 4.3: the expert that stands in for SyncNet [44].

Its E_lip looks at the mouth's pixels, as SyncNet does, since it judges renders. E_audio and E_lip
are trained by Eq. 8, as train.py trains its sync module, on other sentences, which no model here
saw. Their distances have another scale than SyncNet's, so their scores compare with nothing
published. In: a corpus. Out: distances (T, 2k + 1) for measures.sync_confidence. Next: judges.py.
"""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import trange

from audio import AudioEncoder, draw_negatives, lips_loss
from config import Config
from data.corpus import Corpus
from data.prepare import prepare
from evaluation.landmark_regressor import BLUR, degrade
from evaluation.measures import offset_distances
from evaluation.syncnet import Distances
from synthetic import dataset
from tools.errors import InputError, first_line, in_one_line, replacing

EXPERT_ITERS, ANCHORS = 700, 32
SETTINGS = ("data", "subjects", "sentences", "seed", "size", "crop", "d_lip", "audio_features",
            "audio_window", "sound_smooth", "av_offset")  # the settings that an expert depends on


class MouthEncoder(nn.Module):
    """E_lip of the expert: a mouth crop -> F_lip, unit length.

    Mouths of one person are alike: without any batch norm their features start almost parallel,
    where Eq. 8 has hardly a gradient. So each layer is normalised over the batch, and the features
    are centred before they get unit length.
    """

    def __init__(self, crop: int, d_out: int):
        super().__init__()
        layers, channels = [], 3
        for width in (24, 32, 48, 64):
            layers += [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.BatchNorm2d(width),
                       nn.LeakyReLU(0.2)]
            channels = width
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2),
                                 nn.Linear(channels * (crop // 16) ** 2, d_out),
                                 nn.BatchNorm1d(d_out, affine=False))

    def forward(self, mouth: Float[Tensor, "B 3 s s"]) -> Float[Tensor, "B k"]:
        return F.normalize(self.net(mouth - 0.5), dim=-1)


def sync_expert(cfg: Config, train_set: Corpus, work: Path, device: torch.device,
                keep: Path | None = None) -> tuple[MouthEncoder, AudioEncoder, str]:
    """E_lip, E_audio of an expert that stands in for SyncNet, and what it was trained on.

    Stand-in heads: sentences that the model was not trained on. A clip or a real set has none to
    spare, so there it is the training frames. An expert in the file `keep` is used again where it
    was trained for the same data and sizes, and a new one is left there. Raises InputError for a
    file that cannot be read.
    """
    others, own = "other sentences of the same people", "the training frames, for want of others"
    what = others if cfg.data is None else own
    d_audio = int(train_set.f_a.shape[-1])
    key = {"what": what, "iters": EXPERT_ITERS, "frames": len(train_set), "d_audio": d_audio}
    key |= {name: getattr(cfg, name) for name in SETTINGS}
    networks = (MouthEncoder(cfg.crop, cfg.d_lip),
                AudioEncoder(d_audio, cfg.audio_window, cfg.d_lip))
    if keep is not None and keep.is_file() and _read_expert(keep, key, networks):
        return *(network.to(device).eval().requires_grad_(False) for network in networks), what
    material = train_set if cfg.data is not None else other_sentences(cfg, work, device)
    networks = train_expert(material, cfg, EXPERT_ITERS, cfg.seed, device)
    if keep is not None:
        weights = [network.state_dict() for network in networks]
        with replacing(keep) as temporary:
            torch.save({"key": key, "weights": weights}, temporary)
    return *networks, what


def _read_expert(path: Path, key: dict, networks: tuple[MouthEncoder, AudioEncoder]) -> bool:
    """Load the kept weights into the networks; False where they were trained for something else."""
    try:
        with in_one_line(path):
            state = torch.load(path, map_location="cpu", weights_only=True)
        if state["key"] != key:
            return False
        for network, weights in zip(networks, state["weights"], strict=True):
            network.load_state_dict(weights)
    except InputError:  # it is only locked
        raise
    except Exception as error:  # zip, pickle, key and shape errors all mean the same to the user
        raise InputError(f"{path}: damaged, or not a sync expert of this program "
                         f"({first_line(error)}); delete it, and it is trained again") from error
    return True


def other_sentences(cfg: Config, work: Path, device: torch.device) -> Corpus:
    """Six further sentences of the stand-in heads' people, which no run is trained on."""
    known = dataset.SENTENCES
    dataset.write_toyset(work / "others", sentences=known + 6, seed=cfg.seed)
    names = ",".join(f"sentence{k:02d}" for k in range(known + 1, known + 7))
    cfg = replace(cfg, data=str(work / "others"), sentences=names)
    return prepare(cfg, work / "expert", device)[0]


def train_expert(corpus: Corpus, cfg: Config, iters: int, seed: int,
                 device: torch.device = torch.device("cpu")) -> tuple[MouthEncoder, AudioEncoder]:
    """E_lip and E_audio by Eq. 8, as train.py trains its sync module, on another corpus.

    Only weights and draws come from `seed`, and the crops are blurred and recoloured at random,
    because renders are blurrier than the truth, and the score is to tell their timing.
    """
    rng, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        e_lip = MouthEncoder(cfg.crop, cfg.d_lip).to(device)
        e_audio = AudioEncoder(corpus.f_a.shape[-1], cfg.audio_window, cfg.d_lip).to(device)
        weights = [*e_lip.parameters(), *e_audio.parameters()]
        optimiser = torch.optim.AdamW(weights, lr=1e-3, weight_decay=1e-2)
        for _ in trange(iters, desc="sync expert", leave=False):
            anchor = rng.integers(len(corpus), size=ANCHORS)
            mouths = degrade(corpus.mouth_crops(anchor).to(device), BLUR * cfg.crop, noise)
            negative = draw_negatives(corpus.take, corpus.time, anchor, cfg.n_negatives, rng,
                                      cfg.apart, corpus.label["id"])
            loss = lips_loss(e_lip, e_audio, mouths, corpus.f_a, anchor, negative, cfg.tau)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return e_lip.eval().requires_grad_(False), e_audio.eval().requires_grad_(False)


@torch.no_grad()
def expert_distances(e_lip: MouthEncoder, e_audio: AudioEncoder, crops: Float[Tensor, "T 3 s s"],
                     f_a: Float[np.ndarray, "T w d"], max_offset: int,
                     frame_ids: Int[np.ndarray, "T"] | None = None) -> Distances:
    """Distances (T, 2k + 1), 0 to 2, between F_lip of frame t and F_al of frame t + j - k; a mask.

    crops: mouths in [0, 1] (data.crops.mouth_crop); frame_ids: where some frames are missing.
    """
    device = next(e_lip.parameters()).device
    f_lip = torch.cat([e_lip(part.to(device)) for part in crops.split(256)])
    blocks = torch.from_numpy(np.array(f_a)).split(256)
    f_al = torch.cat([e_audio(part.to(device)) for part in blocks])
    return offset_distances(f_lip.cpu().numpy(), f_al.cpu().numpy(), max_offset, frame_ids)
