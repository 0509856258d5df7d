"""sparse.py - Sec. 3.2, Eq. 1: the picture of render.render_rays, from the samples that matter.

Most samples of a ray lie in air, or behind what is opaque. Their weight w_i (NeRF Eq. 3) is nearly
0, so the picture does not show them; nor do they learn anything, since

    |dM / d log sigma_i| <= w_i max_j |M_i - M_j|,   with a last M_j of 0, the background.

So densities are asked first, without gradients, and what has no weight is not asked again: the
others alone are asked for density and appearance, with gradients where training wants them.

In:  what render.render_rays takes, the side of the square of rays, and the weight `least` from
     which on a sample matters.
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

from render import (box_bounds, compositing_weights, hierarchical_samples, intervals, points,
                    sample_edges, stratified_samples, uniform)

MANY = 32  # coarse samples a ray; with fewer, what is asked twice costs more than is saved
STEP = 4  # samples in a cell, of which one is asked first
SEEN = 1e-4  # `least` of pictures that nobody learns from: they are those of the plain path to 1e-3


@dataclass(frozen=True)
class OfSamples:
    """dhnerf.Conditions of N single samples, which come from different frames.

    frame (N,): whose each is; geometry_bias and appearance_bias (1, N, 1, W) are those of its
    frame, planes (B, 3, C, s, s) stay one set a frame.
    """
    geometry_bias: dict[int, Tensor]
    appearance_bias: Tensor
    planes: Tensor | None
    frame: Int[Tensor, "N"]

    @staticmethod
    def pick(conditions, frame: Int[Tensor, "N"]) -> "OfSamples":
        """The conditions of each sample, from those of the frames."""
        def of(bias):
            return bias[:, 0, 0].index_select(0, frame)[None, :, None]

        biases = {i: of(bias) for i, bias in conditions.geometry_bias.items()}
        return OfSamples(biases, of(conditions.appearance_bias), conditions.planes, frame)

    def learnt(self, x: Float[Tensor, "1 N 1 3"]) -> Float[Tensor, "1 N 1 C"]:
        """dhnerf.Conditions.learnt: the planes of all frames lie below one another as one picture.

        So samples need not be sorted into frames of equal number. A row is held within its own
        frame's part, as the border is there.
        """
        B, _, C, s, _ = self.planes.shape
        tall = self.planes.permute(1, 2, 0, 3, 4).reshape(3, C, B * s, s)
        x = x[0, :, 0]
        at = torch.stack([x[:, [0, 1]], x[:, [0, 2]], x[:, [1, 2]]])  # (3, N, 2): column, row
        row = (0.5 * ((at[..., 1] + 1) * s - 1)).clamp(0, s - 1) + self.frame * s
        at = torch.stack([at[..., 0], (2 * row + 1) / (B * s) - 1], -1)
        read = F.grid_sample(tall, at[:, :, None], "bilinear", "border", False)  # (3, C, N, 1)
        return read[..., 0].flatten(0, 1).t()[None, :, None]


@dataclass(frozen=True)
class Rays:
    """Rays (B, R, 3) in the head's frame, and in the body's where there is one."""
    origins: Tensor
    directions: Tensor
    body: tuple[Tensor, Tensor] | None

    def all_points(self, field, t: Float[Tensor, "B R S"]) -> Float[Tensor, "B R S 3"]:
        """Where the field is asked at distances t."""
        x = points(self.origins, self.directions, t)
        return x if self.body is None else field.joined(x, points(*self.body, t))

    def some_points(self, field, ray: Int[Tensor, "N"], t: Float[Tensor, "N"]
                    ) -> Float[Tensor, "1 N 1 3"]:
        """Where the field is asked at distance t of ray number `ray`, counted over all frames."""
        pick = lambda each: each.flatten(0, 1).index_select(0, ray)[None]
        one_each = Rays(pick(self.origins), pick(self.directions),
                        self.body and tuple(map(pick, self.body)))
        return one_each.all_points(field, t[None, :, None])


def coarse_density(field, conditions, rays: Rays, t: Float[Tensor, "B R S"],
                   delta: Float[Tensor, "B R S"], side: int, least: float
                   ) -> Float[Tensor, "B R S"]:
    """sigma of the coarse samples, without gradients.

    Of a ray's samples one in every STEP is asked first, and stands for its cell of STEP samples.
    Of four rays that stand in a square each asks another of the four, so that a sheet as thin as
    one sample's interval is met by one of them. Then a cell is asked in full where it, or one of
    the 26 beside it (of this ray and of the eight around), has a weight of at least `least`.
    """
    at = rays.all_points(field, t)
    (B, R, S), cells = t.shape, t.shape[-1] // STEP
    row, column = torch.arange(R, device=t.device) // side, torch.arange(R, device=t.device) % side
    first = 2 * (row % 2) + column % 2  # (R,), of the four
    probes = first[:, None] + STEP * torch.arange(cells, device=t.device)  # (R, cells)
    probes = probes.expand(B, R, cells)
    cell = (torch.arange(S, device=t.device) // STEP).clamp(max=cells - 1)
    probed = at.gather(2, probes[..., None].expand(-1, -1, -1, 3))
    sigma = field.geometry(probed, conditions)[0][..., cell]  # (B, R, S)
    w = compositing_weights(sigma, delta)
    of_cells = w.new_zeros(B, R, cells).index_add(2, cell, w)
    grid = of_cells.unflatten(1, (side, side))[:, None]  # (B, 1, side, side, cells)
    around = F.max_pool3d(grid, 3, 1, 1)[:, 0].flatten(1, 2) >= least  # (B, R, cells)
    ask = around[..., cell].scatter(2, probes, False)  # those of the probes are known
    where = ask.flatten().nonzero()[:, 0]
    of_samples = OfSamples.pick(conditions, where // (R * S))
    x = at.flatten(0, 2).index_select(0, where)[None, :, None]
    asked = field.geometry(x, of_samples)[0]
    return sigma.flatten().index_put((where,), asked.flatten()).view(B, R, S)


def render_rays(field, conditions, origins: Float[Tensor, "B R 3"],
                directions: Float[Tensor, "B R 3"], box: tuple[float, ...], n_coarse: int,
                n_fine: int, side: int, least: float, generator: torch.Generator | Callable | None = None,
                body: tuple[Tensor, Tensor] | None = None
                ) -> tuple[Float[Tensor, "B R C"], Float[Tensor, "B R"]]:
    """render.render_rays with its arguments; rays of a frame stand in a square of side x side.

    A sample that does not matter keeps, as a constant, the density that it was found to have.
    """
    rays = Rays(origins, directions, body)
    with torch.no_grad():
        near, far = box_bounds(*(body or (origins, directions)), box)
        t = stratified_samples(near, far, n_coarse, uniform(generator, near, n_coarse))
        delta = intervals(t, near, far)
        sigma = coarse_density(field, conditions, rays, t, delta, side, least)
        w = compositing_weights(sigma, delta)
        matters = w >= least
        if n_fine:
            edges = sample_edges(t, near, far)
            t_fine = hierarchical_samples(edges, w, n_fine, uniform(generator, near, n_fine))
            at = torch.searchsorted(edges, t_fine, right=True).sub(1).clamp(0, n_coarse - 1)
            t = torch.cat([t, t_fine], -1)  # a fine sample matters where its coarse one does
            sigma = torch.cat([sigma, sigma.gather(-1, at)], -1)
            matters = torch.cat([matters, matters.gather(-1, at)], -1)
        order = t.argsort(-1)
        t, sigma, matters = (each.gather(-1, order) for each in (t, sigma, matters))
        delta = intervals(t, near, far)
        where = matters.flatten().nonzero()[:, 0]  # (N,)
        ray = where // t.shape[-1]
    of_samples = OfSamples.pick(conditions, ray // origins.shape[1])
    asked, h = field.geometry(rays.some_points(field, ray, t.flatten()[where]), of_samples)
    sigma = sigma.flatten().index_put((where,), asked.flatten()).view(t.shape)
    w = compositing_weights(sigma, delta)
    seen_along = directions.flatten(0, 1).index_select(0, ray)[None]  # (1, N, 3)
    features = field.appearance(h, seen_along, of_samples)[0, :, 0]  # (N, C)
    weighted = w.flatten()[where, None] * features
    M = weighted.new_zeros(t[..., 0].numel(), features.shape[1])
    M = M.scatter_add(0, ray[:, None].expand_as(features), weighted)
    return M.view(*t.shape[:2], -1), w.sum(-1)
