"""test_render.py - Eq. 1, first half: rays from P_cam, samples along them, volume rendering.

Oracles: analytic slabs and spheres, scalar loops, and numpy.interp for inverse transform sampling.
"""
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import render
from dhnerf import NeuralRenderer

pytestmark = pytest.mark.eq1

BOX = (-2.0, -2.0, -2.0, 2.0, 2.0, 2.0)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(degrees=(20.0, -35.0, 10.0)):
    """R = Rz Ry Rx, written out."""
    a, b, c = (math.radians(d) for d in degrees)
    rx = [[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]]
    ry = [[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]]
    rz = [[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]]
    return np.array(rz) @ np.array(ry) @ np.array(rx)


def camera(R=None, t=(0.3, -0.2, 6.0), fx=40.0, fy=44.0, cx=15.0, cy=17.0):
    cam_to_head = np.eye(4)
    cam_to_head[:3, :3] = rotation() if R is None else R
    cam_to_head[:3, 3] = t
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    return torch.tensor(K)[None], torch.tensor(cam_to_head)[None]


def frontal(distance=6.0, size=32):
    return camera(np.diag([1.0, -1.0, -1.0]), (0, 0, distance), 2 * size, 2 * size, size / 2, size / 2)


class Box:
    """A field whose density and feature depend on z alone: slabs (z_low, z_high, sigma, feature)."""

    def __init__(self, *slabs):
        self.slabs, self.asked = slabs, []

    def geometry(self, points, condition):
        self.asked.append(points)
        z = points[..., 2]
        sigma, h = torch.zeros_like(z), torch.zeros(*z.shape, len(self.slabs), dtype=z.dtype)
        for k, (low, high, density, value) in enumerate(self.slabs):
            inside = (z >= low) & (z < high)
            sigma = sigma + density * inside
            h[..., k] = value * inside
        return sigma, h

    def appearance(self, h, directions, condition):
        return h


def axis_rays(n=1, sign=-1.0, distance=6.0, off=0.0):
    """n parallel rays along z, towards -z (sign -1) or +z."""
    origins = torch.tensor([[off, 0.0, -sign * distance]], dtype=torch.float64).expand(1, n, 3)
    directions = torch.tensor([[0.0, 0.0, sign]], dtype=torch.float64).expand(1, n, 3)
    return origins, directions


# ------------------------------------------------------------------------------------------------------- rays

@pytest.mark.parametrize("stride", [1, 4])
def test_eq1_points_on_a_ray_project_onto_the_centre_of_its_pixel(stride):
    size = 32
    K, P = camera()
    origins, directions = render.pixel_rays(K, P, size, stride)
    grid = size // stride
    assert origins.shape == directions.shape == (1, grid * grid, 3)
    R, t, k = P[0, :3, :3].tolist(), P[0, :3, 3].tolist(), K[0].tolist()
    for row in range(grid):
        for column in range(grid):
            o, d = origins[0, row * grid + column].tolist(), directions[0, row * grid + column].tolist()
            world = [o[i] + 5.3 * d[i] - t[i] for i in range(3)]
            x, y, z = (sum(R[j][i] * world[j] for j in range(3)) for i in range(3))  # R transposed
            assert z > 0, "Eq. 1: the ray goes backwards"
            u, v = k[0][0] * x / z + k[0][2], k[1][1] * y / z + k[1][2]
            want = ((column + 0.5) * stride, (row + 0.5) * stride)
            assert abs(u - want[0]) < 1e-9 and abs(v - want[1]) < 1e-9, \
                f"Eq. 1: ray of pixel {(row, column)} lands at {(u, v)}, want {want}. R transposed?"


def test_eq1_rays_start_at_the_camera_and_have_unit_length():
    K, P = camera()
    origins, directions = render.pixel_rays(K, P, 16)
    assert torch.allclose(origins, torch.tensor([0.3, -0.2, 6.0], dtype=torch.float64).expand_as(origins))
    assert torch.allclose(directions.norm(dim=-1), torch.ones(1, dtype=torch.float64)), \
        "sample distances are in decimetres"


