"""field.py - exercises on Eq. 1: what the field sees, and its rays (Sec. 3.2).

The oracles are scalar loops and NumPy; gradients are written out, or central differences of them.

In:  a student's function. Out: Probes; checks.py says what they are. Read next: rendering.py.
"""
import math

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from classroom.checks import NoAnswer, Probe, exercise, gradient, rand, randn

CUT = "detach"  # in every error about a gradient that was cut, by us or by torch
BYTES = "bytes of a number of the result, for float32 arguments"
BYTES_64 = "bytes of a number of the result, for float64 arguments"


def pair(answer, what):
    """The two results of a function. Raises NoAnswer where it does not return two."""
    if not (isinstance(answer, (tuple, list)) and len(answer) == 2):
        raise NoAnswer(f"the function returns a {type(answer).__name__}, want two results: {what}")
    return answer


def size_of_number(tensor):
    """Bytes of one number of a tensor or an array. Raises NoAnswer on anything else."""
    if isinstance(tensor, torch.Tensor):
        return tensor.element_size()
    if isinstance(tensor, np.ndarray):
        raise NoAnswer("the function returns an array of NumPy, not a tensor")
    raise NoAnswer(f"the function returns a {type(tensor).__name__}, not a tensor")


# ------------------------------------------------------------------------------- the field's inputs

PI = math.pi
FREQUENCIES = {  # what is taken for pi 2^k, by the mistake
    "without pi": lambda n: [2.0 ** k for k in range(n)],
    "frequencies k, not 2^k": lambda n: [PI * k for k in range(n)],
    "frequencies k + 1": lambda n: [PI * (k + 1) for k in range(n)],
    "begins at k = 1": lambda n: [PI * 2.0 ** (k + 1) for k in range(n)],
    "frequencies k squared": lambda n: [PI * k ** 2 for k in range(n)],
    "frequencies spread evenly": lambda n: (PI * np.linspace(1, 2 ** (n - 1), n)).tolist(),
    "half the frequencies": lambda n: [PI * 2.0 ** (k - 1) for k in range(n)],
    "highest first": lambda n: [PI * 2.0 ** k for k in reversed(range(n))]}
IN_FLOAT32 = "frequencies in single precision"


def doubling(n):
    return [PI * 2.0 ** k for k in range(n)]


def encoded(point, frequencies, flaw=None):
    """The list of numbers for one point (x_1, x_2, x_3)."""
    sines, cosines = ([[f(w * v) for v in point] for w in frequencies]
                      for f in (math.sin, math.cos))
    both = sines + cosines
    if flaw == "sine and cosine in turn":
        both = [row for rows in zip(sines, cosines) for row in rows]
    elif flaw == "cosines first":
        both = cosines + sines
    elif flaw == "sines twice":
        both = sines + sines
    elif flaw == "cosines left out":
        both = sines
    elif flaw == "coordinates first":
        both = [list(column) for half in (sines, cosines) for column in zip(*half)]
    elif flaw == "each coordinate's waves together":
        both = [list(column) for column in zip(*both)]
    waves = [value for row in both for value in row]
    if flaw == "without x":
        return waves
    return waves + list(point) if flaw == "x at the end" else list(point) + waves


ORDERS = ("sine and cosine in turn", "cosines first", "sines twice", "cosines left out",
          "coordinates first", "each coordinate's waves together", "without x", "x at the end")


def encoding(x, n, flaw=None):
    """Points (..., 3) -> (..., C)."""
    frequencies = FREQUENCIES.get(flaw, doubling)(n)
    if flaw == IN_FLOAT32:
        frequencies = [float(np.float32(w)) for w in frequencies]
    x = x.clip(-1, 1) if flaw == "x clamped" else x
    rows = [encoded(point, frequencies, flaw) for point in x.reshape(-1, 3).tolist()]
    return np.array(rows).reshape(*x.shape[:-1], -1).round(12)  # cos(pi / 2) is told as 0


def encoding_slope(x, n, weights, waves=True):
    """Gradient of sum(weights encoding(x)) by x; waves: whether the sines' share counts."""
    slope = weights[..., :3].copy()
    for k, w in enumerate(doubling(n) if waves else []):
        sine, cosine = (weights[..., 3 * i:3 * i + 3] for i in (1 + k, 1 + n + k))
        slope += w * (sine * np.cos(w * x) - cosine * np.sin(w * x))
    return slope


