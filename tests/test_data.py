"""test_data.py - takes from VOCASET folders and clips (data/): right ones, and wrong ones."""

import os
import pickle
import shutil
import struct
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data import clip, mesh_takes, safe_pickle
from data.crops import CANONICAL, MOUTH_TOP, STABLE, mouth_crop, similarity, stable_crop
from data.look import PALETTES, paint_head
from data.prepare import check_source, chosen, load, split
from data.voca import FLAME_EYES, FLAME_LANDMARKS, VOCA_SPLIT, Voca, choose, read_ply
from synthetic import rasteriser
from synthetic.cameras import frontal_camera, project
from tools import media
from tools.errors import InputError
from voca_fixture import make_voca, py2_pickle, write_ply

REAL = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
needs_real = pytest.mark.skipif(not (REAL / "real_clip.mp4").is_file(),
                                reason="../shared/data is absent")
FIRST, SECOND = "FaceTalk_fixture_01_TA", "FaceTalk_fixture_02_TA"


@pytest.fixture(scope="module")
def voca(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voca")
    make_voca(folder, seconds=0.5)
    return folder


@pytest.fixture
def own_voca(tmp_path):
    """A folder that a test may spoil."""
    make_voca(tmp_path / "v", subjects=1, sentences=2, seconds=0.2)
    return tmp_path / "v"


@pytest.fixture(scope="module")
def takes(voca, tmp_path_factory):
    return load(voca, 64, tmp_path_factory.mktemp("cache"))


def edit(folder, name, change):
    """Load a fixture's pickle with NumPy's own reader, change it, write it back."""
    path = folder / f"{name}.pkl"
    tree = pickle.loads(path.read_bytes(), encoding="latin1")
    change(tree)
    path.write_bytes(py2_pickle(tree))


def one_line(folder, cache, *words, **options):
    with pytest.raises(InputError) as caught:
        load(folder, 32, cache, **options)
    message = str(caught.value)
    assert "\n" not in message and ";" in message and all(w in message for w in words), message


# ---- pickles

def test_python_2_pickles_read_as_numpy_reads_them(voca):
    for name in ("templates", "raw_audio_fixed", "subj_seq_to_idx"):
        want = pickle.loads((voca / f"{name}.pkl").read_bytes(), encoding="latin1")
        got = safe_pickle.safe_pickle(voca / f"{name}.pkl")
        assert list(got) == list(want) == [FIRST, SECOND]
        if name == "templates":
            np.testing.assert_array_equal(got[FIRST], want[FIRST])
        elif name == "raw_audio_fixed":
            a, b = got[FIRST]["sentence01"], want[FIRST]["sentence01"]
            np.testing.assert_array_equal(a["audio"], b["audio"])
            assert a["audio"].dtype == np.int16 and a["sample_rate"] == 22000
        else:
            assert got == want


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("array", [np.arange(6, dtype=">i2").reshape(2, 3),
                                   np.asfortranarray(np.eye(3)),
                                   np.array(7.5, np.float32), np.array([True, False])])
def test_python_3_pickles(tmp_path, protocol, array):
    tree = {"a": [array, (1, "é", None)], "s": np.float32(0.5)}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(tree, protocol))
    got = safe_pickle.safe_pickle(tmp_path / "a.pkl")
    np.testing.assert_array_equal(got["a"][0], array)
    assert got["a"][0].dtype == array.dtype and got["a"][1] == (1, "é", None) and got["s"] == 0.5


class Payload:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("wrap", [lambda p: {FIRST: p},
                                  lambda p: {FIRST: np.array([p], dtype=object)},
                                  lambda p: {FIRST: [np.zeros(3), (p,)]}])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_hostile_pickle_is_refused_and_does_not_run(tmp_path, wrap, protocol):
    victim = tmp_path / "ran"
    for call in ((os.system, f"touch {victim}"), (eval, f"open({str(victim)!r}, 'w')")):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(wrap(Payload(*call)), protocol))
        with pytest.raises(InputError, match="a.pkl.*(system|eval)"):
            safe_pickle.safe_pickle(tmp_path / "a.pkl")
        assert not victim.exists(), "the pickle ran"


