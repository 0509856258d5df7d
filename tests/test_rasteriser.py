"""test_rasteriser.py - closed forms for silhouettes, areas, depth order, harmonics and motion."""

import numpy as np
import pytest

from synthetic import rasteriser
from synthetic.cameras import (HEAD_HEIGHT, camera_of_motion, default_camera, frontal_camera,
                               head_motion, turn)
from synthetic.light import key_light, light_set, rotate_light, sh_basis

ORDER_0 = 0.5 / np.sqrt(np.pi)  # Y_00, from its definition


def constant_light(level=1.0):
    light = np.zeros((9, 3), np.float32)
    light[0] = level / ORDER_0
    return light


def ball(radius, centre, rows=40, columns=60):
    """A latitude-longitude sphere with outward (counter-clockwise) triangles."""
    lat, lon = np.meshgrid(
        np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns, endpoint=False),
        indexing="ij"
    )
    points = np.stack([np.sin(lat) * np.cos(lon), np.cos(lat), np.sin(lat) * np.sin(lon)],
                      -1).reshape(-1, 3)
    faces = []
    for r in range(rows - 1):
        for c in range(columns):
            a, b = r * columns + c, r * columns + (c + 1) % columns
            faces += [(a, b, b + columns), (a, b + columns, a + columns)]
    return radius * points + centre, np.array(faces)


def camera(size, focal, distance):
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]])
    return K, frontal_camera(distance)


def draw(vertices, faces, colors, size=64, focal=None, distance=5.0, light=None, **options):
    K, pose = camera(size, float(size) if focal is None else focal, distance)
    light = constant_light() if light is None else light
    return rasteriser.render_mesh(vertices, faces, colors, light, K, pose, size, np.zeros(3),
                                  **options)


def test_sphere_has_the_analytic_silhouette():
    """A sphere of radius r at distance d is seen as a disc of radius f r / sqrt(d^2 - r^2)
    pixels."""
    vertices, faces = ball(1.0, [0, 0, 0])
    _, alpha = draw(
        vertices, faces, np.ones_like(vertices), size=96, focal=150.0, distance=5.0, supersample=4
    )
    radius = 150.0 / np.sqrt(24.0)
    assert alpha.sum() == pytest.approx(np.pi * radius**2, rel=0.01)
    rows, columns = np.mgrid[0:96, 0:96] + 0.5
    off = np.hypot(rows - 48, columns - 48)
    assert (alpha[off < radius - 1.5] == 1).all() and (alpha[off > radius + 1] == 0).all()


def test_nearer_sphere_hides_the_farther_one_whatever_the_order():
    near, faces = ball(0.5, [0, 0, 1.0])
    far, _ = ball(1.0, [0, 0, -1.5])
    for first, second, colors in ((near, far, (0, 1)), (far, near, (1, 0))):
        paint = np.repeat(np.eye(3)[list(colors)], len(near), axis=0)  # near red, far green
        image, _ = draw(np.concatenate([first, second]), np.concatenate([faces, faces + len(near)]),
                        paint)
        assert image[32, 32] == pytest.approx([1, 0, 0], abs=1e-5)
        # beside the near one, on the far one
        assert image[32, 32 + 9] == pytest.approx([0, 1, 0], abs=1e-5)


def test_interpenetrating_planes_meet_where_geometry_says():
    """A plane z = 0 in red and a plane z = x in blue: blue is in front exactly where x > 0."""
    flat = np.array([[-2, -2, 0], [2, -2, 0], [2, 2, 0], [-2, 2, 0]], float)
    tilted = flat + flat[:, :1] * [0, 0, 1]
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    colors = np.repeat([[1.0, 0, 0], [0, 0, 1.0]], 4, axis=0)
    image, _ = draw(np.concatenate([flat, tilted]), faces, colors, distance=10.0, size=64,
                    focal=100.0)
    assert (image[32, 16:31, 0] > 0.99).all() and (image[32, 33:44, 2] > 0.99).all()


