"""wrong_field.py - answers to the exercises on Eq. 1 as students write them from the stub alone.

WRONG: (exercise, function, the mistake whose hint it must get, or None where numbers alone are right). RIGHT:
(exercise, function), written in other ways than ours; all of them pass. test_exercises.py tries each.
"""
import math

import numpy as np
import torch
from torch.nn import functional as F

from render import (box_bounds, compositing_weights, hierarchical_samples, intervals, points, sample_edges,
                    stratified_samples, uniform)

WRONG, RIGHT = [], []


def wrong(exercise, mistake):
    """Adds the function below it to WRONG."""
    return lambda function: WRONG.append((exercise, function, mistake)) or function


def right(exercise):
    """Adds the function below it to RIGHT."""
    return lambda function: RIGHT.append((exercise, function)) or function


# --------------------------------------------------------------------------------------------- eq1_encoding

@right("eq1_encoding")
def encoding_by_loops(x, n_freq):
    parts = [x]
    for function in (torch.sin, torch.cos):
        for k in range(n_freq):
            parts.append(function(2**k * math.pi * x))
    return torch.cat(parts, dim=-1)


@right("eq1_encoding")
def encoding_by_einsum(x, n_freq):
    w = torch.tensor([2.0**k * np.pi for k in range(n_freq)], dtype=x.dtype)
    table = torch.einsum("k,...c->...kc", w, x).reshape(*x.shape[:-1], 3 * n_freq)
    return torch.concat((x, torch.sin(table), torch.cos(table)), dim=-1)


@right("eq1_encoding")
def encoding_by_shifted_sine(x, n_freq):
    if n_freq == 0:
        return x
    angles = torch.cat([x * (math.pi * 2**k) for k in range(n_freq)], -1)
    return torch.cat([x, torch.sin(torch.cat([angles, angles + math.pi / 2], -1))], -1)


@right("eq1_encoding")
def encoding_by_doubling(x, n_freq):
    sines, cosines, angle = [], [], math.pi * x
    for _ in range(n_freq):
        sines.append(angle.sin())
        cosines.append(angle.cos())
        angle = 2 * angle
    return torch.cat([x, *sines, *cosines], -1)


@wrong("eq1_encoding", "sine and cosine in turn")
def encoding_as_in_nerf_pytorch(x, n_freq):
    out = [x]
    for freq in 2.0 ** torch.linspace(0, n_freq - 1, n_freq) * math.pi:
        for fn in (torch.sin, torch.cos):
            out.append(fn(x * freq))
    return torch.cat(out, -1)


@wrong("eq1_encoding", "without pi")
def encoding_of_the_original_code(x, n_freq):
    bands = [2.0**k for k in range(n_freq)]
    return torch.cat([x] + [torch.sin(f * x) for f in bands] + [torch.cos(f * x) for f in bands], -1)


@wrong("eq1_encoding", "frequencies spread evenly")
def encoding_linear_bands(x, n_freq):
    bands = torch.linspace(1, 2 ** (n_freq - 1), n_freq, dtype=x.dtype) * math.pi
    angles = (x[..., None, :] * bands[:, None]).flatten(-2)
    return torch.cat([x, angles.sin(), angles.cos()], -1)


@wrong("eq1_encoding", "frequencies k + 1")
def encoding_harmonics(x, n_freq):
    angles = torch.cat([(k + 1) * math.pi * x for k in range(n_freq)], -1)
    return torch.cat([x, angles.sin(), angles.cos()], -1)


@wrong("eq1_encoding", "begins at k = 1")
def encoding_from_one(x, n_freq):
    angles = torch.cat([2**k * math.pi * x for k in range(1, n_freq + 1)], -1)
    return torch.cat([x, angles.sin(), angles.cos()], -1)


@wrong("eq1_encoding", "begins at k = 1")
def encoding_full_turns(x, n_freq):
    angles = torch.cat([2 * math.pi * 2**k * x for k in range(n_freq)], -1)
    return torch.cat([x, angles.sin(), angles.cos()], -1)


@wrong("eq1_encoding", "frequencies k squared")
def encoding_caret_confused(x, n_freq):
    angles = torch.cat([k**2 * math.pi * x for k in range(n_freq)], -1)
    return torch.cat([x, angles.sin(), angles.cos()], -1)


@wrong("eq1_encoding", "coordinates first")
def encoding_by_outer(x, n_freq):
    w = math.pi * 2 ** torch.arange(n_freq)
    angles = torch.einsum("...c,k->...ck", x, w.to(x.dtype)).reshape(*x.shape[:-1], -1)
    return torch.cat([x, angles.sin(), angles.cos()], -1)


@wrong("eq1_encoding", "each coordinate's waves together")
def encoding_coordinate_by_coordinate(x, n_freq):
    out = [x]
    for c in range(3):
        out += [torch.sin(math.pi * 2**k * x[..., c:c + 1]) for k in range(n_freq)]
        out += [torch.cos(math.pi * 2**k * x[..., c:c + 1]) for k in range(n_freq)]
    return torch.cat(out, -1)


@wrong("eq1_encoding", "without x")
def encoding_waves_only(x, n_freq):
    angles = torch.cat([2**k * math.pi * x for k in range(n_freq)], -1)
    return torch.cat([angles.sin(), angles.cos()], -1)


@wrong("eq1_encoding", "x at the end")
def encoding_appended(x, n_freq):
    angles = torch.cat([2**k * math.pi * x for k in range(n_freq)], -1)
    return torch.cat([angles.sin(), angles.cos(), x], -1)


@wrong("eq1_encoding", "cosines first")
def encoding_cosines_first(x, n_freq):
    angles = torch.cat([2**k * math.pi * x for k in range(n_freq)], -1)
    return torch.cat([x, angles.cos(), angles.sin()], -1)


@wrong("eq1_encoding", "cosines left out")
def encoding_sines_only(x, n_freq):
    return torch.cat([x] + [torch.sin(2**k * math.pi * x) for k in range(n_freq)], -1)


@wrong("eq1_encoding", "axes flattened")
def encoding_of_a_list_of_points(x, n_freq):
    x = x.reshape(-1, 3)
    angles = torch.cat([2**k * math.pi * x for k in range(n_freq)], -1)
    return torch.cat([x, angles.sin(), angles.cos()], -1)


@wrong("eq1_encoding", "waves without gradient")
def encoding_by_numpy(x, n_freq):
    a = np.concatenate([2**k * np.pi * x.detach().numpy() for k in range(n_freq)], -1)
    return torch.cat([x, torch.tensor(np.sin(a), dtype=x.dtype), torch.tensor(np.cos(a), dtype=x.dtype)], -1)


@wrong("eq1_encoding", "waves without gradient")
def encoding_all_numpy(x, n_freq):
    x = np.asarray(x)
    a = np.concatenate([2**k * np.pi * x for k in range(n_freq)], -1)
    return torch.tensor(np.concatenate([x, np.sin(a), np.cos(a)], -1))


