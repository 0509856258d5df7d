"""sampling.py
"""
from __future__ import annotations

FACE = slice(17, 68)  # landmarks of brows, nose, eyes and mouth
