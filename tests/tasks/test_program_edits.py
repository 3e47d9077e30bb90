"""Edits of programs: they differ, they are the same for the same seed, and a special case pleases its test only."""

import ast
import math

import pytest

from mar.tasks.program_edits import special_cased, wrong_programs

REFERENCE = "def clamp(x, low, high):\n    if x < low:\n        return low\n    return high if x > high else x"
NOTHING = "def f(*args):\n    return None"


def test_edits_are_programs_that_differ_from_the_reference_and_each_other():
    programs = wrong_programs(REFERENCE, "seed")
    forms = [ast.dump(ast.parse(p)) for p in programs]
    # two comparisons, one condition, two return values, and the stub
    assert len(set(forms)) == len(forms) == 6
    assert ast.dump(ast.parse(REFERENCE)) not in forms


def test_edits_are_the_same_for_the_same_seed_only():
    assert wrong_programs(REFERENCE, "a") == wrong_programs(REFERENCE, "a")
    assert wrong_programs(REFERENCE, "a") != wrong_programs(REFERENCE, "b")


def test_a_program_without_a_place_to_edit_still_has_a_wrong_form():
    (stub,) = wrong_programs("def f(x):\n    pass\n\nclass C:\n    pass", "s")
    assert stub == "def f(*args, **kwargs):\n    return None\n\ndef C(*args, **kwargs):\n    return None"


@pytest.mark.parametrize(
    ("test", "args", "result"),
    [
        ("assert f(1, [2]) == 'a'", (1, [2]), "a"),
        ("assert (f(1) == (2,)), 'wrong'", (1,), (2,)),
        ("assert f(1) is None", (1,), None),
        ("assert f() == {}", (), {}),
        ("assert set(f(1)) == {2}", (1,), {2}),
        ("assert sorted(list(f(1))) == [2]", (1,), [2]),
        ("assert math.isclose(f(1), 0.5, rel_tol=0.1)", (1,), 0.5),
        ("assert not f(1)", (1,), False),
        ("assert f(1)", (1,), True),
    ],
)
def test_a_special_case_gives_the_result_of_its_test(test, args, result):
    scope = {"math": math}
    exec(special_cased(NOTHING, [test]), scope)
    assert scope["f"](*args) == result
    assert scope["f"]("another") is None
    exec(test, scope)


def test_every_test_gets_its_case():
    scope = {}
    exec(special_cased(NOTHING, ["assert f(1) == 2", "assert f(3) == 4"]), scope)
    assert [scope["f"](x) for x in (1, 2, 3)] == [2, None, 4]


@pytest.mark.parametrize(
    "tests",
    [
        [],
        ["x = f(1)\nassert x == 2"],
        ["assert f(1) < 2"],
        ["assert f(x=1) == 2"],
        ["assert f(1)[0] == 2"],
        ["assert f(1) == 2", "assert g(1) == 2"],
        ["assert f(1) == 2", "assert 1 + f(1) == 3"],
    ],
)
def test_a_test_that_is_no_call_with_its_result_has_no_special_case(tests):
    assert special_cased(NOTHING, tests) is None
