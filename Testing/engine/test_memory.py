"""Memory of the process: known, kept for the next use, and given back."""

import subprocess
import sys

import pytest

# Eight times 200 MB, each time written to: the system clears 51,200 pages for each that it hands out anew.
CODE = """
import resource, numpy as np
from lckd import memory
{before}
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(25_000_000)
start = faults()
for _ in range(8): np.ones(25_000_000)
print(faults() - start, memory.resident_mb())
memory.return_free_memory()
print(memory.resident_mb())
"""


def run(before: str, environment: dict[str, str]) -> tuple[int, float, float]:
    command = [sys.executable, "-c", CODE.format(before=before)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    faults, kept, left = done.stdout.split()
    return int(faults), float(kept), float(left)


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux")
def test_freed_memory_is_kept_until_it_is_given_back(subprocess_environment: dict[str, str]) -> None:
    usual, _, _ = run("", subprocess_environment)
    faults, kept, left = run("memory.keep_freed_memory()", subprocess_environment)
    assert faults < 0.1 * usual
    assert kept - left > 150
