"""test_outline.py - evaluation/outline.py: by how much a code moves the opacity of the picture, and its outline."""
import numpy as np
import pytest

from evaluation import outline


def disc(radius, size=32):
    """A disc of opacity with an edge that rises over one pixel, its middle in the middle."""
    at = np.arange(size) + 0.5 - size / 2
    return np.clip(radius - np.hypot(at, at[:, None]) + 0.5, 0, 1)


def test_the_outline_of_a_disc_is_where_its_radius_is():
    found = outline.outline(disc(10.0))  # (32, 2)
    rows = np.arange(32) + 0.5 - 16
    half = np.sqrt(np.clip(100 - rows**2, 0, None))
    inside = np.abs(rows) < 7  # nearer the top the edge is flat in a row
    np.testing.assert_allclose(found[inside], np.stack([16 - half, 16 + half], 1)[inside], atol=0.1)
    assert np.isnan(found[[0, -1]]).all(), "rows beside the disc have no outline"


def test_a_larger_disc_moves_it_by_what_it_is_larger():
    values = outline.moved(disc(10.0)[None, 10:22], disc(10.2)[None, 10:22])
    assert values["outline, mean (px)"] == pytest.approx(0.21, abs=0.02)
    assert values["opacity, at most"] == pytest.approx(0.2, abs=1e-6)


def test_an_untrained_renderer_lets_every_code_move_the_outline_and_shape_most():
    values = outline.of_untrained(0)
    assert {name: set(value) for name, value in values.items()}.keys() == {"id", "ex", "al", "ill"}
    most = {name: value["opacity, at most"] for name, value in values.items()}
    assert 0 < max(most["al"], most["ill"]) < min(most["id"], most["ex"])
