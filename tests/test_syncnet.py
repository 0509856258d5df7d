"""test_syncnet.py - SyncNet's layers, its MFCC and its windows, and the expert that stands in."""
import cmath
import math
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from config import SMALL
from data.corpus import Corpus
from evaluation import measures, syncnet
from evaluation.sync_expert import expert_distances, train_expert
from tools.errors import InputError

RATE = 16000


def sound(seconds, seed=0):
    return np.random.default_rng(seed).normal(0, 1000, int(seconds * RATE))


# ---- MFCC ----------------------------------------------------------------------------------------


def mfcc_of_one_window(samples):
    """400 samples, pre-emphasised already -> 13 coefficients, in loops (python_speech_features)."""
    power = []
    for k in range(257):
        step = cmath.exp(-2j * math.pi * k / 512)
        total, turn = 0, 1
        for x in samples:
            total, turn = total + x * turn, turn * step
        power.append(abs(total) ** 2 / 512)
    mel = lambda hz: 2595 * math.log10(1 + hz / 700)
    hz = [700 * (10 ** (mel(8000) * i / 27 / 2595) - 1) for i in range(28)]
    corners = [math.floor(513 * f / RATE) for f in hz]
    logs = []
    for j in range(26):
        left, peak, right = corners[j:j + 3]
        rising = sum(power[i] * (i - left) / (peak - left) for i in range(left, peak))
        falling = sum(power[i] * (right - i) / (right - peak) for i in range(peak, right))
        logs.append(math.log(rising + falling))
    out = [math.log(sum(power))]
    for c in range(1, 13):
        dct = sum(v * math.cos(math.pi * c * (2 * i + 1) / 52) for i, v in enumerate(logs))
        out.append(dct * math.sqrt(2 / 26) * (1 + 11 * math.sin(math.pi * c / 22)))
    return out


def test_mfcc_is_the_transcription():
    samples = sound(0.05)  # 800 samples: windows from 0, 160, 320 and 480, the last filled up
    got = syncnet.mfcc(samples)
    emphasised = [samples[0]] + [samples[i] - 0.97 * samples[i - 1] for i in range(1, 800)]
    emphasised += [0.0] * 160
    assert got.shape == (4, 13)
    for row in (0, 2, 3):
        want = mfcc_of_one_window(emphasised[160 * row:160 * row + 400])
        assert np.allclose(got[row], want, atol=1e-6), f"window {row}: {got[row]} is not {want}"


@pytest.mark.parametrize("n, rows", [(1, 1), (400, 1), (401, 2), (560, 2), (16000, 99)])
def test_mfcc_comes_at_100_hertz(n, rows):
    assert syncnet.mfcc(np.ones(n)).shape == (rows, 13)


def test_mfcc_of_silence_is_finite():
    assert np.isfinite(syncnet.mfcc(np.zeros(2000))).all()


# ---- The published layers ------------------------------------------------------------------------

CONVOLUTIONS = {  # of the published weights: name -> shape of the kernel
    "netcnnaud.0": (64, 1, 3, 3), "netcnnaud.4": (192, 64, 3, 3),
    "netcnnaud.8": (384, 192, 3, 3), "netcnnaud.11": (256, 384, 3, 3),
    "netcnnaud.14": (256, 256, 3, 3), "netcnnaud.18": (512, 256, 5, 4),
    "netcnnlip.0": (96, 3, 5, 7, 7), "netcnnlip.4": (256, 96, 1, 5, 5),
    "netcnnlip.8": (256, 256, 1, 3, 3), "netcnnlip.11": (256, 256, 1, 3, 3),
    "netcnnlip.14": (256, 256, 1, 3, 3), "netcnnlip.18": (512, 256, 1, 6, 6)}
LINEARS = {"netfcaud.0": (512, 512), "netfcaud.3": (1024, 512),
           "netfclip.0": (512, 512), "netfclip.3": (1024, 512)}
NORMS = [f"netcnn{stream}.{i}" for stream in ("aud", "lip") for i in (1, 5, 9, 12, 15, 19)]
NORMS += ["netfcaud.1", "netfclip.1"]


def published_state(seed=0):
    """Random weights under the published names; files of that time lack num_batches_tracked."""
    draw = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in {**CONVOLUTIONS, **LINEARS}.items():
        state[f"{name}.weight"] = 0.02 * torch.randn(shape, generator=draw)
        state[f"{name}.bias"] = torch.randn(shape[0], generator=draw)
    for name in NORMS:
        before = f"{name.split('.')[0]}.{int(name.split('.')[1]) - 1}"
        width = {**CONVOLUTIONS, **LINEARS}[before][0]
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{part}"] = torch.rand(width, generator=draw) + 0.5
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("syncnet") / "syncnet_v2.model"
    state = published_state()
    torch.save(state, path, _use_new_zipfile_serialization=False)  # torch's format of 2017
    return path


