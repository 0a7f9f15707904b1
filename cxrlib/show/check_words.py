"""What the checks of notebook 10 say of each method, in words."""

import pandas as pd

from cxrlib.evaluate.bootstrap import ALL


def checks_in_words(verdicts: pd.DataFrame) -> list[str]:
    """Yes, no or not decided for each method: no where a check failed, yes where all were passed.

    Args:
        verdicts: from `with_verdicts`; the means of findings count.

    >>> rows = [("CAM", "seeds", "pass"), ("CAM", "noise", "pass"), ("LRP", "seeds", "fail"), ("LRP", "noise", "open")]
    >>> verdicts = pd.DataFrame(rows, columns=["method", "measure", "verdict"]).assign(class_name=ALL)
    >>> print(*checks_in_words(verdicts), sep=chr(10))
    CAM: yes, 2 of 2 checks passed
    LRP: no, 1 of 2 checks failed: seeds
    """
    lines = []
    for name, rows in verdicts[verdicts["class_name"] == ALL].groupby("method", sort=False):
        failed, passed = rows.loc[rows["verdict"] == "fail", "measure"], (rows["verdict"] == "pass").sum()
        if len(failed):
            lines.append(f"{name}: no, {len(failed)} of {len(rows)} checks failed: {'; '.join(failed)}")
        else:
            said = "yes" if passed == len(rows) else "not decided"
            lines.append(f"{name}: {said}, {passed} of {len(rows)} checks passed")
    return lines
