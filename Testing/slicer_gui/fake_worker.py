"""A worker that speaks the protocol of ``lckd.worker`` and does to its client what a real one should never do.

    python fake_worker.py [--launch] [--parent PID]

The field ``job`` of a request names what it does. With ``--launch`` it starts itself as a child and waits, as
PythonSlicer does.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from typing import Any

cancelled: set[Any] = set()
waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
silent = threading.Event()
output = threading.Lock()


def emit(event: str, request: Any = None, **facts: Any) -> None:
    """Write one event."""
    write(json.dumps({"event": event, "id": request, **facts}, ensure_ascii=False).encode() + b"\n")


def write(content: bytes) -> None:
    """Write bytes to stdout at once."""
    with output:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def beat() -> None:
    """Tell that it lives, unless it plays dead."""
    while not silent.wait(0.2):
        emit("heartbeat")


def read() -> None:
    """Take requests; cancel is done at once."""
    for line in sys.stdin.buffer:
        request = json.loads(line)
        if request["do"] == "cancel":
            cancelled.add(request["target"])
            emit("result", request["id"], found=True)
        elif request["do"] == "ping":
            emit("result", request["id"], busy=None)
        else:
            waiting.put(request)
    if not silent.is_set():
        os._exit(0)


def answer(request: dict[str, Any]) -> None:
    """Do what the request names."""
    name, job = request["id"], str(request.get("job"))
    if job in ("steps", "deaf", "children"):
        work(name, job)
    elif job == "refuse":
        emit("error", name, code="NO_SEQUENCE", message="There is no image.", action="Choose one.")
    elif job == "crash":
        print("it hurts", file=sys.stderr, flush=True)
        os.kill(os.getpid(), 9)
    elif job == "exit":
        print("Tumör ≠ CSF", file=sys.stderr, flush=True)
        os._exit(3)
    elif job == "dead":
        silent.set()
        time.sleep(600)
    elif job == "bars":
        for step in range(50):
            os.write(2, f"\rstep {step}".encode())
        os.write(2, b"x" * 200_000)
        os.write(2, b"\r\nafterwards\n")
        emit("result", name, fine=True)
    elif job == "garbage":
        write(b'loading...\n{"event": \n[1]\n{"id": 5}\n\xff\xfe\n')
        emit("result", name, fine=True)
    elif job == "bytes":
        line = json.dumps({"event": "result", "id": name, "text": "é≠😀"}, ensure_ascii=False).encode() + b"\n"
        with output:
            for byte in line:
                sys.stdout.buffer.write(bytes([byte]))
                sys.stdout.buffer.flush()
                time.sleep(0.005)
    else:
        keys = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONIOENCODING", "PYTHONSAFEPATH")
        emit("result", name, pid=os.getpid(), environment={key: os.environ.get(key) for key in keys})


def work(name: Any, job: str) -> None:
    """Progress for a second, or for minutes and deaf to being cancelled."""
    if job == "children":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        emit("stage", name, stage=str(child.pid))
        silent.set()
    emit("stage", name, stage="network")
    for step in range(3000 if job != "steps" else 20):
        if job == "steps" and name in cancelled:
            emit("cancelled", name)
            return
        emit("progress", name, fraction=step / 3000)
        time.sleep(0.05)
    emit("result", name, pid=os.getpid())


def launch() -> int:
    """Start itself as a child and return the status, as Slicer's launcher does also where the child has crashed."""
    status = subprocess.call([sys.executable, __file__])
    if status >= 0:
        return status
    print("error: [/opt/Slicer/bin/python-real] exit abnormally - Report the problem.", file=sys.stderr, flush=True)
    return 1


def main() -> None:
    """Answer until stdin is closed."""
    if "--launch" in sys.argv:
        sys.exit(launch())
    emit("hello", pid=os.getpid(), version="0", protocol=1)
    threading.Thread(target=beat, daemon=True).start()
    threading.Thread(target=read, daemon=True).start()
    while True:
        request = waiting.get()
        if request["id"] in cancelled:
            emit("cancelled", request["id"])
        else:
            answer(request)


if __name__ == "__main__":
    main()
