"""Kernels for notebooks: of the running interpreter, quick to start, and ended when the run ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.runtime.fingerprints import PACKAGE, code_files, imported_names
from cxrlib.workflow.failures import NotebookFailed
from cxrlib.workflow.notebooks import code_of

if TYPE_CHECKING:
    from jupyter_client import KernelClient, KernelManager


ENVIRONMENT = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # with agg, figures vanish from executed notebooks
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # silences the debugger's warning about frozen modules
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # looking for a GPU does not start CUDA, which would not survive a fork
}


OPTIONS = [
    "--log-level=CRITICAL",  # errors are in the cells
    "--HistoryManager.hist_file=:memory:",
    '--IPKernelApp.exec_lines=__import__("cxrlib.workflow.filelog").workflow.filelog.begin()',
]


FORKS = sys.platform == "linux"
"""Whether kernels are forked from a server. Outside Linux a fork is impossible or breaks system libraries; there every
kernel starts as a new interpreter."""


class Kernels:
    """Starts the kernels of a run. The user's settings of IPython and start-up scripts do not reach them.

    A kernel takes seconds to import torch and the other libraries. A server imports them once and forks a kernel for
    each notebook. Measured by turns on two cores of an AMD EPYC, until the imports of ten notebooks had run: 12 to 16 s
    with the server, 57 to 64 s without it. That is 27 % of a run of the smoke profile and 10 % of the demo's.

    Args:
        notebooks: those that will run, in order; what they import is imported ahead. None: nothing is started.
        inherited: a file descriptor that all kernels keep open.
    """

    def __init__(self, notebooks: list[Path], inherited: int) -> None:
        self.inherited = inherited
        self.settings = tempfile.TemporaryDirectory(prefix="ipython-")
        self.environment = ENVIRONMENT | {"IPYTHONDIR": self.settings.name}
        self.server = None
        if FORKS and notebooks:
            modules = [name for notebook in notebooks for name in _modules_of(notebook)]
            self.server = subprocess.Popen(
                [sys.executable, "-m", "cxrlib.workflow.kernel_server", "ipykernel.kernelapp", *dict.fromkeys(modules)],
                cwd=PROJECT_ROOT,
                env=os.environ | self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[inherited],
                start_new_session=True,  # Ctrl-C reaches the run alone, not the server
            )

    def __enter__(self) -> Kernels:
        return self

    def __exit__(self, *_: object) -> None:
        if self.server:
            self.server.kill()
            self.server.communicate()
        self.settings.cleanup()

    def start(self, notebook: Path, environment: dict[str, str]) -> KernelManager:
        """Start a kernel of the running interpreter, not one of the kernels that are installed on the machine.

        Args:
            notebook: the notebook that will run in the kernel.
            environment: variables of the kernel besides those of this process.
        """
        from ipykernel.kernelspec import RESOURCES, get_kernel_dict
        from jupyter_client import KernelManager
        from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

        class RunningInterpreter(KernelSpecManager):
            def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
                specification = get_kernel_dict(extra_arguments=OPTIONS)
                return KernelSpec(resource_dir=RESOURCES, **specification)

        class OwnKernelManager(KernelManager):
            own_client = None

            def client(manager, **options: object) -> KernelClient:
                manager.own_client = super().client(**options)
                return manager.own_client

        class ForkedKernelManager(OwnKernelManager):
            async def _async_launch_kernel(manager, command: list[str], **options: object) -> None:
                manager.provisioner.process = self._fork(notebook, command[3:], options["env"])
                manager.provisioner.pid = manager.provisioner.pgid = manager.provisioner.process.pid
                manager._reconcile_connection_info(manager.provisioner.connection_info)

        manager = (ForkedKernelManager if self.server else OwnKernelManager)(
            kernel_spec_manager=RunningInterpreter(),
            client_class="jupyter_client.asynchronous.AsyncKernelClient",  # papermill calls the client with await
        )
        # not as part of the specification, where a dollar sign in a path would begin the name of a variable
        variables = os.environ | self.environment | environment
        manager.start_kernel(cwd=str(PROJECT_ROOT), pass_fds=[self.inherited], env=variables)
        return manager

    def _fork(self, notebook: Path, arguments: list[str], environment: dict[str, str]) -> ForkedProcess:
        """Ask the server for a kernel; `arguments` are those of ipykernel.

        Raises:
            NotebookFailed: the server is gone.
        """
        request = {"modules": _modules_of(notebook), "arguments": arguments, "environment": environment}
        answer = b""
        with contextlib.suppress(BrokenPipeError):
            self.server.stdin.write((json.dumps(request) + "\n").encode())
            self.server.stdin.flush()
            answer = self.server.stdout.readline()
        if not answer:
            raise NotebookFailed(
                "the process that starts the kernels has ended, perhaps for want of memory; run it again"
            )
        return ForkedProcess(int(answer))


class ForkedProcess:
    """A kernel that the server forked, with the methods of subprocess.Popen that jupyter_client calls."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """None while the process lives, else 0: only its parent, the server, could read its exit code."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    wait = poll

    def send_signal(self, number: int) -> None:
        """Send a signal; without effect if the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the process to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process."""
        self.send_signal(signal.SIGKILL)


def stop_kernel(manager: KernelManager) -> None:
    """End a kernel at once, without waiting for its cell."""
    if manager.own_client:
        manager.own_client.stop_channels()
    if manager.has_kernel:
        manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


def _modules_of(notebook: Path) -> list[str]:
    """Modules that a notebook loads: those of the project behind the names that it imports, and others by name."""
    names = imported_names(code_of(notebook))
    files = [path.relative_to(PROJECT_ROOT).with_suffix("") for path in code_files(names) if path.suffix == ".py"]
    return sorted([".".join(file.parts) for file in files] + [name for name in names if not name.startswith(PACKAGE)])
