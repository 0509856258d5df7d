"""losses.py - exercises on Eq. 2 to 9: the losses of Sec. 3.3 and 3.4.

All answers, right or mistaken, are transcriptions in NumPy, or worked out by hand.

In:  a student's function. Out: Probes; checks.py says what they are. Read next: inputs.py.
"""
import math

import numpy as np
import torch

from classroom.checks import Probe, exercise, gradient, rand, randn


def tensors(*values):
    return [torch.tensor(v, dtype=torch.float64) for v in values]


# ----------------------------------------------------------------------------------------- Eq. 2, 3

@exercise(
    "eq2", "easy", "the total loss",
    task="Add up three losses that others have computed, each with its weight.",
    hint="One line.",
    mistakes={
        "weights in the wrong order": "Does lambda_dis weigh L_dis, and lambda_v L_v?",
        "weights ignored": "1, 5 and 10 are only the defaults: the weights are arguments.",
        "no weights": "Each loss has a weight in front of it.",
        "velocity left out": "Where is the third term?"})
def eq2(total_loss):
    yield Probe("L_rec, L_dis, L_v = 0.3, 0.02, 0.07 with the default weights",
                lambda: total_loss(*tensors(0.3, 0.02, 0.07)), 0.3 + 5 * 0.02 + 10 * 0.07,
                {"weights in the wrong order": 0.3 + 10 * 0.02 + 5 * 0.07, "no weights": 0.39,
                 "velocity left out": 0.4})
    yield Probe("L_rec, L_dis, L_v = 1, 1, 1 with the weights 2, 3 and 4",
                lambda: total_loss(*tensors(1.0, 1.0, 1.0), 2.0, 3.0, 4.0), 9.0,
                {"weights ignored": 16.0, "no weights": 3.0, "velocity left out": 5.0})


@exercise(
    "eq3", "easy", "the reconstruction loss",
    task="The paper has no weight here; ours has one for L_per, so that it can be turned down.",
    hint="One line.",
    mistakes={
        "weight on the other loss": "lambda_per weighs L_per, not L_pho.",
        "weight on both": "lambda_per weighs L_per alone.",
        "weight ignored": "lambda_per is an argument; 1 is only its default.",
        "mean for sum": "Eq. 3 adds; there is no half in it."})
def eq3(reconstruction_loss):
    yield Probe("L_per = 0.25, L_pho = 0.5", lambda: reconstruction_loss(*tensors(0.25, 0.5)), 0.75,
                {"mean for sum": 0.375})
    yield Probe("L_per = 0.25, L_pho = 0.5, lambda_per = 0.1",
                lambda: reconstruction_loss(*tensors(0.25, 0.5), 0.1), 0.525,
                {"weight on the other loss": 0.3, "weight on both": 0.075, "weight ignored": 0.75,
                 "mean for sum": 0.2625})


# -------------------------------------------------------------------------------------------- Eq. 4

@exercise(
    "eq4", "easy", "the perceptual loss",
    task="phi and phi_gt are lists, one activation per layer, of unlike sizes. VGG16 is given.",
    hint="The sizes of layers differ: first the mean square of one, then the sum over the layers.",
    mistakes={
        "no square": "This is L1. Eq. 4 has squared norms.",
        "root of the mean square": "Eq. 4 has squared norms: no square root.",
        "mean over the layers": "Eq. 4 sums over the layers i.",
        "sum for mean": "So it stands in the paper, but then large images count more: take the "
                        "mean over a layer's entries, as the docstring says.",
        "one mean over all entries": "Each layer has a mean of its own; otherwise the first, "
                                     "largest layer drowns the others."})
def eq4(perceptual_loss):
    sizes = [(2, 4, 3, 5), (2, 6, 2, 2)]
    phi, phi_gt = [randn(*s, seed=1) for s in sizes], [randn(*s, seed=2) for s in sizes]

    def mistaken(layers):
        squares = [float((d**2).mean()) for d in layers]
        return {"no square": sum(float(np.abs(d).mean()) for d in layers),
                "mean over the layers": sum(squares) / 2,
                "root of the mean square": sum(math.sqrt(s) for s in squares),
                "sum for mean": sum(float((d**2).sum()) for d in layers),
                "one mean over all entries": sum(float((d**2).sum()) for d in layers)
                / sum(d.size for d in layers)}

    off = [np.full((1, 8, 4, 4), 0.5), np.full((1, 16, 2, 2), -2.0)]
    yield Probe("one layer is off by 0.5 everywhere, the other by -2",
                lambda: perceptual_loss([torch.tensor(d) for d in off],
                                        [torch.zeros(d.shape) for d in off]), 4.25,
                mistaken(off), meaning="0.5^2 + 2^2")
    error = [(a - b).numpy() for a, b in zip(phi, phi_gt)]
    yield Probe("two layers of random numbers", lambda: perceptual_loss(phi, phi_gt),
                sum(float((d**2).mean()) for d in error), mistaken(error))
    leaf = randn(1, 2, 3, 3).requires_grad_()
    yield Probe("gradient by phi: 2 (phi - phi_gt) / entries",
                lambda: gradient(perceptual_loss([leaf], [torch.zeros(1, 2, 3, 3)]), leaf),
                2 * leaf.detach() / 18)


