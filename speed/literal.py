"""literal.py - Sec. 3.2, Eq. 1 as one would first write it: to compare with, and as an oracle.

    (sigma, M) = D(x, v, C, F_lip)      for every sample: all that D sees, laid end to end

In: a DHNeRF, whose weights are used; there are none of its own. Out: what DHNeRF.forward returns,
the same numbers and the same gradients, by a longer way. bench.py says how much longer.
Read next: headnerf.py, the way of others; dhnerf.Field says why the short way is the same.
"""
from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from dhnerf import CODES, Conditions, DHNeRF, Field, positional_encoding
from render import (box_bounds, compositing_weights, hierarchical_samples, intervals, sample_edges,
                    stratified_samples, uniform)
from synthetic import bust


def end_to_end(codes: list[Float[Tensor, "B _"]]) -> Float[Tensor, "B d"]:
    """Codes side by side. Each has unit length; times sqrt(d) its entries have unit variance."""
    return torch.cat([code * math.sqrt(code.shape[-1]) for code in codes], -1)


def every_sample(values: Float[Tensor, "B *R C"], like: Float[Tensor, "B R S 3"]
                 ) -> Float[Tensor, "B R S C"]:
    """What belongs to a frame (B, C) or to a ray (B, R, C), once for each of its samples."""
    values = values[:, None, None] if values.dim() == 2 else values[:, :, None]
    return values.expand(*like.shape[:-1], values.shape[-1])


class LiteralField:
    """Eq. 1 for every sample: codes, F_lip and the encoded view are copied to it, concatenated.

    Its weight matrices are those of a Field, side by side along their inputs.
    """

    def __init__(self, field: Field, codes: dict[str, Tensor], f_lip: Float[Tensor, "B d"] | None):
        """codes {"id": (B, d_id), ...}; f_lip: not read where the field has no sync module."""
        self.field = field
        of_geometry = [codes["id"], codes["ex"]] + ([f_lip] if field.use_lip else [])
        self.geometry_codes = end_to_end(of_geometry)
        self.appearance_codes = end_to_end([codes["al"], codes["ill"]])
        self.planes = None
        if field.planes is not None:  # of each frame its own planes: the mean and a mixture
            share = F.linear(self.geometry_codes, field.plane_coefficients.weight,
                             field.plane_coefficients.bias)  # (B, rank)
            mixed = sum(share[:, k, None, None, None, None] * plane
                        for k, plane in enumerate(field.plane_basis))
            self.planes = field.planes + mixed  # (B, 3, C, s, s)

    def __call__(self, points: Float[Tensor, "B R S 3"], v: Float[Tensor, "B R 3"]
                 ) -> tuple[Float[Tensor, "B R S"], Float[Tensor, "B R S C"]]:
        """sigma (1/dm) and M of every point (dm), seen along the unit directions v."""
        field = self.field
        low, high = points.new_tensor(field.box[:3]), points.new_tensor(field.box[3:])
        known = Conditions({}, points.new_zeros(0), self.planes)
        x = field.encode((2 * points - low - high) / (high - low), known)
        h, c = x, every_sample(self.geometry_codes, points)
        for i, layer in enumerate(field.hidden):
            seen, weights = [h], [layer.weight]
            if str(i) in field.codes_in:
                seen, weights = [*seen, c], [*weights, field.codes_in[str(i)].weight]
            if i == field.skip and field.x_again is not None:
                seen, weights = [*seen, x], [*weights, field.x_again.weight]
            h = F.relu(F.linear(torch.cat(seen, -1), torch.cat(weights, 1), layer.bias))
        logit = field.density(h).squeeze(-1) - 1.2 + field.solid * bust.inside(points)
        return torch.exp(logit.clamp(max=6.0)), self.features(h, v, points)

    def features(self, h: Float[Tensor, "B R S W"], v: Float[Tensor, "B R 3"],
                 points: Float[Tensor, "B R S 3"]) -> Float[Tensor, "B R S C"]:
        """M of every sample: the last layer, too, is asked for each."""
        field, view = self.field, positional_encoding(v, self.field.n_freq_view)
        seen = [h, every_sample(view, points), every_sample(self.appearance_codes, points)]
        layers = field.appearance_x, field.appearance_view, field.appearance_codes
        weight = torch.cat([layer.weight for layer in layers], 1)
        hidden = F.relu(F.linear(torch.cat(seen, -1), weight, field.appearance_x.bias))
        return field.to_feature(hidden)


