"""test_phones.py - what a phone recogniser hears, gathered by what the lips do (tools/phones.py, Sec. 3.1).

Oracles: the recogniser's own decoder, a recogniser that is played, log-mel for the timing. What needs the package
`hama` is skipped where it is not installed.
"""
import sys
from pathlib import Path

import numpy as np
import pytest

import audio
from data import prepare
from tools import phones
from tools.errors import InputError
from tools.media import read_audio
from tools.sound import levelled, log_mel

RATE = 16000
SPEECH = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "real_speech.wav"
needs_hama = pytest.mark.skipif(not phones.available(), reason="the phone recogniser (pip install hama) is not here")
needs_speech = pytest.mark.skipif(not SPEECH.is_file(), reason="../shared/data/real_speech.wav is absent")
CLASSES = list(phones.LIPS)


# ---- classes -------------------------------------------------------------------------------------


def test_no_phone_is_listed_twice():
    listed = [phone for of_class in phones.LIPS.values() for phone in of_class.split()]
    assert len(listed) == len(set(listed)) and len(CLASSES) == 14


@needs_hama
def test_every_symbol_is_in_one_class_at_most_and_every_listed_phone_is_known():
    symbols, gathering = phones.recogniser().decoder_tokens, phones.gathering()
    assert gathering.shape == (len(symbols), 14) and set(np.unique(gathering)) == {0, 1}
    assert gathering.sum(1).max() == 1, "a phone counts twice"
    for k, (name, listed) in enumerate(phones.LIPS.items()):
        assert {symbols[i] for i in np.flatnonzero(gathering[:, k])} == set(listed.split()), \
            f"{name}: some of its phones are not the recogniser's"


# ---- a recogniser that is played -----------------------------------------------------------------


