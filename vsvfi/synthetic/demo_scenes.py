"""The three scenes of the demo clip, in nominal 640x360 coordinates: hills by day, a cartoon, a street at night."""

from __future__ import annotations

import math

import numpy as np

from vsvfi.synthetic.layer import Blob, Box, Capsule, Ellipse, Layer, Motion, Ridge, Shape, Union, everywhere
from vsvfi.synthetic.scene import Scene
from vsvfi.synthetic.texture import Array, Colour, Flat, Gradient, GradientNoise, Noise, Shaded, Stripes, Texture, Tiles


class Stage:
    """Map nominal 640x360 coordinates to the actual frame size."""

    def __init__(self, width: int, height: int, seed: int) -> None:
        self.width, self.height, self.seed = width, height, seed
        self.unit = height / 360
        self.left = (width / self.unit - 640) / 2

    def motion(
        self,
        x: float,
        y: float,
        velocity: tuple[float, float] = (0.0, 0.0),
        *,
        angle: float = 0.0,
        spin: float = 0.0,
        growth: float = 0.0,
        swing: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
        wave: tuple[float, float, float] = (0.0, 1.0, 0.0),
    ) -> Motion:
        """A motion in nominal pixels; the layer's own coordinates stay nominal."""
        unit = self.unit
        return Motion(
            place=((x + self.left) * unit, y * unit),
            velocity=(velocity[0] * unit, velocity[1] * unit),
            swing=(swing[0] * unit, swing[1] * unit, swing[2], swing[3]),
            angle=angle,
            spin=spin,
            size=unit,
            growth=growth,
            wave=wave,
        )

    def scene(self, layers: list[Layer]) -> Scene:
        return Scene(layers=layers, width=self.width, height=self.height, seed=self.seed)


def _colours(*colours: Colour) -> Array:
    return np.asarray(colours, np.float32)


class _Clouds:
    """A sky: a gradient with soft white clouds."""

    def __init__(self, seed: int) -> None:
        self._sky = Gradient((0.24, 0.46, 0.78), (0.86, 0.9, 0.93), -180.0, 90.0)
        self._noise = GradientNoise(seed, 90.0, 4)

    def __call__(self, u: Array, v: Array, footprint: float) -> Array:
        cover = np.clip((self._noise(u * np.float32(0.55), v) + np.float32(0.02)) * np.float32(1.5), 0, 0.85)
        sky = self._sky(u, v, footprint)
        clouded: Array = sky + cover * (np.float32(0.98) - sky)
        return clouded


