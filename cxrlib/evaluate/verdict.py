"""The verdict: for each finding and method a light per question, green, red or grey, from numbers against controls.

A check is the mean gain of a score over its control, in pairs, with its 95 % interval over patients. Its light is green
where the whole interval lies above zero, red where the whole interval lies below zero, and grey elsewhere. A gain that
is the same in every case has no resampled interval; from FEWEST cases on its sign decides. A light that rests on
several checks is red where one of them is red, green where all are green, and grey elsewhere. Nothing sums
the lights of a method up: a red light stays seen.

Where the cause is known, the measures themselves are tried. One that is unfit there turns no light green. It turns one
red only where the known cause is above what stands for the check's control: elsewhere the truth would be red too.
"""

import math
from dataclasses import dataclass

import pandas as pd

from cxrlib.evaluate.bootstrap import ALL, FEWEST
from cxrlib.evaluate.trusted_measures import UNFIT, fitness, not_surpassed

GREEN, RED, GREY = "green", "red", "grey"


COLUMNS = ["class_name", "method", "light", "verdict", "number", "control", "low", "high", "n"]
COLUMNS += ["measure_on_truth", "because"]


NOT_TRIED = "not tried"
"""Of a check that has no measure of maps, or of a run in which the cause is not known."""


KNOWN_CAUSE = "true"
"""The light that asks for the known cause, which only rendered radiographs have."""


MANY = 10_000
"""Cases that nobody would collect to decide a light."""


@dataclass(frozen=True)
class Check:
    """What a light asks of a table of `beside_controls`.

    Attributes:
        light: e.g. "points".
        table: name of the table, e.g. "localisation".
        measure, control: which rows of it.
        words: what the number is, for the sentence of the verdict, e.g. "average precision".
        against: what the control is, e.g. "that of a random map".
        cases: what n counts.
        asked_by: what would measure it where a method has no row, e.g. the name of a parameter.
        on_truth: name of the measure in the table of measures on the true cause; "" where it is not among them.
        stands_for: the control of that table that knows as much as the check's own.
    """

    light: str
    table: str
    measure: str
    control: str
    words: str
    against: str
    cases: str = ""
    asked_by: str = ""
    on_truth: str = ""
    stands_for: str = ""


