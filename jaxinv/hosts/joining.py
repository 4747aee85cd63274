"""How a command becomes one of several processes: the options, joining, and how it leaves."""

import contextlib
import dataclasses
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxinv.command_line import INTERRUPTED, REPORTED, in_one_line, printable
from jaxinv.hosts import agreement, runtime_log
from jaxinv.hosts.meeting import FOLDER, Meeting, meeting_in, meetings
from jaxinv.versions import versions

# Seconds after which a process that says nothing is lost.
HEARTBEAT = 30
# Seconds that a process waits for the others to end as well: as long as they work.
SHUTDOWN = 30 * 24 * 3600
# Seconds in which process 0 may write a report that was interrupted.
LAST_WORDS = 60.0
# Seconds in which processes that are there see that process 0 is about to end.
LAST_LOOK = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hosts:
    """Whether a command runs in one process, or in several that work together."""

    distributed: bool = False
    """Work together with the same command in other processes, as Slurm, a TPU pod, Kubernetes or
    Open MPI started it; all see the folder of the results."""
    coordinator: str | None = None
    """Work together with processes started by hand: host:port where process 0 listens; with
    --processes and --process."""
    processes: int | None = None
    """How many processes there are, such as one a host."""
    process: int | None = None
    """Which of them this is, from 0. Process 0 prints and writes reports."""
    join_seconds: int = 300
    """How long to wait at the start until all processes are there."""

    @property
    def together(self) -> bool:
        """Whether there are other processes."""
        return self.distributed or self.coordinator is not None


def check(options: Hosts) -> None:
    """Raises ValueError if options of several processes do not fit together."""
    count, index = options.processes, options.process
    if options.coordinator is None:
        for name in ("processes", "process"):
            if getattr(options, name) is not None:
                raise ValueError(f"{name} means nothing without coordinator, host:port")
    else:
        host, _, port = options.coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError(
                f"coordinator is {options.coordinator!r}; allowed are host:port, such as "
                "10.0.0.1:9876"
            )
        if count is None or index is None:
            raise ValueError("coordinator needs processes, their number, and process, from 0")
        if count < 1:
            raise ValueError(f"processes is {count}; allowed are numbers from 1")
        if not 0 <= index < count:
            raise ValueError(
                f"process is {index}; allowed are numbers from 0 to {count - 1}, for {count} "
                "processes"
            )
    if not 1 <= options.join_seconds <= 24 * 3600:
        raise ValueError(f"join_seconds is {options.join_seconds}; allowed are 1 to 86400")


@contextlib.contextmanager
def together(options: Hosts, folder: Path, *, name: str, again: str) -> Iterator[None]:
    """Runs the block in all processes that the options speak of; alone, if of none.

    A process that fails within the block ends, and so do the others.

    Args:
      options: which processes.
      folder: of the results; all processes have to see it.
      name: of the program, for messages.
      again: what to do after a process was lost, as the end of a sentence.

    Raises:
      ValueError: there are no such processes, they have other options, code or devices, or do not
        share the folder.
    """
    if not options.together:
        yield
        return
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    own = None
    if options.processes is not None:
        assert options.process is not None
        own = place / runtime_log.present(options.process, options.processes)
        own.write_text("")
    _read_the_runtime(
        {
            "name": name,
            "again": again,
            "folder": str(place.absolute()),
            "index": options.process,
            "count": options.processes,
            "wait": options.join_seconds,
        }
    )
    try:
        _join(options)
        agreement.refuse_differences(_alike(options))
        meeting_in(folder)
        if not agreement.first():
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115, until the process ends
        yield
        _end()
    except BaseException as error:
        _leave(error, own, name=name, again=again)
    if own is not None:
        own.unlink(missing_ok=True)


