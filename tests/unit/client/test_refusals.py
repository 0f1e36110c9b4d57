"""What a site's log tells of a refusal."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from client.refusals import RefusalError, record
from hqgnet.errors import ConfigurationError, DataError, Problem
from hqgnet.exchange.update import SiteError
from tests.other_user import usual_umask

_PROBLEM = Problem("site.yaml: images.hq", "is no folder", "Name one")


def _raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigurationError(_PROBLEM), "site-configuration: site.yaml: images.hq: is no folder. Name one"),
        (DataError([_PROBLEM, _PROBLEM]), f"site-data: {_PROBLEM}\n{_PROBLEM}"),
        (RefusalError(SiteError.DIVERGED, "the loss is not finite"), f"{SiteError.DIVERGED}: the loss is"),
    ],
)
def test_a_mistake_is_told_in_its_own_words(error: Exception, told: str, tmp_path: Path) -> None:
    log = tmp_path / "work/run/site.log"
    record(_raised(error), log)
    record(_raised(error), log)
    text = log.read_text()
    assert text.count(told) == 2
    assert "Traceback" not in text


def test_the_cause_of_a_refusal_stands_below_it(tmp_path: Path) -> None:
    record(
        _raised(RefusalError(SiteError.REQUEST, "no request"), ValueError("line 3")), tmp_path / "site.log"
    )
    assert "no request\n  because of ValueError('line 3')" in (tmp_path / "site.log").read_text()


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), RefusalError(SiteError.INTERNAL, "a bug"), OSError("disk")]
)
def test_what_nobody_foresaw_has_its_traceback(error: Exception, tmp_path: Path) -> None:
    record(_raised(error), tmp_path / "site.log")
    text = (tmp_path / "site.log").read_text()
    assert "Traceback" in text
    assert "_raised" in text


def test_a_sites_log_is_its_owners_alone(tmp_path: Path) -> None:
    with usual_umask():
        record(_raised(DataError(_PROBLEM)), tmp_path / "run/site.log")
    assert stat.S_IMODE((tmp_path / "run/site.log").stat().st_mode) == 0o600
