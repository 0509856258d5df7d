"""chunks.py - Sec. 3.2, Eq. 1: rays rendered some at a time, so that memory ends before pixels do.

In: what render.render_rays takes. Out: what it gives, the same numbers up to the rounding of sums:
no ray knows of another (in sparse.py one looks at its neighbours, at a border at fewer of them). In
training each part is computed again when its gradient is asked for (gradient checkpointing), in
place of keeping all samples of all rays: a third more work.
Next: memory.py, which says how many rays at a time.
"""
from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def in_chunks(rays: int | None, side: int, render_rays: Callable, field, conditions,
              origins: Tensor, directions: Tensor, box: tuple[float, ...], n_coarse: int,
              n_fine: int, generator: torch.Generator | Callable | None,
              body: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
    """render_rays, of all frames together at most `rays` at a time, or one row; None: all at once.

    side: rays in a row; only whole rows go together. render_rays: that of render.py or sparse.py.
    """
    frames, count = origins.shape[:2]
    if rays is None or rays >= frames * count:
        return render_rays(field, conditions, origins, directions, box, n_coarse, n_fine, generator,
                           body)
    # Drawn here for all rays, as without chunks: a part that is computed again must not draw anew.
    shapes = [(frames, count, n) for n in (n_coarse, n_fine) if n]
    jitter = None if generator is None else [_drawn(generator, shape) for shape in shapes]

    def render(some: slice) -> tuple[Tensor, Tensor]:
        draws = None if jitter is None else iter([one[:, some] for one in jitter])
        of_body = None if body is None else tuple(one[:, some] for one in body)
        return render_rays(field, conditions, origins[:, some], directions[:, some], box, n_coarse,
                           n_fine, draws and (lambda shape: next(draws)), of_body)

    step = max(1, rays // (frames * side)) * side
    parts = [slice(at, at + step) for at in range(0, count, step)]
    if torch.is_grad_enabled():
        found = [checkpoint(render, some, use_reentrant=False, preserve_rng_state=False)
                 for some in parts]
    else:
        found = [render(some) for some in parts]
    hidden, opacity = zip(*found)
    return torch.cat(hidden, 1), torch.cat(opacity, 1)


def _drawn(generator: torch.Generator | Callable, shape: tuple[int, ...]) -> Tensor:
    return generator(shape) if callable(generator) else torch.rand(shape, generator=generator)