def _read_the_runtime(world: dict[str, Any]) -> None:
    """Lets a second process read what is written below Python, and Python write beside it."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    out, err = os.dup(1), os.dup(2)
    # A session of its own: Ctrl-C is not for it. It ends when this process has.
    script = [sys.executable, "-I", runtime_log.__file__, json.dumps(world)]
    reader = subprocess.Popen(
        script, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    assert reader.stdin is not None
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # Gloo says there that it is connected
    os.dup2(reader.stdin.fileno(), 2)
    os.close(nowhere)
    reader.stdin.close()
    for stream, place in (("stdout", out), ("stderr", err)):
        opened = io.TextIOWrapper(
            open(place, "wb"),  # noqa: SIM115, until the process ends
            encoding=getattr(sys, stream).encoding,
            errors="backslashreplace",
            line_buffering=True,
        )
        setattr(sys, stream, opened)


def _join(options: Hosts) -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would take SIGTERM away from Python.
    jax.config.update("jax_enable_preemption_service", False)
    given: dict[str, Any] = {}
    if options.coordinator is not None:
        if options.process == 0:
            _refuse_used_port(options.coordinator)
        given = {
            "coordinator_address": options.coordinator,
            "num_processes": options.processes,
            "process_id": options.process,
            "cluster_detection_method": "deactivate",
        }
    try:
        jax.distributed.initialize(
            **given,
            initialization_timeout=options.join_seconds,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=SHUTDOWN,
        )
    except ValueError as error:
        raise ValueError(
            "distributed finds no Slurm, TPU pod, Kubernetes or Open MPI around it "
            f"({in_one_line(error)}); give coordinator, processes and process"
        ) from error
    except jax.errors.JaxRuntimeError as error:
        at = f" at {options.coordinator}" if options.coordinator else ""
        raise ValueError(f"processes cannot be connected{at}: {in_one_line(error)}") from error
    # Connections are made for each set of devices at the first collective, which all processes
    # have to reach soon after one another: now.
    agreement.gather("")
    mesh = jax.make_mesh((jax.device_count(),), ("all",), axis_types=(AxisType.Auto,))
    ones = jax.make_array_from_callback(
        (jax.device_count(),), NamedSharding(mesh, PartitionSpec("all")), lambda at: jnp.ones(1)
    )
    jax.block_until_ready(jax.jit(jnp.sum)(ones))


def _refuse_used_port(coordinator: str) -> None:
    """Raises ValueError if process 0 cannot listen, where the runtime would crash."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        port = int(coordinator.rpartition(":")[2])
        with socket.create_server(("", port), family=family, dualstack_ipv6=both):
            pass
    except OSError as error:
        raise ValueError(
            f"coordinator is {coordinator}, and process 0 cannot listen there: {error.strerror}"
        ) from error


def _alike(options: Hosts) -> dict[str, str]:
    """What has to be the same in all processes, in words."""
    own = ("coordinator", "process", "join_seconds")
    asked = {k: str(v) for k, v in dataclasses.asdict(options).items() if k not in own}
    code = {f"{library} of version": version for library, version in versions().items()}
    devices = {
        "local devices": str(jax.local_device_count()),
        "devices of kind": str(jax.local_devices()[0].device_kind),
    }
    return asked | code | devices


def _end() -> None:
    """Waits for process 0, which may have more to do, and ends together."""
    for meeting in meetings():
        meeting.say("done")
        meeting.wait_for({0: meeting.path("done", 0)})
    first = agreement.first()
    jax.distributed.shutdown()
    if first:
        for meeting in meetings():
            shutil.rmtree(meeting.folder, ignore_errors=True)


def _leave(error: BaseException, own: Path | None, *, name: str, again: str) -> None:
    """Ends this process, and does not wait for the others: they may be lost."""
    status, said = 1, in_one_line(error)
    if isinstance(error, KeyboardInterrupt):
        status = INTERRUPTED
    elif _is_of_a_connection(error):
        said = f"error: another process of the run was lost ({said}){again}"
    else:
        said = f"error: {said}"
    os.write(2, runtime_log.LEFT.encode())
    if not isinstance(error, (KeyboardInterrupt, *REPORTED)):
        traceback.print_exception(error)
    print(f"{name}: {printable(said)}", file=sys.stderr)
    if own is not None:
        own.unlink(missing_ok=True)
    for meeting in meetings():
        with contextlib.suppress(OSError, ValueError, KeyboardInterrupt):
            meeting.say("failed", said.removeprefix("error: "))
            if status == INTERRUPTED and not agreement.first():
                # Process 0 writes down what there is, and would be ended if this one ended first.
                meeting.wait_for({0: meeting.path("done", 0)}, seconds=LAST_WORDS)
        with contextlib.suppress(OSError, KeyboardInterrupt):
            _leave_in_order(meeting)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _leave_in_order(meeting: Meeting) -> None:
    """Process 0 ends last: without it the runtime ends the others in the midst of what they say."""
    if agreement.first():
        others = {i: meeting.path("left", i) for i in range(1, jax.process_count())}
        meeting.wait_for(others, seconds=LAST_LOOK, failed_too=True)
    else:
        meeting.say("left")


def _is_of_a_connection(error: BaseException | None) -> bool:
    if error is None:
        return False
    said = str(error)
    if isinstance(error, jax.errors.JaxRuntimeError) and "onnection" in said:
        return True
    # Some calls raise errors of other kinds, and a checkpoint cannot be written by the rest alone.
    words = ("Gloo", "NCCL", "heartbeat", "Barrier", "coordination service")
    return any(word in said for word in words) or _is_of_a_connection(error.__cause__)
