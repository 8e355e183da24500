"""Shared by the Python programs here: finding tlsboot, and running it so that an interrupt stops it cleanly."""

import os, signal, subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# tlsboot's own exit code for it.
INTERRUPTED = 130

_running = None


def executable():
    """TLSBOOT, or a release build of this tree."""
    if given := os.environ.get("TLSBOOT"):
        return given
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "-p", "tlsboot"], check=True, cwd=ROOT)
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release" / "tlsboot"


def catch_interrupts():
    """A list that is no longer empty after Ctrl-C or SIGTERM. Commands of `run` also get Ctrl-C; SIGTERM is forwarded."""
    caught = []

    def handle(number, _):
        caught.append(number)
        if number == signal.SIGTERM and _running:
            _running.terminate()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
    return caught


def run(command, **streams):
    """Runs a command to its end, and returns its exit code, as a shell reports it if the command was killed."""
    global _running
    _running = subprocess.Popen(command, cwd=ROOT, **streams)
    code = _running.wait()
    return code if code >= 0 else 128 - code
