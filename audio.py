"""audio.py - Sec. 3.1, 3.4: speech features F_A, aligned with the frames, and the lip sync module.

In: sound (N,) at 16 kHz, mouth crops (T, 3, s, s). Out: F_A (T, w, d), a window of features per
frame; F_al = E_audio(F_A) and F_lip = E_lip(mouth), both (T, d_lip), which Eq. 8 brings together.

Sound and frames are paired by time stamps, never by index: HuBERT gives about 50 vectors a second,
a video 24 to 60 frames. Frame `id` of a video is shown from id / fps seconds on. F_al is
the input F_lip of dhnerf.py. Next: train.py.
"""
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

import losses
from tools.errors import InputError, first_line
from tools.media import SAMPLE_RATE

HUBERT = "facebook/hubert-base-ls960"  # what `--audio-features hubert` means
FRAME, HOP_MEL, HOP_HUBERT = 400, 160, 320  # samples: a vector sees 25 ms; hops of 10, 20 ms
N_MEL = 40
STEP = 0.02  # seconds between the vectors of a window of F_A


# ---- F_A: features of the sound ------------------------------------------------------------------

def log_mel(wave: Float[np.ndarray, "N"]
            ) -> tuple[Float[np.ndarray, "n 40"], Float[np.ndarray, "n"]]:
    """Log-mel energies every 10 ms, the features of `small`, and the time of each in seconds.

    Hann windows of 25 ms centred on every 160th sample, 40 triangular mel bands from 60 to 7600 Hz,
    natural log above a floor. The sound is first brought to a common level (as in HuBERT's front
    end), so that a quieter recording does not look like other speech; a silent one stays silent.
    """
    wave = torch.from_numpy(wave)
    wave = wave * (0.1 / wave.square().mean().sqrt().clamp_min(1e-3))
    spectrum = torch.stft(wave, 512, HOP_MEL, FRAME, torch.hann_window(FRAME), center=True,
                          pad_mode="constant", return_complex=True)
    mel = mel_filters() @ spectrum.abs().square()  # (40, n)
    features = ((mel + 1e-3).log() / 4.0).T  # speech at this level has |X|^2 of about 1 to 1000
    return features.numpy(), np.arange(len(features)) * HOP_MEL / SAMPLE_RATE


def mel_filters() -> Float[Tensor, "40 257"]:
    """Triangles equally spaced on the mel scale, each of unit sum, over the STFT's 257 bins."""
    to_mel = lambda f: 2595 * math.log10(1 + f / 700)
    mel = torch.linspace(to_mel(60.0), to_mel(7600.0), N_MEL + 2)
    centre = 700 * (10 ** (mel / 2595) - 1)  # Hz
    bins = torch.linspace(0, SAMPLE_RATE / 2, 257)
    rising = (bins - centre[:-2, None]) / (centre[1:-1] - centre[:-2])[:, None]
    falling = (centre[2:, None] - bins) / (centre[2:] - centre[1:-1])[:, None]
    triangles = torch.minimum(rising, falling).clamp_min(0)
    return triangles / triangles.sum(1, keepdim=True)


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

    A vector sees 400 samples; N give floor((N - 400) / 320) + 1. Long sound goes through in chunks
    of `chunk` seconds that overlap by `context` at each side, cut on multiples of 320 samples, so
    that memory is bounded and the time grid has no seam.
    """
    if normalise:
        wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
    if len(wave) < FRAME:
        wave = np.pad(wave, (0, FRAME - len(wave)))
    total = (len(wave) - FRAME) // HOP_HUBERT + 1
    step, margin = int(chunk * SAMPLE_RATE) // HOP_HUBERT, int(context * SAMPLE_RATE) // HOP_HUBERT
    device, parts = next(model.parameters()).device, []
    for start in range(0, total, step):
        stop = min(start + step, total)
        first, last = max(start - margin, 0), min(stop + margin, total)
        piece = wave[first * HOP_HUBERT:(last - 1) * HOP_HUBERT + FRAME].astype(np.float32)
        hidden = model(torch.from_numpy(piece)[None].to(device)).last_hidden_state[0]
        parts.append(hidden[start - first:stop - first].float().cpu().numpy())
    times = (np.arange(total) * HOP_HUBERT + FRAME / 2) / SAMPLE_RATE
    return np.concatenate(parts), times


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


def feature_extractor(source: str, window: int, device: torch.device = torch.device("cpu")
                      ) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The function (wave (N,), frame_times (T,) seconds) -> F_A (T, window, d) of a source.

    source: "logmel", "hubert", or the name or folder of a HuBERT model (`--audio-features`).
    """
    if source == "logmel":
        return lambda wave, frame_times: align_to_frames(*log_mel(wave), frame_times, window)
    model, normalise = load_hubert(HUBERT if source == "hubert" else source)
    model.to(device)
    hubert = lambda wave: hubert_features(wave, model, normalise)
    return lambda wave, frame_times: align_to_frames(*hubert(wave), frame_times, window)


