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
from jaxtyping import Float, Num
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, sosfiltfilt
from torch import Tensor

from tools.media import SAMPLE_RATE, SILENT

FRAME, HOP = 400, 160  # samples: a vector sees 25 ms, the next is 10 ms on
N_MEL = 40
STEP = 0.02  # seconds between the vectors of networks, and of a window of F_A
SPEECH = 0.98  # of the energy is speech, see speech_power
HIGH_PASS = butter(4, 80, "high", fs=SAMPLE_RATE, output="sos")
MINUTE = 60.0  # s: long sound is worked on in such chunks, so that an hour of it fits into memory


def speech_power(wave: Float[np.ndarray, "N"]) -> tuple[Float[np.ndarray, "N"], float]:
    """Mean square of the 25 ms about each sample, and the least that counts as speech.

    Speech is what is loudest and together holds SPEECH of the energy: silence before, between and
    after sentences has no say. A sound without energy has no speech: then the least is inf.
    """
    def mean_square(first: int, last: int) -> np.ndarray:
        squares = np.square(wave[first:last], dtype=np.float64)
        return uniform_filter1d(squares, FRAME, mode="constant").astype(np.float32)

    power = in_chunks(mean_square, len(wave), MINUTE, FRAME / SAMPLE_RATE, 1 / SAMPLE_RATE)
    falling = np.sort(power[::HOP].astype(np.float64))[::-1]
    if len(falling) == 0 or falling[0] < SILENT:
        return power, np.inf
    return power, float(falling[np.searchsorted(np.cumsum(falling), SPEECH * falling.sum())])


def levelled(wave: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """The sound without hum below 80 Hz, its speech at a mean square of 0.01; silence stays."""
    def high_passed(first: int, last: int) -> np.ndarray:
        edge = min(300, max(last - first - 1, 0))
        return sosfiltfilt(HIGH_PASS, wave[first:last], padlen=edge).astype(np.float32)

    # Half a second on, the filter has forgotten where a chunk begins: exp(-96) of it is left.
    clean = in_chunks(high_passed, len(wave), MINUTE, 0.5, 1 / SAMPLE_RATE)
    power, least = speech_power(clean)
    speech = power >= least
    level = math.sqrt(power.mean(where=speech, dtype=np.float64)) if speech.any() else 1.0
    clean *= 0.1 / level
    return clean


def log_mel(wave: Float[np.ndarray, "N"]
            ) -> tuple[Float[np.ndarray, "n 40"], Float[np.ndarray, "n"]]:
    """Log-mel energies every 10 ms, the features of `small`, and the time of each in seconds.

    Hann windows of 25 ms centred on every 160th sample, 40 triangular mel bands from 60 to 7600 Hz,
    natural log above a floor. The sound is first brought to a common level (see levelled), so that
    a quieter recording does not look like other speech; a silent one stays silent.
    """
    wave, window, filters = levelled(wave), torch.hann_window(FRAME), mel_filters()

    def energies(first: int, last: int) -> np.ndarray:
        begin, end = first * HOP - 256, (last - 1) * HOP + 256  # beyond its ends is silence
        piece = np.pad(wave[max(begin, 0):end], (max(-begin, 0), max(end - len(wave), 0)))
        spectrum = torch.stft(torch.from_numpy(piece), 512, HOP, FRAME, window, center=False,
                              return_complex=True)
        mel = filters @ spectrum.abs().square()  # (40, n)
        return ((mel + 1e-3).log() / 4.0).T.numpy()  # speech at this level: |X|^2 of 1 to 1000

    total = len(wave) // HOP + 1
    features = in_chunks(energies, total, MINUTE, 0.0, HOP / SAMPLE_RATE)
    return features, np.arange(total) * HOP / SAMPLE_RATE


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
              context: float = 1.0, step: float = STEP) -> Num[np.ndarray, "n *d"]:
    """Vectors 0 .. total - 1, `step` s apart; encode(first, last) gives those of first .. last - 1.

    Long sound goes through in chunks of `chunk` seconds that overlap by `context` at each side, cut
    on whole vectors (of networks: multiples of 320 samples), so that memory is bounded and the time
    grid has no seam.
    """
    length, margin, out = round(chunk / step), round(context / step), None
    for start in range(0, max(total, 1), length):
        stop = min(start + length, total)
        first = max(start - margin, 0)
        part = encode(first, min(stop + margin, total))[start - first:stop - first]
        out = np.empty((total, *part.shape[1:]), part.dtype) if out is None else out
        out[start:stop] = part
    return out
