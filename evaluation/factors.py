"""factors.py - the true factors of the stand-in heads, and a small network that reads them off a picture.

Whether codes are disentangled (Sec. 3.3) can be measured only where the truth is known. A World holds the identities,
colours, lights, expressions and poses of a written set and renders any combination of them. A FactorReader looks at a
picture of a head, true or rendered, and says how much of each identity, albedo and light is in it, and what upper face
and mouth do. It learns from random combinations and blends, so that it answers in proportion to a change.

In: a set's folder (toyset.write_toyset). Out: readings (T, D), columns as in World.groups. Next: disentangle.py.
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
from evaluation.landmark_regressor import blurred, cut, mouth_square, whole_square
from synthetic import dataset, shape
from synthetic.cameras import camera_of_motion, default_camera, frontal_camera, project
from tools.errors import InputError

UPPER = ("brow", "blink")  # what C_ex stands for; the other expressions are seen at the mouth
LIPS = ("jaw", "width", "pucker")  # those of the lips that 64 pixels show; pressed and tucked lips they do not
FRAMES, ITERATIONS, BATCH = 3000, 1200, 48  # of the reader's training
VIEW = 48  # side in pixels of what the reader sees
BLUR = 1.2  # of its pixels, strongest Gaussian blur in training: renders are softer than the truth


@dataclass
class World:
    """The true factors of a set: identities (S, I), colors (A, V, 3), lights (L, 9, 3), expression {take: (T, E)}.

    `names` are the subjects in the order of `identities`; `scale` (E,) is the spread of each expression in the set.
    """
    names: list[str]
    identities: np.ndarray
    colors: np.ndarray
    lights: np.ndarray
    expression: dict[str, np.ndarray]
    scale: np.ndarray
    size: int

    @property
    def groups(self) -> dict[str, slice]:
        """Columns of a reading: shares of the identities, albedos and lights, then upper face and mouth."""
        widths = {"id": len(self.names), "al": len(self.colors), "ill": len(self.lights), "ex": len(UPPER),
                  "lips": len(LIPS)}
        ends = np.cumsum([0, *widths.values()])
        return {name: slice(int(a), int(b)) for name, a, b in zip(widths, ends, ends[1:])}

    def blend(self, weights: dict[str, Float[np.ndarray, "_"]], expression: Float[np.ndarray, "T E"],
              poses: Float[np.ndarray, "T 4 4"]) -> tuple[UInt8[np.ndarray, "T H W 3"], UInt8[np.ndarray, "T H W"]]:
        """Frames and masks of one blend: weights {"id": (S,), "al": (A,), "ill": (L,)}, each adding up to 1."""
        identity, colors, light = (np.tensordot(weights[f], values, 1) for f, values in
                                   (("id", self.identities), ("al", self.colors), ("ill", self.lights)))
        return dataset.render_truth(identity, expression, colors, light, poses, self.size)

    def pick(self, identity: int, albedo: int, light: int) -> dict[str, np.ndarray]:
        """Weights of one identity, one albedo and one light."""
        return {"id": np.eye(len(self.names))[identity], "al": np.eye(len(self.colors))[albedo],
                "ill": np.eye(len(self.lights))[light]}


def open_world(folder: str | Path, takes: list[Take], size: int) -> World:
    """The factors of the stand-in heads in `folder`, for these takes of it. Raises InputError for any other folder."""
    folder = Path(folder)
    missing = [name for name in ("identity.npy", "expression.npy", "albedo.npy", "lights.npy")
               if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder}: has no {missing[0]}; disentangling is measured on stand-in heads only, whose true "
                         "factors are known")
    voca = open_folder(folder)
    every = np.load(folder / "expression.npy").astype(float)
    rows = {take.name: [voca.index[take.subject][take.name.split("/")[1]][2 * int(i)] for i in take.frame_ids]
            for take in takes}
    return World(sorted(voca.index), np.load(folder / "identity.npy").astype(float),
                 np.load(folder / "albedo.npy").astype(float), np.load(folder / "lights.npy").astype(float),
                 {name: every[r] for name, r in rows.items()}, every.std(0) + 1e-6, size)


def head_poses(take: Take, size: int) -> Float[np.ndarray, "T 4 4"]:
    """head_to_world of a take's frames: the camera stands still in front of the head's resting place."""
    return camera_to_world(size) @ np.linalg.inv(take.cam_to_head)


def camera_to_world(size: int) -> Float[np.ndarray, "4 4"]:
    """The camera of all stand-in heads: it stands still."""
    return frontal_camera(default_camera(size)[1])


def columns(names: tuple[str, ...]) -> list[int]:
    """Where these expressions stand in toyset.EXPRESSION."""
    return [shape.EXPRESSION.index(name) for name in names]


def with_mouth_of(upper: Float[np.ndarray, "T E"], mouth: Float[np.ndarray, "T E"]) -> Float[np.ndarray, "T E"]:
    """The upper face of one expression with the mouth of another."""
    out = mouth.copy()
    out[:, columns(UPPER)] = upper[:, columns(UPPER)]
    return out


def target(world: World, weights: dict[str, np.ndarray], expression: Float[np.ndarray, "E"]) -> Float[np.ndarray, "D"]:
    """What the reader should say: the weights, then expressions in units of their spread."""
    scaled = expression / world.scale
    return np.concatenate([weights["id"], weights["al"], weights["ill"], scaled[columns(UPPER)], scaled[columns(LIPS)]])


def draw(world: World, takes: list[Take], n: int, rng: np.random.Generator
         ) -> tuple[UInt8[np.ndarray, "n H W 3"], Float[np.ndarray, "n 4 4"], Float[np.ndarray, "n D"]]:
    """n pictures of independent random factors, half of them blends of two values; head_to_world; targets."""
    expression = np.concatenate(list(world.expression.values()))
    poses = rng.permutation(np.concatenate([head_poses(take, world.size) for take in takes]))
    poses = np.resize(poses, (n, 4, 4))
    frames, targets = np.empty((n, world.size, world.size, 3), np.uint8), []
    for i in trange(n, desc="pictures for the factor reader", leave=False):
        weights = {}
        for factor, count in (("id", len(world.names)), ("al", len(world.colors)), ("ill", len(world.lights))):
            share = rng.uniform() if rng.uniform() < 0.5 else 1.0
            a, b = rng.integers(count, size=2)
            weights[factor] = share * np.eye(count)[a] + (1 - share) * np.eye(count)[b]
        now = with_mouth_of(*expression[rng.integers(len(expression), size=(2, 1))])
        frames[i] = world.blend(weights, now, poses[[i]])[0][0]
        targets.append(target(world, weights, now[0]))
    return frames, poses, np.stack(targets)


def views(frames: UInt8[np.ndarray, "T H W 3"], poses: Float[np.ndarray, "T 4 4"]) -> Float[Tensor, "T 9 v v"]:
    """What the reader sees, in [0, 1]: the whole frame, a square around the eyes and one around the mouth.

    The squares follow the mean head at the known pose head_to_world (T, 4, 4), whoever is in the picture.
    """
    mean, size = tracking.generic_model().mean, frames.shape[1]
    K, distance = default_camera(size)
    cameras = camera_of_motion(poses, distance)
    images = to_image(frames)
    cuts = [cut(images, whole_square(len(images), size, size), VIEW)]
    points = project(np.broadcast_to(mean, (len(images), *mean.shape)), K, cameras)
    points = torch.from_numpy(points).float()  # (T, 68, 2)
    for marks in (slice(17, 48), slice(48, 68)):  # brows, nose and eyes; mouth
        square = mouth_square(points)  # as wide as the outer eye corners are apart, upright with the eyes
        square[:, :2] = points[:, marks].mean(1)
        square[:, 2] *= 1.3
        cuts.append(cut(images, square, VIEW))
    return torch.cat(cuts, 1)


class FactorReader(nn.Module):
    """Views (B, 9, v, v) -> readings (B, D): a small CNN, trained by least squares."""

    def __init__(self, d_out: int):
        super().__init__()
        layers, channels = [], 9
        for width in (32, 48, 64, 96):
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.LeakyReLU(0.1)]
            channels = width
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * (VIEW // 16) ** 2, 256), nn.LeakyReLU(0.1),
                                 nn.Linear(256, d_out))

    def forward(self, seen: Float[Tensor, "B 9 v v"]) -> Float[Tensor, "B D"]:
        return self.net(seen - 0.5)


def train_reader(world: World, takes: list[Take], seed: int, n: int = FRAMES, iterations: int = ITERATIONS
                 ) -> FactorReader:
    """Least squares on n random pictures, half of them blurred a little, as renders are. Equal seeds, equal readers."""
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
        sigma = BLUR * (2 * torch.rand(BATCH, generator=noise) - 1).clamp_min(0)  # half of them stay sharp
        loss = F.mse_loss(reader(_blurred(seen[index], sigma)), truth[index])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return reader.eval().requires_grad_(False)


def _blurred(seen: Tensor, sigma: Tensor) -> Tensor:
    """Views, each picture of nine channels under its own blur; sigma (B,) in their pixels."""
    return blurred(seen.unflatten(1, (3, 3)).flatten(0, 1), sigma.repeat_interleave(3)).unflatten(0, (-1, 3)).flatten(1, 2)


@torch.no_grad()
def read(reader: FactorReader, frames: UInt8[np.ndarray, "T H W 3"], poses: Float[np.ndarray, "T 4 4"]
         ) -> Float[np.ndarray, "T D"]:
    """Readings (T, D) of pictures (T, H, W, 3) of heads at head_to_world (T, 4, 4)."""
    return np.concatenate([reader(views(frames[k:k + 64], poses[k:k + 64])).numpy() for k in range(0, len(frames), 64)])
