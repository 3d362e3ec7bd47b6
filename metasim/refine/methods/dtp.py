"""Deep Translation Prior: networks that learn one pair of images (Kim et al., 2022, 2112.06150)."""

from __future__ import annotations

from copy import deepcopy
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metasim.errors import TrainingError
from metasim.learn.initial import initial_weights
from metasim.refine.contrast import contrast, draw_places
from metasim.refine.descent import descend
from metasim.refine.encoder import Encoder
from metasim.refine.networks.correspondence import directions, nearest, warp
from metasim.refine.networks.decoder import Decoder
from metasim.refine.options import DTP
from metasim.refine.transfer import OnSample, Transfer, check_sides
from metasim.rng import derive

__all__ = ["Appearance", "DTPMethod", "TranslationNetwork", "style_distance"]

_MATCHED: Final = "r34"
_CURRENT: Final = 0.4
"""Of the content's features in what is matched; the rest are the previous outcome's."""
_DECODED: Final = 1 / 9
"""Of the outcome that is decoded; the rest is warped as it is."""
_CONTENT: Final = {"r12": 1 / 32, "r22": 1 / 16, "r34": 1 / 8}
_STYLE: Final = {"r12": 1 / 64, "r22": 1 / 32, "r34": 1 / 16, "r44": 1 / 8, "r54": 1 / 4}
_BETAS: Final = (0.5, 0.999)


class DTPMethod(Transfer):
    """Trains networks on one pair of images alone, until they give the render the target's look.

    Args:
        options: its settings.
        encoder: VGG19, on the images' device; what is trained is a copy.
    """

    def __init__(self, options: DTP, encoder: Encoder) -> None:
        self.options, self.encoder = options, encoder

    def refine(
        self, sim: Tensor, real: Tensor, seed: int, on_sample: OnSample | None = None
    ) -> Tensor:
        """Refine one render; sides are multiples of 4.

        A sample, and so the result, is the image that its iteration has trained on.
        """
        check_sides(sim, real, multiple=4)
        options = self.options
        training = _Training(options, self.encoder, sim, real, seed)
        for iteration in range(1, options.iterations + 1):
            refined = training.step(iteration)
            last = iteration == options.iterations
            if on_sample is not None and (last or iteration % options.sample_every == 0):
                on_sample(iteration, refined)
        return refined


class TranslationNetwork(nn.Module):
    """Makes of a content image what it would be with the style image's look.

    Args:
        encoder: to be copied; the copy is trained.
        scale: of the decoder's widths.
    """

    def __init__(self, encoder: Encoder, scale: float) -> None:
        super().__init__()
        self.encoder = deepcopy(encoder).requires_grad_(True)
        self.decoder = Decoder(encoder.widths[_MATCHED], scale)

    def features(self, images: Tensor) -> Tensor:
        """What images (B, 3, H, W) are matched by: (B, C, H / 4, W / 4)."""
        return self.encoder.maps(images, (_MATCHED,))[_MATCHED]

    def forward(self, content: Tensor, style: Tensor, image: Tensor) -> Tensor:
        """Translate.

        Args:
            content: features (1, C, h, w) of the content image.
            style: features (1, C, h', w') of the style image.
            image: the style image, (1, 3, 4 h', 4 w') from -1 to 1.

        Returns:
            (1, 3, 4 h, 4 w), about from -1 to 1.
        """
        coarse = F.adaptive_avg_pool2d(image, (style.shape[2], style.shape[3]))
        warped = warp(content, style, torch.cat([style, coarse], 1))
        decoded: Tensor = self.decoder(warped[:, :-3])
        plain = F.interpolate(
            warped[:, -3:], size=decoded.shape[2:], mode="bilinear", align_corners=False
        )
        return _DECODED * decoded + (1 - _DECODED) * plain


