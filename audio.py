"""audio.py - Sec. 3.1, 3.4: speech features F_A, aligned with the frames, and the lip sync module.

In: sound (N,) at 16 kHz, the shape of the lips (T, 40). Out: F_A (T, w, d), a window of features a
frame; F_al = E_audio(F_A) and F_lip = E_lip(lips), both (T, d_lip), which Eq. 8 brings together.

Sound and frames are paired by time stamps, never by index: HuBERT gives about 50 vectors a second,
a video 24 to 60 frames. Frame `id` of a video is shown from id / fps seconds on. The field of
dhnerf.py is trained with F_lip, and driven with F_al in its place. Next: train.py.
"""
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn
from torch.nn import functional as F

import losses
from tools.errors import InputError, first_line
from tools.media import SAMPLE_RATE
from tools.phones import phone_features, recogniser
from tools.sound import STEP, in_chunks, levelled, log_mel, speech_power

HUBERT = "facebook/hubert-base-ls960"  # what `--audio-features hubert` means
FRAME, HOP_HUBERT = 400, 320  # samples: a vector of HuBERT sees 25 ms, the next is 20 ms on
PHONES = 2.0  # standard deviations of theirs for one of log-mel: E_audio's noise hides less of them
PAUSE = 0.3  # seconds around what is loud that count as speech, see `standardised`


# ---- F_A: features of the sound ------------------------------------------------------------------

def load_hubert(source: str):
    """Frozen HuBERT by name or folder (Sec. 3.1), and whether it wants sound of unit variance.

    Raises InputError without one. A folder holds config.json, weights, preprocessor_config.json.
    """
    from transformers import AutoFeatureExtractor, HubertModel  # slow, and not for `small`
    try:
        normalise = bool(AutoFeatureExtractor.from_pretrained(source).do_normalize)
        return HubertModel.from_pretrained(source).eval().requires_grad_(False), normalise
    except Exception as error:  # many kinds, for a missing, partial or foreign model
        why = f"no HuBERT model could be loaded ({first_line(error, 200)})"
        raise InputError(f"{source}: {why}; give a model name, a folder with config.json, weights "
                         "and preprocessor_config.json, or --audio-features logmel") from error


@torch.no_grad()
def hubert_features(wave: Float[np.ndarray, "N"], model, normalise: bool, chunk: float = 20.0,
                    context: float = 1.0
                    ) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n"]]:
    """HuBERT's last hidden layer and the time in seconds of each vector, the middle of its sound.

    A vector sees 400 samples; N give floor((N - 400) / 320) + 1. See in_chunks.
    """
    if normalise:
        wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
    if len(wave) < FRAME:
        wave = np.pad(wave, (0, FRAME - len(wave)))
    total, device = (len(wave) - FRAME) // HOP_HUBERT + 1, next(model.parameters()).device

    def encode(first: int, last: int) -> np.ndarray:
        piece = wave[first * HOP_HUBERT:(last - 1) * HOP_HUBERT + FRAME].astype(np.float32)
        hidden = model(torch.from_numpy(piece)[None].to(device)).last_hidden_state[0]
        return hidden.float().cpu().numpy()

    times = (np.arange(total) * HOP_HUBERT + FRAME / 2) / SAMPLE_RATE
    return in_chunks(encode, total, chunk, context), times


