"""test_train.py - what a step of the field stage draws, and how its learning rate runs (Sec. 4.2)."""
from dataclasses import replace

import numpy as np
import pytest
import torch

import train
from config import CLIP, PAPER, SMALL


def test_learning_rate_of_paper_is_nerfs_and_of_small_is_held_then_lowered():
    nerf = [train.learning_rate(replace(PAPER, iters=1000), i) for i in (0, 500, 1000)]
    assert nerf == pytest.approx([1, 10**-0.5, 0.1])
    cfg = replace(SMALL, iters=1000, lr_hold=0.75, lr_final=0.05)
    assert [train.learning_rate(cfg, i) for i in (0, 400, 750)] == [1, 1, 1]
    assert train.learning_rate(cfg, 875) == pytest.approx(0.05**0.5) and train.learning_rate(cfg, 1000) == pytest.approx(0.05)


@pytest.fixture
def drawn(monkeypatch):
    """drawn(share): 40 batches of a corpus of eight frames, five of which have a next one; patches lie anywhere."""
    class Frames:
        pair_starts = np.array([0, 1, 2, 5, 6])

        def __len__(self):
            return 8

    def anywhere(corpus, index, side, step, rng):
        return torch.from_numpy(rng.integers(0, 20, (len(index), 2)))

    def batches(share, swap=0.0):
        trainer = train.FieldTrainer.__new__(train.FieldTrainer)
        trainer.cfg = replace(SMALL, pairs=3, pair_share=share, ex_swap=swap)
        trainer.corpus, trainer.lookalikes = Frames(), np.full((8, 2), 99)
        trainer.probabilities, trainer.pair_probabilities = np.full(8, 1 / 8), np.full(5, 1 / 5)
        return [trainer.draw(np.random.default_rng(seed)) for seed in range(40)]

    monkeypatch.setattr(train, "patch_corners", anywhere)
    return batches


@pytest.mark.eq7
def test_eq7_consecutive_frames_are_cut_at_the_same_place(drawn):
    for batch in drawn(1.0):
        index, corner = batch.index, batch.corner
        assert batch.consecutive and np.array_equal(index[3:], index[:3] + 1) and set(index[:3]) <= {0, 1, 2, 5, 6}
        assert torch.equal(corner[3:], corner[:3]), "L_v compares the same pixels of both frames"


def test_other_steps_cut_every_frame_at_a_place_of_its_own(drawn):
    found = drawn(0.0)
    assert not any(batch.consecutive for batch in found)
    assert sum(torch.equal(batch.corner[3:], batch.corner[:3]) for batch in found) == 0
    assert {int(i) for batch in found for i in batch.index[3:]} == set(range(8)), "any frame, not only those with a next"


def test_a_share_of_the_frames_takes_c_ex_from_a_lookalike(drawn):
    assert all(np.array_equal(batch.index, batch.ex_index) for batch in drawn(0.5)), "no exchange asked for"
    swapped = np.concatenate([batch.ex_index == 99 for batch in drawn(0.5, swap=0.5)])
    kept = np.concatenate([(batch.ex_index == batch.index)[batch.ex_index != 99] for batch in drawn(0.5, swap=0.5)])
    assert 0.35 < swapped.mean() < 0.65 and kept.all()


def test_noise_on_codes_has_the_length_asked_for_and_none_draws_nothing():
    trainer = train.FieldTrainer.__new__(train.FieldTrainer)
    trainer.cfg = replace(SMALL, code_noise=0.5)
    code, generator = torch.zeros(2000, 16), torch.Generator().manual_seed(0)
    noisy = trainer.noisy(code, generator)
    assert noisy.square().sum(1).mean().sqrt().item() == pytest.approx(0.5, rel=0.03)
    assert abs(noisy.mean().item()) < 0.005 and not torch.equal(noisy, trainer.noisy(code, generator))
    trainer.cfg, before = SMALL, generator.get_state()
    assert trainer.noisy(code, generator) is code and torch.equal(generator.get_state(), before)


def test_dropout_of_f_lip_leaves_whole_frames_without_it_and_none_draws_nothing():
    trainer = train.FieldTrainer.__new__(train.FieldTrainer)
    trainer.cfg = replace(SMALL, lip_dropout=0.25)
    f_lip, generator = torch.ones(4000, 32), torch.Generator().manual_seed(0)
    kept = trainer.with_dropout(f_lip, generator)
    assert set(kept.mean(1).tolist()) == {0.0, 1.0} and kept.mean().item() == pytest.approx(0.75, abs=0.03)
    trainer.cfg, before = SMALL, generator.get_state()
    assert trainer.with_dropout(f_lip, generator) is f_lip and torch.equal(generator.get_state(), before)


def test_a_clip_trains_with_noise_on_its_codes_and_a_set_without(tmp_path):
    cpu = torch.device("cpu")
    config = lambda *args: train.new_config(train.parse([*args]), cpu)
    assert config("--data", str(tmp_path / "clip.mp4")).code_noise == CLIP["code_noise"] > 0
    assert config("--data", str(tmp_path)).code_noise == config().code_noise == 0