def hills(stage: Stage) -> Scene:
    """Camera moving right along hills; a balloon, a kite, a rolling wheel."""
    seed = stage.seed
    rock = Noise(
        seed + 1,
        46,
        _colours((0.24, 0.26, 0.34), (0.42, 0.42, 0.47), (0.58, 0.55, 0.55), (0.8, 0.79, 0.79)),
        octaves=4,
        contrast=1.1,
    )
    wood = Noise(
        seed + 2, 14, _colours((0.07, 0.2, 0.1), (0.13, 0.31, 0.13), (0.27, 0.43, 0.17)), octaves=3, contrast=1.4
    )
    grass = Noise(
        seed + 3,
        18,
        _colours((0.2, 0.34, 0.08), (0.36, 0.5, 0.13), (0.58, 0.64, 0.24)),
        octaves=3,
        stretch=0.6,
        contrast=1.2,
    )
    soil = Shaded(
        Noise(seed + 4, 12, _colours((0.3, 0.2, 0.12), (0.45, 0.32, 0.19), (0.6, 0.47, 0.3)), octaves=3, stretch=3.0),
        GradientNoise(seed + 5, 90, 2),
        0.2,
    )
    panels = Stripes(Flat((0.86, 0.18, 0.14)), Flat((0.97, 0.9, 0.72)), 22, 0.0)
    balloon = Shaded(panels, GradientNoise(seed + 6, 120, 1), 0.18)
    spokes: list[tuple[Shape, Texture]] = [
        (Ellipse(27, 27), Noise(seed + 7, 9, _colours((0.55, 0.36, 0.16), (0.78, 0.56, 0.3))))
    ]
    for count in range(4):
        x, y = 27 * math.cos(count * math.pi / 4), 27 * math.sin(count * math.pi / 4)
        spokes.append((Capsule((-x, -y), (x, y), 2.4), Flat((0.25, 0.14, 0.07))))
    spokes.append((Ellipse(7, 7), Flat((0.2, 0.12, 0.06))))
    kite = Stripes(Flat((0.98, 0.75, 0.1)), Flat((0.1, 0.35, 0.7)), 30, 0.8)
    return stage.scene(
        [
            Layer(shape=everywhere, texture=_Clouds(seed + 8), motion=stage.motion(320, 150, (-0.8, 0))),
            Layer(
                shape=Ridge(-20, ((34, 310, 0.4), (17, 121, 1.2), (6, 47, 2.0))),
                texture=rock,
                motion=stage.motion(320, 190, (-2.2, 0)),
                softness=1.4,
            ),
            Layer(
                shape=Ridge(0, ((15, 260, 2.2), (5, 70, 0.2), (2.2, 17, 0.0))),
                texture=wood,
                motion=stage.motion(320, 222, (-4.6, 0)),
            ),
            Layer(
                shape=Union(
                    (
                        Ellipse(52, 58, (0, -62)),
                        Box(13, 9, 3, (0, 26)),
                        Capsule((-24, -12), (-9, 20), 0.9),
                        Capsule((24, -12), (9, 20), 0.9),
                    )
                ),
                texture=balloon,
                motion=stage.motion(395, 150, (3.1, -1.7), swing=(0, 3, 0.25, 0), spin=0.006, growth=0.006),
                extent=125,
                details=[
                    (Box(15, 11, 2, (0, 26)), Tiles(Flat((0.3, 0.18, 0.08)), Flat((0.62, 0.42, 0.2)), (6, 4), 1.2, 0.5))
                ],
            ),
            Layer(
                shape=Ridge(0, ((13, 420, 0.0), (4, 95, 1.0))), texture=grass, motion=stage.motion(320, 272, (-8.5, 0))
            ),
            Layer(
                shape=Blob(34, ((0.0, 0.0), (0.2, 0.4), (0.0, 0.0), (0.18, 0.9))),
                texture=kite,
                motion=stage.motion(
                    190, 95, (-1.5, 1.2), angle=0.5, swing=(16, 10, 0.4, 1.0), spin=0.03, wave=(2.5, 60, 0.5)
                ),
                extent=55,
            ),
            Layer(shape=Ridge(0, ((3, 500, 1.0),)), texture=soil, motion=stage.motion(320, 326, (-13, 0))),
            Layer(
                shape=Ellipse(36, 36),
                texture=Flat((0.22, 0.13, 0.07)),
                motion=stage.motion(120, 300, (9, 0), spin=9 / 36),
                extent=40,
                details=spokes,
            ),
        ]
    )


