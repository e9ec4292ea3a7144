"""Names and shapes of official networks."""

from cyclegan_tf.pytorch.networks import Architecture, state_dict_shapes

# One of each kind, as small as they come, and one of usual depth.
SOME = [
    Architecture("resnet", 2, 0),
    Architecture("resnet", 2, 9),
    Architecture("unet", 1, 5),
    Architecture("unet", 1, 8),
    Architecture("patchgan", 2, 1),
    Architecture("patchgan", 2, 3),
    Architecture("pixel", 2, 0),
]


RESNET = Architecture("resnet", 2, 2)


UNET = Architecture("unet", 2, 5)


PATCHGAN = Architecture("patchgan", 2, 3)


PIXEL = Architecture("pixel", 2, 0)


def named(prefix, architecture):
    shapes = state_dict_shapes(architecture)
    return {prefix + name: shape for name, shape in shapes.items()}


def without(shapes, *starts):
    return {name: s for name, s in shapes.items() if not name.startswith(starts)}
