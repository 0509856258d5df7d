"""pretrain.py - Sec. 3.3 and 3.4: the two stages before the field, both by the contrast of Eq. 8.

First the latent code extractor, whose outputs are the reference codes of Eq. 6; then the lip sync module, whose F_al is
the field's F_lip. Both are frozen afterwards.
In: the training frames (corpus.py). Out: LatentExtractor and reference codes {"id": (n, d), ...}; AudioEncoder.
Next: train.py.
"""
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

import losses
from audio import AudioEncoder, LipEncoder, draw_negatives, lips_loss
from config import LOG_EVERY, Config
from corpus import Corpus
from dhnerf import CODES, LatentExtractor
from seeds import generators

EXTRACTOR_FRAMES, EXTRACTOR_ANCHORS, SYNC_ANCHORS = 96, 32, 32  # of a step


# ---------------------------------------------------------------------------------------------------------------------
# The latent code extractor (Sec. 3.3), by contrast


def train_extractor(cfg: Config, train: Corpus, device: torch.device, log: "Log") -> LatentExtractor:
    """Eq. 8 with codes in place of lip features, once for each factor that varies in the data."""
    generators(cfg.seed, "extractor", -1)
    extractor = LatentExtractor(cfg).to(device)
    optimiser = torch.optim.Adam(extractor.parameters(), lr=1e-3)
    factors, draws = train.contrasted(), train.draws(cfg.rare)
    low, chance, _ = losses.info_nce_range(cfg.n_negatives, cfg.tau)
    bar = tqdm(range(cfg.extractor_iters), f"extractor (best {low:.2f}, chance {chance:.2f})")
    for it in bar:
        rng, _ = generators(cfg.seed, "extractor", it)
        terms = extractor_loss(cfg, extractor, train, factors, draws, rng, device)
        loss = sum(terms.values()) / len(terms)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if it % LOG_EVERY == 0:
            log.add(stage="extractor", iteration=it, loss=loss)
            bar.set_postfix({f: f"{v.item():.2f}" for f, v in terms.items()})
    return extractor.eval().requires_grad_(False)


def extractor_loss(cfg: Config, extractor: LatentExtractor, train: Corpus, factors: list[str], draws: np.ndarray,
                   rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
    """Eq. 8 for each factor. The extractor reads EXTRACTOR_FRAMES frames once; they are anchors, positives and negatives
    of one another. With frames of its own for every anchor a step would cost ten times as much for the same terms."""
    index = np.sort(rng.choice(len(train), min(EXTRACTOR_FRAMES, len(train)), replace=False, p=draws))
    codes = extractor(train.head_crops(index).to(device))
    anchor = rng.choice(index, min(EXTRACTOR_ANCHORS, len(index)), replace=False)
    at = lambda frames: torch.from_numpy(np.searchsorted(index, frames)).to(device)
    terms = {}
    for factor in factors:
        if factor != "ex" and len(np.unique(train.label[factor][index])) == 1:
            continue  # a rare value that this draw lacks: no negatives
        drawn = [train.contrast(factor, a, cfg.n_negatives, rng, index) for a in anchor]
        code = codes[factor]
        terms[factor] = losses.info_nce(code[at(anchor)], code[at(np.array([p for p, _ in drawn]))],
                                        code[at(np.stack([n for _, n in drawn]))], cfg.tau)
    return terms


@torch.no_grad()
def reference_codes(extractor: LatentExtractor, train: Corpus, device: torch.device, per_frame: bool = False
                    ) -> dict[str, Tensor]:
    """The barred C of Eq. 6: C_ex of each frame (n, d); C_id of each person, C_al of each albedo, C_ill of each light:
    the mean direction of what the extractor reads in their frames. per_frame: all four of each frame."""
    blocks = [extractor(train.head_crops(index).to(device)) for index in np.array_split(np.arange(len(train)),
                                                                                       len(train) // 256 + 1)]
    codes = {name: torch.cat([b[name] for b in blocks]) for name in CODES}
    if per_frame:
        return codes
    for name, label in train.label.items():
        label = torch.from_numpy(label).to(device)
        means = [codes[name][label == i].mean(0) for i in range(int(label.max()) + 1)]
        codes[name] = F.normalize(torch.stack(means), dim=-1)
    return codes


# ---------------------------------------------------------------------------------------------------------------------
# The lip sync module (Sec. 3.4)


def train_sync(cfg: Config, train: Corpus, device: torch.device, log: "Log") -> AudioEncoder:
    """Eq. 8: anchor F_lip of the mouth, positive F_al of the same moment, N negatives F_al of other times."""
    generators(cfg.seed, "sync", -1)
    e_audio = AudioEncoder(train.f_a.shape[-1], cfg.audio_window, cfg.d_lip).to(device)
    e_lip = LipEncoder(cfg.crop, cfg.d_lip).to(device)
    optimiser = torch.optim.AdamW([*e_audio.parameters(), *e_lip.parameters()], lr=1e-3, weight_decay=1e-2)
    low, chance, _ = losses.info_nce_range(cfg.n_negatives, cfg.tau)
    bar = tqdm(range(cfg.sync_iters), f"sync module (best {low:.2f}, chance {chance:.2f})")
    for it in bar:
        rng, _ = generators(cfg.seed, "sync", it)
        anchor = rng.integers(len(train), size=SYNC_ANCHORS)
        mouths = train.mouth_crops(anchor).to(device)
        negative = draw_negatives(train.take, train.time, anchor, cfg.n_negatives, rng, person=train.label["id"])
        loss = lips_loss(e_lip, e_audio, mouths, train.f_a, anchor, negative, cfg.tau)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if it % LOG_EVERY == 0:
            log.add(stage="sync", iteration=it, loss=loss)
            bar.set_postfix(L_lips=f"{loss.item():.3f}")
    return e_audio.eval().requires_grad_(False)
