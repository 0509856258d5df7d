"""landmark_regressor.py - Sec. 4.3: finds the 68 landmarks in rendered frames, for LMD.

A clip's landmarks come from a detector made for photographs. Stand-in heads, meshes and blurred
renders are not photographs, so a small network learns the landmarks of the data at hand, from its
own frames and true landmarks. It looks twice: at the whole face, then at a square around the mouth.
In: frames (T, H, W, 3) uint8 with landmarks (T, 68, 2) px. Out: a Landmarker; predict() gives
(T, 68, 2) px. Its own error is the first row of every table. Next: syncnet.py.
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
BLUR = 0.07  # strongest blur in training, sigma in outer-eye distances: 1.5 px in frames of 64 px

# ---- squares -------------------------------------------------------------------------------------
# (B, 4) = centre x, centre y, side, angle (radians), in px of the frame. A point of the square has
# coordinates u in [-1/2, 1/2]: x = centre + side R(angle) u.


def whole_square(n: int, height: int, width: int) -> Float[Tensor, "n 4"]:
    """The square that covers a frame of height x width, n times."""
    return torch.tensor([width / 2, height / 2, max(height, width), 0.0]).expand(n, 4)


def mouth_square(landmarks: Float[Tensor, "B 68 2"]) -> Float[Tensor, "B 4"]:
    """Centred on the mouth's mean, upright with the eyes, as wide as the outer eye distance."""
    across = landmarks[:, OUTER_EYES[1]] - landmarks[:, OUTER_EYES[0]]  # (B, 2)
    side = across.norm(dim=1, keepdim=True).clamp_min(1)
    angle = torch.atan2(across[:, 1:], across[:, :1])
    return torch.cat([landmarks[:, MOUTH_MARKS].mean(1), side, angle], 1)


def _axes(square: Tensor) -> Tensor:
    """side R(angle), (B, 2, 2)."""
    cos, sin = square[:, 2] * square[:, 3].cos(), square[:, 2] * square[:, 3].sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], 1)


def to_frame(square: Float[Tensor, "B 4"], u: Float[Tensor, "B P 2"]) -> Float[Tensor, "B P 2"]:
    """Coordinates in the square to px of the frame."""
    return square[:, None, :2] + u @ _axes(square).transpose(1, 2)


def to_square(square: Float[Tensor, "B 4"], xy: Float[Tensor, "B P 2"]) -> Float[Tensor, "B P 2"]:
    """Px of the frame to coordinates in the square."""
    return (xy - square[:, None, :2]) @ torch.linalg.inv(_axes(square)).transpose(1, 2)


def cut(frames: Float[Tensor, "B 3 H W"], square: Float[Tensor, "B 4"], out: int
        ) -> Float[Tensor, "B 3 {out} {out}"]:
    """The squares at out x out pixels, bilinear; against aliasing the frame is reduced first."""
    height, width = frames.shape[-2:]
    shrink = max(1, int(square[:, 2].median() / out))
    if shrink > 1:
        frames = F.interpolate(frames, (height // shrink, width // shrink), mode="area")
    line = (torch.arange(out, device=frames.device) + 0.5) / out - 0.5
    u = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).view(1, -1, 2)
    at = to_frame(square, u.expand(len(frames), -1, -1)).view(-1, out, out, 2)
    at = at / torch.tensor([width, height], device=frames.device) * 2 - 1
    return F.grid_sample(frames, at, padding_mode="border", align_corners=False)


# ---- the network ---------------------------------------------------------------------------------

def convolutions(channels: int, widths: tuple[int, ...], side: int, hidden: int, d_out: int
                 ) -> nn.Sequential:
    """A small CNN: (B, channels, side, side) -> (B, d_out); each convolution halves the side."""
    layers = []
    for width in widths:
        layers += [nn.Conv2d(channels, width, 3, 2, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.1)]
        channels, side = width, side // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side**2, hidden),
                         nn.LeakyReLU(0.1), nn.Linear(hidden, d_out))


class Look(nn.Module):
    """One look: a square of side x side pixels -> points (marks, 2) in it, around their mean."""

    def __init__(self, side: int, mean: Float[Tensor, "marks 2"]):
        super().__init__()
        self.net = convolutions(3, (16, 32, 48, 64), side, 192, mean.numel())
        self.register_buffer("mean", mean.clone())

    def forward(self, image: Float[Tensor, "B 3 s s"]) -> Float[Tensor, "B marks 2"]:
        return self.mean + 0.1 * self.net(image - 0.5).unflatten(1, self.mean.shape)


class Landmarker(nn.Module):
    """The whole face, then the mouth: frames in [0, 1] -> landmarks in px, centres at +0.5."""

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


# ---- training ------------------------------------------------------------------------------------

def _jitter(square: Tensor, shift: float, scale: float, turn: float, rng: torch.Generator):
    """Squares moved by normal deviates: shift in sides, scale (log), turn in radians."""
    centre, side, angle = square.split((2, 1, 1), 1)
    r = torch.randn(len(square), 4, generator=rng).to(square)
    return torch.cat([centre + shift * side * r[:, :2], side * (scale * r[:, 2:3]).exp(),
                      angle + turn * r[:, 3:]], 1)


