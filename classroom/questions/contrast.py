"""contrast.py - exercises on Eq. 8 and 9: cosines and InfoNCE (Sec. 3.4).

All answers, right or mistaken, are transcriptions in NumPy, or worked out by hand. Each known
mistake is a function of the same inputs, so that every question can tell it from the others.

In:  a student's function. Out: Probes; checks.py says what they are. Read next: inputs.py.
"""
import math

import numpy as np
import torch

from classroom.checks import Probe, as_array, equal, exercise, rand, randn
from classroom.questions.gradients import (DETACH_NOTHING, DTYPE, HINTS, answers, gradient_probes,
                                           slope_of, whatever)

# -------------------------------------------------------------------------------------------- Eq. 9

def lengths(v):
    """(..., 1): the lengths along the last axis."""
    return np.sqrt((v**2).sum(-1, keepdims=True))


def cosines(a, b):
    """Eq. 9 in NumPy, from unit vectors; a zero vector stays one."""
    unit = lambda v: v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-300)
    return (unit(a) * unit(b)).sum(-1)


def fixed_lengths(a, b, at_a, at_b):
    """a.b divided by the lengths of at_a and at_b, as if these did not depend on a and b."""
    return (a * b).sum(-1) / (lengths(at_a) * lengths(at_b))[..., 0]


@exercise(
    "eq9", "easy", "the cosine similarity",
    task="One number for each pair of vectors; vectors lie along the last axis, of which there may "
         "be no other. A zero vector has the similarity 0 to everything, and there the gradient is "
         "0 by both vectors. A short vector is as good as a long one: in float64, which the "
         "questions have, down to a length of 1e-20. "
         f"{DETACH_NOTHING}",
    hint="Without a guard a zero vector gives 0 / 0. A small number in the denominator, added or "
         "as a lower bound, is no guard: it changes short vectors, and a zero vector's gradient "
         "becomes huge. What could a zero vector be divided by, so that both become 0?",
    mistakes={
        "no norms": "This is the dot product: divide by both lengths.",
        "one norm": "Divide by the length of both vectors, not of a alone.",
        "norm of b alone": "Divide by the length of both vectors, not of b alone.",
        "squared norms": "Divide by the lengths, not by their squares.",
        "lengths added": "The denominator is the product of both lengths, not their sum.",
        "sums of absolute values": "The length is the root of the sum of squares.",
        "one sum over all vectors": "Each pair has its own number: sum over the last axis alone.",
        "one length for all vectors": "Each vector has its own length: without an axis `norm` "
                                      "takes all numbers together.",
        "along another axis": "Vectors lie along the last axis, -1.",
        "one number for all pairs": "Each pair has its own number: sum over the last axis alone, "
                                    "not over the pairs.",
        "mean of all pairs": "Each pair has its own number: no mean over the pairs.",
        "all as one vector": "The last axis alone is the vector's; the others count the pairs.",
        "axis counted from the front": "Count the axis from the end: -1 is the last one, however "
                                       "many there are.",
        "not summed": "The products still have to be summed over the last axis.",
        "axis kept": "The last axis is summed away: the result has one number for a pair.",
        "all pairs": "Vector i of a goes with vector i of b, not with every vector of b.",
        "one minus": "The paper says distance, but Eq. 9 is the cosine: 1 for the same direction.",
        "angle": "Eq. 9 is the cosine of the angle, not the angle.",
        "absolute value": "Opposite vectors have -1: keep the sign.",
        "negative values cut off": "Opposite vectors have -1, not 0.",
        "moved to [0, 1]": "Eq. 9 lies in [-1, 1]: 1 for the same direction, -1 for opposite ones.",
        "correlation": "Do not subtract the mean from a vector: that is the correlation.",
        "zero vector": "0 / 0 at a zero vector: its similarity is 0.",
        "zero vector a": "0 / 0 where a is a zero vector: its similarity is 0, as that of b.",
        "zero vector b": "0 / 0 where b is a zero vector: its similarity is 0, as that of a.",
        "all pairs 0": "One zero vector makes the similarity 0 for all pairs: choose pair by pair.",
        "no gradient at a zero vector": "The value at a zero vector is right, its gradient is NaN: "
                                        "the 0 / 0 must not be computed at all.",
        "short vectors": "A short vector is as good as a long one: no small number in the "
                         "denominator, neither added nor as a lower bound.",
        "gradient at a zero vector": "A zero vector has no direction, so nothing may push it: its "
                                     "gradient is 0.",
        "lengths detached": "The lengths depend on the vectors too: do not detach them.",
        "clamped": "A clamp just inside [-1, 1] cuts the gradient of nearly parallel vectors.",
        **HINTS})