def test_object_arrays_are_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": np.array([1, "x"], dtype=object)}, 2))
    with pytest.raises(InputError, match="a.pkl.*refused"):
        safe_pickle.safe_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize("raw", [b"", b"no pickle at all", py2_pickle({"a": np.zeros(9)})[:-30],
                                 py2_pickle({"a": np.zeros(9)}).replace(struct.pack("<i", 9),
                                                                        struct.pack("<i", 8))])
def test_a_damaged_pickle_is_one_line(tmp_path, raw):
    (tmp_path / "a.pkl").write_bytes(raw)
    with pytest.raises(InputError, match="a.pkl: (is damaged|refused)"):
        safe_pickle.safe_pickle(tmp_path / "a.pkl")


# ---- .ply

@pytest.mark.parametrize("kind", ["ascii", "binary", "big", "crlf", "normals"])
def test_faces_of_a_ply(tmp_path, kind):
    faces = np.array([[0, 1, 2], [2, 1, 3]])
    path = tmp_path / "a.ply"
    if kind == "binary":
        write_ply(path, 4, faces)
    else:
        more = "property float nx\nproperty uchar red\n" if kind == "normals" else ""
        text = ("ply\nformat ascii 1.0\ncomment by hand\nelement vertex 4\nproperty float x\n"
                f"property float y\nproperty float z\n{more}element face 2\n"
                "property list uchar int vertex_index\nend_header\n")
        text += "0 0 0\n" * 4 + "3 0 1 2\n3 2 1 3\n"
        if kind in ("normals", "big"):  # binary; normals: 3 floats, 1 float and 1 byte per vertex
            order, sign, size = {"normals": ("little", "<", 17), "big": ("big", ">", 12)}[kind]
            header = text[:text.index("0 0 0")].replace("ascii", f"binary_{order}_endian").encode()
            listed = b"".join(struct.pack(f"{sign}B3i", 3, *face) for face in faces)
            path.write_bytes(header + bytes(size) * 4 + listed)
        else:
            path.write_bytes(text.replace("\n", "\r\n" if kind == "crlf" else "\n").encode())
    count, got = read_ply(path)
    assert count == 4
    np.testing.assert_array_equal(got, faces)


@pytest.mark.parametrize("spoil", [lambda b: b[:200], lambda b: b"not a ply", lambda b: b[:-4],
                                   lambda b: b.replace(b"little", b"big"),
                                   lambda b: b[:-4] + b"\xff\xff\xff\x7f"])
def test_a_spoilt_ply_is_one_line(own_voca, tmp_path, spoil):
    path = own_voca / "FLAME_sample.ply"
    path.write_bytes(spoil(path.read_bytes()))
    one_line(own_voca, tmp_path / "c", "FLAME_sample.ply")


# ---- what is missing or wrong in a folder

@pytest.mark.parametrize("name", ["data_verts.npy", "subj_seq_to_idx.pkl", "raw_audio_fixed.pkl",
                                  "templates.pkl"])
def test_a_missing_file_is_named(own_voca, tmp_path, name):
    (own_voca / name).unlink()
    one_line(own_voca, tmp_path / "c", name, "voca.is.tue.mpg.de")
    with pytest.raises(InputError, match=name):
        check_source(own_voca)


def test_other_wrong_folders(own_voca, tmp_path):
    one_line(tmp_path / "gone", tmp_path / "c", "gone", "voca.is.tue.mpg.de", "landmarks.npy")
    (own_voca / "FLAME_sample.ply").rename(own_voca / "other.txt")
    one_line(own_voca, tmp_path / "c", ".ply", "5023")
    (own_voca / "templates").mkdir()
    (own_voca / "other.txt").rename(own_voca / "templates" / "x.ply")
    found = load(own_voca, 32, tmp_path / "c", sentences=1)
    assert len(found) == 1, "faces in templates/ are found too"
    edit(own_voca, "templates", lambda t: t.update({FIRST: t[FIRST][:-1]}))
    one_line(own_voca, tmp_path / "c", "templates.pkl", FIRST)
    edit(own_voca, "templates", lambda t: t.update({"x": t.pop(FIRST)}))
    one_line(own_voca, tmp_path / "c", "templates.pkl", FIRST)