def test_eq1_rays_invert_cam_to_head():
    K, P = camera()
    origins, directions = render.pixel_rays(K, P, 8)
    head_to_cam = torch.linalg.inv(P[0])
    points = torch.cat([origins + 3 * directions, torch.ones(1, 64, 1, dtype=torch.float64)], -1)[0]
    pixels = (points @ head_to_cam.T)[:, :3] @ K[0].T
    grid = torch.arange(8, dtype=torch.float64) + 0.5
    assert torch.allclose(pixels[:, 0] / pixels[:, 2], grid.repeat(8))
    assert torch.allclose(pixels[:, 1] / pixels[:, 2], grid.repeat_interleave(8))


def test_eq1_a_frontal_camera_looks_along_minus_z_with_y_up():
    K, P = frontal(size=8)
    _, d = render.pixel_rays(K, P, 8)
    first, last = d[0, 0], d[0, -1]
    assert first[0] < 0 < first[1] and (d[..., 2] < 0).all(), \
        "the top left pixel looks to -x, +y; all look to -z"
    assert last[1] < 0 < last[0]


def test_eq1_each_image_of_a_batch_has_its_own_camera():
    K1, P1 = camera()
    K2, P2 = frontal()
    both = render.pixel_rays(torch.cat([K1, K2]), torch.cat([P1, P2]), 8)
    for i, (K, P) in enumerate([(K1, P1), (K2, P2)]):
        for got, want in zip(both, render.pixel_rays(K, P, 8)):
            assert torch.allclose(got[i:i + 1], want)


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_eq1_no_half_pixel_between_feature_map_and_image(stride):
    size = 64
    K = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]], dtype=torch.float64)  # then d_x / d_z is u itself
    _, d = render.pixel_rays(K, torch.eye(4, dtype=torch.float64)[None], size, stride)
    grid = size // stride
    u = (d[..., 0] / d[..., 2]).view(1, 1, grid, grid)  # a ramp, sampled at feature pixel centres
    net = NeuralRenderer(4, stride, 8).double()  # without weights it only brings opacity to the image's pixels
    for p in net.parameters():
        torch.nn.init.zeros_(p)
    with torch.no_grad():
        u = net(torch.zeros(1, 4, grid, grid, dtype=torch.float64), u / size)[1] * size
    inner = slice(stride, size - stride)  # bilinear interpolation repeats the border
    want = torch.arange(size, dtype=torch.float64) + 0.5
    error = (u[0, 0, inner, inner] - want[inner]).abs().max().item()
    assert error < 1e-9, \
        f"Eq. 1: image and feature map disagree by {error:.3g} pixels. align_corners, or a missing + 1/2?"


# ------------------------------------------------------------------------------------------- where rays enter

def test_eq1_box_bounds_by_walking_along_the_ray():
    """Near and far are the first and last of 40,001 points of the ray that lie in the box."""
    g, box = np.random.default_rng(0), (-1.0, -2.0, -1.5, 1.2, 1.0, 0.5)
    o = g.normal(size=(120, 3)) * 4
    o[:4] = [0, 0, 0]  # from within
    d = -o + g.normal(size=(120, 3)) * 2.5
    d[4:8] = -o[4:8] * [1, 1, 0] + [0, 0, 1e-12]  # parallel to two faces
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    near, far = render.box_bounds(torch.tensor(o), torch.tensor(d), box)
    t, hits = np.linspace(0, 20, 40001), 0
    for i in range(120):
        points = o[i] + t[:, None] * d[i]
        inside = ((points >= box[:3]) & (points <= box[3:])).all(1)
        if not inside.any():
            assert far[i] - near[i] < 1e-3, "a ray that misses, or has the head behind it, gets an empty interval"
            continue
        hits += 1
        assert abs(near[i] - t[inside][0]) < 6e-4 and abs(far[i] - t[inside][-1]) < 6e-4
    assert 30 < hits < 120


def test_eq1_box_bounds_through_the_middle():
    near, far = render.box_bounds(*axis_rays(distance=6.0), BOX)
    assert (near.item(), far.item()) == (4.0, 8.0)


# ---------------------------------------------------------------------------------------------------- samples