@exercise(
    "eq1_encoding", "easy", "positional encoding",
    task="Order of the result: x itself; then all sines, the three of k = 0 first; then all "
         "cosines in the same order. x has any number of axes before its last one, which counts "
         "the coordinates, and the result keeps them. x may be a transposed tensor, and n_freq may "
         "be 0: then the result is x alone. The result has the type of x (float32 stays float32, "
         "float64 stays float64, with all its digits), and gradients flow to x.",
    hint="Which products are needed, of 3 coordinates and n_freq frequencies? Ask first for all of "
         "them at once, as a table, and then in which order that table must be read.",
    mistakes={
        "without pi": "The lowest frequency is pi: one wave over [-1, 1].",
        "frequencies k, not 2^k": "The frequencies double: 2^k pi with k = 0, 1, 2, ...",
        "frequencies k + 1": "pi, 2 pi, 3 pi? The frequencies double: pi, 2 pi, 4 pi.",
        "begins at k = 1": "k begins at 0; the lowest frequency is missing.",
        "frequencies k squared": "2^k pi, not k^2 pi: pi, 2 pi, 4 pi, 8 pi.",
        "frequencies spread evenly": "Between pi and 2^(n-1) pi the frequencies double, they are "
                                     "not spread evenly: 2^k pi.",
        "half the frequencies": "The lowest frequency is pi, not pi / 2.",
        "highest first": "The lowest frequency, k = 0, comes first.",
        "sine and cosine in turn": "Here sine and cosine take turns; all sines come first, then "
                                   "all cosines.",
        "cosines first": "The sines come before the cosines.",
        "sines twice": "The second half are cosines.",
        "cosines left out": "There are sines and cosines: 3 + 6 n_freq entries.",
        "coordinates first": "In this order all frequencies of the first coordinate come before "
                             "the second coordinate: see the task.",
        "each coordinate's waves together": "Sines and cosines of the first coordinate come before "
                                            "the second coordinate here: see the task.",
        "without x": "x itself comes first: 3 + 6 n_freq entries.",
        "x at the end": "x itself stands at the front, not at the end.",
        "axes flattened": "The axes before the last one stay: (B, R, S, 3) gives (B, R, S, C).",
        "x clamped": "x is taken as it is, outside [-1, 1], too: no clamp, no remainder.",
        "waves without gradient": "The gradient must reach x through the sines and cosines, too: "
                                  "no detach, no NumPy on the way.",
        "double precision": "float32 in, float32 out: make the frequencies with the type of x.",
        "single precision": "float64 in, float64 out: keep the type of x.",
        IN_FLOAT32: "With float64 the frequencies need all its digits: torch makes float32, unless "
                    "told dtype=x.dtype.",
        "view of a transposed tensor": "A transposed x does not lie in memory in order, and cannot "
                                       "be viewed in another shape: reshape it.",
        "no frequency at all": "n_freq = 0 leaves x alone: an empty list of sines can be neither "
                               "stacked nor concatenated by itself."})
