"""What nobody trains in a phase: sent to each site once, and again where a site has lost it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flwr.app import ArrayRecord

from hqgnet.exchange.arrays import Arrays, digest_arrays
from server.wire import write_arrays


def frozen_parameters(whole: Arrays, without_labels: Arrays) -> Mapping[bool, FrozenParameters]:
    """Return a phase's frozen parameters for sites with labels (True) and for those without (False).

    Args:
        whole: What a site with labels needs.
        without_labels: What is needed by one that does not run the downstream network.
    """
    frozen = FrozenParameters(whole)
    return {
        True: frozen,
        False: frozen if whole.keys() == without_labels.keys() else FrozenParameters(without_labels),
    }


class FrozenParameters:
    """The frozen parameters that some sites need in a phase, and which of them have them.

    A server that was started anew knows of none, and sends them again.

    Args:
        arrays: The same in every round; empty where everything that is sent is trained.

    Attributes:
        digest: Of the arrays; None if there are none.
    """

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self._held: set[str] = set()
        self.digest = digest_arrays(arrays) if arrays else None

    def records(self, sites: Iterable[str]) -> dict[str, ArrayRecord]:
        """Return what goes beside the requests of those sites that lack them: one record for all."""
        lacking = [site for site in sites if site not in self._held] if self._arrays else []
        if not lacking:
            return {}
        return dict.fromkeys(lacking, write_arrays(self._arrays))

    def arrived(self, site: str) -> None:
        """Note that a site has trained with them, and so has them on its disk."""
        self._held.add(site)

    def lost(self, site: str) -> None:
        """Note that a site does not have them any more."""
        self._held.discard(site)
