"""The ClientApp: reads a message, lets the site act, answers. All exceptions end here as codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client.evaluation import evaluate as evaluate_model
from client.evaluation import finish
from client.refusals import code_of, record
from client.site import OpenSite, open_site, run_folder, site_file, use_threads
from client.training import train as train_round
from client.wire import read_request, write_refusal, write_reply
from hqgnet.data.site_config import load_site_config
from hqgnet.errors import HqgnetError
from hqgnet.exchange.arrays import Arrays
from hqgnet.exchange.update import EvaluateRequest, QueryReply, QueryRequest, TrainRequest, read_message

app = ClientApp()
Request = TypeVar("Request", TrainRequest, EvaluateRequest, QueryRequest)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Answer a request to train one round."""

    def act(site: OpenSite, request: TrainRequest, arrays: Arrays) -> Message:
        header, update = train_round(site, request, arrays)
        return write_reply(message, header.to_json(), update)

    return _answer(message, context, TrainRequest, act)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Answer a request to judge the global model."""

    def act(site: OpenSite, request: EvaluateRequest, arrays: Arrays) -> Message:
        header, guidance = evaluate_model(site, request, arrays)
        return write_reply(message, header.to_json(), guidance=guidance)

    return _answer(message, context, EvaluateRequest, act)


@app.query()
def query(message: Message, context: Context) -> Message:
    """Answer who the site is, or clean up after a run."""

    def act(site: OpenSite, request: QueryRequest, arrays: Arrays) -> Message:
        card = None
        if request.kind == "finish":
            finish(site)
        else:
            card = site.card.to_json()
        return write_reply(message, QueryReply(run=request.run, card=card).to_json())

    return _answer(message, context, QueryRequest, act)


def _answer(
    message: Message,
    context: Context,
    kind: type[Request],
    act: Callable[[OpenSite, Request, Arrays], Message],
) -> Message:
    log: Path | None = None
    # Whatever goes wrong, its text may hold a path or a name: it goes to the site's log, the server gets a
    # code.
    try:
        text, arrays = read_request(message)
        request = read_message(text, kind)
        file = site_file(context.node_config, context.run_config)
        log = _log_file(file, request.run)
        site = open_site(file, request.run, request.experiment)
        use_threads(site.config, simulated="site-config" not in context.node_config)
        return act(site, request, arrays)
    except Exception as error:
        record(error, log)
        return write_refusal(message, code_of(error))


def _log_file(file: Path, run: str) -> Path | None:
    try:
        return run_folder(load_site_config(file), run) / "site.log"
    except HqgnetError:
        return None
