"""The rendered radiographs: boxes, findings, files, and that labels cannot be read from anything but the findings."""

import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxrlib.data.annotations import public_annotations_path
from cxrlib.data.images import read_grey
from cxrlib.data.render import studies as studies_module
from cxrlib.data.render.anatomy import sample_anatomy
from cxrlib.data.render.anchors import TYPICAL, anchors_of, complete_anchors, find_donors
from cxrlib.data.render.dicom_file import dicom_dataset, stored_values
from cxrlib.data.render.findings import DRAWERS, Box
from cxrlib.data.render.frame import BOX_COLUMNS, boxes_as_fractions, estimate_frames, fractions_to_pixels
from cxrlib.data.render.lesions import find_lesions
from cxrlib.data.render.patient import DRAWING_ORDER, ORGANS, sample_patient
from cxrlib.data.render.radiograph import render_radiograph
from cxrlib.data.render.studies import cohort_fingerprint, draw_studies, render_cohort, render_study, study_seed
from cxrlib.runtime.errors import Refusal

LABELS = [
    "Aortic enlargement",
    "Cardiomegaly",
    "Lung Opacity",
    "Pleural effusion",
    "Pleural thickening",
    "Pulmonary fibrosis",
    "No finding",
]
LEAK = 0.70  # an AUC from here on counts as a shortcut
WORKERS = 2
N_STUDIES = 120


@pytest.fixture(scope="module")
def annotations() -> pd.DataFrame:
    return pd.read_csv(public_annotations_path())


@pytest.fixture(scope="module")
def fractions(annotations) -> pd.DataFrame:
    return boxes_as_fractions(annotations)


@pytest.fixture(scope="module")
def cohort(annotations, tmp_path_factory) -> Path:
    return render_cohort(
        annotations, tmp_path_factory.mktemp("cohort") / "demo", N_STUDIES, 0.3, seed=4, workers=WORKERS
    )


def boxes_of(*rows: tuple) -> pd.DataFrame:
    """Boxes from (class_name, rad_id, x_min, y_min, x_max, y_max)."""
    return pd.DataFrame(rows, columns=["class_name", "rad_id", *BOX_COLUMNS])


# Frames and lesions


def test_every_box_of_every_study_lies_in_its_frame(annotations, fractions):
    corners = fractions[BOX_COLUMNS].to_numpy()
    assert len(corners) == annotations["x_min"].notna().sum()
    assert corners.min() >= 0 and corners.max() < 1
    assert (corners[:, 2:] > corners[:, :2]).all()


@pytest.mark.parametrize("rows, cols", [(400, 400), (504, 431)])
def test_boxes_stay_in_the_image_and_keep_two_pixels(fractions, rows, cols):
    boxes = fractions_to_pixels(fractions[BOX_COLUMNS].to_numpy(), rows, cols)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= [cols, rows]).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 2).all()


def test_a_box_at_the_very_corner_keeps_two_pixels():
    corner = np.array([[0.999, 0.999, 1.0, 1.0], [0.0, 0.0, 0.001, 0.001]])
    assert fractions_to_pixels(corner, 100, 80).tolist() == [[78, 98, 80, 100], [0, 0, 2, 2]]


def test_frames_place_knob_and_heart_alike(annotations, fractions):
    frames = estimate_frames(annotations)
    assert len(frames) == annotations["image_id"].nunique()
    assert frames["width"].between(1700, 3500).all() and frames["height"].between(1700, 3500).all()
    x = fractions[["x_min", "x_max"]].mean(axis=1)
    knob = fractions["class_name"] == "Aortic enlargement"
    heart = fractions["class_name"] == "Cardiomegaly"
    assert x[knob].median() == pytest.approx(0.555, abs=0.02)
    assert x[heart].std() < 0.05


