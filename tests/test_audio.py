"""test_audio.py - F_A and its alignment with the frames (Sec. 3.1), the lip sync module (Sec. 3.4, Eq. 8).

Oracles: numpy.interp, a Gaussian by its formula, transformers' own forward pass, and bursts of sound at known
times. HuBERT is a tiny random one with the published strides, saved by the tests themselves. Log-mel itself:
test_sound.py; phones: test_phones.py.
"""
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import audio
import losses
from config import PAPER
from evaluation.sync_expert import MouthEncoder
from inference import rendering
from inference.run import Run
from tools.errors import InputError

RATE = 16000
FPS = [24, 25, 30000 / 1001, 30, 60]


def noise(seconds, seed=0, level=0.1):
    return (level * np.random.default_rng(seed).normal(size=int(seconds * RATE))).astype(np.float32)


# --------------------------------------------------------------------------------- features less their speaker

def speech_and_silence():
    """8 s: a tone at 0.3 from 1 to 2 s and at 0.2 from 2.4 to 4 s, at 0.25 from 6 to 7 s; else near silence."""
    at, wave = np.arange(8 * RATE) / RATE, noise(8, level=1e-4)
    for start, stop, level in ((1.0, 2.0, 0.3), (2.4, 4.0, 0.2), (6.0, 7.0, 0.25)):
        inside = (at >= start) & (at < stop)
        wave[inside] += (level * np.sin(2 * np.pi * 300 * at[inside])).astype(np.float32)
    return wave


@pytest.mark.parametrize("level", [1.0, 0.02])
def test_standardised_by_what_is_spoken_and_pauses_of_up_to_0_6_s(level):
    """Speech by hand: what is within 0.3 s of a tone. The gap of 0.4 s belongs to it, that of 2 s does not."""
    times = 0.03 + 0.05 * np.arange(160)
    rng = np.random.default_rng(0)
    features = (5 + 3 * rng.normal(size=(160, 4)) * [0.1, 1, 10, 0]).astype(np.float32)
    spoken = [0.7 < t < 4.3 or 5.7 < t < 7.3 for t in times]
    features[~np.array(spoken)] -= 40  # silence is far off, and has no say
    got = audio.standardised(features, times, level * speech_and_silence())
    own = [row for row, said in zip(features.astype(np.float64), spoken) if said]
    mean = [sum(row[d] for row in own) / len(own) for d in range(4)]
    spread = [math.sqrt(sum((row[d] - mean[d]) ** 2 for row in own) / len(own)) for d in range(4)]
    want = [[(row[d] - mean[d]) / (spread[d] + 1e-3) for d in range(4)] for row in features]
    assert got.dtype == np.float32
    assert np.allclose(got, want, rtol=1e-3, atol=2e-3), "silence counted, or pauses left out"
    assert np.allclose(got[spoken].mean(0), 0, atol=1e-3) and np.allclose(got[spoken, :3].std(0), 1, atol=0.01)


def test_standardised_takes_the_vectors_nearest_to_speech_where_none_is_near():
    """A click far from every vector: the nearest one is all the speech there is, and nothing is divided by zero."""
    wave = np.zeros(4 * RATE, np.float32)
    wave[2 * RATE:2 * RATE + 80] = 0.5
    got = audio.standardised(np.array([[1.0], [3.0], [7.0]]), np.array([0.0, 1.0, 4.0]), wave)
    assert np.isfinite(got).all() and got[1, 0] == 0, "1 s off; the others are 2 s off"


