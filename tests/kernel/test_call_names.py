"""Names of runs in the idempotency keys of their calls: the same for the same run, and no other's."""

from datetime import timedelta

from perdure import Context, workflow
from perdure.kernel import events as e
from tests.kernel.lives import RUN_KEY, Life, life_of


@workflow(name="call_names.child")
async def child(_ctx: Context) -> None: ...


@workflow(name="call_names.parent")
async def parent(ctx: Context) -> None:
    ctx.start_child(child, id="first")
    ctx.start_child(child, id="second")
    await ctx.sleep(timedelta(days=1))
    ctx.continue_as_new()


def names_of(life: Life) -> list[str]:
    """Return the names of a parent, of its children, and of the generation after it."""
    life.begin()
    creations = [*life.advanced.creations]
    life.wait(2 * 86_400)
    creations += life.advanced.creations
    created = [creation.created.event for creation in creations]
    return [life.state.call_name(RUN_KEY), *(event.call_name for event in created if isinstance(event, e.RunCreated))]


def test_runs_that_follow_from_a_run_have_names_of_their_own_and_the_same_wherever_it_goes_on() -> None:
    here, later = (life_of(parent, call_name="of chance") for _ in range(2))
    later.now += 1
    later.skip_keys(7)
    names = names_of(here)
    assert names[0] == "of chance"
    assert len(set(names)) == 4
    assert names == names_of(later)
    assert not {*names} & {*names_of(life_of(parent, call_name="of other chance"))}


def test_a_run_that_an_older_perdure_began_is_named_by_its_key_and_what_follows_from_it_by_chance() -> None:
    here, elsewhere = life_of(parent), life_of(parent)
    elsewhere.now += 1
    names, others = names_of(here), names_of(elsewhere)
    assert names[0] == others[0] == f"{RUN_KEY:x}"
    assert len({*names, *others}) == 7
