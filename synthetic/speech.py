"""speech.py - Sec. 3.4's prior in the stand-in heads: phonemes as sound and as mouth motion.

A sentence speaks through a small formant synthesiser and moves the mouth by the paper's own prior:
lips shut just before and at b, p, m; open on a, o, i. Brows, lids and smile move in their own time,
so they tell nothing of the sound.

In:  phonemes, seconds, pitch and length of a vocal tract.
Out: waveform (n,) at 22 kHz; expression (T, 5), (T, 3) at 60 fps, columns of shape.EXPRESSION.
Read next: dataset.py, which writes them to a folder.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from synthetic.surface import smoothstep

FPS, SAMPLE_RATE = 60, 22000  # as in VOCASET


# ---- sound ---------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Phoneme:
    """Sound: formants, levels of voice and noise, noise band, Hz. Mouth: EXPRESSION targets."""
    formants: tuple = (500, 1500, 2500)
    voice: float = 0.0
    noise: float = 0.0
    band: float | int = 4000.0
    seconds: float = 0.07
    mouth: tuple = (0.12, 0.0, 0.0, 0.0, 0.0)  # jaw, width, pucker, press, tuck
    shut: bool = False  # lips closed (Sec. 3.4: b, p, m)


VOWELS = {"a": Phoneme((730, 1250, 2500), 1.0, seconds=0.19, mouth=(0.95, 0.05, 0, 0, 0)),
          "e": Phoneme((500, 1850, 2550), 1.0, seconds=0.17, mouth=(0.5, 0.45, 0, 0, 0)),
          "i": Phoneme((290, 2250, 2950), 1.0, seconds=0.17, mouth=(0.35, 0.9, 0, 0, 0)),
          "o": Phoneme((480, 880, 2450), 1.0, seconds=0.18, mouth=(0.65, -0.4, 0.7, 0, 0)),
          "u": Phoneme((310, 750, 2300), 0.9, seconds=0.17, mouth=(0.28, -0.5, 1.0, 0, 0))}
CONSONANTS = {
    "b": Phoneme((220, 900, 2200), 0.18, seconds=0.085, mouth=(0, 0, 0, 0.35, 0), shut=True),
    "p": Phoneme((400, 900, 2200), 0.0, 0.0, 900.0, 0.10, mouth=(0, 0, 0, 0.5, 0), shut=True),
    "m": Phoneme((250, 1050, 2200), 0.45, seconds=0.10, mouth=(0, 0, 0, 0.15, 0), shut=True),
    "f": Phoneme((400, 1200, 2300), 0.0, 0.10, 5500.0, 0.11, mouth=(0.1, 0.1, 0, 0, 1.0)),
    "s": Phoneme((350, 1700, 2600), 0.0, 0.22, 6500.0, 0.12, mouth=(0.1, 0.35, 0, 0, 0)),
    "n": Phoneme((260, 1600, 2500), 0.4, seconds=0.08, mouth=(0.16, 0.1, 0, 0, 0)),
    "d": Phoneme((280, 1750, 2600), 0.25, 0.03, 3500.0, 0.06, mouth=(0.16, 0.1, 0, 0, 0)),
    "l": Phoneme((350, 1200, 2700), 0.6, seconds=0.07, mouth=(0.25, 0.1, 0, 0, 0)),
    "k": Phoneme((400, 1800, 2300), 0.0, 0.08, 2000.0, 0.08, mouth=(0.2, 0, 0, 0, 0))}
PHONEMES = {**VOWELS, **CONSONANTS, "_": Phoneme(seconds=0.25, mouth=(0, 0, 0, 0, 0))}
STEP = 0.005  # seconds between changes of the vocal tract


def random_sentence(rng: np.random.Generator, seconds: float) -> str:
    """A phoneme string of consonant-vowel syllables, "_" at both ends and between some words.

    About every second consonant closes the lips, and each vowel comes as often as the next.
    """
    text, length = "_", PHONEMES["_"].seconds
    while True:
        pause = "_" if text[-1] != "_" and len(text) > 5 and rng.uniform() < 0.12 else ""
        consonants = "bpm" if rng.uniform() < 0.45 else "fsndlk"
        word = pause + str(rng.choice(list(consonants))) + str(rng.choice(list(VOWELS)))
        added = sum(PHONEMES[p].seconds for p in word)
        if length + added + PHONEMES["_"].seconds > seconds:
            return text + "_"
        text, length = text + word, length + added


def phoneme_times(text: str, seconds: float) -> Float[np.ndarray, "P1"]:
    """When each phoneme starts, in s, and the end (P + 1,): natural lengths, stretched."""
    lengths = np.array([PHONEMES[p].seconds for p in text])
    return np.concatenate([[0], np.cumsum(lengths)]) * seconds / lengths.sum()


def _track(values, times, at, blur):
    """Piecewise constant values (P, C) of the phonemes at `at` (T,), smoothed over `blur` s."""
    index = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(values) - 1)
    step = at[1] - at[0]
    return gaussian_filter1d(np.asarray(values, float)[index], blur / step, axis=0, mode="nearest")


def _resonate(source, frequency, bandwidth):
    """Klatt's two-pole resonator, unit gain at 0 Hz, whose frequency (B,) changes every STEP."""
    out, state, block = np.empty_like(source), np.zeros(2), int(STEP * SAMPLE_RATE)
    radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE)
    for k in range(0, len(source), block):
        angle = 2 * np.pi * frequency[min(k // block, len(frequency) - 1)] / SAMPLE_RATE
        a = [1.0, -2 * radius * np.cos(angle), radius**2]
        out[k:k + block], state = lfilter([sum(a)], a, source[k:k + block], zi=state)
    return out


def glottis(pitch: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The voice (n,) of a pitch (n,) in Hz: Rosenberg's pulses of air, as the lips radiate them."""
    phase = np.cumsum(pitch) / SAMPLE_RATE % 1.0
    opening = 0.5 * (1 - np.cos(np.pi * phase / 0.4))
    closing = np.cos(np.pi * (phase - 0.4) / (2 * 0.16))
    flow = np.where(phase < 0.4, opening, np.where(phase < 0.56, closing, 0.0))
    return np.diff(flow, prepend=flow[0]) * 25  # radiation at the lips differentiates


def speak(text: str, seconds: float, pitch: float, tract: float, rng: np.random.Generator
          ) -> Float[np.ndarray, "n"]:
    """Waveform (n,) in [-1, 1] at 22 kHz: a voice through three moving formants, plus noise.

    pitch: Hz, tract: length of the vocal tract against the average (formants are divided by it).
    """
    n = round(seconds * SAMPLE_RATE)
    times, spoken = phoneme_times(text, seconds), [PHONEMES[p] for p in text]
    at = np.arange(int(np.ceil(n / (STEP * SAMPLE_RATE))) + 1) * STEP
    formants = _track([p.formants for p in spoken], times, at, 0.018) / tract  # (B, 3), they blend
    clock = np.arange(n) / SAMPLE_RATE
    voice = np.interp(clock, at, _track([p.voice for p in spoken], times, at, 0.008))
    noise = np.interp(clock, at, _track([p.noise for p in spoken], times, at, 0.005))
    band = _track([p.band for p in spoken], times, at, 0.005)
    stress = 1 + 0.05 * np.sin(2 * np.pi * 1.7 * clock + rng.uniform(0, 6))
    melody = pitch * (1.08 - 0.16 * clock / seconds) * stress
    wave = voice * glottis(melody) + 0.004 * voice * rng.normal(size=n)
    for k, bandwidth in enumerate((70, 100, 150)):
        wave = _resonate(wave, formants[:, k], bandwidth)
    hiss = noise * rng.normal(size=n) + _bursts(text, times, n, rng)
    hiss = np.diff(_resonate(hiss, band, 1200), prepend=0)
    wave = wave / max(np.abs(wave).max(), 1e-9) + 0.35 * hiss / max(np.abs(hiss).max(), 1e-9)
    wave = wave / np.abs(wave).max() + 0.001 * rng.normal(size=n)  # the room is never quite silent
    return 0.8 * wave


def _bursts(text, times, n, rng):
    """The puff of noise (n,) when a closed mouth opens: 12 ms at the end of b, p, d, k."""
    out, length = np.zeros(n), int(0.012 * SAMPLE_RATE)
    for k, phoneme in enumerate(text):
        start = int(times[k + 1] * SAMPLE_RATE)
        if phoneme in "bpdk" and start + length < n:
            out[start:start + length] = 0.5 * np.hanning(length) * rng.normal(size=length)
    return out


# ---- the face in time ----------------------------------------------------------------------------

def mouth_motion(text: str, seconds: float) -> Float[np.ndarray, "T 5"]:
    """jaw, width, pucker, press, tuck (T, 5) at 60 fps of a phoneme string (prior of Sec. 3.4).

    Targets blend over about 35 ms (coarticulation). Lips meet 25 ms before b, p, m sound and part
    as these end; they are shut in silence.
    """
    at, fine = np.arange(round(seconds * FPS)) / FPS, np.arange(round(seconds * 1000)) / 1000
    times, spoken = phoneme_times(text, seconds), [PHONEMES[p] for p in text]
    track = _track([p.mouth for p in spoken], times, fine, 0.03)
    shut = np.zeros(len(fine))
    for k, phoneme in enumerate(spoken):
        if phoneme.shut:  # 1 while shut, with flanks of 70 ms
            low, high = times[k] - 0.025, times[k + 1] - 0.02
            away = np.maximum(np.maximum(low - fine, fine - high), 0)
            shut = np.maximum(shut, 1 - smoothstep(away / 0.07))
    track[:, 0] *= 1 - shut
    return np.stack([np.interp(at, fine, column) for column in track.T], axis=1)


def upper_face_motion(frames: int, rng: np.random.Generator) -> Float[np.ndarray, "T 3"]:
    """brow, blink, smile (T, 3) at 60 fps: a blink of 0.26 s every 1-3 s, slow brows and smile."""
    blink, clock, start = np.zeros(frames), np.arange(frames) / FPS, rng.uniform(0.1, 1.2)
    while start < frames / FPS:
        since = clock - start
        closing, opening = smoothstep(since / 0.08), smoothstep((0.26 - since) / 0.14)
        blink = np.maximum(blink, np.minimum(closing, opening))
        start += rng.uniform(1.0, 3.0)
    noise = rng.normal(size=(frames + 120, 2))
    slow = gaussian_filter1d(noise, 14, axis=0)[60:-60] * np.sqrt(14 * 3.5)
    brow = smoothstep(0.25 + 0.45 * slow[:, 0])
    smile = 0.45 * smoothstep(0.2 + 0.4 * slow[:, 1])
    return np.stack([brow, blink, smile], axis=1)
