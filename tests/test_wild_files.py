"""test_wild_files.py - files as they are found: copies of VOCASET with faults, full disks, locked files, signals."""

import errno
import json
import os
import pickle
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import train
from config import SMALL
from data import prepare as preparing
from data import take as takes_module
from data.corpus import Corpus
from data.look import LIGHTS, open_look
from data.people import listed_clips, numbered
from data.prepare import load
from data.take import cache_paths, have, write_pair
from data.voca import open_folder
from inference.run import Checkpoint, check_data, check_takes
from synthetic import dataset
from tools.errors import InputError, in_one_line, new_array, replacing, run_cli
from tools.log import COLUMNS, Log
from voca_fixture import make_voca, write_ply

ROOT = Path(__file__).resolve().parent.parent
WHO, SAID = "FaceTalk_fixture_01_TA", "sentence01"
NAN = float("nan")
FILES = {"index": "subj_seq_to_idx.pkl", "audio": "raw_audio_fixed.pkl", "templates": "templates.pkl"}


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voca")
    make_voca(folder, subjects=1, sentences=2, seconds=0.15)
    return folder


@pytest.fixture
def voca(master, tmp_path):
    """A folder of one person and two sentences of 5 frames that a test may spoil."""
    return shutil.copytree(master, tmp_path / "v")


def edit(folder, which, change):
    path = folder / FILES[which]
    tree = pickle.loads(path.read_bytes(), encoding="latin1")
    path.write_bytes(pickle.dumps(change(tree), 2))


def put(which, *keys, value):
    """A change of a tree: what lies under the keys becomes value; without keys, all of it."""
    def change(tree):
        branch = tree
        for key in keys[:-1]:
            branch = branch[key]
        if not keys:
            return value
        branch[keys[-1]] = value
        return tree
    return lambda folder: edit(folder, which, change)


def line_of(error):
    """The message of an InputError: one line that says what to do."""
    message = str(error)
    assert "\n" not in message and ";" in message, message
    return message


def refused(action, *words):
    with pytest.raises(InputError) as caught:
        action()
    message = line_of(caught.value)
    assert all(word in message for word in words), message
    return message


def shown(takes):
    """Names of the takes, all of whose pictures show a head."""
    for take in takes:
        assert (np.asarray(take.masks) > 250).mean((1, 2)).min() > 0.05, "a picture without a head"
        assert np.asarray(take.frames)[np.asarray(take.masks) > 250].mean() > 40, "a black head"
        assert np.isfinite(take.landmarks).all() and np.isfinite(take.wave).all()
    return [take.name.split("/")[1] for take in takes]


# ---- VOCASET's pickles: every field None, of a wrong type, of a wrong shape, empty, not a number

JUNK = [None, "text", b"\xff", 2.5, NAN, -1, 10**30, [], {}, [None], ["a", 1], [[1], [1, 2]], {"a": 1}, np.zeros(0),
        np.zeros((2, 3)), np.full((5023, 3), np.nan), np.zeros((5023, 3)), np.full(3000, np.nan), np.array(True), True]
FIELDS = [("index",), ("index", WHO), ("index", WHO, SAID), ("index", WHO, SAID, 2), ("index", WHO, SAID, "new frame"),
          ("index", WHO, SAID, None), ("index", WHO, SAID, 10**12), ("index", None), ("index", WHO, 7),
          ("audio",), ("audio", WHO), ("audio", WHO, SAID), ("audio", WHO, SAID, "audio"),
          ("audio", WHO, SAID, "sample_rate"), ("audio", 3), ("templates",), ("templates", WHO), ("templates", None)]


