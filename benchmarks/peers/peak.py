"""The largest memory that a process had."""

import resource
import sys
from pathlib import Path


def peak_bytes() -> int:
    """Of this process, of its own program alone.

    On Linux from /proc: what getrusage says there includes the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
