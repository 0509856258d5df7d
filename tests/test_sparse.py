"""test_sparse.py - speed/sparse.py against the plain path of render.py, and against scalar sums."""
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

import render
from config import CLIP, PAPER, SMALL
from dhnerf import CODES, DHNeRF, Field
from speed import sparse

SMALL_AND_SHORT = replace(SMALL, size=32, n_coarse=33, n_fine=3)
CONFIGS = {"planes": SMALL_AND_SHORT, "body": replace(SMALL_AND_SHORT, **CLIP),
           "many samples": replace(PAPER, size=32, upsample=4, n_coarse=42, n_fine=5, width=16, depth=6)}
BOX = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)


@pytest.fixture(autouse=True)
def fog_too(monkeypatch):
    """The untrained fields of these tests are fog; they go the way of the others all the same."""
    monkeypatch.setattr(sparse, "MOST", 2.0)


def picture(cfg, least, jitter):
    """Image and gradients, where they are wanted, of one untrained model, from three cameras."""
    torch.manual_seed(0)
    model = DHNeRF(replace(cfg, least=least)).double()
    codes = {name: F.normalize(torch.randn(3, cfg.code_size(name)).double(), dim=-1) for name in CODES}
    K = torch.tensor([[75.0, 0, 16], [0, 75, 16], [0, 0, 1]]).double().repeat(3, 1, 1)
    P_cam = torch.diag(torch.tensor([1.0, -1, -1, 1])).double().repeat(3, 1, 1)
    P_cam[:, :3, 3] = torch.tensor([[0, 0, 8.0], [0.3, 0, 8.5], [0, -0.4, 7.5]])
    generator = torch.Generator().manual_seed(1) if jitter else None
    out = model(codes, torch.randn(3, cfg.d_lip).double(), K, P_cam, torch.zeros(3, 3, 32, 32).double(), generator,
                rest=P_cam.mean(0, keepdim=True).repeat(3, 1, 1) if cfg.body else None)
    if torch.is_grad_enabled():
        (out["image"].square().sum() + out["opacity_field"].sum()).backward()
    return out["image"].detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("jitter", [False, True])
