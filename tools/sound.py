"""sound.py - Sec. 3.1: log-mel energies, the features of the sound where there is no HuBERT.

In:  sound (N,) at 16 kHz.
Out: (n, 40), and the time in seconds of each vector; long sound in chunks, for networks.
Read next: phones.py, audio.py (F_A).
"""
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, sosfiltfilt
from torch import Tensor

from tools.media import SAMPLE_RATE

FRAME, HOP = 400, 160  # samples: a vector sees 25 ms, the next is 10 ms on
N_MEL = 40
STEP = 0.02  # seconds between the vectors of networks, and of a window of F_A
SPEECH = 0.98  # of the energy is speech, see speech_power
SILENT = 1e-8  # mean square, 80 dB below full scale: nobody speaks
HIGH_PASS = butter(4, 80, "high", fs=SAMPLE_RATE, output="sos")


def speech_power(wave: Float[np.ndarray, "N"]) -> tuple[Float[np.ndarray, "N"], float]:
    """Mean square of the 25 ms about each sample, and the least that counts as speech.

    Speech is what is loudest and together holds SPEECH of the energy: silence before, between and
    after sentences has no say. A sound without energy has no speech: then the least is inf.
    """
    power = uniform_filter1d(np.square(wave, dtype=np.float64), FRAME, mode="constant")
    falling = np.sort(power[::HOP])[::-1]
    if len(falling) == 0 or falling[0] < SILENT:
        return power, np.inf
    return power, float(falling[np.searchsorted(np.cumsum(falling), SPEECH * falling.sum())])


def levelled(wave: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """The sound without hum below 80 Hz, its speech at a mean square of 0.01; silence stays."""
    wave = sosfiltfilt(HIGH_PASS, wave, padlen=min(300, max(len(wave) - 1, 0)))
    power, least = speech_power(wave)
    speech = power[power >= least]
    level = float(np.sqrt(speech.mean())) if len(speech) else 1.0
    return (wave * (0.1 / level)).astype(np.float32)


def log_mel(wave: Float[np.ndarray, "N"]
            ) -> tuple[Float[np.ndarray, "n 40"], Float[np.ndarray, "n"]]:
    """Log-mel energies every 10 ms, the features of `small`, and the time of each in seconds.

    Hann windows of 25 ms centred on every 160th sample, 40 triangular mel bands from 60 to 7600 Hz,
    natural log above a floor. The sound is first brought to a common level (see levelled), so that
    a quieter recording does not look like other speech; a silent one stays silent.
    """
    wave = torch.from_numpy(levelled(wave))
    spectrum = torch.stft(wave, 512, HOP, FRAME, torch.hann_window(FRAME), center=True,
                          pad_mode="constant", return_complex=True)
    mel = mel_filters() @ spectrum.abs().square()  # (40, n)
    features = ((mel + 1e-3).log() / 4.0).T  # speech at this level has |X|^2 of about 1 to 1000
    return features.numpy(), np.arange(len(features)) * HOP / SAMPLE_RATE


def mel_filters() -> Float[Tensor, "40 257"]:
    """Triangles equally spaced on the mel scale, each of unit sum, over the STFT's 257 bins."""
    to_mel = lambda f: 2595 * math.log10(1 + f / 700)
    mel = torch.linspace(to_mel(60.0), to_mel(7600.0), N_MEL + 2)
    centre = 700 * (10 ** (mel / 2595) - 1)  # Hz
    bins = torch.linspace(0, SAMPLE_RATE / 2, 257)
    rising = (bins - centre[:-2, None]) / (centre[1:-1] - centre[:-2])[:, None]
    falling = (centre[2:, None] - bins) / (centre[2:] - centre[1:-1])[:, None]
    triangles = torch.minimum(rising, falling).clamp_min(0)
    return triangles / triangles.sum(1, keepdim=True)


def in_chunks(encode: Callable[[int, int], np.ndarray], total: int, chunk: float = 20.0,
              context: float = 1.0) -> Float[np.ndarray, "n d"]:
    """Vectors 0 .. total - 1, 20 ms apart, of encode(first, last), which gives first .. last - 1.

    Long sound goes through in chunks of `chunk` seconds that overlap by `context` at each side, cut
    on multiples of 320 samples, so that memory is bounded and the time grid has no seam.
    """
    step, margin = round(chunk / STEP), round(context / STEP)
    parts = []
    for start in range(0, total, step):
        stop = min(start + step, total)
        first = max(start - margin, 0)
        parts.append(encode(first, min(stop + margin, total))[start - first:stop - first])
    return np.concatenate(parts)