def standardised(features: Float[np.ndarray, "n d"], times: Float[np.ndarray, "n"],
                 wave: Float[np.ndarray, "N"]) -> Float[np.ndarray, "n d"]:
    """Features less their mean over the recording's speech, in standard deviations of it.

    Voice, microphone and room are what all vectors of a recording share. A map from sound to lips
    that sees them learns one voice; without them it serves others. Pauses of up to 2 PAUSE seconds
    count as speech, longer silence does not. Sound without speech has no measure of its own: it is
    as far below speech as silence usually is.
    """
    power, least = speech_power(levelled(wave))
    loud = np.flatnonzero(power[::SAMPLE_RATE // 1000] >= least) / 1000  # s, to the millisecond
    if len(loud) == 0:
        return np.full(features.shape, -2.0, np.float32)
    after = np.clip(np.searchsorted(loud, times), 1, len(loud) - 1) if len(loud) > 1 else 0
    away = np.minimum(np.abs(loud[after] - times), np.abs(times - loud[np.maximum(after - 1, 0)]))
    speech = features[away <= max(PAUSE, away.min())]
    return ((features - speech.mean(0)) / (speech.std(0) + 1e-3)).astype(np.float32)


def align_to_frames(features: Float[np.ndarray, "n d"], times: Float[np.ndarray, "n"],
                    frame_times: Float[np.ndarray, "T"], window: int) -> Float[np.ndarray, "T w d"]:
    """F_A: for each frame `window` vectors 20 ms apart, centred on its time, linear in between.

    T windows at any frame rate, float32. Beyond its ends the sound's first or last vector repeats.
    """
    offsets = (np.arange(window) - (window - 1) / 2) * STEP
    at = np.clip(frame_times[:, None] + offsets, times[0], times[-1])  # (T, w) seconds
    right = np.clip(np.searchsorted(times, at), 1, max(len(times) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(times) - 1)  # a single vector: both sides are that one
    gap = np.where(times[right] > times[left], times[right] - times[left], 1.0)
    weight = ((at - times[left]) / gap)[..., None]
    return ((1 - weight) * features[left] + weight * features[right]).astype(np.float32)


def feature_extractor(source: str, window: int, device: torch.device = torch.device("cpu"),
                      smooth: float = 0.0) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The function (wave (N,), frame_times (T,) seconds) -> F_A (T, window, d) of a source.

    source: "logmel", "phones" (log-mel and phones), "hubert", or the name or folder of a HuBERT
    model (`--audio-features`). smooth: s, sigma of a Gaussian over time: lips cannot jitter. Its
    hear(wave) gives the function of frame_times alone, for long sound: features are made once.
    Raises InputError where its recogniser or model is missing.
    """
    kinds = [(log_mel, 1.0)]
    if source == "phones":
        recogniser()  # so that its absence is said at once
        kinds += [(phone_features, PHONES)]
    elif source != "logmel":
        model, normalise = load_hubert(HUBERT if source == "hubert" else source)
        model.to(device)
        kinds = [(lambda wave: hubert_features(wave, model, normalise), 1.0)]

    def hear(wave: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        heard = []
        for kind, scale in kinds:
            features, times = kind(wave)
            features = scale * standardised(features, times, wave)
            if smooth and len(times) > 1:
                features = gaussian_filter1d(features, smooth / (times[1] - times[0]), axis=0)
            heard.append((features, times))
        return lambda at: np.concatenate([align_to_frames(*one, at, window) for one in heard], -1)

    extract = lambda wave, frame_times: hear(wave)(frame_times)
    extract.hear = hear
    return extract


# ---- The lip sync module (Sec. 3.4, Fig. 3) ------------------------------------------------------

class AudioEncoder(nn.Module):
    """E_audio: a window of F_A -> F_al, unit length; `layers` convolutions over time, a linear one.

    noise: of the features in training, in standard deviations. Seconds of speech are soon learnt by
    heart; through noise, and by a linear map (layers 0), only what many frames share is learnt.
    """

    def __init__(self, d_in: int, window: int, d_out: int, layers: int = 3, noise: float = 0.0,
                 width: int = 64):
        super().__init__()
        self.noise = noise
        convs, channels, length = [], d_in, window
        for stride in (1, 2, 2)[:layers]:
            convs += [nn.Conv1d(channels, width, 3, stride, padding=1), nn.LeakyReLU(0.2)]
            channels, length = width, math.ceil(length / stride)
        self.convs = nn.Sequential(*convs, nn.Flatten(), nn.Dropout(0.2 if layers else 0.0))
        # Centred before unit length: features that start almost parallel, as those of one person's
        # mouths do, give Eq. 8 hardly a gradient.
        self.out = nn.Sequential(nn.Linear(channels * length, d_out),
                                 nn.BatchNorm1d(d_out, affine=False))

    def forward(self, f_a: Float[Tensor, "B w d"]) -> Float[Tensor, "B k"]:
        x = f_a.transpose(1, 2)  # (B, d, w)
        if self.training and self.noise:
            x = x + self.noise * torch.randn_like(x)
        return F.normalize(self.out(self.convs(x)), dim=-1)


class LipEncoder(nn.Module):
    """E_lip: the shape of the lips -> F_lip, unit length. The anchor of Eq. 8.

    The lips are the tracked ones (Sec. 3.1), turned upright, in standard deviations of the person
    (data/crops.lip_shapes): a linear map of 40 numbers. A network that looks at the mouth's pixels
    learns hundreds of frames by heart, and whose mouth it is. Noise keeps F_lip smooth.
    """

    def __init__(self, d_out: int, noise: float = 0.1):
        super().__init__()
        self.noise = noise
        self.net = nn.Sequential(nn.Linear(40, d_out), nn.BatchNorm1d(d_out, affine=False))

    def forward(self, lips: Float[Tensor, "B 40"]) -> Float[Tensor, "B k"]:
        if self.training:
            lips = lips + self.noise * torch.randn_like(lips)
        return F.normalize(self.net(lips), dim=-1)


def draw_negatives(take: np.ndarray, time: np.ndarray, anchors: np.ndarray, n: int,
                   rng: np.random.Generator, apart: float, person: np.ndarray | None = None,
                   pool: int | None = None) -> np.ndarray:
    """Negatives of Eq. 8, frames (B, n) of other takes or at least `apart` seconds away.

    take (T,), time (T,) in seconds describe every frame; anchors (B,). Neighbouring frames look
    alike, so they would be false negatives. person (T,): who speaks; negatives are then the
    anchor's own. Other people's would be told apart by face and voice, without a look at the lips.
    pool: so many frames of each person are drawn for all anchors together, and heard once for all.
    Raises InputError when a frame has no admissible negative (sound much too short).
    """
    whose = np.zeros(len(take), np.int64) if person is None else person
    own = {who: np.flatnonzero(whose == who) for who in np.unique(whose[anchors])}
    shared = {who: rng.choice(frames, pool) for who, frames in own.items()} if pool else {}
    out = np.empty((len(anchors), n), dtype=np.int64)
    for row, a in enumerate(anchors):
        frames = own[whose[a]]
        admissible = lambda f: f[(take[f] != take[a]) | (np.abs(time[f] - time[a]) >= apart)]
        good = admissible(shared[whose[a]] if pool else rng.choice(frames, size=16 * n))
        if len(good) == 0:
            good = admissible(frames)
        if len(good) == 0:
            raise InputError("training data: too short for the sync module; no two frames lie "
                             f"{apart} s apart, use a longer clip or --no-sync")
        out[row] = rng.choice(good, n, replace=len(good) < n)
    return out


def lips_loss(e_lip: nn.Module, e_audio: AudioEncoder, lips: Float[Tensor, "B ..."],
              f_a: Float[np.ndarray, "T w d"], anchors: np.ndarray, negatives: np.ndarray,
              tau: float) -> Tensor:
    """Eq. 8: anchor F_lip of the lips, positive F_al of the same time, N negatives F_al of others.

    lips: what e_lip sees of the frames `anchors` (B,); f_a: F_A of all T; negatives: frames (B, N).
    """
    B, wanted = len(anchors), np.concatenate([anchors, negatives.ravel()])
    frames, place = np.unique(wanted, return_inverse=True)  # each window is heard once
    f_al = e_audio(torch.from_numpy(f_a[frames]).to(lips.device))[torch.from_numpy(place)]
    return losses.info_nce(e_lip(lips), f_al[:B], f_al[B:].view(*negatives.shape, -1), tau)
