"""whole_ray.py - the exercise on Eq. 1 as a whole: a ray's samples, field and picture (Sec. 3.2).

The oracle is render.render_rays again in NumPy, ray by ray, and a closed form.

In:  a student's function. Out: Probes; checks.py says what they are. Read next: losses.py.
"""
import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from classroom.checks import Probe, as_array, equal, exercise, gradient, rand, randn, run_seed
from classroom.props import Cloud, Jitter
from classroom.questions.field import CUT, central_differences, pair
from classroom.questions.gradients import whatever
from classroom.questions.rendering import inverse_cdf, strata


@dataclass(frozen=True)
class Scene:
    """A Cloud of classroom/props.py and rays through its box, in NumPy."""
    origins: np.ndarray  # (B, R, 3)
    directions: np.ndarray
    conditions: dict[str, np.ndarray]
    n_coarse: int
    n_fine: int
    jitter: tuple[np.ndarray, np.ndarray] | None = None  # of the coarse and the fine samples
    body: tuple[np.ndarray, np.ndarray] | None = None
    box: tuple[float, ...] = (-1.2, -1.0, -1.1, 1.0, 1.3, 0.9)

    def near_far(self, at, flaw=None):
        """Where the ray number `at` = (frame, ray) enters the box and leaves it."""
        if flaw == "one near and far for all":
            all_rays = [self.near_far(one) for one in np.ndindex(*self.origins.shape[:2])]
            return min(near for near, _ in all_rays), max(far for _, far in all_rays)
        whose = None if flaw in ("body left out", "box about the head's rays") else self.body
        origins, directions = whose or (self.origins, self.directions)
        o, d = origins[at], directions[at]
        faces = np.sort(np.stack([(np.array(self.box[:3]) - o) / d,
                                  (np.array(self.box[3:]) - o) / d]), 0)
        near = max(faces[0].max(), 0.0)
        far = max(faces[1].min(), near)
        return (0.0, far) if flaw == "from the camera on" else (near, far)

    def field(self, at, t, flaw=None):
        """sigma (S,) and the hidden layer (S, 4) of a ray at the distances t."""
        x = self.origins[at] + t[:, None] * self.directions[at]
        if self.body is not None and flaw not in ("body left out", "body for the box alone"):
            other = self.body[0][at] + t[:, None] * self.body[1][at]
            if flaw == "joined the other way round":
                x, other = other, x
            x = x + (other - x) / (1 + np.exp(-other[:, 1:2]))
        density, sharpness, shade = (self.conditions[name][at[0]]
                                     for name in ("density", "sharpness", "shade"))
        across = x[:, 0] + 0.5 * x[:, 1] + x[:, 2] - 0.25
        h = shade * np.column_stack([x, np.ones(len(t))])
        return density * np.exp(-sharpness * across**2), h


def lengths(t, near, far, flaw=None):
    """Intervals of the samples of a ray, in the order given."""
    if flaw == "equal intervals":
        return np.full(len(t), (far - near) / len(t))
    if flaw == "from sample to sample":
        edges = t, [far]
    elif flaw == "NeRF's own intervals":
        return np.concatenate([t[1:] - t[:-1], [1e10]])
    else:
        edges = [near], 0.5 * (t[1:] + t[:-1]), [far]
    edges = np.concatenate(edges)
    if flaw == "last interval endless in both passes":
        return np.append(edges[1:-1] - edges[:-2], 1e10)
    return edges[1:] - edges[:-1]


def absorbed(sigma, delta):
    depth = sigma * delta
    return np.exp(depth - np.cumsum(depth)) * (1 - np.exp(-depth))


