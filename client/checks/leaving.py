"""What leaves a site, in sentences: the site file's policy read out."""

from __future__ import annotations

from hqgnet.data.site_config import SiteConfig


def what_leaves(config: SiteConfig, hq_images: int | None) -> list[str]:
    """Return all that a run may take out of this site.

    Args:
        config: The site.
        hq_images: HQ images to train on, which decide whether the mean cue is shared; None if not known.
    """
    policy = config.policy
    grades = "" if config.images.grades is None else ", of images by grade"
    counts = f"counts of images, patients, masks and twins{grades}, and the range of sizes"
    if policy.smallest_count > 1:
        counts += f" (counts from 1 to {policy.smallest_count - 1} are hidden)"
    weights = f"network weights of {', '.join(policy.groups)}"
    if policy.clip_norm is not None:
        weights += f", their change clipped to an L2 norm of {policy.clip_norm:g}"
    if policy.noise is not None:
        weights += (
            f", with Gaussian noise (multiplier {policy.noise.multiplier:g}) until epsilon "
            f"{policy.noise.epsilon:g} at delta {policy.noise.delta:g} is spent"
        )
    lines = [f"{counts};", f"{weights};"]
    lines.append("mean training losses;" if policy.losses else "no training losses;")
    metrics = "all metrics" if policy.metrics is None else ", ".join(policy.metrics) or "no metric"
    fewest = f" over {policy.minimum_images_for_metrics} images or more"
    lines.append(f"sums of {metrics}{fewest if policy.minimum_images_for_metrics > 1 else ''};")
    if config.share_guidance and (hq_images is None or hq_images >= config.minimum_images_for_guidance):
        lines.append(
            f"the mean cue of the HQ images (64 numbers, over {config.minimum_images_for_guidance} or more)."
        )
    else:
        lines.append("not the mean cue of the HQ images.")
    if policy.cue_bank and (hq_images is None or hq_images >= policy.minimum_hq_images):
        last = lines.pop().removesuffix(".")
        lines += [
            f"{last};",
            "mean and covariance of the cues of the HQ images (64 numbers and 64 x 64, over "
            f"{policy.minimum_hq_images} or more), for hospitals without HQ images.",
        ]
    lines.append("No image, mask, file name or patient, and of no image its grade.")
    return lines
