"""SIGTERM ends a process once, whatever came between."""

import subprocess
import sys

import pytest

CODE = """
import asyncio, signal, time
from notebook_pipeline.system.signals import ended_by_signals

async def leave_a_handler():  # as papermill does
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)

with ended_by_signals():
    try:
        with ended_by_signals():
            if {before}:
                print("ready", flush=True)
                time.sleep(180)
            asyncio.run(leave_a_handler())
        print("ready", flush=True)
        time.sleep(180)
    except KeyboardInterrupt:
        print("cleaning up", flush=True)
        time.sleep(1)
        print("clean")
"""


@pytest.mark.parametrize("before", [True, False])
def test_a_second_sigterm_does_not_interrupt_the_clean_up(before):
    with subprocess.Popen(
        [sys.executable, "-c", CODE.format(before=before)], stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        for line in ("ready\n", "cleaning up\n"):
            assert process.stdout.readline() == line
            process.terminate()
        assert process.communicate(timeout=180)[0] == "clean\n"
    assert process.returncode == 0
