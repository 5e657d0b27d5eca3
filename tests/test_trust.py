"""Trust on the demonstration model: what it finds, that no token changes for it, and that each broken part is seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from export.demo import reference_films
from tests import trusted
from xraygpt_edge import Conversation, LoadOptions, XrayGPT
from xraygpt_edge.engine import Ask, EncodedImage
from xraygpt_edge.errors import BundleAltered, BundleIncompatible, UsageError
from xraygpt_edge.generation.answer import TokenSignal
from xraygpt_edge.generation.llama import LlamaContext
from xraygpt_edge.records import Trust
from xraygpt_edge.trust import assess, checking, metrics, panel, profile, reference
from xraygpt_edge.trust.assess import Told, assess_told
from xraygpt_edge.trust.film import seen
from xraygpt_edge.trust.profile import Profile
from xraygpt_edge.trust.reference import Observed

QUESTION = panel.REPORT_REQUEST


@pytest.fixture(autouse=True)
def few_draws_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "DRAWS", 20)


@pytest.fixture(scope="module")
def model(demo: Path) -> Iterator[XrayGPT]:
    with trusted.load(demo) as model:
        yield model


@pytest.fixture(scope="module")
def found(model: XrayGPT) -> Profile:
    """The profile in the bundle."""
    found = profile.find(model.parts.plan)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def observed(model: XrayGPT) -> Observed:
    return trusted.observe(model)


@pytest.fixture(scope="module")
def places(model: XrayGPT):
    return profile.places_of(model.parts.plan)


@pytest.fixture(scope="module")
def truth(observed: Observed, places):
    return observed.truth(reference_films.labels(trusted.SEEDS), places)


@pytest.fixture(scope="module")
def few(model: XrayGPT, observed: Observed):
    """A profile of a few films, as `make` gives it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "LEAST_FILMS", len(observed.films))
        yield reference.make(model, observed, reference_films.labels(trusted.SEEDS), "tests", created="2026-01-01")


def told(model: XrayGPT, image: EncodedImage, question: str = QUESTION) -> Told:
    asked = Ask(question)
    with model.begin_answer(image, asked, leaving=model.prefix(image)) as stream:
        return Told.of(image, asked, stream.generation())


@pytest.fixture(scope="module")
def image(model: XrayGPT, phantom: Path) -> EncodedImage:
    return model.encode(phantom)


# What it finds


def test_the_figures_hold_on_films_that_nothing_was_fitted_on(observed, truth, found, places) -> None:
    rows = {row.name: row.figure.value for row in checking.figures(observed, truth, found, places)}
    assert rows["panel, AUC"] > 0.95
    assert rows["joined, AUC"] > 0.98
    assert rows["joined, ECE"] < 0.04
    assert rows["sentences, AUC"] > 0.85
    assert rows["films unlike the reference films"] < 0.15
    assert rows["present kept"] > 0.85
    assert rows["absent kept"] > 0.93


def test_badly_seen_films_lie_farther_from_the_reference_films_than_clean_ones(model, observed, found) -> None:
    images = [
        film.encode()
        for film in trusted.films(model, reference_films.BADLY_SEEN_SEEDS[:20], reference_films.badly_seen)
    ]
    far = np.array([found.films.distance(seen(image)) for image in images])
    near = np.array([found.films.distance(one.seen) for one in observed.observations])
    distances, is_far = np.concatenate([far, near]), np.arange(len(far) + len(near)) < len(far)
    assert metrics.auc(distances, is_far) > 0.85


def test_an_answer_comes_with_everything_that_is_known_of_it(model, image, found) -> None:
    said = told(model, image)
    trust = assess_told(model, said, found, "full")
    assert trust.failed is None
    assert trust.profile == found.sha256
    assert trust.film is not None
    assert trust.film.like
    assert [said.text[s.start : s.end] for s in trust.sentences] == said.text.replace(". ", ".|").split("|")
    effusion = trust.sentences[-1]
    assert (effusion.claims[0].finding, effusion.claims[0].sides) == ("effusion", ("right",))
    assert effusion.reliance == "rests"
    assert {f.name: f.said for f in trust.findings}["effusion right"] == "present"
    assert all(f.verdict and f.p is not None for f in trust.findings)
    assert json.loads(json.dumps(asdict(trust), allow_nan=False))["level"] == "full"


def test_a_kept_record_gets_the_trust_that_the_answer_had(model, image, found) -> None:
    now = assess_told(model, told(model, image), found, "full")
    later = assess.assess(model, image, model.ask(image, QUESTION), found, "full")
    assert [s.support for s in later.sentences] == [s.support for s in now.sentences]
    np.testing.assert_allclose([f.log_odds for f in later.findings], [f.log_odds for f in now.findings], atol=0.05)
    np.testing.assert_allclose([s.entropy for s in later.sentences], [s.entropy for s in now.sentences], atol=0.05)


