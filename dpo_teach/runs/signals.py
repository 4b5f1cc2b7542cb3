"""Handle requests to stop (Ctrl-C, SIGTERM, SIGHUP) between steps, never within a step."""

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
    """Record signals that request a run to stop, for the duration of the `with` block.

    A second Ctrl-C interrupts immediately, unless weights or files are being written. If several processes train
    together, each process records its own signals, and all stop after the same step.

    Args:
        accelerator: the processes that train together.

    Attributes:
        known_to_all: whether all processes have received the request, so that they can save together.
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
                if signal.getsignal(number) not in {signal.SIG_IGN, None}:  # such as SIGHUP under nohup
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
        """Defer interruptions until the end of this block, even a second Ctrl-C."""
        before, self._deferred = self._deferred, True
        try:
            yield
        finally:
            self._deferred = before

    def poll(self) -> int:
        """Return the number of the signal that requested the stop, or 0. It is the same in all processes."""
        if self._accelerator.num_processes == 1:
            return self._received
        received = torch.tensor([self._received], device=self._accelerator.device)
        agreed = int(self._accelerator.gather(received).max())
        self.known_to_all = agreed != 0
        return agreed


def log(message: str) -> None:
    """Print one line on stderr, above the progress bar if there is one."""
    tqdm.write(f"dpo-teach: {message}", file=sys.stderr)
