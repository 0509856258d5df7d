"""losses.py - exercises on Eq. 2 to 7: the losses of Sec. 3.3. Eq. 8 and 9 are in contrast.py.

All answers, right or mistaken, are transcriptions in NumPy, or worked out by hand. Each known
mistake is a function of the same inputs, so that every question can tell it from the others.

In:  a student's function. Out: Probes; checks.py says what they are. Read next: contrast.py.
"""
import math

import numpy as np
import torch

from classroom.checks import Probe, as_array, exercise, gradient, raises, rand, randn
from classroom.questions.contrast import eq8, eq9  # noqa: F401  stubs.py finds them here
from classroom.questions.gradients import (DETACH_NOTHING, HINTS, answers, gradient_probes,
                                           tensors, whatever)

# ----------------------------------------------------------------------------------------- Eq. 2, 3

DEFAULTS = np.array([1.0, 5.0, 10.0])  # lambda_rec, lambda_dis, lambda_v


@exercise(
    "eq2", "easy", "the total loss",
    task="Add up three losses that others have computed, each with its weight. A weight of 0 "
         f"switches its loss off. {DETACH_NOTHING}",
    hint="Each loss has one weight, and all weights are arguments.",
    mistakes={
        "weights in the wrong order": "Does lambda_dis weigh L_dis, and lambda_v L_v?",
        "weights ignored": "1, 5 and 10 are only the defaults: the weights are arguments.",
        "no weights": "Each loss has a weight in front of it.",
        "L_rec without its weight": "L_rec has a weight too; 1 is only its default.",
        "velocity left out": "Where is the third term?",
        "disentangling left out": "Where is the second term?",
        "zero taken for missing": "A weight of 0 is given, not missing: `weight or 5` takes 5.",
        "weighted mean": "Eq. 2 is a weighted sum: do not divide by the sum of the weights.",
        "mean for sum": "Eq. 2 adds; there is no third in it.",
        **HINTS})
def eq2(total_loss):
    total = lambda l, w: l @ w
    mistaken = {
        "weights in the wrong order": lambda l, w: l @ w[[0, 2, 1]],
        "weights ignored": lambda l, w: l @ DEFAULTS,
        "no weights": lambda l, w: l.sum(),
        "L_rec without its weight": lambda l, w: l[0] + l[1:] @ w[1:],
        "velocity left out": lambda l, w: l[:2] @ w[:2],
        "disentangling left out": lambda l, w: l[::2] @ w[::2],
        "zero taken for missing": lambda l, w: l @ np.where(w == 0, DEFAULTS, w),
        "weighted mean": lambda l, w: l @ w / w.sum(), "mean for sum": lambda l, w: l @ w / 3,
        **dict.fromkeys(HINTS, total)}

    def asked(situation, losses, weights=None, scale=1.0):
        given = [] if weights is None else weights
        l, w = np.array(losses), DEFAULTS if weights is None else np.array(weights)
        return Probe(situation, lambda: scale * total_loss(*tensors(*losses), *given),
                     scale * total(l, w), answers(mistaken, scale * l, w))

    yield asked("L_rec, L_dis, L_v = 0.3, 0.02, 0.07 with the default weights", [0.3, 0.02, 0.07])
    yield asked("L_rec, L_dis, L_v = 1, 1, 1 with the weights 2, 3 and 4", [1.0] * 3, [2.0, 3.0, 4.0])
    large, weights = (30 * randn(3)).tolist(), (9 * rand(3, seed=1) + 0.5).tolist()
    yield asked("three random losses and weights", large, weights)
    yield asked("three tiny losses, times 1e6", (1e-6 * rand(3, seed=2)).tolist(), weights, 1e6)
    for i, name in enumerate(("lambda_rec", "lambda_dis", "lambda_v")):
        some = [0.0 if i == j else w for j, w in enumerate(weights)]
        yield asked(f"the same losses, {name} = 0", large, some)
    yield Probe("only lambda_dis = 2 given, by name",
                lambda: total_loss(*tensors(*large), lambda_dis=2.0),
                total(np.array(large), np.array([1, 2, 10])))
    losses = dict(zip(("l_rec", "l_dis", "l_v"), tensors(*large)))
    yield from gradient_probes(lambda *l: total_loss(*l, *weights),
                               lambda *l: total(np.array(l), np.array(weights)), losses,
                               "which is its weight")