def eq9(cosine_similarity):
    dot = lambda a, b: (a * b).sum(-1)
    both = lambda a, b: (lengths(a) * lengths(b))[..., 0]
    centred = lambda v: v - v.mean(-1, keepdims=True)
    mistaken = {
        "no norms": dot, "one norm": lambda a, b: dot(a, b) / lengths(a)[..., 0],
        "norm of b alone": lambda a, b: dot(a, b) / lengths(b)[..., 0],
        "squared norms": lambda a, b: dot(a, b) / both(a, b) ** 2,
        "lengths added": lambda a, b: dot(a, b) / (lengths(a) + lengths(b))[..., 0],
        "sums of absolute values": lambda a, b: dot(a, b) / (abs(a).sum(-1) * abs(b).sum(-1)),
        "one sum over all vectors": lambda a, b: (a * b).sum() / both(a, b),
        "one length for all vectors": lambda a, b: dot(a, b) / math.sqrt((a**2).sum()
                                                                         * (b**2).sum()),
        "one number for all pairs": lambda a, b: cosines(a, b).sum(),
        "mean of all pairs": lambda a, b: cosines(a, b).mean(),
        "all as one vector": lambda a, b: cosines(a.ravel(), b.ravel()),
        "not summed": lambda a, b: a * b / (lengths(a) * lengths(b)),
        "axis kept": lambda a, b: cosines(a, b)[..., None],
        "one minus": lambda a, b: 1 - cosines(a, b),
        "angle": lambda a, b: np.arccos(cosines(a, b).clip(-1, 1)),
        "absolute value": lambda a, b: abs(cosines(a, b)),
        "negative values cut off": lambda a, b: cosines(a, b).clip(0),
        "moved to [0, 1]": lambda a, b: (cosines(a, b) + 1) / 2,
        "correlation": lambda a, b: cosines(centred(a), centred(b)),
        **dict.fromkeys(("zero vector", "zero vector a", "zero vector b", "all pairs 0",
                         "no gradient at a zero vector", "short vectors",
                         "gradient at a zero vector", "lengths detached", "clamped", *HINTS),
                        cosines)}
    several = {  # these need an axis before the last
        "along another axis": lambda a, b: cosines(a.swapaxes(0, -1), b.swapaxes(0, -1)).T,
        "all pairs": lambda a, b: cosines(a[..., :, None, :], b[..., None, :, :]),
        "axis counted from the front": lambda a, b: cosines(a.swapaxes(1, -1), b.swapaxes(1, -1))}

    def asked(situation, a, b):
        known = mistaken | (several if a.ndim > 1 else {})
        return Probe(situation, lambda: cosine_similarity(a.clone(), b.clone()),
                     cosines(a.numpy(), b.numpy()), answers(known, a.numpy(), b.numpy()),
                     DTYPE | {"axis counted from the front": "Dimension out of range"})

    a = torch.tensor([[4.0, 0.0]] * 4, dtype=torch.float64)
    b = torch.tensor([[2.0, 0.0], [-3.0, 0.0], [0.0, 5.0], [1.0, math.sqrt(3)]],
                     dtype=torch.float64)
    known = answers(mistaken, a.numpy(), b.numpy())
    del known["correlation"]  # of two numbers it is always 1 or -1
    yield Probe("angles of 0, 180, 90 and 60 degrees",
                lambda: cosine_similarity(a.clone(), b.clone()), [1, -1, 0, 0.5], known, DTYPE)
    c, d = randn(2, 3, 5), randn(2, 3, 5, seed=1)
    yield asked("2 x 3 pairs of random vectors", c, d)
    yield asked("2 random vectors of 3 numbers, lengths of about 1e6", 1e6 * randn(2, 3, seed=2),
                randn(2, 3, seed=3))
    yield asked("one pair of vectors, no other axis", randn(4, seed=4), randn(4, seed=5))
    for situation, left, right in (
            ("2 x 1 vectors against 2 x 3: the axes before the last broadcast", c[:, :1], d),
            ("3 vectors against 2 x 3", c[1], d), ("2 x 3 vectors against one", c, d[1, 2])):
        yield Probe(situation, lambda: cosine_similarity(left.clone(), right.clone()),
                    cosines(left.numpy(), right.numpy()))
    for size in (1e-5, 1e-20):
        known = {} if size > 1e-10 else {"short vectors": np.zeros(3)}
        yield Probe(f"random vectors, lengths of about {size:g}",
                    lambda: cosine_similarity(size * c[0], size * d[0]),
                    cosines(c[0].numpy(), d[0].numpy()), known)
    x, y = randn(2, 3, seed=6), randn(2, 3, seed=7)
    yield from gradient_probes(
        cosine_similarity, cosines, {"a": x, "b": y}, "2 random pairs",
        right_here=("no gradient at a zero vector", "gradient at a zero vector", "short vectors",
                    "clamped"),
        mistaken={"lengths detached": lambda a, b: fixed_lengths(a, b, x.numpy(), y.numpy())})
    yield from gradient_probes(cosine_similarity, cosines,
                               {"a": randn(1, 2, seed=8), "b": randn(3, 2, seed=9)},
                               "1 vector against 3")
    yield from zero_vectors(cosine_similarity, x, y)
    turned = torch.tensor([[1.0, 1e-4], [-1.0, -1e-4]], dtype=torch.float64)
    along = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)

    def nearly_parallel():
        leaf = along.clone().requires_grad_()
        return 1e4 * slope_of(cosine_similarity(leaf, turned.clone()), a=leaf)

    yield Probe("gradient by a, times 1e4, at an angle of 1e-4 to b or to -b", nearly_parallel,
                [[0, 1], [0, -1]], {"clamped": np.zeros((2, 2))}, tolerance=1e-4)


