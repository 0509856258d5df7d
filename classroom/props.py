"""props.py - what exercises hand to a student's function in place of our own objects.

No part of the paper. Small classes of plain arrays and formulas, which the student's process can
build again. They share no code with the program. Read next: questions/.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# ---- a field and a generator, for the exercise `eq1_render` --------------------------------------

COORDINATES = 4  # hidden features of Cloud: x, y, z and 1


@dataclass
class Cloud:
    """Stands in for dhnerf.Field in eq1_render: density and features are formulas of the place.

    sigma = density exp(-sharpness (x + y/2 + z - 1/4)^2), so a cloud about a plane, and the hidden
    layer is shade (x, y, z, 1). Appearance appends (x, y, z) . v and multiplies by the colour.
    Conditions: "density", "sharpness", "shade", each (B,), and "colour" (B, 5).

    budget: how many samples of a ray it answers; like the real field it costs time for each. It
    raises ValueError on more, and where an argument has another shape than dhnerf.Field wants.
    """
    budget: int
    asked: int = 0
    shown: int = 0

    def geometry(self, points: Tensor, conditions: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Points (B, R, S, 3) -> sigma (B, R, S) and the hidden layer (B, R, S, 4)."""
        if points.ndim != 4 or points.shape[-1] != 3:
            raise ValueError("field.geometry wants points of shape (B, R, S, 3), "
                             f"got {tuple(points.shape)}")
        self.asked += points.shape[2]
        self._keep_budget(self.asked)
        density, sharpness, shade = (conditions[name][:, None, None]
                                     for name in ("density", "sharpness", "shade"))
        across = points[..., 0] + 0.5 * points[..., 1] + points[..., 2] - 0.25
        h = torch.cat([points, torch.ones_like(points[..., :1])], -1)
        return density * torch.exp(-sharpness * across**2), shade[..., None] * h

    def appearance(self, h: Tensor, directions: Tensor, conditions: dict[str, Tensor]) -> Tensor:
        """Hidden layer (B, R, S, 4), directions (B, R, 3) -> features (B, R, S, 5)."""
        if h.ndim != 4 or h.shape[-1] != COORDINATES:
            raise ValueError("field.appearance wants the hidden layer of field.geometry, "
                             f"(B, R, S, {COORDINATES}), got {tuple(h.shape)}")
        if directions.shape != (*h.shape[:2], 3):
            raise ValueError("field.appearance wants one direction per ray, (B, R, 3), "
                             f"got {tuple(directions.shape)}")
        self.shown += h.shape[2]
        self._keep_budget(self.shown)
        along = (h[..., :3] * directions[..., None, :]).sum(-1, keepdim=True)
        return torch.cat([h, along], -1) * conditions["colour"][:, None, None]

    def joined(self, x_head: Tensor, x_body: Tensor) -> Tensor:
        """Where the field is asked, of a point in the head's frame and in the body's."""
        return x_head + torch.sigmoid(x_body[..., 1:2]) * (x_body - x_head)

    def _keep_budget(self, samples: int) -> None:
        if samples > self.budget:
            raise ValueError(f"the field was asked for {samples} samples of a ray, "
                             f"n_coarse + n_fine are {self.budget}")


@dataclass
class Jitter:
    """A function that draws a shape, as render_rays takes for its generator: from given numbers.

    drawn: tensors of jitter, of unlike shapes. It raises ValueError on a shape that is none of
    theirs.
    """
    drawn: list[Tensor]

    def __call__(self, shape) -> Tensor:
        for numbers in self.drawn:
            if tuple(shape) == tuple(numbers.shape):
                return numbers
        wanted = " or ".join(str(tuple(numbers.shape)) for numbers in self.drawn)
        raise ValueError(f"generator was asked for jitter of shape {tuple(shape)}, "
                         f"want one number per sample: {wanted}")


# ---- the frames of a corpus, for the exercise `contrast` -----------------------------------------


@dataclass
class StandInCorpus:
    """Frames 0 .. F - 1 with what the contrast reads of them, named as in data/corpus.py.

    label {"id", "al", "ill"} -> (F,) int; upper (F, E): what brows and eyes do; lips (F, L).
    """
    label: dict[str, np.ndarray]
    upper: np.ndarray
    lips: np.ndarray

    def __len__(self) -> int:
        return len(self.upper)