@pytest.fixture(scope="module")
def net(weights):
    return syncnet.load_syncnet(weights)


def test_published_weights_load_and_nothing_is_left_over(net):
    own = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    want = published_state()
    assert own.keys() == want.keys()
    assert all(torch.equal(own[k], want[k]) for k in want)
    assert not net.training and not any(p.requires_grad for p in net.parameters())


def test_strides_and_pools_give_the_published_sizes(net):
    """Feature maps after every pool, from the paper's figure; other strides would change them."""
    sizes = []
    x = torch.zeros(1, 1, 13, 20)
    for layer in net.netcnnaud:
        x = layer(x)
        sizes += [tuple(x.shape[2:])] if isinstance(layer, torch.nn.MaxPool2d) else []
    assert sizes == [(13, 20), (11, 9), (5, 4)] and x.shape == (1, 512, 1, 1)
    x, sizes = torch.zeros(1, 3, 5, 224, 224), []
    for layer in net.netcnnlip:
        x = layer(x)
        sizes += [tuple(x.shape[2:])] if isinstance(layer, torch.nn.MaxPool3d) else []
    assert sizes == [(1, 54, 54), (1, 13, 13), (1, 6, 6)] and x.shape == (1, 512, 1, 1, 1)


def test_both_streams_end_in_1024_dimensions(net):
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        a = net.audio(torch.randn(3, 1, 13, 20, generator=draw))
        v = net.lip(255 * torch.rand(2, 3, 5, 224, 224, generator=draw))
    assert a.shape == (3, 1024) and v.shape == (2, 1024)
    assert (a[0] - a[1]).abs().max() > 1e-4 and (v[0] - v[1]).abs().max() > 1e-6


def lacks_a_layer(path):
    state = published_state()
    del state["netfclip.3.bias"]
    torch.save(state, path)


def has_another_shape(path):
    torch.save({**published_state(), "netcnnaud.0.weight": torch.zeros(64, 1, 5, 5)}, path)


@pytest.mark.parametrize("spoil", [
    lambda path: path.write_bytes(path.read_bytes()[:100_000]), lambda path: path.write_bytes(b""),
    lacks_a_layer, has_another_shape, lambda path: torch.save(torch.zeros(3), path)],
    ids=["cut short", "empty", "lacks a layer", "another shape", "a tensor"])
def test_damaged_weights_are_one_line(weights, tmp_path, spoil):
    path = tmp_path / "damaged.model"
    path.write_bytes(weights.read_bytes()[:200_000])
    spoil(path)
    with pytest.raises(InputError, match="damaged.model: damaged, or not SyncNet's") as error:
        syncnet.load_syncnet(path)
    assert "\n" not in str(error.value) and "syncnet_v2.model from http" in str(error.value)


def test_weights_that_carry_code_are_not_run(tmp_path, monkeypatch):
    class Hostile:
        def __reduce__(self):
            return os.system, ("touch hacked",)
    monkeypatch.chdir(tmp_path)
    torch.save({"netcnnaud.0.weight": Hostile()}, "hostile.model")
    with pytest.raises(InputError, match="hostile.model: damaged, or not"):
        syncnet.load_syncnet("hostile.model")
    assert not (tmp_path / "hacked").exists()


def test_missing_weights_say_where_to_get_them():
    with pytest.raises(InputError, match="nofile: no such file; get syncnet_v2.model from http"):
        syncnet.load_syncnet("nofile")


# ---- Crops and windows ---------------------------------------------------------------------------


def test_face_crops_are_where_they_should_be():
    """A ramp whose colours are twice its coordinates: each pixel tells which place it shows."""
    y, x = np.mgrid[:100, :120].astype(np.uint8)
    frame = np.stack([2 * x, 2 * y, np.full_like(x, 255)], -1)
    landmarks = np.random.default_rng(0).uniform([50, 40], [80, 72], (68, 2))
    landmarks[:4] = [[50, 50], [80, 50], [60, 40], [60, 72]]  # 30 wide, 32 high
    crops = syncnet.face_crops(np.stack([frame] * 3), np.stack([landmarks] * 3))
    assert crops.shape == (3, 224, 224, 3)
    # Raised by 8, the box is 45..85 x 32..72, half a side 20: the crop starts at x = 65 - 1.4 * 20,
    # which is 37, and at y = 32, and is 56 px wide.
    for u, v in ((10, 10), (112, 50), (200, 150), (112, 223)):
        want = [2 * (37 + (u + 0.5) / 4 - 0.5), 2 * (32 + (v + 0.5) / 4 - 0.5), 255]
        got = crops[1, v, u]
        assert np.allclose(got, want, atol=0.6), f"pixel {u}, {v}: {got}, want {want}"