def places(scene, at, flaw=None):
    """Distances of the coarse and of the fine samples of a ray, each in order."""
    near, far = scene.near_far(at, flaw)
    jitter = [None if scene.jitter is None or flaw == "generator unused" else part[at]
              for part in scene.jitter or (None, None)]
    coarse = None if flaw == "coarse samples without jitter" else jitter[0]
    t = near + (far - near) * strata(scene.n_coarse, coarse)
    if not scene.n_fine or flaw == "fine samples left out":
        return t, t[:0]
    sigma, _ = scene.field(at, t, flaw)
    weights = absorbed(sigma, lengths(t, near, far, flaw))
    edges = np.concatenate([[near], 0.5 * (t[1:] + t[:-1]), [far]])
    if flaw == "density for weights":
        weights = sigma
    if flaw == "bins without their ends":
        weights, edges = weights[1:-1], edges[1:-1]
    if flaw == "fine samples evenly":
        return t, near + (far - near) * strata(scene.n_fine, jitter[1])
    u = strata(scene.n_fine, None if flaw == "fine samples without jitter" else jitter[1])
    return t, inverse_cdf(edges, weights, u)


def seen(scene, at, t, flaw=None, coarse=None, fine=None):
    """Features and opacity of a ray, (6,). coarse, fine: scenes that answered these samples."""
    (t_coarse, t_fine), (near, far) = t, scene.near_far(at, flaw)
    parts = [(coarse or scene).field(at, t_coarse, flaw), (fine or scene).field(at, t_fine, flaw)]
    apart = [lengths(part, near, far, flaw) for part in t if len(part)]
    if flaw == "coarse samples thrown away" and len(t_fine):
        t, (sigma, h) = t_fine, parts[1]
    else:
        t, sigma, h = (np.concatenate(both) for both in (t, *zip(*parts)))
    order = np.arange(len(t)) if flaw == "union not sorted" else t.argsort()
    if flaw == "sorted from far to near":
        order = order[::-1]
    delta = lengths(t[order], near, far, flaw)
    if flaw == "last interval endless":
        delta = np.append(delta[:-1], 1e10)
    if flaw == "intervals of each pass":
        delta = np.concatenate(apart)[order]
    w = absorbed(sigma if flaw in ("only distances sorted", "densities not sorted along") else
                 sigma[order], delta)
    if flaw == "each pass composited alone":
        w = np.concatenate([absorbed(part[0], d) for part, d in zip(parts, apart)])
        order = np.arange(len(t))
    if flaw not in ("only distances sorted", "features not sorted along"):
        h = h[order]
    v = scene.directions[at] * (-1 if flaw == "directions turned round" else 1)
    colour = scene.conditions["colour"][at[0]]
    M, opacity = w @ (np.column_stack([h, h[:, :3] @ v]) * colour), w.sum()
    if flaw == "mean for sum":
        M, opacity = M / len(t), opacity / len(t)
    if flaw == "divided by the opacity":
        M = M / opacity
    if flaw == "background added":
        M = M + 1 - opacity
    if flaw in ("what passes for the opacity", "largest weight for the opacity"):
        opacity = 1 - opacity if flaw == "what passes for the opacity" else w.max()
    return np.append(M, opacity)


def picture(scene, flaw=None, placed=None, coarse=None, fine=None):
    """Features and opacity of all rays, (B, R, 6). placed: their samples, where known."""
    rays = list(np.ndindex(*scene.origins.shape[:2]))
    placed = placed or [places(scene, at, flaw) for at in rays]
    out = [seen(scene, at, t, flaw, coarse, fine) for at, t in zip(rays, placed)]
    return np.array(out).reshape(*scene.origins.shape[:2], 6)


