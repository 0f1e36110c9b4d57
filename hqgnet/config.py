"""The experiment: one YAML file that says what a federation trains, and how.

Defaults are the paper's (Section IV, "Implementation details"): Adam (0.5, 0.99), learning rate 1e-4, batches
of four, lambda 10 / 1 / 5, random flips; size 384 where the paper is silent. A demo that must end in minutes
says so in its own YAML. Reading a file checks every key and reports all mistakes at once.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hqgnet.compression_config import CompressionConfig
from hqgnet.cue_bank_config import CueBankConfig
from hqgnet.downstream_config import NETWORK_TASKS, DownstreamConfig
from hqgnet.errors import ConfigurationError
from hqgnet.experiment_checks import missing_files, refuse_mistakes
from hqgnet.method_config import (
    PUBLISHED_TRAINING,
    AblationConfig,
    EnlightenGanConfig,
    Method,
    StillGanConfig,
)
from hqgnet.metrics.names import IMAGE_METRICS, ImageMetric, metrics_of
from hqgnet.presets import PRESETS, NetworkNumbers, OutputMode, PresetName
from hqgnet.strategy_config import StrategyConfig
from hqgnet.training_config import TrainingConfig
from hqgnet.yaml_files import load_yaml_model, validate_mapping

Modality = Literal["fundus", "ccm", "colonoscopy"]
PhaseName = Literal["pretrain", "enhance", "cooperate"]
PHASES: tuple[PhaseName, ...] = ("pretrain", "enhance", "cooperate")
# A year: more seconds than that are a mistake, and beyond some number no clock takes them.
_LONGEST_S = 365 * 86400
NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PhaseConfig(_Frozen):
    """Length of one phase."""

    rounds: int = Field(ge=0, le=100_000, description="communication rounds; 0 leaves the phase out")
    steps: int = Field(ge=1, le=1_000_000, description="local training steps a round at each site")
    learning_rate: float | None = Field(None, gt=0, le=1, description="overrides training.learning_rate")


class PhasesConfig(_Frozen):
    """The three phases, run in this order."""

    pretrain: PhaseConfig = Field(description="cue extractor as an autoencoder (MSE + SSIM)")
    enhance: PhaseConfig = Field(description="HQG-Net: guided adversarial enhancement (Eq. 11)")
    cooperate: PhaseConfig = Field(description="HQG-Net+: jointly with the downstream network (Eq. 15)")


class FederationConfig(StrategyConfig):
    """How the sites' updates become one model."""

    share_discriminator: bool = Field(
        False, description="average the discriminator too; else it never leaves a site"
    )
    unlabelled_sites: Literal["enhancement", "skip"] = Field(
        "enhancement",
        description="sites without masks in phase cooperate: train with the enhancement loss, or sit out",
    )
    expected_sites: int | None = Field(
        None,
        ge=1,
        description="at the start and on resume, wait for so many; minimum_sites are enough in the end",
    )
    wait_for_sites_s: float = Field(
        600.0,
        gt=0,
        le=_LONGEST_S,
        description="how long to wait for sites before giving up, at the start and in a round",
    )
    round_deadline_s: float = Field(
        3600.0, gt=0, le=_LONGEST_S, description="replies later than this are left out of the round"
    )
    attempts: int = Field(3, ge=1, le=20, description="how often a round with too few valid replies is tried")
    retry_pause_s: float = Field(
        5.0,
        ge=0,
        le=_LONGEST_S,
        description="pause before a round is tried again; three times as long with every attempt, ten "
        "minutes at most where it is not longer itself",
    )
    norm_limit: float = Field(
        10.0,
        gt=1,
        description="an update that moves the model so many times as far as the median of this round and the "
        "last three is left out",
    )
    server_average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay a round of the averaged model that is evaluated and published; 0: the last",
    )
    phase_begins_from: Literal["published", "latest"] = Field(
        "published",
        description="what the next phase begins from where server_average is above 0: the published average, "
        "or the latest weights, which the sites' discriminators have been trained against",
    )
    compression: CompressionConfig = Field(
        default_factory=CompressionConfig, description="in which form parameters travel"
    )
    cue_bank: CueBankConfig = Field(
        default_factory=CueBankConfig, description="HQ cues for sites without HQ images"
    )

    @model_validator(mode="after")
    def _expects_enough(self) -> FederationConfig:
        if self.expected_sites is not None and self.expected_sites < self.minimum_sites:
            raise ValueError("expected_sites is below minimum_sites: raise the one or lower the other")
        return self


class EvaluationConfig(_Frozen):
    """When sites judge the global model, and how the best one is chosen."""

    every: int = Field(
        5, ge=1, description="rounds between evaluations on the validation split; a phase's end always"
    )
    metrics: tuple[ImageMetric, ...] | None = Field(
        None,
        description="image metrics that sites measure; null: PSNR and SSIM where there are clean twins, AG, "
        "EN and the modality's own (ccm: SNR_r; colonoscopy: NIQE, BRISQUE; fundus: S_HQ, PIQE)",
    )
    best_by: Literal[ImageMetric, "dice", "auc", "grade_acc", "grade_f1", "none"] = Field(
        "psnr",
        description="validation metric whose mean over sites chooses the best model; none: the last round",
    )
    pictures: int = Field(4, ge=0, le=100, description="before/after pictures kept in each site's own folder")


