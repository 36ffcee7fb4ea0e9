"""Rules of names, as mutants."""

from __future__ import annotations

from .mutant import Mutant

PORTNAME = "agent/ports/portname.py"
NAMES = "tests/system/cli/test_names.py::"

NAMED = (
    Mutant(
        "a name: load starts the model that a part of a name may mean",
        "agent/load/preflight.py",
        "entry = resolve.find_exact(registry, request.model)",
        "entry = resolve.find_entry(registry, request.model)",
        (NAMES + "test_a_part_of_a_name_starts_nothing",),
    ),
    Mutant(
        "a name: what stops a server accepts a part of a name",
        PORTNAME,
        "or self._verb not in READ_VERBS or ",
        "or ",
        (NAMES + "test_verbs_about_ports_take_the_name_of_what_is_loaded",),
    ),
    Mutant(
        "a name with two meanings is that of the slot",
        PORTNAME,
        "            self._refuse_two(word, slot, entry, known)\n",
        "            pass\n",
        (NAMES + "test_a_word_that_is_a_slot_and_an_entry_elsewhere_is_refused_by_every_verb",),
    ),
    Mutant(
        "a name with two meanings is that of the entry",
        PORTNAME,
        "            _refuse_two_entries(verb, word, named, port, there)\n",
        "            pass\n",
        (NAMES + "test_set_refuses_a_name_that_is_an_entry_and_the_slot_of_another",),
    ),
)
