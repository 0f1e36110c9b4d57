"""The end of a run at a site: what training went on with is deleted; log and pictures stay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from client.refusals import RefusalError
from hqgnet.errors import OutputError, Problem
from hqgnet.exchange.update import SiteError


def delete_private_state(run_folder: Path) -> None:
    """Delete a run's private training state; it takes neither images nor anybody's code.

    Args:
        run_folder: Where the site keeps what belongs to the run.

    Raises:
        RefusalError: If something of it is left. Its reason names no path, its cause does.
    """
    state = run_folder / "state"
    shutil.rmtree(state, ignore_errors=True)  # as far as it goes
    if os.path.lexists(state):
        remedy = "Look at its permissions and delete it by hand: the run is over, and nothing needs it"
        cause = OutputError(Problem(str(state), "cannot be deleted", remedy))
        raise RefusalError(SiteError.DISK, "the run's private training state was not deleted") from cause