def test_face_crops_are_grey_outside_the_frame_and_ignore_one_bad_frame():
    frames = np.full((20, 64, 64, 3), 200, np.uint8)
    landmarks = np.tile(np.random.default_rng(0).uniform(10, 50, (68, 2)), (20, 1, 1))
    landmarks[7] += 9.0
    crops = syncnet.face_crops(frames, landmarks)
    assert (crops[0, 100, 0] == 110).all() and (crops[0, 60, 112] == 200).all()
    assert np.array_equal(crops[7], crops[6])


class Ears(syncnet.SyncNet):
    """Instead of the network: both streams give what codes the moment, so they can be compared.

    audio: c0 of MFCC column 9 (0.09 s, inside frame 2 of 5); lip: red of the middle frame, in the
    same units.
    """

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.scale = torch.nn.Parameter(torch.ones(1), requires_grad=False)

    def audio(self, cepstra):
        assert cepstra.shape[1:] == (1, 13, 20)
        return cepstra[:, 0, :1, 9]

    def lip(self, faces):
        assert faces.shape[1:] == (3, 5, 224, 224)
        assert faces[:, 0].max() == 0, "blue comes first in what SyncNet sees"
        return faces[:, 2, 2, :1, 0] / 10  # red, 0 to 255


def loud_and_red(fps, frames, shift_seconds=0.0, seed=0):
    """Faces whose red is ten times c0 of the sound `shift_seconds` earlier; wave; frame ids."""
    rng = np.random.default_rng(seed)
    levels = rng.uniform(8, 20, 80)  # one per 40 ms
    noise = rng.normal(size=80 * 640)
    wave = np.clip(noise * np.exp(np.repeat(levels, 640) / 2 - 14), -1, 1)
    c0 = syncnet.mfcc(wave * 2**15)[:, 0]
    time = np.arange(frames) / fps - shift_seconds
    red = c0[np.clip(np.round(time * 100 + 1).astype(int), 0, len(c0) - 1)]
    faces = np.zeros((frames, 224, 224, 3), np.uint8)
    faces[..., 0] = np.clip(red * 10, 0, 255).round()[:, None, None]
    return faces, wave, np.arange(frames)


@pytest.mark.parametrize("late", [-3, 0, 4])
def test_syncnet_finds_a_known_shift_with_its_sign(late):
    faces, wave, ids = loud_and_red(25.0, 60, late / 25)
    distances, valid = syncnet.syncnet_distances(Ears(), faces, wave, 25.0, ids, 6, block=7)
    confidence, offset, mean = measures.sync_confidence(distances, valid)
    assert distances.shape == (56, 13) and offset == late and confidence > 1
    assert mean.min() < 0.1, "the windows, or the sound's scale (16-bit integers), are off"


def test_syncnet_at_another_frame_rate_and_with_frames_missing():
    faces, wave, ids = loud_and_red(50.0, 110, 2 / 25)
    keep = np.r_[10:40, 42:110]
    distances, valid = syncnet.syncnet_distances(Ears(), faces[keep], wave, 50.0, ids[keep], 6)
    _, offset, mean = measures.sync_confidence(distances, valid)
    assert len(distances) == 46 and offset == 2 and mean.min() < 0.3


def test_nearest_frames_at_25_a_second():
    assert syncnet._at_25(np.arange(7), 25.0).tolist() == [0, 1, 2, 3, 4, 5, 6]
    at_30 = syncnet._at_25(np.arange(7), 30.0).tolist()
    assert at_30 == [0, 1, 2, 4, 5, 6]  # at 0, 1.2, 2.4, 3.6, 4.8 and 6
    assert syncnet._at_25(np.array([4, 5, 8, 9]), 25.0).tolist() == [0, 1, 1, 2, 2, 3]
    assert syncnet._at_25(np.array([3]), 25.0).tolist() == [0]


