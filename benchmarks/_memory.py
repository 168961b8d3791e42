"""Memory of a piece of work, in a process of its own."""

import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import joblib
import numpy as np


def memory_row(work, beside, ratio, target, found):
    """A row of the table that compares memory."""
    row = {"work": work, "beside": beside, "ratio": ratio, "to reach": target}
    return row | {"ours (s)": found["seconds"], "theirs (s)": None}


def mebibytes(n):
    """A number of bytes in words."""
    return f"{n / 2**20:.0f} MiB"


def in_fresh_process(learner, method, images, n_threads=None):
    """Seconds, bytes of output and bytes on top of a learner's method; None: as many as here."""
    threads = {} if n_threads is None else {"OMP_NUM_THREADS": str(n_threads)}
    with tempfile.TemporaryDirectory() as folder:
        joblib.dump((learner, method), Path(folder) / "work.joblib")
        np.save(Path(folder) / "images.npy", images)
        command = [sys.executable, __file__, folder]
        options = {"env": os.environ | threads, "capture_output": True, "text": True}
        answer = subprocess.run(command, check=True, **options).stdout
    return json.loads(answer)


def work_and_tell_memory(folder):
    """What the fresh process does: JSON with seconds, bytes of output and bytes on top."""
    (learner, method), images = (
        joblib.load(folder / "work.joblib"),
        np.load(folder / "images.npy"),
    )
    before = resident_bytes()
    start = perf_counter()
    result = getattr(learner, method)(images)
    seconds = perf_counter() - start
    output = getattr(result, "nbytes", 0)
    extra = peak_bytes() - before - output
    return json.dumps({"seconds": seconds, "output": output, "extra": extra})


def resident_bytes():
    """Memory of this process now; where the system does not tell, the largest so far."""
    return _status_bytes("VmRSS")


def peak_bytes():
    """The largest memory of this process so far."""
    return _status_bytes("VmHWM")


def forget_peak():
    """Let the largest memory be that of now, without what is only kept for later; on Linux."""
    place = Path("/proc/self/clear_refs")
    if place.exists():
        ctypes.CDLL(None).malloc_trim(0)
        place.write_text("5")


def _status_bytes(key):
    # Linux lets a child inherit its parent's ru_maxrss, so that is only the second choice.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(s for s in status.read_text().splitlines() if s.startswith(key))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    print(work_and_tell_memory(Path(sys.argv[1])))
