"""render.py - Sec. 3.2, Eq. 1: rays, samples along them, and volume rendering of features.

In: camera K (B, 3, 3), cam_to_head (B, 4, 4); the field of dhnerf.py, which gives sigma and a
hidden feature per sample. Out: composited features (B, R, C) and opacity (B, R), R rays per image.

The paper gives no quadrature and no sampling: both are NeRF's (its Eq. 3 and Sec. 5.2). The head is
fixed and the camera moves: P_cam enters here, in the rays. Lengths are in dm. Next: losses.py.
"""
from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor


def pixel_rays(K: Float[Tensor, "B 3 3"], cam_to_head: Float[Tensor, "B 4 4"], size: int,
               stride: int = 1) -> tuple[Float[Tensor, "B R 3"], Float[Tensor, "B R 3"]]:
    """Rays through a grid of (size / stride)^2 points, row by row, R = (size / stride)^2.

    Pixel j covers [j, j + 1), so the centre of feature pixel j, which covers `stride` image pixels,
    is (j + 1/2) * stride. The upsampler of dhnerf.py keeps to the same convention: nothing shifts
    by half a pixel. Returns origins and unit directions in the head frame.
    """
    u = (torch.arange(size // stride, device=K.device, dtype=K.dtype) + 0.5) * stride
    v, u = torch.meshgrid(u, u, indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], -1).view(1, -1, 3)  # (1, R, 3) homogeneous
    in_camera = pixels @ torch.linalg.inv(K).transpose(1, 2)  # (B, R, 3)
    directions = in_camera @ cam_to_head[:, :3, :3].transpose(1, 2)
    origins = cam_to_head[:, None, :3, 3].expand_as(directions)
    return origins, directions / directions.norm(dim=-1, keepdim=True)


def patches(images: Shaped[Tensor, "B C H W"], corner: Int[Tensor, "B 2"], side: int
            ) -> Shaped[Tensor, "B C n n"]:
    """The square of side x side pixels of each image that begins at its corner (row, column)."""
    return torch.stack([image[:, row:row + side, column:column + side]
                        for image, (row, column) in zip(images, corner.tolist())])


def box_bounds(origins: Float[Tensor, "*rays 3"], directions: Float[Tensor, "*rays 3"],
               box: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Distances (near, far) at which unit-direction rays enter and leave the box about the head.

    box: its lower corner (x, y, z) and its upper one. Each pair of faces is a slab; the ray is
    inside between the last slab entered and the first one left. A ray that misses gets near = far:
    its intervals have no length, so it composites to nothing.
    """
    low, high = directions.new_tensor(box[:3]), directions.new_tensor(box[3:])
    slope = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
    one, other = (low - origins) / slope, (high - origins) / slope
    near = torch.minimum(one, other).amax(-1).clamp_min(0)
    return near, torch.maximum(torch.maximum(one, other).amin(-1), near)


def stratified_samples(near: Float[Tensor, "B R"], far: Float[Tensor, "B R"], n: int,
                       jitter: Float[Tensor, "B R S"] | None = None) -> Float[Tensor, "B R S"]:
    """NeRF Eq. 2: a sample in each of n equal bins of [near, far], at `jitter` in [0, 1) or 1/2."""
    offset = 0.5 if jitter is None else jitter
    fraction = (torch.arange(n, device=near.device, dtype=near.dtype) + offset) / n  # (..., S)
    return near[..., None] + (far - near)[..., None] * fraction


def hierarchical_samples(edges: Float[Tensor, "B R E"], weights: Float[Tensor, "B R S"], n: int,
                         jitter: Float[Tensor, "B R F"] | None = None) -> Float[Tensor, "B R F"]:
    """NeRF Sec. 5.2: n samples from the piecewise constant density `weights` over the bins `edges`.

    edges: S + 1 borders of the bins, increasing along the ray. Inverse transform sampling with
    stratified u: `jitter` in [0, 1) places each u in its stratum, without it u lies in the middle.
    Returns sorted distances; no gradient flows to the weights.
    """
    pdf = weights.detach() + 1e-4  # a ray without any weight is sampled evenly
    cdf = torch.cumsum(pdf / pdf.sum(-1, keepdim=True), -1)
    cdf = torch.cat([torch.zeros_like(cdf[..., :1]), cdf], -1)  # (B, R, S + 1)
    offset = 0.5 if jitter is None else jitter
    u = (torch.arange(n, device=edges.device, dtype=edges.dtype) + offset) / n
    u = u.expand(*edges.shape[:-1], n).contiguous()
    upper = torch.searchsorted(cdf, u, right=True).clamp(1, weights.shape[-1])
    cdf_low, cdf_high = cdf.gather(-1, upper - 1), cdf.gather(-1, upper)
    edge_low, edge_high = edges.gather(-1, upper - 1), edges.gather(-1, upper)
    fraction = (u - cdf_low) / (cdf_high - cdf_low).clamp_min(1e-8)
    return edge_low + fraction.clamp(0, 1) * (edge_high - edge_low)


def compositing_weights(sigma: Float[Tensor, "B R S"], delta: Float[Tensor, "B R S"]
                        ) -> Float[Tensor, "B R S"]:
    """NeRF Eq. 3: w_i = T_i (1 - exp(-sigma_i delta_i)), T_i = exp(-sum_{j<i} sigma_j delta_j).

    A ray's weights add up to its opacity 1 - exp(-optical depth); the rest of 1 is background.
    """
    depth = sigma * delta  # optical depth of each interval
    in_front = torch.cumsum(depth[..., :-1], -1)
    before = torch.nn.functional.pad(in_front, (1, 0))  # exclusive sum: in front of interval i
    return torch.exp(-before) * -torch.expm1(-depth)


def intervals(t: Float[Tensor, "B R S"], near: Float[Tensor, "B R"],
              far: Float[Tensor, "B R"]) -> Float[Tensor, "B R S"]:
    """Length of each sorted sample's interval: halfway to its neighbours, and out to near and far.

    They add up to far - near. NeRF's own last one of 1e10 would make the background a surface.
    """
    edges = sample_edges(t, near, far)
    return edges[..., 1:] - edges[..., :-1]


def sample_edges(t: Float[Tensor, "B R S"], near: Float[Tensor, "B R"],
                 far: Float[Tensor, "B R"]) -> Float[Tensor, "B R E"]:
    """Borders (E = S + 1) between sorted samples: near, the midpoints, far."""
    return torch.cat([near[..., None], 0.5 * (t[..., 1:] + t[..., :-1]), far[..., None]], -1)


def render_rays(field, conditions, origins: Float[Tensor, "B R 3"],
                directions: Float[Tensor, "B R 3"], box: tuple[float, ...], n_coarse: int,
                n_fine: int, generator: torch.Generator | Callable | None = None,
                body: tuple[Tensor, Tensor] | None = None
                ) -> tuple[Float[Tensor, "B R C"], Float[Tensor, "B R"]]:
    """Eq. 1 for every ray: coarse samples, fine ones where those found density, then compositing.

    One field answers both passes, and each sample is asked once: the coarse answers are kept and
    merged with the fine ones. Compositing is a weighted sum, so only distances and densities have
    to be sorted, never the features. `generator` (on the CPU, so that every device draws alike; or
    a function that draws a shape) jitters the samples; None: they are at the bin centres. Returns
    hidden features and opacity.
    body: the same rays in the frame of the body, which stands while the head turns, and so does the
    box; None: there is only a head.
    """
    with torch.no_grad():
        near, far = box_bounds(*(body or (origins, directions)), box)

    def asked_at(t):
        x = points(origins, directions, t)
        return x if body is None else field.joined(x, points(*body, t))

    t = stratified_samples(near, far, n_coarse, uniform(generator, near, n_coarse))  # (B, R, Sc)
    sigma, h = field.geometry(asked_at(t), conditions)
    if n_fine:
        with torch.no_grad():
            weights = compositing_weights(sigma, intervals(t, near, far))
        edges, jitter = sample_edges(t, near, far), uniform(generator, near, n_fine)
        t_fine = hierarchical_samples(edges, weights, n_fine, jitter)  # (B, R, Sf)
        sigma_fine, h_fine = field.geometry(asked_at(t_fine), conditions)
        t, sigma = torch.cat([t, t_fine], -1), torch.cat([sigma, sigma_fine], -1)
        h = torch.cat([h, h_fine], -2)
    order = t.argsort(-1)  # (B, R, S)
    delta = intervals(t.gather(-1, order), near, far)
    w_sorted = compositing_weights(sigma.gather(-1, order), delta)
    w = torch.empty_like(w_sorted).scatter(-1, order, w_sorted)  # back to the order of h
    features = field.appearance(h, directions, conditions)  # (B, R, S, C)
    with torch.autocast(w.device.type, enabled=False):  # a sum over all samples
        return (w[..., None, :] @ features.to(w)).squeeze(-2), w.sum(-1)


def points(origins: Float[Tensor, "B R 3"], directions: Float[Tensor, "B R 3"],
           t: Float[Tensor, "B R S"]) -> Float[Tensor, "B R S 3"]:
    """The points at distances t (dm) along rays."""
    return origins[..., None, :] + t[..., None] * directions[..., None, :]  # (B, R, S, 3)


def uniform(generator: torch.Generator | Callable | None, like: Float[Tensor, "*rays"], n: int
            ) -> Float[Tensor, "*rays n"] | None:
    """n numbers in [0, 1) a ray, drawn on the CPU; None without a generator: bin centres."""
    if generator is None:
        return None
    shape = *like.shape, n
    drawn = generator(shape) if callable(generator) else torch.rand(shape, generator=generator)
    return drawn.to(like)