def test_overlapping_boxes_of_one_finding_are_one_lesion():
    lesions = find_lesions(
        boxes_of(
            ("Nodule/Mass", "R1", 0.1, 0.1, 0.2, 0.2),
            ("Nodule/Mass", "R2", 0.1, 0.1, 0.2, 0.3),
            ("Nodule/Mass", "R1", 0.6, 0.6, 0.7, 0.7),
            ("Nodule/Mass", "R1", 0.6, 0.6, 0.7, 0.7),  # twice by the same reader
            ("Calcification", "R1", 0.1, 0.1, 0.2, 0.2),
        )
    )
    assert [(lesion.finding, lesion.readers) for lesion in lesions] == [
        ("Calcification", 1),
        ("Nodule/Mass", 2),
        ("Nodule/Mass", 1),
    ]
    assert lesions[1].box == pytest.approx([0.1, 0.1, 0.2, 0.25])


# Findings


EXAMPLES = {
    "Aortic enlargement": (0.50, 0.265, 0.62, 0.385),
    "Cardiomegaly": (0.32, 0.52, 0.82, 0.68),
    "Lung Opacity": (0.22, 0.35, 0.36, 0.50),
    "Consolidation": (0.22, 0.35, 0.36, 0.50),
    "Infiltration": (0.22, 0.35, 0.36, 0.50),
    "Atelectasis": (0.22, 0.40, 0.38, 0.50),
    "Pleural effusion": (0.12, 0.56, 0.26, 0.70),
    "Pleural thickening": (0.22, 0.14, 0.40, 0.22),
    "Pulmonary fibrosis": (0.22, 0.35, 0.36, 0.50),
    "ILD": (0.20, 0.30, 0.38, 0.58),
    "Nodule/Mass": (0.25, 0.40, 0.31, 0.46),
    "Calcification": (0.25, 0.40, 0.30, 0.45),
    "Other lesion": (0.25, 0.40, 0.35, 0.50),
}


@pytest.mark.parametrize("finding", EXAMPLES)
def test_a_finding_brightens_its_box_and_little_else(finding):
    box = EXAMPLES[finding]
    boxes = boxes_of(*((finding, f"R{i}", *box) for i in (1, 2, 3)))
    donor = complete_anchors(anchors_of(boxes), TYPICAL)  # so that the healthy chest has the same anatomy
    inside, outside = [], []
    for seed in range(2):
        pixels, pixel_boxes = render_radiograph(boxes, seed, [donor])
        healthy, _ = render_radiograph(boxes.iloc[:0], seed, [donor])
        change = (pixels.astype(float) - healthy) / 65535
        left, top, right, bottom = pixel_boxes[0].astype(int)
        inside.append(change[top:bottom, left:right].mean())
        masked = np.ones(change.shape, bool)
        masked[top:bottom, left:right] = False
        outside.append(np.abs(change[masked]).mean())
    assert np.mean(inside) > 0.01
    assert np.mean(inside) > 2 * np.mean(outside)


@pytest.mark.parametrize("finding", DRAWERS)
def test_a_lesion_fades_towards_the_sides_of_its_box(finding):
    """A box whose sides can be seen would show a network where a reader drew."""
    shape, neutral = (70, 60), {"air_kept": 1, "markings_kept": 1}
    box = Box(np.ones(shape, np.float32), np.tile(np.linspace(30, 0, 60, dtype=np.float32), (70, 1)))
    tiny = Box(np.ones((2, 3), np.float32), np.ones((2, 3), np.float32))
    DRAWERS[finding](tiny, 1.0, 1, np.random.default_rng(0))  # the smallest box that there is can be drawn, too
    for seed in range(5):
        effect = vars(DRAWERS[finding](box, 1.0, 1, np.random.default_rng(seed)))
        layers = [np.abs(layer - neutral.get(name, 0)) for name, layer in effect.items() if layer is not None]
        assert max(layer.max() for layer in layers) > 0.05
        for layer in layers:
            assert layer[0].max() < 0.1 and layer[:, 0].max() < 0.1  # above and inwards
            if finding != "Pleural effusion":  # fluid lies on the diaphragm
                assert layer[-1].max() < 0.1


