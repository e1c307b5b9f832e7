"""Procedural images for pre-training, drawn in batches on whatever device the generator lives on.

The families of ``model.encoders.texture_fit`` (NumPy, one image at a time), batched and extended: level
sets of noise, brushed metal, speckle, collages of two textures, and local events (streaks, spots,
transplanted patches) without which features learn nothing about small local changes. No dataset takes part.

Shapes: B images of side S; a field is [B, S, S] at any scale, parameters of one image are [B, 1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

LEAVES, CELLS, EVENTS = 160, 100, 4
EVENT_CHANCE = 0.35
"""Of each of the ``EVENTS`` possible events per image."""


@dataclass(frozen=True)
class Draws:
    """Random numbers for a batch of ``count`` images of ``side`` pixels."""

    generator: torch.Generator
    count: int
    side: int

    def uniform(self, low: float, high: float) -> Tensor:
        """[B, 1, 1], one value per image."""
        unit = torch.rand(self.count, 1, 1, generator=self.generator, device=self.generator.device)
        return low + (high - low) * unit

    def log_uniform(self, low: float, high: float) -> Tensor:
        """[B, 1, 1], uniform in the logarithm."""
        return self.uniform(math.log(low), math.log(high)).exp()

    def happens(self, chance: float) -> Tensor:
        """Bool [B, 1, 1]."""
        return self.uniform(0, 1) < chance

    def normal(self, *shape: int) -> Tensor:
        """[B, *shape], standard normal."""
        return torch.randn(self.count, *shape, generator=self.generator, device=self.generator.device)

    def grid(self) -> tuple[Tensor, Tensor]:
        """Row [S, 1] and column [1, S] of each pixel, as shares of the side."""
        axis = torch.arange(self.side, device=self.generator.device) / self.side
        return axis[:, None], axis[None, :]

    def turned(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates along and across a random direction, [B, S, S] each."""
        angle = self.uniform(0, math.pi)
        cos, sin = angle.cos(), angle.sin()
        return columns * cos + rows * sin, rows * cos - columns * sin

    def placed(self) -> tuple[Tensor, Tensor]:
        """As ``turned``, from a random centre."""
        rows, columns = self.grid()
        return self.turned(rows - self.uniform(0, 1), columns - self.uniform(0, 1))


def standard(field: Tensor) -> Tensor:
    """Each image's field at mean 0 and sd 1."""
    sd, mean = torch.std_mean(field, dim=(1, 2), keepdim=True)
    return (field - mean) / (sd + 1e-6)


def power_noise(draw: Draws, exponent: Tensor | float, stretch: Tensor | float = 1.0) -> Tensor:
    """Noise of amplitude spectrum 1 / f^exponent, stretched along a random direction."""
    device, side = draw.generator.device, draw.side
    fy, fx = torch.fft.fftfreq(side, device=device), torch.fft.rfftfreq(side, device=device)
    along, across = draw.turned(fy[:, None], fx[None, :])
    frequency = torch.hypot(along * stretch, across / stretch) + 1 / side
    spectrum = torch.fft.rfft2(draw.normal(side, side)) * frequency**-exponent
    return standard(torch.fft.irfft2(spectrum, s=(side, side)))


def clouds(draw: Draws) -> Tensor:
    """Fractal noise, from grain to clouds."""
    return power_noise(draw, draw.uniform(0, 2), draw.log_uniform(1, 2))


def brushed(draw: Draws) -> Tensor:
    """Fine noise drawn out along one direction: brushed or rolled metal, wood."""
    return power_noise(draw, draw.uniform(0.2, 1.2), draw.log_uniform(2.5, 10))


def contours(draw: Draws) -> Tensor:
    """Level sets of fractal noise: veins, fingerprints, camouflage."""
    levels = draw.log_uniform(1, 12) * power_noise(draw, draw.uniform(1.5, 2.5), draw.log_uniform(1, 2.5))
    return torch.tanh(draw.uniform(0.5, 6) * torch.sin(levels))


