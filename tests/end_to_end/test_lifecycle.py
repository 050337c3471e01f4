import pytest
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
def test_first(lifecycle):
    project, first = lifecycle
    print(project.root, first.code, first.out[:300], first.err[-3000:])
    assert first.code == 0
