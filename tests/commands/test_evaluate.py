"""`evaluate`: runs, exported models, anybody's folders, and what it refuses."""

import contextlib
import dataclasses
import io
import json
import pathlib
import shutil

import keras
import numpy as np
import pytest
from absl import flags
from helpers.config_values import refused
from helpers.exporting_samples import saved_run, untrained_run
from helpers.quality_samples import COLOURS, array, drawn
from PIL import Image

from cyclegan_tf.commands import evaluate
from cyclegan_tf.commands.evaluate import EVALUATE
from cyclegan_tf.commands.program import define_flags
from cyclegan_tf.core import features as pretrained
from cyclegan_tf.deploy import load as loading
from cyclegan_tf.evaluation import features, report
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.presets import preset
from cyclegan_tf.training.run_directory import load_config, save_config

FIND_EXTRACTOR = features.find_extractor


@pytest.fixture(scope="module", autouse=True)
def asked():
    """6 + 6 test pictures, 24 + 24 to learn from; gives the features asked for."""
    calls = []

    def find_extractor(*wanted, needed):
        calls.append((*wanted, needed))
        return COLOURS, ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cyclegan_tf.data.shapes.NUM_TRAIN", 24)
        patch.setattr("cyclegan_tf.data.shapes.NUM_TEST", 6)
        patch.setattr(features, "find_extractor", find_extractor)
        yield calls


def evaluated(*arguments):
    """Runs the command; gives what it wrote, and what it printed."""
    values, printed = flags.FlagValues(), io.StringIO()
    define_flags(EVALUATE.flags, values)
    values(["evaluate", *map(str, arguments)])
    with contextlib.redirect_stdout(printed):
        EVALUATE(values)
    lines = printed.getvalue().splitlines()
    numbers, page = (line.partition(": ")[2] for line in lines[-2:])
    assert pathlib.Path(page).stat().st_size > 1000
    return json.loads(pathlib.Path(numbers).read_text()), printed.getvalue()


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run whose log tells of a lost game and of seven evaluations."""
    run = tmp_path_factory.mktemp("runs") / "run"
    saved_run(run)
    log = [{"step": s, "disc_x_loss": 0.5, "disc_y_loss": 0.001} for s in range(10)]
    log += [{"step": s, "A2B/cycle_error": float(s)} for s in range(1, 8)]
    lines = "".join(json.dumps(record) + "\n" for record in log)
    (run / "log.jsonl").write_text(lines)
    return run


@pytest.fixture(scope="module")
def found(run_dir):
    """What the command makes of the run, in both directions, and prints."""
    return evaluated(f"--run_dir={run_dir}")


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """A run's generators give negatives, no page is drawn, and `.` is `tmp_path`."""

    def write_page(evaluator, made, folder):
        (folder / report.PAGE_FILE).write_bytes(bytes(2000))
        return folder / report.PAGE_FILE

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "write_page", write_page)
    monkeypatch.setattr(
        loading, "of_run", lambda *arguments: lambda pictures: 255 - pictures
    )


