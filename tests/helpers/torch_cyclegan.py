"""The paper's training in PyTorch, step by step: the oracle of whole trainings.

arXiv 1703.10593, sections 3, 4, 5.2 and 7, without an image pool and at a constant
learning rate: the first epochs of the recipe. The losses have this project's names.
"""

import dataclasses
import itertools

import torch
from torch.nn import functional


@dataclasses.dataclass
class Recipe:
    """What options change of the paper's recipe."""

    adversarial_loss: str = "least_squares"
    lambda_cycle: float = 10.0
    lambda_identity: float = 0.5
    learning_rate: float = 2e-4


class TorchCycleGAN:
    """Two generators, two discriminators, and the two optimizers that train them.

    Args:
      networks: PyTorch modules by this project's names.
      recipe: How to train them.
    """

    def __init__(self, networks: dict[str, torch.nn.Module], recipe: Recipe):
        self.networks = networks
        self.recipe = recipe
        self._generators = self._optimizer("generator_g", "generator_f")
        self._discriminators = self._optimizer("discriminator_x", "discriminator_y")

    def _optimizer(self, *names: str) -> torch.optim.Adam:
        parameters = [self.networks[name].parameters() for name in names]
        chained, rate = itertools.chain(*parameters), self.recipe.learning_rate
        return torch.optim.Adam(chained, lr=rate, betas=(0.5, 0.999), eps=1e-8)

    def train_step(self, real_x: torch.Tensor, real_y: torch.Tensor) -> dict:
        """Trains the generators, then the discriminators, on one batch.

        Args:
          real_x: Images of X, float32 [batch, channels, height, width] in [-1, 1].
          real_y: As many images of Y.

        Returns:
          The losses by name, as numbers.
        """
        fake_x, fake_y, losses = self._train_generators(real_x, real_y)
        # Made before the generators moved, and no way back into them.
        losses |= self._train_discriminators(
            real_x, real_y, fake_x.detach(), fake_y.detach()
        )
        return {name: loss.item() for name, loss in losses.items()}

    def _train_generators(self, real_x, real_y):
        g, f = self.networks["generator_g"], self.networks["generator_f"]
        weight = self.recipe.lambda_cycle
        fake_y, fake_x = g(real_x), f(real_y)
        losses = {
            "gen_g_loss": self._adversarial("discriminator_y", fake_y, True),
            "gen_f_loss": self._adversarial("discriminator_x", fake_x, True),
        }
        cycle_x = weight * functional.l1_loss(f(fake_y), real_x)
        cycle_y = weight * functional.l1_loss(g(fake_x), real_y)
        weight = weight * self.recipe.lambda_identity
        losses["total_cycle_loss"] = cycle_x + cycle_y
        losses["identity_g_loss"] = weight * functional.l1_loss(g(real_y), real_y)
        losses["identity_f_loss"] = weight * functional.l1_loss(f(real_x), real_x)
        self._generators.zero_grad()
        sum(losses.values()).backward()
        self._generators.step()
        return fake_x, fake_y, losses

    def _train_discriminators(self, real_x, real_y, fake_x, fake_y):
        losses = {}
        # Among them what the generators' loss left in the discriminators.
        self._discriminators.zero_grad()
        for domain, real, fake in (("x", real_x, fake_x), ("y", real_y, fake_y)):
            name = f"discriminator_{domain}"
            loss = self._adversarial(name, real, True)
            loss = loss + self._adversarial(name, fake, False)
            losses[f"disc_{domain}_loss"] = 0.5 * loss
            losses[f"disc_{domain}_loss"].backward()
        self._discriminators.step()
        return losses

    def _adversarial(self, discriminator: str, images, is_real: bool) -> torch.Tensor:
        logits = self.networks[discriminator](images)
        targets = torch.full_like(logits, float(is_real))
        if self.recipe.adversarial_loss == "least_squares":
            return functional.mse_loss(logits, targets)
        return functional.binary_cross_entropy_with_logits(logits, targets)
