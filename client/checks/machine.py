"""The machine: processor, memory, disk, and whether the folders can be read and written."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from client.checks.finding import Finding, State, from_problem
from client.checks.space import disk_needed_gb, memory_needed_gb
from hqgnet.data.image_folders import walk_files
from hqgnet.data.site_config import SiteConfig
from hqgnet.errors import HqgnetError
from hqgnet.files import make_folder
from hqgnet.presets import PRESETS, PresetName

_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of the container, or of the systemd unit


def check_device(config: SiteConfig) -> list[Finding]:
    """Name the processor that would train, and the build of torch."""
    import torch

    from hqgnet.device import choose_device, training_devices

    try:
        device = choose_device(config.device)
        devices = training_devices(config, device)
    except HqgnetError as error:
        return [from_problem("Machine", "device", problem) for problem in error.problems]
    build = f"torch {torch.__version__}"
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        detail = (
            f"{device}: {properties.name}, {properties.total_memory / 1e9:.0f} GB "
            f"({build}, CUDA {torch.version.cuda})"
        )
        if len(devices) > 1:
            detail += f"; {len(devices)} GPUs train together"
        return [Finding("Machine", "device", "ok", detail)]
    if config.device == "auto" and _NVIDIA_DRIVER.exists():
        what = f"a NVIDIA driver is installed, but {build} sees no GPU: the processor would train"
        remedy = "Install a CUDA build of torch that fits the driver, or write device: cpu"
        return [Finding("Machine", "device", "warning", what, remedy)]
    return [Finding("Machine", "device", "ok", f"processor, no GPU ({build})")]


def check_compiler(config: SiteConfig) -> list[Finding]:
    """See whether this machine could compile networks; few experiments ask for it."""
    from hqgnet.device import choose_device
    from hqgnet.training.compiling import missing_compiler

    try:
        missing = missing_compiler(choose_device(config.device))
    except HqgnetError:
        return []  # told by the check of the device
    if missing is None:
        return [Finding("Machine", "compiler", "ok", "experiments with training.compile can run")]
    detail = f"experiments with training.compile: true cannot run: {missing.what}"
    return [Finding("Machine", "compiler", "ok", detail)]


def check_threads(config: SiteConfig) -> list[Finding]:
    """Compare the threads that the site file asks for with the processors that are there."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if config.threads is None:
        return [Finding("Machine", "threads", "ok", f"torch's choice, of {processors} processors")]
    detail = f"{config.threads} of {processors} processors"
    if config.threads > processors:
        remedy = f"Write threads: {processors} or fewer; more make training slower"
        return [Finding("Machine", "threads", "warning", detail, remedy)]
    return [Finding("Machine", "threads", "ok", detail)]


def check_memory() -> list[Finding]:
    """Compare the main memory with what training takes."""
    whole = memory_gb()
    detail, state = _against(whole, memory_needed_gb)
    remedy = "" if state == "ok" else "Give more memory (or raise the container's limit)"
    return [Finding("Machine", "memory", state, f"{whole:.1f} GB: {detail}", remedy)]


def check_disk(config: SiteConfig) -> list[Finding]:
    """Compare the free space where private state is kept with what a run takes."""
    place = config.work
    # Not place.exists(), which raises where a folder above may not be entered.
    while not os.path.exists(place) and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    detail, state = _against(free, disk_needed_gb)
    remedy = "" if state == "ok" else "Free space there, or let work name a folder on a larger disk"
    return [Finding("Machine", "disk", state, f"{free:.1f} GB free for {config.work}: {detail}", remedy)]


def check_work(config: SiteConfig) -> list[Finding]:
    """Make the work folder if it is missing, write a file there and delete it, and see who may enter it."""
    try:
        make_folder(config.work, mode=0o700)
        with tempfile.TemporaryFile(dir=config.work) as file:
            file.write(b"hqgnet-client check")
            file.flush()
            os.fsync(file.fileno())
        mode = stat.S_IMODE(config.work.stat().st_mode)
    except HqgnetError as error:
        return [from_problem("Machine", "work folder", problem) for problem in error.problems]
    except OSError as error:
        what = f"{config.work} cannot be written ({error.strerror or error})"
        remedy = "Let the user that runs this own the folder"
        return [Finding("Machine", "work folder", "problem", what, remedy)]
    # So Kubernetes marks a volume that it gave to a group. Were its mode another, it would be given anew at
    # the next start, and with it every private file inside.
    given = bool(mode & stat.S_ISGID)
    if mode & (stat.S_IRWXO if given else stat.S_IRWXG | stat.S_IRWXO):
        what = f"others may enter {config.work} (mode {mode:04o}), where pictures of patients and logs lie"
        remedy = f"chmod {'o=' if given else '700'} {config.work}"
        return [Finding("Machine", "work folder", "warning", what, remedy)]
    return [Finding("Machine", "work folder", "ok", f"{config.work} can be written")]


def check_reading(config: SiteConfig) -> list[Finding]:
    """See that every folder and file of images may be read; a folder that may not would be passed over."""
    closed: list[str] = []

    def note(error: OSError) -> None:
        # That a folder is missing, or a file (as the grades are), is told with the images.
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            closed.append(str(error.filename))

    def note_twice(folder: str, first: str) -> None:
        """That a link leads in a circle is told with the images, too."""

    for _, folder in config.images:
        if folder is not None:
            files = walk_files(folder, note, note_twice)
            closed += [str(path) for path in files if not _may_read(path)]
    if not closed:
        return [Finding("Machine", "image folders", "ok", "all folders and files may be read")]
    what = f"{len(closed)} folders or files may not be read by this user"
    remedy = (
        "Give the user that runs this the right to read them (chmod -R u+rX, or the group's), and to enter "
        "the folders above"
    )
    return [Finding("Machine", "image folders", "problem", what, remedy, tuple(sorted(closed)))]


def memory_gb() -> float:
    """Return the main memory in 10^9 bytes that processes here may use together."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    try:
        return min(whole, int(_MEMORY_LIMIT.read_text()) / 1e9)
    except (OSError, ValueError):  # no such limit, or "max"
        return whole


def _may_read(path: Path) -> bool:
    return os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids)


def _against(there: float, needed: Callable[[PresetName], float]) -> tuple[str, State]:
    """Say for which presets what is there suffices; the server will choose one of them."""
    fitting = [preset for preset in PRESETS if needed(preset) <= there]
    lacking = [f"{preset} takes {needed(preset):.1f}" for preset in PRESETS if preset not in fitting]
    if not lacking:
        return "enough for every preset", "ok"
    if not fitting:
        return f"too little for any preset ({', '.join(lacking)})", "problem"
    return f"enough for {', '.join(fitting)}; {', '.join(lacking)}", "warning"
