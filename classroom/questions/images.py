"""images.py - exercises on Eq. 4, 5 and 7: the losses of Sec. 3.3 that compare pictures.

All answers, right or mistaken, are transcriptions in NumPy, or worked out by hand. Each known
mistake is a function of the same inputs, so that every question can tell it from the others.

In:  a student's function. Out: Probes; checks.py says what they are. Read next: contrast.py.
"""
import math

import numpy as np
import torch

from classroom.checks import Probe, as_array, equal, exercise, raises, rand, randn
from classroom.questions.gradients import (DETACH_NOTHING, DTYPE, HINTS, answers, gradient_probes,
                                           slope_of, whatever)

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
        "sum over the batch": "The mean goes over the samples of the batch too.",
        "one number per layer": "One number in the end: sum over the layers.",
        "first layer left out": "Where is the first layer, phi[0]?",
        "last layer left out": "Where is the last layer, phi[-1]?",
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
        "sum over the batch": per_layer(lambda a, b: ((a - b) ** 2).mean() * len(a)),
        "one number per layer": lambda a, b: np.array([((x - y) ** 2).mean()
                                                       for x, y in zip(a, b)]),
        "first layer left out": lambda a, b: right(a[1:], b[1:]),
        "last layer left out": lambda a, b: right(a[:-1], b[:-1]),
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
        if not b[0].any():  # zeros cannot be normalised, and each way gives something else
            del known["channels of length 1"]
        return Probe(situation, lambda: scale * as_array(perceptual_loss([*a], [*b])),
                     scale * right([x.numpy() for x in a], [x.numpy() for x in b]),
                     {m: scale * value for m, value in known.items()}, DTYPE, meaning)

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
                               lambda *x: right(x[:2], x[2:]), small, "2 random layers", scale=10.0)
    for a, b in ((phi[:2], phi_gt), (phi, phi_gt[:2])):
        ask = lambda: as_array(perceptual_loss([*a], [*b]))
        yield Probe(f"errors raised for {len(a)} activations against {len(b)}",
                    lambda: raises("ValueError", ask), 1.0,
                    {"layers left out in silence": 0.0},
                    {"layers left out in silence": "index out of range"},
                    meaning="a ValueError")


# -------------------------------------------------------------------------------------------- Eq. 5