@pytest.mark.parametrize("field", FIELDS, ids=str)
def test_whatever_a_field_holds_it_is_refused_in_one_line_left_out_or_harmless(master, tmp_path, field, capsys):
    which, *keys = field
    strange = keys and not isinstance(keys[-1], str) or keys[-1:] == ["new frame"]
    for number, value in enumerate([0, None, "text"] if strange else JUNK):
        folder = shutil.copytree(master, tmp_path / f"v{number}")
        put(which, *keys, value=value)(folder)
        capsys.readouterr()
        try:
            names = shown(load(folder, 32, tmp_path / f"c{number}"))
        except InputError as error:
            message, said = line_of(error), capsys.readouterr().out
            if "none of the" not in message:
                assert FILES[which] in message, (value, message)
                if SAID in keys:
                    assert WHO in message and SAID in message, (value, message)
            else:
                assert said.count("skipped") == 2 and FILES[which] in said, (value, said)
            assert not list((tmp_path / f"c{number}").glob("*")), "something was written"
        else:
            lines = capsys.readouterr().out
            assert names == ["sentence01", "sentence02"] or (
                names == ["sentence02"] and f"skipped {WHO}/{SAID}" in lines and FILES[which] in lines), (value, names)
        shutil.rmtree(folder)


@pytest.mark.parametrize("change, words", [
    (put("audio", WHO, SAID, "sample_rate", value="22 kHz"), ["raw_audio_fixed.pkl", WHO, SAID, "'22 kHz'", "4000"]),
    (put("audio", WHO, SAID, value={"audio": np.zeros(4000, np.int16)}), ["raw_audio_fixed.pkl", WHO, SAID, "None"]),
    (put("audio", WHO, SAID, "sample_rate", value=22), ["sample_rate is 22,", "samples a second"]),
    (put("audio", WHO, SAID, "audio", value=np.full(4000, np.nan)), ["raw_audio_fixed.pkl", WHO, SAID, "not numbers"]),
    (put("audio", WHO, SAID, value=np.zeros(4000, np.int16)), ["raw_audio_fixed.pkl", WHO, SAID, "laid out"]),
    (put("index", WHO, SAID, 4, value=99), ["subj_seq_to_idx.pkl", WHO, SAID, "frame 4 is row 99", "has 18 rows"]),
    (put("index", WHO, SAID, 4, value="4"), ["subj_seq_to_idx.pkl", WHO, SAID, "row '4'"]),
    (put("templates", WHO, value=None), ["templates.pkl", WHO, "missing"])])
def test_a_wrong_field_is_named_with_its_file_subject_and_sentence(voca, tmp_path, change, words):
    change(voca)
    refused(lambda: load(voca, 32, tmp_path / "c"), *words)
    assert not (tmp_path / "c").exists(), "something was written"


@pytest.mark.parametrize("change, said", [
    (put("audio", WHO, SAID, value=None), "no sound in raw_audio_fixed.pkl"),
    (put("audio", WHO, SAID, "audio", value=None), "no sound in raw_audio_fixed.pkl"),
    (put("audio", WHO, SAID, "audio", value=np.zeros(0, np.int16)), "no sound in raw_audio_fixed.pkl"),
    (put("index", WHO, SAID, value=None), "subj_seq_to_idx.pkl"),
    (put("index", WHO, SAID, value={0: 0}), "subj_seq_to_idx.pkl"),
    (put("index", WHO, SAID, value={frame: None for frame in range(9)}), "subj_seq_to_idx.pkl")])
def test_a_sentence_of_which_there_is_nothing_is_left_out_aloud(voca, tmp_path, change, said, capsys):
    change(voca)
    assert shown(load(voca, 32, tmp_path / "c")) == ["sentence02"]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("skipped")]
    assert len(lines) == 1 and f"{WHO}/{SAID}" in lines[0] and said in lines[0]


def test_a_frame_whose_row_is_none_is_left_out_and_so_is_one_beyond_the_sound(voca, tmp_path, capsys):
    put("index", WHO, SAID, 4, value=None)(voca)
    put("index", WHO, "sentence02", 600, value=0)(voca)
    first, second = load(voca, 32, tmp_path / "c")
    assert first.frame_ids.tolist() == [0, 1, 3, 4] and second.frame_ids.tolist() == [0, 1, 2, 3, 4]
    assert f"{WHO}/sentence02: left out 1 of 6 frames" in capsys.readouterr().out