def test_sh_basis_is_orthonormal_over_the_sphere():
    """Gauss-Legendre in z times equal steps in longitude integrates degree 4 exactly."""
    z, weight = np.polynomial.legendre.leggauss(8)
    phi = np.arange(16) * 2 * np.pi / 16
    ring = np.sqrt(1 - z**2)[:, None]
    directions = np.stack([ring * np.cos(phi), ring * np.sin(phi), z[:, None] + 0 * phi], axis=-1)
    basis = sh_basis(directions).reshape(-1, 9)
    gram = np.einsum("n,nj,nk->jk", np.repeat(weight, 16) * 2 * np.pi / 16, basis, basis)
    assert np.allclose(gram, np.eye(9), atol=1e-6)


def test_sh_order_is_y_z_x():
    """A light of degree 1 in the third place shines from +z, the fourth from +x, the second from
    +y."""
    for k, axis in ((1, 1), (2, 2), (3, 0)):
        assert sh_basis(np.eye(3)[axis])[k] == pytest.approx(np.sqrt(3 / (4 * np.pi)))


def test_constant_light_gives_the_albedo():
    vertices, faces = ball(1.0, [0, 0, 0])
    image, alpha = draw(vertices, faces, np.tile([0.3, 0.5, 0.7], (len(vertices), 1)))
    assert np.allclose(image[alpha == 1], [0.3, 0.5, 0.7], atol=1e-4)


def test_light_from_the_right_brightens_the_right():
    vertices, faces = ball(1.0, [0, 0, 0])
    light = constant_light(0.5)
    light[3] = 0.4  # x
    image, _ = draw(vertices, faces, np.full_like(vertices, 0.8), light=light)
    assert image[32, 40, 0] > image[32, 32, 0] + 0.03 > image[32, 24, 0] + 0.06


def test_per_pixel_shading_equals_the_formula_at_the_centre():
    vertices, faces = ball(1.0, [0, 0, 0], rows=81, columns=120)
    light = np.random.default_rng(0).uniform(-0.1, 0.1, (9, 3)).astype(np.float32)
    light[0] = 2.0
    image, _ = draw(vertices, faces, np.full_like(vertices, 0.5), light=light, size=65, focal=65.0)
    c = np.sqrt(np.array([1 / 4, 3 / 4, 5 / 16]) / np.pi)
    # the normal is +z there
    expected = 0.5 * (light[0] * c[0] + light[2] * c[1] + light[6] * c[2] * 2)
    assert image[32, 32] == pytest.approx(expected, abs=2e-3)


def test_pixel_centres_are_at_one_half():
    """A point projected to (u, v) by K lights the pixel in row floor(v), column floor(u)."""
    K, pose = camera(32, 40.0, 8.0)
    pose = pose @ np.block(
        [[turn(np.array(0.2), np.array(-0.1), np.array(0.3)), np.zeros((3, 1))], [0, 0, 0, 1]]
    )
    for point in ([0.53, -0.71, 0.4], [-1.1, 0.9, -0.6]):
        inside = np.linalg.inv(pose) @ [*point, 1]
        u, v = (K @ inside[:3])[:2] / inside[2]
        corners = np.array(point) + 0.02 * pose[:3, :3].T[[0, 1, 0]] * [[1], [1], [-1]]
        _, alpha = rasteriser.render_mesh(
            corners,
            np.array([[0, 1, 2]]),
            np.ones((3, 3)),
            constant_light(),
            K,
            pose,
            32,
            np.zeros(3),
            supersample=16,
        )
        assert np.unravel_index(alpha.argmax(), alpha.shape) == (int(v), int(u))
        rows, columns = np.mgrid[0:32, 0:32] + 0.5
        assert (alpha * columns).sum() / alpha.sum() == pytest.approx(u, abs=0.5)


