"""train.py - from a clip, a VOCASET folder or nothing to a trained head NeRF: Sec. 3 of the paper, in its order.

    python train.py                      stand-in heads, no download
    python train.py --data clip.mp4      one's own clip, with clip.landmarks.npy beside it
    python train.py --data voca/         VOCASET's own files

Stages: prepare (frames, poses, sound features) -> extractor (reference codes, Sec. 3.3) -> sync module (Eq. 8)
-> field (Eq. 2) -> report. The run folder holds config.json, checkpoint.pt, log.csv, loss.png, preview.png,
preview.mp4 and heldout.json; animate.py needs nothing else.

Every random draw of an iteration comes from (seed, stage, iteration), so `--resume` goes on exactly where it was.
"""
from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

import losses
from audio import AudioEncoder, LipEncoder, draw_negatives, lips_loss
from config import LOG_EVERY, PRESETS, Config, shortened
from data.corpus import Corpus
from data.prepare import check_source, prepare
from dhnerf import CODES, DHNeRF, LatentCodes, LatentExtractor
from evaluation import report
from inference.run import FORMAT, check_takes, load_run, pick_device, read_checkpoint, save, take_records
from render import patches
from tools.errors import InputError, replacing, run_cli
from tools.log import Log
from tools.seeds import generators

CLIP_NOISE = 0.9  # code_noise of a clip: its few seconds hold few pairs of C_ex and F_lip, and new speech brings others


EXTRACTOR_FRAMES, EXTRACTOR_ANCHORS, SYNC_ANCHORS = 96, 32, 32  # of a step


# ---------------------------------------------------------------------------------------------------------------------
# The latent code extractor (Sec. 3.3), by contrast


def train_extractor(cfg: Config, train: Corpus, device: torch.device, log: "Log") -> LatentExtractor:
    """Eq. 8 with codes in place of lip features, once for each factor that varies in the data."""
    generators(cfg.seed, "extractor", -1)
    extractor = LatentExtractor(cfg).to(device)
    optimiser = torch.optim.Adam(extractor.parameters(), lr=1e-3)
    factors, draws = train.contrasted(), train.draws(cfg.rare)
    low, chance, _ = losses.info_nce_range(cfg.n_negatives, cfg.tau)
    bar = tqdm(range(cfg.extractor_iters), f"extractor (best {low:.2f}, chance {chance:.2f})")
    for it in bar:
        rng, _ = generators(cfg.seed, "extractor", it)
        terms = extractor_loss(cfg, extractor, train, factors, draws, rng, device)
        loss = sum(terms.values()) / len(terms)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if it % LOG_EVERY == 0:
            log.add(stage="extractor", iteration=it, loss=loss)
            bar.set_postfix({f: f"{v.item():.2f}" for f, v in terms.items()})
    return extractor.eval().requires_grad_(False)


