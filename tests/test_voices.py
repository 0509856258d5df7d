"""test_voices.py - what the sync module learns from: a corpus's speech, and stand-in voices beside it (Sec. 3.4)."""
from dataclasses import replace

import numpy as np
import pytest
import torch

from config import SMALL
from data import prepare, voices
from data.corpus import Corpus
from data.crops import lip_shapes
from data.voices import Speech, spoken_in, stand_in_voices, with_voices

CPU = torch.device("cpu")


def heard(wave, times):
    """In place of F_A: the length of the sound, and the time of the frame."""
    return np.stack([np.full(len(times), len(wave)), times], 1)[:, None].astype(np.float32)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Three short voices in place of eight."""
    monkeypatch.setattr(voices, "VOICES", 3)
    monkeypatch.setattr(voices, "SECONDS", 1.5)
    stand_in_voices.cache_clear()
    yield
    stand_in_voices.cache_clear()


def corpus_of(people):
    """Takes 0 .. of ten frames each, one after another, of the people named."""
    g, person, corpus = np.random.default_rng(0), np.repeat(people, 10), Corpus.__new__(Corpus)
    draw = lambda *shape: g.normal(size=(len(person), *shape)).astype(np.float32)
    vars(corpus).update(f_a=draw(1, 2), lips=draw(40), take=np.repeat(np.arange(len(people)), 10),
                        time=np.tile(np.arange(10) / 25, len(people)), label={"id": person},
                        names={"id": sorted(set(people))})
    return corpus


def test_speech_of_a_corpus_is_drawn_evenly():
    corpus = corpus_of([0, 0, 1])
    speech = spoken_in(corpus)
    assert len(speech) == 30 and np.allclose(speech.p, 1 / 30)
    for got, want in ((speech.f_a, corpus.f_a), (speech.lips, corpus.lips), (speech.take, corpus.take),
                      (speech.time, corpus.time), (speech.person, corpus.label["id"])):
        assert np.array_equal(got, want)


@pytest.mark.parametrize("share", [0.1, 0.75])
def test_voices_have_the_share_of_draws_that_is_asked_for(share):
    own = replace(spoken_in(corpus_of([0, 0])), p=np.r_[np.full(10, 0.08), np.full(10, 0.02)])
    speech = with_voices(own, share, heard)
    assert speech.p.sum() == pytest.approx(1) and speech.p[20:].sum() == pytest.approx(share)
    assert np.allclose(speech.p[:20], (1 - share) * own.p), "the corpus keeps its own weights"
    assert np.allclose(speech.p[20:], speech.p[20]), "the frames of the voices are drawn evenly"


def test_people_and_takes_of_the_voices_are_not_the_corpuss():
    own = spoken_in(corpus_of([4, 4, 7]))
    speech = with_voices(own, 0.1, heard)
    n = len(own)
    for name in ("f_a", "lips", "take", "time", "person"):
        column = getattr(speech, name)
        assert np.array_equal(column[:n], getattr(own, name)) and len(column) == len(speech) == len(speech.p), name
    assert not set(speech.take[n:]) & set(own.take) and not set(speech.person[n:]) & set(own.person)
    assert len(set(speech.take[n:])) == len(set(speech.person[n:])) == 3, "each voice is a person of its own"


def test_each_frame_of_a_voice_has_its_own_sound_and_lips():
    """Sound by the voice's length and the frame's time; lips of its landmarks, less its mean, in its spread."""
    speech, at = with_voices(spoken_in(corpus_of([0])), 0.1, heard), 10
    for landmarks, times, wave in stand_in_voices():
        rows = slice(at, at + len(times))
        assert (speech.f_a[rows, 0, 0] == len(wave)).all() and np.allclose(speech.f_a[rows, 0, 1], times)
        assert np.allclose(speech.time[rows], times)
        shapes = lip_shapes(landmarks) - lip_shapes(landmarks).mean(0)
        assert np.allclose(speech.lips[rows], shapes / shapes.std(), atol=1e-3)
        at += len(times)
    assert at == len(speech)


def test_stand_in_voices_are_as_long_as_their_picture_and_open_their_mouths():
    for landmarks, times, wave in stand_in_voices():
        assert landmarks.shape == (len(times), 68, 2) and abs(len(wave) / 16000 - len(times) / voices.FPS) < 0.1
        assert np.allclose(np.diff(times), 1 / voices.FPS) and np.abs(wave).max() > 0.01
        assert (landmarks[:, 8, 1] > landmarks[:, 27, 1]).all(), "y points down: the chin is below the nose"
        assert landmarks[:, 66, 1].std() > 5 * landmarks[:, 27, 1].std(), "the lower lip moves, the nose does not"
    shapes = [lip_shapes(landmarks).mean(0) for landmarks, _, _ in stand_in_voices()]
    assert not np.allclose(shapes[0], shapes[1], atol=1e-3), "the voices are all of one person"


def test_one_person_gets_voices_and_two_get_none(monkeypatch):
    """speech_of: a clip alone; several people are voices enough, and a share of 0 asks for none."""
    asked = []
    monkeypatch.setattr(prepare, "features_of", lambda cfg, device: asked.append(cfg) or heard)
    cfg = replace(SMALL, voices=0.2)
    alone = prepare.speech_of(corpus_of([0, 0]), cfg, CPU)
    assert len(alone) > 20 and alone.p[20:].sum() == pytest.approx(0.2) and asked == [cfg]
    for corpus, one in ((corpus_of([0, 1]), cfg), (corpus_of([0, 0]), replace(cfg, voices=0.0))):
        speech = prepare.speech_of(corpus, one, CPU)
        assert isinstance(speech, Speech) and len(speech) == 20 and np.allclose(speech.p, 1 / 20)
    assert len(asked) == 1, "features of voices that nobody wants"


def test_features_are_those_of_the_configuration(monkeypatch):
    """features_of: source, window and smoothing; training, synthesis and the voices all hear by it."""
    asked = []
    monkeypatch.setattr(prepare, "feature_extractor", lambda *given: asked.append(given) or heard)
    assert heard is prepare.features_of(replace(SMALL, audio_features="phones", audio_window=9, sound_smooth=0.03), CPU)
    assert asked == [("phones", 9, CPU, 0.03)]