def eq1_encoding(positional_encoding):
    quarter = np.full((1, 3), 0.25)
    beyond = np.array([[1.7, -2.3, 0.4]]) + 0.1 * rand(1, 3).numpy()
    random = 2 * rand(2, 4, 3, seed=1).numpy() - 1
    for situation, x, n in (("x = (0.25, 0.25, 0.25), n_freq = 3", quarter, 3),
                            ("5 random points, n_freq = 4", 2 * rand(5, 3, seed=2).numpy() - 1, 4),
                            ("x of shape (2, 4, 3), n_freq = 3", random, 3),
                            ("a point outside [-1, 1], n_freq = 2", beyond, 2),
                            ("x of shape (3,), n_freq = 5", random[0, 0], 5)):
        mistaken = {flaw: encoding(x, n, flaw) for flaw in (*FREQUENCIES, *ORDERS)}
        mistaken["x clamped"] = encoding(x, n, "x clamped")
        mistaken |= dict.fromkeys(("waves without gradient", "double precision",
                                   "single precision", IN_FLOAT32, "no frequency at all",
                                   "view of a transposed tensor"), encoding(x, n))
        if x.ndim > 2:
            mistaken["axes flattened"] = encoding(x.reshape(-1, 3), n)
        yield Probe(situation, lambda: positional_encoding(torch.tensor(x), n), encoding(x, n),
                    mistaken)
    weights = randn(2, 4, 21, seed=3)

    def slope():
        leaf = torch.tensor(random, requires_grad=True)
        return gradient(weights * positional_encoding(leaf, 3), x=leaf)

    yield Probe("gradient of a weighted sum of the result by x", slope,
                encoding_slope(random, 3, weights.numpy()),
                {"waves without gradient": encoding_slope(random, 3, weights.numpy(), False)},
                errors={"waves without gradient": CUT})
    yield Probe(BYTES, lambda: size_of_number(positional_encoding(torch.tensor(random).float(), 3)),
                4, {"double precision": 8})
    yield Probe(BYTES_64, lambda: size_of_number(positional_encoding(torch.tensor(random), 3)), 8,
                {"single precision": 4})
    yield Probe("x of shape (2, 4, 3) in float64, n_freq = 10, to 9 digits",
                lambda: positional_encoding(torch.tensor(random), 10), encoding(random, 10),
                {IN_FLOAT32: encoding(random, 10, IN_FLOAT32)}, tolerance=1e-9)
    yield Probe("x of shape (4, 2, 3), the transpose of a tensor (2, 4, 3), n_freq = 2",
                lambda: positional_encoding(torch.tensor(random).transpose(0, 1), 2),
                encoding(random.transpose(1, 0, 2), 2),
                errors={"view of a transposed tensor": "reshape("})
    yield Probe("x of shape (2, 4, 3), n_freq = 0",
                lambda: positional_encoding(torch.tensor(random), 0), random,
                errors={"no frequency at all": "empty"})


SCALES = {  # what is taken for sqrt(d) of code i; sizes are all d, B the number of frames
    "codes not scaled": lambda i, sizes, B: 1.0,
    "scaled by d": lambda i, sizes, B: sizes[i],
    "divided by sqrt(d)": lambda i, sizes, B: sizes[i] ** -0.5,
    "one scale for all": lambda i, sizes, B: sum(sizes) ** 0.5,
    "scale of the first code": lambda i, sizes, B: sizes[0] ** 0.5,
    "scale of the last code": lambda i, sizes, B: sizes[-1] ** 0.5,
    "root of the batch": lambda i, sizes, B: B ** 0.5,
    "root of the number of codes": lambda i, sizes, B: len(sizes) ** 0.5}


def biases(codes, weight, bias, flaw=None):
    """W_c c + b of each frame, (B, 1, 1, W), in NumPy."""
    sizes, B = [code.shape[-1] for code in codes], len(codes[0])
    scale = SCALES.get(flaw, lambda i, sizes, B: sizes[i] ** 0.5)
    scaled = [scale(i, sizes, B) * code for i, code in enumerate(codes)]
    if flaw == "codes in another order":
        scaled = scaled[::-1]
    if flaw == "first frame for all":
        scaled = [np.repeat(code[:1], B, 0) for code in scaled]
    times = {"layer's own bias": 0, "layer's bias for each code": len(codes)}.get(flaw, 1)
    out = np.concatenate(scaled, -1) @ weight.T + times * bias
    if flaw == "batch taken for rays":
        return out[None, :, None]
    if flaw == "one axis short":
        return out[:, None]
    return out if flaw == "without the axes" else out[:, None, None]


