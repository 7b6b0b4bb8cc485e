from nn_perception.bench import BenchSettings, load


def test_few_frames_are_read(tmp_path, monkeypatch):
    """With made-up scenes and the built-in digits: the figures are there, whatever they are."""
    monkeypatch.delenv("NN_PERCEPTION_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said: list[str] = []
    rows = load("digit-frames")(BenchSettings(work=tmp_path, quick=True), said.append)
    assert "20 frames" in said[0]
    found, read = rows
    assert 0.5 < read.value <= found.value <= 1.0
    assert found.passed == (found.value >= 0.98)
    assert "seed 1999" in found.detail
