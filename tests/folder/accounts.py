"""Doing something as another account, in a process of its own."""

import os
import traceback
from collections.abc import Callable

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another account")


def as_account(uid: int, work: Callable[[], object], *groups: int) -> None:
    """Run ``work`` as an ordinary account, of the group of its number and of ``groups``; it must succeed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([uid, *groups])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.umask(0o022)
            work()
            code = 0
        except Exception:  # noqa: BLE001 - whatever it is, the child must not run on
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "what was done as another account failed, see above"
