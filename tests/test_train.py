"""test_train.py - the sync stage; what a step of the field stage draws and sees; its learning rate (Sec. 3.4, 4.2)."""
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import audio
import train
from config import CLIP, PAPER, SMALL
from data import batches
from data.batches import Batches
from data.corpus import Corpus
from data.voices import Speech
from inference import options
from inference.run import Checkpoint
from tools.log import Log


def test_learning_rate_of_paper_is_nerfs_and_of_small_is_held_then_lowered():
    nerf = [train.learning_rate(replace(PAPER, iters=1000), i) for i in (0, 500, 1000)]
    assert nerf == pytest.approx([1, 10**-0.5, 0.1])
    cfg = replace(SMALL, iters=1000, lr_hold=0.75, lr_final=0.05)
    assert [train.learning_rate(cfg, i) for i in (0, 400, 750)] == [1, 1, 1]
    lowered = [train.learning_rate(cfg, i) for i in (875, 1000)]
    assert lowered == pytest.approx([0.05**0.5, 0.05])


@pytest.fixture
def drawn(monkeypatch):
    """drawn(share): 40 batches of a corpus of eight frames, five of which have a next one; patches lie anywhere."""
    class Frames:
        pair_starts = np.array([0, 1, 2, 5, 6])

        def __len__(self):
            return 8

    def anywhere(corpus, index, side, step, rng):
        return torch.from_numpy(rng.integers(0, 20, (len(index), 2)))

    def drawn_by(share, swap=0.0):
        made = Batches.__new__(Batches)
        made.cfg = replace(SMALL, pairs=3, pair_share=share, ex_swap=swap)
        made.corpus, made.lookalikes = Frames(), np.full((8, 2), 99)
        made.probabilities, made.pair_probabilities = np.full(8, 1 / 8), np.full(5, 1 / 5)
        return [made.draw(np.random.default_rng(seed)) for seed in range(40)]

    monkeypatch.setattr(batches, "patch_corners", anywhere)
    return drawn_by


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
    seen = {int(i) for batch in found for i in batch.index[3:]}
    assert seen == set(range(8)), "any frame, not only those with a next"


def test_a_share_of_the_frames_takes_c_ex_from_a_lookalike(drawn):
    assert all(np.array_equal(batch.index, batch.ex_index) for batch in drawn(0.5)), "no exchange asked for"
    swapped = np.concatenate([batch.ex_index == 99 for batch in drawn(0.5, swap=0.5)])
    kept = np.concatenate([(batch.ex_index == batch.index)[batch.ex_index != 99] for batch in drawn(0.5, swap=0.5)])
    assert 0.35 < swapped.mean() < 0.65 and kept.all()


def test_noise_on_codes_has_the_length_asked_for_and_none_draws_nothing():
    code, generator = torch.zeros(2000, 16), torch.Generator().manual_seed(0)
    made = batches.noisy(code, 0.5, generator)
    assert made.square().sum(1).mean().sqrt().item() == pytest.approx(0.5, rel=0.03)
    assert abs(made.mean().item()) < 0.005 and not torch.equal(made, batches.noisy(code, 0.5, generator))
    before = generator.get_state()
    assert batches.noisy(code, 0.0, generator) is code and torch.equal(generator.get_state(), before)


def test_dropout_of_f_lip_leaves_whole_frames_without_it_and_none_draws_nothing():
    f_lip, generator = torch.ones(4000, 32), torch.Generator().manual_seed(0)
    kept = batches.with_dropout(f_lip, 0.25, generator)
    assert set(kept.mean(1).tolist()) == {0.0, 1.0} and kept.mean().item() == pytest.approx(0.75, abs=0.03)
    before = generator.get_state()
    assert batches.with_dropout(f_lip, 0.0, generator) is f_lip and torch.equal(generator.get_state(), before)


def test_a_clip_trains_with_noise_on_its_codes_and_a_set_without(tmp_path):
    cpu = torch.device("cpu")
    config = lambda *args: options.new_config(options.parse([*args]), cpu)
    assert config("--data", str(tmp_path / "clip.mp4")).code_noise == CLIP["code_noise"] > 0
    assert config("--data", str(tmp_path)).code_noise == config().code_noise == 0