def a_scene(B, R, n_coarse, n_fine, seed, jitter=False, body=False, inside=False):
    """Rays from all sides through the box about the origin, or out of it."""
    def some_rays(seed):
        target = 0.6 * (rand(B, R, 3, seed=seed) - 0.5)
        away = torch.nn.functional.normalize(randn(B, R, 3, seed=seed + 1), dim=-1)
        away = away + 0.2 * away.sign()  # along no axis
        away = torch.nn.functional.normalize(away, dim=-1)
        return (target + (0.2 if inside else 4.0) * away).numpy(), -away.numpy()

    numbers = lambda low, high, *shape, seed: low + (high - low) * rand(*shape, seed=seed).numpy()
    conditions = {"density": numbers(1, 2.5, B, seed=seed + 2),
                  "sharpness": numbers(1, 3, B, seed=seed + 3),
                  "shade": numbers(0.5, 2, B, seed=seed + 4),
                  "colour": numbers(0.5, 1.5, B, 5, seed=seed + 5)}
    drawn = tuple(rand(B, R, n, seed=seed + 60 + i).numpy()
                  for i, n in enumerate((n_coarse, n_fine)))
    return Scene(*some_rays(seed + 10), conditions, n_coarse, n_fine, drawn if jitter else None,
                 some_rays(seed + 20) if body else None)


def rendered(render_rays, scene, conditions=None, generator=None):
    """What the student's function makes of a scene: features and opacity."""
    tensors = {name: torch.tensor(value) for name, value in scene.conditions.items()}
    if scene.jitter is not None:
        drawn = [torch.tensor(part) for part in scene.jitter]
        # Shapes tell the two draws apart; where they are alike, the order does: each only once.
        generator = Jitter(drawn)
        if scene.n_coarse == scene.n_fine:
            generator.drawn = iter(drawn)
    more = [] if scene.body is None else [tuple(torch.tensor(part) for part in scene.body)]
    answer = render_rays(Cloud(scene.n_coarse + scene.n_fine), conditions or tensors,
                         torch.tensor(scene.origins), torch.tensor(scene.directions), scene.box,
                         scene.n_coarse, scene.n_fine, generator, *more)
    return pair(answer, "features and opacity")


ALWAYS = ("mean for sum", "divided by the opacity", "background added", "from the camera on",
          "what passes for the opacity", "largest weight for the opacity",
          "directions turned round", "last interval endless", "NeRF's own intervals",
          "last interval endless in both passes", "sorted from far to near",
          "from sample to sample")
WITH_FINE = ("union not sorted", "features not sorted along", "only distances sorted",
             "densities not sorted along", "equal intervals", "fine samples left out",
             "coarse samples thrown away", "intervals of each pass",
             "each pass composited alone", "density for weights", "bins without their ends",
             "fine samples evenly")


