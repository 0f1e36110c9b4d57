"""How a run's events look: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from server.progress import Event

_FIGURES = (
    ("psnr", "PSNR"),
    ("ssim", "SSIM"),
    ("dice", "Dice"),
    ("average_gradient", "AG"),
    ("snr_3", "SNR_3"),
)
_KEY_LOSSES = ("segmentation", "enhancement", "reconstruction")


class Display(Protocol):
    """Shows events, as a context manager."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; nothing live stays on the screen."""

    def show(self, event: Event) -> None:
        """Show one event."""


def choose_display() -> Display:
    """Return a live display if standard output is a terminal, else plain lines."""
    return LiveDisplay() if sys.stdout.isatty() else PlainDisplay(sys.stdout)


def line_of(event: Event) -> str | None:
    """Return the one line that tells an event; None for events that need none."""
    kind = event["event"]
    if kind == "waiting":
        return f"waiting for {event['sites']} sites"
    if kind == "site":
        labels = [kind for kind in ("masks", "grades") if event.get(kind)]
        with_labels = f"with {' and '.join(labels)}" if labels else "no masks"
        return f"{event['name']} joined: {event['lq']} LQ and {event['hq']} HQ training images, {with_labels}"
    if kind == "part":
        return f"{event['name']}: {event['text']}"
    if kind == "cues":
        return _cues(event)
    if kind == "left-out":
        return f"a site is left out: {event['reason']}"
    if kind == "resumed":
        return f"going on after round {event['round']} of {event['phase']}"
    if kind == "round":
        failed = "".join(f"  {site}: {code}" for site, code in event["failed"].items())
        again = f" (attempt {event['attempt'] + 1})" if event["attempt"] else ""
        return (
            f"{event['phase']:<9s} {event['round']:>4d}/{event['rounds']}{again}  {_losses(event['losses'])}"
            f"  {len(event['sites'])} sites  {event['seconds']:.1f} s{failed}"
        )
    if kind == "evaluation":
        failed = "".join(f"  {site}: {code}" for site, code in event["failed"].items())
        failed += "".join(f"  {site}: {why}" for site, why in event.get("sitting_out", {}).items())
        return (
            f"{event['phase']:<9s} {event['round']:>4d}  {event['split']}: {_figures(event['mean'])}{failed}"
        )
    if kind == "tracking":
        return f"tracking: {event['problem']}"
    if kind == "finished":
        pictures = f"before/after pictures: work/{event['run']}/pictures in each site's folder"
        return f"results: {event['directory']}\n{pictures}"
    return str(event["text"]) if kind == "table" else None


class PlainDisplay:
    """Writes one line an event.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def show(self, event: Event) -> None:
        """Write the event's line at once."""
        line = line_of(event)
        if line is not None:
            self._stream.write(f"{line}\n")
            self._stream.flush()


class LiveDisplay:
    """A progress bar for the phase above which finished evaluations scroll by."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description:<9s}"),
            BarColumn(bar_width=14),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._task = self._progress.add_task("starting", total=None, note="")

    def __enter__(self) -> Self:
        """Begin the live display."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the live display; the finished phases stay on the screen."""
        self._progress.stop()

    def show(self, event: Event) -> None:
        """Move the bar, or write the event's line above it."""
        kind = event["event"]
        if kind == "phase":
            if self._progress.tasks[0].total is None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(event["phase"], total=event["rounds"], note="")
        elif kind == "round" and not event["failed"]:
            note = f"{_key_loss(event)}  {len(event['sites'])} sites  {event['seconds']:.1f} s"
            self._progress.update(self._task, completed=event["round"], note=note)
        else:
            line = line_of(event)
            if line is not None:
                self._progress.console.print(line, highlight=False, markup=False)
            if kind == "round":
                self._progress.update(self._task, completed=event["round"])


def _cues(event: Event) -> str:
    declined = "".join(f"  {site}: {code}" for site, code in event["failed"].items())
    if event["sites"]:
        lenders = len(event["sites"])
        lent = f"{event['images']} HQ images of {lenders} site{'s' if lenders > 1 else ''}"
        return f"{event['phase']:<9s} {event['round']:>4d}  bank of cues: {lent}{declined}"
    idle = (
        f"; without HQ images, and so without guides: {', '.join(event['without'])}"
        if event["without"]
        else ""
    )
    remedy = f"let a site with {event['minimum']} HQ images or more set policy.cue_bank: true"
    return (
        f"{event['phase']:<9s} {event['round']:>4d}  bank of cues: nobody lends any{declined}{idle}; {remedy}"
    )


def _losses(losses: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in losses.items())


def _key_loss(event: Event) -> str:
    """Return the loss that tells most of a phase: a terminal's line has no room for all of them."""
    losses = event["losses"]
    name = next((name for name in _KEY_LOSSES if name in losses), None)
    return "" if name is None else f"{name} {losses[name]:.3f}"


def _figures(mean: dict[str, Any]) -> str:
    shown = []
    for metric, title in _FIGURES:
        original, enhanced = mean.get(f"{metric}_original"), mean.get(f"{metric}_enhanced")
        if original is not None and enhanced is not None:
            shown.append(f"{title} {original:.3f} -> {enhanced:.3f}")
    return "  ".join(shown) or "no figures"
