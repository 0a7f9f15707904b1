"""Twins: where a radiograph differs from the same patient without a finding, and nowhere else."""

import cv2
import numpy as np
import pandas as pd
import pytest
from fixtures import files_of_at_most

from cxrlib.data.annotations import BOX_COLUMNS, public_annotations_path
from cxrlib.data.images import read_square
from cxrlib.data.render import twin_files
from cxrlib.data.render.anatomy import sample_anatomy
from cxrlib.data.render.anchors import anchors_of, find_donors
from cxrlib.data.render.frame import boxes_as_fractions
from cxrlib.data.render.lesions import find_lesions
from cxrlib.data.render.mediastinum import heart_outline
from cxrlib.data.render.parallel import Task
from cxrlib.data.render.patient import DRAWING_ORDER, ORGANS, drawn_box, generators, lesion_generator, sample_patient
from cxrlib.data.render.radiograph import render_radiograph
from cxrlib.data.render.studies import render_study, seeds_of
from cxrlib.data.render.twin_files import export_twins, read_twins, square_twins, write_pictures, write_twins
from cxrlib.data.render.twins import Twins, cause_of, render_twins
from cxrlib.runtime.errors import Missing, Refusal

SEED = 2023
EDGE = 8 / 400  # organs end softly: so much beyond their outline, share of the frame


@pytest.fixture(scope="module")
def annotations() -> pd.DataFrame:
    return pd.read_csv(public_annotations_path())


@pytest.fixture(scope="module")
def fractions(annotations) -> pd.DataFrame:
    return boxes_as_fractions(annotations)


@pytest.fixture(scope="module")
def donors(fractions) -> list:
    return find_donors(fractions)


@pytest.fixture(scope="module")
def crowded(fractions) -> dict[str, pd.DataFrame]:
    """Real studies with at least five findings: the first of each finding, so that all findings are among them."""
    findings = fractions.groupby("image_id")["class_name"].agg(set)
    many = findings[findings.map(len) >= 5]
    chosen = {next(image_id for image_id, names in many.items() if name in names) for name in DRAWING_ORDER}
    return {image_id: fractions[fractions["image_id"] == image_id] for image_id in sorted(chosen)}


def anatomy_of(boxes: pd.DataFrame, seed, donors: list):
    """The anatomy that `sample_patient` draws."""
    _, donor_rng, anatomy_rng, *_ = generators(seed)
    readers = boxes.groupby("class_name")["rad_id"].nunique().to_dict()
    return sample_anatomy(anchors_of(boxes), donors[donor_rng.integers(len(donors))], readers, anatomy_rng)


def allowed(boxes: pd.DataFrame, finding: str, anatomy) -> list[tuple[float, float, float, float]]:
    """Rectangles (fractions) in which a finding may be: its drawn boxes, or what an organ in either form covers."""
    if finding == "Aortic enlargement":
        found = [anatomy.knob.box, anatomy.enlarged_knob.box]
    elif finding == "Cardiomegaly":
        outlines = [heart_outline(anatomy, organ.box) for organ in (anatomy.heart, anatomy.enlarged_heart)]
        found = [(*outline.min(axis=0), *outline.max(axis=0)) for outline in outlines]
    else:
        found = [drawn_box(lesion) for lesion in find_lesions(boxes) if lesion.finding == finding]
    if finding == "Pleural effusion":  # fluid reaches wall and costophrenic angle
        sides = [anatomy.right if box[0] + box[2] < 2 * anatomy.midline else anatomy.left for box in found]
        found = [
            (min(box[0], side.wall_x), box[1], max(box[2], side.wall_x), max(box[3], side.base_y))
            for box, side in zip(found, sides, strict=True)
        ]
    edge = EDGE if finding in ORGANS else 0
    return [(x0 - edge, y0 - edge, x1 + edge, y1 + edge) for x0, y0, x1, y1 in found]


def covered(rectangles: list, shape: tuple[int, int]) -> np.ndarray:
    """Pixels that the rectangles (fractions) touch."""
    mask, (rows, cols) = np.zeros(shape, bool), shape
    for x0, y0, x1, y1 in rectangles:
        top, left = max(0, int(np.floor(y0 * rows - 0.5))), max(0, int(np.floor(x0 * cols - 0.5)))
        mask[top : int(np.ceil(y1 * rows + 0.5)), left : int(np.ceil(x1 * cols + 0.5))] = True
    return mask


def test_a_twin_differs_inside_the_drawn_finding_and_nowhere_else(crowded, donors):
    seen = set()
    for image_id, boxes in crowded.items():
        seed, _ = seeds_of(SEED, image_id)
        twins, anatomy = render_twins(boxes, seed, donors), anatomy_of(boxes, seed, donors)
        assert set(twins.without) == set(boxes["class_name"])
        assert np.array_equal(twins.pixels, render_radiograph(boxes, seed, donors)[0])
        for finding, twin in twins.without.items():
            inside = covered(allowed(boxes, finding, anatomy), twin.shape)
            strength, mask = cause_of(twins.pixels, twin)
            assert not strength[~inside].any(), (image_id, finding)
            assert (mask <= inside).all() and mask.any(), (image_id, finding)
            seen.add(finding)
    assert seen == set(DRAWING_ORDER)


