"""Tables of the thesis's values, this run's values with their intervals, and controls."""

import inspect
from collections.abc import Callable

import numpy as np
import pandas as pd
from IPython.display import Markdown

from cxrlib.data.cohort import Cohort
from cxrlib.data.split import SPLITS, split_sizes
from cxrlib.evaluate.bootstrap import in_words, interval, mean_samples
from cxrlib.evaluate.boxes import with_union
from cxrlib.evaluate.classification import auroc_samples, f1_of_counts, f1_samples
from cxrlib.evaluate.localisation import SCORES
from cxrlib.evaluate.readers import AGREEMENT, by_image
from cxrlib.thesis.reported import thesis_values

SMALL_GAIN = 0.05
"""A gain of mean IoU that is too small to matter."""


FEWEST_IMAGES = 20
"""Images that two readers must have in common for their agreement to have an interval."""


def source_table(function: Callable) -> pd.DataFrame:
    """The source text of a function, a line per row: column code."""
    return pd.DataFrame({"code": inspect.getsource(function).splitlines()})


def as_code(source: pd.DataFrame) -> Markdown:
    """The lines of `source_table` as a notebook shows Python code: as typed, in colours."""
    return Markdown("\n".join(["```python", *source["code"], "```"]))


def split_counts(
    real: pd.DataFrame, cohort: Cohort, valid_share: float, test_share: float, weights: pd.DataFrame
) -> pd.DataFrame:
    """Table 2: studies per split and per label.

    Args:
        real: 0/1 labels of all real studies, image_id by class.
        cohort: the run's cohort.
        valid_share, test_share: fractions of the studies; give the split sizes of the real annotations.
        weights: resamples of the real studies, from `study_weights`.

    Returns:
        Indexed by split or label: thesis, real_annotations, difference, low and high (interval of the real count),
        this_run. A value is missing where a data set lacks the label. Split sizes are fixed, so they have no interval.
    """
    thesis = thesis_values("table_02").set_index("row")["value"]
    labels = [name for name in thesis.index if name in real]
    kept = real.loc[real[labels].any(axis=1), labels]
    sizes = split_sizes(len(kept), valid_share, test_share)
    low, high = interval(weights[real.index].to_numpy() @ real[labels].to_numpy(np.float32))
    own = cohort.labels.loc[[image_id for split in SPLITS for image_id in cohort.of(split)], cohort.explained].sum()
    table = pd.DataFrame(
        {
            "thesis": thesis,
            "real_annotations": {name.capitalize(): size for name, size in sizes.items()} | kept.sum().to_dict(),
            "low": dict(zip(labels, low.round(), strict=True)),
            "high": dict(zip(labels, high.round(), strict=True)),
            "this_run": {split.capitalize(): len(cohort.of(split)) for split in SPLITS} | own.to_dict(),
        }
    ).astype("Int64")
    table.insert(2, "difference", table["real_annotations"] - table["thesis"])
    return table.reindex(list(dict.fromkeys([*thesis.index, *own.index]))).rename_axis("row")


def f1_table(results: dict[str, tuple[pd.DataFrame, pd.DataFrame]], weights: pd.DataFrame) -> pd.DataFrame:
    """Table 3: F1 of every experiment and label beside the thesis's.

    Args:
        results: experiment -> labels and probabilities, image_id by class.
        weights: resamples by image_id of every test study, from `study_weights`.

    Returns:
        Indexed by experiment and label: thesis (missing where the thesis has no such row), ours, difference, low, high,
        n (positive studies).
    """
    parts = {}
    for experiment, (labels, probabilities) in results.items():
        samples = f1_samples(labels, probabilities, weights[labels.index].to_numpy())
        counts = [*labels.sum(), labels.to_numpy().sum()]
        parts[experiment] = scores_with_interval(samples, [*labels, "micro avg"], counts)
    thesis = thesis_values("table_03").rename(columns={"group": "experiment", "row": "label", "value": "thesis"})
    names = thesis["experiment"].replace({"whole dataset": "all labels"}).str.replace("classes", "labels")
    thesis = thesis.assign(experiment=names).set_index(["experiment", "label"])["thesis"]
    return beside_thesis(pd.concat(parts, names=["experiment", "label"]), thesis)


def auroc_table(labels: pd.DataFrame, probabilities: pd.DataFrame, weights: pd.DataFrame) -> pd.DataFrame:
    """AUROC of each label and their mean: ours, low, high, n; the thesis reports 0.93 to 0.99."""
    samples = auroc_samples(labels, probabilities, weights[labels.index].to_numpy())
    samples = np.column_stack([samples, np.nanmean(samples, axis=1)])
    table = scores_with_interval(samples, [*labels, "macro avg"], [*labels.sum(), labels.to_numpy().sum()])
    return table.rename_axis("label")