@exercise(
    "eq1_conditioning", "medium", "codes that condition the field, as a bias",
    task="A layer on [x, c], position and codes laid end to end, would need a copy of the codes at "
         "each of B x R x S samples. Its weight is [W_x, W_c], and `layer` is the part W_c, a "
         "torch.nn.Linear, with or without a bias of its own. Return its output for the codes, "
         "each times the root of its number of entries, with the shape (B, 1, 1, W): added to "
         "W_x x of shape (B, R, S, W), it gives the same numbers as the concatenation would. "
         "Gradients flow to every code and to the layer's weights; take the codes as they are "
         "given.",
    hint="What does c hold, and in which order? Which axes does a code have, and which does W_x x "
         "have? A number that the whole frame shares needs axes of length 1 for the others.",
    mistakes={
        "codes not scaled": "Entries of unit codes are small, 1 / sqrt(d): times sqrt(d) first.",
        "scaled by d": "Times sqrt(d), the length of a code with entries of variance 1, not d.",
        "divided by sqrt(d)": "Entries of unit codes are small already: times sqrt(d), not divided "
                              "by it.",
        "one scale for all": "Each code is scaled by the root of its own length, not of all.",
        "scale of the first code": "The root is of each code's own number of entries, not that of "
                                   "the first one.",
        "scale of the last code": "The root is of each code's own number of entries, not that of "
                                  "the last one.",
        "root of the batch": "d is the number of a code's entries, its last axis; len(code) is the "
                             "number of frames.",
        "root of the number of codes": "d is the number of entries of a code, not how many codes "
                                       "there are.",
        "codes in another order": "The columns of W_c belong to the codes in the order given.",
        "first frame for all": "Each frame has codes of its own; all have those of frame 0 here.",
        "layer's own bias": "Apply the layer as it is: where it has a bias, that counts, too.",
        "batch taken for rays": "The bias belongs to the frame, axis 0; on axis 1 frame b's codes "
                                "would go to ray b of every frame, and nothing fails where B = R.",
        "without the axes": "(B, W) cannot be added to (B, R, S, W): two axes of length 1 stand "
                            "for rays and samples.",
        "one axis short": "(B, 1, W) would meet (B, R, S, W) with its B on the axis of the rays: "
                          "two axes of length 1.",
        "made unit length again": "The codes have unit length already. To normalise them once more "
                                  "takes away the gradient along the code.",
        "a code without gradient": "The gradient must reach every code: no detach, no NumPy.",
        "layer without gradient": "The layer is trained, too: use it as it is, not copies of its "
                                  "weights (.data, .detach()).",
        "layer's bias for each code": "The layer's own bias counts once for all codes together, "
                                      "not once for each."})
def eq1_conditioning(code_bias):
    def case(B, sizes, width, bias, seed):
        codes = [randn(B, d, seed=seed + i).numpy() for i, d in enumerate(sizes)]
        codes = [code / np.linalg.norm(code, axis=1, keepdims=True) for code in codes]
        layer = torch.nn.Linear(sum(sizes), width, bias=bias).double()
        with torch.no_grad():
            for i, parameter in enumerate(layer.parameters()):
                parameter.copy_(randn(*parameter.shape, seed=seed + 10 + i))
        return codes, layer, [p.detach().numpy() for p in layer.parameters()]

    for situation, B, sizes, width, bias, seed in (
            ("2 frames, codes of 4 and 3 numbers", 2, (4, 3), 6, False, 0),
            ("3 frames, codes of 5, 2 and 7 numbers", 3, (5, 2, 7), 4, False, 20),
            ("5 frames, a layer that has a bias", 5, (3, 6), 2, True, 40),
            ("1 frame, 1 code", 1, (8,), 3, False, 60)):
        codes, layer, parameters = case(B, sizes, width, bias, seed)
        found = parameters if bias else [*parameters, 0.0]
        flaws = [*SCALES, "batch taken for rays", "without the axes", "one axis short"]
        flaws += ["made unit length again", "a code without gradient"]  # values are right
        flaws += ["codes in another order"] if len(sizes) > 1 else []
        flaws += ["first frame for all"] if B > 1 else []
        flaws += ["layer without gradient"]
        flaws += ["layer's own bias", "layer's bias for each code"] if bias else []
        yield Probe(situation, lambda: code_bias(layer, [torch.tensor(code) for code in codes]),
                    biases(codes, *found), {flaw: biases(codes, *found, flaw) for flaw in flaws})
    codes, layer, (weight,) = case(3, (5, 2, 7), 4, False, 80)
    weights = randn(3, 1, 1, 4, seed=99)

    def slope():
        leaves = {f"codes[{i}]": torch.tensor(code, requires_grad=True)
                  for i, code in enumerate(codes)}
        answer = code_bias(layer, list(leaves.values()))
        return gradient(weights * answer.reshape(weights.shape), **leaves)

    along = np.split(weights[:, 0, 0].numpy() @ weight, [5, 7], axis=1)
    along = [math.sqrt(g.shape[1]) * g for g in along]
    flat = lambda parts: np.concatenate([part.ravel() for part in parts])
    tangent = [g - (g * code).sum(1, keepdims=True) * code for g, code in zip(along, codes)]
    yield Probe("gradient of a weighted sum of the result by the codes", slope, flat(along),
                {"made unit length again": flat(tangent), "layer without gradient": flat(along)},
                errors={"a code without gradient": CUT})
    scaled = np.concatenate([math.sqrt(code.shape[1]) * code for code in codes], 1)
    yield Probe("gradient of a weighted sum of the result by layer.weight", lambda: gradient(
        weights * code_bias(layer, [torch.tensor(code) for code in codes]).reshape(weights.shape),
        **{"layer.weight": layer.weight}), weights[:, 0, 0].numpy().T @ scaled,
        errors={"layer without gradient": "gradient"})