@exercise(
    "eq3", "easy", "the reconstruction loss",
    task="The paper has no weight here; ours has one for L_per, so that it can be turned down, to "
         f"0 too. {DETACH_NOTHING}",
    hint="Which of the two losses does the weight's name belong to?",
    mistakes={
        "weight on the other loss": "lambda_per weighs L_per, not L_pho.",
        "weight on both": "lambda_per weighs L_per alone.",
        "weight ignored": "lambda_per is an argument; 1 is only its default.",
        "weight of our presets": "0.005 is what our presets hand in; the weight is an argument.",
        "mean for sum": "Eq. 3 adds; there is no half in it.",
        "weights that add up to 1": "L_pho has no weight, not 1 - lambda_per.",
        "weighted mean": "Eq. 3 is a sum: do not divide by 1 + lambda_per.",
        "zero taken for missing": "A weight of 0 is given, not missing: `weight or 1` takes 1.",
        "photometric left out": "Where is L_pho?",
        "perceptual left out": "Where is L_per?",
        "squared again": "L_per and L_pho are squared already, inside.",
        **HINTS})
def eq3(reconstruction_loss):
    right = lambda per, pho, w=1.0: w * per + pho
    mistaken = {
        "weight on the other loss": lambda per, pho, w=1.0: per + w * pho,
        "weight on both": lambda per, pho, w=1.0: w * (per + pho),
        "weight ignored": lambda per, pho, w=1.0: per + pho,
        "weight of our presets": lambda per, pho, w=1.0: 0.005 * per + pho,
        "mean for sum": lambda per, pho, w=1.0: (w * per + pho) / 2,
        "weights that add up to 1": lambda per, pho, w=1.0: w * per + (1 - w) * pho,
        "weighted mean": lambda per, pho, w=1.0: (w * per + pho) / (1 + w),
        "zero taken for missing": lambda per, pho, w=1.0: (w or 1) * per + pho,
        "photometric left out": lambda per, pho, w=1.0: w * per,
        "perceptual left out": lambda per, pho, w=1.0: pho,
        "squared again": lambda per, pho, w=1.0: w * per**2 + pho**2,
        **dict.fromkeys(HINTS, right)}
    large, weight = (30 * randn(2)).tolist(), float(rand(1, seed=1)) + 0.1
    tiny = (1e-6 * rand(2, seed=2)).tolist()
    for situation, losses, given, scale in (
            ("L_per = 0.25, L_pho = 0.5", (0.25, 0.5), [], 1.0),
            ("L_per = 0.25, L_pho = 0.5, lambda_per = 0.1", (0.25, 0.5), [0.1], 1.0),
            ("random losses and weight", large, [weight], 1.0),
            ("random losses and a weight above 1", large, [4 + weight], 1.0),
            ("random losses, lambda_per = 0", large, [0.0], 1.0),
            ("tiny losses, times 1e6", tiny, [weight], 1e6)):
        known = answers(mistaken, *losses, *given)
        yield Probe(situation, lambda: scale * reconstruction_loss(*tensors(*losses), *given),
                    scale * right(*losses, *given), {m: scale * v for m, v in known.items()})
    yield from gradient_probes(lambda *l: reconstruction_loss(*l, weight),
                               lambda *l: right(*l, weight),
                               dict(zip(("l_per", "l_pho"), tensors(*large))),
                               "which is its weight")


# -------------------------------------------------------------------------------------------- Eq. 4

def gram(activation):
    """Products of the channels (B, C, C), as the style loss of Johnson et al. has them."""
    flat = activation.reshape(*activation.shape[:2], -1)
    return flat @ flat.swapaxes(1, 2) / flat[0].size


def unit_channels(activation):
    """Each pixel's channels with length 1, as LPIPS has them."""
    return activation / np.sqrt((activation**2).sum(1, keepdims=True))


def per_layer(distance):
    """Sum over the layers of a distance of two activations."""
    return lambda a, b: sum(float(distance(x, y)) for x, y in zip(a, b))


