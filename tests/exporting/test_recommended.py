"""Which TFLite file a phone should get, and the table of all."""

import itertools

import pytest

from cyclegan_tf.exporting.records import recommended, table


def candidate(kind, psnr, milliseconds=10.0, size="32x32"):
    return {
        "path": f"{kind} {size}",
        "kind": kind,
        "psnr": psnr,
        "milliseconds": milliseconds,
        "pictures": [f"shapes_A2B/{size}"],
    }


FLOATS = [candidate("float32", 140.0, 5), candidate("float16", 80.0, 5)]
# As in a real list, the SavedModel comes first, on pictures of two sizes.
SAVED_MODEL = {
    **candidate("translate_float", None, 1),
    "pictures": ["shapes_A2B/32x32", "shapes_A2B/25x19"],
}

RECOMMENDED = {
    "no integers of 30 dB: half floats": (
        [*FLOATS, candidate("int8", 29.99), candidate("dynamic_int8", 12.0)],
        "float16 32x32",
    ),
    "30 dB are enough": ([*FLOATS, candidate("int8", 30.0)], "int8 32x32"),
    "integers before floats that are faster and better": (
        [*FLOATS, candidate("int8", 31.0, 99)],
        "int8 32x32",
    ),
    "the most exact of the equally fast": (
        [candidate("int8", 38.0), candidate("int16x8", 50.0), *FLOATS],
        "int16x8 32x32",
    ),
    "exact is better than any number": (
        [candidate("int8", 150.0), candidate("int16x8", None)],
        "int16x8 32x32",
    ),
    "better and half as fast": (
        [candidate("int8", 38.0, 10), candidate("int16x8", 50.0, 20)],
        "int16x8 32x32",
    ),
    "better and less than half as fast": (
        [candidate("int8", 38.0, 10), candidate("int16x8", 50.0, 20.1)],
        "int8 32x32",
    ),
    "worse and faster, not twice": (
        [candidate("dynamic_int8", 45.0, 19), candidate("int8", 35.0, 10)],
        "dynamic_int8 32x32",
    ),
    "twice the fastest, not the next": (
        [
            candidate("int8", 31.0, 10),
            candidate("dynamic_int8", 40.0, 15),
            candidate("int16x8", 50.0, 25),
        ],
        "dynamic_int8 32x32",
    ),
    "a bad one sets no pace": (
        [
            candidate("int8", 20.0, 1),
            candidate("dynamic_int8", 40.0, 10),
            candidate("int16x8", 50.0, 12),
        ],
        "int16x8 32x32",
    ),
    "other sizes are left out": (
        [
            *FLOATS,
            candidate("int8", 31.0, 10),
            candidate("int8", 60.0, 1, "64x64"),
            candidate("float16", 90.0, 1, "64x64"),
        ],
        "int8 32x32",
    ),
    "half floats of another size are left out": (
        [candidate("float32", 140.0), candidate("float16", 80.0, size="64x64")],
        None,
    ),
    "other formats are left out": (
        [SAVED_MODEL, candidate("keras", None, 1), *FLOATS, candidate("int8", 38.0)],
        "int8 32x32",
    ),
    "float32 alone": ([FLOATS[0]], None),
    "no TFLite file": ([SAVED_MODEL, candidate("keras", None)], None),
    "nothing": ([], None),
}


@pytest.mark.parametrize("case", RECOMMENDED)
def test_file_for_a_phone_is_chosen_by_the_rule(case):
    rows, path = RECOMMENDED[case]
    assert recommended(rows) == path


def test_order_of_the_files_does_not_matter():
    rows, path = RECOMMENDED["twice the fastest, not the next"]
    assert {recommended(list(order)) for order in itertools.permutations(rows)} == {
        path
    }


# --- The table


def test_table_aligns_the_numbers_of_all_files():
    rows = [
        {
            "path": "tflite/pets_int8.tflite",
            "bytes": 11_376_000,
            "max_error": 0.1516,
            "psnr": 38.16,
            "milliseconds": 1234.56,
        },
        {
            "path": "keras/pets.keras",
            "bytes": 5_000,
            "max_error": 8.3e-7,
            "psnr": None,
            "milliseconds": 2.0,
        },
    ]
    assert table(rows).splitlines() == [
        "file                          MB  max error   PSNR       ms",
        "tflite/pets_int8.tflite    11.38       0.15   38.2   1234.6",
        "keras/pets.keras            0.01    8.3e-07  exact      2.0",
    ]