@pytest.mark.parametrize("flip", [False, True])
def test_alpha_is_the_area_of_a_triangle(flip):
    """Coverage summed over the image equals the projected area; both sides of an open mesh are
    drawn."""
    triangle = np.array([[-1.2, -0.9, 0], [1.3, -0.6, 0], [0.2, 1.4, 0]])
    faces = np.array([[0, 2, 1] if flip else [0, 1, 2]])
    (ax, ay), (bx, by) = (triangle[1] - triangle[0])[:2], (triangle[2] - triangle[0])[:2]
    image, alpha = draw(triangle, faces, np.ones((3, 3)), size=64, focal=64.0, distance=4.0,
                        supersample=8)
    assert alpha.sum() == pytest.approx(0.5 * abs(ax * by - ay * bx) * 16**2, rel=0.01)
    inside = rasteriser.INSIDE_SHADE if flip else 1.0
    assert image[36, 32, 0] == pytest.approx(inside, abs=1e-4)


def test_shared_edges_leave_no_crack():
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 14), np.linspace(-1, 1, 14)), -1).reshape(-1, 2)
    rng = np.random.default_rng(0)
    vertices = np.c_[grid + rng.uniform(-0.03, 0.03, grid.shape),
                     rng.uniform(-0.05, 0.05, len(grid))]
    a = (np.arange(13)[:, None] * 14 + np.arange(13)).ravel()
    faces = np.concatenate([np.stack([a, a + 1, a + 15], 1), np.stack([a, a + 15, a + 14], 1)])
    _, alpha = draw(vertices, faces, np.ones((len(vertices), 3)), size=64, focal=120.0,
                    distance=4.0)
    assert (alpha[8:56, 8:56] == 1).all()


def test_colours_are_interpolated_in_perspective():
    """On a plane that recedes, the colour halfway along the edge is not seen halfway along the
    image."""
    vertices = np.array([[-1, -3, 2], [1, -3, 2], [1, 3, -8], [-1, 3, -8]], float)
    colors = np.repeat([[0.0], [0.0], [1.0], [1.0]], 3, axis=1)
    image, alpha = draw(
        vertices, np.array([[0, 1, 2], [0, 2, 3]]), colors, size=100, focal=100.0, distance=6.0
    )
    row = 40
    # The ray through the row's centre meets the plane (y, z) = (-3, 2) + s (6, -10), camera at z =
    # 6.
    slope = (50 - (row + 0.5)) / 100  # y per unit of depth
    s = (3 + slope * 4) / (6 - slope * 10)
    assert image[row, 50, 0] == pytest.approx(s, abs=0.01)


def test_background_shows_through_uncovered_pixels():
    background = np.random.default_rng(0).uniform(size=(32, 32, 3)).astype(np.float32)
    vertices, faces = ball(0.5, [0, 0, 0])
    K, pose = camera(32, 32.0, 5.0)
    image, alpha = rasteriser.render_mesh(
        vertices, faces, np.zeros_like(vertices), constant_light(), K, pose, 32, background
    )
    assert np.allclose(image, background * (1 - alpha[..., None]), atol=1e-5)


def test_what_is_behind_the_camera_is_not_drawn():
    vertices, faces = ball(0.5, [0, 0, 20.0])
    _, alpha = draw(vertices, faces, np.ones_like(vertices), distance=5.0)
    assert alpha.max() == 0


def test_gloss_adds_a_highlight_towards_the_light():
    vertices, faces = ball(1.0, [0, 0, 0])
    light = constant_light(0.3)
    light[[2, 3]] = 0.3  # from front right
    plain, _ = draw(vertices, faces, np.full_like(vertices, 0.4), light=light)
    shiny, _ = draw(vertices, faces, np.full_like(vertices, 0.4), light=light,
                    gloss=np.ones(len(vertices)))
    row, column = np.unravel_index((shiny - plain)[..., 0].argmax(), (64, 64))
    assert (shiny - plain).min() >= -1e-6 and abs(row - 32) <= 1 and 34 <= column <= 40