# ---- The lip sync module (Sec. 3.4, Fig. 3) ------------------------------------------------------

class AudioEncoder(nn.Module):
    """E_audio: a window of F_A -> F_al, unit length; convolutions over time, a linear layer."""

    def __init__(self, d_in: int, window: int, d_out: int, width: int = 64):
        super().__init__()
        self.norm = nn.BatchNorm1d(d_in, affine=False)  # features of any model and level
        self.convs = nn.Sequential(
            nn.Conv1d(d_in, width, 3, padding=1), nn.LeakyReLU(0.2),
            nn.Conv1d(width, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Conv1d(width, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Flatten(), nn.Dropout(0.2))
        # Centred before unit length, as E_lip's output: see there.
        self.out = nn.Sequential(nn.Linear(width * math.ceil(math.ceil(window / 2) / 2), d_out),
                                 nn.BatchNorm1d(d_out, affine=False))

    def forward(self, f_a: Float[Tensor, "B w d"]) -> Float[Tensor, "B k"]:
        x = self.norm(f_a.transpose(1, 2))  # (B, d, w)
        return F.normalize(self.out(self.convs(x)), dim=-1)


class LipEncoder(nn.Module):
    """E_lip: a mouth crop -> F_lip, unit length. The anchor of Eq. 8; used only to train E_audio.

    Mouths of one person are alike: without any batch norm their features start almost parallel,
    where Eq. 8 has hardly a gradient. So each layer is normalised over the batch, and the features
    are centred before they get unit length.
    """

    def __init__(self, crop: int, d_out: int):
        super().__init__()
        layers, channels = [], 3
        for width in (24, 32, 48, 64):
            layers += [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.BatchNorm2d(width),
                       nn.LeakyReLU(0.2)]
            channels = width
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2),
                                 nn.Linear(channels * (crop // 16) ** 2, d_out),
                                 nn.BatchNorm1d(d_out, affine=False))

    def forward(self, mouth: Float[Tensor, "B 3 s s"]) -> Float[Tensor, "B k"]:
        return F.normalize(self.net(mouth - 0.5), dim=-1)


def draw_negatives(take: np.ndarray, time: np.ndarray, anchors: np.ndarray, n: int,
                   rng: np.random.Generator, apart: float,
                   person: np.ndarray | None = None) -> np.ndarray:
    """Negatives of Eq. 8, frames (B, n) of other takes or at least `apart` seconds away.

    take (T,), time (T,) in seconds describe every frame; anchors (B,). Neighbouring frames look
    alike, so they would be false negatives. person (T,): who speaks; negatives are then the
    anchor's own. Other people's would be told apart by face and voice, without a look at the lips.
    Raises InputError when a frame has no admissible negative (sound much too short).
    """
    whose = np.zeros(len(take), np.int64) if person is None else person
    own = {who: np.flatnonzero(whose == who) for who in np.unique(whose[anchors])}
    out = np.empty((len(anchors), n), dtype=np.int64)
    for row, a in enumerate(anchors):
        frames = own[whose[a]]
        admissible = lambda f: f[(take[f] != take[a]) | (np.abs(time[f] - time[a]) >= apart)]
        good = admissible(rng.choice(frames, size=16 * n))
        if len(good) == 0:
            good = admissible(frames)
        if len(good) == 0:
            raise InputError("training data: too short for the sync module; no two frames lie "
                             f"{apart} s apart, use a longer clip or --no-sync")
        out[row] = rng.choice(good, n, replace=len(good) < n)
    return out


def lips_loss(e_lip: LipEncoder, e_audio: AudioEncoder, mouths: Float[Tensor, "B 3 s s"],
              f_a: Float[np.ndarray, "T w d"], anchors: np.ndarray, negatives: np.ndarray,
              tau: float) -> Tensor:
    """Eq. 8: anchor F_lip of a mouth, positive F_al of the same time, N negatives F_al of others.

    mouths: crops of the frames `anchors` (B,); f_a: F_A of all T; negatives: frames (B, N).
    """
    B, frames = len(anchors), np.concatenate([anchors, negatives.ravel()])
    f_al = e_audio(torch.from_numpy(f_a[frames]).to(mouths.device))
    return losses.info_nce(e_lip(mouths), f_al[:B], f_al[B:].view(*negatives.shape, -1), tau)
