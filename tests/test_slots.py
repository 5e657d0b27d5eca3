"""The cache as slots, over llama.cpp's own: what each holds, and how it gets from one to another."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import write_language
from xraygpt_edge.devices import Device
from xraygpt_edge.generation.context_tokens import ContextTokens, Keys, agreeing
from xraygpt_edge.generation.llama import LlamaContext, LlamaModel, Span
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.slots import Pins, Slot, Slots

CPU = Device("cpu", 1)
START = (1, 270, 271, 272)
FIRST, SECOND, THIRD = ((*START, 280 + n, 281 + n) for n in (0, 10, 20))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaModel]:
    model = LlamaModel(write_language(tmp_path_factory.mktemp("language") / "language-F32.gguf"), CPU)
    yield model
    model.close()


@pytest.fixture
def slots(model: LlamaModel) -> Iterator[Slots]:
    slots = slots_over(model, 3)
    yield slots
    slots.context.close()


def slots_over(model: LlamaModel, n_slots: int, pins: Pins | None = None, n_ctx: int = 256) -> Slots:
    return Slots(LlamaContext(model, n_ctx, 64, 1, n_slots), n_slots, pins or Pins())


def keys(token_ids: tuple[int, ...]) -> Keys:
    return np.array(token_ids, np.int64)


def compute(slots: Slots, slot: Slot, token_ids: tuple[int, ...]) -> NDArray[np.float32]:
    """Decode what a slot lacks of these tokens; logits (n_vocab,) behind the last."""
    missing = np.array(token_ids[slot.n_computed :], np.int32)
    (logits,) = slots.context.decode([Span(missing, slot.n_computed, slot.number, 1)])
    slot.keys = keys(token_ids)
    return logits[-1]


def claimed(slots: Slots, token_ids: tuple[int, ...], shared: int = 0) -> tuple[Slot, NDArray[np.float32]]:
    """A slot with these tokens computed, as many shared as may be."""
    slot = slots.claim(keys(token_ids[:shared]))
    return slot, compute(slots, slot, token_ids)


def pinned(slots: Slots, model: LlamaModel, token_ids: tuple[int, ...]) -> Prefix:
    """A prefix that is computed, in a slot that is free again."""
    prefix = Prefix(Prompt((token_ids,)))
    prefix.prepare(model)
    slots._pins.add(prefix)
    slot, _ = claimed(slots, token_ids)
    slots.release(slot, 0)
    return prefix


def held(slots: Slots) -> list[tuple[int, ...]]:
    return sorted(tuple(slot.keys.tolist()) for slot in slots._slots)


def test_a_new_sequence_has_a_slot_to_itself_until_none_is_free(slots: Slots) -> None:
    taken = [slots.claim(keys(())) for _ in range(3)]
    assert sorted(slot.number for slot in taken) == [0, 1, 2]
    assert slots.free == 0
    with pytest.raises(ValueError, match="empty"):
        slots.claim(keys(()))
    slots.release(taken[1], 0)
    assert slots.free == 1
    assert slots.claim(keys(())) is taken[1]


def test_what_may_be_shared_is_copied_also_from_a_slot_in_use_and_gives_the_same_bits(
    slots: Slots, model: LlamaModel
) -> None:
    _, first = claimed(slots, FIRST)
    copied = slots.claim(keys(START))
    assert copied.n_computed == len(START)
    np.testing.assert_array_equal(compute(slots, copied, FIRST), compute_alone(model, FIRST, len(START)))
    other, logits = claimed(slots, SECOND, shared=len(START))
    np.testing.assert_array_equal(logits, compute_alone(model, SECOND, len(START)))
    np.testing.assert_allclose(first, compute_alone(model, FIRST, len(START)), atol=1e-4, rtol=0)
    assert other.number != copied.number


def compute_alone(model: LlamaModel, token_ids: tuple[int, ...], border: int) -> NDArray[np.float32]:
    """In a context of its own, in one decode up to the border and one behind it."""
    slots = slots_over(model, 1)
    slot = slots.claim(keys(()))
    if border:
        compute(slots, slot, token_ids[:border])
    logits = compute(slots, slot, token_ids)
    slots.context.close()
    return logits


def test_nothing_is_shared_but_what_the_claim_names(slots: Slots) -> None:
    slot, _ = claimed(slots, FIRST)
    slots.release(slot, len(FIRST))
    assert [slots.claim(keys(())).n_computed for _ in range(3)] == [0, 0, 0]


def test_a_slot_that_is_given_back_keeps_what_it_may_and_no_more(slots: Slots) -> None:
    slot, _ = claimed(slots, FIRST)
    slots.release(slot, len(START))
    assert held(slots) == [(), (), START]
    again = slots.claim(keys(FIRST))
    assert again is slot
    assert again.n_computed == len(START)


def test_a_slot_that_is_given_back_keeps_a_whole_prefix_that_is_pinned(slots: Slots, model: LlamaModel) -> None:
    prefix = pinned(slots, model, START)
    slot, _ = claimed(slots, FIRST, shared=len(START))
    slots.release(slot, 0)
    assert held(slots) == [(), (), START]
    prefix.close()
    slots.release(slot, 0)
    assert held(slots) == [(), (), ()]


def test_a_prefix_is_pinned_until_it_is_closed_or_nobody_has_it(slots: Slots, model: LlamaModel) -> None:
    one, other = pinned(slots, model, FIRST), pinned(slots, model, SECOND)
    slots._pins.add(one)
    assert sorted(map(len, slots._pins.all())) == [len(FIRST), len(SECOND)]
    with one:
        pass
    assert [tuple(pin.tolist()) for pin in slots._pins.all()] == [SECOND]
    del other
    gc.collect()
    assert slots._pins.all() == []


def test_others_take_the_slot_whose_loss_costs_least(slots: Slots, model: LlamaModel) -> None:
    first, second = pinned(slots, model, FIRST), pinned(slots, model, SECOND)
    free, _ = claimed(slots, THIRD)
    slots.release(free, 0)
    assert slots.claim(keys(())) is free
    slots.release(free, 0)
    second.close()
    claims = [slots.claim(keys(())), slots.claim(keys(()))]
    assert held(slots) == [(), (), FIRST]
    assert claims[0] is not claims[1]
    assert not first.closed


def test_among_equals_the_slot_that_was_used_least_lately_is_taken(slots: Slots) -> None:
    taken = [slots.claim(keys(())) for _ in range(3)]
    for slot in reversed(taken):
        slots.release(slot, 0)
    assert [slots.claim(keys(())) for _ in range(3)] == taken


def test_a_slot_moves_into_the_gap_before_it_with_not_a_bit_changed(slots: Slots, model: LlamaModel) -> None:
    gone, stays, last = (claimed(slots, ids)[0] for ids in (FIRST, SECOND, THIRD))
    slots.release(gone, 0)
    slots.close_gaps()
    assert sorted(slot.number for slot in (stays, last)) == [0, 1]
    assert gone.number == 2
    for slot, token_ids in ((stays, SECOND), (last, THIRD)):
        further = compute(slots, slot, (*token_ids, 300))
        np.testing.assert_array_equal(further, compute_alone(model, (*token_ids, 300), len(token_ids)))
    again, logits = claimed(slots, FIRST)
    assert again is gone
    np.testing.assert_array_equal(logits, compute_alone(model, FIRST, 0))


def test_a_gap_stays_where_a_prefix_would_be_lost(slots: Slots, model: LlamaModel) -> None:
    prefix = pinned(slots, model, FIRST)
    slot, _ = claimed(slots, SECOND)
    slots.close_gaps()
    assert FIRST in held(slots)
    prefix.close()
    slots.close_gaps()
    assert slot.number == 0


def test_a_gap_is_closed_over_a_prefix_that_the_moving_slot_holds_as_well(slots: Slots, model: LlamaModel) -> None:
    prefix = pinned(slots, model, START)
    one, _ = claimed(slots, FIRST, shared=len(START))
    two, _ = claimed(slots, SECOND, shared=len(START))
    slots.release(one, 0)
    slots.close_gaps()
    assert (two.number, one.number) == (0, 1)
    assert held(slots) == [(), START, SECOND]
    assert not prefix.closed


@pytest.mark.parametrize(("n_slots", "n_ctx"), [(3, 256), (3, 512)])
def test_pinned_prefixes_go_over_into_a_longer_context_with_not_a_bit_changed(
    slots: Slots, model: LlamaModel, n_slots: int, n_ctx: int
) -> None:
    prefixes = [pinned(slots, model, ids) for ids in (FIRST, SECOND)]
    left = claimed(slots, THIRD)[0]
    slots.release(left, len(START))
    kept = list(slots.pinned())
    larger = slots_over(model, n_slots, slots._pins, n_ctx)
    assert [larger.restore(*one) for one in kept] == [True, True]
    assert sorted(filter(None, held(larger))) == [FIRST, SECOND]
    for ids in (FIRST, SECOND):
        _, logits = claimed(larger, (*ids, 300), shared=len(ids))
        np.testing.assert_array_equal(logits, compute_alone(model, (*ids, 300), len(ids)))
    larger.context.close()
    assert len(prefixes) == 2


def test_nothing_is_saved_while_a_copy_is_pending(slots: Slots, model: LlamaModel) -> None:
    """llama.cpp copies only when it decodes next."""
    prefix = pinned(slots, model, FIRST)
    first, second = (slots.claim(keys(FIRST)) for _ in range(2))
    for slot in (first, second):
        slots.release(slot, 0)
    assert list(slots.pinned()) == []
    compute(slots, claimed(slots, THIRD)[0], (*THIRD, 300))
    larger = slots_over(model, 3, slots._pins, 512)
    for token_ids, state in slots.pinned():
        larger.restore(token_ids, state)
    assert held(larger).count(FIRST) == 2
    for slot in larger._slots[:2]:
        logits = compute(larger, slot, (*FIRST, 300))
        np.testing.assert_array_equal(logits, compute_alone(model, (*FIRST, 300), len(FIRST)))
    larger.context.close()
    assert not prefix.closed


def test_what_is_no_state_or_has_no_slot_is_not_restored(slots: Slots, model: LlamaModel) -> None:
    prefix = pinned(slots, model, FIRST)
    ((there, state),) = slots.pinned()
    for broken in (b"", state[:-1], bytes(len(state))):
        other = slots_over(model, 3)
        assert not other.restore(there, broken)
        other.context.close()
    for _ in range(3):
        slots.claim(keys(()))
    assert not slots.restore(there, state)
    assert not prefix.closed


def test_all_may_be_forgotten(slots: Slots, model: LlamaModel) -> None:
    prefix = pinned(slots, model, FIRST)
    slots.clear()
    assert held(slots) == [(), (), ()]
    np.testing.assert_array_equal(claimed(slots, FIRST)[1], compute_alone(model, FIRST, 0))
    assert not prefix.closed


def test_tokens_agree_as_far_as_they_are_the_same_and_two_images_never_do() -> None:
    random = np.random.default_rng(0)
    one, other = (random.normal(size=(3, 4)).astype(np.float32) for _ in range(2))
    before, after = (1, 270), (271, 272)
    whole = ContextTokens((before, one, after)).keys
    assert agreeing(whole, ContextTokens((before, one.copy(), after)).keys) == 7
    assert agreeing(whole, ContextTokens((before, one, (271, 273))).keys) == 6
    assert agreeing(whole, ContextTokens((before, other, after)).keys) == 2
    assert agreeing(whole, ContextTokens((before, one[:2])).keys) == 2
    assert agreeing(whole, whole[:3]) == 3
    assert agreeing(whole, ContextTokens(()).keys) == 0


def test_what_was_put_aside_for_a_measurement_comes_back_with_not_a_bit_changed(model: LlamaModel) -> None:
    pins = Pins()
    with_one, plain = slots_over(model, 1, pins), slots_over(model, 1)
    said = (*FIRST, 290, 291)
    for slots in (with_one, plain):
        slot, _ = claimed(slots, FIRST)
        compute(slots, slot, said)
    prefix = Prefix(Prompt((said,)))
    prefix.prepare(model)
    pins.add(prefix)
    with_one.release(with_one._slots[0], 0)
    plain.release(plain._slots[0], len(said))

    with_one.put_aside(keys(START))
    measured, _ = claimed(with_one, SECOND, len(START))
    with_one.release(measured, len(START))
    wanted = compute(plain, plain.claim(keys(said)), (*said, 300))
    back = with_one.claim(keys(said))
    assert back.n_computed == len(said)
    np.testing.assert_array_equal(compute(with_one, back, (*said, 300)), wanted)
    for slots in (with_one, plain):
        slots.context.close()


def test_nothing_is_put_aside_that_nobody_means_to_use_again(model: LlamaModel) -> None:
    slots = slots_over(model, 1)
    slot, _ = claimed(slots, FIRST)
    slots.release(slot, len(FIRST))
    slots.put_aside(keys(START))
    assert slots._aside is None
    slots.context.close()
