"""Whether two LaTeX expressions are the same answer."""

import time

import pytest

from mar.tasks.scoring.expressions import compare


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\frac{1}{2}", "0.5"),
        (r"\dfrac12", r"\frac{1}{2}"),
        ("x^2-1", "(x-1)(x+1)"),
        ("(1, 2)", r"\left(1,2\right)"),
        ("1,000", "1000"),
        (r"11,\! 111", "11111"),
        (r"-\frac{1}{2}", r"\frac{-1}{2}"),
        (r"\text{Evelyn}", "Evelyn"),
        (r"\text{(C)}", "C"),
        (r"\text{13}", "13"),
        ("2\\sqrt{3}", "\\sqrt{12}"),
        ("2.5", r"2\frac{1}{2}"),
        (r"\frac{1}{3}", r"0.\overline{3}"),
        (r"\frac{1}{12}", "0.0833333333333333"),
        ("1500", "1.5e3"),
        ("2", r"\text{two}"),
        ("-5", "\u22125"),
        (r"6\text{ cm}", "6"),
        (r"864 \mbox{ inches}^2", r"864 \text{ square inches}"),
        (r"90^\circ", "90"),
        (r"50\%", "0.5"),
        (r"50\%", "50"),
        ("x=5", "5"),
        (r"x \in [2,5)", "[2,5)"),
        ("x<3", r"(-\infty, 3)"),
        ("(0, 12.5)", "0 < x < 12.5"),
        (r"(-\infty,3)\cup(3,\infty)", r"x \neq 3"),
        ("-1,2", r"2 \text{ and } -1"),
        (r"\{1,2\}", r"\{2,1\}"),
        (r"1 \pm \sqrt{2}", r"1-\sqrt{2}, 1+\sqrt{2}"),
        (r"\begin{pmatrix} -2 \\ 7 \end{pmatrix}", r"\begin{pmatrix}-2\\7\end{pmatrix}"),
        ("34x+45y=100", "-34x-45y+100=0"),
        ("y=2x+3", "y=3+2x"),
        (r"\emptyset", r"\varnothing"),
        (r"\frac{\pi}{2}", "pi/2"),
        ("e^{16}-1", "exp(16)-1"),
        ("6", r"\boxed{\boxed{6}}"),
        (r"3\sqrt{13}", r"= 3\sqrt{13}."),
    ],
)
def test_equal_expressions(gold, answer):
    assert compare(gold, answer) == "equal"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("1", "2"),
        ("(1,2)", "[1,2]"),
        ("[0,1)", "[0,1]"),
        ("(0,1)", "(1,0)"),
        ("(1,2)", r"\{1,2\}"),
        ("1,2", "1"),
        ("1,1,2", "1,2"),
        ("x+1", "x-1"),
        (r"\text{A}", r"\text{B}"),
        ("52_8", "52_9"),
        ("52_8", "52"),
        ("2s", "2"),
        ("n", "N"),
        (r"\pi r^2", r"\pi R^2"),
        (r"5 \text{ cm}", r"5 \text{ m}"),
        (r"864 \mbox{ inches}^2", r"864 \mbox{ inches}^3"),
        ("11111111100", "11111111101"),
        ("33.3", r"\frac{100}{3}"),
        ("0.0000001", "0.0000002"),
        ("0.5", "50"),
        ("5", r"\ge 5"),
        (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"),
        (r"\frac{1}{2004!}", r"\frac{1}{2006!}"),
        ("10", "4 10/3"),
        ("2", "2 2/3"),
        ("4", r"4\sqrt(2)"),
        (r"\frac{x^2}{4}+\frac{y^2}{3}=1", r"\frac{x^2}{16}+\frac{y^2}{12}=1"),
        ("f(x) = 0", r"\forall x>0, f(x) = 0"),
    ],
)
def test_different_expressions(gold, answer):
    assert compare(gold, answer) == "different"


