"""test_registry.py - every equation has a function, a test, a section of tutorial.md and an exercise, under the names
that registry.py gives; the README's table is the registry's.
"""
import ast
import functools
import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from classroom import registry, stubs
from classroom.registry import LINKS, SECTIONS, link_of, readme_table, table_in
from tools.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT / "tutorial.md"


def names_in(tree):
    """Every name that a piece of code uses: variables, attributes, imports, and the strings of its parameters."""
    return {getattr(n, "id", None) or getattr(n, "attr", None) for n in ast.walk(tree)}


@functools.cache
def marked_tests(marker):
    """Syntax trees of all tests that carry a marker, by decorator or for their whole file."""
    found = []
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        tree = ast.parse(path.read_text())
        whole = any(isinstance(n, ast.Assign) and n.targets[0].id == "pytestmark" and marker in names_in(n)
                    for n in tree.body if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name))
        tests = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
        found += [t for t in tests if whole or any(marker in names_in(d) for d in t.decorator_list)]
    return found


def function_fault(link):
    if not hasattr(importlib.import_module(link.module), link.name):
        return f"{link.module} has no {link.name}"


def test_fault(link):
    name = link.name
    if ".py" in link.test:
        file, *option = link.test.split()
        path = ROOT / "tests" / file
        if not path.is_file():
            return f"there is no tests/{file}"
        if file == "test_exercises.py":
            return None if option == ["-k", link.exercise] else f"test_exercises.py wants -k {link.exercise}"
        return None if name in names_in(ast.parse(path.read_text())) else f"tests/{file} never calls {name}"
    if f"{link.test}:" not in (ROOT / "pytest.ini").read_text():
        return f"pytest.ini has no marker {link.test}"
    if not any(name in names_in(test) for test in marked_tests(link.test)):
        return f"no test with the marker {link.test} calls {name}"


test_fault.__test__ = False  # not a test itself


def exercise_fault(link):
    if link.exercise is None:
        return None
    if link.exercise not in stubs.EXERCISES:
        return f"questions/ has no {link.exercise}"
    number = link.paper.removeprefix("Eq. ")
    if link.paper.startswith("Eq.") and link.exercise.split("_")[0] != f"eq{number}":
        return f"exercise {link.exercise} belongs to another equation than {link.paper}"


def section_fault(link, tutorial):
    """`tutorial` is the text of tutorial.md: the section must be there and name function and exercise."""
    if link.section not in SECTIONS or f"\n## {link.section}\n" not in tutorial:
        return f"tutorial.md has no section '## {link.section}'"
    text = tutorial.split(f"\n## {link.section}\n")[1].split("\n## ")[0]
    missing = [w for w in (link.name, link.exercise) if w and w not in text]
    return f"section '{link.section}' of tutorial.md does not name {missing}" if missing else None


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.function)
def test_function_test_and_exercise_are_where_the_registry_says(link):
    faults = [fault for check in (function_fault, test_fault, exercise_fault) if (fault := check(link))]
    assert not faults, f"registry.py, {link.paper}: {'; '.join(faults)}"
    assert link.formula and link.section in SECTIONS


def test_every_equation_has_a_function_a_test_a_section_and_an_exercise():
    for number in range(1, 10):
        rows = [link for link in LINKS if link.paper == f"Eq. {number}"]
        assert rows and any(link.exercise for link in rows), f"Eq. {number} has no exercise in registry.py"
        assert all(link.test == f"eq{number}" for link in rows), f"Eq. {number}: its marker is eq{number}"
    named = [link.exercise for link in LINKS if link.exercise]
    assert sorted(named) == sorted(stubs.EXERCISES), "registry.py and questions/ name different exercises"
    assert len({link.function for link in LINKS}) == len(LINKS), "a function stands twice in registry.py"


@pytest.mark.parametrize("check, change, complaint", [
    (function_fault, {"function": "losses.info_nse"}, "losses has no info_nse"),
    (test_fault, {"function": "losses.load_vgg"}, "no test with the marker eq8 calls load_vgg"),
    (test_fault, {"test": "eq11"}, "pytest.ini has no marker eq11"),
    (test_fault, {"test": "test_nothing.py"}, "there is no tests/test_nothing.py"),
    (test_fault, {"test": "test_media.py"}, "never calls info_nce"),
    (exercise_fault, {"exercise": "eq88"}, "questions/ has no eq88"),
    (exercise_fault, {"exercise": "eq7"}, "belongs to another equation")])
def test_a_broken_link_is_seen(check, change, complaint):
    assert complaint in check(replace(link_of("eq8"), **change))


# --------------------------------------------------------------------------------------------------- tutorial

def test_sections_are_in_the_order_of_the_paper():
    numbers = [section.split()[0] for section in SECTIONS]
    assert numbers == sorted(numbers) and (numbers[0], numbers[-1]) == ("3.1", "4.6")


def test_a_section_must_name_function_and_exercise():
    link = link_of("eq8")
    good = f"# Title\n\n## {link.section}\n\n`losses.info_nce`, exercise `eq8`\n\n## Next\n"
    assert section_fault(link, good) is None
    assert "does not name ['info_nce']" in section_fault(link, good.replace("info_nce", "the loss"))
    assert "has no section" in section_fault(link, good.replace("## 3.4", "### 3.4"))
    elsewhere = good.replace("exercise `eq8`", "") + "`eq8`\n"
    assert "does not name ['eq8']" in section_fault(link, elsewhere)


def test_tutorial_has_every_section_in_order_and_each_names_its_functions_and_exercises():
    text = TUTORIAL.read_text()
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert [h for h in headings if h in SECTIONS] == list(SECTIONS), "tutorial.md: its sections are not registry's"
    faults = [fault for link in LINKS if (fault := section_fault(link, text))]
    assert not faults, "\n".join(faults)


# ----------------------------------------------------------------------------------------------------- README

def test_readme_table_is_the_registrys():
    assert table_in((ROOT / "README.md").read_text()) == readme_table(), \
        "README.md's table is old: run python -m classroom.registry"


def test_readme_without_markers_is_a_clear_error():
    for text in ("no table", f"{registry.END} {registry.BEGIN}", registry.BEGIN):
        with pytest.raises(InputError, match="put the lines <!-- equations --> and <!-- /equations -->"):
            table_in(text)


def test_the_table_is_written_between_the_markers_only(tmp_path, monkeypatch, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{registry.BEGIN}\nold\n{registry.END}\n\nafter\n")
    monkeypatch.setattr(registry, "README", readme)
    assert registry.main() == 0
    assert readme.read_text() == f"before\n\n{readme_table()}\n\nafter\n"
    rows = readme_table().splitlines()
    assert rows[0] == registry.BEGIN and rows[-1] == registry.END and len(rows) == len(LINKS) + 4
    section = "[3.4](tutorial.md#34-lip-sync-module-eq-8-9)"
    line = (ROOT / "losses.py").read_text().split("\ndef info_nce(")[0].count("\n") + 2
    assert f"| Eq. 8 | L_lips | [`losses.info_nce`](losses.py#L{line}) | `pytest -m eq8` | {section} | `eq8` |" in rows
    assert all(row.count("|") == 7 for row in rows[1:-1])
