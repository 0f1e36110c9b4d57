"""One run: submitted, followed, and brought back when its process dies."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

from hqgnet.errors import ConfigurationError, Problem, RunFailedError, ServerDownError
from hqgnet.files import make_folder
from server.display import Display
from server.federation import Federation
from server.flower_app import Setting
from server.launch.bundle import build_bundle, make_app
from server.launch.control import FlowerControl
from server.launch.glance import flower_run_of, is_alive, process_of
from server.launch.patience import Patience
from server.launch.request import RunRequest, directory_of, settings_of
from server.launch.stopping import wait_for_end, write_stopped
from server.launch.superlink import serverapp_log
from server.outcome import raise_unless_completed
from server.progress import Follower, read_status

Say = Callable[[str], None]
_POLL_S = 0.2
# How often the SuperLink is asked about a run whose process has not shown itself yet.
_ASK_S = 10.0
# A process that ends writes its status first, but the two are not seen at one instant.
_GRACE_S = 1.0
_STOPPED = "finished:stopped"
_OVER = ("completed", "failed")


class RunLauncher:
    """Takes one run to its end.

    Args:
        federation: Whose server it runs on; that server is on this machine.
        request: What to do.
        say: Takes each line that an operator should see.
        control: Asks the SuperLink; None: by Flower's own command.

    Raises:
        ConfigurationError: If the request names no run, or none that is there.
    """

    def __init__(
        self,
        federation: Federation,
        request: RunRequest,
        say: Say,
        control: FlowerControl | None = None,
    ) -> None:
        self._federation = federation
        self._request = request
        self._say = say
        self._control = control or FlowerControl(federation)
        self._patience = Patience(request.patience_s, say)
        self._directory = directory_of(federation, request)
        self._app = federation.flower_home / "app"
        self._identifier = flower_run_of(self._directory) if request.attach else None
        self._next_question = 0.0

    def run(self, display: Callable[[], Display]) -> None:
        """Do what was asked.

        Args:
            display: Makes what shows the run's events.

        Raises:
            ConfigurationError: If the experiment cannot be used, or another run is going on.
            OutputError: If the folder holds a run already.
            ServerDownError: If the SuperLink does not answer for longer than the patience.
            RunFailedError: If the run ends without a result.
            KeyboardInterrupt: If it is stopped, here or elsewhere.
        """
        name = self._directory.root.name
        if self._request.resume and read_status(self._directory)[0] == "completed":
            self._say(f"{name} is completed: nothing to do")
            return
        if not self._request.attach:
            self._begin()
        if self._request.detach:
            federation = self._request.federation or "FEDERATION.yaml"
            command = f"hqgnet-server run --federation {federation} --attach {name}"
            self._say(f"{name} goes on by itself; to follow it: {command}")
            return
        with _signals():
            try:
                self._follow(display())
            except KeyboardInterrupt:
                self._stop()
                raise
        self._raise_unless_completed()

    def _begin(self) -> None:
        """Check all that can be checked before anything is changed, then submit."""
        request, directory = self._request, self._directory
        name = directory.root.name
        if is_alive(process_of(directory)):
            raise ConfigurationError(Problem(name, "is running", f"Follow it: --attach {name}"))
        settings = settings_of(request, directory, again=bool(request.resume))
        if not request.resume:
            directory.check_free(overwrite=request.overwrite)
        self._refuse_a_second_run()
        make_app(self._app)
        bundle = build_bundle(self._app, self._federation.flower_home)
        self._say(f"bundle: SHA-256 {bundle.sha256}")
        if not request.resume:
            directory.prepare(overwrite=request.overwrite)
        make_folder(directory.logs)
        self._submit(settings)

    def _refuse_a_second_run(self) -> None:
        """Make sure that the sites are free; what Flower still holds of a run that died is stopped."""
        own = flower_run_of(self._directory)
        for run in self._patience.ask(self._control.runs):
            if run.finished:
                continue
            if run.identifier != own:
                what = f"another run is going on (Flower's number {run.identifier})"
                remedy = "Wait for its end, or stop it: hqgnet-server stop FEDERATION.yaml"
                raise ConfigurationError(Problem("run", what, remedy))
            self._end_in_flower(run.identifier)

    def _submit(self, settings: dict[str, Setting]) -> None:
        # Written before, not after: from then on the status is the ServerApp's to write.
        self._directory.write_json("status.json", {"state": "submitted", "exit_code": 0, "problems": []})
        self._next_question = time.monotonic() + _ASK_S
        self._identifier = self._patience.ask(lambda: self._control.submit(self._app, settings))

    def _follow(self, display: Display) -> None:
        """Show events until the run has ended; bring it back when it died."""
        follower = Follower(self._directory.progress)
        if self._request.resume:
            list(follower.new_events())  # what was before is on an earlier screen
        died = 0
        with display:
            while read_status(self._directory)[0] not in _OVER:
                for event in follower.new_events():
                    display.show(event)
                if self._died():
                    died += 1
                    if died > self._request.restarts:
                        return
                    self._say(f"the run's process died: going on from its last round (restart {died})")
                    self._bring_back()
                time.sleep(_POLL_S)
            for event in follower.new_events():
                display.show(event)

    def _died(self) -> bool:
        """Return whether the run is over without having said so; one that somebody stopped is not."""
        if read_status(self._directory)[0] == "submitted":
            return self._never_began()
        if is_alive(process_of(self._directory)):
            return False
        time.sleep(_GRACE_S)
        if read_status(self._directory)[0] != "running" or is_alive(process_of(self._directory)):
            return False
        return not self._was_stopped()

    def _never_began(self) -> bool:
        if time.monotonic() < self._next_question or self._identifier is None:
            return False
        self._next_question = time.monotonic() + _ASK_S
        identifier = self._identifier
        finished = self._patience.ask(lambda: self._control.run(identifier)).finished
        if not finished or read_status(self._directory)[0] != "submitted":
            return False
        return not self._was_stopped()

    def _was_stopped(self) -> bool:
        identifier = self._identifier or flower_run_of(self._directory)
        if identifier is None:
            return False
        try:
            stopped = self._patience.ask(lambda: self._control.run(identifier)).status == _STOPPED
        except RunFailedError:  # a SuperLink that knows nothing of it any more
            return False
        if stopped:
            write_stopped(self._directory)
        return stopped

    def _bring_back(self) -> None:
        own = (self._identifier, flower_run_of(self._directory))
        for run in self._patience.ask(self._control.runs):
            if not run.finished and run.identifier in own:
                self._end_in_flower(run.identifier)
        self._submit(settings_of(self._request, self._directory, again=True))

    def _end_in_flower(self, identifier: int) -> None:
        with contextlib.suppress(RunFailedError):  # it may have ended by itself meanwhile
            self._patience.ask(lambda: self._control.stop(identifier))

    def _stop(self) -> None:
        identifier = self._identifier or flower_run_of(self._directory)
        if read_status(self._directory)[0] in _OVER:
            return
        self._say("stopping the run")
        if identifier is not None:
            with contextlib.suppress(RunFailedError, ServerDownError):
                self._control.stop(identifier)
        wait_for_end(self._directory)
        if read_status(self._directory)[0] not in _OVER:
            write_stopped(self._directory)

    def _raise_unless_completed(self) -> None:
        log = serverapp_log(self._federation)

        def unfinished() -> Problem:
            what = f"its process died more than {self._request.restarts} times"
            return Problem(self._directory.root.name, what, f"Look at {log}, then run it with --resume")

        more = Problem("log", str(log), "It holds what the ServerApp wrote")
        raise_unless_completed(self._directory, more, unfinished)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
