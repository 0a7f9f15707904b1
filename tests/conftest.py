"""The tests draw without a display. Only this process does: a variable would reach the notebooks' kernels too."""

import os

import matplotlib

os.environ.pop("MPLBACKEND", None)
matplotlib.use("agg")
