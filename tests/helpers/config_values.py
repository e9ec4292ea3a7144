"""Values that tests of the configuration and of its flags share."""

import dataclasses
import re

import pytest

from cyclegan_tf.config import Config
from cyclegan_tf.messages import UserError

FIELDS = {field.name: field for field in dataclasses.fields(Config)}


def _another(field: dataclasses.Field):
    """A good value that is not the default."""
    if field.type is str:
        choices = field.metadata["choices"] or (f"other_{field.name}",)
        return next(choice for choice in choices if choice != field.default)
    if field.type is float:
        return field.default / 2 or 0.25
    return not field.default if field.type is bool else field.default + 1


# Another good value for each field, all of them good together.
OTHER_VALUES = {name: _another(field) for name, field in FIELDS.items()} | {
    "image_size": 128,
    "load_size": 144,
    "test_size": 256,
    "num_downs": 7,
    "strategy": "cpu:2",
    "keep_best": "B2A/structure",
}


def refused(text: str):
    """Expects a UserError that holds a text."""
    return pytest.raises(UserError, match=re.escape(text))
