"""Which round's model is the best, and why."""

from __future__ import annotations

import hashlib

from torch import Tensor

from hqgnet.config import PHASES, Experiment, PhaseName
from hqgnet.cue_bank import CueBank
from hqgnet.exchange.arrays import Arrays, to_arrays
from hqgnet.exchange.groups import has_personal_model, published_groups
from hqgnet.metrics.names import LOWER_IS_BETTER, improves
from hqgnet.model_file import load_model
from server.context import RunContext
from server.evaluation import Judgement
from server.global_model import GlobalModel

_FILE = "best.safetensors"


def judged_phase(experiment: Experiment) -> PhaseName:
    """Return the phase whose models compete: the last one, where every network has been trained."""
    return [phase for phase in PHASES if experiment.phase(phase).rounds][-1]


class BestModel:
    """Keeps the model with the best site-mean of ``evaluation.best_by`` on enhanced validation images.

    Without such a figure at any site (no clean twins for PSNR, say), or with ``none``, the last model
    stands. So it does where a part of the model never leaves the sites: they have that part of the last round
    alone, which fits no earlier one. Among equals the earlier stands.

    Args:
        context: Its experiment says the figure; its directory gets ``models/best.safetensors`` and
            ``choice.json``.
        model: Writes the file.
    """

    def __init__(self, context: RunContext, model: GlobalModel) -> None:
        self._metric = context.experiment.evaluation.best_by
        self._phase = judged_phase(context.experiment)
        self._context = context
        self._model = model
        self.score: float | None = None
        self.parameters: Arrays = model.published
        self.bank: CueBank | None = None
        self.round = 0

    def restore(self, number: int) -> None:
        """Take up the model that stands in the run directory.

        The file alone tells round and score: it may have been written after the checkpoint from which the
        run goes on, and the model that it replaced is no longer there.

        Args:
            number: Of the best round as the checkpoint has it; 0 if there was none.

        Raises:
            ModelFileError: If there must be a model and it cannot be read.
        """
        path = self._context.directory.models / _FILE
        if not number and not path.exists():
            return
        model = load_model(path)
        state = model.networks.state_dict()
        names = [name for name in state if name.split(".")[0] in published_groups(self._context.experiment)]
        self.parameters = self._model.published | to_arrays(state, names)
        self.score, self.round, self.bank = model.details["score"], model.details["round"], model.bank
        # The run may have been stopped before these were written.
        self._tell(model.details["chosen"])
        if self.round != number:
            with path.open("rb") as stream:
                self._attest(hashlib.file_digest(stream, "sha256").hexdigest())

    def consider(self, judgement: Judgement, parameters: Arrays, *, task_trained: bool) -> None:
        """Take ``parameters`` if they are the best so far, and write them."""
        if judgement.phase != self._phase or judgement.round == self.round:
            return
        name = f"{self._metric}_enhanced"
        score = judgement.mean.get(name)
        personal = has_personal_model(self._context.experiment)
        if not personal and not improves(self._metric, score, self.score):
            return
        if personal:
            reason = "the last round that was judged: a part of the model stays at each site, as it left it"
        elif score is None:
            reason = "the last round that was judged"
            reason += (
                "" if self._metric == "none" else f": no site could tell {name} on its validation images"
            )
        else:
            sites = judgement.sites_behind[name]
            which = "lowest" if self._metric in LOWER_IS_BETTER else "highest"
            reason = f"{which} {name} on validation images, mean over {sites} sites; of equals the earlier"
        self.take(
            parameters,
            judgement.round,
            judgement.guidance,
            reason,
            score,
            task_trained=task_trained,
            bank=judgement.bank,
        )

    def take(
        self,
        parameters: Arrays,
        number: int,
        guidance: Tensor | None,
        reason: str,
        score: float | None = None,
        *,
        task_trained: bool,
        bank: CueBank | None = None,
    ) -> None:
        """Make ``parameters`` of round ``number`` the best model."""
        self.score, self.parameters, self.round, self.bank = score, parameters, number, bank
        details = {
            "phase": self._phase,
            "round": number,
            "task_trained": task_trained,
            "chosen": reason,
            "score": score,
        }
        path = self._context.directory.models / _FILE
        self._attest(self._model.save(path, parameters, guidance, details, bank))
        self._tell(reason)

    def _attest(self, sha256: str) -> None:
        place = {"phase": self._phase, "round": self.round}
        self._context.audit.append("model-published", file=_FILE, sha256=sha256, **place)

    def _tell(self, reason: str) -> None:
        place = {"phase": self._phase, "round": self.round}
        choice = {**place, "by": self._metric, "score": self.score, "reason": reason}
        self._context.directory.write_json("choice.json", choice)
