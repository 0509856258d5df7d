"""test_precision.py - a training step in bfloat16: layers are lowered, all else is not (Sec. 4.2)."""
from dataclasses import replace

import pytest
import torch
from torch import nn

import dhnerf
from config import PAPER, SMALL, Config
from dhnerf import DHNeRF
from inference import options
from losses import load_vgg
from speed import precision
from tiny_field import TINY, tiny_trainer

CPU = torch.device("cpu")
DEEP = replace(TINY, depth=6, n_freq_x=10, body=True, solid=4.0, precision="bfloat16")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def test_auto_is_float32_on_a_cpu_and_old_configurations_have_it(monkeypatch, capsys):
    assert precision.chosen("auto", CPU) == "float32" and precision.chosen("bfloat16", CPU) == "bfloat16"
    old = {name: value for name, value in SMALL.to_dict().items() if name != "precision"}
    assert Config.from_dict(old) == SMALL and PAPER.precision == "auto"
    args = options.parse(["--preset", "small", "--precision", "bfloat16"])
    monkeypatch.setattr(options, "has_bfloat16", lambda device: False)
    assert options.new_config(args, CPU).precision == "bfloat16" and "emulated" in capsys.readouterr().out
    monkeypatch.setattr(options, "has_bfloat16", lambda device: True)
    assert options.new_config(args, CPU).precision == "bfloat16" and not capsys.readouterr().out
    assert options.new_config(options.parse(["--preset", "small"]), CPU).precision == "auto"


def gradients(trainer, cfg, kind, device="cpu"):
    """(terms, gradients of the model) of the batch of iteration 3."""
    batch, generator = trainer.batches.batch(3), torch.Generator().manual_seed(3)
    trainer.model.zero_grad(), trainer.codes.zero_grad()
    with precision.of_layers(kind, torch.device(device)):
        terms = trainer.loss_terms(batch, generator)
    terms["loss"].backward()
    return terms, {name: p.grad.clone() for name, p in trainer.model.named_parameters()}


def near(g, h):
    """Cosine of two gradients {name: tensor} as a whole. In single early layers most of a sum over samples cancels."""
    one, other = (torch.cat([v.flatten().double().cpu() for v in grads.values()]) for grads in (g, h))
    return torch.cosine_similarity(one, other, dim=0).item()


@pytest.mark.parametrize("cfg", [TINY, DEEP], ids=["small", "deep with a body"])
def test_a_step_in_bfloat16_is_near_that_in_float32_and_is_another(cfg):
    trainer = tiny_trainer(cfg, load_vgg("random", ("relu1_2",)))
    one, g = gradients(trainer, cfg, "float32")
    other, h = gradients(trainer, cfg, "bfloat16")
    for name in ("loss", "L_pho", "L_per", "L_v", "L_opacity", "psnr"):
        assert other[name].dtype == torch.float32
        assert other[name].item() == pytest.approx(one[name].item(), rel=0.03), name
    assert other["loss"].item() != one["loss"].item(), "nothing was lowered"
    assert all(p.dtype == torch.float32 for p in h.values())
    assert near(g, h) > 0.99
    assert all(near({"": g[name]}, {"": h[name]}) > 0.7 for name in g if g[name].norm() > 1e-3)