# --------------------------------------------------------------------------------------------- rays

def ray(column, row, K, P, size, flaw=None):
    """Origin and unit direction of the ray through one image point, by scalars."""
    fx, fy, cx, cy = K[0][0], K[1][1], K[0][2], K[1][2]
    if flaw == "rows and columns swapped":
        column, row = row, column
    if flaw == "fx for fy":
        fy = fx
    if flaw == "one principal point":
        cy = cx
    if flaw == "principal point forgotten":
        cx = cy = 0.0
    if flaw == "principal point in the middle":
        cx = cy = size / 2
    camera = [(column - cx) / fx, (row - cy) / fy, 1.0]
    if flaw == "axes of OpenGL":
        camera[1:] = -camera[1], -1.0
    if flaw == "K not inverted":
        camera = [sum(K[i][j] * (column, row, 1.0)[j] for j in range(3)) for i in range(3)]
    if flaw == "inverse of K transposed":
        inverse = np.linalg.inv(np.array(K))
        camera = [sum(inverse[j][i] * (column, row, 1.0)[j] for j in range(3)) for i in range(3)]
    turned = flaw == "rotation transposed"
    direction = [sum((P[j][i] if turned else P[i][j]) * camera[j] for j in range(3))
                 for i in range(3)]
    origin = [P[i][3] for i in range(3)]
    if flaw == "not turned":
        direction = camera
    if flaw == "position added":
        direction = [d + o for d, o in zip(direction, origin)]
    if flaw == "pose inverted":
        origin = [-sum(P[j][i] * origin[j] for j in range(3)) for i in range(3)]
    length = 1.0 if flaw == "directions not of unit length" else math.hypot(*direction)
    return origin, [d / length for d in direction]


def rays(K, P, size, stride, flaw=None):
    """Origins and directions of B cameras, each (B, R, 3)."""
    n = size // stride
    at = {"pixel corners": [j * stride for j in range(n)],
          "half an image pixel": [j * stride + 0.5 for j in range(n)],
          "stride forgotten": [j + 0.5 for j in range(n)],
          "from border to border": np.linspace(0, size, n).tolist(),
          "from first to last pixel": np.linspace(0, size - 1, n).tolist()
          }.get(flaw, [(j + 0.5) * stride for j in range(n)])
    found = [[ray(u, v, K[0 if flaw in ("first camera for all", "first K for all") else b],
                  P[0 if flaw in ("first camera for all", "first pose for all") else b], size, flaw)
              for v in at for u in at] for b in range(len(K))]
    return [np.array([[one[part] for one in image] for image in found]) for part in (0, 1)]


OF_RAYS = ("pixel corners", "half an image pixel", "stride forgotten", "from border to border",
           "from first to last pixel", "rotation transposed", "not turned",
           "rows and columns swapped", "fx for fy", "one principal point",
           "principal point forgotten", "principal point in the middle", "axes of OpenGL",
           "K not inverted",
           "inverse of K transposed", "position added", "directions not of unit length",
           "first camera for all", "first K for all", "first pose for all")


