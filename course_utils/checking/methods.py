"""Which methods fit a folder, each with the command to go on with."""

import shlex
from dataclasses import dataclass

from course_utils.checking.facts import FEW, FolderFacts
from course_utils.trainers.configs import (
    MemSegConfig,
    NearestPatchesConfig,
    TrainingConfig,
    TwoStageConfig,
    UNetConfig,
)


@dataclass(frozen=True)
class Method:
    """A method of the course, and whether these images are what it learns from."""

    title: str
    reason: str
    command: str = ""
    """Empty: it does not fit."""


def fitting_methods(facts: FolderFacts) -> list[Method]:
    """Return all methods, those that fit first and the quickest of them on top."""
    good, masks, labeled = facts.good, facts.masks, facts.defective - facts.masks
    few = f"; {good} are few, {FEW} or more make the answer steadier" if good < FEW else ""
    found = []
    if good:
        reason = f"{good} good images are all that it needs{few}; minutes on a CPU"
        found.append(_method(facts, "Nearest patches", reason, "nearest", NearestPatchesConfig))
    else:
        found.append(Method("Nearest patches, MemSeg", "they learn from good images: add good/"))
    if masks:
        reason = f"{masks} images have masks; with --network casae, and no encoder, CASAE"
        options = {"encoder": "efficientnet_lite0", "loss": "dice"}
        if len(facts.classes) > 1:
            options["classes"] = "all"
        found.append(_method(facts, "U-Net", reason, "unet", UNetConfig, **options))
    else:
        found.append(
            Method(
                "U-Net, CASAE", "they learn from masks: draw some with a tool of course data import"
            )
        )
    if facts.choice.tile and labeled:
        found.append(
            Method("Two-stage network", f"on tiles it wants masks, and {labeled} images have none")
        )
    elif facts.defective and good:
        segmented = {} if masks else {"segmented": 0}
        reason = f"{facts.defective} defective and {good} good images" + (
            f", {labeled} of them without masks: it learns from labels, too" if labeled else ""
        )
        two_stage = _method(
            facts, "Two-stage network", reason, "two-stage", TwoStageConfig, **segmented
        )
        found.append(two_stage)
    else:
        found.append(
            Method("Two-stage network", "it wants good and defective images: add those you lack")
        )
    if good:
        reason = f"{good} good images; its anomalies are simulated{few}; an hour or more on a CPU"
        found.append(_method(facts, "MemSeg", reason, "memseg", MemSegConfig))
    return sorted(found, key=lambda method: not method.command)


def _method(
    facts: FolderFacts,
    title: str,
    reason: str,
    name: str,
    config: type[TrainingConfig],
    **options: str | int,
) -> Method:
    """Return a method with its command, whose settings were checked by its config."""
    height, width = facts.choice.size
    own = min(shape[0] for shape in facts.shapes), min(shape[1] for shape in facts.shapes)
    if config in (MemSegConfig, NearestPatchesConfig) and not facts.choice.tile:
        # Of MVTec's bottles, AUPRO falls from .94 to .84 when 256 pixels become 128.
        while height * width < 256**2 and own[0] >= 2 * height and own[1] >= 2 * width:
            height, width = 2 * height, 2 * width
    if config is TwoStageConfig and (height // 64) * (width // 64) < 2:  # too few cells for it
        height, width = 2 * height, 2 * width
    settings = {"data": f"folder:{facts.folder}", **options, "height": height, "width": width}
    if facts.choice.tile:
        settings["tile"] = facts.choice.tile
    try:
        config(**settings)
    except ValueError as error:
        return Method(title, f"not at the size advised here: {error}")
    words = ["course", "train", name]
    for key, value in settings.items():
        words += [f"--{key}", str(value)]
    words += ["--out", f"runs/{facts.folder.absolute().name}_{name.replace('-', '_')}"]
    return Method(title, reason, shlex.join(words))