class Experiment(_Frozen):
    """Everything that all sites and the server agree on before the first round."""

    name: str = Field(pattern=NAME_PATTERN, description="names the run directory")
    seed: int = Field(0, ge=0, lt=2**31, description="of weights, batches and flips")
    modality: Modality = Field(description="what the images are")
    channels: Literal[1, 3] = Field(description="1 for grey, 3 for colour images")
    image_size: int = Field(
        384, ge=16, le=4096, description="pixels of the longer side in training and evaluation"
    )
    method: Method = Field(
        "hqgnet",
        description="the enhancer. caefi, ata and idrlp need no training: a downstream network learns from "
        "their images. stillgan and enlightengan take no guidance; what their authors published "
        "stands where training is silent: stillgan learning_rate 2e-4, betas [0.5, 0.999], batch_size 1, "
        "lsgan; enlightengan betas [0.5, 0.999], lsgan",
    )
    preset: PresetName = Field("standard", description="size of the networks")
    output: OutputMode | None = Field(
        None,
        description="overrides the preset's. direct: a sigmoid makes the image, which did not train at small "
        "budgets; residual: the input plus a tanh; logit: a sigmoid of the input's logit plus what the "
        "network says, where residual ends in black or white images",
    )
    start_from: str | None = Field(
        None,
        min_length=1,
        max_length=4096,
        description="model file of an earlier run, of this method and preset, whose enhancer this run starts "
        "from; read where the run starts",
    )
    training: TrainingConfig = Field(default_factory=TrainingConfig, description="what a step does")
    phases: PhasesConfig = Field(description="how long each phase is")
    downstream: DownstreamConfig = Field(
        default_factory=DownstreamConfig, description="the downstream network, and who trains when"
    )
    ablation: AblationConfig = Field(
        default_factory=AblationConfig, description="switches of HQG-Net (Table V)"
    )
    stillgan: StillGanConfig = Field(default_factory=StillGanConfig, description="StillGAN's losses")
    enlightengan: EnlightenGanConfig = Field(
        default_factory=EnlightenGanConfig, description="EnlightenGAN's losses"
    )
    federation: FederationConfig = Field(
        default_factory=FederationConfig, description="how updates are combined"
    )
    evaluation: EvaluationConfig = Field(
        default_factory=EvaluationConfig, description="how the model is judged"
    )

    @model_validator(mode="before")
    @classmethod
    def _published_training(cls, given: Any) -> Any:
        """Put in what a method's authors published, so that the experiment itself says it."""
        if not isinstance(given, dict) or given.get("method") not in get_args(Method):
            return given
        published, training = PUBLISHED_TRAINING[given["method"]], given.get("training", {})
        return {**given, "training": published | training} if isinstance(training, dict) else given

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        refuse_mistakes(self)
        return self

    @property
    def numbers(self) -> NetworkNumbers:
        """Network numbers of the preset, with this experiment's output mode and discriminator."""
        own: dict[str, Any] = {"discriminator_normalization": self.training.discriminator_normalization}
        if self.output is not None:
            own["output"] = self.output
        return PRESETS[self.preset].model_copy(update=own)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the image metrics that sites measure, the one that chooses the best model among them."""
        asked = self.evaluation.metrics
        best_by = {self.evaluation.best_by} & set(IMAGE_METRICS)
        wanted = {*metrics_of(self.modality), *best_by} if asked is None else {*asked, *best_by}
        return tuple(name for name in IMAGE_METRICS if name in wanted)

    def phase(self, name: PhaseName) -> PhaseConfig:
        """Return the length of phase ``name``."""
        result: PhaseConfig = getattr(self.phases, name)
        return result

    def learning_rate(self, name: PhaseName) -> float:
        """Return Adam's step size in phase ``name``."""
        return self.phase(name).learning_rate or self.training.learning_rate

    def discriminator_learning_rate(self, name: PhaseName) -> float:
        """Return Adam's step size of the discriminators in phase ``name``."""
        return self.learning_rate(name) * self.training.discriminator_rate_factor

    def schedule(self, name: PhaseName, step: int) -> float:
        """Return the factor, in (0, 1], of the step sizes of phase ``name`` at ``step``, counted from 0.

        It is a function of the step alone, so that a site that missed a round is where the others are.
        """
        if self.training.schedule == "constant":
            return 1.0
        length = self.phase(name)
        steps = length.rounds * length.steps
        # The last step still moves: the one after it would not.
        return min(1.0, max(1, steps - step) / (steps - steps // 2))

    def to_json(self) -> str:
        """Canonical JSON: equal experiments give equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def load_experiment(path: Path) -> Experiment:
    """Read and check an experiment file, where a run starts.

    Files of pretrained weights must be there. A downstream network of the user's own is imported, to see that
    it can be: its code runs here.

    Raises:
        ConfigurationError: Naming every mistake with file, key, value and remedy.
    """
    experiment = load_yaml_model(path, Experiment)
    problems = missing_files(experiment, str(path))
    if experiment.downstream.network not in NETWORK_TASKS or experiment.downstream.arguments:
        from hqgnet.networks.downstream import (
            check_downstream,  # torch: most who read a file have no use for it
        )

        problems += check_downstream(experiment, str(path))
    if problems:
        raise ConfigurationError(problems)
    return experiment


def experiment_from_json(text: str, where: str) -> Experiment:
    """Read an experiment that came as JSON, in a model file or from the server.

    Args:
        text: What :meth:`Experiment.to_json` gave.
        where: Said in errors (``"the server's request"``).

    Raises:
        ConfigurationError: If it is not a valid experiment.
    """
    try:
        mapping = json.loads(text)
    except (ValueError, RecursionError):
        mapping = None
    return validate_mapping(mapping, Experiment, where)