def zero_vectors(cosine_similarity, x, y):
    """Value and gradient by both vectors where a, b or both are zero, among others."""
    zero = 0 * x[:1]
    pairs = {"a": torch.cat([x[:1], zero, x[1:], zero]), "b": torch.cat([y, zero, zero])}
    want = cosines(pairs["a"].numpy(), pairs["b"].numpy())
    where = lambda *pairs: np.where(np.isin(np.arange(4), pairs), np.nan, want)
    unknown = {"zero vector": where(1, 2, 3), "zero vector a": where(1, 3),
               "zero vector b": where(2, 3), "all pairs 0": 0 * want}
    asked = "4 pairs, from the second one on with a zero vector"
    yield Probe(asked, lambda: cosine_similarity(*(v.clone() for v in pairs.values())), want,
                unknown | dict.fromkeys(("no gradient at a zero vector",
                                         "gradient at a zero vector"), want))
    for name, other in (("a", "b"), ("b", "a")):
        def call(name=name):
            leaves = {n: v.clone().requires_grad_() for n, v in pairs.items()}
            return slope_of(cosine_similarity(*leaves.values()), **{name: leaves[name]})

        u, v = pairs[name][:1].numpy(), pairs[other][:1].numpy()
        slope = (v / lengths(v) - cosines(u, v)[..., None] * u / lengths(u)) / lengths(u)
        slope = np.concatenate([slope, np.zeros((3, 3))])
        known, first = {}, lambda g: g.shape == slope.shape and np.allclose(g[0], slope[0])
        call = whatever(call, known, "no gradient at a zero vector",
                        lambda g: first(g) and np.isnan(g).any())
        call = whatever(call, known, "gradient at a zero vector",
                        lambda g: first(g) and np.isfinite(g).all())
        yield Probe(f"gradient by {name}, {asked}", call, slope, known)


# -------------------------------------------------------------------------------------------- Eq. 8

def contrast(d_pos, d_neg, tau=0.5):
    """Eq. 8 from d+ (B,) and d- (B, N)."""
    return (np.log(np.exp(d_pos / tau) + np.exp(d_neg / tau).sum(1)) - d_pos / tau).mean()


def right_loss(anchor, positive, negatives, tau=0.5):
    return contrast(cosines(anchor, positive), cosines(anchor[:, None], negatives), tau)


def from_cosines(loss):
    """A mistaken loss(d+ / tau, d- / tau) as a function of Eq. 8's inputs."""
    return lambda a, p, n, tau=0.5: loss(cosines(a, p) / tau, cosines(a[:, None], n) / tau)


def from_fractions(loss):
    """A mistaken loss(exp(d+ / tau), sum of exp(d- / tau)), both (B,)."""
    return from_cosines(lambda p, n: loss(np.exp(p), np.exp(n).sum(1)))


def other_rows(anchor, positive):
    """(B, B - 1): cosines of each anchor with the positives of the others."""
    across = cosines(anchor[:, None], positive[None])
    return across[~np.eye(len(anchor), dtype=bool)].reshape(len(anchor), -1)


