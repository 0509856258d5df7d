"""losses.py - exercises on Eq. 2, 3 and 6 (Sec. 3.3); images.py has 4, 5, 7, contrast.py 8 and 9.

All answers, right or mistaken, are transcriptions in NumPy, or worked out by hand. Each known
mistake is a function of the same inputs, so that every question can tell it from the others.

In:  a student's function. Out: Probes; checks.py says what they are. Read next: images.py.
"""
import numpy as np
import torch

from classroom.checks import Probe, as_array, exercise, rand, randn
from classroom.questions.contrast import eq8, eq9  # noqa: F401  stubs.py finds them here
from classroom.questions.gradients import (DETACH_NOTHING, DTYPE, HINTS, answers, gradient_probes,
                                           tensors)
from classroom.questions.images import eq4, eq5, eq7  # noqa: F401  stubs.py finds them here

# ----------------------------------------------------------------------------------------- Eq. 2, 3

DEFAULTS = np.array([1.0, 5.0, 10.0])  # lambda_rec, lambda_dis, lambda_v


@exercise(
    "eq2", "easy", "the total loss",
    task="Add up three losses that others have computed, each with its weight. A weight of 0 "
         f"is a weight like others: 0 times its loss is 0. {DETACH_NOTHING}",
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
        "lambda_rec before everything": "lambda_rec weighs L_rec alone, not the sum of all.",
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
        "lambda_rec before everything": lambda l, w: w[0] * (l[0] + l[1:] @ w[1:]),
        **dict.fromkeys(HINTS, total)}

    def asked(situation, losses, weights=None, scale=1.0):
        given = [] if weights is None else weights
        l, w = np.array(losses), DEFAULTS if weights is None else np.array(weights)
        return Probe(situation, lambda: scale * as_array(total_loss(*tensors(*losses), *given)),
                     scale * total(l, w), answers(mistaken, scale * l, w), DTYPE)

    yield asked("L_rec, L_dis, L_v = 0.3, 0.02, 0.07 with the default weights", [0.3, 0.02, 0.07])
    yield asked("L_rec, L_dis, L_v = 1, 1, 1 with the weights 2, 3 and 4", [1.0] * 3, [2.0, 3, 4])
    large, weights = (30 * rand(3) + 10).tolist(), (9 * rand(3, seed=1) + 0.5).tolist()
    yield asked("three random losses and weights", large, weights)
    yield asked("the same, the losses below 0", [-loss for loss in large], weights)
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
        "default of our presets": "0.005 is what our presets hand in; the default is 1.",
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
        "default of our presets": lambda per, pho, w=0.005: w * per + pho,
        "mean for sum": lambda per, pho, w=1.0: (w * per + pho) / 2,
        "weights that add up to 1": lambda per, pho, w=1.0: w * per + (1 - w) * pho,
        "weighted mean": lambda per, pho, w=1.0: (w * per + pho) / (1 + w),
        "zero taken for missing": lambda per, pho, w=1.0: (w or 1) * per + pho,
        "photometric left out": lambda per, pho, w=1.0: w * per,
        "perceptual left out": lambda per, pho, w=1.0: pho,
        "squared again": lambda per, pho, w=1.0: w * per**2 + pho**2,
        **dict.fromkeys(HINTS, right)}
    large, weight = (30 * rand(2) + 1).tolist(), float(rand(1, seed=1)) + 0.1
    signed = large[0], -large[1]
    tiny = (1e-6 * rand(2, seed=2)).tolist()
    for situation, losses, given, scale in (
            ("L_per = 0.25, L_pho = 0.5", (0.25, 0.5), [], 1.0),
            ("L_per = 0.25, L_pho = 0.5, lambda_per = 0.1", (0.25, 0.5), [0.1], 1.0),
            ("random losses and weight", large, [weight], 1.0),
            ("random losses, the second below 0, weight above 1", signed, [4 + weight], 1.0),
            ("random losses, the first below 0", signed[::-1], [weight], 1.0),
            ("random losses, lambda_per = 0", large, [0.0], 1.0),
            ("tiny losses, times 1e6", tiny, [weight], 1e6)):
        known = answers(mistaken, *losses, *given)
        yield Probe(situation,
                    lambda: scale * as_array(reconstruction_loss(*tensors(*losses), *given)),
                    scale * right(*losses, *given), {m: scale * v for m, v in known.items()},
                    DTYPE)
    yield from gradient_probes(lambda *l: reconstruction_loss(*l, weight),
                               lambda *l: right(*l, weight),
                               dict(zip(("l_per", "l_pho"), tensors(*large))),
                               "which is its weight")


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
        "references paired by position": "A code belongs with the reference of the same key, "
                                         "wherever that key stands.",
        "lambdas paired by position": "A code belongs with the lambda of the same key, wherever "
                                      "that key stands.",
        "all paired by position": "Codes, references and lambdas belong together by their keys, "
                                  "not by their order.",
        "weights inside the norm": "lambda stands before the squared norm, not inside it.",
        "mean over the four codes": "Eq. 6 sums over the four codes: do not divide by 4.",
        "weighted mean": "Eq. 6 is a weighted sum: do not divide by the sum of the lambdas.",
        "id left out": "Where is C_id? There are four codes.",
        "ex left out": "Where is C_ex? There are four codes.",
        "al left out": "Where is C_al? There are four codes.",
        "ill left out": "Where is C_ill? There are four codes.",
        "last code only": "Does each code's term overwrite the one before it? Add them.",
        "first sample only": "The batch has more than one sample.",
        "one number per sample": "One number for the whole batch: average over its samples.",
        "half of the square": "There is no 1/2 in Eq. 6.",
        "1 - cos": "Eq. 6 has the squared distance, not 1 minus the cosine.",
        "codes normalised first": "C is compared as it is: it need not stay of unit length.",
        "lengths compared": "The norm is of the difference, not the difference of two norms.",
        "codes cut off": "Gradient flows to the codes, which are learned: do not detach them.",
        "references cut off": "The references are an input like the codes. Who calls the function "
                              "decides what is trained, so detach nothing.",
        **{m: hint for m, hint in HINTS.items() if m != "an input cut off"}})
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
    in_order = lambda c, some: some and dict(zip(c, some.values()))
    by_position = {
        "references paired by position": lambda c, r, w: right(c, in_order(c, r), w),
        "lambdas paired by position": lambda c, r, w: right(c, r, in_order(c, w)),
        "all paired by position": lambda c, r, w: right(c, in_order(c, r), in_order(c, w))}
    mistaken = {
        "mean over the entries": summed(lambda c, r: ((c - r) ** 2).mean()),
        "sum over the batch": summed(lambda c, r: ((c - r) ** 2).sum()),
        "norm not squared": summed(lambda c, r: length(c - r).mean()),
        "no square": summed(lambda c, r: np.abs(c - r).sum(1).mean()),
        "one root over the batch": summed(lambda c, r: np.sqrt(((c - r) ** 2).sum())),
        "weights ignored": lambda c, r, w: right(c, r, None),
        "zero taken for missing": changed(lambda w, c: {n: w.get(n) or 1.0 for n in c}),
        "missing taken for zero": summed(squared, 0.0),
        "weights inside the norm": changed(lambda w, c: {n: w.get(n, 1.0) ** 2 for n in c}),
        "mean over the four codes": lambda c, r, w: right(c, r, w) / 4,
        "weighted mean": lambda c, r, w: right(c, r, w) / sum(lambdas(c, w)),
        **{f"{name} left out": changed(lambda w, c, name=name: w | {name: 0.0}) for name in SIZES},
        "last code only": changed(lambda w, c: {n: w.get(n, 1.0) * (n == [*c][-1]) for n in c}),
        "first sample only": summed(lambda c, r: squared(c[:1], r[:1])),
        "one number per sample": summed(lambda c, r: ((c - r) ** 2).sum(1)),
        "half of the square": lambda c, r, w: right(c, r, w) / 2,
        "1 - cos": summed(lambda c, r: (1 - (unit(c) * unit(r)).sum(1)).mean()),
        "codes normalised first": summed(lambda c, r: squared(unit(c), unit(r))),
        "lengths compared": summed(lambda c, r: ((length(c) - length(r)) ** 2).mean()),
        **dict.fromkeys(("missing key", "no weights at all", "codes cut off", "references cut off",
                         *HINTS), right)}

    def asked(situation, codes, refs, weights=None, scale=1.0, meaning="", error="'al'"):
        numbers = [{n: v.numpy() for n, v in some.items()} for some in (codes, refs)]
        all_given = weights is None or len(weights) == len(codes)
        known = answers(mistaken | (by_position if all_given else {}), *numbers, weights)
        given = [] if weights is None else [dict(weights)]
        errors = {"missing key": error} | DTYPE
        if weights is None:
            errors = {"no weights at all": "NoneType"} | DTYPE
            del known["missing taken for zero"]  # who takes it so may give 0 or the right answer

        def ask():
            try:
                return scale * as_array(disentangling_loss(dict(codes), dict(refs), *given))
            except Exception:  # it has to do with the lambdas, if there is none where all are given
                try:
                    disentangling_loss(dict(codes), dict(refs), dict.fromkeys(codes, 1.0))
                except Exception:
                    errors.pop("no weights at all", None)
                    errors.pop("missing key", None)
                raise

        return Probe(situation, ask, scale * right(*numbers, weights),
                     {m: scale * v for m, v in known.items()}, errors, meaning)

    yield asked("codes and references at right angles, all of length 1",
                {n: torch.eye(d, dtype=torch.float64)[:2] for n, d in SIZES.items()},
                {n: torch.eye(d, dtype=torch.float64)[[2, 2]] for n, d in SIZES.items()},
                meaning="4 codes times ||C - C_ref||^2 = 2")
    codes = {name: randn(3, d, seed=d) for name, d in SIZES.items()}
    refs = {name: randn(3, d, seed=10 + d) for name, d in SIZES.items()}
    yield asked("random codes, batch of 3", codes, refs)
    yield asked("random codes, lambdas 1 and 0.5, none for al, 3", codes, refs,
                {"id": 1.0, "ex": 0.5, "ill": 3.0})
    weights = dict(zip(SIZES, (2 * rand(4, seed=20) + 0.1).tolist()))
    yield asked("random codes and lambdas", codes, refs, weights)
    yield asked("random codes, lambda of ex 0", codes, refs, weights | {"ex": 0.0})
    yield asked("random codes, no lambda but that of id, 0", codes, refs, {"id": 0.0},
                error="NoneType")  # of weights.get(name) without a default
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