def test_eq1_stratified_samples_keep_to_their_bins():
    near, far = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 2.0]])
    centres = render.stratified_samples(near, far, 4)
    assert torch.allclose(centres, torch.tensor([[[1.25, 1.75, 2.25, 2.75], [2.0] * 4]]))
    jitter = rand(1, 2, 4).float()
    t = render.stratified_samples(near, far, 4, jitter)
    for i in range(4):
        assert abs(t[0, 0, i].item() - (1 + (i + jitter[0, 0, i].item()) * 0.5)) < 1e-6


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 1000))
def test_eq1_intervals_add_up_to_far_minus_near(n, seed):
    near, far = torch.tensor([[1.5]], dtype=torch.float64), torch.tensor([[5.0]], dtype=torch.float64)
    t = (near[..., None] + 3.5 * rand(1, 1, n, seed=seed)).sort(-1).values
    delta = render.intervals(t, near, far)
    assert abs(delta.sum().item() - 3.5) < 1e-12 and (delta >= 0).all()
    edges = [1.5] + [(t[0, 0, i].item() + t[0, 0, i + 1].item()) / 2 for i in range(n - 1)] + [5.0]
    assert np.allclose(delta[0, 0], np.diff(edges)), \
        "an interval reaches halfway to its neighbours, the last one to far"


def test_eq1_importance_samples_follow_the_density():
    edges = torch.tensor([[[0.0, 1.0, 1.5, 4.0, 5.0]]])
    weights, n = torch.tensor([[[0.1, 0.6, 0.0, 0.3]]]), 2000
    t = render.hierarchical_samples(edges, weights, n)[0, 0].numpy()
    share = np.histogram(t, bins=edges[0, 0].numpy())[0] / n
    assert np.allclose(share, [0.1, 0.6, 0.0, 0.3], atol=2e-3), \
        f"shares of the samples a bin: {share}, want .1 .6 0 .3"
    inside = (t > 1) & (t < 1.5)
    assert abs(t[inside].mean() - 1.25) < 5e-3 and abs(t[inside].std() - 0.5 / math.sqrt(12)) < 5e-3, \
        "even inside a bin"


@pytest.mark.parametrize("jittered", [False, True])
def test_eq1_importance_samples_are_the_inverse_of_the_cdf(jittered):
    g, n = np.random.default_rng(1), 33
    edges = np.sort(g.uniform(2, 6, (2, 3, 9)), -1)
    weights = g.uniform(0, 1, (2, 3, 8)) ** 4
    jitter = g.uniform(0, 1, (2, 3, n)) if jittered else np.full((2, 3, n), 0.5)
    got = render.hierarchical_samples(torch.tensor(edges), torch.tensor(weights), n,
                                      torch.tensor(jitter) if jittered else None)
    for b in range(2):
        for r in range(3):
            pdf = (weights[b, r] + 1e-4) / (weights[b, r] + 1e-4).sum()
            want = np.interp((np.arange(n) + jitter[b, r]) / n, np.concatenate([[0], np.cumsum(pdf)]),
                             edges[b, r])
            assert np.allclose(got[b, r], want, atol=1e-9), "not the inverse of the piecewise linear CDF"
    assert (got.diff(dim=-1) >= 0).all(), "stratified u comes out sorted"


def test_eq1_importance_samples_of_an_empty_ray_are_even_and_carry_no_gradient():
    edges = torch.linspace(1, 5, 9)[None, None]
    weights = torch.zeros(1, 1, 8, requires_grad=True)
    t = render.hierarchical_samples(edges, weights, 16)
    assert torch.allclose(t[0, 0], 1 + (torch.arange(16) + 0.5) / 4, atol=1e-5) and not t.requires_grad


# ------------------------------------------------------------------------------------------------ compositing

def scalar_weights(sigma, delta):
    out, light = [], 1.0
    for s, d in zip(sigma, delta):
        alpha = 1 - math.exp(-s * d)
        out.append(light * alpha)
        light *= 1 - alpha  # what is left for the samples behind
    return out


