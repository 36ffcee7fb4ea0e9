"""Safeguards of the history and of undo, as mutants."""

from __future__ import annotations

from .mutant import Mutant

UNDO = "tests/unit/history/test_undo.py::"
FILE = "tests/agent/history/test_line_file.py::"
PAGE = "tests/unit/render/test_history_page.py::"

CHRONICLED = (
    Mutant(
        "undo restores an assignment",
        "agent/history/undo.py",
        'return coerce(name, {**fields, "port": None})',
        "return coerce(name, fields)",
        (UNDO + "test_no_port_and_no_process_is_ever_restored",),
    ),
    Mutant(
        "undo takes back what has changed since",
        "agent/history/undo.py",
        "fields = [row.field for row in rows if entry.fields.get(row.field) != row.after]",
        "fields: List[str] = []",
        (UNDO + "test_what_changed_since_is_named_and_nothing_else_counts",),
    ),
    Mutant(
        "undo removes an entry that is loaded",
        "agent/history/undo.py",
        "if name in edit.added and entry.port is not None:",
        "if False:",
        (UNDO + "test_an_added_entry_goes_only_as_it_was_added_and_while_it_is_not_loaded",),
    ),
    Mutant(
        "undo gives a second entry of one name",
        "agent/history/undo.py",
        "if old in now.entries:",
        "if False:",
        (UNDO + "test_a_rename_takes_the_assignment_along_and_needs_a_free_name",),
    ),
    Mutant(
        "undo does not check what was agreed to",
        "agent/ops/undo.py",
        "if token is not None and token != _token(edit):",
        "if False:",
        ("tests/system/history/test_undo.py::test_what_is_undone_is_what_was_agreed_to",),
    ),
    Mutant(
        "a line is appended to one that was cut short",
        "agent/line_file.py",
        'lead + json.dumps(record).encode("ascii")',
        'json.dumps(record).encode("ascii")',
        (FILE + "test_damaged_lines_are_counted_and_a_cut_one_does_not_spoil_the_next",),
    ),
    Mutant(
        "a page holds text as markup",
        "render/page/text.py",
        "return html.escape(cut, quote=True)",
        "return cut",
        (PAGE + "test_text_of_any_kind_is_escaped",),
    ),
)
