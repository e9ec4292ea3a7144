"""Times of calls that take turns, so that a busy machine slows all of them alike."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True)
class Call:
    """Something to time.

    Attributes:
      run: Does it, and waits until it is done.
      flops: Floating point operations of it; 0 if they are not counted.
    """

    run: Callable[[], object]
    flops: int = 0


@dataclasses.dataclass(frozen=True)
class Times:
    """The seconds that a call took in each round."""

    seconds: list[float]

    @property
    def median(self) -> float:
        """Seconds of the middle round."""
        return statistics.median(self.seconds)

    def ratio(self, other: "Times") -> float:
        """How many times as long another took: the middle one of the rounds' ratios."""
        pairs = zip(other.seconds, self.seconds, strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)


def take_turns(
    calls: Mapping[str, Call], rounds: int, told: Callable[[], object] = lambda: None
) -> dict[str, Times]:
    """Runs all calls in each round, one after another.

    Args:
      calls: By name; each runs twice before, so that all is traced.
      rounds: Rounds that are timed.
      told: Called after each call.

    Returns:
      Times by name.
    """
    seconds = {name: [] for name in calls}
    for number in range(-2, rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call.run()
            if number >= 0:
                seconds[name].append(time.perf_counter() - start)
            told()
    return {name: Times(of_call) for name, of_call in seconds.items()}
