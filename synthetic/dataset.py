"""dataset.py - Sec. 4.1's data without a download: stand-in talking heads in VOCASET's layout.

Identity, expression, voice and head motion are drawn independently, albedo and light by a Latin
square that leaves combinations out. All true factors are stored, and render_truth shows any
combination of them.

In:  a folder name and a seed. Out: the folder (write_toyset), or pictures (render_truth).
Read next: data/prepare.py, which makes takes of the folder.
"""

import json
import pickle
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from plyfile import PlyData, PlyElement

from synthetic import rasteriser
from synthetic.colours import PALETTES, albedo, gloss
from synthetic.hair import STYLES
from synthetic.light import light_set
from synthetic.shape import EXPRESSION, head_vertices, model, neutral_head, random_identity
from synthetic.speech import (FPS, SAMPLE_RATE, mouth_motion, phoneme_times, random_sentence, speak,
                              upper_face_motion)
from synthetic.surface import landmark_indices
from tools.errors import new_array, replacing

__all__ = ["head_vertices", "render_truth", "write_toyset", "design", "recording", "albedo",
           "gloss", "EXPRESSION", "phoneme_times", "mouth_motion"]
STYLE_COUNT = len(STYLES)  # one of them is short hair, see hair.random_style
SENTENCES = 16  # per subject; the last is held out, the others show 15 of 16 pairs of albedo, light
VALUES, WORN = 6, 4  # albedos, and lights, in a set; how many of each one subject is trained on


def _stream(seed, *names):
    """A random generator for one purpose, so that no factor's draw shifts another's."""
    key = [seed] + [byte for name in names for byte in str(name).encode() + b"/"]
    return np.random.default_rng(key)


def recording(seed: int, subject: str, sentence: int, seconds: float
              ) -> tuple[np.ndarray, np.ndarray, str]:
    """Expression (T, 8), sound (n,) int16 and phonemes of a take; even sentences share one text."""
    reader = _stream(seed, "text", sentence, "" if sentence % 2 == 0 else subject)
    voice = _stream(seed, "voice", subject)
    low = voice.uniform() < 0.5
    pitch, tract = (voice.uniform(95, 135), 1.0) if low else (voice.uniform(175, 230), 0.87)
    text = random_sentence(reader, seconds)
    pace = _stream(seed, "pace", subject, sentence).uniform(0.92, 1.0)
    length = round(seconds * pace * FPS) / FPS
    wave = speak(text, length, pitch, tract, _stream(seed, "breath", subject, sentence))
    mouth = mouth_motion(text, length)
    upper = upper_face_motion(len(mouth), _stream(seed, "upper face", subject, sentence))
    return np.concatenate([mouth, upper], axis=1), np.round(wave * 32767).astype(np.int16), text


def identity(seed: int, subject: int) -> Float[np.ndarray, "I"]:
    """SHAPE parameters (I,) of a subject, counted from 0; six in a row have six hair styles."""
    block, place = divmod(subject, STYLE_COUNT)
    style = int(_stream(seed, "styles", block).permutation(STYLE_COUNT)[place])
    return random_identity(_stream(seed, "shape", f"toy{subject + 1:02d}"), style)


def lights(seed: int) -> Float[np.ndarray, "L 9 3"]:
    """The VALUES rooms of a set."""
    return light_set(VALUES, _stream(seed, "lights"))


def _save_pickle(path, tree):
    with replacing(path) as temporary, open(temporary, "wb") as file:
        pickle.dump(tree, file, protocol=2)


def _save_array(path, array):
    with replacing(path) as temporary:
        np.save(temporary, array)


def _save_text(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text)


def _save_mesh(path, vertices, faces):
    """The mesh as a .ply of text."""
    corners = np.zeros(len(faces), [("vertex_indices", "i4", 3)])
    corners["vertex_indices"] = faces
    elements = [PlyElement.describe(np.rec.fromarrays(vertices.T, names="x, y, z"), "vertex"),
                PlyElement.describe(corners, "face")]
    with replacing(path) as temporary:
        PlyData(elements, text=True).write(temporary)


def _save_takes(folder, takes, identities):
    """data_verts.npy (N, V, 3) in metres, take by take, and the true expression (N, E)."""
    expression = np.concatenate([take for take, _, _ in takes.values()]).astype(np.float32)
    _save_array(folder / "expression.npy", expression)
    with replacing(folder / "data_verts.npy") as temporary:
        shape = (len(expression), *model().mean.shape)
        meshes = new_array(temporary, np.float32, shape)
        start = 0
        for (subject, _), (take, _, _) in takes.items():
            meshes[start:start + len(take)] = head_vertices(identities[subject], take) / 10
            start += len(take)
        meshes.flush()


def _save_index(folder, takes):
    """The two pickles that say which meshes and which sound belong to which take."""
    index, audio, row = {}, {}, 0
    for (subject, sentence), (take, wave, _) in takes.items():
        index.setdefault(subject, {})[sentence] = {frame: row + frame for frame in range(len(take))}
        audio.setdefault(subject, {})[sentence] = {"audio": wave, "sample_rate": SAMPLE_RATE}
        row += len(take)
    _save_pickle(folder / "subj_seq_to_idx.pkl", index)
    _save_pickle(folder / "raw_audio_fixed.pkl", audio)


