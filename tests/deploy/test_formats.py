"""Pictures, sizes and types of the files of each format."""

import keras
import numpy as np
import pytest
from helpers.exporting_samples import read, refuses, write_pictures

from cyclegan_tf.core.generators import translate
from cyclegan_tf.data import images, shapes
from cyclegan_tf.deploy import conversion, exportables
from cyclegan_tf.deploy.export import export_run
from cyclegan_tf.deploy.tflite_file import TFLiteGenerator
from cyclegan_tf.messages import UserError

# --- The pictures that files are tried on and calibrated with


@pytest.fixture
def calibrated(monkeypatch):
    """Ends an export at the first conversion; gives the calibration pictures."""
    given = []

    def convert(generator, multiple, kind, size, io, calibration):
        given.extend(calibration)
        raise UserError("seen enough")

    monkeypatch.setattr(conversion, "convert", convert)
    return given


@pytest.fixture
def quick(tried, monkeypatch):
    """One convolution is converted in place of the generator."""
    inputs = keras.Input((None, None, 3))
    small = keras.Model(inputs, keras.layers.Conv2D(3, 3, padding="same")(inputs))
    convert = conversion.convert
    monkeypatch.setattr(conversion, "convert", lambda _, *args: convert(small, *args))


@pytest.fixture
def every_picture(lightest, monkeypatch):
    """Small files, that are tried on as many pictures as real ones."""
    monkeypatch.setattr(exportables, "NUM_TEST_PICTURES", 8)
    return lightest


def test_files_are_tried_on_test_pictures_of_what_they_translate(
    every_picture, request_of, model
):
    export_run(request_of(directions=("A2B", "B2A")))
    ((_, references, _),) = every_picture
    assert set(references) == {"shapes_A2B/32x32", "shapes_B2A/32x32"}
    for direction, part, which, generator in (
        ("A2B", 2, 0, model.generator_g),
        ("B2A", 3, 1, model.generator_f),
    ):
        inputs, outputs = references[f"shapes_{direction}/32x32"]
        pictures = inputs["pictures"]
        drawn = [shapes.draw_pair((part, i), 36)[which] for i in range(8)]
        np.testing.assert_array_equal(pictures, [images.resize(p, 32) for p in drawn])
        expected = generator(images.to_float(pictures), training=False)
        np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_scales_are_set_by_training_pictures_of_what_is_translated(
    calibrated, request_of, tmp_path
):
    asked = {"formats": ("tflite",), "tflite_types": ("int8",)}
    for direction, part, which in (("A2B", 0, 0), ("B2A", 1, 1)):
        calibrated.clear()
        request = request_of(
            directions=(direction,),
            tflite_sizes=((24, 40),),
            num_calibration_pictures=3,
            **asked,
        )
        refuses(request, "seen enough", tmp_path)
        drawn = [shapes.draw_pair((part, i), 36)[which] for i in range(3)]
        expected = [images.resize(picture, (24, 40)) for picture in drawn]
        np.testing.assert_array_equal(calibrated, expected)
    pixels = write_pictures(tmp_path / "photos", 3)
    calibrated.clear()
    request = request_of(pictures=str(tmp_path / "photos"), **asked)
    refuses(request, "seen enough", tmp_path)
    expected = [images.resize(pixels[i], 32) for i in (0, 2)]
    np.testing.assert_array_equal(calibrated, expected)


def test_named_folder_is_what_files_are_tried_on(
    every_picture, request_of, tmp_path, output
):
    pixels = write_pictures(tmp_path / "photos", 9)
    export_run(request_of(pictures=str(tmp_path / "photos")))
    ((_, references, _),) = every_picture
    pictures = references["shapes_A2B/32x32"][0]["pictures"]
    # Of nine, spread evenly over the folder.
    chosen = [0, 1, 2, 3, 5, 6, 7, 8]
    expected = [images.resize(pixels[i], 32) for i in chosen]
    np.testing.assert_array_equal(pictures, expected)
    assert read(output / "export.json")["verified_on"] == "8 pictures of a folder"
    write_pictures(tmp_path / "few", 3)
    export_run(request_of(pictures=str(tmp_path / "few")))
    assert read(output / "export.json")["verified_on"] == "3 pictures of a folder"


# --- TFLite files of other sizes and types


@pytest.mark.slow
def test_files_of_other_sizes_have_them_in_their_names(
    quick, tried, request_of, output, model
):
    request = request_of(
        formats=("tflite",),
        tflite_types=("float32", "float16"),
        tflite_sizes=(None, (24, 40), (24, 40)),
    )
    rows = export_run(request)
    sizes = {
        "tflite/shapes_A2B_float32_any.tflite": None,
        "tflite/shapes_A2B_float16_any.tflite": None,
        "tflite/shapes_A2B_float32_24x40.tflite": (24, 40),
        "tflite/shapes_A2B_float16_24x40.tflite": (24, 40),
    }
    assert [row["path"] for row in rows] == list(sizes)
    for path, size in sizes.items():
        assert TFLiteGenerator(str(output / path)).size == size
    assert len(list((output / "tflite").iterdir())) == 4
    any_size = ["shapes_A2B/32x32", "shapes_A2B/25x19"]
    pictures = [any_size, any_size, ["shapes_A2B/24x40"], ["shapes_A2B/24x40"]]
    assert [row["pictures"] for row in rows] == pictures
    ((_, references, _),) = tried
    inputs, outputs = references["shapes_A2B/25x19"]
    pictures = inputs["pictures"]
    assert pictures.shape == (8, 25, 19, 3)
    expected = translate(model.generator_g, images.to_float(pictures), 4)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_row_describes_the_types_of_a_file(quick, request_of, output):
    request = request_of(
        formats=("tflite",),
        directions=("B2A",),
        tflite_types=("int8",),
        tflite_io="float32",
    )
    (row,) = export_run(request)
    assert row["input"]["dtype"] == row["output"]["dtype"] == "float32"
    assert row["input"]["shape"] == [1, 32, 32, 3]
    assert read(output / "export.json")["parity"] == [row]


@pytest.mark.parametrize(
    ("fields", "multiple", "sizes"),
    [
        ({}, 4, [(30, 32), (32, 34), (4, 32), (32, 0), (0, 0)]),
        ({"generator": "unet", "num_downs": 3}, 8, [(32, 20)]),
    ],
)
def test_size_that_does_not_fit_the_generator_is_refused(
    tried, request_of, run_of, tmp_path, fields, multiple, sizes
):
    run = run_of(**fields)
    for size in sizes:
        told = f"`tflite_size`.* {multiple}, .* 8, .*{size[0]}x{size[1]}"
        refuses(request_of(run, tflite_sizes=((32, 32), size)), told, tmp_path)
