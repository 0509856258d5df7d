"""test_dhnerf.py - Eq. 1, second half: field and wiring, 2D neural renderer, codes, extractor.

Oracles: the same networks written out with concatenation and plain convolutions, and exact (in)dependence.
"""
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from config import PAPER, SMALL
from dhnerf import (CODES, DHNeRF, Field, LatentCodes, LatentExtractor, NeuralRenderer, code_bias,
                    positional_encoding)
from render import box_bounds, pixel_rays, render_rays

TINY = replace(PAPER, solid=0.0, size=16, upsample=4, width=24, depth=4, width_appearance=16, d_feature=8, n_freq_x=3,
               n_freq_v=2, channels_2d=32, n_coarse=6, n_fine=4, d_id=5, d_ex=4, d_al=3, d_ill=6, d_lip=7,
               crop=32)
PLANES = replace(TINY, plane_channels=2, plane_size=6, plane_rank=3, depth=3)


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def some_codes(cfg, B=2, seed=0):
    return {name: unit(B, cfg.code_size(name), seed=seed + i) for i, name in enumerate(CODES)}


def frontal(cfg, B=2):
    K = torch.tensor([[2.0 * cfg.size, 0, cfg.size / 2], [0, 2.0 * cfg.size, cfg.size / 2], [0, 0, 1]])
    P = torch.diag(torch.tensor([1.0, -1, -1, 1]))
    P[2, 3] = 6.0
    return K.expand(B, 3, 3), P.expand(B, 4, 4)


def seeded(kind, cfg=TINY, seed=0):
    torch.manual_seed(seed)
    made = kind(cfg)
    for name, p in made.named_parameters():
        if name.endswith("plane_basis"):  # zero at the start, which would hide it from the tests
            nn.init.normal_(p)
    return made