def verdict_table(
    rule: list[Check],
    tables: dict[str, pd.DataFrame],
    classes: list[str],
    methods: list[str],
    measures: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """A row for every finding, method and light: its colour, the number behind it, and why.

    Args:
        rule: the checks; the lights stand in their order.
        tables: name -> table of `beside_controls`. One that is absent or has no row for a finding or method gives grey
            lights. A row whose class_name or method is missing holds for all of them. A column `missing` says why cases
            of a row have no number.
        classes, methods: findings and methods, in the order of the result.
        measures: gains of the true cause over maps that know less, by measure and control; None where it is not known.

    Returns:
        COLUMNS. number and control are the score and its control's, low and high the interval of their difference;
        where several checks stand behind a light, those of the check that decides it: the red one, else the grey one,
        else the one with the least lower bound. measure_on_truth: whether its measure is fit, open or unfit where the
        cause is known, or NOT_TRIED.

    >>> rule = [Check("points", "localisation", "energy", "random", "the energy inside", "a random map's")]
    >>> row = {"method": "CAM", "measure": "energy", "control": "random", "class_name": "Mass", "ours": 0.5}
    >>> row |= {"control_score": 0.25, "gain": 0.25, "gain_low": 0.125, "gain_high": 0.375, "n": 20}
    >>> table = verdict_table(rule, {"localisation": pd.DataFrame([row])}, ["Mass"], ["CAM"])
    >>> table[["light", "verdict", "because"]].iloc[0].tolist()
    ['points', 'green', "the energy inside is above a random map's"]
    """
    trusted = {} if measures is None else fitness(measures, ALL).to_dict()
    above = {} if measures is None else not_surpassed(measures, ALL)
    rows = []
    for class_name in classes:
        for method in methods:
            for light in dict.fromkeys(check.light for check in rule):
                checks = [check for check in rule if check.light == light]
                found = [
                    _judged(check, tables, class_name, method, trusted.get(check.on_truth), above.get(check.on_truth))
                    for check in checks
                ]
                rows.append((class_name, method, light, *_deciding(found)))
    return pd.DataFrame(rows, columns=COLUMNS)


def colour_of(gain_low: float, gain_high: float) -> str:
    """GREEN where the interval of the gain lies above zero, RED where it lies below, else GREY; also without interval.

    >>> colour_of(0.1, 0.3), colour_of(-0.3, -0.1), colour_of(-0.1, 0.3), colour_of(float("nan"), float("nan"))
    ('green', 'red', 'grey', 'grey')
    """
    return GREEN if gain_low > 0 else RED if gain_high < 0 else GREY


def cases_to_decide(gain: float, gain_low: float, gain_high: float, n: int) -> float:
    """How many cases more would make the interval exclude zero if the gain stayed what it is.

        n (h / |gain|)^2 - n

    h is the distance from the gain to the bound on the other side of zero; it shrinks with the root of the cases.

    Args:
        gain, gain_low, gain_high: the mean gain and its interval.
        n: cases behind it.

    Returns:
        A whole number; infinite for a gain of zero, NaN without an interval.

    The interval reaches twice as far as the gain, so that four times the cases are needed:

    >>> cases_to_decide(0.1, -0.1, 0.3, 10)
    30.0
    """
    if math.isnan(gain_low):
        return math.nan
    if gain == 0:
        return math.inf
    reach = gain - gain_low if gain > 0 else gain_high - gain
    return float(max(1, math.ceil(round(n * (reach / gain) ** 2 - n, 6))))


def asked(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the lights that this run asks: all but KNOWN_CAUSE where no cause is known, as on real data.

    Args:
        table: from `verdict_table`.

    >>> rows = [("points", 0.5), ("true", float("nan"))]
    >>> asked(pd.DataFrame(rows, columns=["light", "number"]))["light"].tolist()
    ['points']
    """
    of_cause = table["light"] == KNOWN_CAUSE
    return table[~of_cause] if table.loc[of_cause, "number"].isna().all() else table


def limits(table: pd.DataFrame) -> list[str]:
    """A sentence for each of the lights that can be green for no map of this run.

    Args:
        table: from `verdict_table`.

    >>> rows = [("points", "fit"), ("matters", "unfit")]
    >>> limits(pd.DataFrame(rows, columns=["light", "measure_on_truth"]))
    ['No map can be green for matters here: its measure is unfit where the cause is known.']
    """
    unfit = (table["measure_on_truth"] == UNFIT).groupby(table["light"], sort=False).all()
    return [
        f"No map can be green for {name} here: its measure is unfit where the cause is known."
        for name in unfit.index[unfit]
    ]


def answers(table: pd.DataFrame, method: str) -> list[str]:
    """One sentence per finding: whether a method's map may be relied on, and which lights speak against it.

    Args:
        table: from `verdict_table`; the lights of `asked` count.
        method: whose lights are read.

    >>> rows = [("Mass", "CAM", "points", "green", 0.5), ("Mass", "CAM", "matters", "red", 0.1)]
    >>> answers(pd.DataFrame(rows, columns=["class_name", "method", "light", "verdict", "number"]), "CAM")
    ['Mass: do not rely on the map (red: matters).']
    """
    said, table = [], asked(table)
    for name, rows in table[table["method"] == method].groupby("class_name", sort=False):
        lights = {colour: rows.loc[rows["verdict"] == colour, "light"].tolist() for colour in (RED, GREY)}
        if lights[RED]:
            said.append(f"{name}: do not rely on the map (red: {', '.join(lights[RED])}).")
        elif lights[GREY]:
            said.append(f"{name}: nothing speaks against the map, but not decided: {', '.join(lights[GREY])}.")
        else:
            said.append(f"{name}: the map may be relied on; every light is green.")
    return said


def headline(table: pd.DataFrame, method: str) -> str:
    """The answer: for how many findings a method passes every check that is `asked`, and for how many it fails one.

    >>> rows = [("Mass", "CAM", "points", "green"), ("ILD", "CAM", "points", "red"), ("Cyst", "CAM", "points", "grey")]
    >>> table = pd.DataFrame(rows, columns=["class_name", "method", "light", "verdict"])
    >>> headline(table.assign(number=0.5), "CAM")
    'CAM may be relied on for 1 of 3 findings (Mass), fails a check for 1, and is undecided for 1.'
    """
    table = asked(table)
    of_finding = table[table["method"] == method].groupby("class_name", sort=False)["verdict"].agg(set)
    relied = of_finding.index[[verdicts == {GREEN} for verdicts in of_finding]].tolist()
    fails = sum(RED in verdicts for verdicts in of_finding)
    named = f" ({', '.join(relied)})" if relied else ""
    undecided = len(of_finding) - len(relied) - fails
    return (
        f"{method} may be relied on for {len(relied)} of {len(of_finding)} findings{named}, fails a check for {fails}, "
        f"and is undecided for {undecided}."
    )


def _judged(
    check: Check,
    tables: dict[str, pd.DataFrame],
    class_name: str,
    method: str,
    trusted: str | None,
    above: list[str] | None,
) -> tuple:
    """verdict, number, control, low, high, n, measure_on_truth and because of one check.

    `above` are the controls that the true cause does not surpass by this measure.
    """
    tried, nothing = trusted or NOT_TRIED, (math.nan,) * 4
    none = f"{check.words}: not measured here" + (f" ({check.asked_by})" if check.asked_by else "")
    table = tables.get(check.table)
    if table is None:
        return GREY, *nothing, 0, tried, none
    rows = table[(table["measure"] == check.measure) & (table["control"] == check.control)]
    for column, wanted in (("class_name", class_name), ("method", method)):
        rows = rows[(rows[column] == wanted) | rows[column].isna()]
    if rows.empty:
        return GREY, *nothing, 0, tried, none
    row = rows.iloc[0]
    gain, low, high, n = row["gain"], row["gain_low"], row["gain_high"], int(row["n"])
    patients = int(row.get("patients", n))
    if math.isnan(low) and patients >= FEWEST and gain != 0:  # the same for every patient
        low = high = gain
    colour, missing = colour_of(low, high), row.get("missing")
    if patients < FEWEST:
        because = _too_few(check, n, patients, missing if isinstance(missing, str) else "")
    else:
        because = _because(check, colour, gain, low, high, n, trusted == UNFIT)
    if trusted == UNFIT and patients >= FEWEST:
        colour, because = _by_unfit(check, colour, because, above or [])
    return colour, row["ours"], row["control_score"], low, high, n, tried, because


def _too_few(check: Check, n: int, patients: int, missing: str) -> str:
    counted = f"{n} {'case' if n == 1 else 'cases'}" + (f" ({check.cases})" if check.cases else "")
    if n >= FEWEST:
        counted += f" of {patients} {'patient' if patients == 1 else 'patients'}"
    return f"{check.words}: {counted}; an interval needs {FEWEST}" + (f"; {missing}" if missing else "")


def _because(check: Check, colour: str, gain: float, low: float, high: float, n: int, unfit: bool) -> str:
    """Why a check has its colour; for grey, what would decide it, if more cases can."""
    if colour != GREY:
        return f"{check.words} is {'above' if colour == GREEN else 'below'} {check.against}"
    more = cases_to_decide(gain, low, high, n)
    if math.isnan(more):
        return f"{check.words}: no gain in any case, so there is no interval"
    beside = f"{check.words} may be above or below {check.against}"
    if unfit:
        return beside
    if more > MANY:
        return f"{beside}; more than {MANY:,} more cases would be needed to decide it"
    return f"{beside}; about {more:,.0f} more {'case' if more == 1 else 'cases'} would decide it at this gain"


def _by_unfit(check: Check, colour: str, because: str, above: list[str]) -> tuple[str, str]:
    """The colour and the reason where the measure is unfit: never green, red only where the cause would not be."""
    if colour == RED and check.stands_for not in above:
        return RED, f"{because}; the measure is unfit, but the known cause itself is above a {check.stands_for}"
    known = f"does not score the known cause above the {' or the '.join(above)}"
    return GREY, f"{because}, but on the phantom this measure {known}, so it decides nothing"


def _deciding(found: list[tuple]) -> tuple:
    """Of several checks the one that decides the light: the first red one, the first grey one, or the weakest."""
    for colour in (RED, GREY):
        for judged in found:
            if judged[0] == colour:
                return judged
    return min(found, key=lambda judged: judged[3])
