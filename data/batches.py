"""batches.py - Sec. 3.3, 4.2: what one iteration of the field sees.

In: a Corpus and the number of an iteration. Out: Batch: frames, the frames that lend their C_ex,
patches, and what they should look like. Chance comes from (seed, iteration) alone, and nothing
global is touched, so a thread may make batches (speed/prefetch.py) and each process of several its
part (speed/parallel.py). Next: train.py.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from config import Config
from data.corpus import Corpus
from data.sampling import lookalikes, patch_corners, probabilities
from speed import parallel
from tools.seeds import numpy_generator


@dataclass(frozen=True)
class Batch:
    """What one iteration of the field sees: B frames, first those j - 1 of each pair, then those j.

    index (B,): frames of the corpus; ex_index (B,): the frames whose C_ex they get; consecutive:
    whether each j follows its j - 1, else the two are unrelated and L_v is left out; corner (B, 2):
    row and column, in feature pixels, of the patch that is rendered of each; None: whole frames.
    truth: Corpus.ground_truth of them, cut to the patches, in main memory; None: not read yet.
    """
    index: np.ndarray
    ex_index: np.ndarray
    consecutive: bool
    corner: Tensor | None
    truth: dict[str, Tensor] | None = None

    def own(self) -> Batch:
        """This process's part: all of it, but under torchrun."""
        rows = parallel.rows(len(self.index))
        corner = None if self.corner is None else self.corner[torch.from_numpy(rows)]
        return replace(self, index=self.index[rows], ex_index=self.ex_index[rows], corner=corner)


class Batches:
    """The batches of a run: `batch(iteration)`."""

    def __init__(self, cfg: Config, corpus: Corpus, device: torch.device):
        """device: where the batches are going to be used."""
        self.cfg, self.corpus, self.device = cfg, corpus, device
        self.lookalikes = lookalikes(corpus, cfg.apart, cfg.seed)
        self.probabilities = probabilities(corpus, cfg.rare)
        starts = self.probabilities[corpus.pair_starts]
        self.pair_probabilities = starts / starts.sum()

    def batch(self, iteration: int) -> Batch:
        """What an iteration sees, read; for a GPU pinned, so that it is copied beside the step."""
        batch = self.draw(numpy_generator(self.cfg.seed, "field", iteration)).own()
        truth = self.read(batch)
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):  # a thread begins with the first GPU
                truth = {name: value.pin_memory() for name, value in truth.items()}
        return replace(batch, truth=truth)

    def draw(self, rng: np.random.Generator) -> Batch:
        """Frames, the frames that lend their C_ex, and patches."""
        cfg, corpus = self.cfg, self.corpus
        before = rng.choice(corpus.pair_starts, cfg.pairs, p=self.pair_probabilities)
        consecutive = rng.random() < cfg.pair_share
        after = before + 1
        if not consecutive:
            after = rng.choice(len(corpus), cfg.pairs, p=self.probabilities)
        index = np.concatenate([before, after])
        # C_ex identifies its frame, so the field could learn the lips from it and ignore the sound.
        # In part of the frames it comes from a frame with the same upper face and other lips: only
        # F_lip can tell what the lips do.
        lender = self.lookalikes[index, rng.integers(self.lookalikes.shape[1], size=len(index))]
        share = cfg.ex_swap if cfg.sync else 0.0
        ex_index = np.where(rng.random(len(index)) < share, lender, index)
        if not cfg.patch:
            return Batch(index, ex_index, consecutive, None)
        first = second = patch_corners(corpus, before, cfg.patch, cfg.upsample, rng)
        if not consecutive:  # L_v needs one patch for both frames of a pair
            second = patch_corners(corpus, after, cfg.patch, cfg.upsample, rng)
        return Batch(index, ex_index, consecutive, torch.cat([first, second]))

    def read(self, batch: Batch) -> dict[str, Tensor]:
        """Corpus.ground_truth of the batch's frames, cut to its patches, in main memory."""
        step, corner = self.cfg.upsample, batch.corner
        place = () if corner is None else (corner * step, self.cfg.patch * step)
        return self.corpus.ground_truth(batch.index, *place)


# ---- noise, drawn for all frames of the batch; of several processes each takes its part ----------

def noisy(code: Float[Tensor, "B d"], length: float, generator: torch.Generator
          ) -> Float[Tensor, "B d"]:
    """A code with noise of this length (`code_noise`): the field learns its surroundings."""
    if not length:
        return code
    scale = length / code.shape[1] ** 0.5
    return code + (parallel.normal(code.shape, generator) * scale).to(code)


def with_dropout(f_lip: Float[Tensor, "B d"], share: float, generator: torch.Generator
                 ) -> Float[Tensor, "B d"]:
    """F_lip, zero in a share (`lip_dropout`) of the frames."""
    if not share:
        return f_lip
    kept = parallel.uniform((len(f_lip), 1), generator) >= share
    return f_lip * kept.to(f_lip)
