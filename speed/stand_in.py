"""stand_in.py - Sec. 3.2: a head and a frame for measuring time: no training, no data.

In: a configuration. Out: what DHNeRF.forward takes; a DHNeRF with a head-shaped density, because a
random field is fog, in which every sample counts, and a trained one is empty around a solid head.
Read next: bench.py.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from config import Config
from dhnerf import CODES, DHNeRF
from synthetic.cameras import camera_of_motion, default_camera, head_motion

# The head is where cos(pi x) + cos(pi y) + cos(pi z) > EDGE, with x, y, z from -1 to 1 in the box:
# 0.8 of each half axis. Density rises from exp(EMPTY) by STEEP per unit of that sum.
EDGE, EMPTY, STEEP = 1.2, -9.0, 20.0


def frame_inputs(cfg: Config, frames: int = 1, device: torch.device = torch.device("cpu"),
                 seed: int = 0) -> tuple[dict[str, Tensor], Tensor | None, Tensor, Tensor, Tensor]:
    """Codes, F_lip, K, cam_to_head and background of some frames, as DHNeRF.forward takes them.

    Codes are random, of unit length; the head sways as the stand-in heads do.
    """
    generator = torch.Generator().manual_seed(seed)
    unit = lambda d: F.normalize(torch.randn(frames, d, generator=generator), dim=-1).to(device)
    codes = {name: unit(cfg.code_size(name)) for name in CODES}
    f_lip = unit(cfg.d_lip) if cfg.sync else None
    K, distance = default_camera(cfg.size)
    motion = head_motion(frames, 30.0, np.random.default_rng(seed))
    poses = torch.from_numpy(camera_of_motion(motion, distance)).float().to(device)
    K = torch.from_numpy(K).float().to(device).expand(frames, 3, 3)
    background = torch.rand(frames, 3, cfg.size, cfg.size, generator=generator).to(device)
    return codes, f_lip, K, poses, background


@torch.no_grad()
def shape_as_head(model: DHNeRF) -> DHNeRF:
    """Give the field a solid head in empty space, by one unit of each layer; returns the model.

    All products stay as many and as large as they were, so the plain way takes the same time.
    """
    field = model.field
    cosines = 3 + 3 * field.n_freq  # column of cos(pi x): x, the sines, then the cosines
    for i, layer in enumerate(field.hidden):  # unit 0: relu(the sum - EDGE), handed on
        layer.weight[0] = 0.0
        layer.weight[0, slice(cosines, cosines + 3) if i == 0 else slice(0, 1)] = 1.0
        layer.bias[0] = -EDGE if i == 0 else 0.0
    for layer in [*field.codes_in.values(), *([] if field.x_again is None else [field.x_again])]:
        layer.weight[0] = 0.0
    field.density.weight[0, 0] = STEEP
    field.density.bias[0] = EMPTY
    return model


def head(cfg: Config, device: torch.device = torch.device("cpu")) -> DHNeRF:
    """A DHNeRF with a solid head in empty space, the same for the same configuration."""
    torch.manual_seed(0)
    return shape_as_head(DHNeRF(cfg)).to(device)


def frame_of(model: nn.Module, inputs: tuple) -> Callable[[], Tensor]:
    """A call that renders a frame of `frame_inputs` without gradients: the image."""
    @torch.inference_mode()
    def call() -> Tensor:
        return model(*inputs)["image"]
    return call
