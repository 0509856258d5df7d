"""pairs.py - the exercise on positives and negatives of the code extractor (Sec. 3.3, Eq. 8).

Oracle: a transcription with loops over anchors and frames. Each known mistake is one of its
options. checks.py says what a Probe and an exercise are, ../props.py what the stand-in corpus is.
Read next: ../stubs.py.
"""
import math
from types import SimpleNamespace

import numpy as np

from classroom.checks import NoAnswer, Probe, exercise, numpy_rng
from classroom.props import StandInCorpus

LABELS = ("id", "al", "ill")
SHOWN = -1000.0  # in place of -inf, in what is compared and reported

# Which rule a mistake breaks: a default of RIGHT, changed by what MISTAKES says.
RIGHT = {
    "may": None, "factor": None, "counted": None, "sign": (-1, 1), "ex_sign": (-1, 1),
    "distance": lambda a, b, lips: math.dist(a, b), "share": lambda d, mean: math.exp(-d / mean),
    "count": True, "mean_of": "row", "alone": "row", "never": SHOWN, "anchor": "number",
    "self": "number", "frame": "number", "tables": (0, 1), "at_rest": 1.0}
OF_LABELS = {"factor", "counted", "sign", "share", "count", "mean_of", "at_rest"}  # not of "ex"


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)


MISTAKES = {
    "anchor its own positive": {"may": "own positive"},
    "anchor its own negative": {"may": "own negative"},
    "anchor both": {"may": "anchor both"},
    "anchor left out of the labels": {"may": "no anchor"},
    "positive of the same person": {"may": "same person"},
    "positive of anybody": {"may": "anybody"},
    "negatives of other people": {"may": "others' negatives"},
    "negatives of anybody": {"may": "anybody's negatives"},
    "alone, no positive": {"alone": "never"},
    "alone in all rows": {"alone": "all rows"},
    "alone by the first frame": {"alone": "first frame"},
    "anchor known by its distance": {"self": "distance"},
    "negatives share the factor": {"may": "same label"},
    "positive of another label": {"may": "other label"},
    "labels swapped": {"may": "labels swapped"},
    "every frame": {"may": "every frame"},
    "person for the factor": {"factor": "id"},
    "the factor counted too": {"counted": "all"},
    "albedo and light not counted": {"counted": "id"},
    "labels not counted": {"count": False},
    "easiest negatives": {"sign": (-1, -1)},
    "positive that shares much": {"sign": (1, 1)},
    "signs of the labels": {"sign": (1, -1)},
    "farthest positive": {"ex_sign": (1, 1)},
    "nearest negatives": {"ex_sign": (-1, -1)},
    "signs of the expression": {"ex_sign": (1, -1)},
    "expression not counted": {"share": lambda d, mean: 0.0},
    "distance not divided": {"share": lambda d, mean: math.exp(-d)},
    "distance for nearness": {"share": lambda d, mean: d / mean},
    "raw distance": {"share": lambda d, mean: -d},
    "one mean for all rows": {"mean_of": "table"},
    "mean of those that may be": {"mean_of": "allowed"},
    "largest for mean": {"mean_of": "largest"},
    "squared distance": {"distance": lambda a, b, lips: math.dist(a, b) ** 2},
    "sum of differences": {"distance": lambda a, b, lips: sum(abs(x - y) for x, y in zip(a, b))},
    "mean under the root": {"distance": lambda a, b, lips: math.dist(a, b) / math.sqrt(len(a))},
    "cosine distance": {"distance": lambda a, b, lips: 1 - cosine(a, b)},
    "whole face": {"distance": lambda a, b, lips: math.hypot(math.dist(a, b), math.dist(*lips))},
    "lips for the upper face": {"distance": lambda a, b, lips: math.dist(*lips)},
    "place for number": {"frame": "place"},
    "row for anchor": {"anchor": "row"},
    "first anchor for all": {"anchor": "first"},
    "0 for -inf": {"never": 0.0},
    "NaN for -inf": {"never": math.nan},
    "+inf for -inf": {"never": math.inf},
    "tables swapped": {"tables": (1, 0)},
    "0 / 0": {"at_rest": math.nan}}


