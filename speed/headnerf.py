"""headnerf.py - Sec. 3.2: what the paper builds on: HeadNeRF's forward at its published sizes.

Written anew from the published description, for its time alone: weights are random. 32 x 32 rays
of 64 samples, eight layers of 384, 256 features a sample, three doublings to 256 x 256 pixels. All
codes are copied to every sample, all layers are 1 x 1 convolutions of (B, C, rays, samples), and
the 2D renderer runs twice: with the head, and on a learnt background alone.

In: codes {"id" (B, 100), "ex" (B, 79), "al" (B, 100), "ill" (B, 27)}, camera. Out: two images.
Read next: bench.py, which compares.
"""
from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from config import PAPER, Config
from render import box_bounds, pixel_rays

CODE_SIZES = {"id": 100, "ex": 79, "al": 100, "ill": 27}
FREQUENCIES, FREQUENCIES_VIEW = 10, 4
SAMPLES, WIDTH, DEPTH, AGAIN = 64, 384, 8, 5  # AGAIN: the layer that sees the input once more
FEATURES, LEAST_CHANNELS, DOUBLINGS = 256, 32, 3


def ours_at_its_sizes(size: int = 256) -> Config:
    """Our configuration with its widths, depth, samples and codes; no F_lip, which it lacks."""
    return replace(PAPER, size=size, upsample=2**DOUBLINGS, width=WIDTH, depth=DEPTH,
                   width_appearance=WIDTH // 2, n_coarse=SAMPLES, n_fine=0, d_feature=FEATURES,
                   channels_2d=FEATURES, sync=False, n_freq_x=FREQUENCIES,
                   n_freq_v=FREQUENCIES_VIEW, **{f"d_{k}": d for k, d in CODE_SIZES.items()})


def encoded(x: Float[Tensor, "B 3 R S"], n: int) -> Float[Tensor, "B C R S"]:
    """x, then sines and cosines of 2^k x, C = 3 + 6 n."""
    angles = [x * 2.0**k for k in range(n)]
    return torch.cat([x, *(wave for a in angles for wave in (a.sin(), a.cos()))], 1)