def test_without_a_profile_there_are_entropies_and_claims_and_no_verdict(model, image) -> None:
    trust = assess_told(model, told(model, image), None, "full")
    assert all(s.entropy is not None and s.claims and s.support == "unchecked" for s in trust.sentences)
    assert (trust.profile, trust.film, trust.findings, trust.unsaid) == (None, None, (), ())


def test_a_film_unlike_the_reference_films_gets_no_percentage_no_verdict_and_no_agreement(model, image, found) -> None:
    strange = trusted.moved(image, 3.0)
    trust = assess_told(model, told(model, strange), found, "full")
    assert trust.film is not None
    assert not trust.film.like
    assert "W-TRU-001" in trust.warnings
    assert all(f.p is None and f.verdict is None for f in trust.findings)
    assert all(s.support != "agrees" and s.score is None for s in trust.sentences)


def test_the_panel_costs_the_questions_alone_and_leaves_nothing_behind(model, image, places, decodes) -> None:
    said = told(model, image)
    decodes.clear()
    panel.ask(model, image, places)
    image_ends = len(model.prompt_ids("")[0]) + len(image.embeddings)
    spans = [span for batch in decodes for span in batch]
    assert spans[0].start == image_ends  # what all questions begin with
    assert len(decodes) == 1
    assert sum(len(span.content) for span in spans) < 6 * len(places)  # what several begin with is there once
    assert told(model, image).token_ids == said.token_ids


def test_one_panel_serves_every_answer_about_a_radiograph(model, image, found, places, decodes) -> None:
    shared = panel.ask(model, image, places, found.head.form)
    said = told(model, image)
    decodes.clear()
    trust = assess_told(model, replace(said, panel=shared), found)
    assert decodes == []
    assert [f.log_odds for f in trust.findings] == shared.z.tolist()


def test_together_or_one_after_another_the_panel_says_the_same(demo, image, model, places) -> None:
    alone = panel.ask(model, image, places)
    with XrayGPT.load(demo, LoadOptions("cpu", 1)) as many:
        threads = [many.begin_answer(image, Ask(QUESTION)) for _ in range(4)]
        answers = [stream.answer() for stream in threads]
        assert many.parts.wait_for_language().n_slots > 1
        together = panel.ask(many, image, places)
    assert len(answers) == 4
    np.testing.assert_allclose(together.z, alone.z, atol=0.05)


# No token changes


def test_the_tokens_of_an_answer_are_the_same_with_trust_and_without(demo, examples_encoded, found) -> None:
    with trusted.load(demo) as plain:
        without = [plain.ask(image, QUESTION).token_ids for image in examples_encoded]
    with trusted.load(demo) as watched:
        for level in ("fast", "full"):
            with_trust = []
            for image in examples_encoded:
                said = told(watched, image)
                assert assess_told(watched, said, found, level).failed is None
                with_trust.append(said.token_ids)
            assert with_trust == without


@pytest.mark.parametrize("level", ["fast", "full"])
def test_a_conversation_says_the_same_with_trust_and_without_and_computes_no_turn_again(
    demo, image, found, level, decodes
) -> None:
    def talk(model: XrayGPT, *, trusting: bool) -> tuple[list[tuple[int, ...]], list[int]]:
        conversation, said, costs = Conversation(model, image), [], []
        for question in (QUESTION, "Is there a right pleural effusion?", "How is the heart?"):
            decodes.clear()
            said.append(conversation.ask(question).token_ids)
            costs.append(sum(len(span.content) for batch in decodes for span in batch))
            if trusting and conversation.last:
                trust = assess_told(model, Told.of(image, *conversation.last), found, level)
                assert trust.failed is None
        return said, costs

    with trusted.load(demo) as model:
        without = talk(model, trusting=False)
    with trusted.load(demo) as model:
        assert talk(model, trusting=True) == without


def test_answers_of_many_at_once_are_the_same_with_trust_and_without(demo, examples_encoded, found) -> None:
    tasks = [(image, QUESTION) for image in examples_encoded for _ in range(2)]
    with XrayGPT.load(demo, LoadOptions("cpu", 1)) as model:
        without = [answer.token_ids for answer in model.ask_all(tasks)]
        streams = [
            (image, model.begin_answer(image, Ask(question), leaving=model.prefix(image))) for image, question in tasks
        ]
        with_trust = []
        for image, stream in streams:  # the panel of one is asked while the next ones are answered
            generation = stream.generation()
            trust = assess_told(model, Told.of(image, Ask(QUESTION), generation), found, "full")
            assert trust.failed is None
            with_trust.append(generation.token_ids)
    assert with_trust == without