def may_be(o, label, alone, a, f, name, d):
    """Whether frame f may be a positive, and a negative, of anchor a in a row of its own person.

    d: their distance.
    """
    same, may = label[name][f] == label[name][a], o.may
    if o.self == "distance" and name == "ex":
        return (same and d > 0 if alone else not same), same and d > 0
    if name != "ex":
        return {"same label": (same, same), "other label": (not same, not same),
                "labels swapped": (not same, same), "every frame": (True, True),
                "no anchor": (same and f != a, not same)}.get(may, (same, not same))
    positive = same and (f != a or may in ("own positive", "anchor both")) if alone else not same
    negative = same and (f != a or may in ("own negative", "anchor both"))
    positive = {"same person": same and f != a, "anybody": f != a}.get(may, positive)
    negative = {"others' negatives": not same, "anybody's negatives": f != a}.get(may, negative)
    return positive, negative


def tables(corpus, name, anchors, frames, known_distances, **options):
    """Both tables (A, m) with SHOWN for -inf; options: what a mistake changes in RIGHT.

    known_distances: those of this question that were found before, by the option that they need.
    """
    o = SimpleNamespace(**{**RIGHT, **options})
    taken = {"number": anchors, "row": range(len(anchors)), "first": [anchors[0]] * len(anchors)}
    numbers = [range(len(row)) for row in frames] if o.frame == "place" else frames
    pairs = [(int(a), [int(f) for f in row]) for a, row in zip(taken[o.anchor], numbers)]
    key = o.distance, o.anchor, o.frame
    if key not in known_distances:
        upper, lips = corpus.upper.tolist(), corpus.lips.tolist()
        known_distances[key] = [[o.distance(upper[a], upper[f], (lips[a], lips[f])) for f in row]
                                for a, row in pairs]
    away = known_distances[key]
    label = {other: values.tolist() for other, values in corpus.label.items()}
    alone = [all(label["id"][f] == label["id"][a] for f in row) for a, row in pairs]
    first = [label["id"][row[0]] == label["id"][a] for a, row in pairs]
    alone = {"row": alone, "never": [False] * len(pairs), "first frame": first,
             "all rows": [all(alone)] * len(pairs)}[o.alone]
    factor = "id" if name == "ex" else o.factor or name
    counted = [other for other in LABELS if o.counted == "all" or other != name]
    counted = ["id"] * ("id" in counted) if o.counted == "id" else counted
    out = np.full((2, *np.shape(frames)), o.never)
    for i, (a, row) in enumerate(pairs):
        may = [may_be(o, label | {"ex": label["id"], name: label[factor]}, alone[i], a, f, name,
                      d) for f, d in zip(row, away[i])]
        for table in (0, 1):
            among = {"row": away[i], "table": sum(away, []), "largest": [max(away[i])],
                     "allowed": [d for d, m in zip(away[i], may) if m[table]] or [0.0]}[o.mean_of]
            mean = sum(among) / len(among)
            for j, (f, d) in enumerate(zip(row, away[i])):
                if may[j][table] and name == "ex":
                    out[table, i, j] = o.ex_sign[table] * d
                elif may[j][table]:
                    part = o.share(d, mean) if mean > 0 else o.share(0.0, 1.0) * o.at_rest
                    labels = sum(label[other][f] == label[other][a] for other in counted)
                    out[table, i, j] = o.sign[table] * (o.count * labels + part)
    return out[list(o.tables)]


def some_frames(people, seed, count=40):
    """A stand-in corpus of `count` frames: their labels say nothing of one another."""
    rng = numpy_rng(seed)
    of = lambda n: rng.permutation(np.arange(count) % n)
    labels = {"id": of(people), "al": of(3), "ill": of(2)}
    return StandInCorpus(labels, rng.normal(size=(count, 66)).astype(np.float32) * 0.2,
                         rng.normal(size=(count, 40)).astype(np.float32) * 0.2)


