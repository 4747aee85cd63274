"""Standard error of a process of several, read by a second one that outlives it.

When a process is lost, JAX's runtime ends the others below Python, with pages of C++. This program
gets what they write there: it passes on what is no concern of the runtime that connects processes,
and says the rest in one line. It is started by its path and needs the standard library only.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

_OF_THE_RUNTIME = re.compile(
    r"coordination|distributed|preemption|add_port|absl::|Check failure|^\s+@ +0x|^RPC:|Gloo"
)
_FATAL = re.compile(r"Terminating process|terminate called|Check failure")
# What the names of the files begin with by which processes announce themselves.
PRESENT = "present-"
# What a process writes before it says itself why it ends.
LEFT = "\0left\n"
_TASK = re.compile(r"^(?:/job\S*/task:)?(\d+)$", re.MULTILINE)


def said_of(text: str, world: dict[str, Any]) -> str:
    """What the runtime's last words mean.

    Args:
      text: what it wrote.
      world: `name` of the program, `again` (what to do now), `folder` in which the processes of the
        run announce themselves, `index` and `count` (None: not known), seconds to `wait`.

    Example:
      >>> world = {"name": "train.py", "again": "", "count": 2, "index": 0}
      >>> said_of("F1 Terminating process ... are unhealthy (...):\\n1\\n", world)
      'train.py: error: process 1 of the run was lost'
      >>> said_of("E1 unrelated", world)
      'E1 unrelated'
    """
    if not _FATAL.search(text):
        return text
    if "RegisterTask" in text or "ConnectionTimeout" in text:
        return f"{world['name']}: error: {_missing(world)} within {world['wait']:g} seconds"
    lost = sorted(set(map(int, _TASK.findall(text))))
    if not lost:
        lost = [0]  # which tells of the others
    which = "process" if len(lost) == 1 else "processes"
    were = "was" if len(lost) == 1 else "were"
    return (
        f"{world['name']}: error: {which} {', '.join(map(str, lost))} of the run {were} lost"
        f"{world['again']}"
    )


def _missing(world: dict[str, Any]) -> str:
    """Who did not come: those without a file of their own that is as young as this process's."""
    if world["count"] is None:
        return "not all processes of the run came"
    folder = Path(world["folder"])
    own = (folder / present(world["index"], world["count"])).stat().st_mtime
    missing = []
    for index in range(world["count"]):
        path = folder / present(index, world["count"])
        if not path.exists() or path.stat().st_mtime < own - world["wait"]:
            missing.append(str(index))
    if not missing:
        return f"all {world['count']} processes are there, but did not reach the coordinator"
    which = "process" if len(missing) == 1 else "processes"
    return f"{which} {', '.join(missing)} of {world['count']} did not come"


def present(index: int, count: int) -> str:
    """The file by which a process announces itself."""
    return f"{PRESENT}{index}-of-{count}"


def main() -> None:
    """Reads standard input to its end, which is the end of the process that writes it."""
    world = json.loads(sys.argv[1])
    held, left = "", False
    for raw in sys.stdin.buffer:
        line = raw.decode(errors="replace")
        if line == LEFT:
            left = True
        elif held or _OF_THE_RUNTIME.search(line):
            held += line
        else:
            sys.stderr.write(line)
            sys.stderr.flush()
    if held and not left:
        print(said_of(held, world).rstrip("\n"), file=sys.stderr)


if __name__ == "__main__":
    main()
