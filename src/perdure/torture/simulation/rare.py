"""Rare plans: each shows a bug that chance comes upon once in a hundred plans or a thousand.

Every campaign begins with those of its workloads: so these bugs, planted as controls, are found whatever the seed, and
at once. A plan takes aim at points by their numbers, and moves off its mark when what comes before them changes. Chance
looks for the bug then as before, and whoever sees a control take long writes down the plan that found it.
"""

from typing import Final

from perdure.torture.simulation.plans import Plan, parse_plan

__all__ = ["RARE_PLANS"]

_LINES: Final = (
    "adding_up/86960/1e/",
    "alarms/152396/1e/crash@2:0.5",
    "at_most_once/87577/1e/outage@10:20",
    "children/213563/1e/crash@22:0.01",
    "children/491066147/1e/restart@19:1",
    "children/679995598/1e/terminate@33:0",
    "children/683988099/1e/cancel@23:0",
    "codeless/619299/2c/",
    "compensation/619299/2c/cancel@44:0",
    "crowd/166250838/1e/pause@46:25",
    "crowd/744529911/2e/pause@83:25,pause@84:0.5",
    "crowd/822382003/1e/pause@19:25",
    "crowd/913142775/1c/crash@41:0.5,pause@129:16",
    "crowd/97311757/3c/crash@76:2",
    "deadlines/854042/1e/crash@4:2",
    "debounced/87577/1e/terminate@11:0",
    "deferred/87577/1e/crash@25:0.5",
    "giving_up/167357886/1e/crash@0:0.01,crash@1:2,pause@6:40",
    "giving_up/319982285/1c/",
    "giving_up/841265234/1c/",
    "handing_over/314796/2c/cancel@15:0",
    "hasty_generations/242597986/1e/crash@7:0.5",
    "hasty_generations/387851978/1e/",
    "hasty_generations/458755/2c/",
    "hasty_generations/969297/1e/pause@3:25",
    "hasty_tries/458755/2c/",
    "keeping/790653/1e/crash@3:0.5",
    "knocked/167017701/2c/",
    "late_signals/619299/2c/",
    "locks/342640/1e2/outage@9:3",
    "locks/880408/2c/",
    "pruned/955545372/2e/",
    "publishing/619299/2c/crash@4:0.5",
    "publishing/87577/1e/crash@45:0.5",
    "queued_ended/619613/1e/crash@36:2,crash@37:0.5",
    "queued_shared/619613/1e/crash@0:0.5,crash@6:0.5",
    "repeated/495899799/1e/",
    "repeated/680858578/1e/",
    "retries/116/1e/crash@12:0.5",
    "retries/619299/2c/",
    "rolling/504395/2c/terminate@16:0",
    "self_suspended/206899/2c/crash@18:0.01",
    "sequential/837933/1e/pause@3:25",
    "sequential/87577/1e/crash@12:0.5",
    "sharing/564106/1e/outage@44:20",
    "signals/324171403/1e/crash@8:2",
    "signals/351137063/1c/outage@16:3,pause@14:0.5",
    "signals/80415474/1c/crash@9:2,outage@19:3",
    "singletons/619299/2c/jump@52:-40",
    "singletons/619299/2c/pause@45:25",
    "suspended/314796/2c/crash@17:0.5",
    "terminated/408217058/3e/outage@5:20",
    "terminated/454027996/1e/crash@3:0.01,pause@8:25",
    "timers/115234/2c/",
    "timers/180747/1e/outage@36:0.3",
    "timers/74/1e/crash@26:0.5",
    "timers/963888811/3e/pause@28:25,outage@37:3",
    "told/382581/1e/",
    "told/619299/2c/outage@20:3",
    "turns/284679/1e/",
    "updated/672629203/1e/crash@10:0.01",
    "updated/837933/1e/jump@13:15",
)

RARE_PLANS: Final[tuple[Plan, ...]] = tuple(map(parse_plan, _LINES))