def test_findings_may_be_added_one_after_the_other_in_any_order(crowded, donors):
    rng = np.random.default_rng(0)
    for image_id, boxes in crowded.items():
        seed, _ = seeds_of(SEED, image_id)
        patient, together = sample_patient(boxes, seed, donors), render_radiograph(boxes, seed, donors)[0]
        for order in (
            sorted(patient.findings),
            sorted(patient.findings, reverse=True),
            rng.permutation([*patient.findings]),
        ):
            grown = patient.having([])
            for finding in order:
                grown = grown.having(grown.shown | {finding})
                assert np.array_equal(grown.pixels()[patient.support(finding)], grown.pixels(patient.support(finding)))
            assert np.array_equal(grown.pixels(), together)


def test_a_patient_has_no_finding_that_the_study_lacks(crowded):
    patient = sample_patient(next(iter(crowded.values())), 0)
    with pytest.raises(KeyError, match="no Hernia"):
        patient.having(["Hernia"])


def test_a_lesion_draws_from_its_own_generator():
    first = lesion_generator(7, "Nodule/Mass", 0).random(4)
    assert np.array_equal(first, lesion_generator(7, "Nodule/Mass", 0).random(4))
    others = [lesion_generator(*key).random(4) for key in ((8, "Nodule/Mass", 0), (7, "ILD", 0), (7, "Nodule/Mass", 1))]
    assert not any(np.array_equal(first, other) for other in others)


def boxes_of(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["class_name", "rad_id", *BOX_COLUMNS])


def test_what_else_is_drawn_changes_no_lesion():
    """The change is the same with and without calcifications, which come first by name."""
    network, spots = ("ILD", "R1", 0.2, 0.3, 0.38, 0.58), ("Calcification", "R1", 0.25, 0.40, 0.30, 0.45)
    alone, beside = (sample_patient(boxes, 3) for boxes in (boxes_of(network), boxes_of(network, spots)))
    effects = [patient.findings["ILD"][0].effect for patient in (alone, beside)]
    for field in ("air_kept", "markings_added"):
        assert np.array_equal(getattr(effects[0], field), getattr(effects[1], field))


def test_a_twins_organ_is_the_donors_in_health(fractions, donors):
    heart = (0.30, 0.52, 0.84, 0.70)
    boxes = boxes_of(("Cardiomegaly", "R1", *heart))
    for seed, donor in enumerate(donors[:20]):
        anatomy = anatomy_of(boxes, seed, [donor])
        left, top, right, bottom = anatomy.heart.box
        assert heart[0] <= left and right <= heart[2] and heart[1] <= top and bottom == pytest.approx(heart[3])
        assert 0.6 < (right - left) / (heart[2] - heart[0]) < 0.9
        shape = (donor.heart[3] - donor.heart[1]) / (donor.heart[2] - donor.heart[0])
        assert (bottom - top) / (right - left) == pytest.approx(min(shape, 0.18 / 0.54))
        assert anatomy.enlarged_knob is None
        healthy = anatomy_of(boxes.iloc[:0], seed, [donor])
        assert healthy.enlarged_heart is None and healthy.heart.density == anatomy.heart.density


def test_cause_counts_from_more_than_one_grey_level():
    pixels = np.array([[1000, 1257, 1258, 0]], np.uint16)
    strength, mask = cause_of(pixels, np.array([[1000, 1000, 1000, 65535]], np.uint16))
    assert mask.tolist() == [[False, False, True, True]]
    assert strength.dtype == np.float32 and strength[0].tolist() == pytest.approx([0, 257 / 65535, 258 / 65535, 1])


# Files


def test_the_square_frame_is_that_of_the_file(crowded, donors, tmp_path):
    for size, (image_id, boxes) in zip((512, 72, 224, 400, 512), crowded.items(), strict=False):
        task = Task(image_id, boxes, tmp_path / f"{image_id}.dicom", SEED)
        render_study(task, donors)
        stored, *_ = read_square(str(task.path), size)
        seed, file_seed = seeds_of(SEED, image_id)
        found = square_twins(render_twins(boxes, seed, donors), image_id, file_seed, size)
        assert np.array_equal(found.pixels, stored)
        anatomy = anatomy_of(boxes, seed, donors)
        for finding, twin, strength, mask in zip(
            found.class_names, found.twins, found.strength, found.cause, strict=True
        ):
            inside = cv2.dilate(
                covered(allowed(boxes, finding, anatomy), stored.shape).astype(np.uint8), np.ones((3, 3))
            )
            assert not strength[inside == 0].any() and mask.any()
            assert np.array_equal(mask, np.abs(stored.astype(int) - twin) > 1)


