"""test_people.py - a folder of clips (data/people.py), and picture against sound (data/clip.py)."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import tracking
import train
from config import CLIP, SMALL
from data import clip, footage, people
from data.found import Detectors
from data.offset import Offset
from data.prepare import check_source, is_clips, load, split
from inference import options
from inference.run import Checkpoint
from tools import media
from tools.errors import InputError

RATE = 16000


def film(path, frames, fps, sound=True):
    """A face of people in general that nods and opens its mouth, as a clip with its landmarks."""
    model, at = tracking.generic_model(), np.arange(frames)
    shapes = model.mean + 0.3 * np.sin(at)[:, None, None] * model.exp_basis[:1]
    marks = shapes[..., :2] * [20, -20] + [64, 40]
    marks[..., 1] += np.sin(at / 4)[:, None]
    pictures = []
    for points in marks:
        picture = np.full((96, 128, 3), 90, np.uint8)
        cv2.fillConvexPoly(picture, cv2.convexHull(points.astype(np.int32)), (210, 150, 120))
        pictures.append(picture)
    wave = np.sin(np.arange(round(frames / fps * RATE)) / 5).astype(np.float32) if sound else None
    media.write_video(path, pictures, fps, wave)
    np.save(path.with_name(f"{path.stem}.landmarks.npy"), marks.astype(np.float32))


@pytest.fixture(scope="module")
def rushes(tmp_path_factory):
    """Clips to copy from: 22 frames at 25 a second, 33 at 30, and one without sound."""
    folder = tmp_path_factory.mktemp("rushes")
    film(folder / "slow.mp4", 22, 25), film(folder / "fast.mp4", 33, 30)
    film(folder / "mute.mp4", 4, 25, sound=False)
    return folder


@pytest.fixture
def put(rushes, tmp_path):
    """put("a.mp4", "slow"): a copy of a clip, with its landmarks, in the folder "clips"."""
    def copy(name, source="slow"):
        place = tmp_path / "clips" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(rushes / f"{source}.mp4", place)
        shutil.copy(rushes / f"{source}.landmarks.npy",
                    place.with_name(f"{place.stem}.landmarks.npy"))
        return place
    return copy


@pytest.fixture
def three(put):
    """A folder of three clips."""
    return [put("ann1.mp4"), put("ann2.mp4"), put("bob.mp4")][0].parent


def refusal(action, *words):
    """The message of the InputError: one line that holds the words, and says what to do."""
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message and ";" in message and all(w in message for w in words), message
    return message


# ---- a folder of clips

def test_each_file_is_a_person_of_its_own_unless_said_otherwise(put, tmp_path):
    folder = put("b.MOV", "fast").parent
    put("a.mp4"), put(".hidden.mp4"), put("a.tracking.mp4")
    (folder / "notes.txt").write_text("not a clip")
    (folder / "old.mp4").mkdir()
    takes = load(folder, 32, tmp_path / "cache")
    assert [(t.name, t.subject, t.fps, t.kind) for t in takes] == [
        ("a/all", "a", 25, "clip"), ("b/all", "b", 30, "clip")]
    assert [t.labels for t in takes] == [{"id": n, "al": n, "ill": n} for n in (0, 1)]
    assert [t.frames.shape for t in takes] == [(22, 32, 32, 3), (33, 32, 32, 3)]
    parts, held = split(takes)
    assert [(i, ids.tolist()) for i, ids in parts] == [(0, [*range(20)]), (1, [*range(30)])]
    assert [(i, ids.tolist()) for i, ids in held] == [(0, [20, 21]), (1, [30, 31, 32])], \
        "of each clip the last 1/11"


def test_people_csv_names_people_albedos_and_lights(three, tmp_path, capsys):
    (three / "people.csv").write_text(
        "light,file,person\nwindow,ann2.mp4,Ann\nlamp,ann1.mp4,Ann\n")
    takes = load(three, 32, tmp_path / "cache")
    assert [(t.name, t.subject) for t in takes] == [
        ("Ann/ann1", "Ann"), ("Ann/ann2", "Ann"), ("bob/bob", "bob")]
    # people and albedos: Ann, bob; lights: bob (of its own), lamp, window
    assert [t.labels for t in takes] == [{"id": 0, "al": 0, "ill": 1}, {"id": 0, "al": 0, "ill": 2},
                                         {"id": 1, "al": 1, "ill": 0}]
    said = [line for line in capsys.readouterr().out.splitlines() if "people.csv" in line]
    assert len(said) == 1 and "bob.mp4" in said[0] and "ann" not in said[0]
    counts = [[len(ids) for _, ids in part] for part in split(takes)]
    assert counts == [[20] * 3, [2] * 3], \
        "two takes of one person: each holds out its own end, none is held out whole"


@pytest.mark.parametrize("text", [
    b"file,person,albedo,light,av_offset\nann1.mp4,Ann,made up,lamp,80\nann2.mp4,Ann,,,\n",
    b"\xef\xbb\xbfAV_Offset , albedo,light,person,file\r\n80,made up,lamp,Ann,ann1.mp4\r\n\r\n"
    b",,,, \r\n, , ,Ann ,ann2.mp4\r\n",
    b'\xef\xbb\xbffile,person,albedo,light,av_offset\n"ann1.mp4", "Ann" ,made up,  lamp,80\n'
    b"ann2.mp4,Ann\nbob.mp4"])
def test_people_csv_however_it_is_written(three, text):
    (three / "people.csv").write_bytes(text)
    found = [(c.path.name, c.person, c.albedo, c.light, c.av_offset, c.name)
             for c in people.listed_clips(three)]
    assert found == [("ann1.mp4", "Ann", "made up", "lamp", "80", "Ann/ann1"),
                     ("ann2.mp4", "Ann", "Ann", "ann2", "", "Ann/ann2"),
                     ("bob.mp4", "bob", "bob", "bob", "", "bob/bob")]


@pytest.mark.parametrize("text, words", [
    ("file,person\nann1.mp4,Ann\n\ncarl.mp4,Carl\n", ["line 4", "carl.mp4", "bob.mp4"]),
    ("file,person\n,Ann\n", ["line 2", "empty"]),
    ("file,name\nann1.mp4,Ann\n", ["line 1", "unknown column name", "av_offset"]),
    ("file;person\nann1.mp4;Ann\n", ["line 1", "unknown column file;person", "commas"]),
    ("file,person,person\nann1.mp4,Ann,Ann\n", ["line 1", "column person twice"]),
    ("person,light\nAnn,lamp\n", ["line 1", "no column file"]),
    ("file\nann1.mp4\nbob.mp4\nann1.mp4\n", ["line 4", "ann1.mp4", "line 2"]),
    ("file,person\nann1.mp4,Ann, who\n", ["line 2", "3 entries under 2 columns", "quotes"]),
    ("file,av_offset\nann1.mp4,80\nbob.mp4,late\n", ["line 3", "av_offset late", "milliseconds"]),
    ("file,av_offset\nann1.mp4,nan\n", ["line 2", "av_offset nan"]),
    ("file,av_offset\nann1.mp4,-2001\n", ["line 2", "av_offset -2001", "2000"]),
    ("\n\n", ["empty", "file,person,albedo,light,av_offset"]),
    (b"file,person\nann1.mp4,Zo\xeb\n", ["UTF-8"])])
def test_a_fault_of_people_csv_is_one_line(three, text, words):
    (three / "people.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    refusal(lambda: check_source(three), str(three / "people.csv"), *words)


@pytest.fixture
def one_take(put, tmp_path, monkeypatch):
    """Every clip of a folder becomes the same take, quickly; what load_clip is asked for."""
    asked, made = [], clip.load_clip(put("../other/one.mp4"), 32, tmp_path / "cache",
                                     Detectors(tmp_path / "found"))
    def load_clip(path, size, cache_dir, detectors, av_offset):
        asked.append((path.name, av_offset))
        return made
    monkeypatch.setattr(people, "load_clip", load_clip)
    return asked


def test_subjects_and_sentences_choose_people_and_files(three, tmp_path, one_take):
    (three / "people.csv").write_text("file,person\nann1.mp4,Ann\nann2.mp4,Ann\nbob.mp4,Bob\n")
    def names(**chosen):
        return [t.name for t in load(three, 32, tmp_path / "cache", **chosen)]
    assert names(subjects=["Bob"]) == ["Bob/bob"]
    assert names(subjects=1) == ["Ann/ann1", "Ann/ann2"]
    assert names(sentences=1) == ["Ann/ann1", "Bob/bob"], "as many of each person"
    assert names(sentences=["bob", "ann2"]) == ["Ann/ann2", "Bob/bob"]
    assert load(three, 32, tmp_path / "cache", ["Bob"])[0].labels == {"id": 0, "al": 0, "ill": 0}
    refusal(lambda: names(subjects=["Bob", "Carl"]), str(three), "no subjects Carl", "Ann, Bob")
    refusal(lambda: names(sentences=["carl"]), "no sentences carl", "ann1, ann2, bob")
    refusal(lambda: names(subjects=0), "0 subjects")


def test_one_bad_clip_stops_before_anything_is_written(three, put, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    def refused(*words):
        refusal(lambda: check_source(three), *words)
        refusal(lambda: train.main(["--data", str(three), "--device", "cpu", "--preset", "small"]),
                *words)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["clips"], "something was written"
    marks = three / "bob.landmarks.npy"
    whole = np.load(marks)
    marks.unlink()
    refused("bob.mp4", "requirements-landmarks.txt", "bob.landmarks.npy")
    np.save(marks, whole[:-1])
    refused("bob.landmarks.npy", "21 frames")
    np.save(marks, whole[:, :60])
    refused("bob.landmarks.npy", "(22, 60, 2)")
    put("bob.mp4", "mute")
    refused("bob.mp4", "no sound")
    put("bob.mp4").write_bytes(b"not a video")
    refused("bob.mp4", "cannot be decoded")
    put("bob.mp4"), put("bob.mov")
    refused("bob.mp4", "bob.mov", "landmarks")


def test_a_folder_is_of_clips_only_without_vocasets_parts(three, tmp_path):
    assert is_clips(three) and is_clips(str(three / "bob.mp4"))
    (three / "templates.pkl").write_bytes(b"")
    assert not is_clips(three)
    refusal(lambda: check_source(three), "has no data_verts.npy")
    (tmp_path / "neither").mkdir()
    assert not is_clips(tmp_path / "neither")
    refusal(lambda: check_source(tmp_path / "neither"), "neither", "data_verts.npy",
            "NAME.landmarks.npy", "folder of such clips", "AD-NeRF")


def test_a_run_on_a_folder_of_clips(put, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put("a.mp4"), put("b.mkv", "fast")
    train.main(["--data", "clips/", "--device", "cpu", "--preset", "small", "--size", "32",
                "--iters", "2"])
    takes = Checkpoint.read("runs/clips").takes
    assert [(t["name"], t["fps"], len(t["cam_to_head"]), t["codes"]) for t in takes] == [
        ("a/all", 25, 20, {"id": 0, "al": 0, "ill": 0}),
        ("b/all", 30, 30, {"id": 1, "al": 1, "ill": 1})]
    config = json.loads(Path("runs/clips/config.json").read_text())
    assert config["av_offset"] == "auto" and config["code_noise"] == CLIP["code_noise"]
    assert Path("runs/clips/heldout.json").is_file()


# ---- picture and sound

@pytest.fixture
def click(put, monkeypatch):
    """A clip of 22 frames at 25 a second, whose sound is a click at 0.4 s in 0.88 s of silence."""
    wave = np.zeros(round(0.88 * RATE), np.float32)
    wave[round(0.4 * RATE)] = 1
    monkeypatch.setattr(footage, "read_audio", lambda path: wave)
    return put("talk.mp4")


@pytest.fixture
def measured(monkeypatch):
    """measured(0.15, sure=True): what estimate_offset will say; returns what it is asked about."""
    def say(seconds, sure=True):
        asked = []
        def estimate(landmarks, times, wave):
            asked.append((landmarks, times, wave))
            return Offset(seconds, sure, 9.0)
        monkeypatch.setattr(clip, "estimate_offset", estimate)
        return asked
    return say


def clicks_at(take):
    """Seconds into the take's sound, of all that is not silent."""
    return (np.flatnonzero(take.wave) / RATE).tolist()


