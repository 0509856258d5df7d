"""test_choices.py - choices of classroom/ledger.md that no other test pins, or only a slow one.

Those that are a number of a preset stand in test_values.py. These are shown by what the program does.
tests/test_ledger.py changes each of them and looks for a failure here.
"""
import inspect
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import audio
import losses
import train
import tracking
from config import PAPER, SMALL, for_data
from data import clip, prepare
from data.corpus import Corpus
from data.sampling import probabilities
from data.voices import Speech
from dhnerf import CODES, DHNeRF, LatentExtractor
from evaluation.measures import sync_confidence
from speed import parallel
from tiny_field import TINY, tiny_trainer
from tools.errors import InputError
from tools.log import Log
from tools.seeds import generators, seed_weights

CPU = torch.device("cpu")
FILM = for_data(replace(SMALL, data="talk.mp4"), True, None, None)  # python train.py --data talk.mp4


# ---- the field and its losses --------------------------------------------------------------------------------

def test_eq5_sees_0_3_of_what_lies_outside_the_mask_and_squares_it():
    """L_pho of a step against the picture that the step renders, pixel by pixel: 1 inside, 0.09 outside."""
    trainer = tiny_trainer(TINY)
    batch = trainer.batches.batch(0)
    rendered = []
    render = trainer.render
    trainer.render = lambda *given: rendered.append(render(*given)) or rendered[0]
    got = trainer.loss_terms(batch, torch.Generator().manual_seed(0))["L_pho"].item()
    image, truth, m = rendered[0]["image"].detach().numpy(), batch.truth["image"].numpy(), batch.truth["mask"].numpy()
    square = (image - truth) ** 2
    want = ((m + 0.3 * (1 - m)) ** 2 * square).mean()
    assert got == pytest.approx(float(want), rel=1e-4), f"Eq. 5 is {got:.5f}, want {want:.5f}: 0.3 outside m, squared"


def test_the_opacity_is_a_term_of_the_loss():
    terms = tiny_trainer(TINY).step(0)
    without = losses.total_loss(terms["L_rec"], terms["L_dis"], terms["L_v"], 1.0, TINY.lambda_dis, TINY.lambda_v)
    got = (terms["loss"] - without).item() / terms["L_opacity"].item()
    assert got == pytest.approx(0.1, rel=1e-3), f"the opacity weighs {got:.3f}, want 0.1"


def test_the_loss_of_the_field_has_no_term_for_the_lips():
    """Eq. 2 as printed; the sync module is frozen, so a step of the field leaves E_lip as it is."""
    torch.manual_seed(0)
    e_lip = audio.LipEncoder(TINY.d_lip).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in e_lip.state_dict().items()}
    terms = tiny_trainer(replace(TINY, sync=True), e_lip=e_lip).step(0)
    assert set(terms) == {"loss", "L_rec", "L_per", "L_pho", "L_dis", "L_v", "L_opacity", "psnr"}
    assert all(torch.equal(before[name], value) for name, value in e_lip.state_dict().items())


def test_the_field_begins_untrained():
    """HeadNeRF is trained as a whole before it is used; here no weight of the field has seen a picture."""
    got = tiny_trainer(TINY).model.state_dict()
    seed_weights(TINY.seed, "field")
    for name, value in DHNeRF(TINY).state_dict().items():
        assert torch.equal(got[name], value), f"{name} is not as chance has left it"


def test_f_exp_does_not_reach_the_field():
    """The same batch and weights under another expression of the model: the loss is the same to the last digit."""
    losses_of = []
    for scale in (1.0, 7.0):
        trainer = tiny_trainer(TINY)
        batch = trainer.batches.batch(0)
        trainer.corpus.upper = scale * trainer.corpus.upper + scale
        for take in trainer.corpus.takes:
            take.f_exp = scale * take.f_exp + scale
        losses_of.append(trainer.loss_terms(batch, torch.Generator().manual_seed(0))["loss"].item())
    assert losses_of[0] == losses_of[1], "F_exp conditions the field"


def test_tracking_sees_landmarks_and_no_picture():
    """Of Face2Face's energy the landmark term alone: a photometric one would have to be given the frames."""
    assert set(inspect.signature(tracking.track).parameters) == {"landmarks", "image_size", "fps", "model"}