@exercise(
    "eq4", "easy", "the perceptual loss",
    task="phi and phi_gt are lists, one activation per layer, of unlike sizes. VGG16 is given. "
         "Lists of different lengths are a fault of the caller: raise ValueError, instead of "
         f"leaving layers out. {DETACH_NOTHING}",
    hint="The sizes of layers differ: first the mean square of one, then the sum over the layers.",
    mistakes={
        "no square": "This is L1. Eq. 4 has squared norms.",
        "root of the mean square": "Eq. 4 has squared norms: no square root.",
        "mean over the layers": "Eq. 4 sums over the layers i.",
        "sum for mean": "So it stands in the paper, but then large images count more: take the "
                        "mean over a layer's entries, as the docstring says.",
        "one mean over all entries": "Each layer has a mean of its own; otherwise the first, "
                                     "largest layer drowns the others.",
        "sum over a sample": "The mean is over all entries of a layer, not over the batch alone.",
        "channels summed": "The mean is over a layer's channels too, not over its pixels alone.",
        "first layer only": "The sum over i has a term for each layer, not for the first alone.",
        "last layer only": "Does each layer's term overwrite the one before it? Add them.",
        "first sample only": "The batch has more than one sample.",
        "half of the square": "There is no 1/2 in Eq. 4.",
        "mean before the square": "First square each difference, then take the mean; otherwise "
                                  "differences of opposite sign cancel.",
        "Gram matrices": "Products of channels make the style loss of Johnson et al.; Eq. 4 "
                         "compares the activations themselves.",
        "channels of length 1": "LPIPS normalises the channels; Eq. 4 does not.",
        "layers left out in silence": "zip stops at the shorter list: compare the lengths, or see "
                                      "what other ways zip can be called in.",
        **HINTS})
def eq4(perceptual_loss):
    right = per_layer(lambda a, b: ((a - b) ** 2).mean())
    squares = lambda a, b: sum(float(((x - y) ** 2).sum()) for x, y in zip(a, b))
    mistaken = {
        "no square": per_layer(lambda a, b: np.abs(a - b).mean()),
        "root of the mean square": per_layer(lambda a, b: math.sqrt(((a - b) ** 2).mean())),
        "mean over the layers": lambda a, b: right(a, b) / len(a), "sum for mean": squares,
        "one mean over all entries": lambda a, b: squares(a, b) / sum(x.size for x in a),
        "sum over a sample": per_layer(lambda a, b: ((a - b) ** 2).sum() / len(a)),
        "channels summed": per_layer(lambda a, b: ((a - b) ** 2).sum(1).mean()),
        "first layer only": lambda a, b: right(a[:1], b[:1]),
        "last layer only": lambda a, b: right(a[-1:], b[-1:]),
        "first sample only": per_layer(lambda a, b: ((a[0] - b[0]) ** 2).mean()),
        "half of the square": lambda a, b: right(a, b) / 2,
        "mean before the square": per_layer(lambda a, b: (a - b).mean() ** 2),
        "Gram matrices": per_layer(lambda a, b: ((gram(a) - gram(b)) ** 2).mean()),
        "channels of length 1": per_layer(
            lambda a, b: ((unit_channels(a) - unit_channels(b)) ** 2).mean()),
        **dict.fromkeys((*HINTS, "layers left out in silence"), right)}

    def asked(situation, a, b, scale=1.0, meaning=""):
        known = answers(mistaken, [x.numpy() for x in a], [x.numpy() for x in b])
        return Probe(situation, lambda: scale * perceptual_loss([*a], [*b]),
                     scale * right([x.numpy() for x in a], [x.numpy() for x in b]),
                     {m: scale * value for m, value in known.items()}, meaning=meaning)

    full = lambda value, *size: torch.full(size, value, dtype=torch.float64)
    off = [full(0.5, 1, 8, 4, 4), full(-2.0, 1, 16, 2, 2)]
    yield asked("one layer is off by 0.5 everywhere, the other by -2", off,
                [torch.zeros_like(x) for x in off], meaning="0.5^2 + 2^2")
    sizes = [(2, 4, 3, 5), (2, 6, 2, 2), (2, 3, 1, 2)]
    phi, phi_gt = [randn(*s, seed=1) for s in sizes], [randn(*s, seed=2) for s in sizes]
    yield asked("three layers of random numbers", phi, phi_gt)
    yield asked("numbers of about 30", [30 * x for x in phi[:2]], phi_gt[:2])
    tiny = lambda layers: [1e-4 * x for x in layers]
    yield asked("numbers of about 1e-4, times 1e8", tiny(phi), tiny(phi_gt), 1e8)
    small = {f"{name}[{i}]": randn(2, 2 + i, 2, 1, seed=10 * i + j)
             for j, name in enumerate(("phi", "phi_gt")) for i in range(2)}
    yield from gradient_probes(lambda *x: perceptual_loss([*x[:2]], [*x[2:]]),
                               lambda *x: right(x[:2], x[2:]), small, "two random layers", scale=10)
    for a, b in ((phi[:2], phi_gt), (phi, phi_gt[:2])):
        yield Probe(f"errors raised for {len(a)} activations against {len(b)}",
                    lambda: raises("ValueError", lambda: perceptual_loss([*a], [*b])), 1.0,
                    {"layers left out in silence": 0.0},
                    {"layers left out in silence": "index out of range"},
                    meaning="a ValueError")


