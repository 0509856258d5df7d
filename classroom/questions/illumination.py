"""illumination.py - exercises on light as spherical harmonics, C_ill (Sec. 4.1).

Oracles: the polynomials of Ramamoorthi and Hanrahan, and a light as a constant, a vector and a
symmetric matrix. checks.py says what a Probe and an exercise are. Read next: sound.py.
"""
import math

import numpy as np

from classroom.checks import Probe, exercise, numpy_rng
from classroom.questions.inputs import rodrigues

FACTORS = np.array([math.sqrt(v / math.pi)
                    for v in (1/4, 3/4, 3/4, 3/4, 15/4, 15/4, 5/16, 15/4, 15/16)])


def harmonics(x, y, z):
    return [1, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]


def polynomials(n):
    """(..., 9) of directions (..., 3)."""
    flat = [harmonics(*row) for row in n.reshape(-1, 3)]
    return np.array(flat).reshape(*n.shape[:-1], 9)


def some_directions(*shape, seed):
    n = numpy_rng(seed).normal(size=(*shape, 3))
    return n / np.linalg.norm(n, axis=-1, keepdims=True)


def light_mistakes(n):
    """Harmonics (..., 9) of directions n (..., 3) as the known mistakes make them."""
    P, one = polynomials(n), np.eye(9)
    z = n[..., 2:]
    known = {
        "order x, y, z": P[..., [0, 3, 1, 2, 4, 5, 6, 7, 8]] * FACTORS,
        "xz before 3z^2 - 1": P[..., [0, 1, 2, 3, 4, 5, 7, 6, 8]] * FACTORS,
        "3z^2 - 1 last": P[..., [0, 1, 2, 3, 4, 5, 7, 8, 6]] * FACTORS,
        "without the constants": P,
        "divided by the constants": P / FACTORS,
        "one constant for each degree": P * FACTORS[[0, 1, 1, 1, 4, 4, 4, 4, 4]],
        "3z^2 without -1": (P + one[6]) * FACTORS,
        "z^2 - 1": (P - 2 * z * z * one[6]) * FACTORS,
        "half of 3z^2 - 1": P * (1 - one[6] / 2) * FACTORS,
        "twice the products": P * (1 + one[4] + one[5] + one[7]) * FACTORS,
        "y^2 - x^2": P * (1 - 2 * one[8]) * FACTORS,
        "signs of physics": P * np.array([1, -1, 1, -1, 1, -1, 1, -1, 1]) * FACTORS,
        "y and z swapped": polynomials(n[..., [0, 2, 1]]) * FACTORS,
        "negative values cut off": np.maximum(P * FACTORS, 0),
        "without the constant light": P[..., 1:] * FACTORS[1:],
        "degree 2 left out": P[..., :4] * FACTORS[:4],
        "harmonics along the first axis": np.moveaxis(P * FACTORS, -1, 0)}
    if n.shape == (3, 3):
        known["coordinates from the first axis"] = polynomials(n.T) * FACTORS
    return known


