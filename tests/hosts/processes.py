"""Real processes on the loopback address that run one command together, two devices each."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Networks of ten classes: one that takes no time, and one whose shard takes about half a second.
NETWORKS = """
import jax, jax.numpy as jnp
def columns(images):
    return jnp.stack([images[:, :, i::3].sum((1, 2, 3)) for i in range(10)], -1)
def slow(images):
    def turn(_, x):
        return jnp.sin(x) + 0.1
    return columns(jax.lax.fori_loop(0, 400, turn, images))
"""


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def slurm_variables(job, count, process):
    """What Slurm tells the tasks of a step; JAX chooses the port by the number of the job."""
    told = {"JOB_ID": job, "STEP_NODELIST": "localhost", "NTASKS": count}
    told |= {"PROCID": process, "LOCALID": process}
    return {f"SLURM_{name}": str(value) for name, value in told.items()}


class Together:
    """A command in several processes."""

    def __init__(
        self, program, options, *, count=2, own=None, folders=None, before="", slurm=False
    ):
        """Starts the processes.

        Args:
          program: "train" or "evaluate".
          options: its options.
          count: number of processes.
          own: further options by process; None starts it not at all.
          folders: the current folder of each process.
          before: what each runs before the program, with its number as `process`.
          slurm: whether they find one another by the variables that Slurm sets.
        """
        flags = "--xla_force_host_platform_device_count=2"
        environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}
        port = free_port()
        self.processes = {}
        for process in range(count):
            if own is not None and own.get(process, ()) is None:
                continue
            given = [*options, *(own or {}).get(process, ())]
            if slurm:
                given += ["--distributed"]
                environment = environment | slurm_variables(port, count, process)
            else:
                given += ["--coordinator", f"127.0.0.1:{port}"]
                given += ["--processes", str(count), "--process", str(process)]
            run = f"from jaxinv.commands import main; sys.exit(main([{program!r}, *sys.argv[1:]]))"
            script = f"import sys; sys.path.insert(0, ''); process = {process}; {before}\n{run}"
            self.processes[process] = subprocess.Popen(
                [sys.executable, "-c", script, *map(str, given)],
                cwd=folders[process] if folders else None,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.processes.values():
            process.kill()
            process.wait()

    def end(self, *, timeout=240):
        """Exit status, standard output and standard error of each process."""
        found = {}
        for index, process in self.processes.items():
            out, err = process.communicate(timeout=timeout)
            found[index] = process.returncode, out, err
        return found


def finished(program, options, **how):
    """A command that ends well in all processes, of which process 0 alone prints."""
    with Together(program, options, **how) as run:
        ends = run.end()
    for index, (status, out, err) in ends.items():
        assert status == 0, (index, err)
        assert index == 0 or not out + err
    return ends[0][1]


def error_lines(text, program):
    """What is printed, without the lines of epochs and networks: one line that names an error."""
    said = re.compile(r": epoch \d+/|: right on ")
    lines = [line for line in text.splitlines() if not said.search(line)]
    assert len(lines) == 1, text
    assert lines[0].startswith(f"jaxinv {program}: "), text
    return lines[0]