# -------------------------------------------------------------------------------------------- Eq. 5

@exercise(
    "eq5", "easy", "the photometric loss",
    task="m is the soft mask of the face, one channel for all three colours. A render can leave "
         f"[0, 1], and counts as it is. {DETACH_NOTHING}",
    hint="m belongs to the image: it is inside the norm.",
    mistakes={
        "mask not squared": "The mask is inside the norm: m(I) - m(I_GT) is squared with it.",
        "mask squared twice": "Mask each image once; the square of the norm is the only one.",
        "divided by the mask's area": "Divide by the number of all entries, masked or not.",
        "divided by the sum of m": "The mean is over B * 3 * H * W entries, not over the mask's "
                                   "sum.",
        "sum for mean": "The mean over pixels and channels, so that the weights of Eq. 2 do not "
                        "depend on the size.",
        "channels summed": "The mean is over the three channels too, not over the pixels alone.",
        "mean over the batch alone": "The mean is over pixels and channels too, not only over "
                                     "the images of the batch.",
        "no square": "This is L1. Eq. 5 has a squared norm.",
        "root": "The norm of Eq. 5 is squared: no square root.",
        "mask on one image only": "Both images are masked, or true background is error.",
        "mask on the true image only": "The render is masked as well, or its background is error.",
        "mask not used": "m hides the background, on both images.",
        "mask inverted": "m is 1 on the face: the face is what is compared.",
        "hard mask": "m is soft: multiply by it, do not compare it with a threshold.",
        "images clamped": "Do not clamp: where a render is too bright or too dark, the error is "
                          "too small and the gradient 0.",
        "first image only": "The batch has more than one image.",
        "first mask for all": "Each image of the batch has its own mask.",
        "half of the square": "There is no 1/2 in Eq. 5.",
        "mean before the square": "First square each difference, then take the mean.",
        **HINTS})
def eq5(photometric_loss):
    def right(i, g, m):
        return ((m * i - m * g) ** 2).mean()

    mistaken = {
        "mask not squared": lambda i, g, m: (m * (i - g) ** 2).mean(),
        "mask squared twice": lambda i, g, m: ((m**2 * (i - g)) ** 2).mean(),
        "divided by the mask's area": lambda i, g, m: ((m * (i - g)) ** 2).sum() / (3 * m.sum()),
        "divided by the sum of m": lambda i, g, m: ((m * (i - g)) ** 2).sum() / m.sum(),
        "sum for mean": lambda i, g, m: ((m * (i - g)) ** 2).sum(),
        "channels summed": lambda i, g, m: ((m * (i - g)) ** 2).sum(1).mean(),
        "mean over the batch alone": lambda i, g, m: ((m * (i - g)) ** 2).sum() / len(i),
        "no square": lambda i, g, m: np.abs(m * (i - g)).mean(),
        "root": lambda i, g, m: np.sqrt(right(i, g, m)),
        "mask on one image only": lambda i, g, m: ((m * i - g) ** 2).mean(),
        "mask on the true image only": lambda i, g, m: ((i - m * g) ** 2).mean(),
        "mask not used": lambda i, g, m: ((i - g) ** 2).mean(),
        "mask inverted": lambda i, g, m: right(i, g, 1 - m),
        "hard mask": lambda i, g, m: right(i, g, m > 0.5),
        "images clamped": lambda i, g, m: right(i.clip(0, 1), g.clip(0, 1), m),
        "first image only": lambda i, g, m: right(i[:1], g[:1], m[:1]),
        "first mask for all": lambda i, g, m: right(i, g, m[:1]),
        "half of the square": lambda i, g, m: right(i, g, m) / 2,
        "mean before the square": lambda i, g, m: (m * (i - g)).mean() ** 2,
        **dict.fromkeys(HINTS, right)}

    def asked(situation, inputs, scale=1.0, meaning=""):
        numbers = [x.numpy() for x in inputs]
        known = answers(mistaken, *numbers)
        return Probe(situation, lambda: scale * photometric_loss(*(x.clone() for x in inputs)),
                     scale * right(*numbers), {n: scale * value for n, value in known.items()},
                     meaning=meaning)

    grey = torch.full((1, 3, 4, 4), 0.3, dtype=torch.float64)
    half = torch.full((1, 1, 4, 4), 0.5, dtype=torch.float64)
    yield asked("images that differ by 0.2 everywhere under a mask of 0.5",
                [grey + 0.2, grey, half], meaning="(0.5 * 0.2)^2")
    image, image_gt, m = rand(2, 3, 4, 5), rand(2, 3, 4, 5, seed=1), rand(2, 1, 4, 5, seed=2)
    yield asked("2 random images of 4 x 5 pixels, random masks", [image, image_gt, m])
    yield asked("a render between -1 and 2", [3 * image - 1, image_gt, m])
    yield asked("3 images of 2 x 1 pixels", [rand(3, 3, 2, 1, seed=3), rand(3, 3, 2, 1, seed=4),
                                             rand(3, 1, 2, 1, seed=5)])
    yield asked("images of about 1e-4, times 1e8", [1e-4 * image, 1e-4 * image_gt, m], 1e8)
    yield Probe("the masks are 0 everywhere",
                lambda: photometric_loss(image.clone(), image_gt.clone(), 0 * m), 0.0)
    small = {"image": 4 * rand(2, 3, 2, 1, seed=6) - 1.5, "image_gt": rand(2, 3, 2, 1, seed=7),
             "m": rand(2, 1, 2, 1, seed=8)}
    yield from gradient_probes(photometric_loss, right, small, "2 random images", scale=12)