def _order(seed, subject, factor):
    """The WORN albedos (or lights) that a subject, counted from 0, is trained on, in its own order.

    The subjects of a block of VALUES take consecutive stretches of one shuffled circle, in shuffled
    order: a Latin square, so that each value is worn by equally many of them.
    """
    block, place = divmod(subject, VALUES)
    square = _stream(seed, "square", factor, block)
    circle, starts = square.permutation(VALUES), square.permutation(VALUES)
    worn = circle[(starts[place] + np.arange(WORN)) % VALUES]
    return [int(value) for value in _stream(seed, "order", factor, subject).permutation(worn)]


def design(subjects: int, sentences: int, seed: int) -> tuple[np.ndarray, list[dict]]:
    """Which albedo and light each take has: pairs (subjects, sentences, 2), and what none shows.

    A subject wears 4 of the 6 albedos and stands in 4 of the 6 lights. Its last sentence, held out
    by data.prepare.split, repeats the pair of an earlier one: there only the speech is new. Beside
    it stand the recombinations {"identity": subject's number, "albedo", "light"}: both are known
    from other subjects, and neither was seen with this one.
    """
    pairs = np.zeros((subjects, sentences, 2), np.int64)
    for s in range(subjects):
        albedos, lights = _order(seed, s, "albedo"), _order(seed, s, "light")
        for k in range(sentences):  # sixteen different pairs, then again
            pairs[s, k] = albedos[k % WORN], lights[(k + k // WORN) % WORN]
        if sentences > 1:
            pairs[s, -1] = pairs[s, s % (sentences - 1)]
    trained = pairs[:, :-1] if sentences > 1 else pairs
    known = [set(trained[..., f].ravel().tolist()) for f in (0, 1)]
    unseen = []
    for s in range(subjects):
        albedos, lights = (sorted(known[f] - set(trained[s, :, f].tolist())) for f in (0, 1))
        unseen += [{"identity": s, "albedo": a, "light": b} for a in albedos for b in lights]
    return pairs, unseen


def _save_factors(folder, takes, identities, seed):
    """What the real set lacks: true colours, lights, shapes, texts, and which take has which."""
    names = list(identities)
    pairs, unseen = design(len(names), len(takes) // len(names), seed)
    factors = {name: {} for name in names}
    for (subject, sentence), (_, _, text) in takes.items():
        albedo_, light = pairs[names.index(subject), len(factors[subject])]
        factors[subject][sentence] = {"albedo": int(albedo_), "light": int(light), "phonemes": text}
    _save_array(folder / "albedo.npy", np.stack([albedo(palette) for palette in PALETTES]))
    _save_array(folder / "gloss.npy", gloss())
    _save_array(folder / "lights.npy", lights(seed))
    _save_array(folder / "identity.npy", np.stack(list(identities.values())))
    _save_text(folder / "factors.json", json.dumps(factors, indent=1))
    unseen = [{**one, "identity": names[one["identity"]]} for one in unseen]
    _save_text(folder / "recombinations.json", json.dumps(unseen, indent=1))


def write_toyset(folder: str | Path, subjects: int = 6, sentences: int = SENTENCES,
                 seconds: float = 2.0, seed: int = 0) -> None:
    """Write stand-in heads in VOCASET's layout (Sec. 4.1): meshes at 60 fps, sound at 22 kHz.

    The layout's own files (data_verts.npy in metres, three pickles) and toy.ply, landmarks68.txt;
    and beside them the truth: albedo.npy (6, V, 3), gloss.npy (V,), lights.npy (6, 9, 3),
    factors.json {subject: {sentence: {albedo, light, phonemes}}}, recombinations.json [{identity,
    albedo, light}] of what no take shows (design), expression.npy (N, 8), an entry per mesh, and
    identity.npy (S, I), an entry per subject. Equal seeds give equal files. Raises InputError when
    the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"toy{s + 1:02d}" for s in range(subjects)]
    identities = {name: identity(seed, s) for s, name in enumerate(names)}
    takes = {(name, f"sentence{k + 1:02d}"): recording(seed, name, k, seconds)
             for name in names for k in range(sentences)}
    templates = {name: (neutral_head(identities[name]) / 10).astype(np.float32) for name in names}
    _save_pickle(folder / "templates.pkl", templates)
    _save_mesh(folder / "toy.ply", templates[names[0]], model().faces)
    _save_text(folder / "landmarks68.txt", " ".join(map(str, landmark_indices())) + "\n")
    _save_factors(folder, takes, identities, seed)
    _save_index(folder, takes)
    _save_takes(folder, takes, identities)  # last: its presence says that the folder is complete


def render_truth(identity: Float[np.ndarray, "I"], expression: Float[np.ndarray, "T E"],
                 colors: int | Float[np.ndarray, "V 3"], light: Float[np.ndarray, "9 3"],
                 head_to_world: Float[np.ndarray, "T 4 4"], size: int
                 ) -> tuple[UInt8[np.ndarray, "T {size} {size} 3"],
                            UInt8[np.ndarray, "T {size} {size}"]]:
    """Any combination of the factors: frames (T, H, W, 3) and masks (T, H, W), 255 = head.

    colors: the number of an albedo, or vertex colours (V, 3); light stands in the room. From a
    written set's factors and its takes' head motion come the frames of data.prepare.load; other
    factors show what was never recorded.
    """
    colors = albedo(PALETTES[colors]) if isinstance(colors, int) else colors
    vertices = head_vertices(identity, expression)
    faces = model().faces
    return rasteriser.portraits(vertices, head_to_world, faces, colors, gloss(), light, size)
