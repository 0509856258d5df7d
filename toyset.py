"""toyset.py - stand-in talking heads in VOCASET's layout, so that everything runs with no download and no
licence.

In place of Sec. 4.1's data. A sentence is a phoneme string: it speaks (a small formant synthesiser) and moves
the mouth by the paper's own prior (Sec. 3.4: lips shut just before and at b, p, m; open on a, o, i).
Identity, expression, voice and head motion are drawn independently, albedo and light by a Latin square that
leaves combinations out; all true factors are stored, and render_truth shows any combination of them.

In:  a folder name and a seed. Out: the folder (write_toyset). Read next: data.py.
"""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

import mesh
from media import replacing
from toyhead import (BROW_RIGHT, BROWS, EXPRESSION, IRIS, LIDS_LEFT, LIDS_RIGHT, LIPS, N_LID, bell, hairline,
                     head_vertices, landmark_indices, landmark_model, model, neutral_head, random_identity,
                     smoothstep)

__all__ = ["landmark_model", "head_vertices", "render_truth", "write_toyset", "design", "recording", "albedo", "gloss",
           "EXPRESSION"]
FPS, SAMPLE_RATE = 60, 22000  # as in VOCASET
VALUES, WORN = 6, 4  # albedos, and lights, in a set; how many of each one subject is trained on


# ---- albedo ------------------------------------------------------------------------------------------------

PALETTES = [  # skin, lips, hair, iris, brows' strength, beard's strength
    ((0.86, 0.66, 0.55), (0.72, 0.36, 0.36), (0.30, 0.18, 0.10), (0.35, 0.22, 0.12), 0.8, 0.0),
    ((0.93, 0.76, 0.67), (0.80, 0.42, 0.42), (0.78, 0.60, 0.32), (0.25, 0.45, 0.65), 0.6, 0.0),
    ((0.45, 0.29, 0.21), (0.42, 0.20, 0.18), (0.06, 0.05, 0.05), (0.18, 0.10, 0.06), 0.9, 0.0),
    ((0.72, 0.51, 0.38), (0.60, 0.30, 0.28), (0.09, 0.07, 0.06), (0.20, 0.12, 0.07), 0.9, 0.55),
    ((0.90, 0.70, 0.60), (0.74, 0.40, 0.38), (0.55, 0.22, 0.10), (0.30, 0.50, 0.35), 0.7, 0.5),
    ((0.84, 0.63, 0.54), (0.66, 0.38, 0.37), (0.62, 0.60, 0.58), (0.40, 0.48, 0.52), 0.7, 0.0)]


def albedo(palette: tuple) -> Float[np.ndarray, "V 3"]:
    """Vertex colours (V, 3) in [0, 1]; a palette holds no shape, so any face can wear any of them."""
    skin, lips, hair, iris, brow, beard = (np.array(entry) for entry in palette)
    head = model()
    color = np.broadcast_to(skin, head.mean.shape).copy()

    def paint(where, paint_color, strength=1.0):
        weight = np.clip(strength * np.asarray(where, float), 0, 1)[:, None]
        color[:] = color * (1 - weight) + weight * np.asarray(paint_color)

    _paint_skin(paint, head, skin, lips, hair, brow, beard)
    _paint_mouth_and_eyes(paint, head, lips, iris)
    strands = head.part == "hair"
    paint(strands, hair)
    color[strands] *= (1 + 0.12 * np.sin(np.arange(strands.sum()) * 2.4))[:, None]
    return np.clip(color, 0, 1).astype(np.float32)


def _paint_skin(paint, head, skin, lips, hair, brow, beard):
    x, y, z = head.mean.T
    ax, on, front = np.abs(x), head.part == "skin", smoothstep(z / 0.3)
    ring = np.arange(len(x))
    paint(on * front * bell(ax, 0.42, 0.16) * bell(y, -0.32, 0.14), skin * [1.0, 0.72, 0.70], 0.5)
    paint(on * front * bell(x, 0, 0.13) * bell(y, -0.42, 0.09), skin * [1.0, 0.78, 0.75], 0.4)
    paint(on * front * bell(ax, 0.30, 0.16) * bell(y, 0.0, 0.09), skin * [0.78, 0.70, 0.70], 0.5)
    jaw_hair = smoothstep((-0.42 - y) / 0.25) * (1 - bell(ax, 0.28, 0.2) * bell(y, -0.45, 0.15))
    paint(on * jaw_hair * smoothstep((z + 0.1) / 0.2), hair, beard)
    paint(on & (ring >= LIPS) & (ring < LIPS + 96), lips)
    paint(on * bell(ax, 0.07, 0.035) * bell(y, -0.545, 0.022) * front, skin * 0.12)
    for first in (BROWS, BROW_RIGHT):
        along = np.array([0, 0.5, 0.9, 1, 1, 1, 1, 0.9, 0.7, 0.4, 0])[(ring - first) % 11]
        paint((ring >= first) & (ring < first + 33), hair * 0.6, brow * along)
    for first in (LIDS_LEFT, LIDS_RIGHT):
        paint((ring >= first) & (ring < first + N_LID), hair * 0.25, 0.9)
        paint((ring >= first + N_LID) & (ring < first + 24), skin * [0.75, 0.55, 0.5])
    covered = y > hairline(head.mean) + 0.08
    paint(on & covered, hair)
    paint(head.part == "neck", skin * 0.85)
    paint(np.isin(head.part, ["left ear", "right ear"]), skin * [1.0, 0.88, 0.86])