@pytest.mark.parametrize("solid", [0.0, 4.0])
def test_what_is_lowered_and_what_is_not(monkeypatch, solid):
    """By the types that really pass: layers get and give bfloat16, all else is float32."""
    trainer, lowered, kept = tiny_trainer(replace(DEEP, solid=solid)), {}, {}
    field, renderer = trainer.model.field, trainer.model.neural_renderer
    for name, layer in trainer.model.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            layer.register_forward_hook(lambda _, args, out, name=name: lowered.update({name: out.dtype}))

    def watched(owner, name):
        inner = getattr(owner, name)

        def watch(*args):
            out = inner(*args)
            first = out if isinstance(out, torch.Tensor) else out[0]
            kept[name] = first.dtype, [a.dtype for a in args if isinstance(a, torch.Tensor)][0]
            return out
        monkeypatch.setattr(owner, name, watch)

    for owner, name in ((field, "encode"), (field, "joined"), (field, "geometry"), (renderer, "forward"),
                        (trainer.model, "rays"), (trainer.model, "cam_to_body"), (dhnerf, "positional_encoding")):
        watched(owner, name)
    trainer.step(0)
    whole = {"field.body_weight", "neural_renderer.to_rgba"}
    assert {name for name, kind in lowered.items() if kind == torch.float32} == whole
    assert {"field.hidden.0", "field.hidden.5", "field.appearance_x", "neural_renderer.smooth"} <= set(lowered)
    assert set(kept) == {"encode", "joined", "geometry", "forward", "rays", "cam_to_body", "positional_encoding"}
    assert all(kinds == (torch.float32, torch.float32) for kinds in kept.values()), kept


def test_rays_and_joined_points_do_not_change_by_a_bit():
    model, g = DHNeRF(DEEP), torch.Generator().manual_seed(0)
    K = torch.tensor([[[80.0, 0, 16], [0, 80, 16], [0, 0, 1]]])
    pose = torch.diag(torch.tensor([1.0, -1, -1, 1]))[None].clone()
    pose[0, :3, 3] = torch.rand(3, generator=g)
    x, y = torch.randn(2, 1, 3, 4, 3, generator=g)
    ask = lambda: [*model.rays(K, pose, None), model.cam_to_body(pose, pose.roll(1)), model.field.joined(x, y)]
    plain = ask()
    with precision.of_layers("bfloat16", CPU):
        lowered = ask()
        assert (K @ pose[:, :3, :3]).dtype == torch.bfloat16
    assert all(torch.equal(a, b) for a, b in zip(plain, lowered))


def test_exact_products_are_of_whole_float32_and_what_was_set_comes_back():
    """TF32 is a global setting; `exact` must switch it off and leave it as it was, also after an error."""
    before, seen = torch.get_float32_matmul_precision(), []
    try:
        torch.set_float32_matmul_precision("high")
        precision.exact(lambda x: seen.append(torch.get_float32_matmul_precision()))(torch.ones(1))
        assert seen == ["highest"] and torch.get_float32_matmul_precision() == "high"
        with pytest.raises(ZeroDivisionError):
            precision.exact(lambda x: 1 / 0)(torch.ones(1))
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    with precision.of_layers("bfloat16", CPU):
        product = precision.exact(torch.matmul)(torch.ones(2, 2, dtype=torch.bfloat16), torch.ones(2, 2))
    assert product.dtype == torch.float32


@needs_gpu
def test_a_gpus_steps_are_near_those_of_the_cpu():
    vgg = load_vgg("random", ("relu1_2",))
    cpu, gpu = tiny_trainer(DEEP, vgg), tiny_trainer(DEEP, load_vgg("random", ("relu1_2",)).cuda(), "cuda")
    one, g = gradients(cpu, DEEP, "float32")
    for kind, least in (("float32", 0.999), ("bfloat16", 0.98)):
        other, h = gradients(gpu, DEEP, kind, "cuda")
        assert other["loss"].item() == pytest.approx(one["loss"].item(), rel=0.03)
        assert near(g, h) > least


@needs_gpu
def test_batches_for_a_gpu_are_pinned_and_made_beside_the_step():
    from speed.prefetch import made_ahead
    trainer, plain = tiny_trainer(TINY, device="cuda"), tiny_trainer(TINY, device="cuda")
    with made_ahead(trainer.batches.batch, range(6), 2) as batches:
        for it, batch in batches:
            assert all(value.is_pinned() for value in batch.truth.values())
            assert trainer.step(it, batch)["loss"].item() == pytest.approx(plain.step(it)["loss"].item(), rel=1e-4)
