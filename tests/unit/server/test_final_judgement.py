"""The judgement that makes the table: there is one, and it says who had no part in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hqgnet.config import Experiment
from hqgnet.errors import QuorumError
from hqgnet.exchange.audit import AuditLog
from server.context import RunContext
from server.evaluation import Judgement
from server.progress import Progress
from server.roster import Roster, Site
from server.rounds import Rounds


@pytest.fixture
def federation(
    assemble: Callable[..., Any],
    shorten: Callable[..., Experiment],
    quick_experiment: Experiment,
    tiny_site_files: list[Path],
) -> Any:
    short = shorten(quick_experiment, enhance=1)
    settings = short.federation.model_copy(update={"wait_for_sites_s": 0.5, "minimum_sites": 2})
    return assemble(short.model_copy(update={"federation": settings}), tiny_site_files)


def rounds_of(federation: Any) -> Rounds:
    """Return rounds that are all done, of sites that have all joined."""
    directory = federation.directory
    context = RunContext(
        federation.grid,
        federation.experiment,
        "run-1",
        directory,
        Progress(directory),
        AuditLog(directory.audit),
    )
    roster = Roster(context)
    roster.gather()
    rounds = Rounds(context, roster)
    rounds._best.round = 1
    return rounds


def judged_by(*names: str) -> Callable[..., Judgement]:
    """Stand for the sites: those named judge, all others that are asked fail."""

    def judge(context: RunContext, sites: list[Site], *others: Any) -> Judgement:
        rows: dict[str, Any] = {site.name: {"images": 2.0} for site in sites if site.name in names}
        failed = {site.name: "site-data" for site in sites if site.name not in names}
        return Judgement("enhance", 1, "test", rows, {"images": 2.0}, {}, {}, {}, None, failed, 0.1)

    return judge


def test_who_is_away_is_waited_for(federation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.rounds.judge", judged_by("site-0", "site-1"))
    rounds, asked = rounds_of(federation), iter([{1001}, {1001}])
    nodes = federation.grid.get_node_ids

    def comes_back() -> Any:
        federation.grid.offline = next(asked, set())
        return nodes()

    monkeypatch.setattr(federation.grid, "get_node_ids", comes_back)
    rounds._judge_best()
    table = json.loads((federation.directory.root / "table.json").read_text())
    assert (list(table["sites"]), table["failed"]) == (["site-0", "site-1"], {})


def test_who_stays_away_is_named(federation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.rounds.judge", judged_by("site-0"))
    rounds = rounds_of(federation)
    federation.grid.offline = {1001}
    rounds._judge_best()
    assert "Not judged: site-1 (no-reply)" in (federation.directory.root / "table.txt").read_text()


@pytest.mark.parametrize("offline", [set(), {1000, 1001}])
def test_a_table_of_nobody_is_not_written(
    offline: set[int], federation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.rounds.judge", judged_by())
    rounds = rounds_of(federation)
    federation.grid.offline = offline
    with pytest.raises(QuorumError, match=r"no site has judged .*site-1: (site-data|no-reply)"):
        rounds._judge_best()
    assert not (federation.directory.root / "table.txt").exists()
