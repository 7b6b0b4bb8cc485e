import json

import numpy as np
import pytest

pytest.importorskip("torch")

from nn_perception.cli.main import main
from nn_perception.datasets.uwb_data import load_uwb_data
from nn_perception.datasets.uwb_simulated import simulate_uwb
from nn_perception.errors import DatasetError
from nn_perception.studies.uwb_curves import ADAPTED, CONSTANTS, OTHERS, SCRATCH
from nn_perception.studies.uwb_rooms import chosen_flights, load_flights, write_rooms

QUICK = {"epochs": 2, "task_arguments": {"rows": 60, "made_up": 300}}
WORDS = ("--simulated", "--flights", "simulated_1", "--minutes", 0.25, 0, 3)
ROOM_S = 80.0


@pytest.fixture(autouse=True)
def short_rooms_and_trainings(monkeypatch):
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setattr("nn_perception.studies.uwb_adaptation.SIMULATED_TRAINING", QUICK)
    monkeypatch.setattr("nn_perception.studies.uwb_rooms.ROOM_S", ROOM_S)


def run(capsys, *words):
    code = main(["study", "uwb-adaptation", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.long
def test_a_simulated_run_judges_all_ways_on_the_same_rest(capsys, tmp_path):
    words = (*WORDS, "--out", tmp_path / "out", "--json", "-")
    code, out, err = run(capsys, *words)
    assert code == 0
    assert "no point at 3 minutes" in err
    assert (tmp_path / "out" / "index.html").is_file()
    figures = json.loads(out)
    assert (figures["study"], figures["site"]) == ("uwb-adaptation", "simulated")
    (curve,) = figures["flights"]
    assert curve["name"] == "simulated_1"
    assert curve["judged_from_s"] == pytest.approx(0.6 * curve["duration_s"])
    before, after = (point["rmse_m"] for point in curve["points"])
    assert (before[SCRATCH], before[CONSTANTS]) == (None, None)
    assert before[OTHERS] == after[OTHERS]

    # The constants by hand, from the files.
    rooms = {s.name: s for s in load_uwb_data(tmp_path / "out" / "work" / "rooms")}
    room = rooms.pop("simulated_1")
    good, late = ~room.outlier, room.time_s > 0.6 * room.duration_s
    error = room.range_m - np.linalg.norm(room.tag_position_m - room.anchor_position_m, axis=1)
    left = error.copy()
    for anchor in range(4):
        mine = room.anchor == anchor
        left[mine] -= error[mine & good & (room.time_s <= 15.0)].mean()
    assert after[CONSTANTS] == pytest.approx(np.sqrt((left[good & late] ** 2).mean()), abs=1e-5)
    assert curve["ranges"] == (good & late).sum()
    assert curve["raw_rmse_m"] == pytest.approx(np.sqrt((error[good & late] ** 2).mean()))
    others = np.concatenate([s.error_m[~s.outlier] for s in rooms.values()]).mean()
    rest = error[good & late] - others
    assert before[OTHERS] == pytest.approx(np.sqrt((rest**2).mean()), abs=1e-5)
    assert after[ADAPTED] < curve["raw_rmse_m"]

    # Again: nothing is trained, the figures stay; another seed: all is trained.
    code, out, err = run(capsys, *words)
    assert (code, json.loads(out)["flights"]) == (0, figures["flights"])
    assert err.count("trained already") == 3
    _, _, err = run(capsys, *words, "--seed", 1)
    assert "trained already" not in err


def test_rooms_are_read_as_they_were_simulated(tmp_path):
    write_rooms(tmp_path, 2, 2.0)
    first, second = load_flights(tmp_path, "simulated")
    exact = simulate_uwb(1, duration_s=2.0, anchors=4)
    assert (second.name, second.source) == ("simulated_1", "simulated")
    assert np.allclose(second.error_m, exact.error_m, atol=1e-6)
    assert np.allclose(second.position_m, exact.position_m, atol=1e-6)
    assert np.allclose(second.orientation_xyzw, exact.orientation_xyzw, atol=1e-6)
    assert [flight.name for flight in chosen_flights([first, second], [])] == [
        "simulated_0",
        "simulated_1",
    ]
    with pytest.raises(DatasetError, match="there are: simulated_0, simulated_1"):
        chosen_flights([first, second], ["simulated_7"])
    with pytest.raises(DatasetError, match="choose --site from: simulated"):
        load_flights(tmp_path, "drone")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--minutes", -1), "minutes: got -1"),
        (("--minutes", 0), "one above 0"),
        (("--threads", 0), "threads: got 0"),
        (("--flights", "simulated_9"), "there is no flight 'simulated_9'"),
        (("--data", "/nowhere"), "does not exist"),
    ],
)
def test_bad_arguments_give_exit_code_2_and_one_line(capsys, tmp_path, words, part):
    code, out, err = run(capsys, *words, "--out", tmp_path, "--json", "-")
    assert (code, out) == (2, "")
    assert part in err.strip().splitlines()[-1]


def test_flights_that_leave_nothing_to_judge_are_told(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("nn_perception.studies.uwb_rooms.ROOM_S", 40.0)
    code, _, err = run(capsys, "--simulated", "--out", tmp_path)
    assert code == 2
    assert "simulated_2 lasts 40 s, which leaves less than 30 s to judge" in err
