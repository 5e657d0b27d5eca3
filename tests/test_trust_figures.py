"""The arithmetic of trust, on numbers alone: distances, probabilities, bands of doubt, areas under curves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xraygpt_edge.errors import BundleIncompatible
from xraygpt_edge.findings import Place
from xraygpt_edge.generation.sampler import log_probabilities, uncertainty
from xraygpt_edge.trust import calibration, film, metrics, reliance, support
from xraygpt_edge.trust.claims import Claim, Sentence

RANDOM = np.random.default_rng(3)
PLACES = (
    Place("effusion right", "effusion", "right"),
    Place("effusion left", "effusion", "left"),
    Place("oedema", "oedema"),
)


def decisions(n: int = 600, slope: float = 1.0, seed: int = 0):
    """Log-odds that are calibrated by their making, with what is true."""
    random = np.random.default_rng(seed)
    z = random.normal(-1, 3, (n, 3))
    return z, random.random((n, 3)) < 0.3, (random.random((n, 3)) < calibration.sigmoid(slope * z)).astype(np.int8)


def test_the_entropy_and_the_probability_of_a_token_are_those_of_the_softmax() -> None:
    logits = RANDOM.normal(0, 4, 32_000).astype(np.float32)
    log_p = log_probabilities(logits).astype(np.float64)
    entropy, log_probability = uncertainty(logits, 123)
    assert entropy == pytest.approx(-(np.exp(log_p) * log_p).sum(), abs=1e-3)
    assert log_probability == pytest.approx(log_p[123], abs=1e-4)


@pytest.mark.parametrize("sure", [0.0, 60.0, 300.0])
def test_the_entropy_of_a_certain_token_is_zero_and_of_equal_ones_the_logarithm_of_their_number(sure: float) -> None:
    logits = np.zeros(1000, np.float32)
    logits[7] = sure
    assert uncertainty(logits, 7)[0] == pytest.approx(0 if sure else np.log(1000), abs=1e-4)


def test_a_film_among_the_reference_films_is_near_and_one_in_another_direction_is_far() -> None:
    films = RANDOM.normal(0, 1, (200, 20)) @ np.diag(np.linspace(3, 0.1, 20))
    reference = film.fit(films)
    assert len(reference.axes) == 19
    distances = np.array([reference.distance(one) for one in films])
    assert (distances > reference.threshold).mean() <= 0.02
    strange = np.zeros(20)
    strange[-1] = 5
    assert reference.distance(strange) > 10 * reference.threshold


def test_the_threshold_of_a_film_comes_from_films_that_were_held_out() -> None:
    films = RANDOM.normal(0, 1, (60, 200))
    reference = film.fit(films)
    own = np.quantile([reference.distance(one) for one in films], 0.99)
    assert reference.threshold > 1.2 * own


def test_films_that_do_not_differ_have_a_distance_and_another_film_is_far_from_them() -> None:
    reference = film.fit(np.ones((50, 8)))
    assert reference.distance(np.ones(8)) <= reference.threshold
    assert reference.distance(np.full(8, 2.0)) > reference.threshold


def test_a_film_of_another_length_than_the_reference_films_is_another_model_s() -> None:
    with pytest.raises(BundleIncompatible):
        film.fit(RANDOM.normal(0, 1, (60, 8))).distance(np.zeros(1))


def test_several_image_embeddings_are_measured_by_their_mean_beside_their_deviation() -> None:
    rows = RANDOM.normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_allclose(film.features(rows), np.concatenate([rows.mean(0), rows.std(0)]), rtol=1e-5)
    np.testing.assert_array_equal(film.features(rows[:1]), rows[0])


def test_probabilities_are_those_that_made_the_labels() -> None:
    z, said, truth = decisions(2000, slope=0.7)
    found = calibration.fit(z, said, truth)
    assert found.joined.slope == pytest.approx(0.7, abs=0.08)
    z, said, truth = decisions(2000, slope=0.7, seed=1)
    assert metrics.calibration_error(found.joined.probabilities(z, said).ravel(), truth.ravel() == 1) < 0.03


@pytest.mark.parametrize("epsilon", [0.02, 0.1])
def test_of_each_class_the_promised_share_is_kept_on_other_films(epsilon: float) -> None:
    found = calibration.fit(*decisions(3000), epsilon)
    z, said, truth = decisions(3000, seed=1)
    p = found.joined.probabilities(z, said)
    kept = np.where(truth == 1, p >= found.band.present_from, p <= found.band.absent_to)
    for value in (0, 1):
        assert kept[truth == value].mean() == pytest.approx(1 - epsilon, abs=0.02)


def test_a_finding_has_thresholds_of_its_own_only_with_enough_cases_of_each_class() -> None:
    z, said, truth = decisions(400)
    truth[:, 2] = 0
    truth[:20, 2] = 1
    assert calibration.fit(z, said, truth).band.own.tolist() == [True, True, False]


def test_too_few_scores_keep_every_class() -> None:
    assert calibration.conformal_quantile(np.array([0.1] * 10), 0.02) == 1.0
    assert calibration.conformal_quantile(np.linspace(0, 0.99, 100), 0.02) == pytest.approx(0.98)


def test_labels_of_one_class_alone_are_too_few() -> None:
    z, said, truth = decisions(40)
    with pytest.raises(ValueError, match="labels"):
        calibration.fit(z, said, np.zeros_like(truth))


LAST_BIT = 2**-52
"""numpy's exponential may differ in it between places of one array."""


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=20), st.booleans())
@example(values=[0.0, -6.977584381778062e-17], said=False)
def test_verdicts_never_fall_where_log_odds_rise(values, said) -> None:
    found = calibration.fit(*decisions())
    rank = {"absent": 0, "unsure": 1, "present": 2}
    z = np.sort(np.array(values))[:, None] * np.ones(3)
    p = found.joined.probabilities(z, np.full(z.shape, said))
    assert (np.diff(p, axis=0) >= -LAST_BIT).all()
    for finding in range(3):
        verdicts = [rank[found.band.verdict(finding, float(one))] for one in p[:, finding]]
        assert verdicts == sorted(verdicts)