# -------------------------------------------------------------------------------------------- Eq. 5

@exercise(
    "eq5", "easy", "the photometric loss",
    task="m is the soft mask of the face, one channel for all three colours.",
    hint="m(I) = m * I, for both images, before anything is squared.",
    mistakes={
        "mask not squared": "The mask is inside the norm: m(I) - m(I_GT) is squared with it.",
        "divided by the mask's area": "Divide by the number of all entries, masked or not.",
        "sum for mean": "The mean over pixels and channels, so that the weights of Eq. 2 do not "
                        "depend on the size.",
        "no square": "This is L1. Eq. 5 has a squared norm.",
        "mask on one image only": "Both images are masked, or true background is error."})
def eq5(photometric_loss):
    image, image_gt, m = rand(2, 3, 4, 5), rand(2, 3, 4, 5, seed=1), rand(2, 1, 4, 5, seed=2)
    grey = torch.full((1, 3, 4, 4), 0.3, dtype=torch.float64)
    half = torch.full((1, 1, 4, 4), 0.5, dtype=torch.float64)
    yield Probe("images that differ by 0.2 everywhere under a mask of 0.5",
                lambda: photometric_loss(grey + 0.2, grey.clone(), half), 0.01,
                {"mask not squared": 0.02, "divided by the mask's area": 0.02, "sum for mean": 0.48,
                 "no square": 0.1, "mask on one image only": 0.05**2}, meaning="(0.5 * 0.2)^2")
    a, b, mask = image.numpy(), image_gt.numpy(), m.numpy()
    squares = (mask * a - mask * b) ** 2
    yield Probe("random images and mask",
                lambda: photometric_loss(image.clone(), image_gt.clone(), m.clone()),
                squares.mean(),
                {"mask not squared": (mask * (a - b) ** 2).mean(), "sum for mean": squares.sum(),
                 "divided by the mask's area": squares.sum() / (3 * mask.sum()),
                 "no square": np.abs(mask * (a - b)).mean(),
                 "mask on one image only": ((mask * a - b) ** 2).mean()})
    leaf = image.clone().requires_grad_()
    yield Probe("gradient by I: 2 m^2 (I - I_GT) / entries",
                lambda: gradient(photometric_loss(leaf, image_gt, m), leaf),
                2 * mask**2 * (a - b) / a.size)


# -------------------------------------------------------------------------------------------- Eq. 6

SIZES = {"id": 5, "ex": 4, "al": 3, "ill": 6}


@exercise(
    "eq6", "easy", "the disentangling loss",
    task="codes and codes_ref have the keys id, ex, al and ill. `weights` may be None or lack "
         "keys: a lambda that is not given is 1.",
    hint="Per code: squared norm over its d entries, mean over the batch. Then the weighted sum.",
    mistakes={
        "mean over the entries": "The squared norm sums a code's entries; average the batch.",
        "sum over the batch": "Average over the batch, or the loss grows with its size.",
        "norm not squared": "Eq. 6 has squared norms: no square root.",
        "weights ignored": "Each code has its lambda; `weights` may hold some of them.",
        "a code left out": "There are four codes."})