@pytest.fixture(scope="module")
def examples_encoded(model: XrayGPT, root: Path) -> list[EncodedImage]:
    return [model.encode(path) for path in sorted((root / "examples").glob("*.dcm"))[:3]]


# What is broken is seen


def test_an_image_path_that_sees_nothing_agrees_with_itself_and_is_found_out(model, monkeypatch) -> None:
    monkeypatch.setattr(reference, "LEAST_FILMS", 12)
    blind = reference.observe_all(model, trusted.constant(model, trusted.SEEDS[:12]))
    found = reference.make(model, blind, reference_films.labels(trusted.SEEDS[:12]), "tests")
    assert not found.moves.any()
    trust = assess_told(model, told(model, blind.films[0].encode()), found, "full")
    assert {f.verdict for f in trust.findings} == {"image-independent"}
    assert all(s.support == "unchecked" for s in trust.sentences)
    assert "W-TRU-002" in trust.warnings


def test_a_weakened_image_path_is_told_from_a_whole_one(model, observed, found) -> None:
    from export import trust_profile

    images = [film.encode() for film in observed.films[:6]]
    mean = np.mean([image.embeddings for image in images], axis=0)
    full, weak = (trust_profile.nats(model, images, found, mean, strength)[1] for strength in (1.0, 0.1))
    assert metrics.auc(np.concatenate([full, weak]), np.arange(len(full) + len(weak)) < len(full)) > 0.97
    assert (full < found.head.reliance_bound_nats).mean() < 0.1
    assert (weak < found.head.reliance_bound_nats).mean() > 0.9


def auc_of_panel(observed: Observed, truth, found, places) -> float:
    return {row.name: row.figure.value for row in checking.figures(observed, truth, found, places)}["panel, AUC"]


def test_questions_with_the_sides_exchanged_are_found_out(model, observed, truth, found, places) -> None:
    other = {"right": "left", "left": "right"}
    swapped = [
        replace(place, question=place.question.replace(place.side, other[place.side])) if place.side else place
        for place in places
    ]
    sided = [k for k, place in enumerate(places) if place.side]
    z = np.stack([panel.ask(model, film.encode(), swapped).z for film in observed.films])
    assert metrics.auc(observed.z[:, sided].ravel(), truth[:, sided].ravel() == 1) > 0.95
    assert metrics.auc(z[:, sided].ravel(), truth[:, sided].ravel() == 1) < 0.8


def test_yes_and_no_exchanged_are_found_out(model, observed, truth, places, monkeypatch) -> None:
    monkeypatch.setattr(panel, "YES", panel.NO)
    monkeypatch.setattr(panel, "NO", ("Yes", "yes"))
    z = np.stack([panel.ask(model, film.encode(), places).z for film in observed.films[:15]])
    assert metrics.auc(z.ravel(), truth[:15].ravel() == 1) < 0.1


def test_shuffled_labels_leave_nothing(observed, truth, found, places) -> None:
    random = np.random.default_rng(0)
    aucs = [metrics.auc(observed.z.ravel(), truth[random.permutation(len(truth))].ravel() == 1) for _ in range(20)]
    flat = truth[:, random.permutation(truth.shape[1])][random.permutation(len(truth))]
    assert 0.4 < auc_of_panel(observed, flat, found, places) < 0.6
    assert 0.45 < np.mean(aucs) < 0.6


def test_a_profile_is_not_checked_on_its_own_films(observed, few) -> None:
    with pytest.raises(UsageError, match="24 of 24"):
        checking.require_other_films(observed, few)


@pytest.mark.parametrize("signal", ["entropy", "film", "panel", "reliance"])
def test_a_signal_that_is_no_number_is_a_line_and_never_a_failed_answer(
    model, image, found, signal: str, monkeypatch
) -> None:
    said = told(model, image)
    nan = float("nan")
    if signal == "entropy":
        said = replace(said, signals=tuple(TokenSignal(s.piece, nan, s.log_probability) for s in said.signals))
    elif signal == "film":
        said = replace(said, image=trusted.moved(image, nan))
    elif signal == "panel":
        said = replace(said, panel=panel.Panel(np.full(13, nan), np.ones(13)))
    else:
        said = replace(said, signals=tuple(TokenSignal(s.piece, s.entropy, nan) for s in said.signals))
    trust = assess_told(model, said, found, "full")
    assert trust.failed is not None
    assert trust.failed.startswith("E-RUN-031")
    assert "nan" not in json.dumps(asdict(trust), allow_nan=False)