def turned(seed):
    """A random rotation, (3, 3)."""
    q, r = np.linalg.qr(randn(3, 3, seed=seed).numpy())
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def cameras(B, size, seed):
    """K (B, 3, 3) and cam_to_head (B, 4, 4): all different, with fx unlike fy and cx unlike cy."""
    scale = rand(B, 4, seed=seed).numpy()
    K, P = np.tile(np.eye(3), (B, 1, 1)), np.tile(np.eye(4), (B, 1, 1))
    for b in range(B):
        K[b, 0, 0], K[b, 1, 1] = size * (1.5 + scale[b, 0]), size * (3 + scale[b, 1])
        K[b, 0, 2], K[b, 1, 2] = size * (0.35 + 0.1 * scale[b, 2]), size * (0.6 + 0.1 * scale[b, 3])
        P[b, :3, :3] = turned(seed + 1 + b)
        P[b, :3, 3] = 2 + randn(3, seed=seed + 50 + b).numpy()
    return K, P


@exercise(
    "eq1_rays", "medium", "rays of the camera P_cam",
    task="K and cam_to_head are those of B cameras, each with its own; K is without skew: focal "
         "lengths, principal point, and 0 beside them. R of the two results' "
         "shapes is the number of rays; row by row, as one reads. The camera sits at the fourth "
         "column of cam_to_head; its upper left 3 x 3 block turns camera axes into head axes. In "
         "camera axes x points right, y down and z forward. Both results have the shape (B, R, 3) "
         "and the type of K (float32 stays float32, float64 float64). Gradients flow to "
         "cam_to_head.",
    hint="Follow one pixel: which point (u, v, 1) of the image is its centre, which direction in "
         "camera axes does that give, and which in head axes? In a tensor a direction is a row; "
         "the formula turns columns.",
    mistakes={
        "pixel corners": "This ray goes through the corner of its pixel; the centre is at + 1/2.",
        "half an image pixel": "Feature pixel j covers `stride` image pixels: its centre is (j + "
                               "1/2) * stride, not j * stride + 1/2.",
        "stride forgotten": "(u, v) are in image pixels; feature pixels lie `stride` apart.",
        "from border to border": "The centres of the pixels lie inside the image, not on its "
                                 "borders: no linspace from 0 to size.",
        "from first to last pixel": "The centre of pixel j is at (j + 1/2) * stride, no linspace "
                                    "from 0 to size - 1.",
        "rotation transposed": "R should be its transpose: a row vector d is turned by d @ R.T.",
        "not turned": "These are directions in camera axes; R turns them into head axes.",
        "rows and columns swapped": "Rays run row by row: u changes fastest.",
        "fx for fy": "The focal lengths of the two axes differ: K[0, 0] is for u, K[1, 1] for v.",
        "one principal point": "K[0, 2] belongs to u, K[1, 2] to v.",
        "principal point forgotten": "(u, v) count from the image's corner: where is the principal "
                                     "point, the third column of K?",
        "principal point in the middle": "The principal point is K's third column, not the middle "
                                         "of the image.",
        "axes of OpenGL": "y points down and z forward here, as in OpenCV: no minus signs.",
        "K not inverted": "K brings directions to image points; the way back is its inverse.",
        "inverse of K transposed": "For a row vector (u, v, 1) it is the transpose of K^-1.",
        "position added": "A direction does not move with the camera: turn it, add no position.",
        "directions not of unit length": "Normalise the directions: distances are decimetres.",
        "first camera for all": "Each image of the batch has its own K and cam_to_head.",
        "first K for all": "Each image of the batch has its own K.",
        "first pose for all": "Each image of the batch has its own cam_to_head.",
        "pose inverted": "cam_to_head is P_cam itself, so the camera sits at its fourth column; "
                         "-R^T T would be right for a head_to_cam.",
        "one origin per camera": "Every ray has an origin, (B, R, 3), though those of a camera are "
                                 "all the same.",
        "rays as a picture": "The rays stand in one row, (B, R, 3), not in a square.",
        "cam_to_head without gradient": "The gradient must reach cam_to_head, in origins and in "
                                        "directions: no numbers taken out of it, no detach.",
        "double precision": "float32 in, float32 out: make the grid with the type of K.",
        "single precision": "float64 in, float64 out: keep the type of K."})
