"""rendering.py - exercises on Eq. 1: weights and places of a ray's samples (Sec. 3.2).

The oracles: optical depths added up sample by sample, and numpy.interp.

In:  a student's function. Out: Probes; checks.py says what they are. Read next: whole_ray.py.
"""
import math

import numpy as np
import torch

from classroom.checks import Probe, exercise, gradient, rand, randn
from classroom.questions.field import BYTES, BYTES_64, CUT, central_differences, size_of_number

# -------------------------------------------------------------------------------- weights of a ray

IN_FRONT = {  # the sum in T_i of the optical depths of a ray, by the mistake
    "a sample shades itself": lambda depth, i: sum(depth[:i + 1]),
    "shifted, first from last": lambda depth, i: sum(depth[:i] if i else depth),
    "from the far end": lambda depth, i: sum(depth[i + 1:]),
    "T of the whole ray": lambda depth, i: sum(depth),
    "only the sample before": lambda depth, i: depth[i - 1] if i else 0.0,
    "without transmittance": lambda depth, i: 0.0}


def light_left(sigma, delta, flaw=None):
    """Weights of one ray, by scalars."""
    ones = [1.0] * len(sigma)
    of_alpha = ones if flaw in ("interval forgotten", "interval only in T") else delta
    of_T = ones if flaw in ("interval forgotten", "interval only in alpha") else delta
    depth = [s * d for s, d in zip(sigma, of_T)]
    in_front = IN_FRONT.get(flaw, lambda depth, i: sum(depth[:i]))
    out = []
    for i, (s, d) in enumerate(zip(sigma, of_alpha)):
        alpha = {"sigma delta for alpha": s * d, "what passes": math.exp(-s * d)
                 }.get(flaw, 1 - math.exp(-s * d))
        out.append(math.exp(-in_front(depth, i)) * alpha)
    if flaw == "rest of the light to the last sample":
        out[-1] += 1 - sum(out)
    return [w / sum(out) for w in out] if flaw == "divided by their sum" else out


def weights_of(sigma, delta, flaw=None):
    """(B, R, S) -> (B, R, S), ray by ray."""
    if flaw == "sum over the rays":
        depth = sigma * delta
        return np.exp(depth - np.cumsum(depth, 1)) * (1 - np.exp(-depth))
    if flaw == "first ray's T for all":
        depth = (sigma * delta)[:1, :1]
        return np.exp(depth - np.cumsum(depth, -1)) * (1 - np.exp(-sigma * delta))
    return np.array([[light_left(s, d, flaw) for s, d in zip(*image)]
                     for image in zip(sigma.tolist(), delta.tolist())])


OF_WEIGHTS = (*IN_FRONT, "sigma delta for alpha", "what passes", "interval forgotten",
              "interval only in T", "interval only in alpha",
              "rest of the light to the last sample", "divided by their sum", "sum over the rays",
              "first ray's T for all")


@exercise(
    "eq1_weights", "medium", "compositing weights, NeRF's quadrature",
    task="B images, R rays, S samples from near to far along the last axis. A ray's weights may "
         "add up to less than 1: the rest is for the background, and no sample's. sigma can be 0, "
         "or so large that nothing passes. The result can be differentiated by sigma and by delta, "
         "and has their type (float32 stays float32, float64 stays float64).",
    hint="How much light reaches sample 1, how much sample 2? Write down T_1, T_2, T_3; which "
         "intervals does T_i know of, and does it know its own?",
    mistakes={
        "a sample shades itself": "T_i is the light that reaches sample i: a sum over j < i only.",
        "shifted, first from last": "The first sample has T_1 = 1. Does your shift wrap around?",
        "from the far end": "T_i counts what lies between the camera and sample i; yours counts "
                            "what lies behind it.",
        "T of the whole ray": "T_i sums over j < i, not over the whole ray.",
        "only the sample before": "T_i sums over all j < i; yours knows the sample before only.",
        "without transmittance": "What lies in front takes light away: T_i is missing.",
        "sigma delta for alpha": "Absorbed is 1 - exp(-sigma delta); sigma delta can exceed 1.",
        "what passes": "exp(-sigma delta) passes an interval; 1 minus that is what it takes.",
        "interval forgotten": "A sample stands for a length delta, both in alpha and in T.",
        "interval only in T": "1 - exp(-sigma_i delta_i): the length counts here, too.",
        "interval only in alpha": "T_i sums sigma_j delta_j: the length counts there, too.",
        "rest of the light to the last sample": "The last sample takes no more than its own share; "
                                                "what is left is the background's.",
        "divided by their sum": "The weights add up to the ray's opacity; do not make it 1.",
        "sum over the rays": "The sum runs along the ray, the last axis.",
        "first ray's T for all": "Each ray of each image has a transmittance of its own.",
        "no light, no logarithm": "Where nothing passes, the logarithm of what passes is infinite: "
                                  "sum sigma delta itself.",
        "transmittance detached": "sigma_i also takes light from the samples behind it: T must "
                                  "carry a gradient.",
        "sigma without gradient": "The gradient must reach sigma: no detach, no NumPy.",
        "delta without gradient": "The gradient must reach delta, too.",
        "double precision": "float32 in, float32 out.",
        "single precision": "float64 in, float64 out."})