@wrong("eq1_encoding", "double precision")
def encoding_of_numpy_bands(x, n_freq):
    w = torch.tensor(np.pi * 2.0 ** np.arange(n_freq))
    angles = (x[..., None, :] * w[:, None]).flatten(-2)
    return torch.cat([x, angles.sin(), angles.cos()], -1)


@wrong("eq1_encoding", "x clamped")
def encoding_clamped(x, n_freq):
    x = x.clamp(-1, 1)
    angles = torch.cat([2**k * math.pi * x for k in range(n_freq)], -1)
    return torch.cat([x, angles.sin(), angles.cos()], -1)


@wrong("eq1_encoding", None)
def encoding_changes_x(x, n_freq):
    out, cosines = [x.clone()], []
    x *= math.pi
    for _ in range(n_freq):
        out.append(x.sin())
        cosines.append(x.cos())
        x *= 2
    return torch.cat(out + cosines, -1)


@wrong("eq1_encoding", None)
def encoding_along_the_wrong_axis(x, n_freq):
    angles = torch.cat([2**k * math.pi * x for k in range(n_freq)], 0)
    return torch.cat([x, angles.sin(), angles.cos()], 0)


@wrong("eq1_encoding", "half the frequencies")
def encoding_pi_half(x, n_freq):
    angles = torch.cat([2**k * math.pi / 2 * x for k in range(n_freq)], -1)
    return torch.cat([x, angles.sin(), angles.cos()], -1)


# ----------------------------------------------------------------------------------------- eq1_conditioning

@right("eq1_conditioning")
def bias_in_two_steps(layer, codes):
    scaled = []
    for code in codes:
        d = code.size(1)
        scaled.append(code * d**0.5)
    out = layer(torch.cat(scaled, dim=1))
    return out.unsqueeze(1).unsqueeze(1)


@right("eq1_conditioning")
def bias_by_columns(layer, codes):
    """W_c c as a sum over the codes' own columns."""
    out, start = 0, 0
    for code in codes:
        d = code.shape[-1]
        out = out + math.sqrt(d) * (code @ layer.weight[:, start:start + d].T)
        start += d
    if layer.bias is not None:
        out = out + layer.bias
    return out.reshape(out.shape[0], 1, 1, -1)


@right("eq1_conditioning")
def bias_by_linear(layer, codes):
    scale = torch.cat([torch.full((c.shape[1],), float(np.sqrt(c.shape[1])), dtype=c.dtype) for c in codes])
    return F.linear(torch.hstack(codes) * scale, layer.weight, layer.bias)[:, None, None, :]


@wrong("eq1_conditioning", "codes not scaled")
def bias_plain(layer, codes):
    return layer(torch.cat(codes, -1))[:, None, None, :]


@wrong("eq1_conditioning", "divided by sqrt(d)")
def bias_as_attention(layer, codes):
    return layer(torch.cat([c / math.sqrt(c.shape[-1]) for c in codes], -1))[:, None, None]


@wrong("eq1_conditioning", "one scale for all")
def bias_of_joined_codes(layer, codes):
    c = torch.cat(codes, -1)
    return layer(c * math.sqrt(c.shape[-1]))[:, None, None]


@wrong("eq1_conditioning", "scaled by d")
def bias_times_d(layer, codes):
    return layer(torch.cat([c * c.shape[-1] for c in codes], -1))[:, None, None]


@wrong("eq1_conditioning", "root of the batch")
def bias_len(layer, codes):
    return layer(torch.cat([c * math.sqrt(len(c)) for c in codes], -1))[:, None, None]


@wrong("eq1_conditioning", "root of the number of codes")
def bias_number_of_codes(layer, codes):
    return layer(torch.cat(codes, -1) * len(codes)**0.5)[:, None, None]


@wrong("eq1_conditioning", "scale of the first code")
def bias_hoisted(layer, codes):
    d = codes[0].shape[-1]
    return layer(torch.cat([c * d**0.5 for c in codes], -1))[:, None, None]


@wrong("eq1_conditioning", "scale of the last code")
def bias_last_scale(layer, codes):
    for c in codes:
        d = c.shape[-1]
    return layer(torch.cat(codes, -1) * d**0.5)[:, None, None]


@wrong("eq1_conditioning", "codes in another order")
def bias_prepended(layer, codes):
    c = codes[0][:, :0]
    for code in codes:
        c = torch.cat([code * code.shape[-1]**0.5, c], -1)
    return layer(c)[:, None, None]


@wrong("eq1_conditioning", "without the axes")
def bias_flat(layer, codes):
    return layer(torch.cat([c * c.shape[-1]**0.5 for c in codes], -1))


@wrong("eq1_conditioning", "batch taken for rays")
def bias_on_axis_one(layer, codes):
    return layer(torch.cat([c * c.shape[-1]**0.5 for c in codes], -1)).view(1, codes[0].shape[0], 1, -1)


@wrong("eq1_conditioning", "one axis short")
def bias_one_axis(layer, codes):
    return layer(torch.cat([c * c.shape[-1]**0.5 for c in codes], -1))[:, None]


@wrong("eq1_conditioning", "layer's own bias")
def bias_by_weight(layer, codes):
    return (torch.cat([c * c.shape[-1]**0.5 for c in codes], -1) @ layer.weight.T)[:, None, None]


@wrong("eq1_conditioning", "first frame for all")
def bias_of_frame_0(layer, codes):
    B = codes[0].shape[0]
    out = layer(torch.cat([c[0] * c.shape[-1]**0.5 for c in codes], -1))
    return out.expand(B, 1, 1, -1)


@wrong("eq1_conditioning", "made unit length again")
def bias_normalised(layer, codes):
    return layer(torch.cat([c / c.norm(dim=-1, keepdim=True) * c.shape[-1]**0.5 for c in codes], -1))[:, None, None]


@wrong("eq1_conditioning", "a code without gradient")
def bias_without_graph(layer, codes):
    with torch.no_grad():
        return layer(torch.cat([c * c.shape[-1]**0.5 for c in codes], -1))[:, None, None]


@wrong("eq1_conditioning", "a code without gradient")
def bias_last_detached(layer, codes):
    codes = [*codes[:-1], codes[-1].detach()]
    return layer(torch.cat([c * c.shape[-1]**0.5 for c in codes], -1))[:, None, None]


@wrong("eq1_conditioning", None)
def bias_in_place(layer, codes):
    for c in codes:
        c *= c.shape[-1]**0.5
    return layer(torch.cat(codes, -1))[:, None, None]


@wrong("eq1_conditioning", None)
def bias_first_code_only(layer, codes):
    d = codes[0].shape[-1]
    return (codes[0] * d**0.5 @ layer.weight[:, :d].T)[:, None, None]


@wrong("eq1_conditioning", None)
def bias_of_the_mean_frame(layer, codes):
    out = layer(torch.cat([c * c.shape[-1]**0.5 for c in codes], -1))
    return out.mean(0, keepdim=True)[:, None, None]


# ------------------------------------------------------------------------------------------------- eq1_rays

