"""`evaluate`: runs, exported models, anybody's folders, and what it refuses."""

import json
import shutil

import keras
import numpy as np
import pytest
from absl import flags
from helpers.config_values import refused
from helpers.exporting_samples import saved_run
from helpers.quality_samples import drawn
from PIL import Image

from cyclegan_tf.commands import evaluate
from cyclegan_tf.exporting import formats, saved_model, tflite
from cyclegan_tf.quality import features
from cyclegan_tf.training.checkpoints import load_network


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """24 + 24 training and 6 + 6 test pictures, and a judge of few steps."""
    monkeypatch.setattr("cyclegan_tf.data.shapes.NUM_TRAIN", 24)
    monkeypatch.setattr("cyclegan_tf.data.shapes.NUM_TEST", 6)
    monkeypatch.setattr("cyclegan_tf.quality.judge.NUM_STEPS", 20)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return saved_run(tmp_path_factory.mktemp("runs") / "run").config.run_dir


@pytest.fixture
def evaluated(tmp_path, capsys):
    """Runs the command; gives what it wrote and what it printed."""

    def call(*arguments, output="out"):
        values = flags.FlagValues()
        evaluate.define_flags(values)
        values(["evaluate", f"--output={tmp_path / output}", *arguments])
        evaluate.run(values)
        record = json.loads((tmp_path / output / "evaluation.json").read_text())
        assert (tmp_path / output / "evaluation.png").stat().st_size > 1000
        return record, capsys.readouterr().out

    return call


def short(record, direction="A2B") -> dict:
    """Numbers of a direction by short name."""
    parts = [(name.split("/"), row) for name, row in record["numbers"].items()]
    return {part[1]: row for part, row in parts if part[0] == direction}


def pictures(folder, part, which, number, ending="png", side=32):
    """Writes drawn pictures; gives the folder's name."""
    folder.mkdir()
    for i in range(number):
        picture = drawn(part, which, number, side).read(i)
        Image.fromarray(picture).save(folder / f"{i}.{ending}")
    return str(folder)


def test_run_is_evaluated_at_its_test_size(run_dir, evaluated, tmp_path):
    run = shutil.copytree(run_dir, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "test_size": 40}))
    _, printed = evaluated(f"--run_dir={run}")
    assert ", 40 px) is right on" in printed


def test_run_is_evaluated_in_both_directions(run_dir, evaluated, tmp_path):
    record, printed = evaluated(f"--run_dir={run_dir}")
    assert record["step"] == 3
    assert record["pictures"] == {"A2B": 6, "B2A": 6}
    assert record["judge"]["pictures"] == {"x": 6, "y": 6}
    for direction in ("A2B", "B2A"):
        numbers = short(record, direction)
        for name in (
            "taken_for_target",
            "log_odds_moved",
            "kernel_distance",
            "frechet_distance",
            "cycle_error",
            "cycle_psnr",
            "cycle_ssim",
            "identity_error",
            "structure",
            "paired_error",
            "paired_psnr",
            "paired_ssim",
            "error_inside",
            "error_outside",
        ):
            assert name in numbers, name
        assert numbers["structure"]["doing_nothing"] == pytest.approx(1)
        assert numbers["kernel_distance"]["real"] is not None
    assert "The judge (" in printed and "A2B, X to Y" in printed
    assert "no FID" in printed
    assert f"Numbers: {tmp_path / 'out' / 'evaluation.json'}" in printed
    again, _ = evaluated(f"--run_dir={run_dir}", output="again")
    assert again == record


def export(kind, run_dir, tmp_path):
    generator = load_network(run_dir, "generator_g")
    if kind == "keras":
        path = tmp_path / "model.keras"
        formats.portable(generator).save(path)
    elif kind == "tflite":
        path = tmp_path / "model.tflite"
        path.write_bytes(tflite.convert(generator, 4, "float32", (32, 32)))
    else:
        path = tmp_path / "model"
        saved_model.write_saved_model(generator, 4, path / "1", 10**6)
    return path


