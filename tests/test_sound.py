"""test_sound.py - log-mel energies of the sound and the level it is brought to (Sec. 3.1), and long sound in chunks.

Oracles: a discrete Fourier transform in sums, SciPy's zero-phase filter (its poles are checked on tones), a mean
square per window in a loop.
"""
import math
import tracemalloc

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfiltfilt

from tools import sound

RATE = 16000


def tone(frequency, seconds, level=0.3):
    return (level * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def noise(seconds, seed=0, level=0.1):
    return (level * np.random.default_rng(seed).normal(size=int(seconds * RATE))).astype(np.float32)


def amplitude(wave, frequency):
    """Of a tone in the sound, by its Fourier coefficient."""
    turn = np.exp(-2j * np.pi * frequency * np.arange(len(wave)) / RATE)
    return 2 * abs((wave * turn).mean())


# ---- the level -----------------------------------------------------------------------------------


def scalar_level(wave):
    """Root mean square of the speech: where the 25 ms about a sample are among the loudest, which hold 98 %."""
    squares = [float(x) ** 2 for x in wave]
    power = []
    for i in range(len(wave)):
        around = squares[max(i - 200, 0):i + 200]
        power.append(sum(around) / 400)  # beyond the ends is silence
    falling, held, least = sorted(power[::160], reverse=True), 0.0, None
    for one in falling:
        held, least = held + one, one
        if held >= 0.98 * sum(falling):
            break
    speech = [p for p in power if p >= least * (1 - 1e-9)]
    return math.sqrt(sum(speech) / len(speech)), least


@pytest.mark.parametrize("wave", [noise(0.3), np.r_[np.zeros(3200), noise(0.2), 1e-3 * noise(0.3, 1)]],
                         ids=["noise", "between silences"])
def test_levelled_scalar_transcription(wave):
    """A Butterworth filter of order 4 at 80 Hz, there and back; then the speech gets a mean square of 0.01."""
    filtered = sosfiltfilt(butter(4, 80 / 8000, "high", output="sos"), wave.astype(np.float64), padlen=300)
    level, least = scalar_level(filtered)
    assert sound.speech_power(filtered)[1] == pytest.approx(least, rel=1e-6)
    assert np.allclose(sound.levelled(wave), filtered * 0.1 / level, atol=1e-4)


def test_levelled_takes_hum_away_and_leaves_speech():
    wave = tone(1000, 2.0) + tone(50, 2.0) + 0.1
    out = sound.levelled(wave.astype(np.float32))
    inner = out[RATE // 4:-RATE // 4]
    gain = amplitude(inner, 1000) / 0.3
    assert out.dtype == np.float32 and len(out) == len(wave)
    assert amplitude(inner, 50) / 0.3 < 0.03 * gain, "50 Hz is still there"
    assert abs(inner.mean()) < 1e-3, "the DC offset is still there"
    assert np.sqrt(np.square(inner).mean()) == pytest.approx(0.1, rel=0.01)
    assert amplitude(inner, 1000) == pytest.approx(0.1 * math.sqrt(2), rel=0.01)
    spectrum = np.abs(np.fft.rfft(inner))
    assert spectrum.argmax() * RATE / len(inner) == pytest.approx(1000, abs=1)
    own = tone(1000, 2.0)[RATE // 4:-RATE // 4]
    assert np.corrcoef(inner, own)[0, 1] > 0.999, "the filter moved the sound in time"


def test_level_is_that_of_speech_whatever_the_silence():
    loud, plain = tone(500, 1.0, 0.05), sound.levelled(tone(500, 1.0, 0.05))
    for silence in (0.5, 30.0):
        wave = np.r_[np.zeros(int(silence * RATE), np.float32), loud, np.zeros(int(silence * RATE), np.float32)]
        got = sound.levelled(wave)[int(silence * RATE):][:RATE]
        assert np.allclose(got[800:-800], plain[800:-800], atol=2e-3)


def test_nobody_speaks_in_silence():
    for wave in (np.zeros(8000), np.full(8000, 5e-5), np.zeros(0)):
        power, least = sound.speech_power(wave)
        assert least == np.inf and len(power) == len(wave)
    quiet = sound.levelled(noise(1.0, level=1e-6))
    assert np.abs(quiet).max() < 1e-5, "silence is not made loud"


@pytest.mark.parametrize("seconds", [0.9, 1.0, 3.37])
def test_level_and_power_in_chunks_are_those_of_one_piece(seconds, monkeypatch):
    """Chunks of 1 s; the whole sound by SciPy's zero-phase filter and a mean over 400 samples in float64."""
    wave = noise(seconds) * np.repeat([1, 0.01, 0.3], RATE * 2)[:int(seconds * RATE)].astype(np.float32) + 0.2
    monkeypatch.setattr(sound, "MINUTE", 1.0)
    filtered = sosfiltfilt(butter(4, 80 / 8000, "high", output="sos"), wave.astype(np.float64), padlen=300)
    sums = np.cumsum(np.r_[np.zeros(201), np.square(filtered), np.zeros(199)])
    power = (sums[400:] - sums[:-400]) / 400
    falling = np.sort(power[::160])[::-1]
    least = falling[np.searchsorted(np.cumsum(falling), 0.98 * falling.sum())]
    got, got_least = sound.speech_power(filtered.astype(np.float32))
    assert np.allclose(got, power, rtol=1e-4, atol=1e-9) and got_least == pytest.approx(least, rel=1e-4)
    want = filtered * 0.1 / math.sqrt(power[power >= least].mean())
    assert np.abs(sound.levelled(wave) - want).max() < 1e-4, "a seam between two chunks"


def test_level_of_long_sound_needs_few_times_its_memory():
    wave = np.tile(noise(10.0), 30)  # 5 minutes
    tracemalloc.start()
    try:
        sound.levelled(wave)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    minute = 60 * RATE * 8
    assert peak < 2.5 * wave.nbytes + 6 * minute, f"{peak / wave.nbytes:.1f} times the sound"


# ---- log-mel -------------------------------------------------------------------------------------


def scalar_mel_bands():
    """Edges and centres in Hz of 40 bands from 60 to 7600 Hz: 42 points equally spaced in mel."""
    mel = lambda f: 2595 * math.log10(1 + f / 700)
    points = [mel(60) + (mel(7600) - mel(60)) * i / 41 for i in range(42)]
    return [700 * (10 ** (m / 2595) - 1) for m in points]


def scalar_log_mel(scaled, row):
    """One row of the features of levelled sound: a DFT in sums over the Hann window centred at sample 160 * row."""
    samples = []
    for k in range(400):
        at = 160 * row - 200 + k
        value = float(scaled[at]) if 0 <= at < len(scaled) else 0.0
        samples.append(value * (0.5 - 0.5 * math.cos(2 * math.pi * k / 400)))
    k, f = np.arange(400), np.arange(257) / 512
    power = np.abs(np.exp(-2j * np.pi * np.outer(f, k)) @ np.array(samples)) ** 2
    edges, out = scalar_mel_bands(), []
    for band in range(40):
        low, centre, high = edges[band:band + 3]
        bins = [31.25 * b for b in range(257)]
        heights = [max(0.0, min((f - low) / (centre - low), (high - f) / (high - centre))) for f in bins]
        energy = sum(h * p for h, p in zip(heights, power)) / sum(heights)
        out.append(math.log(energy + 1e-3) / 4)
    return out


def test_log_mel_scalar_transcription():
    wave = noise(0.1, level=0.05) + tone(700, 0.1)
    filtered = sosfiltfilt(butter(4, 80 / 8000, "high", output="sos"), wave.astype(np.float64), padlen=300)
    scaled = filtered * 0.1 / scalar_level(filtered)[0]
    features, times = sound.log_mel(wave)
    assert features.shape == (11, 40) and np.allclose(times, 0.01 * np.arange(11))
    for row in (0, 4, 10):
        assert np.allclose(features[row], scalar_log_mel(scaled, row), atol=1e-3), \
            f"row {row}, at {times[row]} s"


def test_log_mel_in_chunks_is_that_of_one_piece(monkeypatch):
    """Chunks of 0.25 s, against one of a minute; the scalar transcription above has one."""
    wave = noise(1.93)
    whole, times = sound.log_mel(wave)
    monkeypatch.setattr(sound, "levelled", lambda given, made=sound.levelled(wave): made)
    monkeypatch.setattr(sound, "MINUTE", 0.25)
    parts, times_parts = sound.log_mel(wave)
    assert np.allclose(parts, whole, atol=1e-5) and np.array_equal(times, times_parts)


@pytest.mark.parametrize("frequency", [110, 440, 1500, 4000, 7000])
def test_log_mel_of_a_pure_tone_peaks_in_its_band(frequency):
    features, _ = sound.log_mel(tone(frequency, 0.5))
    edges = scalar_mel_bands()
    distance = [abs(math.log(1 + frequency / 700) - math.log(1 + c / 700)) for c in edges[1:-1]]
    want = distance.index(min(distance))
    got = features[10:40].mean(0).argmax()
    assert got == want, \
        f"{frequency} Hz: band {got}, want {want}. Is the filter bank upside down or on a linear scale?"


def test_mel_filters_have_unit_sum_and_no_holes():
    filters = sound.mel_filters()
    assert torch.allclose(filters.sum(1), torch.ones(40)) and (filters >= 0).all()
    centres = (filters * torch.linspace(0, 8000, 257)).sum(1)
    assert (centres.diff() > 0).all() and 60 < centres[0] < 150 and 7000 < centres[-1] < 7600


def test_log_mel_does_not_depend_on_the_recording_level():
    wave = noise(0.5)
    loud, quiet = sound.log_mel(wave)[0], sound.log_mel(0.05 * wave)[0]
    assert np.allclose(loud, quiet, atol=1e-3)


@pytest.mark.parametrize("samples", [1, 100, 399, 400, 8000])
@pytest.mark.parametrize("silent", [True, False])
def test_log_mel_of_short_and_silent_sound(samples, silent):
    features, times = sound.log_mel(np.zeros(samples, np.float32) if silent else noise(1)[:samples])
    assert features.shape == (samples // 160 + 1, 40) and len(times) == len(features)
    assert np.isfinite(features).all() and (not silent or np.ptp(features) == 0), "silence is constant"


# ---- chunks --------------------------------------------------------------------------------------


def test_chunks_of_other_steps_and_of_nothing():
    asked = []
    out = sound.in_chunks(lambda first, last: asked.append((first, last)) or np.arange(first, last), 7, 0.3, 0.1, 0.1)
    assert out.tolist() == list(range(7)) and asked == [(0, 4), (2, 7), (5, 7)]
    assert sound.in_chunks(lambda first, last: np.zeros((last - first, 3)), 0).shape == (0, 3)


@pytest.mark.parametrize("total", [1, 49, 50, 51, 100, 137])
def test_chunks_come_in_order_and_each_has_its_context(total):
    """Vectors numbered 0 .. total - 1, in chunks of 1 s (50) with 0.2 s (10) at each side."""
    asked = []

    def encode(first, last):
        asked.append((first, last))
        return np.arange(first, last)[:, None] * [1.0, -1.0]

    out = sound.in_chunks(encode, total, chunk=1.0, context=0.2)
    assert out.shape == (total, 2) and out[:, 0].tolist() == list(range(total))
    assert asked == [(max(start - 10, 0), min(start + 60, total)) for start in range(0, total, 50)]
