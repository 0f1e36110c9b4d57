"""How a site declines: a code for the server, the reason for the site's own log."""

from __future__ import annotations

import logging
import time
import traceback
from pathlib import Path

import torch

from hqgnet.errors import ConfigurationError, DataError, OutputError
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
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return SiteError.OUT_OF_MEMORY
    if isinstance(error, OSError | OutputError):
        return SiteError.DISK
    return SiteError.INTERNAL


def record(error: Exception, log: Path | None) -> None:
    """Write the reason of a refusal into the site's log; into the process's log if there is none."""
    text = "".join(traceback.format_exception(error))
    if log is not None:
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a", encoding="utf-8") as stream:
                stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
            return
        except OSError:
            LOGGER.exception("%s cannot be written", log)
    LOGGER.error("%s", text)