def eq1_weights(compositing_weights):
    ask = lambda sigma, delta: compositing_weights(torch.tensor(sigma), torch.tensor(delta))
    two = np.full((1, 1, 2), 2.0), np.full((1, 1, 2), 0.5)
    random = 4 * rand(2, 3, 5).numpy(), 0.05 + rand(2, 3, 5, seed=1).numpy()
    thin = 0.2 * rand(3, 2, 7, seed=2).numpy(), 0.1 + 0.2 * rand(3, 2, 7, seed=3).numpy()
    high = 10 + 30 * rand(1, 2, 6, seed=4).numpy(), 0.01 + 0.05 * rand(1, 2, 6, seed=5).numpy()
    one = 1 + 2 * rand(2, 4, 1, seed=6).numpy(), 0.2 + rand(2, 4, 1, seed=7).numpy()
    for situation, (sigma, delta) in (("two samples, sigma = 2, delta = 0.5 each", two),
                                      ("2 x 3 rays with five random samples", random),
                                      ("3 x 2 rays in thin air", thin),
                                      ("sigma from 10 to 40, delta below 0.06", high),
                                      ("one sample per ray", one)):
        flaws = [f for f in OF_WEIGHTS if sigma[0, 0].size > 1 or f in ("what passes",
                 "sigma delta for alpha", "interval forgotten", "interval only in T")]
        flaws += ["transmittance detached", "sigma without gradient", "delta without gradient",
                  "double precision", "single precision",
                  "no light, no logarithm"]  # values are right
        yield Probe(situation, lambda: ask(sigma, delta), weights_of(sigma, delta),
                    {flaw: weights_of(sigma, delta, flaw) for flaw in flaws})
    wall = np.array([[[0.0, 1e4, 3.0], [1.0, 0.0, 1e4]]])
    gone = 1 - math.exp(-1)
    yield Probe("sigma = 0, 10000, 3 and 1, 0, 10000, delta = 1",
                lambda: ask(wall, np.ones_like(wall)), [[[0, 1, 0], [gone, 0, 1 - gone]]],
                {"no light, no logarithm": [[[0, np.nan, 0], [gone, 0, np.nan]]]})
    factors = randn(2, 3, 5, seed=8)
    alpha, depth = 1 - np.exp(-random[0] * random[1]), random[0] * random[1]
    own = factors.numpy() * np.exp(depth - np.cumsum(depth, -1)) * (1 - alpha)

    def slope(which, name):
        given = [torch.tensor(part, requires_grad=part is random[which]) for part in random]
        return gradient(factors * compositing_weights(*given), **{name: given[which]})

    for which, name in enumerate(("sigma", "delta")):
        summed = lambda x: (factors.numpy() * weights_of(
            *(x if i == which else part for i, part in enumerate(random)))).sum()
        yield Probe(f"gradient of a weighted sum of the weights by {name}",
                    lambda: slope(which, name), central_differences(summed, random[which]),
                    {"transmittance detached": own * random[1 - which]},
                    errors={f"{name} without gradient": CUT})
    yield Probe(BYTES, lambda: size_of_number(compositing_weights(
        *(torch.tensor(part).float() for part in random))), 4, {"double precision": 8})
    yield Probe(BYTES_64, lambda: size_of_number(ask(*random)), 8, {"single precision": 4})
    yield Probe("2 x 3 rays with five random samples in float64, to 9 digits",
                lambda: ask(*random), weights_of(*random), tolerance=1e-9)


