"""Formulas become MathML that a browser shows without help."""

import xml.etree.ElementTree as ElementTree

import pytest

from course_utils.runs.mathml import formula_html, strip_delimiters


@pytest.mark.parametrize(
    "latex",
    [
        r"\mathrm{FL}(p_t) = -\alpha_t (1 - p_t)^\gamma \log p_t",
        r"\frac{1}{N} \sum_{i=1}^N \begin{cases} a & b \\ c & d \end{cases}",
        r"\begin{aligned} a &= b \\ c &= d \end{aligned}",
        r"\operatorname{softmax}(z)_c = \frac{e^{z_c}}{\sum_k e^{z_k}}",
        r"\hat y, \mathbf{x}, \lVert x \rVert_2, \mathbb{R}^{H \times W}, a < b \text{ if } c > d",
    ],
)
def test_formulas_of_the_course_give_well_formed_mathml(latex: str) -> None:
    element = ElementTree.fromstring(formula_html(latex, display=True))
    assert element.get("alttext") == latex
    assert element.get("display") == "block"
    assert "\\" not in "".join(element.itertext())


@pytest.mark.parametrize("latex", [r"\nonsense{x}", r"\begin{tikz} a & b \end{tikz}"])
def test_what_cannot_be_translated_is_an_error(latex: str) -> None:
    with pytest.raises(ValueError, match="cannot be translated"):
        formula_html(latex, display=False)


@pytest.mark.parametrize(
    ("text", "formula", "display"),
    [("$x$", "x", False), ("$$x$$", "x", True), (r"\(x\)", "x", False), (r"\[x\]", "x", True)],
)
def test_delimiters_say_whether_a_formula_stands_alone(
    text: str, formula: str, display: bool
) -> None:
    assert strip_delimiters(text) == (formula, display)
