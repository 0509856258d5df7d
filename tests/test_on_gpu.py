"""test_on_gpu.py - the script that measures the large presets: here a tiny one on the CPU."""
import contextlib
import io
import math
from pathlib import Path

import pytest

import animate
import train
from evaluation import report
from speed import on_gpu
from test_people import film
from tools.errors import InputError


@pytest.fixture
def here(monkeypatch):
    """Commands run in this process, but for evaluate.py, whose judges learn for minutes: its table is given."""
    called = []

    def run(*command):
        name, arguments = command[0], [str(part) for part in command[1:]]
        called.append((name, arguments))
        if "--data" not in arguments and name == "train.py":
            raise InputError("no heads | today; try tomorrow")
        if name == "evaluate.py":
            Path(arguments[0], "evaluation.csv").write_text(
                "row,PSNR head (dB),PSNR (dB),SSIM\ntruth,inf,inf,1\naudio_pose,21.5,23.25,0.75\n")
            return ""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            {"train.py": train, "animate.py": animate}[name].main(arguments)
        return said.getvalue()

    monkeypatch.setattr(on_gpu, "run", run)
    monkeypatch.setattr(on_gpu, "TRIAL", 8)
    monkeypatch.setattr(report, "write", lambda *args: None)
    return called


def test_a_tiny_run_on_the_cpu_fills_the_table(here, tmp_path, capsys):
    film(tmp_path / "clip.mp4", 22, 25)
    tiny = ["--size", "32", "--pairs", "2", "--audio-features", "logmel"]
    on_gpu.main(["--clip", str(tmp_path / "clip.mp4"), "--minutes", "0.01", "--presets", "small", "--device", "cpu",
                 "--out", str(tmp_path / "gpu"), *tiny])
    head, _, failed, row = (tmp_path / "gpu" / "gpu.md").read_text().splitlines()
    cells = dict(zip(*([cell.strip() for cell in line.strip("|").split("|")] for line in (head, row))))
    assert tuple(cells) == on_gpu.COLUMNS
    assert (cells["preset"], cells["data"], cells["device"]) == ("small", "clip", "cpu, float32")
    assert (cells["PSNR head (dB)"], cells["PSNR (dB)"], cells["SSIM"]) == ("21.5", "23.25", "0.75")
    assert all(float(cells[name]) > 0 for name in ("iterations", "iterations/s", "frames/s", "memory (GB)"))
    assert Path(cells["look at"]).parent == tmp_path / "gpu" / "small-clip"
    assert "no heads   today; try tomorrow |" in failed, "the line says why, and the clip went on"
    trained = [arguments for name, arguments in here if name == "train.py"][1:]
    assert [a[a.index("--iters") + 1] for a in trained] == [str(on_gpu.TRIAL), cells["iterations"]]
    assert "| small | clip |" in capsys.readouterr().out


def test_numbers_are_read_from_what_the_commands_say():
    said = ("field: NVIDIA H100, bfloat16, about 6.4 GB; 0.125 s an iteration, 5 min to go\n"
            "field: took at most 512 MB\n")
    assert on_gpu.number(on_gpu.EACH, said) == 0.125 and on_gpu.gigabytes(said) == 0.5
    assert on_gpu.gigabytes(said.splitlines()[0]) == 6.4 and math.isnan(on_gpu.number(on_gpu.EACH, ""))
    bar = "rendering: 10%| 1/9 [00:01<00:05, 7.5frame/s]\rrendering: 100%| 9/9 [00:01<00:00, 9.25frame/s]"
    assert on_gpu.frame_rate(bar) == 9.25
    assert on_gpu.frame_rate("rendering: 100%| 9/9 [00:18<00:00,  2.00s/frame]") == 0.5


def test_what_a_command_said_last_is_the_error(capsys):
    """A real process; tracking.py begins soonest, because it does not import torch."""
    with pytest.raises(InputError, match="nowhere.mp4: no such file"):
        on_gpu.run("tracking.py", "nowhere.mp4")
    assert "$ python tracking.py nowhere.mp4" in capsys.readouterr().out
    with pytest.raises(InputError, match="gone.mp4: no such file"):
        on_gpu.main(["--clip", "gone.mp4"])
