"""Building blocks of the study: ResNet, Grad-CAM, SmoothGrad, IoU and perturbation for chest radiographs."""

__version__ = "0.1.0"
