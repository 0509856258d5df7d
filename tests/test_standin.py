"""test_standin.py - what a stand-in set must serve for: tracking, and sound that tells vowels."""
import numpy as np
import pytest

import tracking
from synthetic import dataset, figures, shape, speech, surface
from synthetic.cameras import (CAMERA_DISTANCE, HEAD_HEIGHT, camera_of_motion, default_camera,
                               head_motion, project)
from tools.media import to_mono_16k
from tools.sound import log_mel, mel_filters

SIZE, FPS = 512, 30


def clip(seed, noise):
    """Landmarks (T, 68, 2) of a subject's sentence at 512 px with noise (px), and the true cameras
    (T, 4, 4) and K."""
    expression = dataset.recording(0, f"toy{seed + 1:02d}", 0, 2.0)[0][::2]
    points = shape.head_vertices(figures.people()[seed],
                                 expression)[:, surface.landmark_indices()].astype(float)
    K, distance = default_camera(SIZE)
    cameras = camera_of_motion(head_motion(len(points), float(FPS), np.random.default_rng(seed)),
                               distance)
    rng = np.random.default_rng(100 + seed)
    return project(points, K, cameras) + noise * rng.normal(size=(len(points), 68, 2)), cameras, K


def errors(seed, noise):
    """(degrees, percent of the head's height in the image): RMS rotation error and RMS error of the
    head's centre.

    A constant offset of the rotation is what a person's face differs from the model's by: it is
    taken off first.
    """
    seen, cameras, K = clip(seed, noise)
    found = tracking.track(seen, (SIZE, SIZE), float(FPS))
    # constant where only the axes differ
    relative = found.cam_to_head[:, :3, :3] @ cameras[:, :3, :3].transpose(0, 2, 1)
    u, _, vt = np.linalg.svd(relative.mean(0))
    rest = relative @ (u @ vt).T
    angle = np.degrees(np.arccos(np.clip((np.trace(rest, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    at = [project(np.zeros((len(c), 1, 3)), k, c)[:, 0]
          for c, k in ((cameras, K), (found.cam_to_head, found.K))]
    shift = at[0] - at[1]
    height = HEAD_HEIGHT / CAMERA_DISTANCE * K[1, 1]
    moved = np.sqrt(((shift - shift.mean(0))**2).sum(1).mean())
    return np.sqrt((angle**2).mean()), 100 * moved / height


@pytest.mark.parametrize("noise, degrees, percent", [(0.0, 1.22, 0.17), (1.0, 1.26, 0.21)])
def test_tracking_of_stand_in_heads_from_noisy_landmarks(noise, degrees, percent):
    """Bounds: 1.3 times the worst of the six, measured 0.94 degrees and 0.13 % without noise, 0.97
    and 0.16 % with."""
    found = np.array([errors(seed, noise) for seed in range(6)])
    assert found[:, 0].max() < degrees, \
        f"pose off by {found[:, 0]} degrees with {noise} px of noise"
    assert found[:, 1].max() < percent, \
        f"head's centre off by {found[:, 1]} % of its height with {noise} px of noise"


def vowel_frames(subject, sentence):
    """Log-mel vectors at the middle of each vowel of a sentence, and the vowels."""
    _, wave, text = dataset.recording(0, subject, sentence, 2.0)
    length = len(wave) / speech.SAMPLE_RATE
    features, times = log_mel(to_mono_16k(wave, speech.SAMPLE_RATE))
    starts = speech.phoneme_times(text, length)
    middle = (starts[:-1] + starts[1:]) / 2
    at = [k for k, p in enumerate(text) if p in speech.VOWELS]
    return features[np.searchsorted(times, middle[at])], [text[k] for k in at]


def vowels_found(known, new):
    """Which vowels (n,) bool of the sentences `new` lie nearest to the mean log-mel vector of their
    kind in `known`."""
    x, y = np.concatenate([f for f, _ in known]), np.concatenate([v for _, v in known])
    centres = {v: x[y == v].mean(0) for v in speech.VOWELS}
    return [min(centres, key=lambda v: np.linalg.norm(f - centres[v])) == true
            for frames, vowels in new for f, true in zip(frames, vowels)]


def test_log_mel_separates_the_vowels_of_one_voice():
    hits = vowels_found([vowel_frames("toy01", k) for k in range(8)],
                        [vowel_frames("toy01", k) for k in range(8, 14)])
    assert len(hits) > 20 and np.mean(hits) > 0.9, \
        f"{np.mean(hits):.2f} of {len(hits)} vowels found; chance is 0.2"


def test_vowels_learnt_from_one_voice_are_found_in_the_others():
    """toy01 is the set's low voice: a mean of 0.91, 0.76 in the worst of the others. Chance is
    0.2."""
    known = [vowel_frames("toy01", k) for k in range(8)]
    found = [np.mean(vowels_found(known, [vowel_frames(f"toy{s:02d}", k) for k in range(8)]))
             for s in range(2, 7)]
    assert np.mean(found) > 0.8 and min(found) > 0.6, \
        f"shares of the vowels found: {np.round(found, 2)}"


def test_formants_move_within_a_sentence():
    """From "u" (750 Hz) to "i" (2250 Hz) the second formant crosses; the strongest band above 600
    Hz must follow."""
    wave = speech.speak("_uiuiui_", 2.0, 120.0, 1.0, np.random.default_rng(0))
    features, times = log_mel(to_mono_16k(wave, speech.SAMPLE_RATE))
    starts = speech.phoneme_times("_uiuiui_", 2.0)
    filters = mel_filters().numpy()
    hertz = filters @ np.linspace(0, 8000, 257)  # centre of each band
    high = hertz > 1400
    share = np.exp(4 * features)[:, high].sum(1) / np.exp(4 * features)[:, (hertz > 550)].sum(1)
    middle = [share[np.searchsorted(times, (starts[k] + starts[k + 1]) / 2)] for k in range(1, 7)]
    assert 10 * max(middle[0::2]) < min(middle[1::2]), \
        f"energy above 1.4 kHz of u, i, u, i ...: {np.round(middle, 2)}"


def test_pictures_are_small_and_show_six_people(tmp_path):
    figures.main(tmp_path)
    assert (tmp_path / "heads.png").stat().st_size < 150_000
    assert (tmp_path / "talking.gif").stat().st_size < 1_000_000
    from PIL import Image
    sheet = np.asarray(Image.open(tmp_path / "heads.png").convert("RGB")).astype(float)
    assert sheet.shape == (6 * 96, 8 * 96, 3)
    tiles = sheet.reshape(6, 96, 8, 96, 3).swapaxes(1, 2)
    for a in range(6):
        for b in range(a):
            assert np.abs(tiles[a, 0] - tiles[b, 0]).mean() > 5, "two subjects look alike"