@pytest.mark.parametrize(
    "hostile",
    [
        "9^{9^{9^{9}}}",
        "10^{10^{10}}",
        "{" * 300,
        r"\frac{" * 100,
        "9" * 100_000,
        "\x00",
        "(" * 2_000,
        "1e99",
        "," * 3_000,
    ],
)
def test_a_hostile_answer_neither_hangs_nor_counts(hostile):
    began = time.monotonic()
    assert compare("2", hostile) != "equal"
    assert time.monotonic() - began < 20


def test_long_texts_are_compared_quickly():
    began = time.monotonic()
    for part in ("\\frac{1}{", "\\left(", " ", "1,", "{", "\\text{", "\\cup ", "<", "= ", "\\ ", "a b "):
        compare("2", part * (4_000 // len(part)))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("|x|", "x", False),
        ("|x-1|", "|1-x|", True),
        (r"\lfloor x \rfloor", "1", False),
        ("x'", "x", False),
        (r"\sin 30^\circ", r"\frac12", True),
        (r"\sin 20^\circ", r"\sin 20", False),
        (r"\sum_{k=1}^{3} k", "6", True),
        (r"\sum_{k=1}^{3} k", "7", False),
        (r"x \le 2 \text{ or } x \ge 3", r"(-\infty, 2] \cup [3, \infty)", True),
        (r"x < 2 \text{ or } x > 3", r"(-\infty, 2] \cup [3, \infty)", False),
        (r"\{x \mid x > 3\}", r"(3, \infty)", True),
        (r"x \in \mathbb{R}", r"(-\infty, \infty)", True),
        ("(x, y) = (3, 4)", "(3,4)", True),
        ("(x, y) = (3, 4)", "(4,3)", False),
        ("D = (0, 1)", "(0, 1)", True),
        ("D = (0, 1)", "E = (0, 1)", False),
        ("f(3) = 5", "5", True),
        (r"1010_2", r"1010_{\text{two}}", True),
        (r"{5 \choose 2}", "10", True),
        (r"\langle 1, 2 \rangle", "(1, 2)", True),
        (r"5 \text{ ft}", r"5 \text{ feet}", True),
        (r"5 \text{ sq. ft}", r"5 \text{ ft}", False),
        (r"\text{ellipse}", r"\text{an ellipse}", True),
        (r"\sqrt{2}", "√2", True),
        ("x^2+1", "x²+1", True),
        (r"\frac12", "½", True),
    ],
)
def test_ways_of_writing_one_value_and_signs_that_make_another(gold, answer, same):
    assert compare(gold, answer) == ("equal" if same else "different")


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("3", r"k \equiv 3 \pmod 7", True),
        ("3", "k ≡ 3 (mod 7)", True),
        ("3", r"3 \bmod 7", True),
        ("3", r"3\ (\text{mod } 7)", True),
        ("3", r"3 \text{ (mod 7)}", True),
        ("3", r"17 \equiv 3 \pmod{7}", True),
        (r"3 \pmod{7}", "3", True),  # who asks knows the modulus
        (r"k \equiv 3 \pmod{7}", r"k \equiv 10 \pmod{7}", True),
        (r"3 \pmod{7}", r"-4 \pmod 7", True),
        (r"3 \pmod{7}", r"3 \pmod{5}", False),
        (r"k \equiv 3 \pmod{7}", r"x \equiv 3 \pmod{7}", False),
        ("10", r"k \equiv 3 \pmod 7", False),  # 10 is congruent, but 3 is what was said
        ("7", r"3 \pmod 7", False),
        (r"3 \pmod{7}", "10", False),
        (r"3 \pmod{0}", r"4 \pmod{0}", False),
        ("3", "[3]", True),
        ("3", "[4]", False),
    ],
)
def test_a_residue_is_its_value_and_may_leave_its_modulus_out(gold, answer, same):
    assert (compare(gold, answer) == "equal") is same
