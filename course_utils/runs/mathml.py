r"""Formulas for pages that must render without the internet: LaTeX to MathML.

Browsers draw MathML themselves, so a page needs no script and no font from elsewhere.
"""

import html
import re

from latex2mathml.converter import convert

_DOLLARS = re.compile(r"^\s*(\$\$?|\\\[|\\\()(.*?)(\$\$?|\\\]|\\\))\s*$", re.DOTALL)
_SAME_AS = {"aligned": "split", "align": "align*", "equation": "equation*", "gathered": "gather*"}


def formula_html(latex: str, *, display: bool) -> str:
    r"""Return a LaTeX formula (without its dollar signs) as a MathML element.

    `display` sets it on a line of its own. The LaTeX stays readable in the element's `alttext`.

    Raises:
        ValueError: for what cannot be translated.

    Example:
        >>> formula_html("x^2", display=False)[:5]
        '<math'
    """
    source = latex.strip()
    for name, same in _SAME_AS.items():
        source = re.sub(rf"\\(begin|end){{{name}}}", rf"\\\1{{{same}}}", source)
    try:
        element = convert(source, display="block" if display else "inline")
    except Exception as error:  # its errors share no base class
        raise ValueError(f"the formula {latex!r} cannot be translated: {error!r}") from error
    left_over = re.search(r">\s*(\\\w+|&)\s*<", element)
    if left_over:
        raise ValueError(
            f"the formula {latex!r} holds {left_over[1]!r}, which cannot be translated: "
            "write it with plainer LaTeX"
        )
    element = _space_operators(_align_columns(element))
    label = html.escape(latex.strip(), quote=True).replace("\n", " ")
    return element.replace("<math ", f'<math alttext="{label}" ', 1)


def strip_delimiters(latex: str) -> tuple[str, bool]:
    r"""Split `$$x$$` into `x` and whether it asks for a line of its own.

    Example:
        >>> strip_delimiters("$x$")
        ('x', False)
        >>> strip_delimiters(r"\\begin{align} x &= 1 \\end{align}")[1]
        True
    """
    found = _DOLLARS.match(latex)
    if not found:
        return latex.strip(), True
    return found[2].strip(), found[1] in ("$$", r"\[")


def _align_columns(element: str) -> str:
    """Say with CSS what browsers no longer read from the attributes of MathML tables."""
    tight = "padding-left:0;padding-right:0;" if 'columnspacing="0em' in element else ""
    return re.sub(r'<mtd columnalign="(\w+)"', rf'<mtd style="{tight}text-align:\1"', element)


def _space_operators(element: str) -> str:
    """Set a sign close to its number, and a named function apart from what it is applied to."""
    opens = "&#x0003D;|&#x00028;|&#x0005B;|&#x0007B;|&#x0002C;"
    element = re.sub(
        rf"(<mo[^>]*>(?:{opens})</mo>)<mo>(&#x02212;)</mo>", r'\1<mo form="prefix">\2</mo>', element
    )
    names = "log|ln|exp|sin|cos|tan|max|min"
    return re.sub(
        rf"(<m[io]>(?:{names})</m[io]>)(?=<m[ins])", r'\1<mspace width="0.167em"/>', element
    )
