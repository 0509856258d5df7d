"""conftest.py - set-up for all tests, run before any of the modules is imported.

It puts the repository's root on sys.path, switches the run-time check of shapes in public signatures on
(jaxtyping with beartype; in tests only, because it costs time), keeps torch and all processes that tests start to one
thread (as most tensors here are tiny, and the cores are taken by several processes of tests), and keeps every model
hub offline.
"""
import math
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # a test that would download a model fails at once
os.environ["TRANSFORMERS_OFFLINE"] = "1"
THREADS = os.environ.setdefault("OMP_NUM_THREADS", "1")  # all three are read when NumPy and torch are loaded
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = THREADS

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from jaxtyping import install_import_hook  # noqa: E402

# All rooms but the classroom: its questions are asked thousands of times, and have no shapes of the program.
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "classroom")
CHECKED = [*ROOMS, *sorted(path.stem for path in ROOT.glob("*.py"))]  # a room stands for all modules in it
install_import_hook(CHECKED, "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(int(THREADS))


MOST_WORKERS = 4  # each takes up to 1.5 GB of memory and imports everything once


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config):
    """Processes for -n auto (pytest.ini): one per core for the whole suite; 0, this one alone, for a part of it.

    A part (files, names, -k, -m) is done before further processes have imported what they need.
    """
    part = config.option.keyword or config.option.markexpr or config.option.collectonly
    if part or any(not Path(arg).is_dir() for arg in config.args):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS) if cores > 1 else 0


@pytest.fixture(scope="session")
def hubert_folder(tmp_path_factory):
    """A HuBERT of the published layout but 16 channels wide and two layers deep, saved as users save theirs."""
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor
    torch.manual_seed(3)
    config = HubertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                          conv_dim=(16,) * 7, conv_bias=True, num_conv_pos_embeddings=3,
                          num_conv_pos_embedding_groups=2)
    assert math.prod(config.conv_stride) == 320  # the published model's strides
    folder = tmp_path_factory.mktemp("hubert")
    HubertModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True, scope="module")
def clips_without_mediapipe(request):
    """Clips are taken as where MediaPipe is missing: nothing depends on what is installed, nothing waits."""
    from tools import landmarks, matte
    with pytest.MonkeyPatch.context() as patch:
        if request.module.__name__ not in ("test_landmarks", "test_matte"):
            patch.setattr(landmarks, "have_detector", lambda model=None: False)
            patch.setattr(matte, "have_segmenter", lambda model=None: False)
        yield