@pytest.mark.parametrize("rate", [np.int64(22000), 22000.0, np.array([[22000]]), 22000])
def test_a_rate_may_be_any_number(voca, tmp_path, rate):
    put("audio", WHO, SAID, "sample_rate", value=rate)(voca)
    assert len(load(voca, 32, tmp_path / "c", sentences=[SAID])[0].wave) == 0.15 * 16000


# ---- meshes: units, and vertices that are none

@pytest.mark.parametrize("scale, unit", [(1000, "millimetres"), (100, "centimetres"), (10, "decimetres"), (1e-3, ""),
                                         (0, "")])
def test_another_unit_is_refused_and_named(voca, tmp_path, scale, unit):
    before = (voca / "templates.pkl").read_bytes()
    edit(voca, "templates", lambda tree: {who: shape * scale for who, shape in tree.items()})
    refused(lambda: load(voca, 32, tmp_path / "c"), "templates.pkl", WHO, "0.1 to 1 m", unit, "in metres")
    (voca / "templates.pkl").write_bytes(before)
    verts = np.load(voca / "data_verts.npy")
    verts[9:] *= scale
    np.save(voca / "data_verts.npy", verts)
    refused(lambda: load(voca, 32, tmp_path / "c"), "data_verts.npy", WHO, "sentence02", "0.1 to 1 m", unit)
    assert not (tmp_path / "c").exists(), "something was written"
    assert shown(load(voca, 32, tmp_path / "c", sentences=[SAID])) == [SAID], "the other sentence is sound"


@pytest.mark.parametrize("vertex, value", [(slice(None), np.nan), (17, np.nan), (4000, -np.inf)])
def test_vertices_that_are_no_numbers_are_named(voca, tmp_path, vertex, value):
    verts = np.load(voca / "data_verts.npy")
    verts[13, vertex, 1] = value
    np.save(voca / "data_verts.npy", verts)
    refused(lambda: load(voca, 32, tmp_path / "c"), "data_verts.npy", WHO, "sentence02", "row 13", "NaN")
    edit(voca, "templates", lambda tree: {WHO: np.where(np.arange(5023)[:, None] == 7, np.nan, tree[WHO])})
    refused(lambda: load(voca, 32, tmp_path / "c"), "templates.pkl", WHO, "NaN")


def test_a_head_that_is_elsewhere_gives_no_empty_pictures(voca, tmp_path):
    verts = np.load(voca / "data_verts.npy")
    verts[9:] += [3, 0, 0]
    np.save(voca / "data_verts.npy", verts)
    refused(lambda: load(voca, 32, tmp_path / "c"), "data_verts.npy", WHO, "sentence02", "does not show the head")
    assert not any("sentence02" in path.name for path in (tmp_path / "c").iterdir())


@pytest.mark.parametrize("spoil", [
    lambda raw: raw.replace(b"'shape': (", b"'shape': [(("), lambda raw: raw.replace(b"{", b"(", 1),
    lambda raw: raw.replace(b"False", b"Fa\xffse"), lambda raw: raw[:9] + b"\xff" + raw[10:]])
def test_a_garbled_header_is_one_line(voca, tmp_path, spoil):
    path = voca / "data_verts.npy"
    path.write_bytes(spoil(path.read_bytes()))
    refused(lambda: load(voca, 32, tmp_path / "c"), "data_verts.npy", "damaged")


def test_an_archive_under_that_name_is_one_line(voca, tmp_path):
    np.savez(tmp_path / "a.npz", np.zeros(3))
    shutil.move(tmp_path / "a.npz", voca / "data_verts.npy")
    refused(lambda: load(voca, 32, tmp_path / "c"), "data_verts.npy", "damaged")


# ---- .ply: which of several

@pytest.fixture
def faces(voca):
    return open_folder(voca).faces


