from cyclegan_tf.core.state import mismatches, shown


def test_nothing_is_told_of_shapes_that_match():
    assert mismatches({}, {}) == ""
    assert mismatches({"a": (1, 2), "b": ()}, {"b": (), "a": (1, 2)}) == ""
    assert mismatches({"a": (1, 2)}, {"a": [1, 2]}) == ""


def test_all_kinds_are_told_together_and_in_order():
    wanted = {"d": (1, 2), "b": (1,), "c": (3,), "a": (), "same": (5,)}
    found = {"y": (1,), "c": (4,), "x": (2, 2), "d": (2, 1), "same": (5,)}
    assert mismatches(wanted, found) == (
        "missing: a, b; unexpected: x, y; "
        "misshapen: c (4,) instead of (3,), d (2, 1) instead of (1, 2)"
    )


def test_other_number_of_dimensions_is_misshapen():
    told = "misshapen: a () instead of (1,), b (1, 1) instead of (1,)"
    assert mismatches({"a": (1,), "b": (1,)}, {"a": (), "b": (1, 1)}) == told


def test_kind_without_names_is_left_out():
    assert mismatches({"a": (1,)}, {}) == "missing: a"
    assert mismatches({}, {"a": (1,)}) == "unexpected: a"
    assert mismatches({"a": (1,)}, {"a": (2,)}) == "misshapen: a (2,) instead of (1,)"


def test_eight_names_of_each_kind_are_told_and_the_others_counted():
    ten = {f"n{i}": (1,) for i in range(10)}
    eight = ", ".join(f"n{i}" for i in range(8))
    assert mismatches(ten, {}) == f"missing: {eight} and 2 more"
    assert mismatches({}, ten) == f"unexpected: {eight} and 2 more"
    misshapen = ", ".join(f"n{i} (2,) instead of (1,)" for i in range(8))
    told = mismatches(ten, dict.fromkeys(ten, (2,)))
    assert told == f"misshapen: {misshapen} and 2 more"
    first = dict(list(ten.items())[:8])
    assert mismatches(first, {}) == f"missing: {eight}"


def test_names_are_shown_in_one_short_line():
    assert shown("model.1.weight") == "model.1.weight"
    assert shown("a\n\x1b[31m") == r"'a\n\x1b[31m'"
    assert shown(1000 * "a") == 120 * "a" + "..."
    assert "\n" not in mismatches({"a\nb": (1,), "c\nd": ()}, {"c\nd": (2,)})
