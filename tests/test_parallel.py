"""test_parallel.py - several processes of torchrun learn what one does with the same batch (Sec. 4.2).

This process is the first of two, as torchrun's environment says it; the second is one of its own. They talk by gloo.
"""
import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import train
from evaluation import report
from inference import options
from inference.run import Checkpoint
from speed import parallel
from test_people import film
from tools.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
PAIRS = ["--pairs", "4", "--device", "cpu"]


@pytest.fixture
def one_of(monkeypatch):
    """one_of(rank, size): as if this were that process of so many."""
    def pretend(rank, size):
        monkeypatch.setattr(parallel, "size", lambda: size)
        monkeypatch.setattr(parallel, "rank", lambda: rank)
    return pretend


def test_processes_take_whole_pairs_and_together_all_of_them(one_of):
    one_of(1, 3)
    assert parallel.rows(12).tolist() == [2, 3, 8, 9], "pairs 2 and 3: frames j - 1, then their j"
    found = []
    for rank in range(3):
        one_of(rank, 3)
        found += parallel.rows(12).tolist()
    assert sorted(found) == list(range(12))


@pytest.mark.parametrize("draw, whole", [(parallel.normal, torch.randn), (parallel.uniform, torch.rand)])
def test_noise_is_that_of_the_whole_batch(one_of, draw, whole):
    seeded = lambda: torch.Generator().manual_seed(5)
    want = whole(8, 3, 2, generator=seeded())
    assert torch.equal(draw((8, 3, 2), seeded()), want), "one process draws as before"
    for rank in range(2):
        one_of(rank, 2)
        generator = seeded()
        assert torch.equal(draw((4, 3, 2), generator), want[parallel.rows(8)])
        assert torch.equal(torch.rand(1, generator=generator), torch.rand(1, generator=after(whole, seeded())))


def after(whole, generator):
    whole(8, 3, 2, generator=generator)
    return generator


def test_pairs_that_cannot_be_shared_are_refused_in_one_line(one_of):
    one_of(0, 2)
    parallel.check_pairs(4)
    with pytest.raises(InputError, match="2 processes cannot share 9 frame pairs .* 1, 3, 9, or --pairs 2") as caught:
        parallel.check_pairs(9)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="--pairs 0: want"):
        options.new_config(options.parse(["--preset", "small", "--pairs", "0"]), torch.device("cpu"))


def test_more_processes_than_gpus_are_refused(monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="process 2 has no GPU.*--nproc-per-node 1"):
        with parallel.joined(torch.device("cuda")):
            pytest.fail("joined")


def test_only_the_first_speaks_of_another_that_has_ended(one_of, monkeypatch):
    def broken():
        with parallel._together():
            raise RuntimeError("Connection closed by peer\nand more")

    one_of(0, 2)
    with pytest.raises(InputError, match=r"another process has ended \(Connection closed by peer\)"):
        broken()
    one_of(1, 2)
    waited = []
    monkeypatch.setattr(parallel.time, "sleep", waited.append)
    with pytest.raises(SystemExit):
        broken()
    assert waited == [parallel.PATIENCE]


# ---- two real processes --------------------------------------------------------------------------

@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    film(path, 22, 25)
    return path


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    monkeypatch.setattr(report, "write", lambda *args: None)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def in_two(monkeypatch, arguments):
    """train.py with these arguments, as torchrun would start it twice; what the second process has said."""
    names = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2"}
    environment = {**os.environ, **names, "RANK": "1", "LOCAL_RANK": "1", "OMP_NUM_THREADS": "1"}
    second = subprocess.Popen([sys.executable, ROOT / "train.py", *arguments], env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        with monkeypatch.context() as patch:
            for name, value in (names | {"RANK": "0", "LOCAL_RANK": "0"}).items():
                patch.setenv(name, value)
            train.main(arguments)
        said, _ = second.communicate(timeout=60)
    finally:
        second.kill()
    assert second.returncode == 0, said
    return said


def field_rows(out):
    return [row for row in csv.DictReader((out / "log.csv").open()) if row["stage"] == "field"]


def weights(out):
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    return {f"{part}.{name}": value for part in ("model", "codes") for name, value in state[part].items()}


def test_two_processes_learn_what_one_does_and_one_goes_on_from_there(clip, tmp_path, monkeypatch):
    asked = ["--data", str(clip), "--preset", "small", "--size", "32", "--iters", "11", *PAIRS,
             "--audio-features", "logmel"]
    one, two = tmp_path / "one", tmp_path / "two"
    train.main([*asked, "--out", str(one)])
    said = in_two(monkeypatch, [*asked, "--out", str(two)])
    assert said.strip() == "", f"the second process speaks: {said}"
    rows = field_rows(one), field_rows(two)
    assert [row["iteration"] for row in rows[1]] == ["0", "10"]
    for a, b in zip(*rows):
        for name in ("loss", "L_rec", "L_pho", "L_dis", "L_v", "L_opacity"):
            assert float(b[name]) == pytest.approx(float(a[name]), rel=1e-4, abs=1e-7), name
    a, b = weights(one), weights(two)
    assert a.keys() == b.keys()
    for name in a:  # where a gradient is nearly 0, Adam makes a step of its rounding
        apart = (a[name] - b[name]).abs().numpy()
        assert np.quantile(apart, 0.95) < 1e-4 and apart.max() < 0.02, name
    train.main(["--resume", "--out", str(two), "--iters", "12", "--device", "cpu"])
    checkpoint = Checkpoint.read(two)
    assert checkpoint.iteration == 12 and checkpoint.cfg.pairs == 4
    assert any(not torch.equal(value, b[f"model.{name}"]) for name, value in checkpoint.model.items())
