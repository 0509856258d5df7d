"""config.py - every number of a run, each with its symbol and where it comes from.

`paper` uses what the paper gives (and HeadNeRF's values where it gives none); `small` runs on a laptop's CPU in
minutes. A configuration never changes while it runs; it is stored in the checkpoint and as config.json.
"""
from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace

LOG_EVERY = 10  # iterations between two lines of log.csv


@dataclass(frozen=True)
class Config:
    # What is trained on
    data: str | None = None
    subjects: str | None = None  # names or a count, comma separated; None: the training split
    sentences: str | None = None
    preset: str = "paper"
    seed: int = 0
    size: int = 512  # H = W of the image I, pixels
    # Sec. 3.2: the field of Eq. 1. Widths and depths are NeRF's
    width: int = 256
    depth: int = 8
    width_appearance: int = 128
    d_feature: int = 256  # channels of M, Sec. 3.2
    n_freq_x: int = 10
    n_freq_v: int = 4
    plane_channels: int = 0  # learnt features of x beside the sines, three planes; 0: none, as in the paper
    plane_size: int = 48
    plane_rank: int = 16  # planes of the basis that the codes mix
    box: tuple[float, ...] = (-1.3, -2.0, -1.5, 1.3, 1.6, 1.4)  # dm, head frame: what is sampled, two corners
    upsample: int = 8  # image pixels a feature pixel, each way: HeadNeRF's 64 x 64 to 512 x 512
    channels_2d: int = 256
    n_coarse: int = 64  # NeRF Sec. 5.3 has 64 + 128 with two fields
    n_fine: int = 64
    # Sec. 3.2: sizes of the codes C; the paper gives none, these are HeadNeRF's. 27 = 9 harmonics x RGB
    d_id: int = 100
    d_ex: int = 79
    d_al: int = 100
    d_ill: int = 27
    # Sec. 3.1, 3.4: audio and lips
    audio_features: str = "hubert"
    audio_window: int = 16  # feature vectors a frame, 20 ms apart
    d_lip: int = 64  # F_lip, F_al
    crop: int = 64  # side of the aligned crops that E_lip and the extractor see
    # Eq. 2 - 8
    lambda_rec: float = 1.0
    lambda_dis: float = 5.0
    lambda_v: float = 10.0
    lambda_per: float = 1.0  # Eq. 3 has no weight
    lambda_opacity: float = 0.1  # ours: see losses.opacity_loss
    outside: float = 0.3  # value of m(.) outside the mask, so that hair and background are learnt too; squared in Eq. 5
    vgg: str = "download"  # or "random", a file, "none"
    vgg_layers: tuple[str, ...] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
    n_negatives: int = 10  # N of Eq. 8
    tau: float = 0.5  # Eq. 8
    sync: bool = True  # False: row 2 of Table 2, no F_lip
    rare: float = 0.0  # ours: share of frames drawn by how unusual their upper face is, see Corpus.draws
    ex_swap: float = 0.5  # ours: share of frames that take C_ex from a frame with the same upper face, see train.py
    code_noise: float = 0.0  # ours: length of the noise on C_ex and F_lip in training; see train.CLIP_NOISE
    # What choices.py changes, to see what it does
    blank_mouth: bool = True  # False: the extractor sees the mouth
    lip_dropout: float = 0.0  # share of the frames that are trained without their F_lip
    code_per_frame: bool = False  # True: each frame has a C_id, C_al and C_ill of its own, not each label
    random_codes: bool = False  # True: all codes start at random unit vectors, not at the extractor's
    # Training
    iters: int = 800_000  # Sec. 4.2
    extractor_iters: int = 5000
    sync_iters: int = 5000
    pairs: int = 1  # frame pairs a step: Eq. 7 needs two frames
    patch: int = 0  # feature pixels a side that a step renders of each frame; 0: the whole frame
    pair_share: float = 1.0  # steps of consecutive frames; the others see two unrelated frames, and learn more
    lr: float = 5e-4
    lr_planes: float = 5e-2
    lr_codes: float = 1e-3
    lr_hold: float = 0.0  # share of the iterations at the full rates; then they fall to lr_final of it
    lr_final: float = 0.1
    beta2: float = 0.999  # Adam's memory of squared gradients
    save_every: int = 1000

    def code_size(self, name: str) -> int:
        """Length of the code "id", "ex", "al" or "ill"."""
        return getattr(self, f"d_{name}")

    def to_dict(self) -> dict:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict) -> "Config":
        known = {f.name for f in fields(Config)}
        return Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known})


PAPER = Config()
SMALL = replace(
    PAPER, preset="small", size=64, width=64, depth=3, plane_channels=16, width_appearance=64, d_feature=64, n_freq_x=4,
    n_freq_v=2, upsample=2, plane_size=32, channels_2d=128, n_coarse=8, n_fine=4, d_id=16, d_ex=16, d_al=16, d_ill=16,
    audio_features="logmel", d_lip=32, crop=48, vgg="none", vgg_layers=("relu1_2", "relu2_2"), lambda_per=0.02,
    lambda_v=0.02, pairs=9, patch=10, rare=0.5, pair_share=0.25, lr=4e-3, lr_codes=5e-3, lr_hold=0.5, lr_final=0.05,
    beta2=0.99, iters=2800, extractor_iters=600, sync_iters=750, save_every=250)
PRESETS = {"paper": PAPER, "small": SMALL}


def shortened(cfg: Config) -> Config:
    """A short trial is short in every stage, and leaves a checkpoint on the way."""
    return replace(cfg, extractor_iters=min(cfg.extractor_iters, cfg.iters), sync_iters=min(cfg.sync_iters, cfg.iters),
                   save_every=min(cfg.save_every, max(LOG_EVERY, cfg.iters // 4)))
