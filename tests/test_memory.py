"""test_memory.py - what a step and a frame take of memory, counted beforehand; rays in parts; the line that says it."""
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from config import CLIP, PAPER, SMALL
from dhnerf import DHNeRF, LatentCodes, LatentExtractor
from inference.rendering import render_frames
from inference.run import Run
from losses import load_vgg
from speed import forecast, memory, precision
from speed.forecast import Forecast
from tiny_field import TINY, tiny_trainer

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
PLAIN = replace(SMALL, sync=False, pairs=2)
CLIPS = replace(PLAIN, body=True, box=CLIP["box"], n_freq_v=0, code_noise=0.9)
LARGE = replace(PAPER, least=0.0, size=32, sync=False, vgg="random")
GB = 2**30


def trainer_of(cfg, device="cpu"):
    return tiny_trainer(cfg, load_vgg("random", cfg.vgg_layers).to(device) if cfg.vgg != "none" else None, device)


def loss_of(trainer, kind="float32"):
    with precision.of_layers(kind, trainer.device):
        return trainer.loss_terms(trainer.batches.batch(1), torch.Generator().manual_seed(0))["loss"]


def kept(trainer, kind):
    """Bytes of all storages that the graph keeps but the weights', each counted once."""
    networks = [trainer.model, *([trainer.vgg] if trainer.vgg else [])]
    fixed = {t.untyped_storage().data_ptr() for n in networks for t in (*n.parameters(), *n.buffers())}
    found = {}

    def pack(tensor):
        found.setdefault(tensor.untyped_storage().data_ptr(), (tensor.untyped_storage().nbytes(), tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = loss_of(trainer, kind)
    assert loss.requires_grad
    return sum(size for place, (size, _) in found.items() if place not in fixed)


class Live(TorchDispatchMode):
    """The most bytes that storages made in the block have had at one time: what a GPU's allocator would see."""

    def __init__(self):
        super().__init__()
        self.now, self.most, self.sizes = 0, 0, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided:
                self._see(tensor.untyped_storage())
        return out

    def _see(self, storage):
        place = storage.data_ptr()
        if place not in self.sizes:
            self.sizes[place] = storage.nbytes()
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._gone, place)

    def _gone(self, place):
        self.now -= self.sizes.pop(place)


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("cfg", [PLAIN, CLIPS, LARGE, replace(LARGE, vgg="none", n_fine=0)],
                         ids=["small", "clip", "paper", "paper, coarse"])
def test_what_a_step_keeps_is_known_within_a_quarter(cfg, kind):
    found = kept(trainer_of(cfg), kind)
    assert memory.kept_bytes(cfg, kind == "bfloat16") == pytest.approx(found, rel=0.25)


def test_the_most_that_a_step_takes_is_known_within_a_quarter():
    """Also with rays in parts: then the parts' own samples weigh, and are counted."""
    for cfg, rays in ((LARGE, None), (LARGE, 8), (replace(PLAIN, pairs=9), None)):
        trainer = trainer_of(cfg)
        trainer.step(0)
        weights = sum(p.numel() for p in trainer.model.parameters())
        trainer.model.rays_at_once = rays
        for optimiser in trainer.optimisers:
            optimiser.zero_grad()
        with Live() as live:
            trainer.step(1)
        want = live.most + 3 * 4 * weights  # weights and Adam's moments were there before
        assert memory.step_bytes(cfg, weights, False, rays=rays) == pytest.approx(want, rel=0.25), (cfg.preset, rays)


def test_processes_share_what_a_step_takes():
    alone, shared = (memory.kept_bytes(replace(LARGE, pairs=4), False, n) for n in (1, 4))
    assert alone == pytest.approx(4 * shared)


def test_paper_at_512_px_fits_into_12_gb():
    weights = sum(p.numel() for p in DHNeRF(PAPER).parameters())
    for lowered in (True, False):
        rays = memory.rays_for_step(PAPER, weights, lowered, 11.5 * GB)
        assert memory.step_bytes(PAPER, weights, lowered, rays=rays) < 0.85 * 11.5 * GB
        assert (rays is None) == lowered, "float32 needs rays in parts, bfloat16 does not"
        assert memory.rays_for_step(PAPER, weights, lowered, 40 * GB) is None
    few = memory.rays_for_step(PAPER, weights, True, 1 * GB)
    assert few == memory.FEWEST_RAYS or memory.step_bytes(PAPER, weights, True, rays=few) < 0.85 * GB


# ---- rays in parts -------------------------------------------------------------------------------

@pytest.mark.parametrize("cfg", [replace(TINY, body=True, code_noise=0.5), replace(LARGE, size=32, vgg="none"),
                                 replace(TINY, n_fine=0)], ids=["clip", "paper", "coarse"])
def test_a_step_with_rays_in_parts_has_the_same_loss_and_gradients(cfg):
    """The samples' jitter is of the whole batch, and the second computation draws nothing."""
    results = []
    for rays in (None, 2 * cfg.pairs * 3, 1):
        trainer = trainer_of(cfg)
        trainer.model.rays_at_once = rays
        loss = loss_of(trainer)
        loss.backward()
        results.append((loss.item(), {n: p.grad for n, p in trainer.model.named_parameters()}))
    (loss, grads), *others = results
    for other, gradients in others:
        assert other == pytest.approx(loss, rel=1e-5)
        for name, grad in grads.items():
            assert torch.allclose(gradients[name], grad, rtol=1e-3, atol=1e-5 * grad.abs().max() + 1e-9), name


def test_parts_keep_a_fraction():
    whole, parts = trainer_of(LARGE), trainer_of(LARGE)
    parts.model.rays_at_once = 4
    assert kept(parts, "float32") < kept(whole, "float32") / 8


def test_frames_are_rendered_in_parts_where_memory_is_short_and_are_the_same(monkeypatch):
    cfg = replace(TINY, sync=False, patch=0, upsample=1)
    codes = LatentCodes({name: torch.ones(1, cfg.code_size(name)) for name in ("id", "ex", "al", "ill")})
    run = Run(cfg, DHNeRF(cfg).eval(), codes, LatentExtractor(cfg).eval(), None, [], torch.zeros(0), CPU)
    pose = torch.diag(torch.tensor([1.0, -1, -1, 1]))
    pose[2, 3] = 8.0
    K = torch.tensor([[80.0, 0, 16], [0, 80, 16], [0, 0, 1]])
    ask = lambda: np.stack(list(render_frames(run, {n: t.weight for n, t in codes.tables.items()}, None, K, pose[None],
                                              torch.zeros(32, 32, 3, dtype=torch.uint8))))
    whole = ask().astype(int)
    assert run.model.rays_at_once is None and np.ptp(whole) > 20
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**20)
    assert np.abs(ask().astype(int) - whole).max() <= 1
    assert run.model.rays_at_once == memory.FEWEST_RAYS < 32 * 32


