"""test_audio.py - F_A and its alignment with the frames (Sec. 3.1), the lip sync module (Sec. 3.4, Eq. 8).

Oracles: a discrete Fourier transform in sums, numpy.interp, transformers' own forward pass, and bursts of
sound at known times. HuBERT is a tiny random one with the published strides, saved by the tests themselves.
"""
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import audio
import losses
from config import PAPER
from tools.errors import InputError

RATE = 16000
FPS = [24, 25, 30000 / 1001, 30, 60]


def tone(frequency, seconds, level=0.3):
    return (level * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def noise(seconds, seed=0, level=0.1):
    return (level * np.random.default_rng(seed).normal(size=int(seconds * RATE))).astype(np.float32)


# ---------------------------------------------------------------------------------------------------- log-mel

def scalar_mel_bands():
    """Edges and centres in Hz of 40 bands from 60 to 7600 Hz: 42 points equally spaced in mel."""
    mel = lambda f: 2595 * math.log10(1 + f / 700)
    points = [mel(60) + (mel(7600) - mel(60)) * i / 41 for i in range(42)]
    return [700 * (10 ** (m / 2595) - 1) for m in points]


def scalar_log_mel(wave, row):
    """One row of the features: a DFT in sums over the Hann window centred at sample 160 * row."""
    level = max(math.sqrt(sum(float(x) ** 2 for x in wave) / len(wave)), 1e-3)
    scaled = [0.1 / level * float(x) for x in wave]
    samples = []
    for k in range(400):
        at = 160 * row - 200 + k
        value = scaled[at] if 0 <= at < len(scaled) else 0.0
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
    features, times = audio.log_mel(wave)
    assert features.shape == (11, 40) and np.allclose(times, 0.01 * np.arange(11))
    for row in (0, 4, 10):
        assert np.allclose(features[row], scalar_log_mel(wave, row), atol=1e-3), \
            f"row {row}, at {times[row]} s"


@pytest.mark.parametrize("frequency", [110, 440, 1500, 4000, 7000])
def test_log_mel_of_a_pure_tone_peaks_in_its_band(frequency):
    features, _ = audio.log_mel(tone(frequency, 0.5))
    edges = scalar_mel_bands()
    distance = [abs(math.log(1 + frequency / 700) - math.log(1 + c / 700)) for c in edges[1:-1]]
    want = distance.index(min(distance))
    got = features[10:40].mean(0).argmax()
    assert got == want, \
        f"{frequency} Hz: band {got}, want {want}. Is the filter bank upside down or on a linear scale?"


def test_mel_filters_have_unit_sum_and_no_holes():
    filters = audio.mel_filters()
    assert torch.allclose(filters.sum(1), torch.ones(40)) and (filters >= 0).all()
    centres = (filters * torch.linspace(0, 8000, 257)).sum(1)
    assert (centres.diff() > 0).all() and 60 < centres[0] < 150 and 7000 < centres[-1] < 7600


def test_log_mel_does_not_depend_on_the_recording_level():
    wave = noise(0.5)
    loud, quiet = audio.log_mel(wave)[0], audio.log_mel(0.05 * wave)[0]
    assert np.allclose(loud, quiet, atol=1e-3)


@pytest.mark.parametrize("samples", [1, 100, 399, 400, 8000])
@pytest.mark.parametrize("silent", [True, False])
def test_log_mel_of_short_and_silent_sound(samples, silent):
    wave = np.zeros(samples, np.float32) if silent else noise(1)[:samples]
    frame_times = np.arange(7) / 25
    f_a = audio.feature_extractor("logmel", 16)(wave, frame_times)
    assert f_a.shape == (7, 16, 40) and f_a.dtype == np.float32 and np.isfinite(f_a).all()
    if silent:
        assert np.ptp(f_a) == 0, "silence is constant"


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
    """The delay (s) at which F_A follows a train of smooth bumps best, by normalised cross-correlation."""
    centre = f_a.mean(1)  # the middle of the window of 2
    activity = np.linalg.norm(centre - np.median(centre, 0), axis=1)
    grid, delays = np.arange(-1, 27, 0.001), np.arange(-0.3, 0.3, 0.001)
    train = sum(np.exp(-0.5 * ((grid - m) / 0.03) ** 2) for m in middles)
    likeness = [np.corrcoef(activity, np.interp(frame_times - d, grid, train))[0, 1] for d in delays]
    return delays[np.argmax(likeness)]


@pytest.mark.parametrize("fps", FPS)
@pytest.mark.parametrize("source", ["logmel", "hubert"])
def test_bursts_are_found_at_their_frames(source, fps, bursts, hubert_folder):
    wave, middles = bursts
    delay = 0.137  # seconds of silence put before the sound
    wave = np.concatenate([np.zeros(round(delay * RATE), np.float32) + 1e-3, wave])
    frame_times = np.arange(int(25 * fps)) / fps
    f_a = audio.feature_extractor(source if source == "logmel" else str(hubert_folder), 2)(wave, frame_times)
    assert len(f_a) == len(frame_times), "exactly one row a frame"
    error = found_delay(f_a, frame_times, middles) - delay
    assert abs(error) < 0.5 / fps, \
        f"{source} at {fps:.2f} fps: sound and picture are {1000 * error:.0f} ms apart. Paired by index?"
    late = frame_times > 18  # no drift towards the end
    error = found_delay(f_a[late], frame_times[late], middles) - delay
    assert abs(error) < 1 / fps, f"{source} at {fps:.2f} fps: {1000 * error:.0f} ms apart at the end"


# ------------------------------------------------------------------------------------------------ sync module

@pytest.mark.eq8
@pytest.mark.parametrize("window, d_in", [(16, 40), (5, 16), (1, 7)])
def test_encoders_give_unit_vectors(window, d_in):
    torch.manual_seed(0)
    e_audio, e_lip = audio.AudioEncoder(d_in, window, 12), audio.LipEncoder(32, 12)
    f_al, f_lip = e_audio(3 * torch.randn(6, window, d_in)), e_lip(torch.rand(6, 3, 32, 32))
    for name, f in (("F_al", f_al), ("F_lip", f_lip)):
        assert f.shape == (6, 12) and torch.allclose(f.norm(dim=1), torch.ones(6), atol=1e-5), \
            f"{name}: not of unit length"
    e_audio.eval()
    x = torch.randn(3, window, d_in)
    assert torch.allclose(e_audio(x)[1:2], e_audio(x[1:2]), atol=1e-6), "frozen, a frame's F_al is its own"


@pytest.mark.eq8
def test_audio_encoder_sees_the_order_of_time():
    torch.manual_seed(0)
    e_audio = audio.AudioEncoder(8, 16, 12).eval()
    x = torch.randn(2, 16, 8)
    assert not torch.allclose(e_audio(x), e_audio(x.flip(1)), atol=1e-3)


def smooth_signal(n, g):
    """n samples 20 ms apart of a signal in 0..1 that changes within about 0.2 s."""
    kernel = np.hanning(17)
    s = np.convolve(g.normal(size=n + 16), kernel / np.sqrt((kernel**2).sum()), "valid")
    return 1 / (1 + np.exp(-1.5 * s))


def talking_blob(n, seed):
    """One signal drives dark ellipses in 16 x 16 pictures and noisy windows (n, 8, 6) of 'sound features'."""
    g = np.random.default_rng(seed)
    signal, mixing = smooth_signal(n + 8, g), np.random.default_rng(99).normal(size=6)
    open_ = signal[4:n + 4]
    y, x = np.mgrid[:16, :16] - 7.5
    shape = (x / 6) ** 2 + (y[None] / (0.5 + 6 * open_[:, None, None])) ** 2
    mouths = np.repeat(np.where(shape < 1, 0.2, 0.8)[:, None], 3, 1) + 0.05 * g.normal(size=(n, 3, 16, 16))
    f_a = np.stack([signal[i:i + 8] for i in range(n)])[..., None] * mixing + 0.1 * g.normal(size=(n, 8, 6))
    return torch.tensor(mouths, dtype=torch.float32), torch.tensor(f_a, dtype=torch.float32)


@pytest.mark.eq8
def test_eq8_sync_module_learns_which_sound_belongs_to_which_mouth():
    torch.manual_seed(0)
    mouths, f_a = talking_blob(600, 1)
    take, time, rng = np.zeros(600, int), np.arange(600) * 0.02, np.random.default_rng(0)
    e_audio, e_lip = audio.AudioEncoder(6, 8, 16), audio.LipEncoder(16, 16)
    optimiser = torch.optim.Adam([*e_audio.parameters(), *e_lip.parameters()], lr=2e-3)
    history = []
    for _ in range(100):
        anchor = rng.integers(600, size=12)
        negative = audio.draw_negatives(take, time, anchor, 10, rng, 0.4)
        f_al = e_audio(f_a[np.concatenate([anchor, negative.ravel()])])
        loss = losses.info_nce(e_lip(mouths[anchor]), f_al[:12], f_al[12:].view(12, 10, -1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    low, chance, _ = losses.info_nce_range()
    assert np.mean(history[-20:]) < chance - 0.7, \
        f"L_lips {np.mean(history[-20:]):.2f}, chance {chance:.2f}, best {low:.2f}"
    mouths, f_a = talking_blob(300, 2)  # held out: another signal
    with torch.no_grad():
        f_lip, f_al = e_lip.eval()(mouths), e_audio.eval()(f_a)
    negative = audio.draw_negatives(take[:300], time[:300], np.arange(300), 10, rng, 0.4)
    d = losses.cosine_similarity
    right = d(f_lip, f_al)[:, None] > d(f_lip[:, None].expand(-1, 10, -1), f_al[negative])
    accuracy = right.all(1).float().mean().item()
    assert accuracy > 3 / 11, \
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
    encoders = (audio.LipEncoder(32, 8), audio.AudioEncoder(5, 4, 8))
    for encoder, one in zip(encoders, (torch.rand(1, 3, 32, 32), torch.rand(1, 4, 5))):
        features = encoder.train()(one + 0.02 * torch.randn(64, *one.shape[1:]))
        cosines = (features @ features.T)[~torch.eye(64, dtype=torch.bool)]
        assert cosines.mean().abs() < 0.1 and cosines.std() > 0.2
