"""config.py - every number of a run: the paper's values, ours, and the switches of studies.

`paper` uses what the paper gives (and HeadNeRF's and NeRF's values where it gives none); `small`
runs on a laptop's CPU in minutes. A configuration never changes while it runs; it is stored in the
checkpoint and as config.json. Each entry says its symbol or section, and in front of its value who
reads it.
"""
from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from dataclasses import field as entry

LOG_EVERY = 10  # iterations between two lines of log.csv


def read_by(*networks: str):
    """An entry with the networks that read it themselves: a change leaves the others as they are.

    The field learns from what the other two give, so it is trained anew in any case (ablation.py).
    """
    return lambda value: entry(default=value, metadata={"read_by": frozenset(networks)})


ALL = read_by("extractor", "sync", "field")  # what makes the data, and what all three share
ENCODERS = read_by("extractor", "sync")
EXTRACTOR, SYNC, FIELD = read_by("extractor"), read_by("sync"), read_by("field")
EXTRACTOR_FIELD, SYNC_FIELD = read_by("extractor", "field"), read_by("sync", "field")


@dataclass(frozen=True)
class Config:
    # ---- 1. The paper's values, and where it gives none HeadNeRF's (H) or NeRF's (N) -------------
    size: int = ALL(512)  # H = W of the image I, pixels; H
    width: int = FIELD(256)  # Sec. 3.2, the field of Eq. 1; N, as the next five
    depth: int = FIELD(8)
    width_appearance: int = FIELD(128)
    n_freq_x: int = FIELD(10)
    n_freq_v: int = FIELD(4)
    n_coarse: int = FIELD(64)  # N has 64 + 128 with two fields
    n_fine: int = FIELD(64)
    d_feature: int = FIELD(256)  # channels of M, Sec. 3.2
    upsample: int = FIELD(8)  # image pixels per feature pixel, each way: from 64 to 512; H
    channels_2d: int = FIELD(256)
    d_id: int = EXTRACTOR_FIELD(100)  # sizes of the codes C; H. 27 = 9 harmonics x RGB
    d_ex: int = EXTRACTOR_FIELD(79)
    d_al: int = EXTRACTOR_FIELD(100)
    d_ill: int = EXTRACTOR_FIELD(27)
    audio_features: str = ALL("hubert")  # F_A, Sec. 3.1
    lambda_rec: float = FIELD(1.0)  # Eq. 2, as the next two
    lambda_dis: float = FIELD(5.0)
    lambda_v: float = FIELD(10 / (3 * 512**2) ** 0.5)  # 10 beside sums is this beside means, 0.011
    lambda_per: float = FIELD(0.005)  # Eq. 3 has none; errors of raw features are 50 times as large
    vgg: str = FIELD("download")  # Eq. 4; or "random", a file, "none"
    vgg_layers: tuple[str, ...] = FIELD(("relu1_2", "relu2_2", "relu3_3", "relu4_3"))
    n_negatives: int = ENCODERS(10)  # N of Eq. 8
    tau: float = ENCODERS(0.5)  # Eq. 8
    iters: int = FIELD(800_000)  # Sec. 4.2
    lr: float = FIELD(5e-4)  # N

    # ---- 2. Ours: the data, what the paper leaves open, how a run is trained ---------------------
    data: str | None = ALL(None)
    subjects: str | None = ALL(None)  # names or a count, comma separated; None: the training split
    sentences: str | None = ALL(None)
    av_offset: str = ALL("auto")  # ms by which the picture of clips leads their sound, or "auto"
    landmark_model: str | None = ALL(None)  # files for MediaPipe versions that bring none, for
    matte_model: str | None = ALL(None)  # clips without landmarks or matte of their own
    mine: str | None = ALL(None)  # folder of a student's functions in place of ours, see mine.py
    preset: str = ALL("paper")
    seed: int = ALL(0)
    box: tuple[float, ...] = FIELD((-1.3, -2.0, -1.5, 1.3, 1.6, 1.4))  # dm, sampled: two corners
    body: bool = FIELD(False)  # shoulders that the head does not turn, see Field.joined
    solid: float = FIELD(4.0)  # log density that a bust adds in its middle, see synthetic/bust.py
    plane_channels: int = FIELD(0)  # learnt features of x beside the sines, three planes; 0: none
    plane_size: int = FIELD(48)
    plane_rank: int = FIELD(16)  # planes of the basis that the codes mix
    audio_window: int = ALL(16)  # feature vectors of F_A per frame, 20 ms apart
    sound_smooth: float = ALL(0.0)  # s, sigma over time of F_A
    sound_layers: int = SYNC(3)  # convolutions of E_audio; 0: a linear map
    sound_noise: float = SYNC(0.5)  # on F_A while E_audio learns, in standard deviations
    voices: float = SYNC(0.0)  # share of stand-in voices where one person's speech is all there is
    d_lip: int = SYNC_FIELD(64)  # length of F_lip and F_al
    crop: int = EXTRACTOR(64)  # side of the aligned crops that the extractor sees
    apart: float = SYNC_FIELD(0.4)  # s: frames nearer than this show nearly the same mouth, Eq. 8
    least: float = FIELD(1e-3)  # weight of a sample that matters, see speed/sparse.py; 0: all do
    lambda_opacity: float = FIELD(0.1)  # see losses.opacity_loss
    outside: float = FIELD(0.3)  # m(.) outside the mask, so that hair is learnt; Eq. 5 squares it
    rare: float = EXTRACTOR_FIELD(0.0)  # share of frames drawn by how unusual their upper face is
    ex_swap: float = FIELD(0.5)  # share of frames with the C_ex of another frame, see train.py
    code_noise: float = FIELD(0.0)  # length of the noise on C_ex and F_lip in training, see CLIP
    extractor_iters: int = EXTRACTOR(5000)
    extractor_frames: int = EXTRACTOR(96)  # frames per step: each is anchor, positive and negative
    extractor_anchors: int = EXTRACTOR(32)
    sync_iters: int = SYNC(5000)
    sync_anchors: int = SYNC(32)  # mouths per step
    sync_pool: int = SYNC(16)  # frames of each person per step, of which their negatives are drawn
    pairs: int = FIELD(1)  # frame pairs per step: Eq. 7 needs two frames
    patch: int = FIELD(0)  # side, feature pixels, of what a step renders of each frame; 0: all
    pair_share: float = FIELD(1.0)  # steps of consecutive frames; the others see unrelated frames
    lr_planes: float = FIELD(5e-2)
    lr_codes: float = FIELD(1e-3)
    lr_encoders: float = ENCODERS(1e-3)
    lr_hold: float = FIELD(0.0)  # share of the iterations at the full rates, which then fall
    lr_final: float = FIELD(0.1)  # share of the rates at the end
    beta2: float = FIELD(0.999)  # Adam's memory of squared gradients
    save_every: int = FIELD(1000)
    precision: str = FIELD("auto")  # of a step's layers: "float32", "bfloat16"; auto: by the GPU

    # ---- 3. Switches of studies (--table2, --choices, --controls): as the program has them -------
    sync: bool = FIELD(True)  # False: row 2 of Table 2, no F_lip
    lips_jointly: bool = SYNC_FIELD(False)  # True: L_lips with the field, see evaluation/joint.py
    blank_mouth: bool = EXTRACTOR_FIELD(True)  # False: the extractor sees the mouth
    lip_dropout: float = FIELD(0.0)  # share of the frames that are trained without their F_lip
    code_per_frame: bool = FIELD(False)  # True: each frame has a C_id, C_al and C_ill of its own
    random_codes: bool = FIELD(False)  # True: the codes start at random, not at the extractor's

    def code_size(self, name: str) -> int:
        """Length of the code "id", "ex", "al" or "ill"."""
        return getattr(self, f"d_{name}")

    def to_dict(self) -> dict:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict) -> "Config":
        known = {f.name for f in fields(Config)}
        return Config(**{name: tuple(value) if isinstance(value, list) else value
                         for name, value in values.items() if name in known})


