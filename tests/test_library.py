"""What README and docs/library.md show runs as it stands there."""

import re
import subprocess
import sys

import torch
from torchvision import models

from cxrlib.runtime.files import PROJECT_ROOT


def code_of(page):
    return "\n".join(re.findall(r"```python\n(.*?)```", (PROJECT_ROOT / page).read_text(), flags=re.S))


def test_the_page_runs_from_top_to_bottom(capsys):
    values = {}
    exec(code_of("docs/library.md"), values)
    assert values["mask"].shape == (2, 4, 64, 64) and values["mask"].dtype == torch.bool
    said = capsys.readouterr().out
    assert "Grad-CAM (gradcam): Selvaraju et al. 2017" in said and "1 forward and 4 backward passes" in said


def test_readme_s_three_lines_explain_a_network():
    network, images = models.resnet18(weights=None, num_classes=4), torch.rand(2, 3, 64, 64)
    values = {"network": network, "images": images}
    exec(code_of("README.md"), values)
    assert values["maps"].shape == (2, 2, 2, 2)


def test_the_room_is_called_whatever_was_imported_before():
    code = "import cxrlib.explain.masks; from cxrlib import explain; assert callable(explain); explain.find('gradcam')"
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=True)
