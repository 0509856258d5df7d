"""train.py - Sec. 3 in its order: from clips, a VOCASET folder or nothing to a trained head NeRF.

    python train.py                      stand-in heads, no download
    python train.py --data clip.mp4      one's own clip, as the phone wrote it
    python train.py --data clips/        a folder of such clips; people.csv may say who is in each
    python train.py --data voca/         VOCASET's own files

Stages: prepare (frames, poses, sound features) -> extractor (reference codes, Sec. 3.3) -> sync
module (Sec. 3.4, Eq. 8) -> field (Eq. 2) -> report. Extractor and sync module are frozen once they
are trained. What the run folder holds: inference/folder.py; animate.py needs nothing else.

Several GPUs: torchrun --nproc-per-node N train.py ..., see speed/parallel.py. Every random draw of
an iteration comes from (seed, stage, iteration), so `--resume` goes on where it was. `--mine my/`
trains with the functions that a student has written (tools/mine.py). Next: animate.py.
"""
from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

import losses
from audio import AudioEncoder, LipEncoder, draw_negatives, lips_loss
from config import LOG_EVERY, Config
from data.batches import Batch, Batches, noisy, with_dropout
from data.corpus import Corpus
from data.prepare import frames_of, prepare, speech_of
from data.sampling import contrast, contrasted, probabilities
from data.voices import Speech
from dhnerf import CODES, DHNeRF, LatentCodes, LatentExtractor
from evaluation import joint, overview, report
from inference import options
from inference.folder import FOUND, clear_work, forget, open_work
from inference.run import Checkpoint, check_takes, load_run, pick_device
from speed import parallel, precision
from speed.forecast import Forecast
from speed.prefetch import made_ahead
from tools import mine
from tools.errors import InputError, run_cli
from tools.log import Log
from tools.seeds import generators, seed_weights

# ---- The latent code extractor (Sec. 3.3), by contrast -------------------------------------------

def train_extractor(cfg: Config, corpus: Corpus, device: torch.device, log: Log) -> LatentExtractor:
    """Eq. 8 with codes in place of lip features, once for each factor that varies in the data."""
    seed_weights(cfg.seed, "extractor")
    extractor = LatentExtractor(cfg).to(device, memory_format=torch.channels_last)
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
        positives, negatives = contrast(corpus, name, anchors, cfg.n_negatives, rng, index)
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
                                   cfg.apart, speech.person, cfg.sync_pool)
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

class FieldTrainer:
    """Model, codes and optimisers of the last stage: draw a batch, its loss (Eq. 2), update."""

    def __init__(self, cfg: Config, corpus: Corpus, references: dict[str, Tensor],
                 e_lip: LipEncoder | None, vgg: losses.VGG16 | None, device: torch.device):
        seed_weights(cfg.seed, "field")
        self.cfg, self.corpus, self.vgg, self.device = cfg, corpus, vgg, device
        self.model = DHNeRF(cfg).to(device)
        self.codes = LatentCodes(references, cfg.random_codes).to(device)
        self.batches = Batches(cfg, corpus, device)
        # F_lip of every frame (n, d_lip): all that its lips do. The F_al of its sound knows a part,
        # and what it does not tell the field would look for in C_ex and the pose.
        lips = torch.from_numpy(corpus.lips).to(device)
        self.f_lip = None if e_lip is None else e_lip(lips)
        field = self.model.field
        planes = [field.planes, field.plane_basis] if field.planes is not None else []
        others = [p for p in self.model.parameters() if not any(p is q for q in planes)]
        groups = [{"params": others, "lr": cfg.lr}, {"params": planes, "lr": cfg.lr_planes}]
        self.optimisers = [torch.optim.Adam(groups, betas=(0.9, cfg.beta2), fused=True),
                           torch.optim.SparseAdam(list(self.codes.parameters()), lr=cfg.lr_codes)]
        # Under the names that Checkpoint keeps them by.
        self.parts = {"model": self.model, "codes": self.codes,
                      "adam": self.optimisers[0], "adam_codes": self.optimisers[1]}

    def ground_truth(self, batch: Batch) -> dict[str, Tensor]:
        """What the batch's patches should look like, on the device."""
        truth = batch.truth or self.batches.read(batch)
        return {name: value.to(self.device, non_blocking=True) for name, value in truth.items()}

    def render(self, batch: Batch, codes: dict[str, Tensor], truth: dict[str, Tensor],
               generator: torch.Generator) -> dict[str, Tensor]:
        """DHNeRF.forward for the batch, with noise and dropout where the configuration has them."""
        f_lip = None
        if self.f_lip is not None:
            at = torch.from_numpy(batch.index).to(self.device)
            f_lip = noisy(self.f_lip[at], self.cfg.code_noise, generator)
            f_lip = with_dropout(f_lip, self.cfg.lip_dropout, generator)
        codes = codes | {"ex": noisy(codes["ex"], self.cfg.code_noise, generator)}
        jitter = partial(parallel.uniform, generator=generator)
        return self.model(codes, f_lip, truth["K"], truth["cam_to_head"], truth["background"],
                          jitter, batch.corner, truth["rest"])

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
        parallel.average([*self.model.parameters(), *self.codes.parameters()])
        for optimiser in self.optimisers:
            optimiser.step()

    def step(self, iteration: int, batch: Batch | None = None) -> dict[str, Tensor]:
        """One iteration; the terms of its loss. batch: its own, made beforehand."""
        _, generator = generators(self.cfg.seed, "field", iteration)
        with precision.of_layers(self.cfg.precision, self.device):
            terms = self.loss_terms(batch or self.batches.batch(iteration), generator)
        self.update(terms["loss"], iteration)
        return terms