PAPER = Config()
SMALL = replace(
    PAPER, preset="small", size=64, width=64, depth=3, width_appearance=64, n_freq_x=4, n_freq_v=2,
    n_coarse=6, n_fine=4, d_feature=64, upsample=2, channels_2d=128, plane_channels=16,
    plane_size=32, d_id=16, d_ex=16, d_al=16, d_ill=16, audio_features="logmel", d_lip=32, crop=48,
    vgg="none", vgg_layers=("relu1_2", "relu2_2"), lambda_v=0.02, pairs=9,
    patch=10, rare=0.5, pair_share=0.25, lr=4e-3, lr_codes=5e-3, lr_hold=0.5, lr_final=0.05,
    beta2=0.99, iters=2800, extractor_iters=600, sync_iters=750, save_every=250)
# Between the two: meant for one consumer GPU in half an hour, or a CPU overnight; neither was run
# to its end. Layers are wider and samples denser than those of `small`; what serves it stays.
MEDIUM = replace(
    SMALL, preset="medium", size=256, width=128, depth=4, width_appearance=128, n_freq_x=6,
    n_coarse=32, n_fine=16, d_feature=128, upsample=4, channels_2d=192, plane_size=48, d_id=32,
    d_ex=32, d_al=32, d_ill=27, d_lip=64, crop=64, pairs=6, patch=16, lr=2e-3, lr_planes=2e-2,
    iters=15_000, extractor_iters=1500, sync_iters=1500, save_every=500)