@exercise(
    "eq1_render", "hard", "rendering a ray: samples, field, compositing",
    task="Write the whole of it from the pieces that the stub imports. `field` answers two "
         "questions. field.geometry(points (B, R, S, 3), conditions) gives sigma (B, R, S) and a "
         "hidden layer (B, R, S, W). field.appearance(hidden layer, directions (B, R, 3), "
         "conditions) gives the hidden features (B, R, S, C) that are summed. `conditions` is "
         "handed on as it is. The field is what takes time: ask it for each of the n_coarse + "
         "n_fine samples once, where n_fine may be 0, and keep what it said about the coarse ones, "
         "gradients included; only the places of the samples need none. Coarse samples are "
         "stratified between near and far; fine ones come from the weights of the coarse ones in "
         "their bins. All of them together, from near to far and with new intervals, give the "
         "picture. Where "
         "there is a `body`, near and far are those of the body's rays, and the field is asked at "
         "field.joined(points on the head's rays, points on the body's rays), at equal distances. "
         "Draw the coarse jitter first, then the fine one, both from the `generator` that is "
         "handed in.",
    hint="For one ray on paper: 3 coarse samples, 2 fine ones. List for each of the five its "
         "distance, density, hidden layer, interval and weight. Which of these must be put in "
         "order together, and which depend on the neighbours? For the jitter see `uniform`.",
    mistakes={
        "union not sorted": "Coarse and fine samples must be sorted together by distance before "
                            "intervals and weights are computed.",
        "features not sorted along": "Distances and densities are in order, the features are not: "
                                     "each weight must meet its own sample.",
        "only distances sorted": "Only the distances are in order: densities and features belong "
                                 "to their samples and must go with them.",
        "densities not sorted along": "The densities must go along when distances are sorted.",
        "equal intervals": "The samples are not evenly spread: each has an interval of its own, "
                           "see `intervals`.",
        "fine samples left out": "The picture comes from all samples, coarse and fine; here the "
                                 "fine ones are missing.",
        "coarse samples thrown away": "The picture comes from all samples; here the coarse ones "
                                      "only told where to look.",
        "intervals of each pass": "Between coarse samples lie fine ones now: the intervals must be "
                                  "computed anew, of all samples together.",
        "each pass composited alone": "A fine sample takes light from the coarse ones behind it: "
                                      "composite all samples together, not two sums.",
        "density for weights": "Fine samples follow the weights, not the densities: what is hidden "
                               "needs none.",
        "bins without their ends": "The coarse weights belong to the bins near, middles, far: "
                                   "sample_edges. Here the first and the last bin are missing.",
        "fine samples evenly": "The fine samples lie where the coarse ones found weight, see "
                               "hierarchical_samples; these are spread evenly.",
        "mean for sum": "M is the sum of w_i M(x_i): the weights need no division by their number.",
        "divided by the opacity": "M is the sum of w_i M(x_i): no division by the sum of weights.",
        "background added": "What light is left is not filled here: the background comes later.",
        "from the camera on": "The ray begins where it enters the box, not at the camera.",
        "one near and far for all": "Each ray enters and leaves the box at distances of its own.",
        "what passes for the opacity": "The opacity is the sum of the weights, not the rest of 1.",
        "largest weight for the opacity": "The opacity is the sum of the weights, not the largest.",
        "opacity of shape (B, R, 1)": "The opacity is one number per ray, (B, R).",
        "only one result": "There are two results: features and opacity.",
        "directions turned round": "v points away from the camera, as `directions` do.",
        "last interval endless": "The last interval ends where the ray leaves the box: an endless "
                                 "one makes the background a surface.",
        "NeRF's own intervals": "An interval reaches halfway to both neighbours, the first from "
                                "near, the last to far: see `intervals`.",
        "from sample to sample": "A sample stands in the middle of its interval, which reaches "
                                 "halfway to both neighbours: see `intervals`.",
        "hidden layer for features": "What is summed are the features of field.appearance, not the "
                                     "hidden layer.",
        "asked again": "Each sample is asked once: keep what the field said of the coarse ones.",
        "directions per sample": "field.appearance takes one direction per ray.",
        "generator unused": "With a generator the samples are jittered: see `uniform`.",
        "fine samples without jitter": "The fine samples are jittered, too.",
        "generator always called": "A torch.Generator cannot be called; `uniform` knows both.",
        "generator never called": "The generator may be a function that draws a shape; `uniform` "
                                  "knows both.",
        "body left out": "Where there is a body, the field is asked at field.joined(points on the "
                         "head's rays, points on the body's).",
        "box about the head's rays": "The box stands with the body: near and far are those of the "
                                     "body's rays.",
        "coarse answers without gradient": "The coarse answers are used again in the picture: they "
                                           "need their gradients; only the places do not.",
        "opacity without gradient": "The opacity needs its gradient, too.",
        "last interval endless in both passes": "Each pass ends where the ray leaves the box: an "
                                                "endless last interval also draws the fine samples "
                                                "to the far end.",
        "sorted from far to near": "Samples go from near to far: what is in front takes the light "
                                   "first.",
        "body for the box alone": "The body's rays tell more than near and far: the field is asked "
                                  "at field.joined(points on the head's rays, points on the "
                                  "body's).",
        "joined the other way round": "The first argument of field.joined are the points on the "
                                      "head's rays, the second those on the body's.",
        "coarse samples without jitter": "The coarse samples are jittered, too.",
        "jitter drawn in the other order": "The coarse jitter is drawn first, then the fine one: "
                                           "so a run can be repeated.",
        "fine jitter from another generator": "The fine jitter comes from the generator that is "
                                              "handed in: a new one draws the same each step.",
        "fine answers without gradient": "Only the places of the fine samples need no gradient; "
                                         "what the field says there trains it.",
        "gradient stopped": "Gradients must reach the field's conditions through sigma, hidden "
                            "layer and features."})
