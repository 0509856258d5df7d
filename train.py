"""train.py - Sec. 3 in its order: from clips, a VOCASET folder or nothing to a trained head NeRF.

    python train.py                      stand-in heads, no download
    python train.py --data clip.mp4      one's own clip, as the phone wrote it
    python train.py --data clips/        a folder of such clips; people.csv may say who is in each
    python train.py --data voca/         VOCASET's own files

Stages: prepare (frames, poses, sound features) -> extractor (reference codes, Sec. 3.3) -> sync
module (Sec. 3.4, Eq. 8) -> field (Eq. 2) -> report. Extractor and sync module are frozen once they
are trained. The run folder holds prepared.png, config.json, checkpoint.pt, log.csv, loss.png,
preview.png, preview.mp4 and heldout.json (inference/folder.py); animate.py needs nothing else.

Every random draw of an iteration comes from (seed, stage, iteration), so `--resume` goes on exactly
where it was. Next: animate.py.
"""
from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

import losses
from audio import AudioEncoder, LipEncoder, draw_negatives, lips_loss
from config import LOG_EVERY, Config
from data.corpus import Corpus
from data.prepare import check_source, prepare, speech_of
from data.sampling import contrast, contrasted, lookalikes, patch_corners, probabilities
from data.voices import Speech
from dhnerf import CODES, DHNeRF, LatentCodes, LatentExtractor
from evaluation import overview, report
from inference import options
from inference.folder import FOUND, clear_work, forget, open_folder, open_work
from inference.run import Checkpoint, check_takes, load_run, pick_device
from speed import precision
from speed.prefetch import made_ahead
from tools.errors import InputError, run_cli
from tools.log import Log
from tools.seeds import generators, numpy_generator, seed_weights

# ---- The latent code extractor (Sec. 3.3), by contrast -------------------------------------------

def train_extractor(cfg: Config, corpus: Corpus, device: torch.device, log: Log) -> LatentExtractor:
    """Eq. 8 with codes in place of lip features, once for each factor that varies in the data."""
    seed_weights(cfg.seed, "extractor")
    extractor = LatentExtractor(cfg).to(device)
    optimiser = torch.optim.Adam(extractor.parameters(), lr=cfg.lr_encoders)
    factors, p = contrasted(corpus), probabilities(corpus, cfg.rare)
    low, chance, _ = losses.info_nce_range(cfg.n_negatives, cfg.tau)
    bar = tqdm(range(cfg.extractor_iters), f"extractor (best {low:.2f}, chance {chance:.2f})")
    for it in bar:
        rng, _ = generators(cfg.seed, "extractor", it)
        terms = extractor_loss(cfg, extractor, corpus, factors, p, rng, device)
        loss = sum(terms.values()) / len(terms)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if it % LOG_EVERY == 0:
            log.add(stage="extractor", iteration=it, loss=loss)
            bar.set_postfix({name: f"{term.item():.2f}" for name, term in terms.items()})
    return extractor.eval().requires_grad_(False)


def extractor_loss(cfg: Config, extractor: LatentExtractor, corpus: Corpus, factors: list[str],
                   p: np.ndarray, rng: np.random.Generator, device: torch.device
                   ) -> dict[str, Tensor]:
    """Eq. 8 for each factor, on frames drawn with probability p (n,).

    The extractor reads `extractor_frames` frames once; they are anchors, positives and negatives of
    one another. Frames of its own for every anchor would cost ten times as much per step.
    """
    count = min(cfg.extractor_frames, len(corpus))
    index = np.sort(rng.choice(len(corpus), count, replace=False, p=p))
    codes = extractor(corpus.head_crops(index).to(device))
    anchors = rng.choice(index, min(cfg.extractor_anchors, len(index)), replace=False)
    terms = {}
    for name in factors:
        if name != "ex" and len(np.unique(corpus.label[name][index])) == 1:
            continue  # a rare value that this draw lacks: no negatives
        drawn = [contrast(corpus, name, anchor, cfg.n_negatives, rng, index) for anchor in anchors]
        positives, negatives = (np.stack(frames) for frames in zip(*drawn))  # (A,), (A, N)
        places = [np.searchsorted(index, frames) for frames in (anchors, positives, negatives)]
        triple = (codes[name][torch.from_numpy(place).to(device)] for place in places)
        terms[name] = losses.info_nce(*triple, cfg.tau)
    return terms


