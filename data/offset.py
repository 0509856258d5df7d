"""offset.py - Sec. 3.1: by how much a clip's picture leads its sound, from lips and sound alone.

F_A is paired with the frames by time stamps, which is right only where picture and sound share one
clock. At each lag between the two the lips are read from the sound twice: by a linear map learned
from the stand-in heads, whose mouths are known, and by one fitted to the clip itself. The offset is
the lag at which they are read best; lags beyond a second show how well chance reads them.

In:  landmarks (T, 68, 2) px, the time of each frame in seconds, sound (N,) at 16 kHz.
Out: an Offset; shifted() moves the sound by it.
Read next: clip.py, which makes a take of a clip.
"""

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.fft import dct
from scipy.ndimage import gaussian_filter1d

from data.voices import stand_in_voices
from tools.media import SAMPLE_RATE
from tools.sound import HOP, log_mel
from tracking import eye_distance

REACH, STEP = 0.4, 0.02    # s: lags up to here are tried, this far apart
CHANCE_FROM = 1.0          # s: lags from here on are chance, of which at most
CHANCE_LAGS = 150          # so many are tried
SHORTEST, LONGEST = 4.0, 120.0  # s of frames with a face: needed at least; span used at most
FULL_FPS = 30              # of about twice as many frames a second every second one is used
SPARSE = 0.1               # s: frames further apart than this show no syllables
INSTANTS = (-0.06, -0.02, 0.02, 0.06)  # s from a frame, where the sound is heard for it
CEPSTRA = 13
DRIFT = 0.35               # s: what changes more slowly is pose, a smile or loudness, not speech
BLOCKS, GAP = 8, 0.4       # of the cross-validation; s left out on both sides of a block
RIDGE = 0.2                # per frame, of the clip's own map; features have unit variance
MAP_RIDGE = 30.0           # of the map from stand-in heads
# Measured: two real clips of 20 and 24 s have z = 8.9 and 6.5, stand-in heads of 8 s 6.2 to 16.
# 791 pieces of real clips, 4 to 12 s long, reach 4.9 with a sound that is not theirs; one of 56
# stand-in heads, whose syllables are more regular, reaches 5.5 so, the next 4.6. With their own
# sound 21, 50, 73 % of the real pieces of 6, 8, 12 s are above 5.5, and all of these within 0.9 of
# a frame (25 fps) of their clip. A wrong shift does more harm than none, so the threshold is high.
SURE = 5.5


@dataclass(frozen=True)
class Offset:
    """By how much the picture leads the sound, and how clearly that is seen."""
    seconds: float  # the mouth moves so much before it is heard; negative: it lags
    sure: bool      # whether the peak stands out of what chance gives
    z: float        # how far, in standard deviations of chance


NOT_SEEN = Offset(0.0, False, 0.0)  # too short, a still mouth, silence: nothing to measure


def estimate_offset(landmarks: Float[np.ndarray, "T 68 2"], times: Float[np.ndarray, "T"],
                    wave: Float[np.ndarray, "N"]) -> Offset:
    """By how many seconds the picture of a clip leads its sound, within REACH of zero.

    landmarks: px; times: s of each frame on the picture's clock, rising, frames without a face may
    be left out or NaN; wave: 16 kHz. A peak at the edge of the reach is never sure, as the true one
    may lie beyond it.
    """
    landmarks, times, wave = _used(landmarks, times, wave)
    apart = np.median(np.diff(times)) if len(times) > 1 else 0.0
    if len(times) * apart < SHORTEST or apart > SPARSE:
        return NOT_SEEN
    lips, cepstra = lips_of(landmarks, times), cepstra_of(wave)
    near = np.arange(-round(REACH / STEP), round(REACH / STEP) + 1) * STEP
    scores, chance = (np.array([_score(_heard(cepstra, times + lag), lips, times) for lag in lags])
                      for lags in (near, _far_lags(len(wave) / SAMPLE_RATE)))
    if chance.std() < 1e-6:
        return NOT_SEEN
    k, z = int(scores.argmax()), float((scores.max() - chance.mean()) / chance.std())
    if k in (0, len(near) - 1):
        return Offset(float(near[k]), False, z)
    return Offset(float(near[k] + STEP * _vertex(*scores[k - 1:k + 2])), z >= SURE, z)


