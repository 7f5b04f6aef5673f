"""`builtin` pads each level of its pyramid by itself: how good that is, on procedural scenes of a ragged size."""

from __future__ import annotations

import dataclasses

import torch

from vsvfi.engine.build import load_weights
from vsvfi.engine.device import inference
from vsvfi.engine.model_config import ModelConfig
from vsvfi.engine.padding import Padding
from vsvfi.engine.placement import Placement
from vsvfi.options import Options
from vsvfi.synthetic.scene import scene


def test_padding_each_level_is_better_than_padding_the_image() -> None:
    """Procedural scenes that move as a whole by 33 to 82 pixels, at a size that suits no coarse level."""
    width, height, room = 480, 270, 90
    config = ModelConfig.of(Options(model="builtin"))
    levels = config.build_config(width, height)
    published = dataclasses.replace(levels.size_rule, multiple=2 ** (int(str(levels.arguments["levels"])) + 1))
    gains = []
    for seed, (across, down) in enumerate(((32, 8), (48, 16), (-64, 24), (80, -16))):
        image = torch.from_numpy(scene(1000 + seed, width + room, height + room).frame(0))[None]
        first, middle, second = (
            image[..., 45 + down * at // 2 :, 45 + across * at // 2 :][..., :height, :width] for at in (-1, 0, 1)
        )
        errors = []
        for build in (levels, dataclasses.replace(levels, size_rule=published)):
            network = load_weights(config).network(build, Placement(torch.device("cpu"), torch.float32))
            padding = Padding.of(build, width, height)
            with inference(torch.device("cpu")):
                found = padding.crop(network(padding.pad(first), padding.pad(second), torch.tensor([0.5])))
            errors.append(float((found - middle).square().mean().log10()) * -10)
        gains.append(errors[0] - errors[1])
    assert sum(gains) / len(gains) > 1
    assert min(gains) > -1