class Literal(nn.Module):
    """DHNeRF.forward the obvious way, with the weights of `model`: it can stand in its place.

    two_fields: as NeRF has it, a coarse field answers the coarse samples, and a fine one is asked
    them all again beside the fine ones. Here both have the same weights, so the picture stays, at
    the cost of two. What the coarse one says of colour is thrown away, and it gets no gradient:
    NeRF's, which has a loss of its own, costs more. Without two_fields coarse answers are kept.
    """

    def __init__(self, model: DHNeRF, two_fields: bool = True):
        super().__init__()
        self.model, self.two_fields = model, two_fields

    def forward(self, codes: dict[str, Tensor], f_lip: Float[Tensor, "B d"] | None,
                K: Float[Tensor, "B 3 3"], cam_to_head: Float[Tensor, "B 4 4"],
                background: Float[Tensor, "B 3 H W"],
                generator: torch.Generator | Callable | None = None,
                corner: Int[Tensor, "B 2"] | None = None,
                rest: Float[Tensor, "B 4 4"] | None = None) -> dict[str, Tensor]:
        """As DHNeRF.forward."""
        model, cfg = self.model, self.model.cfg
        grid = cfg.size // cfg.upsample if corner is None else cfg.patch
        field = LiteralField(model.field, codes, f_lip)
        rays = [model.rays(K, cam_to_head, corner)]
        if cfg.body:
            rays.append(model.rays(K, model.cam_to_body(cam_to_head, rest), corner))
        M, opacity = self.rendered(field, rays, generator)
        M = M.transpose(1, 2).unflatten(2, (grid, grid))
        opacity = opacity.unflatten(1, (grid, grid))[:, None]
        rgb, full_opacity = model.neural_renderer(M, opacity)
        image = full_opacity * rgb + (1 - full_opacity) * background
        return {"image": image, "opacity": full_opacity, "opacity_field": opacity, "M": M}

    def rendered(self, field: LiteralField, rays: list[tuple[Tensor, Tensor]],
                 generator: torch.Generator | Callable | None
                 ) -> tuple[Float[Tensor, "B R C"], Float[Tensor, "B R"]]:
        """M and opacity of every ray; rays: origins and directions for the head, and for a body."""
        cfg, directions = self.model.cfg, rays[0][1]

        def points(t):
            x = [origin[..., None, :] + t[..., None] * along[..., None, :]
                 for origin, along in rays]
            return x[0] if len(x) == 1 else self.model.field.joined(*x)

        with torch.no_grad():
            near, far = box_bounds(*rays[-1], cfg.box)
        t = stratified_samples(near, far, cfg.n_coarse, uniform(generator, near, cfg.n_coarse))
        sigma, M = field(points(t), directions)
        if cfg.n_fine:
            weights = compositing_weights(sigma, intervals(t, near, far)).detach()
            edges = sample_edges(t, near, far)
            jitter = uniform(generator, near, cfg.n_fine)
            fine = hierarchical_samples(edges, weights, cfg.n_fine, jitter)
            t, order = torch.cat([t, fine], -1).sort(-1)
            if self.two_fields:
                sigma, M = field(points(t), directions)
            else:
                more, M_more = field(points(fine), directions)
                sigma = torch.cat([sigma, more], -1).gather(-1, order)
                M = torch.cat([M, M_more], -2)
                M = M.gather(-2, order[..., None].expand_as(M))
        w = compositing_weights(sigma, intervals(t, near, far))  # (B, R, S)
        return (w[..., None] * M).sum(-2), w.sum(-1)


def literal_forward(model: DHNeRF, codes: dict[str, Tensor], f_lip: Float[Tensor, "B d"] | None,
                    K: Float[Tensor, "B 3 3"], cam_to_head: Float[Tensor, "B 4 4"],
                    background: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """The image of DHNeRF.forward, the obvious way: the oracle of faster ones."""
    assert set(codes) == set(CODES), "codes: {'id', 'ex', 'al', 'ill'} -> (B, d)"
    return Literal(model)(codes, f_lip, K, cam_to_head, background)["image"]