# ---- the line ------------------------------------------------------------------------------------

@pytest.fixture
def clock(monkeypatch):
    """clock["now"] is the time, in s."""
    time = {"now": 100.0}
    monkeypatch.setattr(forecast.time, "perf_counter", lambda: time["now"])
    return time


def told(clock, cfg, iterations, seconds, model=None):
    """What is said, and after which iteration, when each takes so many seconds and the first ten times as many."""
    said, expected = [], Forecast(cfg, model or DHNeRF(cfg), CPU, iterations)
    for n in range(1, iterations + 1):
        clock["now"] += seconds * (10 if n == 1 else 1)
        expected.after_step(lambda line: said.append((n, line)))
    return said


def test_one_line_says_device_precision_memory_and_time(clock):
    [(after, line)] = told(clock, replace(SMALL, iters=1000), 1000, 0.25)
    assert after == forecast.TIMED and line.startswith("field: cpu, float32, about ")
    assert line.endswith("MB; 0.25 s an iteration, 4 min to go"), line
    [(after, line)] = told(clock, SMALL, 50, 30.0)
    assert after == forecast.WARM + 1 and "30 s an iteration, 23 min" in line, "slow ones are not waited for"
    for few in (1, 2, 3):
        [(after, line)] = told(clock, SMALL, few, 0.1)
        assert after == few and "iteration" not in line
    [(after, line)] = told(clock, SMALL, 5, 0.1)
    assert after == 5 and "0.1 s an iteration, 0 s to go" in line


def test_the_line_says_so_where_memory_is_short(clock, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 40 * 2**20)
    cfg = replace(LARGE, size=256, vgg="none", precision="bfloat16")
    model = DHNeRF(cfg)
    [(_, line)] = told(clock, cfg, 30, 0.5, model)
    assert model.rays_at_once == 512 and "cpu, bfloat16, 512 rays at a time, computed twice, about" in line


# ---- on a GPU ------------------------------------------------------------------------------------

@needs_gpu
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_a_gpu_takes_what_was_estimated(kind):
    cfg = replace(LARGE, size=256, precision=kind)
    trainer = trainer_of(cfg, "cuda")
    weights = sum(p.numel() for p in trainer.model.parameters())
    torch.cuda.reset_peak_memory_stats()
    for it in range(3):
        trainer.step(it)
    found = torch.cuda.max_memory_allocated()
    assert memory.step_bytes(cfg, weights, kind == "bfloat16") == pytest.approx(found, rel=0.3)


@needs_gpu
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_paper_at_512_px_trains_in_12_gb_of_a_gpu(kind, monkeypatch):
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    if total < 12 * GB:
        pytest.skip("this GPU has less than 12 GB")
    torch.cuda.set_per_process_memory_fraction(12 * GB / total)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 11.5 * GB)
    try:
        cfg = replace(PAPER, sync=False, vgg="random", precision=kind)
        trainer = trainer_of(cfg, "cuda")
        Forecast(cfg, trainer.model, trainer.device, 2)
        assert all(torch.isfinite(trainer.step(it)["loss"]) for it in range(2))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
