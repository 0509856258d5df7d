"""choices.py - what single choices of training do: the default model with one thing changed at a time.

    python evaluate.py --choices        (--out runs/choices   --seeds 0   --iters N   --preset small)

Table 2 (table2.py) takes the paper's two modules away. SINGLE changes what the paper leaves open or what is ours.
SEPARATION asks what keeps the codes apart: one code a label, or one a frame; started at the extractor's, or at random;
with L_dis, or without. With `--out runs/table2` the rows that both tables have are trained once.
In: nothing but the stand-in heads. Out: a run folder for each row, choices.md and choices.csv.
"""
from __future__ import annotations

from pathlib import Path

import torch

from config import Config
from table2 import Variant, ablation

# A C_ex is drawn about ten times in a run of `small`. Where codes should be able to leave their start, their rate is ten
# times the usual.
FREE = {"lr_codes": 0.05}
SINGLE = {
    "full": Variant("as it is"),
    "lip_dropout": Variant("F_lip left out of one frame in five", {"lip_dropout": 0.2}),
    "no_exchange": Variant("C_ex always the frame's own", {"ex_swap": 0.0}),
    "mouth_seen": Variant("the extractor sees the mouth", {"blank_mouth": False}),
    "mouth_seen_no_exchange": Variant("both: C_ex the frame's own, mouth seen", {"blank_mouth": False, "ex_swap": 0.0}),
    "free": Variant("codes free to move, no L_dis", FREE | {"lambda_dis": 0.0}),
    "free_both": Variant("codes free to move, no L_dis, both",
                         FREE | {"lambda_dis": 0.0, "blank_mouth": False, "ex_swap": 0.0}),
    "codes_8": Variant("codes of 8 values", {"d_id": 8, "d_ex": 8, "d_al": 8, "d_ill": 8}),
    "codes_48": Variant("codes of 48 values", {"d_id": 48, "d_ex": 48, "d_al": 48, "d_ill": 48}),
}
FRAME = FREE | {"code_per_frame": True}
SEPARATION = {
    "no_dis": Variant("a code a label, without L_dis", {"lambda_dis": 0.0}),
    "random_no_dis": Variant("a code a label, random start, without L_dis", {"random_codes": True, "lambda_dis": 0.0}),
    "frame": Variant("codes a frame, with L_dis", FRAME),
    "frame_no_dis": Variant("codes a frame, without L_dis", FRAME | {"lambda_dis": 0.0}),
    "frame_random": Variant("codes a frame, random start, with L_dis", FRAME | {"random_codes": True}),
    "frame_random_no_dis": Variant("codes a frame, random start, without L_dis",
                                   FRAME | {"random_codes": True, "lambda_dis": 0.0}),
}
SHOWN = ("PSNR (dB)", "LMD (px)", "mouth r", "audio swap r_B", "audio swap r_A, B removed", "trained PSNR (dB)",
         "recombined PSNR (dB)", "recombination drop (dB)", "worst leak")
NOTE = """Audio swap r_A, B removed: what the mouth shares with sentence A, whose codes and pose it has, beyond what A
shares with B, whose sound it has. Trained: frames of training, with their own C_ex. C_ex is a frame's own in every row;
where the other codes are, too, those of one frame stand for a person, an albedo or a light.
"""


def choices(cfg: Config, seeds: list[int], out: Path, device: torch.device) -> str:
    """Train and score all rows; writes choices.md and choices.csv into `out`, returns the Markdown."""
    return ablation(cfg, seeds, out, SINGLE | SEPARATION, SHOWN, "choices", device, NOTE)