def softplus(x):
    return np.log1p(np.exp(x))


CUT = {"anchor": "anchor cut off", "positive": "positive cut off", "negatives": "negatives cut off"}
CONTRAST_MISTAKES = {
    "positive not in the denominator": from_fractions(lambda p, n: -np.log(p / n).mean()),
    "mean over the negatives": from_cosines(
        lambda p, n: (np.log(np.exp(p) + np.exp(n).mean(1)) - p).mean()),
    "mean over the candidates": from_cosines(
        lambda p, n: contrast(p, n, 1) - math.log(1 + n.shape[1])),
    "positive twice": from_fractions(lambda p, n: -np.log(p / (2 * p + n)).mean()),
    "batch rows for negatives": lambda a, p, n, tau=0.5: contrast(
        cosines(a, p), other_rows(a, p), tau),
    "batch rows besides the negatives": lambda a, p, n, tau=0.5: contrast(
        cosines(a, p), np.concatenate([other_rows(a, p), cosines(a[:, None], n)], 1), tau),
    "negatives of all anchors": lambda a, p, n, tau=0.5: contrast(
        cosines(a, p), cosines(a[:, None], n.reshape(1, -1, n.shape[2])), tau),
    "negatives of the first anchor": lambda a, p, n, tau=0.5: right_loss(a, p, 0 * n + n[:1], tau),
    "first negative only": lambda a, p, n, tau=0.5: right_loss(a, p, n[:, :1], tau),
    "closest negative only": from_cosines(
        lambda p, n: contrast(p, n.max(1, keepdims=True), 1)),
    "negatives averaged first": lambda a, p, n, tau=0.5: right_loss(
        a, p, n.mean(1, keepdims=True), tau),
    "each negative by itself": from_cosines(lambda p, n: softplus(n - p[:, None]).sum(1).mean()),
    "sigmoids": from_cosines(lambda p, n: (softplus(-p) + softplus(n).sum(1)).mean()),
    "negatives against the positive": lambda a, p, n, tau=0.5: contrast(
        cosines(a, p), cosines(p[:, None], n), tau),
    "a negative taken for the positive": from_cosines(
        lambda p, n: contrast(p, n, 1) + (p - n[:, -1]).mean()),
    "dot product": lambda a, p, n, tau=0.5: contrast(
        (a * p).sum(-1), (a[:, None] * n).sum(-1), tau),
    "cosine taken as a distance": from_cosines(lambda p, n: contrast(-p, -n, 1)),
    "cosine moved to [0, 1]": lambda a, p, n, tau=0.5: right_loss(a, p, n, 2 * tau),
    "squared distances": lambda a, p, n, tau=0.5: right_loss(a, p, n, tau / 2),
    "tau forgotten": lambda a, p, n, tau=0.5: right_loss(a, p, n, 1.0),
    "tau ignored": lambda a, p, n, tau=0.5: right_loss(a, p, n, 0.5),
    "tau on the wrong side": lambda a, p, n, tau=0.5: right_loss(a, p, n, 1 / tau),
    "tau on the positive alone": lambda a, p, n, tau=0.5: contrast(
        cosines(a, p) / tau, cosines(a[:, None], n), 1.0),
    "tau outside": lambda a, p, n, tau=0.5: right_loss(a, p, n, 1.0) / tau,
    "softmax over the anchors": from_cosines(
        lambda p, n: (np.log(np.exp(p).sum()) - p).mean()),
    "one number per anchor": from_cosines(
        lambda p, n: np.log(np.exp(p) + np.exp(n).sum(1)) - p),
    "sum over the anchors": lambda a, p, n, tau=0.5: len(a) * right_loss(a, p, n, tau),
    "mean inside the logarithm": from_fractions(lambda p, n: -np.log((p / (p + n)).mean())),
    "first anchor only": lambda a, p, n, tau=0.5: right_loss(a[:1], p[:1], n[:1], tau),
    "no minus": lambda a, p, n, tau=0.5: -right_loss(a, p, n, tau),
    "no exponential": from_cosines(lambda p, n: -np.log(p / (p + n.sum(1))).mean()),
    "no logarithm": from_fractions(lambda p, n: -(p / (p + n)).mean()),
    "logarithm to base 2": lambda a, p, n, tau=0.5: right_loss(a, p, n, tau) / math.log(2),
    **dict.fromkeys(("overflow", "logits clamped", "one maximum for the batch", *CUT.values(),
                     *HINTS), right_loss)}