def test_the_ply_that_fits_is_taken(voca, faces):
    good = voca / "FLAME_sample.ply"
    (voca / "._FLAME_sample.ply").write_bytes(b"\x00\x05\x16\x07Mac OS X        ")
    (voca / "A_cut_short.ply").write_bytes(good.read_bytes()[:5000])
    write_ply(voca / "B_scan.ply", 6000, faces[:50])
    write_ply(voca / "C_face_only.ply", 5023, faces[:700])
    write_ply(voca / "D_no_faces.ply", 5023, faces[:0])
    np.testing.assert_array_equal(open_folder(voca).faces, faces)
    good.unlink()
    np.testing.assert_array_equal(open_folder(voca).faces, faces[:700])
    (voca / "C_face_only.ply").unlink()
    refused(lambda: open_folder(voca), "A_cut_short.ply", "FLAME_sample.ply")
    (voca / "A_cut_short.ply").unlink(), (voca / "D_no_faces.ply").unlink()
    refused(lambda: open_folder(voca), "no .ply with 5023 vertices", "1 .ply looked at")


def test_a_folder_of_another_topology_takes_the_ply_of_its_own_vertices(tmp_path):
    dataset.write_toyset(tmp_path / "v", 1, 1, 0.8)
    own = open_folder(tmp_path / "v")
    write_ply(tmp_path / "v" / "FLAME_sample.ply", 5023, own.faces)
    (tmp_path / "v" / "._toy.ply").write_bytes(b"\x00\x05\x16\x07")
    np.testing.assert_array_equal(open_folder(tmp_path / "v").faces, own.faces)


def test_hidden_files_of_a_mac_do_not_change_the_cache(voca):
    key = open_folder(voca).key
    (voca / ".DS_Store").write_bytes(b"1"), (voca / "._templates.pkl").write_bytes(b"2")
    assert open_folder(voca).key == key


@pytest.mark.parametrize("text", ["", "1 2 3", "a " * 68, "1.5 " * 68, "-1 " * 68, "99999999999999999999 " * 68,
                                  "\xff"])
def test_a_wrong_list_of_landmarks_is_one_line(voca, text):
    (voca / "landmarks68.txt").write_bytes(text.encode("latin1"))
    refused(lambda: open_folder(voca), "landmarks68.txt", "68 whole numbers")


# ---- colours and lights

@pytest.fixture
def look(tmp_path):
    """A folder with colours and lights of its own, for meshes of 5 vertices."""
    folder = tmp_path / "look"
    folder.mkdir()
    np.save(folder / "albedo.npy", np.full((2, 5, 3), 0.5))
    np.save(folder / "gloss.npy", np.full(5, 0.1))
    np.save(folder / "lights.npy", np.ones((3, 9, 3)))
    (folder / "factors.json").write_text(json.dumps({WHO: {SAID: {"albedo": 1, "light": 2}}}))
    return folder


def test_a_sound_look_is_read(look):
    found = open_look(look, 0, 5)
    assert found.albedo.shape == (2, 5, 3) and found.lights.shape == (3, 9, 3) and found.gloss.shape == (5,)
    assert found.factors[WHO][SAID] == {"albedo": 1, "light": 2}
    for path in look.iterdir():
        path.unlink()
    assert open_look(look, 0, 5).albedo is None and len(open_look(look, 0, 5).lights) == LIGHTS


@pytest.mark.parametrize("name, right", [("albedo", (2, 5, 3)), ("gloss", (5,)), ("lights", (3, 9, 3))])
def test_a_wrong_array_is_named(look, name, right):
    path = look / f"{name}.npy"
    for wrong in (np.full(right, np.nan), np.zeros((0, *right[1:])), np.zeros((*right, 1)), np.zeros(()),
                  np.zeros(right).astype(str), np.zeros((*right[:-1], right[-1] + 1))):
        np.save(path, wrong)
        refused(lambda: open_look(look, 0, 5), path.name, "stand-in heads")
    for raw in (b"", b"no array", path.read_bytes()[:-5]):
        path.write_bytes(raw)
        refused(lambda: open_look(look, 0, 5), path.name, "damaged")


