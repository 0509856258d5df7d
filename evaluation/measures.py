"""measures.py - Sec. 4.3: the measures themselves: PSNR, SSIM, FID, LMD, Sync, mouth opening.

In: images (H, W, 3) uint8, masks (H, W) uint8, 255 = counts; landmarks (T, 68, 2) px; features
(N, d); distances between pictures and sounds (T, 2k + 1). Out: numbers. Nothing here knows of runs
or networks, save the feature networks of FID. Every lag has the same sign: positive where the
picture is late. Next: syncnet.py, landmark_regressor.py, evaluate.py.
"""
from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from skimage.metrics import structural_similarity
from torch import nn

from tools.errors import InputError, first_line
from tracking import eye_distance

OUTER_EYES = (36, 45)  # iBUG: outer corners of the eyes
MOUTH = slice(48, 68)
UPPER_LIP, LOWER_LIP = [61, 62, 63], [67, 66, 65]  # inner edges, opposite each other
MOUTH_CORNERS = (48, 54)

# ---- PSNR and SSIM -------------------------------------------------------------------------------

def psnr(image: UInt8[np.ndarray, "H W 3"], truth: UInt8[np.ndarray, "H W 3"],
         mask: UInt8[np.ndarray, "H W"] | None = None) -> float:
    """Peak signal-to-noise ratio, dB: 10 log10(255^2 / MSE) over pixels and channels.

    It is inf for equal images. With a mask, the MSE is the mean weighted by mask / 255. Raises
    ValueError for an empty mask.
    """
    error = ((image.astype(np.float64) - truth) ** 2).mean(-1)  # (H, W)
    if mask is not None and not mask.any():
        raise ValueError("the mask is empty: there is nothing to measure")
    mse = np.average(error, weights=mask)
    return math.inf if mse == 0 else 10 * math.log10(255**2 / mse)


def ssim(image: UInt8[np.ndarray, "H W 3"], truth: UInt8[np.ndarray, "H W 3"]) -> float:
    """Mean structural similarity, 1 for equal images, as the field reports it: mean over colours.

    The window is that of Wang et al. 2004, Sec. III. Only windows that lie inside the image count,
    so a border of 5 px is left out. Raises ValueError when none fits.
    """
    if min(image.shape[:2]) < 11:
        raise ValueError(f"SSIM of {image.shape[1]} x {image.shape[0]} px: the window is 11 x 11")
    return float(structural_similarity(
        truth, image, data_range=255, channel_axis=-1,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False))


# ---- FID -----------------------------------------------------------------------------------------

