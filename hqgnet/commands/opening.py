"""Opening a site for a command: its result tells of the images that could be read alone."""

from __future__ import annotations

import sys

from hqgnet.data.site_config import SiteConfig
from hqgnet.data.site_data import SiteData
from hqgnet.errors import DataError, Problem


def open_site(config: SiteConfig, split: str | None = None) -> SiteData:
    """Open a site, and name on stderr the files that are left out.

    Args:
        config: The site file.
        split: Whose images are wanted; None where the split to train on, never empty, is enough.

    Raises:
        DataError: As :meth:`hqgnet.data.site_data.SiteData.open`, or if ``split`` holds no readable LQ image.
    """
    data = SiteData.open(config)
    if data.skipped:
        count = len(data.skipped)
        left_out = "1 file cannot be read and is" if count == 1 else f"{count} files cannot be read and are"
        print(f"site {config.name}: {left_out} left out:", file=sys.stderr)
        for problem in data.skipped:
            print(f"  {problem.where}: {problem.what}", file=sys.stderr)
    if split is not None and not data.lq[split]:
        what, remedy = "holds no LQ image that can be read", "Take another --split, or give it more patients"
        raise DataError(Problem(f"site {config.name}: split {split}", what, remedy))
    return data