def test_colours_without_gloss_are_refused(look):
    (look / "gloss.npy").unlink()
    refused(lambda: open_look(look, 0, 5), "gloss.npy", "albedo.npy")


@pytest.mark.parametrize("row", [None, [], "x", {}, {"albedo": 1}, {"albedo": None, "light": 0},
                                 {"albedo": 2, "light": 0}, {"albedo": 0, "light": -1}, {"albedo": "1", "light": 0},
                                 {"albedo": 0.5, "light": 0}])
def test_a_wrong_row_of_factors_is_named(look, row):
    (look / "factors.json").write_text(json.dumps({WHO: {SAID: row}}))
    refused(lambda: open_look(look, 0, 5), "factors.json", WHO, SAID, "albedo 0 to 1", "light 0 to 2")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100000, b'{"a": null}', b'{"a": [1]}'])
def test_wrong_factors_are_one_line(look, raw):
    (look / "factors.json").write_bytes(raw)
    refused(lambda: open_look(look, 0, 5), "factors.json")


# ---- the disk fills up

def test_what_is_announced_covers_what_is_written(tmp_path, monkeypatch, capsys):
    """With features as wide as a large HuBERT's; stand-in heads lie in the work folder, too."""
    monkeypatch.setattr(dataset, "write_toyset",
                        lambda folder, seed, write=dataset.write_toyset: write(folder, 1, 2, 1.0, seed))
    monkeypatch.setattr(preparing, "features_of",
                        lambda *args: lambda wave, times: np.zeros((len(times), 16, 1024), np.float32))
    monkeypatch.setattr(takes_module, "OF_RUN", 0)
    preparing.prepare(replace(SMALL, crop=64, size=128), tmp_path / "work", torch.device("cpu"))
    written = sum(path.stat().st_size for path in (tmp_path / "work").rglob("*") if path.is_file())
    said = re.search(r"preparing (\d+) frames of 128 x 128: the run takes up to (\d+) MB", capsys.readouterr().out)
    announced, frames = int(said[2]) * 2**20, int(said[1])
    assert 40 < frames and written <= announced < 1.3 * written + 2**20, (written, announced)


def test_a_checkpoint_fits_twice_into_what_is_announced_for_it(tmp_path):
    from dhnerf import DHNeRF, LatentExtractor
    from config import PAPER
    for cfg in (SMALL, PAPER):
        model, extractor = DHNeRF(cfg).state_dict(), LatentExtractor(cfg).state_dict()
        adam = {name: torch.cat([value.float().ravel()] * 2) for name, value in model.items()}
        Checkpoint(cfg, extractor=extractor, model=model, adam=adam).write(tmp_path)
        assert 2 * (tmp_path / "checkpoint.pt").stat().st_size < 0.75 * takes_module.OF_RUN


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot allocate beforehand")
def test_the_space_of_an_array_is_taken_before_it_is_used(tmp_path):
    array = new_array(tmp_path / "a.npy", np.uint8, (300, 100, 100))
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= array.nbytes, "the file is sparse"
    array[7] = 3
    array.flush()
    assert np.load(tmp_path / "a.npy").sum() == 3 * 10000


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


FILL = """import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from data.take import cache_paths, write_pair
from tools.errors import run_cli
def fill(frames, masks):
    frames[:], masks[:] = 1, 2
run_cli(lambda: write_pair(cache_paths(Path(sys.argv[2]), "a"), 100, 100, fill))
"""


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount")
def test_a_full_disk_is_one_line_and_no_bus_error(small_disk):
    done = subprocess.run([sys.executable, "-c", FILL, ROOT, small_disk], capture_output=True, text=True)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stderr.count("\n") == 1 and "the disk is full" in done.stderr and ".npy" in done.stderr
    assert not list(small_disk.iterdir()), "a part was left"


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount")
def test_crops_on_a_full_disk_are_one_line(small_disk, master, tmp_path):
    takes = load(master, 32, tmp_path / "c")
    corpus = Corpus(takes, [np.arange(len(take.frame_ids)) for take in takes])
    features = lambda wave, times: np.zeros((len(times), 16, 1024), np.float32)
    refused(lambda: corpus.prepare(small_disk, 192, features), "the disk is full", str(small_disk))


