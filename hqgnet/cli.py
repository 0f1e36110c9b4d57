"""``hqgnet``: make sites, inspect networks, train, run the paper's tables, enhance, score and judge images.

Only the standard library is imported here; each command loads what it needs when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hqgnet import __version__
from hqgnet.commands import run_guarded

_MODALITIES = ("fundus", "ccm", "colonoscopy")
_PRESETS = ("paper", "standard", "small", "tiny")
_CLASSICAL = ("caefi", "ata", "idrlp")
_PRECISIONS = ("float32", "bfloat16")
_METRICS = ("niqe", "brisque", "piqe", "ag", "en")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``hqgnet``."""
    parser = argparse.ArgumentParser(prog="hqgnet", description=__doc__.splitlines()[0].split(": ", 1)[1])
    parser.add_argument("--version", action="version", version=f"hqgnet {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    sites = commands.add_parser("sites", help="synthetic sites").add_subparsers(dest="action", required=True)
    make = sites.add_parser("make", help="write synthetic sites, each a folder with its YAML")
    make.add_argument("--modality", choices=_MODALITIES, required=True)
    make.add_argument("--sites", type=_positive, default=3, metavar="N", help="how many (default 3)")
    make.add_argument("--seed", type=int, default=0, metavar="S")
    make.add_argument("--size", type=_positive, default=128, help="pixels a side (default 128)")
    make.add_argument(
        "--train-lq", type=int, default=48, metavar="N", help="LQ images to train on, a site (default 48)"
    )
    make.add_argument(
        "--train-hq", type=int, default=48, metavar="N", help="HQ images to train on, a site (default 48)"
    )
    make.add_argument("--out", type=Path, required=True, metavar="DIR")

    inspect = commands.add_parser("inspect", help="parameters and GMACs of a preset, or of every network")
    which = inspect.add_mutually_exclusive_group()
    which.add_argument("--preset", choices=_PRESETS, default="standard", help="of HQG-Net (default standard)")
    which.add_argument(
        "--all", action="store_true", help="every enhancer beside Table IV, and the downstream networks"
    )
    inspect.add_argument("--size", type=_positive, default=384, help="pixels a side (default 384)")
    inspect.add_argument("--channels", type=int, choices=(1, 3), default=3)
    inspect.add_argument("--json", action="store_true", help="print JSON instead of a table")

    train = commands.add_parser("train", help="train without a federation: one site, or several pooled")
    train.add_argument("experiment", type=Path, metavar="EXPERIMENT.yaml")
    train.add_argument("--site", type=Path, action="append", required=True, metavar="SITE.yaml", dest="sites")
    train.add_argument("--output", type=Path, required=True, metavar="MODEL.safetensors")
    train.add_argument("--seed", type=int, default=None, help="instead of the experiment's")

    ablate = commands.add_parser("ablate", help="a whole table of the paper: train and judge its rows")
    ablate.add_argument(
        "table", metavar="TABLE", help="III, VII, VIII, Va to Vg, fig7 or fig8; capitals do not matter"
    )
    ablate.add_argument("--experiment", type=Path, required=True, metavar="EXPERIMENT.yaml")
    ablate.add_argument(
        "--site", type=Path, action="append", required=True, metavar="SITE.yaml", dest="sites"
    )
    ablate.add_argument(
        "--budget",
        type=_positive,
        required=True,
        metavar="STEPS",
        help="steps of every enhancer, and as many of what is trained with a downstream network",
    )
    ablate.add_argument("--out", type=Path, required=True, metavar="DIR", help="continued if it is there")
    ablate.add_argument("--rows", type=_names, default=(), metavar="NAME,...", help="some rows (default all)")
    ablate.add_argument(
        "--seeds", type=_seeds, metavar="1,2", help="of training, mean and spread (the experiment's)"
    )
    ablate.add_argument(
        "--with-downstream",
        action="store_true",
        help="Table V, Fig. 7 and 8: train a downstream network on each row's images too, for Dice",
    )
    ablate.add_argument("--json", action="store_true", help="print JSON instead of a table")

    enhance = commands.add_parser("enhance", help="enhance an image or a folder of images")
    enhancer = enhance.add_mutually_exclusive_group(required=True)
    enhancer.add_argument(
        "--model",
        type=Path,
        metavar="FILE_OR_DIR",
        help="a run's model file, or a folder that hqgnet export wrote",
    )
    enhancer.add_argument("--method", choices=_CLASSICAL, help="a classical method, which needs no model")
    enhance.add_argument("--input", type=Path, required=True, metavar="FILE_OR_DIR")
    enhance.add_argument("--output", type=Path, required=True, metavar="DIR", help="outside of the input")
    enhance.add_argument("--overwrite", action="store_true", help="replace results that are there")
    enhance.add_argument(
        "--guide", type=Path, metavar="IMAGE", help="HQ image to be guided by, instead of the stored cue"
    )
    enhance.add_argument(
        "--at",
        choices=("trained", "native"),
        help="run the network at the size it was trained at and carry the change over to the full image "
        "(default), or on the full image itself",
    )
    enhance.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    enhance.add_argument(
        "--precision",
        choices=(*_PRECISIONS, "auto"),
        # A hospital's files must not depend on which machine made them unless somebody asks for speed.
        help="float32 if not given, of an exported network its own; auto: bfloat16 where the machine is fast "
        "in it and the first image hardly shows it",
    )
    enhance.add_argument(
        "--tile",
        type=_positive,
        metavar="N",
        help="with --at native: run images larger than NxN in tiles, in bounded memory",
    )
    enhance.add_argument(
        "--overlap",
        type=_not_negative,
        metavar="N",
        help="with --tile: pixels that tiles share at least (default 64); with 0 seams may be seen",
    )

    export = commands.add_parser("export", help="write a model for ONNX Runtime, OpenVINO or torch.export")
    export.add_argument("--model", type=Path, required=True, metavar="FILE")
    export.add_argument("--to", choices=("onnx", "openvino", "torch-export"), required=True)
    export.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new or an empty folder")
    export.add_argument(
        "--guidance",
        choices=("baked", "input"),
        default="baked",
        help="part of the network (default), or an input of it",
    )
    export.add_argument(
        "--guide", type=Path, metavar="IMAGE", help="HQ image that guides, instead of the stored cue"
    )
    export.add_argument("--precision", choices=_PRECISIONS, default="float32", help="(default float32)")
    export.add_argument(
        "--size",
        type=_size,
        default=None,
        metavar="N|HxW|dynamic",
        help="the only image size that it takes, in pixels; dynamic (default): any",
    )

    evaluate = commands.add_parser("evaluate", help="judge a model or a classical method on test images")
    judged = evaluate.add_mutually_exclusive_group(required=True)
    judged.add_argument("--model", type=Path, metavar="FILE")
    judged.add_argument("--method", choices=_CLASSICAL, help="a classical method, which needs no model")
    evaluate.add_argument(
        "--size", type=_positive, metavar="N", help="with --method: pixels of the longer side (384)"
    )
    evaluate.add_argument("--site", type=Path, required=True, metavar="SITE.yaml")
    evaluate.add_argument("--split", choices=("test", "validation"), default="test")
    guide = evaluate.add_mutually_exclusive_group()
    guide.add_argument(
        "--guidance",
        choices=("site", "stored"),
        help="one fixed HQ image of the site (default; the paper's protocol), or the model's stored cue",
    )
    guide.add_argument(
        "--guides",
        nargs="+",
        default=[],
        metavar="SPEC",
        help="judge it under many guides: all, ten, one, lq, stored, gaussian, poisson, salt-pepper, "
        "other:SITE.yaml, other-lq:SITE.yaml, folder:DIR; paper: all that need no file",
    )
    evaluate.add_argument("--json", type=Path, metavar="OUT", help="write the figures here too")
    many = evaluate.add_argument_group("with --guides")
    many.add_argument(
        "--strengths", type=_strengths, metavar="S,...", help="of noise, 0 to 1 (0.05,0.1,0.2,0.4)"
    )
    many.add_argument("--seed", type=int, metavar="S", help="of noise and draws of guides (0)")
    many.add_argument("--most-guides", type=_positive, metavar="N", help="images used of each set (32)")
    many.add_argument(
        "--out", type=Path, metavar="DIR", help="write a CSV and a plot there; keep it at the site"
    )

    score = commands.add_parser("score", help="figures of any images, without a model or clean twins")
    score.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="images, or folders of them")
    score.add_argument(
        "--metrics",
        type=_metrics,
        default=_METRICS,
        metavar="NAME,...",
        help=f"of {','.join(_METRICS)} (default all)",
    )
    score.add_argument(
        "--field-of-view", action="store_true", help="count only the retina of a fundus photograph"
    )
    score.add_argument(
        "--size", type=_positive, metavar="N", help="resize the longer side to N pixels first (default: no)"
    )
    score.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_guarded(lambda: _dispatch(build_parser().parse_args(argv)))


