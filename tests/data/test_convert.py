import errno
import os
import time

import numpy as np
import pandas as pd
import pytest
from fixtures import write_dicom

from cxrlib.data import convert
from cxrlib.data import images as image_files
from cxrlib.data.convert import convert_images
from cxrlib.runtime import store
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import whole_file

SIDE = 32


@pytest.fixture
def images(tmp_path):
    """Five files of different sizes, the fourth unreadable; pictures whose pixels are easy to recompute."""
    random, rows = np.random.default_rng(0), []
    for i in range(5):
        path = tmp_path / "files" / f"00{i}.dicom"
        write_dicom(path, random.integers(0, 256, (SIDE * 2, SIDE * (i + 1))).astype(np.uint8))
        rows.append((f"00{i}", str(path)))
    (tmp_path / "files" / "003.dicom").write_bytes(b"broken")
    return pd.DataFrame(rows, columns=["image_id", "path"])


@pytest.fixture
def in_process(monkeypatch):
    """Convert without worker processes and count the files read."""
    read = []

    class Pool:
        def __init__(self, *_): ...
        def __enter__(self):
            return self

        def __exit__(self, *_): ...
        def map(self, function, paths, chunksize):
            return (function(read.append(path) or path) for path in paths)

    monkeypatch.setattr(convert, "worker_pool", Pool)
    return read


def half_done(folder):
    """The working folder of an unfinished conversion."""
    (work,) = folder.glob(".pixels.npy.work-*")
    return work


def unfinish(folder):
    """Forget that a conversion was finished, as if it had been killed when all was there but the record."""
    identity = store.identity_of(folder / "pixels.npy")
    work = store.work_on(folder / "pixels.npy", identity)
    (work / "sizes.csv").unlink()
    return work


def check(sizes, images, folder):
    """Order, sizes and pixels are those of the files."""
    pixels = np.load(folder / "pixels.npy")
    assert pixels.shape == (5, SIDE, SIDE)
    assert pixels.dtype == np.uint8
    assert sizes["image_id"].tolist() == images["image_id"].tolist()
    assert sizes["width"].tolist() == [SIDE, SIDE * 2, SIDE * 3, 0, SIDE * 5]
    assert sizes["height"].tolist() == [SIDE * 2, SIDE * 2, SIDE * 2, 0, SIDE * 2]
    assert sizes["reason"].str.contains("003.dicom: not a readable DICOM").tolist() == [False] * 3 + [True, False]
    assert not pixels[3].any()
    random = np.random.default_rng(0)
    for i, picture in enumerate(pixels):
        stored = random.integers(0, 256, (SIDE * 2, SIDE * (i + 1))).astype(np.float64)
        if i != 3:
            # area averaging with whole factors: 2 rows and i + 1 columns to one pixel
            stretched = np.interp(stored, [stored.min(), stored.max()], [0, 255])
            np.testing.assert_allclose(picture, stretched.reshape(SIDE, 2, SIDE, i + 1).mean(axis=(1, 3)), atol=1.01)


def test_workers_do_not_change_a_byte_and_a_second_call_reads_nothing(tmp_path, images, monkeypatch):
    for workers in (1, 2):
        folder = tmp_path / f"by {workers}"
        check(convert_images(images, folder, SIDE, workers), images, folder)
    assert (tmp_path / "by 1" / "pixels.npy").read_bytes() == (tmp_path / "by 2" / "pixels.npy").read_bytes()
    monkeypatch.setattr(convert, "worker_pool", None)
    check(convert_images(images, folder, SIDE, 2), images, folder)
    assert sorted(path.name for path in folder.iterdir()) == [".pixels.npy.made.json", "pixels.npy", "sizes.csv"]


