"""A process that imports the notebooks' libraries once and forks a kernel for each of them.

Reads requests from standard input, one JSON object per line, and answers each with the process id of a kernel on what
was its standard output; what modules print goes to standard error. Between requests it imports what later notebooks
will need. It computes nothing, so that a fork behaves like a new interpreter: the only threads are the idle ones that
linear algebra libraries keep, which these start again after a fork. When its input ends the server exits; its kernels
watch it and exit too.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import sys
import warnings


def serve(waiting: list[str]) -> None:
    """Answer requests until the input ends; `waiting` are names of modules to import meanwhile."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # kernels that ended leave no zombie processes
    gc.disable()  # importing makes a million objects that stay; to look through them again and again takes seconds
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # Python 3.12, see above
    requests = os.fdopen(0, "rb", buffering=0)  # a buffer would hide further requests from select
    answers, server = os.dup(1), os.getpid()
    os.dup2(2, 1)
    sys.stdout = sys.stderr  # does not keep words for the kernels that are forked
    while True:
        if waiting and not select.select([requests], [], [], 0)[0]:
            _import(waiting.pop(0))
            continue
        line = requests.readline()
        if not line:
            return
        request = json.loads(line)
        for name in request["modules"]:
            _import(name)
        gc.freeze()  # kernels, too, leave alone what was imported here
        pid = os.fork()
        if pid == 0:
            os.close(answers)
            _become_kernel(request["arguments"], request["environment"], server)
        try:
            os.write(answers, b"%d\n" % pid)
        except BrokenPipeError:  # the run was killed after it asked
            os.kill(pid, signal.SIGKILL)
            return


def _import(name: str) -> None:
    """Import a module. Errors are ignored here, an exit too: the notebook's own import reports them."""
    with contextlib.suppress(Exception, SystemExit):
        importlib.import_module(name)


def _become_kernel(arguments: list[str], environment: dict[str, str], server: int) -> None:
    """Run ipykernel in this process, which leads a session of its own, and exit; at once if the server has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    gc.enable()
    os.setsid()
    if os.getppid() != server:  # nothing would end this kernel
        os._exit(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["ipykernel_launcher", *arguments, f"--IPKernelApp.parent_handle={server}"]
    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance()
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1:])
