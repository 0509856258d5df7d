"""test_values.py - choices of classroom/ledger.md that are numbers of a preset, with the reason why each is a choice.

That a number does what it says is shown elsewhere, by tests that bring numbers of their own. Those stay green when a
preset has another, so here each preset is held to what the ledger says of it. Nothing but config.py is imported.
"""
import math
from dataclasses import replace

import pytest

from config import MEDIUM, PAPER, SIZE, SMALL, for_data

HEADS = for_data(SMALL, False, None, None)  # python train.py
FILM = for_data(replace(SMALL, data="talk.mp4"), True, None, None)  # python train.py --data talk.mp4
PRESETS = {"paper": PAPER, "medium": MEDIUM, "small": SMALL, "the default run": HEADS, "a clip": FILM}
P = 3 * 512**2  # numbers of a picture of `paper`

VALUES = {  # choice: ({preset: {entry: value}}, why the value is a choice)
    "box": ({"paper": {"box": (-1.3, -2.0, -1.5, 1.3, 1.6, 1.4)}, "a clip": {"box": (-1.7, -2.2, -1.5, 1.7, 1.7, 1.4)}},
            "nothing is sampled outside it; a clip's has room for shoulders"),
    "samples": ({"paper": {"n_coarse": 64, "n_fine": 64}, "small": {"n_coarse": 6, "n_fine": 4}},
                "NeRF asks 64 and 192 of two fields; with 5 + 3 `small` loses 0.35 dB"),
    "planes": ({"paper": {"plane_channels": 0}, "small": {"plane_channels": 16, "plane_rank": 16}},
               "learnt features of space are not in the paper, and `small` learns little without"),
    "channels": ({"paper": {"d_feature": 256, "upsample": 8}, "small": {"d_feature": 64},
                  "the default run": {"upsample": 4}}, "the paper's M has 256 channels, a laptop's 64"),
    "codes": ({"paper": {"d_id": 100, "d_ex": 79, "d_al": 100, "d_ill": 27},
               "small": {"d_id": 16, "d_ex": 16, "d_al": 16, "d_ill": 16}},
              "the paper gives no sizes: HeadNeRF's, and fewer where there are six people"),
    "size": ({"paper": {"size": 512}, "small": {"size": 64}, "the default run": {"size": 128}},
             "the paper gives none: HeadNeRF's 512, and what a laptop learns in minutes"),
    "lambda_v": ({"paper": {"lambda_v": 10 / math.sqrt(P)}, "medium": {"lambda_v": 0.02}, "small": {"lambda_v": 0.02}},
                 "10 beside sums is 10 / sqrt(3 H W) beside means; 0.02 was measured at 64 px and kept"),
    "pair_share": ({"paper": {"pair_share": 1.0}, "small": {"pair_share": 0.25}},
                   "L_v needs neighbours, which teach less than frames that have nothing in common"),
    "lambda_dis": ({"paper": {"lambda_dis": 5.0}, "small": {"lambda_dis": 5.0}},
                   "5 as written, although 5 / (3 H W) is what stands beside means"),
    "lambda_per": ({"paper": {"lambda_per": 0.005}}, "the paper has no weight, that is 1, with which the head is lost"),
    "L_per off": ({"paper": {"vgg": "download"}, "medium": {"vgg": "none"}, "small": {"vgg": "none"},
                   "the default run": {"vgg": "none"}, "a clip": {"vgg": "none"}},
                  "VGG16 is a large download: `small` trains on Eq. 5 alone unless --vgg is given"),
    "VGG layers": ({"paper": {"vgg_layers": ("relu1_2", "relu2_2", "relu3_3", "relu4_3")}},
                   "the paper names none; these are its reference 40's"),
    "outside": ({"paper": {"outside": 0.3}, "small": {"outside": 0.3}, "a clip": {"outside": 0.3}},
                "Eq. 5 as written is 0 outside the mask; hair and background would not be learnt"),
    "opacity": ({"paper": {"lambda_opacity": 0.1}, "small": {"lambda_opacity": 0.1}},
                "not in the paper; at 0 the background may explain the face"),
    "rare": ({"paper": {"rare": 0.0}, "small": {"rare": 0.5}}, "drawn evenly, a blink is one frame in twenty"),
    "blank mouth": ({"paper": {"blank_mouth": True}, "small": {"blank_mouth": True}},
                    "a C_ex that has seen the mouth could move the lips without the sound"),
    "ex_swap": ({"paper": {"ex_swap": 0.5}, "small": {"ex_swap": 0.5}},
                "a C_ex that is a frame's alone could tell the lips"),
    "code noise": ({"paper": {"code_noise": 0.0}, "the default run": {"code_noise": 0.0}, "a clip": {"code_noise": 0.9}},
                   "new speech brings pairs of C_ex and F_lip that a clip has never shown"),
    "a code a label": ({"paper": {"code_per_frame": False}, "small": {"code_per_frame": False}},
                       "the paper's codes are those of the image at each time"),
    "start of the codes": ({"paper": {"random_codes": False}, "small": {"random_codes": False}},
                           "from a random start C_ex moves nothing"),
    "apart": ({"paper": {"apart": 0.4}, "small": {"apart": 0.4}}, "nearer frames show nearly the same mouth"),
    "window": ({"paper": {"audio_window": 16}, "small": {"audio_window": 16}},
               "the paper gives one feature a frame and no context: 16 vectors, 20 ms apart, are 0.32 s"),
    "E_audio of a clip": ({"a clip": {"sound_layers": 0, "sound_noise": 1.0, "voices": 0.1, "sound_smooth": 0.04},
                           "the default run": {"sound_layers": 3, "sound_noise": 0.5, "voices": 0.0, "sound_smooth": 0.0}},
                          "seconds of one voice are learnt by heart"),
    "offset": ({"paper": {"av_offset": "auto"}, "a clip": {"av_offset": "auto"}},
               "the paper takes picture and sound as they are"),
    "body": ({"a clip": {"body": True}, "the default run": {"body": False}}, "stand-in heads have no shoulders"),
    "bust": ({"paper": {"solid": 4.0}, "small": {"solid": 4.0}}, "the paper's density begins without a shape"),
    "view": ({"paper": {"n_freq_v": 4}, "the default run": {"n_freq_v": 2}, "a clip": {"n_freq_v": 0}},
             "a clip shows the head from few sides, and sines of v break beyond them"),
    "patches": ({"paper": {"patch": 0, "pairs": 1}, "small": {"patch": 10, "pairs": 9}},
                "a frame has one C_ex and one F_lip, however many rays are rendered"),
    "rates": ({"paper": {"lr": 5e-4, "lr_hold": 0.0, "lr_final": 0.1}, "small": {"lr": 4e-3, "lr_hold": 0.5, "lr_final": 0.05}},
              "the paper gives none: NeRF's; a short run learns most at the full rate"),
    "iterations": ({"paper": {"iters": 800_000}, "small": {"iters": 2800}, "the default run": {"iters": 2000}},
                   "the paper's take 60 hours of a GPU"),
    "samples that matter": ({"paper": {"least": 1e-3}, "small": {"least": 1e-3}},
                            "the paper asks the field at every sample")}


@pytest.mark.parametrize("choice", VALUES)
def test_value(choice):
    wanted, why = VALUES[choice]
    for preset, entries in wanted.items():
        for entry, value in entries.items():
            got = getattr(PRESETS[preset], entry)
            assert got == pytest.approx(value) if isinstance(value, float) else got == value, \
                f"{preset}: {entry} is {got}, the ledger says {value}: {why}"


def test_a_run_that_names_no_size_has_128_pixels():
    assert SIZE == HEADS.size == FILM.size == 128