@right("eq1_rays")
def rays_by_loops(K, cam_to_head, size, stride=1):
    origins, directions = [], []
    for k, P in zip(K, cam_to_head):
        for row in range(size // stride):
            for column in range(size // stride):
                u, v = (column + 0.5) * stride, (row + 0.5) * stride
                d = torch.stack([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], torch.ones_like(k[0, 0])])
                d = P[:3, :3] @ d
                directions.append(d / d.norm())
                origins.append(P[:3, 3])
    B, R = len(K), (size // stride)**2
    return torch.stack(origins).view(B, R, 3), torch.stack(directions).view(B, R, 3)


@right("eq1_rays")
def rays_by_einsum(K, cam_to_head, size, stride=1):
    n = size // stride
    at = torch.arange(stride / 2, size, stride, dtype=K.dtype)
    x, y = torch.meshgrid(at, at, indexing="xy")
    pixels = torch.stack([x, y, torch.ones(n, n, dtype=K.dtype)], -1).reshape(-1, 3)
    d = torch.einsum("bij,bjk,rk->bri", cam_to_head[:, :3, :3], torch.inverse(K), pixels)
    return cam_to_head[:, :3, 3].unsqueeze(1).repeat(1, n * n, 1), F.normalize(d, dim=-1)


@right("eq1_rays")
def rays_float32_by_default(K, cam_to_head, size, stride=1):
    n = size // stride
    j = (torch.arange(n) + 0.5) * stride
    u, v = j.repeat(n), j.repeat_interleave(n)
    fx, fy, cx, cy = K[:, 0, 0, None], K[:, 1, 1, None], K[:, 0, 2, None], K[:, 1, 2, None]
    camera = torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones(len(K), n * n)], -1)
    camera = camera / camera.norm(dim=-1, keepdim=True)
    return (cam_to_head[:, :3, 3][:, None].expand(-1, n * n, -1),
            (cam_to_head[:, None, :3, :3] @ camera[..., None])[..., 0])


def rays_with(K, cam_to_head, u, v, flip=1.0, camera=None):
    """What several wrong answers share: rays through given points (R,)."""
    if camera is None:
        fx, fy, cx, cy = K[:, 0, 0, None], K[:, 1, 1, None], K[:, 0, 2, None], K[:, 1, 2, None]
        camera = torch.stack([(u - cx) / fx, flip * (v - cy) / fy, flip * torch.ones(len(K), len(u))], -1)
    d = camera @ cam_to_head[:, :3, :3].transpose(1, 2)
    return cam_to_head[:, None, :3, 3].expand_as(d), F.normalize(d, dim=-1)