def _paint_mouth_and_eyes(paint, head, lips, iris):
    bag = head.part == "bag"
    inside = [lips * 0.9, lips * 0.5, lips * 0.18, (0.08, 0.02, 0.02), (0.04, 0.01, 0.01), (0.02, 0, 0)]
    for row, shade in enumerate(inside):
        paint(bag & (head.depth == row), shade)
    paint(np.isin(head.part, ["upper teeth", "lower teeth"]), (0.88, 0.85, 0.79))
    eye = np.isin(head.part, ["left eye", "right eye"])
    angle = IRIS[np.minimum(head.depth.astype(int), len(IRIS) - 1)]
    paint(eye, (0.86, 0.84, 0.82))
    paint(eye & (angle < 0.40), iris * 0.55)
    paint(eye & (angle < 0.32), iris)
    paint(eye & (angle < 0.16), (0.02, 0.02, 0.02))


def gloss() -> Float[np.ndarray, "V"]:
    """Strength of the highlight a vertex: eyes catch the light, lips and teeth a little, skin hardly."""
    part = model().part
    value = np.where(np.isin(part, ["left eye", "right eye"]), 0.9, 0.06)
    value = value + 0.1 * model().lip * (part == "skin")
    return np.where(part == "bag", 0.0, value).astype(np.float32)