def iou_table(
    scores: pd.DataFrame,
    chance: pd.DataFrame,
    thesis: pd.DataFrame,
    classes: list[str],
    weights: pd.DataFrame,
    union: str,
) -> pd.DataFrame:
    """Table 6: mean IoU over all pairs per share and class, beside the thesis and a random heatmap.

    Args:
        scores, chance: from `score_maps`, of the same cases.
        thesis: share by class.
        classes: rows of the table, also those without a case.
        weights: resamples by image_id.
        union: as in `pairwise_iou`.

    Returns:
        Indexed by share and class_name: thesis, ours, difference, low, high, n (findings), random_heatmap, gain (mean
        over cases of ours - random heatmap), gain_low, gain_high.
    """
    name = with_union("all_pairs", union)
    ours, random = (by_class(frame, [name], classes, weights) for frame in (scores, chance))
    gain = by_class(scores.assign(**{name: scores[name] - chance[name]}), [name], classes, weights)
    index = ["share", "class_name"]
    ours, random, gain = (frame.set_index(index).drop(columns="protocol") for frame in (ours, random, gain))
    table = beside_thesis(ours, thesis.stack(future_stack=True).rename("thesis"))
    extra = gain.rename(columns={"ours": "gain", "low": "gain_low", "high": "gain_high"}).drop(columns="n")
    return table.assign(random_heatmap=random["ours"]).join(extra)