# ---- F_lip of the field (Sec. 3.4) ---------------------------------------------------------------

CPU = torch.device("cpu")
SHORT = replace(SMALL, sync_iters=3, sync_anchors=6, n_negatives=4, audio_window=5, d_lip=8, voices=0.0)


def talk(n=60, seed=0):
    """A corpus as the sync stage and the field see it: one person, 25 frames a second, lips and F_A at random."""
    g = np.random.default_rng(seed)
    draw = lambda *shape: g.normal(size=shape).astype(np.float32)
    corpus = Corpus.__new__(Corpus)
    vars(corpus).update(f_a=draw(n, 5, 7), lips=draw(n, 40), take=np.zeros(n, int), time=np.arange(n) / 25,
                        label={"id": np.zeros(n, int)}, names={"id": ["one"]}, pair_starts=np.arange(n - 1))
    return corpus


@pytest.fixture
def staged(tmp_path):
    """A corpus, and a checkpoint after the sync stage; E_lip as the stage gave it."""
    corpus, checkpoint = talk(), Checkpoint(SHORT)
    e_lip = train.sync_stage(checkpoint, corpus, tmp_path, CPU, Log(tmp_path / "log.csv", {}))
    return corpus, checkpoint, e_lip


def field_trainer(corpus, e_lip, monkeypatch, cfg=SHORT):
    """The trainer of the field, its tables of draws left out."""
    monkeypatch.setattr(batches, "probabilities", lambda corpus, rare: np.full(len(corpus), 1 / len(corpus)))
    monkeypatch.setattr(batches, "lookalikes", lambda corpus, *rest: np.zeros((len(corpus), 4), int))
    counts = {"id": 1, "ex": len(corpus), "al": 1, "ill": 1}
    references = {name: normalize(torch.ones(n, cfg.code_size(name)), dim=-1) for name, n in counts.items()}
    return train.FieldTrainer(cfg, corpus, references, e_lip, None, CPU)


def test_the_field_learns_from_f_lip_of_the_lips_and_not_from_f_al_of_the_sound(staged, monkeypatch):
    """F_lip by hand: W lips + b, centred and scaled by the statistics of its norm, at unit length."""
    corpus, checkpoint, e_lip = staged
    got = field_trainer(corpus, e_lip, monkeypatch).f_lip
    state = {name: value.double().numpy() for name, value in checkpoint.e_lip.items()}
    raw = corpus.lips @ state["net.0.weight"].T + state["net.0.bias"]
    raw = (raw - state["net.1.running_mean"]) / np.sqrt(state["net.1.running_var"] + 1e-5)
    want = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    assert np.allclose(got.numpy(), want, atol=1e-5), "the field is not trained with F_lip = E_lip(lips)"
    assert not got.requires_grad, "E_lip is frozen while the field learns"
    e_audio = audio.AudioEncoder(7, 5, 8, SHORT.sound_layers).eval()
    e_audio.load_state_dict(checkpoint.e_audio)
    assert not np.allclose(e_audio(torch.from_numpy(corpus.f_a)).detach().numpy(), want, atol=0.1)


def test_each_frame_of_a_batch_gets_its_own_f_lip(staged, monkeypatch):
    """What the model is given for a batch, F_lip of the lips of its frames; C_ex may be of others."""
    corpus, _, e_lip = staged
    trainer = field_trainer(corpus, e_lip, monkeypatch)
    given = []
    monkeypatch.setattr(trainer, "model", lambda codes, f_lip, *rest: given.append(f_lip) or {})
    index = np.array([5, 17, 6, 18])
    batch = train.Batch(index, index[::-1].copy(), True, None)
    truth = dict.fromkeys(("K", "cam_to_head", "background", "rest"), torch.zeros(4))
    trainer.render(batch, {"ex": torch.zeros(4, SHORT.d_ex)}, truth, torch.Generator())
    want = e_lip(torch.from_numpy(corpus.lips[index]))
    assert torch.allclose(given[0], want, atol=1e-6)


def test_without_the_sync_module_the_field_has_no_f_lip(monkeypatch):
    assert field_trainer(talk(), None, monkeypatch, replace(SHORT, sync=False)).f_lip is None