@pytest.mark.parametrize("torn", ["", "4\t16"])
def test_an_interrupted_conversion_goes_on_where_it_stopped(tmp_path, images, in_process, monkeypatch, torn):
    real = convert.read_square

    def interrupted(path, **parameters):
        if len(in_process) == 4:
            raise KeyboardInterrupt
        return real(path, **parameters)

    monkeypatch.setattr(convert, "read_square", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert_images(images, tmp_path / "out", SIDE, 1)
    assert not (tmp_path / "out" / "pixels.npy").exists()
    with (half_done(tmp_path / "out") / "journal-0.jsonl").open("a") as file:
        file.write(torn)  # a line that a crash cut short

    in_process.clear()
    with pytest.raises(KeyboardInterrupt):  # once more, with nothing done: the torn line must not grow into another
        monkeypatch.setattr(convert, "read_square", lambda path, **_: (_ for _ in ()).throw(KeyboardInterrupt))
        convert_images(images, tmp_path / "out", SIDE, 1)
    in_process.clear()
    monkeypatch.setattr(convert, "read_square", real)
    check(convert_images(images, tmp_path / "out", SIDE, 1), images, tmp_path / "out")
    assert [os.path.basename(path) for path in in_process] == ["003.dicom", "004.dicom"]


def test_a_journal_without_its_pixels_is_not_believed(tmp_path, images, in_process, monkeypatch):
    """The pixels can be damaged and deleted; the next conversion, interrupted again, must not trust the journal."""
    convert_images(images, tmp_path / "out", SIDE, 1)
    work = unfinish(tmp_path / "out")
    (work / "pixels.npy").unlink()
    (work / "journal-0.jsonl").write_text("".join(f'[{i}, 1, 1, ""]\n' for i in range(5)))

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(convert, "read_square", interrupted)
        with pytest.raises(KeyboardInterrupt):
            convert_images(images, tmp_path / "out", SIDE, 1)
    check(convert_images(images, tmp_path / "out", SIDE, 1), images, tmp_path / "out")


def test_new_content_or_another_size_is_converted_anew(tmp_path, images, in_process):
    folder = tmp_path / "out"
    convert_images(images, folder, SIDE, 1)
    path = images["path"][0]
    before = os.stat(path)
    write_dicom(tmp_path / "files" / "000.dicom", np.arange(SIDE * SIDE * 2, dtype=np.uint8).reshape(SIDE * 2, SIDE))
    assert os.stat(path).st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    convert_images(images, folder, SIDE, 1)
    assert np.load(folder / "pixels.npy")[0, 0, -1] == 47  # mean of 31 and 63, the last of rows 0 and 1
    convert_images(images, folder, SIDE // 2, 1)
    assert np.load(folder / "pixels.npy").shape == (5, SIDE // 2, SIDE // 2)
    assert len(list(folder.iterdir())) == 3


def test_a_full_disk_is_noticed_before_anything_is_written(tmp_path, images, in_process, monkeypatch):
    needed = 5 * SIDE * SIDE
    usage = type("Usage", (), {"free": needed - 1})
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(Refusal, match=r"out: the converted images need 0\.0 GB, 0\.0 GB are free; free some, .* --out"):
        convert_images(images, tmp_path / "out", SIDE, 1)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()] and not in_process
    usage.free = needed
    check(convert_images(images, tmp_path / "out", SIDE, 1), images, tmp_path / "out")


def test_whole_file_leaves_all_or_nothing(tmp_path):
    path = tmp_path / "made" / "table.csv"

    def fail_halfway():
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert not list(path.parent.iterdir())
    with whole_file(path) as temporary:
        assert temporary.suffix == ".csv"
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_an_empty_array_of_a_killed_conversion_is_begun_anew(tmp_path, images):
    convert_images(images, tmp_path / "out", SIDE, 1)
    os.truncate(unfinish(tmp_path / "out") / "pixels.npy", 0)
    check(convert_images(images, tmp_path / "out", SIDE, 1), images, tmp_path / "out")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EIO, "Input/output error"), r"Input/output error: .*002\.dicom'; the disk, the network or the"),
        (MemoryError(), r"002\.dicom: too little memory to read it; lower compute\.workers"),
    ],
)
def test_a_failing_machine_stops_the_conversion_and_condemns_no_image(
    tmp_path, images, in_process, monkeypatch, error, message
):
    real = image_files.read_bytes

    def failing(path):
        if path.endswith("002.dicom"):
            raise error
        return real(path)

    monkeypatch.setattr(image_files, "read_bytes", failing)
    with pytest.raises(Refusal, match=message):
        convert_images(images, tmp_path / "out", SIDE, 1)
    monkeypatch.setattr(image_files, "read_bytes", real)
    check(convert_images(images, tmp_path / "out", SIDE, 1), images, tmp_path / "out")