@exercise(
    "eq8", "medium", "the lip sync loss, InfoNCE",
    task="One number for the whole batch. Eq. 9 is given: `cosine_similarity` works on the last "
         "axis and broadcasts the others. The loss must also hold at tau = 0.001, where exp "
         f"overflows. {DETACH_NOTHING}",
    hint="-log(p / (p + n)) is log(p + n) - log(p). Which function of torch takes the logarithm of "
         "a sum of exponentials without the exponentials themselves?",
    mistakes={
        "positive not in the denominator": "Is the positive in the denominator?",
        "mean over the negatives": "The denominator sums over the N negatives.",
        "mean over the candidates": "The denominator is a sum, not the mean over 1 + N candidates.",
        "positive twice": "The positive stands in the denominator once.",
        "batch rows for negatives": "The negatives of anchor b are given, negatives[b]; these are "
                                    "the positives of the other anchors.",
        "batch rows besides the negatives": "Only negatives[b] are anchor b's negatives; the "
                                            "positives of other anchors do not come on top.",
        "negatives of all anchors": "Anchor b has N negatives, negatives[b], not B * N.",
        "negatives of the first anchor": "Anchor b has negatives[b], not negatives[0].",
        "first negative only": "The denominator has all N negatives, not the first alone.",
        "closest negative only": "The denominator has all N negatives, not the closest alone.",
        "negatives averaged first": "First one cosine and one exponential per negative, then the "
                                    "sum; not the cosine with their mean.",
        "each negative by itself": "One fraction per anchor: the sum over the negatives stands in "
                                   "the denominator, not before the logarithm.",
        "sigmoids": "This is binary cross-entropy; Eq. 8 is a softmax over 1 + N candidates.",
        "negatives against the positive": "d- compares the negatives with the anchor, not with "
                                          "the positive.",
        "a negative taken for the positive": "The right class is the place where the positive "
                                             "stands among the 1 + N candidates.",
        "dot product": "d is Eq. 9, the cosine; a plain dot product grows with the vectors.",
        "cosine taken as a distance": "Larger d means closer: exp(d/tau), neither exp(-d/tau) "
                                      "nor exp((1 - d)/tau).",
        "cosine moved to [0, 1]": "d is the cosine itself, in [-1, 1].",
        "squared distances": "Eq. 8 has the cosine d, not minus the squared distance of two unit "
                             "vectors, which is 2 d - 2.",
        "tau forgotten": "tau is missing: divide each cosine by tau before the exponential.",
        "tau ignored": "tau is an argument; 0.5 is only its default.",
        "tau of 0.07": "0.07 is the tau of others; the default here is 0.5.",
        "tau on the wrong side": "tau divides the cosine inside the exponential.",
        "tau on the positive alone": "tau divides the cosines of the negatives too.",
        "tau outside": "tau divides each cosine inside its exponential, not the logarithm.",
        "softmax over the wrong axis": "The softmax is over an anchor's 1 + N candidates.",
        "softmax over the anchors": "The softmax is not down the batch: each anchor has its own, "
                                    "over 1 + N candidates.",
        "one number per anchor": "One number for the whole batch: the mean over the anchors.",
        "sum over the anchors": "The mean over the anchors of the batch, not the sum.",
        "mean inside the logarithm": "First one logarithm per anchor, then the mean.",
        "first anchor only": "The batch has more than one anchor.",
        "no minus": "It is a loss, minus the log: it falls when the positive comes closer.",
        "no exponential": "Each cosine over tau is exponentiated.",
        "no logarithm": "Minus the logarithm of the fraction is the loss.",
        "logarithm to base 2": "log is the natural logarithm.",
        "overflow": "exp overflows at a small tau, or the fraction becomes 0 before its "
                    "logarithm: use logsumexp.",
        "epsilon in the logarithm": "A small number inside the logarithm caps the loss and cuts "
                                    "its gradient where it is largest: use logsumexp.",
        "logits clamped": "A clamp of d/tau caps the loss and cuts its gradient where it is "
                          "largest: use logsumexp.",
        "one maximum for the batch": "Subtract each anchor's own largest logit: with one for the "
                                     "whole batch the others' exponentials become 0.",
        "anchor cut off": "The anchor is learned too: do not detach it.",
        "positive cut off": "The positive is learned too: do not detach it.",
        "negatives cut off": "The negatives are learned too: do not detach them.",
        **{m: hint for m, hint in HINTS.items() if m != "an input cut off"}})
