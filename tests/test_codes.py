"""test_codes.py - which codes animate.py puts into the field: by name, by frame, mixed, swept."""
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import animate
from config import SMALL
from dhnerf import DHNeRF, LatentCodes, LatentExtractor
from inference.codes import chosen_code, chosen_codes, spread_out, sweep_values
from inference.pictures import enlarge
from inference.rendering import render_frames
from inference.run import Run
from tools.errors import InputError

LENGTHS = {"a/one": 4, "a/two": 6, "b/one": 5}


@pytest.fixture(scope="module")
def run():
    """Two people, three takes: codes are unit vectors that tell their rows apart; no sound
    encoder."""
    cfg = replace(SMALL, size=32, sync=False, n_coarse=4, n_fine=2)
    torch.manual_seed(0)
    table = lambda n, name: F.normalize(torch.randn(n, cfg.code_size(name)), dim=-1)
    codes = LatentCodes({"id": table(2, "id"), "ex": table(15, "ex"), "al": table(3, "al"),
                         "ill": table(2, "ill")})
    pose = torch.diag(torch.tensor([1.0, -1, -1, 1]))
    pose[2, 3] = 12
    K = torch.tensor([[128.0, 0, 16], [0, 128, 16], [0, 0, 1]])
    rows = {"a/one": (0, 0, 0), "a/two": (0, 1, 1), "b/one": (1, 2, 0)}
    takes, first = [], 0
    for name, n in LENGTHS.items():
        takes.append({"name": name, "subject": name[0], "fps": 25.0, "first": first,
                      "background": 0, "K": K,
                      "cam_to_head": pose.expand(n, 4, 4),
                      "codes": dict(zip(("id", "al", "ill"), rows[name]))})
        first += n
    return Run(cfg, DHNeRF(cfg).eval(), codes, LatentExtractor(cfg), None, takes,
               torch.full((1, 32, 32, 3), 200, dtype=torch.uint8), torch.device("cpu"))


def row(run, factor, index):
    return run.codes.tables[factor].weight[index].detach()


def test_without_choices_the_codes_are_the_subjects_own(run):
    codes = chosen_codes(run, "a/two", np.array([0, 5, 2]), {})
    assert list(codes) == ["id", "ex", "al", "ill"]
    assert torch.equal(codes["id"], row(run, "id", [0]))
    assert torch.equal(codes["al"], row(run, "al", [1]))
    assert torch.equal(codes["ill"], row(run, "ill", [1]))
    assert torch.equal(codes["ex"], row(run, "ex", [4, 9, 6]))


@pytest.mark.parametrize("option, factor, want",
                         [("identity", "id", 1), ("albedo", "al", 2), ("light", "ill", 0)])
def test_an_option_changes_its_own_code_only(run, option, factor, want):
    rows = np.arange(6)
    own, changed = (chosen_codes(run, "a/two", rows, c) for c in ({}, {option: "b"}))
    assert torch.equal(changed[factor], row(run, factor, [want]))
    assert all(torch.equal(own[name], changed[name]) for name in own if name != factor)


def test_expression_of_a_frame_is_held_and_of_a_take_is_replayed_to_and_fro(run):
    rows = np.arange(8)
    held = chosen_codes(run, "a", rows, {"expression": "b/one@3"})["ex"]
    assert torch.equal(held, row(run, "ex", [13]))
    replay = chosen_codes(run, "a", rows, {"expression": "b"})["ex"]
    assert torch.equal(replay, row(run, "ex", [10, 11, 12, 13, 14, 13, 12, 11]))


