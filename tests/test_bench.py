"""test_bench.py - bench.py: the literal Eq. 1 as an oracle, HeadNeRF's sizes, how time is taken (Sec. 3.2)."""
import csv
import math
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import bench
from config import CLIP, PAPER, SMALL, for_data, shortened
from dhnerf import DHNeRF
from inference import run
from speed import growth, headnerf, literal, measure
from speed.sheet import Bench, Plan
from speed.stand_in import frame_inputs, head, shape_as_head
from tools.errors import InputError

CPU = torch.device("cpu")
TINY = replace(SMALL, size=32, upsample=4, patch=4, pairs=2, width=16, width_appearance=16, d_feature=8,
               channels_2d=16, plane_size=8, n_coarse=6, n_fine=4)
DEEP = replace(TINY, plane_channels=0, depth=6, n_freq_x=6)  # x enters again; sines alone
CASES = {"planes": TINY, "deep": DEEP, "coarse alone": replace(TINY, n_fine=0), "no sync": replace(TINY, sync=False),
         "body": replace(TINY, **CLIP)}


def both(cfg, two_fields=True, **more):
    """(ours, literal): images and gradients of all parameters, with one loss on image and opacity."""
    torch.manual_seed(1)
    model = DHNeRF(cfg)
    inputs, found = frame_inputs(cfg, 2), []
    for way in (model, literal.Literal(model, two_fields)):
        model.zero_grad()
        torch.manual_seed(2)
        out = way(*inputs, **{name: make() for name, make in more.items()})
        weight = torch.rand(out["image"].shape, generator=torch.Generator().manual_seed(3)).to(out["image"])
        ((weight * out["image"]).sum() + out["opacity_field"].square().sum()).backward()
        grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        found.append((out, grads))
    return found


def rest():
    return torch.eye(4).expand(2, 4, 4) @ frame_inputs(TINY, 1, seed=9)[3]


