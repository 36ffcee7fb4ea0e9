"""Safeguards of the registry and its locks, as mutants."""

from __future__ import annotations

from .mutant import Mutant

STORE = "tests/agent/registry/test_store.py::"
ORDER = "tests/agent/registry/test_store_order.py"
LOCK = "tests/agent/registry/test_lock.py::"

DURABLE = (
    Mutant(
        "no fsync of the file",
        "agent/registry/atomic_file.py",
        "    sync(f.fileno())\n",
        "",
        (ORDER,),
    ),
    Mutant(
        "no fsync of the folder",
        "agent/registry/store.py",
        "        self._sync_folder()\n",
        "        pass\n",
        (ORDER,),
    ),
    Mutant(
        "renamed before it is durable",
        "agent/registry/store.py",
        "                replace_file(temp, self.path, stamp)\n",
        "                replace_file(temp, self.path, stamp)\n"
        "            self._write(temp, new)\n            os.unlink(temp)\n",
        (ORDER,),
    ),
    Mutant(
        "written in place",
        "agent/registry/store.py",
        "                replace_file(temp, self.path, stamp)\n",
        '                open(self.path, "wb").write(new)\n',
        (ORDER,),
    ),
    Mutant(
        "no backup",
        "agent/registry/store.py",
        "        os.replace(copy, copies.backup(self.path))\n",
        "",
        (STORE + "test_the_last_write_and_the_one_before_are_always_kept",),
    ),
    Mutant(
        "the lock alone keeps two writers apart",
        "agent/registry/atomic_file.py",
        "        wait_for(lambda: _tried(fd), Deadline(CLAIM_TIMEOUT_S), interval_s=0.002)\n"
        "        yield stamp == stamp_of(os.fstat(fd)) == stamp_now(path)\n",
        "        yield True\n",
        ("tests/agent/registry/test_lock_lost.py",),
    ),
    Mutant(
        "a failed write leaves its draft",
        "agent/registry/store.py",
        "            for path in (temp, copy, earlier, *copies.abandoned_drafts(self.path)):\n",
        "            for path in copies.abandoned_drafts(self.path):\n",
        (STORE + "test_a_full_disk_is_a_failure_that_changes_nothing",),
    ),
    Mutant(
        "a forced command runs whatever file is there",
        "agent/restricted/install.py",
        "hashlib.sha256(d).hexdigest()==h or",
        "True or",
        ("tests/system/restricted/test_authorize.py",),
    ),
)

SHARED = (
    Mutant(
        "the edit is computed from what was read before the lock",
        "agent/registry/store.py",
        "            with self.locked(why) as lock:\n",
        "            early = self._read()\n"
        "            self._read = lambda: (*early[:2], stamp_now(self.path))\n"
        "            from .atomic_file import stamp_now\n"
        "            with self.locked(why) as lock:\n",
        (ORDER,),
    ),
    Mutant(
        "a hand edit before the rename is not noticed",
        "agent/registry/store.py",
        "                if not unchanged:\n",
        "                if False:\n",
        (STORE + "test_a_hand_edit_before_the_rename_is_kept",),
    ),
    Mutant(
        "one port may get two models",
        "agent/registry/store.py",
        "            _forbid_new_duplicates(before, after)\n",
        "",
        (STORE + "test_an_edit_never_gives_one_port_to_two",),
    ),
    Mutant(
        "no flock",
        "agent/registry/lock_queue.py",
        "        fcntl.flock(fd, kind | fcntl.LOCK_NB)\n",
        "        pass\n",
        (LOCK + "test_a_held_lock_says_by_whom_from_where_since_when_and_why",),
    ),
    Mutant(
        "the lock's file is deleted with it",
        "agent/registry/lock.py",
        "            os.close(self._fd)\n            self._fd = None\n",
        "            os.unlink(self.path)\n            os.close(self._fd)\n"
        "            self._fd = None\n",
        (LOCK + "test_the_file_is_never_deleted_nor_replaced",),
    ),
    Mutant(
        "root follows a planted link",
        "agent/registry/lock.py",
        "os.O_NONBLOCK | os.O_NOFOLLOW",
        "os.O_NONBLOCK",
        (
            "tests/agent/registry/test_store_owners.py::test_a_link_planted_by_a_user_does_not_lead_root_out_of_the_folder",
        ),
    ),
    Mutant(
        "an unreadable registry is an empty one",
        "agent/registry/store.py",
        "            raise self._with_good_copy(exc) from None\n",
        "            return registry.EMPTY, content, stamp\n",
        (
            STORE
            + "test_a_corrupt_file_is_named_with_its_place_and_the_last_good_copy_and_left_alone",
        ),
    ),
    Mutant(
        "a registry that vanished is an empty one",
        "agent/registry/store.py",
        "            self._check_first_use()\n",
        "",
        (STORE + "test_a_registry_that_vanished_is_not_an_empty_one",),
    ),
    Mutant(
        "unknown fields at the top are dropped",
        "agent/registry/entries.py",
        '"models": models, **registry.extra}',
        '"models": models}',
        (
            "tests/unit/registry/"
            "test_entries.py::test_unknown_fields_at_every_level_survive_an_edit",
        ),
    ),
    Mutant(
        "unknown fields of an entry are dropped",
        "agent/registry/entries.py",
        "    coerced = {**REQUIRED, **fields}\n",
        "    coerced = {**REQUIRED, **{k: v for k, v in fields.items() if k in REQUIRED or k in "
        "OPTIONAL_TEXT}}\n",
        ("tests/unit/registry/test_hostile.py::test_a_huge_integer_in_an_unknown_field_survives",),
    ),
)
