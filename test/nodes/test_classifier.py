def test_smoke(classifier):
    node, client = classifier
    print(client.wait_for_diagnostics(lambda d: int(d["published"]) > 0))