class Doubling(nn.Module):
    """One step of the 2D renderer: (B, C, h, w) -> (B, max(C / 2, 32), 2 h, 2 w)."""

    def __init__(self, channels: int):
        super().__init__()
        self.wider = nn.Conv2d(channels, 2 * channels, 1)
        self.widest = nn.Conv2d(2 * channels, 4 * channels, 1)
        self.narrow = nn.Conv2d(channels, max(channels // 2, LEAST_CHANNELS), 1)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B c H W"]:
        y = F.leaky_relu(self.widest(F.leaky_relu(self.wider(x), 0.2)), 0.2)
        y = blurred(F.pixel_shuffle(y + x.repeat(1, 4, 1, 1), 2))
        return F.leaky_relu(self.narrow(y), 0.2)


def blurred(x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
    """Each channel by the 3 x 3 binomial filter 1 2 1."""
    row = x.new_tensor([0.25, 0.5, 0.25])
    kernel = (row[:, None] * row).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), kernel, groups=x.shape[1])


class Renderer(nn.Module):
    """Its 2D renderer: three doublings of the features, and beside them of the colours."""

    def __init__(self):
        super().__init__()
        channels = [FEATURES]
        for _ in range(DOUBLINGS):
            channels.append(max(channels[-1] // 2, LEAST_CHANNELS))
        self.doublings = nn.ModuleList(Doubling(c) for c in channels[:-1])
        self.to_rgb = nn.ModuleList(nn.Conv2d(c, 3, 1) for c in channels)

    def forward(self, M: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        x, rgb = M, self.to_rgb[0](M)
        for doubling, to_rgb in zip(self.doublings, self.to_rgb[1:]):
            x = doubling(x)
            twice = F.interpolate(rgb, scale_factor=2, mode="bilinear", align_corners=False)
            rgb = blurred(twice) + to_rgb(x)
        return torch.sigmoid(rgb)


class HeadNeRFAsPublished(nn.Module):
    """Codes and camera in, the head over the learnt background and that background alone out."""

    def __init__(self, size: int = 256):
        super().__init__()
        self.size, self.box = size, PAPER.box
        grid = size // 2**DOUBLINGS
        d_x = 3 + 6 * FREQUENCIES + CODE_SIZES["id"] + CODE_SIZES["ex"]
        d_v = 3 + 6 * FREQUENCIES_VIEW + CODE_SIZES["al"] + CODE_SIZES["ill"]
        inputs = [d_x] + [WIDTH] * (DEPTH - 1)
        inputs[AGAIN] += d_x
        self.hidden = nn.ModuleList(nn.Conv2d(n, WIDTH, 1) for n in inputs)
        self.density = nn.Conv2d(WIDTH, 1, 1)
        nn.init.constant_(self.density.bias, 0.5)  # random weights alone may show nothing
        self.between = nn.Conv2d(WIDTH, WIDTH, 1)
        self.appearance = nn.Conv2d(WIDTH + d_v, WIDTH // 2, 1)
        self.to_feature = nn.Conv2d(WIDTH // 2, FEATURES, 1)
        self.background = nn.Parameter(torch.ones(1, FEATURES, grid, grid))
        self.renderer = Renderer()

    def field(self, x: Float[Tensor, "B 3 R S"], v: Float[Tensor, "B 3 R S"],
              codes: dict[str, Tensor]) -> tuple[Float[Tensor, "B R S"], Float[Tensor, "B C R S"]]:
        """Density and feature of every sample at x in [-1, 1], seen along v."""
        def everywhere(*names):
            of_frame = torch.cat([codes[name] for name in names], -1)
            return of_frame[..., None, None].expand(-1, -1, *x.shape[2:])

        seen = torch.cat([encoded(x, FREQUENCIES), everywhere("id", "ex")], 1)
        h = seen
        for i, layer in enumerate(self.hidden):
            h = F.relu(layer(torch.cat([seen, h], 1) if i == AGAIN else h))
        view = torch.cat([encoded(v, FREQUENCIES_VIEW), everywhere("al", "ill")], 1)
        hidden = F.relu(self.appearance(torch.cat([self.between(h), view], 1)))
        return F.relu(self.density(h)).squeeze(1), self.to_feature(hidden)

    def forward(self, codes: dict[str, Tensor], K: Float[Tensor, "B 3 3"],
                cam_to_head: Float[Tensor, "B 4 4"]
                ) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "1 3 H W"]]:
        """codes {"id": (B, 100), ...}; K in px of the image; cam_to_head in dm."""
        origins, directions = pixel_rays(K, cam_to_head, self.size, 2**DOUBLINGS)
        near, far = box_bounds(origins, directions, self.box)
        step = (far - near)[..., None] / SAMPLES  # (B, R, 1)
        t = near[..., None] + step * (torch.arange(SAMPLES, device=K.device) + 0.5)
        x = origins[..., None, :] + t[..., None] * directions[..., None, :]
        x = x.permute(0, 3, 1, 2) / max(map(abs, self.box))  # (B, 3, R, S)
        v = directions.transpose(1, 2)[..., None].expand_as(x)
        sigma, features = self.field(x, v, codes)
        through = torch.exp(-sigma * step)  # of each sample
        before = torch.cumprod(torch.cat([torch.ones_like(step), through], -1), -1)
        w = before[..., :-1] * (1 - through)  # (B, R, S)
        M = (features * w[:, None]).sum(-1)  # (B, C, R)
        grid = math.isqrt(M.shape[-1])
        M, rest = (part.unflatten(-1, (grid, grid)) for part in (M, before[:, None, :, -1]))
        return self.renderer(M + rest * self.background), self.renderer(self.background)