def feature_statistics(features: Float[np.ndarray, "N d"]
                       ) -> tuple[Float[np.ndarray, "d"], Float[np.ndarray, "d d"]]:
    """Mean (d,) and unbiased covariance (d, d) of N features. Raises ValueError for N < 2."""
    if len(features) < 2:
        raise ValueError(f"{len(features)} features: want at least 2 for a covariance")
    return features.mean(0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet_distance(mean1: Float[np.ndarray, "d"], cov1: Float[np.ndarray, "d d"],
                     mean2: Float[np.ndarray, "d"], cov2: Float[np.ndarray, "d d"]) -> float:
    """Frechet distance of two Gaussians, squared as FID [42] defines it.

    It is |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). C1 C2 has the eigenvalues of the symmetric S
    C2 S with S = C1^(1/2), whose root also exists where there are fewer frames than features and
    the covariances are singular.
    """
    values, vectors = np.linalg.eigh(cov1)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov2 @ root).clip(0)).sum()
    return float(((mean1 - mean2) ** 2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * cross)


@dataclass(frozen=True)
class Features:
    """A feature network for FID: which one, and whether its FID compares with published scores.

    `extract` maps frames (N, H, W, 3) uint8 to features (N, d) float64.
    """
    name: str
    comparable: bool
    extract: Callable[[UInt8[np.ndarray, "N H W 3"]], Float[np.ndarray, "N d"]]


def load_features(source: str, device: torch.device = torch.device("cpu")) -> Features:
    """The features of FID: "random", or a TorchScript file of an Inception-v3 network.

    A file: the one in common use is inception-2015-12-05.pt, published with StyleGAN 2. It takes
    uint8 images of any size and, with return_features=True, gives 2048 pooled features. Loading
    TorchScript runs what is in the file: name only files that you trust, as you would a program.
    "random": a small convolutional network with fixed random weights; it ranks runs against each
    other and compares with nothing published. Raises InputError when the file cannot be used.
    """
    if source == "random":
        extract = _in_blocks(_RandomNetwork().to(device), device)
        return Features("fixed random features, not comparable", False, extract)
    if not Path(source).is_file():
        raise InputError(f"{source}: no such file; give inception-2015-12-05.pt (TorchScript), "
                         "or random")
    try:
        with warnings.catch_warnings():  # torch 2.13 warns, but the file has no other form
            warnings.simplefilter("ignore", DeprecationWarning)
            network = torch.jit.load(source, map_location=device).eval()
        extract = _in_blocks(lambda images: network(images, return_features=True), device)
        width = extract(np.zeros((1, 64, 64, 3), np.uint8)).shape[1]
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise InputError(f"{source}: not a TorchScript network that takes (images, "
                         f"return_features=True) ({first_line(error)}); give "
                         "inception-2015-12-05.pt, or random") from error
    kind = "" if width == 2048 else f", {width} features where Inception has 2048, not comparable"
    return Features(f"features of {Path(source).name}{kind}", width == 2048, extract)


def _in_blocks(network: Callable[[torch.Tensor], torch.Tensor], device: torch.device):
    """Frames (N, H, W, 3) -> features (N, d), 32 at a time. `network` takes (B, 3, H, W) uint8."""
    @torch.no_grad()
    def extract(frames: UInt8[np.ndarray, "N H W 3"]) -> Float[np.ndarray, "N d"]:
        parts = []
        for start in range(0, len(frames), 32):
            images = torch.from_numpy(np.ascontiguousarray(frames[start:start + 32])).to(device)
            parts.append(network(images.permute(0, 3, 1, 2)).double().cpu().numpy())
        return np.concatenate(parts)
    return extract


class _RandomNetwork(nn.Module):
    """(B, 3, H, W) uint8 -> (B, 64): mean and spread of 32 channels of random convolutions."""

    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for width in (16, 32, 32):
                layers += [nn.Conv2d(channels, width, 5, 2, 2), nn.LeakyReLU(0.2)]
                channels = width
            for layer in layers[::2]:
                nn.init.orthogonal_(layer.weight, 1.4)
        self.net = nn.Sequential(*layers)

    def forward(self, images):
        h = self.net(images.float() / 127.5 - 1).flatten(2)
        return torch.cat([h.mean(2), h.std(2)], 1)


# ---- Landmarks: LMD, mouth opening ---------------------------------------------------------------

def lmd(landmarks: Float[np.ndarray, "T 68 2"], truth: Float[np.ndarray, "T 68 2"]
        ) -> tuple[float, float]:
    """Landmark distance [43] of the 20 mouth landmarks, each mouth centred: (px, percent).

    Mean over landmarks and frames; percent of the true frame's distance of the outer eye corners.
    """
    mouth, true = landmarks[:, MOUTH], truth[:, MOUTH]
    moved = (mouth - mouth.mean(1, keepdims=True)) - (true - true.mean(1, keepdims=True))
    distance = np.linalg.norm(moved, axis=-1).mean(1)  # (T,) px
    return float(distance.mean()), float(100 * (distance / eye_distance(truth)).mean())


def mouth_opening(landmarks: Float[np.ndarray, "T 68 2"]) -> Float[np.ndarray, "T"]:
    """Gap between the inner edges of the lips, mean of three places, in outer-eye distances."""
    gaps = np.linalg.norm(landmarks[:, UPPER_LIP] - landmarks[:, LOWER_LIP], axis=-1)  # (T, 3)
    return gaps.mean(1) / eye_distance(landmarks)


def mouth_width(landmarks: Float[np.ndarray, "T 68 2"]) -> Float[np.ndarray, "T"]:
    """Distance of the outer corners of the mouth, in outer-eye distances."""
    left, right = MOUTH_CORNERS
    across = np.linalg.norm(landmarks[:, left] - landmarks[:, right], axis=-1)  # (T,) px
    return across / eye_distance(landmarks)


def lid_opening(landmarks: Float[np.ndarray, "T 68 2"]) -> Float[np.ndarray, "T"]:
    """Mean distance of the lids of both eyes in outer-eye distances: small in a blink."""
    upper, lower = landmarks[:, [37, 38, 43, 44]], landmarks[:, [41, 40, 47, 46]]
    return np.linalg.norm(upper - lower, axis=-1).mean(1) / eye_distance(landmarks)


# ---- Correlation and lag -------------------------------------------------------------------------

def by_frame_id(values: Float[np.ndarray, "T"], frame_ids: Int[np.ndarray, "T"]
                ) -> Float[np.ndarray, "N"]:
    """Spread values (T,) over all frame ids, nan where a frame is missing: so lags are true."""
    spread = np.full(int(frame_ids[-1] - frame_ids[0]) + 1, np.nan)
    spread[frame_ids - frame_ids[0]] = values
    return spread


def lagged_correlations(render: Float[np.ndarray, "T"], truth: Float[np.ndarray, "T"], max_lag: int
                        ) -> Float[np.ndarray, "n"]:
    """Pearson's r of render[t + lag] with truth[t] for lags -max_lag .. max_lag; positive: late.

    Each lag uses the frames that both series have there: there is no zero padding, and pairs with a
    nan are left out. nan where fewer than 3 pairs remain or one of the series does not vary. Raises
    ValueError when the series are no longer than the largest lag.
    """
    T = len(render)
    if T <= max_lag:
        raise ValueError(f"{T} frames are too few for lags up to {max_lag}")
    late = [correlation(render[lag:], truth[:T - lag]) for lag in range(max_lag + 1)]
    early = [correlation(render[:T - lag], truth[lag:]) for lag in range(max_lag, 0, -1)]
    return np.array(early + late)


def correlation(a: Float[np.ndarray, "T"], b: Float[np.ndarray, "T"]) -> float:
    """Pearson's r of the pairs without a nan; nan for fewer than 3 or where a or b is constant."""
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3:
        return math.nan
    a, b = a[both].astype(np.float64), b[both].astype(np.float64)
    if any(np.ptp(x) <= 1e-6 * np.abs(x).max() for x in (a, b)):  # rounding is no movement
        return math.nan
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


def partial_correlation(render: Float[np.ndarray, "T"], a: Float[np.ndarray, "T"],
                        given: Float[np.ndarray, "T"]) -> float:
    """Correlation of render with `a` beyond what both share with `given`: that of the residuals.

    In the audio swap `a` is the truth of sentence A, `given` that of B, whose sound was put in. nan
    where one of the three does not vary, or is a multiple of `given`.
    """
    known = np.isfinite(render) & np.isfinite(a) & np.isfinite(given)
    render, a, given = render[known], a[known], given[known]
    ra, rg, ag = correlation(render, a), correlation(render, given), correlation(a, given)
    scale = (1 - rg**2) * (1 - ag**2)
    defined = scale > 1e-12  # of a nan it is false, too
    return (ra - rg * ag) / math.sqrt(scale) if defined else math.nan


# ---- Sync: SyncNet's confidence and offset [44], from distances of any network -------------------

def offset_distances(video: Float[np.ndarray, "T d"], audio: Float[np.ndarray, "T d"],
                     max_offset: int, frame_ids: Int[np.ndarray, "T"] | None = None
                     ) -> tuple[Float[np.ndarray, "T n"], Bool[np.ndarray, "T n"]]:
    """Distances (T, 2k + 1) of the picture of frame t from the sound of frame t + j - k; a mask.

    video, audio (T, d): features of the same frames. A pair beyond the ends of the clip, or with a
    frame that is missing from frame_ids (ascending), is False in the mask; its distance is nan.
    SyncNet's own program compares such pictures with zeros, which favours some offsets in short
    clips.
    """
    ids = np.arange(len(video)) if frame_ids is None else frame_ids
    wanted = ids[:, None] + np.arange(-max_offset, max_offset + 1)  # (T, 2k + 1)
    at = np.searchsorted(ids, wanted).clip(max=len(ids) - 1)
    valid = ids[at] == wanted
    distance = np.linalg.norm(video[:, None] - audio[at], axis=-1)
    return np.where(valid, distance, np.nan), valid


def sync_confidence(distances: Float[np.ndarray, "T n"], valid: Bool[np.ndarray, "T n"]
                    ) -> tuple[float, int, Float[np.ndarray, "n"]]:
    """SyncNet's (confidence, offset in frames, mean distance at 2k + 1 shifts of the sound).

    Each shift's distance is the mean over the frames that have a pair there. Confidence is the
    median over shifts minus the least; offset has SyncNet's sign, positive where the picture is
    late: it fits an earlier sound. Frames of several takes may be joined. Raises ValueError when a
    shift has no pair at all (the clips are too short for it), or the number of shifts is even.
    """
    count = valid.sum(0)
    if distances.shape[1] % 2 == 0 or (count == 0).any():
        raise ValueError(f"{len(distances)} frames are too few for offsets up to "
                         f"{distances.shape[1] // 2}, or their number is even")
    mean = np.where(valid, distances, 0).sum(0) / count
    return float(np.median(mean) - mean.min()), int(distances.shape[1] // 2 - mean.argmin()), mean