def blurred(images: Float[Tensor, "B 3 s s"], sigma: Float[Tensor, "B"]
            ) -> Float[Tensor, "B 3 s s"]:
    """Each image under its own Gaussian blur of sigma (B,) px."""
    radius = math.ceil(3 * float(sigma.max()))
    x = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-0.5 * (x / sigma[:, None].clamp_min(1e-2)).square())  # (B, 2 radius + 1)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None]  # (3 B, 1, k)
    x = F.pad(images.flatten(0, 1)[None], [radius] * 4, mode="replicate")
    x = F.conv2d(x, kernel[:, :, None], groups=len(kernel))
    return F.conv2d(x, kernel[..., None], groups=len(kernel)).view_as(images)


def degrade(images: Float[Tensor, "B 3 s s"], sigma: float, rng: torch.Generator
            ) -> Float[Tensor, "B 3 s s"]:
    """What renders do to a picture: blur (half of the images, up to sigma px), colours, noise."""
    def uniform(*shape):
        return torch.rand(*shape, generator=rng).to(images)
    B = len(images)
    images = blurred(images, sigma * (2 * uniform(B) - 1).clamp_min(0))
    gain, offset = 0.85 + 0.3 * uniform(B, 3, 1, 1), 0.1 * uniform(B, 3, 1, 1) - 0.05
    noise = torch.randn(images.shape, generator=rng).to(images) * 0.02 * uniform(B, 1, 1, 1)
    return images * gain + offset + noise


def lip_gaps(mouth: Float[Tensor, "B 20 2"]) -> Float[Tensor, "B 3"]:
    """The three distances of measures.mouth_opening, from the mouth's landmarks alone."""
    upper, lower = (torch.tensor(lip) - MOUTH_MARKS.start for lip in (UPPER_LIP, LOWER_LIP))
    return (mouth[:, upper] - mouth[:, lower]).norm(dim=-1)


def _loss(model: Landmarker, images: Tensor, marks: Tensor, rng: torch.Generator) -> Tensor:
    """Mean distance in the two squares, and the error of the lip gaps, the mouth's opening."""
    whole = _jitter(whole_square(len(images), *images.shape[-2:]).to(images), 0.03, 0.05, 0.06, rng)
    mouth = _jitter(mouth_square(marks), 0.05, 0.05, 0.05, rng)
    eyes = float(mouth_square(marks)[:, 2].median() / whole[:, 2].median())  # in whole squares
    face = degrade(cut(images, whole, FACE), BLUR * eyes * FACE, rng)
    error = (model.face(face) - to_square(whole, marks)).norm(dim=-1).mean() / eyes
    found = model.mouth(degrade(cut(images, mouth, MOUTH), BLUR * MOUTH, rng))
    truth = to_square(mouth, marks[:, MOUTH_MARKS])
    gaps = (lip_gaps(found) - lip_gaps(truth)).abs().mean()
    return error + (found - truth).norm(dim=-1).mean() + gaps


def train_landmarker(frames: Sequence[np.ndarray], landmarks: Sequence[np.ndarray], seed: int,
                     iters: int = 600, device: torch.device = torch.device("cpu"), batch: int = 32
                     ) -> Landmarker:
    """Learn landmarks from each take's frames (T, H, W, 3) uint8 and landmarks (T, 68, 2) px.

    All frames have one size. Equal seeds give equal networks. Raises ValueError without frames.
    """
    index = np.array([(take, frame) for take, marks in enumerate(landmarks)
                      for frame in range(len(marks))])
    if len(index) == 0:
        raise ValueError("train_landmarker: no frames to learn from")
    draw, rng = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # initial weights
        model = Landmarker(*_means(frames, landmarks)).to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=iters)
    for _ in trange(iters, desc="landmark regressor", leave=False):
        at = index[draw.integers(len(index), size=batch)]
        images = to_image(np.stack([frames[take][frame] for take, frame in at])).to(device)
        marks = np.stack([landmarks[take][frame] for take, frame in at]).astype(np.float32)
        loss = _loss(model, images, torch.from_numpy(marks).to(device), rng)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval().requires_grad_(False)


def _means(frames: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Mean landmarks in the whole square, mean mouth in its own: where predictions start."""
    marks = torch.from_numpy(np.concatenate(landmarks).astype(np.float32))
    whole, mouth = whole_square(len(marks), *frames[0].shape[1:3]), mouth_square(marks)
    return to_square(whole, marks).mean(0), to_square(mouth, marks[:, MOUTH_MARKS]).mean(0)


def trained_landmarker(train_set: Corpus, seed: int, device: torch.device) -> Landmarker:
    """The regressor for the frames and true landmarks of a training set."""
    takes = list(zip(train_set.takes, train_set.numbers))
    return train_landmarker([np.asarray(take.frames[shown]) for take, shown in takes],
                            [take.landmarks[shown] for take, shown in takes], seed, device=device)
