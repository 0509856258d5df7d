"""sparse.py - Sec. 3.2, Eq. 1: the picture of render.render_rays, from the samples that matter.

Most samples of a ray lie in air, or behind what is opaque. Their weight w_i (NeRF Eq. 3) is nearly
0, so the picture does not show them; nor do they learn anything, since

    |dM / d log sigma_i| <= w_i max_j |M_i - M_j|,   with a last M_j of 0, the background.

So densities are asked first, without gradients, and what has no weight is not asked again: the
others alone are asked for density and appearance, with gradients where training wants them. A few
are asked all the same: a field that has become empty would else never learn again. And where most
samples matter, as at the start, all are asked, once.

In:  what render.render_rays takes, how many rays stand in a row, and the weight `least` from which
     on a sample matters.
Out: hidden features (B, R, C) and opacity (B, R); at least = 0 those of render.render_rays.
Read next: render.py, which says the same without this file; dhnerf.py.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

import render
from render import (box_bounds, compositing_weights, hierarchical_samples, intervals, points,
                    sample_edges, stratified_samples, uniform)

MANY = 32  # coarse samples a ray; with fewer, what is asked twice costs more than is saved
STEP = 4  # samples in a cell, of which one is asked first
FEW = 17  # one ray in so many tells whether the field is fog
MOST = 0.5  # share of samples that matter, from which on all are asked, once: see `is_fog`
ANYWAY = 16  # in training one sample in so many is asked whether it matters or not
SEEN = 1e-5  # `least` of pictures that nobody learns from: 1e-4 showed on a trained field, by 3e-3


@dataclass(frozen=True)
class OfSamples:
    """What dhnerf.Field.geometry reads of dhnerf.Conditions, for N single samples of many frames.

    frame (N,): whose each is; geometry_bias (1, N, 1, W): those of its frame; tall (3, C, B s, s):
    the planes of all frames, below one another as one picture.
    """
    geometry_bias: dict[int, Tensor]
    tall: Tensor | None
    frame: Int[Tensor, "N"]

    def learnt(self, x: Float[Tensor, "1 N 1 3"]) -> Float[Tensor, "1 N 1 C"]:
        """dhnerf.Conditions.learnt; samples need not be sorted into frames of equal number.

        A row is held within its own frame's part, as the border is there.
        """
        height, s = self.tall.shape[2:]
        x = x[0, :, 0]
        at = torch.stack([x[:, [0, 1]], x[:, [0, 2]], x[:, [1, 2]]])  # (3, N, 2): column, row
        row = (0.5 * ((at[..., 1] + 1) * s - 1)).clamp(0, s - 1) + self.frame * s
        at = torch.stack([at[..., 0], (2 * row + 1) / height - 1], -1)
        read = F.grid_sample(self.tall, at[:, :, None], "bilinear", "border", False)
        return read[..., 0].flatten(0, 1).t()[None, :, None]  # from (3, C, N, 1)


class Rays:
    """What is asked: a field under its conditions, along rays (B, R, 3); body: see render.py.

    What is constant in a frame or along a ray is made here, once for all that is asked.
    """

    def __init__(self, field, conditions, origins: Float[Tensor, "B R 3"],
                 directions: Float[Tensor, "B R 3"], body: tuple[Tensor, Tensor] | None):
        self.field, self.conditions, self.rays_of_frame = field, conditions, origins.shape[1]
        self.head = origins, directions
        self.body = body
        self.bias = field.ray_bias(directions, conditions).flatten(0, 1)  # (B R, A)
        planes = conditions.planes  # (B, 3, C, s, s)
        self.tall = None if planes is None else planes.permute(1, 2, 0, 3, 4).flatten(2, 3)

    def ask(self, t: Float[Tensor, "B R S"], which: Int[Tensor, "N"]
            ) -> tuple[Float[Tensor, "N"], Float[Tensor, "N W"]]:
        """Field.geometry of the samples number `which`, counted over all frames and rays."""
        ray = which // t.shape[-1]
        along = t.flatten().index_select(0, which)[None, :, None]
        x = points(*_of(ray, self.head), along)
        if self.body is not None:
            x = self.field.joined(x, points(*_of(ray, self.body), along))
        frame = ray // self.rays_of_frame
        biases = {i: bias[:, 0, 0].index_select(0, frame)[None, :, None]
                  for i, bias in self.conditions.geometry_bias.items()}
        sigma, h = self.field.geometry(x, OfSamples(biases, self.tall, frame))
        return sigma.flatten(), h[0, :, 0]

    def appearance(self, h: Float[Tensor, "N W"], ray: Int[Tensor, "N"]) -> Float[Tensor, "N A"]:
        """Field.appearance of samples of the rays `ray`."""
        return self.field.appearance_of(h, self.bias.index_select(0, ray))


def _of(ray: Tensor, rays: tuple[Tensor, Tensor]) -> list[Float[Tensor, "1 N 3"]]:
    return [each.flatten(0, 1).index_select(0, ray)[None] for each in rays]


def is_fog(rays: Rays, t: Float[Tensor, "B R S"], delta: Float[Tensor, "B R S"], least: float
           ) -> bool:
    """Whether most samples matter, as in a field that has learnt little: then nothing is saved.

    Judged by the middle sample of each cell on one ray in FEW.
    """
    ray = torch.arange(0, t[..., 0].numel(), FEW, device=t.device)
    middle = torch.arange(STEP // 2, t.shape[-1], STEP, device=t.device)
    sigma, _ = rays.ask(t, (ray[:, None] * t.shape[-1] + middle).flatten())
    lengths = STEP * delta.flatten(0, 1)[None, ray][..., middle]  # (1, rays, cells)
    of_cells = compositing_weights(sigma.view(lengths.shape), lengths)
    return bool((of_cells >= STEP * least).float().mean() > MOST)


def coarse(rays: Rays, t: Float[Tensor, "B R S"], delta: Float[Tensor, "B R S"], side: int,
           least: float) -> tuple[Float[Tensor, "B R S"], Int[Tensor, "N"], Float[Tensor, "N W"]]:
    """sigma of the coarse samples; which of them were asked, and their hidden layer.

    Of a ray's samples one in every STEP is asked first, and stands for its cell of STEP samples.
    Of four rays that stand in a square each asks another of the four, so that a sheet as thin as
    one sample's interval is met by one of them. Then a cell is asked in full where it, or one of
    the 26 beside it (of this ray and of the eight around), has a weight of at least `least`.
    """
    (B, R, S), cells = t.shape, t.shape[-1] // STEP
    row, column = torch.arange(R, device=t.device) // side, torch.arange(R, device=t.device) % side
    first = 2 * (row % 2) + column % 2  # (R,), of the four
    probes = first[:, None] + STEP * torch.arange(cells, device=t.device)  # (R, cells)
    number = (torch.arange(B * R, device=t.device) * S).view(B, R, 1) + probes
    sigma_probed, h_probed = rays.ask(t, number.flatten())
    cell = (torch.arange(S, device=t.device) // STEP).clamp(max=cells - 1)
    sigma = sigma_probed.view(B, R, cells)[..., cell]
    w = compositing_weights(sigma, delta)
    of_cells = w.new_zeros(B, R, cells).index_add(2, cell, w)
    grid = of_cells.unflatten(1, (-1, side))[:, None]  # (B, 1, rows, side, cells)
    around = F.max_pool3d(grid, 3, 1, 1)[:, 0].flatten(1, 2) >= least  # (B, R, cells)
    others = around[..., cell].scatter(2, probes.expand(B, R, cells), False)
    others = others.flatten().nonzero()[:, 0]
    sigma_others, h_others = rays.ask(t, others)
    sigma = sigma.flatten().index_put((others,), sigma_others).view(B, R, S)
    return sigma, torch.cat([number.flatten(), others]), torch.cat([h_probed, h_others])


def render_rays(field, conditions, origins: Float[Tensor, "B R 3"],
                directions: Float[Tensor, "B R 3"], box: tuple[float, ...], n_coarse: int,
                n_fine: int, generator: torch.Generator | Callable | None = None,
                body: tuple[Tensor, Tensor] | None = None, *, side: int, least: float
                ) -> tuple[Float[Tensor, "B R C"], Float[Tensor, "B R"]]:
    """render.render_rays with its arguments; rays of a frame stand in rows of `side`.

    A sample that does not matter keeps, as a constant, the density that it was found to have.
    """
    rays = Rays(field, conditions, origins, directions, body)
    with torch.no_grad():
        near, far = box_bounds(*(body or (origins, directions)), box)
        t = stratified_samples(near, far, n_coarse)
        fog = is_fog(rays, t, intervals(t, near, far), least)
    if fog:
        return render.render_rays(field, conditions, origins, directions, box, n_coarse, n_fine,
                                  generator, body)
    with torch.no_grad():
        jitter = uniform(generator, near, n_coarse)
        t = stratified_samples(near, far, n_coarse, jitter)
        delta = intervals(t, near, far)
        sigma, which, h = coarse(rays, t, delta, side, least)
        w = compositing_weights(sigma, delta)
        matters = w >= least
        if jitter is not None:  # chance again, that of the last digits: what is empty can change
            matters |= jitter * ANYWAY % 1 < 1 / ANYWAY
        if n_fine:
            jitter = uniform(generator, near, n_fine)
            t, sigma, matters = with_fine(t, sigma, matters, w, near, far, jitter, n_fine)
            which = which // n_coarse * t.shape[-1] + which % n_coarse
    known = matters.flatten()[which]
    if torch.is_grad_enabled():  # all that matter are asked again, to learn
        known = torch.zeros_like(known)
    which, h = which[known], h[known]
    new = matters.flatten().index_fill(0, which, False).nonzero()[:, 0]
    asked, h_new = rays.ask(t, new)
    sigma = sigma.flatten().index_put((new,), asked).view(t.shape)
    return composited(rays, t, sigma, near, far, torch.cat([which, new]), torch.cat([h, h_new]))


def with_fine(t: Float[Tensor, "B R S"], sigma: Float[Tensor, "B R S"],
              matters: Bool[Tensor, "B R S"], w: Float[Tensor, "B R S"], near: Float[Tensor, "B R"],
              far: Float[Tensor, "B R"], jitter: Float[Tensor, "B R F"] | None, n: int
              ) -> tuple[Float[Tensor, "B R E"], Float[Tensor, "B R E"], Bool[Tensor, "B R E"]]:
    """t, sigma, `matters` with n fine samples, which have those of the coarse ones about them."""
    edges = sample_edges(t, near, far)
    fine = hierarchical_samples(edges, w, n, jitter)
    at = torch.searchsorted(edges, fine, right=True).sub(1).clamp(0, t.shape[-1] - 1)
    join = lambda one, other: torch.cat([one, other], -1)
    return join(t, fine), join(sigma, sigma.gather(-1, at)), join(matters, matters.gather(-1, at))


def composited(rays: Rays, t: Float[Tensor, "B R S"], sigma: Float[Tensor, "B R S"],
               near: Float[Tensor, "B R"], far: Float[Tensor, "B R"], which: Int[Tensor, "N"],
               h: Float[Tensor, "N W"]) -> tuple[Float[Tensor, "B R C"], Float[Tensor, "B R"]]:
    """What render.render_rays does at its end, with appearance of the samples `which` alone."""
    order = t.argsort(-1)
    w = compositing_weights(sigma.gather(-1, order), intervals(t.gather(-1, order), near, far))
    w = torch.empty_like(w).scatter(-1, order, w)  # back to the order of `which`
    ray = which // t.shape[-1]
    weighted = w.flatten().index_select(0, which)[:, None] * rays.appearance(h, ray)
    M = weighted.new_zeros(w[..., 0].numel(), weighted.shape[1])
    M = M.scatter_add(0, ray[:, None].expand_as(weighted), weighted)
    return M.view(*w.shape[:2], -1), w.sum(-1)
