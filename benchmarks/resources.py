"""Memory of the passes over many images, and the time that importing the project takes; each in fresh processes."""

import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.timing import REPEATS, entry
from cxrlib.runtime.files import PROJECT_ROOT

FEW, MANY, SIZE = 100, 1480, 224
ALL_PASSES = "from benchmarks.resources import passes; passes('{path}', {count})"
IMPORT = "import time, torch; t = time.perf_counter(); import cxrlib; print(time.perf_counter() - t)"


def passes(path: str, count: int) -> None:
    """Explain and perturb `count` stored images, then print this process's peak memory in MiB.

    The network is a small one and one perturbation per image is enough: what may grow is what is kept of each image.
    """
    import torch

    from cxrlib.evaluate.perturbation import perturb
    from cxrlib.explain.batched import explain
    from cxrlib.model.batches import StoredInputs
    from cxrlib.model.inference import inference_copy
    from cxrlib.model.networks import build_network

    torch.manual_seed(0)
    network = inference_copy(build_network("resnet18", 7).eval())
    images = StoredInputs(Path(path), np.arange(count))
    maps, probabilities = explain(network, images, "layer4", batch_size=32)
    perturb(network, images, maps, probabilities.softmax(1).ge(1 / 7).float(), 1.0, [0.1], [], batch_size=32)
    print(peak_memory())


def peak_memory() -> float:
    """Peak memory of this process in MiB, on Linux; getrusage would report the parent's where that is higher."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1024


def run_fresh(code: str, **environment: str) -> float:
    """The number that a fresh Python process prints, with some environment variables."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def memory_growth() -> dict:
    """Peak memory of the explanation and perturbation pass over many images, and over few."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inputs.npy"
        np.save(path, np.random.default_rng(0).integers(0, 256, (MANY, SIZE, SIZE), np.uint8))
        runs = [[run_fresh(ALL_PASSES.format(path=path, count=n)) for n in (FEW, MANY)] for _ in range(REPEATS)]
    few, many = zip(*runs, strict=True)
    ratios = [after / before for before, after in runs]
    return entry(ratios, many, few, "MiB", f"the same passes over {FEW} images instead of {MANY:,}")


def import_seconds() -> dict:
    """`import cxrlib` in a process that has imported torch."""
    found = [run_fresh(IMPORT) for _ in range(REPEATS)]
    torch_alone = [run_fresh("import time; t = time.perf_counter(); import torch; print(time.perf_counter() - t)")]
    torch_alone *= REPEATS
    result = entry(found, found, torch_alone, "s", "torch's own import")
    return result | {"ratio": statistics.median(found)}


def measure() -> Iterator[tuple[str, dict]]:
    """All entries of this module, as they are measured."""
    yield "memory_growth", memory_growth()
    yield "import_seconds", import_seconds()
