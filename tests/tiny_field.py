"""tiny_field.py - a corpus of arrays and a trainer on it, for tests of the training step: no files."""
from dataclasses import replace

import numpy as np
import torch
from torch.nn.functional import normalize

import train
from config import SMALL
from data.corpus import Corpus
from test_corpus import face_landmarks, make_take

TINY = replace(SMALL, size=32, width=16, width_appearance=16, d_feature=16, channels_2d=16, plane_channels=4,
               plane_size=8, plane_rank=4, n_coarse=6, n_fine=4, patch=5, pairs=2, sync=False, iters=6)


def tiny_corpus(size=32, frames=12, takes=2):
    """Takes of noise with a head pose in front of the camera; arrays in memory."""
    made = []
    for i in range(takes):
        g, take = np.random.default_rng(i), make_take(f"p{i}/s", labels=(i, i, i), T=frames, seed=i)
        pixels = lambda *shape: g.integers(0, 255, shape).astype(np.uint8)
        take.frames, take.masks = pixels(frames, size, size, 3), pixels(frames, size, size)
        take.background = pixels(size, size, 3)
        take.landmarks = face_landmarks(frames) * size / 24
        take.K = np.array([[2.5 * size, 0, size / 2], [0, 2.5 * size, size / 2], [0, 0, 1]])
        pose = np.diag([1.0, -1, -1, 1])
        pose[2, 3] = 8.0  # 8 dm in front of the face
        take.cam_to_head = np.repeat(pose[None], frames, 0)
        take.cam_to_head[:, 0, 3] += g.normal(0, 0.1, frames)
        take.rest = take.cam_to_head.mean(0)
        made.append(take)
    return Corpus(made, [np.arange(frames)] * takes)


def tiny_trainer(cfg=TINY, vgg=None, device="cpu", e_lip=None):
    """FieldTrainer of cfg on `tiny_corpus`; references are fixed, and so are its weights, by the seed."""
    corpus, g = tiny_corpus(cfg.size), torch.Generator().manual_seed(0)
    counts = {"id": 2, "ex": len(corpus), "al": 2, "ill": 2}
    references = {name: normalize(torch.randn(n, cfg.code_size(name), generator=g), dim=-1)
                  for name, n in counts.items()}
    return train.FieldTrainer(cfg, corpus, references, e_lip, vgg, torch.device(device))
