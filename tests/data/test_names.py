"""Names in tables that people bring: any text is a name, and spellings that differ in nothing are one."""

import gzip
import unicodedata

import pandas as pd
import pytest
from fixtures import annotation_rows, pictures, write_dicom
from peaks import peak_of

from cxrlib.data.annotations import check_annotations, read_annotations
from cxrlib.data.cohort import load_cohort
from cxrlib.data.rows import AnnotationError, read_rows
from cxrlib.data.sources.data_set import ImageFiles, SourceError
from cxrlib.data.sources.registry import OPENERS
from cxrlib.params import Data, Labels, ParameterError
from cxrlib.stages.prepare import known_labels, prepare_cohort

ODD = ["NA", "None", "null", "nan", "<NA>", "#N-A", "007", "7", "1e5", "100000", "TRUE", "-", "0x1F", "1_000", "é"]
"""Names that pandas takes for numbers, truth values or nothing."""
HEADER = "image_id,class_name,rad_id,x_min,y_min,x_max,y_max"


@pytest.fixture
def write(tmp_path):
    """Write labels.csv, of rows or of text, beside pictures called by names; return the folder."""

    def _write(rows, names=()):
        root = pictures(tmp_path / "set" / "images", names).parent
        if isinstance(rows, pd.DataFrame):
            rows.to_csv(root / "labels.csv", index=False)
        else:
            (root / "labels.csv").write_bytes(rows if isinstance(rows, bytes) else rows.encode())
        return root

    return _write


def opened(root):
    return OPENERS["folder"](root)


def test_any_text_is_the_name_of_an_image_a_class_a_reader_or_a_patient(write):
    rows = annotation_rows(*[(name, name, name, 1, 2, 3, 4) for name in ODD])
    source = opened(write(rows.assign(patient_id=ODD), ODD))
    assert source.images["image_id"].tolist() == source.images["patient_id"].tolist() == ODD
    assert source.annotations["class_name"].tolist() == source.annotations["rad_id"].tolist() == ODD
    assert source.classes == [*sorted(ODD), "No finding"]
    assert source.skipped.empty


def test_any_text_survives_being_stored_and_read_back(write, tmp_path):
    rows = [(f"{name} {n}" if n else name, name, name, 1, 2, 3, 4) for name in ODD for n in range(6)]
    frame = annotation_rows(*rows)
    root = write(frame.assign(patient_id=frame["image_id"]), frame["image_id"])
    data = {"source": "folder", "root": str(root), "n_studies": 1, "no_finding_share": 0.5, "seed": 0}
    data = Data(**data, image_size=64, valid_share=0.2, test_share=0.3)
    labels = Labels(experiments={"all": ODD}, explained="all")
    for _ in range(2):  # the second time sizes.csv is read back
        prepare_cohort(opened(root), tmp_path / "out", data, labels, workers=1)
    cohort = load_cohort(tmp_path / "out")
    assert cohort.studies.index.tolist() == cohort.studies["patient_id"].tolist() == frame["image_id"].tolist()
    assert cohort.labels.index.tolist() == frame["image_id"].tolist()
    assert cohort.labels[ODD].sum().tolist() == [6] * len(ODD)
    assert cohort.annotations["class_name"].tolist() == frame["class_name"].tolist()
    assert cohort.annotations["rad_id"].tolist() == frame["rad_id"].tolist()
    assert cohort.readers("NA") == ["NA"] and len(cohort.boxes("007", "007")) == 1


@pytest.mark.parametrize("blank", [" ", "\xa0", "\u3000", "\t", "\ufeff", "\u200b", ""])
def test_blanks_around_names_and_columns_count_for_nothing(write, blank):
    fields = ["a", "Mass", "NA", "1", "2", "3", "4"]
    text = "\n".join(",".join(f'"{blank}{field}{blank}"' for field in line) for line in (HEADER.split(","), fields))
    source = opened(write(text, "a"))
    assert source.annotations.to_numpy().tolist() == [["a", "Mass", "NA", 1, 2, 3, 4]]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("announced", [False, True])
@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_spreadsheets_export(write, separator, announced, start, end):
    lines = [HEADER, "a,Mass,R1,1,2,3,4.5", ",,,,,,", "b,No finding,R1,,,,", ",,,,,,"]
    lines = [f"sep={separator}"] * announced + [line.replace(",", separator) for line in lines]
    root = write(start + end.join(lines), "ab")
    rows = opened(root).annotations
    assert rows["image_id"].tolist() == ["a", "b"] and rows["x_max"].iloc[0] == 3 and rows["y_max"].iloc[0] == 4.5
    assert rows.index.tolist() == [2 + announced, 4 + announced]


