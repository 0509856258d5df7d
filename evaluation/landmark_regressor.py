"""landmarker.py - Sec. 4.3: finds the 68 landmarks in rendered frames, so that LMD and mouth opening can be measured.

A clip's landmarks come from a detector made for photographs. Stand-in heads, meshes and blurred renders are not
photographs, so a small network learns the landmarks of the data at hand, from its own frames and true landmarks.
It looks twice: at the whole face, then at a square around the mouth, about as wide as the outer eye corners are apart.
In: frames (T, H, W, 3) uint8 with landmarks (T, 68, 2) px. Out: a Landmarker; predict() gives (T, 68, 2) px. What it
measures is worth no more than it is accurate: its own error is the first row of every table. Next: syncnet.py.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import trange

from data.corpus import Corpus
from data.crops import to_image
from evaluation.measures import LOWER_LIP, OUTER_EYES, UPPER_LIP

FACE, MOUTH = 64, 48  # side in pixels of what the two networks see
MOUTH_MARKS = slice(48, 68)
BLUR = 0.07  # strongest Gaussian blur in training, sigma in outer-eye distances: 1.5 px in frames of 64 px


# ---------------------------------------------------------------------------------------------------------------------
# Squares: (B, 4) = centre x, centre y, side, angle (radians), in px of the frame. A point of the square has
# coordinates u in [-1/2, 1/2]: x = centre + side R(angle) u.


def whole_square(n: int, height: int, width: int) -> Float[Tensor, "n 4"]:
    """The square that covers a frame of height x width, n times."""
    return torch.tensor([width / 2, height / 2, max(height, width), 0.0]).expand(n, 4)


def mouth_square(landmarks: Float[Tensor, "B 68 2"]) -> Float[Tensor, "B 4"]:
    """Centred on the mean of the mouth, upright with the eyes, as wide as the outer eye corners are apart."""
    across = landmarks[:, OUTER_EYES[1]] - landmarks[:, OUTER_EYES[0]]  # (B, 2)
    side = across.norm(dim=1, keepdim=True).clamp_min(1)
    return torch.cat([landmarks[:, MOUTH_MARKS].mean(1), side, torch.atan2(across[:, 1:], across[:, :1])], 1)


def _axes(square: Tensor) -> Tensor:
    """side R(angle), (B, 2, 2)."""
    cos, sin = square[:, 2] * square[:, 3].cos(), square[:, 2] * square[:, 3].sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], 1)


def to_frame(square: Float[Tensor, "B 4"], u: Float[Tensor, "B P 2"]) -> Float[Tensor, "B P 2"]:
    """Coordinates in the square to px of the frame."""
    return square[:, None, :2] + u @ _axes(square).transpose(1, 2)


def to_square(square: Float[Tensor, "B 4"], points: Float[Tensor, "B P 2"]) -> Float[Tensor, "B P 2"]:
    """Px of the frame to coordinates in the square."""
    return (points - square[:, None, :2]) @ torch.linalg.inv(_axes(square)).transpose(1, 2)


def cut(frames: Float[Tensor, "B 3 H W"], square: Float[Tensor, "B 4"], out: int) -> Float[Tensor, "B 3 {out} {out}"]:
    """Sample the squares at out x out pixels; bilinear, from a frame first reduced by a whole number (aliasing)."""
    height, width = frames.shape[-2:]
    shrink = max(1, int(square[:, 2].median() / out))
    if shrink > 1:
        frames = F.interpolate(frames, (height // shrink, width // shrink), mode="area")
    line = (torch.arange(out, device=frames.device) + 0.5) / out - 0.5
    u = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).view(1, -1, 2).expand(len(frames), -1, -1)
    at = to_frame(square, u) / torch.tensor([width, height], device=frames.device) * 2 - 1
    return F.grid_sample(frames, at.view(-1, out, out, 2), padding_mode="border", align_corners=False)


# ---------------------------------------------------------------------------------------------------------------------
# The network


class Look(nn.Module):
    """One look: a square of `side` x `side` pixels -> `marks` points in the square, around their mean (marks, 2)."""

    def __init__(self, side: int, mean: Float[Tensor, "marks 2"]):
        super().__init__()
        layers, channels = [], 3
        for width in (16, 32, 48, 64):
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.LeakyReLU(0.1)]
            channels = width
        layers += [nn.Flatten(), nn.Linear(channels * (side // 16) ** 2, 192), nn.LeakyReLU(0.1),
                   nn.Linear(192, mean.numel())]
        self.net = nn.Sequential(*layers)
        self.register_buffer("mean", mean.clone())

    def forward(self, image: Float[Tensor, "B 3 s s"]) -> Float[Tensor, "B marks 2"]:
        return self.mean + 0.1 * self.net(image - 0.5).unflatten(1, self.mean.shape)


class Landmarker(nn.Module):
    """The whole face, then the mouth: frames (B, 3, H, W) in [0, 1] -> landmarks (B, 68, 2) px, centres at +0.5."""

    def __init__(self, face_mean: Float[Tensor, "68 2"], mouth_mean: Float[Tensor, "20 2"]):
        super().__init__()
        self.face, self.mouth = Look(FACE, face_mean), Look(MOUTH, mouth_mean)

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 68 2"]:
        square = whole_square(len(frames), *frames.shape[-2:]).to(frames)
        landmarks = to_frame(square, self.face(cut(frames, square, FACE)))
        square = mouth_square(landmarks)
        mouth = to_frame(square, self.mouth(cut(frames, square, MOUTH)))
        return torch.cat([landmarks[:, :MOUTH_MARKS.start], mouth], 1)


@torch.no_grad()
def predict(model: Landmarker, frames: UInt8[np.ndarray, "T H W 3"]) -> Float[np.ndarray, "T 68 2"]:
    """Landmarks (T, 68, 2) px of frames (T, H, W, 3); each frame on its own."""
    device, parts = next(model.parameters()).device, []
    for start in range(0, len(frames), 64):
        parts.append(model(to_image(frames[start:start + 64]).to(device)).cpu().numpy())
    return np.concatenate(parts)


# ---------------------------------------------------------------------------------------------------------------------
# Training


def _jitter(square: Tensor, shift: float, scale: float, turn: float, rng: torch.Generator) -> Tensor:
    """Squares moved by normal deviates: shift in sides, scale (log), turn in radians."""
    r = torch.randn(len(square), 4, generator=rng).to(square)
    side = square[:, 2:3]
    return torch.cat([square[:, :2] + shift * side * r[:, :2], side * (scale * r[:, 2:3]).exp(),
                      square[:, 3:] + turn * r[:, 3:]], 1)


def blurred(images: Float[Tensor, "B 3 s s"], sigma: Float[Tensor, "B"]) -> Float[Tensor, "B 3 s s"]:
    """Each image under its own Gaussian blur of sigma (B,) px."""
    radius = math.ceil(3 * float(sigma.max()))
    x = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-0.5 * (x / sigma[:, None].clamp_min(1e-2)).square())  # (B, 2 radius + 1)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None]  # (B * 3, 1, k)
    x = F.pad(images.flatten(0, 1)[None], [radius] * 4, mode="replicate")
    x = F.conv2d(x, kernel[:, :, None], groups=len(kernel))
    return F.conv2d(x, kernel[..., None], groups=len(kernel)).view_as(images)


def degrade(images: Float[Tensor, "B 3 s s"], sigma: float, rng: torch.Generator) -> Float[Tensor, "B 3 s s"]:
    """What renders do to a picture: blur (half of the images, sigma up to the given px), other colours, noise."""
    def uniform(*shape):
        return torch.rand(*shape, generator=rng).to(images)
    B = len(images)
    images = blurred(images, sigma * (2 * uniform(B) - 1).clamp_min(0))
    gain, offset = 0.85 + 0.3 * uniform(B, 3, 1, 1), 0.1 * uniform(B, 3, 1, 1) - 0.05
    noise = torch.randn(images.shape, generator=rng).to(images) * 0.02 * uniform(B, 1, 1, 1)
    return images * gain + offset + noise


def _draw(frames: Sequence[np.ndarray], landmarks: Sequence[np.ndarray], index: np.ndarray, device: torch.device):
    """Frames (B, 3, H, W) in [0, 1] and landmarks (B, 68, 2) px for index (B, 2) = (take, row)."""
    images = np.stack([frames[take][row] for take, row in index])
    marks = np.stack([landmarks[take][row] for take, row in index]).astype(np.float32)
    return to_image(images).to(device), torch.from_numpy(marks).to(device)


def lip_gaps(mouth: Float[Tensor, "B 20 2"]) -> Float[Tensor, "B 3"]:
    """The three distances of measures.mouth_opening, from the mouth's landmarks alone."""
    first = MOUTH_MARKS.start
    return (mouth[:, [i - first for i in UPPER_LIP]] - mouth[:, [i - first for i in LOWER_LIP]]).norm(dim=-1)