def test_a_truncated_or_foreign_npy(own_voca, tmp_path):
    path = own_voca / "data_verts.npy"
    whole = path.read_bytes()
    for raw in (whole[:len(whole) // 2], whole[:40], b""):
        path.write_bytes(raw)
        one_line(own_voca, tmp_path / "c", "data_verts.npy", "damaged")
    np.save(path, np.zeros((4, 5023)))
    one_line(own_voca, tmp_path / "c", "data_verts.npy", "want (N, V, 3)")
    np.save(path, np.zeros((3, 5023, 3), np.float32))
    one_line(own_voca, tmp_path / "c", "subj_seq_to_idx.pkl", "has 3")
    np.save(path, np.zeros((99, 60, 3), np.float32))
    one_line(own_voca, tmp_path / "c", ".ply with 60 vertices")


def test_unknown_names_list_what_exists(voca, tmp_path):
    one_line(voca, tmp_path, "nobody", FIRST, SECOND, subjects=["nobody"])
    one_line(voca, tmp_path, "sentence09", "sentence01", "sentence02",
             sentences=["sentence01", "sentence09"])
    one_line(voca, tmp_path, "0 sentences", sentences=0)


def test_pickles_of_another_layout(own_voca, tmp_path):
    (own_voca / "subj_seq_to_idx.pkl").write_bytes(py2_pickle({FIRST: {"sentence01": 3}}))
    one_line(own_voca, tmp_path, "subj_seq_to_idx.pkl", "laid out")


# ---- takes of meshes

def test_shapes_and_types(takes):
    assert [t.name for t in takes] == [f"{s}/sentence0{k}" for s in (FIRST, SECOND) for k in (1, 2)]
    for take in takes:
        assert take.frames.shape == (15, 64, 64, 3) and take.frames.dtype == np.uint8
        assert take.masks.shape == (15, 64, 64) and take.background.shape == (64, 64, 3)
        assert take.landmarks.shape == (15, 68, 2) and take.cam_to_head.shape == (15, 4, 4)
        assert take.f_exp.shape == (15, len(take.exp_basis)) and take.exp_basis.shape[1:] == (68, 3)
        assert take.kind == "mesh" and take.fps == 30 and len(take.wave) == 8000
        assert set(take.labels) == {"id", "al", "ill"}
    assert [t.labels["id"] for t in takes] == [0, 0, 1, 1]


def test_60_frames_a_second_become_30_and_missing_frames_keep_their_ids(own_voca, tmp_path):
    edit(own_voca, "subj_seq_to_idx", lambda t: [t[FIRST]["sentence01"].pop(f)
                                                 for f in (0, 4, 6, 7)])
    take = load(own_voca, 32, tmp_path / "c", sentences=["sentence01"])[0]
    assert take.frame_ids.tolist() == [1, 4, 5], \
        "12 frames at 60 a second, of which 0, 4, 6 and 7 are missing"
    full = load(own_voca, 32, tmp_path / "c", sentences=["sentence02"])[0]
    assert full.frame_ids.tolist() == [0, 1, 2, 3, 4, 5]


def test_sentences_without_sound_or_frames_are_skipped_aloud(own_voca, tmp_path, capsys):
    edit(own_voca, "raw_audio_fixed", lambda t: t[FIRST].pop("sentence01"))
    assert [t.name for t in load(own_voca, 32, tmp_path / "c")] == [f"{FIRST}/sentence02"]
    assert f"skipped {FIRST}/sentence01: it has no sound" in capsys.readouterr().out
    edit(own_voca, "subj_seq_to_idx", lambda t: t[FIRST].update({"sentence02": {}}))
    one_line(own_voca, tmp_path / "c", "none of the 2 sentences")
    assert "no frames" in capsys.readouterr().out


def test_rows_are_the_meshes_that_the_index_names(voca, takes):
    """Landmarks of frame 7 of one take, by hand: vertex, axes, origin, camera, pixel."""
    index = pickle.loads((voca / "subj_seq_to_idx.pkl").read_bytes(), encoding="latin1")
    template = pickle.loads((voca / "templates.pkl").read_bytes(), encoding="latin1")[SECOND]
    take = takes[3]
    marks = FLAME_LANDMARKS
    origin = (template[marks[0]] + template[marks[16]]) / 2
    mesh_row = np.load(voca / "data_verts.npy")[index[SECOND]["sentence02"][14]]
    for k in (8, 30, 57, 66):
        head = (mesh_row[marks[k]] - origin) * 10
        x, y, z = np.linalg.inv(take.cam_to_head[7]) @ [*head, 1] @ np.eye(4)[:, :3]
        u, v = take.K[0, 0] * x / z + take.K[0, 2], take.K[1, 1] * y / z + take.K[1, 2]
        np.testing.assert_allclose(take.landmarks[7, k], [u, v], atol=1e-4)
    offsets = (mesh_row[marks] - template[marks]) * 10
    rebuilt = np.tensordot(take.f_exp[7], take.exp_basis, 1)
    assert np.abs(rebuilt - offsets).max() < 0.02, "F_exp must give the landmarks back (dm)"


def test_pictures_lie_under_their_landmarks(takes):
    """Lip landmarks are redder than the cheeks around them; masks hold the landmarks; outside is
    background."""
    for take in takes:
        t = int(np.argmin(take.f_exp.std(1)))
        image, mask = take.frames[t].astype(float), take.masks[t]
        at = np.floor(take.landmarks[t]).astype(int)
        assert (mask[at[17:, 1], at[17:, 0]] > 250).all()
        redness = image[..., 0] / image[..., 1]
        lips = redness[at[48:60, 1], at[48:60, 0]]
        cheeks = redness[at[[31, 35], 1], at[[31, 35], 0] + [-4, 4]]
        assert lips.mean() > cheeks.mean()
        np.testing.assert_array_equal(take.frames[t][mask == 0], take.background[mask == 0])


def test_the_mouth_opens_with_the_sound(tmp_path):
    openings = make_voca(tmp_path / "v", 1, 1, 1.0)
    take = load(tmp_path / "v", 64, tmp_path / "c")[0]
    gap = np.linalg.norm(take.landmarks[:, 62] - take.landmarks[:, 66], axis=1)
    loud = [np.abs(take.wave[int(i / 30 * 16000):][:320]).mean() for i in take.frame_ids]
    assert np.corrcoef(gap, openings[FIRST]["sentence01"][::2])[0, 1] > 0.95
    assert np.corrcoef(gap, loud)[0, 1] > 0.9, "sound and pictures are out of step"


def test_factors_vary_apart(tmp_path):
    make_voca(tmp_path / "v", 2, 8, 0.1)
    labels = [t.labels for t in load(tmp_path / "v", 32, tmp_path / "c")]
    for name in ("al", "ill"):
        of = [{label[name] for label in labels if label["id"] == i} for i in (0, 1)]
        assert min(map(len, of)) > 1 and of[0] & of[1], \
            f"{name} must vary within a person and be shared between people"
    assert len({(label["al"], label["ill"]) for label in labels}) > 5


def test_the_cache_is_reused_and_follows_its_source(own_voca, tmp_path, monkeypatch):
    calls = []
    render = rasteriser.render_mesh
    counted = lambda *a, **k: calls.append(1) or render(*a, **k)
    monkeypatch.setattr(rasteriser, "render_mesh", counted)
    first = load(own_voca, 32, tmp_path / "c")
    assert len(calls) == 12
    again = load(own_voca, 32, tmp_path / "c")
    assert len(calls) == 12, "rendered again although nothing changed"
    np.testing.assert_array_equal(first[1].frames, again[1].frames)
    load(own_voca, 32, tmp_path / "c", seed=1)
    assert len(calls) == 24, "another seed is other frames"
    os.utime(own_voca / "data_verts.npy", (1, 1))
    load(own_voca, 32, tmp_path / "c")
    assert len(calls) == 36, "the source changed"
    assert all(p.name.endswith((".npy",)) and p.name[0] != "." for p in (tmp_path / "c").iterdir())


def test_a_render_that_fails_leaves_no_cache(own_voca, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise KeyboardInterrupt
    monkeypatch.setattr(rasteriser, "render_mesh", fail)
    with pytest.raises(KeyboardInterrupt):
        load(own_voca, 32, tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []


def test_a_long_rendering_on_every_core_gives_the_same_frames(own_voca, tmp_path, monkeypatch):
    alone = load(own_voca, 32, tmp_path / "a", sentences=1)[0]
    monkeypatch.setattr(mesh_takes, "POOL_FROM", 0)
    monkeypatch.setattr(mesh_takes, "BLOCK", 4)  # 6 frames: two processes get some
    monkeypatch.setattr(mesh_takes.os, "cpu_count", lambda: 2)
    calls = []
    # here, not in the other processes
    monkeypatch.setattr(rasteriser, "render_mesh", lambda *a, **k: calls.append(1))
    together = load(own_voca, 32, tmp_path / "b", sentences=1)[0]
    assert not calls
    np.testing.assert_array_equal(alone.frames, together.frames)
    np.testing.assert_array_equal(alone.masks, together.masks)


def test_a_small_disk_is_one_line(own_voca, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("D", (), {"free": 1000})())
    one_line(own_voca, tmp_path / "c", "needed", "free")


def test_memory_does_not_grow_with_the_data(tmp_path):
    make_voca(tmp_path / "v", 1, 1, 0.1)
    head = np.load(tmp_path / "v" / "data_verts.npy")[0]
    rows = 2000  # 120 MB of vertices on disk
    big = np.lib.format.open_memmap(tmp_path / "v" / "data_verts.npy", "w+", np.float32,
                                    (rows, 5023, 3))
    big[-10:] = head
    del big
    index = {FIRST: {"sentence01": {f: rows - 10 + f for f in range(10)}}}
    (tmp_path / "v" / "subj_seq_to_idx.pkl").write_bytes(py2_pickle(index))
    tracemalloc.start()
    take = load(tmp_path / "v", 32, tmp_path / "c")[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(take.frames, np.memmap) and isinstance(take.masks, np.memmap)
    assert peak < 60e6, f"{peak / 1e6:.0f} MB were held at once"


def test_paint_has_every_part():
    from voca_fixture import head
    points, _ = head()
    marks = np.array(FLAME_LANDMARKS)
    points = points - points[marks[[0, 16]]].mean(0)
    for palette, (skin, lips, hair, iris) in enumerate(PALETTES):
        colors, gloss = paint_head(points, marks, palette)
        near = lambda a, b: np.allclose(a, b, atol=1e-6)
        assert near(colors[marks[[29, 33, 3, 13]]], skin), "nose and cheeks are skin"
        assert near(colors[marks[[51, 57, 62]]], lips) and near(colors[marks[[19, 24]]], hair)
        for place in (points[:3931, 1].argmax(), points[:3931, 2].argmin()):
            assert near(colors[place], hair)
        for ball in FLAME_EYES:
            front, back = points[ball][:, 2].argmax(), points[ball][:, 2].argmin()
            assert near(colors[ball][front], 0.04) and near(colors[ball][back], 0.93)
            assert (np.abs(colors[ball] - iris) < 1e-6).all(1).sum() > 5
            assert (gloss[ball] > 0.5).all()


def test_landmark_vertices_are_flames():
    if REAL.is_dir():
        listed = (REAL / "flame_landmarks68.txt").read_text().split()
        assert FLAME_LANDMARKS == [int(i) for i in listed]
    assert len(set(FLAME_LANDMARKS)) == 68


def test_vocas_split_is_the_default_when_its_people_are_there():
    people = VOCA_SPLIT
    assert [len(people[k]) for k in ("train", "val", "test")] == [8, 2, 2]
    assert len(set(sum(people.values(), []))) == 12
    index = {name: {"sentence01": {0: 0}} for name in people["train"][:2] + people["test"]}
    folder = Voca(Path("v"), np.zeros((1, 1, 3)), index, {}, {}, np.zeros((1, 3), int),
                  np.zeros(68, int), [])
    assert [s for s, _ in choose(folder, None, None)] == people["train"][:2]
    assert [s for s, _ in choose(folder, 1, None)] == people["train"][:1]
    assert [s for s, _ in choose(folder, people["test"], None)] == people["test"]


def test_chosen():
    assert chosen(None) is None and chosen("3") == 3 and chosen("a, b") == ["a", "b"]


# ---- split and crops

def test_split_holds_out_sentences_or_the_last_eleventh(takes):
    train, held = split(takes)
    assert [i for i, _ in train] == [0, 2] and [i for i, _ in held] == [1, 3]
    assert all(len(rows) == 15 for _, rows in train + held)
    train, held = split(takes[:1])
    assert train[0][1].tolist() == list(range(14)) and held[0][1].tolist() == [14]


def moved(points, angle, scale, shift):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return points @ np.array([[c, s], [-s, c]]) + shift


def test_similarity_finds_a_known_one_and_ignores_noise_as_least_squares_does():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(5, 9, 2)) * 30
    got = similarity(source, moved(source[0], 0.3, 1.7, [4, -9]))
    np.testing.assert_allclose(got[0][:, :2], 1.7 * np.array([[np.cos(0.3), -np.sin(0.3)],
                                                              [np.sin(0.3), np.cos(0.3)]]))
    np.testing.assert_allclose(got[0][:, 2], [4, -9], atol=1e-9)
    # nothing to do with it: compare with SciPy's least-squares rotation
    target = rng.normal(size=(9, 2))
    flat = lambda p: np.column_stack([p - p.mean(0), np.zeros(9)])
    for M, points in zip(similarity(source, target), source):
        R = Rotation.align_vectors(flat(target), flat(points))[0].as_matrix()[:2, :2]
        if R[0, 0] * R[1, 1] > 0:  # in 3D a mirror image can be had by turning over
            np.testing.assert_allclose(M[:, :2] / np.hypot(*M[:, 0]), R, atol=1e-6)


@pytest.fixture(scope="module")
def card():
    """A smooth picture with a face's landmarks, and the same seen turned, scaled and shifted."""
    y, x = np.mgrid[:240, :240] + 0.5
    def picture(u, v):
        return np.stack([128 + 90 * np.sin(u / 9), 128 + 90 * np.sin(v / 11),
                         128 + 90 * np.sin((u + v) / 13)], -1)
    face = np.random.default_rng(1).uniform(60, 180, (68, 2))
    face[STABLE] = CANONICAL * 120 + [60, 50]
    face[48:] = [120, 140] + np.random.default_rng(2).normal(size=(20, 2)) * 8
    views, marks = [], []
    for angle, scale, shift in ((0, 1, (0, 0)), (0.3, 1.2, (20, -50)), (-0.4, 0.8, (-30, 70))):
        back = moved(np.stack([x, y], -1).reshape(-1, 2) - shift, -angle, 1 / scale,
                     [0, 0]).reshape(240, 240, 2)
        views.append(picture(back[..., 0], back[..., 1]).round().astype(np.uint8))
        marks.append(moved(face, angle, scale, np.array(shift)))
    return np.stack(views), np.stack(marks), picture


@pytest.mark.parametrize("crop", [stable_crop, mouth_crop])
def test_crops_remove_turn_scale_and_shift(card, crop):
    frames, landmarks, _ = card
    a, b, c = crop(frames, landmarks, 96).astype(int)
    assert np.abs(a - b)[8:-8, 8:-8].mean() < 3 and np.abs(a - c)[8:-8, 8:-8].mean() < 5


def test_crop_is_right_to_a_fraction_of_a_pixel(card):
    """Pixel (i, j) of the crop shows the picture where the canonical square says, centres at
    +0.5."""
    frames, landmarks, picture = card
    for out in (120, 60, 30, 90, 300):  # one to one; reductions; an enlargement
        got = stable_crop(frames[:1], landmarks[:1], out)[0].astype(float)
        v, u = (np.mgrid[:out, :out] + 0.5) * 120 / out + np.array([50, 60])[:, None, None]
        errors = {d: np.abs(got - picture(u + d, v + d))[3:-3, 3:-3].mean()
                  for d in (-0.25, 0, 0.25)}
        assert min(errors, key=errors.get) == 0 and errors[0] < 6, errors


def test_mouth_crop_keeps_lip_motion(card):
    """The square stands still when the lips move: pictures that are alike give crops that are
    alike."""
    frames, landmarks, _ = card
    same, marks = np.repeat(frames[:1], 2, 0), np.repeat(landmarks[:1], 2, 0)
    marks[1, 48:] += [0, 12]
    a, b = mouth_crop(same, marks, 64)
    np.testing.assert_array_equal(a, b)
    # the mean, not one frame, sets it
    np.testing.assert_array_equal(mouth_crop(same, marks[::-1], 64)[0], a)


def test_the_blanked_part_of_a_stable_crop_holds_all_of_the_mouth(takes):
    for take in takes:
        moves = similarity(take.landmarks[:, STABLE], CANONICAL)
        lips = np.einsum("tij,tpj->tpi", moves[:, :, :2], take.landmarks[:, 48:])
        lips = lips + moves[:, None, :, 2]
        assert lips[..., 1].min() > MOUTH_TOP


# ---- clips

def make_clip(folder, frames=22, fps=25, size=(120, 160), sound=True):
    """A patch with landmarks that drifts over a still backdrop. Returns the path, the landmarks and
    the backdrop."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    backdrop = np.stack([60 + 0.8 * x, 200 - y, 90 + 0 * x], -1).astype(np.uint8)
    face = np.load(REAL / "real_clip.landmarks.npy")[0]
    face = (face - face.min(0)) / np.ptp(face[:, 1]) * 30
    pictures, marks = [], []
    for t in range(frames):
        at = np.array([20 + 90 * max(0, 2 * t / frames - 1), 60])  # it stays, then goes
        image = backdrop.copy()
        cv2.circle(image, tuple(int(v) for v in at + face.mean(0)), 18, (230, 30, 30), -1)
        pictures.append(image)
        marks.append(face + at)
    wave = np.sin(np.arange(int(frames / fps * 16000)) / 5).astype(np.float32) if sound else None
    media.write_video(folder / "talk.mp4", pictures, fps, wave)
    np.save(folder / "talk.landmarks.npy", np.array(marks, np.float32))
    return folder / "talk.mp4", np.array(marks), backdrop


@needs_real
def test_clip_errors(tmp_path):
    path, *_ = make_clip(tmp_path, sound=False)
    one_line(path, tmp_path / "c", "talk.mp4", "no sound")
    path, marks, _ = make_clip(tmp_path)
    np.save(tmp_path / "talk.landmarks.npy", marks[:-1].astype(np.float32))
    one_line(path, tmp_path / "c", "talk.landmarks.npy", "--detect")
    (tmp_path / "talk.landmarks.npy").unlink()
    one_line(path, tmp_path / "c", "talk.landmarks.npy", "requirements-landmarks.txt")


@needs_real
def test_clip_drops_frames_without_landmarks_and_halves_50_a_second(tmp_path):
    path, marks, _ = make_clip(tmp_path, fps=50)
    marks[[4, 7, 10]] = np.nan
    np.save(tmp_path / "talk.landmarks.npy", marks.astype(np.float32))
    take = load(path, 48, tmp_path / "c")[0]
    assert take.fps == 25 and take.kind == "clip"
    assert take.frame_ids.tolist() == [0, 1, 3, 4, 6, 7, 8, 9, 10]
    assert np.isfinite(take.landmarks).all() and len(take.frames) == len(take.cam_to_head) == 9


@needs_real
def test_the_real_clip(tmp_path):
    take = load(REAL / "real_clip.mp4", 96, tmp_path)[0]
    assert take.frames.shape == (200, 96, 96, 3) and take.fps == 25
    assert take.frame_ids.tolist() == list(range(200))
    assert len(take.wave) == 128000
    landmarks = np.load(REAL / "real_clip.landmarks.npy")
    scale = take.K[0, 0] / (2 * 512)  # the clip's own K: focal length 2 widths, centre (256, 256)
    shift = take.K[:2, 2] - scale * 256
    # one crop moves K and landmarks
    np.testing.assert_allclose(take.landmarks, landmarks * scale + shift, atol=1e-3)
    assert 96 / 512 <= scale < 96 / 400 and (shift <= 1e-9).all(), \
        "cropped to the head, and no further than the image"
    face = take.masks[:, 40:50, 40:50]
    assert take.masks[:, :4].max() == 0 and face.max() == 255, \
        "the mask is on the face, not on the edge"
    lips = np.array([frame[int(p[57, 1]), int(p[57, 0])]
                     for frame, p in zip(take.frames, take.landmarks)]).astype(float)
    assert (lips[:, 0] > lips[:, 1]).mean() > 0.95, \
        "lower lips are red: landmarks and pictures belong together"
    assert [len(r) for _, r in split([take])[0]] == [182] and split([take])[1][0][1][0] == 182
