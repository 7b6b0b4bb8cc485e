"""What `Inference` does with the model that was swapped out."""

import weakref


def test_the_old_model_is_freed_behind_the_first_answer_of_the_new_one(
    start, connect, frame, ask, monkeypatch
):
    """Not before, since freeing a network takes time; and not later: two would stay in memory."""
    node = start(model="three", queue_size=100)
    client = connect(node)
    ask(client, frame())
    inference = node._inference
    old = weakref.ref(inference.model.pipeline)
    alive = []
    publish = inference._publish

    def watched(*parts):
        alive.append(old() is not None)
        publish(*parts)

    monkeypatch.setattr(inference, "_publish", watched)
    assert client.remote.set_parameter("model", "seven") == (True, "")
    assert ask(client, frame()).results[0].class_id == "7"
    assert ask(client, frame()).results[0].class_id == "7"
    assert alive == [True, False]
    assert old() is None
