"""phones.py - Sec. 3.1: what a phone recogniser hears, as features of the sound beside log-mel.

Where HuBERT cannot be fetched, a small recogniser that ships in a wheel (hama, 5 MB of weights)
hears phones in any voice, as AD-NeRF drives its head by the outputs of DeepSpeech. Its 190 symbols
are gathered by what the lips do: seconds of speech cannot teach what each of them does to a mouth.

In:  sound (N,) at 16 kHz.
Out: log-probabilities (n, 14) of the classes of LIPS every 20 ms, and their times in seconds.
Read next: audio.py (F_A).
"""
import functools

import numpy as np
from jaxtyping import Float

from tools.errors import InputError, first_line
from tools.media import SAMPLE_RATE
from tools.sound import in_chunks, levelled

HOP = 320  # samples between two vectors of the recogniser
DELAY = 0.03  # s: so much after the sound it names a phone (against log-mel, on two clips)
FLOOR = 1e-4  # least probability: below it classes differ by chance alone
LIPS = {  # what the lips do -> phones, in the International Phonetic Alphabet
    "closed": "b p m pʰ p͈ ɓ ɸ", "on the teeth": "f v ɱ ʋ", "round, open": "ɔ ɒ oʊ o ɔɪ aʊ",
    "round, close": "u ʊ w ɥ y ʉ ø œ wa we wi wʌ ju", "open": "a ɑ æ aɪ ɐ ä ʌ",
    "half open": "ɛ e eɪ ə ɜ ɝ ɚ eə jʌ je", "spread": "i ɪ j ɪə ɨ", "r": "ɹ r ɻ ɾ",
    "s": "s z t͡ɕ t͡ɕʰ s͈", "sh": "ʃ ʒ t͡ʃ d͡ʒ ɕ ʂ", "tip of the tongue": "t d n l ð θ tʰ ɫ t͈ ɲ ̪",
    "back of the tongue": "k g ɡ ŋ h kʰ k͈ c ɣ x",
    "between phones": "<blank>", "between words": "<wb>"}


@functools.lru_cache(maxsize=1)
def recogniser():
    """The recogniser, loaded once. Raises InputError where it is not installed."""
    try:
        from hama.asr import ASRModel
        return ASRModel()
    except (ImportError, OSError) as error:  # no such package, or none for this system
        raise InputError(f"--audio-features phones: no phone recogniser ({first_line(error)}); "
                         "pip install hama==1.7.0, or train with logmel or hubert") from error


def available() -> bool:
    """Whether the recogniser can be used here."""
    try:
        return recogniser() is not None
    except InputError:
        return False


@functools.lru_cache(maxsize=1)
def gathering() -> Float[np.ndarray, "symbols 14"]:
    """1 where a symbol of the recogniser belongs to a class of LIPS."""
    classes = [phones.split() for phones in LIPS.values()]
    return np.array([[float(symbol in phones) for phones in classes]
                     for symbol in recogniser().decoder_tokens])


def lip_classes(wave: Float[np.ndarray, "N"]) -> Float[np.ndarray, "n 14"]:
    """Log-probabilities of the classes of LIPS in one piece of sound, n = N // HOP + 1.

    The package's own decoder keeps the best symbol only; its session gives all probabilities.
    """
    model = recogniser()
    outputs = [model._log_probs_output_name, model._out_lengths_output_name]
    inputs = {model._waveform_input_name: np.clip(wave, -1, 1)[None].astype(np.float32),
              model._waveform_lengths_input_name: np.array([len(wave)])}
    log_p = np.asarray(model.session.run(outputs, inputs)[0][0], np.float64)
    p = np.exp(log_p - log_p.max(1, keepdims=True))
    log_p = np.log(p / p.sum(1, keepdims=True) @ gathering() + FLOOR).astype(np.float32)
    return log_p[np.minimum(np.arange(len(wave) // HOP + 1), len(log_p) - 1)]


def phone_features(wave: Float[np.ndarray, "N"]
                   ) -> tuple[Float[np.ndarray, "n 14"], Float[np.ndarray, "n"]]:
    """Log-probabilities of what the lips do, at every HOP-th sample, and the time of each in s."""
    wave = levelled(wave)
    total = len(wave) // HOP + 1
    encode = lambda first, last: lip_classes(wave[first * HOP:last * HOP])
    return in_chunks(encode, total), np.arange(total) * HOP / SAMPLE_RATE - DELAY
