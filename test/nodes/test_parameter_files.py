"""Parameter files: what is refused, what is for whom, and who wins, compared with real nodes."""

import itertools
import math

import pytest
import yaml

from nn_perception.errors import ConfigError
from nn_perception.nodes.parameter_files import (
    USE_SIM_TIME,
    check_parameter_file,
    full_name,
    overrides_text,
    parse_value,
)
from nn_perception.nodes.parameters import TABLES, index
from nn_perception.nodes.registry import PERCEPTION_NODES
from nn_perception.share import share_path

NODES = {"/r1/eyes": "image_classifier", "/r1/gyro_corrector": "gyro_corrector"}
TABLE = index(TABLES["image_classifier"])


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "parameters.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("namespace", "name", "full"),
    [
        ("", "x", "/x"),
        ("/", "x", "/x"),
        ("r1", "x", "/r1/x"),
        ("/r1/", "a/b", "/r1/a/b"),
        ("a/b", "", "/a/b"),
    ],
)
def test_full_names(namespace, name, full):
    assert full_name(namespace, name) == full


@pytest.mark.parametrize(
    ("row", "text", "value"),
    [
        ("threads", "2", 2),
        ("keep_percent", "95", 95.0),
        ("keep_percent", "9.5e1", 95.0),
        ("autostart", "false", False),
        ("autostart", "True", True),
        ("model", "1e3", "1e3"),
        ("model", "true", "true"),
        ("device", "cuda:1", "cuda:1"),
    ],
)
def test_a_text_becomes_a_value_of_the_rows_type(row, text, value):
    found = parse_value(TABLE[row], text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("threads", "two"),
        ("threads", "2.5"),
        ("threads", "0"),
        ("threads", "true"),
        ("keep_percent", "true"),
        ("keep_percent", ".nan"),
        ("autostart", "2"),
        ("device", "gpu"),
        ("threads", "[1"),
    ],
)
def test_a_text_of_another_type_is_refused_by_name(row, text):
    with pytest.raises(ConfigError, match=row):
        parse_value(TABLE[row], text)


def test_the_shipped_file_fits_every_node():
    names = {f"/r1/{name}": name for name in PERCEPTION_NODES}
    assert check_parameter_file(share_path("config") / "perception.yaml", names) == ()
    for executable in TABLES:
        path = share_path("config") / f"{executable}.yaml"
        assert check_parameter_file(path, {"/any": executable}) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{a: [", "no YAML"),
        ("", "no 'ros__parameters'"),
        ("- 1", "no 'ros__parameters'"),
        ("/**: 3", "below '/**'"),
        ("/**:\n  threads: 1", "below '/**/threads'"),
        ("/**:\n  ros__parameters:", "expected NAME: VALUE"),
        ("/**/eyes:\n  ros__parameters: {modle: x}", "did you mean 'model'"),
        ("eyes:\n  ros__parameters: {a: {b: 1}}", None),
        ("r1:\n  eyes:\n    ros__parameters: {a: {b: 1}}", "'a.b'"),
        ("/r1/eyes:\n  ros__parameters: {imus: x}", "unknown parameter 'imus'"),
        ("/r1/gyro_corrector:\n  ros__parameters: {imus: x}", None),
        ("/**:\n  ros__parameters: {modle: x}", None),
        ("/**/other:\n  ros__parameters: {modle: x}", None),
        ("/**/eyes:\n  ros__parameters: {use_sim_time: true}", None),
        ("/**/eyes:\n  ros__parameters: {qos_overrides: {/x: {subscription: {depth: 2}}}}", None),
    ],
)
def test_says_what_is_wrong_with_a_file(file, text, said):
    path = file(text)
    if said is None:
        check_parameter_file(path, NODES)
        return
    with pytest.raises(ConfigError) as caught:
        check_parameter_file(path, NODES)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read(file, tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ConfigError, match="cannot read"):
            check_parameter_file(path, NODES)
    path = file("")
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="no YAML"):
        check_parameter_file(path, NODES)


def test_names_the_nodes_that_a_file_says_nothing_about(file):
    path = file("/**/eyes:\n  ros__parameters: {threads: 2}")
    assert check_parameter_file(path, NODES) == ("/r1/gyro_corrector",)


VALUES = {
    "a": "",
    "b": "1e3",
    "c": "true",
    "d": 'say "\\" \U0001f600 é\n',
    "e": True,
    "f": 7,
    "g": 1e-7,
    "h": 2.0,
}


def test_overrides_are_yaml_of_the_same_values():
    text = overrides_text({"/r1/eyes": VALUES, "/r1/none": {}})
    found = yaml.safe_load(text)
    assert set(found) == {"/r1/eyes"}
    assert {**found["/r1/eyes"]["ros__parameters"], "g": 1e-7} == VALUES
    assert overrides_text({}) == overrides_text({"/x": {}}) == ""


@pytest.fixture
def parameters_of(monkeypatch):
    """Return what a real node in a namespace gets from parameter files."""
    rclpy = pytest.importorskip("rclpy")
    from rclpy.node import Node

    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")

    def ask(namespace, *paths):
        context = rclpy.Context()
        files = [word for path in paths for word in ("--params-file", str(path))]
        rclpy.init(context=context, args=["--ros-args", *files])
        try:
            node = Node(
                "eyes",
                context=context,
                namespace=namespace,
                automatically_declare_parameters_from_overrides=True,
            )
            values = {name: row.value for name, row in node.get_parameters_by_prefix("").items()}
            node.destroy_node()
            return values
        finally:
            rclpy.try_shutdown(context=context)

    return ask


def test_a_node_reads_overrides_as_they_were_meant(parameters_of, tmp_path):
    path = tmp_path / "overrides.yaml"
    path.write_text(overrides_text({"/r1/eyes": VALUES}), encoding="utf-8")
    found = parameters_of("/r1", path)
    assert {name: found[name] for name in VALUES} == VALUES
    assert all(type(found[name]) is type(value) for name, value in VALUES.items())


PATTERNS = ("/**/eyes", "/**", "eyes", "/eyes", "/r1/eyes", "/*/eyes", "/r1/*", "/r1/**")
PATTERNS += ("/**/r1/eyes", "r1/eyes", "/r1/**/eyes", "/*", "/**/nose")


def test_sections_are_for_the_nodes_that_ros_takes_them_for(parameters_of, file):
    for pattern, namespace in itertools.product(PATTERNS, ("/", "/r1", "/a/r1")):
        path = file(f"{pattern}:\n  ros__parameters: {{threads: 2}}")
        name = full_name(namespace, "eyes")
        taken = "threads" in parameters_of(namespace, path)
        assert (check_parameter_file(path, {name: "image_classifier"}) == ()) is taken, (
            pattern,
            name,
        )


def test_overrides_win_over_every_usual_file(parameters_of, tmp_path):
    """Also over one for all nodes and for one; ``-p`` would lose against that."""
    last = tmp_path / "last.yaml"
    last.write_text(overrides_text({"/r1/eyes": {"threads": 9}}))
    patterns = ("/**", "/**/eyes", "/*/eyes")
    for number, order in enumerate(itertools.permutations(patterns)):
        first = tmp_path / f"{number}.yaml"
        first.write_text("\n".join(f"{p}:\n  ros__parameters: {{threads: 2}}" for p in order))
        assert parameters_of("/r1", first)["threads"] == 2
        assert parameters_of("/r1", first, last)["threads"] == 9


def test_use_sim_time_is_a_row_like_others():
    assert parse_value(USE_SIM_TIME, "true") is True
    assert math.isclose(parse_value(TABLE["warn_after_s"], "0.5"), 0.5)
