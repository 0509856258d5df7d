"""syncnet.py - Sec. 4.3: SyncNet [44], the network behind the published Sync scores.

SyncNet (Chung and Zisserman, 2016) is written out layer by layer as published, with the published
names, so that its weights (syncnet_v2.model) load. It sees 5 face crops of 224 px at 25 frames per
second, and 13 x 20 MFCC of the same 0.2 s. Without the weights a sync expert stands in:
sync_expert.py. In: frames and sound. Out: distances (T, 2k + 1) for measures.sync_confidence. Next:
sync_expert.py.
"""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.fft import dct
from scipy.ndimage import median_filter
from torch import Tensor, nn

from evaluation.measures import offset_distances
from tools.errors import InputError, first_line
from tools.media import SAMPLE_RATE

WEIGHTS = "http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model"
FPS, SIDE, WINDOW = 25, 224, 5  # what SyncNet takes: frames per second, pixels, frames
MFCC_WINDOW = 4 * WINDOW  # MFCC come at 100 Hz, four per frame
Distances = tuple[Float[np.ndarray, "pairs n"], Bool[np.ndarray, "pairs n"]]  # and which exist

# ---- MFCC ----------------------------------------------------------------------------------------

FRAME, HOP, N_FFT, N_MEL, N_CEPSTRA, LIFTER = 400, 160, 512, 26, 13, 22


def mfcc(samples: Float[np.ndarray, "N"]) -> Float[np.ndarray, "n 13"]:
    """Mel-frequency cepstra every 10 ms, as python_speech_features gives them: SyncNet's input.

    samples: (N,) at 16 kHz in the range of 16-bit integers. Pre-emphasis 0.97; rectangular windows
    of 25 ms, the last filled with zeros; log energies of 26 mel bands; orthonormal DCT-II; lifter;
    c0 replaced by the log of the energy.
    """
    emphasised = np.append(samples[:1], samples[1:] - 0.97 * samples[:-1])
    count = 1 + max(0, -(-(len(samples) - FRAME) // HOP))
    padded = np.pad(emphasised, (0, (count - 1) * HOP + FRAME - len(samples)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]  # (n, 400)
    power = np.abs(np.fft.rfft(windows, N_FFT)) ** 2 / N_FFT  # (n, 257)
    floor = lambda x: np.where(x == 0, np.finfo(float).eps, x)
    logs = np.log(floor(power @ mel_triangles().T))
    cepstra = dct(logs, type=2, axis=1, norm="ortho")[:, :N_CEPSTRA]
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(N_CEPSTRA) / LIFTER)
    cepstra[:, 0] = np.log(floor(power.sum(1)))
    return cepstra


def mel_triangles() -> Float[np.ndarray, "26 257"]:
    """Triangles of height 1, corners on whole FFT bins, equally spaced in mel from 0 to 8 kHz."""
    mel = np.linspace(0, 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700), N_MEL + 2)
    corner = np.floor((N_FFT + 1) * 700 * (10 ** (mel / 2595) - 1) / SAMPLE_RATE)
    left, peak, right = corner[:-2, None], corner[1:-1, None], corner[2:, None]
    bins = np.arange(N_FFT // 2 + 1)
    return np.minimum((bins - left) / (peak - left), (right - bins) / (right - peak)).clip(0)


# ---- SyncNet -------------------------------------------------------------------------------------

# Per convolution: channels, kernel, stride, padding; then the max pool's kernel, stride, padding.
AUDIO_LAYERS = [
    (64, (3, 3), 1, 1, (1, 1, 0)), (192, (3, 3), 1, 1, (3, (1, 2), 0)), (384, (3, 3), 1, 1, None),
    (256, (3, 3), 1, 1, None), (256, (3, 3), 1, 1, (3, 2, 0)), (512, (5, 4), 1, 0, None)]
LIP_LAYERS = [
    (96, (5, 7, 7), (1, 2, 2), 0, ((1, 3, 3), (1, 2, 2), 0)),
    (256, (1, 5, 5), (1, 2, 2), (0, 1, 1), ((1, 3, 3), (1, 2, 2), (0, 1, 1))),
    (256, (1, 3, 3), 1, (0, 1, 1), None), (256, (1, 3, 3), 1, (0, 1, 1), None),
    (256, (1, 3, 3), 1, (0, 1, 1), ((1, 3, 3), (1, 2, 2), 0)), (512, (1, 6, 6), 1, 0, None)]


def _convolutions(channels: int, layers_of: list, conv, norm, pool) -> nn.Sequential:
    layers = []
    for width, kernel, stride, padding, pooling in layers_of:
        layers += [conv(channels, width, kernel, stride, padding), norm(width), nn.ReLU()]
        layers += [] if pooling is None else [pool(*pooling)]
        channels = width
    return nn.Sequential(*layers)


def _linear() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))


