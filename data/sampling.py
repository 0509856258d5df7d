"""sampling.py
"""
from __future__ import annotations

APART = 0.4  # seconds: frames nearer in time than this show nearly the same mouth
FACE = slice(17, 68)  # landmarks of brows, nose, eyes and mouth
