"""field.py - exercises on Eq. 1: what the field sees, its rays, and volume rendering (Sec. 3.2).

The oracles are scalar loops, numpy.interp, and light that is counted sample by sample.

In:  a student's function. Out: Probes; checks.py says what they are. Read next: losses.py.
"""
import math

import numpy as np
import torch

from classroom.checks import Probe, exercise, rand, randn

# ------------------------------------------------------------------------------- the field's inputs

def waves(x, frequencies, functions=(math.sin, math.cos)):
    """Points (N, 3) -> f(w x_1), f(w x_2), f(w x_3) per frequency w, then the next function."""
    return np.array([[f(w * v) for f in functions for w in frequencies for v in point]
                     for point in x.tolist()])


@exercise(
    "eq1_encoding", "easy", "positional encoding",
    task="Order of the result: x itself; then all sines, the three of k = 0 first; then all "
         "cosines in the same order.",
    hint="Put a new axis for k in front of the coordinates and flatten the two.",
    mistakes={
        "without pi": "The lowest frequency is pi: one wave over [-1, 1].",
        "frequencies k, not 2^k": "The frequencies double: 2^k pi with k = 0, 1, 2, ...",
        "begins at k = 1": "k begins at 0; the lowest frequency is missing.",
        "without x": "x itself comes first: 3 + 6 n_freq entries.",
        "coordinates first": "In this order all frequencies of the first coordinate come before "
                             "the second coordinate: see the task.",
        "sines twice": "The second half are cosines."})
def eq1_encoding(positional_encoding):
    known = {"without pi": [1, 2, 4], "frequencies k, not 2^k": [0, math.pi, 2 * math.pi],
             "begins at k = 1": [2 * math.pi, 4 * math.pi, 8 * math.pi]}
    for situation, x in (("x = (0.25, 0.25, 0.25)", np.full((1, 3), 0.25)),
                         ("two points", np.array([[0.3, -0.7, 0.9], [0.1, 0.25, -0.6]]))):
        frequencies = [math.pi, 2 * math.pi, 4 * math.pi]
        want = np.c_[x, waves(x, frequencies)]
        mistaken = {name: np.c_[x, waves(x, w)] for name, w in known.items()}
        mistaken["without x"] = waves(x, frequencies)
        mistaken["sines twice"] = np.c_[x, waves(x, frequencies, (math.sin, math.sin))]
        exchanged = want[:, 3:].reshape(-1, 2, 3, 3).swapaxes(2, 3)
        mistaken["coordinates first"] = np.c_[x, exchanged.reshape(len(x), -1)]
        yield Probe(f"{situation}, n_freq = 3", lambda: positional_encoding(torch.tensor(x), 3),
                    want, mistaken)
    yield Probe("a batch of 2 x 5 points: shape of the result",
                lambda: list(positional_encoding(rand(2, 5, 3), 4).shape), [2, 5, 27])


def concatenated(x, codes, W_x, W_c, scales, order=(0, 1)):
    """The layer as one would first write it down, in NumPy: a copy of the codes per sample."""
    c = np.concatenate([scales[i] * codes[i] for i in order], -1)[:, None, None]
    copies = np.broadcast_to(c, (*x.shape[:3], c.shape[-1]))
    return np.concatenate([x, copies], -1) @ np.concatenate([W_x, W_c], 1).T


@exercise(
    "eq1_conditioning", "medium", "codes that condition the field, as a bias",
    task="A layer on [x, c], position and codes laid end to end, would need a copy of the codes at "
         "each of B x R x S samples. Its weight is [W_x, W_c]; `layer` is W_c alone. Return W_c c "
         "with the shape (B, 1, 1, W), so that adding it to W_x x of shape (B, R, S, W) gives the "
         "same numbers as the concatenation.",
    hint="Scale each code by the root of its own length, lay them end to end, apply the layer.",
    mistakes={
        "codes not scaled": "Entries of unit codes are small, 1 / sqrt(d): times sqrt(d) first.",
        "scaled by d": "Times sqrt(d), the length of a code with entries of variance 1, not d.",
        "one scale for all": "Each code is scaled by the root of its own length, not of all.",
        "codes in another order": "The columns of W_c belong to the codes in the order given.",
        "batch taken for rays": "The bias belongs to the frame, axis 0; on axis 1 frame b's codes "
                                "would go to ray b of every frame, and nothing fails where B = R."})