def weights(kilobytes):
    return {"w": torch.zeros(kilobytes * 256)}


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount")
def test_a_checkpoint_on_a_full_disk_is_one_line_and_the_earlier_one_stays(small_disk):
    Checkpoint(SMALL, extractor=weights(600)).write(small_disk)
    before = (small_disk / "checkpoint.pt").read_bytes()
    refused(lambda: Checkpoint(SMALL, extractor=weights(1600)).write(small_disk), "checkpoint.pt", "the disk is full")
    assert (small_disk / "checkpoint.pt").read_bytes() == before
    assert [path.name for path in small_disk.iterdir()] == ["checkpoint.pt"]
    assert len(Checkpoint.read(small_disk).extractor["w"]) == 600 * 256


def test_a_checkpoint_that_may_not_grow_so_large_is_one_line(tmp_path):
    Checkpoint(SMALL, extractor=weights(10)).write(tmp_path)
    before, limits = (tmp_path / "checkpoint.pt").read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # Python ignores the signal
    try:
        refused(lambda: Checkpoint(SMALL, extractor=weights(300)).write(tmp_path), "checkpoint.pt", "larger than")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_log_on_a_full_disk_is_one_line(tmp_path, capfd):
    log = Log(tmp_path / "log.csv", {})
    (tmp_path / "log.csv").unlink()
    (tmp_path / "log.csv").symlink_to("/dev/full")
    refused(lambda: log.add(stage="field", iteration=0, loss=torch.ones(())), "log.csv", "the disk is full")
    del log
    assert "ignored" not in capfd.readouterr().err, "something waits to be written at exit"


def test_what_a_full_disk_left_of_a_log_is_dropped(tmp_path):
    rows = [",".join(["field", str(i), *["1.25"] * (len(COLUMNS) - 2)]) for i in (0, 10, 20, 120)]
    header = ",".join(COLUMNS)
    for broken in (rows[3][:8], "", "field", "field,", "field,x,1", "\x00\x00", "other,3,1,2,3,4,5,6,7,8"):
        (tmp_path / "log.csv").write_text("\n".join([header, *rows[:2], broken, rows[2], rows[3][:-1]]))
        Log(tmp_path / "log.csv", {"field": 200})
        assert (tmp_path / "log.csv").read_text().splitlines() == [header, *rows[:3]], broken
    Log(tmp_path / "log.csv", {"field": 20}).add(stage="field", iteration=20, loss=torch.tensor(0.5))
    assert (tmp_path / "log.csv").read_text().splitlines() == [header, *rows[:2], "field,20,0.5" + "," * 7]


def test_a_run_stopped_by_a_full_disk_goes_on(tmp_path, monkeypatch, capfd):
    make_voca(tmp_path / "v", 1, 2, 0.8)
    out, common = tmp_path / "run", ["--device", "cpu", "--preset", "small", "--size", "32", "--iters", "3"]
    written, write = [], Path.write_bytes

    def full(path, data):
        written.append(path)
        if len(written) == 3:  # extractor, sync module, field
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SystemExit) as stop:
        run_cli(lambda: train.main(["--data", str(tmp_path / "v"), "--out", str(out), *common]))
    said = capfd.readouterr().err.replace("\r", "\n").splitlines()
    assert stop.value.code == 2 and said[-1].startswith("error: ") and "checkpoint.pt: the disk is full" in said[-1]
    assert Checkpoint.read(out).e_lip is not None and Checkpoint.read(out).model is None
    monkeypatch.undo()
    train.main(["--resume", "--out", str(out), "--device", "cpu"])
    assert Checkpoint.read(out).iteration == 3 and (out / "heldout.json").is_file()