def eq6(disentangling_loss):
    codes = {name: randn(3, d, seed=d) for name, d in SIZES.items()}
    refs = {name: randn(3, d, seed=10 + d) for name, d in SIZES.items()}
    squared = {n: ((codes[n] - refs[n]).numpy() ** 2).sum(1) for n in SIZES}  # (3,) each
    means = {name: s.mean() for name, s in squared.items()}
    yield Probe("codes and references at right angles, all of length 1",
                lambda: disentangling_loss({n: torch.eye(d)[:2] for n, d in SIZES.items()},
                                           {n: torch.eye(d)[[2, 2]] for n, d in SIZES.items()}),
                8.0, {"norm not squared": 4 * math.sqrt(2),
                      "mean over the entries": sum(2 / d for d in SIZES.values()),
                      "sum over the batch": 16.0, "a code left out": 6.0},
                meaning="4 codes times ||C - C_ref||^2 = 2")
    weights = {"id": 1.0, "ex": 0.5, "ill": 3.0}
    weigh = lambda values: sum(weights.get(n, 1.0) * v for n, v in values.items())
    yield Probe("random codes, batch of 3, lambdas 1, 0.5, not given, 3",
                lambda: disentangling_loss(codes, refs, dict(weights)), weigh(means),
                {"weights ignored": sum(means.values()), "sum over the batch": 3 * weigh(means),
                 "mean over the entries": weigh({n: means[n] / d for n, d in SIZES.items()}),
                 "norm not squared": weigh({n: np.sqrt(s).mean() for n, s in squared.items()})})
    leaf = codes["id"].clone().requires_grad_()
    yield Probe("gradient by C_id: 2 (C - C_ref) / B",
                lambda: gradient(disentangling_loss({**codes, "id": leaf}, refs), leaf),
                2 * (codes["id"] - refs["id"]) / 3)


# -------------------------------------------------------------------------------------------- Eq. 7

@exercise(
    "eq7", "medium", "the velocity loss",
    task="B pairs of consecutive frames, rendered and true. As the norm of one pair take the root "
         "of the mean square over its pixels and channels; the loss is the mean over the pairs. At "
         "a perfect render value and gradient must be 0.",
    hint="The derivative of a square root at 0 is infinite, and infinite times 0 is NaN, even in a "
         "branch of torch.where that is not chosen: keep the 0 away from the root.",
    mistakes={
        "squared": "The norm of Eq. 7 is not squared: take the root.",
        "velocities added": "The two velocities are subtracted from one another.",
        "one root over the batch": "Each pair has its own norm: first root, then mean.",
        "sum under the root": "Under the root stands the mean over pixels and channels, not their "
                              "sum, so that the loss does not grow with the size of the image.",
        "frames for velocities": "This compares frames, as Eq. 5 does, not their changes.",
        "no gradient at 0": "At a perfect render the gradient is NaN: the root's derivative at 0 "
                            "is infinite. One NaN there and all weights are lost.",
        "previous frame cut off": "I^(j-1) was rendered too: the gradient flows through both "
                                  "frames, so do not detach it.",
        "loss above 0": "The loss of a perfect render is the root of the small number that stands "
                        "under the root, added or as a lower bound; it must be 0."})
def eq7(velocity_loss):
    zero = torch.zeros(2, 3, 2, 2, dtype=torch.float64)
    moved = zero + torch.tensor([0.3, 0.5], dtype=torch.float64)[:, None, None, None]
    yield Probe("rendered frames brighten by 0.3 and 0.5, true ones by 0.1",
                lambda: velocity_loss(moved + 0.2, zero + 0.2, zero + 0.1, zero.clone()), 0.3,
                {"squared": 0.1, "velocities added": 0.5, "one root over the batch": math.sqrt(0.1),
                 "sum under the root": 0.3 * math.sqrt(12), "frames for velocities": 0.5,
                 "previous frame cut off": 0.3, "loss above 0": 0.3}, meaning="mean of 0.2 and 0.4")
    frames = [rand(2, 3, 4, 5, seed=s) for s in range(4)]
    now, before, now_gt, before_gt = (f.numpy() for f in frames)
    rms = lambda e: np.sqrt((e.reshape(2, -1) ** 2).mean(1))
    error = (now - before) - (now_gt - before_gt)
    yield Probe("random frames", lambda: velocity_loss(*[f.clone() for f in frames]),
                rms(error).mean(),
                {"squared": (rms(error) ** 2).mean(),
                 "velocities added": rms(now - before + now_gt - before_gt).mean(),
                 "one root over the batch": np.sqrt((error**2).mean()),
                 "sum under the root": rms(error).mean() * math.sqrt(60),
                 "frames for velocities": rms(now - now_gt).mean()})
    both = torch.stack(frames[:2]).requires_grad_()  # I^j and I^(j-1)
    slope = error / rms(error)[:, None, None, None] / error.size
    yield Probe("gradient by [I^j, I^(j-1)] at random frames: "
                "error / (RMS * entries), and minus that",
                lambda: gradient(velocity_loss(*both, *frames[2:]), both),
                np.stack([slope, -slope]),
                {"previous frame cut off": np.stack([slope, 0 * slope])}, tolerance=1e-6)
    leaf = torch.full((2, 3, 2, 2), 0.1, dtype=torch.float64).requires_grad_()
    yield Probe("gradient of a perfect render",
                lambda: gradient(velocity_loss(leaf, zero.clone(), zero + 0.1, zero.clone()), leaf),
                np.zeros((2, 3, 2, 2)), {"no gradient at 0": np.full((2, 3, 2, 2), np.nan)})
    yield Probe("is the loss of a perfect render 0 exactly: 1 if so, else 0",
                lambda: float(velocity_loss(zero + 0.1, zero.clone(), zero + 0.1,
                                            zero.clone()) == 0), 1.0,
                {"loss above 0": 0.0})


