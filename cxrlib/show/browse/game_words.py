"""What the game says: its head, the scores of a case and of all cases so far, and the closing sentences."""

from html import escape

import pandas as pd

from cxrlib.evaluate.drawn_box import CHANCE, DRAWN, READERS, by_luck
from cxrlib.show.browse.browsed import GRADCAM

SURE = 0.05
"""What luck alone would do more rarely than this is not called luck."""


NAMES = {DRAWN: "you", READERS: "radiologists, mean", CHANCE: "chance (a box of your size)"}


def head(rendered: bool) -> str:
    """HTML above the game: what the radiographs are, and the rules, which unfold."""
    kind = "Rendered, not clinical." if rendered else "Research use only, not for diagnosis."
    rules = [
        "Draw one box around the finding that is named, with the mouse or a finger, or by keys: arrows move it, shift "
        "and arrows change its size, enter scores it and goes on.",
        "IoU is the area that two boxes share, divided by the area that they cover together: 1 for the same box, 0 for "
        "no overlap. Your score is its mean over the radiologists who boxed the finding.",
        "A radiologist is scored beside the others, Grad-CAM by the boxes around its strongest pixels, and chance by a "
        "box of your size at every place of the picture.",
        "The studies are of the test split: the network has not learned from them.",
    ]
    points = "".join(f"<li>{rule}</li>" for rule in rules)
    return (
        f"<div class=cxr-head><strong>{kind}</strong><details><summary>Rules</summary><ul>{points}</ul></details></div>"
    )


def score_table(scores: list[dict[str, float]]) -> str:
    """HTML of the last case's scores, the best first, beside the mean over all cases so far.

    Args:
        scores: of each case, from `score_drawn`.
    """
    if not scores:
        return ""
    means, last = pd.DataFrame(scores).mean(), pd.Series(scores[-1])
    rows = []
    for name in last.sort_values(ascending=False, kind="stable").index:
        own = " class=cxr-chosen" if name == DRAWN else ""
        said = f"<th scope=row>{escape(NAMES.get(name, name))}</th>"
        rows.append(f"<tr{own}>{said}<td>{last[name]:.2f}</td><td>{means[name]:.2f}</td></tr>")
    heads = "".join(f"<th scope=col>{text}</th>" for text in ("", "this case", "so far"))
    caption = f"IoU with radiologists, {counted(len(scores))}"
    return f"<table class=cxr-numbers><caption>{caption}</caption><tr>{heads}</tr>{''.join(rows)}</table>"


def closing(scores: list[dict[str, float]]) -> str:
    """The result of a game in plain text.

    Args:
        scores: of each case, from `score_drawn`.
    """
    table = pd.DataFrame(scores)
    means = table.mean()
    said = [f"After {counted(len(table))} you share {means[DRAWN]:.2f} (IoU) with the radiologists' boxes"]
    among = [f"they share {means[READERS]:.2f} with each other"] if READERS in means else []
    among += [f"{GRADCAM} shares {means[GRADCAM]:.2f}", f"a random box of your size {means[CHANCE]:.2f}"]
    sentences = [f"{said[0]}; {', '.join(among)}.", beaten(table[DRAWN], table[GRADCAM])]
    if READERS in table:
        both = table.dropna(subset=[READERS])
        if both[DRAWN].mean() < both[READERS].mean():
            sentences.append("The radiologists agree with each other more than you do with them.")
        else:
            sentences.append("You agree with the radiologists at least as well as they do with each other.")
    return " ".join(sentences)


def beaten(own: pd.Series, heatmap: pd.Series) -> str:
    """Who came closer on more cases, and whether luck alone would do that too."""
    wins, losses = int((own > heatmap).sum()), int((own < heatmap).sum())
    luck = by_luck(own, heatmap)
    count = f"You came closer than {GRADCAM} on {wins} of {counted(len(own))}"
    if luck >= SURE:
        return f"{count}: so few cases do not tell who points better."
    who = "You beat the heatmap" if wins > losses else "The heatmap beat you"
    return f"{who}. {count}; luck alone would hardly do that."


def counted(number: int) -> str:
    """A number of cases.

    >>> counted(1), counted(10)
    ('1 case', '10 cases')
    """
    return f"{number} case{'s' * (number != 1)}"