def speckle(draw: Draws) -> Tensor:
    """Sparse spots on a mottled ground: terrazzo, dust, pores."""
    spots = power_noise(draw, draw.uniform(0.2, 1.5)) - draw.uniform(0.5, 2.2)
    mottled = draw.uniform(0, 0.5) * power_noise(draw, 1.5)
    return (
        torch.sigmoid(draw.uniform(3, 20) * spots) * (1 + 2 * draw.uniform(0, 1) * mottled) + 0.3 * mottled
    )


def gratings(draw: Draws) -> Tensor:
    """One to three gratings, from sinusoidal to square, straight or wavy."""
    field = torch.zeros(draw.count, draw.side, draw.side, device=draw.generator.device)
    for chance in (1.0, 0.5, 0.3):
        along, _across = draw.turned(*draw.grid())
        wavy = draw.happens(0.4) * draw.uniform(0, 0.02) * power_noise(draw, 2)
        phase = 2 * math.pi * draw.log_uniform(4, 60) * (along + wavy) + draw.uniform(0, 6.3)
        field = field + draw.happens(chance) * torch.tanh(draw.uniform(0.5, 4) * torch.sin(phase))
    return field


def woven(draw: Draws) -> Tensor:
    """Two crossing sets of threads, one over the other in turn; uneven pitch."""
    bend = draw.uniform(0, 0.006)
    along, across = draw.turned(*draw.grid())
    warp = torch.sin(2 * math.pi * draw.log_uniform(5, 32) * (along + bend * power_noise(draw, 2)))
    weft = torch.sin(2 * math.pi * draw.log_uniform(5, 32) * (across + bend * power_noise(draw, 2)))
    over = torch.sigmoid(draw.uniform(2, 20) * warp * weft)
    return over * warp.abs() + draw.uniform(0.4, 1.2) * (1 - over) * weft.abs()


def leaves(draw: Draws) -> Tensor:
    """Dead leaves: occluding ellipses of power-law sizes, which have natural images' statistics."""
    field = draw.normal(1, 1).expand(-1, draw.side, draw.side)
    smallest = draw.log_uniform(0.008, 0.03)
    for _ in range(LEAVES):
        along, across = draw.placed()
        radius = smallest / draw.uniform(0.03, 1)
        inside = along**2 + (across / draw.uniform(0.3, 1)) ** 2 < radius**2
        field = torch.where(inside, draw.normal(1, 1), field)
    return field


def cells(draw: Draws) -> Tensor:
    """Voronoi cells with borders and tones: grains, leather, mosaics."""
    rows, columns = draw.grid()
    zoom = draw.uniform(0.4, 1)
    first = torch.full((draw.count, draw.side, draw.side), 2.0, device=draw.generator.device)
    second, tones = first, torch.zeros_like(first)
    for _ in range(CELLS):
        distance = torch.hypot(zoom * rows - draw.uniform(0, 1), zoom * columns - draw.uniform(0, 1))
        closer = distance < first
        second = torch.where(closer, first, torch.minimum(second, distance))
        first = torch.minimum(first, distance)
        tones = torch.where(closer, draw.normal(1, 1), tones)
    border = torch.minimum((second - first) * math.sqrt(CELLS), draw.uniform(0.1, 0.6))
    return border + draw.uniform(0, 0.5) * tones


FAMILIES: Mapping[str, Callable[[Draws], Tensor]] = {
    family.__name__: family
    for family in (clouds, brushed, contours, speckle, gratings, woven, leaves, cells)
}


def _collage(draw: Draws, fields: Tensor) -> Tensor:
    """Some images get a second image's texture in a blob-shaped region."""
    region = power_noise(draw, 2) > draw.uniform(-0.5, 1.5)
    return torch.where(region & draw.happens(0.3), fields.roll(1, dims=0), fields)