def test_with_every_sample_the_picture_and_all_gradients_are_those_of_the_plain_path(name, jitter):
    image, gradients = picture(CONFIGS[name], 0.0, jitter)
    sparse_image, sparse_gradients = picture(CONFIGS[name], 1e-30, jitter)
    assert torch.allclose(image, sparse_image, atol=1e-12, rtol=0)
    assert gradients.keys() == sparse_gradients.keys()
    for parameter, gradient in gradients.items():
        assert torch.allclose(gradient, sparse_gradients[parameter], atol=1e-10 * float(gradient.abs().max()), rtol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_without_gradients_what_was_asked_is_used_again(name, monkeypatch):
    want, _ = picture(CONFIGS[name], 0.0, True)
    rows, geometry = [], Field.geometry
    monkeypatch.setattr(Field, "geometry", lambda field, x, c: rows.append(x[..., 0].numel()) or geometry(field, x, c))
    monkeypatch.setattr(sparse, "SEEN", 1e-30)
    with torch.no_grad():
        got, _ = picture(CONFIGS[name], 1e-3, True)
    assert torch.allclose(want, got, atol=1e-12, rtol=0)
    cfg = CONFIGS[name]
    samples = 3 * (cfg.size // cfg.upsample) ** 2 * (cfg.n_coarse + cfg.n_fine)
    assert sum(rows) - rows[0] <= samples and rows[0] < 0.02 * samples, "asked twice"


@pytest.mark.parametrize("least, off", [(sparse.SEEN, 1e-3), (1e-3, 2e-2)])
def test_what_is_left_out_hardly_shows(least, off):
    """Untrained fields are a fog, of which most is left out; 1e-3: see test_bench.py for trained ones."""
    for cfg in CONFIGS.values():
        assert (picture(cfg, 0.0, True)[0] - picture(cfg, least, True)[0]).abs().max() < off


def test_pictures_are_held_to_more_than_training(monkeypatch):
    used = []
    plainly = lambda *args, side, least: used.append(least) or render.render_rays(*args)
    monkeypatch.setattr(sparse, "render_rays", plainly)
    picture(CONFIGS["planes"], 1e-2, False)
    with torch.no_grad():
        picture(CONFIGS["planes"], 1e-2, False)
    picture(replace(CONFIGS["planes"], n_coarse=sparse.MANY - 1), 1e-2, False)
    picture(CONFIGS["planes"], 0.0, False)
    assert used == [1e-2, sparse.SEEN]


class Solid:
    """A field whose density is given by a function of the point; its feature is the point. It counts."""

    def __init__(self, density):
        self.density, self.asked = density, 0

    def geometry(self, x, conditions):
        self.asked += x[..., 0].numel()
        return self.density(x), x

    def appearance(self, h, directions, conditions):
        return h

    def ray_bias(self, directions, conditions):
        return directions

    def appearance_of(self, h, bias):
        return h


class NoConditions:
    geometry_bias, planes, appearance_bias = {}, None, torch.zeros(1, 1, 1, 1)


def rays_along_z(side):
    at = (torch.arange(side) + 0.5) / side * 1.6 - 0.8
    y, x = torch.meshgrid(at, at, indexing="ij")
    origins = torch.stack([x, y, torch.full_like(x, 5.0)], -1).view(1, -1, 3)
    return origins, torch.tensor([0.0, 0, -1]).expand_as(origins)


def both(density, side=16, n_coarse=64, n_fine=8, least=1e-3):
    plain, quick = Solid(density), Solid(density)
    rays = rays_along_z(side)
    want = render.render_rays(plain, NoConditions, *rays, BOX, n_coarse, n_fine)
    got = sparse.render_rays(quick, NoConditions, *rays, BOX, n_coarse, n_fine, side=side, least=least)
    return want, got, quick.asked / plain.asked


def test_a_ball_costs_less_than_half():
    want, got, share = both(lambda x: 60.0 * (x.norm(dim=-1) < 0.6))
    for one, other in zip(want, got):
        assert (one - other).abs().max() < 2e-3
    assert share < 0.45


@pytest.mark.parametrize("depth", [-0.71, -0.2, 0.03, 0.33])
def test_a_sheet_as_thin_as_an_interval_is_found(depth):
    """Facing the camera, so that all rays meet it at one distance: one of four neighbours probes there."""
    want, got, _ = both(lambda x: 80.0 * ((x[..., 2] - depth).abs() < 1 / 64))
    assert want[1].min() > 0.5
    assert (want[1] - got[1]).abs().max() < 2e-3 and (want[0] - got[0]).abs().max() < 2e-3


def test_nothing_is_asked_twice_in_air():
    want, got, share = both(lambda x: torch.zeros_like(x[..., 0]))
    assert not got[1].any() and share <= 0.25


def test_of_fog_all_is_asked_once(monkeypatch):
    monkeypatch.setattr(sparse, "MOST", 0.5)
    want, got, share = both(lambda x: torch.full_like(x[..., 0], 0.5))
    assert torch.equal(want[0], got[0]) and torch.equal(want[1], got[1]) and 1 < share < 1.03
    _, _, ball = both(lambda x: 60.0 * (x.norm(dim=-1) < 0.6))
    assert ball < 0.5


def test_an_empty_field_still_learns():
    """Every weight is far below `least`; with jitter, as in training, one coarse sample in 16 is asked anyway."""
    sigma = torch.full((), 1e-9, requires_grad=True)
    field = Solid(lambda x: sigma.expand(x.shape[:-1]))
    rays = rays_along_z(16)
    learnt = []
    for generator in (None, torch.Generator().manual_seed(0)):
        field.asked = 0
        _, opacity = sparse.render_rays(field, NoConditions, *rays, BOX, 64, 0, generator, side=16, least=1e-3)
        learnt += torch.autograd.grad(opacity.sum(), sigma)
    again = field.asked - 16 * 16 * 16 - 16 * 16  # beside the probes, and the look for fog
    assert again == pytest.approx(16 * 16 * 64 / 16, rel=0.2)
    assert learnt[0] == 0 and learnt[1] == pytest.approx(16 * 16 * 2 / 16, rel=0.2)  # 2 dm a ray, a 16th of it


def test_what_lies_behind_the_opaque_is_not_asked():
    _, _, wall = both(lambda x: 500.0 * (x[..., 2] < 0.9), n_fine=0)
    assert wall < 0.5  # of the fog that fills the box everything is asked, and a part of it twice
    _, _, fog = both(lambda x: torch.full_like(x[..., 0], 0.5), n_fine=0)
    assert fog > 1.5


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_learns_no_more_than_its_weight(seed):
    """The bound in the head of the file, by automatic differentiation of a sum in plain Python."""
    random = torch.Generator().manual_seed(seed)
    log_sigma = (torch.randn(12, generator=random, dtype=torch.float64) * 3).requires_grad_()
    M = torch.randn(12, generator=random, dtype=torch.float64)
    light, total, weights = 1.0, 0.0, []
    for i in range(12):
        through = torch.exp(-torch.exp(log_sigma[i]) * 0.25)
        weights.append(light * (1 - through))
        total, light = total + weights[-1] * M[i], light * through
    gradient, = torch.autograd.grad(total, log_sigma)
    against = torch.cat([M, torch.zeros(1, dtype=torch.float64)])
    spread = (M[:, None] - against).abs().amax(1)
    assert (gradient.abs() <= torch.stack(weights).detach() * spread + 1e-12).all()