# -------------------------------------------------------------------------------------------- Eq. 6

SIZES = {"id": 5, "ex": 4, "al": 3, "ill": 6}


@exercise(
    "eq6", "easy", "the disentangling loss",
    task="codes and codes_ref have the keys id, ex, al and ill, in any order. `weights` may be "
         "None or lack keys: a lambda that is not given is 1, one that is 0 is 0. "
         f"{DETACH_NOTHING}",
    hint="Which axis holds the entries of a code, and which the samples of the batch? The squared "
         "norm sums over one, the mean goes over the other.",
    mistakes={
        "mean over the entries": "The squared norm sums a code's entries; average the batch.",
        "sum over the batch": "Average over the batch, or the loss grows with its size.",
        "norm not squared": "Eq. 6 has squared norms: no square root.",
        "no square": "This is L1. Eq. 6 has squared norms.",
        "one root over the batch": "Eq. 6 has no root, neither over a code nor over the batch.",
        "weights ignored": "Each code has its lambda; `weights` may hold some of them.",
        "zero taken for missing": "A lambda of 0 is given, not missing: `weight or 1` takes 1.",
        "missing taken for zero": "A lambda that is not given is 1, not 0.",
        "missing key": "`weights` may lack keys: a lambda that is not given is 1.",
        "no weights at all": "`weights` may be None, its default: every lambda is 1 then.",
        "paired by position": "Codes, references and weights belong together by their keys, not "
                              "by their order.",
        "weights inside the norm": "lambda stands before the squared norm, not inside it.",
        "mean over the four codes": "Eq. 6 sums over the four codes: do not divide by 4.",
        "weighted mean": "Eq. 6 is a weighted sum: do not divide by the sum of the lambdas.",
        "a code left out": "There are four codes.",
        "last code only": "Does each code's term overwrite the one before it? Add them.",
        "first sample only": "The batch has more than one sample.",
        "half of the square": "There is no 1/2 in Eq. 6.",
        "1 - cos": "Eq. 6 has the squared distance, not 1 minus the cosine.",
        "codes normalised first": "C is compared as it is: it need not stay of unit length.",
        "lengths compared": "The norm is of the difference, not the difference of two norms.",
        "codes cut off": "Gradient flows to the codes, which are learned: do not detach them.",
        "references cut off": "The references are an input like the codes. Who calls the function "
                              "decides what is trained, so detach nothing.",
        "no gradient": HINTS["no gradient"], "NumPy on the way": HINTS["NumPy on the way"]})