def test_eq1_weights_before_a_wall_keep_their_light():
    """Beside 1e8 float32 has no room for 0.5: a sum that runs on and gives back its last part has lost it."""
    for wall in (1e8, 1e30, math.inf):
        w = render.compositing_weights(torch.tensor([[[0.5, wall, 0.3]]]), torch.ones(1, 1, 3))
        assert w[0, 0].tolist() == pytest.approx([1 - math.exp(-0.5), math.exp(-0.5), 0], abs=1e-7)


def test_eq1_compositing_weights_scalar_transcription():
    sigma, delta = 4 * rand(2, 3, 7), rand(2, 3, 7, seed=1)
    got = render.compositing_weights(sigma, delta)
    for b in range(2):
        for r in range(3):
            assert np.allclose(got[b, r], scalar_weights(sigma[b, r].tolist(), delta[b, r].tolist())), \
                "NeRF Eq. 3: T_i is the light left before sample i, along the last axis"


def test_eq1_transmittance_is_exclusive():
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    got, want = render.compositing_weights(2 * one, 0.5 * one).item(), 1 - math.exp(-1)
    assert math.isclose(got, want), \
        f"NeRF Eq. 3: one sample alone weighs {got:.4f}, want {want:.4f}. Does it shade itself?"
    wall = render.compositing_weights(torch.tensor([[[0.0, 1e4, 3.0]]]), torch.ones(1, 1, 3))[0, 0].tolist()
    assert wall == [0.0, 1.0, 0.0], f"an opaque wall takes all the weight, got {wall}"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 50), min_size=1, max_size=12), st.integers(0, 1000))
def test_eq1_weights_add_up_to_the_opacity(sigma, seed):
    sigma = torch.tensor([[sigma]], dtype=torch.float64)
    delta = rand(*sigma.shape, seed=seed)
    w = render.compositing_weights(sigma, delta)
    assert (w >= 0).all()
    assert math.isclose(w.sum().item(), 1 - math.exp(-(sigma * delta).sum().item()), abs_tol=1e-9)