@exercise(
    "light", "easy", "spherical-harmonic light",
    task="A light is 9 numbers a colour, the code C_ill of the ground truth: the shading at a "
         "normal n is the sum of the 9 harmonics at n, each times its number. SH_CONSTANTS has the "
         "9 factors in the order of the docstring. The result keeps the type of the normals: "
         "float32 stays float32, float64 stays float64.",
    hint="The three coordinates lie along the last axis of the normals, the nine harmonics along "
         "the last axis of the result; any axes may stand before.",
    mistakes={
        "order x, y, z": "The order of degree 1 is y, z, x (m = -1, 0, 1).",
        "xz before 3z^2 - 1": "The order of degree 2 is xy, yz, 3z^2 - 1, xz, x^2 - y^2: here xz "
                              "stands before 3z^2 - 1.",
        "3z^2 - 1 last": "The order of degree 2 is xy, yz, 3z^2 - 1, xz, x^2 - y^2: 3z^2 - 1 "
                         "stands in its middle (m = 0).",
        "without the constants": "Each polynomial has its factor, so that the harmonics are "
                                 "orthonormal.",
        "divided by the constants": "The polynomials are multiplied by their factors, not divided.",
        "one constant for each degree": "Within degree 2 the factors differ: the seventh and the "
                                        "ninth have their own.",
        "3z^2 without -1": "The seventh is 3z^2 - 1; otherwise it also holds a part of the "
                           "constant light.",
        "z^2 - 1": "The seventh is 3z^2 - 1: its mean over all directions has to be 0.",
        "half of 3z^2 - 1": "The seventh is 3z^2 - 1 times its factor, which has the 1/2 of "
                            "Legendre's polynomial in it.",
        "twice the products": "The products are xy, yz and xz, once: their factor has the 2 in it.",
        "y^2 - x^2": "The last one is x^2 - y^2.",
        "signs of physics": "These harmonics have no factor (-1)^m (Condon and Shortley's sign): "
                            "the second is +y, the fourth +x.",
        "y and z swapped": "y and z are swapped: y is the second coordinate, also where it points "
                           "up.",
        "negative values cut off": "Harmonics are negative in half of all directions; max(0, .) "
                                   "belongs to the shading, which is their sum.",
        "without the constant light": "The first harmonic is missing, the one that is alike in "
                                      "all directions.",
        "degree 2 left out": "Degrees 0 and 1 give four harmonics; five of degree 2 follow.",
        "harmonics along the first axis": "The 9 harmonics lie along the last axis: (..., 9).",
        "coordinates from the first axis": "x, y and z lie along the last axis of the normals: "
                                           "normals[..., 0] and so on.",
        "1 without a shape": "The first harmonic is 1 for each normal: an array of ones, of the "
                             "shape that x has.",
        "not float32": "Normals of float32 give harmonics of float32; SH_CONSTANTS is float64.",
        "always float32": "Normals of float64 give harmonics of float64."})
def light(sh_basis):
    up = np.array([0.0, 1.0, 0.0])
    a, b, c, d = FACTORS[[0, 1, 6, 8]]
    unpacked = {"coordinates from the first axis": "unpack", "1 without a shape": "same shape"}
    yield Probe("the direction straight up", lambda: sh_basis(up), [a, b, 0, 0, 0, 0, -c, 0, -d],
                light_mistakes(up))
    for shape, seed in (((3,), 0), ((2, 4), 1), ((5,), 2), ((), 3), ((2, 3, 2), 4)):
        n = some_directions(*shape, seed=seed)
        text = " x ".join(map(str, shape)) or "one"
        yield Probe(f"{text} random direction{'s' if shape else ''}", lambda: sh_basis(n),
                    polynomials(n) * FACTORS, light_mistakes(n), unpacked)
    small = some_directions(4, seed=5).astype(np.float32)
    yield Probe("bytes that one number of the result takes, of float32 normals",
                lambda: np.asarray(sh_basis(small)).itemsize, 4.0, {"not float32": 8.0},
                meaning="float32")
    yield Probe("bytes that one number of the result takes, of float64 normals",
                lambda: np.asarray(sh_basis(up)).itemsize, 8.0, {"always float32": 4.0},
                meaning="float64")


# --------------------------------------------------------------------------------- turned, Sec. 4.1

def turned_light(sh, R, vector=True, quadric=True):
    """Degree 1 is a vector v, degree 2 a symmetric matrix M: light(n) = c + n.v + n.Mn.

    Turned: R^T v and R^T M R.
    """
    f, out = FACTORS, np.array(sh, dtype=float)
    for channel in range(3):
        c = sh[:, channel] * f
        v = R.T @ c[[3, 1, 2]]
        M = np.array([[c[8] - c[6], c[4] / 2, c[7] / 2], [c[4] / 2, -c[8] - c[6], c[5] / 2],
                      [c[7] / 2, c[5] / 2, 2 * c[6]]])
        M = R.T @ M @ R
        if vector:
            out[[3, 1, 2], channel] = v / f[1]
        if quadric:
            out[4:, channel] = np.array([2 * M[0, 1], 2 * M[1, 2], M[2, 2] / 2, 2 * M[0, 2],
                                         (M[0, 0] - M[1, 1]) / 2]) / f[4:]
    return out