def eq6(disentangling_loss):
    def summed(distance, missing=1.0):
        """Weighted sum over the codes of distance(code, reference), arrays (B, d)."""
        def loss(codes, refs, weights):
            return sum((weights or {}).get(n, missing) * distance(codes[n], refs[n]) for n in codes)
        return loss

    def changed(change):
        """The right loss with other weights: change(weights, codes)."""
        return lambda c, r, w: right(c, r, change(w or {}, c))

    squared = lambda c, r: ((c - r) ** 2).sum(1).mean()
    unit = lambda v: v / np.sqrt((v**2).sum(1, keepdims=True))
    length = lambda v: np.sqrt((v**2).sum(1))
    right = summed(squared)
    lambdas = lambda c, w: [(w or {}).get(n, 1.0) for n in c]
    by_position = lambda c, r, w: right(
        c, dict(zip(c, r.values())), dict(zip(c, w.values())) if w and len(w) == len(c) else w)
    mistaken = {
        "mean over the entries": summed(lambda c, r: ((c - r) ** 2).mean()),
        "sum over the batch": summed(lambda c, r: ((c - r) ** 2).sum()),
        "norm not squared": summed(lambda c, r: length(c - r).mean()),
        "no square": summed(lambda c, r: np.abs(c - r).sum(1).mean()),
        "one root over the batch": summed(lambda c, r: np.sqrt(((c - r) ** 2).sum())),
        "weights ignored": lambda c, r, w: right(c, r, None),
        "zero taken for missing": changed(lambda w, c: {n: w.get(n) or 1.0 for n in c}),
        "missing taken for zero": lambda c, r, w: summed(squared, 0.0)(c, r, w) if w else right(
            c, r, w),
        "weights inside the norm": changed(lambda w, c: {n: w.get(n, 1.0) ** 2 for n in c}),
        "mean over the four codes": lambda c, r, w: right(c, r, w) / 4,
        "weighted mean": lambda c, r, w: right(c, r, w) / sum(lambdas(c, w)),
        "a code left out": changed(lambda w, c: w | {"id": 0.0}),
        "last code only": changed(lambda w, c: {n: w.get(n, 1.0) * (n == [*c][-1]) for n in c}),
        "first sample only": summed(lambda c, r: squared(c[:1], r[:1])),
        "half of the square": lambda c, r, w: right(c, r, w) / 2,
        "1 - cos": summed(lambda c, r: (1 - (unit(c) * unit(r)).sum(1)).mean()),
        "codes normalised first": summed(lambda c, r: squared(unit(c), unit(r))),
        "lengths compared": summed(lambda c, r: ((length(c) - length(r)) ** 2).mean()),
        **dict.fromkeys(("missing key", "no weights at all", "codes cut off", "references cut off",
                         "no gradient", "NumPy on the way"), right)}

    def asked(situation, codes, refs, weights=None, scale=1.0, meaning="", position=by_position):
        numbers = [{n: v.numpy() for n, v in some.items()} for some in (codes, refs)]
        known = answers(mistaken | {"paired by position": position}, *numbers, weights)
        given = [] if weights is None else [dict(weights)]
        return Probe(situation, lambda: scale * disentangling_loss(dict(codes), dict(refs), *given),
                     scale * right(*numbers, weights), {m: scale * v for m, v in known.items()},
                     {"missing key": "'al'", "no weights at all": "NoneType"}, meaning)

    yield asked("codes and references at right angles, all of length 1",
                {n: torch.eye(d, dtype=torch.float64)[:2] for n, d in SIZES.items()},
                {n: torch.eye(d, dtype=torch.float64)[[2, 2]] for n, d in SIZES.items()},
                meaning="4 codes times ||C - C_ref||^2 = 2")
    codes = {name: randn(3, d, seed=d) for name, d in SIZES.items()}
    refs = {name: randn(3, d, seed=10 + d) for name, d in SIZES.items()}
    yield asked("random codes, batch of 3", codes, refs)
    yield asked("random codes, lambdas 1 and 0.5, none for al, 3", codes, refs,
                {"id": 1.0, "ex": 0.5, "ill": 3.0}, position=right)
    weights = dict(zip(SIZES, (2 * rand(4, seed=20) + 0.1).tolist()))
    yield asked("random codes and lambdas", codes, refs, weights)
    yield asked("random codes, lambda of ex 0", codes, refs, weights | {"ex": 0.0})
    yield asked("random codes, no lambda but that of id, 0", codes, refs, {"id": 0.0}, position=right)
    backwards = lambda some: dict(reversed(some.items()))
    alike, alike_ref = ({n: randn(2, 3, seed=s + i) for i, n in enumerate(SIZES)} for s in (30, 40))
    yield asked("codes of 3 entries each, the references' keys in another order",
                alike, backwards(alike_ref), weights)
    yield asked("the same, the lambdas' keys in another order", alike, alike_ref,
                backwards(weights))
    tiny = lambda some: {n: 1e-4 * v for n, v in some.items()}
    yield asked("codes of about 1e-4, lambdas of about 1e-3, times 1e11", tiny(codes), tiny(refs),
                {n: 1e-3 * w for n, w in weights.items()}, 1e11)
    leaves = {f"{kind}['{n}']": v for kind, some in (("codes", alike), ("codes_ref", alike_ref))
              for n, v in some.items()}
    paired = lambda f: lambda *x: f(dict(zip(SIZES, x[:4])), dict(zip(SIZES, x[4:])), dict(weights))
    cut = {name: "references cut off" if "ref" in name else "codes cut off" for name in leaves}
    yield from gradient_probes(paired(disentangling_loss), paired(right), leaves, "random codes",
                               cut)


