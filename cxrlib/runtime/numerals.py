"""Numbers as text for people."""

import math
import re

MINUS = "\N{MINUS SIGN}"
"""The sign of a negative number where people read it; files and programs keep the hyphen."""


def number_text(value: float, digits: int, sign: str = "-") -> str:
    """A number with a true minus sign, and no sign before zeros; empty for NaN.

    Args:
        value: the number.
        digits: after the decimal point.
        sign: "+" puts a sign before positive numbers too.

    >>> number_text(-0.0004, 3), number_text(-0.04, 2), number_text(float("nan"), 1)
    ('0.000', '−0.04', '')
    """
    return "" if math.isnan(value) else signed(f"{value:{sign}.{digits}f}")


def signed(text: str) -> str:
    """A formatted number with a true minus sign, and no sign before zeros.

    >>> signed("-0.00"), signed("-1,200"), signed("+0.5")
    ('0.00', '−1,200', '+0.5')
    """
    return re.sub(r"^[+-](?=[0.,]+$)", "", text).replace("-", MINUS)
