"""How a site declines: a code for the server, the reason for the site's own log."""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from pathlib import Path

from hqgnet.errors import ConfigurationError, DataError, HqgnetError, OutputError
from hqgnet.exchange.update import MalformedMessageError, SiteError

LOGGER = logging.getLogger("hqgnet.client")


class RefusalError(Exception):
    """The site declines a request.

    Args:
        code: What the server learns.
        reason: What only the site's log says.
    """

    def __init__(self, code: SiteError, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


def code_of(error: Exception) -> SiteError:
    """Return what the server learns of an exception."""
    if isinstance(error, RefusalError):
        return error.code
    if isinstance(error, MalformedMessageError):
        return SiteError.REQUEST
    if isinstance(error, ConfigurationError):
        return SiteError.CONFIGURATION
    if isinstance(error, DataError):
        return SiteError.DATA
    if isinstance(error, MemoryError) or _is_torchs_out_of_memory(error):
        return SiteError.OUT_OF_MEMORY
    if isinstance(error, OSError | OutputError):
        return SiteError.DISK
    return SiteError.INTERNAL


def record(error: Exception, log: Path | None) -> None:
    """Write the reason of a refusal into the site's log, its owner's alone; else into the process's log."""
    text = _told(error)
    if log is not None:
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with open(log, "a", encoding="utf-8", opener=_private) as stream:
                stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
            return
        except OSError:
            LOGGER.exception("%s cannot be written", log)
    LOGGER.error("%s", text)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _told(error: Exception) -> str:
    """Return what was refused in its own words; what nobody foresaw has its traceback."""
    code = code_of(error)
    if code is SiteError.INTERNAL or not isinstance(
        error, RefusalError | MalformedMessageError | HqgnetError
    ):
        return "".join(traceback.format_exception(error))
    reason = error.reason if isinstance(error, RefusalError) else error
    cause = f"\n  because of {error.__cause__!r}" if error.__cause__ is not None else ""
    return f"{code}: {reason}{cause}\n"


def _is_torchs_out_of_memory(error: Exception) -> bool:
    """Only a process that has loaded torch can meet its errors; the hospital's daemon does without."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
