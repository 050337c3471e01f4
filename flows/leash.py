"""Runs a command so that it cannot outlive its parent: `leash.py COMMAND...`, with a pipe from the parent as stdin.

When the parent ends, however it ends, the pipe does too, and this kills its own process group, the command and all below it.
A program of its own, with nothing imported that takes time.
"""

import _thread
import os
import signal
import sys


def die_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


def main(command: list[str]) -> int:
    _thread.start_new_thread(die_with_parent, ())
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is for the command, which may take its time to end
    stdin = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=[stdin], setsigdef=[signal.SIGTERM])
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    code = main(sys.argv[1:])
    os._exit(code if code >= 0 else 128 - code)