# -------------------------------------------------------------------------------------------- Eq. 9

@exercise(
    "eq9", "easy", "the cosine similarity",
    task="One number for each pair of vectors; vectors lie along the last axis. A zero vector has "
         "the similarity 0 to everything.",
    hint="Without a guard a zero vector gives 0 / 0.",
    mistakes={
        "no norms": "This is the dot product: divide by both lengths.",
        "one norm": "Divide by the length of both vectors.",
        "squared norms": "Divide by the lengths, not by their squares.",
        "one sum over all vectors": "Each pair has its own number: sum over the last axis alone.",
        "one minus": "The paper says distance, but Eq. 9 is the cosine: 1 for the same direction.",
        "zero vector": "0 / 0 at a zero vector: keep the denominator away from 0."})
def eq9(cosine_similarity):
    a = torch.tensor([[4.0, 0.0]] * 4, dtype=torch.float64)
    b = torch.tensor([[2.0, 0.0], [-3.0, 0.0], [0.0, 5.0], [1.0, math.sqrt(3)]],
                     dtype=torch.float64)
    norms = np.array([2.0, 3.0, 5.0, 2.0])
    cosine = np.array([1, -1, 0, 0.5])
    yield Probe("angles of 0, 180, 90 and 60 degrees",
                lambda: cosine_similarity(a.clone(), b.clone()), cosine,
                {"no norms": 4 * norms * cosine, "squared norms": cosine / (4 * norms),
                 "one minus": 1 - cosine})
    c, d = randn(2, 3, 5), randn(2, 3, 5, seed=1)
    p, q = c.numpy(), d.numpy()
    dot, lengths = (p * q).sum(-1), (np.sqrt((p**2).sum(-1)), np.sqrt((q**2).sum(-1)))
    yield Probe("2 x 3 pairs of random vectors", lambda: cosine_similarity(c.clone(), d.clone()),
                dot / (lengths[0] * lengths[1]),
                {"no norms": dot, "one norm": dot / lengths[0],
                 "squared norms": dot / (lengths[0] * lengths[1]) ** 2,
                 "one minus": 1 - dot / (lengths[0] * lengths[1]),
                 "one sum over all vectors": dot.sum() / (lengths[0] * lengths[1])})
    yield Probe("2 x 1 vectors against 2 x 3: the axes before the last broadcast",
                lambda: cosine_similarity(c[:, :1].clone(), d.clone()),
                (p[:, :1] * q).sum(-1) / (lengths[0][:, :1] * lengths[1]))
    yield Probe("a zero vector", lambda: cosine_similarity(torch.zeros(1, 3), torch.ones(1, 3)),
                [0.0], {"zero vector": [np.nan]})


# -------------------------------------------------------------------------------------------- Eq. 8

def cosines(anchor, positive, negatives):
    """d+ (B,) and d- (B, N) in NumPy, from unit vectors."""
    unit = lambda v: v / np.sqrt((v**2).sum(-1, keepdims=True))
    a = unit(anchor.numpy())
    return (a * unit(positive.numpy())).sum(-1), (a[:, None] * unit(negatives.numpy())).sum(-1)


def dots(anchor, positive, negatives):
    """d+ and d- as one gets them without norms."""
    a = anchor.numpy()
    return (a * positive.numpy()).sum(-1), (a[:, None] * negatives.numpy()).sum(-1)


def contrast(d_pos, d_neg, tau):
    """Eq. 8 from d+ and d-."""
    return (np.log(np.exp(d_pos / tau) + np.exp(d_neg / tau).sum(1)) - d_pos / tau).mean()


