"""joint.py - a control of Sec. 3.4: L_lips learnt together with the field, not before it.

The paper says that a lip sync loss item is introduced, and its Eq. 2 has none. The program trains
the sync module first and freezes it. Here E_lip and E_audio start untrained and learn while the
field does: from Eq. 8, and E_lip from all of Eq. 2, too. `python evaluate.py --controls` compares.

In: a FieldTrainer before its first step. Out: the same, with L_lips among its terms.
Next: ablation.py.
"""
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from audio import AudioEncoder, LipEncoder, draw_negatives, lips_loss
from config import Config
from data.batches import Batch
from data.prepare import speech_of
from tools.seeds import generators


class LipsOfNow:
    """F_lip of the frames that are asked for, by an E_lip that still learns."""

    def __init__(self, e_lip: LipEncoder, lips: np.ndarray, device: torch.device):
        self.e_lip, self.lips = e_lip, torch.from_numpy(lips).to(device)

    def __getitem__(self, at: Tensor) -> Tensor:
        return self.e_lip(self.lips[at])


def learn_lips_too(trainer, sync_module: tuple[AudioEncoder, LipEncoder]) -> None:
    """Let a train.FieldTrainer learn E_audio and E_lip, too: L_total + L_lips.

    They are kept in the checkpoint under the names that the sync module's stage uses.
    """
    cfg: Config = trainer.cfg
    e_audio, e_lip = sync_module
    speech = speech_of(trainer.corpus, cfg, trainer.device)
    of_field, draws = trainer.loss_terms, np.random.default_rng()
    trainer.f_lip = LipsOfNow(e_lip, trainer.corpus.lips, trainer.device)
    trainer.optimisers[0].add_param_group(
        {"params": [*e_audio.parameters(), *e_lip.parameters()], "lr": cfg.lr_encoders})
    trainer.parts |= {"e_audio": e_audio, "e_lip": e_lip}

    def loss_terms(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        terms = of_field(batch, generator)
        anchors = draws.choice(len(speech), cfg.sync_anchors, p=speech.p)
        negatives = draw_negatives(speech.take, speech.time, anchors, cfg.n_negatives, draws,
                                   cfg.apart, speech.person, cfg.sync_pool)
        lips = torch.from_numpy(speech.lips[anchors]).to(trainer.device)
        l_lips = lips_loss(e_lip, e_audio, lips, speech.f_a, anchors, negatives, cfg.tau)
        return terms | {"loss": terms["loss"] + l_lips}

    def step(iteration: int, batch: Batch | None = None) -> dict[str, Tensor]:
        nonlocal draws
        draws, _ = generators(cfg.seed, "sync", iteration)
        return own_step(iteration, batch)

    own_step, trainer.step, trainer.loss_terms = trainer.step, step, loss_terms