def test_too_many_pixels_are_one_row_and_allowing_them_converts_anew(tmp_path, images, in_process):
    folder = tmp_path / "out"
    reasons = convert_images(images, folder, SIDE, 1, max_pixels=SIDE * SIDE * 6)["reason"]
    assert (reasons != "").tolist() == [False, False, False, True, True]
    assert "declares 160 x 64 pixels, data.max_pixels allows 6144" in reasons[4]
    check(convert_images(images, folder, SIDE, 1), images, folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_kills_its_process_costs_no_other_file(workers):
    """As a decoder that crashes; `eval` stands for what reads, and the paths for what it does."""
    dies = "__import__('os').abort()"
    paths = ["'0'", "'1'", dies, "'3'", "'4'", dies, "'6'"]
    found = list(convert._read_all(paths, eval, SIDE, workers))
    for path, result in zip(paths, found, strict=True):
        if path == dies:
            pixels, *size, reason = result
            assert pixels.shape == (SIDE, SIDE) and not pixels.any() and size == [0, 0]
            assert reason.startswith(f"{path}: the process that read it ended")
        else:
            assert result == path.strip("'")


def test_no_more_files_are_read_ahead_than_memory_is_meant_for(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "AHEAD", 8)
    paths = [f"open({str(tmp_path / f'{number:02}')!r}, 'w').close()" for number in range(20)]
    reading = convert._read_all(paths, exec, SIDE, 1)
    next(reading)
    time.sleep(0.5)  # the process has nothing else to do
    assert len([*tmp_path.iterdir()]) == 8
    assert len(list(reading)) == 19 and len([*tmp_path.iterdir()]) == 20


def test_processes_that_end_as_they_start_are_refused(monkeypatch):
    real = convert.worker_pool
    monkeypatch.setattr(convert, "worker_pool", lambda workers, *_: real(workers, os._exit, (1,)))
    with pytest.raises(Refusal, match=r"end as soon as they start; free memory, or lower compute\.workers"):
        list(convert._read_all(["1"], eval, SIDE, 1))


@pytest.mark.parametrize("name", ["pixels.npy", "sizes.csv"])
def test_damaged_pixels_and_sizes_are_converted_again(tmp_path, images, name):
    folder = tmp_path / "out"
    convert_images(images, folder, SIDE, 1)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    check(convert_images(images, folder, SIDE, 1), images, folder)
    assert (folder / name).read_bytes() == whole


def test_a_kill_while_the_finished_files_move_costs_no_image(tmp_path, images, in_process, monkeypatch):
    def dying_move(file, target):
        if file.name == "pixels.npy":
            raise KeyboardInterrupt
        move(file, target)

    move = store._move
    with monkeypatch.context() as patch:
        patch.setattr(store, "_move", dying_move)
        with pytest.raises(KeyboardInterrupt):
            convert_images(images, tmp_path / "out", SIDE, 1)
    assert not (tmp_path / "out" / "pixels.npy").exists() and len(in_process) == 5
    check(convert_images(images, tmp_path / "out", SIDE, 1), images, tmp_path / "out")
    assert len(in_process) == 5