PRESETS = {"paper": PAPER, "medium": MEDIUM, "small": SMALL}
# A clip's few seconds hold few pairs of C_ex and F_lip, and new speech brings others; they teach a
# linear map from sound to lips and no more. And they show the head from few sides: sines of the
# view direction, which `small` and `medium` then do without, break where it turns on.
CLIP = {"code_noise": 0.9, "sound_smooth": 0.04, "sound_layers": 0, "sound_noise": 1.0,
        "voices": 0.1, "body": True, "box": (-1.7, -2.2, -1.5, 1.7, 1.7, 1.4)}


SIZE = 128  # of `small`, where the user names none
# What `small` takes by the size of its pictures: up to 64, 128, and beyond; and how many iterations
# the stand-in heads get, which are there for a first look. Measured in results.md, "Whole heads"
# and "Speed".
BY_SIZE = ((64, {}, 800), (128, {"upsample": 4}, 2000),
           (None, {"upsample": 4, "patch": 14, "iters": 4500}, 4500))


def for_data(cfg: Config, clips: bool, size: int | None, iters: int | None) -> Config:
    """The configuration for clips, or for heads and VOCASET; in `small` what goes with the size.

    size, iters: as the user gives them, or None.
    """
    if clips:
        cfg = replace(cfg, **CLIP, **({} if cfg.preset == "paper" else {"n_freq_v": 0}))
    if cfg.preset != "small":
        return replace(cfg, patch=min(cfg.patch, cfg.size // cfg.upsample))
    size = SIZE if size is None else size
    settings, of_heads = next((chosen, of_heads) for largest, chosen, of_heads in BY_SIZE
                              if largest is None or size <= largest)
    cfg = replace(cfg, size=size, **settings)
    if cfg.data is None:
        cfg = replace(cfg, iters=of_heads)
    return cfg if iters is None else replace(cfg, iters=iters)


def readers_of_change(one: Config, other: Config) -> set[str]:
    """The networks ("extractor", "sync", "field") that read an entry in which the two differ."""
    differ = [f for f in fields(Config) if getattr(one, f.name) != getattr(other, f.name)]
    return set().union(*(f.metadata["read_by"] for f in differ))


def shortened(cfg: Config) -> Config:
    """A short trial is short in every stage, and leaves a checkpoint on the way."""
    return replace(cfg, extractor_iters=min(cfg.extractor_iters, cfg.iters),
                   sync_iters=min(cfg.sync_iters, cfg.iters),
                   save_every=min(cfg.save_every, max(LOG_EVERY, cfg.iters // 4)))
