"""bench.py - how fast: against the obvious way and HeadNeRF, by preset, and as the work grows.

    python bench.py                   all of it, into runs/bench: bench.md, bench.csv, growth.png
    python bench.py --quick           two minutes on two cores
    python bench.py --only a,c        a: against others, b: presets, c: growth

No training and no data: weights are random but for a head-shaped density (speed/stand_in.py), and
training steps see frames of noise (data/made_up.py). What is measured are DHNeRF.forward and
FieldTrainer.step. How: speed/measure.py.
"""
from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

import losses
import train
from audio import LipEncoder, feature_extractor
from config import PRESETS, SMALL, Config
from data.corpus import Corpus
from data.made_up import made_up_corpus
from dhnerf import CODES
from evaluation.tables import markdown, write_table
from inference import options
from inference.run import pick_device
from speed.growth import Axis, plot, table_of
from speed.headnerf import HeadNeRFAsPublished, ours_at_its_sizes
from speed.literal import Literal
from speed.measure import machine, memory_of, work_of
from speed.sheet import GIGA, MB, Bench, Plan
from speed.stand_in import frame_inputs, frame_of, head, shape_as_head
from tools.errors import InputError, in_one_line, run_cli
from tools.media import SAMPLE_RATE

PARTS = {"a": "against others", "b": "presets", "c": "growth"}
FRAMES = 64  # of noise, where their number does not matter
QUICK = Plan(budget=1.5, least=3, most=15, patience=0.5, sizes=(64, 128), rays=(32, 64, 128),
             samples=(8, 16, 32), width=(32, 64, 128), frames=(256, 1024, 4096), sound=(1, 10, 60))
FULL = Plan(budget=20.0, least=7, most=60, patience=6.0, sizes=(64, 128, 256))
ON_CUDA = (512,)  # px, beside the others


def table(bench: Bench, title: str, header: Sequence[str], rows: list, note: str) -> None:
    """A section of bench.md, which is also printed."""
    section = f"### {title}\n\n{markdown(header, rows)}\n\n{note}"
    bench.bar.write(section + "\n")
    bench.text.append(section)


# ---- What is measured ----------------------------------------------------------------------------

def made_up_trainer(cfg: Config, corpus: Corpus, device: torch.device) -> train.FieldTrainer:
    """A FieldTrainer on frames of noise; its VGG, where it has one, has random weights."""
    torch.manual_seed(0)
    codes = {name: torch.randn(len(corpus) if name == "ex" else 1, cfg.code_size(name))
             for name in CODES}
    references = {name: F.normalize(code, dim=-1) for name, code in codes.items()}
    e_lip = LipEncoder(cfg.d_lip).eval().requires_grad_(False).to(device) if cfg.sync else None
    vgg = None if cfg.vgg == "none" else losses.load_vgg("random", cfg.vgg_layers).to(device)
    trainer = train.FieldTrainer(cfg, corpus, references, e_lip, vgg, device)
    shape_as_head(trainer.model)
    return trainer


def steps_of(trainer: train.FieldTrainer) -> Callable[[], object]:
    """A call that takes the next training step, a step with L_v where a share of them has it."""
    iteration = iter(range(10**9))
    return lambda: trainer.step(next(iteration))


# ---- a: against others ---------------------------------------------------------------------------

def against_others(bench: Bench) -> None:
    """The literal reading of Eq. 1, and HeadNeRF as published, each beside ours."""
    paper, small = PRESETS["paper"], PRESETS["small"]
    fields = {"paper, all samples": replace(paper, least=0.0), "paper": paper, "small": small}
    rows = [against_literal(bench, name, cfg) for name, cfg in fields.items()]
    table(bench, "Against the literal reading of Eq. 1", (
        "field", "image", "frame, literal", "frame, ours", "ratio", "step, literal", "step, ours",
        "ratio", "largest difference"), rows,
        "The same weights. Literal: codes, F_lip and view direction copied to every sample and "
        "concatenated, the last layer per sample, a coarse field asked at the coarse samples and a "
        "fine one at all. A step is without VGG. All samples: without speed/sparse.py, which "
        "leaves out what nobody sees. The difference is that of the two images, colours from 0 to "
        "1. Median (10th to 90th percentile).")
    against_headnerf(bench)


