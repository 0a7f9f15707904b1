"""Building blocks of the study: ResNet, Grad-CAM, SmoothGrad, IoU and perturbation for chest radiographs."""

import os

__version__ = "0.1.0"

if "CXR_FILE_LOG" in os.environ:  # set by the runner: see cxrlib.workflow.filelog
    from cxrlib.workflow import filelog

    filelog.begin()