def eq1_conditioning(code_bias):
    x, codes = randn(2, 2, 3, 5).numpy(), [randn(2, 4, seed=1).numpy(), randn(2, 3, seed=2).numpy()]
    codes = [c / np.linalg.norm(c, axis=1, keepdims=True) for c in codes]
    layer = torch.nn.Linear(7, 6, bias=False).double()
    W_x, W_c = randn(6, 5, seed=3).numpy(), layer.weight.detach().numpy()
    scales = [2.0, math.sqrt(3)]
    c = np.concatenate([s * code for s, code in zip(scales, codes)], -1) @ W_c.T

    def bias():
        return code_bias(layer, [torch.tensor(code) for code in codes])

    yield Probe("2 frames, 2 rays, 3 samples: W_x x plus your bias, against W on the concatenation",
                lambda: torch.tensor(x @ W_x.T) + bias(),
                concatenated(x, codes, W_x, W_c, scales),
                {"codes not scaled": concatenated(x, codes, W_x, W_c, [1, 1]),
                 "scaled by d": concatenated(x, codes, W_x, W_c, [4, 3]),
                 "one scale for all": concatenated(x, codes, W_x, W_c, [math.sqrt(7)] * 2),
                 "codes in another order": concatenated(x, codes, W_x, W_c, scales, (1, 0)),
                 "batch taken for rays": x @ W_x.T + c[None, :, None]})
    yield Probe("shape of the bias", lambda: list(bias().shape), [2, 1, 1, 6])


def ray(column, row, K, P):
    """Direction through image point (column, row), not normalised: R K^-1 (u, v, 1), by scalars."""
    camera = ((column - K[0][2]) / K[0][0], (row - K[1][2]) / K[1][1], 1.0)
    return [sum(P[i][j] * camera[j] for j in range(3)) for i in range(3)]


def rays(K, P, points, transposed=False, swapped=False, unit=True):
    """Unit directions through a grid of image points, row by row."""
    R = np.array(P)[:3, :3]
    P = R.T if transposed else R
    pairs = [(u, v) for v in points for u in points]
    directions = np.array([ray(*(pair[::-1] if swapped else pair), K, P) for pair in pairs])
    return directions / (np.linalg.norm(directions, axis=1, keepdims=True) if unit else 1.0)


@exercise(
    "eq1_rays", "medium", "rays of the camera P_cam",
    task="R of the two results' shapes is the number of rays; row by row, as one reads. The camera "
         "sits at the fourth column of cam_to_head; its upper left 3 x 3 block turns camera axes "
         "into head axes.",
    hint="Image points (u, v, 1) times the inverse of K are directions in camera axes. A row "
         "vector is turned by the transpose of the matrix.",
    mistakes={
        "pixel corners": "This ray goes through the corner of its pixel; the centre is at + 1/2.",
        "half an image pixel": "Feature pixel j covers `stride` image pixels: its centre is (j + "
                               "1/2) * stride, not j * stride + 1/2.",
        "rotation transposed": "R should be its transpose: a row vector d is turned by d @ R.T.",
        "rows and columns swapped": "Rays run row by row: u changes fastest.",
        "directions not of unit length": "Normalise the directions: distances are decimetres."})