def test_f_exp_comes_from_a_linear_face_of_our_own():
    """A clip's model is made from stand-in heads: as many directions as they have expressions; no file is read."""
    model = tracking.generic_model()
    flat = model.exp_basis.reshape(len(model.exp_basis), -1)
    _, offsets = tracking.landmark_samples()
    offsets = offsets.reshape(len(offsets), -1)
    away = offsets - offsets @ np.linalg.pinv(flat) @ flat
    assert np.linalg.norm(away) < 0.05 * np.linalg.norm(offsets), "the basis does not span what stand-in heads do"
    face = model.mean[[36, 45]]
    assert np.linalg.norm(face[0] - face[1]) == pytest.approx(0.9, abs=0.2), "dm between the outer eye corners"


# ---- the extractor -------------------------------------------------------------------------------------------

def test_eq8_trains_the_extractor():
    """extractor_loss of codes that are given, against -log of the share that the positive has, in plain Python."""
    n, g = 24, np.random.default_rng(0)
    table = normalize(torch.from_numpy(g.normal(size=(n, 5))).float(), dim=-1)
    corpus = Corpus.__new__(Corpus)
    vars(corpus).update(take=np.zeros(n, int), upper=g.normal(size=(n, 66)).astype(np.float32),
                        label={name: np.repeat([0, 1], 12) for name in ("id", "al", "ill")})
    corpus.head_crops = torch.from_numpy  # the "pictures" are numbers of frames

    class Given(LatentExtractor):
        def forward(self, crops):
            return {"ex": table[crops]}

    seen = []
    contrast = train.contrast
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "contrast", lambda *given: seen.append((given[2], *contrast(*given))) or seen[-1][1:])
        got = train.extractor_loss(replace(SMALL, n_negatives=3), Given(SMALL), corpus, ["ex"], np.full(n, 1 / n),
                                   np.random.default_rng(1), CPU)["ex"].item()
    (anchors, positives, negatives), rows = seen[0], table.double().numpy()
    want = []
    for a, p, others in zip(anchors, positives, negatives):
        top = math.exp(rows[a] @ rows[p] / 0.5)
        want.append(-math.log(top / (top + sum(math.exp(rows[a] @ rows[o] / 0.5) for o in others))))
    assert got == pytest.approx(np.mean(want), rel=1e-5), "the extractor does not learn by Eq. 8"


def test_the_four_codes_are_read_by_one_network():
    """A change of the first convolution changes every code; nothing else reads the picture."""
    torch.manual_seed(0)
    extractor, crops = LatentExtractor(TINY).eval(), torch.rand(2, 3, TINY.crop, TINY.crop)
    before = extractor(crops)
    with torch.no_grad():
        extractor.trunk[0].weight.mul_(-1)
    after = extractor(crops)
    assert set(after) == set(CODES)
    for name in CODES:
        assert not torch.allclose(before[name], after[name], atol=1e-3), f"C_{name} is read by another network"


def test_rare_upper_faces_are_drawn_by_the_preset():
    """A blink, one frame of twenty: `small` draws it in half of the steps that are left to the unusual."""
    corpus = Corpus.__new__(Corpus)
    upper = np.zeros((20, 66), np.float32)
    upper[7] = 1.0
    vars(corpus).update(take=np.zeros(20, int), upper=upper, label={"id": np.zeros(20, int)})
    assert probabilities(corpus, SMALL.rare)[7] == pytest.approx(0.5 / 20 + 0.5, rel=1e-3)


# ---- sound ---------------------------------------------------------------------------------------------------

class Hubert(torch.nn.Linear):
    """In place of HuBERT: layer k says k in every vector; the last is number 3."""

    def forward(self, x, **asked):
        n = (x.shape[1] - 400) // 320 + 1
        layers = tuple(torch.full((1, n, 2), float(k)) for k in range(4))
        return SimpleNamespace(last_hidden_state=layers[-1], hidden_states=layers)


def test_f_a_is_huberts_last_layer():
    features, times = audio.hubert_features(np.zeros(4000, np.float32), Hubert(1, 1), False)
    assert (features == 3).all(), f"layer {features[0, 0]:.0f} of 0 to 3"
    assert np.allclose(np.diff(times), 0.02)


def test_f_a_of_a_frame_is_centred_on_it_and_reaches_0_15_s_to_either_side():
    times = 0.02 * np.arange(100)
    window = audio.align_to_frames(times[:, None], times, np.array([1.0]), PAPER.audio_window)[0, :, 0]
    assert (window[0], window[-1]) == (pytest.approx(0.85, abs=1e-6), pytest.approx(1.15, abs=1e-6))