def eq1_rays(pixel_rays):
    what = "origins and directions"
    ask = lambda K, P, *rest: pair(pixel_rays(torch.tensor(K).float(), torch.tensor(P).float(),
                                              *rest), what)
    for situation, B, size, stride, seed in (("1 camera, size 4, stride 1", 1, 4, 1, 0),
                                             ("3 cameras, size 12, stride 4", 3, 12, 4, 100),
                                             ("2 cameras, size 6, stride 3", 2, 6, 3, 200)):
        K, P = cameras(B, size, seed)
        flaws = [f for f in OF_RAYS if not (B == 1 and "for all" in f) and
                 not (stride == 1 and f in ("half an image pixel", "stride forgotten"))]
        origins, directions = rays(K, P, size, stride)
        square = B, size // stride, size // stride, 3
        silent = "cam_to_head without gradient", "double precision", "single precision"
        yield Probe(f"directions of the rays, {situation}", lambda: ask(K, P, size, stride)[1],
                    directions, {f: rays(K, P, size, stride, f)[1] for f in flaws} |
                    {"rays as a picture": directions.reshape(square)} |
                    dict.fromkeys((*silent, "pose inverted", "one origin per camera"), directions),
                    tolerance=5e-5)
        known = {f: rays(K, P, size, stride, f)[0] for f in ("pose inverted", *flaws)}
        known |= {"one origin per camera": origins[:, :1]} | dict.fromkeys(silent, origins)
        yield Probe(f"origins of the rays, {situation}", lambda: ask(K, P, size, stride)[0],
                    origins, known, tolerance=5e-5)
    K, P = cameras(2, 4, 300)
    yield Probe("2 cameras, size 4, no stride given", lambda: ask(K, P, 4)[1], rays(K, P, 4, 1)[1],
                tolerance=5e-5)
    weights = randn(2, 2, 4, 3, seed=400)  # of origins, of directions

    def moved(step):
        """cam_to_head after a small turn and shift, each one camera's: (2, 6), NumPy or torch."""
        if isinstance(step, torch.Tensor):
            x, y, z = step[:, :3].unbind(1)
            zero = torch.zeros_like(x)
            turn = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).view(2, 3, 3)
            R = torch.tensor(P[:, :3, :3]).float() @ torch.linalg.matrix_exp(turn)
            T = torch.tensor(P[:, :3, 3]).float() + step[:, 3:]
            below = torch.tensor([[[0.0, 0, 0, 1]]]).expand(2, 1, 4)
            return torch.cat([torch.cat([R, T[..., None]], 2), below], 1)
        new = P.copy()
        new[:, :3, :3] = P[:, :3, :3] @ Rotation.from_rotvec(step[:, :3]).as_matrix()
        new[:, :3, 3] += step[:, 3:]
        return new

    def slope(part):
        step = torch.zeros(2, 6, requires_grad=True)
        answer = pair(pixel_rays(torch.tensor(K).float(), moved(step), 4, 2), what)
        return gradient(weights[part] * answer[part], cam_to_head=step)

    for part, name in enumerate(("origins", "directions")):
        summed = lambda step: (weights[part].numpy() * rays(K, moved(step), 4, 2)[part]).sum()
        yield Probe(f"gradient of a weighted sum of the {name} by turn and shift of cam_to_head",
                    lambda: slope(part), central_differences(summed, np.zeros((2, 6))),
                    errors={"cam_to_head without gradient": CUT}, tolerance=5e-4)
    yield Probe(BYTES, lambda: max(size_of_number(part) for part in ask(K, P, 4, 2)), 4,
                {"double precision": 8})
    double = lambda: pair(pixel_rays(torch.tensor(K), torch.tensor(P), 4, 2), what)
    yield Probe(BYTES_64, lambda: min(size_of_number(part) for part in double()), 8,
                {"single precision": 4})
    for part, name in enumerate(("origins", "directions")):
        yield Probe(f"{name} of the rays of 2 cameras in float64, to 9 digits",
                    lambda: double()[part], rays(K, P, 4, 2)[part], tolerance=1e-9)


def central_differences(function, x, step=1e-5):
    """Gradient of a function of an array, one entry after the other."""
    slope = np.zeros_like(x)
    for at in np.ndindex(*x.shape):
        moved = np.zeros_like(x)
        moved[at] = step
        slope[at] = (function(x + moved) - function(x - moved)) / (2 * step)
    return slope