def grid(size, stride, offset=0.5):
    j = (torch.arange(size // stride) + offset) * stride
    return j.repeat(len(j)), j.repeat_interleave(len(j))


@wrong("eq1_rays", "pixel corners")
def rays_through_corners(K, cam_to_head, size, stride=1):
    u, v = grid(size, stride, 0.0)
    return rays_with(K, cam_to_head, u, v)


@wrong("eq1_rays", "half an image pixel")
def rays_half_pixel(K, cam_to_head, size, stride=1):
    j = torch.arange(0, size, stride) + 0.5
    return rays_with(K, cam_to_head, j.repeat(len(j)), j.repeat_interleave(len(j)))


@wrong("eq1_rays", "stride forgotten")
def rays_without_stride(K, cam_to_head, size, stride=1):
    return rays_with(K, cam_to_head, *grid(size // stride, 1))


@wrong("eq1_rays", "rows and columns swapped")
def rays_column_by_column(K, cam_to_head, size, stride=1):
    u, v = grid(size, stride)
    return rays_with(K, cam_to_head, v, u)


@wrong("eq1_rays", "from border to border")
def rays_linspace(K, cam_to_head, size, stride=1):
    j = torch.linspace(0, size, size // stride)
    return rays_with(K, cam_to_head, j.repeat(len(j)), j.repeat_interleave(len(j)))


@wrong("eq1_rays", "from first to last pixel")
def rays_linspace_inside(K, cam_to_head, size, stride=1):
    j = torch.linspace(0, size - 1, size // stride)
    return rays_with(K, cam_to_head, j.repeat(len(j)), j.repeat_interleave(len(j)))


@wrong("eq1_rays", "axes of OpenGL")
def rays_of_nerf(K, cam_to_head, size, stride=1):
    u, v = grid(size, stride)
    return rays_with(K, cam_to_head, u, v, flip=-1.0)


@wrong("eq1_rays", "fx for fy")
def rays_one_focal_length(K, cam_to_head, size, stride=1):
    u, v = grid(size, stride)
    f = K[:, 0, 0, None]
    camera = torch.stack([(u - K[:, 0, 2, None]) / f, (v - K[:, 1, 2, None]) / f, torch.ones(len(K), len(u))], -1)
    return rays_with(K, cam_to_head, u, v, camera=camera)


@wrong("eq1_rays", "principal point forgotten")
def rays_from_the_corner(K, cam_to_head, size, stride=1):
    u, v = grid(size, stride)
    camera = torch.stack([u / K[:, 0, 0, None], v / K[:, 1, 1, None], torch.ones(len(K), len(u))], -1)
    return rays_with(K, cam_to_head, u, v, camera=camera)


@wrong("eq1_rays", "principal point in the middle")
def rays_from_the_middle(K, cam_to_head, size, stride=1):
    u, v = grid(size, stride)
    camera = torch.stack([(u - size / 2) / K[:, 0, 0, None], (v - size / 2) / K[:, 1, 1, None],
                          torch.ones(len(K), len(u))], -1)
    return rays_with(K, cam_to_head, u, v, camera=camera)


@wrong("eq1_rays", "one principal point")
def rays_cx_twice(K, cam_to_head, size, stride=1):
    u, v = grid(size, stride)
    c = K[:, 0, 2, None]
    camera = torch.stack([(u - c) / K[:, 0, 0, None], (v - c) / K[:, 1, 1, None], torch.ones(len(K), len(u))], -1)
    return rays_with(K, cam_to_head, u, v, camera=camera)


@wrong("eq1_rays", "rotation transposed")
def rays_untransposed(K, cam_to_head, size, stride=1):
    u, v = grid(size, stride)
    pixels = torch.stack([u, v, torch.ones_like(u)], -1)
    d = F.normalize(pixels @ torch.inverse(K).mT @ cam_to_head[:, :3, :3], dim=-1)
    return cam_to_head[:, None, :3, 3].expand_as(d), d


@wrong("eq1_rays", "inverse of K transposed")
def rays_K_untransposed(K, cam_to_head, size, stride=1):
    u, v = grid(size, stride)
    pixels = torch.stack([u, v, torch.ones_like(u)], -1)
    d = F.normalize(pixels @ torch.inverse(K) @ cam_to_head[:, :3, :3].mT, dim=-1)
    return cam_to_head[:, None, :3, 3].expand_as(d), d


@wrong("eq1_rays", "first K for all")
def rays_first_K(K, cam_to_head, size, stride=1):
    u, v = grid(size, stride)
    return rays_with(K[:1].expand_as(K), cam_to_head, u, v)


@wrong("eq1_rays", "first pose for all")
def rays_first_pose(K, cam_to_head, size, stride=1):
    u, v = grid(size, stride)
    return rays_with(K, cam_to_head[:1].expand_as(cam_to_head), u, v)


@wrong("eq1_rays", "directions not of unit length")
def rays_long(K, cam_to_head, size, stride=1):
    u, v = grid(size, stride)
    pixels = torch.stack([u, v, torch.ones_like(u)], -1)
    d = pixels @ torch.inverse(K).mT @ cam_to_head[:, :3, :3].mT
    return cam_to_head[:, None, :3, 3].expand_as(d), d


@wrong("eq1_rays", "position added")
def rays_homogeneous(K, cam_to_head, size, stride=1):
    u, v = grid(size, stride)
    camera = torch.stack([u, v, torch.ones_like(u)], -1) @ torch.inverse(K).mT
    points = torch.cat([camera, torch.ones_like(camera[..., :1])], -1) @ cam_to_head.mT
    d = F.normalize(points[..., :3], dim=-1)
    return cam_to_head[:, None, :3, 3].expand_as(d), d


@wrong("eq1_rays", "pose inverted")
def rays_position_of_head(K, cam_to_head, size, stride=1):
    _, d = rays_with(K, cam_to_head, *grid(size, stride))
    R, T = cam_to_head[:, :3, :3], cam_to_head[:, :3, 3:]
    return (-R.mT @ T).mT.expand_as(d), d


@wrong("eq1_rays", "one origin per camera")
def rays_short_origins(K, cam_to_head, size, stride=1):
    _, d = rays_with(K, cam_to_head, *grid(size, stride))
    return cam_to_head[:, None, :3, 3], d


@wrong("eq1_rays", "cam_to_head without gradient")
def rays_by_numpy(K, cam_to_head, size, stride=1):
    u, v = (a.numpy() for a in grid(size, stride))
    pixels = np.stack([u, v, np.ones_like(u)], -1)
    R = cam_to_head[:, :3, :3].detach().numpy()
    d = pixels @ np.linalg.inv(K.numpy()).transpose(0, 2, 1) @ R.transpose(0, 2, 1)
    d /= np.linalg.norm(d, axis=-1, keepdims=True)
    origins = np.broadcast_to(cam_to_head[:, None, :3, 3].detach().numpy(), d.shape).copy()
    return torch.tensor(origins).float(), torch.tensor(d).float()


@wrong("eq1_rays", "cam_to_head without gradient")
def rays_detached_rotation(K, cam_to_head, size, stride=1):
    _, d = rays_with(K, cam_to_head.detach(), *grid(size, stride))
    return cam_to_head[:, None, :3, 3].expand_as(d), d


@wrong("eq1_rays", "rays as a picture")
def rays_as_pictures(K, cam_to_head, size, stride=1):
    n = size // stride
    o, d = rays_with(K, cam_to_head, *grid(size, stride))
    return o.reshape(len(K), n, n, 3), d.reshape(len(K), n, n, 3)


@wrong("eq1_rays", None)
def rays_joined(K, cam_to_head, size, stride=1):
    return torch.cat(rays_with(K, cam_to_head, *grid(size, stride)), -1)


@wrong("eq1_rays", None)
def rays_norm_over_the_rays(K, cam_to_head, size, stride=1):
    o, d = rays_long(K, cam_to_head, size, stride)
    return o, d / d.norm(dim=1, keepdim=True)


# ---------------------------------------------------------------------------------------------- eq1_weights

@right("eq1_weights")
def weights_by_loop(sigma, delta):
    light, out = torch.ones_like(sigma[..., 0]), []
    for i in range(sigma.shape[-1]):
        passed = torch.exp(-sigma[..., i] * delta[..., i])
        out.append(light * (1 - passed))
        light = light * passed
    return torch.stack(out, -1)


@right("eq1_weights")
def weights_by_cumprod(sigma, delta):
    alpha = 1 - torch.exp(-sigma * delta)
    T = torch.cumprod(torch.cat([torch.ones_like(alpha[..., :1]), 1 - alpha], -1), -1)[..., :-1]
    return alpha * T


@right("eq1_weights")
def weights_by_cumprod_with_epsilon(sigma, delta):
    alpha = 1 - torch.exp(-sigma * delta)
    T = torch.cumprod(torch.cat([torch.ones(*alpha.shape[:-1], 1), 1 - alpha + 1e-10], -1), -1)
    return alpha * T[..., :-1].to(alpha.dtype)


@right("eq1_weights")
def weights_by_difference(sigma, delta):
    """w_i = T_i - T_(i+1)."""
    T = torch.exp(-F.pad(torch.cumsum(sigma * delta, -1), (1, 0)))
    return T[..., :-1] - T[..., 1:]


@right("eq1_weights")
def weights_by_matrix(sigma, delta):
    depth, n = sigma * delta, sigma.shape[-1]
    before = torch.triu(torch.ones(n, n, dtype=depth.dtype), 1)
    return torch.exp(-(depth @ before)) * (1 - torch.exp(-depth))


@wrong("eq1_weights", "a sample shades itself")
def weights_inclusive(sigma, delta):
    depth = sigma * delta
    return torch.exp(-torch.cumsum(depth, -1)) * (1 - torch.exp(-depth))


@wrong("eq1_weights", "a sample shades itself")
def weights_loop_in_the_wrong_order(sigma, delta):
    out, light = [], 1.0
    for s, d in zip(sigma.unbind(-1), delta.unbind(-1)):
        light = light * torch.exp(-s * d)
        out.append(light * (1 - torch.exp(-s * d)))
    return torch.stack(out, -1)


@wrong("eq1_weights", "shifted, first from last")
def weights_rolled(sigma, delta):
    passed = torch.exp(-sigma * delta)
    return (1 - passed) * torch.roll(passed.cumprod(-1), 1, dims=-1)


@wrong("eq1_weights", "from the far end")
def weights_flipped(sigma, delta):
    depth = (sigma * delta).flip(-1)
    T = torch.exp(-(depth.cumsum(-1) - depth))
    return (T * (1 - torch.exp(-depth))).flip(-1)


@wrong("eq1_weights", "T of the whole ray")
def weights_total(sigma, delta):
    depth = sigma * delta
    return torch.exp(-depth.sum(-1, keepdim=True)) * (1 - torch.exp(-depth))


@wrong("eq1_weights", "only the sample before")
def weights_neighbour(sigma, delta):
    depth = sigma * delta
    return torch.exp(-F.pad(depth[..., :-1], (1, 0))) * (1 - torch.exp(-depth))


@wrong("eq1_weights", "without transmittance")
def weights_alpha(sigma, delta):
    return 1 - torch.exp(-sigma * delta)


@wrong("eq1_weights", "sigma delta for alpha")
def weights_linear(sigma, delta):
    depth = sigma * delta
    return depth * torch.exp(depth - depth.cumsum(-1))


@wrong("eq1_weights", "what passes")
def weights_transmitted(sigma, delta):
    depth = sigma * delta
    return torch.exp(depth - depth.cumsum(-1)) * torch.exp(-depth)


@wrong("eq1_weights", "interval only in T")
def weights_alpha_without_delta(sigma, delta):
    depth = sigma * delta
    return torch.exp(depth - depth.cumsum(-1)) * (1 - torch.exp(-sigma))


@wrong("eq1_weights", "interval only in alpha")
def weights_T_without_delta(sigma, delta):
    return torch.exp(sigma - sigma.cumsum(-1)) * (1 - torch.exp(-sigma * delta))


@wrong("eq1_weights", "rest of the light to the last sample")
def weights_opaque_end(sigma, delta):
    delta = torch.cat([delta[..., :-1], torch.full_like(delta[..., :1], 1e10)], -1)
    alpha = 1 - torch.exp(-sigma * delta)
    T = torch.cumprod(F.pad(1 - alpha, (1, 0), value=1.0), -1)[..., :-1]
    return alpha * T


@wrong("eq1_weights", "divided by their sum")
def weights_normalised(sigma, delta):
    w = weights_by_loop(sigma, delta)
    return w / w.sum(-1, keepdim=True).clamp_min(1e-10)


@wrong("eq1_weights", "sum over the rays")
def weights_wrong_axis(sigma, delta):
    depth = sigma * delta
    return torch.exp(-(depth.cumsum(1) - depth)) * (1 - torch.exp(-depth))


@wrong("eq1_weights", "no light, no logarithm")
def weights_by_logarithm(sigma, delta):
    alpha = 1 - torch.exp(-sigma * delta)
    logs = torch.log(1 - alpha)
    return alpha * torch.exp(torch.cumsum(logs, -1) - logs)


@wrong("eq1_weights", "transmittance detached")
def weights_T_without_gradient(sigma, delta):
    depth = sigma * delta
    with torch.no_grad():
        T = torch.exp(depth - depth.cumsum(-1))
    return T * (1 - torch.exp(-depth))


@wrong("eq1_weights", "delta without gradient")
def weights_delta_detached(sigma, delta):
    return weights_by_loop(sigma, delta.detach())


@wrong("eq1_weights", "sigma without gradient")
def weights_by_numpy(sigma, delta):
    depth = (sigma * delta).detach().numpy()
    return torch.from_numpy(np.exp(depth - depth.cumsum(-1)) * (1 - np.exp(-depth)))


@wrong("eq1_weights", None)
def weights_capped(sigma, delta):
    return weights_by_loop(sigma.clamp(max=20.0), delta)


@wrong("eq1_weights", None)
def weights_alpha_capped(sigma, delta):
    alpha = (1 - torch.exp(-sigma * delta)).clamp(max=0.99)
    T = torch.cumprod(F.pad(1 - alpha, (1, 0), value=1.0), -1)[..., :-1]
    return alpha * T


@wrong("eq1_weights", "double precision")
def weights_in_double(sigma, delta):
    return weights_by_loop(sigma.double(), delta.double())


@wrong("eq1_weights", None)
def weights_in_place(sigma, delta):
    sigma *= delta
    return torch.exp(sigma - sigma.cumsum(-1)) * (1 - torch.exp(-sigma))


# --------------------------------------------------------------------------------------------- eq1_sampling

@right("eq1_sampling")
def samples_by_numpy(edges, weights, n, jitter=None):
    out = np.zeros((*weights.shape[:2], n), np.float32)
    for b in range(weights.shape[0]):
        for r in range(weights.shape[1]):
            w = weights[b, r].detach().numpy() + 1e-4
            cdf = np.concatenate([[0], np.cumsum(w / w.sum())])
            offset = 0.5 if jitter is None else jitter[b, r].numpy()
            out[b, r] = np.interp((np.arange(n) + offset) / n, cdf, edges[b, r].numpy())
    return torch.tensor(out)


@right("eq1_sampling")
def samples_by_comparison(edges, weights, n, jitter=None):
    w = weights.detach() + 1e-4
    pdf = w / w.sum(-1, keepdim=True)
    cdf = F.pad(pdf.cumsum(-1), (1, 0))
    u = (torch.arange(n) + (0.5 if jitter is None else jitter)) / n
    u = u.expand(*weights.shape[:-1], n)
    b = (u[..., None] >= cdf[..., None, :]).sum(-1) - 1
    b = b.clamp(0, weights.shape[-1] - 1)
    take = lambda x: torch.gather(x, -1, b)
    return take(edges[..., :-1]) + (u - take(cdf[..., :-1])) / take(pdf) * take(edges.diff(dim=-1))


@right("eq1_sampling")
def samples_by_loops(edges, weights, n, jitter=None):
    with torch.no_grad():
        out = torch.empty(*weights.shape[:2], n, dtype=edges.dtype)
        for index in np.ndindex(*weights.shape[:2]):
            w = (weights[index] + 1e-4).tolist()
            e = edges[index].tolist()
            for k in range(n):
                left = (k + (0.5 if jitter is None else jitter[index][k].item())) / n * sum(w)
                i = 0
                while i < len(w) - 1 and left > w[i]:
                    left -= w[i]
                    i += 1
                out[index][k] = e[i] + left / w[i] * (e[i + 1] - e[i])
        return out


def places(n, jitter, weights, offset=0.5):
    u = (torch.arange(n) + (offset if jitter is None else jitter)) / n
    return u.expand(*weights.shape[:-1], n).contiguous()


def inverse(edges, pdf, u, step=-1, leading=True):
    """Linear between the corners of the cumulative distribution."""
    cdf = pdf.cumsum(-1)
    if leading:
        cdf = F.pad(cdf, (1, 0))
    b = (torch.searchsorted(cdf.contiguous(), u, right=True) + step).clamp(0, pdf.shape[-1] - 1)
    high = (b + 1).clamp(max=cdf.shape[-1] - 1)
    c0, c1, e0, e1 = cdf.gather(-1, b), cdf.gather(-1, high), edges.gather(-1, b), edges.gather(-1, b + 1)
    return e0 + (u - c0) / (c1 - c0) * (e1 - e0)


def shares(weights, small=1e-4):
    w = weights.detach() + small
    return w / w.sum(-1, keepdim=True)


@wrong("eq1_sampling", "starts of the strata")
def samples_at_starts(edges, weights, n, jitter=None):
    return inverse(edges, shares(weights), places(n, jitter, weights, 0.0))


@wrong("eq1_sampling", "u without its ends")
def samples_between_ends(edges, weights, n, jitter=None):
    u = torch.arange(1, n + 1) / (n + 1)
    return inverse(edges, shares(weights), u.expand(*weights.shape[:-1], n).contiguous())


@wrong("eq1_sampling", "u from 0 to 1")
def samples_linspace(edges, weights, n, jitter=None):
    u = torch.linspace(0, 1, n).expand(*weights.shape[:-1], n)
    if jitter is not None:
        u = u + jitter / n
    return inverse(edges, shares(weights), u.clamp(max=1.0).contiguous())


@wrong("eq1_sampling", None)
def samples_at_random(edges, weights, n, jitter=None):
    u = torch.rand(*weights.shape[:-1], n) if jitter is None else jitter
    return inverse(edges, shares(weights), u.contiguous())


@wrong("eq1_sampling", "jitter ignored")
def samples_without_jitter(edges, weights, n, jitter=None):
    return inverse(edges, shares(weights), places(n, None, weights))


@wrong("eq1_sampling", "jitter for u")
def samples_of_jitter(edges, weights, n, jitter=None):
    u = places(n, None, weights) if jitter is None else jitter
    return inverse(edges, shares(weights), u)


@wrong("eq1_sampling", "jitter and 1/2")
def samples_jitter_about_the_middle(edges, weights, n, jitter=None):
    u = places(n, None, weights)
    if jitter is not None:
        u = u + jitter / n
    return inverse(edges, shares(weights), u).minimum(edges[..., -1:])


@wrong("eq1_sampling", "jitter both ways")
def samples_jitter_both_ways(edges, weights, n, jitter=None):
    u = places(n, None, weights)
    if jitter is not None:
        u = u + (2 * jitter - 1) / n
    return inverse(edges, shares(weights), u.clamp(0, 1))


@wrong("eq1_sampling", "edges for positions")
def samples_on_edges(edges, weights, n, jitter=None):
    cdf = F.pad(shares(weights).cumsum(-1), (1, 0))
    b = torch.searchsorted(cdf, places(n, jitter, weights), right=True) - 1
    return edges.gather(-1, b.clamp(0, weights.shape[-1] - 1))


@wrong("eq1_sampling", "ends of the bins")
def samples_on_far_edges(edges, weights, n, jitter=None):
    cdf = shares(weights).cumsum(-1)
    b = torch.searchsorted(cdf, places(n, jitter, weights))
    return edges.gather(-1, b.clamp(0, weights.shape[-1] - 1) + 1)


@wrong("eq1_sampling", "middles for positions")
def samples_in_middles(edges, weights, n, jitter=None):
    middles = 0.5 * (edges[..., 1:] + edges[..., :-1])
    cdf = shares(weights).cumsum(-1)
    b = torch.searchsorted(cdf, places(n, jitter, weights), right=True)
    return middles.gather(-1, b.clamp(0, weights.shape[-1] - 1))


@wrong("eq1_sampling", "no leading 0")
def samples_one_bin_early(edges, weights, n, jitter=None):
    out = torch.zeros(*weights.shape[:2], n)
    for i in np.ndindex(*weights.shape[:2]):
        cdf = shares(weights)[i].cumsum(-1).numpy()
        out[i] = torch.tensor(np.interp(places(n, jitter, weights)[i].numpy(), cdf, edges[i][:-1].numpy()))
    return out


@wrong("eq1_sampling", "no -1, beyond the bin")
def samples_bin_too_late(edges, weights, n, jitter=None):
    return inverse(edges, shares(weights), places(n, jitter, weights), step=0)


@wrong("eq1_sampling", "weights not normalised")
def samples_of_raw_weights(edges, weights, n, jitter=None):
    out = torch.zeros(*weights.shape[:2], n)
    for i in np.ndindex(*weights.shape[:2]):
        cdf = np.concatenate([[0], np.cumsum(weights[i].detach().numpy() + 1e-4)])
        out[i] = torch.tensor(np.interp(places(n, jitter, weights)[i].numpy(), cdf, edges[i].numpy()))
    return out


@wrong("eq1_sampling", "weights as densities")
def samples_times_width(edges, weights, n, jitter=None):
    return inverse(edges, shares(weights * edges.diff(dim=-1)), places(n, jitter, weights))


@wrong("eq1_sampling", "divided by the widths")
def samples_by_density(edges, weights, n, jitter=None):
    return inverse(edges, shares(weights / edges.diff(dim=-1)), places(n, jitter, weights))


@wrong("eq1_sampling", "empty ray")
def samples_without_small_number(edges, weights, n, jitter=None):
    return inverse(edges, shares(weights, 0.0), places(n, jitter, weights))


@wrong("eq1_sampling", "1e-5")
def samples_as_in_nerf(edges, weights, n, jitter=None):
    return inverse(edges, shares(weights, 1e-5), places(n, jitter, weights))


@wrong("eq1_sampling", "1e-4 on the sum only")
def samples_small_number_below(edges, weights, n, jitter=None):
    w = weights.detach()
    pdf = w / (w.sum(-1, keepdim=True) + 1e-4)
    cdf = F.pad(pdf.cumsum(-1), (1, 0))
    u = places(n, jitter, weights)
    b = (torch.searchsorted(cdf, u, right=True) - 1).clamp(0, w.shape[-1] - 1)
    t = (u - cdf.gather(-1, b)) / pdf.gather(-1, b).clamp_min(1e-9)
    return edges.gather(-1, b) + t.clamp(0, 1) * edges.diff(dim=-1).gather(-1, b)


@wrong("eq1_sampling", "gradient")
def samples_with_gradient(edges, weights, n, jitter=None):
    w = weights + 1e-4
    return inverse(edges, w / w.sum(-1, keepdim=True), places(n, jitter, weights))


@wrong("eq1_sampling", "first ray's jitter for all")
def samples_shared_jitter(edges, weights, n, jitter=None):
    if jitter is not None:
        jitter = jitter[0, 0]
    return inverse(edges, shares(weights), places(n, jitter, weights))


@wrong("eq1_sampling", "bins of equal width")
def samples_even_bins(edges, weights, n, jitter=None):
    low, high, S = edges[..., :1], edges[..., -1:], weights.shape[-1]
    edges = low + (high - low) * torch.arange(S + 1) / S
    return inverse(edges, shares(weights), places(n, jitter, weights))


@wrong("eq1_sampling", "double precision")
def samples_in_double(edges, weights, n, jitter=None):
    return samples_by_loops(edges.double(), weights.double(), n, jitter)


@wrong("eq1_sampling", "softmax of the weights")
def samples_by_softmax(edges, weights, n, jitter=None):
    return inverse(edges, torch.softmax(weights.detach(), -1), places(n, jitter, weights))


@wrong("eq1_sampling", None)
def samples_of_the_mean_ray(edges, weights, n, jitter=None):
    pdf = shares(weights).mean((0, 1), keepdim=True).expand_as(weights)
    return inverse(edges, pdf, places(n, jitter, weights))


# ----------------------------------------------------------------------------------------------- eq1_render

def joined(field, rays, body, t):
    x = rays[0][:, :, None] + t[..., None] * rays[1][:, :, None]
    if body is None:
        return x
    return field.joined(x, body[0][:, :, None] + t[..., None] * body[1][:, :, None])


@right("eq1_render")
def render_sorting_features(field, conditions, origins, directions, box, n_coarse, n_fine, generator=None,
                            body=None):
    rays = (origins, directions)
    near, far = box_bounds(*(rays if body is None else body), box)
    t = stratified_samples(near, far, n_coarse, uniform(generator, near, n_coarse))
    sigma, h = field.geometry(joined(field, rays, body, t), conditions)
    if n_fine > 0:
        w = compositing_weights(sigma, intervals(t, near, far)).detach()
        new = hierarchical_samples(sample_edges(t, near, far), w, n_fine, uniform(generator, near, n_fine))
        sigma_new, h_new = field.geometry(joined(field, rays, body, new), conditions)
        t, order = torch.cat([t, new], 2).sort(2)
        sigma = torch.cat([sigma, sigma_new], 2).gather(2, order)
        h = torch.cat([h, h_new], 2)
        h = h.gather(2, order[..., None].expand_as(h))
    w = compositing_weights(sigma, intervals(t, near, far))
    M = (w[..., None] * field.appearance(h, directions, conditions)).sum(2)
    return M, w.sum(-1)


@right("eq1_render")
def render_opacity_from_depth(field, conditions, origins, directions, box, n_coarse, n_fine, generator=None,
                              body=None):
    """Opacity as 1 - exp(-optical depth), einsum, own intervals."""
    rays, where = (origins, directions), body if body is not None else (origins, directions)
    near, far = box_bounds(where[0], where[1], box)

    def own_intervals(t):
        edges = torch.cat([near[..., None], (t[..., 1:] + t[..., :-1]) / 2, far[..., None]], -1)
        return torch.diff(edges, dim=-1), edges

    t = stratified_samples(near, far, n_coarse, uniform(generator, near, n_coarse))
    answers = [field.geometry(joined(field, rays, body, t), conditions)]
    distances = [t]
    if n_fine:
        delta, edges = own_intervals(t)
        with torch.no_grad():
            w = compositing_weights(answers[0][0], delta)
        distances.append(hierarchical_samples(edges, w, n_fine, uniform(generator, near, n_fine)))
        answers.append(field.geometry(joined(field, rays, body, distances[1]), conditions))
    features = torch.cat([field.appearance(h, directions, conditions) for _, h in answers], -2)
    order = torch.argsort(torch.cat(distances, -1), -1)
    delta, _ = own_intervals(torch.cat(distances, -1).gather(-1, order))
    sigma = torch.cat([s for s, _ in answers], -1).gather(-1, order)
    features = torch.take_along_dim(features, order[..., None], -2)
    M = torch.einsum("brs,brsc->brc", compositing_weights(sigma, delta), features)
    return M, 1 - torch.exp(-(sigma * delta).sum(-1))


@right("eq1_render")
def render_by_loop(field, conditions, origins, directions, box, n_coarse, n_fine, generator=None, body=None):
    """Light taken sample by sample; jitter without `uniform`."""
    def draw(n):
        if generator is None:
            return None
        shape = (*origins.shape[:2], n)
        drawn = generator(shape) if callable(generator) else torch.rand(shape, generator=generator)
        return drawn.to(origins)

    o, d = (origins, directions) if body is None else body
    near, far = box_bounds(o, d, box)
    coarse = stratified_samples(near, far, n_coarse, draw(n_coarse))
    sigma, h = field.geometry(joined(field, (origins, directions), body, coarse), conditions)
    t = coarse
    if n_fine != 0:
        w = compositing_weights(sigma, intervals(coarse, near, far))
        fine = hierarchical_samples(sample_edges(coarse, near, far), w.detach(), n_fine, draw(n_fine))
        more = field.geometry(joined(field, (origins, directions), body, fine), conditions)
        t = torch.cat((coarse, fine), -1)
        sigma, h = torch.cat((sigma, more[0]), -1), torch.cat((h, more[1]), -2)
    colour = field.appearance(h, directions, conditions)
    order = t.sort(-1).indices
    delta = intervals(t.gather(-1, order), near, far)
    light, M, opacity = torch.ones_like(near), 0, 0
    for k in range(t.shape[-1]):
        i = order[..., k:k + 1]
        passed = torch.exp(-sigma.gather(-1, i)[..., 0] * delta[..., k])
        of_sample = colour.gather(-2, i[..., None].expand(*i.shape[:2], 1, colour.shape[-1]))[:, :, 0]
        M = M + (light * (1 - passed))[..., None] * of_sample
        opacity = opacity + light * (1 - passed)
        light = light * passed
    return M, opacity


def renders(mistake, **change):
    """A wrong answer that is right but for the steps in `change`; adds it to WRONG."""
    def answer(field, conditions, origins, directions, box, n_coarse, n_fine, generator=None, body=None):
        rays = (origins, directions)
        near, far = box_bounds(*(body or rays), box)
        near, far = change.get("bounds", lambda near, far: (near, far))(near, far)
        lengths = change.get("lengths", intervals)
        ask = lambda t: field.geometry(joined(field, rays, body, t), conditions)
        t = stratified_samples(near, far, n_coarse, uniform(generator, near, n_coarse))
        sigma, h = change.get("keep", lambda sigma, h: (sigma, h))(*ask(t))
        if n_fine:
            w = compositing_weights(sigma, lengths(t, near, far))
            jitter = uniform(generator, near, n_fine)
            new = change.get("fine", lambda t, w, sigma, near, far, n, jitter: hierarchical_samples(
                sample_edges(t, near, far), w, n, jitter))(t, w, sigma, near, far, n_fine, jitter)
            merge = change.get("merge", lambda old, new, axis: torch.cat([old, new], axis))
            if "again" in change:
                t = torch.cat([t, new], -1).sort(-1).values
                sigma, h = ask(t)
            else:
                sigma_new, h_new = ask(new)
                t, sigma, h = merge(t, new, -1), merge(sigma, sigma_new, -1), merge(h, h_new, -2)
        order = t.argsort(-1) if "order" not in change else change["order"](t)
        t_sorted = t.gather(-1, order)
        h_sorted = h if "features" in change else h.gather(-2, order[..., None].expand_as(h))
        w = compositing_weights(sigma if "densities" in change else sigma.gather(-1, order),
                                lengths(t_sorted, near, far))
        M = (w[..., None] * field.appearance(h_sorted, directions, conditions)).sum(-2)
        return change.get("out", lambda M, w: (M, w.sum(-1)))(M, w)

    answer.__name__ = f"render_{'_'.join(change) or 'plain'}"
    WRONG.append(("eq1_render", answer, mistake))


def nerf_intervals(t, near, far):
    return torch.cat([t[..., 1:] - t[..., :-1], torch.full_like(t[..., :1], 1e10)], -1)


def to_the_next(t, near, far):
    return torch.cat([t[..., 1:], far[..., None]], -1) - t


def even_intervals(t, near, far):
    return ((far - near) / t.shape[-1])[..., None].expand_as(t)


def nerf_bins(t, w, sigma, near, far, n, jitter):
    return hierarchical_samples(0.5 * (t[..., 1:] + t[..., :-1]), w[..., 1:-1], n, jitter)


renders("union not sorted", order=lambda t: torch.arange(t.shape[-1]).expand_as(t))
renders("features not sorted along", features=True)
renders("only distances sorted", features=True, densities=True)
renders("densities not sorted along", densities=True)
renders("fine samples left out", merge=lambda old, new, axis: old)
renders("coarse samples thrown away", merge=lambda old, new, axis: new)
renders("asked again", again=True)
renders("NeRF's own intervals", lengths=nerf_intervals)
renders("from sample to sample", lengths=to_the_next)
renders("equal intervals", lengths=even_intervals)
renders("bins without their ends", fine=nerf_bins)
renders("density for weights", fine=lambda t, w, sigma, near, far, n, jitter: hierarchical_samples(
    sample_edges(t, near, far), sigma, n, jitter))
renders("fine samples evenly", fine=lambda t, w, sigma, near, far, n, jitter: stratified_samples(
    near, far, n, jitter))
renders("fine samples without jitter", fine=lambda t, w, sigma, near, far, n, jitter: hierarchical_samples(
    sample_edges(t, near, far), w, n))
renders("coarse answers without gradient", keep=lambda sigma, h: (sigma.detach(), h.detach()))
renders(None, keep=lambda sigma, h: (sigma.detach(), h))
renders("mean for sum", out=lambda M, w: (M / w.shape[-1], w.mean(-1)))
renders("divided by the opacity", out=lambda M, w: (M / w.sum(-1, keepdim=True), w.sum(-1)))
renders("background added", out=lambda M, w: (M + 1 - w.sum(-1, keepdim=True), w.sum(-1)))
renders("what passes for the opacity", out=lambda M, w: (M, 1 - w.sum(-1)))
renders("largest weight for the opacity", out=lambda M, w: (M, w.max(-1).values))
renders("opacity of shape (B, R, 1)", out=lambda M, w: (M, w.sum(-1, keepdim=True)))
renders("opacity without gradient", out=lambda M, w: (M, w.sum(-1).detach()))
renders(None, out=lambda M, w: (M, (w.sum(-1) > 0.5).double()))
renders("only one result", out=lambda M, w: M)
renders("from the camera on", bounds=lambda near, far: (torch.zeros_like(near), far))
renders("one near and far for all", bounds=lambda near, far: (near.min().expand_as(near), far.max().expand_as(far)))
renders(None, bounds=lambda near, far: (near[:1].expand_as(near), far[:1].expand_as(far)))


@wrong("eq1_render", "directions per sample")
def render_with_directions_of_samples(field, conditions, origins, directions, box, n_coarse, n_fine, generator=None,
                                      body=None):
    near, far = box_bounds(origins, directions, box)
    t = stratified_samples(near, far, n_coarse, uniform(generator, near, n_coarse))
    x = points(origins, directions, t)
    sigma, h = field.geometry(x, conditions)
    w = compositing_weights(sigma, intervals(t, near, far))
    colours = field.appearance(h, directions[:, :, None].expand_as(x), conditions)
    return (w[..., None] * colours).sum(-2), w.sum(-1)


@wrong("eq1_render", "fine samples left out")
def render_coarse_only(field, conditions, origins, directions, box, n_coarse, n_fine, generator=None, body=None):
    near, far = box_bounds(*(body or (origins, directions)), box)
    t = stratified_samples(near, far, n_coarse, uniform(generator, near, n_coarse))
    sigma, h = field.geometry(joined(field, (origins, directions), body, t), conditions)
    w = compositing_weights(sigma, intervals(t, near, far))
    return (w[..., None] * field.appearance(h, directions, conditions)).sum(-2), w.sum(-1)


@wrong("eq1_render", "body left out")
def render_head_only(field, conditions, origins, directions, box, n_coarse, n_fine, generator=None, body=None):
    return render_by_loop(field, conditions, origins, directions, box, n_coarse, n_fine, generator, None)


@wrong("eq1_render", "generator unused")
def render_without_jitter(field, conditions, origins, directions, box, n_coarse, n_fine, generator=None, body=None):
    return render_by_loop(field, conditions, origins, directions, box, n_coarse, n_fine, None, body)


@wrong("eq1_render", "generator never called")
def render_torch_rand_only(field, conditions, origins, directions, box, n_coarse, n_fine, generator=None, body=None):
    drawn = None
    if generator is not None:
        drawn = lambda shape: torch.rand(shape, generator=generator)
    return render_by_loop(field, conditions, origins, directions, box, n_coarse, n_fine, drawn, body)


@wrong("eq1_render", "generator always called")
def render_calls_the_generator(field, conditions, origins, directions, box, n_coarse, n_fine, generator=None,
                               body=None):
    drawn = None
    if generator is not None:
        drawn = lambda shape: generator(shape)
    return render_by_loop(field, conditions, origins, directions, box, n_coarse, n_fine, drawn, body)


@wrong("eq1_render", None)
def render_fine_is_never_zero(field, conditions, origins, directions, box, n_coarse, n_fine, generator=None,
                              body=None):
    if n_fine == 0:
        n_fine = n_coarse
    return render_by_loop(field, conditions, origins, directions, box, n_coarse, n_fine, generator, body)


@wrong("eq1_render", "gradient stopped")
def render_without_graph(field, conditions, origins, directions, box, n_coarse, n_fine, generator=None, body=None):
    with torch.no_grad():
        return render_by_loop(field, conditions, origins, directions, box, n_coarse, n_fine, generator, body)


@wrong("eq1_render", None)
def render_flat_points(field, conditions, origins, directions, box, n_coarse, n_fine, generator=None, body=None):
    near, far = box_bounds(origins, directions, box)
    t = stratified_samples(near, far, n_coarse)
    sigma, h = field.geometry(points(origins, directions, t).reshape(-1, 3), conditions)
    w = compositing_weights(sigma.view(t.shape), intervals(t, near, far))
    return (w[..., None] * h.view(*t.shape, -1)).sum(-2), w.sum(-1)


# ------------------------------------------------------------------------------------- types, views, who is asked

@wrong("eq1_encoding", "frequencies in single precision")
def encoding_with_default_tensor(x, n_freq):
    scale = 2.0 ** torch.arange(n_freq) * math.pi
    angles = (x[..., None, :] * scale[:, None]).flatten(-2)
    return torch.cat([x, angles.sin(), angles.cos()], -1)


@wrong("eq1_encoding", "view of a transposed tensor")
def encoding_of_rows(x, n_freq):
    rows = x.view(-1, 3)
    angles = (rows[:, None] * (math.pi * 2.0 ** torch.arange(n_freq).to(x))[:, None]).flatten(1)
    return torch.cat([rows, angles.sin(), angles.cos()], -1).reshape(*x.shape[:-1], -1)


@wrong("eq1_weights", "single precision")
def weights_always_float(sigma, delta):
    depth = sigma.float() * delta.float()
    return torch.exp(depth - depth.cumsum(-1)) * (1 - torch.exp(-depth))


@wrong("eq1_conditioning", "layer without gradient")
def bias_of_the_layers_data(layer, codes):
    c = torch.cat([code * code.shape[-1] ** 0.5 for code in codes], -1)
    out = c @ layer.weight.data.T
    return (out if layer.bias is None else out + layer.bias.data)[:, None, None]
