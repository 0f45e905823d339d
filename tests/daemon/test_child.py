import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from facegate.daemon.child import MAX_OUTPUT, Killed, cores_to_spare, run_limited
from tests.e2e.household import wait_until


def python(code: str, **limits):
    given = {"seconds": 30.0, "megabytes": 400.0} | limits
    return run_limited([sys.executable, "-c", code], **given)


def test_a_child_that_ends_by_itself_is_told_whole():
    ended = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (ended.returncode, ended.stdout, ended.stderr, ended.killed) == (3, "out\n", "err\n", Killed.NOT)


def test_a_child_gives_way_leads_a_group_of_its_own_and_leaves_no_core():
    told = (
        "import os, resource; print(os.nice(0), os.getpgid(0) == os.getpid(),"
        " os.sched_getscheduler(0) == os.SCHED_IDLE, resource.getrlimit(resource.RLIMIT_CORE)[0],"
        " os.environ['OMP_NUM_THREADS'], 'NOTIFY_SOCKET' in os.environ,"
        " open('/proc/self/oom_score_adj').read().strip())"
    )
    environ = os.environ | {"NOTIFY_SOCKET": "/run/nobody"}
    nice = min(19, os.nice(0) + 5)
    assert python(told, nice=5, environ=environ).stdout.split() == (
        [str(nice), "True", "False", "0", str(cores_to_spare()), "False", "1000"]
    )
    assert python(told, idle=True, threads=3).stdout.split()[2:5] == ["True", "0", "3"]


def test_a_child_that_takes_too_long_is_ended_in_time():
    ended = python("import time; time.sleep(60)", seconds=0.5)
    assert ended.killed is Killed.TIME
    assert ended.returncode == -signal.SIGTERM
    assert 0.5 <= ended.seconds < 5


def test_a_child_that_does_not_listen_is_killed():
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    ended = python(code, seconds=1.0)
    assert (ended.killed, ended.returncode, ended.stdout) == (Killed.TIME, -signal.SIGKILL, "deaf\n")


def test_a_child_that_fills_the_memory_is_killed_and_so_is_its_child():
    greedy = "import time\nkept = []\nwhile True:\n    kept.append(bytearray(b'x' * 10_000_000)); time.sleep(0.01)"
    for code in (greedy, f"import subprocess, sys; subprocess.run([sys.executable, '-c', {greedy!r}])"):
        ended = python(code, megabytes=150)
        assert ended.killed is Killed.MEMORY
        assert 150 < ended.megabytes < 500


def test_what_maps_much_and_uses_little_is_let_be():
    ended = python("import mmap; mmap.mmap(-1, 2_000_000_000); print('mapped')", megabytes=200)
    assert (ended.stdout, ended.killed) == ("mapped\n", Killed.NOT)


def test_a_child_is_ended_when_it_is_asked_to_stop():
    stop = threading.Event()
    lines = []

    def heard(line: str) -> None:
        lines.append(line)
        stop.set()

    code = "import sys, time; print('at work', file=sys.stderr, flush=True); time.sleep(60)"
    ended = python(code, stop=stop, on_line=heard)
    assert (ended.killed, lines) == (Killed.STOPPED, ["at work"])
    assert ended.seconds < 10


def test_what_a_child_prints_is_bounded_and_never_blocks_it():
    code = "import sys; sys.stdout.write('x' * 5_000_000 + 'end'); sys.stderr.write('y' * 5_000_000 + 'end')"
    ended = python(code)
    assert ended.returncode == 0
    assert (len(ended.stdout), len(ended.stderr)) == (MAX_OUTPUT, MAX_OUTPUT)
    assert ended.stdout.endswith("xend")
    assert ended.stderr.endswith("yend")


def test_a_grandchild_that_stays_behind_holds_nothing_up():
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(p.pid)"
    )
    ended = python(code)
    assert ended.seconds < 10
    wait_until(lambda: not is_alive(int(ended.stdout)), what="the end of the grandchild")


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_does_not_outlive_its_parent(tmp_path, end):
    told = tmp_path / "pid"
    inner = (
        f"import os, time; open({str(told)!r} + '.new', 'w').write(str(os.getpid())); "
        f"os.rename({str(told)!r} + '.new', {str(told)!r}); time.sleep(60)"
    )
    code = (
        "import sys; from facegate.daemon.child import run_limited; "
        f"run_limited([sys.executable, '-c', {inner!r}], seconds=60, megabytes=400)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_until(told.exists, what="the child's start")
    child = int(told.read_text())
    assert is_alive(child)
    parent.send_signal(end)
    parent.wait()
    wait_until(lambda: not is_alive(child), what="the child's end")


def test_a_command_that_is_not_there_is_one_line():
    ended = run_limited(["no-such-command-here"], seconds=5, megabytes=100)
    assert ended.returncode == 1
    assert ended.stderr == "no-such-command-here cannot be run: No such file or directory\n"


def test_a_child_costs_little_to_start():
    begun = time.monotonic()
    assert run_limited(["true"], seconds=5, megabytes=100).returncode == 0
    assert time.monotonic() - begun < 2
