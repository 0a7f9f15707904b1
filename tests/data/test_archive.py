"""What the files of a data set are: folders with links, zips of any name and make, and what systems leave behind."""

import struct
import tarfile
import zipfile

import pytest

from cxrlib.data.archive import ArchiveError, identity, list_files, read_bytes
from cxrlib.data.sources.data_set import SourceError, open_data_set

LEFT_BEHIND = ["__MACOSX/._a.png", ".DS_Store", "x/.DS_Store", "Thumbs.db", "x/Desktop.ini", "~$labels.csv", "@eaDir/a"]


def write_zip(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_what_systems_leave_behind_is_no_part_of_a_data_set(tmp_path):
    for name in [*LEFT_BEHIND, "x/a.png"]:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(name)
    archive = write_zip(tmp_path / "set.zip", dict.fromkeys([*LEFT_BEHIND, "x/a.png"], "x/a.png"))
    for path in (tmp_path / "set", archive):
        assert list_files(path) == {"x/a.png": f"{path}/x/a.png"}
        assert read_bytes(f"{path}/x/a.png") == b"x/a.png"


def test_results_that_were_written_into_the_data_set_are_no_part_of_it(tmp_path):
    for name in ("labels.csv", "a.png", "out/manifest.json", "out/params.json", "out/data/annotations.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [*list_files(tmp_path)] == ["a.png", "labels.csv"]
    (tmp_path / "out" / "params.json").unlink()
    assert len(list_files(tmp_path)) == 4


@pytest.mark.parametrize("name", ["set.zip", "SET.ZIP", "set", "set.zip.1", "set (1).download"])
def test_a_zip_is_known_by_its_content(tmp_path, name):
    path = write_zip(tmp_path / name, {"train/a.png": "one"})
    assert list_files(path) == {"train/a.png": f"{path}/train/a.png"}
    assert read_bytes(f"{path}/train/a.png") == b"one"
    assert identity(f"{path}/train/a.png")[:2] == ["a.png", 3]
    assert identity(f"{path}/train/b.png") == ["b.png"]


def test_a_folder_called_like_a_zip(tmp_path):
    (tmp_path / "set.zip").mkdir()
    (tmp_path / "set.zip" / "a.png").write_text("one")
    assert [read_bytes(path) for path in list_files(tmp_path / "set.zip").values()] == [b"one"]


@pytest.mark.parametrize("written", ["train\\a.png", "./train/a.png", "/train/a.png", "train//a.png"])
def test_names_of_members_as_other_programs_write_them(tmp_path, written):
    path = write_zip(tmp_path / "set.zip", {written: "one"})
    assert list_files(path) == {"train/a.png": f"{path}/train/a.png"}
    assert read_bytes(f"{path}/train/a.png") == b"one"


def test_a_name_in_utf8_that_does_not_say_so(tmp_path):
    path = write_zip(tmp_path / "set.zip", {"Röntgen.png": "one"})
    content = path.read_bytes()
    for place in (content.index(b"PK\3\4") + 6, content.index(b"PK\1\2") + 8):  # the flags in both headers
        content = content[:place] + struct.pack("<H", 0) + content[place + 2 :]
    path.write_bytes(content)
    assert [*list_files(path)] == ["Röntgen.png"]
    assert read_bytes(f"{path}/Röntgen.png") == b"one"


def test_a_member_with_64_bit_sizes(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive, archive.open("a.png", "w", force_zip64=True) as member:
        member.write(b"one")
    assert read_bytes(f"{tmp_path}/set.zip/a.png") == b"one"


def test_members_that_cannot_be_read_are_refused_at_once(tmp_path):
    path = write_zip(tmp_path / "set.zip", {"a.png": "one"})
    whole = path.read_bytes()
    listed = whole.index(b"PK\1\2")
    path.write_bytes(whole[: listed + 8] + b"\1\0" + whole[listed + 10 :])
    with pytest.raises(ArchiveError, match=r"set\.zip: a\.png is encrypted; unpack the zip with its password"):
        list_files(path)
    second = tmp_path / "second.zip"
    second.write_bytes(whole[: listed + 10] + b"\x09\0" + whole[listed + 12 :])
    with pytest.raises(ArchiveError, match=r"second\.zip: a\.png is compressed by a method .*Deflate64\); unpack"):
        list_files(second)


def test_other_archives_are_named(tmp_path):
    (tmp_path / "a.png").write_text("one")
    for name, mode, message in (
        ("set.tar", "w", "is a tar archive, which cannot be read in place; unpack it and give the folder"),
        ("set.tar.gz", "w:gz", "is a gzip file"),
        ("set.zip", "w:bz2", "is a bzip2 file"),
    ):
        with tarfile.open(tmp_path / name, mode) as archive:
            archive.add(tmp_path / "a.png", "a.png")
        with pytest.raises(SourceError, match=rf"data\.root: .*{name} {message}"):
            open_data_set(tmp_path / name)
    path = write_zip(tmp_path / "half.zip", {"a.png": "one" * 1000})
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ArchiveError, match=r"half\.zip is a zip file whose end is missing; download or copy it again"):
        list_files(path)


def test_archives_inside_are_named_where_something_is_missing(tmp_path):
    (tmp_path / "images_001.tar.gz").touch()
    (tmp_path / "labels.csv.gz").touch()
    assert open_data_set(tmp_path).found == (
        "images_001.tar.gz, labels.csv.gz; images_001.tar.gz is packed: unpack what is in it"
    )