@pytest.mark.parametrize("found, moved, ids, said", [
    # Frame 19 is shown at 0.76 s; 0.88 - 0.105 = 0.775 s of sound are left.
    (0.150, 0.105, range(0, 20), "talk.mp4: picture leads by 150 ms, sound moved by 105 ms"),
    # Sound begins at 0.195 s, frame 5 at 0.2 s.
    (-0.150, -0.195, range(5, 22), "talk.mp4: picture lags by 150 ms, sound moved by -195 ms"),
    (0.050, 0, range(22), "talk.mp4: picture and sound are in sync (50 ms)"),
    (0.095, 0, range(22), "talk.mp4: picture and sound are in sync (95 ms)"),
    (-0.045, 0, range(22), "talk.mp4: picture and sound are in sync (-45 ms)"),
    (0.096, 0.051, range(0, 21), "talk.mp4: picture leads by 96 ms, sound moved by 51 ms"),
    (-0.046, -0.091, range(3, 22), "talk.mp4: picture lags by 46 ms, sound moved by -91 ms")])
def test_the_sound_is_moved_to_where_the_lips_are(click, tmp_path, measured, capsys, found, moved,
                                                  ids, said):
    measured(found)
    take = load(click, 32, tmp_path / "cache")[0]
    assert take.av_offset == pytest.approx(moved, abs=1e-9)
    assert clicks_at(take) == pytest.approx([0.4 - moved], abs=1 / RATE)
    assert take.frame_ids.tolist() == list(ids) and len(take.frames) == len(take.f_exp) == len(ids)
    assert said in capsys.readouterr().out.splitlines()