@pytest.mark.slow
def test_exported_models_have_the_numbers_of_their_run(run_dir, evaluated, tmp_path):
    expected = short(evaluated(f"--run_dir={run_dir}")[0])
    for kind in ("keras", "tflite", "savedmodel"):
        path = export(kind, run_dir, tmp_path)
        record, _ = evaluated(f"--run_dir={run_dir}", f"--model={path}", output=kind)
        assert record["pictures"] == {"A2B": 6}
        for name, row in short(record).items():
            near = pytest.approx(expected[name]["model"], abs=0.02)
            assert row["model"] == near, (kind, name)


def test_model_of_the_other_direction_is_evaluated_as_such(
    run_dir, evaluated, tmp_path
):
    inputs = keras.Input((None, None, 3))
    keras.Model(inputs, keras.layers.Rescaling(-1.0)(inputs)).save(tmp_path / "n.keras")
    record, printed = evaluated(
        f"--run_dir={run_dir}", f"--model={tmp_path / 'n.keras'}", "--direction=B2A"
    )
    assert record["pictures"] == {"B2A": 6}
    assert short(record, "B2A")["colour_correlation"]["model"] == pytest.approx(-1)
    assert "B2A inverted colours" in printed


def test_model_on_folders(run_dir, evaluated, tmp_path):
    model = export("keras", run_dir, tmp_path)
    source = pictures(tmp_path / "x", 0, 0, 10)
    target = pictures(tmp_path / "y", 1, 1, 10)
    record, _ = evaluated(f"--model={model}", f"--input={source}", f"--real={target}")
    assert record["pictures"] == {"A2B": 10}
    assert "cycle_error" not in short(record)
    assert short(record)["taken_for_target"]["real"] is not None


def test_fakes_of_whatever_program(evaluated, tmp_path):
    source = pictures(tmp_path / "x", 2, 0, 10, "jpg")
    fakes = pictures(tmp_path / "fake", 2, 1, 10)
    target = pictures(tmp_path / "y", 1, 1, 12, "webp")
    record, _ = evaluated(f"--fake={fakes}", f"--real={target}", f"--input={source}")
    numbers = short(record)
    assert numbers["taken_for_target"]["model"] > 0.8
    assert numbers["taken_for_target"]["doing_nothing"] < 0.2
    assert "paired_error" not in numbers


def test_pairs_of_folders_are_matched_by_name(evaluated, tmp_path):
    source = pictures(tmp_path / "x", 2, 0, 10)
    target = pictures(tmp_path / "y", 2, 1, 10)
    arguments = f"--fake={target}", f"--real={target}", f"--input={source}"
    record, _ = evaluated(*arguments, "--paired")
    assert short(record)["paired_error"]["model"] == 0
    assert short(record)["paired_error"]["doing_nothing"] > 5


def test_fakes_alone_need_no_judge(evaluated, tmp_path, monkeypatch):
    def inception(weights):
        assert weights == "w.h5"
        return features.Extractor("inception-00000000", features.thumbnails)

    monkeypatch.setattr(features, "inception", inception)
    fakes = pictures(tmp_path / "fake", 2, 1, 10)
    target = pictures(tmp_path / "y", 1, 1, 12)
    record, printed = evaluated(
        f"--fake={fakes}",
        f"--real={target}",
        "--features=inception",
        "--feature_weights=w.h5",
    )
    assert "The judge" not in printed
    assert "A2B/kernel_distance/inception-00000000/10-vs-6" in record["numbers"]
    assert "taken_for_target" not in short(record)