def extractor_loss(cfg: Config, extractor: LatentExtractor, train: Corpus, factors: list[str], draws: np.ndarray,
                   rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
    """Eq. 8 for each factor. The extractor reads EXTRACTOR_FRAMES frames once; they are anchors, positives and negatives
    of one another. With frames of its own for every anchor a step would cost ten times as much for the same terms."""
    index = np.sort(rng.choice(len(train), min(EXTRACTOR_FRAMES, len(train)), replace=False, p=draws))
    codes = extractor(train.head_crops(index).to(device))
    anchor = rng.choice(index, min(EXTRACTOR_ANCHORS, len(index)), replace=False)
    at = lambda frames: torch.from_numpy(np.searchsorted(index, frames)).to(device)
    terms = {}
    for factor in factors:
        if factor != "ex" and len(np.unique(train.label[factor][index])) == 1:
            continue  # a rare value that this draw lacks: no negatives
        drawn = [train.contrast(factor, a, cfg.n_negatives, rng, index) for a in anchor]
        code = codes[factor]
        terms[factor] = losses.info_nce(code[at(anchor)], code[at(np.array([p for p, _ in drawn]))],
                                        code[at(np.stack([n for _, n in drawn]))], cfg.tau)
    return terms


@torch.no_grad()
def reference_codes(extractor: LatentExtractor, train: Corpus, device: torch.device, per_frame: bool = False
                    ) -> dict[str, Tensor]:
    """The barred C of Eq. 6: C_ex of each frame (n, d); C_id of each person, C_al of each albedo, C_ill of each light:
    the mean direction of what the extractor reads in their frames. per_frame: all four of each frame."""
    blocks = [extractor(train.head_crops(index).to(device)) for index in np.array_split(np.arange(len(train)),
                                                                                       len(train) // 256 + 1)]
    codes = {name: torch.cat([b[name] for b in blocks]) for name in CODES}
    if per_frame:
        return codes
    for name, label in train.label.items():
        label = torch.from_numpy(label).to(device)
        means = [codes[name][label == i].mean(0) for i in range(int(label.max()) + 1)]
        codes[name] = F.normalize(torch.stack(means), dim=-1)
    return codes


# ---------------------------------------------------------------------------------------------------------------------
# The lip sync module (Sec. 3.4)


def train_sync(cfg: Config, train: Corpus, device: torch.device, log: "Log") -> AudioEncoder:
    """Eq. 8: anchor F_lip of the mouth, positive F_al of the same moment, N negatives F_al of other times."""
    generators(cfg.seed, "sync", -1)
    e_audio = AudioEncoder(train.f_a.shape[-1], cfg.audio_window, cfg.d_lip).to(device)
    e_lip = LipEncoder(cfg.crop, cfg.d_lip).to(device)
    optimiser = torch.optim.AdamW([*e_audio.parameters(), *e_lip.parameters()], lr=1e-3, weight_decay=1e-2)
    low, chance, _ = losses.info_nce_range(cfg.n_negatives, cfg.tau)
    bar = tqdm(range(cfg.sync_iters), f"sync module (best {low:.2f}, chance {chance:.2f})")
    for it in bar:
        rng, _ = generators(cfg.seed, "sync", it)
        anchor = rng.integers(len(train), size=SYNC_ANCHORS)
        mouths = train.mouth_crops(anchor).to(device)
        negative = draw_negatives(train.take, train.time, anchor, cfg.n_negatives, rng, person=train.label["id"])
        loss = lips_loss(e_lip, e_audio, mouths, train.f_a, anchor, negative, cfg.tau)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if it % LOG_EVERY == 0:
            log.add(stage="sync", iteration=it, loss=loss)
            bar.set_postfix(L_lips=f"{loss.item():.3f}")
    return e_audio.eval().requires_grad_(False)


# ---------------------------------------------------------------------------------------------------------------------
# Stage 4: the field (Sec. 3.3)


class FieldTrainer:
    """Model, codes and optimisers of the last stage, and one step of it."""

    def __init__(self, cfg: Config, train: Corpus, references: dict[str, Tensor], e_audio: AudioEncoder | None,
                 vgg: losses.VGG16 | None, device: torch.device):
        generators(cfg.seed, "field", -1)
        self.cfg, self.train, self.vgg, self.device = cfg, train, vgg, device
        self.model, self.codes = DHNeRF(cfg).to(device), LatentCodes(references, cfg.random_codes).to(device)
        self.lookalikes, self.draws = train.lookalikes(seed=cfg.seed), train.draws(cfg.rare)
        self.pair_draws = self.draws[train.pair_starts] / self.draws[train.pair_starts].sum()
        self.f_lip = None
        if e_audio is not None:  # frozen from here on: one F_al a frame
            with torch.no_grad():
                index = np.array_split(np.arange(len(train)), len(train) // 512 + 1)
                self.f_lip = torch.cat([e_audio(torch.from_numpy(train.f_a[i]).to(device)) for i in index])
        field = self.model.field
        planes = [field.planes, field.plane_basis] if field.planes is not None else []
        others = [p for p in self.model.parameters() if not any(p is q for q in planes)]
        groups = [{"params": others, "lr": cfg.lr}, {"params": planes, "lr": cfg.lr_planes}]
        self.optimisers = [torch.optim.Adam(groups, betas=(0.9, cfg.beta2)),
                           torch.optim.SparseAdam(list(self.codes.parameters()), lr=cfg.lr_codes)]

    def step(self, iteration: int) -> dict[str, Tensor]:
        """One iteration: frames (B,), the loss of Eq. 2, one step of both optimisers."""
        cfg = self.cfg
        rng, generator = generators(cfg.seed, "field", iteration)
        before = rng.choice(self.train.pair_starts, cfg.pairs, p=self.pair_draws)
        consecutive = rng.random() < cfg.pair_share
        after = before + 1 if consecutive else rng.choice(len(self.train), cfg.pairs, p=self.draws)
        index = np.concatenate([before, after])  # (B,)
        # C_ex identifies its frame, so the field could learn the lips from it and ignore the sound. In part of the
        # frames it comes from a frame with the same upper face and other lips: only F_lip can tell what the lips do.
        stand_in = self.lookalikes[index, rng.integers(self.lookalikes.shape[1], size=len(index))]
        share = cfg.ex_swap if cfg.sync else 0.0
        expression = np.where(rng.random(len(index)) < share, stand_in, index)
        corner = None
        if cfg.patch:  # of consecutive frames the same patch, for L_v
            corner = self.train.patch_corners(before, cfg.patch, cfg.upsample, rng)
            corner = torch.cat([corner, corner if consecutive else
                                self.train.patch_corners(after, cfg.patch, cfg.upsample, rng)])
        terms = self.losses(index, expression, consecutive, corner, generator)
        decay = learning_rate(cfg, iteration)
        for optimiser, rates in zip(self.optimisers, ((cfg.lr, cfg.lr_planes), (cfg.lr_codes,))):
            for group, rate in zip(optimiser.param_groups, rates):
                group["lr"] = rate * decay
            optimiser.zero_grad()
        terms["loss"].backward()
        for optimiser in self.optimisers:
            optimiser.step()
        return terms

    def noisy(self, code: Tensor, generator: torch.Generator) -> Tensor:
        """A code (B, d) with noise of length `code_noise`, so that the field answers to its neighbourhood as to itself."""
        if not self.cfg.code_noise:
            return code
        noise = torch.randn(code.shape, generator=generator) * (self.cfg.code_noise / code.shape[1] ** 0.5)
        return code + noise.to(code)

    def with_dropout(self, f_lip: Tensor, generator: torch.Generator) -> Tensor:
        """F_lip (B, d_lip), zero in a share `lip_dropout` of the frames."""
        if not self.cfg.lip_dropout:
            return f_lip
        return f_lip * (torch.rand(len(f_lip), 1, generator=generator) >= self.cfg.lip_dropout).to(f_lip)

    def losses(self, index: np.ndarray, expression: np.ndarray, consecutive: bool, corner: Tensor | None,
               generator: torch.Generator) -> dict[str, Tensor]:
        """Eq. 2 and its terms for frames `index` (B,), or their patches at `corner` (B, 2), each with the C_ex of frame
        `expression` (B,).

        Where `consecutive`, the second half of them are the frames j that follow the frames j - 1 of the first half;
        else they are unrelated, and L_v is left out.
        """
        cfg, at = self.cfg, torch.from_numpy(index).to(self.device)
        rows = self.train.code_rows(index, cfg.code_per_frame) | {"ex": torch.from_numpy(expression)}
        truth = {k: v.to(self.device, non_blocking=True) for k, v in self.train.frames(index).items()}
        if corner is not None:
            crop = lambda x: patches(x, corner * cfg.upsample, cfg.patch * cfg.upsample)
            truth |= {name: crop(truth[name]) for name in ("image", "mask", "known", "background")}
        codes, references = self.codes({k: v.to(self.device) for k, v in rows.items()})
        f_lip = None if self.f_lip is None else self.with_dropout(self.noisy(self.f_lip[at], generator), generator)
        out = self.model(codes | {"ex": self.noisy(codes["ex"], generator)}, f_lip, truth["K"], truth["cam_to_head"],
                         truth["background"], generator, corner)
        image, image_gt, B = out["image"], truth["image"], len(index) // 2
        m = truth["mask"] + cfg.outside * (1 - truth["mask"])
        l_pho = losses.photometric_loss(image, image_gt, m)
        l_per = losses.perceptual_loss(self.vgg(image), self.vgg(image_gt)) if self.vgg else torch.zeros(())
        l_rec = losses.reconstruction_loss(l_per, l_pho, cfg.lambda_per)
        l_dis = losses.disentangling_loss(codes, references)
        l_v = torch.zeros(())
        if consecutive:
            l_v = losses.velocity_loss(image[B:], image[:B], image_gt[B:], image_gt[:B])
        l_opacity = losses.opacity_loss(out["opacity"], truth["mask"], truth["known"])
        total = losses.total_loss(l_rec, l_dis, l_v, cfg.lambda_rec, cfg.lambda_dis, cfg.lambda_v)
        mse = (truth["mask"] * (image - image_gt).square()).sum() / (3 * truth["mask"].sum()).clamp_min(1e-6)
        return {"loss": total + cfg.lambda_opacity * l_opacity, "L_rec": l_rec, "L_per": l_per, "L_pho": l_pho,
                "L_dis": l_dis, "L_v": l_v, "L_opacity": l_opacity, "psnr": -10 * mse.log10()}


def learning_rate(cfg: Config, iteration: int) -> float:
    """Share of the learning rates at an iteration: 1 for the first `lr_hold` of them, then down to `lr_final`.

    With lr_hold = 0 it is NeRF's exponential decay. A short run learns most while the rate is high, and
    settles while it falls.
    """
    along = max(0.0, (iteration / cfg.iters - cfg.lr_hold) / (1 - cfg.lr_hold))
    return cfg.lr_final**along


def train_field(trainer: FieldTrainer, start: int, checkpoint, log: "Log") -> None:
    """Iterations start .. iters, with a checkpoint every `save_every`."""
    cfg = trainer.cfg
    bar = tqdm(range(start, cfg.iters), "field", initial=start, total=cfg.iters)
    for it in bar:
        terms = trainer.step(it)
        if it % LOG_EVERY == 0:
            log.add(stage="field", iteration=it, **terms)
            bar.set_postfix({k: f"{v.item():.4g}" for k, v in terms.items() if k in ("loss", "L_dis", "L_v", "psnr")})
        if (it + 1) % cfg.save_every == 0 or it + 1 == cfg.iters:
            checkpoint(it + 1)


def train(cfg: Config, out: Path, state: dict, device: torch.device) -> None:
    """Run the stages that `state` (a checkpoint, or empty) does not hold yet, then write the report."""
    reached = {"extractor": "extractor" in state, "sync": "e_audio" in state}
    vgg = None if cfg.vgg == "none" else losses.load_vgg(cfg.vgg, cfg.vgg_layers, cfg.seed).to(device)
    train_set, heldout = prepare(cfg, out, device)
    if "takes" in state:
        check_takes(cfg, state["takes"], train_set)
    with replacing(out / "config.json") as temporary:
        temporary.write_text(json.dumps(cfg.to_dict(), indent=1))
    log = Log(out / "log.csv", lambda stage, it: int(it) < state.get("iteration", 0) if stage == "field"
              else reached[stage])
    state |= {"format": FORMAT, "config": cfg.to_dict()}
    extractor, e_audio = early_stages(cfg, train_set, state, out, device, log)
    if "references" not in state:
        references = reference_codes(extractor, train_set, device, cfg.code_per_frame)
        state["references"] = {name: reference.cpu() for name, reference in references.items()}
        state["takes"], state["backgrounds"] = take_records(train_set)
    trainer = FieldTrainer(cfg, train_set, state["references"], e_audio, vgg, device)
    parts = {"model": trainer.model, "codes": trainer.codes,
             "adam": trainer.optimisers[0], "adam_codes": trainer.optimisers[1]}
    if "model" in state:
        for name, part in parts.items():
            part.load_state_dict(state[name])

    def checkpoint(iteration: int) -> None:
        state.update({name: part.state_dict() for name, part in parts.items()}, iteration=iteration)
        save(out / "checkpoint.pt", state)

    train_field(trainer, state.get("iteration", 0), checkpoint, log)
    report.write(load_run(out, device), out, train_set, heldout)
    shutil.rmtree(out / "prepared")  # animate.py does not need it, and it is large


def early_stages(cfg: Config, train_set: Corpus, state: dict, out: Path, device: torch.device, log: Log
                 ) -> tuple[LatentExtractor, AudioEncoder | None]:
    """Extractor and sync module: from `state` where a checkpoint holds them, else trained and saved."""
    extractor, e_audio = LatentExtractor(cfg).to(device), None
    if "extractor" in state:
        extractor.load_state_dict(state["extractor"])
    else:
        extractor = train_extractor(cfg, train_set, device, log)
        state["extractor"] = extractor.state_dict()
        save(out / "checkpoint.pt", state)
    if cfg.sync and "e_audio" in state:
        e_audio = AudioEncoder(state["d_audio"], cfg.audio_window, cfg.d_lip).to(device)
        e_audio.load_state_dict(state["e_audio"])
    elif cfg.sync:
        e_audio = train_sync(cfg, train_set, device, log)
        state |= {"e_audio": e_audio.state_dict(), "d_audio": int(train_set.f_a.shape[-1])}
        save(out / "checkpoint.pt", state)
    return extractor.eval(), None if e_audio is None else e_audio.eval().requires_grad_(False)


# ---------------------------------------------------------------------------------------------------------------------
# Command line


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; what is not given stays None, so that --resume can tell what was asked for."""
    parser = argparse.ArgumentParser(description="Train a disentangling head NeRF (README.md has examples).")
    parser.add_argument("--data", help="VOCASET folder or clip.mp4; without it: stand-in heads")
    parser.add_argument("--out", type=Path, help="run folder (default: runs/NAME of the data)")
    parser.add_argument("--preset", choices=PRESETS, help="default: paper on a CUDA device, else small")
    parser.add_argument("--size", type=int, help="side of the image in pixels (default: 64 in small, 512 in paper)")
    parser.add_argument("--subjects", help="names, comma separated, or how many")
    parser.add_argument("--sentences", help="names, comma separated, or how many a subject")
    parser.add_argument("--iters", type=int, help="iterations of the field stage")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--audio-features", help="logmel, hubert, or a HuBERT model's name or folder")
    parser.add_argument("--vgg", help="weights of Eq. 4: none, random, download, or a file")
    parser.add_argument("--no-sync", dest="sync", action="store_false", default=None, help="without F_lip (Table 2)")
    parser.add_argument("--no-dis", action="store_true", help="without L_dis (Table 2)")
    parser.add_argument("--no-vel", action="store_true", help="without L_v")
    return parser.parse_args(argv)


def chosen_values(args: argparse.Namespace) -> dict:
    """The configuration fields that the command line sets itself."""
    names = ("data", "size", "subjects", "sentences", "iters", "seed", "audio_features", "vgg", "sync")
    values = {n: getattr(args, n) for n in names if getattr(args, n) is not None}
    values |= {"lambda_dis": 0.0} if args.no_dis else {}
    return values | ({"lambda_v": 0.0} if args.no_vel else {})


def new_config(args: argparse.Namespace, device: torch.device) -> Config:
    """Preset plus command line. Raises InputError on values that cannot work."""
    preset = PRESETS[args.preset or ("paper" if device.type == "cuda" else "small")]
    cfg = replace(preset, **chosen_values(args))
    if cfg.data is not None and not Path(cfg.data).is_dir():
        cfg = replace(cfg, code_noise=CLIP_NOISE)
    if cfg.size < 32 or cfg.size % max(cfg.upsample, 16):
        raise InputError(f"--size {cfg.size}: want a multiple of 16 of at least 32")
    if cfg.iters < 1:
        raise InputError(f"--iters {cfg.iters}: want at least 1")
    if cfg.seed < 0:
        raise InputError(f"--seed {cfg.seed}: want 0 or more")
    return shortened(cfg)


def resumed_config(out: Path, args: argparse.Namespace) -> tuple[Config, dict]:
    """Configuration and checkpoint of the run in `out`; the command line may only change --iters."""
    if not (out / "config.json").is_file():
        raise InputError(f"{out}/config.json: no such file; nothing to resume here, leave out --resume")
    state = read_checkpoint(out) if (out / "checkpoint.pt").is_file() else {}
    try:
        cfg = Config.from_dict(state["config"] if state else json.loads((out / "config.json").read_text()))
    except (ValueError, TypeError) as error:
        raise InputError(f"{out}/config.json: damaged ({error}); start again in another --out") from error
    given = chosen_values(args) | ({"preset": args.preset} if args.preset else {})
    for name, value in given.items():
        if name != "iters" and getattr(cfg, name) != value:
            raise InputError(f"{out}: was trained with {name} = {getattr(cfg, name)}, not {value}; resume without that "
                             "option, or start another run with another --out")
    return replace(cfg, iters=given.get("iters", cfg.iters)), state


def open_folder(out: Path) -> None:
    """Make the run folder. Raises InputError when it cannot be made or holds a run already."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror}); choose another --out") from error
    if (out / "config.json").exists():
        raise InputError(f"{out}: already holds a run; go on with --resume, or choose another --out")


def main(argv: list[str] | None = None) -> None:
    """Train a run from the command line, or go on with one. Raises InputError for whatever the user can put right."""
    args = parse(sys.argv[1:] if argv is None else argv)
    device = pick_device(args.device)
    out = args.out or Path("runs") / (Path(args.data).stem if args.data else "heads")
    if args.resume:
        cfg, state = resumed_config(out, args)
    else:
        cfg, state = new_config(args, device), {}
        if cfg.data is not None:
            check_source(cfg.data)  # before anything is written
        open_folder(out)
    train(cfg, out, state, device)
    print(f"\nLook at {out}/preview.mp4 (truth beside render) and {out}/preview.png.\n"
          f"Next: python animate.py {out} --audio speech.wav --out talk.mp4   your own speech\n"
          f"      python evaluate.py {out}            the table of its held-out figures\n"
          "      tutorial.md                               the paper, section by section, with code that runs\n"
          "      python exercises.py start my/             its equations as exercises")


if __name__ == "__main__":
    run_cli(main)