def eq8(info_nce):
    epsilon = []  # what the student's function adds inside the logarithm, if anything

    def asked(situation, inputs, *given, meaning=""):
        a, p, n = (x.numpy() for x in inputs)
        tau = given[0] if given else 0.5
        known = answers(CONTRAST_MISTAKES, a, p, n, tau)
        known["tau of 0.07"] = right_loss(a, p, n, *(given or [0.07]))
        ask = lambda: info_nce(*(x.clone() for x in inputs), *given)
        if epsilon:
            ask = whatever(ask, known, "epsilon in the logarithm", capped(a, p, n, tau))
        if len(p) == 1 + n.shape[1]:
            known["softmax over the wrong axis"] = wrong_axis(a, p, n, tau)
        return Probe(situation, ask, right_loss(a, p, n, tau), known, DTYPE, meaning)

    def capped(*inputs):
        """Whether a loss is the one with the epsilon, added to the fraction or as its bound."""
        ways = (lambda p, n: -np.log(p / (p + n) + epsilon[0]).mean(),
                lambda p, n: -np.log(np.maximum(p / (p + n), epsilon[0])).mean())
        return lambda loss: any(equal(loss, from_fractions(f)(*inputs), 1e-5) for f in ways)

    wrong_axis = from_cosines(
        lambda p, n: (np.log(np.exp(np.c_[p, n]).sum(0)) - p).mean())
    same = torch.ones(2, 4, dtype=torch.float64)
    yield asked("anchor, positive and all 10 negatives alike",
                (same, same, same[:, None].repeat(1, 10, 1)), meaning="ln 11")
    yield from small_temperatures(info_nce, same, epsilon)
    random = randn(3, 5), randn(3, 5, seed=1), randn(3, 2, 5, seed=2)
    yield asked("3 anchors with 2 random negatives each, tau = 0.1", random, 0.1)
    yield asked("3 anchors with 2 random negatives each, tau = 0.5, the default", random)
    acute = 3 * rand(2, 3, seed=3), rand(2, 3, seed=4) + 0.1, rand(2, 4, 3, seed=5) + 0.1
    yield asked("2 anchors with 4 negatives, all numbers above 0, tau = 0.3", acute, 0.3)
    yield asked("2 anchors with 12 random negatives each",
                (randn(2, 6, seed=10), randn(2, 6, seed=11), randn(2, 12, 6, seed=12)))
    yield asked("1 anchor with 1 negative, tau = 2",
                (randn(1, 4, seed=6), randn(1, 4, seed=7), randn(1, 1, 4, seed=8)), 2.0)
    yield from gradient_probes(info_nce, right_loss, dict(zip(CUT, random)), "3 random anchors",
                               CUT, scale=3.0)


def small_temperatures(info_nce, same, epsilon):
    """tau = 0.001, where exp overflows, and small fractions."""
    others, tau = same[:, None].repeat(1, 10, 1), 0.001
    known = dict.fromkeys((*CUT.values(), "one maximum for the batch"), 2000 + math.log(10))
    within = lambda low, high: lambda loss: loss.shape == () and low < loss < high

    def opposite():
        loss = info_nce(same.clone(), -same, others.clone(), tau)
        size = float(as_array(loss).sum())
        epsilon.append(math.exp(-size) if 4 < size < 37 else 0.0)  # 37: 1e-16
        return loss

    opposite = whatever(opposite, known, "overflow", lambda loss: not np.isfinite(loss).all())
    opposite = whatever(opposite, known, "logits clamped", within(40, 1990))
    yield Probe("tau = 0.001, positive opposite, negatives equal to the anchor",
                whatever(opposite, known, "epsilon in the logarithm", within(4, 37)),
                2000 + math.log(10), known, meaning="2000 + ln 10")
    yield Probe("tau = 0.001, positive and negatives equal to the anchor",
                lambda: info_nce(same.clone(), same.clone(), others.clone(), tau), math.log(11),
                {"one maximum for the batch": math.log(11)}, meaning="ln 11")
    mixed = torch.cat([-same[:1], same[1:]])
    known = {}
    yield Probe("the same, positive and negatives opposite to the first anchor",
                whatever(lambda: info_nce(same.clone(), mixed.clone(), mixed[:, None].repeat(
                    1, 10, 1), tau), known, "one maximum for the batch",
                    lambda loss: not np.isfinite(loss).all()), math.log(11), known,
                meaning="ln 11")