def cartoon(stage: Stage) -> Scene:
    """Evening on a flat-shaded hill: a figure waves; drawn with dark outlines."""
    ink: Colour = (0.13, 0.08, 0.15)
    skin, skin_shadow = (0.98, 0.82, 0.68), (0.84, 0.6, 0.53)
    shirt, shirt_shadow = (0.18, 0.62, 0.66), (0.12, 0.42, 0.52)
    sky = Gradient((0.36, 0.3, 0.6), (1.0, 0.72, 0.46), -190, 90, steps=6)
    face: list[tuple[Shape, Texture]] = [
        (Ellipse(6.5, 10, (-13, -2)), Flat((1, 1, 1))),
        (Ellipse(6.5, 10, (15, -2)), Flat((1, 1, 1))),
        (Ellipse(3.4, 6, (-11, -1)), Flat((0.12, 0.16, 0.3))),
        (Ellipse(3.4, 6, (17, -1)), Flat((0.12, 0.16, 0.3))),
        (Ellipse(10, 5, (2, 20)), Flat((0.78, 0.22, 0.25))),
    ]
    body = (-1.6, 0.0)
    nod = (0.0, 5.0, 0.55, 0.0)

    def drawn(
        shape: Shape,
        texture: Texture,
        motion: Motion,
        extent: float | None,
        details: list[tuple[Shape, Texture]] | None = None,
    ) -> Layer:
        width = 2.6 * stage.unit
        return Layer(
            shape=shape,
            texture=texture,
            motion=motion,
            extent=extent,
            outline=width,
            outline_colour=ink,
            details=details or [],
        )

    cloud = Union((Ellipse(46, 20), Ellipse(28, 24, (-22, -12)), Ellipse(24, 20, (20, -12))))
    layers = [
        Layer(shape=everywhere, texture=sky, motion=stage.motion(320, 180)),
        Layer(
            shape=Ellipse(46, 46), texture=Flat((1.0, 0.93, 0.66)), motion=stage.motion(470, 148, (0, 0.9)), extent=50
        ),
        drawn(
            cloud, Gradient((1.0, 0.9, 0.86), (0.88, 0.66, 0.72), -25, 18, steps=2), stage.motion(140, 84, (3.0, 0)), 80
        ),
        drawn(
            cloud,
            Gradient((1.0, 0.86, 0.78), (0.86, 0.6, 0.66), -25, 18, steps=2),
            stage.motion(560, 62, (4.2, 0.3), growth=0.004),
            80,
        ),
        drawn(
            Ridge(0, ((22, 420, 0.3), (8, 150, 1.0))), Flat((0.48, 0.36, 0.6)), stage.motion(320, 226, (-2.4, 0)), None
        ),
        drawn(
            Ridge(0, ((16, 520, 2.0), (5, 160, 0.0))),
            Gradient((0.3, 0.5, 0.42), (0.2, 0.36, 0.38), -10, 90, steps=3),
            stage.motion(320, 292, (-5, 0)),
            None,
        ),
        drawn(
            Capsule((0, 0), (-46, 34), 12),
            Gradient(shirt, shirt_shadow, -10, 20, steps=2),
            stage.motion(272, 222, body, swing=nod, spin=-0.01),
            80,
        ),
        drawn(
            Box(40, 66, 22),
            Gradient(shirt, shirt_shadow, -20, 34, 0.5, steps=2),
            stage.motion(310, 270, body, swing=nod),
            85,
        ),
        drawn(
            Ellipse(50, 46),
            Gradient(skin, skin_shadow, 8, 40, 0.7, steps=2),
            stage.motion(312, 164, body, swing=(3.0, 5.0, 0.55, 0.5), spin=0.004),
            60,
            face,
        ),
        drawn(
            Union((Ellipse(53, 25, (0, -30)), Capsule((-46, -26), (-50, 8), 8))),
            Gradient((0.5, 0.22, 0.2), (0.34, 0.12, 0.18), -30, 10, 0.9, steps=2),
            stage.motion(312, 164, body, swing=(3.0, 5.0, 0.55, 0.5), spin=0.004),
            80,
        ),
        drawn(
            Union((Capsule((0, 0), (40, -50), 12), Ellipse(17, 16, (50, -62)))),
            Gradient(shirt, shirt_shadow, -14, 14, 1.0, steps=2),
            stage.motion(346, 224, body, angle=-0.25, swing=nod, spin=0.05),
            100,
            [(Ellipse(17, 16, (50, -62)), Flat(skin))],
        ),
        drawn(
            Blob(24, ((0.0, 0.0), (0.1, 0.0), (0.3, 0.5))),
            Gradient((0.98, 0.5, 0.3), (0.8, 0.3, 0.3), -8, 16, steps=2),
            stage.motion(70, 130, (11, -1.5), spin=0.12),
            42,
        ),
    ]
    return stage.scene(layers)


