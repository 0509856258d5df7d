"""sound.py - exercises on sound: F_A in time with the frames (Sec. 3.1), Sync (Sec. 4.3).

Oracles: numpy.interp column by column, and means, medians and minima of short tables. checks.py
says what a Probe and an exercise are. Read next: pairs.py.
"""
import numpy as np

from classroom.checks import NoAnswer, Probe, equal, exercise, numpy_rng, raises
from classroom.questions.gradients import whatever

# ---------------------------------------------------------------------------------- sound, Sec. 3.1

STEP = 0.02  # s


def read_at(features, times, at):
    """features (n, d) at times `at` (T, w): numpy.interp, column by column."""
    return np.stack([np.interp(at, times, column) for column in features.T], -1)


def neighbours(times, at):
    """Numbers of the vectors at or before `at` and after it, and how far between them it lies."""
    left = np.clip(np.searchsorted(times, at, side="right") - 1, 0, max(len(times) - 2, 0))
    right = np.minimum(left + 1, len(times) - 1)
    gap = np.where(times[right] > times[left], times[right] - times[left], 1.0)
    return left, right, ((at - times[left]) / gap)[..., None]


def alignment_mistakes(features, times, frame_times, window):
    """F_A (T, w, d) as the known mistakes make it."""
    k, n = np.arange(window), len(times)
    offsets = (k - (window - 1) / 2) * STEP
    wanted = frame_times[:, None] + offsets
    at = np.clip(wanted, times[0], times[-1])
    left, right, share = neighbours(times, at)
    outer_left, outer_right, outer_share = neighbours(times, wanted)
    read = lambda when: read_at(features, times, when)
    shifted = lambda by: read(frame_times[:, None] + by)
    want, outside = read(wanted), ((wanted < times[0]) | (wanted > times[-1]))[..., None]
    between = lambda share: (1 - share) * features[left] + share * features[right]
    by_index = times[np.minimum(np.arange(len(frame_times)), n - 1), None] + offsets
    nearest = np.abs(times - frame_times[:, None]).argmin(1)
    around = np.clip(nearest[:, None] + k - window // 2, 0, n - 1)
    own_step = (times[-1] - times[0]) / max(n - 1, 1)
    even = times[0] + STEP * np.arange(n)
    outer = ((1 - outer_share) * features[outer_left] + outer_share * features[outer_right])
    known = {
        "paired by index": read(by_index),
        "window starts at the frame": shifted(k * STEP),
        "window ends at the frame": shifted((k - (window - 1)) * STEP),
        "half a step off": shifted((k - window / 2) * STEP),
        "half a step off where w is even": shifted((k - window // 2) * STEP),
        "half a step late where w is even": shifted((k - (window - 1) // 2) * STEP),
        "-w // 2": shifted((k - (window + 1) // 2) * STEP),
        "window too wide": shifted(np.linspace(-window / 2, window / 2, window) * STEP),
        "window backwards": shifted(-offsets),
        "no window": shifted(0 * offsets),
        "step in ms": shifted(1000 * offsets),
        "vectors' own step": shifted(offsets / STEP * own_step),
        "20 ms between the vectors": read_at(features, even, wanted),
        "window of vectors about the nearest": features[around],
        "nearest vector": between(np.round(share)),
        "vector before": between(np.floor(share)),
        "neighbours swapped": between(1 - share),
        "first vector at 0 s": read_at(features, times - times[0], wanted),
        "beyond the ends": outer,
        "zeros beyond the ends": np.where(outside, 0, want),
        "NaN beyond the ends": np.where(outside, np.nan, want),
        "frames clipped, not the window": read(np.clip(frame_times, times[0], times[-1])[:, None]
                                               + offsets),
        "vectors before windows": want.transpose(0, 2, 1),
        "windows before frames": want.transpose(1, 0, 2),
        "one row per window": want.reshape(len(want), -1),
        "mean of the window": want.mean(1),
        "no array": want,
        "not float32": want,
        "times in float32": want,
        "0 / 0 at a single vector": want if n > 1 else np.full(want.shape, np.nan)}
    if np.ptp(np.diff(frame_times)) < 1e-9:
        known["frames' own step"] = shifted(offsets / STEP * np.diff(frame_times)[0])
    return known if n > 1 else {m: a for m, a in known.items() if m != "paired by index"}


@exercise(
    "alignment", "medium", "sound features of each video frame, F_A",
    task="times (n,) are the times of the n vectors in seconds, increasing, not always 20 ms "
         "apart, perhaps late in a long recording; take them as they are: HuBERT's first lies at "
         "12.5 ms, not at 0. STEP = 0.02 s lies between the vectors of a window. Return float32.",
    hint="Begin with the times (T, w) at which F_A is wanted; they belong to frames, not to "
         "vectors. numpy.interp reads one column, and repeats its ends.",
    mistakes={
        "paired by index": "Vector i does not belong to frame i: there are 50 vectors a second and "
                           "24 to 60 frames. Pair by time stamps.",
        "window starts at the frame": "The window is centred on the frame: it sees the sound "
                                      "before and after it.",
        "window ends at the frame": "The window is centred on the frame: this one sees the sound "
                                    "before it only.",
        "half a step off": "The middle of vectors 0 ... w - 1 is (w - 1) / 2. With w / 2 the "
                           "window lies half a step (10 ms) too early.",
        "half a step off where w is even": "The middle of vectors 0 ... w - 1 is (w - 1) / 2. With "
                                           "w // 2, where w is even, the window lies half a step "
                                           "(10 ms) too early.",
        "half a step late where w is even": "The middle of vectors 0 ... w - 1 is (w - 1) / 2. "
                                            "With (w - 1) // 2, where w is even, the window lies "
                                            "half a step (10 ms) too late.",
        "-w // 2": "The middle of vectors 0 ... w - 1 is (w - 1) / 2. And -w // 2 rounds down: of "
                   "5 it is -3, a step further than -(w // 2).",
        "window too wide": "w vectors have w - 1 steps between them: from -w/2 to w/2 they lie "
                           "farther apart than 0.02 s.",
        "window backwards": "Vector k lies (k - (w - 1)/2) 0.02 seconds after the frame; these run "
                            "back in time.",
        "no window": "All vectors of a window are alike: they lie 0.02 s apart, about the frame.",
        "step in ms": "Times are in seconds, and a step is 0.02 s: vector k lies "
                      "(k - (w - 1)/2) 0.02 seconds after the frame.",
        "frames' own step": "The vectors of a window lie STEP = 0.02 s apart, at any frame rate; "
                            "these lie one frame apart.",
        "vectors' own step": "The vectors of a window lie STEP = 0.02 s apart, however far apart "
                             "those of the sound are: so a network sees the same with all "
                             "features.",
        "20 ms between the vectors": "The features lie at `times`, which need not be 20 ms apart: "
                                     "look the neighbours up there.",
        "window of vectors about the nearest": "A window begins at the frame's own time, not at "
                                               "the vector nearest to it: 8 ms are seen on lips.",
        "nearest vector": "Interpolate between the two neighbours; the nearest vector makes the "
                          "lips jump.",
        "vector before": "Interpolate between the two neighbours; the one before lags by up to a "
                         "step.",
        "neighbours swapped": "The nearer neighbour has the larger weight.",
        "first vector at 0 s": "The first vector lies at times[0], which is not 0.",
        "beyond the ends": "Before the first and after the last vector, that vector is repeated, "
                           "nothing is extrapolated.",
        "zeros beyond the ends": "Before the first and after the last vector, that vector is "
                                 "repeated; zeros would be a sound of their own.",
        "NaN beyond the ends": "Before the first and after the last vector, that vector is "
                               "repeated; NaN would spoil the frame.",
        "frames clipped, not the window": "A frame before the first vector keeps its time: only "
                                          "where its window reaches outside, the end is repeated.",
        "vectors before windows": "The axes are frames, vectors of the window, features: "
                                  "(T, w, d).",
        "windows before frames": "The first axis counts the frames: (T, w, d).",
        "one row per window": "The w vectors stay apart: (T, w, d), not (T, w d).",
        "mean of the window": "The w vectors stay apart: (T, w, d), not their mean (T, d).",
        "no array": "Return a NumPy array.",
        "not float32": "Return float32: .astype(np.float32).",
        "times in float32": "Late in a long recording float32 is off by a part of a step: keep the "
                            "times in float64, and make only the result float32.",
        "0 / 0 at a single vector": "A sound of one vector has no neighbours: the gap between them "
                                    "is 0. That vector is repeated."})
def alignment(align_to_frames):
    rng = numpy_rng(20)
    times = 0.0125 + STEP * np.arange(60)
    clock = np.repeat(times[:, None], 2, 1)  # features that tell the time
    inside = 0.2 + np.arange(20) / 29.97  # 20 frames in the middle of the sound
    late = np.sort(rng.uniform(0.1, 1.1, 7))
    dense = 0.003 + 0.01 * np.arange(90)
    uneven = 0.02 + np.cumsum(rng.uniform(0.004, 0.05, 50))
    features = lambda n, d=3: rng.normal(size=(n, d))
    ends = np.array([0.0, 0.03, 0.6, 1.18, 1.3])
    questions = (
        ("20 frames at 29.97 a second, windows of 4, features that are their own time",
         clock, times, inside, 4),
        ("the same, random features", features(60), times, inside, 4),
        ("7 frames at uneven times, windows of 5", features(60, 2), times, late, 5),
        ("vectors 10 ms apart, windows of 4", features(90), dense, late[:6] * 0.7, 4),
        ("vectors at uneven times, windows of 3", features(50, 4), uneven,
         np.sort(rng.uniform(uneven[3], uneven[-4], 6)), 3),
        ("frames before the first and after the last vector, windows of 1", features(60), times,
         ends, 1),
        ("the same frames, windows of 4", features(60), times, ends, 4),
        ("a sound of one vector, windows of 3", features(1, 2), np.array([0.0125]), ends[:4], 3))
    for what, values, when, frames, window in questions:
        yield Probe(what, lambda: align_to_frames(values, when, frames, window),
                    read_at(values, when, frames[:, None] +
                            (np.arange(window) - (window - 1) / 2) * STEP),
                    alignment_mistakes(values, when, frames, window), tolerance=1e-4)
    long, late = times + 1000, inside[:6] + 1000
    values, known = features(60), {}
    want = read_at(values, long, late[:, None] + (np.arange(5) - 2) * STEP)
    near = lambda got: equal(got, want, 0.1)
    yield Probe("frames and vectors at 1000 s and later, windows of 5", whatever(
        lambda: align_to_frames(values, long, late, 5), known, "times in float32", near), want,
        known, tolerance=1e-4)
    ask = lambda: align_to_frames(clock, times, inside, 4)
    yield Probe("how many results are np.ndarrays, of one", lambda: float(isinstance(
        ask(), np.ndarray)), 1.0, {"no array": 0.0})
    yield Probe("bytes that one number of the result takes", lambda: np.asarray(ask()).itemsize,
                4.0, {"not float32": 8.0}, meaning="float32")


# ----------------------------------------------------------------------------------- Sync, Sec. 4.3

def summary(mean):
    """(confidence, offset, mean distances) of the means of 2k + 1 shifts."""
    k, least = len(mean) // 2, min(mean)
    return sorted(mean)[k] - least, k - list(mean).index(least), mean


def sync_mistakes(rows, valid):
    """(confidence, offset, mean distances) of the known mistakes; None: says nothing new."""
    n = rows.shape[1]
    mean = np.array([column[v].mean() for column, v in zip(rows.T, valid.T)])
    confidence, offset, _ = summary(mean)
    least, order = mean.min(), sorted(mean)
    in_frames = [row[v] for row, v in zip(rows, valid)]
    in_columns = [column[v] for column, v in zip(rows.T, valid.T)]
    each = [np.median(row) - row.min() for row in in_frames]
    filled, empty = np.where(valid, rows, 0), mean * np.where(valid.all(0), 1, np.nan)
    best = np.nanargmin(rows, axis=1)
    vote = n // 2 - np.bincount(best, minlength=n).argmax()
    whole = rows[valid.all(1)]
    known = {
        "a confidence for each frame": (np.mean(each), offset, mean),
        "median of the frames' confidences": (np.median(each), offset, mean),
        "vote of the frames": (confidence, vote, mean),
        "medians down the columns": summary(np.array([np.median(c) for c in in_columns])),
        "sums down the columns": summary(np.array([c.sum() for c in in_columns])),
        "least down the columns": summary(np.array([c.min() for c in in_columns])),
        "median of the whole table": (np.median(rows[valid]) - least, offset, mean),
        "least of the whole table": (order[n // 2] - rows[valid].min(), offset, mean),
        "mean for median": (np.mean(mean) - least, offset, mean),
        "largest for median": (max(mean) - least, offset, mean),
        "second best for median": (order[1] - least, offset, mean),
        "middle column for median": (mean[n // 2] - least, offset, mean),
        "least minus median": (-confidence, offset, mean),
        "median alone": (order[n // 2], offset, mean),
        "ratio for difference": (order[n // 2] / least, offset, mean),
        "offset with the other sign": (confidence, -offset, mean),
        "index for offset": (confidence, n // 2 - offset, mean),
        "offset of the largest": (confidence, n // 2 - mean.argmax(), mean),
        "missing pairs counted": summary(filled.sum(0) / len(rows)),
        "NaN spreads": (None, None, empty),
        "only frames with all pairs": summary(whole.mean(0)),
        "first frame alone": (None, None, rows[0]),
        "mean of all distances": (None, None, rows[valid].mean()),
        "means of the frames": (None, None, np.array([row.mean() for row in in_frames])),
        "offset first": (offset, confidence, mean)}
    return known


@exercise(
    "sync", "medium", "SyncNet's confidence and offset",
    task="Given distances between the picture of each frame and the sounds around it: column j "
         "belongs to a sound that is j - k frames later, n = 2k + 1. distances is NaN where valid "
         "is False. Return (confidence, offset, mean distances (n,)): a float, an int, an array.",
    hint="Means down the columns over the valid entries first, everything else from these n "
         "numbers.",
    mistakes={
        "a confidence for each frame": "The means over the frames come first, then one median and "
                                       "one minimum. In a single frame the least distance is "
                                       "mostly luck.",
        "median of the frames' confidences": "A shift's distance is the mean over the frames; "
                                             "here each frame has a confidence and the median of "
                                             "these is taken.",
        "vote of the frames": "The offset is where the mean distance is least, not where most "
                              "frames have their least.",
        "medians down the columns": "A shift's distance is the mean over its frames, not the "
                                    "median over them; the median is over the shifts.",
        "sums down the columns": "A shift's distance is a mean: at the ends of a clip it has fewer "
                                 "pairs, and so a smaller sum.",
        "least down the columns": "A shift's distance is the mean over its frames, not the least "
                                  "of them.",
        "median of the whole table": "The median over the n mean distances, not over all pairs.",
        "least of the whole table": "The least of the n mean distances, not the least pair.",
        "mean for median": "The median over the shifts, not their mean: a few near shifts would "
                           "pull a mean down.",
        "largest for median": "The median over the shifts, not the largest.",
        "second best for median": "The median over the shifts, not the second least: neighbours "
                                  "of the best shift are nearly as good.",
        "middle column for median": "The median is the middle one by size; this is the middle "
                                    "column, the shift of 0.",
        "least minus median": "The median minus the least, so that a confidence is positive.",
        "median alone": "Confidence is how far the least lies below the median: subtract it.",
        "ratio for difference": "Confidence is the difference of median and least, not their "
                                "ratio.",
        "offset with the other sign": "Positive where the picture is late: then it fits an earlier "
                                      "sound, j < k.",
        "index for offset": "The middle column k is offset 0.",
        "offset of the largest": "The offset is where the distance is least, not largest: a "
                                 "distance is small where picture and sound fit.",
        "missing pairs counted": "Divide each column by the number of its valid entries, not by "
                                 "the number of frames.",
        "NaN spreads": "A column with a missing pair becomes NaN: take the mean over its valid "
                       "entries.",
        "only frames with all pairs": "A frame with a missing pair still counts in the columns "
                                      "where it has one.",
        "first frame alone": "The mean is over all frames, this is the first frame.",
        "mean of all distances": "One mean for each shift: (n,), not one for the table.",
        "means of the frames": "The mean distances are one for each shift, down the columns; these "
                               "are one for each frame.",
        "offset first": "The order is confidence, offset, mean distances.",
        "even number of columns": "With an even number of columns none is the middle one: the "
                                  "docstring's ValueError.",
        "column without a pair": "A mean of no pairs is no number: the docstring's ValueError.",
        "a single shift refused": "1 is an odd number of shifts, k = 0: the confidence is 0 there, "
                                  "and no error is raised.",
        "offset no int": "The offset counts frames: return it as an int.",
        "means no array": "The mean distances are an array of NumPy, not a list."})
def sync(sync_confidence):
    rng = numpy_rng(30)
    table = np.array([[9.0, 8, 7, 4, 9], [8, 9, 8, 3, 8], [9, 3, 7, 2, 7], [2, 8, 6, 1, 8]])
    some = np.ones((4, 5), bool)
    some[0, :2] = some[3, 3:] = False  # no sound before the clip begins and after it ends
    questions = [("4 frames, 5 shifts", table, np.ones((4, 5), bool)),
                 ("the same with pairs missing at the ends", table, some)]
    for frames, k, best in ((6, 3, 1), (9, 2, 4), (5, 4, 6)):
        distances = rng.uniform(6, 9, (frames, 2 * k + 1))
        distances[:, best] = rng.uniform(4, 4.5, frames)
        distances[:, k + 1] = rng.uniform(2, 3, frames)  # the least in most frames, but
        distances[3, k + 1] = 40.0  # in one frame so large that its mean is not the least
        missing = np.ones(distances.shape, bool)
        missing[0, :k] = missing[-1, k + 2:] = False
        missing[1, 0] = missing[2, 2] = False
        what = f"{frames} frames, {2 * k + 1} shifts, pairs missing"
        questions.append((what, distances, missing))
    questions.append(("one frame, 3 shifts", rng.uniform(5, 9, (1, 3)), np.ones((1, 3), bool)))
    right = ("a single shift refused", "offset no int", "means no array")  # values are right
    for situation, distances, valid in questions:
        rows = np.where(valid, distances, np.nan)
        want = summary(np.array([c[v].mean() for c, v in zip(distances.T, valid.T)]))
        known = sync_mistakes(rows, valid) if len(rows) > 1 else {}

        def part(number):
            answer = sync_confidence(rows, valid)
            if not isinstance(answer, (tuple, list)) or len(answer) != 3:
                raise NoAnswer("it does not return three results, (confidence, offset, means)")
            return answer[number]

        for number, name in enumerate(("confidence", "offset", "mean distances")):
            answers = {m: a[number] for m, a in known.items() if a[number] is not None}
            answers |= dict.fromkeys(right, want[number])
            yield Probe(f"{name}, {situation}", lambda: part(number), want[number], answers)
    even, ones = rng.uniform(5, 9, (3, 4)), np.ones((3, 4), bool)
    empty, gap = rng.uniform(5, 9, (3, 5)), np.arange(5) != 1
    empty[:, 1] = np.nan
    yield Probe("ValueErrors that tables with an even number of columns raise, of one",
                lambda: raises("ValueError", lambda: sync_confidence(even, ones)), 1.0,
                {"even number of columns": 0.0})
    yield Probe("ValueErrors that tables with a column without a pair raise, of one",
                lambda: raises("ValueError", lambda: sync_confidence(empty, np.tile(gap, (3, 1)))),
                1.0, {"column without a pair": 0.0})
    single, all_there = rng.uniform(5, 9, (4, 1)), np.ones((4, 1), bool)
    yield Probe("ValueErrors that 4 frames with a single shift raise, of none",
                lambda: raises("ValueError", lambda: sync_confidence(single, all_there)), 0.0,
                {"a single shift refused": 1.0})
    for number, name in enumerate(("confidence", "offset", "mean distances")):
        want = (0.0, 0, single.mean(0))[number]
        yield Probe(f"{name}, 4 frames, a single shift",
                    lambda: sync_confidence(single, all_there)[number], want,
                    dict.fromkeys(right[1:], want))
    results = lambda: sync_confidence(table, np.ones((4, 5), bool))
    whole = lambda value: not isinstance(value, bool) and np.asarray(value).dtype.kind in "iu"
    yield Probe("how many offsets are ints, of one", lambda: float(whole(results()[1])), 1.0,
                {"offset no int": 0.0})
    yield Probe("how many of the mean distances are arrays, of one",
                lambda: float(hasattr(results()[2], "shape")), 1.0, {"means no array": 0.0})
