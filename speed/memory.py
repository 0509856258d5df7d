"""memory.py - Sec. 4.2: what a training step and a frame take of memory, counted beforehand.

In: a Config, the free memory of the device. Out: bytes, and how many rays at a time fit.

Backpropagation keeps what layers have given until their gradients are there: almost all of it per
sample of a ray, `depth` hidden layers and the appearance, 10 kB in `paper`, 11 GB for its two
frames of 512 px in float32. Adam's moments and the weights are nothing beside it. Rays in parts
(chunks.py) leave one part's samples at a time. All samples are counted: at the start, when the
field is fog, all of them matter (sparse.py). Next: forecast.py, which says it.
"""
from __future__ import annotations

from pathlib import Path

import torch

from config import Config
from losses import VGG16

SHARE = 0.85       # of the free memory that a step may take: allocators leave gaps
FEWEST_RAYS = 512  # at a time; fewer would not fill a GPU
PIXELS_SMOOTHED = 16  # channels at full resolution, dhnerf.PIXEL_CHANNELS
VGG_WEIGHTS = 7_635_264  # of the ten convolutions up to relu4_3
ELEMENTWISE = 60   # bytes of a sample beside the layers: distances, densities, weights, their order


def frames_and_grid(cfg: Config, processes: int = 1) -> tuple[int, int]:
    """Frames of a step in this process, and side in feature pixels of what is rendered of each."""
    return 2 * cfg.pairs // processes, cfg.patch or cfg.size // cfg.upsample


def of_sample(cfg: Config, lowered: bool, training: bool = True) -> int:
    """Bytes that a sample of a ray takes until its gradient is there; else at most at one time.

    lowered: layers in bfloat16.
    """
    entry, encoded = 2 if lowered else 4, 3 + 6 * cfg.n_freq_x + 3 * cfg.plane_channels
    if not training:  # both passes' last layers, once more merged; the appearance
        return 4 * (encoded + 2 * cfg.width + cfg.width_appearance // 2) + ELEMENTWISE
    kept = cfg.depth * cfg.width + cfg.width_appearance + encoded
    kept += cfg.width if cfg.n_fine else 0  # the last layer's once more, both passes merged
    whole = 4 * cfg.width_appearance if lowered else 0  # in float32, for compositing
    again = entry * encoded if lowered and cfg.depth > 4 else 0  # x enters twice
    places = 24 if cfg.plane_channels else 0  # where the planes are read
    return entry * kept + whole + again + places + ELEMENTWISE


def of_ray(cfg: Config, lowered: bool) -> int:
    """Bytes of a feature pixel: what is composited, M, the 2D renderer's first layer."""
    entry = 2 if lowered else 4
    return 4 * cfg.width_appearance + entry * (cfg.d_feature + 2 * cfg.channels_2d)


def of_pixel(cfg: Config, lowered: bool) -> int:
    """Bytes of an image pixel: the 2D renderer at full size, images and masks of the losses."""
    entry = 2 if lowered else 4
    return 3 * PIXELS_SMOOTHED * entry + 4 * PIXELS_SMOOTHED + 4 * (4 * 3 + 7)


def of_vgg(cfg: Config, lowered: bool) -> float | int:
    """Bytes that Eq. 4 keeps for an image pixel; 0 without it."""
    if cfg.vgg == "none":
        return 0
    entry, total, pixels, channels = 2 if lowered else 4, 12.0, 1.0, 3
    ends = {VGG16.ENDS[name] for name in cfg.vgg_layers}
    index = -1  # in VGG16.features: a convolution is followed by its ReLU
    for layer in VGG16.LAYOUT:
        index += 1 if layer == "M" else 2
        if layer == "M":
            pixels /= 4
            total += channels * pixels * (entry + 8)  # and where each maximum was
            continue
        channels = layer
        total += channels * pixels * (entry + (4 if index in ends else 0))  # and the difference
        if index == max(ends):
            return total


def kept_bytes(cfg: Config, lowered: bool, processes: int = 1, rays: int | None = None
               ) -> float | int:
    """What the graph of a step keeps at the end of the forward pass; rays: at a time, None: all."""
    frames, grid = frames_and_grid(cfg, processes)
    count, samples = frames * grid**2, cfg.n_coarse + cfg.n_fine
    planes = 12 * frames * cfg.plane_channels * cfg.plane_size**2
    image = count * cfg.upsample**2 * (of_pixel(cfg, lowered) + of_vgg(cfg, lowered))
    total = planes + count * of_ray(cfg, lowered) + image
    total += VGG_WEIGHTS * 2 if lowered and cfg.vgg != "none" else 0  # their copies in bfloat16
    if rays is None or rays >= count:
        return total + count * samples * of_sample(cfg, lowered)
    return total + count * (samples * 4 + 24)  # jitter, and the rays themselves


def step_bytes(cfg: Config, weights: int, lowered: bool, processes: int = 1,
               rays: int | None = None) -> float | int:
    """The most that a training step takes, with `weights` numbers to learn and their optimiser.

    The most is at the end of the forward pass, or when the gradient of the samples begins; while
    the weights change it is five times theirs.
    """
    frames, grid = frames_and_grid(cfg, processes)
    count, entry = frames * grid**2, 2 if lowered else 4
    kept = kept_bytes(cfg, lowered, processes, rays)
    after_vgg = kept - count * cfg.upsample**2 * of_vgg(cfg, lowered)
    samples = min(rays or count, count) * (cfg.n_coarse + cfg.n_fine)
    at_samples = after_vgg + samples * 1.5 * cfg.width * entry
    if rays is not None and rays < count:
        at_samples += samples * of_sample(cfg, lowered)
    return 4 * 3 * weights + max(kept + 4 * weights, at_samples + 4 * weights, 4 * 5 * weights)


def rays_for_step(cfg: Config, weights: int, lowered: bool, free: float | int, processes: int = 1
                  ) -> int | None:
    """How many rays at a time let a step fit into `free` bytes; None: all of them."""
    frames, grid = frames_and_grid(cfg, processes)
    fits = lambda rays: step_bytes(cfg, weights, lowered, processes, rays) <= SHARE * free
    return _most(frames * grid**2, fits)


def rays_for_frame(cfg: Config, free: float | int) -> int | None:
    """How many rays at a time let a frame be rendered in `free` bytes; None: all of them."""
    samples = cfg.n_coarse + cfg.n_fine
    image = cfg.size**2 * of_pixel(cfg, False)
    fits = lambda rays: image + rays * samples * of_sample(cfg, False, False) <= SHARE * free
    return _most((cfg.size // cfg.upsample) ** 2, fits)


def _most(count: int, fits) -> int | None:
    """None where all `count` rays fit; else the largest half, quarter, ... that does."""
    rays = count
    while rays > FEWEST_RAYS and not fits(rays):
        rays = -(-rays // 2)
    return None if rays == count else rays


def free_bytes(device: torch.device) -> float | int:
    """Memory of the device that is free, of a GPU also what PyTorch holds of it unused."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    told = Path("/proc/meminfo")  # Linux; elsewhere nothing says it without a further package
    lines = told.read_text().splitlines() if told.is_file() else []
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else float("inf")