def render(model, codes, f_lip, background=None, seed=0):
    cfg, B = model.cfg, len(codes["id"])
    background = torch.full((B, 3, cfg.size, cfg.size), 0.5) if background is None else background
    return model(codes, f_lip, *frontal(cfg, B), background, torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------------ field

@pytest.mark.eq1
def test_eq1_positional_encoding_scalar_transcription():
    x = torch.tensor([[0.3, -0.7, 1.0], [0.0, 0.25, -1.0]], dtype=torch.float64)
    got = positional_encoding(x, 4)
    for row, p in zip(got.tolist(), x.tolist()):
        want = p + [math.sin(math.pi * 2**k * v) for k in range(4) for v in p] + \
            [math.cos(math.pi * 2**k * v) for k in range(4) for v in p]
        assert len(row) == 3 + 6 * 4 and max(abs(a - b) for a, b in zip(row, want)) < 1e-12, \
            "NeRF Eq. 4: sin and cos of pi 2^k x, k from 0"


def read_plane(plane, a, b):
    """Bilinear reading of plane (C, s, s) at column a, row b in [-1, 1]; centres at +0.5; outside, its edge."""
    size = plane.shape[-1]
    column, row = ((v + 1) / 2 * size - 0.5 for v in (a, b))
    total = [0.0] * len(plane)
    for j in (math.floor(column), math.floor(column) + 1):
        for i in (math.floor(row), math.floor(row) + 1):
            weight = (1 - abs(column - j)) * (1 - abs(row - i))
            nearest = plane[:, min(max(i, 0), size - 1), min(max(j, 0), size - 1)]
            total = [t + weight * v for t, v in zip(total, nearest.tolist())]
    return total


def encoded_position(field, x, c, cfg):
    """Sines and cosines; with planes also what mean planes, plus coefficients of the codes times basis planes, hold at
    x."""
    encoded = positional_encoding(x, cfg.n_freq_x)
    if not cfg.plane_channels:
        return encoded
    learnt = []
    mix = field.plane_coefficients
    for points, entries in zip(x.tolist(), (c[:, 0, 0] @ mix.weight.T + mix.bias).tolist()):
        planes = field.planes.detach().clone()
        for entry, basis in zip(entries, field.plane_basis.detach()):
            planes += entry * basis
        sides = list(zip(planes, (0, 0, 1), (1, 2, 2)))
        read = lambda p: [value for plane, a, b in sides for value in read_plane(plane, p[a], p[b])]
        learnt.append([[read(p) for p in ray] for ray in points])
    return torch.cat([encoded, torch.tensor(learnt)], -1)


def concatenating_field(field, x, v, codes, f_lip, cfg):
    """Eq. 1 as one would first write it down: conditions copied to every sample, Linear layers on [x, c]."""
    def linear(*pairs):  # a Linear on the concatenation of inputs, its weight the concatenation of weights
        weight = torch.cat([layer.weight for _, layer in pairs], 1)
        bias = sum(layer.bias for _, layer in pairs if layer.bias is not None)
        return F.linear(torch.cat([value for value, _ in pairs], -1), weight, bias)

    S = x.shape[2]
    every = lambda code: (code * code.shape[-1] ** 0.5)[:, None, None].expand(*x.shape[:3], -1)
    c_geometry = torch.cat([every(codes["id"]), every(codes["ex"])] + ([every(f_lip)] if cfg.sync else []),
                           -1)
    c_appearance = torch.cat([every(codes["al"]), every(codes["ill"])], -1)
    low, high = torch.tensor(cfg.box).view(2, 3)
    encoded = encoded_position(field, (x - (low + high) / 2) / ((high - low) / 2), c_geometry, cfg)  # into [-1, 1]
    view = positional_encoding(v, cfg.n_freq_v)[:, :, None].expand(-1, -1, S, -1)
    h = linear((encoded, field.hidden[0]), (c_geometry, field.codes_in["0"])).relu()
    for i in range(1, cfg.depth):
        if i == cfg.depth // 2:
            again = [(encoded, field.x_again)] if cfg.depth > 4 else []  # x enters twice in a deep network only
            h = linear((h, field.hidden[i]), *again, (c_geometry, field.codes_in[str(i)])).relu()
        else:
            h = field.hidden[i](h).relu()
    sigma = torch.exp(field.density(h)[..., 0] - 1.2)
    a = linear((h, field.appearance_x), (view, field.appearance_view),
               (c_appearance, field.appearance_codes)).relu()
    return sigma, a


@pytest.mark.eq1
@pytest.mark.parametrize("cfg", [TINY, replace(TINY, sync=False), PLANES], ids=["tiny", "no sync", "planes"])
def test_eq1_codes_as_biases_equal_concatenation(cfg):
    sync = cfg.sync
    field = seeded(Field, cfg)
    x, v = 1.5 * torch.randn(2, 5, 6, 3), unit(2, 5, 3)
    codes, f_lip = some_codes(cfg), unit(2, cfg.d_lip, seed=9) if sync else None
    condition = field.condition(codes, f_lip)
    sigma, h = field.geometry(x, condition)
    a = field.appearance(h, v, condition)
    want_sigma, want_a = concatenating_field(field, x, v, codes, f_lip, cfg)
    assert torch.allclose(sigma, want_sigma, atol=1e-5), \
        "Eq. 1: W [x, c] and W_x x + W_c c differ in the geometry"
    assert torch.allclose(a, want_a, atol=1e-5), "Eq. 1: W [x, c] and W_x x + W_c c differ in the appearance"
    assert (sigma > 0).all(), "a density is positive"


@pytest.mark.eq1
def test_eq1_code_bias_scalar_transcription():
    layer, a, b = nn.Linear(7, 3), unit(2, 4), unit(2, 3, seed=1)
    got = code_bias(layer, [a, b])
    assert got.shape == (2, 1, 1, 3)
    for frame in range(2):
        c = [2 * v for v in a[frame].tolist()] + [math.sqrt(3) * v for v in b[frame].tolist()]
        for out in range(3):
            want = layer.bias[out].item() + sum(w * v for w, v in zip(layer.weight[out].tolist(), c))
            assert math.isclose(got[frame, 0, 0, out].item(), want, abs_tol=1e-6), "Eq. 1: W_c c, codes times sqrt(d)"


@pytest.mark.eq1
@pytest.mark.parametrize("changed", ["al", "ill", "v", "id", "ex", "lip"])
@pytest.mark.parametrize("cfg", [TINY, PLANES], ids=["tiny", "planes"])
def test_eq1_what_the_surface_depends_on(cfg, changed):
    """Light, albedo and view must not move the surface by one bit; identity, expression and lips must."""
    model, codes, f_lip = seeded(DHNeRF, cfg), some_codes(TINY), unit(2, TINY.d_lip, seed=20)
    x, v = torch.randn(2, 5, 6, 3), unit(2, 5, 3)
    other, other_lip, other_v = dict(codes), f_lip, v
    if changed == "lip":
        other_lip = unit(2, TINY.d_lip, seed=30)
    elif changed == "v":
        other_v = -v
    else:
        other[changed] = unit(2, TINY.code_size(changed), seed=30)
    results = []
    for c, lip, view in [(codes, f_lip, v), (other, other_lip, other_v)]:
        condition = model.field.condition(c, lip)
        sigma, h = model.field.geometry(x, condition)
        results.append((sigma, model.field.appearance(h, view, condition)))
    same = torch.equal(results[0][0], results[1][0])
    assert same == (changed in ("al", "ill", "v")), \
        f"Eq. 1: sigma {'ignores' if same else 'depends on'} {changed}"
    assert not torch.allclose(*[r[1] for r in results], atol=1e-4), f"Eq. 1: M ignores {changed}"
    if changed != "v":
        opacity = [render(model, c, lip)["opacity_field"] for c, lip in [(codes, f_lip), (other, other_lip)]]
        assert torch.equal(*opacity) == (changed in ("al", "ill")), f"Eq. 1: rendered opacity and {changed}"


@pytest.mark.eq1
def test_eq1_without_the_sync_module_there_is_no_lip_input():
    cfg = replace(TINY, sync=False)
    with_lip, without = seeded(Field), seeded(Field, cfg)
    assert with_lip.codes_in["0"].in_features - without.codes_in["0"].in_features == TINY.d_lip
    assert render(seeded(DHNeRF, cfg), some_codes(cfg), None)["image"].isfinite().all()


@pytest.mark.eq1
@pytest.mark.parametrize("cfg", [TINY, PLANES], ids=["tiny", "planes"])
def test_eq1_each_frame_of_a_batch_is_rendered_with_its_own_codes(cfg):
    model, codes, f_lip = seeded(DHNeRF, cfg).eval(), some_codes(TINY, 3), unit(3, TINY.d_lip, seed=20)
    background = torch.full((3, 3, 16, 16), 0.5)
    both = model(codes, f_lip, *frontal(TINY, 3), background)["image"]
    for i in range(3):
        own = {n: c[i:i + 1] for n, c in codes.items()}
        one = model(own, f_lip[i:i + 1], *frontal(TINY, 1), background[:1])["image"]
        assert torch.allclose(one[0], both[i], atol=1e-5), \
            f"frame {i} changes with its neighbours in the batch"


class LinearBefore:
    """The same field with its last linear layer applied to every sample, before compositing."""

    def __init__(self, field):
        self.field, self.geometry = field, field.geometry

    def appearance(self, h, directions, condition):
        return self.field.to_feature(self.field.appearance(h, directions, condition))


@pytest.mark.eq1
def test_eq1_the_linear_layer_after_compositing_equals_the_one_before():
    model, codes, f_lip = seeded(DHNeRF), some_codes(TINY), unit(2, TINY.d_lip, seed=20)
    nn.init.normal_(model.field.to_feature.bias)
    out = render(model, codes, f_lip, seed=4)
    rays = pixel_rays(*frontal(TINY), TINY.size, TINY.upsample)
    want, opacity = render_rays(LinearBefore(model.field), model.field.condition(codes, f_lip), *rays,
                                   TINY.box,
                             TINY.n_coarse, TINY.n_fine, torch.Generator().manual_seed(4))
    want = want.reshape(2, 4, 4, TINY.d_feature).permute(0, 3, 1, 2)  # rays run row by row
    assert torch.allclose(out["M"], want, atol=1e-5), \
        "Eq. 1: the bias counts as often as there is head, or h, w swapped"
    assert torch.allclose(out["opacity_field"], opacity.reshape(2, 1, 4, 4), atol=1e-6), \
        "Eq. 1: h and w swapped"


@pytest.mark.eq1
def test_eq1_as_written_and_the_shortcut_after_compositing_agree():
    """D(x, v) = (sigma, M) at every sample, summed up along the ray by hand, against what DHNeRF makes of it."""
    cfg = replace(TINY, n_fine=0)
    model, codes, f_lip = seeded(DHNeRF, cfg), some_codes(cfg), unit(2, cfg.d_lip, seed=20)
    nn.init.normal_(model.field.to_feature.bias)
    out = model(codes, f_lip, *frontal(cfg), torch.zeros(2, 3, cfg.size, cfg.size))
    origins, v = pixel_rays(*frontal(cfg), cfg.size, cfg.upsample)
    near, far = box_bounds(origins, v, cfg.box)
    length = (far - near) / cfg.n_coarse  # of each sample's interval, (B, R)
    t = near[..., None] + length[..., None] * (torch.arange(cfg.n_coarse) + 0.5)
    x = origins[..., None, :] + t[..., None] * v[..., None, :]
    sigma, M = model.field(x, v, model.field.condition(codes, f_lip))
    want, through = torch.zeros(2, 16, cfg.d_feature), torch.ones(2, 16)
    for i in range(cfg.n_coarse):
        alpha = 1 - torch.exp(-sigma[..., i] * length)
        want, through = want + (through * alpha)[..., None] * M[:, :, i], through * (1 - alpha)
    assert torch.allclose(out["M"].flatten(2).transpose(1, 2), want, atol=1e-5), \
        "Eq. 1: M of a ray is not sum_i w_i M(x_i); the last layer's bias?"


@pytest.mark.eq1
@pytest.mark.parametrize("cfg", [SMALL, PAPER], ids=["small", "paper"])
def test_eq1_opacity_at_the_start_leaves_a_gradient_to_samples_behind(cfg):
    """Near 0 nothing is seen, near 1 only the first sample learns. Rays through the inner half only."""
    means = []
    for seed in range(6):
        torch.manual_seed(seed)
        field = Field(replace(cfg, solid=0.0))  # the network's part; the bust then rises from its surface inwards
        origins, directions = pixel_rays(*frontal(cfg, 1), cfg.size, cfg.size // 8)
        with torch.no_grad():
            condition = field.condition(some_codes(cfg, 1, seed), unit(1, cfg.d_lip, seed=seed))
            _, opacity = render_rays(field, condition, origins, directions, cfg.box, 16, 0)
        near, far = box_bounds(origins, directions, tuple(b / 2 for b in cfg.box))
        through = opacity[far > near]
        assert 0.1 < through.min() and through.max() < 0.99, \
            f"seed {seed}: {through.min():.3f} to {through.max():.3f}"
        means.append(through.mean().item())
    assert 0.3 < sum(means) / 6 < 0.9, f"opacity at initialisation {means}, want 0.3 to 0.9 on average"


@pytest.mark.eq1
@pytest.mark.parametrize("cfg", [TINY, PLANES], ids=["tiny", "planes"])
def test_eq1_gradient_reaches_every_parameter_and_every_code(cfg):
    model, codes, f_lip = seeded(DHNeRF, cfg), some_codes(TINY), unit(2, TINY.d_lip, seed=20).requires_grad_()
    codes = {n: c.requires_grad_() for n, c in codes.items()}
    (render(model, codes, f_lip)["image"] * torch.randn(2, 3, 16, 16)).sum().backward()
    for name, p in [*model.named_parameters(), *[(f"C_{n}", c) for n, c in codes.items()], ("F_lip", f_lip)]:
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.abs().max() > 0, \
            f"no gradient reaches {name}"
    assert all((c.grad.abs().amax(1) > 0).all() for c in codes.values()), "a frame's code got no gradient"


@pytest.mark.eq1
@pytest.mark.parametrize("cfg", [TINY, PLANES], ids=["tiny", "planes"])
def test_eq1_opacity_alone_trains_the_geometry_and_nothing_of_the_appearance(cfg):
    model, codes, f_lip = seeded(DHNeRF, cfg), some_codes(TINY), unit(2, TINY.d_lip, seed=20).requires_grad_()
    codes = {n: c.requires_grad_() for n, c in codes.items()}
    render(model, codes, f_lip)["opacity_field"].square().sum().backward()
    reached = lambda p: p.grad is not None and bool(p.grad.abs().max() > 0)
    assert {n for n, c in codes.items() if reached(c)} == {"id", "ex"} and reached(f_lip)
    for name, p in model.field.named_parameters():
        geometry = name.split(".")[0] in ("hidden", "x_again", "codes_in", "density", "planes", "plane_basis",
                                             "plane_coefficients")
        assert reached(p) == geometry, \
            f"Eq. 1: {name} {'does not see' if geometry else 'sees'} the gradient of sigma"


@pytest.mark.eq1
def test_eq1_paper_preset_has_256_channels_and_512_pixels():
    model = DHNeRF(replace(PAPER, n_coarse=2, n_fine=1))  # few samples: only shapes are looked at
    codes = {name: torch.zeros(1, d) for name, d in [("id", 100), ("ex", 79), ("al", 100), ("ill", 27)]}
    with torch.no_grad():
        out = model(codes, torch.zeros(1, PAPER.d_lip), torch.eye(3)[None], torch.eye(4)[None],
                    torch.zeros(1, 3, 512, 512))
    assert out["M"].shape == (1, 256, 64, 64), "Sec. 3.2: M has 256 channels"
    assert out["image"].shape == (1, 3, 512, 512) and out["opacity"].shape == (1, 1, 512, 512)


@pytest.mark.eq1
def test_eq1_a_principal_point_one_feature_pixel_lower_moves_the_feature_map_by_one_row():
    model, codes, f_lip = seeded(DHNeRF), some_codes(TINY, 1), unit(1, TINY.d_lip, seed=20)
    K, P = frontal(TINY, 1)
    down = K.clone()
    down[:, 1, 2] += TINY.upsample
    background = torch.full((1, 3, 16, 16), 0.5)
    a, b = (model(codes, f_lip, k, P, background)["M"] for k in (K, down))
    assert torch.allclose(a[:, :, :-1], b[:, :, 1:], atol=1e-5) and not torch.allclose(a, b, atol=1e-3)


# ----------------------------------------------------------------------------------------- 2D neural renderer

def plain_renderer(net, M, opacity):
    """The 2D renderer written out: two 1x1 layers as matrix products, each block of pixels laid out by loops, 3x3."""
    leaky = lambda y: torch.where(y > 0, y, 0.2 * y)
    up, (B, _, h, w), C = net.upsample, M.shape, net.smooth.weight.shape[0]
    linear = lambda layer, y: torch.einsum("oi,bihw->bohw", layer.weight[..., 0, 0], y) + layer.bias[:, None, None]
    block = linear(net.to_pixels, leaky(linear(net.first, M)))  # channel c of pixel (i, j) is number c up^2 + i up + j
    x = torch.empty(B, C, h * up, w * up)
    for c in range(C):
        for i in range(up):
            for j in range(up):
                x[:, c, i::up, j::up] = block[:, c * up * up + i * up + j]
    x = leaky(x)
    x = x + leaky(F.conv2d(x, net.smooth.weight, net.smooth.bias, padding=1))
    rgba = F.conv2d(x, net.to_rgba.weight, net.to_rgba.bias, padding=1)
    opacity = F.interpolate(opacity, size=(h * up, w * up), mode="bilinear", align_corners=False)
    odds = opacity / (1 - opacity) * rgba[:, 3:].exp()
    return 0.5 + rgba[:, :3], odds / (1 + odds)


@pytest.mark.eq1
@pytest.mark.parametrize("upsample", [2, 4, 8])
def test_eq1_neural_renderer_written_out(upsample):
    torch.manual_seed(0)
    net = NeuralRenderer(8, upsample, 32)
    nn.init.normal_(net.to_rgba.weight, std=0.1)
    nn.init.normal_(net.to_rgba.bias, std=0.3)
    M, opacity = torch.randn(2, 8, 4, 4), 0.05 + 0.9 * torch.rand(2, 1, 4, 4)
    got, want = net(M, opacity), plain_renderer(net, M, opacity)
    size = 4 * upsample
    assert got[0].shape == (2, 3, size, size) and got[1].shape == (2, 1, size, size)
    for name, a, b in zip(("RGB", "opacity"), got, want):
        assert torch.allclose(a, b, atol=1e-4), \
            f"2D renderer: {name} off by {(a - b).abs().max():.3g}. Leaky slope 0.2?"


@pytest.mark.eq1
def test_eq1_neural_renderer_without_weights_is_grey_behind_a_doubled_opacity():
    net = NeuralRenderer(4, 4, 24)
    for p in net.parameters():
        nn.init.zeros_(p)
    ramp = torch.linspace(0.1, 0.9, 8).expand(1, 1, 8, 8)
    rgb, opacity = net(torch.randn(1, 4, 8, 8), ramp)
    assert (rgb == 0.5).all(), "colours start around mid grey"
    at = (torch.arange(32) + 0.5) / 4 - 0.5  # feature coordinates of image pixel centres
    want = 0.1 + 0.8 / 7 * at.clamp(0, 7)
    assert torch.allclose(opacity[0, 0, 5, 4:-4], want[4:-4], atol=1e-5), \
        "opacity: bilinear, no half-pixel shift"


@pytest.mark.eq1
def test_eq1_image_lies_over_the_background_by_its_opacity():
    model, codes, f_lip = seeded(DHNeRF), some_codes(TINY), unit(2, TINY.d_lip, seed=20)
    black, white = (torch.full((2, 3, 16, 16), v) for v in (0.0, 1.0))
    a, b = render(model, codes, f_lip, black), render(model, codes, f_lip, white)
    assert torch.allclose(b["image"] - a["image"], (1 - a["opacity"]).expand(-1, 3, -1, -1), atol=1e-6)
    rgb, opacity = model.neural_renderer(a["M"], a["opacity_field"])
    assert torch.allclose(a["image"], opacity * rgb, atol=1e-6) and torch.equal(opacity, a["opacity"])


@pytest.mark.eq1
def test_eq1_a_camera_that_misses_the_head_shows_the_background():
    model, codes, f_lip = seeded(DHNeRF), some_codes(TINY, 1), unit(1, TINY.d_lip, seed=20)
    nn.init.zeros_(model.neural_renderer.to_rgba.weight)
    nn.init.zeros_(model.neural_renderer.to_rgba.bias)
    K, P = frontal(TINY, 1)
    away = P.clone()
    away[:, 0, 3] = 50.0
    background = torch.rand(1, 3, 16, 16)
    out = model(codes, f_lip, K, away, background)
    assert (out["opacity_field"] == 0).all() and (out["M"] == 0).all(), \
        "where there is no head, M is 0, bias included"
    assert (out["image"] - background).abs().max() < 1e-3


# ------------------------------------------------------------------------------------------------------ codes

COUNTS = {"id": 3, "ex": 10, "al": 4, "ill": 2}  # people, frames, albedos, lights


@pytest.fixture
def references():
    return {name: unit(COUNTS[name], TINY.code_size(name), seed=i) for i, name in enumerate(CODES)}


@pytest.mark.eq6
def test_codes_start_at_the_references_and_leave_them_alone(references):
    codes = LatentCodes(references)
    index = {"id": torch.tensor([0, 2, 2]), "ex": torch.tensor([0, 9, 4]), "al": torch.tensor([3, 1, 0]),
             "ill": torch.tensor([1, 1, 0])}
    c, ref = codes(index)
    for name in CODES:
        assert torch.equal(c[name], references[name][index[name]]), f"C_{name} is looked up in its own table"
        assert torch.equal(ref[name], references[name][index[name]])
    kept = {name: value.clone() for name, value in references.items()}
    with torch.no_grad():
        for table in codes.parameters():
            table.add_(1.0)
    _, ref = codes(index)
    for name in CODES:
        assert torch.equal(references[name], kept[name]), "the caller's tensor was changed"
        assert torch.equal(ref[name], kept[name][index[name]]), "a reference moved with its code"
        assert f"ref_{name}" in codes.state_dict() and f"ref_{name}" not in dict(codes.named_parameters())


def test_codes_start_from_chance_where_it_is_asked_for(references):
    codes = LatentCodes(references, random=True)
    index = {name: torch.arange(COUNTS[name]) for name in CODES}
    c, ref = codes(index)
    for name in CODES:
        assert torch.equal(ref[name], references[name]) and not torch.allclose(c[name], ref[name], atol=0.1)
        assert torch.allclose(c[name].norm(dim=-1), torch.ones(COUNTS[name]))


def test_codes_of_frames_that_stand_for_labels():
    codes = LatentCodes({name: torch.arange(12.0).view(4, 3) for name in CODES})
    for table in codes.tables.values():
        table.weight.data += 100
    one = codes.of_frames({"id": torch.tensor([3, 0]), "al": torch.tensor([1]), "ill": torch.tensor([2, 2, 1])})
    for name, rows in {"id": [3, 0], "al": [1], "ill": [2, 2, 1], "ex": [0, 1, 2, 3]}.items():
        assert one.tables[name].weight[:, 0].tolist() == [100 + 3 * row for row in rows]
        assert getattr(one, f"ref_{name}")[:, 0].tolist() == [3 * row for row in rows]


@pytest.mark.eq6
def test_sparse_code_gradients_touch_only_the_rows_of_the_step(references):
    codes = LatentCodes(references)
    optimiser = torch.optim.SparseAdam(list(codes.parameters()), lr=0.1)
    index = {"id": [1, 1], "ex": [4, 5], "al": [0, 2], "ill": [1, 1]}
    c, _ = codes({name: torch.tensor(rows) for name, rows in index.items()})
    sum((value * torch.randn_like(value)).sum() for value in c.values()).backward()
    assert all(p.grad.is_sparse for p in codes.parameters())
    optimiser.step()
    for name in CODES:
        moved = (codes.tables[name].weight != references[name]).any(1).nonzero().flatten().tolist()
        assert moved == sorted(set(index[name])), f"C_{name}: rows {moved} moved"


def test_extractor_gives_four_unit_codes_of_the_configured_sizes():
    for cfg in (TINY, SMALL, PAPER):
        extractor = seeded(LatentExtractor, cfg)
        crops = torch.rand(2, 3, cfg.crop, cfg.crop)
        codes = extractor(crops)
        assert list(codes) == list(CODES)
        for name, c in codes.items():
            assert c.shape == (2, cfg.code_size(name))
            assert torch.allclose(c.norm(dim=1), torch.ones(2), atol=1e-5), \
                f"C_{name} has length {c.norm(dim=1).tolist()}"
            assert not torch.allclose(c[0], c[1], atol=1e-4), "two pictures, one code"


def test_extractor_heads_share_a_trunk_and_nothing_else():
    extractor = seeded(LatentExtractor)
    (extractor(torch.rand(2, 3, 32, 32))["ex"] * torch.randn(2, TINY.d_ex)).sum().backward()
    for name in CODES:
        assert (extractor.heads[name][0].weight.grad is not None) == (name == "ex")
    assert all(p.grad.abs().max() > 0 for p in extractor.trunk.parameters())


# ------------------------------------------------------------------------------------------------------- patches

@pytest.mark.eq1
def test_eq1_a_patch_is_that_part_of_the_frame():
    """Features and opacity exactly; pixels but for the border, where the frame's convolutions see its surroundings."""
    cfg = replace(TINY, size=32, patch=4)
    model, codes, f_lip = seeded(DHNeRF, cfg), some_codes(cfg), unit(2, cfg.d_lip, seed=20)
    background = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    whole = model(codes, f_lip, *frontal(cfg), background)
    corner = torch.tensor([[1, 3], [4, 0]])  # row and column differ: a swap shows
    behind = torch.stack([background[0, :, 4:20, 12:28], background[1, :, 16:32, 0:16]])
    part = model(codes, f_lip, *frontal(cfg), behind, None, corner)
    for b, (row, column) in enumerate(corner.tolist()):
        for name in ("M", "opacity_field"):
            torch.testing.assert_close(part[name][b], whole[name][b, :, row:row + 4, column:column + 4])
        inside = whole["image"][b, :, 4 * row:4 * row + 16, 4 * column:4 * column + 16]
        torch.testing.assert_close(part["image"][b, :, 3:-3, 3:-3], inside[:, 3:-3, 3:-3])


@pytest.mark.eq8
def test_extractor_tells_faces_apart_before_it_has_learnt_anything():
    """Faces are alike. With codes that start almost parallel, Eq. 8 is at ln(1 + N) with hardly a gradient."""
    face = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    alike = (face + 0.02 * torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(2))).clamp(0, 1)
    for code in seeded(LatentExtractor).train()(alike).values():
        cosines = (code @ code.T)[~torch.eye(32, dtype=torch.bool)]
        assert cosines.mean().abs() < 0.1 and cosines.std() > 0.2