def test_key_light_at_the_key_and_away_from_it():
    """Towards the key: `peak`, in the mean of the channels; away from it the cut lobe is 1/4 - 1/2
    + 5/16 = 1/16."""
    light, share = key_light(90.0, 0.0, 0.6, 0.5, 1.2), 0.6
    towards, away = (sh_basis(np.array([x, 0.0, 0.0])) @ light for x in (1.0, -1.0))
    assert towards.mean() == pytest.approx(1.2, rel=0.01) and towards[0] > towards[2]
    assert away.mean() / towards.mean() == pytest.approx((1 - share + share / 16)
                                                         / (1 - share + share * 17 / 16), rel=0.02)
    cold = sh_basis(np.array([1.0, 0.0, 0.0])) @ key_light(90.0, 0.0, 0.6, -0.5, 1.2)
    assert cold[0] < cold[2]


@pytest.mark.parametrize("seed", range(10))
def test_lights_of_a_set_are_plausible_and_told_apart(seed):
    """On a sphere of white seen from the front, any two differ by more than 0.08, on average over
    its pixels."""
    normals = np.random.default_rng(1).normal(size=(2000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    shading = np.stack([sh_basis(normals) @ light
                        for light in light_set(6, np.random.default_rng(seed))])
    assert 0.15 < shading.min() and shading.max() < 1.4
    seen = shading[:, normals[:, 2] > 0.2]
    apart = np.abs(seen[:, None] - seen).mean(axis=(-1, -2))
    assert apart[~np.eye(6, dtype=bool)].min() > 0.08 and apart.max() > 0.25
    from_left = (seen * np.sign(-normals[normals[:, 2] > 0.2][:, 0])[:, None]).mean(axis=(1, 2))
    assert (from_left > 0.02).sum() >= 2 and (from_left < -0.02).sum() >= 2


def test_rotated_light_shades_as_the_turned_light():
    rng = np.random.default_rng(0)
    light, normals = light_set(1, rng)[0], rng.normal(size=(40, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    R = turn(np.array(0.5), np.array(-0.3), np.array(0.2))
    assert np.allclose(
        sh_basis(normals) @ rotate_light(light, R), sh_basis(normals @ R.T) @ light, atol=1e-5
    )


def test_head_motion_is_rigid_bounded_and_smooth():
    motion = head_motion(600, 60.0, np.random.default_rng(3), degrees=(20.0, 10.0, 5.0), shift=0.1)
    R = motion[:, :3, :3]
    assert np.allclose(R @ R.transpose(0, 2, 1), np.eye(3), atol=1e-9)
    assert np.allclose(np.linalg.det(R), 1)
    nose = R[:, :, 2]  # where the face's z axis points
    yaw = np.degrees(np.arctan2(nose[:, 0], nose[:, 2]))
    pitch = np.degrees(np.arcsin(-nose[:, 1]))
    assert np.abs(yaw).max() <= 20 and np.abs(pitch).max() <= 10 and np.ptp(yaw) > 10
    assert np.abs(motion[:, :3, 3]).max() <= 0.1
    assert np.abs(np.diff(yaw)).max() < 1.0  # degrees a frame


def test_positive_yaw_turns_the_nose_to_image_right():
    R = turn(np.array(0.4), np.array(0.0), np.array(0.0))
    assert (R @ [0, 0, 1.0])[0] > 0.3


def test_default_camera_frames_the_head():
    K, distance = default_camera(64)
    low, high = (K[1, 2] - K[1, 1] * y / distance for y in (-HEAD_HEIGHT / 2, HEAD_HEIGHT / 2))
    assert (low - high) / 64 == pytest.approx(0.85) and (low + high) / 2 == pytest.approx(32)


def test_moving_head_equals_moving_camera():
    """A carried point seen by the fixed camera projects like the still one in the moved camera."""
    motion = head_motion(5, 10.0, np.random.default_rng(0))
    poses = camera_of_motion(motion, 12.0)
    point = np.array([0.3, -0.5, 0.8, 1.0])
    fixed = np.linalg.inv(frontal_camera(12.0)) @ (motion @ point).T
    assert np.allclose((np.linalg.inv(poses) @ point).T, fixed)
