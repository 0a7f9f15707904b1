import os

from cxrlib.runtime.walk import files_below


def test_links_are_followed_and_circles_end(tmp_path):
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "a.png").touch()
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (root / "real" / "b.png").touch()
    (root / "c.png").symlink_to(root / "real" / "b.png")
    (root / "broken.png").symlink_to(tmp_path / "nowhere")
    (root / "a link").symlink_to(root / "real")  # the same folder under a second name
    (root / "real" / "up").symlink_to(root)
    (root / "images").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    assert list(files_below(root)) == ["broken.png", "c.png", "real/b.png", "images/deep/a.png"]
    os.symlink(root, tmp_path / "top")
    assert list(files_below(tmp_path / "top")) == list(files_below(root))