@pytest.mark.eq1
@pytest.mark.parametrize("two_fields", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_literal_gives_the_same_picture_and_the_same_gradients(case, two_fields):
    cfg = CASES[case]
    more = {"rest": rest} if cfg.body else {}
    more["generator"] = lambda: torch.Generator().manual_seed(4)  # samples are jittered, as in training
    (ours, grads), (other, others) = both(cfg, two_fields, **more)
    for name in ("image", "opacity", "opacity_field", "M"):
        torch.testing.assert_close(other[name], ours[name], atol=1e-5, rtol=1e-5)
    assert set(grads) == set(others) and len(grads) > 15
    for name, grad in grads.items():
        torch.testing.assert_close(others[name], grad, atol=1e-4 * grad.abs().max().item() + 1e-7, rtol=1e-3, msg=name)


@pytest.mark.eq1
def test_literal_renders_a_patch_and_a_head_in_empty_space():
    model = shape_as_head(DHNeRF(replace(TINY, patch=3)))
    inputs = frame_inputs(TINY, 2)
    inputs = *inputs[:4], inputs[4][:, :, :12, :12]
    corner = torch.tensor([[0, 1], [4, 5]])
    with torch.no_grad():
        ours, other = model(*inputs, corner=corner), literal.Literal(model)(*inputs, corner=corner)
    assert ours["image"].shape == (2, 3, 12, 12)
    torch.testing.assert_close(other["image"], ours["image"], atol=1e-5, rtol=0)
    whole = frame_inputs(TINY, 2)
    torch.testing.assert_close(literal.literal_forward(model, *whole), model(*whole)["image"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("what", ["codes not scaled", "view of another ray", "bias per ray"])
def test_a_broken_literal_is_noticed(monkeypatch, what):
    if what == "codes not scaled":
        monkeypatch.setattr(literal, "end_to_end", lambda codes: torch.cat(codes, -1))
    elif what == "view of another ray":
        encoding = literal.positional_encoding
        monkeypatch.setattr(literal, "positional_encoding", lambda x, n: encoding(x.roll(5, 1), n))
    else:  # what `feature_of_ray` would give if the last layer's bias counted once a ray, not once an opacity
        def features(self, h, v, points):
            return right(self, h, v, points) + 0.3
        right = literal.LiteralField.features
        monkeypatch.setattr(literal.LiteralField, "features", features)
    (ours, _), (other, _) = both(TINY)
    assert (ours["image"] - other["image"]).abs().max() > 1e-4


def test_two_fields_ask_the_coarse_samples_again(monkeypatch):
    asked, ask = [], literal.LiteralField.__call__

    def counted(self, points, v):
        asked.append(points.shape[2])
        return ask(self, points, v)
    monkeypatch.setattr(literal.LiteralField, "__call__", counted)
    model, inputs = DHNeRF(TINY), frame_inputs(TINY)
    literal.Literal(model)(*inputs)
    literal.Literal(model, two_fields=False)(*inputs)
    assert asked == [6, 10, 6, 4]


# ---- the stand-in head, HeadNeRF -----------------------------------------------------------------

@pytest.mark.parametrize("cfg", [TINY, DEEP, replace(PAPER, size=32)])
def test_the_stand_in_is_solid_in_the_middle_and_empty_around(cfg):
    model, inputs = head(cfg), frame_inputs(cfg)
    conditions = model.field.condition(inputs[0], inputs[1])
    low, high = (torch.tensor(cfg.box[i:i + 3]) for i in (0, 3))
    points = low + (high - low) * torch.tensor([[0.5, 0.5, 0.5], [0.03, 0.5, 0.5], [0.1, 0.1, 0.1], [0.5, 0.6, 0.7]])
    sigma = model.field.geometry(points[None, None], conditions)[0][0, 0]
    assert sigma[0] > 100 and sigma[3] > 100 and sigma[1:3].max() < 2e-3
    with torch.no_grad():
        opacity = model(*inputs)["opacity_field"]
    assert opacity.max() > 0.99 and opacity[..., 0, 0].max() < 0.05 and 0.1 < opacity.mean() < 0.6


def test_headnerf_has_the_published_sizes():
    model = headnerf.HeadNeRFAsPublished(32)
    x, w = 63 + 100 + 79, 384
    field = ((x + 1) * w + 6 * (w + 1) * w + (w + x + 1) * w + (w + 1)  # eight layers, density
             + (w + 1) * w + (w + 27 + 100 + 27 + 1) * 192 + 193 * 256)
    doublings = sum((c + 1) * 2 * c + (2 * c + 1) * 4 * c + (c + 1) * d for c, d in ((256, 128), (128, 64), (64, 32)))
    colours = sum(3 * (c + 1) for c in (256, 128, 64, 32))
    assert sum(p.numel() for p in model.parameters()) == field + doublings + colours + 256 * 4 * 4
    cfg = headnerf.ours_at_its_sizes(32)
    assert (cfg.size // cfg.upsample, cfg.n_coarse, cfg.n_fine, cfg.width, cfg.sync) == (4, 64, 0, 384, False)
    codes, _, K, cam_to_head, _ = frame_inputs(cfg, 2)
    with torch.no_grad():
        head_image, background = model(codes, K, cam_to_head)
    assert head_image.shape == (2, 3, 32, 32) and background.shape == (1, 3, 32, 32)
    assert 0 <= head_image.min() and head_image.max() <= 1 and not torch.allclose(head_image, background, atol=1e-6)


def test_headnerfs_products_are_those_counted_by_hand():
    model = headnerf.HeadNeRFAsPublished(32)
    codes, _, K, cam_to_head, _ = frame_inputs(headnerf.ours_at_its_sizes(32))
    with torch.no_grad():
        flops = measure.work_of(lambda: model(codes, K, cam_to_head)).flops
    x, w, samples = 242, 384, 16 * 64
    per_sample = x * w + 6 * w * w + (w + x) * w + w + w * w + (w + 154) * 192 + 192 * 256
    renderer = sum(16 * 4**i * (2 * c * c + 8 * c * c) + 16 * 4**(i + 1) * (c * (c // 2) + 9 * c)
                   for i, c in enumerate((256, 128, 64)))
    renderer += sum(16 * 4**i * 3 * c for i, c in enumerate((256, 128, 64, 32)))
    renderer += sum(16 * 4**(i + 1) * 3 * 9 for i in range(3))  # the blur of the colours
    rays = 2 * 16 * 3 * 3  # out of the pixels, into the head's frame
    assert flops == 2 * (samples * per_sample + 2 * renderer + rays)


# ---- how it is measured --------------------------------------------------------------------------

class FakeClock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_runs_are_interleaved_and_the_first_of_each_is_not_measured():
    clock, order = FakeClock(), []

    def runs(name, seconds):
        seconds = iter(seconds)

        def call():
            order.append(name)
            clock.now += next(seconds)
        return call
    calls = {"a": runs("a", [9, 1, 2, 6]), "b": runs("b", [9, 10, 30, 20])}
    times = measure.interleaved(calls, 1000.0, least=3, most=3, clock=clock)
    assert "".join(order) == "abababab"
    assert times["a"].seconds == (1, 2, 6) and times["a"].median == 2 and times["b"].median == 20
    assert times["b"].spread == pytest.approx((12, 28))
    assert str(times["b"]) == "20 s (12 to 28)" and str(measure.Times((0.002,))) == "2 ms (2 to 2)"


def test_a_long_first_run_is_not_thrown_away():
    clock, runs = FakeClock(), []

    def call():
        runs.append(1)
        clock.now += 10.0
    assert len(measure.interleaved({"a": call}, 9.0, clock=clock)["a"].seconds) == 3 == len(runs)
    assert len(measure.interleaved({"a": call}, 11.0, clock=clock)["a"].seconds) == 3 and len(runs) == 3 + 4


@pytest.mark.parametrize("budget, rounds", [(0.0, 3), (4.5, 5), (1000.0, 6)])
def test_rounds_begin_within_the_budget_up_to_the_most(budget, rounds):
    clock = FakeClock()

    def call():
        clock.now += 1.0
    found = measure.interleaved({"a": call}, budget, least=3, most=6, warm_up=False, clock=clock)
    assert len(found["a"].seconds) == rounds


def test_work_is_counted_products_and_bytes():
    layer, x = torch.nn.Linear(64, 32, bias=False), torch.randn(20, 64)
    with torch.no_grad():
        work = measure.work_of(lambda: layer(x))
        assert work.flops == 2 * 20 * 64 * 32 and work.bytes == 4 * (20 * 64 + 64 * 32 + 20 * 32)
        assert measure.work_of(lambda: x.view(-1)[None].expand(50, -1)).bytes == 0, "views move nothing"
        assert measure.work_of(lambda: x[:1].expand(20, -1) + x).bytes == 4 * (64 + 2 * 20 * 64)
    with_gradient = measure.work_of(lambda: layer(x).sum().backward())
    assert with_gradient.flops == 2 * 2 * 20 * 64 * 32, "backward: the gradient of the weights"


def test_products_are_those_that_pytorch_counts_with_and_without_gradients():
    model, inputs = DHNeRF(TINY), frame_inputs(TINY)
    with FlopCounterMode(display=False) as counter:
        model(*inputs)["image"].sum().backward()
    assert measure.work_of(lambda: model(*inputs)["image"].sum().backward()).flops == counter.get_total_flops()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*inputs)
    forward = counter.get_total_flops()
    assert forward > 0 and measure.work_of(torch.inference_mode()(lambda: model(*inputs))).flops == forward


def test_memory_is_that_of_the_call_and_not_of_what_was_freed_before():
    if math.isnan(measure.memory_of(lambda: None)):
        pytest.skip("this system does not tell it")
    torch.ones(80 * 2**18)  # 80 MB, freed
    small, large = (measure.memory_of(lambda: torch.ones(n * 2**18).sum()) / 2**20 for n in (20, 60))
    assert 18 < small < 30 and 55 < large < 75


def test_memory_is_nan_where_the_system_does_not_tell_it(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(measure, "CLEAR", tmp_path / "no folder" / "clear_refs")
    assert math.isnan(measure.memory_of(lambda: called.append(1))) and called == [1]


def test_bfloat16_is_asked_for_before_it_is_measured(monkeypatch, tmp_path):
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(measure, "CPU_INFO", info)
    assert not measure.has_bfloat16(CPU), "no such file"
    info.write_text("model name\t: A: CPU\nflags\t: avx512f avx512_bf16 fma\n")
    assert measure.has_bfloat16(CPU) and measure.processor() == "A: CPU"
    assert set(measure.peaks(CPU, 1, 64).products) == {"float32", "bfloat16"}
    info.write_text("flags\t: avx2 not_avx512_bf16\n")
    assert not measure.has_bfloat16(CPU) and set(measure.peaks(CPU, 1, 64).products) == {"float32"}
    assert measure.peaks(CPU, 1, 64).products["float32"] > 1e6 and measure.peaks(CPU, 1, 64).traffic > 1e6


def test_exponents_and_the_table_of_growth(tmp_path):
    assert growth.exponent([1, 10, 100], [3, 300, 30000]) == pytest.approx(2)
    axes = [growth.Axis("rays", [1, 2, 4], {"frame": [0.1, 0.2, 0.4], "step": [1.0, 1.0, 1.0]}),
            growth.Axis("sound", [1, 10], {"memory": [5.0, 50.0]}, "MB")]
    header, rows = growth.table_of(axes)
    assert header == ["axis", "what", "point 1", "point 2", "point 3", "exponent"]
    assert rows[0] == ["rays", "frame", "1: 0.1 s", "2: 0.2 s", "4: 0.4 s", "1.00"]
    assert rows[1][-1].lstrip("-") == "0.00" and rows[2] == ["sound", "memory", "1: 5 MB", "10: 50 MB", "", "1.00"]
    growth.plot(axes, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_shares_are_of_the_peaks():
    sheet = Bench.__new__(Bench)
    sheet.peaks, sheet.records = measure.Peaks({"float32": 100e9, "bfloat16": 900e9}, 10e9), [{}]
    cells = sheet.rates(measure.Times((0.5, 0.5)), measure.Work(int(20e9), int(1e9)), 3.0 * 2**20)
    assert cells == ["2 (2 to 2)", "20", "40% / 20%", "3 MB"]
    assert sheet.records[0] == {"gflop": 20.0, "gigabytes": 1.0, "memory_mb": 3.0}


# ---- the command ---------------------------------------------------------------------------------

SHORT = Plan(budget=0.0, least=1, most=1, patience=60.0, sizes=(32,), headnerf=32, literal=32, rays=(32, 48),
             samples=(4, 8), width=(16, 32), frames=(64, 600), sound=(1, 2))


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(bench, "QUICK", SHORT)
    monkeypatch.setattr(bench, "PRESETS", {"paper": TINY, "small": TINY})
    monkeypatch.setattr(bench, "SMALL", TINY)
    monkeypatch.setattr(bench, "as_trained", lambda name, size, device: replace(TINY, size=size, vgg="none"))
    monkeypatch.setitem(measure.SQUARE, "cpu", 64)


def test_the_command_writes_tables_and_a_picture(short, tmp_path, capsys):
    bench.main(["--quick", "--device", "cpu", "--out", str(tmp_path / "new" / "bench")])
    out = tmp_path / "new" / "bench"
    assert sorted(path.name for path in out.iterdir()) == ["bench.csv", "bench.md", "growth.png"]
    text, said = (out / "bench.md").read_text(), capsys.readouterr().out
    for title in ("the literal reading of Eq. 1", "HeadNeRF as published", "By preset and size", "How cost grows"):
        assert f"{title}\n\n| " in text and title in said
    assert torch.__version__ in text and f"{torch.get_num_threads()} threads" in text
    records = list(csv.DictReader((out / "bench.csv").open()))
    differences = {r["what"]: float(r["difference"]) for r in records if r["difference"]}
    limits = {"paper, all samples, frame": 1e-5, "paper, frame": 1e-3, "small, frame": 1e-5, "HeadNeRF": 1e-3}
    assert set(differences) == set(limits) and all(differences[what] < limit for what, limit in limits.items())
    timed = [r for r in records if r["median_s"]]
    assert len(timed) > 30 and all(float(r["p10_s"] or 0) <= float(r["median_s"]) for r in timed)
    assert {r["name"] for r in timed if r["what"] == "small, step"} == {"literal", "ours"}


def test_a_preset_whose_frames_take_too_long_is_not_trained(short, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "QUICK", replace(SHORT, patience=0.0))
    monkeypatch.setattr(bench, "made_up_trainer", lambda *_: pytest.fail("it was"))
    bench.main(["--quick", "--device", "cpu", "--only", "b", "--out", str(tmp_path)])
    row = next(line for line in (tmp_path / "bench.md").read_text().splitlines() if line.startswith("| small"))
    assert row.endswith("| - | - | - | - |")


def test_presets_are_measured_as_they_are_trained():
    assert bench.as_trained("small", 64, CPU) == shortened(for_data(SMALL, False, 64, None))
    cfg = bench.as_trained("paper", 128, CPU)
    assert cfg.size == 128 and replace(cfg, size=512, extractor_iters=5000, sync_iters=5000) == PAPER


@pytest.mark.parametrize("options, complaint", [
    (["--only", "a,d"], "--only d: no such part; want some of a,b,c"),
    (["--only", ""], "--only : no such part; want some of a,b,c"),
    (["--threads", "0"], "--threads 0: want 1 or more")])
def test_wrong_options_are_one_line(options, complaint, tmp_path):
    with pytest.raises(InputError, match=f"^{complaint}$"):
        bench.main([*options, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_folder_is_refused_and_cuda_where_there_is_none(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file: is a file; name a folder with --out"):
        bench.main(["--device", "cpu", "--out", str(tmp_path / "file")])
    assert (tmp_path / "file").read_text() == "mine"
    monkeypatch.setattr(run.torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="--device cuda"):
        bench.main(["--device", "cuda", "--out", str(tmp_path / "new")])