def test_a_checkpoint_with_e_lip_gives_the_same_f_lip_and_trains_nothing(staged, tmp_path, monkeypatch):
    corpus, checkpoint, e_lip = staged
    again = Checkpoint.read(tmp_path)
    assert again.d_audio == 7
    assert again.e_audio.keys() == checkpoint.e_audio.keys() and again.e_lip.keys() == checkpoint.e_lip.keys()
    monkeypatch.setattr(train, "train_sync", lambda *args: pytest.fail("trained again"))
    other = train.sync_stage(again, corpus, tmp_path, CPU, Log(tmp_path / "log.csv", {"sync": 3}))
    assert not other.training and not any(p.requires_grad for p in other.parameters())
    lips = torch.from_numpy(corpus.lips)
    assert torch.equal(other(lips), e_lip(lips)), "another F_lip after --resume"


def test_sync_module_is_fixed_by_its_seed_and_both_encoders_learn(tmp_path):
    corpus = talk()
    speech = Speech(corpus.f_a, corpus.lips, corpus.take, corpus.time, corpus.label["id"], np.full(60, 1 / 60))
    configs = SHORT, SHORT, replace(SHORT, sync_iters=4), replace(SHORT, seed=1)
    first, second, longer, other = (train.train_sync(cfg, speech, CPU, Log(tmp_path / f"{i}.csv", {}))
                                    for i, cfg in enumerate(configs))
    for a, b, c, d in zip(first, second, longer, other):
        assert not a.training and not any(p.requires_grad for p in a.parameters())
        weights = [next(network.parameters()) for network in (a, b, c, d)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2]), "a further step leaves an encoder as it was"
        assert not torch.equal(weights[0], weights[3])


def test_sync_module_draws_frames_as_often_as_asked(tmp_path, monkeypatch):
    """Anchors are drawn by Speech.p: here from the second half alone, and the lips are those of the anchors."""
    corpus, seen = talk(), []
    p = np.r_[np.zeros(30), np.full(30, 1 / 30)]
    speech = Speech(corpus.f_a, corpus.lips, corpus.take, corpus.time, corpus.label["id"], p)

    def watch(e_lip, e_audio, lips, f_a, anchors, negatives, tau):
        seen.append(anchors)
        assert np.array_equal(lips.numpy(), corpus.lips[anchors]) and f_a is corpus.f_a
        return audio.lips_loss(e_lip, e_audio, lips, f_a, anchors, negatives, tau)

    monkeypatch.setattr(train, "lips_loss", watch)
    train.train_sync(replace(SHORT, sync_iters=12), speech, CPU, Log(tmp_path / "log.csv", {}))
    drawn = np.concatenate(seen)
    assert drawn.min() >= 30 and len(set(drawn)) > 20


def test_a_clip_has_a_linear_noisy_e_audio_with_voices_and_a_set_has_not(tmp_path, monkeypatch):
    """new_config: what CLIP says of the sound, and phones where there is a recogniser and nothing else was asked."""
    config = lambda *args: options.new_config(options.parse([*args]), CPU)
    clip, folder = str(tmp_path / "clip.mp4"), tmp_path / "clips"
    folder.mkdir()
    (folder / "one.mp4").touch()
    monkeypatch.setattr(options, "sound_of_clips", lambda: "phones")
    for data in (clip, str(folder)):
        cfg = config("--data", data)
        assert (cfg.sound_layers, cfg.audio_features) == (0, "phones") and cfg.voices > 0 and cfg.sound_smooth > 0
    assert config("--data", clip, "--audio-features", "logmel").audio_features == "logmel"
    assert config("--data", clip, "--preset", "paper").audio_features == "hubert"
    for cfg in (config("--data", str(tmp_path)), config()):
        assert (cfg.sound_layers, cfg.voices, cfg.sound_smooth, cfg.audio_features) == (3, 0, 0, "logmel")
    e_audio, _ = train.sync_module(config("--data", clip), 54, CPU)
    assert not any(isinstance(m, torch.nn.Conv1d) for m in e_audio.modules()) and e_audio.noise == CLIP["sound_noise"]