def test_mixtures_are_weighted_means_of_unit_length_in_any_order(run):
    rows, a, b = np.arange(3), row(run, "al", 0), row(run, "al", 2)
    mixed = chosen_code(run, "a:1,b:3", "albedo", rows)
    torch.testing.assert_close(mixed[0], (0.25 * a + 0.75 * b) / (0.25 * a + 0.75 * b).norm())
    torch.testing.assert_close(chosen_code(run, "b:0.75,a:0.25", "albedo", rows), mixed)
    pure = chosen_code(run, "a:1,b:0", "albedo", rows)[0]
    assert torch.equal(pure, a), "weights 1 and 0: the pure code"
    half = chosen_code(run, "a/one@1:1, b:1", "expression", rows)  # a still frame and a replay
    want = torch.stack([F.normalize(row(run, "ex", 1) + row(run, "ex", 10 + k), dim=0)
                        for k in range(3)])
    torch.testing.assert_close(half, want)


@pytest.mark.parametrize("text, says", [
    ("nobody", "it knows the takes a/one, a/two, b/one"), ("a:x", "'x' is no number"),
    ("a:-1,b:2", "0 or more"), ("a:0,b:0", "not all 0"),
    ("a:nan", "0 or more"), ("a/one@4", "a/one has frames 0 to 3"), ("a@", "frames 0 to 3")])
def test_what_cannot_be_is_one_line_that_says_what_can(run, text, says):
    with pytest.raises(InputError) as error:
        chosen_code(run, text, "expression", np.arange(3))
    assert says in str(error.value) and "\n" not in str(error.value)
    assert "--expression" in str(error.value)


def test_a_long_list_of_takes_is_cut(run):
    many = replace(run, takes=[{"name": f"p{i}/s", "subject": f"p{i}"} for i in range(30)])
    assert many.known().endswith("p7/s and 22 more")


def test_spread_out_takes_the_far_ones_and_each_once():
    line = torch.tensor([[0.0], [0.1], [5.0], [9.0], [9.1]])
    assert spread_out(line, 3) == [0, 2, 4]
    assert spread_out(line, 9) == [0, 1, 2, 3, 4]
    assert spread_out(torch.zeros(3, 2), 3) == [0, 1, 2], "equal codes: still each once"


def test_sweep_values_name_every_value_once(run):
    assert sweep_values(run, "identity", "a") == ["a", "b"]
    assert sweep_values(run, "albedo", "a") == ["a/one", "a/two", "b/one"]
    assert sweep_values(run, "light", "a") == ["a/one", "a/two"]
    assert sweep_values(run, "expression", "a") == [f"a/one@{k}" for k in range(4)]


def test_sweep_of_two_codes_is_a_table_of_their_values(run):
    grid = animate.sweep(run, "identity,albedo")
    assert grid.shape == (2 * 150, 3 * 128, 3)
    cells = [grid[150 * i + 22:150 * (i + 1), 128 * j:128 * (j + 1)] for i in range(2)
             for j in range(3)]
    want = chosen_codes(run, "a/one", np.array([2]), {"identity": "b", "albedo": "a/two"})
    frame = next(render_frames(run, want, None, run.takes[0]["K"], run.takes[0]["cam_to_head"][[2]],
                                       run.backgrounds[0]))
    assert np.array_equal(cells[4], enlarge(frame, 128)), "row: identity, column: albedo"
    assert len({cell.tobytes() for cell in cells}) == 6, "every cell differs"


def test_sweep_of_one_code_has_time_across(run):
    assert animate.sweep(run, "light", columns=3).shape == (2 * 150, 3 * 128, 3)
    for swept in ("pose", "identity,albedo,light", ""):
        wanted = "want one or two of identity, expression, albedo, light"
        with pytest.raises(InputError, match=wanted):
            animate.sweep(run, swept)


def test_a_mixture_is_as_long_as_its_parts_and_odd_names_are_whole(run):
    tables = {name: 3 * table.weight.detach() for name, table in run.codes.tables.items()}
    long = replace(run, codes=LatentCodes(tables))
    assert chosen_code(long, "a:1,b:1", "albedo", np.arange(2)).norm().item() == pytest.approx(3.0)
    takes = [dict(run.takes[0], name="talk: a, b/all", subject="talk: a, b"), run.takes[1]]
    odd = replace(run, takes=takes)
    assert torch.equal(chosen_code(odd, "talk: a, b", "identity", np.arange(2)),
                       row(run, "id", [0]))