def against_literal(bench: Bench, name: str, cfg: Config) -> list:
    """A row: the field of a preset at a small size, both ways."""
    cfg = replace(cfg, size=bench.plan.literal, vgg="none")
    model, inputs = head(cfg, bench.device), frame_inputs(cfg, 1, bench.device)
    ways = {"literal": Literal(model), "ours": model}
    calls = {way: frame_of(one, inputs) for way, one in ways.items()}
    difference = (calls["literal"]() - calls["ours"]()).abs().max().item()
    frames = bench.time(f"{name}, frame", calls)
    corpus = made_up_corpus(FRAMES, cfg.size)
    trainers = {way: made_up_trainer(cfg, corpus, bench.device) for way in ways}
    trainers["literal"].model = Literal(trainers["literal"].model)
    steps = bench.time(f"{name}, step", {way: steps_of(one) for way, one in trainers.items()})
    bench.record(f"{name}, frame", "literal less ours", difference=difference)
    ratio = lambda times: f"{times['literal'].median / times['ours'].median:.2f}"
    return [name, f"{cfg.size} px", frames["literal"], frames["ours"], ratio(frames),
            steps["literal"], steps["ours"], ratio(steps), f"{difference:.1e}"]


def against_headnerf(bench: Bench) -> None:
    """A table of two rows: HeadNeRF's forward as published, and ours at its sizes."""
    size = bench.plan.headnerf
    cfg = ours_at_its_sizes(size)
    ours, inputs = head(cfg, bench.device), frame_inputs(cfg, 1, bench.device)
    torch.manual_seed(0)
    theirs = HeadNeRFAsPublished(size).to(bench.device)
    codes, _, K, cam_to_head, _ = inputs
    calls = {"HeadNeRF": torch.inference_mode()(lambda: theirs(codes, K, cam_to_head)),
             "ours": frame_of(ours, inputs)}
    counted, memory = {}, {}
    for name, call in calls.items():
        memory[name] = memory_of(lambda: counted.update({name: work_of(call)}), bench.device) / MB
    times, rows = bench.time("HeadNeRF", calls, warm_up=False), []
    for name, work in counted.items():
        bench.record("HeadNeRF", name, gflop=work.flops / GIGA, gigabytes=work.bytes / GIGA,
                     memory_mb=memory[name])
        ratio = times["HeadNeRF"].median / times[name].median
        rows.append([name, times[name], f"{ratio:.2f}", f"{work.flops / GIGA:.0f}",
                     f"{work.bytes / GIGA:.1f}", bench.share(work, times[name].median),
                     f"{memory[name]:.0f} MB"])
    # Whatever way DHNeRF.forward takes, the oracle goes the plain one, in float32.
    difference = (calls["ours"]() - frame_of(Literal(ours), inputs)()).abs()
    largest, mean = difference.max().item(), difference.mean().item()
    bench.record("HeadNeRF", "ours less float32", difference=largest)
    table(bench, "Against HeadNeRF as published", (
        "", "frame", "times as fast", "GFLOP", "GB moved", "share of peak: products / bytes",
        "memory"), rows,
        f"{size} px, {cfg.n_coarse} samples a ray, width {cfg.width}, no fine pass. Ours without "
        f"F_lip, which HeadNeRF lacks. Our picture less the literal one in float32: {largest:.1e} "
        f"at most, {mean:.1e} in the mean.")


# ---- b: presets ----------------------------------------------------------------------------------

def as_trained(preset: str, size: int, device: torch.device) -> Config:
    """The configuration of `python train.py --preset PRESET --size SIZE` on stand-in heads."""
    return options.new_config(options.parse(["--preset", preset, "--size", str(size)]), device)