@torch.no_grad()
def reference_codes(extractor: LatentExtractor, corpus: Corpus, device: torch.device,
                    per_frame: bool = False) -> dict[str, Tensor]:
    """The barred C of Eq. 6: C_ex per frame (n, d), C_id, C_al and C_ill per label.

    Those are the mean direction that the extractor reads in their frames. per_frame: all per frame.
    """
    parts = np.array_split(np.arange(len(corpus)), len(corpus) // 256 + 1)
    blocks = [extractor(corpus.head_crops(index).to(device)) for index in parts]
    codes = {name: torch.cat([block[name] for block in blocks]) for name in CODES}
    if per_frame:
        return codes
    for name, label in corpus.label.items():
        label = torch.from_numpy(label).to(device)
        means = [codes[name][label == i].mean(0) for i in range(int(label.max()) + 1)]
        codes[name] = F.normalize(torch.stack(means), dim=-1)
    return codes


# ---- The lip sync module (Sec. 3.4) --------------------------------------------------------------

def train_sync(cfg: Config, speech: Speech, device: torch.device, log: Log
               ) -> tuple[AudioEncoder, LipEncoder]:
    """Eq. 8: E_audio and E_lip are trained together, and then frozen."""
    seed_weights(cfg.seed, "sync")
    e_audio, e_lip = sync_module(cfg, speech.f_a.shape[-1], device)
    parameters = [*e_audio.parameters(), *e_lip.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=cfg.lr_encoders, weight_decay=1e-2)
    low, chance, _ = losses.info_nce_range(cfg.n_negatives, cfg.tau)
    bar = tqdm(range(cfg.sync_iters), f"sync module (best {low:.2f}, chance {chance:.2f})")
    for it in bar:
        rng, _ = generators(cfg.seed, "sync", it)
        anchors = rng.choice(len(speech), cfg.sync_anchors, p=speech.p)
        negatives = draw_negatives(speech.take, speech.time, anchors, cfg.n_negatives, rng,
                                   cfg.apart, speech.person)
        lips = torch.from_numpy(speech.lips[anchors]).to(device)
        loss = lips_loss(e_lip, e_audio, lips, speech.f_a, anchors, negatives, cfg.tau)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if it % LOG_EVERY == 0:
            log.add(stage="sync", iteration=it, loss=loss)
            bar.set_postfix(L_lips=f"{loss.item():.3f}")
    return e_audio.eval().requires_grad_(False), e_lip.eval().requires_grad_(False)


# ---- The field (Sec. 3.3) ------------------------------------------------------------------------

AHEAD = 2  # batches that wait ready for a GPU


@dataclass(frozen=True)
class Batch:
    """What one iteration of the field sees: B frames, first those j - 1 of each pair, then those j.

    index (B,): frames of the corpus; ex_index (B,): the frames whose C_ex they get; consecutive:
    whether each j follows its j - 1, else the two are unrelated and L_v is left out; corner (B, 2):
    row and column, in feature pixels, of the patch that is rendered of each; None: whole frames.
    truth: Corpus.ground_truth of them, where it is read already.
    """
    index: np.ndarray
    ex_index: np.ndarray
    consecutive: bool
    corner: Tensor | None
    truth: dict[str, Tensor] | None = None


class FieldTrainer:
    """Model, codes and optimisers of the last stage: draw a batch, its loss (Eq. 2), update."""

    def __init__(self, cfg: Config, corpus: Corpus, references: dict[str, Tensor],
                 e_lip: LipEncoder | None, vgg: losses.VGG16 | None, device: torch.device):
        seed_weights(cfg.seed, "field")
        self.cfg, self.corpus, self.vgg, self.device = cfg, corpus, vgg, device
        self.model = DHNeRF(cfg).to(device)
        self.codes = LatentCodes(references, cfg.random_codes).to(device)
        self.lookalikes = lookalikes(corpus, cfg.apart, cfg.seed)
        self.probabilities = probabilities(corpus, cfg.rare)
        starts = self.probabilities[corpus.pair_starts]
        self.pair_probabilities = starts / starts.sum()
        # F_lip of every frame (n, d_lip): all that its lips do. The F_al of its sound knows a part,
        # and what it does not tell the field would look for in C_ex and the pose.
        lips = torch.from_numpy(corpus.lips).to(device)
        self.f_lip = None if e_lip is None else e_lip(lips)
        field = self.model.field
        planes = [field.planes, field.plane_basis] if field.planes is not None else []
        others = [p for p in self.model.parameters() if not any(p is q for q in planes)]
        groups = [{"params": others, "lr": cfg.lr}, {"params": planes, "lr": cfg.lr_planes}]
        self.optimisers = [torch.optim.Adam(groups, betas=(0.9, cfg.beta2)),
                           torch.optim.SparseAdam(list(self.codes.parameters()), lr=cfg.lr_codes)]
        # Under the names that Checkpoint keeps them by.
        self.parts = {"model": self.model, "codes": self.codes,
                      "adam": self.optimisers[0], "adam_codes": self.optimisers[1]}

    def draw(self, rng: np.random.Generator) -> Batch:
        """Frames, the frames that lend their C_ex, and patches."""
        cfg, corpus = self.cfg, self.corpus
        before = rng.choice(corpus.pair_starts, cfg.pairs, p=self.pair_probabilities)
        consecutive = rng.random() < cfg.pair_share
        after = before + 1
        if not consecutive:
            after = rng.choice(len(corpus), cfg.pairs, p=self.probabilities)
        index = np.concatenate([before, after])
        # C_ex identifies its frame, so the field could learn the lips from it and ignore the sound.
        # In part of the frames it comes from a frame with the same upper face and other lips: only
        # F_lip can tell what the lips do.
        lender = self.lookalikes[index, rng.integers(self.lookalikes.shape[1], size=len(index))]
        share = cfg.ex_swap if cfg.sync else 0.0
        ex_index = np.where(rng.random(len(index)) < share, lender, index)
        if not cfg.patch:
            return Batch(index, ex_index, consecutive, None)
        first = second = patch_corners(corpus, before, cfg.patch, cfg.upsample, rng)
        if not consecutive:  # L_v needs one patch for both frames of a pair
            second = patch_corners(corpus, after, cfg.patch, cfg.upsample, rng)
        return Batch(index, ex_index, consecutive, torch.cat([first, second]))

    def ground_truth(self, batch: Batch) -> dict[str, Tensor]:
        """Corpus.ground_truth of the batch's frames, cut to its patches, on the device."""
        truth = batch.truth or self.read(batch)
        return {name: value.to(self.device, non_blocking=True) for name, value in truth.items()}

    def read(self, batch: Batch) -> dict[str, Tensor]:
        """The same in main memory; for a GPU pinned there, so that copies run beside the step."""
        step, corner = self.cfg.upsample, batch.corner
        place = () if corner is None else (corner * step, self.cfg.patch * step)
        truth = self.corpus.ground_truth(batch.index, *place)
        pinned = self.device.type == "cuda"
        return {name: value.pin_memory() for name, value in truth.items()} if pinned else truth

    def batch(self, iteration: int) -> Batch:
        """What an iteration sees, with its frames read. Touches no global state: see prefetch."""
        batch = self.draw(numpy_generator(self.cfg.seed, "field", iteration))
        return replace(batch, truth=self.read(batch))

    def render(self, batch: Batch, codes: dict[str, Tensor], truth: dict[str, Tensor],
               generator: torch.Generator) -> dict[str, Tensor]:
        """DHNeRF.forward for the batch, with noise and dropout where the configuration has them."""
        f_lip = None
        if self.f_lip is not None:
            at = torch.from_numpy(batch.index).to(self.device)
            f_lip = self.with_dropout(self.noisy(self.f_lip[at], generator), generator)
        codes = codes | {"ex": self.noisy(codes["ex"], generator)}
        return self.model(codes, f_lip, truth["K"], truth["cam_to_head"], truth["background"],
                          generator, batch.corner, truth["rest"])

    def noisy(self, code: Tensor, generator: torch.Generator) -> Tensor:
        """A code (B, d) with noise of length `code_noise`: the field learns its surroundings."""
        if not self.cfg.code_noise:
            return code
        scale = self.cfg.code_noise / code.shape[1] ** 0.5
        return code + (torch.randn(code.shape, generator=generator) * scale).to(code)

    def with_dropout(self, f_lip: Tensor, generator: torch.Generator) -> Tensor:
        """F_lip (B, d_lip), zero in a share `lip_dropout` of the frames."""
        if not self.cfg.lip_dropout:
            return f_lip
        kept = torch.rand(len(f_lip), 1, generator=generator) >= self.cfg.lip_dropout
        return f_lip * kept.to(f_lip)

    def loss_terms(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Eq. 2 and our opacity term as "loss", the terms, and the PSNR inside the mask."""
        cfg, truth = self.cfg, self.ground_truth(batch)
        entries = self.corpus.entries(batch.index, cfg.code_per_frame)
        entries["ex"] = torch.from_numpy(batch.ex_index)
        entries = {name: entry.to(self.device) for name, entry in entries.items()}
        codes, references = self.codes(entries)
        out = self.render(batch, codes, truth, generator)
        image, image_gt, mask, zero = out["image"], truth["image"], truth["mask"], torch.zeros(())
        l_pho = losses.photometric_loss(image, image_gt, mask + cfg.outside * (1 - mask))
        l_per = losses.perceptual_loss(self.vgg(image), self.vgg(image_gt)) if self.vgg else zero
        l_rec = losses.reconstruction_loss(l_per, l_pho, cfg.lambda_per)
        l_dis = losses.disentangling_loss(codes, references)
        (before, now), (before_gt, now_gt) = image.chunk(2), image_gt.chunk(2)
        l_v = losses.velocity_loss(now, before, now_gt, before_gt) if batch.consecutive else zero
        l_opacity = losses.opacity_loss(out["opacity"], mask, truth["known"])
        total = losses.total_loss(l_rec, l_dis, l_v, cfg.lambda_rec, cfg.lambda_dis, cfg.lambda_v)
        mse = (mask * (image - image_gt).square()).sum() / (3 * mask.sum()).clamp_min(1e-6)
        return {"loss": total + cfg.lambda_opacity * l_opacity, "L_rec": l_rec, "L_per": l_per,
                "L_pho": l_pho, "L_dis": l_dis, "L_v": l_v, "L_opacity": l_opacity,
                "psnr": -10 * mse.log10()}

    def update(self, loss: Tensor, iteration: int) -> None:
        """One step of both optimisers, at the learning rates of this iteration."""
        cfg, decay = self.cfg, learning_rate(self.cfg, iteration)
        for optimiser, rates in zip(self.optimisers, ((cfg.lr, cfg.lr_planes), (cfg.lr_codes,))):
            for group, rate in zip(optimiser.param_groups, rates):
                group["lr"] = rate * decay
            optimiser.zero_grad()
        loss.backward()
        for optimiser in self.optimisers:
            optimiser.step()

    def step(self, iteration: int, batch: Batch | None = None) -> dict[str, Tensor]:
        """One iteration; the terms of its loss. batch: self.batch(iteration), made beforehand."""
        _, generator = generators(self.cfg.seed, "field", iteration)
        with precision.of_layers(self.cfg.precision, self.device):
            terms = self.loss_terms(batch or self.batch(iteration), generator)
        self.update(terms["loss"], iteration)
        return terms

    def save(self, checkpoint: Checkpoint, iterations: int, out: Path) -> None:
        """checkpoint.pt with all that so many iterations have taught."""
        checkpoint.iteration = iterations
        for name, part in self.parts.items():
            setattr(checkpoint, name, part.state_dict())
        checkpoint.write(out)


def learning_rate(cfg: Config, iteration: int) -> float:
    """Share of the learning rates: 1 in the first `lr_hold` of the iterations, then to `lr_final`.

    With lr_hold = 0 it is NeRF's exponential decay. A short run learns most while the rate is high,
    and settles while it falls.
    """
    along = max(0.0, (iteration / cfg.iters - cfg.lr_hold) / (1 - cfg.lr_hold))
    return cfg.lr_final**along


def train_field(trainer: FieldTrainer, checkpoint: Checkpoint, out: Path, log: Log) -> None:
    """From the checkpoint's iteration to the last; it is written every `save_every` iterations."""
    cfg, start = trainer.cfg, checkpoint.iteration
    ahead = AHEAD if trainer.device.type == "cuda" else 0  # a CPU's cores are busy with the step
    with made_ahead(trainer.batch, range(start, cfg.iters), ahead) as batches:
        bar = tqdm(batches, "field", initial=start, total=cfg.iters)
        for it, batch in bar:
            terms = trainer.step(it, batch)
            if it % LOG_EVERY == 0:
                log.add(stage="field", iteration=it, **terms)
                shown = ("loss", "L_dis", "L_v", "psnr")
                bar.set_postfix({name: f"{terms[name].item():.4g}" for name in shown})
            if (it + 1) % cfg.save_every == 0 or it + 1 == cfg.iters:
                trainer.save(checkpoint, it + 1, out)


# ---- The stages in order -------------------------------------------------------------------------

def run_stages(checkpoint: Checkpoint, out: Path, device: torch.device) -> None:
    """Sec. 3: run the stages that the checkpoint does not hold yet, then write the report."""
    cfg, vgg = checkpoint.cfg, None
    precision.allow_tf32(device)
    if cfg.vgg != "none":
        vgg = losses.load_vgg(cfg.vgg, cfg.vgg_layers, cfg.seed).to(device)
    corpus, heldout = prepare(cfg, open_work(out), device, out / FOUND)
    overview.write(corpus.takes, out / "prepared.png")
    if checkpoint.takes is not None:
        check_takes(cfg, checkpoint.takes, corpus)
    options.write(cfg, out)
    done = {"extractor": cfg.extractor_iters if checkpoint.extractor else 0,
            "sync": cfg.sync_iters if checkpoint.e_lip else 0, "field": checkpoint.iteration}
    log = Log(out / "log.csv", done)
    extractor = extractor_stage(checkpoint, corpus, out, device, log)
    e_lip = sync_stage(checkpoint, corpus, out, device, log) if cfg.sync else None
    if checkpoint.references is None:
        references = reference_codes(extractor, corpus, device, cfg.code_per_frame)
        checkpoint.references = {name: reference.cpu() for name, reference in references.items()}
        checkpoint.describe(corpus)
    trainer = FieldTrainer(cfg, corpus, checkpoint.references, e_lip, vgg, device)
    if checkpoint.model is not None:
        for name, part in trainer.parts.items():
            part.load_state_dict(getattr(checkpoint, name))
    train_field(trainer, checkpoint, out, log)
    report.write(load_run(out, device), out, corpus, heldout)
    clear_work(out)


def extractor_stage(checkpoint: Checkpoint, corpus: Corpus, out: Path, device: torch.device,
                    log: Log) -> LatentExtractor:
    """The extractor of the checkpoint; where it has none, a trained one, which it then has."""
    extractor = LatentExtractor(checkpoint.cfg).to(device)
    if checkpoint.extractor is not None:
        extractor.load_state_dict(checkpoint.extractor)
        return extractor.eval()
    extractor = train_extractor(checkpoint.cfg, corpus, device, log)
    checkpoint.extractor = extractor.state_dict()
    checkpoint.write(out)
    return extractor


def sync_module(cfg: Config, d_audio: int, device: torch.device) -> tuple[AudioEncoder, LipEncoder]:
    """E_audio and E_lip, untrained; d_audio: width of F_A."""
    e_audio = AudioEncoder(d_audio, cfg.audio_window, cfg.d_lip, cfg.sound_layers, cfg.sound_noise)
    return e_audio.to(device), LipEncoder(cfg.d_lip).to(device)


def sync_stage(checkpoint: Checkpoint, corpus: Corpus, out: Path, device: torch.device, log: Log
               ) -> LipEncoder:
    """E_lip of the checkpoint; where it has none, E_audio and E_lip are trained and kept there."""
    cfg = checkpoint.cfg
    if checkpoint.e_lip is not None:
        _, e_lip = sync_module(cfg, checkpoint.d_audio, device)
        e_lip.load_state_dict(checkpoint.e_lip)
        return e_lip.eval().requires_grad_(False)
    e_audio, e_lip = train_sync(cfg, speech_of(corpus, cfg, device), device, log)
    checkpoint.e_audio, checkpoint.e_lip = e_audio.state_dict(), e_lip.state_dict()
    checkpoint.d_audio = int(corpus.f_a.shape[-1])
    checkpoint.write(out)
    return e_lip


# ---- Command line --------------------------------------------------------------------------------

def main(argv: list[str] | None = None) -> None:
    """Train a run from the command line, or go on; InputError for what the user can put right."""
    args = options.parse(sys.argv[1:] if argv is None else argv)
    device = pick_device(args.device)
    out = args.out or Path("runs") / (Path(args.data).stem if args.data else "heads")
    if args.resume:
        checkpoint = options.resumed(out, args)
    else:
        if args.data is not None:
            check_source(args.data)  # before anything is written or said
        checkpoint = Checkpoint(options.new_config(args, device))
        open_folder(out)
        options.write(checkpoint.cfg, out)  # now: preparation can be interrupted, too
    try:
        run_stages(checkpoint, out, device)
    except InputError:
        if not args.resume:
            forget(out)
        raise
    report.say_next(out)


if __name__ == "__main__":
    run_cli(main)