def _dispatch(arguments: argparse.Namespace) -> None:
    if arguments.command == "sites":
        from hqgnet.commands.sites import make

        make(arguments)
    elif arguments.command == "inspect":
        from hqgnet.commands.inspect import inspect

        inspect(arguments)
    elif arguments.command == "train":
        from hqgnet.commands.train import train

        train(arguments)
    elif arguments.command == "ablate":
        from hqgnet.commands.ablate import ablate

        ablate(arguments)
    elif arguments.command == "enhance":
        from hqgnet.commands.enhance import enhance

        enhance(arguments)
    elif arguments.command == "export":
        from hqgnet.commands.export import export

        export(arguments)
    elif arguments.command == "score":
        from hqgnet.commands.score import score_images

        score_images(arguments)
    else:
        from hqgnet.commands.evaluate import evaluate

        evaluate(arguments)


def _metrics(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(filter(None, (name.strip().lower() for name in text.split(",")))))
    unknown = [name for name in names if name not in _METRICS]
    if unknown or not names:
        wrong = f"unknown: {', '.join(unknown)}" if unknown else "none given"
        raise argparse.ArgumentTypeError(f"{wrong} (choose of {', '.join(_METRICS)})")
    return names


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def _seeds(text: str) -> tuple[int, ...]:
    seeds = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    if min(seeds) < 0:
        raise argparse.ArgumentTypeError("seeds are 0 or more")
    return seeds


def _strengths(text: str) -> tuple[float, ...]:
    strengths = tuple(sorted({float(part) for part in text.split(",")}))
    if not all(0 < strength <= 1 for strength in strengths):
        raise argparse.ArgumentTypeError("must be above 0 and at most 1")
    return strengths


def _size(text: str) -> tuple[int, int] | None:
    if text == "dynamic":
        return None
    height, _, width = text.partition("x")
    return _positive(height), _positive(width or height)


def _positive(text: str) -> int:
    return _at_least(1, text)


def _not_negative(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    value = int(text)
    if value < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}")
    return value


if __name__ == "__main__":
    sys.exit(main())
