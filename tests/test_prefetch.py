"""test_prefetch.py - batches made beside the step: the same ones, in order, and an end in every case (Sec. 4.2)."""
import threading
import time

import numpy as np
import pytest
import torch

from speed.prefetch import made_ahead
from tools.seeds import generators, numpy_generator


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before, "a thread outlives its block"


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_all_come_in_order_whoever_is_slower(ahead):
    def make(n):
        time.sleep(0.002 * (n % 3))
        return n * n

    with made_ahead(make, range(5, 25), ahead) as made:
        got = []
        for n, square in made:
            time.sleep(0.002 * (n % 2))
            got.append((n, square))
    assert got == [(n, n * n) for n in range(5, 25)]


def test_they_are_made_beside_the_work_and_no_more_than_asked_for():
    made, where = [], set()

    def make(n):
        where.add(threading.current_thread())
        made.append(n)

    with made_ahead(make, range(100), 2) as batches:
        next(batches)
        deadline = time.time() + 5
        while len(made) < 4 and time.time() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert made == [0, 1, 2, 3], "one taken, two wait, one is in the thread's hand"
    assert where.isdisjoint({threading.main_thread()})


@pytest.mark.parametrize("ahead", [0, 2])
def test_an_error_comes_where_its_batch_would_have_come(ahead):
    def make(n):
        if n == 3:
            raise OSError(28, "disk full")
        return n

    got = []
    with pytest.raises(OSError, match="disk full"), made_ahead(make, range(9), ahead) as batches:
        for n, _ in batches:
            got.append(n)
    assert got == [0, 1, 2]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_the_thread_ends_when_the_step_fails_or_is_interrupted(error):
    with pytest.raises(error), made_ahead(lambda n: n, range(10**9), 2) as batches:
        for n, _ in batches:
            if n == 4:
                raise error


def test_chance_of_a_batch_is_the_same_and_leaves_torchs_global_state_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    drawn = numpy_generator(3, "field", 11).random(5)
    assert torch.equal(torch.get_rng_state(), before)
    rng, _ = generators(3, "field", 11)
    assert np.array_equal(rng.random(5), drawn)
    assert not np.array_equal(numpy_generator(3, "field", 12).random(5), drawn)
