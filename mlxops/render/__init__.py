"""Everything people see is formatted here: a result goes in, text comes out."""
