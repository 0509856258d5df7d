"""test_cli.py - the two programs as a user runs them: each kind of input end to end, resume, and bad input.

Runs of a few iterations go through main() with a command line, in this process; the killed run is a process of its own.
"""
import csv
import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import wave as wavefile
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

import animate
import evaluate
import train
from config import SMALL
from data.corpus import Corpus
from data.prepare import load
from evaluation import ablation, disentangle, factors, heldout, landmark_regressor, overview, report, sync_expert
from inference import page
from inference.run import Checkpoint, load_run
from synthetic import dataset
from tools import media
from tools.errors import run_cli
from voca_fixture import make_voca

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "data"
QUICK = ["--device", "cpu", "--preset", "small", "--size", "32", "--iters", "3"]
needs_clip = pytest.mark.skipif(not REAL.is_dir(), reason="the real test clip is not here")


def succeed(program, *args):
    """Run train.main or animate.main; an InputError or any other exception fails the test."""
    program.main([str(a) for a in args])


def fail(capfd, program, *args):
    """Run a program that must refuse its input; returns its one line on stderr. Exit code 2, no traceback."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        run_cli(lambda: program.main([str(a) for a in args]))
    lines = [line for line in capfd.readouterr().err.replace("\r", "\n").splitlines() if line.strip()]
    assert stop.value.code == 2
    assert lines[-1].startswith("error: ") and sum("error:" in line for line in lines) == 1
    return lines[-1]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test runs in a folder of its own: nothing may depend on standing in the repository."""
    monkeypatch.chdir(tmp_path)


