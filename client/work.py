"""The work behind one message as the governor sees it: who does it, and what the hospital allows by then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from client.message import Act, Answered, Asked
from client.refusals import RefusalError
from hqgnet.data.site_config import SiteConfig, load_site_config
from hqgnet.errors import ConfigurationError
from hqgnet.exchange.arrays import Array, Arrays
from hqgnet.exchange.data_card import DataCard
from hqgnet.exchange.update import (
    MalformedMessageError,
    Message,
    QueryReply,
    QueryRequest,
    SiteError,
    read_message,
)


@dataclass(frozen=True)
class Done:
    """An answer whose work was done.

    Attributes:
        header: JSON, not yet read; what was read of it leaves, written anew.
        arrays: An update, or cues; None where there are none.
        guidance: The mean cue; None where there is none.
    """

    header: str
    arrays: Arrays | None
    guidance: Array | None

    def read(self, kind: type[Message]) -> Message:
        """Return the header.

        Raises:
            RefusalError: If it is not of this kind.
        """
        try:
            return read_message(self.header, kind)
        except MalformedMessageError as error:
            raise RefusalError(SiteError.INTERNAL, f"the work's answer is no {kind.__name__}") from error


class Work:
    """Has one message's work done, and reads the hospital's file before and after it.

    Args:
        file: The site's YAML.
        act: Does the work.

    Attributes:
        config: The site as the file said when it was last read.

    Raises:
        ConfigurationError: If the file cannot be used.
    """

    def __init__(self, file: Path, act: Act) -> None:
        self._file = file
        self._act = act
        self.config = load_site_config(file)

    def read_again(self) -> SiteConfig:
        """Read the file again: work takes long, and a policy that was tightened meanwhile holds at once.

        Raises:
            ConfigurationError: If it cannot be used by now.
        """
        self.config = load_site_config(self._file)
        return self.config

    def done(self, asked: Asked) -> Done:
        """Have something done.

        Raises:
            RefusalError: If it was refused where it is done.
        """
        answered: Answered = self._act(asked)
        if answered.code is not None or answered.header is None:
            raise RefusalError(
                answered.code or SiteError.INTERNAL, "the work was not done; see the run's log"
            )
        return Done(answered.header, answered.arrays, answered.guidance)

    def data_card(self, run: str, experiment: str) -> DataCard:
        """Return the site's data card, with all its counts.

        Args:
            run: The run's identifier.
            experiment: Canonical JSON, as the server sent it.

        Raises:
            RefusalError: If none was given.
        """
        query = QueryRequest(run=run, kind="data-card", experiment=experiment)
        text = self.done(Asked("query", query.to_json())).read(QueryReply).card
        try:
            return DataCard.from_json(text or "", "the site's data card")
        except ConfigurationError as error:
            raise RefusalError(SiteError.INTERNAL, "no data card was given") from error