def test_rows_are_the_lines_of_the_file(write):
    text = f'\n{HEADER},note\n\na,Mass,R1,1,2,3,4,"two\nlines"\n\nb,Mass,R1,1,2,wide,4,\n'
    with pytest.raises(AnnotationError, match=r"labels\.csv, row 7, field x_max: 'wide' is not a number"):
        opened(write(text, "ab"))


@pytest.mark.parametrize("name", ["Image_ID", " image id ", "ImageId", "IMAGE-ID"])
def test_columns_in_another_spelling(write, name):
    assert len(opened(write(f"{HEADER}\na,Mass,R1,1,2,3,4\n".replace("image_id", name), "a")).images) == 1


def test_a_column_in_two_spellings_is_refused(write):
    with pytest.raises(AnnotationError, match=r"has the column image_id twice, as 'image_id' and 'Image_ID'; take one"):
        opened(write(f"{HEADER},Image_ID\na,Mass,R1,1,2,3,4,a\n", "a"))


@pytest.mark.parametrize("nothing", ["", "nan", "NaN", "NA", "N/A", "#N/A", "None", "null", "<NA>"])
def test_no_number(write, nothing):
    box = ",".join([nothing] * 4)
    assert opened(write(f"{HEADER}\na,Mass,R1,{box}\n", "a")).annotations["x_min"].isna().all()


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ('"12,5"', r"row 2, field x_max: '12,5' is not a number; write 12\.5, with a point"),
        ('"1,234.5"', r"row 2, field x_max: '1,234\.5' is not a number; correct it"),
        ("12px", r"row 2, field x_max: '12px' is not a number"),
        ("TRUE", r"row 2, field x_max: 'TRUE' is not a number"),
        ("1_2", r"row 2, field x_max: '1_2' is not a number"),
    ],
)
def test_what_is_no_number_is_refused(write, number, message):
    with pytest.raises(AnnotationError, match=message):
        opened(write(f"{HEADER}\na,Mass,R1,1,2,{number},30\n", "a"))


@pytest.mark.parametrize("column", ["image_id", "class_name", "rad_id"])
@pytest.mark.parametrize("blank", ["", "  ", "\xa0"])
def test_an_empty_name_is_refused_with_its_row(write, column, blank):
    rows = annotation_rows(("a", "Mass", "R1"), ("b", "Mass", "R1"))
    rows.loc[1, column] = blank
    with pytest.raises(AnnotationError, match=rf"labels\.csv, row 3, field {column}: is empty; fill it in or drop"):
        opened(write(rows, "ab"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04rest", "is a zip file or an Excel workbook, not a CSV file"),
        (b"\n<!DOCTYPE html><html>log in</html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is only a pointer of Git LFS"),
        (HEADER.encode("utf-16"), "is not UTF-8 text"),
        (f"{HEADER}\na,Ödem,R1\n".encode("cp1252"), "is not UTF-8 text"),
        (f'{HEADER}\na,"Mass,R1\n'.encode(), r"row 2: is not readable as CSV .*; is a quote unclosed"),
        (f"{HEADER}\na,Mass,R1,1,2,3,4,5\n".encode(), "row 2: has 8 fields, the header names 7"),
        (gzip.compress(HEADER.encode(), mtime=0)[:-9], "is not a readable CSV"),
    ],
)
def test_what_is_called_csv_and_is_none(write, content, message):
    with pytest.raises(AnnotationError, match=rf"labels\.csv,? {message}"):
        opened(write(content, "a"))


def test_a_gzipped_table_by_any_name(write):
    assert len(opened(write(gzip.compress(f"{HEADER}\na,Mass,R1,1,2,3,4\n".encode()), "a")).images) == 1


def test_a_short_row_has_empty_fields_at_its_end(tmp_path):
    (tmp_path / "a.csv").write_text("one,two\nx\n")
    assert read_rows(tmp_path / "a.csv", ["one", "two"]).to_numpy().tolist() == [["x", ""]]


# boxes


def test_fractions_are_refused(write):
    rows = annotation_rows(("a", "Mass", "R1", 0.1, 0.2, 0.5, 1), ("b", "No finding", "R1"))
    with pytest.raises(AnnotationError, match=r"row 2: the boxes look like fractions of the image, .*; multiply x by "):
        opened(write(rows, "ab"))
    rows.loc[1, "class_name":] = ["Mass", "R1", 0, 0, 1, 1.5]
    assert len(opened(write(rows, "ab")).annotations) == 2


