"""factors.py - the true factors of the stand-in heads, and a network that reads them off a picture.

Whether codes are disentangled (Sec. 3.3) can be measured only where the truth is known. A World
holds the identities, colours, lights, expressions and poses of a written set and renders any
combination of them. A FactorReader looks at a picture of a head, true or rendered, and says how
much of each identity, albedo and light is in it, and what upper face and mouth do. It learns from
random combinations and blends, so that it answers in proportion to a change.

In: a set's folder (dataset.write_toyset). Out: readings (T, D), columns as in World.groups.
Next: disentangle.py.
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import trange

import tracking
from data.crops import to_image
from data.take import Take
from data.voca import open_folder
from evaluation.landmark_regressor import (blurred, convolutions, cut, mouth_square,
                                           whole_square)
from synthetic import dataset, shape
from synthetic.cameras import camera_of_motion, default_camera, frontal_camera, project
from tools.errors import InputError

UPPER = ("brow", "blink")  # what C_ex stands for; the other expressions are seen at the mouth
LIPS = ("jaw", "width", "pucker")  # 64 pixels show these; pressed and tucked lips they do not show
FRAMES, ITERATIONS, BATCH = 3000, 1200, 48  # of the reader's training
VIEW = 48  # side in pixels of what the reader sees
BLUR = 1.2  # px, the strongest Gaussian blur in training: renders are softer than the truth


@dataclass
class World:
    """The true factors of a set."""
    names: list[str]  # the subjects, in the order of the identities
    identities: Float[np.ndarray, "S I"]
    colors: Float[np.ndarray, "A V 3"]
    lights: Float[np.ndarray, "L 9 3"]
    expression: dict[str, Float[np.ndarray, "_ E"]]  # of each take (T, E)
    scale: Float[np.ndarray, "E"]  # the spread of each expression in the set
    size: int

    @property
    def groups(self) -> dict[str, slice]:
        """Columns of a reading: shares of identities, albedos and lights; upper face; mouth."""
        widths = self.counts | {"ex": len(UPPER), "lips": len(LIPS)}
        ends = np.cumsum([*widths.values()]).tolist()
        return {name: slice(end - widths[name], end) for name, end in zip(widths, ends)}

    @property
    def counts(self) -> dict[str, int]:
        """How many identities, albedos and lights there are."""
        return {"id": len(self.names), "al": len(self.colors), "ill": len(self.lights)}

    def blend(self, weights: dict[str, Float[np.ndarray, "_"]],
              expression: Float[np.ndarray, "T E"], poses: Float[np.ndarray, "T 4 4"]
              ) -> tuple[UInt8[np.ndarray, "T H W 3"], UInt8[np.ndarray, "T H W"]]:
        """Frames and masks of a blend: weights {"id": (S,), "al": (A,), "ill": (L,)}, sums of 1."""
        identity = np.tensordot(weights["id"], self.identities, 1)
        colors = np.tensordot(weights["al"], self.colors, 1)
        light = np.tensordot(weights["ill"], self.lights, 1)
        return dataset.render_truth(identity, expression, colors, light, poses, self.size)

    def pick(self, identity: int, albedo: int, light: int) -> dict[str, np.ndarray]:
        """Weights of one identity, one albedo and one light."""
        picked = zip(self.counts.items(), (identity, albedo, light))
        return {factor: np.eye(count)[one] for (factor, count), one in picked}


def open_world(folder: str | Path, takes: list[Take], size: int) -> World:
    """The factors of the stand-in heads in `folder`. Raises InputError for any other folder."""
    folder, arrays = Path(folder), {}
    for name in ("identity", "expression", "albedo", "lights"):
        if not (folder / f"{name}.npy").is_file():
            raise InputError(f"{folder}: has no {name}.npy; disentangling is measured on stand-in "
                             "heads only, whose true factors are known")
        arrays[name] = np.load(folder / f"{name}.npy").astype(float)
    index, every, expression = open_folder(folder).index, arrays["expression"], {}
    for take in takes:
        meshes = index[take.subject][take.name.split("/")[1]]  # at 60 fps, frames at 30
        expression[take.name] = every[[meshes[2 * int(i)] for i in take.frame_ids]]
    return World(sorted(index), arrays["identity"], arrays["albedo"], arrays["lights"],
                 expression, every.std(0) + 1e-6, size)


def head_poses(take: Take, size: int) -> Float[np.ndarray, "T 4 4"]:
    """head_to_world of a take's frames."""
    return camera_to_world(size) @ np.linalg.inv(take.cam_to_head)


def camera_to_world(size: int) -> Float[np.ndarray, "4 4"]:
    """The camera of all stand-in heads: it stands still before the head's resting place."""
    return frontal_camera(default_camera(size)[1])


def columns(names: tuple[str, ...]) -> list[int]:
    """Where these expressions stand in shape.EXPRESSION."""
    return [shape.EXPRESSION.index(name) for name in names]


def with_mouth_of(upper: Float[np.ndarray, "T E"], mouth: Float[np.ndarray, "T E"]
                  ) -> Float[np.ndarray, "T E"]:
    """The upper face of one expression with the mouth of another."""
    out = mouth.copy()
    out[:, columns(UPPER)] = upper[:, columns(UPPER)]
    return out