def sound_and_picture(path):
    """(seconds of sound, number of frames, frames a second, loudest sample, comment tag) by decoding the file."""
    with av.open(str(path)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        rate, fps, comment = sound.rate, float(video.average_rate), container.metadata.get("comment", "")
        frames, samples, peak = 0, 0, 0.0
        for packet in container.demux(video, sound):
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    frames += 1
                else:
                    block = frame.to_ndarray()
                    samples, peak = samples + block.shape[-1], max(peak, float(np.abs(block).max()))
    return samples / rate, frames, fps, peak, comment


def write_wav(path, samples, rate=16000):
    with wavefile.open(str(path), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def voiced(seconds, rate=16000):
    t = np.arange(int(seconds * rate)) / rate
    return 0.3 * np.sin(2 * np.pi * 140 * t) * (np.sin(2 * np.pi * 3 * t) > 0)


def draw_nothing(patch):
    """Runs end without a report and begin without a sheet of their data; run_folder has both."""
    patch.setattr(report, "write", lambda *args: None)
    patch.setattr(overview, "write", lambda *args: None)


@pytest.fixture
def undrawn(monkeypatch):
    draw_nothing(monkeypatch)


@pytest.fixture(scope="module")
def voca(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "voca"
    make_voca(folder, subjects=2, sentences=2, seconds=0.8)
    return folder


@pytest.fixture(scope="module")
def run_folder(voca):
    """A short run on a folder in VOCASET's layout: 5023 vertices, Python 2 pickles, sound at 22,000 Hz."""
    out = voca.parent / "run"
    succeed(train, "--data", voca, "--out", out, *QUICK)
    return out


def test_voca_run_folder_is_complete(run_folder):
    names = {"config.json", "checkpoint.pt", "log.csv", "loss.png", "prepared.png", "preview.png", "preview.mp4",
             "heldout.json"}
    assert {path.name for path in run_folder.iterdir()} == names
    rows = list(csv.DictReader((run_folder / "log.csv").open()))
    assert {row["stage"] for row in rows} == {"extractor", "sync", "field"}
    assert all(np.isfinite(float(row["loss"])) for row in rows)
    assert json.loads((run_folder / "config.json").read_text())["seed"] == 0


def test_preview_has_the_sound_of_the_heldout_frames(run_folder):
    seconds, frames, fps, peak, comment = sound_and_picture(run_folder / "preview.mp4")
    assert fps == 30 and frames > 10
    assert abs(seconds - frames / fps) < 0.1, "sound and picture differ in length"
    assert peak > 0.02, "the sound is silent"
    assert "synthetic" in comment


def test_animate_needs_the_run_folder_only(run_folder, voca):
    speech = write_wav("speech.wav", voiced(1.3))
    hidden = voca.rename(voca.with_name("gone"))
    try:
        succeed(animate, run_folder, "--audio", speech, "--out", "talk.mp4", "--orbit", "--device", "cpu")
    finally:
        hidden.rename(voca)
    seconds, frames, fps, peak, comment = sound_and_picture("talk.mp4")
    assert abs(frames / fps - 1.3) <= 1 / fps, f"{frames} frames for 1.3 s"
    assert abs(seconds - 1.3) < 0.1 and peak > 0.1 and "synthetic" in comment


def test_stand_in_heads_from_nothing(monkeypatch):
    small = functools.partial(dataset.write_toyset, subjects=3, sentences=3, seconds=1.2)
    monkeypatch.setattr(dataset, "write_toyset", small)
    monkeypatch.setattr(page, "STEPS", dict.fromkeys(page.STEPS, 1))
    succeed(train, *QUICK, "--subjects", "2", "--sentences", "2")
    assert page.MARK in Path("runs/heads/explore.html").read_text()
    assert sound_and_picture("runs/heads/preview.mp4")[1] > 10


@needs_clip
def test_real_clip():
    succeed(train, "--data", REAL / "real_clip.mp4", *QUICK)
    wave = media.read_audio(REAL / "real_speech.wav")[:24_000]
    length = len(wave) / media.SAMPLE_RATE
    succeed(animate, "runs/real_clip", "--audio", write_wav("speech.wav", wave), "--out", "talk.mp4", "--device", "cpu")
    seconds, frames, fps, _, _ = sound_and_picture("talk.mp4")
    assert fps == 25 and abs(frames / fps - length) <= 1 / fps and abs(seconds - length) < 0.1


def test_no_sync_run_animates(voca, undrawn):
    succeed(train, "--data", voca, "--out", "run", *QUICK, "--no-sync", "--no-dis", "--no-vel")
    speech = write_wav("speech.wav", voiced(0.5))
    succeed(animate, "run", "--audio", speech, "--out", "talk.mp4", "--device", "cpu")
    assert {row["stage"] for row in csv.DictReader(open("run/log.csv"))} == {"extractor", "field"}
    assert json.loads(Path("run/config.json").read_text())["lambda_dis"] == 0


def test_hubert_folder_and_vgg_through_both_programs(voca, hubert_folder, undrawn):
    succeed(train, "--data", voca, "--out", "run", *QUICK, "--audio-features", hubert_folder, "--vgg", "random")
    assert all(float(row["L_per"]) > 0 for row in csv.DictReader(open("run/log.csv")) if row["stage"] == "field")
    speech = write_wav("speech.wav", voiced(0.5))
    succeed(animate, "run", "--audio", speech, "--out", "talk.mp4", "--device", "cpu")
    assert sound_and_picture("talk.mp4")[1] == 15


# ---------------------------------------------------------------------------------------------------------------------
# Resume


def weights(folder):
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    return {f"{part}.{name}": value for part in ("model", "codes") for name, value in state[part].items()}


def test_killed_run_resumes_bit_for_bit(voca, undrawn):
    """kill -9 in the field stage, then --resume: the same log and weights as a run that was left alone.

    One person in the set: the process to be killed spends its time on preparation and on its imports.
    """
    common = ["--data", voca, "--subjects", "1", *QUICK[:-1], "24"]
    succeed(train, *common, "--out", "whole")
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([sys.executable, ROOT / "train.py", *map(str, common), "--out", "killed"],
                               env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log, deadline = Path("killed/log.csv"), time.time() + 120
    while time.time() < deadline and not (log.is_file() and "field,10" in log.read_text()):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "field,10" in log.read_text(), "the run never reached the field stage"
    assert Path("killed/checkpoint.pt").is_file() and not Path("killed/heldout.json").exists()
    succeed(train, "--resume", "--out", "killed", "--device", "cpu")
    assert log.read_text() == Path("whole/log.csv").read_text()
    a, b = weights(Path("killed")), weights(Path("whole"))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_resume_refuses_another_configuration(run_folder, capfd):
    before = (run_folder / "checkpoint.pt").read_bytes()
    assert "seed = 0, not 7" in fail(capfd, train, "--resume", "--out", run_folder, "--seed", "7")
    assert (run_folder / "checkpoint.pt").read_bytes() == before


def test_resume_where_there_is_nothing(capfd):
    assert "nothing to resume" in fail(capfd, train, "--resume", "--out", "nowhere")


# ---------------------------------------------------------------------------------------------------------------------
# Bad input: one clear line, a non-zero code, nothing lost


def test_bad_input_ends_the_process_with_code_2_and_one_line():
    """Once through a real process: the others call main() in this one."""
    done = subprocess.run([sys.executable, ROOT / "train.py", "--data", "voca/"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("error: voca")


def test_data_that_is_not_there_says_what_is_accepted(capfd):
    error = fail(capfd, train, "--data", "voca/", "--out", "run")
    assert "voca" in error and "voca.is.tue.mpg.de" in error and ".landmarks.npy" in error
    assert not Path("run").exists(), "a failed start left a run folder"


@needs_clip
def test_clip_without_landmarks_names_the_command(capfd):
    Path("clip.mp4").write_bytes((REAL / "real_clip.mp4").read_bytes())
    error = fail(capfd, train, "--data", "clip.mp4")
    assert "requirements-landmarks.txt" in error and "python tracking.py clip.mp4 --detect" in error
    assert not Path("runs").exists(), "nothing is written before that"


@needs_clip
@pytest.mark.parametrize("rows, message", [(150, "150"), (0, "landmarks")])
def test_clip_with_landmarks_of_the_wrong_length(capfd, rows, message):
    Path("clip.mp4").write_bytes((REAL / "real_clip.mp4").read_bytes())
    np.save("clip.landmarks.npy", np.load(REAL / "real_clip.landmarks.npy")[:rows])
    error = fail(capfd, train, "--data", "clip.mp4")
    assert "clip.landmarks.npy" in error and message in error


@needs_clip
def test_clip_with_nan_landmarks_in_some_frames_trains(undrawn):
    Path("clip.mp4").write_bytes((REAL / "real_clip.mp4").read_bytes())
    landmarks = np.load(REAL / "real_clip.landmarks.npy")
    landmarks[40:60] = landmarks[100:] = np.nan
    landmarks[90, 3] = np.nan
    np.save("clip.landmarks.npy", landmarks)
    succeed(train, "--data", "clip.mp4", *QUICK)
    take = Checkpoint.read("runs/clip").takes[0]
    kept = 100 - 21  # frames with landmarks, 1/11 of which is held out
    assert len(take["cam_to_head"]) == kept - round(kept / 11)


def test_existing_run_is_not_overwritten(run_folder, voca, capfd):
    before = (run_folder / "checkpoint.pt").read_bytes()
    assert "--resume" in fail(capfd, train, "--data", voca, "--out", run_folder, *QUICK)
    assert (run_folder / "checkpoint.pt").read_bytes() == before


def test_output_folder_that_cannot_be_written(voca, capfd):
    Path("file").write_text("not a folder")
    assert "file/run" in fail(capfd, train, "--data", voca, "--out", "file/run", *QUICK)


@pytest.mark.parametrize("options, message", [
    (["--size", "50"], "--size 50"), (["--iters", "0"], "--iters 0"), (["--seed", "-1"], "--seed -1"),
    (["--subjects", "nobody"], "nobody"), (["--vgg", "nofile.pth"], "nofile.pth"),
    (["--audio-features", "no/model"], "no/model")])
def test_options_that_cannot_work(voca, capfd, options, message):
    assert message in fail(capfd, train, "--data", voca, "--device", "cpu", "--preset", "small", *options)


@pytest.mark.parametrize("content, message", [
    (None, "no such file"), (b"", "empty"), (b"RIFF nonsense", "cannot be decoded")])
def test_animate_with_a_bad_sound_file_keeps_the_old_video(run_folder, capfd, content, message):
    media.write_video("talk.mp4", [np.zeros((16, 16, 3), np.uint8)] * 2, 25)
    old = Path("talk.mp4").read_bytes()
    if content is not None:
        Path("speech.wav").write_bytes(content)
    error = fail(capfd, animate, run_folder, "--audio", "speech.wav", "--out", "talk.mp4")
    assert "speech.wav" in error and message in error
    assert Path("talk.mp4").read_bytes() == old


def test_animate_into_a_folder_that_is_not_there(run_folder, capfd):
    speech = write_wav("speech.wav", voiced(0.3))
    assert "nowhere" in fail(capfd, animate, run_folder, "--audio", speech, "--out", "nowhere/talk.mp4")


def test_animate_with_sound_shorter_than_a_frame(run_folder, capfd):
    write_wav("speech.wav", voiced(0.02))
    assert "shorter than one video frame" in fail(capfd, animate, run_folder, "--audio", "speech.wav")


def test_animate_with_silence_works(run_folder):
    write_wav("speech.wav", np.zeros(8000))
    succeed(animate, run_folder, "--audio", "speech.wav", "--device", "cpu")
    assert sound_and_picture("talk.mp4")[1] == 15


@pytest.mark.parametrize("change, message", [
    (lambda path: path.write_bytes(path.read_bytes()[:5000]), "damaged"),
    (lambda path: torch.save({"weights": torch.zeros(3)}, path), "not a checkpoint"),
    (lambda path: torch.save(torch.load(path, weights_only=True) | {"format": 2}, path),
     "format 2, this program reads 3"),
    (lambda path: path.unlink(), "no such file")])
def test_animate_with_a_bad_checkpoint(run_folder, capfd, change, message):
    Path("run").mkdir()
    Path("run/checkpoint.pt").write_bytes((run_folder / "checkpoint.pt").read_bytes())
    change(Path("run/checkpoint.pt"))
    error = fail(capfd, animate, "run", "--audio", write_wav("speech.wav", voiced(0.5)))
    assert "checkpoint.pt" in error and message in error


def test_animate_with_a_checkpoint_of_another_configuration(run_folder, capfd):
    state = torch.load(run_folder / "checkpoint.pt", weights_only=True)
    state["config"]["width"] += 32
    Path("run").mkdir()
    torch.save(state, "run/checkpoint.pt")
    error = fail(capfd, animate, "run", "--audio", write_wav("speech.wav", voiced(0.5)))
    assert "do not fit its configuration" in error


def test_checkpoint_that_carries_code_is_not_run(capfd):
    class Hostile:
        def __reduce__(self):
            return os.system, ("touch hacked",)
    Path("run").mkdir()
    torch.save({"format": Hostile()}, "run/checkpoint.pt")
    assert "checkpoint.pt" in fail(capfd, animate, "run", "--audio", write_wav("speech.wav", voiced(0.5)))
    assert not Path("hacked").exists()


def test_animate_with_an_unknown_subject_lists_the_known(run_folder, capfd):
    speech = write_wav("speech.wav", voiced(0.5))
    assert "it knows" in fail(capfd, animate, run_folder, "--audio", speech, "--subject", "nobody")


# --------------------------------------------------------------------------------------------------- evaluate.py

def test_animate_takes_codes_from_elsewhere_and_draws_grids(run_folder, capfd):
    speech = write_wav("speech.wav", voiced(0.4))
    names = [take["name"] for take in torch.load(run_folder / "checkpoint.pt", weights_only=True)["takes"]]
    succeed(animate, run_folder, "--audio", speech, "--identity", names[-1].split("/")[0], "--expression",
            f"{names[0]}@2", "--light", f"{names[0]}:1,{names[-1]}:2", "--out", "mixed.mp4")
    assert sound_and_picture("mixed.mp4")[1] == 12
    succeed(animate, run_folder, "--sweep", "identity", "--audio", speech, "--out", "grid.png")
    grid = cv2.imread("grid.png")
    assert grid.shape == (2 * 150, 5 * 128, 3)
    assert "--light nobody" in fail(capfd, animate, run_folder, "--audio", speech, "--light", "nobody")
    assert ".png or .jpg" in fail(capfd, animate, run_folder, "--sweep", "identity", "--out", "grid.txt")
    with pytest.raises(SystemExit):
        animate.main([str(run_folder)])
    assert "--sweep for a grid" in capfd.readouterr().err


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory):
    """A short run on a small set of stand-in heads."""
    folder = tmp_path_factory.mktemp("toy")
    dataset.write_toyset(folder / "heads", subjects=2, sentences=3, seconds=0.8)
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        succeed(train, "--data", folder / "heads", "--out", folder / "run", *QUICK)
    return folder / "run"


@pytest.fixture
def quick_judges(monkeypatch):
    """Networks of a few steps: what they say is worth nothing, but it is said."""
    for module, name, short in ((landmark_regressor, "train_landmarker", {"iters": 3}),
                                (sync_expert, "EXPERT_ITERS", 3), (disentangle, "FRAMES", 2), (disentangle, "PAIRS", 1),
                                (factors, "train_reader", {"n": 40, "iterations": 3})):
        old = getattr(module, name)
        monkeypatch.setattr(module, name, functools.partial(old, **short) if callable(old) else short)


@pytest.fixture
def small_heads(tmp_path, monkeypatch):
    """The stand-in heads of a run: two people, four short sentences. They are written and rendered once, then copied.

    The copies keep their files' times, so that each run finds the rendered frames in its cache: beside the heads, and
    for the further sentences of the sync expert in a folder of their own.
    """
    made, write = tmp_path / "made", dataset.write_toyset

    def write_again(folder, seed, sentences=4):
        own = made / folder.name
        if not own.exists():
            write(own / "set", 2, sentences, 0.8, seed)
            last = [f"sentence{k + 1:02d}" for k in range(4, sentences)] or None
            load(own / "set", 32, own / "rendered", sentences=last, seed=seed)
        shutil.copytree(own / "set", folder)
        cache = {"heads": folder.parent, "others": folder.parent / "expert"}[folder.name]
        shutil.copytree(own / "rendered", cache, dirs_exist_ok=True)

    monkeypatch.setattr(dataset, "write_toyset", write_again)
    monkeypatch.setattr(dataset, "SENTENCES", 4)
    monkeypatch.setattr(evaluate, "PRESETS", {"small": dataclasses.replace(SMALL, size=32)})


def test_evaluate_writes_one_table_with_its_sanity_rows(run_folder, tmp_path, quick_judges):
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    succeed(evaluate, folder)
    rows = {row["row"]: row for row in csv.DictReader((folder / "evaluation.csv").open())}
    assert list(rows) == list(heldout.ROWS) and len({row["frames"] for row in rows.values()}) == 1
    truth = {name: float(value) for name, value in rows["truth"].items() if name not in ("row", "what")}
    assert truth["PSNR (dB)"] == np.inf and abs(truth["SSIM"] - 1) < 1e-6 and abs(truth["FID"]) < 1e-6
    assert float(rows["audio_pose"]["PSNR (dB)"]) < 40, "a render of three iterations cannot be the truth"
    assert float(rows["audio_pose"]["FID"]) > 1e-3
    assert rows["mean_face"]["lag (frames)"] == "nan", "a still mouth has no lag"
    text = (folder / "evaluation.md").read_text()
    assert text.count("\n| ") == len(rows) + 1 and "regressor" in text, "a line per row, and the rule"
    assert "random features" in text and "expert trained on the training frames" in text, "which networks looked"
    assert not list(folder.glob(".evaluate-*")), "nothing is left behind"


def test_evaluate_with_a_wrong_weights_file_is_one_line(run_folder, capfd):
    assert "nowhere.pt" in fail(capfd, evaluate, run_folder, "--fid-features", "nowhere.pt")
    assert "syncnet_v2.model" in fail(capfd, evaluate, run_folder, "--syncnet", "nowhere.model")
    assert not (run_folder / "evaluation.md").exists()


def test_disentangle_reports_every_figure_once(toy_run, quick_judges):
    succeed(evaluate, toy_run, "--disentangle")
    figures = dict(list(csv.reader((toy_run / "disentangle.csv").open()))[1:])
    assert all(f"leakage: {a} -> {b}" in figures for a in disentangle.MOVED for b in disentangle.MOVED)
    for a in disentangle.MOVED:
        assert float(figures[f"leakage_truth: {a} -> {a}"]) == pytest.approx(1)
    text = (toy_run / "disentangle.md").read_text()
    assert f"{float(figures['recombination: recombined, head (PSNR, dB)']):.2f}" in text
    assert f"with r = {float(figures['audio swap: r_B']):.2f}" in text
    picture = cv2.imread(str(toy_run / "swaps.png"))
    assert picture.shape == (2 * 2 * 150, 7 * 128, 3), "two people, truth and render, seven columns"


def test_data_that_have_changed_since_training_are_refused(toy_run, tmp_path, capfd):
    """A code belongs to its frame: with other takes each frame would be scored with the code of another.

    Each program that reads data once more, and each kind of change.
    """
    shutil.copytree(toy_run, tmp_path / "run")
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    first, *rest = state["takes"]
    fewer, shorter = state["takes"][:-1], [first | {"cam_to_head": first["cam_to_head"][1:]}, *rest]
    for takes, program, *args in ((fewer, evaluate, tmp_path / "run"),
                                  (shorter, evaluate, tmp_path / "run", "--disentangle"),
                                  (shorter, train, "--resume", "--out", tmp_path / "run", "--iters", "9")):
        torch.save(state | {"takes": takes}, tmp_path / "run" / "checkpoint.pt")
        assert "data have changed" in fail(capfd, program, *args)


def test_disentangle_needs_combinations_that_were_left_out(toy_run, capfd):
    path = toy_run.parent / "heads" / "recombinations.json"
    kept = path.read_text()
    path.write_text("[]")
    try:
        assert "no combination of person, albedo and light is left" in fail(capfd, evaluate, toy_run, "--disentangle")
    finally:
        path.write_text(kept)


def test_disentangle_needs_known_factors(run_folder, capfd):
    assert "stand-in heads only" in fail(capfd, evaluate, run_folder, "--disentangle")


def test_table2_trains_scores_and_goes_on(tmp_path, quick_judges, undrawn, small_heads, monkeypatch):
    """Three rows of one seed; stopped and called again it trains nothing twice."""
    args = ("--table2", "--seeds", "5", "--iters", "2", "--out", tmp_path / "t2", "--device", "cpu")
    succeed(evaluate, *args)
    runs = {name: tmp_path / "t2" / "seed5" / name for name in ablation.TABLE2.variants}
    state = {name: torch.load(path / "checkpoint.pt", weights_only=True) for name, path in runs.items()}
    assert not {"e_audio", "e_lip"} & state["no_sync"].keys() and {"e_audio", "e_lip"} <= state["no_dis"].keys()
    for part in ("extractor", "e_lip"):
        assert all(torch.equal(state["no_dis"][part][k], value) for k, value in state["full"][part].items())
    assert state["no_dis"]["config"]["lambda_dis"] == 0 and state["full"]["config"]["lambda_dis"] > 0
    rows = list(csv.DictReader((tmp_path / "t2" / "table2.csv").open()))
    assert [row["model"] for row in rows] == [variant.name for variant in ablation.TABLE2.variants.values()]
    text = (tmp_path / "t2" / "table2.md").read_text()
    assert f"{float(rows[1]['PSNR (dB)']):.3f}" in text and text.index("30.16") > text.index("rank these rows")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("checkpoint.pt")}
    (runs["no_dis"] / "scores.json").unlink()  # stopped before this row was scored
    monkeypatch.setattr(train, "run_stages", lambda *args: pytest.fail("trained again"))
    succeed(evaluate, *args)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("checkpoint.pt")}


def test_table2_mean_and_spread_by_hand():
    variants, shown = ablation.TABLE2.variants, ablation.TABLE2.shown
    figures = lambda value: {name: dict.fromkeys(shown, value) for name in variants}
    rows = ablation.rows_of({0: figures(1.0), 1: figures(2.0), 2: figures(6.0)}, variants, shown)
    assert rows[0]["SSIM"] == 3.0 and rows[0]["SSIM +-"] == pytest.approx(7**0.5) and rows[0]["seeds"] == 3
    assert "| Ours | 3.000 ± 2.646 |" in ablation.markdown(rows, ("SSIM",))
    alone = ablation.rows_of({1: figures(2.0)}, variants, ("SSIM",))
    assert "| Ours | 2.000 |" in ablation.markdown(alone, ("SSIM",))


def test_choices_trains_and_scores_every_row(tmp_path, quick_judges, undrawn, small_heads, monkeypatch):
    """Each row is trained with its own change, and takes over what the change leaves alone.

    That it learns: results.md.
    """
    other = ablation.SINGLE["mouth_seen"].change | ablation.SEPARATION["frame_random"].change
    changed = ablation.Variant("mouth seen, codes of frames from chance", other)
    variants = {"full": ablation.SINGLE["full"], "other": changed}
    monkeypatch.setitem(ablation.STUDIES, "choices", dataclasses.replace(ablation.CHOICES, variants=variants))
    crops, measure = [], disentangle.measure
    watched = lambda bench, *rest: crops.append(bench.heldout.heads) or measure(bench, *rest)
    monkeypatch.setattr(disentangle, "measure", watched)
    succeed(evaluate, "--choices", "--iters", "2", "--out", tmp_path, "--device", "cpu")
    blank = [bool((heads[:, -1] == 128).all()) for heads in crops]
    assert blank == [True, False], "each extractor sees what it learnt on"
    first, second = (torch.load(tmp_path / "seed0" / key / "checkpoint.pt", weights_only=True) for key in variants)
    same = lambda part: all(torch.equal(first[part][k], second[part][k]) for k in first[part])
    assert same("e_audio") and same("e_lip") and not same("extractor"), "only the extractor has seen other crops"
    frames = sum(len(take["cam_to_head"]) for take in first["takes"])
    codes = second["codes"]
    assert len(codes["tables.id.weight"]) == frames > len(first["codes"]["tables.id.weight"]) == 2
    assert not torch.allclose(codes["tables.id.weight"], codes["ref_id"], atol=0.3), "they started at random"
    used = load_run(tmp_path / "seed0" / "other").codes.tables["id"].weight
    takes = [next(t for t in second["takes"] if t["codes"]["id"] == i) for i in (0, 1)]
    middle = [t["first"] + len(t["cam_to_head"]) // 2 for t in takes]
    assert torch.equal(used, codes["tables.id.weight"][middle]), "one frame stands for a person"
    rows = list(csv.DictReader((tmp_path / "choices.csv").open()))
    assert [row["model"] for row in rows] == ["as it is", "mouth seen, codes of frames from chance"]
    assert rows[0]["PSNR (dB)"] != rows[1]["PSNR (dB)"], "two rows are the same model"
    table = [line for line in (tmp_path / "choices.md").read_text().splitlines() if line.startswith("|")]
    assert len(table) == 4 and len({line.count("|") for line in table}) == 1


def test_a_row_takes_over_what_its_change_leaves_alone():
    first = Checkpoint(SMALL, extractor={"w": 1}, references={"id": torch.zeros(2)}, takes=[],
                       backgrounds=torch.zeros(1), e_audio={"w": 5}, e_lip={"w": 8}, d_audio=6, model={"w": 7},
                       iteration=9)

    def taken(**change):
        start = ablation.shared(first, dataclasses.replace(SMALL, **change))
        assert start.model is None and start.iteration == 0 and start.cfg == dataclasses.replace(SMALL, **change)
        return {name for name in ("extractor", "references", "takes", "backgrounds", "e_audio", "e_lip", "d_audio")
                if getattr(start, name) is not None}

    everything, sync = taken(), {"e_audio", "e_lip", "d_audio"}
    assert len(everything) == 7
    assert taken(lambda_dis=0.0) == taken(random_codes=True) == taken(lip_dropout=0.2) == everything
    assert taken(sync=False) == everything - sync
    assert taken(d_ex=8) == taken(blank_mouth=False) == sync
    assert taken(code_per_frame=True) == {"extractor"} | sync
    assert taken(d_lip=8) == taken(voices=0.3) == taken(sound_layers=0) == taken(sound_noise=0.1) == everything - sync
    assert taken(sound_smooth=0.1) == set(), "F_A is part of the data"
    assert taken(tau=0.1) == set(), "what both networks read"
    assert taken(crop=32) == sync, "crops are the extractor's"
    assert ablation.shared(None, SMALL) == Checkpoint(SMALL)


def test_choices_are_changes_of_known_settings():
    models = ablation.SINGLE | ablation.SEPARATION
    assert all(dataclasses.replace(SMALL, **model.change) != SMALL for key, model in models.items() if key != "full")
    assert len({model.name for model in models.values()}) == len(models)


def test_evaluate_wants_a_run_or_table2(run_folder, capfd):
    for args in ((), (run_folder, "--table2")):
        with pytest.raises(SystemExit) as stop:
            evaluate.main([str(a) for a in args])
        assert stop.value.code == 2 and "--controls without one" in capfd.readouterr().err
    assert "--seeds a" in fail(capfd, evaluate, "--table2", "--seeds", "a")


def test_other_sound_is_that_of_another_sentence_turned_round():
    f_a = np.arange(14, dtype=np.float32).reshape(7, 2, 1)
    held = Corpus.__new__(Corpus)  # only what the function reads
    held.takes, held.first, held.numbers, held.f_a = [0, 1], np.array([0, 3, 7]), [np.arange(3), np.arange(4)], f_a
    assert np.array_equal(heldout.other_sound(held, 0), f_a[[5, 6, 3]]), "4 frames turned by 2, cut to 3"
    assert np.array_equal(heldout.other_sound(held, 1), f_a[[2, 0, 1, 2]])
