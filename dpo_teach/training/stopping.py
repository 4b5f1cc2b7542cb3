"""A request to stop (Ctrl-C, or the system's SIGTERM) is answered between two steps, never within one."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate import Accelerator
from tqdm import tqdm

__all__ = ["StopRequests", "tell"]

STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class StopRequests:
    """Note the signals that ask a run to stop, for as long as the run lasts.

    A second Ctrl-C is not patient: it interrupts at once, unless weights or files are being written just then. Where
    several processes train together each notes its own signal, and all of them stop after the same step.

    Args:
        accelerator: the processes that train together.

    Attributes:
        asked_all: whether all processes know of the request, so that they can save together.
    """

    def __init__(self, accelerator: Accelerator):
        self._accelerator = accelerator
        self._noted = 0
        self.asked_all = False
        self._held = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequests":
        if threading.current_thread() is threading.main_thread():  # only there are signals received
            for number in STOPS:
                if signal.getsignal(number) not in {signal.SIG_IGN, None}:  # as under nohup
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        impatient = self._noted == number == signal.SIGINT
        self._noted = number
        if impatient and not self._held and self._accelerator.num_processes == 1:
            raise KeyboardInterrupt

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """No interruption within: what is done here is done whole."""
        before, self._held = self._held, True
        try:
            yield
        finally:
            self._held = before

    def asked(self) -> int:
        """The number of the signal that asked to stop, the same in every process; 0 for none."""
        if self._accelerator.num_processes == 1:
            return self._noted
        noted = torch.tensor([self._noted], device=self._accelerator.device)
        agreed = int(self._accelerator.gather(noted).max())
        self.asked_all = agreed != 0
        return agreed


def tell(message: str) -> None:
    """One line to a person, beside what a program prints; a progress bar makes room for it."""
    tqdm.write(f"dpo-teach: {message}", file=sys.stderr)