def turn_mistakes(sh, R):
    """Lights (9, 3) that the known mistakes make of sh (9, 3) and the rotation R."""
    want = turned_light(sh, R)
    known = {
        "rotation transposed": turned_light(sh, R.T),
        "not turned": sh,
        "turned twice": turned_light(sh, R @ R),
        "degree 1 left as it was": turned_light(sh, R, vector=False),
        "degree 2 left as it was": turned_light(sh, R, quadric=False),
        "degree 1 taken as x, y, z": np.r_[sh[:1], R.T @ sh[1:4], want[4:]],
        "only degree 1, as x, y, z": np.r_[sh[:1], R.T @ sh[1:4], sh[4:]],
        "constant light lost": np.r_[0 * sh[:1], want[1:]],
        "degree 2 lost": np.r_[want[:4], 0 * sh[4:]],
        "one colour for all": want[:, :1].repeat(3, 1),
        "mean colour for all": want.mean(1, keepdims=True).repeat(3, 1),
        "constants twice": want * FACTORS[:, None],
        "constants divided out": want / FACTORS[:, None],
        "negative numbers cut off": np.maximum(want, 0),
        "transposed result": want.T}
    return known


@exercise(
    "light_turned", "hard", "the light of a room seen from a turning head",
    task="Given: `sh_basis`, the 9 harmonics at directions (..., 3) of length 1, and `unit`, which "
         "gives vectors this length. A rotation mixes the "
         "harmonics of one degree only, so the new light is a light of 9 numbers again, exactly. "
         "The result is good to 1e-4.",
    hint="What does the turned light do in many directions n? You can say it by the old light. "
         "Which 9 numbers do the same? Nine unknowns, and as many equations as you have "
         "directions.",
    mistakes={
        "rotation transposed": "The result at n is the old light at R n; this is the old light at "
                               "R^T n.",
        "not turned": "The light comes out as it went in.",
        "turned twice": "The rotation acts twice: this is the old light at R R n.",
        "degree 1 left as it was": "Numbers 2 to 4 (degree 1) turn as well as the last five.",
        "degree 2 left as it was": "The last five numbers turn as well.",
        "degree 1 taken as x, y, z": "Numbers 1 to 3 belong to y, z, x: a rotation cannot be "
                                     "applied to them as they stand.",
        "only degree 1, as x, y, z": "Numbers 1 to 3 belong to y, z, x, not to x, y, z; and the "
                                     "last five numbers turn as well.",
        "constant light lost": "The constant part, sh[0], stays as it is when the head turns; here "
                               "it is lost.",
        "degree 2 lost": "The last five numbers are 0: a light has nine harmonics, also a turned "
                         "one.",
        "one colour for all": "Each colour has a light of its own; all got the first one's.",
        "mean colour for all": "Each colour has a light of its own; all got their mean.",
        "constants twice": "sh_basis has the constants in it already; they act twice here.",
        "constants divided out": "The result is in numbers of the harmonics, with their constants; "
                                 "these are the coefficients of bare polynomials times too much.",
        "negative numbers cut off": "The numbers of a light may be negative; max(0, .) belongs to "
                                    "the shading.",
        "transposed result": "The result is (9, 3): a row per harmonic, a column per colour."})
def light_turned(rotate_light):
    rng = numpy_rng(5)
    right = np.zeros((9, 3), np.float32)
    right[3] = 1.0  # from +x
    quarter = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # about y, z to x
    from_z = right[[0, 1, 3, 2, *range(4, 9)]]
    yield Probe("a light from +x, the head turned by a quarter so that its z axis lies there",
                lambda: rotate_light(right, quarter), from_z,
                turn_mistakes(right.astype(float), quarter), tolerance=1e-4)
    for number in range(2):
        sh = rng.normal(size=(9, 3)).astype(np.float32)
        w = rng.uniform(0.3, 0.9, (1, 3)) * rng.choice([-1, 1], (1, 3))
        R = rodrigues(w)[0]
        yield Probe("a random light and turn" if number == 0 else "another, in float32",
                    lambda: rotate_light(sh, R.astype(np.float32) if number else R),
                    turned_light(sh.astype(float), R), turn_mistakes(sh.astype(float), R),
                    tolerance=1e-4)
