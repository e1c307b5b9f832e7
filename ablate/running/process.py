"""What a worker is as a process: how it is started, what it may use, how it says why it ended."""

from __future__ import annotations

import contextlib
import enum
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from model import errors
from model.errors import UserError
from model.files import storage_errors

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""What the numerical libraries take their number of threads from."""

# Start a worker that imports exactly what this process would: ``-m`` would let a folder called
# "model" in the user's working directory shadow ours.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from ablate.running.worker import main; sys.exit(main())"
)


FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that no process comes to by itself."""


class Exit(enum.IntEnum):
    """How a worker process says why it ended; anything else is a death, 0 too: any library may exit so."""

    DONE = 79
    """Nothing left to take."""
    RECYCLE = 80
    """A run failed and is recorded; a fresh process should go on: this one's memory or CUDA context
    may be spoilt."""
    STOPPED = 81
    """Stopped as asked; its run is back in the queue."""
    USER = 82
    """A user's error, before or outside any run; the worker's file says which."""


# --- cores, threads, devices ----------------------------------------------------------------------


def worker_environment(threads: int, *, gpu: str | None = None) -> dict[str, str]:
    """This process's environment for a worker of so many threads: the plan's number, never the machine's.

    The order of sums, hence a result's last bits, depends on it.
    """
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    # Threads that spin while they wait starve each other where other programs share the cores: a
    # step of a small model was seen to take 50 times as long.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    return environment


def hold_torch_to_threads() -> None:
    """Hold torch, if it is loaded, to the threads that this process was started with."""
    torch, threads = sys.modules.get("torch"), os.environ.get(THREAD_VARIABLES[0], "")
    if torch is not None and threads.isdigit():
        torch.set_num_threads(int(threads))


def default_device() -> str:
    """``cuda`` if torch is loaded and sees a GPU, else ``cpu``."""
    torch = sys.modules.get("torch")
    return "cuda" if torch is not None and torch.cuda.is_available() else "cpu"


def device_name(device: str | None = None) -> str:
    """The hardware that ``device`` (default: torch's choice) stands for: a GPU's name, or ``cpu``."""
    kind = default_device() if device is None else device.partition(":")[0]
    torch = sys.modules.get("torch")
    if kind == "cuda" and torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return kind


# --- start and end --------------------------------------------------------------------------------


def start_worker(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """A worker process (see :mod:`ablate.running.worker`) that prints to the end of ``log``.

    It leads a process group of its own. Its standard input is a pipe that the kernel closes when this
    process dies, however it dies (see :func:`when_alone`).
    Raises :class:`StorageError` if the log cannot be written.
    """
    path = json.dumps([entry or str(Path.cwd()) for entry in sys.path])
    with storage_errors(log), log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-c", _BOOT, path, *arguments],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def let_go(process: subprocess.Popen[bytes]) -> None:
    """Close our end of an ended worker's pipe."""
    if process.stdin is not None:
        process.stdin.close()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and all it has started, if they still live."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def death(code: int) -> str:
    """What a worker died of, from its exit status."""
    if code >= 0:
        return f"worker died (exit status {code})"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = "; often: the system ran out of memory" if -code == signal.SIGKILL else ""
    return f"worker died (signal {name}{hint})"


def dump_error(error: UserError) -> dict[str, Any]:
    """A user's error as plain data, to tell another process."""
    return {
        "type": type(error).__name__,
        "message": error.message,
        "where": error.where,
        "hint": error.hint,
    }


def rebuild_error(values: Mapping[str, Any]) -> UserError:
    """The inverse of :func:`dump_error`."""
    kind = getattr(errors, str(values.get("type")), UserError)
    message = str(values.get("message", "a worker stopped without saying why"))
    return kind(message, where=values.get("where"), hint=values.get("hint"))


# --- inside ---------------------------------------------------------------------------------------


def load_function(name: str) -> Callable[..., Any]:
    """The function a ``module:function`` names. Raises ImportError or AttributeError."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def when_alone(act: Callable[[], object], patience: float) -> None:
    """In a worker: call ``act`` when its supervisor is gone; ``patience`` seconds later, kill its group.

    Standard input is taken for it, and empty from now on.
    """
    pipe = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)

    def wait() -> None:
        os.read(pipe, 1)  # nothing is ever written: it returns when the other end is closed
        act()
        time.sleep(patience)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait, name="supervisor", daemon=True).start()


@contextlib.contextmanager
def redirected(log: Path, title: str) -> Iterator[None]:
    """Send everything this process prints, also from C, to the end of ``log``."""
    with storage_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        stream = log.open("a", encoding="utf-8", buffering=1)
    saved = [os.dup(1), os.dup(2)]
    try:
        with stream, contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            print(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {title} (process {os.getpid()})")
            for number in (1, 2):
                os.dup2(stream.fileno(), number)
            yield
    finally:
        for number, original in zip((1, 2), saved, strict=True):
            os.dup2(original, number)
            os.close(original)