def _lit(draw: Draws, fields: Tensor) -> Tensor:
    """Fields -> RGB [B, 3, S, S] at a random contrast, brightness and colour, uneven light and grain."""
    along, _across = draw.turned(*draw.grid())
    light = draw.uniform(0, 0.6) * power_noise(draw, 2) + draw.uniform(0, 1) * along
    grain = draw.uniform(0, 0.4) * draw.normal(draw.side, draw.side)
    grey = draw.uniform(0.3, 0.7) + draw.log_uniform(0.02, 0.2) * standard(standard(fields) + light + grain)
    coloured = draw.happens(0.5)[..., None]
    gains = 1 + coloured * 0.25 * draw.normal(3, 1, 1)
    return grey[:, None] * gains + coloured * 0.12 * draw.normal(3, 1, 1)


def add_events(draw: Draws, images: Tensor) -> Tensor:
    """[B, 3, S, S] with up to ``EVENTS`` local events each: soft-edged strips from spots to streaks.

    Half of them shift brightness and colour, the others show another image of the batch.
    """
    pixel = 1 / draw.side
    for _ in range(EVENTS):
        along, across = draw.placed()
        bent = across + draw.uniform(0, 0.01) * torch.sin(20 * along + draw.uniform(0, 6.3))
        width = draw.log_uniform(0.7 * pixel, 14 * pixel)
        half_length = width + draw.log_uniform(1 * pixel, 0.4)
        profile = torch.exp(-((bent / width) ** 2) / 2)
        profile = profile * torch.sigmoid((half_length - along.abs()) / (width + pixel))
        mask = (draw.happens(EVENT_CHANCE) * profile)[:, None]
        shift = draw.log_uniform(0.03, 0.4)[..., None] * (draw.normal(1, 1, 1) + 0.3 * draw.normal(3, 1, 1))
        foreign = images.roll(1, dims=0) - images
        images = images + mask * torch.where(draw.happens(0.5)[..., None], shift, foreign)
    return images


def procedural_images(generator: torch.Generator, count: int, side: int) -> Tensor:
    """[count, 3, side, side] in [0, 1] on the generator's device, families in random order.

    Determined by the generator's state, ``count`` and ``side`` on one device; CUDA draws other images
    than the CPU.
    """
    shares = [len(range(start, count, len(FAMILIES))) for start in range(len(FAMILIES))]
    fields = torch.cat(
        [
            family(Draws(generator, share, side))
            for family, share in zip(FAMILIES.values(), shares, strict=True)
            if share
        ]
    )
    order = torch.randperm(count, generator=generator, device=generator.device)
    draw = Draws(generator, count, side)
    return add_events(draw, _lit(draw, _collage(draw, fields[order]))).clamp(0, 1)


def view(generator: torch.Generator, images: Tensor, side: int, share: tuple[float, float]) -> Tensor:
    """A random square of each image [B, 3, S, S] as [B, 3, side, side], mildly changed.

    The square's side is between ``share[0]`` and ``share[1]`` of the image's. Mirrored at random;
    brightness, contrast and noise change little, since a faint defect is a small change too.
    """
    draw = Draws(generator, images.shape[0], side)
    zoom, mirror = draw.uniform(*share), torch.where(draw.happens(0.5), 1.0, -1.0)
    zero = torch.zeros_like(zoom)
    rows = [
        zoom * mirror,
        zero,
        (1 - zoom) * draw.uniform(-1, 1),
        zero,
        zoom,
        (1 - zoom) * draw.uniform(-1, 1),
    ]
    affine = torch.cat(rows, dim=2).reshape(-1, 2, 3)
    grid = functional.affine_grid(affine, [images.shape[0], 3, side, side], align_corners=False)
    square = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    mean = square.mean(dim=(2, 3), keepdim=True)
    square = (square - mean) * draw.uniform(0.8, 1.25)[..., None] + mean + 0.05 * draw.normal(1, 1, 1)
    return (square + 0.02 * draw.uniform(0, 1)[..., None] * draw.normal(3, side, side)).clamp(0, 1)