@pytest.mark.parametrize("grey", [0, 65535])
def test_a_twin_without_the_brightest_or_darkest_pixel_is_not_stretched_anew(grey):
    pixels = np.tile(np.linspace(9000, 50000, 400).astype(np.uint16), (400, 1))
    with_spot = pixels.copy()
    with_spot[100:120, 200:220] = grey
    for image_id in "abcdefghijkl":  # bits, windows and photometric interpretations differ
        _, file_seed = seeds_of(SEED, image_id)
        found = square_twins(Twins(with_spot, {"ILD": pixels}), image_id, file_seed, 400)
        assert found.cause[0].sum() == 400 and not found.strength[0, 130:].any()
        brighter = square_twins(Twins(pixels, {"ILD": with_spot}), image_id, file_seed, 400)  # a twin beyond the range
        assert not brighter.strength[0, 130:].any() and brighter.cause[0, 105:115, 205:215].all()


def test_twins_are_written_kept_and_read(annotations, tmp_path, monkeypatch):
    few = annotations[annotations["image_id"].isin(annotations["image_id"].unique()[:40])]
    with_boxes = few.dropna()["image_id"].unique()[:2].tolist()
    without = few.loc[few["x_min"].isna(), "image_id"].unique()[:1].tolist()
    table = write_twins(few, tmp_path, [*with_boxes, *without], SEED, 64, workers=1)
    pairs = few.dropna()[["image_id", "class_name"]].drop_duplicates()
    expected = sorted(map(tuple, pairs[pairs["image_id"].isin(with_boxes)].to_numpy()))
    assert sorted(map(tuple, table[["image_id", "class_name"]].to_numpy())) == expected
    found = read_twins(tmp_path, with_boxes[0])
    assert found.twins.shape == found.cause.shape == (len(found.class_names), 64, 64)
    assert found.twins.dtype == np.uint8 and found.cause.dtype == bool and found.strength.dtype == np.float32
    first = table[table["image_id"] == with_boxes[0]]
    assert first["cause_pixels"].tolist() == found.cause.sum(axis=(1, 2)).tolist()
    assert read_twins(tmp_path, without[0]).class_names == []
    with pytest.raises(Missing, match="first"):
        read_twins(tmp_path, "unknown")

    export_twins(few, tmp_path, [*with_boxes, *without], SEED, 64)
    assert len(list((tmp_path / "png").iterdir())) == 2 + 2 * len(table)
    name = found.class_names[0].replace("/", "-")
    mask = cv2.imread(str(tmp_path / "png" / f"{with_boxes[0]} cause of {name}.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(mask, found.cause[0] * np.uint8(255))

    with files_of_at_most(500), pytest.raises(Refusal, match="free space there"):
        write_pictures(tmp_path, tmp_path / "again")
    assert not list((tmp_path / "again").iterdir())

    monkeypatch.setattr(twin_files, "run_tasks", None)  # kept: nothing is rendered
    pd.testing.assert_frame_equal(write_twins(few, tmp_path, [*with_boxes, *without], SEED, 64), table)
    with pytest.raises(TypeError):
        write_twins(few, tmp_path, [*with_boxes, *without], SEED + 1, 64)


def test_a_killed_writing_goes_on(annotations, tmp_path, monkeypatch):
    few = annotations[annotations["image_id"].isin(annotations["image_id"].unique()[:40])]
    image_ids, written, real = few.dropna()["image_id"].unique()[:3].tolist(), [], twin_files.write_study_twins

    def dying(task, donors, size):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(task.image_id)
        real(task, donors, size)

    monkeypatch.setattr(twin_files, "write_study_twins", dying)
    with pytest.raises(KeyboardInterrupt):
        write_twins(few, tmp_path, image_ids, SEED, 64, workers=1)
    assert not (tmp_path / "twins.csv").exists()
    written.clear()
    write_twins(few, tmp_path, image_ids, SEED, 64, workers=1)
    assert written == image_ids[2:]


def test_a_study_that_is_not_there_is_refused(annotations, tmp_path):
    with pytest.raises(Refusal, match="no study 'nobody'"):
        write_twins(annotations.head(100), tmp_path, ["nobody"], SEED, 64)


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(annotations, tmp_path):
    few = annotations.head(3000)
    image_ids = few.dropna()["image_id"].unique()[:6].tolist()
    for workers in (1, 2):
        write_twins(few, tmp_path / str(workers), image_ids, SEED, 128, workers)
    alone, together = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in sorted((tmp_path / name).rglob("*.*"))
            if path.is_file()
        }
        for name in "12"
    )
    assert len(alone) == 8 and alone == together
