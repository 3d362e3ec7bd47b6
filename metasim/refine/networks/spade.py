"""The networks of SPADE, whose normalisation a condition modulates (Park et al., 2019)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from metasim.refine.networks.layers import initialise, instance_norm

__all__ = ["SPADE", "ImageEncoder", "MultiscaleDiscriminator", "SPADEBlock", "SPADEGenerator"]

_WIDTHS = (16, 16, 16, 16, 8, 4, 2, 1)
"""Of the generator's first layer and its seven blocks, times the width of the last."""

_DOUBLED = (6, 5, 4, 3, 1, 2)
"""The blocks before which the side is doubled: first those before the last layers, so that with
fewer doublings the wide layers stay small; the fifth is between the head and the middle."""

_WIDEST = 8  # times the width of the first layer, in discriminators and the encoder
_SMALLEST = 4  # pixels of a side to which the encoder goes down
_DEEPEST = 6  # convolutions of the encoder at most, which are those for 256 pixels


class SPADE(nn.Module):
    """Spatially-adaptive normalisation: batch norm, scaled and shifted by what a condition says.

    With n the normalised maps it is n (1 + gamma) + beta, where gamma and beta are of each channel
    and pixel, and are convolved from the condition. Batch norm has no weights of its own.

    Args:
        channels: of the maps that are normalised.
        condition: channels of the condition.
        hidden: channels between the condition and gamma and beta.
    """

    def __init__(self, channels: int, condition: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.hidden = nn.Sequential(nn.Conv2d(condition, hidden, 3, 1, 1), nn.ReLU())
        self.modulation = nn.Conv2d(hidden, 2 * channels, 3, 1, 1)  # gamma and beta
        initialise(self)

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Maps (B, C, h, w) normalised, by a condition (B, K, H, W) of any size."""
        seen = F.interpolate(condition, size=maps.shape[-2:], mode="nearest")
        gamma, beta = self.modulation(self.hidden(seen)).chunk(2, 1)
        out: Tensor = self.norm(maps) * (1 + gamma) + beta
        return out


class SPADEBlock(nn.Module):
    """A residual block: twice SPADE, LeakyReLU and a convolution of 3 x 3 pixels.

    Where the number of channels changes, SPADE and a convolution of one pixel are on the way around
    it. All these convolutions have spectral norm.

    Args:
        before: channels that come in.
        after: channels that go out.
        condition: channels of the condition.
        hidden: of each SPADE.
    """

    def __init__(self, before: int, after: int, condition: int, hidden: int) -> None:
        super().__init__()
        middle = min(before, after)
        self.norms = nn.ModuleList(SPADE(c, condition, hidden) for c in (before, middle))
        self.convolutions = nn.ModuleList(
            _spectral(nn.Conv2d(i, o, 3, 1, 1)) for i, o in ((before, middle), (middle, after))
        )
        self.shortcut: nn.Module | None = None
        if before != after:
            self.shortcut_norm = SPADE(before, condition, hidden)
            self.shortcut = _spectral(nn.Conv2d(before, after, 1, bias=False))

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """(B, before, h, w) to (B, after, h, w)."""
        around = maps
        if self.shortcut is not None:
            around = self.shortcut(self.shortcut_norm(maps, condition))
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            maps = convolution(F.leaky_relu(norm(maps, condition), 0.2))
        return around + maps


class SPADEGenerator(nn.Module):
    """Conditions (B, C, H, W) to images (B, 3, H, W) from -1 to 1.

    Args:
        size: (H, W), multiples of 2**halvings.
        halvings: how often H and W are halved for the first layer, from 1 to 6.
        width: channels of the last layer; the first has 16 times as many.
        hidden: of each SPADE.
        condition: channels of the condition.
        style: width of a code that the first layer is made of, in the condition's place; 0 is
            without.
    """

    def __init__(
        self,
        size: tuple[int, int],
        halvings: int,
        width: int,
        hidden: int,
        condition: int,
        style: int = 0,
    ) -> None:
        super().__init__()
        self.first_size = (size[0] >> halvings, size[1] >> halvings)
        self.doubled = frozenset(_DOUBLED[:halvings])
        first, *widths = (width * factor for factor in _WIDTHS)
        self.first = (
            nn.Linear(style, first * self.first_size[0] * self.first_size[1])
            if style
            else nn.Conv2d(condition, first, 3, 1, 1)
        )
        self.blocks = nn.ModuleList(
            SPADEBlock(before, after, condition, hidden)
            for before, after in zip([first, *widths], widths, strict=False)
        )
        self.last = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(width, 3, 3, 1, 1), nn.Tanh())
        initialise(self.first)
        initialise(self.last)

    def forward(self, condition: Tensor, code: Tensor | None = None) -> Tensor:
        """Make images.

        Args:
            condition: (B, C, H, W).
            code: (B, style), where there is one.
        """
        if code is None:
            maps = self.first(F.interpolate(condition, size=self.first_size, mode="nearest"))
        else:
            maps = self.first(code).unflatten(1, (-1, *self.first_size))
        for number, block in enumerate(self.blocks):
            if number in self.doubled:
                maps = F.interpolate(maps, scale_factor=2, mode="nearest")
            maps = block(maps, condition)
        out: Tensor = self.last(maps)
        return out


class MultiscaleDiscriminator(nn.Module):
    """PatchGANs of images and of ever smaller ones (Wang et al., "pix2pixHD", 2018).

    Each has convolutions of 4 x 4 pixels, all with a stride of two but the last two. All but the
    first and the last have spectral norm and instance norm.

    Args:
        channels: of the images, and of what they are shown with.
        width: channels of the first layer; each later one has twice as many, up to 8 times.
        layers: before the one that judges.
        scales: how many there are; each sees the images at half the size of the one before.
    """

    def __init__(self, channels: int, width: int, layers: int, scales: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.ModuleList(_judging(channels, width, layers)) for _ in range(scales)
        )

    def forward(self, images: Tensor) -> list[list[Tensor]]:
        """What each layer of each scale makes of (B, C, H, W); the last ones are judgements."""
        found: list[list[Tensor]] = []
        for number, layers in enumerate(self.scales):
            if number:
                images = F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
            maps = [images]
            for layer in layers:  # type: ignore[attr-defined]
                maps.append(layer(maps[-1]))
            found.append(maps[1:])
        return found


class ImageEncoder(nn.Module):
    """Images to style codes: mean and logarithm of the variance of a normal distribution.

    Convolutions of 3 x 3 pixels with a stride of two, spectral norm and instance norm go down to
    about 4 x 4 pixels.

    Args:
        size: (H, W) of the images.
        width: channels of the first layer; each later one has twice as many, up to 8 times.
        style: width of a code.
    """

    def __init__(self, size: tuple[int, int], width: int, style: int) -> None:
        super().__init__()
        height, wide = size
        before, layers = 3, list[nn.Module]()
        while not layers or (min(height, wide) > _SMALLEST and len(layers) < _DEEPEST):
            after = width * min(2 ** len(layers), _WIDEST)
            convolution = _spectral(nn.Conv2d(before, after, 3, 2, 1))
            layers.append(nn.Sequential(convolution, instance_norm(after), nn.LeakyReLU(0.2)))
            before, height, wide = after, (height + 1) // 2, (wide + 1) // 2
        self.layers = nn.Sequential(*layers)
        self.code = nn.Linear(before * height * wide, 2 * style)
        initialise(self.code)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) to two of (B, style)."""
        mean, log_variance = self.code(self.layers(images).flatten(1)).chunk(2, 1)
        return mean, log_variance


def _spectral(layer: nn.Conv2d) -> nn.Module:
    """With first weights and spectral norm (Miyato et al., 2018).

    The largest singular value is estimated by power iteration, which goes on with each use in
    training, and stands still in evaluation. Its vectors are part of the state dict.
    """
    initialise(layer)  # before, since the weight is then no parameter any more
    return spectral_norm(layer)


def _judging(channels: int, width: int, layers: int) -> list[nn.Module]:
    """The layers of one discriminator.

    Borders are two pixels wide, so that maps of any size are left with something to judge.
    """
    first = nn.Conv2d(channels, width, 4, 2, 2)
    made: list[nn.Module] = [nn.Sequential(first, nn.LeakyReLU(0.2))]
    before = width
    for number in range(1, layers):
        after = width * min(2**number, _WIDEST)
        convolution = nn.Conv2d(before, after, 4, 2 if number < layers - 1 else 1, 2)
        made.append(nn.Sequential(_spectral(convolution), instance_norm(after), nn.LeakyReLU(0.2)))
        before = after
    last = nn.Conv2d(before, 1, 4, 1, 2)
    initialise(first)
    initialise(last)
    return [*made, last]