# -------------------------------------------------------------------------------------------- Eq. 7

@exercise(
    "eq7", "medium", "the velocity loss",
    task="B pairs of consecutive frames, rendered and true. As the norm of one pair take the root "
         "of the mean square over its pixels and channels; the loss is the mean over the pairs. At "
         "a perfect pair its value and its gradient must be 0, and the other pairs keep theirs. "
         f"{DETACH_NOTHING}",
    hint="The derivative of a square root at 0 is infinite, and infinite times 0 is NaN, even in a "
         "branch of torch.where that is not chosen: keep the 0 away from the root.",
    mistakes={
        "squared": "The norm of Eq. 7 is not squared: take the root.",
        "no square": "This is L1: the norm of Eq. 7 is the root of the mean square.",
        "velocities added": "The two velocities are subtracted from one another.",
        "speeds compared": "Subtract the velocities, with their signs, not their absolute values.",
        "norms subtracted": "The norm is of the difference of two velocities, not the difference "
                            "of two norms.",
        "one root over the batch": "Each pair has its own norm: first root, then mean.",
        "sum under the root": "Under the root stands the mean over pixels and channels, not their "
                              "sum, so that the loss does not grow with the size of the image.",
        "divided outside the root": "The number of entries divides under the root: mean first, "
                                    "then root.",
        "channels summed": "The mean under the root is over the three channels too.",
        "a norm for each pixel": "One norm for a whole pair of frames, not one for each pixel.",
        "a norm for each channel": "One norm for a whole pair of frames, not one for each channel.",
        "sum over the pairs": "The mean over the pairs of the batch, not the sum.",
        "first pair only": "The batch has more than one pair.",
        "frames for velocities": "This compares frames, as Eq. 5 does, not their changes.",
        "true velocity left out": "The true frames move too: subtract their velocity.",
        "differences clamped": "Do not clamp: a large difference must count in full.",
        "perfect pairs left out": "A perfect pair counts in the mean over the pairs, with 0.",
        "no gradient at 0": "At a perfect render the gradient is NaN: the root's derivative at 0 "
                            "is infinite. One NaN there and all weights are lost.",
        "no gradient beside a perfect pair": "One perfect pair among others makes the gradient "
                                             "NaN: keep the 0 away from the root pair by pair.",
        "gradient of all pairs 0": "One perfect pair takes the gradient from all pairs: choose "
                                   "pair by pair.",
        "loss above 0": "The loss of a perfect render is the root of the small number that stands "
                        "under the root, added or as a lower bound; it must be 0.",
        "small errors suppressed": "An error of 1e-6 should give 1e-6: no small number under the "
                                   "root, and no threshold above 0.",
        "previous frame cut off": "I^(j-1) was rendered too: the gradient flows through both "
                                  "frames, so do not detach it.",
        **HINTS})
