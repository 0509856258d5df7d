"""figures.py - Sec. 4.1's stand-in data as the README shows it (no real people).

    python -m synthetic.figures        writes figures/heads.png and figures/talking.gif

In:  nothing but seed 0.
Out: heads.png, six subjects with four expressions in two lights; talking.gif, three of them speak
     one sentence. All of it is ground truth from dataset.render_truth; what a trained field makes
     of the heads is preview.png.
Read next: dataset.py.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from synthetic import dataset, shape
from synthetic.cameras import head_motion, turn
from tools.errors import replacing

SUBJECTS, FPS = 6, 15
POSES = ({}, {"jaw": 0.9, "brow": 0.8}, {"pucker": 0.9, "jaw": 0.3},
         {"smile": 1.0, "width": 0.6, "blink": 0.6})


def people(seed: int = 0) -> list[np.ndarray]:
    """Identities (I,) of the default set's subjects."""
    return [dataset.identity(seed, s) for s in range(SUBJECTS)]


def heads_sheet(size: int = 96) -> np.ndarray:
    """One row per subject, (H, W, 3): four expressions in the warmest light, then the coldest."""
    rooms = dataset.lights(0)
    red_share = rooms[:, 0, 0] / rooms[:, 0].sum(axis=1)
    lights = rooms[[red_share.argmax(), red_share.argmin()]]
    expression = np.array([[pose.get(name, 0.0) for name in shape.EXPRESSION] for pose in POSES])
    motion = np.tile(np.eye(4), (len(POSES), 1, 1))
    motion[:, :3, :3] = turn(np.radians([0.0, 14, -14, 8]), np.zeros(4), np.zeros(4))
    rows = []
    for s, who in enumerate(people()):
        frames = [dataset.render_truth(who, expression, s, light, motion, size)[0]
                  for light in lights]
        rows.append(np.concatenate(np.concatenate(frames), axis=1))
    return np.concatenate(rows)


def talking(subjects: tuple[int, ...] = (0, 1, 4), size: int = 96,
            seconds: float = 2.0) -> list[np.ndarray]:
    """Frames (size, 3 size, 3), FPS per second: some subjects speak one sentence side by side."""
    expression = dataset.recording(0, "toy01", 0, seconds)[0][::dataset.FPS // FPS]  # (T, 8)
    parts, rooms = [], dataset.lights(0)
    for s in subjects:
        motion = head_motion(len(expression), float(FPS), np.random.default_rng(s))
        parts.append(dataset.render_truth(people()[s], expression, s, rooms[s], motion, size)[0])
    return list(np.concatenate(parts, axis=2))


def main(folder: Path = Path("figures")) -> None:
    """Write both pictures into `folder`."""
    with replacing(folder / "heads.png") as temporary:
        Image.fromarray(heads_sheet()).quantize(256, kmeans=3).save(temporary, optimize=True)
    frames = [Image.fromarray(frame).quantize(160, kmeans=1, dither=Image.Dither.NONE)
              for frame in talking()]
    with replacing(folder / "talking.gif") as temporary:
        frames[0].save(temporary, save_all=True, append_images=frames[1:],
                       duration=1000 // FPS, loop=0)


if __name__ == "__main__":
    main()