def some_rows(corpus, seed, m=9, count=4):
    """Anchors (A,) and rows of frames (A, m): each holds its anchor, and one frame twice.

    The last row shows the anchor's person only. The first one begins with this person, too, the
    second with another.
    """
    rng, person = numpy_rng(seed), corpus.label["id"]
    anchors = rng.choice(np.arange(count, len(corpus)), count, replace=False)
    rows = []
    for number, a in enumerate(anchors):
        own = np.flatnonzero((person == person[a]) & (np.arange(len(person)) != a))
        other = np.flatnonzero(person != person[a])
        if number == count - 1 or not len(other):
            some = rng.choice(own, m - 2, replace=False)
        else:
            some = np.r_[rng.choice(own, 3, replace=False),
                         rng.choice(other, m - 5, replace=False)]
        first = min(len(some) - 1, {0: 0, 1: 4}.get(number, 0))
        rest = rng.permutation(np.r_[np.delete(some, first), some[:1], a])
        rows.append(np.r_[some[first], rest])
    return anchors, np.array(rows)


@exercise(
    "contrast", "hard", "positives and negatives, which teach the codes what to hold",
    task="This is how the extractor learns to tell one factor from the others. corpus.label maps "
         "\"id\", \"al\" and \"ill\" to arrays (F,) with a number for each frame of the corpus: "
         "its person, albedo and light. corpus.upper is (F, E), E numbers of each frame, already "
         "in fair units. (corpus.lips, the lips, is F_lip's business.) name is one of \"id\", "
         "\"ex\", \"al\", \"ill\". Return two float arrays (A, m), first how well each frame suits "
         "as the positive, then as a negative. A frame may stand in a row more than once.",
    hint="Begin with d (A, m) and with the three tables (A, m) \"has the anchor's label\". For the "
         "code in question, ask of each frame what the network could wrongly go by: a good pair "
         "leaves it nothing but the factor.",
    mistakes={
        "anchor its own positive": "A frame is always nearest to itself, and teaches nothing as "
                                   "its own positive: in \"ex\" leave the anchor out.",
        "anchor its own negative": "The anchor shows its own expression, so it is no negative of "
                                   "itself: in \"ex\" leave it out.",
        "anchor both": "In \"ex\" the anchor may be neither its own positive nor its own negative.",
        "anchor left out of the labels": "In \"id\", \"al\" and \"ill\" the anchor may stay: it "
                                         "shares most with itself, and so comes last by itself.",
        "positive of the same person": "The positive shows the same expression on another person: "
                                       "then the code cannot go by who it is.",
        "positive of anybody": "The positive of an expression is another person's; the same "
                               "person's is none, though it may be nearer.",
        "negatives of other people": "Negatives of an expression are the same person's: of other "
                                     "people the code could tell them by the face.",
        "negatives of anybody": "Negatives of an expression are the same person's only.",
        "alone, no positive": "A row that shows the anchor's person only has positives as well: "
                              "that person's nearest frames.",
        "alone in all rows": "Whether a row shows nobody else is a question to each row by "
                             "itself.",
        "alone by the first frame": "Whether a row shows nobody else is a question to all of its "
                                    "frames, not to the first.",
        "anchor known by its distance": "A face can stand still: another frame at the distance 0 "
                                        "is not the anchor. Compare the numbers of the frames.",
        "negatives share the factor": "A negative has another label than the anchor: these have "
                                      "the same one.",
        "positive of another label": "The positive has the anchor's label: these have another.",
        "labels swapped": "The positive has the anchor's label, a negative another; here it is the "
                          "other way round.",
        "every frame": "Positives must have the anchor's label, and negatives must not: -inf where "
                       "a frame may not be one.",
        "person for the factor": "For \"al\" and \"ill\" it is the label of that name that counts, "
                                 "not the person.",
        "the factor counted too": "What is shared is counted over the other two labels, without "
                                  "the factor itself.",
        "albedo and light not counted": "All of \"id\", \"al\" and \"ill\" but the factor are "
                                        "counted among what is shared.",
        "labels not counted": "Frames share labels, too: add the number of the other two that are "
                              "alike.",
        "easiest negatives": "Hard negatives share much with the anchor, these share little: the "
                             "network would tell them by something else than the factor.",
        "positive that shares much": "A positive shares the factor and as little else as can be: "
                                     "minus what is shared.",
        "signs of the labels": "Both signs are wrong: the positive shares little else, and "
                               "negatives share much.",
        "farthest positive": "The positive of an expression is the nearest in the upper face: -d.",
        "nearest negatives": "Negatives of an expression are the farther the better: d.",
        "signs of the expression": "Both signs are wrong: the positive of an expression is near, "
                                   "its negatives are far.",
        "expression not counted": "Among frames with equal labels the expression decides: "
                                  "exp(-d / mean d) is missing.",
        "distance not divided": "d is divided by the row's mean d, so that it does not depend on "
                                "the units of the face.",
        "distance for nearness": "Frames share more the smaller d is: exp(-d / mean d) falls "
                                 "with d.",
        "raw distance": "What is shared of the expression lies from 0 to 1, like one label; -d has "
                        "no bound and drowns them.",
        "one mean for all rows": "Each anchor's row has a mean d of its own.",
        "mean of those that may be": "The mean d is over all frames of the row, also those that "
                                     "may not be chosen.",
        "largest for mean": "d is divided by the row's mean, not by its largest.",
        "squared distance": "d is the distance itself, not its square.",
        "sum of differences": "d is the Euclidean distance: root of the sum of squares.",
        "mean under the root": "d is the root of the sum of squares, not of their mean.",
        "cosine distance": "d is the length of the difference, not an angle: a weak and a strong "
                           "smile have the same direction.",
        "whole face": "Only brows and eyes count (corpus.upper): the lips belong to F_lip, and a "
                      "vowel is no expression.",
        "lips for the upper face": "These are the lips; the expression is corpus.upper.",
        "place for number": "A frame goes by its number in the corpus, frames[i, j], not by its "
                            "place j in the row.",
        "row for anchor": "The anchor of row i is frame anchors[i], not frame i.",
        "first anchor for all": "Each row has an anchor of its own, all are compared with the "
                                "first.",
        "0 for -inf": "Where a frame may not be one stands -inf, which is less than any other; a "
                      "0 would be the best of the negative numbers.",
        "NaN for -inf": "Where a frame may not be one stands -inf; NaN is neither less nor more "
                        "than anything.",
        "+inf for -inf": "The largest is chosen: a frame that may not be one gets -inf, not inf.",
        "tables swapped": "The table of the positive comes first, then that of the negatives.",
        "0 / 0": "Where all frames of a row have the anchor's upper face, d / mean d is 0 / 0; "
                 "what is shared of the expression is 1 there."})