@pytest.mark.parametrize("names", ["x_min,y_min,width,height", "x,y,w,h", "X,Y,Width,Height"])
def test_boxes_by_corner_and_size_are_named(write, names):
    x, y, width, height = names.split(",")
    message = rf"given by {names.replace(',', ', ')}; add x_max = {x} \+ {width} and y_max = {y} \+ {height}"
    with pytest.raises(AnnotationError, match=message):
        opened(write(f"image_id,class_name,rad_id,{names}\na,Mass,R1,1,2,3,4\n", "a"))


# one name in several spellings


def test_spellings_of_a_class_are_one_class(write):
    spelled = ["Mass", "mass", "Mass", "MASS", "cardiomegaly", "No  Finding", "no finding"]
    spelled += [unicodedata.normalize("NFD", "Ödem"), "Ödem", "Ödem"]
    rows = annotation_rows(*[(f"i{n}", name, "R1") for n, name in enumerate(spelled)])
    source = opened(write(rows, rows["image_id"]))
    assert source.classes == ["Cardiomegaly", "Mass", "Ödem", "No finding"]
    counts = source.annotations["class_name"].value_counts().to_dict()
    assert counts == {"Mass": 4, "Ödem": 3, "No finding": 2, "Cardiomegaly": 1}
    assert source.skipped["reason"].tolist() == [
        "class 'mass' read as 'Mass' (rows: 1)",
        "class 'MASS' read as 'Mass' (rows: 1)",
        "class 'cardiomegaly' read as 'Cardiomegaly' (rows: 1)",
        "class 'No  Finding' read as 'No finding' (rows: 1)",
        "class 'no finding' read as 'No finding' (rows: 1)",
        f"class {spelled[7]!r} read as 'Ödem' (rows: 1)",
    ]
    assert source.skipped["row"].tolist() == [3, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("name", ["cardiomegaly", "Cardiomegaly ", "CARDIOMEGALY"])
def test_known_classes_in_another_spelling(tmp_path, name):
    annotation_rows(("a", name, "R1"), ("b", name, "R1")).to_csv(tmp_path / "a.csv", index=False)
    annotations, listed = read_annotations(tmp_path / "a.csv")
    assert annotations["class_name"].tolist() == ["Cardiomegaly"] * 2
    assert len(listed) == (name.strip() != "Cardiomegaly")


def test_duplicates_in_two_spellings_are_one_row():
    rows = annotation_rows(("a", "Mass", "R1", 1, 2, 3, 4), ("a", "mass", "R1", 1, 2, 3, 4))
    annotations, listed = check_annotations(rows.astype({"x_min": float}), ["Mass"], "a.csv")
    assert len(annotations) == 1
    assert listed["reason"].tolist() == ["duplicated row; dropped", "class 'mass' read as 'Mass' (rows: 1)"]


def test_spellings_of_a_reader_are_one_unless_both_read_an_image(write):
    rows = annotation_rows(("a", "Mass", "Dr X"), ("b", "Mass", "dr x"), ("c", "Mass", "Dr X"), ("c", "Mass", "Y"))
    source = opened(write(rows, "abc"))
    assert source.annotations["rad_id"].tolist() == ["Dr X", "Dr X", "Dr X", "Y"]
    assert source.skipped.to_numpy().tolist() == [["", 3, "reader 'dr x' read as 'Dr X' (rows: 1)"]]
    rows.loc[3, "rad_id"] = "dr x"
    with pytest.raises(AnnotationError, match=r"field rad_id: readers 'Dr X' and 'dr x' both read image c; write one"):
        opened(write(rows, "abc"))


def test_spellings_of_a_patient_are_one_and_no_patient_is_lost(write):
    rows = annotation_rows(*[(name, "Mass", f"R{n}") for n, name in enumerate("abcda")])
    source = opened(write(rows.assign(patient_id=["", "P1", "p1", "P1", "007"]), "abcd"))
    assert source.images["patient_id"].tolist() == ["007", "P1", "P1", "P1"]
    assert source.skipped["reason"].tolist() == ["patient 'p1' read as 'P1' (rows: 1)"]
    with pytest.raises(AnnotationError, match=r"row 6, field patient_id: image a is of patient '1' in row 2, and here"):
        opened(write(rows.assign(patient_id=["1", "2", "3", "4", "01"]), "abcd"))


def test_spellings_of_an_image_are_one_study(write):
    ids = ["0005", "0005.png", "0005.PNG", "B"]
    rows = annotation_rows(*[(image_id, "Mass", f"R{n}") for n, image_id in enumerate(ids)])
    source = opened(write(rows, ["0005", "b"]))
    assert source.images["image_id"].tolist() == ["0005", "B"]
    assert source.annotations["image_id"].tolist() == ["0005"] * 3 + ["B"]
    assert source.skipped.to_numpy().tolist() == [
        ["0005.png", 3, "image_id '0005.png' read as '0005' (rows: 1)"],
        ["0005.PNG", 4, "image_id '0005.PNG' read as '0005' (rows: 1)"],
    ]


@pytest.mark.parametrize(
    ("image_id", "name"),
    [
        ("a", "a.png"),
        ("A", "A.png"),
        ("A.PNG", "A.png"),
        ("b.dcm", "b.dcm"),
        ("B.PNG", "b.png"),
        ("d.png", "d.jpg"),
        ("d.dcm.jpg", "d.jpg"),
        ("1.2.3", "1.2.3"),
        (unicodedata.normalize("NFD", "ä"), "Ä.png"),
        ("z", None),
        ("d.txt", None),
    ],
)
def test_files_are_told_apart_where_the_table_does(image_id, name):
    files = ImageFiles([f"x/{file}" for file in ("a.png", "A.png", "b.dcm", "b.png", "Ä.png", "d.jpg", "1.2.3")])
    assert files.find(image_id) == (name and f"x/{name}")


@pytest.mark.parametrize("image_id", ["b", "B", "B.jpg"])
def test_files_that_the_table_does_not_tell_apart_are_refused(image_id):
    with pytest.raises(SourceError, match=rf"two images are called '{image_id}', x/b\.dcm and x/b\.png; remove one"):
        ImageFiles(["x/b.dcm", "x/b.png"]).find(image_id)


def test_a_table_of_files_that_were_converted(write):
    rows = annotation_rows(("a.dcm", "Mass", "R1"), ("b.dicom", "Mass", "R1"))
    assert opened(write(rows, ["a", "b.dicom"])).images["image_id"].tolist() == ["a.dcm", "b.dicom"]


def test_other_tables_name_images_in_other_spellings(tmp_path):
    pictures(tmp_path / "train", ["Abc"])
    annotation_rows(("ABC", "ILD", "R1", 2, 2, 8, 8)).to_csv(tmp_path / "train.csv", index=False)
    (tmp_path / "train_meta.csv").write_text("image_id,dim0,dim1\nabc.png,40,80\n")
    assert OPENERS["vinbigdata-resized"](tmp_path).box_frame.loc["ABC"].tolist() == [80, 40]


def test_nih_in_other_spellings(tmp_path):
    pictures(tmp_path, ["1_0", "2_0"])
    (tmp_path / "Data_Entry_2017.csv").write_text(
        "image index,finding labels,Patient ID\n1_0.PNG,effusion | MASS,1\n2_0,no finding,NA\n"
    )
    (tmp_path / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n1_0.png,Effusion,100,200,300,400,,,\n"
    )
    source = OPENERS["nih"](tmp_path)
    assert source.images["image_id"].tolist() == ["1_0.PNG", "2_0"]
    assert source.images["patient_id"].tolist() == ["1", "NA"]
    assert source.annotations["class_name"].tolist() == ["Pleural effusion", "Nodule/Mass", "No finding"]
    assert source.annotations["x_max"].tolist()[0] == 400
    assert source.skipped["reason"].str.startswith("class ").all()


def test_labels_of_experiments_in_another_spelling():
    classes = ["Pleural effusion", "Mass", "No finding"]
    labels = Labels(experiments={"x": ["pleural  Effusion", "no finding"]}, explained="x")
    assert known_labels(classes, labels).experiments == {"x": ["Pleural effusion", "No finding"]}
    for wanted, message in (
        (["Pleural efusion", "Mass"], r"unknown label 'Pleural efusion'; did you mean 'Pleural effusion'\? known"),
        (["Hiccup", "Mass"], r"unknown label 'Hiccup'; known are Pleural effusion, Mass, No finding; choose"),
        (["Mass", "mass"], r"names 'Mass' twice, in two spellings; take one out"),
    ):
        with pytest.raises(ParameterError, match=rf"labels\.experiments\['x'\]: {message}"):
            known_labels(classes, Labels(experiments={"x": wanted}, explained="x"))


def test_a_dicom_file_without_suffix_beside_its_picture_is_ambiguous(write):
    root = write(annotation_rows(("a", "Mass", "R1")), "a")
    write_dicom(root / "a", pd.Series(range(64)).to_numpy("uint16").reshape(8, 8))
    with pytest.raises(SourceError, match=r"two images are called 'a'"):
        opened(root)


def test_a_text_that_occurs_again_takes_no_memory_again(tmp_path):
    """A row costs the places of its fields in lists and columns; its texts, which all rows share, cost nothing."""
    path, count = tmp_path / "a.csv", 20_000
    path.write_text(HEADER + "\n" + "a,Nodule/Mass,R10,1000,1000,2000,2000\n" * count)
    assert peak_of(read_rows, path, HEADER.split(",")) < 3.5 * path.stat().st_size + 250 * count
