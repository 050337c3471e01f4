"""Who becomes champion."""

from tasks.registry.gate import Score, decide


def test_the_first_version_is_champion() -> None:
    decision = decide("f1", Score(0.1, "a"), champion=None, known=None, again=None)
    assert decision.alias == "champion"
    assert decision.text == "champion: the first version; f1 0.1000"


def test_an_equal_version_takes_over_and_a_worse_one_does_not() -> None:
    known = Score(0.5, "a")
    assert (
        decide("f1", Score(0.5, "a"), 3, known, None).text
        == "champion: f1 0.5000 is not below 0.5000 of version 3 on the same evaluation set"
    )
    assert decide("f1", Score(0.4, "a"), 3, known, None).alias == "challenger"


def test_on_another_evaluation_set_the_champion_is_judged_by_its_score_there() -> None:
    decision = decide("f1", Score(0.4, "b"), 3, known=Score(0.9, "a"), again=Score(0.3, "b"))
    assert decision.alias == "champion"
    assert decision.text.endswith("0.3000 of version 3 on the new evaluation set, on which it was evaluated again")
    assert decision.evidence["champion_when_registered"] == {"value": 0.9, "evaluation": "a"}
    assert decision.evidence["champion_on_this_set"] == {"value": 0.3, "evaluation": "b"}


def test_scores_on_different_sets_are_not_compared() -> None:
    decision = decide("f1", Score(0.9, "b"), 3, known=Score(0.1, "a"), again=None)
    assert decision.alias == "challenger"
    assert "never evaluated on this evaluation set" in decision.text
