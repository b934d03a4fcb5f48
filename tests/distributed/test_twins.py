"""The same weights in several repositories are read once, and not lost where that fails."""

from __future__ import annotations

import dataclasses

from distributed.outcomes import Outcome, OutcomeKind
from distributed.references import FileReference, ModelReference
from distributed.twins import Twins


def reference(repo: str, *digests: str | None, variant: str = "") -> ModelReference:
    files = [FileReference(f"model-{i}.safetensors", 100, digest) for i, digest in enumerate(digests)]
    return ModelReference("hub", repo, repo, "c0ffee", tuple(files), variant=variant)


def told(outcomes: list[Outcome]) -> list[tuple[str, str, str | None, str | None]]:
    return [(o.reference.name, str(o.kind), o.reason, o.message) for o in outcomes]


def test_the_first_of_the_same_weights_is_read_and_the_others_wait_for_it() -> None:
    first, twin, late, other = (reference(f"lab/{i}", digest) for i, digest in enumerate("aaab"))
    twins = Twins()
    assert twins.sort_out([first, twin, other]) == ([first, other], [])
    assert twins.waiting
    settled, to_read = twins.ended(Outcome(first, OutcomeKind.EXTRACTED, model_id="5" * 16))
    assert told(settled) == [("lab/1", "same content", "duplicate_of", "the same content as lab/0")]
    assert (settled[0].place.found, to_read, twins.waiting) == ("5" * 16, [], False)
    to_read, settled = twins.sort_out([late])  # listed when it has been read
    assert (to_read, told(settled)) == ([], [("lab/2", "same content", "duplicate_of", "the same content as lab/0")])


def test_where_the_first_fails_the_next_is_read() -> None:
    references = [reference(f"lab/{i}", "a") for i in range(4)]
    twins = Twins()
    assert twins.sort_out(references[:3]) == (references[:1], [])
    assert twins.ended(Outcome(references[0], OutcomeKind.FAILED, reason="RetryableError")) == ([], [references[1]])
    assert twins.ended(Outcome(references[1], OutcomeKind.SKIPPED, reason="gated")) == ([], [references[2]])
    assert not twins.waiting
    assert twins.ended(Outcome(references[2], OutcomeKind.FAILED)) == ([], [])
    assert twins.sort_out(references[3:]) == (references[3:], [])


def test_only_all_digests_of_the_hub_make_twins_and_only_of_the_same_variant() -> None:
    unknown = [reference(f"lab/{i}", "a", None) for i in range(2)]
    variants = [reference(f"lab/v{variant}", "a", "b", variant=variant) for variant in ("", "ema")]
    on_disk = [dataclasses.replace(reference(f"disk{i}", "a"), revision=None) for i in range(2)]
    listed = [*unknown, *variants, *on_disk]
    assert Twins().sort_out(listed) == (listed, [])


def test_shards_are_twins_whatever_their_index_is_called() -> None:
    sharded = [
        dataclasses.replace(each, files=(FileReference(index, 10), *each.files))
        for each, index in (
            (reference("lab/a", "a", "b"), "model.safetensors.index.json"),
            (reference("lab/b", "a", "b"), "unet/model.safetensors.index.json"),
        )
    ]
    assert Twins().sort_out(sharded) == (sharded[:1], [])
    assert sharded[0].weights_sha256 != reference("lab/c", "b", "a").weights_sha256
