"""light.py - Sec. 4.1, C_ill: light as 9 spherical-harmonic coefficients per RGB channel.

The shading of a surface with the unit normal n is sum_k Y_k(n) L_k.

In:  unit normals (..., 3).
Out: the harmonics Y (..., 9); lights L (9, 3) drawn at random; a light seen from a turned head.
Read next: cameras.py, then rasteriser.py.
"""

import numpy as np
from jaxtyping import Float

SH_CONSTANTS = np.array([  # sqrt of 1/4pi, 3/4pi, 15/4pi, 5/16pi, 15/16pi
    0.28209479, 0.48860251, 0.48860251, 0.48860251, 1.09254843, 1.09254843, 0.31539157, 1.09254843,
    0.54627422])


def sh_basis(normals: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 9"]:
    """The 9 real spherical harmonics of degree <= 2 at unit normals (..., 3), orthonormal.

    Order: 1, y, z, x, xy, yz, 3z^2 - 1, xz, x^2 - y^2, that is (l, m) = (0,0) (1,-1) (1,0) (1,1)
    (2,-2) ... (2,2). A light of shading 1 in all directions is sh[0] = 1 / SH_CONSTANTS[0], the
    others 0.
    """
    x, y, z = np.moveaxis(normals, -1, 0)
    polynomials = (np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y)
    return np.stack(polynomials, axis=-1) * SH_CONSTANTS.astype(normals.dtype)


def unit(v: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.einsum("...i,...i->...", v, v))[..., None]  # far faster than linalg.norm
    return v / np.maximum(length, 1e-12)


def key_light(azimuth: float, height: float, share: float, warmth: float, peak: float
              ) -> Float[np.ndarray, "9 3"]:
    """Even light plus one soft key light, whose mean shading is `peak` where a surface faces it.

    azimuth, height: degrees to image right and up, from the front; share: the key's part of the
    light, 0 .. 1; warmth: -1 (blue) .. 1 (orange), of the key only. The key is a Lambertian cosine
    lobe cut to degree 2: max(n.l, 0) = 1/4 P0 + 1/2 P1 + 5/16 P2 of n.l, where
    P_l(n.l) = 4 pi / (2 l + 1) sum_m Y_lm(n) Y_lm(l).
    """
    a, h = np.radians([azimuth, height])
    direction = np.array([np.sin(a) * np.cos(h), np.sin(h), np.cos(a) * np.cos(h)])
    degree = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2])
    lobe = np.array([1 / 4, 1 / 2, 5 / 16])[degree] * 4 * np.pi / (2 * degree + 1)
    lobe = lobe * sh_basis(direction)
    tint = 1 + 0.2 * warmth * np.array([1.0, 0.1, -1.0])
    light = share * lobe[:, None] * tint
    light[0] += (1 - share) / SH_CONSTANTS[0]
    return (peak * light / (1 + share / 16)).astype(np.float32)  # the cut lobe is 17/16 at its peak


def _drawn_light(rng, azimuth, warmth):
    height, share = rng.uniform(0, 55), rng.uniform(0.66, 0.8)
    return key_light(azimuth, height, share, warmth, rng.uniform(1.1, 1.16))


def light_set(count: int, rng: np.random.Generator) -> Float[np.ndarray, "{count} 9 3"]:
    """`count` rooms that are told apart at a glance, in random order: azimuths from -65 to 65
    degrees, warmths from -1 to 1, and neighbours in azimuth far apart in warmth."""
    azimuths = np.linspace(-65, 65, count) + rng.uniform(-5, 5, count)
    evens_first = np.argsort(np.arange(count) % 2, kind="stable")
    warmth = np.linspace(1, -1, count)[np.argsort(evens_first)]  # of six: 0 3 1 4 2 5
    lights = np.stack([_drawn_light(rng, float(a), float(w)) for a, w in zip(azimuths, warmth)])
    return lights[rng.permutation(count)]


def rotate_light(sh: Float[np.ndarray, "9 3"], rotation: Float[np.ndarray, "3 3"]
                 ) -> Float[np.ndarray, "9 3"]:
    """The same light seen from turned axes: its shading at n is that of `sh` at rotation @ n.

    With rotation = head_to_world[:3, :3] a room's light becomes the light in the head frame. Least
    squares over some directions is exact, as a rotation mixes the harmonics of one degree only.
    """
    directions = unit(np.random.default_rng(0).normal(size=(32, 3)))
    solve = np.linalg.pinv(sh_basis(directions))  # (9, 32): from their shading to coefficients
    turned = solve @ (sh_basis(directions @ rotation.T.astype(np.float64)) @ sh)  # (9, 3)
    return turned.astype(np.float32)
