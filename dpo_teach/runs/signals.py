"""Requests to stop (Ctrl-C, SIGTERM, SIGHUP) take effect between two steps, never within one."""

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

__all__ = ["StopSignals", "log"]

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class StopSignals:
    """Record the signals that ask a run to stop, while the `with` block lasts.

    A second Ctrl-C interrupts immediately, unless weights or files are being written. Where several processes train
    together, each records its own signal, and all of them stop after the same step.

    Args:
        accelerator: the processes that train together.

    Attributes:
        known_to_all: whether all processes know of the request, so that they can save together.
    """

    def __init__(self, accelerator: Accelerator):
        self._accelerator = accelerator
        self._received = 0
        self._deferred = False
        self._previous_handlers: dict[int, Any] = {}
        self.known_to_all = False

    def __enter__(self) -> "StopSignals":
        self._received, self.known_to_all = 0, False
        if threading.current_thread() is threading.main_thread():  # only the main thread receives signals
            for number in STOP_SIGNALS:
                if signal.getsignal(number) not in {signal.SIG_IGN, None}:  # ignored under nohup
                    self._previous_handlers[number] = signal.signal(number, self._record)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self._previous_handlers.clear()

    def _record(self, number: int, frame: FrameType | None) -> None:
        second_ctrl_c = self._received == number == signal.SIGINT
        self._received = number
        if second_ctrl_c and not self._deferred and self._accelerator.num_processes == 1:
            raise KeyboardInterrupt

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """No interruption within this block, not even by a second Ctrl-C."""
        before, self._deferred = self._deferred, True
        try:
            yield
        finally:
            self._deferred = before

    def poll(self) -> int:
        """The number of the signal that asked to stop, the same in every process; 0 for none."""
        if self._accelerator.num_processes == 1:
            return self._received
        received = torch.tensor([self._received], device=self._accelerator.device)
        agreed = int(self._accelerator.gather(received).max())
        self.known_to_all = agreed != 0
        return agreed


def log(message: str) -> None:
    """Print one line on the standard error, above a progress bar if there is one."""
    tqdm.write(f"dpo-teach: {message}", file=sys.stderr)
