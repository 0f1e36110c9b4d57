"""What a site does when asked: train, judge, lend cues, show its card.

All exceptions end here as codes.
"""

from __future__ import annotations

from pathlib import Path

from client.evaluation import evaluate
from client.lending import lend
from client.message import Answered, Asked
from client.policy import check_images
from client.refusals import RefusalError, code_of, record
from client.site import log_file, open_site, use_resources
from client.training import train
from hqgnet.exchange.update import (
    CuesRequest,
    EvaluateRequest,
    QueryReply,
    SiteError,
    TrainRequest,
    read_message,
    read_query,
)


def act(asked: Asked, file: Path, *, simulated: bool = False) -> Answered:
    """Do what is asked on a site's images.

    Whatever goes wrong, its text may hold a path or a name: it goes to the site's log, the answer has a code.

    Args:
        asked: From the server.
        file: The site's YAML.
        simulated: This process serves several sites, with as many threads as it was given.
    """
    log: Path | None = None
    try:
        if asked.kind == "train":
            to_train = read_message(asked.text, TrainRequest)
            log = log_file(file, to_train.run)
            site = open_site(file, to_train.run, to_train.experiment)
            # The governor knows from the data card how many images there are, and not how many are labelled.
            usable = site.usable_images(to_train.phase)
            check_images(to_train.phase, to_train.steps, usable, site.experiment, site.config.policy)
            use_resources(site, simulated=simulated)
            update, arrays = train(site, to_train, asked.arrays)
            return Answered(update.to_json(), arrays)
        if asked.kind == "evaluate":
            to_judge = read_message(asked.text, EvaluateRequest)
            log = log_file(file, to_judge.run)
            site = open_site(file, to_judge.run, to_judge.experiment)
            use_resources(site, simulated=simulated)
            scores, guidance = evaluate(site, to_judge, asked.arrays)
            return Answered(scores.to_json(), guidance=guidance)
        query = read_query(asked.text)
        log = log_file(file, query.run)
        if query.kind == "finish":
            raise RefusalError(
                SiteError.REQUEST, "a run's end is the governor's affair: install this version"
            )
        site = open_site(file, query.run, query.experiment)
        if isinstance(query, CuesRequest):
            use_resources(site, simulated=simulated)
            cues, lent = lend(site, query, asked.arrays)
            return Answered(cues.to_json(), lent)
        return Answered(QueryReply(run=query.run, card=site.card.to_json()).to_json())
    except Exception as error:
        record(error, log)
        return Answered(code=code_of(error))