def presets(bench: Bench) -> None:
    """Frames and iterations a second, memory and work by preset and size."""
    sizes = bench.plan.sizes + (ON_CUDA if bench.device.type == "cuda" else ())
    rows = [preset_row(bench, name, as_trained(name, size, bench.device))
            for name in PRESETS for size in sizes]
    table(bench, "By preset and size", (
        "preset", "image", "rays x samples", "frames a second", "GFLOP", "share of peak", "memory",
        "iterations a second", "GFLOP", "share of peak", "memory"), rows,
        f"On {bench.device.type}. Frames one a pass, without gradients, without encoding a video. "
        f"Iterations: FieldTrainer.step on {FRAMES} frames of noise, with VGG where the preset has "
        "it; -: a frame takes too long for it here. Median (10th to 90th percentile). Share of "
        "peak: products a second over those of one large product / bytes a second over those of "
        "one large copy, each operation's operands and result counted in full (above 100 %: they "
        "stay in cache). Memory beyond the libraries' own, weights and optimiser included.")


def preset_row(bench: Bench, name: str, cfg: Config) -> list:
    """A row of the table: rendering, then training."""
    made = {}

    def first_frame():
        made["call"] = frame_of(head(cfg, bench.device), frame_inputs(cfg, 1, bench.device))
        made["work"] = work_of(made["call"])

    def first_step():
        corpus = made_up_corpus(FRAMES, cfg.size)
        made["call"] = steps_of(made_up_trainer(cfg, corpus, bench.device))
        made["work"] = work_of(made["call"])

    def cells(what, first):
        memory = memory_of(first, bench.device)
        what = f"{name}, {cfg.size} px: {what}"
        times = bench.time(what, {"ours": made["call"]}, warm_up=False)["ours"]
        return times.median, bench.rates(times, made["work"], memory)

    rays = (cfg.size // cfg.upsample)**2
    row = [name, f"{cfg.size} px", f"{rays} x {cfg.n_coarse + cfg.n_fine}"]
    seconds, of_frame = cells("frame", first_frame)
    if seconds > bench.plan.patience:
        bench.bar.update()
        return row + of_frame + ["-"] * len(of_frame)
    return row + of_frame + cells("step", first_step)[1]


# ---- c: growth -----------------------------------------------------------------------------------

def growth(bench: Bench) -> list[Axis]:
    """The axes: three of the field, the frames of data, the seconds of sound."""
    plan = bench.plan
    base = replace(SMALL, patch=0, pairs=1)
    of_field = {
        "rays a frame": {(size // base.upsample)**2: replace(base, size=size)
                         for size in plan.rays},
        "samples a ray": {n + n // 2: replace(base, n_coarse=n, n_fine=n // 2)
                          for n in plan.samples},
        "width": {n: replace(base, width=n, width_appearance=n) for n in plan.width}}
    axes = [field_axis(bench, name, points) for name, points in of_field.items()]
    axes += [frames_axis(bench), *sound_axes(bench)]
    header, rows = table_of(axes)
    table(bench, "How cost grows", header, rows,
          f"From small at {base.size} px: {(base.size // base.upsample)**2} rays, "
          f"{base.n_coarse} + {base.n_fine} samples, width {base.width}; a step renders two whole "
          "frames, and along the frames of data the patches of small. Preparation: of all frames, "
          "before the first step (index, lips, lookalikes). Medians; an exponent of 1: twice as "
          "much takes twice as long. The picture: growth.png.")
    return axes


def field_axis(bench: Bench, name: str, points: dict[int, Config]) -> Axis:
    """A frame and a training step at each point, measured in turn."""
    frames = {str(x): frame_of(head(cfg, bench.device), frame_inputs(cfg, 1, bench.device))
              for x, cfg in points.items()}
    steps = {str(x): steps_of(made_up_trainer(cfg, made_up_corpus(FRAMES, cfg.size), bench.device))
             for x, cfg in points.items()}
    found = {curve: bench.time(f"{name}: {curve}", calls)
             for curve, calls in (("frame", frames), ("step", steps))}
    return Axis(name, list(points), {curve: [times[str(x)].median for x in points]
                                     for curve, times in found.items()})


def frames_axis(bench: Bench) -> Axis:
    """A training step, and what is prepared before the first one, as the data grows."""
    counts, trainers, prepared = bench.plan.frames, {}, []
    for n in counts:
        made, start = made_up_corpus(n, SMALL.size), time.perf_counter()
        corpus = Corpus(made.takes, made.numbers)  # indexed anew, with the clock running
        trainers[str(n)] = steps_of(made_up_trainer(SMALL, corpus, bench.device))
        prepared.append(time.perf_counter() - start)
        bench.record("frames of data: preparation", str(n), median_s=prepared[-1], runs=1)
    steps = bench.time("frames of data: step", trainers)
    return Axis("frames of data", counts, {"step": [steps[str(n)].median for n in counts],
                                           "preparation": prepared})


def sound_axes(bench: Bench) -> list[Axis]:
    """F_A of speech-like noise (log-mel), time and memory, as it grows longer."""
    extract, rng = feature_extractor("logmel", SMALL.audio_window), np.random.default_rng(0)
    calls = {}
    for seconds in bench.plan.sound:
        wave = 0.1 * rng.standard_normal(seconds * SAMPLE_RATE).astype(np.float32)
        at = np.arange(seconds * 30) / 30
        calls[str(seconds)] = lambda wave=wave, at=at: extract(wave, at)
    times, lengths = bench.time("seconds of sound: F_A", calls), bench.plan.sound
    memory = [memory_of(calls[str(n)]) / MB for n in lengths]
    axes = [Axis("seconds of sound", lengths, {"F_A": [times[str(n)].median for n in lengths]})]
    if min(memory) > 0:  # nan: cannot be told here
        axes.append(Axis("seconds of sound", lengths, {"memory of F_A": memory}, "MB"))
    return axes


# ---- Command line --------------------------------------------------------------------------------

def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line. Raises InputError for parts and threads that cannot be."""
    parser = argparse.ArgumentParser(description="Measure speed and memory (see README.md).")
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer sizes and repeats: two minutes on two cores")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--threads", type=int, metavar="N", help="of the CPU (default: PyTorch's own choice)")
    add("--out", type=Path, default=Path("runs/bench"), help="folder (default: runs/bench)")
    add("--only", default=",".join(PARTS), metavar="a,b,c",
        help="; ".join(f"{part}: {what}" for part, what in PARTS.items()))
    args = parser.parse_args(argv)
    args.only = {part.strip() for part in args.only.split(",")}
    if unknown := sorted(args.only - set(PARTS)):
        raise InputError(f"--only {unknown[0]}: no such part; want some of {','.join(PARTS)}")
    if args.threads is not None and args.threads < 1:
        raise InputError(f"--threads {args.threads}: want 1 or more")
    return args


def main(argv: list[str] | None = None) -> None:
    """Measure from the command line. Raises InputError for what the user can put right."""
    args = parse(argv)
    device = pick_device(args.device)
    if args.out.exists() and not args.out.is_dir():
        raise InputError(f"{args.out}: is a file; name a folder with --out")
    with in_one_line(args.out):
        args.out.mkdir(parents=True, exist_ok=True)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    measure(QUICK if args.quick else FULL, device, args.only, args.out)


def measure(plan: Plan, device: torch.device, parts: set[str], out: Path) -> None:
    """Measure these parts; what is done is in `out` as soon as a part ends."""
    start, where = time.perf_counter(), machine(device)
    sizes = len(plan.sizes) + (len(ON_CUDA) if device.type == "cuda" else 0)
    total = {"a": 5, "b": 2 * sizes * len(PRESETS), "c": 8}
    with tqdm(total=sum(total[part] for part in parts), desc="bench") as bar:
        bench = Bench(plan, device, bar)
        for part, run in (("a", against_others), ("b", presets), ("c", growth)):
            if part not in parts:
                continue
            axes = run(bench)
            if axes is not None:
                plot(axes, out / "growth.png")
            about = bench.about(where, time.perf_counter() - start)
            write_table(out, "bench", bench.records, "\n\n".join([about, *bench.text]) + "\n")
    print(f"{about}\nWritten: {out / 'bench.md'}, bench.csv"
          + (", growth.png" if "c" in parts else ""))


if __name__ == "__main__":
    run_cli(main)