# --------------------------------------------------------------------------------- samples of a ray

SMALL = 1e-4  # what is added to every weight
PLACES = {  # numbers u of a ray's samples, by the mistake; n of them, jitter an array or None
    "starts of the strata": lambda n, jitter: (np.arange(n) + given(jitter, 0)) / n,
    "u from 0 to 1": lambda n, jitter: np.linspace(0, 1, n) + given(jitter, 0) / n,
    "u without its ends": lambda n, jitter: np.linspace(0, 1, n + 2)[1:-1],
    "divided by n - 1": lambda n, jitter: (np.arange(n) + given(jitter, 0.5)) / (n - 1),
    "jitter ignored": lambda n, jitter: (np.arange(n) + 0.5) / n,
    "jitter and 1/2": lambda n, jitter: (np.arange(n) + 0.5 + given(jitter, 0)) / n,
    "jitter for u": lambda n, jitter: given(jitter, (np.arange(n) + 0.5) / n),
    "jitter both ways": lambda n, jitter: (np.arange(n) + 0.5 + 2 * given(jitter, 0.5) - 1) / n,
    "jitter not divided by n": lambda n, jitter: np.arange(n) / n + given(jitter, 0.5 / n)}


IN_BINS = ("edges for positions", "ends of the bins", "middles for positions",
           "no -1 after searchsorted", "no -1, beyond the bin")


def given(jitter, otherwise):
    return otherwise if jitter is None else jitter


def strata(n, jitter):
    return (np.arange(n) + given(jitter, 0.5)) / n


def inverse_cdf(edges, weights, u, flaw=None):
    """Places of one ray's samples: its edges (S + 1), weights (S) and numbers u (n)."""
    widths = edges[1:] - edges[:-1]
    if flaw in ("weights as densities", "divided by the widths"):
        weights = weights * widths if flaw == "weights as densities" else weights / widths
    if flaw == "softmax of the weights":
        weights = np.exp(weights - weights.max()) - SMALL
    mass = weights + {"1e-5": 1e-5, "1e-4 on the sum only": 0.0}.get(flaw, SMALL)
    if flaw == "1e-4 after normalising":
        mass = weights / weights.sum() + SMALL
    mass = mass / {"weights not normalised": 1.0, "1e-4 on the sum only": mass.sum() + SMALL,
                   "1e-4 after normalising": 1.0,
                   "divided by the largest": mass.max()}.get(flaw, mass.sum())
    cdf = np.concatenate([[0], np.cumsum(mass)])
    if flaw == "no leading 0":
        return np.interp(u, cdf[1:], edges[:-1])
    if flaw == "bins of equal width":
        return np.interp(u, cdf, np.linspace(edges[0], edges[-1], len(edges)))
    if flaw not in IN_BINS:
        return np.interp(u, cdf, edges)
    b = (np.searchsorted(cdf, u, side="right") - 1).clip(0, len(mass) - 1)  # the bin of each u
    after = np.minimum(b + 1, len(mass) - 1)  # and the one behind it, kept inside
    drawn_on = edges[after] + (u - cdf[after]) / mass[after] * widths[after]
    return {"edges for positions": edges[b], "ends of the bins": edges[b + 1],
            "middles for positions": edges[b] + widths[b] / 2,
            "no -1 after searchsorted": np.maximum(drawn_on, edges[after]),
            "no -1, beyond the bin": drawn_on}[flaw]


def samples(edges, weights, n, jitter, flaw=None):
    """(B, R, S + 1), (B, R, S), n, (B, R, n) or None -> (B, R, n), ray by ray."""
    places = PLACES.get(flaw, strata)
    rays = list(np.ndindex(*weights.shape[:2]))
    edges_of = (lambda at: (0, 0)) if flaw == "first ray's edges for all" else (lambda at: at)
    weights_at = (lambda at: (0, 0)) if flaw == "first ray's weights for all" else (lambda at: at)
    jitter_of = (lambda at: (0, 0)) if flaw == "first ray's jitter for all" else (lambda at: at)
    if flaw == "sum over all rays":
        return np.array([np.interp(strata(n, None if jitter is None else jitter[at]), np.append(
            0, np.cumsum(weights[at] + SMALL) / (weights + SMALL).sum()), edges[at])
            for at in rays]).reshape(*weights.shape[:2], n)
    out = [inverse_cdf(edges[edges_of(at)], weights[weights_at(at)],
                       places(n, None if jitter is None else jitter[jitter_of(at)]), flaw)
           for at in rays]
    return np.array(out).reshape(*weights.shape[:2], n)