# ---- speech ------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Phoneme:
    """Sound: formants (Hz), voicing and noise levels, noise band (Hz), seconds. Mouth: EXPRESSION targets."""
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
CONSONANTS = {"b": Phoneme((220, 900, 2200), 0.18, seconds=0.085, mouth=(0, 0, 0, 0.35, 0), shut=True),
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
    """A phoneme string of consonant-vowel syllables, "_" at both ends and now and then between words.

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
    """When each phoneme starts, in seconds, and the end (P + 1,): natural lengths, stretched to `seconds`."""
    lengths = np.array([PHONEMES[p].seconds for p in text])
    return np.concatenate([[0], np.cumsum(lengths)]) * seconds / lengths.sum()


def _track(values, times, at, blur):
    """Piecewise constant (P, C) values of the phonemes, sampled at `at` (T,), smoothed over `blur` s."""
    index = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(values) - 1)
    step = at[1] - at[0]
    return gaussian_filter1d(np.asarray(values, float)[index], blur / step, axis=0, mode="nearest")


def _resonate(source, frequency, bandwidth):
    """A two-pole resonator of unit gain at 0 Hz whose frequency (B,) changes every STEP (Klatt's)."""
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
    """Waveform (n,) in [-1, 1] at 22 kHz of a phoneme string: source through three moving formants, plus
    noise.

    pitch: Hz, tract: length of the vocal tract against the average (formants are divided by it).
    """
    n = round(seconds * SAMPLE_RATE)
    times, at = phoneme_times(text, seconds), np.arange(int(np.ceil(n / (STEP * SAMPLE_RATE))) + 1) * STEP
    spoken = [PHONEMES[p] for p in text]
    formants = _track([p.formants for p in spoken], times, at, 0.018) / tract  # (B, 3) coarticulation
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


# ---- the face in time --------------------------------------------------------------------------------------

def mouth_motion(text: str, seconds: float) -> Float[np.ndarray, "T 5"]:
    """jaw, width, pucker, press, tuck (T, 5) at 60 fps for a phoneme string (the prior of Sec. 3.4).

    Targets blend over about 35 ms (coarticulation). Lips meet 25 ms before b, p, m sound and part as
    these end; they are shut in silence.
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
    """brow, blink, smile (T, 3) at 60 fps, in their own time: blinks every 1-3 s of 0.26 s, slow brows."""
    blink, clock, start = np.zeros(frames), np.arange(frames) / FPS, rng.uniform(0.1, 1.2)
    while start < frames / FPS:
        since = clock - start
        blink = np.maximum(blink, np.minimum(smoothstep(since / 0.08), smoothstep((0.26 - since) / 0.14)))
        start += rng.uniform(1.0, 3.0)
    slow = gaussian_filter1d(rng.normal(size=(frames + 120, 2)), 14, axis=0)[60:-60] * np.sqrt(14 * 3.5)
    brow = smoothstep(0.25 + 0.45 * slow[:, 0])
    smile = 0.45 * smoothstep(0.2 + 0.4 * slow[:, 1])
    return np.stack([brow, blink, smile], axis=1)


# ---- the folder --------------------------------------------------------------------------------------------

def _stream(seed, *names):
    """A random generator for one purpose, so that no factor's draw shifts another's."""
    key = [seed] + [byte for name in names for byte in str(name).encode() + b"/"]
    return np.random.default_rng(key)


def recording(seed: int, subject: str, sentence: int, seconds: float) -> tuple[np.ndarray, np.ndarray, str]:
    """Expression (T, 8), sound (n,) int16 and phonemes of a take; every second sentence shares its text."""
    reader = _stream(seed, "text", sentence, "" if sentence % 2 == 0 else subject)
    voice = _stream(seed, "voice", subject)
    pitch, tract = (voice.uniform(95, 135), 1.0) if voice.uniform() < 0.5 else (voice.uniform(175, 230), 0.87)
    text = random_sentence(reader, seconds)
    length = round(seconds * _stream(seed, "pace", subject, sentence).uniform(0.92, 1.0) * FPS) / FPS
    wave = speak(text, length, pitch, tract, _stream(seed, "breath", subject, sentence))
    mouth = mouth_motion(text, length)
    upper = upper_face_motion(len(mouth), _stream(seed, "upper face", subject, sentence))
    return np.concatenate([mouth, upper], axis=1), np.round(wave * 32767).astype(np.int16), text


def _save_pickle(path, tree):
    with replacing(path) as temporary, open(temporary, "wb") as file:
        pickle.dump(tree, file, protocol=2)


def _save_array(path, array):
    with replacing(path) as temporary:
        np.save(temporary, array)


def _save_text(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text)


def _ply(vertices, faces):
    """The mesh as the text of an ASCII .ply file."""
    lines = ["ply", "format ascii 1.0", f"element vertex {len(vertices)}",
             "property float x", "property float y", "property float z",
             f"element face {len(faces)}", "property list uchar int vertex_indices",
             "end_header"]
    lines += [f"{x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertices]
    lines += [f"3 {a} {b} {c}" for a, b, c in faces]
    return "\n".join(lines) + "\n"


def _save_takes(folder, takes, identities):
    """data_verts.npy (N, V, 3) in metres, take by take, and the true expression (N, E) of its rows."""
    expression = np.concatenate([take for take, _, _ in takes.values()]).astype(np.float32)
    _save_array(folder / "expression.npy", expression)
    with replacing(folder / "data_verts.npy") as temporary:
        shape = (len(expression), *model().mean.shape)
        rows = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        start = 0
        for (subject, _), (take, _, _) in takes.items():
            rows[start:start + len(take)] = head_vertices(identities[subject], take) / 10
            start += len(take)
        rows.flush()


def _save_index(folder, takes):
    """The two pickles that say which rows and which sound belong to which subject and sentence."""
    index, audio, row = {}, {}, 0
    for (subject, sentence), (take, wave, _) in takes.items():
        index.setdefault(subject, {})[sentence] = {frame: row + frame for frame in range(len(take))}
        audio.setdefault(subject, {})[sentence] = {"audio": wave, "sample_rate": SAMPLE_RATE}
        row += len(take)
    _save_pickle(folder / "subj_seq_to_idx.pkl", index)
    _save_pickle(folder / "raw_audio_fixed.pkl", audio)


def _order(seed, subject, factor):
    """The colours (or lights) that a subject is trained on, as a list of WORN; subject counts from 0.

    The subjects of a block of VALUES take consecutive stretches of one shuffled circle, in shuffled order: a
    Latin square, so that each value is worn by equally many of them. Each subject has an order of its own.
    """
    block, place = divmod(subject, VALUES)
    square = _stream(seed, "square", factor, block)
    circle, starts = square.permutation(VALUES), square.permutation(VALUES)
    worn = circle[(starts[place] + np.arange(WORN)) % VALUES]
    return [int(value) for value in _stream(seed, "order", factor, subject).permutation(worn)]


def design(subjects: int, sentences: int, seed: int) -> tuple[np.ndarray, list[dict]]:
    """Which albedo and light each take has: pairs (subjects, sentences, 2), and what is never trained on.

    A subject wears 4 of the 6 albedos and stands in 4 of the 6 lights. Its last sentence, held out by data.split,
    repeats the pair of an earlier one: there only the speech is new. Beside it stand the recombinations
    {"identity": subject's number, "albedo", "light"}: both known from other subjects, neither seen with this one.
    """
    pairs = np.zeros((subjects, sentences, 2), np.int64)
    for s in range(subjects):
        albedos, lights = _order(seed, s, "albedo"), _order(seed, s, "light")
        for k in range(sentences):  # of 16 sentences no two have the same pair
            pairs[s, k] = albedos[k % WORN], lights[(k + k // WORN) % WORN]
        if sentences > 1:
            pairs[s, -1] = pairs[s, s % (sentences - 1)]
    trained = pairs[:, :-1] if sentences > 1 else pairs
    known = [set(trained[..., f].ravel().tolist()) for f in (0, 1)]
    new = [[sorted(known[f] - set(trained[s, :, f].tolist())) for f in (0, 1)] for s in range(subjects)]
    return pairs, [{"identity": s, "albedo": a, "light": b} for s in range(subjects)
                   for a in new[s][0] for b in new[s][1]]


def _save_factors(folder, takes, identities, seed):
    """What the real set lacks: true colours, lights, shapes, texts, which take has which, and what none has."""
    names = list(identities)
    pairs, unseen = design(len(names), len(takes) // len(names), seed)
    factors = {name: {} for name in names}
    for (subject, sentence), (_, _, text) in takes.items():
        albedo_, light = pairs[names.index(subject), len(factors[subject])]
        factors[subject][sentence] = {"albedo": int(albedo_), "light": int(light), "phonemes": text}
    lamps = _stream(seed, "lights")
    sides = lamps.permutation(np.linspace(-72, 72, VALUES))  # no two lights from nearly the same side
    _save_array(folder / "albedo.npy", np.stack([albedo(palette) for palette in PALETTES]))
    _save_array(folder / "gloss.npy", gloss())
    _save_array(folder / "lights.npy", np.stack([mesh.random_light(lamps, float(side)) for side in sides]))
    _save_array(folder / "identity.npy", np.stack(list(identities.values())))
    _save_text(folder / "factors.json", json.dumps(factors, indent=1))
    unseen = [{**one, "identity": names[one["identity"]]} for one in unseen]
    _save_text(folder / "recombinations.json", json.dumps(unseen, indent=1))


def write_toyset(folder: str | Path, subjects: int = 6, sentences: int = 6, seconds: float = 2.0,
                 seed: int = 0) -> None:
    """Write stand-in heads in VOCASET's layout (Sec. 4.1) to `folder`: 60 fps meshes in metres, sound at 22
    kHz.

    The layout's own files (data_verts.npy, three pickles) and toy.ply, landmarks68.txt; and beside them the
    truth: albedo.npy (6, V, 3), gloss.npy (V,), lights.npy (6, 9, 3), factors.json {subject: {sentence:
    {albedo, light, phonemes}}}, recombinations.json [{identity, albedo, light}] of what no take shows (design),
    expression.npy (N, 8) with the rows of data_verts, identity.npy (S, I) with the subjects in order. Equal
    seeds give equal files. Raises media.InputError when the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"toy{s + 1:02d}" for s in range(subjects)]
    identities = {name: random_identity(_stream(seed, "shape", name)) for name in names}
    takes = {(name, f"sentence{k + 1:02d}"): recording(seed, name, k, seconds)
             for name in names for k in range(sentences)}
    templates = {name: (neutral_head(identities[name]) / 10).astype(np.float32) for name in names}
    _save_pickle(folder / "templates.pkl", templates)
    _save_text(folder / "toy.ply", _ply(templates[names[0]], model().faces))
    _save_text(folder / "landmarks68.txt", " ".join(map(str, landmark_indices())) + "\n")
    _save_factors(folder, takes, identities, seed)
    _save_index(folder, takes)
    _save_takes(folder, takes, identities)  # last: its presence says that the folder is complete


def render_truth(identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "T E"],
                 colors: int | Float[np.ndarray, "V 3"], light: Float[np.ndarray, "9 3"],
                 head_to_world: Float[np.ndarray, "T 4 4"], size: int
                 ) -> tuple[UInt8[np.ndarray, "T {size} {size} 3"], UInt8[np.ndarray, "T {size} {size}"]]:
    """Any combination of the factors as it would look: frames (T, H, W, 3) and masks (T, H, W), 255 = head.

    colors: the number of an albedo, or vertex colours (V, 3); light stands in the room. From a written set's
    factors and its takes' head motion come data.load's frames; other factors show what was never recorded.
    """
    colors = albedo(PALETTES[colors]) if isinstance(colors, int) else colors
    vertices = head_vertices(identity, expression)
    return mesh.portraits(vertices, head_to_world, model().faces, colors, gloss(), light, size)
