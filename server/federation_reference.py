"""The page of the federation file's keys, written from the models that check it: ``python -m
server.federation_reference``.

``docs/federation-file.md`` is this module's output; a test keeps them equal.
"""

from __future__ import annotations

import sys

from hqgnet.config_reference import section
from server.federation import Federation

_INTRODUCTION = """# Every key of the federation file

`federation.yaml` says where a federation's server is and which hospitals may take part; `hqgnet-server
provision`, `up`, `run` and `status` read it. What is trained stands in the experiment
([configuration](configuration.md)). (This page is written by `make docs` from the code that checks the file.)
"""


def reference() -> str:
    """Return the page as Markdown."""
    return _INTRODUCTION + section("The federation (`federation.yaml`)", Federation)


if __name__ == "__main__":
    sys.stdout.write(reference())