def syllables(seed=0):
    """4 s of noise in syllables of 0.1 s, a third of them silent."""
    g = np.random.default_rng(seed)
    loud = np.repeat(g.uniform(size=40) ** 2 * (g.uniform(size=40) > 0.3), RATE // 10)
    return (0.2 * loud * g.normal(size=4 * RATE) + 1e-4 * g.normal(size=4 * RATE)).astype(np.float32)


def hum(samples, level=0.05):
    return level * np.sin(2 * np.pi * 50 * np.arange(samples) / RATE)


MINUTE = np.zeros(60 * RATE)
RECORDINGS = {  # of the same speech
    "quiet": lambda w: 0.02 * w, "DC offset": lambda w: w + 0.1, "hum": lambda w: w + hum(len(w)),
    "a minute of silence": lambda w: np.r_[w, MINUTE],
    "quiet, and a minute of silence": lambda w: 0.02 * np.r_[w, MINUTE],
    "a minute of silence, and a DC offset": lambda w: np.r_[w, MINUTE] + 0.05,
    "a minute of silence, and hum": lambda w: np.r_[w, MINUTE] + hum(len(w) + len(MINUTE))}


@pytest.mark.parametrize("recording", RECORDINGS)
def test_features_do_not_depend_on_the_recording(recording):
    """The same speech recorded otherwise: F_A moves by less than a tenth of a deviation."""
    wave, frame_times = syllables(), np.arange(100) / 25
    extract = audio.feature_extractor("logmel", 4)
    plain, other = (extract(w.astype(np.float32), frame_times) for w in (wave, RECORDINGS[recording](wave)))
    moved = np.abs(other - plain).mean()
    assert moved < 0.1, f"{recording}: F_A moves by {moved:.2f} deviations. Is speech what is loud after the high-pass?"
    assert np.abs(extract(syllables(1), frame_times) - plain).mean() > 0.5, "other speech is other features"


@pytest.mark.parametrize("silence", [np.zeros(8000, np.float32), np.full(8000, 2e-5, np.float32)])
def test_silence_is_constant_and_below_speech(silence):
    f_a = audio.feature_extractor("logmel", 5)(silence, np.arange(9) / 30)
    assert np.ptp(f_a) == 0 and f_a[0, 0, 0] == -2


@pytest.mark.parametrize("step", [0.01, 0.02])
def test_smooth_spreads_a_click_as_a_gaussian_of_so_many_seconds(step, monkeypatch):
    times, click = step * np.arange(201), np.zeros((201, 2), np.float32)
    click[100] = [1.0, -3.0]
    monkeypatch.setattr(audio, "log_mel", lambda wave: (click, times))
    monkeypatch.setattr(audio, "standardised", lambda features, times, wave: features)
    wave = np.zeros(int(200 * step * RATE), np.float32)
    got = audio.feature_extractor("logmel", 1, smooth=0.05)(wave, times)[:, 0]
    bell = step / (0.05 * math.sqrt(2 * math.pi)) * np.exp(-0.5 * ((times - 100 * step) / 0.05) ** 2)
    assert np.allclose(got, bell[:, None] * [1.0, -3.0], atol=2e-3 * bell.max()), "sigma is in seconds, not in vectors"
    assert np.array_equal(audio.feature_extractor("logmel", 1)(wave, times)[:, 0], click), "0: as they are"


@pytest.mark.parametrize("samples", [1, 100, 399, 400, 8000])
@pytest.mark.parametrize("silent", [True, False])
def test_short_and_silent_sound(samples, silent):
    wave = np.zeros(samples, np.float32) if silent else noise(1)[:samples]
    for smooth in (0.0, 0.04):
        f_a = audio.feature_extractor("logmel", 16, smooth=smooth)(wave, np.arange(7) / 25)
        assert f_a.shape == (7, 16, 40) and f_a.dtype == np.float32 and np.isfinite(f_a).all()
        if silent:
            assert np.ptp(f_a) == 0, "silence is constant"


def test_long_sound_is_heard_once_and_its_lips_made_in_blocks_of_frames(monkeypatch):
    """An hour's F_A never stands in memory: 5 blocks of at most 20 of 90 frames, the lips of all in one piece."""
    wave, frame_times, cfg = syllables(), np.arange(90) / 25, replace(PAPER, audio_features="logmel", audio_window=4)
    torch.manual_seed(0)
    run = object.__new__(Run)  # of a run, the sync module alone
    run.e_audio, run.cfg, run.device = audio.AudioEncoder(40, 4, 8).eval(), cfg, torch.device("cpu")
    with torch.no_grad():
        want = run.e_audio(torch.from_numpy(audio.feature_extractor("logmel", 4, smooth=cfg.sound_smooth)(
            wave, frame_times)))
    made, aligned, log_mel, align = [], [], audio.log_mel, audio.align_to_frames
    monkeypatch.setattr(rendering, "BLOCK", 20)
    monkeypatch.setattr(audio, "log_mel", lambda wave: made.append(1) or log_mel(wave))
    monkeypatch.setattr(audio, "align_to_frames", lambda *given: aligned.append(len(given[2])) or align(*given))
    got = rendering.sound_to_lips(run, wave, frame_times)
    assert torch.allclose(got, want, atol=1e-6) and (made, aligned) == ([1], [20, 20, 20, 20, 10])
    assert rendering.sound_to_lips(run, wave, frame_times[:0]).shape == (0, 8)


# ----------------------------------------------------------------------------------------------------- HuBERT

@pytest.fixture(scope="module")
def hubert(hubert_folder):
    return audio.load_hubert(str(hubert_folder))


def test_hubert_loads_frozen_with_its_normalisation(hubert, hubert_folder, tmp_path):
    model, normalise = hubert
    assert normalise is True and not model.training and not any(p.requires_grad for p in model.parameters())
    from transformers import Wav2Vec2FeatureExtractor
    model.save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(tmp_path)
    assert audio.load_hubert(str(tmp_path))[1] is False


@pytest.mark.parametrize("missing",
                         ["everything", "preprocessor_config.json", "config.json", "model.safetensors"])
def test_hubert_that_cannot_be_had_is_one_line(missing, hubert_folder, tmp_path):
    if missing != "everything":
        for file in hubert_folder.iterdir():
            if file.name != missing:
                (tmp_path / file.name).write_bytes(file.read_bytes())
    source = str(tmp_path / "absent" if missing == "everything" else tmp_path)
    with pytest.raises(InputError) as error:
        audio.load_hubert(source)
    text = str(error.value)
    assert "\n" not in text and text.startswith(source) and "logmel" in text, text


@pytest.mark.parametrize("samples", [400, 719, 720, 6399, 16000, 48017])
def test_hubert_gives_one_vector_every_20_ms(hubert, samples):
    features, times = audio.hubert_features(noise(4)[:samples], *hubert, chunk=1.0, context=0.2)
    n = (samples - 400) // 320 + 1
    assert features.shape == (n, 16) and times.shape == (n,)
    assert np.allclose(times, [0.0125 + 0.02 * i for i in range(n)]), \
        "the time of a vector is the middle of its 25 ms"


def test_hubert_features_are_the_models_own(hubert):
    model, _ = hubert
    wave = 0.3 + 2 * noise(1)[:400 + 320 * 40]  # no samples left over for its group norm
    for normalise in (True, False):
        got, _ = audio.hubert_features(wave, model, normalise)
        x = (wave - wave.mean()) / math.sqrt(wave.var() + 1e-7) if normalise else wave
        with torch.no_grad():
            want = model(torch.from_numpy(x.astype(np.float32))[None]).last_hidden_state[0].numpy()
        assert np.allclose(got, want, atol=1e-4), f"unit-variance sound: {normalise}"


class Listening(torch.nn.Linear):
    """Stands in for HuBERT and keeps what it hears: the real one's group norm would hide its loudness."""

    def forward(self, x):
        self.heard = x[0].numpy()
        return type("Output", (), {"last_hidden_state": torch.zeros(1, (x.shape[1] - 400) // 320 + 1, 2)})


def test_hubert_hears_unit_variance_where_it_wants_to():
    wave, model = 0.3 + 2 * noise(1), Listening(1, 1)
    audio.hubert_features(wave, model, True)
    heard = model.heard
    assert abs(heard.mean()) < 0.01 and abs(heard.std() - 1) < 0.01, \
        f"mean {heard.mean():.3f}, deviation {heard.std():.3f}, want 0, 1"
    audio.hubert_features(wave, model, False)
    assert np.array_equal(model.heard, wave[:len(model.heard)])


def test_hubert_in_chunks_equals_hubert_in_one_piece(hubert):
    wave = noise(4)
    whole, times = audio.hubert_features(wave, *hubert)
    parts, times_parts = audio.hubert_features(wave, *hubert, chunk=0.9, context=10.0)  # context: everything
    assert np.array_equal(times, times_parts)
    assert np.allclose(parts, whole, atol=1e-4), "chunks are cut or put together in the wrong place"


def test_hubert_in_chunks_with_little_context_has_no_seam(hubert):
    """Attention sees the whole piece, so chunks are only close; a slip by one vector is not."""
    whole, _ = audio.hubert_features(noise(4), *hubert)
    parts, _ = audio.hubert_features(noise(4), *hubert, chunk=0.9, context=0.4)
    likeness = [np.corrcoef(a, b)[0, 1] for a, b in zip((whole - whole.mean(0)).T, (parts - whole.mean(0)).T)]
    slipped = [np.corrcoef(a[1:], b[:-1])[0, 1] for a, b in zip(whole.T, parts.T)]
    assert np.median(likeness) > 0.9 > 0.6 > np.median(slipped), (np.median(likeness), np.median(slipped))


def test_hubert_features_lose_their_mean_and_scale(hubert, hubert_folder):
    """F_A of HuBERT is standardised too: of sound without pauses, over all its vectors."""
    wave = noise(2)
    features, times = audio.hubert_features(wave, *hubert)
    want = (features - features.mean(0)) / (features.std(0) + 1e-3)
    got = audio.feature_extractor(str(hubert_folder), 1)(wave, times)
    assert np.allclose(got[:, 0], want, atol=1e-3)


def test_hubert_short_and_silent_sound(hubert_folder):
    extract = audio.feature_extractor(str(hubert_folder), 5)
    for wave in (np.zeros(8000, np.float32), noise(1)[:100], noise(1)[:400], noise(1)[:1000]):
        f_a = extract(wave, np.arange(9) / 30)
        assert f_a.shape == (9, 5, 16) and np.isfinite(f_a).all()


# -------------------------------------------------------------------------------------------------- alignment

@pytest.mark.parametrize("window", [1, 4, 16])
def test_align_is_linear_interpolation_at_time_stamps(window):
    g = np.random.default_rng(0)
    features, times = g.normal(size=(30, 3)), 0.0125 + 0.02 * np.arange(30)
    frame_times = np.arange(20) / 29.97
    got = audio.align_to_frames(features, times, frame_times, window)
    assert got.shape == (20, window, 3)
    for t in range(20):
        for k in range(window):
            at = frame_times[t] + (k - (window - 1) / 2) * 0.02  # the window is centred on the frame
            want = [np.interp(at, times, features[:, d]) for d in range(3)]
            assert np.allclose(got[t, k], want, atol=1e-6), f"frame {t}, vector {k} of its window"


def test_align_single_vector_and_missing_frames():
    one = audio.align_to_frames(np.ones((1, 2)) * 7, np.array([0.0125]), np.arange(4) / 25, 3)
    assert (one == 7).all()
    features, times = np.random.default_rng(0).normal(size=(100, 2)), 0.0125 + 0.02 * np.arange(100)
    ids = np.array([0, 1, 5, 6, 30])  # frames that dropped out must not shift the others
    every = audio.align_to_frames(features, times, np.arange(40) / 25, 4)
    assert np.array_equal(audio.align_to_frames(features, times, ids / 25, 4), every[ids])


@pytest.fixture(scope="module")
def bursts():
    """25 s of faint noise with loud bursts of 60 ms, and the times of their middles."""
    g = np.random.default_rng(0)
    middles = np.cumsum(g.uniform(0.25, 0.6, 56))
    wave = 0.01 * g.normal(size=25 * RATE)
    for middle in middles:
        at = round(middle * RATE)
        wave[at - 480:at + 480] += g.normal(size=len(wave[at - 480:at + 480]))
    return wave.astype(np.float32), middles


def found_delay(f_a, frame_times, middles):
    """The delay (s) at which a train of smooth bumps is read best from F_A by a linear map: largest R^2."""
    centre = f_a.mean(1)  # the middle of the window of 2
    basis = np.linalg.svd(centre - centre.mean(0), full_matrices=False)[0]
    grid, delays = np.arange(-1, 27, 0.001), np.arange(-0.3, 0.3, 0.001)
    train = sum(np.exp(-0.5 * ((grid - m) / 0.03) ** 2) for m in middles)
    bumps = np.stack([np.interp(frame_times - d, grid, train) for d in delays])
    bumps -= bumps.mean(1, keepdims=True)
    explained = np.square(bumps @ basis).sum(1) / np.square(bumps).sum(1)
    assert explained.max() > 0.6, f"the bursts are not in F_A: R^2 {explained.max():.2f}"
    return delays[np.argmax(explained)]


@pytest.mark.parametrize("fps", FPS)
@pytest.mark.parametrize("source", ["logmel", "hubert"])
def test_bursts_are_found_at_their_frames(source, fps, bursts, hubert_folder):
    wave, middles = bursts
    delay = 0.137  # seconds of silence put before the sound
    wave = np.concatenate([np.zeros(round(delay * RATE), np.float32) + 1e-3, wave])
    frame_times = np.arange(int(25 * fps)) / fps
    extract = audio.feature_extractor(source if source == "logmel" else str(hubert_folder), 2, smooth=0.02)
    f_a = extract(wave, frame_times)
    assert len(f_a) == len(frame_times), "exactly one row a frame"
    error = found_delay(f_a, frame_times, middles) - delay
    assert abs(error) < 0.01, \
        f"{source} at {fps:.2f} fps: sound and picture are {1000 * error:.0f} ms apart. Paired by index?"
    late = frame_times > 18  # no drift towards the end
    error = found_delay(f_a[late], frame_times[late], middles) - delay
    assert abs(error) < 0.012, f"{source} at {fps:.2f} fps: {1000 * error:.0f} ms apart at the end"


# ------------------------------------------------------------------------------------------------ sync module

@pytest.mark.eq8
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize("window, d_in", [(16, 40), (5, 16), (1, 7)])
def test_encoders_give_unit_vectors(window, d_in, layers):
    torch.manual_seed(0)
    e_audio, e_lip = audio.AudioEncoder(d_in, window, 12, layers), audio.LipEncoder(12)
    f_al, f_lip = e_audio(3 * torch.randn(6, window, d_in)), e_lip(torch.randn(6, 40))
    for name, f in (("F_al", f_al), ("F_lip", f_lip)):
        assert f.shape == (6, 12) and torch.allclose(f.norm(dim=1), torch.ones(6), atol=1e-5), \
            f"{name}: not of unit length"
    e_audio.eval()
    x = torch.randn(3, window, d_in)
    assert torch.allclose(e_audio(x)[1:2], e_audio(x[1:2]), atol=1e-6), "frozen, a frame's F_al is its own"
    e_lip.eval()
    x = torch.randn(3, 40)
    assert torch.allclose(e_lip(x)[1:2], e_lip(x[1:2]), atol=1e-6), "frozen, a frame's F_lip is its own"


def between(encoder, a, b):
    """How far F of the middle of a and b lies from the plane of F(a) and F(b), the sine of their angle."""
    with torch.no_grad():
        f, g, middle = encoder(torch.stack([a, b, (a + b) / 2]))
    plane = torch.linalg.qr(torch.stack([f, g], 1)).Q
    return (middle - plane @ (plane.T @ middle)).norm().item()


@pytest.mark.eq8
@pytest.mark.parametrize("name, layers, flat", [("E_lip", 0, True), ("E_audio", 0, True), ("E_audio", 1, False)])
def test_linear_encoders_are_linear_before_unit_length(name, layers, flat):
    """An affine map and unit length: F of the middle of two inputs lies between theirs; convolutions bend it.

    The map itself goes straight: what its last layer gives for the middle is the mean of both.
    """
    torch.manual_seed(0)
    encoder = audio.LipEncoder(12) if name == "E_lip" else audio.AudioEncoder(6, 8, 12, layers, noise=1.0)
    shape = (40,) if name == "E_lip" else (8, 6)
    for _ in range(5):
        encoder(3 + 2 * torch.randn(32, *shape))  # the statistics of its normalisations
    raw = []
    last = encoder.net if name == "E_lip" else encoder.out
    last.register_forward_hook(lambda module, given, out: raw.append(out))
    a, b = 3 + 4 * torch.randn(2, *shape)
    off = between(encoder.eval(), a, b)
    mean = (raw[0][0] + raw[0][1]) / 2
    assert (off < 1e-5) == flat and torch.allclose(raw[0][2], mean, atol=1e-5) == flat
    assert mean.norm() > 1, "both are 0: nothing is tested"


@pytest.mark.eq8
@pytest.mark.parametrize("make, shape", [(lambda noise: audio.LipEncoder(12, noise), (40,)),
                                         (lambda noise: audio.AudioEncoder(6, 8, 12, 0, noise), (8, 6))])
def test_encoders_are_noisy_in_training_only(make, shape):
    torch.manual_seed(0)
    still, noisy = make(0.0), make(0.5)
    noisy.load_state_dict(still.state_dict())
    x = torch.randn(64, *shape)
    assert torch.equal(still(x), still(x)) and not torch.allclose(noisy(x), noisy(x), atol=0.05)
    noisy.eval(), still.eval()
    assert torch.equal(noisy(x), noisy(x)), "frozen, F of a frame is always the same"
    noisy.load_state_dict(still.state_dict())
    assert torch.equal(noisy(x), still(x))


@pytest.mark.eq8
@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_noise_on_lips_and_sound_has_the_deviation_asked_for(noise):
    """What the last layers are given, less what they are given without noise."""
    torch.manual_seed(0)
    for encoder, entry, shape in ((audio.LipEncoder(12, noise), "net", (40,)),
                                  (audio.AudioEncoder(5, 8, 12, 0, noise), "convs", (8, 5))):
        given = []
        getattr(encoder, entry).register_forward_hook(lambda module, args, out: given.append(args[0]))
        x = torch.randn(400, *shape)
        encoder(x), encoder(x)
        assert (given[0] - given[1]).std().item() == pytest.approx(noise * math.sqrt(2), rel=0.05)


@pytest.mark.eq8
@pytest.mark.parametrize("layers", [0, 3])
def test_audio_encoder_sees_the_order_of_time(layers):
    torch.manual_seed(0)
    e_audio = audio.AudioEncoder(8, 16, 12, layers).eval()
    x = torch.randn(2, 16, 8)
    assert not torch.allclose(e_audio(x), e_audio(x.flip(1)), atol=1e-3)


@pytest.mark.eq8
def test_audio_encoder_has_as_many_convolutions_as_asked_for():
    for layers in range(4):
        e_audio = audio.AudioEncoder(8, 16, 12, layers)
        assert sum(isinstance(m, torch.nn.Conv1d) for m in e_audio.modules()) == layers
        assert sum(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in e_audio.modules()) == (layers > 0)


def smooth_signal(n, g):
    """n samples 20 ms apart of a signal in 0..1 that changes within about 0.2 s."""
    kernel = np.hanning(17)
    s = np.convolve(g.normal(size=n + 16), kernel / np.sqrt((kernel**2).sum()), "valid")
    return 1 / (1 + np.exp(-1.5 * s))


def talking_lips(n, seed):
    """Three signals move the lips (n, 40), beside noise, and drive windows (n, 8, 6) of 'sound features'.

    Of one signal a linear encoder would keep the sign alone: unit length takes the rest.
    """
    g, people = np.random.default_rng(seed), np.random.default_rng(99)
    signals = np.stack([smooth_signal(n + 8, g) for _ in range(3)], 1) - 0.5
    lips = 2 * signals[4:n + 4] @ people.normal(size=(3, 40)) + 0.3 * g.normal(size=(n, 40))
    heard = signals @ people.normal(size=(3, 6))
    f_a = np.stack([heard[i:i + 8] for i in range(n)]) + 0.1 * g.normal(size=(n, 8, 6))
    return torch.tensor(lips, dtype=torch.float32), torch.tensor(f_a, dtype=torch.float32)


@pytest.mark.eq8
@pytest.mark.parametrize("layers", [0, 3])
def test_eq8_sync_module_learns_which_sound_belongs_to_which_mouth(layers):
    torch.manual_seed(0)
    lips, f_a = talking_lips(600, 1)
    take, time, rng = np.zeros(600, int), np.arange(600) * 0.02, np.random.default_rng(0)
    e_audio, e_lip = audio.AudioEncoder(6, 8, 16, layers, noise=0.3), audio.LipEncoder(16)
    optimiser = torch.optim.Adam([*e_audio.parameters(), *e_lip.parameters()], lr=2e-3)
    history = []
    for _ in range(100):
        anchor = rng.integers(600, size=12)
        negative = audio.draw_negatives(take, time, anchor, 10, rng, 0.4)
        loss = audio.lips_loss(e_lip, e_audio, lips[anchor], f_a.numpy(), anchor, negative, 0.5)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    low, chance, _ = losses.info_nce_range()
    assert np.mean(history[-20:]) < chance - 0.7, \
        f"L_lips {np.mean(history[-20:]):.2f}, chance {chance:.2f}, best {low:.2f}"
    lips, f_a = talking_lips(300, 2)  # held out: another signal
    with torch.no_grad():
        f_lip, f_al = e_lip.eval()(lips), e_audio.eval()(f_a)
    negative = audio.draw_negatives(take[:300], time[:300], np.arange(300), 10, rng, 0.4)
    d = losses.cosine_similarity
    right = d(f_lip, f_al)[:, None] > d(f_lip[:, None].expand(-1, 10, -1), f_al[negative])
    accuracy = right.all(1).float().mean().item()
    assert accuracy > 0.6, \
        f"held out: the right sound of 11 in {accuracy:.0%} of the frames, by chance 9 %"


@pytest.mark.eq8
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([24, 30, 60]), st.integers(1, 12))
def test_eq8_negatives_are_from_other_takes_or_other_times(seed, fps, n):
    rng = np.random.default_rng(seed)
    take = np.repeat([0, 1, 2], [80, 5, 60])
    time = np.concatenate([np.arange(80), np.arange(5), np.arange(60)]) / fps
    anchors = rng.integers(len(take), size=20)
    negatives = audio.draw_negatives(take, time, anchors, n, rng, 0.4)
    assert negatives.shape == (20, n) and negatives.dtype == np.int64
    for a, row in zip(anchors, negatives):
        for i in row:
            assert take[i] != take[a] or abs(time[i] - time[a]) >= 0.4, \
                f"negative {time[i] - time[a]:+.2f} s from its anchor in the same take: nearly the same mouth"


@pytest.mark.eq8
def test_eq8_negatives_cover_everything_admissible():
    take, time = np.repeat([0, 1], [40, 20]), np.concatenate([np.arange(40), np.arange(20)]) / 32
    drawn = audio.draw_negatives(take, time, np.full(200, 20), 10, np.random.default_rng(0), apart=0.25)
    want = [i for i in range(60) if take[i] == 1 or abs(i - 20) >= 8]
    assert sorted(set(drawn.ravel().tolist())) == want, \
        "any time of another take is admissible, and `apart` exactly"
    assert (PAPER.n_negatives, PAPER.tau) == (10, 0.5)


@pytest.mark.eq8
def test_eq8_rare_negatives_are_found_and_none_is_an_error():
    time = np.append(np.full(3000, 0.1), 0.6)  # one admissible among 3000: 16 draws miss it
    got = audio.draw_negatives(np.zeros(3001, int), time, np.array([0]), 1, np.random.default_rng(0), 0.4)
    assert got.tolist() == [[3000]]
    with pytest.raises(InputError) as error:
        audio.draw_negatives(np.zeros(9, int), np.arange(9) / 25, np.array([4]), 10, np.random.default_rng(0), 0.4)
    assert "\n" not in str(error.value) and "--no-sync" in str(error.value)


@pytest.mark.eq8
def test_eq8_negatives_of_the_same_person_only_where_asked():
    take = np.repeat([0, 1, 2, 3], 30)
    person, time = np.repeat([7, 9, 7, 9], 30), np.tile(np.arange(30) / 30, 4)
    anchors = np.arange(120)
    drawn = audio.draw_negatives(take, time, anchors, 8, np.random.default_rng(0), 0.4, person=person)
    assert (person[drawn] == person[anchors][:, None]).all(), "another person's voice tells a negative by itself"
    assert set(take[drawn[:30]].ravel()) == {0, 2}, "the other sentences of the person, and the far parts of this one"
    far = np.abs(time[drawn] - time[anchors][:, None]) >= 0.4
    assert (far | (take[drawn] != take[anchors][:, None])).all()
    alone = np.where(take == 0, 5, person)
    with pytest.raises(InputError):  # the only sentence of a person, 0.3 s long
        audio.draw_negatives(take[:9], time[:9], np.array([4]), 3, np.random.default_rng(0), 0.4, person=alone[:9])


@pytest.mark.eq8
def test_eq8_mouths_are_told_apart_before_anything_is_learnt():
    """Mouths of one person are alike. With features that start almost parallel, Eq. 8 has hardly a gradient."""
    torch.manual_seed(0)
    encoders = (audio.LipEncoder(8, noise=0.0), MouthEncoder(32, 8), audio.AudioEncoder(5, 4, 8))
    for encoder, one in zip(encoders, (torch.rand(1, 40), torch.rand(1, 3, 32, 32), torch.rand(1, 4, 5))):
        features = encoder.train()(one + 0.02 * torch.randn(64, *one.shape[1:]))
        cosines = (features @ features.T)[~torch.eye(64, dtype=torch.bool)]
        assert cosines.mean().abs() < 0.1 and cosines.std() > 0.2