def contrast(suitability):
    crowd, clip, still = some_frames(4, 40), some_frames(1, 41), some_frames(3, 42)
    still.upper[:] = 0
    questions = [("four people", crowd, name, 43) for name in ("ex", "id", "al", "ill")]
    questions += [("a clip of one person", clip, "ex", 44),
                  ("frames that do not move", still, "ill", 45),
                  ("frames that do not move", still, "ex", 46)]
    for what, corpus, name, seed in questions:
        anchors, frames = some_rows(corpus, seed)
        found = {}
        want = tables(corpus, name, anchors, frames, found)
        known = {mistake: want if name == "ex" and set(options) <= OF_LABELS
                 else tables(corpus, name, anchors, frames, found, **options)
                 for mistake, options in MISTAKES.items()
                 if mistake != "cosine distance" or corpus is not still}  # no angle: 0 / 0

        def part(number):
            answer = suitability(corpus, name, anchors, frames)
            if not isinstance(answer, (tuple, list, np.ndarray)) or len(answer) != 2:
                raise NoAnswer("it does not return two tables, of the positive and of negatives")
            table = np.asarray(answer[number], float)
            return np.where(np.isneginf(table), SHOWN, table)

        for number, role in enumerate(("positive", "negative")):
            yield Probe(f"\"{name}\", {what}: how well row i's frame j suits as {role}, "
                        f"{SHOWN:g} for -inf", lambda: part(number), want[number],
                        {m: answer[number] for m, answer in known.items()}, tolerance=1e-4)
