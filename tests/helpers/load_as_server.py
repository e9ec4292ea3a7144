"""Runs SavedModels as a server does: in a process that knows nothing of this project.

    PYTHONPATH=tests python -m helpers.load_as_server session|c_api CALLS RESULTS

CALLS is a pickle of {name: (folder, [(signature, value), ..])}, where a value is an
array or a list of bytes. RESULTS becomes {name: [result, ..]}, where a result is the
like, or the `Failure` of the call. What can't be loaded ends the process.
"""

import pathlib
import pickle
import sys

import numpy as np

from helpers.c_api import Failure, Session


class V1Session:
    """A SavedModel in a session of TensorFlow 1, which reads what the server reads.

    Args:
      folder: The version's folder.
    """

    def __init__(self, folder: str):
        import tensorflow as tf

        self._errors = tf.errors
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        with graph.as_default():
            meta_graph = tf.compat.v1.saved_model.loader.load(
                self._session, ["serve"], folder
            )
        self.signatures = {
            key: [info.name for x in (s.inputs, s.outputs) for info in x.values()]
            for key, s in meta_graph.signature_def.items()
        }

    def run(self, signature: str, value):
        """As `Session.run` of the C API."""
        source, target = self.signatures[signature]
        if isinstance(value, list):
            value = np.array(value, object)
        try:
            result = self._session.run(target, {source: value})
        except self._errors.OpError as error:
            raise Failure(error.error_code, error.message) from error
        return list(result) if result.dtype == object else result


LOADERS = {"session": V1Session, "c_api": Session}


def outcome(session, signature: str, value):
    """What a call gives, or its failure."""
    try:
        return session.run(signature, value)
    except Failure as failure:
        return failure


def main() -> None:
    how, calls, results = sys.argv[1:]
    made = {}
    for name, (folder, values) in pickle.loads(
        pathlib.Path(calls).read_bytes()
    ).items():
        session = LOADERS[how](folder)
        made[name] = [outcome(session, *call) for call in values]
    strangers = {"cyclegan_tf"} | ({"tensorflow"} if how == "c_api" else set())
    if strangers & set(sys.modules):
        sys.exit(f"Imported: {strangers & set(sys.modules)}")
    pathlib.Path(results).write_bytes(pickle.dumps(made))


if __name__ == "__main__":
    main()