def street(stage: Stage) -> Scene:
    """Night, the camera following a car: lit windows, lamps passing close to the camera."""
    seed = stage.seed
    random = np.random.default_rng((0xDE40, seed))
    night = Gradient((0.03, 0.04, 0.13), (0.24, 0.16, 0.36), -180, 120)
    layers = [
        Layer(shape=everywhere, texture=night, motion=stage.motion(320, 180)),
        Layer(
            shape=Ellipse(30, 30),
            texture=Noise(seed + 11, 22, _colours((0.7, 0.68, 0.58), (0.97, 0.95, 0.84)), octaves=2, contrast=0.9),
            motion=stage.motion(500, 72, (-0.4, 0)),
            extent=34,
        ),
    ]
    for depth, pace, base, tone in ((0, -3.5, 250.0, 0.12), (1, -9.0, 275.0, 0.2)):
        x = -60.0
        while x < 900 + 300 * depth:
            across, up = (
                float(random.uniform(26, 46) * (1 + 0.5 * depth)),
                float(random.uniform(50, 110) * (1 + 0.25 * depth)),
            )
            wall = Flat((tone, tone * 0.95, tone * 1.5))
            lit = Noise(
                int(random.integers(1 << 30)),
                11.0,
                _colours((0.1, 0.1, 0.2), (0.2, 0.17, 0.22), (0.96, 0.8, 0.42), (1.0, 0.92, 0.65)),
                octaves=1,
                contrast=1.5,
            )
            windows = Tiles(wall, lit, (13 + 3 * depth, 17 + 4 * depth), 6 + 2 * depth)
            layers.append(
                Layer(
                    shape=Box(across, up),
                    texture=windows,
                    motion=stage.motion(x, base - up / 2, (pace, 0)),
                    extent=math.hypot(across, up) + 4,
                )
            )
            x += across * 2 + float(random.uniform(-6, 24))
    asphalt = Noise(
        seed + 12, 7, _colours((0.09, 0.09, 0.11), (0.16, 0.16, 0.18), (0.22, 0.21, 0.24)), octaves=2, stretch=3.0
    )
    layers += [
        Layer(shape=Ridge(0, ()), texture=asphalt, motion=stage.motion(320, 290, (-16, 0))),
        Layer(
            shape=Box(5000, 3),
            texture=Stripes(Flat((0.16, 0.16, 0.18)), Flat((0.82, 0.8, 0.7)), 120, 0.0, 0.55),
            motion=stage.motion(320, 334, (-19, 0)),
        ),
    ]
    layers += _car(stage)
    lamp = Union((Box(4, 150, 1), Capsule((0, -148), (44, -156), 3.5), Ellipse(15, 7, (50, -152))))
    for x in (420.0, 1060.0):
        glow: list[tuple[Shape, Texture]] = [(Ellipse(13, 5.5, (50, -151)), Flat((1.0, 0.9, 0.6)))]
        layers.append(
            Layer(
                shape=lamp,
                texture=Flat((0.05, 0.05, 0.07)),
                motion=stage.motion(x, 230, (-34, 0)),
                extent=175,
                details=glow,
                softness=2.0,
            )
        )
    return stage.scene(layers)


def _car(stage: Stage) -> list[Layer]:
    """A flat-shaded car with turning wheels, swaying a little."""
    ink: Colour = (0.03, 0.02, 0.05)
    drift = (2.4, 0.0)
    sway = (0.0, 1.6, 0.9, 0.0)
    paint = Gradient((0.95, 0.28, 0.2), (0.6, 0.1, 0.18), -8, 12, steps=3)
    body = Union((Box(84, 17, 10), Box(44, 22, 16, (-8, -20))))
    parts: list[tuple[Shape, Texture]] = [
        (Box(18, 11, 5, (-28, -22)), Gradient((0.62, 0.8, 0.92), (0.28, 0.42, 0.6), -34, -8, steps=2)),
        (Box(16, 11, 5, (12, -22)), Gradient((0.62, 0.8, 0.92), (0.28, 0.42, 0.6), -34, -8, steps=2)),
        (Ellipse(5, 6, (78, -3)), Flat((1.0, 0.95, 0.7))),
        (Ellipse(4, 5, (-80, -3)), Flat((1.0, 0.45, 0.3))),
    ]
    line = 2.2 * stage.unit
    layers = [
        Layer(
            shape=body,
            texture=paint,
            motion=stage.motion(230, 288, drift, swing=sway),
            extent=100,
            outline=line,
            outline_colour=ink,
            details=parts,
        ),
    ]
    for x in (-48.0, 50.0):
        hub: list[tuple[Shape, Texture]] = [
            (Ellipse(10, 10), Flat((0.7, 0.72, 0.76))),
            (Capsule((-9, 0), (9, 0), 1.6), Flat((0.25, 0.25, 0.3))),
            (Capsule((0, -9), (0, 9), 1.6), Flat((0.25, 0.25, 0.3))),
        ]
        wheel = stage.motion(230 + x, 306, drift, spin=1.0)
        layers.append(
            Layer(shape=Ellipse(18, 18), texture=Flat((0.08, 0.08, 0.1)), motion=wheel, extent=22, details=hub)
        )
    return layers