def eq7(velocity_loss):
    rms = lambda e: np.sqrt((e.reshape(len(e), -1) ** 2).mean(1))  # (B,)
    error = lambda i, p, g, q: (i - p) - (g - q)
    right = lambda *f: rms(error(*f)).mean()
    entries = lambda e: e[0].size
    mistaken = {
        "squared": lambda *f: (error(*f) ** 2).mean(), "no square": lambda *f: abs(error(*f)).mean(),
        "velocities added": lambda i, p, g, q: rms((i - p) + (g - q)).mean(),
        "speeds compared": lambda i, p, g, q: rms(abs(i - p) - abs(g - q)).mean(),
        "norms subtracted": lambda i, p, g, q: abs(rms(i - p) - rms(g - q)).mean(),
        "one root over the batch": lambda *f: np.sqrt((error(*f) ** 2).mean()),
        "sum under the root": lambda *f: right(*f) * math.sqrt(entries(f[0])),
        "divided outside the root": lambda *f: right(*f) / math.sqrt(entries(f[0])),
        "channels summed": lambda *f: right(*f) * math.sqrt(3),
        "a norm for each pixel": lambda *f: np.sqrt((error(*f) ** 2).mean(1)).mean(),
        "a norm for each channel": lambda *f: np.sqrt((error(*f) ** 2).mean((2, 3))).mean(),
        "sum over the pairs": lambda *f: rms(error(*f)).sum(),
        "first pair only": lambda *f: rms(error(*f))[0],
        "frames for velocities": lambda i, p, g, q: rms(i - g).mean(),
        "true velocity left out": lambda i, p, g, q: rms(i - p).mean(),
        "differences clamped": lambda *f: rms(error(*f).clip(-1, 1)).mean(),
        "perfect pairs left out": lambda *f: rms(error(*f)).sum() / (rms(error(*f)) > 0).sum()}
    at_corners = dict.fromkeys(("no gradient at 0", "no gradient beside a perfect pair",
                                "gradient of all pairs 0", "small errors suppressed",
                                "previous frame cut off", *HINTS), right)
    epsilon = [0.0]  # what stands under the root in the student's function, if anything

    def asked(situation, frames, scale=1.0, meaning=""):
        numbers = [f.numpy() for f in frames]
        known = answers(mistaken | at_corners, *numbers)
        known["loss above 0"] = np.sqrt(rms(error(*numbers)) ** 2 + epsilon[0]).mean()
        return Probe(situation, lambda: scale * velocity_loss(*(f.clone() for f in frames)),
                     scale * right(*numbers), {m: scale * v for m, v in known.items()},
                     meaning=meaning)

    dyadic = lambda seed, batch=2: (8 * rand(batch, 3, 2, 1, seed=seed)).floor() / 8  # exact sums
    now, before = dyadic(1), dyadic(2)

    def loss_of_perfect():
        loss = velocity_loss(now.clone(), before.clone(), now.clone(), before.clone())
        epsilon[0] = float(as_array(loss).sum()) ** 2
        return loss

    zero = torch.zeros(2, 3, 2, 2, dtype=torch.float64)
    moved = zero + torch.tensor([0.3, 0.5], dtype=torch.float64)[:, None, None, None]
    yield asked("rendered frames brighten by 0.3 and 0.5, true ones by 0.1",
                [moved + 0.2, zero + 0.2, zero + 0.1, zero], meaning="mean of 0.2 and 0.4")
    known = dict.fromkeys(at_corners, 0.0)
    yield Probe("loss of a perfect render",
                whatever(loss_of_perfect, known, "loss above 0",
                         lambda loss: loss.shape == () and loss > 0), 0.0, known, tolerance=1e-13)
    frames = [rand(2, 3, 4, 5, seed=s) for s in range(4)]
    yield asked("random frames", frames)
    yield asked("random numbers of about 3, 3 pairs", [3 * randn(3, 3, 2, 3, seed=s)
                                                       for s in range(4)])
    yield asked("one perfect pair among 3",
                [torch.cat([dyadic(s), dyadic(5 + s % 2, 1)]) for s in range(1, 5)])
    small = {n: dyadic(s) for s, n in enumerate(("image", "previous", "image_gt", "previous_gt"))}
    small = {n: f + 0.1 * randn(*f.shape, seed=s) for s, (n, f) in enumerate(small.items())}
    yield from gradient_probes(velocity_loss, right, small, "2 random pairs",
                               {"previous": "previous frame cut off"}, scale=12)
    yield from perfect_pairs(velocity_loss, now, before, rand(1, 3, 2, 1, seed=5))
    known = {}
    faint = lambda: 1e6 * velocity_loss(*(1e-6 * f for f in frames))
    yield Probe("errors of about 1e-6, loss times 1e6",
                whatever(faint, known, "small errors suppressed",
                         lambda loss: np.isfinite(loss).all()),
                right(*(f.numpy() for f in frames)), known)


def perfect_pairs(velocity_loss, now, before, change):
    """The gradient where both pairs are perfect, then where the second one is off by `change`."""
    rms = float((change**2).mean().sqrt())
    for situation, off in (("all pairs perfect", 0 * change), ("the first of 2 pairs perfect",
                                                               change)):
        slope = torch.cat([0 * off, off]).numpy() / rms  # times 2 pairs of 6 entries
        for sign, name in ((1, "image"), (-1, "previous")):
            def call(name=name, off=off):
                frames = {"image": torch.cat([now[:1], now[1:] + off]), "previous": before.clone()}
                leaves = {n: f.clone().requires_grad_() for n, f in frames.items()}
                loss = velocity_loss(*leaves.values(), now.clone(), before.clone())
                return 12 * gradient(loss, **{name: leaves[name]})

            known = {}
            nan = "no gradient beside a perfect pair"
            if not off.any():
                known, nan = {"no gradient beside a perfect pair": slope}, "no gradient at 0"
            known["gradient of all pairs 0"] = 0 * slope
            yield Probe(f"gradient by {name}, times 12, {situation}",
                        whatever(call, known, nan, lambda g: np.isnan(g).any()), sign * slope,
                        known)