def test_eq1_compositing_gradient_by_finite_differences():
    sigma, delta = rand(1, 2, 5).requires_grad_(), rand(1, 2, 5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(render.compositing_weights, (sigma, delta))


# ---------------------------------------------------------------------------------- rendering of known bodies

@pytest.mark.parametrize("n_fine", [0, 32])
@pytest.mark.parametrize("jitter", [None, 3])
def test_eq1_a_homogeneous_sphere(n_fine, jitter):
    sigma, L = 0.7, 4.0
    generator = None if jitter is None else torch.Generator().manual_seed(jitter)
    feature, opacity = render.render_rays(Box((-9, 9, sigma, 3.0)), None, *axis_rays(), BOX, 256, n_fine, generator)
    gone = math.exp(-sigma * L)
    assert math.isclose(opacity.item(), 1 - gone, rel_tol=1e-6), \
        f"Eq. 1: opacity {opacity.item():.5f}, want 1 - exp(-sigma L) = {1 - gone:.5f}. From near to far?"
    assert math.isclose(feature.item(), 3 * (1 - gone), rel_tol=1e-6)


def test_eq1_opacity_gradient_of_a_slab_is_L_times_what_comes_through():
    density = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    _, opacity = render.render_rays(Box((-9, 9, density, 1.0)), None, *axis_rays(), BOX, 32, 16)
    opacity.sum().backward()
    assert math.isclose(density.grad.item(), 4 * math.exp(-0.7 * 4), rel_tol=1e-6)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_eq1_the_slab_in_front_occludes_the_one_behind(sign):
    high, low = (0.5, 1.0, 3.0, 1.0), (-1.0, -0.5, 2.0, 1.0)  # each half a decimetre thick
    feature, opacity = render.render_rays(Box(high, low), None, *axis_rays(sign=sign), BOX, 512, 512)
    through = {"high": math.exp(-1.5), "low": math.exp(-1.0)}
    front, back = ("high", "low") if sign < 0 else ("low", "high")
    want = {front: 1 - through[front], back: through[front] * (1 - through[back])}
    got = dict(zip(("high", "low"), feature[0, 0].tolist()))
    for name in want:
        assert abs(got[name] - want[name]) < 5e-3, \
            f"slab {name}: {got[name]:.4f}, want {want[name]:.4f}. Front first?"
    assert abs(opacity.item() - (1 - math.exp(-2.5))) < 5e-3


def test_eq1_an_empty_field_and_missed_rays_give_exactly_nothing():
    for field, rays in [(Box((-9, 9, 0.0, 5.0)), axis_rays(3)),
                        (Box((-9, 9, 50.0, 5.0)), axis_rays(3, off=2.5)),
                        (Box((-9, 9, 50.0, 5.0)), axis_rays(3, distance=-6.0))]:
        feature, opacity = render.render_rays(field, None, *rays, BOX, 16, 16, torch.Generator().manual_seed(0))
        assert (feature == 0).all() and (opacity == 0).all(), "the background must show unchanged"


def test_eq1_coarse_and_fine_samples_are_composited_in_order_of_distance():
    """Replays the samples that the field was asked for, sorted, through the scalar loop."""
    class Smooth(Box):
        def geometry(self, points, condition):
            self.asked.append(points)
            z = points[..., 2]
            return 2 * torch.exp(-4 * (z - 0.3) ** 2) + 0.1, torch.stack([z, z**2, torch.ones_like(z)], -1)

    field = Smooth()
    got = render.render_rays(field, None, *axis_rays(2), BOX, 9, 7, torch.Generator().manual_seed(5))
    assert [p.shape[2] for p in field.asked] == [9, 7], "each sample is asked once: 9 coarse, then 7 fine"
    points = torch.cat(field.asked, 2)
    for r in range(2):
        t = sorted((6 - points[0, r, :, 2]).tolist())
        edges = [4.0] + [(a + b) / 2 for a, b in zip(t, t[1:])] + [8.0]
        z = [6 - x for x in t]
        sigma = [2 * math.exp(-4 * (x - 0.3) ** 2) + 0.1 for x in z]
        w = scalar_weights(sigma, [b - a for a, b in zip(edges, edges[1:])])
        want = [sum(a * x for a, x in zip(w, z)), sum(a * x * x for a, x in zip(w, z)), sum(w)]
        assert np.allclose(got[0][0, r], want), "merged samples: weights went back to the wrong features?"
        assert math.isclose(got[1][0, r], sum(w), abs_tol=1e-12)


def test_eq1_fine_samples_go_where_the_coarse_ones_found_density():
    field = Box((0.9, 1.0, 20.0, 1.0))
    render.render_rays(field, None, *axis_rays(), BOX, 64, 32)
    z = field.asked[1][0, 0, :, 2]
    assert ((z > 0.8) & (z < 1.1)).float().mean() > 0.8, "fine samples are not drawn by the coarse weights"
    hidden = Box((0.5, 1.0, 50.0, 1.0), (-1.0, -0.5, 50.0, 1.0))  # the second slab cannot be seen
    render.render_rays(hidden, None, *axis_rays(), BOX, 64, 32)
    assert (hidden.asked[1][0, 0, :, 2] < 0).float().mean() < 0.1, \
        "weights, not densities: what is hidden needs no samples"


def test_eq1_jitter_comes_from_the_generator_alone():
    field = Box((-0.4, 0.9, 1.3, 1.0))
    run = lambda seed: render.render_rays(field, None, *axis_rays(4), BOX, 8, 8,
                                          None if seed is None else torch.Generator().manual_seed(seed))[1]
    assert torch.equal(run(1), run(1)) and torch.equal(run(None), run(None))
    assert not torch.equal(run(1), run(2))
    rays = run(1)[0]
    assert len(set(rays.tolist())) > 1, "each ray has its own jitter"


@pytest.mark.eq1
def test_eq1_patches_are_cut_at_row_and_column():
    images = torch.arange(2 * 3 * 6 * 7).reshape(2, 3, 6, 7)
    cut = render.patches(images, torch.tensor([[0, 4], [3, 1]]), 3)
    want = np.stack([images.numpy()[0, :, 0:3, 4:7], images.numpy()[1, :, 3:6, 1:4]])
    assert np.array_equal(cut.numpy(), want), "corner is (row, column)"