def test_a_cached_take_that_is_cut_short_is_made_again(tmp_path):
    pair = cache_paths(tmp_path, "a/b", 1)
    assert not have(pair)
    write_pair(pair, 3, 32, lambda frames, masks: None)
    assert have(pair)
    pair[1].write_bytes(pair[1].read_bytes()[:-1])
    assert not have(pair)
    pair[1].write_bytes(b"")
    assert not have(pair)


@pytest.mark.parametrize("name", ["2024-05-01T12:30/all", "x" * 300, "../../up", "a\x00b", "\udcff", "con*?|<>",
                                  "Zoë/é"])
def test_a_cache_has_a_file_name_for_whatever_a_take_is_called(tmp_path, name):
    pair = cache_paths(tmp_path, name, 1)
    write_pair(pair, 1, 2, lambda frames, masks: None)
    assert have(pair) and all(path.parent == tmp_path for path in pair) and len(list(tmp_path.iterdir())) == 2
    assert cache_paths(tmp_path, name + "?", 1) != pair


# ---- without permission

@pytest.fixture
def user():
    """A folder in /tmp, and in the test the rights of an ordinary user, whoever runs it."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    yield place
    if os.geteuid() != os.getuid():
        os.seteuid(os.getuid())
    for path in [place, *place.rglob("*")]:
        path.chmod(0o700)
    shutil.rmtree(place)


def lock(path, above):
    """Lock a file or folder, for root, too: the process becomes `nobody`."""
    for each in above.rglob("*"):
        each.chmod(0o755 if each.is_dir() else 0o644)
    path.chmod(0)
    if os.geteuid() == 0:
        try:
            os.seteuid(65534)
        except OSError:
            pytest.skip("root cannot become another user here")


LOCKED_FILES = ["data_verts.npy", "subj_seq_to_idx.pkl", "raw_audio_fixed.pkl", "templates.pkl", "FLAME_sample.ply",
                "landmarks68.txt", "lights.npy", "factors.json"]


def locked(action, name):
    message = refused(action, name, "permission")
    assert not any(word in message for word in ("again", "damaged", "place", "remake")), message


@pytest.mark.parametrize("name", LOCKED_FILES)
def test_a_locked_file_of_the_data_is_not_called_damaged(user, master, name):
    folder = shutil.copytree(master, user / "v")
    np.save(folder / "lights.npy", np.ones((2, 9, 3)))
    (folder / "factors.json").write_text("{}")
    (folder / "landmarks68.txt").write_text(" ".join(map(str, range(68))))
    (user / "c").mkdir()
    lock(folder / name, user)
    locked(lambda: load(folder, 32, user / "c"), name)


@pytest.mark.parametrize("which", ["checkpoint.pt", "."])
def test_a_locked_run_is_not_called_damaged(user, which):
    (user / "run").mkdir()
    Checkpoint(SMALL, extractor=weights(1)).write(user / "run")
    lock(user / "run" / which, user)
    locked(lambda: Checkpoint.read(user / "run"), "checkpoint.pt")


def test_a_locked_log_and_a_locked_folder(user):
    (user / "run").mkdir()
    log = Log(user / "run" / "log.csv", {})
    lock(user / "run" / "log.csv", user)
    locked(lambda: log.add(stage="field", iteration=0), "log.csv")
    locked(lambda: Log(user / "run" / "log.csv", {}), "log.csv")
    message = refused(lambda: Checkpoint(SMALL).write(user / "run"), "checkpoint.pt", "Permission")
    assert "train again" not in message


def test_a_locked_table_of_people(user):
    (user / "clips").mkdir()
    (user / "clips" / "people.csv").write_text("file\n")
    lock(user / "clips" / "people.csv", user)
    locked(lambda: listed_clips(user / "clips"), "people.csv")


def test_a_locked_folder_of_clips(user):
    (user / "clips").mkdir()
    lock(user / "clips", user)
    locked(lambda: listed_clips(user / "clips"), "clips")


@pytest.mark.parametrize("number, words", [(errno.EACCES, "permission"), (errno.EROFS, "permission"),
                                           (errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "quota")])
def test_what_nothing_else_has_caught_is_one_line(capsys, number, words):
    def main():
        raise OSError(number, os.strerror(number), "some/file")
    with pytest.raises(SystemExit) as stop:
        run_cli(main)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.startswith("error: some/file: ") and words in said and said.count("\n") == 1


def test_other_errors_of_the_system_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), in_one_line():
        (tmp_path / "nowhere").read_text()
    with pytest.raises(PermissionError), replacing(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "of another file", "other")
    assert not list(tmp_path.iterdir())


# ---- terminated

WAIT = """import sys, time; sys.path.insert(0, sys.argv[1])
from tools.errors import replacing, run_cli
def main():
    with replacing(sys.argv[2]) as temporary:
        temporary.write_text("half")
        print("ready", flush=True)
        time.sleep(60)