OF_SUM = ("divided by the largest", "softmax of the weights", "weights as densities",
          "divided by the widths", "1e-4 on the sum only", "1e-4 after normalising", "1e-5")
OF_BINS = (*IN_BINS, "no leading 0", "bins of equal width", "weights not normalised",
           *OF_SUM)
OF_ONE_RAY = ("first ray's edges for all", "first ray's weights for all",
              "first ray's jitter for all", "sum over all rays")


@exercise(
    "eq1_sampling", "hard", "hierarchical sampling",
    task="Along a ray: S bins between S + 1 edges, of any widths; each ray has its own edges, "
         "weights and jitter. Add 1e-4 to every weight first, so that a ray without any weight is "
         "sampled evenly over its bins. Then bin i holds the share w_i / sum w of the samples, "
         "spread evenly inside it. Of n samples, sample k = 0 ... n - 1 lies where the cumulative "
         "distribution is u_k = (k + jitter_k) / n; without jitter at (k + 1/2) / n. The result "
         "has the type of edges (float32 stays float32); no gradient flows to the weights.",
    hint="Draw the cumulative distribution over the distance: how many corners has it, and where "
         "does it begin? Each u_k is a height on the axis of that drawing. Find the two corners "
         "around it; between them it is a straight line.",
    mistakes={
        "starts of the strata": "Without jitter u is the middle of its stratum: (k + 1/2) / n.",
        "u from 0 to 1": "u is not linspace(0, 1, n): in the strata [k/n, (k+1)/n) u never is 1.",
        "u without its ends": "u_k is (k + 1/2) / n, in the middle of n strata, not (k + 1) / "
                              "(n + 1).",
        "divided by n - 1": "n strata fill 0 to 1: (k + jitter_k) / n, not / (n - 1).",
        "jitter ignored": "Where jitter is given, it takes the place of the 1/2.",
        "jitter and 1/2": "(k + jitter_k) / n: jitter takes the place of the 1/2, it is not added.",
        "jitter for u": "u_k = (k + jitter_k) / n: jitter is the place within a stratum, not u.",
        "jitter both ways": "(k + jitter_k) / n: jitter lies in [0, 1), so u stays in its stratum.",
        "jitter not divided by n": "(k + jitter_k) / n: jitter moves u within one stratum of n.",
        "edges for positions": "Inside a bin the samples are spread evenly; these lie on its edge.",
        "ends of the bins": "Inside a bin samples are spread evenly; these lie on its far edge.",
        "middles for positions": "Inside a bin samples are spread evenly, not all in its middle.",
        "no leading 0": "The cumulative distribution is 0 at the first edge: put a 0 in front, S + "
                        "1 values for S + 1 edges. These samples lie one bin too early.",
        "no -1 after searchsorted": "searchsorted counts the edges at or below u, the leading 0 "
                                    "among them: the bin is that number minus 1.",
        "no -1, beyond the bin": "searchsorted counts the edges at or below u: subtract 1, or u "
                                 "lies below the bin and the line is drawn on beyond its end.",
        "bins of equal width": "The bins have the widths that `edges` tells.",
        "weights not normalised": "A ray's weights add up to its opacity: divide by their sum.",
        "divided by the largest": "The cumulative distribution ends at 1: divide by the sum of the "
                                  "weights, not by the largest.",
        "softmax of the weights": "The share of a bin is w_i / sum w, without exponentials.",
        "weights as densities": "A weight is already the share of its bin, whatever the width.",
        "divided by the widths": "A weight is the share of its bin; its width does not divide it.",
        "1e-4 on the sum only": "1e-4 is added to every weight, not to their sum.",
        "1e-4 after normalising": "1e-4 is added to every weight first; only then are they divided "
                                  "by their sum, so that the distribution ends at 1.",
        "sum over all rays": "Each ray's weights are divided by their own sum, along the last "
                             "axis, not by that of all rays.",
        "1e-5": "1e-4 is added to every weight; yours looks like 1e-5.",
        "first ray's edges for all": "Each ray has edges of its own.",
        "first ray's weights for all": "Each ray has weights of its own.",
        "first ray's jitter for all": "Each ray has jitter of its own.",
        "empty ray": "0 / 0 on a ray without any weight: add 1e-4 to every weight first.",
        "gradient": "The places of the samples give the weights no gradient: detach them.",
        "double precision": "float32 in, float32 out: make u with the type of edges."})