class Appearance:
    """How far an image is from one image's content and from another's style, as VGG19 sees them.

    Args:
        options: the settings.
        encoder: VGG19, which is not trained.
        content: (1, 3, H, W) from -1 to 1.
        style: (1, 3, H', W') from -1 to 1.
    """

    def __init__(self, options: DTP, encoder: Encoder, content: Tensor, style: Tensor) -> None:
        self.options, self.encoder = options, encoder
        with torch.no_grad():
            kept, wanted = encoder.maps(content, _CONTENT), encoder.maps(style, _STYLE)
            self.content = {name: directions(maps) for name, maps in kept.items()}
            self.style = {name: directions(maps) for name, maps in wanted.items()}

    def losses(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The content's and the style's, each a weighted sum over activations.

        Both are means over places of the image, drawn from torch's own generator; the style's
        nearest is looked for at all places of the style image.

        Args:
            image: (1, 3, H, W), translated.
        """
        maps = self.encoder.maps(image, _STYLE)
        places = draw_places([*maps.values()], self.options.patches)
        content, style = [], []
        for (name, one), at in zip(maps.items(), places, strict=True):
            found = directions(one)[at]
            style.append(_STYLE[name] * style_distance(found, self.style[name]))
            if name in _CONTENT:
                wanted = self.content[name][at]
                told = contrast(found[None], wanted[None], self.options.temperature)
                content.append(_CONTENT[name] * told[0])
        return torch.stack(content).sum(), torch.stack(style).sum()


def style_distance(vectors: Tensor, style: Tensor) -> Tensor:
    """Mean of 1 less the cosine to the most similar vector of the style.

    Args:
        vectors: (N, D), of length 1.
        style: (M, D), of length 1.
    """
    return 1 - (vectors * style[nearest(vectors, style)]).sum(dim=1).mean()


class _Training:
    """The networks of one pair, and what they have made of it before."""

    def __init__(
        self, options: DTP, encoder: Encoder, sim: Tensor, real: Tensor, seed: int
    ) -> None:
        self.options, self.sim, self.real, self.seed = options, sim, real, seed
        with initial_weights(derive(seed, "refine", "dtp", "weights")):
            self.network = TranslationNetwork(encoder, options.scale).to(sim.device)
        self.optimiser = torch.optim.Adam(
            self.network.parameters(), lr=options.learning_rate, betas=_BETAS
        )
        self.appearance = Appearance(options, encoder, sim, real)
        self.previous: dict[str, Tensor] = {}

    def step(self, iteration: int) -> Tensor:
        """Train once; the image that it was done with, (1, 3, H, W) from -1 to 1."""
        refined, cycle = self._translate()
        with initial_weights(derive(self.seed, "refine", "dtp", "step", iteration)):
            content, style = self.appearance.losses(refined)
        share = self.options.content_style_weight
        loss = (1 - share) * content + share * style + self.options.cycle_weight * cycle
        if not loss.isfinite():
            raise TrainingError(
                f"the loss must be a number, but of iteration {iteration} it is {loss.item()}; "
                "lower refine.learning_rate"
            )
        descend(self.optimiser, loss)
        return refined.detach().clamp(-1, 1)

    def _translate(self) -> tuple[Tensor, Tensor]:
        """The render translated, and what both images lose there and back again."""
        network, sim, real = self.network, self.sim, self.real
        of_sim, of_real = network.features(sim), network.features(real)
        refined = network(self._blend("sim", of_sim), of_real, real)
        simulated = network(self._blend("real", of_real), of_sim, sim)
        of_refined, of_simulated = network.features(refined), network.features(simulated)
        self.previous = {"sim": of_refined.detach(), "real": of_simulated.detach()}
        cycle = F.mse_loss(network(of_refined, of_sim, sim), sim)
        cycle = cycle + F.mse_loss(network(of_simulated, of_real, real), real)
        return refined, cycle

    def _blend(self, name: str, features: Tensor) -> Tensor:
        """An image's features, and those of what was made of it in the iteration before."""
        before = self.previous.get(name, features)
        return _CURRENT * features + (1 - _CURRENT) * before