def test_an_enlarged_aorta_is_a_bulge_as_dense_as_its_surroundings():
    box = EXAMPLES["Aortic enlargement"]
    for seed in range(6):
        patient = sample_patient(boxes_of(*(("Aortic enlargement", f"R{i}", *box) for i in (1, 2, 3))), seed)
        pixels, twin = patient.pixels() / 257, patient.having([]).pixels() / 257
        left, top, right, bottom = fractions_to_pixels(np.array([box]), *pixels.shape)[0].astype(int)
        knob = pixels[top:bottom, left:right]
        mediastinum = pixels[bottom : 2 * bottom - top, 2 * left - right : left]
        assert np.quantile(knob, 0.95) < np.quantile(mediastinum, 0.95) + 12
        change = (pixels - twin)[top:bottom, left:right].mean(axis=0)
        third = len(change) // 3
        assert change[-third:].mean() > 2 * change[:third].mean()  # outwards: inwards it runs into the mediastinum


def test_a_pneumothorax_is_dark():
    boxes = boxes_of(*(("Pneumothorax", f"R{i}", 0.13, 0.20, 0.34, 0.60) for i in (1, 2, 3)))
    donor = complete_anchors(anchors_of(boxes), TYPICAL)
    pixels, pixel_boxes = render_radiograph(boxes, 1, [donor])
    healthy, _ = render_radiograph(boxes.iloc[:0], 1, [donor])
    left, top, right, bottom = pixel_boxes[0].astype(int)
    window = (slice(top, bottom), slice(left, right))
    assert pixels[window].mean() < healthy[window].mean()


def test_all_findings_of_the_data_can_be_drawn(annotations):
    assert {*DRAWERS, *ORGANS} == set(DRAWING_ORDER) == set(annotations["class_name"]) - {"No finding"}


def test_more_readers_make_a_plainer_lesion():
    box = EXAMPLES["Lung Opacity"]
    means = []
    for readers in (1, 3):
        boxes = boxes_of(*(("Lung Opacity", f"R{i}", *box) for i in range(readers)))
        rendered = [render_radiograph(boxes, seed) for seed in range(4)]
        means.append(np.mean([p[int(b[0, 1]) : int(b[0, 3]), int(b[0, 0]) : int(b[0, 2])].mean() for p, b in rendered]))
    assert means[1] > means[0]


# Cohorts