def learning_rate(cfg: Config, iteration: int) -> float:
    """Share of the learning rates: 1 in the first `lr_hold` of the iterations, then to `lr_final`.

    With lr_hold = 0 it is NeRF's exponential decay. A short run learns most while the rate is high,
    and settles while it falls.
    """
    along = max(0.0, (iteration / cfg.iters - cfg.lr_hold) / (1 - cfg.lr_hold))
    return cfg.lr_final**along


def train_field(trainer: FieldTrainer, checkpoint: Checkpoint, out: Path, log: Log | None) -> None:
    """From the checkpoint's iteration to the last; it is written every `save_every` iterations.

    log: None in a process that only takes its part of the batches; the first one writes.
    """
    cfg, start = trainer.cfg, checkpoint.iteration
    forecast = Forecast(cfg, trainer.model, trainer.device, cfg.iters - start)
    ahead = 2 if trainer.device.type == "cuda" else 0  # batches; a CPU's cores are busy as it is
    with made_ahead(trainer.batches.batch, range(start, cfg.iters), ahead) as batches:
        bar = tqdm(batches, "field", initial=start, total=cfg.iters, disable=log is None)
        for it, batch in bar:
            terms = trainer.step(it, batch)
            if it % LOG_EVERY == 0:
                terms = parallel.mean(terms)
            if log is None:
                continue
            forecast.after_step(bar.write)
            if it % LOG_EVERY == 0:
                log.add(stage="field", iteration=it, **terms)
                shown = ("loss", "L_dis", "L_v", "psnr")
                bar.set_postfix({name: f"{terms[name].item():.4g}" for name in shown})
            if (it + 1) % cfg.save_every == 0 or it + 1 == cfg.iters:
                checkpoint.keep(trainer.parts, it + 1)
                checkpoint.write(out)


# ---- The stages in order -------------------------------------------------------------------------

def run_stages(checkpoint: Checkpoint, out: Path, device: torch.device, work: Path | None = None
               ) -> None:
    """Sec. 3: the stages that the checkpoint lacks, then the report; work: of prepared frames."""
    cfg = checkpoint.cfg
    parallel.check_pairs(cfg.pairs)
    vgg = losses.load_vgg(cfg.vgg, cfg.vgg_layers, cfg.seed, device)
    corpus, heldout = prepare(cfg, work or open_work(out), device, out / FOUND)
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
        checkpoint.describe(corpus, heldout)
    if parallel.size() > 1:
        checkpoint.write(out)
    parallel.wait()
    field_stage(checkpoint, corpus, e_lip, vgg, out, device, log)
    report.write(load_run(out, device), out, corpus, heldout)
    clear_work(out)


def take_part(out: Path, device: torch.device) -> None:
    """What a process of torchrun does that is not the first: its part of the field's batches."""
    parallel.wait()  # for the first, which prepares and trains what stands before the field
    checkpoint = Checkpoint.read(out)
    cfg = checkpoint.cfg
    mine.use(cfg.mine)
    with parallel.quiet():
        corpus, _ = frames_of(cfg, open_work(out), out / FOUND)
    e_lip = sync_stage(checkpoint, corpus, out, device, None) if cfg.sync else None
    vgg = losses.load_vgg(cfg.vgg, cfg.vgg_layers, cfg.seed, device)
    field_stage(checkpoint, corpus, e_lip, vgg, out, device, None)


def field_stage(checkpoint: Checkpoint, corpus: Corpus, e_lip: LipEncoder | None,
                vgg: losses.VGG16 | None, out: Path, device: torch.device, log: Log | None) -> None:
    """Train the field, from where the checkpoint has it; see train_field."""
    precision.allow_tf32(device)
    trainer = FieldTrainer(checkpoint.cfg, corpus, checkpoint.references, e_lip, vgg, device)
    if checkpoint.cfg.lips_jointly:  # a control, no part of the program
        joint.learn_lips_too(trainer, sync_module(checkpoint.cfg, checkpoint.d_audio, device))
    checkpoint.give(trainer.parts)
    parallel.share([*trainer.model.parameters(), *trainer.codes.parameters()])
    train_field(trainer, checkpoint, out, log)


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


def sync_stage(checkpoint: Checkpoint, corpus: Corpus, out: Path, device: torch.device,
               log: Log | None) -> LipEncoder:
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
    out = args.out or Path("runs") / (Path(args.data).stem if args.data else "heads")
    with parallel.joined(pick_device(args.device)) as device:
        if parallel.rank():
            take_part(out, device)
            return
        checkpoint = options.resumed(out, args) if args.resume else options.begun(out, args, device)
        try:
            mine.use(checkpoint.cfg.mine)
            run_stages(checkpoint, out, device)
        except InputError:
            if not args.resume:
                forget(out)
            raise
    report.finish(out, device)


if __name__ == "__main__":
    run_cli(main)