class SyncNet(nn.Module):
    """Two streams into one space in which picture and sound of one moment lie close together."""

    def __init__(self):
        super().__init__()
        self.netcnnaud = _convolutions(1, AUDIO_LAYERS, nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)
        self.netfcaud = _linear()
        self.netcnnlip = _convolutions(3, LIP_LAYERS, nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d)
        self.netfclip = _linear()

    def audio(self, cepstra: Float[Tensor, "B 1 13 20"]) -> Float[Tensor, "B 1024"]:
        """MFCC of 0.2 s, as mfcc() gives them."""
        return self.netfcaud(self.netcnnaud(cepstra).flatten(1))

    def lip(self, faces: Float[Tensor, "B 3 5 224 224"]) -> Float[Tensor, "B 1024"]:
        """Five frames, blue-green-red, 0 to 255."""
        return self.netfclip(self.netcnnlip(faces).flatten(1))


def load_syncnet(path: str | Path) -> SyncNet:
    """SyncNet with the published weights. Raises InputError for a file that cannot be used."""
    get = f"get syncnet_v2.model from {WEIGHTS}"
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; {get}")
    net = SyncNet()
    try:
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # zip, pickle, key and shape errors all mean the same to the user
        raise InputError(f"{path}: damaged, or not SyncNet's weights ({first_line(error)}); "
                         f"{get}") from error
    return net.eval().requires_grad_(False)


def face_crops(frames: UInt8[np.ndarray, "T H W 3"], landmarks: Float[np.ndarray, "T 68 2"]
               ) -> UInt8[np.ndarray, "T 224 224 3"]:
    """Faces as SyncNet's own program cuts them: 0.4 box widths beyond the sides, 0.8 below.

    Outside the frame they are grey. Its box comes from a face detector; ours is that of the
    landmarks, raised by a quarter of their height to the forehead, the median over 13 frames. So
    the crops are like the published ones, not equal to them.
    """
    low, high = landmarks.min(1), landmarks.max(1)  # (T, 2)
    low[:, 1] -= 0.25 * (high - low)[:, 1]
    box = np.column_stack([(low + high) / 2, (high - low).max(1) / 2])  # (T, 3): x, y, half a side
    box = median_filter(box, size=(13, 1), mode="nearest")
    out = np.empty((len(frames), SIDE, SIDE, 3), np.uint8)
    for image, frame, (x, y, half) in zip(out, frames, box):
        scale = SIDE / (2.8 * half)
        shift = scale * np.array([1.4 * half - x, half - y])  # px with centres at +0.5
        shift = shift + 0.5 * (scale - 1)  # to OpenCV's centres, which are whole numbers
        move = np.column_stack([scale * np.eye(2), shift])
        cv2.warpAffine(np.ascontiguousarray(frame), move, (SIDE, SIDE), image, cv2.INTER_LINEAR,
                       cv2.BORDER_CONSTANT, (110, 110, 110))
    return out


def _at_25(frame_ids: np.ndarray, fps: float) -> np.ndarray:
    """Which frame is nearest in time to each 1/25 s from the first frame to the last."""
    time = (frame_ids - frame_ids[0]) / fps
    ticks = np.minimum(np.arange(int(time[-1] * FPS + 1e-6) + 1) / FPS, time[-1])
    right = np.searchsorted(time, ticks)  # the first frame at or after each tick
    left = (right - 1).clip(0)
    return np.where(ticks - time[left] < time[right] - ticks, left, right)


@torch.no_grad()
def syncnet_distances(net: SyncNet, faces: UInt8[np.ndarray, "T 224 224 3"],
                      wave: Float[np.ndarray, "N"], fps: float, frame_ids: Int[np.ndarray, "T"],
                      max_offset: int = 15, block: int = 16) -> Distances:
    """Distances (n, 2k + 1) of every 5 face crops from the sound k ticks before to k after; a mask.

    A tick is 1/25 s. faces: RGB of the frames frame_ids, at fps; wave: in [-1, 1] at 16 kHz from
    frame id 0 on. Frames are repeated or left out to reach 25 per second. Raises ValueError when
    there is no whole window.
    """
    device = next(net.parameters()).device
    cepstra = mfcc(wave[round(frame_ids[0] / fps * SAMPLE_RATE):].astype(np.float64) * 2**15)
    frames = _at_25(frame_ids, fps)
    count = min(len(frames) - WINDOW, (len(cepstra) - MFCC_WINDOW) // 4) + 1
    if count < 1:
        raise ValueError(f"{len(frames)} frames and {len(cepstra)} MFCC: shorter than SyncNet's "
                         "window of 0.2 s")
    windows = torch.from_numpy(cepstra).float().unfold(0, MFCC_WINDOW, 4)[:count]  # (n, 13, 20)
    sound = torch.cat([net.audio(part) for part in windows[:, None].to(device).split(256)])
    picture = []
    for start in range(0, count, block):
        part = faces[frames[start:min(start + block, count) + WINDOW - 1]]  # (b + 4, 224, 224, 3)
        pixels = torch.from_numpy(part[..., ::-1].copy()).to(device).float()  # blue, green, red
        picture.append(net.lip(pixels.unfold(0, WINDOW, 1).permute(0, 3, 4, 1, 2)))
    return offset_distances(torch.cat(picture).cpu().numpy(), sound.cpu().numpy(), max_offset)
