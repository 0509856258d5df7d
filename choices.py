"""choices.py - what single choices of training do: the default model with one thing changed at a time.

    python evaluate.py --choices        (--out runs/choices   --seeds 0   --iters N   --preset small)

Table 2 (table2.py) takes the paper's two modules away; with its --out, rows that both tables have are trained once. Here are the choices that the paper leaves open or that are
ours, and a second table that shows where the separation of the codes comes from: the paper has one code a frame for
each of the four factors, and L_dis alone draws them to the extractor's; ours are shared by label, and start there.
In: nothing but the stand-in heads. Out: a run folder for each row, choices.md and choices.csv.
"""
from __future__ import annotations

from pathlib import Path

import torch

from config import Config
from table2 import Model, ablation

SINGLE = {
    "full": Model("as it is"),
    "lip_dropout": Model("F_lip left out of one frame in five", {"lip_dropout": 0.2}),
    "no_exchange": Model("C_ex always the frame's own", {"ex_swap": 0.0}),
    "mouth_seen": Model("the extractor sees the mouth", {"blank_mouth": False}),
    "mouth_seen_no_exchange": Model("both: C_ex the frame's own, the mouth seen", {"blank_mouth": False, "ex_swap": 0.0}),
    "codes_8": Model("codes of 8 values instead of 16", {"d_id": 8, "d_ex": 8, "d_al": 8, "d_ill": 8}),
    "codes_48": Model("codes of 48 values", {"d_id": 48, "d_ex": 48, "d_al": 48, "d_ill": 48}),
}
SEPARATION = {
    "no_dis": Model("a label's code, from the extractor, without L_dis", {"lambda_dis": 0.0}),
    "random_no_dis": Model("a label's code, from chance, without L_dis", {"code_start": "random", "lambda_dis": 0.0}),
    "frame": Model("a frame's code, from the extractor, with L_dis", {"code_of": "frame"}),
    "frame_no_dis": Model("a frame's code, from the extractor, without L_dis", {"code_of": "frame", "lambda_dis": 0.0}),
    "frame_random": Model("a frame's code, from chance, with L_dis", {"code_of": "frame", "code_start": "random"}),
    "frame_random_no_dis": Model("a frame's code, from chance, without L_dis",
                                 {"code_of": "frame", "code_start": "random", "lambda_dis": 0.0}),
}
SHOWN = ("PSNR (dB)", "LMD (px)", "mouth r", "audio swap r_B", "audio swap r_A|B", "held-out C_ex PSNR (dB)",
         "recombined PSNR (dB)", "recombination drop (dB)", "worst leak")
NOTE = """Held-out C_ex PSNR: C_ex is read from the held-out frame. r_A|B: what the mouth shares with sentence A, whose codes and
pose it has, beyond what A shares with B, whose sound it has. A frame's codes are averaged by label after training.
"""


def choices(cfg: Config, seeds: list[int], out: Path, device: torch.device) -> str:
    """Train and score all rows; writes choices.md and choices.csv into `out`, returns the Markdown."""
    return ablation(cfg, seeds, out, SINGLE | SEPARATION, SHOWN, "choices", device, NOTE)