def _loss(model: Landmarker, images: Tensor, marks: Tensor, rng: torch.Generator) -> Tensor:
    """Mean distance in the two squares, and the error of the lip gaps, which is what mouth opening is made of."""
    whole = _jitter(whole_square(len(images), *images.shape[-2:]).to(images), 0.03, 0.05, 0.06, rng)
    mouth = _jitter(mouth_square(marks), 0.05, 0.05, 0.05, rng)
    eyes = float(mouth_square(marks)[:, 2].median() / whole[:, 2].median())  # outer-eye distance in whole squares
    face = degrade(cut(images, whole, FACE), BLUR * eyes * FACE, rng)
    error = (model.face(face) - to_square(whole, marks)).norm(dim=-1).mean() / eyes
    found = model.mouth(degrade(cut(images, mouth, MOUTH), BLUR * MOUTH, rng))
    truth = to_square(mouth, marks[:, MOUTH_MARKS])
    gaps = (lip_gaps(found) - lip_gaps(truth)).abs().mean()
    return error + (found - truth).norm(dim=-1).mean() + gaps


def train_landmarker(frames: Sequence[np.ndarray], landmarks: Sequence[np.ndarray], seed: int, iters: int = 600,
                     device: torch.device = torch.device("cpu"), batch: int = 32) -> Landmarker:
    """Learn landmarks from frames [(T, H, W, 3) uint8, ...] and landmarks [(T, 68, 2) px, ...], one entry a take.

    Frames may be memory-mapped; all have one size. Equal seeds give equal networks. Raises ValueError without frames.
    """
    index = np.array([(take, row) for take, marks in enumerate(landmarks) for row in range(len(marks))])
    if len(index) == 0:
        raise ValueError("train_landmarker: no frames to learn from")
    draw, rng = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # initial weights
        model = Landmarker(*_means(frames, landmarks)).to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=iters)
    for _ in trange(iters, desc="landmark regressor", leave=False):
        images, marks = _draw(frames, landmarks, index[draw.integers(len(index), size=batch)], device)
        loss = _loss(model, images, marks, rng)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval().requires_grad_(False)


def _means(frames: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Mean landmarks in the whole square (68, 2), and mean mouth in its own square (20, 2): where predictions start."""
    marks = torch.from_numpy(np.concatenate(landmarks).astype(np.float32))
    whole, mouth = whole_square(len(marks), *frames[0].shape[1:3]), mouth_square(marks)
    return to_square(whole, marks).mean(0), to_square(mouth, marks[:, MOUTH_MARKS]).mean(0)


def trained_landmarker(train: Corpus, seed: int, device: torch.device) -> Landmarker:
    """The regressor of landmarker.py, on the frames and true landmarks of `train`."""
    pick = lambda what: [np.asarray(getattr(t, what)[r]) for t, r in zip(train.takes, train.rows)]
    return train_landmarker(pick("frames"), pick("landmarks"), seed, device=device)