def test_draws_the_wanted_numbers_of_real_rows(annotations):
    studies = draw_studies(annotations, 50, 0.3, seed=1)
    assert studies["image_id"].nunique() == 50
    assert studies.loc[studies["class_name"] == "No finding", "image_id"].nunique() == 15
    pd.testing.assert_frame_equal(studies, draw_studies(annotations, 50, 0.3, seed=1))
    assert set(studies["image_id"]) != set(draw_studies(annotations, 50, 0.3, seed=2)["image_id"])
    shuffled = annotations.sample(frac=1, random_state=0)
    assert set(studies["image_id"]) == set(draw_studies(shuffled, 50, 0.3, seed=1)["image_id"])
    original = annotations[annotations["image_id"].isin(studies["image_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(studies, original)


@pytest.mark.parametrize(
    ("n_studies", "share", "error", "message"),
    [
        (20_000, 0.3, Refusal, "data.n_studies: 14000 studies with findings wanted, the annotations hold .*; lower it"),
        (10, 1.2, ValueError, "no_finding_share"),
        (10, -0.1, ValueError, "no_finding_share"),
    ],
)
def test_refuses_what_it_cannot_draw(annotations, n_studies, share, error, message):
    with pytest.raises(error, match=message):
        draw_studies(annotations, n_studies, share, seed=0)


@pytest.mark.slow
def test_the_cohort_has_kaggles_layout(cohort, annotations):
    table = pd.read_csv(cohort / "train.csv")
    assert list(table.columns) == list(annotations.columns)
    files = {path.name.removesuffix(".dicom") for path in (cohort / "train").iterdir()}
    assert files == set(table["image_id"])
    drawn = draw_studies(annotations, N_STUDIES, 0.3, seed=4)
    same = [column for column in table.columns if column not in BOX_COLUMNS]
    pd.testing.assert_frame_equal(table[same], drawn[same])
    for image_id in files:
        assert read_grey(cohort / "train" / f"{image_id}.dicom").any()  # none is set aside as blank
    for image_id, rows in table.dropna().groupby("image_id"):
        header = pydicom.dcmread(cohort / "train" / f"{image_id}.dicom", stop_before_pixels=True)
        assert (rows[["x_min", "y_min"]] >= 0).all(axis=None)
        assert (rows["x_max"] <= header.Columns).all() and (rows["y_max"] <= header.Rows).all()
        assert (rows["x_max"] - rows["x_min"] >= 2).all() and (rows["y_max"] - rows["y_min"] >= 2).all()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes_and_runs_resume(annotations, tmp_path):
    annotations = annotations.head(3000)
    alone = render_cohort(annotations, tmp_path / "alone", 6, 0.3, seed=9, workers=1)
    together = render_cohort(annotations, tmp_path / "together", 6, 0.3, seed=9, workers=2)
    expected = contents(alone)
    assert len(expected) == 8
    assert contents(together) == expected

    files = sorted((alone / "train").iterdir())
    times = [path.stat().st_mtime_ns for path in files]
    render_cohort(annotations, alone, 6, 0.3, seed=9, workers=1)  # finished: nothing is written
    assert [path.stat().st_mtime_ns for path in files] == times

    os.remove(files[2])  # as if it had been interrupted
    os.remove(alone / "train.csv")
    content = bytearray(files[4].read_bytes())
    content[-1] ^= 1
    files[4].write_bytes(content)
    render_cohort(annotations, alone, 6, 0.3, seed=9, workers=1)
    assert contents(alone) == expected
    kept = [path.stat().st_mtime_ns == time for path, time in zip(files, times, strict=True)]
    assert kept == [True, True, False, True, False, True]

    render_cohort(annotations, alone, 4, 0.5, seed=9, workers=1)  # another cohort replaces it
    assert len(list((alone / "train").iterdir())) == 4


def test_a_killed_rendering_goes_on_and_another_begins_anew(annotations, tmp_path, monkeypatch):
    annotations, rendered = annotations.head(3000), []

    def dying_render(task, donors):
        if len(rendered) in stops:
            raise KeyboardInterrupt
        rendered.append(task.image_id)
        render_study(task, donors)

    monkeypatch.setattr(studies_module, "render_study", dying_render)

    def render(seed):
        rendered.clear()
        return render_cohort(annotations, tmp_path / "cohort", 6, 0.3, seed, workers=1)

    stops = {4}
    with pytest.raises(KeyboardInterrupt):
        render(seed=9)
    assert len(rendered) == 4 and not (tmp_path / "cohort" / "train").exists()
    stops.clear()
    render(seed=9)
    assert len(rendered) == 2
    stops.add(3)
    with pytest.raises(KeyboardInterrupt):
        render(seed=10)
    stops.clear()
    render(seed=9)
    assert len(rendered) == 0  # the finished cohort stays until another is finished
    render(seed=11)
    assert len(rendered) == 6
    render(seed=10)
    assert len(rendered) == 6  # what was unfinished has been deleted by the other request


def test_all_that_decides_a_cohort_renders_it_again(annotations, monkeypatch):
    few = annotations.head(300)
    calls = [(few, 6, 0.3, 9), (few, 5, 0.3, 9), (few, 6, 0.4, 9), (few, 6, 0.3, 8), (annotations.head(299), 6, 0.3, 9)]
    found = [cohort_fingerprint(*call) for call in calls]
    monkeypatch.setattr(studies_module, "CODE", "another")
    found.append(cohort_fingerprint(*calls[0]))
    assert len(set(found)) == 6


def test_a_cohort_of_an_earlier_version_is_rendered_again(annotations, tmp_path):
    (tmp_path / "train").mkdir()
    for name in ("train/old.dicom", "train.csv", "render.json"):
        (tmp_path / name).write_text("{}")
    render_cohort(annotations.head(3000), tmp_path, 2, 0.5, seed=0, workers=1)
    assert len(contents(tmp_path)) == 4 and "train/old.dicom" not in contents(tmp_path)


def test_leaves_a_folder_with_other_files_alone(annotations, tmp_path):
    (tmp_path / "train.csv").write_text("somebody's data")
    with pytest.raises(Refusal, match="not a rendered cohort"):
        render_cohort(annotations, tmp_path, 4, 0.5, seed=0)
    assert contents(tmp_path) == {"train.csv": b"somebody's data"}


def test_importing_it_is_light():
    code = "import sys, cxrlib.data.render.studies; print({'torch', 'matplotlib'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert result.stdout.strip() == "set()"


# Files


def test_the_file_decodes_to_the_stored_values():
    pixels = np.random.default_rng(0).integers(0, 65536, size=(40, 50)).astype(np.uint16)
    seen = set()
    for seed in range(40):
        ds = dicom_dataset(pixels, "study", np.random.default_rng(seed))
        buffer = BytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        buffer.seek(0)
        read = pydicom.dcmread(buffer)
        inverted = read.PhotometricInterpretation == "MONOCHROME1"
        assert np.array_equal(read.pixel_array, stored_values(pixels, read.BitsStored, inverted))
        seen |= {read.BitsStored, read.PhotometricInterpretation, read.file_meta.TransferSyntaxUID.name}
        assert read.SeriesDescription == "RENDERED from annotations, not a patient"
        again = BytesIO()
        dicom_dataset(pixels, "study", np.random.default_rng(seed)).save_as(again, enforce_file_format=True)
        assert again.getvalue() == buffer.getvalue()
    assert {12, 14, 16, "MONOCHROME1", "MONOCHROME2", "Explicit VR Little Endian"} < seen
    assert any("JPEG 2000" in str(name) for name in seen)


@pytest.mark.slow
def test_a_thousand_studies_stay_below_300_mb(cohort):
    sizes = [path.stat().st_size for path in (cohort / "train").iterdir()]
    assert np.mean(sizes) < 290_000


# Shortcuts


def leak(features: np.ndarray, label: np.ndarray) -> float:
    """Cross-validated AUC of a logistic regression that guesses `label` from `features`, or 1 - AUC if larger."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    guess = cross_val_predict(model, np.asarray(features, float), label, cv=5, method="predict_proba")[:, 1]
    auc = roc_auc_score(label, guess)
    return max(auc, 1 - auc)


def labels_of(table: pd.DataFrame, image_ids: list[str]) -> dict[str, np.ndarray]:
    """For each label, which of the studies have it."""
    return {name: np.isin(image_ids, table.loc[table["class_name"] == name, "image_id"].unique()) for name in LABELS}


@pytest.fixture(scope="module")
def studies(cohort) -> list[dict]:
    """Every study of the cohort: its grey image (0..1, dense is bright), tags, file size and boxes as fractions."""
    table = pd.read_csv(cohort / "train.csv")
    found = []
    for image_id, rows in table.groupby("image_id"):
        path = cohort / "train" / f"{image_id}.dicom"
        ds = pydicom.dcmread(path)
        grey = ds.pixel_array.astype(np.float32) / (2 ** min(ds.BitsStored, 14) - 1)
        inverted = ds.PhotometricInterpretation == "MONOCHROME1"
        boxes = rows[BOX_COLUMNS].dropna().to_numpy() / [ds.Columns, ds.Rows, ds.Columns, ds.Rows]
        margin = 0.2 * (boxes[:, 2:] - boxes[:, :2])  # a finding's soft edge may leave its box
        scale = 2.0**ds.BitsStored
        tags = [
            ds.Rows,
            ds.Columns,
            ds.BitsStored,
            inverted,
            "WindowCenter" in ds,
            float(ds.get("WindowCenter", 0) or 0) / scale,
            float(ds.get("WindowWidth", 0) or 0) / scale,
            float(ds.get("RescaleSlope", 1)),
            ds.Modality == "CR",
            ds.PatientSex == "M",
            int(ds.PatientAge[:3]),
            ds.file_meta.TransferSyntaxUID.is_compressed,
        ]
        found.append(
            {
                "image_id": image_id,
                "grey": 1 - grey if inverted else grey,
                "tags": tags,
                "size": path.stat().st_size,
                "boxes": np.hstack([boxes[:, :2] - margin, boxes[:, 2:] + margin]),
            }
        )
    return found


def statistics_outside(grey: np.ndarray, boxes: np.ndarray) -> list[float]:
    """Mean, spread, quantiles and noise level of the pixels outside all `boxes` (n, 4), fractions."""
    rows, cols = grey.shape
    keep = np.ones(grey.shape, bool)
    for x_min, y_min, x_max, y_max in boxes:
        keep[max(0, int(y_min * rows)) : int(y_max * rows) + 1, max(0, int(x_min * cols)) : int(x_max * cols) + 1] = 0
    values, detail = grey[keep], np.abs(cv2.Laplacian(grey, cv2.CV_32F))[keep]
    quantiles = np.quantile(values[::7], [0.05, 0.25, 0.5, 0.75, 0.95])
    return [values.mean(), values.std(), *quantiles, np.log(np.median(detail[::7]) + 1e-6)]


def outside_statistics(studies: list[dict], label: np.ndarray, planted: float = 0.0) -> np.ndarray:
    """Statistics of each radiograph outside its own boxes and those of a study of the other kind.

    So both kinds of study are masked alike: with the boxes of one that has the label and of one that has
    not. `planted` brightens the studies that have the label.
    """
    rng = np.random.default_rng(0)
    others = [rng.choice(np.flatnonzero(label != has)) for has in label]
    return np.array(
        [
            statistics_outside(
                study["grey"] + np.float32(planted * has), np.vstack([study["boxes"], studies[other]["boxes"]])
            )
            for study, other, has in zip(studies, others, label, strict=True)
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", LABELS)
def test_no_label_shows_outside_its_finding(cohort, studies, name):
    label = labels_of(pd.read_csv(cohort / "train.csv"), [study["image_id"] for study in studies])[name]
    assert leak(outside_statistics(studies, label), label) < LEAK
    assert leak([study["tags"] for study in studies], label) < LEAK
    assert leak([[study["size"]] for study in studies], label) < LEAK


@pytest.mark.slow
def test_a_planted_shortcut_is_found(cohort, studies):
    label = labels_of(pd.read_csv(cohort / "train.csv"), [study["image_id"] for study in studies])["No finding"]
    assert leak(outside_statistics(studies, label, planted=0.05), label) > LEAK


@pytest.mark.slow
def test_no_label_shows_in_the_rest_of_the_anatomy(annotations, fractions):
    drawn = draw_studies(annotations, 600, 0.3, seed=2)
    boxes = fractions[fractions["image_id"].isin(drawn["image_id"])]
    groups, none = dict(list(boxes.groupby("image_id"))), boxes.iloc[:0]
    donors = find_donors(fractions)
    image_ids = list(drawn["image_id"].unique())
    places = []
    for image_id in image_ids:
        rng = np.random.default_rng(study_seed(2, image_id))
        own = anchors_of(groups.get(image_id, none))
        anatomy = sample_anatomy(own, donors[rng.integers(len(donors))], {}, rng)
        sides = [
            place
            for side in (anatomy.right, anatomy.left)
            for place in (side.wall_x, side.apex_y, side.base_y, side.dome_y)
        ]
        for side in (anatomy.right, anatomy.left):
            assert 0 < side.apex_y < side.dome_y < side.base_y < 1
        assert anatomy.right.wall_x < anatomy.midline < anatomy.left.wall_x
        places.append([anatomy.midline, anatomy.knob_to_heart, anatomy.knob_y, anatomy.floor, *sides])
    for name, label in labels_of(drawn, image_ids).items():
        assert leak(np.array(places), label) < LEAK, name