@pytest.fixture(scope="module")
def negative(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "negative.keras"
    inputs = keras.Input((None, None, 3))
    keras.Model(inputs, keras.layers.Rescaling(-1.0)(inputs)).save(path)
    return path


def short(record, direction="A2B") -> dict:
    """Numbers of a direction by short name."""
    parts = [(name.split("/"), row) for name, row in record["numbers"].items()]
    return {part[1]: row for part, row in parts if part[0] == direction}


def write(folder, part, which, number=10, ending="png") -> None:
    """Writes drawn pictures."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    for i, picture in enumerate(array(drawn(part, which, number))):
        Image.fromarray(picture).save(folder / f"{i}.{ending}")


def changed(run_dir, **fields) -> None:
    """A copy of the run in `run`, with other values in its configuration."""
    shutil.copytree(run_dir, "run")
    config = json.loads((run_dir / "config.json").read_text())
    pathlib.Path("run/config.json").write_text(json.dumps({**config, **fields}))


def test_run_is_evaluated_in_both_directions(run_dir, found):
    record, printed = found
    assert record["step"] == 3
    assert record["pictures"] == {"A2B": 6, "B2A": 6}
    assert record["probe"]["pictures"] == {"x": 6, "y": 6}
    assert record["features"] == COLOURS.name
    names = """taken_for_target log_odds_moved kernel_distance frechet_distance
        cycle_error cycle_psnr cycle_ssim identity_error structure paired_error
        paired_psnr paired_ssim error_inside error_outside""".split()
    for direction in ("A2B", "B2A"):
        numbers = short(record, direction)
        assert numbers.keys() >= {*names}
        assert numbers["structure"]["doing_nothing"] == pytest.approx(1)
        assert numbers["kernel_distance"]["real"] is not None
        assert np.isfinite(numbers["frechet_distance"]["model"])
    assert f"Features for distances and the probe: {COLOURS.name}." in printed
    assert "Accuracy of the linear probe: 100% on 6" in printed
    assert "A2B, X to Y" in printed
    assert f"Numbers: {run_dir / 'evaluation.json'}" in printed
    # And what the training found.
    assert "discriminator_y has won: its loss stayed below 0.02" in printed
    assert "A2B/cycle_error                    5.0 +- 1.4     best 1.0 at" in printed
    assert record["last_five_evaluations"]["A2B/cycle_error"]["mean"] == 5


def test_step_asked_for_has_the_same_numbers_again(run_dir, quick):
    latest, _ = evaluated(f"--run_dir={run_dir}", "--output=latest")
    again, _ = evaluated(f"--run_dir={run_dir}", "--output=again", "--checkpoint=3")
    assert again == {**latest, "checkpoint": "3"}


def test_run_is_evaluated_at_its_test_size(run_dir, quick, monkeypatch):
    changed(run_dir, test_size=40)
    sides = set()

    def of(pictures):
        sides.add(pictures.shape[1])
        return COLOURS.compute(pictures)

    extractor = features.Extractor("sized", of)
    monkeypatch.setattr(features, "find_extractor", lambda *_, needed: (extractor, ""))
    evaluated("--run_dir=run")
    assert sides == {40}


def test_without_weights_a_line_says_how_to_get_them(run_dir, quick, monkeypatch):
    def offline(name, weights):
        raise UserError(f"{name} needs its weights: --feature_weights FILE.")

    monkeypatch.setattr(features, "find_extractor", FIND_EXTRACTOR)
    monkeypatch.setattr(pretrained, "features", offline)
    arguments = f"--run_dir={run_dir}", "--output=."
    record, printed = evaluated(*arguments)
    line = "not measured: efficientnet_lite2 needs its weights: --feature_weights FILE."
    assert line in printed and "and the probe:" not in printed
    assert record["features"] is None and record["probe"] == {}
    for direction in ("A2B", "B2A"):
        found = short(record, direction).keys()
        assert found >= {"cycle_psnr", "identity_error", "structure", "paired_ssim"}
        assert found >= {"changed", "diversity", "checkerboard", "hidden"}
        assert not found & {"kernel_distance", "frechet_distance", "taken_for_target"}
    for asked_for in ("--features=efficientnet_lite2", "--feature_weights=w.pth"):
        with refused("efficientnet_lite2 needs its weights"):
            evaluated(*arguments, asked_for)


def test_network_of_the_discriminators_is_refused(run_dir, quick, asked, monkeypatch):
    config = load_config(run_dir)
    for name in ("efficientnet_lite2", "efficientnet_lite0"):
        object.__setattr__(config, "discriminator", "projected")
        object.__setattr__(config, "feature_network", name)
        monkeypatch.setattr(evaluate, "load_config", lambda run_dir: config)
        other = "efficientnet_lite" + ("0" if name.endswith("2") else "2")
        with refused(f"another network, such as {other}."):
            evaluated(f"--run_dir={run_dir}", f"--features={name}")
    evaluated(f"--run_dir={run_dir}", "--features=mobilenet_v2", "--output=.")
    assert asked[-1] == ("mobilenet_v2", "", True)
    object.__setattr__(config, "discriminator", "patchgan")
    evaluated(f"--run_dir={run_dir}", "--output=.")
    assert asked[-1] == ("efficientnet_lite2", "", False)


@pytest.mark.parametrize("direction", ["a_to_b", "b_to_a"])
def test_pix2pix_run_is_evaluated_in_its_direction(direction, tmp_path, quick):
    options = dataclasses.replace(
        preset("shapes_pix2pix", run_dir=str(tmp_path / "pairs")),
        direction=direction,
        **{"image_size": 32, "load_size": 36, "num_downs": 3, "num_filters": 2},
        **{"discriminator_filters": 2, "discriminator_layers": 1},
    )
    untrained_run(options, factor=2.0)
    record, _ = evaluated("--run_dir=pairs")
    ours = "A2B" if direction == "a_to_b" else "B2A"
    assert record["pictures"] == {ours: 6} and record["step"] == 3
    numbers = short(record, ours)
    # `quick` inverts the input; the pairs are those of the drawn animals.
    inputs, truth = (array(drawn(2, which, 6)) for which in (0, 1))
    if ours == "B2A":
        inputs, truth = truth, inputs
    error = np.abs(255.0 - inputs - truth).mean()
    assert numbers["paired_error"]["model"] == pytest.approx(error)
    assert numbers["colour_correlation"]["model"] == pytest.approx(-1)
    assert numbers["kernel_distance"]["real"] is not None
    assert not numbers.keys() & {"identity_error", "cycle_error", "hidden"}
    with refused("`dcgan`, which translates no pictures"):
        save_config(preset("digits_dcgan", run_dir=str(tmp_path / "pairs")))
        evaluated("--run_dir=pairs")


def test_model_of_the_other_direction_is_evaluated_as_such(
    run_dir, found, negative, quick
):
    before = (run_dir / "evaluation.json").read_bytes()
    record, printed = evaluated(
        f"--run_dir={run_dir}", f"--model={negative}", "--direction=B2A"
    )
    assert record["pictures"] == {"B2A": 6}
    assert short(record, "B2A")["colour_correlation"]["model"] == pytest.approx(-1)
    assert "B2A inverted colours" in printed
    # Another model's numbers do not take the place of the run's.
    assert (run_dir / "evaluation.json").read_bytes() == before
    assert pathlib.Path("evaluation.json").exists()


def test_model_on_folders(negative, quick):
    write("x", 0, 0)
    write("y", 1, 1)
    record, _ = evaluated(f"--model={negative}", "--input=x", "--real=y")
    assert record["pictures"] == {"A2B": 10}
    assert "cycle_error" not in short(record)
    assert short(record)["taken_for_target"]["real"] is not None


def test_fakes_of_whatever_program(quick, asked):
    write("x", 2, 0, ending="jpg")
    write("fake", 2, 1)
    write("y", 1, 1, 12, "webp")
    record, _ = evaluated("--fake=fake", "--real=y", "--input=x")
    numbers = short(record)
    assert numbers["taken_for_target"]["model"] > 0.8
    assert numbers["taken_for_target"]["doing_nothing"] < 0.2
    assert "paired_error" not in numbers
    assert f"A2B/taken_for_target/{COLOURS.name}/probe-5-6" in record["numbers"]
    assert record["probe"]["pictures"] == {"x": 5, "y": 6}
    # Real ones of the same names are the truth.
    record, _ = evaluated("--fake=fake", "--real=fake", "--input=x", "--paired")
    assert short(record)["paired_error"]["model"] == 0
    assert short(record)["paired_error"]["doing_nothing"] > 5
    # Fakes alone have no probe.
    arguments = "--features=inception_v3", "--feature_weights=w.h5"
    record, printed = evaluated("--fake=fake", "--real=y", *arguments)
    assert asked[-1] == ("inception_v3", "w.h5", True)
    assert "linear probe" not in printed
    assert f"A2B/kernel_distance/{COLOURS.name}/10-vs-6" in record["numbers"]
    assert "taken_for_target" not in short(record)


def test_test_folders_whose_names_match_are_pairs(run_dir, quick):
    for split, part, which in (("trainA", 0, 0), ("trainB", 1, 1)):
        write(f"data/{split}", part, which, 8)
        write(f"data/{split.replace('train', 'test')}", 2, which, 8)
    changed(run_dir, dataset="data")
    arguments = "--run_dir=run", "--num_pictures=6"
    assert "paired_error" not in short(evaluated(*arguments)[0])
    record, _ = evaluated(*arguments, "--paired")
    assert record["pictures"] == {"A2B": 6, "B2A": 6}
    assert short(record, "B2A")["error_outside"]["doing_nothing"] < 1


def test_flags_that_do_not_go_together_are_refused():
    for arguments, told in (
        ("", "Received: nothing."),
        ("--run_dir=a --fake=b", "Received: --fake, --run_dir."),
        ("--model=a --input=b", "Received: --input, --model."),
        ("--run_dir=a --features=judge", "`features` must be one of efficientnet_"),
        ("--run_dir=a --direction=AB", "`direction` must be one of A2B, B2A"),
        ("--run_dir=a --subset_size=1", "`subset_size` must be 0 or at least 2."),
        ("--run_dir=a --seed=-1", "`seed` must be at least 0. Received: -1."),
        ("--run_dir=a --size=8", "`size` must be 0 or at least 16. Received: 8."),
        ("--fake=a --real=b --paired", "`paired` needs --input."),
        ("--run_dir=nowhere", "No configuration at nowhere/config.json"),
    ):
        with refused(told):
            evaluated(*arguments.split())


def test_what_a_run_cannot_be_evaluated_with_is_refused(run_dir, tmp_path, quick):
    bad, dense = tmp_path / "bad.keras", tmp_path / "dense.keras"
    bad.write_bytes(b"no archive")
    inputs = keras.Input((8,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(dense)
    for argument, told in (
        ("--checkpoint=best", f"{run_dir} has no best checkpoint"),
        ("--checkpoint=7", f"{run_dir}: 3, latest. Received: '7'."),
        ("--subset_size=7", "outputs, fewer than the subset size 7."),
        ("--paired", "6 of 6 pictures have no test picture in domain Y"),
        ("--model=nowhere", "No such model: nowhere."),
        (f"--model={bad}", "bad.keras can't be used: "),
        (
            f"--model={dense}",
            "dense.keras can't be used: it does not map images of any size",
        ),
    ):
        with refused(told):
            evaluated(f"--run_dir={run_dir}", "--output=.", argument)