def test_test_folders_whose_names_match_are_pairs(evaluated, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for split, part, which in (
        ("trainA", 0, 0),
        ("trainB", 1, 1),
        ("testA", 2, 0),
        ("testB", 2, 1),
    ):
        pictures(data / split, part, which, 8)
    model = saved_run(tmp_path / "run", dataset=str(data))
    arguments = f"--run_dir={model.config.run_dir}", "--num_pictures=6"
    assert "paired_error" not in short(evaluated(*arguments)[0])
    record, _ = evaluated(*arguments, "--paired", output="paired")
    assert record["pictures"] == {"A2B": 6, "B2A": 6}
    assert short(record, "B2A")["error_outside"]["doing_nothing"] < 1


@pytest.mark.parametrize(
    "arguments, told",
    [
        ((), "Give --run_dir, with or without --model"),
        (("--run_dir=a", "--fake=b"), "Received: --fake, --run_dir."),
        (("--model=a", "--input=b"), "Received: --input, --model."),
        (("--fake=a", "--real=b"), "no other domain to train a judge on"),
        (("--run_dir=a", "--features=fid"), "`features` must be one of judge, inc"),
        (("--run_dir=a", "--direction=AB"), "`direction` must be one of A2B, B2A"),
        (("--run_dir=a", "--subset_size=1"), "`subset_size` must be 0 or at least 2."),
        (("--run_dir=a", "--seed=-1"), "`seed` must be at least 0. Received: -1."),
        (("--run_dir=a", "--size=8"), "`size` must be 0 or at least 16. Received: 8."),
        (("--run_dir=a", "--feature_weights=w"), "is for --features inception."),
        (
            ("--fake=a", "--real=b", "--paired", "--features=inception"),
            "`paired` needs --input.",
        ),
        (("--run_dir=nowhere",), "No configuration at nowhere/config.json"),
    ],
)
def test_refused(arguments, told, evaluated):
    with refused(told):
        evaluated(*arguments)


def test_refused_of_a_run(run_dir, evaluated, tmp_path):
    with refused(f"{run_dir} has no best checkpoint: train with --keep_best."):
        evaluated(f"--run_dir={run_dir}", "--checkpoint=best")
    with refused("that it has: 3, latest. Received: '7'.".replace("it", run_dir)):
        evaluated(f"--run_dir={run_dir}", "--checkpoint=7")
    with refused("outputs, fewer than the subset size 7. Give a smaller --subset"):
        evaluated(f"--run_dir={run_dir}", "--subset_size=7")
    with refused("6 of 6 pictures have no test picture in domain Y"):
        evaluated(f"--run_dir={run_dir}", "--paired")
    with refused("No such model: nowhere."):
        evaluated(f"--run_dir={run_dir}", "--model=nowhere")
    (tmp_path / "bad.keras").write_bytes(b"no archive")
    with refused("bad.keras can't be used: "):
        evaluated(f"--run_dir={run_dir}", f"--model={tmp_path / 'bad.keras'}")
    inputs = keras.Input((8,))
    dense = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    dense.save(tmp_path / "dense.keras")
    with refused("dense.keras does not map images of any size to images."):
        evaluated(f"--run_dir={run_dir}", f"--model={tmp_path / 'dense.keras'}")


def test_what_a_training_found_is_told_and_not_lost(
    run_dir, tmp_path, monkeypatch, capsys
):
    shutil.copytree(run_dir, tmp_path / "run")
    log = [{"step": s, "A2B/cycle_error": float(s)} for s in range(1, 8)]
    lost = [{"step": s, "disc_x_loss": 0.5, "disc_y_loss": 0.001} for s in range(10)]
    lines = "".join(json.dumps(record) + "\n" for record in [*lost, *log])
    (tmp_path / "run/log.jsonl").write_text(lines)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        values = flags.FlagValues()
        evaluate.define_flags(values)
        values(["evaluate", "--run_dir=run", *arguments])
        evaluate.run(values)
        return capsys.readouterr().out

    printed = call()
    assert "discriminator_y has won: its loss stayed below 0.02" in printed
    assert "A2B/cycle_error                    5.0 +- 1.4     best 1.0 at" in printed
    before = (tmp_path / "run/evaluation.json").read_bytes()
    spread = json.loads(before)["last_five_evaluations"]
    assert spread["A2B/cycle_error"]["mean"] == 5
    # Another model's numbers do not take the place of the run's.
    call(f"--model={export('keras', run_dir, tmp_path)}")
    assert (tmp_path / "run/evaluation.json").read_bytes() == before
    assert (tmp_path / "evaluation.json").exists()


def test_step_asked_for_is_evaluated(run_dir, evaluated):
    record, _ = evaluated(f"--run_dir={run_dir}", "--checkpoint=3")
    assert (record["step"], record["checkpoint"]) == (3, "3")
    assert np.isfinite(short(record)["frechet_distance"]["model"])