class Played:
    """A recogniser of four symbols: each 20 ms the k-th has log-probability log_p[k], but for a constant."""
    decoder_tokens = ["b", "m", "a", "?"]
    _log_probs_output_name, _out_lengths_output_name = "p", "n"
    _waveform_input_name, _waveform_lengths_input_name = "wave", "lengths"

    def __init__(self, log_p, short=0):
        self.session, self.log_p, self.short, self.heard = self, np.asarray(log_p, np.float32), short, []

    def run(self, outputs, inputs):
        wave = inputs["wave"]
        assert outputs == ["p", "n"] and wave.dtype == np.float32 and inputs["lengths"].tolist() == [wave.shape[1]]
        self.heard.append(wave[0])
        return [np.repeat(self.log_p[None, None], wave.shape[1] // 320 + 1 - self.short, 1), None]


@pytest.fixture
def play(monkeypatch):
    """play(log_p): from now on that is what is heard."""
    def start(*args, **kwargs):
        played = Played(*args, **kwargs)
        monkeypatch.setattr(phones, "recogniser", lambda: played)
        phones.gathering.cache_clear()
        return played

    yield start
    phones.gathering.cache_clear()


def test_probabilities_of_a_class_are_the_sum_over_its_phones(play):
    """b 0.2, m 0.1, a 0.6, and 0.1 for a symbol of no class; the recogniser's scores are off by a constant."""
    play(np.log([0.2, 0.1, 0.6, 0.1]) + 3)
    got = phones.lip_classes(np.zeros(960, np.float32))
    assert got.shape == (4, 14) and got.dtype == np.float32
    want = {"closed": 0.3, "open": 0.6}
    for k, name in enumerate(CLASSES):
        assert np.allclose(got[:, k], np.log(want.get(name, 0.0) + 1e-4), atol=1e-5), name


def test_the_last_vector_repeats_where_the_recogniser_gives_fewer(play):
    played = play(np.zeros(4), short=2)
    assert phones.lip_classes(np.full(3200, 7.0, np.float32)).shape == (11, 14)
    assert played.heard[0].max() == 1, "it wants sound in -1 .. 1"


@pytest.mark.parametrize("samples", [1, 319, 320, 16000, 20 * RATE - 1, 20 * RATE, 20 * RATE + 1, 45 * RATE + 77])
def test_a_vector_every_20_ms_though_long_sound_is_cut(samples, monkeypatch):
    """The recogniser is played by one that says the sample at its place: a vector in another place is seen."""
    monkeypatch.setattr(phones, "lip_classes", lambda wave: wave[np.minimum(320 * np.arange(
        len(wave) // 320 + 1), len(wave) - 1)][:, None] * np.ones(14, np.float32))
    wave = np.random.default_rng(0).normal(size=samples).astype(np.float32)
    features, times = phones.phone_features(wave)
    n, heard = samples // 320 + 1, levelled(wave)
    assert features.shape == (n, 14) and np.allclose(times, 0.02 * np.arange(n) - 0.03)
    assert np.array_equal(features[:, 0], heard[np.minimum(320 * np.arange(n), samples - 1)])


# ---- the recogniser itself -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def spoken():
    """Real speech, its features and their times."""
    wave = read_audio(SPEECH)
    return wave, *phones.phone_features(wave)


@pytest.fixture(scope="module")
def spans(spoken):
    """What the package's own decoder hears in it, which names one phone at a time."""
    model = phones.recogniser()
    return model.phoneme_spans(model.transcribe_waveform(levelled(spoken[0]), RATE))


@needs_hama
@needs_speech
def test_probabilities_sum_to_one_before_the_log(spoken):
    """But for what the symbols of no class have."""
    total = (np.exp(spoken[1].astype(np.float64)) - phones.FLOOR).sum(1)
    assert total.max() < 1 + phones.FLOOR and total.min() > 0.85 and np.median(total) > 0.999
    assert spoken[1].min() >= np.log(phones.FLOOR) - 1e-5 and np.isfinite(spoken[1]).all()


@needs_hama
@needs_speech
@pytest.mark.parametrize("heard, likelier, than", [("b p m", "closed", "open"), ("ɑ æ ʌ aɪ", "open", "closed"),
                                                  ("s z", "s", "closed"), ("f v", "on the teeth", "open")])
def test_what_the_lips_do_is_what_is_heard(spoken, spans, heard, likelier, than):
    _, features, times = spoken
    at = [span.start_ms / 1000 for span in spans if span.phoneme in heard.split()]
    assert len(at) >= 3, f"{heard}: not in this speech"
    rows = [int(np.abs(times + phones.DELAY - t).argmin()) for t in at]
    margin = features[rows, CLASSES.index(likelier)] - features[rows, CLASSES.index(than)]
    assert (margin > 1).mean() > 0.8, f"{heard}: {likelier} is no likelier than {than}: {margin.round(1)}"


@needs_hama
@needs_speech
def test_phones_come_at_the_time_of_their_sound(spoken):
    """Log-mel is read best from the phones of the same time, by a linear map: within 20 ms."""
    wave, features, times = spoken
    energies, at = log_mel(wave)
    energies = (energies - energies.mean(0))[30:-30] / energies.std(0)
    lags, unread = np.arange(-12, 13) / 100, []
    for lag in lags:
        heard = np.stack([np.interp(at + lag, times, column) for column in features.T], 1)[30:-30]
        heard = heard - heard.mean(0)
        W = np.linalg.solve(heard.T @ heard + np.eye(14), heard.T @ energies)
        unread.append(np.square(energies - heard @ W).mean())
    best = lags[np.argmin(unread)]
    assert abs(best) <= 0.02, f"phones are {1000 * best:.0f} ms late"


@needs_hama
@pytest.mark.parametrize("samples", [1, 100, 400, 4000])
def test_phones_of_short_and_silent_sound(samples):
    extract = audio.feature_extractor("phones", 4, smooth=0.04)
    for wave in (np.zeros(samples, np.float32), np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)):
        f_a = extract(wave, np.arange(5) / 25)
        assert f_a.shape == (5, 4, 40 + 14) and f_a.dtype == np.float32 and np.isfinite(f_a).all()
    still = extract(np.zeros(samples, np.float32), np.arange(5) / 25)
    assert np.ptp(still[..., :40]) == np.ptp(still[..., 40:]) == 0, "silence is constant"


@needs_hama
@needs_speech
def test_features_of_phones_are_log_mel_and_then_phones_at_twice_the_scale(spoken):
    wave, features, times = spoken
    frame_times = np.arange(20, 100) / 25
    both, mel = (audio.feature_extractor(source, 3)(wave, frame_times) for source in ("phones", "logmel"))
    assert np.array_equal(both[..., :40], mel)
    want = audio.align_to_frames(audio.standardised(features, times, wave), times, frame_times, 3)
    assert np.allclose(both[..., 40:], 2 * want, atol=1e-5)


# ---- where it is missing -------------------------------------------------------------------------


@pytest.fixture
def missing(monkeypatch):
    """No package `hama`, as after a plain pip install without it."""
    monkeypatch.setitem(sys.modules, "hama", None)
    monkeypatch.setitem(sys.modules, "hama.asr", None)
    phones.recogniser.cache_clear()
    yield
    phones.recogniser.cache_clear()


def test_a_missing_recogniser_is_one_line_with_advice(missing):
    for call in (phones.recogniser, lambda: audio.feature_extractor("phones", 4)):
        with pytest.raises(InputError) as error:
            call()
        text = str(error.value)
        assert "\n" not in text and "pip install hama==1.7.0" in text and "logmel" in text, text
    assert not phones.available()


def test_clips_take_log_mel_where_the_recogniser_is_missing_and_say_so(missing, capsys):
    assert prepare.sound_of_clips() == "logmel"
    said = capsys.readouterr().out
    assert "log-mel alone" in said and "pip install hama==1.7.0" in said and said.count("\n") == 1


@needs_hama
def test_clips_take_phones_where_the_recogniser_is_here_and_say_so(capsys):
    assert prepare.sound_of_clips() == "phones"
    said = capsys.readouterr().out
    assert "phones beside log-mel" in said and "hubert" in said and said.count("\n") == 1


def test_the_advice_names_the_version_of_the_requirements():
    requirements = (Path(__file__).resolve().parent.parent / "requirements.txt").read_text()
    assert "hama==1.7.0" in requirements