def eq1_rays(pixel_rays):
    rotation = np.array([[0.8, -0.36, 0.48], [0.6, 0.48, -0.64], [0.0, 0.8, 0.6]])
    K = [[40.0, 0, 15], [0, 44, 17], [0, 0, 1]]
    P = np.eye(4)
    P[:3, :3], P[:3, 3] = rotation, [0.3, -0.2, 6.0]
    for size, stride in ((4, 1), (12, 4)):
        j = np.arange(size // stride)
        points = ((j + 0.5) * stride).tolist()
        known = {"pixel corners": rays(K, P, (j * stride).tolist()),
                 "rotation transposed": rays(K, P, points, transposed=True),
                 "rows and columns swapped": rays(K, P, points, swapped=True),
                 "directions not of unit length": rays(K, P, points, unit=False)}
        if stride > 1:
            known["half an image pixel"] = rays(K, P, (j * stride + 0.5).tolist())
        cameras = torch.tensor([K], dtype=torch.float64), torch.tensor(P)[None]
        ask = lambda: pixel_rays(*(c.clone() for c in cameras), size, stride)
        yield Probe(f"directions of the rays, size {size}, stride {stride}", lambda: ask()[1],
                    rays(K, P, points)[None], {name: value[None] for name, value in known.items()})
        yield Probe("origins of the rays", lambda: ask()[0],
                    np.tile(P[:3, 3], (1, len(points) ** 2, 1)))


# --------------------------------------------------------------------------------- volume rendering

def light_left(sigma, delta, inclusive=False, alpha=lambda s, d: 1 - math.exp(-s * d)):
    """Weights of one ray: what each sample takes of the light that is left."""
    out, light = [], 1.0
    for s, d in zip(sigma, delta):
        behind = light * math.exp(-s * d)
        out.append((behind if inclusive else light) * alpha(s, d))
        light = behind
    return out


@exercise(
    "eq1_weights", "medium", "compositing weights, NeRF's quadrature",
    task="B images, R rays, S samples from near to far along the last axis.",
    hint="The sum over j < i leaves sample i out: a cumulative sum minus the sample's own part.",
    mistakes={
        "a sample shades itself": "T_i is the light that reaches sample i: a sum over j < i only.",
        "shifted, first from last": "The first sample has T_1 = 1. Does your shift wrap around?",
        "without transmittance": "What lies in front takes light away: T_i is missing.",
        "sigma delta for alpha": "Absorbed is 1 - exp(-sigma delta); sigma delta can exceed 1.",
        "interval forgotten": "A sample stands for a length delta, both in alpha and in T.",
        "sum over the rays": "The sum runs along the ray, the last axis."})
def eq1_weights(compositing_weights):
    sigma, delta = (4 * rand(1, 2, 5)), rand(1, 2, 5, seed=1)
    pairs = list(zip(sigma[0].tolist(), delta[0].tolist()))
    depth = (sigma * delta).numpy()
    alpha, before = 1 - np.exp(-depth), np.cumsum(depth, -1) - depth
    across = np.cumsum(depth, 1) - depth
    one = lambda value: torch.full((1, 1, 2), value, dtype=torch.float64)
    half = 1 - math.exp(-1)
    yield Probe("two samples, sigma = 2, delta = 0.5 each",
                lambda: compositing_weights(one(2.0), one(0.5)), [[[half, half * math.exp(-1)]]],
                {"a sample shades itself": [[[half * math.exp(-1), half * math.exp(-2)]]],
                 "shifted, first from last": [[[half * math.exp(-2), half * math.exp(-1)]]],
                 "without transmittance": [[[half, half]]],
                 "sigma delta for alpha": [[[1.0, math.exp(-1)]]],
                 "interval forgotten": [[[1 - math.exp(-2), (1 - math.exp(-2)) * math.exp(-2)]]],
                 "sum over the rays": [[[half, half]]]})
    yield Probe("two rays with five random samples",
                lambda: compositing_weights(sigma.clone(), delta.clone()),
                [[light_left(s, d) for s, d in pairs]],
                {"a sample shades itself": [[light_left(s, d, inclusive=True) for s, d in pairs]],
                 "shifted, first from last": alpha * np.exp(-np.roll(np.cumsum(depth, -1), 1, -1)),
                 "without transmittance": alpha, "sigma delta for alpha": depth * np.exp(-before),
                 "interval forgotten": [[light_left(s, [1.0] * 5) for s, _ in pairs]],
                 "sum over the rays": alpha * np.exp(-across)})


def inverse_cdf(edges, mass, u):
    return np.interp(u, np.concatenate([[0], np.cumsum(mass)]), edges)


def sampling_mistakes(edges, mass, u):
    """Places of the samples, for the known mistakes that are made after u."""
    cdf, widths = np.concatenate([[0], np.cumsum(mass)]), np.diff(edges)
    b = np.searchsorted(cdf, u, side="right") - 1  # the bin of each u
    after = np.minimum(b + 1, len(mass) - 1)  # and the one behind it, kept inside
    drawn_on = edges[after] + (u - cdf[after]) / mass[after] * widths[after]
    return {"edges for positions": edges[b], "middles for positions": edges[b] + widths[b] / 2,
            "weights not normalised": inverse_cdf(edges, 100 * mass, u),
            "weights as densities": inverse_cdf(edges, mass * widths / (mass * widths).sum(), u),
            "no leading 0": np.interp(u, cdf[1:], edges[:-1]),
            "no -1 after searchsorted": np.maximum(drawn_on, edges[after]),
            "no -1, beyond the bin": drawn_on}


@exercise(
    "eq1_sampling", "hard", "hierarchical sampling",
    task="Along a ray: S bins between S + 1 edges; bin i holds the share w_i / sum w of the "
         "samples, spread evenly inside it. Of n samples, sample k = 0 ... n - 1 lies where the "
         "cumulative distribution is u_k = (k + jitter_k) / n; without jitter at (k + 1/2) / n. A "
         "ray without any weight is sampled evenly over its bins, so add a small number (1e-4) to "
         "the weights first.",
    hint="cumsum, a leading 0, torch.searchsorted for the bin, then linear between its two edges.",
    mistakes={
        "starts of the strata": "Without jitter u is the middle of its stratum: (k + 1/2) / n.",
        "u from 0 to 1": "u is not linspace(0, 1, n): in the strata [k/n, (k+1)/n) u never is 1.",
        "jitter ignored": "Where jitter is given, it takes the place of the 1/2.",
        "jitter and 1/2": "(k + jitter_k) / n: jitter takes the place of the 1/2, it is not added.",
        "edges for positions": "Inside a bin the samples are spread evenly; these lie on its edge.",
        "middles for positions": "Inside a bin samples are spread evenly, not all in its middle.",
        "no leading 0": "The cumulative distribution is 0 at the first edge: put a 0 in front, S + "
                        "1 values for S + 1 edges. These samples lie one bin too early.",
        "no -1 after searchsorted": "searchsorted counts the edges at or below u, the leading 0 "
                                    "among them: the bin is that number minus 1.",
        "no -1, beyond the bin": "searchsorted counts the edges at or below u: subtract 1, or u "
                                 "lies below the bin and the line is drawn on beyond its end.",
        "weights not normalised": "A ray's weights add up to its opacity: divide by their sum.",
        "weights as densities": "A weight is already the share of its bin, whatever the width.",
        "empty ray": "0 / 0 on a ray without any weight: add a small number to the weights first.",
        "gradient": "No gradient flows through the places of the samples: detach the weights."})
def eq1_sampling(hierarchical_samples):
    edges = np.array([0.0, 1.0, 1.5, 4.0, 5.0])
    mass, n = np.array([0.15, 0.5, 0.1, 0.25]), 5
    weights = lambda: torch.tensor(100 * mass)[None, None]  # large: the small number is not seen
    tensor = lambda: torch.tensor(edges)[None, None]
    jitter = np.array([0.1, 0.9, 0.3, 0.7, 0.2])
    for situation, offset in (("no jitter", 0.5), ("jitter 0.1, 0.9, 0.3, 0.7, 0.2", jitter)):
        given = None if situation == "no jitter" else torch.tensor(jitter)[None, None]
        at = lambda offset: inverse_cdf(edges, mass, (np.arange(n) + offset) / n)
        known = sampling_mistakes(edges, mass, (np.arange(n) + offset) / n)
        if given is None:
            known |= {"starts of the strata": at(0),
                      "u from 0 to 1": inverse_cdf(edges, mass, np.linspace(0, 1, n))}
        else:
            known |= {"jitter ignored": at(0.5), "jitter and 1/2": at(0.5 + jitter)}
        yield Probe(f"5 samples, edges 0, 1, 1.5, 4, 5, weights 15, 50, 10, 25, {situation}",
                    lambda: hierarchical_samples(tensor(), weights(), n, given),
                    at(offset)[None, None],
                    {mistake: answer[None, None] for mistake, answer in known.items()},
                    tolerance=1e-3)
    flat = torch.linspace(1, 5, 5, dtype=torch.float64)[None, None]
    yield Probe("4 samples, edges 1, 2, 3, 4, 5, all weights 0, no jitter",
                lambda: hierarchical_samples(flat.clone(),
                                             torch.zeros(1, 1, 4, dtype=torch.float64), 4),
                [[[1.5, 2.5, 3.5, 4.5]]], {"empty ray": np.full((1, 1, 4), np.nan)})
    yield Probe("does the result carry a gradient (1) or not (0)",
                lambda: float(hierarchical_samples(tensor(), weights().requires_grad_(),
                                                   n).requires_grad), 0.0,
                {"gradient": 1.0})
