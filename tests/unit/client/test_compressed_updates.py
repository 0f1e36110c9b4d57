"""Compression at a site: what comes is unfolded first, what leaves is folded last and told in the audit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import client.compression
from client.compression import unfolded
from client.governor import Governor
from client.message import Answered, Asked
from hqgnet.compression_config import CompressionConfig
from hqgnet.config import Experiment, experiment_from_json
from hqgnet.exchange.arrays import Arrays, ArraySpec, digest_arrays, distance
from hqgnet.exchange.compression.choice import downward, most_bytes
from hqgnet.exchange.compression.message import COMPRESSED, compress, decompress
from hqgnet.exchange.update import MalformedMessageError, SiteError
from tests.unit.client.recorded_site import Recorded, SiteWith, bare, events, refusal


def compressing(asked: Asked, **keys: Any) -> tuple[Asked, Arrays]:
    """The same request in an experiment that compresses, and what the site trains on."""
    request = json.loads(str(asked.text))
    settings = CompressionConfig.model_validate(keys)
    experiment = with_compression(experiment_from_json(request["experiment"], "the test"), settings)
    text = json.dumps(request | {"experiment": experiment.to_json()})
    if not settings.is_down:
        return replace(asked, text=text), asked.arrays
    packed, decoded = compress(asked.arrays, downward(settings))
    carried: Arrays = {COMPRESSED: packed}  # type: ignore[dict-item]
    return replace(asked, text=text, arrays=carried), decoded


def large(arrays: Arrays) -> Arrays:
    """Those that a codec shortens."""
    return {name: array for name, array in arrays.items() if array.ndim > 1 and array.size >= 1024}


def with_compression(experiment: Experiment, settings: CompressionConfig) -> Experiment:
    federation = experiment.federation.model_copy(update={"compression": settings})
    return experiment.model_copy(update={"federation": federation})


def opened(answered: Answered, base: Arrays) -> Arrays:
    """What the server makes of an answer."""
    assert answered.arrays is not None and list(answered.arrays) == [COMPRESSED]
    expected = {name: ArraySpec(array.shape, str(array.dtype)) for name, array in base.items()}
    return decompress(answered.arrays[COMPRESSED], expected, base)


@pytest.mark.parametrize(
    ("keys", "codec"),
    [
        ({"up": "int8", "zstd": True}, "int8+zstd"),
        ({"up": "topk", "topk_share": 0.05}, "topk 0.05"),
        ({"up": "float16", "down": "bfloat16"}, "float16"),
        ({"zstd": True}, "float32+zstd"),
    ],
)
def test_the_audit_tells_what_left(
    keys: dict[str, Any], codec: str, requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    asked, base = compressing(requests["train"], **keys)
    file = site_with()
    answered = Governor(file, "simulation").answer(asked, site)
    assert answered.code is None
    # Whoever trains is handed plain arrays.
    handed = site.asked[-1].arrays
    assert handed.keys() == base.keys() and digest_arrays(handed) == digest_arrays(base)
    arrays = opened(answered, base)
    left = events(file)[-1]["facts"]
    payload = np.asarray((answered.arrays or {})[COMPRESSED])
    assert left["codec"] == codec
    assert left["bytes"] == payload.nbytes < 0.9 * sum(array.nbytes for array in arrays.values())
    assert left["payload"] == hashlib.sha256(payload.tobytes()).hexdigest()
    # The server's audit has the same digest, of the same numbers.
    assert left["digest"] == digest_arrays(arrays)
    assert left["norm"] == pytest.approx(distance(arrays, base))


def test_without_compression_nothing_is_folded_or_kept(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    file = site_with()
    answered = Governor(file, "simulation").answer(requests["train"], site)
    update = site.answers["train"].arrays or {}
    assert answered.arrays is not None and answered.arrays.keys() == update.keys()
    assert all(answered.arrays[name] is update[name] for name in update)
    assert not list(file.parent.glob("work/*/state"))
    assert "codec" not in events(file)[-1]["facts"]


def test_what_a_round_left_out_goes_with_the_next(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    asked, base = compressing(requests["train"], up="topk", topk_share=0.2)
    file = site_with()
    governor = Governor(file, "simulation")
    first = opened(governor.answer(asked, site), base)
    update = large(site.answers["train"].arrays or {})
    missing = distance(large(first), update)
    # The round again, as after a server's crash: the same, to the last bit.
    again = opened(governor.answer(asked, site), base)
    assert digest_arrays(again) == digest_arrays(first)
    request = json.loads(str(asked.text)) | {"round": 2, "first_step": 2, "counted_step": 2}
    site.change("train", round=2)
    second = opened(Governor(file, "simulation").answer(replace(asked, text=json.dumps(request)), site), base)
    # The same step once more, and a part of what was left out.
    together = {name: np.asarray(first[name] + second[name] - base[name], np.float32) for name in update}
    twice = {name: np.asarray(2 * update[name] - base[name], np.float32) for name in update}
    assert distance(together, twice) < 1.7 * missing
    assert distance(large(second), base) > 1.2 * distance(large(first), base)


def test_clipping_comes_first_and_holds_for_what_leaves(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    asked, base = compressing(requests["train"], up="int8")
    limit = distance(site.answers["train"].arrays or {}, base) / 2
    file = site_with(policy={"clip_norm": limit})
    governor = Governor(file, "simulation")
    for number in (1, 2, 3):
        step = 2 * (number - 1)
        request = json.loads(str(asked.text)) | {"round": number, "first_step": step, "counted_step": step}
        site.change("train", round=number)
        arrays = opened(governor.answer(replace(asked, text=json.dumps(request)), site), base)
        assert 0.99 * limit < distance(arrays, base) <= limit
        assert events(file)[-1]["facts"]["clipped"]


def test_what_an_update_that_did_not_count_held_and_left_out_is_made_again(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    asked, base = compressing(requests["train"], up="topk", topk_share=0.2)
    governor = Governor(site_with(), "simulation")
    first = opened(governor.answer(asked, site), base)
    site.change("train", round=2)
    for counted, same in ((0, True), (2, False)):
        request = json.loads(str(asked.text)) | {"round": 2, "first_step": 2, "counted_step": counted}
        second = opened(governor.answer(replace(asked, text=json.dumps(request)), site), base)
        assert (digest_arrays(second) == digest_arrays(first)) is same


def test_what_was_left_out_before_there_was_noise_never_leaves(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    asked, base = compressing(requests["train"], up="topk", topk_share=0.05)
    governor = Governor(site_with(), "simulation")
    assert governor.answer(asked, site).code is None
    noise = {"clip_norm": 1e-6, "noise": {"multiplier": 1.0, "epsilon": 50.0}}
    file, norms = site_with(policy=noise), []
    for number in (2, 3):
        step = 2 * (number - 1)
        request = json.loads(str(asked.text)) | {"round": number, "first_step": step, "counted_step": step}
        site.change("train", round=number)
        answered = Governor(file, "simulation").answer(replace(asked, text=json.dumps(request)), site)
        norms.append(distance(opened(answered, base), base))
    floats = sum(array.size for array in base.values() if array.dtype == np.float32)
    # Noise of a millionth a number, and what the round before left out of its; the site had moved further.
    assert max(norms) < 3e-6 * floats**0.5 < 0.01 * distance(site.answers["train"].arrays or {}, base)
    assert norms[1] > norms[0]


def test_noise_comes_first(requests: dict[str, Asked], site: Recorded, site_with: SiteWith) -> None:
    asked, base = compressing(requests["train"], up="int8")
    policy = {"clip_norm": 0.01, "noise": {"multiplier": 2.0, "epsilon": 8.0}}
    file = site_with(policy=policy)
    arrays = opened(Governor(file, "simulation").answer(asked, site), base)
    floats = sum(array.size for array in arrays.values() if array.dtype == np.float32)
    assert distance(arrays, base) == pytest.approx(0.02 * floats**0.5, rel=0.05)
    left = events(file)[-1]["facts"]
    assert left["epsilon"] > 0 and left["norm"] == pytest.approx(distance(arrays, base))
    assert "clipped" not in left and "norm_before" not in left


def test_the_policys_ceiling_is_of_what_leaves(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    plain = sum(array.nbytes for array in (site.answers["train"].arrays or {}).values())
    file = site_with(policy={"megabytes_per_round": 0.5 * plain / 1e6})
    governor = Governor(file, "simulation")
    assert governor.answer(requests["train"], site).code is SiteError.POLICY_BYTES
    asked, base = compressing(requests["train"], up="int8")
    assert most_bytes(base, CompressionConfig(up="int8")) < 0.5 * plain
    assert governor.answer(asked, site).code is None
    file = site_with(policy={"megabytes_per_round": 0.1 * plain / 1e6})
    work = len(site.asked)
    assert Governor(file, "simulation").answer(asked, site).code is SiteError.POLICY_BYTES
    assert len(site.asked) == work


def test_parameters_of_another_form_are_refused(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    asked, _ = compressing(requests["train"], down="bfloat16")
    packed = np.asarray(asked.arrays[COMPRESSED])
    wrong: list[Asked] = [
        replace(asked, arrays=requests["train"].arrays),
        replace(asked, arrays={}),
        replace(asked, arrays={COMPRESSED: packed[:-1]}),
        replace(asked, arrays={COMPRESSED: packed, "task.x": packed}),
        replace(asked, arrays={COMPRESSED: packed.view(np.int8)}),
    ]
    file = site_with()
    for number, request in enumerate(wrong):
        answered = Governor(file, "simulation").answer(request, site)
        assert bare(answered) == Answered(code=SiteError.REQUEST), number
        assert refusal(file)["code"] == SiteError.REQUEST
    assert not site.asked


def test_a_message_may_not_unfold_to_more_than_it_could_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = CompressionConfig(zstd=True)
    packed, _ = compress({"task.w": np.zeros((2000, 2000), np.float32)}, downward(settings))
    asked = Asked("train", "{}", {COMPRESSED: packed})  # type: ignore[dict-item]
    with pytest.raises(MalformedMessageError, match="larger"):
        unfolded(asked, settings, frozen=False)
    monkeypatch.setattr(client.compression, "_SMALL", 2**24)
    assert not unfolded(asked, settings, frozen=False).arrays["task.w"].any()


def test_frozen_parameters_stand_beside_the_compressed_ones() -> None:
    settings = CompressionConfig(down="bfloat16")
    packed, _ = compress({"task.w": np.ones((40, 40), np.float32)}, downward(settings))
    frozen = np.arange(3, dtype=np.float32)
    carried = {COMPRESSED: packed, "generator.w": frozen}
    asked = Asked("train", "{}", carried)  # type: ignore[arg-type]
    arrays = unfolded(asked, settings, frozen=True).arrays
    assert arrays.keys() == {"task.w", "generator.w"} and arrays["generator.w"] is frozen
    with pytest.raises(MalformedMessageError, match="not compressed"):
        unfolded(asked, settings, frozen=False)
    twice = replace(asked, arrays=asked.arrays | {"task.w": frozen})
    with pytest.raises(MalformedMessageError, match="twice"):
        unfolded(twice, settings, frozen=True)


def test_an_update_without_a_finite_difference_does_not_leave(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    asked, base = compressing(requests["train"], up="int8")
    name = next(name for name, array in base.items() if array.ndim == 4 and array.size > 2000)
    far = {name: np.full_like(base[name], 3e38)}
    site.answers["train"] = replace(site.answers["train"], arrays=(site.answers["train"].arrays or {}) | far)
    asked = replace(asked, arrays=base | {name: np.full_like(base[name], -3e38)})
    file: Path = site_with()
    answered = Governor(file, "simulation").answer(asked, site)
    assert bare(answered) == Answered(code=SiteError.DIVERGED)
    assert not list(file.parent.glob("work/*/state/left-out/*"))
