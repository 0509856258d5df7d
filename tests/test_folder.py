"""test_folder.py - the run folder: nothing of the user's is removed or overwritten, whatever lies there."""
import json
from dataclasses import replace

import pytest

import train
from config import CLIP, MEDIUM, PAPER, SMALL, for_data
from inference import folder, options
from tools.errors import InputError


def everything(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_folder_called_prepared_of_the_users_own_is_refused_and_kept(tmp_path):
    out = tmp_path / "work"
    (out / "prepared").mkdir(parents=True)
    (out / "prepared" / "thesis.tex").write_text("three years")
    before = everything(out)
    with pytest.raises(InputError, match="prepared.*another --out"):
        train.main(["--out", str(out), "--device", "cpu", "--preset", "small", "--iters", "1"])
    assert everything(out) == before
    folder.clear_work(out)  # even if something called it
    assert everything(out) == before


@pytest.mark.parametrize("name", folder.OUTPUTS)
def test_a_file_of_the_users_own_that_a_run_would_write_is_refused_and_kept(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}.*another --out"):
        folder.open_folder(tmp_path)
    assert everything(tmp_path) == {name: b"mine"}


def test_other_files_of_the_user_are_no_hindrance_and_stay(tmp_path):
    (tmp_path / "clip.mp4").write_text("a video")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "prepared").write_text("mine")
    before = everything(tmp_path)
    folder.open_folder(tmp_path)
    work = folder.open_work(tmp_path)
    (work / "frames.npy").write_text("large")
    assert folder.open_work(tmp_path) == work and (work / "frames.npy").is_file(), "a resumed run goes on with it"
    folder.clear_work(tmp_path)
    assert everything(tmp_path) == before and not work.exists()


def test_a_run_that_is_there_is_not_begun_again(tmp_path):
    folder.open_folder(tmp_path)
    options.write(SMALL, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["size"] == 64
    with pytest.raises(InputError, match="already holds a run"):
        folder.open_folder(tmp_path)


def test_a_run_killed_in_its_preparation_can_be_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "prepare", killed)
    asked = ["--out", "run", "--device", "cpu", "--preset", "small", "--iters", "7"]
    with pytest.raises(KeyboardInterrupt):
        train.main(asked)
    resumed = options.resumed(tmp_path / "run", options.parse(["--out", "run", "--resume"]))
    assert resumed.cfg.iters == 7 and resumed.iteration == 0


def test_a_run_that_was_refused_can_be_tried_again_and_takes_nothing_with_it(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")

    def refused(cfg, work, device, found):
        found.mkdir()
        (found / "a.landmarks.npy").write_text("found")
        raise InputError("clip.mp4: is silent; give another")

    monkeypatch.setattr(train, "prepare", refused)
    for out in ("run", "run", "other"):
        with pytest.raises(InputError, match="is silent"):
            train.main(["--out", str(tmp_path / out), "--device", "cpu", "--preset", "small", "--iters", "7"])
    assert everything(tmp_path) == {"run/mine.txt": b"mine"} and not (tmp_path / "other").exists()


def test_the_data_are_found_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert options.chosen_values(options.parse(["--data", "here"]))["data"] == str(tmp_path / "here")


def test_settings_go_by_the_size_of_the_pictures_and_by_what_they_show():
    clip, voca = replace(SMALL, data="clip.mp4"), replace(SMALL, data="voca/")
    small, at_256 = for_data(clip, True, None, None), for_data(clip, True, 256, None)
    assert (small.size, small.upsample, small.body) == (128, 4, True) and small.box == CLIP["box"]
    assert (at_256.size, at_256.upsample) == (256, 4) and at_256.iters > small.iters == SMALL.iters
    assert for_data(clip, True, 64, None) == replace(clip, **CLIP, n_freq_v=0)
    assert for_data(clip, True, 96, 10).iters == 10 and for_data(clip, True, 96, None).upsample == 4
    assert for_data(PAPER, True, None, None) == replace(PAPER, **CLIP), "the paper's sizes stay"
    assert for_data(PAPER, False, None, None) == PAPER and for_data(MEDIUM, False, None, None) == MEDIUM
    assert for_data(MEDIUM, True, None, None) == replace(MEDIUM, **CLIP, n_freq_v=0)
    assert for_data(replace(MEDIUM, size=32), False, 32, None).patch == 8, "no larger than the picture"
    heads, first_look = for_data(SMALL, False, None, None), for_data(SMALL, False, 64, None)
    assert heads == replace(SMALL, size=128, upsample=4, iters=heads.iters)
    assert first_look.iters < heads.iters < SMALL.iters and for_data(SMALL, False, 64, 99).iters == 99
    assert for_data(voca, False, 64, None) == voca
