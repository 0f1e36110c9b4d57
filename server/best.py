"""Which round's model is the best, and why."""

from __future__ import annotations

from torch import Tensor

from hqgnet.config import PHASES, Experiment, PhaseName
from hqgnet.exchange.arrays import Arrays
from server.evaluation import Judgement
from server.global_model import GlobalModel
from server.run_directory import RunDirectory


def judged_phase(experiment: Experiment) -> PhaseName:
    """Return the phase whose models compete: the last one, where every network has been trained."""
    return [phase for phase in PHASES if experiment.phase(phase).rounds][-1]


class BestModel:
    """Keeps the model with the highest site-mean of ``evaluation.best_by`` on enhanced validation images.

    Without such a figure at any site (no clean twins for PSNR, say), or with ``none``, the last model
    stands. Among equals the earlier stands.

    Args:
        experiment: Says the figure.
        directory: Gets ``models/best.safetensors`` and ``choice.json``.
        model: Writes the file.
    """

    def __init__(self, experiment: Experiment, directory: RunDirectory, model: GlobalModel) -> None:
        self._metric = experiment.evaluation.best_by
        self._phase = judged_phase(experiment)
        self._directory = directory
        self._model = model
        self._score: float | None = None
        self.parameters: Arrays = model.published
        self.round = 0

    def consider(self, judgement: Judgement, parameters: Arrays, *, task_trained: bool) -> None:
        """Take ``parameters`` if they are the best so far, and write them."""
        if judgement.phase != self._phase:
            return
        name = f"{self._metric}_enhanced"
        score = judgement.mean.get(name)
        if self._score is not None and (score is None or score <= self._score):
            return
        if score is None:
            reason = "the last round that was judged"
            reason += (
                "" if self._metric == "none" else f": no site could tell {name} on its validation images"
            )
        else:
            sites = judgement.sites_behind[name]
            reason = f"highest {name} on validation images, mean over {sites} sites; of equals the earlier"
        self.take(parameters, judgement.round, judgement.guidance, reason, score, task_trained=task_trained)

    def take(
        self,
        parameters: Arrays,
        number: int,
        guidance: Tensor | None,
        reason: str,
        score: float | None = None,
        *,
        task_trained: bool,
    ) -> None:
        """Make ``parameters`` of round ``number`` the best model."""
        self._score, self.parameters, self.round = score, parameters, number
        details = {"phase": self._phase, "round": number, "task_trained": task_trained, "chosen": reason}
        self._model.save(self._directory.models / "best.safetensors", parameters, guidance, details)
        choice = {"phase": self._phase, "round": number, "by": self._metric, "score": score, "reason": reason}
        self._directory.write_json("choice.json", choice)