@exercise(
    "eq5", "easy", "the photometric loss",
    task="m is the soft mask of the face, one channel for all three colours. A render can leave "
         f"[0, 1], and counts as it is. Images may be transposed tensors. {DETACH_NOTHING}",
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
        "sum over the batch": "The mean goes over the images of the batch too.",
        "not averaged": "One number for the whole batch: the mean over all entries.",
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
        "view of a transposed tensor": "A transposed image does not lie in memory in order, and "
                                       "cannot be viewed in another shape: reshape it.",
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
        "sum over the batch": lambda i, g, m: right(i, g, m) * len(i),
        "not averaged": lambda i, g, m: (m * i - m * g) ** 2,
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
        **dict.fromkeys((*HINTS, "view of a transposed tensor"), right)}

    def asked(situation, inputs, scale=1.0, meaning=""):
        numbers = [x.numpy() for x in inputs]
        known = answers(mistaken, *numbers)
        ask = lambda: scale * as_array(photometric_loss(*(x.clone() for x in inputs)))
        return Probe(situation, ask, scale * right(*numbers),
                     {n: scale * value for n, value in known.items()}, DTYPE, meaning)

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
    turned = lambda: photometric_loss(*(x.transpose(2, 3) for x in (image, image_gt, m)))
    yield Probe("the same 2 random images, transposed", turned,
                right(*(x.numpy() for x in (image, image_gt, m))),
                errors={"view of a transposed tensor": "reshape("})
    yield Probe("the masks are 0 everywhere",
                lambda: photometric_loss(image.clone(), image_gt.clone(), 0 * m), 0.0)
    small = {"image": 4 * rand(2, 3, 2, 1, seed=6) - 1.5, "image_gt": rand(2, 3, 2, 1, seed=7),
             "m": rand(2, 1, 2, 1, seed=8)}
    yield from gradient_probes(photometric_loss, right, small, "2 random images", scale=12.0)


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
        "one number per pair": "One number for the whole batch: the mean over the pairs.",
        "sum over the pairs": "The mean over the pairs of the batch, not the sum.",
        "first pair only": "The batch has more than one pair.",
        "frames for velocities": "This compares frames, as Eq. 5 does, not their changes.",
        "true velocity left out": "The true frames move too: subtract their velocity.",
        "differences clamped": "Do not clamp: a large difference must count in full.",
        "0 beside a perfect pair": "One perfect pair makes the whole loss 0: choose pair by pair.",
        "frames added": "Here the previous frames are added: a velocity is a frame minus the one "
                        "before it, in the same clip.",
        "sign lost in the mean": "Square each entry before the mean; otherwise differences of "
                                 "opposite sign cancel.",
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
        "squared": lambda *f: (error(*f) ** 2).mean(),
        "no square": lambda *f: abs(error(*f)).mean(),
        "velocities added": lambda i, p, g, q: rms((i - p) + (g - q)).mean(),
        "speeds compared": lambda i, p, g, q: rms(abs(i - p) - abs(g - q)).mean(),
        "norms subtracted": lambda i, p, g, q: abs(rms(i - p) - rms(g - q)).mean(),
        "one root over the batch": lambda *f: np.sqrt((error(*f) ** 2).mean()),
        "sum under the root": lambda *f: right(*f) * math.sqrt(entries(f[0])),
        "divided outside the root": lambda *f: right(*f) / math.sqrt(entries(f[0])),
        "channels summed": lambda *f: right(*f) * math.sqrt(3),
        "a norm for each pixel": lambda *f: np.sqrt((error(*f) ** 2).mean(1)).mean(),
        "a norm for each channel": lambda *f: np.sqrt((error(*f) ** 2).mean((2, 3))).mean(),
        "one number per pair": lambda *f: rms(error(*f)),
        "sum over the pairs": lambda *f: rms(error(*f)).sum(),
        "first pair only": lambda *f: rms(error(*f))[0],
        "frames for velocities": lambda i, p, g, q: rms(i - g).mean(),
        "true velocity left out": lambda i, p, g, q: rms(i - p).mean(),
        "differences clamped": lambda *f: rms(error(*f).clip(-1, 1)).mean(),
        "0 beside a perfect pair": lambda *f: right(*f) * (rms(error(*f)) > 0).all(),
        "frames added": lambda i, p, g, q: rms((i + p) - (g + q)).mean(),
        "sign lost in the mean": lambda *f: abs(error(*f).mean((1, 2, 3))).mean(),
        "perfect pairs left out": lambda *f: rms(error(*f)).sum() / (rms(error(*f)) > 0).sum()}
    at_corners = ("no gradient at 0", "no gradient beside a perfect pair",
                  "gradient of all pairs 0", "small errors suppressed")
    right_value = dict.fromkeys((*at_corners, "previous frame cut off", *HINTS), right)
    epsilon = []  # what stands under the root in the student's function, if anything

    def asked(situation, frames, meaning=""):
        numbers = [f.numpy() for f in frames]
        known = answers(mistaken | right_value, *numbers)
        ask = lambda: velocity_loss(*(f.clone() for f in frames))
        if epsilon:
            squares = rms(error(*numbers)) ** 2
            ways = [np.sqrt(squares + epsilon[0]), np.sqrt(np.maximum(squares, epsilon[0]))]
            ask = whatever(ask, known, "loss above 0",
                           lambda loss: any(equal(loss, way.mean(), 1e-5) for way in ways))
        return Probe(situation, ask, right(*numbers), known, DTYPE, meaning)

    dyadic = lambda seed, batch=2: (8 * rand(batch, 3, 2, 1, seed=seed)).floor() / 8  # exact sums
    now, before = dyadic(1), dyadic(2)

    def loss_of_perfect():
        loss = velocity_loss(now.clone(), before.clone(), now.clone(), before.clone())
        epsilon.append(float(as_array(loss).sum()) ** 2)
        return loss

    zero = torch.zeros(2, 3, 2, 2, dtype=torch.float64)
    moved = zero + torch.tensor([0.3, 0.5], dtype=torch.float64)[:, None, None, None]
    yield asked("rendered frames brighten by 0.3 and 0.5, true ones by 0.1",
                [moved + 0.2, zero + 0.2, zero + 0.1, zero], meaning="mean of 0.2 and 0.4")
    known = dict.fromkeys(right_value, 0.0)
    yield Probe("loss of a perfect render",
                whatever(loss_of_perfect, known, "loss above 0",
                         lambda loss: loss.shape == () and 0 < loss < 10), 0.0, known,
                tolerance=1e-13)
    frames = [rand(2, 3, 4, 5, seed=s) for s in range(4)]
    yield asked("random frames", frames)
    yield asked("random numbers of about 3, 3 pairs",
                [3 * randn(3, 3, 2, 3, seed=s) for s in range(4)])
    yield asked("one random pair", [f[1:] for f in frames])
    yield asked("one perfect pair among 3",
                [torch.cat([dyadic(s), dyadic(5 + s % 2, 1)]) for s in range(1, 5)])
    small = {n: dyadic(s) for s, n in enumerate(("image", "previous", "image_gt", "previous_gt"))}
    small = {n: f + 0.1 * randn(*f.shape, seed=s) for s, (n, f) in enumerate(small.items())}
    yield from gradient_probes(velocity_loss, right, small, "2 random pairs",
                               {"previous": "previous frame cut off"},
                               right_here=at_corners, scale=12.0)
    yield from perfect_pairs(velocity_loss, now, before, rand(1, 3, 2, 1, seed=5))
    known = {}
    faint = lambda: 1e6 * as_array(velocity_loss(*(1e-6 * f for f in frames)))
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
                return 12 * slope_of(loss, **{name: leaves[name]})

            known = {}
            nan = "no gradient beside a perfect pair"
            if not off.any():
                known, nan = {"no gradient beside a perfect pair": slope}, "no gradient at 0"
            known["gradient of all pairs 0"] = 0 * slope
            yield Probe(f"gradient by {name}, times 12, {situation}",
                        whatever(call, known, nan, lambda g: np.isnan(g).any()), sign * slope,
                        known)