def test_what_a_recording_adds_to_all_its_features_is_not_heard(monkeypatch):
    """Another voice and microphone as a shift and a scale of every feature, the same in all vectors: F_A stays."""
    g, heard = np.random.default_rng(0), []
    times, wave = 0.01 * np.arange(100), (0.2 * g.normal(size=16000)).astype(np.float32)
    features = g.normal(size=(100, 4)).astype(np.float32)
    for shift, scale in ((0.0, 1.0), (3.0, 2.5)):
        monkeypatch.setattr(audio, "log_mel", lambda wave: (scale * features + shift, times))
        heard.append(audio.feature_extractor("logmel", 3)(wave, np.arange(20) / 25))
    assert np.allclose(*heard, atol=0.01), "a map from sound to lips can learn one voice"
    assert heard[0].std() == pytest.approx(1, abs=0.3)


def test_eq8_negatives_of_the_sync_stage_are_the_persons_own(tmp_path, monkeypatch):
    """The stage tells draw_negatives who speaks: another's voice and face would give a negative away."""
    n, g = 80, np.random.default_rng(0)
    person = np.repeat([0, 1], 40)
    speech = Speech(g.normal(size=(n, 5, 7)).astype(np.float32), g.normal(size=(n, 40)).astype(np.float32),
                    person, np.tile(np.arange(40) / 25, 2), person, np.full(n, 1 / n))
    seen, lips_loss = [], audio.lips_loss

    def watch(e_lip, e_audio, lips, f_a, anchors, negatives, tau):
        seen.append((person[negatives] == person[anchors][:, None]).all())
        assert tau == 0.5
        return lips_loss(e_lip, e_audio, lips, f_a, anchors, negatives, tau)

    monkeypatch.setattr(train, "lips_loss", watch)
    cfg = replace(SMALL, sync_iters=3, sync_anchors=6, n_negatives=4, audio_window=5, d_lip=8)
    train.train_sync(cfg, speech, CPU, Log(tmp_path / "log.csv", {}))
    assert len(seen) == 3 and all(seen), "a negative of another person"


@pytest.mark.parametrize("seconds, sure, move", [(0.2, True, 0.155), (-0.1, True, -0.145), (0.05, True, 0.0),
                                                 (0.2, False, 0.0)])
def test_sound_is_moved_where_the_offset_is_sure_and_out_of_the_ordinary(seconds, sure, move, monkeypatch, tmp_path):
    """45 ms is how far lips run ahead of a sound that is in sync; an estimate about it moves nothing."""
    monkeypatch.setattr(clip, "estimate_offset", lambda *_: SimpleNamespace(seconds=seconds, sure=sure))
    got = clip.sound_move(tmp_path / "talk.mp4", np.zeros((2, 68, 2)), np.zeros(2), np.zeros(9), FILM.av_offset)
    assert got == pytest.approx(move)


# ---- training ------------------------------------------------------------------------------------------------

def test_gradients_of_processes_are_averaged(monkeypatch):
    """Two processes, the other of which has three times this one's gradient: the mean is twice this one's."""
    p = torch.nn.Parameter(torch.zeros(3))
    p.grad = torch.tensor([1.0, -2.0, 0.5])
    monkeypatch.setattr(parallel, "size", lambda: 2)
    monkeypatch.setattr(parallel.dist, "all_reduce", lambda values: values.mul_(4))
    parallel.average([p])
    assert p.grad.tolist() == [2.0, -4.0, 1.0], "the sum would make the step depend on how many processes there are"


def test_chance_comes_from_seed_stage_and_iteration_alone():
    draw = lambda *of: (generators(*of)[0].random(), torch.rand(1, generator=generators(*of)[1]).item(), torch.rand(1).item())
    first = draw(0, "field", 7)
    for other in ((1, "field", 7), (0, "sync", 7), (0, "field", 8)):
        assert not set(draw(*other)) & set(first), f"{other} draws what seed 0, field, 7 draws"
    assert draw(0, "field", 7) == first, "what was drawn between has left a trace"


def test_meshes_and_clips_are_read_by_the_same_door(tmp_path):
    """A folder of VOCASET's files is no clip, a folder of videos is; neither is refused for being the other."""
    voca, clips = tmp_path / "voca", tmp_path / "clips"
    voca.mkdir(), clips.mkdir()
    (voca / "data_verts.npy").touch(), (clips / "talk.mp4").touch()
    assert (prepare.is_clips(voca), prepare.is_clips(clips), prepare.is_clips(clips / "talk.mp4")) == (False, True, True)
    with pytest.raises(InputError, match="subj_seq_to_idx"):
        prepare.check_source(voca)


def test_sync_confidence_is_the_median_less_the_least():
    """By hand: shifts at distances 1, 2 and 6 have the median 2; their mean is 3."""
    distances = np.array([[6.0, 1.0, 2.0], [6.0, 1.0, 2.0]])
    assert sync_confidence(distances, np.ones((2, 3), bool))[0] == pytest.approx(1.0)