def eq1_render(render_rays):
    along = Scene(np.array([[[0.0, 0.0, 3.0]]]), np.array([[[1e-6, -1e-6, -1.0]]]),
                  {"density": np.array([1.4]), "sharpness": np.zeros(1), "shade": np.ones(1),
                   "colour": np.ones((1, 5))}, 6, 5, box=(-1.0, -1.0, -1.0, 1.0, 1.0, 1.0))
    errors = {"asked again": "samples of a ray", "directions per sample": "one direction per ray",
              "generator never called": "generator=Jitter", "only one result": "two results"}
    silent = ("coarse answers without gradient", "opacity without gradient", "gradient stopped",
              "fine answers without gradient", "jitter drawn in the other order",
              "generator never called", "fine jitter from another generator")
    yield Probe("opacity of a fog that fills the box: 2 dm thick, sigma = 1.4",
                lambda: rendered(render_rays, along)[1], [[1 - math.exp(-2.8)]],
                {flaw: picture(along, flaw)[..., 5] for flaw in (*ALWAYS, *WITH_FINE)} |
                {"opacity of shape (B, R, 1)": [[[1 - math.exp(-2.8)]]]},
                errors, "1 - exp(-2.8)")
    for situation, scene, flaws in (
            ("2 x 3 rays, 7 coarse samples, 5 fine ones, no jitter", a_scene(2, 3, 7, 5, 100),
             (*ALWAYS, *WITH_FINE, "one near and far for all")),
            ("3 x 2 rays, 7 coarse samples, 9 fine ones, jitter",
             a_scene(3, 2, 7, 9, 200, jitter=True),
             ("generator unused", "fine samples without jitter", "coarse samples without jitter")),
            ("2 x 2 rays, 6 coarse samples and 6 fine ones, jitter, the coarse one drawn first",
             a_scene(2, 2, 6, 6, 1000, jitter=True),
             ("generator unused", "fine samples without jitter",
              "jitter drawn in the other order")),
            ("2 x 4 rays, 8 coarse samples, no fine ones", a_scene(2, 4, 8, 0, 300), ()),
            ("rays out of the middle of the box", a_scene(1, 2, 5, 3, 400, inside=True), ()),
            ("2 x 2 rays, with a body", a_scene(2, 2, 6, 4, 500, body=True),
             ("body left out", "box about the head's rays", "body for the box alone",
              "joined the other way round"))):
        right = picture(scene)
        known = dict.fromkeys(silent, right) | {flaw: picture(scene, flaw) for flaw in flaws}
        if "jitter drawn in the other order" in flaws:
            swapped = replace(scene, jitter=scene.jitter[::-1])
            known["jitter drawn in the other order"] = picture(swapped)
        asked = {"asked again": errors["asked again"]} if scene.n_fine else {}
        asked = {k: word for k, word in errors.items() if k != "asked again"} | asked
        colour = scene.conditions["colour"][:, None]
        hidden = {"hidden layer for features": right[..., :4] / colour[..., :4]}
        yield Probe(f"features, {situation}", lambda: rendered(render_rays, scene)[0],
                    right[..., :5], {flaw: answer[..., :5] for flaw, answer in known.items()} |
                    hidden | {"opacity of shape (B, R, 1)": right[..., :5]}, asked)
        yield Probe(f"opacity, {situation}", lambda: rendered(render_rays, scene)[1], right[..., 5],
                    {flaw: answer[..., 5] for flaw, answer in known.items()} |
                    {"opacity of shape (B, R, 1)": right[..., 5:]}, asked)
    scene = a_scene(1, 2, 4, 3, 600)
    by = replace(scene, origins=scene.origins + [[[50.0, 0, 0]]])
    yield Probe("opacity of two rays that miss the box", lambda: rendered(render_rays, by)[1],
                [[0.0, 0.0]])
    scene, factors = a_scene(2, 1, 6, 5, 700), randn(2, 1, 6, seed=800)
    names, sizes = ("density", "shade", "colour"), (2, 2, 10)

    def slope():
        leaves = {name: torch.tensor(scene.conditions[name], requires_grad=True) for name in names}
        fixed = {"sharpness": torch.tensor(scene.conditions["sharpness"])}
        features, opacity = rendered(render_rays, scene, leaves | fixed)
        answer = (factors[..., :5] * features).sum() + (factors[..., 5] * opacity).sum()
        return gradient(answer, **leaves)

    placed = [places(scene, at) for at in np.ndindex(2, 1)]  # these stay, whatever the field says

    def summed(numbers, coarse=None, of=slice(None), fine=None):
        parts = np.split(numbers, np.cumsum(sizes)[:-1])
        changed = dict(zip(names, (parts[0], parts[1], parts[2].reshape(2, 5))))
        changed = replace(scene, conditions=scene.conditions | changed)
        return (factors.numpy() * picture(changed, None, placed, coarse, fine))[..., of].sum()

    numbers = np.concatenate([scene.conditions[name].ravel() for name in names])
    yield Probe("gradient of a weighted sum of the results by density, shade and colour of the "
                "field", slope, central_differences(summed, numbers),
                {"coarse answers without gradient":
                 central_differences(lambda x: summed(x, scene), numbers),
                 "fine answers without gradient":
                 central_differences(lambda x: summed(x, fine=scene), numbers),
                 "opacity without gradient":
                 central_differences(lambda x: summed(x, of=slice(5)), numbers)},
                errors | {"gradient stopped": CUT})
    scene = a_scene(1, 1, 6, 5, 900)
    seeds = [torch.Generator().manual_seed(seed) for seed in (1, 2, 1)]
    yield Probe("how many opacities differ, of one ray with torch.Generators of seed 1, 2 and 1",
                lambda: len({rendered(render_rays, scene, generator=g)[1].item() for g in seeds}),
                2, {"generator unused": 1}, errors={"generator always called": "callable"})
    yield from drawn_by_torch(render_rays)


