"""Where the daemon decides: one message at a time, approved code only, governed, watched, and told of."""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from client.approvals import Approvals
from client.audit import site_audit
from client.bundle import unpack
from client.daemon.status import StatusFile
from client.daemon.workplace import OverdueError, WorkerEndedError, Workplace
from client.governor import LEDGER_FILE, Governor
from client.message import Answered, Asked
from client.privacy import Ledger
from client.refusals import RefusalError, code_of
from hqgnet.data.site_config import load_site_config
from hqgnet.errors import HqgnetError
from hqgnet.exchange.update import (
    EvaluateRequest,
    MalformedMessageError,
    SiteError,
    TrainRequest,
    read_message,
    read_query,
)

LOGGER = logging.getLogger("hqgnet.daemon")

# What a worker may take beyond its own deadline: to open the site, and to finish a step.
_MARGIN = 0.2
_SMALLEST_MARGIN_S = 30.0
_POLL_S = 0.2


@dataclass
class _Job:
    asked: Asked
    bundle: bytes
    is_gone: Callable[[], bool]
    arrived: float = field(default_factory=time.monotonic)
    answer: Future[Answered] = field(default_factory=Future)


class Desk(threading.Thread):
    """Takes messages from couriers and has them answered, one after the other.

    Args:
        file: The site's YAML.
        work: The site's work folder.
        workplace: Where the work is done.
        status: Learns what is done.
        idle_s: A worker without work is ended after so long, which frees its memory.
    """

    def __init__(
        self, file: Path, work: Path, workplace: Workplace, status: StatusFile, idle_s: float
    ) -> None:
        super().__init__(name="desk", daemon=True)
        self._file, self._work, self._workplace, self._status = file, work, workplace, status
        self._idle_s = idle_s
        self._jobs: queue.Queue[_Job | None] = queue.Queue()
        self._ending = False

    def answer(self, asked: Asked, bundle: bytes, is_gone: Callable[[], bool]) -> Answered:
        """Have a message answered; returns when it is. Never raises.

        Args:
            asked: From the server, not trusted.
            bundle: The code that the server wants to do it.
            is_gone: Whether who brought it waits no more: it is dropped then when its turn comes.
        """
        job = _Job(asked, bundle, is_gone)
        self._jobs.put(job)
        return job.answer.result()

    def run(self) -> None:
        """Answer until told to end."""
        while True:
            try:
                job = self._jobs.get(timeout=self._idle_s if self._workplace.busy_with else None)
            except queue.Empty:
                LOGGER.info("nothing to do for %g s: the worker ends", self._idle_s)
                self._workplace.end()
                continue
            if job is None:
                self._workplace.end()
                return
            try:
                job.answer.set_result(self._answer(job))
            except Exception as error:
                LOGGER.exception("a message could not be answered")
                job.answer.set_result(Answered(code=code_of(error)))

    def end(self) -> None:
        """Answer nothing any more; what is being done is cut off, what waits is refused."""
        self._ending = True
        self._jobs.put(None)
        while self.is_alive():  # more than once: a worker may just be starting
            self._workplace.kill()
            self.join(_POLL_S)

    def _answer(self, job: _Job) -> Answered:
        if self._ending:
            return Answered(code=SiteError.WORKER_ENDED)
        if job.is_gone():
            LOGGER.warning("a %s message is dropped: Flower gave it up while it waited", job.asked.kind)
            return Answered(code=SiteError.OVERDUE)
        sha256 = hashlib.sha256(job.bundle).hexdigest()
        begun, message = time.time(), _facts(job.asked)
        self._status.update(
            doing=job.asked.kind, since=begun, code=sha256, last_message={**message, "at": begun}
        )
        try:
            answered = self._govern(job, sha256)
        finally:
            self._status.update(doing="idle", since=time.time())
        seconds = time.time() - begun
        told = "answered" if answered.code is None else f"refused ({answered.code})"
        LOGGER.info("%s: %s after %.1f s", " ".join(map(str, message.values())), told, seconds)
        self._status.update(
            last_answer={"told": told, "at": time.time(), "seconds": seconds}, epsilon=self._epsilon()
        )
        return answered

    def _epsilon(self) -> float | None:
        """Return what the site's updates have cost so far; None without a budget."""
        try:
            noise = load_site_config(self._file).policy.noise
            return None if noise is None else Ledger(self._work / LEDGER_FILE).epsilon(noise.delta)
        except (HqgnetError, RefusalError):
            return None

    def _govern(self, job: _Job, sha256: str) -> Answered:
        approvals = Approvals(self._work)
        if not approvals.is_approved(sha256):
            head = self._refuse_code(approvals, job, sha256)
            return Answered(code=SiteError.CODE_NOT_APPROVED, audit_head=head)
        code = unpack(job.bundle, approvals.code_folder)
        answered = Governor(self._file, sha256).answer(
            job.asked, lambda asked: self._act(asked, code, job.arrived)
        )
        if _facts(job.asked).get("query") == "finish":
            self._workplace.end()
        return answered

    def _refuse_code(self, approvals: Approvals, job: _Job, sha256: str) -> str | None:
        """Keep the code that is not approved for somebody to look at, and say so.

        The audit comes first: what is no bundle cannot be kept, and was sent all the same.

        Returns:
            The hash of the audit's entry; None where it could not be written.
        """
        told, head = "the server wants code to run here that is not approved", None
        try:
            head = site_audit(self._work).append(
                "refused", code=SiteError.CODE_NOT_APPROVED, kind=job.asked.kind, bundle=sha256
            )
            approvals.keep_pending(job.bundle)
            LOGGER.warning("%s (SHA-256 %s): hqgnet-client approve %s", told, sha256, self._file)
        except HqgnetError as error:
            LOGGER.warning("%s (SHA-256 %s), and cannot be kept: %s", told, sha256, error)
        return head

    def _act(self, asked: Asked, code: Path, arrived: float) -> Answered:
        """Have the worker do what the governor has let pass; a withdrawn approval holds at once."""
        try:
            asked, limit_s = self._limited(asked, time.monotonic() - arrived)
            answered = self._workplace.ask(code, asked, limit_s)
            if Approvals(self._work).is_approved(code.name):
                return answered
            LOGGER.warning("the code's approval was withdrawn meanwhile: nothing that it did leaves")
            self._workplace.end()
            return Answered(code=SiteError.CODE_NOT_APPROVED)
        except OverdueError as error:
            LOGGER.warning("the worker was killed: %s", error)
            return Answered(code=SiteError.OVERDUE)
        except WorkerEndedError as error:
            LOGGER.warning("%s; see worker.log in the work folder", error)
            return Answered(code=SiteError.WORKER_ENDED)
        except (HqgnetError, MalformedMessageError) as error:
            LOGGER.warning("%s", error)
            return Answered(code=code_of(error))

    def _limited(self, asked: Asked, waited_s: float) -> tuple[Asked, float]:
        """Return the request as the worker gets it, and how long it may take.

        Raises:
            OverdueError: If the time was spent in waiting.
        """
        policy_s = load_site_config(self._file).policy.minutes_per_round * 60
        if asked.kind != "train":
            if waited_s > policy_s:
                raise OverdueError("it waited too long for its turn")
            return asked, policy_s
        request = read_message(asked.text, TrainRequest)
        left_s = request.deadline_s - waited_s
        if left_s <= 0:
            raise OverdueError("it waited too long for its turn")
        own_s = min(left_s, policy_s)
        text = request.model_copy(update={"deadline_s": own_s}).to_json()
        return Asked("train", text, asked.arrays), own_s + max(_SMALLEST_MARGIN_S, _MARGIN * own_s)


def _facts(asked: Asked) -> dict[str, object]:
    """Return what a message is about, for log and status; no more than its kind if it cannot be read."""
    try:
        match asked.kind:
            case "train":
                request = read_message(asked.text, TrainRequest)
                about = {"run": request.run, "phase": request.phase, "round": request.round}
            case "evaluate":
                judge = read_message(asked.text, EvaluateRequest)
                about = {"run": judge.run, "phase": judge.phase, "round": judge.round}
            case _:
                query = read_query(asked.text)
                about = {"run": query.run, "query": query.kind}
    except MalformedMessageError:
        about = {}
    return {"kind": asked.kind, **about}
