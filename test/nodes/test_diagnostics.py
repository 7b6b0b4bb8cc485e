"""What /diagnostics says, and when it warns."""

import pytest
from rclpy.serialization import serialize_message

STAGES = ("wait", "decode", "preprocess", "engine", "postprocess", "publish", "total")


def test_content_while_frames_flow(classifier, frame, ask):
    _, client = classifier
    for _ in range(20):
        ask(client, frame())
    values = client.wait_for_diagnostics(lambda d: int(d["published"]) >= 21)
    assert values["level"] == "OK"
    assert values["state"] == "active"
    assert values["received"] == values["published"]
    assert float(values["input_age_s"]) < 2.0
    assert (values["model"], values["device"], values["backend"]) == (
        "digits", "cpu", "onnxruntime",
    )  # fmt: skip
    assert len(values["model_id"]) == 12
    for stage in STAGES:
        p50, p95, p99 = (float(values[f"latency.{stage}.{p}_ms"]) for p in ("p50", "p95", "p99"))
        assert 0.0 < p50 <= p95 <= p99 < 1000.0
    inner = sum(float(values[f"latency.{stage}.p50_ms"]) for stage in STAGES[:-1])
    assert inner == pytest.approx(float(values["latency.total.p50_ms"]), rel=0.5)


def test_rates(classifier, frame, ask):
    _, client = classifier
    ask(client, frame())
    values = client.wait_for_diagnostics(lambda d: float(d["rate_out_hz"]) > 0.0)
    assert float(values["rate_in_hz"]) > 0.0
    client.wait_for_diagnostics(lambda d: float(d["rate_in_hz"]) == 0.0)


def test_warns_without_input_and_is_content_again_with_it(start, connect, frame, ask):
    node = start(warn_after_s=0.3)
    client = connect(node, connected=False)
    values = client.wait_for_diagnostics(lambda d: d["level"] == "WARN")
    assert values["message"].startswith("no input for ")
    assert float(values["input_age_s"]) > 0.3
    client.connect()
    client.wait_for_diagnostics(lambda d: d["level"] == "OK")
    assert client.remote.set_parameter("warn_after_s", 3600.0) == (True, "")
    client.wait_for_diagnostics(lambda d: float(d["input_age_s"]) > 0.4 and d["level"] == "OK")


def test_does_not_warn_while_no_input_is_expected(start, connect):
    node = start(warn_after_s=0.05)
    client = connect(node, connected=False)
    client.wait_for_diagnostics(lambda d: d["level"] == "WARN")
    node.trigger_deactivate()
    values = client.wait_for_diagnostics(lambda d: d["state"] == "inactive")
    assert (values["level"], values["input_age_s"]) == ("OK", "none")
    node.trigger_cleanup()
    values = client.wait_for_diagnostics(lambda d: d["state"] == "unconfigured")
    assert (values["level"], values["model"]) == ("OK", "none")


def test_bad_messages_warn_once_and_name_the_error(classifier, frame, ask):
    _, client = classifier
    client.publish(serialize_message(frame(damage={"encoding": "mono88"})))
    values = client.wait_for_diagnostics(lambda d: d["level"] == "WARN")
    assert "mono88" in values["message"]
    ask(client, frame())
    client.wait_for_diagnostics(lambda d: d["level"] == "OK")


def test_a_dead_worker_is_an_error(classifier, frame, monkeypatch):
    node, client = classifier

    def die(*_):
        raise SystemExit("as if killed")

    monkeypatch.setattr(node._inference.model.pipeline, "process_many", die)
    client.publish(serialize_message(frame()))
    values = client.wait_for_diagnostics(lambda d: d["level"] == "ERROR")
    assert "as if killed" in values["message"]
    monkeypatch.undo()
    node.trigger_deactivate()
    node.trigger_activate()
    client.wait_for_diagnostics(lambda d: d["level"] != "ERROR")


def test_overflow_of_an_ordered_queue_warns(start, connect, frame):
    node = start(queue_size=2, qos_depth=1000)
    client = connect(node)
    for _ in range(300):
        client.publish(serialize_message(frame()))
    values = client.wait_for_diagnostics(lambda d: "overflowed" in d["message"])
    assert values["level"] == "WARN"
    assert int(values["dropped"]) > 0