def test_a_panel_that_says_the_opposite_of_the_truth_gets_no_say() -> None:
    z, said, truth = decisions()
    assert calibration.fit(-z, said, truth).joined.slope == 0


def test_the_area_under_the_curve_counts_pairs_and_ties_half() -> None:
    scores, positive = np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, True, False, True])
    assert metrics.auc(scores, positive) == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert np.isnan(metrics.auc(scores, np.zeros(4, bool)))


def test_an_interval_draws_whole_films_and_holds_the_value() -> None:
    film_of = np.repeat(np.arange(50), 10)
    wrong = np.repeat(RANDOM.random(50) < 0.3, 10)
    figure = metrics.over_films(lambda flags: float(flags.mean()), film_of, wrong)
    assert figure.low < figure.value < figure.high
    assert figure.high - figure.low > 0.15  # as of 50 films, not of 500 rows


def sentence(*claims: Claim) -> Sentence:
    return Sentence("", 0, 0, (0, 1), claims)


@pytest.mark.parametrize(
    ("claim", "v"),
    [
        (Claim("effusion", ("right",), "", "present"), 3.0),
        (Claim("effusion", ("left",), "", "present"), -1.0),
        (Claim("effusion", ("right", "left"), "", "present"), -1.0),
        (Claim("effusion", (), "", "present"), 3.0),
        (Claim("effusion", (), "", "absent"), -3.0),
        (Claim("effusion", ("left",), "", "absent"), 1.0),
        (Claim("oedema", (), "", "absent"), 5.0),
        (Claim("oedema", (), "", "unsure"), None),
        (Claim("nodule", (), "", "present"), None),
    ],
)
def test_a_claim_is_as_likely_as_the_panel_says_of_the_places_that_it_speaks_of(claim: Claim, v: float | None) -> None:
    found = support.evidence_of(sentence(claim), 0.5, np.array([3.0, -1.0, -5.0]), PLACES)
    assert (found and found.v) == v


def test_a_sentence_is_as_likely_as_its_least_likely_claim_and_what_does_not_count_is_left_out() -> None:
    claims = (Claim("effusion", ("right",), "", "present"), Claim("oedema", (), "", "absent"))
    assert support.evidence_of(sentence(*claims), 0.5, np.array([3.0, -1.0, -5.0]), PLACES).v == 3
    assert support.evidence_of(sentence(*claims), 0.5, np.array([np.nan, -1.0, -5.0]), PLACES).v == 5
    assert support.evidence_of(sentence(*claims), 0.5, np.full(3, np.nan), PLACES) is None


def test_a_sentence_is_wrong_that_states_what_is_not_there_or_denies_what_is() -> None:
    truth = np.array([1, 0, -1], np.int8)
    wrong = {
        claim: support.is_wrong(sentence(claim), truth, PLACES)
        for claim in (
            Claim("effusion", ("right",), "", "present"),
            Claim("effusion", ("left",), "", "present"),
            Claim("effusion", (), "", "absent"),
            Claim("effusion", ("left",), "", "absent"),
            Claim("oedema", (), "", "present"),
        )
    }
    assert list(wrong.values()) == [False, True, True, False, None]


def evidence(n: int = 400):
    """Sentences that the rarer are wrong the higher v and the lower the entropy."""
    random = np.random.default_rng(5)
    rows = [
        support.Evidence(float(v), float(h), bool(s))
        for v, h, s in zip(random.normal(3, 3, n), random.gamma(2, 1, n), random.random(n) < 0.5, strict=True)
    ]
    return rows, [bool(random.random() < 1 / (1 + np.exp(row.v - row.entropy))) for row in rows]


def test_the_score_of_a_sentence_is_lower_for_wrong_ones_with_labels_and_without() -> None:
    rows, wrong = evidence()
    right = ~np.array(wrong)
    learnt, unlabelled = support.fit(rows, wrong, 2.0), support.fit(rows, [None] * len(rows), 2.0)
    assert len(unlabelled.weights) == 0
    assert metrics.auc(learnt.score(rows), right) > 0.9
    assert metrics.auc(unlabelled.score(rows), right) > 0.85
    for model in (learnt, unlabelled):
        verdicts = [model.verdict(row, float(s)) for row, s in zip(rows, model.score(rows), strict=True)]
        assert sum(v == "agrees" for v in verdicts) >= 0.75 * len(rows)
        assert all(v == "contradicted" for v, row in zip(verdicts, rows, strict=True) if row.v < -2)


def test_contrast_films_are_the_most_normal_one_and_few_that_show_every_finding() -> None:
    z = np.array([[-3, -4, -5], [-9, -8, -7], [5, -3, 4], [-3, 6, -2], [5, -3, -3]], float)
    assert reliance.choose(z) == [1, 2, 3]


@pytest.mark.parametrize(("found", "bound"), [([0.0] * 9, 0.1), ([1.0] * 9, 0.5), ([40.0] * 9, 1.0), ([], 1.0)])
def test_the_bound_of_little_is_half_of_what_the_least_sentences_have_within_limits(found, bound) -> None:
    assert reliance.bound(found) == pytest.approx(bound)
