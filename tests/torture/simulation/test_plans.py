"""Plans that have found a bug of the engine, each for ever."""

from perdure.torture.command import main


def test_a_worker_that_was_paused_while_it_read_a_history_goes_on_with_none_of_what_others_wrote_meanwhile() -> None:
    """It made the third attempt under the token of its claim, after another had made the first two under a later."""
    assert main(["sim", "--plan", "catching/284863706/2es3/crash@43:2,pause@26:16,outage@3:0.3"]) == 0