run_cli(main)
"""


def listening():
    """In the process to be: signals that this one ignores, as under nohup, end it as they usually do."""
    for name in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(name, signal.SIG_DFL)


def waiting(path, before=listening):
    process = subprocess.Popen([sys.executable, "-c", WAIT, ROOT, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, preexec_fn=before)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_terminated_program_leaves_nothing_half_written(tmp_path, name):
    (tmp_path / "t.mp4").write_text("old")
    process, number = waiting(tmp_path / "t.mp4"), getattr(signal, name)
    assert len(list(tmp_path.iterdir())) == 2
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number and "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["t.mp4"] and (tmp_path / "t.mp4").read_text() == "old"


def test_a_program_under_nohup_stays(tmp_path):
    process = waiting(tmp_path / "t.mp4", lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    process.stdout.close(), process.stderr.close()


def test_the_signals_are_as_before_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        run_cli(lambda: None)
    assert signal.getsignal(signal.SIGTERM) is before


# ---- the data of a run: moved, or described in other words

def corpus_of(lights):
    """A corpus of one take for each light, of 4 frames; only what check_takes reads."""
    corpus, n = Corpus.__new__(Corpus), len(lights)
    corpus.takes = [type("T", (), {"name": f"Ann/{i}"})() for i in range(n)]
    corpus.numbers, corpus.first = [np.arange(4)] * n, 4 * np.arange(n + 1)
    corpus.label = {"id": np.zeros(4 * n, int), "al": np.zeros(4 * n, int),
                    "ill": np.repeat(numbered(lights), 4)}
    return corpus


def described(lights):
    return [{"name": f"Ann/{i}", "cam_to_head": torch.zeros(4, 4, 4), "codes": {"id": 0, "al": 0, "ill": number}}
            for i, number in enumerate(numbered(lights))]


def test_other_words_in_people_csv_are_other_data():
    then = described(["lamp", "lamp", "window"])
    for same in (["lamp", "lamp", "window"], ["a", "a", "b"]):
        check_takes(SMALL, then, corpus_of(same))
    for other in (["lamp", "window", "window"], ["lamp", "sun", "window"], ["window", "window", "lamp"]):
        refused(lambda: check_takes(SMALL, then, corpus_of(other)), "data have changed", "light", "--out")


def test_data_that_have_moved_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_data(SMALL)
    check_data(replace(SMALL, data=str(tmp_path)))
    clip = str(tmp_path / "talk.mp4")
    gone = refused(lambda: check_data(replace(SMALL, data=clip)), clip, "back")
    assert "VOCASET" not in gone and "data_verts" not in gone
    refused(lambda: check_data(replace(SMALL, data="clips")), "clips", "folder in which train.py was run")
