"""voices.py - Sec. 3.4: the speech that the sync module learns from, and stand-in voices beside it.

A clip has one voice, and seconds of it. The stand-in heads speak too, and their lips are known, so
a part of what Eq. 8 sees can be theirs: how a closed mouth sounds does not depend on whose it is.

In:  Corpus; the function of audio.py that makes F_A.
Out: Speech: F_A and lips of every frame, and how often each is drawn.
Read next: prepare.py; offset.py reads lips from sound by the same voices.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from data.corpus import Corpus, per_person
from data.crops import lip_shapes
from synthetic import dataset
from synthetic.shape import head_vertices
from synthetic.surface import landmark_indices
from tools.media import to_mono_16k

SEED, VOICES, SECONDS = 1000, 8, 8.0  # no other data has this seed
FPS = dataset.FPS / 2


@dataclass(frozen=True)
class Speech:
    """Frames that are heard and whose lips are known, of one corpus or of several sources."""
    f_a: Float[np.ndarray, "n w d"]   # F_A
    lips: Float[np.ndarray, "n 40"]   # what E_lip sees
    take: np.ndarray                  # (n,) which stretch of sound
    time: Float[np.ndarray, "n"]      # s in it
    person: np.ndarray                # (n,) who speaks
    p: Float[np.ndarray, "n"]         # probability that a step draws the frame

    def __len__(self) -> int:
        return len(self.take)


@functools.lru_cache(maxsize=1)
def stand_in_voices() -> list[tuple[Float[np.ndarray, "T 68 2"], Float[np.ndarray, "T"],
                                    Float[np.ndarray, "N"]]]:
    """Landmarks (dm, y down, seen from the front), their times in s, and sound of each voice."""
    marks, voices = landmark_indices(), []
    for k in range(VOICES):
        expression, sound, _ = dataset.recording(SEED, f"voice {k}", k, SECONDS)
        points = head_vertices(dataset.identity(SEED, k), expression[::2])[:, marks]
        landmarks = points[..., :2] * [1, -1]
        voices.append((landmarks, np.arange(len(landmarks)) / FPS,
                       to_mono_16k(sound, dataset.SAMPLE_RATE)))
    return voices


def spoken_in(corpus: Corpus) -> Speech:
    """The speech of a corpus, every frame as often as the others."""
    n = len(corpus)
    return Speech(corpus.f_a, corpus.lips, corpus.take, corpus.time, corpus.label["id"],
                  np.full(n, 1 / n))


def with_voices(speech: Speech, share: float,
                features: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Speech:
    """The speech, and the stand-in voices, of which a share `share` of the draws are."""
    voices = stand_in_voices()
    lips = [lip_shapes(landmarks) for landmarks, _, _ in voices]
    number = np.repeat(np.arange(len(voices)), [len(shape) for shape in lips])
    n = len(number)
    joined = lambda own, theirs: np.concatenate([own, theirs])
    return Speech(
        joined(speech.f_a, np.concatenate([features(wave, t) for _, t, wave in voices])),
        joined(speech.lips, per_person(np.concatenate(lips), number)),
        joined(speech.take, speech.take.max() + 1 + number),
        joined(speech.time, np.concatenate([t for _, t, _ in voices])),
        joined(speech.person, speech.person.max() + 1 + number),
        joined((1 - share) * speech.p, np.full(n, share / n)))