def target(world: World, weights: dict[str, np.ndarray], expression: Float[np.ndarray, "E"]
           ) -> Float[np.ndarray, "D"]:
    """What the reader should say: the weights, then expressions in units of their spread."""
    scaled = (expression / world.scale)[columns(UPPER + LIPS)]
    return np.concatenate([weights["id"], weights["al"], weights["ill"], scaled])


def draw(world: World, takes: list[Take], n: int, rng: np.random.Generator
         ) -> tuple[UInt8[np.ndarray, "n H W 3"], Float[np.ndarray, "n 4 4"],
                    Float[np.ndarray, "n D"]]:
    """n pictures of independent random factors, half of them blends; head_to_world; targets."""
    expression = np.concatenate(list(world.expression.values()))
    poses = np.concatenate([head_poses(take, world.size) for take in takes])
    poses = np.resize(rng.permutation(poses), (n, 4, 4))
    frames, targets = np.empty((n, world.size, world.size, 3), np.uint8), []
    for i in trange(n, desc="pictures for the factor reader", leave=False):
        weights = {factor: draw_weights(count, rng) for factor, count in world.counts.items()}
        now = with_mouth_of(*expression[rng.integers(len(expression), size=(2, 1))])
        frames[i] = world.blend(weights, now, poses[[i]])[0][0]
        targets.append(target(world, weights, now[0]))
    return frames, poses, np.stack(targets)


def draw_weights(count: int, rng: np.random.Generator) -> Float[np.ndarray, "count"]:
    """One of `count` values, or in half of the draws a blend of two of them."""
    share = rng.uniform() if rng.uniform() < 0.5 else 1.0
    a, b = rng.integers(count, size=2)
    return share * np.eye(count)[a] + (1 - share) * np.eye(count)[b]


def views(frames: UInt8[np.ndarray, "T H W 3"], poses: Float[np.ndarray, "T 4 4"]
          ) -> Float[Tensor, "T 9 v v"]:
    """What the reader sees, in [0, 1]: the whole frame, a square around the eyes, one at the mouth.

    The squares follow the mean head at the known pose head_to_world, whoever is in the picture.
    """
    images, size = to_image(frames), frames.shape[1]
    K, distance = default_camera(size)
    mean = np.broadcast_to(tracking.generic_model().mean, (len(images), 68, 3))
    points = torch.from_numpy(project(mean, K, camera_of_motion(poses, distance))).float()
    cuts = [cut(images, whole_square(len(images), size, size), VIEW)]
    for marks in (slice(17, 48), slice(48, 68)):  # brows, nose and eyes; mouth
        square = mouth_square(points)  # its width: the outer eye corners'; upright with the eyes
        square[:, :2] = points[:, marks].mean(1)
        square[:, 2] *= 1.3
        cuts.append(cut(images, square, VIEW))
    return torch.cat(cuts, 1)


class FactorReader(nn.Module):
    """Views (B, 9, v, v) -> readings (B, D): a small CNN, trained by least squares."""

    def __init__(self, d_out: int):
        super().__init__()
        self.net = convolutions(9, (32, 48, 64, 96), VIEW, 256, d_out)

    def forward(self, seen: Float[Tensor, "B 9 v v"]) -> Float[Tensor, "B D"]:
        return self.net(seen - 0.5)


def train_reader(world: World, takes: list[Take], seed: int, n: int = FRAMES,
                 iterations: int = ITERATIONS) -> FactorReader:
    """Least squares on n random pictures, half of them blurred a little, as renders are."""
    frames, poses, targets = draw(world, takes, n, np.random.default_rng(seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = FactorReader(targets.shape[1]).train()
    seen, truth = views(frames, poses), torch.from_numpy(targets).float()
    rng, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(reader.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=iterations)
    for _ in trange(iterations, desc="factor reader", leave=False):
        index = torch.from_numpy(rng.integers(n, size=BATCH))
        sigma = BLUR * (2 * torch.rand(BATCH, generator=noise) - 1).clamp_min(0)  # half stay sharp
        loss = F.mse_loss(reader(_blurred(seen[index], sigma)), truth[index])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return reader.eval().requires_grad_(False)


def _blurred(seen: Tensor, sigma: Tensor) -> Tensor:
    """Views (B, 9, v, v), all three of a picture under one blur; sigma (B,) in their pixels."""
    images = seen.unflatten(1, (3, 3)).flatten(0, 1)
    return blurred(images, sigma.repeat_interleave(3)).view_as(seen)


@torch.no_grad()
def read(reader: FactorReader, frames: UInt8[np.ndarray, "T H W 3"],
         poses: Float[np.ndarray, "T 4 4"]) -> Float[np.ndarray, "T D"]:
    """Readings (T, D) of pictures (T, H, W, 3) of heads at head_to_world (T, 4, 4)."""
    parts = [slice(start, start + 64) for start in range(0, len(frames), 64)]
    return np.concatenate([reader(views(frames[part], poses[part])).numpy() for part in parts])