def test_a_clip_shorter_than_a_window_is_an_error():
    faces, wave, ids = loud_and_red(25.0, 4)
    with pytest.raises(ValueError, match="shorter than"):
        syncnet.syncnet_distances(Ears(), faces, wave, 25.0, ids)


# ---- The expert ----------------------------------------------------------------------------------


def lips_and_sound(takes, frames=90, crop=16, seed=0):
    """A Corpus of drawn mouths, opened by a smooth signal that also fills the 6 vectors of F_A."""
    rng, corpus = np.random.default_rng(seed), Corpus.__new__(Corpus)
    noise = rng.normal(size=(takes, frames + 12))
    signal = np.stack([np.convolve(of_take, np.hanning(7), "valid") for of_take in noise])
    signal = (signal - signal.min()) / np.ptp(signal)  # (takes, frames + 6)
    step = np.arange(6) - 2.5
    at = np.arange(frames)[:, None] + 3 + step * 0.02 * 25  # in frames at 25 a second
    windows = np.stack([np.interp(at, np.arange(frames + 6), of_take) for of_take in signal])
    f_a = np.stack([windows, 1 - windows, windows**2], -1)  # (takes, frames, 6, 3)
    f_a += 0.02 * rng.normal(size=f_a.shape)
    opening = signal[:, 3:3 + frames, None, None]
    row = np.abs(np.arange(crop) - crop / 2 + 0.5)[:, None]
    dark = 1 / (1 + np.exp(3 * (row - 0.45 * crop * opening)))
    dark = np.broadcast_to(dark, (takes, frames, crop, crop))[..., None]
    skin = rng.uniform(120, 220, (takes, 1, 1, 1, 3))
    mouths = skin * (1 - dark) + rng.normal(0, 4, (takes, frames, crop, crop, 3))
    corpus.mouths = mouths.clip(0, 255).astype(np.uint8).reshape(-1, crop, crop, 3)
    corpus.f_a = f_a.reshape(-1, 6, 3).astype(np.float32)
    corpus.take = np.repeat(np.arange(takes), frames)
    corpus.time = np.tile(np.arange(frames) / 25, takes)
    corpus.label = {"id": corpus.take % 2}  # each person speaks every other take
    return corpus


TINY = replace(SMALL, crop=16, audio_window=6, d_lip=8)


@pytest.fixture(scope="module")
def expert():
    return train_expert(lips_and_sound(6), TINY, 90, 0)


@pytest.mark.parametrize("late", [-4, 0, 5])
def test_expert_finds_a_known_shift_in_unseen_takes(expert, late):
    unseen = lips_and_sound(1, seed=9)
    first, last = max(late, 0), 90 + min(late, 0)
    crops = unseen.mouth_crops(np.arange(first - late, last - late))  # t shows what is of t - late
    distances, valid = expert_distances(*expert, crops, unseen.f_a[first:last], 8)
    confidence, offset, mean = measures.sync_confidence(distances, valid)
    assert offset == late, f"offset {offset}, want {late}: positive: picture is late; {mean}"
    assert confidence > 0.3 and np.nanmax(distances) <= 2 + 1e-5
    assert distances.shape == (90 - abs(late), 17)


def test_expert_is_less_sure_of_a_strange_sound(expert):
    one, other = lips_and_sound(1, seed=10), lips_and_sound(1, seed=11)
    crops = one.mouth_crops(np.arange(90))
    own, strange = (expert_distances(*expert, crops, c.f_a, 8) for c in (one, other))
    assert measures.sync_confidence(*strange)[0] < 0.5 * measures.sync_confidence(*own)[0]


def test_expert_leaves_missing_frames_out(expert):
    unseen, ids = lips_and_sound(1, seed=12), np.delete(np.arange(90), slice(40, 50))
    distances, valid = expert_distances(*expert, unseen.mouth_crops(ids), unseen.f_a[ids], 8, ids)
    assert measures.sync_confidence(distances, valid)[1] == 0
    assert valid.sum() == sum(t + shift in set(ids) for t in ids for shift in range(-8, 9))


def test_expert_is_fixed_by_its_seed_and_leaves_the_global_generator_alone(expert):
    corpus, state = lips_and_sound(2), torch.get_rng_state()
    pairs = [train_expert(corpus, TINY, 3, seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), state)
    first, second, third = ([p for network in pair for p in network.parameters()] for pair in pairs)
    assert all(map(torch.equal, first, second)) and not all(map(torch.equal, first, third))
    assert not any(network.training for network in pairs[0]), "dropout is still on"
