"""test_cli.py - the two programs as a user runs them: each kind of input end to end, resume, and bad input.

Everything here goes through the command line in a process of its own, a few iterations long.
"""
import csv
import json
import os
import signal
import subprocess
import sys
import time
import wave as wavefile
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from voca_fixture import make_voca

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "data"
QUICK = ["--device", "cpu", "--preset", "small", "--size", "32", "--iters", "3"]
needs_clip = pytest.mark.skipif(not REAL.is_dir(), reason="the real test clip is not here")


def program(*args, cwd, ok=True):
    """Run `python *args`; returns (exit code, stdout, stderr). With ok, fail with the output if it did not exit 0."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, *map(str, args)], cwd=cwd, capture_output=True, text=True, env=environment)
    if ok:
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.returncode, done.stdout, done.stderr


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


@pytest.fixture(scope="session")
def voca(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "voca"
    make_voca(folder, subjects=2, sentences=2, seconds=1.0)
    return folder


@pytest.fixture(scope="session")
def run_folder(voca):
    """A run on the VOCASET-layout folder, whose data are then renamed away: animate.py must do without."""
    out = voca.parent / "run"
    program(ROOT / "train.py", "--data", voca, "--out", out, *QUICK, cwd=voca.parent)
    return out


def test_voca_run_folder_is_complete(run_folder):
    names = {"config.json", "checkpoint.pt", "log.csv", "loss.png", "preview.png", "preview.mp4", "heldout.json"}
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


def test_animate_needs_the_run_folder_only(run_folder, voca, tmp_path):
    speech = write_wav(tmp_path / "speech.wav", voiced(1.3))
    hidden = voca.rename(voca.with_name("gone"))
    try:
        program(ROOT / "animate.py", run_folder, "--audio", speech, "--out", tmp_path / "talk.mp4", "--orbit", cwd=tmp_path)
    finally:
        hidden.rename(voca)
    seconds, frames, fps, peak, comment = sound_and_picture(tmp_path / "talk.mp4")
    assert abs(frames / fps - 1.3) <= 1 / fps, f"{frames} frames for 1.3 s"
    assert abs(seconds - 1.3) < 0.1 and peak > 0.1 and "synthetic" in comment


def test_stand_in_heads_from_nothing(tmp_path):
    program(ROOT / "train.py", *QUICK, "--subjects", "2", "--sentences", "2", "--out", tmp_path / "run", cwd=tmp_path)
    assert sound_and_picture(tmp_path / "run" / "preview.mp4")[1] > 10


@needs_clip
def test_real_clip(tmp_path):
    out = tmp_path / "run"
    program(ROOT / "train.py", "--data", REAL / "real_clip.mp4", "--out", out, *QUICK, cwd=tmp_path)
    program(ROOT / "animate.py", out, "--audio", REAL / "real_speech.wav", "--out", tmp_path / "talk.mp4", cwd=tmp_path)
    seconds, frames, fps, _, _ = sound_and_picture(tmp_path / "talk.mp4")
    with wavefile.open(str(REAL / "real_speech.wav")) as file:
        length = file.getnframes() / file.getframerate()
    assert fps == 25 and abs(frames / fps - length) <= 1 / fps and abs(seconds - length) < 0.1


def test_no_sync_run_animates(voca, tmp_path):
    out = tmp_path / "run"
    program(ROOT / "train.py", "--data", voca, "--out", out, *QUICK, "--no-sync", "--no-dis", "--no-vel", cwd=tmp_path)
    speech = write_wav(tmp_path / "speech.wav", voiced(0.5))
    program(ROOT / "animate.py", out, "--audio", speech, "--out", tmp_path / "talk.mp4", cwd=tmp_path)
    assert {row["stage"] for row in csv.DictReader((out / "log.csv").open())} == {"extractor", "field"}


# ---------------------------------------------------------------------------------------------------------------------
# Resume


def weights(folder):
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    return {**{f"model.{k}": v for k, v in state["model"].items()}, **{f"codes.{k}": v for k, v in state["codes"].items()}}


def test_killed_run_resumes_bit_for_bit(voca, tmp_path):
    """kill -9 in the field stage, then --resume: the same log and weights as a run that was left alone."""
    common = ["--data", voca, "--device", "cpu", "--preset", "small", "--size", "32", "--iters", "40"]
    program(ROOT / "train.py", *common, "--out", tmp_path / "whole", cwd=tmp_path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, str(ROOT / "train.py"), *map(str, common), "--out", "killed"], cwd=tmp_path,
                               env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log, deadline = tmp_path / "killed" / "log.csv", time.time() + 120
    while time.time() < deadline and not (log.is_file() and "field,20" in log.read_text()):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "field,20" in log.read_text(), "the run never reached the field stage"
    assert (tmp_path / "killed" / "checkpoint.pt").is_file() and not (tmp_path / "killed" / "heldout.json").exists()
    program(ROOT / "train.py", "--resume", "--out", "killed", "--device", "cpu", cwd=tmp_path)
    assert (tmp_path / "killed" / "log.csv").read_text() == (tmp_path / "whole" / "log.csv").read_text()
    a, b = weights(tmp_path / "killed"), weights(tmp_path / "whole")
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_resume_refuses_another_configuration(run_folder, tmp_path):
    before = (run_folder / "checkpoint.pt").read_bytes()
    code, _, error = program(ROOT / "train.py", "--resume", "--out", run_folder, "--seed", "7", cwd=tmp_path, ok=False)
    assert one_line(code, error) and "seed = 0, not 7" in error
    assert (run_folder / "checkpoint.pt").read_bytes() == before


# ---------------------------------------------------------------------------------------------------------------------
# Bad input: one clear line, a non-zero code, nothing lost


def one_line(code, error):
    """Whether stderr ends in exactly one line that begins with error:, and there is no traceback."""
    lines = [line for line in error.replace("\r", "\n").splitlines() if line.strip()]
    assert "Traceback" not in error, error[-2000:]
    return code != 0 and lines and lines[-1].startswith("error: ") and sum("error:" in line for line in lines) == 1


def test_data_that_is_not_there_says_what_is_accepted(tmp_path):
    code, _, error = program(ROOT / "train.py", "--data", "voca/", "--out", "run", cwd=tmp_path, ok=False)
    assert one_line(code, error) and "voca" in error and "voca.is.tue.mpg.de" in error and ".landmarks.npy" in error
    assert not (tmp_path / "run").exists(), "a failed start left a run folder"


def test_existing_run_is_not_overwritten(run_folder, voca, tmp_path):
    before = (run_folder / "checkpoint.pt").read_bytes()
    code, _, error = program(ROOT / "train.py", "--data", voca, "--out", run_folder, *QUICK, cwd=tmp_path, ok=False)
    assert one_line(code, error) and "--resume" in error
    assert (run_folder / "checkpoint.pt").read_bytes() == before


def test_output_folder_that_cannot_be_written(voca, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    code, _, error = program(ROOT / "train.py", "--data", voca, "--out", "file/run", *QUICK, cwd=tmp_path, ok=False)
    assert one_line(code, error) and "file/run" in error


@pytest.mark.parametrize("content, message", [
    (None, "no such file"), (b"", "empty"), (b"RIFF nonsense", "cannot be decoded")])
def test_animate_with_a_bad_sound_file_keeps_the_old_video(run_folder, tmp_path, content, message):
    (tmp_path / "talk.mp4").write_bytes(b"the old video")
    if content is not None:
        (tmp_path / "speech.wav").write_bytes(content)
    code, _, error = program(ROOT / "animate.py", run_folder, "--audio", "speech.wav", "--out", "talk.mp4", cwd=tmp_path,
                             ok=False)
    assert one_line(code, error) and "speech.wav" in error and message in error
    assert (tmp_path / "talk.mp4").read_bytes() == b"the old video"


def test_animate_with_sound_shorter_than_a_frame(run_folder, tmp_path):
    write_wav(tmp_path / "speech.wav", voiced(0.02))
    code, _, error = program(ROOT / "animate.py", run_folder, "--audio", "speech.wav", cwd=tmp_path, ok=False)
    assert one_line(code, error) and "shorter than one video frame" in error


def test_animate_with_silence_works(run_folder, tmp_path):
    write_wav(tmp_path / "speech.wav", np.zeros(8000))
    program(ROOT / "animate.py", run_folder, "--audio", "speech.wav", "--out", "talk.mp4", cwd=tmp_path)
    assert sound_and_picture(tmp_path / "talk.mp4")[1] == 15


@pytest.mark.parametrize("change, message", [
    (lambda path: path.write_bytes(path.read_bytes()[:5000]), "damaged"),
    (lambda path: torch.save({"weights": torch.zeros(3)}, path), "not a checkpoint"),
    (lambda path: path.unlink(), "no such file")])
def test_animate_with_a_bad_checkpoint(run_folder, tmp_path, change, message):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes((run_folder / "checkpoint.pt").read_bytes())
    change(tmp_path / "run" / "checkpoint.pt")
    speech = write_wav(tmp_path / "speech.wav", voiced(0.5))
    code, _, error = program(ROOT / "animate.py", "run", "--audio", speech, cwd=tmp_path, ok=False)
    assert one_line(code, error) and "checkpoint.pt" in error and message in error


def test_animate_with_a_checkpoint_of_another_configuration(run_folder, tmp_path):
    state = torch.load(run_folder / "checkpoint.pt", weights_only=True)
    state["config"]["width"] += 32
    (tmp_path / "run").mkdir()
    torch.save(state, tmp_path / "run" / "checkpoint.pt")
    speech = write_wav(tmp_path / "speech.wav", voiced(0.5))
    code, _, error = program(ROOT / "animate.py", "run", "--audio", speech, cwd=tmp_path, ok=False)
    assert one_line(code, error) and "do not fit its configuration" in error


def test_animate_with_an_unknown_subject_lists_the_known(run_folder, tmp_path):
    speech = write_wav(tmp_path / "speech.wav", voiced(0.5))
    code, _, error = program(ROOT / "animate.py", run_folder, "--audio", speech, "--subject", "nobody", cwd=tmp_path, ok=False)
    assert one_line(code, error) and "it knows" in error