def test_frames_keep_their_pictures_when_others_lose_their_sound(click, tmp_path, measured):
    measured(0.0)
    whole = load(click, 32, tmp_path / "cache")[0]
    measured(-0.15)
    part = load(click, 32, tmp_path / "cache")[0]
    np.testing.assert_allclose(part.cam_to_head, whole.cam_to_head[5:])
    np.testing.assert_allclose(part.f_exp, whole.f_exp[5:])
    # The crop's box is about the frames that are left, so the pictures are not alike to the last.
    assert np.abs(part.frames.astype(int) - whole.frames[5:]).mean() < 6
    assert len(list((tmp_path / "cache").glob("*-frames.npy"))) == 2, "other frames, another file"
    measured(-0.148)
    load(click, 32, tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*-frames.npy"))) == 2, "the same frames"


def test_what_is_estimated_is_what_has_landmarks(click, tmp_path, measured):
    marks = np.load(click.with_name("talk.landmarks.npy"))
    marks[[3, 4]] = np.nan
    np.save(click.with_name("talk.landmarks.npy"), marks)
    asked = measured(0.0)
    load(click, 32, tmp_path / "cache")
    (landmarks, times, wave), = asked
    np.testing.assert_array_equal(landmarks, np.delete(marks, [3, 4], 0))
    np.testing.assert_allclose(times, np.delete(np.arange(22) / 25, [3, 4]))
    assert len(wave) == 0.88 * RATE


def test_no_clear_offset_is_left_and_said(click, tmp_path, measured, capsys):
    measured(0.09, sure=False)
    take = load(click, 32, tmp_path / "cache")[0]
    assert take.av_offset == 0 and clicks_at(take) == [0.4] and len(take.frames) == 22
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("talk.mp4:")]
    assert said == ["talk.mp4: too short to tell by how much picture and sound differ (perhaps "
                    "90 ms); left as it is, --av-offset MS sets it"]