def eq1_sampling(hierarchical_samples):
    single = lambda array: torch.tensor(array).float()

    def ask(edges, weights, n, jitter):
        drawn = [] if jitter is None else [single(jitter)]
        return hierarchical_samples(single(edges), single(weights), n, *drawn)

    def case(B, R, S, size, seed):
        widths = 0.2 + rand(B, R, S, seed=seed).numpy()
        start = 1 + rand(B, R, 1, seed=seed + 1).numpy()
        edges = np.concatenate([start, start + np.cumsum(widths, -1)], -1)
        weights = 0.1 + rand(B, R, S, seed=seed + 2).numpy()
        return edges, size * weights / weights.sum(-1, keepdims=True)

    fixed = np.array([[[0.0, 1.0, 1.5, 4.0, 5.0]]]), np.array([[[15.0, 50.0, 10.0, 25.0]]])
    told = "5 samples, edges 0, 1, 1.5, 4, 5, weights 15, 50, 10, 25, "
    jitter = np.array([[[0.1, 0.9, 0.3, 0.7, 0.2]]])
    for situation, (edges, weights), n, jitter in (
            (f"{told}no jitter", fixed, 5, None),
            (f"{told}jitter 0.1, 0.9, 0.3, 0.7, 0.2", fixed, 5, jitter),
            ("2 x 3 rays, 4 bins, 7 samples, no jitter", case(2, 3, 4, 0.4, 0), 7, None),
            ("3 x 2 rays, 6 bins, 5 samples, jitter", case(3, 2, 6, 0.8, 10), 5,
             rand(3, 2, 5, seed=20).numpy()),
            ("weights that add up to 0.004, no jitter", case(1, 2, 5, 0.004, 30), 6, None),
            ("weights that add up to 0.002, jitter", case(2, 2, 3, 0.002, 40), 4,
             rand(2, 2, 4, seed=50).numpy()),
            ("1 sample, no jitter", case(2, 1, 3, 0.5, 60), 1, None)):
        flaws = [*PLACES, *OF_BINS] if n in (5, 7) else [*PLACES, *OF_SUM] if n > 1 else []
        flaws += ["gradient", "double precision"]  # values are right
        flaws += OF_ONE_RAY if jitter is not None and n == 5 and len(weights) > 1 else []
        yield Probe(situation, lambda: ask(edges, weights, n, jitter),
                    samples(edges, weights, n, jitter),
                    {flaw: samples(edges, weights, n, jitter, flaw) for flaw in flaws},
                    tolerance=2e-4)
    flat = np.linspace(1, 5, 5)[None, None]
    yield Probe("4 samples, edges 1, 2, 3, 4, 5, all weights 0, no jitter",
                lambda: ask(flat, np.zeros((1, 1, 4)), 4, None), [[[1.5, 2.5, 3.5, 4.5]]],
                {"empty ray": np.full((1, 1, 4), np.nan)}, tolerance=2e-4)
    edges, weights = case(2, 1, 4, 1.0, 70)
    factors = randn(2, 1, 5, seed=80)

    def slope():
        leaf = single(weights).requires_grad_()
        found = factors * hierarchical_samples(single(edges), leaf, 5)
        if not found.requires_grad:
            return torch.zeros_like(leaf)
        found, = torch.autograd.grad(found.sum(), leaf, allow_unused=True)
        return torch.zeros_like(leaf) if found is None else found

    summed = lambda w: (factors.numpy() * samples(edges, w, 5, None)).sum()
    yield Probe("gradient of a weighted sum of the result by the weights", slope,
                np.zeros_like(weights), {"gradient": central_differences(summed, weights)},
                tolerance=2e-3)
    yield Probe(BYTES, lambda: size_of_number(ask(edges, weights, 5, None)), 4,
                {"double precision": 8})
