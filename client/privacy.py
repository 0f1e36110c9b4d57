"""Differential privacy of a site's updates: clip, add Gaussian noise, and account for it, at the site itself.

**Whose privacy.** The unit is one hospital's whole contribution to a round. The server sees this site's own
update, not a sum over sites, so that what must be hidden is which update the site made of all it could have
made. Two updates clipped to C differ by up to 2 C in L2 norm; that is the sensitivity that we account with.
(To compare a site's update with none at all, C would do, and epsilon would be half as large or less.)

**What a release costs.** Noise of standard deviation z C on a quantity of sensitivity 2 C is mu-GDP with
mu = 2 / z. Releases compose exactly, also where a later one depends on earlier ones: mu^2 adds up (Dong,
Roth, Su 2019, arXiv 1905.02383, Corollary 2). A mu-GDP mechanism is (epsilon, delta(epsilon))-DP for every
epsilon, with delta in closed form (Balle and Wang 2018, arXiv 1805.06530, Theorem 8).

Rounding to float32 and keeping variances positive come after the noise and cost nothing. The accounting is
that of real numbers: floating-point noise (Mironov 2012) is not modelled.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from client.audit import AUDIT_FILE
from client.lock_file import alone
from client.refusals import RefusalError
from hqgnet.data.site_policy import NoisePolicy
from hqgnet.exchange.arrays import Array, Arrays
from hqgnet.exchange.update import SiteError
from hqgnet.files import write_atomically

SENSITIVITY = 2.0
"""Largest L2 distance between two clipped updates, over clip_norm."""

_FAR_TAIL = 25.0


def protect(
    arrays: Mapping[str, Array], received: Mapping[str, Array], clip_norm: float, multiplier: float | None
) -> tuple[Arrays, bool]:
    """Return an update clipped in its distance from what came, with noise, and whether it was clipped.

    All float arrays together count as one vector. Counters pass: they say how many batches a layer has seen,
    which the server knows, and not what was in them.

    Args:
        arrays: What the site would send.
        received: What it received, under the same names.
        clip_norm: Largest L2 norm of the difference.
        multiplier: Standard deviation of the noise over ``clip_norm``; None adds none.
    """
    floats = [name for name, array in arrays.items() if np.issubdtype(array.dtype, np.floating)]
    norm = math.sqrt(math.fsum(_square(_difference(arrays[name], received[name])) for name in floats))
    clipped = norm > clip_norm
    protected = dict(arrays)
    if not clipped and multiplier is None:
        return protected, False
    factor = clip_norm / norm if clipped else 1.0
    generator = _generator()
    for name in floats:
        moved = _difference(arrays[name], received[name]) * factor
        if multiplier is not None:
            moved += generator.normal(0.0, multiplier * clip_norm, moved.shape)
        value = (received[name] + moved).astype(np.float32)
        if multiplier is not None and name.endswith("running_var"):
            value = np.maximum(value, np.float32(0))
        protected[name] = value
    return protected, clipped


def gaussian_delta(mu: float, epsilon: float) -> float:
    """Return the delta at which a mu-GDP mechanism is (epsilon, delta)-DP; exact, and never too small.

    Args:
        mu: Sensitivity over standard deviation; above 0.
        epsilon: 0 or more.
    """
    first = _tail(epsilon / mu - mu / 2)
    second = math.exp(min(0.0, epsilon + _log_tail(epsilon / mu + mu / 2)))
    return max(0.0, first - second)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the epsilon at which a mu-GDP mechanism is (epsilon, delta)-DP, rounded up."""
    if mu == 0 or gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    low, high = 0.0, 1.0
    while gaussian_delta(mu, high) > delta:
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if gaussian_delta(mu, middle) <= delta else (middle, high)
    return high


class Ledger:
    """What a site has released so far under noise, over all runs; it only grows.

    Updates sent while the policy asked for no noise are not in it: they have no finite epsilon.

    Args:
        path: The file; made with the first release. Its folder must exist. Once it is gone while the audit
            beside it tells of releases, nothing may leave, as with a damaged one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def epsilon(self, delta: float) -> float:
        """Return the epsilon of all releases so far at ``delta``.

        Raises:
            RefusalError: If the ledger cannot be read: nothing may leave then.
        """
        return gaussian_epsilon(_mu(self._read()), delta)

    def check(self, noise: NoisePolicy) -> None:
        """Check that one more release would stay within the budget.

        Raises:
            RefusalError: If it would not, or the ledger cannot be read.
        """
        self._with_one_more(noise)

    def charge(self, noise: NoisePolicy) -> float:
        """Write one more release down, and return the epsilon of all; to be called before the update leaves.

        Raises:
            RefusalError: If the budget does not allow it; nothing is written then.
            OutputError: If the ledger cannot be written.
        """
        with alone(self._path.with_suffix(".lock")):
            releases = self._with_one_more(noise)
            ledger = _Ledger(version=1, releases=releases)
            write_atomically(self._path, ledger.model_dump_json(indent=1).encode(), mode=0o600)
        return gaussian_epsilon(_mu(releases), noise.delta)

    def _with_one_more(self, noise: NoisePolicy) -> dict[float, int]:
        releases = self._read()
        releases[noise.multiplier] = releases.get(noise.multiplier, 0) + 1
        epsilon = gaussian_epsilon(_mu(releases), noise.delta)
        if epsilon > noise.epsilon:
            reason = (
                f"one more update would bring epsilon to {epsilon:.4g}, the budget is {noise.epsilon:.4g}"
            )
            raise RefusalError(SiteError.POLICY_BUDGET, reason)
        return releases

    def _read(self) -> dict[float, int]:
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            if self._is_told_of():
                reason = f"{self._path.name} is gone, though {AUDIT_FILE} tells of releases: restore it"
                raise RefusalError(SiteError.INTERNAL, reason) from None
            return {}
        try:
            return dict(_Ledger.model_validate_json(text).releases)
        except ValidationError as error:
            reason = f"{self._path.name} is damaged: restore it; without it the budget cannot be known"
            raise RefusalError(SiteError.INTERNAL, reason) from error

    def _is_told_of(self) -> bool:
        """Whether the audit tells of an update that left under noise; entries are canonical JSON."""
        try:
            with self._path.with_name(AUDIT_FILE).open("rb") as log:
                return any(b'"event":"left"' in line and b'"noise":' in line for line in log)
        except FileNotFoundError:
            return False


class _Ledger(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1]
    releases: dict[Annotated[float, Field(gt=0, allow_inf_nan=False)], Annotated[int, Field(ge=0)]]


def _mu(releases: Mapping[float, int]) -> float:
    return math.sqrt(math.fsum(count * (SENSITIVITY / z) ** 2 for z, count in releases.items()))


def _generator() -> np.random.Generator:
    """Noise that nobody can repeat: a counter-based generator under a key from the operating system."""
    return np.random.Generator(np.random.Philox(key=secrets.randbits(128), counter=secrets.randbits(256)))


def _difference(array: Array, origin: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.subtract(array, origin, dtype=np.float64)


def _square(array: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    flat = array.reshape(-1)
    return float(flat @ flat)


def _tail(t: float) -> float:
    """Chance that a standard normal number exceeds ``t``."""
    return 0.5 * math.erfc(t / math.sqrt(2))


def _log_tail(t: float) -> float:
    """Logarithm of :func:`_tail`; far out, where that has no floats, its lower bound (Gordon 1941)."""
    if t < _FAR_TAIL:
        return math.log(_tail(t))
    return -t * t / 2 - math.log(2 * math.pi) / 2 + math.log(t / (1 + t * t))
