"""test_controls.py - the controls of --controls: L_lips learnt with the field, rows that share a run (Sec. 3.4, 4.6)."""
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import audio
import evaluation.ablation as ablation
import evaluation.heldout as heldout
from config import SMALL, shortened
from evaluation import joint
from inference.run import Run
from losses import info_nce
from tiny_field import TINY, tiny_trainer

JOINT = replace(TINY, sync=True, lips_jointly=True, d_lip=8, sync_anchors=6, n_negatives=3, sync_pool=8, apart=0.0,
                pair_share=0.0)


@pytest.fixture
def learning():
    """A trainer whose lips learn with the field, its sync module, and a copy of that as it began."""
    torch.manual_seed(0)
    e_audio, e_lip = audio.AudioEncoder(3, 4, 8, 0), audio.LipEncoder(8)
    trainer = tiny_trainer(JOINT, e_lip=audio.LipEncoder(8))
    trainer.corpus.f_a = np.random.default_rng(0).normal(size=(len(trainer.corpus), 4, 3)).astype(np.float32)
    joint.learn_lips_too(trainer, (e_audio, e_lip))
    began = [p.detach().clone() for p in (*e_audio.parameters(), *e_lip.parameters())]
    return trainer, e_audio, e_lip, began


def test_both_encoders_learn_and_are_kept(learning):
    trainer, e_audio, e_lip, began = learning
    trainer.step(0)
    now = [*e_audio.parameters(), *e_lip.parameters()]
    assert len(now) >= 4 and all(not torch.equal(a, b) for a, b in zip(began, now))
    assert trainer.parts["e_lip"] is e_lip and trainer.parts["e_audio"] is e_audio


def test_the_field_sees_the_lips_of_now_and_teaches_e_lip(learning):
    """Without Eq. 8 E_lip still has a gradient, of the field's loss; F_lip is that of the E_lip that learns."""
    trainer, _, e_lip, _ = learning
    at = torch.tensor([3, 5])
    e_lip.eval()
    assert torch.equal(trainer.f_lip[at], e_lip(torch.from_numpy(trainer.corpus.lips[[3, 5]])))
    trainer.f_lip[at].sum().backward()
    assert all(p.grad is not None for p in e_lip.parameters())


def test_the_loss_is_that_of_the_field_plus_eq_8(learning, monkeypatch):
    trainer, *_ = learning
    seen = []
    monkeypatch.setattr("losses.info_nce", lambda *given: seen.append(info_nce(*given)) or seen[-1])
    generator = torch.Generator().manual_seed(0)
    batch = trainer.batches.batch(0)
    trainer.step(0, batch)  # the draws of an iteration are made
    terms = trainer.loss_terms(batch, generator)
    parts = terms["L_rec"] + 5 * terms["L_dis"] + JOINT.lambda_opacity * terms["L_opacity"]
    assert terms["loss"].item() == pytest.approx((parts + seen[-1]).item(), rel=1e-5) and seen[-1] > 0.5


def test_nothing_is_trained_before_the_field_in_that_row():
    change = ablation.CONTROLS.variants["joint"].change
    cfg = shortened(replace(SMALL, **change))
    assert cfg.sync_iters == 0 and cfg.lips_jointly and cfg.sync
    assert "sync" in ablation.readers_of_change(SMALL, cfg), "its sync module is not the first row's"


def test_a_row_that_shares_a_run_is_not_trained_and_is_driven_by_the_true_lips(tmp_path, monkeypatch):
    variants = {key: ablation.CONTROLS.variants[key] for key in ("full", "true_lips")}
    trained, drawn = [], []

    def train(checkpoint, out, device, work):
        trained.append((out.name, work.name))
        checkpoint.write(out)

    def load(folder, device):
        run = Run.__new__(Run)
        run.cfg, run.folder = SMALL, folder
        return run

    monkeypatch.setattr(ablation, "load_run", load)
    monkeypatch.setattr(ablation.disentangle, "open_bench", lambda run, work: (Bench(run), []))
    monkeypatch.setattr(ablation.disentangle, "measure", lambda *given: {})
    monkeypatch.setattr(ablation.disentangle, "markdown", lambda *given: "text")
    monkeypatch.setattr(ablation, "summary", lambda apart: {"worst leak": 0.5})
    monkeypatch.setattr(ablation, "make_judges", lambda *given: SimpleNamespace(landmarks=None))
    monkeypatch.setattr(ablation.factors, "train_reader", lambda *given: None)

    def table(run, train_set, heldout_set, judges, names):
        drawn.append((run.folder.name, names))
        return [{"row": names[0], "what": "", "PSNR (dB)": 20.0 + len(drawn)}]

    monkeypatch.setattr(ablation, "table", table)
    ablation.train_seed(SMALL, tmp_path, variants, torch.device("cpu"), train)
    scores = ablation.score_seed(SMALL, tmp_path, variants, torch.device("cpu"))
    assert trained == [("full", "blanked")]
    assert drawn == [("full", ("audio_pose",)), ("full", ("lips_pose",))]
    assert scores["full"]["worst leak"] == 0.5 and "worst leak" not in scores["true_lips"]
    rows = ablation.rows_of({0: scores}, variants, ("PSNR (dB)", "worst leak"))
    assert "| F_lip of the true lips in place of F_al | 22.000 | - |" in ablation.markdown(rows, ("PSNR (dB)", "worst leak"))


class Bench:
    """What ablation.scored reads of disentangle.Bench; replace() gives it another run."""
    def __new__(cls, run):
        from dataclasses import make_dataclass
        empty = SimpleNamespace(takes=[])
        return make_dataclass("Bench", ["run", "train", "heldout", "world"])(run, empty, empty, None)


def test_l_per_takes_the_filters_that_are_asked_for():
    study = ablation.with_vgg(ablation.CONTROLS, "vgg.pth")
    assert study.variants["per"].change == {"vgg": "vgg.pth", "lambda_per": 0.005}
    assert study.variants["full"].change == {} and ablation.CONTROLS.variants["per"].change["vgg"] == "random"


def test_the_converted_lambda_v_is_ten_beside_sums_at_64_pixels():
    """A sum of P squares is P times their mean: sums give L_pho P times, L_v sqrt(P) times ours."""
    P = 3 * 64 * 64
    assert ablation.CONTROLS.variants["lambda_v"].change["lambda_v"] == pytest.approx(10 * P**0.5 / P)


def test_the_row_of_the_true_lips_hands_f_lip_to_the_field(monkeypatch):
    shown = []
    e_lip = audio.LipEncoder(8).eval()
    held = heldout.HeldoutTake.__new__(heldout.HeldoutTake)
    held.run = SimpleNamespace(e_lip=e_lip, device="cpu")
    held.heldout_set = SimpleNamespace(lips=np.random.default_rng(0).normal(size=(9, 40)).astype(np.float32))
    held.index = np.arange(4, 9)
    monkeypatch.setattr(heldout.HeldoutTake, "trained_ex", lambda self: torch.ones(3, 2))
    monkeypatch.setattr(heldout.HeldoutTake, "render", lambda self, ex, only, f_lip: shown.append((ex, only, f_lip)))
    heldout.lips_pose(held, np.array([0, 2]))
    ex, only, f_lip = shown[0]
    assert len(ex) == 5 and only.tolist() == [0, 2]
    assert torch.equal(f_lip, e_lip(torch.from_numpy(held.heldout_set.lips[[4, 6]])))