def _used(landmarks: np.ndarray, times: np.ndarray, wave: np.ndarray
          ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The frames with a face that have sound, LONGEST seconds of them, and the sound to their end.

    The sound beyond would be chance only, and 60 frames a second say hardly more than 30.
    """
    keep = np.isfinite(landmarks).all((1, 2)) & (times < len(wave) / SAMPLE_RATE)
    landmarks, times = landmarks[keep], times[keep]
    if len(times) < 2:
        return landmarks, times, wave
    apart = np.median(np.diff(times))
    step = max(1, round(1 / (FULL_FPS * apart)))
    chosen = np.flatnonzero(times < times[0] + LONGEST)[::step]
    landmarks, times = landmarks[chosen], times[chosen]
    return landmarks, times, wave[:int((times[-1] + step * apart) * SAMPLE_RATE)]


def _far_lags(duration: float) -> Float[np.ndarray, "L"]:
    """Lags that are chance, in s: at least CHANCE_FROM on a circle of `duration` seconds."""
    count = int((duration - 2 * CHANCE_FROM) / STEP)
    return CHANCE_FROM + STEP * np.arange(0, count, -(-count // CHANCE_LAGS))


def _vertex(left: float, middle: float, right: float) -> float:
    """Where the parabola through values at -1, 0 and 1 is highest; 0 for a flat top."""
    bend = left - 2 * middle + right
    return 0.5 * (left - right) / bend if bend < 0 else 0.0


# ---- lips and sound ------------------------------------------------------------------------------

def lips_of(landmarks: Float[np.ndarray, "T 68 2"], times: Float[np.ndarray, "T"]
            ) -> Float[np.ndarray, "T 2"]:
    """Opening and width of the mouth in outer-eye distances, without drift, at unit variance."""
    opening = np.linalg.norm(landmarks[:, 61:64] - landmarks[:, 67:64:-1], axis=-1).mean(1)
    width = np.linalg.norm(landmarks[:, 48] - landmarks[:, 54], axis=-1)
    eyes = np.median(eye_distance(landmarks))  # one for all: a frame's own adds its errors
    return _unit(_without_drift(np.stack([opening, width], 1) / eyes, times))


def cepstra_of(wave: Float[np.ndarray, "N"]) -> Float[np.ndarray, "n 13"]:
    """Cepstral coefficients of the sound every 10 ms from 0 on, without drift."""
    features, times = log_mel(wave.astype(np.float32))
    cepstra = dct(features.astype(np.float64), axis=1, norm="ortho")[:, :CEPSTRA]
    return _without_drift(cepstra, times)


def _heard(cepstra: Float[np.ndarray, "n 13"], at: Float[np.ndarray, "T"]
           ) -> Float[np.ndarray, "T 52"]:
    """The sound at the INSTANTS about each time `at` in s, linear in between, at unit variance.

    The sound is taken as a circle, so that every lag has equally much of it. Unit variance takes
    away its scale, whatever log_mel's is.
    """
    n = len(cepstra) - 1
    place = (at[:, None] + np.array(INSTANTS)) * (SAMPLE_RATE / HOP) % n
    left = np.minimum(place.astype(int), n - 1)
    part = (place - left)[..., None]
    heard = (1 - part) * cepstra[left] + part * cepstra[(left + 1) % n]
    return _unit(heard.reshape(len(at), -1))


def _unit(values: Float[np.ndarray, "T d"]) -> Float[np.ndarray, "T d"]:
    """Zero mean, unit variance over time; what does not change becomes 0."""
    return (values - values.mean(0)) / np.maximum(values.std(0), 1e-6)


def _without_drift(values: Float[np.ndarray, "T d"], times: Float[np.ndarray, "T"]
                   ) -> Float[np.ndarray, "T d"]:
    """Values at `times` (s, gaps allowed) less their Gaussian mean over time of width DRIFT."""
    step = 0.02
    even = np.arange(times[0], times[-1] + step, step)
    filled = np.stack([np.interp(even, times, column) for column in values.T], 1)
    slow = gaussian_filter1d(filled, DRIFT / step, axis=0, mode="nearest")
    return values - np.stack([np.interp(times, even, column) for column in slow.T], 1)


# ---- two readings of the lips --------------------------------------------------------------------

def _score(heard: Float[np.ndarray, "T 52"], lips: Float[np.ndarray, "T 2"],
           times: Float[np.ndarray, "T"]) -> float:
    """How well the sound reads the lips: the sum of four correlations, two readings of two."""
    readings = heard @ stand_in_map(), _own_reading(heard, lips, times)
    return float(sum((_unit(reading) * lips).mean(0).sum() for reading in readings))


def _own_reading(heard: Float[np.ndarray, "T 52"], lips: Float[np.ndarray, "T 2"],
                 times: Float[np.ndarray, "T"]) -> Float[np.ndarray, "T 2"]:
    """The lips (T, 2) by ridge regression from the clip itself, each block from all others.

    GAP seconds beside a block are left out too: neighbouring frames look and sound alike.
    """
    gram, target = heard.T @ heard, heard.T @ lips
    blocks = np.array_split(np.arange(len(lips)), BLOCKS)
    out = [slice(*np.searchsorted(times, times[block[[0, -1]]] + [-GAP, GAP])) for block in blocks]
    grams = np.stack([gram - heard[near].T @ heard[near] for near in out])
    targets = np.stack([target - heard[near].T @ lips[near] for near in out])
    maps = _ridge(grams, targets, RIDGE * len(lips))
    return np.concatenate([heard[block] @ W for block, W in zip(blocks, maps)])


def _ridge(gram: Float[np.ndarray, "*b d d"], target: Float[np.ndarray, "*b d k"], weight: float
           ) -> Float[np.ndarray, "*b d k"]:
    """Ridge regression: W of least |X W - Y|^2 + weight |W|^2, from X^T X and X^T Y."""
    return np.linalg.solve(gram + weight * np.eye(gram.shape[-1]), target)


@functools.lru_cache(maxsize=1)
def stand_in_map() -> Float[np.ndarray, "52 2"]:
    """The linear map from sound to lips that holds for the stand-in heads, at zero offset."""
    heard, lips = [], []
    for landmarks, times, wave in stand_in_voices():
        heard.append(_heard(cepstra_of(wave), times))
        lips.append(lips_of(landmarks, times))
    X, Y = np.concatenate(heard), np.concatenate(lips)
    return _ridge(X.T @ X, X.T @ Y, MAP_RIDGE)


# ---- the remedy ----------------------------------------------------------------------------------

def shifted(wave: Float[np.ndarray, "N"], seconds: float | int) -> Float[np.ndarray, "M"]:
    """The sound (16 kHz) moved so that what was at `seconds` is at 0, to the nearest sample.

    Where the start is cut off (seconds > 0) it gets shorter, else silence stands in front.
    """
    samples = round(seconds * SAMPLE_RATE)
    if samples < 0:
        return np.concatenate([np.zeros(-samples, wave.dtype), wave])
    return wave[samples:]