def drawn_by_torch(render_rays):
    """The picture with a torch.Generator: coarse and fine jitter both come from it, in order."""
    scene, seed = a_scene(1, 3, 5, 4, 1100), 12
    shapes = [(1, 3, n) for n in (scene.n_coarse, scene.n_fine)]

    def drawn(first=0, fine_seed=None, kind=torch.float32):
        generator, parts = torch.Generator().manual_seed(seed), [None, None]
        for which in (first, 1 - first):
            if which and fine_seed is not None:
                generator = torch.Generator().manual_seed(fine_seed)
            parts[which] = torch.rand(shapes[which], generator=generator, dtype=kind)
        jitter = tuple(part.double().numpy() for part in parts)
        return picture(replace(scene, jitter=jitter))[..., 5]

    want, in_double = drawn(), drawn(kind=torch.float64)
    anew = drawn(fine_seed=0), drawn(fine_seed=run_seed)  # run_seed: torch.rand without generator

    def opacity():
        generator = torch.Generator().manual_seed(seed)
        got = rendered(render_rays, scene, generator=generator)[1]
        return want if equal(as_array(got), in_double, 1e-5) else got  # right as well

    known = {"generator unused": picture(scene)[..., 5], "generator never called": want,
             "jitter drawn in the other order": drawn(first=1)}
    yield Probe("opacity of 3 rays, jitter of a torch.Generator", whatever(
        opacity, known, "fine jitter from another generator",
        lambda got: any(equal(got, one, 1e-5) for one in anew)), want, known,
        {"generator always called": "callable"})