def contrast_mistakes(d_pos, d_neg, tau):
    """Eq. 8 from cosines with each of its known mistakes, B anchors."""
    p, n = np.exp(d_pos / tau), np.exp(d_neg / tau)  # (B,), (B, N)
    each = -np.log(p / (p + n.sum(1)))
    together = np.exp(np.concatenate([d_pos[:, None], d_neg], 1) / tau)
    wrong_axis = np.full(1, np.nan)
    if len(d_pos) == together.shape[1]:
        wrong_axis = np.log(together.sum(0)) - d_pos / tau
    return {
        "positive not in the denominator": -np.log(p / n.sum(1)).mean(),
        "mean over the negatives": -np.log(p / (p + n.mean(1))).mean(),
        "tau forgotten": contrast(d_pos, d_neg, 1.0),
        "tau on the wrong side": contrast(d_pos, d_neg, 1 / tau),
        "sum over the anchors": each.sum(), "no minus": -each.mean(),
        "softmax over the wrong axis": wrong_axis.mean()}


@exercise(
    "eq8", "medium", "the lip sync loss, InfoNCE",
    task="One number for the whole batch. Eq. 9 is given: `cosine_similarity` works on the last "
         "axis and broadcasts the others. The loss must also hold at tau = 0.001, where exp "
         "overflows.",
    hint="-log(p / (p + n)) is log(p + n) - log(p): a logsumexp minus a logit.",
    mistakes={
        "positive not in the denominator": "Is the positive in the denominator?",
        "mean over the negatives": "The denominator sums over the N negatives.",
        "batch rows for negatives": "The negatives of anchor b are given, negatives[b]; these are "
                                    "the positives of the other anchors.",
        "negatives of all anchors": "Anchor b has N negatives, negatives[b], not B * N.",
        "dot product": "d is Eq. 9, the cosine; a plain dot product grows with the vectors.",
        "tau forgotten": "tau is missing: divide each cosine by tau before the exponential.",
        "tau on the wrong side": "tau divides the cosine inside the exponential.",
        "softmax over the wrong axis": "The softmax is over an anchor's 1 + N candidates.",
        "sum over the anchors": "The mean over the anchors of the batch, not the sum.",
        "no minus": "It is a loss, minus the log: it falls when the positive comes closer.",
        "overflow": "exp overflows at a small tau: use logsumexp."})
def eq8(info_nce):
    same = torch.ones(2, 4, dtype=torch.float64)
    alike = np.ones(2), np.ones((2, 10))
    known = {m: v for m, v in contrast_mistakes(*alike, 0.5).items()  # all alike: tau does not show
             if m not in ("tau forgotten", "tau on the wrong side", "softmax over the wrong axis")}
    known |= {"batch rows for negatives": math.log(2), "negatives of all anchors": math.log(21)}
    yield Probe("anchor, positive and all 10 negatives alike",
                lambda: info_nce(same.clone(), same.clone(), same[:, None].repeat(1, 10, 1)),
                math.log(11), known, meaning="ln 11")
    anchor, positive, negatives = randn(3, 5), randn(3, 5, seed=1), randn(3, 2, 5, seed=2)
    d_pos, d_neg = cosines(anchor, positive, negatives)
    _, across = cosines(anchor, positive, positive.expand(3, 3, 5))  # (3, 3): anchor b, positive c
    every = negatives.view(1, 6, 5).expand(3, 6, 5)
    _, d_all = cosines(anchor, positive, every)  # (3, 6): anchor b, each negative
    for given, tau in (([0.1], 0.1), ([], 0.5)):
        known = contrast_mistakes(d_pos, d_neg, tau) | {
            "dot product": contrast(*dots(anchor, positive, negatives), tau),
            "negatives of all anchors": contrast(d_pos, d_all, tau),
            "batch rows for negatives": (np.log(np.exp(across / tau).sum(1)) - d_pos / tau).mean()}
        yield Probe("3 anchors with 2 random negatives each, tau = "
                    f"{tau}{'' if given else ', the default'}",
                    lambda: info_nce(anchor.clone(), positive.clone(), negatives.clone(), *given),
                    contrast(d_pos, d_neg, tau), known)
    yield Probe("tau = 0.001, positive opposite, negatives equal to the anchor",
                lambda: info_nce(same.clone(), -same, same[:, None].repeat(1, 10, 1), 0.001),
                2000 + math.log(10), {"overflow": np.inf}, meaning="2000 + ln 10")
    leaf = positive.clone().requires_grad_()
    yield Probe("part of the gradient by F_al+ that would change its length",
                lambda: (gradient(info_nce(anchor, leaf, negatives), leaf).view(3, 5)
                         * positive).sum(1), np.zeros(3))
