"""Strategies by name, and the order that they leave a step in."""

import pytest
from benchmarks.operations import graphs_of

from cyclegan_tf.models.cyclegan import CycleGAN
from cyclegan_tf.training.strategies import devices, make_strategy
from cyclegan_tf.validation import UserError


def disordered(graphs) -> list[str]:
    """Readings of a weight that may come after its update by Adam."""
    nodes = {(i, n.name): n for i, g in enumerate(graphs) for n in g.node}
    senders = {n.attr["tensor_name"].s: k for k, n in nodes.items() if n.op == "_Send"}

    def before(key) -> set:
        """All that a node waits for, on any device."""
        seen, ahead = set(), [key]
        while ahead:
            device, node = ahead[-1][0], nodes[ahead.pop()]
            found = {(device, i.lstrip("^").partition(":")[0]) for i in node.input}
            if node.op == "_Recv":
                found.add(senders[node.attr["tensor_name"].s])
            ahead += found - seen
            seen |= found
        return seen

    updates = [k for k, n in nodes.items() if n.op == "ResourceApplyAdam"]
    assert updates
    late = []
    for update in updates:
        known, weight = before(update), nodes[update].input[0]
        late += [
            name
            for (device, name), node in nodes.items()
            if (device, node.op) == (update[0], "ReadVariableOp")
            and node.input[0] == weight
            and (device, name) not in known
        ]
    return late


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cpu:2", "single"])
def test_no_weight_is_updated_before_it_is_read(name, tiny, random_images):
    strategy = make_strategy(name)
    replicas = strategy.num_replicas_in_sync
    model = CycleGAN(tiny(batch_size=replicas), 10, strategy)
    x, y = (
        strategy.experimental_distribute_values_from_function(
            lambda context, seed=seed: random_images(1, 32, 32, 3, seed=seed)
        )
        for seed in (0, 1)
    )
    runs = graphs_of(lambda: model.train_step(x, y))
    assert disordered([g for run in runs for g in run.partition_graphs]) == []
    make_strategy("single")


def test_strategy_by_name():
    assert make_strategy("single").num_replicas_in_sync == 1
    assert make_strategy("auto").num_replicas_in_sync == 1
    assert make_strategy("cpu:2").num_replicas_in_sync == 2
    with pytest.raises(UserError, match="mirrored needs a GPU"):
        make_strategy("mirrored")
    with pytest.raises(UserError, match="cpu:3 must be asked for at the start"):
        make_strategy("cpu:3")


def test_devices_are_told_in_words():
    assert devices() == "CPU only, no GPU found"
