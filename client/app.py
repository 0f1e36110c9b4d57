"""The ClientApp: Flower's message in, Flower's message out; what lies between is the site's own affair.

In simulations, and under ``flwr run``, the site acts in this process, governed by its policy all the same. A
hospital's daemon does not use this module: its own process stands between Flower and the one that trains
(:mod:`client.daemon`).
"""

from __future__ import annotations

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client.actions import act
from client.governor import Governor
from client.message import Answered, Asked, Kind
from client.refusals import code_of, record
from client.site import site_file
from client.wire import read_asked, write_answered

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Answer a request to train one round."""
    return _answer("train", message, context)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Answer a request to judge the global model."""
    return _answer("evaluate", message, context)


@app.query()
def query(message: Message, context: Context) -> Message:
    """Answer who the site is, or clean up after a run."""
    return _answer("query", message, context)


def _answer(kind: Kind, message: Message, context: Context) -> Message:
    try:
        file = site_file(context.node_config, context.run_config)
        asked = Asked(kind, *read_asked(message))
        simulated = "site-config" not in context.node_config
        governor = Governor(file, "simulation")
        answered = governor.answer(asked, lambda asked: act(asked, file, simulated=simulated))
    except Exception as error:
        record(error, None)
        answered = Answered(code=code_of(error))
    return write_answered(message, answered)