def best_of_each_finding(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `iou_table` at each finding's best share of pixels, highest mean first; share and class_name are
    columns. A finding without a case has no row."""
    known = table.dropna(subset="ours").reset_index().sort_values("ours", ascending=False, kind="stable")
    return known.drop_duplicates("class_name", ignore_index=True)


def best_sentences(table: pd.DataFrame, readers: pd.Series) -> list[str]:
    """Whether the heatmap points at each finding, at its best share of pixels, and what two readers reach.

    It points at a finding where the interval of its gain over a random heatmap lies above zero.

    Args:
        table: from `iou_table`.
        readers: mean IoU of two readers by class; a class may be absent.

    Returns:
        One sentence per finding that has a case.
    """
    lines = []
    for _, row in best_of_each_finding(table).iterrows():
        if np.isnan(row.gain_low):
            said = "too few cases to tell"
        else:
            said = "points there" if row.gain_low > 0 else "points elsewhere" if row.gain_high < 0 else "not certain"
        beside = f"random {row.random_heatmap:.3f}"
        if row.class_name in readers:
            beside += f", two radiologists {readers[row.class_name]:.3f}"
        lines.append(f"{row.class_name}: {said}; {in_words(row, 3)} at top {row.share:.0%}, {beside} (n = {row.n})")
    return lines


def probe_table(
    probe: pd.DataFrame,
    usual: pd.DataFrame,
    ours: pd.DataFrame,
    learned_from: pd.Series,
    weights: pd.DataFrame,
    union: str,
) -> pd.DataFrame:
    """Mean IoU over all pairs of the probe's maps, beside Grad-CAM and the place where a finding usually lies.

    Args:
        probe, usual, ours: from `score_maps`, of the same cases and shares: the probe's maps, the usual place and
            Grad-CAM's.
        learned_from: training studies with a box, by class; its classes are the rows of the table.
        weights: resamples by image_id.
        union: as in `pairwise_iou`.

    Returns:
        Indexed by share and class_name: ours (the probe), low, high, n (findings), gain, gain_low, gain_high (mean over
        cases of probe - Grad-CAM), usual_place, beyond, beyond_low, beyond_high (mean over cases of probe - usual
        place), learned_from. Grad-CAM and the usual place have their own best share of pixels for each class.
    """
    name, index, classes = with_union("all_pairs", union), ["share", "class_name"], learned_from.index.tolist()

    def means(scores: pd.DataFrame) -> pd.DataFrame:
        return by_class(scores, [name], classes, weights).drop(columns="protocol").set_index(index)

    table = means(probe)
    for other, column in ((ours, "gain"), (usual, "beyond")):
        best = best_of_each_finding(means(other)).set_index("class_name")
        kept = other[other["share"] == other["class_name"].map(best["share"])].set_index(["image_id", "class_name"])
        cases = pd.MultiIndex.from_frame(probe[["image_id", "class_name"]])
        more = means(probe.assign(**{name: probe[name] - kept[name].reindex(cases).to_numpy()})).drop(columns="n")
        if column == "beyond":
            table = table.join(best["ours"].rename("usual_place"), on="class_name")
        table = table.join(more.rename(columns={"ours": column, "low": f"{column}_low", "high": f"{column}_high"}))
    return table.join(learned_from.rename("learned_from"), on="class_name")


def whose_miss(table: pd.DataFrame) -> list[str]:
    """For each finding, at the probe's best share: whether a miss of Grad-CAM is rather the method's or the network's.

    It is rather the method's where the probe surpasses both Grad-CAM and the usual place: the features know the place
    in this image, and Grad-CAM does not show it. A score surpasses another where the interval of the gain lies above
    zero. It is rather the network's where the interval of the gain over Grad-CAM lies below SMALL_GAIN: the features
    know hardly more than Grad-CAM shows. Elsewhere the question stays open: the gain may be zero or large, or the usual
    place alone explains it.

    Args:
        table: from `probe_table`.

    Returns:
        One sentence per finding that has a case.
    """
    lines = []
    for _, row in best_of_each_finding(table).iterrows():
        gain, beyond = (
            in_words(row[[name, f"{name}_low", f"{name}_high"]].set_axis(["ours", "low", "high"]), 3)
            for name in ("gain", "beyond")
        )
        if not row["learned_from"]:
            verdict = "no training study has a box, so there is nothing to learn from"
        elif np.isnan(row["gain_low"]):
            verdict = "nothing can be said"
        elif row["gain_high"] < SMALL_GAIN:
            verdict = "a miss is rather the network's"
        elif row["gain_low"] <= 0:
            verdict = "open, since the gain over Grad-CAM may be zero"
        elif row["beyond_low"] > 0:
            verdict = "a miss is rather the method's"
        else:
            verdict = "open, since the usual place alone may score as much"
        lines.append(f"{row['class_name']}: gain over Grad-CAM {gain}, over the usual place {beyond}: {verdict}")
    return lines


def one_radiograph_table(
    single: pd.DataFrame, all_cases: pd.DataFrame, thesis: pd.DataFrame, score: str
) -> pd.DataFrame:
    """Table 5: scores of one radiograph, beside the thesis's own radiograph and the run's others.

    One radiograph has no bootstrap interval; the range of 95 % of the other radiographs is shown beside it.

    Args:
        single: from `score_maps`, of one image.
        all_cases: from `score_maps`, of the run's correctly predicted findings.
        thesis: share by class.
        score: column of `score_maps`.

    Returns:
        Indexed by share and class_name: thesis, ours, difference, range_low, range_high (2.5 and 97.5 % of the cases),
        n (cases).
    """
    index = ["share", "class_name"]
    table = single.set_index(index)[[score]].rename(columns={score: "ours"})
    table = table.join(thesis.stack(future_stack=True).rename("thesis"))
    groups = all_cases.groupby(index)[score]
    for name, quantile in (("range_low", 0.025), ("range_high", 0.975)):
        table[name] = groups.quantile(quantile).reindex(table.index)
    table["n"] = groups.size().reindex(table.index, fill_value=0)
    table["difference"] = table["ours"] - table["thesis"]
    return table[["thesis", "ours", "difference", "range_low", "range_high", "n"]].sort_index(
        level="share", kind="stable"
    )


def protocol_table(scores: pd.DataFrame, classes: list[str], weights: pd.DataFrame) -> pd.DataFrame:
    """Every protocol's mean per share and class: protocol, share, class_name, ours, low, high, n."""
    return by_class(scores, SCORES, classes, weights)


def best_shares(protocols: pd.DataFrame) -> pd.DataFrame:
    """Each protocol and class at its best share of pixels: the rows of `protocol_table` with the highest mean."""
    order = protocols.sort_values("ours", ascending=False, kind="stable", na_position="last")
    return order.drop_duplicates(["protocol", "class_name"]).sort_index().reset_index(drop=True)


def by_class(scores: pd.DataFrame, protocols: list[str], classes: list[str], weights: pd.DataFrame) -> pd.DataFrame:
    """Mean and interval of case scores per protocol, share and class; NaN and n = 0 where a class has no case.

    Args:
        scores: image_id, class_name, share and one column per protocol.
        protocols: those columns.
        classes: in the order of the result.
        weights: resamples by image_id.
    """
    parts = []
    for class_name in classes:
        cases = scores[scores["class_name"] == class_name]
        for share, same in cases.groupby("share") if len(cases) else [(s, cases) for s in scores["share"].unique()]:
            samples = mean_samples(same[protocols], same["image_id"], weights)
            part = scores_with_interval(samples, protocols, [len(same)] * len(protocols)).rename_axis("protocol")
            parts.append(part.reset_index().assign(share=share, class_name=class_name))
    if not parts:
        return pd.DataFrame(columns=["protocol", "share", "class_name", "ours", "low", "high", "n"])
    table = pd.concat(parts, ignore_index=True)[["protocol", "share", "class_name", "ours", "low", "high", "n"]]
    return table.sort_values(["protocol", "share"], kind="stable", ignore_index=True)


def own_drops(cases: pd.DataFrame, classes: list[str], weights: pd.DataFrame) -> pd.DataFrame:
    """Figure 32's thick lines: how far the probability of a heatmap's own class falls when its top pixels are replaced.

    Args:
        cases: from `cxrlib.evaluate.perturbation.named_drops`.
        classes: class names.
        weights: resamples by image_id.

    Returns:
        transform, share, class_name, ours (mean fall of the probability), low, high, n (images).
    """
    predicted = ((name, cases[cases["heatmap_class"] == name]) for name in classes)
    own = pd.concat([part.assign(class_name=name, drop=part[name]) for name, part in predicted], ignore_index=True)
    wide = own.pivot(index=["image_id", "class_name", "share"], columns="transform", values="drop").reset_index()
    transforms = cases["transform"].unique().tolist()
    return by_class(wide, transforms, classes, weights).rename(columns={"protocol": "transform"})


def reader_table(agreement: pd.DataFrame, weights: pd.DataFrame) -> pd.DataFrame:
    """Agreement between radiologists: finding by protocol, mean over images.

    Args:
        agreement: from `reader_agreement`.
        weights: resamples by image_id.

    Returns:
        class_name, protocol, ours, low, high, n (images with two or more readers).
    """
    table = by_class(by_image(agreement).assign(share=0), AGREEMENT, sorted(agreement["class_name"].unique()), weights)
    return table.drop(columns="share").sort_values(["class_name", "protocol"], ignore_index=True)


def reader_pairs(agreement: pd.DataFrame, weights: pd.DataFrame) -> pd.DataFrame:
    """Mean agreement of every pair of readers and finding.

    Args:
        agreement: from `reader_agreement`.
        weights: resamples by image_id.

    Returns:
        class_name, first, second, the scores, n (images), low and high (interval of all_pairs where n reaches
        FEWEST_IMAGES).
    """
    key = ["class_name", "first", "second"]
    groups = agreement.groupby(key)
    table = groups[AGREEMENT].mean().assign(n=groups.size(), low=np.nan, high=np.nan)
    for pair in table.index[table["n"] >= FEWEST_IMAGES]:
        cases = groups.get_group(pair)
        samples = mean_samples(cases[["all_pairs"]], cases["image_id"], weights)
        table.loc[pair, ["low", "high"]] = np.ravel(interval(samples, [len(cases)]))
    return table.reset_index()


def reader_f1(outcomes: pd.DataFrame, weights: pd.DataFrame) -> pd.DataFrame:
    """F1 of a reader's labels against the other readers' labels: label, ours, low, high, n (positive readings).

    Args:
        outcomes: from `label_outcomes`.
        weights: resamples by image_id.
    """
    counts = [outcomes[name].to_numpy() for name in ("hits", "positives", "guesses")]
    samples = f1_of_counts(*counts, weights[outcomes.index].to_numpy())
    positives = outcomes["positives"].sum()
    return scores_with_interval(samples, [*positives.index, "micro avg"], [*positives, positives.sum()])


def scores_with_interval(samples: np.ndarray, names: list[str], counts: list[int]) -> pd.DataFrame:
    """Scores with their intervals: indexed by label: ours, low, high (NaN where there is no interval), n.

    Args:
        samples: (1 + resamples, names), first the score itself.
        names: of the columns.
        counts: n of each.
    """
    low, high = interval(samples, counts)
    columns = {"ours": samples[0], "low": low, "high": high, "n": np.asarray(counts, int)}
    return pd.DataFrame(columns, index=pd.Index(names, name="label"))


def beside_thesis(ours: pd.DataFrame, thesis: pd.Series) -> pd.DataFrame:
    """Columns thesis, ours, difference, low, high, n; thesis is missing where it reports no such row."""
    table = ours.join(thesis.rename("thesis"))
    table["difference"] = table["ours"] - table["thesis"]
    return table[["thesis", "ours", "difference", "low", "high", "n"]]