def test_a_decode_that_fails_in_the_panel_is_a_line_and_the_next_answer_comes(model, image, found, monkeypatch) -> None:
    said = told(model, image)
    with monkeypatch.context() as failing:
        failing.setattr(LlamaContext, "decode", lambda *_: 1 / 0)
        trust = assess_told(model, said, found)
    assert trust.failed == "E-BUG-001 (panel)"
    assert trust.film is not None
    assert told(model, image).token_ids == said.token_ids


def test_a_model_that_does_not_answer_gets_no_verdict(model, image, found) -> None:
    silent = panel.read(np.zeros((13, 1000), np.float32), [5], [6])
    trust = assess_told(model, replace(told(model, image), panel=silent), found)
    assert {f.verdict for f in trust.findings} == {"unanswered"}
    assert all(s.support == "unchecked" for s in trust.sentences)


def test_a_vocabulary_in_which_yes_and_no_begin_alike_answers_nothing() -> None:
    assert panel.read(np.zeros((2, 9), np.float32), [], []).mass.tolist() == [0, 0]


# The profile


def test_a_profile_is_read_as_it_was_written_and_the_same_one_gives_the_same_bytes(model, few, tmp_path) -> None:
    profile.save(few, tmp_path / "a.npz")
    again = profile.load(tmp_path / "a.npz", model.parts.plan)
    assert profile.encoded(again) == (tmp_path / "a.npz").read_bytes() == profile.encoded(few)
    assert len(again.sha256) == 64


def test_a_profile_holds_no_name_and_no_picture_of_a_film(model, few) -> None:
    data = profile.encoded(few)
    assert not any(film.encode() in data for film in map(str, trusted.SEEDS))
    assert max(len(part) for part in map(bytes, few.film_hashes)) == 16


@pytest.mark.parametrize("choice", [{"vision": "fp32"}, {"language": "F16"}])
def test_a_profile_of_other_files_is_refused(demo: Path, choice: dict[str, str]) -> None:
    with XrayGPT.load(demo, "cpu", threads=1, **choice) as other, pytest.raises(BundleIncompatible) as refused:
        profile.find(other.parts.plan)
    assert refused.value.error_id == "E-TRU-001"


def test_a_damaged_profile_is_refused_whatever_is_changed(model, few, tmp_path: Path) -> None:
    data, path = bytearray(profile.encoded(few)), tmp_path / "damaged.npz"
    random = np.random.default_rng(1)
    for place in random.integers(len(data), size=60):
        changed = data.copy()
        changed[place] ^= 0x40
        path.write_bytes(changed)
        try:
            again = profile.load(path, model.parts.plan)
        except (BundleAltered, BundleIncompatible):
            continue
        assert profile.encoded(again) == bytes(data)  # a byte that means nothing, such as a date in the archive
    for end in (0, 10, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(BundleAltered):
            profile.load(path, model.parts.plan)


def test_a_pickle_in_a_profile_is_never_run(model, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    np.savez(tmp_path / "evil.npz", head=np.array([Bomb()], dtype=object))
    with pytest.raises(BundleAltered):
        profile.load(tmp_path / "evil.npz", model.parts.plan)
    assert not (tmp_path / "ran").exists()


def test_a_profile_that_unpacks_to_more_than_a_profile_may_have_is_refused(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(profile, "MOST_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "bomb.npz", head=np.zeros(1 << 24, np.uint8))
    with pytest.raises(BundleAltered):
        profile.load(tmp_path / "bomb.npz", model.parts.plan)


def test_a_clinic_s_own_profile_beside_the_bundle_comes_first(model, few, tmp_path, demo, monkeypatch) -> None:
    own = tmp_path / "own.npz"
    profile.save(few, own)
    monkeypatch.setattr(profile, "site_path", lambda _: own)
    assert profile.find(model.parts.plan).head.source == "tests"


def test_too_few_films_make_no_profile(model, observed, monkeypatch) -> None:
    monkeypatch.setattr(reference, "LEAST_FILMS", len(observed.films) + 1)
    with pytest.raises(UsageError, match="24 could be read"):
        reference.make(model, observed, {}, "tests")


def test_without_labels_there_is_order_and_no_percentage(model, observed, image, monkeypatch) -> None:
    monkeypatch.setattr(reference, "LEAST_FILMS", len(observed.films))
    unlabelled = reference.make(model, observed, {}, "tests")
    trust: Trust = assess_told(model, told(model, image), unlabelled)
    assert trust.failed is None
    assert all(f.p is None for f in trust.findings)
    assert {f.verdict for f in trust.findings} <= {"present", "absent", "unsure"}
    assert all(s.score is not None for s in trust.sentences)