@pytest.mark.parametrize("asked, moved, ids, said", [
    ("80", 0.08, range(0, 21), "the picture leads the sound by 80 ms, as asked"),
    ("-80", -0.08, range(2, 22), "the picture lags behind the sound by 80 ms, as asked"),
    (" 0 ", 0, range(22), "picture and sound left as they are, as asked")])
def test_an_offset_that_is_asked_for_is_not_estimated(click, tmp_path, measured, capsys, asked,
                                                      moved, ids, said):
    estimates = measured(0.3)
    take = load(click, 32, tmp_path / "cache", av_offset=asked)[0]
    assert not estimates and take.av_offset == moved and take.frame_ids.tolist() == list(ids)
    assert clicks_at(take) == pytest.approx([0.4 - moved], abs=1 / RATE)
    assert f"talk.mp4: {said}" in capsys.readouterr().out.splitlines()


def test_a_clip_that_is_halved_loses_frames_without_sound_too(tmp_path):
    film(tmp_path / "quick.mp4", 22, 50)
    take = load(tmp_path / "quick.mp4", 32, tmp_path / "cache", av_offset="-80")[0]
    assert take.fps == 25 and take.frame_ids.tolist() == list(range(2, 11)), "from 0.08 s on"


def test_a_move_that_leaves_nothing_is_one_line(click, tmp_path):
    refusal(lambda: load(click, 32, tmp_path / "cache", av_offset="900"), "talk.mp4", "0 frames",
            "--av-offset")


def test_a_files_own_offset_comes_before_the_command_lines(three, tmp_path, one_take):
    (three / "people.csv").write_text("file,av_offset\nann1.mp4,120\nann2.mp4,auto\nbob.mp4,\n")
    load(three, 32, tmp_path / "cache", av_offset="-40")
    assert one_take == [("ann1.mp4", "120"), ("ann2.mp4", "auto"), ("bob.mp4", "-40")]


def new_config(*arguments):
    return options.new_config(options.parse(["--preset", "small", *arguments]), torch.device("cpu"))


@pytest.mark.parametrize("text", ["soon", "nan", "inf", "-inf", "2001", "-2000.5", "80ms", ""])
def test_an_offset_that_is_none_is_refused_at_once(text):
    message = refusal(lambda: new_config(f"--av-offset={text}"))
    assert message.startswith(f"--av-offset {text}: want milliseconds, auto or 0")


def test_the_command_line_sets_the_offset(three):
    assert SMALL.av_offset == new_config().av_offset == "auto"
    assert new_config("--av-offset", "-80").av_offset == "-80"
    assert clip.asked_offset("2000") == 2 and clip.asked_offset("-12.5") == -0.0125
    assert clip.asked_offset("Auto") is None
    assert new_config("--data", str(three)).code_noise == CLIP["code_noise"], "clips as a clip"
